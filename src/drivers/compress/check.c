/* SPDX-License-Identifier: MIT */
/*
 * check - looks at every page of the map and counts what the segments hold.
 */
#include <errno.h>
#include <stdlib.h>

#include "check.h"
#include "rooms.h"

static void check_record(struct engine *engine, struct check *check,
			 uint64_t lba, uint64_t entry, uint32_t n)
{
	struct codec *codec = background_codec(engine);
	int error = engine_read_record(engine, codec, lba, entry);

	if (error == 0)
		error = codec_unpack(codec, (const void *)codec->record,
				     codec->plain);
	if (error == 0)
		return;
	check->n_records_lost++;
	check->n_blocks_lost += n;
}

static void check_entry(const struct engine *engine, struct check *check,
			struct segment_use *uses, uint64_t entry)
{
	uint64_t segment;

	check->n_zero += entry_state(entry) == BLOCK_ZERO;
	check->n_bad += entry_state(entry) == BLOCK_BAD;
	if (entry_state(entry) != BLOCK_DATA)
		return;
	check->n_mapped++;
	check->n_raw += entry_is_raw(entry);
	segment = segment_of(&engine->super, entry_off(entry));
	uses[segment].live_blocks++;
	uses[segment].live_bytes += entry_share(entry);
}

static void check_page(struct engine *engine, struct check *check,
		       struct segment_use *uses, uint64_t lba, uint32_t n,
		       bool verify_data)
{
	uint64_t entries[PAGE_ENTRIES];
	uint32_t run;

	if (map_look(&engine->map, lba, n, entries) != 0) {
		check->n_pages_lost++;
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		check_entry(engine, check, uses, entries[i]);
	for (uint32_t i = 0; verify_data && i < n; i += run) {
		for (run = 1;
		     i + run < n &&
		     entries[i + run] == entries[i] + run * ENTRY_INDEX_ONE;)
			run++;
		if (entry_state(entries[i]) == BLOCK_DATA)
			check_record(engine, check, lba + i, entries[i], run);
		else
			run = 1;
	}
}

static void check_segments(struct engine *engine, struct check *check,
			   const struct segment_use *uses)
{
	const struct space *space = &engine->map.space;

	for (uint32_t i = 0; i < engine->super.n_segments; i++) {
		const struct segment *segment = &space->segments[i];

		check->n_segments_wrong +=
			segment->use.live_blocks != uses[i].live_blocks ||
			segment->use.live_bytes != uses[i].live_bytes;
		check->n_free_used += (segment->state == SEGMENT_FREE ||
				       segment->state == SEGMENT_PENDING) &&
				      uses[i].live_blocks > 0;
	}
	check->is_count_wrong = check->n_mapped != engine->map.n_mapped ||
				check->n_zero != engine->map.n_zero ||
				check->n_raw != engine->map.n_raw;
}

int check_volume(struct engine *engine, bool verify_data, struct check *check)
{
	uint64_t n_blocks = engine->super.size / BLOCK_SIZE;
	struct segment_use *uses =
		calloc(engine->super.n_segments, sizeof(*uses));

	*check = (struct check){ 0 };
	if (uses == NULL)
		return -ENOMEM;
	for (uint64_t lba = 0; lba < n_blocks; lba += PAGE_ENTRIES) {
		uint64_t left = n_blocks - lba;
		uint32_t n =
			left < PAGE_ENTRIES ? (uint32_t)left : PAGE_ENTRIES;

		if (!map_is_empty(&engine->map, lba))
			check_page(engine, check, uses, lba, n, verify_data);
	}
	check_segments(engine, check, uses);
	free(uses);
	return 0;
}

bool check_is_clean(const struct check *check)
{
	return check->n_bad == 0 && check->n_pages_lost == 0 &&
	       check->n_records_lost == 0 && check->n_segments_wrong == 0 &&
	       check->n_free_used == 0 && !check->is_count_wrong;
}
