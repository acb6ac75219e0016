/* SPDX-License-Identifier: MIT */
/*
 * checkpoint - what makes the log before a place superfluous.
 *
 * Order: copies of the pages that are dirty, as of a place in the log, are
 * taken in one go; the pages are written to their other slots, then the levels
 * above; all is synced, and with it the log up to that place; superblock A,
 * sync, superblock B, sync. Only then are segments free that this checkpoint
 * does not refer to: neither superblock does.
 */
#include <errno.h>
#include <string.h>

#include "rooms.h"

#define RUN_MAX 64U

static int super_write(struct medium *medium, const struct super *super,
		       uint64_t off)
{
	union {
		struct super super;
		unsigned char bytes[BLOCK_SIZE];
	} block = { .bytes = { 0 } };

	block.super = *super;
	super_seal(&block.super);
	return medium->write(medium, &block, sizeof(block), off);
}

int checkpoint_write_super(struct medium *medium, const struct super *super)
{
	int error = 0;

	for (int slot = 0; error == 0 && slot < 2; slot++) {
		error = super_write(medium, super, SUPER_OFF(slot));
		if (error == 0)
			error = medium->sync(medium);
	}
	return error;
}

int checkpoint_write_last(struct medium *medium, const struct super *super)
{
	int error = super_write(medium, super, super->medium_size - BLOCK_SIZE);

	return error != 0 ? error : medium->sync(medium);
}

void checkpoint_mark(struct engine *engine)
{
	pthread_mutex_lock(&engine->checkpoint_lock);
	if (!engine->is_marked && engine->medium->write != NULL) {
		engine->needs_check = true;
		engine->durable.flags |= SUPER_NEEDS_CHECK;
		engine->durable.flags &= ~SUPER_CLEAN;
		/* it may fail as what was before did */
		checkpoint_write_super(engine->medium, &engine->durable);
	}
	engine->is_marked = true;
	pthread_mutex_unlock(&engine->checkpoint_lock);
}

static bool page_is_empty(const struct page *page)
{
	for (uint32_t i = 0; i < PAGE_ENTRIES; i++)
		if (page->entries[i] != 0)
			return false;
	return true;
}

/* Pages that can be written at once: neighbours, with the same slot. */
static uint32_t checkpoint_run(const struct tree *tree,
			       const struct page *pages,
			       const uint64_t *indices, uint32_t n)
{
	unsigned int slot = tree_other(tree, 0, indices[0]);
	uint32_t i = 1;

	if (page_is_empty(&pages[0]))
		return 1;
	while (i < n && i < RUN_MAX && indices[i] == indices[0] + i &&
	       tree_other(tree, 0, indices[i]) == slot &&
	       !page_is_empty(&pages[i]))
		i++;
	return i;
}

static void checkpoint_set(struct engine *engine, const struct page *pages,
			   const uint64_t *indices, uint32_t n, bool is_present)
{
	struct map *map = &engine->map;
	unsigned int slot = tree_other(&map->tree, 0, indices[0]);

	pthread_mutex_lock(&map->lock);
	for (uint32_t i = 0; i < n; i++) {
		struct page_ref ref = { 0 };

		if (is_present)
			ref = (struct page_ref){ pages[i].crc,
						 PAGE_PRESENT | slot };
		tree_set(&map->tree, 0, indices[i], ref);
		if (indices[i] >= n_segment_pages(&engine->super))
			map_thaw(map, indices[i]);
	}
	pthread_mutex_unlock(&map->lock);
}

static int checkpoint_write_pages(struct engine *engine, struct page *pages,
				  const uint64_t *indices, uint32_t n)
{
	struct tree *tree = &engine->map.tree;
	int error = 0;

	for (uint32_t i = 0, run; error == 0 && i < n; i += run) {
		bool is_present = !page_is_empty(&pages[i]);

		run = checkpoint_run(tree, &pages[i], &indices[i], n - i);
		if (is_present)
			error = tree_write(tree, indices[i], &pages[i], run);
		if (error == 0)
			checkpoint_set(engine, &pages[i], &indices[i], run,
				       is_present);
	}
	return error;
}

/* The table is small: its copies are of all pages, written one by one. */
static int checkpoint_write_table(struct engine *engine)
{
	uint64_t n = n_segment_pages(&engine->super);
	int error = 0;

	for (uint64_t i = 0; error == 0 && i < n; i++)
		if (engine->table[i].magic != 0)
			error = checkpoint_write_pages(
				engine, &engine->table[i], &i, 1);
	return error;
}

/* The state as of a place in the log. Return: pages in engine->copies. */
static uint32_t checkpoint_freeze(struct engine *engine)
{
	struct map *map = &engine->map;
	uint32_t n;

	pthread_mutex_lock(&map->lock);
	engine->super.position = map->applied;
	engine->super.n_mapped = map->n_mapped;
	engine->super.n_zero = map->n_zero;
	engine->super.n_bad = map->n_bad;
	engine->super.n_raw = map->n_raw;
	space_freeze(&map->space);
	n = map_freeze(map, engine->copies, engine->indices);
	for (uint64_t i = 0; i < n_segment_pages(&engine->super); i++) {
		engine->table[i].magic = 0;
		if (!map->space.is_dirty[i])
			continue;
		space_store(&map->space, i, &engine->table[i]);
		engine->table[i].magic = PAGE_MAGIC;
		map->space.is_dirty[i] = false;
	}
	pthread_mutex_unlock(&map->lock);
	return n;
}

/* The next pending segment that is not kept for bad times, from @i on. */
static uint32_t checkpoint_pending(struct engine *engine, uint32_t i,
				   uint32_t n_punched)
{
	struct space *space = &engine->map.space;
	uint32_t n_kept;

	pthread_mutex_lock(&engine->map.lock);
	n_kept = space->n_pending;
	if (engine->medium->allocate != NULL)
		n_kept += space->n_ready - n_punched;
	else
		n_kept += space->n_free;
	if (n_kept <= SEGMENTS_READY)
		i = engine->super.n_segments;
	while (i < engine->super.n_segments &&
	       space->segments[i].state != SEGMENT_PENDING)
		i++;
	pthread_mutex_unlock(&engine->map.lock);
	return i;
}

/* Give space back; what cannot be given back stays. */
static void checkpoint_punch(struct engine *engine)
{
	struct medium *medium = engine->medium;
	uint32_t n_punched = 0;

	for (uint32_t i = checkpoint_pending(engine, 0, 0);
	     i < engine->super.n_segments;
	     i = checkpoint_pending(engine, i + 1, n_punched)) {
		bool is_gone =
			medium->punch(medium, segment_off(&engine->super, i),
				      engine->super.segment_size) == 0;

		pthread_mutex_lock(&engine->map.lock);
		if (is_gone) {
			engine->map.space.segments[i].is_allocated = false;
			engine->map.space.is_backing_full = false;
			n_punched++;
		}
		pthread_mutex_unlock(&engine->map.lock);
	}
}

/* The next pending segment of which it is not known, from @i on. */
static uint32_t checkpoint_unknown(struct engine *engine, uint32_t i)
{
	struct space *space = &engine->map.space;

	pthread_mutex_lock(&engine->map.lock);
	if (!space->is_backing_full)
		i = engine->super.n_segments;
	while (i < engine->super.n_segments &&
	       (space->segments[i].state != SEGMENT_PENDING ||
		space->segments[i].is_allocated))
		i++;
	pthread_mutex_unlock(&engine->map.lock);
	return i;
}

/*
 * What is kept may be from before the volume was opened, and allocated without
 * our knowing. Where the file system is full, nothing else is of use.
 */
static void checkpoint_keep(struct engine *engine)
{
	struct medium *medium = engine->medium;
	bool is_good = true;

	for (uint32_t i = checkpoint_unknown(engine, 0);
	     is_good && i < engine->super.n_segments;
	     i = checkpoint_unknown(engine, i + 1)) {
		is_good =
			medium->allocate(medium, segment_off(&engine->super, i),
					 engine->super.segment_size) == 0;
		pthread_mutex_lock(&engine->map.lock);
		space_allocate(&engine->map.space, i, is_good);
		pthread_mutex_unlock(&engine->map.lock);
	}
}

/* Nobody refers to pending segments any more. */
static void checkpoint_release(struct engine *engine)
{
	if (engine->medium->punch != NULL)
		checkpoint_punch(engine);
	if (engine->medium->allocate != NULL)
		checkpoint_keep(engine);
	pthread_mutex_lock(&engine->map.lock);
	space_thaw(&engine->map.space);
	engine->is_full = false;
	pthread_cond_broadcast(&engine->map.changed);
	if (engine->map.has_waiters)
		pthread_cond_signal(&engine->map.relief);
	pthread_mutex_unlock(&engine->map.lock);
}

static int checkpoint_write(struct engine *engine, uint32_t n)
{
	struct medium *medium = engine->medium;
	struct tree *tree = &engine->map.tree;
	int error = checkpoint_write_pages(engine, engine->copies,
					   engine->indices, n);

	if (error == 0)
		error = checkpoint_write_table(engine);
	if (error == 0)
		error = tree_write_upper(tree, &engine->copies[0]);
	engine->super.root = tree_root(tree);
	if (error == 0)
		error = medium->sync(medium);
	if (error == 0)
		error = checkpoint_write_super(medium, &engine->super);
	return error;
}

int checkpoint_make(struct engine *engine, uint32_t flags)
{
	int error;

	pthread_mutex_lock(&engine->checkpoint_lock);
	error = log_fail(&engine->log, 0);
	if (error == 0) {
		engine->super.generation++;
		engine->super.flags &= SUPER_NEEDS_CHECK | SUPER_MAY_BE_STALE;
		engine->super.flags |= flags;
		error = checkpoint_write(engine, checkpoint_freeze(engine));
	}
	if (error == 0) {
		engine->durable = engine->super;
		checkpoint_release(engine);
		engine->n_checkpoints++;
	}
	pthread_mutex_unlock(&engine->checkpoint_lock);
	if (error != 0) {
		log_fail(&engine->log, error);
		checkpoint_mark(engine);
		/* nobody will bring what some wait for */
		pthread_mutex_lock(&engine->map.lock);
		pthread_cond_broadcast(&engine->map.changed);
		pthread_mutex_unlock(&engine->map.lock);
	}
	return error;
}
