/* SPDX-License-Identifier: MIT */
/*
 * terminal.h - questions to the person at the terminal.
 */
#ifndef BDUS_TERMINAL_H
#define BDUS_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/** terminal_is_there - is somebody to be asked: is stdin a terminal? */
bool terminal_is_there(void);

/**
 * terminal_ask - ask a question and read one line
 * @prompt: the question
 * @has_echo: show what is typed
 * @answer: where to store it, without the line's end, not ended by NUL
 * @size: room in @answer
 * @len: bytes of the answer
 *
 * On /dev/tty, or stdin where there is no such thing. What was typed before
 * the question does not count. A signal that ends or stops the process gets
 * its way once the terminal is as it was before; the question is put again
 * when the process goes on.
 *
 * Return: 0, -ENODATA (end of file), -EOVERFLOW (line longer than @size) or
 * another -errno.
 */
int terminal_ask(const char *prompt, bool has_echo, void *answer, size_t size,
		 size_t *len);

/**
 * terminal_confirm - have a destructive act confirmed by the word YES
 * @warning: what is going to happen
 *
 * Without a terminal the answer is no, with a hint at --force.
 *
 * Return: an exit code; %EXIT_DONE: it may be done.
 */
int terminal_confirm(const char *warning);

#endif /* BDUS_TERMINAL_H */
