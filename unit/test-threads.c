/* SPDX-License-Identifier: MIT */
/*
 * test-threads - what threads do, from lines and from a made-up /proc.
 */
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tap.h"
#include "threads.h"

static char proc[] = "/tmp/bdus-test-threads-XXXXXX";

static void test_stat(void)
{
	static const struct {
		const char *line;
		char state;
		const char *name;
	} cases[] = {
		{ "12 (bdus) S 1 12 12 0 -1", 'S', "bdus" },
		{ "12 (a b) D 1", 'D', "a b" },
		{ "12 () T 1", 'T', "" },
		{ "12 (x) S (y) R 1", 'R', "x) S (y" },
		{ "12 (\xff\n) t", 't', "\xff\n" },
		{ "", 0, NULL },
		{ "12", 0, NULL },
		{ "12 (bdus", 0, NULL },
		{ "12 (bdus)", 0, NULL },
		{ "12 (bdus) ", 0, NULL },
		{ "12 (bdus) ?", 0, NULL },
		{ ") (", 0, NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct thread thread = { .state = '-', .name = "before" };
		int error = thread_parse_stat(cases[i].line, &thread);

		ok(cases[i].name != NULL ?
			   error == 0 && thread.state == cases[i].state &&
				   !strcmp(thread.name, cases[i].name) :
			   error == -EINVAL && thread.state == '-' &&
				   !strcmp(thread.name, "before"),
		   "stat %zu", i);
	}
}

static void test_long_name(void)
{
	char line[512];
	struct thread thread;

	memset(line, 'x', sizeof(line));
	line[0] = '(';
	snprintf(line + 400, sizeof(line) - 400, ") R 1");
	ok(thread_parse_stat(line, &thread) == 0 && thread.state == 'R' &&
		   strlen(thread.name) == sizeof(thread.name) - 1,
	   "a name that is too long is cut");
}

static void test_syscall(void)
{
	static const struct {
		const char *line;
		int error;
		long number;
		int fd;
	} cases[] = {
		{ "running\n", 0, -1, -1 },
		{ "-1 0x7ffd5ca0 0x7f00\n", 0, -1, -1 },
		{ "17 0x3 0x7f00 0x1000 0x0 0x0 0x0 0x7f 0x7f\n", 0, 17, 3 },
		{ "16 0xffffffff 0x0\n", 0, 16, -1 },
		{ "16 0xffffffffffffff9c 0x0\n", 0, 16, -1 },
		{ "202 0x3 0x0\n", 0, 202, -1 },
		{ "9999 0x3 0x0\n", 0, 9999, -1 },
		{ "", -EINVAL, -1, -1 },
		{ "16", -EINVAL, -1, -1 },
		{ "16 ", -EINVAL, -1, -1 },
		{ "16 x", -EINVAL, -1, -1 },
		{ "16 0x3", -EINVAL, -1, -1 },
		{ "16 0x10000000000000000 ", -EINVAL, -1, -1 },
		{ "-2 0x3 0x0", -EINVAL, -1, -1 },
		{ "99999999999999999999 0x3 ", -EINVAL, -1, -1 },
		{ "junk", -EINVAL, -1, -1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct thread thread = { .syscall = 1, .fd = 1 };
		int error = thread_parse_syscall(cases[i].line, &thread);

		ok(error == cases[i].error &&
			   thread.syscall == cases[i].number &&
			   thread.fd == cases[i].fd,
		   "syscall %zu: %d, %ld, %d", i, error, thread.syscall,
		   thread.fd);
	}
}

static void test_stack(void)
{
	static const struct {
		const char *lines;
		const char *stack;
	} cases[] = {
		{ "", "" },
		{ "junk", "" },
		{ "[<0>] a+0x1/0x2\n", "a" },
		{ "[<0>] a+0x1/0x2\n[<0>] b.part.0+0x1/0x2 [ext4]\n[<0>] c",
		  "a b.part.0 c" },
		{ "[<0>] 1+0\n[<0>] 2\n[<0>] 3\n[<0>] 4\n[<0>] 5\n[<0>] 6\n"
		  "[<0>] 7\n",
		  "1 2 3 4 5 6" },
		{ "[<0>] ", "" },
	};
	struct thread thread;
	char line[2048];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		thread_parse_stack(cases[i].lines, &thread);
		ok(!strcmp(thread.stack, cases[i].stack), "stack %zu: '%s'", i,
		   thread.stack);
	}
	memset(line, 'x', sizeof(line));
	memcpy(line, "[<0>] ", 6);
	line[sizeof(line) - 1] = '\0';
	thread_parse_stack(line, &thread);
	ok(thread.stack[0] == '\0', "a function that is too long");
}

static void test_mount(void)
{
	static const struct {
		const char *line;
		const char *mount;
	} cases[] = {
		{ "36 35 98:0 / /mnt rw shared:1 - ext4 /dev/sdb rw\n",
		  "ext4 on /dev/sdb" },
		{ "36 35 98:0 / /mnt rw - nfs a:/b\\040c",
		  "nfs on a:/b\\040c" },
		{ "36 35 98:0 / /mnt rw - tmpfs  rw", "tmpfs on " },
		{ "37 36 98:0 / /mnt rw - ext4 /dev/sdb rw", "" },
		{ "36 35 98:0 / /mnt rw - ext4", "" },
		{ "36 35 98:0 / /mnt rw", "" },
		{ "36", "" },
		{ "", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct thread thread = { .mount = "" };
		bool is_it = thread_parse_mount(cases[i].line, 36, &thread);

		ok(is_it == (cases[i].mount[0] != '\0') &&
			   !strcmp(thread.mount, cases[i].mount),
		   "mount %zu: '%s'", i, thread.mount);
	}
}

/* Creates a file of a thread of process 7, with its directories. */
static void put(const char *tid, const char *name, const char *content)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/7/task/%s/%s", proc, tid, name);
	for (char *c = path + strlen(proc) + 1; (c = strchr(c, '/')); c++) {
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

static void put_fd(const char *tid, const char *fd, const char *target)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "fd/%s", fd);
	put(tid, path, "");
	snprintf(path, sizeof(path), "%s/7/task/%s/fd/%s", proc, tid, fd);
	unlink(path);
	if (symlink(target, path) != 0)
		perror(path);
}

static void put_thread(const char *tid, char state, long number)
{
	char text[64];

	snprintf(text, sizeof(text), "%s (bdus) %c 1", tid, state);
	put(tid, "stat", text);
	if (number < 0)
		return;
	snprintf(text, sizeof(text), "%ld 0x5 0x0 0x0\n", number);
	put(tid, "syscall", text);
}

static void make_threads(void)
{
	put_thread("7", 'S', SYS_rt_sigtimedwait);
	put("7", "wchan", "do_sigtimedwait");
	put_thread("8", 'S', SYS_ioctl);
	put_fd("8", "5", "anon_inode:[kbdus-queue]");
	put_thread("9", 'D', SYS_pwrite64);
	put_fd("9", "5", "/mnt/a file");
	put("9", "stack", "[<0>] percpu_rwsem_wait+0x1/0x2\n[<0>] vfs_write\n");
	put("9", "fdinfo/5", "pos:\t0\nflags:\t02\nmnt_id:\t29\nino:\t12\n");
	put("9", "mountinfo",
	    "2 1 98:0 / / rw - ext4 /dev/sda rw\n"
	    "29 2 98:0 / /mnt rw - ext4 /dev/bdus-0 rw\n");
	put_thread("10", 'R', -1);
	put("10", "syscall", "running\n");
	put_thread("11", 'S', -1);
	put_thread("12", 'D', SYS_ioctl);
	put_fd("12", "5", "anon_inode:[kbdus-queue]");
	put_thread("13", 'S', 9999);
	put_thread("14", 'T', SYS_ioctl);
	put("15", "wchan", "");
}

static void test_proc(void)
{
	static const struct {
		pid_t tid;
		const char *text;
	} expected[] = {
		{ 9, "is blocked in the kernel: it writes /mnt/a file" },
		{ 12, "is blocked in the kernel, moving data of requests" },
		{ 10, "runs" },
		{ 14, "is stopped" },
		{ 7, "sleeps: it waits for a signal" },
		{ 11, "sleeps" },
		{ 13, "sleeps, in system call 9999" },
		{ 8, "waits for requests" },
	};
	struct thread *threads;
	size_t count;
	char text[128];

	make_threads();
	if (!ok(threads_read(proc, 7, &threads, &count) == 0 && count == 8,
		"all threads but the one that is gone"))
		return;
	for (size_t i = 0; i < count; i++) {
		thread_describe(&threads[i], text, sizeof(text));
		ok(threads[i].tid == expected[i].tid &&
			   !strcmp(text, expected[i].text),
		   "thread %d %s", (int)threads[i].tid, text);
	}
	ok(!strcmp(threads[0].stack, "percpu_rwsem_wait vfs_write") &&
		   !strcmp(thread_syscall_name(&threads[0]), "pwrite64"),
	   "its stack and its system call");
	ok(!strcmp(threads[0].mount, "ext4 on /dev/bdus-0") &&
		   threads[1].mount[0] == '\0',
	   "its file system");
	ok(!strcmp(threads[4].wchan, "do_sigtimedwait") &&
		   threads[4].stack[0] == '\0',
	   "what a thread sleeps in");
	free(threads);
	ok(threads_read(proc, 8, &threads, &count) == -ENOENT && count == 0 &&
		   threads == NULL,
	   "no such process");
	ok(threads_read("/proc", getpid(), &threads, &count) == 0 && count > 0,
	   "this process");
	free(threads);
}

int main(void)
{
	char command[64];

	if (mkdtemp(proc) == NULL) {
		perror(proc);
		return 1;
	}
	test_stat();
	test_long_name();
	test_syscall();
	test_stack();
	test_mount();
	test_proc();
	snprintf(command, sizeof(command), "rm -r '%s'", proc);
	if (system(command) != 0)
		return 1;
	return tap_done();
}
