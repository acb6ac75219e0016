// SPDX-License-Identifier: GPL-2.0
/*
 * ioctl.c - ioctls of clients, passed on to the driver as requests.
 *
 * The client may be killed while it waits; the argument's buffer then stays
 * until the driver has answered.
 */
#include <linux/capability.h>
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "internal.h"

static void ioctl_free(struct kref *ref)
{
	kvfree(container_of(ref, struct kbdus_ioctl, ref));
}

/* Built with _IO, _IOR, _IOW or _IOWR: its size can be trusted. */
static bool is_well_formed(unsigned int cmd)
{
	return (_IOC_DIR(cmd) == _IOC_NONE) == !_IOC_SIZE(cmd);
}

static struct kbdus_ioctl *ioctl_new(unsigned int cmd, void __user *arg)
{
	unsigned int size = _IOC_SIZE(cmd);
	struct kbdus_ioctl *ioctl =
		kvzalloc(struct_size(ioctl, data, size), GFP_KERNEL);

	if (!ioctl)
		return ERR_PTR(-ENOMEM);
	kref_init(&ioctl->ref);
	ioctl->cmd = cmd;
	ioctl->size = size;
	init_completion(&ioctl->done);
	if ((_IOC_DIR(cmd) & _IOC_WRITE) &&
	    copy_from_user(ioctl->data, arg, size)) {
		kref_put(&ioctl->ref, ioctl_free);
		return ERR_PTR(-EFAULT);
	}
	return ioctl;
}

static void req_init_ioctl(struct kbdus_req *req, struct kbdus_ioctl *ioctl)
{
	kref_get(&ioctl->ref);
	req->bio = NULL;
	req->ioctl = ioctl;
	req->merged = NULL;
	req->off = 0;
	req->len = ioctl->size;
	req->total = ioctl->size;
	req->arrival = jiffies;
	req->steps[0] = KBDUS_OP_IOCTL;
	req->n_steps = 1;
	req->step = 0;
	req->is_accounted = false;
}

/* The driver's answer, or EINTR: the caller is being killed, its buffer not */
static int ioctl_run(struct kbdus_dev *dev, struct kbdus_ioctl *ioctl,
		     void __user *arg)
{
	struct kbdus_req *req = kbdus_req_get(dev, true);

	if (IS_ERR(req))
		return PTR_ERR(req);
	req_init_ioctl(req, ioctl);
	kbdus_req_submit(dev, req);
	if (wait_for_completion_killable(&ioctl->done))
		return -EINTR;
	if (!ioctl->result && (_IOC_DIR(ioctl->cmd) & _IOC_READ) &&
	    copy_to_user(arg, ioctl->data, ioctl->size))
		return -EFAULT;
	return ioctl->result;
}

int kbdus_disk_ioctl(struct block_device *bdev, kbdus_mode_t mode,
		     unsigned int cmd, unsigned long arg)
{
	struct kbdus_dev *dev = bdev->bd_disk->private_data;
	struct kbdus_ioctl *ioctl;
	int ret;

	if (!kbdus_dev_has(dev, KBDUS_OP_IOCTL) || bdev_is_partition(bdev) ||
	    !is_well_formed(cmd))
		return -ENOTTY;
	if (!(mode & BLK_OPEN_WRITE) && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	ioctl = ioctl_new(cmd, (void __user *)arg);
	if (IS_ERR(ioctl))
		return PTR_ERR(ioctl);
	ret = ioctl_run(dev, ioctl, (void __user *)arg);
	kref_put(&ioctl->ref, ioctl_free);
	return ret;
}

void kbdus_ioctl_finish(struct kbdus_req *req, int error)
{
	struct kbdus_ioctl *ioctl = req->ioctl;

	req->ioctl = NULL;
	/* from here on, numbers have a meaning inside of the kernel */
	ioctl->result = error <= -ERESTARTSYS ? -EIO : error;
	complete(&ioctl->done);
	kref_put(&ioctl->ref, ioctl_free);
}
