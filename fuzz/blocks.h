/* SPDX-License-Identifier: MIT */
/*
 * blocks.h - the allocator of the code that is fuzzed, included by each of its
 * files: what is large is kept when it is freed, for the next input. To map it
 * again each time takes longer than all the rest. The sanitizer still sees
 * what is used after it was freed, or beyond its end.
 */
#ifndef BDUS_FUZZ_BLOCKS_H
#define BDUS_FUZZ_BLOCKS_H

#include <stdlib.h>
#include <sys/mman.h>

/** blocks_take - as aligned_alloc(). */
void *blocks_take(size_t align, size_t size);

/** blocks_take_zeroed - as calloc(). */
void *blocks_take_zeroed(size_t n, size_t size);

/** blocks_give - as free(). */
void blocks_give(void *block);

/** blocks_map - as mmap() of anonymous memory. */
void *blocks_map(void *at, size_t size, int protection, int flags, int fd,
		 off_t off);

/** blocks_unmap - as munmap(), of all that was mapped at once. */
int blocks_unmap(void *block, size_t size);

#ifndef BLOCKS_C
#define aligned_alloc blocks_take
#define calloc blocks_take_zeroed
#define free blocks_give
#define mmap blocks_map
#define munmap blocks_unmap
#endif

#endif /* BDUS_FUZZ_BLOCKS_H */
