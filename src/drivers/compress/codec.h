/* SPDX-License-Identifier: MIT */
/*
 * compress/codec.h - packing and unpacking of records' payloads: contexts and
 * buffers of one thread, which allocate nothing once they are open.
 */
#ifndef BDUS_COMPRESS_CODEC_H
#define BDUS_COMPRESS_CODEC_H

#include "format.h"

#define PLAIN_MAX (RECORD_BLOCKS_MAX * BLOCK_SIZE)
/* Of the room for records: for the largest one, or for several. */
#define CODEC_ROOM (PLAIN_MAX + BLOCK_SIZE)

/**
 * struct codec - what one thread works with
 * @compressor: of zstd, in @memory; NULL: it can only unpack
 * @expander: of zstd, in @memory
 * @memory: of both
 * @level: of zstd
 * @n_apart: how often the blocks that come next are not one record
 * @n_since: records of several blocks since it was tried what they gain
 * @record: room for records as they are in the log, CODEC_ROOM bytes
 * @plain: room for what it stands for
 */
struct codec {
	struct ZSTD_CCtx_s *compressor;
	struct ZSTD_DCtx_s *expander;
	void *memory;
	int level;
	unsigned int n_apart;
	unsigned int n_since;
	unsigned char *record;
	unsigned char *plain;
};

/**
 * codec_open - allocate all
 * @codec: filled in
 * @level: of zstd; 0: its default
 * @can_pack: else it can only unpack, which takes less memory, at high levels
 *	by far
 *
 * Return: 0 or -ENOMEM.
 */
int codec_open(struct codec *codec, int level, bool can_pack);

/** codec_close - undo codec_open(). */
void codec_close(struct codec *codec);

/**
 * codec_pack - make the payload of a record
 * @codec: of this thread; its @record is used
 * @record: n_blocks is filled in; algorithm, level, len and data_crc will
 *	be
 * @plain: the blocks
 *
 * Return: the payload: @plain itself where nothing is gained.
 */
const void *codec_pack(struct codec *codec, struct record *record,
		       const void *plain);

/**
 * codec_record_size - what a record of some blocks would take
 * @codec: of this thread; its @record is used
 * @plain: the blocks
 * @n_blocks: how many
 *
 * Return: bytes of the log.
 */
size_t codec_record_size(struct codec *codec, const void *plain,
			 uint32_t n_blocks);

/**
 * codec_gains_together - is it of use to pack some blocks as one record?
 * @codec: of this thread; its @record is used
 * @plain: the blocks
 * @n_blocks: more than one
 *
 * To read a block all of its record is unpacked, so there has to be a gain. It
 * is found out for some records of a thread only, and expected of others.
 *
 * Return: whether it is; else each of them is to be one.
 */
bool codec_gains_together(struct codec *codec, const void *plain,
			  uint32_t n_blocks);

/**
 * codec_unpack - the blocks of a record
 * @codec: of this thread
 * @record: whole, its payload behind it
 * @plain: room for n_blocks
 *
 * Return: 0 or -EIO.
 */
int codec_unpack(struct codec *codec, const struct record *record, void *plain);

/** is_zero_block - is there nothing but zeroes in a block? */
bool is_zero_block(const void *block);

#endif /* BDUS_COMPRESS_CODEC_H */
