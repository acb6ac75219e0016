/* SPDX-License-Identifier: MIT */
/*
 * counts - what is stored in a volume, and what was done.
 */
#include "rooms.h"
#include "counts.h"

#include "stats.h"

/* What the map and the segments say. */
static void stats_of_map(struct engine *engine, struct stats *stats)
{
	struct map *map = &engine->map;
	const struct space *space = &map->space;
	uint64_t size = engine->super.segment_size;

	pthread_mutex_lock(&map->lock);
	stats->data = map->n_mapped * BLOCK_SIZE;
	stats->zero = map->n_zero * BLOCK_SIZE;
	stats->raw = map->n_raw * BLOCK_SIZE;
	stats->stored = space->live_bytes;
	stats->free = (space->n_free + (uint64_t)space->n_pending) * size;
	stats->hits = map->n_hits;
	stats->misses = map->n_misses;
	stats->since = map->bytes;
	stats->sessions = map->applied.session;
	stats->waiting = engine->n_waiting;
	if (space->live_bytes > engine->usable ||
	    (background_is_full(engine) &&
	     map_lacks(map, SEGMENTS_FOR_CLEANER)))
		stats->flags |= STATS_FULL;
	pthread_mutex_unlock(&map->lock);
}

static void stats_of_log(struct engine *engine, struct stats *stats)
{
	pthread_mutex_lock(&engine->log.lock);
	stats->log = engine->log.n_bytes;
	if (engine->log.error != 0)
		stats->flags |= STATS_FAILED;
	pthread_mutex_unlock(&engine->log.lock);
}

static void stats_of_workers(const struct engine *engine, struct stats *stats)
{
	for (unsigned int i = 0; i < engine->n_codecs; i++) {
		const struct counts *counts = &engine->counts[i];

		stats->read += counts_get(&counts->read);
		stats->written += counts_get(&counts->written);
		stats->discarded += counts_get(&counts->discarded);
	}
}

uint64_t counts_work(const struct engine *engine)
{
	struct stats stats = { 0 };

	stats_of_workers(engine, &stats);
	return stats.read + stats.written + stats.discarded;
}

static void stats_of_recompress(struct engine *engine, struct stats *stats)
{
	const struct recompress *work = &engine->recompress;

	pthread_mutex_lock(&engine->map.lock);
	stats->recompress_level = (uint64_t)work->level;
	if (work->is_running)
		stats->flags |= STATS_RECOMPRESSING;
	pthread_mutex_unlock(&engine->map.lock);
	stats->examined = counts_get(&work->examined);
	stats->rewritten = counts_get(&work->rewritten);
	stats->saved = counts_get(&work->saved);
}

/* What does not change while it is open. */
static void stats_of_super(const struct engine *engine, struct stats *stats)
{
	const struct super *super = &engine->super;

	stats->size = super->size;
	stats->capacity = engine->usable;
	stats->reserve = (uint64_t)super->n_reserve * super->segment_size;
	stats->map = super->medium_size -
		     (uint64_t)super->n_segments * super->segment_size;
	stats->recoveries = engine->was_in_use;
	stats->replayed = engine->n_replayed;
	stats->cache = (uint64_t)engine->map.n_leaves * BLOCK_SIZE;
	if (engine->options.is_read_only)
		stats->flags |= STATS_READ_ONLY;
	if (layout_is_overcommitted(super))
		stats->flags |= STATS_OVERCOMMITTED;
}

void engine_stats(struct engine *engine, struct stats *stats)
{
	*stats = (struct stats){ .version = STATS_VERSION };
	stats_of_super(engine, stats);
	stats_of_map(engine, stats);
	stats_of_log(engine, stats);
	stats_of_workers(engine, stats);
	stats_of_recompress(engine, stats);
	stats->physical = (uint64_t)engine->super.n_segments *
				  engine->super.segment_size -
			  stats->free;
	stats->checkpoints = counts_get(&engine->n_checkpoints);
	/* a superblock is written twice */
	stats->checkpoint = counts_get(&engine->map.tree.n_bytes) +
			    stats->checkpoints * 2 * BLOCK_SIZE;
	stats->cleaned = counts_get(&engine->n_cleaned);
	stats->moved = counts_get(&engine->n_moved_bytes);
	if (engine->needs_check)
		stats->flags |= STATS_NEEDS_CHECK;
}
