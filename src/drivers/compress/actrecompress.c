/* SPDX-License-Identifier: MIT */
/*
 * actrecompress - the action that packs anew what was packed by a lower level:
 * a volume that is closed, or by its driver while it is a disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "actions.h"
#include "devid.h"
#include "engine.h"
#include "file.h"
#include "ioctl.h"
#include "msg.h"
#include "progress.h"
#include "report.h"
#include "stats.h"

/* Of the JSON output; to be raised when a key changes its meaning or goes. */
#define RECOMPRESS_SCHEMA 1
#define POLL_MS 100

struct recompress_options {
	uint64_t level;
	bool is_background;
	bool is_json;
	bool is_stop;
};

static const struct opt recompress_opts[] = {
	OPT_BOOL("background", 0, struct recompress_options, is_background,
		 "of a device: do not wait until it is done"),
	OPT_BOOL("json", 'J', struct recompress_options, is_json, "print JSON"),
	OPT_UINT("level", 0, struct recompress_options, level, 0, "N", 1, 22,
		 "19", "of zstd"),
	OPT_BOOL("stop", 0, struct recompress_options, is_stop,
		 "of a device: end it before it is done"),
	OPT_END
};

/* What is recompressed, and who tells how far it is. */
struct work {
	const struct recompress_options *options;
	const char *operand;
	struct engine *engine; /* or NULL: the driver of */
	uint64_t id;	       /* this device */
};

static volatile sig_atomic_t was_interrupted;

static void interrupt(int signal)
{
	(void)signal;
	was_interrupted = 1;
}

/* What was done is safe: it ends where it is, and says so. */
static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = interrupt };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static void work_print(const struct work *work, const struct stats *stats,
		       bool is_done)
{
	uint64_t values[] = { stats->examined, stats->rewritten, stats->saved };
	char number[24], texts[3][16];

	if (work->options->is_json) {
		printf("{\"schema\": %d, \"level\": %" PRIu64
		       ", \"done\": %s, \"examined\": %" PRIu64
		       ", \"rewritten\": %" PRIu64 ", \"saved\": %" PRIu64
		       "}\n",
		       RECOMPRESS_SCHEMA, work->options->level,
		       is_done ? "true" : "false", values[0], values[1],
		       values[2]);
		return;
	}
	for (int i = 0; i < 3; i++) {
		snprintf(number, sizeof(number), "%" PRIu64, values[i]);
		report_size(number, texts[i]);
	}
	printf("%s: examined %s, rewrote %s, saved %s\n", work->operand,
	       texts[0], texts[1], texts[2]);
}

static int work_ask(const struct work *work, struct stats *stats)
{
	if (work->engine == NULL)
		return stats_ask(work->operand, work->id, stats);
	engine_stats(work->engine, stats);
	return EXIT_DONE;
}

static int work_failed(const struct work *work, const char *what,
		       const char *hint)
{
	msg_error("%s: %s", work->operand, what);
	msg_hint("%s", hint);
	return EXIT_FAILED;
}

/* Is it over? Then @code is how it ended. */
static bool work_is_over(const struct work *work, const struct stats *stats,
			 int *code)
{
	bool is_running = stats->flags & STATS_RECOMPRESSING;

	if (stats->flags & STATS_FAILED)
		*code = work_failed(work, "the backing failed",
				    "\"bdus compress check\" tells more");
	else if (stats->recompress_level != work->options->level)
		*code = work_failed(work, "the driver was replaced meanwhile",
				    "the same command goes on");
	else if (is_running && work->engine != NULL &&
		 (stats->flags & STATS_FULL))
		*code = work_failed(work, "is too full to be worked on",
				    "discard something, or make it larger");
	else if (is_running && was_interrupted)
		*code = work_failed(work, "interrupted",
				    work->engine == NULL ?
					    "its driver goes on; --stop ends "
					    "it" :
					    "the same command goes on");
	else
		return !is_running;
	return true;
}

/* Until it is done. */
static int work_wait(const struct work *work)
{
	struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };
	struct progress progress;
	struct stats stats;
	int code = work_ask(work, &stats);

	if (code != EXIT_DONE)
		return code;
	catch_signals();
	progress_start(&progress, work->operand, stats.data);
	while (code == EXIT_DONE && !work_is_over(work, &stats, &code)) {
		progress_set(&progress, stats.examined);
		nanosleep(&pause, NULL);
		code = work_ask(work, &stats);
	}
	progress_end(&progress);
	if (code == EXIT_DONE || was_interrupted)
		work_print(work, &stats, code == EXIT_DONE);
	return code;
}

/* --- of a device ------------------------------------------------------------
 */

static int live_tell(const struct work *work, uint32_t level)
{
	struct compress_recompress how = { .level = level };
	char node[DEVID_NODE_SIZE];
	int fd, error = 0;

	devid_node(work->id, node);
	fd = open(node, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, (int)COMPRESS_RECOMPRESS, &how) != 0)
		error = errno;
	if (fd >= 0)
		close(fd);
	if (error == 0)
		return EXIT_DONE;
	msg_error("%s: %s", work->operand,
		  error == ENOTTY ? "is no compressed volume" :
		  error == EBUSY  ? "is recompressed with another level" :
				    strerror(error));
	if (error == EBUSY)
		msg_hint("--stop ends it");
	return error == EBUSY			 ? EXIT_BUSY :
	       error == EACCES || error == EPERM ? EXIT_NO_MODULE :
						   EXIT_FAILED;
}

static int live_run(struct work *work)
{
	const struct recompress_options *options = work->options;
	int code = devid_resolve(work->operand, &work->id);

	if (code == EXIT_DONE)
		code = live_tell(
			work, options->is_stop ? 0 : (uint32_t)options->level);
	if (code != EXIT_DONE || options->is_stop || options->is_background)
		return code;
	return work_wait(work);
}

/* --- of a volume that is closed ---------------------------------------------
 */

static int file_begin(const struct work *work)
{
	int error = recompress_begin(work->engine, (int)work->options->level);

	return error == 0 ? work_wait(work) :
			    action_failed(work->operand,
					  "cannot be recompressed", error);
}

static int file_work(const struct work *work, struct file *file)
{
	struct engine_options how = { .n_workers = 1 };
	struct work inner = *work;
	struct engine engine;
	int error = engine_open(&engine, &file->medium, &how), code;

	if (error != 0)
		return action_failed(work->operand, engine.reason, error);
	inner.engine = &engine;
	code = file_begin(&inner);
	error = engine_close(&engine);
	if (error != 0 && code == EXIT_DONE)
		return action_failed(work->operand, "cannot be closed", error);
	return code;
}

static int file_run(struct work *work)
{
	struct file file;
	int code;

	if (work->options->is_background || work->options->is_stop) {
		msg_error("%s: is no device of bdus", work->operand);
		msg_hint("--background and --stop are for its driver");
		return EXIT_USAGE;
	}
	code = file_open(&file, work->operand, false);
	if (code != EXIT_DONE) {
		if (code == EXIT_BUSY)
			msg_hint("give the device, and its driver does it");
		return code;
	}
	code = file_work(work, &file);
	file_close(&file);
	return code;
}

/* A disk of ours? A name that is no file may be an id. */
static bool is_ours(const char *operand)
{
	char name[64];
	struct stat st;

	if (stat(operand, &st) != 0)
		return errno == ENOENT && strchr(operand, '/') == NULL;
	if (!S_ISBLK(st.st_mode))
		return false;
	snprintf(name, sizeof(name), "/sys/dev/block/%u:%u/bdus/id",
		 major(st.st_rdev), minor(st.st_rdev));
	return access(name, F_OK) == 0;
}

static int recompress_run(void *opts, int argc, char **argv)
{
	struct work work = { .options = opts };
	int code = action_operand(argc);

	if (code != EXIT_DONE)
		return code;
	work.operand = argv[0];
	return is_ours(argv[0]) ? live_run(&work) : file_run(&work);
}

const struct applet compress_action_recompress = {
	.name = "recompress",
	.summary = "pack anew what was packed by a lower level",
	.operands = "FILE|DEVICE|DEV",
	.opts = recompress_opts,
	.opts_size = sizeof(struct recompress_options),
	.run = recompress_run,
};
