/* SPDX-License-Identifier: MIT */
/*
 * encrypt/uuid - UUIDs as text.
 */
#include "uuid.h"

#include <ctype.h>
#include <stdio.h>

#include "secret.h"

static const char uuid_form[] = UUID_FORM;

bool uuid_is_valid(const char *text)
{
	const char *form = uuid_form;

	for (; *form != '\0'; form++, text++)
		if (*form == 'x' ? isxdigit((unsigned char)*text) == 0 :
				   *text != *form)
			return false;
	return *text == '\0';
}

int uuid_make(char *text)
{
	unsigned char bytes[16] = { 0 };
	int error = secret_random(bytes, sizeof(bytes)), i = 0;

	/* RFC 9562: version and variant */
	bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
	bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
	for (const char *form = uuid_form; error == 0 && *form != '\0';) {
		if (*form == 'x') {
			sprintf(text, "%02x", bytes[i++]);
			text += 2;
			form += 2;
		} else {
			*text++ = *form++;
		}
	}
	*text = '\0';
	return error;
}
