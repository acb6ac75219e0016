/* SPDX-License-Identifier: MIT */
/*
 * holders - who uses a block device.
 *
 * Only paths below /dev are ever looked at with stat(), so that a dead network
 * or FUSE mount cannot hang the search.
 */
#include "holders.h"

#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define HOLDERS_MAX_PARTITIONS 256

/* A search: the disk with its partitions, and the text that grows. */
struct holders {
	dev_t devs[1 + HOLDERS_MAX_PARTITIONS];
	size_t n_devs;
	char *text;
	size_t size;
	size_t length;
	int count;
};

static void __attribute__((format(printf, 2, 3)))
holders_add(struct holders *holders, const char *format, ...)
{
	size_t room = holders->size - holders->length;
	va_list args;
	int n;

	n = snprintf(holders->text + holders->length, room, "%s",
		     holders->count++ > 0 ? ", " : "");
	if (n < 0 || (size_t)n >= room)
		return;
	va_start(args, format);
	n += vsnprintf(holders->text + holders->length + n, room - (size_t)n,
		       format, args);
	va_end(args);
	holders->length += (size_t)n < room ? (size_t)n : room - 1;
}

static bool holders_has(const struct holders *holders, dev_t dev)
{
	for (size_t i = 0; i < holders->n_devs; i++)
		if (holders->devs[i] == dev)
			return true;
	return false;
}

/* Is @path one of the nodes of the disk? */
static bool holders_is_node(const struct holders *holders, const char *path)
{
	struct stat st;

	return strncmp(path, "/dev/", 5) == 0 && stat(path, &st) == 0 &&
	       S_ISBLK(st.st_mode) && holders_has(holders, st.st_rdev);
}

/* Writes DIR/NAME; false: too long. */
static bool path_join(char path[PATH_MAX], const char *dir, const char *name)
{
	int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);

	return n > 0 && n < PATH_MAX;
}

/* Undoes the octal escapes of /proc/self/mountinfo and /proc/swaps. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text != '\0'; text++, to++) {
		*to = *text;
		if (text[0] != '\\' || strspn(text + 1, "01234567") < 3)
			continue;
		*to = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
			     (text[3] - '0'));
		text += 3;
	}
	*to = '\0';
}

/* Field @i, counted from 0, of a line of words; cuts the line there. */
static char *field(char *line, unsigned int i)
{
	for (; i > 0 && line != NULL; i--) {
		line = strchr(line, ' ');
		if (line != NULL)
			line += strspn(line, " ");
	}
	if (line != NULL)
		line[strcspn(line, " \t\n")] = '\0';
	return line;
}

/*
 * "36 35 98:0 / /mnt rw - ext4 /dev/bdus-0 rw": file systems with an anonymous
 * device number (btrfs) are told by their source, after the dash.
 */
static void mount_line(struct holders *holders, char *line)
{
	unsigned int maj = 0;
	unsigned int min = 0;
	char *dash = strstr(line, " - ");
	char *source = dash != NULL ? field(dash + 3, 1) : NULL;
	char *point;
	bool is_ours;

	if (sscanf(line, "%*d %*d %u:%u", &maj, &min) != 2)
		return;
	is_ours = holders_has(holders, makedev(maj, min));
	if (!is_ours && source != NULL) {
		unescape(source);
		is_ours = holders_is_node(holders, source);
	}
	point = is_ours ? field(line, 4) : NULL;
	if (point == NULL)
		return;
	unescape(point);
	holders_add(holders, "mounted on %s", point);
}

static void swap_line(struct holders *holders, char *line)
{
	char *path = field(line, 0);

	unescape(path);
	if (holders_is_node(holders, path))
		holders_add(holders, "swap on %s", path);
}

/* Hands each line of a file to @each. */
static void holders_lines(struct holders *holders, const char *path,
			  void (*each)(struct holders *holders, char *line))
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	if (file == NULL)
		return;
	while (getline(&line, &size, file) > 0)
		each(holders, line);
	free(line);
	fclose(file);
}

/* Kernel loop devices do not show up as holders in sysfs. */
static void holders_loop(struct holders *holders, const char *name)
{
	char path[PATH_MAX];
	char backing[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", name);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	if (fgets(backing, sizeof(backing), file) != NULL) {
		backing[strcspn(backing, "\n")] = '\0';
		if (holders_is_node(holders, backing))
			holders_add(holders, "used by /dev/%s", name);
	}
	fclose(file);
}

static void holders_loops(struct holders *holders)
{
	DIR *dir = opendir("/sys/block");
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, "loop", 4) == 0)
			holders_loop(holders, entry->d_name);
	closedir(dir);
}

/* Devices on top (device mapper, md ...) of the disk or partition at @sysfs. */
static void holders_stacked(struct holders *holders, const char *sysfs)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	dir = path_join(path, sysfs, "holders") ? opendir(path) : NULL;
	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			holders_add(holders, "used by /dev/%s", entry->d_name);
	closedir(dir);
}

/* Notes a partition in sysfs directory @sysfs, if it is one. */
static void holders_partition(struct holders *holders, const char *sysfs)
{
	char path[PATH_MAX];
	unsigned int maj;
	unsigned int min;
	FILE *file;

	if (!path_join(path, sysfs, "partition") || access(path, F_OK) != 0 ||
	    holders->n_devs > HOLDERS_MAX_PARTITIONS)
		return;
	file = path_join(path, sysfs, "dev") ? fopen(path, "re") : NULL;
	if (file == NULL)
		return;
	if (fscanf(file, "%u:%u", &maj, &min) == 2) {
		holders->devs[holders->n_devs++] = makedev(maj, min);
		holders_stacked(holders, sysfs);
	}
	fclose(file);
}

static void holders_partitions(struct holders *holders, const char *sysfs)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir = opendir(sysfs);

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.' &&
		    path_join(path, sysfs, entry->d_name))
			holders_partition(holders, path);
	}
	closedir(dir);
}

/* Does the process with open files @fds have the disk open? */
static bool process_has_open(const struct holders *holders, const char *fds)
{
	char path[PATH_MAX];
	char target[PATH_MAX];
	struct dirent *entry;
	struct stat st;
	DIR *dir = opendir(fds);
	bool is_open = false;

	if (dir == NULL)
		return false;
	while (!is_open && (entry = readdir(dir)) != NULL) {
		if (!path_join(path, fds, entry->d_name) ||
		    readlink(path, target, sizeof(target)) < 5 ||
		    memcmp(target, "/dev/", 5) != 0)
			continue;
		is_open = stat(path, &st) == 0 && S_ISBLK(st.st_mode) &&
			  holders_has(holders, st.st_rdev);
	}
	closedir(dir);
	return is_open;
}

static void process_name(const char *pid, char *name, size_t size)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(name, size, "process");
	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	if (fgets(name, (int)size, file) != NULL)
		name[strcspn(name, "\n")] = '\0';
	fclose(file);
}

static void process_open(struct holders *holders, const char *pid)
{
	char path[PATH_MAX];
	char name[32];

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	if (!process_has_open(holders, path))
		return;
	process_name(pid, name, sizeof(name));
	holders_add(holders, "%s (pid %s)", name, pid);
}

/* Mounts that only other processes see; one of those processes is enough. */
static void process_mounts(struct holders *holders, const char *pid)
{
	char path[PATH_MAX];
	char name[32];
	int before = holders->count;

	if (before > 0)
		return;
	snprintf(path, sizeof(path), "/proc/%s/mountinfo", pid);
	holders_lines(holders, path, mount_line);
	if (holders->count == before)
		return;
	process_name(pid, name, sizeof(name));
	holders_add(holders, "as %s (pid %s) sees it", name, pid);
}

/* Calls @each for all other processes. */
static void holders_processes(struct holders *holders,
			      void (*each)(struct holders *holders,
					   const char *pid))
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (strspn(entry->d_name, "0123456789") > 0 &&
		    atol(entry->d_name) != getpid())
			each(holders, entry->d_name);
	closedir(dir);
}

int holders_describe(dev_t disk, char *text, size_t size)
{
	struct holders holders = {
		.devs = { disk }, .n_devs = 1, .text = text, .size = size
	};
	char sysfs[64];

	text[0] = '\0';
	snprintf(sysfs, sizeof(sysfs), "/sys/dev/block/%u:%u", major(disk),
		 minor(disk));
	holders_stacked(&holders, sysfs);
	holders_partitions(&holders, sysfs);
	holders_lines(&holders, "/proc/self/mountinfo", mount_line);
	holders_lines(&holders, "/proc/swaps", swap_line);
	holders_loops(&holders);
	holders_processes(&holders, process_open);
	holders_processes(&holders, process_mounts);
	return holders.count;
}
