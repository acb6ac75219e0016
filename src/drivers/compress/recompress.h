/* SPDX-License-Identifier: MIT */
/*
 * compress/recompress.h - packing anew what was packed by a lower level, block
 * by block in the order of the disk, in the background.
 *
 * What it writes are copies as the cleaner's: each counts only if the map still
 * says what it said when the copy was made. Records tell their level, so that
 * what is done stays done, whoever goes on.
 */
#ifndef BDUS_COMPRESS_RECOMPRESS_H
#define BDUS_COMPRESS_RECOMPRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "codec.h"

struct engine;

/**
 * struct recompress - one of them; the lock is the map's
 * @codec: of that level, of the background while it runs
 * @level: of the last one, 0: there was none; with the lock
 * @is_running: with the lock
 * @is_ending: it is to end; with the lock
 * @lba: the next block; the background's
 * @examined: bytes of data that it has looked at
 * @rewritten: of these, what was packed anew
 * @saved: bytes that this takes less
 */
struct recompress {
	struct codec codec;
	int level;
	bool is_running;
	bool is_ending;
	uint64_t lba;
	_Atomic uint64_t examined;
	_Atomic uint64_t rewritten;
	_Atomic uint64_t saved;
};

/**
 * recompress_begin - let the background begin
 * @engine: in use
 * @level: of zstd
 *
 * Allocates memory.
 *
 * Return: 0 (also: it is at work with that level), -EBUSY (with another one),
 * -EROFS, or -ENOMEM.
 */
int recompress_begin(struct engine *engine, int level);

/** recompress_end - let it end before it is done, if there is one. */
void recompress_end(struct engine *engine);

/**
 * recompress_step - do the next piece; the background's
 * @engine: running
 *
 * Return: 0, -EAGAIN (a checkpoint is needed first), or another -errno. When
 * all is done it is no longer running.
 */
int recompress_step(struct engine *engine);

/** recompress_close - give everything back; there is no background any more. */
void recompress_close(struct engine *engine);

#endif /* BDUS_COMPRESS_RECOMPRESS_H */
