/* SPDX-License-Identifier: MIT */
/*
 * engine - requests on a volume, and its opening and closing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rooms.h"

#define MAP_CACHE (64ULL << 20)
#define CHECKPOINT_BYTES (512ULL << 20)
/* The fewer segments are kept free, the less there is to be cleaned. */
#define SEGMENTS_LOW 32U
/* Between two records of the log: the end of a batch, and the next one's head
 */
#define SPAN_GAP BLOCK_SIZE

/* --- opening and closing ----------------------------------------------------
 */

static int engine_make_codecs(struct engine *engine)
{
	unsigned int n = engine->options.n_workers + 1;
	int level = engine->options.level;

	if (level == 0)
		level = engine->super.level;
	engine->codecs = calloc(n, sizeof(*engine->codecs));
	engine->counts = aligned_alloc(64, n * sizeof(*engine->counts));
	if (engine->codecs == NULL || engine->counts == NULL)
		return -ENOMEM;
	memset(engine->counts, 0, n * sizeof(*engine->counts));
	while (engine->n_codecs < n) {
		int error = codec_open(&engine->codecs[engine->n_codecs], level,
				       !engine->options.is_read_only);

		if (error != 0)
			return error;
		engine->n_codecs++;
	}
	return 0;
}

static int engine_make_buffers(struct engine *engine)
{
	size_t n_copies = engine->map.n_rights;
	size_t n_table = n_segment_pages(&engine->super);

	/* there are no more pages that could be dirty */
	if (n_copies > n_leaves(&engine->super))
		n_copies = n_leaves(&engine->super);
	engine->copies = calloc(n_copies, sizeof(*engine->copies));
	engine->indices = calloc(n_copies, sizeof(*engine->indices));
	engine->table = calloc(n_table, sizeof(*engine->table));
	engine->segment_buf =
		aligned_alloc(BLOCK_SIZE, engine->super.segment_size);
	if (engine->copies == NULL || engine->indices == NULL ||
	    engine->table == NULL || engine->segment_buf == NULL)
		return -ENOMEM;
	return 0;
}

static void engine_free_buffers(struct engine *engine)
{
	free(engine->copies);
	free(engine->indices);
	free(engine->table);
	free(engine->segment_buf);
	while (engine->n_codecs > 0)
		codec_close(&engine->codecs[--engine->n_codecs]);
	free(engine->codecs);
	engine->codecs = NULL;
	free(engine->counts);
	engine->counts = NULL;
}

int engine_make_rooms(struct engine *engine)
{
	int error = map_open(&engine->map, &engine->super, engine->medium,
			     engine->options.map_cache,
			     engine->options.n_workers + 1);

	if (error != 0)
		return error;
	error = log_open(&engine->log, &engine->super, engine->medium,
			 &engine->map);
	if (error != 0)
		goto out_close_map;
	error = engine_make_buffers(engine);
	if (error == 0)
		error = engine_make_codecs(engine);
	if (error != 0)
		goto out_close_log;
	pthread_mutex_init(&engine->checkpoint_lock, NULL);
	engine->map.bytes_due = engine->options.checkpoint_bytes;
	engine->map.n_free_low = engine->super.n_reserve / 2 + 2;
	if (engine->map.n_free_low > SEGMENTS_LOW)
		engine->map.n_free_low = SEGMENTS_LOW;
	if (engine->map.n_free_low < SEGMENTS_FOR_CLEANER + 2)
		engine->map.n_free_low = SEGMENTS_FOR_CLEANER + 2;
	engine->usable = layout_usable(&engine->super);
	engine->has_rooms = true;
	return 0;
out_close_log:
	engine_free_buffers(engine);
	log_close(&engine->log);
out_close_map:
	map_close(&engine->map);
	return error;
}

void engine_free_rooms(struct engine *engine)
{
	if (!engine->has_rooms)
		return;
	engine->has_rooms = false;
	pthread_mutex_destroy(&engine->checkpoint_lock);
	engine_free_buffers(engine);
	log_close(&engine->log);
	map_close(&engine->map);
}

/* May it be used as the options want it? */
static int engine_admits(struct engine *engine)
{
	const struct super *super = &engine->super;

	if (engine->options.is_read_only)
		return 0;
	engine->reason = "has a feature unknown here, but can be read";
	if (super->ro_compat & ~RO_COMPAT_KNOWN)
		return -ENOTSUP;
	engine->reason = "what is on it may be old, so it can only be read";
	return super->flags & SUPER_MAY_BE_STALE ? -EROFS : 0;
}

/* Space for all that a checkpoint writes whatever it is about. */
static int engine_allocate(struct engine *engine)
{
	struct medium *medium = engine->medium;
	int error = 0;

	if (medium->allocate == NULL)
		return 0;
	error = medium->allocate(medium, 0, SUPER_OFF(2));
	if (error == 0)
		error = medium->allocate(medium,
					 engine->super.medium_size - BLOCK_SIZE,
					 BLOCK_SIZE);
	return error != 0 ? error : tree_allocate_rest(&engine->map.tree);
}

int engine_prepare(struct engine *engine, struct medium *medium,
		   const struct engine_options *options)
{
	int error;

	*engine = (struct engine){ .medium = medium, .options = *options };
	if (options->map_cache == 0)
		engine->options.map_cache = MAP_CACHE;
	if (options->checkpoint_bytes == 0)
		engine->options.checkpoint_bytes = CHECKPOINT_BYTES;
	error = engine_read_super(medium, &engine->super, &engine->is_whole,
				  &engine->reason);
	if (error == 0)
		error = engine_admits(engine);
	if (error != 0)
		return error;
	engine->reason = "not enough memory";
	error = engine_make_rooms(engine);
	if (error == 0)
		pthread_mutex_init(&engine->phase_lock, NULL);
	return error;
}

/* Are they of the same volume, but for what checkpoints change? */
static bool super_is_same(const struct super *super, struct super other)
{
	other.crc = super->crc;
	other.generation = super->generation;
	other.flags = super->flags;
	other.root = super->root;
	other.position = super->position;
	other.n_mapped = super->n_mapped;
	other.n_zero = super->n_zero;
	other.n_bad = super->n_bad;
	other.n_raw = super->n_raw;
	return memcmp(super, &other, sizeof(other)) == 0;
}

/* The superblock as it is now, and rooms that fit it. */
static int engine_look(struct engine *engine)
{
	struct super super;
	int error = engine_read_super(engine->medium, &super, &engine->is_whole,
				      &engine->reason);

	if (error != 0)
		return error;
	if (!super_is_same(&engine->super, super))
		engine_free_rooms(engine);
	engine->super = super;
	engine->durable = super;
	engine->was_in_use = !(super.flags & SUPER_CLEAN);
	engine->needs_check = super.flags & SUPER_NEEDS_CHECK;
	engine->n_replayed = 0;
	error = engine_admits(engine);
	if (error != 0 || engine->has_rooms)
		return error;
	engine->reason = "not enough memory";
	return engine_make_rooms(engine);
}

/*
 * Writes have failed: what is read may be in a cache only, and be gone some
 * day, together with what was durable and what it stands for.
 */
static int engine_look_again(struct engine *engine, bool may_write)
{
	struct medium *medium = engine->medium;
	int error = 0;

	engine->reason = "cannot be written";
	if (may_write)
		error = medium->sync(medium);
	if (error != 0)
		return error;
	medium->forget(medium);
	error = engine_look(engine);
	engine->super.flags |= SUPER_NEEDS_CHECK;
	engine->durable.flags |= SUPER_NEEDS_CHECK;
	engine->needs_check = true;
	return error;
}

static int engine_load(struct engine *engine, bool may_write)
{
	int error = engine_look(engine);

	if (error == 0 && engine->needs_check && engine->medium->forget != NULL)
		error = engine_look_again(engine, may_write);
	if (error != 0)
		return error;
	engine->reason = "cannot be written";
	if (may_write)
		error = recover_settle(engine);
	if (error == 0 && may_write)
		error = engine_allocate(engine);
	if (error != 0)
		return error;
	engine->reason = "its map is damaged";
	error = map_load(&engine->map);
	if (error != 0)
		return error;
	engine->reason = "its log cannot be replayed";
	error = recover_replay(engine, may_write);
	if (error == -EBADMSG)
		engine->reason = "its log is damaged";
	return error;
}

/* Without writing, all that the log changes has to fit into the cache. */
static int engine_load_all(struct engine *engine, bool may_write)
{
	int error = engine_load(engine, may_write);

	while (error == -EAGAIN && engine->options.map_cache < 1ULL << 40) {
		engine->options.map_cache *= 2;
		engine_free_rooms(engine);
		error = engine_load(engine, may_write);
	}
	return error;
}

int engine_start(struct engine *engine, bool may_write)
{
	int error;

	may_write = may_write && !engine->options.is_read_only;
	error = engine_load_all(engine, may_write);
	if (error != 0)
		return error;
	engine->reason = "cannot start a thread";
	error = background_start(engine);
	if (error != 0)
		return error;
	atomic_store(&engine->phase, ENGINE_LOADED);
	engine->reason = "cannot begin to write";
	return may_write ? engine_ready(engine) : 0;
}

int engine_open(struct engine *engine, struct medium *medium,
		const struct engine_options *options)
{
	int error = engine_prepare(engine, medium, options);

	if (error != 0)
		return error;
	error = engine_start(engine, true);
	if (error != 0)
		engine_abandon(engine);
	return error;
}

void engine_abandon(struct engine *engine)
{
	background_stop(engine);
	if (engine->has_rooms)
		recompress_close(engine);
	engine_free_rooms(engine);
	pthread_mutex_destroy(&engine->phase_lock);
}

/* Is there anything that the medium does not say yet? */
static bool engine_is_unfinished(const struct engine *engine)
{
	int phase = atomic_load(&engine->phase);

	/* what could not be loaded is never to be written over */
	if (engine->options.is_read_only || phase == ENGINE_PREPARED)
		return false;
	return phase != ENGINE_LOADED || !(engine->super.flags & SUPER_CLEAN);
}

static int engine_finish(struct engine *engine)
{
	int error = engine_ready(engine);

	log_kick(&engine->log);
	if (error == 0)
		error = log_drain(&engine->log);
	if (error == 0)
		error = checkpoint_make(engine, SUPER_CLEAN);
	if (error == 0)
		error = checkpoint_write_last(engine->medium, &engine->durable);
	return error;
}

int engine_close(struct engine *engine)
{
	int error = 0;

	background_stop(engine);
	if (engine_is_unfinished(engine))
		error = engine_finish(engine);
	engine_abandon(engine);
	return error;
}

/* --- writing or not ---------------------------------------------------------
 */

static int engine_begin(struct engine *engine)
{
	int error = log_fail(&engine->log, 0);

	if (error != 0)
		return error;
	error = recover_settle(engine);
	if (error != 0)
		return log_fail(&engine->log, error);
	/* without room nothing was changed: there may be some later */
	error = engine_allocate(engine);
	return error == 0 ? recover_begin(engine) : error;
}

int engine_ready(struct engine *engine)
{
	int error = 0;

	if (atomic_load_explicit(&engine->phase, memory_order_acquire) ==
	    ENGINE_WRITING)
		return 0;
	pthread_mutex_lock(&engine->phase_lock);
	if (atomic_load(&engine->phase) == ENGINE_LOADED)
		error = engine_begin(engine);
	/* once it has failed, it is the log that says so */
	if (error == 0 || log_fail(&engine->log, 0) != 0) {
		background_resume(engine);
		atomic_store_explicit(&engine->phase, ENGINE_WRITING,
				      memory_order_release);
	}
	pthread_mutex_unlock(&engine->phase_lock);
	return error;
}

int engine_rest(struct engine *engine)
{
	int error;

	pthread_mutex_lock(&engine->phase_lock);
	if (atomic_load(&engine->phase) == ENGINE_WRITING) {
		background_pause(engine);
		log_kick(&engine->log);
		error = log_drain(&engine->log);
		if (error == 0)
			error = checkpoint_make(engine, 0);
		atomic_store(&engine->phase, ENGINE_RESTING);
	} else {
		error = engine_flush(engine);
	}
	pthread_mutex_unlock(&engine->phase_lock);
	return error;
}

int engine_checkpoint(struct engine *engine)
{
	int error =
		engine->options.is_read_only ? -EROFS : engine_ready(engine);

	return error != 0 ? error : checkpoint_make(engine, 0);
}

/* --- reading ----------------------------------------------------------------
 */

/* Is it the record that the map means, and not one from before? */
static bool engine_is_record(struct engine *engine, const struct record *record,
			     uint64_t lba, uint64_t entry)
{
	return record_is_valid(record, &engine->super) &&
	       (record->type == RECORD_DATA || record->type == RECORD_MOVE) &&
	       record->lba + entry_index(entry) == lba &&
	       record->n_blocks == entry_blocks(entry) &&
	       record_size(record) == entry_len(entry) &&
	       record->sequence >= map_first_sequence(&engine->map, entry);
}

int engine_read_record(struct engine *engine, struct codec *codec, uint64_t lba,
		       uint64_t entry)
{
	const struct record *record = (const void *)codec->record;
	int error = engine->medium->read(engine->medium, codec->record,
					 entry_len(entry), entry_off(entry));

	if (error == 0 && !engine_is_record(engine, record, lba, entry))
		error = -EIO;
	return error;
}

/* Neighbours in a record, of which the first is @entries[0]. */
static uint32_t engine_run(const uint64_t *entries, uint32_t n)
{
	uint32_t i = 1;

	while (i < n && entry_state(entries[0]) == BLOCK_DATA &&
	       entries[i] == entries[0] + i * ENTRY_INDEX_ONE)
		i++;
	return i;
}

/* What of the log is in a codec's buffer, bytes; a place on the medium. */
struct window {
	uint64_t off;
	uint32_t len;
};

/* Bytes from the first record on that hold all those which follow closely. */
static uint32_t engine_span(const uint64_t *entries, uint32_t n)
{
	uint64_t start = entry_off(entries[0]);
	uint64_t end = start + entry_len(entries[0]);

	for (uint32_t i = 0; i < n && entry_state(entries[i]) == BLOCK_DATA;
	     i++) {
		uint64_t off = entry_off(entries[i]);
		uint64_t next = off + entry_len(entries[i]);

		if (off < start || off > end + SPAN_GAP ||
		    next > start + CODEC_ROOM)
			break;
		if (next > end)
			end = next;
	}
	return (uint32_t)(end - start);
}

/* Have a record in the buffer, and what follows it in the log and here. */
static int engine_fetch(struct engine *engine, struct codec *codec,
			struct window *window, const uint64_t *entries,
			uint32_t n)
{
	struct medium *medium = engine->medium;
	uint32_t len = entry_len(entries[0]);
	int error;

	if (entry_off(entries[0]) >= window->off &&
	    entry_off(entries[0]) + len <= window->off + window->len)
		return 0;
	window->off = entry_off(entries[0]);
	window->len = engine_span(entries, n);
	error = medium->read(medium, codec->record, window->len, window->off);
	if (error != 0 && window->len > len) {
		/* what follows is not to spoil this one */
		window->len = len;
		error = medium->read(medium, codec->record, len, window->off);
	}
	if (error != 0)
		window->len = 0;
	return error;
}

static int engine_read_data(struct engine *engine, struct codec *codec,
			    void *buf, const struct record *record,
			    uint64_t lba, uint64_t entry, uint32_t n)
{
	int error;

	if (!engine_is_record(engine, record, lba, entry))
		return -EIO;
	if (n == record->n_blocks)
		return codec_unpack(codec, record, buf);
	error = codec_unpack(codec, record, codec->plain);
	if (error == 0)
		memcpy(buf,
		       codec->plain + (size_t)entry_index(entry) * BLOCK_SIZE,
		       (size_t)n * BLOCK_SIZE);
	return error;
}

/* Read the first @run of @n blocks, which are all of one kind. */
static int engine_read_run(struct engine *engine, struct codec *codec,
			   struct window *window, void *buf, uint64_t lba,
			   const uint64_t *entries, uint32_t run, uint32_t n)
{
	int error;

	switch (entry_state(entries[0])) {
	case BLOCK_DATA:
		error = engine_fetch(engine, codec, window, entries, n);
		if (error != 0)
			return error;
		return engine_read_data(
			engine, codec, buf,
			(const void *)(codec->record +
				       (entry_off(entries[0]) - window->off)),
			lba, entries[0], run);
	case BLOCK_BAD:
		return -EIO;
	default:
		memset(buf, 0, (size_t)run * BLOCK_SIZE);
		return 0;
	}
}

/*
 * No lock is held while a record is read: its segment may have been cleaned
 * and used again since the map was looked at. Then the map says so by now.
 */
static int engine_read_page(struct engine *engine, struct codec *codec,
			    unsigned char *buf, uint64_t lba, uint32_t n)
{
	uint64_t entries[PAGE_ENTRIES], now;
	struct window window = { 0 };
	int error = map_look(&engine->map, lba, n, entries);

	for (uint32_t i = 0, run; error == 0 && i < n; i += run) {
		run = engine_run(&entries[i], n - i);
		error = engine_read_run(engine, codec, &window,
					buf + (size_t)i * BLOCK_SIZE, lba + i,
					&entries[i], run, n - i);
		if (error != -EIO)
			continue;
		error = map_look(&engine->map, lba + i, 1, &now);
		if (error == 0 && now == entries[i])
			error = -EIO;
		if (error == 0)
			error = map_look(&engine->map, lba + i, n - i,
					 &entries[i]);
		window.len = 0;
		run = 0;
	}
	return error;
}

int engine_read(struct engine *engine, unsigned int worker, void *buf,
		uint32_t len, uint64_t off)
{
	uint64_t lba = off / BLOCK_SIZE;
	unsigned char *to = buf;
	uint32_t left = len / BLOCK_SIZE;
	int error = 0;

	while (error == 0 && left > 0) {
		uint32_t n = PAGE_ENTRIES - (uint32_t)(lba % PAGE_ENTRIES);

		if (n > left)
			n = left;
		error = engine_read_page(engine, &engine->codecs[worker], to,
					 lba, n);
		to += (size_t)n * BLOCK_SIZE;
		lba += n;
		left -= n;
	}
	counts_add(&engine->counts[worker].read, len);
	return error;
}

/* --- writing ----------------------------------------------------------------
 */

/* Put a record into the log, when there is a right and a segment for it. */
static int engine_put(struct engine *engine, struct record *record,
		      const void *payload, struct commit *commit,
		      uint32_t limit)
{
	int error;

	error = tree_allocate(&engine->map.tree,
			      n_segment_pages(&engine->super) +
				      record->lba / PAGE_ENTRIES);
	if (error != 0)
		return error;
	for (;;) {
		error = map_pin(&engine->map, record->lba, limit);
		if (error == 0) {
			error = log_append(&engine->log, record, payload,
					   commit, limit);
			if (error != 0)
				map_unpin(&engine->map, record->lba);
		}
		if (error == 0 && engine->n_in_vain != 0)
			engine->n_in_vain = 0;
		if (error != -EAGAIN)
			return error;
		error = background_wait(engine, limit > SEGMENTS_FOR_OPEN ?
							limit :
							SEGMENTS_FOR_OPEN);
		if (error != 0)
			return error;
	}
}

/* Is all in use that may be? */
static bool engine_is_full(struct engine *engine)
{
	uint64_t live_bytes;

	pthread_mutex_lock(&engine->map.lock);
	live_bytes = engine->map.space.live_bytes;
	pthread_mutex_unlock(&engine->map.lock);
	return live_bytes > engine->usable;
}

/*
 * When it is full, a record may take what those take less that it makes dead.
 * If that is not to be had, since they are dead in part only, the cleaner finds
 * nothing, and there are no segments for it.
 */
static int engine_admit(struct engine *engine, const struct record *record)
{
	uint64_t entries[RECORD_BLOCKS_MAX], old = 0;
	uint32_t new;
	int error;

	if (record->type != RECORD_DATA)
		return 0;
	error = map_look(&engine->map, record->lba, record->n_blocks, entries);
	for (uint32_t i = 0; error == 0 && i < record->n_blocks; i++)
		if (entry_state(entries[i]) == BLOCK_DATA)
			old += entry_share(entries[i]);
	new = entry_share(
		      entry_make(0, record_size(record), record->n_blocks)) *
	      record->n_blocks;
	return error == 0 && new > old ? -ENOSPC : error;
}

/* Blocks that make one record: all zero, or none, and aligned as others. */
static uint32_t engine_piece(const struct engine *engine,
			     const unsigned char *blocks, uint64_t lba,
			     uint32_t left, bool *is_zero)
{
	uint32_t max = PAGE_ENTRIES - (uint32_t)(lba % PAGE_ENTRIES), n = 1;
	uint32_t size = engine->super.record_blocks;

	*is_zero = is_zero_block(blocks);
	if (!*is_zero && size - lba % size < max)
		max = size - (uint32_t)(lba % size);
	if (max > left)
		max = left;
	while (n < max &&
	       is_zero_block(blocks + (size_t)n * BLOCK_SIZE) == *is_zero)
		n++;
	return n;
}

/* What the next record of a write is; its payload, if it has one. */
static const void *engine_make(const struct engine *engine, struct codec *codec,
			       struct record *record, const unsigned char *from,
			       uint32_t left, uint32_t *n_apart)
{
	bool is_zero = false;

	record->n_blocks = 1;
	if (*n_apart > 0)
		--*n_apart;
	else
		record->n_blocks =
			engine_piece(engine, from, record->lba, left, &is_zero);
	if (is_zero) {
		record->type = RECORD_ZERO;
		return NULL;
	}
	if (record->n_blocks > 1 &&
	    !codec_gains_together(codec, from, record->n_blocks)) {
		*n_apart = record->n_blocks - 1;
		record->n_blocks = 1;
	}
	return codec_pack(codec, record, from);
}

int engine_write(struct engine *engine, unsigned int worker, const void *buf,
		 uint32_t len, uint64_t off, struct commit *commit)
{
	const unsigned char *from = buf;
	uint64_t lba = off / BLOCK_SIZE;
	uint32_t left = len / BLOCK_SIZE, n_apart = 0;
	int error =
		engine->options.is_read_only ? -EROFS : engine_ready(engine);
	bool is_full = error == 0 && engine_is_full(engine);

	while (error == 0 && left > 0) {
		struct record record = { .type = RECORD_DATA, .lba = lba };
		const void *payload =
			engine_make(engine, &engine->codecs[worker], &record,
				    from, left, &n_apart);

		left -= record.n_blocks;
		lba += record.n_blocks;
		from += (size_t)record.n_blocks * BLOCK_SIZE;
		if (is_full)
			error = engine_admit(engine, &record);
		if (error == 0)
			error = engine_put(engine, &record, payload,
					   left == 0 ? commit : NULL,
					   SEGMENTS_FOR_CLEANER);
	}
	counts_add(&engine->counts[worker].written, error == 0 ? len : 0);
	return error;
}

/* The next blocks, of one page, where there is something to make zero. */
static bool engine_zero_piece(struct engine *engine, struct record *record,
			      uint64_t *lba, uint64_t *left)
{
	while (*left > 0) {
		uint64_t n = PAGE_ENTRIES - *lba % PAGE_ENTRIES;
		uint64_t at = *lba;

		if (n > *left)
			n = *left;
		*lba += n;
		*left -= n;
		if (map_is_empty(&engine->map, at))
			continue;
		record->lba = at;
		record->n_blocks = (uint32_t)n;
		return true;
	}
	return false;
}

int engine_zero(struct engine *engine, uint64_t len, uint64_t off,
		bool may_unmap, struct commit *commit)
{
	struct record now = { .type = may_unmap ? RECORD_TRIM : RECORD_ZERO };
	struct record next = now;
	uint64_t lba = off / BLOCK_SIZE, left = len / BLOCK_SIZE;
	bool is_last, has_any;
	int error = 0;

	if (engine->options.is_read_only)
		return -EROFS;
	/* nobody else counts that in the background's */
	counts_add(&engine->counts[engine->n_codecs - 1].discarded, len);
	has_any = engine_zero_piece(engine, &now, &lba, &left);
	if (has_any)
		error = engine_ready(engine);
	for (is_last = !has_any; error == 0 && !is_last; now = next) {
		is_last = !engine_zero_piece(engine, &next, &lba, &left);
		error = engine_put(engine, &now, NULL, is_last ? commit : NULL,
				   SEGMENTS_FOR_TRIM);
	}
	if (error == 0 && !has_any)
		commit->done(commit, log_fail(&engine->log, 0));
	return error;
}

void engine_kick(struct engine *engine)
{
	log_kick(&engine->log);
}

/* What was acknowledged by somebody before us; there is no log yet. */
static int engine_sync_loaded(struct engine *engine)
{
	int error = log_fail(&engine->log, 0);

	if (error == 0)
		error = log_fail(&engine->log,
				 engine->medium->sync(engine->medium));
	return error;
}

int engine_flush(struct engine *engine)
{
	int error;

	if (engine->options.is_read_only)
		return 0;
	if (atomic_load(&engine->phase) == ENGINE_LOADED)
		error = engine_sync_loaded(engine);
	else
		error = log_sync(&engine->log);
	if (error != 0)
		checkpoint_mark(engine);
	return error;
}

/* --- waiting ----------------------------------------------------------------
 */

static void waiter_done(struct commit *commit, int error)
{
	struct waiter *waiter = (struct waiter *)commit;

	pthread_mutex_lock(&waiter->lock);
	waiter->is_done = true;
	waiter->error = error;
	pthread_cond_signal(&waiter->changed);
	pthread_mutex_unlock(&waiter->lock);
}

void waiter_init(struct waiter *waiter)
{
	*waiter = (struct waiter){ .commit.done = waiter_done };
	pthread_mutex_init(&waiter->lock, NULL);
	pthread_cond_init(&waiter->changed, NULL);
}

int waiter_wait(struct waiter *waiter, struct engine *engine, int error)
{
	if (error == 0) {
		engine_kick(engine);
		pthread_mutex_lock(&waiter->lock);
		while (!waiter->is_done)
			pthread_cond_wait(&waiter->changed, &waiter->lock);
		error = waiter->error;
		pthread_mutex_unlock(&waiter->lock);
	}
	pthread_cond_destroy(&waiter->changed);
	pthread_mutex_destroy(&waiter->lock);
	return error;
}
