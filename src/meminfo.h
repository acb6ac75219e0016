/* SPDX-License-Identifier: MIT */
/*
 * meminfo.h - how much memory there is, as the kernel tells.
 */
#ifndef BDUS_MEMINFO_H
#define BDUS_MEMINFO_H

#include <stdint.h>

/**
 * meminfo - a line of /proc/meminfo
 * @name: as "MemAvailable": what can be had without swapping
 *
 * Return: bytes; 0 where that is not to be known, too.
 */
uint64_t meminfo(const char *name);

#endif /* BDUS_MEMINFO_H */
