// SPDX-License-Identifier: GPL-2.0
/*
 * queue.c - the EXCHANGE of completions against requests.
 *
 * A completion is applied in four steps, a chunk of them at a time so that
 * the lock is taken twice for many: pin the requests (lock), move payloads
 * (no lock), end the bios (no lock), release (lock). Fetching goes the other
 * way: take (lock), move payloads, give out.
 */
#include <linux/anon_inodes.h>
#include <linux/cpumask.h>
#include <linux/freezer.h>
#include <linux/sched/clock.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "internal.h"

#define CHUNK 32

/* --- completions -------------------------------------------------------- */

/* Does the client send data with it? */
static bool op_has_data_out(u8 op)
{
	return op == KBDUS_OP_WRITE || op == KBDUS_OP_FUA_WRITE ||
	       op == KBDUS_OP_IOCTL;
}

/* Can the driver send data back? */
static bool op_has_data_in(u8 op)
{
	return op == KBDUS_OP_READ || op == KBDUS_OP_IOCTL;
}

static u8 req_op(const struct kbdus_req *req)
{
	return req->steps[req->step];
}

/* May a success of this kind of request move its payload like that? */
static int completion_check_how(const struct kbdus_session *session,
				const struct kbdus_completion *c, u8 op)
{
	bool has_target = c->addr || session->buffer_size;

	switch (c->how) {
	case KBDUS_HOW_NONE:
		return op != KBDUS_OP_READ ? 0 : -EINVAL;
	case KBDUS_HOW_BUFFER:
		return op_has_data_in(op) && session->buffer_size ? 0 : -EINVAL;
	case KBDUS_HOW_ZERO:
		return op == KBDUS_OP_READ ? 0 : -EINVAL;
	case KBDUS_HOW_ADDR:
		return op == KBDUS_OP_READ || op == KBDUS_OP_WRITE ||
				       op == KBDUS_OP_FUA_WRITE ?
			       0 :
			       -EINVAL;
	case KBDUS_HOW_GET:
		return op_has_data_out(op) && has_target ? 0 : -EINVAL;
	case KBDUS_HOW_FILE:
	case KBDUS_HOW_REMAP:
		return -EOPNOTSUPP;
	default:
		return -EINVAL;
	}
}

static int completion_check(const struct kbdus_session *session,
			    const struct kbdus_completion *c,
			    const struct kbdus_req *req)
{
	u8 op = req_op(req);
	u32 len = op == KBDUS_OP_FLUSH ? 0 : req->total;

	if (c->addr && c->how != KBDUS_HOW_ADDR && c->how != KBDUS_HOW_GET)
		return -EINVAL;
	if (c->result)
		return c->result > 0 || c->result < -MAX_ERRNO || c->done ||
				       c->how != KBDUS_HOW_NONE ?
			       -EINVAL :
			       0;
	if (c->done != len)
		return -EINVAL;
	return completion_check_how(session, c, op);
}

/*
 * The request that a completion names. The handover's flush is alone with the
 * driver, and has a tag of the others.
 */
static struct kbdus_req *dev_named_req(struct kbdus_dev *dev,
				       const struct kbdus_completion *c)
{
	if (unlikely(dev->handover_flush.state != KBDUS_REQ_FREE) && !c->tag)
		return &dev->handover_flush;
	return &dev->reqs[c->tag];
}

static int completion_pin(struct kbdus_session *session,
			  const struct kbdus_completion *c,
			  struct kbdus_req **out)
{
	struct kbdus_dev *dev = session->dev;
	struct kbdus_req *req;
	int ret;

	if (c->flags || c->file || c->reserved || c->reserved2 ||
	    c->tag >= dev->attributes.queue_depth)
		return -EINVAL;
	req = dev_named_req(dev, c);
	if (req->state == KBDUS_REQ_COPYING)
		return -EBUSY;
	if (req->state != KBDUS_REQ_DELIVERED)
		return -ENOENT;
	if (req->generation != c->generation)
		return -ESTALE;
	ret = completion_check(session, c, req);
	if (ret)
		return ret;
	req->state = KBDUS_REQ_COPYING;
	*out = req;
	return 0;
}

/*
 * Some completions on their way; the first n_moved of the n_pinned are done.
 * The last chunk of an exchange that fetches afterwards announces it, so that
 * nobody else is woken for what clients send as soon as they have their answer.
 */
struct chunk {
	const struct kbdus_completion *completions;
	u32 n;
	u32 n_pinned;
	u32 n_moved;
	bool is_arrival;
	struct kbdus_req *reqs[CHUNK];
};

/* Return: why not all of them were pinned, or 0. */
static int chunk_pin(struct kbdus_session *session, struct chunk *chunk)
{
	struct kbdus_dev *dev = session->dev;
	int error = 0;
	u32 i = 0;

	spin_lock(&dev->lock);
	session->n_arriving += chunk->is_arrival;
	if (unlikely(session->is_ended || dev->state == KBDUS_STATE_DEAD))
		error = -ENODEV;
	else if (unlikely(dev->session != session))
		error = -ESTALE;
	while (i < chunk->n && !error) {
		error = completion_pin(session, &chunk->completions[i],
				       &chunk->reqs[i]);
		if (!error)
			i++;
	}
	spin_unlock(&dev->lock);
	chunk->n_pinned = i;
	return error;
}

static unsigned long session_buffer(const struct kbdus_session *session,
				    u16 tag)
{
	return session->buffers + (unsigned long)tag * session->buffer_size;
}

static unsigned long completion_addr(const struct kbdus_session *session,
				     const struct kbdus_completion *c)
{
	return c->how == KBDUS_HOW_BUFFER || !c->addr ?
		       session_buffer(session, c->tag) :
		       c->addr;
}

static int completion_move(struct kbdus_session *session,
			   const struct kbdus_completion *c,
			   struct kbdus_req *req)
{
	unsigned long addr = completion_addr(session, c);

	switch (c->how) {
	case KBDUS_HOW_BUFFER:
		return kbdus_payload_from_user(req, addr);
	case KBDUS_HOW_ADDR:
		if (req_op(req) == KBDUS_OP_READ)
			return kbdus_payload_from_user(req, addr);
		return kbdus_payload_to_user(req, addr);
	case KBDUS_HOW_GET:
		return kbdus_payload_to_user(req, addr);
	case KBDUS_HOW_ZERO:
		kbdus_payload_zero(req);
		return 0;
	default:
		return 0;
	}
}

/* A request that was merged is on its last step, as all behind it. */
static bool completion_is_last(const struct kbdus_completion *c,
			       const struct kbdus_req *req)
{
	return c->result || req->step + 1 == req->n_steps;
}

/*
 * Is the failure of this request not its end? A merge comes apart, so that
 * only the guilty bio fails; a read may be tried again. Writes and flushes are
 * not: an error is told once, and success afterwards would hide it.
 */
static bool completion_is_resent(const struct kbdus_dev *dev,
				 const struct kbdus_completion *c,
				 const struct kbdus_req *req)
{
	u8 op = req_op(req);

	if (likely(!c->result))
		return false;
	if (req->merged)
		return op == KBDUS_OP_READ || op == KBDUS_OP_WRITE;
	return c->result == -EIO && op == KBDUS_OP_READ &&
	       req->retries < dev->attributes.read_retries;
}

/* Does the completion end the request, that is, its bios? */
static bool completion_is_end(const struct kbdus_dev *dev,
			      const struct kbdus_completion *c,
			      const struct kbdus_req *req)
{
	return c->how != KBDUS_HOW_GET && completion_is_last(c, req) &&
	       !completion_is_resent(dev, c, req) &&
	       req != &dev->handover_flush;
}

/* Return: why not all that were pinned were moved, or 0. */
static int chunk_move(struct kbdus_session *session, struct chunk *chunk)
{
	int error = 0;
	u32 i = 0;

	while (i < chunk->n_pinned && !error) {
		error = completion_move(session, &chunk->completions[i],
					chunk->reqs[i]);
		if (!error)
			i++;
	}
	chunk->n_moved = i;
	return error;
}

static void chunk_end_bios(const struct kbdus_dev *dev,
			   const struct chunk *chunk)
{
	u32 i;

	local_bh_disable();
	for (i = 0; i < chunk->n_moved; i++) {
		const struct kbdus_completion *c = &chunk->completions[i];

		if (completion_is_end(dev, c, chunk->reqs[i]))
			kbdus_req_finish(chunk->reqs[i], c->result);
	}
	local_bh_enable();
}

static void dev_count(struct kbdus_dev *dev, const struct kbdus_req *req)
{
	struct kbdus_count *count = &dev->counts[req_op(req)];
	bool has_len = req_op(req) != KBDUS_OP_FLUSH;

	for (; req; req = req->merged) {
		count->requests++;
		if (has_len)
			count->bytes += req->len;
	}
}

/* The next step (flush, write, flush) waits behind what is pending. */
static void req_next_step(struct kbdus_dev *dev, struct kbdus_req *req)
{
	req->step++;
	req->state = KBDUS_REQ_PENDING;
	list_add_tail(&req->link, &dev->pending);
	dev->n_pending++;
}

/* Bio by bio, each on its own, before what is pending. */
static void req_resend(struct kbdus_dev *dev, struct kbdus_req *req)
{
	struct kbdus_req *part;

	if (!req->merged)
		req->retries++;
	for (part = req; part; part = part->merged)
		part->is_single = true;
	kbdus_req_requeue(dev, req);
}

static void dev_end_handover_flush(struct kbdus_dev *dev, int error)
{
	dev->handover_flush.state = KBDUS_REQ_FREE;
	if (dev->handover == KBDUS_HANDOVER_FLUSH) {
		dev->handover = KBDUS_HANDOVER_DONE;
		dev->handover_error = error;
		dev->settled_since = jiffies;
	}
	wake_up_all(&dev->handover_wait);
}

/* Return: how many requests it gave back (one for each merge). */
static u32 completion_retire(struct kbdus_dev *dev,
			     const struct kbdus_completion *c,
			     struct kbdus_req *req)
{
	if (c->how == KBDUS_HOW_GET) {
		req->state = KBDUS_REQ_DELIVERED;
		return 0;
	}
	if (!c->result)
		dev_count(dev, req);
	if (completion_is_resent(dev, c, req)) {
		req_resend(dev, req);
		return 0;
	}
	kbdus_req_return(dev, req);
	if (unlikely(req == &dev->handover_flush)) {
		dev_end_handover_flush(dev, c->result);
		return 0;
	}
	if (!completion_is_last(c, req)) {
		req_next_step(dev, req);
		return 0;
	}
	kbdus_req_release(dev, req);
	return 1;
}

/* Somebody has to look for requests, and it will not be the current thread. */
static struct task_struct *dev_other_worker(struct kbdus_dev *dev)
{
	return list_empty(&dev->pending) ? NULL : kbdus_dev_pop_idle(dev);
}

/* One lock for the chunk; what was pinned but not moved stays delivered. */
static void chunk_retire(struct kbdus_session *session,
			 const struct chunk *chunk)
{
	struct kbdus_dev *dev = session->dev;
	struct task_struct *task = NULL;
	u32 i, n_free = 0, n_pending;
	bool has_more;

	rcu_read_lock();
	spin_lock(&dev->lock);
	has_more =
		dev->n_suspect || dev->handover_flush.state != KBDUS_REQ_FREE;
	n_pending = dev->n_pending;
	for (i = 0; i < chunk->n_moved; i++)
		n_free += completion_retire(dev, &chunk->completions[i],
					    chunk->reqs[i]);
	for (; i < chunk->n_pinned; i++)
		chunk->reqs[i]->state = KBDUS_REQ_DELIVERED;
	dev->last_progress = jiffies;
	if (chunk->is_arrival && chunk->n_moved < chunk->n) {
		session->n_arriving--;
		task = dev_other_worker(dev);
	} else if (!chunk->is_arrival &&
		   unlikely(has_more || dev->n_pending > n_pending)) {
		task = dev_other_worker(dev);
	}
	if (unlikely(dev->state == KBDUS_STATE_DEAD))
		wake_up(&dev->unpin_wait);
	spin_unlock(&dev->lock);
	if (task)
		wake_up_process(task);
	rcu_read_unlock();
	if (n_free)
		kbdus_dev_wake_submitters(dev, n_free);
}

/* Return: why not all of them were applied, or 0; -EAGAIN: fault them in. */
static int chunk_apply(struct kbdus_session *session, struct chunk *chunk)
{
	int pin_error = chunk_pin(session, chunk);
	int move_error = chunk_move(session, chunk);

	chunk_end_bios(session->dev, chunk);
	chunk_retire(session, chunk);
	return move_error ? move_error : pin_error;
}

static int completion_fault_in(const struct kbdus_session *session,
			       const struct kbdus_completion *c)
{
	struct kbdus_dev *dev = session->dev;
	bool to_user = c->how == KBDUS_HOW_GET;

	/* only a hint here: the completion is checked again afterwards */
	if (c->how == KBDUS_HOW_ADDR)
		to_user = req_op(&dev->reqs[c->tag]) != KBDUS_OP_READ;
	return kbdus_payload_fault_in(completion_addr(session, c), c->done,
				      to_user);
}

static int exchange_complete(struct kbdus_session *session,
			     struct kbdus_exchange *x)
{
	struct kbdus_completion completions[CHUNK] __uninitialized;
	const struct kbdus_completion __user *from =
		u64_to_user_ptr(x->completions);
	struct chunk chunk __uninitialized;
	int error = 0;

	chunk.completions = completions;
	while (x->n_done < x->n_completions && !error) {
		u32 left = x->n_completions - x->n_done;

		chunk.n = min_t(u32, left, CHUNK);
		chunk.is_arrival = x->max_requests && chunk.n == left;
		if (copy_from_user(completions, from + x->n_done,
				   chunk.n * sizeof(*completions)))
			return -EFAULT;
		error = chunk_apply(session, &chunk);
		x->n_done += chunk.n_moved;
		if (error == -EAGAIN)
			error = completion_fault_in(
				session, &completions[chunk.n_moved]);
		if (!chunk.is_arrival)
			cond_resched();
	}
	return error;
}

/* --- requests ----------------------------------------------------------- */

/* May the second request be delivered together with the first? */
static bool req_can_merge(const struct kbdus_dev *dev,
			  const struct kbdus_req *first,
			  const struct kbdus_req *second)
{
	u8 op = req_op(first);

	if (req_op(second) != op || first->is_single || second->is_single ||
	    first->step + 1 != first->n_steps ||
	    second->step + 1 != second->n_steps)
		return false;
	if (op == KBDUS_OP_FLUSH)
		return true;
	return (op == KBDUS_OP_READ || op == KBDUS_OP_WRITE) &&
	       second->off == first->off + first->total &&
	       first->total + second->len <= dev->attributes.max_io;
}

/*
 * A driver was lost with some requests: they are alone with the next one until
 * each has ended, so that one that kills drivers does not take others along.
 */
static bool dev_may_take(const struct kbdus_dev *dev,
			 const struct kbdus_req *req)
{
	return !dev->is_alone && (!req->attempt || !dev->n_lent);
}

static struct kbdus_req *dev_take_one(struct kbdus_dev *dev)
{
	struct kbdus_req *req, *last, *next;

	req = list_first_entry_or_null(&dev->pending, struct kbdus_req, link);
	if (!req || (unlikely(dev->n_suspect) && !dev_may_take(dev, req)))
		return NULL;
	dev->n_lent++;
	dev->is_alone = req->attempt;
	list_del_init(&req->link);
	dev->n_pending--;
	req->generation = ++dev->generation;
	last = req;
	while ((next = list_first_entry_or_null(&dev->pending, struct kbdus_req,
						link)) &&
	       req_can_merge(dev, req, next)) {
		list_del_init(&next->link);
		dev->n_pending--;
		next->state = KBDUS_REQ_MERGED;
		req->total += next->len;
		last->merged = next;
		last = next;
	}
	return req;
}

static void req_describe(const struct kbdus_session *session,
			 const struct kbdus_req *req, struct kbdus_request *out)
{
	u8 op = req_op(req);

	*out = (struct kbdus_request){
		.off = op == KBDUS_OP_FLUSH ? 0 : req->off,
		.len = op == KBDUS_OP_FLUSH ? 0 : req->total,
		.generation = req->generation,
		.arg = req->ioctl ? req->ioctl->cmd : 0,
		.tag = req->tag,
		.op = op,
		.attempt = req->attempt,
	};
	if (op_has_data_out(op) && !session->wants_get)
		out->flags |= KBDUS_REQUEST_PAYLOAD;
	if (op == KBDUS_OP_WRITE_ZEROES && !(req->bio->bi_opf & REQ_NOUNMAP))
		out->flags |= KBDUS_REQUEST_MAY_UNMAP;
	if (req == &session->dev->handover_flush)
		out->flags |= KBDUS_REQUEST_HANDOVER;
}

/*
 * Requests taken from the pending list: pinned while payloads are copied out,
 * where the session wants that; otherwise delivered at once.
 */
struct batch {
	u32 n;
	struct kbdus_req *reqs[CHUNK];
	struct kbdus_request out[CHUNK];
};

static void batch_add(struct kbdus_session *session, struct batch *batch,
		      struct kbdus_req *req)
{
	req->state =
		session->wants_get ? KBDUS_REQ_DELIVERED : KBDUS_REQ_COPYING;
	req_describe(session, req, &batch->out[batch->n]);
	batch->reqs[batch->n++] = req;
}

/* Nothing new for a driver that is being replaced, but for its last flush. */
static void batch_take_flush(struct kbdus_session *session, struct batch *batch)
{
	struct kbdus_dev *dev = session->dev;
	struct kbdus_req *req = &dev->handover_flush;

	if (req->state != KBDUS_REQ_PENDING)
		return;
	req->generation = ++dev->generation;
	dev->n_lent++;
	batch_add(session, batch, req);
}

static void batch_take(struct kbdus_session *session, u32 max,
		       struct batch *batch)
{
	struct kbdus_dev *dev = session->dev;
	struct kbdus_req *req;

	batch->n = 0;
	/* the candidate's workers wait here too */
	if (unlikely(dev->session != session))
		return;
	if (unlikely(dev->handover ||
		     dev->handover_flush.state != KBDUS_REQ_FREE)) {
		batch_take_flush(session, batch);
		return;
	}
	while (batch->n < max && (req = dev_take_one(dev)))
		batch_add(session, batch, req);
}

/* More work than one worker takes: the next sleeper is woken by this one. */
static struct task_struct *dev_next_worker(struct kbdus_dev *dev)
{
	return unlikely(dev->is_alone) ? NULL : dev_other_worker(dev);
}

/* One busy waiter a device: it saves a sleep and a wake-up at low depth. */
static void session_poll(struct kbdus_session *session, u32 poll_us)
{
	struct kbdus_dev *dev = session->dev;
	u64 end = local_clock() + (u64)poll_us * NSEC_PER_USEC;

	while (list_empty_careful(&dev->pending) && !need_resched() &&
	       !signal_pending(current) && local_clock() < end)
		cpu_relax();
	spin_lock(&dev->lock);
	session->is_polled = false;
	spin_unlock(&dev->lock);
}

/*
 * One look at the device, under its lock. Return: 1 when requests were taken,
 * 0 when none will come (NOWAIT, or x->flags says TERMINATE), an error, or
 * -EAGAIN: entered the idle list and set the task's state; -EINPROGRESS: poll.
 */
static int queue_look(struct kbdus_session *session, struct kbdus_exchange *x,
		      struct batch *batch, struct kbdus_idle *idle,
		      bool may_poll)
{
	struct kbdus_dev *dev = session->dev;

	list_del_init(&idle->link);
	/* whatever has become of the device since, the driver must know */
	if (unlikely(session->is_replaced)) {
		x->flags |= KBDUS_EXCHANGE_TERMINATE | KBDUS_EXCHANGE_REPLACED;
		return 0;
	}
	if (unlikely(session->is_ended || dev->state == KBDUS_STATE_DEAD))
		return -ENODEV;
	batch_take(session, min_t(u32, x->max_requests, CHUNK), batch);
	if (batch->n)
		return 1;
	if (dev->state == KBDUS_STATE_ENDING && !dev->n_used) {
		x->flags |= KBDUS_EXCHANGE_TERMINATE;
		return 0;
	}
	if (x->flags & KBDUS_EXCHANGE_NOWAIT)
		return 0;
	if (signal_pending(current))
		return -EINTR;
	if (may_poll && !session->is_polled) {
		session->is_polled = true;
		return -EINPROGRESS;
	}
	list_add(&idle->link, &session->idle);
	set_current_state(TASK_INTERRUPTIBLE | TASK_FREEZABLE);
	return -EAGAIN;
}

/* Sleep until there are requests. Return: as queue_look(), without the last */
static int queue_wait(struct kbdus_session *session, struct kbdus_exchange *x,
		      struct batch *batch, bool is_arrival)
{
	struct kbdus_dev *dev = session->dev;
	struct kbdus_idle idle = { .task = current };
	bool may_poll = x->poll_us && num_online_cpus() > 1;
	int ret;

	INIT_LIST_HEAD(&idle.link);
	for (;;) {
		struct task_struct *next = NULL;

		rcu_read_lock();
		spin_lock(&dev->lock);
		session->n_arriving -= is_arrival;
		is_arrival = false;
		ret = queue_look(session, x, batch, &idle, may_poll);
		if (ret > 0)
			next = dev_next_worker(dev);
		spin_unlock(&dev->lock);
		if (next)
			wake_up_process(next);
		rcu_read_unlock();

		if (ret == -EAGAIN) {
			schedule();
		} else if (ret == -EINPROGRESS) {
			session_poll(session, x->poll_us);
			may_poll = false;
		} else {
			return ret;
		}
	}
}

/* Return: how many have their payload now; *error is why not the next one. */
static u32 batch_copy_out(struct kbdus_session *session, struct batch *batch,
			  int *error)
{
	u32 i;

	*error = 0;
	for (i = 0; i < batch->n; i++) {
		struct kbdus_req *req = batch->reqs[i];

		if (!op_has_data_out(req_op(req)) || !req->total)
			continue;
		*error = kbdus_payload_to_user(
			req, session_buffer(session, req->tag));
		if (*error)
			break;
	}
	return i;
}

/* Unpin: the first ones are delivered, the others go back in their order. */
static void batch_deliver(struct kbdus_dev *dev, struct batch *batch,
			  u32 n_moved)
{
	u32 i;

	spin_lock(&dev->lock);
	for (i = 0; i < n_moved; i++)
		batch->reqs[i]->state = KBDUS_REQ_DELIVERED;
	for (i = batch->n; i > n_moved; i--)
		kbdus_req_requeue(dev, batch->reqs[i - 1]);
	batch->n = n_moved;
	if (unlikely(dev->state == KBDUS_STATE_DEAD))
		wake_up(&dev->unpin_wait);
	spin_unlock(&dev->lock);
}

/* The driver never learned of these: they were not delivered after all. */
static void batch_undo(struct kbdus_session *session, struct batch *batch)
{
	struct kbdus_dev *dev = session->dev;
	u32 i;

	spin_lock(&dev->lock);
	for (i = batch->n; i > 0 && !session->is_ended; i--) {
		struct kbdus_req *req = batch->reqs[i - 1];

		if (req->state == KBDUS_REQ_DELIVERED &&
		    req->generation == batch->out[i - 1].generation)
			kbdus_req_requeue(dev, req);
	}
	spin_unlock(&dev->lock);
}

static int batch_give_out(struct kbdus_session *session, struct batch *batch,
			  struct kbdus_exchange *x)
{
	if (copy_to_user(u64_to_user_ptr(x->requests), batch->out,
			 batch->n * sizeof(*batch->out))) {
		batch_undo(session, batch);
		return -EFAULT;
	}
	x->n_requests = batch->n;
	return 0;
}

/*
 * Copy payloads out and unpin. Return: 0 when the batch holds requests to
 * give out, -EAGAIN to start again, or an error.
 */
static int batch_fill(struct kbdus_session *session, struct batch *batch)
{
	struct kbdus_dev *dev = session->dev;
	u16 first_tag = batch->reqs[0]->tag;
	int error;
	u32 n_moved = batch_copy_out(session, batch, &error);

	batch_deliver(dev, batch, n_moved);
	if (n_moved)
		return 0;
	if (error == -EAGAIN)
		error = kbdus_payload_fault_in(
			session_buffer(session, first_tag),
			dev->attributes.max_io, true);
	return error ? error : -EAGAIN;
}

static int exchange_fetch(struct kbdus_session *session,
			  struct kbdus_exchange *x)
{
	struct batch batch __uninitialized;
	bool is_arrival = x->n_completions;
	int ret;

	do {
		ret = queue_wait(session, x, &batch, is_arrival);
		is_arrival = false;
		if (ret <= 0)
			return ret;
		ret = session->wants_get ? 0 : batch_fill(session, &batch);
	} while (ret == -EAGAIN);
	return ret ? ret : batch_give_out(session, &batch, x);
}

/* --- EXCHANGE ----------------------------------------------------------- */

static int exchange_check(const struct kbdus_exchange *x)
{
	if (x->n_completions > KBDUS_MAX_BATCH ||
	    x->max_requests > KBDUS_MAX_BATCH ||
	    x->poll_us > KBDUS_MAX_POLL_US ||
	    (x->flags & ~KBDUS_EXCHANGE_NOWAIT))
		return -EINVAL;
	return 0;
}

static int exchange_run(struct kbdus_session *session, struct kbdus_exchange *x)
{
	int ret = exchange_complete(session, x);

	if (!ret && x->max_requests)
		ret = exchange_fetch(session, x);
	/* do not wait for the last thread to leave: it may wait for us */
	if (ret && fatal_signal_pending(current))
		kbdus_session_end(session, KBDUS_REASON_EXITED);
	return ret;
}

static long queue_exchange(struct kbdus_session *session,
			   struct kbdus_exchange __user *arg)
{
	struct kbdus_exchange x;
	unsigned int noio;
	long ret;

	if (!kbdus_session_is_owner(session))
		return -EPERM;
	if (copy_from_user(&x, arg, sizeof(x)))
		return -EFAULT;
	x.n_done = 0;
	x.n_requests = 0;
	ret = exchange_check(&x);
	if (ret)
		return ret;
	/* writeback may wait for this very driver */
	noio = memalloc_noio_save();
	ret = exchange_run(session, &x);
	memalloc_noio_restore(noio);
	if (copy_to_user(arg, &x, sizeof(x)))
		return -EFAULT;
	return ret;
}

static long queue_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	if (cmd != KBDUS_EXCHANGE)
		return -ENOTTY;
	return queue_exchange(file->private_data, (void __user *)arg);
}

static int queue_release(struct inode *inode, struct file *file)
{
	struct kbdus_session *session = file->private_data;

	atomic_dec(&session->n_queues);
	kbdus_session_put(session);
	return 0;
}

static const struct file_operations queue_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = queue_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = queue_release,
};

int kbdus_queue_open(struct kbdus_session *session)
{
	int fd;

	if (atomic_inc_return(&session->n_queues) > KBDUS_MAX_QUEUES) {
		atomic_dec(&session->n_queues);
		return -EUSERS;
	}
	kref_get(&session->ref);
	fd = anon_inode_getfd("[kbdus-queue]", &queue_fops, session,
			      O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		kbdus_session_put(session);
		atomic_dec(&session->n_queues);
	}
	return fd;
}
