/* SPDX-License-Identifier: MIT */
/*
 * scan - what is in a segment, whatever the map says of it.
 */
#include <string.h>

#include "scan.h"

uint32_t scan_read(struct engine *engine, uint32_t segment)
{
	struct medium *medium = engine->medium;
	uint64_t start = segment_off(&engine->super, segment);
	uint32_t size = engine->super.segment_size, n_lost = 0;

	if (medium->read(medium, engine->segment_buf, size, start) == 0)
		return 0;
	for (uint32_t at = 0; at < size; at += BLOCK_SIZE) {
		unsigned char *block = engine->segment_buf + at;

		if (medium->read(medium, block, BLOCK_SIZE, start + at) == 0)
			continue;
		memset(block, 0, BLOCK_SIZE);
		n_lost++;
	}
	return n_lost;
}

const struct segment_head *scan_head(const struct engine *engine,
				     uint32_t segment)
{
	const struct segment_head *head = (const void *)engine->segment_buf;

	return segment_head_is_valid(head, &engine->super, segment) ? head :
								      NULL;
}

const struct batch_head *scan_batch(const struct engine *engine, uint32_t *at)
{
	uint32_t size = engine->super.segment_size;

	for (; *at + BLOCK_SIZE <= size; *at += BLOCK_SIZE) {
		const struct batch_head *head =
			(const void *)(engine->segment_buf + *at);

		if (batch_is_valid(head, &engine->super, size - *at))
			return head;
	}
	return NULL;
}

const struct record *scan_record(const struct engine *engine, uint32_t *at)
{
	uint32_t size = engine->super.segment_size;

	for (; *at + UNIT_SIZE <= size; *at += UNIT_SIZE) {
		const struct record *record =
			(const void *)(engine->segment_buf + *at);

		if (record_is_valid(record, &engine->super) &&
		    record_size(record) <= size - *at)
			return record;
	}
	return NULL;
}
