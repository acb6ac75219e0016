/* SPDX-License-Identifier: MIT */
/*
 * test-compress-repair - repairs of compressed volumes, one kind of damage or
 * failure after the other, where the random ones of test-compress-damage are
 * rare or have no say.
 */
#include "base.h"
#include "drivers/compress/check.h"
#include "drivers/compress/rooms.h"
#include "tap.h"

#define MEDIUM_SIZE (3ULL << 20)
/* What is read of a block that cannot be. */
#define VERSION_ERROR (UINT64_MAX - 1)

/* A volume, and what was said of it. */
struct volume {
	struct memory memory;
	struct engine engine;
	struct super super; /* as it was read last */
};

/* What a repair did. */
struct result {
	int error;
	bool is_needed;
	bool is_stale;
	uint64_t n_lost;
};

static void must(bool is_done, const char *what)
{
	if (is_done)
		return;
	printf("Bail out! %s\n", what);
	exit(1);
}

/* Each block is a record of its own, and cannot be packed. */
static void volume_make(struct volume *volume)
{
	struct format_options format = { .level = 1,
					 .nonce = 77,
					 .record_blocks = 1 };
	const char *reason;

	*volume = (struct volume){ 0 };
	memory_open(&volume->memory, MEDIUM_SIZE);
	content_kind = CONTENT_RAW;
	must(engine_format(&volume->memory.medium, &format, &volume->super,
			   &reason) == 0,
	     "format");
}

static void volume_free(struct volume *volume)
{
	memory_close(&volume->memory);
}

static void volume_open(struct volume *volume)
{
	must(engine_open(&volume->engine, &volume->memory.medium, &options) ==
		     0,
	     "open");
}

static void volume_put(struct volume *volume, uint64_t lba, uint32_t n,
		       uint64_t version)
{
	struct waiter waiter;

	for (uint32_t i = 0; i < n; i++)
		content_fill(buffer + (size_t)i * CONTENT_BYTES, lba + i,
			     version);
	waiter_init(&waiter);
	must(waiter_wait(&waiter, &volume->engine,
			 engine_write(&volume->engine, 0, buffer,
				      n * CONTENT_BYTES, lba * CONTENT_BYTES,
				      &waiter.commit)) == 0,
	     "write");
}

static void volume_flush(struct volume *volume)
{
	must(engine_flush(&volume->engine) == 0, "flush");
}

/* Write a block until the log goes on in another segment. */
static void volume_fill_segment(struct volume *volume, uint64_t lba,
				uint64_t *version)
{
	uint32_t segment = volume->engine.log.end.segment;

	while (volume->engine.log.end.segment == segment)
		volume_put(volume, lba, 1, ++*version);
	volume_flush(volume);
}

static void volume_close(struct volume *volume)
{
	must(engine_close(&volume->engine) == 0, "close");
}

/* The version of a block, from a fresh start; or an error. */
static uint64_t volume_version(struct volume *volume, uint64_t lba)
{
	struct engine engine;
	uint64_t version = VERSION_ERROR;

	if (engine_open(&engine, &volume->memory.medium, &options_read) != 0)
		return VERSION_ERROR;
	if (engine_read(&engine, 0, buffer, CONTENT_BYTES,
			lba * CONTENT_BYTES) == 0)
		version = content_version(buffer);
	engine_close(&engine);
	return version;
}

/* Read what the superblock says. */
static void volume_look(struct volume *volume)
{
	struct engine engine;

	must(engine_open(&engine, &volume->memory.medium, &options_read) == 0,
	     "open to look");
	volume->super = engine.super;
	engine_close(&engine);
}

/* One bit of the first page that tells of blocks, likewise. */
static void volume_hurt_leaf(struct volume *volume)
{
	struct engine engine;
	uint64_t leaf;
	uint32_t slot;

	must(engine_open(&engine, &volume->memory.medium, &options_read) == 0,
	     "open to look");
	leaf = n_segment_pages(&engine.super);
	slot = engine.map.tree.levels[0].refs[leaf].flags & PAGE_SLOT;
	volume->memory
		.bytes[engine.super.map_off[slot] + leaf * BLOCK_SIZE + 1000] ^=
		1;
	engine_close(&engine);
}

/* The first page of the map that tells of blocks, in both slots. */
static void volume_lose_leaf(struct volume *volume)
{
	uint64_t leaf;

	volume_look(volume);
	leaf = n_segment_pages(&volume->super);
	for (int slot = 0; slot < 2; slot++)
		memset(volume->memory.bytes + volume->super.map_off[slot] +
			       leaf * BLOCK_SIZE,
		       0, BLOCK_SIZE);
}

static uint64_t volume_entry(struct volume *volume, uint64_t lba)
{
	uint64_t entry;

	must(map_look(&volume->engine.map, lba, 1, &entry) == 0, "look");
	return entry;
}

static struct result volume_repair(struct volume *volume)
{
	struct repair_options how = { 0 };
	struct check check = { 0 };
	struct result result = { 0 };
	struct repair repair;

	result.error = repair_prepare(&repair, &volume->memory.medium, &how);
	if (result.error != 0)
		return result;
	result.error = check_volume(&repair.engine, true, &check);
	if (result.error == 0)
		result.error = repair_lose(&repair, &check.lost);
	result.is_needed = repair_is_needed(&repair);
	result.is_stale = repair.is_stale;
	result.n_lost = repair.lost.n_blocks;
	if (result.error == 0 && result.is_needed)
		result.error = repair_commit(&repair);
	ranges_free(&check.lost);
	repair_free(&repair);
	return result;
}

/* One bit of the root of the map, in the slot that counts. */
static void volume_hurt_root(struct volume *volume)
{
	uint64_t root;

	volume_look(volume);
	root = map_pages(volume->super.size, volume->super.n_segments) - 1;
	volume->memory.bytes[volume->super.map_off[volume->super.root.flags &
						   PAGE_SLOT] +
			     root * BLOCK_SIZE + 100] ^= 1;
}

/* --- failures ---------------------------------------------------------------
 */

/*
 * Each write or sync of a repair fails, but what follows does not. There is no
 * superblock at the end that could make good what a failure does to the others.
 */
static void test_fails_once(void)
{
	bool is_good = true, has_failed = true;
	int n;

	for (n = 0; is_good && has_failed; n++) {
		struct volume volume;

		volume_make(&volume);
		volume_open(&volume);
		volume_put(&volume, 5, 1, 1);
		volume_flush(&volume);
		volume_close(&volume);
		volume_hurt_root(&volume);
		memset(volume.memory.bytes + MEDIUM_SIZE - BLOCK_SIZE, 0,
		       BLOCK_SIZE);
		volume.memory.fails_once = true;
		volume.memory.fail_after = n;
		has_failed = volume_repair(&volume).error != 0;
		volume.memory.fail_after = -1;
		/* it is said, and another repair mends it */
		is_good = volume_repair(&volume).error == 0 &&
			  volume_version(&volume, 5) == 1;
		volume_free(&volume);
	}
	ok(is_good && n > 5, "each of %d writes and syncs fails once", n - 1);
}

/* The medium as it was when the last write of superblock A was torn. */
static void volume_cut(struct volume *volume, const unsigned char *before)
{
	struct memory *memory = &volume->memory;
	uint32_t last = 0;

	memcpy(memory->bytes, before, MEDIUM_SIZE);
	for (uint32_t i = 0; i < memory->n_ops; i++)
		if (memory->ops[i].len > 0 &&
		    memory->ops[i].off == SUPER_OFF(0))
			last = i;
	for (uint32_t i = 0; i < last; i++)
		if (memory->ops[i].len > 0)
			memcpy(memory->bytes + memory->ops[i].off,
			       memory->ops[i].data, memory->ops[i].len);
	memset(memory->bytes, 0, BLOCK_SIZE);
	memory->is_recording = false;
	memory_forget(memory);
}

/* A crash has left A newer than B; then a repair is cut off while it writes A.
 */
static void test_two_supers(void)
{
	unsigned char *before = malloc(MEDIUM_SIZE), old[BLOCK_SIZE];
	struct volume volume;
	struct result result;
	bool is_same;

	volume_make(&volume);
	volume_open(&volume);
	volume_put(&volume, 5, 4, 1);
	volume_flush(&volume);
	must(engine_checkpoint(&volume.engine) == 0, "checkpoint");
	memcpy(old, volume.memory.bytes + SUPER_OFF(1), BLOCK_SIZE);
	volume_put(&volume, 5, 4, 2);
	volume_flush(&volume);
	must(engine_checkpoint(&volume.engine) == 0, "checkpoint");
	engine_abandon(&volume.engine);
	memcpy(volume.memory.bytes + SUPER_OFF(1), old, BLOCK_SIZE);
	volume_hurt_leaf(&volume);
	memset(volume.memory.bytes + MEDIUM_SIZE - BLOCK_SIZE, 0, BLOCK_SIZE);
	memcpy(before, volume.memory.bytes, MEDIUM_SIZE);
	volume.memory.is_recording = true;
	must(volume_repair(&volume).error == 0, "repair");
	volume_cut(&volume, before);
	/* pages that only the old one refers to may be written over by then */
	is_same = memcmp(volume.memory.bytes + SUPER_OFF(1), before,
			 BLOCK_SIZE) == 0;
	result = volume_repair(&volume);
	ok(is_same && result.error == 0 && result.n_lost == 0 &&
		   volume_version(&volume, 5) == 2,
	   "superblocks A and B are the same before a repair writes pages");
	free(before);
	volume_free(&volume);
}

/* What stands in for A and B, from the end, is no clean end any more. */
static void test_no_supers(void)
{
	struct volume volume;
	const struct super *super;

	volume_make(&volume);
	volume_open(&volume);
	volume_put(&volume, 5, 1, 1);
	volume_close(&volume);
	memset(volume.memory.bytes, 0, 2 * BLOCK_SIZE);
	/* a sync, and each of A and B with one */
	volume.memory.fail_after = 5;
	must(volume_repair(&volume).error != 0, "the failure is not told");
	super = (const void *)volume.memory.bytes;
	ok(super->flags == SUPER_NEEDS_CHECK,
	   "where a repair began without A and B is marked, and not clean");
	volume_free(&volume);
}

/* A batch that was acknowledged, but is in the cache only. The volume says so.
 */
static void volume_lose_writes(struct volume *volume)
{
	struct memory *memory = &volume->memory;

	volume_make(volume);
	memory_add_cache(memory);
	volume_open(volume);
	volume_put(volume, 5, 4, 1);
	volume_flush(volume);
	memory->is_losing = true;
	volume_put(volume, 5, 4, 2);
	memory->is_losing = false;
	must(engine_flush(&volume->engine) != 0, "the failure is not told");
	engine_abandon(&volume->engine);
}

/* What a cache has is not what is there, and nothing is to refer to it. */
static void test_lost_writes(void)
{
	struct volume volume;
	struct result result;

	volume_lose_writes(&volume);
	result = volume_repair(&volume);
	memory_drop_cache(&volume.memory.medium);
	ok(result.error == 0 && result.is_needed &&
		   volume_version(&volume, 5) == 1,
	   "what was written to a cache only is not made part of the volume");
	volume_free(&volume);
}

/* What the cache cannot write now either must not be dropped unseen. */
static void test_lost_sync(void)
{
	struct volume volume;

	volume_lose_writes(&volume);
	volume.memory.has_lost = true;
	ok(volume_repair(&volume).error == -EIO,
	   "nothing is repaired where a sync fails");
	volume_free(&volume);
}

/* --- what cannot be read ----------------------------------------------------
 */

static void volume_spoil(struct volume *volume, uint64_t off)
{
	volume->memory.bad = (struct range){ off / 512 * 512, 512 };
}

/* Blocks 5 to 8, each with a batch of its own; nobody has ended it. */
static void volume_make_tail(struct volume *volume, uint64_t *entries)
{
	volume_make(volume);
	volume_open(volume);
	for (uint64_t lba = 5; lba < 9; lba++) {
		volume_put(volume, lba, 1, 1);
		volume_flush(volume);
		entries[lba - 5] = volume_entry(volume, lba);
	}
	engine_abandon(&volume->engine);
}

static bool volume_has(struct volume *volume, uint64_t v5, uint64_t v6,
		       uint64_t v7, uint64_t v8)
{
	return volume_version(volume, 5) == v5 &&
	       volume_version(volume, 6) == v6 &&
	       volume_version(volume, 7) == v7 &&
	       volume_version(volume, 8) == v8;
}

/* It is repaired, the sector still cannot be read, and another one is clean. */
static bool volume_is_repaired(struct volume *volume)
{
	struct result result = volume_repair(volume);

	if (result.error != 0 || !result.is_needed)
		return false;
	result = volume_repair(volume);
	return result.error == 0 && !result.is_needed;
}

static void test_bad_tail(void)
{
	struct volume volume;
	uint64_t entries[4];

	volume_make_tail(&volume, entries);
	volume_spoil(&volume, entry_off(entries[1]) + BLOCK_SIZE);
	ok(volume_is_repaired(&volume) &&
		   volume_has(&volume, 1, VERSION_ERROR, 1, 1),
	   "a sector of a record behind the checkpoint");
	volume_free(&volume);

	volume_make_tail(&volume, entries);
	volume_spoil(&volume, entry_off(entries[1]));
	ok(volume_is_repaired(&volume) && volume_has(&volume, 1, 0, 1, 1),
	   "that and the header of its batch");
	volume_look(&volume);
	ok(volume.super.flags & SUPER_MAY_BE_STALE,
	   "then any block may be old, and that is marked");
	volume_free(&volume);
}

/* Nobody knows whether there was a batch. */
static void test_bad_end(void)
{
	struct volume volume;
	uint64_t entries[4];

	volume_make_tail(&volume, entries);
	volume_spoil(&volume, entry_off(entries[3]) + BLOCK_SIZE);
	ok(volume_is_repaired(&volume) &&
		   volume_has(&volume, 1, 1, 1, VERSION_ERROR),
	   "a sector of the last batch");
	volume_look(&volume);
	ok(volume.super.flags & SUPER_MAY_BE_STALE,
	   "there may have been more: that is marked, too");
	volume_free(&volume);
}

/* After a clean end there was nothing. */
static void test_bad_clean_end(void)
{
	struct volume volume;
	bool is_good;

	volume_make(&volume);
	volume_open(&volume);
	volume_put(&volume, 5, 4, 1);
	volume_close(&volume);
	volume_look(&volume);
	volume_spoil(&volume,
		     segment_off(&volume.super, volume.super.position.segment) +
			     volume.super.position.off);
	is_good = volume_has(&volume, 1, 1, 1, 1) &&
		  volume_is_repaired(&volume) &&
		  volume_has(&volume, 1, 1, 1, 1);
	volume_open(&volume);
	volume_put(&volume, 6, 1, 2);
	volume_flush(&volume);
	engine_abandon(&volume.engine);
	ok(is_good && volume_has(&volume, 1, 2, 1, 1),
	   "a sector behind the end of the log");
	volume_free(&volume);
}

/* The log goes on there some day, but did not as long as there was room. */
static void test_bad_next(void)
{
	struct volume volume;
	struct result result;
	bool is_good;

	volume_make(&volume);
	volume_open(&volume);
	volume_put(&volume, 5, 4, 1);
	volume_flush(&volume);
	volume_spoil(&volume,
		     segment_off(&volume.super, volume.engine.log.end.next));
	engine_abandon(&volume.engine);
	is_good = volume_has(&volume, 1, 1, 1, 1);
	result = volume_repair(&volume);
	ok(is_good && result.error == 0 && !result.is_needed,
	   "a sector of the next segment's head");
	volume_free(&volume);
}

/* Of three segments the first one is lost, of the second one the head. */
static void test_lost_head(void)
{
	struct volume volume;
	struct result result;
	uint64_t number = 0, off[2];

	volume_make(&volume);
	volume_open(&volume);
	volume_fill_segment(&volume, 10, &number);
	for (uint64_t i = 0; i < 3; i++) {
		if (i < 2)
			off[i] = segment_off(&volume.super,
					     volume.engine.log.end.segment);
		volume_put(&volume, 20 + i, 1, 1);
		volume_fill_segment(&volume, 30 + i, &number);
	}
	volume_put(&volume, 10, 1, 1);
	volume_flush(&volume);
	engine_abandon(&volume.engine);
	memset(volume.memory.bytes + off[0], 0, volume.super.segment_size);
	memset(volume.memory.bytes + off[1], 0, BLOCK_SIZE);
	result = volume_repair(&volume);
	ok(result.error == 0 && result.is_stale &&
		   volume_version(&volume, 20) == 0 &&
		   volume_version(&volume, 21) == 1 &&
		   volume_version(&volume, 22) == 1,
	   "a segment that nothing leads to, whose head is lost");
	volume_free(&volume);
}

/* A record in the place of the first batch's head: the map could not have it.
 */
static void test_misplaced(void)
{
	struct volume volume;
	struct result result;
	uint64_t entries[4];
	unsigned char *record;

	volume_make_tail(&volume, entries);
	record = volume.memory.bytes + entry_off(entries[0]);
	memmove(record - sizeof(struct batch_head), record,
		entry_len(entries[0]));
	result = volume_repair(&volume);
	ok(result.error == 0 && result.is_stale &&
		   volume_has(&volume, 0, 1, 1, 1),
	   "a record where none can be");
	volume_free(&volume);
}

/* --- what a crash cut off ---------------------------------------------------
 */

/* After the crash there is a session more. Then a page of the map is lost. */
static void torn_end(struct volume *volume)
{
	volume_open(volume);
	volume_put(volume, 100, 1, 7);
	volume_flush(volume);
	volume_close(volume);
	volume_lose_leaf(volume);
}

/* The last batch, of which a record did not get there. */
static void test_torn_batch(void)
{
	struct volume volume;
	struct result result;
	uint64_t last;

	volume_make(&volume);
	volume_open(&volume);
	volume_put(&volume, 5, 4, 1);
	volume_flush(&volume);
	volume_put(&volume, 5, 4, 2);
	last = entry_off(volume_entry(&volume, 8));
	engine_abandon(&volume.engine);
	memset(volume.memory.bytes + last, 0, BLOCK_SIZE);
	torn_end(&volume);
	result = volume_repair(&volume);
	ok(result.error == 0 && result.n_lost == 0 &&
		   volume_version(&volume, 5) == 1,
	   "what is in a batch that a crash tore is not taken");
	volume_free(&volume);
}

/* In a segment that is full then, nothing but a payload is missing. */
static void test_torn_payload(void)
{
	struct volume volume;
	struct result result;
	uint64_t last;

	volume_make(&volume);
	volume_open(&volume);
	volume_put(&volume, 5, 2, 1);
	for (uint64_t i = 0; i < 4; i++)
		volume_put(&volume, 200 + i, 1, 1);
	volume_flush(&volume);
	volume_put(&volume, 5, 2, 2);
	last = entry_off(volume_entry(&volume, 6));
	engine_abandon(&volume.engine);
	memset(volume.memory.bytes + last + BLOCK_SIZE / 2, 0, 1024);
	torn_end(&volume);
	result = volume_repair(&volume);
	ok(result.error == 0 && result.n_lost == 0 &&
		   volume_version(&volume, 5) == 1 &&
		   volume_version(&volume, 6) == 1,
	   "nor of one whose payload was torn");
	volume_free(&volume);
}

static void volume_trim(struct volume *volume, uint64_t lba)
{
	struct waiter waiter;

	waiter_init(&waiter);
	must(waiter_wait(&waiter, &volume->engine,
			 engine_zero(&volume->engine, CONTENT_BYTES,
				     lba * CONTENT_BYTES, true,
				     &waiter.commit)) == 0,
	     "discard");
}

/*
 * What was cut off goes on in a segment of its own, with a block that has a
 * version elsewhere, where there is another one that was discarded since. What
 * told of that is not there any more.
 */
static void test_torn_segment(void)
{
	uint64_t number = 1000, torn;
	struct volume volume;
	struct result result;
	uint32_t segment;

	volume_make(&volume);
	volume_open(&volume);
	volume_put(&volume, 50, 1, 1);
	volume_put(&volume, 5, 1, 1);
	volume_put(&volume, 60, 2, 1);
	volume_fill_segment(&volume, 300, &number);
	volume_fill_segment(&volume, 301, &number);
	volume_trim(&volume, 50);
	volume_fill_segment(&volume, 300, &number);
	volume_put(&volume, 300, 1, ++number);
	volume_flush(&volume);
	must(engine_checkpoint(&volume.engine) == 0, "checkpoint");
	must(engine_checkpoint(&volume.engine) == 0, "checkpoint");
	volume_put(&volume, 301, 1, 1);
	volume_flush(&volume);
	/* from here on nothing is flushed */
	segment = volume.engine.log.end.segment;
	volume_put(&volume, 302, 1, 5);
	torn = entry_off(volume_entry(&volume, 302));
	while (volume.engine.log.end.segment == segment)
		volume_put(&volume, 302, 1, ++number);
	volume_put(&volume, 5, 1, 2);
	engine_abandon(&volume.engine);
	memset(volume.memory.bytes + torn / BLOCK_SIZE * BLOCK_SIZE, 0,
	       2 * BLOCK_SIZE);
	torn_end(&volume);
	result = volume_repair(&volume);
	ok(result.error == 0 &&
		   (volume_version(&volume, 5) == 1 ||
		    volume_version(&volume, 5) == VERSION_ERROR) &&
		   (volume_version(&volume, 50) == 0 ||
		    volume_version(&volume, 50) == VERSION_ERROR),
	   "nor is it counted as what is live elsewhere");
	volume_free(&volume);
}

/* --- a small cache ----------------------------------------------------------
 */

static void count_segments(void *arg, uint64_t done)
{
	(void)done;
	++*(uint64_t *)arg;
}

/* All of a map that is far larger than the cache to begin with. */
static void test_large_map(void)
{
	uint64_t n_told = 0;
	struct repair_options how = { .map_cache = 1,
				      .tell = count_segments,
				      .arg = &n_told };
	const struct kind *kind = &kinds[0];
	struct repair repair;
	struct base base;
	int error;

	while (strcmp(kind->name, "wide") != 0)
		kind++;
	must(base_make(&base, kind, number("COMPRESS_SEED", 1)), "make");
	for (int slot = 0; slot < 2; slot++)
		memset(base.memory.bytes + base.super.map_off[slot], 0,
		       base.map_size);
	error = repair_prepare(&repair, &base.memory.medium, &how);
	ok(error == 0 && n_told == base.super.n_segments,
	   "a map of %zu pages is rebuilt with one look at the log",
	   repair.n_leaves);
	if (error == 0)
		repair_free(&repair);
	base_free(&base);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	test_large_map();
	test_fails_once();
	test_two_supers();
	test_no_supers();
	test_lost_writes();
	test_lost_sync();
	test_bad_tail();
	test_bad_end();
	test_bad_clean_end();
	test_bad_next();
	test_lost_head();
	test_misplaced();
	test_torn_batch();
	test_torn_payload();
	test_torn_segment();
	return tap_done();
}
