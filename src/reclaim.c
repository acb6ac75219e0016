/* SPDX-License-Identifier: MIT */
/*
 * reclaim - serving I/O while memory is short.
 */
#include "reclaim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "msg.h"
#include "privilege.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4
#endif
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* Under a limit, some later mapping would fail for being locked. */
static bool reclaim_may_lock(void)
{
	struct rlimit limit;

	return privilege_has(CAP_IPC_LOCK) ||
	       (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
		limit.rlim_cur == RLIM_INFINITY);
}

int reclaim_lock(void)
{
	if (!reclaim_may_lock())
		return -EPERM;
	/*
	 * Two calls, since each flag of the first applies to all it covers:
	 * populate what there is, and only what is used of what comes.
	 */
	if (mlockall(MCL_CURRENT) != 0)
		return -errno;
	if (mlockall(MCL_FUTURE | MCL_ONFAULT) != 0)
		return -errno;
	return 0;
}

int reclaim_populate(void *addr, size_t size)
{
	while (madvise(addr, size, MADV_POPULATE_WRITE) != 0) {
		/* EFAULT: a fault could not be served, for want of memory */
		if (errno == EFAULT)
			return -ENOMEM;
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
	return 0;
}

/* Best effort: in a container it may be read-only, in a chroot absent. */
static void reclaim_avoid_oom_killer(void)
{
	static const char score[] = "-1000";
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	ssize_t written;

	if (fd < 0)
		return;
	written = write(fd, score, sizeof(score) - 1);
	(void)written;
	close(fd);
}

void reclaim_protect(void)
{
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0)
		msg_warn("cannot mark this process as serving I/O "
			 "(PR_SET_IO_FLUSHER): %s",
			 strerror(errno));
	reclaim_avoid_oom_killer();
}
