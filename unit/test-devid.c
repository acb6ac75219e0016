/* SPDX-License-Identifier: MIT */
/*
 * test-devid - operands that mean a device, against a made-up sysfs.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "devid.h"
#include "msg.h"
#include "tap.h"

static char sysfs[] = "/tmp/bdus-test-devid-XXXXXX";
static char messages[4096];

/* Creates a file below sysfs, with its directories. */
static void put(const char *name, const char *content)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", sysfs, name);
	for (char *c = path + strlen(sysfs) + 1; (c = strchr(c, '/')); c++) {
		*c = '\0';
		mkdir(path, 0700);
		*c = '/';
	}
	file = fopen(path, "w");
	if (file == NULL || fputs(content, file) < 0 || fclose(file) != 0) {
		perror(path);
		exit(1);
	}
}

static const struct devid_case {
	const char *operand;
	int status;
	uint64_t id;
	const char *message;
} cases[] = {
	{ "3", EXIT_DONE, 3, "" },
	{ "bdus-3", EXIT_DONE, 3, "" },
	{ "18446744073709551615", EXIT_DONE, UINT64_MAX, "" },
	{ "4", EXIT_NO_DEVICE, 0, "4: no such device" },
	{ "bdus-4", EXIT_NO_DEVICE, 0, "bdus-4: no such device" },
	{ "bdus-5", EXIT_NO_DEVICE, 0, "bdus-5: no such device" },
	{ "", EXIT_USAGE, 0, "is empty" },
	{ "-3", EXIT_NO_DEVICE, 0, "-3: no such device" },
	{ "03", EXIT_NO_DEVICE, 0, "03: no such device" },
	{ "3x", EXIT_NO_DEVICE, 0, "3x: no such device" },
	{ "bdus-", EXIT_NO_DEVICE, 0, "bdus-: no such device" },
	{ "bdus--3", EXIT_NO_DEVICE, 0, "bdus--3: no such device" },
	{ "bdus-3p1", EXIT_NO_DEVICE, 0, "bdus-3p1: no such device" },
	{ "bdus-../3", EXIT_NO_DEVICE, 0, "no such device" },
	{ "18446744073709551616", EXIT_NO_DEVICE, 0, "no such device" },
	{ "/dev/null", EXIT_NO_DEVICE, 0, "/dev/null: not a block device" },
	{ "/", EXIT_NO_DEVICE, 0, "/: not a block device" },
	{ "/nowhere/bdus-3", EXIT_NO_DEVICE, 0, "no such device" },
	{ "/dev/null/x", EXIT_NO_DEVICE, 0, "no such device" },
};

static void test_names(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct devid_case *c = &cases[i];
		uint64_t id = 0;
		int status = devid_resolve_at(sysfs, c->operand, &id);

		tap_caught(messages, sizeof(messages));
		ok(status == c->status &&
			   (status != EXIT_DONE || id == c->id) &&
			   strstr(messages, c->message) != NULL,
		   "operand '%s' gives %d", c->operand, status);
	}
}

/* Some block device of this machine, or one made for the test. */
static bool find_node(char *path, dev_t *rdev)
{
	DIR *dir = opendir("/dev");
	struct dirent *entry;
	bool is_found = false;
	struct stat st;

	snprintf(path, PATH_MAX, "%s/node", sysfs);
	if (mknod(path, S_IFBLK | 0600, makedev(7, 0)) == 0) {
		*rdev = makedev(7, 0);
		is_found = true;
	}
	while (!is_found && dir != NULL && (entry = readdir(dir)) != NULL) {
		snprintf(path, PATH_MAX, "/dev/%s", entry->d_name);
		is_found = stat(path, &st) == 0 && S_ISBLK(st.st_mode);
		*rdev = st.st_rdev;
	}
	if (dir != NULL)
		closedir(dir);
	return is_found;
}

static void test_nodes(void)
{
	char path[PATH_MAX];
	char name[64];
	uint64_t id = 0;
	dev_t rdev;

	if (!find_node(path, &rdev)) {
		ok(true, "# SKIP no block device, and none can be made");
		return;
	}
	ok(devid_resolve_at(sysfs, path, &id) == EXIT_NO_DEVICE &&
		   strstr(tap_caught(messages, sizeof(messages)),
			  "not a bdus device"),
	   "a block device that is not ours");
	snprintf(name, sizeof(name), "dev/block/%u:%u/bdus/id", major(rdev),
		 minor(rdev));
	put(name, "12\n");
	ok(devid_resolve_at(sysfs, path, &id) == EXIT_DONE && id == 12,
	   "a node of ours");
	snprintf(name, sizeof(name), "%s/link", sysfs);
	ok(symlink(path, name) == 0 &&
		   devid_resolve_at(sysfs, name, &id) == EXIT_DONE && id == 12,
	   "a symbolic link to it");
	snprintf(name, sizeof(name), "%s/dev/block/%u:%u/bdus/id", sysfs,
		 major(rdev), minor(rdev));
	unlink(name);
	put("dev/block/bdus/id", "12\n");
	ok(devid_resolve_at(sysfs, path, &id) == EXIT_NO_DEVICE &&
		   strstr(tap_caught(messages, sizeof(messages)),
			  "a partition; the disk is /dev/bdus-12"),
	   "a partition of ours");
}

int main(void)
{
	char command[64];
	char node[DEVID_NODE_SIZE];

	tap_catch();
	if (mkdtemp(sysfs) == NULL) {
		perror(sysfs);
		return 1;
	}
	put("block/bdus-3/bdus/id", "3\n");
	put("block/bdus-5/bdus/id", "6\n");
	put("block/bdus-18446744073709551615/bdus/id",
	    "18446744073709551615\n");
	test_names();
	test_nodes();
	devid_node(UINT64_MAX, node);
	ok(!strcmp(node, "/dev/bdus-18446744073709551615"), "largest node");
	snprintf(command, sizeof(command), "rm -r '%s'", sysfs);
	if (system(command) != 0)
		return 1;
	return tap_done();
}
