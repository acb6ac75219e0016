/* SPDX-License-Identifier: MIT */
/*
 * test-compress-crash - the crash lab for compressed volumes.
 *
 * A seeded workload runs on a medium that records all writes, punches and
 * syncs. For many of its moments a medium is made as a crash could leave it,
 * the volume is opened and each block compared with what it may be: after a
 * kill, from the last acknowledged version to the last issued one; after a
 * power failure, from the last one acknowledged before the last acknowledged
 * flush. Then the volume is used a little, and crashes once more, at times
 * already while it recovers.
 *
 * Every other workload is two threads that write to blocks of their own, while
 * the engine's thread cleans and makes checkpoints: what comes before what is
 * up to the machine then.
 *
 * COMPRESS_STATES=N how many, COMPRESS_SEED=N where to begin: a failure names
 * its workload's seed and its state.
 */
#include <stdalign.h>

#include "content.h"
#include "drivers/compress/check.h"
#include "drivers/compress/engine.h"
#include "memory.h"
#include "tap.h"

#define MAX_BLOCKS 24U
#define STATES_PER_WORKLOAD 400U
#define MAX_CRASHES 3
#define MAX_CLIENTS 2U
/* Clients take turns in owning so many blocks. */
#define STRIPE_BLOCKS 16U
#define MAX_EXTRAS 12

/*
 * A version of a block: when it was issued, and acknowledged, in operations of
 * the medium. What clients do has an order among itself that these do not tell.
 */
struct issue {
	uint64_t version;
	uint32_t issued;
	uint32_t acknowledged;
	uint64_t tick; /* of the acknowledgement */
};

struct block {
	struct issue *issues;
	uint32_t n;
	uint32_t room;
};

struct flush {
	uint64_t tick; /* of its issue */
	uint32_t acknowledged;
};

/* Somebody who uses the volume, one request at a time. */
struct client {
	struct workload *workload;
	unsigned int number;
	uint64_t random;
	uint64_t version;
	uint64_t n_steps;
	int error;
	alignas(8) unsigned char buffer[MAX_BLOCKS * CONTENT_BYTES];
};

struct workload {
	struct memory memory;
	struct engine engine;
	struct engine_options options;
	struct super super;
	struct block *blocks;
	uint64_t n_blocks;
	uint64_t n_hot; /* blocks that are used after the preparation */
	uint64_t seed;
	uint64_t random;
	struct client clients[MAX_CLIENTS];
	unsigned int n_clients;
	_Atomic uint64_t tick;
	pthread_mutex_t lock; /* of the flushes */
	struct flush *flushes;
	uint32_t n_flushes;
	uint64_t n_cleaned;
	uint64_t n_checkpoints;
	bool was_nearly_full;
	unsigned char *before; /* the medium when recording began */
};

/* A block that was written after a crash, and what a later one may do to it. */
struct extra {
	uint64_t lba;
	uint64_t version;
	uint32_t issued;
	uint32_t acknowledged;
	uint32_t flushed;
	bool is_durable; /* flushed */
	bool is_kept;	 /* or acknowledged, and nothing but kills since */
};

/* A medium after a crash. */
struct state {
	const struct workload *workload;
	uint64_t random;
	uint32_t number;
	uint32_t moment;  /* operations that were issued */
	uint32_t durable; /* and those before are durable */
	bool is_kill;
	const char *what;
	struct extra extras[MAX_CRASHES * MAX_EXTRAS];
	uint32_t n_extras;
};

static alignas(8) unsigned char buffer[PAGE_ENTRIES * CONTENT_BYTES];
static struct {
	uint64_t states, kills, again, compared, workloads, threaded;
	uint64_t threaded_states, in_checkpoint, nearly_full, cleaned;
	uint64_t checkpoints, operations;
} counts;

static uint64_t number(const char *name, uint64_t def)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 0) : def;
}

static uint64_t pick(uint64_t *random, uint64_t n)
{
	return content_random(random) % n;
}

/* --- the workload -----------------------------------------------------------
 */

static int do_write(struct engine *engine, unsigned int worker, const void *buf,
		    uint64_t lba, uint32_t n)
{
	struct waiter waiter;
	int error;

	waiter_init(&waiter);
	error = engine_write(engine, worker, buf, n * CONTENT_BYTES,
			     lba * CONTENT_BYTES, &waiter.commit);
	return waiter_wait(&waiter, engine, error);
}

static int do_zero(struct engine *engine, uint64_t lba, uint64_t n,
		   bool may_unmap)
{
	struct waiter waiter;
	int error;

	waiter_init(&waiter);
	error = engine_zero(engine, n * CONTENT_BYTES, lba * CONTENT_BYTES,
			    may_unmap, &waiter.commit);
	return waiter_wait(&waiter, engine, error);
}

static uint32_t now(struct workload *workload)
{
	uint32_t n_ops;

	pthread_mutex_lock(&workload->memory.lock);
	n_ops = workload->memory.n_ops;
	pthread_mutex_unlock(&workload->memory.lock);
	return n_ops;
}

static void issue(struct workload *workload, uint64_t lba, uint64_t version)
{
	struct block *block = &workload->blocks[lba];

	if (block->n == block->room) {
		block->room = block->room * 2 + 4;
		block->issues = realloc(block->issues,
					block->room * sizeof(*block->issues));
	}
	block->issues[block->n++] = (struct issue){ .version = version,
						    .issued = now(workload),
						    .acknowledged = UINT32_MAX,
						    .tick = UINT64_MAX };
}

static void acknowledge(struct workload *workload, uint64_t lba, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct block *block = &workload->blocks[lba + i];

		block->issues[block->n - 1].acknowledged = now(workload);
		block->issues[block->n - 1].tick =
			atomic_fetch_add(&workload->tick, 1);
	}
}

static int step_write(struct client *client, uint64_t lba, uint32_t n)
{
	struct workload *workload = client->workload;
	int error;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t version = !workload->memory.is_recording ||
						   pick(&client->random, 10) ?
					   ++client->version :
					   0;

		content_fill(client->buffer + i * CONTENT_BYTES, lba + i,
			     version);
		issue(workload, lba + i, version);
	}
	error = do_write(&workload->engine, client->number, client->buffer, lba,
			 n);
	if (error == 0)
		acknowledge(workload, lba, n);
	return error;
}

static int step_zero(struct client *client, uint64_t lba, uint32_t n)
{
	struct workload *workload = client->workload;
	int error;

	for (uint32_t i = 0; i < n; i++)
		issue(workload, lba + i, 0);
	error = do_zero(&workload->engine, lba, n, pick(&client->random, 2));
	if (error == 0)
		acknowledge(workload, lba, n);
	return error;
}

static int step_flush(struct client *client)
{
	struct workload *workload = client->workload;
	struct flush flush = { .tick = atomic_fetch_add(&workload->tick, 1) };
	int error = engine_flush(&workload->engine);

	if (error != 0)
		return error;
	flush.acknowledged = now(workload);
	pthread_mutex_lock(&workload->lock);
	workload->flushes =
		realloc(workload->flushes,
			(workload->n_flushes + 1) * sizeof(*workload->flushes));
	workload->flushes[workload->n_flushes++] = flush;
	pthread_mutex_unlock(&workload->lock);
	return 0;
}

/* To the driver a FUA write is a write, and a flush when that is done. */
static int step_fua(struct client *client, uint64_t lba, uint32_t n)
{
	int error = step_write(client, lba, n);

	return error != 0 ? error : step_flush(client);
}

static void note_use(struct workload *workload)
{
	struct engine *engine = &workload->engine;

	workload->n_cleaned += engine->n_cleaned;
	workload->n_checkpoints += engine->n_checkpoints;
	/* it loses some by zeroes and discards */
	if (engine->map.space.live_bytes > engine->usable / 10 * 8)
		workload->was_nearly_full = true;
}

/* Only of a workload without threads. */
static int step_reopen(struct workload *workload)
{
	int error;

	if (workload->n_clients > 1)
		return 0;
	note_use(workload);
	error = engine_close(&workload->engine);
	return error != 0 ?
		       error :
		       engine_open(&workload->engine, &workload->memory.medium,
				   &workload->options);
}

/* What is packed anew is the same; where there is no room, not all of it is. */
static int step_recompress(struct workload *workload)
{
	struct engine *engine = &workload->engine;
	int error;

	/* else the engine's thread does it */
	if (workload->n_clients > 1)
		return 0;
	error = recompress_begin(engine, engine->super.level + 1);

	while (error == 0 && engine->recompress.is_running) {
		error = recompress_step(engine);
		if (error == -EAGAIN)
			error = engine_checkpoint(engine);
		if (error == 0 && map_lacks(&engine->map, 4))
			recompress_end(engine);
	}
	return error;
}

/* Blocks that are the client's own. */
static uint64_t step_place(struct client *client, uint32_t *n)
{
	struct workload *workload = client->workload;
	uint64_t *random = &client->random, lba, stripe, left;

	lba = pick(random, workload->n_hot - *n);
	if (workload->n_clients == 1)
		return lba;
	stripe = lba / STRIPE_BLOCKS;
	stripe = stripe - stripe % MAX_CLIENTS + client->number;
	lba = stripe * STRIPE_BLOCKS + lba % STRIPE_BLOCKS;
	if (lba >= workload->n_hot)
		lba = client->number * STRIPE_BLOCKS;
	left = STRIPE_BLOCKS - lba % STRIPE_BLOCKS;
	if (left > workload->n_hot - lba)
		left = workload->n_hot - lba;
	if (*n > left)
		*n = (uint32_t)left;
	return lba;
}

static int step(struct client *client)
{
	uint64_t *random = &client->random;
	uint32_t max = pick(random, 6) == 0 ? MAX_BLOCKS : 3;
	uint32_t n = 1 + (uint32_t)pick(random, max);
	uint64_t lba = step_place(client, &n);

	switch (pick(random, 100)) {
	case 0:
		return step_reopen(client->workload);
	case 1 ... 2:
		return engine_checkpoint(&client->workload->engine);
	case 3:
		return step_recompress(client->workload);
	case 4 ... 14:
		return step_flush(client);
	case 15 ... 24:
		return step_zero(client, lba, n);
	case 25 ... 32:
		return step_fua(client, lba, n);
	default:
		return step_write(client, lba, n);
	}
}

static void *client_main(void *arg)
{
	struct client *client = arg;

	for (uint64_t i = 0; client->error == 0 && i < client->n_steps; i++)
		client->error = step(client);
	return NULL;
}

static int clients_run(struct workload *workload, uint64_t n_steps)
{
	pthread_t threads[MAX_CLIENTS];
	int error = 0;

	for (unsigned int i = 0; i < workload->n_clients; i++) {
		workload->clients[i].n_steps = n_steps / workload->n_clients;
		if (workload->n_clients == 1)
			client_main(&workload->clients[i]);
		else
			pthread_create(&threads[i], NULL, client_main,
				       &workload->clients[i]);
	}
	for (unsigned int i = 0; i < workload->n_clients; i++) {
		if (workload->n_clients > 1)
			pthread_join(threads[i], NULL);
		if (workload->clients[i].error != 0)
			error = workload->clients[i].error;
	}
	return error;
}

/* One in five begins with all blocks in use, none of which can be packed. */
static bool is_full(const struct workload *workload)
{
	return workload->seed % 5 == 0;
}

/* What was there before the recording is durable. */
static int workload_prepare(struct workload *workload)
{
	uint64_t fill = is_full(workload) ? 3 : pick(&workload->random, 4);
	int error = 0;

	for (uint64_t lba = 0;
	     error == 0 && fill > 0 && lba + MAX_BLOCKS <= workload->n_blocks;
	     lba += MAX_BLOCKS)
		error = step_write(&workload->clients[0], lba,
				   fill == 3 ?
					   MAX_BLOCKS :
					   MAX_BLOCKS / (3 - (uint32_t)fill));
	if (error == 0)
		error = engine_checkpoint(&workload->engine);
	workload->before = malloc(workload->memory.medium.size);
	memcpy(workload->before, workload->memory.bytes,
	       workload->memory.medium.size);
	for (uint64_t lba = 0; lba < workload->n_blocks; lba++) {
		struct block *block = &workload->blocks[lba];

		if (block->n > 1)
			block->issues[0] = block->issues[block->n - 1];
		if (block->n == 0)
			issue(workload, lba, 0);
		block->n = 1;
		block->issues[0].acknowledged = 0;
		block->issues[0].tick = 0;
	}
	atomic_store(&workload->tick, 1);
	workload->memory.is_recording = true;
	return error;
}

static const struct format_options formats[] = {
	{ .level = 1, .nonce = 21 },
	{ .level = 1, .nonce = 22, .record_blocks = 1 },
	{ .level = 1, .nonce = 23, .size = 4100 << 12, .may_overcommit = true },
	{ .level = 1, .nonce = 24, .segment_size = 128 << 10 },
};

static int workload_run(struct workload *workload)
{
	const char *reason = NULL;
	uint64_t steps = 60 + pick(&workload->random, 120);
	uint64_t hot = pick(&workload->random, 3);
	int error = engine_format(
		&workload->memory.medium,
		&formats[pick(&workload->random,
			      sizeof(formats) / sizeof(formats[0]))],
		&workload->super, &reason);

	workload->n_blocks = workload->super.size / CONTENT_BYTES;
	/* of the overcommitted one, what fits even if it cannot be packed */
	if (workload->n_blocks > 1000)
		workload->n_blocks = 400;
	/* where few blocks are used, segments die without being cleaned */
	workload->n_hot = hot == 0 ? 40 : workload->n_blocks;
	workload->blocks = calloc(workload->n_blocks, sizeof(struct block));
	if (error == 0)
		error = engine_open(&workload->engine, &workload->memory.medium,
				    &workload->options);
	if (error != 0) {
		printf("# %s\n",
		       reason != NULL ? reason : workload->engine.reason);
		return error;
	}
	error = workload_prepare(workload);
	if (error == 0)
		error = clients_run(workload, steps);
	note_use(workload);
	engine_abandon(&workload->engine);
	return error;
}

static void workload_make(struct workload *workload, uint64_t seed)
{
	memset(workload, 0, sizeof(*workload));
	workload->seed = seed;
	workload->random = seed;
	content_kind = is_full(workload) ?
			       CONTENT_RAW :
			       (enum content_kind)pick(&workload->random, 4);
	memory_open(&workload->memory, 3 << 20);
	workload->options = (struct engine_options){
		.n_workers = 1,
		.map_cache = 1,
		.checkpoint_bytes = 128 << 10 << pick(&workload->random, 5),
		.is_manual = true,
	};
	workload->n_clients = 1;
	pthread_mutex_init(&workload->lock, NULL);
	if (seed % 2 == 0) {
		workload->n_clients = workload->options.n_workers = MAX_CLIENTS;
		workload->options.is_manual = false;
	}
	for (unsigned int i = 0; i < workload->n_clients; i++)
		workload->clients[i] =
			(struct client){ .workload = workload,
					 .number = i,
					 .random = seed * 8 + i,
					 .version = (uint64_t)i << 32 };
}

static void workload_free(struct workload *workload)
{
	for (uint64_t i = 0; i < workload->n_blocks; i++)
		free(workload->blocks[i].issues);
	free(workload->blocks);
	free(workload->flushes);
	free(workload->before);
	pthread_mutex_destroy(&workload->lock);
	memory_close(&workload->memory);
}

/* --- what a block may be ----------------------------------------------------
 */

/* Of the flushes acknowledged, the last to be issued: it covers what any does.
 */
static uint64_t last_flush(const struct state *state)
{
	const struct workload *workload = state->workload;
	uint64_t tick = 0;

	for (uint32_t i = 0; i < workload->n_flushes; i++)
		if (workload->flushes[i].acknowledged <= state->moment &&
		    workload->flushes[i].tick > tick)
			tick = workload->flushes[i].tick;
	return tick;
}

/* Has it to be there, or a later one? */
static bool issue_is_sure(const struct state *state, const struct issue *issue,
			  uint64_t flushed)
{
	if (state->is_kill)
		return issue->acknowledged <= state->moment;
	return issue->tick == 0 || issue->tick < flushed;
}

/* Is it what was written after an earlier crash? 0: no, but it need not be. */
static int extra_is(const struct state *state, uint64_t lba,
		    const unsigned char *found)
{
	for (uint32_t i = state->n_extras; i-- > 0;) {
		const struct extra *extra = &state->extras[i];

		if (extra->lba != lba)
			continue;
		if (content_is(found, lba, extra->version))
			return 1;
		if (extra->is_kept)
			return -1;
	}
	return 0;
}

static bool block_may_be(const struct state *state, uint64_t lba,
			 const unsigned char *found, uint64_t flushed)
{
	const struct block *block = &state->workload->blocks[lba];
	int is_extra = extra_is(state, lba, found);
	uint32_t floor = 0, i;

	if (is_extra > 0)
		return true;
	for (i = 0; i < block->n; i++)
		if (issue_is_sure(state, &block->issues[i], flushed))
			floor = i;
	for (i = floor; is_extra == 0 && i < block->n; i++)
		if ((i == floor || block->issues[i].issued <= state->moment) &&
		    content_is(found, lba, block->issues[i].version))
			return true;
	printf("# seed %llu, state %u (%s, moment %u of %u): block %llu is "
	       "version %llu, not %llu or later\n",
	       (unsigned long long)state->workload->seed, state->number,
	       state->what, state->moment, state->workload->memory.n_ops,
	       (unsigned long long)lba,
	       (unsigned long long)content_version(found),
	       (unsigned long long)block->issues[floor].version);
	return false;
}

static bool state_matches(const struct state *state, struct engine *engine)
{
	uint64_t flushed = last_flush(state);
	uint32_t n;

	for (uint64_t lba = 0; lba < state->workload->n_blocks; lba += n) {
		uint64_t left = state->workload->n_blocks - lba;

		n = left < PAGE_ENTRIES ? (uint32_t)left : PAGE_ENTRIES;
		if (engine_read(engine, 0, buffer, n * CONTENT_BYTES,
				lba * CONTENT_BYTES) != 0) {
			printf("# seed %llu, state %u (%s): read error\n",
			       (unsigned long long)state->workload->seed,
			       state->number, state->what);
			return false;
		}
		for (uint32_t i = 0; i < n; i++)
			if (!block_may_be(state, lba + i,
					  buffer + i * CONTENT_BYTES, flushed))
				return false;
		counts.compared += n;
	}
	return true;
}

static bool state_checks(const struct state *state, struct engine *engine)
{
	struct check check = { 0 };

	if (check_volume(engine, false, &check) == 0 && check_is_clean(&check))
		return true;
	printf("# seed %llu, state %u (%s): pages lost %llu, segments wrong "
	       "%llu, free but used %llu, counts %s\n",
	       (unsigned long long)state->workload->seed, state->number,
	       state->what, (unsigned long long)check.n_pages_lost,
	       (unsigned long long)check.n_segments_wrong,
	       (unsigned long long)check.n_free_used,
	       check.is_count_wrong ? "wrong" : "right");
	return false;
}

/* --- what a crash leaves ----------------------------------------------------
 */

enum loss { KILL, DURABLE, OPS, ONE_LOST, TORN, PAGES, SECTORS, N_LOSSES };

static const char *const losses[] = { "kill",	     "only what was synced",
				      "writes lost", "one write lost",
				      "torn write",  "pages lost",
				      "sectors lost" };

static void apply_some(unsigned char *bytes, const struct memory_op *op,
		       uint32_t grain, uint64_t *random)
{
	for (uint32_t i = 0; i < op->len; i += grain) {
		uint32_t n = op->len - i < grain ? op->len - i : grain;

		if (pick(random, 2))
			memcpy(bytes + op->off + i, op->data + i, n);
	}
}

/* Operations since the last sync, as far as they reached the medium. */
static void apply_lost(unsigned char *bytes, const struct memory_op *ops,
		       uint32_t from, uint32_t to, enum loss loss,
		       uint64_t *random)
{
	uint32_t lost = from + (uint32_t)pick(random, to - from + 1);

	for (uint32_t i = from; i < to; i++) {
		const struct memory_op *op = &ops[i];
		uint32_t len = op->len;

		if (loss == PAGES || loss == SECTORS) {
			apply_some(bytes, op, loss == PAGES ? 4096 : 512,
				   random);
			continue;
		}
		if (loss == DURABLE || (loss == OPS && pick(random, 2)) ||
		    (loss == ONE_LOST && i == lost))
			continue;
		if (loss == TORN && i == to - 1)
			len = (uint32_t)pick(random, len / 512 + 1) * 512;
		if (len > 0)
			memcpy(bytes + op->off, op->data, len);
	}
}

static uint32_t durable_at(const struct memory_op *ops, uint32_t moment)
{
	uint32_t durable = 0;

	for (uint32_t i = 0; i < moment; i++)
		if (ops[i].len == 0 && ops[i].covers > durable)
			durable = ops[i].covers;
	return durable;
}

/* What is not durable yet stays so: the page cache outlives who is killed. */
static void inherit(struct memory *memory, const struct memory_op *ops,
		    uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		if (ops[i].len > 0)
			memory_record(memory, ops[i].data, ops[i].len,
				      ops[i].off, 0);
}

/*
 * A crash at that moment: @before, what was durable when the operations began,
 * becomes what is durable now, and @memory what is found.
 */
static void crash(struct memory *memory, unsigned char *before,
		  const struct memory_op *ops, uint32_t durable,
		  uint32_t moment, enum loss loss, uint64_t *random)
{
	struct memory old = *memory;

	for (uint32_t i = 0; i < durable; i++)
		if (ops[i].len > 0)
			memcpy(before + ops[i].off, ops[i].data, ops[i].len);
	memcpy(memory->bytes, before, memory->medium.size);
	apply_lost(memory->bytes, ops, durable, moment, loss, random);
	memory->ops = NULL;
	memory->n_ops = memory->room = 0;
	if (loss == KILL)
		inherit(memory, ops, durable, moment);
	else
		memcpy(before, memory->bytes, memory->medium.size);
	memory_forget(&old);
}

/* --- states -----------------------------------------------------------------
 */

/* Open what a crash has left; all has to be well. */
static bool state_opens(const struct state *state, struct memory *memory,
			struct engine *engine)
{
	struct engine_options options = state->workload->options;
	bool is_ours = state->random % 2;
	uint32_t n_ops = memory->n_ops;
	int error;

	options.is_manual = true;
	error = engine_prepare(engine, &memory->medium, &options);
	if (error == 0)
		error = engine_start(engine, is_ours);
	if (!is_ours && memory->n_ops != n_ops)
		error = -EEXIST;
	if (error != 0) {
		printf("# seed %llu, state %u (%s, moment %u): %s: %s\n",
		       (unsigned long long)state->workload->seed, state->number,
		       state->what, state->moment, engine->reason,
		       strerror(-error));
		return false;
	}
	if (state_matches(state, engine) && state_checks(state, engine))
		return true;
	engine_abandon(engine);
	return false;
}

static uint64_t extra_version(const struct state *state, uint32_t i)
{
	return (1ULL << 40) + state->number * 64ULL + i;
}

static void extras_flushed(struct state *state, uint32_t n_ops)
{
	for (uint32_t i = 0; i < state->n_extras; i++)
		if (state->extras[i].flushed == UINT32_MAX)
			state->extras[i].flushed = n_ops;
}

static int state_write(struct state *state, struct memory *memory,
		       struct engine *engine, uint64_t *random)
{
	struct extra *extra = &state->extras[state->n_extras];
	int error;

	*extra = (struct extra){
		.lba = pick(random, state->workload->n_blocks),
		.version = extra_version(state, state->n_extras),
		.issued = memory->n_ops,
		.acknowledged = UINT32_MAX,
		.flushed = UINT32_MAX,
	};
	state->n_extras++;
	content_fill(buffer, extra->lba, extra->version);
	error = do_write(engine, 0, buffer, extra->lba, 1);
	if (error == 0)
		extra->acknowledged = memory->n_ops;
	return error;
}

/* Use it a little, as somebody would after a crash. */
static int state_use(struct state *state, struct memory *memory,
		     struct engine *engine, uint64_t *random)
{
	int error = 0;

	for (uint64_t i = pick(random, MAX_EXTRAS); error == 0 && i > 0; i--) {
		error = state_write(state, memory, engine, random);
		if (error != 0 || pick(random, 4) != 0)
			continue;
		error = engine_flush(engine);
		extras_flushed(state, memory->n_ops);
	}
	if (error == 0 && pick(random, 4) == 0)
		error = engine_checkpoint(engine);
	return error;
}

/*
 * Another crash: what is sure by now, and what cannot be there any more? What a
 * kill had left is, unless power failed before anybody synced it.
 */
static void state_crash(struct state *state, uint32_t n_before, uint32_t moment,
			bool was_synced, enum loss loss)
{
	uint32_t n = n_before;

	for (uint32_t i = 0; i < n_before; i++)
		if (loss != KILL && !was_synced)
			state->extras[i].is_kept = state->extras[i].is_durable;
		else if (was_synced)
			state->extras[i].is_durable = state->extras[i].is_kept;
	for (uint32_t i = n_before; i < state->n_extras; i++) {
		struct extra *extra = &state->extras[i];

		if (extra->issued > moment)
			continue;
		extra->is_durable = extra->flushed <= moment;
		extra->is_kept =
			extra->is_durable ||
			(loss == KILL && extra->acknowledged <= moment);
		state->extras[n++] = *extra;
	}
	state->n_extras = n;
	state->is_kill = state->is_kill && (loss == KILL || was_synced);
}

/*
 * Recovery and some use are recorded as well; the volume crashes again, during
 * either. What was durable before stays so.
 */
static bool state_run(struct state *state, struct memory *memory,
		      unsigned char *before, int n_crashes)
{
	uint32_t first = memory->n_ops, durable;
	struct memory_op *ops;
	uint64_t random = state->random + (uint64_t)n_crashes;
	uint32_t moment, n_extras = state->n_extras;
	struct engine engine;
	enum loss loss;
	int error;

	if (!state_opens(state, memory, &engine))
		return false;
	error = state_use(state, memory, &engine, &random);
	engine_abandon(&engine);
	if (error != 0 || n_crashes == 1)
		return error == 0;
	moment = first + (uint32_t)pick(&random, memory->n_ops - first + 1);
	durable = durable_at(memory->ops, moment);
	loss = (enum loss)pick(&random, N_LOSSES);
	ops = memory->ops;
	crash(memory, before, ops, durable, moment, loss, &random);
	state_crash(state, n_extras, moment, durable >= first, loss);
	counts.again++;
	return state_run(state, memory, before, n_crashes - 1);
}

/* Pages are written, but not yet superblock B, which ends it? */
static bool state_is_in_checkpoint(const struct state *state)
{
	const struct memory_op *ops = state->workload->memory.ops;

	for (uint32_t i = state->moment; i-- > 0;)
		if (ops[i].len > 0 &&
		    ops[i].off < state->workload->super.segments_off)
			return ops[i].off != BLOCK_SIZE;
	return false;
}

static bool state_try(struct state *state, struct memory *memory,
		      unsigned char *before)
{
	const struct workload *workload = state->workload;
	enum loss loss = (enum loss)pick(&state->random, N_LOSSES);

	state->is_kill = loss == KILL;
	state->what = losses[loss];
	memcpy(before, workload->before, memory->medium.size);
	crash(memory, before, workload->memory.ops,
	      durable_at(workload->memory.ops, state->moment), state->moment,
	      loss, &state->random);
	counts.states++;
	counts.kills += state->is_kill;
	counts.threaded_states += workload->n_clients > 1;
	counts.nearly_full += workload->was_nearly_full;
	counts.in_checkpoint += state_is_in_checkpoint(state);
	return state_run(state, memory, before,
			 1 + (int)pick(&state->random, MAX_CRASHES));
}

static bool workload_states(const struct workload *workload, uint32_t n,
			    uint64_t only)
{
	unsigned char *before = malloc(workload->memory.medium.size);
	struct memory memory;
	bool is_good = true;

	memory_open(&memory, workload->memory.medium.size);
	memory.is_recording = true;
	for (uint32_t i = 0; is_good && i < n; i++) {
		struct state state = {
			.workload = workload,
			.number = i,
			.random = workload->seed * 1000003 + i,
			/* all moments are equally likely, the end as well */
			.moment = (uint32_t)((uint64_t)i *
					     (workload->memory.n_ops + 1) / n),
		};

		if (only == UINT64_MAX || only == i)
			is_good = state_try(&state, &memory, before);
	}
	memory_close(&memory);
	free(before);
	return is_good;
}

static void test_workload(uint64_t seed, uint32_t n)
{
	uint64_t only = number("COMPRESS_STATE", UINT64_MAX);
	struct workload workload;
	bool is_good;
	int error;

	workload_make(&workload, seed);
	error = workload_run(&workload);
	is_good = error == 0 && workload_states(&workload, n, only);
	ok(is_good, "workload %llu%s: %u operations, %u states: %s",
	   (unsigned long long)seed, workload.n_clients > 1 ? ", threads" : "",
	   workload.memory.n_ops, n, strerror(-error));
	counts.workloads++;
	counts.threaded += workload.n_clients > 1;
	counts.cleaned += workload.n_cleaned;
	counts.checkpoints += workload.n_checkpoints;
	counts.operations += workload.memory.n_ops;
	workload_free(&workload);
}

static void report(void)
{
	printf("# %llu workloads, %llu with threads; %llu writes and syncs, "
	       "%llu checkpoints, %llu segments cleaned\n",
	       (unsigned long long)counts.workloads,
	       (unsigned long long)counts.threaded,
	       (unsigned long long)counts.operations,
	       (unsigned long long)counts.checkpoints,
	       (unsigned long long)counts.cleaned);
	printf("# %llu states: %llu kills, %llu of workloads with threads, "
	       "%llu of nearly full volumes, %llu within checkpoints\n",
	       (unsigned long long)counts.states,
	       (unsigned long long)counts.kills,
	       (unsigned long long)counts.threaded_states,
	       (unsigned long long)counts.nearly_full,
	       (unsigned long long)counts.in_checkpoint);
	printf("# %llu crashes while recovering or soon after, %llu blocks "
	       "compared\n",
	       (unsigned long long)counts.again,
	       (unsigned long long)counts.compared);
}

int main(void)
{
	uint64_t seed = number("COMPRESS_SEED", 1);
	uint64_t states = number("COMPRESS_STATES", 2000);
	uint32_t n = STATES_PER_WORKLOAD;

	setvbuf(stdout, NULL, _IOLBF, 0);
	/* at least 50 workloads */
	if (states < 50ULL * n)
		n = (uint32_t)((states + 49) / 50);
	for (uint64_t done = 0; done < states; done += n)
		test_workload(seed++, n);
	report();
	return tap_done();
}
