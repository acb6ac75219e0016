/* SPDX-License-Identifier: MIT */
/*
 * log - records, gathered in batches.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

uint32_t log_record_room(const struct super *super)
{
	return super->record_blocks * BLOCK_SIZE +
	       2 * (uint32_t)sizeof(struct record);
}

int log_open(struct log *log, const struct super *super, struct medium *medium,
	     struct map *map)
{
	/* a batch does not go beyond its segment */
	uint32_t room = super->segment_size < BATCH_MAX ? super->segment_size :
							  BATCH_MAX;

	*log = (struct log){ .super = super,
			     .medium = medium,
			     .map = map,
			     .is_read_only = true };
	for (int i = 0; i < 2; i++) {
		log->batches[i].buf =
			aligned_alloc(BLOCK_SIZE, BLOCK_SIZE + room);
		if (log->batches[i].buf == NULL) {
			free(log->batches[0].buf);
			return -ENOMEM;
		}
	}
	pthread_mutex_init(&log->lock, NULL);
	pthread_cond_init(&log->changed, NULL);
	return 0;
}

void log_close(struct log *log)
{
	pthread_cond_destroy(&log->changed);
	pthread_mutex_destroy(&log->lock);
	for (int i = 0; i < 2; i++)
		free(log->batches[i].buf);
}

/* --- places -----------------------------------------------------------------
 */

/*
 * The next free one: a fresh one, so that there always are some that were
 * allocated ahead, or one of these.
 */
static bool log_find_segment(struct log *log, uint32_t *segment, uint32_t spare,
			     bool *is_allocated)
{
	struct space *space = &log->map->space;
	bool was_found = false;

	pthread_mutex_lock(&log->map->lock);
	*is_allocated =
		space->is_backing_full || space->n_ready > SEGMENTS_READY;
	if (space_usable(space) > spare) {
		*segment = 0;
		was_found = space_take(space, segment, *is_allocated);
		if (!was_found) {
			*is_allocated = !*is_allocated;
			*segment = 0;
			was_found = space_take(space, segment, *is_allocated);
		}
	}
	pthread_mutex_unlock(&log->map->lock);
	return was_found;
}

/* Allocate a segment that is busy. Return: whether it is; else it is free. */
static bool log_allocate(struct log *log, uint32_t segment)
{
	struct medium *medium = log->medium;
	struct space *space = &log->map->space;
	bool is_good =
		medium->allocate(medium, segment_off(log->super, segment),
				 log->super->segment_size) == 0;

	pthread_mutex_lock(&log->map->lock);
	space_allocate(space, segment, is_good);
	space->is_backing_full = !is_good;
	if (!is_good)
		space_give(space, segment);
	pthread_mutex_unlock(&log->map->lock);
	return is_good;
}

bool log_take_segment(struct log *log, uint32_t *segment, uint32_t spare)
{
	bool is_allocated;

	/* when one cannot be allocated, the next one is ready, or there is none
	 */
	for (int i = 0; i < 2; i++) {
		if (!log_find_segment(log, segment, spare, &is_allocated))
			return false;
		if (log->medium->allocate == NULL || is_allocated ||
		    log_allocate(log, *segment))
			return true;
	}
	return false;
}

/* The next one to be tried, if there is a need for it. */
static bool log_take_next(struct log *log, uint32_t *segment)
{
	struct space *space = &log->map->space;
	bool was_found;

	pthread_mutex_lock(&log->map->lock);
	*segment = log->hand;
	was_found = space->n_ready < SEGMENTS_READY &&
		    space_take(space, segment, false);
	if (!was_found && space->n_ready < SEGMENTS_READY) {
		*segment = 0;
		was_found = space_take(space, segment, false);
	}
	log->hand = was_found ? *segment + 1 : 0;
	pthread_mutex_unlock(&log->map->lock);
	return was_found;
}

void log_refill(struct log *log, uint32_t n_tries)
{
	struct space *space = &log->map->space;
	uint32_t segment;

	if (log->medium->allocate == NULL)
		return;
	/* after opening nobody knows which are allocated: one by one */
	while (n_tries > 0 && log_take_next(log, &segment)) {
		if (!log_allocate(log, segment)) {
			n_tries--;
			continue;
		}
		pthread_mutex_lock(&log->map->lock);
		space_give(space, segment);
		pthread_mutex_unlock(&log->map->lock);
	}
}

/* Is there room for a batch with the largest record? */
static bool log_has_room(const struct log *log)
{
	uint32_t least = log_record_room(log->super) + BLOCK_SIZE;

	return log->super->segment_size - log->end.off >= least;
}

static void log_begin_segment(struct log *log)
{
	pthread_mutex_lock(&log->map->lock);
	space_begin(&log->map->space, log->end.segment, log->sequence);
	pthread_mutex_unlock(&log->map->lock);
}

/*
 * Give the open batch its place; if that takes a new segment, and no more than
 * so many are free, it stays without.
 */
static void log_place(struct log *log, uint32_t spare)
{
	struct batch *batch = &log->batches[log->open];
	uint32_t next, left;

	batch->room = 0;
	batch->used = sizeof(struct batch_head);
	batch->commits = NULL;
	batch->last = &batch->commits;
	log->n_records = 0;
	if (log->end.off > 0 && !log_has_room(log)) {
		if (!log_take_segment(log, &next, spare))
			return;
		log->end.segment = log->end.next;
		log->end.next = next;
		log->end.off = 0;
	}
	if (log->end.off == 0)
		log_begin_segment(log);
	batch->lead = log->end.off == 0 ? BLOCK_SIZE : 0;
	log->end.sequence = log->sequence;
	batch->at = log->end;
	left = log->super->segment_size - log->end.off - batch->lead;
	batch->room = left < BATCH_MAX ? left : BATCH_MAX;
}

void log_start(struct log *log, const struct position *position)
{
	log->end = *position;
	log->sequence = position->sequence;
	log->prev_crc = position->prev_crc;
	log->written = position->batch;
	log->durable = position->batch;
	log->is_read_only = false;
	pthread_mutex_lock(&log->lock);
	log_place(log, SEGMENTS_FOR_OPEN);
	pthread_mutex_unlock(&log->lock);
}

/* --- writing ----------------------------------------------------------------
 */

static struct batch_head *batch_head(const struct batch *batch)
{
	return (struct batch_head *)(uintptr_t)(batch->buf + BLOCK_SIZE);
}

/* No more records; the open batch is the other one from now on. */
static struct batch *log_close_batch(struct log *log)
{
	struct batch *batch = &log->batches[log->open];
	struct batch_head *head = batch_head(batch);
	uint32_t len = (batch->used + BLOCK_SIZE - 1) & ~(BLOCK_SIZE - 1);

	memset(batch->buf + BLOCK_SIZE + batch->used, 0, len - batch->used);
	*head = (struct batch_head){ .session = batch->at.session,
				     .batch = batch->at.batch,
				     .sequence = batch->at.sequence,
				     .durable = log->durable,
				     .len = len,
				     .n_records = log->n_records };
	log->end.off += batch->lead + len;
	log->end.batch++;
	log->end.sequence = log->sequence;
	batch->after = log->end;
	log->open = !log->open;
	/* who may have one of the last segments takes it when it is needed */
	log_place(log, SEGMENTS_FOR_CLEANER);
	return batch;
}

static void batch_make_segment_head(const struct log *log,
				    const struct batch *batch)
{
	struct segment_head head = {
		.session = batch->at.session,
		.batch = batch->at.batch,
		.sequence = batch->at.sequence,
		.segment = batch->at.segment,
		.next = batch->at.next,
		.prev_crc = log->prev_crc,
	};

	segment_head_seal(&head, log->super);
	memset(batch->buf, 0, BLOCK_SIZE);
	memcpy(batch->buf, &head, sizeof(head));
}

static int batch_write(struct log *log, struct batch *batch)
{
	struct batch_head *head = batch_head(batch);

	if (batch->lead > 0)
		batch_make_segment_head(log, batch);
	head->prev_crc = log->prev_crc;
	batch_seal(head, log->super);
	log->prev_crc = head->crc;
	batch->after.prev_crc = head->crc;
	return log->medium->write(
		log->medium, batch->buf + BLOCK_SIZE - batch->lead,
		batch->lead + head->len,
		segment_off(log->super, batch->at.segment) + batch->at.off);
}

static void batch_give_up(struct log *log, const struct batch *batch)
{
	const struct batch_head *head = batch_head(batch);
	const struct record *record = record_first(head);

	for (uint32_t i = 0; i < head->n_records; i++) {
		map_unpin(log->map, record->lba);
		record = record_next(record);
	}
}

static void batch_apply(struct log *log, const struct batch *batch)
{
	uint64_t off = segment_off(log->super, batch->at.segment) +
		       batch->at.off + batch->lead;

	pthread_mutex_lock(&log->map->lock);
	map_apply(log->map, batch_head(batch), off, &batch->after);
	pthread_mutex_unlock(&log->map->lock);
}

static void commits_done(struct commit *commit, int error)
{
	while (commit != NULL) {
		struct commit *next = commit->next;

		commit->done(commit, error);
		commit = next;
	}
}

/* Write the open batch; the lock is held, but not all the time. */
static void log_write_batch(struct log *log)
{
	struct commit *commits;
	struct batch *batch;
	int error;

	log->is_writing = true;
	log->is_kicked = false;
	batch = log_close_batch(log);
	while (batch->n_copying > 0)
		pthread_cond_wait(&log->changed, &log->lock);
	error = log->error;
	pthread_mutex_unlock(&log->lock);
	if (error == 0)
		error = batch_write(log, batch);
	if (error == 0)
		batch_apply(log, batch);
	else
		batch_give_up(log, batch);
	commits = batch->commits;
	pthread_mutex_lock(&log->lock);
	if (error == 0)
		log->written = batch->after.batch;
	else if (log->error == 0)
		log->error = error;
	log->n_bytes += batch->lead + batch_head(batch)->len;
	log->is_writing = false;
	pthread_cond_broadcast(&log->changed);
	/* of a flush that has failed meanwhile, too */
	error = log->error;
	pthread_mutex_unlock(&log->lock);
	commits_done(commits, error);
	pthread_mutex_lock(&log->lock);
}

/* --- records ----------------------------------------------------------------
 */

/* Has the open batch records to be written, and nobody writes? */
static bool log_can_write(const struct log *log)
{
	return !log->is_writing && log->n_records > 0;
}

/* Wait until the open batch has room; the lock is held. */
static int log_make_room(struct log *log, uint32_t size, uint32_t limit)
{
	for (;;) {
		struct batch *batch = &log->batches[log->open];

		if (log->error != 0 || log->is_read_only)
			return log->error != 0 ? log->error : -EROFS;
		if (batch->room == 0)
			log_place(log, limit == MAP_NO_LIMIT ?
					       SEGMENTS_FOR_OPEN :
					       limit);
		if (batch->room == 0)
			return -EAGAIN;
		if (batch->room - batch->used >= size &&
		    log->n_records < BATCH_RECORDS_MAX)
			return 0;
		if (log->is_writing) {
			pthread_cond_wait(&log->changed, &log->lock);
			continue;
		}
		do
			log_write_batch(log);
		while (log->is_kicked && log_can_write(log));
	}
}

static void batch_add_commit(struct batch *batch, struct commit *commit)
{
	if (commit == NULL)
		return;
	commit->next = NULL;
	*batch->last = commit;
	batch->last = &commit->next;
}

static void batch_copy(const struct log *log, unsigned char *to,
		       struct record *record, const void *payload)
{
	uint32_t size = record_size(record);
	uint32_t end = (uint32_t)sizeof(*record) + record->len;

	record_seal(record, log->super);
	memcpy(to, record, sizeof(*record));
	if (record->len > 0)
		memcpy(to + sizeof(*record), payload, record->len);
	memset(to + end, 0, size - end);
}

int log_append(struct log *log, struct record *record, const void *payload,
	       struct commit *commit, uint32_t limit)
{
	struct batch *batch;
	unsigned char *to;
	int error;

	pthread_mutex_lock(&log->lock);
	error = log_make_room(log, record_size(record), limit);
	if (error != 0)
		goto out_unlock;
	batch = &log->batches[log->open];
	to = batch->buf + BLOCK_SIZE + batch->used;
	batch->used += record_size(record);
	batch->n_copying++;
	batch_add_commit(batch, commit);
	log->n_records++;
	record->sequence = log->sequence++;
	if (record->type != RECORD_MOVE)
		record->origin = record->sequence;
	pthread_mutex_unlock(&log->lock);
	batch_copy(log, to, record, payload);
	pthread_mutex_lock(&log->lock);
	if (--batch->n_copying == 0)
		pthread_cond_broadcast(&log->changed);
out_unlock:
	pthread_mutex_unlock(&log->lock);
	return error;
}

void log_kick(struct log *log)
{
	pthread_mutex_lock(&log->lock);
	log->is_kicked = log->is_writing;
	while (log_can_write(log))
		log_write_batch(log);
	pthread_mutex_unlock(&log->lock);
}

int log_drain(struct log *log)
{
	uint64_t wanted;
	int error;

	pthread_mutex_lock(&log->lock);
	wanted = log->end.batch + (log->n_records > 0);
	while (log->error == 0 && log->written < wanted) {
		if (log_can_write(log))
			log_write_batch(log);
		else
			pthread_cond_wait(&log->changed, &log->lock);
	}
	/* who kicked meanwhile relied on whoever wrote */
	while (log_can_write(log))
		log_write_batch(log);
	error = log->error;
	pthread_mutex_unlock(&log->lock);
	return error;
}

/* --- flushes ----------------------------------------------------------------
 */

/* Sync what is written now, for all who wait; the lock is held. */
static void log_sync_now(struct log *log)
{
	uint64_t written = log->written;
	int error;

	log->is_syncing = true;
	pthread_mutex_unlock(&log->lock);
	error = log->medium->sync(log->medium);
	pthread_mutex_lock(&log->lock);
	log->is_syncing = false;
	if (error != 0 && log->error == 0)
		log->error = error;
	if (error == 0 && log->durable < written)
		log->durable = written;
	pthread_cond_broadcast(&log->changed);
}

int log_sync(struct log *log)
{
	uint64_t wanted;
	int error;

	pthread_mutex_lock(&log->lock);
	wanted = log->written;
	while (log->error == 0 && log->durable < wanted) {
		if (log->is_syncing)
			pthread_cond_wait(&log->changed, &log->lock);
		else
			log_sync_now(log);
	}
	error = log->error;
	pthread_mutex_unlock(&log->lock);
	return error;
}

int log_fail(struct log *log, int error)
{
	pthread_mutex_lock(&log->lock);
	if (log->error == 0)
		log->error = error;
	error = log->error;
	pthread_cond_broadcast(&log->changed);
	pthread_mutex_unlock(&log->lock);
	return error;
}
