/* SPDX-License-Identifier: MIT */
/*
 * devices - what libbdus does with any device, and versions.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "api.h"
#include "control.h"
#include "devid.h"
#include "module.h"
#include "msg.h"
#include "teardown.h"

bool bdus_get_dev_id_from_path(uint64_t *out_dev_id, const char *dev_path)
{
	char path[PATH_MAX];
	uint64_t id;
	int code;

	message_begin();
	/* "3" is a file here, not the id that it is on a command line */
	if (snprintf(path, sizeof(path), "%s%s",
		     strchr(dev_path, '/') != NULL ? "" : "./",
		     dev_path) >= (int)sizeof(path))
		return message_fail(ENAMETOOLONG);
	code = devid_resolve(path, &id);
	if (code != EXIT_DONE)
		return message_fail(code == EXIT_NO_MODULE ? EPERM : ENODEV);
	*out_dev_id = id;
	return true;
}

static int devices_flush_failed(uint64_t id, int error)
{
	if (error == ENODEV)
		msg_error("/dev/bdus-%" PRIu64 ": no such device", id);
	else
		msg_error("/dev/bdus-%" PRIu64 ": cannot flush: %s", id,
			  strerror(error));
	if (error == EPERM)
		msg_hint("run this as root");
	return error;
}

bool bdus_flush_dev(uint64_t dev_id)
{
	int control, code, error = 0;

	message_begin();
	code = control_open(&control);
	if (code != EXIT_DONE)
		return message_fail(message_errno(code));
	while (ioctl(control, KBDUS_FLUSH, &dev_id) != 0) {
		error = errno;
		if (error != EINTR)
			break;
		error = 0;
	}
	close(control);
	return error == 0 ? true :
			    message_fail(devices_flush_failed(dev_id, error));
}

bool bdus_destroy_dev(uint64_t dev_id)
{
	struct teardown how = { 0 };
	char node[DEVID_NODE_SIZE];
	int code;

	message_begin();
	code = control_open(&how.control);
	if (code != EXIT_DONE)
		return message_fail(message_errno(code));
	devid_node(dev_id, node);
	code = teardown(&how, node, dev_id);
	close(how.control);
	return code == EXIT_DONE ? true : message_fail(message_errno(code));
}

const struct bdus_version *bdus_get_libbdus_version(void)
{
	static const struct bdus_version version = {
		BDUS_HEADER_VERSION_MAJOR,
		BDUS_HEADER_VERSION_MINOR,
		BDUS_HEADER_VERSION_PATCH,
	};

	return &version;
}

bool bdus_get_kbdus_version(struct bdus_version *out_version)
{
	struct kbdus_version version = { 0 };
	struct bdus_version found;
	int control, code, n = 0;

	message_begin();
	code = module_open(&control);
	if (code != EXIT_DONE)
		return message_fail(message_errno(code));
	if (ioctl(control, KBDUS_VERSION, &version) == 0)
		n = sscanf(version.release, "%" SCNu32 ".%" SCNu32 ".%" SCNu32,
			   &found.major, &found.minor, &found.patch);
	close(control);
	if (n != 3) {
		msg_error("the module kbdus does not tell its version");
		return message_fail(EIO);
	}
	*out_version = found;
	return true;
}
