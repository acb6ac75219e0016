// SPDX-License-Identifier: GPL-2.0
/*
 * control.c - /dev/bdus-control: the ioctls, and whose file it is.
 *
 * A control file becomes the session of a device with KBDUS_CREATE, or, of one
 * that exists, with KBDUS_ATTACH. The session ends when its process closes any
 * descriptor of the file, or dies.
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"

/**
 * struct kbdus_file - an open control file
 * @lock: serialises CREATE and ATTACH
 * @session: set once, by CREATE or ATTACH; holds a reference
 */
struct kbdus_file {
	struct mutex lock;
	struct kbdus_session *session;
};

static long control_version(struct kbdus_file *file, void __user *arg)
{
	struct kbdus_version version = { .abi = KBDUS_ABI };

	strscpy(version.release, KBDUS_RELEASE, sizeof(version.release));
	return copy_to_user(arg, &version, sizeof(version)) ? -EFAULT : 0;
}

/* The session of the file, if the caller may act for it, or an ERR_PTR. */
static struct kbdus_session *file_session(struct kbdus_file *file)
{
	struct kbdus_session *session = READ_ONCE(file->session);

	if (!session)
		return ERR_PTR(-ENODEV);
	return kbdus_session_is_owner(session) ? session : ERR_PTR(-EPERM);
}

static long file_create(struct kbdus_file *file, struct kbdus_create *create)
{
	struct kbdus_session *session;
	struct kbdus_dev *dev;

	if (file->session)
		return -EBUSY;
	dev = kbdus_dev_create(&create->attributes);
	if (IS_ERR(dev))
		return PTR_ERR(dev);
	session = kbdus_session_new(dev);
	create->id = dev->id;
	if (session) {
		WRITE_ONCE(file->session, session);
	} else {
		spin_lock(&dev->lock);
		kbdus_dev_kill(dev, -EIO);
		spin_unlock(&dev->lock);
	}
	kbdus_dev_put(dev);
	return session ? 0 : -ENOMEM;
}

static long control_create(struct kbdus_file *file, void __user *arg)
{
	struct kbdus_create *create;
	long ret;

	create = memdup_user(arg, sizeof(*create));
	if (IS_ERR(create))
		return PTR_ERR(create);
	ret = create->abi != KBDUS_ABI ? -EPROTO :
	      create->reserved	       ? -EINVAL :
					 0;
	if (!ret) {
		mutex_lock(&file->lock);
		ret = file_create(file, create);
		mutex_unlock(&file->lock);
	}
	if (!ret && copy_to_user(arg, create, sizeof(*create))) {
		/* nobody knows the id: closing the file removes the device */
		ret = -EFAULT;
	}
	kfree(create);
	return ret;
}

static int attach_check(const struct kbdus_attach *attach,
			const struct kbdus_attributes *a)
{
	u64 total = (u64)attach->buffer_size * a->queue_depth;
	u32 min = a->max_io;

	if (a->ops & (1U << KBDUS_OP_IOCTL))
		min = max_t(u32, min, KBDUS_IOCTL_MAX + 1);
	else if (!attach->buffer_size)
		return (attach->flags & KBDUS_ATTACH_GET) && !attach->buffers ?
			       0 :
			       -EINVAL;
	if (attach->buffer_size % PAGE_SIZE || attach->buffer_size < min ||
	    attach->buffers % PAGE_SIZE || !attach->buffers)
		return -EINVAL;
	if (attach->buffers > ULONG_MAX || total > ULONG_MAX ||
	    !access_ok((void __user *)(unsigned long)attach->buffers, total))
		return -EFAULT;
	return 0;
}

static void session_fill(struct kbdus_session *session,
			 const struct kbdus_attach *attach)
{
	session->buffers = attach->buffers;
	session->buffer_size = attach->buffer_size;
	session->wants_get = attach->flags & KBDUS_ATTACH_GET;
}

/* Of a device that this file created. */
static long file_attach(struct kbdus_file *file,
			const struct kbdus_attach *attach)
{
	struct kbdus_session *session = file_session(file);
	long ret;

	if (IS_ERR(session))
		return PTR_ERR(session);
	if (attach->id != session->dev->id)
		return -ENODEV;
	ret = attach_check(attach, &session->dev->attributes);
	if (ret)
		return ret;
	if (session->is_candidate || kbdus_session_is_attached(session))
		return -EBUSY;
	session_fill(session, attach);
	return kbdus_session_attach(session);
}

static long session_read_attributes(struct kbdus_session *session,
				    const struct kbdus_attach *attach)
{
	struct kbdus_attributes *a = &session->attributes;
	long ret;

	if (copy_from_user(a, u64_to_user_ptr(attach->attributes), sizeof(*a)))
		return -EFAULT;
	ret = kbdus_attributes_complete(a);
	return ret ? ret : kbdus_attributes_fit(&session->dev->attributes, a);
}

static long dev_offer(struct kbdus_dev *dev, struct kbdus_file *file,
		      const struct kbdus_attach *attach)
{
	struct kbdus_session *session;
	long ret;

	ret = attach_check(attach, &dev->attributes);
	if (ret)
		return ret;
	session = kbdus_session_new(dev);
	if (!session)
		return -ENOMEM;
	session->is_candidate = true;
	session_fill(session, attach);
	ret = session_read_attributes(session, attach);
	if (!ret)
		ret = kbdus_session_offer(
			session, attach->flags & KBDUS_ATTACH_SAME_OWNER);
	if (ret)
		kbdus_session_put(session);
	else
		WRITE_ONCE(file->session, session);
	return ret;
}

/* Of a device that has, or had, another driver. */
static long file_offer(struct kbdus_file *file,
		       const struct kbdus_attach *attach)
{
	struct kbdus_dev *dev;
	long ret;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (file->session)
		return -EBUSY;
	dev = kbdus_dev_find(attach->id);
	if (!dev)
		return -ENODEV;
	ret = dev_offer(dev, file, attach);
	kbdus_dev_put(dev);
	return ret;
}

static long control_attach(struct kbdus_file *file, void __user *arg)
{
	struct kbdus_attach attach;
	long ret;

	if (copy_from_user(&attach, arg, sizeof(attach)))
		return -EFAULT;
	if (attach.abi != KBDUS_ABI)
		return -EPROTO;
	if (attach.flags & ~(KBDUS_ATTACH_GET | KBDUS_ATTACH_SAME_OWNER) ||
	    attach.reserved)
		return -EINVAL;
	mutex_lock(&file->lock);
	ret = attach.attributes ? file_offer(file, &attach) :
				  file_attach(file, &attach);
	mutex_unlock(&file->lock);
	return ret;
}

static long control_queue(struct kbdus_file *file, void __user *arg)
{
	struct kbdus_session *session = file_session(file);
	struct kbdus_queue_new queue;

	if (IS_ERR(session))
		return PTR_ERR(session);
	if (copy_from_user(&queue, arg, sizeof(queue)))
		return -EFAULT;
	if (queue.flags)
		return -EINVAL;
	if (!kbdus_session_is_attached(session))
		return -ENODEV;
	queue.fd = kbdus_queue_open(session);
	if (queue.fd < 0)
		return queue.fd;
	/* after EFAULT the new file is in the caller's table all the same */
	return copy_to_user(arg, &queue, sizeof(queue)) ? -EFAULT : 0;
}

static long control_start(struct kbdus_file *file, void __user *arg)
{
	struct kbdus_session *session = file_session(file);

	if (arg)
		return -EINVAL;
	if (IS_ERR(session))
		return PTR_ERR(session);
	return session->is_candidate ? kbdus_session_take_over(session) :
				       kbdus_dev_start(session);
}

static long control_settle(struct kbdus_file *file, void __user *arg)
{
	struct kbdus_session *session = file_session(file);

	if (arg)
		return -EINVAL;
	return IS_ERR(session) ? PTR_ERR(session) :
				 kbdus_session_settle(session);
}

static long control_flush(struct kbdus_file *file, void __user *arg)
{
	struct kbdus_dev *dev;
	u64 id;
	long ret;

	if (copy_from_user(&id, arg, sizeof(id)))
		return -EFAULT;
	dev = kbdus_dev_find(id);
	if (!dev)
		return -ENODEV;
	ret = kbdus_dev_flush(dev);
	kbdus_dev_put(dev);
	return ret;
}

static long control_end(void __user *arg, bool does_wait)
{
	struct kbdus_terminate t;
	struct kbdus_dev *dev;
	long ret;

	if (copy_from_user(&t, arg, sizeof(t)))
		return -EFAULT;
	if (t.flags & ~(KBDUS_TERMINATE_NO_FLUSH | KBDUS_TERMINATE_FORCE) ||
	    (!does_wait && t.timeout_ms))
		return -EINVAL;
	dev = kbdus_dev_find(t.id);
	if (!dev)
		return -ENODEV;
	ret = does_wait ? kbdus_dev_destroy(dev, t.flags, t.timeout_ms) :
			  kbdus_dev_terminate(dev, t.flags);
	kbdus_dev_put(dev);
	return ret;
}

static long control_terminate(struct kbdus_file *file, void __user *arg)
{
	return control_end(arg, false);
}

static long control_destroy(struct kbdus_file *file, void __user *arg)
{
	return control_end(arg, true);
}

static u64 dev_completed(const struct kbdus_dev *dev)
{
	u64 sum = dev->n_poison;
	int op;

	for (op = 0; op < KBDUS_OP_COUNT; op++)
		sum += dev->counts[op].requests;
	return sum;
}

static void info_fill(struct kbdus_info *info, struct kbdus_dev *dev)
{
	spin_lock(&dev->lock);
	info->state = kbdus_dev_state(dev);
	info->pid = kbdus_dev_pid(dev);
	info->reason = dev->last_reason;
	info->sessions = dev->n_sessions;
	info->completed = dev_completed(dev);
	info->attributes = dev->attributes;
	spin_unlock(&dev->lock);
	info->openers = kbdus_dev_openers(dev);
}

static long control_info(struct kbdus_file *file, void __user *arg)
{
	struct kbdus_info *info = memdup_user(arg, sizeof(*info));
	struct kbdus_dev *dev;
	long ret = 0;

	if (IS_ERR(info))
		return PTR_ERR(info);
	dev = kbdus_dev_find(info->id);
	if (!dev) {
		ret = -ENODEV;
	} else {
		info_fill(info, dev);
		if (copy_to_user(arg, info, sizeof(*info)))
			ret = -EFAULT;
	}
	if (dev)
		kbdus_dev_put(dev);
	kfree(info);
	return ret;
}

/* Which ioctls act on any device, and so are for the administrator alone. */
static const struct {
	unsigned int cmd;
	bool is_admin;
	long (*run)(struct kbdus_file *file, void __user *arg);
} commands[] = {
	{ KBDUS_VERSION, false, control_version },
	{ KBDUS_CREATE, true, control_create },
	{ KBDUS_ATTACH, false, control_attach },
	{ KBDUS_QUEUE, false, control_queue },
	{ KBDUS_START, false, control_start },
	{ KBDUS_SETTLE, false, control_settle },
	{ KBDUS_FLUSH, true, control_flush },
	{ KBDUS_TERMINATE, true, control_terminate },
	{ KBDUS_DESTROY, true, control_destroy },
	{ KBDUS_INFO, true, control_info },
};

static long control_ioctl(struct file *filp, unsigned int cmd,
			  unsigned long arg)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].cmd != cmd)
			continue;
		if (commands[i].is_admin && !capable(CAP_SYS_ADMIN))
			return -EPERM;
		return commands[i].run(filp->private_data, (void __user *)arg);
	}
	return -ENOTTY;
}

static int control_open(struct inode *inode, struct file *filp)
{
	struct kbdus_file *file = kzalloc(sizeof(*file), GFP_KERNEL);

	if (!file)
		return -ENOMEM;
	mutex_init(&file->lock);
	filp->private_data = file;
	return nonseekable_open(inode, filp);
}

/*
 * Every close() comes here; the owner's ends the session. One by a process that
 * lives on says that it is done with the requests.
 */
static int control_flush_file(struct file *filp, fl_owner_t owner)
{
	struct kbdus_file *file = filp->private_data;
	struct kbdus_session *session = READ_ONCE(file->session);

	if (session && task_tgid(current) == session->tgid)
		kbdus_session_end(
			session, (current->flags & PF_EXITING) ||
						 fatal_signal_pending(current) ?
					 KBDUS_REASON_EXITED :
					 KBDUS_REASON_CLOSED);
	return 0;
}

static int control_release(struct inode *inode, struct file *filp)
{
	struct kbdus_file *file = filp->private_data;

	if (file->session) {
		kbdus_session_end(file->session, KBDUS_REASON_EXITED);
		kbdus_session_put(file->session);
	}
	kfree(file);
	return 0;
}

const struct file_operations kbdus_control_fops = {
	.owner = THIS_MODULE,
	.open = control_open,
	.flush = control_flush_file,
	.release = control_release,
	.unlocked_ioctl = control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};
