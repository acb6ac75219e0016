// SPDX-License-Identifier: GPL-2.0
/*
 * session.c - the processes that serve a device: attaching, taking over from
 * each other, and leaving.
 *
 * A device has at most one driver and one candidate. The candidate takes over
 * when the driver has finished what it had and was flushed, or is gone for
 * good; until then it can fail at any point, and the driver gets on.
 */
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "internal.h"

/* --- life --------------------------------------------------------------- */

struct kbdus_session *kbdus_session_new(struct kbdus_dev *dev)
{
	struct kbdus_session *session = kzalloc(sizeof(*session), GFP_KERNEL);

	if (!session)
		return NULL;
	kref_init(&session->ref);
	kref_get(&dev->ref);
	session->dev = dev;
	session->tgid = get_pid(task_tgid(current));
	mmgrab(current->mm);
	session->mm = current->mm;
	INIT_LIST_HEAD(&session->idle);
	return session;
}

static void session_free(struct kref *ref)
{
	struct kbdus_session *session =
		container_of(ref, struct kbdus_session, ref);

	put_pid(session->tgid);
	mmdrop(session->mm);
	kbdus_dev_put(session->dev);
	kfree(session);
}

void kbdus_session_put(struct kbdus_session *session)
{
	kref_put(&session->ref, session_free);
}

bool kbdus_session_is_owner(const struct kbdus_session *session)
{
	return task_tgid(current) == session->tgid &&
	       current->mm == session->mm;
}

bool kbdus_session_is_attached(struct kbdus_session *session)
{
	struct kbdus_dev *dev = session->dev;
	bool ret;

	spin_lock(&dev->lock);
	ret = !session->is_ended &&
	      (dev->session == session || dev->candidate == session);
	spin_unlock(&dev->lock);
	return ret;
}

/* Has the process become another program? A leader that exited has no mm. */
static bool task_has_other_mm(const struct kbdus_session *session,
			      struct task_struct *task)
{
	struct mm_struct *mm = READ_ONCE(task->mm);

	return mm && mm != session->mm;
}

bool kbdus_session_is_lost(const struct kbdus_session *session)
{
	struct task_struct *task;
	bool is_lost = true;

	rcu_read_lock();
	task = pid_task(session->tgid, PIDTYPE_TGID);
	if (task)
		is_lost =
			(READ_ONCE(task->signal->flags) & SIGNAL_GROUP_EXIT) ||
			!atomic_read(&task->signal->live) ||
			task_has_other_mm(session, task);
	rcu_read_unlock();
	return is_lost;
}

bool kbdus_session_is_gone(const struct kbdus_session *session)
{
	struct task_struct *task;
	bool is_gone = true;

	if (session->has_left && !atomic_read(&session->n_queues))
		return true;
	rcu_read_lock();
	task = pid_task(session->tgid, PIDTYPE_TGID);
	/* a task gets its exit_state after its files and memory are released */
	if (task)
		is_gone = (READ_ONCE(task->exit_state) &&
			   thread_group_empty(task)) ||
			  task_has_other_mm(session, task);
	rcu_read_unlock();
	return is_gone;
}

void kbdus_session_wake_all(struct kbdus_session *session)
{
	struct kbdus_idle *idle, *next;

	list_for_each_entry_safe(idle, next, &session->idle, link) {
		list_del_init(&idle->link);
		wake_up_process(idle->task);
	}
}

void kbdus_dev_wake_worker(struct kbdus_dev *dev)
{
	struct task_struct *task = kbdus_dev_pop_idle(dev);

	/* under the lock it cannot leave its wait, and so not exit */
	if (task)
		wake_up_process(task);
}

/* --- attaching ---------------------------------------------------------- */

int kbdus_session_attach(struct kbdus_session *session)
{
	struct kbdus_dev *dev = session->dev;
	int ret = 0;

	spin_lock(&dev->lock);
	if (session->is_ended || dev->state != KBDUS_STATE_NEW) {
		ret = session->is_ended ? -ENODEV : -EBUSY;
	} else if (dev->session) {
		ret = -EBUSY;
	} else {
		kref_get(&session->ref);
		dev->session = session;
		dev->n_sessions++;
		dev->last_progress = jiffies;
		kbdus_dev_kick_watchdog(dev);
	}
	spin_unlock(&dev->lock);
	return ret;
}

int kbdus_session_offer(struct kbdus_session *session, bool same_owner)
{
	struct kbdus_dev *dev = session->dev;
	int ret = 0;

	spin_lock(&dev->lock);
	if (dev->state == KBDUS_STATE_DEAD) {
		ret = -ENODEV;
	} else if (dev->state == KBDUS_STATE_ENDING) {
		ret = -ESHUTDOWN;
	} else if (!dev->is_started || dev->candidate) {
		ret = -EBUSY;
	} else if (same_owner &&
		   dev->attributes.owner != session->attributes.owner) {
		ret = -ESTALE;
	} else {
		kref_get(&session->ref);
		dev->candidate = session;
	}
	spin_unlock(&dev->lock);
	return ret;
}

/* --- taking over -------------------------------------------------------- */

/* The driver goes on as if nothing had been. */
static void dev_stop_handover(struct kbdus_dev *dev)
{
	dev->handover = KBDUS_HANDOVER_NONE;
	if (dev->handover_flush.state == KBDUS_REQ_PENDING)
		dev->handover_flush.state = KBDUS_REQ_FREE;
	kbdus_dev_wake_worker(dev);
	wake_up_all(&dev->handover_wait);
}

struct kbdus_session *kbdus_dev_drop_candidate(struct kbdus_dev *dev)
{
	struct kbdus_session *session = dev->candidate;

	lockdep_assert_held(&dev->lock);
	if (!session)
		return NULL;
	dev->candidate = NULL;
	session->is_ended = true;
	kbdus_session_wake_all(session);
	dev_stop_handover(dev);
	return session;
}

/* Return: the session replaced, to be put without the lock, or NULL. */
static struct kbdus_session *dev_hand_over(struct kbdus_dev *dev)
{
	struct kbdus_session *old = dev->session;

	/* the reference moves along */
	dev->session = dev->candidate;
	dev->candidate = NULL;
	dev->handover = KBDUS_HANDOVER_NONE;
	kbdus_attributes_take_over(&dev->attributes, &dev->session->attributes);
	dev->n_sessions++;
	dev->is_failing = false;
	dev->last_progress = jiffies;
	if (old) {
		old->is_replaced = true;
		dev->last_reason = KBDUS_REASON_REPLACED;
		kbdus_session_wake_all(old);
	}
	kbdus_dev_wake_worker(dev);
	return old;
}

static void dev_send_handover_flush(struct kbdus_dev *dev)
{
	struct kbdus_req *req = &dev->handover_flush;

	req->steps[0] = KBDUS_OP_FLUSH;
	req->n_steps = 1;
	req->arrival = jiffies;
	req->state = KBDUS_REQ_PENDING;
	dev->handover = KBDUS_HANDOVER_FLUSH;
	kbdus_dev_wake_worker(dev);
}

/* With a driver that serves. Return: 0: out of the way, -EAGAIN, an error. */
static int dev_settle_driver(struct kbdus_dev *dev)
{
	switch (dev->handover) {
	case KBDUS_HANDOVER_NONE:
		dev->handover = KBDUS_HANDOVER_DRAIN;
		fallthrough;
	case KBDUS_HANDOVER_DRAIN:
		if (dev->n_lent)
			return -EAGAIN;
		if (!kbdus_dev_has(dev, KBDUS_OP_FLUSH))
			return 0;
		dev_send_handover_flush(dev);
		return -EAGAIN;
	case KBDUS_HANDOVER_FLUSH:
		return -EAGAIN;
	default:
		return dev->handover_error;
	}
}

/* Under the lock. Return: 0, -EAGAIN (handover_wait will tell), an error. */
static int session_try_settle(struct kbdus_session *session)
{
	struct kbdus_dev *dev = session->dev;
	int ret = 0;

	if (dev->state == KBDUS_STATE_DEAD)
		return -ENODEV;
	if (dev->state != KBDUS_STATE_LIVE)
		return -ESHUTDOWN;
	if (dev->candidate != session)
		return session->is_ended ? -ECANCELED : -EBUSY;
	/* one that was lost is not out of the way before it is gone */
	if (dev->session)
		ret = kbdus_dev_driver(dev) ? dev_settle_driver(dev) : -EAGAIN;
	if (!ret && dev->handover != KBDUS_HANDOVER_DONE) {
		dev->handover = KBDUS_HANDOVER_DONE;
		dev->handover_error = 0;
		dev->settled_since = jiffies;
	}
	return ret;
}

/* *old is to be put. */
static int session_look(struct kbdus_session *session, bool does_take,
			struct kbdus_session **old)
{
	struct kbdus_dev *dev = session->dev;
	int ret;

	*old = NULL;
	spin_lock(&dev->lock);
	ret = session_try_settle(session);
	if (!ret && does_take)
		*old = dev_hand_over(dev);
	else if (ret && ret != -EAGAIN && dev->candidate == session)
		*old = kbdus_dev_drop_candidate(dev);
	spin_unlock(&dev->lock);
	return ret;
}

static int session_go(struct kbdus_session *session, bool does_take)
{
	struct kbdus_dev *dev = session->dev;
	struct kbdus_session *old = NULL;
	int ret = -EAGAIN;

	wait_event_interruptible(
		dev->handover_wait,
		(ret = session_look(session, does_take, &old)) != -EAGAIN);
	if (old)
		kbdus_session_put(old);
	if (ret != -EAGAIN)
		return ret;
	spin_lock(&dev->lock);
	if (dev->candidate == session)
		dev_stop_handover(dev);
	spin_unlock(&dev->lock);
	return -EINTR;
}

int kbdus_session_settle(struct kbdus_session *session)
{
	return session->is_candidate ? session_go(session, false) : -EBUSY;
}

int kbdus_session_take_over(struct kbdus_session *session)
{
	return session_go(session, true);
}

/* --- leaving ------------------------------------------------------------ */

/* What it holds is kept until it is gone, or fails with the device. */
static void dev_lose_driver(struct kbdus_dev *dev, enum kbdus_reason reason)
{
	dev->last_reason = reason;
	dev->waiting_since = jiffies;
	if (!kbdus_dev_is_recoverable(dev) && reason != KBDUS_REASON_HUNG) {
		kbdus_dev_kill(dev, -EIO);
		return;
	}
	dev->handover = KBDUS_HANDOVER_NONE;
	wake_up_all(&dev->handover_wait);
	kbdus_dev_kick_watchdog(dev);
}

/* Return: a candidate, to be put without the lock, or NULL. */
static struct kbdus_session *session_end_locked(struct kbdus_session *session,
						enum kbdus_reason reason)
{
	struct kbdus_dev *dev = session->dev;

	if (session->is_ended)
		return NULL;
	session->is_ended = true;
	session->has_left = reason == KBDUS_REASON_CLOSED;
	session->is_hung = reason == KBDUS_REASON_HUNG;
	kbdus_session_wake_all(session);
	if (dev->candidate == session)
		return kbdus_dev_drop_candidate(dev);
	if (dev->session == session)
		dev_lose_driver(dev, reason);
	else if (dev->state == KBDUS_STATE_NEW)
		kbdus_dev_kill(dev, -EIO);
	return NULL;
}

void kbdus_session_end(struct kbdus_session *session, enum kbdus_reason reason)
{
	struct kbdus_dev *dev = session->dev;
	struct kbdus_session *candidate;

	spin_lock(&dev->lock);
	candidate = session_end_locked(session, reason);
	spin_unlock(&dev->lock);
	if (candidate)
		kbdus_session_put(candidate);
}

void kbdus_session_kill(struct kbdus_session *session, enum kbdus_reason reason)
{
	kbdus_session_end(session, reason);
	kill_pid(session->tgid, SIGKILL, 1);
}
