/* SPDX-License-Identifier: MIT */
/*
 * encrypt/units - numbers whose unit must be said.
 */
#include "units.h"

#include <stdio.h>
#include <string.h>

#include "msg.h"
#include "opt.h"

#define UNITS_SECTOR 512

static int units_refuse(const char *option, const char *text, const char *forms)
{
	msg_error("--%s: '%s' is not understood", option, text);
	msg_hint("give it with its unit, as %s", forms);
	return EXIT_USAGE;
}

int units_key_size(const char *option, const char *text, uint32_t *key_size)
{
	size_t digits = strspn(text, "0123456789");
	const char *unit = text + digits;
	char number[8];
	uint64_t value;

	if (digits == 0 || digits >= sizeof(number))
		return units_refuse(option, text, "512bit or 64B");
	memcpy(number, text, digits);
	number[digits] = '\0';
	if (opt_parse_uint(number, &value) != 0)
		return units_refuse(option, text, "512bit or 64B");
	if (strcmp(unit, "bit") == 0 && value % 8 == 0)
		*key_size = (uint32_t)(value / 8);
	else if (strcmp(unit, "B") == 0)
		*key_size = (uint32_t)value;
	else
		return units_refuse(option, text, "512bit or 64B");
	return EXIT_DONE;
}

int units_offset(const char *option, const char *text, uint64_t *off)
{
	static const char digits[] = "0123456789";

	*off = 0;
	if (text == NULL)
		return EXIT_DONE;
	if (*text == '\0' || strchr(digits, text[strlen(text) - 1]) != NULL ||
	    opt_parse_size(text, off) != 0 || *off > INT64_MAX)
		return units_refuse(option, text, "2048s (sectors) or 1M");
	if (*off % UNITS_SECTOR == 0)
		return EXIT_DONE;
	msg_error("--%s: %s is no multiple of %d bytes", option, text,
		  UNITS_SECTOR);
	return EXIT_USAGE;
}

int units_slot(const struct luks *luks, const char *text, int *slot)
{
	uint64_t value;

	*slot = LUKS_ANY_SLOT;
	if (text == NULL)
		return EXIT_DONE;
	if (opt_parse_uint(text, &value) != 0 || value >= luks->n_slots) {
		msg_error("--key-slot: '%s' is no key slot of LUKS%u", text,
			  luks->version);
		msg_hint("accepted: 0 to %u", luks->n_slots - 1);
		return EXIT_USAGE;
	}
	*slot = (int)value;
	return EXIT_DONE;
}
