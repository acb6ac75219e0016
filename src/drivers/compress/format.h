/* SPDX-License-Identifier: MIT */
/*
 * compress/format.h - what is where on the medium. bdus-format(5) tells it in
 * full; here are its structures, little-endian as they are on the medium, and
 * the checks that each has to pass before anything in it is believed.
 *
 *	superblock A | superblock B | ... | map, slot 0 | map, slot 1 |
 *	segment 0 ... segment n - 1 | superblock C in the last block
 *
 * A superblock names the root of the map and the place in the log up to which
 * the map knows it. Each page of the map has two slots and its parent tells
 * which one counts, and its checksum: a page that a durable superblock refers
 * to is never written over.
 */
#ifndef BDUS_COMPRESS_FORMAT_H
#define BDUS_COMPRESS_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the structures are little-endian"
#endif

#define FORMAT_VERSION 1U
#define FORMAT_MAGIC "BDUS-COMPRESS\0\0\0"
#define BLOCK_SIZE 4096U
/* Addresses count these, and records start at a multiple of it. */
#define UNIT_SIZE 64U
#define RECORD_BLOCKS_MAX 32U
#define SEGMENT_SIZE_MIN (64U << 10)
#define SEGMENT_SIZE_MAX (64U << 20)
/* 40 bits of units */
#define MEDIUM_SIZE_MAX (1ULL << 46)
#define LOGICAL_SIZE_MAX (1ULL << 52)
#define SUPER_SIZE 512U
/* Of zstd; 0: its default. */
#define LEVEL_MAX 22
/* Where superblock @slot (0, 1) is. */
#define SUPER_OFF(slot) ((uint64_t)(slot)*BLOCK_SIZE)
#define LAYOUT_START (64U << 10)

/* --- superblock -----------------------------------------------------------
 */

#define SUPER_CLEAN (1U << 0)
#define SUPER_NEEDS_CHECK (1U << 1)
#define SUPER_MAY_BE_STALE (1U << 2)
#define SUPER_FLAGS_KNOWN (SUPER_CLEAN | SUPER_NEEDS_CHECK | SUPER_MAY_BE_STALE)

/* Features that a version may not know: read-write, at all. */
#define RO_COMPAT_KNOWN 0ULL
#define INCOMPAT_KNOWN 0ULL

/**
 * struct page_ref - which slot of a page counts
 * @crc: checksum of the page
 * @flags: PAGE_PRESENT, PAGE_SLOT
 */
struct page_ref {
	uint32_t crc;
	uint32_t flags;
};

#define PAGE_SLOT 1U	/* the slot's number */
#define PAGE_PRESENT 2U /* else the page is all zeroes and nowhere */

/**
 * struct position - a place between two batches of the log
 * @session: of the log from there on
 * @batch: number of the next batch
 * @sequence: of its first record
 * @segment: where the next batch is, if it is there
 * @off: in the segment; 0: the segment is not begun yet
 * @next: the segment that follows @segment, where the next batch is else
 * @prev_crc: of the batch before
 */
struct position {
	uint64_t session;
	uint64_t batch;
	uint64_t sequence;
	uint32_t segment;
	uint32_t off;
	uint32_t next;
	uint32_t prev_crc;
};

/**
 * struct super - a superblock
 * @magic: FORMAT_MAGIC
 * @version: FORMAT_VERSION
 * @crc: of the SUPER_SIZE bytes, with this as 0
 * @generation: of the checkpoint; the highest counts
 * @label: NUL-padded
 * @uuid: of the volume
 * @compat: features that do not matter to those who do not know them
 * @ro_compat: features without which it can only be read
 * @incompat: features without which it cannot be used
 * @nonce: random, in all that belongs to the volume
 * @size: of the disk that it shows, bytes
 * @medium_size: bytes
 * @map_off: of the two slots of the map, bytes
 * @segments_off: of segment 0, bytes
 * @segment_size: bytes, a power of two
 * @n_segments: how many
 * @n_reserve: how many of them are kept free from live data
 * @record_blocks: most blocks in a record of a writer, a power of two
 * @level: of zstd
 * @flags: SUPER_*
 * @root: of the map
 * @position: where the log goes on
 * @n_mapped: blocks with data
 * @n_zero: blocks that are zero by a record
 * @n_bad: blocks that are lost
 * @n_raw: blocks with data in records that are not packed
 * @zero: nothing
 */
struct super {
	char magic[16];
	uint32_t version;
	uint32_t crc;
	uint64_t generation;
	char label[48];
	uint8_t uuid[16];
	uint64_t compat;
	uint64_t ro_compat;
	uint64_t incompat;
	uint64_t nonce;
	uint64_t size;
	uint64_t medium_size;
	uint64_t map_off[2];
	uint64_t segments_off;
	uint32_t segment_size;
	uint32_t n_segments;
	uint32_t n_reserve;
	uint32_t record_blocks;
	int32_t level;
	uint32_t flags;
	struct page_ref root;
	struct position position;
	uint64_t n_mapped;
	uint64_t n_zero;
	uint64_t n_bad;
	uint64_t n_raw;
	uint8_t zero[SUPER_SIZE - 272];
};

_Static_assert(sizeof(struct super) == SUPER_SIZE, "no padding");

/* --- map ------------------------------------------------------------------
 */

#define PAGE_MAGIC 0x50414d43U /* CMAP */
#define PAGE_ENTRIES 508U
#define PAGE_SEGMENTS 254U
#define MAP_LEVELS_MAX 6

/**
 * struct page - a page of the map
 * @magic: PAGE_MAGIC
 * @crc: of the page, with this as 0
 * @nonce: the volume's
 * @number: which page it is
 * @generation: of the checkpoint that wrote it
 * @entries: of the lowest level, what the blocks are; above, struct page_ref;
 *	or struct segment_use
 */
struct page {
	uint32_t magic;
	uint32_t crc;
	uint64_t nonce;
	uint64_t number;
	uint64_t generation;
	uint64_t entries[PAGE_ENTRIES];
};

_Static_assert(sizeof(struct page) == BLOCK_SIZE, "no padding");

/**
 * struct segment_use - what the map knows of a segment
 * @first_sequence: of the first record that can be in it
 * @live_bytes: shares of the live blocks in their records
 * @live_blocks: how many, and SEGMENT_USED
 */
struct segment_use {
	uint64_t first_sequence;
	uint32_t live_bytes;
	uint32_t live_blocks;
};

#define SEGMENT_USED 0x80000000U /* not free */

/*
 * What a block is: state : 2 from bit 62, blocks of the record - 1 : 5, number
 * of the block in it : 5, units of the record - 1 : 12, address in units : 40.
 */
enum block_state {
	BLOCK_UNMAPPED,
	BLOCK_ZERO,
	BLOCK_DATA,
	BLOCK_BAD, /* its data is lost */
};

#define ENTRY_INDEX_SHIFT 52
#define ENTRY_INDEX_ONE (1ULL << ENTRY_INDEX_SHIFT)
#define ENTRY_ZERO ((uint64_t)BLOCK_ZERO << 62)
/* Not what a flipped bit makes of another. */
#define ENTRY_BAD UINT64_MAX

static inline enum block_state entry_state(uint64_t entry)
{
	return (enum block_state)(entry >> 62);
}

/* Of its record, bytes from the start of the medium. */
static inline uint64_t entry_off(uint64_t entry)
{
	return (entry & ((1ULL << 40) - 1)) * UNIT_SIZE;
}

/* Bytes of the record, header included, rounded up to units. */
static inline uint32_t entry_len(uint64_t entry)
{
	return ((uint32_t)(entry >> 40 & 4095) + 1) * UNIT_SIZE;
}

static inline uint32_t entry_index(uint64_t entry)
{
	return (uint32_t)(entry >> ENTRY_INDEX_SHIFT & 31);
}

static inline uint32_t entry_blocks(uint64_t entry)
{
	return (uint32_t)(entry >> 57 & 31) + 1;
}

/* What of the record a block is charged with. */
static inline uint32_t entry_share(uint64_t entry)
{
	return entry_len(entry) / entry_blocks(entry);
}

/* Is its record not packed? One that is takes less, by a unit at least. */
static inline bool entry_is_raw(uint64_t entry)
{
	return entry_state(entry) == BLOCK_DATA &&
	       entry_len(entry) == entry_blocks(entry) * BLOCK_SIZE + UNIT_SIZE;
}

/* Of the first block of a record of @len bytes at @off. */
static inline uint64_t entry_make(uint64_t off, uint32_t len, uint32_t n_blocks)
{
	return (uint64_t)BLOCK_DATA << 62 | (uint64_t)(n_blocks - 1) << 57 |
	       (uint64_t)((len + UNIT_SIZE - 1) / UNIT_SIZE - 1) << 40 |
	       off / UNIT_SIZE;
}

/* --- log ------------------------------------------------------------------
 */

#define SEGMENT_MAGIC 0x47455343U /* CSEG */
#define BATCH_MAGIC 0x54414243U	  /* CBAT */
/* Of a batch: bytes, and records. */
#define BATCH_MAX (1U << 20)
#define BATCH_RECORDS_MAX 256U
/* Of batches, and sequences: all are lower, so that they never begin anew. */
#define NUMBER_MAX (1ULL << 62)

/**
 * struct segment_head - in the first block of a segment
 * @magic: SEGMENT_MAGIC
 * @crc: of this, with this as 0
 * @nonce: the volume's
 * @session: of the log
 * @batch: number of its first batch, which follows this block
 * @sequence: of that one's first record
 * @segment: its own number
 * @next: the segment that will follow
 * @prev_crc: of the batch before the first
 * @zero: nothing
 */
struct segment_head {
	uint32_t magic;
	uint32_t crc;
	uint64_t nonce;
	uint64_t session;
	uint64_t batch;
	uint64_t sequence;
	uint32_t segment;
	uint32_t next;
	uint32_t prev_crc;
	uint32_t zero;
};

/**
 * struct batch_head - what is written at once; records follow
 * @magic: BATCH_MAGIC
 * @crc: of this, with this as 0, and then of the @crc of each record
 * @nonce: the volume's
 * @session: of the log
 * @batch: number
 * @sequence: of its first record
 * @durable: number of the batch up to which all were durable when this one was
 *	written
 * @prev_crc: of the batch before
 * @len: bytes, a multiple of BLOCK_SIZE
 * @n_records: how many
 * @zero: nothing
 */
struct batch_head {
	uint32_t magic;
	uint32_t crc;
	uint64_t nonce;
	uint64_t session;
	uint64_t batch;
	uint64_t sequence;
	uint64_t durable;
	uint32_t prev_crc;
	uint32_t len;
	uint32_t n_records;
	uint32_t zero;
};

_Static_assert(sizeof(struct batch_head) == UNIT_SIZE, "no padding");

enum record_type {
	RECORD_DATA = 1,
	RECORD_ZERO,
	RECORD_TRIM,
	RECORD_MOVE,
	RECORD_CHECKPOINT,
};

enum record_algorithm { ALGORITHM_RAW, ALGORITHM_ZSTD };

/**
 * struct record - a record's header; its payload follows at once
 * @crc: of the nonce and this without @crc
 * @data_crc: of the payload
 * @type: enum record_type
 * @algorithm: enum record_algorithm
 * @level: of zstd, when it was packed, or could not be
 * @zero: nothing
 * @len: bytes of the payload
 * @lba: first block
 * @n_blocks: how many; all within one page of the map
 * @zero2: nothing
 * @sequence: order of the records in the log
 * @origin: the same, but of a MOVE that of what it moves
 * @from: of a MOVE, what the map must say of the first block for it to count;
 *	of the others the same with higher numbers in the record
 */
struct record {
	uint32_t crc;
	uint32_t data_crc;
	uint8_t type;
	uint8_t algorithm;
	uint8_t level;
	uint8_t zero;
	uint32_t len;
	uint64_t lba;
	uint32_t n_blocks;
	uint32_t zero2;
	uint64_t sequence;
	uint64_t origin;
	uint64_t from;
};

_Static_assert(sizeof(struct record) == 56, "no padding");

/* Bytes of a record in the log. */
static inline uint32_t record_size(const struct record *record)
{
	return ((uint32_t)sizeof(*record) + record->len + UNIT_SIZE - 1) &
	       ~(UNIT_SIZE - 1);
}

/* --- seals and checks -----------------------------------------------------
 */

/** super_seal - fill in the checksum. */
void super_seal(struct super *super);

/**
 * super_check - may a superblock be believed?
 * @super: as read
 * @medium_size: bytes that there are
 * @reason: what is wrong
 *
 * Return: 0, -ENOENT (no superblock at all), -EBADMSG (damaged), -ENOTSUP
 * (made by another version, or the medium does not fit).
 */
int super_check(const struct super *super, uint64_t medium_size,
		const char **reason);

/** page_seal - fill in all but the entries. Return: the checksum. */
uint32_t page_seal(struct page *page, const struct super *super,
		   uint64_t number);

/** page_is_valid - is it what the reference tells? */
bool page_is_valid(const struct page *page, const struct super *super,
		   uint64_t number, uint32_t crc);

/** segment_head_seal - fill in magic, nonce, checksum. */
void segment_head_seal(struct segment_head *head, const struct super *super);

/** segment_head_is_valid - is it the head of that segment? */
bool segment_head_is_valid(const struct segment_head *head,
			   const struct super *super, uint32_t segment);

/** batch_seal - fill in magic, nonce, checksum; the records are sealed. */
void batch_seal(struct batch_head *head, const struct super *super);

/**
 * batch_is_valid - is it whole, with all its records and their payloads?
 * @head: as read, the rest behind it
 * @super: of the volume
 * @room: bytes that can be looked at
 *
 * Return: whether it is.
 */
bool batch_is_valid(const struct batch_head *head, const struct super *super,
		    uint32_t room);

/** batch_is_listed - as batch_is_valid(), but payloads may be damaged. */
bool batch_is_listed(const struct batch_head *head, const struct super *super,
		     uint32_t room);

/** record_seal - fill in the checksum of the header. */
void record_seal(struct record *record, const struct super *super);

/**
 * record_is_valid - is the header whole, and does it make sense?
 * @record: as read
 * @super: of the volume
 *
 * The payload is not looked at, but @len is within bounds.
 *
 * Return: whether it does.
 */
bool record_is_valid(const struct record *record, const struct super *super);

/** record_first - the first record of a batch. */
static inline struct record *record_first(const struct batch_head *head)
{
	return (struct record *)(uintptr_t)(head + 1);
}

/** record_next - the one that follows; valid while there is one. */
static inline struct record *record_next(const struct record *record)
{
	return (struct record *)((uintptr_t)record + record_size(record));
}

/** segment_off - where a segment starts, bytes. */
static inline uint64_t segment_off(const struct super *super, uint32_t segment)
{
	return super->segments_off + (uint64_t)segment * super->segment_size;
}

/** segment_of - the segment that an offset is in; n_segments or more: none. */
static inline uint64_t segment_of(const struct super *super, uint64_t off)
{
	return off < super->segments_off ?
		       UINT64_MAX :
		       (off - super->segments_off) / super->segment_size;
}

/** n_leaves - pages of the lowest level that tell of blocks. */
static inline uint64_t n_leaves(const struct super *super)
{
	return (super->size / BLOCK_SIZE + PAGE_ENTRIES - 1) / PAGE_ENTRIES;
}

/** n_segment_pages - pages that tell of segments: the first of that level. */
static inline uint64_t n_segment_pages(const struct super *super)
{
	return (super->n_segments + PAGE_SEGMENTS - 1) / PAGE_SEGMENTS;
}

/** map_pages - pages of all levels, of a map for that many. */
uint64_t map_pages(uint64_t size, uint32_t n_segments);

#endif /* BDUS_COMPRESS_FORMAT_H */
