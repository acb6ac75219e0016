/* SPDX-License-Identifier: MIT */
/*
 * run - operations on a target, by several writers; reading it back.
 *
 * A range is one operation's while that is in flight: between writers, since
 * chunks have owners; within a writer, since it waits. So whatever a read
 * finds is bounded by what the log says, and a sector that tears is torn by
 * nobody but the target. Reads are held to that too: no disk promises what a
 * read finds that races with a write.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "checker.h"
#include "msg.h"

/* So many failed operations say enough. */
#define MAX_ERRORS 1000

/* lock protects what follows; tallies are looked at when all have met. */
struct run {
	struct target *target;
	struct oplog *log;
	const struct plan *plan;
	struct writer *writers;
	uint64_t end_ms;
	pthread_mutex_t lock;
	pthread_cond_t turn;
	uint64_t n_met;
	uint64_t epoch;
	bool is_over;
};

struct writer {
	struct run *run;
	pthread_t thread;
	uint32_t number;
	void *lane;
	struct slot *slots;
	unsigned int n_busy;
	struct workload workload;
	struct tally tally;
};

static volatile sig_atomic_t is_stopped;

void run_stop(void)
{
	is_stopped = 1;
}

/* --- slots --------------------------------------------------------------- */

static void slots_free(struct slot *slots, unsigned int n)
{
	if (slots == NULL)
		return;
	for (unsigned int i = 0; i < n; i++)
		free(slots[i].data);
	free(slots);
}

static struct slot *slots_make(unsigned int n, uint32_t n_sectors)
{
	struct slot *slots = calloc(n, sizeof(*slots));

	if (slots == NULL)
		return NULL;
	for (unsigned int i = 0; i < n; i++) {
		slots[i].index = i;
		slots[i].data =
			aligned_alloc(4096, (size_t)n_sectors * SECTOR_BYTES);
		if (slots[i].data == NULL) {
			slots_free(slots, n);
			return NULL;
		}
	}
	return slots;
}

/* --- a writer ------------------------------------------------------------ */

static void writer_fill(const struct writer *writer, struct slot *slot)
{
	const struct oplog *log = writer->run->log;
	unsigned char *data = slot->data;

	for (uint32_t i = 0; i < slot->op.n_sectors; i++) {
		struct sector_id id = {
			.device = log->head->device,
			.sector = slot->op.sector + i,
			.sequence = log->issued[slot->op.sector + i],
			.writer = writer->number,
		};

		sector_fill(data + (size_t)i * SECTOR_BYTES, &id);
	}
}

static void writer_begin(struct writer *writer, struct slot *slot)
{
	struct oplog *log = writer->run->log;

	slot->error = 0;
	slot->is_busy = true;
	writer->n_busy++;
	if (slot->op.kind == OP_FLUSH)
		log_flush_begin(log);
	else if (slot->op.kind != OP_READ)
		oplog_issue(log, &slot->op);
	if (slot->op.kind == OP_WRITE || slot->op.kind == OP_FUA_WRITE)
		writer_fill(writer, slot);
}

/* A target need not do these, and then has done nothing. */
static bool may_be_unsupported(const struct slot *slot)
{
	return slot->error == EOPNOTSUPP &&
	       (slot->op.kind == OP_ZERO || slot->op.kind == OP_DISCARD);
}

static void writer_end(struct writer *writer, struct slot *slot)
{
	struct oplog *log = writer->run->log;

	if (slot->op.kind == OP_FLUSH)
		log_flush_end(log, slot->error == 0);
	if (slot->error != 0 && !may_be_unsupported(slot))
		tally_error(&writer->tally, &slot->op, slot->error);
	else if (slot->op.kind == OP_READ)
		judge(log, &slot->op, slot->data, AFTER_CRASH, &writer->tally);
	else if (slot->error == 0)
		oplog_ack(log, &slot->op);
	slot->is_busy = false;
	writer->n_busy--;
	writer->tally.n_ops++;
}

static void writer_wait(struct writer *writer)
{
	writer_end(writer, writer->run->target->wait(writer->lane));
}

static bool overlaps(const struct op *a, const struct op *b)
{
	return a->sector < b->sector + b->n_sectors &&
	       b->sector < a->sector + a->n_sectors;
}

/* A free slot, unless something in flight is in the way: then NULL. */
static struct slot *writer_find_slot(struct writer *writer, const struct op *op)
{
	struct slot *found = NULL;

	for (uint64_t i = 0; i < writer->run->plan->depth; i++) {
		struct slot *slot = &writer->slots[i];

		if (!slot->is_busy)
			found = slot;
		else if (overlaps(&slot->op, op))
			return NULL;
	}
	return found;
}

static void writer_step(struct writer *writer)
{
	struct slot *slot;
	struct op op;

	workload_next(&writer->workload, &op);
	while ((slot = writer_find_slot(writer, &op)) == NULL)
		writer_wait(writer);
	slot->op = op;
	writer_begin(writer, slot);
	if (writer->run->target->start(writer->lane, slot))
		writer_end(writer, slot);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool run_is_late(const struct run *run)
{
	return run->plan->seconds != 0 && now_ms() >= run->end_ms;
}

/* Operations of one writer in this epoch. */
static uint64_t run_share(const struct run *run)
{
	const struct plan *plan = run->plan;
	uint64_t all = (plan->ops + plan->writers - 1) / plan->writers;
	uint64_t done = run->epoch * EPOCH_OPS;

	if (plan->ops == 0 || all > done + EPOCH_OPS)
		return EPOCH_OPS;
	return all > done ? all - done : 0;
}

static bool run_has_failed(const struct run *run)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < run->plan->writers; i++)
		n += run->writers[i].tally.client_errors;
	if (n < MAX_ERRORS)
		return false;
	msg_error("%s: stops early: %" PRIu64 " client errors",
		  run->target->name, n);
	return true;
}

/* The last one decides for all, that they stay in step. */
static bool run_meet(struct run *run)
{
	uint64_t epoch;
	bool is_over;

	pthread_mutex_lock(&run->lock);
	epoch = run->epoch;
	if (++run->n_met == run->plan->writers) {
		run->n_met = 0;
		run->epoch++;
		run->is_over = is_stopped || run_share(run) == 0 ||
			       run_is_late(run) || run_has_failed(run);
		pthread_cond_broadcast(&run->turn);
	}
	while (run->epoch == epoch)
		pthread_cond_wait(&run->turn, &run->lock);
	is_over = run->is_over;
	pthread_mutex_unlock(&run->lock);
	return !is_over;
}

static void *writer_main(void *arg)
{
	struct writer *writer = arg;

	do {
		for (uint64_t n = run_share(writer->run); n > 0; n--)
			writer_step(writer);
		while (writer->n_busy > 0)
			writer_wait(writer);
		workload_turn(&writer->workload);
	} while (run_meet(writer->run));
	return NULL;
}

static int writer_open(struct writer *writer, struct run *run, uint32_t number)
{
	struct target *target = run->target;
	unsigned int depth = (unsigned int)run->plan->depth;
	int error = workload_init(&writer->workload, run->plan,
				  run->log->head->n_sectors,
				  target->block_sectors, number);

	if (error != 0)
		return error;
	writer->run = run;
	writer->number = number;
	writer->tally.name = target->name;
	writer->slots = slots_make(depth, OP_MAX_SECTORS);
	if (writer->slots == NULL)
		return -ENOMEM;
	writer->lane = target->lane_open(target, depth);
	return writer->lane != NULL ? 0 : -errno;
}

static void writer_close(struct writer *writer)
{
	if (writer->lane != NULL)
		writer->run->target->lane_close(writer->lane);
	if (writer->run != NULL)
		slots_free(writer->slots,
			   (unsigned int)writer->run->plan->depth);
}

/* --- reading all of it --------------------------------------------------- */

typedef void visit_fn(void *context, const struct op *range, const void *data);

/* Reads the first @n_sectors; what cannot be read is counted, not visited. */
static int sweep(struct target *target, uint64_t n_sectors, visit_fn *visit,
		 void *context, struct tally *tally)
{
	struct slot *slot = slots_make(1, SWEEP_SECTORS);
	void *lane = slot != NULL ? target->lane_open(target, 1) : NULL;
	uint64_t left;
	int error = -errno;

	if (lane == NULL)
		goto out_free;
	for (uint64_t i = 0; i < n_sectors; i += slot->op.n_sectors) {
		left = n_sectors - i;
		slot->op.kind = OP_READ;
		slot->op.sector = i;
		slot->op.n_sectors =
			left < SWEEP_SECTORS ? (uint32_t)left : SWEEP_SECTORS;
		slot->error = 0;
		if (!target->start(lane, slot))
			target->wait(lane);
		if (slot->error != 0)
			tally_error(tally, &slot->op, slot->error);
		else
			visit(context, &slot->op, slot->data);
	}
	target->lane_close(lane);
	error = 0;
out_free:
	slots_free(slot, 1);
	return error;
}

static void visit_initial(void *context, const struct op *range,
			  const void *data)
{
	const struct oplog *log = context;
	const unsigned char *byte = data;

	for (uint32_t i = 0; i < range->n_sectors; i++)
		log->initial[range->sector + i] =
			sector_fingerprint(byte + (size_t)i * SECTOR_BYTES);
}

struct judge_context {
	const struct oplog *log;
	enum after after;
	struct tally *tally;
};

static void visit_judge(void *context, const struct op *range, const void *data)
{
	const struct judge_context *to = context;

	judge(to->log, range, data, to->after, to->tally);
}

int run_judge(struct target *target, const struct oplog *log, enum after after,
	      struct tally *tally)
{
	struct judge_context context = {
		.log = log,
		.after = after,
		.tally = tally,
	};

	return sweep(target, log->head->n_sectors, visit_judge, &context,
		     tally);
}

/* --- the run ------------------------------------------------------------- */

/* Threads that cannot be made would leave the others waiting: all or none. */
static void run_threads(struct run *run, struct tally *tally)
{
	uint64_t n = run->plan->writers;
	uint64_t start_ms = now_ms();

	run->end_ms = start_ms + run->plan->seconds * 1000;
	for (uint64_t i = 1; i < n; i++)
		if (pthread_create(&run->writers[i].thread, NULL, writer_main,
				   &run->writers[i]) != 0)
			abort();
	writer_main(&run->writers[0]);
	for (uint64_t i = 1; i < n; i++)
		pthread_join(run->writers[i].thread, NULL);
	tally->run_ms = now_ms() - start_ms;
}

static int run_open(struct run *run, struct tally *tally)
{
	uint64_t n = run->plan->writers;
	int error = 0;

	run->writers = calloc(n, sizeof(*run->writers));
	if (run->writers == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < n && error == 0; i++)
		error = writer_open(&run->writers[i], run, (uint32_t)i);
	if (error == 0)
		error = sweep(run->target, run->log->head->n_sectors,
			      visit_initial, run->log, tally);
	if (error == 0)
		oplog_begin(run->log);
	return error;
}

static void run_close(struct run *run, struct tally *tally)
{
	for (uint64_t i = 0; run->writers && i < run->plan->writers; i++) {
		tally_add(tally, &run->writers[i].tally);
		writer_close(&run->writers[i]);
	}
	free(run->writers);
}

int run_workload(struct target *target, struct oplog *log,
		 const struct plan *plan, struct tally *tally)
{
	struct run run = {
		.target = target,
		.log = log,
		.plan = plan,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.turn = PTHREAD_COND_INITIALIZER,
	};
	int error = run_open(&run, tally);

	if (error == 0)
		run_threads(&run, tally);
	run_close(&run, tally);
	return error;
}
