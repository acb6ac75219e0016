/* SPDX-License-Identifier: MIT */
/*
 * file - a medium that is a file or block device: a driver's store, or what an
 * action opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backing.h"
#include "file.h"
#include "msg.h"

/* --- of an action -----------------------------------------------------------
 */

static int file_read(struct medium *medium, void *buf, size_t len, uint64_t off)
{
	struct store store = { .fd = ((struct file *)medium)->fd };

	return store_read(&store, buf, len, off);
}

static int file_write(struct medium *medium, const void *buf, size_t len,
		      uint64_t off)
{
	const struct file *file = (struct file *)medium;

	while (len > 0) {
		ssize_t n = pwrite(file->fd, buf, len, (off_t)off);

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

static int file_sync(struct medium *medium)
{
	return fdatasync(((struct file *)medium)->fd) == 0 ? 0 : -errno;
}

static int fd_allocate(int fd, uint64_t off, uint64_t len)
{
	int result;

	do
		result = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)off,
				   (off_t)len);
	while (result != 0 && errno == EINTR);
	if (result == 0)
		return 0;
	/* where it cannot be done, nobody can promise anything */
	return errno == ENOSPC || errno == EDQUOT || errno == EIO ? -errno : 0;
}

static int file_allocate(struct medium *medium, uint64_t off, uint64_t len)
{
	return fd_allocate(((struct file *)medium)->fd, off, len);
}

/*
 * The kernel keeps pages that it could not write, as if they were clean, and
 * tells of that only once.
 */
static void fd_forget(int fd)
{
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void file_forget(struct medium *medium)
{
	fd_forget(((struct file *)medium)->fd);
}

/* As drivers do: a file by a lock of the open file, a device by O_EXCL. */
static int file_lock(const struct file *file, const char *path,
		     const struct stat *st, bool is_read_only)
{
	struct flock lock = { .l_type = is_read_only ? F_RDLCK : F_WRLCK,
			      .l_whence = SEEK_SET };
	char user[128];

	if (S_ISREG(st->st_mode) && fcntl(file->fd, F_OFD_SETLK, &lock) != 0) {
		backing_locker(st, user, sizeof(user));
		return backing_in_use(path, user);
	}
	/* the kernel's loop devices heed neither locks nor O_EXCL */
	if (backing_kernel_user(st, user, sizeof(user)))
		return backing_in_use(path, user);
	return EXIT_DONE;
}

static int file_failed(const char *path)
{
	msg_error("%s: cannot examine: %s", path, strerror(errno));
	return EXIT_FAILED;
}

static int file_measure(struct file *file, const char *path,
			const struct stat *st)
{
	file->medium.size = (uint64_t)st->st_size;
	if (S_ISREG(st->st_mode)) {
		file->medium.allocate = file_allocate;
		return EXIT_DONE;
	}
	if (ioctl(file->fd, BLKGETSIZE64, &file->medium.size) == 0)
		return EXIT_DONE;
	return file_failed(path);
}

int file_open(struct file *file, const char *path, bool is_read_only)
{
	int flags = (is_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC, code;
	struct stat st = { 0 };

	*file = (struct file){ .medium = { .read = file_read,
					   .write = file_write,
					   .sync = file_sync,
					   .forget = file_forget } };
	file->fd = -1;
	if (stat(path, &st) != 0)
		return backing_open_failed(path, &st);
	code = backing_check_type(path, st.st_mode);
	if (code != EXIT_DONE)
		return code;
	if (S_ISBLK(st.st_mode))
		flags |= O_EXCL;
	file->fd = open(path, flags);
	if (file->fd < 0)
		return backing_open_failed(path, &st);
	/* it may be another one by now */
	if (fstat(file->fd, &st) != 0)
		code = file_failed(path);
	else
		code = backing_check_type(path, st.st_mode);
	if (code == EXIT_DONE)
		code = file_lock(file, path, &st, is_read_only);
	if (code == EXIT_DONE)
		code = file_measure(file, path, &st);
	if (code != EXIT_DONE)
		file_close(file);
	return code;
}

void file_close(struct file *file)
{
	close(file->fd);
	file->fd = -1;
}

/* --- of a driver ------------------------------------------------------------
 */

static const struct store *backing_store(const struct medium *medium)
{
	return ((const struct backing *)medium)->store;
}

static int backing_read(struct medium *medium, void *buf, size_t len,
			uint64_t off)
{
	return store_read(backing_store(medium), buf, len, off);
}

static int backing_write(struct medium *medium, const void *buf, size_t len,
			 uint64_t off)
{
	return store_write(backing_store(medium), buf, len, off);
}

static int backing_sync(struct medium *medium)
{
	return store_sync(backing_store(medium));
}

static int backing_allocate(struct medium *medium, uint64_t off, uint64_t len)
{
	return fd_allocate(backing_store(medium)->fd, off, len);
}

/* A segment has at most 64 MiB. */
static int backing_punch(struct medium *medium, uint64_t off, uint64_t len)
{
	return store_discard(backing_store(medium), (uint32_t)len, off);
}

static void backing_forget(struct medium *medium)
{
	fd_forget(backing_store(medium)->fd);
}

void backing_init(struct backing *backing, const struct store *store)
{
	*backing = (struct backing){ .medium = { .size = store->size,
						 .read = backing_read,
						 .write = backing_write,
						 .sync = backing_sync,
						 .punch = backing_punch,
						 .forget = backing_forget },
				     .store = store };
	if (store->is_file)
		backing->medium.allocate = backing_allocate;
}
