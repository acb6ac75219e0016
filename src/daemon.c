/* SPDX-License-Identifier: MIT */
/*
 * daemon - going to the background, and readiness.
 *
 * The child does everything, since the kernel ties a session to the process
 * that attached. Until it is ready it shares terminal and process group with
 * the parent, so that Ctrl-C ends both, and a parent that dies takes it along.
 */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "msg.h"

void daemon_fill_stdio(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static int daemon_write_all(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, text, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		length -= (size_t)n;
	}
	return 0;
}

/* The device's path with its newline; nothing if the child failed. */
static size_t daemon_read_path(int fd, char *path, size_t size)
{
	size_t length = 0;

	while (length < size) {
		ssize_t n = read(fd, path + length, size - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		length += (size_t)n;
	}
	return length;
}

static int daemon_reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_FAILED;
	if (WIFSIGNALED(status)) {
		msg_error("the driver was killed by signal %d (%s)",
			  WTERMSIG(status), strsignal(WTERMSIG(status)));
		return EXIT_FAILED;
	}
	/* a child that was told to end before it was ready made no device */
	return WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EXIT_FAILED;
}

/* The parent's part. */
static int daemon_wait(pid_t pid, int fd)
{
	char path[128];
	size_t length = daemon_read_path(fd, path, sizeof(path));
	int error;

	if (length == 0)
		return daemon_reap(pid);
	error = daemon_write_all(STDOUT_FILENO, path, length);
	if (error == 0)
		return EXIT_DONE;
	msg_error("%.*s: made, but cannot print its path: %s", (int)length - 1,
		  path, strerror(-error));
	return EXIT_FAILED;
}

int daemon_fork(struct daemon *daemon, int *code)
{
	pid_t parent = getpid(), pid;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		daemon->parent = fds[1];
		daemon->is_background = true;
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		return getppid() == parent ? 0 : -ECANCELED;
	}
	close(fds[1]);
	if (pid > 0)
		*code = daemon_wait(pid, fds[0]);
	close(fds[0]);
	return pid > 0 ? 1 : -errno;
}

int daemon_write_pidfile(struct daemon *daemon, const char *path)
{
	char text[32];
	int length =
		snprintf(text, sizeof(text), "%ld\n", (long)daemon->main_pid);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int error;

	if (fd < 0)
		return -errno;
	error = daemon_write_all(fd, text, (size_t)length);
	if (error == 0 && fchmod(fd, 0644) != 0)
		error = -errno;
	close(fd);
	if (error == 0) {
		/* the current directory will be another one at the end */
		daemon->pidfile = realpath(path, NULL);
		if (daemon->pidfile == NULL)
			error = -errno;
	}
	if (error != 0)
		unlink(path);
	return error;
}

/* A driver that replaced this one may have written its own there. */
static bool daemon_owns_pidfile(const struct daemon *daemon)
{
	FILE *file = fopen(daemon->pidfile, "re");
	long pid = 0;
	bool is_ours;

	if (file == NULL)
		return false;
	is_ours = fscanf(file, "%ld", &pid) == 1 && pid == daemon->main_pid;
	fclose(file);
	return is_ours;
}

void daemon_remove_pidfile(struct daemon *daemon)
{
	if (daemon->pidfile != NULL && daemon_owns_pidfile(daemon))
		unlink(daemon->pidfile);
	free(daemon->pidfile);
	daemon->pidfile = NULL;
}

int daemon_detach(void)
{
	int null;

	prctl(PR_SET_PDEATHSIG, 0);
	setsid();
	if (chdir("/") != 0)
		return -errno;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -errno;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup2(null, fd) < 0)
			return -errno;
	if (null > STDERR_FILENO)
		close(null);
	return 0;
}

/* Whoever asked for it by descriptor may have gone: no reason to fail. */
static void daemon_tell_fd(int fd, const char *line, size_t length)
{
	int error;

	if (fd < 0)
		return;
	error = daemon_write_all(fd, line, length);
	if (error != 0)
		msg_warn("cannot write to descriptor %d (--ready-fd): %s", fd,
			 strerror(-error));
	close(fd);
}

int daemon_ready(struct daemon *daemon, const char *path, int ready_fd)
{
	int out = daemon->is_background ? daemon->parent : STDOUT_FILENO;
	char line[128];
	size_t length;
	int error = 0;

	snprintf(line, sizeof(line), "%s\n", path);
	length = strlen(line);
	if (daemon->is_background)
		error = daemon_detach();
	if (error != 0)
		return error;
	daemon_tell_fd(ready_fd, line, length);
	snprintf(line, sizeof(line), "READY=1\nMAINPID=%ld\nSTATUS=%s",
		 (long)daemon->main_pid, path);
	daemon_notify(line);
	snprintf(line, sizeof(line), "%s\n", path);
	return daemon_write_all(out, line, length);
}

void daemon_release(struct daemon *daemon)
{
	if (daemon->is_background)
		close(daemon->parent);
}

/* The socket's address: a path, or '@' and a name in the abstract space. */
static socklen_t daemon_notify_address(struct sockaddr_un *address)
{
	const char *name = getenv("NOTIFY_SOCKET");
	size_t length;

	if (name == NULL || (name[0] != '/' && name[0] != '@'))
		return 0;
	length = strlen(name);
	if (length < 2 || length >= sizeof(address->sun_path))
		return 0;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, name, length);
	if (name[0] == '@')
		address->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

void daemon_notify(const char *state)
{
	struct sockaddr_un address;
	socklen_t length = daemon_notify_address(&address);
	int fd;

	if (length == 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, state, strlen(state), MSG_NOSIGNAL,
	       (const struct sockaddr *)&address, length);
	close(fd);
}
