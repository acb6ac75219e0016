/* SPDX-License-Identifier: MIT */
/*
 * blockcheck - the block checker on a block device or file.
 *
 *	blockcheck run --log FILE [OPTION...] DEV
 *	blockcheck judge --log FILE [--after crash|power-loss] DEV
 *
 * "run" overwrites DEV with a workload, judges what it reads meanwhile, and in
 * the end all of it; SIGINT and SIGTERM are a request to come to that end.
 * SIGKILL leaves a log as good as any: "judge" judges by a log what DEV holds
 * now. Where the machine itself may go down, FILE is to be on another one.
 *
 * The last line of output is the summary. Exit status: 0 no bad sector and no
 * client error, 1 some, or failed, 2 usage.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "checker.h"
#include "msg.h"
#include "opt.h"

#define DEFAULT_OPS 20000

struct options {
	const char *log;
	uint64_t size;
	unsigned int after;
	struct plan plan;
};

static const char *const after_names[] = {
	[AFTER_CRASH] = "crash",
	[AFTER_POWER_LOSS] = "power-loss",
	NULL,
};

#define OPT_LOG                                                               \
	OPT_PATH("log", 'l', struct options, log, OPT_REQUIRED, "FILE", NULL, \
		 "what was issued, acknowledged and flushed; not on DEV")

static const struct opt run_opts[] = {
	OPT_LOG,
	OPT_UINT("seed", 's', struct options, plan.seed, 0, "N", 0, 0, NULL,
		 "of the workload (default: a new one)"),
	OPT_UINT("depth", 'd', struct options, plan.depth, 0, "N", 1, 1024,
		 "32", "operations in flight of each writer"),
	OPT_UINT("writers", 'w', struct options, plan.writers, 0, "N", 1, 64,
		 "2", "threads"),
	OPT_UINT("ops", 'n', struct options, plan.ops, 0, "N", 0, INT64_MAX,
		 "0", "operations (without --seconds: 20000)"),
	OPT_UINT("seconds", 't', struct options, plan.seconds, 0, "N", 0,
		 INT32_MAX, "0", "start no more after this time"),
	OPT_UINT("flush-every", 'f', struct options, plan.flush_every, 0, "N",
		 0, INT64_MAX, "64",
		 "operations of a writer per flush; 0: no flush"),
	OPT_SIZE("size", 0, struct options, size, 0, 65536, INT64_MAX, NULL,
		 "use no more than this of DEV"),
	OPT_BOOL("data-only", 0, struct options, plan.data_only,
		 "neither zeroing nor discard"),
	OPT_END
};

static const struct opt judge_opts[] = {
	OPT_LOG,
	OPT_ENUM("after", 'a', struct options, after, 0, "EVENT", after_names,
		 "crash", "what came before: decides what may be gone"),
	OPT_END
};

static void on_signal(int number)
{
	(void)number;
	run_stop();
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	action.sa_flags = SA_RESTART;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static int failed(const char *path, const char *what, int error)
{
	msg_error("%s: %s: %s", path, what, strerror(error));
	return EXIT_FAILED;
}

static uint64_t sectors_wanted(const struct target *target, uint64_t size)
{
	uint64_t n = size / SECTOR_BYTES;

	n -= n % target->block_sectors;
	return n != 0 && n < target->n_sectors ? n : target->n_sectors;
}

static void complete_plan(struct plan *plan)
{
	uint32_t seed = 0;

	if (plan->ops == 0 && plan->seconds == 0)
		plan->ops = DEFAULT_OPS;
	if (plan->seed == 0 && getrandom(&seed, sizeof(seed), 0) > 0)
		plan->seed = seed;
}

/* The workload, then everything is read back. */
static int run_and_judge(struct target *target, struct oplog *log,
			 const struct plan *plan, struct tally *tally)
{
	int error = run_workload(target, log, plan, tally);
	double seconds = (double)tally->run_ms / 1e3;

	if (error != 0)
		return error;
	printf("%" PRIu64 " operations in %.1f s: %.0f per second\n",
	       tally->n_ops, seconds, (double)tally->n_ops / (seconds + 1e-3));
	return run_judge(target, log, AFTER_CRASH, tally);
}

static int with_log(struct target *target, struct oplog *log,
		    const struct options *options, bool is_run)
{
	struct tally tally = { .name = target->name };
	int error = is_run ?
			    run_and_judge(target, log, &options->plan, &tally) :
			    run_judge(target, log, (enum after)options->after,
				      &tally);

	if (error != 0)
		return failed(target->name, "cannot start", -error);
	tally_print(&tally, log);
	return tally_is_clean(&tally) ? EXIT_DONE : EXIT_FAILED;
}

static int command_run(struct options *options, struct target *target)
{
	struct oplog log;
	int error, code;

	complete_plan(&options->plan);
	catch_signals();
	error = oplog_create(&log, options->log,
			     sectors_wanted(target, options->size),
			     options->plan.seed);
	if (error != 0)
		return failed(options->log, "cannot make a log", -error);
	code = with_log(target, &log, options, true);
	oplog_close(&log);
	return code;
}

static int command_judge(struct options *options, struct target *target)
{
	struct oplog log;
	int error, code;

	error = oplog_open(&log, options->log);
	if (error == -ENODATA) {
		msg_error(
			"%s: the run had not begun to write: nothing to judge",
			options->log);
		return EXIT_FAILED;
	}
	if (error != 0)
		return failed(options->log, "cannot use this log", -error);
	if (log.head->n_sectors <= target->n_sectors) {
		code = with_log(target, &log, options, false);
	} else {
		msg_error("%s: is smaller than the disk that %s is about",
			  target->name, options->log);
		code = EXIT_FAILED;
	}
	oplog_close(&log);
	return code;
}

static const struct command {
	const char *name;
	const struct opt *opts;
	bool is_read_only;
	int (*run)(struct options *options, struct target *target);
} commands[] = {
	{ "run", run_opts, false, command_run },
	{ "judge", judge_opts, true, command_judge },
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *out)
{
	fputs("Usage: blockcheck run --log FILE [OPTION...] DEV\n"
	      "       blockcheck judge --log FILE [OPTION...] DEV\n",
	      out);
	for (size_t i = 0; i < N_COMMANDS; i++) {
		struct opt_group groups[] = {
			{ .title = commands[i].name, .opts = commands[i].opts },
			{ .opts = NULL },
		};

		opt_print_help(out, groups);
	}
}

static int command_main(const struct command *command, int argc, char **argv)
{
	struct options options = { .log = NULL };
	struct opt_group groups[] = {
		{ .opts = command->opts, .base = &options },
		{ .opts = NULL },
	};
	struct device device;
	int error, code;

	if (opt_wants_help(groups, argc, argv)) {
		print_help(stdout);
		return EXIT_DONE;
	}
	argc = opt_parse("blockcheck", groups, argc, argv);
	if (argc < 0)
		return EXIT_USAGE;
	if (argc != 1) {
		msg_error("needs one device");
		return EXIT_USAGE;
	}
	error = device_open(&device, argv[0], command->is_read_only);
	if (error != 0)
		return failed(argv[0], "cannot open", -error);
	code = command->run(&options, &device.target);
	device_close(&device);
	return code;
}

int main(int argc, char **argv)
{
	msg_set_who("blockcheck");
	for (size_t i = 0; argc > 1 && i < N_COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return command_main(&commands[i], argc - 2, argv + 2);
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		print_help(stdout);
		return EXIT_DONE;
	}
	print_help(stderr);
	return EXIT_USAGE;
}
