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

/* --- threads ----------------------------------------------------------------
 */

struct part {
	struct volume *volume;
	unsigned int worker;
	uint64_t random;
	uint64_t n_steps;
	int error;
};

/* Blocks of a thread's own, each N_THREADS-th group of four. */
static uint64_t part_block(struct part *part)
{
	uint64_t groups = part->volume->n_blocks / 4 / N_THREADS;

	return (content_random(&part->random) % groups * N_THREADS +
		part->worker) *
	       4;
}

static int part_step(struct part *part)
{
	struct volume *volume = part->volume;
	uint64_t lba = part_block(part);
	uint64_t what = content_random(&part->random) % 16;
	unsigned char data[4 * CONTENT_BYTES];
	int error = 0;

	if (what == 0)
		return engine_flush(&volume->engine);
	if (what < 8) {
		for (uint32_t i = 0; i < 4; i++)
			content_fill(data + i * CONTENT_BYTES, lba + i,
				     ++volume->model[lba + i]);
		return do_write(volume, part->worker, data, lba, 4);
	}
	if (what == 8) {
		memset(&volume->model[lba], 0, 4 * sizeof(uint64_t));
		return do_zero(volume, lba, 4, true);
	}
	error = engine_read(&volume->engine, part->worker, data, sizeof(data),
			    lba * CONTENT_BYTES);
	for (uint32_t i = 0; error == 0 && i < 4; i++)
		if (!content_is(data + i * CONTENT_BYTES, lba + i,
				volume->model[lba + i]))
			error = -EILSEQ;
	return error;
}

static void *part_main(void *arg)
{
	struct part *part = arg;

	for (uint64_t i = 0; part->error == 0 && i < part->n_steps; i++)
		part->error = part_step(part);
	return NULL;
}

/* On a volume that is nearly full: the cleaner moves what they write. */
static void test_threads(const char *what, enum content_kind kind,
			 const struct format_options *format)
{
	uint64_t n_steps = number("COMPRESS_STEPS", 8000);
	pthread_t threads[N_THREADS];
	struct part parts[N_THREADS];
	struct volume volume;
	int error = 0;

	content_kind = kind;
	ok(volume_make(&volume, 6 << 20, format, 1) &&
		   engine_close(&volume.engine) == 0,
	   "%s: made", what);
	volume.options.is_manual = false;
	volume.options.checkpoint_bytes = 1 << 20;
	/* all of them make the first write */
	ok(engine_prepare(&volume.engine, &volume.memory.medium,
			  &volume.options) == 0 &&
		   engine_start(&volume.engine, false) == 0,
	   "%s: opens", what);
	for (unsigned int i = 0; i < N_THREADS; i++) {
		parts[i] = (struct part){ .volume = &volume,
					  .worker = i,
					  .random = i,
					  .n_steps = n_steps };
		pthread_create(&threads[i], NULL, part_main, &parts[i]);
	}
	for (unsigned int i = 0; i < N_THREADS; i++) {
		pthread_join(threads[i], NULL);
		if (parts[i].error != 0)
			error = parts[i].error;
	}
	ok(error == 0, "%s: %u threads, %llu steps each: %s", what, N_THREADS,
	   (unsigned long long)n_steps, strerror(-error));
	engine_abandon(&volume.engine);
	report(&volume, what);
	ok(volume.engine.n_cleaned > 0, "%s: the cleaner had work", what);
	ok(volume_open(&volume) == 0 && model_compare(&volume) == 0,
	   "%s: content is the model's after a kill", what);
	ok(engine_close(&volume.engine) == 0, "%s: closes", what);
	volume_free(&volume);
	content_kind = CONTENT_MIXED;
}

/* --- full -------------------------------------------------------------------
 */

/* Write a whole volume in pieces. Return: 0, or the first error. */
static int fill(struct volume *volume, uint32_t n, uint64_t *written)
{
	int error = 0;

	for (*written = 0; error == 0 && *written + n <= volume->n_blocks;) {
		for (uint32_t i = 0; i < n; i++)
			content_fill(buffer + i * CONTENT_BYTES, *written + i,
				     volume->model[*written + i] =
					     ++volume->version);
		error = do_write(volume, 0, buffer, *written, n);
		if (error == 0)
			*written += n;
	}
	return error;
}

/* Every block is in use, and none can be packed: it must go on all the same. */
static void test_full(void)
{
	uint64_t steps = number("COMPRESS_STEPS", 3000), i, written;
	struct format_options format = { .nonce = 31 };
	struct volume volume;
	int error;

	content_kind = CONTENT_RAW;
	ok(volume_make(&volume, 8 << 20, &format, 7), "full: made");
	error = fill(&volume, 1, &written);
	ok(error == 0 && written == volume.n_blocks, "full: %llu of %llu: %s",
	   (unsigned long long)written, (unsigned long long)volume.n_blocks,
	   strerror(-error));
	for (i = 0; error == 0 && i < steps; i++) {
		uint64_t lba = pick(&volume, volume.n_blocks);

		content_fill(buffer, lba, volume.model[lba] = ++volume.version);
		error = do_write(&volume, 0, buffer, lba, 1);
		if (error == 0)
			error = engine_flush(&volume.engine);
		if (error == 0 && pick(&volume, 200) == 0)
			error = step_reopen(&volume);
	}
	ok(error == 0, "full: %llu flushed overwrites at depth 1: %s",
	   (unsigned long long)i, strerror(-error));
	report(&volume, "full");
	ok(model_compare(&volume) == 0, "full: content is the model's");
	ok(engine_close(&volume.engine) == 0, "full: closes");
	volume_free(&volume);
	content_kind = CONTENT_MIXED;
}

/* More was promised than fits: a clear error, and a way back. */
static void test_overcommit(void)
{
	struct format_options format = { .nonce = 32,
					 .size = 64 << 20,
					 .may_overcommit = true };
	struct volume volume;
	uint64_t written;
	int error;

	content_kind = CONTENT_RAW;
	ok(volume_make(&volume, 8 << 20, &format, 8), "overcommit: made");
	error = fill(&volume, 8, &written);
	ok(error == -ENOSPC, "overcommit: full after %llu of %llu: %s",
	   (unsigned long long)written, (unsigned long long)volume.n_blocks,
	   strerror(-error));
	ok(engine_flush(&volume.engine) == 0, "overcommit: flushes");
	memset(&volume.model[written], 0, 8 * sizeof(uint64_t));
	ok(do_zero(&volume, written, 8, true) == 0, "overcommit: discards");
	ok(model_compare(&volume) == 0, "overcommit: nothing is lost");
	memset(volume.model, 0, written / 2 * sizeof(uint64_t));
	ok(do_zero(&volume, 0, written / 2, true) == 0,
	   "overcommit: discards half of it");
	ok(step_write(&volume, written, 8) == 0, "overcommit: writes again");
	ok(step_reopen(&volume) == 0 && model_compare(&volume) == 0,
	   "overcommit: content is the model's");
	ok(volume.memory.n_punched > 0, "overcommit: gave space back");
	ok(engine_close(&volume.engine) == 0, "overcommit: closes");
	volume_free(&volume);
	content_kind = CONTENT_MIXED;
}

/* --- failures ---------------------------------------------------------------
 */

/*
 * The medium fails from its n-th write or sync on: what was acknowledged and
 * flushed before is there afterwards, no flush succeeds any more, and the
 * volume asks to be checked, where that could still be written.
 */
static bool fails_well(struct volume *volume, int n)
{
	struct engine *engine = &volume->engine;
	uint64_t flushed[256];
	int error = 0, i;

	memcpy(flushed, volume->model, sizeof(flushed));
	volume->memory.fail_after = n;
	for (i = 0; error == 0 && i < 200; i++) {
		uint64_t lba = pick(volume, 256);

		content_fill(buffer, lba,
			     volume->model[lba] = ++volume->version);
		error = do_write(volume, 0, buffer, lba, 1);
		if (error == 0 && i % 8 == 7) {
			error = engine_flush(engine);
			if (error == 0)
				memcpy(flushed, volume->model, sizeof(flushed));
		}
		if (error == 0 && i % 64 == 63)
			error = engine_checkpoint(engine);
	}
	if (error == 0)
		return false;
	volume->memory.fail_after = -1;
	if (engine_flush(engine) == 0 ||
	    do_write(volume, 0, buffer, 0, 1) == 0 ||
	    engine_close(engine) == 0 || volume_open(volume) != 0)
		return false;
	for (uint64_t lba = 0; lba < 256; lba++) {
		if (engine_read(engine, 0, buffer, CONTENT_BYTES,
				lba * CONTENT_BYTES) != 0)
			return false;
		if (content_version(buffer) < flushed[lba])
			return false;
		volume->model[lba] = content_version(buffer);
	}
	return true;
}

static void test_failures(void)
{
	struct format_options format = { .nonce = 33 };
	struct volume volume;
	int n;

	ok(volume_make(&volume, 8 << 20, &format, 9), "failures: made");
	for (n = 0; n < 200; n++)
		if (!fails_well(&volume, n))
			break;
	ok(n == 200, "failures: of each of %d writes and syncs", n);
	engine_abandon(&volume.engine);
	volume_free(&volume);
}

/* --- reading only -----------------------------------------------------------
 */

static void test_read_only(void)
{
	struct format_options format = { .nonce = 34 };
	struct volume volume;
	bool is_good = true;

	ok(volume_make(&volume, 8 << 20, &format, 10), "read-only: made");
	for (int i = 0; is_good && i < 300; i++)
		is_good = step_write(&volume, pick(&volume, 1000), 3) == 0;
	engine_abandon(&volume.engine);
	volume.memory.fail_after = 0; /* nothing may be written */
	volume.options.is_read_only = true;
	ok(is_good && volume_open(&volume) == 0, "read-only: opens");
	ok(volume.engine.n_replayed > 0, "read-only: replays");
	ok(model_compare(&volume) == 0, "read-only: content is the model's");
	ok(do_write(&volume, 0, buffer, 0, 1) == -EROFS &&
		   do_zero(&volume, 0, 1, true) == -EROFS,
	   "read-only: refuses to write");
	ok(engine_close(&volume.engine) == 0, "read-only: closes");
	volume_free(&volume);
}

/* --- handing over -----------------------------------------------------------
 */

/* Two drivers, of which one has the volume, with what both know of it. */
struct pair {
	struct volume volumes[2];
	unsigned int now;
	unsigned char *seen; /* the medium, when it was last looked at */
};

static bool pair_make(struct pair *pair, uint64_t medium_size,
		      const struct format_options *format, bool is_manual)
{
	struct volume *volume = &pair->volumes[0];

	pair->now = 0;
	if (!volume_make(volume, medium_size, format, 1) ||
	    engine_close(&volume->engine) != 0)
		return false;
	volume->options.is_manual = is_manual;
	volume->options.checkpoint_bytes = 1 << 20;
	pair->volumes[1] = *volume;
	pair->seen = malloc(medium_size);
	return volume_open(volume) == 0;
}

static void pair_free(struct pair *pair)
{
	volume_free(&pair->volumes[0]);
	free(pair->seen);
}

static struct memory *pair_memory(struct pair *pair)
{
	return &pair->volumes[0].memory;
}

static struct volume *pair_now(struct pair *pair)
{
	return &pair->volumes[pair->now];
}

static struct volume *pair_next(struct pair *pair)
{
	return &pair->volumes[!pair->now];
}

static int pair_prepare(struct pair *pair)
{
	struct volume *next = pair_next(pair);

	return engine_prepare(&next->engine, &pair_memory(pair)->medium,
			      &next->options);
}

static void pair_look(struct pair *pair)
{
	const struct memory *memory = pair_memory(pair);

	memcpy(pair->seen, memory->bytes, memory->medium.size);
}

static bool pair_is_unchanged(struct pair *pair)
{
	const struct memory *memory = pair_memory(pair);

	return memcmp(pair->seen, memory->bytes, memory->medium.size) == 0;
}

/* The other one has it from now on, and knows what was written. */
static void pair_switch(struct pair *pair)
{
	struct volume *now = pair_now(pair), *next = pair_next(pair);

	engine_abandon(&now->engine);
	next->version = now->version;
	next->random = now->random;
	pair->now = !pair->now;
}

static int pair_use(struct pair *pair, uint64_t n_steps)
{
	struct volume *volume = pair_now(pair);
	int error = 0;

	for (uint64_t i = 0; error == 0 && i < n_steps; i++) {
		uint32_t n = 1 + (uint32_t)pick(volume, 8);
		uint64_t lba = pick(volume, volume->n_blocks - n);

		switch (pick(volume, 16)) {
		case 0:
			error = engine_flush(&volume->engine);
			break;
		case 1:
			error = step_zero(volume, lba, n);
			break;
		case 2 ... 5:
			error = step_read(volume, lba, n);
			break;
		default:
			error = step_write(volume, lba, n);
		}
	}
	return error;
}

/*
 * One comes to rest, the other one looks, and either takes over or does not.
 * From the rest on until there is a write nothing changes on the medium, and
 * nothing is left to be replayed.
 */
static int pair_round(struct pair *pair)
{
	struct volume *now = pair_now(pair), *next = pair_next(pair);
	int error = pair_prepare(pair);

	if (error == 0)
		error = pair_use(pair, pick(now, 60));
	if (error == 0)
		error = engine_rest(&now->engine);
	pair_look(pair);
	if (error == 0)
		error = engine_start(&next->engine, false);
	if (error == 0 && next->engine.n_replayed != 0)
		error = -EOVERFLOW;
	if (error == 0)
		error = engine_flush(&next->engine);
	next->random = now->random;
	if (error == 0)
		error = model_compare(next);
	if (!pair_is_unchanged(pair))
		error = -ECHILD;
	if (error == 0 && pick(now, 3) == 0)
		engine_abandon(&next->engine);
	else if (error == 0)
		pair_switch(pair);
	return error;
}

static void test_handover(const char *what, bool is_manual)
{
	struct format_options format = { .nonce = 51 };
	struct pair pair;
	int n, error = 0;

	content_kind = CONTENT_RAW;
	ok(pair_make(&pair, 6 << 20, &format, is_manual), "%s: made", what);
	for (n = 0; error == 0 && n < 150; n++)
		error = pair_round(&pair);
	ok(error == 0, "%s: %d times: %s", what, n, strerror(-error));
	ok(is_manual || pair_now(&pair)->engine.n_checkpoints > 0,
	   "%s: the background works on", what);
	error = model_compare(pair_now(&pair));
	ok(error == 0 && engine_close(&pair_now(&pair)->engine) == 0,
	   "%s: content is the model's", what);
	pair_free(&pair);
	content_kind = CONTENT_MIXED;
}

/* A candidate that cannot read the map: the other one goes on. */
static void test_failing_start(void)
{
	struct format_options format = { .nonce = 52 };
	uint64_t off, len;
	struct volume *now;
	struct pair pair;
	int error;

	ok(pair_make(&pair, 6 << 20, &format, false), "failing start: made");
	now = pair_now(&pair);
	ok(pair_use(&pair, 500) == 0 && pair_prepare(&pair) == 0 &&
		   engine_rest(&now->engine) == 0,
	   "failing start: at rest");
	pair_look(&pair);
	off = now->super.map_off[0];
	len = now->super.segments_off - off;
	memset(pair_memory(&pair)->bytes + off, 0, len);
	error = engine_start(&pair_next(&pair)->engine, false);
	ok(error == -EIO, "failing start: %s: %s",
	   pair_next(&pair)->engine.reason, strerror(-error));
	engine_abandon(&pair_next(&pair)->engine);
	memcpy(pair_memory(&pair)->bytes + off, pair.seen + off, len);
	ok(pair_is_unchanged(&pair), "failing start: has written nothing");
	ok(pair_use(&pair, 500) == 0 && model_compare(now) == 0 &&
		   engine_close(&now->engine) == 0,
	   "failing start: the other one goes on");
	pair_free(&pair);
}

/* Likewise, nobody else is there: what cannot be read is not written over. */
static void test_failing_open(void)
{
	struct format_options format = { .nonce = 55 };
	struct volume *now, *next;
	struct pair pair;
	uint64_t off;

	ok(pair_make(&pair, 6 << 20, &format, true) &&
		   pair_use(&pair, 500) == 0,
	   "failing open: made");
	now = pair_now(&pair);
	next = pair_next(&pair);
	off = now->super.map_off[0];
	ok(engine_close(&now->engine) == 0, "failing open: closed");
	memset(pair_memory(&pair)->bytes + off, 0,
	       now->super.segments_off - off);
	pair_look(&pair);
	ok(pair_prepare(&pair) == 0 &&
		   engine_start(&next->engine, true) == -EIO,
	   "failing open: does not start");
	ok(engine_close(&next->engine) == 0 && pair_is_unchanged(&pair),
	   "failing open: has written nothing, not even in the end");
	pair_free(&pair);
}

static int no_space(struct medium *medium, uint64_t off, uint64_t len)
{
	(void)medium;
	(void)off;
	(void)len;
	return -ENOSPC;
}

static int has_space(struct medium *medium, uint64_t off, uint64_t len)
{
	(void)medium;
	(void)off;
	(void)len;
	return 0;
}

/* The first write finds no room, or fails for good. */
static void test_failing_begin(void)
{
	struct format_options format = { .nonce = 53 };
	struct volume *now;
	struct memory *memory;
	struct pair pair;
	int error;

	ok(pair_make(&pair, 6 << 20, &format, false) &&
		   pair_use(&pair, 500) == 0 && pair_prepare(&pair) == 0 &&
		   engine_rest(&pair_now(&pair)->engine) == 0 &&
		   engine_start(&pair_next(&pair)->engine, false) == 0,
	   "failing begin: made");
	pair_switch(&pair);
	pair_look(&pair);
	now = pair_now(&pair);
	memory = pair_memory(&pair);
	memory->medium.allocate = no_space;
	ok(do_write(now, 0, buffer, 0, 1) == -ENOSPC &&
		   engine_flush(&now->engine) == 0 && pair_is_unchanged(&pair),
	   "failing begin: no room, nothing changed");
	memory->medium.allocate = has_space;
	memory->fail_after = 3;
	error = do_write(now, 0, buffer, 0, 1);
	ok(error == -EIO, "failing begin: %s", strerror(-error));
	memory->fail_after = -1;
	ok(do_write(now, 0, buffer, 0, 1) == -EIO &&
		   engine_flush(&now->engine) == -EIO &&
		   engine_rest(&now->engine) == -EIO,
	   "failing begin: for ever");
	ok(model_compare(now) == 0 && engine_close(&now->engine) == -EIO,
	   "failing begin: can be read");
	ok(pair_prepare(&pair) == 0 &&
		   engine_start(&pair_next(&pair)->engine, true) == 0 &&
		   model_compare(pair_next(&pair)) == 0,
	   "failing begin: opens again");
	engine_abandon(&pair_next(&pair)->engine);
	pair_free(&pair);
}

/* After a crash, looked at and left alone, or looked at and written to. */
static void test_unwritten(void)
{
	struct format_options format = { .nonce = 54 };
	struct volume *now, *next;
	struct pair pair;

	ok(pair_make(&pair, 6 << 20, &format, true) &&
		   pair_use(&pair, 500) == 0,
	   "unwritten: made");
	now = pair_now(&pair);
	next = pair_next(&pair);
	engine_abandon(&now->engine);
	pair_look(&pair);
	ok(pair_prepare(&pair) == 0 && engine_start(&next->engine, false) == 0,
	   "unwritten: starts");
	ok(next->engine.n_replayed > 0 && model_compare(next) == 0 &&
		   engine_rest(&next->engine) == 0 && pair_is_unchanged(&pair),
	   "unwritten: %llu batches replayed, nothing written",
	   (unsigned long long)next->engine.n_replayed);
	ok(engine_close(&next->engine) == 0 &&
		   (next->engine.super.flags & SUPER_CLEAN),
	   "unwritten: is clean when it was closed");
	pair_look(&pair);
	ok(pair_prepare(&pair) == 0 &&
		   engine_start(&next->engine, false) == 0 &&
		   next->engine.n_replayed == 0 && model_compare(next) == 0 &&
		   engine_close(&next->engine) == 0 && pair_is_unchanged(&pair),
	   "unwritten: clean as it was, nothing written");
	pair_free(&pair);
}

/* --- memory ------------------------------------------------------------------
 */

/* Of the address sanitizer; its header is not where gcc looks. */
int __sanitizer_install_malloc_and_free_hooks(
	void (*on_malloc)(const volatile void *memory, size_t size),
	void (*on_free)(const volatile void *memory));

static unsigned long n_mallocs;

static void count_malloc(const volatile void *memory, size_t size)
{
	(void)memory;
	(void)size;
	n_mallocs++;
}

static void count_free(const volatile void *memory)
{
	(void)memory;
}

static void test_allocations(void)
{
	struct format_options format = { .nonce = 35 };
	struct volume volume;
	void *volatile memory; /* or the compiler would leave it out */
	unsigned long before;
	int error = 0;

	__sanitizer_install_malloc_and_free_hooks(count_malloc, count_free);
	memory = malloc(1);
	free(memory);
	ok(n_mallocs > 0, "memory: allocations are counted");
	ok(volume_make(&volume, 64 << 20, &format, 5), "memory: made");
	before = n_mallocs;
	for (int i = 0; error == 0 && i < 500; i++) {
		uint32_t n = 1 + (uint32_t)pick(&volume, MAX_BLOCKS);
		uint64_t lba = pick(&volume, volume.n_blocks - n);

		error = step_write(&volume, lba, n);
		if (error == 0)
			error = engine_read(&volume.engine, 0, buffer,
					    n * CONTENT_BYTES,
					    lba * CONTENT_BYTES);
		if (error == 0)
			error = do_zero(&volume, lba, n / 2 + 1, i % 2 == 0);
		if (error == 0 && i % 50 == 0)
			error = engine_flush(&volume.engine);
	}
	ok(error == 0 && n_mallocs == before,
	   "memory: %lu allocations in 1500 requests", n_mallocs - before);
	ok(engine_close(&volume.engine) == 0, "memory: closes");
	volume_free(&volume);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	test_models();
	test_threads("threads", CONTENT_MIXED,
		     &(struct format_options){ .nonce = 41 });
	test_threads("threads, raw", CONTENT_RAW,
		     &(struct format_options){ .nonce = 42 });
	test_full();
	test_overcommit();
	test_failures();
	test_read_only();
	test_handover("hand-over", true);
	test_handover("hand-over, with a background", false);
	test_failing_start();
	test_failing_open();
	test_failing_begin();
	test_unwritten();
	test_allocations();
	return tap_done();
}
