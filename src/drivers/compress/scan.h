/* SPDX-License-Identifier: MIT */
/*
 * compress/scan.h - what is in a segment, whatever the map says of it.
 *
 * A segment is in engine->segment_buf; places are bytes from its start.
 */
#ifndef BDUS_COMPRESS_SCAN_H
#define BDUS_COMPRESS_SCAN_H

#include "engine.h"

/**
 * scan_read - read a segment
 * @engine: the volume
 * @segment: its number
 *
 * What cannot be read is zeroes.
 *
 * Return: blocks that cannot be read.
 */
uint32_t scan_read(struct engine *engine, uint32_t segment);

/**
 * scan_head - the head of the segment that was read
 * @engine: the volume
 * @segment: its number
 *
 * Return: it, or NULL: there is none.
 */
const struct segment_head *scan_head(const struct engine *engine,
				     uint32_t segment);

/**
 * scan_batch - the next batch that is whole
 * @engine: a segment is read
 * @at: where the search begins; where the batch is
 *
 * Return: it, or NULL: there is none.
 */
const struct batch_head *scan_batch(const struct engine *engine, uint32_t *at);

/**
 * scan_record - the next record whose header is whole
 * @engine: a segment is read
 * @at: where the search begins; where the record is
 *
 * Its payload may be damaged, but is all in the segment.
 *
 * Return: it, or NULL: there is none.
 */
const struct record *scan_record(const struct engine *engine, uint32_t *at);

#endif /* BDUS_COMPRESS_SCAN_H */
