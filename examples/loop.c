/* SPDX-License-Identifier: MIT */
/*
 * loop - a regular file as a disk, whose driver can be replaced while it is in
 * use, and can be restarted after a crash.
 *
 *	cc loop.c $(pkg-config --cflags --libs bdus) -o loop
 *	./loop disk.img			makes a device
 *	./loop disk.img /dev/bdus-0	becomes the driver of that device
 *
 * The second form is how a driver is upgraded: a new version takes over, and
 * clients notice a pause at most. It also takes over after the first was
 * killed, since all that matters is in the file: what was acknowledged was
 * written before, and a request that comes twice does no harm.
 */
#define BDUS_REQUIRE_VERSION_MAJOR 0
#define BDUS_REQUIRE_VERSION_MINOR 1
#define BDUS_REQUIRE_VERSION_PATCH 0

#define _GNU_SOURCE 1
#include <bdus.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A read or write may do less than it was asked for. */
static int loop_read(char *buffer, uint64_t offset, uint32_t size,
		     struct bdus_ctx *ctx)
{
	int fd = *(int *)ctx->private_data;

	while (size > 0) {
		ssize_t n = pread(fd, buffer, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		buffer += n;
		offset += (uint64_t)n;
		size -= (uint32_t)n;
	}
	return 0;
}

static int loop_write(const char *buffer, uint64_t offset, uint32_t size,
		      struct bdus_ctx *ctx)
{
	int fd = *(int *)ctx->private_data;

	while (size > 0) {
		ssize_t n = pwrite(fd, buffer, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		buffer += n;
		offset += (uint64_t)n;
		size -= (uint32_t)n;
	}
	return 0;
}

/* Without this, the device would promise that writes are durable at once. */
static int loop_flush(struct bdus_ctx *ctx)
{
	int fd = *(int *)ctx->private_data;

	return fdatasync(fd) == 0 ? 0 : errno;
}

static int loop_punch(uint64_t offset, uint32_t size, int mode,
		      struct bdus_ctx *ctx)
{
	int fd = *(int *)ctx->private_data;

	if (fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, size) == 0)
		return 0;
	return errno;
}

static int loop_discard(uint64_t offset, uint32_t size, struct bdus_ctx *ctx)
{
	return loop_punch(offset, size, FALLOC_FL_PUNCH_HOLE, ctx);
}

static int loop_write_zeros(uint64_t offset, uint32_t size, bool may_unmap,
			    struct bdus_ctx *ctx)
{
	int mode = may_unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;

	return loop_punch(offset, size, mode, ctx);
}

static const struct bdus_ops loop_ops = {
	.read = loop_read,
	.write = loop_write,
	.write_zeros = loop_write_zeros,
	.flush = loop_flush,
	.discard = loop_discard,
};

/* To the whole of the file; recoverable, so that a crash is not the end. */
static int loop_open(const char *path, struct bdus_attrs *attrs)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0) {
		fprintf(stderr, "loop: %s: %s\n", path, strerror(errno));
		return -1;
	}
	attrs->logical_block_size = 512;
	attrs->size = (uint64_t)st.st_size;
	attrs->max_concurrent_callbacks = 4;
	attrs->recoverable = true;
	return fd;
}

int main(int argc, char **argv)
{
	struct bdus_attrs attrs = { 0 };
	uint64_t id;
	bool is_done;
	int fd;

	if (argc != 2 && argc != 3) {
		fprintf(stderr, "usage: loop FILE [DEVICE]\n");
		return 2;
	}
	fd = loop_open(argv[1], &attrs);
	if (fd < 0)
		return 1;
	if (argc == 2)
		is_done = bdus_run(&loop_ops, &attrs, &fd);
	else
		is_done = bdus_get_dev_id_from_path(&id, argv[2]) &&
			  bdus_rerun(id, &loop_ops, &attrs, &fd);
	if (!is_done)
		fprintf(stderr, "loop: %s\n", bdus_get_error_message());
	close(fd);
	return is_done ? 0 : 1;
}
