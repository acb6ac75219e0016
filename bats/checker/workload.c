/* SPDX-License-Identifier: MIT */
/*
 * workload - from a seed to operations.
 *
 * Half of them go to an eighth of the chunks, so that sectors are written
 * again soon, also while a flush is on its way.
 */
#include <errno.h>
#include <string.h>

#include "checker.h"

#define CHUNK_SECTORS 256U

/* splitmix64 */
static uint64_t workload_random(struct workload *workload)
{
	uint64_t x = workload->random += 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static uint64_t workload_below(struct workload *workload, uint64_t limit)
{
	return workload_random(workload) % limit;
}

/* Two chunks for each writer at least, so that there is a choice. */
static void workload_cut(struct workload *workload)
{
	uint64_t wanted = 2 * workload->plan->writers;
	uint32_t chunk = CHUNK_SECTORS;

	while (workload->n_sectors / chunk < wanted &&
	       chunk > workload->block_sectors)
		chunk /= 2;
	workload->chunk_sectors = chunk;
	workload->n_chunks = (workload->n_sectors + chunk - 1) / chunk;
}

int workload_init(struct workload *workload, const struct plan *plan,
		  uint64_t n_sectors, uint32_t block_sectors, uint32_t writer)
{
	memset(workload, 0, sizeof(*workload));
	workload->plan = plan;
	workload->n_sectors = n_sectors;
	workload->block_sectors = block_sectors;
	workload->writer = writer;
	workload->random = plan->seed;
	for (uint32_t i = 0; i <= writer; i++)
		workload->random = workload_random(workload);
	workload_cut(workload);
	return workload->n_chunks < plan->writers ? -ENOSPC : 0;
}

static enum op_kind workload_kind(struct workload *workload)
{
	uint64_t pick = workload_below(workload, 32);

	if (workload->plan->data_only && pick < 2)
		return OP_WRITE;
	if (pick == 0)
		return OP_DISCARD;
	if (pick == 1)
		return OP_ZERO;
	if (pick < 5)
		return OP_FUA_WRITE;
	return pick < 15 ? OP_READ : OP_WRITE;
}

/* One of the chunks that are this writer's in this epoch. */
static uint64_t workload_chunk(struct workload *workload)
{
	uint64_t writers = workload->plan->writers;
	uint64_t first = (workload->writer + workload->epoch) % writers;
	uint64_t n = (workload->n_chunks - first + writers - 1) / writers;
	uint64_t n_hot = (n + 7) / 8;
	bool is_hot = workload_below(workload, 2) == 0;

	return first + writers * workload_below(workload, is_hot ? n_hot : n);
}

/* Blocks of an operation: short ones are as frequent as long ones. */
static uint64_t workload_length(struct workload *workload)
{
	uint64_t most = 1ULL << workload_below(workload, 8);
	uint64_t n = 1 + workload_below(workload, most); /* sectors */

	return (n + workload->block_sectors - 1) / workload->block_sectors;
}

/*
 * A range within a chunk, every second one at a multiple of its length: else
 * the first sector of a chunk would be met by next to nothing.
 */
static void workload_place(struct workload *workload, struct op *op)
{
	uint32_t block = workload->block_sectors;
	uint64_t start = workload_chunk(workload) * workload->chunk_sectors;
	uint64_t left = workload->n_sectors - start;
	uint64_t n = workload_length(workload);
	uint64_t skip;

	if (left > workload->chunk_sectors)
		left = workload->chunk_sectors;
	left /= block;
	skip = workload_below(workload, left);
	if (workload_below(workload, 2) == 0)
		skip -= skip % n;
	if (n > left - skip)
		n = left - skip;
	op->sector = start + skip * block;
	op->n_sectors = (uint32_t)n * block;
}

void workload_next(struct workload *workload, struct op *op)
{
	uint64_t flush_every = workload->plan->flush_every;

	workload->n_ops++;
	if (flush_every != 0 && workload->n_ops % flush_every == 0) {
		*op = (struct op){ .kind = OP_FLUSH };
		return;
	}
	op->kind = workload_kind(workload);
	workload_place(workload, op);
}

void workload_turn(struct workload *workload)
{
	workload->epoch++;
}

const char *op_name(enum op_kind kind)
{
	static const char *const names[] = {
		[OP_READ] = "read",    [OP_WRITE] = "write",
		[OP_FLUSH] = "flush",  [OP_FUA_WRITE] = "FUA write",
		[OP_ZERO] = "zeroing", [OP_DISCARD] = "discard",
	};

	return names[kind];
}
