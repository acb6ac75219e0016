/* SPDX-License-Identifier: MIT */
/*
 * compress/counts.h - what is counted, and told.
 */
#ifndef BDUS_COMPRESS_COUNTS_H
#define BDUS_COMPRESS_COUNTS_H

#include <stdatomic.h>
#include <stdint.h>

struct engine;
struct stats;

/**
 * struct counts - what one worker counts, in a cache line of its own
 * @read: bytes
 * @written: bytes
 * @discarded: bytes
 */
struct counts {
	_Atomic uint64_t read;
	_Atomic uint64_t written;
	_Atomic uint64_t discarded;
} __attribute__((aligned(64)));

/** counts_add - count; no other memory is ordered by it. */
static inline void counts_add(_Atomic uint64_t *count, uint64_t n)
{
	atomic_fetch_add_explicit(count, n, memory_order_relaxed);
}

/** counts_get - read such a count. */
static inline uint64_t counts_get(const _Atomic uint64_t *count)
{
	return atomic_load_explicit(count, memory_order_relaxed);
}

/** counts_work - a number that grows by what clients read and write. */
uint64_t counts_work(const struct engine *engine);

/**
 * engine_stats - tell what is stored, and what was done
 * @engine: opened; may be in use
 * @stats: filled in
 *
 * Takes the locks of the log and of the map, one after the other, for a moment.
 */
void engine_stats(struct engine *engine, struct stats *stats);

#endif /* BDUS_COMPRESS_COUNTS_H */
