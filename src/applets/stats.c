/* SPDX-License-Identifier: MIT */
/*
 * stats - what the driver of a device tells of itself, once or again and again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "applet.h"
#include "attribute.h"
#include "devid.h"
#include "msg.h"
#include "report.h"
#include "stats.h"

/* Of the JSON output; to be raised when a key changes its meaning or goes. */
#define STATS_SCHEMA 1

struct stats_options {
	uint64_t interval_s;
	uint64_t count;
	bool is_bytes;
	bool is_json;
	bool is_watch;
};

static const struct opt stats_opts[] = {
	OPT_BOOL("bytes", 'b', struct stats_options, is_bytes,
		 "print sizes in bytes"),
	OPT_UINT("count", 'c', struct stats_options, count, 0, "N", 1,
		 1000000000, NULL, "end after so many, with --watch"),
	OPT_UINT("interval", 'i', struct stats_options, interval_s, 0,
		 "SECONDS", 1, 86400, "2", "time between them, with --watch"),
	OPT_BOOL("json", 'J', struct stats_options, is_json,
		 "print JSON, an object a line"),
	OPT_BOOL("watch", 'w', struct stats_options, is_watch,
		 "go on, until interrupted"),
	OPT_END
};

/* What is watched. */
struct watch {
	const struct stats_options *options;
	const char *operand;
	uint64_t id;
	struct stats before;
	struct timespec at;
	bool is_terminal;
};

static void stats_put_json(const struct watch *watch, const struct stats *stats)
{
	static const struct report_column columns[] = {
		{ "schema", REPORT_NUMBER },
		{ "device", REPORT_TEXT },
		{ "driver", REPORT_TEXT },
		{ "backing", REPORT_TEXT },
	};
	char schema[16], node[DEVID_NODE_SIZE];
	char driver[ATTRIBUTE_SIZE], backing[ATTRIBUTE_SIZE];
	char *cells[] = { schema, node, driver, backing };
	const struct report report = { columns, 4, cells, 1 };

	snprintf(schema, sizeof(schema), "%d", STATS_SCHEMA);
	devid_node(watch->id, node);
	attribute_text("/sys", watch->id, "bdus/driver", driver,
		       sizeof(driver));
	attribute_text("/sys", watch->id, "bdus/backing", backing,
		       sizeof(backing));
	putchar('{');
	report_json_members(stdout, &report, 0);
	fputs(", ", stdout);
	stats_json_members(stdout, stats);
	fputs("}\n", stdout);
}

static uint64_t watch_ms(struct watch *watch)
{
	struct timespec now;
	int64_t ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (now.tv_sec - watch->at.tv_sec) * 1000 +
	     (now.tv_nsec - watch->at.tv_nsec) / 1000000;
	watch->at = now;
	return (uint64_t)ms;
}

/* In a pipe a line, on a terminal all of the screen. */
static void watch_put(struct watch *watch, const struct stats *stats,
		      uint64_t i)
{
	uint64_t ms = watch_ms(watch);
	char node[DEVID_NODE_SIZE];

	if (!watch->is_terminal) {
		if (i == 0)
			stats_headings();
		else
			stats_changes(stats, &watch->before, ms);
		return;
	}
	devid_node(watch->id, node);
	printf("\033[H\033[J%s, every %" PRIu64 "s\n\n", node,
	       watch->options->interval_s);
	stats_print(stats, watch->options->is_bytes);
	if (i == 0)
		return;
	putchar('\n');
	stats_headings();
	stats_changes(stats, &watch->before, ms);
}

static int watch_one(struct watch *watch, uint64_t i)
{
	struct stats stats;
	int status = stats_ask(watch->operand, watch->id, &stats);

	if (status != EXIT_DONE)
		return status;
	if (watch->options->is_json)
		stats_put_json(watch, &stats);
	else if (watch->options->is_watch)
		watch_put(watch, &stats, i);
	else
		stats_print(&stats, watch->options->is_bytes);
	watch->before = stats;
	/* a line that is seen when it is there */
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static void watch_wait(const struct timespec *end)
{
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, end, NULL) ==
	       EINTR)
		continue;
}

static int watch_run(struct watch *watch)
{
	const struct stats_options *options = watch->options;
	/* in a pipe, the first one is what the second is compared with */
	uint64_t more = !watch->is_terminal && !options->is_json;
	struct timespec end;
	int status;

	clock_gettime(CLOCK_MONOTONIC, &watch->at);
	end = watch->at;
	for (uint64_t i = 0;; i++) {
		status = watch_one(watch, i);
		if (status != EXIT_DONE || !options->is_watch ||
		    (options->count != 0 && i + 1 == options->count + more))
			return status;
		end.tv_sec += (time_t)options->interval_s;
		watch_wait(&end);
	}
}

static int stats_run(void *opts, int argc, char **argv)
{
	struct watch watch = { .options = opts,
			       .is_terminal = isatty(STDOUT_FILENO) };
	int status;

	if (argc != 1) {
		msg_error(argc == 0 ? "no device given" : "one device only");
		msg_hint("give it as DEV or ID: /dev/bdus-3, bdus-3, 3");
		return EXIT_USAGE;
	}
	watch.operand = argv[0];
	status = devid_resolve(argv[0], &watch.id);
	return status == EXIT_DONE ? watch_run(&watch) : status;
}

APPLET(stats) = {
	.name = "stats",
	.summary = "what the driver of a device tells of itself",
	.operands = "DEV|ID",
	.opts = stats_opts,
	.opts_size = sizeof(struct stats_options),
	.run = stats_run,
};
