/* SPDX-License-Identifier: MIT */
/*
 * bdus.h - libbdus: write a driver for a block device as a short C program.
 *
 * The first part is compatible with the sources of drivers for libbdus 0.1;
 * the second, from "Beyond libbdus 0.1" on, is not in it. bdus-driver(7) is
 * the text to read first. Link with -lbdus -pthread.
 *
 * Unless a function says otherwise, any thread may call it. On failure they
 * return false, set errno, and leave a text for people with
 * bdus_get_error_message(); they never print and never touch signals.
 */
#ifndef BDUS_H
#define BDUS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the interface that this header describes. */
#define BDUS_HEADER_VERSION_MAJOR 0
#define BDUS_HEADER_VERSION_MINOR 1
#define BDUS_HEADER_VERSION_PATCH 2

/*
 * A program may define BDUS_REQUIRE_VERSION_MAJOR, _MINOR and _PATCH before it
 * includes this header: the version it was written for. It then fails to
 * compile against one that is not compatible with it.
 */
#if !defined(BDUS_REQUIRE_VERSION_MAJOR) &&     \
	!defined(BDUS_REQUIRE_VERSION_MINOR) && \
	!defined(BDUS_REQUIRE_VERSION_PATCH)
#define BDUS_REQUIRE_VERSION_MAJOR BDUS_HEADER_VERSION_MAJOR
#define BDUS_REQUIRE_VERSION_MINOR BDUS_HEADER_VERSION_MINOR
#define BDUS_REQUIRE_VERSION_PATCH BDUS_HEADER_VERSION_PATCH
#elif !defined(BDUS_REQUIRE_VERSION_MAJOR) ||   \
	!defined(BDUS_REQUIRE_VERSION_MINOR) || \
	!defined(BDUS_REQUIRE_VERSION_PATCH)
#error "define all of BDUS_REQUIRE_VERSION_{MAJOR,MINOR,PATCH}, or none"
#elif BDUS_REQUIRE_VERSION_MAJOR != BDUS_HEADER_VERSION_MAJOR ||   \
	BDUS_REQUIRE_VERSION_MINOR != BDUS_HEADER_VERSION_MINOR || \
	BDUS_REQUIRE_VERSION_PATCH > BDUS_HEADER_VERSION_PATCH
#error "bdus.h has version 0.1.2, which is not the one that is required"
#endif

struct bdus_ops;
struct bdus_attrs;

enum {
	/*
	 * What a callback returns when the driver cannot go on. The driver
	 * stops and is treated as one that died: its requests, the one that
	 * was being served among them, fail with EIO, or wait for the next
	 * driver if the device is recoverable. terminate is still called, and
	 * bdus_run() returns false with errno EIO.
	 */
	bdus_abort = INT_MIN
};

/**
 * struct bdus_ctx - a device and its driver, as callbacks see them
 * @id: the device's number, never used again while the module is loaded
 * @path: its node, "/dev/bdus-ID"; it exists once on_device_available is called
 * @ops: the callbacks given to bdus_run(); NULL in the asynchronous form
 * @attrs: the attributes in force: as given, with every 0 replaced by what was
 *	chosen, and limits brought down to what is possible
 * @is_rerun: the driver was started with bdus_rerun()
 * @private_data: the driver's own
 * @major: of the device's number; 0 until on_device_available is called
 * @minor: likewise
 *
 * @major and @minor are there for programs that require 0.1.1 or later.
 */
struct bdus_ctx {
	const uint64_t id;
	const char *const path;
	const struct bdus_ops *const ops;
	const struct bdus_attrs *const attrs;
	const bool is_rerun;
	void *private_data;
#if BDUS_REQUIRE_VERSION_PATCH >= 1
	const uint32_t major;
	const uint32_t minor;
#endif
};

/**
 * struct bdus_ops - the callbacks of a driver; to be initialised with zeroes
 * @initialize: called first, before any request. May drop privileges: what the
 *	driver needs of kbdus is open by then. If it fails, the device does not
 *	come up and no other callback is called. In bdus_rerun() it is called
 *	when the former driver has finished and flushed; if it fails, that one
 *	serves on
 * @on_device_available: called once clients can use the device, before
 *	daemonising, and never at the same time as another callback (so it must
 *	not wait for I/O on the device). NULL: prints the path to stdout. If it
 *	fails, the device goes
 * @terminate: called last, when no request is left; also after an abort; not
 *	when @initialize failed
 * @read: fill @size bytes of @buffer from @offset. NULL: reads fail
 * @write: store @size bytes. Without a writing operation the device is
 *	read-only
 * @write_same: accepted; Linux sends no such requests any more
 * @write_zeros: make a range read as zeroes; it may be deallocated if
 *	@may_unmap, else later writes to it must not fail for lack of space.
 *	NULL: zeroes arrive as writes
 * @fua_write: as write, and durable before it returns; needs @flush as well.
 *	NULL: a write and a flush stand in for it
 * @flush: make durable all writes that were completed before. NULL: writes
 *	are durable once they are completed
 * @discard: the content of the range is not needed any more
 * @secure_erase: as @discard, and the old content must not be recoverable
 * @ioctl: a command of a client, built with _IO, _IOR, _IOW or _IOWR (others
 *	end with ENOTTY before they come here). @argument is NULL for _IO, else
 *	it has _IOC_SIZE(command) bytes: the client's for _IOW and _IOWR, zeroes
 *	for _IOR; for _IOR and _IOWR it goes back to the client if 0 is
 *	returned. NULL: ENOTTY. Return ENOTTY for what is not known
 *
 * Callbacks return 0, an errno, or bdus_abort. Of read, write and the like,
 * ENOLINK, ENOSPC, ETIMEDOUT, EREMOTEIO, EBADE, ENODATA, EILSEQ and EOPNOTSUPP
 * reach the client and all others become EIO; an ioctl's reaches it as it is.
 *
 * For all requests: @offset and @size are multiples of the logical block size,
 * @size is not 0 and not larger than the limit for its kind in ctx->attrs, the
 * range lies within the device, and @buffer is aligned to pages.
 *
 * Callbacks for requests run on threads of the library with 8 MiB of stack, at
 * most max_concurrent_callbacks at a time; the first three on the thread that
 * called bdus_run(). None may destroy or flush its own device or do I/O on it.
 */
struct bdus_ops {
	int (*initialize)(struct bdus_ctx *ctx);
	int (*on_device_available)(struct bdus_ctx *ctx);
	int (*terminate)(struct bdus_ctx *ctx);
	int (*read)(char *buffer, uint64_t offset, uint32_t size,
		    struct bdus_ctx *ctx);
	int (*write)(const char *buffer, uint64_t offset, uint32_t size,
		     struct bdus_ctx *ctx);
	int (*write_same)(const char *buffer, uint64_t offset, uint32_t size,
			  struct bdus_ctx *ctx);
	int (*write_zeros)(uint64_t offset, uint32_t size, bool may_unmap,
			   struct bdus_ctx *ctx);
	int (*fua_write)(const char *buffer, uint64_t offset, uint32_t size,
			 struct bdus_ctx *ctx);
	int (*flush)(struct bdus_ctx *ctx);
	int (*discard)(uint64_t offset, uint32_t size, struct bdus_ctx *ctx);
	int (*secure_erase)(uint64_t offset, uint32_t size,
			    struct bdus_ctx *ctx);
	int (*ioctl)(uint32_t command, void *argument, struct bdus_ctx *ctx);
};

/**
 * struct bdus_attrs - what a device is; to be initialised with zeroes
 * @logical_block_size: bytes, a power of two from 512 to the page size;
 *	0: 512
 * @physical_block_size: bytes, a power of two from @logical_block_size to
 *	1 MiB; 0: chosen
 * @size: bytes, a positive multiple of the block sizes, below 2^63
 * @max_concurrent_callbacks: callbacks for requests that may run at the same
 *	time, each on a thread of its own; 0: 1; brought down to 256 or less
 * @max_read_write_size: largest read or write, bytes; at least the page size;
 *	0: chosen
 * @max_write_same_size: not used; 0 or at least @logical_block_size
 * @max_write_zeros_size: largest write of zeroes, bytes, at least
 *	@logical_block_size; 0: chosen
 * @max_discard_erase_size: largest discard or secure erase, likewise
 * @disable_partition_scanning: the device has no partitions
 * @recoverable: the device outlives a driver that dies: requests wait for one
 *	that takes over with bdus_rerun()
 * @dont_daemonize: stay in the foreground
 * @log: print to stderr how attributes were changed, and each callback before
 *	it is called
 * @timeout_ms: beyond 0.1. A driver that answers nothing for this long, while
 *	a request waits, is killed, since nothing else ends the wait of its
 *	clients; 0: 30 s; 1000 or more; UINT32_MAX: never
 *
 * A limit is brought down where it is more than possible, and is 0 where no
 * callback needs it. In bdus_rerun(), @size, the block sizes and the limits may
 * be 0: as the device has them, and this is what ctx->attrs shows; it shows the
 * device's @recoverable and @disable_partition_scanning, too.
 */
struct bdus_attrs {
	uint32_t logical_block_size;
	uint32_t physical_block_size;
	uint64_t size;
	uint32_t max_concurrent_callbacks;
	uint32_t max_read_write_size;
	uint32_t max_write_same_size;
	uint32_t max_write_zeros_size;
	uint32_t max_discard_erase_size;
	bool disable_partition_scanning;
	bool recoverable;
	bool dont_daemonize;
	bool log;
	uint32_t timeout_ms;
};

/**
 * bdus_run - make a device and be its driver until it ends
 * @ops: the callbacks; must stay until this returns
 * @attrs: copied
 * @private_data: first value of ctx->private_data
 *
 * Needs root (CAP_SYS_ADMIN), and loads the kernel module when it is absent.
 *
 * Unless attrs->dont_daemonize, this forks once the arguments have been checked
 * (so the process should have no other threads): the child does everything, and
 * only there this returns. The parent waits until on_device_available is done
 * and leaves by _exit(0), or, when the child ends before, with its exit status.
 * The child then starts a session and points the standard streams to /dev/null;
 * directory and umask stay.
 *
 * With attrs->dont_daemonize, several devices can be run at the same time, each
 * on a thread of its own.
 *
 * Signals do what they do: one that ends the process is the death of the
 * driver. End a device with bdus_destroy_dev() or bdus-destroy(8) instead.
 *
 * Return: true when the device was destroyed, or handed to another driver, and
 * terminate succeeded. errno otherwise: EINVAL (attributes, FUA write without
 * flush), EPERM, ENODEV (no module; or the session was revoked), EIO (an
 * abort), or what a callback returned.
 */
bool bdus_run(const struct bdus_ops *ops, const struct bdus_attrs *attrs,
	      void *private_data);

/**
 * bdus_rerun - be the next driver of a device, until it ends
 * @dev_id: of the device
 * @ops: as for bdus_run()
 * @attrs: likewise; see struct bdus_attrs for what may be 0
 * @private_data: likewise
 *
 * What the device had must be there: its operations, size, block sizes and
 * limits; more operations are accepted and not used. The compatibility is
 * checked while the former driver, if there is one, still serves. Then that one
 * finishes what it has and is sent a flush, @ops->initialize is called, and it
 * is replaced: its bdus_run() returns true. Requests wait meanwhile. Whatever
 * fails before leaves it serving.
 *
 * Return: as bdus_run(). errno besides: ENODEV (no such device), EBUSY (another
 * is taking it over).
 */
bool bdus_rerun(uint64_t dev_id, const struct bdus_ops *ops,
		const struct bdus_attrs *attrs, void *private_data);

/**
 * bdus_get_dev_id_from_path - find the id of a device
 * @out_dev_id: where to store it; not touched on failure
 * @dev_path: path of a block device
 *
 * Return: true, or false with errno ENODEV (no such device, not one of ours, a
 * partition), EPERM (not readable).
 */
bool bdus_get_dev_id_from_path(uint64_t *out_dev_id, const char *dev_path);

/**
 * bdus_flush_dev - make durable what was written to a device, as fsync() does
 * @dev_id: of the device
 *
 * Return: true, or false with errno ENODEV (no such device), EPERM, or what the
 * flush ended with.
 */
bool bdus_flush_dev(uint64_t dev_id);

/**
 * bdus_destroy_dev - flush a device, have its driver leave, and remove it
 * @dev_id: of the device
 *
 * Waits, without a limit, until the device is gone. While it flushes it has a
 * child process.
 *
 * Return: true, or false with errno ENODEV (no such device), EBUSY (it is open;
 * the message names by whom), EPERM, EIO (the flush failed; the device stays).
 */
bool bdus_destroy_dev(uint64_t dev_id);

/**
 * bdus_get_error_message - what went wrong last on this thread
 *
 * Return: a text that stays until a function fails on this thread the next
 * time; "" if none has failed.
 */
const char *bdus_get_error_message(void);

/**
 * struct bdus_version - a version, MAJOR.MINOR.PATCH
 * @major: first number
 * @minor: second number
 * @patch: third number
 */
struct bdus_version {
	uint32_t major;
	uint32_t minor;
	uint32_t patch;
};

/**
 * bdus_get_libbdus_version - the version of the interface that is linked in
 *
 * Return: never NULL; not to be freed.
 */
const struct bdus_version *bdus_get_libbdus_version(void);

/**
 * bdus_get_kbdus_version - the version of the kernel module
 * @out_version: where to store it
 *
 * Loads the module when it is absent.
 *
 * Return: true, or false with errno EPERM, ENODEV (no module).
 */
bool bdus_get_kbdus_version(struct bdus_version *out_version);

/* Beyond libbdus 0.1 *******************************************************/

/*
 * The asynchronous form: a callback is given a request and may return before it
 * is answered; the driver completes it later, once, from any thread. Reads can
 * be answered, and the data of writes taken, without a buffer between.
 */

/* A request, until it is completed. */
struct bdus_request;

/**
 * struct bdus_async_ops - callbacks of the asynchronous form; zero-initialised
 * @initialize: as in struct bdus_ops
 * @on_device_available: likewise, but callbacks for requests may run meanwhile
 * @terminate: likewise; every request has been completed by then
 * @read: bdus_complete() with the data in the buffer, bdus_complete_addr() or
 *	bdus_complete_zero()
 * @write: the data is in the buffer; or bdus_complete_addr()
 * @write_zeros: as in struct bdus_ops, as all that follow
 * @fua_write: the data comes as @write's
 * @flush: all writes completed before it was called are to be made durable
 * @discard: as there
 * @secure_erase: as there
 * @ioctl: the argument is in the buffer
 * @no_buffers: reads and writes are completed by address or zero only, or with
 *	an error; a driver that says so saves the buffers. Not with @ioctl
 *
 * Callbacks run on attrs->max_concurrent_callbacks threads of the library, and
 * should not wait: what a thread has taken, no other can work on. After an
 * abort too, each request must be completed before bdus_run_async() returns.
 */
struct bdus_async_ops {
	int (*initialize)(struct bdus_ctx *ctx);
	int (*on_device_available)(struct bdus_ctx *ctx);
	int (*terminate)(struct bdus_ctx *ctx);
	void (*read)(struct bdus_request *request, struct bdus_ctx *ctx);
	void (*write)(struct bdus_request *request, struct bdus_ctx *ctx);
	void (*write_zeros)(struct bdus_request *request, struct bdus_ctx *ctx);
	void (*fua_write)(struct bdus_request *request, struct bdus_ctx *ctx);
	void (*flush)(struct bdus_request *request, struct bdus_ctx *ctx);
	void (*discard)(struct bdus_request *request, struct bdus_ctx *ctx);
	void (*secure_erase)(struct bdus_request *request,
			     struct bdus_ctx *ctx);
	void (*ioctl)(struct bdus_request *request, struct bdus_ctx *ctx);
	bool no_buffers;
};

/** bdus_request_offset - where on the device, bytes; 0 of flush and ioctl. */
uint64_t bdus_request_offset(const struct bdus_request *request);

/** bdus_request_size - bytes; of an ioctl, those of its argument. */
uint32_t bdus_request_size(const struct bdus_request *request);

/**
 * bdus_request_buffer - its memory, page-aligned; the data, or the argument
 * @request: not completed yet
 *
 * Return: the buffer, the request's until it is completed; NULL with
 * @no_buffers.
 */
void *bdus_request_buffer(const struct bdus_request *request);

/** bdus_request_may_unmap - of write_zeros: the range may be deallocated. */
bool bdus_request_may_unmap(const struct bdus_request *request);

/** bdus_request_command - of an ioctl. */
uint32_t bdus_request_command(const struct bdus_request *request);

/**
 * bdus_complete - answer a request
 * @request: not to be touched afterwards
 * @result: 0, an errno or bdus_abort, as callbacks of struct bdus_ops return
 */
void bdus_complete(struct bdus_request *request, int result);

/**
 * bdus_complete_addr - answer a read with the data at, or take a write's to, an
 * address
 * @request: not to be touched afterwards; a read, write or FUA write
 * @addr: as many bytes as the request has, no alignment needed
 *
 * The kernel makes the only copy. On a thread that runs callbacks it may do so
 * after this returns, before the next callback on this thread but for those of
 * requests that were taken together (at most 64); so it is for memory that
 * stays. Elsewhere it is done when this returns. Data of a FUA write is not
 * there in time to be made durable unless @addr is durable itself.
 */
void bdus_complete_addr(struct bdus_request *request, void *addr);

/** bdus_complete_zero - answer a read with zeroes, which the kernel makes. */
void bdus_complete_zero(struct bdus_request *request);

/**
 * bdus_run_async - bdus_run() in the asynchronous form
 * @ops: the callbacks; must stay until this returns
 * @attrs: copied
 * @private_data: first value of ctx->private_data
 *
 * Return: as bdus_run().
 */
bool bdus_run_async(const struct bdus_async_ops *ops,
		    const struct bdus_attrs *attrs, void *private_data);

/**
 * bdus_rerun_async - bdus_rerun() in the asynchronous form
 * @dev_id: of the device
 * @ops: the callbacks; must stay until this returns
 * @attrs: copied
 * @private_data: first value of ctx->private_data
 *
 * Return: as bdus_rerun().
 */
bool bdus_rerun_async(uint64_t dev_id, const struct bdus_async_ops *ops,
		      const struct bdus_attrs *attrs, void *private_data);

#ifdef __cplusplus
}
#endif

#endif /* BDUS_H */
