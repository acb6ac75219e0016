/* SPDX-License-Identifier: MIT */
/*
 * msg - messages are formatted, since their arguments come from the disk, and
 * thrown away.
 */
#include "msg.h"

#include <stdarg.h>
#include <stdio.h>

static void __attribute__((format(printf, 1, 0)))
msg_format(const char *format, va_list args)
{
	char text[512];

	vsnprintf(text, sizeof(text), format, args);
}

void msg_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	msg_format(format, args);
	va_end(args);
}

void msg_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	msg_format(format, args);
	va_end(args);
}

void msg_hint(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	msg_format(format, args);
	va_end(args);
}
