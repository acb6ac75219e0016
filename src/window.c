/* SPDX-License-Identifier: MIT */
/*
 * window - a disk that is a part of its backing, byte by byte.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "msg.h"
#include "window.h"

/*
 * Bounds for requests without payload: one of them is to end well within the
 * time after which a driver counts as stuck, even where all is written out.
 */
#define WINDOW_MAX_DISCARD (1U << 30)
#define WINDOW_MAX_ZERO (64U << 20)

static int window_check_options(const struct window *window, struct dev *dev)
{
	const struct store *store = &window->store;

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

static int window_fit_blocks(const struct window *window, const char *path,
			     struct kbdus_attributes *attrs)
{
	const struct store *store = &window->store;
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
	if (store->is_direct && window->offset % least != 0) {
		msg_error("%s: --direct needs an --offset that is a multiple "
			  "of %" PRIu32,
			  path, least);
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

static int window_refuse(const char *path, const char *reason)
{
	msg_error("%s: %s", path, reason);
	return EXIT_FAILED;
}

static int window_fit_size(const struct window *window, const char *path,
			   struct kbdus_attributes *attrs)
{
	uint32_t block = attrs->logical_block_size;
	uint64_t size = window->store.size, rest;

	if (window->offset >= size)
		return window_refuse(path, window->offset == 0 ?
						   "is empty" :
						   "ends before --offset");
	size -= window->offset;
	if (window->sizelimit != 0 && window->sizelimit < size)
		size = window->sizelimit;
	rest = size & (block - 1);
	size -= rest;
	if (size == 0)
		return window_refuse(path, "is smaller than one block");
	if (rest != 0)
		msg_warn("%s: the last %" PRIu64 " bytes are no whole block "
			 "of %" PRIu32 " bytes and are left out",
			 path, rest, block);
	attrs->size = size;
	return EXIT_DONE;
}

int window_open(struct window *window, struct dev *dev, const char *path)
{
	struct kbdus_attributes *attrs = dev_attrs(dev);
	int code = window_check_options(window, dev);

	if (code == EXIT_DONE)
		code = store_acquire(&window->store, dev, path);
	if (code != EXIT_DONE)
		return code;
	attrs->max_discard = WINDOW_MAX_DISCARD;
	attrs->max_write_zeroes = WINDOW_MAX_ZERO;
	attrs->max_secure_erase = WINDOW_MAX_ZERO;
	code = window_fit_blocks(window, path, attrs);
	if (code == EXIT_DONE)
		code = window_fit_size(window, path, attrs);
	if (code != EXIT_DONE)
		store_release(&window->store, dev, path);
	return code;
}

int window_serve(struct window *window, struct dev *dev, const char *path)
{
	int code = store_serve(&window->store, dev, path, window->offset);

	if (code != EXIT_DONE)
		store_release(&window->store, dev, path);
	return code;
}

/* Where a request's data is in the backing. */
static uint64_t window_offset(const struct window *window, const struct io *io)
{
	return window->offset + io->off;
}

int window_read(const struct window *window, const struct io *io)
{
	return store_read(&window->store, io->buf, io->len,
			  window_offset(window, io));
}

int window_write(const struct window *window, const struct io *io)
{
	return store_write(&window->store, io->buf, io->len,
			   window_offset(window, io));
}

int window_write_durable(const struct window *window, const struct io *io)
{
	return store_write_durable(&window->store, io->buf, io->len,
				   window_offset(window, io));
}

/*
 * For backings that have no way to make zeroes. The request carries no data,
 * so the buffer of its tag, as long as the largest write, is free.
 */
static int window_write_out(const struct window *window, const struct io *io)
{
	uint32_t max = dev_attrs(io->dev)->max_io;
	uint32_t left = io->len;
	int error = 0;

	memset(io->buf, 0, left < max ? left : max);
	while (left > 0 && error == 0) {
		uint32_t part = left < max ? left : max;

		error = store_write(&window->store, io->buf, part,
				    window_offset(window, io) +
					    (io->len - left));
		left -= part;
	}
	return error;
}

int window_zero(const struct window *window, const struct io *io)
{
	int error = store_zero(&window->store, io->len,
			       window_offset(window, io), io->may_unmap);

	return error == -EOPNOTSUPP ? window_write_out(window, io) : error;
}

int window_discard(const struct window *window, const struct io *io)
{
	return store_discard(&window->store, io->len,
			     window_offset(window, io));
}

int window_secure_erase(const struct window *window, const struct io *io)
{
	return store_secure_erase(&window->store, io->len,
				  window_offset(window, io));
}
