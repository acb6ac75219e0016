/* SPDX-License-Identifier: MIT */
/*
 * supervise - a small parent that restarts a driver that died.
 *
 * Nothing here allocates once a driver runs. Per request there is a limit in
 * the kernel module, so one that kills its driver fails alone; what is bounded
 * here is restarts without progress, with growing pauses.
 */
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "kbdus.h"
#include "kept.h"
#include "msg.h"

/* More than the deaths that one request may cause. */
#define SUPERVISE_MAX_FRUITLESS 12U
/* Pause before the second restart without progress; doubles each time. */
#define SUPERVISE_PAUSE_MS 10
#define SUPERVISE_MAX_PAUSE_MS 4000
/* A driver that lived for so long was fine, though nobody asked it anything. */
#define SUPERVISE_LIFE_MS 60000

static int64_t supervise_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void supervise_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

/* In the child: a driver, from its birth to its end. */
static void __attribute__((noreturn)) supervise_drive(struct supervise *s)
{
	sigset_t set;

	if (s->is_restart) {
		setsid();
	} else {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	}
	close(s->signals);
	close(s->ready[0]);
	supervise_signals(&set);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	_exit(s->run(s->arg));
}

static int supervise_start(struct supervise *s)
{
	s->start_ms = supervise_now_ms();
	s->pid = fork();
	if (s->pid == 0)
		supervise_drive(s);
	return s->pid < 0 ? -errno : 0;
}

void supervise_ready(struct supervise *s, uint64_t id)
{
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, 0);
	do
		n = write(s->ready[1], &id, sizeof(id));
	while (n < 0 && errno == EINTR);
}

/* The device is usable: from now on its drivers are replaced. */
static void supervise_device(struct supervise *s)
{
	uint64_t id;

	if (read(s->ready[0], &id, sizeof(id)) != sizeof(id))
		return;
	kept_take(s->pid);
	if (s->is_restart)
		return;
	s->id = id;
	s->is_restart = true;
	control_open(&s->control);
	s->detach(s->arg);
}

static void supervise_tell_death(const struct supervise *s, int status)
{
	if (WIFSIGNALED(status))
		msg_warn("bdus-%" PRIu64 ": the driver was killed by signal %d "
			 "(%s)",
			 s->id, WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		msg_warn("bdus-%" PRIu64 ": the driver left with status %d",
			 s->id, WEXITSTATUS(status));
}

static int supervise_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
}

/* No device was made. */
static int supervise_failed(int status)
{
	if (WIFSIGNALED(status))
		msg_error("the driver was killed by signal %d (%s)",
			  WTERMSIG(status), strsignal(WTERMSIG(status)));
	return supervise_status(status);
}

static int supervise_give_up(const struct supervise *s)
{
	msg_error("bdus-%" PRIu64 ": gave up after %u restarts without "
		  "progress; the device waits for a driver",
		  s->id, s->n_fruitless);
	msg_hint("'bdus why %" PRIu64 "' tells more, 'bdus rerun' gives it one",
		 s->id);
	return EXIT_FAILED;
}

/* Nobody can flush it now, so it is not ended. */
static int supervise_left_waiting(const struct supervise *s)
{
	msg_error("bdus-%" PRIu64 ": told to end it, but it has no driver that "
		  "could write out and flush; it waits for one",
		  s->id);
	return EXIT_FAILED;
}

/* Return: -1: the driver is to be restarted at restart_ms; else exit code. */
static int supervise_plan(struct supervise *s, uint64_t completed)
{
	int64_t pause = 0;
	bool was_fine = completed != s->completed ||
			supervise_now_ms() - s->start_ms > SUPERVISE_LIFE_MS;

	s->n_fruitless = was_fine ? 0 : s->n_fruitless + 1;
	s->completed = completed;
	if (s->n_fruitless >= SUPERVISE_MAX_FRUITLESS)
		return supervise_give_up(s);
	if (s->n_fruitless > 0)
		pause = (int64_t)SUPERVISE_PAUSE_MS << (s->n_fruitless - 1);
	if (pause > SUPERVISE_MAX_PAUSE_MS)
		pause = SUPERVISE_MAX_PAUSE_MS;
	s->restart_ms = supervise_now_ms() + pause;
	return -1;
}

static int supervise_buried(struct supervise *s, int status)
{
	struct kbdus_info info = { .id = s->id };

	if (!s->is_restart)
		return supervise_failed(status);
	if (ioctl(s->control, KBDUS_INFO, &info) != 0)
		return supervise_status(status);
	if (info.attributes.owner != s->owner)
		return EXIT_DONE;
	if (info.state != KBDUS_STATE_WAITING)
		return supervise_status(status);
	supervise_tell_death(s, status);
	if (s->is_stopping)
		return supervise_left_waiting(s);
	return supervise_plan(s, info.completed);
}

static int supervise_child(struct supervise *s)
{
	int status;

	if (s->pid < 0 || waitpid(s->pid, &status, WNOHANG) != s->pid)
		return -1;
	/* it may have become ready and died since we looked */
	supervise_device(s);
	s->pid = -1;
	return supervise_buried(s, status);
}

/*
 * The terminal has gone, or who waits for the device. Before it is usable, that
 * ends the attempt: a driver that has got hold of no device goes with us.
 */
static int supervise_hang_up(struct supervise *s)
{
	supervise_device(s);
	return s->is_restart ? -1 : EXIT_FAILED;
}

static int supervise_signal(struct supervise *s)
{
	struct signalfd_siginfo info;

	if (read(s->signals, &info, sizeof(info)) != sizeof(info))
		return -1;
	if (info.ssi_signo == SIGCHLD)
		return supervise_child(s);
	if (info.ssi_signo == SIGHUP)
		return supervise_hang_up(s);
	s->is_stopping = true;
	if (s->pid < 0)
		return supervise_left_waiting(s);
	kill(s->pid, SIGTERM);
	return -1;
}

static int supervise_wait(struct supervise *s)
{
	struct pollfd fds[2] = {
		{ .fd = s->signals, .events = POLLIN },
		{ .fd = s->ready[0], .events = POLLIN },
	};
	int64_t left = -1;

	if (s->pid < 0) {
		left = s->restart_ms - supervise_now_ms();
		if (left < 0)
			left = 0;
	}
	if (poll(fds, 2, (int)left) < 0)
		return -1;
	if (fds[1].revents)
		supervise_device(s);
	return fds[0].revents ? supervise_signal(s) : -1;
}

/* Unless the device was destroyed, or got another driver, while we paused. */
static int supervise_restart(struct supervise *s)
{
	struct kbdus_info info = { .id = s->id };
	int error;

	if (ioctl(s->control, KBDUS_INFO, &info) != 0)
		return EXIT_FAILED;
	if (info.attributes.owner != s->owner ||
	    info.state != KBDUS_STATE_WAITING)
		return EXIT_DONE;
	error = supervise_start(s);
	if (error == 0)
		return -1;
	msg_warn("bdus-%" PRIu64 ": cannot start a process: %s", s->id,
		 strerror(-error));
	return supervise_plan(s, info.completed);
}

static int supervise_loop(struct supervise *s)
{
	int code = -1;

	while (code < 0) {
		code = supervise_wait(s);
		if (code < 0 && s->pid < 0 &&
		    supervise_now_ms() >= s->restart_ms)
			code = supervise_restart(s);
	}
	return code;
}

/* For as long as the machine runs, nobody else has this number. */
static int supervise_make_owner(struct supervise *s)
{
	return getrandom(&s->owner, sizeof(s->owner), 0) == sizeof(s->owner) ?
		       0 :
		       -errno;
}

static int supervise_prepare(struct supervise *s)
{
	sigset_t set;
	int error = supervise_make_owner(s);

	if (error != 0)
		return error;
	s->control = -1;
	s->pid = -1;
	signal(SIGHUP, SIG_IGN);
	supervise_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (pipe2(s->ready, O_CLOEXEC | O_NONBLOCK) != 0)
		return -errno;
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? -errno : 0;
}

int supervise(struct supervise *s)
{
	int error = supervise_prepare(s);

	if (error == 0)
		error = supervise_start(s);
	if (error != 0) {
		msg_error("cannot start a process: %s", strerror(-error));
		return EXIT_FAILED;
	}
	s->begun(s->arg);
	return supervise_loop(s);
}
