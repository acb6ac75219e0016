/* SPDX-License-Identifier: MIT */
/*
 * terminal - questions to the person at the terminal.
 *
 * While a question stands, the signals that end or stop the process are read
 * from a descriptor beside the terminal, so that echo is back before they do.
 * SIGTTIN and SIGTTOU keep their meaning: they stop a background process
 * before it touches the terminal.
 */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "msg.h"

/* A terminal with a question on it, and what to put back. */
struct terminal {
	int fd;
	int signals;
	sigset_t mask;
	struct termios mode;
};

bool terminal_is_there(void)
{
	return isatty(STDIN_FILENO) != 0;
}

static void terminal_put(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* the read tells what is wrong with it */
		text += n;
		len -= (size_t)n;
	}
}

static int terminal_hold_signals(struct terminal *terminal)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGTSTP);
	terminal->signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (terminal->signals < 0)
		return -errno;
	pthread_sigmask(SIG_BLOCK, &set, &terminal->mask);
	return 0;
}

static void terminal_release_signals(struct terminal *terminal)
{
	pthread_sigmask(SIG_SETMASK, &terminal->mask, NULL);
	close(terminal->signals);
}

static int terminal_set_echo(struct terminal *terminal, bool has_echo)
{
	struct termios mode;

	if (tcgetattr(terminal->fd, &terminal->mode) != 0)
		return -errno;
	mode = terminal->mode;
	mode.c_lflag |= ICANON | ISIG;
	mode.c_lflag &= ~(tcflag_t)ECHONL;
	if (!has_echo)
		mode.c_lflag &= ~(tcflag_t)ECHO;
	return tcsetattr(terminal->fd, TCSAFLUSH, &mode) == 0 ? 0 : -errno;
}

/* The next byte; or -EINTR with the signal that came instead. */
static int terminal_read(const struct terminal *terminal, char *byte,
			 int *signal)
{
	struct pollfd fds[] = {
		{ .fd = terminal->fd, .events = POLLIN },
		{ .fd = terminal->signals, .events = POLLIN },
	};
	struct signalfd_siginfo info;
	ssize_t n;

	while (poll(fds, 2, -1) < 0)
		if (errno != EINTR)
			return -errno;
	if (fds[1].revents != 0) {
		n = read(terminal->signals, &info, sizeof(info));
		*signal = n == sizeof(info) ? (int)info.ssi_signo : SIGTERM;
		return -EINTR;
	}
	do {
		n = read(terminal->fd, byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == 0 ? -ENODATA : 0;
}

/* One line; all of it is taken from the terminal, even what has no room. */
static int terminal_read_line(const struct terminal *terminal, char *answer,
			      size_t size, size_t *len, int *signal)
{
	size_t length = 0;
	int error;
	char byte = 0;

	for (;; length++) {
		error = terminal_read(terminal, &byte, signal);
		if (error != 0 || byte == '\n')
			break;
		if (length < size)
			answer[length] = byte;
	}
	OPENSSL_cleanse(&byte, sizeof(byte));
	if (error != 0 && (error != -ENODATA || length == 0))
		return error;
	*len = length;
	return length <= size ? 0 : -EOVERFLOW;
}

static int terminal_ask_once(int fd, const char *prompt, bool has_echo,
			     char *answer, size_t size, size_t *len,
			     int *signal)
{
	struct terminal terminal = { .fd = fd };
	int error = terminal_hold_signals(&terminal);

	if (error != 0)
		return error;
	error = terminal_set_echo(&terminal, has_echo);
	if (error != 0)
		goto out_release;
	terminal_put(fd, prompt);
	error = terminal_read_line(&terminal, answer, size, len, signal);
	if (!has_echo || error != 0)
		terminal_put(fd, "\n");
	tcsetattr(fd, TCSADRAIN, &terminal.mode);
out_release:
	terminal_release_signals(&terminal);
	return error;
}

int terminal_ask(const char *prompt, bool has_echo, void *answer, size_t size,
		 size_t *len)
{
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int fd = tty >= 0 ? tty : STDIN_FILENO;
	int signal = 0;
	int error;

	do {
		error = terminal_ask_once(fd, prompt, has_echo, answer, size,
					  len, &signal);
		if (error == -EINTR)
			raise(signal);
	} while (error == -EINTR);
	if (tty >= 0)
		close(tty);
	return error;
}

int terminal_confirm(const char *warning)
{
	char answer[8];
	size_t len = 0;
	int error;

	if (!terminal_is_there()) {
		msg_error("%s", warning);
		msg_hint("nobody is there to be asked; --force does it");
		return EXIT_FAILED;
	}
	msg_warn("%s", warning);
	error = terminal_ask("Type YES in capital letters to go on: ", true,
			     answer, sizeof(answer), &len);
	if (error == 0 && len == 3 && memcmp(answer, "YES", 3) == 0)
		return EXIT_DONE;
	msg_error("nothing was changed");
	return EXIT_FAILED;
}
