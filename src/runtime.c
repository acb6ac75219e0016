/* SPDX-License-Identifier: MIT */
/*
 * runtime - running a driver: from the command line to the end of the device.
 *
 * Order of things: parse; fork; lock memory; open the driver; create and
 * attach; let the old driver, if any, come to rest; start the driver; workers;
 * start the device; node, pid file; tell that it is usable. And back:
 * workers leave; close the driver; node, pid file; close the session, after
 * which the kernel lets whoever destroyed the device go on. With a supervisor
 * there is one more process in between, which forks the driver.
 */
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon.h"
#include "dev.h"
#include "kept.h"
#include "msg.h"
#include "node.h"
#include "options.h"
#include "reclaim.h"
#include "stop.h"
#include "supervise.h"
#include "takeover.h"

/* One run of a driver. */
struct runtime {
	struct options opts;
	struct dev dev;
	struct daemon daemon;
	struct stop stop;
	struct node node;
	struct supervise supervise;
	bool is_candidate; /* has looked at what the old driver left */
	int lock_error;
	char who[64];
};

/* --- descriptors of the caller's that options name ------------------------ */

/* Calls @call for each of them, up to one that it does not return 0 for. */
static int runtime_each_fd(const struct runtime *runtime,
			   int (*call)(const char *name, int fd))
{
	const struct opt_group groups[] = {
		{ NULL, runtime->dev.driver->opts, runtime->dev.priv },
		{ NULL, options_table(), (void *)(uintptr_t)&runtime->opts },
	};
	int code = EXIT_DONE;

	for (int i = 0; i < 2; i++) {
		const struct opt *opt = groups[i].opts;

		for (; opt != NULL && opt->type != OPT_TYPE_END; opt++) {
			uint64_t fd = 0;

			if (opt->flags & OPT_DESCRIPTOR)
				memcpy(&fd,
				       (char *)groups[i].base + opt->offset,
				       sizeof(fd));
			if (code == EXIT_DONE && fd != 0)
				code = call(opt->name, (int)fd);
		}
	}
	return code;
}

/*
 * All that is opened here is closed on exec, which the caller's cannot be: a
 * number that nobody has opened may be that of something of ours by now.
 */
static int runtime_claim_fd(const char *name, int fd)
{
	int flags = fcntl(fd, F_GETFD);

	if (fd == KEPT_FD || fd == KEPT_MEMORY_FD) {
		msg_error("--%s: descriptor %d is for bdus itself", name, fd);
		return EXIT_USAGE;
	}
	if (flags < 0 || (flags & FD_CLOEXEC)) {
		msg_error("--%s: descriptor %d is not open%s", name, fd,
			  flags < 0 ? "" : ", or another option's");
		return EXIT_USAGE;
	}
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	return EXIT_DONE;
}

static int runtime_close_fd(const char *name, int fd)
{
	(void)name;
	close(fd);
	return EXIT_DONE;
}

/* --- the life of a driver ------------------------------------------------- */

static int runtime_parse(struct runtime *runtime, int argc, char **argv)
{
	const struct driver *driver = runtime->dev.driver;
	const struct opt_group groups[] = {
		{ NULL, driver->opts, runtime->dev.priv },
		{ "common", options_table(), &runtime->opts },
		{ NULL, NULL, NULL },
	};
	int n;

	options_init(&runtime->opts);
	n = opt_parse(runtime->who, driver->opts != NULL ? groups : groups + 1,
		      argc, argv);
	if (n < 0 || runtime_each_fd(runtime, runtime_claim_fd) != EXIT_DONE)
		return EXIT_USAGE;
	if (n != driver->n_operands) {
		msg_error("expects %s, got %d operand%s",
			  driver->n_operands != 0 ? driver->operands :
						    "no operands",
			  n, n == 1 ? "" : "s");
		return EXIT_USAGE;
	}
	runtime->dev.operands = argv;
	return options_apply(&runtime->opts, &runtime->dev);
}

static int runtime_failed(const char *what, int error)
{
	msg_error("%s: %s", what, strerror(-error));
	return EXIT_FAILED;
}

static int runtime_open_log(const struct options *opts)
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

	if (path == NULL || runtime->daemon.pidfile != NULL)
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
	if (error != 0 && !runtime->dev.is_rerun) {
		msg_error("%s: does not come up: %s", runtime->node.path,
			  strerror(-error));
		return EXIT_FAILED;
	}
	if (atomic_load(&runtime->stop.was_asked))
		return runtime_failed("ended before it was usable", -EINTR);
	code = runtime_write_pidfile(runtime);
	if (code == EXIT_DONE)
		code = runtime_open_log(&runtime->opts);
	if (code != EXIT_DONE && !runtime->dev.is_rerun)
		return code;
	error = daemon_ready(&runtime->daemon, runtime->node.path, ready_fd);
	if (error == 0)
		return EXIT_DONE;
	return runtime_failed("cannot announce the device", error);
}

/* A new device: it is ours as soon as it is there. */
static int runtime_start_new(struct runtime *runtime)
{
	int error = stop_start(&runtime->stop, &runtime->dev);

	if (error != 0)
		return runtime_failed("cannot start a thread", error);
	node_clear(runtime->dev.id);
	error = dev_start(&runtime->dev);
	if (error != 0 && error != -EINTR)
		return runtime_failed("cannot start the device", error);
	return runtime_announce(runtime);
}

/*
 * The device of another driver. Until it is ours, a signal, or the end of who
 * waits for us, is the end of the attempt, and the other driver serves on.
 * From then on it would be the end of the device.
 */
static int runtime_wait(struct runtime *runtime, int (*wait)(struct dev *dev))
{
	struct dev *dev = &runtime->dev;
	int error = -EINTR;

	stop_catch_signals();
	while (error == -EINTR && !stop_was_caught()) {
		error = wait(dev);
		/* what was looked at may have changed */
		if (runtime->is_candidate)
			break;
	}
	if (dev->has_taken_over)
		prctl(PR_SET_PDEATHSIG, 0);
	stop_block_signals();
	if (error == 0)
		return EXIT_DONE;
	takeover_explain(dev, error);
	return error == -EBUSY ? EXIT_BUSY : EXIT_FAILED;
}

/*
 * A driver that is alive goes on if we fail. One that is gone leaves us its
 * place: the device is ours at once, and what is below it as well.
 */
static int runtime_settle(struct runtime *runtime)
{
	int code = runtime_wait(runtime, dev_settle);

	if (code != EXIT_DONE)
		return code;
	if (takeover_is_vacant(&runtime->dev))
		return runtime_wait(runtime, dev_start);
	runtime->is_candidate = true;
	return EXIT_DONE;
}

static int runtime_start_over(struct runtime *runtime)
{
	struct dev *dev = &runtime->dev;
	int code = EXIT_DONE, error;

	if (!dev->has_taken_over)
		code = runtime_wait(runtime, dev_start);
	if (code != EXIT_DONE)
		return code;
	error = stop_start(&runtime->stop, dev);
	if (error != 0)
		runtime_failed("cannot start a thread", error);
	if (error == 0 && !runtime->supervise.is_restart)
		runtime_announce(runtime);
	/* there is no way back: the old driver is gone, the device in use */
	return EXIT_DONE;
}

static int runtime_start_driver(struct runtime *runtime)
{
	struct dev *dev = &runtime->dev;
	int code = EXIT_DONE, error;

	if (dev->is_rerun && dev->driver->start != NULL)
		code = runtime_settle(runtime);
	if (code == EXIT_DONE)
		code = dev_start_driver(dev);
	if (code != EXIT_DONE)
		return code;
	error = workers_start(dev);
	return error == 0 ? EXIT_DONE :
			    runtime_failed("cannot start a thread", error);
}

static int runtime_bring_up(struct runtime *runtime)
{
	int code = runtime_start_driver(runtime);

	if (code != EXIT_DONE)
		return code;
	code = runtime->dev.is_rerun ? runtime_start_over(runtime) :
				       runtime_start_new(runtime);
	if (code == EXIT_DONE && runtime->opts.is_supervised)
		supervise_ready(&runtime->supervise, runtime->dev.id);
	/* after that: for a supervisor it is a failure before */
	if (code == EXIT_DONE && !runtime->supervise.is_restart)
		daemon_release(&runtime->daemon);
	return code;
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
	if (runtime->dev.kept_memory != NULL)
		kept_memory_lock(runtime->dev.kept_memory);
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

/* What is outside of this process goes with the device, if that goes. */
static void runtime_clean_up(struct runtime *runtime)
{
	bool was_replaced = atomic_load(&runtime->dev.was_replaced);

	if (!was_replaced)
		node_remove(&runtime->node);
	if (!runtime->opts.is_supervised)
		daemon_remove_pidfile(&runtime->daemon);
}

/* The whole life of a driver, in the process that serves the device. */
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
	runtime_clean_up(runtime);
	dev_detach(dev);
	return code != EXIT_DONE ? code : close_code;
}

/* --- with a supervisor --------------------------------------------------- */

static int runtime_run_supervised(void *arg)
{
	struct runtime *runtime = arg;

	runtime->dev.attrs.owner = runtime->supervise.owner;
	if (runtime->supervise.is_restart) {
		runtime->dev.is_rerun = true;
		runtime->dev.is_restart = true;
		runtime->dev.id = runtime->supervise.id;
		runtime->dev.has_kept = fcntl(KEPT_FD, F_GETFD) >= 0;
	}
	return runtime_run(runtime);
}

/*
 * Whoever waits for the first driver sees that it failed by the last close, and
 * goes when it is ready; if earlier, that is the end of the attempt.
 */
static void runtime_begun(void *arg)
{
	struct runtime *runtime = arg;

	if (runtime->daemon.is_background)
		prctl(PR_SET_PDEATHSIG, SIGHUP);
	daemon_release(&runtime->daemon);
	runtime_each_fd(runtime, runtime_close_fd);
}

static void runtime_detach(void *arg)
{
	struct runtime *runtime = arg;

	/* its path may be relative; the driver has told if it does not do */
	if (runtime->opts.log != NULL)
		msg_to_log(runtime->opts.log);
	if (runtime->daemon.is_background)
		daemon_detach();
}

static int runtime_supervise(struct runtime *runtime)
{
	struct supervise *supervisor = &runtime->supervise;
	int code;

	*supervisor = (struct supervise){
		.run = runtime_run_supervised,
		.begun = runtime_begun,
		.detach = runtime_detach,
		.arg = runtime,
	};
	runtime->daemon.main_pid = getpid();
	code = runtime_write_pidfile(runtime);
	if (code != EXIT_DONE)
		return code;
	runtime_lock(runtime);
	reclaim_protect();
	code = supervise(supervisor);
	daemon_remove_pidfile(&runtime->daemon);
	return code;
}

/* --- from the command line ------------------------------------------------ */

static int runtime_begin(struct runtime *runtime)
{
	runtime->daemon.main_pid = getpid();
	/* Ctrl-C is for who waits for us: see runtime_start_over() */
	if (runtime->dev.is_rerun && runtime->daemon.is_background)
		setsid();
	if (runtime->opts.is_supervised)
		return runtime_supervise(runtime);
	return runtime_run(runtime);
}

static int runtime_go(struct runtime *runtime)
{
	int code = EXIT_FAILED, forked;

	if (runtime->opts.is_foreground)
		return runtime_begin(runtime);
	forked = daemon_fork(&runtime->daemon, &code);
	if (forked == 0)
		return runtime_begin(runtime);
	if (forked < 0)
		return runtime_failed("cannot start a process", forked);
	return code;
}

static int runtime_alloc(struct runtime *runtime)
{
	const struct driver *driver = runtime->dev.driver;

	if (driver->kept_size > 0) {
		runtime->dev.kept_memory =
			kept_memory_make(driver->name, driver->kept_size);
		if (runtime->dev.kept_memory == NULL)
			return -errno;
	}
	runtime->dev.priv = calloc(1, driver->priv_size + 1);
	return runtime->dev.priv != NULL ? 0 : -ENOMEM;
}

static void runtime_free(struct runtime *runtime)
{
	free(runtime->dev.priv);
	if (runtime->dev.kept_memory != NULL)
		kept_memory_free(runtime->dev.kept_memory);
	msg_set_who("bdus");
}

static int runtime_check_content(const struct runtime *runtime, bool is_forced)
{
	const struct dev *dev = &runtime->dev;
	const struct driver *old = driver_find(dev->old.attributes.driver);
	const char *name =
		dev->driver->loses_content ? dev->driver->name : NULL;

	if (old != NULL && old->loses_content)
		name = old->name;
	if (name == NULL || is_forced)
		return EXIT_DONE;
	msg_error("bdus-%llu: the content of a %s disk is lost with its driver",
		  (unsigned long long)dev->id, name);
	msg_hint("'bdus rerun --force' does it all the same");
	return EXIT_FAILED;
}

/* Some set the soft limit of files lower than the kept descriptor's number. */
static int runtime_make_room(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return runtime_failed("cannot get the limit of open files",
				      -errno);
	if (files.rlim_cur >= KEPT_MIN_FILES)
		return EXIT_DONE;
	if (files.rlim_max < KEPT_MIN_FILES) {
		msg_error("the limit of open files (ulimit -Hn) is %ju, bdus "
			  "needs %d",
			  (uintmax_t)files.rlim_max, KEPT_MIN_FILES);
		return EXIT_FAILED;
	}
	files.rlim_cur = KEPT_MIN_FILES;
	if (setrlimit(RLIMIT_NOFILE, &files) != 0)
		return runtime_failed("cannot set the limit of open files",
				      -errno);
	return EXIT_DONE;
}

static int runtime_start(struct runtime *runtime, int argc, char **argv)
{
	int code = runtime_make_room();
	int error;

	if (code != EXIT_DONE)
		return code;
	error = runtime_alloc(runtime);
	if (error != 0)
		return runtime_failed("cannot start", error);
	code = runtime_parse(runtime, argc, argv);
	if (code != EXIT_DONE)
		return code;
	/* whatever the caller had there is no lock of a driver before us */
	close(KEPT_FD);
	return runtime_go(runtime);
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
	code = runtime_start(&runtime, argc, argv);
	runtime_free(&runtime);
	return code;
}

int runtime_rerun(uint64_t id, bool is_forced, const struct driver *driver,
		  int argc, char **argv)
{
	struct runtime runtime = {
		.dev = { .driver = driver,
			 .control = -1,
			 .session = -1,
			 .is_rerun = true,
			 .id = id },
	};
	int code;

	daemon_fill_stdio();
	snprintf(runtime.who, sizeof(runtime.who), "bdus rerun");
	msg_set_who(runtime.who);
	code = takeover_meet(&runtime.dev);
	if (code == EXIT_DONE)
		code = runtime_check_content(&runtime, is_forced);
	if (code == EXIT_DONE)
		code = runtime_start(&runtime, argc, argv);
	runtime_free(&runtime);
	return code;
}
