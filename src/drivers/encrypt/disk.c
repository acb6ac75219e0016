/* SPDX-License-Identifier: MIT */
/*
 * encrypt/disk - a file or block device that has a header, and its lock.
 *
 * The lock is cryptsetup's, so that the two wait for one another: flock() on a
 * regular file; for a block device on a file in /run/cryptsetup, since udev
 * takes an flock() on the device for "being worked on". Whoever is the last to
 * have the lock file removes it, which is why one that was waited for has to be
 * looked at again.
 */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "backing.h"
#include "msg.h"

#define DISK_LOCK_DIR "/run/cryptsetup"
#define DISK_LOCK_POLL_MS 50
#define DISK_LOCK_TIMEOUT_MS 10000

static struct disk_file *disk_file_of(struct disk *disk)
{
	return (struct disk_file *)((char *)disk -
				    offsetof(struct disk_file, disk));
}

static bool disk_has(const struct disk *disk, size_t len, uint64_t off)
{
	return off <= disk->size && len <= disk->size - off;
}

static int disk_read(struct disk *disk, void *buf, size_t len, uint64_t off)
{
	int fd = disk_file_of(disk)->fd;
	unsigned char *to = buf;

	if (!disk_has(disk, len, off))
		return -EIO;
	while (len > 0) {
		ssize_t n = pread(fd, to, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		to += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* A file is never made longer. */
static int disk_write(struct disk *disk, const void *buf, size_t len,
		      uint64_t off)
{
	int fd = disk_file_of(disk)->fd;
	const unsigned char *from = buf;

	if (!disk_has(disk, len, off))
		return -EIO;
	while (len > 0) {
		ssize_t n = pwrite(fd, from, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		from += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int disk_sync(struct disk *disk)
{
	return fsync(disk_file_of(disk)->fd) == 0 ? 0 : -errno;
}

static int disk_failed(const char *path, const char *what)
{
	msg_error("%s: %s: %s", path, what, strerror(errno));
	return EXIT_FAILED;
}

static int disk_measure(struct disk_file *file, const struct stat *st)
{
	file->disk.size = (uint64_t)st->st_size;
	if (S_ISBLK(st->st_mode) &&
	    ioctl(file->fd, BLKGETSIZE64, &file->disk.size) != 0)
		return disk_failed(file->disk.name, "cannot examine");
	return EXIT_DONE;
}

static int disk_open_path(struct disk_file *file, enum disk_mode mode,
			  struct stat *st)
{
	int flags = (mode == DISK_READ ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	const char *path = file->disk.name;
	int code;

	if (stat(path, st) != 0)
		return disk_failed(path, "cannot open");
	code = backing_check_type(path, st->st_mode);
	if (code != EXIT_DONE)
		return code;
	if (mode == DISK_REPLACE && S_ISBLK(st->st_mode))
		flags |= O_EXCL;
	file->fd = open(path, flags);
	if (file->fd < 0)
		return backing_open_failed(path, st);
	/* it may be another one by now */
	if (fstat(file->fd, st) != 0)
		return disk_failed(path, "cannot examine");
	code = backing_check_type(path, st->st_mode);
	return code == EXIT_DONE ? disk_measure(file, st) : code;
}

/* Nobody may use what is going to be replaced; a file is held for that. */
static int disk_claim(const struct disk_file *file, const struct stat *st)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	const char *path = file->disk.name;
	char user[256];

	if (S_ISREG(st->st_mode) && fcntl(file->fd, F_OFD_SETLK, &lock) != 0) {
		if (errno != EAGAIN && errno != EACCES)
			return disk_failed(path, "cannot lock");
		backing_locker(st, user, sizeof(user));
		return backing_in_use(path, user);
	}
	/* the kernel's loop devices heed neither locks nor O_EXCL */
	if (backing_kernel_user(st, user, sizeof(user)))
		return backing_in_use(path, user);
	return EXIT_DONE;
}

static int64_t disk_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int disk_lock_busy(const char *path, int fd)
{
	char user[256] = "another process";
	struct stat st;

	if (fstat(fd, &st) == 0)
		backing_locker(&st, user, sizeof(user));
	msg_error("%s: its header is locked: %s", path, user);
	return EXIT_BUSY;
}

/* Polls, since waiting itself could be ended by a signal only. */
static int disk_flock(const char *path, int fd, int operation, int64_t until)
{
	const struct timespec pause = { .tv_nsec =
						DISK_LOCK_POLL_MS * 1000000L };
	bool is_told = false;

	while (flock(fd, operation | LOCK_NB) != 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return disk_failed(path, "cannot lock");
		if (disk_now_ms() >= until)
			return disk_lock_busy(path, fd);
		if (!is_told)
			msg_warn("%s: waiting for the lock of its header",
				 path);
		is_told = true;
		nanosleep(&pause, NULL);
	}
	return EXIT_DONE;
}

/* Is the file that has a name now still the one that is open? */
static bool disk_is_named(int fd, const char *name)
{
	struct stat st, named;

	return fstat(fd, &st) == 0 && stat(name, &named) == 0 &&
	       st.st_dev == named.st_dev && st.st_ino == named.st_ino;
}

static void disk_lock_name(char *name, size_t size, dev_t device)
{
	snprintf(name, size, DISK_LOCK_DIR "/L_%u:%u", major(device),
		 minor(device));
}

/* Without the rights to lock, one may still read. */
static int disk_lock_denied(const char *path, int operation)
{
	if (operation == LOCK_SH)
		return EXIT_DONE;
	msg_error("%s: cannot lock its header in %s: %s", path, DISK_LOCK_DIR,
		  strerror(errno));
	return EXIT_FAILED;
}

static int disk_lock_device(struct disk_file *file, dev_t device, int operation)
{
	int64_t until = disk_now_ms() + DISK_LOCK_TIMEOUT_MS;
	const char *path = file->disk.name;
	char name[64];
	int fd, code;

	disk_lock_name(name, sizeof(name), device);
	for (;;) {
		if (mkdir(DISK_LOCK_DIR, 0700) != 0 && errno != EEXIST)
			return disk_lock_denied(path, operation);
		fd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
			  0600);
		if (fd < 0)
			return disk_lock_denied(path, operation);
		code = disk_flock(path, fd, operation, until);
		if (code == EXIT_DONE && disk_is_named(fd, name))
			break;
		close(fd);
		if (code != EXIT_DONE)
			return code;
	}
	file->lock_fd = fd;
	return EXIT_DONE;
}

static int disk_lock(struct disk_file *file, enum disk_mode mode,
		     const struct stat *st)
{
	int operation = mode == DISK_READ ? LOCK_SH : LOCK_EX;
	int code;

	if (S_ISBLK(st->st_mode))
		return disk_lock_device(file, st->st_rdev, operation);
	code = disk_flock(file->disk.name, file->fd, operation,
			  disk_now_ms() + DISK_LOCK_TIMEOUT_MS);
	if (code == EXIT_DONE)
		file->lock_fd = file->fd;
	return code;
}

static void disk_init(struct disk_file *file, const char *path, bool is_written)
{
	*file = (struct disk_file){
		.disk = { .name = path, .read = disk_read },
		.fd = -1,
		.lock_fd = -1,
	};
	if (is_written) {
		file->disk.write = disk_write;
		file->disk.sync = disk_sync;
	}
}

int disk_open(struct disk_file *file, const char *path, enum disk_mode mode)
{
	struct stat st;
	int code;

	disk_init(file, path, mode != DISK_READ);
	code = disk_open_path(file, mode, &st);
	if (code == EXIT_DONE && mode == DISK_REPLACE)
		code = disk_claim(file, &st);
	if (code == EXIT_DONE)
		code = disk_lock(file, mode, &st);
	/* somebody may have changed its size before */
	if (code == EXIT_DONE && fstat(file->fd, &st) == 0)
		code = disk_measure(file, &st);
	if (code != EXIT_DONE)
		disk_close(file);
	return code;
}

int disk_open_fd(struct disk_file *file, const char *path, int fd)
{
	struct stat st;
	int code;

	disk_init(file, path, false);
	file->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (file->fd < 0 || fstat(file->fd, &st) != 0) {
		code = disk_failed(path, "cannot examine");
		goto out_close;
	}
	code = backing_check_type(path, st.st_mode);
	if (code == EXIT_DONE)
		code = disk_measure(file, &st);
	if (code == EXIT_DONE)
		return EXIT_DONE;
out_close:
	disk_close(file);
	return code;
}

void disk_unlock(struct disk_file *file)
{
	struct stat st;
	char name[64];

	if (file->lock_fd < 0)
		return;
	if (file->lock_fd == file->fd) {
		flock(file->fd, LOCK_UN);
	} else {
		/* nobody else has it, nor will have without looking again */
		if (fstat(file->fd, &st) == 0 &&
		    flock(file->lock_fd, LOCK_EX | LOCK_NB) == 0) {
			disk_lock_name(name, sizeof(name), st.st_rdev);
			if (disk_is_named(file->lock_fd, name))
				unlink(name);
		}
		close(file->lock_fd);
	}
	file->lock_fd = -1;
}

void disk_close(struct disk_file *file)
{
	disk_unlock(file);
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}
