/* SPDX-License-Identifier: MIT */
/*
 * actformat - the action that makes an empty volume.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "actions.h"
#include "engine.h"
#include "file.h"
#include "msg.h"

struct format {
	uint64_t size;
	uint64_t segment;
	uint64_t level;
	const char *label;
	bool may_overcommit;
	bool is_forced;
};

static const struct opt format_opts[] = {
	OPT_SIZE("size", 's', struct format, size, 0, BLOCK_SIZE, 1ULL << 52,
		 NULL, "size of the disk; else what fits for sure"),
	OPT_SIZE("segment", 0, struct format, segment, 0, SEGMENT_SIZE_MIN,
		 SEGMENT_SIZE_MAX, NULL, "size of a segment, else 8M or less"),
	OPT_UINT("level", 0, struct format, level, 0, "N", 1, 22, "1",
		 "of zstd, unless told otherwise when it is opened"),
	OPT_STRING("label", 'L', struct format, label, 0, "NAME", NULL,
		   "name of the volume"),
	OPT_BOOL("overcommit", 0, struct format, may_overcommit,
		 "let --size be more than what fits for sure"),
	OPT_BOOL("force", 0, struct format, is_forced,
		 "make it even where there is something already"),
	OPT_END
};

/* Something that somebody may want to keep? Its first and its last bytes. */
static bool format_is_blank(struct medium *medium)
{
	unsigned char block[64 << 10];
	uint64_t len = sizeof(block);

	if (len > medium->size)
		len = medium->size;
	if (medium->read(medium, block, len, 0) != 0)
		return false;
	for (uint64_t i = 0; i < len; i++)
		if (block[i] != 0)
			return false;
	return true;
}

static int format_volume(const struct format *format, struct file *file,
			 const char *path)
{
	struct format_options options = {
		.size = format->size,
		.segment_size = (uint32_t)format->segment,
		.level = (int)format->level,
		.may_overcommit = format->may_overcommit,
		.label = format->label,
	};
	const char *reason = NULL;
	struct super super;
	int error;

	if (!format->is_forced && !format_is_blank(&file->medium)) {
		msg_error("%s: is not empty", path);
		msg_hint("--force makes a volume all the same; what is there "
			 "is lost");
		return EXIT_BUSY;
	}
	if (getrandom(options.uuid, sizeof(options.uuid), 0) !=
		    (ssize_t)sizeof(options.uuid) ||
	    getrandom(&options.nonce, sizeof(options.nonce), 0) !=
		    (ssize_t)sizeof(options.nonce))
		return action_failed(path, "no random numbers", -errno);
	error = engine_format(&file->medium, &options, &super, &reason);
	if (error == 0)
		return EXIT_DONE;
	if (reason == NULL)
		return action_failed(path, "cannot be formatted", error);
	msg_error("%s: %s", path, reason);
	return EXIT_FAILED;
}

static int format_run(void *opts, int argc, char **argv)
{
	const struct format *format = opts;
	struct file file;
	int code = action_operand(argc);

	if (code != EXIT_DONE)
		return code;
	if (format->label != NULL && strlen(format->label) > 47) {
		msg_error("--label: is longer than 47 bytes");
		return EXIT_USAGE;
	}
	code = file_open(&file, argv[0], false);
	if (code != EXIT_DONE)
		return code;
	code = format_volume(format, &file, argv[0]);
	file_close(&file);
	return code;
}

const struct applet compress_action_format = {
	.name = "format",
	.summary = "make an empty volume",
	.operands = "FILE|DEVICE",
	.opts = format_opts,
	.opts_size = sizeof(struct format),
	.run = format_run,
};
