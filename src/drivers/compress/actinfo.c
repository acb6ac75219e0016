/* SPDX-License-Identifier: MIT */
/*
 * actinfo - the action that tells what a volume is, and what is in it.
 */
#include <inttypes.h>
#include <stdio.h>

#include "actions.h"
#include "engine.h"
#include "file.h"
#include "msg.h"

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
