/* SPDX-License-Identifier: MIT */
/*
 * map - what each block is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "map.h"

#define NO_LEAF UINT64_MAX

static uint64_t leaf_of(uint64_t lba)
{
	return lba / PAGE_ENTRIES;
}

static uint64_t *map_entry(const struct map *map, const struct leaf *leaf,
			   uint64_t lba)
{
	return &map->pages[leaf - map->leaves].entries[lba % PAGE_ENTRIES];
}

/* --- opening ----------------------------------------------------------------
 */

static int map_make_cache(struct map *map, uint64_t cache, unsigned int n_users)
{
	uint64_t n = cache / BLOCK_SIZE, all = n_leaves(map->super);
	void *pages;

	/* replay needs a right for each record of a batch */
	map->n_rights = BATCH_RECORDS_MAX + n_users;
	if (n / 3 > map->n_rights)
		map->n_rights = (uint32_t)(n / 3);
	map->n_leaves = 2 * map->n_rights + n_users + 2;
	if (n > map->n_leaves)
		map->n_leaves = (uint32_t)n;
	/* there are no more of them */
	if (map->n_leaves > all)
		map->n_leaves = (uint32_t)all;
	map->n_rights_left = map->n_rights;
	for (map->n_hash = 64; map->n_hash < map->n_leaves;)
		map->n_hash *= 2;
	map->leaves = calloc(map->n_leaves, sizeof(*map->leaves));
	map->hash = calloc(map->n_hash, sizeof(*map->hash));
	pages = mmap(NULL, map->n_leaves * sizeof(struct page),
		     PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	map->pages = pages == MAP_FAILED ? NULL : pages;
	for (uint32_t i = 0; map->leaves != NULL && i < map->n_leaves; i++)
		map->leaves[i].index = NO_LEAF;
	return map->leaves == NULL || map->hash == NULL || map->pages == NULL ?
		       -ENOMEM :
		       0;
}

static void map_free_cache(struct map *map)
{
	if (map->pages != NULL)
		munmap(map->pages, map->n_leaves * sizeof(struct page));
	free(map->leaves);
	free(map->hash);
}

/* Some wait there for a time. */
static void map_open_conditions(struct map *map)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&map->changed, &attr);
	pthread_cond_init(&map->wake, &attr);
	pthread_cond_init(&map->relief, &attr);
	pthread_condattr_destroy(&attr);
}

int map_open(struct map *map, const struct super *super, struct medium *medium,
	     uint64_t cache, unsigned int n_users)
{
	int error;

	*map = (struct map){ .super = super, .mark = UINT64_MAX };
	error = map_make_cache(map, cache, n_users);
	if (error == 0)
		error = space_open(&map->space, super);
	if (error == 0)
		error = tree_open(&map->tree, super, medium);
	if (error != 0) {
		space_close(&map->space);
		map_free_cache(map);
		return error;
	}
	pthread_mutex_init(&map->lock, NULL);
	map_open_conditions(map);
	return 0;
}

void map_close(struct map *map)
{
	pthread_cond_destroy(&map->relief);
	pthread_cond_destroy(&map->wake);
	pthread_cond_destroy(&map->changed);
	pthread_mutex_destroy(&map->lock);
	tree_close(&map->tree);
	space_close(&map->space);
	map_free_cache(map);
}

int map_load(struct map *map)
{
	struct page *page = &map->pages[0];
	int error = tree_load(&map->tree, map->super->root, NULL);

	map->applied = map->super->position;
	map->n_mapped = map->super->n_mapped;
	map->n_zero = map->super->n_zero;
	map->n_bad = map->super->n_bad;
	map->n_raw = map->super->n_raw;
	for (uint64_t i = 0; error == 0 && i < n_segment_pages(map->super);
	     i++) {
		error = tree_read(&map->tree, 0, i, map->tree.levels[0].refs[i],
				  page);
		if (error == 0)
			space_load(&map->space, i, page);
	}
	if (error == 0 && !space_is_sane(&map->space))
		error = -EIO;
	return error;
}

/* --- cache ------------------------------------------------------------------
 */

static uint32_t *map_chain(struct map *map, uint64_t index)
{
	uint64_t mixed = index * 0x9e3779b97f4a7c15ULL;

	return &map->hash[mixed >> 32 & (map->n_hash - 1)];
}

static struct leaf *map_find(struct map *map, uint64_t index)
{
	for (uint32_t i = *map_chain(map, index); i != 0;
	     i = map->leaves[i - 1].hash_next)
		if (map->leaves[i - 1].index == index)
			return &map->leaves[i - 1];
	return NULL;
}

/* A leaf that is held, so it is there. */
static struct leaf *map_held(struct map *map, uint64_t index)
{
	uint32_t i = *map_chain(map, index);

	while (map->leaves[i - 1].index != index)
		i = map->leaves[i - 1].hash_next;
	return &map->leaves[i - 1];
}

static void map_unhash(struct map *map, struct leaf *leaf)
{
	uint32_t *link = map_chain(map, leaf->index);

	while (&map->leaves[*link - 1] != leaf)
		link = &map->leaves[*link - 1].hash_next;
	*link = leaf->hash_next;
	leaf->index = NO_LEAF;
}

static void map_hash(struct map *map, struct leaf *leaf, uint64_t index)
{
	uint32_t *chain = map_chain(map, index);

	leaf->index = index;
	leaf->hash_next = *chain;
	*chain = (uint32_t)(leaf - map->leaves) + 1;
}

static bool leaf_is_held(const struct leaf *leaf)
{
	return leaf->n_pins > 0 || leaf->is_loading || leaf->is_dirty ||
	       leaf->is_frozen;
}

/* A leaf that can be another one from now on; NULL: not at the moment. */
static struct leaf *map_evict(struct map *map)
{
	for (uint32_t i = 0; i < 2 * map->n_leaves; i++) {
		struct leaf *leaf = &map->leaves[map->hand];

		map->hand = (map->hand + 1) % map->n_leaves;
		if (leaf_is_held(leaf))
			continue;
		if (leaf->is_referenced) {
			leaf->is_referenced = false;
			continue;
		}
		if (leaf->index != NO_LEAF)
			map_unhash(map, leaf);
		return leaf;
	}
	return NULL;
}

bool map_entry_is_sane(const struct super *super, uint64_t entry)
{
	uint64_t off = entry_off(entry), segment = segment_of(super, off);
	uint64_t in_segment;

	/* others might seem to go on with the record of the block before */
	if (entry_state(entry) != BLOCK_DATA)
		return entry == 0 || entry == ENTRY_ZERO || entry == ENTRY_BAD;
	if (segment >= super->n_segments ||
	    entry_len(entry) > entry_blocks(entry) * BLOCK_SIZE + UNIT_SIZE ||
	    entry_index(entry) >= entry_blocks(entry))
		return false;
	in_segment = off - segment_off(super, (uint32_t)segment);
	return in_segment >= BLOCK_SIZE + sizeof(struct batch_head) &&
	       in_segment + entry_len(entry) <= super->segment_size;
}

static int map_read_page(struct map *map, uint64_t index, struct page_ref ref,
			 struct page *page)
{
	int error = tree_read(&map->tree, 0,
			      n_segment_pages(map->super) + index, ref, page);

	for (uint32_t i = 0; error == 0 && i < PAGE_ENTRIES; i++)
		if (!map_entry_is_sane(map->super, page->entries[i]))
			error = -EIO;
	return error;
}

/* Read a page, without the lock meanwhile. */
static int map_read_leaf(struct map *map, struct leaf *leaf, uint64_t index)
{
	uint64_t number = n_segment_pages(map->super) + index;
	struct page_ref ref = map->tree.levels[0].refs[number];
	int error;

	map_hash(map, leaf, index);
	leaf->is_loading = true;
	pthread_mutex_unlock(&map->lock);
	error = map_read_page(map, index, ref, &map->pages[leaf - map->leaves]);
	pthread_mutex_lock(&map->lock);
	leaf->is_loading = false;
	if (error != 0)
		map_unhash(map, leaf);
	pthread_cond_broadcast(&map->changed);
	return error;
}

/* The leaf, loaded; with the lock held, which may be given up meanwhile. */
static int map_get(struct map *map, uint64_t index, struct leaf **found)
{
	bool is_first = true;
	int error = 0;

	while (error == 0) {
		struct leaf *leaf = map_find(map, index);

		map->n_hits += leaf != NULL && is_first;
		map->n_misses += leaf == NULL && is_first;
		is_first = false;
		if (leaf != NULL && !leaf->is_loading) {
			leaf->is_referenced = true;
			*found = leaf;
			return 0;
		}
		if (leaf == NULL)
			leaf = map_evict(map);
		if (leaf != NULL && !leaf->is_loading)
			error = map_read_leaf(map, leaf, index);
		else
			pthread_cond_wait(&map->changed, &map->lock);
	}
	return error;
}

static bool map_has_nothing(struct map *map, uint64_t index)
{
	uint64_t number = n_segment_pages(map->super) + index;

	return map_find(map, index) == NULL &&
	       !(map->tree.levels[0].refs[number].flags & PAGE_PRESENT);
}

uint64_t map_first_sequence(const struct map *map, uint64_t entry)
{
	uint64_t segment = segment_of(map->super, entry_off(entry));

	return __atomic_load_n(&map->space.segments[segment].use.first_sequence,
			       __ATOMIC_RELAXED);
}

bool map_is_empty(struct map *map, uint64_t lba)
{
	bool is_empty;

	pthread_mutex_lock(&map->lock);
	is_empty = map_has_nothing(map, leaf_of(lba));
	pthread_mutex_unlock(&map->lock);
	return is_empty;
}

int map_look(struct map *map, uint64_t lba, uint32_t n, uint64_t *entries)
{
	struct leaf *leaf;
	int error = 0;

	pthread_mutex_lock(&map->lock);
	if (map_has_nothing(map, leaf_of(lba))) {
		memset(entries, 0, n * sizeof(*entries));
	} else {
		error = map_get(map, leaf_of(lba), &leaf);
		if (error == 0)
			memcpy(entries, map_entry(map, leaf, lba),
			       n * sizeof(*entries));
	}
	pthread_mutex_unlock(&map->lock);
	return error;
}

/* --- changes ----------------------------------------------------------------
 */

/* A leaf that is neither dirty nor about to be needs no right to it. */
static void map_return_right(struct map *map, struct leaf *leaf)
{
	if (leaf->n_pins > 0 || leaf->is_dirty || !leaf->has_right)
		return;
	leaf->has_right = false;
	map->n_rights_left++;
	pthread_cond_broadcast(&map->changed);
}

static bool map_lacks_segments(const struct map *map, uint32_t limit)
{
	return limit != MAP_NO_LIMIT && space_usable(&map->space) <= limit;
}

bool map_lacks(const struct map *map, uint32_t limit)
{
	return map->n_rights_left == 0 || map_lacks_segments(map, limit);
}

bool map_is_checkpoint_due(const struct map *map)
{
	return map->bytes >= map->bytes_due || map->n_dirty * 2 > map->n_rights;
}

int map_pin(struct map *map, uint64_t lba, uint32_t limit)
{
	struct leaf *leaf = NULL;
	int error = 0;

	pthread_mutex_lock(&map->lock);
	if (map_lacks_segments(map, limit))
		error = -EAGAIN;
	if (error == 0)
		error = map_get(map, leaf_of(lba), &leaf);
	if (error == 0 && !leaf->has_right) {
		if (map->n_rights_left == 0)
			error = -EAGAIN;
		else
			map->n_rights_left--;
	}
	if (error == 0) {
		leaf->has_right = true;
		leaf->n_pins++;
	}
	pthread_mutex_unlock(&map->lock);
	return error;
}

static void leaf_unpin(struct map *map, struct leaf *leaf)
{
	leaf->n_pins--;
	map_return_right(map, leaf);
}

void map_unpin(struct map *map, uint64_t lba)
{
	pthread_mutex_lock(&map->lock);
	leaf_unpin(map, map_held(map, leaf_of(lba)));
	pthread_mutex_unlock(&map->lock);
}

static void map_change(struct map *map, uint64_t *entry, uint64_t to)
{
	map->n_mapped -= entry_state(*entry) == BLOCK_DATA;
	map->n_zero -= entry_state(*entry) == BLOCK_ZERO;
	map->n_bad -= entry_state(*entry) == BLOCK_BAD;
	map->n_raw -= entry_is_raw(*entry);
	space_drop(&map->space, *entry);
	*entry = to;
	space_add(&map->space, to);
	map->n_mapped += entry_state(to) == BLOCK_DATA;
	map->n_zero += entry_state(to) == BLOCK_ZERO;
	map->n_bad += entry_state(to) == BLOCK_BAD;
	map->n_raw += entry_is_raw(to);
}

static void map_dirty(struct map *map, struct leaf *leaf)
{
	map->n_dirty += !leaf->is_dirty;
	leaf->is_dirty = true;
}

static void map_apply_data(struct map *map, const struct record *record,
			   uint64_t off, uint64_t *entry)
{
	uint64_t to = entry_make(off, (uint32_t)sizeof(*record) + record->len,
				 record->n_blocks);
	uint64_t from = record->from;

	for (uint32_t i = 0; i < record->n_blocks; i++, entry++) {
		if (record->type == RECORD_DATA || *entry == from)
			map_change(map, entry, to);
		to += ENTRY_INDEX_ONE;
		from += ENTRY_INDEX_ONE;
	}
}

static void map_apply_record(struct map *map, const struct record *record,
			     uint64_t off)
{
	struct leaf *leaf;
	uint64_t *entry;

	if (record->type == RECORD_CHECKPOINT)
		return;
	leaf = map_held(map, leaf_of(record->lba));
	entry = map_entry(map, leaf, record->lba);
	if (record->type == RECORD_DATA || record->type == RECORD_MOVE)
		map_apply_data(map, record, off, entry);
	else
		for (uint32_t i = 0; i < record->n_blocks; i++)
			map_change(map, &entry[i],
				   record->type == RECORD_ZERO ? ENTRY_ZERO :
								 0);
	map_dirty(map, leaf);
	leaf_unpin(map, leaf);
}

void map_apply(struct map *map, const struct batch_head *head, uint64_t off,
	       const struct position *after)
{
	const struct record *record = record_first(head);
	uint64_t live_bytes = map->space.live_bytes;

	for (uint32_t i = 0; i < head->n_records; i++) {
		map_apply_record(map, record,
				 off + (uint64_t)((const char *)record -
						  (const char *)head));
		record = record_next(record);
	}
	if (after->segment != map->applied.segment)
		space_end(&map->space, map->applied.segment);
	map->applied = *after;
	map->bytes += head->len;
	if (space_usable(&map->space) < map->n_free_low ||
	    map_is_checkpoint_due(map))
		pthread_cond_signal(&map->wake);
	if (map->space.live_bytes >= map->mark ||
	    (map->has_waiters && map->space.live_bytes < live_bytes))
		pthread_cond_signal(&map->relief);
}

void map_put(struct map *map, uint64_t lba, uint64_t entry)
{
	struct leaf *leaf = map_held(map, leaf_of(lba));

	map_change(map, map_entry(map, leaf, lba), entry);
	map_dirty(map, leaf);
}

int map_blank(struct map *map, uint64_t index)
{
	struct leaf *leaf = NULL;

	pthread_mutex_lock(&map->lock);
	if (map->n_rights_left > 0)
		leaf = map_evict(map);
	if (leaf != NULL) {
		map->n_rights_left--;
		map_hash(map, leaf, index);
		memset(&map->pages[leaf - map->leaves], 0, sizeof(struct page));
		leaf->has_right = true;
		map_dirty(map, leaf);
	}
	pthread_mutex_unlock(&map->lock);
	return leaf != NULL ? 0 : -EAGAIN;
}

/* --- checkpoints ------------------------------------------------------------
 */

static int compare_leaves(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

uint32_t map_freeze(struct map *map, struct page *copies, uint64_t *indices)
{
	uint64_t first = n_segment_pages(map->super);
	uint32_t n = 0;

	for (uint32_t i = 0; i < map->n_leaves; i++)
		if (map->leaves[i].is_dirty)
			indices[n++] = map->leaves[i].index;
	qsort(indices, n, sizeof(*indices), compare_leaves);
	for (uint32_t i = 0; i < n; i++) {
		struct leaf *leaf = map_held(map, indices[i]);

		copies[i] = map->pages[leaf - map->leaves];
		indices[i] += first;
		leaf->is_dirty = false;
		leaf->is_frozen = true;
		map_return_right(map, leaf);
	}
	map->n_dirty = 0;
	map->bytes = 0;
	return n;
}

void map_thaw(struct map *map, uint64_t index)
{
	struct leaf *leaf = map_held(map, index - n_segment_pages(map->super));

	leaf->is_frozen = false;
	pthread_cond_broadcast(&map->changed);
}
