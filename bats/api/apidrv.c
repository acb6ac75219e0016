/* SPDX-License-Identifier: MIT */
/*
 * apidrv - a disk in memory, or in a file, as somebody would write it who knows
 * libbdus 0.1 from its manual alone; and that checks what the manual promises.
 *
 *	apidrv [NAME=VALUE]...
 *
 *	ops=LIST	callbacks for requests; default read,write
 *	ATTRIBUTE=N	of struct bdus_attrs, see set_attribute()
 *	daemonize=1	without it, it stays in the foreground
 *	fail=OP:N	what that callback returns; N may be "abort"
 *	sleep=OP:MS	how long that callback takes
 *	meet=N		reads wait for each other until N run at the same time
 *	uid=N		initialize becomes that user
 *	trace=FILE	where each call is written to, a line each
 *	file=PATH	holds the disk, and outlives the driver
 *	quiet=1		on_device_available is left to the library
 *	rerun=PATH	becomes the driver of that device
 *
 * Exit status: 0 when bdus_run() returns true, else 1, with errno and message
 * on stderr.
 */
#define BDUS_REQUIRE_VERSION_MAJOR 0
#define BDUS_REQUIRE_VERSION_MINOR 1
#define BDUS_REQUIRE_VERSION_PATCH 1

#define _GNU_SOURCE 1
#include <bdus.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK_SIZE (16 << 20)

#define API_NONE _IO('a', 1)
#define API_GET _IOR('a', 2, uint64_t)
#define API_PUT _IOW('a', 3, uint64_t)
#define API_ADD _IOWR('a', 4, uint64_t)
#define API_FAIL _IOWR('a', 5, uint64_t)
#define API_LARGE _IOC(_IOC_READ | _IOC_WRITE, 'a', 6, 16383)

/* What the disk is, and what the driver was told. */
struct disk {
	char *data;
	const char *fail_op, *sleep_op;
	int result, sleep_ms;
	unsigned int meet, uid;
	int trace;
	const char *file;
	uint64_t number;
	pthread_mutex_t lock;
	pthread_cond_t met;
	unsigned int n_running, n_meeting;
	bool is_exclusive;
	bool was_initialized;
};

static void trace(const struct disk *disk, const char *format, ...)
{
	char line[256];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (disk->trace >= 0 && write(disk->trace, line, (size_t)n) != n)
		abort();
}

static void check(const struct disk *disk, bool is_kept, const char *promise)
{
	if (!is_kept)
		trace(disk, "BROKEN %s\n", promise);
}

static void doze(const struct disk *disk, const char *op)
{
	if (disk->sleep_op && strcmp(disk->sleep_op, op) == 0)
		usleep((useconds_t)disk->sleep_ms * 1000);
}

static int result(const struct disk *disk, const char *op)
{
	return disk->fail_op && strcmp(disk->fail_op, op) == 0 ? disk->result :
								 0;
}

/* Reads meet until as many run at once as were asked for. */
static void meet(struct disk *disk)
{
	disk->n_meeting++;
	pthread_cond_broadcast(&disk->met);
	while (disk->n_meeting < disk->meet)
		pthread_cond_wait(&disk->met, &disk->lock);
}

static struct disk *enter(struct bdus_ctx *ctx, const char *op)
{
	struct disk *disk = ctx->private_data;

	pthread_mutex_lock(&disk->lock);
	disk->n_running++;
	check(disk, disk->was_initialized, "initialize first");
	check(disk, !disk->is_exclusive, "on_device_available alone");
	check(disk, disk->n_running <= ctx->attrs->max_concurrent_callbacks,
	      "max_concurrent_callbacks");
	if (strcmp(op, "read") == 0 && disk->meet)
		meet(disk);
	pthread_mutex_unlock(&disk->lock);
	doze(disk, op);
	return disk;
}

static int leave(struct disk *disk, const char *op)
{
	pthread_mutex_lock(&disk->lock);
	disk->n_running--;
	pthread_mutex_unlock(&disk->lock);
	return result(disk, op);
}

static struct disk *enter_range(struct bdus_ctx *ctx, const char *op,
				uint64_t offset, uint32_t size, uint32_t limit)
{
	struct disk *disk = enter(ctx, op);
	uint32_t block = ctx->attrs->logical_block_size;

	trace(disk, "%s %" PRIu64 " %" PRIu32 "\n", op, offset, size);
	check(disk, offset % block == 0, "offset a multiple");
	check(disk, size > 0 && size % block == 0, "size a positive multiple");
	check(disk, size <= limit, "size within the limit");
	check(disk, offset + size <= ctx->attrs->size, "within the device");
	return disk;
}

static int api_read(char *buffer, uint64_t offset, uint32_t size,
		    struct bdus_ctx *ctx)
{
	struct disk *disk = enter_range(ctx, "read", offset, size,
					ctx->attrs->max_read_write_size);

	check(disk, (uintptr_t)buffer % 4096 == 0, "buffer aligned");
	memcpy(buffer, disk->data + offset, size);
	return leave(disk, "read");
}

static int api_write(const char *buffer, uint64_t offset, uint32_t size,
		     struct bdus_ctx *ctx)
{
	struct disk *disk = enter_range(ctx, "write", offset, size,
					ctx->attrs->max_read_write_size);

	check(disk, (uintptr_t)buffer % 4096 == 0, "buffer aligned");
	memcpy(disk->data + offset, buffer, size);
	return leave(disk, "write");
}

static int api_write_same(const char *buffer, uint64_t offset, uint32_t size,
			  struct bdus_ctx *ctx)
{
	(void)buffer;
	return leave(enter_range(ctx, "write_same", offset, size,
				 ctx->attrs->max_write_same_size),
		     "write_same");
}

static int api_write_zeros(uint64_t offset, uint32_t size, bool may_unmap,
			   struct bdus_ctx *ctx)
{
	struct disk *disk = enter_range(ctx, "write_zeros", offset, size,
					ctx->attrs->max_write_zeros_size);

	trace(disk, "may_unmap %d\n", may_unmap);
	memset(disk->data + offset, 0, size);
	return leave(disk, "write_zeros");
}

static int api_fua_write(const char *buffer, uint64_t offset, uint32_t size,
			 struct bdus_ctx *ctx)
{
	struct disk *disk = enter_range(ctx, "fua_write", offset, size,
					ctx->attrs->max_read_write_size);

	memcpy(disk->data + offset, buffer, size);
	return leave(disk, "fua_write");
}

static int api_flush(struct bdus_ctx *ctx)
{
	struct disk *disk = enter(ctx, "flush");

	trace(disk, "flush\n");
	return leave(disk, "flush");
}

static int api_discard(uint64_t offset, uint32_t size, struct bdus_ctx *ctx)
{
	return leave(enter_range(ctx, "discard", offset, size,
				 ctx->attrs->max_discard_erase_size),
		     "discard");
}

static int api_secure_erase(uint64_t offset, uint32_t size,
			    struct bdus_ctx *ctx)
{
	struct disk *disk = enter_range(ctx, "secure_erase", offset, size,
					ctx->attrs->max_discard_erase_size);

	memset(disk->data + offset, 0, size);
	return leave(disk, "secure_erase");
}

static int run_command(struct disk *disk, uint32_t command, uint64_t *number)
{
	switch (command) {
	case API_NONE:
		check(disk, number == NULL, "no argument");
		return 0;
	case API_GET:
		check(disk, *number == 0, "zeroes for _IOR");
		*number = disk->number;
		return 0;
	case API_PUT:
		disk->number = *number;
		*number = 1;
		return 0;
	case API_ADD:
		*number += disk->number;
		return 0;
	case API_FAIL:
		*number = 1;
		return EXDEV;
	case API_LARGE:
		((char *)number)[16382]++;
		return 0;
	default:
		return ENOTTY;
	}
}

static int api_ioctl(uint32_t command, void *argument, struct bdus_ctx *ctx)
{
	struct disk *disk = enter(ctx, "ioctl");
	int error = run_command(disk, command, argument);
	int told = leave(disk, "ioctl");

	trace(disk, "ioctl %#" PRIx32 "\n", command);
	return error ? error : told;
}

static int api_initialize(struct bdus_ctx *ctx)
{
	struct disk *disk = ctx->private_data;

	trace(disk, "initialize %s\n", ctx->is_rerun ? "again" : "anew");
	disk->was_initialized = true;
	if (disk->uid && (setgid(disk->uid) || setuid(disk->uid)))
		abort();
	return result(disk, "initialize");
}

static void print_attributes(const struct bdus_ctx *ctx)
{
	const struct bdus_attrs *attrs = ctx->attrs;

	printf("%s\n", ctx->path);
	printf("id %" PRIu64 "\nsize %" PRIu64 "\nlogical_block_size %" PRIu32
	       "\nphysical_block_size %" PRIu32 "\n",
	       ctx->id, attrs->size, attrs->logical_block_size,
	       attrs->physical_block_size);
	printf("max_concurrent_callbacks %" PRIu32
	       "\nmax_read_write_size %" PRIu32
	       "\nmax_write_zeros_size %" PRIu32
	       "\nmax_discard_erase_size %" PRIu32 "\n",
	       attrs->max_concurrent_callbacks, attrs->max_read_write_size,
	       attrs->max_write_zeros_size, attrs->max_discard_erase_size);
	printf("recoverable %d\nnumber %" PRIu32 ":%" PRIu32 "\nis_rerun %d\n",
	       attrs->recoverable, ctx->major, ctx->minor, ctx->is_rerun);
	fflush(stdout);
}

static void set_exclusive(struct disk *disk, bool is_exclusive)
{
	pthread_mutex_lock(&disk->lock);
	check(disk, disk->n_running == 0, "on_device_available alone");
	disk->is_exclusive = is_exclusive;
	pthread_mutex_unlock(&disk->lock);
}

static int api_available(struct bdus_ctx *ctx)
{
	struct disk *disk = ctx->private_data;
	struct stat st;

	set_exclusive(disk, true);
	check(disk, stat(ctx->path, &st) == 0 && S_ISBLK(st.st_mode),
	      "the node is there");
	trace(disk, "available\n");
	print_attributes(ctx);
	doze(disk, "available");
	set_exclusive(disk, false);
	return result(disk, "available");
}

static int api_terminate(struct bdus_ctx *ctx)
{
	struct disk *disk = ctx->private_data;

	check(disk, disk->n_running == 0, "terminate last");
	trace(disk, "terminate\n");
	return result(disk, "terminate");
}

static void set_ops(struct bdus_ops *ops, char *list)
{
	static const struct bdus_ops all = {
		.read = api_read,
		.write = api_write,
		.write_same = api_write_same,
		.write_zeros = api_write_zeros,
		.fua_write = api_fua_write,
		.flush = api_flush,
		.discard = api_discard,
		.secure_erase = api_secure_erase,
		.ioctl = api_ioctl,
	};

#define SET(op)                     \
	if (strcmp(name, #op) == 0) \
	ops->op = all.op
	*ops = (struct bdus_ops){
		.initialize = ops->initialize,
		.on_device_available = ops->on_device_available,
		.terminate = ops->terminate,
	};
	for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		SET(read);
		SET(write);
		SET(write_same);
		SET(write_zeros);
		SET(fua_write);
		SET(flush);
		SET(discard);
		SET(secure_erase);
		SET(ioctl);
	}
#undef SET
}

static bool set_attribute(struct bdus_attrs *attrs, const char *name,
			  const char *value)
{
	unsigned long long n = strtoull(value, NULL, 0);

#define SET(attribute, type)                 \
	if (strcmp(name, #attribute) == 0) { \
		attrs->attribute = (type)n;  \
		return true;                 \
	}
	SET(size, uint64_t)
	SET(logical_block_size, uint32_t)
	SET(physical_block_size, uint32_t)
	SET(max_concurrent_callbacks, uint32_t)
	SET(max_read_write_size, uint32_t)
	SET(max_write_same_size, uint32_t)
	SET(max_write_zeros_size, uint32_t)
	SET(max_discard_erase_size, uint32_t)
	SET(disable_partition_scanning, bool)
	SET(recoverable, bool)
	SET(log, bool)
	SET(timeout_ms, uint32_t)
#undef SET
	return false;
}

/* OP:N: the operation, and a number, an errno or "abort". */
static int set_pair(char *pair, const char **op)
{
	char *number = strchr(pair, ':');

	if (!number)
		exit(2);
	*number++ = '\0';
	*op = pair;
	return strcmp(number, "abort") == 0 ? (int)bdus_abort : atoi(number);
}

static bool set_behaviour(struct disk *disk, const char *name, char *value)
{
	if (strcmp(name, "fail") == 0)
		disk->result = set_pair(value, &disk->fail_op);
	else if (strcmp(name, "sleep") == 0)
		disk->sleep_ms = set_pair(value, &disk->sleep_op);
	else if (strcmp(name, "meet") == 0)
		disk->meet = (unsigned int)atoi(value);
	else if (strcmp(name, "uid") == 0)
		disk->uid = (unsigned int)atoi(value);
	else if (strcmp(name, "file") == 0)
		disk->file = value;
	else if (strcmp(name, "trace") == 0)
		disk->trace = open(value, O_WRONLY | O_APPEND | O_CREAT, 0666);
	else
		return false;
	return true;
}

static void take_memory(struct disk *disk, size_t size)
{
	int fd = disk->file ? open(disk->file, O_RDWR) : -1;

	disk->data =
		mmap(NULL, size, PROT_READ | PROT_WRITE,
		     fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
	if (disk->data == MAP_FAILED)
		abort();
}

int main(int argc, char **argv)
{
	static struct disk disk = { .trace = -1,
				    .lock = PTHREAD_MUTEX_INITIALIZER,
				    .met = PTHREAD_COND_INITIALIZER };
	struct bdus_ops ops = { .initialize = api_initialize,
				.on_device_available = api_available,
				.terminate = api_terminate,
				.read = api_read,
				.write = api_write };
	struct bdus_attrs attrs = { .size = DISK_SIZE, .dont_daemonize = true };
	const char *rerun = NULL;
	uint64_t id;
	bool is_done;

	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			return 2;
		*value++ = '\0';
		if (strcmp(argv[i], "ops") == 0)
			set_ops(&ops, value);
		else if (strcmp(argv[i], "daemonize") == 0)
			attrs.dont_daemonize = false;
		else if (strcmp(argv[i], "quiet") == 0)
			ops.on_device_available = NULL;
		else if (strcmp(argv[i], "rerun") == 0)
			rerun = value;
		else if (!set_attribute(&attrs, argv[i], value) &&
			 !set_behaviour(&disk, argv[i], value))
			abort();
	}
	take_memory(&disk, DISK_SIZE);
	if (!rerun)
		is_done = bdus_run(&ops, &attrs, &disk);
	else
		is_done = bdus_get_dev_id_from_path(&id, rerun) &&
			  bdus_rerun(id, &ops, &attrs, &disk);
	if (!is_done)
		fprintf(stderr, "errno %d: %s\n", errno,
			bdus_get_error_message());
	return is_done ? 0 : 1;
}
