/* SPDX-License-Identifier: MIT */
/*
 * progress.h - how far something long is, on stderr.
 */
#ifndef BDUS_PROGRESS_H
#define BDUS_PROGRESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct progress - something long; only progress.c looks inside
 * @what: what is done
 * @total: bytes it is about, or milliseconds it is expected to take
 * @is_timed: @total is a time
 * @done: bytes
 * @start_ms: when it began
 * @is_shown: a thread prints
 * @has_printed: there is a line to be taken back
 * @is_over: the thread is to end
 * @lock: of @is_over
 * @ended: tells the thread of it
 * @thread: that prints
 */
struct progress {
	const char *what;
	uint64_t total;
	bool is_timed;
	_Atomic uint64_t done;
	uint64_t start_ms;
	bool is_shown;
	bool has_printed;
	bool is_over;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	pthread_t thread;
};

/**
 * progress_start - begin; every call is followed by progress_end()
 * @progress: stays where it is until then
 * @what: what is done, not copied
 * @total: bytes
 *
 * Where stderr is a terminal, a thread shows how much is done and how long the
 * rest takes, from the first second on. Otherwise, and where there can be no
 * such thread, nothing is shown.
 */
void progress_start(struct progress *progress, const char *what,
		    uint64_t total);

/** progress_start_ms - likewise, of what is known by its duration only. */
void progress_start_ms(struct progress *progress, const char *what,
		       uint64_t expected_ms);

/** progress_set - tell how many bytes are done. */
void progress_set(struct progress *progress, uint64_t done);

/** progress_end - take away what is shown. */
void progress_end(struct progress *progress);

#endif /* BDUS_PROGRESS_H */
