/* SPDX-License-Identifier: MIT */
/*
 * compress/space.h - which segments are free, and how much in the others is
 * still in use. Under the lock of the map.
 *
 *	free -> busy (the log's) -> closed -> pending -> free
 *
 * A closed segment without live blocks becomes pending when a checkpoint is
 * begun that does not refer to it, and free when that one is durable.
 */
#ifndef BDUS_COMPRESS_SPACE_H
#define BDUS_COMPRESS_SPACE_H

#include "format.h"

enum segment_state {
	SEGMENT_FREE,
	SEGMENT_BUSY,
	SEGMENT_CLOSED,
	SEGMENT_PENDING,
};

/**
 * struct segment - one of them
 * @use: as on the medium, without SEGMENT_USED
 * @state: enum segment_state
 * @is_allocated: writes to it cannot fail for lack of space
 * @is_skipped: it cannot be cleaned
 */
struct segment {
	struct segment_use use;
	uint8_t state;
	bool is_allocated;
	bool is_skipped;
};

/**
 * struct space - all of them
 * @super: geometry
 * @segments: the table
 * @n_free: free ones
 * @n_pending: pending ones
 * @n_ready: free ones to which writes cannot fail for lack of space
 * @is_backing_full: the others are of no use at the moment
 * @lowest: none below is free
 * @is_dirty: of each page of the table
 * @live_bytes: of all
 * @live_blocks: of all
 */
struct space {
	const struct super *super;
	struct segment *segments;
	uint32_t n_free;
	uint32_t n_pending;
	uint32_t n_ready;
	bool is_backing_full;
	uint32_t lowest;
	bool *is_dirty;
	uint64_t live_bytes;
	uint64_t live_blocks;
};

/** space_open - all segments are free. Return: 0 or -ENOMEM. */
int space_open(struct space *space, const struct super *super);

/** space_close - undo space_open(). */
void space_close(struct space *space);

/**
 * space_load - take over what a page of the table says
 * @space: the segments
 * @index: of the page
 * @page: the page
 *
 * What has live blocks is closed. The rest is free, even if it was the log's:
 * replay claims what belongs to the log.
 */
void space_load(struct space *space, uint64_t index, const struct page *page);

/** space_store - make a page of the table; pending ones are free in it. */
void space_store(const struct space *space, uint64_t index, struct page *page);

/** space_is_sane - do the numbers of each segment make sense? */
bool space_is_sane(const struct space *space);

/**
 * space_take - make a free segment busy
 * @space: the segments
 * @segment: where the search begins; its number
 * @is_allocated: which ones do
 *
 * Return: whether there was one.
 */
bool space_take(struct space *space, uint32_t *segment, bool is_allocated);

/** space_usable - free segments that the log can have. */
static inline uint32_t space_usable(const struct space *space)
{
	return space->is_backing_full ? space->n_ready : space->n_free;
}

/** space_allocate - can writes to a segment not fail for lack of space? */
void space_allocate(struct space *space, uint32_t segment, bool is_allocated);

/** space_give - undo space_take(): nothing was written to it. */
void space_give(struct space *space, uint32_t segment);

/** space_claim - replay: a segment is busy; it was free or no longer in use. */
void space_claim(struct space *space, uint32_t segment);

/** space_begin - the log begins a segment with this sequence. */
void space_begin(struct space *space, uint32_t segment, uint64_t sequence);

/** space_end - the log is done with a segment. */
void space_end(struct space *space, uint32_t segment);

/** space_add - a block is live from now on, if it is data. */
void space_add(struct space *space, uint64_t entry);

/** space_drop - a block is dead from now on, if it was data. */
void space_drop(struct space *space, uint64_t entry);

/** space_freeze - a checkpoint is begun. */
void space_freeze(struct space *space);

/** space_thaw - it is durable: what was pending then is free. */
void space_thaw(struct space *space);

/** space_empty - closed segments that the next checkpoint makes free. */
uint32_t space_empty(const struct space *space);

/**
 * space_victim - the closed segment with the least live bytes
 * @space: the segments
 * @segment: its number
 *
 * Return: whether there is one that is not empty.
 */
bool space_victim(const struct space *space, uint32_t *segment);

#endif /* BDUS_COMPRESS_SPACE_H */
