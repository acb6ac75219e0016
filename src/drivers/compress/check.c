/* SPDX-License-Identifier: MIT */
/*
 * check - looks at every page of the map and counts what the segments hold.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "rooms.h"

/* Units of 64 bytes: 64 GiB of the medium, in 256 MiB of memory. */
#define PLACES_PER_PASS (1ULL << 30)

static int check_record(struct engine *engine, struct check *check,
			uint64_t lba, uint64_t entry, uint32_t n)
{
	struct codec *codec = background_codec(engine);
	int error = engine_read_record(engine, codec, lba, entry);

	if (error == 0)
		error = codec_unpack(codec, (const void *)codec->record,
				     codec->plain);
	check->n_read += entry_len(entry);
	if (check->tell != NULL)
		check->tell(check->arg, check->n_read);
	if (error == 0)
		return 0;
	check->n_records_lost++;
	check->n_blocks_lost += n;
	return ranges_add(&check->lost, lba, n);
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

static int check_page(struct engine *engine, struct check *check,
		      struct segment_use *uses, uint64_t lba, uint32_t n,
		      bool verify_data)
{
	uint64_t entries[PAGE_ENTRIES];
	uint32_t run;
	int error = 0;

	if (map_look(&engine->map, lba, n, entries) != 0) {
		check->n_pages_lost++;
		return 0;
	}
	for (uint32_t i = 0; i < n; i++)
		check_entry(engine, check, uses, entries[i]);
	for (uint32_t i = 0; verify_data && error == 0 && i < n; i += run) {
		for (run = 1;
		     i + run < n &&
		     entries[i + run] == entries[i] + run * ENTRY_INDEX_ONE;)
			run++;
		if (entry_state(entries[i]) == BLOCK_DATA)
			error = check_record(engine, check, lba + i, entries[i],
					     run);
		else
			run = 1;
	}
	return error;
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
				check->n_bad != engine->map.n_bad ||
				check->n_raw != engine->map.n_raw;
}

/*
 * Two records at the same place: one begins where another goes on. For each
 * unit of some segments it is known whether a record begins there, and whether
 * one goes on.
 */
struct places {
	uint64_t first;
	uint64_t n;
	unsigned char *begins;
	unsigned char *goes_on;
};

static void place_set(unsigned char *bits, uint64_t i)
{
	bits[i / 8] |= (unsigned char)(1U << (i % 8));
}

static void check_place(struct places *places, uint64_t entry)
{
	uint64_t unit = entry_off(entry) / UNIT_SIZE;
	uint32_t len = entry_len(entry) / UNIT_SIZE;

	if (entry_state(entry) != BLOCK_DATA || unit < places->first ||
	    unit - places->first >= places->n)
		return;
	unit -= places->first;
	place_set(places->begins, unit);
	for (uint32_t i = 1; i < len; i++)
		place_set(places->goes_on, unit + i);
}

static void check_places(struct engine *engine, struct places *places,
			 struct check *check)
{
	uint64_t n_blocks = engine->super.size / BLOCK_SIZE;
	uint64_t entries[PAGE_ENTRIES];

	for (uint64_t lba = 0; lba < n_blocks; lba += PAGE_ENTRIES) {
		uint64_t left = n_blocks - lba;
		uint32_t n =
			left < PAGE_ENTRIES ? (uint32_t)left : PAGE_ENTRIES;

		if (map_is_empty(&engine->map, lba) ||
		    map_look(&engine->map, lba, n, entries) != 0)
			continue;
		for (uint32_t i = 0; i < n; i++)
			check_place(places, entries[i]);
	}
	for (uint64_t i = 0; i < places->n / 8; i++)
		check->n_overlaps += (uint64_t)__builtin_popcount(
			places->begins[i] & places->goes_on[i]);
}

/* In as many passes as it takes: records end where their segments do. */
static int check_overlaps(struct engine *engine, struct check *check)
{
	const struct super *super = &engine->super;
	uint64_t per_segment = super->segment_size / UNIT_SIZE;
	uint64_t per_pass = PLACES_PER_PASS / per_segment;
	struct places places;

	if (per_pass > super->n_segments)
		per_pass = super->n_segments;
	places.begins = malloc(per_pass * per_segment / 8 + 1);
	places.goes_on = malloc(per_pass * per_segment / 8 + 1);
	if (places.begins == NULL || places.goes_on == NULL) {
		free(places.begins);
		free(places.goes_on);
		return -ENOMEM;
	}
	for (uint64_t i = 0; i < super->n_segments; i += per_pass) {
		uint64_t left = super->n_segments - i;

		places.first = segment_off(super, (uint32_t)i) / UNIT_SIZE;
		places.n = (left < per_pass ? left : per_pass) * per_segment;
		memset(places.begins, 0, places.n / 8);
		memset(places.goes_on, 0, places.n / 8);
		check_places(engine, &places, check);
	}
	free(places.begins);
	free(places.goes_on);
	return 0;
}

int check_volume(struct engine *engine, bool verify_data, struct check *check)
{
	uint64_t n_blocks = engine->super.size / BLOCK_SIZE;
	struct segment_use *uses =
		calloc(engine->super.n_segments, sizeof(*uses));

	int error = 0;

	if (uses == NULL)
		return -ENOMEM;
	for (uint64_t lba = 0; error == 0 && lba < n_blocks;
	     lba += PAGE_ENTRIES) {
		uint64_t left = n_blocks - lba;
		uint32_t n =
			left < PAGE_ENTRIES ? (uint32_t)left : PAGE_ENTRIES;

		if (!map_is_empty(&engine->map, lba))
			error = check_page(engine, check, uses, lba, n,
					   verify_data);
	}
	check_segments(engine, check, uses);
	free(uses);
	return error != 0 ? error : check_overlaps(engine, check);
}

bool check_is_clean(const struct check *check)
{
	return check->n_pages_lost == 0 && check->n_records_lost == 0 &&
	       check->n_segments_wrong == 0 && check->n_free_used == 0 &&
	       check->n_overlaps == 0 && !check->is_count_wrong;
}
