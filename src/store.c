/* SPDX-License-Identifier: MIT */
/*
 * store - taking hold of the file or block device that a driver's data is on,
 * and finding out what it can do.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/falloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "backing.h"
#include "msg.h"
#include "store.h"

#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x2000U
#endif

#define STORE_OP(op) (1U << (op))

/* As struct statx, of which older headers lack the two fields wanted here. */
struct store_statx {
	uint32_t mask;
	uint32_t before[37];
	uint32_t dio_mem_align;
	uint32_t dio_offset_align;
	uint32_t after[24];
};

static int store_failed(const char *path, const char *what)
{
	msg_error("%s: %s: %s", path, what, strerror(errno));
	return EXIT_FAILED;
}

static int store_refuse(const char *path, const char *reason)
{
	msg_error("%s: %s", path, reason);
	return EXIT_FAILED;
}

static int store_open_failed(const char *path, const struct stat *st)
{
	int code = backing_open_failed(path, st);

	if (errno == EROFS || errno == EACCES)
		msg_hint("--read-only may do");
	return code;
}

/* To serve a file is no access to it, where its owner serves it. */
static int store_open_file(const struct store *store, const char *path)
{
	int flags = (store->is_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	int fd;

	if (store->is_direct)
		flags |= O_DIRECT;
	fd = open(path, flags | O_NOATIME);
	return fd < 0 && errno == EPERM ? open(path, flags) : fd;
}

static int store_create(struct store *store, const char *path)
{
	int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;

	if (store->is_direct)
		flags |= O_DIRECT;
	store->fd = open(path, flags, 0600);
	if (store->fd < 0) {
		int code = errno == EEXIST ? EXIT_BUSY : EXIT_FAILED;

		store_failed(path, "cannot create");
		return code;
	}
	if (ftruncate(store->fd, (off_t)store->create_size) == 0)
		return EXIT_DONE;
	store_failed(path, "cannot set its size");
	return EXIT_FAILED;
}

/*
 * The next driver must serve the same file, whatever has its name by now, and
 * whatever the current directory is.
 */
static int store_open_again(struct store *store, int kept, const char *path)
{
	char name[64];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", kept);
	store->fd = store_open_file(store, name);
	return store->fd < 0 ? store_failed(path, "cannot open again") :
			       EXIT_DONE;
}

static int store_open_existing(struct store *store, const char *path)
{
	struct stat st;
	int code;

	if (stat(path, &st) != 0)
		return store_failed(path, "cannot open");
	code = backing_check_type(path, st.st_mode);
	if (code != EXIT_DONE)
		return code;
	store->fd = store_open_file(store, path);
	return store->fd < 0 ? store_open_failed(path, &st) : EXIT_DONE;
}

/* One and the same file or device? */
static bool store_is_same(int fd, const struct stat *st)
{
	struct stat other;

	if (fstat(fd, &other) != 0 ||
	    (other.st_mode & S_IFMT) != (st->st_mode & S_IFMT))
		return false;
	if (S_ISBLK(st->st_mode))
		return other.st_rdev == st->st_rdev;
	return other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

/* By the open file, so that it goes along when the descriptor is handed on. */
static bool store_set_lock(const struct store *store, int fd)
{
	struct flock lock = {
		.l_type = store->is_read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* Does somebody with another open file than this one hold a lock? */
static bool store_is_locked_for(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

/*
 * Does a descriptor have the one lock that there is? It is left as it is: the
 * driver that still has it may need more of it than we do, and goes on if we
 * fail.
 */
static bool store_is_lock(const struct store *store, int fd)
{
	return store_is_locked_for(store->fd) && !store_is_locked_for(fd);
}

/*
 * The lock of the driver before us, where it is on the same backing. What that
 * one was not told of the writes that were lost, its lock's descriptor is.
 */
static bool store_inherit_lock(struct store *store, const struct dev *dev,
			       const struct stat *st)
{
	int fd = dev_kept(dev), none = 0;

	if (fd < 0 || !store_is_same(fd, st) ||
	    (S_ISREG(st->st_mode) && !store_is_lock(store, fd)))
		return false;
	if (!store->is_read_only && fdatasync(fd) != 0)
		atomic_compare_exchange_strong(&store->kept->sync_error, &none,
					       errno);
	store->lock_fd = fd;
	return true;
}

static int store_lock(struct store *store, const char *path,
		      const struct stat *st)
{
	int flags = (store->is_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	char name[64], user[128];

	/* what is open, not what may have its name by now */
	snprintf(name, sizeof(name), "/proc/self/fd/%d", store->fd);
	if (S_ISBLK(st->st_mode))
		flags |= O_EXCL;
	store->lock_fd = open(name, flags);
	if (store->lock_fd < 0 && errno == ENOENT)
		store->lock_fd = open(path, flags);
	if (store->lock_fd < 0)
		return store_open_failed(path, st);
	if (S_ISBLK(st->st_mode) || store_set_lock(store, store->lock_fd))
		return EXIT_DONE;
	if (errno != EAGAIN && errno != EACCES)
		return store_failed(path, "cannot lock");
	backing_locker(st, user, sizeof(user));
	return backing_in_use(path, user);
}

static uint32_t store_direct_align(int fd)
{
	struct store_statx stx = { 0 };

	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) ==
		    0 &&
	    (stx.mask & STATX_DIOALIGN))
		return stx.dio_offset_align; /* 0: no direct I/O */
	return 4096;
}

/* What kind of thing it is, how long, and in which units it works. */
static int store_inspect_file(struct store *store, const char *path,
			      struct kbdus_attributes *attrs,
			      const struct stat *st)
{
	store->is_file = true;
	store->size = (uint64_t)st->st_size;
	store->block = store->is_direct ? store_direct_align(store->fd) : 512;
	if (store->block == 0)
		return store_refuse(path, "does not support --direct");
	if (store->block < 512)
		store->block = 512;
	if ((st->st_blksize & (st->st_blksize - 1)) == 0)
		attrs->discard_granularity = (uint32_t)st->st_blksize;
	return EXIT_DONE;
}

/* A number from the queue's folder; a partition has its disk's. */
static uint32_t store_queue_value(dev_t device, const char *name)
{
	static const char *const folders[] = { "queue", "../queue" };
	unsigned int value = 0;
	char path[128];

	for (int i = 0; i < 2; i++) {
		FILE *file;

		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s/%s",
			 major(device), minor(device), folders[i], name);
		file = fopen(path, "re");
		if (file == NULL)
			continue;
		if (fscanf(file, "%u", &value) != 1)
			value = 0;
		fclose(file);
		break;
	}
	return value;
}

static int store_inspect_device(struct store *store, const char *path,
				struct kbdus_attributes *attrs, dev_t device)
{
	unsigned int physical = 0;
	int block = 0, is_read_only = 0;

	if (ioctl(store->fd, BLKGETSIZE64, &store->size) != 0 ||
	    ioctl(store->fd, BLKSSZGET, &block) != 0 ||
	    ioctl(store->fd, BLKPBSZGET, &physical) != 0 ||
	    ioctl(store->fd, BLKROGET, &is_read_only) != 0)
		return store_failed(path, "cannot examine");
	if (is_read_only && !store->is_read_only) {
		store_refuse(path, "is read-only");
		msg_hint("--read-only will do");
		return EXIT_FAILED;
	}
	store->block = (uint32_t)block;
	if (attrs->logical_block_size == 0)
		attrs->logical_block_size = store->block;
	if (attrs->physical_block_size == 0 &&
	    physical >= attrs->logical_block_size)
		attrs->physical_block_size = physical;
	attrs->discard_granularity =
		store_queue_value(device, "discard_granularity");
	if (store_queue_value(device, "rotational"))
		attrs->flags |= KBDUS_DEVICE_ROTATIONAL;
	return EXIT_DONE;
}

static int store_inspect(struct store *store, struct dev *dev, const char *path)
{
	struct kbdus_attributes *attrs = dev_attrs(dev);
	char user[128];
	struct stat st;
	int code;

	if (fstat(store->fd, &st) != 0)
		return store_failed(path, "cannot examine");
	code = backing_check_type(path, st.st_mode);
	if (code != EXIT_DONE)
		return code;
	if (!store_inherit_lock(store, dev, &st)) {
		code = store_lock(store, path, &st);
		if (code != EXIT_DONE)
			return code;
	}
	/* the kernel's loop devices heed neither locks nor O_EXCL */
	if (backing_kernel_user(&st, user, sizeof(user)))
		return backing_in_use(path, user);
	if (S_ISBLK(st.st_mode))
		return store_inspect_device(store, path, attrs, st.st_rdev);
	return store_inspect_file(store, path, attrs, &st);
}

/*
 * Ask with a range that is refused: whether the operation as such is supported
 * is looked at first (Linux 6.1 and later).
 */
static bool store_device_can(const struct store *store, unsigned long command)
{
	uint64_t unaligned[2] = { 1, 1 };

	return ioctl(store->fd, (int)command, unaligned) != 0 &&
	       errno == EINVAL;
}

/* Ask with a range behind the end, where there is nothing to lose. */
static bool store_file_can_punch(const struct store *store)
{
	return fallocate(store->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)store->size, 4096) == 0 ||
	       (errno != EOPNOTSUPP && errno != ENOSYS);
}

/* Take back what this backing does not do. */
static void store_fit_file_ops(const struct store *store,
			       struct kbdus_attributes *attrs)
{
	attrs->ops &= ~STORE_OP(KBDUS_OP_SECURE_ERASE);
	if (!store->is_read_only && !store_file_can_punch(store))
		attrs->ops &= ~STORE_OP(KBDUS_OP_DISCARD);
}

static void store_fit_device_ops(const struct store *store, uint64_t off,
				 struct kbdus_attributes *attrs)
{
	/* the kernel cuts none of these to the backing's blocks */
	bool is_aligned = attrs->logical_block_size % store->block == 0 &&
			  off % store->block == 0;

	if (!is_aligned)
		attrs->ops &= ~STORE_OP(KBDUS_OP_WRITE_ZEROES);
	if (!is_aligned || !store_device_can(store, BLKDISCARD))
		attrs->ops &= ~STORE_OP(KBDUS_OP_DISCARD);
	if (!is_aligned || !store_device_can(store, BLKSECDISCARD))
		attrs->ops &= ~STORE_OP(KBDUS_OP_SECURE_ERASE);
}

static void store_name_backing(const char *path, char *name, size_t size)
{
	char *resolved = realpath(path, NULL);
	const char *text = resolved != NULL ? resolved : path;

	if ((size_t)snprintf(name, size, "%s", text) >= size)
		memcpy(name + size - 4, "...", 4);
	free(resolved);
}

void store_release(struct store *store, const struct dev *dev, const char *path)
{
	if (store->fd >= 0)
		close(store->fd);
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	if (store->fd >= 0 && store->is_new && !dev_is_restart(dev))
		unlink(path);
	store->fd = -1;
	store->lock_fd = -1;
}

/* From here on the lock is the runtime's; a new one replaces the old one. */
static int store_keep_lock(struct store *store, struct dev *dev,
			   const char *path)
{
	int fd = store->lock_fd;

	store->lock_fd = -1;
	errno = -dev_keep(dev, fd);
	if (errno != 0)
		return store_failed(path, "cannot keep locked");
	store->range_fd = store->is_file ? store->fd : dev_kept(dev);
	return EXIT_DONE;
}

int store_acquire(struct store *store, struct dev *dev, const char *path)
{
	int code;

	store->fd = -1;
	store->lock_fd = -1;
	store->kept = dev_kept_memory(dev);
	store->is_read_only = dev_attrs(dev)->flags & KBDUS_DEVICE_READ_ONLY;
	if (dev_is_restart(dev) && dev_kept(dev) >= 0)
		code = store_open_again(store, dev_kept(dev), path);
	else if (store->is_new)
		code = store_create(store, path);
	else
		code = store_open_existing(store, path);
	if (code == EXIT_DONE)
		code = store_inspect(store, dev, path);
	if (code != EXIT_DONE)
		store_release(store, dev, path);
	return code;
}

int store_serve(struct store *store, struct dev *dev, const char *path,
		uint64_t off)
{
	struct kbdus_attributes *attrs = dev_attrs(dev);

	if (attrs->discard_granularity < attrs->logical_block_size)
		attrs->discard_granularity = attrs->logical_block_size;
	if (store->is_file)
		store_fit_file_ops(store, attrs);
	else
		store_fit_device_ops(store, off, attrs);
	if (!dev_is_restart(dev))
		store_name_backing(path, attrs->backing,
				   sizeof(attrs->backing));
	return store_keep_lock(store, dev, path);
}
