/* SPDX-License-Identifier: MIT */
/*
 * survey - what is good of superblocks and map, and what can be known of the
 * rest.
 *
 * A page that is damaged no longer tells for sure which pages below it count.
 * What it seems to say of one is believed if that page has the very checksum;
 * else the newest version of the page is a hint only, to be compared with the
 * log (rebuild.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "repair.h"
#include "rooms.h"
#include "scan.h"

/* More than is between two that are neighbours in the log. */
#define NUMBERS_APART (1ULL << 40)

/* How far a reference to a page is believed. */
enum trust { TRUST_NONE, TRUST_HINT, TRUST_SURE };

/* --- superblocks ------------------------------------------------------------
 */

static bool is_damage(int error)
{
	return error == -EBADMSG || error == -ENOENT || error == -EIO;
}

/* The two of them, or else the last block: it knows the layout only. */
static int survey_choose(struct repair *repair, const struct super *supers,
			 const int *errors)
{
	struct super *super = &repair->engine.super;
	int best = errors[0] == 0 ? 0 : 1;

	if (errors[0] == 0 && errors[1] == 0 &&
	    supers[1].generation > supers[0].generation)
		best = 1;
	if (errors[best] != 0)
		best = 2;
	if (errors[best] != 0)
		return errors[0] == -ENOENT ? errors[1] : errors[0];
	repair->is_root_lost = best == 2;
	*super = supers[best];
	for (int i = 0; i < 2; i++)
		if (errors[i] != 0)
			repair->copies[i] = COPY_DAMAGED;
		else if (memcmp(&supers[i], super, sizeof(*super)) != 0)
			repair->copies[i] = COPY_OLD;
	return 0;
}

static void survey_last(struct repair *repair)
{
	const struct super *super = &repair->engine.super;
	const char *reason;
	struct super last;
	int error =
		layout_read(repair->engine.medium,
			    super->medium_size - BLOCK_SIZE, &last, &reason);

	if (error != 0 || last.nonce != super->nonce ||
	    memcmp(last.uuid, super->uuid, sizeof(last.uuid)) != 0 ||
	    last.size != super->size ||
	    last.medium_size != super->medium_size ||
	    last.n_segments != super->n_segments)
		repair->copies[2] = COPY_DAMAGED;
}

int survey_supers(struct repair *repair)
{
	struct medium *medium = repair->engine.medium;
	uint64_t last = medium->size / BLOCK_SIZE * BLOCK_SIZE;
	uint64_t offs[] = { SUPER_OFF(0), SUPER_OFF(1),
			    last > 0 ? last - BLOCK_SIZE : 0 };
	const char *reasons[3] = { NULL, NULL, NULL };
	struct super supers[3];
	int errors[3], error;

	for (int i = 0; i < 3; i++) {
		errors[i] =
			layout_read(medium, offs[i], &supers[i], &reasons[i]);
		repair->reason = reasons[i];
		/* what another version made is not to be touched */
		if (errors[i] != 0 && !is_damage(errors[i]) && i < 2)
			return errors[i];
	}
	repair->reason = reasons[errors[0] == -ENOENT ? 1 : 0];
	error = survey_choose(repair, supers, errors);
	if (error != 0)
		return error;
	survey_last(repair);
	repair->was_marked = repair->engine.super.flags & SUPER_NEEDS_CHECK;
	repair->is_stale = repair->engine.super.flags & SUPER_MAY_BE_STALE;
	return 0;
}

/* --- pages ------------------------------------------------------------------
 */

static uint64_t page_number(const struct tree *tree, unsigned int level,
			    uint64_t index)
{
	return tree->levels[level].first + index;
}

/* A page as it is in a slot; false: nothing of it can be told. */
static bool survey_page(const struct tree *tree, uint64_t number,
			unsigned int slot, struct page *page)
{
	return tree->medium->read(tree->medium, page, sizeof(*page),
				  tree->super->map_off[slot] +
					  number * BLOCK_SIZE) == 0 &&
	       page->magic == PAGE_MAGIC && page->nonce == tree->super->nonce &&
	       page->number == number;
}

static bool survey_is_whole(const struct tree *tree, const struct page *page,
			    uint64_t number)
{
	return page_is_valid(page, tree->super, number, page->crc);
}

/* The newest version of a page that the checkpoint can refer to. */
static struct page_ref survey_newest(const struct tree *tree, uint64_t number)
{
	struct page_ref ref = { 0 };
	uint64_t generation = 0;

	for (unsigned int slot = 0; slot < 2; slot++) {
		struct page page;

		if (!survey_page(tree, number, slot, &page) ||
		    page.generation > tree->super->generation ||
		    page.generation < generation ||
		    !survey_is_whole(tree, &page, number))
			continue;
		generation = page.generation;
		ref = (struct page_ref){ page.crc, PAGE_PRESENT | slot };
	}
	return ref;
}

static bool is_bit(uint32_t bits)
{
	return (bits & (bits - 1)) == 0;
}

/* Is it that page which a damaged reference is of? All but a bit has to be. */
static bool survey_is_meant(const struct tree *tree, struct page_ref ref,
			    uint64_t number, struct page_ref *found)
{
	for (unsigned int slot = 0; slot < 2; slot++) {
		uint32_t flags = PAGE_PRESENT | slot;
		struct page page;

		if (!survey_page(tree, number, slot, &page) ||
		    !survey_is_whole(tree, &page, number))
			continue;
		if ((page.crc != ref.crc || !is_bit(ref.flags ^ flags)) &&
		    (!is_bit(page.crc ^ ref.crc) || ref.flags != flags))
			continue;
		*found = (struct page_ref){ page.crc, flags };
		return true;
	}
	return false;
}

/* Is what is left of that page, damaged too, the version referred to? */
static bool survey_is_left(const struct tree *tree, struct page_ref ref,
			   uint64_t number)
{
	struct page page;

	return (ref.flags & ~PAGE_SLOT) == PAGE_PRESENT &&
	       survey_page(tree, number, ref.flags & PAGE_SLOT, &page) &&
	       page.crc == ref.crc;
}

/* What a damaged page, of which @raw is left, or NULL, seems to refer to. */
static enum trust survey_child(const struct tree *tree, unsigned int level,
			       uint64_t index, const struct page *raw,
			       struct page_ref *ref)
{
	uint64_t number = page_number(tree, level, index);
	struct page_ref said = { 0 };

	if (raw != NULL)
		memcpy(&said, &raw->entries[index % PAGE_ENTRIES],
		       sizeof(said));
	if (raw != NULL && survey_is_meant(tree, said, number, ref))
		return TRUST_SURE;
	if (raw != NULL && survey_is_left(tree, said, number)) {
		*ref = said;
		return TRUST_SURE;
	}
	*ref = survey_newest(tree, number);
	if (raw != NULL && said.crc == 0 && said.flags == 0) {
		*ref = said;
		return TRUST_HINT;
	}
	return ref->flags & PAGE_PRESENT ? TRUST_HINT : TRUST_NONE;
}

/* Do these references make the page that is lost, as its checksum tells? */
static bool survey_prove_refs(const struct tree *tree, struct page_ref ref,
			      const struct page_ref *refs, uint64_t n,
			      struct page *page)
{
	uint64_t last = tree->super->generation;

	memset(page->entries, 0, sizeof(page->entries));
	memcpy(page->entries, refs, n * sizeof(*refs));
	for (uint64_t i = 0; i <= N_GENERATIONS; i++) {
		if (page_is_valid(page, tree->super, page->number, ref.crc))
			return true;
		page->generation = last - i;
	}
	return false;
}

/*
 * What a damaged page, of which @raw is in its place, refers to: what was found
 * to be so, or else the newest versions of all, if that is proven.
 */
static bool survey_prove(struct tree *tree, unsigned int level, uint64_t index,
			 const struct page *raw)
{
	struct level *below = &tree->levels[level - 1];
	struct page_ref ref = tree->levels[level].refs[index];
	uint64_t first = index * PAGE_ENTRIES;
	uint64_t n = below->n - first < PAGE_ENTRIES ? below->n - first :
						       PAGE_ENTRIES;
	struct page_ref newest[PAGE_ENTRIES];
	struct page page = { .magic = PAGE_MAGIC,
			     .crc = ref.crc,
			     .nonce = tree->super->nonce,
			     .number = page_number(tree, level, index),
			     .generation = raw->generation };

	if ((ref.flags & ~PAGE_SLOT) != PAGE_PRESENT)
		return false;
	if (survey_prove_refs(tree, ref, below->refs + first, n, &page))
		return true;
	for (uint64_t i = 0; i < n; i++)
		newest[i] = survey_newest(
			tree, page_number(tree, level - 1, first + i));
	if (!survey_prove_refs(tree, ref, newest, n, &page))
		return false;
	memcpy(below->refs + first, newest, n * sizeof(*newest));
	return true;
}

/* A page of a level above: bring in what it refers to. */
static void survey_upper(struct repair *repair, unsigned int level,
			 uint64_t index, uint8_t trust, uint8_t *trusts)
{
	struct tree *tree = &repair->engine.map.tree;
	struct level *below = &tree->levels[level - 1];
	struct page_ref ref = tree->levels[level].refs[index];
	uint64_t first = index * PAGE_ENTRIES;
	uint64_t n = below->n - first < PAGE_ENTRIES ? below->n - first :
						       PAGE_ENTRIES;
	struct page page = { 0 };
	bool is_good = tree_read(tree, level, index, ref, &page) == 0;
	bool has_raw =
		is_good || (ref.flags & PAGE_PRESENT &&
			    survey_page(tree, page_number(tree, level, index),
					ref.flags & PAGE_SLOT, &page));

	if (is_good && trust != TRUST_NONE) {
		memcpy(below->refs + first, page.entries,
		       n * sizeof(*below->refs));
		memset(trusts + first, trust, n);
		return;
	}
	repair->n_pages_lost++;
	tree->levels[level].is_dirty[index] = true;
	for (uint64_t i = first; i < first + n; i++)
		trusts[i] = survey_child(
			tree, level - 1, i,
			has_raw && trust != TRUST_NONE ? &page : NULL,
			&below->refs[i]);
	if (trust == TRUST_SURE && survey_prove(tree, level, index, &page))
		memset(trusts + first, TRUST_SURE, n);
}

/* All levels above the lowest. Return: trust in each page of that, or NULL. */
static uint8_t *survey_tree(struct repair *repair)
{
	struct tree *tree = &repair->engine.map.tree;
	unsigned int level = tree->n_levels - 1;
	uint8_t *trusts = calloc(tree->levels[level].n, 1);

	tree->levels[level].refs[0] = repair->engine.super.root;
	if (trusts != NULL)
		trusts[0] = TRUST_SURE;
	for (; trusts != NULL && level > 0; level--) {
		uint8_t *below = calloc(tree->levels[level - 1].n, 1);

		for (uint64_t i = 0; below != NULL && i < tree->levels[level].n;
		     i++)
			survey_upper(repair, level, i, trusts[i], below);
		free(trusts);
		trusts = below;
	}
	return trusts;
}

/* --- the root, when A and B are lost ----------------------------------------
 */

/*
 * The highest generation of all pages that are whole, and of those that are
 * damaged: if that is higher, all that was of the last checkpoint may be.
 */
static uint64_t survey_generation(const struct tree *tree, uint64_t *damaged)
{
	const struct level *top = &tree->levels[tree->n_levels - 1];
	uint64_t highest = 0;

	*damaged = 0;
	for (uint64_t i = 0; i <= top->first; i++) {
		for (unsigned int slot = 0; slot < 2; slot++) {
			uint64_t *known = &highest;
			struct page page;

			if (!survey_page(tree, i, slot, &page))
				continue;
			if (!survey_is_whole(tree, &page, i))
				known = damaged;
			if (page.generation > *known)
				*known = page.generation;
		}
	}
	return highest;
}

/* The last session of the log, as far as it is there. */
struct session {
	uint64_t number;
	bool is_known; /* the table has a segment of it */
	bool has_head;
	struct segment_head head; /* the first one */
};

static void survey_session_head(const struct repair *repair,
				struct session *session,
				const struct segment_head *head)
{
	const struct segment *segments = repair->engine.map.space.segments;

	if (head->session > session->number)
		*session = (struct session){ .number = head->session };
	if (head->session < session->number)
		return;
	if (head->sequence == segments[head->segment].use.first_sequence)
		session->is_known = true;
	if (!session->has_head || head->batch < session->head.batch)
		session->head = *head;
	session->has_head = true;
}

static void survey_session(struct repair *repair, struct session *session)
{
	struct engine *engine = &repair->engine;

	*session = (struct session){ 0 };
	for (uint32_t i = 0; i < engine->super.n_segments; i++) {
		const struct segment_head *head;
		const struct batch_head *batch;

		scan_read(engine, i);
		head = scan_head(engine, i);
		if (head != NULL)
			survey_session_head(repair, session, head);
		for (uint32_t at = BLOCK_SIZE;
		     (batch = scan_batch(engine, &at)) != NULL;
		     at += batch->len)
			if (batch->session > session->number)
				*session = (struct session){
					.number = batch->session
				};
	}
}

/*
 * The last block's superblock is as old as the last clean end. If no page is
 * newer, it is all there is to know; but if the volume was used again, the
 * newer pages are lost. Else the newest page at the top is the root; it is the
 * last one if no page is newer, and all is well below it.
 */
static void survey_root(struct repair *repair)
{
	const struct tree *tree = &repair->engine.map.tree;
	struct super *super = &repair->engine.super;
	const struct level *top = &tree->levels[tree->n_levels - 1];
	struct session session;
	struct page page;
	uint64_t damaged;

	repair->generation = survey_generation(tree, &damaged);
	if (damaged > repair->generation)
		repair->is_stale = true;
	if (repair->generation <= super->generation) {
		survey_session(repair, &session);
		repair->is_root_lost = session.number > super->position.session;
		repair->is_stale = repair->is_stale || repair->is_root_lost;
		return;
	}
	/* more than there can be: nobody knows how many there were */
	super->n_mapped = INT64_MAX;
	super->generation = UINT64_MAX;
	super->root = survey_newest(tree, top->first);
	super->generation = repair->generation;
	if (!(super->root.flags & PAGE_PRESENT) ||
	    !survey_page(tree, top->first, super->root.flags & PAGE_SLOT,
			 &page) ||
	    page.generation != repair->generation)
		repair->is_stale = true;
}

/* A place at the start of a segment, if that is what the table knows. */
static bool survey_start(struct repair *repair, uint32_t segment,
			 struct position *position)
{
	struct engine *engine = &repair->engine;
	const struct segment *segments = engine->map.space.segments;
	const struct segment_head *head;

	scan_read(engine, segment);
	head = scan_head(engine, segment);
	if (head == NULL ||
	    head->sequence != segments[segment].use.first_sequence)
		return false;
	*position = (struct position){ .session = head->session,
				       .batch = head->batch,
				       .sequence = head->sequence,
				       .segment = segment,
				       .next = head->next,
				       .prev_crc = head->prev_crc };
	return true;
}

/* The segments that were begun last, and before that one. */
static void survey_latest(const struct repair *repair, uint32_t *last,
			  uint32_t *before)
{
	const struct segment *segments = repair->engine.map.space.segments;

	*last = *before = 0;
	for (uint32_t i = 1; i < repair->engine.super.n_segments; i++) {
		uint64_t sequence = segments[i].use.first_sequence;

		if (sequence > segments[*last].use.first_sequence) {
			*before = *last;
			*last = i;
		} else if (*before == *last ||
			   sequence > segments[*before].use.first_sequence) {
			*before = i;
		}
	}
}

static void survey_raise(uint64_t *number, uint64_t to)
{
	if (to > *number)
		*number = to;
}

static uint64_t survey_after(uint64_t number)
{
	return number < NUMBER_MAX - NUMBERS_APART ? number + NUMBERS_APART :
						     NUMBER_MAX;
}

/*
 * A place behind all that there is in the log, and whatever is damaged there:
 * no number of it comes again, or what is old could seem to follow some day.
 */
static void survey_beyond(struct repair *repair, uint32_t segment,
			  struct position *position)
{
	struct engine *engine = &repair->engine;
	const struct batch_head *batch;

	*position = (struct position){ .segment = segment, .next = segment };
	for (uint32_t i = 0; i < engine->super.n_segments; i++) {
		scan_read(engine, i);
		for (uint32_t at = BLOCK_SIZE;
		     (batch = scan_batch(engine, &at)) != NULL;
		     at += batch->len) {
			survey_raise(&position->session, batch->session);
			survey_raise(&position->batch, batch->batch);
			survey_raise(&position->sequence, batch->sequence);
		}
	}
	position->session = survey_after(position->session);
	position->batch = survey_after(position->batch);
	position->sequence = survey_after(position->sequence);
}

/* Is the batch there that was the last one before the session? */
static bool survey_is_first(struct repair *repair,
			    const struct session *session)
{
	struct engine *engine = &repair->engine;
	const struct position *end = &engine->super.position;
	const struct batch_head *batch;

	/* the first one of all, or after the last clean end */
	if (session->head.batch == 1 ||
	    (session->head.batch == end->batch &&
	     session->head.prev_crc == end->prev_crc))
		return true;
	for (uint32_t i = 0; i < engine->super.n_segments; i++) {
		scan_read(engine, i);
		for (uint32_t at = BLOCK_SIZE;
		     (batch = scan_batch(engine, &at)) != NULL;
		     at += batch->len)
			if (batch->session < session->number &&
			    batch->batch + 1 == session->head.batch &&
			    batch->crc == session->head.prev_crc)
				return true;
	}
	return false;
}

/*
 * A session begins with a checkpoint that knows none of its segments. If that
 * was the last one, the log begins with the session, else in the segment that
 * was begun last, or, if that was about to be begun, in the one before. To
 * start earlier does no harm as long as all that follows is there, in its
 * order.
 */
static bool survey_find_position(struct repair *repair,
				 const struct session *session, uint32_t last,
				 uint32_t before, struct position *found)
{
	if (session->has_head && !session->is_known) {
		repair->is_stale =
			repair->is_stale || !survey_is_first(repair, session);
		*found = (struct position){
			.session = session->number,
			.batch = session->head.batch,
			.sequence = session->head.sequence,
			.segment = session->head.segment,
			.next = session->head.next,
			.prev_crc = session->head.prev_crc,
		};
		return true;
	}
	if (survey_start(repair, before, found) && found->next == last &&
	    found->session == session->number)
		return true;
	return survey_start(repair, last, found);
}

static void survey_position(struct repair *repair)
{
	struct position *position = &repair->engine.super.position, found;
	struct session session;
	uint32_t last, before;

	survey_latest(repair, &last, &before);
	survey_session(repair, &session);
	for (uint32_t i = 0; i < repair->engine.super.n_segments; i++)
		if (!repair->is_known[i])
			repair->is_stale = true;
	if (survey_find_position(repair, &session, last, before, &found)) {
		*position = found;
	} else {
		repair->is_stale = true;
		survey_beyond(repair, last, position);
	}
	/* there is something of which nothing leads to it */
	if (session.number > position->session)
		repair->is_stale = true;
}

/* --- the lowest level -------------------------------------------------------
 */

/* What the head of a segment says, if the table does not. */
static uint64_t survey_first_sequence(struct repair *repair, uint32_t segment)
{
	const struct segment_head *head =
		(const void *)repair->engine.segment_buf;
	struct engine *engine = &repair->engine;

	return engine->medium->read(
		       engine->medium, engine->segment_buf, BLOCK_SIZE,
		       segment_off(&engine->super, segment)) == 0 &&
			       segment_head_is_valid(head, &engine->super,
						     segment) ?
		       head->sequence :
		       0;
}

static void survey_table_page(struct repair *repair, uint64_t index,
			      uint8_t trust)
{
	const struct tree *tree = &repair->engine.map.tree;
	uint32_t first = (uint32_t)(index * PAGE_SEGMENTS);
	uint32_t n = repair->engine.super.n_segments - first;
	struct page page;
	const struct segment_use *uses = (const void *)page.entries;
	bool is_good = trust != TRUST_NONE &&
		       tree_read(tree, 0, index, tree->levels[0].refs[index],
				 &page) == 0;

	/* an older version would prove what was right then */
	if (is_good && trust != TRUST_SURE &&
	    page.generation != tree->super->generation)
		is_good = false;
	if (!is_good)
		repair->n_pages_lost++;
	for (uint32_t i = 0; i < n && i < PAGE_SEGMENTS; i++) {
		struct segment_use *use = &repair->uses[first + i];

		repair->is_known[first + i] = is_good;
		if (is_good) {
			use->first_sequence = uses[i].first_sequence;
			repair->residual[first + i] =
				uses[i].live_blocks & ~SEGMENT_USED;
		} else {
			use->first_sequence =
				survey_first_sequence(repair, first + i);
		}
	}
}

/* If nothing else, its checksum tells what it was. */
static void survey_keep(const struct repair *repair, struct leaf_lost *leaf,
			struct page_ref ref)
{
	const struct tree *tree = &repair->engine.map.tree;
	uint64_t number = n_segment_pages(tree->super) + leaf->index;

	leaf->has_crc = (ref.flags & ~PAGE_SLOT) == PAGE_PRESENT;
	leaf->crc = ref.crc;
	if (tree->medium->read(tree->medium, &leaf->raw, sizeof(leaf->raw),
			       tree->super->map_off[ref.flags & PAGE_SLOT] +
				       number * BLOCK_SIZE) != 0)
		memset(&leaf->raw, 0, sizeof(leaf->raw));
}

static int survey_lose(struct repair *repair, uint64_t index,
		       const struct page *raw, enum trust trust, bool is_sure)
{
	struct leaf_lost **slot = &repair->leaves[repair->n_leaves], *leaf;
	struct tree *tree = &repair->engine.map.tree;
	uint64_t number = n_segment_pages(tree->super) + index;

	*slot = calloc(1, sizeof(**slot));
	leaf = *slot;
	if (leaf == NULL)
		return -ENOMEM;
	repair->n_leaves++;
	if (repair->options.accept_stale)
		leaf->whole = calloc(PAGE_ENTRIES, sizeof(*leaf->whole));
	if (repair->options.accept_stale && leaf->whole == NULL)
		return -ENOMEM;
	leaf->index = index;
	leaf->has_hints = raw != NULL;
	leaf->is_sure = is_sure;
	if (trust == TRUST_SURE)
		survey_keep(repair, leaf, tree->levels[0].refs[number]);
	if (raw != NULL)
		memcpy(leaf->hints, raw->entries, sizeof(leaf->hints));
	return 0;
}

static void survey_count(struct repair *repair, const struct page *page,
			 uint64_t index)
{
	struct map *map = &repair->engine.map;
	uint64_t left =
		repair->engine.super.size / BLOCK_SIZE - index * PAGE_ENTRIES;

	for (uint32_t i = 0; i < PAGE_ENTRIES && i < left; i++) {
		uint64_t entry = page->entries[i], segment;

		map->n_zero += entry_state(entry) == BLOCK_ZERO;
		map->n_bad += entry_state(entry) == BLOCK_BAD;
		map->n_raw += entry_is_raw(entry);
		if (entry_state(entry) != BLOCK_DATA)
			continue;
		map->n_mapped++;
		segment = segment_of(&repair->engine.super, entry_off(entry));
		repair->uses[segment].live_blocks++;
		repair->uses[segment].live_bytes += entry_share(entry);
	}
}

static bool survey_is_sane(const struct super *super, const struct page *page)
{
	for (uint32_t i = 0; i < PAGE_ENTRIES; i++)
		if (!map_entry_is_sane(super, page->entries[i]))
			return false;
	return true;
}

static int survey_leaf_page(struct repair *repair, uint64_t index,
			    uint8_t trust)
{
	const struct super *super = &repair->engine.super;
	const struct tree *tree = &repair->engine.map.tree;
	uint64_t number = n_segment_pages(super) + index;
	struct page_ref ref = tree->levels[0].refs[number];
	struct page page = { 0 };
	bool is_good, has_raw;

	if (trust == TRUST_SURE && !(ref.flags & PAGE_PRESENT))
		return 0;
	is_good = tree_read(tree, 0, number, ref, &page) == 0 &&
		  survey_is_sane(super, &page);
	if (is_good && trust == TRUST_SURE) {
		survey_count(repair, &page, index);
		return 0;
	}
	has_raw = trust != TRUST_NONE &&
		  (is_good ||
		   (ref.flags & PAGE_PRESENT &&
		    survey_page(tree, number, ref.flags & PAGE_SLOT, &page)));
	if (!is_good) {
		repair->n_pages_lost++;
		repair->n_leaves_lost++;
	}
	/* what is whole, but not the one referred to, is another version */
	return survey_lose(repair, index, has_raw ? &page : NULL, trust,
			   has_raw && trust == TRUST_SURE &&
				   !survey_is_whole(tree, &page, number));
}

/* How many there may be: room for the list. */
static uint64_t survey_room(const struct repair *repair, const uint8_t *trusts)
{
	uint64_t n = 1;

	for (uint64_t i = 0; i < repair->engine.map.tree.levels[0].n; i++)
		n += trusts[i] != TRUST_SURE ||
		     repair->engine.map.tree.levels[0].refs[i].flags != 0;
	return n;
}

/* Segments as pages that are good have them; the table is written anew. */
static void survey_fill_space(struct repair *repair)
{
	struct space *space = &repair->engine.map.space;
	uint32_t n = repair->engine.super.n_segments;
	struct page page;

	for (uint64_t i = 0; i < n_segment_pages(&repair->engine.super); i++) {
		uint64_t first = i * PAGE_SEGMENTS;
		uint64_t left = n - first;

		memcpy(page.entries, repair->uses + first,
		       (left < PAGE_SEGMENTS ? left : PAGE_SEGMENTS) *
			       sizeof(*repair->uses));
		space_load(space, i, &page);
		space->is_dirty[i] = true;
	}
}

/* Does the table say what the pages do? Only if all of them are good. */
static void survey_compare(struct repair *repair)
{
	const struct super *super = &repair->engine.super;
	const struct map *map = &repair->engine.map;
	bool is_known = true;

	repair->n_unexplained = 0;
	for (uint32_t i = 0; i < super->n_segments; i++) {
		bool is_wrong =
			repair->is_known[i] && repair->n_leaves == 0 &&
			repair->residual[i] != repair->uses[i].live_blocks;

		repair->n_segments_wrong += is_wrong;
		repair->residual[i] -= repair->uses[i].live_blocks;
		repair->n_unexplained += repair->residual[i];
		is_known = is_known && repair->is_known[i];
	}
	if (repair->n_leaves == 0 && !repair->is_root_lost)
		repair->is_count_wrong = super->n_mapped != map->n_mapped ||
					 super->n_zero != map->n_zero ||
					 super->n_bad != map->n_bad ||
					 super->n_raw != map->n_raw;
	if (!is_known)
		repair->n_unexplained =
			repair->is_root_lost ?
				INT64_MAX :
				(int64_t)(super->n_mapped - map->n_mapped);
}

static int survey_lowest(struct repair *repair, const uint8_t *trusts)
{
	const struct super *super = &repair->engine.super;
	uint64_t n_table = n_segment_pages(super);
	int error = 0;

	repair->leaves =
		calloc(survey_room(repair, trusts), sizeof(struct leaf_lost *));
	if (repair->leaves == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < n_table; i++)
		survey_table_page(repair, i, trusts[i]);
	for (uint64_t i = 0; error == 0 && i < n_leaves(super); i++)
		error = survey_leaf_page(repair, i, trusts[n_table + i]);
	return error;
}

int survey_map(struct repair *repair)
{
	struct engine *engine = &repair->engine;
	uint32_t n = engine->super.n_segments;
	uint8_t *trusts;
	int error;

	repair->uses = calloc(n, sizeof(*repair->uses));
	repair->residual = calloc(n, sizeof(*repair->residual));
	repair->is_known = calloc(n, sizeof(*repair->is_known));
	if (repair->uses == NULL || repair->residual == NULL ||
	    repair->is_known == NULL)
		return -ENOMEM;
	engine->map.n_mapped = 0;
	engine->map.n_zero = 0;
	engine->map.n_bad = 0;
	engine->map.n_raw = 0;
	if (repair->is_root_lost)
		survey_root(repair);
	trusts = survey_tree(repair);
	if (trusts == NULL)
		return -ENOMEM;
	error = survey_lowest(repair, trusts);
	free(trusts);
	if (error != 0)
		return error;
	survey_fill_space(repair);
	survey_compare(repair);
	if (repair->is_root_lost)
		survey_position(repair);
	engine->map.applied = engine->super.position;
	return 0;
}
