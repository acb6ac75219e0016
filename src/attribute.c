/* SPDX-License-Identifier: MIT */
/*
 * attribute - what sysfs says about a device, one value a file.
 */
#include "attribute.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int attribute_text(const char *sysfs, uint64_t id, const char *file, char *text,
		   size_t size)
{
	char path[PATH_MAX];
	ssize_t n;
	int error;
	int fd;

	text[0] = '\0';
	snprintf(path, sizeof(path), "%s/block/bdus-%" PRIu64 "/%s", sysfs, id,
		 file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	error = errno;
	close(fd);
	if (n < 0) {
		text[0] = '\0';
		return -error;
	}
	if (n > 0 && text[n - 1] == '\n')
		n--;
	text[n] = '\0';
	return 0;
}

int64_t attribute_number(const char *sysfs, uint64_t id, const char *file)
{
	char text[32];
	char *end;
	long long value;

	if (attribute_text(sysfs, id, file, text, sizeof(text)) != 0)
		return ATTRIBUTE_UNKNOWN;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < 0)
		return ATTRIBUTE_UNKNOWN;
	return value;
}
