/* SPDX-License-Identifier: MIT */
/*
 * sector - the format of a sector: its id, a pattern, and the id once more, so
 * that a sector that was cut in two is known from either part.
 *
 * The checksum covers the id only: all other bytes follow from it and are
 * compared one by one.
 */
#include <stdalign.h>
#include <string.h>

#include "checker.h"

#define SECTOR_MAGIC 0x5b6b6368636b5d53ULL
#define PATTERN_WORDS \
	((SECTOR_BYTES - 2 * sizeof(struct sector_id)) / sizeof(uint64_t))

struct sector {
	struct sector_id head;
	uint64_t pattern[PATTERN_WORDS];
	struct sector_id tail;
};

_Static_assert(sizeof(struct sector) == SECTOR_BYTES, "no padding");

uint32_t crc32c(const void *data, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
		0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	const unsigned char *byte = data;
	uint32_t crc = ~0U;

	for (; len > 0; len--) {
		crc ^= *byte++;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

static uint32_t id_crc(const struct sector_id *id)
{
	return crc32c(id, offsetof(struct sector_id, crc32c));
}

static bool id_is_valid(const struct sector_id *id)
{
	return id->magic == SECTOR_MAGIC && id->crc32c == id_crc(id);
}

static void sector_build(struct sector *sector, const struct sector_id *id)
{
	uint64_t x = (id->sector * 0x9e3779b97f4a7c15ULL) ^
		     ((uint64_t)id->crc32c << 32) ^ id->sequence ^ id->device;

	sector->head = *id;
	for (size_t i = 0; i < PATTERN_WORDS; i++) {
		x += 0x9e3779b97f4a7c15ULL;
		sector->pattern[i] = (x ^ x >> 31) * 0xbf58476d1ce4e5b9ULL;
	}
	sector->tail = *id;
}

void sector_fill(void *data, struct sector_id *id)
{
	id->magic = SECTOR_MAGIC;
	id->crc32c = id_crc(id);
	sector_build(data, id);
}

static bool sector_is_zero(const void *data)
{
	const unsigned char *byte = data;

	return byte[0] == 0 && memcmp(byte, byte + 1, SECTOR_BYTES - 1) == 0;
}

static bool sector_is_whole(const struct sector *sector)
{
	struct sector wanted;

	if (!id_is_valid(&sector->head))
		return false;
	sector_build(&wanted, &sector->head);
	return memcmp(sector, &wanted, sizeof(wanted)) == 0;
}

enum content sector_read(const void *data, struct sector_id *id)
{
	const struct sector *sector = data;

	*id = id_is_valid(&sector->tail) ? sector->tail : sector->head;
	if (sector_is_whole(sector))
		return CONTENT_WHOLE;
	if (sector->head.magic == SECTOR_MAGIC ||
	    sector->tail.magic == SECTOR_MAGIC)
		return CONTENT_TORN;
	return sector_is_zero(data) ? CONTENT_ZERO : CONTENT_OTHER;
}

uint32_t sector_fingerprint(const void *data)
{
	const uint64_t *word = data;
	uint64_t hash = 0;

	for (size_t i = 0; i < SECTOR_BYTES / sizeof(*word); i++) {
		hash = (hash ^ word[i]) * 0xff51afd7ed558ccdULL;
		hash ^= hash >> 32;
	}
	return (uint32_t)hash;
}
