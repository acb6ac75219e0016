/* SPDX-License-Identifier: MIT */
/*
 * reclaim.h - serving I/O while memory is short.
 *
 * The kernel may write to our device in order to free memory. So a driver must
 * not wait for memory itself: not for a page of its own that was evicted, not
 * for write-back that waits for it, and it must not be killed to free some.
 */
#ifndef BDUS_RECLAIM_H
#define BDUS_RECLAIM_H

#include <stddef.h>

/**
 * reclaim_lock - keep this process in memory
 *
 * Loads and locks what is mapped now; later mappings are locked page by page
 * as they come into use, so that a large sparse one stays sparse. To be called
 * before the driver maps anything.
 *
 * Return: 0 or -errno (EPERM: there is a limit, RLIMIT_MEMLOCK; ENOMEM).
 */
int reclaim_lock(void);

/**
 * reclaim_populate - take the memory of a mapping now
 * @addr: of the mapping, page-aligned
 * @size: bytes
 *
 * Return: 0 or -errno (ENOMEM).
 */
int reclaim_populate(void *addr, size_t size);

/**
 * reclaim_protect - tell the kernel that this process carries out I/O
 *
 * No write-back from its allocations, last choice of the OOM killer. Threads
 * inherit it if they are made later. Warns when refused, once the device would
 * be less safe for it.
 */
void reclaim_protect(void);

#endif /* BDUS_RECLAIM_H */
