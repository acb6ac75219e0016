/* SPDX-License-Identifier: MIT */
/*
 * async - the asynchronous form: a struct bdus_request is a struct io.
 */
#include <errno.h>
#include <time.h>

#include "api.h"

#define ASYNC_WAIT_MS 1

static struct io *async_io(struct bdus_request *request)
{
	return (struct io *)request;
}

static const struct io *async_io_const(const struct bdus_request *request)
{
	return (const struct io *)request;
}

static void async_call(struct io *io, const char *name,
		       void (*callback)(struct bdus_request *request,
					struct bdus_ctx *ctx))
{
	struct api *api = api_of(io);

	api_log_io(io, name);
	atomic_fetch_add(&api->n_open, 1);
	callback((struct bdus_request *)io, api->ctx);
}

static void async_read(struct io *io)
{
	async_call(io, "read", api_of(io)->async->read);
}

static void async_write(struct io *io)
{
	async_call(io, "write", api_of(io)->async->write);
}

static void async_fua_write(struct io *io)
{
	async_call(io, "fua_write", api_of(io)->async->fua_write);
}

static void async_write_zeroes(struct io *io)
{
	async_call(io, "write_zeros", api_of(io)->async->write_zeros);
}

static void async_flush(struct io *io)
{
	async_call(io, "flush", api_of(io)->async->flush);
}

static void async_discard(struct io *io)
{
	async_call(io, "discard", api_of(io)->async->discard);
}

static void async_secure_erase(struct io *io)
{
	async_call(io, "secure_erase", api_of(io)->async->secure_erase);
}

static void async_ioctl(struct io *io)
{
	async_call(io, "ioctl", api_of(io)->async->ioctl);
}

static void async_refuse(struct io *io)
{
	io_done(io, EOPNOTSUPP);
}

void async_fill_driver(struct api *api)
{
	const struct bdus_async_ops *ops = api->async;
	struct driver *driver = &api->driver;
	bool does_write = ops->write != NULL || ops->fua_write != NULL ||
			  ops->write_zeros != NULL || ops->discard != NULL ||
			  ops->secure_erase != NULL;

	driver->no_buffers = ops->no_buffers;
	driver->read = ops->read != NULL ? async_read : async_refuse;
	if (does_write)
		driver->write = ops->write != NULL ? async_write : async_refuse;
	if (ops->fua_write != NULL)
		driver->fua_write = async_fua_write;
	if (ops->flush != NULL)
		driver->flush = async_flush;
	if (ops->write_zeros != NULL)
		driver->write_zeroes = async_write_zeroes;
	if (ops->discard != NULL)
		driver->discard = async_discard;
	if (ops->secure_erase != NULL)
		driver->secure_erase = async_secure_erase;
	if (ops->ioctl != NULL)
		driver->ioctl = async_ioctl;
}

/* Mostly there is nothing to wait for: the module drains a device it ends. */
void async_wait(struct api *api)
{
	const struct timespec pause = { .tv_nsec = ASYNC_WAIT_MS * 1000000L };

	while (atomic_load(&api->n_open) > 0)
		nanosleep(&pause, NULL);
}

uint64_t bdus_request_offset(const struct bdus_request *request)
{
	return async_io_const(request)->off;
}

uint32_t bdus_request_size(const struct bdus_request *request)
{
	return async_io_const(request)->len;
}

void *bdus_request_buffer(const struct bdus_request *request)
{
	return async_io_const(request)->buf;
}

bool bdus_request_may_unmap(const struct bdus_request *request)
{
	return async_io_const(request)->may_unmap;
}

uint32_t bdus_request_command(const struct bdus_request *request)
{
	return async_io_const(request)->command;
}

/* The count goes last: with it the device may go. */
void bdus_complete(struct bdus_request *request, int result)
{
	struct api *api = api_of(async_io(request));

	api_answer(async_io(request), result);
	atomic_fetch_sub(&api->n_open, 1);
}

void bdus_complete_addr(struct bdus_request *request, void *addr)
{
	struct api *api = api_of(async_io(request));

	io_done_addr(async_io(request), addr);
	atomic_fetch_sub(&api->n_open, 1);
}

void bdus_complete_zero(struct bdus_request *request)
{
	struct api *api = api_of(async_io(request));

	io_done_zero(async_io(request));
	atomic_fetch_sub(&api->n_open, 1);
}
