/* SPDX-License-Identifier: MIT */
/*
 * compress - a compressed, checksummed volume as a disk.
 *
 * Requests go to the engine (engine.h). A write is answered by whoever wrote
 * the batch that it is in, which a worker does when it has no more requests: so
 * what comes in at the same time goes out together.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"
#include "check.h"
#include "engine.h"
#include "file.h"
#include "ioctl.h"
#include "msg.h"
#include "onfull.h"
#include "stats.h"
#include "store.h"

#define COMPRESS_MAX_DISCARD (1U << 30)
/* A driver whose writes wait for space does not hang, until so much later. */
#define COMPRESS_GRACE_MS 30000U

/* A write, until it is answered. */
struct compress_write {
	struct commit commit;
	struct onfull_write write;
	struct io *io;
};

/* What outlives the driver. */
struct compress_kept {
	struct store_kept store; /* first */
	_Atomic uint32_t n_waiting;
};

/* A device on a volume; constant while it lives, but for what atomics say. */
struct compress {
	struct store store;
	uint64_t level;
	uint64_t map_cache;
	const char *on_full;
	bool does_check;
	const char *path;
	struct onfull onfull;
	struct backing backing;
	struct engine engine;
	atomic_bool was_told; /* that nothing can be written any more */
	bool was_started; /* else nothing may be written, not even in the end */
	struct compress_write *writes; /* by tag */
};

static const struct opt compress_opts[] = {
	OPT_UINT("level", 0, struct compress, level, 0, "N", 1, 22, NULL,
		 "of zstd for what is written; else the volume's"),
	OPT_BOOL("check-on-open", 0, struct compress, does_check,
		 "check the map first, and refuse to serve a damaged one"),
	OPT_SIZE("map-cache", 0, struct compress, map_cache, 0, 4 << 20,
		 1ULL << 36, "64M", "memory for parts of the map"),
	OPT_STRING("on-full", 0, struct compress, on_full, 0, "WHAT", "error",
		   "what a write does without space: error, queue, queue=60s"),
	OPT_END
};

static int compress_failed(const struct compress *compress, const char *path,
			   int error)
{
	msg_error("%s: %s: %s", path, compress->engine.reason,
		  strerror(-error));
	if (error == -ENOENT)
		msg_hint("\"bdus compress format\" makes a volume");
	else if (error == -EIO || error == -EBADMSG)
		msg_hint("\"bdus compress check\" tells what is wrong, "
			 "\"bdus compress repair\" repairs it");
	else if (error == -EROFS)
		msg_hint("--read-only makes a disk of it; \"bdus compress "
			 "repair --accept-stale\" takes it as it is");
	return EXIT_FAILED;
}

static int compress_prepare(struct compress *compress, struct dev *dev,
			    const char *path)
{
	struct engine_options options = {
		/* one more for writes that waited for space */
		.n_workers = dev_workers(dev) + 1,
		.map_cache = compress->map_cache,
		.level = (int)compress->level,
		.is_read_only = compress->store.is_read_only,
	};
	int error;

	backing_init(&compress->backing, &compress->store);
	error = engine_prepare(&compress->engine, &compress->backing.medium,
			       &options);
	return error == 0 ? EXIT_DONE : compress_failed(compress, path, error);
}

static void compress_warn(void *arg, unsigned int percent)
{
	const struct compress *compress = arg;

	msg_warn("%s: %u%% of the space is in use; when it is full, writes %s",
		 compress->path, percent,
		 compress->onfull.wait_ms == 0 ? "fail" : "wait, then fail");
}

/* What is to be done when there is no space, by this and by the kernel. */
static void compress_set_onfull(struct compress *compress, struct dev *dev,
				const char *path)
{
	struct kbdus_attributes *attrs = dev_attrs(dev);
	struct onfull *onfull = &compress->onfull;

	compress->path = path;
	onfull->engine = &compress->engine;
	onfull->worker = dev_workers(dev);
	/* the others are for discards, flushes and reads */
	onfull->max = attrs->queue_depth / 2;
	onfull->shown =
		&((struct compress_kept *)dev_kept_memory(dev))->n_waiting;
	onfull->arg = compress;
	if (layout_is_overcommitted(&compress->engine.super))
		onfull->warn = compress_warn;
	if (attrs->timeout_ms != 0 && onfull->wait_ms != 0 &&
	    attrs->timeout_ms < onfull->wait_ms + COMPRESS_GRACE_MS)
		attrs->timeout_ms = onfull->wait_ms + COMPRESS_GRACE_MS;
}

/* From now on the engine keeps its map where it is. */
static int compress_watch(struct compress *compress, const char *path)
{
	int error = compress->store.is_read_only ?
			    0 :
			    onfull_start(&compress->onfull);

	if (error == 0)
		return EXIT_DONE;
	msg_error("%s: %s", path, strerror(-error));
	return EXIT_FAILED;
}

static void compress_fit(struct compress *compress, struct dev *dev)
{
	struct kbdus_attributes *attrs = dev_attrs(dev);
	const struct super *super = &compress->engine.super;

	attrs->logical_block_size = BLOCK_SIZE;
	attrs->physical_block_size = BLOCK_SIZE;
	attrs->size = super->size;
	attrs->max_discard = COMPRESS_MAX_DISCARD;
	attrs->max_write_zeroes = COMPRESS_MAX_DISCARD;
	attrs->discard_granularity = BLOCK_SIZE;
}

/*
 * Until the driver before us has answered all that it has, nothing new gets to
 * it: no discard could end the waiting.
 */
static int compress_check_waiting(const struct dev *dev, const char *path)
{
	const struct compress_kept *before = dev_kept_before(dev);
	uint32_t n = before != NULL ? before->n_waiting : 0;

	if (n == 0)
		return EXIT_DONE;
	msg_error("%s: %" PRIu32 " writes wait for space, and would keep all "
		  "others waiting",
		  path, n);
	msg_hint("discard something first, or try again when they have failed; "
		 "see \"bdus stats\"");
	return EXIT_BUSY;
}

static int compress_open(struct dev *dev)
{
	struct compress *compress = dev_priv(dev);
	struct kbdus_attributes *attrs = dev_attrs(dev);
	const char *path = dev_operand(dev, 0);
	int code;

	if (attrs->logical_block_size > BLOCK_SIZE) {
		msg_error("the block size is %u", BLOCK_SIZE);
		return EXIT_USAGE;
	}
	if (!onfull_parse(compress->on_full, &compress->onfull.wait_ms)) {
		msg_error("--on-full: '%s' is not known", compress->on_full);
		msg_hint("accepted: error, queue, queue=SECONDS up to 3600");
		return EXIT_USAGE;
	}
	code = compress_check_waiting(dev, path);
	if (code == EXIT_DONE)
		code = store_acquire(&compress->store, dev, path);
	if (code != EXIT_DONE)
		return code;
	code = EXIT_FAILED;
	compress->writes = calloc(KBDUS_MAX_DEPTH, sizeof(*compress->writes));
	if (compress->writes == NULL)
		goto out_release;
	code = compress_prepare(compress, dev, path);
	if (code != EXIT_DONE)
		goto out_free;
	compress_fit(compress, dev);
	compress_set_onfull(compress, dev, path);
	code = store_serve(&compress->store, dev, path, 0);
	/* without it in the backing, it still is of use to us */
	if (!compress->store.is_read_only)
		attrs->ops |=
			1U << KBDUS_OP_DISCARD | 1U << KBDUS_OP_WRITE_ZEROES;
	if (code == EXIT_DONE)
		return EXIT_DONE;
	engine_abandon(&compress->engine);
out_free:
	free(compress->writes);
out_release:
	store_release(&compress->store, dev, path);
	return code;
}

/* Nothing was written to it yet, nor is, if it is damaged. */
static int compress_check(struct compress *compress, const char *path)
{
	struct check check = { 0 };
	int error = check_volume(&compress->engine, false, &check);

	ranges_free(&check.lost);
	if (error == 0 && check_is_clean(&check))
		return EXIT_DONE;
	msg_error("%s: %s", path,
		  error != 0 ? strerror(-error) :
			       "its map is damaged, and --check-on-open given");
	msg_hint("\"bdus compress check\" tells what is wrong");
	return EXIT_FAILED;
}

/* What the driver before us wrote is all there now. */
static int compress_start(struct dev *dev)
{
	struct compress *compress = dev_priv(dev);
	const struct super *super = &compress->engine.super;
	const char *path = dev_operand(dev, 0);
	bool does_check = compress->does_check;
	int error = engine_start(&compress->engine,
				 dev_is_ours(dev) && !does_check);

	if (error != 0)
		return compress_failed(compress, path, error);
	if (super->size != dev_attrs(dev)->size) {
		msg_error("%s: its size was changed just now", path);
		return EXIT_FAILED;
	}
	if (does_check && compress_check(compress, path) != EXIT_DONE)
		return EXIT_FAILED;
	if (compress_watch(compress, path) != EXIT_DONE)
		return EXIT_FAILED;
	compress->was_started = true;
	if (super->flags & SUPER_NEEDS_CHECK)
		msg_warn("%s: writes were lost once; \"bdus compress check\" "
			 "tells more",
			 path);
	return EXIT_DONE;
}

static int compress_close(struct dev *dev)
{
	struct compress *compress = dev_priv(dev);
	const char *path = dev_operand(dev, 0);
	int error = 0, code;

	onfull_stop(&compress->onfull);
	if (compress->was_started && dev_is_ours(dev))
		error = engine_close(&compress->engine);
	else
		engine_abandon(&compress->engine);
	if (error != 0)
		msg_error("%s: cannot be ended: %s", path, strerror(-error));
	free(compress->writes);
	code = store_close(&compress->store, path);
	return error == 0 ? code : EXIT_FAILED;
}

static struct compress *compress_of(const struct io *io)
{
	return dev_priv(io->dev);
}

static void compress_read(struct io *io)
{
	struct compress *compress = compress_of(io);

	io_done(io, engine_read(&compress->engine, io_worker(io), io->buf,
				io->len, io->off));
}

/* Once, when the backing has failed. */
static void compress_tell(struct compress *compress)
{
	int error = log_fail(&compress->engine.log, 0);

	if (error == 0 || atomic_exchange(&compress->was_told, true))
		return;
	msg_error("%s: the backing has failed: %s; nothing more is written",
		  compress->path, strerror(-error));
	msg_hint("reads go on; what was flushed is there when it is opened "
		 "again");
}

static void compress_answer(struct io *io, int error)
{
	if (error != 0)
		compress_tell(compress_of(io));
	io_done(io, error);
}

static void compress_done(struct commit *commit, int error)
{
	compress_answer(((struct compress_write *)commit)->io, error);
}

static struct commit *compress_begin(struct compress *compress, struct io *io)
{
	struct compress_write *write = &compress->writes[io->tag];

	write->commit.done = compress_done;
	write->io = io;
	io_defer(io);
	return &write->commit;
}

static void compress_end(struct io *io, int error)
{
	if (error != 0)
		compress_answer(io, error);
}

/* What came in together goes out together. */
static void compress_settle(struct dev *dev)
{
	struct compress *compress = dev_priv(dev);

	engine_kick(&compress->engine);
}

static void compress_write(struct io *io)
{
	struct compress *compress = compress_of(io);
	struct onfull_write *write = &compress->writes[io->tag].write;
	int error;

	write->commit = compress_begin(compress, io);
	write->buf = io->buf;
	write->len = io->len;
	write->off = io->off;
	/* the discard that would end the waiting would not come */
	if (io->is_alone)
		error = engine_write(&compress->engine, io_worker(io),
				     write->buf, write->len, write->off,
				     write->commit);
	else
		error = onfull_write(&compress->onfull, io_worker(io), write);
	compress_end(io, error);
}

static void compress_flush(struct io *io)
{
	struct engine *engine = &compress_of(io)->engine;

	compress_answer(io, io->is_handover ? engine_rest(engine) :
					      engine_flush(engine));
}

static void compress_make_zero(struct io *io, bool may_unmap)
{
	struct compress *compress = compress_of(io);
	struct commit *commit = compress_begin(compress, io);

	compress_end(io, engine_zero(&compress->engine, io->len, io->off,
				     may_unmap, commit));
}

static void compress_write_zeroes(struct io *io)
{
	compress_make_zero(io, io->may_unmap);
}

static void compress_discard(struct io *io)
{
	compress_make_zero(io, true);
}

static void compress_recompress(struct io *io)
{
	struct engine *engine = &compress_of(io)->engine;
	struct compress_recompress how;
	int error = 0;

	memcpy(&how, io->buf, sizeof(how));
	if (how.level > 22 || how.reserved != 0)
		error = -EINVAL;
	else if (how.level == 0)
		recompress_end(engine);
	else
		error = recompress_begin(engine, (int)how.level);
	io_done(io, error);
}

static void compress_stats(struct io *io)
{
	struct stats stats;

	engine_stats(&compress_of(io)->engine, &stats);
	stats.flags |= STATS_LIVE;
	stats.waiting += compress_of(io)->onfull.n;
	memcpy(io->buf, &stats, sizeof(stats));
	io_done(io, 0);
}

static void compress_ioctl(struct io *io)
{
	switch (io->command) {
	case STATS_GET:
		compress_stats(io);
		break;
	case COMPRESS_RECOMPRESS:
		compress_recompress(io);
		break;
	default:
		io_done(io, ENOTTY);
	}
}

static const struct applet *const compress_actions[] = {
	&compress_action_format,     &compress_action_info,
	&compress_action_check,	     &compress_action_repair,
	&compress_action_dump,	     &compress_action_resize,
	&compress_action_recompress, NULL,
};

DRIVER(compress) = {
	.name = "compress",
	.summary = "a compressed, checksummed volume as a disk",
	.operands = "FILE|DEVICE",
	.n_operands = 1,
	.opts = compress_opts,
	.actions = compress_actions,
	.priv_size = sizeof(struct compress),
	.kept_size = sizeof(struct compress_kept),
	.open = compress_open,
	.start = compress_start,
	.close = compress_close,
	.read = compress_read,
	.write = compress_write,
	.flush = compress_flush,
	.write_zeroes = compress_write_zeroes,
	.discard = compress_discard,
	.ioctl = compress_ioctl,
	.settle = compress_settle,
};
