/* SPDX-License-Identifier: MIT */
/*
 * repair - makes a whole volume of a damaged one.
 *
 * The map is loaded as far as it is good, filled in from the log, and brought
 * to the log's end, all in memory and at once: no checkpoint may be made in
 * between, since it would let segments be used again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "repair.h"
#include "rooms.h"

#define MAP_CACHE (64ULL << 20)

static void repair_forget(struct repair *repair)
{
	for (size_t i = 0; i < repair->n_leaves; i++) {
		free(repair->leaves[i]->whole);
		free(repair->leaves[i]);
	}
	free(repair->leaves);
	free(repair->uses);
	free(repair->residual);
	free(repair->open);
	free(repair->is_complete);
	free(repair->is_known);
	ranges_free(&repair->lost);
	ranges_free(&repair->stale);
}

void repair_free(struct repair *repair)
{
	engine_free_rooms(&repair->engine);
	repair_forget(repair);
}

static int repair_find_out(struct repair *repair)
{
	int error;

	repair->reason = "its map cannot be read";
	error = survey_map(repair);
	if (error != 0)
		return error;
	repair->reason = "its map cannot be rebuilt";
	error = rebuild_map(repair);
	if (error != 0)
		return error;
	repair->reason = "its log cannot be replayed";
	return salvage_log(repair);
}

/*
 * Of a volume that a write has failed on, a cache may have what is not there:
 * that would be replayed, and be part of the volume then. So it is read anew.
 */
static int repair_look(struct repair *repair)
{
	struct medium *medium = repair->engine.medium;
	int error = survey_supers(repair);

	if (error != 0 || !repair->was_marked || medium->forget == NULL)
		return error;
	repair->reason = "cannot be written";
	if (!repair->options.is_read_only)
		error = medium->sync(medium);
	if (error != 0)
		return error;
	medium->forget(medium);
	memset(repair->copies, 0, sizeof(repair->copies));
	error = survey_supers(repair);
	repair->was_marked = true;
	return error;
}

static int repair_try(struct repair *repair, struct medium *medium,
		      const struct repair_options *options)
{
	int error;

	*repair = (struct repair){ .options = *options };
	repair->engine.medium = medium;
	repair->engine.options = (struct engine_options){
		.map_cache = options->map_cache,
		.is_read_only = true,
	};
	error = repair_look(repair);
	if (error != 0)
		return error;
	repair->reason = "not enough memory";
	error = engine_make_rooms(&repair->engine);
	if (error != 0)
		return error;
	error = repair_find_out(repair);
	if (error != 0)
		repair_free(repair);
	return error;
}

int repair_prepare(struct repair *repair, struct medium *medium,
		   const struct repair_options *options)
{
	struct repair_options larger = *options;
	int error;

	if (larger.map_cache == 0)
		larger.map_cache = MAP_CACHE;
	/* all that changes has to fit */
	for (; larger.map_cache < 1ULL << 40; larger.map_cache *= 2) {
		error = repair_try(repair, medium, &larger);
		if (error != -EAGAIN)
			return error;
	}
	return -ENOMEM;
}

/* From now on reading that block is an error. */
static int repair_lose_block(struct repair *repair, uint64_t lba)
{
	struct map *map = &repair->engine.map;
	int error = map_pin(map, lba, MAP_NO_LIMIT);

	if (error != 0)
		return error;
	pthread_mutex_lock(&map->lock);
	map_put(map, lba, ENTRY_BAD);
	pthread_mutex_unlock(&map->lock);
	map_unpin(map, lba);
	repair->n_unreadable++;
	return ranges_add(&repair->lost, lba, 1);
}

int repair_lose(struct repair *repair, const struct ranges *ranges)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < ranges->n; i++)
		for (uint64_t j = 0; error == 0 && j < ranges->list[i].n; j++)
			error = repair_lose_block(repair,
						  ranges->list[i].lba + j);
	return error;
}

bool repair_is_needed(const struct repair *repair)
{
	bool is_super = false;

	for (int i = 0; i < 3; i++)
		if (repair->copies[i] == COPY_DAMAGED)
			is_super = true;
	return is_super || repair->was_marked || repair->n_pages_lost > 0 ||
	       repair->n_leaves > 0 || repair->n_segments_wrong > 0 ||
	       repair->is_count_wrong || repair->n_batches_lost > 0 ||
	       repair->n_heads_lost > 0 || repair->is_end_unreadable ||
	       repair->n_unreadable > 0 ||
	       (repair->is_stale && repair->options.accept_stale);
}

/*
 * Superblocks A and B are made the same first: pages go to slots that only the
 * older one refers to. Where none was left, what was found in its place is
 * written, which is no clean end. If this repair ends in the middle, the next
 * one must begin at the same place, not with pages that are new: they do not
 * tell what was wrong before.
 */
static int repair_begin(struct repair *repair)
{
	struct engine *engine = &repair->engine;
	const enum copy_state *copies = repair->copies;
	int error = engine->medium->sync(engine->medium);

	if (copies[0] == COPY_DAMAGED && copies[1] == COPY_DAMAGED) {
		engine->super.flags &= ~SUPER_CLEAN;
		engine->super.flags |= SUPER_NEEDS_CHECK;
		if (repair->is_stale)
			engine->super.flags |= SUPER_MAY_BE_STALE;
	}
	/* what a failure is told with */
	engine->durable = engine->super;
	if (error != 0 || (copies[0] == COPY_GOOD && copies[1] == COPY_GOOD))
		return error;
	return checkpoint_write_super(engine->medium, &engine->super);
}

int repair_commit(struct repair *repair)
{
	struct engine *engine = &repair->engine;
	int error = repair_begin(repair);

	if (error != 0)
		return error;
	if (engine->super.generation < repair->generation)
		engine->super.generation = repair->generation;
	engine->super.flags &= ~(SUPER_NEEDS_CHECK | SUPER_MAY_BE_STALE);
	if (repair->is_stale && !repair->options.accept_stale)
		engine->super.flags |= SUPER_MAY_BE_STALE;
	error = checkpoint_make(engine, SUPER_CLEAN);
	if (error == 0)
		error = checkpoint_write_last(engine->medium, &engine->durable);
	return error;
}
