/* SPDX-License-Identifier: MIT */
/*
 * device - a block device or file as a target: past the page cache where that
 * is possible, asynchronously by the kernel's AIO, straight on system calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checker.h"

#ifndef RWF_DSYNC
#define RWF_DSYNC 0x00000002
#endif

struct lane {
	struct device *device;
	aio_context_t context;
	struct iocb *iocbs; /* one per slot */
};

static void *device_lane_open(struct target *target, unsigned int depth)
{
	struct lane *lane = calloc(1, sizeof(*lane));

	if (lane == NULL)
		return NULL;
	lane->device = (struct device *)target;
	lane->iocbs = calloc(depth, sizeof(*lane->iocbs));
	if (lane->iocbs != NULL &&
	    syscall(SYS_io_setup, depth, &lane->context) == 0)
		return lane;
	free(lane->iocbs);
	free(lane);
	return NULL;
}

static void device_lane_close(void *arg)
{
	struct lane *lane = arg;

	syscall(SYS_io_destroy, lane->context);
	free(lane->iocbs);
	free(lane);
}

/* fallocate() of a block device would not do for Linux's older zeroing. */
static int device_zero(const struct device *device, const struct op *op)
{
	uint64_t range[2] = { op->sector * SECTOR_BYTES,
			      (uint64_t)op->n_sectors * SECTOR_BYTES };
	bool is_zero = op->kind == OP_ZERO;
	int mode = is_zero ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;

	if (device->is_file)
		return fallocate(device->fd, mode | FALLOC_FL_KEEP_SIZE,
				 (off_t)range[0], (off_t)range[1]);
	return ioctl(device->fd, is_zero ? BLKZEROOUT : BLKDISCARD, range);
}

static bool device_submit(struct lane *lane, struct slot *slot)
{
	struct iocb *iocb = &lane->iocbs[slot->index];
	bool is_read = slot->op.kind == OP_READ;

	*iocb = (struct iocb){
		.aio_data = (uintptr_t)slot,
		.aio_lio_opcode = is_read ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE,
		.aio_rw_flags = slot->op.kind == OP_FUA_WRITE ? RWF_DSYNC : 0,
		.aio_fildes = (uint32_t)lane->device->fd,
		.aio_buf = (uintptr_t)slot->data,
		.aio_nbytes = (uint64_t)slot->op.n_sectors * SECTOR_BYTES,
		.aio_offset = (int64_t)(slot->op.sector * SECTOR_BYTES),
	};
	if (syscall(SYS_io_submit, lane->context, 1, &iocb) == 1)
		return false;
	slot->error = errno;
	return true;
}

static bool device_start(void *arg, struct slot *slot)
{
	struct lane *lane = arg;
	int status;

	switch (slot->op.kind) {
	case OP_FLUSH:
		status = fdatasync(lane->device->fd);
		break;
	case OP_ZERO:
	case OP_DISCARD:
		status = device_zero(lane->device, &slot->op);
		break;
	default:
		return device_submit(lane, slot);
	}
	slot->error = status == 0 ? 0 : errno;
	return true;
}

static struct slot *device_wait(void *arg)
{
	struct lane *lane = arg;
	struct io_event event;
	struct slot *slot;

	while (syscall(SYS_io_getevents, lane->context, 1, 1, &event, NULL) !=
	       1)
		if (errno != EINTR)
			abort();
	slot = (struct slot *)(uintptr_t)event.data;
	if (event.res < 0)
		slot->error = (int)-event.res;
	else if ((uint64_t)event.res != slot->op.n_sectors * SECTOR_BYTES)
		slot->error = EIO;
	return slot;
}

static int device_measure(struct device *device)
{
	struct target *target = &device->target;
	uint64_t size = 0;
	int block = 512;
	struct stat st;

	if (fstat(device->fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return -ENOTBLK;
	device->is_file = S_ISREG(st.st_mode);
	if (device->is_file) {
		size = (uint64_t)st.st_size;
		if (fcntl(device->fd, F_GETFL) & O_DIRECT)
			block = 4096;
	} else if (ioctl(device->fd, BLKGETSIZE64, &size) != 0 ||
		   ioctl(device->fd, BLKSSZGET, &block) != 0) {
		return -errno;
	}
	target->block_sectors = (uint32_t)block / SECTOR_BYTES;
	target->n_sectors = size / (uint32_t)block * target->block_sectors;
	return 0;
}

/* O_EXCL: a device that is mounted, say, is not to be written to. */
static int device_open_file(const char *path, bool is_read_only)
{
	int flags = O_CLOEXEC | (is_read_only ? O_RDONLY : O_RDWR);
	struct stat st;
	int fd;

	if (stat(path, &st) == 0 && S_ISBLK(st.st_mode) && !is_read_only)
		flags |= O_EXCL;
	fd = open(path, flags | O_DIRECT);
	return fd < 0 && errno == EINVAL ? open(path, flags) : fd;
}

int device_open(struct device *device, const char *path, bool is_read_only)
{
	int error;

	*device = (struct device){
		.target = { .name = path,
			    .lane_open = device_lane_open,
			    .lane_close = device_lane_close,
			    .start = device_start,
			    .wait = device_wait },
		.fd = device_open_file(path, is_read_only),
	};
	if (device->fd < 0)
		return -errno;
	error = device_measure(device);
	if (error != 0)
		close(device->fd);
	return error;
}

void device_close(struct device *device)
{
	close(device->fd);
}
