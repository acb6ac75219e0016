/* SPDX-License-Identifier: MIT */
/*
 * dev.h - a device as the runtime sees it; drivers know dev_*() of driver.h.
 *
 * The process that opens the device is the one that serves it. Everything in
 * struct dev is written before the workers start and constant while they run,
 * but for the atomics; each worker's structure belongs to its thread.
 */
#ifndef BDUS_DEV_H
#define BDUS_DEV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver.h"

/** DEV_BUFFER_BYTES - most memory for payload buffers that a device takes. */
#define DEV_BUFFER_BYTES (8U << 20)
/** DEV_BUFFER_DEPTH - queue depth of a device with payload buffers. */
#define DEV_BUFFER_DEPTH 32U
/** DEV_BATCH_MAX - completions, and requests, that a worker has room for. */
#define DEV_BATCH_MAX 64U
/**
 * DEV_BATCH_BUFFERS - requests that a worker of a driver with buffers takes at
 * a time. Such drivers wait for something below, and what one worker holds
 * the others cannot work on.
 */
#define DEV_BATCH_BUFFERS 4U

/** DEV_BATCHES_DEFERRED - after so many, what was deferred is settled. */
#define DEV_BATCHES_DEFERRED 8U

/** struct dev_slot - the request of a tag; a cache line of its own */
struct dev_slot {
	struct io io;
	uint8_t op;
} __attribute__((aligned(64)));

/**
 * struct worker - a thread that serves requests, and its batch
 * @dev: the device
 * @queue: queue file
 * @n_completions: filled in @completions, to go with the next exchange
 * @n_batches: since the first one of which a request was deferred, or 0
 * @thread: valid once started
 * @completions: answers not handed in yet
 * @requests: what the last exchange brought
 */
struct worker {
	struct dev *dev;
	int queue;
	unsigned int n_completions;
	unsigned int n_batches;
	pthread_t thread;
	struct kbdus_completion completions[DEV_BATCH_MAX];
	struct kbdus_request requests[DEV_BATCH_MAX];
};

/**
 * struct dev - a device
 * @driver: its kind
 * @priv: the driver's private structure
 * @operands: of the command line
 * @attrs: as the driver filled them in, then as the module chose
 * @id: valid once created; set before dev_open() when it is taken over
 * @is_rerun: the device exists, and is taken over from another driver
 * @is_restart: and that one was as this one, and died
 * @old: what it was then
 * @has_kept: there is a kept descriptor (kept.h), from the driver before
 * @does_keep: there is one, of this driver
 * @kept_memory: see dev_kept_memory()
 * @kept_before: see dev_kept_before()
 * @control: a plain control file, -1 when there is none
 * @session: the session file, -1 when there is none
 * @buffers: payload buffers, or NULL
 * @buffers_size: bytes of all of them
 * @buffer_size: bytes of one
 * @slots: one per tag
 * @workers: @n_workers of them
 * @n_workers: asked for, then made
 * @n_threads: workers whose thread was started
 * @batch: requests taken at a time
 * @poll_us: busy wait of a worker, microseconds
 * @serve: the driver's callbacks by enum kbdus_op
 * @was_refused: the kernel refused a completion, which is logged once
 * @has_taken_over: it is a rerun, and the device is ours
 * @was_replaced: another driver took over; the device lives on
 * @is_lost: the session ended without the device being terminated
 * @stack_size: of each worker's thread, bytes; 0: enough for what is in src/
 */
struct dev {
	const struct driver *driver;
	void *priv;
	char **operands;
	struct kbdus_attributes attrs;
	uint64_t id;
	bool is_rerun;
	bool is_restart;
	struct kbdus_info old;
	bool has_kept;
	bool does_keep;
	void *kept_memory;
	void *kept_before;
	int control;
	int session;
	void *buffers;
	size_t buffers_size;
	uint32_t buffer_size;
	struct dev_slot *slots;
	struct worker *workers;
	unsigned int n_workers;
	unsigned int n_threads;
	unsigned int batch;
	unsigned int poll_us;
	void (*serve[KBDUS_OP_COUNT])(struct io *io);
	bool has_taken_over;
	atomic_bool was_refused;
	atomic_bool was_replaced;
	atomic_bool is_lost;
	size_t stack_size;
};

/**
 * dev_open - open the driver, check and complete what it says of the device
 * @dev: driver, priv, operands, n_workers, poll_us and attrs (flags, block
 *	sizes, timeout) are filled in
 *
 * Prints what is wrong.
 *
 * Return: an exit code; on failure nothing is left open.
 */
int dev_open(struct dev *dev);

/**
 * dev_start_driver - let the driver look at its backing, see struct driver
 * @dev: opened; if it is taken over, settled
 *
 * Prints what is wrong.
 *
 * Return: an exit code.
 */
int dev_start_driver(struct dev *dev);

/** dev_close - close the driver, when no worker runs. Return: an exit code. */
int dev_close(struct dev *dev);

/**
 * dev_attach - create the device in the kernel and become its driver, or
 * become the candidate for the one that is taken over
 * @dev: opened
 * @populate: take the memory of the payload buffers at once
 *
 * Loads the module when needed. Prints what is wrong.
 *
 * Return: an exit code; dev_detach() is to be called in any case.
 */
int dev_attach(struct dev *dev, bool populate);

/**
 * dev_detach - give up what dev_attach() made
 * @dev: of which no worker runs any more
 *
 * With it the device goes, unless it was terminated already.
 */
void dev_detach(struct dev *dev);

/**
 * dev_start - put the disk on show, or take it over, while the workers serve
 * @dev: attached
 *
 * May sleep long.
 *
 * Return: 0 or -errno (see KBDUS_START).
 */
int dev_start(struct dev *dev);

/**
 * dev_settle - wait until the old driver of a device that is taken over is out
 * of the way
 * @dev: attached
 *
 * Optional, before dev_start(): from then on nothing changes below the device,
 * unless one of the two returns -EINTR.
 *
 * Return: 0 or -errno (see KBDUS_SETTLE).
 */
int dev_settle(struct dev *dev);

/**
 * dev_terminate - tell the kernel to end the device
 * @dev: attached
 * @flags: KBDUS_TERMINATE_*
 *
 * Flushes unless told not to, so workers must serve: not for their threads.
 *
 * Return: 0, -EBUSY (open), or another -errno (see KBDUS_TERMINATE).
 */
int dev_terminate(struct dev *dev, unsigned int flags);

/**
 * dev_leave - end the session at once; its workers leave
 * @dev: attached
 *
 * What becomes of the device is as if the driver had died.
 */
void dev_leave(struct dev *dev);

/**
 * dev_abandon - as dev_leave(), for a driver that did not come up
 * @dev: attached
 *
 * A new device goes, recoverable or not. After it dev_close() and dev_detach().
 */
void dev_abandon(struct dev *dev);

/** workers_start - start the threads. Return: 0 or -errno. */
int workers_start(struct dev *dev);

/** workers_join - wait until all threads that were started have left. */
void workers_join(struct dev *dev);

#endif /* BDUS_DEV_H */
