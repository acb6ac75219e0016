/* SPDX-License-Identifier: MIT */
/*
 * apiasync - a disk in memory in the asynchronous form of libbdus.
 *
 *	apiasync FORM [DEVICE]
 *
 *	buffer		a thread of its own completes everything, by buffer,
 *			once it has collected what came within 2 ms; prints to
 *			most.out how many requests it had at most
 *	addr		by address, without buffers, in the callback
 *	late-addr	likewise, on another thread
 *	zero		reads are zeroes, writes are forgotten; no buffers
 *	abort		the first write completes with bdus_abort
 *	both		no buffers, and an ioctl: not possible
 *
 * With DEVICE it becomes the driver of that device.
 */
#define _GNU_SOURCE 1
#include <bdus.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DISK_SIZE (16 << 20)
#define MAX_QUEUED 1024

enum kind { READ, WRITE, DISCARD, FLUSH, IOCTL };

struct queued {
	struct bdus_request *request;
	enum kind kind;
};

/* What waits for the thread that completes; the disk behind it. */
struct disk {
	char *data;
	const char *form;
	pthread_mutex_t lock;
	pthread_cond_t came;
	struct queued queue[MAX_QUEUED];
	unsigned int n;
	unsigned int most;
	bool is_over;
	pthread_t thread;
};

static bool is_form(const struct disk *disk, const char *form)
{
	return strcmp(disk->form, form) == 0;
}

static void serve(struct disk *disk, const struct queued *queued)
{
	struct bdus_request *request = queued->request;
	char *data = disk->data + bdus_request_offset(request);
	size_t size = bdus_request_size(request);

	if (is_form(disk, "late-addr") && queued->kind <= WRITE) {
		bdus_complete_addr(request, data);
		return;
	}
	if (queued->kind == READ)
		memcpy(bdus_request_buffer(request), data, size);
	else if (queued->kind == WRITE)
		memcpy(data, bdus_request_buffer(request), size);
	else if (queued->kind == DISCARD)
		memset(data, 0, size);
	bdus_complete(request, queued->kind == IOCTL ? ENOTTY : 0);
}

static void *complete(void *arg)
{
	struct queued batch[MAX_QUEUED];
	struct disk *disk = arg;
	unsigned int n;

	for (;;) {
		pthread_mutex_lock(&disk->lock);
		while (disk->n == 0 && !disk->is_over)
			pthread_cond_wait(&disk->came, &disk->lock);
		pthread_mutex_unlock(&disk->lock);
		usleep(2000);
		pthread_mutex_lock(&disk->lock);
		n = disk->n;
		memcpy(batch, disk->queue, n * sizeof(*batch));
		disk->n = 0;
		if (n > disk->most)
			disk->most = n;
		if (n == 0 && disk->is_over)
			break;
		pthread_mutex_unlock(&disk->lock);
		for (unsigned int i = 0; i < n; i++)
			serve(disk, &batch[i]);
	}
	pthread_mutex_unlock(&disk->lock);
	return NULL;
}

static void queue(struct bdus_request *request, struct bdus_ctx *ctx,
		  enum kind kind)
{
	struct disk *disk = ctx->private_data;

	pthread_mutex_lock(&disk->lock);
	disk->queue[disk->n++] = (struct queued){ request, kind };
	pthread_cond_signal(&disk->came);
	pthread_mutex_unlock(&disk->lock);
}

static void queue_read(struct bdus_request *request, struct bdus_ctx *ctx)
{
	queue(request, ctx, READ);
}

static void queue_write(struct bdus_request *request, struct bdus_ctx *ctx)
{
	queue(request, ctx, WRITE);
}

static void queue_discard(struct bdus_request *request, struct bdus_ctx *ctx)
{
	queue(request, ctx, DISCARD);
}

static void queue_flush(struct bdus_request *request, struct bdus_ctx *ctx)
{
	queue(request, ctx, FLUSH);
}

static void queue_ioctl(struct bdus_request *request, struct bdus_ctx *ctx)
{
	queue(request, ctx, IOCTL);
}

static void by_address(struct bdus_request *request, struct bdus_ctx *ctx)
{
	const struct disk *disk = ctx->private_data;

	bdus_complete_addr(request, disk->data + bdus_request_offset(request));
}

static void as_zeroes(struct bdus_request *request, struct bdus_ctx *ctx)
{
	(void)ctx;
	bdus_complete_zero(request);
}

static void forget(struct bdus_request *request, struct bdus_ctx *ctx)
{
	(void)ctx;
	bdus_complete(request, 0);
}

static void give_up(struct bdus_request *request, struct bdus_ctx *ctx)
{
	(void)ctx;
	bdus_complete(request, bdus_abort);
}

static int start(struct bdus_ctx *ctx)
{
	struct disk *disk = ctx->private_data;

	return pthread_create(&disk->thread, NULL, complete, disk);
}

static int stop(struct bdus_ctx *ctx)
{
	struct disk *disk = ctx->private_data;
	FILE *out = fopen("most.out", "w");

	pthread_mutex_lock(&disk->lock);
	disk->is_over = true;
	pthread_cond_signal(&disk->came);
	pthread_mutex_unlock(&disk->lock);
	pthread_join(disk->thread, NULL);
	if (out == NULL)
		return errno;
	fprintf(out, "%u\n", disk->most);
	return fclose(out) == 0 ? 0 : errno;
}

static void choose(const struct disk *disk, struct bdus_async_ops *ops)
{
	ops->read = queue_read;
	ops->write = queue_write;
	ops->flush = queue_flush;
	ops->discard = queue_discard;
	ops->no_buffers = !is_form(disk, "buffer") && !is_form(disk, "abort");
	if (is_form(disk, "buffer") || is_form(disk, "both"))
		ops->ioctl = queue_ioctl;
	if (is_form(disk, "addr")) {
		ops->read = by_address;
		ops->write = by_address;
	} else if (is_form(disk, "zero")) {
		ops->read = as_zeroes;
		ops->write = forget;
	} else if (is_form(disk, "abort")) {
		ops->write = give_up;
	}
}

int main(int argc, char **argv)
{
	static struct disk disk = { .lock = PTHREAD_MUTEX_INITIALIZER,
				    .came = PTHREAD_COND_INITIALIZER };
	struct bdus_async_ops ops = { .initialize = start, .terminate = stop };
	const struct bdus_attrs attrs = { .size = DISK_SIZE,
					  .dont_daemonize = true };
	uint64_t id;
	bool is_done;

	if (argc < 2)
		return 2;
	disk.form = argv[1];
	disk.data = calloc(1, DISK_SIZE);
	choose(&disk, &ops);
	if (argc == 2)
		is_done = bdus_run_async(&ops, &attrs, &disk);
	else
		is_done = bdus_get_dev_id_from_path(&id, argv[2]) &&
			  bdus_rerun_async(id, &ops, &attrs, &disk);
	if (!is_done)
		fprintf(stderr, "errno %d: %s\n", errno,
			bdus_get_error_message());
	return is_done ? 0 : 1;
}
