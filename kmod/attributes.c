// SPDX-License-Identifier: GPL-2.0
/*
 * attributes.c - what a device is: completed, checked, and compared with what
 * another driver can do.
 */
#include <linux/log2.h>
#include <linux/string.h>

#include "internal.h"

#define LARGEST_RANGE (U32_MAX & ~(PAGE_SIZE - 1))
#define MAX_PHYSICAL_BLOCK_SIZE (1U << 20)
#define MIN_TIMEOUT_MS 1000
#define TAKEN_OVER_FLAGS (KBDUS_DEVICE_RECOVERABLE | KBDUS_DEVICE_SUPERVISED)
#define ALL_FLAGS                                           \
	(KBDUS_DEVICE_READ_ONLY | KBDUS_DEVICE_ROTATIONAL | \
	 KBDUS_DEVICE_NO_PARTITIONS | TAKEN_OVER_FLAGS)
#define BIT_OF(op) (1U << KBDUS_OP_##op)
#define WRITING_OPS                                                 \
	(BIT_OF(WRITE) | BIT_OF(WRITE_ZEROES) | BIT_OF(FUA_WRITE) | \
	 BIT_OF(DISCARD) | BIT_OF(SECURE_ERASE))

static int refuse(const char *what, u64 value)
{
	pr_debug("kbdus: attribute refused: %s (%llu)\n", what, value);
	return -EINVAL;
}

static bool is_text(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	return len < size && !memchr_inv(text + len, 0, size - len);
}

static bool is_block_size(u32 size, u32 min, u32 max)
{
	return is_power_of_2(size) && size >= min && size <= max;
}

static void attributes_fill_in(struct kbdus_attributes *a)
{
	u32 physical;

	if (!a->logical_block_size)
		a->logical_block_size = SECTOR_SIZE;
	physical = max_t(u32, a->logical_block_size, 4096);
	if (!a->physical_block_size)
		a->physical_block_size = a->size & (physical - 1) ?
						 a->logical_block_size :
						 physical;
	if (!a->max_io)
		a->max_io = KBDUS_DEFAULT_MAX_IO;
	if (!a->max_write_zeroes)
		a->max_write_zeroes = LARGEST_RANGE;
	if (!a->max_discard)
		a->max_discard = LARGEST_RANGE;
	if (!a->max_secure_erase)
		a->max_secure_erase = LARGEST_RANGE;
	if (!a->discard_granularity)
		a->discard_granularity = a->logical_block_size;
	if (!a->queue_depth)
		a->queue_depth = KBDUS_DEFAULT_DEPTH;
	if (!(a->ops & BIT_OF(WRITE)))
		a->flags |= KBDUS_DEVICE_READ_ONLY;
}

static int attributes_check_ops(const struct kbdus_attributes *a)
{
	if (a->ops >> KBDUS_OP_COUNT)
		return refuse("ops: unknown operation", a->ops);
	if (!(a->ops & BIT_OF(READ)))
		return refuse("ops: no read", a->ops);
	if (!(a->ops & BIT_OF(WRITE)) && (a->ops & WRITING_OPS))
		return refuse("ops: writing operations without write", a->ops);
	if ((a->ops & BIT_OF(FUA_WRITE)) && !(a->ops & BIT_OF(FLUSH)))
		return refuse("ops: FUA write without flush", a->ops);
	return 0;
}

static int attributes_check_sizes(const struct kbdus_attributes *a)
{
	u32 block = a->logical_block_size;

	if (!is_block_size(block, SECTOR_SIZE, PAGE_SIZE))
		return refuse("logical_block_size", block);
	if (!is_block_size(a->physical_block_size, block,
			   MAX_PHYSICAL_BLOCK_SIZE))
		return refuse("physical_block_size", a->physical_block_size);
	if (!a->size || a->size > S64_MAX || a->size & (block - 1))
		return refuse("size", a->size);
	if (!a->max_io || a->max_io > KBDUS_MAX_IO || a->max_io % PAGE_SIZE)
		return refuse("max_io", a->max_io);
	if (a->max_write_zeroes % block)
		return refuse("max_write_zeroes", a->max_write_zeroes);
	if (a->max_discard % block)
		return refuse("max_discard", a->max_discard);
	if (a->max_secure_erase % block)
		return refuse("max_secure_erase", a->max_secure_erase);
	if (!is_block_size(a->discard_granularity, block, 1U << 31))
		return refuse("discard_granularity", a->discard_granularity);
	return 0;
}

static int attributes_check_recovery(const struct kbdus_attributes *a)
{
	if (a->timeout_ms && a->timeout_ms < MIN_TIMEOUT_MS)
		return refuse("timeout_ms", a->timeout_ms);
	if (a->recovery_timeout_ms && a->recovery_timeout_ms < MIN_TIMEOUT_MS)
		return refuse("recovery_timeout_ms", a->recovery_timeout_ms);
	if (a->on_hang > KBDUS_ON_HANG_HOLD)
		return refuse("on_hang", a->on_hang);
	if (a->read_retries > KBDUS_MAX_RETRIES)
		return refuse("read_retries", a->read_retries);
	if (!(a->flags & KBDUS_DEVICE_RECOVERABLE) &&
	    (a->recovery_timeout_ms || a->on_hang != KBDUS_ON_HANG_ERROR ||
	     (a->flags & KBDUS_DEVICE_SUPERVISED)))
		return refuse("flags: not recoverable", a->flags);
	return 0;
}

static int attributes_check(const struct kbdus_attributes *a)
{
	int ret;

	if (a->flags & ~ALL_FLAGS)
		return refuse("flags", a->flags);
	if (memchr_inv(a->reserved, 0, sizeof(a->reserved)))
		return refuse("reserved fields", a->reserved[0]);
	if (!is_text(a->driver, sizeof(a->driver)) || !a->driver[0])
		return refuse("driver", 0);
	if (!is_text(a->backing, sizeof(a->backing)))
		return refuse("backing", 0);
	if (!a->queue_depth || a->queue_depth > KBDUS_MAX_DEPTH)
		return refuse("queue_depth", a->queue_depth);
	ret = attributes_check_recovery(a);
	if (!ret)
		ret = attributes_check_ops(a);
	return ret ? ret : attributes_check_sizes(a);
}

int kbdus_attributes_complete(struct kbdus_attributes *a)
{
	attributes_fill_in(a);
	return attributes_check(a);
}

/* Is every limit of the driver at least the device's, where it matters? */
static int attributes_fit_limits(const struct kbdus_attributes *a,
				 const struct kbdus_attributes *b)
{
	if (b->max_io < a->max_io)
		return refuse("max_io, of the new driver", b->max_io);
	if (b->queue_depth < a->queue_depth)
		return refuse("queue_depth, of the new driver", b->queue_depth);
	if ((a->ops & BIT_OF(WRITE_ZEROES)) &&
	    b->max_write_zeroes < a->max_write_zeroes)
		return refuse("max_write_zeroes, of the new driver",
			      b->max_write_zeroes);
	if ((a->ops & BIT_OF(DISCARD)) &&
	    (b->max_discard < a->max_discard ||
	     b->discard_granularity > a->discard_granularity))
		return refuse("max_discard, of the new driver", b->max_discard);
	if ((a->ops & BIT_OF(SECURE_ERASE)) &&
	    b->max_secure_erase < a->max_secure_erase)
		return refuse("max_secure_erase, of the new driver",
			      b->max_secure_erase);
	return 0;
}

int kbdus_attributes_fit(const struct kbdus_attributes *a,
			 const struct kbdus_attributes *b)
{
	if (b->size != a->size)
		return refuse("size, of the new driver", b->size);
	if (b->logical_block_size != a->logical_block_size)
		return refuse("logical_block_size, of the new driver",
			      b->logical_block_size);
	if (b->physical_block_size != a->physical_block_size)
		return refuse("physical_block_size, of the new driver",
			      b->physical_block_size);
	if (a->ops & ~b->ops)
		return refuse("ops, of the new driver", b->ops);
	return attributes_fit_limits(a, b);
}

void kbdus_attributes_take_over(struct kbdus_attributes *a,
				const struct kbdus_attributes *b)
{
	memcpy(a->driver, b->driver, sizeof(a->driver));
	memcpy(a->backing, b->backing, sizeof(a->backing));
	a->timeout_ms = b->timeout_ms;
	a->recovery_timeout_ms = b->recovery_timeout_ms;
	a->on_hang = b->on_hang;
	a->read_retries = b->read_retries;
	a->owner = b->owner;
	a->flags &= ~TAKEN_OVER_FLAGS;
	a->flags |= b->flags & TAKEN_OVER_FLAGS;
}
