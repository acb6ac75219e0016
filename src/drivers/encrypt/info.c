/* SPDX-License-Identifier: MIT */
/*
 * encrypt/info - the action that tells what a header says, for people or as
 * JSON. It takes no passphrase, and opens nothing.
 */
#include "actions.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "msg.h"
#include "report.h"
#include "target.h"

/* Version of what the keys of --json mean. */
#define INFO_SCHEMA 1

struct info {
	const char *header;
	bool is_json;
};

static const struct opt info_opts[] = {
	OPT_BOOL("json", 'J', struct info, is_json, "print JSON"),
	HEADER_OPT(struct info, header),
	OPT_END,
};

/* Columns of the table of key slots. */
enum {
	INFO_SLOT,
	INFO_KDF,
	INFO_COST,
	INFO_CIPHER,
	INFO_KEY,
	INFO_PRIORITY,
	INFO_AREA,
	INFO_COLUMNS
};

static const struct report_column info_columns[INFO_COLUMNS] = {
	[INFO_SLOT] = { "slot", REPORT_NUMBER },
	[INFO_KDF] = { "kdf", REPORT_TEXT },
	[INFO_COST] = { "cost", REPORT_TEXT },
	[INFO_CIPHER] = { "cipher", REPORT_TEXT },
	[INFO_KEY] = { "key", REPORT_TEXT },
	[INFO_PRIORITY] = { "priority", REPORT_TEXT },
	[INFO_AREA] = { "area", REPORT_TEXT },
};

static bool info_is_detached(const struct target *target)
{
	return target->header != NULL || target->luks.segment.off == 0;
}

/* Bytes of the data; 0: who knows, the disk with it is not here. */
static uint64_t info_data_size(const struct target *target)
{
	const struct luks_segment *segment = &target->luks.segment;
	uint64_t size = target->data_size;

	if (!info_is_detached(target))
		size = target->disk.disk.size;

	if (segment->size != 0)
		return segment->size;
	return size > segment->off ? size - segment->off : 0;
}

static const char *info_size(uint64_t size, char text[16])
{
	char bytes[32];

	snprintf(bytes, sizeof(bytes), "%" PRIu64, size);
	report_size(bytes, text);
	return text;
}

static const char *info_priority(const struct luks_slot *slot)
{
	if (!slot->is_bound)
		return "unbound";
	return slot->priority == 0 ? "ignored" :
	       slot->priority == 2 ? "first" :
				     "normal";
}

/* A part of LUKS2's JSON; NULL for LUKS1, too. */
static json_t *info_part(const struct luks *luks, const char *name)
{
	return json_object_get(luks->json, name);
}

/* What an object of the JSON calls itself. */
static const char *info_type(const json_t *object)
{
	const char *type = json_string_value(json_object_get(object, "type"));

	return type != NULL ? type : "?";
}

static const char *info_slot_type(const struct luks *luks, unsigned int i)
{
	char number[8];

	snprintf(number, sizeof(number), "%u", i);
	return info_type(json_object_get(info_part(luks, "keyslots"), number));
}

/*
 * Calls @found for what stands in the JSON without being LUKS2's, as far as is
 * known here. It is kept as it is.
 */
static void info_each_unknown(const struct luks *luks,
			      void (*found)(void *arg, const char *what),
			      void *arg)
{
	static const char *const known[] = { "keyslots", "tokens", "segments",
					     "digests", "config" };
	const char *name;
	json_t *value;
	char text[160];

	json_object_foreach(luks->json, name, value) {
		size_t i = 0;

		while (i < 5 && strcmp(name, known[i]) != 0)
			i++;
		if (i == 5)
			found(arg, name);
	}
	json_object_foreach(info_part(luks, "config"), name, value) {
		if (strcmp(name, "json_size") == 0 ||
		    strcmp(name, "keyslots_size") == 0 ||
		    strcmp(name, "flags") == 0 ||
		    strcmp(name, "requirements") == 0)
			continue;
		snprintf(text, sizeof(text), "config.%.128s", name);
		found(arg, text);
	}
}

/*** for people ***************************************************************/

static void info_line(const char *name, const char *text)
{
	printf("%-14s", name);
	report_text(stdout, *text != '\0' ? text : "-");
	putchar('\n');
}

static void __attribute__((format(printf, 2, 3)))
info_linef(const char *name, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	info_line(name, text);
}

static void info_print_data(const struct target *target)
{
	const struct luks_segment *segment = &target->luks.segment;
	uint64_t size = info_data_size(target);
	char off[16], text[16];

	info_line("cipher", segment->cipher);
	info_linef("key size", "%u bits", target->luks.key_size * 8);
	info_linef("sector size", "%u", segment->sector_size);
	info_linef("data offset", "%s (%" PRIu64 " bytes)",
		   info_size(segment->off, off), segment->off);
	if (size != 0)
		info_linef("data size", "%s (%" PRIu64 " bytes%s)",
			   info_size(size, text), size,
			   segment->size == 0 ? ", up to the end" : "");
	else
		info_line("data size", "up to the end");
	if (segment->iv_tweak != 0)
		info_linef("IV tweak", "%" PRIu64, segment->iv_tweak);
	info_line("discards", segment->may_discard ?
				      "allowed by the header" :
				      "not allowed by the header");
}

static void info_print_header(const struct target *target)
{
	const struct luks *luks = &target->luks;
	char text[16];

	info_linef("type", "LUKS%u%s", luks->version,
		   info_is_detached(target) ? ", detached" : "");
	info_line("UUID", luks->uuid);
	if (luks->version == 2) {
		info_line("label", luks->label);
		info_line("subsystem", luks->subsystem);
	}
	info_print_data(target);
	info_linef("digest", "pbkdf2 with %s, %u iterations", luks->digest.hash,
		   luks->digest.iterations);
	if (luks->version == 1)
		return;
	info_linef("header", "twice %s, generation %" PRIu64,
		   info_size(luks->header_size, text), luks->seqid);
	info_line("first copy", luks->is_primary_ok ? "valid" : "damaged");
	info_line("second copy",
		  luks->is_secondary_ok ? "valid" : "damaged or old");
}

static char *info_cost(const struct luks_cost *cost)
{
	char text[128], memory[16];

	if (cost->kdf == LUKS_PBKDF2)
		snprintf(text, sizeof(text), "%u iterations, %s",
			 cost->iterations, cost->hash);
	else
		snprintf(text, sizeof(text), "%u passes, %s, %u thread%s",
			 cost->iterations,
			 info_size((uint64_t)cost->memory_kib * 1024, memory),
			 cost->lanes, cost->lanes == 1 ? "" : "s");
	return strdup(text);
}

static char *info_area(const struct luks_slot *slot)
{
	char text[64], off[16], size[16];

	snprintf(text, sizeof(text), "%s at %s",
		 info_size(slot->area_size, size),
		 info_size(slot->area_off, off));
	return strdup(text);
}

/* The cells of a key slot. One that is not ours has its type only. */
static void info_slot_cells(const struct luks *luks, unsigned int i,
			    char **cells)
{
	const struct luks_slot *slot = &luks->slots[i];
	char text[160];

	snprintf(text, sizeof(text), "%u", i);
	cells[INFO_SLOT] = strdup(text);
	if (!slot->is_ours) {
		snprintf(text, sizeof(text), "unknown type '%.64s'",
			 info_slot_type(luks, i));
		cells[INFO_KDF] = strdup(text);
		return;
	}
	cells[INFO_KDF] = strdup(luks_kdf_name(slot->cost.kdf));
	cells[INFO_COST] = info_cost(&slot->cost);
	cells[INFO_CIPHER] = strdup(slot->cipher);
	snprintf(text, sizeof(text), "%u bits", slot->key_size * 8);
	cells[INFO_KEY] = strdup(text);
	cells[INFO_PRIORITY] = strdup(info_priority(slot));
	cells[INFO_AREA] = info_area(slot);
}

static void info_print_slots(const struct luks *luks)
{
	char *cells[LUKS_SLOTS_MAX * INFO_COLUMNS] = { NULL };
	struct report report = { .columns = info_columns,
				 .n_columns = INFO_COLUMNS,
				 .cells = cells };

	for (unsigned int i = 0; i < luks->n_slots; i++)
		if (luks->slots[i].is_used)
			info_slot_cells(luks, i,
					cells + INFO_COLUMNS * report.n_rows++);
	putchar('\n');
	if (report.n_rows == 0)
		puts("no key slots: nobody gets at the data");
	else
		report_table(stdout, &report, true, false);
	for (size_t i = 0; i < INFO_COLUMNS * report.n_rows; i++)
		free(cells[i]);
}

static void info_print_tokens(const struct luks *luks)
{
	const char *number;
	json_t *token;

	json_object_foreach(info_part(luks, "tokens"), number, token) {
		json_t *slots = json_object_get(token, "keyslots"), *slot;
		char text[256];
		int n = snprintf(text, sizeof(text), "%.16s, %.64s%s", number,
				 info_type(token),
				 json_array_size(slots) > 0 ? ", for key slot" :
							      "");
		size_t i;

		json_array_foreach(slots, i, slot) {
			const char *name = json_string_value(slot);

			if (n > 0 && (size_t)n < sizeof(text))
				n += snprintf(text + n,
					      sizeof(text) - (size_t)n, " %.8s",
					      name != NULL ? name : "?");
		}
		info_line("token", text);
	}
}

static void info_print_unknown(void *arg, const char *what)
{
	(void)arg;
	info_line("unknown", what);
}

static int info_print(const struct target *target)
{
	info_print_header(target);
	info_print_tokens(&target->luks);
	info_each_unknown(&target->luks, info_print_unknown, NULL);
	info_print_slots(&target->luks);
	return EXIT_DONE;
}

/*** for programs *************************************************************/

static json_t *info_json_number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *info_json_cost(const struct luks_cost *cost)
{
	if (cost->kdf == LUKS_PBKDF2)
		return json_pack("{s:s, s:s, s:I}", "type",
				 luks_kdf_name(cost->kdf), "hash", cost->hash,
				 "iterations", (json_int_t)cost->iterations);
	return json_pack("{s:s, s:I, s:I, s:I}", "type",
			 luks_kdf_name(cost->kdf), "passes",
			 (json_int_t)cost->iterations, "memory",
			 (json_int_t)cost->memory_kib * 1024, "threads",
			 (json_int_t)cost->lanes);
}

static json_t *info_json_slot(const struct luks *luks, unsigned int i)
{
	const struct luks_slot *slot = &luks->slots[i];

	if (!slot->is_ours)
		return json_pack("{s:i, s:b, s:s}", "slot", (int)i, "is_known",
				 0, "type", info_slot_type(luks, i));
	return json_pack("{s:i, s:b, s:s, s:b, s:s, s:o, s:I, s:s, s:I, s:I, "
			 "s:I, s:I}",
			 "slot", (int)i, "is_known", 1, "type",
			 luks->version == 1 ? "luks1" : "luks2", "is_bound",
			 slot->is_bound, "priority",
			 slot->priority == 0 ? "ignored" :
			 slot->priority == 2 ? "first" :
					       "normal",
			 "kdf", info_json_cost(&slot->cost), "key_size",
			 (json_int_t)slot->key_size, "cipher", slot->cipher,
			 "cipher_key_size", (json_int_t)slot->cipher_key_size,
			 "stripes", (json_int_t)slot->stripes, "area_offset",
			 (json_int_t)slot->area_off, "area_size",
			 (json_int_t)slot->area_size);
}

static json_t *info_json_slots(const struct luks *luks)
{
	json_t *slots = json_array();

	for (unsigned int i = 0; i < luks->n_slots; i++)
		if (luks->slots[i].is_used)
			json_array_append_new(slots, info_json_slot(luks, i));
	return slots;
}

/* As numbers, which are strings in the header. */
static json_t *info_token_slots(const json_t *token)
{
	json_t *numbers = json_array();
	const json_t *slot;
	size_t i;

	json_array_foreach(json_object_get(token, "keyslots"), i, slot) {
		const char *number = json_string_value(slot);

		json_array_append_new(
			numbers,
			json_integer(number != NULL ?
					     strtoll(number, NULL, 10) :
					     -1));
	}
	return numbers;
}

static json_t *info_json_tokens(const struct luks *luks)
{
	json_t *tokens = json_array(), *token;
	const char *number;

	json_object_foreach(info_part(luks, "tokens"), number, token) {
		json_array_append_new(
			tokens, json_pack("{s:I, s:s, s:o}", "token",
					  (json_int_t)strtoll(number, NULL, 10),
					  "type", info_type(token), "slots",
					  info_token_slots(token)));
	}
	return tokens;
}

static void info_json_unknown(void *arg, const char *what)
{
	json_array_append_new(arg, json_string(what));
}

static void info_json_header(json_t *root, const struct luks *luks)
{
	json_t *unknown = json_array();

	if (luks->version == 2) {
		json_object_set_new(root, "label", json_string(luks->label));
		json_object_set_new(root, "subsystem",
				    json_string(luks->subsystem));
		json_object_set_new(root, "generation",
				    info_json_number(luks->seqid));
		json_object_set_new(root, "is_first_copy_valid",
				    json_boolean(luks->is_primary_ok));
		json_object_set_new(root, "is_second_copy_valid",
				    json_boolean(luks->is_secondary_ok));
	}
	info_each_unknown(luks, info_json_unknown, unknown);
	json_object_set_new(root, "slots", info_json_slots(luks));
	json_object_set_new(root, "tokens", info_json_tokens(luks));
	json_object_set_new(root, "unknown", unknown);
}

static json_t *info_json(const struct target *target)
{
	const struct luks *luks = &target->luks;
	const struct luks_segment *segment = &luks->segment;
	uint64_t size = info_data_size(target);
	json_t *root = json_pack(
		"{s:i, s:s, s:s, s:b, s:s, s:I, s:I, s:I, s:o, s:I, s:b, s:I, "
		"s:{s:s, s:I}}",
		"version", INFO_SCHEMA, "type",
		luks->version == 1 ? "luks1" : "luks2", "uuid", luks->uuid,
		"is_detached", info_is_detached(target), "cipher",
		segment->cipher, "key_size", (json_int_t)luks->key_size,
		"sector_size", (json_int_t)segment->sector_size, "data_offset",
		(json_int_t)segment->off, "data_size",
		size != 0 ? info_json_number(size) : json_null(), "iv_tweak",
		(json_int_t)segment->iv_tweak, "may_discard",
		segment->may_discard, "header_size",
		(json_int_t)luks->header_size, "digest", "hash",
		luks->digest.hash, "iterations",
		(json_int_t)luks->digest.iterations);

	if (root != NULL)
		info_json_header(root, luks);
	return root;
}

static int info_print_json(const struct target *target)
{
	json_t *root = info_json(target);
	int error = root == NULL ?
			    -1 :
			    json_dumpf(root, stdout,
				       JSON_INDENT(2) | JSON_PRESERVE_ORDER);

	json_decref(root);
	if (error != 0) {
		msg_error("%s: cannot print it as JSON",
			  target->disk.disk.name);
		return EXIT_FAILED;
	}
	putchar('\n');
	return EXIT_DONE;
}

static int info_run(void *opts, int argc, char **argv)
{
	const struct info *info = opts;
	struct target target = { .header = info->header };
	int status = target_start(&target, argc, argv, 1, "FILE|DEVICE");

	if (status == EXIT_DONE)
		status = info->is_json ? info_print_json(&target) :
					 info_print(&target);
	target_close(&target);
	return status;
}

const struct applet action_info = {
	.name = "info",
	.alias = "luksDump",
	.summary = "tell what a header says",
	.operands = "FILE|DEVICE",
	.opts = info_opts,
	.opts_size = sizeof(struct info),
	.run = info_run,
};
