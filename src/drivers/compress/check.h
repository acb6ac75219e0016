/* SPDX-License-Identifier: MIT */
/*
 * compress/check.h - does what a volume says of itself agree?
 */
#ifndef BDUS_COMPRESS_CHECK_H
#define BDUS_COMPRESS_CHECK_H

#include "engine.h"
#include "ranges.h"

/**
 * struct check - what was found
 * @n_mapped: blocks with data
 * @n_zero: blocks that are zero by a record
 * @n_raw: blocks with data in records that are not packed
 * @n_bad: blocks whose data was lost before
 * @n_pages_lost: pages of the map that cannot be read
 * @n_records_lost: records that cannot be read, of those that were looked at
 * @n_blocks_lost: blocks in these
 * @n_segments_wrong: segments that the map counts otherwise
 * @n_free_used: free segments that the map refers to
 * @n_overlaps: places that belong to two records
 * @is_count_wrong: the volume's own counts are not these
 * @lost: the blocks in records that cannot be read; to be freed
 * @tell: NULL, or told how many bytes of records were read; set by the caller
 * @arg: its argument; likewise
 * @n_read: bytes of records that were read
 */
struct check {
	uint64_t n_mapped;
	uint64_t n_zero;
	uint64_t n_raw;
	uint64_t n_bad;
	uint64_t n_pages_lost;
	uint64_t n_records_lost;
	uint64_t n_blocks_lost;
	uint64_t n_segments_wrong;
	uint64_t n_free_used;
	uint64_t n_overlaps;
	bool is_count_wrong;
	struct ranges lost;
	void (*tell)(void *arg, uint64_t done);
	void *arg;
	uint64_t n_read;
};

/**
 * check_volume - look at all of the map, and at the data if wanted
 * @engine: opened, idle
 * @verify_data: read every record that a block is in
 * @check: filled in, all zero before but for @tell
 *
 * Return: 0 (see @check) or -ENOMEM.
 */
int check_volume(struct engine *engine, bool verify_data, struct check *check);

/** check_is_clean - is nothing wrong, but for blocks known to be lost? */
bool check_is_clean(const struct check *check);

#endif /* BDUS_COMPRESS_CHECK_H */
