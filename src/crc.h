/* SPDX-License-Identifier: MIT */
/*
 * crc.h - crc32c (Castagnoli; RFC 3720, appendix B.4).
 */
#ifndef BDUS_CRC_H
#define BDUS_CRC_H

#include <stddef.h>
#include <stdint.h>

/**
 * crc_update - the checksum of what had checksum @crc, followed by these bytes
 * @crc: 0 for the first
 * @data: the bytes
 * @len: how many
 *
 * Return: the checksum.
 */
uint32_t crc_update(uint32_t crc, const void *data, size_t len);

#endif /* BDUS_CRC_H */
