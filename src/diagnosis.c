/* SPDX-License-Identifier: MIT */
/*
 * diagnosis - the condition of a device and the verdict on it, printed for
 * people or for programs.
 *
 * Names of files and processes are anybody's: they go through report.
 */
#include "diagnosis.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "devid.h"
#include "report.h"

/* Of the JSON output; to be raised when a key changes its meaning or goes. */
#define DIAGNOSIS_SCHEMA 1

/* Lines about threads; the JSON has them all. */
#define DIAGNOSIS_THREADS 24

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* What @print prints, allocated; NULL: no memory. */
static char *printed(void (*print)(FILE *out, enum verdict verdict,
				   const struct condition *condition),
		     const struct diagnosis *diagnosis)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	print(out, diagnosis->verdict, &diagnosis->condition);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

int diagnosis_make(uint64_t id, struct diagnosis *diagnosis)
{
	int error;

	memset(diagnosis, 0, sizeof(*diagnosis));
	error = condition_read("/sys", "/proc", id, &diagnosis->condition);
	if (error != 0)
		return error;
	diagnosis->verdict = verdict_of(&diagnosis->condition);
	diagnosis->reason = printed(verdict_explain, diagnosis);
	diagnosis->command = printed(verdict_command, diagnosis);
	if (diagnosis->reason != NULL && diagnosis->command != NULL)
		return 0;
	diagnosis_free(diagnosis);
	return -ENOMEM;
}

void diagnosis_free(struct diagnosis *diagnosis)
{
	free(diagnosis->reason);
	free(diagnosis->command);
	condition_free(&diagnosis->condition);
}

/* text */

/* "3 restarts", "1 restart", or without @noun "3"; "?": not known. */
static void put_count(FILE *out, int64_t number, const char *noun)
{
	if (number == ATTRIBUTE_UNKNOWN)
		fputs("?", out);
	else
		fprintf(out, "%" PRId64, number);
	if (*noun != '\0')
		fprintf(out, " %s%s", noun, number == 1 ? "" : "s");
}

static void put_ms(FILE *out, const char *before, int64_t ms, const char *after)
{
	char text[24] = "?";

	if (ms != ATTRIBUTE_UNKNOWN)
		report_ms((uint64_t)ms, text);
	fprintf(out, "%s%s%s", before, text, after);
}

static void text_driver(FILE *out, const struct condition *condition)
{
	fprintf(out, "  state     %s", condition->state);
	if (condition->waiting_ms > 0)
		put_ms(out, ", for ", condition->waiting_ms, "");
	fputs("\n  driver    ", out);
	report_text(out, condition->driver);
	if (condition->pid > 0)
		fprintf(out, ", pid %" PRId64, condition->pid);
	if (condition->backing[0] != '\0') {
		fputs(", on ", out);
		report_text(out, condition->backing);
	}
	fputc('\n', out);
}

static void text_requests(FILE *out, const struct condition *condition)
{
	fputs("  requests  with the driver: ", out);
	put_count(out, condition->in_flight, "");
	fputs(", waiting: ", out);
	put_count(out, condition->waiting, "");
	if (condition->oldest_ms > 0)
		put_ms(out, "; the oldest is ", condition->oldest_ms, " old");
	if (condition->completed != ATTRIBUTE_UNKNOWN)
		fprintf(out, "; completed within %dms: %" PRId64,
			CONDITION_SAMPLE_MS, condition->completed);
	fputc('\n', out);
}

static void text_history(FILE *out, const struct condition *condition)
{
	fputs("  history   ", out);
	put_count(out, condition->restarts, "restart");
	fputs(", ", out);
	put_count(out, condition->attempts, "request");
	fputs(" sent again", out);
	if (condition->last_reason[0] != '\0' &&
	    strcmp(condition->last_reason, "none") != 0)
		fprintf(out, "; the last driver left: %s",
			condition->last_reason);
	fputc('\n', out);
}

static void text_limits(FILE *out, const struct condition *condition)
{
	put_ms(out, "  limits    time-out ", condition->timeout_ms, "");
	if (condition->on_hang[0] != '\0')
		fprintf(out, ", then %s", condition->on_hang);
	if (condition->recoverable > 0)
		put_ms(out, ", recovery ", condition->recovery_timeout_ms, "");
	else if (condition->recoverable == 0)
		fputs(", not recoverable", out);
	if (condition->supervised > 0)
		fputs(", supervised", out);
	fputc('\n', out);
}

static void text_holders(FILE *out, const struct condition *condition)
{
	fputs("  open      ", out);
	put_count(out, condition->openers, "time");
	if (condition->holders[0] != '\0') {
		fputs(": ", out);
		report_text(out, condition->holders);
	}
	fputc('\n', out);
}

static void text_thread(FILE *out, const struct thread *thread)
{
	char text[1024];

	thread_describe(thread, text, sizeof(text));
	fprintf(out, "  thread    %ld ", (long)thread->tid);
	report_text(out, thread->name);
	fputs(": ", out);
	report_text(out, text);
	if (thread->state == 'D' && thread->stack[0] != '\0')
		fprintf(out, "\n            in %s", thread->stack);
	else if (thread->state == 'D' && thread->wchan[0] != '\0')
		fprintf(out, "\n            in %s", thread->wchan);
	fputc('\n', out);
}

static void text_threads(FILE *out, const struct condition *condition)
{
	size_t count = condition->n_threads;

	for (size_t i = 0; i < count && i < DIAGNOSIS_THREADS; i++)
		text_thread(out, &condition->threads[i]);
	if (count > DIAGNOSIS_THREADS)
		fprintf(out, "  thread    ... and %zu more\n",
			count - DIAGNOSIS_THREADS);
}

void diagnosis_text(FILE *out, const struct diagnosis *diagnosis)
{
	const struct condition *condition = &diagnosis->condition;
	char node[DEVID_NODE_SIZE];

	devid_node(condition->id, node);
	fprintf(out, "%s: ", node);
	report_text(out, diagnosis->reason);
	fputc('\n', out);
	text_driver(out, condition);
	text_requests(out, condition);
	text_history(out, condition);
	text_limits(out, condition);
	text_holders(out, condition);
	text_threads(out, condition);
	if (diagnosis->command[0] != '\0')
		fprintf(out, "try: %s\n", diagnosis->command);
}

/* JSON */

/* A key and where its value is: text, or an int64_t for all other kinds. */
struct key {
	struct report_column column;
	size_t offset;
};

#define KEY(name, kind)                                           \
	{                                                         \
		{ #name, kind }, offsetof(struct condition, name) \
	}

static const struct key keys[] = {
	KEY(id, REPORT_NUMBER),
	KEY(state, REPORT_TEXT),
	KEY(driver, REPORT_TEXT),
	KEY(backing, REPORT_TEXT),
	KEY(size, REPORT_SIZE),
	KEY(ro, REPORT_BOOL),
	KEY(pid, REPORT_NUMBER),
	KEY(openers, REPORT_NUMBER),
	KEY(holders, REPORT_TEXT),
	KEY(recoverable, REPORT_BOOL),
	KEY(supervised, REPORT_BOOL),
	KEY(timeout_ms, REPORT_MS),
	KEY(recovery_timeout_ms, REPORT_MS),
	KEY(on_hang, REPORT_TEXT),
	KEY(waiting_ms, REPORT_MS),
	KEY(oldest_ms, REPORT_MS),
	KEY(in_flight, REPORT_NUMBER),
	KEY(waiting, REPORT_NUMBER),
	KEY(completed, REPORT_NUMBER),
	KEY(below, REPORT_NUMBER),
	KEY(attempts, REPORT_NUMBER),
	KEY(restarts, REPORT_NUMBER),
	KEY(last_reason, REPORT_TEXT),
};

static void json_condition(FILE *out, const struct condition *condition)
{
	struct report_column columns[LENGTH(keys)];
	char numbers[LENGTH(keys)][24];
	char *cells[LENGTH(keys)];
	const struct report report = { columns, LENGTH(keys), cells, 1 };

	for (size_t i = 0; i < LENGTH(keys); i++) {
		char *value = (char *)condition + keys[i].offset;

		columns[i] = keys[i].column;
		cells[i] = value;
		if (columns[i].kind == REPORT_TEXT)
			continue;
		/* unknown is negative, which no column may be: null */
		snprintf(numbers[i], sizeof(numbers[i]), "%" PRId64,
			 *(int64_t *)(void *)value);
		cells[i] = numbers[i];
	}
	report_json_members(out, &report, 0);
}

static void json_verdict(FILE *out, const struct diagnosis *diagnosis)
{
	static const struct report_column columns[] = {
		{ "device", REPORT_TEXT },  { "verdict", REPORT_TEXT },
		{ "reason", REPORT_TEXT },  { "command", REPORT_TEXT },
		{ "sample_ms", REPORT_MS },
	};
	char node[DEVID_NODE_SIZE];
	char verdict[32];
	char sample[16];
	char *cells[] = { node, verdict, diagnosis->reason, diagnosis->command,
			  sample };
	const struct report report = { columns, LENGTH(columns), cells, 1 };

	devid_node(diagnosis->condition.id, node);
	snprintf(verdict, sizeof(verdict), "%s",
		 verdict_name(diagnosis->verdict));
	snprintf(sample, sizeof(sample), "%d", CONDITION_SAMPLE_MS);
	report_json_members(out, &report, 0);
}

static void json_thread(FILE *out, const struct thread *thread)
{
	static const struct report_column columns[] = {
		{ "tid", REPORT_NUMBER },     { "name", REPORT_TEXT },
		{ "state", REPORT_TEXT },     { "doing", REPORT_TEXT },
		{ "syscall", REPORT_NUMBER }, { "syscall_name", REPORT_TEXT },
		{ "fd", REPORT_NUMBER },      { "file", REPORT_TEXT },
		{ "mount", REPORT_TEXT },     { "wchan", REPORT_TEXT },
		{ "stack", REPORT_TEXT },
	};
	struct thread copy = *thread;
	char state[] = { thread->state, '\0' };
	char tid[24], syscall[24], name[32], fd[16], doing[1024];
	char *cells[] = { tid,	      copy.name,  state,     doing,
			  syscall,    name,	  fd,	     copy.file,
			  copy.mount, copy.wchan, copy.stack };
	const struct report report = { columns, LENGTH(columns), cells, 1 };

	thread_describe(thread, doing, sizeof(doing));
	snprintf(tid, sizeof(tid), "%ld", (long)thread->tid);
	snprintf(syscall, sizeof(syscall), "%ld", thread->syscall);
	snprintf(name, sizeof(name), "%s", thread_syscall_name(thread));
	snprintf(fd, sizeof(fd), "%d", thread->fd);
	report_json_members(out, &report, 0);
}

void diagnosis_json(FILE *out, const struct diagnosis *diagnosis)
{
	const struct condition *condition = &diagnosis->condition;

	fprintf(out, "{\n  \"schema\": %d,\n  ", DIAGNOSIS_SCHEMA);
	json_verdict(out, diagnosis);
	fputs(",\n  ", out);
	json_condition(out, condition);
	fputs(",\n  \"threads\": [", out);
	for (size_t i = 0; i < condition->n_threads; i++) {
		fputs(i > 0 ? ",\n    {" : "\n    {", out);
		json_thread(out, &condition->threads[i]);
		fputs("}", out);
	}
	fputs(condition->n_threads > 0 ? "\n  ]\n}\n" : "]\n}\n", out);
}
