/* SPDX-License-Identifier: MIT */
/*
 * verdict - why a device does not move, in words, and what to try next.
 *
 * Claims no more than what was seen: that nothing was completed while it was
 * watched, and what the threads of its driver did at the end of that.
 */
#include "verdict.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "driver.h"
#include "kbdus.h"
#include "report.h"

/* A younger request is no sign that something is wrong. */
#define VERDICT_YOUNG_MS 1000
/* A request this old was forgotten, if others are completed. */
#define VERDICT_OLD_MS 10000

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[VERDICT_COUNT] = {
		[VERDICT_IDLE] = "idle",	 [VERDICT_MOVING] = "moving",
		[VERDICT_SLOW] = "slow",	 [VERDICT_LOST] = "lost",
		[VERDICT_STARTING] = "starting", [VERDICT_STOPPED] = "stopped",
		[VERDICT_TRACED] = "traced",	 [VERDICT_BLOCKED] = "blocked",
		[VERDICT_RUNNING] = "running",	 [VERDICT_ASLEEP] = "asleep",
		[VERDICT_UNSEEN] = "unseen",	 [VERDICT_WAITING] = "waiting",
		[VERDICT_LEAVING] = "leaving",	 [VERDICT_ENDING] = "ending",
		[VERDICT_DEAD] = "dead",
	};

	return names[verdict];
}

static bool is_state(const struct condition *condition, const char *state)
{
	return strcmp(condition->state, state) == 0;
}

static bool has_requests(const struct condition *condition)
{
	return condition->in_flight > 0 || condition->waiting > 0;
}

/* The first thread in that state, or NULL. */
static const struct thread *thread_in(const struct condition *condition,
				      char state)
{
	for (size_t i = 0; i < condition->n_threads; i++)
		if (condition->threads[i].state == state)
			return &condition->threads[i];
	return NULL;
}

/* A thread that sleeps over a file, or NULL. */
static const struct thread *thread_on_file(const struct condition *condition)
{
	for (size_t i = 0; i < condition->n_threads; i++) {
		const struct thread *thread = &condition->threads[i];

		if (thread->file[0] == '/' && thread->state == 'S')
			return thread;
	}
	return NULL;
}

/* What the threads of a driver that completes nothing say. */
static enum verdict verdict_of_driver(const struct condition *condition)
{
	if (condition->n_threads == 0)
		return VERDICT_UNSEEN;
	if (thread_in(condition, 'D') != NULL)
		return VERDICT_BLOCKED;
	if (thread_in(condition, 'R') != NULL)
		return VERDICT_RUNNING;
	return VERDICT_ASLEEP;
}

static enum verdict verdict_of_live(const struct condition *condition)
{
	int64_t oldest = condition->oldest_ms;

	if (condition->completed > 0)
		return oldest >= VERDICT_OLD_MS ? VERDICT_LOST : VERDICT_MOVING;
	if (!has_requests(condition))
		return VERDICT_IDLE;
	if (oldest != ATTRIBUTE_UNKNOWN && oldest < VERDICT_YOUNG_MS)
		return VERDICT_SLOW;
	return verdict_of_driver(condition);
}

enum verdict verdict_of(const struct condition *condition)
{
	enum verdict verdict;

	if (is_state(condition, "dead"))
		return VERDICT_DEAD;
	if (is_state(condition, "waiting"))
		return condition->n_threads > 0 ? VERDICT_LEAVING :
						  VERDICT_WAITING;
	if (thread_in(condition, 'T') != NULL)
		return VERDICT_STOPPED;
	/* strace stops a thread for a moment at each of its system calls */
	if (thread_in(condition, 't') != NULL && condition->completed <= 0)
		return VERDICT_TRACED;
	if (is_state(condition, "ending") && thread_in(condition, 'D') == NULL)
		return VERDICT_ENDING;
	verdict = verdict_of_live(condition);
	if (is_state(condition, "ending"))
		return verdict == VERDICT_BLOCKED ? verdict : VERDICT_ENDING;
	if (is_state(condition, "new") && verdict <= VERDICT_SLOW)
		return VERDICT_STARTING;
	return verdict;
}

/* Prints "12s", after which a limit that runs since @since_ms is reached. */
static void put_rest(FILE *out, int64_t limit_ms, int64_t since_ms)
{
	char text[24];

	report_ms((uint64_t)(limit_ms > since_ms ? limit_ms - since_ms : 0),
		  text);
	fputs(text, out);
}

/* When the module will end a driver that completes nothing. */
static void put_timeout(FILE *out, const struct condition *condition)
{
	if (!has_requests(condition) || condition->timeout_ms < 0)
		return;
	if (condition->timeout_ms == 0) {
		fputs("; its time-out is off", out);
		return;
	}
	if (condition->oldest_ms == ATTRIBUTE_UNKNOWN) {
		fputs("; its time-out kills it after ", out);
		put_rest(out, condition->timeout_ms, 0);
		return;
	}
	fputs("; its time-out kills it in ", out);
	put_rest(out, condition->timeout_ms, condition->oldest_ms);
	fputs(" at the earliest", out);
}

static void put_thread(FILE *out, const struct thread *thread)
{
	char text[1024];

	thread_describe(thread, text, sizeof(text));
	fprintf(out, "thread %ld %s", (long)thread->tid, text);
}

static void explain_blocked(FILE *out, const struct condition *condition)
{
	/* those that are blocked come first */
	const struct thread *thread = &condition->threads[0];

	put_thread(out, thread);
	if (condition->below != ATTRIBUTE_UNKNOWN && thread->mount[0] != '\0')
		fprintf(out, ", and waits for /dev/bdus-%" PRId64,
			condition->below);
	else if (thread->mount[0] != '\0')
		fprintf(out, ", and %s does not answer", thread->mount);
	else if (thread->file[0] == '/')
		fputs(", which does not answer", out);
	put_timeout(out, condition);
	if (condition->timeout_ms > 0)
		fputs(", and it ends when it is no longer blocked", out);
}

static void explain_asleep(FILE *out, const struct condition *condition)
{
	const struct thread *thread = thread_on_file(condition);

	fprintf(out, "its driver has %" PRId64 " requests and completes none",
		condition->in_flight);
	if (thread != NULL) {
		fputs(": ", out);
		put_thread(out, thread);
	}
	put_timeout(out, condition);
}

/* A driver is needed; until when? */
static void explain_waiting(FILE *out, const struct condition *condition)
{
	char text[24];

	fputs("it waits for a driver", out);
	if (condition->waiting_ms >= 0) {
		report_ms((uint64_t)condition->waiting_ms, text);
		fprintf(out, ", for %s so far", text);
	}
	if (condition->recovery_timeout_ms == 0) {
		fputs("; its requests wait for ever", out);
	} else if (condition->recovery_timeout_ms > 0 &&
		   condition->waiting_ms >= 0) {
		fputs("; its requests fail in ", out);
		put_rest(out, condition->recovery_timeout_ms,
			 condition->waiting_ms);
	}
	if (condition->supervised > 0)
		fputs("; its supervisor starts one, unless it gave up", out);
	if (driver_find(condition->driver) == NULL)
		fprintf(out, "; start %s for it again", condition->driver);
}

static void explain_leaving(FILE *out, const struct condition *condition)
{
	const struct thread *thread = &condition->threads[0];

	fputs("its last driver is not quite gone: ", out);
	put_thread(out, thread);
	fputs("; until that has ended no other driver is let in", out);
}

static void explain_ending(FILE *out, const struct condition *condition)
{
	fputs(is_state(condition, "dead") ?
		      "its driver is gone, and it goes" :
		      "it is being destroyed, and its driver has not left yet",
	      out);
	if (condition->openers > 0)
		fprintf(out, "; still open: %s",
			condition->holders[0] != '\0' ? condition->holders :
							"by whom is not known");
}

static void explain_age(FILE *out, const char *what,
			const struct condition *condition)
{
	char text[24];

	report_ms(condition->oldest_ms > 0 ? (uint64_t)condition->oldest_ms : 0,
		  text);
	fprintf(out, "%s%s old", what, text);
}

static void explain_driver(FILE *out, const char *what,
			   const struct condition *condition)
{
	fprintf(out, "its driver (pid %" PRId64 ") %s", condition->pid, what);
	put_timeout(out, condition);
}

void verdict_explain(FILE *out, enum verdict verdict,
		     const struct condition *condition)
{
	switch (verdict) {
	case VERDICT_IDLE:
		fputs("nothing is wrong: no request waits", out);
		break;
	case VERDICT_MOVING:
		fputs("nothing is wrong: requests are completed", out);
		break;
	case VERDICT_SLOW:
		explain_age(out, "it is slow, but the oldest request is just ",
			    condition);
		break;
	case VERDICT_LOST:
		explain_age(out, "it moves, except for a request that is ",
			    condition);
		break;
	case VERDICT_STARTING:
		fputs("its driver is about to start it", out);
		break;
	case VERDICT_STOPPED:
		explain_driver(out, "is stopped", condition);
		break;
	case VERDICT_TRACED:
		explain_driver(out, "is stopped by a debugger", condition);
		break;
	case VERDICT_BLOCKED:
		explain_blocked(out, condition);
		break;
	case VERDICT_RUNNING:
		explain_driver(out, "runs, but completes nothing", condition);
		break;
	case VERDICT_ASLEEP:
		explain_asleep(out, condition);
		break;
	case VERDICT_UNSEEN:
		fputs("it completes nothing, and its driver cannot be seen from "
		      "here",
		      out);
		break;
	case VERDICT_WAITING:
		explain_waiting(out, condition);
		break;
	case VERDICT_LEAVING:
		explain_leaving(out, condition);
		break;
	default:
		explain_ending(out, condition);
	}
}

/* Quotes a word for the shell; what is not plain ASCII as $'\ooo'. */
static void put_word(FILE *out, const char *word)
{
	bool is_plain = true;
	bool is_safe = *word != '\0';

	for (const char *c = word; *c != '\0'; c++) {
		is_plain &= *c >= ' ' && *c <= '~';
		is_safe &= strspn(c, "abcdefghijklmnopqrstuvwxyz"
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789/._-+,:=@%") > 0;
	}
	if (!is_safe)
		fputs(is_plain ? "'" : "$'", out);
	for (; *word != '\0'; word++) {
		if (*word == '\'' && is_plain)
			fputs("'\\''", out);
		else if (!is_plain && (*word < ' ' || *word > '~' ||
				       *word == '\'' || *word == '\\'))
			fprintf(out, "\\%03o", (unsigned char)*word);
		else
			fputc(*word, out);
	}
	if (!is_safe)
		fputc('\'', out);
}

static bool has_option(const struct driver *driver, const char *name)
{
	const struct opt *opt = driver->opts;

	for (; opt != NULL && opt->type != OPT_TYPE_END; opt++)
		if (strcmp(opt->name, name) == 0)
			return true;
	return false;
}

/* The driver that it had, on what it had: as far as that is known. */
static void put_rerun(FILE *out, const struct condition *condition)
{
	const struct driver *driver = driver_find(condition->driver);

	if (driver == NULL)
		return;
	fprintf(out, "bdus rerun %" PRIu64 " %s", condition->id, driver->name);
	if (condition->ro > 0 && has_option(driver, "read-only"))
		fputs(" --read-only", out);
	if (driver->n_operands == 0 && has_option(driver, "size") &&
	    condition->size > 0)
		fprintf(out, " --size %" PRId64, condition->size);
	if (driver->n_operands == 0)
		return;
	fputc(' ', out);
	/* the module keeps no more than this of a long name */
	if (strlen(condition->backing) >= KBDUS_BACKING_SIZE - 1 ||
	    condition->backing[0] == '\0')
		fputs(driver->operands, out);
	else
		put_word(out, condition->backing);
}

static void put_last_resort(FILE *out, const struct condition *condition)
{
	fprintf(out, "bdus destroy --force %" PRIu64, condition->id);
}

/* A device that outlives its driver is better off without one that hangs. */
static void put_end(FILE *out, const struct condition *condition)
{
	if (condition->recoverable > 0 && condition->pid > 0)
		fprintf(out, "kill -KILL %" PRId64, condition->pid);
	else
		put_last_resort(out, condition);
}

void verdict_command(FILE *out, enum verdict verdict,
		     const struct condition *condition)
{
	switch (verdict) {
	case VERDICT_IDLE:
	case VERDICT_MOVING:
	case VERDICT_STARTING:
	case VERDICT_DEAD:
		break;
	case VERDICT_SLOW:
		fprintf(out, "bdus why %" PRIu64, condition->id);
		break;
	case VERDICT_STOPPED:
		fprintf(out, "kill -CONT %" PRId64, condition->pid);
		break;
	case VERDICT_TRACED:
		fprintf(out, "grep TracerPid /proc/%" PRId64 "/status",
			condition->pid);
		break;
	case VERDICT_RUNNING:
		fprintf(out, "top -H -p %" PRId64, condition->pid);
		break;
	case VERDICT_BLOCKED:
		if (condition->below != ATTRIBUTE_UNKNOWN)
			fprintf(out, "bdus why %" PRId64, condition->below);
		else
			put_last_resort(out, condition);
		break;
	case VERDICT_LOST:
	case VERDICT_ASLEEP:
		put_end(out, condition);
		break;
	case VERDICT_WAITING:
		put_rerun(out, condition);
		break;
	default:
		put_last_resort(out, condition);
	}
}
