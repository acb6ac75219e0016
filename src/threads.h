/* SPDX-License-Identifier: MIT */
/*
 * threads.h - what the threads of a process are doing, from /proc.
 *
 * Reads only what the kernel answers without the process' help or its memory,
 * so a process that hangs does not make its reader hang.
 */
#ifndef BDUS_THREADS_H
#define BDUS_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/** THREAD_NO_SYSCALL - in none, or the reader may not see which. */
#define THREAD_NO_SYSCALL (-1)

/**
 * struct thread - a thread
 * @tid: its id
 * @state: the letter of proc(5): R, S, D, T, t, Z ...; '?': unknown
 * @name: its name
 * @wchan: the kernel's function that it sleeps in, "" when not known
 * @syscall: number of the system call that it is in, or %THREAD_NO_SYSCALL
 * @fd: file descriptor that the system call is about, or -1
 * @file: what @fd is, a path or as "[kbdus-queue]", or ""
 * @mount: of a blocked thread: what @file's file system is, "ext4 on /dev/sdb";
 *	"" when it is not a file in one, or not to be seen
 * @stack: the innermost functions of a blocked thread in the kernel,
 *	separated by blanks; "" when it is not blocked, or not to be seen
 */
struct thread {
	pid_t tid;
	char state;
	char name[64];
	char wchan[64];
	long syscall;
	int fd;
	char file[512];
	char mount[512];
	char stack[512];
};

/**
 * threads_read - look at all threads of a process
 * @proc: "/proc", or what stands in for it in a test
 * @pid: the process
 * @threads: where to store the array, those to be looked at first at the
 *	front: blocked, running, stopped, asleep, waiting for requests; to be
 *	freed by the caller
 * @count: where to store their number
 *
 * Return: 0 or -errno (ENOENT: no such process).
 */
int threads_read(const char *proc, pid_t pid, struct thread **threads,
		 size_t *count);

/** thread_is_waiting - does it wait for requests of a device? */
bool thread_is_waiting(const struct thread *thread);

/** thread_syscall_name - "pwrite64", or "" for those not often met. */
const char *thread_syscall_name(const struct thread *thread);

/**
 * thread_describe - say what it does: "blocked in the kernel: writes disk.img"
 * @thread: the thread
 * @text: where to store it, cut off where @size ends
 * @size: room in @text
 */
void thread_describe(const struct thread *thread, char *text, size_t size);

/**
 * thread_parse_stat - read name and state from a line of /proc/.../stat
 * @line: "12 (a name) S 1 ..."; the name may hold anything, brackets too
 * @thread: to be filled in
 *
 * Return: 0 or -EINVAL, and then nothing was changed.
 */
int thread_parse_stat(const char *line, struct thread *thread);

/**
 * thread_parse_syscall - read the line of /proc/.../syscall
 * @line: "16 0x3 0x...", "running" or "-1 0x... 0x..."
 * @thread: syscall and fd are filled in
 *
 * Return: 0 or -EINVAL, and then it is in no system call.
 */
int thread_parse_syscall(const char *line, struct thread *thread);

/**
 * thread_parse_mount - read type and source from a line of /proc/.../mountinfo
 * @line: "36 35 98:0 / /mnt rw - ext4 /dev/sdb rw"
 * @mount_id: the first number of the line that is meant
 * @thread: mount is filled in
 *
 * Return: whether it is that line.
 */
bool thread_parse_mount(const char *line, long mount_id, struct thread *thread);

/**
 * thread_parse_stack - read the innermost functions from /proc/.../stack
 * @lines: "[<0>] name+0x12/0x34 [module]", one a line
 * @thread: stack is filled in
 */
void thread_parse_stack(const char *lines, struct thread *thread);

#endif /* BDUS_THREADS_H */
