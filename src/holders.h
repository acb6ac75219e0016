/* SPDX-License-Identifier: MIT */
/*
 * holders.h - who uses a block device: mounts, swap, devices on top of it,
 * processes that have it open; its partitions count as itself.
 */
#ifndef BDUS_HOLDERS_H
#define BDUS_HOLDERS_H

#include <stddef.h>
#include <sys/types.h>

/**
 * holders_describe - name what holds a block device
 * @disk: device number of the disk or partition
 * @text: where to write "mounted on /mnt, dd (pid 12)", cut off where @size
 *	ends; "" when nobody was found
 * @size: room in @text
 *
 * Looks into /proc and /sys with the rights of the caller, so it may miss
 * holders (other users' processes). Mounts that only other processes see are
 * looked for when nothing else was found.
 *
 * Return: how many holders were found.
 */
int holders_describe(dev_t disk, char *text, size_t size);

#endif /* BDUS_HOLDERS_H */
