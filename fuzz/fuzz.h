/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h - what the fuzz targets share: a disk made of a few bytes, and all
 * that is done with a header that was accepted.
 */
#ifndef BDUS_FUZZ_H
#define BDUS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drivers/encrypt/disk.h"
#include "drivers/encrypt/luks.h"

/**
 * struct fuzz_disk - a disk in memory that is larger than its bytes
 * @disk: what it is to others; reads zeroes after @len
 * @data: its first bytes
 * @len: how many
 */
struct fuzz_disk {
	struct disk disk;
	unsigned char *data;
	size_t len;
};

/** fuzz_disk_init - a disk of @size bytes; writes after @len are lost */
void fuzz_disk_init(struct fuzz_disk *fuzz, unsigned char *data, size_t len,
		    uint64_t size, bool is_written);

/** fuzz_setup - output of the code under test goes nowhere */
void fuzz_setup(void);

/** fuzz_must - ends the process, as a finding, unless it @holds */
void fuzz_must(bool holds, const char *what);

/** fuzz_size - one of a few sizes of a disk, some too small */
uint64_t fuzz_size(unsigned char choice);

/**
 * fuzz_header - what a caller does with a header that luks_read() accepted
 * @luks: it
 * @disk: that has it
 * @data_size: that luks_read() was told
 *
 * Every promise of luks.h that needs no passphrase is checked.
 */
void fuzz_header(const struct luks *luks, struct disk *disk,
		 uint64_t data_size);

/** fuzz_same - do two headers say the same, no matter of what seqid? */
void fuzz_same(const struct luks *one, const struct luks *other);

#endif /* BDUS_FUZZ_H */
