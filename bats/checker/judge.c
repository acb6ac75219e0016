/* SPDX-License-Identifier: MIT */
/*
 * judge - what was found against the log.
 *
 * Zeroes are right where a zeroing lies within the bounds. A discard leaves
 * zeroes, or anything that was there at any time before: as long as it lies
 * within the bounds, all that was ever issued for this sector is right.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "checker.h"
#include "msg.h"

#define MAX_TOLD 8

static const char *const verdict_names[VERDICT_COUNT] = {
	"good", "lost", "torn", "foreign", "stale", "misplaced",
};

static bool is_within(uint32_t sequence, uint32_t least)
{
	return sequence != 0 && sequence >= least;
}

/* A sector of this run, undamaged. */
static enum verdict judge_own(const struct oplog *log, uint64_t sector,
			      const struct sector_id *id, uint32_t least)
{
	if (id->sector != sector)
		return VERDICT_MISPLACED;
	if (id->sequence == 0 || id->sequence > log->issued[sector])
		return VERDICT_FOREIGN;
	if (id->sequence >= least || is_within(log->discarded[sector], least))
		return VERDICT_GOOD;
	return VERDICT_STALE;
}

/* Nothing of this run: may it be zeroes, or what was there before? */
static enum verdict judge_blank(const struct oplog *log, uint64_t sector,
				bool is_zero, bool is_initial, uint32_t least)
{
	if (is_within(log->discarded[sector], least))
		return VERDICT_GOOD;
	if (is_zero && is_within(log->zeroed[sector], least))
		return VERDICT_GOOD;
	return is_initial && least == 0 ? VERDICT_GOOD : VERDICT_LOST;
}

enum verdict judge_sector(const struct oplog *log, uint64_t sector,
			  const void *data, enum after after)
{
	uint32_t least = oplog_least(log, sector, after);
	struct sector_id id;
	enum content content = sector_read(data, &id);
	bool is_initial;

	if (content == CONTENT_WHOLE && id.device == log->head->device)
		return judge_own(log, sector, &id, least);
	is_initial = sector_fingerprint(data) == log->initial[sector];
	if (content == CONTENT_ZERO || is_initial)
		return judge_blank(log, sector, content == CONTENT_ZERO,
				   is_initial, least);
	return content == CONTENT_TORN ? VERDICT_TORN : VERDICT_FOREIGN;
}

static void judge_tell(const struct oplog *log, uint64_t sector,
		       const void *data, enum after after, enum verdict verdict,
		       struct tally *tally)
{
	char found[128] = "not of this format";
	struct sector_id id;
	enum content content = sector_read(data, &id);

	if (tally->n_told++ >= MAX_TOLD)
		return;
	if (content == CONTENT_ZERO)
		snprintf(found, sizeof(found), "zeroes");
	else if (content != CONTENT_OTHER)
		snprintf(found, sizeof(found),
			 "sequence %" PRIu64 " of sector %" PRIu64
			 " by writer %" PRIu32 "%s",
			 id.sequence, id.sector, id.writer,
			 id.device != log->head->device ? " of another run" :
							  "");
	msg_error("%s: sector %" PRIu64 ": %s: %s; %" PRIu32 " to %" PRIu32
		  " may be there",
		  tally->name, sector, verdict_names[verdict], found,
		  oplog_least(log, sector, after), log->issued[sector]);
}

void judge(const struct oplog *log, const struct op *range, const void *data,
	   enum after after, struct tally *tally)
{
	const unsigned char *byte = data;
	enum verdict verdict;

	for (uint32_t i = 0; i < range->n_sectors; i++) {
		verdict = judge_sector(log, range->sector + i, byte, after);
		tally->n[verdict]++;
		if (verdict != VERDICT_GOOD)
			judge_tell(log, range->sector + i, byte, after, verdict,
				   tally);
		byte += SECTOR_BYTES;
	}
}

static void error_tell(const struct tally *tally, const struct op *op,
		       int error)
{
	char range[64] = "";

	if (op->n_sectors != 0)
		snprintf(range, sizeof(range),
			 " of %" PRIu32 " sectors at %" PRIu64, op->n_sectors,
			 op->sector);
	msg_error("%s: %s%s: %s", tally->name, op_name(op->kind), range,
		  strerror(error));
}

void tally_error(struct tally *tally, const struct op *op, int error)
{
	if (tally->client_errors++ < MAX_TOLD)
		error_tell(tally, op, error);
}

void tally_add(struct tally *tally, const struct tally *from)
{
	for (int i = 0; i < VERDICT_COUNT; i++)
		tally->n[i] += from->n[i];
	tally->n_ops += from->n_ops;
	tally->client_errors += from->client_errors;
}

bool tally_is_clean(const struct tally *tally)
{
	uint64_t bad = tally->client_errors;

	for (int i = VERDICT_GOOD + 1; i < VERDICT_COUNT; i++)
		bad += tally->n[i];
	return bad == 0;
}

void tally_print(const struct tally *tally, const struct oplog *log)
{
	uint64_t n_written = 0;

	for (uint64_t i = 0; i < log->head->n_sectors; i++)
		n_written += log->issued[i] != 0;
	printf("%" PRIu64 " sectors, %" PRIu64 " written, ",
	       log->head->n_sectors, n_written);
	for (int i = VERDICT_GOOD + 1; i < VERDICT_COUNT; i++)
		printf("%" PRIu64 " %s, ", tally->n[i], verdict_names[i]);
	printf("%" PRIu64 " client errors, seed %" PRIu64 "\n",
	       tally->client_errors, log->head->seed);
}
