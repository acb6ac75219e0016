/* SPDX-License-Identifier: MIT */
/*
 * replay - the states that a power failure may leave of a disk, from a log of
 * bdus record. Needs neither privilege nor module.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "applet.h"
#include "outage.h"
#include "history.h"
#include "msg.h"
#include "rebuild.h"
#include "report.h"
#include "trial.h"

/* Of the JSON output; to be raised when a key changes its meaning or goes. */
#define REPLAY_SCHEMA 1

struct replay {
	bool is_list;
	bool is_epochs;
	const char *to;
	const char *state;
	const char *output;
	const char *fsck;
	const char *base;
	uint64_t n_states;
	uint64_t seed;
	uint64_t from;
	bool is_torn;
	const char *accept;
	const char *keep;
	bool is_json;
	bool is_forced;
};

static const struct opt replay_opts[] = {
	OPT_BOOL("list", 0, struct replay, is_list, "print the operations"),
	OPT_BOOL("epochs", 0, struct replay, is_epochs,
		 "print what is between two flushes, summed up"),
	OPT_STRING("to", 0, struct replay, to, 0, "N", NULL,
		   "make the disk after N operations"),
	OPT_STRING("state", 0, struct replay, state, 0, "STATE", NULL,
		   "make a state that --fsck has named"),
	OPT_PATH("output", 'o', struct replay, output, 0, "IMAGE", NULL,
		 "the file that --to and --state make"),
	OPT_BOOL("force", 0, struct replay, is_forced, "write over IMAGE"),
	OPT_STRING("fsck", 0, struct replay, fsck, 0, "CMD", NULL,
		   "run a shell command on all states; % is the image"),
	OPT_UINT("states", 0, struct replay, n_states, 0, "N", 1, 1000000000,
		 NULL, "so many states at random, else all moments"),
	OPT_UINT("from", 0, struct replay, from, 0, "N", 1, INT64_MAX, NULL,
		 "only states after operation N"),
	OPT_BOOL("torn", 0, struct replay, is_torn,
		 "also states with parts of writes, of 512 bytes"),
	OPT_UINT("seed", 0, struct replay, seed, 0, "N", 1, UINT32_MAX, NULL,
		 "of what is random, else a new one"),
	OPT_STRING("accept", 0, struct replay, accept, 0, "CODES", "0,1",
		   "exit statuses of CMD that are fine"),
	OPT_PATH("keep", 0, struct replay, keep, 0, "DIR", NULL,
		 "save the first state that fails there"),
	OPT_PATH("base", 0, struct replay, base, 0, "IMAGE", NULL,
		 "the disk before the recording, if LOG lacks it"),
	OPT_BOOL("json", 'J', struct replay, is_json, "print JSON"),
	OPT_END
};

/* --- lists ------------------------------------------------------------------
 */

static const struct report_column list_columns[] = {
	{ "operation", REPORT_NUMBER }, { "epoch", REPORT_NUMBER },
	{ "kind", REPORT_TEXT },	{ "offset", REPORT_NUMBER },
	{ "bytes", REPORT_NUMBER },	{ "issued", REPORT_NUMBER },
	{ "answered", REPORT_NUMBER },	{ "durable", REPORT_NUMBER },
	{ "error", REPORT_TEXT },
};

static const struct report_column epoch_columns[] = {
	{ "epoch", REPORT_NUMBER },    { "first", REPORT_NUMBER },
	{ "last", REPORT_NUMBER },     { "writes", REPORT_NUMBER },
	{ "fua", REPORT_NUMBER },      { "zeroes", REPORT_NUMBER },
	{ "discards", REPORT_NUMBER }, { "bytes", REPORT_SIZE },
};

#define LIST_COLUMNS (sizeof(list_columns) / sizeof(list_columns[0]))
#define EPOCH_COLUMNS (sizeof(epoch_columns) / sizeof(epoch_columns[0]))

static char *cell(uint64_t value)
{
	char text[24];

	if (value == HISTORY_NEVER)
		return NULL;
	snprintf(text, sizeof(text), "%" PRIu64, value);
	return strdup(text);
}

static void list_row(char **cells, const struct history *history, size_t i)
{
	const struct operation *one = &history->operations[i];
	bool is_flush = one->type == RECLOG_FLUSH;

	cells[0] = cell(i + 1);
	cells[1] = cell(one->epoch);
	cells[2] = strdup(operation_kind(one));
	cells[3] = is_flush ? NULL : cell(one->off);
	cells[4] = is_flush ? NULL : cell(one->len);
	cells[5] = cell(one->issued);
	cells[6] = cell(one->is_lost && one->error == 0 ? HISTORY_NEVER :
							  one->answered);
	cells[7] = is_flush || one->is_lost ? NULL : cell(one->durable);
	cells[8] = one->error != 0 ? strdup(strerror(one->error)) : NULL;
}

/* Those of one epoch, up to the flush that ended it. */
static size_t epoch_row(char **cells, const struct history *history, size_t i)
{
	uint64_t n[RECLOG_TYPES] = { 0 }, bytes = 0;
	size_t first = i;

	for (; i < history->n_operations &&
	       history->operations[i].epoch == history->operations[first].epoch;
	     i++) {
		n[history->operations[i].type]++;
		bytes += history->operations[i].len;
	}
	cells[0] = cell(history->operations[first].epoch);
	cells[1] = cell(first + 1);
	cells[2] = cell(i);
	cells[3] = cell(n[RECLOG_WRITE]);
	cells[4] = cell(n[RECLOG_FUA_WRITE]);
	cells[5] = cell(n[RECLOG_WRITE_ZEROES]);
	cells[6] = cell(n[RECLOG_DISCARD] + n[RECLOG_SECURE_ERASE]);
	cells[7] = cell(bytes);
	return i;
}

static int replay_list(const struct replay *replay,
		       const struct history *history)
{
	struct report report = {
		.columns = replay->is_list ? list_columns : epoch_columns,
		.n_columns = replay->is_list ? LIST_COLUMNS : EPOCH_COLUMNS,
	};
	char **cells = calloc(history->n_operations * report.n_columns + 1,
			      sizeof(*cells));

	if (cells == NULL) {
		msg_error("%s: too long for this memory", history->path);
		return EXIT_FAILED;
	}
	for (size_t i = 0; i < history->n_operations; report.n_rows++) {
		char **row = cells + report.n_rows * report.n_columns;

		if (replay->is_list)
			list_row(row, history, i++);
		else
			i = epoch_row(row, history, i);
	}
	report.cells = cells;
	if (replay->is_json)
		report_json(stdout, &report,
			    replay->is_list ? "operations" : "epochs",
			    REPLAY_SCHEMA);
	else
		report_table(stdout, &report, true, false);
	for (size_t i = 0; i < report.n_rows * report.n_columns; i++)
		free(cells[i]);
	free(cells);
	return EXIT_DONE;
}

/* --- states -----------------------------------------------------------------
 */

static int replay_no_operation(const struct history *history,
			       const char *option, const char *text)
{
	msg_error("%s: '%s': %s has operations 1 to %zu", option, text,
		  history->path, history->n_operations);
	return EXIT_USAGE;
}

static int replay_choose(const struct replay *replay,
			 const struct history *history, struct outage *outage)
{
	uint64_t n;

	*outage = (struct outage){ 0 };
	if (replay->to != NULL) {
		if (opt_parse_uint(replay->to, &n) != 0 ||
		    n > history->n_operations)
			return replay_no_operation(history, "--to", replay->to);
		if (n > 0)
			outage->cut = history->operations[n - 1].issued + 1;
		return EXIT_DONE;
	}
	if (outage_parse(replay->state, outage) == 0 &&
	    outage->cut <= history->n_entries)
		return EXIT_DONE;
	msg_error("--state: '%s' is no state of %s", replay->state,
		  history->path);
	msg_hint("states are what --fsck names, as 1044:subset:9f02");
	return EXIT_USAGE;
}

static int replay_image(const struct replay *replay,
			const struct history *history)
{
	struct rebuild rebuild;
	struct outage outage;
	int code = replay_choose(replay, history, &outage), error;

	if (code == EXIT_DONE)
		code = rebuild_open(&rebuild, history, replay->base);
	if (code != EXIT_DONE)
		return code;
	error = rebuild_state(&rebuild, &outage);
	if (error == 0) {
		code = rebuild_save(&rebuild, replay->output,
				    replay->is_forced);
	} else {
		msg_error("%s: cannot make an image: %s", rebuild.dir,
			  strerror(-error));
		code = EXIT_FAILED;
	}
	rebuild_close(&rebuild);
	return code;
}

static int replay_fsck(const struct replay *replay,
		       const struct history *history)
{
	struct trial trial = { .command = replay->fsck,
			       .accept = replay->accept,
			       .keep = replay->keep,
			       .is_json = replay->is_json,
			       .seed = replay->seed };
	struct rebuild rebuild;
	struct outage *outages;
	uint32_t seed = 1;
	int code;

	if (replay->from > history->n_operations)
		return replay_no_operation(history, "--from", "N");
	if (trial.seed == 0 && getrandom(&seed, sizeof(seed), 0) > 0)
		trial.seed = seed;
	outages = outage_plan(history, replay->n_states, replay->from,
			      replay->is_torn, trial.seed, &trial.n_outages);
	trial.outages = outages;
	if (outages == NULL) {
		msg_error("%s: too long for this memory", history->path);
		return EXIT_FAILED;
	}
	code = rebuild_open(&rebuild, history, replay->base);
	if (code == EXIT_DONE) {
		code = trial_run(&trial, &rebuild);
		rebuild_close(&rebuild);
	}
	free(outages);
	return code;
}

static int replay_check_usage(const struct replay *replay, int argc)
{
	bool is_image = replay->to != NULL || replay->state != NULL;
	int n = replay->is_list + replay->is_epochs + (replay->to != NULL) +
		(replay->state != NULL) + (replay->fsck != NULL);

	if (argc != 1)
		msg_error(argc == 0 ? "no log given" : "one log only");
	else if (n != 1)
		msg_error("one of --list, --epochs, --to, --state and --fsck "
			  "is needed");
	else if (is_image && replay->output == NULL)
		msg_error("--to and --state need --output");
	else if (!is_image && replay->output != NULL)
		msg_error("--output is for --to and --state");
	else
		return EXIT_DONE;
	return EXIT_USAGE;
}

static int replay_run(void *opts, int argc, char **argv)
{
	const struct replay *replay = opts;
	struct history history;
	int code = replay_check_usage(replay, argc);

	if (code == EXIT_DONE)
		code = history_load(&history, argv[0]);
	if (code != EXIT_DONE)
		return code;
	if (replay->is_list || replay->is_epochs)
		code = replay_list(replay, &history);
	else if (replay->fsck != NULL)
		code = replay_fsck(replay, &history);
	else
		code = replay_image(replay, &history);
	history_free(&history);
	return code;
}

APPLET(replay) = {
	.name = "replay",
	.summary = "what a power failure may leave of a recorded disk",
	.operands = "LOG",
	.opts = replay_opts,
	.opts_size = sizeof(struct replay),
	.run = replay_run,
};
