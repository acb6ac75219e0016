/* SPDX-License-Identifier: MIT */
/*
 * test-compress-tools - what is beside requests on compressed volumes: writes
 * that wait for space, figures, growing, packing anew.
 */
#include <time.h>

#include "content.h"
#include "drivers/compress/check.h"
#include "drivers/compress/engine.h"
#include "drivers/compress/onfull.h"
#include "drivers/compress/recompress.h"
#include "drivers/compress/resize.h"
#include "memory.h"
#include "stats.h"
#include "tap.h"

struct volume {
	struct memory memory;
	struct engine engine;
	struct engine_options options;
	struct super super;
	uint64_t n_blocks;
};

static unsigned char buffer[64 * CONTENT_BYTES];

static int volume_open(struct volume *volume)
{
	int error = engine_open(&volume->engine, &volume->memory.medium,
				&volume->options);

	if (error != 0)
		printf("# open: %s: %s\n", volume->engine.reason,
		       strerror(-error));
	return error;
}

static void volume_make(struct volume *volume, uint64_t medium_size,
			const struct format_options *format)
{
	const char *reason = NULL;

	memset(volume, 0, sizeof(*volume));
	memory_open(&volume->memory, medium_size);
	volume->options =
		(struct engine_options){ .n_workers = 3, .map_cache = 1 };
	if (engine_format(&volume->memory.medium, format, &volume->super,
			  &reason) != 0 ||
	    volume_open(volume) != 0) {
		printf("Bail out! %s\n", reason != NULL ? reason : "open");
		exit(1);
	}
	volume->n_blocks = volume->super.size / CONTENT_BYTES;
}

static void volume_free(struct volume *volume)
{
	memory_close(&volume->memory);
}

static int do_write(struct volume *volume, uint64_t lba, uint32_t n,
		    uint64_t version)
{
	struct waiter waiter;
	int error;

	for (uint32_t i = 0; i < n; i++)
		content_fill(buffer + i * CONTENT_BYTES, lba + i, version);
	waiter_init(&waiter);
	error = engine_write(&volume->engine, 0, buffer, n * CONTENT_BYTES,
			     lba * CONTENT_BYTES, &waiter.commit);
	return waiter_wait(&waiter, &volume->engine, error);
}

static int do_discard(struct volume *volume, uint64_t lba, uint64_t n)
{
	struct waiter waiter;
	int error;

	waiter_init(&waiter);
	error = engine_zero(&volume->engine, n * CONTENT_BYTES,
			    lba * CONTENT_BYTES, true, &waiter.commit);
	return waiter_wait(&waiter, &volume->engine, error);
}

static bool is_version(struct volume *volume, uint64_t lba, uint32_t n,
		       uint64_t version)
{
	if (engine_read(&volume->engine, 1, buffer, n * CONTENT_BYTES,
			lba * CONTENT_BYTES) != 0)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!content_is(buffer + i * CONTENT_BYTES, lba + i, version))
			return false;
	return true;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- figures ----------------------------------------------------------------
 */

static void test_stats(void)
{
	struct format_options format = { .nonce = 51 };
	struct volume volume;
	struct stats stats;

	volume_make(&volume, 16 << 20, &format);
	content_kind = CONTENT_RAW;
	do_write(&volume, 0, 32, 1);
	content_kind = CONTENT_WELL;
	do_write(&volume, 32, 32, 1);
	do_write(&volume, 64, 16, 0); /* zeroes */
	do_discard(&volume, 0, 8);
	do_write(&volume, 32, 8, 2);
	is_version(&volume, 32, 8, 2);
	engine_stats(&volume.engine, &stats);
	ok(stats.data == 56 * 4096 && stats.zero == 16 * 4096 &&
		   stats.raw == 24 * 4096,
	   "stats: data, zeroes, what is not packed");
	ok(stats.written == 88 * 4096 && stats.discarded == 8 * 4096 &&
		   stats.read == 8 * 4096,
	   "stats: what clients did");
	ok(stats.stored > 24 * 4096 && stats.stored < 40 * 4096 &&
		   stats.log > stats.stored && stats.checkpoints == 1,
	   "stats: what that took");
	ok(stats.physical + stats.free == (uint64_t)volume.super.n_segments *
						  volume.super.segment_size,
	   "stats: all segments are free or in use");
	engine_abandon(&volume.engine);
	volume_open(&volume);
	engine_stats(&volume.engine, &stats);
	ok(stats.recoveries == 1 && stats.replayed > 0 &&
		   stats.data == 56 * 4096 && stats.raw == 24 * 4096 &&
		   stats.written == 0 && stats.sessions == 3,
	   "stats: after a kill");
	engine_close(&volume.engine);
	volume_open(&volume);
	engine_stats(&volume.engine, &stats);
	ok(stats.recoveries == 0 && stats.replayed == 0 &&
		   stats.raw == 24 * 4096,
	   "stats: after a close");
	engine_close(&volume.engine);
	volume_free(&volume);
}

/* --- no space ---------------------------------------------------------------
 */

/* A write that may wait, and the memory that it is from. */
struct late {
	struct waiter waiter;
	struct onfull_write write;
	unsigned char *data;
	uint64_t begun_ms;
};

static int late_begin(struct late *late, struct onfull *onfull, uint64_t lba,
		      uint32_t n, uint64_t version)
{
	*late = (struct late){ .data = malloc(n * CONTENT_BYTES),
			       .begun_ms = now_ms() };
	for (uint32_t i = 0; i < n; i++)
		content_fill(late->data + i * CONTENT_BYTES, lba + i, version);
	waiter_init(&late->waiter);
	late->write = (struct onfull_write){ .buf = late->data,
					     .len = n * CONTENT_BYTES,
					     .off = lba * CONTENT_BYTES,
					     .commit = &late->waiter.commit };
	return onfull_write(onfull, 0, &late->write);
}

static int late_end(struct late *late, struct onfull *onfull, int error)
{
	error = waiter_wait(&late->waiter, onfull->engine, error);
	free(late->data);
	return error;
}

static unsigned int warnings[8], n_warnings;

static void note_warning(void *arg, unsigned int percent)
{
	(void)arg;
	warnings[n_warnings++] = percent;
}

/* Nothing more fits: what can be written by eights, then by ones. */
static uint64_t fill(struct volume *volume)
{
	uint64_t lba = 0;
	int error = 0;

	for (uint32_t n = 8; n > 0; n /= 8, error = 0)
		for (; error == 0; lba += error == 0 ? n : 0)
			error = do_write(volume, lba, n, 1);
	return lba;
}

static void make_full(struct volume *volume, struct onfull *onfull,
		      uint32_t wait_ms, uint64_t *written)
{
	struct format_options format = { .nonce = 52,
					 .size = 64 << 20,
					 .may_overcommit = true };

	content_kind = CONTENT_RAW;
	n_warnings = 0;
	volume_make(volume, 8 << 20, &format);
	*onfull = (struct onfull){ .engine = &volume->engine,
				   .worker = 2,
				   .wait_ms = wait_ms,
				   .max = 2,
				   .warn = note_warning };
	ok(onfull_start(onfull) == 0, "full: starts, waits %u ms", wait_ms);
	*written = fill(volume);
}

static void test_error(void)
{
	struct volume volume;
	struct onfull onfull;
	struct stats stats;
	struct late late;
	uint64_t written;
	bool is_once = true;
	int error;

	make_full(&volume, &onfull, 0, &written);
	error = late_begin(&late, &onfull, written, 1, 1);
	ok(late_end(&late, &onfull, error) == -ENOSPC &&
		   now_ms() - late.begun_ms < 10000,
	   "full, error: fails at once");
	engine_stats(&volume.engine, &stats);
	ok(stats.flags == (STATS_FULL | STATS_OVERCOMMITTED),
	   "full, error: says that it is full");
	onfull_stop(&onfull);
	for (unsigned int i = 1; i < n_warnings; i++)
		is_once &= warnings[i] > warnings[i - 1];
	ok(is_once && n_warnings > 0 && warnings[n_warnings - 1] == 95,
	   "full, error: warned, once each");
	ok(engine_close(&volume.engine) == 0, "full, error: closes");
	volume_free(&volume);
}

static void test_queue(void)
{
	struct late lates[2], third;
	struct volume volume;
	struct onfull onfull;
	uint64_t written;
	int errors[2];

	make_full(&volume, &onfull, 60000, &written);
	for (uint32_t i = 0; i < 2; i++)
		errors[i] =
			late_begin(&lates[i], &onfull, written + 8 * i, 8, 7);
	ok(errors[0] == 0 && errors[1] == 0, "full, queue: two wait");
	errors[0] = late_begin(&third, &onfull, written + 16, 1, 1);
	ok(errors[0] == -ENOSPC, "full, queue: the third does not");
	late_end(&third, &onfull, errors[0]);
	ok(engine_flush(&volume.engine) == 0, "full, queue: flushes");
	ok(is_version(&volume, 0, 64, 1), "full, queue: reads");
	ok(onfull.n == 2, "full, queue: they still wait");
	ok(do_discard(&volume, 0, written / 2) == 0, "full, queue: discards");
	ok(late_end(&lates[0], &onfull, 0) == 0 &&
		   late_end(&lates[1], &onfull, 0) == 0,
	   "full, queue: then they go on");
	ok(is_version(&volume, written, 16, 7), "full, queue: and are there");
	onfull_stop(&onfull);
	ok(engine_close(&volume.engine) == 0, "full, queue: closes");
	volume_free(&volume);
}

static void test_timeout(void)
{
	struct volume volume;
	struct onfull onfull;
	struct late late;
	uint64_t written;
	int error;

	make_full(&volume, &onfull, 300, &written);
	error = late_begin(&late, &onfull, written, 8, 7);
	ok(error == 0, "full, timeout: waits");
	ok(late_end(&late, &onfull, error) == -ENOSPC &&
		   now_ms() - late.begun_ms >= 300,
	   "full, timeout: fails when the time is over");
	ok(onfull.n == 0, "full, timeout: nobody waits");
	onfull.wait_ms = 60000;
	error = late_begin(&late, &onfull, written, 8, 7);
	ok(error == 0, "full, stop: waits");
	onfull_stop(&onfull);
	ok(late_end(&late, &onfull, error) == -ENOSPC &&
		   now_ms() - late.begun_ms < 30000,
	   "full, stop: fails when it ends");
	ok(engine_close(&volume.engine) == 0, "full, stop: closes");
	volume_free(&volume);
}

static uint64_t n_allocatable;

/* A sparse file on a file system that becomes full. */
static int some_allocate(struct medium *medium, uint64_t off, uint64_t len)
{
	struct memory *memory = (struct memory *)medium;

	(void)off;
	n_allocatable += memory->n_punched;
	memory->n_punched = 0;
	if (n_allocatable < len)
		return -ENOSPC;
	n_allocatable -= len;
	return 0;
}

static void test_backing(void)
{
	struct format_options format = { .nonce = 53 };
	struct volume volume;
	uint64_t lba = 0;
	int error = 0;

	content_kind = CONTENT_RAW;
	volume_make(&volume, 16 << 20, &format);
	engine_close(&volume.engine);
	volume.memory.medium.allocate = some_allocate;
	n_allocatable = 5 << 20;
	alarm(60);
	ok(volume_open(&volume) == 0, "backing full: opens");
	for (; error == 0 && lba < volume.n_blocks; lba++)
		error = do_write(&volume, lba, 1, 1);
	ok(error == -ENOSPC && lba > 500, "backing full: after %llu blocks: %s",
	   (unsigned long long)lba, strerror(-error));
	ok(engine_flush(&volume.engine) == 0, "backing full: flushes");
	ok(do_discard(&volume, 0, lba) == 0, "backing full: discards");
	ok(do_write(&volume, 5, 1, 2) == 0, "backing full: writes again");
	ok(engine_close(&volume.engine) == 0 && volume_open(&volume) == 0 &&
		   is_version(&volume, 5, 1, 2),
	   "backing full: opens again");
	alarm(0);
	engine_close(&volume.engine);
	volume_free(&volume);
}

/* --- packing anew -----------------------------------------------------------
 */

/* Words, which a higher level packs better. */
static void text_fill(unsigned char *block, uint64_t lba, uint64_t version)
{
	uint64_t random = lba * 1000 + version;

	for (unsigned int i = 0; i < CONTENT_BYTES; i += 8) {
		uint64_t word = content_mix(content_random(&random) % 97);

		memcpy(block + i, &word, 3 + word % 6);
		block[i + 7] = ' ';
	}
}

static int text_write(struct volume *volume, uint64_t lba, uint32_t n,
		      uint64_t version)
{
	struct waiter waiter;
	int error;

	memset(buffer, 0, sizeof(buffer));
	for (uint32_t i = 0; i < n; i++)
		text_fill(buffer + i * CONTENT_BYTES, lba + i, version);
	waiter_init(&waiter);
	error = engine_write(&volume->engine, 0, buffer, n * CONTENT_BYTES,
			     lba * CONTENT_BYTES, &waiter.commit);
	return waiter_wait(&waiter, &volume->engine, error);
}

static bool is_text(struct volume *volume, uint64_t lba, uint64_t version)
{
	unsigned char wanted[CONTENT_BYTES] = { 0 };

	text_fill(wanted, lba, version);
	return engine_read(&volume->engine, 1, buffer, CONTENT_BYTES,
			   lba * CONTENT_BYTES) == 0 &&
	       memcmp(buffer, wanted, CONTENT_BYTES) == 0;
}

/* As somebody who waits for the background would; for a minute. */
static bool recompress_wait(struct volume *volume, struct stats *stats)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	uint64_t end_ms = now_ms() + 60000;

	do {
		nanosleep(&pause, NULL);
		engine_stats(&volume->engine, stats);
	} while ((stats->flags & STATS_RECOMPRESSING) && now_ms() < end_ms);
	return !(stats->flags & STATS_RECOMPRESSING);
}

#define TEXT_BLOCKS 2048U

static bool is_all_text(struct volume *volume, const uint64_t *versions)
{
	struct check check = { 0 };

	for (uint64_t lba = 0; lba < TEXT_BLOCKS; lba++)
		if (!is_text(volume, lba, versions[lba]))
			return false;
	return check_volume(&volume->engine, true, &check) == 0 &&
	       check_is_clean(&check);
}

/* While it goes on, blocks are written again: these must win. */
static bool recompress_beside(struct volume *volume, uint64_t *versions)
{
	uint64_t random = 5, version = 1;
	struct stats stats;

	do {
		uint64_t lba = content_random(&random) % TEXT_BLOCKS;

		versions[lba] = ++version;
		if (text_write(volume, lba, 1, version) != 0)
			return false;
		engine_stats(&volume->engine, &stats);
	} while (stats.flags & STATS_RECOMPRESSING);
	return true;
}

/* Only what was written beside it can have been left. */
static uint64_t n_written_again(const uint64_t *versions)
{
	uint64_t n = 0;

	for (uint64_t lba = 0; lba < TEXT_BLOCKS; lba++)
		n += versions[lba] != 1;
	return n;
}

static void test_recompress(void)
{
	struct format_options format = { .nonce = 54, .level = 1 };
	static uint64_t versions[TEXT_BLOCKS];
	struct volume volume;
	struct stats before, stats;

	volume_make(&volume, 32 << 20, &format);
	for (uint64_t lba = 0; lba < TEXT_BLOCKS; lba += 64) {
		text_write(&volume, lba, 64, 1);
		for (uint64_t i = 0; i < 64; i++)
			versions[lba + i] = 1;
	}
	engine_stats(&volume.engine, &before);
	ok(recompress_begin(&volume.engine, 15) == 0, "recompress: begins");
	ok(recompress_begin(&volume.engine, 15) == 0 ||
		   recompress_begin(&volume.engine, 16) == -EBUSY,
	   "recompress: one at a time");
	ok(recompress_beside(&volume, versions), "recompress: beside writes");
	ok(recompress_wait(&volume, &stats), "recompress: is done");
	ok(stats.rewritten > 0 && stats.saved > before.stored / 50,
	   "recompress: of %llu bytes %llu are saved",
	   (unsigned long long)before.stored, (unsigned long long)stats.saved);
	ok(is_all_text(&volume, versions), "recompress: all is as before");
	engine_abandon(&volume.engine);
	ok(volume_open(&volume) == 0 && is_all_text(&volume, versions),
	   "recompress: also after a kill");
	recompress_begin(&volume.engine, 15);
	recompress_wait(&volume, &before);
	engine_abandon(&volume.engine);
	volume_open(&volume);
	recompress_begin(&volume.engine, 15);
	recompress_wait(&volume, &stats);
	ok(before.rewritten <= n_written_again(versions) * CONTENT_BYTES &&
		   stats.rewritten == 0 &&
		   stats.examined == TEXT_BLOCKS * CONTENT_BYTES,
	   "recompress: what is done stays done: of %llu bytes %llu, then "
	   "%llu",
	   (unsigned long long)stats.examined,
	   (unsigned long long)before.rewritten,
	   (unsigned long long)stats.rewritten);
	ok(engine_close(&volume.engine) == 0, "recompress: closes");
	volume_free(&volume);
}

/* --- growing ----------------------------------------------------------------
 */

/* A volume that is to grow, and each block's version. */
struct grown {
	struct volume volume;
	uint64_t *versions;
	uint64_t n_blocks;
	uint64_t random;
	struct resize_options how;
	unsigned char *before;
	uint64_t old_size;
	uint64_t new_size;
};

static void grown_write(struct grown *grown, uint32_t n)
{
	for (; n > 0; n--) {
		uint64_t lba =
			content_random(&grown->random) % (grown->n_blocks - 4);
		uint64_t version = content_random(&grown->random) >> 1;

		if (do_write(&grown->volume, lba, 4, version) != 0)
			return;
		for (uint32_t i = 0; i < 4; i++)
			grown->versions[lba + i] = version;
	}
}

/* @medium_size of @room; it ends as a crash would leave it. */
static void grown_make(struct grown *grown, uint64_t medium_size, uint64_t room,
		       uint32_t n_writes)
{
	struct format_options format = { .nonce = 55, .level = 1 };
	const char *reason = NULL;
	struct volume *volume = &grown->volume;

	memset(grown, 0, sizeof(*grown));
	content_kind = CONTENT_MIXED;
	memory_open(&volume->memory, room);
	volume->memory.medium.size = medium_size;
	volume->options = (struct engine_options){ .n_workers = 3,
						   .map_cache = 1,
						   .is_manual = true };
	engine_format(&volume->memory.medium, &format, &volume->super, &reason);
	volume_open(volume);
	grown->n_blocks = volume->super.size / CONTENT_BYTES;
	grown->versions = calloc(grown->n_blocks, sizeof(*grown->versions));
	grown->before = malloc(room);
	grown_write(grown, n_writes);
	engine_abandon(&volume->engine);
	grown->old_size = volume->super.size;
}

static void grown_free(struct grown *grown)
{
	volume_free(&grown->volume);
	free(grown->versions);
	free(grown->before);
}

/* All is as it was, and what is new is zero and can be used. */
static bool grown_is_good(struct grown *grown)
{
	struct volume *volume = &grown->volume;
	struct engine *engine = &volume->engine;
	struct check check = { 0 };
	bool is_good;

	if (volume_open(volume) != 0)
		return false;
	is_good = engine->super.size == grown->old_size ||
		  engine->super.size == grown->new_size;
	for (uint64_t lba = 0; is_good && lba < grown->n_blocks; lba++)
		is_good = is_version(volume, lba, 1, grown->versions[lba]);
	is_good = is_good && check_volume(engine, true, &check) == 0 &&
		  check_is_clean(&check);
	if (is_good && engine->super.size > grown->old_size) {
		uint64_t last = engine->super.size / CONTENT_BYTES - 1;

		is_good = is_version(volume, last, 1, 0) &&
			  do_write(volume, last, 1, 9) == 0 &&
			  is_version(volume, last, 1, 9);
	}
	return engine_close(engine) == 0 && is_good;
}

/* Make the medium as a crash could leave it at that moment. */
static void grown_crash(struct grown *grown, const struct memory *log,
			uint32_t moment, uint32_t loss)
{
	unsigned char *bytes = grown->volume.memory.bytes;
	uint32_t durable = 0;

	memcpy(bytes, grown->before, grown->volume.memory.medium.size);
	for (uint32_t i = 0; i < moment; i++)
		if (log->ops[i].len == 0 && log->ops[i].covers > durable)
			durable = log->ops[i].covers;
	for (uint32_t i = 0; i < moment; i++) {
		const struct memory_op *op = &log->ops[i];
		uint32_t grain = i < durable || loss < 2 ? op->len : 512;

		if (i >= durable && loss == 1)
			continue;
		for (uint32_t at = 0; at < op->len; at += grain)
			if (i < durable || loss == 0 ||
			    content_random(&grown->random) % 2)
				memcpy(bytes + op->off + at, op->data + at,
				       op->len - at < grain ? op->len - at :
							      grain);
	}
}

/* A crash after each write and sync, with nothing, all, or some of it lost. */
static uint32_t grown_crashes(struct grown *grown, uint32_t *n_bad)
{
	struct memory *memory = &grown->volume.memory;
	struct memory log = *memory;
	uint32_t n = 0, step = log.n_ops / 150 + 1;

	memory->ops = NULL;
	memory->n_ops = memory->room = 0;
	memory->is_recording = false;
	for (uint32_t moment = 0; moment <= log.n_ops; moment++) {
		/* all of the end, where the superblocks are written */
		if (moment % step != 0 && moment + 20 < log.n_ops)
			continue;
		for (uint32_t loss = 0; loss < 4; loss++, n++) {
			grown_crash(grown, &log, moment, loss);
			if (!grown_is_good(grown) && (*n_bad)++ == 0)
				printf("# operation %u of %u, loss %u\n",
				       moment, log.n_ops, loss);
		}
	}
	memory_forget(&log);
	return n;
}

static void grown_grow(struct grown *grown, const char *what)
{
	struct memory *memory = &grown->volume.memory;
	const char *reason = NULL;
	uint32_t n_bad = 0, n;
	struct super super;
	int error;

	memcpy(grown->before, memory->bytes, memory->medium.size);
	memory->is_recording = true;
	error = resize_volume(&memory->medium, &grown->how, &super, &reason);
	ok(error == 0, "resize: %s: %s", what, error == 0 ? "done" : reason);
	grown->new_size = super.size;
	ok(error == 0 && super.size > grown->old_size,
	   "resize: %s: from %llu to %llu", what,
	   (unsigned long long)grown->old_size, (unsigned long long)super.size);
	n = grown_crashes(grown, &n_bad);
	ok(n_bad == 0, "resize: %s: %u of %u crashes leave it damaged", what,
	   n_bad, n);
	/* and without a crash */
	memcpy(memory->bytes, grown->before, memory->medium.size);
	resize_volume(&memory->medium, &grown->how, &super, &reason);
	ok(super.size == grown->new_size && grown_is_good(grown),
	   "resize: %s: all is as before", what);
	grown->old_size = super.size;
}

static void test_resize(void)
{
	struct grown grown;

	grown_make(&grown, 6 << 20, 12 << 20, 400);
	grown.volume.memory.medium.size = 9 << 20;
	grown_grow(&grown, "a larger medium");
	grown.volume.memory.medium.size = 12 << 20;
	grown_grow(&grown, "a larger medium again");
	grown.how = (struct resize_options){ .size = 40 << 20,
					     .may_overcommit = true };
	grown_grow(&grown, "a larger disk only");
	grown_free(&grown);
	/* of a volume that is nearly full some segments have to be emptied */
	grown_make(&grown, 6 << 20, 6 << 20, 3000);
	grown.how = (struct resize_options){ .size = 100 << 20,
					     .may_overcommit = true };
	grown_grow(&grown, "a much larger disk");
	grown_free(&grown);
}

static void test_resize_refusals(void)
{
	struct resize_options how = { .size = 4096 };
	struct super super;
	struct grown grown;
	struct medium *medium = &grown.volume.memory.medium;
	const char *reason = NULL;
	int error;

	grown_make(&grown, 6 << 20, 6 << 20, 10);
	error = resize_volume(medium, &how, &super, &reason);
	ok(error == -EINVAL && strstr(reason, "smaller") != NULL,
	   "resize: not smaller: %s", reason);
	how.size = 64 << 20;
	error = resize_volume(medium, &how, &super, &reason);
	ok(error == -EINVAL && strstr(reason, "too small") != NULL,
	   "resize: not more than fits: %s", reason);
	how.size = 4097;
	error = resize_volume(medium, &how, &super, &reason);
	ok(error == -EINVAL && strstr(reason, "multiple") != NULL,
	   "resize: not so: %s", reason);
	medium->size -= 4096;
	how.size = 0;
	error = resize_volume(medium, &how, &super, &reason);
	ok(error == -ENOTSUP, "resize: not where some is missing: %s", reason);
	medium->size += 4096;
	error = resize_volume(medium, &how, &super, &reason);
	ok(error == 0 && super.size == grown.old_size,
	   "resize: nothing to do: %s, %llu", strerror(-error),
	   (unsigned long long)super.size);
	grown.new_size = grown.old_size;
	ok(grown_is_good(&grown), "resize: all is as before");
	grown_free(&grown);
}

static void test_parse(void)
{
	static const char *const bad[] = {
		"",	     "errors",	 "queue=",    "queue=0",
		"queue=-1s", "queue=1h", "queue=61m", "queue=99999999999999999",
		"queue=3s ", "Queue",
	};
	uint32_t ms;

	ok(onfull_parse("error", &ms) && ms == 0, "parse: error");
	ok(onfull_parse("queue", &ms) && ms == 60000, "parse: queue");
	ok(onfull_parse("queue=5s", &ms) && ms == 5000, "parse: queue=5s");
	ok(onfull_parse("queue=5", &ms) && ms == 5000, "parse: queue=5");
	ok(onfull_parse("queue=60m", &ms) && ms == 3600000, "parse: queue=60m");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!onfull_parse(bad[i], &ms), "parse: not '%s'", bad[i]);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	test_stats();
	test_parse();
	test_error();
	test_queue();
	test_timeout();
	test_backing();
	test_recompress();
	test_resize();
	test_resize_refusals();
	return tap_done();
}
