/* SPDX-License-Identifier: MIT */
/*
 * gap - how long a device answers nothing.
 *
 *	gap DEVICE THREADS
 *
 * Threads read random blocks with O_DIRECT, one after the other each. For every
 * line on stdin, prints the longest time between two completions, of whatever
 * threads, since the line before, in microseconds. Ends with stdin; fails when
 * a read does.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096

static int fd;
static uint64_t n_blocks;
static _Atomic uint64_t last, longest;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void note_completion(void)
{
	uint64_t now = now_ns();
	uint64_t before = atomic_exchange(&last, now);
	uint64_t gap = now > before ? now - before : 0;
	uint64_t old = atomic_load(&longest);

	while (gap > old && !atomic_compare_exchange_weak(&longest, &old, gap))
		;
}

static void *read_blocks(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;
	void *block;

	if (posix_memalign(&block, BLOCK, BLOCK) != 0)
		exit(1);
	for (;;) {
		uint64_t n = (uint64_t)rand_r(&seed) % n_blocks;

		if (pread(fd, block, BLOCK, (off_t)(n * BLOCK)) != BLOCK) {
			perror("gap: read");
			exit(1);
		}
		note_completion();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	char line[64];
	off_t end;

	if (argc != 3)
		return 2;
	fd = open(argv[1], O_RDONLY | O_DIRECT);
	end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	if (end < BLOCK) {
		perror(argv[1]);
		return 1;
	}
	n_blocks = (uint64_t)end / BLOCK;
	last = now_ns();
	for (int i = 0; i < atoi(argv[2]); i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, read_blocks,
				   (void *)(uintptr_t)(i + 1)) != 0)
			return 1;
	}
	while (fgets(line, sizeof(line), stdin) != NULL) {
		printf("%" PRIu64 "\n", atomic_exchange(&longest, 0) / 1000);
		fflush(stdout);
	}
	return 0;
}
