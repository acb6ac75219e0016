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
 * struct loop - a device on a file or block device; constant while it lives
 * @offset: of the device in the backing, bytes
 * @sizelimit: most that is used of the backing, bytes; 0: no limit
 * @create_size: of the file to be made, bytes
 * @is_direct: O_DIRECT
 * @is_new: the file is to be made
 * @is_read_only: nothing is written
 * @is_file: a regular file, else a block device
 * @sync_error: errno of the first sync that failed, or 0: what was lost then
 *	stays lost, so no later sync may succeed
 * @fd: the backing, with the lock
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
	_Atomic int sync_error;
	int fd;
	uint32_t block;
	uint64_t size;
};

/**
 * loop_acquire - take the backing for us alone and fit the device to it
 * @loop: options, is_read_only and fd == -1 are filled in
 * @path: of the backing
 * @attrs: size, block sizes, granularity, flags, backing are filled in; ops
 *	that the backing does not do are cleared
 *
 * Prints what is wrong. Return: an exit code; %EXIT_BUSY: in use, or exists
 * and was to be made. On failure nothing is left behind.
 */
int loop_acquire(struct loop *loop, const char *path,
		 struct kbdus_attributes *attrs);

#endif /* BDUS_LOOP_H */
