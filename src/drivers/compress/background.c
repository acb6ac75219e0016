/* SPDX-License-Identifier: MIT */
/*
 * background - the thread that makes checkpoints and cleans segments, and how
 * writers wait for it.
 *
 * Writers are held back before they have put anything into the log: what was
 * accepted is never refused later, and what frees space, the cleaner's copies
 * and the map's pages, has segments that no writer may take.
 */
#include <errno.h>
#include <time.h>

#include "rooms.h"

enum work {
	WORK_NONE,
	WORK_CHECKPOINT,
	WORK_CLEAN,
	WORK_FULL,
	WORK_RECOMPRESS
};

/*
 * Is it worth it to copy what is live in that segment? What was copied fills a
 * segment up to its payload at least. Nor if each was copied once, and nobody
 * could write: all there is to be gained is gained.
 */
static bool background_gains(const struct engine *engine, uint32_t segment)
{
	uint32_t size = engine->super.segment_size;
	uint32_t live_bytes =
		engine->map.space.segments[segment].use.live_bytes;

	return live_bytes <= size - size / 16 &&
	       live_bytes < layout_payload(&engine->super) &&
	       engine->n_in_vain <= engine->super.n_segments;
}

/* As many segments are emptied before a checkpoint makes them free. */
static uint32_t background_share(const struct engine *engine)
{
	uint32_t share = engine->super.n_reserve / 4;

	if (engine->n_waiting > 0 || share < 1)
		return 1;
	return share < 16 ? share : 16;
}

/* What is to be done next? The map's lock is held. */
static enum work background_choose(const struct engine *engine,
				   uint32_t *victim)
{
	const struct map *map = &engine->map;
	bool is_low = space_usable(&map->space) < map->n_free_low;
	uint32_t n_empty;

	if (map_is_checkpoint_due(map) ||
	    (engine->n_waiting > 0 && map->n_rights_left == 0))
		return WORK_CHECKPOINT;
	if (engine->recompress.is_ending)
		return WORK_RECOMPRESS;
	if (!is_low)
		return engine->recompress.is_running ? WORK_RECOMPRESS :
						       WORK_NONE;
	n_empty = space_empty(&map->space);
	if (n_empty >= background_share(engine) ||
	    (n_empty > 0 && space_usable(&map->space) <= SEGMENTS_FOR_TRIM))
		return WORK_CHECKPOINT;
	if (space_victim(&map->space, victim) &&
	    background_gains(engine, *victim))
		return WORK_CLEAN;
	if (n_empty > 0)
		return WORK_CHECKPOINT;
	/* what is packed better can be cleaned */
	return engine->recompress.is_running &&
			       space_usable(&map->space) >
				       SEGMENTS_FOR_CLEANER + 1 ?
		       WORK_RECOMPRESS :
		       WORK_FULL;
}

static void background_set_full(struct engine *engine)
{
	pthread_mutex_lock(&engine->map.lock);
	engine->is_full = true;
	engine->full_at = engine->map.space.live_bytes;
	pthread_cond_broadcast(&engine->map.changed);
	pthread_mutex_unlock(&engine->map.lock);
}

/* The cleaner lacks a segment or a right: only a checkpoint brings some. */
static int background_starved(struct engine *engine)
{
	int error = checkpoint_make(engine, 0);
	bool is_stuck;

	pthread_mutex_lock(&engine->map.lock);
	is_stuck = map_lacks(&engine->map, SEGMENTS_FOR_OPEN);
	pthread_mutex_unlock(&engine->map.lock);
	if (error != 0 || !is_stuck)
		return error;
	background_set_full(engine);
	return -ENODATA;
}

/* The cleaner came to its end: it lacks something, or the segment is bad. */
static int background_cleaned(struct engine *engine, uint32_t victim, int error)
{
	struct segment *segment = &engine->map.space.segments[victim];

	if (error == -EAGAIN)
		return background_starved(engine);
	pthread_mutex_lock(&engine->map.lock);
	/* what is left in it could not be read */
	if (segment->use.live_blocks > 0)
		segment->is_skipped = true;
	pthread_mutex_unlock(&engine->map.lock);
	return log_fail(&engine->log, 0);
}

static uint64_t background_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Until somebody wakes us, or for so long. The lock is held. */
static void background_sleep(struct engine *engine, pthread_cond_t *cond,
			     uint64_t ms)
{
	uint64_t end = background_now_ms() + ms;
	struct timespec until = { .tv_sec = (time_t)(end / 1000),
				  .tv_nsec = (long)(end % 1000) * 1000000 };

	pthread_cond_timedwait(cond, &engine->map.lock, &until);
}

/* It takes half of the time, unless nobody else wants something done. */
static int background_recompress(struct engine *engine)
{
	uint64_t begun_ms = background_now_ms();
	uint64_t work = counts_work(engine);
	int error = recompress_step(engine);

	if (error == -EAGAIN)
		return background_starved(engine);
	if (error != 0 || counts_work(engine) == work)
		return error;
	pthread_mutex_lock(&engine->map.lock);
	if (!engine->is_stopping && !engine->is_called &&
	    engine->n_waiting == 0)
		background_sleep(engine, &engine->map.wake,
				 background_now_ms() - begun_ms + 1);
	pthread_mutex_unlock(&engine->map.lock);
	return 0;
}

/* Do one thing. Return: 0, -ENODATA (there is nothing to do) or -errno. */
static int background_step(struct engine *engine)
{
	uint32_t victim;
	enum work work;

	pthread_mutex_lock(&engine->map.lock);
	work = background_choose(engine, &victim);
	/* it is going to gain something */
	if (work == WORK_CHECKPOINT)
		engine->is_full = false;
	pthread_mutex_unlock(&engine->map.lock);
	switch (work) {
	case WORK_CHECKPOINT:
		return checkpoint_make(engine, 0);
	case WORK_CLEAN:
		engine->n_in_vain++;
		return background_cleaned(engine, victim,
					  clean_segment(engine, victim));
	case WORK_RECOMPRESS:
		return background_recompress(engine);
	case WORK_FULL:
		background_set_full(engine);
		return -ENODATA;
	default:
		return -ENODATA;
	}
}

static void *background_main(void *arg)
{
	struct engine *engine = arg;
	struct map *map = &engine->map;

	pthread_mutex_lock(&map->lock);
	while (!engine->is_stopping) {
		int error = -EAGAIN;

		engine->is_called = false;
		if (!engine->is_paused) {
			engine->is_busy = true;
			pthread_mutex_unlock(&map->lock);
			error = background_step(engine);
			pthread_mutex_lock(&map->lock);
			engine->is_busy = false;
			engine->n_steps++;
		}
		if (engine->is_paused || engine->n_waiting > 0)
			pthread_cond_broadcast(&map->changed);
		/* whoever called meanwhile may know more than it did */
		if ((error != 0 || engine->is_paused) && !engine->is_stopping &&
		    !engine->is_called)
			pthread_cond_wait(&map->wake, &map->lock);
	}
	pthread_mutex_unlock(&map->lock);
	return NULL;
}

int background_start(struct engine *engine)
{
	int error;

	if (engine->options.is_manual || engine->options.is_read_only)
		return 0;
	engine->is_paused = true;
	error = -pthread_create(&engine->thread, NULL, background_main, engine);
	engine->has_thread = error == 0;
	return error;
}

void background_stop(struct engine *engine)
{
	if (!engine->has_thread)
		return;
	pthread_mutex_lock(&engine->map.lock);
	engine->is_stopping = true;
	pthread_cond_signal(&engine->map.wake);
	pthread_mutex_unlock(&engine->map.lock);
	pthread_join(engine->thread, NULL);
	engine->has_thread = false;
}

void background_call(struct engine *engine)
{
	engine->is_called = true;
	pthread_cond_signal(&engine->map.wake);
}

void background_pause(struct engine *engine)
{
	pthread_mutex_lock(&engine->map.lock);
	engine->is_paused = true;
	background_call(engine);
	while (engine->is_busy)
		pthread_cond_wait(&engine->map.changed, &engine->map.lock);
	pthread_mutex_unlock(&engine->map.lock);
}

void background_resume(struct engine *engine)
{
	pthread_mutex_lock(&engine->map.lock);
	engine->is_paused = false;
	background_call(engine);
	pthread_mutex_unlock(&engine->map.lock);
}

/* Let it do something that it begins from now on. Return: 0 or -ENOSPC. */
static int background_await(struct engine *engine, uint32_t limit)
{
	struct map *map = &engine->map;
	uint64_t wanted = engine->n_steps + 1 + engine->is_busy;

	background_call(engine);
	/* for a second: it may have failed */
	for (uint64_t end = background_now_ms() + 1000;
	     engine->n_steps < wanted && map_lacks(map, limit);) {
		uint64_t now = background_now_ms();

		if (now >= end)
			return 0;
		background_sleep(engine, &map->changed, end - now);
	}
	return background_is_full(engine) &&
			       space_usable(&map->space) <= limit ?
		       -ENOSPC :
		       0;
}

/* Return: 0, -ENOSPC, or another -errno; the map's lock is held. */
static int background_help(struct engine *engine, uint32_t limit)
{
	int error;

	if (engine->has_thread)
		return background_await(engine, limit);
	pthread_mutex_unlock(&engine->map.lock);
	error = background_step(engine);
	pthread_mutex_lock(&engine->map.lock);
	return error == -ENODATA ? -ENOSPC : error;
}

int background_wait(struct engine *engine, uint32_t limit)
{
	struct map *map = &engine->map;
	int error = 0;

	/* rights may be with records that nobody is about to write */
	log_kick(&engine->log);
	/* there may be space below again */
	log_refill(&engine->log, SEGMENTS_TRIED);
	pthread_mutex_lock(&map->lock);
	engine->n_waiting++;
	while (error == 0 && map_lacks(map, limit)) {
		error = background_help(engine, limit);
		if (error == -ENOSPC && !map_lacks(map, limit))
			error = 0;
		pthread_mutex_unlock(&map->lock);
		if (error == 0)
			error = log_fail(&engine->log, 0);
		pthread_mutex_lock(&map->lock);
	}
	engine->n_waiting--;
	pthread_mutex_unlock(&map->lock);
	return error;
}
