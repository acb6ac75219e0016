/* SPDX-License-Identifier: MIT */
/*
 * data.h - what measurements of compression write.
 *
 * Of each 512 bytes half are random and half zero, as fio writes them with
 * buffer_compress_percentage=50: no two blocks are alike, and there is nothing
 * to gain from a window that is larger than a block.
 */
#ifndef BENCH_DATA_H
#define BENCH_DATA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DATA_CHUNK 512U

/* xorshift64*: the same for the same seed, which is not 0 */
static inline uint64_t data_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * 0x2545f4914f6cdd1dU;
}

/* @percent of @len bytes, a multiple of DATA_CHUNK, can be packed away. */
static inline void data_fill(unsigned char *to, size_t len,
			     unsigned int percent, uint64_t *seed)
{
	size_t n_random = DATA_CHUNK / 8 * (100 - percent) / 100 * 8;

	memset(to, 0, len);
	for (size_t at = 0; at < len; at += DATA_CHUNK) {
		for (size_t i = 0; i < n_random; i += 8) {
			uint64_t word = data_random(seed);

			memcpy(to + at + i, &word, 8);
		}
	}
}

#endif /* BENCH_DATA_H */
