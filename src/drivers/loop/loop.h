/* SPDX-License-Identifier: MIT */
/*
 * loop/loop.h - what the two rooms of the loop driver share: backing.c takes
 * hold of the backing, loop.c moves data.
 */
#ifndef BDUS_LOOP_H
#define BDUS_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "driver.h"

/**
 * struct loop_kept - what outlives the driver where it is supervised
 * @sync_error: errno of the first sync that failed, or 0: what was lost then
 *	stays lost, so no later sync may succeed
 */
struct loop_kept {
	_Atomic int sync_error;
};

/**
 * struct loop - a device on a file or block device; constant while it lives
 * @offset: of the device in the backing, bytes
 * @sizelimit: most that is used of the backing, bytes; 0: no limit
 * @create_size: of the file to be made, bytes
 * @is_direct: O_DIRECT
 * @is_new: the file is to be made
 * @is_read_only: nothing is written
 * @is_file: a regular file, else a block device
 * @kept: see there
 * @fd: the backing
 * @range_fd: it, for what throws parts of its page cache away: of a block
 *	device that has to be the one with the lock, or the kernel refuses
 *	(EBUSY) where a page is in use
 * @lock_fd: it again, only for the lock: a file by a lock of the open file,
 *	a block device by O_EXCL; -1: the runtime has it (dev_keep())
 * @block: alignment that the backing asks for, bytes
 * @size: of the backing, then of the device, bytes
 */
struct loop {
	uint64_t offset;
	uint64_t sizelimit;
	uint64_t create_size;
	bool is_direct;
	bool is_new;
	bool is_read_only;
	bool is_file;
	struct loop_kept *kept;
	int fd;
	int range_fd;
	int lock_fd;
	uint32_t block;
	uint64_t size;
};

/**
 * loop_acquire - take the backing for us alone and fit the device to it
 * @loop: options, is_read_only, kept, fd and lock_fd == -1 are filled in
 * @dev: its kept descriptor may be the lock already
 * @path: of the backing
 * @attrs: size, block sizes, granularity, flags, backing are filled in; ops
 *	that the backing does not do are cleared
 *
 * Prints what is wrong. Return: an exit code; %EXIT_BUSY: in use, or exists
 * and was to be made. On failure nothing is left behind.
 */
int loop_acquire(struct loop *loop, struct dev *dev, const char *path,
		 struct kbdus_attributes *attrs);

#endif /* BDUS_LOOP_H */
