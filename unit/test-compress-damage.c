/* SPDX-License-Identifier: MIT */
/*
 * test-compress-damage - compressed volumes with flipped bits, lost blocks and
 * lost superblocks.
 *
 * What is damaged is either refused, or every block reads as it was last
 * written, or as an error. After a repair every block reads right whose record
 * is whole, the others are errors, and a check finds nothing. Where such a
 * block was given up because it might be an old one, --accept-stale brings it
 * back.
 *
 * COMPRESS_FLIPS=N how many media are damaged, COMPRESS_SEED=N where to begin:
 * a failure names its seed. For many, make
 * build/unit/plain/test-compress-damage is without the sanitizers, but faster.
 *
 * For tests of the commands, which need volumes with something on them:
 * "image KIND FILE" makes one and prints where its structures are; "overlap
 * KIND FILE" does, too, but two of its blocks are in the same place; "read KIND
 * FILE" tells how many blocks of it are right, errors and wrong.
 */
#include "base.h"
#include "drivers/compress/check.h"
#include "drivers/compress/rooms.h"
#include "tap.h"

#define MAX_DAMAGES 12
#define MAX_NOTES 64
#define READ_BLOCKS 32U

/* Bytes that were changed. */
struct damage {
	uint64_t off;
	uint64_t len;
};

struct trial {
	struct base *base;
	uint64_t seed;
	uint64_t random;
	struct damage damages[MAX_NOTES];
	unsigned int n_damages;
	bool has_lost; /* a repair of it gave up blocks, and said so */
	bool accept_stale;
};

static struct totals {
	uint64_t n_refused;
	uint64_t n_errors;
	uint64_t n_lost;
	uint64_t n_empty_lost;
	uint64_t n_intact_lost;
	uint64_t n_accepted;
	uint64_t n_stale;
	uint64_t n_unproven;
	uint64_t n_rebuilt;
	uint64_t n_compared;
	uint64_t n_cut;
} totals;

/* --- damage -----------------------------------------------------------------
 */

static void damage_note(struct trial *trial, uint64_t off, uint64_t len)
{
	if (trial->n_damages < MAX_NOTES)
		trial->damages[trial->n_damages++] =
			(struct damage){ off, len };
}

static void damage_flip(struct trial *trial, uint64_t off, unsigned int bit)
{
	trial->base->memory.bytes[off] ^= (unsigned char)(1U << bit);
	damage_note(trial, off, 1);
}

/* A sector that cannot be told any more. */
static void damage_sector(struct trial *trial, uint64_t off)
{
	unsigned char *bytes = trial->base->memory.bytes + off / 512 * 512;
	bool is_zeroed = pick(&trial->random, 2);

	for (int i = 0; i < 512; i++)
		bytes[i] =
			is_zeroed ?
				0 :
				(unsigned char)content_random(&trial->random);
	damage_note(trial, off / 512 * 512, 512);
}

/* Anywhere, or where something is. */
static uint64_t damage_place(struct trial *trial)
{
	const struct base *base = trial->base;
	const struct range *place;
	uint64_t entry;

	switch (pick(&trial->random, 4)) {
	case 0:
		return pick(&trial->random, base->super.medium_size);
	case 1:
		entry = base->entries[pick(&trial->random, base->n_blocks)];
		if (entry_state(entry) == BLOCK_DATA)
			return entry_off(entry) +
			       pick(&trial->random, entry_len(entry));
		/* fall through */
	default:
		place = &base->places[pick(&trial->random, base->n_places)];
		return place->lba + pick(&trial->random, place->n);
	}
}

static void trial_damage(struct trial *trial)
{
	uint64_t n = 1 + (pick(&trial->random, 3) == 0 ?
				  pick(&trial->random, MAX_DAMAGES - 1) :
				  0);
	bool has_sectors = pick(&trial->random, 4) == 0;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t off = damage_place(trial);

		if (has_sectors)
			damage_sector(trial, off);
		else
			damage_flip(trial, off,
				    (unsigned int)pick(&trial->random, 8));
	}
}

static void trial_undo(struct trial *trial)
{
	struct memory *memory = &trial->base->memory;

	for (uint32_t i = 0; i < memory->n_ops; i++)
		memcpy(memory->bytes + memory->ops[i].off,
		       trial->base->whole + memory->ops[i].off,
		       memory->ops[i].len);
	for (unsigned int i = 0; i < trial->n_damages; i++)
		memcpy(memory->bytes + trial->damages[i].off,
		       trial->base->whole + trial->damages[i].off,
		       trial->damages[i].len);
	memory_forget(memory);
	memory->is_recording = false;
}

static bool is_hit(const struct trial *trial, uint64_t off, uint64_t len)
{
	for (unsigned int i = 0; i < trial->n_damages; i++) {
		const struct damage *damage = &trial->damages[i];

		if (damage->off < off + len && off < damage->off + damage->len)
			return true;
	}
	return false;
}

static bool is_hit_block(const struct trial *trial, uint64_t lba)
{
	uint64_t entry = trial->base->entries[lba];

	return entry_state(entry) == BLOCK_DATA &&
	       is_hit(trial, entry_off(entry), entry_len(entry));
}

/* --- what is read -----------------------------------------------------------
 */

static bool trial_wrong(const struct trial *trial, const char *when,
			const char *what, uint64_t lba)
{
	printf("# %s, seed %llu, %s: block %llu %s; damage at",
	       trial->base->name, (unsigned long long)trial->seed, when,
	       (unsigned long long)lba, what);
	for (unsigned int i = 0; i < trial->n_damages; i++)
		printf(" %llu+%llu", (unsigned long long)trial->damages[i].off,
		       (unsigned long long)trial->damages[i].len);
	printf("\n");
	return false;
}

/* The last blocks prove others: of them, any version may be there. */
static bool is_compared(const struct base *base, uint64_t lba)
{
	return lba != base->n_used;
}

/* Of a damaged medium, can anything but the block's own record be to blame? */
static bool may_give_up(const struct trial *trial, const struct repair *repair)
{
	const struct base *base = trial->base;

	/* records that are whole may be older ones then */
	if (repair->is_stale)
		return true;
	if (trial->n_damages == 1 && trial->damages[0].len == 1)
		return false;
	for (int i = 0; i < 2; i++)
		if (is_hit(trial, base->super.map_off[i], base->map_size))
			return true;
	return false;
}

/* With one of them, all that may be old is known, and can be had. */
static bool has_super(const struct trial *trial)
{
	return !is_hit(trial, 0, SUPER_SIZE) ||
	       !is_hit(trial, BLOCK_SIZE, SUPER_SIZE);
}

/* A block that cannot be read. @repair: NULL, or what it said. */
static bool trial_error(const struct trial *trial, const struct repair *repair,
			const char *when, uint64_t lba)
{
	if (trial->base->versions[lba] == VERSION_LOST)
		return true;
	if (repair == NULL) {
		totals.n_errors++;
		return true;
	}
	totals.n_lost++;
	if (is_hit_block(trial, lba))
		return true;
	if (entry_state(trial->base->entries[lba]) == BLOCK_DATA) {
		totals.n_intact_lost++;
		if (getenv("COMPRESS_VERBOSE") != NULL)
			trial_wrong(trial, when, "is lost, but whole", lba);
		if (trial->accept_stale && has_super(trial))
			return trial_wrong(trial, when, "is lost for good",
					   lba);
	} else {
		/* only the map knew that there was nothing */
		totals.n_empty_lost++;
	}
	return (trial->has_lost && may_give_up(trial, repair)) ||
	       trial_wrong(trial, when, "is lost", lba);
}

/* An old version may be there, but nothing else. */
static bool is_old(const void *block, uint64_t lba)
{
	uint64_t version = content_version(block);

	return content_is(block, lba, version);
}

/* Some blocks, at once if that can be. */
static bool trial_read(const struct trial *trial, struct engine *engine,
		       const struct repair *repair, const char *when,
		       uint64_t lba, uint32_t n)
{
	const struct base *base = trial->base;
	int error = engine_read(engine, 0, buffer, n * CONTENT_BYTES,
				lba * CONTENT_BYTES);
	bool is_good = true;

	if (error != 0 && n > 1) {
		for (uint32_t i = 0; is_good && i < n; i++)
			is_good = trial_read(trial, engine, repair, when,
					     lba + i, 1);
		return is_good;
	}
	totals.n_compared += n;
	if (error == -EIO)
		return !is_compared(base, lba) ||
		       trial_error(trial, repair, when, lba);
	if (error != 0)
		return trial_wrong(trial, when, strerror(-error), lba);
	for (uint32_t i = 0; i < n; i++, lba++) {
		const unsigned char *block = buffer + (size_t)i * CONTENT_BYTES;
		uint64_t version = base->versions[lba];

		if (!is_compared(base, lba) || trial->accept_stale ||
				    (repair != NULL && repair->is_stale) ?
			    is_old(block, lba) :
			    version != VERSION_LOST &&
				    content_is(block, lba, version))
			continue;
		return trial_wrong(trial, when, "is wrong", lba);
	}
	return true;
}

/* Compare each block. @repair: NULL, or what it said. */
static bool trial_reads(const struct trial *trial, struct engine *engine,
			const struct repair *repair, const char *when)
{
	const struct base *base = trial->base;

	for (uint64_t lba = 0; lba < base->n_blocks; lba += READ_BLOCKS) {
		uint64_t left = base->n_blocks - lba;

		if (!trial_read(trial, engine, repair, when, lba,
				left < READ_BLOCKS ? (uint32_t)left :
						     READ_BLOCKS))
			return false;
	}
	return true;
}

static bool trial_opens(const struct trial *trial)
{
	struct engine engine;
	int error = engine_open(&engine, &trial->base->memory.medium,
				&options_read);
	bool is_good;

	if (error != 0) {
		totals.n_refused++;
		return engine.reason != NULL ||
		       trial_wrong(trial, "open", "refused, but why?", 0);
	}
	is_good = trial_reads(trial, &engine, NULL, "before");
	engine_close(&engine);
	return is_good;
}

/* --- repair -----------------------------------------------------------------
 */

static int trial_find_out(const struct trial *trial, struct repair *repair)
{
	struct repair_options how = { .map_cache = 1,
				      .accept_stale = trial->accept_stale };
	struct check check = { 0 };
	int error = repair_prepare(repair, &trial->base->memory.medium, &how);

	if (error != 0)
		return error;
	error = check_volume(&repair->engine, true, &check);
	if (error == 0)
		error = repair_lose(repair, &check.lost);
	ranges_free(&check.lost);
	if (error != 0)
		repair_free(repair);
	return error;
}

static bool trial_is_clean(const struct trial *trial)
{
	struct repair repair;
	struct check check = { 0 };
	struct repair_options how = { 0 };
	int error = repair_prepare(&repair, &trial->base->memory.medium, &how);
	bool is_clean;

	if (error != 0)
		return trial_wrong(trial, "second check", repair.reason, 0);
	error = check_volume(&repair.engine, true, &check);
	is_clean = error == 0 && check_is_clean(&check) &&
		   !repair_is_needed(&repair);
	ranges_free(&check.lost);
	repair_free(&repair);
	return is_clean || trial_wrong(trial, "second check", "finds more", 0);
}

/* What was repaired opens, reads right and is clean. */
static bool trial_repaired(const struct trial *trial, struct repair *repair)
{
	struct engine engine;
	bool is_good;
	int error;

	if (!trial_is_clean(trial))
		return false;
	error = engine_open(&engine, &trial->base->memory.medium,
			    repair->is_stale ? &options_read : &options);
	if (error != 0)
		return trial_wrong(trial, "open again", engine.reason, 0);
	totals.n_stale += repair->is_stale;
	is_good = trial_reads(trial, &engine, repair, "after");
	engine_abandon(&engine);
	return is_good;
}

static bool trial_repairs(struct trial *trial)
{
	struct memory *memory = &trial->base->memory;
	struct repair repair;
	int error = trial_find_out(trial, &repair);
	bool is_good;

	if ((error == -EBADMSG || error == -ENOENT) &&
	    is_hit(trial, 0, SUPER_SIZE) &&
	    is_hit(trial, BLOCK_SIZE, SUPER_SIZE) &&
	    is_hit(trial, trial->base->super.medium_size - BLOCK_SIZE,
		   SUPER_SIZE))
		return true;
	if (error != 0)
		return trial_wrong(trial, "repair",
				   repair.reason != NULL ? repair.reason : "",
				   (uint64_t)-error);
	totals.n_rebuilt += repair.n_leaves > 0;
	totals.n_unproven += repair.n_unproven;
	if (repair.lost.n_blocks > 0)
		trial->has_lost = true;
	memory->is_recording = true;
	error = repair_is_needed(&repair) ? repair_commit(&repair) : 0;
	is_good = error == 0 && trial_repaired(trial, &repair);
	repair_free(&repair);
	return is_good;
}

/* --- a crash in the middle of a repair --------------------------------------
 */

/* A medium as it is when only some of what a repair wrote is there. */
static void cut_apply(struct trial *trial, const struct memory_op *ops,
		      uint32_t n, uint32_t torn)
{
	unsigned char *bytes = trial->base->memory.bytes;

	for (uint32_t i = 0; i < n; i++)
		if (ops[i].len > 0)
			memcpy(bytes + ops[i].off, ops[i].data,
			       i == n - 1 && torn < ops[i].len ? torn :
								 ops[i].len);
}

/* Everything is as it was before the repair. */
static void cut_undo(struct trial *trial, const unsigned char *damaged,
		     const struct memory_op *ops, uint32_t n)
{
	struct memory *memory = &trial->base->memory;

	for (uint32_t i = 0; i < memory->n_ops; i++)
		memcpy(memory->bytes + memory->ops[i].off,
		       damaged + memory->ops[i].off, memory->ops[i].len);
	memory_forget(memory);
	for (uint32_t i = 0; i < n; i++)
		memcpy(memory->bytes + ops[i].off, damaged + ops[i].off,
		       ops[i].len);
}

/* What was begun is finished by another repair, as well as by the first. */
static bool trial_cuts(struct trial *trial, unsigned char *damaged)
{
	struct memory *memory = &trial->base->memory;
	struct memory_op *ops;
	uint32_t n;
	bool is_good;

	memcpy(damaged, memory->bytes, memory->medium.size);
	is_good = trial_repairs(trial);
	ops = memory->ops;
	n = memory->n_ops;
	memory->ops = NULL;
	memory->n_ops = memory->room = 0;
	cut_undo(trial, damaged, ops, n);
	for (uint32_t i = 0; is_good && i < 2 * n; i++) {
		memory->is_recording = false;
		cut_apply(trial, ops, i / 2 + 1, i & 1 ? UINT32_MAX : 512);
		is_good = trial_repairs(trial);
		cut_undo(trial, damaged, ops, n);
		totals.n_cut++;
	}
	memcpy(memory->bytes, damaged, memory->medium.size);
	for (uint32_t i = 0; i < n; i++)
		free(ops[i].data);
	free(ops);
	return is_good;
}

/* --- tests ------------------------------------------------------------------
 */

/* What a repair gave up because it might be old is had if that is accepted. */
static bool trial_accepts(struct base *base, uint64_t seed)
{
	struct trial trial = {
		.base = base, .seed = seed, .random = seed, .accept_stale = true
	};
	struct totals before = totals;
	bool is_good;

	trial_damage(&trial);
	is_good = trial_repairs(&trial);
	trial_undo(&trial);
	totals = before;
	totals.n_accepted++;
	return is_good;
}

static bool trial_run(struct base *base, uint64_t seed)
{
	struct trial trial = { .base = base, .seed = seed, .random = seed };
	uint64_t n_given_up = totals.n_intact_lost;
	bool is_good;

	trial_damage(&trial);
	is_good = trial_opens(&trial) && trial_repairs(&trial);
	trial_undo(&trial);
	if (is_good && totals.n_intact_lost > n_given_up)
		is_good = trial_accepts(base, seed);
	return is_good;
}

static void test_random(uint64_t n, uint64_t seed)
{
	uint64_t per_base =
		n < 500 * N_KINDS ? (n + N_KINDS - 1) / N_KINDS : 500;
	uint64_t done = 0;

	for (uint64_t i = 0; done < n; i++) {
		struct base base;
		bool is_good = base_make(&base, &kinds[i % N_KINDS], seed);
		uint64_t j;

		for (j = 0; is_good && j < per_base; j++)
			is_good = trial_run(&base, seed * 1000003 + j);
		ok(is_good, "%s, seed %llu: %llu damaged media", base.name,
		   (unsigned long long)seed, (unsigned long long)j);
		done += per_base;
		seed++;
		base_free(&base);
	}
}

static void test_cuts(uint64_t seed, const struct kind *kind, uint64_t n)
{
	struct base base;
	bool is_good = base_make(&base, kind, seed);
	unsigned char *damaged = malloc(kind->medium_size);
	uint64_t n_cut = totals.n_cut;

	for (uint64_t i = 0; is_good && i < n; i++) {
		struct trial trial = { .base = &base,
				       .seed = i,
				       .random = seed * 7919 + i };

		trial_damage(&trial);
		is_good = trial_cuts(&trial, damaged);
		trial_undo(&trial);
	}
	ok(is_good, "%s: repairs cut off in the middle, %llu times", base.name,
	   (unsigned long long)(totals.n_cut - n_cut));
	free(damaged);
	base_free(&base);
}

/* Each write of a repair fails: that is told, and nothing gets worse. */
static void test_failures(uint64_t seed)
{
	struct base base;
	bool is_good = base_make(&base, &kinds[0], seed), has_failed = true;
	struct memory *memory = &base.memory;
	struct trial trial = { .base = &base };
	int n;

	for (n = 0; is_good && has_failed; n++) {
		struct repair repair;

		memset(memory->bytes, 0, BLOCK_SIZE);
		damage_note(&trial, 0, BLOCK_SIZE);
		is_good = trial_find_out(&trial, &repair) == 0;
		if (!is_good)
			break;
		memory->is_recording = true;
		memory->fail_after = n;
		has_failed = repair_commit(&repair) != 0;
		memory->fail_after = -1;
		repair_free(&repair);
		is_good = trial_repairs(&trial);
		trial_undo(&trial);
		trial.n_damages = 0;
	}
	ok(is_good && n > 5, "each of %d writes and syncs of a repair fails",
	   n - 1);
	base_free(&base);
}

/* Each bit of each superblock. */
static void test_supers(uint64_t seed)
{
	struct base base;
	bool is_good = base_make(&base, &kinds[1], seed);
	uint64_t offs[] = { 0, BLOCK_SIZE,
			    base.super.medium_size - BLOCK_SIZE };

	base.n_blocks = READ_BLOCKS;
	for (int i = 0; i < 3; i++) {
		for (uint32_t j = 0; is_good && j < SUPER_SIZE * 8; j++) {
			struct trial trial = { .base = &base, .seed = j };

			damage_flip(&trial, offs[i] + j / 8, j % 8);
			is_good = trial_opens(&trial) &&
				  (j % 16 != 0 || trial_repairs(&trial));
			trial_undo(&trial);
		}
		ok(is_good, "superblock %c: each bit", "ABC"[i]);
	}
	base_free(&base);
}

/* Pages of the map that the superblock at the end does not know. */
static void base_lose_newest(struct base *base)
{
	const struct super *last =
		(const void *)(base->memory.bytes + base->super.medium_size -
			       BLOCK_SIZE);

	for (unsigned int slot = 0; slot < 2; slot++) {
		unsigned char *bytes =
			base->memory.bytes + base->super.map_off[slot];

		for (uint64_t i = 0; i < base->map_size; i += BLOCK_SIZE) {
			struct page *page = (struct page *)(bytes + i);

			if (page->generation > last->generation)
				memset(page, 0, BLOCK_SIZE);
		}
	}
}

/* What is left is as old as the last clean end, and looks whole. */
static void test_newest(void)
{
	struct base base;
	/* of this one, there is one checkpoint after that */
	bool is_good = base_make(&base, &kinds[1], 1111);
	struct trial trial = { .base = &base };

	memset(base.memory.bytes, 0x5a, 2 * BLOCK_SIZE);
	base_lose_newest(&base);
	damage_note(&trial, 0, 2 * BLOCK_SIZE);
	damage_note(&trial, base.super.map_off[0], base.map_size);
	damage_note(&trial, base.super.map_off[1], base.map_size);
	ok(is_good && trial_repairs(&trial),
	   "superblocks A and B, and all pages that are newer than C");
	trial_undo(&trial);
	base_free(&base);
}

/* The pages of the newest checkpoint, a byte of each. */
static void base_spoil_newest(struct base *base)
{
	for (unsigned int slot = 0; slot < 2; slot++) {
		unsigned char *bytes =
			base->memory.bytes + base->super.map_off[slot];

		for (uint64_t i = 0; i < base->map_size; i += BLOCK_SIZE) {
			struct page *page = (struct page *)(bytes + i);

			if (page->generation == base->super.generation)
				bytes[i + BLOCK_SIZE - 1] ^= 1;
		}
	}
}

/* Those before look whole, but are not the newest. */
static void test_spoilt(void)
{
	struct base base;
	bool is_good = true;

	for (uint64_t seed = 0; is_good && seed < 20; seed++) {
		struct trial trial = { .base = &base, .seed = seed };

		is_good = base_make(&base, &kinds[seed % N_KINDS], seed + 1);
		memset(base.memory.bytes, 0x5a, 2 * BLOCK_SIZE);
		base_spoil_newest(&base);
		damage_note(&trial, 0, 2 * BLOCK_SIZE);
		damage_note(&trial, base.super.map_off[0], base.map_size);
		damage_note(&trial, base.super.map_off[1], base.map_size);
		is_good = is_good && trial_repairs(&trial);
		trial_undo(&trial);
		base_free(&base);
	}
	ok(is_good, "superblocks A and B, and a byte of each newest page");
}

/* A page of the map, in one slot or both. */
static bool trial_lose_page(struct base *base, uint64_t page, uint32_t slots)
{
	struct trial trial = { .base = base, .seed = page };
	bool is_good;

	for (unsigned int slot = 0; slot < 2; slot++) {
		uint64_t off = base->super.map_off[slot] + page * BLOCK_SIZE;

		if (!(slots & 1U << slot))
			continue;
		memset(base->memory.bytes + off, 0, BLOCK_SIZE);
		damage_note(&trial, off, BLOCK_SIZE);
	}
	is_good = trial_opens(&trial) && trial_repairs(&trial);
	trial_undo(&trial);
	return is_good;
}

/* Both superblocks, or whole blocks of the map. */
static void test_blocks(uint64_t seed, const struct kind *kind)
{
	struct base base;
	bool is_good = base_make(&base, kind, seed);
	uint64_t n_pages = map_pages(base.super.size, base.super.n_segments);
	uint64_t stale = totals.n_stale, intact = totals.n_intact_lost;
	struct trial trial = { .base = &base };

	memset(base.memory.bytes, 0x5a, 2 * BLOCK_SIZE);
	damage_note(&trial, 0, 2 * BLOCK_SIZE);
	is_good = is_good && trial_repairs(&trial);
	trial_undo(&trial);
	ok(is_good && totals.n_stale == stale && totals.n_intact_lost == intact,
	   "%s: superblocks A and B: nothing is lost", base.name);
	for (uint64_t i = 0; is_good && i < 3 * n_pages && i < 96; i++)
		is_good = trial_lose_page(&base, n_pages - 1 - i / 3,
					  (uint32_t)(1 + i % 3));
	ok(is_good, "%s: pages of the map, one by one", base.name);
	base_free(&base);
}

/*
 * A whole segment: where the log ended in it, nothing leads to what follows,
 * and open has to find that. The last one of all is missed by nobody.
 */
static void test_segments(uint64_t seed, const struct kind *kind)
{
	struct base base;
	bool is_good = base_make(&base, kind, seed);
	uint64_t last =
		segment_of(&base.super, entry_off(base.entries[base.n_used]));

	for (uint32_t i = 0; is_good && i < base.super.n_segments; i++) {
		struct trial trial = { .base = &base, .seed = i };
		uint64_t off = segment_off(&base.super, i);

		if (i == last)
			continue;
		memset(base.memory.bytes + off, 0, base.super.segment_size);
		damage_note(&trial, off, base.super.segment_size);
		is_good = trial_opens(&trial) && trial_repairs(&trial);
		trial_undo(&trial);
	}
	ok(is_good, "%s: each segment as a whole", base.name);
	base_free(&base);
}

/* The first batch that is replayed, and the head of the segment that follows.
 */
static void test_row(void)
{
	struct base base;
	bool is_good = true;

	for (uint64_t seed = 0; is_good && seed < 140; seed++) {
		struct trial trial = { .base = &base, .seed = seed };
		const struct position *at = &base.super.position;
		uint64_t off;

		is_good = base_make(&base, &kinds[seed % N_KINDS], seed + 1);
		off = segment_off(&base.super, at->segment);
		damage_flip(&trial, off + (at->off > 0 ? at->off : BLOCK_SIZE),
			    0);
		damage_flip(&trial, segment_off(&base.super, at->next), 0);
		is_good =
			is_good && trial_opens(&trial) && trial_repairs(&trial);
		trial_undo(&trial);
		base_free(&base);
	}
	ok(is_good, "the first batch behind a checkpoint, and the next head");
}

static bool is_batch(const unsigned char *bytes)
{
	uint32_t magic = BATCH_MAGIC;

	return memcmp(bytes, &magic, sizeof(magic)) == 0;
}

/* Every batch of a segment, but no record: all that follows is there. */
static void test_batches(uint64_t seed, const struct kind *kind)
{
	struct base base;
	bool is_good = base_make(&base, kind, seed);
	uint64_t last =
		segment_of(&base.super, entry_off(base.entries[base.n_used]));
	uint64_t lost = totals.n_lost, stale = totals.n_stale;

	for (uint32_t i = 0; is_good && i < base.super.n_segments; i++) {
		struct trial trial = { .base = &base, .seed = i };
		uint64_t off = segment_off(&base.super, i);

		if (i == last)
			continue;
		for (uint32_t at = BLOCK_SIZE; at < base.super.segment_size;
		     at += BLOCK_SIZE)
			if (is_batch(base.whole + off + at))
				damage_flip(&trial, off + at, 0);
		is_good = trial_opens(&trial) && trial_repairs(&trial);
		trial_undo(&trial);
	}
	ok(is_good && totals.n_lost == lost && totals.n_stale == stale,
	   "%s: each batch of a segment, one segment after the other",
	   base.name);
	base_free(&base);
}

static const struct kind *kind_find(const char *name)
{
	for (size_t i = 0; i < N_KINDS; i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

static int image_make(struct base *base, const char *path)
{
	const struct super *super = &base->super;
	uint64_t leaf = n_segment_pages(super);
	struct engine engine;
	struct page_ref ref;
	FILE *file = fopen(path, "wb");
	int status = 1;

	if (file == NULL ||
	    engine_open(&engine, &base->memory.medium, &options_read) != 0)
		return status;
	ref = engine.map.tree.levels[0].refs[leaf];
	printf("end=%llu root=%llu leaf=%llu other_leaf=%llu record=%llu "
	       "log=%llu\n",
	       (unsigned long long)(super->medium_size - BLOCK_SIZE),
	       (unsigned long long)(super->map_off[super->root.flags & 1] +
				    (map_pages(super->size, super->n_segments) -
				     1) * BLOCK_SIZE),
	       (unsigned long long)(super->map_off[ref.flags & 1] +
				    leaf * BLOCK_SIZE),
	       (unsigned long long)(super->map_off[!(ref.flags & 1)] +
				    leaf * BLOCK_SIZE),
	       (unsigned long long)entry_off(base->entries[base->n_used]),
	       (unsigned long long)(segment_off(super,
						super->position.segment) +
				    super->position.off));
	if (fwrite(base->whole, super->medium_size, 1, file) == 1)
		status = 0;
	fclose(file);
	engine_close(&engine);
	return status;
}

static int image_read(struct base *base, const char *path)
{
	uint64_t n_right = 0, n_errors = 0, n_wrong = 0;
	FILE *file = fopen(path, "rb");
	struct engine engine;

	if (file == NULL ||
	    fread(base->memory.bytes, base->memory.medium.size, 1, file) != 1)
		return 1;
	fclose(file);
	if (engine_open(&engine, &base->memory.medium, &options_read) != 0) {
		printf("refused: %s\n", engine.reason);
		return 0;
	}
	for (uint64_t lba = 0; lba < base->n_blocks; lba++)
		if (engine_read(&engine, 0, buffer, CONTENT_BYTES,
				lba * CONTENT_BYTES) != 0)
			n_errors++;
		else if (content_is(buffer, lba, base->versions[lba]))
			n_right++;
		else
			n_wrong++;
	engine_close(&engine);
	printf("%llu right, %llu errors, %llu wrong\n",
	       (unsigned long long)n_right, (unsigned long long)n_errors,
	       (unsigned long long)n_wrong);
	return 0;
}

/* A block of which the map says that it is within another one's record. */
static int image_overlap(struct base *base)
{
	uint64_t lba = base->n_used + 30, entry = base->entries[base->n_used];
	struct engine engine;
	int error = engine_open(&engine, &base->memory.medium, &options);

	if (error != 0)
		return error;
	error = map_pin(&engine.map, lba, MAP_NO_LIMIT);
	if (error == 0) {
		pthread_mutex_lock(&engine.map.lock);
		map_put(&engine.map, lba, entry + 1);
		pthread_mutex_unlock(&engine.map.lock);
		map_unpin(&engine.map, lba);
		error = engine_close(&engine);
	}
	memcpy(base->whole, base->memory.bytes, base->memory.medium.size);
	return error;
}

static int image(char **argv)
{
	const struct kind *kind = kind_find(argv[2]);
	struct base base;
	int status;

	if (kind == NULL || !base_make(&base, kind, 1))
		return 2;
	if (strcmp(argv[1], "overlap") == 0 && image_overlap(&base) != 0)
		return 2;
	status = strcmp(argv[1], "read") == 0 ? image_read(&base, argv[3]) :
						image_make(&base, argv[3]);
	base_free(&base);
	return status;
}

int main(int argc, char **argv)
{
	uint64_t seed = number("COMPRESS_SEED", 1);
	uint64_t n = number("COMPRESS_FLIPS", 1000);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 4)
		return image(argv);
	test_supers(seed);
	test_newest();
	test_spoilt();
	test_row();
	for (size_t i = 0; i < N_KINDS; i++)
		test_blocks(seed, &kinds[i]);
	for (size_t i = 0; i < N_KINDS; i++)
		test_segments(seed, &kinds[i]);
	test_batches(seed, &kinds[1]);
	for (size_t i = 0; i < N_KINDS; i++)
		test_cuts(seed, &kinds[i], n < 3000 ? n / 300 : 10);
	test_failures(seed);
	test_random(n, seed);
	printf("# %llu refused, %llu blocks errors before repair; then %llu "
	       "lost, %llu of them empty ones and %llu with a whole record, in "
	       "%llu media (%llu unproven), %llu repairs rebuilt pages, %llu "
	       "volumes marked stale, %llu blocks compared\n",
	       (unsigned long long)totals.n_refused,
	       (unsigned long long)totals.n_errors,
	       (unsigned long long)totals.n_lost,
	       (unsigned long long)totals.n_empty_lost,
	       (unsigned long long)totals.n_intact_lost,
	       (unsigned long long)totals.n_accepted,
	       (unsigned long long)totals.n_unproven,
	       (unsigned long long)totals.n_rebuilt,
	       (unsigned long long)totals.n_stale,
	       (unsigned long long)totals.n_compared);
	return tap_done();
}
