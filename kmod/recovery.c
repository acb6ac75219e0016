// SPDX-License-Identifier: GPL-2.0
/*
 * recovery.c - watching the driver, and what becomes of its requests.
 *
 * A driver that is lost, or was found to hang and killed, may still write to
 * its backing until its last thread is gone. So its requests are held until
 * then, and go back to the head of the pending list in the order in which
 * they arrived.
 */
#include <linux/list_sort.h>

#include "internal.h"

#define WATCHDOG_PERIOD HZ
/* while a driver is on its way out, which takes milliseconds or very long */
#define LEAVING_PERIOD msecs_to_jiffies(5)
#define LEAVING_PERIOD_LATER (HZ / 4)
/* how long a device that is not recoverable waits for a driver to be gone */
#define LEAVING_MAX (4 * HZ)

/* --- does the driver get on? -------------------------------------------- */

static bool req_is_old(const struct kbdus_req *req, unsigned long timeout)
{
	return req->state != KBDUS_REQ_FREE &&
	       time_after(jiffies, req->arrival + timeout);
}

/* Is there a request older than the timeout, and no progress in that time? */
static bool dev_is_stuck(struct kbdus_dev *dev)
{
	unsigned long timeout;
	bool is_stuck = false;
	u32 i;

	spin_lock(&dev->lock);
	timeout = msecs_to_jiffies(dev->attributes.timeout_ms);
	/* while a candidate keeps it waiting, the driver has nothing to do */
	if (timeout && (dev->n_used || dev->handover) &&
	    dev->handover != KBDUS_HANDOVER_DONE &&
	    time_after(jiffies, dev->last_progress + timeout)) {
		is_stuck = req_is_old(&dev->handover_flush, timeout);
		for (i = 0; i < dev->attributes.queue_depth && !is_stuck; i++)
			is_stuck = req_is_old(&dev->reqs[i], timeout);
	}
	spin_unlock(&dev->lock);
	return is_stuck;
}

/* Has the candidate kept all waiting for too long? */
static bool dev_candidate_is_stuck(struct kbdus_dev *dev)
{
	unsigned long timeout;
	bool is_stuck;

	spin_lock(&dev->lock);
	timeout = msecs_to_jiffies(dev->attributes.timeout_ms);
	is_stuck = timeout && dev->handover == KBDUS_HANDOVER_DONE &&
		   time_after(jiffies, dev->settled_since + timeout);
	spin_unlock(&dev->lock);
	return is_stuck;
}

static void dev_watch_candidate(struct kbdus_dev *dev,
				struct kbdus_session *candidate)
{
	if (kbdus_session_is_lost(candidate))
		kbdus_session_end(candidate, KBDUS_REASON_EXITED);
	else if (dev_candidate_is_stuck(dev))
		kbdus_session_kill(candidate, KBDUS_REASON_HUNG);
}

static void dev_fence(struct kbdus_dev *dev, struct kbdus_session *session)
{
	pr_warn_ratelimited(
		"kbdus: bdus-%llu: its driver answered nothing for %u ms, killed\n",
		dev->id, READ_ONCE(dev->attributes.timeout_ms));
	kbdus_session_kill(session, KBDUS_REASON_HUNG);
}

/* --- what a lost driver held --------------------------------------------- */

static int compare_arrival(void *priv, const struct list_head *a,
			   const struct list_head *b)
{
	return list_entry(a, struct kbdus_req, link)->seq >
	       list_entry(b, struct kbdus_req, link)->seq;
}

static void req_count_loss(struct kbdus_dev *dev, struct kbdus_req *req,
			   bool was_alone)
{
	if (!req->attempt)
		dev->n_suspect++;
	if (req->attempt < U8_MAX)
		req->attempt++;
	req->deaths += was_alone;
	req->is_single = true;
	dev->n_redelivered++;
}

/* Every request of the driver to a list, oldest first; merges come apart. */
static void dev_collect_held(struct kbdus_dev *dev, struct list_head *held)
{
	u32 i;

	for (i = 0; i < dev->attributes.queue_depth; i++) {
		struct kbdus_req *req = &dev->reqs[i], *next;
		bool was_alone = dev->n_lent == 1 && !req->merged;

		if (req->state != KBDUS_REQ_DELIVERED)
			continue;
		for (; req; req = next) {
			next = req->merged;
			req->merged = NULL;
			req->state = KBDUS_REQ_PENDING;
			req->total = req->len;
			req_count_loss(dev, req, was_alone);
			list_add_tail(&req->link, held);
		}
	}
	list_sort(NULL, held, compare_arrival);
	dev->handover_flush.state = KBDUS_REQ_FREE;
	dev->n_lent = 0;
	dev->is_alone = false;
}

static void dev_take_poison(struct kbdus_dev *dev, struct list_head *held,
			    struct list_head *poison)
{
	struct kbdus_req *req, *next;

	list_for_each_entry_safe(req, next, held, link) {
		if (req->deaths < KBDUS_MAX_DEATHS)
			continue;
		list_move_tail(&req->link, poison);
		dev->n_poison++;
	}
}

static void dev_take_pending(struct kbdus_dev *dev, struct list_head *to)
{
	list_splice_tail_init(&dev->pending, to);
	dev->n_pending = 0;
}

/* Some request is being copied in a process that left by itself and lives. */
static bool dev_is_pinned(const struct kbdus_dev *dev)
{
	u32 i;

	for (i = 0; i < dev->attributes.queue_depth; i++)
		if (dev->reqs[i].state == KBDUS_REQ_COPYING)
			return true;
	return dev->handover_flush.state == KBDUS_REQ_COPYING;
}

/*
 * The driver is gone: its requests go back, or fail. Return: the session, to
 * be put, or NULL: not yet.
 */
static struct kbdus_session *dev_reclaim_locked(struct kbdus_dev *dev,
						struct list_head *poison,
						struct list_head *hung)
{
	struct kbdus_session *session = dev->session;
	struct kbdus_req *req;
	LIST_HEAD(held);

	if (dev->state != KBDUS_STATE_LIVE || dev_is_pinned(dev))
		return NULL;
	dev_collect_held(dev, &held);
	dev_take_poison(dev, &held, poison);
	list_for_each_entry(req, &held, link)
		dev->n_pending++;
	list_splice(&held, &dev->pending);
	if (session->is_hung && dev->attributes.on_hang == KBDUS_ON_HANG_ERROR)
		dev_take_pending(dev, hung);
	dev->session = NULL;
	wake_up_all(&dev->handover_wait);
	return session;
}

static void dev_reclaim(struct kbdus_dev *dev)
{
	struct kbdus_session *session;
	LIST_HEAD(poison);
	LIST_HEAD(hung);

	spin_lock(&dev->lock);
	session = dev_reclaim_locked(dev, &poison, &hung);
	spin_unlock(&dev->lock);
	kbdus_dev_fail_list(dev, &poison, -EIO);
	kbdus_dev_fail_list(dev, &hung, -ETIMEDOUT);
	if (session)
		kbdus_session_put(session);
}

/* --- without a driver ----------------------------------------------------- */

static bool dev_waits_without_limit(const struct kbdus_dev *dev)
{
	return !dev->attributes.recovery_timeout_ms ||
	       (dev->last_reason == KBDUS_REASON_HUNG &&
		dev->attributes.on_hang == KBDUS_ON_HANG_HOLD);
}

/* Those held by a driver that does not go: it can answer none of them. */
static void dev_take_delivered(struct kbdus_dev *dev, struct list_head *to)
{
	u32 i;

	for (i = 0; i < dev->attributes.queue_depth; i++) {
		struct kbdus_req *req = &dev->reqs[i];

		if (req->state != KBDUS_REQ_DELIVERED)
			continue;
		kbdus_req_return(dev, req);
		list_add_tail(&req->link, to);
	}
}

/*
 * For too long: what waits fails, and what comes fails at once. Again and
 * again, since what was being copied comes back to the list later.
 */
static void dev_check_wait(struct kbdus_dev *dev)
{
	unsigned long timeout;
	LIST_HEAD(overdue);

	spin_lock(&dev->lock);
	timeout = msecs_to_jiffies(dev->attributes.recovery_timeout_ms);
	if (dev->state == KBDUS_STATE_LIVE && !kbdus_dev_driver(dev) &&
	    !dev_waits_without_limit(dev) &&
	    time_after(jiffies, dev->waiting_since + timeout)) {
		dev->is_failing = true;
		dev_take_delivered(dev, &overdue);
		dev_take_pending(dev, &overdue);
	}
	spin_unlock(&dev->lock);
	kbdus_dev_fail_list(dev, &overdue, -ETIMEDOUT);
	if (READ_ONCE(dev->is_failing))
		wake_up_all(&dev->depth_wait);
}

/* --- the watchdog --------------------------------------------------------- */

/* A device that ends with its driver, which was killed because it hung. */
static void dev_end_hung(struct kbdus_dev *dev, bool is_gone)
{
	spin_lock(&dev->lock);
	if (is_gone || time_after(jiffies, dev->waiting_since + LEAVING_MAX))
		kbdus_dev_kill(dev, -ETIMEDOUT);
	spin_unlock(&dev->lock);
}

/* Return: when to look again, jiffies. */
static unsigned long dev_watch_leaving(struct kbdus_dev *dev,
				       struct kbdus_session *session)
{
	bool is_gone = kbdus_session_is_gone(session);
	bool is_recoverable;

	spin_lock(&dev->lock);
	is_recoverable = kbdus_dev_is_recoverable(dev);
	spin_unlock(&dev->lock);
	if (!is_recoverable)
		dev_end_hung(dev, is_gone);
	else if (is_gone)
		dev_reclaim(dev);
	dev_check_wait(dev);
	return time_before(jiffies, READ_ONCE(dev->waiting_since) + HZ) ?
		       LEAVING_PERIOD :
		       LEAVING_PERIOD_LATER;
}

static void dev_watch_driver(struct kbdus_dev *dev,
			     struct kbdus_session *session)
{
	if (kbdus_session_is_lost(session))
		kbdus_session_end(session, KBDUS_REASON_EXITED);
	else if (dev_is_stuck(dev))
		dev_fence(dev, session);
}

static unsigned long dev_watch_session(struct kbdus_dev *dev,
				       struct kbdus_session *session)
{
	if (READ_ONCE(session->is_ended))
		return dev_watch_leaving(dev, session);
	dev_watch_driver(dev, session);
	return WATCHDOG_PERIOD;
}

static struct kbdus_session *session_get(struct kbdus_session *session)
{
	if (session)
		kref_get(&session->ref);
	return session;
}

void kbdus_dev_watch(struct work_struct *work)
{
	struct kbdus_dev *dev =
		container_of(to_delayed_work(work), struct kbdus_dev, watchdog);
	struct kbdus_session *session, *candidate;
	unsigned long delay = WATCHDOG_PERIOD;

	spin_lock(&dev->lock);
	session = session_get(dev->session);
	candidate = session_get(dev->candidate);
	spin_unlock(&dev->lock);
	if (candidate)
		dev_watch_candidate(dev, candidate);
	if (session)
		delay = dev_watch_session(dev, session);
	else
		dev_check_wait(dev);
	if (READ_ONCE(dev->state) != KBDUS_STATE_DEAD)
		queue_delayed_work(kbdus_wq, &dev->watchdog, delay);
	if (session)
		kbdus_session_put(session);
	if (candidate)
		kbdus_session_put(candidate);
}

void kbdus_dev_kick_watchdog(struct kbdus_dev *dev)
{
	lockdep_assert_held(&dev->lock);
	if (dev->state != KBDUS_STATE_DEAD)
		mod_delayed_work(kbdus_wq, &dev->watchdog, 0);
}
