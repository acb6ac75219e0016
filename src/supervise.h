/* SPDX-License-Identifier: MIT */
/*
 * supervise.h - a small parent that restarts a driver that died.
 *
 * It is a copy of the driver's process from before there was a driver, locked
 * in memory. A restart is a fork of it: nothing is executed or read from a
 * disk, which may be the very one that waits for a driver; what it knows, the
 * next driver knows.
 */
#ifndef BDUS_SUPERVISE_H
#define BDUS_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * struct supervise - what to watch over
 * @run: a driver's whole life, in a process of its own; returns its exit code.
 *	Has to call supervise_ready() once the device is usable
 * @begun: called in the supervisor once the first driver runs, to let go of
 *	what only that one is to hold open
 * @detach: called in the supervisor once the device is usable
 * @arg: of all three
 * @is_restart: in @run: the device exists
 * @id: of the device; in @run of a restart
 * @owner: by which the device knows its drivers (struct kbdus_attributes)
 *
 * The rest is its own:
 * @ready: pipe on which a driver sends the device's id
 * @control: a control file, once the device is usable, or -1
 * @signals: signalfd
 * @pid: of the driver, or -1
 * @is_stopping: told to end the device
 * @n_fruitless: restarts without progress
 * @completed: how far the device was at the last restart
 * @start_ms: when the driver was started, monotonic, milliseconds
 * @restart_ms: when to restart next, monotonic, milliseconds
 */
struct supervise {
	int (*run)(void *arg);
	void (*begun)(void *arg);
	void (*detach)(void *arg);
	void *arg;
	bool is_restart;
	uint64_t id;
	uint64_t owner;

	int ready[2];
	int control;
	int signals;
	pid_t pid;
	bool is_stopping;
	unsigned int n_fruitless;
	uint64_t completed;
	int64_t start_ms;
	int64_t restart_ms;
};

/**
 * supervise - run a driver, and restart it while its device waits for one
 * @supervise: what to watch over; no thread may exist
 *
 * Gives up after too many restarts without progress; the device then waits for
 * a driver. SIGTERM and SIGINT go to the driver, which ends the device. SIGHUP
 * before the device is usable ends the attempt, later it has no effect.
 *
 * Return: an exit code: that of a driver which never became ready, or
 * %EXIT_DONE when the device was destroyed or got a driver from elsewhere, or
 * %EXIT_FAILED.
 */
int supervise(struct supervise *supervise);

/** supervise_ready - in a driver: the device is usable. */
void supervise_ready(struct supervise *supervise, uint64_t id);

#endif /* BDUS_SUPERVISE_H */
