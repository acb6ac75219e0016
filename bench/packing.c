/* SPDX-License-Identifier: MIT */
/*
 * packing - the engine of compressed volumes on a disk in memory, without a
 * kernel between. Run by bench/pack.
 *
 *	packing speed|amplification|memory|recovery|count [OPTION]...
 *
 * speed: MB/s of requests, beside what zstd reaches with a kept context on the
 * same blocks at the same level, in the same number of threads; they take
 * turns, round by round, and the median counts. Sequential ones are compared
 * with frames of the largest record, and of a block: the engine makes such ones
 * where larger ones gain no space, so that a block can be read alone.
 * amplification: bytes written to the medium for a byte of random 4k writes.
 * memory: how long it takes to make and open a volume of 1 TiB, and what it
 * takes to fill its map cache.
 * recovery: how long it takes to open a volume after a crash.
 * count: bytes of a file that are not zero blocks.
 */
#define ZSTD_STATIC_LINKING_ONLY
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "data.h"
#include "drivers/compress/engine.h"

#define MIB (1ULL << 20)
#define REQUEST_MAX (256U << 10)
#define DEPTH_MAX 32U
#define THREADS_MAX 8U
#define ROUNDS_MAX 41U

struct settings {
	const char *folder;   /* of media that are files */
	const char *file;     /* data to write; NULL: made */
	unsigned int percent; /* of made data that can be packed away */
	unsigned int n_rounds;
	uint64_t span; /* bytes of the volume used */
	int level;
	unsigned int record_blocks;
};

static struct settings settings = { .folder = ".",
				    .percent = 50,
				    .n_rounds = 5,
				    .span = 128 * MIB,
				    .level = 1 };

static void fail(const char *what, int error)
{
	fprintf(stderr, "packing: %s: %s\n", what, strerror(error));
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* --- a medium in memory --- */

struct ram {
	struct medium medium;
	unsigned char *data;
	_Atomic uint64_t n_written; /* bytes */
};

static int ram_read(struct medium *medium, void *buf, size_t len, uint64_t off)
{
	memcpy(buf, ((struct ram *)medium)->data + off, len);
	return 0;
}

static int ram_write(struct medium *medium, const void *buf, size_t len,
		     uint64_t off)
{
	struct ram *ram = (struct ram *)medium;

	memcpy(ram->data + off, buf, len);
	atomic_fetch_add(&ram->n_written, len);
	return 0;
}

static int ram_sync(struct medium *medium)
{
	(void)medium;
	return 0;
}

static void ram_open(struct ram *ram, uint64_t size, bool is_touched)
{
	void *data = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (data == MAP_FAILED)
		fail("memory", errno);
	*ram = (struct ram){ .medium = { .size = size,
					 .read = ram_read,
					 .write = ram_write,
					 .sync = ram_sync },
			     .data = data };
	if (is_touched)
		memset(data, 0, size);
}

static void ram_close(struct ram *ram)
{
	munmap(ram->data, ram->medium.size);
}

/* --- a medium that is a sparse file --- */

struct disk {
	struct medium medium;
	int fd;
};

static int disk_read(struct medium *medium, void *buf, size_t len, uint64_t off)
{
	ssize_t n = pread(((struct disk *)medium)->fd, buf, len, (off_t)off);

	return n == (ssize_t)len ? 0 : -EIO;
}

static int disk_write(struct medium *medium, const void *buf, size_t len,
		      uint64_t off)
{
	ssize_t n = pwrite(((struct disk *)medium)->fd, buf, len, (off_t)off);

	return n == (ssize_t)len ? 0 : -EIO;
}

static int disk_sync(struct medium *medium)
{
	return fdatasync(((struct disk *)medium)->fd) == 0 ? 0 : -errno;
}

/* Without a name: it goes with us. */
static void disk_open(struct disk *disk, uint64_t size)
{
	*disk = (struct disk){ .medium = { .size = size,
					   .read = disk_read,
					   .write = disk_write,
					   .sync = disk_sync } };
	disk->fd = open(settings.folder, O_TMPFILE | O_RDWR, 0600);
	if (disk->fd < 0 || ftruncate(disk->fd, (off_t)size) != 0)
		fail(settings.folder, errno);
}

static void disk_close(struct disk *disk)
{
	close(disk->fd);
}

/* --- data --- */

static unsigned char *data; /* settings.span bytes */

static void data_from_file(const char *path)
{
	FILE *file = fopen(path, "re");
	size_t n;

	if (file == NULL)
		fail(path, errno);
	n = fread(data, 1, settings.span, file);
	fclose(file);
	if (n < settings.span)
		settings.span = n / REQUEST_MAX * REQUEST_MAX;
	if (settings.span == 0)
		fail(path, ENODATA);
}

static void data_make(void)
{
	uint64_t seed = 1;

	data = aligned_alloc(BLOCK_SIZE, settings.span);
	if (data == NULL)
		fail("memory", errno);
	if (settings.file != NULL)
		data_from_file(settings.file);
	else
		data_fill(data, settings.span, settings.percent, &seed);
}

/* --- volumes --- */

static void volume_format(struct medium *medium,
			  const struct format_options *options)
{
	const char *reason = "";
	struct super super;
	int error = engine_format(medium, options, &super, &reason);

	if (error != 0)
		fail(reason, -error);
}

static void volume_make(struct medium *medium)
{
	struct format_options options = { .level = settings.level,
					  .nonce = 1,
					  .record_blocks =
						  settings.record_blocks };

	volume_format(medium, &options);
}

static void volume_open(struct engine *engine, struct medium *medium,
			const struct engine_options *options)
{
	int error = engine_open(engine, medium, options);

	if (error != 0)
		fail(engine->reason, -error);
}

static void volume_close(struct engine *engine)
{
	int error = engine_close(engine);

	if (error != 0)
		fail("close", -error);
}

/* --- requests, as the driver makes them --- */

struct client {
	pthread_t thread;
	struct engine *engine;
	unsigned int worker;
	unsigned int n_clients;
	bool is_write, is_random;
	uint32_t block;
	unsigned int depth;
	unsigned char *buf;
	uint64_t seed;
	uint64_t base;	/* where a sequential one begins */
	uint64_t range; /* of a random one; 0: the span */
};

struct request {
	struct commit commit;
	_Atomic unsigned int *n_left;
};

static void request_done(struct commit *commit, int error)
{
	if (error != 0)
		fail("write", -error);
	atomic_fetch_sub(((struct request *)commit)->n_left, 1);
}

static void client_write(struct client *client, struct request *request,
			 uint64_t off)
{
	int error;

	error = engine_write(client->engine, client->worker,
			     data + off % settings.span, client->block, off,
			     &request->commit);
	if (error != 0)
		fail("write", -error);
}

static void client_read(struct client *client, uint64_t off)
{
	int error = engine_read(client->engine, client->worker, client->buf,
				client->block, off);

	if (error != 0)
		fail("read", -error);
}

static uint64_t client_off(struct client *client, uint64_t i)
{
	uint64_t range = client->range != 0 ? client->range : settings.span;
	uint64_t n = range / client->block;

	if (!client->is_random)
		return client->base + i * client->block;
	return (uint32_t)(data_random(&client->seed) >> 32) * n / (1ULL << 32) *
	       client->block;
}

/* A part of the requests, a queue's depth at a time. */
static void *client_main(void *arg)
{
	struct client *client = arg;
	uint64_t n = settings.span / client->block;
	uint64_t i = n * client->worker / client->n_clients;
	uint64_t end = n * (client->worker + 1) / client->n_clients;
	struct request requests[DEPTH_MAX];
	_Atomic unsigned int n_left;

	for (unsigned int d = 0; d < DEPTH_MAX; d++)
		requests[d] =
			(struct request){ { NULL, request_done }, &n_left };
	while (i < end) {
		unsigned int now_many = client->depth;

		if (now_many > end - i)
			now_many = (unsigned int)(end - i);
		atomic_store(&n_left, client->is_write ? now_many : 0);
		for (unsigned int d = 0; d < now_many; d++, i++) {
			if (client->is_write)
				client_write(client, &requests[d],
					     client_off(client, i));
			else
				client_read(client, client_off(client, i));
		}
		while (atomic_load(&n_left) > 0)
			engine_kick(client->engine);
	}
	return NULL;
}

/* MB/s of one pass. */
static double pass(struct engine *engine, struct client *like,
		   unsigned int n_clients)
{
	struct client clients[THREADS_MAX];
	double start = now();

	for (unsigned int i = 0; i < n_clients; i++) {
		clients[i] = *like;
		clients[i].engine = engine;
		clients[i].worker = i;
		clients[i].n_clients = n_clients;
		clients[i].seed = 2 * like->seed + i + 1;
		clients[i].buf = aligned_alloc(BLOCK_SIZE, REQUEST_MAX);
		pthread_create(&clients[i].thread, NULL, client_main,
			       &clients[i]);
	}
	for (unsigned int i = 0; i < n_clients; i++) {
		pthread_join(clients[i].thread, NULL);
		free(clients[i].buf);
	}
	return (double)settings.span / 1e6 / (now() - start);
}

/* --- the limit --- */

struct limit {
	pthread_t thread;
	unsigned int number, n;
	uint32_t block;
	unsigned char *packed; /* of the whole span, a slot a block */
	size_t *sizes;
	bool is_write;
};

static size_t limit_slot(uint32_t block)
{
	return ZSTD_compressBound(block);
}

static void *limit_main(void *arg)
{
	struct limit *limit = arg;
	ZSTD_CCtx *compressor = ZSTD_createCCtx();
	ZSTD_DCtx *expander = ZSTD_createDCtx();
	unsigned char *plain = malloc(limit->block);
	size_t slot = limit_slot(limit->block),
	       n = settings.span / limit->block;

	for (size_t i = n * limit->number / limit->n;
	     i < n * (limit->number + 1) / limit->n; i++) {
		unsigned char *packed = limit->packed + i * slot;

		if (limit->is_write)
			limit->sizes[i] =
				ZSTD_compressCCtx(compressor, packed, slot,
						  data + i * limit->block,
						  limit->block, settings.level);
		else
			ZSTD_decompressDCtx(expander, plain, limit->block,
					    packed, limit->sizes[i]);
	}
	free(plain);
	ZSTD_freeCCtx(compressor);
	ZSTD_freeDCtx(expander);
	return NULL;
}

static double limit_pass(struct limit *like, unsigned int n)
{
	struct limit limits[THREADS_MAX];
	double start = now();

	for (unsigned int i = 0; i < n; i++) {
		limits[i] = *like;
		limits[i].number = i;
		limits[i].n = n;
		pthread_create(&limits[i].thread, NULL, limit_main, &limits[i]);
	}
	for (unsigned int i = 0; i < n; i++)
		pthread_join(limits[i].thread, NULL);
	return (double)settings.span / 1e6 / (now() - start);
}

/* --- speed --- */

static int compare(const void *one, const void *two)
{
	double a = *(const double *)one, b = *(const double *)two;

	return a < b ? -1 : a > b;
}

static double median(double *values)
{
	qsort(values, settings.n_rounds, sizeof(*values), compare);
	return values[settings.n_rounds / 2];
}

enum { SEQ_WRITE, SEQ_READ, RANDOM_READ, RANDOM_WRITE, N_LOADS };

static const struct client loads[N_LOADS] = {
	{ .is_write = true, .block = 256U << 10, .depth = 4 },
	{ .block = 256U << 10, .depth = 4 },
	{ .is_random = true, .block = 4096, .depth = 32 },
	{ .is_write = true, .is_random = true, .block = 4096, .depth = 32 },
};

static const char *const load_names[N_LOADS] = { "sequential write 256k",
						 "sequential read 256k",
						 "random read 4k",
						 "random write 4k" };

static void speed_limits(double limits[2][ROUNDS_MAX], struct limit *limit,
			 unsigned int n, unsigned int round)
{
	limit->is_write = true;
	limits[0][round] = limit_pass(limit, n);
	limit->is_write = false;
	limits[1][round] = limit_pass(limit, n);
}

static void speed_print(unsigned int n, const char *name, uint32_t frame,
			double got, double most)
{
	printf("%u thread%s %-22s %6.0f MB/s, zstd alone in frames of %2uk "
	       "%6.0f MB/s, ratio %.2f\n",
	       n, n == 1 ? ", " : "s,", name, got, frame >> 10, most,
	       got / most);
}

static void speed_measure(struct ram *ram, unsigned int n)
{
	double got[N_LOADS][ROUNDS_MAX], most[2][ROUNDS_MAX];
	double most4[2][ROUNDS_MAX];
	struct engine engine;
	struct engine_options options = { .n_workers = n };
	struct limit limit = { 0 }, limit4 = { .block = BLOCK_SIZE };

	volume_make(&ram->medium);
	volume_open(&engine, &ram->medium, &options);
	limit.block = engine.super.record_blocks * BLOCK_SIZE;
	limit4.packed = limit.packed =
		malloc(limit_slot(BLOCK_SIZE) * (settings.span / BLOCK_SIZE));
	limit4.sizes = limit.sizes =
		calloc(settings.span / BLOCK_SIZE, sizeof(size_t));
	for (unsigned int round = 0; round < settings.n_rounds; round++) {
		for (int i = 0; i < N_LOADS; i++) {
			struct client client = loads[i];

			got[i][round] = pass(&engine, &client, n);
		}
		speed_limits(most, &limit, n, round);
		speed_limits(most4, &limit4, n, round);
	}
	for (int i = 0; i < 2; i++) {
		speed_print(n, load_names[i], limit.block, median(got[i]),
			    median(most[i]));
		speed_print(n, load_names[i], BLOCK_SIZE, median(got[i]),
			    median(most4[i]));
	}
	speed_print(n, load_names[2], BLOCK_SIZE, median(got[2]),
		    median(most4[1]));
	speed_print(n, load_names[3], BLOCK_SIZE, median(got[3]),
		    median(most4[0]));
	volume_close(&engine);
	free(limit.packed);
	free(limit.sizes);
}

static void speed(void)
{
	struct ram ram;

	ram_open(&ram, 4 * settings.span + 256 * MIB, true);
	for (unsigned int n = 1; n <= 2; n++)
		speed_measure(&ram, n);
	ram_close(&ram);
}

/* --- what there is to store --- */

static void count(void)
{
	static uint64_t block[BLOCK_SIZE / 8];
	FILE *file = fopen(settings.file != NULL ? settings.file : "", "re");
	unsigned long long bytes = 0;

	if (file == NULL)
		fail("file", errno);
	while (fread(block, sizeof(block), 1, file) == 1)
		bytes += is_zero_block(block) ? 0 : sizeof(block);
	fclose(file);
	printf("%llu\n", bytes);
}

/* --- write amplification --- */

#define AMPLIFY_MEDIUM (1024 * MIB)
#define AMPLIFY_SEGMENT MIB	/* a thousand of them, as on 10 GiB */
#define AMPLIFY_SHOT (16 * MIB) /* of writes between looks at the time */

static double share_live(const struct engine *engine)
{
	return (double)engine->map.space.live_bytes /
	       ((double)engine->super.n_segments * engine->super.segment_size);
}

/* Write until so much of all segments is live. Return: bytes of the disk. */
static uint64_t amplify_fill(struct engine *engine, double fill)
{
	struct client client = loads[SEQ_WRITE];
	uint64_t size = 0;

	while (share_live(engine) < fill) {
		client.base = size;
		pass(engine, &client, 1);
		size += settings.span;
	}
	return size;
}

/* What a byte of random 4k writes makes of writes, once it is steady. */
static void amplify_measure(double fill, double model)
{
	struct format_options format = { .level = settings.level,
					 .nonce = 1,
					 .segment_size = AMPLIFY_SEGMENT,
					 .size = 4 * AMPLIFY_MEDIUM,
					 .may_overcommit = true };
	struct client client = loads[RANDOM_WRITE];
	uint64_t size, done = 0, before = 0, log = 0, moved = 0;
	struct engine engine;
	struct ram ram;
	double ratio;

	ram_open(&ram, AMPLIFY_MEDIUM, true);
	volume_format(&ram.medium, &format);
	volume_open(&engine, &ram.medium,
		    &(struct engine_options){ .n_workers = 1 });
	size = amplify_fill(&engine, fill);
	client.range = size;
	for (int part = 0; part < 2; part++) {
		before = ram.n_written;
		log = engine.log.n_bytes;
		moved = engine.n_moved_bytes;
		for (done = 0; done < 3 * size; done += settings.span) {
			pass(&engine, &client, 1);
			client.seed++;
		}
	}
	ratio = (double)engine.map.n_mapped * BLOCK_SIZE /
		(double)engine.map.space.live_bytes;
	printf("%u %% packable, fill %.2f (%.0f MiB in %llu): ratio %.2f, "
	       "amplification %.2f (cleaner %.2f, map %.2f), model %.2f + map\n",
	       settings.percent, share_live(&engine), (double)size / MIB,
	       AMPLIFY_MEDIUM / MIB, ratio,
	       (double)(ram.n_written - before) / (double)done,
	       (double)(engine.n_moved_bytes - moved) / (double)done,
	       (double)(ram.n_written - before - (engine.log.n_bytes - log)) /
		       (double)done,
	       model / ratio);
	volume_close(&engine);
	ram_close(&ram);
}

static void amplification(void)
{
	amplify_measure(0.5, 1.25);
	amplify_measure(0.7, 1.9);
	amplify_measure(0.8, 2.7);
	/* it takes no more: a tenth is kept free, and ends of segments */
	amplify_measure(0.83, 3.2);
}

/* --- a large volume --- */

static unsigned long memory_kb(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long kb = 0;
	char line[256];

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "RssAnon: %lu", &kb) == 1)
			break;
	if (file != NULL)
		fclose(file);
	return kb;
}

static void memory_measure(uint64_t size)
{
	struct client client = loads[RANDOM_WRITE];
	struct engine_options options = { .n_workers = 2 };
	unsigned long before = memory_kb(), opened;
	double start = now(), formatted, ready;
	struct engine engine;
	struct disk disk;

	disk_open(&disk, size);
	volume_make(&disk.medium);
	formatted = now();
	volume_open(&engine, &disk.medium, &options);
	ready = now();
	opened = memory_kb();
	client.range = engine.super.size;
	pass(&engine, &client, 1);
	printf("%llu GiB: format %.3f s, open %.3f s, memory %lu MiB, "
	       "after %llu writes all over it %lu MiB\n",
	       (unsigned long long)size >> 30, formatted - start,
	       ready - formatted, (opened - before) >> 10,
	       (unsigned long long)settings.span / BLOCK_SIZE,
	       (memory_kb() - before) >> 10);
	volume_close(&engine);
	start = now();
	volume_open(&engine, &disk.medium, &options);
	printf("%llu GiB: open with that %.3f s\n",
	       (unsigned long long)size >> 30, now() - start);
	volume_close(&engine);
	disk_close(&disk);
}

static void memory(void)
{
	for (uint64_t size = 1ULL << 30; size <= 1ULL << 40; size <<= 5)
		memory_measure(size);
}

/* --- recovery --- */

#define RECOVERY_MEDIUM (10ULL << 30)
#define RECOVERY_WRITTEN (1ULL << 30)

/* Open it after a crash before which so much was written. */
static void recovery_measure(const struct client *like, const char *name,
			     bool is_manual)
{
	/* if manual, no checkpoint but that of its opening */
	struct engine_options options = { .n_workers = 1,
					  .is_manual = is_manual };
	struct client client = *like;
	struct engine engine;
	struct disk disk;
	clock_t used;
	double start;

	disk_open(&disk, RECOVERY_MEDIUM);
	volume_make(&disk.medium);
	volume_open(&engine, &disk.medium, &options);
	client.range = client.is_random ? engine.super.size : 0;
	for (uint64_t at = 0; at < RECOVERY_WRITTEN; at += settings.span) {
		client.base = client.is_random ? 0 : at;
		pass(&engine, &client, 1);
		client.seed++;
	}
	engine_abandon(&engine);
	disk_sync(&disk.medium);
	/* from the disk, not from the page cache */
	posix_fadvise(disk.fd, 0, 0, POSIX_FADV_DONTNEED);
	start = now();
	used = clock();
	volume_open(&engine, &disk.medium,
		    &(struct engine_options){ .n_workers = 1 });
	used = clock() - used;
	printf("%u %% packable, 1 GiB of %s: %llu batches, open %.2f s, "
	       "processor %.2f s\n",
	       settings.percent, name, (unsigned long long)engine.n_replayed,
	       now() - start, (double)used / CLOCKS_PER_SEC);
	volume_close(&engine);
	disk_close(&disk);
}

static void recovery(void)
{
	struct client one_by_one = loads[RANDOM_WRITE];

	one_by_one.depth = 1;
	recovery_measure(&loads[SEQ_WRITE], load_names[SEQ_WRITE], true);
	recovery_measure(&loads[RANDOM_WRITE], load_names[RANDOM_WRITE], true);
	recovery_measure(&one_by_one, "random 4k write, one by one", true);
	recovery_measure(&one_by_one,
			 "random 4k write, one by one, with checkpoints",
			 false);
}

static void parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "d:f:p:n:s:l:b:")) != -1) {
		switch (c) {
		case 'd':
			settings.folder = optarg;
			break;
		case 'f':
			settings.file = optarg;
			break;
		case 'p':
			settings.percent = (unsigned int)atoi(optarg);
			break;
		case 'n':
			settings.n_rounds = (unsigned int)atoi(optarg);
			break;
		case 's':
			settings.span = strtoull(optarg, NULL, 0) * MIB;
			break;
		case 'l':
			settings.level = atoi(optarg);
			break;
		case 'b':
			settings.record_blocks = (unsigned int)atoi(optarg);
			break;
		default:
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (argc > 1)
		parse(argc - 1, argv + 1);
	if (strcmp(mode, "count") != 0)
		data_make();
	if (strcmp(mode, "speed") == 0)
		speed();
	else if (strcmp(mode, "count") == 0)
		count();
	else if (strcmp(mode, "amplification") == 0)
		amplification();
	else if (strcmp(mode, "memory") == 0)
		memory();
	else if (strcmp(mode, "recovery") == 0)
		recovery();
	else
		return 2;
	return 0;
}
