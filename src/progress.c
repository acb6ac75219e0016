/* SPDX-License-Identifier: MIT */
/*
 * progress - how far something long is, on stderr.
 *
 * The work is done by the caller, who only leaves a number behind; a thread
 * prints it. The thread shares progress->done and, under the lock, is_over.
 */
#include "progress.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "report.h"

#define PROGRESS_FIRST_MS 1000
#define PROGRESS_NEXT_MS 250

static uint64_t progress_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Milliseconds that the rest takes if it goes on like that; 0: who knows. */
static uint64_t progress_left_ms(const struct progress *progress, uint64_t done,
				 uint64_t elapsed_ms)
{
	if (progress->is_timed || done == 0)
		return progress->total > elapsed_ms && progress->is_timed ?
			       progress->total - elapsed_ms :
			       0;
	return (uint64_t)((double)elapsed_ms / (double)done *
			  (double)(progress->total - done));
}

static void progress_print(struct progress *progress)
{
	uint64_t elapsed_ms = progress_now_ms() - progress->start_ms;
	uint64_t done =
		progress->is_timed ? elapsed_ms : atomic_load(&progress->done);
	uint64_t left_ms = progress_left_ms(progress, done, elapsed_ms);
	unsigned int percent = 99;
	char left[24];

	/* what takes longer than expected stays just short of its end */
	if (done < progress->total)
		percent = (unsigned int)((double)done * 100 /
					 (double)progress->total);
	/* whole seconds, and never "0s" */
	report_ms(left_ms / 1000 * 1000 + 1000, left);
	fprintf(stderr, "\r%s: %u%%, %s%s left\033[K", progress->what, percent,
		left_ms == 0 ? "less than " : "", left);
	progress->has_printed = true;
}

/* Sleeps until @ms after the start; false: it is over. */
static bool progress_wait(struct progress *progress, uint64_t ms)
{
	struct timespec end;
	bool is_over;
	int error = 0;

	ms += progress->start_ms;
	end.tv_sec = (time_t)(ms / 1000);
	end.tv_nsec = (long)(ms % 1000) * 1000000;
	pthread_mutex_lock(&progress->lock);
	while (!progress->is_over && error == 0)
		error = pthread_cond_timedwait(&progress->ended,
					       &progress->lock, &end);
	is_over = progress->is_over;
	pthread_mutex_unlock(&progress->lock);
	return !is_over;
}

static void *progress_main(void *arg)
{
	struct progress *progress = arg;
	uint64_t ms = PROGRESS_FIRST_MS;

	for (; progress_wait(progress, ms); ms += PROGRESS_NEXT_MS)
		progress_print(progress);
	return NULL;
}

/* Signals are for the thread that works. */
static bool progress_start_thread(struct progress *progress)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&progress->thread, NULL, progress_main,
			       progress);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error == 0;
}

static void progress_begin(struct progress *progress)
{
	pthread_condattr_t attr;

	progress->start_ms = progress_now_ms();
	if (!isatty(STDERR_FILENO) || progress->total == 0)
		return;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&progress->ended, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&progress->lock, NULL);
	progress->is_shown = progress_start_thread(progress);
}

void progress_start(struct progress *progress, const char *what, uint64_t total)
{
	*progress = (struct progress){ .what = what, .total = total };
	progress_begin(progress);
}

void progress_start_ms(struct progress *progress, const char *what,
		       uint64_t expected_ms)
{
	*progress = (struct progress){ .what = what,
				       .total = expected_ms,
				       .is_timed = true };
	progress_begin(progress);
}

void progress_set(struct progress *progress, uint64_t done)
{
	atomic_store(&progress->done, done);
}

void progress_end(struct progress *progress)
{
	if (!progress->is_shown)
		return;
	pthread_mutex_lock(&progress->lock);
	progress->is_over = true;
	pthread_cond_signal(&progress->ended);
	pthread_mutex_unlock(&progress->lock);
	pthread_join(progress->thread, NULL);
	if (progress->has_printed)
		fputs("\r\033[K", stderr);
	progress->is_shown = false;
}
