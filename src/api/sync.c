/* SPDX-License-Identifier: MIT */
/*
 * sync - the callbacks of libbdus 0.1: a request is served when they return.
 */
#include <errno.h>
#include <linux/ioctl.h>

#include "api.h"

/* Before a callback. Whoever waits to be alone lets none in before itself. */
static struct api *sync_enter(const struct io *io, const char *callback)
{
	struct api *api = api_of(io);

	pthread_mutex_lock(&api->turnstile);
	pthread_rwlock_rdlock(&api->gate);
	pthread_mutex_unlock(&api->turnstile);
	api_log_io(io, callback);
	return api;
}

static void sync_leave(struct io *io, int result)
{
	pthread_rwlock_unlock(&api_of(io)->gate);
	api_answer(io, result);
}

static void sync_read(struct io *io)
{
	struct api *api = sync_enter(io, "read");

	sync_leave(io, api->ops->read(io->buf, io->off, io->len, api->ctx));
}

static void sync_write(struct io *io)
{
	struct api *api = sync_enter(io, "write");

	sync_leave(io, api->ops->write(io->buf, io->off, io->len, api->ctx));
}

static void sync_fua_write(struct io *io)
{
	struct api *api = sync_enter(io, "fua_write");

	sync_leave(io,
		   api->ops->fua_write(io->buf, io->off, io->len, api->ctx));
}

static void sync_write_zeroes(struct io *io)
{
	struct api *api = sync_enter(io, "write_zeros");

	sync_leave(io, api->ops->write_zeros(io->off, io->len, io->may_unmap,
					     api->ctx));
}

static void sync_flush(struct io *io)
{
	struct api *api = sync_enter(io, "flush");

	sync_leave(io, api->ops->flush(api->ctx));
}

static void sync_discard(struct io *io)
{
	struct api *api = sync_enter(io, "discard");

	sync_leave(io, api->ops->discard(io->off, io->len, api->ctx));
}

static void sync_secure_erase(struct io *io)
{
	struct api *api = sync_enter(io, "secure_erase");

	sync_leave(io, api->ops->secure_erase(io->off, io->len, api->ctx));
}

static void sync_ioctl(struct io *io)
{
	struct api *api = sync_enter(io, "ioctl");
	void *argument = _IOC_DIR(io->command) != _IOC_NONE ? io->buf : NULL;

	sync_leave(io, api->ops->ioctl(io->command, argument, api->ctx));
}

/* Devices read, and are written to or read-only: what the user left out. */
static void sync_refuse(struct io *io)
{
	io_done(io, EOPNOTSUPP);
}

void sync_fill_driver(struct api *api)
{
	const struct bdus_ops *ops = api->ops;
	struct driver *driver = &api->driver;
	bool does_write = ops->write != NULL || ops->fua_write != NULL ||
			  ops->write_zeros != NULL || ops->discard != NULL ||
			  ops->secure_erase != NULL;

	driver->read = ops->read != NULL ? sync_read : sync_refuse;
	if (does_write)
		driver->write = ops->write != NULL ? sync_write : sync_refuse;
	if (ops->fua_write != NULL)
		driver->fua_write = sync_fua_write;
	if (ops->flush != NULL)
		driver->flush = sync_flush;
	if (ops->write_zeros != NULL)
		driver->write_zeroes = sync_write_zeroes;
	if (ops->discard != NULL)
		driver->discard = sync_discard;
	if (ops->secure_erase != NULL)
		driver->secure_erase = sync_secure_erase;
	if (ops->ioctl != NULL)
		driver->ioctl = sync_ioctl;
}
