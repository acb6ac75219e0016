/* SPDX-License-Identifier: MIT */
/*
 * blocks - the allocator of the code that is fuzzed.
 */
#define BLOCKS_C
#include "blocks.h"

#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <string.h>

#define N_KEPT 32
#define LARGE (32U << 10)
/* What is larger is mostly not touched. */
#define MAP_MAX (1U << 20)

static struct kept {
	void *block;
	size_t size;
	bool is_taken;
} kept[N_KEPT];

static struct kept *kept_find(size_t size)
{
	struct kept *room = NULL;

	for (struct kept *i = kept; i < kept + N_KEPT; i++) {
		if (i->block != NULL && i->size == size && !i->is_taken)
			return i;
		if (i->block == NULL)
			room = i;
	}
	return room;
}

void *blocks_take(size_t align, size_t size)
{
	struct kept *one = size < LARGE ? NULL : kept_find(size);

	if (one == NULL)
		return aligned_alloc(align, size);
	if (one->block == NULL && posix_memalign(&one->block, 4096, size) != 0)
		return NULL;
	one->size = size;
	one->is_taken = true;
	ASAN_UNPOISON_MEMORY_REGION(one->block, size);
	return one->block;
}

void *blocks_take_zeroed(size_t n, size_t size)
{
	void *block;

	if (size != 0 && n > SIZE_MAX / size)
		return NULL;
	if (n * size < LARGE)
		return calloc(n, size);
	block = blocks_take(64, n * size);
	if (block != NULL)
		memset(block, 0, n * size);
	return block;
}

void blocks_give(void *block)
{
	for (struct kept *i = kept; block != NULL && i < kept + N_KEPT; i++) {
		if (i->block != block)
			continue;
		i->is_taken = false;
		ASAN_POISON_MEMORY_REGION(block, i->size);
		return;
	}
	free(block);
}

void *blocks_map(void *at, size_t size, int protection, int flags, int fd,
		 off_t off)
{
	void *block;

	if (size > MAP_MAX)
		return mmap(at, size, protection, flags, fd, off);
	block = blocks_take_zeroed(1, size);
	return block != NULL ? block : MAP_FAILED;
}

int blocks_unmap(void *block, size_t size)
{
	if (size > MAP_MAX)
		return munmap(block, size);
	blocks_give(block);
	return 0;
}
