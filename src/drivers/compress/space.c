/* SPDX-License-Identifier: MIT */
/*
 * space - which segments are free, and how much in the others is in use.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "space.h"

static void space_touch(struct space *space, uint64_t segment)
{
	space->is_dirty[segment / PAGE_SEGMENTS] = true;
}

static void space_set(struct space *space, uint32_t segment,
		      enum segment_state state)
{
	struct segment *one = &space->segments[segment];

	space->n_free -= one->state == SEGMENT_FREE;
	space->n_pending -= one->state == SEGMENT_PENDING;
	space->n_ready -= one->state == SEGMENT_FREE && one->is_allocated;
	one->state = (uint8_t)state;
	space->n_ready += one->state == SEGMENT_FREE && one->is_allocated;
	space->n_free += state == SEGMENT_FREE;
	space->n_pending += state == SEGMENT_PENDING;
	if (state == SEGMENT_FREE && segment < space->lowest)
		space->lowest = segment;
	space_touch(space, segment);
}

void space_allocate(struct space *space, uint32_t segment, bool is_allocated)
{
	struct segment *one = &space->segments[segment];

	space->n_ready -= one->state == SEGMENT_FREE && one->is_allocated;
	one->is_allocated = is_allocated;
	space->n_ready += one->state == SEGMENT_FREE && is_allocated;
}

int space_open(struct space *space, const struct super *super)
{
	*space = (struct space){ .super = super, .n_free = super->n_segments };
	space->segments = calloc(super->n_segments, sizeof(*space->segments));
	space->is_dirty = calloc(n_segment_pages(super), 1);
	if (space->segments != NULL && space->is_dirty != NULL)
		return 0;
	space_close(space);
	return -ENOMEM;
}

void space_close(struct space *space)
{
	free(space->segments);
	free(space->is_dirty);
	space->segments = NULL;
	space->is_dirty = NULL;
}

static uint32_t space_on_page(const struct space *space, uint64_t index)
{
	uint64_t left = space->super->n_segments - index * PAGE_SEGMENTS;

	return (uint32_t)(left < PAGE_SEGMENTS ? left : PAGE_SEGMENTS);
}

void space_load(struct space *space, uint64_t index, const struct page *page)
{
	const struct segment_use *uses = (const void *)page->entries;
	uint32_t first = (uint32_t)(index * PAGE_SEGMENTS);

	for (uint32_t i = 0; i < space_on_page(space, index); i++) {
		struct segment *segment = &space->segments[first + i];

		segment->use = uses[i];
		segment->use.live_blocks &= ~SEGMENT_USED;
		space->live_bytes += segment->use.live_bytes;
		space->live_blocks += segment->use.live_blocks;
		/* without live blocks, this checkpoint does not refer to it */
		if (segment->use.live_blocks != 0)
			space_set(space, first + i, SEGMENT_CLOSED);
	}
	space->is_dirty[index] = false;
}

void space_store(const struct space *space, uint64_t index, struct page *page)
{
	struct segment_use *uses = (void *)page->entries;
	uint32_t first = (uint32_t)(index * PAGE_SEGMENTS);

	memset(page, 0, sizeof(*page));
	for (uint32_t i = 0; i < space_on_page(space, index); i++) {
		const struct segment *segment = &space->segments[first + i];

		uses[i] = segment->use;
		if (segment->state == SEGMENT_BUSY ||
		    segment->state == SEGMENT_CLOSED)
			uses[i].live_blocks |= SEGMENT_USED;
	}
}

bool space_is_sane(const struct space *space)
{
	for (uint32_t i = 0; i < space->super->n_segments; i++) {
		const struct segment *segment = &space->segments[i];

		if (segment->use.live_bytes > space->super->segment_size ||
		    segment->use.live_blocks > space->super->segment_size ||
		    (segment->use.live_blocks == 0 &&
		     segment->use.live_bytes != 0))
			return false;
	}
	return true;
}

bool space_take(struct space *space, uint32_t *segment, bool is_allocated)
{
	uint32_t i = *segment;

	for (i = i > space->lowest ? i : space->lowest;
	     i < space->super->n_segments; i++) {
		const struct segment *one = &space->segments[i];

		if (one->state != SEGMENT_FREE ||
		    one->is_allocated != is_allocated)
			continue;
		if (i == space->lowest)
			space->lowest++;
		space_set(space, i, SEGMENT_BUSY);
		*segment = i;
		return true;
	}
	return false;
}

void space_give(struct space *space, uint32_t segment)
{
	space_set(space, segment, SEGMENT_FREE);
}

void space_claim(struct space *space, uint32_t segment)
{
	space_set(space, segment, SEGMENT_BUSY);
}

void space_begin(struct space *space, uint32_t segment, uint64_t sequence)
{
	/* readers look without the lock */
	__atomic_store_n(&space->segments[segment].use.first_sequence, sequence,
			 __ATOMIC_RELAXED);
	space->segments[segment].is_skipped = false;
	space_touch(space, segment);
}

void space_end(struct space *space, uint32_t segment)
{
	space_set(space, segment, SEGMENT_CLOSED);
}

void space_add(struct space *space, uint64_t entry)
{
	uint64_t segment = segment_of(space->super, entry_off(entry));

	if (entry_state(entry) != BLOCK_DATA)
		return;
	space->segments[segment].use.live_bytes += entry_share(entry);
	space->segments[segment].use.live_blocks++;
	space->live_bytes += entry_share(entry);
	space->live_blocks++;
	space_touch(space, segment);
}

void space_drop(struct space *space, uint64_t entry)
{
	uint64_t segment = segment_of(space->super, entry_off(entry));

	if (entry_state(entry) != BLOCK_DATA)
		return;
	space->segments[segment].use.live_bytes -= entry_share(entry);
	space->segments[segment].use.live_blocks--;
	space->live_bytes -= entry_share(entry);
	space->live_blocks--;
	space_touch(space, segment);
}

void space_freeze(struct space *space)
{
	for (uint32_t i = 0; i < space->super->n_segments; i++) {
		const struct segment *segment = &space->segments[i];

		if (segment->state == SEGMENT_CLOSED &&
		    segment->use.live_blocks == 0)
			space_set(space, i, SEGMENT_PENDING);
	}
}

void space_thaw(struct space *space)
{
	/* the table says so already: no page of it becomes dirty */
	for (uint32_t i = 0; i < space->super->n_segments; i++) {
		if (space->segments[i].state != SEGMENT_PENDING)
			continue;
		space->segments[i].state = SEGMENT_FREE;
		space->n_pending--;
		space->n_free++;
		space->n_ready += space->segments[i].is_allocated;
		if (i < space->lowest)
			space->lowest = i;
	}
}

uint32_t space_empty(const struct space *space)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < space->super->n_segments; i++)
		n += space->segments[i].state == SEGMENT_CLOSED &&
		     space->segments[i].use.live_blocks == 0;
	return n;
}

bool space_victim(const struct space *space, uint32_t *segment)
{
	uint32_t least = UINT32_MAX;

	for (uint32_t i = 0; i < space->super->n_segments; i++) {
		const struct segment *one = &space->segments[i];

		if (one->state != SEGMENT_CLOSED || one->is_skipped ||
		    one->use.live_blocks == 0 || one->use.live_bytes >= least)
			continue;
		least = one->use.live_bytes;
		*segment = i;
	}
	return least != UINT32_MAX;
}
