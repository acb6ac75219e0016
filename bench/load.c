/* SPDX-License-Identifier: MIT */
/*
 * load - a load generator that costs little itself.
 *
 *	load [OPTION]... DEVICE
 *
 * O_DIRECT through one io_uring with a registered file and registered buffers:
 * all free slots are submitted and one completion is waited for with the same
 * system call, as a client with a queue does. Every completion must have the
 * full length. Prints nanoseconds per I/O; in a VM whose clock counts
 * instructions, these are guest instructions per I/O, the client's included.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "data.h"
#include "ring.h"

#define MAX_DEPTH 256U
#define POOL (16U << 20) /* of data that is written */
#define WARM_UP 8U	 /* the first of so many parts is not counted */

struct load {
	const char *path;
	bool is_write, is_seq;
	unsigned int block, depth;
	uint64_t count, span; /* 0: the whole device */
	double seconds;	      /* 0: until count */
	uint64_t seed;
	unsigned int percent; /* of the data that can be packed away */
	unsigned int setup_flags;
	bool is_verbose;

	struct ring ring;
	int fd;
	unsigned char *buffers;
	size_t n_bytes;
	uint64_t n_blocks, next, next_data;
	uint64_t submitted, completed, n_enters;
};

static const char usage[] =
	"usage: load [OPTION]... DEVICE\n"
	"  --write          write, else read\n"
	"  --seq            sequential, else random\n"
	"  --block N        bytes per I/O, default 4096\n"
	"  --depth N        I/Os in flight, default 1\n"
	"  --count N        I/Os measured, default 20000\n"
	"  --seconds S      stop after S seconds instead\n"
	"  --span N         bytes of the device used, default all\n"
	"  --seed N         of the random offsets\n"
	"  --packable N     percent of what is written that can be packed away:\n"
	"                   16 MiB are written round and round; default all\n"
	"  --plain-ring     no DEFER_TASKRUN\n"
	"  --verbose        also the system calls per I/O\n"
	"Prints nanoseconds per I/O.\n";

static void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static uint64_t load_offset(struct load *load)
{
	uint64_t block;

	if (load->is_seq) {
		block = load->next++;
		if (load->next == load->n_blocks)
			load->next = 0;
	} else {
		block = (uint32_t)(data_random(&load->seed) >> 32) *
				load->n_blocks >>
			32;
	}
	return block * load->block;
}

/* A slot has its buffer, or what is written is next in the pool. */
static unsigned char *load_buffer(struct load *load, unsigned int slot)
{
	size_t at = (size_t)slot * load->block;

	if (load->percent < 100) {
		at = load->next_data;
		load->next_data += load->block;
		if (load->next_data + load->block > load->n_bytes)
			load->next_data = 0;
	}
	return load->buffers + at;
}

static void load_queue(struct load *load, unsigned int slot)
{
	struct io_uring_sqe *sqe = ring_sqe(&load->ring);

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode =
		load->is_write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->off = load_offset(load);
	sqe->addr = (uintptr_t)load_buffer(load, slot);
	sqe->len = load->block;
	sqe->buf_index = load->percent < 100 ? 0 : (uint16_t)slot;
	sqe->user_data = slot;
	load->submitted++;
}

static void load_check(const struct load *load, int res)
{
	if (res == (int)load->block)
		return;
	if (res < 0)
		errno = -res;
	else
		errno = EIO;
	fprintf(stderr, "load: I/O %llu of %u bytes returned %d\n",
		(unsigned long long)load->completed, load->block, res);
	fail(load->path);
}

static bool load_goes_on(const struct load *load, uint64_t end,
			 uint64_t deadline)
{
	if (deadline != 0)
		return now_ns() < deadline;
	return load->submitted < end;
}

/* Until so many were completed in all, or, with a deadline, until then. */
static void load_run(struct load *load, uint64_t end, uint64_t deadline)
{
	unsigned int slots[MAX_DEPTH], n_slots = 0, i;

	while (n_slots < load->depth) {
		slots[n_slots] = n_slots;
		n_slots++;
	}
	for (;;) {
		bool goes_on = load_goes_on(load, end, deadline);
		int slot, res;

		for (i = 0; goes_on && i < n_slots; i++) {
			if (deadline == 0 && load->submitted == end)
				break;
			load_queue(load, slots[n_slots - 1 - i]);
		}
		n_slots -= i;
		if (load->submitted == load->completed)
			break;
		if (ring_enter(&load->ring, 1) < 0 && errno != EINTR)
			fail("io_uring_enter");
		load->n_enters++;
		while ((slot = ring_reap(&load->ring, &res)) >= 0) {
			load_check(load, res);
			load->completed++;
			slots[n_slots++] = (unsigned int)slot;
		}
	}
}

static void load_open(struct load *load)
{
	uint64_t size = 0;

	load->fd = open(load->path,
			(load->is_write ? O_RDWR : O_RDONLY) | O_DIRECT);
	if (load->fd < 0 || ioctl(load->fd, BLKGETSIZE64, &size) != 0)
		fail(load->path);
	if (load->span == 0 || load->span > size)
		load->span = size;
	load->n_blocks = load->span / load->block;
	if (load->n_blocks == 0) {
		fprintf(stderr, "load: %s is too small\n", load->path);
		exit(1);
	}
}

static void load_fill(struct load *load)
{
	uint64_t seed = 1;

	load->n_bytes = (size_t)load->depth * load->block;
	if (load->percent < 100)
		load->n_bytes = POOL;
	load->buffers = mmap(NULL, load->n_bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (load->buffers == MAP_FAILED)
		fail("mmap");
	if (load->percent < 100)
		data_fill(load->buffers, load->n_bytes, load->percent, &seed);
	else
		memset(load->buffers, 0x5a, load->n_bytes);
}

static void load_set_up(struct load *load)
{
	struct iovec iov[MAX_DEPTH];
	unsigned int n = load->percent < 100 ? 1 : load->depth;

	load_fill(load);
	if (ring_open(&load->ring, load->depth, load->setup_flags) != 0)
		fail("io_uring_setup");
	for (unsigned int i = 0; i < n; i++) {
		iov[i].iov_base = load->buffers + load->n_bytes / n * i;
		iov[i].iov_len = load->n_bytes / n;
	}
	if (ring_register(&load->ring, IORING_REGISTER_BUFFERS, iov, n) != 0 ||
	    ring_register(&load->ring, IORING_REGISTER_FILES, &load->fd, 1) !=
		    0)
		fail("io_uring_register");
}

static void load_report(const struct load *load, uint64_t ns, uint64_t n,
			uint64_t n_enters)
{
	printf("%llu\n", (unsigned long long)((ns + n / 2) / n));
	if (load->is_verbose)
		fprintf(stderr, "load: %llu I/Os, %.3f system calls per I/O\n",
			(unsigned long long)n, (double)n_enters / (double)n);
}

static void load_measure(struct load *load)
{
	uint64_t warm_up =
		load->seconds > 0 ? load->depth : load->count / WARM_UP + 1;
	uint64_t start, n, enters, deadline = 0;

	load_run(load, warm_up, 0);
	n = load->completed;
	enters = load->n_enters;
	start = now_ns();
	if (load->seconds > 0)
		deadline = start + (uint64_t)(load->seconds * 1e9);
	load_run(load, n + load->count, deadline);
	load_report(load, now_ns() - start, load->completed - n,
		    load->n_enters - enters);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno != 0 || end == text || *end != '\0') {
		fprintf(stderr, "load: not a number: %s\n", text);
		exit(2);
	}
	return value;
}

static void parse_option(struct load *load, int c)
{
	switch (c) {
	case 'w':
		load->is_write = true;
		break;
	case 's':
		load->is_seq = true;
		break;
	case 'b':
		load->block = (unsigned int)number(optarg);
		break;
	case 'd':
		load->depth = (unsigned int)number(optarg);
		break;
	case 'c':
		load->count = number(optarg);
		break;
	case 't':
		load->seconds = strtod(optarg, NULL);
		break;
	case 'p':
		load->span = number(optarg);
		break;
	case 'e':
		load->seed = number(optarg);
		break;
	case 'k':
		load->percent = (unsigned int)number(optarg);
		break;
	case 'r':
		load->setup_flags = 0;
		break;
	case 'v':
		load->is_verbose = true;
		break;
	default:
		fputs(usage, stderr);
		exit(2);
	}
}

static void parse(struct load *load, int argc, char **argv)
{
	static const struct option options[] = {
		{ "write", no_argument, NULL, 'w' },
		{ "seq", no_argument, NULL, 's' },
		{ "block", required_argument, NULL, 'b' },
		{ "depth", required_argument, NULL, 'd' },
		{ "count", required_argument, NULL, 'c' },
		{ "seconds", required_argument, NULL, 't' },
		{ "span", required_argument, NULL, 'p' },
		{ "seed", required_argument, NULL, 'e' },
		{ "packable", required_argument, NULL, 'k' },
		{ "plain-ring", no_argument, NULL, 'r' },
		{ "verbose", no_argument, NULL, 'v' },
		{ 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		parse_option(load, c);
	if (argc - optind != 1 || load->depth == 0 || load->depth > MAX_DEPTH ||
	    load->block == 0 || load->count == 0 || load->seed == 0 ||
	    load->percent > 100 || load->block > POOL) {
		fputs(usage, stderr);
		exit(2);
	}
	load->path = argv[optind];
}

int main(int argc, char **argv)
{
	struct load load = {
		.block = 4096,
		.depth = 1,
		.count = 20000,
		.seed = 1,
		.percent = 100,
		.setup_flags = RING_FAST,
	};

	parse(&load, argc, argv);
	load_open(&load);
	load_set_up(&load);
	load_measure(&load);
	return 0;
}
