/* SPDX-License-Identifier: MIT */
/*
 * tree - the pages of the map on the medium.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "counts.h"
#include "tree.h"

/* Untouched, it takes no memory. */
static void *tree_map(uint64_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static bool is_zero_page(const struct page *page)
{
	for (uint32_t i = 0; i < PAGE_ENTRIES; i++)
		if (page->entries[i] != 0)
			return false;
	return true;
}

int tree_open(struct tree *tree, const struct super *super,
	      struct medium *medium)
{
	uint64_t n = n_segment_pages(super) + n_leaves(super), first = 0;

	*tree = (struct tree){ .super = super, .medium = medium };
	tree->n_runs = n / TREE_RUN + 1;
	tree->is_allocated = tree_map(tree->n_runs);
	if (tree->is_allocated == NULL)
		return -ENOMEM;
	for (;;) {
		struct level *level = &tree->levels[tree->n_levels++];

		level->first = first;
		level->n = n;
		level->refs = tree_map(n * sizeof(*level->refs));
		level->is_dirty = tree_map(n);
		if (level->refs == NULL || level->is_dirty == NULL) {
			tree_close(tree);
			return -ENOMEM;
		}
		if (n == 1)
			return 0;
		first += n;
		n = (n + PAGE_ENTRIES - 1) / PAGE_ENTRIES;
	}
}

void tree_close(struct tree *tree)
{
	for (unsigned int i = 0; i < tree->n_levels; i++) {
		struct level *level = &tree->levels[i];

		if (level->refs != NULL)
			munmap(level->refs, level->n * sizeof(*level->refs));
		if (level->is_dirty != NULL)
			munmap(level->is_dirty, level->n);
	}
	tree->n_levels = 0;
	if (tree->is_allocated != NULL)
		munmap(tree->is_allocated, tree->n_runs);
	tree->is_allocated = NULL;
}

static uint64_t page_off(const struct tree *tree, unsigned int slot,
			 uint64_t number)
{
	return tree->super->map_off[slot] + number * BLOCK_SIZE;
}

/* --- space ------------------------------------------------------------------
 */

static int tree_allocate_pages(const struct tree *tree, uint64_t number,
			       uint64_t n)
{
	struct medium *medium = tree->medium;
	int error = 0;

	if (medium->allocate == NULL)
		return 0;
	for (unsigned int slot = 0; error == 0 && slot < 2; slot++)
		error = medium->allocate(medium, page_off(tree, slot, number),
					 n * BLOCK_SIZE);
	return error;
}

int tree_allocate(struct tree *tree, uint64_t index)
{
	uint64_t run = index / TREE_RUN, n = tree->levels[0].n - run * TREE_RUN;
	int error;

	if (atomic_load(&tree->is_allocated[run]))
		return 0;
	error = tree_allocate_pages(tree, run * TREE_RUN,
				    n < TREE_RUN ? n : TREE_RUN);
	if (error == 0)
		atomic_store(&tree->is_allocated[run], true);
	return error;
}

int tree_allocate_rest(struct tree *tree)
{
	const struct level *last = &tree->levels[tree->n_levels - 1];
	uint64_t lowest = tree->levels[0].n;
	int error = 0;

	for (uint64_t i = 0; error == 0 && i < n_segment_pages(tree->super);
	     i += TREE_RUN)
		error = tree_allocate(tree, i);
	if (error == 0 && tree->n_levels > 1)
		error = tree_allocate_pages(tree, lowest,
					    last->first + 1 - lowest);
	return error;
}

int tree_read(const struct tree *tree, unsigned int level, uint64_t index,
	      struct page_ref ref, struct page *page)
{
	uint64_t number = tree->levels[level].first + index;
	int error;

	if (!(ref.flags & PAGE_PRESENT)) {
		memset(page, 0, sizeof(*page));
		return 0;
	}
	if (ref.flags & ~(PAGE_PRESENT | PAGE_SLOT))
		return -EIO;
	error = tree->medium->read(
		tree->medium, page, sizeof(*page),
		page_off(tree, ref.flags & PAGE_SLOT, number));
	if (error == 0 && !page_is_valid(page, tree->super, number, ref.crc))
		error = -EIO;
	return error;
}

/* References that a page of the level above has room for, but are not there. */
static uint64_t tree_children(const struct level *below, uint64_t index)
{
	uint64_t left = below->n - index * PAGE_ENTRIES;

	return left < PAGE_ENTRIES ? left : PAGE_ENTRIES;
}

static int tree_load_page(struct tree *tree, unsigned int level, uint64_t index)
{
	struct level *below = &tree->levels[level - 1];
	struct page page;
	int error = tree_read(tree, level, index,
			      tree->levels[level].refs[index], &page);

	if (error == 0)
		memcpy(below->refs + index * PAGE_ENTRIES, page.entries,
		       tree_children(below, index) * sizeof(*below->refs));
	return error;
}

int tree_load(struct tree *tree, struct page_ref root, uint64_t *lost)
{
	tree->levels[tree->n_levels - 1].refs[0] = root;
	for (unsigned int i = tree->n_levels - 1; i > 0; i--) {
		const struct level *level = &tree->levels[i];

		for (uint64_t j = 0; j < level->n; j++) {
			int error = 0;

			if (level->refs[j].flags & PAGE_PRESENT)
				error = tree_load_page(tree, i, j);
			if (error != 0 && lost == NULL)
				return error;
			if (error != 0)
				++*lost;
		}
	}
	return 0;
}

unsigned int tree_other(const struct tree *tree, unsigned int level,
			uint64_t index)
{
	struct page_ref ref = tree->levels[level].refs[index];

	return ref.flags & PAGE_PRESENT ? !(ref.flags & PAGE_SLOT) : 0;
}

int tree_write(struct tree *tree, uint64_t index, struct page *pages,
	       uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		page_seal(&pages[i], tree->super, index + i);
	counts_add(&tree->n_bytes, n * sizeof(*pages));
	return tree->medium->write(
		tree->medium, pages, n * sizeof(*pages),
		page_off(tree, tree_other(tree, 0, index), index));
}

void tree_set(struct tree *tree, unsigned int level, uint64_t index,
	      struct page_ref ref)
{
	tree->levels[level].refs[index] = ref;
	if (level + 1 < tree->n_levels)
		tree->levels[level + 1].is_dirty[index / PAGE_ENTRIES] = true;
}

static int tree_write_page(struct tree *tree, unsigned int level,
			   uint64_t index, struct page *page)
{
	const struct level *below = &tree->levels[level - 1];
	uint64_t number = tree->levels[level].first + index;
	unsigned int slot = tree_other(tree, level, index);
	struct page_ref ref = { .flags = PAGE_PRESENT | slot };
	int error;

	memset(page, 0, sizeof(*page));
	memcpy(page->entries, below->refs + index * PAGE_ENTRIES,
	       tree_children(below, index) * sizeof(*below->refs));
	if (is_zero_page(page)) {
		tree_set(tree, level, index, (struct page_ref){ 0 });
		return 0;
	}
	ref.crc = page_seal(page, tree->super, number);
	counts_add(&tree->n_bytes, sizeof(*page));
	error = tree->medium->write(tree->medium, page, sizeof(*page),
				    page_off(tree, slot, number));
	if (error == 0)
		tree_set(tree, level, index, ref);
	return error;
}

int tree_write_upper(struct tree *tree, struct page *page)
{
	for (unsigned int i = 1; i < tree->n_levels; i++) {
		struct level *level = &tree->levels[i];

		for (uint64_t j = 0; j < level->n; j++) {
			int error = 0;

			if (level->is_dirty[j])
				error = tree_write_page(tree, i, j, page);
			if (error != 0)
				return error;
			level->is_dirty[j] = false;
		}
	}
	return 0;
}

struct page_ref tree_root(const struct tree *tree)
{
	return tree->levels[tree->n_levels - 1].refs[0];
}
