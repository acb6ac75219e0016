// SPDX-License-Identifier: GPL-2.0
/*
 * request.c - from the arrival of a bio to its end.
 *
 * A bio takes a request, which is the depth limit, and the request goes to
 * the tail of the device's pending list: in one batch per plug, so that the
 * lock is taken and a worker is woken once for many bios.
 */
#include <linux/bio.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "internal.h"

static enum kbdus_op req_data_op(const struct kbdus_dev *dev, struct bio *bio)
{
	switch (bio_op(bio)) {
	case REQ_OP_READ:
		return KBDUS_OP_READ;
	case REQ_OP_WRITE:
		if ((bio->bi_opf & REQ_FUA) &&
		    kbdus_dev_has(dev, KBDUS_OP_FUA_WRITE))
			return KBDUS_OP_FUA_WRITE;
		return KBDUS_OP_WRITE;
	case REQ_OP_WRITE_ZEROES:
		return KBDUS_OP_WRITE_ZEROES;
	case REQ_OP_DISCARD:
		return KBDUS_OP_DISCARD;
	case REQ_OP_SECURE_ERASE:
		return KBDUS_OP_SECURE_ERASE;
	default:
		return KBDUS_OP_COUNT;
	}
}

/* Flush first, write, and flush after it where the driver knows no FUA. */
static void req_plan(struct kbdus_req *req, struct bio *bio, enum kbdus_op op)
{
	bool has_data = bio->bi_iter.bi_size > 0;

	req->step = 0;
	req->n_steps = 0;
	if (bio->bi_opf & REQ_PREFLUSH)
		req->steps[req->n_steps++] = KBDUS_OP_FLUSH;
	if (has_data)
		req->steps[req->n_steps++] = op;
	if (has_data && op == KBDUS_OP_WRITE && (bio->bi_opf & REQ_FUA))
		req->steps[req->n_steps++] = KBDUS_OP_FLUSH;
}

static void req_init(struct kbdus_req *req, struct bio *bio, enum kbdus_op op)
{
	req->bio = bio;
	req->ioctl = NULL;
	req->merged = NULL;
	req->off = (u64)bio->bi_iter.bi_sector << SECTOR_SHIFT;
	req->len = bio->bi_iter.bi_size;
	req->total = req->len;
	req->arrival = jiffies;
	req_plan(req, bio, op);
	req->is_accounted =
		req->len && blk_queue_io_stat(bio->bi_bdev->bd_disk->queue);
	if (req->is_accounted)
		req->acct_start = bio_start_io_acct(bio);
}

static void req_take(struct kbdus_dev *dev, struct kbdus_req *req)
{
	dev->free = req->merged;
	req->state = KBDUS_REQ_PENDING;
	req->seq = ++dev->seq;
	req->attempt = 0;
	req->deaths = 0;
	req->retries = 0;
	req->is_single = false;
	dev->n_used++;
}

/* Return: a request in state PENDING, NULL when all are in use, or an error. */
static struct kbdus_req *req_try_get(struct kbdus_dev *dev)
{
	struct kbdus_req *req = ERR_PTR(-EIO);

	spin_lock(&dev->lock);
	if (likely(dev->state == KBDUS_STATE_LIVE)) {
		req = dev->free;
		if (req && likely(!dev->is_failing))
			req_take(dev, req);
		else if (dev->is_failing)
			req = ERR_PTR(-ETIMEDOUT);
	}
	spin_unlock(&dev->lock);
	return req;
}

struct kbdus_req *kbdus_req_get(struct kbdus_dev *dev, bool may_wait)
{
	struct kbdus_req *req = req_try_get(dev);

	if (likely(req) || !may_wait)
		return req;
	/* schedule() sends off what this task has in its plug */
	wait_event_exclusive_cmd(dev->depth_wait, (req = req_try_get(dev)), , );
	return req;
}

void kbdus_dev_wake_submitters(struct kbdus_dev *dev, unsigned int n)
{
	if (wq_has_sleeper(&dev->depth_wait))
		wake_up_nr(&dev->depth_wait, n);
}

struct task_struct *kbdus_dev_pop_idle(struct kbdus_dev *dev)
{
	struct kbdus_session *session = dev->session;
	struct kbdus_idle *idle;

	if (unlikely(!session) || session->is_polled || session->n_arriving)
		return NULL;
	idle = list_first_entry_or_null(&session->idle, struct kbdus_idle,
					link);
	if (!idle)
		return NULL;
	list_del_init(&idle->link);
	return idle->task;
}

void kbdus_dev_fail_list(struct kbdus_dev *dev, struct list_head *reqs,
			 int error)
{
	struct kbdus_req *req, *next;
	unsigned int n = 0;

	local_bh_disable();
	list_for_each_entry(req, reqs, link)
		kbdus_req_finish(req, error);
	local_bh_enable();
	spin_lock(&dev->lock);
	list_for_each_entry_safe(req, next, reqs, link) {
		kbdus_req_release(dev, req);
		n++;
	}
	spin_unlock(&dev->lock);
	kbdus_dev_wake_submitters(dev, n);
}

static void dev_enqueue(struct kbdus_dev *dev, struct list_head *reqs, u32 n)
{
	struct task_struct *task = NULL;
	int error = 0;

	/* a worker may leave and exit as soon as the lock is dropped */
	rcu_read_lock();
	spin_lock(&dev->lock);
	if (unlikely(dev->state == KBDUS_STATE_DEAD))
		error = dev->end_error;
	else if (unlikely(dev->is_failing))
		error = -ETIMEDOUT;
	if (likely(!error)) {
		list_splice_tail_init(reqs, &dev->pending);
		dev->n_pending += n;
		task = kbdus_dev_pop_idle(dev);
	}
	spin_unlock(&dev->lock);
	if (task)
		wake_up_process(task);
	rcu_read_unlock();
	if (unlikely(error))
		kbdus_dev_fail_list(dev, reqs, error);
}

/*
 * A worker that was woken on this processor may be due before the client is.
 * If it runs now, its answer is there when the client looks for it, and a sleep
 * and a wake-up of the client are saved.
 */
static void req_let_worker_run(void)
{
	cond_resched();
}

static void req_unplug(struct blk_plug_cb *plug, bool from_schedule)
{
	struct kbdus_req *first = container_of(plug, struct kbdus_req, plug);
	LIST_HEAD(reqs);
	u32 n = 0;
	struct list_head *pos;

	/* the ring of requests has no head yet: put one before the first */
	list_add_tail(&reqs, &first->link);
	list_for_each(pos, &reqs)
		n++;
	dev_enqueue(plug->data, &reqs, n);
	if (!from_schedule)
		req_let_worker_run();
}

/*
 * As blk_check_plugged(), but without its allocation: the callback lives in
 * the first request of the batch.
 */
static bool req_plug(struct kbdus_dev *dev, struct kbdus_req *req)
{
	struct blk_plug *plug = current->plug;
	struct blk_plug_cb *cb;

	if (!plug)
		return false;
	list_for_each_entry(cb, &plug->cb_list, list) {
		if (cb->callback == req_unplug && cb->data == dev) {
			struct kbdus_req *first =
				container_of(cb, struct kbdus_req, plug);

			list_add_tail(&req->link, &first->link);
			return true;
		}
	}
	INIT_LIST_HEAD(&req->link);
	req->plug.callback = req_unplug;
	req->plug.data = dev;
	list_add(&req->plug.list, &plug->cb_list);
	return true;
}

void kbdus_req_submit(struct kbdus_dev *dev, struct kbdus_req *req)
{
	LIST_HEAD(reqs);

	if (req_plug(dev, req))
		return;
	list_add(&req->link, &reqs);
	dev_enqueue(dev, &reqs, 1);
	req_let_worker_run();
}

/* Errors that mean something to a client, or to a layer above. */
static blk_status_t error_to_status(int error)
{
	if (likely(!error))
		return BLK_STS_OK;
	switch (error) {
	case -ENOSPC:
	case -ENOLINK:
	case -ETIMEDOUT:
	case -EREMOTEIO:
	case -EBADE:
	case -ENODATA:
	case -EILSEQ:
	case -EOPNOTSUPP:
		return errno_to_blk_status(error);
	default:
		return BLK_STS_IOERR;
	}
}

void kbdus_submit_bio(struct bio *bio)
{
	struct kbdus_dev *dev = bio->bi_bdev->bd_disk->private_data;
	enum kbdus_op op = req_data_op(dev, bio);
	struct kbdus_req *req;

	/* a read-only disk gets writes all the same: 6.1 only warns */
	if (unlikely(op == KBDUS_OP_COUNT ||
		     (bio->bi_iter.bi_size && !kbdus_dev_has(dev, op)))) {
		bio_io_error(bio);
		return;
	}
	bio = bio_split_to_limits(bio);
	if (!bio)
		return;
	req = kbdus_req_get(dev, !(bio->bi_opf & REQ_NOWAIT));
	if (unlikely(!req)) {
		bio_wouldblock_error(bio);
		return;
	}
	if (IS_ERR(req)) {
		bio->bi_status = error_to_status(PTR_ERR(req));
		bio_endio(bio);
		return;
	}
	req_init(req, bio, op);
	kbdus_req_submit(dev, req);
}

static void req_finish_bios(struct kbdus_req *req, int error)
{
	blk_status_t status = error_to_status(error);

	for (; req; req = req->merged) {
		struct bio *bio = req->bio;

		if (req->is_accounted)
			bio_end_io_acct(bio, req->acct_start);
		req->bio = NULL;
		bio->bi_status = status;
		bio_endio(bio);
	}
}

void kbdus_req_finish(struct kbdus_req *req, int error)
{
	if (unlikely(req->ioctl))
		kbdus_ioctl_finish(req, error);
	else
		req_finish_bios(req, error);
}

void kbdus_req_release(struct kbdus_dev *dev, struct kbdus_req *req)
{
	struct kbdus_req *next;

	lockdep_assert_held(&dev->lock);
	for (; req; req = next) {
		next = req->merged;
		if (unlikely(req->attempt))
			dev->n_suspect--;
		req->state = KBDUS_REQ_FREE;
		req->merged = dev->free;
		dev->free = req;
		dev->n_used--;
	}
	/* a driver that was told to leave waits for the last request */
	if (unlikely(dev->state == KBDUS_STATE_ENDING && !dev->n_used) &&
	    dev->session)
		kbdus_session_wake_all(dev->session);
}

void kbdus_req_return(struct kbdus_dev *dev, struct kbdus_req *req)
{
	lockdep_assert_held(&dev->lock);
	dev->n_lent--;
	if (unlikely(req->attempt))
		dev->is_alone = false;
	if (unlikely(dev->handover) && !dev->n_lent)
		wake_up_all(&dev->handover_wait);
}

/* The whole of a merge goes back as it came: bio by bio, in order. */
void kbdus_req_requeue(struct kbdus_dev *dev, struct kbdus_req *req)
{
	struct list_head *after = &dev->pending;
	struct kbdus_req *next;

	kbdus_req_return(dev, req);
	if (unlikely(req == &dev->handover_flush)) {
		req->state = dev->handover == KBDUS_HANDOVER_FLUSH ?
				     KBDUS_REQ_PENDING :
				     KBDUS_REQ_FREE;
		return;
	}
	for (; req; req = next) {
		next = req->merged;
		req->merged = NULL;
		req->state = KBDUS_REQ_PENDING;
		req->total = req->len;
		list_move(&req->link, after);
		after = &req->link;
		dev->n_pending++;
	}
}

/* Return: whether some request is being copied and could not be taken. */
static bool dev_take_all(struct kbdus_dev *dev, struct list_head *reqs)
{
	u32 i;
	bool is_pinned = false;

	spin_lock(&dev->lock);
	for (i = 0; i < dev->attributes.queue_depth; i++) {
		struct kbdus_req *req = &dev->reqs[i];

		if (req->state == KBDUS_REQ_COPYING)
			is_pinned = true;
		else if (req->state == KBDUS_REQ_DELIVERED)
			kbdus_req_requeue(dev, req);
	}
	list_splice_init(&dev->pending, reqs);
	dev->n_pending = 0;
	spin_unlock(&dev->lock);
	return is_pinned;
}

void kbdus_dev_fail_all(struct kbdus_dev *dev)
{
	DEFINE_WAIT(wait);
	LIST_HEAD(reqs);
	bool is_pinned;

	do {
		prepare_to_wait(&dev->unpin_wait, &wait, TASK_UNINTERRUPTIBLE);
		is_pinned = dev_take_all(dev, &reqs);
		if (list_empty(&reqs) && is_pinned)
			schedule();
		finish_wait(&dev->unpin_wait, &wait);
		kbdus_dev_fail_list(dev, &reqs, dev->end_error);
		INIT_LIST_HEAD(&reqs);
	} while (is_pinned);
	wake_up_all(&dev->depth_wait);
}
