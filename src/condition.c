/* SPDX-License-Identifier: MIT */
/*
 * condition - how a device is: what sysfs says, whether it moves, what the
 * threads of its driver do, and who holds it.
 */
#include "condition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "holders.h"

/* Where the numbers of a condition are in /sys/block/bdus-N/. */
static const struct number {
	const char *file;
	size_t offset;
} numbers[] = {
#define NUMBER(name)                                            \
	{                                                       \
		"bdus/" #name, offsetof(struct condition, name) \
	}
	{ "size", offsetof(struct condition, size) },
	{ "ro", offsetof(struct condition, ro) },
	NUMBER(pid),
	NUMBER(openers),
	NUMBER(recoverable),
	NUMBER(supervised),
	NUMBER(timeout_ms),
	NUMBER(recovery_timeout_ms),
	NUMBER(waiting_ms),
	NUMBER(oldest_ms),
	NUMBER(in_flight),
	NUMBER(waiting),
	NUMBER(attempts),
	NUMBER(restarts),
};

static void read_values(const char *sysfs, struct condition *condition)
{
	uint64_t id = condition->id;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		int64_t *number =
			(void *)((char *)condition + numbers[i].offset);

		*number = attribute_number(sysfs, id, numbers[i].file);
	}
	if (condition->size > 0)
		condition->size *= 512;
	attribute_text(sysfs, id, "bdus/state", condition->state,
		       sizeof(condition->state));
	attribute_text(sysfs, id, "bdus/driver", condition->driver,
		       sizeof(condition->driver));
	attribute_text(sysfs, id, "bdus/backing", condition->backing,
		       sizeof(condition->backing));
	attribute_text(sysfs, id, "bdus/last_reason", condition->last_reason,
		       sizeof(condition->last_reason));
	attribute_text(sysfs, id, "bdus/on_hang", condition->on_hang,
		       sizeof(condition->on_hang));
}

/* How many requests were completed so far. */
static int64_t count_completed(const char *sysfs, uint64_t id)
{
	static const char *const files[] = {
		"bdus/read_requests",	      "bdus/write_requests",
		"bdus/write_zeroes_requests", "bdus/fua_write_requests",
		"bdus/flush_requests",	      "bdus/discard_requests",
		"bdus/secure_erase_requests", "bdus/ioctl_requests",
	};
	int64_t sum = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		int64_t n = attribute_number(sysfs, id, files[i]);

		if (n == ATTRIBUTE_UNKNOWN)
			return ATTRIBUTE_UNKNOWN;
		sum += n;
	}
	return sum;
}

/* Watches what is completed; the values are those of the end. */
static void watch(const char *sysfs, struct condition *condition)
{
	struct timespec left = { .tv_nsec = CONDITION_SAMPLE_MS * 1000000L };
	int64_t before = count_completed(sysfs, condition->id);
	int64_t after;

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
	after = count_completed(sysfs, condition->id);
	if (before >= 0 && after >= before)
		condition->completed = after - before;
	read_values(sysfs, condition);
}

/* The busy device of ours that "/dev/bdus-3", or "ext4 on" it, names. */
static int64_t find_below(const char *sysfs, const char *name)
{
	const char *node = strstr(name, "/dev/bdus-");
	char *end;
	uint64_t id;

	if (node == NULL)
		return ATTRIBUTE_UNKNOWN;
	id = strtoull(node + 10, &end, 10);
	if (end == node + 10 || (*end != '\0' && *end != 'p') ||
	    (attribute_number(sysfs, id, "bdus/in_flight") <= 0 &&
	     attribute_number(sysfs, id, "bdus/waiting") <= 0))
		return ATTRIBUTE_UNKNOWN;
	return (int64_t)id;
}

static void read_below(const char *sysfs, struct condition *condition)
{
	const struct thread *thread = condition->threads;

	condition->below = ATTRIBUTE_UNKNOWN;
	if (condition->n_threads > 0 && thread->state == 'D')
		condition->below = find_below(sysfs, thread->mount[0] != '\0' ?
							     thread->mount :
							     thread->file);
}

static void read_holders(const char *sysfs, struct condition *condition)
{
	unsigned int major_nr;
	unsigned int minor_nr;
	char text[32];

	if (condition->openers != 0 &&
	    attribute_text(sysfs, condition->id, "dev", text, sizeof(text)) ==
		    0 &&
	    sscanf(text, "%u:%u", &major_nr, &minor_nr) == 2)
		holders_describe(makedev(major_nr, minor_nr),
				 condition->holders,
				 sizeof(condition->holders));
}

int condition_read(const char *sysfs, const char *proc, uint64_t id,
		   struct condition *condition)
{
	int error = 0;

	memset(condition, 0, sizeof(*condition));
	condition->id = id;
	condition->completed = ATTRIBUTE_UNKNOWN;
	read_values(sysfs, condition);
	/* a busy device can be without a request when it is looked at */
	if (condition->in_flight > 0 || condition->waiting > 0 ||
	    condition->openers > 0)
		watch(sysfs, condition);
	if (condition->state[0] == '\0')
		return -ENOENT;
	if (condition->pid > 0)
		error = threads_read(proc, (pid_t)condition->pid,
				     &condition->threads,
				     &condition->n_threads);
	if (error == -ENOMEM)
		return error;
	read_below(sysfs, condition);
	read_holders(sysfs, condition);
	return 0;
}

void condition_free(struct condition *condition)
{
	free(condition->threads);
	condition->threads = NULL;
	condition->n_threads = 0;
}
