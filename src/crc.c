/* SPDX-License-Identifier: MIT */
/*
 * crc - crc32c by the processor's instruction, or by a table.
 */
#include <string.h>
#ifdef __x86_64__
#include <wmmintrin.h>
#endif

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

#define LANE 256U /* bytes */
/*
 * The checksum of @n bytes more, all zero: times x^(8n), as a product without
 * carries whose 64 bits the instruction takes for data; hence times x^-33.
 */
#define ZEROES_LANE 0xb9e02b86
#define ZEROES_2_LANES 0xdd7e3b0c

__attribute__((target("sse4.2"))) static uint64_t
crc_of_word(uint64_t sum, const unsigned char *data)
{
	uint64_t word;

	memcpy(&word, data, 8);
	return __builtin_ia32_crc32di(sum, word);
}

/*
 * The instruction takes three cycles, but one can begin in each: three lanes
 * are summed at the same time.
 */
__attribute__((target("sse4.2,pclmul"))) static uint64_t
crc_of_lanes(uint64_t sum, const unsigned char *data)
{
	const __m128i factors = _mm_set_epi64x(ZEROES_LANE, ZEROES_2_LANES);
	uint64_t second = 0, third = 0;
	__m128i sums, product;

#pragma GCC unroll 4
	for (size_t i = 0; i < LANE; i += 8) {
		sum = crc_of_word(sum, data + i);
		second = crc_of_word(second, data + LANE + i);
		third = crc_of_word(third, data + 2 * LANE + i);
	}
	sums = _mm_set_epi64x((int64_t)second, (int64_t)sum);
	product = _mm_xor_si128(_mm_clmulepi64_si128(sums, factors, 0x00),
				_mm_clmulepi64_si128(sums, factors, 0x11));
	return __builtin_ia32_crc32di(0, (uint64_t)_mm_cvtsi128_si64(product)) ^
	       third;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t
crc_by_instruction(uint32_t crc, const unsigned char *data, size_t len)
{
	uint64_t sum = crc;

	for (; len >= 3 * LANE; len -= 3 * LANE, data += 3 * LANE)
		sum = crc_of_lanes(sum, data);
	for (; len >= 32; len -= 32, data += 32)
#pragma GCC unroll 4
		for (size_t i = 0; i < 32; i += 8)
			sum = crc_of_word(sum, data + i);
	for (; len >= 8; len -= 8, data += 8)
		sum = crc_of_word(sum, data);
	crc = (uint32_t)sum;
	for (; len > 0; len--)
		crc = __builtin_ia32_crc32qi(crc, *data++);
	return crc;
}

#endif

uint32_t crc_update(uint32_t crc, const void *data, size_t len)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2") &&
	    __builtin_cpu_supports("pclmul"))
		return ~crc_by_instruction(~crc, data, len);
#endif
	return ~crc_by_table(~crc, data, len);
}
