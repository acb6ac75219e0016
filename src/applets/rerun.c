/* SPDX-License-Identifier: MIT */
/*
 * rerun - replace the driver of a device, while it is in use.
 */
#include <string.h>

#include "applet.h"
#include "command.h"
#include "devid.h"
#include "driver.h"
#include "msg.h"
#include "runtime.h"

struct rerun {
	bool is_forced;
};

static const struct opt rerun_opts[] = {
	OPT_BOOL("force", 0, struct rerun, is_forced,
		 "also where the content of the device is lost by it"),
	OPT_END
};

static int rerun_run(void *opts, int argc, char **argv)
{
	const struct rerun *rerun = opts;
	const struct driver *driver;
	uint64_t id;
	int code;

	if (argc < 2) {
		msg_error("needs a device, and a driver with its arguments");
		msg_hint("for example: bdus rerun 0 loop /dev/sdb");
		return EXIT_USAGE;
	}
	code = devid_resolve(argv[0], &id);
	if (code != EXIT_DONE)
		return code;
	driver = driver_find(argv[1]);
	if (driver == NULL)
		return command_unknown(argv[1]);
	argc -= 2;
	argv += 2;
	command_skip_open(driver, &argc, &argv);
	return runtime_rerun(id, rerun->is_forced, driver, argc, argv);
}

APPLET(rerun) = {
	.name = "rerun",
	.summary = "replace the driver of a device while it is in use",
	.operands = "DEV|ID DRIVER [ARGUMENT...]",
	.opts = rerun_opts,
	.opts_size = sizeof(struct rerun),
	.takes_command = true,
	.run = rerun_run,
};
