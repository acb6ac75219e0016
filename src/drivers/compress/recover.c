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

/* A batch is small, a medium may be slow: so much is read at once. */
#define READ_AHEAD (1U << 20)

void replay_begin(struct replay *replay, struct engine *engine,
		  const struct position *at)
{
	*replay = (struct replay){ .engine = engine, .at = *at };
}

/* The batch that was found. */
static const struct batch_head *replay_batch(const struct replay *replay)
{
	return (const void *)(replay->engine->segment_buf + replay->at.off);
}

static int replay_fill(struct replay *replay, uint32_t segment, uint32_t off,
		       uint32_t len)
{
	struct engine *engine = replay->engine;
	int error = engine->medium->read(
		engine->medium, engine->segment_buf + off, len,
		segment_off(&engine->super, segment) + off);

	replay->segment = segment;
	replay->from = off;
	replay->to = error == 0 ? off + len : off;
	return error;
}

/* Have a part of a segment in the buffer, at its place there. */
static int replay_have(struct replay *replay, uint32_t segment, uint32_t off,
		       uint32_t len)
{
	uint32_t left = replay->engine->super.segment_size - off;
	uint32_t ahead = left < READ_AHEAD ? left : READ_AHEAD;

	if (replay->segment == segment && off >= replay->from &&
	    off + len <= replay->to)
		return 0;
	/* what follows is not to spoil it */
	if (ahead > len && replay_fill(replay, segment, off, ahead) == 0)
		return 0;
	return replay_fill(replay, segment, off, len);
}

/* Does the segment begin where the log is? Then @at is behind its head. */
static int replay_enter(struct replay *replay, struct position *at)
{
	const struct engine *engine = replay->engine;
	const struct segment_head *head = (const void *)engine->segment_buf;
	int error = replay_have(replay, at->segment, 0, BLOCK_SIZE);

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
static int replay_read(struct replay *replay, const struct position *at)
{
	const struct engine *engine = replay->engine;
	const struct batch_head *head =
		(const void *)(engine->segment_buf + at->off);
	uint32_t left = engine->super.segment_size - at->off;
	int error;

	if (left < BLOCK_SIZE)
		return -ENOENT;
	error = replay_have(replay, at->segment, at->off, BLOCK_SIZE);
	if (error != 0)
		return error;
	if (head->magic != BATCH_MAGIC || head->session != at->session ||
	    head->batch != at->batch || head->sequence != at->sequence ||
	    head->prev_crc != at->prev_crc || head->len > left ||
	    head->len < BLOCK_SIZE)
		return -ENOENT;
	error = replay_have(replay, at->segment, at->off, head->len);
	if (error == 0 && !batch_is_valid(head, &engine->super, left))
		error = -ENOENT;
	return error;
}

/* Is there room for any record? Then the log went on nowhere else. */
static bool replay_has_room(const struct replay *replay)
{
	const struct super *super = &replay->engine->super;

	return super->segment_size - replay->at.off >=
	       log_record_room(super) + BLOCK_SIZE;
}

/* Find the next batch: behind the last one, or in the next segment. */
static int replay_find(struct replay *replay)
{
	struct position *at = &replay->at, next = *at;
	int error = at->off == 0 ? replay_enter(replay, at) : 0;

	if (error == 0)
		error = replay_read(replay, at);
	if (error != -ENOENT || next.off == 0)
		return error;
	next.segment = at->next;
	next.off = 0;
	error = replay_enter(replay, &next);
	if (error == 0)
		error = replay_read(replay, &next);
	if (error == -EIO && replay_has_room(replay))
		error = -ENOENT;
	if (error == 0)
		*at = next;
	return error;
}

/* Bring in what a batch changes; the records before @n are pinned. */
static int replay_pin(const struct replay *replay, uint32_t *n)
{
	const struct batch_head *head = replay_batch(replay);
	const struct record *record = record_first(head);
	int error = 0;

	for (*n = 0; *n < head->n_records; ++*n) {
		if (record->type != RECORD_CHECKPOINT)
			error = map_pin(&replay->engine->map, record->lba,
					MAP_NO_LIMIT);
		if (error != 0)
			break;
		record = record_next(record);
	}
	return error;
}

static void replay_unpin(const struct replay *replay, uint32_t n)
{
	const struct record *record = record_first(replay_batch(replay));

	for (; n > 0; n--) {
		if (record->type != RECORD_CHECKPOINT)
			map_unpin(&replay->engine->map, record->lba);
		record = record_next(record);
	}
}

static void replay_apply(struct replay *replay)
{
	const struct batch_head *head = replay_batch(replay);
	struct engine *engine = replay->engine;
	struct position *at = &replay->at;
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

int replay_next(struct replay *replay, bool may_write)
{
	uint32_t n;
	int error = replay_find(replay);

	replay->is_unreadable = error == -EIO;
	if (error != 0)
		return error;
	error = replay_pin(replay, &n);
	if (error != 0)
		replay_unpin(replay, n);
	if (error == -EAGAIN && may_write) {
		/* the log up to here is as good as any place */
		error = checkpoint_make(replay->engine, 0);
		if (error == 0)
			error = replay_pin(replay, &n);
	}
	if (error == 0)
		replay_apply(replay);
	return error;
}

int recover_replay(struct engine *engine, bool may_write)
{
	struct position next;
	struct replay replay;
	int error;

	replay_begin(&replay, engine, &engine->super.position);
	pthread_mutex_lock(&engine->map.lock);
	space_claim(&engine->map.space, replay.at.segment);
	pthread_mutex_unlock(&engine->map.lock);
	do {
		error = replay_next(&replay, may_write);
	} while (error == 0);
	if (replay.is_unreadable && engine->super.flags & SUPER_CLEAN)
		error = -ENOENT;
	if (error != -ENOENT)
		return error;
	/* what was durable and is not there any more is damage, no crash */
	return tail_find(engine, &replay.at, false, &next) ? -EBADMSG : 0;
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

	log_refill(&engine->log, engine->super.n_segments);
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
