/* SPDX-License-Identifier: MIT */
/*
 * control - opening the control device of the kernel module.
 */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kbdus.h"
#include "msg.h"

#define CONTROL_PATH "/dev/" KBDUS_CONTROL_NAME

static int control_open_failed(int error)
{
	switch (error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		msg_error("the kernel module kbdus is not loaded");
		msg_hint(
			"'modprobe kbdus' loads it; so does creating a device");
		return EXIT_NO_MODULE;
	case EACCES:
	case EPERM:
		msg_error("%s: no privilege: %s", CONTROL_PATH,
			  strerror(error));
		msg_hint("run this as root");
		return EXIT_NO_MODULE;
	default:
		msg_error("%s: cannot open: %s", CONTROL_PATH, strerror(error));
		return EXIT_FAILED;
	}
}

static int control_check_abi(int fd)
{
	struct kbdus_version version = { 0 };

	if (ioctl(fd, KBDUS_VERSION, &version) != 0) {
		msg_error("%s: does not tell its version: %s", CONTROL_PATH,
			  strerror(errno));
		return EXIT_NO_MODULE;
	}
	if (version.abi == KBDUS_ABI)
		return EXIT_DONE;
	msg_error("the loaded module kbdus %.*s has ABI %u, this bdus has %u",
		  (int)sizeof(version.release), version.release, version.abi,
		  (unsigned int)KBDUS_ABI);
	msg_hint("unload it ('rmmod kbdus') and load the one that belongs to "
		 "this bdus");
	return EXIT_NO_MODULE;
}

int control_open(int *fd)
{
	int status;

	*fd = open(CONTROL_PATH, O_RDWR | O_CLOEXEC);
	if (*fd < 0)
		return control_open_failed(errno);
	status = control_check_abi(*fd);
	if (status != EXIT_DONE) {
		close(*fd);
		*fd = -1;
	}
	return status;
}
