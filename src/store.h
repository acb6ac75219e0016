/* SPDX-License-Identifier: MIT */
/*
 * store.h - the file or block device that a driver's data is on, its backing.
 *
 * It is ours alone while the device lives, by a lock that the next driver of
 * the device inherits. Its errors are the client's. A file is never made
 * longer: one that was cut short by somebody else gives EIO from there on, for
 * reads by their short count, for the rest by a look at its size first (which
 * that somebody can still win a race against).
 *
 * store.c takes hold of it, storeio.c moves data.
 */
#ifndef BDUS_STORE_H
#define BDUS_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "driver.h"

/**
 * struct store_kept - what outlives the driver: first in its kept memory
 * @sync_error: errno of the first sync that failed, or 0: what was lost then
 *	stays lost, so no later sync may succeed
 */
struct store_kept {
	_Atomic int sync_error;
};

/**
 * struct store - a backing; constant once it is served
 * @create_size: of the file to be made, bytes
 * @is_direct: O_DIRECT
 * @is_new: the file is to be made
 * @is_read_only: nothing is written
 * @is_file: a regular file, else a block device
 * @kept: see there
 * @fd: the backing, or -1
 * @range_fd: it, for what throws parts of its page cache away: of a block
 *	device that has to be the one with the lock, or the kernel refuses
 *	(EBUSY) where a page is in use
 * @lock_fd: it again, only for the lock: a file by a lock of the open file,
 *	a block device by O_EXCL; -1: the runtime has it (dev_keep())
 * @block: alignment that it asks for, bytes
 * @size: bytes
 */
struct store {
	uint64_t create_size;
	bool is_direct;
	bool is_new;
	bool is_read_only;
	bool is_file;
	struct store_kept *kept;
	int fd;
	int range_fd;
	int lock_fd;
	uint32_t block;
	uint64_t size;
};

/**
 * store_acquire - open a backing, for us alone, and look at it
 * @store: create_size, is_direct and is_new are filled in
 * @dev: its kept memory begins with struct store_kept; its kept descriptor may
 *	be the lock already. Filled in: logical_block_size of a device and
 *	physical_block_size where they are 0, discard_granularity, flags
 * @path: of the backing
 *
 * Prints what is wrong.
 *
 * Return: an exit code; %EXIT_BUSY: in use, or exists
 * and was to be made. On failure nothing is left behind.
 */
int store_acquire(struct store *store, struct dev *dev, const char *path);

/**
 * store_serve - fit the device to its backing, and let the lock be the device's
 * @store: acquired
 * @dev: its size and block sizes are final; ops that the backing does not do
 *	are cleared
 * @path: as before
 * @off: where the device's first byte is, bytes
 *
 * Prints what is wrong.
 *
 * Return: an exit code; store_release() is up to the
 * caller.
 */
int store_serve(struct store *store, struct dev *dev, const char *path,
		uint64_t off);

/**
 * store_release - undo store_acquire(), before the device exists
 * @store: acquired
 * @dev: as before
 * @path: as before; a file that was made is removed again
 */
void store_release(struct store *store, const struct dev *dev,
		   const char *path);

/**
 * store_close - write out what is not yet, and close; the lock is the runtime's
 * @store: served
 * @path: for the message
 *
 * Return: an exit code.
 */
int store_close(struct store *store, const char *path);

/*
 * Data: offsets are from the start of the backing, in bytes. All return 0 or
 * -errno and can be called by several threads.
 */

/** store_read - read exactly @len bytes; -EIO: it ends before that. */
int store_read(const struct store *store, void *buf, size_t len, uint64_t off);

/** store_write - write; -EIO: it does not reach so far. */
int store_write(const struct store *store, const void *buf, size_t len,
		uint64_t off);

/** store_write_durable - write, and return when that is durable (FUA). */
int store_write_durable(const struct store *store, const void *buf, size_t len,
			uint64_t off);

/** store_sync - make durable what was written; fails for ever once it did. */
int store_sync(const struct store *store);

/**
 * store_zero - write zeroes without data, where the backing can
 * @store: the backing
 * @len: bytes
 * @off: bytes
 * @may_unmap: it may give the space back
 *
 * Return: 0, -EOPNOTSUPP (it cannot), or another -errno.
 */
int store_zero(const struct store *store, uint32_t len, uint64_t off,
	       bool may_unmap);

/** store_discard - give space back; the content is undefined afterwards. */
int store_discard(const struct store *store, uint32_t len, uint64_t off);

/** store_secure_erase - of block devices: erase, copies included. */
int store_secure_erase(const struct store *store, uint32_t len, uint64_t off);

#endif /* BDUS_STORE_H */
