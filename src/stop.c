/* SPDX-License-Identifier: MIT */
/*
 * stop - SIGTERM and SIGINT end the device cleanly.
 *
 * Not a worker's job: ending flushes, and the workers serve the flush. Nor is
 * a file system that hangs a reason to stay, so syncing has its own thread and
 * limited time.
 */
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "msg.h"

#define STOP_SYNC_SECONDS 10
#define STOP_STACK (128U << 10)

void stop_block_signals(void)
{
	sigset_t all;

	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
}

static volatile sig_atomic_t stop_is_caught;

static void stop_catch(int sig)
{
	(void)sig;
	stop_is_caught = true;
}

static void stop_our_signals(sigset_t *ours)
{
	sigemptyset(ours);
	sigaddset(ours, SIGTERM);
	sigaddset(ours, SIGINT);
}

void stop_catch_signals(void)
{
	const struct sigaction action = { .sa_handler = stop_catch };
	sigset_t ours;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	stop_our_signals(&ours);
	pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
}

bool stop_was_caught(void)
{
	return stop_is_caught;
}

/* Does sysfs know this number as the device or one of its partitions? */
static bool stop_is_number_of(const struct dev *dev, const char *number)
{
	char path[64], target[512], name[40];
	const char *found;
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/dev/block/%s", number);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return false;
	target[length] = '\0';
	snprintf(name, sizeof(name), "/bdus-%" PRIu64, dev->id);
	found = strstr(target, name);
	if (found == NULL)
		return false;
	found += strlen(name);
	return *found == '/' || *found == '\0';
}

/* File systems with a number of their own (btrfs) name the node instead. */
static bool stop_is_source_of(const struct dev *dev, const char *source)
{
	char node[40];
	size_t length;

	length = (size_t)snprintf(node, sizeof(node), "/dev/bdus-%" PRIu64,
				  dev->id);
	if (strncmp(source, node, length) != 0)
		return false;
	return source[length] == '\0' || source[length] == 'p';
}

/* Undo mountinfo's \ooo for space, tab, newline and backslash, in place. */
static void stop_unescape(char *text)
{
	char *to = text;

	while (*text != '\0') {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' &&
		    text[2] != '\0' && text[3] != '\0') {
			*to++ = (char)((text[1] - '0') << 6 |
				       (text[2] - '0') << 3 | (text[3] - '0'));
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

static void stop_sync_mount(const char *mount_point)
{
	int fd = open(mount_point, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return;
	if (syncfs(fd) != 0)
		msg_warn("%s: cannot sync: %s", mount_point, strerror(errno));
	close(fd);
}

/* id parent major:minor root mount-point options ... - type source options */
static void stop_sync_line(const struct dev *dev, char *line)
{
	char *rest = strstr(line, " - ");
	char *fields[5], *source, *state = NULL;

	if (rest == NULL)
		return;
	*rest = '\0';
	for (int i = 0; i < 5; i++) {
		fields[i] = strtok_r(i == 0 ? line : NULL, " ", &state);
		if (fields[i] == NULL)
			return;
	}
	source = strtok_r(rest + 3, " ", &state) != NULL ?
			 strtok_r(NULL, " ", &state) :
			 NULL;
	if (!stop_is_number_of(dev, fields[2]) &&
	    (source == NULL || !stop_is_source_of(dev, source)))
		return;
	stop_unescape(fields[4]);
	stop_sync_mount(fields[4]);
}

static void *stop_sync_main(void *arg)
{
	struct stop *stop = arg;
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;

	if (mounts != NULL) {
		while (getline(&line, &size, mounts) > 0)
			stop_sync_line(stop->dev, line);
		free(line);
		fclose(mounts);
	}
	sem_post(&stop->synced);
	return NULL;
}

static int stop_thread_new(pthread_t *thread, void *(*run)(void *),
			   struct stop *arg)
{
	pthread_attr_t attr;
	int error = pthread_attr_init(&attr);

	if (error != 0)
		return -error;
	error = pthread_attr_setstacksize(&attr, STOP_STACK);
	if (error == 0)
		error = pthread_create(thread, &attr, run, arg);
	pthread_attr_destroy(&attr);
	return -error;
}

static void stop_sync(struct stop *stop)
{
	struct timespec until;
	pthread_t thread = stop->thread;

	if (stop_thread_new(&thread, stop_sync_main, stop) != 0)
		return;
	pthread_detach(thread);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_SYNC_SECONDS;
	while (sem_timedwait(&stop->synced, &until) != 0) {
		if (errno == EINTR)
			continue;
		msg_warn("the file systems on the device are not synced after "
			 "%d seconds; going on",
			 STOP_SYNC_SECONDS);
		return;
	}
}

/* Politely first; what then stands in the way is named and overridden. */
static void stop_terminate(struct dev *dev)
{
	int error;

	/* the device is somebody else's now */
	if (atomic_load(&dev->was_replaced))
		return;
	error = dev_terminate(dev, 0);
	if (error == -EBUSY || error == -EAGAIN) {
		msg_warn("the device is still open; ending it all the same");
		error = dev_terminate(dev, KBDUS_TERMINATE_FORCE);
	}
	if (error != 0 && error != -ENODEV) {
		msg_error("cannot flush the device: %s", strerror(-error));
		error = dev_terminate(dev, KBDUS_TERMINATE_FORCE |
						   KBDUS_TERMINATE_NO_FLUSH);
	}
	if (error == 0 || error == -ENODEV)
		return;
	/* the kernel ends the device when the process is gone */
	msg_error("cannot end the device: %s", strerror(-error));
	_exit(EXIT_FAILED);
}

static void *stop_main(void *arg)
{
	struct stop *stop = arg;
	sigset_t ours;
	int sig;

	stop_our_signals(&ours);
	/* all other signals do what they do by default, here */
	pthread_sigmask(SIG_SETMASK, &ours, NULL);
	while (sigwait(&ours, &sig) != 0)
		;
	if (atomic_load(&stop->is_over))
		return NULL;
	atomic_store(&stop->was_asked, true);
	daemon_notify("STOPPING=1");
	stop_sync(stop);
	stop_terminate(stop->dev);
	return NULL;
}

int stop_start(struct stop *stop, struct dev *dev)
{
	int error;

	stop->dev = dev;
	atomic_init(&stop->was_asked, false);
	atomic_init(&stop->is_over, false);
	if (sem_init(&stop->synced, 0, 0) != 0)
		return -errno;
	error = stop_thread_new(&stop->thread, stop_main, stop);
	stop->is_running = error == 0;
	return error;
}

void stop_end(struct stop *stop)
{
	if (!stop->is_running)
		return;
	atomic_store(&stop->is_over, true);
	/* it waits for this signal, and is not killed by it */
	pthread_kill(stop->thread, SIGTERM);
	pthread_join(stop->thread, NULL);
	stop->is_running = false;
}
