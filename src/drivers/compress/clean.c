/* SPDX-License-Identifier: MIT */
/*
 * clean - copies what is live in a segment to the end of the log, so that the
 * segment can be used again.
 *
 * A copy counts only where the map still says what it said when the copy was
 * made: it can never win over a newer write. Of a record with dead blocks only
 * the live ones are copied, or one of them would keep all of it; but where
 * these are packed well together only, the record stays as it is: no copy takes
 * more than what it is of, or the cleaner could use up what it is to gain.
 */
#include <errno.h>
#include <string.h>

#include "crc.h"
#include "rooms.h"

int clean_append(struct engine *engine, struct record *record,
		 const void *payload, uint32_t limit)
{
	int error = map_pin(&engine->map, record->lba, limit);

	if (error != 0)
		return error;
	error = log_append(&engine->log, record, payload, NULL, limit);
	if (error != 0)
		map_unpin(&engine->map, record->lba);
	else
		engine->n_moved_bytes += record_size(record);
	return error;
}

/* Copy live blocks, neighbours in a record that is unpacked. */
static int clean_run(struct engine *engine, const struct record *old,
		     uint64_t from, uint32_t n_blocks)
{
	struct codec *codec = background_codec(engine);
	uint32_t first = entry_index(from);
	struct record record = { .type = RECORD_MOVE,
				 .lba = old->lba + first,
				 .n_blocks = n_blocks,
				 .origin = old->origin,
				 .from = from };
	const void *payload = codec_pack(
		codec, &record, codec->plain + (size_t)first * BLOCK_SIZE);

	return clean_append(engine, &record, payload, MAP_NO_LIMIT);
}

/* The next live neighbours from @i on, which is where they begin then. */
static uint32_t clean_next(const struct record *old, const bool *is_live,
			   uint32_t max, uint32_t *i)
{
	uint32_t n = 0;

	while (*i < old->n_blocks && !is_live[*i])
		++*i;
	while (*i + n < old->n_blocks && n < max && is_live[*i + n])
		n++;
	return n;
}

/* Longer ones are from elsewhere. */
static bool clean_may_stay(const struct engine *engine,
			   const struct record *old)
{
	return old->n_blocks <= engine->super.record_blocks;
}

/* Do the live blocks of what is unpacked take less than the whole record? */
static bool clean_shrinks(struct engine *engine, const struct record *old,
			  const bool *is_live)
{
	struct codec *codec = background_codec(engine);
	size_t size = 0;

	for (uint32_t i = 0, n; i < old->n_blocks; i += n) {
		n = clean_next(old, is_live, engine->super.record_blocks, &i);
		if (n > 0)
			size += codec_record_size(
				codec, codec->plain + (size_t)i * BLOCK_SIZE,
				n);
	}
	return size < record_size(old);
}

static int clean_unpacked(struct engine *engine, const struct record *old,
			  uint64_t entry, const bool *is_live)
{
	int error = 0;

	for (uint32_t i = 0, n; error == 0 && i < old->n_blocks; i += n) {
		n = clean_next(old, is_live, engine->super.record_blocks, &i);
		if (n > 0)
			error = clean_run(engine, old,
					  entry + i * ENTRY_INDEX_ONE, n);
	}
	return error;
}

static int clean_whole(struct engine *engine, const struct record *old,
		       uint64_t entry)
{
	struct record record = *old;

	if (record.data_crc != crc_update(0, old + 1, old->len))
		return -EIO;
	record.type = RECORD_MOVE;
	record.from = entry;
	return clean_append(engine, &record, old + 1, MAP_NO_LIMIT);
}

static int clean_part(struct engine *engine, const struct record *old,
		      uint64_t entry, const bool *is_live)
{
	struct codec *codec = background_codec(engine);
	int error = codec_unpack(codec, old, codec->plain);

	if (error != 0)
		return error;
	if (clean_may_stay(engine, old) && !clean_shrinks(engine, old, is_live))
		return clean_whole(engine, old, entry);
	return clean_unpacked(engine, old, entry, is_live);
}

static int clean_record(struct engine *engine, const struct record *old,
			uint64_t off)
{
	uint64_t entry = entry_make(off, (uint32_t)sizeof(*old) + old->len,
				    old->n_blocks);
	uint64_t entries[RECORD_BLOCKS_MAX];
	bool is_live[RECORD_BLOCKS_MAX];
	uint32_t n_live = 0;
	int error = map_look(&engine->map, old->lba, old->n_blocks, entries);

	if (error != 0)
		return error;
	for (uint32_t i = 0; i < old->n_blocks; i++) {
		is_live[i] = entries[i] == entry + i * ENTRY_INDEX_ONE;
		n_live += is_live[i];
	}
	/* it may be from before the segment was used again */
	if (n_live == 0 ||
	    old->sequence < map_first_sequence(&engine->map, entry))
		return 0;
	if (n_live == old->n_blocks && clean_may_stay(engine, old))
		return clean_whole(engine, old, entry);
	return clean_part(engine, old, entry, is_live);
}

/* A header that is whole, and a record that ends within the segment? */
static bool clean_is_record(const struct engine *engine,
			    const struct record *record, uint32_t left)
{
	return left >= sizeof(*record) &&
	       record_is_valid(record, &engine->super) &&
	       record_size(record) <= left;
}

/*
 * Records start at multiples of 64 bytes. What is no record, a batch's head or
 * something damaged, is stepped over.
 */
static int clean_records(struct engine *engine, uint64_t start)
{
	uint32_t size = engine->super.segment_size, at = BLOCK_SIZE;
	int error = 0;

	while (error == 0 && at < size) {
		const struct record *record =
			(const void *)(engine->segment_buf + at);
		uint32_t step = UNIT_SIZE;

		if (clean_is_record(engine, record, size - at)) {
			step = record_size(record);
			if (record->type == RECORD_DATA ||
			    record->type == RECORD_MOVE)
				error = clean_record(engine, record,
						     start + at);
		}
		at += step;
	}
	return error;
}

int clean_segment(struct engine *engine, uint32_t segment)
{
	uint64_t start = segment_off(&engine->super, segment);
	int error = engine->medium->read(engine->medium, engine->segment_buf,
					 engine->super.segment_size, start);

	if (error == 0)
		error = clean_records(engine, start);
	log_kick(&engine->log);
	if (error == 0)
		error = log_drain(&engine->log);
	engine->n_cleaned += error == 0;
	return error;
}
