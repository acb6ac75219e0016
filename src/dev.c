/* SPDX-License-Identifier: MIT */
/*
 * dev - a device: its attributes, its memory, its life in the kernel.
 */
#include "dev.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kept.h"
#include "module.h"
#include "msg.h"
#include "reclaim.h"
#include "takeover.h"

#define OP_BIT(op) (1U << (op))

void *dev_priv(const struct dev *dev)
{
	return dev->priv;
}

const char *dev_operand(const struct dev *dev, int i)
{
	return dev->operands[i];
}

struct kbdus_attributes *dev_attrs(struct dev *dev)
{
	return &dev->attrs;
}

void *dev_kept_memory(const struct dev *dev)
{
	return dev->kept_memory;
}

const void *dev_kept_before(const struct dev *dev)
{
	return dev->kept_before;
}

int dev_kept_lock(const struct dev *dev)
{
	return kept_memory_lock(dev->kept_memory);
}

unsigned int dev_workers(const struct dev *dev)
{
	return dev->n_workers;
}

bool dev_is_restart(const struct dev *dev)
{
	return dev->is_restart;
}

bool dev_is_ours(const struct dev *dev)
{
	return (!dev->is_rerun || dev->has_taken_over) &&
	       !atomic_load(&dev->was_replaced) && !atomic_load(&dev->is_lost);
}

bool dev_is_rerun(const struct dev *dev)
{
	return dev->is_rerun;
}

int dev_keep(struct dev *dev, int fd)
{
	int error = kept_publish(fd);

	dev->does_keep = error == 0;
	return error;
}

int dev_kept(const struct dev *dev)
{
	return dev->has_kept || dev->does_keep ? KEPT_FD : -1;
}

static void dev_set_callbacks(struct dev *dev)
{
	const struct driver *driver = dev->driver;

	dev->serve[KBDUS_OP_READ] = driver->read;
	dev->serve[KBDUS_OP_WRITE] = driver->write;
	dev->serve[KBDUS_OP_WRITE_ZEROES] = driver->write_zeroes;
	dev->serve[KBDUS_OP_FUA_WRITE] = driver->fua_write;
	dev->serve[KBDUS_OP_FLUSH] = driver->flush;
	dev->serve[KBDUS_OP_DISCARD] = driver->discard;
	dev->serve[KBDUS_OP_SECURE_ERASE] = driver->secure_erase;
	dev->serve[KBDUS_OP_IOCTL] = driver->ioctl;
}

/* What the driver finds in its attributes, for it to correct. */
static void dev_preset(struct dev *dev)
{
	struct kbdus_attributes *attrs = &dev->attrs;

	dev_set_callbacks(dev);
	for (unsigned int op = 0; op < KBDUS_OP_COUNT; op++)
		if (dev->serve[op] != NULL)
			attrs->ops |= OP_BIT(op);
	if (!(attrs->ops & OP_BIT(KBDUS_OP_WRITE)))
		attrs->flags |= KBDUS_DEVICE_READ_ONLY;
	if (attrs->flags & KBDUS_DEVICE_READ_ONLY)
		attrs->ops &= OP_BIT(KBDUS_OP_READ) | OP_BIT(KBDUS_OP_IOCTL);
	strncpy(attrs->driver, dev->driver->name, sizeof(attrs->driver) - 1);
	if (dev->driver->no_buffers) {
		attrs->queue_depth = KBDUS_DEFAULT_DEPTH;
		attrs->max_io = KBDUS_MAX_IO;
		dev->batch = DEV_BATCH_MAX;
	} else {
		attrs->queue_depth = DEV_BUFFER_DEPTH;
		attrs->max_io = DEV_BUFFER_BYTES / DEV_BUFFER_DEPTH;
		dev->batch = DEV_BATCH_BUFFERS;
	}
}

static int dev_check(const struct dev *dev)
{
	const struct kbdus_attributes *attrs = &dev->attrs;
	uint32_t block = attrs->logical_block_size;

	if (attrs->size > 0 && attrs->size % block == 0)
		return EXIT_DONE;
	msg_error("the size, %" PRIu64 " bytes, is not a multiple of the block "
		  "size, %" PRIu32,
		  (uint64_t)attrs->size, block);
	return EXIT_USAGE;
}

static void dev_close_control(struct dev *dev)
{
	if (dev->control >= 0)
		close(dev->control);
	dev->control = -1;
}

/* What the old driver can tell, before it is too late. */
static int dev_inherit(struct dev *dev)
{
	int code = EXIT_DONE;

	if (!dev->is_rerun)
		return EXIT_DONE;
	if (dev->control < 0)
		code = takeover_meet(dev);
	if (code != EXIT_DONE || dev->is_restart || dev->old.pid <= 0 ||
	    dev->driver->kept_size == 0)
		return code;
	dev->has_kept = kept_take(dev->old.pid) == 0;
	dev->kept_before = kept_memory_take(dev->old.pid, dev->driver->name,
					    dev->driver->kept_size);
	return EXIT_DONE;
}

static int dev_open_driver(struct dev *dev)
{
	int code;

	dev_preset(dev);
	code = dev->driver->open(dev);
	/* the lock on a backing that is none of this driver's */
	if (dev->has_kept && !dev->does_keep)
		close(KEPT_FD);
	dev->has_kept = false;
	if (dev->kept_before != NULL)
		kept_memory_free(dev->kept_before);
	dev->kept_before = NULL;
	return code;
}

int dev_open(struct dev *dev)
{
	int code = dev_inherit(dev);

	if (code == EXIT_DONE)
		code = dev_open_driver(dev);
	if (code != EXIT_DONE) {
		dev_close_control(dev);
		return code;
	}
	if (dev->attrs.logical_block_size == 0)
		dev->attrs.logical_block_size = 512;
	if (!(dev->attrs.ops & OP_BIT(KBDUS_OP_WRITE)))
		dev->attrs.flags |= KBDUS_DEVICE_READ_ONLY;
	code = dev_check(dev);
	if (code == EXIT_DONE && dev->is_rerun)
		code = takeover_check(dev);
	if (code != EXIT_DONE) {
		dev_close(dev);
		dev_close_control(dev);
	}
	return code;
}

int dev_start_driver(struct dev *dev)
{
	return dev->driver->start != NULL ? dev->driver->start(dev) : EXIT_DONE;
}

int dev_close(struct dev *dev)
{
	int code = EXIT_DONE;

	if (dev->driver->close != NULL)
		code = dev->driver->close(dev);
	if (dev->does_keep)
		close(KEPT_FD);
	dev->does_keep = false;
	return code;
}

static int dev_create_failed(int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		msg_error("cannot create a device: no privilege");
		msg_hint("run this as root (CAP_SYS_ADMIN is needed)");
		return EXIT_NO_MODULE;
	case ENOSPC:
		msg_error("cannot create a device: %d exist already",
			  KBDUS_MAX_DEVICES);
		return EXIT_FAILED;
	case EINVAL:
		msg_error("cannot create a device: the module refuses one of "
			  "its attributes");
		msg_hint("'echo module kbdus +p >/proc/dynamic_debug/control' "
			 "makes it name the attribute in the kernel's log");
		return EXIT_FAILED;
	default:
		msg_error("cannot create a device: %s", strerror(error));
		return EXIT_FAILED;
	}
}

static int dev_create(struct dev *dev)
{
	struct kbdus_create create = {
		.abi = KBDUS_ABI,
		.attributes = dev->attrs,
	};

	if (ioctl(dev->session, KBDUS_CREATE, &create) != 0)
		return dev_create_failed(errno);
	dev->attrs = create.attributes;
	dev->id = create.id;
	return EXIT_DONE;
}

/* What a request may bring: data, or the argument of an ioctl. */
static size_t dev_buffer_room(const struct kbdus_attributes *attrs, size_t page)
{
	size_t room = attrs->max_io;

	if ((attrs->ops & OP_BIT(KBDUS_OP_IOCTL)) && room <= KBDUS_IOCTL_MAX)
		room = KBDUS_IOCTL_MAX + 1;
	return (room + page - 1) / page * page;
}

static int dev_make_buffers(struct dev *dev, bool populate)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int error;

	if (dev->driver->no_buffers)
		return 0;
	dev->buffer_size = (uint32_t)dev_buffer_room(&dev->attrs, page);
	dev->buffers_size = (size_t)dev->attrs.queue_depth * dev->buffer_size;
	dev->buffers = mmap(NULL, dev->buffers_size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (dev->buffers == MAP_FAILED) {
		dev->buffers = NULL;
		return -errno;
	}
	error = populate ? reclaim_populate(dev->buffers, dev->buffers_size) :
			   0;
	return error;
}

static int dev_make_slots(struct dev *dev)
{
	size_t depth = dev->attrs.queue_depth;

	dev->slots =
		aligned_alloc(sizeof(*dev->slots), depth * sizeof(*dev->slots));
	if (dev->slots == NULL)
		return -ENOMEM;
	memset(dev->slots, 0, depth * sizeof(*dev->slots));
	for (size_t tag = 0; tag < depth; tag++) {
		struct io *io = &dev->slots[tag].io;

		io->dev = dev;
		io->tag = (uint16_t)tag;
		if (dev->buffers != NULL)
			io->buf = (char *)dev->buffers + tag * dev->buffer_size;
	}
	return 0;
}

static int dev_become_driver(struct dev *dev)
{
	struct kbdus_attach attach = {
		.abi = KBDUS_ABI,
		.flags = (dev->buffers == NULL ? KBDUS_ATTACH_GET : 0) |
			 (dev->is_restart ? KBDUS_ATTACH_SAME_OWNER : 0),
		.id = dev->id,
		.buffers = (uintptr_t)dev->buffers,
		.buffer_size = dev->buffer_size,
		.attributes = dev->is_rerun ? (uintptr_t)&dev->attrs : 0,
	};

	return ioctl(dev->session, KBDUS_ATTACH, &attach) == 0 ? 0 : -errno;
}

static int dev_make_workers(struct dev *dev)
{
	unsigned int wanted = dev->n_workers;

	dev->workers = calloc(wanted, sizeof(*dev->workers));
	if (dev->workers == NULL)
		return -ENOMEM;
	for (dev->n_workers = 0; dev->n_workers < wanted; dev->n_workers++) {
		struct worker *worker = &dev->workers[dev->n_workers];
		struct kbdus_queue_new queue = { 0 };

		if (ioctl(dev->session, KBDUS_QUEUE, &queue) != 0)
			return -errno;
		worker->queue = queue.fd;
		worker->dev = dev;
	}
	return 0;
}

static void dev_bound_depth(struct dev *dev)
{
	struct kbdus_attributes *attrs = &dev->attrs;

	if (dev->is_rerun)
		takeover_adopt(dev);
	else if (!dev->driver->no_buffers &&
		 (uint64_t)attrs->queue_depth * attrs->max_io >
			 DEV_BUFFER_BYTES)
		attrs->queue_depth = DEV_BUFFER_BYTES / attrs->max_io;
	if (dev->n_workers > attrs->queue_depth)
		dev->n_workers = attrs->queue_depth;
}

/* The files, and a device: a new one, or the one that is there. */
static int dev_get_device(struct dev *dev)
{
	int code = EXIT_DONE;

	if (!dev->is_rerun)
		code = module_open(&dev->control);
	if (code == EXIT_DONE)
		code = module_open(&dev->session);
	if (code == EXIT_DONE && !dev->is_rerun)
		code = dev_create(dev);
	return code;
}

static void dev_attach_failed(const struct dev *dev, int error)
{
	if (dev->is_rerun)
		takeover_explain(dev, error);
	else
		msg_error("cannot serve device %" PRIu64 ": %s", dev->id,
			  strerror(-error));
}

int dev_attach(struct dev *dev, bool populate)
{
	int code, error;

	dev_bound_depth(dev);
	code = dev_get_device(dev);
	if (code != EXIT_DONE) {
		dev->n_workers = 0;
		return code;
	}
	error = dev_make_buffers(dev, populate);
	if (error == 0)
		error = dev_make_slots(dev);
	if (error == 0)
		error = dev_become_driver(dev);
	if (error == 0)
		error = dev_make_workers(dev);
	if (error == 0)
		return EXIT_DONE;
	dev_attach_failed(dev, error);
	return error == -EBUSY ? EXIT_BUSY : EXIT_FAILED;
}

void dev_detach(struct dev *dev)
{
	for (unsigned int i = 0; dev->workers != NULL && i < dev->n_workers;
	     i++)
		close(dev->workers[i].queue);
	free(dev->workers);
	free(dev->slots);
	if (dev->buffers != NULL)
		munmap(dev->buffers, dev->buffers_size);
	if (dev->session >= 0)
		close(dev->session);
	dev_close_control(dev);
	dev->workers = NULL;
	dev->slots = NULL;
	dev->buffers = NULL;
	dev->session = -1;
}

int dev_settle(struct dev *dev)
{
	return ioctl(dev->session, KBDUS_SETTLE, 0) == 0 ? 0 : -errno;
}

int dev_start(struct dev *dev)
{
	int error;

	/* until it is ours, that there is nothing to serve is no loss */
	atomic_store(&dev->is_lost, dev->is_rerun);
	error = ioctl(dev->session, KBDUS_START, 0) == 0 ? 0 : -errno;
	if (error != 0)
		return error;
	dev->has_taken_over = dev->is_rerun;
	atomic_store(&dev->is_lost, false);
	return 0;
}

void dev_leave(struct dev *dev)
{
	atomic_store(&dev->is_lost, true);
	close(dev->session);
	dev->session = -1;
}

void dev_abandon(struct dev *dev)
{
	/* refused where it was not started: then it goes with the session */
	if (!dev->is_rerun)
		dev_terminate(dev,
			      KBDUS_TERMINATE_FORCE | KBDUS_TERMINATE_NO_FLUSH);
	dev_leave(dev);
}

int dev_terminate(struct dev *dev, unsigned int flags)
{
	struct kbdus_terminate terminate = { .id = dev->id, .flags = flags };

	if (ioctl(dev->control, KBDUS_TERMINATE, &terminate) == 0)
		return 0;
	return errno == EINTR ? 0 : -errno;
}
