/* SPDX-License-Identifier: MIT */
/*
 * abi - every ioctl of kbdus with every kind of bad argument; prints TAP.
 *
 * Each case takes an argument that is known to work, spoils one field, and
 * says which errno must come back. A last test shows that the device, after
 * all that, still does its work.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kbdus.h"

#define DEPTH 8
#define MAX_IO 65536U
#define DEVICE_SIZE (1U << 20)
#define N(array) (sizeof(array) / sizeof(*(array)))

/* An address that no process has mapped, and one that none can have. */
#define UNMAPPED ((void *)0x1000)
#define KERNEL_ADDRESS 0xffff888000000000ULL

static unsigned int n_tests, n_failed;

__attribute__((format(printf, 3, 4))) static void
expect(int ret, int error, const char *format, ...)
{
	int got = ret < 0 ? errno : 0;
	va_list args;

	n_tests++;
	n_failed += got != error;
	printf("%sok %u - ", got == error ? "" : "not ", n_tests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	puts("");
	if (got != error)
		printf("# got '%s', expected '%s'\n", strerror(got),
		       strerror(error));
}

static int control(void)
{
	int fd = open("/dev/" KBDUS_CONTROL_NAME, O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		perror("/dev/" KBDUS_CONTROL_NAME);
		exit(1);
	}
	return fd;
}

/* A field of a structure and what to put there. */
struct spoil {
	const char *name;
	size_t offset;
	size_t size;
	uint64_t value;
	int error;
};

#define SPOIL(type, field, value, error)                           \
	{                                                          \
#field " = " #value, offsetof(struct type, field), \
			sizeof(((struct type *)0)->field)> 8 ?     \
			1 : sizeof(((struct type *)0)->field),     \
			(uint64_t)(value), error                   \
	}

static void spoil(void *arg, const struct spoil *s)
{
	memcpy((char *)arg + s->offset, &s->value, s->size);
}

static struct kbdus_create good_create(void)
{
	return (struct kbdus_create){
		.abi = KBDUS_ABI,
		.attributes = {
			.size = DEVICE_SIZE,
			.logical_block_size = 512,
			.physical_block_size = 4096,
			.ops = (1U << KBDUS_OP_IOCTL) - 1,
			.max_io = MAX_IO,
			.queue_depth = DEPTH,
			.driver = "abi",
		},
	};
}

static const struct spoil create_cases[] = {
	SPOIL(kbdus_create, abi, 0, EPROTO),
	SPOIL(kbdus_create, abi, KBDUS_ABI + 1, EPROTO),
	SPOIL(kbdus_create, reserved, 1, EINVAL),
	SPOIL(kbdus_create, attributes.size, 0, EINVAL),
	SPOIL(kbdus_create, attributes.size, 511, EINVAL),
	SPOIL(kbdus_create, attributes.size, DEVICE_SIZE + 1, EINVAL),
	SPOIL(kbdus_create, attributes.size, 1ULL << 63, EINVAL),
	SPOIL(kbdus_create, attributes.size, -512LL, EINVAL),
	SPOIL(kbdus_create, attributes.logical_block_size, 256, EINVAL),
	SPOIL(kbdus_create, attributes.logical_block_size, 513, EINVAL),
	SPOIL(kbdus_create, attributes.logical_block_size, 8192, EINVAL),
	SPOIL(kbdus_create, attributes.logical_block_size, UINT32_MAX, EINVAL),
	SPOIL(kbdus_create, attributes.physical_block_size, 256, EINVAL),
	SPOIL(kbdus_create, attributes.physical_block_size, 4097, EINVAL),
	SPOIL(kbdus_create, attributes.physical_block_size, 2U << 20, EINVAL),
	SPOIL(kbdus_create, attributes.ops, 0, EINVAL),
	SPOIL(kbdus_create, attributes.ops, 1U << KBDUS_OP_WRITE, EINVAL),
	SPOIL(kbdus_create, attributes.ops, 1U << KBDUS_OP_COUNT, EINVAL),
	SPOIL(kbdus_create, attributes.ops, UINT32_MAX, EINVAL),
	SPOIL(kbdus_create, attributes.ops,
	      1U << KBDUS_OP_READ | 1U << KBDUS_OP_DISCARD, EINVAL),
	SPOIL(kbdus_create, attributes.ops,
	      1U << KBDUS_OP_READ | 1U << KBDUS_OP_WRITE |
		      1U << KBDUS_OP_FUA_WRITE,
	      EINVAL),
	SPOIL(kbdus_create, attributes.flags, 1U << 31, EINVAL),
	SPOIL(kbdus_create, attributes.flags, 1U << 5, EINVAL),
	SPOIL(kbdus_create, attributes.flags, KBDUS_DEVICE_SUPERVISED, EINVAL),
	SPOIL(kbdus_create, attributes.max_io, 512, EINVAL),
	SPOIL(kbdus_create, attributes.max_io, 4097, EINVAL),
	SPOIL(kbdus_create, attributes.max_io, KBDUS_MAX_IO + 4096, EINVAL),
	SPOIL(kbdus_create, attributes.max_io, UINT32_MAX, EINVAL),
	SPOIL(kbdus_create, attributes.max_write_zeroes, 511, EINVAL),
	SPOIL(kbdus_create, attributes.max_discard, 513, EINVAL),
	SPOIL(kbdus_create, attributes.max_secure_erase, 1, EINVAL),
	SPOIL(kbdus_create, attributes.discard_granularity, 1000, EINVAL),
	SPOIL(kbdus_create, attributes.discard_granularity, 256, EINVAL),
	SPOIL(kbdus_create, attributes.queue_depth, KBDUS_MAX_DEPTH + 1,
	      EINVAL),
	SPOIL(kbdus_create, attributes.queue_depth, UINT32_MAX, EINVAL),
	SPOIL(kbdus_create, attributes.timeout_ms, 1, EINVAL),
	SPOIL(kbdus_create, attributes.timeout_ms, 999, EINVAL),
	SPOIL(kbdus_create, attributes.recovery_timeout_ms, 1, EINVAL),
	SPOIL(kbdus_create, attributes.recovery_timeout_ms, 2000, EINVAL),
	SPOIL(kbdus_create, attributes.on_hang, KBDUS_ON_HANG_RESTART, EINVAL),
	SPOIL(kbdus_create, attributes.on_hang, KBDUS_ON_HANG_HOLD, EINVAL),
	SPOIL(kbdus_create, attributes.on_hang, KBDUS_ON_HANG_HOLD + 1, EINVAL),
	SPOIL(kbdus_create, attributes.read_retries, KBDUS_MAX_RETRIES + 1,
	      EINVAL),
	SPOIL(kbdus_create, attributes.reserved[0], 1, EINVAL),
	SPOIL(kbdus_create, attributes.reserved[1], 1, EINVAL),
	SPOIL(kbdus_create, attributes.driver[0], 0, EINVAL),
	SPOIL(kbdus_create, attributes.driver[31], 'x', EINVAL),
	SPOIL(kbdus_create, attributes.backing[255], 'x', EINVAL),
};

static void test_create(void)
{
	struct kbdus_create create;
	int fd = control();

	for (size_t i = 0; i < N(create_cases); i++) {
		create = good_create();
		spoil(&create, &create_cases[i]);
		expect(ioctl(fd, KBDUS_CREATE, &create), create_cases[i].error,
		       "CREATE: %s", create_cases[i].name);
	}
	expect(ioctl(fd, KBDUS_CREATE, UNMAPPED), EFAULT, "CREATE: EFAULT");
	create = good_create();
	memset(create.attributes.driver, 'x', sizeof(create.attributes.driver));
	expect(ioctl(fd, KBDUS_CREATE, &create), EINVAL,
	       "CREATE: driver without an end");
	create = good_create();
	expect(ioctl(fd, KBDUS_CREATE, &create), 0, "CREATE: good");
	expect(ioctl(fd, KBDUS_CREATE, &create), EBUSY, "CREATE: twice");
	close(fd);
}

/* What CREATE chose for every attribute of zero. */
static void test_defaults(void)
{
	struct kbdus_create create = {
		.abi = KBDUS_ABI,
		.attributes = { .size = DEVICE_SIZE,
				.ops = 1U << KBDUS_OP_READ,
				.driver = "abi" },
	};
	const struct kbdus_attributes *a = &create.attributes;
	int fd = control();

	expect(ioctl(fd, KBDUS_CREATE, &create), 0, "CREATE: defaults");
	expect(a->logical_block_size == 512 && a->physical_block_size == 4096 &&
			       a->max_io == KBDUS_DEFAULT_MAX_IO &&
			       a->queue_depth == KBDUS_DEFAULT_DEPTH &&
			       a->discard_granularity == 512 &&
			       a->flags == KBDUS_DEVICE_READ_ONLY ?
		       0 :
		       -1,
	       0, "CREATE: what was chosen is told");
	close(fd);
}

static void *buffers;

static struct kbdus_attach good_attach(uint64_t id)
{
	return (struct kbdus_attach){
		.abi = KBDUS_ABI,
		.id = id,
		.buffers = (uintptr_t)buffers,
		.buffer_size = MAX_IO,
	};
}

static const struct spoil attach_cases[] = {
	SPOIL(kbdus_attach, abi, 0, EPROTO),
	SPOIL(kbdus_attach, abi, KBDUS_ABI + 1, EPROTO),
	SPOIL(kbdus_attach, flags, 4, EINVAL),
	SPOIL(kbdus_attach, flags, UINT32_MAX, EINVAL),
	SPOIL(kbdus_attach, id, UINT64_MAX, ENODEV),
	SPOIL(kbdus_attach, buffers, 0, EINVAL),
	SPOIL(kbdus_attach, buffers, 4097, EINVAL),
	SPOIL(kbdus_attach, buffers, KERNEL_ADDRESS, EFAULT),
	SPOIL(kbdus_attach, buffers, UINT64_MAX - 4095, EFAULT),
	SPOIL(kbdus_attach, buffer_size, 0, EINVAL),
	SPOIL(kbdus_attach, buffer_size, MAX_IO - 4096, EINVAL),
	SPOIL(kbdus_attach, buffer_size, MAX_IO + 1, EINVAL),
	SPOIL(kbdus_attach, reserved, 1, EINVAL),
	SPOIL(kbdus_attach, attributes, 1, EBUSY),
};

static void test_attach(int fd, uint64_t id)
{
	struct kbdus_queue_new queue = { 0 };
	struct kbdus_attach attach;

	expect(ioctl(fd, KBDUS_QUEUE, &queue), ENODEV, "QUEUE: before ATTACH");
	expect(ioctl(fd, KBDUS_START, 0), ENODEV, "START: before ATTACH");
	for (size_t i = 0; i < N(attach_cases); i++) {
		attach = good_attach(id);
		spoil(&attach, &attach_cases[i]);
		expect(ioctl(fd, KBDUS_ATTACH, &attach), attach_cases[i].error,
		       "ATTACH: %s", attach_cases[i].name);
	}
	expect(ioctl(fd, KBDUS_ATTACH, UNMAPPED), EFAULT, "ATTACH: EFAULT");
	attach = good_attach(id);
	expect(ioctl(fd, KBDUS_ATTACH, &attach), 0, "ATTACH: good");
	expect(ioctl(fd, KBDUS_ATTACH, &attach), EBUSY, "ATTACH: twice");
}

static int test_queue(int fd)
{
	struct kbdus_queue_new queue = { .flags = 1 };

	expect(ioctl(fd, KBDUS_QUEUE, &queue), EINVAL, "QUEUE: flags = 1");
	expect(ioctl(fd, KBDUS_QUEUE, UNMAPPED), EFAULT, "QUEUE: EFAULT");
	queue.flags = 0;
	expect(ioctl(fd, KBDUS_QUEUE, &queue), 0, "QUEUE: good");
	expect(fcntl(queue.fd, F_GETFD) == FD_CLOEXEC ? 0 : -1, 0,
	       "QUEUE: close-on-exec");
	return queue.fd;
}

static void test_too_many_queues(int fd)
{
	struct kbdus_queue_new queue = { 0 };
	int fds[KBDUS_MAX_QUEUES], n = 0;

	while (n < KBDUS_MAX_QUEUES && !ioctl(fd, KBDUS_QUEUE, &queue))
		fds[n++] = queue.fd;
	expect(-1, EUSERS, "QUEUE: one too many, after %d", n);
	while (n > 0)
		close(fds[--n]);
}

static struct kbdus_request request;

static struct kbdus_exchange fetch(void)
{
	return (struct kbdus_exchange){
		.requests = (uintptr_t)&request,
		.max_requests = 1,
	};
}

static const struct spoil exchange_cases[] = {
	SPOIL(kbdus_exchange, n_completions, KBDUS_MAX_BATCH + 1, EINVAL),
	SPOIL(kbdus_exchange, n_completions, UINT32_MAX, EINVAL),
	SPOIL(kbdus_exchange, max_requests, KBDUS_MAX_BATCH + 1, EINVAL),
	SPOIL(kbdus_exchange, max_requests, UINT32_MAX, EINVAL),
	SPOIL(kbdus_exchange, poll_us, KBDUS_MAX_POLL_US + 1, EINVAL),
	SPOIL(kbdus_exchange, flags, 1U << 31, EINVAL),
	SPOIL(kbdus_exchange, flags, KBDUS_EXCHANGE_TERMINATE, EINVAL),
	SPOIL(kbdus_exchange, n_completions, 1, EFAULT),
};

static void test_exchange(int queue)
{
	struct kbdus_exchange exchange;

	for (size_t i = 0; i < N(exchange_cases); i++) {
		exchange = fetch();
		exchange.flags = KBDUS_EXCHANGE_NOWAIT;
		spoil(&exchange, &exchange_cases[i]);
		expect(ioctl(queue, KBDUS_EXCHANGE, &exchange),
		       exchange_cases[i].error, "EXCHANGE: %s",
		       exchange_cases[i].name);
	}
	expect(ioctl(queue, KBDUS_EXCHANGE, UNMAPPED), EFAULT,
	       "EXCHANGE: EFAULT");
	expect(ioctl(queue, KBDUS_START, 0), ENOTTY,
	       "a queue file takes EXCHANGE only");
	exchange = fetch();
	exchange.flags = KBDUS_EXCHANGE_NOWAIT;
	expect(ioctl(queue, KBDUS_EXCHANGE, &exchange), 0,
	       "EXCHANGE: NOWAIT with nothing pending");
}

static int foreign_exchange(int queue)
{
	struct kbdus_exchange exchange = fetch();
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(ioctl(queue, KBDUS_EXCHANGE, &exchange) ? errno : 0);
	waitpid(child, &status, 0);
	errno = WEXITSTATUS(status);
	return errno ? -1 : 0;
}

/* A client that reads one block, in a process of its own. */
static pid_t start_reader(uint64_t id)
{
	char path[64], *block;
	pid_t child = fork();
	int fd;

	if (child)
		return child;
	snprintf(path, sizeof(path), "/dev/bdus-%llu", (unsigned long long)id);
	fd = open(path, O_RDONLY | O_DIRECT);
	block = aligned_alloc(4096, 4096);
	if (fd < 0 || !block || pread(fd, block, 4096, 8192) != 4096)
		_exit(1);
	_exit(block[0] == 'x' && block[4095] == 'x' ? 0 : 2);
}

static int answer_with(int queue, struct kbdus_completion completion)
{
	struct kbdus_exchange exchange = {
		.completions = (uintptr_t)&completion,
		.n_completions = 1,
	};
	int ret = ioctl(queue, KBDUS_EXCHANGE, &exchange);

	if (ret && exchange.n_done) {
		puts("# n_done says that a refused completion was applied");
		errno = 0;
	}
	return ret;
}

static struct kbdus_completion good_completion(void)
{
	return (struct kbdus_completion){
		.addr = (uintptr_t)buffers,
		.generation = request.generation,
		.done = request.len,
		.tag = request.tag,
		.how = KBDUS_HOW_ADDR,
	};
}

static const struct spoil completion_cases[] = {
	SPOIL(kbdus_completion, addr, UNMAPPED, EFAULT),
	SPOIL(kbdus_completion, addr, KERNEL_ADDRESS, EFAULT),
	SPOIL(kbdus_completion, addr, UINT64_MAX - 100, EFAULT),
	SPOIL(kbdus_completion, result, 1, EINVAL),
	SPOIL(kbdus_completion, result, -5, EINVAL),
	SPOIL(kbdus_completion, result, -4096, EINVAL),
	SPOIL(kbdus_completion, result, INT32_MIN, EINVAL),
	SPOIL(kbdus_completion, done, 0, EINVAL),
	SPOIL(kbdus_completion, done, 512, EINVAL),
	SPOIL(kbdus_completion, done, UINT32_MAX, EINVAL),
	SPOIL(kbdus_completion, tag, DEPTH, EINVAL),
	SPOIL(kbdus_completion, tag, UINT16_MAX, EINVAL),
	SPOIL(kbdus_completion, how, KBDUS_HOW_NONE, EINVAL),
	SPOIL(kbdus_completion, how, KBDUS_HOW_BUFFER, EINVAL),
	SPOIL(kbdus_completion, how, KBDUS_HOW_ZERO, EINVAL),
	SPOIL(kbdus_completion, how, KBDUS_HOW_GET, EINVAL),
	SPOIL(kbdus_completion, how, KBDUS_HOW_FILE, EINVAL),
	SPOIL(kbdus_completion, how, KBDUS_HOW_REMAP, EINVAL),
	SPOIL(kbdus_completion, how, 255, EINVAL),
	SPOIL(kbdus_completion, flags, 1, EINVAL),
	SPOIL(kbdus_completion, file, 1, EINVAL),
	SPOIL(kbdus_completion, reserved, 1, EINVAL),
	SPOIL(kbdus_completion, reserved2, 1, EINVAL),
};

static void test_wrong_completions(int queue)
{
	struct kbdus_completion completion;

	for (size_t i = 0; i < N(completion_cases); i++) {
		completion = good_completion();
		spoil(&completion, &completion_cases[i]);
		expect(answer_with(queue, completion),
		       completion_cases[i].error, "completion: %s",
		       completion_cases[i].name);
	}
	completion = good_completion();
	completion.generation++;
	expect(answer_with(queue, completion), ESTALE,
	       "completion: of another delivery");
	completion = good_completion();
	completion.tag = (uint16_t)((request.tag + 1) % DEPTH);
	expect(answer_with(queue, completion), ENOENT,
	       "completion: of a tag that is not delivered");
	completion = good_completion();
	completion.how = KBDUS_HOW_FILE;
	completion.addr = 0;
	expect(answer_with(queue, completion), EOPNOTSUPP,
	       "completion: FILE is not there yet");
	completion.how = KBDUS_HOW_REMAP;
	expect(answer_with(queue, completion), EOPNOTSUPP,
	       "completion: REMAP is not there yet");
}

/* After all the wrong answers the right one must be taken, once. */
static void test_completions(int queue, uint64_t id)
{
	struct kbdus_exchange exchange = fetch();
	struct kbdus_completion completion;
	pid_t reader = start_reader(id);
	int status;

	/* an array that cannot be written to: nothing is delivered */
	exchange.requests = (uintptr_t)UNMAPPED;
	expect(ioctl(queue, KBDUS_EXCHANGE, &exchange), EFAULT,
	       "EXCHANGE: requests = UNMAPPED");
	exchange = fetch();
	expect(ioctl(queue, KBDUS_EXCHANGE, &exchange), 0,
	       "EXCHANGE: the request is still there");
	expect(request.off == 8192 && request.len == 4096 &&
			       request.op == KBDUS_OP_READ &&
			       request.attempt == 0 ?
		       0 :
		       -1,
	       0, "EXCHANGE: it is what the client asked for");
	test_wrong_completions(queue);
	memset(buffers, 'x', 4096);
	completion = good_completion();
	expect(answer_with(queue, completion), 0, "completion: good");
	expect(answer_with(queue, completion), ENOENT, "completion: twice");
	waitpid(reader, &status, 0);
	expect(status ? -1 : 0, 0, "the client got the data");
}

static void *serve_scan(void *arg)
{
	int queue = *(int *)arg;
	struct kbdus_completion completion;
	struct kbdus_exchange exchange;

	for (;;) {
		exchange = fetch();
		if (ioctl(queue, KBDUS_EXCHANGE, &exchange))
			return NULL;
		completion = good_completion();
		completion.how = KBDUS_HOW_ZERO;
		completion.addr = 0;
		if (answer_with(queue, completion))
			return NULL;
	}
}

static void start(int fd, int queue)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, serve_scan, &queue))
		exit(1);
	expect(ioctl(fd, KBDUS_START, 1), EINVAL, "START: with an argument");
	expect(ioctl(fd, KBDUS_START, 0), 0, "START: good");
	expect(ioctl(fd, KBDUS_START, 0), EBUSY, "START: twice");
	pthread_cancel(thread);
	pthread_join(thread, NULL);
}

static const struct spoil terminate_cases[] = {
	SPOIL(kbdus_terminate, id, UINT64_MAX, ENODEV),
	SPOIL(kbdus_terminate, id, 1ULL << 40, ENODEV),
	SPOIL(kbdus_terminate, flags, 4, EINVAL),
	SPOIL(kbdus_terminate, flags, UINT32_MAX, EINVAL),
};

static void test_ends(int fd, uint64_t id)
{
	struct kbdus_terminate terminate;
	uint64_t no_id = UINT64_MAX;
	struct kbdus_info info = { .id = no_id };

	for (size_t i = 0; i < N(terminate_cases); i++) {
		terminate = (struct kbdus_terminate){ .id = id };
		spoil(&terminate, &terminate_cases[i]);
		expect(ioctl(fd, KBDUS_TERMINATE, &terminate),
		       terminate_cases[i].error, "TERMINATE: %s",
		       terminate_cases[i].name);
		expect(ioctl(fd, KBDUS_DESTROY, &terminate),
		       terminate_cases[i].error, "DESTROY: %s",
		       terminate_cases[i].name);
	}
	terminate = (struct kbdus_terminate){ .id = id, .timeout_ms = 1 };
	expect(ioctl(fd, KBDUS_TERMINATE, &terminate), EINVAL,
	       "TERMINATE: timeout_ms = 1");
	expect(ioctl(fd, KBDUS_TERMINATE, UNMAPPED), EFAULT,
	       "TERMINATE: EFAULT");
	expect(ioctl(fd, KBDUS_DESTROY, UNMAPPED), EFAULT, "DESTROY: EFAULT");
	expect(ioctl(fd, KBDUS_FLUSH, UNMAPPED), EFAULT, "FLUSH: EFAULT");
	expect(ioctl(fd, KBDUS_FLUSH, &no_id), ENODEV, "FLUSH: no such id");
	expect(ioctl(fd, KBDUS_INFO, &info), ENODEV, "INFO: no such id");
	expect(ioctl(fd, KBDUS_INFO, UNMAPPED), EFAULT, "INFO: EFAULT");
	info = (struct kbdus_info){ .id = id };
	expect(ioctl(fd, KBDUS_INFO, &info), 0, "INFO: good");
	expect(info.pid == getpid() && info.state == KBDUS_STATE_LIVE &&
			       info.attributes.size == DEVICE_SIZE ?
		       0 :
		       -1,
	       0, "INFO: says who serves it");
}

static void test_unknown_commands(int fd)
{
	for (unsigned int nr = 10; nr < 256; nr++)
		if (nr != _IOC_NR(KBDUS_SETTLE) &&
		    (ioctl(fd, _IO(KBDUS_IOC_MAGIC, nr), 0) != -1 ||
		     errno != ENOTTY)) {
			expect(-1, 0, "command %u is not known", nr);
			return;
		}
	expect(0, 0, "commands from 10 on are not known, but SETTLE");
	expect(ioctl(fd, _IOWR(KBDUS_IOC_MAGIC, 1, char), 0), ENOTTY,
	       "a known command of another size");
	expect(ioctl(fd, KBDUS_EXCHANGE, UNMAPPED), ENOTTY,
	       "EXCHANGE: not on a control file");
}

/* What another process may not do with a session it inherited. */
static void test_foreign(int fd, int queue)
{
	int status;
	pid_t child;

	expect(foreign_exchange(queue), EPERM, "EXCHANGE: another process");
	child = fork();
	if (child == 0) {
		struct kbdus_queue_new new = { 0 };

		_exit(ioctl(fd, KBDUS_QUEUE, &new) ? errno : 0);
	}
	waitpid(child, &status, 0);
	errno = WEXITSTATUS(status);
	expect(-1, EPERM, "QUEUE: another process");
}

#define CANDIDATE(field, value) \
	SPOIL(kbdus_create, attributes.field, value, EINVAL)

/* What the driver cannot do that the device promises, or is no attribute. */
static const struct spoil candidate_cases[] = {
	CANDIDATE(size, DEVICE_SIZE / 2),
	CANDIDATE(size, DEVICE_SIZE * 2),
	CANDIDATE(logical_block_size, 4096),
	CANDIDATE(physical_block_size, 512),
	CANDIDATE(ops, 1U << KBDUS_OP_READ),
	CANDIDATE(ops, ((1U << KBDUS_OP_IOCTL) - 1) & ~(1U << KBDUS_OP_FLUSH)),
	CANDIDATE(max_io, 4096),
	CANDIDATE(queue_depth, 1),
	CANDIDATE(max_discard, 512),
	CANDIDATE(max_write_zeroes, 512),
	CANDIDATE(max_secure_erase, 512),
	CANDIDATE(discard_granularity, 4096),
	CANDIDATE(on_hang, KBDUS_ON_HANG_HOLD),
	CANDIDATE(recovery_timeout_ms, 1000),
	CANDIDATE(flags, 1U << 31),
	CANDIDATE(reserved[0], 1),
	CANDIDATE(driver[0], 0),
};

static int candidate_attach(int fd, uint64_t id, uint64_t attributes)
{
	struct kbdus_attach attach = good_attach(id);

	attach.attributes = attributes;
	return ioctl(fd, KBDUS_ATTACH, &attach);
}

/* Somebody else's driver serves. */
static void test_candidate_owner(int fd, uint64_t id)
{
	struct kbdus_create mine = good_create();
	struct kbdus_attach attach = good_attach(id);

	mine.attributes.owner = 1;
	attach.flags = KBDUS_ATTACH_SAME_OWNER;
	attach.attributes = (uintptr_t)&mine.attributes;
	expect(ioctl(fd, KBDUS_ATTACH, &attach), ESTALE,
	       "candidate: of another owner");
}

static void test_candidate_queue(int fd, uint64_t id)
{
	struct kbdus_queue_new new = { 0 };
	struct kbdus_request none;
	struct kbdus_completion completion = { 0 };
	struct kbdus_exchange exchange = {
		.requests = (uintptr_t)&none,
		.max_requests = 1,
		.flags = KBDUS_EXCHANGE_NOWAIT,
	};
	struct kbdus_terminate terminate = { .id = id };

	expect(ioctl(fd, KBDUS_QUEUE, &new), 0, "candidate: QUEUE");
	expect(ioctl(new.fd, KBDUS_EXCHANGE, &exchange), 0,
	       "candidate: EXCHANGE");
	expect(exchange.n_requests ? -1 : 0, 0, "candidate: gets nothing");
	exchange.completions = (uintptr_t)&completion;
	exchange.n_completions = 1;
	exchange.flags = 0;
	exchange.max_requests = 0;
	expect(ioctl(new.fd, KBDUS_EXCHANGE, &exchange), ESTALE,
	       "candidate: has nothing to complete");
	expect(ioctl(fd, KBDUS_TERMINATE, &terminate), EAGAIN,
	       "candidate: TERMINATE");
	close(new.fd);
}

/* A process may be its own successor, as far as the module is concerned. */
static void test_candidate(int driver, uint64_t id)
{
	struct kbdus_create mine;
	uint64_t attributes = (uintptr_t)&mine.attributes;
	int fd = control(), other = control();

	expect(ioctl(driver, KBDUS_SETTLE, 0), EBUSY, "SETTLE: the driver");
	expect(ioctl(fd, KBDUS_SETTLE, 0), ENODEV, "SETTLE: on a plain file");
	for (size_t i = 0; i < N(candidate_cases); i++) {
		mine = good_create();
		spoil(&mine, &candidate_cases[i]);
		expect(candidate_attach(fd, id, attributes), EINVAL,
		       "candidate: %s", candidate_cases[i].name);
	}
	mine = good_create();
	expect(candidate_attach(fd, id, (uintptr_t)UNMAPPED), EFAULT,
	       "candidate: EFAULT");
	expect(candidate_attach(fd, UINT64_MAX, attributes), ENODEV,
	       "candidate: no such device");
	expect(candidate_attach(driver, id, attributes), EBUSY,
	       "candidate: on the driver's own session");
	test_candidate_owner(fd, id);
	expect(candidate_attach(fd, id, attributes), 0, "candidate: good");
	expect(candidate_attach(other, id, attributes), EBUSY,
	       "candidate: a second one");
	expect(ioctl(fd, KBDUS_SETTLE, 1), EINVAL, "SETTLE: argument");
	test_candidate_queue(fd, id);
	close(fd);
	expect(candidate_attach(other, id, attributes), 0,
	       "candidate: when the first one has gone");
	close(other);
}

/* An ioctl in a thread of its own: errno, or 0. */
struct call {
	pthread_t thread;
	int fd;
	unsigned long command;
	void *arg;
	int error;
};

static void *call_main(void *arg)
{
	struct call *call = arg;

	call->error = ioctl(call->fd, call->command, call->arg) ? errno : 0;
	return NULL;
}

/* The driver gets a flush that another thread waits for, and answers it. */
static void serve_flush(int queue, struct call *call, unsigned int flags,
			const char *name)
{
	struct kbdus_exchange exchange = fetch();
	struct kbdus_completion completion = { 0 };

	pthread_create(&call->thread, NULL, call_main, call);
	expect(ioctl(queue, KBDUS_EXCHANGE, &exchange), 0, "%s: a request",
	       name);
	expect(request.op == KBDUS_OP_FLUSH && request.flags == flags ? 0 : -1,
	       0, "%s: a flush, its flags", name);
	completion.generation = request.generation;
	completion.tag = request.tag;
	expect(answer_with(queue, completion), 0, "%s: answered", name);
	pthread_join(call->thread, NULL);
	errno = call->error;
	expect(call->error ? -1 : 0, 0, "%s: done", name);
}

/* The driver is told when another one may look at its backing. */
static void test_handover(int queue, uint64_t id)
{
	struct kbdus_create mine = good_create();
	struct call settle = { .fd = control(), .command = KBDUS_SETTLE };
	struct call flush = { .fd = control(),
			      .command = KBDUS_FLUSH,
			      .arg = &id };

	expect(candidate_attach(settle.fd, id, (uintptr_t)&mine.attributes), 0,
	       "SETTLE: candidate");
	serve_flush(queue, &settle, KBDUS_REQUEST_HANDOVER, "SETTLE");
	close(settle.fd);
	serve_flush(queue, &flush, 0, "FLUSH after it");
	close(flush.fd);
}

int main(void)
{
	struct kbdus_create create = good_create();
	struct kbdus_version version = { 0 };
	int fd = control(), queue;

	/* the reader and the TAP lines must not mix */
	setvbuf(stdout, NULL, _IOLBF, 0);
	buffers = mmap(NULL, DEPTH * MAX_IO, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(ioctl(fd, KBDUS_VERSION, &version), 0, "VERSION: good");
	expect(version.abi == KBDUS_ABI ? 0 : -1, 0, "VERSION: ours");
	expect(ioctl(fd, KBDUS_VERSION, UNMAPPED), EFAULT, "VERSION: EFAULT");
	expect(ioctl(fd, KBDUS_START, 0), ENODEV, "START: on a plain file");
	test_create();
	test_defaults();
	test_unknown_commands(fd);
	if (ioctl(fd, KBDUS_CREATE, &create)) {
		perror("KBDUS_CREATE");
		return 1;
	}
	test_attach(fd, create.id);
	queue = test_queue(fd);
	test_too_many_queues(fd);
	test_exchange(queue);
	test_foreign(fd, queue);
	expect(candidate_attach(control(), create.id,
				(uintptr_t)&create.attributes),
	       EBUSY, "candidate: before START");
	start(fd, queue);
	test_candidate(fd, create.id);
	test_handover(queue, create.id);
	test_ends(fd, create.id);
	test_completions(queue, create.id);
	printf("1..%u\n", n_tests);
	return n_failed != 0;
}
