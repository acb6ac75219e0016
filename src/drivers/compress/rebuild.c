/* SPDX-License-Identifier: MIT */
/*
 * rebuild - pages of the map that are lost, from the log and what is left of
 * them.
 *
 * For each of their blocks the log has a last record, or none. It need not be
 * what the map had: a later one may be damaged, or its segment used again, or
 * it was never in the log, since a crash had cut it off. But the checksum of a
 * page is known mostly: if what is left of it, and the log for the rest, has
 * that, it is what was lost (prove.c). And of each segment it is known how many
 * blocks of these pages are live in it. What is left of a page and the log
 * agree on is taken; then all that could be in a segment, if exactly as many
 * are missing there and none of its records is damaged. What remains may be an
 * older version.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc.h"
#include "repair.h"
#include "rooms.h"
#include "scan.h"

/* Entries that lie in one sector: what a disk loses at once. */
#define HINTS_AT_ONCE 64U

/* On a page of which only that is known: nothing that can be taken. */
#define HINT_NONE (ENTRY_ZERO | 1)

enum choice {
	CHOICE_OPEN,
	CHOICE_PROVEN,	 /* the page's checksum tells that it is this hint */
	CHOICE_LOG,	 /* what the log says */
	CHOICE_KEPT,	 /* what it says where nothing can have been cut off */
	CHOICE_HINT,	 /* what was on the page */
	CHOICE_NOTHING,	 /* neither: not mapped, if nothing is missing */
	CHOICE_UNPROVEN, /* what the log says may be old */
	CHOICE_LOST,
};

/* Of data that is not found, what blocks can have had it? */
enum lack {
	LACK_NOTHING,
	LACK_MENTIONED, /* all records are known where some is missing */
	LACK_ANY,
};

struct leaf_lost *rebuild_leaf(const struct repair *repair, uint64_t index)
{
	size_t low = 0, high = repair->n_leaves;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (repair->leaves[middle]->index == index)
			return repair->leaves[middle];
		if (repair->leaves[middle]->index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* --- what the log says ------------------------------------------------------
 */

static void rebuild_mention(struct mention *mention,
			    const struct record *record, uint64_t entry)
{
	/* a copy of the last version is as good, and the last copy counts */
	if (record->origin < mention->origin ||
	    (record->origin == mention->origin &&
	     record->sequence < mention->sequence))
		return;
	*mention = (struct mention){ entry, record->origin, record->sequence };
}

static void rebuild_note(const struct super *super, struct leaf_lost *leaf,
			 const struct record *record, uint64_t off,
			 bool is_kept)
{
	uint64_t entry = 0, step = 0;
	uint32_t first = (uint32_t)(record->lba % PAGE_ENTRIES);
	bool is_whole;

	if (record->type == RECORD_ZERO)
		entry = ENTRY_ZERO;
	if (record->type == RECORD_DATA || record->type == RECORD_MOVE) {
		entry = entry_make(off, (uint32_t)sizeof(*record) + record->len,
				   record->n_blocks);
		step = ENTRY_INDEX_ONE;
	}
	if (step != 0 && !map_entry_is_sane(super, entry))
		return;
	is_whole = step != 0 &&
		   record->data_crc == crc_update(0, record + 1, record->len);
	for (uint32_t i = 0; i < record->n_blocks; i++, entry += step) {
		rebuild_mention(&leaf->found[first + i], record, entry);
		if (is_kept)
			rebuild_mention(&leaf->kept[first + i], record, entry);
		if (leaf->whole != NULL && is_whole)
			rebuild_mention(&leaf->whole[first + i], record, entry);
	}
}

/* Does the log go on with a segment elsewhere, right behind that batch? */
static bool rebuild_goes_on(const struct repair *repair,
			    const struct batch_head *last)
{
	const struct super *super = &repair->engine.super;
	struct medium *medium = repair->engine.medium;
	struct segment_head head;

	for (uint32_t i = 0; i < super->n_segments; i++)
		if (medium->read(medium, &head, sizeof(head),
				 segment_off(super, i)) == 0 &&
		    segment_head_is_valid(&head, super, i) &&
		    head.batch == last->batch + 1 && head.prev_crc == last->crc)
			return true;
	return false;
}

/*
 * struct chain - batches of a segment that follow each other, from its head on
 * @head: of the segment, or NULL
 * @last: the last one, or NULL
 * @end: the place behind it
 * @kept: the place behind the last one that was in the log for sure
 */
struct chain {
	const struct segment_head *head;
	const struct batch_head *last;
	uint32_t end;
	uint32_t kept;
};

/* The next batch: all its records have headers that are whole. */
static bool chain_next(const struct engine *engine, struct chain *chain)
{
	const struct segment_head *head = chain->head;
	const struct batch_head *last = chain->last;
	const struct batch_head *batch =
		(const void *)(engine->segment_buf + chain->end);
	uint32_t left = engine->super.segment_size - chain->end;

	if (head == NULL || left < BLOCK_SIZE ||
	    batch->session != head->session ||
	    batch->batch != (last == NULL ? head->batch : last->batch + 1) ||
	    batch->prev_crc != (last == NULL ? head->prev_crc : last->crc) ||
	    !batch_is_listed(batch, &engine->super, left))
		return false;
	chain->last = batch;
	chain->end += batch->len;
	return true;
}

/* What follows is replayed. */
static bool chain_is_at(const struct chain *chain,
			const struct position *position)
{
	return chain->last != NULL &&
	       chain->last->batch + 1 == position->batch &&
	       chain->last->crc == position->prev_crc;
}

/* Of these batches, the number below which they tell that all were durable. */
static uint64_t chain_durable(const struct engine *engine, struct chain chain)
{
	uint64_t durable = 0;

	while (chain_next(engine, &chain))
		if (chain.last->durable > durable)
			durable = chain.last->durable;
	return durable;
}

/* Are there live blocks in the segment, or is it where the log is? */
static bool rebuild_is_live(const struct repair *repair, uint32_t segment)
{
	return repair->is_known[segment] &&
	       (segment == repair->engine.super.position.segment ||
		repair->residual[segment] + repair->uses[segment].live_blocks !=
			0);
}

/*
 * What a crash cut off from the log stays where it is: a batch that was torn,
 * those behind it, also in segments of their own. They were never part of the
 * volume, and must not hide what was. So a batch counts only if another one
 * tells that it was durable; if the checkpoint knows its session; or if it is
 * whole, like all before it in a segment that is in use.
 */
static void rebuild_walk(const struct repair *repair, uint32_t segment,
			 struct chain *chain)
{
	const struct engine *engine = &repair->engine;
	const struct position *position = &engine->super.position;
	bool is_live = rebuild_is_live(repair, segment);
	struct chain next = { .head = scan_head(engine, segment),
			      .end = BLOCK_SIZE,
			      .kept = BLOCK_SIZE };
	uint64_t durable = chain_durable(engine, next);

	*chain = next;
	while (!chain_is_at(chain, position) && chain_next(engine, &next)) {
		uint32_t room = engine->super.segment_size - chain->end;
		bool is_kept =
			next.last->batch < durable ||
			next.last->session == position->session ||
			(is_live &&
			 batch_is_valid(next.last, &engine->super, room));

		if (is_kept)
			next.kept = next.end;
		else if (is_live)
			break;
		*chain = next;
	}
}

/*
 * Is the header of every record in the segment whole? Batches follow each
 * other until there is no room for another one, or the log goes on elsewhere.
 */
static bool rebuild_is_complete(const struct repair *repair,
				const struct chain *chain)
{
	const struct super *super = &repair->engine.super;

	if (chain->last == NULL)
		return false;
	return chain_is_at(chain, &super->position) ||
	       super->segment_size - chain->end <
		       log_record_room(super) + BLOCK_SIZE ||
	       rebuild_goes_on(repair, chain->last);
}

/* Records before the checkpoint; the others are replayed. */
static void rebuild_scan(struct repair *repair, uint32_t segment)
{
	struct engine *engine = &repair->engine;
	uint64_t start = segment_off(&engine->super, segment);
	uint64_t begin = repair->uses[segment].first_sequence;
	uint64_t end = engine->super.position.sequence;
	uint32_t to = engine->super.segment_size;
	const struct record *record;
	struct chain chain;

	scan_read(engine, segment);
	rebuild_walk(repair, segment, &chain);
	repair->is_complete[segment] = rebuild_is_complete(repair, &chain);
	if (repair->is_complete[segment])
		to = chain.end;
	for (uint32_t at = BLOCK_SIZE;
	     (record = scan_record(engine, &at)) != NULL && at < to;
	     at += record_size(record)) {
		struct leaf_lost *leaf =
			rebuild_leaf(repair, record->lba / PAGE_ENTRIES);

		if (leaf != NULL && record->type != RECORD_CHECKPOINT &&
		    record->sequence >= begin && record->sequence < end &&
		    record->origin <= record->sequence)
			rebuild_note(&engine->super, leaf, record, start + at,
				     at < chain.kept);
	}
}

/* --- what is taken ----------------------------------------------------------
 */

static bool is_data(uint64_t entry)
{
	return entry_state(entry) == BLOCK_DATA;
}

static bool is_no_data(uint64_t entry)
{
	return entry == 0 || entry == ENTRY_ZERO || entry == ENTRY_BAD;
}

static uint32_t rebuild_segment(const struct repair *repair, uint64_t entry)
{
	return (uint32_t)segment_of(&repair->engine.super, entry_off(entry));
}

/* Can a block be there? Surely not where no live one is missing. */
static bool rebuild_can(const struct repair *repair, uint64_t entry)
{
	uint32_t segment = rebuild_segment(repair, entry);

	return !repair->is_known[segment] || repair->residual[segment] > 0;
}

bool rebuild_has_record(struct repair *repair, uint64_t lba, uint64_t entry)
{
	struct engine *engine = &repair->engine;

	return is_data(entry) && map_entry_is_sane(&engine->super, entry) &&
	       engine_read_record(engine, background_codec(engine), lba,
				  entry) == 0;
}

static bool is_hint(const struct leaf_lost *leaf, uint32_t i)
{
	return leaf->has_hints && leaf->hints[i] != HINT_NONE;
}

static uint64_t rebuild_chosen(const struct leaf_lost *leaf, uint32_t i,
			       enum choice choice)
{
	switch (choice) {
	case CHOICE_LOG:
		return leaf->found[i].entry;
	case CHOICE_KEPT:
		return leaf->kept[i].entry;
	case CHOICE_PROVEN:
	case CHOICE_HINT:
		return leaf->hints[i];
	default:
		return 0;
	}
}

/* The record that a choice is, if it is another one than those before. */
static uint64_t rebuild_candidate(const struct leaf_lost *leaf, uint32_t i,
				  enum choice choice)
{
	uint64_t entry = rebuild_chosen(leaf, i, choice);

	if (!is_data(entry) || (choice == CHOICE_HINT && !is_hint(leaf, i)))
		return 0;
	for (enum choice other = CHOICE_LOG; other < choice; other++)
		if (rebuild_chosen(leaf, i, other) == entry)
			return 0;
	return entry;
}

static void rebuild_take(struct repair *repair, struct leaf_lost *leaf,
			 uint32_t i, enum choice choice)
{
	uint64_t entry = rebuild_chosen(leaf, i, choice);

	leaf->choice[i] = (uint8_t)choice;
	if (!is_data(entry))
		return;
	repair->residual[rebuild_segment(repair, entry)]--;
	if (repair->n_unexplained != INT64_MAX)
		repair->n_unexplained--;
}

/* Where page and log agree, or neither has data. */
static bool rebuild_agree(struct repair *repair, struct leaf_lost *leaf,
			  uint32_t i)
{
	uint64_t found = leaf->found[i].entry, kept = leaf->kept[i].entry;
	uint64_t lba = leaf->index * PAGE_ENTRIES + i;
	uint64_t hint = leaf->hints[i];

	if (!leaf->has_hints)
		return false;
	if ((is_no_data(hint) && !is_data(found) && !is_data(kept)) ||
	    (leaf->is_sure && is_data(hint) && (hint == found || hint == kept)))
		rebuild_take(repair, leaf, i, CHOICE_HINT);
	else if (!is_no_data(hint) && hint != found && hint != kept &&
		 !rebuild_has_record(repair, lba, hint))
		leaf->hints[i] = HINT_NONE;
	return true;
}

/* No record can be it: then it has no data, or that is lost. */
static bool rebuild_decide(struct repair *repair, struct leaf_lost *leaf,
			   uint32_t i)
{
	for (enum choice choice = CHOICE_LOG; choice <= CHOICE_HINT; choice++) {
		uint64_t entry = rebuild_candidate(leaf, i, choice);

		if (entry != 0 && rebuild_can(repair, entry))
			return false;
	}
	leaf->choice[i] = !leaf->has_hints || is_no_data(leaf->hints[i]) ?
				  CHOICE_NOTHING :
				  CHOICE_LOST;
	return true;
}

/* For all blocks that are open. Return: how many did something. */
static uint64_t rebuild_each(struct repair *repair,
			     bool (*decide)(struct repair *repair,
					    struct leaf_lost *leaf, uint32_t i))
{
	uint64_t n = 0;

	for (size_t i = 0; i < repair->n_leaves; i++)
		for (uint32_t j = 0; j < PAGE_ENTRIES; j++)
			if (repair->leaves[i]->choice[j] == CHOICE_OPEN)
				n += decide(repair, repair->leaves[i], j);
	return n;
}

static bool rebuild_count(struct repair *repair, struct leaf_lost *leaf,
			  uint32_t i)
{
	for (enum choice choice = CHOICE_LOG; choice <= CHOICE_HINT; choice++) {
		uint64_t entry = rebuild_candidate(leaf, i, choice);

		if (entry != 0)
			repair->open[rebuild_segment(repair, entry)]++;
	}
	return true;
}

/* Is all that could be in a segment needed to make up what is missing? */
static bool rebuild_needs(const struct repair *repair, uint64_t entry)
{
	uint32_t segment = rebuild_segment(repair, entry);

	return repair->is_known[segment] && repair->is_complete[segment] &&
	       repair->open[segment] == repair->residual[segment];
}

static bool rebuild_fill(struct repair *repair, struct leaf_lost *leaf,
			 uint32_t i)
{
	for (enum choice choice = CHOICE_LOG; choice <= CHOICE_HINT; choice++) {
		uint64_t entry = rebuild_candidate(leaf, i, choice);

		if (entry == 0 || !rebuild_needs(repair, entry))
			continue;
		repair->open[rebuild_segment(repair, entry)]--;
		rebuild_take(repair, leaf, i, choice);
		return true;
	}
	return false;
}

static bool rebuild_doubt(struct repair *repair, struct leaf_lost *leaf,
			  uint32_t i)
{
	(void)repair;
	leaf->choice[i] = CHOICE_UNPROVEN;
	return true;
}

static void rebuild_choose(struct repair *repair)
{
	uint32_t n_segments = repair->engine.super.n_segments;

	for (size_t i = 0; i < repair->n_leaves; i++)
		if (prove_leaf(repair, repair->leaves[i]))
			for (uint32_t j = 0; j < PAGE_ENTRIES; j++)
				rebuild_take(repair, repair->leaves[i], j,
					     CHOICE_PROVEN);
	rebuild_each(repair, rebuild_agree);
	do {
		while (rebuild_each(repair, rebuild_decide) > 0)
			;
		memset(repair->open, 0, n_segments * sizeof(*repair->open));
		rebuild_each(repair, rebuild_count);
	} while (rebuild_each(repair, rebuild_fill) > 0);
	rebuild_each(repair, rebuild_doubt);
}

/* --- the pages --------------------------------------------------------------
 */

/* What a disk zeroes as a whole need not have been nothing. */
static bool rebuild_is_blank(const struct leaf_lost *leaf, uint32_t i)
{
	/* the page's header takes the room of four of them */
	uint32_t first = (i + 4) / HINTS_AT_ONCE * HINTS_AT_ONCE;

	for (uint32_t j = first; j < first + HINTS_AT_ONCE; j++)
		if (j >= 4 && j - 4 < PAGE_ENTRIES && leaf->hints[j - 4] != 0)
			return false;
	return true;
}

/* Is it not even sure that the page said that there is no data? */
static bool rebuild_is_doubtful(const struct leaf_lost *leaf, uint32_t i)
{
	return !leaf->is_sure ||
	       (leaf->hints[i] == 0 && rebuild_is_blank(leaf, i));
}

/* Are there blocks that are lost, somewhere in these pages, and not found? */
static bool rebuild_lacks_bad(const struct repair *repair)
{
	uint64_t n_bad = repair->engine.map.n_bad;

	for (size_t i = 0; i < repair->n_leaves; i++)
		for (uint32_t j = 0; j < PAGE_ENTRIES; j++)
			n_bad += (repair->leaves[i]->choice[j] == CHOICE_HINT ||
				  repair->leaves[i]->choice[j] ==
					  CHOICE_PROVEN) &&
				 repair->leaves[i]->hints[j] == ENTRY_BAD;
	return n_bad < repair->engine.super.n_bad;
}

/*
 * Are there blocks that have data or are lost, and are not found? Those that
 * are given up need not be them.
 */
static enum lack rebuild_lacks(const struct repair *repair)
{
	enum lack lack = LACK_NOTHING;

	if (rebuild_lacks_bad(repair))
		return LACK_ANY;
	for (uint32_t i = 0; i < repair->engine.super.n_segments; i++) {
		bool is_known = repair->is_known[i];

		if (is_known ? repair->residual[i] == 0 :
			       repair->n_unexplained == 0)
			continue;
		/* some record there, nobody knows of which block */
		if (!repair->is_complete[i] || repair->residual[i] < 0)
			return LACK_ANY;
		lack = LACK_MENTIONED;
	}
	if (lack == LACK_NOTHING && repair->n_unexplained != 0)
		lack = LACK_ANY;
	return lack;
}

/* Can a block of which there is no data be what is not found? */
static bool rebuild_may_lack(const struct leaf_lost *leaf, uint32_t i,
			     enum lack lack)
{
	return lack == LACK_ANY ||
	       (lack == LACK_MENTIONED && leaf->found[i].sequence != 0);
}

/* The entry of a block; %ENTRY_BAD: its data is lost. */
static uint64_t rebuild_entry(const struct leaf_lost *leaf, uint32_t i,
			      enum lack lack)
{
	uint64_t hint = is_hint(leaf, i) ? leaf->hints[i] : 0;
	bool lacks = rebuild_may_lack(leaf, i, lack);

	switch ((enum choice)leaf->choice[i]) {
	case CHOICE_PROVEN:
	case CHOICE_LOG:
	case CHOICE_KEPT:
		return rebuild_chosen(leaf, i, leaf->choice[i]);
	case CHOICE_HINT:
	case CHOICE_NOTHING:
		return lacks && rebuild_is_doubtful(leaf, i) ? ENTRY_BAD : hint;
	case CHOICE_UNPROVEN:
		return ENTRY_BAD;
	default:
		/* where all is accounted for, it was nothing */
		return lacks ? ENTRY_BAD : 0;
	}
}

/* Is it there, and its payload too? */
static bool rebuild_is_readable(struct repair *repair, uint64_t lba,
				uint64_t entry)
{
	struct codec *codec = background_codec(&repair->engine);

	return rebuild_has_record(repair, lba, entry) &&
	       codec_unpack(codec, (const void *)codec->record, codec->plain) ==
		       0;
}

/*
 * A record of a block that is given up, which may be an old one; 0: none. If it
 * is to be taken, it has to be there: what was cut off may have been torn.
 */
static uint64_t rebuild_old(struct repair *repair, const struct leaf_lost *leaf,
			    uint32_t i)
{
	uint64_t lba = leaf->index * PAGE_ENTRIES + i;
	bool is_asked = repair->options.accept_stale;

	if (leaf->choice[i] == CHOICE_PROVEN)
		return 0;
	for (enum choice choice = CHOICE_LOG; choice <= CHOICE_HINT; choice++) {
		uint64_t entry = rebuild_candidate(leaf, i, choice);

		if (entry != 0 &&
		    (!is_asked || (rebuild_can(repair, entry) &&
				   rebuild_is_readable(repair, lba, entry))))
			return entry;
	}
	return is_asked ? leaf->whole[i].entry : 0;
}

static int rebuild_put(struct repair *repair, uint64_t lba, uint64_t entry,
		       bool is_unproven)
{
	struct map *map = &repair->engine.map;

	pthread_mutex_lock(&map->lock);
	map_put(map, lba, entry);
	pthread_mutex_unlock(&map->lock);
	repair->n_restored += is_data(entry);
	repair->n_unproven += is_unproven;
	if (entry == ENTRY_BAD)
		return ranges_add(&repair->lost, lba, 1);
	return is_unproven ? ranges_add(&repair->stale, lba, 1) : 0;
}

static int rebuild_page(struct repair *repair, const struct leaf_lost *leaf,
			enum lack lack)
{
	uint64_t n_blocks = repair->engine.super.size / BLOCK_SIZE;
	uint64_t first = leaf->index * PAGE_ENTRIES;
	int error = map_blank(&repair->engine.map, leaf->index);

	for (uint32_t i = 0;
	     error == 0 && i < PAGE_ENTRIES && first + i < n_blocks; i++) {
		uint64_t entry = rebuild_entry(leaf, i, lack);
		uint64_t old =
			entry == ENTRY_BAD ? rebuild_old(repair, leaf, i) : 0;

		if (old != 0 && repair->options.accept_stale)
			entry = old;
		if (entry != 0)
			error = rebuild_put(repair, first + i, entry, old != 0);
	}
	return error;
}

/* What has live blocks now is in use. */
static void rebuild_close(struct repair *repair)
{
	struct map *map = &repair->engine.map;

	pthread_mutex_lock(&map->lock);
	for (uint32_t i = 0; i < repair->engine.super.n_segments; i++)
		if (map->space.segments[i].state == SEGMENT_FREE &&
		    map->space.segments[i].use.live_blocks != 0)
			space_end(&map->space, i);
	pthread_mutex_unlock(&map->lock);
}

int rebuild_map(struct repair *repair)
{
	const struct super *super = &repair->engine.super;
	enum lack lack;
	int error = 0;

	if (repair->n_leaves == 0)
		return 0;
	/* before all is looked through for nothing */
	if (repair->n_leaves > repair->engine.map.n_rights_left)
		return -EAGAIN;
	repair->open = calloc(super->n_segments, sizeof(*repair->open));
	repair->is_complete =
		calloc(super->n_segments, sizeof(*repair->is_complete));
	if (repair->open == NULL || repair->is_complete == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < super->n_segments; i++) {
		rebuild_scan(repair, i);
		if (repair->options.tell != NULL)
			repair->options.tell(repair->options.arg,
					     (uint64_t)(i + 1) *
						     super->segment_size);
	}
	rebuild_choose(repair);
	lack = rebuild_lacks(repair);
	for (size_t i = 0; error == 0 && i < repair->n_leaves; i++)
		error = rebuild_page(repair, repair->leaves[i], lack);
	rebuild_close(repair);
	return error;
}
