/* SPDX-License-Identifier: MIT */
/*
 * flush - make what was written to devices durable.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "applet.h"
#include "devid.h"
#include "msg.h"

static int flush_failed(const char *operand, const char *what, int error)
{
	msg_error("%s: cannot %s: %s", operand, what, strerror(error));
	switch (error) {
	case EACCES:
	case EPERM:
		msg_hint("run this as root");
		return EXIT_NO_MODULE;
	case ENOENT:
	case ENXIO:
	case ENODEV:
		return EXIT_NO_DEVICE;
	default:
		return EXIT_FAILED;
	}
}

static int flush_one(const char *operand)
{
	char node[DEVID_NODE_SIZE];
	uint64_t id;
	int status = devid_resolve(operand, &id);
	int fd;

	if (status != EXIT_DONE)
		return status;
	devid_node(id, node);
	fd = open(node, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return flush_failed(operand, "open", errno);
	if (fsync(fd) != 0)
		status = flush_failed(operand, "flush", errno);
	close(fd);
	return status;
}

static int flush_run(void *opts, int argc, char **argv)
{
	int status = EXIT_DONE;

	(void)opts;
	if (argc == 0) {
		msg_error("no device given");
		msg_hint("give it as DEV or ID: /dev/bdus-3, bdus-3, 3");
		return EXIT_USAGE;
	}
	for (int i = 0; i < argc; i++) {
		int one = flush_one(argv[i]);

		if (status == EXIT_DONE)
			status = one;
	}
	return status;
}

APPLET(flush) = {
	.name = "flush",
	.summary = "make what was written to devices durable",
	.operands = "DEV|ID...",
	.run = flush_run,
};
