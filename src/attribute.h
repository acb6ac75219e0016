/* SPDX-License-Identifier: MIT */
/*
 * attribute.h - what sysfs says about a device, one value a file.
 */
#ifndef BDUS_ATTRIBUTE_H
#define BDUS_ATTRIBUTE_H

#include <stddef.h>
#include <stdint.h>

/** ATTRIBUTE_SIZE - room for the longest value, a page, and its end. */
#define ATTRIBUTE_SIZE 4097

/** ATTRIBUTE_UNKNOWN - stands for a number that is not there. */
#define ATTRIBUTE_UNKNOWN (-1)

/**
 * attribute_text - read a value
 * @sysfs: "/sys", or what stands in for it in a test
 * @id: of the device
 * @file: below /sys/block/bdus-ID/, as "bdus/state"
 * @text: where to store it, without the last newline; "" on failure
 * @size: room in @text
 *
 * Needs no privilege, and does not wait for the device.
 *
 * Return: 0 or -errno (ENOENT: no such device, or a module that is older).
 */
int attribute_text(const char *sysfs, uint64_t id, const char *file, char *text,
		   size_t size);

/**
 * attribute_number - read a value that is a number
 * @sysfs: as there
 * @id: as there
 * @file: as there
 *
 * Return: the number, or %ATTRIBUTE_UNKNOWN: no such file, no number, or one
 * that does not fit.
 */
int64_t attribute_number(const char *sysfs, uint64_t id, const char *file);

#endif /* BDUS_ATTRIBUTE_H */
