/* SPDX-License-Identifier: GPL-2.0 */
/*
 * internal.h - the objects of kbdus and who owns them.
 *
 * A device (struct kbdus_dev) owns its requests from the arrival of a bio to
 * its end. A session (struct kbdus_session) is one driver process attached to
 * a device; requests are lent to it and come back when it ends. A request is
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
 * @attempt: deliveries before the current one that did not end it
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
	struct bio *bio;
	struct kbdus_ioctl *ioctl;
	u64 off;
	u32 len;
	u32 total;
	u32 generation;
	u16 tag;
	u8 state;
	u8 attempt;
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

/** struct kbdus_count - statistics of one kind of request */
struct kbdus_count {
	u64 requests;
	u64 bytes;
};

/**
 * struct kbdus_dev - a device
 * @ref: held by the table until removal, sessions, the disk, and look-ups
 * @id: never used twice
 * @attributes: as created, immutable
 * @disk: until @is_removed; others than its own callbacks pin it first
 * @control_lock: serialises adding and removing the disk
 * @is_added: the disk was added (under @control_lock)
 * @is_closed: no new opens (read locklessly, set under open_mutex or by force)
 * @remove_work: ends all requests, removes the disk
 * @scan_work: reads the partition table
 * @watchdog: once a second: is the driver alive, does it get on
 * @scanned: the partition scan is over
 * @gone: the disk was removed
 * @freed: nobody holds the disk any more
 * @depth_wait: submitters waiting for a free request
 * @unpin_wait: removal waiting for requests being copied
 * @reqs: all requests, by tag
 * @lock: for all that follows
 * @is_removed: the disk was given up
 * @state: enum kbdus_state
 * @end_error: what requests end with once the device is dead, negative errno
 * @session: the driver attached, or NULL; holds a reference
 * @free: requests not in use, the latest released first
 * @pending: requests waiting for a driver, oldest first
 * @idle: sleeping workers (struct kbdus_idle), the latest first
 * @is_polled: a worker is busy waiting and will see new requests by itself
 * @n_arriving: workers that hand in completions and look for requests next,
 *	without sleeping before
 * @generation: last one given out
 * @n_used: requests not free
 * @n_pending: length of @pending
 * @n_redelivered: deliveries after the first one, for sysfs
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
	struct kbdus_req *reqs;

	spinlock_t lock ____cacheline_aligned_in_smp;
	bool is_removed;
	enum kbdus_state state;
	int end_error;
	struct kbdus_session *session;
	struct kbdus_req *free;
	struct list_head pending;
	struct list_head idle;
	bool is_polled;
	u32 n_arriving;
	u32 generation;
	u32 n_used;
	u32 n_pending;
	u64 n_redelivered;
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
 * @n_queues: queue files made
 * @is_ended: under the device's lock; all EXCHANGE calls return ENODEV
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
	bool is_ended;
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

/* device.c */

/**
 * kbdus_dev_create - make a device without a disk on show
 * @attributes: checked here; zeroes are replaced by what was chosen
 *
 * Return: the device with one reference for the caller, or an ERR_PTR:
 * EINVAL, EOPNOTSUPP, ENOSPC, ENOMEM.
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

/* queue.c */

/** kbdus_session_new - a session of the calling process, not attached yet */
struct kbdus_session *kbdus_session_new(struct kbdus_dev *dev);
void kbdus_session_put(struct kbdus_session *session);

/** kbdus_session_end - the driver is gone, whatever the reason */
void kbdus_session_end(struct kbdus_session *session, int error);

/** kbdus_session_kill - end a session and SIGKILL its process */
void kbdus_session_kill(struct kbdus_session *session, int error);

/** kbdus_session_is_owner - is it the calling process that attached? */
bool kbdus_session_is_owner(const struct kbdus_session *session);

/** kbdus_session_is_lost - is the process exiting, gone, or another program? */
bool kbdus_session_is_lost(const struct kbdus_session *session);

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

/** kbdus_req_release - give a finished request back; device lock held */
void kbdus_req_release(struct kbdus_dev *dev, struct kbdus_req *req);

/** kbdus_req_requeue - make it the oldest pending one; device lock held */
void kbdus_req_requeue(struct kbdus_dev *dev, struct kbdus_req *req);

/** kbdus_dev_wake_submitters - after releases, without the lock */
void kbdus_dev_wake_submitters(struct kbdus_dev *dev, unsigned int n);

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

/** kbdus_dev_wake_all - wake all idle workers; device lock held */
void kbdus_dev_wake_all(struct kbdus_dev *dev);

/**
 * kbdus_req_get - take a request that is not in use; may sleep
 * @dev: the device
 * @may_wait: wait for one; otherwise NULL is returned when there is none
 *
 * Return: the request, in state PENDING and on no list, or ERR_PTR(-EIO).
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
