/* SPDX-License-Identifier: MIT */
/*
 * resize - making a volume larger: a plan, room for the new map, the new map,
 * and the superblocks, in this order.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resize.h"
#include "rooms.h"

/* --- the plan ---------------------------------------------------------------
 */

static uint64_t map_len(const struct super *super)
{
	return map_pages(super->size, super->n_segments) * BLOCK_SIZE;
}

static uint64_t align_down(uint64_t off)
{
	return off / LAYOUT_START * LAYOUT_START;
}

/* Does the area from there up to @end touch the map as it is now? */
static bool plan_meets_map(const struct super *old, uint64_t off, uint64_t end)
{
	for (int i = 0; i < 2; i++)
		if (off < old->map_off[i] + map_len(old) &&
		    old->map_off[i] < end)
			return true;
	return false;
}

/* Is there room for that many segments, and for the map up to @top? */
static bool plan_place(struct super *new, const struct super *old,
		       uint64_t size, uint64_t top)
{
	uint64_t len, fits;

	layout_reserve(new);
	fits = layout_fits(new);
	new->size = size;
	if (size == 0)
		new->size = fits > old->size ? fits : old->size;
	len = map_len(new);
	if (top < 2 * len + 2 * LAYOUT_START)
		return false;
	new->map_off[1] = align_down(top - len);
	new->map_off[0] = align_down(new->map_off[1] - len);
	return segment_off(new, new->n_segments) <= new->map_off[0] &&
	       !plan_meets_map(old, new->map_off[0], top);
}

static bool plan_below(struct super *new, const struct super *old,
		       uint64_t size, uint64_t top)
{
	uint64_t n;

	if (top <= new->segments_off)
		return false;
	n = (top - new->segments_off) / new->segment_size;
	new->n_segments = n > INT32_MAX ? INT32_MAX : (uint32_t)n;
	while (new->n_segments > 4 && !plan_place(new, old, size, top))
		new->n_segments--;
	return new->n_segments > 4;
}

static bool plan_is_empty(const struct super *new, const struct super *old)
{
	return new->size == old->size &&new->n_segments <= old->n_segments;
}

/* The map goes to the end, or below where it is now. */
static const char *plan_make(struct super *new, const struct super *old,
			     const struct resize_options *options)
{
	uint64_t size = options->size;
	bool was_larger = layout_is_overcommitted(old);

	if (size % BLOCK_SIZE != 0 || size > LOGICAL_SIZE_MAX)
		return "the size of the disk has to be a multiple of 4096";
	if (size != 0 && size < old->size)
		return "is larger than that, and cannot be made smaller";
	if (new->medium_size > MEDIUM_SIZE_MAX)
		return "is larger than 64 TiB";
	if (!plan_below(new, old, size, new->medium_size - BLOCK_SIZE) &&
	    !plan_below(new, old, size, align_down(old->map_off[0])))
		return "is too small for that";
	/* the place of the map alone is worth nothing */
	if (plan_is_empty(new, old))
		return NULL;
	if (layout_is_overcommitted(new) && !was_larger &&
	    !options->may_overcommit)
		return "is too small for a disk of that size";
	return NULL;
}

/* --- room at the end --------------------------------------------------------
 */

/* The log must not go there; what is closed and empty is free afterwards. */
static bool room_claim(struct engine *engine, uint32_t first)
{
	struct space *space = &engine->map.space;
	bool is_ours = true;

	pthread_mutex_lock(&engine->map.lock);
	for (uint32_t i = first; i < engine->super.n_segments; i++) {
		if (space->segments[i].state == SEGMENT_FREE)
			space_claim(space, i);
		is_ours &= space->segments[i].state == SEGMENT_BUSY;
	}
	pthread_mutex_unlock(&engine->map.lock);
	return is_ours;
}

/* Move what is live in a segment, if there is anything. */
static int room_clean(struct engine *engine, uint32_t segment)
{
	const struct segment *one = &engine->map.space.segments[segment];
	int error = 0;

	while (error == 0 && one->state == SEGMENT_CLOSED &&
	       one->use.live_blocks > 0) {
		uint32_t before = one->use.live_blocks;

		error = background_wait(engine, SEGMENTS_FOR_CLEANER);
		if (error == 0)
			error = clean_segment(engine, segment);
		if (error == -EAGAIN)
			error = checkpoint_make(engine, 0);
		else if (error == 0 && one->use.live_blocks == before)
			error = -EIO;
	}
	return error;
}

static int room_make(struct engine *engine, uint32_t first)
{
	bool is_ours = room_claim(engine, first);
	int error = 0;

	if (engine->log.end.segment >= first || engine->log.end.next >= first)
		return -ENOSPC;
	for (uint32_t i = first;
	     error == 0 && !is_ours && i < engine->super.n_segments; i++)
		error = room_clean(engine, i);
	if (error == 0 && !is_ours)
		error = checkpoint_make(engine, 0);
	if (error == 0 && !room_claim(engine, first))
		error = -EIO;
	return error;
}

/* Close the volume properly, with nothing from that segment on. */
static int room_ready(struct medium *medium, uint32_t first, bool is_changing,
		      const char **reason)
{
	struct engine_options how = { .n_workers = 1, .is_manual = true };
	struct engine engine;
	int error = engine_open(&engine, medium, &how);

	*reason = engine.reason;
	if (error != 0)
		return error;
	*reason = "is too full to make room for the larger map";
	if (is_changing && first < engine.super.n_segments)
		error = room_make(&engine, first);
	if (error == -EIO)
		*reason = "has records that cannot be read";
	if (error != 0) {
		engine_close(&engine);
		return error;
	}
	*reason = "cannot be closed";
	return engine_close(&engine);
}

/* --- the new map ------------------------------------------------------------
 */

struct copy {
	const struct resize_options *options;
	struct tree from;
	struct tree to;
	struct page page;
	uint64_t done;
	uint64_t total;
};

static int copy_page(struct copy *copy, uint64_t from, uint64_t to,
		     uint32_t n_entries)
{
	struct page_ref ref = copy->from.levels[0].refs[from];
	struct page *page = &copy->page;
	int error = 0;

	if (copy->options->progress != NULL && copy->done++ % 256 == 0)
		copy->options->progress(copy->options->arg, copy->done,
					copy->total);
	if (!(ref.flags & PAGE_PRESENT))
		return 0;
	error = tree_read(&copy->from, 0, from, ref, page);
	if (error != 0)
		return error;
	memset(page->entries + n_entries, 0,
	       (PAGE_ENTRIES - n_entries) * sizeof(page->entries[0]));
	error = tree_write(&copy->to, to, page, 1);
	if (error == 0)
		tree_set(&copy->to, 0, to,
			 (struct page_ref){ page->crc, PAGE_PRESENT });
	return error;
}

/* Of a page of the segment table, for so many segments, what is in use. */
static uint32_t table_entries(const struct super *super, uint64_t index)
{
	uint64_t left = super->n_segments - index * PAGE_SEGMENTS;

	return (uint32_t)(left < PAGE_SEGMENTS ? left : PAGE_SEGMENTS) *
	       (PAGE_ENTRIES / PAGE_SEGMENTS);
}

static int copy_pages(struct copy *copy, const struct super *old,
		      const struct super *new)
{
	uint64_t from = n_segment_pages(old), to = n_segment_pages(new);
	int error = 0;

	copy->total = from + n_leaves(old);
	for (uint64_t i = 0; error == 0 && i < from && i < to; i++)
		error = copy_page(copy, i, i, table_entries(new, i));
	for (uint64_t i = 0; error == 0 && i < n_leaves(old); i++)
		error = copy_page(copy, from + i, to + i, PAGE_ENTRIES);
	if (error == 0)
		error = tree_write_upper(&copy->to, &copy->page);
	return error;
}

/* Write the map anew. Its root is in @new then. */
static int copy_map(struct medium *medium, const struct resize_options *options,
		    const struct super *old, struct super *new)
{
	struct copy *copy = calloc(1, sizeof(*copy));
	int error;

	if (copy == NULL)
		return -ENOMEM;
	copy->options = options;
	error = tree_open(&copy->from, old, medium);
	if (error == 0)
		error = tree_open(&copy->to, new, medium);
	if (error == 0)
		error = tree_load(&copy->from, old->root, NULL);
	if (error == 0)
		error = copy_pages(copy, old, new);
	if (error == 0)
		new->root = tree_root(&copy->to);
	tree_close(&copy->from);
	tree_close(&copy->to);
	free(copy);
	return error == 0 ? medium->sync(medium) : error;
}

/* --- all --------------------------------------------------------------------
 */

static int resize_begin(struct medium *medium, struct super *super,
			const char **reason)
{
	bool is_whole;
	int error = engine_read_super(medium, super, &is_whole, reason);

	if (error == 0 &&
	    super->flags & (SUPER_NEEDS_CHECK | SUPER_MAY_BE_STALE)) {
		*reason = "was damaged once, and has to be checked first";
		error = -EINVAL;
	}
	return error;
}

/* Fill in what is to be; of the state, what is now. */
static int resize_plan(struct medium *medium, struct super *new,
		       const struct resize_options *options,
		       const struct super *old, const char **reason)
{
	*new = *old;
	new->medium_size = medium->size & ~(uint64_t)(BLOCK_SIZE - 1);
	*reason = plan_make(new, old, options);
	return *reason == NULL ? 0 : -EINVAL;
}

int resize_volume(struct medium *medium, const struct resize_options *options,
		  struct super *super, const char **reason)
{
	struct super old, new;
	bool is_changing;
	int error = resize_begin(medium, &old, reason);

	if (error == 0)
		error = resize_plan(medium, &new, options, &old, reason);
	if (error != 0)
		return error;
	is_changing = !plan_is_empty(&new, &old);
	/* its log has an end, and its map is that of the end */
	error = room_ready(medium, new.n_segments, is_changing, reason);
	if (error == 0)
		error = resize_begin(medium, &old, reason);
	*super = old;
	if (error != 0 || !is_changing)
		return error;
	error = resize_plan(medium, &new, options, &old, reason);
	*reason = "its map cannot be written anew";
	new.generation++;
	if (error == 0)
		error = copy_map(medium, options, &old, &new);
	super_seal(&new);
	if (error == 0)
		error = super_check(&new, medium->size, reason);
	if (error != 0)
		return error;
	*reason = "cannot be written";
	error = checkpoint_write_super(medium, &new);
	if (error == 0)
		error = checkpoint_write_last(medium, &new);
	*super = new;
	return error;
}
