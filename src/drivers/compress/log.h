/* SPDX-License-Identifier: MIT */
/*
 * compress/log.h - the log: records are gathered in a batch in memory while
 * the batch before is written; whoever finds none being written writes.
 *
 * Batches are written and applied to the map one after the other, so that a
 * record is acknowledged only when its batch and all before are written. A
 * batch that cannot be written fails all that follow.
 *
 * Lock order, of the whole engine: the log's, then the map's. Neither is held
 * while data is read, written, synced, packed or copied (a segment's space is
 * allocated under the log's).
 */
#ifndef BDUS_COMPRESS_LOG_H
#define BDUS_COMPRESS_LOG_H

#include <pthread.h>
#include <stdbool.h>

#include "format.h"
#include "map.h"
#include "medium.h"

/* Free segments that are allocated ahead, where that has to be done. */
#define SEGMENTS_READY 6U
/* Of others, as many are tried at once where they may be no use. */
#define SEGMENTS_TRIED 64U
/* Segments that stay free, so that the volume can be opened again. */
#define SEGMENTS_FOR_OPEN 1U
/* Segments that must be free beside: for data, and for what frees some. */
#define SEGMENTS_FOR_CLEANER 4U
#define SEGMENTS_FOR_TRIM 2U

/**
 * struct commit - somebody who waits for a record to be written
 * @next: the log's
 * @done: called once, without locks, by any thread; 0 or -errno
 */
struct commit {
	struct commit *next;
	void (*done)(struct commit *commit, int error);
};

/**
 * struct batch - one that is gathered or written
 * @buf: its bytes; a segment's head in front if @lead is not 0
 * @lead: bytes of that
 * @used: bytes of its own head and records
 * @room: most that @used can be; 0: it has no place yet
 * @n_copying: records whose bytes are not all there
 * @at: its place
 * @after: the place behind it, once it is closed
 * @commits: who waits, in order
 * @last: the end of that list
 */
struct batch {
	unsigned char *buf;
	uint32_t lead;
	uint32_t used;
	uint32_t room;
	uint32_t n_copying;
	struct position at;
	struct position after;
	struct commit *commits;
	struct commit **last;
};

/**
 * struct log - the log
 * @lock: of all but constants
 * @changed: a batch is written, copied, or synced
 * @super: geometry
 * @medium: where
 * @map: what batches are applied to
 * @batches: one is gathered, the other may be in writing
 * @open: the one that is gathered
 * @is_writing: the other one is in writing
 * @is_kicked: whoever writes it is to write the open one, too
 * @is_syncing: somebody syncs
 * @is_read_only: there is no log
 * @prev_crc: of the last batch written; its writer's
 * @end: the place behind the last batch that is closed
 * @n_records: in the open batch
 * @sequence: of the next record
 * @written: number of the next batch that is to be written
 * @durable: batches below that are durable
 * @error: the first one, for ever
 * @n_bytes: written
 * @hand: where the search for segments that can be allocated goes on; with the
 *	map's lock
 */
struct log {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	const struct super *super;
	struct medium *medium;
	struct map *map;
	struct batch batches[2];
	unsigned int open;
	bool is_writing;
	bool is_kicked;
	bool is_syncing;
	bool is_read_only;
	uint32_t prev_crc;
	struct position end;
	uint32_t n_records;
	uint64_t sequence;
	uint64_t written;
	uint64_t durable;
	int error;
	uint64_t n_bytes;
	uint32_t hand;
};

/** log_open - allocate buffers. Return: 0 or -ENOMEM. */
int log_open(struct log *log, const struct super *super, struct medium *medium,
	     struct map *map);

/** log_close - undo log_open(); nobody uses it. */
void log_close(struct log *log);

/**
 * log_start - begin a session
 * @log: not started
 * @position: a segment that is not begun, and the next; both are busy
 */
void log_start(struct log *log, const struct position *position);

/**
 * log_append - put a record into the next batch
 * @log: the log
 * @record: but for the sequence, which is filled in, and the checksum; its page
 *	of the map is pinned, and unpinned by the log, on success only
 * @payload: record->len bytes, copied
 * @commit: who waits for it, or NULL
 * @limit: more segments than this have to be free if it needs a new one, or
 *	MAP_NO_LIMIT
 *
 * May write.
 *
 * Return: 0, -EAGAIN (there is no segment left for it), or another
 * -errno: the log's error.
 */
int log_append(struct log *log, struct record *record, const void *payload,
	       struct commit *commit, uint32_t limit);

/**
 * log_kick - write what was gathered, unless somebody writes, who does it then
 * @log: the log
 *
 * Hence whoever has appended something, or tried to, is to call this, or
 * log_drain(): others may rely on it.
 */
void log_kick(struct log *log);

/**
 * log_drain - wait until all that was gathered is written
 * @log: the log
 *
 * Return: 0 or the log's error.
 */
int log_drain(struct log *log);

/**
 * log_sync - make durable what was acknowledged before the call
 * @log: the log
 *
 * Return: 0 or the log's error.
 */
int log_sync(struct log *log);

/** log_fail - unless @error is 0, nothing can be written any more. Return: the
 * first error, if any. */
int log_fail(struct log *log, int error);

/**
 * log_take_segment - a free segment that is there to be written to
 * @log: the log
 * @segment: its number; it is busy
 * @spare: as many are to stay free
 *
 * Return: whether there is one.
 */
bool log_take_segment(struct log *log, uint32_t *segment, uint32_t spare);

/**
 * log_refill - see to it that some free segments are there to be written to
 * @log: the log
 * @n_tries: it is given up after so many failures, and goes on there next time
 *
 * So that what frees space finds some when the file system below is full.
 */
void log_refill(struct log *log, uint32_t n_tries);

/** log_record_room - bytes that the largest record takes in a batch. */
uint32_t log_record_room(const struct super *super);

#endif /* BDUS_COMPRESS_LOG_H */
