/* SPDX-License-Identifier: MIT */
/*
 * daemonize - the process that serves, and the parent that waits for it.
 *
 * The child does everything, since the kernel ties a session to the process
 * that attached. A byte through the socket says that it is ready; the end
 * without one, that it failed and tells so itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api.h"
#include "daemon.h"

static int daemonize_status(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_FAILURE;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void __attribute__((noreturn)) daemonize_wait(pid_t pid, int fd)
{
	ssize_t n;
	char ready;

	do
		n = read(fd, &ready, 1);
	while (n < 0 && errno == EINTR);
	_exit(n == 1 ? EXIT_SUCCESS : daemonize_status(pid));
}

int daemonize_fork(struct api *api)
{
	pid_t parent = getpid(), pid;
	int fds[2];

	/* or the socket could be one of the three, which become /dev/null */
	daemon_fill_stdio();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		return errno;
	/* what is buffered is printed once, and by the parent's streams */
	fflush(stdout);
	fflush(stderr);
	pid = fork();
	if (pid < 0) {
		int error = errno;

		close(fds[0]);
		close(fds[1]);
		return error;
	}
	if (pid > 0) {
		close(fds[1]);
		daemonize_wait(pid, fds[0]);
	}
	close(fds[0]);
	api->parent = fds[1];
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	return getppid() == parent ? 0 : ECANCELED;
}

static int daemonize_point_to_null(void)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0)
		return errno;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fd != null && dup2(null, fd) < 0) {
			int error = errno;

			close(null);
			return error;
		}
	if (null > STDERR_FILENO)
		close(null);
	return 0;
}

int daemonize_ready(struct api *api)
{
	ssize_t n;
	int error;

	prctl(PR_SET_PDEATHSIG, 0);
	setsid();
	fflush(stdout);
	fflush(stderr);
	error = daemonize_point_to_null();
	if (error != 0)
		return error;
	/* a parent that is gone does not mind */
	n = send(api->parent, "", 1, MSG_NOSIGNAL);
	(void)n;
	close(api->parent);
	api->parent = -1;
	return 0;
}
