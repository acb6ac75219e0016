/* SPDX-License-Identifier: MIT */
/*
 * outage - the states that a power failure may leave of a recorded disk.
 */
#include "outage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUTAGE_PARTS_MAX 64U
#define OUTAGE_NAMED 12U

static const char *const kinds[OUTAGE_KINDS] = {
	[OUTAGE_ALL] = "all",	      [OUTAGE_DURABLE] = "durable",
	[OUTAGE_MISSING] = "missing", [OUTAGE_SUBSET] = "subset",
	[OUTAGE_TORN] = "torn",	      [OUTAGE_SECTORS] = "sectors",
};

/* splitmix64, by Sebastiano Vigna, public domain. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static uint64_t draw(uint64_t *seed, uint64_t n)
{
	*seed = mix(*seed);
	return *seed % n;
}

/* --- cuts -------------------------------------------------------------------
 */

static bool is_settled(const struct operation *one, uint64_t cut)
{
	return one->durable < cut;
}

void view_advance(struct view *view, const struct history *history,
		  uint64_t cut)
{
	const struct operation *all = history->operations;

	view->cut = cut;
	for (; view->n_issued < history->n_operations &&
	       all[view->n_issued].issued < cut;
	     view->n_issued++)
		view->n_open++;
	/* none is settled before it is issued */
	for (; view->next_durable < history->n_durable &&
	       is_settled(&all[history->by_durable[view->next_durable]], cut);
	     view->next_durable++)
		view->n_open--;
	while (view->first < view->n_issued &&
	       is_settled(&all[view->first], cut))
		view->first++;
}

/* The last one that was issued and is not settled; NULL: there is none. */
static const struct operation *view_last(const struct view *view,
					 const struct history *history)
{
	for (size_t i = view->n_issued; i-- > view->first;)
		if (!is_settled(&history->operations[i], view->cut))
			return &history->operations[i];
	return NULL;
}

unsigned int view_kinds(const struct view *view, const struct history *history,
			bool is_torn)
{
	const struct operation *last = view_last(view, history);
	unsigned int bits = 1U << OUTAGE_ALL;

	if (view->n_open >= 1)
		bits |= 1U << OUTAGE_DURABLE;
	if (view->n_open >= 2)
		bits |= 1U << OUTAGE_MISSING | 1U << OUTAGE_SUBSET;
	if (is_torn && last != NULL && last->len > OUTAGE_SECTOR)
		bits |= 1U << OUTAGE_TORN | 1U << OUTAGE_SECTORS;
	return bits;
}

/* --- what is there ----------------------------------------------------------
 */

struct visit {
	const struct outage *outage;
	int (*part)(void *context, const struct operation *operation,
		    uint32_t from, uint32_t len);
	void (*missing)(void *context, const struct operation *operation);
	void *context;
};

static int visit_whole(const struct visit *visit, const struct operation *one)
{
	return visit->part(visit->context, one, 0, one->len);
}

static void visit_missing(const struct visit *visit,
			  const struct operation *one)
{
	if (visit->missing != NULL)
		visit->missing(visit->context, one);
}

static int visit_if(const struct visit *visit, const struct operation *one,
		    bool is_there)
{
	if (is_there)
		return visit_whole(visit, one);
	visit_missing(visit, one);
	return 0;
}

static int visit_torn(const struct visit *visit, const struct operation *one)
{
	uint32_t n = one->len / OUTAGE_SECTOR;
	uint32_t there = (uint32_t)(mix(visit->outage->random) % n);

	visit_missing(visit, one);
	if (there == 0)
		return 0;
	return visit->part(visit->context, one, 0, there * OUTAGE_SECTOR);
}

/* Sectors, or larger parts of what is very long. */
static int visit_sectors(const struct visit *visit, const struct operation *one)
{
	uint64_t random = mix(visit->outage->random ^ mix(one->issued));
	uint32_t part = one->len / OUTAGE_PARTS_MAX;
	int error = 0;

	if (random % 3 != 0)
		return visit_if(visit, one, random % 3 == 1);
	part = part < OUTAGE_SECTOR ? OUTAGE_SECTOR :
				      part & ~(OUTAGE_SECTOR - 1);
	visit_missing(visit, one);
	for (uint32_t at = 0; error == 0 && at < one->len; at += part) {
		uint32_t left = one->len - at;

		if (mix(random + at) % 2)
			error = visit->part(visit->context, one, at,
					    left < part ? left : part);
	}
	return error;
}

/* Few, half, or most are there. */
static bool is_in_subset(const struct outage *outage, uint64_t issued)
{
	static const unsigned int of_8[] = { 1, 4, 7 };

	return mix(outage->random ^ mix(issued)) % 8 < of_8[outage->random % 3];
}

int outage_parts(const struct outage *outage, const struct history *history,
		 const struct view *view,
		 int (*part)(void *context, const struct operation *operation,
			     uint32_t from, uint32_t len),
		 void (*missing)(void *context,
				 const struct operation *operation),
		 void *context)
{
	struct visit visit = { outage, part, missing, context };
	const struct operation *last = view_last(view, history);
	uint64_t without =
		view->n_open == 0 ? 0 : outage->random % view->n_open;
	int error = 0;

	for (size_t i = view->first; error == 0 && i < view->n_issued; i++) {
		const struct operation *one = &history->operations[i];

		if (one->type == RECLOG_FLUSH)
			continue;
		if (is_settled(one, view->cut)) {
			error = one->is_lost ? 0 : visit_whole(&visit, one);
			continue;
		}
		if (outage->kind == OUTAGE_ALL)
			error = visit_whole(&visit, one);
		else if (outage->kind == OUTAGE_DURABLE)
			visit_missing(&visit, one);
		else if (outage->kind == OUTAGE_MISSING)
			error = visit_if(&visit, one, without-- != 0);
		else if (outage->kind == OUTAGE_SUBSET)
			error = visit_if(&visit, one,
					 is_in_subset(outage, one->issued));
		else if (outage->kind == OUTAGE_SECTORS)
			error = visit_sectors(&visit, one);
		else
			error = one == last ? visit_torn(&visit, one) :
					      visit_whole(&visit, one);
	}
	return error;
}

/* --- names ------------------------------------------------------------------
 */

void outage_name(const struct outage *outage, char name[OUTAGE_NAME])
{
	if (outage->kind == OUTAGE_ALL || outage->kind == OUTAGE_DURABLE)
		snprintf(name, OUTAGE_NAME, "%" PRIu64 ":%s", outage->cut,
			 kinds[outage->kind]);
	else
		snprintf(name, OUTAGE_NAME, "%" PRIu64 ":%s:%" PRIx32,
			 outage->cut, kinds[outage->kind], outage->random);
}

int outage_parse(const char *name, struct outage *outage)
{
	char kind[16] = "", again[OUTAGE_NAME];
	unsigned int i;

	*outage = (struct outage){ 0 };
	if (sscanf(name, "%" SCNu64 ":%15[a-z]:%" SCNx32, &outage->cut, kind,
		   &outage->random) < 2)
		return -EINVAL;
	for (i = 0; i < OUTAGE_KINDS; i++)
		if (strcmp(kind, kinds[i]) == 0)
			break;
	if (i == OUTAGE_KINDS)
		return -EINVAL;
	outage->kind = (enum outage_kind)i;
	/* nothing else, and nothing more */
	outage_name(outage, again);
	return strcmp(name, again) == 0 ? 0 : -EINVAL;
}

struct describing {
	const struct history *history;
	uint64_t n_missing;
	char numbers[OUTAGE_NAMED * 21];
	size_t used;
};

static int describe_part(void *context, const struct operation *operation,
			 uint32_t from, uint32_t len)
{
	(void)context;
	(void)operation;
	(void)from;
	(void)len;
	return 0;
}

static void describe_missing(void *context, const struct operation *operation)
{
	struct describing *what = context;
	size_t number = (size_t)(operation - what->history->operations) + 1;

	if (what->n_missing++ < OUTAGE_NAMED)
		what->used += (size_t)snprintf(
			what->numbers + what->used,
			sizeof(what->numbers) - what->used, " %zu", number);
	else if (what->n_missing == OUTAGE_NAMED + 1)
		snprintf(what->numbers + what->used,
			 sizeof(what->numbers) - what->used, " ...");
}

void outage_describe(const struct outage *outage, const struct history *history,
		     char *text, size_t size)
{
	struct describing what = { .history = history };
	const char *tears =
		outage->kind == OUTAGE_TORN || outage->kind == OUTAGE_SECTORS ?
			"missing in whole or part" :
			"missing";
	struct view view = { 0 };
	int n;

	view_advance(&view, history, outage->cut);
	outage_parts(outage, history, &view, describe_part, describe_missing,
		     &what);
	if (view.n_issued == 0) {
		snprintf(text, size, "before the first operation");
		return;
	}
	n = snprintf(text, size,
		     "after operation %zu (%s) was issued, in epoch %" PRIu32
		     "; of %zu not durable, %" PRIu64 " %s",
		     view.n_issued,
		     operation_kind(&history->operations[view.n_issued - 1]),
		     history->operations[view.n_issued - 1].epoch, view.n_open,
		     what.n_missing, tears);
	if (what.n_missing > 0 && n > 0 && (size_t)n < size)
		snprintf(text + n, size - (size_t)n, ":%s", what.numbers);
}

/* --- the plan ---------------------------------------------------------------
 */

struct plan {
	const struct history *history;
	struct outage *outages;
	size_t n;
	size_t room;
	uint64_t seed;
	bool is_torn;
};

static bool plan_add(struct plan *plan, uint64_t cut, unsigned int kind)
{
	if (plan->n == plan->room) {
		size_t room = plan->room * 2 + 1024;
		struct outage *outages =
			reallocarray(plan->outages, room, sizeof(*outages));

		if (outages == NULL)
			return false;
		plan->outages = outages;
		plan->room = room;
	}
	plan->outages[plan->n++] =
		(struct outage){ .cut = cut,
				 .kind = (enum outage_kind)kind,
				 .random = (uint32_t)draw(&plan->seed,
							  1ULL << 32) };
	return true;
}

/* Each cut, in each kind. */
static bool plan_all(struct plan *plan, size_t first)
{
	struct view view = { 0 };

	for (size_t i = first; i < plan->history->n_cuts; i++) {
		uint64_t cut = plan->history->cuts[i];
		unsigned int bits;

		view_advance(&view, plan->history, cut);
		bits = view_kinds(&view, plan->history, plan->is_torn);
		for (unsigned int kind = 0; kind < OUTAGE_KINDS; kind++)
			if (bits & 1U << kind && !plan_add(plan, cut, kind))
				return false;
	}
	return true;
}

/* At random, but evenly; each of some kind. */
static bool plan_sample(struct plan *plan, size_t first, uint64_t n)
{
	size_t n_cuts = plan->history->n_cuts - first;
	struct view view = { 0 };

	for (uint64_t i = 0; i < n; i++) {
		size_t place =
			(size_t)((i * n_cuts + draw(&plan->seed, n_cuts)) / n);
		uint64_t cut = plan->history->cuts[first + place];
		unsigned int bits, kind;

		view_advance(&view, plan->history, cut);
		bits = view_kinds(&view, plan->history, plan->is_torn);
		do
			kind = (unsigned int)draw(&plan->seed, OUTAGE_KINDS);
		while (!(bits & 1U << kind));
		if (!plan_add(plan, cut, kind))
			return false;
	}
	return true;
}

struct outage *outage_plan(const struct history *history, uint64_t n,
			   uint64_t from, bool is_torn, uint64_t seed,
			   size_t *count)
{
	struct plan plan = { .history = history,
			     .seed = seed,
			     .is_torn = is_torn };
	size_t first = 0;
	bool is_good;

	while (from > 0 && first < history->n_cuts &&
	       history->cuts[first] <= history->operations[from - 1].issued)
		first++;
	is_good = plan_add(&plan, 0, OUTAGE_ALL); /* never NULL for none */
	plan.n = 0;
	if (is_good)
		is_good = n == 0 ? plan_all(&plan, first) :
				   first == history->n_cuts ||
					   plan_sample(&plan, first, n);
	*count = plan.n;
	if (is_good)
		return plan.outages;
	free(plan.outages);
	return NULL;
}
