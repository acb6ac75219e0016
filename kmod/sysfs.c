// SPDX-License-Identifier: GPL-2.0
/*
 * sysfs.c - /sys/block/bdus-N/bdus/: one value a file.
 */
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sysfs.h>

#include "internal.h"

static struct kbdus_dev *to_dev(struct device *device)
{
	return dev_to_disk(device)->private_data;
}

/* A file that shows one number. */
#define SHOW_NUMBER(name, format, expression)                                \
	static ssize_t name##_show(struct device *device,                    \
				   struct device_attribute *attr, char *buf) \
	{                                                                    \
		struct kbdus_dev *dev = to_dev(device);                      \
                                                                             \
		return sysfs_emit(buf, format "\n", expression);             \
	}                                                                    \
	static DEVICE_ATTR_RO(name)

SHOW_NUMBER(id, "%llu", dev->id);
SHOW_NUMBER(openers, "%u", disk_openers(dev->disk));
SHOW_NUMBER(recoverable, "%d",
	    !!(dev->attributes.flags & KBDUS_DEVICE_RECOVERABLE));
SHOW_NUMBER(supervised, "%d",
	    !!(dev->attributes.flags & KBDUS_DEVICE_SUPERVISED));
SHOW_NUMBER(timeout_ms, "%u", READ_ONCE(dev->attributes.timeout_ms));
SHOW_NUMBER(recovery_timeout_ms, "%u",
	    READ_ONCE(dev->attributes.recovery_timeout_ms));
SHOW_NUMBER(in_flight, "%u",
	    READ_ONCE(dev->n_used) - READ_ONCE(dev->n_pending));
SHOW_NUMBER(waiting, "%u", READ_ONCE(dev->n_pending));
SHOW_NUMBER(attempts, "%llu", READ_ONCE(dev->n_redelivered));
SHOW_NUMBER(restarts, "%llu", READ_ONCE(dev->n_sessions) - 1);

static ssize_t state_show(struct device *device, struct device_attribute *attr,
			  char *buf)
{
	static const char *const names[] = {
		[KBDUS_STATE_NEW] = "new",	   [KBDUS_STATE_LIVE] = "live",
		[KBDUS_STATE_ENDING] = "ending",   [KBDUS_STATE_DEAD] = "dead",
		[KBDUS_STATE_WAITING] = "waiting",
	};

	struct kbdus_dev *dev = to_dev(device);
	enum kbdus_state state;

	spin_lock(&dev->lock);
	state = kbdus_dev_state(dev);
	spin_unlock(&dev->lock);
	return sysfs_emit(buf, "%s\n", names[state]);
}
static DEVICE_ATTR_RO(state);

static ssize_t last_reason_show(struct device *device,
				struct device_attribute *attr, char *buf)
{
	static const char *const names[] = {
		[KBDUS_REASON_NONE] = "none",
		[KBDUS_REASON_EXITED] = "exited",
		[KBDUS_REASON_HUNG] = "hung",
		[KBDUS_REASON_CLOSED] = "closed",
		[KBDUS_REASON_REPLACED] = "replaced",
	};

	return sysfs_emit(buf, "%s\n",
			  names[READ_ONCE(to_dev(device)->last_reason)]);
}
static DEVICE_ATTR_RO(last_reason);

static ssize_t on_hang_show(struct device *device,
			    struct device_attribute *attr, char *buf)
{
	static const char *const names[] = {
		[KBDUS_ON_HANG_ERROR] = "error",
		[KBDUS_ON_HANG_RESTART] = "restart",
		[KBDUS_ON_HANG_HOLD] = "hold",
	};

	return sysfs_emit(buf, "%s\n",
			  names[READ_ONCE(to_dev(device)->attributes.on_hang)]);
}
static DEVICE_ATTR_RO(on_hang);

/* These change with the driver. */
static ssize_t show_text(struct kbdus_dev *dev, const char *text, char *buf)
{
	ssize_t n;

	spin_lock(&dev->lock);
	n = sysfs_emit(buf, "%s\n", text);
	spin_unlock(&dev->lock);
	return n;
}

static ssize_t driver_show(struct device *device, struct device_attribute *attr,
			   char *buf)
{
	struct kbdus_dev *dev = to_dev(device);

	return show_text(dev, dev->attributes.driver, buf);
}
static DEVICE_ATTR_RO(driver);

static ssize_t backing_show(struct device *device,
			    struct device_attribute *attr, char *buf)
{
	struct kbdus_dev *dev = to_dev(device);

	return show_text(dev, dev->attributes.backing, buf);
}
static DEVICE_ATTR_RO(backing);

/* How long there has been no driver; 0: there is one. */
static ssize_t waiting_ms_show(struct device *device,
			       struct device_attribute *attr, char *buf)
{
	struct kbdus_dev *dev = to_dev(device);
	unsigned long waited = 0;

	spin_lock(&dev->lock);
	if (kbdus_dev_state(dev) == KBDUS_STATE_WAITING)
		waited = jiffies - dev->waiting_since;
	spin_unlock(&dev->lock);
	return sysfs_emit(buf, "%u\n", jiffies_to_msecs(waited));
}
static DEVICE_ATTR_RO(waiting_ms);

/* Age of the oldest request; 0: there is none. */
static ssize_t oldest_ms_show(struct device *device,
			      struct device_attribute *attr, char *buf)
{
	struct kbdus_dev *dev = to_dev(device);
	unsigned long oldest = 0;
	u32 i;

	spin_lock(&dev->lock);
	for (i = 0; dev->n_used && i < dev->attributes.queue_depth; i++)
		if (dev->reqs[i].state != KBDUS_REQ_FREE)
			oldest = max(oldest, jiffies - dev->reqs[i].arrival);
	spin_unlock(&dev->lock);
	return sysfs_emit(buf, "%u\n", jiffies_to_msecs(oldest));
}
static DEVICE_ATTR_RO(oldest_ms);

/* 0: no driver, or one that the reader's pid namespace does not show */
static ssize_t pid_show(struct device *device, struct device_attribute *attr,
			char *buf)
{
	struct kbdus_dev *dev = to_dev(device);
	pid_t pid;

	spin_lock(&dev->lock);
	pid = kbdus_dev_pid(dev);
	spin_unlock(&dev->lock);
	return sysfs_emit(buf, "%d\n", pid);
}
static DEVICE_ATTR_RO(pid);

#define SHOW_COUNTS(name, op)                             \
	SHOW_NUMBER(name##_requests, "%llu",              \
		    READ_ONCE(dev->counts[op].requests)); \
	SHOW_NUMBER(name##_bytes, "%llu", READ_ONCE(dev->counts[op].bytes))

SHOW_COUNTS(read, KBDUS_OP_READ);
SHOW_COUNTS(write, KBDUS_OP_WRITE);
SHOW_COUNTS(write_zeroes, KBDUS_OP_WRITE_ZEROES);
SHOW_COUNTS(fua_write, KBDUS_OP_FUA_WRITE);
SHOW_COUNTS(flush, KBDUS_OP_FLUSH);
SHOW_COUNTS(discard, KBDUS_OP_DISCARD);
SHOW_COUNTS(secure_erase, KBDUS_OP_SECURE_ERASE);
SHOW_COUNTS(ioctl, KBDUS_OP_IOCTL);

#define COUNTS(name) \
	&dev_attr_##name##_requests.attr, &dev_attr_##name##_bytes.attr

static struct attribute *kbdus_attrs[] = { &dev_attr_id.attr,
					   &dev_attr_state.attr,
					   &dev_attr_driver.attr,
					   &dev_attr_backing.attr,
					   &dev_attr_pid.attr,
					   &dev_attr_openers.attr,
					   &dev_attr_recoverable.attr,
					   &dev_attr_supervised.attr,
					   &dev_attr_recovery_timeout_ms.attr,
					   &dev_attr_on_hang.attr,
					   &dev_attr_last_reason.attr,
					   &dev_attr_waiting_ms.attr,
					   &dev_attr_oldest_ms.attr,
					   &dev_attr_timeout_ms.attr,
					   &dev_attr_in_flight.attr,
					   &dev_attr_waiting.attr,
					   &dev_attr_attempts.attr,
					   &dev_attr_restarts.attr,
					   COUNTS(read),
					   COUNTS(write),
					   COUNTS(write_zeroes),
					   COUNTS(fua_write),
					   COUNTS(flush),
					   COUNTS(discard),
					   COUNTS(secure_erase),
					   COUNTS(ioctl),
					   NULL };

static const struct attribute_group kbdus_group = {
	.name = "bdus",
	.attrs = kbdus_attrs,
};

const struct attribute_group *kbdus_sysfs_groups[] = { &kbdus_group, NULL };
