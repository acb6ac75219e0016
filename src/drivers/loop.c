/* SPDX-License-Identifier: MIT */
/*
 * loop - a file or block device as a disk.
 */
#include "msg.h"
#include "window.h"

static const struct opt loop_opts[] = { WINDOW_OPTS(struct window, ), OPT_END };

static int loop_open(struct dev *dev)
{
	const char *path = dev_operand(dev, 0);
	struct window *window = dev_priv(dev);
	int code = window_open(window, dev, path);

	return code == EXIT_DONE ? window_serve(window, dev, path) : code;
}

static int loop_close(struct dev *dev)
{
	struct window *window = dev_priv(dev);

	return store_close(&window->store, dev_operand(dev, 0));
}

static void loop_read(struct io *io)
{
	io_done(io, window_read(dev_priv(io->dev), io));
}

static void loop_write(struct io *io)
{
	io_done(io, window_write(dev_priv(io->dev), io));
}

static void loop_fua_write(struct io *io)
{
	io_done(io, window_write_durable(dev_priv(io->dev), io));
}

static void loop_flush(struct io *io)
{
	const struct window *window = dev_priv(io->dev);

	io_done(io, store_sync(&window->store));
}

static void loop_write_zeroes(struct io *io)
{
	io_done(io, window_zero(dev_priv(io->dev), io));
}

static void loop_discard(struct io *io)
{
	io_done(io, window_discard(dev_priv(io->dev), io));
}

static void loop_secure_erase(struct io *io)
{
	io_done(io, window_secure_erase(dev_priv(io->dev), io));
}

DRIVER(loop) = {
	.name = "loop",
	.summary = "a file or block device as a disk",
	.operands = "FILE|DEVICE",
	.n_operands = 1,
	.opts = loop_opts,
	.priv_size = sizeof(struct window),
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
