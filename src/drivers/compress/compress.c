/* SPDX-License-Identifier: MIT */
/*
 * compress - a compressed, checksummed volume as a disk.
 *
 * Requests go to the engine (engine.h). A write is answered by whoever wrote
 * the batch that it is in. The last of the workers that are busy with writes
 * has the batch written, so that what comes in at the same time goes out
 * together.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"
#include "engine.h"
#include "file.h"
#include "msg.h"
#include "store.h"

#define COMPRESS_MAX_DISCARD (1U << 30)

/* A write, until it is answered. */
struct compress_write {
	struct commit commit;
	struct io *io;
};

/* A device on a volume; constant while it lives, but for what atomics say. */
struct compress {
	struct store store;
	uint64_t level;
	uint64_t map_cache;
	struct backing backing;
	struct engine engine;
	struct compress_write *writes; /* by tag */
	_Atomic unsigned int n_busy;
};

static const struct opt compress_opts[] = {
	OPT_UINT("level", 0, struct compress, level, 0, "N", 1, 22, NULL,
		 "of zstd for what is written; else the volume's"),
	OPT_SIZE("map-cache", 0, struct compress, map_cache, 0, 4 << 20,
		 1ULL << 36, "64M", "memory for parts of the map"),
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
		msg_hint("\"bdus compress check\" tells what is wrong");
	return EXIT_FAILED;
}

static int compress_prepare(struct compress *compress, struct dev *dev,
			    const char *path)
{
	struct engine_options options = {
		.n_workers = dev_workers(dev),
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

/* What the driver before us wrote is all there now. */
static int compress_start(struct dev *dev)
{
	struct compress *compress = dev_priv(dev);
	const struct super *super = &compress->engine.super;
	const char *path = dev_operand(dev, 0);
	int error = engine_start(&compress->engine, dev_is_ours(dev));

	if (error != 0)
		return compress_failed(compress, path, error);
	if (super->size != dev_attrs(dev)->size) {
		msg_error("%s: its size was changed just now", path);
		return EXIT_FAILED;
	}
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

	if (dev_is_ours(dev))
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

static void compress_done(struct commit *commit, int error)
{
	io_done(((struct compress_write *)commit)->io, error);
}

static struct commit *compress_begin(struct compress *compress, struct io *io)
{
	struct compress_write *write = &compress->writes[io->tag];

	atomic_fetch_add(&compress->n_busy, 1);
	write->commit.done = compress_done;
	write->io = io;
	return &write->commit;
}

/* What was begun is written by the last one who is busy. */
static void compress_end(struct compress *compress, struct io *io, int error)
{
	if (error != 0)
		io_done(io, error);
	if (atomic_fetch_sub(&compress->n_busy, 1) == 1)
		engine_kick(&compress->engine);
}

static void compress_write(struct io *io)
{
	struct compress *compress = compress_of(io);
	struct commit *commit = compress_begin(compress, io);

	compress_end(compress, io,
		     engine_write(&compress->engine, io_worker(io), io->buf,
				  io->len, io->off, commit));
}

static void compress_flush(struct io *io)
{
	struct engine *engine = &compress_of(io)->engine;

	io_done(io,
		io->is_handover ? engine_rest(engine) : engine_flush(engine));
}

static void compress_make_zero(struct io *io, bool may_unmap)
{
	struct compress *compress = compress_of(io);
	struct commit *commit = compress_begin(compress, io);

	compress_end(compress, io,
		     engine_zero(&compress->engine, io->len, io->off, may_unmap,
				 commit));
}

static void compress_write_zeroes(struct io *io)
{
	compress_make_zero(io, io->may_unmap);
}

static void compress_discard(struct io *io)
{
	compress_make_zero(io, true);
}

static const struct applet *const compress_actions[] = {
	&compress_action_format,
	&compress_action_info,
	&compress_action_check,
	NULL,
};

DRIVER(compress) = {
	.name = "compress",
	.summary = "a compressed, checksummed volume as a disk",
	.operands = "FILE|DEVICE",
	.n_operands = 1,
	.opts = compress_opts,
	.actions = compress_actions,
	.priv_size = sizeof(struct compress),
	.kept_size = sizeof(struct store_kept),
	.open = compress_open,
	.start = compress_start,
	.close = compress_close,
	.read = compress_read,
	.write = compress_write,
	.flush = compress_flush,
	.write_zeroes = compress_write_zeroes,
	.discard = compress_discard,
};
