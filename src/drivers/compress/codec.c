/* SPDX-License-Identifier: MIT */
/*
 * codec - packing and unpacking of records' payloads.
 */
#define ZSTD_STATIC_LINKING_ONLY
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "codec.h"
#include "crc.h"

/*
 * Blocks are packed together if that takes away more than one part in so many;
 * it is tried with every so manyth record, and again after so many of those
 * that could have been.
 */
#define GAIN_LEAST 10U
#define TRIAL_TOGETHER 32U
#define TRIAL_APART 16U

static size_t aligned(size_t size)
{
	return (size + 63) & ~(size_t)63;
}

/* Of a context that packs no more than a record: most for any length of it. */
static size_t codec_compressor_size(int level)
{
	size_t most = 0;

	for (size_t len = BLOCK_SIZE; len <= PLAIN_MAX; len += BLOCK_SIZE) {
		size_t size = ZSTD_estimateCCtxSize_usingCParams(
			ZSTD_getCParams(level, len, 0));

		if (size > most)
			most = size;
	}
	return most;
}

/*
 * For single blocks, which are what random writes are made of: the fastest
 * search looks at every other place; at every third it takes a fifth less time,
 * for 2 to 4 % of the space. That is a parameter of the negative levels, which
 * would not pack what no match was found for either.
 */
static bool codec_set_up_single(struct codec *codec)
{
	struct ZSTD_CCtx_s *compressor = codec->compressor;
	ZSTD_compressionParameters params =
		ZSTD_getCParams(codec->level, BLOCK_SIZE, 0);

	if (params.strategy == ZSTD_fast && params.targetLength == 0)
		params.targetLength = 2;
	return !ZSTD_isError(ZSTD_CCtx_setCParams(compressor, params)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(
		       compressor, ZSTD_c_literalCompressionMode,
		       ZSTD_ps_enable));
}

int codec_open(struct codec *codec, int level, bool can_pack)
{
	size_t c = can_pack ? aligned(codec_compressor_size(level)) : 0;
	size_t d = aligned(ZSTD_estimateDCtxSize());
	unsigned char *memory =
		aligned_alloc(64, c + d + CODEC_ROOM + PLAIN_MAX);

	*codec = (struct codec){ .level = level,
				 .memory = memory,
				 .n_since = TRIAL_TOGETHER };
	if (memory == NULL)
		return -ENOMEM;
	/* contexts in memory of ours never ask for more */
	if (can_pack)
		codec->compressor = ZSTD_initStaticCCtx(memory, c);
	codec->expander = ZSTD_initStaticDCtx(memory + c, d);
	codec->record = memory + c + d;
	codec->plain = codec->record + CODEC_ROOM;
	if (codec->expander != NULL &&
	    (!can_pack ||
	     (codec->compressor != NULL && codec_set_up_single(codec))))
		return 0;
	codec_close(codec);
	return -ENOMEM;
}

void codec_close(struct codec *codec)
{
	free(codec->memory);
	codec->memory = NULL;
}

static bool codec_gains(size_t packed, size_t plain)
{
	return !ZSTD_isError(packed) &&
	       aligned(packed + sizeof(struct record)) <
		       aligned(plain + sizeof(struct record));
}

/* Payload of a record; what gains nothing is as long as it is plain. */
static size_t codec_size(struct codec *codec, const void *plain, size_t len)
{
	size_t packed;

	if (len == BLOCK_SIZE)
		packed = ZSTD_compress2(codec->compressor, codec->record,
					CODEC_ROOM, plain, len);
	else
		packed =
			ZSTD_compressCCtx(codec->compressor, codec->record,
					  CODEC_ROOM, plain, len, codec->level);
	return codec_gains(packed, len) ? packed : len;
}

size_t codec_record_size(struct codec *codec, const void *plain,
			 uint32_t n_blocks)
{
	return aligned(codec_size(codec, plain, (size_t)n_blocks * BLOCK_SIZE) +
		       sizeof(struct record));
}

bool codec_gains_together(struct codec *codec, const void *plain,
			  uint32_t n_blocks)
{
	size_t together, apart = 0;

	if (codec->n_apart > 0) {
		codec->n_apart--;
		return false;
	}
	if (++codec->n_since < TRIAL_TOGETHER)
		return true;
	codec->n_since = 0;
	together = codec_record_size(codec, plain, n_blocks);
	for (uint32_t i = 0; i < n_blocks; i++)
		apart += codec_record_size(codec,
					   (const unsigned char *)plain +
						   (size_t)i * BLOCK_SIZE,
					   1);
	if (apart > together + together / GAIN_LEAST)
		return true;
	/* to be tried again right after these */
	codec->n_apart = TRIAL_APART;
	codec->n_since = TRIAL_TOGETHER;
	return false;
}

const void *codec_pack(struct codec *codec, struct record *record,
		       const void *plain)
{
	size_t len = (size_t)record->n_blocks * BLOCK_SIZE;
	size_t packed = codec_size(codec, plain, len);
	const void *payload = plain;

	record->algorithm = ALGORITHM_RAW;
	record->level = (uint8_t)codec->level;
	record->len = (uint32_t)packed;
	if (packed < len) {
		record->algorithm = ALGORITHM_ZSTD;
		payload = codec->record;
	}
	record->data_crc = crc_update(0, payload, record->len);
	return payload;
}

int codec_unpack(struct codec *codec, const struct record *record, void *plain)
{
	size_t len = (size_t)record->n_blocks * BLOCK_SIZE;

	if (record->data_crc != crc_update(0, record + 1, record->len))
		return -EIO;
	if (record->algorithm == ALGORITHM_RAW) {
		memcpy(plain, record + 1, len);
		return 0;
	}
	return ZSTD_decompressDCtx(codec->expander, plain, len, record + 1,
				   record->len) == len ?
		       0 :
		       -EIO;
}

bool is_zero_block(const void *block)
{
	const uint64_t *words = block;
	uint64_t any = 0;

	/* most blocks differ at once; musl's memcmp goes by bytes */
	for (size_t i = 0; any == 0 && i < BLOCK_SIZE / 8; i += 16)
		for (size_t j = 0; j < 16; j++)
			any |= words[i + j];
	return any == 0;
}
