/* SPDX-License-Identifier: MIT */
/*
 * msg.h - exit codes, and messages for people: "bdus loop: disk.img: cannot
 * open: No such file or directory".
 *
 * Messages go to stderr until msg_to_log() sends them elsewhere; a message is
 * printed once, by whoever knows the name of the thing.
 */
#ifndef BDUS_MSG_H
#define BDUS_MSG_H

/** enum exit_code - what a command's exit status means. */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_WRONG_KEY = 3,
	EXIT_NO_DEVICE = 4,
	EXIT_BUSY = 5,
	EXIT_TIMED_OUT = 6,
	EXIT_NO_MODULE = 7,
	EXIT_NO_APPLET = 127
};

/** msg_set_who - set the prefix of all messages, as "bdus ram" (not copied). */
void msg_set_who(const char *who);

/** msg_error - print an error; printf-like, no newline at the end. */
void msg_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** msg_warn - print a warning. */
void msg_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** msg_hint - say what to do about the error just printed. */
void msg_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * msg_to_log - append messages to a file from now on, each with a time stamp
 * @path: the file, created if absent
 *
 * Return: 0 or -errno.
 */
int msg_to_log(const char *path);

#endif /* BDUS_MSG_H */
