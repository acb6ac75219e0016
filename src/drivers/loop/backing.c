/* SPDX-License-Identifier: MIT */
/*
 * loop/backing - taking hold of the backing, and finding out what it can do.
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
#include "holders.h"
#include "loop.h"
#include "msg.h"

#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x2000U
#endif

#define LOOP_OP(op) (1U << (op))

/* As struct statx, of which older headers lack the two fields wanted here. */
struct loop_statx {
	uint32_t mask;
	uint32_t before[37];
	uint32_t dio_mem_align;
	uint32_t dio_offset_align;
	uint32_t after[24];
};

static int loop_failed(const char *path, const char *what)
{
	msg_error("%s: %s: %s", path, what, strerror(errno));
	return EXIT_FAILED;
}

static int loop_refuse(const char *path, const char *reason)
{
	msg_error("%s: %s", path, reason);
	return EXIT_FAILED;
}

static int loop_check_options(const struct loop *loop)
{
	if (loop->is_new && loop->create_size == 0)
		msg_error("--create needs --size");
	else if (!loop->is_new && loop->create_size != 0)
		msg_error("--size is for --create; see --sizelimit");
	else if (loop->is_new && loop->is_read_only)
		msg_error("--create and --read-only exclude each other");
	else
		return EXIT_DONE;
	return EXIT_USAGE;
}

/* Looked at before it is opened, since opening some things has an effect. */
static int loop_check_type(const char *path, mode_t mode)
{
	if (S_ISREG(mode) || S_ISBLK(mode))
		return EXIT_DONE;
	if (S_ISDIR(mode))
		return loop_refuse(path, "is a directory");
	if (S_ISCHR(mode))
		return loop_refuse(path, "is a character device");
	if (S_ISFIFO(mode))
		return loop_refuse(path, "is a named pipe");
	return loop_refuse(path, "is neither a file nor a block device");
}

static int loop_open_failed(const char *path, const struct stat *st)
{
	char user[256];

	if (errno == EBUSY && S_ISBLK(st->st_mode)) {
		if (holders_describe(st->st_rdev, user, sizeof(user)) == 0)
			snprintf(user, sizeof(user), "somebody unknown");
		msg_error("%s: is in use: %s", path, user);
		return EXIT_BUSY;
	}
	loop_failed(path, "cannot open");
	if (errno == EROFS || errno == EACCES)
		msg_hint("--read-only may do");
	return EXIT_FAILED;
}

static int loop_create(struct loop *loop, const char *path)
{
	int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;

	if (loop->is_direct)
		flags |= O_DIRECT;
	loop->fd = open(path, flags, 0600);
	if (loop->fd < 0) {
		int code = errno == EEXIST ? EXIT_BUSY : EXIT_FAILED;

		loop_failed(path, "cannot create");
		return code;
	}
	if (ftruncate(loop->fd, (off_t)loop->create_size) == 0)
		return EXIT_DONE;
	loop_failed(path, "cannot set its size");
	return EXIT_FAILED;
}

/*
 * The next driver must serve the same file, whatever has its name by now, and
 * whatever the current directory is.
 */
static int loop_open_again(struct loop *loop, int kept, const char *path)
{
	int flags = loop->is_read_only ? O_RDONLY : O_RDWR;
	char name[64];

	if (loop->is_direct)
		flags |= O_DIRECT;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", kept);
	loop->fd = open(name, flags | O_CLOEXEC);
	return loop->fd < 0 ? loop_failed(path, "cannot open again") :
			      EXIT_DONE;
}

static int loop_open_existing(struct loop *loop, const char *path)
{
	int flags = (loop->is_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	struct stat st;
	int code;

	if (stat(path, &st) != 0)
		return loop_failed(path, "cannot open");
	code = loop_check_type(path, st.st_mode);
	if (code != EXIT_DONE)
		return code;
	if (loop->is_direct)
		flags |= O_DIRECT;
	loop->fd = open(path, flags);
	return loop->fd < 0 ? loop_open_failed(path, &st) : EXIT_DONE;
}

static int loop_in_use(const char *path, const char *user)
{
	msg_error("%s: is in use: %s", path, user);
	return EXIT_BUSY;
}

/* One and the same file or device? */
static bool loop_is_same(int fd, const struct stat *st)
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
static bool loop_set_lock(const struct loop *loop, int fd)
{
	struct flock lock = {
		.l_type = loop->is_read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* Does somebody with another open file than this one hold a lock? */
static bool loop_is_locked_for(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

/*
 * Does a descriptor have the one lock that there is? It is left as it is: the
 * driver that still has it may need more of it than we do, and goes on if we
 * fail.
 */
static bool loop_is_lock(const struct loop *loop, int fd)
{
	return loop_is_locked_for(loop->fd) && !loop_is_locked_for(fd);
}

/*
 * The lock of the driver before us, where it is on the same backing. What that
 * one was not told of the writes that were lost, its lock's descriptor is.
 */
static bool loop_inherit_lock(struct loop *loop, const struct dev *dev,
			      const struct stat *st)
{
	int fd = dev_kept(dev), none = 0;

	if (fd < 0 || !loop_is_same(fd, st) ||
	    (S_ISREG(st->st_mode) && !loop_is_lock(loop, fd)))
		return false;
	if (!loop->is_read_only && fdatasync(fd) != 0)
		atomic_compare_exchange_strong(&loop->kept->sync_error, &none,
					       errno);
	loop->lock_fd = fd;
	return true;
}

static int loop_lock(struct loop *loop, const char *path, const struct stat *st)
{
	int flags = (loop->is_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	char name[64], user[128];

	/* what is open, not what may have its name by now */
	snprintf(name, sizeof(name), "/proc/self/fd/%d", loop->fd);
	if (S_ISBLK(st->st_mode))
		flags |= O_EXCL;
	loop->lock_fd = open(name, flags);
	if (loop->lock_fd < 0 && errno == ENOENT)
		loop->lock_fd = open(path, flags);
	if (loop->lock_fd < 0)
		return loop_open_failed(path, st);
	if (S_ISBLK(st->st_mode) || loop_set_lock(loop, loop->lock_fd))
		return EXIT_DONE;
	if (errno != EAGAIN && errno != EACCES)
		return loop_failed(path, "cannot lock");
	backing_locker(st, user, sizeof(user));
	return loop_in_use(path, user);
}

static uint32_t loop_direct_align(int fd)
{
	struct loop_statx stx = { 0 };

	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) ==
		    0 &&
	    (stx.mask & STATX_DIOALIGN))
		return stx.dio_offset_align; /* 0: no direct I/O */
	return 4096;
}

/* What kind of thing it is, how long, and in which units it works. */
static int loop_inspect_file(struct loop *loop, const char *path,
			     struct kbdus_attributes *attrs,
			     const struct stat *st)
{
	loop->is_file = true;
	loop->size = (uint64_t)st->st_size;
	loop->block = loop->is_direct ? loop_direct_align(loop->fd) : 512;
	if (loop->block == 0)
		return loop_refuse(path, "does not support --direct");
	if (loop->block < 512)
		loop->block = 512;
	if ((st->st_blksize & (st->st_blksize - 1)) == 0)
		attrs->discard_granularity = (uint32_t)st->st_blksize;
	return EXIT_DONE;
}

/* A number from the queue's folder; a partition has its disk's. */
static uint32_t loop_queue_value(dev_t device, const char *name)
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

static int loop_inspect_device(struct loop *loop, const char *path,
			       struct kbdus_attributes *attrs, dev_t device)
{
	unsigned int physical = 0;
	int block = 0, is_read_only = 0;

	if (ioctl(loop->fd, BLKGETSIZE64, &loop->size) != 0 ||
	    ioctl(loop->fd, BLKSSZGET, &block) != 0 ||
	    ioctl(loop->fd, BLKPBSZGET, &physical) != 0 ||
	    ioctl(loop->fd, BLKROGET, &is_read_only) != 0)
		return loop_failed(path, "cannot examine");
	if (is_read_only && !loop->is_read_only) {
		loop_refuse(path, "is read-only");
		msg_hint("--read-only will do");
		return EXIT_FAILED;
	}
	loop->block = (uint32_t)block;
	if (attrs->logical_block_size == 0)
		attrs->logical_block_size = loop->block;
	if (attrs->physical_block_size == 0 &&
	    physical >= attrs->logical_block_size)
		attrs->physical_block_size = physical;
	attrs->discard_granularity =
		loop_queue_value(device, "discard_granularity");
	if (loop_queue_value(device, "rotational"))
		attrs->flags |= KBDUS_DEVICE_ROTATIONAL;
	return EXIT_DONE;
}

static int loop_inspect(struct loop *loop, const struct dev *dev,
			const char *path, struct kbdus_attributes *attrs)
{
	char user[128];
	struct stat st;
	int code;

	if (fstat(loop->fd, &st) != 0)
		return loop_failed(path, "cannot examine");
	code = loop_check_type(path, st.st_mode);
	if (code != EXIT_DONE)
		return code;
	if (!loop_inherit_lock(loop, dev, &st)) {
		code = loop_lock(loop, path, &st);
		if (code != EXIT_DONE)
			return code;
	}
	/* the kernel's loop devices heed neither locks nor O_EXCL */
	if (backing_kernel_user(&st, user, sizeof(user)))
		return loop_in_use(path, user);
	if (S_ISBLK(st.st_mode))
		return loop_inspect_device(loop, path, attrs, st.st_rdev);
	return loop_inspect_file(loop, path, attrs, &st);
}

static int loop_fit_blocks(struct loop *loop, const char *path,
			   struct kbdus_attributes *attrs)
{
	uint32_t least =
		loop->is_direct && loop->block > 512 ? loop->block : 512;

	if (attrs->logical_block_size == 0)
		attrs->logical_block_size = least;
	if (attrs->logical_block_size < least) {
		msg_error("%s: --direct needs a --block-size of %" PRIu32
			  " or more",
			  path, least);
		return EXIT_USAGE;
	}
	if (loop->is_direct && loop->offset % least != 0) {
		msg_error("%s: --direct needs an --offset that is a multiple "
			  "of %" PRIu32,
			  path, least);
		return EXIT_USAGE;
	}
	if (attrs->discard_granularity < attrs->logical_block_size)
		attrs->discard_granularity = attrs->logical_block_size;
	return EXIT_DONE;
}

static int loop_fit_size(struct loop *loop, const char *path,
			 struct kbdus_attributes *attrs)
{
	uint32_t block = attrs->logical_block_size;
	uint64_t rest;

	if (loop->offset >= loop->size)
		return loop_refuse(path, loop->offset == 0 ?
						 "is empty" :
						 "ends before --offset");
	loop->size -= loop->offset;
	if (loop->sizelimit != 0 && loop->sizelimit < loop->size)
		loop->size = loop->sizelimit;
	rest = loop->size & (block - 1);
	loop->size -= rest;
	if (loop->size == 0)
		return loop_refuse(path, "is smaller than one block");
	if (rest != 0)
		msg_warn("%s: the last %" PRIu64 " bytes are no whole block "
			 "of %" PRIu32 " bytes and are left out",
			 path, rest, block);
	attrs->size = loop->size;
	return EXIT_DONE;
}

/*
 * Ask with a range that is refused: whether the operation as such is supported
 * is looked at first (Linux 6.1 and later).
 */
static bool loop_device_can(const struct loop *loop, unsigned long command)
{
	uint64_t unaligned[2] = { 1, 1 };

	return ioctl(loop->fd, (int)command, unaligned) != 0 && errno == EINVAL;
}

/* Ask with a range behind the end, where there is nothing to lose. */
static bool loop_file_can_punch(const struct loop *loop, uint64_t end)
{
	return fallocate(loop->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)end, 4096) == 0 ||
	       (errno != EOPNOTSUPP && errno != ENOSYS);
}

/* Take back what this backing does not do. */
static void loop_fit_file_ops(const struct loop *loop, uint64_t end,
			      struct kbdus_attributes *attrs)
{
	attrs->ops &= ~LOOP_OP(KBDUS_OP_SECURE_ERASE);
	if (!loop->is_read_only && !loop_file_can_punch(loop, end))
		attrs->ops &= ~LOOP_OP(KBDUS_OP_DISCARD);
}

static void loop_fit_device_ops(const struct loop *loop,
				struct kbdus_attributes *attrs)
{
	/* the kernel cuts none of these to the backing's blocks */
	bool is_aligned = attrs->logical_block_size % loop->block == 0 &&
			  loop->offset % loop->block == 0;

	if (!is_aligned)
		attrs->ops &= ~LOOP_OP(KBDUS_OP_WRITE_ZEROES);
	if (!is_aligned || !loop_device_can(loop, BLKDISCARD))
		attrs->ops &= ~LOOP_OP(KBDUS_OP_DISCARD);
	if (!is_aligned || !loop_device_can(loop, BLKSECDISCARD))
		attrs->ops &= ~LOOP_OP(KBDUS_OP_SECURE_ERASE);
}

static void loop_name_backing(const char *path, char *name, size_t size)
{
	char *resolved = realpath(path, NULL);
	const char *text = resolved != NULL ? resolved : path;

	if ((size_t)snprintf(name, size, "%s", text) >= size)
		memcpy(name + size - 4, "...", 4);
	free(resolved);
}

static int loop_examine(struct loop *loop, const struct dev *dev,
			const char *path, struct kbdus_attributes *attrs)
{
	uint64_t end;
	int code = loop_inspect(loop, dev, path, attrs);

	end = loop->size;
	if (code == EXIT_DONE)
		code = loop_fit_blocks(loop, path, attrs);
	if (code == EXIT_DONE)
		code = loop_fit_size(loop, path, attrs);
	if (code != EXIT_DONE)
		return code;
	if (loop->is_file)
		loop_fit_file_ops(loop, end, attrs);
	else
		loop_fit_device_ops(loop, attrs);
	if (!dev_is_restart(dev))
		loop_name_backing(path, attrs->backing, sizeof(attrs->backing));
	return EXIT_DONE;
}

/* Undo what was done to get the backing. */
static void loop_let_go(struct loop *loop, const struct dev *dev,
			const char *path)
{
	if (loop->fd >= 0)
		close(loop->fd);
	if (loop->lock_fd >= 0)
		close(loop->lock_fd);
	if (loop->fd >= 0 && loop->is_new && !dev_is_restart(dev))
		unlink(path);
}

/* From here on the lock is the runtime's; a new one replaces the old one. */
static int loop_keep_lock(struct loop *loop, struct dev *dev, const char *path)
{
	int fd = loop->lock_fd;

	loop->lock_fd = -1;
	errno = -dev_keep(dev, fd);
	if (errno != 0)
		return loop_failed(path, "cannot keep locked");
	loop->range_fd = loop->is_file ? loop->fd : dev_kept(dev);
	return EXIT_DONE;
}

int loop_acquire(struct loop *loop, struct dev *dev, const char *path,
		 struct kbdus_attributes *attrs)
{
	int code = loop_check_options(loop);

	if (code != EXIT_DONE)
		return code;
	if (dev_is_restart(dev) && dev_kept(dev) >= 0)
		code = loop_open_again(loop, dev_kept(dev), path);
	else if (loop->is_new)
		code = loop_create(loop, path);
	else
		code = loop_open_existing(loop, path);
	if (code == EXIT_DONE)
		code = loop_examine(loop, dev, path, attrs);
	if (code == EXIT_DONE)
		code = loop_keep_lock(loop, dev, path);
	if (code != EXIT_DONE)
		loop_let_go(loop, dev, path);
	return code;
}
