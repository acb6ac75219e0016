/* SPDX-License-Identifier: MIT */
/*
 * stop.h - SIGTERM and SIGINT end the device cleanly.
 */
#ifndef BDUS_STOP_H
#define BDUS_STOP_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "dev.h"

/**
 * struct stop - the thread that waits for signals
 * @dev: the device to end
 * @thread: it
 * @is_running: the thread was started
 * @was_asked: a signal has come, the device ends
 * @is_over: the device has ended by itself, the thread is to leave
 * @synced: posted when all file systems on the device are synced
 */
struct stop {
	struct dev *dev;
	pthread_t thread;
	bool is_running;
	atomic_bool was_asked;
	atomic_bool is_over;
	sem_t synced;
};

/**
 * stop_block_signals - from now on only the stop thread gets signals
 *
 * To be called before any thread is made. SIGHUP and SIGPIPE are ignored.
 */
void stop_block_signals(void);

/** stop_catch_signals - SIGTERM and SIGINT only interrupt what it waits for. */
void stop_catch_signals(void);

/** stop_was_caught - has one come since then? */
bool stop_was_caught(void);

/** stop_start - start the thread. Return: 0 or -errno. */
int stop_start(struct stop *stop, struct dev *dev);

/** stop_end - end the thread; the device has ended. */
void stop_end(struct stop *stop);

#endif /* BDUS_STOP_H */
