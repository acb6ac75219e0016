/* SPDX-License-Identifier: MIT */
/*
 * actions - what the actions share, and bdus compress check.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "actions.h"
#include "check.h"
#include "engine.h"
#include "file.h"
#include "msg.h"

/* Exit codes of check, as fsck(8) has them. */
#define CHECK_CLEAN 0
#define CHECK_WRONG 4
#define CHECK_FAILED 8

int action_operand(int argc)
{
	if (argc == 1)
		return EXIT_DONE;
	msg_error("%s operands", argc < 1 ? "too few" : "too many");
	msg_hint("it takes a FILE or a DEVICE");
	return EXIT_USAGE;
}

int action_failed(const char *path, const char *what, int error)
{
	msg_error("%s: %s: %s", path, what, strerror(-error));
	return EXIT_FAILED;
}

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
	int code = action_operand(argc);

	if (code != EXIT_DONE)
		return code;
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
