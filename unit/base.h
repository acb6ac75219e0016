/* SPDX-License-Identifier: MIT */
/*
 * base.h - compressed volumes that are to be damaged: how they are made, and
 * what has to be on them.
 */
#ifndef BDUS_UNIT_BASE_H
#define BDUS_UNIT_BASE_H

#include "content.h"
#include "drivers/compress/repair.h"
#include "memory.h"

#define N_SENTINELS 8

/* A volume, what has to be on it, and where that is. */
struct base {
	struct memory memory;
	struct super super;
	uint64_t n_blocks;
	uint64_t n_used; /* blocks from there on were never written */
	uint64_t *versions;
	uint64_t *entries;
	unsigned char *whole;
	uint64_t map_size;    /* bytes of each slot of the map */
	bool has_lost;	      /* blocks were lost in an earlier repair */
	struct range *places; /* bytes that matter */
	size_t n_places;
	uint64_t random;
	uint64_t version;
	const char *name;
};

static const struct engine_options options = { .n_workers = 1,
					       .map_cache = 1,
					       .is_manual = true };
static const struct engine_options options_read = { .n_workers = 1,
						    .map_cache = 1,
						    .is_read_only = true };
static unsigned char buffer[64 * CONTENT_BYTES];

static uint64_t number(const char *name, uint64_t def)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 0) : def;
}

static uint64_t pick(uint64_t *random, uint64_t n)
{
	return content_random(random) % n;
}

/* --- volumes ----------------------------------------------------------------
 */

static int base_write(struct base *base, struct engine *engine, uint64_t lba,
		      uint32_t n)
{
	struct waiter waiter;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t version =
			pick(&base->random, 12) ? ++base->version : 0;

		content_fill(buffer + i * CONTENT_BYTES, lba + i, version);
		base->versions[lba + i] = version;
	}
	waiter_init(&waiter);
	return waiter_wait(&waiter, engine,
			   engine_write(engine, 0, buffer, n * CONTENT_BYTES,
					lba * CONTENT_BYTES, &waiter.commit));
}

static int base_zero(struct base *base, struct engine *engine, uint64_t lba,
		     uint32_t n)
{
	struct waiter waiter;

	memset(base->versions + lba, 0, n * sizeof(*base->versions));
	waiter_init(&waiter);
	return waiter_wait(&waiter, engine,
			   engine_zero(engine, n * CONTENT_BYTES,
				       lba * CONTENT_BYTES,
				       pick(&base->random, 2), &waiter.commit));
}

static int base_step(struct base *base, struct engine *engine)
{
	uint32_t n = 1 + (uint32_t)pick(&base->random, 12);
	uint64_t lba = pick(&base->random, base->n_used - n);

	switch (pick(&base->random, 40)) {
	case 0:
		return engine_checkpoint(engine);
	case 1 ... 6:
		return engine_flush(engine);
	case 7 ... 10:
		return base_zero(base, engine, lba, n);
	default:
		return base_write(base, engine, lba, n);
	}
}

/* Of a write that was not synced: all, nothing or some of its sectors. */
static void base_tear(struct base *base, const struct memory_op *op,
		      const unsigned char *before)
{
	uint64_t how = pick(&base->random, 3);

	for (uint32_t i = 0; i < op->len; i += 512)
		if (how == 1 || (how == 2 && pick(&base->random, 2)))
			memcpy(base->memory.bytes + op->off + i,
			       before + op->off + i, 512);
}

/* What is read is what counts: another test tells that it is right. */
static int base_learn(struct base *base, struct engine *engine)
{
	int error = 0;

	for (uint64_t lba = 0; error == 0 && lba < base->n_used; lba++) {
		error = engine_read(engine, 0, buffer, CONTENT_BYTES,
				    lba * CONTENT_BYTES);
		base->versions[lba] = content_version(buffer);
		if (error == 0 && !content_is(buffer, lba, base->versions[lba]))
			error = -EBADMSG;
	}
	return error;
}

/* The machine fails in the middle of writes; then there is a new session. */
static int base_crash(struct base *base, struct engine *engine)
{
	struct memory *memory = &base->memory;
	unsigned char *before = malloc(memory->medium.size);
	uint64_t n = 1 + pick(&base->random, 40);
	uint32_t first = 0;
	int error = engine_flush(engine);

	memcpy(before, memory->bytes, memory->medium.size);
	memory->is_recording = true;
	for (uint64_t i = 0; error == 0 && i < n; i++) {
		uint32_t len = 1 + (uint32_t)pick(&base->random, 12);
		uint64_t lba = pick(&base->random, base->n_used - len);

		error = pick(&base->random, 6) == 0 ?
				base_zero(base, engine, lba, len) :
				base_write(base, engine, lba, len);
	}
	engine_abandon(engine);
	memory->is_recording = false;
	for (uint32_t i = 0; i < memory->n_ops; i++)
		if (memory->ops[i].len == 0)
			first = memory->ops[i].covers;
	for (uint32_t i = 0; i < first; i++)
		if (memory->ops[i].len > 0)
			memcpy(before + memory->ops[i].off, memory->ops[i].data,
			       memory->ops[i].len);
	for (uint32_t i = first; i < memory->n_ops; i++)
		base_tear(base, &memory->ops[i], before);
	memory_forget(memory);
	free(before);
	if (error == 0)
		error = engine_open(engine, &memory->medium, &options);
	return error == 0 ? base_learn(base, engine) : error;
}

/* Batches that prove of all before that they were durable. */
static int base_seal(struct base *base, struct engine *engine)
{
	int error = engine_flush(engine);

	for (int i = 0; error == 0 && i < N_SENTINELS; i++) {
		error = base_write(base, engine, base->n_used, 1);
		if (error == 0)
			error = engine_flush(engine);
	}
	return error;
}

static int base_fill(struct base *base, uint64_t steps, bool is_crashed,
		     bool is_torn)
{
	struct engine engine;
	int error = engine_open(&engine, &base->memory.medium, &options);

	for (uint64_t i = 0; error == 0 && i < steps; i++) {
		error = base_step(base, &engine);
		if (error == 0 && is_torn && i % 16 == 15)
			error = base_crash(base, &engine);
		if (error != 0 || i != steps / 2)
			continue;
		error = engine_close(&engine);
		if (error == 0)
			error = engine_open(&engine, &base->memory.medium,
					    &options);
	}
	if (error == 0)
		error = base_seal(base, &engine);
	if (error != 0 || is_crashed) {
		engine_abandon(&engine);
		return error;
	}
	return engine_close(&engine);
}

static void base_add_place(struct base *base, uint64_t off, uint64_t len)
{
	base->places = realloc(base->places,
			       (base->n_places + 1) * sizeof(*base->places));
	base->places[base->n_places++] = (struct range){ off, len };
}

/* Where its structures are, and which record each block is in. */
static int base_find(struct base *base)
{
	struct engine engine;
	int error = engine_open(&engine, &base->memory.medium, &options_read);

	if (error != 0)
		return error;
	base->super = engine.super;
	base->map_size = map_pages(base->super.size, base->super.n_segments) *
			 BLOCK_SIZE;
	for (uint64_t i = 0; i < base->n_blocks; i++)
		map_look(&engine.map, i, 1, &base->entries[i]);
	for (int i = 0; i < 2; i++) {
		base_add_place(base, SUPER_OFF(i), SUPER_SIZE);
		base_add_place(base, base->super.map_off[i], base->map_size);
	}
	base_add_place(base, base->super.medium_size - BLOCK_SIZE, SUPER_SIZE);
	base_add_place(base,
		       segment_off(&base->super, base->super.position.segment),
		       base->super.segment_size);
	base_add_place(base,
		       segment_off(&base->super, base->super.position.next),
		       base->super.segment_size);
	engine_close(&engine);
	return 0;
}

struct kind {
	const char *name;
	struct format_options format;
	uint64_t medium_size;
	uint64_t n_used;
	uint64_t steps;
	bool is_crashed;
	bool is_torn; /* a machine failed while it was written, several times */
	enum content_kind content;
	bool has_lost; /* blocks were lost in an earlier repair */
};

static const struct kind kinds[] = {
	{ .name = "clean",
	  .format = { .level = 1, .nonce = 31 },
	  .medium_size = 3 << 20,
	  .n_used = 300,
	  .steps = 200,
	  .content = CONTENT_MIXED },
	{ .name = "crashed",
	  .format = { .level = 1, .nonce = 32 },
	  .medium_size = 3 << 20,
	  .n_used = 300,
	  .steps = 200,
	  .is_crashed = true,
	  .content = CONTENT_MIXED },
	{ .name = "raw",
	  .format = { .level = 1, .nonce = 33, .record_blocks = 1 },
	  .medium_size = 3 << 20,
	  .n_used = 200,
	  .steps = 300,
	  .is_crashed = true,
	  .content = CONTENT_RAW },
	{ .name = "wide",
	  .format = { .level = 1,
		      .nonce = 34,
		      .size = 300000ULL << 12,
		      .may_overcommit = true },
	  .medium_size = 9 << 20,
	  .n_used = 2500,
	  .steps = 250,
	  .is_crashed = true,
	  .content = CONTENT_WELL },
	{ .name = "lost",
	  .format = { .level = 1, .nonce = 35 },
	  .medium_size = 3 << 20,
	  .n_used = 200,
	  .steps = 150,
	  .content = CONTENT_RAW,
	  .has_lost = true },
	{ .name = "torn",
	  .format = { .level = 1, .nonce = 36 },
	  .medium_size = 3 << 20,
	  .n_used = 200,
	  .steps = 100,
	  .is_torn = true,
	  .content = CONTENT_MIXED },
	{ .name = "torn raw",
	  .format = { .level = 1, .nonce = 37, .record_blocks = 1 },
	  .medium_size = 3 << 20,
	  .n_used = 150,
	  .steps = 100,
	  .is_crashed = true,
	  .is_torn = true,
	  .content = CONTENT_RAW },
};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Of a block that is lost no version is right. */
#define VERSION_LOST UINT64_MAX

/* Lose some blocks, in a volume that is clean otherwise. */
static int base_lose(struct base *base)
{
	struct repair_options how = { 0 };
	struct ranges ranges = { 0 };
	struct repair repair;
	int error = repair_prepare(&repair, &base->memory.medium, &how);

	if (error != 0)
		return error;
	for (uint64_t lba = 0; error == 0 && lba < base->n_used; lba += 7) {
		base->versions[lba] = VERSION_LOST;
		error = ranges_add(&ranges, lba, 1);
	}
	if (error == 0)
		error = repair_lose(&repair, &ranges);
	if (error == 0)
		error = repair_commit(&repair);
	ranges_free(&ranges);
	repair_free(&repair);
	return error;
}

static bool base_make(struct base *base, const struct kind *kind, uint64_t seed)
{
	const char *reason = NULL;
	int error;

	memset(base, 0, sizeof(*base));
	base->name = kind->name;
	base->has_lost = kind->has_lost;
	base->random = seed;
	content_kind = kind->content;
	memory_open(&base->memory, kind->medium_size);
	error = engine_format(&base->memory.medium, &kind->format, &base->super,
			      &reason);
	base->n_used = kind->n_used;
	base->n_blocks = base->n_used + 40;
	base->versions = calloc(base->n_blocks, sizeof(*base->versions));
	base->entries = calloc(base->n_blocks, sizeof(*base->entries));
	if (error == 0)
		error = base_fill(base, kind->steps, kind->is_crashed,
				  kind->is_torn);
	if (error == 0 && kind->has_lost)
		error = base_lose(base);
	if (error == 0)
		error = base_find(base);
	base->whole = malloc(kind->medium_size);
	memcpy(base->whole, base->memory.bytes, kind->medium_size);
	if (error != 0)
		printf("# %s: %s\n", kind->name,
		       reason != NULL ? reason : strerror(-error));
	return error == 0;
}

static void base_free(struct base *base)
{
	free(base->versions);
	free(base->entries);
	free(base->whole);
	free(base->places);
	memory_close(&base->memory);
}

#endif /* BDUS_UNIT_BASE_H */
