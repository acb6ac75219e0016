/* SPDX-License-Identifier: MIT */
/*
 * actions - bdus compress format, info, check.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "actions.h"
#include "check.h"
#include "engine.h"
#include "file.h"
#include "msg.h"

/* Exit codes of check, as fsck(8) has them. */
#define CHECK_CLEAN 0
#define CHECK_WRONG 4
#define CHECK_FAILED 8

static int action_failed(const char *path, const char *what, int error)
{
	msg_error("%s: %s: %s", path, what, strerror(-error));
	return EXIT_FAILED;
}

/* --- format -----------------------------------------------------------------
 */

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
	int code;

	(void)argc;
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

/* --- info -------------------------------------------------------------------
 */

static void info_print(const struct super *super)
{
	const uint8_t *id = super->uuid;

	printf("label:        %s\nuuid:         ", super->label);
	for (int i = 0; i < 16; i++)
		printf("%02x%s", id[i],
		       i == 3 || i == 5 || i == 7 || i == 9 ? "-" : "");
	printf("\nsize:         %" PRIu64 "\nmedium:       %" PRIu64
	       "\nsegments:     %" PRIu32 " of %" PRIu32 ", %" PRIu32
	       " in reserve\nlevel:        %" PRId32 "\n",
	       super->size, super->medium_size, super->n_segments,
	       super->segment_size, super->n_reserve, super->level);
	printf("checkpoint:   %" PRIu64 "\ndata blocks:  %" PRIu64
	       "\nzero blocks:  %" PRIu64 "\nstate:        %s%s\n",
	       super->generation, super->n_mapped, super->n_zero,
	       super->flags & SUPER_CLEAN ? "clean" : "in use, or crashed",
	       super->flags & SUPER_NEEDS_CHECK ? ", needs a check" : "");
}

static int info_run(void *opts, int argc, char **argv)
{
	const char *reason;
	struct super super;
	struct file file;
	bool is_whole;
	int error, code;

	(void)opts;
	(void)argc;
	code = file_open(&file, argv[0], true);
	if (code != EXIT_DONE)
		return code;
	error = engine_read_super(&file.medium, &super, &is_whole, &reason);
	if (error == 0)
		info_print(&super);
	else
		code = action_failed(argv[0], reason, error);
	file_close(&file);
	return code;
}

const struct applet compress_action_info = {
	.name = "info",
	.summary = "tell what a volume is",
	.operands = "FILE|DEVICE",
	.run = info_run,
};

/* --- check ------------------------------------------------------------------
 */

struct check_options {
	bool verify_data;
};

static const struct opt check_opts[] = {
	OPT_BOOL("verify-data", 0, struct check_options, verify_data,
		 "read all data and compare its checksums"),
	OPT_END
};

static void check_print(const char *what, uint64_t n)
{
	if (n > 0)
		printf("%s: %" PRIu64 "\n", what, n);
}

static int check_report(const struct check *check, bool is_whole)
{
	check_print("pages of the map that cannot be read",
		    check->n_pages_lost);
	check_print("records that cannot be read", check->n_records_lost);
	check_print("blocks in them", check->n_blocks_lost);
	check_print("blocks that were lost before", check->n_bad);
	check_print("segments that are counted wrong", check->n_segments_wrong);
	check_print("free segments that are in use", check->n_free_used);
	if (check->is_count_wrong)
		printf("the number of blocks in use is wrong\n");
	if (!is_whole)
		printf("one superblock is damaged, or older than the other\n");
	return check_is_clean(check) ? CHECK_CLEAN : CHECK_WRONG;
}

static int check_file(const struct check_options *options, struct file *file,
		      const char *path)
{
	struct engine_options how = { .n_workers = 1, .is_read_only = true };
	struct engine engine;
	const char *reason;
	struct check check;
	struct super super;
	bool is_whole = false;
	int error;

	error = engine_read_super(&file->medium, &super, &is_whole, &reason);
	if (error == 0)
		error = engine_open(&engine, &file->medium, &how);
	else
		engine.reason = reason;
	if (error != 0) {
		action_failed(path, engine.reason, error);
		return error == -ENOENT ? CHECK_FAILED : CHECK_WRONG;
	}
	error = check_volume(&engine, options->verify_data, &check);
	engine_close(&engine);
	if (error != 0) {
		action_failed(path, "cannot be checked", error);
		return CHECK_FAILED;
	}
	return check_report(&check, is_whole);
}

static int check_run(void *opts, int argc, char **argv)
{
	struct file file;
	int code;

	(void)argc;
	if (file_open(&file, argv[0], true) != EXIT_DONE)
		return CHECK_FAILED;
	code = check_file(opts, &file, argv[0]);
	file_close(&file);
	return code;
}

const struct applet compress_action_check = {
	.name = "check",
	.summary = "look for damage; exit status as of fsck(8)",
	.operands = "FILE|DEVICE",
	.opts = check_opts,
	.opts_size = sizeof(struct check_options),
	.run = check_run,
};
