/* SPDX-License-Identifier: MIT */
/*
 * msg - messages for people, to stderr or a log file.
 *
 * Each message is one write, so lines of several threads do not mix. The log
 * descriptor is set once, before threads start.
 */
#include "msg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define MSG_SIZE 4096

static const char *msg_who = "bdus";
static int msg_fd = STDERR_FILENO;
static bool msg_is_log;

void msg_set_who(const char *who)
{
	msg_who = who;
}

/* Length of what snprintf() put into @room bytes. */
static size_t msg_put(int length, size_t room)
{
	if (length < 0)
		return 0;
	return (size_t)length < room ? (size_t)length : room - 1;
}

static size_t msg_stamp(char *text, size_t size)
{
	struct timespec now;
	struct tm tm;
	char date[32];

	if (!msg_is_log)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	return msg_put(
		snprintf(text, size, "%s.%03ldZ ", date, now.tv_nsec / 1000000),
		size);
}

/* A message that cannot be written has nowhere else to go. */
static void msg_write(const char *text, size_t length)
{
	while (length > 0) {
		ssize_t n = write(msg_fd, text, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text += n;
		length -= (size_t)n;
	}
}

static void __attribute__((format(printf, 3, 0)))
msg_print(const char *who, const char *kind, const char *format, va_list args)
{
	int saved_errno = errno;
	char text[MSG_SIZE];
	size_t room = sizeof(text) - 1;
	size_t n = msg_stamp(text, room);

	n += msg_put(snprintf(text + n, room - n, "%s%s%s", who,
			      *who != '\0' ? ": " : "", kind),
		     room - n);
	n += msg_put(vsnprintf(text + n, room - n, format, args), room - n);
	text[n++] = '\n';
	msg_write(text, n);
	errno = saved_errno;
}

void msg_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	msg_print(msg_who, "", format, args);
	va_end(args);
}

void msg_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	msg_print(msg_who, "warning: ", format, args);
	va_end(args);
}

void msg_hint(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	msg_print("", "hint: ", format, args);
	va_end(args);
}

int msg_to_log(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

	if (fd < 0)
		return -errno;
	if (msg_is_log)
		close(msg_fd);
	msg_fd = fd;
	msg_is_log = true;
	return 0;
}
