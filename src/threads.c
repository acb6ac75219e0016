/* SPDX-License-Identifier: MIT */
/*
 * threads - what the threads of a process are doing, from /proc.
 *
 * cmdline, maps and the like are left alone: they wait for the lock of the
 * process' memory, which a thread that is blocked in the kernel may hold.
 */
#include "threads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREAD_FRAMES 6
#define THREAD_QUEUE "[kbdus-queue]"

/* System calls that drivers are met in; @has_fd: their first argument is one */
static const struct call {
	long number;
	const char *name;
	const char *verb;
	bool has_fd;
} calls[] = {
	{ SYS_read, "read", "reads", true },
	{ SYS_write, "write", "writes", true },
	{ SYS_pread64, "pread64", "reads", true },
	{ SYS_pwrite64, "pwrite64", "writes", true },
	{ SYS_readv, "readv", "reads", true },
	{ SYS_writev, "writev", "writes", true },
	{ SYS_preadv, "preadv", "reads", true },
	{ SYS_pwritev, "pwritev", "writes", true },
	{ SYS_preadv2, "preadv2", "reads", true },
	{ SYS_pwritev2, "pwritev2", "writes", true },
	{ SYS_sendfile, "sendfile", "writes", true },
	{ SYS_fsync, "fsync", "syncs", true },
	{ SYS_fdatasync, "fdatasync", "syncs", true },
	{ SYS_sync_file_range, "sync_file_range", "syncs", true },
	{ SYS_fallocate, "fallocate", "makes or frees space in", true },
	{ SYS_ftruncate, "ftruncate", "resizes", true },
	{ SYS_ioctl, "ioctl", "is in an ioctl of", true },
	{ SYS_close, "close", "closes", true },
	{ SYS_io_uring_enter, "io_uring_enter", "waits for its I/O", false },
	{ SYS_io_getevents, "io_getevents", "waits for its I/O", false },
	{ SYS_recvfrom, "recvfrom", "receives from", true },
	{ SYS_sendto, "sendto", "sends to", true },
	{ SYS_recvmsg, "recvmsg", "receives from", true },
	{ SYS_sendmsg, "sendmsg", "sends to", true },
	{ SYS_accept4, "accept4", "waits for a connection on", true },
	{ SYS_ppoll, "ppoll", "waits for events", false },
	{ SYS_pselect6, "pselect6", "waits for events", false },
	{ SYS_epoll_pwait, "epoll_pwait", "waits for events", false },
#ifdef SYS_poll
	{ SYS_poll, "poll", "waits for events", false },
	{ SYS_select, "select", "waits for events", false },
	{ SYS_epoll_wait, "epoll_wait", "waits for events", false },
	{ SYS_pause, "pause", "waits for a signal", false },
	{ SYS_open, "open", "opens a file", false },
#endif
	{ SYS_openat, "openat", "opens a file", false },
	{ SYS_futex, "futex", "waits for another thread", false },
	{ SYS_nanosleep, "nanosleep", "sleeps for a time", false },
	{ SYS_clock_nanosleep, "clock_nanosleep", "sleeps for a time", false },
	{ SYS_rt_sigtimedwait, "rt_sigtimedwait", "waits for a signal", false },
	{ SYS_rt_sigsuspend, "rt_sigsuspend", "waits for a signal", false },
	{ SYS_restart_syscall, "restart_syscall", "sleeps for a time", false },
	{ SYS_wait4, "wait4", "waits for a child", false },
	{ SYS_waitid, "waitid", "waits for a child", false },
	{ SYS_mmap, "mmap", "maps memory", false },
	{ SYS_munmap, "munmap", "unmaps memory", false },
	{ SYS_madvise, "madvise", "gives memory back", false },
	{ SYS_exit, "exit", "ends", false },
	{ SYS_exit_group, "exit_group", "ends", false },
};

static const struct call *call_find(long number)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (calls[i].number == number)
			return &calls[i];
	return NULL;
}

/* Reads a small file of /proc; "" when that cannot be done. */
static void read_file(const char *dir, const char *name, char *text,
		      size_t size)
{
	char path[PATH_MAX];
	ssize_t n = -1;
	int fd = -1;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) < PATH_MAX)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, size - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
}

int thread_parse_stat(const char *line, struct thread *thread)
{
	const char *open = strchr(line, '(');
	const char *end = strrchr(line, ')');

	if (open == NULL || end == NULL || end < open || end[1] != ' ' ||
	    strchr("RSDTtZXxKWPI", end[2]) == NULL || end[2] == '\0')
		return -EINVAL;
	snprintf(thread->name, sizeof(thread->name), "%.*s",
		 (int)(end - open - 1), open + 1);
	thread->state = end[2];
	return 0;
}

int thread_parse_syscall(const char *line, struct thread *thread)
{
	const struct call *call;
	char *end;
	char *word;
	long number;
	unsigned long arg;

	thread->syscall = THREAD_NO_SYSCALL;
	thread->fd = -1;
	if (strncmp(line, "running", 7) == 0)
		return 0;
	errno = 0;
	number = strtol(line, &end, 10);
	if (errno != 0 || end == line || *end != ' ' || number < -1)
		return -EINVAL;
	word = end;
	arg = strtoul(word, &end, 16);
	if (errno != 0 || end == word || *end != ' ')
		return -EINVAL;
	thread->syscall = number;
	call = call_find(number);
	if (call != NULL && call->has_fd && (int)arg >= 0)
		thread->fd = (int)arg;
	return 0;
}

void thread_parse_stack(const char *lines, struct thread *thread)
{
	size_t length = 0;

	thread->stack[0] = '\0';
	for (int i = 0; i < THREAD_FRAMES && lines != NULL; i++) {
		const char *name = strstr(lines, "] ");
		size_t n = name != NULL ? strcspn(name + 2, "+\n") : 0;

		if (n == 0 || length + n + 2 > sizeof(thread->stack))
			return;
		length += (size_t)snprintf(
			thread->stack + length, sizeof(thread->stack) - length,
			"%s%.*s", length > 0 ? " " : "", (int)n, name + 2);
		lines = strchr(name, '\n');
	}
}

/* The name of a descriptor; readlink() does not touch what is behind it. */
static void read_fd(const char *dir, struct thread *thread)
{
	char path[PATH_MAX];
	ssize_t n = -1;

	if (thread->fd >= 0 && snprintf(path, sizeof(path), "%s/fd/%d", dir,
					thread->fd) < PATH_MAX)
		n = readlink(path, thread->file, sizeof(thread->file) - 1);
	thread->file[n > 0 ? n : 0] = '\0';
	if (strncmp(thread->file, "anon_inode:", 11) == 0)
		memmove(thread->file, thread->file + 11,
			strlen(thread->file + 11) + 1);
}

bool thread_parse_mount(const char *line, long mount_id, struct thread *thread)
{
	const char *dash = strstr(line, " - ");
	char *end;
	size_t type;
	size_t source;

	if (strtol(line, &end, 10) != mount_id || end == line || *end != ' ' ||
	    dash == NULL)
		return false;
	dash += 3;
	type = strcspn(dash, " \n");
	if (dash[type] != ' ')
		return false;
	source = strcspn(dash + type + 1, " \n");
	snprintf(thread->mount, sizeof(thread->mount), "%.*s on %.*s",
		 (int)type, dash, (int)source, dash + type + 1);
	return true;
}

/* The file system of the thread's file; a device node's is of no interest. */
static void read_mount(const char *dir, struct thread *thread)
{
	char path[PATH_MAX];
	char text[4096];
	char *line = NULL;
	const char *id;
	size_t size = 0;
	FILE *file;

	if (thread->file[0] != '/' || strncmp(thread->file, "/dev/", 5) == 0)
		return;
	snprintf(path, sizeof(path), "fdinfo/%d", thread->fd);
	read_file(dir, path, text, sizeof(text));
	id = strstr(text, "mnt_id:");
	if (id == NULL ||
	    snprintf(path, sizeof(path), "%s/mountinfo", dir) >= PATH_MAX)
		return;
	file = fopen(path, "re");
	if (file == NULL)
		return;
	while (getline(&line, &size, file) > 0 &&
	       !thread_parse_mount(line, strtol(id + 7, NULL, 10), thread))
		;
	free(line);
	fclose(file);
}

/* False: the thread is gone. */
static bool thread_read(const char *dir, struct thread *thread)
{
	char text[4096];

	read_file(dir, "stat", text, sizeof(text));
	if (*text == '\0')
		return false;
	thread->state = '?';
	thread_parse_stat(text, thread);
	read_file(dir, "wchan", thread->wchan, sizeof(thread->wchan));
	if (strcmp(thread->wchan, "0") == 0)
		thread->wchan[0] = '\0';
	read_file(dir, "syscall", text, sizeof(text));
	thread_parse_syscall(text, thread);
	read_fd(dir, thread);
	if (thread->state != 'D')
		return true;
	read_file(dir, "stack", text, sizeof(text));
	thread_parse_stack(text, thread);
	read_mount(dir, thread);
	return true;
}

/* Those that may be what the device waits for come first. */
static int thread_rank(const struct thread *thread)
{
	static const char order[] = "DRTtSPI";
	const char *place = strchr(order, thread->state);

	if (thread_is_waiting(thread))
		return sizeof(order) + 1;
	return place != NULL ? (int)(place - order) : (int)sizeof(order);
}

static int thread_compare(const void *a, const void *b)
{
	const struct thread *x = a;
	const struct thread *y = b;
	int rank = thread_rank(x) - thread_rank(y);

	return rank != 0 ? rank : (x->tid > y->tid) - (x->tid < y->tid);
}

/* Adds thread @name of the process' folder @task, unless it is gone. */
static int threads_add(const char *task, const char *name,
		       struct thread **threads, size_t *count)
{
	char dir[PATH_MAX];
	struct thread *more =
		realloc(*threads, (*count + 1) * sizeof(**threads));

	if (more == NULL)
		return -ENOMEM;
	*threads = more;
	memset(&more[*count], 0, sizeof(*more));
	more[*count].tid = (pid_t)atol(name);
	if (snprintf(dir, sizeof(dir), "%s/%s", task, name) < PATH_MAX &&
	    thread_read(dir, &more[*count]))
		(*count)++;
	return 0;
}

int threads_read(const char *proc, pid_t pid, struct thread **threads,
		 size_t *count)
{
	char task[PATH_MAX - NAME_MAX];
	struct dirent *entry;
	int error = 0;
	DIR *dir;

	*threads = NULL;
	*count = 0;
	snprintf(task, sizeof(task), "%s/%ld/task", proc, (long)pid);
	dir = opendir(task);
	if (dir == NULL)
		return -errno;
	while (error == 0 && (entry = readdir(dir)) != NULL)
		if (strspn(entry->d_name, "0123456789") > 0)
			error = threads_add(task, entry->d_name, threads,
					    count);
	closedir(dir);
	if (error != 0) {
		free(*threads);
		*threads = NULL;
		*count = 0;
		return error;
	}
	if (*count > 0)
		qsort(*threads, *count, sizeof(**threads), thread_compare);
	return 0;
}

bool thread_is_waiting(const struct thread *thread)
{
	return thread->state == 'S' && thread->syscall == SYS_ioctl &&
	       strcmp(thread->file, THREAD_QUEUE) == 0;
}

const char *thread_syscall_name(const struct thread *thread)
{
	const struct call *call = call_find(thread->syscall);

	return call != NULL ? call->name : "";
}

static const char *state_words(char state)
{
	static const struct {
		char state;
		const char *words;
	} states[] = {
		{ 'R', "runs" },
		{ 'S', "sleeps" },
		{ 'D', "is blocked in the kernel" },
		{ 'T', "is stopped" },
		{ 't', "is stopped by a debugger" },
		{ 'Z', "has ended" },
		{ 'X', "has ended" },
	};

	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
		if (states[i].state == state)
			return states[i].words;
	return "is in an unknown state";
}

void thread_describe(const struct thread *thread, char *text, size_t size)
{
	const struct call *call = call_find(thread->syscall);
	const char *state = state_words(thread->state);
	bool is_stopped = thread->state == 'T' || thread->state == 't';
	const char *file = thread->file;

	if (thread_is_waiting(thread))
		snprintf(text, size, "waits for requests");
	else if (is_stopped || thread->syscall == THREAD_NO_SYSCALL)
		snprintf(text, size, "%s", state);
	else if (call == NULL)
		snprintf(text, size, "%s, in system call %ld", state,
			 thread->syscall);
	else if (strcmp(file, THREAD_QUEUE) == 0)
		snprintf(text, size, "%s, moving data of requests", state);
	else if (call->has_fd)
		snprintf(text, size, "%s: it %s %s", state, call->verb,
			 *file != '\0' ? file : "a file");
	else
		snprintf(text, size, "%s: it %s", state, call->verb);
}
