/* SPDX-License-Identifier: MIT */
/*
 * attributes - struct bdus_attrs to struct kbdus_attributes, and back.
 */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "api.h"
#include "msg.h"
#include "takeover.h"

#define ATTRIBUTES_MAX_PHYSICAL_BLOCK (1U << 20)
/* Long enough to be worth it, short enough to end within the time-out. */
#define ATTRIBUTES_MAX_ZERO (64U << 20)
#define ATTRIBUTES_MAX_DISCARD (1U << 30)
#define ATTRIBUTES_TIMEOUT_MS 30000U
#define ATTRIBUTES_MIN_TIMEOUT_MS 1000U

static uint32_t attributes_page(void)
{
	return (uint32_t)sysconf(_SC_PAGESIZE);
}

static int attributes_refuse(const char *name, uint64_t value, const char *rule)
{
	msg_error("%s: %" PRIu64 ": must be %s", name, value, rule);
	return EINVAL;
}

static bool attributes_is_power(uint32_t value)
{
	return (value & (value - 1)) == 0;
}

static int attributes_check_blocks(const struct bdus_attrs *attrs)
{
	uint32_t logical = attrs->logical_block_size;
	uint32_t physical = attrs->physical_block_size;

	if (logical != 0 && (!attributes_is_power(logical) || logical < 512 ||
			     logical > attributes_page()))
		return attributes_refuse("logical_block_size", logical,
					 "0, or a power of two from 512 to "
					 "the page size");
	if (physical != 0 &&
	    (!attributes_is_power(physical) || physical < 512 ||
	     physical < logical || physical > ATTRIBUTES_MAX_PHYSICAL_BLOCK))
		return attributes_refuse("physical_block_size", physical,
					 "0, or a power of two from the "
					 "logical block size to 1 MiB");
	return 0;
}

/* Of a device that is there, 0 is its size. */
static int attributes_check_size(const struct bdus_attrs *attrs, bool is_rerun)
{
	uint32_t block = attrs->physical_block_size;

	if (block == 0)
		block = attrs->logical_block_size;
	if (block == 0)
		block = 512;
	if ((attrs->size == 0 && !is_rerun) || attrs->size % block != 0 ||
	    attrs->size > INT64_MAX)
		return attributes_refuse("size", attrs->size,
					 "a positive multiple of the block "
					 "size, below 2^63");
	return 0;
}

static int attributes_check_limits(const struct bdus_attrs *attrs)
{
	const struct {
		const char *name;
		uint32_t value;
	} limits[] = {
		{ "max_write_same_size", attrs->max_write_same_size },
		{ "max_write_zeros_size", attrs->max_write_zeros_size },
		{ "max_discard_erase_size", attrs->max_discard_erase_size },
	};
	uint32_t block = attrs->logical_block_size;

	if (block == 0)
		block = 512;
	if (attrs->max_read_write_size != 0 &&
	    attrs->max_read_write_size < attributes_page())
		return attributes_refuse("max_read_write_size",
					 attrs->max_read_write_size,
					 "0, or at least the page size");
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (limits[i].value != 0 && limits[i].value < block)
			return attributes_refuse(limits[i].name,
						 limits[i].value,
						 "0, or at least the logical "
						 "block size");
	if (attrs->timeout_ms != 0 &&
	    attrs->timeout_ms < ATTRIBUTES_MIN_TIMEOUT_MS)
		return attributes_refuse("timeout_ms", attrs->timeout_ms,
					 "0, or at least 1000");
	return 0;
}

static int attributes_check_callbacks(const struct driver *driver)
{
	if (driver->fua_write != NULL && driver->flush == NULL) {
		msg_error("fua_write is there, so flush must be, too");
		return EINVAL;
	}
	if (driver->no_buffers && driver->ioctl != NULL) {
		msg_error("no_buffers is set, but ioctl needs buffers");
		return EINVAL;
	}
	return 0;
}

int attributes_check(struct api *api)
{
	int error = attributes_check_callbacks(&api->driver);

	if (error == 0)
		error = attributes_check_blocks(&api->given);
	if (error == 0)
		error = attributes_check_size(&api->given, api->dev.is_rerun);
	if (error == 0)
		error = attributes_check_limits(&api->given);
	return error;
}

/* What the module's limit, in which 0 means none, is for a driver. */
static uint32_t attributes_effective(const struct kbdus_attributes *attributes,
				     enum kbdus_op op, uint32_t limit)
{
	uint32_t block = attributes->logical_block_size;

	if (!(attributes->ops & (1U << op)))
		return 0;
	return limit != 0 ? limit : UINT32_MAX / block * block;
}

static uint32_t attributes_discard(const struct kbdus_attributes *attributes)
{
	uint32_t discard = attributes_effective(attributes, KBDUS_OP_DISCARD,
						attributes->max_discard);
	uint32_t erase = attributes_effective(attributes, KBDUS_OP_SECURE_ERASE,
					      attributes->max_secure_erase);

	return discard > erase ? discard : erase;
}

static uint32_t attributes_zeros(const struct kbdus_attributes *attributes)
{
	return attributes_effective(attributes, KBDUS_OP_WRITE_ZEROES,
				    attributes->max_write_zeroes);
}

/* Less than the device has would be too little. */
static int attributes_compare_limits(const struct bdus_attrs *given,
				     const struct kbdus_attributes *existing)
{
	const struct {
		const char *name;
		uint32_t given;
		uint32_t existing;
	} limits[] = {
		{ "max_read_write_size", given->max_read_write_size,
		  existing->max_io },
		{ "max_write_zeros_size", given->max_write_zeros_size,
		  attributes_zeros(existing) },
		{ "max_discard_erase_size", given->max_discard_erase_size,
		  attributes_discard(existing) },
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (limits[i].given != 0 &&
		    limits[i].given < limits[i].existing)
			return attributes_refuse(limits[i].name,
						 limits[i].given,
						 "0, or at least what the "
						 "device has");
	return 0;
}

int attributes_adopt(struct api *api)
{
	const struct kbdus_attributes *existing = &api->dev.old.attributes;
	struct bdus_attrs *given = &api->given;
	int code = takeover_meet(&api->dev);

	if (code != EXIT_DONE)
		return message_errno(code);
	if (given->size == 0)
		given->size = existing->size;
	if (given->logical_block_size == 0)
		given->logical_block_size = existing->logical_block_size;
	if (given->physical_block_size == 0)
		given->physical_block_size = existing->physical_block_size;
	given->recoverable = given->recoverable ||
			     (existing->flags & KBDUS_DEVICE_RECOVERABLE);
	given->disable_partition_scanning =
		existing->flags & KBDUS_DEVICE_NO_PARTITIONS;
	return attributes_compare_limits(given, existing);
}

/* A limit of @wanted or a default, as a multiple of the block size. */
static uint32_t attributes_limit(uint32_t wanted, uint32_t standard,
				 uint32_t block)
{
	uint32_t limit = wanted != 0 ? wanted : standard;

	return limit / block * block;
}

static void attributes_fill_limits(struct kbdus_attributes *attributes,
				   const struct bdus_attrs *given)
{
	uint32_t block = attributes->logical_block_size;
	uint32_t discard = attributes_limit(given->max_discard_erase_size,
					    ATTRIBUTES_MAX_DISCARD, block);

	if (given->max_read_write_size != 0)
		attributes->max_io = attributes_limit(
			given->max_read_write_size < KBDUS_MAX_IO ?
				given->max_read_write_size :
				KBDUS_MAX_IO,
			0, attributes_page());
	if (attributes->ops & (1U << KBDUS_OP_WRITE_ZEROES))
		attributes->max_write_zeroes =
			attributes_limit(given->max_write_zeros_size,
					 ATTRIBUTES_MAX_ZERO, block);
	if (attributes->ops & (1U << KBDUS_OP_DISCARD))
		attributes->max_discard = discard;
	if (attributes->ops & (1U << KBDUS_OP_SECURE_ERASE))
		attributes->max_secure_erase = discard;
}

/* The limits of a device that is there stay. */
static void attributes_copy_limits(struct kbdus_attributes *attributes,
				   const struct kbdus_attributes *existing)
{
	attributes->max_io = existing->max_io;
	attributes->max_write_zeroes = existing->max_write_zeroes;
	attributes->max_discard = existing->max_discard;
	attributes->max_secure_erase = existing->max_secure_erase;
	attributes->discard_granularity = existing->discard_granularity;
	attributes->queue_depth = existing->queue_depth;
}

static uint32_t attributes_timeout(uint32_t given, uint32_t standard)
{
	if (given == 0)
		return standard;
	return given == UINT32_MAX ? 0 : given;
}

/*
 * A callback of 0.1 may wait for another one, and answers when it returns: what
 * one thread has taken must not wait behind it.
 */
int attributes_open(struct dev *dev)
{
	struct kbdus_attributes *attributes = dev_attrs(dev);
	const struct api *api = dev_priv(dev);
	const struct bdus_attrs *given = &api->given;

	attributes->size = given->size;
	attributes->logical_block_size = given->logical_block_size;
	attributes->physical_block_size = given->physical_block_size;
	if (attributes->logical_block_size == 0)
		attributes->logical_block_size = 512;
	attributes->timeout_ms = attributes_timeout(
		given->timeout_ms,
		dev->is_rerun ? attributes->timeout_ms : ATTRIBUTES_TIMEOUT_MS);
	if (given->disable_partition_scanning)
		attributes->flags |= KBDUS_DEVICE_NO_PARTITIONS;
	/* nobody restarts a driver of this kind */
	attributes->flags &= ~KBDUS_DEVICE_SUPERVISED;
	if (given->recoverable &&
	    !(attributes->flags & KBDUS_DEVICE_RECOVERABLE))
		attributes->recovery_timeout_ms = ATTRIBUTES_TIMEOUT_MS;
	if (given->recoverable)
		attributes->flags |= KBDUS_DEVICE_RECOVERABLE;
	if (dev->is_rerun)
		attributes_copy_limits(attributes, &dev->old.attributes);
	else
		attributes_fill_limits(attributes, given);
	if (dev->n_workers > attributes->queue_depth && !dev->is_rerun)
		attributes->queue_depth = dev->n_workers;
	dev->batch = api->ops != NULL ? 1 : DEV_BATCH_MAX;
	return EXIT_DONE;
}

static void attributes_log(const struct api *api, const char *name,
			   uint64_t before, uint64_t after)
{
	if (before != after)
		api_log(api, "%s: %" PRIu64 " becomes %" PRIu64, name, before,
			after);
}

void attributes_show(struct api *api)
{
	const struct kbdus_attributes *attributes = &api->dev.attrs;
	const struct bdus_attrs *given = &api->given;
	struct bdus_attrs *attrs = &api->attrs;

	*attrs = *given;
	attrs->size = attributes->size;
	attrs->logical_block_size = attributes->logical_block_size;
	attrs->physical_block_size = attributes->physical_block_size;
	attrs->max_concurrent_callbacks = api->dev.n_workers;
	attrs->max_read_write_size = attributes->max_io;
	attrs->max_write_same_size = 0;
	if (api->ops != NULL && api->ops->write_same != NULL)
		attrs->max_write_same_size = attributes->logical_block_size;
	attrs->max_write_zeros_size = attributes_zeros(attributes);
	attrs->max_discard_erase_size = attributes_discard(attributes);
	attrs->timeout_ms = attributes->timeout_ms != 0 ?
				    attributes->timeout_ms :
				    UINT32_MAX;
	attributes_log(api, "max_concurrent_callbacks",
		       given->max_concurrent_callbacks,
		       attrs->max_concurrent_callbacks);
	attributes_log(api, "max_read_write_size", given->max_read_write_size,
		       attrs->max_read_write_size);
	attributes_log(api, "max_write_zeros_size", given->max_write_zeros_size,
		       attrs->max_write_zeros_size);
	attributes_log(api, "max_discard_erase_size",
		       given->max_discard_erase_size,
		       attrs->max_discard_erase_size);
}
