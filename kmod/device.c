// SPDX-License-Identifier: GPL-2.0
/*
 * device.c - the life of a device: disk, start, removal.
 *
 * A device dies once, in kbdus_dev_kill(), whoever noticed first that its
 * driver is gone; from there a work item ends its requests, removes the disk
 * and drops the table's reference.
 */
#include <linux/capability.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/xarray.h>

#include "internal.h"

/* how long KBDUS_DESTROY waits for a killed driver, or the last closer */
#define LAST_WAIT_MS 5000

static DEFINE_XARRAY(devices);
static atomic_t n_devices = ATOMIC_INIT(0);
static atomic64_t next_id = ATOMIC64_INIT(0);

/* --- disk --------------------------------------------------------------- */

static bool is_by(const struct kbdus_session *session)
{
	return session && task_tgid(current) == session->tgid;
}

static bool is_by_driver(struct kbdus_dev *dev)
{
	bool ret;

	spin_lock(&dev->lock);
	ret = is_by(dev->session) || is_by(dev->candidate);
	spin_unlock(&dev->lock);
	return ret;
}

static KBDUS_DISK_OPEN(disk_open)
{
	struct kbdus_dev *dev = KBDUS_DISK_OF_OPEN->private_data;

	if (READ_ONCE(dev->is_closed))
		return -ENXIO;
	/* its I/O would wait for itself */
	if (is_by_driver(dev))
		return -EDEADLK;
	return 0;
}

static int disk_set_read_only(struct block_device *bdev, bool is_read_only)
{
	const struct kbdus_dev *dev = bdev->bd_disk->private_data;

	if (!is_read_only && (dev->attributes.flags & KBDUS_DEVICE_READ_ONLY))
		return -EACCES;
	return 0;
}

static void disk_free(struct gendisk *disk)
{
	struct kbdus_dev *dev = disk->private_data;

	complete_all(&dev->freed);
	kbdus_dev_put(dev);
}

static const struct block_device_operations disk_ops = {
	.owner = THIS_MODULE,
	.submit_bio = kbdus_submit_bio,
	.open = disk_open,
	.set_read_only = disk_set_read_only,
	.ioctl = kbdus_disk_ioctl,
	.compat_ioctl = blkdev_compat_ptr_ioctl,
	.free_disk = disk_free,
};

static u32 if_has(const struct kbdus_dev *dev, enum kbdus_op op, u32 value)
{
	return kbdus_dev_has(dev, op) ? value : 0;
}

static int dev_alloc_disk(struct kbdus_dev *dev)
{
	const struct kbdus_attributes *a = &dev->attributes;
	struct kbdus_limits limits = {
		.logical_block_size = a->logical_block_size,
		.physical_block_size = a->physical_block_size,
		.max_io = a->max_io,
		.max_write_zeroes =
			if_has(dev, KBDUS_OP_WRITE_ZEROES, a->max_write_zeroes),
		.max_discard = if_has(dev, KBDUS_OP_DISCARD, a->max_discard),
		.max_secure_erase =
			if_has(dev, KBDUS_OP_SECURE_ERASE, a->max_secure_erase),
		.discard_granularity = a->discard_granularity,
		.write_cache = kbdus_dev_has(dev, KBDUS_OP_FLUSH),
		.rotational = a->flags & KBDUS_DEVICE_ROTATIONAL,
	};
	struct gendisk *disk = kbdus_alloc_disk(&limits);

	if (IS_ERR(disk))
		return PTR_ERR(disk);
	disk->fops = &disk_ops;
	disk->private_data = dev;
	snprintf(disk->disk_name, sizeof(disk->disk_name), "bdus-%llu",
		 dev->id);
	if (a->flags & KBDUS_DEVICE_NO_PARTITIONS)
		disk->flags |= GENHD_FL_NO_PART;
	/* adding the disk must not read: that would be in the driver itself */
	set_bit(GD_SUPPRESS_PART_SCAN, &disk->state);
	set_capacity(disk, a->size >> SECTOR_SHIFT);
	set_disk_ro(disk, a->flags & KBDUS_DEVICE_READ_ONLY);
	dev->disk = disk;
	return 0;
}

/* --- creation ----------------------------------------------------------- */

static void dev_scan(struct work_struct *work)
{
	struct kbdus_dev *dev = container_of(work, struct kbdus_dev, scan_work);

	if (!(dev->attributes.flags & KBDUS_DEVICE_NO_PARTITIONS)) {
		clear_bit(GD_SUPPRESS_PART_SCAN, &dev->disk->state);
		set_bit(GD_NEED_PART_SCAN, &dev->disk->state);
		kbdus_open_and_close(disk_devt(dev->disk));
	}
	spin_lock(&dev->lock);
	dev->is_started = true;
	spin_unlock(&dev->lock);
	complete_all(&dev->scanned);
}

static struct kbdus_session *dev_session(struct kbdus_dev *dev)
{
	struct kbdus_session *session;

	spin_lock(&dev->lock);
	session = dev->session;
	if (session)
		kref_get(&session->ref);
	spin_unlock(&dev->lock);
	return session;
}

static void dev_drop_sessions(struct kbdus_dev *dev)
{
	struct kbdus_session *session, *candidate;

	spin_lock(&dev->lock);
	session = dev->session;
	dev->session = NULL;
	candidate = kbdus_dev_drop_candidate(dev);
	spin_unlock(&dev->lock);
	if (session)
		kbdus_session_put(session);
	if (candidate)
		kbdus_session_put(candidate);
}

static void dev_put_disk(struct kbdus_dev *dev)
{
	bool is_added = dev->is_added;

	spin_lock(&dev->lock);
	dev->is_removed = true;
	spin_unlock(&dev->lock);
	put_disk(dev->disk);
	/* a disk that was never added is freed without calling disk_free() */
	if (!is_added) {
		complete_all(&dev->freed);
		kbdus_dev_put(dev);
	}
}

static void dev_remove(struct work_struct *work)
{
	struct kbdus_dev *dev =
		container_of(work, struct kbdus_dev, remove_work);

	kbdus_dev_fail_all(dev);
	mutex_lock(&dev->control_lock);
	if (dev->is_added) {
		cancel_work_sync(&dev->scan_work);
		del_gendisk(dev->disk);
	}
	mutex_unlock(&dev->control_lock);
	complete_all(&dev->scanned);
	cancel_delayed_work_sync(&dev->watchdog);
	dev_drop_sessions(dev);
	xa_erase(&devices, dev->id);
	atomic_dec(&n_devices);
	dev_put_disk(dev);
	complete_all(&dev->gone);
	kbdus_dev_put(dev);
}

static int dev_alloc_reqs(struct kbdus_dev *dev)
{
	u32 i = dev->attributes.queue_depth;

	dev->reqs = kvcalloc(i, sizeof(*dev->reqs), GFP_KERNEL);
	if (!dev->reqs)
		return -ENOMEM;
	/* low tags first: their buffers stay in the cache */
	while (i-- > 0) {
		dev->reqs[i].tag = i;
		INIT_LIST_HEAD(&dev->reqs[i].link);
		dev->reqs[i].merged = dev->free;
		dev->free = &dev->reqs[i];
	}
	return 0;
}

static void dev_init(struct kbdus_dev *dev, const struct kbdus_attributes *a)
{
	kref_init(&dev->ref);
	dev->attributes = *a;
	mutex_init(&dev->control_lock);
	INIT_WORK(&dev->remove_work, dev_remove);
	INIT_WORK(&dev->scan_work, dev_scan);
	INIT_DELAYED_WORK(&dev->watchdog, kbdus_dev_watch);
	init_completion(&dev->scanned);
	init_completion(&dev->gone);
	init_completion(&dev->freed);
	init_waitqueue_head(&dev->depth_wait);
	init_waitqueue_head(&dev->unpin_wait);
	init_waitqueue_head(&dev->handover_wait);
	spin_lock_init(&dev->lock);
	dev->end_error = -EIO;
	INIT_LIST_HEAD(&dev->pending);
	INIT_LIST_HEAD(&dev->handover_flush.link);
	dev->last_progress = jiffies;
}

static void dev_free(struct kref *ref)
{
	struct kbdus_dev *dev = container_of(ref, struct kbdus_dev, ref);

	kvfree(dev->reqs);
	kfree(dev);
	module_put(THIS_MODULE);
}

void kbdus_dev_put(struct kbdus_dev *dev)
{
	kref_put(&dev->ref, dev_free);
}

static struct kbdus_dev *dev_new(const struct kbdus_attributes *a)
{
	struct kbdus_dev *dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	int ret = -ENOMEM;

	if (!dev)
		return ERR_PTR(-ENOMEM);
	__module_get(THIS_MODULE);
	dev_init(dev, a);
	ret = dev_alloc_reqs(dev);
	if (ret)
		goto out_put;
	dev->id = atomic64_inc_return(&next_id) - 1;
	ret = dev_alloc_disk(dev);
	if (ret)
		goto out_put;
	ret = xa_insert(&devices, dev->id, dev, GFP_KERNEL);
	if (ret)
		goto out_put_disk;
	/* the first one is the table's, this one the disk's, one for return */
	kref_get(&dev->ref);
	kref_get(&dev->ref);
	return dev;

out_put_disk:
	put_disk(dev->disk);
out_put:
	kbdus_dev_put(dev);
	return ERR_PTR(ret);
}

struct kbdus_dev *kbdus_dev_create(struct kbdus_attributes *attributes)
{
	struct kbdus_dev *dev;
	int ret;

	ret = kbdus_attributes_complete(attributes);
	if (ret)
		return ERR_PTR(ret);
	if (atomic_inc_return(&n_devices) > KBDUS_MAX_DEVICES) {
		atomic_dec(&n_devices);
		return ERR_PTR(-ENOSPC);
	}
	dev = dev_new(attributes);
	if (IS_ERR(dev))
		atomic_dec(&n_devices);
	return dev;
}

struct kbdus_dev *kbdus_dev_find(u64 id)
{
	struct kbdus_dev *dev;

	if (id > ULONG_MAX)
		return NULL;
	xa_lock(&devices);
	dev = xa_load(&devices, id);
	if (dev && !kref_get_unless_zero(&dev->ref))
		dev = NULL;
	xa_unlock(&devices);
	return dev;
}

/* --- start and end ------------------------------------------------------ */

static int dev_go_live(struct kbdus_session *session)
{
	struct kbdus_dev *dev = session->dev;
	int ret = 0;

	spin_lock(&dev->lock);
	if (session->is_ended || dev->session != session)
		ret = -ENODEV;
	else if (dev->state != KBDUS_STATE_NEW)
		ret = -EBUSY;
	else
		dev->state = KBDUS_STATE_LIVE;
	spin_unlock(&dev->lock);
	return ret;
}

static int dev_add_disk(struct kbdus_session *session)
{
	struct kbdus_dev *dev = session->dev;
	int ret;

	mutex_lock(&dev->control_lock);
	ret = dev_go_live(session);
	if (ret)
		goto out_unlock;
	/* whoever hears of the disk opens it before this returns */
	ret = device_add_disk(NULL, dev->disk, kbdus_sysfs_groups);
	if (ret) {
		kbdus_session_end(session, KBDUS_REASON_CLOSED);
		goto out_unlock;
	}
	dev->is_added = true;
	queue_work(system_long_wq, &dev->scan_work);
out_unlock:
	mutex_unlock(&dev->control_lock);
	return ret;
}

int kbdus_dev_start(struct kbdus_session *session)
{
	struct kbdus_dev *dev = session->dev;
	int ret = dev_add_disk(session);

	if (ret)
		return ret;
	if (wait_for_completion_interruptible(&dev->scanned))
		return -EINTR;
	return READ_ONCE(session->is_ended) ? -ENODEV : 0;
}

void kbdus_dev_kill(struct kbdus_dev *dev, int error)
{
	lockdep_assert_held(&dev->lock);
	if (dev->state == KBDUS_STATE_DEAD)
		return;
	dev->state = KBDUS_STATE_DEAD;
	dev->end_error = error;
	if (dev->session)
		kbdus_session_wake_all(dev->session);
	if (dev->candidate)
		kbdus_session_wake_all(dev->candidate);
	wake_up_all(&dev->handover_wait);
	queue_work(kbdus_wq, &dev->remove_work);
}

/* The disk, to be given back with put_device(), or NULL once it was removed */
static struct gendisk *dev_get_disk(struct kbdus_dev *dev)
{
	struct gendisk *disk = NULL;

	spin_lock(&dev->lock);
	if (!dev->is_removed) {
		disk = dev->disk;
		get_device(disk_to_dev(disk));
	}
	spin_unlock(&dev->lock);
	return disk;
}

enum kbdus_state kbdus_dev_state(const struct kbdus_dev *dev)
{
	lockdep_assert_held(&dev->lock);
	if (dev->state == KBDUS_STATE_LIVE && !kbdus_dev_driver(dev))
		return KBDUS_STATE_WAITING;
	return dev->state;
}

pid_t kbdus_dev_pid(const struct kbdus_dev *dev)
{
	lockdep_assert_held(&dev->lock);
	return dev->session ? pid_vnr(dev->session->tgid) : 0;
}

unsigned int kbdus_dev_openers(struct kbdus_dev *dev)
{
	struct gendisk *disk = dev_get_disk(dev);
	unsigned int n;

	if (!disk)
		return 0;
	n = disk_openers(disk);
	put_device(disk_to_dev(disk));
	return n;
}

static int disk_flush(struct gendisk *disk)
{
	int ret = sync_blockdev(disk->part0);

	return ret ? ret : blkdev_issue_flush(disk->part0);
}

int kbdus_dev_flush(struct kbdus_dev *dev)
{
	struct gendisk *disk = dev_get_disk(dev);
	int ret;

	if (!disk || READ_ONCE(dev->state) == KBDUS_STATE_NEW)
		ret = -ENODEV;
	else
		ret = disk_flush(disk);
	if (disk)
		put_device(disk_to_dev(disk));
	return ret;
}

/* From here on nobody opens it. EBUSY: somebody has it open, not by force. */
static int disk_close(struct gendisk *disk, bool by_force)
{
	struct kbdus_dev *dev = disk->private_data;
	int ret = 0;

	if (by_force) {
		/* open_mutex may be held by one who waits for the driver */
		WRITE_ONCE(dev->is_closed, true);
		return 0;
	}
	mutex_lock(&disk->open_mutex);
	if (disk_openers(disk))
		ret = -EBUSY;
	else
		WRITE_ONCE(dev->is_closed, true);
	mutex_unlock(&disk->open_mutex);
	return ret;
}

/* From here on a driver that is lost takes the device with it. */
static void dev_tell_to_leave(struct kbdus_dev *dev)
{
	struct kbdus_session *candidate;

	spin_lock(&dev->lock);
	candidate = kbdus_dev_drop_candidate(dev);
	if (dev->state == KBDUS_STATE_LIVE)
		dev->state = KBDUS_STATE_ENDING;
	if (!kbdus_dev_driver(dev))
		kbdus_dev_kill(dev, -EIO);
	else if (!dev->n_used)
		kbdus_session_wake_all(dev->session);
	spin_unlock(&dev->lock);
	wake_up_all(&dev->depth_wait);
	if (candidate)
		kbdus_session_put(candidate);
}

/* May it be ended now? Nothing was changed if not. */
static int dev_check_end(struct kbdus_dev *dev, u32 flags)
{
	int ret = 0;

	spin_lock(&dev->lock);
	if (dev->state == KBDUS_STATE_NEW)
		ret = -EBUSY;
	else if (dev->state != KBDUS_STATE_LIVE)
		ret = 0;
	else if (dev->candidate && !(flags & KBDUS_TERMINATE_FORCE))
		ret = -EAGAIN;
	else if (!kbdus_dev_driver(dev) && !(flags & KBDUS_TERMINATE_NO_FLUSH))
		ret = -ENOTCONN;
	spin_unlock(&dev->lock);
	return ret;
}

static int disk_terminate(struct gendisk *disk, u32 flags)
{
	struct kbdus_dev *dev = disk->private_data;
	int ret = disk_close(disk, flags & KBDUS_TERMINATE_FORCE);

	if (ret)
		return ret;
	if (!(flags & KBDUS_TERMINATE_NO_FLUSH))
		ret = disk_flush(disk);
	if (ret)
		WRITE_ONCE(dev->is_closed, false);
	else
		dev_tell_to_leave(dev);
	return ret;
}

int kbdus_dev_terminate(struct kbdus_dev *dev, u32 flags)
{
	struct gendisk *disk;
	int ret;

	ret = dev_check_end(dev, flags);
	if (ret)
		return ret;
	disk = dev_get_disk(dev);
	if (disk && READ_ONCE(dev->state) == KBDUS_STATE_LIVE)
		ret = disk_terminate(disk, flags);
	if (disk)
		put_device(disk_to_dev(disk));
	return ret;
}

static int dev_wait_gone(struct kbdus_dev *dev, u32 timeout_ms)
{
	long ret = wait_for_completion_interruptible_timeout(
		&dev->gone, timeout_ms ? msecs_to_jiffies(timeout_ms) :
					 MAX_SCHEDULE_TIMEOUT);

	if (ret < 0)
		return -EINTR;
	return ret ? 0 : -ETIMEDOUT;
}

static void dev_kill_driver(struct kbdus_dev *dev)
{
	struct kbdus_session *session = dev_session(dev);

	spin_lock(&dev->lock);
	kbdus_dev_kill(dev, -EIO);
	spin_unlock(&dev->lock);
	if (!session)
		return;
	kbdus_session_kill(session, KBDUS_REASON_EXITED);
	kbdus_session_put(session);
}

int kbdus_dev_destroy(struct kbdus_dev *dev, u32 flags, u32 timeout_ms)
{
	int ret = kbdus_dev_terminate(dev, flags);

	if (ret)
		return ret;
	ret = dev_wait_gone(dev, timeout_ms);
	if (ret == -ETIMEDOUT && (flags & KBDUS_TERMINATE_FORCE)) {
		dev_kill_driver(dev);
		ret = dev_wait_gone(dev, LAST_WAIT_MS);
	}
	/*
	 * The last closer may be on its way; rmmod should work after this. By
	 * force, somebody may keep it open for as long as he likes.
	 */
	if (!ret && !(flags & KBDUS_TERMINATE_FORCE))
		wait_for_completion_interruptible_timeout(
			&dev->freed, msecs_to_jiffies(LAST_WAIT_MS));
	return ret;
}
