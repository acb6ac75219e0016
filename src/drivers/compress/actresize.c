/* SPDX-License-Identifier: MIT */
/*
 * actresize - the action that makes a volume larger.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "actions.h"
#include "file.h"
#include "msg.h"
#include "progress.h"
#include "report.h"
#include "resize.h"

/* How many pages there are is known late: so many parts are shown. */
#define RESIZE_PARTS 10000

struct resize {
	uint64_t size;
	bool may_overcommit;
};

static const struct opt resize_opts[] = {
	OPT_BOOL("overcommit", 0, struct resize, may_overcommit,
		 "let --size be more than what fits for sure"),
	OPT_SIZE("size", 's', struct resize, size, 0, BLOCK_SIZE, 1ULL << 52,
		 NULL, "new size of the disk; else what fits for sure"),
	OPT_END
};

static void resize_progress(void *arg, uint64_t done, uint64_t total)
{
	progress_set(arg,
		     (uint64_t)((double)done / (double)total * RESIZE_PARTS));
}

static int resize_failed(const char *path, const char *reason, int error)
{
	if (error != -EINVAL)
		return action_failed(path, reason, error);
	msg_error("%s: %s", path, reason);
	return EXIT_FAILED;
}

static int resize_file(const struct resize *resize, struct file *file,
		       const char *path)
{
	struct progress progress;
	const struct resize_options options = {
		.size = resize->size,
		.may_overcommit = resize->may_overcommit,
		.progress = resize_progress,
		.arg = &progress,
	};
	char bytes[24], text[16];
	const char *reason = NULL;
	struct super super;
	int error;

	progress_start(&progress, path, RESIZE_PARTS);
	error = resize_volume(&file->medium, &options, &super, &reason);
	progress_end(&progress);
	if (error != 0)
		return resize_failed(path, reason, error);
	snprintf(bytes, sizeof(bytes), "%" PRIu64, super.size);
	report_size(bytes, text);
	printf("%s: the disk has %s (%s bytes)\n", path, text, bytes);
	return EXIT_DONE;
}

static int resize_run(void *opts, int argc, char **argv)
{
	struct file file;
	int code = action_operand(argc);

	if (code == EXIT_DONE)
		code = file_open(&file, argv[0], false);
	if (code != EXIT_DONE)
		return code;
	code = resize_file(opts, &file, argv[0]);
	file_close(&file);
	return code;
}

const struct applet compress_action_resize = {
	.name = "resize",
	.summary = "make a volume larger, that is not in use",
	.operands = "FILE|DEVICE",
	.opts = resize_opts,
	.opts_size = sizeof(struct resize),
	.run = resize_run,
};
