/* SPDX-License-Identifier: MIT */
/*
 * crc - crc32c by the processor's instruction, or by a table.
 */
#include <string.h>

#include "crc.h"

static uint32_t crc_by_table(uint32_t crc, const unsigned char *data,
			     size_t len)
{
	/* of the 16 values of half a byte */
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
		0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	for (; len > 0; len--) {
		crc ^= *data++;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return crc;
}

#ifdef __x86_64__

__attribute__((target("sse4.2"))) static uint32_t
crc_by_instruction(uint32_t crc, const unsigned char *data, size_t len)
{
	uint64_t sum = crc, word;

	for (; len >= 8; len -= 8, data += 8) {
		memcpy(&word, data, 8);
		sum = __builtin_ia32_crc32di(sum, word);
	}
	crc = (uint32_t)sum;
	for (; len > 0; len--)
		crc = __builtin_ia32_crc32qi(crc, *data++);
	return crc;
}

#endif

uint32_t crc_update(uint32_t crc, const void *data, size_t len)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc_by_instruction(~crc, data, len);
#endif
	return ~crc_by_table(~crc, data, len);
}
