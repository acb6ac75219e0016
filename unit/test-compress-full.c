/* SPDX-License-Identifier: MIT */
/*
 * test-compress-full - compressed volumes without space: filled to the last
 * block in every way, and overwritten at 100 %, each write flushed, at depth 1;
 * with and without a thread in the background, with and without a medium that
 * takes space back; more promised than there is; a sparse file on a full file
 * system; a medium that fails. Errors are clear, flush and discard work,
 * nothing that was acknowledged is lost, and after a discard it can be used
 * again.
 *
 * What hangs is ended by an alarm. COMPRESS_SEED=N repeats a run,
 * COMPRESS_STEPS=N makes it longer.
 */
#include <signal.h>
#include <stdalign.h>

#include "content.h"
#include "drivers/compress/check.h"
#include "drivers/compress/rooms.h"
#include "memory.h"
#include "tap.h"

#define PIECE 8U
#define DEADLINE_S 1200U

/* How a volume is used. */
struct way {
	const char *what;
	bool has_thread;
	bool has_punch;
};

static const struct way ways[] = {
	{ "alone", false, true },
	{ "alone, no holes", false, false },
	{ "thread", true, true },
	{ "thread, no holes", true, false },
};

/*
 * A medium that has less space than its size, as a sparse file has: a write
 * where nothing is allocated takes some, and fails where none is left.
 */
struct sparse {
	struct memory memory; /* first */
	bool *is_allocated;   /* by block */
	uint64_t left;	      /* blocks */
	uint64_t n_unasked;   /* writes to where nothing had been allocated */
	uint64_t begin;	      /* of the segments, from where on that counts */
};

struct volume {
	struct sparse sparse;
	struct engine engine;
	struct engine_options options;
	struct super super;
	uint64_t n_blocks;
	uint64_t *model; /* version that is acknowledged */
	uint64_t *maybe; /* one that was refused since, and may be there */
	uint64_t version;
	uint64_t random;
	const struct way *way;
	const char *what;
};

static alignas(8) unsigned char buffer[64 * CONTENT_BYTES];

static uint64_t number(const char *name, uint64_t def)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 0) : def;
}

static uint64_t pick(struct volume *volume, uint64_t n)
{
	return content_random(&volume->random) % n;
}

static void hang(int signal)
{
	static const char text[] = "not ok 1000 - it hangs\n";

	(void)signal;
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

/* --- a sparse medium --------------------------------------------------------
 */

static int sparse_take(struct sparse *sparse, uint64_t off, uint64_t len)
{
	int error = 0;

	pthread_mutex_lock(&sparse->memory.lock);
	for (uint64_t i = off / CONTENT_BYTES;
	     error == 0 && i < (off + len + CONTENT_BYTES - 1) / CONTENT_BYTES;
	     i++) {
		if (sparse->is_allocated[i])
			continue;
		if (sparse->left == 0) {
			error = -ENOSPC;
			continue;
		}
		sparse->left--;
		sparse->is_allocated[i] = true;
	}
	pthread_mutex_unlock(&sparse->memory.lock);
	return error;
}

static int sparse_allocate(struct medium *medium, uint64_t off, uint64_t len)
{
	return sparse_take((struct sparse *)medium, off, len);
}

static int sparse_write(struct medium *medium, const void *buf, size_t len,
			uint64_t off)
{
	struct sparse *sparse = (struct sparse *)medium;
	int error;

	pthread_mutex_lock(&sparse->memory.lock);
	if (off >= sparse->begin && off + len < medium->size - CONTENT_BYTES &&
	    !sparse->is_allocated[off / CONTENT_BYTES])
		sparse->n_unasked++;
	pthread_mutex_unlock(&sparse->memory.lock);
	error = sparse_take(sparse, off, len);
	return error != 0 ? error : memory_write(medium, buf, len, off);
}

static int sparse_punch(struct medium *medium, uint64_t off, uint64_t len)
{
	struct sparse *sparse = (struct sparse *)medium;

	pthread_mutex_lock(&sparse->memory.lock);
	for (uint64_t i = off / CONTENT_BYTES; i < (off + len) / CONTENT_BYTES;
	     i++) {
		sparse->left += sparse->is_allocated[i];
		sparse->is_allocated[i] = false;
	}
	pthread_mutex_unlock(&sparse->memory.lock);
	return memory_punch(medium, off, len);
}

/* --- volumes ----------------------------------------------------------------
 */

static int volume_open(struct volume *volume)
{
	int error = engine_open(&volume->engine, &volume->sparse.memory.medium,
				&volume->options);

	if (error != 0)
		printf("# open: %s: %s\n", volume->engine.reason,
		       strerror(-error));
	return error;
}

/* @space: bytes that the medium really has; 0: all, and nothing is sparse */
static bool volume_make(struct volume *volume, const char *what,
			const struct way *way, uint64_t medium_size,
			uint64_t space, const struct format_options *format)
{
	struct medium *medium = &volume->sparse.memory.medium;
	const char *reason = NULL;

	memset(volume, 0, sizeof(*volume));
	volume->what = what;
	volume->way = way;
	volume->random = number("COMPRESS_SEED", 1);
	memory_open(&volume->sparse.memory, medium_size);
	volume->options =
		(struct engine_options){ .n_workers = 1,
					 .map_cache = 1,
					 .checkpoint_bytes = 1 << 20,
					 .is_manual = !way->has_thread };
	volume->sparse.begin = UINT64_MAX;
	volume->sparse.is_allocated = calloc(medium_size / CONTENT_BYTES, 1);
	volume->sparse.left = space / CONTENT_BYTES;
	if (space != 0) {
		medium->write = sparse_write;
		medium->allocate = sparse_allocate;
		medium->punch = sparse_punch;
	}
	if (!way->has_punch)
		medium->punch = NULL;
	if (engine_format(medium, format, &volume->super, &reason) != 0) {
		printf("# format: %s\n", reason);
		return false;
	}
	volume->sparse.begin = volume->super.segments_off;
	volume->n_blocks = volume->super.size / CONTENT_BYTES;
	volume->model = calloc(volume->n_blocks, sizeof(uint64_t));
	volume->maybe = calloc(volume->n_blocks, sizeof(uint64_t));
	return volume_open(volume) == 0;
}

static void volume_free(struct volume *volume)
{
	free(volume->sparse.is_allocated);
	memory_close(&volume->sparse.memory);
	free(volume->model);
	free(volume->maybe);
}

/* One assertion, named by what is done, and how. */
static bool is(const struct volume *volume, bool is_ok, const char *name)
{
	return ok(is_ok, "%s (%s): %s", volume->what, volume->way->what, name);
}

/* A version tells how well it can be packed, too. */
#define VERSION_KIND_SHIFT 56

/* Neighbours are packed well together, but not each of them alone. */
#define CONTENT_ALIKE 4

static void fill_alike(void *block, uint64_t lba, uint64_t version)
{
	uint64_t *words = block;

	content_kind = CONTENT_RAW;
	content_fill(block, lba / PIECE, 1);
	words[0] = lba;
	words[1] = version;
}

static void block_fill(void *block, uint64_t lba, uint64_t version)
{
	enum content_kind kind = content_kind;

	content_kind = (enum content_kind)(version >> VERSION_KIND_SHIFT);
	if ((int)content_kind == CONTENT_ALIKE)
		fill_alike(block, lba, version);
	else
		content_fill(block, lba, version);
	content_kind = kind;
}

static bool block_is(const void *block, uint64_t lba, uint64_t version)
{
	static alignas(8) unsigned char wanted[CONTENT_BYTES];

	block_fill(wanted, lba, version);
	return memcmp(block, wanted, sizeof(wanted)) == 0;
}

static int do_write(struct volume *volume, uint64_t lba, uint32_t n)
{
	struct waiter waiter;
	int error;

	for (uint32_t i = 0; i < n; i++) {
		volume->maybe[lba + i] =
			++volume->version | (uint64_t)content_kind
						    << VERSION_KIND_SHIFT;
		block_fill(buffer + i * CONTENT_BYTES, lba + i,
			   volume->maybe[lba + i]);
	}
	waiter_init(&waiter);
	error = engine_write(&volume->engine, 0, buffer, n * CONTENT_BYTES,
			     lba * CONTENT_BYTES, &waiter.commit);
	error = waiter_wait(&waiter, &volume->engine, error);
	for (uint32_t i = 0; error == 0 && i < n; i++) {
		volume->model[lba + i] = volume->maybe[lba + i];
		volume->maybe[lba + i] = 0;
	}
	return error;
}

static int do_discard(struct volume *volume, uint64_t lba, uint64_t n)
{
	struct waiter waiter;
	int error;

	waiter_init(&waiter);
	error = engine_zero(&volume->engine, n * CONTENT_BYTES,
			    lba * CONTENT_BYTES, true, &waiter.commit);
	error = waiter_wait(&waiter, &volume->engine, error);
	for (uint64_t i = 0; error == 0 && i < n; i++)
		volume->model[lba + i] = volume->maybe[lba + i] = 0;
	return error;
}

static bool block_is_right(const struct volume *volume, uint64_t lba,
			   const void *found)
{
	if (block_is(found, lba, volume->model[lba]) ||
	    (volume->maybe[lba] != 0 &&
	     block_is(found, lba, volume->maybe[lba])))
		return true;
	printf("# block %llu: version %llu, not %llu\n",
	       (unsigned long long)lba,
	       (unsigned long long)content_version(found),
	       (unsigned long long)volume->model[lba]);
	return false;
}

static bool content_is_right(struct volume *volume)
{
	for (uint64_t lba = 0; lba < volume->n_blocks; lba++)
		if (engine_read(&volume->engine, 0, buffer, CONTENT_BYTES,
				lba * CONTENT_BYTES) != 0 ||
		    !block_is_right(volume, lba, buffer))
			return false;
	return true;
}

/* After a kill, without repair. */
static void volume_check(struct volume *volume)
{
	struct check check = { 0 };

	engine_abandon(&volume->engine);
	if (!is(volume, volume_open(volume) == 0, "opens after a kill"))
		return;
	is(volume, content_is_right(volume), "nothing is lost");
	/* the cleaner may have begun */
	background_pause(&volume->engine);
	is(volume,
	   check_volume(&volume->engine, false, &check) == 0 &&
		   check_is_clean(&check),
	   "is whole");
	background_resume(&volume->engine);
}

/* The check, and the end. */
static void volume_end(struct volume *volume)
{
	volume_check(volume);
	is(volume, engine_close(&volume->engine) == 0, "closes");
	volume_free(volume);
	content_kind = CONTENT_MIXED;
}

/* --- what is promised fits --------------------------------------------------
 */

/* Random blocks, each flushed. Return: the first error. */
static int overwrite(struct volume *volume, uint64_t steps, uint64_t n_blocks)
{
	int error = 0;

	for (uint64_t i = 0; error == 0 && i < steps; i++) {
		error = do_write(volume, pick(volume, n_blocks), 1);
		if (error == 0)
			error = engine_flush(&volume->engine);
	}
	return error;
}

static int fill(struct volume *volume, uint32_t n, uint64_t *written)
{
	int error = 0;

	for (*written = 0; error == 0 && *written < volume->n_blocks;) {
		uint64_t left = volume->n_blocks - *written;

		if (n > left)
			n = (uint32_t)left;
		error = do_write(volume, *written, n);
		if (error == 0)
			*written += n;
	}
	return error;
}

/* What was packed well becomes what cannot be packed: all of it fits. */
static void test_raw_over_packed(const struct way *way, enum content_kind first,
				 uint32_t n)
{
	static const char *const names[] = { "raw over raw", "raw over packed",
					     "raw over half", "",
					     "raw over alike" };
	struct format_options format = { .level = 1, .nonce = 71 };
	uint64_t steps = number("COMPRESS_STEPS", 2000), written;
	struct volume volume;

	if (!volume_make(&volume, names[first], way, 6 << 20, 0, &format)) {
		is(&volume, false, "made");
		return;
	}
	content_kind = first;
	is(&volume, fill(&volume, n, &written) == 0, "filled to the end");
	content_kind = CONTENT_RAW;
	is(&volume, overwrite(&volume, steps / 2, volume.n_blocks) == 0,
	   "some overwritten, anywhere");
	/* in an order that leaves a live block in each record for long */
	for (uint32_t start = 0; start < PIECE; start++)
		for (uint64_t lba = start; lba < volume.n_blocks; lba += PIECE)
			if (do_write(&volume, lba, 1) != 0 ||
			    engine_flush(&volume.engine) != 0)
				written = 0;
	is(&volume, written == volume.n_blocks, "each block overwritten");
	is(&volume, overwrite(&volume, steps, volume.n_blocks) == 0,
	   "random overwrites at 100 %, flushed");
	is(&volume,
	   do_discard(&volume, 0, volume.n_blocks) == 0 &&
		   overwrite(&volume, 100, volume.n_blocks) == 0,
	   "discarded, and used again");
	volume_end(&volume);
}

/* --- more is promised than fits ---------------------------------------------
 */

struct tally {
	uint64_t n_done;
	uint64_t n_refused;
	int error; /* any other */
};

/* Go on where it is full: each write is done or refused, each flush is done. */
static struct tally press(struct volume *volume, uint64_t steps,
			  uint64_t n_blocks)
{
	struct tally tally = { 0 };

	for (uint64_t i = 0; tally.error == 0 && i < steps; i++) {
		int error = do_write(volume, pick(volume, n_blocks), 1);

		tally.n_done += error == 0;
		tally.n_refused += error == -ENOSPC;
		if (error != 0 && error != -ENOSPC)
			tally.error = error;
		else
			tally.error = engine_flush(&volume->engine);
	}
	return tally;
}

/* What was given back can be had again, also by the driver that follows. */
static void check_taken_over(struct volume *volume, uint64_t n_blocks)
{
	int error;

	is(volume, do_discard(volume, 0, n_blocks) == 0, "discards it again");
	is(volume, engine_rest(&volume->engine) == 0, "comes to rest");
	engine_abandon(&volume->engine);
	error = engine_prepare(&volume->engine, &volume->sparse.memory.medium,
			       &volume->options);
	if (error == 0)
		error = engine_start(&volume->engine, false);
	is(volume, error == 0, "is taken over");
	for (uint64_t lba = 0; error == 0 && lba < 200; lba += 4)
		error = do_write(volume, lba, 4);
	is(volume, error == 0, "the next one can write");
}

static void check_way_back(struct volume *volume, uint64_t written)
{
	uint64_t half = written / 2;

	is(volume, engine_flush(&volume->engine) == 0, "flushes when full");
	is(volume,
	   do_discard(volume, 0, 1) == 0 && engine_flush(&volume->engine) == 0,
	   "discards one block when full");
	volume_check(volume);
	is(volume, do_discard(volume, 0, half) == 0, "discards half of it");
	is(volume, engine_checkpoint(&volume->engine) == 0, "checkpoint");
	is(volume, overwrite(volume, 100, half) == 0, "can be written again");
	check_taken_over(volume, half);
}

static void test_overcommit(const struct way *way, enum content_kind first,
			    uint32_t n)
{
	static const char *const names[] = { "overcommit, raw",
					     "overcommit, packed",
					     "overcommit, half" };
	struct format_options format = { .level = 1,
					 .nonce = 72,
					 .size = 48 << 20,
					 .may_overcommit = true };
	uint64_t steps = number("COMPRESS_STEPS", 1000), written;
	struct volume volume;
	struct tally tally;
	int error;

	if (!volume_make(&volume, names[first], way, 6 << 20, 0, &format)) {
		is(&volume, false, "made");
		return;
	}
	content_kind = first;
	error = fill(&volume, n, &written);
	is(&volume, error == -ENOSPC && written > 800,
	   "filled until it is full");
	content_kind = CONTENT_RAW;
	tally = press(&volume, steps, written);
	printf("# %llu of %llu blocks written; %llu overwritten, %llu refused\n",
	       (unsigned long long)written, (unsigned long long)volume.n_blocks,
	       (unsigned long long)tally.n_done,
	       (unsigned long long)tally.n_refused);
	is(&volume,
	   tally.error == 0 && tally.n_done + tally.n_refused == steps &&
		   (first != CONTENT_RAW || tally.n_refused == 0),
	   "overwritten, if it takes no more, or refused with ENOSPC");
	while (tally.n_refused == 0 && tally.error == 0)
		tally = press(&volume, steps, volume.n_blocks);
	is(&volume, tally.error == 0, "until there is no space at all");
	check_way_back(&volume, written);
	volume_end(&volume);
}

/*
 * What is written takes no more than what it replaces seems to take, but none
 * of that is to be had before all of its neighbours are dead.
 */
static void test_alike(const struct way *way)
{
	struct format_options format = { .level = 1,
					 .nonce = 77,
					 .segment_size = 256 << 10,
					 .size = 48 << 20,
					 .may_overcommit = true };
	uint64_t steps = 4 * number("COMPRESS_STEPS", 1000), written;
	struct volume volume;
	struct tally tally;

	if (!volume_make(&volume, "overcommit, alike", way, 8 << 20, 0,
			 &format)) {
		is(&volume, false, "made");
		return;
	}
	content_kind = (enum content_kind)CONTENT_ALIKE;
	is(&volume, fill(&volume, PIECE, &written) == -ENOSPC,
	   "filled until it is full");
	content_kind = CONTENT_WELL;
	tally = press(&volume, steps, written);
	printf("# %llu of %llu blocks written; %llu overwritten, %llu refused\n",
	       (unsigned long long)written, (unsigned long long)volume.n_blocks,
	       (unsigned long long)tally.n_done,
	       (unsigned long long)tally.n_refused);
	is(&volume, tally.error == 0 && tally.n_done > 0 && tally.n_refused > 0,
	   "overwritten until that gains nothing, then refused");
	content_kind = CONTENT_RAW;
	check_way_back(&volume, written);
	volume_end(&volume);
}

/* --- a sparse file on a full file system ------------------------------------
 */

static void test_sparse(const struct way *way)
{
	struct format_options format = { .level = 1,
					 .nonce = 73,
					 .segment_size = 128 << 10 };
	uint64_t steps = number("COMPRESS_STEPS", 1000), written;
	struct volume volume;
	struct tally tally;
	int error;

	if (!volume_make(&volume, "sparse file", way, 16 << 20, 6 << 20,
			 &format)) {
		is(&volume, false, "made");
		return;
	}
	content_kind = CONTENT_RAW;
	error = fill(&volume, 1, &written);
	is(&volume, error == -ENOSPC && written > 500,
	   "filled until the file system is full");
	tally = press(&volume, steps, written);
	printf("# %llu blocks written; %llu overwritten, %llu refused\n",
	       (unsigned long long)written, (unsigned long long)tally.n_done,
	       (unsigned long long)tally.n_refused);
	is(&volume, tally.error == 0, "overwritten or refused with ENOSPC");
	is(&volume, volume.sparse.n_unasked == 0,
	   "each segment was allocated before its first use");
	check_way_back(&volume, written);
	is(&volume, volume.sparse.n_unasked == 0, "and since then");
	pthread_mutex_lock(&volume.sparse.memory.lock);
	volume.sparse.left += 4096;
	pthread_mutex_unlock(&volume.sparse.memory.lock);
	is(&volume, fill(&volume, 1, &written) == 0,
	   "the file system has space again: all can be written");
	volume_end(&volume);
}

/* --- a medium that fails ----------------------------------------------------
 */

/*
 * Nearly full, from its n-th write or sync on the medium fails: that is told,
 * and from then on nothing is acknowledged; what was flushed is there.
 */
static bool fails_well(const struct way *way, int n, int fail_with)
{
	struct format_options format = { .level = 1, .nonce = 74 };
	uint64_t written, *flushed;
	bool is_good = true;
	struct volume volume;
	int error;

	if (!volume_make(&volume, "failing", way, 3 << 20, 0, &format))
		return false;
	content_kind = CONTENT_RAW;
	is_good = fill(&volume, PIECE, &written) == 0 &&
		  engine_flush(&volume.engine) == 0;
	flushed = malloc(volume.n_blocks * sizeof(*flushed));
	memcpy(flushed, volume.model, volume.n_blocks * sizeof(*flushed));
	volume.sparse.memory.fail_with = fail_with;
	volume.sparse.memory.fail_after = n;
	do {
		error = do_write(&volume, pick(&volume, volume.n_blocks), 1);
		if (error == 0)
			error = engine_flush(&volume.engine);
		if (error == 0)
			memcpy(flushed, volume.model,
			       volume.n_blocks * sizeof(*flushed));
	} while (error == 0);
	is_good = is_good && error == -fail_with;
	/* it recovers, but what was lost is lost: nothing may succeed */
	volume.sparse.memory.fail_after = -1;
	is_good = is_good && do_write(&volume, 0, 1) == -fail_with &&
		  do_discard(&volume, 0, 1) == -fail_with &&
		  engine_flush(&volume.engine) == -fail_with &&
		  engine_close(&volume.engine) != 0 &&
		  volume_open(&volume) == 0;
	for (uint64_t lba = 0; is_good && lba < volume.n_blocks; lba++)
		is_good = engine_read(&volume.engine, 0, buffer, CONTENT_BYTES,
				      lba * CONTENT_BYTES) == 0 &&
			  content_version(buffer) >= flushed[lba] &&
			  block_is(buffer, lba, content_version(buffer));
	is_good = is_good && overwrite(&volume, 20, volume.n_blocks) == 0 &&
		  engine_close(&volume.engine) == 0;
	free(flushed);
	volume_free(&volume);
	return is_good;
}

/* --- a cache above the medium ------------------------------------------------
 *
 * As the kernel's: what could not be written stays in it, clean, and a sync
 * fails once.
 */

static struct {
	unsigned char *platter;
	bool *is_dirty; /* by block */
	bool is_failing;
} cache;

static int cache_write(struct medium *medium, const void *buf, size_t len,
		       uint64_t off)
{
	int error = memory_write(medium, buf, len, off);

	for (uint64_t i = off / CONTENT_BYTES;
	     error == 0 && i < (off + len) / CONTENT_BYTES; i++)
		cache.is_dirty[i] = true;
	return error;
}

static int cache_sync(struct medium *medium)
{
	const struct memory *memory = (struct memory *)medium;
	int error = 0;

	for (uint64_t i = 0; i < medium->size / CONTENT_BYTES; i++) {
		uint64_t off = i * CONTENT_BYTES;

		if (!cache.is_dirty[i])
			continue;
		cache.is_dirty[i] = false;
		if (cache.is_failing)
			error = -EIO;
		else
			memcpy(cache.platter + off, memory->bytes + off,
			       CONTENT_BYTES);
	}
	return error;
}

static void cache_forget(struct medium *medium)
{
	struct memory *memory = (struct memory *)medium;

	for (uint64_t i = 0; i < medium->size / CONTENT_BYTES; i++)
		if (!cache.is_dirty[i])
			memcpy(memory->bytes + i * CONTENT_BYTES,
			       cache.platter + i * CONTENT_BYTES,
			       CONTENT_BYTES);
}

static bool cache_make(struct volume *volume)
{
	struct format_options format = { .level = 1, .nonce = 75 };
	struct medium *medium = &volume->sparse.memory.medium;

	if (!volume_make(volume, "cache", &ways[1], 4 << 20, 0, &format))
		return false;
	cache.platter = calloc(1, medium->size);
	cache.is_dirty = calloc(medium->size / CONTENT_BYTES, 1);
	memcpy(cache.platter, volume->sparse.memory.bytes, medium->size);
	medium->write = cache_write;
	medium->sync = cache_sync;
	medium->forget = cache_forget;
	return true;
}

/* Half of it is written anew, which is lost. */
static bool cache_lose(struct volume *volume)
{
	bool is_good = true;

	content_kind = CONTENT_RAW;
	for (uint64_t lba = 0; lba < 200; lba += PIECE)
		is_good &= do_write(volume, lba, PIECE) == 0;
	is_good &= engine_flush(&volume->engine) == 0;
	for (uint64_t lba = 0; lba < 100; lba++) {
		uint64_t flushed = volume->model[lba];

		is_good &= do_write(volume, lba, 1) == 0;
		volume->maybe[lba] = volume->model[lba];
		volume->model[lba] = flushed;
	}
	cache.is_failing = true;
	return is_good;
}

/* @is_told: a flush fails, else nobody has heard of it before it is opened */
static void test_cache(bool is_told)
{
	const char *what = is_told ? "a flush has failed" : "nobody knows";
	struct medium *medium;
	struct volume volume;
	int error;

	if (!ok(cache_make(&volume) && cache_lose(&volume),
		"lost by a cache (%s)", what))
		return;
	medium = &volume.sparse.memory.medium;
	if (is_told)
		ok(engine_flush(&volume.engine) == -EIO,
		   "lost by a cache: the flush fails");
	engine_abandon(&volume.engine);
	if (!is_told)
		ok(engine_open(&volume.engine, medium, &volume.options) == -EIO,
		   "lost by a cache: not opened when that is heard of");
	cache.is_failing = false;
	error = volume_open(&volume);
	if (error == 0 && do_write(&volume, 300, 1) == 0)
		error = engine_checkpoint(&volume.engine);
	/* it has to have read what there really is, or this is the end */
	cache_forget(medium);
	ok(error == 0 && content_is_right(&volume),
	   "lost by a cache: what was flushed is there (%s)", what);
	volume_check(&volume);
	ok(engine_close(&volume.engine) == 0, "lost by a cache: closes");
	volume_free(&volume);
	free(cache.platter);
	free(cache.is_dirty);
	content_kind = CONTENT_MIXED;
}

/* --- who relies on whoever writes -------------------------------------------
 */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_shut;
	bool has_come;
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER,
	   .changed = PTHREAD_COND_INITIALIZER };

static int gate_write(struct medium *medium, const void *buf, size_t len,
		      uint64_t off)
{
	pthread_mutex_lock(&gate.lock);
	gate.has_come = true;
	pthread_cond_broadcast(&gate.changed);
	while (gate.is_shut)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	return memory_write(medium, buf, len, off);
}

static void *drain(void *arg)
{
	log_drain(&((struct engine *)arg)->log);
	return NULL;
}

/* Begun, but for the kick. */
static bool begin(struct volume *volume, struct waiter *waiter, uint64_t lba)
{
	content_fill(buffer, lba, 1);
	waiter_init(waiter);
	return engine_write(&volume->engine, 0, buffer, CONTENT_BYTES,
			    lba * CONTENT_BYTES, &waiter->commit) == 0;
}

static void test_kick(void)
{
	struct format_options format = { .level = 1, .nonce = 76 };
	struct waiter first, second;
	struct volume volume;
	pthread_t thread;
	bool is_good;

	is_good = volume_make(&volume, "kick", &ways[1], 4 << 20, 0, &format);
	volume.sparse.memory.medium.write = gate_write;
	gate.is_shut = true;
	is_good = is_good && begin(&volume, &first, 0) &&
		  pthread_create(&thread, NULL, drain, &volume.engine) == 0;
	if (!ok(is_good, "kick: a thread drains the log"))
		return;
	pthread_mutex_lock(&gate.lock);
	while (!gate.has_come)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	is_good = begin(&volume, &second, 1);
	engine_kick(&volume.engine);
	pthread_mutex_lock(&gate.lock);
	gate.is_shut = false;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
	pthread_join(thread, NULL);
	ok(is_good && first.is_done && second.is_done,
	   "kick: it writes what was kicked meanwhile as well");
	waiter_wait(&first, &volume.engine, 0);
	waiter_wait(&second, &volume.engine, 0);
	ok(engine_close(&volume.engine) == 0, "kick: closes");
	volume_free(&volume);
}

static void test_failing(const struct way *way)
{
	static const int errors[] = { EIO, ENOSPC };

	for (int i = 0; i < 2; i++) {
		int n = 0;

		while (n < 60 && fails_well(way, n, errors[i]))
			n++;
		ok(n == 60,
		   "a medium that fails (%s): %s from each of %d "
		   "writes and syncs on",
		   way->what, strerror(errors[i]), n);
	}
	content_kind = CONTENT_MIXED;
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGALRM, hang);
	alarm(DEADLINE_S);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		test_raw_over_packed(&ways[i], CONTENT_RAW, 1);
		test_raw_over_packed(&ways[i], CONTENT_WELL, PIECE);
		test_raw_over_packed(&ways[i], CONTENT_HALF, PIECE);
		test_raw_over_packed(&ways[i], (enum content_kind)CONTENT_ALIKE,
				     PIECE);
		test_overcommit(&ways[i], CONTENT_RAW, 1);
		test_overcommit(&ways[i], CONTENT_WELL, PIECE);
		test_overcommit(&ways[i], CONTENT_HALF, PIECE);
		test_alike(&ways[i]);
		test_sparse(&ways[i]);
		test_failing(&ways[i]);
	}
	test_cache(true);
	test_cache(false);
	test_kick();
	return tap_done();
}
