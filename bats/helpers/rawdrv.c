/* SPDX-License-Identifier: MIT */
/*
 * rawdrv - a RAM disk straight on the kernel interface, that dies on purpose.
 *
 *	rawdrv [--at POINT] [--after N] [--size BYTES | --file FILE]
 *	       [--timeout MS] [--recovery MS] [--on-hang N] [--retries N]
 *	       [--error ERRNO [--error-op flush|write] [--error-off OFFSET]
 *	       [--errors N]] [--rerun ID]
 *	rawdrv --ioctl DEVICE
 *
 * Prints the device's path once it is usable and serves until it is told to
 * leave, or until POINT, where it kills itself with SIGKILL:
 *
 *	created     after CREATE
 *	attached    after ATTACH and QUEUE
 *	scan        with a request of the partition scan delivered
 *	delivered   with request number N (--after) and its batch delivered
 *	answered    in the middle of a batch, half of it answered
 *	flush       with a flush delivered
 *	copy-in     while a worker waits for a page that a read's data is in
 *	copy-out    while a worker waits for the buffer of a write's data
 *	self        while another of its threads reads its own device
 *	poison      with a read or write of offset N (--after) delivered
 *	starting    as "attached", with another thread waiting in START
 *
 * or until it stops doing its work: "stop" stops itself with SIGSTOP,
 * "stop-unfetched" does so before it fetches anything more, "ignore" fetches
 * requests and never answers them, "ignore-flush" never answers a flush. With
 * --error, reads (or flushes, or writes) fail: all of them, the first N
 * (--errors), or those that touch OFFSET. --ioctl is a client: it talks to the
 * driver that serves DEVICE.
 *
 * --recovery makes the device recoverable, --file keeps its content (such a
 * device can only read, write and flush, so that other drivers fit), and
 * --rerun takes a device over, which needs the same options.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kbdus.h"

#define N_WORKERS 2
#define DEPTH 64
#define MAX_IO (256U << 10)
#define SELF_OFFSET (1U << 20)

/* Adds one to a number; any other command is not known. */
#define RAWDRV_ADD _IOWR('r', 1, uint64_t)

static const char *point = "";
static int error, error_op = KBDUS_OP_READ;
static unsigned long die_after = 1;
static uint64_t size = 64U << 20;
static uint32_t timeout_ms, recovery_ms, on_hang, retries;
static uint64_t error_off = UINT64_MAX;
static long n_errors;
static const char *file;
static bool is_rerun, is_recoverable, is_always = true;
static char *disk, *buffers, *missing;
static int session, queues[N_WORKERS];
static uint64_t id;
static unsigned long n_seen;
static bool is_started;

static void fail(const char *what)
{
	fprintf(stderr, "rawdrv: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool is_at(const char *name)
{
	return strcmp(point, name) == 0;
}

static void die(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

static void *map(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	return p;
}

static void *map_file(void)
{
	int fd = open(file, O_RDWR | O_CLOEXEC);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st))
		fail(file);
	size = (uint64_t)st.st_size;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		fail(file);
	return p;
}

/* Dies when somebody waits for a page that is never going to come. */
static void *watch_fault(void *arg)
{
	struct pollfd poll_fd = { .fd = (int)(intptr_t)arg, .events = POLLIN };

	if (poll(&poll_fd, 1, -1) < 0)
		fail("poll");
	die();
	return NULL;
}

static void make_missing(void *addr, size_t len)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)addr, .len = len },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	pthread_t thread;

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &reg))
		fail("userfaultfd");
	if (pthread_create(&thread, NULL, watch_fault, (void *)(intptr_t)fd))
		fail("pthread_create");
}

static struct kbdus_attributes attributes(void)
{
	return (struct kbdus_attributes){
		.size = size,
		.ops = 1U << KBDUS_OP_READ | 1U << KBDUS_OP_WRITE |
		       1U << KBDUS_OP_FLUSH |
		       (file ? 0 :
			       1U << KBDUS_OP_DISCARD | 1U << KBDUS_OP_IOCTL),
		.flags = is_recoverable ? KBDUS_DEVICE_RECOVERABLE : 0,
		.max_io = MAX_IO,
		.queue_depth = DEPTH,
		.timeout_ms = timeout_ms,
		.recovery_timeout_ms = recovery_ms,
		.on_hang = on_hang,
		.read_retries = retries,
		.driver = "rawdrv",
	};
}

static void create(void)
{
	struct kbdus_create create = {
		.abi = KBDUS_ABI,
		.attributes = attributes(),
	};

	session = open("/dev/" KBDUS_CONTROL_NAME, O_RDWR | O_CLOEXEC);
	if (session < 0)
		fail("/dev/" KBDUS_CONTROL_NAME);
	if (is_rerun)
		return;
	if (ioctl(session, KBDUS_CREATE, &create))
		fail("KBDUS_CREATE");
	id = create.id;
	if (is_at("created"))
		die();
}

static void *die_soon(void *arg)
{
	(void)arg;
	usleep(100000);
	die();
	return NULL;
}

static void attach(void)
{
	struct kbdus_attributes mine = attributes();
	struct kbdus_attach attach = {
		.abi = KBDUS_ABI,
		.id = id,
		.buffers = (uintptr_t)buffers,
		.buffer_size = MAX_IO,
		.attributes = is_rerun ? (uintptr_t)&mine : 0,
	};
	struct kbdus_queue_new queue = { 0 };
	pthread_t thread;

	if (ioctl(session, KBDUS_ATTACH, &attach))
		fail("KBDUS_ATTACH");
	for (int i = 0; i < N_WORKERS; i++) {
		if (ioctl(session, KBDUS_QUEUE, &queue))
			fail("KBDUS_QUEUE");
		queues[i] = queue.fd;
	}
	if (is_at("attached"))
		die();
	if (is_at("starting") && pthread_create(&thread, NULL, die_soon, NULL))
		fail("pthread_create");
}

static bool is_write(const struct kbdus_request *request)
{
	return request->op == KBDUS_OP_WRITE;
}

static bool touches(const struct kbdus_request *request, uint64_t off)
{
	return off >= request->off && off - request->off < request->len;
}

/* Points at which a request that was just delivered is the last. */
static void check_point(const struct kbdus_request *request)
{
	unsigned long n = __atomic_add_fetch(&n_seen, 1, __ATOMIC_RELAXED);

	if (is_at("scan") && !is_started)
		die();
	if (!is_started)
		return;
	if (is_at("delivered") && n >= die_after)
		die();
	if (is_at("flush") && request->op == KBDUS_OP_FLUSH)
		die();
	if (is_at("self") && request->op == KBDUS_OP_READ &&
	    request->off == SELF_OFFSET)
		die();
	if (is_at("stop")) {
		kill(getpid(), SIGSTOP);
		/* another thread may be the one that takes the signal */
		for (;;)
			pause();
	}
	if (is_at("poison") && request->op != KBDUS_OP_FLUSH &&
	    touches(request, die_after))
		die();
}

static void answer_ioctl(const struct kbdus_request *request,
			 struct kbdus_completion *completion)
{
	uint64_t *number = (void *)(buffers + (size_t)request->tag * MAX_IO);

	if (request->arg == RAWDRV_ADD) {
		++*number;
		completion->how = KBDUS_HOW_BUFFER;
	} else {
		completion->done = 0;
		completion->result = -ENOTTY;
	}
}

static bool is_error(const struct kbdus_request *request)
{
	if (!error || !is_started || request->op != error_op)
		return false;
	if (error_off != UINT64_MAX && !touches(request, error_off))
		return false;
	return is_always ||
	       __atomic_fetch_sub(&n_errors, 1, __ATOMIC_RELAXED) > 0;
}

static struct kbdus_completion answer(const struct kbdus_request *request)
{
	struct kbdus_completion completion = {
		.generation = request->generation,
		.tag = request->tag,
		.done = request->len,
	};
	char *data = disk + request->off;

	if (is_error(request)) {
		completion.done = 0;
		completion.result = -error;
		return completion;
	}
	if (request->op == KBDUS_OP_READ) {
		completion.how = KBDUS_HOW_ADDR;
		completion.addr = (uintptr_t)data;
		if (is_started && is_at("copy-in"))
			completion.addr = (uintptr_t)missing;
	} else if (is_write(request)) {
		memcpy(data, buffers + (size_t)request->tag * MAX_IO,
		       request->len);
	} else if (request->op == KBDUS_OP_DISCARD) {
		memset(data, 0, request->len);
	} else if (request->op == KBDUS_OP_IOCTL) {
		answer_ioctl(request, &completion);
	}
	return completion;
}

static unsigned int serve(const struct kbdus_request *requests, unsigned int n,
			  struct kbdus_completion *completions)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		check_point(&requests[i]);
		if (is_started && is_at("ignore"))
			return 0;
		if (is_at("ignore-flush") && requests[i].op == KBDUS_OP_FLUSH)
			pause();
		completions[i] = answer(&requests[i]);
	}
	return n;
}

static void answer_half(int queue, struct kbdus_exchange *exchange)
{
	exchange->n_completions /= 2;
	exchange->max_requests = 0;
	ioctl(queue, KBDUS_EXCHANGE, exchange);
	die();
}

static void *work(void *arg)
{
	struct kbdus_request requests[DEPTH];
	struct kbdus_completion completions[DEPTH];
	struct kbdus_exchange exchange = {
		.completions = (uintptr_t)completions,
		.requests = (uintptr_t)requests,
	};
	int queue = *(int *)arg;

	do {
		exchange.max_requests = DEPTH;
		/* what is done is handed in, and nothing is taken */
		if (is_at("stop-unfetched") && is_started &&
		    n_seen >= die_after) {
			exchange.max_requests = 0;
			ioctl(queue, KBDUS_EXCHANGE, &exchange);
			kill(getpid(), SIGSTOP);
		}
		if (ioctl(queue, KBDUS_EXCHANGE, &exchange)) {
			if (errno != EINTR)
				fail("KBDUS_EXCHANGE");
			if (exchange.n_done != exchange.n_completions)
				fail("interrupted half way");
		}
		exchange.n_completions =
			serve(requests, exchange.n_requests, completions);
		if (is_at("answered") && is_started && n_seen >= die_after)
			answer_half(queue, &exchange);
	} while (!(exchange.flags & KBDUS_EXCHANGE_TERMINATE));
	return NULL;
}

/* A child opens the device, which its driver may not, and hands it over. */
static void send_device(int socket)
{
	char path[64], byte = 0;
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = CMSG_SPACE(sizeof(int)) };
	int fd;

	if (read(socket, path, sizeof(path)) <= 0)
		_exit(1);
	fd = open(path, O_RDWR | O_DIRECT);
	if (fd < 0)
		fail(path);
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (sendmsg(socket, &msg, 0) != 1)
		fail("sendmsg");
	_exit(0);
}

static int receive_device(int socket)
{
	char byte, space[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = space,
			      .msg_controllen = sizeof(space) };
	int fd;

	if (recvmsg(socket, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		fail("recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void read_self(int socket, const char *path)
{
	char *block = map(4096);
	int fd;

	if (write(socket, path, strlen(path) + 1) < 0)
		fail("socket");
	fd = receive_device(socket);
	if (open(path, O_RDONLY) >= 0 || errno != EDEADLK) {
		fprintf(stderr, "rawdrv: could open its own device\n");
		exit(1);
	}
	if (pread(fd, block, 4096, SELF_OFFSET) != 4096)
		fail("read of its own device");
}

static void expect_errno(int fd, unsigned long cmd, int expected)
{
	if (ioctl(fd, cmd, NULL) == 0 || errno != expected) {
		fprintf(stderr, "rawdrv: ioctl %#lx: %s, expected %s\n", cmd,
			strerror(errno), strerror(expected));
		exit(1);
	}
}

static int talk(const char *path)
{
	int fd = open(path, O_RDWR);
	uint64_t number = 41;

	if (fd < 0 || ioctl(fd, RAWDRV_ADD, &number))
		fail(path);
	if (number != 42) {
		fprintf(stderr, "rawdrv: got %llu\n",
			(unsigned long long)number);
		return 1;
	}
	expect_errno(fd, _IO('r', 2), ENOTTY);
	/* no driver sees these: a size without a direction, and an address */
	expect_errno(fd, _IOC(_IOC_NONE, 'r', 1, 8), ENOTTY);
	expect_errno(fd, RAWDRV_ADD, EFAULT);
	return 0;
}

static int errno_of(const char *name)
{
	static const struct {
		const char *name;
		int error;
	} errors[] = {
		{ "EIO", EIO },
		{ "ENOSPC", ENOSPC },
		{ "ETIMEDOUT", ETIMEDOUT },
		{ "ENOLINK", ENOLINK },
		{ "EPERM", EPERM },
	};

	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (strcmp(name, errors[i].name) == 0)
			return errors[i].error;
	exit(2);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "at", required_argument, NULL, 'a' },
		{ "after", required_argument, NULL, 'n' },
		{ "size", required_argument, NULL, 's' },
		{ "timeout", required_argument, NULL, 't' },
		{ "error", required_argument, NULL, 'e' },
		{ "error-op", required_argument, NULL, 'o' },
		{ "error-off", required_argument, NULL, 'O' },
		{ "errors", required_argument, NULL, 'E' },
		{ "recovery", required_argument, NULL, 'r' },
		{ "on-hang", required_argument, NULL, 'h' },
		{ "retries", required_argument, NULL, 'R' },
		{ "file", required_argument, NULL, 'f' },
		{ "rerun", required_argument, NULL, 'I' },
		{ "ioctl", required_argument, NULL, 'i' },
		{ 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'a')
			point = optarg;
		else if (c == 'n')
			die_after = strtoul(optarg, NULL, 0);
		else if (c == 's')
			size = strtoull(optarg, NULL, 0);
		else if (c == 't')
			timeout_ms = (uint32_t)strtoul(optarg, NULL, 0);
		else if (c == 'e')
			error = errno_of(optarg);
		else if (c == 'o' && strcmp(optarg, "flush") == 0)
			error_op = KBDUS_OP_FLUSH;
		else if (c == 'o' && strcmp(optarg, "write") == 0)
			error_op = KBDUS_OP_WRITE;
		else if (c == 'O')
			error_off = strtoull(optarg, NULL, 0);
		else if (c == 'E')
			n_errors = strtol(optarg, NULL, 0), is_always = false;
		else if (c == 'r')
			recovery_ms = (uint32_t)strtoul(optarg, NULL, 0),
			is_recoverable = true;
		else if (c == 'h')
			on_hang = (uint32_t)strtoul(optarg, NULL, 0);
		else if (c == 'R')
			retries = (uint32_t)strtoul(optarg, NULL, 0);
		else if (c == 'f')
			file = optarg;
		else if (c == 'I')
			id = strtoull(optarg, NULL, 0), is_rerun = true;
		else if (c == 'i')
			exit(talk(optarg));
		else
			exit(2);
	}
}

int main(int argc, char **argv)
{
	pthread_t threads[N_WORKERS];
	int sockets[2] = { -1, -1 };
	char path[64];

	parse(argc, argv);
	if (is_at("self")) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
			fail("socketpair");
		if (fork() == 0)
			send_device(sockets[1]);
	}
	disk = file ? map_file() : map(size);
	buffers = map((size_t)DEPTH * MAX_IO);
	missing = map(MAX_IO);
	if (is_at("copy-in"))
		make_missing(missing, MAX_IO);
	if (is_at("copy-out"))
		make_missing(buffers, (size_t)DEPTH * MAX_IO);
	is_started = is_rerun;
	create();
	attach();
	for (int i = 0; i < N_WORKERS; i++)
		if (pthread_create(&threads[i], NULL, work, &queues[i]))
			fail("pthread_create");
	if (ioctl(session, KBDUS_START, 0))
		fail("KBDUS_START");
	is_started = true;
	snprintf(path, sizeof(path), "/dev/bdus-%llu", (unsigned long long)id);
	puts(path);
	fflush(stdout);
	if (is_at("self"))
		read_self(sockets[0], path);
	for (int i = 0; i < N_WORKERS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
