/* SPDX-License-Identifier: MIT */
/*
 * vdo-format - make an empty volume of dm-vdo, which Debian has no tool for.
 *
 *	vdo-format DEVICE LOGICAL-BLOCKS
 *
 * DEVICE reads as zeroes: all but two blocks are right so. What they hold, all
 * little-endian, is told by drivers/md/dm-vdo/encodings.h of Linux 6.12. The
 * room for an index is too small for one: it is for use without deduplication.
 * Prints the size of DEVICE in blocks, which the table for dmsetup needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BLOCK 4096U
#define NONCE 0x6264757362656e63ULL
#define DATA_START 64U /* the index' region is before it */
#define ROOTS 60U      /* of the block map */
#define SUMMARY 64U    /* 2 bytes for 8192 slabs in each of 16 zones */
#define JOURNAL 32768U /* as vdoformat has it */
#define SLAB 16384U    /* blocks */
#define SLAB_JOURNAL 224U
/* Of a slab: a byte for each block, in sectors that begin with 8 others. */
#define COUNTS_PER_BLOCK (8U * (512U - 8U))

enum component { SUPER, LAYOUT, RECOVERY, DEPOT, BLOCK_MAP, GEOMETRY };
enum partition { MAP_PART, DEPOT_PART, JOURNAL_PART, SUMMARY_PART };

struct writer {
	unsigned char block[BLOCK];
	size_t at;
};

static void put(struct writer *to, uint64_t value, size_t len)
{
	memcpy(to->block + to->at, &value, len);
	to->at += len;
}

static void put_version(struct writer *to, uint32_t major)
{
	put(to, major, 4);
	put(to, 0, 4);
}

static void put_header(struct writer *to, enum component id, uint32_t major,
		       uint64_t size)
{
	put(to, id, 4);
	put_version(to, major);
	put(to, size, 8);
}

/* CRC-32 of Ethernet that begins with 0. */
static void put_crc(struct writer *to)
{
	uint32_t crc = 0;

	for (size_t i = 0; i < to->at; i++) {
		crc ^= to->block[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0);
	}
	put(to, ~crc, 4);
}

static void make_geometry(struct writer *to)
{
	memcpy(to->block, "dmvdo001", 8);
	to->at = 8;
	put_header(to, GEOMETRY, 5, 101);
	put(to, 0, 4);
	put(to, NONCE, 8);
	memcpy(to->block + to->at, "bdus's benchmark", 16);
	to->at += 16;
	put(to, 0, 8); /* of bios */
	put(to, 0, 4); /* index region */
	put(to, 1, 8);
	put(to, 1, 4); /* data region */
	put(to, DATA_START, 8);
	put(to, 0, 4); /* index: memory, unused, is it sparse */
	put(to, 0, 4);
	put(to, 0, 1);
	put_crc(to);
}

static void put_partition(struct writer *to, enum partition id, uint64_t start,
			  uint64_t count)
{
	put(to, id, 1);
	put(to, start, 8);
	put(to, 0, 8);
	put(to, count, 8);
}

static void put_depot(struct writer *to, uint64_t start, uint64_t count)
{
	uint64_t counts =
		(SLAB - SLAB_JOURNAL + COUNTS_PER_BLOCK - 1) / COUNTS_PER_BLOCK;
	uint64_t flushing = SLAB_JOURNAL * 3 / 4;

	put_header(to, DEPOT, 2, 73);
	put(to, SLAB, 8);
	put(to, SLAB - SLAB_JOURNAL - counts, 8);
	put(to, counts, 8);
	put(to, SLAB_JOURNAL, 8);
	put(to, flushing, 8);
	put(to, flushing + (SLAB_JOURNAL - flushing) * 5 / 7, 8);
	put(to, flushing + (SLAB_JOURNAL - flushing) * 5 / 7, 8);
	put(to, start, 8);
	put(to, start + count / SLAB * SLAB, 8);
	put(to, 0, 1); /* zones: up to the kernel */
}

static void make_super(struct writer *to, uint64_t physical, uint64_t logical)
{
	uint64_t map = DATA_START + 1, depot = map + ROOTS;
	uint64_t journal = physical - SUMMARY - JOURNAL;
	uint64_t summary = physical - SUMMARY;

	put_header(to, SUPER, 12, 0);
	put(to, 0, 4);
	put_version(to, 67);
	put_version(to, 41);
	put(to, 1, 4); /* new */
	put(to, 0, 8);
	put(to, 0, 8);
	put(to, logical, 8);
	put(to, physical, 8);
	put(to, SLAB, 8);
	put(to, JOURNAL, 8);
	put(to, SLAB_JOURNAL, 8);
	put(to, NONCE, 8);
	put_header(to, LAYOUT, 3, 17 + 4 * 25);
	put(to, journal, 8); /* nothing is left between: first, last */
	put(to, journal, 8);
	put(to, 4, 1);
	put_partition(to, DEPOT_PART, depot, journal - depot);
	put_partition(to, JOURNAL_PART, journal, JOURNAL);
	put_partition(to, SUMMARY_PART, summary, SUMMARY);
	put_partition(to, MAP_PART, map, ROOTS);
	put_header(to, RECOVERY, 7, 24);
	put(to, 1, 8);
	put(to, 0, 8);
	put(to, 0, 8);
	put_depot(to, depot, journal - depot);
	put_header(to, BLOCK_MAP, 2, 32);
	put(to, 1, 8);
	put(to, 0, 8);
	put(to, map, 8);
	put(to, ROOTS, 8);
	/* what follows the header, the checksum included */
	memcpy(to->block + 12, &(uint64_t){ to->at - 20 + 4 }, 8);
	put_crc(to);
}

static void fail(const char *path)
{
	fprintf(stderr, "vdo-format: %s: %s\n", path, strerror(errno));
	exit(1);
}

int main(int argc, char **argv)
{
	struct writer geometry = { .at = 0 }, super = { .at = 0 };
	uint64_t size;
	int fd;

	if (argc != 3)
		return 2;
	fd = open(argv[1], O_RDWR);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) != 0)
		fail(argv[1]);
	make_geometry(&geometry);
	make_super(&super, size / BLOCK, strtoull(argv[2], NULL, 0));
	if (pwrite(fd, geometry.block, BLOCK, 0) != BLOCK ||
	    pwrite(fd, super.block, BLOCK, DATA_START * BLOCK) != BLOCK ||
	    fsync(fd) != 0)
		fail(argv[1]);
	printf("%llu\n", (unsigned long long)(size / BLOCK));
	return 0;
}
