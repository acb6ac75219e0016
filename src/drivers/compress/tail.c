/* SPDX-License-Identifier: MIT */
/*
 * tail - the end of the log: was it cut off by a crash, or is it damaged?
 *
 * A batch tells up to which one all were durable when it was written. So if
 * there is a later one that says so of the one that is missing, that one was
 * there. A crash cannot leave this: what was written without a sync may be
 * missing, but nothing written later knows it as durable.
 */
#include "rooms.h"
#include "scan.h"

/* Free segments that are looked at, if nothing tells that there is more. */
#define PROBES 64U
/* Rows of segments whose heads follow each other that are looked at. */
#define ROWS 64U

/* A search for a batch that proves it, and the first one that is there. */
struct tail {
	struct engine *engine;
	const struct position *at;
	bool has_first;
	struct position *next;
	uint64_t from; /* heads of earlier batches were looked at */
};

static bool tail_is_later(const struct tail *tail,
			  const struct batch_head *head)
{
	return head->session == tail->at->session &&
	       head->batch > tail->at->batch &&
	       head->sequence >= tail->at->sequence;
}

static bool tail_proves(const struct tail *tail, const struct batch_head *head)
{
	return tail_is_later(tail, head) && head->durable > tail->at->batch;
}

/* The very batch that is missing: it is there, but nothing led to it. */
static bool tail_continues(const struct tail *tail,
			   const struct batch_head *head)
{
	return head->session == tail->at->session &&
	       head->batch == tail->at->batch &&
	       head->sequence == tail->at->sequence &&
	       head->prev_crc == tail->at->prev_crc;
}

static void tail_note(struct tail *tail, const struct batch_head *head,
		      uint32_t segment, uint32_t off, uint32_t then)
{
	if (tail->has_first)
		return;
	tail->has_first = true;
	*tail->next = (struct position){ .session = head->session,
					 .batch = head->batch,
					 .sequence = head->sequence,
					 .segment = segment,
					 .off = off,
					 .next = then,
					 .prev_crc = head->prev_crc };
}

/* Look at a segment that was read, and that @then follows. */
static bool tail_look(struct tail *tail, uint32_t segment, uint32_t from,
		      uint32_t then)
{
	const struct batch_head *head;

	for (; (head = scan_batch(tail->engine, &from)) != NULL;
	     from += head->len) {
		if (tail_is_later(tail, head) || tail_continues(tail, head))
			tail_note(tail, head, segment, from, then);
		if (tail_proves(tail, head))
			return true;
	}
	return false;
}

/* From segment to segment, as long as their heads follow each other. */
static bool tail_follow(struct tail *tail, uint32_t segment)
{
	uint64_t batch = 0;

	for (;;) {
		const struct segment_head *head;

		scan_read(tail->engine, segment);
		head = scan_head(tail->engine, segment);
		/* it may be what is left of an earlier use */
		if (head != NULL && (head->session != tail->at->session ||
				     head->batch < tail->at->batch))
			head = NULL;
		if (tail_look(tail, segment, BLOCK_SIZE,
			      head != NULL ? head->next : segment))
			return true;
		if (head == NULL || head->batch <= batch)
			return false;
		batch = head->batch;
		if (tail->from <= batch)
			tail->from = batch + 1;
		segment = head->next;
	}
}

/* Can the log have gone on there? Only in what was free at the checkpoint. */
static bool tail_is_free(const struct tail *tail, uint32_t segment)
{
	return tail->engine->map.space.segments[segment].state == SEGMENT_FREE;
}

/*
 * The segment that the log went on with, behind those that were looked at: of
 * all, or of those that are free, which are taken in their order, the first
 * few, unless there is more already.
 */
static bool tail_find_segment(const struct tail *tail, bool is_thorough,
			      uint32_t *segment)
{
	struct engine *engine = tail->engine;
	const struct segment_head *head = (const void *)engine->segment_buf;
	struct medium *medium = engine->medium;
	uint32_t left = is_thorough || tail->has_first ? UINT32_MAX : PROBES;
	uint64_t least = UINT64_MAX;

	for (uint32_t i = 0; i < engine->super.n_segments && left > 0; i++) {
		if (!is_thorough && !tail_is_free(tail, i))
			continue;
		left--;
		if (medium->read(medium, engine->segment_buf, BLOCK_SIZE,
				 segment_off(&engine->super, i)) != 0 ||
		    !segment_head_is_valid(head, &engine->super, i) ||
		    head->session != tail->at->session ||
		    head->batch < tail->from || head->batch >= least)
			continue;
		least = head->batch;
		*segment = i;
	}
	return least != UINT64_MAX;
}

bool tail_find(struct engine *engine, const struct position *at,
	       bool is_thorough, struct position *next)
{
	struct tail tail = {
		.engine = engine, .at = at, .next = next, .from = at->batch
	};
	uint32_t segment;

	scan_read(engine, at->segment);
	if (tail_look(&tail, at->segment,
		      at->off > BLOCK_SIZE ? at->off : BLOCK_SIZE, at->next) ||
	    tail_follow(&tail, at->next))
		return true;
	/* after a clean end there is no more */
	if (!is_thorough && engine->super.flags & SUPER_CLEAN)
		return false;
	for (uint32_t i = 0;
	     i < ROWS && tail_find_segment(&tail, is_thorough, &segment); i++)
		if (tail_follow(&tail, segment))
			return true;
	return false;
}
