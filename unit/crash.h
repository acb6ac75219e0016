/* SPDX-License-Identifier: MIT */
/*
 * crash.h - what a disk may hold after a power cut in the midst of recorded
 * writes: each such state is shown to a check.
 *
 * A sync makes what was written before it durable. Of what was written since,
 * any write may be missing, and one may be there in part, its front or its
 * back, torn between sectors of 512 bytes; and any set of sectors may be there,
 * of which some are tried.
 */
#ifndef BDUS_CRASH_H
#define BDUS_CRASH_H

#include "memdisk.h"

#define CRASH_SECTOR 512U
/* So many writes without a sync are tried in all combinations. */
#define CRASH_SUBSETS_MAX 6
/* Random sets of sectors between two syncs. */
#define CRASH_SCATTERS 96

/**
 * struct crash - a replay
 * @state: the disk as it is after the cut
 * @check: NULL if all is well, else what is wrong
 * @context: of the check
 * @sums: of the state's sectors, 0 where not known
 * @durable: the bytes at the last sync
 * @n_states: how many were checked
 * @n_bad: how many failed
 * @first: the first failure
 */
struct crash {
	struct memdisk *state;
	const char *(*check)(struct crash *crash);
	const void *context;
	uint64_t *sums;
	unsigned char *durable;
	size_t n_states;
	size_t n_bad;
	char first[256];
};

static inline uint64_t crash_mix(uint64_t sum, uint64_t value)
{
	sum = (sum ^ value) * UINT64_C(0x9fb21c651e98df25);
	return sum ^ sum >> 35;
}

static inline uint64_t crash_sum(const void *data, size_t len)
{
	const unsigned char *from = data;
	uint64_t sum = len, value;

	for (size_t i = 0; i < len; i += sizeof(value)) {
		value = 0;
		memcpy(&value, from + i,
		       len - i < sizeof(value) ? len - i : sizeof(value));
		sum = crash_mix(sum, value);
	}
	return sum;
}

/* A fingerprint of a part of the state, cheap where little has changed. */
static inline uint64_t crash_range_sum(const struct crash *crash, uint64_t off,
				       uint64_t len)
{
	uint64_t sum = 0;

	for (uint64_t i = off / CRASH_SECTOR; i < (off + len) / CRASH_SECTOR;
	     i++) {
		if (crash->sums[i] == 0)
			crash->sums[i] =
				crash_sum(crash->state->data + i * CRASH_SECTOR,
					  CRASH_SECTOR) |
				1;
		sum = crash_mix(sum, crash->sums[i]);
	}
	return sum;
}

static inline void crash_put(struct crash *crash, const void *data, size_t len,
			     uint64_t off)
{
	memcpy(crash->state->data + off, data, len);
	for (uint64_t i = off / CRASH_SECTOR;
	     i <= (off + len - 1) / CRASH_SECTOR; i++)
		crash->sums[i] = 0;
}

static inline void crash_look(struct crash *crash, const char *what, size_t i,
			      size_t sector)
{
	const char *fault = crash->check(crash);

	crash->n_states++;
	if (fault != NULL && crash->n_bad++ == 0)
		snprintf(crash->first, sizeof(crash->first),
			 "event %zu %s, sector %zu: %s", i, what, sector,
			 fault);
}

/* One write comes sector by sector, from the front and from the back. */
static inline void crash_tear(struct crash *crash,
			      const struct memdisk_event *event, size_t i)
{
	unsigned char *old = memdisk_must(malloc(event->len));
	size_t last = (event->len - 1) / CRASH_SECTOR * CRASH_SECTOR;
	size_t at;

	memcpy(old, crash->state->data + event->off, event->len);
	for (at = 0; at < last; at += CRASH_SECTOR) {
		crash_put(crash, event->data + at, CRASH_SECTOR,
			  event->off + at);
		crash_look(crash, "front", i, at / CRASH_SECTOR);
	}
	crash_put(crash, old, event->len, event->off);
	for (at = last; at > 0; at -= CRASH_SECTOR) {
		crash_put(crash, event->data + at,
			  at == last ? event->len - last : CRASH_SECTOR,
			  event->off + at);
		crash_look(crash, "back", i, at / CRASH_SECTOR);
	}
	crash_put(crash, event->data, event->len, event->off);
	free(old);
}

static inline void crash_undo(struct crash *crash,
			      const struct memdisk_event *events, size_t n)
{
	for (size_t i = 0; i < n; i++)
		crash_put(crash, crash->durable + events[i].off, events[i].len,
			  events[i].off);
}

static inline void crash_do(struct crash *crash,
			    const struct memdisk_event *event)
{
	crash_put(crash, event->data, event->len, event->off);
}

/* Of writes without a sync in between only some are there. */
static inline void crash_subset(struct crash *crash,
				const struct memdisk_event *events, size_t n,
				uint64_t mask, size_t first)
{
	crash_undo(crash, events, n);
	for (size_t i = 0; i < n; i++)
		if ((mask >> i & 1) != 0)
			crash_do(crash, &events[i]);
	crash_look(crash, "subset", first, (size_t)mask);
}

static inline void crash_subsets(struct crash *crash,
				 const struct memdisk_event *events, size_t n,
				 size_t first)
{
	if (n <= CRASH_SUBSETS_MAX) {
		for (uint64_t mask = 0; mask < UINT64_C(1) << n; mask++)
			crash_subset(crash, events, n, mask, first);
		return;
	}
	for (size_t i = 0; i < n && i < 64; i++) {
		crash_subset(crash, events, n, ~(UINT64_C(1) << i), first);
		crash_subset(crash, events, n, UINT64_C(1) << i, first);
	}
}

/* Of all writes without a sync in between some sectors are there. */
static inline void crash_scatter(struct crash *crash,
				 const struct memdisk_event *events, size_t n,
				 size_t first)
{
	size_t likely = memdisk_random() % 100;
	const struct memdisk_event *event;

	crash_undo(crash, events, n);
	for (event = events; event < events + n; event++)
		for (size_t at = 0; at + CRASH_SECTOR <= event->len;
		     at += CRASH_SECTOR)
			if (memdisk_random() % 100 < likely)
				crash_put(crash, event->data + at, CRASH_SECTOR,
					  event->off + at);
	crash_look(crash, "scattered", first, likely);
}

/* The writes between two syncs. */
static inline void crash_epoch(struct crash *crash,
			       const struct memdisk_event *events, size_t n,
			       size_t first)
{
	size_t i;

	memcpy(crash->durable, crash->state->data, crash->state->disk.size);
	for (i = 0; i < n; i++) {
		crash_tear(crash, &events[i], first + i);
		crash_look(crash, "done", first + i, 0);
	}
	for (i = 1; i < n; i++) {
		crash_undo(crash, events, n);
		crash_tear(crash, &events[i], first + i);
	}
	if (n > 1)
		crash_subsets(crash, events, n, first);
	for (i = 0; i < CRASH_SCATTERS && n > 0; i++)
		crash_scatter(crash, events, n, first);
	crash_undo(crash, events, n);
	for (i = 0; i < n; i++)
		crash_do(crash, &events[i]);
}

/* All that happened to @log, which began as @base. */
static inline void crash_replay(struct crash *crash, const struct memdisk *base,
				const struct memdisk *log)
{
	size_t sectors = base->disk.size / CRASH_SECTOR, end;

	crash->state = memdisk_copy(base);
	crash->sums = memdisk_must(calloc(sectors, sizeof(*crash->sums)));
	crash->durable = memdisk_must(malloc(base->disk.size));
	crash_look(crash, "nothing", 0, 0);
	for (size_t i = 0; i < log->n_events; i = end + 1) {
		for (end = i;
		     end < log->n_events && log->events[end].data != NULL;)
			end++;
		crash_epoch(crash, log->events + i, end - i, i);
	}
	free(crash->durable);
	free(crash->sums);
	memdisk_free(crash->state);
}

#endif /* BDUS_CRASH_H */
