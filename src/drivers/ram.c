/* SPDX-License-Identifier: MIT */
/*
 * ram - a disk held in memory; its content is lost when the driver exits.
 *
 * Memory is taken at open, so that a write can never fail for lack of it, and
 * discard and write zeroes keep it. With --lazy it is taken page by page as it
 * is written to, and given back: a write may then find none, and the OOM
 * killer does what it does.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver.h"
#include "meminfo.h"
#include "msg.h"
#include "reclaim.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

/* Longest discard and write zeroes: all zeroed by one worker at a stretch. */
#define RAM_MAX_ZERO (128U << 20)
/* What taking memory costs beside it (page tables), and a little for others. */
#define RAM_OVERHEAD(size) ((size) / 256 + (16U << 20))

struct ram {
	uint64_t size; /* bytes */
	size_t mapped; /* bytes, size rounded up to pages */
	size_t page;
	unsigned char *data;
	bool is_lazy;
};

static const struct opt ram_opts[] = {
	OPT_SIZE("size", 's', struct ram, size, OPT_REQUIRED, 512, INT64_MAX,
		 NULL, "size of the disk"),
	OPT_BOOL("lazy", 0, struct ram, is_lazy,
		 "take memory when it is written to, not at once"),
	OPT_END
};

static int ram_refuse(uint64_t size, const char *reason)
{
	msg_error("cannot reserve %" PRIu64 " bytes of memory: %s", size,
		  reason);
	msg_hint("choose a smaller --size, or --lazy to take memory only when "
		 "it is written to");
	return EXIT_FAILED;
}

/* Better refused now than found by the OOM killer half way. */
static int ram_check_available(const struct ram *ram)
{
	uint64_t available = meminfo("MemAvailable");
	char reason[96];

	if (ram->is_lazy || available == 0)
		return EXIT_DONE;
	if (ram->size <= available &&
	    RAM_OVERHEAD(ram->size) <= available - ram->size)
		return EXIT_DONE;
	snprintf(reason, sizeof(reason),
		 "%" PRIu64 " bytes are available, %" PRIu64
		 " of them needed beside it",
		 available, RAM_OVERHEAD(ram->size));
	return ram_refuse(ram->size, reason);
}

/*
 * Huge pages where the memory is taken anyway; where it is to be given back
 * in small pieces they would be in the way.
 */
static void ram_advise(const struct ram *ram)
{
	madvise(ram->data, ram->mapped,
		ram->is_lazy ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	madvise(ram->data, ram->mapped, MADV_DONTDUMP);
}

static int ram_map(struct ram *ram)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	int error;

	if (ram->is_lazy)
		flags |= MAP_NORESERVE;
	ram->data =
		mmap(NULL, ram->mapped, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (ram->data == MAP_FAILED)
		return -errno;
	ram_advise(ram);
	error = ram->is_lazy ? 0 : reclaim_populate(ram->data, ram->mapped);
	if (error != 0)
		munmap(ram->data, ram->mapped);
	return error;
}

static int ram_open(struct dev *dev)
{
	struct kbdus_attributes *attrs = dev_attrs(dev);
	struct ram *ram = dev_priv(dev);
	int code, error;

	ram->page = (size_t)sysconf(_SC_PAGESIZE);
	if (ram->size > SIZE_MAX - ram->page)
		return ram_refuse(ram->size, "more than can be addressed");
	code = ram_check_available(ram);
	if (code != EXIT_DONE)
		return code;
	ram->mapped = (ram->size + ram->page - 1) / ram->page * ram->page;
	error = ram_map(ram);
	if (error != 0)
		return ram_refuse(ram->size, strerror(-error));
	attrs->size = ram->size;
	attrs->max_discard = RAM_MAX_ZERO;
	attrs->max_write_zeroes = RAM_MAX_ZERO;
	if (ram->is_lazy)
		attrs->discard_granularity = (uint32_t)ram->page;
	return EXIT_DONE;
}

static int ram_close(struct dev *dev)
{
	struct ram *ram = dev_priv(dev);

	munmap(ram->data, ram->mapped);
	return EXIT_DONE;
}

/* One copy, by the kernel, straight between the client's pages and here. */
static void ram_move(struct io *io)
{
	struct ram *ram = dev_priv(io->dev);

	io_done_addr(io, ram->data + io->off);
}

/* Zero a range and give its whole pages back. */
static void ram_release(struct ram *ram, uint64_t off, uint64_t len)
{
	uint64_t end = off + len;
	uint64_t first = (off + ram->page - 1) / ram->page * ram->page;
	uint64_t last = end / ram->page * ram->page;

	/* pages that go are read as zeroes; if they do not go, zero them */
	if (first >= last || madvise(ram->data + first, last - first,
				     MADV_DONTNEED_LOCKED) != 0) {
		memset(ram->data + off, 0, len);
		return;
	}
	memset(ram->data + off, 0, first - off);
	memset(ram->data + last, 0, end - last);
}

static void ram_discard(struct io *io)
{
	struct ram *ram = dev_priv(io->dev);

	if (ram->is_lazy)
		ram_release(ram, io->off, io->len);
	else
		memset(ram->data + io->off, 0, io->len);
	io_done(io, 0);
}

static void ram_write_zeroes(struct io *io)
{
	struct ram *ram = dev_priv(io->dev);

	if (ram->is_lazy && io->may_unmap)
		ram_release(ram, io->off, io->len);
	else
		memset(ram->data + io->off, 0, io->len);
	io_done(io, 0);
}

DRIVER(ram) = {
	.name = "ram",
	.summary = "a disk held in memory",
	.operands = "",
	.opts = ram_opts,
	.priv_size = sizeof(struct ram),
	.loses_content = true,
	.no_buffers = true,
	.open = ram_open,
	.close = ram_close,
	.read = ram_move,
	.write = ram_move,
	.write_zeroes = ram_write_zeroes,
	.discard = ram_discard,
};
