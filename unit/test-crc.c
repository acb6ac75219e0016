/* SPDX-License-Identifier: MIT */
/*
 * test-crc - crc32c by lanes, by words and by bytes is the same.
 */
#include "crc.h"
#include "tap.h"

#define LEN_MAX 2400U /* three rounds of three lanes, and some */

/* As its definition has it, a bit at a time. */
static uint32_t by_bits(uint32_t crc, const unsigned char *data, size_t len)
{
	crc = ~crc;
	for (; len > 0; len--) {
		crc ^= *data++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
	}
	return ~crc;
}

int main(void)
{
	static unsigned char data[LEN_MAX + 8];
	unsigned int wrong = 0, parts = 0;
	uint64_t random = 1;

	for (size_t i = 0; i < sizeof(data); i++) {
		random = random * 6364136223846793005U + 1442695040888963407U;
		data[i] = (unsigned char)(random >> 56);
	}
	ok(crc_update(0, "123456789", 9) == 0xe3069283U, "the known value");
	for (uint32_t len = 0; len <= LEN_MAX; len++)
		wrong += crc_update(len, data + len % 8, len) !=
			 by_bits(len, data + len % 8, len);
	ok(wrong == 0, "all lengths: %u wrong", wrong);
	for (uint32_t len = 0; len <= LEN_MAX; len += 7)
		parts += crc_update(crc_update(0, data, len), data + len,
				    LEN_MAX - len) != by_bits(0, data, LEN_MAX);
	ok(parts == 0, "in two parts: %u wrong", parts);
	return tap_done();
}
