/* SPDX-License-Identifier: MIT */
/*
 * recompress - packing anew what was packed by a lower level.
 */
#include <errno.h>
#include <string.h>

#include "rooms.h"

/* Pages that are looked at in one piece, most of them empty. */
#define PAGES_MAX 4096U

int recompress_begin(struct engine *engine, int level)
{
	struct recompress *work = &engine->recompress;
	struct codec codec;
	int error =
		engine->options.is_read_only ? -EROFS : engine_ready(engine);

	if (error == 0)
		error = codec_open(&codec, level, true);
	if (error != 0)
		return error;
	pthread_mutex_lock(&engine->map.lock);
	if (work->is_running) {
		error = work->level == level && !work->is_ending ? 0 : -EBUSY;
		pthread_mutex_unlock(&engine->map.lock);
		codec_close(&codec);
		return error;
	}
	*work = (struct recompress){ .codec = codec,
				     .level = level,
				     .is_running = true };
	background_call(engine);
	pthread_mutex_unlock(&engine->map.lock);
	return 0;
}

void recompress_end(struct engine *engine)
{
	pthread_mutex_lock(&engine->map.lock);
	engine->recompress.is_ending = engine->recompress.is_running;
	background_call(engine);
	pthread_mutex_unlock(&engine->map.lock);
}

void recompress_close(struct engine *engine)
{
	struct recompress *work = &engine->recompress;

	pthread_mutex_lock(&engine->map.lock);
	if (work->is_running)
		codec_close(&work->codec);
	work->is_running = false;
	work->is_ending = false;
	pthread_mutex_unlock(&engine->map.lock);
}

/* Neighbours in a record, as many as may be together. */
static uint32_t recompress_run(const struct engine *engine,
			       const uint64_t *entries, uint32_t n)
{
	uint32_t i = 1;

	if (n > engine->super.record_blocks)
		n = engine->super.record_blocks;
	while (i < n && entry_state(entries[0]) == BLOCK_DATA &&
	       entries[i] == entries[0] + i * ENTRY_INDEX_ONE)
		i++;
	return i;
}

/* The codec has the old record; pack some of its blocks anew. */
static int recompress_pack(struct engine *engine, uint64_t lba, uint64_t entry,
			   uint32_t n)
{
	struct recompress *work = &engine->recompress;
	struct codec *codec = &work->codec;
	const struct record *old = (const void *)codec->record;
	struct record record = { .type = RECORD_MOVE,
				 .lba = lba,
				 .n_blocks = n,
				 .origin = old->origin,
				 .from = entry };
	uint32_t size = entry_share(entry) * n;
	const void *payload;
	int error = codec_unpack(codec, old, codec->plain);

	/* it stays as it is: whoever reads it will be told */
	if (error != 0)
		return 0;
	payload = codec_pack(codec, &record,
			     codec->plain +
				     (size_t)entry_index(entry) * BLOCK_SIZE);
	if (record_size(&record) >= size)
		return 0;
	error = clean_append(engine, &record, payload, SEGMENTS_FOR_CLEANER);
	if (error != 0)
		return error;
	counts_add(&work->rewritten, (uint64_t)n * BLOCK_SIZE);
	counts_add(&work->saved, size - record_size(&record));
	return 0;
}

static int recompress_blocks(struct engine *engine, uint64_t lba,
			     uint64_t entry, uint32_t n)
{
	struct recompress *work = &engine->recompress;
	const struct record *old = (const void *)work->codec.record;

	/* a record that is not there was cleaned since, or is damaged */
	if (engine_read_record(engine, &work->codec, lba, entry) != 0 ||
	    old->level >= work->level)
		return 0;
	return recompress_pack(engine, lba, entry, n);
}

static int recompress_page(struct engine *engine)
{
	struct recompress *work = &engine->recompress;
	uint64_t left = engine->super.size / BLOCK_SIZE - work->lba;
	uint32_t n = PAGE_ENTRIES - (uint32_t)(work->lba % PAGE_ENTRIES);
	uint64_t entries[PAGE_ENTRIES];
	int error;

	if (n > left)
		n = (uint32_t)left;
	/* of a page that is damaged, its readers are told */
	if (map_look(&engine->map, work->lba, n, entries) != 0)
		memset(entries, 0, sizeof(entries));
	for (uint32_t i = 0, run; i < n; i += run) {
		run = recompress_run(engine, &entries[i], n - i);
		if (entry_state(entries[i]) == BLOCK_DATA) {
			error = recompress_blocks(engine, work->lba, entries[i],
						  run);
			if (error != 0)
				return error;
			counts_add(&work->examined, (uint64_t)run * BLOCK_SIZE);
		}
		work->lba += run;
	}
	return 0;
}

static bool recompress_is_over(struct engine *engine)
{
	struct recompress *work = &engine->recompress;
	bool is_over;

	pthread_mutex_lock(&engine->map.lock);
	is_over =
		work->lba >= engine->super.size / BLOCK_SIZE || work->is_ending;
	pthread_mutex_unlock(&engine->map.lock);
	return is_over;
}

int recompress_step(struct engine *engine)
{
	struct recompress *work = &engine->recompress;
	uint64_t end = engine->super.size / BLOCK_SIZE;
	uint32_t n = 0;
	int error = 0;

	while (n < PAGES_MAX && work->lba < end &&
	       map_is_empty(&engine->map, work->lba)) {
		work->lba += PAGE_ENTRIES - work->lba % PAGE_ENTRIES;
		n++;
	}
	if (n < PAGES_MAX && !recompress_is_over(engine))
		error = recompress_page(engine);
	log_kick(&engine->log);
	if (recompress_is_over(engine))
		recompress_close(engine);
	return error;
}
