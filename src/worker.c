/* SPDX-License-Identifier: MIT */
/*
 * worker - the threads that serve requests, and the answers of drivers.
 *
 * A worker hands the answers of its last batch in and takes new requests with
 * one system call. An answer given on another thread goes to the kernel by
 * itself. Nothing here allocates, locks or logs while all goes well.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "dev.h"
#include "msg.h"

#define WORKER_STACK (128U << 10)
/* What a driver's callback can count on being in memory already. */
#define WORKER_STACK_TOUCHED (32U << 10)
#define WORKER_NICE (-5) /* less saves less, more saves nothing more */

/* The worker that the current thread is, if any. */
static __thread struct worker *worker_self;

static struct kbdus_completion *
exchange_first(const struct kbdus_exchange *exchange)
{
	return (struct kbdus_completion *)(uintptr_t)exchange->completions;
}

static void exchange_skip(struct kbdus_exchange *exchange, unsigned int n)
{
	exchange->completions += n * sizeof(struct kbdus_completion);
	exchange->n_completions -= n;
}

/* A mistake of the driver: its request fails, or was answered before. */
static void exchange_refused(struct dev *dev, struct kbdus_exchange *exchange,
			     int error)
{
	struct kbdus_completion *refused = exchange_first(exchange);

	if (!atomic_exchange(&dev->was_refused, true))
		msg_error("the kernel refuses the answer to request %u: %s",
			  (unsigned int)refused->tag, strerror(-error));
	if (error == -ENOENT || error == -EBUSY || refused->result < 0) {
		exchange_skip(exchange, 1);
		return;
	}
	*refused = (struct kbdus_completion){
		.generation = refused->generation,
		.tag = refused->tag,
		.result = -EIO,
	};
}

/* Can the rest be tried after this error? */
static bool exchange_goes_on(struct dev *dev, struct kbdus_exchange *exchange,
			     int error)
{
	exchange_skip(exchange, exchange->n_done);
	if (error == -EINTR)
		return true;
	if (error == -ENODEV || error == -EPERM || exchange->n_completions == 0)
		return false;
	if (error == -ESTALE)
		exchange_skip(exchange, 1);
	else
		exchange_refused(dev, exchange, error);
	return true;
}

/* Return: 0, -ENODEV (the session has ended), or another -errno: a bug. */
static int exchange_run(struct dev *dev, int queue,
			struct kbdus_exchange *exchange, unsigned int flags)
{
	int error;

	do {
		exchange->n_done = 0;
		exchange->flags = flags;
		if (ioctl(queue, KBDUS_EXCHANGE, exchange) == 0)
			return 0;
		error = -errno;
	} while (exchange_goes_on(dev, exchange, error));
	return error;
}

static int worker_exchange(struct worker *worker,
			   struct kbdus_exchange *exchange, unsigned int room,
			   unsigned int flags)
{
	exchange->completions = (uintptr_t)worker->completions;
	exchange->requests = (uintptr_t)worker->requests;
	exchange->n_completions = worker->n_completions;
	exchange->n_requests = 0;
	exchange->max_requests = room;
	exchange->poll_us = worker->dev->poll_us;
	worker->n_completions = 0;
	return exchange_run(worker->dev, worker->queue, exchange, flags);
}

/* Hand in what is done, since what comes next takes long or needs the room. */
static void worker_hand_in(struct worker *worker)
{
	struct kbdus_exchange exchange;

	/* an ended session shows itself at the next exchange */
	if (worker->n_completions > 0)
		worker_exchange(worker, &exchange, 0, 0);
}

static void worker_serve(struct worker *worker,
			 const struct kbdus_request *request)
{
	struct dev *dev = worker->dev;
	struct dev_slot *slot = &dev->slots[request->tag];
	struct io *io = &slot->io;

	io->off = request->off;
	io->len = request->len;
	io->command = request->arg;
	io->may_unmap = request->flags & KBDUS_REQUEST_MAY_UNMAP;
	io->is_handover = request->flags & KBDUS_REQUEST_HANDOVER;
	io->is_alone = request->attempt > 0;
	io->generation = request->generation;
	slot->op = request->op;
	if (request->op == KBDUS_OP_FLUSH)
		worker_hand_in(worker);
	if (request->op < KBDUS_OP_COUNT && dev->serve[request->op] != NULL)
		dev->serve[request->op](io);
	else
		io_done(io, EOPNOTSUPP);
}

/*
 * More requests are expected behind a full batch only, and deferred ones do not
 * wait for others. Return: flags of the next exchange.
 */
static unsigned int worker_settle(struct worker *worker, unsigned int n)
{
	if (worker->n_batches == 0)
		return 0;
	if (n == worker->dev->batch &&
	    worker->n_batches++ < DEV_BATCHES_DEFERRED)
		return KBDUS_EXCHANGE_NOWAIT;
	worker->n_batches = 0;
	worker->dev->driver->settle(worker->dev);
	return 0;
}

static int worker_loop(struct worker *worker)
{
	struct kbdus_exchange exchange;
	unsigned int flags = 0;
	int error;

	for (;;) {
		error = worker_exchange(worker, &exchange, worker->dev->batch,
					flags);
		if (error != 0)
			return error;
		for (unsigned int i = 0; i < exchange.n_requests; i++)
			worker_serve(worker, &worker->requests[i]);
		flags = worker_settle(worker, exchange.n_requests);
		if (exchange.n_requests > 0 || worker->n_completions > 0 ||
		    !(exchange.flags & KBDUS_EXCHANGE_TERMINATE))
			continue;
		if (exchange.flags & KBDUS_EXCHANGE_REPLACED)
			atomic_store(&worker->dev->was_replaced, true);
		return 0;
	}
}

/* Take the pages of the stack now: later there may be none. */
static void __attribute__((noinline)) worker_touch_stack(void)
{
	volatile char stack[WORKER_STACK_TOUCHED];

	for (size_t i = 0; i < sizeof(stack); i += 4096)
		stack[i] = 0;
}

/*
 * A worker that computes uses more of a processor than the client that waits
 * for it, so that the scheduler would prefer the client. This thread alone;
 * without the privilege all works as well, but slower.
 */
static void worker_go_first(void)
{
	int nice = getpriority(PRIO_PROCESS, 0);

	setpriority(PRIO_PROCESS, 0, nice + WORKER_NICE);
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	int error;

	worker_self = worker;
	worker_touch_stack();
	worker_go_first();
	error = worker_loop(worker);
	if (error == 0)
		return NULL;
	/* a candidate learns the reason from dev_start() */
	if (!atomic_exchange(&worker->dev->is_lost, true))
		msg_error("the device is lost: %s", strerror(-error));
	return NULL;
}

static int worker_start(struct worker *worker, const pthread_attr_t *attr)
{
	int error = pthread_create(&worker->thread, attr, worker_main, worker);

	if (error != 0)
		return -error;
	worker->dev->n_threads++;
	return 0;
}

int workers_start(struct dev *dev)
{
	pthread_attr_t attr;
	int error = -pthread_attr_init(&attr);

	if (error != 0)
		return error;
	error = -pthread_attr_setstacksize(
		&attr, dev->stack_size != 0 ? dev->stack_size : WORKER_STACK);
	for (unsigned int i = 0; error == 0 && i < dev->n_workers; i++)
		error = worker_start(&dev->workers[i], &attr);
	pthread_attr_destroy(&attr);
	return error;
}

void workers_join(struct dev *dev)
{
	while (dev->n_threads > 0)
		pthread_join(dev->workers[--dev->n_threads].thread, NULL);
}

/* An answer from a thread that is no worker of the device. */
static void io_hand_in(struct dev *dev, struct kbdus_completion *completion)
{
	const struct worker *worker =
		&dev->workers[completion->tag % dev->n_workers];
	struct kbdus_exchange exchange = {
		.completions = (uintptr_t)completion,
		.n_completions = 1,
	};

	exchange_run(dev, worker->queue, &exchange, 0);
}

static void io_answer(struct io *io, enum kbdus_how how, const void *addr,
		      int result)
{
	struct worker *worker = worker_self;
	struct kbdus_completion completion = {
		.addr = (uintptr_t)addr,
		.generation = io->generation,
		.result = result,
		.done = result == 0 ? io->len : 0,
		.tag = io->tag,
		.how = (uint8_t)how,
	};

	if (worker == NULL || worker->dev != io->dev) {
		io_hand_in(io->dev, &completion);
		return;
	}
	if (worker->n_completions == DEV_BATCH_MAX)
		worker_hand_in(worker);
	worker->completions[worker->n_completions++] = completion;
}

unsigned int io_worker(const struct io *io)
{
	return (unsigned int)(worker_self - io->dev->workers);
}

void io_defer(const struct io *io)
{
	(void)io; /* a thread has one device */
	if (worker_self->n_batches == 0)
		worker_self->n_batches = 1;
}

void io_done(struct io *io, int error)
{
	const struct dev_slot *slot = (const struct dev_slot *)io;
	enum kbdus_how how = KBDUS_HOW_NONE;

	if (error == 0 &&
	    (slot->op == KBDUS_OP_READ || slot->op == KBDUS_OP_IOCTL))
		how = KBDUS_HOW_BUFFER;
	io_answer(io, how, NULL, error > 0 ? -error : error);
}

void io_done_addr(struct io *io, void *addr)
{
	io_answer(io, KBDUS_HOW_ADDR, addr, 0);
}

void io_done_zero(struct io *io)
{
	io_answer(io, KBDUS_HOW_ZERO, NULL, 0);
}
