/* SPDX-License-Identifier: MIT */
/*
 * stats.h - what a driver that stores data can tell of itself: an ioctl of its
 * device, and how that is shown.
 */
#ifndef BDUS_STATS_H
#define BDUS_STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "kbdus.h"

#define STATS_VERSION 1U

/* stats.flags */
#define STATS_READ_ONLY (1U << 0)
/** STATS_NEEDS_CHECK - something was lost once */
#define STATS_NEEDS_CHECK (1U << 1)
/** STATS_FAILED - nothing can be written any more */
#define STATS_FAILED (1U << 2)
/** STATS_FULL - nothing more can be stored at the moment */
#define STATS_FULL (1U << 3)
/** STATS_OVERCOMMITTED - the disk is larger than what fits for sure */
#define STATS_OVERCOMMITTED (1U << 4)
/** STATS_RECOMPRESSING - what was stored is being packed anew */
#define STATS_RECOMPRESSING (1U << 5)
/** STATS_LIVE - counted by a driver, not found in a volume that is closed */
#define STATS_LIVE (1U << 6)

/**
 * struct stats - the answer
 * @version: STATS_VERSION; a later one has further fields, and the same ones
 * @flags: STATS_*
 * @size: of the disk, bytes; as all that is not said to be something else
 * @data: blocks that hold data
 * @zero: blocks that are zero by a record
 * @raw: of @data, what is stored as it is
 * @stored: what the data takes, with headers
 * @capacity: most that @stored can be
 * @physical: segments in use
 * @free: segments that are free
 * @reserve: segments that are kept free
 * @map: room for the map, and superblocks
 * @read: by clients since the driver started, as all that follow
 * @written: by clients, zeroes not being data
 * @discarded: by clients, and zeroes that they wrote without data
 * @log: written to the log
 * @checkpoint: written in checkpoints
 * @moved: records that the cleaner wrote anew
 * @cleaned: segments, a number
 * @cache: memory for pages of the map
 * @hits: pages of the map that were there, a number
 * @misses: pages that were not there, a number
 * @checkpoints: a number
 * @since: log that a crash would have to replay
 * @sessions: times that the volume was opened to be written, a number
 * @replayed: batches when it was opened, a number
 * @recoveries: 1 if it had not been closed, a number
 * @waiting: writes that wait for space, a number
 * @recompress_level: of recompression, 0: there was none, a number
 * @examined: data that recompression has looked at
 * @rewritten: data that it stored anew
 * @saved: what that takes less
 * @reserved: 0
 */
struct stats {
	uint32_t version;
	uint32_t flags;
	uint64_t size;
	uint64_t data;
	uint64_t zero;
	uint64_t raw;
	uint64_t stored;
	uint64_t capacity;
	uint64_t physical;
	uint64_t free;
	uint64_t reserve;
	uint64_t map;
	uint64_t read;
	uint64_t written;
	uint64_t discarded;
	uint64_t log;
	uint64_t checkpoint;
	uint64_t moved;
	uint64_t cleaned;
	uint64_t cache;
	uint64_t hits;
	uint64_t misses;
	uint64_t checkpoints;
	uint64_t since;
	uint64_t sessions;
	uint64_t replayed;
	uint64_t recoveries;
	uint64_t waiting;
	uint64_t recompress_level;
	uint64_t examined;
	uint64_t rewritten;
	uint64_t saved;
	uint64_t reserved[33];
};

_Static_assert(sizeof(struct stats) == 512, "no padding");

/** STATS_GET - ask for them; ENOTTY: the driver has none. */
#define STATS_GET _IOR(KBDUS_IOC_MAGIC, 0x80, struct stats)

/**
 * stats_ask - ask the driver of a device
 * @operand: what was typed, for messages
 * @id: the device
 * @stats: filled in
 *
 * Prints what is wrong.
 *
 * Return: an exit code.
 */
int stats_ask(const char *operand, uint64_t id, struct stats *stats);

/**
 * stats_print - print them for people, one a line
 * @stats: what
 * @is_bytes: sizes in bytes instead of 1.5G
 */
void stats_print(const struct stats *stats, bool is_bytes);

/**
 * stats_json_members - print "NAME": VALUE, ..., the inside of an object
 * @out: where to
 * @stats: what
 */
void stats_json_members(FILE *out, const struct stats *stats);

/**
 * stats_changes - print what happened in between, as a line of a table
 * @now: the last ones
 * @before: those before; of another driver, or zeroes: since it started
 * @ms: time between them
 */
void stats_changes(const struct stats *now, const struct stats *before,
		   uint64_t ms);

/** stats_headings - print the headings of these lines. */
void stats_headings(void);

#endif /* BDUS_STATS_H */
