/* SPDX-License-Identifier: MIT */
/*
 * teardown.h - taking one device away.
 */
#ifndef BDUS_TEARDOWN_H
#define BDUS_TEARDOWN_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct teardown - how
 * @control: descriptor of the control device
 * @is_forced: also when it is in use, and kill a driver that does not answer
 * @is_unflushed: without a flush
 * @timeout_s: seconds to wait for the driver; 0: for ever
 */
struct teardown {
	int control;
	bool is_forced;
	bool is_unflushed;
	uint64_t timeout_s;
};

/**
 * teardown - take a device away
 * @teardown: how
 * @name: of the device, for messages
 * @id: of the device
 *
 * Done when the disk and the driver's process are gone; one that let go of the
 * device and lives on, as users of libbdus may, is waited for no longer than a
 * second. Forks a process for the flush, so that a driver that does not answer
 * cannot hold up the caller for longer than the timeout. A device that is open
 * is tried again for two seconds (udev opens devices at any time), then refused
 * with its holders named. Prints what is wrong.
 *
 * Return: 0 or the exit code: %EXIT_BUSY, %EXIT_TIMED_OUT (the message tells
 * whether the device stays), %EXIT_NO_DEVICE,
 * %EXIT_NO_MODULE, %EXIT_FAILED (the flush failed; the device stays).
 */
int teardown(const struct teardown *teardown, const char *name, uint64_t id);

#endif /* BDUS_TEARDOWN_H */
