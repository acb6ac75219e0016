/* SPDX-License-Identifier: MIT */
/*
 * why - explain a device that does not move, and say what to try next.
 *
 * Never opens the device, so that it does not hang where the device does.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "applet.h"
#include "devid.h"
#include "diagnosis.h"
#include "msg.h"

struct why {
	bool is_json;
};

static const struct opt why_opts[] = {
	OPT_BOOL("json", 'J', struct why, is_json, "print JSON"), OPT_END
};

static int why_run(void *opts, int argc, char **argv)
{
	const struct why *why = opts;
	struct diagnosis diagnosis;
	uint64_t id;
	int status;
	int error;

	if (argc != 1) {
		msg_error(argc == 0 ? "no device given" : "one device only");
		msg_hint("give it as DEV or ID: /dev/bdus-3, bdus-3, 3");
		return EXIT_USAGE;
	}
	status = devid_resolve(argv[0], &id);
	if (status != EXIT_DONE)
		return status;
	error = diagnosis_make(id, &diagnosis);
	if (error != 0) {
		msg_error("%s: %s", argv[0],
			  error == -ENOENT ? "the device went away" :
					     strerror(-error));
		return error == -ENOENT ? EXIT_NO_DEVICE : EXIT_FAILED;
	}
	if (why->is_json)
		diagnosis_json(stdout, &diagnosis);
	else
		diagnosis_text(stdout, &diagnosis);
	diagnosis_free(&diagnosis);
	return EXIT_DONE;
}

APPLET(why) = {
	.name = "why",
	.summary = "explain a device that does not move",
	.operands = "DEV|ID",
	.opts = why_opts,
	.opts_size = sizeof(struct why),
	.run = why_run,
};
