/* SPDX-License-Identifier: MIT */
/*
 * compressfill - writes to and reads from a compressed volume without a device,
 * so that the actions have something to look at.
 *
 * compressfill FILE STEP...: write=LBA,N,VERSION, verify=LBA,N,VERSION,
 * discard=LBA,N, checkpoint, kill (as SIGKILL would leave it).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "content.h"
#include "drivers/compress/engine.h"

struct file {
	struct medium medium;
	int fd;
};

static int file_read(struct medium *medium, void *buf, size_t len, uint64_t off)
{
	ssize_t n = pread(((struct file *)medium)->fd, buf, len, (off_t)off);

	return n == (ssize_t)len ? 0 : -EIO;
}

static int file_write(struct medium *medium, const void *buf, size_t len,
		      uint64_t off)
{
	ssize_t n = pwrite(((struct file *)medium)->fd, buf, len, (off_t)off);

	return n == (ssize_t)len ? 0 : -EIO;
}

static int file_sync(struct medium *medium)
{
	return fdatasync(((struct file *)medium)->fd) == 0 ? 0 : -errno;
}

static int write_block(struct engine *engine, uint64_t lba, uint64_t version)
{
	unsigned char block[CONTENT_BYTES];
	struct waiter waiter;

	content_fill(block, lba, version);
	waiter_init(&waiter);
	return waiter_wait(&waiter, engine,
			   engine_write(engine, 0, block, CONTENT_BYTES,
					lba * CONTENT_BYTES, &waiter.commit));
}

static int verify_block(struct engine *engine, uint64_t lba, uint64_t version)
{
	unsigned char block[CONTENT_BYTES];
	int error = engine_read(engine, 0, block, CONTENT_BYTES,
				lba * CONTENT_BYTES);

	return error != 0		       ? error :
	       content_is(block, lba, version) ? 0 :
						 -EILSEQ;
}

static int discard(struct engine *engine, uint64_t lba, uint64_t n)
{
	struct waiter waiter;

	waiter_init(&waiter);
	return waiter_wait(&waiter, engine,
			   engine_zero(engine, n * CONTENT_BYTES,
				       lba * CONTENT_BYTES, true,
				       &waiter.commit));
}

static int step(struct engine *engine, const char *text)
{
	unsigned long long lba, n, version;
	int error = 0;

	if (strcmp(text, "checkpoint") == 0)
		return engine_checkpoint(engine);
	if (sscanf(text, "discard=%llu,%llu", &lba, &n) == 2)
		return discard(engine, lba, n);
	if (sscanf(text, "write=%llu,%llu,%llu", &lba, &n, &version) == 3) {
		for (; error == 0 && n > 0; n--, lba++)
			error = write_block(engine, lba, version);
		return error;
	}
	if (sscanf(text, "verify=%llu,%llu,%llu", &lba, &n, &version) == 3) {
		for (; error == 0 && n > 0; n--, lba++)
			error = verify_block(engine, lba, version);
		return error;
	}
	return -EINVAL;
}

int main(int argc, char **argv)
{
	struct engine_options how = { .n_workers = 1, .is_manual = true };
	struct file file = { .medium = { .read = file_read,
					 .write = file_write,
					 .sync = file_sync } };
	struct engine engine;
	struct stat st;
	int error;

	file.fd = argc > 1 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
	if (file.fd < 0 || fstat(file.fd, &st) != 0) {
		perror(argc > 1 ? argv[1] : "compressfill");
		return 1;
	}
	file.medium.size = (uint64_t)st.st_size;
	error = engine_open(&engine, &file.medium, &how);
	for (int i = 2; error == 0 && i < argc; i++) {
		if (strcmp(argv[i], "kill") == 0)
			return 0;
		error = step(&engine, argv[i]);
		if (error != 0)
			fprintf(stderr, "%s: %s\n", argv[i], strerror(-error));
	}
	return error == 0 && engine_close(&engine) == 0 ? 0 : 1;
}
