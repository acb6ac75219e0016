/* SPDX-License-Identifier: MIT */
/*
 * nowait DEVICE N - read one block N times with RWF_NOWAIT, as AIO requests, so
 * that the ones before stay in flight. Prints "again" when the last one ends
 * at once, with EAGAIN.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NOWAIT 0x8 /* RWF_NOWAIT of linux/fs.h */

static void fail(const char *what)
{
	fprintf(stderr, "nowait: %s: %s\n", what, strerror(errno));
	exit(1);
}

int main(int argc, char **argv)
{
	long n = argc == 3 ? atol(argv[2]) : 0;
	struct timespec limit = { .tv_sec = 5 };
	aio_context_t context = 0;
	struct io_event event;
	struct iocb *iocbs;
	void *block;
	int fd;

	if (n < 1) {
		fprintf(stderr, "usage: nowait DEVICE REQUESTS\n");
		return 2;
	}
	block = aligned_alloc(4096, 4096);
	iocbs = calloc((size_t)n, sizeof(*iocbs));
	fd = open(argv[1], O_RDONLY | O_DIRECT);
	if (fd < 0 || !block || !iocbs || syscall(SYS_io_setup, n, &context))
		fail("set-up");
	for (long i = 0; i < n; i++) {
		struct iocb *iocb = &iocbs[i];

		iocb->aio_lio_opcode = IOCB_CMD_PREAD;
		iocb->aio_fildes = (uint32_t)fd;
		iocb->aio_buf = (uintptr_t)block;
		iocb->aio_nbytes = 4096;
		iocb->aio_rw_flags = NOWAIT;
		if (syscall(SYS_io_submit, context, 1, &iocb) != 1)
			fail("io_submit");
	}
	if (syscall(SYS_io_getevents, context, 1, 1, &event, &limit) != 1)
		fail("no request has ended");
	if (event.res != -EAGAIN || event.obj != (uintptr_t)&iocbs[n - 1])
		fail("another request, or another error than EAGAIN");
	puts("again");
	/* the others end with the device; the kernel waits for them at exit */
	return fflush(stdout) != 0;
}
