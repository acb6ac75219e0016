/* SPDX-License-Identifier: MIT */
/*
 * recover - from a checkpoint to the end of the log, and a new session there.
 *
 * A batch belongs to the log if it is whole and follows the one before: the
 * same session, the next number, that one's checksum. The log goes on behind
 * it, or in the next segment if that begins with this very batch. What was
 * written behind the end before a crash could seem to follow some day: hence
 * the new session, in a fresh segment, which is durable before anything is
 * written.
 */
#include <errno.h>
#include <string.h>

#include "rooms.h"

/* More than the records that a lost tail can have. */
#define SEQUENCE_STEP (1ULL << 32)

static struct batch_head *replay_buf(const struct engine *engine)
{
	return (struct batch_head *)(uintptr_t)engine->segment_buf;
}

/* Does the segment begin where the log is? Then @at is behind its head. */
static int replay_enter(struct engine *engine, struct position *at)
{
	const struct segment_head *head = (const void *)engine->segment_buf;
	int error = engine->medium->read(
		engine->medium, engine->segment_buf, BLOCK_SIZE,
		segment_off(&engine->super, at->segment));

	if (error != 0)
		return error;
	if (!segment_head_is_valid(head, &engine->super, at->segment) ||
	    head->session != at->session || head->batch != at->batch ||
	    head->sequence != at->sequence || head->prev_crc != at->prev_crc)
		return -ENOENT;
	at->off = BLOCK_SIZE;
	at->next = head->next;
	return 0;
}

/* Read the batch at a place, if it is there. */
static int replay_read(struct engine *engine, const struct position *at)
{
	struct medium *medium = engine->medium;
	struct batch_head *head = replay_buf(engine);
	uint64_t off = segment_off(&engine->super, at->segment) + at->off;
	uint32_t left = engine->super.segment_size - at->off;
	int error;

	if (left < BLOCK_SIZE)
		return -ENOENT;
	error = medium->read(medium, head, BLOCK_SIZE, off);
	if (error != 0)
		return error;
	if (head->magic != BATCH_MAGIC || head->session != at->session ||
	    head->batch != at->batch || head->sequence != at->sequence ||
	    head->prev_crc != at->prev_crc || head->len > left ||
	    head->len < BLOCK_SIZE)
		return -ENOENT;
	error = medium->read(medium, (char *)head + BLOCK_SIZE,
			     head->len - BLOCK_SIZE, off + BLOCK_SIZE);
	if (error == 0 && !batch_is_valid(head, &engine->super, left))
		error = -ENOENT;
	return error;
}

/* Find the next batch: behind the last one, or in the next segment. */
static int replay_find(struct engine *engine, struct position *at)
{
	struct position next = *at;
	int error = at->off == 0 ? replay_enter(engine, at) : 0;

	if (error == 0)
		error = replay_read(engine, at);
	if (error != -ENOENT || next.off == 0)
		return error;
	next.segment = at->next;
	next.off = 0;
	error = replay_enter(engine, &next);
	if (error == 0)
		error = replay_read(engine, &next);
	if (error == 0)
		*at = next;
	return error;
}

/* Bring in what a batch changes; the records before @n are pinned. */
static int replay_pin(struct engine *engine, uint32_t *n)
{
	const struct batch_head *head = replay_buf(engine);
	const struct record *record = record_first(head);
	int error = 0;

	for (*n = 0; *n < head->n_records; ++*n) {
		if (record->type != RECORD_CHECKPOINT)
			error = map_pin(&engine->map, record->lba,
					MAP_NO_LIMIT);
		if (error != 0)
			break;
		record = record_next(record);
	}
	return error;
}

static void replay_unpin(struct engine *engine, uint32_t n)
{
	const struct record *record = record_first(replay_buf(engine));

	for (; n > 0; n--) {
		if (record->type != RECORD_CHECKPOINT)
			map_unpin(&engine->map, record->lba);
		record = record_next(record);
	}
}

static void replay_apply(struct engine *engine, struct position *at)
{
	const struct batch_head *head = replay_buf(engine);
	uint64_t off = segment_off(&engine->super, at->segment) + at->off;
	struct map *map = &engine->map;

	pthread_mutex_lock(&map->lock);
	if (at->off == BLOCK_SIZE) {
		space_claim(&map->space, at->segment);
		space_begin(&map->space, at->segment, at->sequence);
	}
	at->off += head->len;
	at->batch++;
	at->sequence += head->n_records;
	at->prev_crc = head->crc;
	map_apply(map, head, off, at);
	pthread_mutex_unlock(&map->lock);
	engine->n_replayed++;
}

static int replay_batch(struct engine *engine, struct position *at,
			bool may_write)
{
	uint32_t n;
	int error = replay_pin(engine, &n);

	if (error != 0)
		replay_unpin(engine, n);
	if (error == -EAGAIN && may_write) {
		/* the log up to here is as good as any place */
		error = checkpoint_make(engine, 0);
		if (error == 0)
			error = replay_pin(engine, &n);
	}
	if (error == 0)
		replay_apply(engine, at);
	return error;
}

int recover_next(struct engine *engine, struct position *at, bool may_write)
{
	int error = replay_find(engine, at);

	return error == 0 ? replay_batch(engine, at, may_write) : error;
}

int recover_replay(struct engine *engine, bool may_write)
{
	struct position at = engine->super.position, next;
	int error;

	pthread_mutex_lock(&engine->map.lock);
	space_claim(&engine->map.space, at.segment);
	pthread_mutex_unlock(&engine->map.lock);
	do {
		error = recover_next(engine, &at, may_write);
	} while (error == 0);
	if (error != -ENOENT)
		return error;
	/* what was durable and is not there any more is damage, no crash */
	return tail_find(engine, &at, false, &next) ? -EBADMSG : 0;
}

/*
 * It may be in a page cache only, if somebody was killed, and in one of the
 * superblocks.
 */
int recover_settle(struct engine *engine)
{
	struct medium *medium = engine->medium;
	int error = medium->sync(medium);

	if (error == 0 && !engine->is_whole)
		error = checkpoint_write_super(medium, &engine->super);
	engine->is_whole = error == 0;
	/* it is told once: whoever comes next has to know */
	if (error != 0)
		checkpoint_mark(engine);
	return error;
}

/* The segments of the new session: both, or none. */
static bool recover_take(struct engine *engine, struct position *at)
{
	struct map *map = &engine->map;

	if (!log_take_segment(&engine->log, &at->segment, 0))
		return false;
	if (log_take_segment(&engine->log, &at->next, 0))
		return true;
	pthread_mutex_lock(&map->lock);
	space_give(&map->space, at->segment);
	pthread_mutex_unlock(&map->lock);
	return false;
}

int recover_begin(struct engine *engine)
{
	struct map *map = &engine->map;
	struct position at = map->applied;

	log_refill(&engine->log);
	if (!recover_take(engine, &at))
		return -ENOSPC;
	at.session++;
	at.sequence += SEQUENCE_STEP;
	at.off = 0;
	pthread_mutex_lock(&map->lock);
	space_end(&map->space, map->applied.segment);
	map->applied = at;
	pthread_mutex_unlock(&map->lock);
	log_start(&engine->log, &at);
	return checkpoint_make(engine, 0);
}
