/* SPDX-License-Identifier: MIT */
/*
 * actrepair - the actions that look for damage, and repair it. Both find out
 * all in memory first, so what repair is going to do is known before it does.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "actions.h"
#include "check.h"
#include "file.h"
#include "msg.h"
#include "progress.h"
#include "repair.h"
#include "terminal.h"

/* Of the JSON output; to be raised when a key changes its meaning or goes. */
#define REPAIR_SCHEMA 1
/* So many of them are told to people. */
#define RANGES_SHOWN 16

/* Exit statuses, as fsck(8) has them. */
enum {
	REPAIR_CLEAN = 0,
	REPAIR_DONE = 1,
	REPAIR_LEFT = 4,
	REPAIR_FAILED = 8,
	REPAIR_CANCELLED = 32,
};

struct repairing {
	bool verify_data;
	bool is_json;
	bool is_dry;
	bool is_forced;
	bool accept_stale;
};

static const struct opt check_opts[] = {
	OPT_BOOL("verify-data", 0, struct repairing, verify_data,
		 "read all data and compare its checksums"),
	OPT_BOOL("json", 'J', struct repairing, is_json, "print JSON"), OPT_END
};

static const struct opt repair_opts[] = {
	OPT_BOOL("dry-run", 'n', struct repairing, is_dry,
		 "change nothing, tell what would be done"),
	OPT_BOOL("force", 'y', struct repairing, is_forced, "do not ask"),
	OPT_BOOL("verify-data", 0, struct repairing, verify_data,
		 "read all data: blocks that are damaged are lost then"),
	OPT_BOOL("accept-stale", 0, struct repairing, accept_stale,
		 "take blocks that may be older than they were"),
	OPT_BOOL("json", 'J', struct repairing, is_json, "print JSON"),
	OPT_END
};

/* --- progress ---------------------------------------------------------------
 */

static void repairing_tell(void *progress, uint64_t done)
{
	progress_set(progress, done);
}

/* Nothing is written yet: it can end anywhere, at the question too. */
static void repairing_cancel(int signal)
{
	(void)signal;
	_exit(REPAIR_CANCELLED);
}

static void repairing_catch(void)
{
	struct sigaction action = { .sa_handler = repairing_cancel };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* --- what was found ---------------------------------------------------------
 */

/* Numbers that are told by both, with their names for programs. */
struct finding {
	const char *name;
	const char *text;
	uint64_t n;
	bool is_note; /* nothing is wrong with it */
};

#define N_FINDINGS 15

static void repairing_findings(const struct repair *repair,
			       const struct check *check,
			       struct finding findings[N_FINDINGS])
{
	const struct finding all[N_FINDINGS] = {
		{ "pages_lost", "pages of the map that are damaged",
		  repair->n_pages_lost, false },
		{ "blocks_restored", "blocks of them that the log tells of",
		  repair->n_restored, true },
		{ "blocks_unproven", "blocks of them that may be old ones",
		  repair->n_unproven, true },
		{ "batches_lost", "batches of the log that are damaged",
		  repair->n_batches_lost, false },
		{ "segment_heads_lost", "heads of segments of it, likewise",
		  repair->n_heads_lost, false },
		{ "records_lost", "records of unknown blocks in them",
		  repair->n_records_lost, false },
		{ "log_end_unreadable", "ends of the log that cannot be read",
		  repair->is_end_unreadable, false },
		{ "segments_wrong", "segments that are counted wrong",
		  repair->n_segments_wrong + check->n_segments_wrong, false },
		{ "segments_free_used", "free segments that are in use",
		  check->n_free_used, false },
		{ "count_wrong", "numbers of blocks in use that are wrong",
		  repair->is_count_wrong || check->is_count_wrong, false },
		{ "overlaps", "places that belong to two records",
		  check->n_overlaps, false },
		{ "blocks_unreadable", "blocks that cannot be read",
		  check->n_blocks_lost, false },
		{ "blocks_lost", "blocks that are lost", repair->lost.n_blocks,
		  true },
		{ "blocks_lost_before", "blocks that were lost before",
		  check->n_bad, true },
		{ "blocks_data", NULL, check->n_mapped, true },
	};

	memcpy(findings, all, sizeof(all));
}

static bool repairing_is_clean(const struct repair *repair,
			       const struct check *check)
{
	return !repair_is_needed(repair) && check_is_clean(check) &&
	       !repair->is_stale;
}

static const char *const copy_names[] = {
	[COPY_GOOD] = "good",
	[COPY_OLD] = "old",
	[COPY_DAMAGED] = "damaged",
};

static void ranges_print(const char *what, const struct ranges *ranges)
{
	for (size_t i = 0; i < ranges->n && i < RANGES_SHOWN; i++)
		printf("  %s: bytes %" PRIu64 " to %" PRIu64 "\n", what,
		       ranges->list[i].lba * BLOCK_SIZE,
		       (ranges->list[i].lba + ranges->list[i].n) * BLOCK_SIZE -
			       1);
	if (ranges->n > RANGES_SHOWN)
		printf("  %s: %zu more ranges, see --json\n", what,
		       ranges->n - RANGES_SHOWN);
}

static void repairing_print(const struct repair *repair,
			    const struct check *check)
{
	static const char *const names[] = { "A", "B", "C, at the end," };
	struct finding findings[N_FINDINGS];

	for (int i = 0; i < 3; i++)
		if (repair->copies[i] == COPY_DAMAGED)
			printf("superblock %s is damaged\n", names[i]);
	repairing_findings(repair, check, findings);
	for (int i = 0; i < N_FINDINGS; i++)
		if (findings[i].n > 0 && findings[i].text != NULL)
			printf("%s: %" PRIu64 "\n", findings[i].text,
			       findings[i].n);
	ranges_print("lost", &repair->lost);
	ranges_print("may be old", &repair->stale);
	ranges_print("cannot be read", &check->lost);
	if (repair->was_marked)
		printf("a write has failed while it was in use\n");
	if (repair->is_stale)
		printf("any block may be older than it was\n");
}

static void ranges_json(const char *name, const struct ranges *ranges)
{
	printf(", \"%s\": [", name);
	for (size_t i = 0; i < ranges->n; i++)
		printf("%s{\"offset\": %" PRIu64 ", \"length\": %" PRIu64 "}",
		       i > 0 ? ", " : "", ranges->list[i].lba * BLOCK_SIZE,
		       ranges->list[i].n * BLOCK_SIZE);
	printf("]");
}

static void repairing_json(const struct repair *repair,
			   const struct check *check, int status)
{
	struct finding findings[N_FINDINGS];

	printf("{\"schema\": %d, \"status\": %d, \"superblocks\": [",
	       REPAIR_SCHEMA, status);
	for (int i = 0; i < 3; i++)
		printf("%s\"%s\"", i > 0 ? ", " : "",
		       copy_names[repair->copies[i]]);
	printf("], \"root_lost\": %s, \"may_be_stale\": %s, "
	       "\"write_failed\": %s",
	       repair->is_root_lost ? "true" : "false",
	       repair->is_stale ? "true" : "false",
	       repair->was_marked ? "true" : "false");
	repairing_findings(repair, check, findings);
	for (int i = 0; i < N_FINDINGS; i++)
		printf(", \"%s\": %" PRIu64, findings[i].name, findings[i].n);
	ranges_json("lost", &repair->lost);
	ranges_json("stale", &repair->stale);
	ranges_json("unreadable", &check->lost);
	puts("}");
}

static void repairing_report(const struct repairing *repairing,
			     const struct repair *repair,
			     const struct check *check, int status)
{
	if (repairing->is_json)
		repairing_json(repair, check, status);
	else
		repairing_print(repair, check);
}

/* --- finding out ------------------------------------------------------------
 */

/* Nothing at all can be told of it, or done. */
static int repairing_hopeless(const char *path, const struct repair *repair,
			      int error)
{
	action_failed(path, repair->reason, error);
	if (error == -EBADMSG)
		msg_hint("no superblock is left, neither at the start nor at "
			 "the end");
	return error == -EBADMSG ? REPAIR_LEFT : REPAIR_FAILED;
}

static int repairing_prepare(const struct repairing *repairing,
			     struct repair *repair, struct medium *medium,
			     bool is_read_only, uint64_t map_cache)
{
	struct progress progress;
	struct repair_options options = {
		.accept_stale = repairing->accept_stale,
		.is_read_only = is_read_only,
		.map_cache = map_cache,
		.tell = repairing_tell,
		.arg = &progress,
	};
	int error;

	progress_start(&progress, "looking through the log", medium->size);
	error = repair_prepare(repair, medium, &options);
	progress_end(&progress);
	repair->options.tell = NULL;
	return error;
}

static int repairing_look(const struct repairing *repairing,
			  struct repair *repair, struct check *check)
{
	struct progress progress;
	struct check look = {
		.tell = repairing->verify_data ? repairing_tell : NULL,
		.arg = &progress,
	};
	int error;

	progress_start(&progress, "reading",
		       repair->engine.map.space.live_bytes);
	error = check_volume(&repair->engine, repairing->verify_data, &look);
	progress_end(&progress);
	look.arg = NULL;
	*check = look;
	return error;
}

/* --- check ------------------------------------------------------------------
 */

static int check_volume_at(const struct repairing *repairing, struct file *file,
			   const char *path)
{
	struct repair repair;
	struct check check;
	int error =
		repairing_prepare(repairing, &repair, &file->medium, true, 0);
	int status = REPAIR_CLEAN;

	if (error != 0)
		return repairing_hopeless(path, &repair, error);
	error = repairing_look(repairing, &repair, &check);
	if (error != 0) {
		action_failed(path, "cannot be checked", error);
		status = REPAIR_FAILED;
		goto out_free;
	}
	if (!repairing_is_clean(&repair, &check))
		status = REPAIR_LEFT;
	repairing_report(repairing, &repair, &check, status);
out_free:
	ranges_free(&check.lost);
	repair_free(&repair);
	return status;
}

static int check_run(void *opts, int argc, char **argv)
{
	struct file file;
	int status;

	(void)argc;
	if (file_open(&file, argv[0], true) != EXIT_DONE)
		return REPAIR_FAILED;
	repairing_catch();
	status = check_volume_at(opts, &file, argv[0]);
	file_close(&file);
	return status;
}

const struct applet compress_action_check = {
	.name = "check",
	.summary = "look for damage; exit status as of fsck(8)",
	.operands = "FILE|DEVICE",
	.opts = check_opts,
	.opts_size = sizeof(struct repairing),
	.run = check_run,
};

/* --- repair -----------------------------------------------------------------
 */

static int repairing_write(const struct repairing *repairing,
			   struct repair *repair, const struct check *check,
			   const char *path)
{
	char warning[512];
	int error;

	snprintf(warning, sizeof(warning),
		 "%.256s: is going to be repaired; %" PRIu64 " blocks are lost",
		 path, repair->lost.n_blocks);
	if (!repairing->is_forced && terminal_confirm(warning) != EXIT_DONE)
		return REPAIR_CANCELLED;
	/* it must not end in the middle, although that would do no harm */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	error = repair_commit(repair);
	if (error != 0) {
		action_failed(path, "cannot be repaired", error);
		return REPAIR_FAILED;
	}
	/* of these nobody knows what is right */
	if (check->n_overlaps > 0 || check->n_pages_lost > 0)
		return REPAIR_LEFT;
	return repair->is_stale && !repairing->accept_stale ? REPAIR_LEFT :
							      REPAIR_DONE;
}

static int repairing_decide(const struct repairing *repairing,
			    struct repair *repair, const struct check *check,
			    const char *path)
{
	int status;

	if (repair->n_unproven > 0 && !repairing->accept_stale)
		msg_hint("%" PRIu64 " of the blocks that are lost have a "
			 "record that may be an old one: --accept-stale would "
			 "keep it",
			 repair->n_unproven);
	if (repair_is_needed(repair) && !repairing->is_dry)
		status = repairing_write(repairing, repair, check, path);
	else
		status = repairing_is_clean(repair, check) ? REPAIR_CLEAN :
							     REPAIR_LEFT;
	if (status == REPAIR_LEFT && repair->is_stale)
		msg_hint("it can be read only, until --accept-stale takes it "
			 "as it is");
	return status;
}

/* Return: an exit status, or -EAGAIN: once more with more memory. */
static int repair_volume_at(const struct repairing *repairing,
			    struct file *file, const char *path,
			    uint64_t map_cache)
{
	struct repair repair;
	struct check check;
	int error = repairing_prepare(repairing, &repair, &file->medium,
				      repairing->is_dry, map_cache);
	int status;

	if (error != 0)
		return repairing_hopeless(path, &repair, error);
	error = repairing_look(repairing, &repair, &check);
	if (error == 0)
		error = repair_lose(&repair, &check.lost);
	if (error == -EAGAIN) {
		status = error;
		goto out_free;
	}
	if (error != 0) {
		action_failed(path, "cannot be checked", error);
		status = REPAIR_FAILED;
		goto out_free;
	}
	if (!repairing->is_json)
		repairing_print(&repair, &check);
	status = repairing_decide(repairing, &repair, &check, path);
	if (repairing->is_json)
		repairing_json(&repair, &check, status);
out_free:
	ranges_free(&check.lost);
	repair_free(&repair);
	return status;
}

static int repair_run(void *opts, int argc, char **argv)
{
	const struct repairing *repairing = opts;
	uint64_t map_cache = 64ULL << 20;
	struct file file;
	int status;

	(void)argc;
	if (file_open(&file, argv[0], repairing->is_dry) != EXIT_DONE)
		return REPAIR_FAILED;
	repairing_catch();
	do {
		status = repair_volume_at(repairing, &file, argv[0], map_cache);
		map_cache *= 2;
	} while (status == -EAGAIN);
	file_close(&file);
	return status;
}

const struct applet compress_action_repair = {
	.name = "repair",
	.summary = "repair damage; exit status as of fsck(8)",
	.operands = "FILE|DEVICE",
	.opts = repair_opts,
	.opts_size = sizeof(struct repairing),
	.run = repair_run,
};
