/* SPDX-License-Identifier: GPL-2.0 */
/*
 * internal.h - the objects of kbdus and who owns them.
 *
 * A device (struct kbdus_dev) owns its requests from the arrival of a bio to
 * its end. A session (struct kbdus_session) is one driver process attached to
 * a device; requests are lent to it and come back when it ends: of a
 * recoverable device to be lent to the next one, but not before the last thread
 * of this one is gone. The next one may be there already, as the candidate. A
 * request is
 *
 *   FREE -> PENDING -> DELIVERED -> FREE
 *                \        /^
 *                 COPYING: pinned, one thread copies its payload
 *
 * and only the thread that pinned it touches a COPYING request. One that was
 * MERGED behind another is on no list; it shares that one's fate.
 *
 * Locks, outer to inner: kbdus_file.lock, kbdus_dev.control_lock, the disk's
 * open_mutex, kbdus_dev.lock (a spin lock, process context only). Everything
 * in struct kbdus_dev below "lock" is under it.
 */
#ifndef KBDUS_INTERNAL_H
#define KBDUS_INTERNAL_H

#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "kbdus.h"

#define KBDUS_RELEASE "0.1.0"

enum kbdus_req_state {
	KBDUS_REQ_FREE,
	KBDUS_REQ_PENDING,
	KBDUS_REQ_DELIVERED,
	KBDUS_REQ_COPYING,
	KBDUS_REQ_MERGED
};

/**
 * struct kbdus_req - one bio on its way, or the ones merged behind it
 * @link: in the device's pending list, in a plug, or in a local list
 * @seq: order of arrival
 * @merged: next of the requests that are delivered together with this one; of
 *	a free one, the next free one
 * @bio: what is to be done; owned; NULL for an ioctl
 * @ioctl: what is to be done, or NULL; holds a reference
 * @off: offset on the device, bytes
 * @len: bytes of @bio, or of the ioctl's argument
 * @total: bytes delivered: @len and that of all that is merged behind
 * @generation: of the current delivery
 * @tag: index in kbdus_dev.reqs
 * @state: enum kbdus_req_state
 * @attempt: drivers that were lost with it (saturates); if any, it is alone
 *	with the driver
 * @deaths: those of them that were lost with it alone
 * @retries: of a read, after EIO
 * @is_single: not to be merged
 * @steps: operations to be done one after the other (flush, write, flush)
 * @n_steps: how many
 * @step: the current one
 * @is_accounted: I/O accounting has started
 * @acct_start: its start time, jiffies
 * @arrival: jiffies
 * @plug: when the request is the first one in a task's plug
 */
struct kbdus_req {
	struct list_head link;
	struct kbdus_req *merged;
	u64 seq;
	struct bio *bio;
	struct kbdus_ioctl *ioctl;
	u64 off;
	u32 len;
	u32 total;
	u32 generation;
	u16 tag;
	u8 state;
	u8 attempt;
	u8 deaths;
	u8 retries;
	bool is_single;
	u8 steps[3];
	u8 n_steps;
	u8 step;
	bool is_accounted;
	unsigned long acct_start;
	unsigned long arrival;
	struct blk_plug_cb plug;
};

/**
 * struct kbdus_ioctl - an ioctl of a client, which may be killed meanwhile
 * @ref: the client's, and the request's
 * @cmd: command
 * @size: of the argument, bytes
 * @result: what the client gets, once @done
 * @done: the driver has answered
 * @data: the argument, in and out
 */
struct kbdus_ioctl {
	struct kref ref;
	unsigned int cmd;
	unsigned int size;
	int result;
	struct completion done;
	u8 data[];
};

/**
 * enum kbdus_handover - from one driver to the candidate, under the lock
 * @KBDUS_HANDOVER_NONE: not going on
 * @KBDUS_HANDOVER_DRAIN: the driver gets nothing new and finishes what it has
 * @KBDUS_HANDOVER_FLUSH: then it is flushed
 * @KBDUS_HANDOVER_DONE: it was, or there is no driver
 */
enum kbdus_handover {
	KBDUS_HANDOVER_NONE,
	KBDUS_HANDOVER_DRAIN,
	KBDUS_HANDOVER_FLUSH,
	KBDUS_HANDOVER_DONE
};

/** struct kbdus_count - statistics of one kind of request */
struct kbdus_count {
	u64 requests;
	u64 bytes;
};

/**
 * struct kbdus_dev - a device
 * @ref: held by the table until removal, sessions, the disk, and look-ups
 * @id: never used twice
 * @attributes: as created; what a candidate may change of them is under @lock
 * @disk: until @is_removed; others than its own callbacks pin it first
 * @control_lock: serialises adding and removing the disk
 * @is_added: the disk was added (under @control_lock)
 * @is_closed: no new opens (read locklessly, set under open_mutex or by force)
 * @remove_work: ends all requests, removes the disk
 * @scan_work: reads the partition table
 * @watchdog: once a second: is the driver alive, does it get on; more often
 *	while a driver is on its way out
 * @scanned: the partition scan is over
 * @gone: the disk was removed
 * @freed: nobody holds the disk any more
 * @depth_wait: submitters waiting for a free request
 * @unpin_wait: removal waiting for requests being copied
 * @handover_wait: the candidate waiting for the driver to be out of the way
 * @reqs: all requests, by tag
 * @lock: for all that follows
 * @is_removed: the disk was given up
 * @state: enum kbdus_state
 * @end_error: what requests end with once the device is dead, negative errno
 * @is_started: the first KBDUS_START is over: from now on it can be recovered
 * @session: the driver attached, or NULL; holds a reference. One that has
 *	ended stays here until its process is gone
 * @candidate: the driver that is to take over, or NULL; holds a reference
 * @handover: how far that is
 * @handover_flush: the request for the flush in between; it is alone with the
 *	driver, so its tag can be 0
 * @handover_error: how that flush ended
 * @settled_since: when it was out of the way of the candidate, jiffies
 * @waiting_since: when the driver was lost, jiffies
 * @is_failing: without a driver for too long: nothing waits any more
 * @last_reason: enum kbdus_reason
 * @free: requests not in use, the latest released first
 * @pending: requests waiting for a driver, oldest first
 * @generation: last one given out
 * @seq: of the request that came last
 * @n_used: requests not free
 * @n_pending: length of @pending
 * @n_lent: delivered, or being copied for delivery; a merge counts as one
 * @n_suspect: requests in use that a driver was lost with
 * @is_alone: one of them is with the driver, so nothing else may be
 * @n_redelivered: deliveries after the first one, for sysfs
 * @n_poison: requests that were given up, since drivers die of them
 * @n_sessions: drivers attached so far
 * @last_progress: when a request was last completed, jiffies
 * @counts: by enum kbdus_op
 */
struct kbdus_dev {
	struct kref ref;
	u64 id;
	struct kbdus_attributes attributes;
	struct gendisk *disk;
	struct mutex control_lock;
	bool is_added;
	bool is_closed;
	struct work_struct remove_work;
	struct work_struct scan_work;
	struct delayed_work watchdog;
	struct completion scanned;
	struct completion gone;
	struct completion freed;
	wait_queue_head_t depth_wait;
	wait_queue_head_t unpin_wait;
	wait_queue_head_t handover_wait;
	struct kbdus_req *reqs;

	spinlock_t lock ____cacheline_aligned_in_smp;
	bool is_removed;
	enum kbdus_state state;
	int end_error;
	bool is_started;
	bool is_failing;
	bool is_alone;
	struct kbdus_session *session;
	struct kbdus_req *free;
	struct list_head pending;
	enum kbdus_handover handover;
	u32 generation;
	u64 seq;
	u32 n_used;
	u32 n_pending;
	u32 n_lent;
	u32 n_suspect;
	struct kbdus_session *candidate;
	struct kbdus_req handover_flush;
	int handover_error;
	enum kbdus_reason last_reason;
	unsigned long settled_since;
	unsigned long waiting_since;
	u64 n_redelivered;
	u64 n_poison;
	u64 n_sessions;
	unsigned long last_progress;
	struct kbdus_count counts[KBDUS_OP_COUNT];
};

/**
 * struct kbdus_session - a process that serves a device, or is about to
 * @ref: held by the session file, by queue files, and by the device
 * @dev: the device; holds a reference
 * @tgid: the process; its end ends the session, whoever holds the files
 * @mm: its address space (mmgrab), the only one payloads are copied to
 * @buffers: address of the payload buffers
 * @buffer_size: of each, bytes; 0: none
 * @wants_get: writes are delivered without payload
 * @n_queues: queue files
 * @is_candidate: attached to a device that it did not create
 * @attributes: of such a one
 *
 * Under the device's lock:
 * @idle: its sleeping workers (struct kbdus_idle), the latest first
 * @is_polled: a worker is busy waiting and will see new requests by itself
 * @n_arriving: workers that hand in completions and look for requests next,
 *	without sleeping before
 * @is_ended: all EXCHANGE calls return ENODEV
 * @is_replaced: another one took over; they return TERMINATE
 * @has_left: ended by itself, while its process lives on
 * @is_hung: ended because it did nothing for the timeout
 */
struct kbdus_session {
	struct kref ref;
	struct kbdus_dev *dev;
	struct pid *tgid;
	struct mm_struct *mm;
	unsigned long buffers;
	u32 buffer_size;
	bool wants_get;
	atomic_t n_queues;
	bool is_candidate;
	struct kbdus_attributes attributes;

	struct list_head idle;
	bool is_polled;
	u32 n_arriving;
	bool is_ended;
	bool is_replaced;
	bool has_left;
	bool is_hung;
};

/** struct kbdus_idle - a worker asleep in EXCHANGE, on its stack */
struct kbdus_idle {
	struct list_head link;
	struct task_struct *task;
};

/* main.c */
extern struct workqueue_struct *kbdus_wq;

/* control.c */
extern const struct file_operations kbdus_control_fops;

/* attributes.c */

/**
 * kbdus_attributes_complete - replace zeroes by what is chosen, and check
 * @a: the attributes
 *
 * Return: 0 or -EINVAL; which one it is goes to the log at debug level.
 */
int kbdus_attributes_complete(struct kbdus_attributes *a);

/**
 * kbdus_attributes_fit - can a driver do all that a device promises?
 * @a: of the device, in use
 * @b: of the driver, complete
 *
 * Return: 0 or -EINVAL, likewise.
 */
int kbdus_attributes_fit(const struct kbdus_attributes *a,
			 const struct kbdus_attributes *b);

/**
 * kbdus_attributes_take_over - what changes with the driver
 * @a: of the device, which is locked
 * @b: of the driver
 */
void kbdus_attributes_take_over(struct kbdus_attributes *a,
				const struct kbdus_attributes *b);

/* device.c */

/**
 * kbdus_dev_create - make a device without a disk on show
 * @attributes: checked here; zeroes are replaced by what was chosen
 *
 * Return: the device with one reference for the caller, or an ERR_PTR:
 * EINVAL, ENOSPC, ENOMEM.
 */
struct kbdus_dev *kbdus_dev_create(struct kbdus_attributes *attributes);

/** kbdus_dev_find - look a device up; put it with kbdus_dev_put(). */
struct kbdus_dev *kbdus_dev_find(u64 id);
void kbdus_dev_put(struct kbdus_dev *dev);

/** kbdus_dev_start - add the disk and wait for the scan: EBUSY, ENODEV, EINTR
 */
int kbdus_dev_start(struct kbdus_session *session);

/** kbdus_dev_openers - how often the disk and its partitions are open */
unsigned int kbdus_dev_openers(struct kbdus_dev *dev);

/** kbdus_dev_flush - write back the page cache and flush; may sleep long */
int kbdus_dev_flush(struct kbdus_dev *dev);

/** kbdus_dev_terminate - tell the driver to leave (see KBDUS_TERMINATE) */
int kbdus_dev_terminate(struct kbdus_dev *dev, u32 flags);

/** kbdus_dev_destroy - terminate, and wait (see KBDUS_DESTROY) */
int kbdus_dev_destroy(struct kbdus_dev *dev, u32 flags, u32 timeout_ms);

/**
 * kbdus_dev_kill - the device has lost its driver: end all, remove the disk
 * @dev: the device; the caller holds its lock
 * @error: what requests end with, negative errno
 */
void kbdus_dev_kill(struct kbdus_dev *dev, int error);

/** kbdus_dev_has - does the driver implement this operation? */
static inline bool kbdus_dev_has(const struct kbdus_dev *dev, enum kbdus_op op)
{
	return dev->attributes.ops & (1U << op);
}

/** kbdus_dev_is_recoverable - may it wait for another driver? locked */
static inline bool kbdus_dev_is_recoverable(const struct kbdus_dev *dev)
{
	return dev->is_started && dev->state == KBDUS_STATE_LIVE &&
	       (dev->attributes.flags & KBDUS_DEVICE_RECOVERABLE);
}

/** kbdus_dev_driver - the driver that gets requests, or NULL; locked */
static inline struct kbdus_session *
kbdus_dev_driver(const struct kbdus_dev *dev)
{
	struct kbdus_session *session = dev->session;

	return session && !session->is_ended ? session : NULL;
}

/** kbdus_dev_state - as INFO and sysfs show it; device lock held */
enum kbdus_state kbdus_dev_state(const struct kbdus_dev *dev);

/**
 * kbdus_dev_pid - the driver's process, or that of one on its way out
 * @dev: the device, locked
 *
 * Return: its number as the caller sees it, or 0.
 */
pid_t kbdus_dev_pid(const struct kbdus_dev *dev);

/* session.c */

/** kbdus_session_new - a session of the calling process, not attached yet */
struct kbdus_session *kbdus_session_new(struct kbdus_dev *dev);
void kbdus_session_put(struct kbdus_session *session);

/**
 * kbdus_session_attach - make a session the driver of the device it created
 * @session: with buffers filled in
 *
 * Return: 0, -ENODEV (has ended) or -EBUSY.
 */
int kbdus_session_attach(struct kbdus_session *session);

/**
 * kbdus_session_offer - make a session the candidate of a device
 * @session: with buffers and attributes filled in, and checked
 * @same_owner: only if its owner is the last driver's
 *
 * Return: 0, -ENODEV, -EBUSY, -ESHUTDOWN, -ESTALE (see KBDUS_ATTACH).
 */
int kbdus_session_offer(struct kbdus_session *session, bool same_owner);

/** kbdus_session_settle - KBDUS_SETTLE */
int kbdus_session_settle(struct kbdus_session *session);

/** kbdus_session_take_over - KBDUS_START of a candidate */
int kbdus_session_take_over(struct kbdus_session *session);

/**
 * kbdus_session_end - the driver, or the candidate, is out
 * @session: the session
 * @reason: why
 *
 * A device that is not recoverable ends with its driver.
 */
void kbdus_session_end(struct kbdus_session *session, enum kbdus_reason reason);

/** kbdus_session_kill - end a session and SIGKILL its process */
void kbdus_session_kill(struct kbdus_session *session,
			enum kbdus_reason reason);

/** kbdus_session_is_owner - is it the calling process that attached? */
bool kbdus_session_is_owner(const struct kbdus_session *session);

/** kbdus_session_is_attached - is it the driver, or the candidate? */
bool kbdus_session_is_attached(struct kbdus_session *session);

/** kbdus_session_is_lost - is the process exiting, gone, or another program? */
bool kbdus_session_is_lost(const struct kbdus_session *session);

/**
 * kbdus_session_is_gone - can the process do nothing any more?
 * @session: that has ended
 *
 * Return: whether its last thread is past its last system call and its files
 * are released, with the asynchronous I/O (AIO) that went through them; of one
 * that left by itself, it is enough that its queue files are closed.
 */
bool kbdus_session_is_gone(const struct kbdus_session *session);

/** kbdus_session_wake_all - wake all its idle workers; device lock held */
void kbdus_session_wake_all(struct kbdus_session *session);

/**
 * kbdus_dev_drop_candidate - there is no handover any more; device lock held
 * @dev: the device
 *
 * Return: the candidate, to be put without the lock, or NULL.
 */
struct kbdus_session *kbdus_dev_drop_candidate(struct kbdus_dev *dev);

/**
 * kbdus_dev_wake_worker - somebody should look for requests; device lock held
 * @dev: the device
 */
void kbdus_dev_wake_worker(struct kbdus_dev *dev);

/* recovery.c */

/** kbdus_dev_watch - the watchdog of a device, as work item */
void kbdus_dev_watch(struct work_struct *work);

/** kbdus_dev_kick_watchdog - let it look now; device lock held */
void kbdus_dev_kick_watchdog(struct kbdus_dev *dev);

/* queue.c */

/** kbdus_queue_open - make a queue file; returns its fd or -errno */
int kbdus_queue_open(struct kbdus_session *session);

/* request.c */
void kbdus_submit_bio(struct bio *bio);

/**
 * kbdus_req_finish - end the bios of a request that nobody else can reach
 * @req: in state COPYING or on a local list; not freed
 * @error: how it went, 0 or a negative errno
 *
 * With bottom halves off, so that a client's last fput() goes to a work item
 * and the release of a block device never runs in the driver.
 */
void kbdus_req_finish(struct kbdus_req *req, int error);

/** kbdus_req_return - a lent request is back from the driver; device locked */
void kbdus_req_return(struct kbdus_dev *dev, struct kbdus_req *req);

/** kbdus_req_release - give a finished request back; device lock held */
void kbdus_req_release(struct kbdus_dev *dev, struct kbdus_req *req);

/** kbdus_req_requeue - make it the oldest pending one; device lock held */
void kbdus_req_requeue(struct kbdus_dev *dev, struct kbdus_req *req);

/** kbdus_dev_wake_submitters - after releases, without the lock */
void kbdus_dev_wake_submitters(struct kbdus_dev *dev, unsigned int n);

/** kbdus_dev_fail_list - end the requests of a local list, linked by link */
void kbdus_dev_fail_list(struct kbdus_dev *dev, struct list_head *reqs,
			 int error);

/** kbdus_dev_fail_all - end every request of a dead device; may sleep */
void kbdus_dev_fail_all(struct kbdus_dev *dev);

/**
 * kbdus_dev_pop_idle - take a worker off the idle list, to wake it
 * @dev: the device, locked
 *
 * The caller wakes it after unlocking, and is in an RCU read section from
 * before the lock, which keeps the task from being freed.
 *
 * Return: the latest sleeper, whose cache is the warmest; NULL when there is
 * none, or when a worker that is awake is about to look anyway.
 */
struct task_struct *kbdus_dev_pop_idle(struct kbdus_dev *dev);

/**
 * kbdus_req_get - take a request that is not in use; may sleep
 * @dev: the device
 * @may_wait: wait for one; otherwise NULL is returned when there is none
 *
 * Return: the request, in state PENDING and on no list, or an ERR_PTR: EIO (the
 * device is dead), ETIMEDOUT (it has been without a driver for too long).
 */
struct kbdus_req *kbdus_req_get(struct kbdus_dev *dev, bool may_wait);

/** kbdus_req_submit - send a request off, with the rest of the task's plug */
void kbdus_req_submit(struct kbdus_dev *dev, struct kbdus_req *req);

/* ioctl.c */

/** kbdus_disk_ioctl - pass a client's ioctl on to the driver */
int kbdus_disk_ioctl(struct block_device *bdev, kbdus_mode_t mode,
		     unsigned int cmd, unsigned long arg);

/** kbdus_ioctl_finish - hand the driver's answer to the client */
void kbdus_ioctl_finish(struct kbdus_req *req, int error);

/* payload.c */

/**
 * kbdus_payload_to_user - copy a write's data out, without page faults
 * @req: pinned; with all that is merged behind it
 * @addr: user address in the current mm
 *
 * Return: 0, -EFAULT (not a user range), or -EAGAIN: unpin, call
 * kbdus_payload_fault_in(), and start again.
 */
int kbdus_payload_to_user(struct kbdus_req *req, unsigned long addr);

/** kbdus_payload_from_user - copy a read's data in; as above */
int kbdus_payload_from_user(struct kbdus_req *req, unsigned long addr);

/** kbdus_payload_zero - fill a read's pages with zeroes */
void kbdus_payload_zero(struct kbdus_req *req);

/**
 * kbdus_payload_fault_in - make a user range present
 * @addr: where it starts
 * @len: bytes
 * @is_write: it is going to be written to
 *
 * May sleep as long as a page fault can, so nothing may be pinned.
 *
 * Return: 0, -EFAULT, or -EINTR when the process is being killed.
 */
int kbdus_payload_fault_in(unsigned long addr, size_t len, bool is_write);

/* sysfs.c */
extern const struct attribute_group *kbdus_sysfs_groups[];

#endif /* KBDUS_INTERNAL_H */
