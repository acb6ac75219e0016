/* SPDX-License-Identifier: MIT */
/*
 * test-worker - what workers do with the kernel's answers, the refusing ones
 * above all. ioctl() is a stand-in that follows a script.
 */
#include <sys/ioctl.h>

#include "dev.h"
#include "msg.h"
#include "tap.h"

#define MAX_CALLS 16
#define MAX_SEEN 256
#define COMMAND 0x1234

/* One EXCHANGE of the script: what the kernel does. */
struct call {
	int error;	     /* 0, or the errno it fails with */
	unsigned int n_done; /* on failure: completions applied before */
	unsigned int n_requests;
	unsigned int flags;
	uint8_t op; /* of its requests; 0: read */
	uint16_t request_flags;
};

static const struct call *script;
static int n_calls;
static struct kbdus_completion seen[MAX_SEEN]; /* what was applied */
static unsigned int n_seen;
static unsigned int next_tag;
static uint32_t flags_in[MAX_CALLS]; /* what each EXCHANGE asked for */
static struct io *deferred[MAX_SEEN];
static unsigned int n_deferred;
static struct dev dev;
static char caught[4096];

static void take_completions(const struct kbdus_exchange *exchange,
			     unsigned int n)
{
	const struct kbdus_completion *from =
		(const void *)(uintptr_t)exchange->completions;

	for (unsigned int i = 0; i < n && n_seen < MAX_SEEN; i++)
		seen[n_seen++] = from[i];
}

static void give_requests(struct kbdus_exchange *exchange,
			  const struct call *call)
{
	unsigned int n = call->n_requests;
	uint8_t op = call->op;
	struct kbdus_request *to = (void *)(uintptr_t)exchange->requests;

	for (unsigned int i = 0; i < n; i++, next_tag++)
		to[i] = (struct kbdus_request){
			.tag = (uint16_t)(next_tag % 128),
			.generation = next_tag,
			.len = 512,
			.arg = op == KBDUS_OP_IOCTL ? COMMAND + next_tag : 0,
			.flags = call->request_flags,
			.op = op,
		};
	exchange->n_requests = n;
}

int ioctl(int fd, unsigned long command, ...)
{
	const struct call *call = &script[n_calls];
	struct kbdus_exchange *exchange;
	va_list args;

	(void)fd;
	va_start(args, command);
	exchange = va_arg(args, struct kbdus_exchange *);
	va_end(args);
	flags_in[n_calls++] = exchange->flags;
	if (call->error != 0) {
		exchange->n_done = call->n_done;
		exchange->n_requests = 0;
		take_completions(exchange, call->n_done);
		errno = call->error;
		return -1;
	}
	take_completions(exchange, exchange->n_completions);
	exchange->n_done = exchange->n_completions;
	give_requests(exchange, call);
	exchange->flags = call->flags;
	return 0;
}

static void driver_read(struct io *io)
{
	io_done_zero(io);
}

/* Knows the command of tag 0 only. */
static void driver_ioctl(struct io *io)
{
	if (io->command == COMMAND && io->len == 512)
		io_done(io, 0);
	else
		io_done(io, ENOTTY);
}

static void driver_flush(struct io *io)
{
	io_done(io, io->is_handover ? ENOLINK : 0);
}

static void driver_write(struct io *io)
{
	deferred[n_deferred++] = io;
	io_defer(io);
}

static void driver_settle(struct dev *of)
{
	(void)of;
	for (unsigned int i = 0; i < n_deferred; i++)
		io_done(deferred[i], 0);
	n_deferred = 0;
}

/* Run one worker through a script; returns the calls it made. */
static int play(const struct call *calls)
{
	static struct dev_slot slots[128];
	static struct worker worker;
	static const struct driver driver = { .settle = driver_settle };

	memset(&dev, 0, sizeof(dev));
	memset(&worker, 0, sizeof(worker));
	for (unsigned int tag = 0; tag < 128; tag++) {
		slots[tag].io.dev = &dev;
		slots[tag].io.tag = (uint16_t)tag;
	}
	dev.slots = slots;
	dev.workers = &worker;
	dev.n_workers = 1;
	dev.batch = 4;
	dev.driver = &driver;
	dev.serve[KBDUS_OP_WRITE] = driver_write;
	dev.serve[KBDUS_OP_READ] = driver_read;
	dev.serve[KBDUS_OP_IOCTL] = driver_ioctl;
	dev.serve[KBDUS_OP_FLUSH] = driver_flush;
	worker.dev = &dev;
	script = calls;
	n_calls = 0;
	n_seen = 0;
	next_tag = 0;
	if (workers_start(&dev) != 0)
		return -1;
	workers_join(&dev);
	return n_calls;
}

/* Were these requests answered, each once and in this order? */
static bool answered(const unsigned int *tags, unsigned int n)
{
	if (n_seen != n)
		return false;
	for (unsigned int i = 0; i < n; i++)
		if (seen[i].tag != tags[i] || seen[i].generation != tags[i])
			return false;
	return true;
}

#define ANSWERED(...)                                            \
	answered((const unsigned int[]){ __VA_ARGS__ },          \
		 sizeof((const unsigned int[]){ __VA_ARGS__ }) / \
			 sizeof(unsigned int))

static void test_plain(void)
{
	static const struct call calls[] = {
		{ .n_requests = 3 },
		{ .n_requests = 2 },
		{ .flags = KBDUS_EXCHANGE_TERMINATE },
	};

	ok(play(calls) == 3, "plain: leaves when told");
	ok(ANSWERED(0, 1, 2, 3, 4), "plain: all are answered");
	ok(seen[0].how == KBDUS_HOW_ZERO && seen[0].done == 512 &&
		   seen[0].result == 0,
	   "plain: as the driver said");
	ok(!dev.is_lost, "plain: the device is not lost");
}

/* The argument goes back, or the errno as it is. */
static void test_ioctl(void)
{
	static const struct call calls[] = {
		{ .n_requests = 2, .op = KBDUS_OP_IOCTL },
		{ .flags = KBDUS_EXCHANGE_TERMINATE },
	};

	play(calls);
	ok(ANSWERED(0, 1), "ioctl: answered");
	ok(seen[0].how == KBDUS_HOW_BUFFER && seen[0].done == 512 &&
		   seen[0].result == 0,
	   "ioctl: the argument goes back");
	ok(seen[1].how == KBDUS_HOW_NONE && seen[1].done == 0 &&
		   seen[1].result == -ENOTTY,
	   "ioctl: or the errno, alone");
}

/* A driver without the callback does not see the request. */
static void test_unknown_operation(void)
{
	static const struct call calls[] = {
		{ .n_requests = 1, .op = KBDUS_OP_DISCARD },
		{ .flags = KBDUS_EXCHANGE_TERMINATE },
	};

	play(calls);
	ok(ANSWERED(0) && seen[0].result == -EOPNOTSUPP,
	   "no callback: EOPNOTSUPP");
}

/* What comes with the order to leave is served first. */
static void test_terminate_with_requests(void)
{
	static const struct call calls[] = {
		{ .n_requests = 2, .flags = KBDUS_EXCHANGE_TERMINATE },
		{ .flags = KBDUS_EXCHANGE_TERMINATE },
	};

	ok(play(calls) == 2 && ANSWERED(0, 1), "terminate: serves first");
}

/* Behind a batch that is not full nothing is waited for. */
static void test_deferred(void)
{
	static const struct call calls[] = {
		{ .n_requests = 2, .op = KBDUS_OP_WRITE },
		{ .flags = KBDUS_EXCHANGE_TERMINATE },
	};

	ok(play(calls) == 2 && ANSWERED(0, 1), "deferred: settled");
	ok(flags_in[1] == 0, "deferred: before it waits");
}

/* Behind a full one there may be more, which is not waited for. */
static void test_deferred_more(void)
{
	static const struct call calls[] = {
		{ .n_requests = 4, .op = KBDUS_OP_WRITE },
		{ .n_requests = 4, .op = KBDUS_OP_WRITE },
		{ .n_requests = 0 },
		{ .flags = KBDUS_EXCHANGE_TERMINATE },
	};

	ok(play(calls) == 4 && ANSWERED(0, 1, 2, 3, 4, 5, 6, 7),
	   "deferred, more: all are settled");
	ok(flags_in[1] == KBDUS_EXCHANGE_NOWAIT &&
		   flags_in[2] == KBDUS_EXCHANGE_NOWAIT && flags_in[3] == 0,
	   "deferred, more: at once, when no more come");
}

/* Others that keep coming do not hold it up for ever. */
static void test_deferred_long(void)
{
	static const struct call calls[] = {
		{ .n_requests = 4, .op = KBDUS_OP_WRITE },
		{ .n_requests = 4 },
		{ .n_requests = 4 },
		{ .n_requests = 4 },
		{ .n_requests = 4 },
		{ .n_requests = 4 },
		{ .n_requests = 4 },
		{ .n_requests = 4 },
		{ .n_requests = 4 },
		{ .flags = KBDUS_EXCHANGE_TERMINATE },
	};
	bool was_settled;

	play(calls);
	was_settled = n_seen == 36 && seen[31].tag == 3;
	ok(was_settled && flags_in[8] == 0, "deferred, long: settled");
}

/* The order to leave comes while some are deferred. */
static void test_deferred_terminate(void)
{
	static const struct call calls[] = {
		{ .n_requests = 4, .op = KBDUS_OP_WRITE },
		{ .flags = KBDUS_EXCHANGE_TERMINATE },
		{ .flags = KBDUS_EXCHANGE_TERMINATE },
	};

	ok(play(calls) == 3 && ANSWERED(0, 1, 2, 3),
	   "deferred: answered before it leaves");
}

static void test_interrupted(void)
{
	static const struct call calls[] = {
		{ .error = EINTR },
		{ .n_requests = 4 },
		{ .error = EINTR, .n_done = 3 },
		{ .error = EINTR, .n_done = 1 },
		{ .flags = KBDUS_EXCHANGE_TERMINATE },
	};

	ok(play(calls) == 5, "EINTR: calls again");
	ok(ANSWERED(0, 1, 2, 3), "EINTR: nothing is lost or done twice");
}

static void test_stale(void)
{
	static const struct call calls[] = {
		{ .n_requests = 4 },
		{ .error = ESTALE, .n_done = 1 },
		{ .flags = KBDUS_EXCHANGE_TERMINATE },
	};

	ok(play(calls) == 3 && ANSWERED(0, 2, 3), "ESTALE: skips that one");
	ok(*tap_caught(caught, sizeof(caught)) == '\0', "ESTALE: in silence");
}

static void test_refused(int error)
{
	const struct call calls[] = {
		{ .n_requests = 3 },
		{ .error = error, .n_done = 1 },
		{ .n_requests = 1 },
		{ .error = error },
		{ .flags = KBDUS_EXCHANGE_TERMINATE },
	};

	play(calls);
	ok(ANSWERED(0, 1, 2, 3), "%s: all are answered", strerror(error));
	ok(seen[1].result == -EIO && seen[1].how == KBDUS_HOW_NONE &&
		   seen[1].done == 0 && seen[3].result == -EIO,
	   "%s: what was refused fails", strerror(error));
	ok(seen[0].result == 0 && seen[2].result == 0,
	   "%s: what was not does not", strerror(error));
	tap_caught(caught, sizeof(caught));
	ok(strstr(caught, "refuses") != NULL &&
		   strstr(strstr(caught, "refuses") + 1, "refuses") == NULL,
	   "%s: is told once", strerror(error));
}

/* The kernel refuses even the EIO: give up on it, not on the others. */
static void test_refused_twice(void)
{
	static const struct call calls[] = {
		{ .n_requests = 3 },
		{ .error = EINVAL, .n_done = 1 },
		{ .error = EINVAL },
		{ .flags = KBDUS_EXCHANGE_TERMINATE },
	};

	ok(play(calls) == 4 && ANSWERED(0, 2), "EINVAL twice: skips that one");
	tap_caught(caught, sizeof(caught));
}

static void test_answered_before(void)
{
	static const struct call calls[] = {
		{ .n_requests = 2 },
		{ .error = ENOENT },
		{ .flags = KBDUS_EXCHANGE_TERMINATE },
	};

	ok(play(calls) == 3 && ANSWERED(1), "ENOENT: no second answer");
	tap_caught(caught, sizeof(caught));
}

static void test_lost(int error)
{
	const struct call calls[] = {
		{ .n_requests = 2 },
		{ .error = error },
	};

	ok(play(calls) == 2, "%s: ends the worker", strerror(error));
	ok(dev.is_lost, "%s: the device is lost", strerror(error));
	tap_caught(caught, sizeof(caught));
	ok(strstr(caught, "lost") != NULL, "%s: says so", strerror(error));
}

/* The driver is told of the flush before another one may be, and of no other */
static void test_handover(void)
{
	static const struct call calls[] = {
		{ .n_requests = 1, .op = KBDUS_OP_FLUSH },
		{ .n_requests = 1,
		  .op = KBDUS_OP_FLUSH,
		  .request_flags = KBDUS_REQUEST_HANDOVER },
		{ .n_requests = 1, .op = KBDUS_OP_FLUSH },
		{ .flags = KBDUS_EXCHANGE_TERMINATE | KBDUS_EXCHANGE_REPLACED },
	};

	ok(play(calls) == 4 && n_seen == 3 && seen[0].result == 0 &&
		   seen[1].result == -ENOLINK && seen[2].result == 0,
	   "hand-over: the driver knows the last flush");
	ok(dev.was_replaced && !dev.is_lost, "hand-over: it was replaced");
}

/* On a thread that is no worker, each answer goes by itself. */
static void test_other_thread(void)
{
	static const struct call calls[] = {
		{ .flags = KBDUS_EXCHANGE_TERMINATE },
		{ .error = EINTR },
		{ .n_requests = 0 },
	};

	play(calls);
	dev.slots[7].io.generation = 7;
	dev.slots[7].op = KBDUS_OP_WRITE;
	io_done(&dev.slots[7].io, EIO);
	ok(n_calls == 3 && ANSWERED(7), "other thread: answers at once");
	ok(seen[0].result == -EIO, "other thread: either sign will do");
}

int main(void)
{
	tap_catch();
	test_plain();
	test_ioctl();
	test_unknown_operation();
	test_terminate_with_requests();
	test_deferred();
	test_deferred_more();
	test_deferred_long();
	test_deferred_terminate();
	test_interrupted();
	test_stale();
	test_refused(EINVAL);
	test_refused(EFAULT);
	test_refused(EOPNOTSUPP);
	test_refused_twice();
	test_answered_before();
	test_lost(ENODEV);
	test_lost(EPERM);
	test_handover();
	test_other_thread();
	return tap_done();
}
