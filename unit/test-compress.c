/* SPDX-License-Identifier: MIT */
/*
 * test-compress - the engine of compressed volumes on a medium in memory:
 * random requests against a model, with reopening and kills between them,
 * threads, full volumes, and a medium that fails.
 *
 * COMPRESS_SEED=N repeats a run, COMPRESS_STEPS=N makes it longer.
 */
#include "content.h"
#include "drivers/compress/engine.h"
#include "memory.h"
#include "tap.h"

#define MAX_BLOCKS 64U
#define N_THREADS 4

struct volume {
	struct memory memory;
	struct engine engine;
	struct super super;
	uint64_t *model; /* version of each block */
	uint64_t n_blocks;
	uint64_t version;
	uint64_t random;
	uint64_t spots; /* the blocks in use are in so many places; 0: all */
	struct engine_options options;
};

static unsigned char buffer[MAX_BLOCKS * CONTENT_BYTES];

static uint64_t number(const char *name, uint64_t def)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 0) : def;
}

static uint64_t pick(struct volume *volume, uint64_t n)
{
	return content_random(&volume->random) % n;
}

static int volume_open(struct volume *volume)
{
	int error = engine_open(&volume->engine, &volume->memory.medium,
				&volume->options);

	if (error != 0)
		printf("# open: %s: %s\n", volume->engine.reason,
		       strerror(-error));
	return error;
}

static bool volume_make(struct volume *volume, uint64_t medium_size,
			const struct format_options *format, uint64_t seed)
{
	const char *reason = NULL;
	int error;

	memset(volume, 0, sizeof(*volume));
	memory_open(&volume->memory, medium_size);
	volume->random = seed;
	volume->options = (struct engine_options){ .n_workers = N_THREADS,
						   .map_cache = 1,
						   .is_manual = true };
	error = engine_format(&volume->memory.medium, format, &volume->super,
			      &reason);
	if (error != 0) {
		printf("# format: %s\n", reason);
		return false;
	}
	volume->n_blocks = volume->super.size / CONTENT_BYTES;
	volume->model = calloc(volume->n_blocks, sizeof(*volume->model));
	return volume_open(volume) == 0;
}

static void volume_free(struct volume *volume)
{
	memory_close(&volume->memory);
	free(volume->model);
}

static int do_write(struct volume *volume, unsigned int worker, const void *buf,
		    uint64_t lba, uint32_t n)
{
	struct waiter waiter;
	int error;

	waiter_init(&waiter);
	error = engine_write(&volume->engine, worker, buf, n * CONTENT_BYTES,
			     lba * CONTENT_BYTES, &waiter.commit);
	return waiter_wait(&waiter, &volume->engine, error);
}

static int do_zero(struct volume *volume, uint64_t lba, uint64_t n,
		   bool may_unmap)
{
	struct waiter waiter;
	int error;

	waiter_init(&waiter);
	error = engine_zero(&volume->engine, n * CONTENT_BYTES,
			    lba * CONTENT_BYTES, may_unmap, &waiter.commit);
	return waiter_wait(&waiter, &volume->engine, error);
}

/* --- model ------------------------------------------------------------------
 */

static int step_write(struct volume *volume, uint64_t lba, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t version = pick(volume, 8) == 0 ? 0 : ++volume->version;

		content_fill(buffer + i * CONTENT_BYTES, lba + i, version);
		volume->model[lba + i] = version;
	}
	return do_write(volume, 0, buffer, lba, n);
}

static int step_zero(struct volume *volume, uint64_t lba, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		volume->model[lba + i] = 0;
	return do_zero(volume, lba, n, pick(volume, 2));
}

static int step_read(struct volume *volume, uint64_t lba, uint32_t n)
{
	int error = engine_read(&volume->engine, 0, buffer, n * CONTENT_BYTES,
				lba * CONTENT_BYTES);

	for (uint32_t i = 0; error == 0 && i < n; i++) {
		if (content_is(buffer + i * CONTENT_BYTES, lba + i,
			       volume->model[lba + i]))
			continue;
		printf("# block %llu: version %llu, not %llu\n",
		       (unsigned long long)lba + i,
		       (unsigned long long)content_version(buffer +
							   i * CONTENT_BYTES),
		       (unsigned long long)volume->model[lba + i]);
		error = -EILSEQ;
	}
	return error;
}

/* Ends it properly or not: nothing that was acknowledged may be lost. */
static int step_reopen(struct volume *volume)
{
	int error = 0;

	if (pick(volume, 2))
		error = engine_close(&volume->engine);
	else
		engine_abandon(&volume->engine);
	return error != 0 ? error : volume_open(volume);
}

static int model_step(struct volume *volume)
{
	uint32_t max = pick(volume, 4) == 0 ? MAX_BLOCKS : 4;
	uint32_t n = 1 + (uint32_t)pick(volume, max);
	uint64_t lba = pick(volume, volume->n_blocks - n);

	if (volume->spots != 0) {
		n = n > 4 ? 4 : n;
		lba = lba % volume->spots * (volume->n_blocks / volume->spots);
	}
	switch (pick(volume, 100)) {
	case 0:
		return step_reopen(volume);
	case 1:
		return engine_checkpoint(&volume->engine);
	case 2:
	case 3:
	case 4:
		return engine_flush(&volume->engine);
	case 5 ... 12:
		return step_zero(volume, lba, n);
	case 13 ... 40:
		return step_read(volume, lba, n);
	default:
		return step_write(volume, lba, n);
	}
}

static int model_compare(struct volume *volume)
{
	int error = 0;

	for (uint64_t lba = 0; error == 0 && lba < volume->n_blocks;) {
		uint64_t left = volume->n_blocks - lba;
		uint32_t n = left < MAX_BLOCKS ? (uint32_t)left : MAX_BLOCKS;

		error = step_read(volume, lba, n);
		lba += n;
	}
	return error;
}

static void report(const struct volume *volume, const char *what)
{
	const struct engine *engine = &volume->engine;

	printf("# %s: %u segments, %u free, %u reserve, live %llu of %llu, "
	       "cleaned %llu, checkpoints %llu, misses %llu\n",
	       what, engine->super.n_segments, engine->map.space.n_free,
	       engine->super.n_reserve,
	       (unsigned long long)engine->map.space.live_bytes,
	       (unsigned long long)engine->usable,
	       (unsigned long long)engine->n_cleaned,
	       (unsigned long long)engine->n_checkpoints,
	       (unsigned long long)engine->map.n_misses);
}

static void test_model(const char *what, uint64_t medium_size,
		       const struct format_options *format, uint64_t seed,
		       uint64_t spots)
{
	uint64_t steps = number("COMPRESS_STEPS", 20000), i;
	struct volume volume;
	int error = 0;

	if (!ok(volume_make(&volume, medium_size, format, seed), "%s: made",
		what))
		return;
	volume.spots = spots;
	for (i = 0; error == 0 && i < steps; i++)
		error = model_step(&volume);
	ok(error == 0, "%s: %llu steps, seed %llu: %s", what,
	   (unsigned long long)i, (unsigned long long)seed, strerror(-error));
	error = model_compare(&volume);
	ok(error == 0, "%s: content is the model's: %s", what,
	   strerror(-error));
	report(&volume, what);
	ok(engine_close(&volume.engine) == 0, "%s: closes", what);
	volume_free(&volume);
}

static void test_models(void)
{
	static const struct {
		const char *what;
		enum content_kind kind;
		uint64_t spots;
		uint64_t medium_size;
		struct format_options format;
	} cases[] = {
		{ "mixed", CONTENT_MIXED, 0, 4 << 20, { .nonce = 11 } },
		{ "raw, full", CONTENT_RAW, 0, 4 << 20, { .nonce = 12 } },
		{ "half, large segments",
		  CONTENT_HALF,
		  0,
		  32 << 20,
		  { .nonce = 13, .segment_size = 1 << 20 } },
		{ "sparse",
		  CONTENT_MIXED,
		  1300,
		  48 << 20,
		  { .nonce = 14, .size = 3ULL << 30, .may_overcommit = true } },
	};
	uint64_t seed = number("COMPRESS_SEED", 1);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		content_kind = cases[i].kind;
		test_model(cases[i].what, cases[i].medium_size,
			   &cases[i].format, seed + i, cases[i].spots);
	}
	content_kind = CONTENT_MIXED;
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	test_models();
	return tap_done();
}
