/* SPDX-License-Identifier: MIT */
/*
 * takeover - becoming the driver of a device that exists already.
 *
 * The kernel module checks the same and trusts nothing of this; here is where
 * the reasons are told.
 */
#include "takeover.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#include "control.h"
#include "msg.h"

#define TAKEOVER_OP(op) (1U << (op))
#define TAKEOVER_FLAGS                                       \
	(KBDUS_DEVICE_READ_ONLY | KBDUS_DEVICE_RECOVERABLE | \
	 KBDUS_DEVICE_SUPERVISED)

static int takeover_no_device(const struct dev *dev)
{
	msg_error("bdus-%" PRIu64 ": no such device", dev->id);
	return EXIT_NO_DEVICE;
}

static void takeover_preset(struct dev *dev)
{
	const struct kbdus_attributes *old = &dev->old.attributes;
	struct kbdus_attributes *attrs = &dev->attrs;

	attrs->logical_block_size = old->logical_block_size;
	attrs->physical_block_size = old->physical_block_size;
	attrs->timeout_ms = old->timeout_ms;
	attrs->recovery_timeout_ms = old->recovery_timeout_ms;
	attrs->on_hang = old->on_hang;
	attrs->read_retries = old->read_retries;
	attrs->flags |= old->flags & TAKEOVER_FLAGS;
	if (dev->is_restart)
		memcpy(attrs->backing, old->backing, sizeof(attrs->backing));
}

int takeover_meet(struct dev *dev)
{
	int code = control_open(&dev->control);

	if (code != EXIT_DONE)
		return code;
	dev->old = (struct kbdus_info){ .id = dev->id };
	if (ioctl(dev->control, KBDUS_INFO, &dev->old) != 0) {
		if (errno == ENODEV)
			return takeover_no_device(dev);
		takeover_explain(dev, -errno);
		return EXIT_FAILED;
	}
	takeover_preset(dev);
	return EXIT_DONE;
}

static int takeover_refuse_size(const struct dev *dev)
{
	uint64_t old = dev->old.attributes.size, new = dev->attrs.size;

	msg_error("bdus-%" PRIu64 ": has %" PRIu64 " bytes, the new driver "
		  "%" PRIu64,
		  dev->id, old, new);
	if (new > old)
		msg_hint("a larger backing can be cut: --sizelimit %" PRIu64
			 " where the driver has it",
			 old);
	return EXIT_FAILED;
}

static const char *takeover_op_name(unsigned int op)
{
	static const char *const names[KBDUS_OP_COUNT] = {
		[KBDUS_OP_READ] = "read",
		[KBDUS_OP_WRITE] = "write",
		[KBDUS_OP_WRITE_ZEROES] = "write zeroes",
		[KBDUS_OP_FUA_WRITE] = "FUA write",
		[KBDUS_OP_FLUSH] = "flush",
		[KBDUS_OP_DISCARD] = "discard",
		[KBDUS_OP_SECURE_ERASE] = "secure erase",
		[KBDUS_OP_IOCTL] = "ioctl",
	};

	return names[op];
}

static int takeover_check_ops(const struct dev *dev)
{
	uint32_t missing = dev->old.attributes.ops & ~dev->attrs.ops;

	for (unsigned int op = 0; op < KBDUS_OP_COUNT; op++) {
		if (!(missing & TAKEOVER_OP(op)))
			continue;
		msg_error("bdus-%" PRIu64 ": its clients may use %s, which the "
			  "new driver does not do",
			  dev->id, takeover_op_name(op));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

/* 0 of the new driver: no limit. */
static int takeover_check_limit(const struct dev *dev, const char *what,
				unsigned int op, uint32_t old, uint32_t new)
{
	if (!(dev->old.attributes.ops & TAKEOVER_OP(op)) || new == 0 ||
	    new >= old)
		return EXIT_DONE;
	msg_error("bdus-%" PRIu64 ": its clients may send a %s of %" PRIu32
		  " bytes, the new driver takes %" PRIu32,
		  dev->id, what, old, new);
	return EXIT_FAILED;
}

static int takeover_check_limits(const struct dev *dev)
{
	const struct kbdus_attributes *old = &dev->old.attributes;
	const struct kbdus_attributes *new = &dev->attrs;
	int code;

	code = takeover_check_limit(dev, "write zeroes", KBDUS_OP_WRITE_ZEROES,
				    old->max_write_zeroes,
				    new->max_write_zeroes);
	if (code == EXIT_DONE)
		code = takeover_check_limit(dev, "discard", KBDUS_OP_DISCARD,
					    old->max_discard, new->max_discard);
	if (code == EXIT_DONE)
		code = takeover_check_limit(
			dev, "secure erase", KBDUS_OP_SECURE_ERASE,
			old->max_secure_erase, new->max_secure_erase);
	if (code != EXIT_DONE || !(old->ops & TAKEOVER_OP(KBDUS_OP_DISCARD)) ||
	    new->discard_granularity <= old->discard_granularity)
		return code;
	msg_error("bdus-%" PRIu64 ": discards in units of %" PRIu32
		  " bytes, the new driver in units of %" PRIu32,
		  dev->id, old->discard_granularity, new->discard_granularity);
	return EXIT_FAILED;
}

int takeover_check(const struct dev *dev)
{
	const struct kbdus_attributes *old = &dev->old.attributes;
	int code;

	if (dev->attrs.logical_block_size != old->logical_block_size) {
		msg_error("bdus-%" PRIu64 ": has blocks of %" PRIu32
			  " bytes, the new driver of %" PRIu32,
			  dev->id, old->logical_block_size,
			  dev->attrs.logical_block_size);
		return EXIT_FAILED;
	}
	if (dev->attrs.physical_block_size != old->physical_block_size) {
		msg_error("bdus-%" PRIu64 ": has physical blocks of %" PRIu32
			  " bytes, the new driver of %" PRIu32,
			  dev->id, old->physical_block_size,
			  dev->attrs.physical_block_size);
		return EXIT_FAILED;
	}
	if (dev->attrs.size != old->size)
		return takeover_refuse_size(dev);
	code = takeover_check_ops(dev);
	return code == EXIT_DONE ? takeover_check_limits(dev) : code;
}

void takeover_adopt(struct dev *dev)
{
	const struct kbdus_attributes *old = &dev->old.attributes;

	dev->attrs.max_io = old->max_io;
	dev->attrs.queue_depth = old->queue_depth;
}

bool takeover_is_vacant(const struct dev *dev)
{
	struct kbdus_info info = { .id = dev->id };

	return ioctl(dev->control, KBDUS_INFO, &info) == 0 &&
	       info.state == KBDUS_STATE_WAITING;
}

void takeover_explain(const struct dev *dev, int error)
{
	switch (error) {
	case -ENODEV:
		msg_error("bdus-%" PRIu64 ": the device is gone", dev->id);
		break;
	case -EBUSY:
		msg_error("bdus-%" PRIu64 ": somebody else is taking it over, "
			  "or it is not started yet",
			  dev->id);
		break;
	case -ESHUTDOWN:
		msg_error("bdus-%" PRIu64 ": it is being destroyed", dev->id);
		break;
	case -EINTR:
		msg_error("bdus-%" PRIu64 ": interrupted; its driver serves on",
			  dev->id);
		break;
	case -ESTALE:
		msg_error("bdus-%" PRIu64 ": somebody else has given it "
			  "another driver",
			  dev->id);
		break;
	case -ECANCELED:
		msg_error("bdus-%" PRIu64 ": destroyed by force, or overtaken",
			  dev->id);
		break;
	case -EPERM:
	case -EACCES:
		msg_error("bdus-%" PRIu64 ": no privilege", dev->id);
		msg_hint("run this as root (CAP_SYS_ADMIN is needed)");
		break;
	default:
		msg_error("bdus-%" PRIu64 ": cannot take it over: %s", dev->id,
			  strerror(-error));
	}
}
