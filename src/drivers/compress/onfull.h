/* SPDX-License-Identifier: MIT */
/*
 * compress/onfull.h - what becomes of writes that find no space, and warnings
 * before there is none.
 *
 * A write waits in a list, with its data where it is, and no worker waits with
 * it: discards and flushes are served meanwhile. A thread tries again, the
 * oldest first, when something became free. What comes while others wait
 * queues up behind them.
 */
#ifndef BDUS_COMPRESS_ONFULL_H
#define BDUS_COMPRESS_ONFULL_H

#include "engine.h"

/**
 * struct onfull_write - a write that may have to wait
 * @next: the list's
 * @buf: stays until it is done
 * @len: bytes
 * @off: bytes
 * @commit: told when it is done
 * @until_ms: when it fails
 */
struct onfull_write {
	struct onfull_write *next;
	const void *buf;
	uint32_t len;
	uint64_t off;
	struct commit *commit;
	uint64_t until_ms;
};

/**
 * struct onfull - writes that wait; the list with the lock of the map
 * @engine: the volume
 * @worker: of its own, among the engine's
 * @wait_ms: how long a write waits; 0: it fails at once
 * @max: most writes that wait; further ones fail at once
 * @shown: @n for others to see, or NULL
 * @warn: told, once each and without locks, that so many percent are in use;
 *	or NULL
 * @arg: for it
 * @first: the oldest one
 * @last: the end of the list
 * @n: how many wait
 * @warned: of the levels that are warned of, how many were
 * @is_stopping: the thread is to end
 * @has_thread: it was started
 * @thread: it
 */
struct onfull {
	struct engine *engine;
	unsigned int worker;
	uint32_t wait_ms;
	uint32_t max;
	_Atomic uint32_t *shown;
	void (*warn)(void *arg, unsigned int percent);
	void *arg;
	struct onfull_write *first;
	struct onfull_write **last;
	_Atomic uint32_t n;
	unsigned int warned;
	bool is_stopping;
	bool has_thread;
	pthread_t thread;
};

/**
 * onfull_start - begin
 * @onfull: engine, worker, wait_ms, max, shown, warn, arg are filled in
 *
 * Return: 0 or -errno; then nothing is left behind.
 */
int onfull_start(struct onfull *onfull);

/** onfull_stop - end; what still waits fails. Does nothing unless started. */
void onfull_stop(struct onfull *onfull);

/**
 * onfull_write - as engine_write(), but it may wait for space
 * @onfull: started
 * @worker: of this thread
 * @write: but for next and until_ms; stays until it is done
 *
 * Return: as engine_write().
 */
int onfull_write(struct onfull *onfull, unsigned int worker,
		 struct onfull_write *write);

/**
 * onfull_parse - read "error", "queue", or "queue=60s"
 * @text: what was typed; a number is one of seconds, m stands for minutes
 * @wait_ms: filled in; 0: error
 *
 * Return: whether that is what it is.
 */
bool onfull_parse(const char *text, uint32_t *wait_ms);

#endif /* BDUS_COMPRESS_ONFULL_H */
