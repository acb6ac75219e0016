/* SPDX-License-Identifier: MIT */
/*
 * ublk-ram - a RAM disk on ublk, to compare with.
 *
 *	ublk-ram [--user-copy] [--queues N] [--depth N] [--max-io N] SIZE
 *
 * Written as a good ublk server is: one thread and one ring per hardware
 * queue, a registered file, buffers that are in memory before they are used,
 * and one system call that commits all that is done and fetches the next.
 * Prints the device's path once it is usable and runs until SIGTERM.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/io_uring.h>
#include <linux/ublk_cmd.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring.h"

#define SECTOR_SHIFT 9
#define MAX_QUEUES 64U

struct queue {
	struct ring ring;
	pthread_t thread;
	uint16_t id;
	const struct ublksrv_io_desc *descs;
	unsigned char *buffers;
	uint64_t n_enters, n_requests;
};

static uint64_t size;
static unsigned int n_queues, depth = 128, max_io = 512U << 10;
static bool is_user_copy, is_verbose;
static unsigned char *disk;
static int control, cdev;
static uint32_t dev_id;
static struct ring control_ring;
static struct queue queues[MAX_QUEUES];
static pthread_barrier_t all_fetch;

static void fail(const char *what)
{
	fprintf(stderr, "ublk-ram: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *map_populated(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	madvise(p, len, MADV_HUGEPAGE);
	memset(p, 0, len);
	return p;
}

/* --- control ------------------------------------------------------------ */

static void control_send(uint32_t op, void *arg, size_t len, uint64_t data,
			 const char *what)
{
	struct io_uring_sqe *sqe = ring_sqe(&control_ring);
	struct ublksrv_ctrl_cmd *cmd = (struct ublksrv_ctrl_cmd *)sqe->cmd;
	int res = 0;

	memset(sqe, 0, 128);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = control;
	sqe->cmd_op = op;
	cmd->dev_id = dev_id;
	cmd->queue_id = UINT16_MAX;
	cmd->addr = (uintptr_t)arg;
	cmd->len = (uint16_t)len;
	cmd->data[0] = data;
	if (ring_enter(&control_ring, 1) < 0)
		fail("io_uring_enter");
	if (ring_reap(&control_ring, &res) < 0 || res < 0) {
		errno = -res;
		fail(what);
	}
}

static void control_add(void)
{
	struct ublksrv_ctrl_dev_info info = {
		.nr_hw_queues = (uint16_t)n_queues,
		.queue_depth = (uint16_t)depth,
		.max_io_buf_bytes = max_io,
		.dev_id = UINT32_MAX,
		.flags = UBLK_F_CMD_IOCTL_ENCODE |
			 (is_user_copy ? UBLK_F_USER_COPY : 0),
	};

	dev_id = UINT32_MAX;
	control_send(UBLK_U_CMD_ADD_DEV, &info, sizeof(info), 0, "ADD_DEV");
	dev_id = info.dev_id;
	n_queues = info.nr_hw_queues;
	depth = info.queue_depth;
}

static void control_set_params(void)
{
	struct ublk_params params = {
		.len = sizeof(params),
		.types = UBLK_PARAM_TYPE_BASIC,
		.basic = {
			.logical_bs_shift = SECTOR_SHIFT,
			.physical_bs_shift = 12,
			.io_opt_shift = 12,
			.io_min_shift = SECTOR_SHIFT,
			.max_sectors = max_io >> SECTOR_SHIFT,
			.dev_sectors = size >> SECTOR_SHIFT,
		},
	};

	control_send(UBLK_U_CMD_SET_PARAMS, &params, sizeof(params), 0,
		     "SET_PARAMS");
}

/* The node of the queues appears after ADD_DEV returned. */
static void open_cdev(void)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/ublkc%u", dev_id);
	for (int i = 0; i < 500; i++) {
		cdev = open(path, O_RDWR | O_CLOEXEC);
		if (cdev >= 0)
			return;
		usleep(10000);
	}
	fail(path);
}

/* --- queues ------------------------------------------------------------- */

static unsigned char *queue_buffer(const struct queue *queue, unsigned int tag)
{
	return queue->buffers + (size_t)tag * max_io;
}

static void queue_command(struct queue *queue, unsigned int tag, uint32_t op,
			  int result)
{
	struct io_uring_sqe *sqe = ring_sqe(&queue->ring);
	struct ublksrv_io_cmd *cmd = (struct ublksrv_io_cmd *)sqe->cmd;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->cmd_op = op;
	sqe->user_data = tag;
	cmd->q_id = queue->id;
	cmd->tag = (uint16_t)tag;
	cmd->result = result;
	cmd->addr = is_user_copy ? 0 : (uintptr_t)queue_buffer(queue, tag);
}

static int copy_user(const struct queue *queue, unsigned int tag, bool is_write,
		     unsigned char *data, uint32_t len)
{
	uint64_t off = UBLKSRV_IO_BUF_OFFSET +
		       ((uint64_t)queue->id << UBLK_QID_OFF) +
		       ((uint64_t)tag << UBLK_TAG_OFF);
	ssize_t n = is_write ? pread(cdev, data, len, (off_t)off) :
			       pwrite(cdev, data, len, (off_t)off);

	return n == (ssize_t)len ? (int)len : -EIO;
}

static int serve(const struct queue *queue, unsigned int tag)
{
	const struct ublksrv_io_desc *desc = &queue->descs[tag];
	uint32_t len = desc->nr_sectors << SECTOR_SHIFT;
	unsigned char *data = disk + (desc->start_sector << SECTOR_SHIFT);
	uint8_t op = ublksrv_get_op(desc);

	if (op != UBLK_IO_OP_READ && op != UBLK_IO_OP_WRITE)
		return -EOPNOTSUPP;
	if (is_user_copy)
		return copy_user(queue, tag, op == UBLK_IO_OP_WRITE, data, len);
	if (op == UBLK_IO_OP_READ)
		memcpy(queue_buffer(queue, tag), data, len);
	else
		memcpy(data, queue_buffer(queue, tag), len);
	return (int)len;
}

static void queue_set_up(struct queue *queue)
{
	off_t off = UBLKSRV_CMD_BUF_OFFSET +
		    (off_t)queue->id * UBLK_MAX_QUEUE_DEPTH *
			    (off_t)sizeof(struct ublksrv_io_desc);

	if (!is_user_copy)
		queue->buffers = map_populated((size_t)depth * max_io);
	queue->descs = mmap(NULL, depth * sizeof(struct ublksrv_io_desc),
			    PROT_READ, MAP_SHARED | MAP_POPULATE, cdev, off);
	if (queue->descs == MAP_FAILED)
		fail("mmap of the descriptors");
	if (ring_open(&queue->ring, depth, RING_FAST) != 0 ||
	    ring_register(&queue->ring, IORING_REGISTER_FILES, &cdev, 1) != 0)
		fail("io_uring_setup");
}

/* Until the device is stopped, which aborts every fetch. */
static void queue_loop(struct queue *queue)
{
	unsigned int n_fetching = depth;

	while (n_fetching > 0) {
		int tag, res;

		if (ring_enter(&queue->ring, 1) < 0 && errno != EINTR)
			fail("io_uring_enter");
		queue->n_enters++;
		while ((tag = ring_reap(&queue->ring, &res)) >= 0) {
			if (res != UBLK_IO_RES_OK) {
				n_fetching--;
				continue;
			}
			queue->n_requests++;
			queue_command(queue, (unsigned int)tag,
				      UBLK_U_IO_COMMIT_AND_FETCH_REQ,
				      serve(queue, (unsigned int)tag));
		}
	}
}

static void *queue_main(void *arg)
{
	struct queue *queue = arg;

	queue_set_up(queue);
	for (unsigned int tag = 0; tag < depth; tag++)
		queue_command(queue, tag, UBLK_U_IO_FETCH_REQ, -1);
	if (ring_enter(&queue->ring, 0) < 0)
		fail("io_uring_enter");
	pthread_barrier_wait(&all_fetch);
	queue_loop(queue);
	return NULL;
}

static void queues_start(void)
{
	if (pthread_barrier_init(&all_fetch, NULL, n_queues + 1))
		fail("pthread_barrier_init");
	for (unsigned int i = 0; i < n_queues; i++) {
		queues[i].id = (uint16_t)i;
		if (pthread_create(&queues[i].thread, NULL, queue_main,
				   &queues[i]))
			fail("pthread_create");
	}
	pthread_barrier_wait(&all_fetch);
}

static void queues_join(void)
{
	for (unsigned int i = 0; i < n_queues; i++) {
		pthread_join(queues[i].thread, NULL);
		if (is_verbose)
			fprintf(stderr,
				"ublk-ram: queue %u: %.2f requests per call\n",
				i,
				(double)queues[i].n_requests /
					(double)(queues[i].n_enters + 1));
	}
}

/* --- main --------------------------------------------------------------- */

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "user-copy", no_argument, NULL, 'u' },
		{ "queues", required_argument, NULL, 'q' },
		{ "depth", required_argument, NULL, 'd' },
		{ "max-io", required_argument, NULL, 'm' },
		{ "verbose", no_argument, NULL, 'v' },
		{ 0 }
	};
	int c;

	n_queues = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'u')
			is_user_copy = true;
		else if (c == 'q')
			n_queues = (unsigned int)strtoul(optarg, NULL, 0);
		else if (c == 'd')
			depth = (unsigned int)strtoul(optarg, NULL, 0);
		else if (c == 'm')
			max_io = (unsigned int)strtoul(optarg, NULL, 0);
		else if (c == 'v')
			is_verbose = true;
		else
			exit(2);
	}
	if (n_queues > MAX_QUEUES)
		n_queues = MAX_QUEUES;
	if (argc - optind == 1)
		size = strtoull(argv[optind], NULL, 0);
	if (size == 0 || n_queues == 0 || depth == 0) {
		fputs("usage: ublk-ram [--user-copy] [--queues N] [--depth N] "
		      "[--max-io N] [--verbose] SIZE\n",
		      stderr);
		exit(2);
	}
}

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	pthread_sigmask(SIG_BLOCK, set, NULL);
}

int main(int argc, char **argv)
{
	sigset_t signals;
	int signal;

	parse(argc, argv);
	block_signals(&signals);
	disk = map_populated(size);
	control = open("/dev/ublk-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		fail("/dev/ublk-control");
	if (ring_open(&control_ring, 4, IORING_SETUP_SQE128) != 0)
		fail("io_uring_setup");
	control_add();
	control_set_params();
	open_cdev();
	queues_start();
	control_send(UBLK_U_CMD_START_DEV, NULL, 0, (uint64_t)getpid(),
		     "START_DEV");
	printf("/dev/ublkb%u\n", dev_id);
	fflush(stdout);
	sigwait(&signals, &signal);
	control_send(UBLK_U_CMD_STOP_DEV, NULL, 0, 0, "STOP_DEV");
	queues_join();
	close(cdev);
	control_send(UBLK_U_CMD_DEL_DEV, NULL, 0, 0, "DEL_DEV");
	return 0;
}
