/* SPDX-License-Identifier: MIT */
/*
 * meminfo - how much memory there is, as the kernel tells.
 */
#include "meminfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t meminfo(const char *name)
{
	FILE *file = fopen("/proc/meminfo", "re");
	size_t len = strlen(name);
	uint64_t kib = 0;
	char line[128];

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, name, len) == 0 && line[len] == ':') {
			kib = strtoull(line + len + 1, NULL, 10);
			break;
		}
	fclose(file);
	return kib << 10;
}
