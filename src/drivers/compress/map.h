/* SPDX-License-Identifier: MIT */
/*
 * compress/map.h - what each block is: a cache of the lowest pages of the map,
 * and the segments that the blocks are in.
 *
 * What a batch of the log says is applied to it as a whole, once the batch is
 * written and in the order of the batches: the map always is that of a place
 * in the log. Nothing can fail there, since each writer has had the page it
 * changes brought into memory before (map_pin()), with the right to make it
 * dirty; there are as many of these as a checkpoint has room for copies.
 *
 * Its lock is the innermost one, but for none: held for memory accesses only.
 */
#ifndef BDUS_COMPRESS_MAP_H
#define BDUS_COMPRESS_MAP_H

#include <pthread.h>
#include <stdbool.h>

#include "format.h"
#include "space.h"
#include "tree.h"

/**
 * struct leaf - a page in the cache
 * @index: which one of those that tell of blocks; UINT64_MAX: none
 * @hash_next: the next one in its chain, + 1
 * @n_pins: writers who are about to change it
 * @is_loading: it is being read
 * @is_dirty: changed since the last checkpoint was begun
 * @is_frozen: its copy is not written yet: it cannot be read back
 * @is_referenced: used since the hand went by
 * @has_right: it has the right to be dirty
 */
struct leaf {
	uint64_t index;
	uint32_t hash_next;
	uint32_t n_pins;
	bool is_loading;
	bool is_dirty;
	bool is_frozen;
	bool is_referenced;
	bool has_right;
};

/**
 * struct map - the map
 * @lock: see above
 * @changed: a page, a right or a segment became available
 * @wake: the background has something to do
 * @relief: @mark was reached; or something became free, and @has_waiters
 * @mark: bytes of live blocks
 * @has_waiters: somebody has been refused space, and waits for it
 * @n_free_low: which is when fewer segments are free
 * @bytes_due: or so much was applied
 * @bytes: applied since the last checkpoint was begun
 * @super: geometry
 * @tree: references to the pages on the medium
 * @space: the segments
 * @applied: place in the log that this is the map of
 * @leaves: the cache
 * @pages: what is in them
 * @hash: heads of the chains, + 1
 * @n_leaves: pages in the cache
 * @n_hash: chains, a power of two
 * @hand: where the search for a page to replace goes on
 * @n_rights: most pages that are dirty or about to be
 * @n_rights_left: how many more can be
 * @n_dirty: pages that are dirty
 * @n_mapped: blocks with data
 * @n_zero: blocks that are zero by a record
 * @n_bad: blocks that are lost
 * @n_raw: blocks with data in records that are not packed
 * @n_hits: pages looked for and found
 * @n_misses: and not found
 */
struct map {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_cond_t wake;
	pthread_cond_t relief;
	uint64_t mark;
	bool has_waiters;
	uint32_t n_free_low;
	uint64_t bytes_due;
	uint64_t bytes;
	const struct super *super;
	struct tree tree;
	struct space space;
	struct position applied;
	struct leaf *leaves;
	struct page *pages;
	uint32_t *hash;
	uint32_t n_leaves;
	uint32_t n_hash;
	uint32_t hand;
	uint32_t n_rights;
	uint32_t n_rights_left;
	uint32_t n_dirty;
	uint64_t n_mapped;
	uint64_t n_zero;
	uint64_t n_bad;
	uint64_t n_raw;
	uint64_t n_hits;
	uint64_t n_misses;
};

/**
 * map_open - make an empty map
 * @map: filled in
 * @super: geometry; has to stay
 * @medium: has to stay
 * @cache: bytes for pages, a third of it more for copies in checkpoints; no
 *	more of them are kept than the volume has
 * @n_users: most threads that use it at once
 *
 * Return: 0 or -ENOMEM.
 */
int map_open(struct map *map, const struct super *super, struct medium *medium,
	     uint64_t cache, unsigned int n_users);

/** map_close - undo map_open(). */
void map_close(struct map *map);

/**
 * map_load - read what is not demand-loaded, the segments for instance
 * @map: empty; the superblock is that of the last checkpoint
 *
 * Return: 0, -EIO (damaged), or another -errno.
 */
int map_load(struct map *map);

/**
 * map_look - what are these blocks?
 * @map: the map
 * @lba: first block
 * @n: how many, all on one page
 * @entries: filled in
 *
 * Takes the lock, may read.
 *
 * Return: 0, -EIO (damaged), or another -errno.
 */
int map_look(struct map *map, uint64_t lba, uint32_t n, uint64_t *entries);

/**
 * map_first_sequence - that a record can have there; lower: it is a stale one
 * @map: the map
 * @entry: of a block with data
 *
 * Return: the sequence.
 */
uint64_t map_first_sequence(const struct map *map, uint64_t entry);

/**
 * map_is_empty - is nothing mapped on the page of a block, nor about to be?
 * @map: the map
 * @lba: the block
 *
 * Takes the lock, never reads.
 *
 * Return: whether it is.
 */
bool map_is_empty(struct map *map, uint64_t lba);

/**
 * map_pin - bring a page into memory for a record that changes it
 * @map: the map
 * @lba: a block of it
 * @limit: more segments than this have to be free
 *
 * Takes the lock, may read.
 *
 * Return: 0, -EAGAIN (there are no rights, or
 * segments), -EIO (damaged), or another -errno.
 */
int map_pin(struct map *map, uint64_t lba, uint32_t limit);

/**
 * map_blank - a page is lost: it is empty from now on
 * @map: the map
 * @index: of the page, among those that tell of blocks; not in memory
 *
 * Takes the lock, never reads. The page is dirty.
 *
 * Return: 0, or -EAGAIN (there are no rights).
 */
int map_blank(struct map *map, uint64_t index);

/** map_entry_is_sane - could a block be where an entry says? */
bool map_entry_is_sane(const struct super *super, uint64_t entry);

/** MAP_NO_LIMIT - no segment has to be free. */
#define MAP_NO_LIMIT UINT32_MAX

/** map_lacks - is there no right, or not more than @limit segments free? The
 * lock is held. */
bool map_lacks(const struct map *map, uint32_t limit);

/** map_is_checkpoint_due - is it? The lock is held. */
bool map_is_checkpoint_due(const struct map *map);

/** map_unpin - a record will not be written. Takes the lock. */
void map_unpin(struct map *map, uint64_t lba);

/**
 * map_apply - do what a batch says
 * @map: the map
 * @head: valid
 * @off: where its @head is on the medium
 * @after: place in the log behind it
 *
 * Each record's page is pinned, and unpinned here. The lock is held.
 */
void map_apply(struct map *map, const struct batch_head *head, uint64_t off,
	       const struct position *after);

/**
 * map_put - change an entry whatever it is; a repair's
 * @map: the map; the page is pinned or dirty, and stays so
 * @lba: the block
 * @entry: what it is from now on
 *
 * The lock is held.
 */
void map_put(struct map *map, uint64_t lba, uint64_t entry);

/**
 * map_freeze - copy the dirty pages for a checkpoint, which are clean then
 * @map: the map
 * @copies: room for n_rights pages; filled, sorted by number
 * @indices: of the pages, among all of the lowest level
 *
 * The lock is held.
 *
 * Return: how many there are.
 */
uint32_t map_freeze(struct map *map, struct page *copies, uint64_t *indices);

/** map_thaw - a copy is written, its reference set. The lock is held. */
void map_thaw(struct map *map, uint64_t index);

#endif /* BDUS_COMPRESS_MAP_H */
