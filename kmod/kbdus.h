/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note OR MIT */
/*
 * kbdus.h - the interface between the kernel module kbdus and user space.
 *
 * Everything goes through /dev/bdus-control. A file opened there starts as a
 * plain control file; KBDUS_CREATE or KBDUS_ATTACH turns it into the session
 * of one device, KBDUS_QUEUE on a session gives further files, one for each
 * worker thread, and KBDUS_EXCHANGE on those moves requests.
 *
 * A session is one process that serves, or is to serve, a device. A device is
 * handed from one to the next like this: the new process attaches to it, gets
 * its queue files, lets its workers wait there, and calls KBDUS_START, which
 * returns when the old driver has finished what it had and flushed, or is
 * gone.
 *
 * Rules that hold for every ioctl: numbers are in host byte order, sizes and
 * offsets in bytes; reserved fields must be zero and unknown flags are refused
 * (EINVAL); a pointer that cannot be read or written gives EFAULT; an unknown
 * command gives ENOTTY. A structure is written back only where a field says
 * "out", and on failure only where it says so.
 */
#ifndef KBDUS_H
#define KBDUS_H

#include <linux/ioctl.h>
#include <linux/types.h>

/** KBDUS_ABI - version of this interface; both sides must have the same. */
#define KBDUS_ABI 3

#define KBDUS_CONTROL_NAME "bdus-control"

/** KBDUS_MAX_DEVICES - devices that can exist at the same time. */
#define KBDUS_MAX_DEVICES 4096
/** KBDUS_MAX_DEPTH - largest queue depth, in requests. */
#define KBDUS_MAX_DEPTH 1024
/** KBDUS_DEFAULT_DEPTH - queue depth chosen for an attribute of 0. */
#define KBDUS_DEFAULT_DEPTH 128
/** KBDUS_MAX_IO - largest read or write request, in bytes. */
#define KBDUS_MAX_IO (1U << 20)
/** KBDUS_DEFAULT_MAX_IO - request size chosen for an attribute of 0, bytes. */
#define KBDUS_DEFAULT_MAX_IO (512U << 10)
/** KBDUS_MAX_QUEUES - queue files that one session can have. */
#define KBDUS_MAX_QUEUES 256
/** KBDUS_MAX_BATCH - completions, and requests, in one KBDUS_EXCHANGE. */
#define KBDUS_MAX_BATCH KBDUS_MAX_DEPTH
/** KBDUS_MAX_POLL_US - longest busy wait of one exchange, microseconds. */
#define KBDUS_MAX_POLL_US 1000
/** KBDUS_MAX_DEATHS - drivers that may die of a request before it fails. */
#define KBDUS_MAX_DEATHS 5
/** KBDUS_MAX_RETRIES - largest number of retries of a read. */
#define KBDUS_MAX_RETRIES 100
/** KBDUS_IOCTL_MAX - largest ioctl argument passed on to a driver, bytes. */
#define KBDUS_IOCTL_MAX 16383
#define KBDUS_NAME_SIZE 32
#define KBDUS_BACKING_SIZE 256

/**
 * enum kbdus_op - what a request asks for
 * @KBDUS_OP_READ: fill @len bytes from @off
 * @KBDUS_OP_WRITE: store @len bytes at @off
 * @KBDUS_OP_WRITE_ZEROES: make @len bytes at @off read as zeroes
 *	(%KBDUS_REQUEST_MAY_UNMAP: their space may be given back)
 * @KBDUS_OP_FUA_WRITE: as write, and durable before it is completed
 * @KBDUS_OP_FLUSH: make all completed writes durable; @off and @len are 0
 * @KBDUS_OP_DISCARD: the content of the range is no longer needed
 * @KBDUS_OP_SECURE_ERASE: as discard, and the old content must be
 *	unrecoverable
 * @KBDUS_OP_IOCTL: an ioctl of a client; the command is in @arg and its
 *	argument, @len bytes, in the tag's buffer, both ways
 * @KBDUS_OP_COUNT: how many there are
 */
enum kbdus_op {
	KBDUS_OP_READ,
	KBDUS_OP_WRITE,
	KBDUS_OP_WRITE_ZEROES,
	KBDUS_OP_FUA_WRITE,
	KBDUS_OP_FLUSH,
	KBDUS_OP_DISCARD,
	KBDUS_OP_SECURE_ERASE,
	KBDUS_OP_IOCTL,
	KBDUS_OP_COUNT
};

/**
 * enum kbdus_how - how the payload of a completed request moves
 * @KBDUS_HOW_NONE: nothing to move: writes that were consumed, and every
 *	operation without payload
 * @KBDUS_HOW_BUFFER: a read's data, or an ioctl's argument to be handed back,
 *	is in the tag's buffer
 * @KBDUS_HOW_ADDR: a read's data is at @addr, a write's data is to be put at
 *	@addr (any address of the driver, no alignment asked); the copy is made
 *	before the request ends, so the memory must stay until EXCHANGE returns
 * @KBDUS_HOW_ZERO: a read's data is all zeroes
 * @KBDUS_HOW_GET: not an end: copy a write's data, or an ioctl's argument, to
 *	@addr (0: the tag's buffer). The request stays with the driver under the
 *same generation
 * @KBDUS_HOW_FILE: reserved (a registered file's pages), EOPNOTSUPP
 * @KBDUS_HOW_REMAP: reserved (a registered block device), EOPNOTSUPP
 *
 * A failed request (result < 0) moves nothing and has %KBDUS_HOW_NONE.
 */
enum kbdus_how {
	KBDUS_HOW_NONE,
	KBDUS_HOW_BUFFER,
	KBDUS_HOW_ADDR,
	KBDUS_HOW_ZERO,
	KBDUS_HOW_GET,
	KBDUS_HOW_FILE,
	KBDUS_HOW_REMAP
};

/* kbdus_request.flags */
/** KBDUS_REQUEST_MAY_UNMAP - write zeroes may deallocate the range. */
#define KBDUS_REQUEST_MAY_UNMAP (1U << 0)
/** KBDUS_REQUEST_PAYLOAD - the data is in the tag's buffer already. */
#define KBDUS_REQUEST_PAYLOAD (1U << 1)
/**
 * KBDUS_REQUEST_HANDOVER - a flush, the last request before a candidate may
 * look at the backing: once it is answered, the driver must not write there by
 * itself, until there is another request, which says that it goes on.
 */
#define KBDUS_REQUEST_HANDOVER (1U << 2)

/**
 * struct kbdus_request - a request handed to the driver
 * @off: offset on the device, bytes; a multiple of the logical block size
 * @len: length in bytes; for an ioctl, the size of its argument
 * @generation: names this delivery; to be given back in the completion
 * @arg: ioctl command, else 0
 * @tag: names the request, below the queue depth; selects its buffer
 * @flags: KBDUS_REQUEST_*
 * @op: enum kbdus_op
 * @attempt: how many drivers were lost with it before (saturates at 255);
 *	if any, it is not merged, and is alone with the driver
 * @reserved: 0
 * @reserved2: 0
 */
struct kbdus_request {
	__u64 off;
	__u32 len;
	__u32 generation;
	__u32 arg;
	__u16 tag;
	__u16 flags;
	__u8 op;
	__u8 attempt;
	__u16 reserved;
	__u32 reserved2;
};

/**
 * struct kbdus_completion - a driver's answer to a request
 * @addr: user address for %KBDUS_HOW_ADDR and %KBDUS_HOW_GET, else 0
 * @generation: of the delivery that is answered
 * @result: 0, or a negative errno; an ioctl's reaches the client as it is; of
 *	the others, those that the block layer can carry (ENOSPC, ENOLINK,
 *ETIMEDOUT, EREMOTEIO, EBADE, ENODATA, EILSEQ, EOPNOTSUPP), all others as EIO
 * @done: on success the request's @len, on failure 0; anything else is refused
 * @tag: of the request
 * @how: enum kbdus_how
 * @flags: 0
 * @file: 0 (reserved for KBDUS_HOW_FILE and KBDUS_HOW_REMAP)
 * @reserved: 0
 * @reserved2: 0
 */
struct kbdus_completion {
	__u64 addr;
	__u32 generation;
	__s32 result;
	__u32 done;
	__u16 tag;
	__u8 how;
	__u8 flags;
	__u16 file;
	__u16 reserved;
	__u32 reserved2;
};

/* kbdus_exchange.flags */
/** KBDUS_EXCHANGE_NOWAIT - in: return at once when nothing is pending. */
#define KBDUS_EXCHANGE_NOWAIT (1U << 0)
/** KBDUS_EXCHANGE_TERMINATE - out: no request will come; close and leave. */
#define KBDUS_EXCHANGE_TERMINATE (1U << 1)
/** KBDUS_EXCHANGE_REPLACED - out, with TERMINATE: the device lives on. */
#define KBDUS_EXCHANGE_REPLACED (1U << 2)

/**
 * struct kbdus_exchange - completions in, requests out
 * @completions: address of an array of struct kbdus_completion
 * @requests: address of an array of struct kbdus_request
 * @n_completions: how many completions to apply, up to %KBDUS_MAX_BATCH
 * @n_done: out, also on failure: completions applied. On failure the
 *	completion at this index was refused, and none after it was looked at
 * @max_requests: room in @requests, up to %KBDUS_MAX_BATCH; 0: only complete
 * @n_requests: out, also on failure: requests written, 0 on failure
 * @poll_us: busy wait for a request before sleeping, up to
 *	%KBDUS_MAX_POLL_US; ignored on a machine with one CPU
 * @flags: KBDUS_EXCHANGE_*; in and out
 *
 * On a queue file, by the process that attached, else EPERM. Applies the
 * completions in order, then takes what is pending, sleeping (interruptibly)
 * while there is nothing. Errors: EINTR (a signal; nothing is lost, call
 * again), EINVAL (unknown flag or count; completion n_done has a bad field),
 * EFAULT (array or payload address), ESTALE (completion n_done answers a
 * delivery that is no longer this session's), ENOENT (its tag has no request
 * delivered), EBUSY (another thread is completing it), EOPNOTSUPP (its @how),
 * ENODEV (the session has ended: the driver should close and exit).
 */
struct kbdus_exchange {
	__u64 completions;
	__u64 requests;
	__u32 n_completions;
	__u32 n_done;
	__u32 max_requests;
	__u32 n_requests;
	__u32 poll_us;
	__u32 flags;
};

/* kbdus_attributes.flags */
#define KBDUS_DEVICE_READ_ONLY (1U << 0)
#define KBDUS_DEVICE_ROTATIONAL (1U << 1)
/** KBDUS_DEVICE_NO_PARTITIONS - no partition scan, none can be added. */
#define KBDUS_DEVICE_NO_PARTITIONS (1U << 2)
/**
 * KBDUS_DEVICE_RECOVERABLE - outlives its driver: once the disk is usable, a
 * driver that is lost leaves it waiting for the next one.
 */
#define KBDUS_DEVICE_RECOVERABLE (1U << 3)
/** KBDUS_DEVICE_SUPERVISED - somebody restarts the driver; for display. */
#define KBDUS_DEVICE_SUPERVISED (1U << 4)

/**
 * enum kbdus_on_hang - what becomes of the requests of a driver that hangs
 * @KBDUS_ON_HANG_ERROR: they fail with ETIMEDOUT
 * @KBDUS_ON_HANG_RESTART: they wait for the next driver, for the recovery
 *	timeout
 * @KBDUS_ON_HANG_HOLD: they wait for the next driver, however long
 *
 * In each case the driver is killed first, and nothing is done with what it
 * holds until its last thread is gone. The last two are for recoverable
 * devices.
 */
enum kbdus_on_hang {
	KBDUS_ON_HANG_ERROR,
	KBDUS_ON_HANG_RESTART,
	KBDUS_ON_HANG_HOLD
};

/**
 * struct kbdus_attributes - what a device is
 * @size: bytes; a positive multiple of @logical_block_size, below 2^63
 * @logical_block_size: power of two, 512 to the page size; 0: 512
 * @physical_block_size: power of two, @logical_block_size to 1 MiB; 0: as
 *	the logical, but at least 4096 where @size is a multiple of it
 * @ops: mask of (1 << enum kbdus_op): what the driver implements; must have
 *	read; FUA write needs write and flush. No write: the device is
 *	read-only, and no other writing operation may be in the mask
 * @flags: KBDUS_DEVICE_*
 * @max_io: largest read or write, bytes; a multiple of the page size up to
 *	%KBDUS_MAX_IO; 0: %KBDUS_DEFAULT_MAX_IO
 * @max_write_zeroes: bytes, a multiple of @logical_block_size; 0: no limit
 * @max_discard: likewise
 * @max_secure_erase: likewise
 * @discard_granularity: bytes, power of two, at least @logical_block_size;
 *	0: the logical block size
 * @queue_depth: requests in flight, 1 to %KBDUS_MAX_DEPTH; 0:
 *	%KBDUS_DEFAULT_DEPTH
 * @timeout_ms: a driver that completes nothing for this long, while a request
 *	is older than it, is killed; 1000 or more, 0: never
 * @recovery_timeout_ms: recoverable: after so long without a driver, what
 *	waits fails with ETIMEDOUT, and so does what comes, until there is one
 *	again; 1000 or more, 0: never. Not recoverable: 0
 * @on_hang: enum kbdus_on_hang
 * @read_retries: how often a read that failed with EIO is sent again, up to
 *	%KBDUS_MAX_RETRIES
 * @owner: a number of whoever starts the drivers, to know its own again; 0:
 *none
 * @reserved: 0
 * @driver: name of the driver, printable ASCII, NUL-terminated
 * @backing: what is behind it, for people; NUL-terminated, may be empty
 */
struct kbdus_attributes {
	__u64 size;
	__u32 logical_block_size;
	__u32 physical_block_size;
	__u32 ops;
	__u32 flags;
	__u32 max_io;
	__u32 max_write_zeroes;
	__u32 max_discard;
	__u32 max_secure_erase;
	__u32 discard_granularity;
	__u32 queue_depth;
	__u32 timeout_ms;
	__u32 recovery_timeout_ms;
	__u32 on_hang;
	__u32 read_retries;
	__u64 owner;
	__u64 reserved[2];
	char driver[KBDUS_NAME_SIZE];
	char backing[KBDUS_BACKING_SIZE];
};

/**
 * struct kbdus_version - answer of KBDUS_VERSION
 * @abi: out: %KBDUS_ABI of the module
 * @reserved: 0
 * @release: out: release of the module, NUL-terminated
 */
struct kbdus_version {
	__u32 abi;
	__u32 reserved;
	char release[KBDUS_NAME_SIZE];
};

/**
 * struct kbdus_create - argument of KBDUS_CREATE
 * @abi: %KBDUS_ABI; another one is refused with EPROTO
 * @reserved: 0
 * @attributes: in; out: with every 0 replaced by what was chosen
 * @id: out: of the new device; never used again while the module is loaded
 *
 * On a plain control file with CAP_SYS_ADMIN (EPERM). The device is not
 * visible yet; closing the file, or the end of the process, removes it.
 * Errors: EPROTO, EINVAL (an attribute, named in the debug log), EBUSY (the
 * file has a device already), ENOSPC (%KBDUS_MAX_DEVICES exist), ENOMEM.
 */
struct kbdus_create {
	__u32 abi;
	__u32 reserved;
	struct kbdus_attributes attributes;
	__u64 id;
};

/* kbdus_attach.flags */
/**
 * KBDUS_ATTACH_GET - writes and ioctls come without payload; the driver asks
 * for it (%KBDUS_HOW_GET), or takes a write's with %KBDUS_HOW_ADDR.
 */
#define KBDUS_ATTACH_GET (1U << 0)
/**
 * KBDUS_ATTACH_SAME_OWNER - of a candidate: only if its owner is that of the
 * last driver. Who restarts drivers must not replace what somebody else has
 * put in their place.
 */
#define KBDUS_ATTACH_SAME_OWNER (1U << 1)

/**
 * struct kbdus_attach - argument of KBDUS_ATTACH
 * @abi: %KBDUS_ABI; another one is refused with EPROTO
 * @flags: KBDUS_ATTACH_*
 * @id: the device
 * @buffers: address of queue_depth x @buffer_size bytes of payload buffers,
 *	page-aligned; tag t has the one at @buffers + t x @buffer_size
 * @buffer_size: bytes, a multiple of the page size, at least the device's
 *	max_io (and, with %KBDUS_OP_IOCTL, 16384); 0: no buffers: then
 *	%KBDUS_ATTACH_GET is needed, and BUFFER and GET without @addr are
 *	refused
 * @reserved: 0
 * @attributes: 0 on the file that created the device; else the address of a
 *	struct kbdus_attributes that says what the new driver is
 *
 * Makes the calling process (thread group) the driver of a new device, on the
 * file that created it; or the candidate that is to take a device over, on a
 * plain control file with CAP_SYS_ADMIN (EPERM).
 *
 * A candidate must be able to do all that the device promises its clients:
 * same size and block sizes, at least its operations (what it has
 * beyond them is not used), limits, and queue depth; else EINVAL. Once it has
 * taken over, driver, backing, owner, both timeouts, on_hang, read_retries and
 * the flags RECOVERABLE and SUPERVISED are the candidate's; the rest stays.
 *
 * Errors: EPROTO, EINVAL, EFAULT, ENODEV (no such device, or not this file's),
 * EBUSY (it has a driver, or is being taken over already, or not started yet),
 * ESHUTDOWN (it is being destroyed), ESTALE (%KBDUS_ATTACH_SAME_OWNER, and it
 *is another one), ENOMEM.
 */
struct kbdus_attach {
	__u32 abi;
	__u32 flags;
	__u64 id;
	__u64 buffers;
	__u32 buffer_size;
	__u32 reserved;
	__u64 attributes;
};

/**
 * struct kbdus_queue_new - argument of KBDUS_QUEUE
 * @flags: 0
 * @fd: out: a new file (close-on-exec) that takes KBDUS_EXCHANGE only
 *
 * On a session, by its process (EPERM). Errors: EINVAL, ENODEV (not attached,
 * or ended), EUSERS (%KBDUS_MAX_QUEUES exist), EMFILE, ENOMEM.
 */
struct kbdus_queue_new {
	__u32 flags;
	__s32 fd;
};

/* kbdus_terminate.flags */
/** KBDUS_TERMINATE_NO_FLUSH - do not flush first. */
#define KBDUS_TERMINATE_NO_FLUSH (1U << 0)
/**
 * KBDUS_TERMINATE_FORCE - also when the device is open; KBDUS_DESTROY then
 * kills a driver that has not left when @timeout_ms has passed.
 */
#define KBDUS_TERMINATE_FORCE (1U << 1)

/**
 * struct kbdus_terminate - argument of KBDUS_TERMINATE and KBDUS_DESTROY
 * @id: of the device
 * @flags: KBDUS_TERMINATE_*
 * @timeout_ms: KBDUS_DESTROY: how long to wait for the driver; 0: for ever
 *
 * KBDUS_TERMINATE refuses new opens, flushes, and tells the driver to finish
 * what it has and to leave; it does not wait for that. KBDUS_DESTROY does the
 * same and returns when the disk is gone. With CAP_SYS_ADMIN (EPERM). Errors:
 * EINVAL, ENODEV (no such device), EBUSY (open), EAGAIN (being taken over, and
 * not by force), ENOTCONN (there is no driver to flush, and not NO_FLUSH), the
 * errno of a failed flush: nothing was changed; EINTR and ETIMEDOUT: the driver
 * was told, and the device goes once it leaves.
 */
struct kbdus_terminate {
	__u64 id;
	__u32 flags;
	__u32 timeout_ms;
};

/**
 * enum kbdus_state - life of a device, as sysfs and KBDUS_INFO show it
 * @KBDUS_STATE_NEW: created; no disk yet
 * @KBDUS_STATE_LIVE: the disk is there and a driver serves it
 * @KBDUS_STATE_ENDING: the driver was told to leave
 * @KBDUS_STATE_DEAD: the driver is gone, the disk goes
 * @KBDUS_STATE_WAITING: the disk is there and has no driver; requests wait
 */
enum kbdus_state {
	KBDUS_STATE_NEW,
	KBDUS_STATE_LIVE,
	KBDUS_STATE_ENDING,
	KBDUS_STATE_DEAD,
	KBDUS_STATE_WAITING
};

/**
 * enum kbdus_reason - why the last driver left
 * @KBDUS_REASON_NONE: none has left yet
 * @KBDUS_REASON_EXITED: its process ended, or was killed
 * @KBDUS_REASON_HUNG: it did nothing for the timeout, and was killed
 * @KBDUS_REASON_CLOSED: it closed its session; it is gone when its queue files
 *	are closed too
 * @KBDUS_REASON_REPLACED: another one took over
 */
enum kbdus_reason {
	KBDUS_REASON_NONE,
	KBDUS_REASON_EXITED,
	KBDUS_REASON_HUNG,
	KBDUS_REASON_CLOSED,
	KBDUS_REASON_REPLACED
};

/**
 * struct kbdus_info - argument of KBDUS_INFO
 * @id: in
 * @state: out: enum kbdus_state
 * @pid: out: the driver's process in the caller's pid namespace, while waiting
 *	that of one which is not gone yet; 0: none, or not visible there
 * @openers: out: how many times the disk and its partitions are open
 * @reason: out: enum kbdus_reason
 * @sessions: out: how many drivers it has had
 * @completed: out: how many requests were answered with success, or given up
 *	because drivers die of them: it grows while there is progress
 * @attributes: out
 *
 * Errors: EINVAL, ENODEV (no such device).
 */
struct kbdus_info {
	__u64 id;
	__u32 state;
	__s32 pid;
	__u32 openers;
	__u32 reason;
	__u64 sessions;
	__u64 completed;
	struct kbdus_attributes attributes;
};

#define KBDUS_IOC_MAGIC 0xbd

/** KBDUS_VERSION - any file: who are you? */
#define KBDUS_VERSION _IOWR(KBDUS_IOC_MAGIC, 0, struct kbdus_version)
#define KBDUS_CREATE _IOWR(KBDUS_IOC_MAGIC, 1, struct kbdus_create)
#define KBDUS_ATTACH _IOWR(KBDUS_IOC_MAGIC, 2, struct kbdus_attach)
#define KBDUS_QUEUE _IOWR(KBDUS_IOC_MAGIC, 3, struct kbdus_queue_new)
/**
 * KBDUS_START - on a session, by its process, while its workers are serving.
 * No argument. On the session that created the device: add the disk, scan
 * partitions, and return once it is usable. Errors: EPERM, ENODEV (not
 * attached, or ended), EBUSY (started already), EINTR (the scan goes on; the
 * disk is usable).
 *
 * On a candidate's: take the device over. Requests wait while the old driver
 * finishes what it has and is flushed; then it is told to leave, and they go
 * to the new one. A driver that is lost is waited for until its last thread is
 * gone. Errors: EPERM, ENODEV (the device is gone), ESHUTDOWN (being
 * destroyed), EBUSY (it has taken over already), EINTR (may be called again),
 * ECANCELED and what the old driver's flush failed with. With any of them the
 * old driver serves on; after all but EBUSY and EINTR this session has ended.
 */
#define KBDUS_START _IO(KBDUS_IOC_MAGIC, 4)
#define KBDUS_EXCHANGE _IOWR(KBDUS_IOC_MAGIC, 5, struct kbdus_exchange)
/**
 * KBDUS_FLUSH - argument: pointer to the id (__u64). Writes back the device's
 * page cache and sends a flush. Errors: ENODEV, or what the flush returned.
 */
#define KBDUS_FLUSH _IOW(KBDUS_IOC_MAGIC, 6, __u64)
#define KBDUS_TERMINATE _IOWR(KBDUS_IOC_MAGIC, 7, struct kbdus_terminate)
#define KBDUS_DESTROY _IOWR(KBDUS_IOC_MAGIC, 8, struct kbdus_terminate)
#define KBDUS_INFO _IOWR(KBDUS_IOC_MAGIC, 9, struct kbdus_info)
/**
 * KBDUS_SETTLE - on a candidate's session, by its process: the first half of
 * KBDUS_START. Returns when the old driver has finished what it had and was
 * flushed (%KBDUS_REQUEST_HANDOVER), or is gone; requests wait from then on.
 * The candidate can look at what the old one left, but must not change it, and
 * calls KBDUS_START; or it closes its session, and the old driver serves on.
 * After EINTR of either the old one may have gone on. One that takes longer
 * than the device's timeout_ms is killed. No argument. Errors: as KBDUS_START;
 * EBUSY (not a candidate).
 */
#define KBDUS_SETTLE _IO(KBDUS_IOC_MAGIC, 13)
/* 10 to 12 are kept for KBDUS_REGISTER_FILE, KBDUS_MAP, KBDUS_SET_SIZE */

#endif /* KBDUS_H */
