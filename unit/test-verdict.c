/* SPDX-License-Identifier: MIT */
/*
 * test-verdict - verdicts on devices of a made-up sysfs.
 */
#include <limits.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "condition.h"
#include "driver.h"
#include "tap.h"
#include "verdict.h"

static char root[] = "/tmp/bdus-test-verdict-XXXXXX";

static const struct opt loop_opts[] = {
	{ .name = "read-only", .type = OPT_TYPE_BOOL }, OPT_END
};
static const struct opt ram_opts[] = {
	{ .name = "size", .type = OPT_TYPE_SIZE }, OPT_END
};
static const struct driver loop = { .name = "loop",
				    .operands = "FILE|DEVICE",
				    .n_operands = 1,
				    .opts = loop_opts };
static const struct driver ram = { .name = "ram", .opts = ram_opts };

/* Stands in for the table of drivers. */
const struct driver *driver_find(const char *name)
{
	if (strcmp(name, "loop") == 0)
		return &loop;
	return strcmp(name, "ram") == 0 ? &ram : NULL;
}

/* Creates a file below the made-up / with its directories. */
static void put(const char *name, const char *content)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (char *c = path + strlen(root) + 1; (c = strchr(c, '/')); c++) {
		*c = '\0';
		mkdir(path, 0700);
		*c = '/';
	}
	file = fopen(path, "w");
	if (file == NULL || fputs(content, file) < 0 || fclose(file) != 0) {
		perror(path);
		exit(1);
	}
}

/* A device that is live, idle and known in all; threads of process 70. */
static void set_up(void)
{
	static const char *const files[][2] = {
		{ "state", "live" },
		{ "driver", "loop" },
		{ "backing", "/srv/disk.img" },
		{ "pid", "70" },
		{ "openers", "0" },
		{ "recoverable", "0" },
		{ "supervised", "0" },
		{ "timeout_ms", "30000" },
		{ "recovery_timeout_ms", "30000" },
		{ "on_hang", "error" },
		{ "last_reason", "none" },
		{ "waiting_ms", "0" },
		{ "oldest_ms", "0" },
		{ "in_flight", "0" },
		{ "waiting", "0" },
		{ "attempts", "0" },
		{ "restarts", "0" },
		{ "read_requests", "1" },
		{ "write_requests", "2" },
		{ "write_zeroes_requests", "0" },
		{ "fua_write_requests", "0" },
		{ "flush_requests", "0" },
		{ "discard_requests", "0" },
		{ "secure_erase_requests", "0" },
		{ "ioctl_requests", "0" },
	};
	char name[64];

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		snprintf(name, sizeof(name), "sys/block/bdus-3/bdus/%s",
			 files[i][0]);
		put(name, files[i][1]);
	}
	put("sys/block/bdus-3/size", "2048\n");
	put("sys/block/bdus-3/ro", "0\n");
	put("proc/70/task/70/stat", "70 (bdus) S 1");
	put("proc/70/task/71/stat", "71 (bdus) S 1");
}

#define FILES 8

/* Changes to set_up()'s device, as name, value pairs, and what follows. */
static const struct verdict_case {
	const char *files[FILES][2];
	char thread; /* state of one of the driver's threads */
	enum verdict verdict;
	const char *reason;
	const char *command;
} cases[] = {
	{ { { NULL } }, 'S', VERDICT_IDLE, "nothing is wrong: no", "" },
	{ { { "in_flight", "3" }, { "oldest_ms", "999" } },
	  'D',
	  VERDICT_SLOW,
	  "just 999ms old",
	  "bdus why 3" },
	{ { { "state", "new" } }, 'S', VERDICT_STARTING, "about to start", "" },
	{ { { NULL } },
	  'T',
	  VERDICT_STOPPED,
	  "its driver (pid 70) is stopped",
	  "kill -CONT 70" },
	{ { { "waiting", "1" }, { "oldest_ms", "5000" } },
	  'T',
	  VERDICT_STOPPED,
	  "is stopped; its time-out kills it in 25s at the earliest",
	  "kill -CONT 70" },
	{ { { "waiting", "1" }, { "timeout_ms", "0" } },
	  't',
	  VERDICT_TRACED,
	  "is stopped by a debugger; its time-out is off",
	  "grep TracerPid /proc/70/status" },
	{ { { "in_flight", "1" }, { "oldest_ms", "99000" } },
	  'D',
	  VERDICT_BLOCKED,
	  "thread 71 is blocked in the kernel; its time-out kills it in 0ms",
	  "bdus destroy --force 3" },
	{ { { "in_flight", "1" }, { "oldest_ms", "" } },
	  'D',
	  VERDICT_BLOCKED,
	  "its time-out kills it after 30s, and it ends when",
	  "bdus destroy --force 3" },
	{ { { "in_flight", "1" }, { "oldest_ms", "5000" } },
	  'R',
	  VERDICT_RUNNING,
	  "runs, but completes nothing",
	  "top -H -p 70" },
	{ { { "in_flight", "4" }, { "oldest_ms", "5000" } },
	  'S',
	  VERDICT_ASLEEP,
	  "has 4 requests and completes none",
	  "bdus destroy --force 3" },
	{ { { "in_flight", "4" },
	    { "oldest_ms", "5000" },
	    { "recoverable", "1" } },
	  'S',
	  VERDICT_ASLEEP,
	  "completes none",
	  "kill -KILL 70" },
	{ { { "in_flight", "4" }, { "oldest_ms", "5000" }, { "pid", "0" } },
	  'S',
	  VERDICT_UNSEEN,
	  "cannot be seen",
	  "bdus destroy --force 3" },
	{ { { "state", "waiting" }, { "pid", "0" }, { "waiting_ms", "12000" } },
	  'S',
	  VERDICT_WAITING,
	  "it waits for a driver, for 12s so far; its requests fail in 18s",
	  "bdus rerun 3 loop /srv/disk.img" },
	{ { { "state", "waiting" },
	    { "pid", "0" },
	    { "waiting_ms", "12000" },
	    { "recovery_timeout_ms", "0" },
	    { "supervised", "1" },
	    { "backing", "a b'c" } },
	  'S',
	  VERDICT_WAITING,
	  "wait for ever; its supervisor starts one, unless it gave up",
	  "bdus rerun 3 loop 'a b'\\''c'" },
	{ { { "state", "waiting" },
	    { "pid", "0" },
	    { "backing", "a'\n\\\xff" } },
	  'S',
	  VERDICT_WAITING,
	  "",
	  "bdus rerun 3 loop $'a\\047\\012\\134\\377'" },
	{ { { "state", "waiting" }, { "pid", "0" }, { "backing", "" } },
	  'S',
	  VERDICT_WAITING,
	  "",
	  "bdus rerun 3 loop FILE|DEVICE" },
	{ { { "state", "waiting" },
	    { "pid", "0" },
	    { "driver", "ram" },
	    { "backing", "" } },
	  'S',
	  VERDICT_WAITING,
	  "",
	  "bdus rerun 3 ram --size 1048576" },
	{ { { "state", "waiting" }, { "pid", "0" }, { "driver", "mine" } },
	  'S',
	  VERDICT_WAITING,
	  "; start mine for it again",
	  "" },
	{ { { "state", "waiting" }, { "pid", "0" }, { "waiting_ms", "" } },
	  'S',
	  VERDICT_WAITING,
	  "it waits for a driver",
	  "bdus rerun 3 loop /srv/disk.img" },
	{ { { "state", "waiting" } },
	  'D',
	  VERDICT_LEAVING,
	  "not quite gone: thread 71 is blocked in the kernel",
	  "bdus destroy --force 3" },
	{ { { "state", "ending" } },
	  'S',
	  VERDICT_ENDING,
	  "it is being destroyed, and its driver has not left yet",
	  "bdus destroy --force 3" },
	{ { { "state", "ending" }, { "openers", "2" } },
	  'S',
	  VERDICT_ENDING,
	  "; still open: by whom is not known",
	  "bdus destroy --force 3" },
	{ { { "state", "ending" } },
	  'T',
	  VERDICT_STOPPED,
	  "is stopped",
	  "kill -CONT 70" },
	{ { { "state", "dead" }, { "pid", "0" } },
	  'S',
	  VERDICT_DEAD,
	  "its driver is gone, and it goes",
	  "" },
};

static char *said(void (*print)(FILE *out, enum verdict verdict,
				const struct condition *condition),
		  const struct condition *condition, char text[1024])
{
	FILE *out;

	memset(text, 0, 1024);
	out = fmemopen(text, 1024, "w");
	print(out, verdict_of(condition), condition);
	fclose(out);
	return text;
}

static void read_device(struct condition *condition)
{
	char sysfs[PATH_MAX];
	char proc[PATH_MAX];

	snprintf(sysfs, sizeof(sysfs), "%s/sys", root);
	snprintf(proc, sizeof(proc), "%s/proc", root);
	if (condition_read(sysfs, proc, 3, condition) != 0)
		exit(1);
}

static void test_case(const struct verdict_case *c)
{
	struct condition condition;
	char name[64];
	char reason[1024];
	char command[1024];
	char stat[] = "71 (bdus) S 1";

	set_up();
	for (size_t i = 0; i < FILES && c->files[i][0] != NULL; i++) {
		snprintf(name, sizeof(name), "sys/block/bdus-3/bdus/%s",
			 c->files[i][0]);
		put(name, c->files[i][1]);
	}
	stat[10] = c->thread;
	put("proc/70/task/71/stat", stat);
	read_device(&condition);
	said(verdict_explain, &condition, reason);
	said(verdict_command, &condition, command);
	ok(verdict_of(&condition) == c->verdict &&
		   strstr(reason, c->reason) != NULL &&
		   strcmp(command, c->command) == 0,
	   "%s: %s: %s", verdict_name(verdict_of(&condition)), reason, command);
	condition_free(&condition);
}

/* What needs counters that change, or names that no file has. */
static void test_values(void)
{
	struct condition condition;
	char text[1024];

	set_up();
	put("sys/block/bdus-3/bdus/in_flight", "2");
	put("sys/block/bdus-3/bdus/oldest_ms", "20000");
	put("sys/block/bdus-3/ro", "1\n");
	read_device(&condition);
	ok(condition.completed == 0, "nothing was completed");
	condition.completed = 7;
	ok(verdict_of(&condition) == VERDICT_LOST &&
		   strstr(said(verdict_explain, &condition, text),
			  "a request that is 20s old"),
	   "one is old: %s", text);
	condition.oldest_ms = 3000;
	ok(verdict_of(&condition) == VERDICT_MOVING, "all are young");
	condition.oldest_ms = ATTRIBUTE_UNKNOWN;
	ok(verdict_of(&condition) == VERDICT_MOVING, "of unknown age");
	snprintf(condition.state, sizeof(condition.state), "waiting");
	condition.n_threads = 0;
	memset(condition.backing, 'x', 255);
	condition.backing[255] = '\0';
	ok(!strcmp(said(verdict_command, &condition, text),
		   "bdus rerun 3 loop --read-only FILE|DEVICE"),
	   "read-only, the name cut off: %s", text);
	condition_free(&condition);
	ok(condition_read("/nowhere", "/proc", 3, &condition) == -ENOENT,
	   "no such device");
}

/* The driver of device 3 writes to device 4. */
static void test_below(void)
{
	static const struct {
		const char *mount;
		const char *waiting;
		const char *command;
	} below[] = {
		{ "29 2 98:0 / / rw - ext4 /dev/bdus-4 rw", "1", "bdus why 4" },
		{ "29 2 98:0 / / rw - xfs /dev/bdus-4p1 rw", "1",
		  "bdus why 4" },
		{ "29 2 98:0 / / rw - ext4 /dev/bdus-4 rw", "0",
		  "bdus destroy --force 3" },
		{ "29 2 98:0 / / rw - ext4 /dev/bdus-5 rw", "1",
		  "bdus destroy --force 3" },
		{ "29 2 98:0 / / rw - ext4 /dev/bdus- rw", "1",
		  "bdus destroy --force 3" },
		{ "29 2 98:0 / / rw - ext4 /dev/bdus-4x rw", "1",
		  "bdus destroy --force 3" },
	};
	struct condition condition;
	char path[PATH_MAX];
	char text[1024];

	set_up();
	put("sys/block/bdus-3/bdus/in_flight", "1");
	put("sys/block/bdus-3/bdus/oldest_ms", "5000");
	put("proc/70/task/71/stat", "71 (bdus) D 1");
	snprintf(text, sizeof(text), "%ld 0x5 0x0", (long)SYS_pwrite64);
	put("proc/70/task/71/syscall", text);
	put("proc/70/task/71/fdinfo/5", "mnt_id:\t29\n");
	put("proc/70/task/71/fd/6", "");
	snprintf(path, sizeof(path), "%s/proc/70/task/71/fd/5", root);
	ok(symlink("/a", path) == 0, "a link for the descriptor");
	for (size_t i = 0; i < sizeof(below) / sizeof(*below); i++) {
		put("proc/70/task/71/mountinfo", below[i].mount);
		put("sys/block/bdus-4/bdus/waiting", below[i].waiting);
		read_device(&condition);
		ok(verdict_of(&condition) == VERDICT_BLOCKED &&
			   !strcmp(said(verdict_command, &condition, text),
				   below[i].command),
		   "on %s: %s", condition.threads[0].mount, text);
		condition_free(&condition);
	}
}

/* A module that is older has not all files; every number stays unknown. */
static void test_unknown(void)
{
	struct condition condition;
	char command[128];

	snprintf(command, sizeof(command), "rm -r '%s/sys'", root);
	if (system(command) != 0)
		exit(1);
	put("sys/block/bdus-3/bdus/state", "live\n");
	read_device(&condition);
	ok(condition.waiting_ms == ATTRIBUTE_UNKNOWN &&
		   condition.completed == ATTRIBUTE_UNKNOWN &&
		   condition.driver[0] == '\0' &&
		   verdict_of(&condition) == VERDICT_IDLE,
	   "nothing is known but the state");
	put("sys/block/bdus-3/bdus/timeout_ms", "99999999999999999999");
	put("sys/block/bdus-3/bdus/oldest_ms", "12x");
	put("sys/block/bdus-3/bdus/attempts", "-3");
	condition_free(&condition);
	read_device(&condition);
	ok(condition.timeout_ms == ATTRIBUTE_UNKNOWN &&
		   condition.oldest_ms == ATTRIBUTE_UNKNOWN &&
		   condition.attempts == ATTRIBUTE_UNKNOWN,
	   "what is no number is not known");
	condition_free(&condition);
}

int main(void)
{
	char command[64];

	if (mkdtemp(root) == NULL) {
		perror(root);
		return 1;
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		test_case(&cases[i]);
	test_values();
	test_below();
	test_unknown();
	snprintf(command, sizeof(command), "rm -r '%s'", root);
	if (system(command) != 0)
		return 1;
	return tap_done();
}
