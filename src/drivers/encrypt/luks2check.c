/* SPDX-License-Identifier: MIT */
/*
 * encrypt/luks2check - what is wrong with a LUKS2 header, and repair of a copy.
 *
 * Only a copy that does not count is ever written; the other one is untouched.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "layout.h"
#include "luks2.h"
#include "msg.h"

/* As fsck(8). */
enum { CHECK_CLEAN = 0, CHECK_REPAIRED = 1, CHECK_ERRORS = 4, CHECK_NONE = 8 };

#define SECTOR 512

/* Random bytes are not all the same: somebody has written there. */
static int luks2check_material(struct disk *disk, const struct luks_slot *slot,
			       int number)
{
	uint64_t end = (uint64_t)slot->key_size * slot->stripes;
	unsigned char sector[SECTOR];

	for (uint64_t off = 0; off + SECTOR <= end; off += SECTOR) {
		if (disk->read(disk, sector, SECTOR, slot->area_off + off) !=
		    0) {
			printf("%s: key slot %d: its key material cannot be "
			       "read at %" PRIu64 "\n",
			       disk->name, number, slot->area_off + off);
			return CHECK_ERRORS;
		}
		if (memcmp(sector, sector + 1, SECTOR - 1) == 0) {
			printf("%s: key slot %d: its key material is "
			       "overwritten at %" PRIu64 "\n",
			       disk->name, number, slot->area_off + off);
			return CHECK_ERRORS;
		}
	}
	return CHECK_CLEAN;
}

static int luks2check_slots(struct disk *disk,
			    const struct luks2_reader *reader)
{
	const struct luks_slot *slots = reader->luks->slots;
	int rc = CHECK_CLEAN;
	int n_bound = 0;

	if (*reader->unknown != '\0')
		printf("%s: %s\n", disk->name, reader->unknown);
	for (int i = 0; i < LUKS_SLOTS_MAX; i++) {
		n_bound += slots[i].is_used && slots[i].is_bound;
		if (slots[i].is_used && slots[i].is_ours)
			rc |= luks2check_material(disk, &slots[i], i);
	}
	if (n_bound == 0) {
		printf("%s: no key slot opens it\n", disk->name);
		rc |= CHECK_ERRORS;
	}
	return rc;
}

static int luks2check_repair(struct disk *disk, const struct luks2_pair *pair,
			     const struct luks *luks)
{
	const struct luks2_copy *good = pair->best;
	int index = good == &pair->copies[0] ? 1 : 0;
	int rc;

	rc = luks2_seal(good->image, good->size, index, luks->salts[index]);
	if (rc == 0)
		rc = disk->write(disk, good->image, good->size,
				 index == 0 ? 0 : good->size);
	if (rc == 0)
		rc = disk->sync(disk);
	if (rc != 0) {
		msg_error("%s: cannot write the %s header: %s", disk->name,
			  pair->copies[index].name, strerror(-rc));
		return CHECK_NONE;
	}
	printf("%s: the %s header is now a copy of the %s one\n", disk->name,
	       pair->copies[index].name, good->name);
	return CHECK_REPAIRED;
}

static int luks2check_none(struct disk *disk, const struct luks2_pair *pair)
{
	if (!pair->copies[0].has_magic && !pair->copies[1].has_magic) {
		msg_error("%s: it has no LUKS2 header", disk->name);
		return CHECK_NONE;
	}
	for (int i = 0; i < 2; i++)
		printf("%s: the %s header %s\n", disk->name,
		       pair->copies[i].name, pair->copies[i].fault);
	return CHECK_ERRORS;
}

static int luks2check_copies(struct disk *disk, const struct luks2_pair *pair,
			     const struct luks *luks, bool should_repair)
{
	const struct luks2_copy *bad = &pair->copies[0];

	if (bad == pair->best)
		bad++;
	if (bad->fault == NULL)
		return CHECK_CLEAN;
	printf("%s: the %s header %s\n", disk->name, bad->name, bad->fault);
	if (!should_repair)
		return CHECK_ERRORS;
	if (disk->size >= 2 * luks->header_size)
		return luks2check_repair(disk, pair, luks);
	printf("%s: is cut off: there is no room for the second copy of its "
	       "header\n",
	       disk->name);
	return CHECK_ERRORS;
}

/* A copy is made of one only that is good in all respects. */
static int luks2check_pair(struct disk *disk, struct luks2_pair *pair,
			   struct luks2_reader *reader, bool should_repair)
{
	int rc;

	if (pair->best == NULL)
		return luks2check_none(disk, pair);
	if (!luks2_take(disk, pair, reader)) {
		printf("%s: %s\n", disk->name, reader->fault);
		return CHECK_ERRORS;
	}
	rc = luks2check_slots(disk, reader);
	rc |= luks2check_copies(disk, pair, reader->luks, should_repair);
	if (rc & CHECK_NONE)
		return CHECK_NONE;
	return rc & CHECK_ERRORS ? CHECK_ERRORS : rc;
}

int luks2_check(struct disk *disk, uint64_t data_size, bool should_repair)
{
	struct luks luks;
	struct luks2_reader reader = { .luks = &luks, .data_size = data_size };
	struct luks2_pair pair;
	int rc;

	memset(&luks, 0, sizeof(luks));
	luks2_load(disk, &pair);
	rc = luks2check_pair(disk, &pair, &reader, should_repair);
	json_decref(luks.json);
	luks2_pair_free(&pair);
	return rc;
}
