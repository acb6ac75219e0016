/* SPDX-License-Identifier: MIT */
/*
 * salvage - the log behind the checkpoint, with what is damaged left out.
 *
 * Of a batch that is damaged, records whose headers are whole are applied: the
 * batch was durable, or nothing would be known of it. Which blocks the others
 * were for is not known: then any block may be older than it was.
 */
#include <errno.h>
#include <stdlib.h>

#include "repair.h"
#include "rooms.h"
#include "scan.h"

/* A batch of one record, at a place of the log. */
static int salvage_apply(struct engine *engine, const struct record *record,
			 uint64_t off)
{
	struct {
		struct batch_head head;
		struct record record;
	} one = { .head = { .n_records = 1 }, .record = *record };
	struct map *map = &engine->map;
	struct position after;
	int error;

	if (record->type == RECORD_CHECKPOINT)
		return 0;
	error = map_pin(map, record->lba, MAP_NO_LIMIT);
	if (error != 0)
		return error;
	pthread_mutex_lock(&map->lock);
	after = map->applied;
	map_apply(map, &one.head, off - sizeof(one.head), &after);
	pthread_mutex_unlock(&map->lock);
	return 0;
}

/* Can it be there? In front of the first batch there is none. */
static bool salvage_is_sane(const struct engine *engine,
			    const struct record *record, uint64_t off)
{
	if (record->type != RECORD_DATA && record->type != RECORD_MOVE)
		return true;
	return map_entry_is_sane(
		&engine->super,
		entry_make(off, (uint32_t)sizeof(*record) + record->len,
			   record->n_blocks));
}

/* Records in a part of a segment, with sequences from *@sequence to @end. */
static int salvage_part(struct engine *engine, uint32_t segment, uint32_t at,
			uint32_t to, uint64_t *sequence, uint64_t end,
			uint64_t *n_found)
{
	uint64_t start = segment_off(&engine->super, segment);
	const struct record *record;
	int error = 0;

	scan_read(engine, segment);
	while (error == 0 && (record = scan_record(engine, &at)) != NULL &&
	       at < to) {
		if (record->sequence >= *sequence && record->sequence < end &&
		    salvage_is_sane(engine, record, start + at)) {
			*sequence = record->sequence + 1;
			++*n_found;
			error = salvage_apply(engine, record, start + at);
		}
		at += record_size(record);
	}
	return error;
}

static void salvage_enter(struct engine *engine, const struct position *at,
			  const struct position *next)
{
	struct space *space = &engine->map.space;

	pthread_mutex_lock(&engine->map.lock);
	if (next->segment != at->segment && next->off > BLOCK_SIZE) {
		space_claim(space, next->segment);
		space_begin(space, next->segment, at->sequence);
	}
	pthread_mutex_unlock(&engine->map.lock);
}

/* A segment, and its first record that is wanted. */
struct piece {
	uint64_t sequence;
	uint32_t segment;
};

static int piece_compare(const void *a, const void *b)
{
	const struct piece *one = a, *other = b;

	return (one->sequence > other->sequence) -
	       (one->sequence < other->sequence);
}

/* Are there records in a segment with sequences from @sequence to @end? */
static bool salvage_has(struct engine *engine, uint32_t segment,
			uint64_t sequence, uint64_t end, struct piece *piece)
{
	const struct record *record;
	uint32_t at = BLOCK_SIZE;

	scan_read(engine, segment);
	for (; (record = scan_record(engine, &at)) != NULL;
	     at += record_size(record))
		if (record->sequence >= sequence && record->sequence < end) {
			*piece = (struct piece){ record->sequence, segment };
			return true;
		}
	return false;
}

/* Where the log was in between, in order: nothing need lead there. */
static uint32_t salvage_look(struct engine *engine, const struct position *at,
			     const struct position *next, uint64_t sequence,
			     struct piece *pieces)
{
	const struct segment *segments = engine->map.space.segments;
	uint32_t n = 0;

	for (uint32_t i = 0; i < engine->super.n_segments; i++)
		if (i != at->segment && i != next->segment &&
		    (i == at->next || segments[i].state == SEGMENT_FREE))
			n += salvage_has(engine, i, sequence, next->sequence,
					 &pieces[n]);
	qsort(pieces, n, sizeof(*pieces), piece_compare);
	return n;
}

/* Segments of which all batches are damaged, or the head, but not all records.
 */
static int salvage_between(struct engine *engine, const struct position *at,
			   const struct position *next, uint64_t *sequence,
			   uint64_t *n_found)
{
	struct space *space = &engine->map.space;
	struct piece *pieces =
		calloc(engine->super.n_segments, sizeof(*pieces));
	int error = pieces == NULL ? -ENOMEM : 0;
	uint32_t n = 0;

	if (error == 0)
		n = salvage_look(engine, at, next, *sequence, pieces);
	for (uint32_t i = 0; error == 0 && i < n; i++) {
		uint32_t segment = pieces[i].segment;

		error = salvage_part(engine, segment, BLOCK_SIZE,
				     engine->super.segment_size, sequence,
				     next->sequence, n_found);
		pthread_mutex_lock(&engine->map.lock);
		space_claim(space, segment);
		space_begin(space, segment, at->sequence);
		space_end(space, segment);
		pthread_mutex_unlock(&engine->map.lock);
	}
	free(pieces);
	return error;
}

/* The log is damaged at @at and goes on at @next. */
static int salvage_gap(struct repair *repair, const struct position *at,
		       const struct position *next)
{
	struct engine *engine = &repair->engine;
	uint64_t sequence = at->sequence, n_found = 0;
	uint64_t n_records = next->sequence - at->sequence;
	bool is_same = next->segment == at->segment;
	int error = salvage_part(
		engine, at->segment, at->off > 0 ? at->off : BLOCK_SIZE,
		is_same ? next->off : engine->super.segment_size, &sequence,
		next->sequence, &n_found);

	if (error == 0 && !is_same && sequence < next->sequence)
		error = salvage_between(engine, at, next, &sequence, &n_found);
	salvage_enter(engine, at, next);
	if (error == 0 && !is_same)
		error = salvage_part(engine, next->segment, BLOCK_SIZE,
				     next->off, &sequence, next->sequence,
				     &n_found);
	repair->n_batches_lost += next->batch - at->batch;
	repair->n_heads_lost += next->batch == at->batch;
	repair->n_records_lost += n_records - n_found;
	if (n_records > n_found)
		repair->is_stale = true;
	return error;
}

/* A free segment whose head can be read: it is busy then. */
static bool salvage_take(struct engine *engine, uint32_t *segment)
{
	struct space *space = &engine->map.space;
	struct medium *medium = engine->medium;

	for (uint32_t i = 0; i < engine->super.n_segments; i++) {
		if (space->segments[i].state != SEGMENT_FREE ||
		    medium->read(medium, engine->segment_buf, BLOCK_SIZE,
				 segment_off(&engine->super, i)) != 0)
			continue;
		pthread_mutex_lock(&engine->map.lock);
		space_claim(space, i);
		pthread_mutex_unlock(&engine->map.lock);
		*segment = i;
		return true;
	}
	return false;
}

/*
 * The log ends where nothing can be read. Unless that was a clean end there may
 * have been a batch. Whoever opens the volume next is not to look there again.
 */
static int salvage_end(struct repair *repair, const struct position *at)
{
	struct engine *engine = &repair->engine;
	struct map *map = &engine->map;
	struct position next = map->applied;
	uint64_t sequence = at->sequence, n_found = 0;
	int error = 0;

	repair->is_end_unreadable = true;
	if (repair->is_root_lost || !(engine->super.flags & SUPER_CLEAN)) {
		repair->n_batches_lost++;
		repair->is_stale = true;
		if (at->off > 0)
			error = salvage_part(
				engine, at->segment, at->off,
				engine->super.segment_size, &sequence,
				sequence + BATCH_RECORDS_MAX, &n_found);
	}
	if (error != 0 || !salvage_take(engine, &next.segment) ||
	    !salvage_take(engine, &next.next))
		return error;
	next.session++;
	next.sequence += SEQUENCE_STEP;
	next.off = 0;
	pthread_mutex_lock(&map->lock);
	space_end(&map->space, map->applied.segment);
	map->applied = next;
	pthread_mutex_unlock(&map->lock);
	return 0;
}

int salvage_log(struct repair *repair)
{
	struct engine *engine = &repair->engine;
	struct position next;
	struct replay replay;
	int error;

	replay_begin(&replay, engine, &engine->super.position);
	pthread_mutex_lock(&engine->map.lock);
	space_claim(&engine->map.space, replay.at.segment);
	pthread_mutex_unlock(&engine->map.lock);
	for (;;) {
		error = replay_next(&replay, false);
		if (error == 0)
			continue;
		if (error != -ENOENT && !replay.is_unreadable)
			return error;
		if (!tail_find(engine, &replay.at, true, &next))
			return replay.is_unreadable ?
				       salvage_end(repair, &replay.at) :
				       0;
		error = salvage_gap(repair, &replay.at, &next);
		if (error != 0)
			return error;
		replay_begin(&replay, engine, &next);
	}
}
