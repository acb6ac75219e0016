/* SPDX-License-Identifier: MIT */
/*
 * options.h - the options that all drivers have in common.
 */
#ifndef BDUS_OPTIONS_H
#define BDUS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "dev.h"

/** OPTIONS_UNSET - value of a number that was not given. */
#define OPTIONS_UNSET UINT64_MAX

/**
 * struct options - what the common options fill in
 * @block_size: bytes, 0: not given
 * @physical_block_size: likewise
 * @queues: worker threads, 0: one per CPU
 * @poll_us: busy wait, microseconds
 * @timeout_s: seconds, or %OPTIONS_UNSET
 * @recovery_timeout_s: likewise
 * @retries: of reads, or %OPTIONS_UNSET
 * @ready_fd: descriptor; 0: none, as stdin is no place to write to
 * @on_hang: enum kbdus_on_hang, or UINT_MAX
 * @pidfile: path or NULL
 * @log: likewise
 * @is_read_only: refuse writes
 * @is_foreground: do not fork
 * @no_mlock: do not lock memory
 * @no_partscan: do not look for partitions
 * @is_recoverable: the device outlives the driver
 * @is_supervised: and the driver is restarted
 */
struct options {
	uint64_t block_size;
	uint64_t physical_block_size;
	uint64_t queues;
	uint64_t poll_us;
	uint64_t timeout_s;
	uint64_t recovery_timeout_s;
	uint64_t retries;
	uint64_t ready_fd;
	unsigned int on_hang;
	const char *pidfile;
	const char *log;
	bool is_read_only;
	bool is_foreground;
	bool no_mlock;
	bool no_partscan;
	bool is_recoverable;
	bool is_supervised;
};

/** options_table - the common options, for parsing and for help. */
const struct opt *options_table(void);

/** options_init - before parsing: nothing was given. */
void options_init(struct options *options);

/**
 * options_apply - check the options, and tell the device
 * @options: as parsed; is_recoverable and is_supervised of a device that is
 *	taken over are set when it has them already
 * @dev: its attributes are preset when it is taken over; what was given
 *	replaces them
 *
 * Prints what is wrong.
 *
 * Return: an exit code.
 */
int options_apply(struct options *options, struct dev *dev);

#endif /* BDUS_OPTIONS_H */
