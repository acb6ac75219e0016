/* SPDX-License-Identifier: MIT */
/*
 * runtime - running a driver: from the command line to the end of the device.
 *
 * Order of things: parse; fork; lock memory; open the driver; create and
 * attach; workers; start; node, pid file; tell that it is usable. And back:
 * workers leave; close the driver; node, pid file; close the session, after
 * which the kernel lets whoever destroyed the device go on.
 */
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon.h"
#include "dev.h"
#include "msg.h"
#include "node.h"
#include "reclaim.h"
#include "stop.h"

#define RUNTIME_MAX_BLOCK 65536
#define RUNTIME_MAX_PHYSICAL_BLOCK (1U << 20)

/* What the common options fill in. */
struct runtime_options {
	uint64_t block_size;
	uint64_t physical_block_size;
	uint64_t queues;
	uint64_t poll_us;
	uint64_t timeout_s;
	uint64_t ready_fd; /* 0: none, as stdin is no place to write to */
	const char *pidfile;
	const char *log;
	bool is_read_only;
	bool is_foreground;
	bool no_mlock;
	bool no_partscan;
};

/* One run of a driver. */
struct runtime {
	struct runtime_options opts;
	struct dev dev;
	struct daemon daemon;
	struct stop stop;
	struct node node;
	int lock_error;
	char who[64];
};

static const struct opt runtime_table[] = {
	OPT_BOOL("read-only", 'r', struct runtime_options, is_read_only,
		 "refuse writes"),
	OPT_SIZE("block-size", 'b', struct runtime_options, block_size, 0, 512,
		 RUNTIME_MAX_BLOCK, NULL,
		 "logical block size, a power of two up to the page size"),
	OPT_SIZE("physical-block-size", 0, struct runtime_options,
		 physical_block_size, 0, 512, RUNTIME_MAX_PHYSICAL_BLOCK, NULL,
		 "physical block size, a power of two up to 1M"),
	OPT_UINT("queues", 0, struct runtime_options, queues, 0, "N", 1,
		 KBDUS_MAX_QUEUES, NULL, "worker threads, else one per CPU"),
	OPT_UINT("poll", 0, struct runtime_options, poll_us, 0, "US", 0,
		 KBDUS_MAX_POLL_US, "0",
		 "microseconds that a worker waits busily for a request"),
	OPT_UINT("timeout", 0, struct runtime_options, timeout_s, 0, "SECONDS",
		 0, UINT32_MAX / 1000, "30",
		 "end a driver that is stuck for so long; 0 = never"),
	OPT_BOOL("no-partscan", 0, struct runtime_options, no_partscan,
		 "do not look for partitions"),
	OPT_BOOL("no-mlock", 0, struct runtime_options, no_mlock,
		 "do not lock the driver in memory"),
	OPT_BOOL("foreground", 'f', struct runtime_options, is_foreground,
		 "stay in the foreground"),
	OPT_PATH("pidfile", 0, struct runtime_options, pidfile, 0, "FILE", NULL,
		 "write the driver's process id to FILE"),
	OPT_UINT("ready-fd", 0, struct runtime_options, ready_fd, 0, "N", 3,
		 INT_MAX, NULL,
		 "write the device's path to descriptor N once it is usable"),
	OPT_PATH("log", 0, struct runtime_options, log, 0, "FILE", NULL,
		 "append messages to FILE once the device is usable"),
	OPT_END
};

const struct opt *runtime_opts(void)
{
	return runtime_table;
}

static unsigned int runtime_online_cpus(void)
{
	cpu_set_t set;
	long online;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned int)CPU_COUNT(&set);
	/* more CPUs than the set has room for */
	online = sysconf(_SC_NPROCESSORS_ONLN);
	return online > 0 ? (unsigned int)online : 1;
}

static bool runtime_is_block_size(uint64_t size, uint64_t max)
{
	return size == 0 || ((size & (size - 1)) == 0 && size <= max);
}

static int runtime_check_blocks(const struct runtime_options *opts)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (!runtime_is_block_size(opts->block_size, page)) {
		msg_error("--block-size: must be a power of two from 512 to "
			  "%llu",
			  (unsigned long long)page);
		return EXIT_USAGE;
	}
	if (!runtime_is_block_size(opts->physical_block_size,
				   RUNTIME_MAX_PHYSICAL_BLOCK) ||
	    (opts->physical_block_size != 0 &&
	     opts->physical_block_size < opts->block_size)) {
		msg_error("--physical-block-size: must be a power of two from "
			  "the block size to 1M");
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

static int runtime_check_ready_fd(const struct runtime_options *opts)
{
	int fd = (int)opts->ready_fd;

	if (fd == 0)
		return EXIT_DONE;
	if (fcntl(fd, F_GETFD) < 0) {
		msg_error("--ready-fd: descriptor %d is not open", fd);
		return EXIT_USAGE;
	}
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	return EXIT_DONE;
}

static void runtime_fill_dev(struct runtime *runtime)
{
	const struct runtime_options *opts = &runtime->opts;
	struct dev *dev = &runtime->dev;

	dev->n_workers = opts->queues != 0 ? (unsigned int)opts->queues :
					     runtime_online_cpus();
	if (dev->n_workers > KBDUS_MAX_QUEUES)
		dev->n_workers = KBDUS_MAX_QUEUES;
	dev->poll_us = (unsigned int)opts->poll_us;
	dev->attrs.logical_block_size = (uint32_t)opts->block_size;
	dev->attrs.physical_block_size = (uint32_t)opts->physical_block_size;
	dev->attrs.timeout_ms = (uint32_t)(opts->timeout_s * 1000);
	if (opts->is_read_only)
		dev->attrs.flags |= KBDUS_DEVICE_READ_ONLY;
	if (opts->no_partscan)
		dev->attrs.flags |= KBDUS_DEVICE_NO_PARTITIONS;
}

static int runtime_parse(struct runtime *runtime, int argc, char **argv)
{
	const struct driver *driver = runtime->dev.driver;
	const struct opt_group groups[] = {
		{ NULL, driver->opts, runtime->dev.priv },
		{ "common", runtime_table, &runtime->opts },
		{ NULL, NULL, NULL },
	};
	int code, n;

	n = opt_parse(runtime->who, driver->opts != NULL ? groups : groups + 1,
		      argc, argv);
	if (n < 0)
		return EXIT_USAGE;
	if (n != driver->n_operands) {
		msg_error("expects %s, got %d operand%s",
			  driver->n_operands != 0 ? driver->operands :
						    "no operands",
			  n, n == 1 ? "" : "s");
		return EXIT_USAGE;
	}
	runtime->dev.operands = argv;
	code = runtime_check_blocks(&runtime->opts);
	if (code == EXIT_DONE)
		code = runtime_check_ready_fd(&runtime->opts);
	if (code == EXIT_DONE)
		runtime_fill_dev(runtime);
	return code;
}

static int runtime_failed(const char *what, int error)
{
	msg_error("%s: %s", what, strerror(-error));
	return EXIT_FAILED;
}

static int runtime_open_log(const struct runtime_options *opts)
{
	int error;

	if (opts->log == NULL)
		return EXIT_DONE;
	error = msg_to_log(opts->log);
	if (error == 0)
		return EXIT_DONE;
	msg_error("%s: cannot open (--log): %s", opts->log, strerror(-error));
	return EXIT_FAILED;
}

static int runtime_write_pidfile(struct runtime *runtime)
{
	const char *path = runtime->opts.pidfile;
	int error;

	if (path == NULL)
		return EXIT_DONE;
	error = daemon_write_pidfile(&runtime->daemon, path);
	if (error == 0)
		return EXIT_DONE;
	msg_error("%s: cannot write (--pidfile): %s", path, strerror(-error));
	return EXIT_FAILED;
}

/* The disk is on show: make it usable and say so. */
static int runtime_announce(struct runtime *runtime)
{
	int ready_fd =
		runtime->opts.ready_fd != 0 ? (int)runtime->opts.ready_fd : -1;
	int code, error;

	error = node_wait(&runtime->node, runtime->dev.id);
	if (error != 0) {
		msg_error("%s: does not come up: %s", runtime->node.path,
			  strerror(-error));
		return EXIT_FAILED;
	}
	if (atomic_load(&runtime->stop.was_asked))
		return runtime_failed("ended before it was usable", -EINTR);
	code = runtime_write_pidfile(runtime);
	if (code == EXIT_DONE)
		code = runtime_open_log(&runtime->opts);
	if (code != EXIT_DONE)
		return code;
	error = daemon_ready(&runtime->daemon, runtime->node.path, ready_fd);
	return error == 0 ? EXIT_DONE :
			    runtime_failed("cannot announce the device", error);
}

static int runtime_bring_up(struct runtime *runtime)
{
	int error = workers_start(&runtime->dev);

	if (error == 0)
		error = stop_start(&runtime->stop, &runtime->dev);
	if (error != 0)
		return runtime_failed("cannot start a thread", error);
	node_clear(runtime->dev.id);
	error = dev_start(&runtime->dev);
	if (error != 0 && error != -EINTR)
		return runtime_failed("cannot start the device", error);
	return runtime_announce(runtime);
}

/* From an attached device to one whose workers have left. */
static int runtime_serve(struct runtime *runtime)
{
	struct dev *dev = &runtime->dev;
	int code;

	reclaim_protect();
	stop_block_signals();
	code = runtime_bring_up(runtime);
	if (code != EXIT_DONE)
		dev_abandon(dev);
	workers_join(dev);
	stop_end(&runtime->stop);
	if (code == EXIT_DONE && atomic_load(&dev->is_lost))
		code = EXIT_FAILED;
	return code;
}

static void runtime_lock(struct runtime *runtime)
{
	if (!runtime->opts.no_mlock)
		runtime->lock_error = reclaim_lock();
}

static void runtime_warn_unlocked(const struct runtime *runtime)
{
	if (runtime->lock_error == 0)
		return;
	msg_warn("cannot lock memory: %s", strerror(-runtime->lock_error));
	msg_hint("without it, writing to the device may hang when memory is "
		 "short; --no-mlock silences this");
}

/* The whole life of a device, in the process that serves it. */
static int runtime_run(struct runtime *runtime)
{
	struct dev *dev = &runtime->dev;
	bool is_locked;
	int code, close_code;

	umask(077);
	runtime_lock(runtime);
	code = dev_open(dev);
	if (code != EXIT_DONE)
		return code;
	is_locked = !runtime->opts.no_mlock && runtime->lock_error == 0;
	code = dev_attach(dev, is_locked);
	if (code == EXIT_DONE) {
		runtime_warn_unlocked(runtime);
		code = runtime_serve(runtime);
	}
	close_code = dev_close(dev);
	node_remove(&runtime->node);
	daemon_remove_pidfile(&runtime->daemon);
	dev_detach(dev);
	return code != EXIT_DONE ? code : close_code;
}

static int runtime_go(struct runtime *runtime)
{
	int code = EXIT_FAILED, forked;

	if (runtime->opts.is_foreground)
		return runtime_run(runtime);
	forked = daemon_fork(&runtime->daemon, &code);
	if (forked == 0)
		return runtime_run(runtime);
	if (forked < 0)
		return runtime_failed("cannot start a process", forked);
	return code;
}

int runtime_main(const struct driver *driver, int argc, char **argv)
{
	struct runtime runtime = {
		.dev = { .driver = driver, .control = -1, .session = -1 },
	};
	int code;

	daemon_fill_stdio();
	snprintf(runtime.who, sizeof(runtime.who), "bdus %s", driver->name);
	msg_set_who(runtime.who);
	runtime.dev.priv = calloc(1, driver->priv_size + 1);
	if (runtime.dev.priv == NULL)
		return runtime_failed("cannot start", -ENOMEM);
	code = runtime_parse(&runtime, argc, argv);
	if (code == EXIT_DONE)
		code = runtime_go(&runtime);
	free(runtime.dev.priv);
	msg_set_who("bdus");
	return code;
}
