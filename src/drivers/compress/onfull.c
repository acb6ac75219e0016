/* SPDX-License-Identifier: MIT */
/*
 * onfull - writes that wait for space, and warnings before there is none.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "onfull.h"
#include "rooms.h"

#define WAIT_DEFAULT_MS 60000U
#define WAIT_MAX_S 3600U
/* Nobody tells when there is space in the file system below again. */
#define RETRY_MS 1000U

static const unsigned int levels[] = { 80, 90, 95 };

#define N_LEVELS (sizeof(levels) / sizeof(levels[0]))

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- the list, with the lock of the map -------------------------------------
 */

static void onfull_count(struct onfull *onfull, uint32_t n)
{
	onfull->n = n;
	if (onfull->shown != NULL)
		*onfull->shown = n;
	onfull->engine->map.has_waiters = n > 0;
}

static void onfull_push(struct onfull *onfull, struct onfull_write *write)
{
	write->next = NULL;
	*onfull->last = write;
	onfull->last = &write->next;
	onfull_count(onfull, onfull->n + 1);
}

static struct onfull_write *onfull_pop(struct onfull *onfull)
{
	struct onfull_write *write = onfull->first;

	onfull->first = write->next;
	if (onfull->first == NULL)
		onfull->last = &onfull->first;
	return write;
}

static void onfull_push_back(struct onfull *onfull, struct onfull_write *write)
{
	write->next = onfull->first;
	if (onfull->first == NULL)
		onfull->last = &write->next;
	onfull->first = write;
}

/* It no longer waits; from then on others need not queue up behind it. */
static void onfull_count_off(struct onfull *onfull)
{
	onfull_count(onfull, onfull->n - 1);
}

/* --- the thread -------------------------------------------------------------
 */

/* The next level: where it is reached, the map wakes the thread. */
static void onfull_set_mark(struct onfull *onfull)
{
	struct map *map = &onfull->engine->map;

	map->mark = UINT64_MAX;
	if (onfull->warn != NULL && onfull->warned < N_LEVELS)
		map->mark =
			onfull->engine->usable / 100 * levels[onfull->warned];
}

/* The highest level that is reached; the lock is given up meanwhile. */
static bool onfull_warns(struct onfull *onfull)
{
	struct map *map = &onfull->engine->map;
	unsigned int percent = 0;

	while (onfull->warned < N_LEVELS &&
	       map->space.live_bytes >= map->mark) {
		percent = levels[onfull->warned++];
		onfull_set_mark(onfull);
	}
	if (percent == 0)
		return false;
	pthread_mutex_unlock(&map->lock);
	onfull->warn(onfull->arg, percent);
	pthread_mutex_lock(&map->lock);
	return true;
}

/* Once the backing has failed, be it for lack of space, nothing helps. */
static bool onfull_may_wait(struct onfull *onfull, int error)
{
	return error == -ENOSPC && log_fail(&onfull->engine->log, 0) == 0;
}

/*
 * Try the oldest again. Return: whether there is something to be done at once;
 * the lock is given up meanwhile.
 */
static bool onfull_try(struct onfull *onfull)
{
	struct map *map = &onfull->engine->map;
	struct onfull_write *write = onfull_pop(onfull);
	bool may_wait;
	int error;

	pthread_mutex_unlock(&map->lock);
	error = engine_write(onfull->engine, onfull->worker, write->buf,
			     write->len, write->off, write->commit);
	engine_kick(onfull->engine);
	may_wait = onfull_may_wait(onfull, error) && now_ms() < write->until_ms;
	pthread_mutex_lock(&map->lock);
	if (may_wait && !onfull->is_stopping) {
		onfull_push_back(onfull, write);
		return false;
	}
	onfull_count_off(onfull);
	pthread_mutex_unlock(&map->lock);
	if (error != 0)
		write->commit->done(write->commit, error);
	pthread_mutex_lock(&map->lock);
	return true;
}

/* Until something is free, the oldest has waited long enough, or for a while */
static void onfull_wait(struct onfull *onfull)
{
	struct map *map = &onfull->engine->map;
	uint64_t end = now_ms() + RETRY_MS;
	struct timespec until;

	if (onfull->first == NULL) {
		pthread_cond_wait(&map->relief, &map->lock);
		return;
	}
	if (onfull->first->until_ms < end)
		end = onfull->first->until_ms;
	until = (struct timespec){ .tv_sec = (time_t)(end / 1000),
				   .tv_nsec = (long)(end % 1000) * 1000000 };
	pthread_cond_timedwait(&map->relief, &map->lock, &until);
}

static void *onfull_main(void *arg)
{
	struct onfull *onfull = arg;
	struct map *map = &onfull->engine->map;

	pthread_mutex_lock(&map->lock);
	while (!onfull->is_stopping || onfull->first != NULL) {
		bool is_done = onfull_warns(onfull);

		if (onfull->first != NULL)
			is_done |= onfull_try(onfull);
		if (!is_done && !onfull->is_stopping)
			onfull_wait(onfull);
	}
	onfull_warns(onfull);
	map->mark = UINT64_MAX;
	pthread_mutex_unlock(&map->lock);
	return NULL;
}

int onfull_start(struct onfull *onfull)
{
	struct map *map = &onfull->engine->map;
	int error;

	onfull->last = &onfull->first;
	if (onfull->wait_ms == 0 && onfull->warn == NULL)
		return 0;
	pthread_mutex_lock(&map->lock);
	onfull_set_mark(onfull);
	onfull_count(onfull, 0);
	pthread_mutex_unlock(&map->lock);
	error = -pthread_create(&onfull->thread, NULL, onfull_main, onfull);
	onfull->has_thread = error == 0;
	return error;
}

void onfull_stop(struct onfull *onfull)
{
	struct map *map = &onfull->engine->map;

	if (!onfull->has_thread)
		return;
	pthread_mutex_lock(&map->lock);
	onfull->is_stopping = true;
	pthread_cond_signal(&map->relief);
	pthread_mutex_unlock(&map->lock);
	pthread_join(onfull->thread, NULL);
	onfull->has_thread = false;
}

/* --- writers ----------------------------------------------------------------
 */

static int onfull_park(struct onfull *onfull, struct onfull_write *write)
{
	struct map *map = &onfull->engine->map;
	int error = -ENOSPC;

	write->until_ms = now_ms() + onfull->wait_ms;
	pthread_mutex_lock(&map->lock);
	if (onfull->n < onfull->max && !onfull->is_stopping) {
		onfull_push(onfull, write);
		pthread_cond_signal(&map->relief);
		error = 0;
	}
	pthread_mutex_unlock(&map->lock);
	return error;
}

int onfull_write(struct onfull *onfull, unsigned int worker,
		 struct onfull_write *write)
{
	int error = -ENOSPC;

	if (onfull->n == 0)
		error = engine_write(onfull->engine, worker, write->buf,
				     write->len, write->off, write->commit);
	if (onfull->wait_ms == 0 || !onfull_may_wait(onfull, error))
		return error;
	return onfull_park(onfull, write);
}

bool onfull_parse(const char *text, uint32_t *wait_ms)
{
	unsigned long seconds;
	char *end;

	*wait_ms = 0;
	if (strcmp(text, "error") == 0)
		return true;
	*wait_ms = WAIT_DEFAULT_MS;
	if (strcmp(text, "queue") == 0)
		return true;
	if (strncmp(text, "queue=", 6) != 0 || text[6] < '0' || text[6] > '9')
		return false;
	seconds = strtoul(text + 6, &end, 10);
	if (seconds > WAIT_MAX_S)
		return false;
	if (strcmp(end, "m") == 0)
		seconds *= 60;
	else if (*end != '\0' && strcmp(end, "s") != 0)
		return false;
	*wait_ms = (uint32_t)seconds * 1000;
	return seconds > 0 && seconds <= WAIT_MAX_S;
}
