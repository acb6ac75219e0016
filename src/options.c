/* SPDX-License-Identifier: MIT */
/*
 * options - the options that all drivers have in common.
 */
#include "options.h"

#include <limits.h>
#include <sched.h>
#include <unistd.h>

#include "msg.h"

#define OPTIONS_MAX_BLOCK 65536
#define OPTIONS_MAX_PHYSICAL_BLOCK (1U << 20)
#define OPTIONS_TIMEOUT_S 30

/* By enum kbdus_on_hang. */
static const char *const options_on_hang[] = { "error", "restart", "hold",
					       NULL };

static const struct opt options_common[] = {
	OPT_BOOL("read-only", 'r', struct options, is_read_only,
		 "refuse writes"),
	OPT_SIZE("block-size", 'b', struct options, block_size, 0, 512,
		 OPTIONS_MAX_BLOCK, NULL,
		 "logical block size, a power of two up to the page size"),
	OPT_SIZE("physical-block-size", 0, struct options, physical_block_size,
		 0, 512, OPTIONS_MAX_PHYSICAL_BLOCK, NULL,
		 "physical block size, a power of two up to 1M"),
	OPT_UINT("queues", 0, struct options, queues, 0, "N", 1,
		 KBDUS_MAX_QUEUES, NULL, "worker threads, else one per CPU"),
	OPT_UINT("poll", 0, struct options, poll_us, 0, "US", 0,
		 KBDUS_MAX_POLL_US, "0",
		 "microseconds that a worker waits busily for a request"),
	OPT_BOOL("recoverable", 0, struct options, is_recoverable,
		 "keep the device when its driver dies; requests wait"),
	OPT_BOOL("supervise", 0, struct options, is_supervised,
		 "and restart the driver"),
	OPT_UINT("recovery-timeout", 0, struct options, recovery_timeout_s, 0,
		 "SECONDS", 0, UINT32_MAX / 1000, NULL,
		 "how long requests wait without a driver, else 30; 0 = ever"),
	OPT_UINT("timeout", 0, struct options, timeout_s, 0, "SECONDS", 0,
		 UINT32_MAX / 1000, NULL,
		 "kill a driver that is stuck for so long, else 30; 0 = never"),
	OPT_ENUM("on-hang", 0, struct options, on_hang, 0, "WHAT",
		 options_on_hang, NULL,
		 "then requests fail (error), wait for the next driver "
		 "(restart), or wait for ever (hold)"),
	OPT_UINT("retries", 0, struct options, retries, 0, "N", 0,
		 KBDUS_MAX_RETRIES, NULL,
		 "how often a read that failed is tried again, else 0"),
	OPT_BOOL("no-partscan", 0, struct options, no_partscan,
		 "do not look for partitions"),
	OPT_BOOL("no-mlock", 0, struct options, no_mlock,
		 "do not lock the driver in memory"),
	OPT_BOOL("foreground", 'f', struct options, is_foreground,
		 "stay in the foreground"),
	OPT_PATH("pidfile", 0, struct options, pidfile, 0, "FILE", NULL,
		 "write the process to be stopped (SIGTERM) to FILE"),
	OPT_UINT("ready-fd", 0, struct options, ready_fd, OPT_DESCRIPTOR, "N",
		 3, INT_MAX, NULL,
		 "write the device's path to descriptor N once it is usable"),
	OPT_PATH("log", 0, struct options, log, 0, "FILE", NULL,
		 "append messages to FILE once the device is usable"),
	OPT_END
};

const struct opt *options_table(void)
{
	return options_common;
}

void options_init(struct options *options)
{
	*options = (struct options){
		.timeout_s = OPTIONS_UNSET,
		.recovery_timeout_s = OPTIONS_UNSET,
		.retries = OPTIONS_UNSET,
		.on_hang = UINT_MAX,
	};
}

static bool options_is_block_size(uint64_t size, uint64_t max)
{
	return size == 0 || ((size & (size - 1)) == 0 && size <= max);
}

static int options_check_blocks(const struct options *options)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (!options_is_block_size(options->block_size, page)) {
		msg_error("--block-size: must be a power of two from 512 to "
			  "%llu",
			  (unsigned long long)page);
		return EXIT_USAGE;
	}
	if (!options_is_block_size(options->physical_block_size,
				   OPTIONS_MAX_PHYSICAL_BLOCK) ||
	    (options->physical_block_size != 0 &&
	     options->physical_block_size < options->block_size)) {
		msg_error("--physical-block-size: must be a power of two from "
			  "the block size to 1M");
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

static int options_check_recovery(const struct options *options,
				  const struct driver *driver)
{
	bool is_recoverable = options->is_recoverable || options->is_supervised;
	const char *name = NULL;

	if (is_recoverable && driver->loses_content) {
		msg_error("--recoverable: the content of a %s disk is lost "
			  "with its driver",
			  driver->name);
		return EXIT_USAGE;
	}
	if (is_recoverable)
		return EXIT_DONE;
	if (options->recovery_timeout_s != OPTIONS_UNSET)
		name = "--recovery-timeout";
	else if (options->on_hang == KBDUS_ON_HANG_RESTART)
		name = "--on-hang=restart";
	else if (options->on_hang == KBDUS_ON_HANG_HOLD)
		name = "--on-hang=hold";
	if (name == NULL)
		return EXIT_DONE;
	msg_error("%s: needs a device that outlives its driver", name);
	msg_hint("add --recoverable or --supervise");
	return EXIT_USAGE;
}

static unsigned int options_online_cpus(void)
{
	cpu_set_t set;
	long online;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned int)CPU_COUNT(&set);
	/* more CPUs than the set has room for */
	online = sysconf(_SC_NPROCESSORS_ONLN);
	return online > 0 ? (unsigned int)online : 1;
}

/* A number of seconds: what was given, else what is there, else the default */
static uint32_t options_ms(uint64_t seconds, const struct dev *dev,
			   uint32_t there)
{
	if (seconds != OPTIONS_UNSET)
		return (uint32_t)(seconds * 1000);
	return dev->is_rerun ? there : OPTIONS_TIMEOUT_S * 1000;
}

static void options_fill_recovery(const struct options *options,
				  struct dev *dev)
{
	struct kbdus_attributes *attrs = &dev->attrs;
	bool was_recoverable = attrs->flags & KBDUS_DEVICE_RECOVERABLE;
	bool was_supervised = attrs->flags & KBDUS_DEVICE_SUPERVISED;

	attrs->timeout_ms =
		options_ms(options->timeout_s, dev, attrs->timeout_ms);
	if (options->retries != OPTIONS_UNSET)
		attrs->read_retries = (uint32_t)options->retries;
	if (options->on_hang != UINT_MAX)
		attrs->on_hang = options->on_hang;
	else if (options->is_supervised && !was_supervised &&
		 attrs->on_hang == KBDUS_ON_HANG_ERROR)
		attrs->on_hang = KBDUS_ON_HANG_RESTART;
	if (options->is_supervised)
		attrs->flags |= KBDUS_DEVICE_SUPERVISED;
	if (!options->is_recoverable && !options->is_supervised)
		return;
	attrs->flags |= KBDUS_DEVICE_RECOVERABLE;
	attrs->recovery_timeout_ms =
		options_ms(options->recovery_timeout_s, dev,
			   was_recoverable ? attrs->recovery_timeout_ms :
					     OPTIONS_TIMEOUT_S * 1000);
}

static void options_fill_dev(const struct options *options, struct dev *dev)
{
	struct kbdus_attributes *attrs = &dev->attrs;

	dev->n_workers = options->queues != 0 ? (unsigned int)options->queues :
						options_online_cpus();
	if (dev->n_workers > KBDUS_MAX_QUEUES)
		dev->n_workers = KBDUS_MAX_QUEUES;
	dev->poll_us = (unsigned int)options->poll_us;
	if (options->block_size != 0)
		attrs->logical_block_size = (uint32_t)options->block_size;
	if (options->physical_block_size != 0)
		attrs->physical_block_size =
			(uint32_t)options->physical_block_size;
	if (options->is_read_only)
		attrs->flags |= KBDUS_DEVICE_READ_ONLY;
	if (options->no_partscan)
		attrs->flags |= KBDUS_DEVICE_NO_PARTITIONS;
	options_fill_recovery(options, dev);
}

int options_apply(struct options *options, struct dev *dev)
{
	int code;

	/* these persist when a device is taken over */
	if (dev->attrs.flags & KBDUS_DEVICE_RECOVERABLE)
		options->is_recoverable = true;
	if (dev->attrs.flags & KBDUS_DEVICE_SUPERVISED)
		options->is_supervised = true;
	code = options_check_blocks(options);
	if (code == EXIT_DONE)
		code = options_check_recovery(options, dev->driver);
	if (code == EXIT_DONE)
		options_fill_dev(options, dev);
	return code;
}
