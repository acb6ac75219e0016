/* SPDX-License-Identifier: MIT */
/*
 * loop - a file or block device as a disk.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "msg.h"
#include "store.h"

/*
 * Bounds for requests without payload: one of them is to end well within the
 * time after which a driver counts as stuck, even where all is written out.
 */
#define LOOP_MAX_DISCARD (1U << 30)
#define LOOP_MAX_ZERO (64U << 20)

/* A device on a backing; constant while it lives. */
struct loop {
	struct store store;
	uint64_t offset;    /* of the device in the backing, bytes */
	uint64_t sizelimit; /* most that is used, bytes; 0: no limit */
};

static const struct opt loop_opts[] = {
	OPT_SIZE("offset", 'o', struct loop, offset, 0, 0, INT64_MAX, NULL,
		 "where the disk starts in the backing"),
	OPT_SIZE("sizelimit", 0, struct loop, sizelimit, 0, 512, INT64_MAX,
		 NULL, "use no more than this of the backing"),
	OPT_BOOL("direct", 0, struct loop, store.is_direct,
		 "bypass the page cache of the backing (O_DIRECT)"),
	OPT_BOOL("create", 0, struct loop, store.is_new,
		 "make FILE, sparse; it must not exist"),
	OPT_SIZE("size", 's', struct loop, store.create_size, 0, 512, INT64_MAX,
		 NULL, "size of the file that --create makes"),
	OPT_END
};

static int loop_check_options(const struct loop *loop, struct dev *dev)
{
	const struct store *store = &loop->store;

	if (store->is_new && store->create_size == 0)
		msg_error("--create needs --size");
	else if (!store->is_new && store->create_size != 0)
		msg_error("--size is for --create; see --sizelimit");
	else if (store->is_new &&
		 (dev_attrs(dev)->flags & KBDUS_DEVICE_READ_ONLY))
		msg_error("--create and --read-only exclude each other");
	else
		return EXIT_DONE;
	return EXIT_USAGE;
}

static int loop_fit_blocks(const struct loop *loop, const char *path,
			   struct kbdus_attributes *attrs)
{
	const struct store *store = &loop->store;
	uint32_t least =
		store->is_direct && store->block > 512 ? store->block : 512;

	if (attrs->logical_block_size == 0)
		attrs->logical_block_size = least;
	if (attrs->logical_block_size < least) {
		msg_error("%s: --direct needs a --block-size of %" PRIu32
			  " or more",
			  path, least);
		return EXIT_USAGE;
	}
	if (store->is_direct && loop->offset % least != 0) {
		msg_error("%s: --direct needs an --offset that is a multiple "
			  "of %" PRIu32,
			  path, least);
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

static int loop_refuse(const char *path, const char *reason)
{
	msg_error("%s: %s", path, reason);
	return EXIT_FAILED;
}

static int loop_fit_size(const struct loop *loop, const char *path,
			 struct kbdus_attributes *attrs)
{
	uint32_t block = attrs->logical_block_size;
	uint64_t size = loop->store.size, rest;

	if (loop->offset >= size)
		return loop_refuse(path, loop->offset == 0 ?
						 "is empty" :
						 "ends before --offset");
	size -= loop->offset;
	if (loop->sizelimit != 0 && loop->sizelimit < size)
		size = loop->sizelimit;
	rest = size & (block - 1);
	size -= rest;
	if (size == 0)
		return loop_refuse(path, "is smaller than one block");
	if (rest != 0)
		msg_warn("%s: the last %" PRIu64 " bytes are no whole block "
			 "of %" PRIu32 " bytes and are left out",
			 path, rest, block);
	attrs->size = size;
	return EXIT_DONE;
}

static int loop_open(struct dev *dev)
{
	struct kbdus_attributes *attrs = dev_attrs(dev);
	const char *path = dev_operand(dev, 0);
	struct loop *loop = dev_priv(dev);
	int code = loop_check_options(loop, dev);

	if (code == EXIT_DONE)
		code = store_acquire(&loop->store, dev, path);
	if (code != EXIT_DONE)
		return code;
	attrs->max_discard = LOOP_MAX_DISCARD;
	attrs->max_write_zeroes = LOOP_MAX_ZERO;
	attrs->max_secure_erase = LOOP_MAX_ZERO;
	code = loop_fit_blocks(loop, path, attrs);
	if (code == EXIT_DONE)
		code = loop_fit_size(loop, path, attrs);
	if (code == EXIT_DONE)
		code = store_serve(&loop->store, dev, path, loop->offset);
	if (code != EXIT_DONE)
		store_release(&loop->store, dev, path);
	return code;
}

static int loop_close(struct dev *dev)
{
	struct loop *loop = dev_priv(dev);

	return store_close(&loop->store, dev_operand(dev, 0));
}

static const struct store *loop_store(const struct io *io)
{
	const struct loop *loop = dev_priv(io->dev);

	return &loop->store;
}

/* Where a request's data is in the backing. */
static uint64_t loop_offset(const struct io *io)
{
	const struct loop *loop = dev_priv(io->dev);

	return loop->offset + io->off;
}

static void loop_read(struct io *io)
{
	io_done(io,
		store_read(loop_store(io), io->buf, io->len, loop_offset(io)));
}

static void loop_write(struct io *io)
{
	io_done(io,
		store_write(loop_store(io), io->buf, io->len, loop_offset(io)));
}

static void loop_fua_write(struct io *io)
{
	io_done(io, store_write_durable(loop_store(io), io->buf, io->len,
					loop_offset(io)));
}

static void loop_flush(struct io *io)
{
	io_done(io, store_sync(loop_store(io)));
}

/*
 * For backings that have no way to make zeroes. The request carries no data,
 * so the buffer of its tag, as long as the largest write, is free.
 */
static int loop_write_out_zeroes(const struct io *io)
{
	uint32_t max = dev_attrs(io->dev)->max_io;
	uint32_t left = io->len;
	int error = 0;

	memset(io->buf, 0, left < max ? left : max);
	while (left > 0 && error == 0) {
		uint32_t part = left < max ? left : max;

		error = store_write(loop_store(io), io->buf, part,
				    loop_offset(io) + (io->len - left));
		left -= part;
	}
	return error;
}

static void loop_write_zeroes(struct io *io)
{
	int error = store_zero(loop_store(io), io->len, loop_offset(io),
			       io->may_unmap);

	if (error == -EOPNOTSUPP)
		error = loop_write_out_zeroes(io);
	io_done(io, error);
}

static void loop_discard(struct io *io)
{
	io_done(io, store_discard(loop_store(io), io->len, loop_offset(io)));
}

static void loop_secure_erase(struct io *io)
{
	io_done(io,
		store_secure_erase(loop_store(io), io->len, loop_offset(io)));
}

DRIVER(loop) = {
	.name = "loop",
	.summary = "a file or block device as a disk",
	.operands = "FILE|DEVICE",
	.n_operands = 1,
	.opts = loop_opts,
	.priv_size = sizeof(struct loop),
	.kept_size = sizeof(struct store_kept),
	.open = loop_open,
	.close = loop_close,
	.read = loop_read,
	.write = loop_write,
	.fua_write = loop_fua_write,
	.flush = loop_flush,
	.write_zeroes = loop_write_zeroes,
	.discard = loop_discard,
	.secure_erase = loop_secure_erase,
};
