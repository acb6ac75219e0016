/* SPDX-License-Identifier: MIT */
/*
 * devid - from what people type to a device's id.
 *
 * sysfs decides: /sys/block/bdus-N/bdus/id exists for our disks and for
 * nothing else, and /sys/dev/block/MAJOR:MINOR leads from any node to it.
 */
#include "devid.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "msg.h"

#define DEVID_PREFIX "bdus-"

/* Reads "3", canonical decimal: no sign, no leading zeroes. */
static bool devid_read(const char *text, uint64_t *id)
{
	uint64_t value = 0;

	if (*text == '\0' || (text[0] == '0' && text[1] != '\0'))
		return false;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, *text - '0', &value))
			return false;
	if (*text != '\0')
		return false;
	*id = value;
	return true;
}

static bool devid_read_name(const char *name, uint64_t *id)
{
	size_t n = strlen(DEVID_PREFIX);

	return strncmp(name, DEVID_PREFIX, n) == 0 && devid_read(name + n, id);
}

/* The id in a sysfs file; false: no such file. */
static bool devid_from_file(const char *path, uint64_t *id)
{
	char text[32];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return devid_read(text, id);
}

static int devid_missing(const char *operand)
{
	msg_error("%s: no such device", operand);
	msg_hint("'bdus list' shows the devices there are");
	return EXIT_NO_DEVICE;
}

static int devid_from_id(const char *sysfs, const char *operand, uint64_t *id)
{
	char path[PATH_MAX];
	uint64_t found;

	snprintf(path, sizeof(path),
		 "%s/block/" DEVID_PREFIX "%" PRIu64 "/bdus/id", sysfs, *id);
	if (!devid_from_file(path, &found) || found != *id)
		return devid_missing(operand);
	return EXIT_DONE;
}

static int devid_from_rdev(const char *sysfs, const char *operand, dev_t rdev,
			   uint64_t *id)
{
	char path[PATH_MAX];
	uint64_t disk;

	snprintf(path, sizeof(path), "%s/dev/block/%u:%u/bdus/id", sysfs,
		 major(rdev), minor(rdev));
	if (devid_from_file(path, id))
		return EXIT_DONE;
	snprintf(path, sizeof(path), "%s/dev/block/%u:%u/../bdus/id", sysfs,
		 major(rdev), minor(rdev));
	if (devid_from_file(path, &disk))
		msg_error("%s: a partition; the disk is /dev/" DEVID_PREFIX
			  "%" PRIu64,
			  operand, disk);
	else
		msg_error("%s: not a bdus device", operand);
	return EXIT_NO_DEVICE;
}

static int devid_stat_failed(const char *operand, int error)
{
	if (error == ENOENT || error == ENOTDIR || error == ENXIO)
		return devid_missing(operand);
	msg_error("%s: %s", operand, strerror(error));
	return error == EACCES ? EXIT_NO_MODULE : EXIT_NO_DEVICE;
}

int devid_resolve_at(const char *sysfs, const char *operand, uint64_t *id)
{
	struct stat st;

	if (*operand == '\0') {
		msg_error("the name of the device is empty");
		msg_hint("accepted: 3, bdus-3, /dev/bdus-3");
		return EXIT_USAGE;
	}
	if (devid_read(operand, id) || devid_read_name(operand, id))
		return devid_from_id(sysfs, operand, id);
	if (stat(operand, &st) != 0)
		return devid_stat_failed(operand, errno);
	if (!S_ISBLK(st.st_mode)) {
		msg_error("%s: not a block device", operand);
		return EXIT_NO_DEVICE;
	}
	return devid_from_rdev(sysfs, operand, st.st_rdev, id);
}

int devid_resolve(const char *operand, uint64_t *id)
{
	return devid_resolve_at("/sys", operand, id);
}

void devid_node(uint64_t id, char node[DEVID_NODE_SIZE])
{
	snprintf(node, DEVID_NODE_SIZE, "/dev/" DEVID_PREFIX "%" PRIu64, id);
}

static int devid_compare(const void *a, const void *b)
{
	const uint64_t *x = a;
	const uint64_t *y = b;

	return (*x > *y) - (*x < *y);
}

static int devid_append(uint64_t **ids, size_t *count, uint64_t id)
{
	uint64_t *more;

	/* Room doubles whenever the count is a power of two. */
	if ((*count & (*count - 1)) == 0) {
		more = realloc(*ids,
			       (*count > 0 ? *count * 2 : 1) * sizeof(**ids));
		if (more == NULL)
			return -ENOMEM;
		*ids = more;
	}
	(*ids)[(*count)++] = id;
	return 0;
}

int devid_list(uint64_t **ids, size_t *count)
{
	DIR *dir = opendir("/sys/block");
	struct dirent *entry;
	uint64_t id;
	int error = 0;

	*ids = NULL;
	*count = 0;
	if (dir == NULL)
		return errno == ENOENT ? 0 : -errno;
	while (error == 0 && (entry = readdir(dir)) != NULL)
		if (devid_read_name(entry->d_name, &id))
			error = devid_append(ids, count, id);
	closedir(dir);
	if (error != 0) {
		free(*ids);
		*ids = NULL;
		*count = 0;
		return error;
	}
	if (*count > 0)
		qsort(*ids, *count, sizeof(**ids), devid_compare);
	return 0;
}
