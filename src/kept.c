/* SPDX-License-Identifier: MIT */
/*
 * kept - a descriptor that outlives the driver: the lock on its backing.
 */
#include "kept.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

int kept_publish(int fd)
{
	int error = 0;

	if (fd == KEPT_FD)
		return 0;
	if (dup3(fd, KEPT_FD, O_CLOEXEC) < 0)
		error = -errno;
	close(fd);
	return error;
}

int kept_take(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int fd, error;

	if (pidfd < 0)
		return -errno;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, KEPT_FD, 0);
	error = fd < 0 ? -errno : kept_publish(fd);
	close(pidfd);
	return error;
}
