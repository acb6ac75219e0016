/* SPDX-License-Identifier: MIT */
/*
 * volume.h - compressed volumes that fuzz targets begin with, and how an input
 * changes one: a medium in memory, of which only what was written has to be
 * put back for the next input.
 */
#ifndef BDUS_FUZZ_VOLUME_H
#define BDUS_FUZZ_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drivers/compress/engine.h"

#define VOLUME_BYTES (3U << 19)
#define VOLUME_BLOCKS (VOLUME_BYTES / BLOCK_SIZE)

/**
 * struct volume - a medium
 * @medium: what it is to others; its size may be changed
 * @bytes: what is on it
 * @base: what was on it
 * @is_written: of each block, whether it may differ
 */
struct volume {
	struct medium medium;
	unsigned char bytes[VOLUME_BYTES];
	const unsigned char *base;
	bool is_written[VOLUME_BLOCKS];
};

/** volume_setup - make the volumes to begin with. */
void volume_setup(void);

/**
 * volume_begin - put a volume back to what it was, and change it
 * @volume: the same one each time
 * @data: the input: which volume, then changes; see volume.c
 * @size: of @data
 */
void volume_begin(struct volume *volume, const uint8_t *data, size_t size);

/** volume_must - ends the process, as a finding, unless it @holds. */
void volume_must(bool holds, const char *what);

/** volume_read - read what there is of the disk, within bounds of time. */
void volume_read(struct engine *engine);

/** volume_use - write, make zero, flush, make checkpoints; errors are fine. */
void volume_use(struct engine *engine);

#endif /* BDUS_FUZZ_VOLUME_H */
