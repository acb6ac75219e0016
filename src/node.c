/* SPDX-License-Identifier: MIT */
/*
 * node - the node of a device in /dev.
 */
#include "node.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define NODE_WAIT_MS 500

static int node_number(uint64_t id, dev_t *number)
{
	char path[64];
	unsigned int major_nr, minor_nr;
	FILE *file;
	int n;

	snprintf(path, sizeof(path), "/sys/block/bdus-%" PRIu64 "/dev", id);
	file = fopen(path, "re");
	if (file == NULL)
		return -errno;
	n = fscanf(file, "%u:%u", &major_nr, &minor_nr);
	fclose(file);
	if (n != 2)
		return -EIO;
	*number = makedev(major_nr, minor_nr);
	return 0;
}

void node_clear(uint64_t id)
{
	char path[DEVID_NODE_SIZE];

	devid_node(id, path);
	unlink(path);
}

/* udev's or mdev's node may come late, and nothing else stand in for it. */
static bool node_exists(const struct node *node, dev_t number)
{
	struct stat st;

	return stat(node->path, &st) == 0 && S_ISBLK(st.st_mode) &&
	       st.st_rdev == number;
}

static int node_make(struct node *node, dev_t number)
{
	if (unlink(node->path) != 0 && errno != ENOENT)
		return -errno;
	if (mknod(node->path, S_IFBLK | 0600, number) != 0)
		return -errno;
	node->is_made = true;
	return 0;
}

int node_wait(struct node *node, uint64_t id)
{
	const struct timespec pause = { .tv_nsec = 10000000L };
	dev_t number = 0;
	int error;

	devid_node(id, node->path);
	error = node_number(id, &number);
	if (error != 0)
		return error;
	for (int ms = 0; ms < NODE_WAIT_MS; ms += 10) {
		if (node_exists(node, number))
			return 0;
		nanosleep(&pause, NULL);
	}
	return node_make(node, number);
}

void node_remove(struct node *node)
{
	if (node->is_made)
		unlink(node->path);
	node->is_made = false;
}
