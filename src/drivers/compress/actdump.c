/* SPDX-License-Identifier: MIT */
/*
 * actdump - the action that prints what is on the medium, a line for each
 * structure, whether or not it makes sense. Nothing that is found is believed
 * before its own check: what cannot be read or is damaged gets a line as well.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"
#include "crc.h"
#include "engine.h"
#include "file.h"
#include "msg.h"
#include "report.h"
#include "tree.h"

/* Of the JSON output; to be raised when a key changes its meaning or goes. */
#define DUMP_SCHEMA 1

struct dump_options {
	bool is_json;
	bool has_no_records;
};

static const struct opt dump_opts[] = {
	OPT_BOOL("json", 'J', struct dump_options, is_json,
		 "print JSON, an object a line"),
	OPT_BOOL("no-records", 0, struct dump_options, has_no_records,
		 "leave the batches and records of the log out"),
	OPT_END
};

/* What is dumped. */
struct dump {
	const struct dump_options *options;
	struct medium *medium;
	struct super super;
	struct tree tree;
	unsigned char *buf; /* a segment's */
};

/* --- lines ------------------------------------------------------------------
 */

static void line_begin(const struct dump *dump, const char *kind)
{
	if (dump->options->is_json)
		printf("{\"kind\": \"%s\"", kind);
	else
		fputs(kind, stdout);
}

static void line_end(const struct dump *dump)
{
	puts(dump->options->is_json ? "}" : "");
}

static void line_number(const struct dump *dump, const char *name,
			uint64_t value)
{
	printf(dump->options->is_json ? ", \"%s\": %" PRIu64 : " %s %" PRIu64,
	       name, value);
}

static void line_text(const struct dump *dump, const char *name,
		      const char *value)
{
	const struct report_column column = { name, REPORT_TEXT };
	char *cells[] = { (char *)(uintptr_t)value };
	const struct report report = { &column, 1, cells, 1 };

	if (dump->options->is_json) {
		fputs(", ", stdout);
		report_json_members(stdout, &report, 0);
		return;
	}
	printf(" %s \"", name);
	report_text(stdout, value);
	putchar('"');
}

/* --- superblocks ------------------------------------------------------------
 */

static void dump_position(const struct dump *dump,
			  const struct position *position)
{
	line_number(dump, "session", position->session);
	line_number(dump, "batch", position->batch);
	line_number(dump, "sequence", position->sequence);
	line_number(dump, "segment", position->segment);
	line_number(dump, "segment_off", position->off);
	line_number(dump, "next", position->next);
	line_number(dump, "prev_crc", position->prev_crc);
}

static void dump_super_fields(const struct dump *dump,
			      const struct super *super)
{
	char label[sizeof(super->label) + 1] = "";

	memcpy(label, super->label, sizeof(super->label));
	line_text(dump, "label", label);
	line_number(dump, "version", super->version);
	line_number(dump, "generation", super->generation);
	line_number(dump, "flags", super->flags);
	line_number(dump, "nonce", super->nonce);
	line_number(dump, "size", super->size);
	line_number(dump, "medium_size", super->medium_size);
	line_number(dump, "map_off_0", super->map_off[0]);
	line_number(dump, "map_off_1", super->map_off[1]);
	line_number(dump, "segments_off", super->segments_off);
	line_number(dump, "segment_size", super->segment_size);
	line_number(dump, "segments", super->n_segments);
	line_number(dump, "reserve", super->n_reserve);
	line_number(dump, "record_blocks", super->record_blocks);
	line_number(dump, "level", (uint64_t)super->level);
	line_number(dump, "root_crc", super->root.crc);
	line_number(dump, "root_flags", super->root.flags);
	line_number(dump, "mapped", super->n_mapped);
	line_number(dump, "zero", super->n_zero);
	line_number(dump, "raw", super->n_raw);
	dump_position(dump, &super->position);
}

/* Return: 0 if it is good; then it is the one of the dump if it is newer. */
static int dump_super(struct dump *dump, const char *slot, uint64_t off,
		      bool *has_super)
{
	const char *reason = "cannot be read";
	struct super super;
	int error = -EIO;

	if (off + sizeof(super) <= dump->medium->size)
		error = dump->medium->read(dump->medium, &super, sizeof(super),
					   off);
	line_begin(dump, "superblock");
	line_text(dump, "slot", slot);
	line_number(dump, "off", off);
	if (error == 0) {
		error = super_check(&super, dump->medium->size, &reason);
		line_text(dump, "state", error == 0 ? "valid" : reason);
		if (error != -ENOENT)
			dump_super_fields(dump, &super);
	} else {
		line_text(dump, "state", reason);
	}
	line_end(dump);
	if (error == 0 &&
	    (!*has_super || super.generation > dump->super.generation))
		dump->super = super;
	*has_super |= error == 0;
	return error;
}

static bool dump_supers(struct dump *dump)
{
	uint64_t blocks = dump->medium->size / BLOCK_SIZE;
	bool has_super = false;

	dump_super(dump, "A", SUPER_OFF(0), &has_super);
	dump_super(dump, "B", SUPER_OFF(1), &has_super);
	/* the last block is of the last time that it was closed */
	if (has_super)
		blocks = dump->super.medium_size / BLOCK_SIZE;
	if (blocks > 2) {
		struct super best = dump->super;
		bool had_super = has_super;

		dump_super(dump, "C", (blocks - 1) * BLOCK_SIZE, &has_super);
		if (had_super)
			dump->super = best;
	}
	return has_super;
}

/* --- map --------------------------------------------------------------------
 */

static void dump_levels(const struct dump *dump, uint64_t lost)
{
	line_begin(dump, "checkpoint");
	line_number(dump, "generation", dump->super.generation);
	line_number(dump, "levels", dump->tree.n_levels);
	line_number(dump, "lost", lost);
	line_end(dump);
	for (unsigned int i = 0; i < dump->tree.n_levels; i++) {
		const struct level *level = &dump->tree.levels[i];
		uint64_t present = 0;

		for (uint64_t j = 0; j < level->n; j++)
			present += (level->refs[j].flags & PAGE_PRESENT) != 0;
		line_begin(dump, "level");
		line_number(dump, "level", i);
		line_number(dump, "first", level->first);
		line_number(dump, "pages", level->n);
		line_number(dump, "present", present);
		line_end(dump);
	}
}

/* --- log --------------------------------------------------------------------
 */

static const char *record_name(unsigned int type)
{
	static const char *const names[] = { "?",    "DATA", "ZERO",
					     "TRIM", "MOVE", "CHECKPOINT" };

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "?";
}

static void dump_record(const struct dump *dump, const struct record *record,
			uint64_t off)
{
	line_begin(dump, "record");
	line_number(dump, "off", off);
	line_text(dump, "type", record_name(record->type));
	line_number(dump, "lba", record->lba);
	line_number(dump, "blocks", record->n_blocks);
	line_text(dump, "algorithm",
		  record->algorithm == ALGORITHM_ZSTD ? "zstd" : "raw");
	line_number(dump, "level", record->level);
	line_number(dump, "len", record->len);
	line_number(dump, "sequence", record->sequence);
	line_number(dump, "origin", record->origin);
	line_number(dump, "from", record->from);
	line_text(dump, "state",
		  record->data_crc == crc_update(0, record + 1, record->len) ?
			  "valid" :
			  "damaged");
	line_end(dump);
}

/* The records that a batch has, as far as their headers are whole. */
static void dump_records(const struct dump *dump, const struct batch_head *head,
			 uint64_t off, uint32_t room)
{
	const struct record *record = record_first(head);
	uint32_t at = sizeof(*head);

	for (uint32_t i = 0; i < head->n_records; i++) {
		if (room - at < sizeof(*record) ||
		    !record_is_valid(record, &dump->super) ||
		    record_size(record) > room - at) {
			line_begin(dump, "record");
			line_number(dump, "off", off + at);
			line_text(dump, "state", "damaged");
			line_end(dump);
			return;
		}
		dump_record(dump, record, off + at);
		at += record_size(record);
		record = record_next(record);
	}
}

/* Return: bytes to go on. */
static uint32_t dump_batch(const struct dump *dump,
			   const struct segment_head *segment, uint32_t number,
			   uint32_t at)
{
	const struct batch_head *head = (const void *)(dump->buf + at);
	uint64_t off = segment_off(&dump->super, number) + at;
	uint32_t room = dump->super.segment_size - at;
	const char *state = "valid";

	if (head->magic != BATCH_MAGIC || head->nonce != dump->super.nonce)
		return BLOCK_SIZE;
	if (!batch_is_valid(head, &dump->super, room))
		state = "damaged";
	else if (segment == NULL || head->session < segment->session ||
		 head->batch < segment->batch)
		/* of an earlier use of the segment */
		state = "stale";
	line_begin(dump, "batch");
	line_number(dump, "segment", number);
	line_number(dump, "off", off);
	line_text(dump, "state", state);
	line_number(dump, "session", head->session);
	line_number(dump, "batch", head->batch);
	line_number(dump, "sequence", head->sequence);
	line_number(dump, "durable", head->durable);
	line_number(dump, "crc", head->crc);
	line_number(dump, "prev_crc", head->prev_crc);
	line_number(dump, "len", head->len);
	line_number(dump, "records", head->n_records);
	line_end(dump);
	dump_records(dump, head, off, room);
	return state[0] == 'd' ? BLOCK_SIZE : head->len;
}

static void dump_batches(const struct dump *dump,
			 const struct segment_head *head, uint32_t number)
{
	const struct super *super = &dump->super;
	int error =
		dump->medium->read(dump->medium, dump->buf, super->segment_size,
				   segment_off(super, number));

	if (error != 0) {
		line_begin(dump, "batch");
		line_number(dump, "segment", number);
		line_text(dump, "state", "cannot be read");
		line_end(dump);
		return;
	}
	for (uint32_t at = BLOCK_SIZE; at < super->segment_size;)
		at += dump_batch(dump, head, number, at);
}

/* @use: NULL if that page of the table is lost */
static void dump_segment(const struct dump *dump, uint32_t number,
			 const struct segment_use *use)
{
	union {
		struct segment_head head;
		unsigned char bytes[BLOCK_SIZE];
	} block = { .bytes = { 0 } };
	uint64_t off = segment_off(&dump->super, number);
	int error =
		dump->medium->read(dump->medium, &block, sizeof(block), off);
	bool is_valid =
		error == 0 &&
		segment_head_is_valid(&block.head, &dump->super, number);

	line_begin(dump, "segment");
	line_number(dump, "segment", number);
	line_number(dump, "off", off);
	line_text(dump, "table",
		  use == NULL			  ? "lost" :
		  use->live_blocks & SEGMENT_USED ? "used" :
						    "free");
	if (use != NULL) {
		line_number(dump, "live_blocks",
			    use->live_blocks & ~SEGMENT_USED);
		line_number(dump, "live_bytes", use->live_bytes);
		line_number(dump, "first_sequence", use->first_sequence);
	}
	line_text(dump, "head",
		  error != 0			    ? "cannot be read" :
		  is_valid			    ? "valid" :
		  block.head.magic == SEGMENT_MAGIC ? "damaged" :
						      "none");
	if (is_valid) {
		line_number(dump, "session", block.head.session);
		line_number(dump, "batch", block.head.batch);
		line_number(dump, "sequence", block.head.sequence);
		line_number(dump, "next", block.head.next);
		line_number(dump, "prev_crc", block.head.prev_crc);
	}
	line_end(dump);
	if (!dump->options->has_no_records &&
	    (is_valid || !is_zero_block(&block)))
		dump_batches(dump, is_valid ? &block.head : NULL, number);
}

static void dump_segments(const struct dump *dump)
{
	struct page page;
	bool is_lost = false;

	for (uint32_t i = 0; i < dump->super.n_segments; i++) {
		uint32_t at = i % PAGE_SEGMENTS;
		uint64_t index = i / PAGE_SEGMENTS;
		struct segment_use use;

		if (at == 0)
			is_lost = tree_read(&dump->tree, 0, index,
					    dump->tree.levels[0].refs[index],
					    &page) != 0;
		memcpy(&use, (const char *)page.entries + at * sizeof(use),
		       sizeof(use));
		dump_segment(dump, i, is_lost ? NULL : &use);
	}
}

/* --- all --------------------------------------------------------------------
 */

static int dump_volume(struct dump *dump, const char *path)
{
	uint64_t lost = 0;
	int error;

	line_begin(dump, "dump");
	line_number(dump, "schema", DUMP_SCHEMA);
	line_number(dump, "medium_size", dump->medium->size);
	line_end(dump);
	if (!dump_supers(dump)) {
		msg_error("%s: has no good superblock", path);
		return EXIT_FAILED;
	}
	dump->buf = aligned_alloc(BLOCK_SIZE, dump->super.segment_size);
	error = dump->buf == NULL ?
			-ENOMEM :
			tree_open(&dump->tree, &dump->super, dump->medium);
	if (error == 0)
		error = tree_load(&dump->tree, dump->super.root, &lost);
	if (error == 0) {
		dump_levels(dump, lost);
		dump_segments(dump);
	}
	tree_close(&dump->tree);
	free(dump->buf);
	return error == 0 ? EXIT_DONE :
			    action_failed(path, "cannot be dumped", error);
}

static int dump_run(void *opts, int argc, char **argv)
{
	struct dump dump = { .options = opts };
	struct file file;
	int code = action_operand(argc);

	if (code == EXIT_DONE)
		code = file_open(&file, argv[0], true);
	if (code != EXIT_DONE)
		return code;
	dump.medium = &file.medium;
	code = dump_volume(&dump, argv[0]);
	file_close(&file);
	return code;
}

const struct applet compress_action_dump = {
	.name = "dump",
	.summary = "print what is on the medium, structure by structure",
	.operands = "FILE|DEVICE",
	.opts = dump_opts,
	.opts_size = sizeof(struct dump_options),
	.run = dump_run,
};
