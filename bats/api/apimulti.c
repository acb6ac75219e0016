/* SPDX-License-Identifier: MIT */
/*
 * apimulti - several devices in one process, each on a thread of its own; the
 * process stays until it is killed.
 *
 *	apimulti N
 *
 * Each disk is full of its own number. A thread whose bdus_run() fails says so.
 */
#define _GNU_SOURCE 1
#include <bdus.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_DISKS 16

static int multi_read(char *buffer, uint64_t offset, uint32_t size,
		      struct bdus_ctx *ctx)
{
	(void)offset;
	memset(buffer, *(const char *)ctx->private_data, size);
	return 0;
}

static void *run(void *number)
{
	const struct bdus_ops ops = { .read = multi_read };
	const struct bdus_attrs attrs = { .size = 1 << 20,
					  .dont_daemonize = true };

	if (!bdus_run(&ops, &attrs, number))
		fprintf(stderr, "%s\n", bdus_get_error_message());
	return NULL;
}

int main(int argc, char **argv)
{
	static char numbers[MAX_DISKS];
	pthread_t thread;
	int n = argc > 1 ? atoi(argv[1]) : 2;

	for (int i = 0; i < n && i < MAX_DISKS; i++) {
		numbers[i] = (char)('1' + i);
		if (pthread_create(&thread, NULL, run, &numbers[i]) != 0)
			return 1;
		pthread_detach(thread);
	}
	for (;;)
		pause();
}
