/* SPDX-License-Identifier: MIT */
/*
 * backing - may a regular file or block device be taken, and who else uses it.
 */
#include "backing.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "holders.h"
#include "msg.h"

static int backing_refuse(const char *path, const char *reason)
{
	msg_error("%s: %s", path, reason);
	return EXIT_FAILED;
}

int backing_check_type(const char *path, mode_t mode)
{
	if (S_ISREG(mode) || S_ISBLK(mode))
		return EXIT_DONE;
	if (S_ISDIR(mode))
		return backing_refuse(path, "is a directory");
	if (S_ISCHR(mode))
		return backing_refuse(path, "is a character device");
	if (S_ISFIFO(mode))
		return backing_refuse(path, "is a named pipe");
	return backing_refuse(path, "is neither a file nor a block device");
}

int backing_in_use(const char *path, const char *user)
{
	msg_error("%s: is in use: %s", path, user);
	return EXIT_BUSY;
}

int backing_open_failed(const char *path, const struct stat *st)
{
	int error = errno, code = EXIT_FAILED;
	char user[256];

	if (error != EBUSY || !S_ISBLK(st->st_mode)) {
		msg_error("%s: cannot open: %s", path, strerror(error));
	} else {
		if (holders_describe(st->st_rdev, user, sizeof(user)) == 0)
			snprintf(user, sizeof(user), "somebody unknown");
		code = backing_in_use(path, user);
	}
	errno = error;
	return code;
}

static bool backing_is_same(const struct stat *st, const char *path)
{
	struct stat other;

	if (stat(path, &other) != 0)
		return false;
	if (S_ISBLK(st->st_mode))
		return S_ISBLK(other.st_mode) && other.st_rdev == st->st_rdev;
	return other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

/* Read the first line of a file. */
static bool backing_read_line(const char *path, char *line, int size)
{
	FILE *file = fopen(path, "re");
	bool is_read;

	if (file == NULL)
		return false;
	is_read = fgets(line, size, file) != NULL;
	fclose(file);
	if (is_read)
		line[strcspn(line, "\n")] = '\0';
	return is_read;
}

static bool backing_is_loop(const struct stat *st, char *text, size_t size)
{
	char path[320], target[4096];
	DIR *dir = opendir("/sys/block");
	struct dirent *entry;
	bool is_found = false;

	if (dir == NULL)
		return false;
	while (!is_found && (entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, "loop", 4) != 0)
			continue;
		snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file",
			 entry->d_name);
		is_found = backing_read_line(path, target, sizeof(target)) &&
			   backing_is_same(st, target);
		if (is_found)
			snprintf(text, size, "/dev/%s", entry->d_name);
	}
	closedir(dir);
	return is_found;
}

static bool backing_is_swap(const struct stat *st, char *text, size_t size)
{
	FILE *file = fopen("/proc/swaps", "re");
	char line[4352];
	bool is_found = false;

	if (file == NULL)
		return false;
	while (!is_found && fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, " \t\n")] = '\0';
		is_found = backing_is_same(st, line);
	}
	fclose(file);
	if (is_found)
		snprintf(text, size, "swap");
	return is_found;
}

bool backing_kernel_user(const struct stat *st, char *text, size_t size)
{
	return backing_is_loop(st, text, size) ||
	       backing_is_swap(st, text, size);
}

/* fdinfo lists the locks that this very descriptor's file holds. */
static bool backing_fd_has_lock(const char *pid, const char *fd)
{
	char path[560], line[256];
	bool has_lock = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	while (!has_lock && fgets(line, sizeof(line), file) != NULL)
		has_lock = strncmp(line, "lock:", 5) == 0;
	fclose(file);
	return has_lock;
}

static bool backing_is_locked_by(const struct stat *st, const char *pid)
{
	char path[560];
	struct dirent *entry;
	bool is_found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	if (dir == NULL)
		return false;
	while (!is_found && (entry = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid,
			 entry->d_name);
		is_found = backing_is_same(st, path) &&
			   backing_fd_has_lock(pid, entry->d_name);
	}
	closedir(dir);
	return is_found;
}

void backing_locker(const struct stat *st, char *text, size_t size)
{
	char path[320], name[64];
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	snprintf(text, size, "another process");
	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9' ||
		    atol(entry->d_name) == (long)getpid() ||
		    !backing_is_locked_by(st, entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (!backing_read_line(path, name, sizeof(name)))
			snprintf(name, sizeof(name), "process");
		snprintf(text, size, "%s (pid %.20s)", name, entry->d_name);
		break;
	}
	closedir(dir);
}
