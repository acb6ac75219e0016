/* SPDX-License-Identifier: MIT */
/*
 * compress/repair.h - finds out what is left of a damaged volume, and makes a
 * whole one of it.
 *
 * All is found out in memory, nothing is written: repair_prepare(). Then
 * repair_commit() makes a checkpoint of it: pages go to slots that nothing
 * refers to, superblocks come last; a crash before leaves the volume as it was.
 *
 * Rooms: survey (superblocks, tree, segments), rebuild (pages that are lost,
 * from the log), prove (by their checksums), salvage (the log behind the
 * checkpoint), repair (all of it).
 *
 * A block is taken from the log only if that is proven to be its last version:
 * by the checksum of the page of the map, or by the number of live blocks that
 * the map knows of each segment. Else it is lost: reading it is an error until
 * it is written again.
 */
#ifndef BDUS_COMPRESS_REPAIR_H
#define BDUS_COMPRESS_REPAIR_H

#include "engine.h"
#include "ranges.h"

/* Of the last checkpoints, tried where a page does not tell its own. */
#define N_GENERATIONS 16U

/** enum copy_state - of superblocks A, B and C. */
enum copy_state {
	COPY_GOOD,
	COPY_OLD, /* of an earlier checkpoint: a crash leaves it so */
	COPY_DAMAGED,
};

/**
 * struct repair_options - how to repair
 * @accept_stale: take what may be an older version of a block
 * @is_read_only: the medium is not to be written, not even synced
 * @map_cache: bytes to begin with; 0: 64 MiB
 * @tell: NULL, or told of bytes of the log that were looked at
 * @arg: its argument
 */
struct repair_options {
	bool accept_stale;
	bool is_read_only;
	uint64_t map_cache;
	void (*tell)(void *arg, uint64_t done);
	void *arg;
};

/**
 * struct leaf_lost - a page of the map that is lost
 * @index: among those that tell of blocks
 * @has_hints: something was there
 * @is_sure: it is what is left of the page that counts, no older version
 * @hints: what it said
 * @has_crc: the checksum of the page that counts is known
 * @crc: it
 * @raw: what is in the place of that page
 * @found: what the log says of each block, or what a crash has cut off from it
 * @kept: what the log says where that cannot be
 * @whole: the last record that can be read, if what is old is accepted
 * @choice: what is taken, enum choice (rebuild.c)
 */
struct leaf_lost {
	uint64_t index;
	bool has_hints;
	bool is_sure;
	uint64_t hints[PAGE_ENTRIES];
	bool has_crc;
	uint32_t crc;
	struct page raw;
	struct mention {
		uint64_t entry;
		uint64_t origin;
		uint64_t sequence;
	} found[PAGE_ENTRIES], kept[PAGE_ENTRIES], *whole;
	uint8_t choice[PAGE_ENTRIES];
};

/**
 * struct repair - a volume, as it is in memory
 * @engine: with the map as it is going to be
 * @options: see there
 * @reason: what is wrong, when repair_prepare() failed
 * @copies: what the superblocks are
 * @is_root_lost: neither A nor B is good
 * @is_stale: blocks may be older versions
 * @was_marked: the volume says itself that something is wrong
 * @n_pages_lost: pages of the map that are damaged
 * @n_leaves_lost: of these, those that tell of blocks
 * @n_segments_wrong: segments that the map counts otherwise
 * @is_count_wrong: the volume's own counts are not those of the map
 * @n_batches_lost: batches of the log, behind the checkpoint
 * @n_heads_lost: heads of segments there, in front of a batch that is whole
 * @n_records_lost: records in them
 * @is_end_unreadable: the place where the log ends cannot be read
 * @n_restored: blocks whose place was found in the log
 * @n_unproven: blocks that may be older versions
 * @n_unreadable: blocks that were found to be unreadable
 * @lost: blocks that are lost
 * @stale: blocks that may be older versions, where one can tell
 * @leaves: pages that are to be rebuilt, by index
 * @n_leaves: how many
 * @uses: of each segment, what pages that are good refer to
 * @residual: of each segment, live blocks that they do not tell of
 * @open: of each segment, blocks that could be in it
 * @is_complete: of each segment, whether all records in it are known
 * @is_known: of each segment, whether the map knows its number of these
 * @generation: the highest of all pages, if A and B are lost
 * @n_unexplained: blocks with data that are nowhere; INT64_MAX: who knows
 */
struct repair {
	struct engine engine;
	struct repair_options options;
	const char *reason;
	enum copy_state copies[3];
	bool is_root_lost;
	bool is_stale;
	bool was_marked;
	uint64_t n_pages_lost;
	uint64_t n_leaves_lost;
	uint64_t n_segments_wrong;
	bool is_count_wrong;
	uint64_t n_batches_lost;
	uint64_t n_heads_lost;
	uint64_t n_records_lost;
	bool is_end_unreadable;
	uint64_t n_restored;
	uint64_t n_unproven;
	uint64_t n_unreadable;
	struct ranges lost;
	struct ranges stale;
	struct leaf_lost **leaves;
	size_t n_leaves;
	struct segment_use *uses;
	int64_t *residual;
	int64_t *open;
	bool *is_complete;
	bool *is_known;
	uint64_t generation;
	int64_t n_unexplained;
};

/**
 * repair_prepare - find out what is left
 * @repair: filled in
 * @medium: has to stay; nothing is written, but after a failure it is synced
 * @options: copied
 *
 * Return: 0, -ENOENT (no volume), -ENOTSUP (of another version, or the medium
 * does not fit), -EBADMSG (nothing is left to begin with), or another -errno;
 * then @reason tells more and nothing is left behind.
 */
int repair_prepare(struct repair *repair, struct medium *medium,
		   const struct repair_options *options);

/**
 * repair_lose - blocks were found to be unreadable: reading them is an error
 *	until they are written again
 * @repair: prepared
 * @ranges: of check_volume()
 *
 * Return: 0, -EAGAIN (more memory for the map is needed: prepare again with
 * twice the map_cache) or another -errno.
 */
int repair_lose(struct repair *repair, const struct ranges *ranges);

/** repair_is_needed - is there anything to be written? */
bool repair_is_needed(const struct repair *repair);

/**
 * repair_commit - write it
 * @repair: prepared; the medium can be written
 *
 * Return: 0 or -errno.
 */
int repair_commit(struct repair *repair);

/** repair_free - give everything back. */
void repair_free(struct repair *repair);

/*
 * What the rooms do for each other.
 */

/** survey_supers - find the superblock to go by. Return: 0 or -errno. */
int survey_supers(struct repair *repair);

/**
 * survey_map - load what is good of the map
 * @repair: its engine has rooms
 *
 * Return: 0 or -errno.
 */
int survey_map(struct repair *repair);

/** rebuild_leaf - a page that is to be rebuilt, or NULL: it is not. */
struct leaf_lost *rebuild_leaf(const struct repair *repair, uint64_t index);

/** rebuild_has_record - does an entry tell of a record that is there? */
bool rebuild_has_record(struct repair *repair, uint64_t lba, uint64_t entry);

/**
 * prove_leaf - find out what a page was, by its checksum
 * @repair: the log was scanned for it
 * @leaf: the page; its hints are filled in
 *
 * Return: whether they are proven now.
 */
bool prove_leaf(struct repair *repair, struct leaf_lost *leaf);

/** rebuild_map - fill pages that are lost. Return: 0, -EAGAIN, -errno. */
int rebuild_map(struct repair *repair);

/** salvage_log - bring the map to the end of the log. Return: as above. */
int salvage_log(struct repair *repair);

#endif /* BDUS_COMPRESS_REPAIR_H */
