/* SPDX-License-Identifier: MIT */
/*
 * actinfo - the action that tells what a volume is, and what is in it. Its log
 * is replayed in memory; nothing is written.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "actions.h"
#include "engine.h"
#include "file.h"
#include "msg.h"
#include "report.h"
#include "stats.h"

/* Of the JSON output; to be raised when a key changes its meaning or goes. */
#define INFO_SCHEMA 1

struct info {
	bool is_bytes;
	bool is_json;
};

static const struct opt info_opts[] = {
	OPT_BOOL("bytes", 'b', struct info, is_bytes, "print sizes in bytes"),
	OPT_BOOL("json", 'J', struct info, is_json, "print JSON"), OPT_END
};

enum {
	INFO_SCHEMA_CELL,
	INFO_LABEL,
	INFO_UUID,
	INFO_CLEAN,
	INFO_LEVEL,
	INFO_MEDIUM,
	INFO_SEGMENTS,
	INFO_SEGMENT,
	INFO_RECORD,
	INFO_CHECKPOINT,
	INFO_CELLS
};

static const struct report_column info_columns[INFO_CELLS] = {
	[INFO_SCHEMA_CELL] = { "schema", REPORT_NUMBER },
	[INFO_LABEL] = { "label", REPORT_TEXT },
	[INFO_UUID] = { "uuid", REPORT_TEXT },
	[INFO_CLEAN] = { "clean", REPORT_BOOL },
	[INFO_LEVEL] = { "level", REPORT_NUMBER },
	[INFO_MEDIUM] = { "medium", REPORT_SIZE },
	[INFO_SEGMENTS] = { "segments", REPORT_NUMBER },
	[INFO_SEGMENT] = { "segment_size", REPORT_SIZE },
	[INFO_RECORD] = { "record_size", REPORT_SIZE },
	[INFO_CHECKPOINT] = { "generation", REPORT_NUMBER },
};

#define CELL_SIZE 64

static void info_uuid(const uint8_t *id, char text[CELL_SIZE])
{
	size_t at = 0;

	for (int i = 0; i < 16; i++)
		at += (size_t)snprintf(
			text + at, CELL_SIZE - at, "%s%02x",
			i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			id[i]);
}

static void info_number(uint64_t number, char text[CELL_SIZE])
{
	snprintf(text, CELL_SIZE, "%" PRIu64, number);
}

static void info_fill(const struct super *super,
		      char texts[INFO_CELLS][CELL_SIZE])
{
	info_number(INFO_SCHEMA, texts[INFO_SCHEMA_CELL]);
	snprintf(texts[INFO_LABEL], CELL_SIZE, "%s", super->label);
	info_uuid(super->uuid, texts[INFO_UUID]);
	info_number(super->flags & SUPER_CLEAN, texts[INFO_CLEAN]);
	info_number((uint64_t)super->level, texts[INFO_LEVEL]);
	info_number(super->medium_size, texts[INFO_MEDIUM]);
	info_number(super->n_segments, texts[INFO_SEGMENTS]);
	info_number(super->segment_size, texts[INFO_SEGMENT]);
	info_number((uint64_t)super->record_blocks * BLOCK_SIZE,
		    texts[INFO_RECORD]);
	info_number(super->generation, texts[INFO_CHECKPOINT]);
}

static void info_put(const struct info *info, const char *name,
		     const char *text, enum report_kind kind)
{
	char size[16];

	if (kind == REPORT_BOOL)
		text = strcmp(text, "0") == 0 ? "no" : "yes";
	if (kind == REPORT_SIZE && !info->is_bytes) {
		report_size(text, size);
		text = size;
	}
	printf("%-18s", name);
	report_text(stdout, *text != '\0' ? text : "-");
	putchar('\n');
}

/* @stats: NULL where they cannot be had */
static void info_print(const struct info *info, const struct super *super,
		       const struct stats *stats)
{
	char texts[INFO_CELLS][CELL_SIZE], *cells[INFO_CELLS];
	const struct report report = { info_columns, INFO_CELLS, cells, 1 };

	info_fill(super, texts);
	for (int i = 0; i < INFO_CELLS; i++)
		cells[i] = texts[i];
	if (info->is_json) {
		putchar('{');
		report_json_members(stdout, &report, 0);
		fputs(stats != NULL ? ", " : "", stdout);
		if (stats != NULL)
			stats_json_members(stdout, stats);
		puts("}");
		return;
	}
	for (int i = INFO_LABEL; i < INFO_CELLS; i++)
		info_put(info, info_columns[i].name, cells[i],
			 info_columns[i].kind);
	if (stats != NULL)
		stats_print(stats, info->is_bytes);
}

static int info_file(const struct info *info, struct file *file,
		     const char *path)
{
	struct engine_options how = { .n_workers = 1, .is_read_only = true };
	struct engine engine;
	struct stats stats;
	struct super super;
	const char *reason;
	bool is_whole;
	int error =
		engine_read_super(&file->medium, &super, &is_whole, &reason);

	if (error != 0)
		return action_failed(path, reason, error);
	error = engine_open(&engine, &file->medium, &how);
	if (error != 0) {
		info_print(info, &super, NULL);
		action_failed(path, engine.reason, error);
		msg_hint("\"bdus compress check\" tells what is wrong");
		return EXIT_FAILED;
	}
	engine_stats(&engine, &stats);
	/* what it is, and not that it was opened only to be read */
	stats.flags &= ~STATS_READ_ONLY;
	info_print(info, &super, &stats);
	engine_close(&engine);
	return EXIT_DONE;
}

static int info_run(void *opts, int argc, char **argv)
{
	struct file file;
	int code = action_operand(argc);

	if (code == EXIT_DONE)
		code = file_open(&file, argv[0], true);
	if (code != EXIT_DONE) {
		if (code == EXIT_BUSY)
			msg_hint("\"bdus stats\" tells the same of a device");
		return code;
	}
	code = info_file(opts, &file, argv[0]);
	file_close(&file);
	return code;
}

const struct applet compress_action_info = {
	.name = "info",
	.summary = "tell what a volume is, and what is in it",
	.operands = "FILE|DEVICE",
	.opts = info_opts,
	.opts_size = sizeof(struct info),
	.run = info_run,
};
