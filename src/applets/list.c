/* SPDX-License-Identifier: MIT */
/*
 * list - the devices there are, from sysfs; needs no privilege.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applet.h"
#include "attribute.h"
#include "devid.h"
#include "msg.h"
#include "report.h"

/* Of the JSON output; to be raised when a key changes its meaning or goes. */
#define LIST_SCHEMA 1

struct list {
	bool is_json;
	bool is_bare;
	bool is_bytes;
	const char *columns;
};

static const struct opt list_opts[] = {
	OPT_BOOL("bytes", 'b', struct list, is_bytes, "print sizes in bytes"),
	OPT_BOOL("json", 'J', struct list, is_json,
		 "print JSON, by default with all columns"),
	OPT_BOOL("noheadings", 'n', struct list, is_bare,
		 "leave the headings out"),
	OPT_STRING("output", 'o', struct list, columns, 0, "COLS", NULL,
		   "the columns to print, separated by commas"),
	OPT_END
};

/* The columns, and where in /sys/block/bdus-N/ their values are. */
#define LIST_COUNTERS(op)                                              \
	{ { op "_requests", REPORT_NUMBER }, "bdus/" op "_requests" }, \
	{                                                              \
		{ op "_bytes", REPORT_SIZE }, "bdus/" op "_bytes"      \
	}

static const struct list_column {
	struct report_column column;
	const char *file;
} list_columns[] = {
	{ { "device", REPORT_TEXT }, NULL },
	{ { "id", REPORT_NUMBER }, "bdus/id" },
	{ { "driver", REPORT_TEXT }, "bdus/driver" },
	{ { "size", REPORT_SIZE }, "size" },
	{ { "ro", REPORT_BOOL }, "ro" },
	{ { "state", REPORT_TEXT }, "bdus/state" },
	{ { "pid", REPORT_NUMBER }, "bdus/pid" },
	{ { "open", REPORT_NUMBER }, "bdus/openers" },
	{ { "backing", REPORT_TEXT }, "bdus/backing" },
	/* those above are the default */
	{ { "recoverable", REPORT_BOOL }, "bdus/recoverable" },
	{ { "supervised", REPORT_BOOL }, "bdus/supervised" },
	{ { "timeout_ms", REPORT_MS }, "bdus/timeout_ms" },
	{ { "recovery_timeout_ms", REPORT_MS }, "bdus/recovery_timeout_ms" },
	{ { "on_hang", REPORT_TEXT }, "bdus/on_hang" },
	{ { "waiting_ms", REPORT_MS }, "bdus/waiting_ms" },
	{ { "oldest_ms", REPORT_MS }, "bdus/oldest_ms" },
	{ { "in_flight", REPORT_NUMBER }, "bdus/in_flight" },
	{ { "waiting", REPORT_NUMBER }, "bdus/waiting" },
	{ { "attempts", REPORT_NUMBER }, "bdus/attempts" },
	{ { "restarts", REPORT_NUMBER }, "bdus/restarts" },
	{ { "last_reason", REPORT_TEXT }, "bdus/last_reason" },
	LIST_COUNTERS("read"),
	LIST_COUNTERS("write"),
	LIST_COUNTERS("write_zeroes"),
	LIST_COUNTERS("fua_write"),
	LIST_COUNTERS("flush"),
	LIST_COUNTERS("discard"),
	LIST_COUNTERS("secure_erase"),
	LIST_COUNTERS("ioctl"),
};

#define LIST_DEFAULT 9
#define LIST_COLUMNS (sizeof(list_columns) / sizeof(list_columns[0]))

/* The columns to print, by their places in the table. */
struct choice {
	struct report_column columns[LIST_COLUMNS];
	size_t places[LIST_COLUMNS];
	size_t count;
};

static int choose_columns(const struct list *list, struct choice *choice)
{
	size_t n_default = list->is_json ? LIST_COLUMNS : LIST_DEFAULT;
	struct report_column all[LIST_COLUMNS];

	for (size_t i = 0; i < LIST_COLUMNS; i++)
		all[i] = list_columns[i].column;
	for (choice->count = 0; choice->count < n_default; choice->count++)
		choice->places[choice->count] = choice->count;
	if (list->columns != NULL &&
	    report_choose(all, LIST_COLUMNS, list->columns, choice->places,
			  &choice->count) != 0)
		return EXIT_USAGE;
	for (size_t i = 0; i < choice->count; i++)
		choice->columns[i] = all[choice->places[i]];
	return EXIT_DONE;
}

/* The kernel counts sectors of 512 bytes. */
static char *size_in_bytes(const char *sectors)
{
	char bytes[32];

	snprintf(bytes, sizeof(bytes), "%" PRIu64,
		 (uint64_t)strtoull(sectors, NULL, 10) * 512);
	return strdup(bytes);
}

static char *list_cell(uint64_t id, const char *file)
{
	char text[ATTRIBUTE_SIZE];

	if (file == NULL)
		devid_node(id, text);
	else if (attribute_text("/sys", id, file, text, sizeof(text)) != 0)
		return NULL;
	else if (strcmp(file, "size") == 0)
		return size_in_bytes(text);
	else if (strcmp(file, "bdus/pid") == 0 && strcmp(text, "0") == 0)
		text[0] = '\0';
	return strdup(text);
}

static void list_print(const struct list *list, const struct report *report)
{
	if (list->is_json)
		report_json(stdout, report, "devices", LIST_SCHEMA);
	else
		report_table(stdout, report, !list->is_bare, list->is_bytes);
}

static int list_devices(const struct list *list, const struct choice *choice,
			const uint64_t *ids, size_t count)
{
	size_t n_cells = count * choice->count;
	char **cells = calloc(n_cells + 1, sizeof(*cells));
	const struct report report = { .columns = choice->columns,
				       .n_columns = choice->count,
				       .cells = cells,
				       .n_rows = count };

	if (cells == NULL) {
		msg_error("%s", strerror(ENOMEM));
		return EXIT_FAILED;
	}
	for (size_t i = 0; i < n_cells; i++) {
		size_t place = choice->places[i % choice->count];

		cells[i] = list_cell(ids[i / choice->count],
				     list_columns[place].file);
	}
	list_print(list, &report);
	for (size_t i = 0; i < n_cells; i++)
		free(cells[i]);
	free(cells);
	return EXIT_DONE;
}

/* The ids that the operands mean, in @ids. */
static int list_resolve(int argc, char **argv, uint64_t *ids, size_t *count)
{
	int status = EXIT_DONE;

	*count = 0;
	for (int i = 0; i < argc; i++) {
		int one = devid_resolve(argv[i], &ids[*count]);

		if (one == EXIT_DONE)
			(*count)++;
		else if (status == EXIT_DONE)
			status = one;
	}
	return status;
}

static int list_run(void *opts, int argc, char **argv)
{
	const struct list *list = opts;
	struct choice choice;
	uint64_t *ids = NULL;
	size_t count = 0;
	int status = choose_columns(list, &choice);
	int error = 0;

	if (status != EXIT_DONE)
		return status;
	if (argc == 0)
		error = devid_list(&ids, &count);
	else
		ids = calloc((size_t)argc, sizeof(*ids));
	if (error != 0 || (argc > 0 && ids == NULL)) {
		msg_error("cannot list the devices: %s",
			  strerror(error != 0 ? -error : ENOMEM));
		return EXIT_FAILED;
	}
	if (argc > 0)
		status = list_resolve(argc, argv, ids, &count);
	error = list_devices(list, &choice, ids, count);
	free(ids);
	return status != EXIT_DONE ? status : error;
}

APPLET(list) = {
	.name = "list",
	.summary = "the devices there are",
	.operands = "[DEV|ID...]",
	.opts = list_opts,
	.opts_size = sizeof(struct list),
	.run = list_run,
};
