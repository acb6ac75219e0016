/* SPDX-License-Identifier: MIT */
/*
 * prove - pages of the map that are damaged, but whose checksum is known.
 *
 * A disk loses sectors, and bits flip. One bit is found by the checksum alone.
 * Else there are, for each sector of the page, versions of its entries: what is
 * there; the same, but where no such record is, what the log says; and all that
 * the log says. Those which together have the checksum that the page is
 * referred to with are what was written, if no segment has more live blocks by
 * that than it is known to have.
 *
 * Few are tried, so that none is taken by chance.
 */
#include <string.h>

#include "crc.h"
#include "repair.h"

#define SECTOR_ENTRIES 64U
#define N_SECTORS (BLOCK_SIZE / 512)
/* The page's header takes the room of so many entries. */
#define HEAD_ENTRIES (SECTOR_ENTRIES * N_SECTORS - PAGE_ENTRIES)
#define TRIALS_MAX 4096U
/* crc32c, reflected */
#define POLYNOMIAL 0x82f63b78U

enum version { VERSION_THERE, VERSION_MIXED, VERSION_LOG, N_VERSIONS };

/* A page that is sought. */
struct proof {
	struct repair *repair;
	const struct leaf_lost *leaf;
	uint64_t mixed[PAGE_ENTRIES];
	enum version versions[N_SECTORS];
	bool has[N_SECTORS][N_VERSIONS]; /* and it is another one */
	uint32_t n_trials;
	struct page page;
};

static bool prove_is_valid(const struct proof *proof)
{
	return page_is_valid(&proof->page, &proof->repair->engine.super,
			     proof->page.number, proof->leaf->crc);
}

/* --- one bit ----------------------------------------------------------------
 */

/*
 * What a bit that is flipped does to the checksum depends on its place only:
 * that of a bit is that of the next one with one more step.
 */
static bool prove_bit(struct proof *proof)
{
	unsigned char *bytes = (unsigned char *)&proof->page;
	struct page page = proof->page;
	uint32_t state = 1, wanted;

	page.crc = 0;
	wanted = crc_update(0, &page, sizeof(page)) ^ proof->leaf->crc;
	for (uint32_t i = sizeof(page) * 8; i-- > 0;) {
		state = state >> 1 ^ (state & 1 ? POLYNOMIAL : 0);
		if (state != wanted)
			continue;
		bytes[i / 8] ^= (unsigned char)(1U << i % 8);
		if (prove_is_valid(proof))
			return true;
		bytes[i / 8] ^= (unsigned char)(1U << i % 8);
	}
	return false;
}

/* --- sectors ----------------------------------------------------------------
 */

static uint32_t prove_sector(uint32_t i)
{
	return (i + HEAD_ENTRIES) / SECTOR_ENTRIES;
}

static bool is_no_record(uint64_t entry)
{
	return entry == 0 || entry == ENTRY_ZERO || entry == ENTRY_BAD;
}

static void prove_compare(struct proof *proof)
{
	const struct leaf_lost *leaf = proof->leaf;

	for (uint32_t i = 0; i < PAGE_ENTRIES; i++) {
		uint64_t there = leaf->raw.entries[i];
		uint64_t found = leaf->found[i].entry;
		uint64_t lba = leaf->index * PAGE_ENTRIES + i;
		bool *has = proof->has[prove_sector(i)];

		proof->mixed[i] = there;
		if (there == found)
			continue;
		has[VERSION_LOG] = true;
		if (is_no_record(there) ||
		    rebuild_has_record(proof->repair, lba, there))
			continue;
		has[VERSION_MIXED] = true;
		proof->mixed[i] = found;
	}
}

static uint64_t prove_entry(const struct proof *proof, uint32_t i)
{
	switch (proof->versions[prove_sector(i)]) {
	case VERSION_THERE:
		return proof->leaf->raw.entries[i];
	case VERSION_MIXED:
		return proof->mixed[i];
	default:
		return proof->leaf->found[i].entry;
	}
}

/* The next choice of versions; false: there is none. */
static bool prove_next(struct proof *proof)
{
	for (uint32_t i = 0; i < N_SECTORS; i++) {
		while (++proof->versions[i] < N_VERSIONS)
			if (proof->has[i][proof->versions[i]])
				return true;
		proof->versions[i] = VERSION_THERE;
	}
	return false;
}

static bool prove_sectors(struct proof *proof)
{
	do {
		for (uint32_t i = 0; i < PAGE_ENTRIES; i++)
			proof->page.entries[i] = prove_entry(proof, i);
		if (prove_is_valid(proof))
			return true;
	} while (prove_next(proof) && ++proof->n_trials < TRIALS_MAX);
	return false;
}

/* The generation is all that is not known of the header. */
static bool prove_generations(struct proof *proof)
{
	uint64_t last = proof->repair->engine.super.generation;

	if (prove_sectors(proof))
		return true;
	for (uint64_t i = 0; i < N_GENERATIONS && i < last; i++) {
		memset(proof->versions, 0, sizeof(proof->versions));
		proof->page.generation = last - i;
		if (prove_sectors(proof))
			return true;
	}
	return false;
}

/* --- does it fit? -----------------------------------------------------------
 */

static bool prove_is_sane(const struct proof *proof)
{
	const struct super *super = &proof->repair->engine.super;
	uint64_t left =
		super->size / BLOCK_SIZE - proof->leaf->index * PAGE_ENTRIES;

	for (uint32_t i = 0; i < PAGE_ENTRIES; i++)
		if (!map_entry_is_sane(super, proof->page.entries[i]) ||
		    (i >= left && proof->page.entries[i] != 0))
			return false;
	return true;
}

/* Are so many live blocks missing where this page has some? */
static bool prove_fits(struct proof *proof)
{
	struct repair *repair = proof->repair;
	bool does_fit = true;

	memset(repair->open, 0,
	       repair->engine.super.n_segments * sizeof(*repair->open));
	for (uint32_t i = 0; i < PAGE_ENTRIES; i++) {
		uint64_t entry = proof->page.entries[i], segment;

		if (entry_state(entry) != BLOCK_DATA)
			continue;
		segment = segment_of(&repair->engine.super, entry_off(entry));
		if (repair->is_known[segment] &&
		    ++repair->open[segment] > repair->residual[segment])
			does_fit = false;
	}
	return does_fit;
}

bool prove_leaf(struct repair *repair, struct leaf_lost *leaf)
{
	const struct super *super = &repair->engine.super;
	struct proof proof = { .repair = repair,
			       .leaf = leaf,
			       .page = leaf->raw };

	if (!leaf->has_crc)
		return false;
	proof.page.magic = PAGE_MAGIC;
	proof.page.crc = leaf->crc;
	proof.page.nonce = super->nonce;
	proof.page.number = n_segment_pages(super) + leaf->index;
	if (!prove_bit(&proof)) {
		prove_compare(&proof);
		if (!prove_generations(&proof))
			return false;
	}
	if (!prove_is_sane(&proof) || !prove_fits(&proof))
		return false;
	memcpy(leaf->hints, proof.page.entries, sizeof(leaf->hints));
	return true;
}
