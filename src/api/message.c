/* SPDX-License-Identifier: MIT */
/*
 * message - what the runtime prints, as a text for bdus_get_error_message().
 *
 * This stands in for msg.c, since a library does not print. A message of a
 * worker's thread has nobody to read it; what ends a device is told by its
 * errno.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "msg.h"

#define MESSAGE_SIZE 1024

static __thread char message_pending[MESSAGE_SIZE];
static __thread char message_last[MESSAGE_SIZE];

void message_begin(void)
{
	message_pending[0] = '\0';
}

/* One text after the other, cut off where the room ends. */
static void __attribute__((format(printf, 1, 0)))
message_add(const char *format, va_list args)
{
	int saved_errno = errno;
	size_t n = strlen(message_pending);

	if (n > 0 && n < MESSAGE_SIZE - 3) {
		memcpy(message_pending + n, "; ", 3);
		n += 2;
	}
	vsnprintf(message_pending + n, MESSAGE_SIZE - n, format, args);
	errno = saved_errno;
}

void msg_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	message_add(format, args);
	va_end(args);
}

void msg_warn(const char *format, ...)
{
	(void)format;
}

void msg_hint(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	message_add(format, args);
	va_end(args);
}

bool message_fail(int error)
{
	if (message_pending[0] == '\0')
		msg_error("%s", strerror(error));
	memcpy(message_last, message_pending, MESSAGE_SIZE);
	errno = error;
	return false;
}

int message_errno(int code)
{
	switch (code) {
	case EXIT_USAGE:
		return EINVAL;
	case EXIT_NO_DEVICE:
		return ENODEV;
	case EXIT_BUSY:
		return EBUSY;
	case EXIT_TIMED_OUT:
		return ETIMEDOUT;
	case EXIT_NO_MODULE:
		return geteuid() != 0 ? EPERM : ENODEV;
	default:
		return EIO;
	}
}

const char *bdus_get_error_message(void)
{
	return message_last;
}
