/* SPDX-License-Identifier: MIT */
/*
 * compress/tree.h - the pages of the map on the medium: a tree in which each
 * page has two slots, and its parent tells which of them counts.
 *
 * The references of all levels are in memory: 8 bytes for 508 blocks, 4.2 MiB
 * per TiB that is in use. Under the lock of the map, which also is the only
 * one to change anything but in open and checkpoint.
 */
#ifndef BDUS_COMPRESS_TREE_H
#define BDUS_COMPRESS_TREE_H

#include "format.h"
#include "medium.h"

/**
 * struct level - the pages of one level
 * @first: number of the first
 * @n: how many
 * @refs: their references
 * @is_dirty: of each page, whether what it says has changed; not of level 0
 */
struct level {
	uint64_t first;
	uint64_t n;
	struct page_ref *refs;
	bool *is_dirty;
};

/**
 * struct tree - all of it
 * @super: geometry, nonce, and the generation that is written
 * @medium: where
 * @n_levels: at least 2
 * @levels: from the lowest up; the last has one page
 * @n_bytes: written
 * @is_allocated: of pages of the lowest level, TREE_RUN at a time: both their
 *	slots are there to be written to
 * @n_runs: how many those are
 */
struct tree {
	const struct super *super;
	struct medium *medium;
	unsigned int n_levels;
	struct level levels[MAP_LEVELS_MAX];
	_Atomic uint64_t n_bytes;
	_Atomic bool *is_allocated;
	uint64_t n_runs;
};

/** tree_open - make an empty tree. Return: 0 or -ENOMEM. */
int tree_open(struct tree *tree, const struct super *super,
	      struct medium *medium);

/** tree_close - undo tree_open(). */
void tree_close(struct tree *tree);

/** TREE_RUN - pages that are allocated together. */
#define TREE_RUN 16U

/**
 * tree_allocate - see to it that a page can be written at any time
 * @tree: the tree
 * @index: of the page, in the lowest level
 *
 * In a sparse file there has to be space for both its slots before anything is
 * accepted that changes it: a checkpoint that fails ends all writing.
 *
 * Return: 0, -ENOSPC, or another -errno.
 */
int tree_allocate(struct tree *tree, uint64_t index);

/** tree_allocate_rest - likewise, all pages but those that tell of blocks. */
int tree_allocate_rest(struct tree *tree);

/**
 * tree_load - read the references of all levels
 * @tree: empty
 * @root: as the superblock has it
 * @lost: NULL, or a counter of pages that cannot be read: what is below them
 *	then counts as not present
 *
 * Return: 0, -EIO (a page is damaged), or another -errno.
 */
int tree_load(struct tree *tree, struct page_ref root, uint64_t *lost);

/**
 * tree_read - read a page
 * @tree: the tree
 * @level: of the page
 * @index: of the page in its level
 * @ref: its reference
 * @page: where to; all zeroes when it is not present
 *
 * Needs no lock.
 *
 * Return: 0, -EIO (damaged too), or another -errno.
 */
int tree_read(const struct tree *tree, unsigned int level, uint64_t index,
	      struct page_ref ref, struct page *page);

/**
 * tree_write - write pages of the lowest level, each to its other slot
 * @tree: the tree
 * @index: of the first
 * @pages: with their entries; sealed here
 * @n: how many; the other slot is the same one for all
 *
 * Needs no lock, being the only writer.
 *
 * Return: 0 or -errno.
 */
int tree_write(struct tree *tree, uint64_t index, struct page *pages,
	       uint32_t n);

/** tree_other - the slot that the next version of a page goes to. */
unsigned int tree_other(const struct tree *tree, unsigned int level,
			uint64_t index);

/** tree_set - a page of a level has another reference from now on. */
void tree_set(struct tree *tree, unsigned int level, uint64_t index,
	      struct page_ref ref);

/**
 * tree_write_upper - write the levels above the lowest, as far as they changed
 * @tree: the tree
 * @page: memory for one page
 *
 * Needs no lock, being the only writer.
 *
 * Return: 0 or -errno.
 */
int tree_write_upper(struct tree *tree, struct page *page);

/** tree_root - the reference for the superblock. */
struct page_ref tree_root(const struct tree *tree);

#endif /* BDUS_COMPRESS_TREE_H */
