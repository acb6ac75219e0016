/* SPDX-License-Identifier: MIT */
/*
 * condition.h - how a device is: what sysfs says, whether it moves, what the
 * threads of its driver do, and who holds it.
 */
#ifndef BDUS_CONDITION_H
#define BDUS_CONDITION_H

#include <stddef.h>
#include <stdint.h>

#include "attribute.h"
#include "threads.h"

/** CONDITION_SAMPLE_MS - time for which requests are watched. */
#define CONDITION_SAMPLE_MS 200

/**
 * struct condition - how a device is
 * @id: of the device
 * @state: as in sysfs, "live"; "" when not known
 * @driver: name of its driver, or of the last one
 * @backing: what is behind it
 * @last_reason: why the last driver left
 * @on_hang: what follows when a stuck driver was ended
 * @holders: who has it open, see holders_describe()
 * @size: bytes
 * @ro: 1: read-only
 * @pid: process of its driver; 0: none, or not to be seen
 * @openers: how many times it is open
 * @recoverable: 1: outlives its driver
 * @supervised: 1: a supervisor restarts its driver
 * @timeout_ms: of a stuck driver; 0: never
 * @recovery_timeout_ms: of requests without a driver; 0: never
 * @waiting_ms: for how long it has had no driver; 0: it has one
 * @oldest_ms: age of the oldest request; 0: there is none
 * @in_flight: requests with the driver
 * @waiting: requests not with the driver
 * @attempts: requests handed to a driver again
 * @restarts: drivers after the first
 * @completed: requests completed within %CONDITION_SAMPLE_MS; unknown when
 *	there were none, and nobody to make any
 * @below: id of the device that a blocked thread of its driver waits for, when
 *	that has requests itself; else unknown
 * @threads: of its driver, see threads_read()
 * @n_threads: their number; 0: they are not to be seen
 *
 * Numbers are %ATTRIBUTE_UNKNOWN when sysfs does not have them.
 */
struct condition {
	uint64_t id;
	char state[32];
	char driver[64];
	char backing[512];
	char last_reason[32];
	char on_hang[32];
	char holders[1024];
	int64_t size, ro, pid, openers;
	int64_t recoverable, supervised;
	int64_t timeout_ms, recovery_timeout_ms;
	int64_t waiting_ms, oldest_ms;
	int64_t in_flight, waiting;
	int64_t attempts, restarts;
	int64_t completed;
	int64_t below;
	struct thread *threads;
	size_t n_threads;
};

/**
 * condition_read - look at a device
 * @sysfs: "/sys", or what stands in for it in a test
 * @proc: "/proc", likewise
 * @id: of the device
 * @condition: to be filled in; to be released with condition_free()
 *
 * Takes %CONDITION_SAMPLE_MS when there are requests, or may be. Never opens
 * the device, and waits neither for it nor for its driver.
 *
 * Return: 0 or -errno (ENOENT: no such device, ENOMEM).
 */
int condition_read(const char *sysfs, const char *proc, uint64_t id,
		   struct condition *condition);

/** condition_free - release what condition_read() allocated. */
void condition_free(struct condition *condition);

#endif /* BDUS_CONDITION_H */
