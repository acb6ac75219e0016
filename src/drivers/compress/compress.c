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
};

static const struct opt compress_opts[] = {
	OPT_UINT("level", 0, struct compress, level, 0, "N", 1, 22, NULL,
		 "of zstd for what is written; else the volume's"),
	OPT_SIZE("map-cache", 0, struct compress, map_cache, 0, 4 << 20,
		 1ULL << 36, "64M", "memory for parts of the map"),
	OPT_END
};

static int compress_start(struct compress *compress, struct dev *dev,
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
	error = engine_open(&compress->engine, &compress->backing.medium,
			    &options);
	if (error == 0)
		return EXIT_DONE;
	msg_error("%s: %s: %s", path, compress->engine.reason,
		  strerror(-error));
	if (error == -ENOENT)
		msg_hint("\"bdus compress format\" makes a volume");
	else if (error == -EIO || error == -EBADMSG)
		msg_hint("\"bdus compress check\" tells what is wrong");
	return EXIT_FAILED;
}

static int compress_fit(struct compress *compress, struct dev *dev,
			const char *path)
{
	struct kbdus_attributes *attrs = dev_attrs(dev);
	const struct super *super = &compress->engine.super;

	attrs->logical_block_size = BLOCK_SIZE;
	attrs->physical_block_size = BLOCK_SIZE;
	attrs->size = super->size;
	attrs->max_discard = COMPRESS_MAX_DISCARD;
	attrs->max_write_zeroes = COMPRESS_MAX_DISCARD;
	attrs->discard_granularity = BLOCK_SIZE;
	if (super->flags & SUPER_NEEDS_CHECK)
		msg_warn("%s: writes were lost once; \"bdus compress check\" "
			 "tells more",
			 path);
	return EXIT_DONE;
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
	/*
	 * The driver before us may still write: the engine must not be opened
	 * before its last thread is gone, which a driver is not told yet.
	 */
	if (dev_kept(dev) >= 0 && !dev_is_restart(dev)) {
		msg_error("%s: cannot be taken over from a live driver yet",
			  path);
		return EXIT_FAILED;
	}
	code = store_acquire(&compress->store, dev, path);
	if (code != EXIT_DONE)
		return code;
	code = EXIT_FAILED;
	compress->writes = calloc(KBDUS_MAX_DEPTH, sizeof(*compress->writes));
	if (compress->writes == NULL)
		goto out_release;
	code = compress_start(compress, dev, path);
	if (code != EXIT_DONE)
		goto out_free;
	code = compress_fit(compress, dev, path);
	if (code == EXIT_DONE)
		code = store_serve(&compress->store, dev, path, 0);
	if (code == EXIT_DONE) {
		/* without it in the backing, it still is of use to us */
		attrs->ops |=
			1U << KBDUS_OP_DISCARD | 1U << KBDUS_OP_WRITE_ZEROES;
		return EXIT_DONE;
	}
	engine_close(&compress->engine);
out_free:
	free(compress->writes);
out_release:
	store_release(&compress->store, dev, path);
	return code;
}

static int compress_close(struct dev *dev)
{
	struct compress *compress = dev_priv(dev);
	const char *path = dev_operand(dev, 0);
	int error = engine_close(&compress->engine), code;

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

	write->commit.done = compress_done;
	write->io = io;
	io_defer(io);
	return &write->commit;
}

static void compress_end(struct io *io, int error)
{
	if (error != 0)
		io_done(io, error);
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
	struct commit *commit = compress_begin(compress, io);

	compress_end(io, engine_write(&compress->engine, io_worker(io), io->buf,
				      io->len, io->off, commit));
}

static void compress_flush(struct io *io)
{
	io_done(io, engine_flush(&compress_of(io)->engine));
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
	.close = compress_close,
	.read = compress_read,
	.write = compress_write,
	.flush = compress_flush,
	.write_zeroes = compress_write_zeroes,
	.discard = compress_discard,
	.settle = compress_settle,
};
