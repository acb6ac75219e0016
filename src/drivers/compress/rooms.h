/* SPDX-License-Identifier: MIT */
/*
 * compress/rooms.h - what the rooms of the engine do for each other.
 */
#ifndef BDUS_COMPRESS_ROOMS_H
#define BDUS_COMPRESS_ROOMS_H

#include "engine.h"

/* Of a new session: more than the records that a lost tail can have. */
#define SEQUENCE_STEP (1ULL << 32)

/**
 * checkpoint_make - make a checkpoint
 * @engine: the volume
 * @flags: of the superblock
 *
 * Return: 0 or -errno, which is the log's error from then on.
 */
int checkpoint_make(struct engine *engine, uint32_t flags);

/** checkpoint_write_super - write a superblock to both slots, durably. */
int checkpoint_write_super(struct medium *medium, const struct super *super);

/** checkpoint_write_last - write it to the last block of the volume. */
int checkpoint_write_last(struct medium *medium, const struct super *super);

/**
 * checkpoint_mark - the log has failed: let the superblock say so, if it can
 * @engine: the volume, which is read-only from now on
 */
void checkpoint_mark(struct engine *engine);

/**
 * recover_settle - make durable what was read, before anything is written
 * @engine: superblock read
 *
 * Return: 0 or -errno.
 */
int recover_settle(struct engine *engine);

/**
 * struct replay - a way along the log
 * @engine: map loaded; its segment_buf is used
 * @at: where the next batch is looked for
 * @segment: of this one
 * @from: to @to, bytes from its start, is in segment_buf, at its place there
 * @to: see @from
 * @is_unreadable: the medium could not be read there
 */
struct replay {
	struct engine *engine;
	struct position at;
	uint32_t segment;
	uint32_t from;
	uint32_t to;
	bool is_unreadable;
};

/** replay_begin - a way from a place on; nothing is in segment_buf. */
void replay_begin(struct replay *replay, struct engine *engine,
		  const struct position *at);

/**
 * replay_next - find the next batch of the log and apply it to the map
 * @replay: begun
 * @may_write: a checkpoint may be made where the cache is too small for all
 *
 * Return: 0, -ENOENT (the log ends), -EAGAIN (the cache is too small), or
 * another -errno.
 */
int replay_next(struct replay *replay, bool may_write);

/**
 * recover_replay - bring the map to the end of the log
 * @engine: map loaded
 * @may_write: as above
 *
 * After a clean end there is nothing more to be read, even if it cannot be.
 *
 * Return: 0, -EAGAIN, -EBADMSG (batches are damaged that were durable), or
 * another -errno.
 */
int recover_replay(struct engine *engine, bool may_write);

/**
 * tail_find - does the log go on behind something that is not a batch?
 * @engine: map loaded; segment_buf is used
 * @at: where there is no batch of the log
 * @is_thorough: look at each segment, not just at those that follow, and of
 *	those that were free at some; at all of these if there are batches
 * @next: the first batch from there on
 *
 * It does if there is a batch that proves it: when it was written, the one that
 * is not there was durable.
 *
 * Return: whether it does.
 */
bool tail_find(struct engine *engine, const struct position *at,
	       bool is_thorough, struct position *next);

/**
 * engine_make_rooms - all that a volume needs in memory
 * @engine: with super, medium, options
 *
 * Return: 0 or -ENOMEM.
 */
int engine_make_rooms(struct engine *engine);

/** engine_free_rooms - undo engine_make_rooms(). */
void engine_free_rooms(struct engine *engine);

/** layout_read - read the superblock at a place. Return: as super_check(). */
int layout_read(struct medium *medium, uint64_t off, struct super *super,
		const char **reason);

/**
 * recover_begin - begin a new session, and make that durable
 * @engine: replayed, settled
 *
 * Return: 0, -ENOSPC (nothing was changed), or another -errno: the log's error
 * from then on.
 */
int recover_begin(struct engine *engine);

/**
 * engine_ready - see to it that the volume can be written to
 * @engine: started, not read-only
 *
 * By all that writes, before it does: the background works from then on.
 *
 * Return: 0, -ENOSPC, or another -errno.
 */
int engine_ready(struct engine *engine);

/**
 * clean_segment - move what is live in a segment elsewhere
 * @engine: the volume
 * @segment: closed
 *
 * Return: 0, -EAGAIN (no segment left to move it to), or another -errno.
 */
int clean_segment(struct engine *engine, uint32_t segment);

/**
 * clean_append - append a copy
 * @engine: the volume
 * @record: a MOVE, as log_append() takes it
 * @payload: of it
 * @limit: more segments than this have to be free, or MAP_NO_LIMIT
 *
 * For the background.
 *
 * Return: 0, -EAGAIN (a checkpoint is needed first), or another -errno.
 */
int clean_append(struct engine *engine, struct record *record,
		 const void *payload, uint32_t limit);

/**
 * background_start - start the thread, unless is_manual; it is paused
 * @engine: loaded
 *
 * Return: 0 or -errno.
 */
int background_start(struct engine *engine);

/** background_stop - end the thread. */
void background_stop(struct engine *engine);

/** background_pause - let it end what it does, and do nothing more. */
void background_pause(struct engine *engine);

/** background_resume - undo background_pause(). */
void background_resume(struct engine *engine);

/** background_call - let it look again what there is to do. The map's lock is
 * held. */
void background_call(struct engine *engine);

/** background_is_full - was there nothing to be gained, and is it still so? The
 * map's lock is held. */
static inline bool background_is_full(const struct engine *engine)
{
	return engine->is_full &&
	       engine->map.space.live_bytes >= engine->full_at;
}

/**
 * background_wait - let there be a right, and free segments
 * @engine: the volume
 * @limit: more than this many
 *
 * Return: 0 (there may be), -ENOSPC, or another -errno: the log's.
 */
int background_wait(struct engine *engine, uint32_t limit);

/** layout_reserve - fill in how many segments are kept free. */
void layout_reserve(struct super *super);

/** layout_fits - the largest disk that fits even if nothing can be packed. */
uint64_t layout_fits(const struct super *super);

/** layout_payload - bytes of records that a segment holds for sure. */
uint64_t layout_payload(const struct super *super);

/** layout_usable - bytes that live blocks may take, in all. */
uint64_t layout_usable(const struct super *super);

/** background_codec - of the background. */
static inline struct codec *background_codec(struct engine *engine)
{
	return &engine->codecs[engine->n_codecs - 1];
}

/**
 * engine_read_record - read a record that a block is in
 * @engine: the volume
 * @codec: of this thread; the record is in its buffer then
 * @lba: of the block
 * @entry: of the block, as the map has it
 *
 * Return: 0, -EIO (it is not there), or another -errno.
 */
int engine_read_record(struct engine *engine, struct codec *codec, uint64_t lba,
		       uint64_t entry);

#endif /* BDUS_COMPRESS_ROOMS_H */
