/* SPDX-License-Identifier: MIT */
/*
 * run - the life of a device of libbdus.
 *
 * Order of things: check; fork; create and attach; initialize; workers; start;
 * node; on_device_available; daemonise. And back: workers leave; terminate;
 * node; close the session, after which the kernel lets whoever destroyed the
 * device go on.
 *
 * A driver that takes over is initialised when the former one has finished and
 * flushed, since it may read from its backing what that one wrote last; if it
 * fails, the former one serves on.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "api.h"
#include "msg.h"
#include "reclaim.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#define PR_GET_IO_FLUSHER 58
#endif

/* What drivers were used to when their callbacks ran on the main thread. */
#define RUN_STACK (8U << 20)
#define RUN_LOG_SIZE 256

void api_log(const struct api *api, const char *format, ...)
{
	char text[RUN_LOG_SIZE];
	va_list args;

	if (!api->given.log)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	dprintf(STDERR_FILENO, "%s: %s\n",
		api->ctx != NULL ? api->ctx->path : "bdus", text);
}

void api_log_io(const struct io *io, const char *callback)
{
	const struct api *api = api_of(io);

	if (!api->given.log)
		return;
	if (io->command != 0)
		api_log(api, "%s(command=%#" PRIx32 ")", callback, io->command);
	else if (io->len != 0)
		api_log(api, "%s(offset=%" PRIu64 ", size=%" PRIu32 ")",
			callback, io->off, io->len);
	else
		api_log(api, "%s()", callback);
}

/* Once: the others find the session gone, and leave in silence. */
static void api_abort(struct api *api)
{
	if (!atomic_exchange(&api->was_aborted, true))
		dev_leave(&api->dev);
}

/* An aborted request is not answered: it ends with the session. */
void api_answer(struct io *io, int result)
{
	if (result == bdus_abort)
		api_abort(api_of(io));
	else
		io_done(io, result >= 0 && result < 512 ? result : EIO);
}

/* The process's name, as the module takes it. */
static void run_name(char name[KBDUS_NAME_SIZE])
{
	size_t n = 0;

	for (const char *from = program_invocation_short_name;
	     *from != '\0' && n < KBDUS_NAME_SIZE - 1; from++)
		if (*from > ' ' && *from <= '~')
			name[n++] = *from;
	name[n] = '\0';
	if (n == 0)
		memcpy(name, "libbdus", sizeof("libbdus"));
}

static void run_fill(struct api *api)
{
	uint32_t workers = api->given.max_concurrent_callbacks;
	struct dev *dev = &api->dev;

	run_name(api->name);
	api->driver.name = api->name;
	api->driver.open = attributes_open;
	if (api->ops != NULL)
		sync_fill_driver(api);
	else
		async_fill_driver(api);
	dev->driver = &api->driver;
	dev->priv = api;
	dev->control = -1;
	dev->session = -1;
	dev->n_workers = workers == 0		    ? 1 :
			 workers < KBDUS_MAX_QUEUES ? workers :
						      KBDUS_MAX_QUEUES;
	dev->stack_size = RUN_STACK;
	api->parent = -1;
}

/* The members are constant for users; this is the only place to fill them. */
static int run_make_ctx(struct api *api, void *private_data)
{
	const struct bdus_ctx ctx = {
		.id = api->dev.id,
		.path = api->node.path,
		.ops = api->ops,
		.attrs = &api->attrs,
		.is_rerun = api->dev.is_rerun,
		.private_data = private_data,
	};

	devid_node(api->dev.id, api->node.path);
	api->ctx = malloc(sizeof(ctx));
	if (api->ctx == NULL)
		return ENOMEM;
	memcpy(api->ctx, &ctx, sizeof(ctx));
	attributes_show(api);
	return 0;
}

static void run_fill_number(struct api *api)
{
	struct stat st;
	uint32_t number;

	if (stat(api->node.path, &st) != 0)
		return;
	number = major(st.st_rdev);
	memcpy((void *)(uintptr_t)&api->ctx->major, &number, sizeof(number));
	number = minor(st.st_rdev);
	memcpy((void *)(uintptr_t)&api->ctx->minor, &number, sizeof(number));
}

static int run_failed(const char *what, int error)
{
	msg_error("cannot %s: %s", what, strerror(error));
	return error;
}

/* One of the three callbacks for the driver as a whole. */
static int run_callback(struct api *api, const char *name,
			int (*callback)(struct bdus_ctx *ctx))
{
	int result;

	if (callback == NULL)
		return 0;
	api_log(api, "%s()", name);
	result = callback(api->ctx);
	if (result == 0)
		return 0;
	if (result < 0 || result >= 512) {
		msg_error("the driver's callback %s failed", name);
		return EIO;
	}
	msg_error("the driver's callback %s failed: %s", name,
		  strerror(result));
	return result;
}

static int run_initialize(struct api *api)
{
	return run_callback(api, "initialize",
			    api->ops != NULL ? api->ops->initialize :
					       api->async->initialize);
}

static int run_terminate(struct api *api)
{
	return run_callback(api, "terminate",
			    api->ops != NULL ? api->ops->terminate :
					       api->async->terminate);
}

static int run_print_path(struct bdus_ctx *ctx)
{
	return printf("%s\n", ctx->path) < 0 || fflush(stdout) != 0 ? errno : 0;
}

/* Alone, and with those behind it that come meanwhile. */
static int run_available(struct api *api)
{
	int (*callback)(struct bdus_ctx * ctx) =
		api->ops != NULL ? api->ops->on_device_available :
				   api->async->on_device_available;
	int error;

	pthread_mutex_lock(&api->turnstile);
	pthread_rwlock_wrlock(&api->gate);
	error = run_callback(api, "on_device_available",
			     callback != NULL ? callback : run_print_path);
	pthread_rwlock_unlock(&api->gate);
	pthread_mutex_unlock(&api->turnstile);
	return error;
}

/*
 * The workers may not run the user's signal handlers, but for those of faults
 * that their callbacks make. The kernel may wait for them in order to free
 * memory; run_protect() told it so, before initialize dropped the privilege.
 */
static int run_workers(struct api *api)
{
	static const int faults[] = { SIGSEGV, SIGBUS,	SIGFPE,
				      SIGILL,  SIGTRAP, SIGSYS };
	sigset_t blocked, before;
	int error;

	sigfillset(&blocked);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&blocked, faults[i]);
	pthread_sigmask(SIG_BLOCK, &blocked, &before);
	error = workers_start(&api->dev);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error == 0 ? 0 : run_failed("start a thread", -error);
}

static void run_protect(const struct api *api)
{
	if (api->given.dont_daemonize)
		prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	else
		reclaim_protect();
}

static int run_start(struct api *api)
{
	int error;

	if (!api->dev.is_rerun)
		node_clear(api->dev.id);
	error = dev_start(&api->dev);
	/* the disk is there, and partitions will be */
	if (error == -EINTR && !api->dev.is_rerun)
		error = 0;
	if (error == 0)
		return 0;
	return run_failed(api->dev.is_rerun ? "take over the device" :
					      "start the device",
			  -error);
}

static int run_bring_up(struct api *api)
{
	int error = run_workers(api);

	if (error == 0)
		error = run_start(api);
	if (error == 0) {
		error = -node_wait(&api->node, api->dev.id);
		if (error != 0)
			return run_failed("wait for the device's node", error);
	}
	if (error == 0) {
		run_fill_number(api);
		error = run_available(api);
	}
	if (error == 0 && !api->given.dont_daemonize) {
		error = daemonize_ready(api);
		if (error != 0)
			return run_failed("daemonise", error);
	}
	return error;
}

/* Why the device ended, where no message has told it yet. */
static int run_verdict(struct api *api, int error)
{
	if (atomic_load(&api->was_aborted)) {
		message_begin();
		msg_error("driver aborted: a callback returned bdus_abort");
		return EIO;
	}
	if (error != 0)
		return error;
	if (atomic_load(&api->dev.is_lost) &&
	    !atomic_load(&api->dev.was_replaced)) {
		msg_error("%s: the device is lost: the kernel module ended "
			  "the session of its driver",
			  api->node.path);
		return ENODEV;
	}
	return 0;
}

static int run_serve(struct api *api)
{
	int error = run_bring_up(api);
	int last;

	if (error != 0 && !atomic_load(&api->was_aborted))
		dev_abandon(&api->dev);
	workers_join(&api->dev);
	async_wait(api);
	error = run_verdict(api, error);
	last = run_terminate(api);
	return error != 0 ? error : last;
}

/* Attached. */
static int run_driver(struct api *api)
{
	int was_flusher = prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0);
	int error = 0;

	run_protect(api);
	if (api->dev.is_rerun)
		error = -dev_settle(&api->dev);
	if (error != 0)
		run_failed("take over the device", error);
	else
		error = run_initialize(api);
	if (error == 0)
		error = run_serve(api);
	if (was_flusher == 0)
		prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
	return error;
}

/* The whole life of a device, in the process that serves it. */
static int run_device(struct api *api, void *private_data)
{
	struct dev *dev = &api->dev;
	int code = dev_open(dev);
	int error;

	if (code == EXIT_DONE)
		code = dev_attach(dev, true);
	error = code != EXIT_DONE ? message_errno(code) :
				    run_make_ctx(api, private_data);
	if (error == 0)
		error = run_driver(api);
	if (!atomic_load(&dev->was_replaced))
		node_remove(&api->node);
	return error;
}

static int run_checked(struct api *api, void *private_data)
{
	int error = attributes_check(api);

	if (error == 0 && api->dev.is_rerun)
		error = attributes_adopt(api);
	if (error == 0 && !api->given.dont_daemonize)
		error = daemonize_fork(api);
	if (error == 0)
		error = run_device(api, private_data);
	dev_detach(&api->dev);
	return error;
}

static bool run(struct api *from, const struct bdus_attrs *attrs,
		void *private_data)
{
	struct api *api = calloc(1, sizeof(*api));
	int error;

	message_begin();
	if (api == NULL)
		return message_fail(ENOMEM);
	api->ops = from->ops;
	api->async = from->async;
	api->given = *attrs;
	api->dev.is_rerun = from->dev.is_rerun;
	api->dev.id = from->dev.id;
	pthread_mutex_init(&api->turnstile, NULL);
	pthread_rwlock_init(&api->gate, NULL);
	run_fill(api);
	error = run_checked(api, private_data);
	pthread_rwlock_destroy(&api->gate);
	pthread_mutex_destroy(&api->turnstile);
	free(api->ctx);
	free(api);
	return error == 0 ? true : message_fail(error);
}

bool bdus_run(const struct bdus_ops *ops, const struct bdus_attrs *attrs,
	      void *private_data)
{
	struct api from = { .ops = ops };

	return run(&from, attrs, private_data);
}

bool bdus_rerun(uint64_t dev_id, const struct bdus_ops *ops,
		const struct bdus_attrs *attrs, void *private_data)
{
	struct api from = { .dev = { .is_rerun = true, .id = dev_id },
			    .ops = ops };

	return run(&from, attrs, private_data);
}

bool bdus_run_async(const struct bdus_async_ops *ops,
		    const struct bdus_attrs *attrs, void *private_data)
{
	struct api from = { .async = ops };

	return run(&from, attrs, private_data);
}

bool bdus_rerun_async(uint64_t dev_id, const struct bdus_async_ops *ops,
		      const struct bdus_attrs *attrs, void *private_data)
{
	struct api from = { .dev = { .is_rerun = true, .id = dev_id },
			    .async = ops };

	return run(&from, attrs, private_data);
}
