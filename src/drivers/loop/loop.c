/* SPDX-License-Identifier: MIT */
/*
 * loop - a file or block device as a disk.
 *
 * The backing is ours alone while the device lives, by a lock that the next
 * driver of the device inherits. Its errors are the client's.
 * A file is never made longer: one that was cut short by somebody else gives
 * EIO from there on, for reads by their short count, for the rest by a look at
 * its size first (which that somebody can still win a race against).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "loop.h"
#include "msg.h"

#ifndef RWF_DSYNC
#define RWF_DSYNC 0x00000002
#endif

/*
 * Bounds for requests without payload: one of them is to end well within the
 * time after which a driver counts as stuck, even where all is written out.
 */
#define LOOP_MAX_DISCARD (1U << 30)
#define LOOP_MAX_ZERO (64U << 20)

static const struct opt loop_opts[] = {
	OPT_SIZE("offset", 'o', struct loop, offset, 0, 0, INT64_MAX, NULL,
		 "where the disk starts in the backing"),
	OPT_SIZE("sizelimit", 0, struct loop, sizelimit, 0, 512, INT64_MAX,
		 NULL, "use no more than this of the backing"),
	OPT_BOOL("direct", 0, struct loop, is_direct,
		 "bypass the page cache of the backing (O_DIRECT)"),
	OPT_BOOL("create", 0, struct loop, is_new,
		 "make FILE, sparse; it must not exist"),
	OPT_SIZE("size", 's', struct loop, create_size, 0, 512, INT64_MAX, NULL,
		 "size of the file that --create makes"),
	OPT_END
};

static int loop_open(struct dev *dev)
{
	struct kbdus_attributes *attrs = dev_attrs(dev);
	struct loop *loop = dev_priv(dev);

	loop->fd = -1;
	loop->lock_fd = -1;
	loop->kept = dev_kept_memory(dev);
	loop->is_read_only = attrs->flags & KBDUS_DEVICE_READ_ONLY;
	attrs->max_discard = LOOP_MAX_DISCARD;
	attrs->max_write_zeroes = LOOP_MAX_ZERO;
	attrs->max_secure_erase = LOOP_MAX_ZERO;
	return loop_acquire(loop, dev, dev_operand(dev, 0), attrs);
}

/*
 * The kernel tells of lost writes once, to one sync of whatever kind, and
 * drops them: from then on all syncs fail, or a client would hear of success.
 */
static int loop_synced(struct loop *loop, int error)
{
	int none = 0;

	if (error != 0)
		atomic_compare_exchange_strong(&loop->kept->sync_error, &none,
					       error);
	return atomic_load(&loop->kept->sync_error);
}

static int loop_sync(struct loop *loop)
{
	return loop_synced(loop, fdatasync(loop->fd) == 0 ? 0 : errno);
}

/* The last client is gone and has flushed; this finds errors since then. */
static int loop_close(struct dev *dev)
{
	struct loop *loop = dev_priv(dev);
	int error = loop->is_read_only ? 0 : loop_sync(loop);
	int code = EXIT_DONE;

	if (error != 0) {
		msg_error("%s: cannot sync: %s", dev_operand(dev, 0),
			  strerror(error));
		code = EXIT_FAILED;
	}
	close(loop->fd);
	return code;
}

/* Where a request's data is in the backing. */
static off_t loop_offset(const struct io *io)
{
	const struct loop *loop = dev_priv(io->dev);

	return (off_t)(loop->offset + io->off);
}

static int loop_read_all(int fd, char *buf, size_t len, off_t off)
{
	while (len > 0) {
		ssize_t n = pread(fd, buf, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		buf += n;
		off += n;
		len -= (size_t)n;
	}
	return 0;
}

static ssize_t loop_write_some(int fd, char *buf, size_t len, off_t off,
			       int flags)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	if (flags == 0)
		return pwrite(fd, buf, len, off);
	/* musl got pwritev2() with 1.2.5 only */
	return syscall(SYS_pwritev2, fd, &iov, 1L, (long)off,
		       (long)((uint64_t)off >> 32), flags);
}

static int loop_write_all(int fd, char *buf, size_t len, off_t off, int flags)
{
	while (len > 0) {
		ssize_t n = loop_write_some(fd, buf, len, off, flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		buf += n;
		off += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A file that was cut short is not to grow again by our writing to it. */
static int loop_check_size(const struct io *io)
{
	const struct loop *loop = dev_priv(io->dev);
	struct stat st;

	if (!loop->is_file)
		return 0;
	if (fstat(loop->fd, &st) != 0)
		return -errno;
	return loop_offset(io) + (off_t)io->len <= st.st_size ? 0 : -EIO;
}

static void loop_read(struct io *io)
{
	const struct loop *loop = dev_priv(io->dev);

	io_done(io, loop_read_all(loop->fd, io->buf, io->len, loop_offset(io)));
}

/* A device that shrank or is gone calls it lack of space. */
static bool loop_is_cut_off(const struct io *io)
{
	const struct loop *loop = dev_priv(io->dev);
	uint64_t size = 0;

	return !loop->is_file && (ioctl(loop->fd, BLKGETSIZE64, &size) != 0 ||
				  (uint64_t)loop_offset(io) + io->len > size);
}

static int loop_write_with(const struct io *io, int flags)
{
	const struct loop *loop = dev_priv(io->dev);
	int error = loop_write_all(loop->fd, io->buf, io->len, loop_offset(io),
				   flags);

	return error == -ENOSPC && loop_is_cut_off(io) ? -EIO : error;
}

static void loop_write(struct io *io)
{
	int error = loop_check_size(io);

	io_done(io, error != 0 ? error : loop_write_with(io, 0));
}

static void loop_fua_write(struct io *io)
{
	struct loop *loop = dev_priv(io->dev);
	int error = loop_check_size(io);

	if (error == 0) {
		error = -loop_write_with(io, RWF_DSYNC);
		/* of the other errors, the write itself is the cause */
		if (error == 0 || error == EIO)
			error = loop_synced(loop, error);
	}
	io_done(io, error);
}

static void loop_flush(struct io *io)
{
	io_done(io, loop_sync(dev_priv(io->dev)));
}

/* fallocate() on files and, for zeroes, on block devices alike. */
static int loop_allocate(const struct io *io, int mode)
{
	const struct loop *loop = dev_priv(io->dev);

	while (fallocate(loop->range_fd, mode | FALLOC_FL_KEEP_SIZE,
			 loop_offset(io), (off_t)io->len) != 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/*
 * For backings that have no way to make zeroes. The request carries no data,
 * so the buffer of its tag, as long as the largest write, is free.
 */
static int loop_write_out_zeroes(const struct io *io)
{
	const struct loop *loop = dev_priv(io->dev);
	uint32_t max = dev_attrs(io->dev)->max_io;
	uint32_t left = io->len;
	int error = 0;

	memset(io->buf, 0, left < max ? left : max);
	while (left > 0 && error == 0) {
		uint32_t part = left < max ? left : max;

		error = loop_write_all(loop->fd, io->buf, part,
				       loop_offset(io) + (io->len - left), 0);
		left -= part;
	}
	return error;
}

static void loop_write_zeroes(struct io *io)
{
	int error = loop_check_size(io);

	if (error != 0) {
		io_done(io, error);
		return;
	}
	error = -EOPNOTSUPP;
	if (io->may_unmap)
		error = loop_allocate(io, FALLOC_FL_PUNCH_HOLE);
	if (error == -EOPNOTSUPP)
		error = loop_allocate(io, FALLOC_FL_ZERO_RANGE);
	if (error == -EOPNOTSUPP)
		error = loop_write_out_zeroes(io);
	io_done(io, error);
}

static int loop_device_range(const struct io *io, unsigned long command)
{
	const struct loop *loop = dev_priv(io->dev);
	uint64_t range[2] = { (uint64_t)loop_offset(io), io->len };

	return ioctl(loop->range_fd, (int)command, range) == 0 ? 0 : -errno;
}

static void loop_discard(struct io *io)
{
	const struct loop *loop = dev_priv(io->dev);
	int error;

	if (!loop->is_file)
		error = loop_device_range(io, BLKDISCARD);
	else if ((error = loop_check_size(io)) == 0)
		error = loop_allocate(io, FALLOC_FL_PUNCH_HOLE);
	io_done(io, error);
}

/* Block devices only: a file's old content may be anywhere below. */
static void loop_secure_erase(struct io *io)
{
	io_done(io, loop_device_range(io, BLKSECDISCARD));
}

DRIVER(loop) = {
	.name = "loop",
	.summary = "a file or block device as a disk",
	.operands = "FILE|DEVICE",
	.n_operands = 1,
	.opts = loop_opts,
	.priv_size = sizeof(struct loop),
	.kept_size = sizeof(struct loop_kept),
	.open = loop_open,
	.close = loop_close,
	.read = loop_read,
	.write = loop_write,
	.fua_write = loop_fua_write,
	.flush = loop_flush,
	.write_zeroes = loop_write_zeroes,
	.discard = loop_discard,
	.secure_erase = loop_secure_erase,
};
