/* SPDX-License-Identifier: MIT */
/*
 * callbacks - a driver's callbacks as a target, without a kernel.
 *
 * Stands in for worker.c and for what the kernel does to requests: operations
 * that the driver does not have are done by those that it has. A request that
 * is answered later, by whatever thread, is waited for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checker.h"
#include "dev.h"

struct request {
	struct io io; /* first: io_done() gets a pointer to it */
	bool is_read;
	bool is_answered;
	int error;
	pthread_mutex_t lock;
	pthread_cond_t answered;
};

/* --- the runtime's side -------------------------------------------------- */

static void request_answer(struct io *io, int error)
{
	struct request *request = (struct request *)io;

	pthread_mutex_lock(&request->lock);
	if (request->is_answered)
		abort();
	request->is_answered = true;
	request->error = abs(error);
	pthread_cond_signal(&request->answered);
	pthread_mutex_unlock(&request->lock);
}

unsigned int io_worker(const struct io *io)
{
	(void)io;
	return 0;
}

void io_defer(const struct io *io)
{
	(void)io;
}

void io_done(struct io *io, int error)
{
	request_answer(io, error);
}

void io_done_addr(struct io *io, void *addr)
{
	struct request *request = (struct request *)io;

	if (request->is_read)
		memcpy(io->buf, addr, io->len);
	else
		memcpy(addr, io->buf, io->len);
	request_answer(io, 0);
}

void io_done_zero(struct io *io)
{
	memset(io->buf, 0, io->len);
	request_answer(io, 0);
}

static bool callbacks_has(const struct dev *dev, enum kbdus_op op)
{
	return dev->serve[op] != NULL && (dev->attrs.ops & 1U << op);
}

static int callbacks_serve(struct dev *dev, enum kbdus_op op,
			   const struct op *range, void *data)
{
	struct request request = {
		.io = { .off = range->sector * SECTOR_BYTES,
			.len = range->n_sectors * SECTOR_BYTES,
			.may_unmap = range->sector % 2,
			.buf = data,
			.dev = dev },
		.is_read = op == KBDUS_OP_READ,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.answered = PTHREAD_COND_INITIALIZER,
	};

	dev->serve[op](&request.io);
	if (dev->driver->settle != NULL)
		dev->driver->settle(dev);
	pthread_mutex_lock(&request.lock);
	while (!request.is_answered)
		pthread_cond_wait(&request.answered, &request.lock);
	pthread_mutex_unlock(&request.lock);
	return request.error;
}

/* --- the kernel's side --------------------------------------------------- */

/* Without a flush the driver has no volatile cache. */
static int callbacks_flush(struct dev *dev)
{
	const struct op all = { .kind = OP_FLUSH };

	if (!callbacks_has(dev, KBDUS_OP_FLUSH))
		return 0;
	return callbacks_serve(dev, KBDUS_OP_FLUSH, &all, NULL);
}

static int callbacks_fua_write(struct dev *dev, struct slot *slot)
{
	int error;

	if (callbacks_has(dev, KBDUS_OP_FUA_WRITE))
		return callbacks_serve(dev, KBDUS_OP_FUA_WRITE, &slot->op,
				       slot->data);
	error = callbacks_serve(dev, KBDUS_OP_WRITE, &slot->op, slot->data);
	return error != 0 ? error : callbacks_flush(dev);
}

static int callbacks_zero(struct dev *dev, struct slot *slot)
{
	memset(slot->data, 0, (size_t)slot->op.n_sectors * SECTOR_BYTES);
	return callbacks_serve(dev,
			       callbacks_has(dev, KBDUS_OP_WRITE_ZEROES) ?
				       KBDUS_OP_WRITE_ZEROES :
				       KBDUS_OP_WRITE,
			       &slot->op, slot->data);
}

static int callbacks_discard(struct dev *dev, struct slot *slot)
{
	if (!callbacks_has(dev, KBDUS_OP_DISCARD))
		return EOPNOTSUPP;
	return callbacks_serve(dev, KBDUS_OP_DISCARD, &slot->op, slot->data);
}

static int callbacks_do(struct dev *dev, struct slot *slot)
{
	switch (slot->op.kind) {
	case OP_READ:
		return callbacks_serve(dev, KBDUS_OP_READ, &slot->op,
				       slot->data);
	case OP_WRITE:
		return callbacks_serve(dev, KBDUS_OP_WRITE, &slot->op,
				       slot->data);
	case OP_FUA_WRITE:
		return callbacks_fua_write(dev, slot);
	case OP_FLUSH:
		return callbacks_flush(dev);
	case OP_ZERO:
		return callbacks_zero(dev, slot);
	case OP_DISCARD:
		return callbacks_discard(dev, slot);
	}
	return EINVAL;
}

/* --- the target ---------------------------------------------------------- */

/* Nothing is in flight when start returns: a lane is the target itself. */
static void *callbacks_lane_open(struct target *target, unsigned int depth)
{
	(void)depth;
	return target;
}

static void callbacks_lane_close(void *lane)
{
	(void)lane;
}

static bool callbacks_start(void *lane, struct slot *slot)
{
	slot->error = callbacks_do(((struct callbacks *)lane)->dev, slot);
	return true;
}

static struct slot *callbacks_wait(void *lane)
{
	(void)lane;
	abort();
}

void callbacks_init(struct callbacks *callbacks, struct dev *dev,
		    const char *name)
{
	uint32_t block = dev->attrs.logical_block_size;

	callbacks->dev = dev;
	callbacks->target = (struct target){
		.name = name,
		.n_sectors = dev->attrs.size / SECTOR_BYTES,
		.block_sectors = block / SECTOR_BYTES,
		.lane_open = callbacks_lane_open,
		.lane_close = callbacks_lane_close,
		.start = callbacks_start,
		.wait = callbacks_wait,
	};
}
