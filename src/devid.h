/* SPDX-License-Identifier: MIT */
/*
 * devid.h - from what people type (3, bdus-3, /dev/bdus-3, a symbolic link)
 * to a device's id, and back to its node.
 */
#ifndef BDUS_DEVID_H
#define BDUS_DEVID_H

#include <stddef.h>
#include <stdint.h>

/** DEVID_NODE_SIZE - room for "/dev/bdus-" and any id. */
#define DEVID_NODE_SIZE 40

/**
 * devid_resolve - find the device that an operand means
 * @operand: an id, bdus-ID, or the path of any node or symbolic link that is
 *	the device
 * @id: where to store its id
 *
 * A partition is refused, with the name of its disk. Prints what is wrong.
 *
 * Return: 0, or the exit code: %EXIT_NO_DEVICE (no such device, or not one of
 * ours), %EXIT_NO_MODULE (no privilege to look).
 */
int devid_resolve(const char *operand, uint64_t *id);

/**
 * devid_resolve_at - as devid_resolve(), with sysfs mounted elsewhere
 * @sysfs: "/sys", or what stands in for it in a test
 * @operand: as there
 * @id: as there
 *
 * Return: as there.
 */
int devid_resolve_at(const char *sysfs, const char *operand, uint64_t *id);

/** devid_node - write the path of a device's node, "/dev/bdus-3". */
void devid_node(uint64_t id, char node[DEVID_NODE_SIZE]);

/**
 * devid_list - the ids of all devices
 * @ids: where to store the array, ascending; to be freed by the caller
 * @count: where to store their number
 *
 * Return: 0 (no module: no devices) or -errno.
 */
int devid_list(uint64_t **ids, size_t *count);

#endif /* BDUS_DEVID_H */
