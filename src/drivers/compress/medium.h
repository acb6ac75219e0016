/* SPDX-License-Identifier: MIT */
/*
 * compress/medium.h - what a compressed volume is on: a driver's store, a file
 * that an action opened, or a test's memory.
 */
#ifndef BDUS_COMPRESS_MEDIUM_H
#define BDUS_COMPRESS_MEDIUM_H

#include <stddef.h>
#include <stdint.h>

/**
 * struct medium - something with bytes; embedded in what implements it
 * @size: bytes
 * @read: exactly @len bytes; 0 or -errno (-EIO: there are fewer)
 * @write: likewise; NULL: nothing may be written
 * @sync: what was written before the call is durable when it returns 0; else
 *	-errno, for ever
 * @allocate: see to it that writes there cannot fail for lack of space;
 *	-ENOSPC; NULL: they cannot anyway
 * @punch: give space back; what is read there afterwards is undefined; NULL:
 *	impossible
 * @forget: read anew what was synced, or was not written by us: after a failure
 *	a cache may have what is not there; NULL: there is no cache
 *
 * All can be called by several threads at once.
 */
struct medium {
	uint64_t size;
	int (*read)(struct medium *medium, void *buf, size_t len, uint64_t off);
	int (*write)(struct medium *medium, const void *buf, size_t len,
		     uint64_t off);
	int (*sync)(struct medium *medium);
	int (*allocate)(struct medium *medium, uint64_t off, uint64_t len);
	int (*punch)(struct medium *medium, uint64_t off, uint64_t len);
	void (*forget)(struct medium *medium);
};

#endif /* BDUS_COMPRESS_MEDIUM_H */
