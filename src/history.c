/* SPDX-License-Identifier: MIT */
/*
 * history - what a log of bdus record tells.
 */
#include "history.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "msg.h"
#include "progress.h"

const char *operation_kind(const struct operation *operation)
{
	static const char *const names[RECLOG_TYPES] = {
		[RECLOG_WRITE] = "write",
		[RECLOG_FUA_WRITE] = "FUA write",
		[RECLOG_WRITE_ZEROES] = "write zeroes",
		[RECLOG_DISCARD] = "discard",
		[RECLOG_SECURE_ERASE] = "secure erase",
		[RECLOG_FLUSH] = "flush",
	};

	return names[operation->type];
}

/* --- reading ----------------------------------------------------------------
 */

/* Room for one more of @size bytes; it doubles. */
static void *history_grow(void *array, size_t n, size_t size)
{
	if (n != 0 && (n < 64 || (n & (n - 1)) != 0))
		return array;
	return reallocarray(array, n < 64 ? 64 : n * 2, size);
}

static int history_add_base(struct history *history,
			    const struct reclog_entry *entry, uint64_t data_at)
{
	void *base = history_grow(history->base, history->n_base,
				  sizeof(*history->base));

	if (base == NULL)
		return -ENOMEM;
	history->base = base;
	history->base[history->n_base++] = (struct piece){ .off = entry->off,
							   .data_at = data_at,
							   .len = entry->len };
	return 0;
}

static int history_add_operation(struct history *history,
				 const struct reclog_entry *entry,
				 uint64_t data_at)
{
	void *operations =
		history_grow(history->operations, history->n_operations,
			     sizeof(*history->operations));

	if (operations == NULL)
		return -ENOMEM;
	history->operations = operations;
	if (entry->operation != history->n_operations + 1)
		return -EINVAL;
	history->operations[history->n_operations++] =
		(struct operation){ .off = entry->off,
				    .data_at = data_at,
				    .issued = entry->number,
				    .answered = HISTORY_NEVER,
				    .durable = HISTORY_NEVER,
				    .len = entry->len,
				    .type = entry->type };
	return 0;
}

static int history_answer(struct history *history,
			  const struct reclog_entry *entry)
{
	struct operation *operation;

	if (entry->operation == 0 || entry->operation > history->n_operations)
		return -EINVAL;
	operation = &history->operations[entry->operation - 1];
	if (operation->answered != HISTORY_NEVER)
		return -EINVAL;
	operation->answered = entry->number;
	operation->error = entry->error;
	operation->is_lost = entry->error != 0;
	return 0;
}

/* What is in flight when its driver dies is never answered, but sent again. */
static void history_abandon(struct history *history, uint64_t number)
{
	for (size_t i = history->n_operations; i-- > 0;) {
		struct operation *operation = &history->operations[i];

		if (operation->answered != HISTORY_NEVER)
			continue;
		operation->is_lost = true;
		operation->answered = number;
	}
}

static int history_add(struct history *history,
		       const struct reclog_entry *entry, uint64_t data_at)
{
	int error = reclog_check_data(history->fd, data_at, entry);

	if (error != 0)
		return error;
	if (reclog_is_operation(entry))
		return history->has_start ?
			       history_add_operation(history, entry, data_at) :
			       -EINVAL;
	switch (entry->type) {
	case RECLOG_BASE:
		return history_add_base(history, entry, data_at);
	case RECLOG_START:
		history->has_start = true;
		history->has_base = entry->flags & RECLOG_HAS_BASE;
		history->base_sum = (uint32_t)entry->operation;
		return 0;
	case RECLOG_SESSION:
		history_abandon(history, entry->number);
		return 0;
	case RECLOG_DONE:
		return history_answer(history, entry);
	default:
		return -EINVAL;
	}
}

static int history_read(struct history *history, uint64_t *off)
{
	struct reclog_entry entry;
	struct progress progress;
	off_t size = lseek(history->fd, 0, SEEK_END);
	int found, error = 0;

	progress_start(&progress, "reading", (uint64_t)size);
	for (;;) {
		found = reclog_read_entry(history->fd, &history->head, *off,
					  history->n_entries, &entry);
		if (found <= 0)
			break;
		error = history_add(history, &entry, *off + sizeof(entry));
		if (error != 0)
			break;
		history->n_entries++;
		*off += sizeof(entry) + entry.data_len;
		progress_set(&progress, *off);
	}
	progress_end(&progress);
	history->is_cut_off = found == 0 && *off != (uint64_t)size;
	return found < 0 ? found : error;
}

/* --- durability -------------------------------------------------------------
 */

/* Of the flushes issued from each one on, the first answer. */
struct flushes {
	uint64_t *issued;
	uint64_t *answered;
	size_t n;
};

static int flushes_find(struct flushes *flushes, const struct history *history)
{
	size_t n = history->n_operations;

	*flushes = (struct flushes){ .issued = calloc(n + 1, 8),
				     .answered = calloc(n + 1, 8) };
	if (flushes->issued == NULL || flushes->answered == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct operation *one = &history->operations[i];

		if (one->type != RECLOG_FLUSH || one->is_lost)
			continue;
		flushes->issued[flushes->n] = one->issued;
		flushes->answered[flushes->n++] = one->answered;
	}
	for (size_t i = flushes->n; i-- > 1;)
		if (flushes->answered[i] < flushes->answered[i - 1])
			flushes->answered[i - 1] = flushes->answered[i];
	return 0;
}

/* When is what was answered then made durable? */
static uint64_t flushes_after(const struct flushes *flushes, uint64_t answered)
{
	size_t low = 0, high = flushes->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (flushes->issued[middle] > answered)
			high = middle;
		else
			low = middle + 1;
	}
	return low < flushes->n ? flushes->answered[low] : HISTORY_NEVER;
}

static void operation_settle(struct operation *one,
			     const struct flushes *flushes)
{
	if (one->type == RECLOG_FLUSH)
		one->durable = one->issued;
	else if (one->answered == HISTORY_NEVER)
		one->durable = HISTORY_NEVER;
	else if (one->type == RECLOG_FUA_WRITE && !one->is_lost)
		one->durable = one->answered;
	else
		one->durable = flushes_after(flushes, one->answered);
}

struct moment {
	uint64_t time;
	size_t place;
};

static int compare_moments(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static int history_sort_durable(struct history *history)
{
	struct moment *moments =
		calloc(history->n_operations + 1, sizeof(*moments));

	history->by_durable = calloc(history->n_operations + 1, sizeof(size_t));
	if (moments == NULL || history->by_durable == NULL) {
		free(moments);
		return -ENOMEM;
	}
	for (size_t i = 0; i < history->n_operations; i++)
		if (history->operations[i].durable != HISTORY_NEVER)
			moments[history->n_durable++] =
				(struct moment){ history->operations[i].durable,
						 i };
	qsort(moments, history->n_durable, sizeof(*moments), compare_moments);
	for (size_t i = 0; i < history->n_durable; i++)
		history->by_durable[i] = moments[i].place;
	free(moments);
	return 0;
}

/*
 * Before anything; after each operation that changes something was issued; and
 * after each answer that makes something durable.
 */
static int history_find_cuts(struct history *history)
{
	size_t n = 0;

	history->cuts = calloc(2 * history->n_operations + 1, 8);
	if (history->cuts == NULL)
		return -ENOMEM;
	history->cuts[n++] = 0;
	for (size_t i = 0; i < history->n_operations; i++) {
		const struct operation *one = &history->operations[i];

		if (one->type != RECLOG_FLUSH)
			history->cuts[n++] = one->issued + 1;
		if ((one->type == RECLOG_FLUSH ||
		     one->type == RECLOG_FUA_WRITE) &&
		    !one->is_lost && one->answered != HISTORY_NEVER)
			history->cuts[n++] = one->answered + 1;
	}
	qsort(history->cuts, n, 8, compare_moments);
	history->n_cuts = n;
	return 0;
}

static int history_settle(struct history *history)
{
	struct flushes flushes;
	int error = flushes_find(&flushes, history);
	size_t flush = 0;

	for (size_t i = 0; error == 0 && i < history->n_operations; i++) {
		struct operation *one = &history->operations[i];

		/* the answers ascend, by flushes_find() */
		while (flush < flushes.n &&
		       flushes.answered[flush] < one->issued)
			flush++;
		one->epoch = (uint32_t)flush;
		operation_settle(one, &flushes);
	}
	free(flushes.issued);
	free(flushes.answered);
	if (error == 0)
		error = history_sort_durable(history);
	return error != 0 ? error : history_find_cuts(history);
}

/* --- loading ----------------------------------------------------------------
 */

static int history_failed(const struct history *history, int error,
			  uint64_t off)
{
	if (error == -EINVAL)
		msg_error("%s: is damaged at byte %" PRIu64 ", after %zu "
			  "operations",
			  history->path, off, history->n_operations);
	else
		msg_error("%s: cannot read: %s", history->path,
			  strerror(-error));
	return EXIT_FAILED;
}

static int history_fill(struct history *history)
{
	uint64_t off = sizeof(history->head);
	const char *reason = NULL;
	int error = reclog_read_head(history->fd, &history->head, &reason);

	if (reason != NULL) {
		msg_error("%s: %s", history->path, reason);
		return EXIT_FAILED;
	}
	if (error == 0)
		error = history_read(history, &off);
	if (error == 0)
		error = history_settle(history);
	if (error != 0)
		return history_failed(history, error, off);
	if (!history->has_start) {
		msg_error("%s: ends before the recording began", history->path);
		return EXIT_FAILED;
	}
	if (history->is_cut_off)
		msg_warn("%s: ends within an entry, after %zu operations",
			 history->path, history->n_operations);
	return EXIT_DONE;
}

int history_load(struct history *history, const char *path)
{
	int code;

	*history = (struct history){ .path = path };
	history->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (history->fd < 0) {
		msg_error("%s: cannot open: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	code = history_fill(history);
	if (code != EXIT_DONE)
		history_free(history);
	return code;
}

void history_free(struct history *history)
{
	free(history->operations);
	free(history->by_durable);
	free(history->base);
	free(history->cuts);
	close(history->fd);
}
