/* SPDX-License-Identifier: MIT */
/*
 * teardown - take one device away, and wait until it is gone.
 *
 * The kernel module flushes and decides whether a device is in use. Nothing is
 * lost without is_forced or is_unflushed: what fails leaves the device as it
 * was.
 */
#include "teardown.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "devid.h"
#include "holders.h"
#include "kbdus.h"
#include "msg.h"

/* udev and blkid open devices at any time; they leave again soon. */
#define BUSY_RETRY_MS 2000
#define BUSY_PAUSE_MS 50
/* How long a driver that was killed may need to vanish. */
#define KILLED_GRACE_MS 5000
/* How long one that has closed the device may need to exit. */
#define EXIT_GRACE_MS 1000

/* One device on its way out. */
struct victim {
	const char *name; /* as it was typed */
	uint64_t id;
	int pid;
	int pidfd;  /* of its driver, or -1 */
	int keeper; /* pidfd of the process that restarts its driver, or -1 */
	bool is_open;
	bool is_live; /* there is a driver, which was not told to leave */
	bool is_bdus; /* its driver is of this program, and has nothing else */
	int64_t start_ms;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Milliseconds left, at least 1; 0: for ever, as KBDUS_DESTROY has it. */
static unsigned int time_left(const struct teardown *teardown,
			      const struct victim *victim)
{
	int64_t left = victim->start_ms + (int64_t)teardown->timeout_s * 1000 -
		       now_ms();

	if (teardown->timeout_s == 0)
		return 0;
	return left > 0 ? (unsigned int)left : 1;
}

/* Is it a process of this program? And which one is its parent? */
static bool process_is_bdus(int pid, int *parent)
{
	char path[64], line[512], *name, *rest;
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	/* pid (name) state parent; the name may hold anything */
	n = fread(line, 1, sizeof(line) - 1, file);
	fclose(file);
	line[n] = '\0';
	name = strchr(line, '(');
	rest = strrchr(line, ')');
	return name != NULL && strncmp(name, "(bdus", 5) == 0 &&
	       sscanf(rest, ") %*c %d", parent) == 1;
}

/*
 * What kind of process the driver is: a supervised one is a child of its
 * supervisor; a program with libbdus may do other things, too.
 */
static void victim_identify(struct victim *victim, bool is_supervised)
{
	int parent, none;

	victim->is_bdus = process_is_bdus(victim->pid, &parent);
	if (victim->is_bdus && is_supervised && process_is_bdus(parent, &none))
		victim->keeper = (int)syscall(SYS_pidfd_open, parent, 0);
}

/* Takes hold of the driver's process while its number is certainly its own. */
static void victim_watch(const struct teardown *teardown, struct victim *victim)
{
	struct kbdus_info info = { .id = victim->id };
	struct kbdus_info again = { .id = victim->id };

	if (ioctl(teardown->control, KBDUS_INFO, &info) != 0)
		return;
	victim->is_open = info.openers > 0;
	victim->is_live = info.state == KBDUS_STATE_LIVE;
	if (info.pid <= 0 || info.pid == getpid())
		return;
	victim->pid = info.pid;
	victim->pidfd = (int)syscall(SYS_pidfd_open, info.pid, 0);
	if (victim->pidfd < 0)
		return;
	if (ioctl(teardown->control, KBDUS_INFO, &again) == 0 &&
	    again.pid == info.pid) {
		victim_identify(victim, info.attributes.flags &
						KBDUS_DEVICE_SUPERVISED);
		return;
	}
	close(victim->pidfd);
	victim->pidfd = -1;
}

/* Whoever reads our output or waits for our locks is not to wait for it. */
static void keep_only(int fd)
{
	if (fd > 0)
		syscall(SYS_close_range, 0U, (unsigned int)fd - 1, 0U);
	syscall(SYS_close_range, (unsigned int)fd + 1, ~0U, 0U);
}

/* In a process of its own, which hangs, and outlives us, when the driver does.
 */
static void __attribute__((noreturn))
flush_and_exit(const struct teardown *teardown, uint64_t id)
{
	int error;

	keep_only(teardown->control);
	do
		error = ioctl(teardown->control, KBDUS_FLUSH, &id) == 0 ? 0 :
									  errno;
	while (error == EINTR);
	_exit(error);
}

/* Waits for a process; returns how it exited, as an errno. */
static int flush_wait(pid_t pid, unsigned int timeout_ms)
{
	struct pollfd gone = { .events = POLLIN };
	int status = 0;
	int n;

	gone.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (gone.fd >= 0) {
		do
			n = poll(&gone, 1,
				 timeout_ms > 0 ? (int)timeout_ms : -1);
		while (n < 0 && errno == EINTR);
		close(gone.fd);
		if (n == 0)
			return ETIMEDOUT;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

/*
 * Flushes while there is time. KBDUS_DESTROY does so too, for what comes in
 * between, but it has no end when the driver does not answer.
 */
static int victim_flush(const struct teardown *teardown,
			const struct victim *victim)
{
	pid_t pid = fork();

	if (pid < 0)
		return errno;
	if (pid == 0)
		flush_and_exit(teardown, victim->id);
	return flush_wait(pid, time_left(teardown, victim));
}

static int victim_ioctl(const struct teardown *teardown,
			const struct victim *victim)
{
	struct kbdus_terminate terminate = {
		.id = victim->id,
		.timeout_ms = time_left(teardown, victim),
	};

	if (teardown->is_forced)
		terminate.flags |= KBDUS_TERMINATE_FORCE;
	if (teardown->is_unflushed)
		terminate.flags |= KBDUS_TERMINATE_NO_FLUSH;
	return ioctl(teardown->control, KBDUS_DESTROY, &terminate) == 0 ? 0 :
									  errno;
}

/* Tells the module, patiently; returns an errno. */
static int victim_end(const struct teardown *teardown,
		      const struct victim *victim)
{
	const struct timespec pause = { .tv_nsec = BUSY_PAUSE_MS * 1000000L };
	bool was_told = false;

	for (;;) {
		int error = victim_ioctl(teardown, victim);
		int64_t waited = now_ms() - victim->start_ms;

		if (error == EINTR)
			was_told = true;
		else if (error == ENODEV && was_told)
			return 0;
		else if ((error != EBUSY && error != EAGAIN &&
			  error != ENOTCONN) ||
			 waited >= BUSY_RETRY_MS)
			return error;
		else
			nanosleep(&pause, NULL);
	}
}

static int victim_busy(const struct victim *victim)
{
	char node[DEVID_NODE_SIZE];
	char holders[1024];
	struct stat st;

	devid_node(victim->id, node);
	if (stat(node, &st) != 0 || !S_ISBLK(st.st_mode) ||
	    holders_describe(st.st_rdev, holders, sizeof(holders)) == 0)
		snprintf(holders, sizeof(holders),
			 "by whom is not to be seen from here");
	msg_error("%s: in use: %s", victim->name, holders);
	return EXIT_BUSY;
}

static int victim_flush_timed_out(const struct teardown *teardown,
				  const struct victim *victim)
{
	msg_error("%s: the driver (pid %d) did not flush within %" PRIu64
		  " s; the device stays",
		  victim->name, victim->pid, teardown->timeout_s);
	msg_hint("'bdus destroy --force' kills a driver that does not answer; "
		 "what was not written is lost");
	return EXIT_TIMED_OUT;
}

static int victim_timed_out(const struct teardown *teardown,
			    const struct victim *victim)
{
	msg_error("%s: the driver (pid %d) did not leave within %" PRIu64
		  " s; the device goes when it does",
		  victim->name, victim->pid, teardown->timeout_s);
	if (!teardown->is_forced)
		msg_hint("'bdus destroy --force' kills a driver that does not "
			 "answer");
	return EXIT_TIMED_OUT;
}

static int victim_failed(const struct teardown *teardown,
			 const struct victim *victim, int error)
{
	switch (error) {
	case EBUSY:
		return victim_busy(victim);
	case EAGAIN:
		msg_error("%s: another driver is taking it over", victim->name);
		msg_hint("try again when 'bdus rerun' has ended; --force does "
			 "not wait for it");
		return EXIT_BUSY;
	case ENOTCONN:
		msg_error("%s: has no driver that could write out and flush",
			  victim->name);
		msg_hint("'bdus rerun' gives it one; --no-flush destroys it "
			 "all the same, and what was not written is lost");
		return EXIT_FAILED;
	case ETIMEDOUT:
		return victim_timed_out(teardown, victim);
	case ENODEV:
		msg_error("%s: no such device", victim->name);
		return EXIT_NO_DEVICE;
	case EPERM:
	case EACCES:
		msg_error("%s: no privilege: %s", victim->name,
			  strerror(error));
		msg_hint("run this as root");
		return EXIT_NO_MODULE;
	default:
		msg_error("%s: cannot flush, so it stays: %s", victim->name,
			  strerror(error));
		msg_hint("'bdus destroy --no-flush' destroys it all the same; "
			 "what was not written is lost");
		return EXIT_FAILED;
	}
}

/*
 * Waits until a process is gone: its locks and files are free then. One that
 * let go of the device by itself may live on, if it serves by libbdus.
 */
static int victim_wait(const struct teardown *teardown,
		       const struct victim *victim, int pidfd)
{
	struct pollfd gone = { .fd = pidfd, .events = POLLIN };
	unsigned int left = time_left(teardown, victim);
	int n;

	if (pidfd < 0)
		return EXIT_DONE;
	if (!teardown->is_forced && !victim->is_bdus)
		left = EXIT_GRACE_MS;
	else if (teardown->is_forced && left > 0 && left < KILLED_GRACE_MS)
		left = KILLED_GRACE_MS;
	do
		n = poll(&gone, 1, left > 0 ? (int)left : -1);
	while (n < 0 && errno == EINTR);
	return n == 0 && (teardown->is_forced || victim->is_bdus) ?
		       victim_timed_out(teardown, victim) :
		       EXIT_DONE;
}

/* With time taken for it: flush, tell, wait. */
static int victim_go(struct teardown *teardown, const struct victim *victim)
{
	bool wants_flush = !teardown->is_unflushed && victim->is_live &&
			   (!victim->is_open || teardown->is_forced);
	int error = wants_flush ? victim_flush(teardown, victim) : 0;
	int status;

	if (error == ETIMEDOUT && !teardown->is_forced)
		return victim_flush_timed_out(teardown, victim);
	if (error == ETIMEDOUT) {
		teardown->is_unflushed = true;
		error = 0;
	}
	/* by force, one that cannot flush is as one that does not */
	if (!victim->is_live && teardown->is_forced)
		teardown->is_unflushed = true;
	if (error == 0)
		error = victim_end(teardown, victim);
	if (error != 0)
		return victim_failed(teardown, victim, error);
	status = victim_wait(teardown, victim, victim->pidfd);
	return status == EXIT_DONE ?
		       victim_wait(teardown, victim, victim->keeper) :
		       status;
}

int teardown(const struct teardown *teardown, const char *name, uint64_t id)
{
	struct victim victim = { .name = name,
				 .id = id,
				 .pidfd = -1,
				 .keeper = -1,
				 .start_ms = now_ms() };
	struct teardown how = *teardown;
	int status;

	victim_watch(&how, &victim);
	status = victim_go(&how, &victim);
	if (victim.pidfd >= 0)
		close(victim.pidfd);
	if (victim.keeper >= 0)
		close(victim.keeper);
	return status;
}
