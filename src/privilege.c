/* SPDX-License-Identifier: MIT */
/*
 * privilege - what this process may do.
 */
#include "privilege.h"

#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool privilege_is_in_namespace(void)
{
	FILE *file = fopen("/proc/self/uid_map", "re");
	unsigned long inside, outside, count;
	bool is_initial;

	if (file == NULL)
		return false;
	is_initial =
		fscanf(file, "%lu %lu %lu", &inside, &outside, &count) != 3 ||
		(inside == 0 && outside == 0 && count == UINT32_MAX);
	fclose(file);
	return !is_initial;
}

bool privilege_has(int capability)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (privilege_is_in_namespace())
		return false;
	if (syscall(SYS_capget, &header, data) != 0)
		return geteuid() == 0;
	return data[CAP_TO_INDEX(capability)].effective &
	       CAP_TO_MASK(capability);
}
