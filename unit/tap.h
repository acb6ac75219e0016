/* SPDX-License-Identifier: MIT */
/*
 * tap.h - the few lines that a unit test needs: TAP on stdout, and the
 * messages of the code under test, caught.
 */
#ifndef BDUS_TAP_H
#define BDUS_TAP_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int tap_count;
static int tap_failed;

/* One assertion, with a printf-like name; returns what it was given. */
static inline bool __attribute__((format(printf, 2, 3)))
ok(bool is_ok, const char *format, ...)
{
	va_list args;

	printf("%sok %d - ", is_ok ? "" : "not ", ++tap_count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	if (!is_ok)
		tap_failed++;
	return is_ok;
}

/* The plan, and the exit status of the test. */
static inline int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed == 0 ? 0 : 1;
}

#ifdef BDUS_MSG_H

static FILE *tap_messages;

/* Sends messages to a temporary file from now on. */
static inline void tap_catch(void)
{
	char path[64];

	tap_messages = tmpfile();
	if (tap_messages == NULL) {
		perror("tmpfile");
		exit(1);
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(tap_messages));
	if (msg_to_log(path) != 0) {
		perror(path);
		exit(1);
	}
}

/* What was printed since the last call, cut off where @size ends. */
static inline const char *tap_caught(char *text, size_t size)
{
	/* not by stdio, which may answer from its buffer */
	ssize_t n = pread(fileno(tap_messages), text, size - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	if (ftruncate(fileno(tap_messages), 0) != 0)
		perror("ftruncate");
	return text;
}

#endif /* BDUS_MSG_H */

#endif /* BDUS_TAP_H */
