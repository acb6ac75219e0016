/* SPDX-License-Identifier: MIT */
/*
 * callbacks.h - a driver's callbacks, run without a kernel: what tests share.
 *
 * Stands in for worker.c: a request is answered into struct request. To be
 * linked with the drivers and the rest of the runtime.
 */
#ifndef BDUS_CALLBACKS_H
#define BDUS_CALLBACKS_H

#include <fcntl.h>
#include <pthread.h>
#include <stdalign.h>
#include <sys/stat.h>

#include "dev.h"
#include "kept.h"
#include "msg.h"
#include "opt.h"
#include "tap.h"

#define MAX_WORDS 12
#define MAX_IO (256U << 10)
#define N_STEPS 3000
#define N_THREADS 4

struct request {
	struct io io; /* first: io_done() gets a pointer to it */
	bool is_read;
	_Atomic int n_answers;
	int error;
	void *addr; /* where the driver wants the data to or has it */
};

static alignas(4096) unsigned char buffer[MAX_IO];
static char caught[4096];
static __thread unsigned int worker;

/* --- the runtime's side -------------------------------------------------- */

static inline void answer(struct io *io, int error, void *addr)
{
	struct request *request = (struct request *)io;

	request->error = error < 0 ? -error : error;
	request->addr = addr;
	request->n_answers++;
}

/* Another thread may be about to answer. Return: how often it was answered. */
static inline int answers(struct request *request)
{
	for (int i = 0; request->n_answers == 0 && i < 10000; i++)
		usleep(1000);
	return request->n_answers;
}

unsigned int io_worker(const struct io *io)
{
	(void)io;
	return worker;
}

/* What was deferred is settled after each request. */
void io_defer(const struct io *io)
{
	(void)io;
}

static void serve(struct dev *dev, enum kbdus_op op, struct io *io)
{
	dev->serve[op](io);
	if (dev->driver->settle != NULL)
		dev->driver->settle(dev);
}

void io_done(struct io *io, int error)
{
	answer(io, error, io->buf);
}

void io_done_addr(struct io *io, void *addr)
{
	answer(io, 0, addr);
}

void io_done_zero(struct io *io)
{
	memset(io->buf, 0, io->len);
	answer(io, 0, io->buf);
}

/* Drivers keep pointers into their words: they stay to the end. */
static inline char *keep_word(const char *word)
{
	static char text[16384];
	static size_t used;
	char *kept = text + used;

	used += (size_t)snprintf(kept, sizeof(text) - used, "%s", word) + 1;
	if (used >= sizeof(text))
		abort();
	return kept;
}

static inline void free_dev(struct dev *dev)
{
	free(dev->priv);
	if (dev->kept_memory != NULL)
		kept_memory_free(dev->kept_memory);
}

static inline int start_driver(struct dev *dev)
{
	int code = dev_start_driver(dev);

	if (code != EXIT_DONE)
		dev_close(dev);
	return code;
}

/* @dev is a candidate for the device of @old, which has the lock. */
static inline void rerun_dev(struct dev *dev, const struct dev *old)
{
	dev->is_rerun = true;
	dev->has_kept = true;
	dev->old.attributes = old->attrs;
	dev->control = open("/dev/null", O_RDONLY);
}

/*
 * Opens a driver with the words of a command line, NULL at the end; for a
 * device of its own, or for that of @old.
 */
static inline int open_words_over(struct dev *dev, const struct dev *old,
				  const struct driver *driver,
				  unsigned int flags, const char *const *words)
{
	static char *argv[MAX_WORDS];
	struct opt_group groups[] = { { .opts = driver->opts },
				      { .opts = NULL } };
	int argc = 0, code = EXIT_USAGE;

	memset(dev, 0, sizeof(*dev));
	dev->driver = driver;
	dev->control = -1;
	dev->n_workers = N_THREADS;
	if (driver->kept_size > 0)
		dev->kept_memory =
			kept_memory_make(driver->name, driver->kept_size);
	dev->attrs.flags = flags;
	if (old != NULL)
		rerun_dev(dev, old);
	dev->priv = groups[0].base = calloc(1, driver->priv_size);
	for (; words[argc] != NULL; argc++)
		argv[argc] = keep_word(words[argc]);
	dev->operands = argv;
	if (opt_parse("test", groups, argc, argv) == driver->n_operands)
		code = dev_open(dev);
	if (code == EXIT_DONE && old == NULL)
		code = start_driver(dev);
	if (code != EXIT_DONE)
		free_dev(dev);
	return code;
}

static inline int open_words(struct dev *dev, const struct driver *driver,
			     unsigned int flags, const char *const *words)
{
	return open_words_over(dev, NULL, driver, flags, words);
}

#define OPEN(dev, driver, flags, ...)   \
	open_words(dev, &driver, flags, \
		   (const char *const[]){ __VA_ARGS__, NULL })

/* The operands stay: each is the last thing that can name them. */
static inline void close_dev(struct dev *dev, const char *what)
{
	ok(dev_close(dev) == EXIT_DONE, "%s: closes", what);
	free_dev(dev);
}

/* One request; returns the driver's error, -1 when it did not answer once. */
static inline int run(struct dev *dev, enum kbdus_op op, uint64_t off,
		      uint32_t len, unsigned char *data)
{
	struct request request = {
		.io = { .off = off,
			.len = len,
			.buf = data,
			.dev = dev,
			.tag = (uint16_t)worker },
	};

	serve(dev, op, &request.io);
	if (answers(&request) != 1)
		return -1;
	if (request.error != 0 || request.addr == data)
		return request.error;
	if (op == KBDUS_OP_READ)
		memcpy(data, request.addr, len);
	else if (op == KBDUS_OP_WRITE)
		memcpy(request.addr, data, len);
	return 0;
}

static inline int run_zeroes(struct dev *dev, uint64_t off, uint32_t len,
			     bool may_unmap)
{
	struct request request = {
		.io = { .off = off,
			.len = len,
			.buf = buffer,
			.may_unmap = may_unmap,
			.dev = dev },
	};

	serve(dev, KBDUS_OP_WRITE_ZEROES, &request.io);
	return answers(&request) == 1 ? request.error : -1;
}

/* Does a range of the device read as these bytes (NULL: as zeroes)? */
static inline bool reads_as(struct dev *dev, uint64_t off, uint32_t len,
			    const unsigned char *wanted)
{
	if (run(dev, KBDUS_OP_READ, off, len, buffer) != 0)
		return false;
	for (uint32_t i = 0; i < len; i++)
		if (buffer[i] != (wanted != NULL ? wanted[i] : 0))
			return false;
	return true;
}

/* --- data against a model ------------------------------------------------ */

static inline void fill(unsigned char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (unsigned char)rand();
}

static inline bool step_data(struct dev *dev, enum kbdus_op op,
			     unsigned char *model, uint32_t off, uint32_t len)
{
	fill(buffer, len);
	memcpy(model + off, buffer, len);
	return run(dev, op, off, len, buffer) == 0;
}

static inline bool step_zero(struct dev *dev, enum kbdus_op op,
			     unsigned char *model, uint32_t off, uint32_t len)
{
	memset(model + off, 0, len);
	if (op == KBDUS_OP_DISCARD)
		return run(dev, op, off, len, buffer) == 0;
	return run_zeroes(dev, off, len, rand() % 2);
}

static inline bool model_step(struct dev *dev, unsigned char *model,
			      uint32_t block)
{
	uint32_t n_blocks = (uint32_t)dev->attrs.size / block;
	uint32_t first = (uint32_t)rand() % n_blocks;
	uint32_t max = rand() % 8 == 0 ? MAX_IO / block : 24;
	uint32_t left = n_blocks - first;
	uint32_t n = 1 + (uint32_t)rand() % (left < max ? left : max);
	uint32_t off = first * block, len = n * block;
	enum kbdus_op op = (enum kbdus_op)(rand() % KBDUS_OP_SECURE_ERASE);

	if (dev->serve[op] == NULL || !(dev->attrs.ops & (1U << op)))
		return true;
	switch (op) {
	case KBDUS_OP_WRITE:
	case KBDUS_OP_FUA_WRITE:
		return step_data(dev, op, model, off, len);
	case KBDUS_OP_FLUSH:
		return run(dev, op, 0, 0, NULL) == 0;
	case KBDUS_OP_WRITE_ZEROES:
		return !step_zero(dev, op, model, off, len);
	case KBDUS_OP_DISCARD:
		return step_zero(dev, op, model, off, len);
	default:
		return reads_as(dev, off, len, model + off);
	}
}

static inline bool model_matches(struct dev *dev, const unsigned char *model)
{
	uint32_t len, size = (uint32_t)dev->attrs.size;

	for (uint32_t off = 0; off < size; off += len) {
		len = size - off < MAX_IO ? size - off : MAX_IO;
		if (!reads_as(dev, off, len, model + off))
			return false;
	}
	return true;
}

static inline void check_model(struct dev *dev, const char *what)
{
	unsigned char *model = calloc(1, dev->attrs.size);
	uint32_t block = dev->attrs.logical_block_size;
	int step = 0;

	while (step < N_STEPS && model_step(dev, model, block))
		step++;
	ok(step == N_STEPS, "%s: %d random requests (%d done)", what, N_STEPS,
	   step);
	ok(model_matches(dev, model), "%s: content is the model's", what);
	free(model);
}

/* --- threads ------------------------------------------------------------- */

struct part {
	struct dev *dev;
	unsigned int number;
	uint32_t first;
	bool is_right;
};

/* Own blocks, every N_THREADS-th, so that neighbours are somebody else's. */
static inline void *part_main(void *arg)
{
	struct part *part = arg;
	alignas(4096) unsigned char data[4096];
	uint32_t step = N_THREADS * 4096;

	worker = part->number;
	part->is_right = true;
	for (uint32_t off = part->first; off < (1U << 20); off += step) {
		memset(data, (int)(off / 4096 % 251), sizeof(data));
		if (run(part->dev, KBDUS_OP_WRITE, off, 4096, data) != 0)
			part->is_right = false;
	}
	for (uint32_t off = part->first; off < (1U << 20); off += step) {
		if (run(part->dev, KBDUS_OP_READ, off, 4096, data) != 0 ||
		    data[0] != off / 4096 % 251 || data[4095] != data[0])
			part->is_right = false;
	}
	return NULL;
}

static inline void check_threads(struct dev *dev, const char *what)
{
	struct part parts[N_THREADS];
	pthread_t threads[N_THREADS];
	bool is_right = true;

	for (uint32_t i = 0; i < N_THREADS; i++) {
		parts[i] = (struct part){ .dev = dev,
					  .number = i,
					  .first = i * 4096 };
		pthread_create(&threads[i], NULL, part_main, &parts[i]);
	}
	for (int i = 0; i < N_THREADS; i++) {
		pthread_join(threads[i], NULL);
		is_right = is_right && parts[i].is_right;
	}
	ok(is_right, "%s: %d threads at once", what, N_THREADS);
}

/* --- files --------------------------------------------------------------- */

static char dir[64];
static char path[96];

static inline void make_file(off_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, size) != 0)
		perror(path);
	close(fd);
}

/* --- the program --------------------------------------------------------- */

/* Return: whether there is a folder for files. */
static inline bool drivers_begin(void)
{
	const char *tmp = getenv("TMPDIR");

	setvbuf(stdout, NULL, _IOLBF, 0);
	srand(1);
	tap_catch();
	snprintf(dir, sizeof(dir), "%.40s/bdus-test-XXXXXX",
		 tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL) {
		perror(dir);
		return false;
	}
	snprintf(path, sizeof(path), "%s/file", dir);
	return true;
}

static inline int drivers_done(void)
{
	rmdir(dir);
	return tap_done();
}

#endif /* BDUS_CALLBACKS_H */
