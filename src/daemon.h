/* SPDX-License-Identifier: MIT */
/*
 * daemon.h - going to the background, and telling everybody who asked that
 * the device is usable.
 */
#ifndef BDUS_DAEMON_H
#define BDUS_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * struct daemon - how this process was started, and what it leaves around
 * @is_background: it was forked, and the parent waits for it
 * @parent: writing end of the pipe to the parent
 * @main_pid: the process to be stopped by others
 * @pidfile: absolute path of the pid file, to be freed, or NULL
 */
struct daemon {
	bool is_background;
	int parent;
	pid_t main_pid;
	char *pidfile;
};

/** daemon_fill_stdio - open /dev/null as whatever of 0, 1 and 2 is closed. */
void daemon_fill_stdio(void);

/**
 * daemon_fork - fork the process that will serve; no thread may exist
 * @daemon: filled in
 * @code: in the parent: the exit code to leave with
 *
 * The parent stays until the child is ready, prints the device's path, and
 * then, or when the child fails, has the exit code.
 *
 * Return: in the child 0, in the parent 1; -errno when there is no child.
 */
int daemon_fork(struct daemon *daemon, int *code);

/**
 * daemon_write_pidfile - create or replace the pid file
 * @daemon: remembers it, for daemon_remove_pidfile()
 * @path: of the file; not copied
 *
 * Return: 0 or -errno.
 */
int daemon_write_pidfile(struct daemon *daemon, const char *path);

/** daemon_remove_pidfile - remove it, unless it is another process's now. */
void daemon_remove_pidfile(struct daemon *daemon);

/**
 * daemon_detach - leave terminal, directory and standard streams
 *
 * Return: 0 or -errno.
 */
int daemon_detach(void);

/**
 * daemon_ready - the device is usable: detach and tell it
 * @daemon: as filled in by daemon_fork()
 * @path: of the device
 * @ready_fd: descriptor to write it to and to close, or -1
 *
 * A child detaches from terminal, directory and standard streams first. Its
 * parent stays until daemon_release().
 *
 * Return: 0 or -errno (nobody learnt of the device).
 */
int daemon_ready(struct daemon *daemon, const char *path, int ready_fd);

/** daemon_release - let the parent, which has the path by now, or none, go. */
void daemon_release(struct daemon *daemon);

/** daemon_notify - tell systemd, if it asked; errors have no consequence. */
void daemon_notify(const char *state);

#endif /* BDUS_DAEMON_H */
