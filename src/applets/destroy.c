/* SPDX-License-Identifier: MIT */
/*
 * destroy - take devices away; done when the disk and its driver are gone.
 *
 * The kernel module flushes and decides whether a device is in use. Nothing is
 * lost without --force or --no-flush: what fails leaves the device as it was.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applet.h"
#include "control.h"
#include "devid.h"
#include "msg.h"
#include "teardown.h"

struct destroy {
	bool is_all;
	struct teardown how;
};

static const struct opt destroy_opts[] = {
	OPT_BOOL("all", 'a', struct destroy, is_all, "destroy all devices"),
	OPT_BOOL("force", 0, struct destroy, how.is_forced,
		 "also when in use; kill a driver that does not answer"),
	OPT_BOOL("no-flush", 0, struct destroy, how.is_unflushed,
		 "do not write back and flush first"),
	OPT_UINT("timeout", 0, struct destroy, how.timeout_s, 0, "SECONDS", 0,
		 86400, "30", "how long to wait for the driver, 0: for ever"),
	OPT_END
};

static int destroy_operands(const struct destroy *destroy, int argc,
			    char **argv)
{
	int status = EXIT_DONE;

	for (int i = 0; i < argc; i++) {
		uint64_t id;
		int one = devid_resolve(argv[i], &id);

		if (one == EXIT_DONE)
			one = teardown(&destroy->how, argv[i], id);
		if (status == EXIT_DONE)
			status = one;
	}
	return status;
}

/* Newest first, since a device can only stand on older ones. */
static int destroy_all(const struct destroy *destroy, const uint64_t *ids,
		       size_t count)
{
	int status = EXIT_DONE;

	while (count-- > 0) {
		char node[DEVID_NODE_SIZE];
		int one;

		devid_node(ids[count], node);
		one = teardown(&destroy->how, node, ids[count]);
		if (status == EXIT_DONE)
			status = one;
	}
	return status;
}

static int destroy_check_usage(const struct destroy *destroy, int argc)
{
	if (destroy->is_all && argc > 0)
		msg_error("--all: takes no devices");
	else if (!destroy->is_all && argc == 0)
		msg_error("no device given");
	else
		return EXIT_DONE;
	msg_hint("give DEV or ID (/dev/bdus-3, bdus-3, 3), or --all");
	return EXIT_USAGE;
}

static int destroy_run(void *opts, int argc, char **argv)
{
	struct destroy *destroy = opts;
	uint64_t *ids = NULL;
	size_t count = 0;
	int status = destroy_check_usage(destroy, argc);
	int error = 0;

	if (status != EXIT_DONE)
		return status;
	if (destroy->is_all)
		error = devid_list(&ids, &count);
	if (error != 0) {
		msg_error("/sys/block: cannot read: %s", strerror(-error));
		return EXIT_FAILED;
	}
	if (destroy->is_all && count == 0)
		return EXIT_DONE;
	status = control_open(&destroy->how.control);
	if (status != EXIT_DONE)
		goto out_free;
	if (destroy->is_all)
		status = destroy_all(destroy, ids, count);
	else
		status = destroy_operands(destroy, argc, argv);
	close(destroy->how.control);
out_free:
	free(ids);
	return status;
}

APPLET(destroy) = {
	.name = "destroy",
	.summary = "take devices away, after a flush",
	.operands = "DEV|ID...",
	.opts = destroy_opts,
	.opts_size = sizeof(struct destroy),
	.run = destroy_run,
};
