/* SPDX-License-Identifier: MIT */
/*
 * compress/engine.h - a compressed volume at work: what the driver, the
 * actions and the tests call. It needs no kernel and prints nothing.
 *
 * Rooms: format (what is where on the medium), codec (packing), tree (pages of
 * the map), space (segments), map (cache of the map), log (batches),
 * checkpoint, recover (open), clean (cleaner), engine (requests), check,
 * counts,
 * recompress.
 */
#ifndef BDUS_COMPRESS_ENGINE_H
#define BDUS_COMPRESS_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "codec.h"
#include "format.h"
#include "log.h"
#include "map.h"
#include "medium.h"
#include "recompress.h"
#include "counts.h"

/**
 * struct engine_options - how a volume is used
 * @n_workers: threads that serve requests
 * @map_cache: bytes for pages of the map; 0: 64 MiB
 * @checkpoint_bytes: of log, after which a checkpoint is due; 0: 512 MiB
 * @level: of zstd; 0: the volume's
 * @is_read_only: nothing is written, replay stays in memory
 * @is_manual: no thread is started: what it would do is done by the one who
 *	has to wait for it; for tests
 */
struct engine_options {
	unsigned int n_workers;
	uint64_t map_cache;
	uint64_t checkpoint_bytes;
	int level;
	bool is_read_only;
	bool is_manual;
};

/**
 * enum engine_phase - what a volume is ready for
 * @ENGINE_PREPARED: there is memory for it
 * @ENGINE_LOADED: it can be read; nothing was written to the medium, and
 *	nothing is before the first request that has to
 * @ENGINE_WRITING: it has a session of the log, and can be written to
 * @ENGINE_RESTING: likewise, but nothing is written before the next request
 *	that has to
 */
enum engine_phase {
	ENGINE_PREPARED,
	ENGINE_LOADED,
	ENGINE_WRITING,
	ENGINE_RESTING,
};

/**
 * struct engine - a volume
 * @medium: what it is on
 * @super: the superblock, as of the last checkpoint or the one being made
 * @durable: the last one that was written
 * @is_whole: both slots had it when it was read
 * @is_marked: after a failure, it says so
 * @options: see there
 * @reason: what is wrong, when it could not be opened
 * @phase: enum engine_phase; changed with the lock of it only
 * @phase_lock: held while one goes over into another; outermost
 * @has_rooms: map, log, codecs and buffers are there
 * @map: what each block is
 * @log: where it is written
 * @codecs: of each worker, and one for the background
 * @n_codecs: how many
 * @counts: as many
 * @was_in_use: it had not been closed when it was opened
 * @needs_check: something was lost once
 * @usable: bytes that live blocks may take, in all
 * @copies: of pages, in a checkpoint
 * @indices: their numbers
 * @table: copies of the pages that tell of segments
 * @checkpoint_lock: held during a checkpoint
 * @segment_buf: a segment's, for cleaning and replay
 * @thread: of the background
 * @has_thread: it was started
 * @is_stopping: the thread is to end; with the map's lock
 * @is_paused: the thread is to do nothing; likewise
 * @is_busy: the thread does something; likewise
 * @is_called: it is to look again when it has done that; likewise
 * @n_steps: how often it has looked and done something; likewise
 * @n_waiting: writers who wait for a segment or a right; likewise
 * @is_full: nothing can be gained by cleaning; likewise
 * @n_in_vain: segments that were cleaned since something was written
 * @full_at: as long as so many bytes are live; likewise
 * @recompress: see there
 * @n_cleaned: segments
 * @n_moved_bytes: records that were copied
 * @n_checkpoints: since it was opened
 * @n_replayed: batches, when it was loaded
 */
struct engine {
	struct medium *medium;
	struct super super;
	struct super durable;
	bool is_whole;
	bool is_marked;
	struct engine_options options;
	const char *reason;
	_Atomic int phase;
	pthread_mutex_t phase_lock;
	bool has_rooms;
	struct map map;
	struct log log;
	struct codec *codecs;
	unsigned int n_codecs;
	struct counts *counts;
	bool was_in_use;
	atomic_bool needs_check;
	uint64_t usable;
	struct page *copies;
	uint64_t *indices;
	struct page *table;
	pthread_mutex_t checkpoint_lock;
	unsigned char *segment_buf;
	pthread_t thread;
	bool has_thread;
	bool is_stopping;
	bool is_paused;
	bool is_busy;
	bool is_called;
	uint64_t n_steps;
	unsigned int n_waiting;
	bool is_full;
	_Atomic uint32_t n_in_vain;
	uint64_t full_at;
	struct recompress recompress;
	_Atomic uint64_t n_cleaned;
	_Atomic uint64_t n_moved_bytes;
	_Atomic uint64_t n_checkpoints;
	uint64_t n_replayed;
};

/**
 * struct format_options - how a volume is made
 * @size: of the disk, bytes; 0: what fits for sure
 * @segment_size: bytes; 0: 8 MiB, less on small media
 * @record_blocks: most blocks that are packed together; 0: 8
 * @level: of zstd
 * @may_overcommit: @size may be more than what fits for sure
 * @label: at most 47 bytes, or NULL
 * @uuid: random
 * @nonce: random
 */
struct format_options {
	uint64_t size;
	uint32_t segment_size;
	uint32_t record_blocks;
	int level;
	bool may_overcommit;
	const char *label;
	uint8_t uuid[16];
	uint64_t nonce;
};

/**
 * engine_format - make an empty volume
 * @medium: its old content is lost
 * @options: see there
 * @super: filled in
 * @reason: what is wrong with @options
 *
 * Return: 0, -EINVAL (@reason), or another -errno.
 */
int engine_format(struct medium *medium, const struct format_options *options,
		  struct super *super, const char **reason);

/** layout_is_overcommitted - is the disk larger than what fits for sure? */
bool layout_is_overcommitted(const struct super *super);

/**
 * engine_read_super - find the superblock that counts
 * @medium: the volume's
 * @super: filled in
 * @is_whole: whether both A and B are good and say the same
 * @reason: what is wrong
 *
 * Return: 0, as super_check(), or another -errno.
 */
int engine_read_super(struct medium *medium, struct super *super,
		      bool *is_whole, const char **reason);

/**
 * engine_prepare - find out what a volume is, and take the memory for it
 * @engine: filled in; reason on failure
 * @medium: has to stay; somebody else may still write to it
 * @options: copied
 *
 * Only reads. The superblock tells what never changes while it is in use.
 *
 * Return: 0 or -errno; on failure nothing is left behind.
 */
int engine_prepare(struct engine *engine, struct medium *medium,
		   const struct engine_options *options);

/**
 * engine_start - get a volume to work
 * @engine: prepared; reason on failure
 * @may_write: the medium is ours alone. Otherwise nobody writes to it either,
 *	but somebody else may go on with it if we do not: it is only read until
 *	the first request that writes, which shows that it is ours
 *
 * Replays the log. With @may_write, unless read-only, a new session of it is
 * durable on return.
 *
 * Return: 0 or -errno; engine_abandon() is up to the caller.
 */
int engine_start(struct engine *engine, bool may_write);

/** engine_open - prepare, and start with a medium that is ours alone; on
 * failure nothing is left behind. */
int engine_open(struct engine *engine, struct medium *medium,
		const struct engine_options *options);

/**
 * engine_rest - let somebody else read the medium
 * @engine: started; no request is under way
 *
 * Makes a checkpoint, so that there is nothing to replay. From its return on
 * nothing is written, not by the background either, before the next request
 * that writes.
 *
 * Return: 0 or -errno: not all that was acknowledged is durable.
 */
int engine_rest(struct engine *engine);

/**
 * engine_close - write all, make a last checkpoint, and give everything back
 * @engine: started; nobody uses it
 *
 * Return: 0 or -errno: not all that was written is durable.
 */
int engine_close(struct engine *engine);

/**
 * engine_abandon - give everything back, but write nothing
 * @engine: prepared or more; nobody uses it
 *
 * For a volume that somebody else uses by now, or has left to us in vain. What
 * was acknowledged is on the medium all the same.
 */
void engine_abandon(struct engine *engine);

/*
 * Requests. @off and @len are multiples of BLOCK_SIZE, within the disk.
 * @worker: 0 to n_workers - 1, used by one thread at a time.
 */

/**
 * engine_read - read blocks
 * @engine: the volume
 * @worker: of this thread
 * @buf: where to
 * @len: bytes
 * @off: bytes
 *
 * Return: 0, -EIO (damaged), or another -errno.
 */
int engine_read(struct engine *engine, unsigned int worker, void *buf,
		uint32_t len, uint64_t off);

/**
 * engine_write - begin to write blocks
 * @engine: the volume
 * @worker: of this thread
 * @buf: copied before this returns
 * @len: bytes, not 0
 * @off: bytes
 * @commit: told when they are written, perhaps before this returns
 *
 * Return: 0, or -errno: @commit is not told, and any part may be written.
 * -ENOSPC: there is no room, -EROFS: read-only.
 */
int engine_write(struct engine *engine, unsigned int worker, const void *buf,
		 uint32_t len, uint64_t off, struct commit *commit);

/** engine_zero - begin to make blocks zero, otherwise as engine_write(). */
int engine_zero(struct engine *engine, uint64_t len, uint64_t off,
		bool may_unmap, struct commit *commit);

/** engine_kick - let what was begun be written, if nothing more comes now. */
void engine_kick(struct engine *engine);

/** engine_flush - what was acknowledged is durable when it returns 0. */
int engine_flush(struct engine *engine);

/** engine_checkpoint - make a checkpoint now. Return: 0 or -errno. */
int engine_checkpoint(struct engine *engine);

/**
 * struct waiter - a commit that somebody waits for
 * @commit: to be handed on
 * @lock: of the rest
 * @changed: it is done
 * @is_done: it is done
 * @error: 0 or -errno
 */
struct waiter {
	struct commit commit;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_done;
	int error;
};

/** waiter_init - for one use. */
void waiter_init(struct waiter *waiter);

/**
 * waiter_wait - write what waits and wait until it is done
 * @waiter: used
 * @engine: the volume
 * @error: what the function returned that took it
 *
 * Return: 0 or -errno.
 */
int waiter_wait(struct waiter *waiter, struct engine *engine, int error);

#endif /* BDUS_COMPRESS_ENGINE_H */
