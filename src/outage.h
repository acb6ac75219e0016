/* SPDX-License-Identifier: MIT */
/*
 * outage.h - the states that a power failure may leave of a recorded disk.
 *
 * At a cut, an operation that was issued is durable, or anything of it may be
 * there; what is there of one lies over what is there of earlier ones. Which
 * of those that a cut allows a state is, its kind and a number tell: three
 * things that make the state again.
 */
#ifndef BDUS_OUTAGE_H
#define BDUS_OUTAGE_H

#include "history.h"

/** OUTAGE_SECTOR - the smallest part of a write that is there or not, bytes. */
#define OUTAGE_SECTOR 512U
/** OUTAGE_NAME - room for the name of a state. */
#define OUTAGE_NAME 64

/**
 * enum outage_kind - what is there of operations that are not durable
 * @OUTAGE_ALL: all
 * @OUTAGE_DURABLE: nothing
 * @OUTAGE_MISSING: all but one
 * @OUTAGE_SUBSET: some of them
 * @OUTAGE_TORN: all, of the last one the first sectors only
 * @OUTAGE_SECTORS: some sectors
 * @OUTAGE_KINDS: how many there are
 */
enum outage_kind {
	OUTAGE_ALL,
	OUTAGE_DURABLE,
	OUTAGE_MISSING,
	OUTAGE_SUBSET,
	OUTAGE_TORN,
	OUTAGE_SECTORS,
	OUTAGE_KINDS
};

/**
 * struct outage - a state
 * @cut: entries of the log that are before the power failure
 * @kind: see there
 * @random: for those kinds that are random
 */
struct outage {
	uint64_t cut;
	enum outage_kind kind;
	uint32_t random;
};

/**
 * struct view - the operations, at a cut
 * @cut: see struct outage
 * @n_issued: those before are issued
 * @first: those before are settled: durable, or never there
 * @n_open: of the others, how many are not durable
 * @next_durable: in history->by_durable
 */
struct view {
	uint64_t cut;
	size_t n_issued;
	size_t first;
	size_t n_open;
	size_t next_durable;
};

/** view_advance - go on to a later cut, from a view that is zeroes at first. */
void view_advance(struct view *view, const struct history *history,
		  uint64_t cut);

/** view_kinds - the kinds that differ there, as bits. */
unsigned int view_kinds(const struct view *view, const struct history *history,
			bool is_torn);

/**
 * outage_parts - what is there of the operations that are not settled
 * @outage: the state
 * @history: the log
 * @view: at the state's cut
 * @part: called for all that is there, in order: the operation and a range
 *	within it, bytes
 * @missing: called for all operations of which something is missing; or NULL
 * @context: for both
 *
 * Return: 0 or what @part returned, which ends it.
 */
int outage_parts(const struct outage *outage, const struct history *history,
		 const struct view *view,
		 int (*part)(void *context, const struct operation *operation,
			     uint32_t from, uint32_t len),
		 void (*missing)(void *context,
				 const struct operation *operation),
		 void *context);

/** outage_name - "1044:subset:9f02", by which outage_parse() knows it. */
void outage_name(const struct outage *outage, char name[OUTAGE_NAME]);

/** outage_parse - read a name. Return: 0 or -EINVAL. */
int outage_parse(const char *name, struct outage *outage);

/**
 * outage_plan - choose states to try
 * @history: the log
 * @n: how many; 0: each cut, in each kind once
 * @from: only cuts after this operation was issued; 0: all
 * @is_torn: those too that tear operations
 * @seed: of all that is random
 * @count: where to store how many there are
 *
 * Return: states by ascending cut, to be freed; or NULL: no memory.
 */
struct outage *outage_plan(const struct history *history, uint64_t n,
			   uint64_t from, bool is_torn, uint64_t seed,
			   size_t *count);

/**
 * outage_describe - tell people what a state is
 * @outage: the state
 * @history: the log
 * @text: where to
 * @size: room there
 */
void outage_describe(const struct outage *outage, const struct history *history,
		     char *text, size_t size);

#endif /* BDUS_OUTAGE_H */
