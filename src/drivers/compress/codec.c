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

static size_t aligned(size_t size)
{
	return (size + 63) & ~(size_t)63;
}

int codec_open(struct codec *codec, int level)
{
	size_t c = aligned(ZSTD_estimateCCtxSize(level));
	size_t d = aligned(ZSTD_estimateDCtxSize());
	unsigned char *memory =
		aligned_alloc(64, c + d + CODEC_ROOM + PLAIN_MAX);

	*codec = (struct codec){ .level = level, .memory = memory };
	if (memory == NULL)
		return -ENOMEM;
	/* contexts in memory of ours never ask for more */
	codec->compressor = ZSTD_initStaticCCtx(memory, c);
	codec->expander = ZSTD_initStaticDCtx(memory + c, d);
	codec->record = memory + c + d;
	codec->plain = codec->record + CODEC_ROOM;
	if (codec->compressor != NULL && codec->expander != NULL)
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

const void *codec_pack(struct codec *codec, struct record *record,
		       const void *plain)
{
	size_t len = (size_t)record->n_blocks * BLOCK_SIZE;
	size_t packed = ZSTD_compressCCtx(codec->compressor, codec->record,
					  CODEC_ROOM, plain, len, codec->level);
	const void *payload = plain;

	record->algorithm = ALGORITHM_RAW;
	record->len = (uint32_t)len;
	if (codec_gains(packed, len)) {
		record->algorithm = ALGORITHM_ZSTD;
		record->len = (uint32_t)packed;
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
