/* SPDX-License-Identifier: MIT */
/*
 * compress/ranges.h - a list of blocks, in order.
 */
#ifndef BDUS_COMPRESS_RANGES_H
#define BDUS_COMPRESS_RANGES_H

#include <stddef.h>
#include <stdint.h>

/**
 * struct ranges - the list
 * @list: neighbours are one range
 * @n: how many
 * @room: for so many
 * @n_blocks: in all of them
 */
struct ranges {
	struct range {
		uint64_t lba;
		uint64_t n;
	} * list;
	size_t n;
	size_t room;
	uint64_t n_blocks;
};

/** ranges_add - more blocks; those behind the last come cheap. Return: 0 or
 * -ENOMEM. */
int ranges_add(struct ranges *ranges, uint64_t lba, uint64_t n);

/** ranges_free - forget all. */
void ranges_free(struct ranges *ranges);

#endif /* BDUS_COMPRESS_RANGES_H */
