/* SPDX-License-Identifier: MIT */
/*
 * encrypt/disk.h - where a header is: a file, a device, or a test's memory.
 */
#ifndef BDUS_ENCRYPT_DISK_H
#define BDUS_ENCRYPT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct disk - something with bytes; embedded in what implements it
 * @name: for messages
 * @size: bytes
 * @read: exactly @len bytes; 0 or -errno (-EIO: there are fewer)
 * @write: likewise; NULL: nothing may be written
 * @sync: what was written is durable when it returns 0; else -errno
 */
struct disk {
	const char *name;
	uint64_t size;
	int (*read)(struct disk *disk, void *buf, size_t len, uint64_t off);
	int (*write)(struct disk *disk, const void *buf, size_t len,
		     uint64_t off);
	int (*sync)(struct disk *disk);
};

/**
 * struct disk_file - a disk that is a file or block device
 * @disk: what it is to others
 * @fd: open, page cache, or -1
 * @lock_fd: the lock of cryptsetup's kind, held around changes, or -1; of a
 *	regular file it is @fd
 */
struct disk_file {
	struct disk disk;
	int fd;
	int lock_fd;
};

/**
 * enum disk_mode - what is going to happen to it
 * @DISK_READ: it is looked at; under a shared lock
 * @DISK_CHANGE: its header is changed, while it may be in use; under the
 *	exclusive lock
 * @DISK_REPLACE: all of it may be replaced: refused while it is in use by
 *	anybody (mounted, open by bdus or dm-crypt, swap)
 */
enum disk_mode { DISK_READ, DISK_CHANGE, DISK_REPLACE };

/**
 * disk_open - open a file or device and take the lock that cryptsetup heeds
 * @file: filled in
 * @path: of a regular file or block device, not copied
 * @mode: see there
 *
 * The lock is flock() on a file, and on /run/cryptsetup/L_MAJOR:MINOR for a
 * device; it is waited for, for ten seconds. Without the rights to take a
 * device's lock it can still be read. Prints what is wrong.
 *
 * Return: an exit code; %EXIT_BUSY: in use.
 */
int disk_open(struct disk_file *file, const char *path, enum disk_mode mode);

/**
 * disk_open_fd - likewise, read-only, what is open already; takes no lock
 * @file: filled in
 * @path: its name, not copied
 * @fd: of it, without O_DIRECT; stays the caller's
 *
 * Return: an exit code.
 */
int disk_open_fd(struct disk_file *file, const char *path, int fd);

/** disk_unlock - give up the lock early. */
void disk_unlock(struct disk_file *file);

/** disk_close - give everything back. */
void disk_close(struct disk_file *file);

#endif /* BDUS_ENCRYPT_DISK_H */
