/* SPDX-License-Identifier: MIT */
/*
 * content.h - what tests write to blocks: it tells the block and the version,
 * and can be packed well, a little, or not at all.
 */
#ifndef BDUS_CONTENT_H
#define BDUS_CONTENT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define CONTENT_BYTES 4096U

static inline uint64_t content_mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

enum content_kind { CONTENT_RAW, CONTENT_WELL, CONTENT_HALF, CONTENT_MIXED };

/* What is written by this test at the moment. */
static enum content_kind content_kind = CONTENT_MIXED;

/* The block's bytes in that version; version 0: zeroes. */
static inline void content_fill(void *block, uint64_t lba, uint64_t version)
{
	uint64_t seed = content_mix(lba * 0x9e3779b97f4a7c15ULL + version);
	enum content_kind kind = (enum content_kind)(seed % 3);
	uint64_t *words = block;

	if (content_kind != CONTENT_MIXED)
		kind = content_kind;
	memset(block, 0, CONTENT_BYTES);
	if (version == 0)
		return;
	for (unsigned int i = 2; i < CONTENT_BYTES / 8; i++)
		if (kind == CONTENT_RAW ||
		    (kind == CONTENT_WELL && i % 16 == 0) ||
		    (kind == CONTENT_HALF && i % 2 == 0))
			words[i] = content_mix(seed + i);
	words[0] = lba;
	words[1] = version;
}

static inline bool content_is(const void *block, uint64_t lba, uint64_t version)
{
	uint64_t wanted[CONTENT_BYTES / 8];

	content_fill(wanted, lba, version);
	return memcmp(block, wanted, sizeof(wanted)) == 0;
}

/* What the block claims to be: only if content_is() agrees it is. */
static inline uint64_t content_version(const void *block)
{
	uint64_t words[2];

	memcpy(words, block, sizeof(words));
	return words[1];
}

/* Numbers from a seed, the same everywhere. */
static inline uint64_t content_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15ULL;
	return content_mix(*state);
}

#endif /* BDUS_CONTENT_H */
