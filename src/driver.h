/* SPDX-License-Identifier: MIT */
/*
 * driver.h - what a driver is: a struct of callbacks, one file in src/drivers/.
 *
 * The runtime opens the driver, creates the device, and calls the data
 * callbacks from several worker threads at once. A callback answers its
 * request with exactly one of the io_*() functions, before it returns or
 * later, from any thread. Callbacks never exit, never print and allocate
 * nothing; they keep all state in the driver's private structure.
 */
#ifndef BDUS_DRIVER_H
#define BDUS_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "applet.h"
#include "kbdus.h"
#include "opt.h"

struct dev;

/**
 * struct io - one request
 * @off: offset on the device, bytes, a multiple of the logical block size
 * @len: length in bytes; of an ioctl, the size of its argument
 * @command: of an ioctl
 * @buf: the request's payload buffer, page-aligned, dev_attrs()->max_io bytes:
 *	a write's data is in it, a read's data may be put there; an ioctl's
 *	argument is in it, both ways; NULL when the driver declared no_buffers
 * @may_unmap: write zeroes: the range may be deallocated
 * @is_handover: flush: once it is answered, another driver may look at the
 *	backing: nothing is to be written there until the next request, with
 *	which this driver goes on
 * @is_alone: a driver was lost with it: no other request comes until it is
 *	answered
 * @dev: the device
 * @tag: the runtime's
 * @generation: the runtime's
 */
struct io {
	uint64_t off;
	uint32_t len;
	uint32_t command;
	bool may_unmap;
	bool is_handover;
	bool is_alone;
	void *buf;
	struct dev *dev;
	uint16_t tag;
	uint32_t generation;
};

/**
 * io_done - answer a request
 * @io: the request; not to be touched afterwards
 * @error: 0 (a read's data, or an ioctl's argument, is in io->buf) or a
 *	positive or negative errno; an ioctl's reaches the client as it is
 */
void io_done(struct io *io, int error);

/**
 * io_done_addr - answer a read with data at, or take a write's data to, @addr
 * @io: the request; not to be touched afterwards
 * @addr: io->len bytes that stay until the next request of this thread; one
 *	copy is made, straight between the client's pages and here
 */
void io_done_addr(struct io *io, void *addr);

/**
 * io_worker - the number of the thread that serves a request
 * @io: the request, in a callback
 *
 * For what each thread has of its own.
 *
 * Return: 0 to dev_workers() - 1.
 */
unsigned int io_worker(const struct io *io);

/**
 * io_defer - let a request be answered later, with others
 * @io: the request, in a callback; it may be answered already
 *
 * The driver's @settle is called by the same thread before it waits for
 * requests, and at the latest after some dozen more.
 */
void io_defer(const struct io *io);

/** io_done_zero - answer a read with zeroes, made by the kernel. */
void io_done_zero(struct io *io);

/**
 * struct driver - a kind of device
 * @name: the file's name
 * @summary: one line for --list-full and help, lower case, no full stop
 * @operands: synopsis of what follows the options, e.g. "FILE|DEVICE", or ""
 * @n_operands: how many operands it takes (a usage error otherwise)
 * @opts: its options, or NULL
 * @actions: what can be done to its FILE|DEVICE beside serving it, ended by
 *	NULL; or NULL. "bdus NAME ACTION ..." runs one, "bdus NAME open ..." is
 *	then the same as "bdus NAME ..."
 * @priv_size: size of its private structure, which @opts fills
 * @kept_size: size of the memory of dev_kept_memory(); 0: it has none, and
 *	keeps no lock either
 * @loses_content: its disk is empty when another process serves it
 * @no_buffers: answers reads and writes by address or zero only, so that the
 *	device needs no payload buffers; not together with @ioctl
 * @open: check the options (dev_priv, dev_operand), acquire what is needed,
 *	fill dev_attrs (size at least; ops come from the callbacks); prints what
 *	is wrong and returns an exit code, 0 for success; undoes what it did.
 *	Another driver may be at work on the backing
 * @start: absent: nothing to do. Called once, before any request: nobody writes
 *	to the backing, so what is there can be read. Unless dev_is_ours(), the
 *	driver before us goes on with it if we fail, or die: it must not be
 *	written to, which the first request that asks for it allows. Prints what
 *	is wrong and returns an exit code, 0 for success; close is called then
 *	as well
 * @close: the last call: give everything back; returns 0 or an exit code.
 *	Unless dev_is_ours(), another driver may have the backing
 * @read: must exist
 * @write: without it the device is read-only
 * @fua_write: absent: the kernel sends write, then flush
 * @flush: absent: the device has no volatile cache
 * @write_zeroes: absent: the kernel writes zeroes
 * @discard: absent: not supported
 * @secure_erase: absent: not supported
 * @ioctl: absent: ENOTTY; an ioctl of a client, whose command was built with
 *	_IO, _IOR, _IOW or _IOWR; ENOTTY is the answer to one that is unknown
 * @settle: needed by those who call io_defer(): answer what was deferred
 *
 * An absent callback is not advertised. open may also clear bits of
 * dev_attrs()->ops, which is preset from the callbacks, to take one back.
 */
struct driver {
	const char *name;
	const char *summary;
	const char *operands;
	int n_operands;
	const struct opt *opts;
	const struct applet *const *actions;
	size_t priv_size;
	size_t kept_size;
	bool loses_content;
	bool no_buffers;
	int (*open)(struct dev *dev);
	int (*start)(struct dev *dev);
	int (*close)(struct dev *dev);
	void (*read)(struct io *io);
	void (*write)(struct io *io);
	void (*fua_write)(struct io *io);
	void (*flush)(struct io *io);
	void (*write_zeroes)(struct io *io);
	void (*discard)(struct io *io);
	void (*secure_erase)(struct io *io);
	void (*ioctl)(struct io *io);
	void (*settle)(struct dev *dev);
};

/** DRIVER - define the driver of this file: DRIVER(ram) = { ... }; */
#define DRIVER(id) const struct driver driver_##id

/** drivers - all drivers, sorted by name, ended by NULL (tables.c). */
extern const struct driver *const drivers[];

/** driver_find - the driver of that name, or NULL. */
const struct driver *driver_find(const char *name);

/** dev_priv - the driver's private structure. */
void *dev_priv(const struct dev *dev);

/** dev_workers - how many threads serve requests, at most; in open. */
unsigned int dev_workers(const struct dev *dev);

/** dev_operand - operand @i of the command line. */
const char *dev_operand(const struct dev *dev, int i);

/** dev_attrs - the device's attributes, to be filled by open. */
struct kbdus_attributes *dev_attrs(struct dev *dev);

/**
 * dev_kept_memory - memory that outlives the driver where it is supervised
 * @dev: the device
 *
 * For what the next driver must know and must not get by disk or command line,
 * a key for instance. Locked, not in core dumps, zeroes at first.
 *
 * Return: kept_size bytes.
 */
void *dev_kept_memory(const struct dev *dev);

/**
 * dev_kept_before - the kept memory of the driver that is being replaced
 * @dev: the device, in open
 *
 * Of the same kind of driver, in another process, which still uses it: for
 * reading. The binary may be another one: a structure that changes in meaning
 * has to change in size too.
 *
 * Return: kept_size bytes, until open returns; or NULL.
 */
const void *dev_kept_before(const struct dev *dev);

/** dev_kept_lock - see to it that the kept memory is not swapped out.
 * Return: 0 or -errno. */
int dev_kept_lock(const struct dev *dev);

/**
 * dev_is_restart - does this driver follow one that died, with its options?
 * @dev: the device
 *
 * Return: whether it does; then paths may mean something else by now, or
 * nothing.
 */
bool dev_is_restart(const struct dev *dev);

/**
 * dev_is_ours - is the backing ours alone?
 * @dev: the device, in start or close
 *
 * Return: whether it is; else another driver has it, may have it soon, or goes
 * on with it if we fail.
 */
bool dev_is_ours(const struct dev *dev);

/**
 * dev_is_rerun - does the device exist already, and have a driver or had one?
 * @dev: the device, in open
 *
 * Return: whether it does; the one before may still serve it.
 */
bool dev_is_rerun(const struct dev *dev);

/**
 * dev_keep - let the lock on the backing outlive the driver
 * @dev: the device, in open
 * @fd: descriptor that holds it, which may be that of dev_kept(); the runtime's
 *	from now on. A driver that replaces this one, or the supervisor, can
 *	have it too
 *
 * Return: 0 or -errno.
 */
int dev_keep(struct dev *dev, int fd);

/**
 * dev_kept - the lock: in open that of the driver before this one, until
 * dev_keep() was called
 * @dev: the device
 *
 * Return: the descriptor, or -1; one that dev_keep() is not told of is given up
 * after open.
 */
int dev_kept(const struct dev *dev);

#endif /* BDUS_DRIVER_H */
