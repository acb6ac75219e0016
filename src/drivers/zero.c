/* SPDX-License-Identifier: MIT */
/*
 * zero - a disk that reads as zeroes and forgets what is written.
 */
#include "driver.h"
#include "msg.h"

struct zero {
	uint64_t size; /* bytes */
};

static const struct opt zero_opts[] = { OPT_SIZE("size", 's', struct zero, size,
						 OPT_REQUIRED, 512, INT64_MAX,
						 NULL, "size of the disk"),
					OPT_END };

static int zero_open(struct dev *dev)
{
	const struct zero *zero = dev_priv(dev);

	dev_attrs(dev)->size = zero->size;
	return EXIT_DONE;
}

static void zero_read(struct io *io)
{
	io_done_zero(io);
}

/* Everything that changes a disk: nothing to do, the data is not fetched. */
static void zero_ignore(struct io *io)
{
	io_done(io, 0);
}

DRIVER(zero) = {
	.name = "zero",
	.summary = "a disk that reads as zeroes and forgets what is written",
	.operands = "",
	.opts = zero_opts,
	.priv_size = sizeof(struct zero),
	.no_buffers = true,
	.open = zero_open,
	.read = zero_read,
	.write = zero_ignore,
	.fua_write = zero_ignore,
	.flush = zero_ignore,
	.write_zeroes = zero_ignore,
	.discard = zero_ignore,
};
