/* SPDX-License-Identifier: MIT */
/*
 * storeio - moving data between requests and the backing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "msg.h"
#include "store.h"

#ifndef RWF_DSYNC
#define RWF_DSYNC 0x00000002
#endif

/*
 * The kernel tells of lost writes once, to one sync of whatever kind, and
 * drops them: from then on all syncs fail, or a client would hear of success.
 */
static int store_synced(const struct store *store, int error)
{
	int none = 0;

	if (error != 0)
		atomic_compare_exchange_strong(&store->kept->sync_error, &none,
					       -error);
	return -atomic_load(&store->kept->sync_error);
}

/* One at a time, or one could succeed before the other has told its error. */
int store_sync(const struct store *store)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int error;

	pthread_mutex_lock(&lock);
	error = store_synced(store, fdatasync(store->fd) == 0 ? 0 : -errno);
	pthread_mutex_unlock(&lock);
	return error;
}

/* The last client is gone and has flushed; this finds errors since then. */
int store_close(struct store *store, const char *path)
{
	int error = store->is_read_only ? 0 : store_sync(store);

	if (error != 0)
		msg_error("%s: cannot sync: %s", path, strerror(-error));
	close(store->fd);
	store->fd = -1;
	return error == 0 ? EXIT_DONE : EXIT_FAILED;
}

int store_read(const struct store *store, void *buf, size_t len, uint64_t off)
{
	while (len > 0) {
		ssize_t n = pread(store->fd, buf, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		buf = (char *)buf + n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static ssize_t store_write_some(int fd, const void *buf, size_t len, off_t off,
				int flags)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf,
			     .iov_len = len };

	if (flags == 0)
		return pwrite(fd, buf, len, off);
	/* musl got pwritev2() with 1.2.5 only */
	return syscall(SYS_pwritev2, fd, &iov, 1L, (long)off,
		       (long)((uint64_t)off >> 32), flags);
}

static int store_write_all(int fd, const void *buf, size_t len, uint64_t off,
			   int flags)
{
	while (len > 0) {
		ssize_t n = store_write_some(fd, buf, len, (off_t)off, flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		buf = (const char *)buf + n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* A file that was cut short is not to grow again by our writing to it. */
static int store_check_size(const struct store *store, size_t len, uint64_t off)
{
	struct stat st;

	if (!store->is_file)
		return 0;
	if (fstat(store->fd, &st) != 0)
		return -errno;
	return off + len <= (uint64_t)st.st_size ? 0 : -EIO;
}

/* A device that shrank or is gone calls it lack of space. */
static bool store_is_cut_off(const struct store *store, size_t len,
			     uint64_t off)
{
	uint64_t size = 0;

	return !store->is_file &&
	       (ioctl(store->fd, BLKGETSIZE64, &size) != 0 || off + len > size);
}

static int store_write_with(const struct store *store, const void *buf,
			    size_t len, uint64_t off, int flags)
{
	int error = store_write_all(store->fd, buf, len, off, flags);

	return error == -ENOSPC && store_is_cut_off(store, len, off) ? -EIO :
								       error;
}

int store_write(const struct store *store, const void *buf, size_t len,
		uint64_t off)
{
	int error = store_check_size(store, len, off);

	return error != 0 ? error : store_write_with(store, buf, len, off, 0);
}

int store_write_durable(const struct store *store, const void *buf, size_t len,
			uint64_t off)
{
	int error = store_check_size(store, len, off);

	if (error != 0)
		return error;
	error = store_write_with(store, buf, len, off, RWF_DSYNC);
	/* of the other errors, the write itself is the cause */
	return error == 0 || error == -EIO ? store_synced(store, error) : error;
}

/* fallocate() on files and, for zeroes, on block devices alike. */
static int store_allocate(const struct store *store, uint32_t len, uint64_t off,
			  int mode)
{
	while (fallocate(store->range_fd, mode | FALLOC_FL_KEEP_SIZE,
			 (off_t)off, (off_t)len) != 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int store_zero(const struct store *store, uint32_t len, uint64_t off,
	       bool may_unmap)
{
	int error = store_check_size(store, len, off);

	if (error != 0)
		return error;
	error = -EOPNOTSUPP;
	if (may_unmap)
		error = store_allocate(store, len, off, FALLOC_FL_PUNCH_HOLE);
	if (error == -EOPNOTSUPP)
		error = store_allocate(store, len, off, FALLOC_FL_ZERO_RANGE);
	return error;
}

static int store_device_range(const struct store *store, uint32_t len,
			      uint64_t off, unsigned long command)
{
	uint64_t range[2] = { off, len };

	return ioctl(store->range_fd, (int)command, range) == 0 ? 0 : -errno;
}

int store_discard(const struct store *store, uint32_t len, uint64_t off)
{
	int error;

	if (!store->is_file)
		return store_device_range(store, len, off, BLKDISCARD);
	error = store_check_size(store, len, off);
	return error != 0 ?
		       error :
		       store_allocate(store, len, off, FALLOC_FL_PUNCH_HOLE);
}

/* Block devices only: a file's old content may be anywhere below. */
int store_secure_erase(const struct store *store, uint32_t len, uint64_t off)
{
	return store_device_range(store, len, off, BLKSECDISCARD);
}
