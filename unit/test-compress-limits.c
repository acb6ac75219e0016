/* SPDX-License-Identifier: MIT */
/*
 * test-compress-limits - compressed volumes where something lies about what it
 * has: a medium that loses a write, entries of the map that go on with others,
 * more writers than there are free segments, a file system that is full.
 */
#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <unistd.h>

#include "content.h"
#include "drivers/compress/rooms.h"
#include "memory.h"
#include "tap.h"

#define DEADLINE_S 300
#define WRITERS 128
#define RECORDS 32U /* blocks of each of their writes */

static alignas(64) unsigned char buffer[RECORDS * CONTENT_BYTES];

static int do_write(struct engine *engine, unsigned int worker,
		    const void *blocks, uint64_t lba, uint32_t n)
{
	struct waiter waiter;

	waiter_init(&waiter);
	return waiter_wait(&waiter, engine,
			   engine_write(engine, worker, blocks,
					n * CONTENT_BYTES, lba * CONTENT_BYTES,
					&waiter.commit));
}

static int do_discard(struct engine *engine, uint64_t lba, uint64_t n)
{
	struct waiter waiter;

	waiter_init(&waiter);
	return waiter_wait(&waiter, engine,
			   engine_zero(engine, n * CONTENT_BYTES,
				       lba * CONTENT_BYTES, true,
				       &waiter.commit));
}

static bool volume_make(struct engine *engine, struct memory *memory,
			uint64_t medium_size,
			const struct format_options *format,
			const struct engine_options *options)
{
	const char *reason = NULL;
	struct super super;

	if (memory->medium.size == 0)
		memory_open(memory, medium_size);
	return engine_format(&memory->medium, format, &super, &reason) == 0 &&
	       engine_open(engine, &memory->medium, options) == 0;
}

/* --- a medium that loses a write --------------------------------------------
 */

static bool is_record_of(const struct engine *engine, const void *bytes,
			 uint64_t lba, uint64_t entry)
{
	const struct record *record = bytes;

	return record_is_valid(record, &engine->super) &&
	       record->type == RECORD_DATA && record->lba == lba &&
	       record->n_blocks == 1 && record_size(record) == entry_len(entry);
}

/*
 * A block whose record was written to where an older one of it was, as long as
 * that; before, it was @old. Return: its number, or UINT64_MAX.
 */
static uint64_t lost_find(struct engine *engine, const unsigned char *old,
			  uint64_t n_blocks, uint64_t *entry)
{
	for (uint64_t lba = 0; lba < n_blocks; lba++)
		if (map_look(&engine->map, lba, 1, entry) == 0 &&
		    segment_of(&engine->super, entry_off(*entry)) !=
			    engine->map.applied.segment &&
		    is_record_of(engine, old + entry_off(*entry), lba, *entry))
			return lba;
	return UINT64_MAX;
}

static void test_lost_write(void)
{
	const struct format_options format = { .level = 1,
					       .nonce = 5,
					       .segment_size = 64 << 10,
					       .record_blocks = 1 };
	const struct engine_options options = { .n_workers = 1,
						.is_manual = true };
	uint64_t n_blocks = 14, lost = UINT64_MAX, entry = 0;
	struct memory memory = { 0 };
	struct engine engine;
	unsigned char *old = malloc(8 << 20);
	int error = 0;

	memory_open(&memory, 8 << 20);
	memory.medium.punch = NULL;
	ok(volume_make(&engine, &memory, 8 << 20, &format, &options),
	   "lost write: made");
	content_kind = CONTENT_RAW;
	for (int i = 1; error == 0 && lost == UINT64_MAX && i < 3000; i++) {
		memcpy(old, memory.bytes, memory.medium.size);
		for (uint64_t lba = 0; error == 0 && lba < n_blocks; lba++) {
			content_fill(buffer, lba, (uint64_t)i);
			error = do_write(&engine, 0, buffer, lba, 1);
		}
		if (error == 0)
			error = engine_checkpoint(&engine);
		lost = lost_find(&engine, old, n_blocks, &entry);
	}
	ok(error == 0 && lost != UINT64_MAX,
	   "lost write: a record where an older one of the block was");
	memcpy(memory.bytes + entry_off(entry), old + entry_off(entry),
	       entry_len(entry));
	ok(engine_read(&engine, 0, buffer, CONTENT_BYTES,
		       lost * CONTENT_BYTES) == -EIO,
	   "lost write: the older one is an error");
	clean_segment(&engine,
		      (uint32_t)segment_of(&engine.super, entry_off(entry)));
	ok(engine_read(&engine, 0, buffer, CONTENT_BYTES,
		       lost * CONTENT_BYTES) == -EIO,
	   "lost write: and still is when its segment was cleaned");
	engine_abandon(&engine);
	memory_close(&memory);
	free(old);
}

/* --- entries of the map -----------------------------------------------------
 */

static void test_entries(void)
{
	/* the last block of a record, and what seems to be the next one */
	const uint64_t last =
		entry_make(1 << 20, 2 * UNIT_SIZE, 32) + 31 * ENTRY_INDEX_ONE;
	const struct super super = { .segment_size = 1 << 20, .n_segments = 4 };

	ok(map_entry_is_sane(&super, 0) &&
		   map_entry_is_sane(&super, ENTRY_ZERO) &&
		   map_entry_is_sane(&super, ENTRY_BAD) &&
		   map_entry_is_sane(&super, last + (8192 / UNIT_SIZE)),
	   "entries: nothing, zero, lost and data");
	ok(entry_state(last + ENTRY_INDEX_ONE) != BLOCK_DATA &&
		   !map_entry_is_sane(&super, last + ENTRY_INDEX_ONE) &&
		   !map_entry_is_sane(&super, ENTRY_ZERO + 1) &&
		   !map_entry_is_sane(&super, 1) &&
		   !map_entry_is_sane(&super, ENTRY_BAD - 1),
	   "entries: what is no data refers to nothing");
}

/* --- many writers -----------------------------------------------------------
 */

struct writer {
	pthread_t thread;
	struct engine *engine;
	unsigned int number;
	int error; /* but for -ENOSPC */
};

/* Write large records anywhere, until there is no space. */
static void *writer_main(void *arg)
{
	struct writer *writer = arg;
	uint64_t n_blocks = writer->engine->super.size / BLOCK_SIZE - RECORDS;
	uint64_t random = 77 * writer->number + 1;
	unsigned char *blocks = aligned_alloc(64, RECORDS * CONTENT_BYTES);
	int error = 0;

	for (int n_full = 0; error == 0 && n_full < 3;) {
		uint64_t lba = content_random(&random) % n_blocks;

		for (uint32_t i = 0; i < RECORDS; i++)
			content_fill(blocks + i * CONTENT_BYTES, lba + i, 1);
		error = do_write(writer->engine, writer->number, blocks, lba,
				 RECORDS);
		n_full += error == -ENOSPC;
		if (error == -ENOSPC)
			error = 0;
	}
	free(blocks);
	writer->error = error;
	return NULL;
}

static void test_writers(void)
{
	const struct format_options format = { .level = 1,
					       .nonce = 5,
					       .segment_size = 64 << 10,
					       .size = 1 << 30,
					       .may_overcommit = true };
	const struct engine_options options = { .n_workers = WRITERS,
						.map_cache = 4 << 20 };
	struct writer writers[WRITERS];
	struct memory memory = { 0 };
	struct engine engine;
	uint64_t n_refused = 0;
	bool is_good = true;

	content_kind = CONTENT_RAW;
	ok(volume_make(&engine, &memory, 8 << 20, &format, &options),
	   "writers: made");
	for (unsigned int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ .engine = &engine, .number = i };
		pthread_create(&writers[i].thread, NULL, writer_main,
			       &writers[i]);
	}
	for (unsigned int i = 0; i < WRITERS; i++) {
		pthread_join(writers[i].thread, NULL);
		is_good = is_good && writers[i].error == 0;
	}
	ok(is_good, "writers: %d at once, until it is full", WRITERS);
	for (uint64_t lba = 0; lba < engine.super.size / BLOCK_SIZE;
	     lba += PAGE_ENTRIES)
		n_refused += do_discard(&engine, lba, 16) != 0;
	ok(n_refused == 0, "writers: then discards find space (%llu did not)",
	   (unsigned long long)n_refused);
	ok(engine_flush(&engine) == 0 && engine_close(&engine) == 0,
	   "writers: flushes, closes");
	memory_close(&memory);
}

/* --- a full file system -----------------------------------------------------
 */

static struct full {
	bool *is_allocated; /* blocks */
	uint64_t left;
	uint64_t n_calls;
} full;

static int full_allocate(struct medium *medium, uint64_t off, uint64_t len)
{
	uint64_t n = 0;

	(void)medium;
	full.n_calls++;
	for (uint64_t i = off / BLOCK_SIZE; i < (off + len) / BLOCK_SIZE; i++)
		n += !full.is_allocated[i];
	if (n > full.left)
		return -ENOSPC;
	memset(full.is_allocated + off / BLOCK_SIZE, true, len / BLOCK_SIZE);
	full.left -= n;
	return 0;
}

static void test_calls(void)
{
	const struct format_options format = { .level = 1,
					       .nonce = 5,
					       .segment_size = 64 << 10 };
	const struct engine_options options = { .n_workers = 1,
						.is_manual = true };
	struct memory memory = { 0 };
	struct engine engine;
	uint64_t lba = 0;
	int error = 0;

	memory_open(&memory, 128 << 20);
	full.is_allocated = calloc(memory.medium.size / BLOCK_SIZE, 1);
	full.left = (8 << 20) / BLOCK_SIZE;
	memory.medium.allocate = full_allocate;
	memory.medium.punch = NULL;
	ok(volume_make(&engine, &memory, 0, &format, &options), "calls: made");
	for (content_kind = CONTENT_RAW; error == 0; lba++) {
		content_fill(buffer, lba, 1);
		error = do_write(&engine, 0, buffer, lba, 1);
	}
	full.n_calls = 0;
	error = do_write(&engine, 0, buffer, lba, 1);
	ok(error == -ENOSPC && full.n_calls <= 2 * SEGMENTS_TRIED &&
		   engine.super.n_segments > 8 * SEGMENTS_TRIED,
	   "calls: a write that fails tries %llu of %u segments",
	   (unsigned long long)full.n_calls, engine.super.n_segments);
	engine_abandon(&engine);
	memory_close(&memory);
	free(full.is_allocated);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(DEADLINE_S);
	test_lost_write();
	test_entries();
	test_writers();
	test_calls();
	return tap_done();
}
