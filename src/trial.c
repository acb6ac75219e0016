/* SPDX-License-Identifier: MIT */
/*
 * trial - a command, run on each state that a power failure may leave.
 */
#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "msg.h"
#include "opt.h"
#include "progress.h"

/* Of the JSON output; to be raised when a key changes its meaning or goes. */
#define TRIAL_SCHEMA 1
#define TRIAL_NAMED 10U
#define TRIAL_STATUSES 256U

extern char **environ;

/* A trial that is being run. */
struct running {
	const struct trial *trial;
	struct rebuild *rebuild;
	char *command;
	char output[300];
	bool accepted[TRIAL_STATUSES];
	const struct outage **failed;
	int *statuses;
	size_t n_failed;
	size_t n_tried;
};

/* A signal that came; the only thing that a handler can reach. */
static volatile sig_atomic_t trial_signal;

static void trial_note_signal(int number)
{
	trial_signal = number;
}

/* --- preparing --------------------------------------------------------------
 */

static int trial_parse_accept(struct running *running)
{
	const char *text = running->trial->accept;
	char *copy = strdup(text), *rest = NULL;
	int code = EXIT_DONE;

	if (copy == NULL)
		return EXIT_FAILED;
	for (char *word = strtok_r(copy, ",", &rest);
	     word != NULL && code == EXIT_DONE;
	     word = strtok_r(NULL, ",", &rest)) {
		uint64_t status;

		if (opt_parse_uint(word, &status) == 0 &&
		    status < TRIAL_STATUSES) {
			running->accepted[status] = true;
			continue;
		}
		msg_error("--accept: '%s' is no list of exit statuses", text);
		msg_hint("for example 0,1");
		code = EXIT_USAGE;
	}
	free(copy);
	return code;
}

static void put_quoted(FILE *out, const char *path)
{
	fputc('\'', out);
	for (; *path != '\0'; path++)
		if (*path == '\'')
			fputs("'\\''", out);
		else
			fputc(*path, out);
	fputc('\'', out);
}

/* "%" is the image, "%%" a percent sign. */
static int trial_make_command(struct running *running)
{
	const char *from = running->trial->command;
	bool has_path = false;
	size_t size;
	FILE *out = open_memstream(&running->command, &size);

	if (out == NULL)
		return EXIT_FAILED;
	for (; *from != '\0'; from++) {
		if (from[0] != '%') {
			fputc(*from, out);
		} else if (from[1] == '%') {
			fputc(*from++, out);
		} else {
			put_quoted(out, running->rebuild->path);
			has_path = true;
		}
	}
	if (!has_path) {
		fputc(' ', out);
		put_quoted(out, running->rebuild->path);
	}
	return fclose(out) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static void trial_catch_signals(void)
{
	struct sigaction action = { .sa_handler = trial_note_signal };

	trial_signal = 0;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* --- one state --------------------------------------------------------------
 */

static int trial_failed(const char *path, const char *what, int error)
{
	msg_error("%s: %s: %s", path, what, strerror(error));
	return EXIT_FAILED;
}

/* Return: the pid, or -errno. */
static pid_t trial_spawn(const struct running *running)
{
	char *argv[] = { (char *)"sh", (char *)"-c", running->command, NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int error = posix_spawn_file_actions_init(&actions);

	if (error != 0)
		return -error;
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, running->output,
					 O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&actions, 1, 2);
	error = posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return error == 0 ? pid : -error;
}

/* Return: what the shell would call its exit status, or -errno. */
static int trial_command(const struct running *running)
{
	pid_t pid = trial_spawn(running);
	int status;

	if (pid < 0)
		return pid;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
		else if (trial_signal != 0)
			kill(pid, SIGTERM);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int copy_output(const struct running *running, const char *to)
{
	int from = open(running->output, O_RDONLY | O_CLOEXEC);
	int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int error = from < 0 || fd < 0 ? errno : 0;
	char buf[4096];
	ssize_t n = 0;

	while (error == 0 && (n = read(from, buf, sizeof(buf))) > 0)
		if (write(fd, buf, (size_t)n) != n)
			error = errno != 0 ? errno : EIO;
	if (from >= 0)
		close(from);
	if (fd >= 0)
		close(fd);
	return n < 0 ? EIO : error;
}

/* The image as it was before the command, and what that one said. */
static int trial_keep(const struct running *running,
		      const struct outage *outage)
{
	const char *dir = running->trial->keep;
	char name[OUTAGE_NAME], path[4096];
	int error, code;

	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return trial_failed(dir, "cannot make", errno);
	outage_name(outage, name);
	snprintf(path, sizeof(path), "%s/%s.out", dir, name);
	error = copy_output(running, path);
	if (error != 0)
		return trial_failed(path, "cannot write", error);
	error = rebuild_state(running->rebuild, outage);
	if (error != 0)
		return trial_failed(running->rebuild->dir, "cannot write",
				    -error);
	snprintf(path, sizeof(path), "%s/%s.img", dir, name);
	code = rebuild_save(running->rebuild, path, true);
	return code;
}

static int trial_note_failure(struct running *running,
			      const struct outage *outage, int status)
{
	running->failed[running->n_failed] = outage;
	running->statuses[running->n_failed++] = status;
	if (running->n_failed > 1 || running->trial->keep == NULL)
		return EXIT_DONE;
	return trial_keep(running, outage);
}

static int trial_state(struct running *running, const struct outage *outage)
{
	int status = rebuild_state(running->rebuild, outage);

	if (status != 0)
		return trial_failed(running->rebuild->dir,
				    "cannot make a state", -status);
	status = trial_command(running);
	if (trial_signal != 0)
		return EXIT_DONE;
	if (status < 0)
		return trial_failed("/bin/sh", "cannot run", -status);
	running->n_tried++;
	if (running->accepted[status])
		return EXIT_DONE;
	if (status != 126 && status != 127)
		return trial_note_failure(running, outage, status);
	msg_error("--fsck: cannot run '%s'", running->trial->command);
	return EXIT_USAGE;
}

/* --- the result -------------------------------------------------------------
 */

static void print_json(const struct running *running)
{
	const struct history *history = running->rebuild->history;
	char name[OUTAGE_NAME];

	printf("{\"schema\": %d, \"seed\": %" PRIu64 ", \"operations\": %zu, "
	       "\"cuts\": %zu, \"states\": %zu, \"failed\": %zu, "
	       "\"failures\": [",
	       TRIAL_SCHEMA, running->trial->seed, history->n_operations,
	       history->n_cuts, running->n_tried, running->n_failed);
	for (size_t i = 0; i < running->n_failed; i++) {
		char text[512];

		outage_name(running->failed[i], name);
		outage_describe(running->failed[i], history, text,
				sizeof(text));
		printf("%s{\"state\": \"%s\", \"status\": %d, "
		       "\"description\": \"%s\"}",
		       i == 0 ? "" : ", ", name, running->statuses[i], text);
	}
	puts("]}");
}

static void print_failure(const struct running *running, size_t i)
{
	char name[OUTAGE_NAME], text[512];

	outage_name(running->failed[i], name);
	outage_describe(running->failed[i], running->rebuild->history, text,
			sizeof(text));
	printf("%s: exit status %d\n\t%s\n", name, running->statuses[i], text);
}

static void print_text(const struct running *running)
{
	const struct history *history = running->rebuild->history;
	char name[OUTAGE_NAME];

	printf("%zu operations, %zu moments, %zu states (seed %" PRIu64
	       "): %zu failed\n",
	       history->n_operations, history->n_cuts, running->n_tried,
	       running->trial->seed, running->n_failed);
	for (size_t i = 0; i < running->n_failed && i < TRIAL_NAMED; i++)
		print_failure(running, i);
	if (running->n_failed > TRIAL_NAMED)
		printf("and %zu more\n", running->n_failed - TRIAL_NAMED);
	if (running->n_failed == 0)
		return;
	outage_name(running->failed[0], name);
	printf("the first one again: bdus replay --state %s -o IMAGE %s\n",
	       name, history->path);
	if (running->trial->keep != NULL)
		printf("kept: %s/%s.img, %s.out\n", running->trial->keep, name,
		       name);
}

/* --- all --------------------------------------------------------------------
 */

static int trial_all(struct running *running)
{
	const struct trial *trial = running->trial;
	struct progress progress;
	int code = EXIT_DONE;

	progress_start(&progress, "trying", trial->n_outages);
	for (size_t i = 0;
	     i < trial->n_outages && code == EXIT_DONE && trial_signal == 0;
	     i++) {
		code = trial_state(running, &trial->outages[i]);
		progress_set(&progress, i + 1);
	}
	progress_end(&progress);
	unlink(running->output);
	return code;
}

static int trial_finish(const struct running *running)
{
	if (running->trial->is_json)
		print_json(running);
	else
		print_text(running);
	if (trial_signal != 0)
		msg_error("ended early, by a signal");
	return trial_signal != 0 || running->n_failed > 0 ? EXIT_FAILED :
							    EXIT_DONE;
}

int trial_run(const struct trial *trial, struct rebuild *rebuild)
{
	struct running running = {
		.trial = trial,
		.rebuild = rebuild,
		.failed = calloc(trial->n_outages + 1, sizeof(void *)),
		.statuses = calloc(trial->n_outages + 1, sizeof(int)),
	};
	int code = trial_parse_accept(&running);

	snprintf(running.output, sizeof(running.output), "%s/output",
		 rebuild->dir);
	if (running.failed == NULL || running.statuses == NULL)
		code = trial_failed(rebuild->dir, "cannot try", ENOMEM);
	if (code == EXIT_DONE)
		code = trial_make_command(&running);
	if (code == EXIT_DONE) {
		trial_catch_signals();
		code = trial_all(&running);
	}
	if (code == EXIT_DONE)
		code = trial_finish(&running);
	free(running.failed);
	free(running.statuses);
	free(running.command);
	return code;
}
