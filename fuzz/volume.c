/* SPDX-License-Identifier: MIT */
/*
 * volume - compressed volumes for the fuzz targets.
 *
 * Checksums are all zero here: this file replaces the room that makes them.
 * So what an input puts into a structure gets behind them, and a checksum
 * other than zero is that of something damaged.
 *
 * An input is a byte that chooses a volume, then changes: a byte that tells
 * what is changed (of 0..7) and by how many bytes (the rest), which one (2),
 * where in it (2), and the bytes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc.h"
#include "volume.h"

#define N_BASES 4
#define PLACES_MAX 4096
#define READS_MAX 96
#define WORKERS 1

/* Where the structures of a volume are. */
struct places {
	uint32_t at[PLACES_MAX];
	uint32_t n;
};

struct base {
	unsigned char bytes[VOLUME_BYTES];
	struct places pages;
	struct places segments;
	struct places batches;
	struct places records;
};

enum change {
	CHANGE_SUPER,
	CHANGE_PAGE,
	CHANGE_SEGMENT,
	CHANGE_BATCH,
	CHANGE_RECORD,
	CHANGE_PAYLOAD,
	CHANGE_BLOCK,
	CHANGE_COPY,
};

static struct base bases[N_BASES];
static unsigned char buffer[PAGE_ENTRIES * BLOCK_SIZE];

uint32_t crc_update(uint32_t crc, const void *data, size_t len)
{
	(void)crc;
	(void)data;
	(void)len;
	return 0;
}

void volume_must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "fuzz: %s\n", what);
	abort();
}

/* --- the medium -------------------------------------------------------------
 */

static int volume_medium_read(struct medium *medium, void *buf, size_t len,
			      uint64_t off)
{
	const struct volume *volume = (struct volume *)medium;

	if (off > medium->size || len > medium->size - off)
		return -EIO;
	memcpy(buf, volume->bytes + off, len);
	return 0;
}

static int volume_medium_write(struct medium *medium, const void *buf,
			       size_t len, uint64_t off)
{
	struct volume *volume = (struct volume *)medium;

	volume_must(off <= medium->size && len <= medium->size - off,
		    "a write after the end of the medium");
	memcpy(volume->bytes + off, buf, len);
	for (uint64_t i = off / BLOCK_SIZE; i * BLOCK_SIZE < off + len; i++)
		volume->is_written[i] = true;
	return 0;
}

static int volume_medium_sync(struct medium *medium)
{
	(void)medium;
	return 0;
}

static void volume_restore(struct volume *volume, const struct base *base)
{
	volume->medium = (struct medium){ .size = VOLUME_BYTES,
					  .read = volume_medium_read,
					  .write = volume_medium_write,
					  .sync = volume_medium_sync };
	for (uint32_t i = 0; i < VOLUME_BLOCKS; i++)
		if (volume->is_written[i] || volume->base != base->bytes)
			memcpy(volume->bytes + i * BLOCK_SIZE,
			       base->bytes + i * BLOCK_SIZE, BLOCK_SIZE);
	volume->base = base->bytes;
	memset(volume->is_written, 0, sizeof(volume->is_written));
}

/* --- use --------------------------------------------------------------------
 */

void volume_read(struct engine *engine)
{
	uint64_t n_blocks = engine->super.size / BLOCK_SIZE;
	uint32_t n_reads = 0;

	for (uint64_t lba = 0; lba < n_blocks && n_reads < READS_MAX;) {
		uint64_t n = n_blocks - lba < 16 ? n_blocks - lba : 16;

		if (map_is_empty(&engine->map, lba)) {
			lba += PAGE_ENTRIES - lba % PAGE_ENTRIES;
			continue;
		}
		engine_read(engine, 0, buffer, (uint32_t)n * BLOCK_SIZE,
			    lba * BLOCK_SIZE);
		lba += n;
		n_reads++;
	}
}

static void volume_write(struct engine *engine, uint64_t lba, uint32_t n,
			 unsigned char what)
{
	uint64_t n_blocks = engine->super.size / BLOCK_SIZE;
	uint64_t x = lba + 1;
	struct waiter waiter;

	if (lba >= n_blocks || n > n_blocks - lba)
		return;
	memset(buffer, what, (size_t)n * BLOCK_SIZE);
	/* half of it cannot be packed */
	for (uint32_t i = 0; what & 1 && i < n * BLOCK_SIZE; i += 8) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		memcpy(buffer + i, &x, sizeof(x));
	}
	waiter_init(&waiter);
	waiter_wait(&waiter, engine,
		    engine_write(engine, 0, buffer, n * BLOCK_SIZE,
				 lba * BLOCK_SIZE, &waiter.commit));
}

static void volume_zero(struct engine *engine, uint64_t lba, uint64_t n,
			bool may_unmap)
{
	uint64_t n_blocks = engine->super.size / BLOCK_SIZE;
	struct waiter waiter;

	if (lba >= n_blocks)
		return;
	if (n > n_blocks - lba)
		n = n_blocks - lba;
	waiter_init(&waiter);
	waiter_wait(&waiter, engine,
		    engine_zero(engine, n * BLOCK_SIZE, lba * BLOCK_SIZE,
				may_unmap, &waiter.commit));
}

void volume_use(struct engine *engine)
{
	volume_write(engine, 2, 3, 4);
	volume_zero(engine, 0, 2, true);
	engine_checkpoint(engine);
	volume_write(engine, 8, 5, 7);
	volume_zero(engine, 30, 700, false);
	engine_flush(engine);
}

/* --- volumes to begin with --------------------------------------------------
 */

static void places_add(struct places *places, uint32_t at)
{
	if (places->n < PLACES_MAX)
		places->at[places->n++] = at;
}

static void base_find_records(struct base *base, const struct batch_head *head,
			      uint32_t at)
{
	const struct record *record = record_first(head);

	for (uint32_t i = 0; i < head->n_records; i++) {
		places_add(&base->records,
			   at + (uint32_t)((const char *)record -
					   (const char *)head));
		record = record_next(record);
	}
}

static void base_find(struct base *base, const struct super *super)
{
	uint64_t n_pages = map_pages(super->size, super->n_segments);

	for (uint32_t i = 0; i < 2 * n_pages; i++)
		places_add(&base->pages,
			   (uint32_t)(super->map_off[i & 1] +
				      i / 2 * (uint64_t)BLOCK_SIZE));
	for (uint32_t i = 0; i < super->n_segments; i++) {
		uint32_t at = (uint32_t)segment_off(super, i);
		uint32_t end = at + super->segment_size;

		places_add(&base->segments, at);
		for (at += BLOCK_SIZE; at < end; at += BLOCK_SIZE) {
			const struct batch_head *head =
				(const void *)(base->bytes + at);

			if (!batch_is_valid(head, super, end - at))
				continue;
			places_add(&base->batches, at);
			base_find_records(base, head, at);
		}
	}
}

static void base_fill(struct engine *engine, unsigned int which)
{
	uint32_t n = which == 3 ? 14 : 4;

	for (uint32_t i = 0; which > 0 && i < 3 * n; i++) {
		volume_write(engine, i * 11 % 120, 1 + i % 13,
			     (unsigned char)i);
		if (i % 4 == 1)
			volume_zero(engine, i * 7 % 100, 1 + i % 5, i & 8);
		if (i == 2 * n)
			engine_checkpoint(engine);
	}
}

/* The empty one, a clean one, one that crashed, and one that was cleaned. */
static void base_make(struct volume *volume, unsigned int which)
{
	struct format_options format = {
		.level = 1,
		.nonce = 0x0123456789abcdefULL,
		.size = which == 3 ? 0 : 1100 * BLOCK_SIZE,
		.may_overcommit = true,
	};
	struct engine_options options = { .n_workers = WORKERS,
					  .map_cache = 1,
					  .is_manual = true };
	static struct base none;
	struct engine engine;
	struct super super;
	const char *reason;

	volume_restore(volume, &none);
	volume_must(engine_format(&volume->medium, &format, &super, &reason) ==
			    0,
		    "cannot format");
	volume_must(engine_open(&engine, &volume->medium, &options) == 0,
		    "cannot open");
	base_fill(&engine, which);
	if (which == 2)
		engine_abandon(&engine);
	else
		volume_must(engine_close(&engine) == 0, "cannot close");
	memcpy(bases[which].bytes, volume->bytes, VOLUME_BYTES);
	base_find(&bases[which], &super);
}

void volume_setup(void)
{
	static struct volume volume;

	for (unsigned int i = 0; i < N_BASES; i++)
		base_make(&volume, i);
}

/* --- changes ----------------------------------------------------------------
 */

static uint32_t place(const struct places *places, uint32_t which)
{
	return places->n == 0 ? 0 : places->at[which % places->n];
}

static uint32_t change_at(const struct base *base, enum change change,
			  uint32_t which, uint32_t off)
{
	static const uint32_t supers[] = { 0, BLOCK_SIZE,
					   VOLUME_BYTES - BLOCK_SIZE };

	switch (change) {
	case CHANGE_SUPER:
		return supers[which % 3] + off % SUPER_SIZE;
	case CHANGE_PAGE:
		return place(&base->pages, which) + off % BLOCK_SIZE;
	case CHANGE_SEGMENT:
		return place(&base->segments, which) + off % UNIT_SIZE;
	case CHANGE_BATCH:
		return place(&base->batches, which) + off % UNIT_SIZE;
	case CHANGE_RECORD:
		return place(&base->records, which) +
		       off % (uint32_t)sizeof(struct record);
	case CHANGE_PAYLOAD:
		return place(&base->records, which) +
		       (uint32_t)sizeof(struct record) + off % BLOCK_SIZE;
	default:
		return which % VOLUME_BLOCKS * BLOCK_SIZE + off % BLOCK_SIZE;
	}
}

/* What was read before the first change counts: a record, or any block. */
static void change_copy(struct volume *volume, const struct base *base,
			uint32_t from, uint32_t to)
{
	unsigned char block[BLOCK_SIZE];

	if (from & 0x8000) {
		from = place(&base->records, from & 0x7fff);
		to = place(&base->records, to);
	} else {
		from = from % VOLUME_BLOCKS * BLOCK_SIZE;
		to = to % VOLUME_BLOCKS * BLOCK_SIZE;
	}
	volume_medium_read(&volume->medium, block, sizeof(block), from);
	if (to <= VOLUME_BYTES - BLOCK_SIZE)
		volume_medium_write(&volume->medium, block, sizeof(block), to);
}

void volume_begin(struct volume *volume, const uint8_t *data, size_t size)
{
	const struct base *base = &bases[size > 0 ? data[0] % N_BASES : 0];

	volume_restore(volume, base);
	for (size_t i = 1; i + 5 <= size;) {
		enum change change = data[i] & 7;
		size_t len = data[i] >> 3;
		uint32_t which = data[i + 1] | (uint32_t)data[i + 2] << 8;
		uint32_t off = data[i + 3] | (uint32_t)data[i + 4] << 8;
		uint32_t at;

		i += 5;
		if (change == CHANGE_COPY) {
			change_copy(volume, base, which, off);
			continue;
		}
		if (len > size - i)
			len = size - i;
		at = change_at(base, change, which, off);
		if (at <= VOLUME_BYTES - 32)
			volume_medium_write(&volume->medium, data + i, len, at);
		i += len;
	}
}
