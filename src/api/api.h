/* SPDX-License-Identifier: MIT */
/*
 * api/api.h - what the rooms of libbdus share.
 *
 * libbdus is a thin face over the runtime: struct bdus_ops becomes a struct
 * driver whose callbacks call the user's. Nothing is kept for the process but
 * the error message, which each thread has for itself.
 *
 *	run.c		the life of a device
 *	sync.c		the callbacks of libbdus 0.1
 *	async.c		the asynchronous form
 *	attributes.c	attributes, both ways
 *	daemonize.c	the process that serves
 *	devices.c	any device: find, flush, destroy; versions
 *	message.c	error messages
 */
#ifndef BDUS_API_H
#define BDUS_API_H

#include <pthread.h>
#include <stdatomic.h>

#include "bdus.h"
#include "dev.h"
#include "node.h"

/**
 * struct api - one device and the user's callbacks
 * @dev: the device; its priv is this
 * @driver: made from the callbacks
 * @ops: the callbacks, or NULL
 * @async: the callbacks of the asynchronous form, or NULL
 * @given: attributes as the user gave them
 * @attrs: as ctx->attrs shows them
 * @ctx: what callbacks see, NULL until the device exists
 * @node: the device's node
 * @name: of the program, as the device's driver
 * @parent: socket to the parent process, or -1
 * @turnstile: held by who waits for @gate; so new callbacks wait behind
 *	on_device_available
 * @gate: held for reading by callbacks, for writing by on_device_available
 * @was_aborted: a callback gave up
 * @n_open: requests of the asynchronous form that are not completed
 */
struct api {
	struct dev dev;
	struct driver driver;
	const struct bdus_ops *ops;
	const struct bdus_async_ops *async;
	struct bdus_attrs given;
	struct bdus_attrs attrs;
	struct bdus_ctx *ctx;
	struct node node;
	char name[KBDUS_NAME_SIZE];
	int parent;
	pthread_mutex_t turnstile;
	pthread_rwlock_t gate;
	atomic_bool was_aborted;
	atomic_uint n_open;
};

/** api_of - the device that a request is for. */
static inline struct api *api_of(const struct io *io)
{
	return dev_priv(io->dev);
}

/** api_answer - answer a request as a callback returned: errno or abort. */
void api_answer(struct io *io, int result);

/** api_log - print a line about a device to stderr, if attrs.log is set. */
void api_log(const struct api *api, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** api_log_io - likewise, a callback that is about to be called. */
void api_log_io(const struct io *io, const char *callback);

/** sync_fill_driver - make @api->driver call @api->ops. */
void sync_fill_driver(struct api *api);

/** async_fill_driver - make @api->driver call @api->async. */
void async_fill_driver(struct api *api);

/** async_wait - wait until all requests have been completed; none can come. */
void async_wait(struct api *api);

/**
 * attributes_check - are the user's attributes possible?
 * @api: driver and given are filled in
 *
 * Leaves a message.
 *
 * Return: 0 or an errno.
 */
int attributes_check(struct api *api);

/**
 * attributes_adopt - fill what is 0 from the device that is taken over
 * @api: dev.id and what attributes_check() needs are filled in
 *
 * Leaves a message.
 *
 * Return: 0 or an errno.
 */
int attributes_adopt(struct api *api);

/** attributes_open - the driver's open callback: tell them to the runtime. */
int attributes_open(struct dev *dev);

/** attributes_show - fill @api->attrs from the attached device. */
void attributes_show(struct api *api);

/**
 * daemonize_fork - go on in a child
 * @api: parent is filled in
 *
 * The parent never returns: it waits, and exits.
 *
 * Return: 0, or an errno when there is no child.
 */
int daemonize_fork(struct api *api);

/**
 * daemonize_ready - leave the terminal and let the parent go
 * @api: in the child
 *
 * Return: 0 or an errno.
 */
int daemonize_ready(struct api *api);

/** message_begin - a function begins: forget what was left of another. */
void message_begin(void);

/**
 * message_fail - a function fails
 * @error: its errno
 *
 * What the runtime had to say since message_begin() becomes the thread's error
 * message; if it had nothing, the text of the errno does.
 *
 * Return: false.
 */
bool message_fail(int error);

/** message_errno - the errno for an exit code of the runtime. */
int message_errno(int code);

#endif /* BDUS_API_H */
