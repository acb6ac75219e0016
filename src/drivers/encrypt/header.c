/* SPDX-License-Identifier: MIT */
/*
 * encrypt/header - the actions that back up, check and destroy a header.
 */
#include "actions.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "msg.h"
#include "target.h"
#include "terminal.h"

#define HEADER_CHUNK (256U << 10)
#define HEADER_PAGE 4096

/* Of LUKS1: what the header itself takes, two sectors. */
#define HEADER_LUKS1_SIZE 1024

/* Exit codes of fsck(8). */
#define HEADER_ERRORS 4
#define HEADER_NOT_CHECKED 8

struct header {
	const char *header;
	bool should_repair;
	bool is_forced;
};

static const struct opt header_backup_opts[] = {
	HEADER_OPT(struct header, header),
	OPT_END,
};

static const struct opt header_check_opts[] = {
	OPT_BOOL("repair", 0, struct header, should_repair,
		 "bring the copy that is damaged in line with the other one"),
	HEADER_OPT(struct header, header),
	OPT_END,
};

static const struct opt header_erase_opts[] = {
	HEADER_OPT(struct header, header),
	OPT_BOOL("force", 0, struct header, is_forced, "do not ask"),
	OPT_END,
};

static int header_write_all(int fd, const unsigned char *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Bytes of the chunk at @off that lie before @end. */
static size_t header_part(uint64_t off, uint64_t end)
{
	if (off >= end)
		return 0;
	return end - off < HEADER_CHUNK ? (size_t)(end - off) : HEADER_CHUNK;
}

/*
 * Behind LUKS1's header, up to the first key slot, there may be something that
 * was on the disk before: it is left out, as cryptsetup does.
 */
static void header_clean(const struct luks *luks, unsigned char *buf,
			 uint64_t off)
{
	if (luks->version == 1 && off == 0 &&
	    luks->slots[0].area_off == HEADER_PAGE)
		memset(buf + HEADER_LUKS1_SIZE, 0,
		       HEADER_PAGE - HEADER_LUKS1_SIZE);
}

/* The last page of LUKS1 is filled up: cryptsetup takes whole ones back only.
 */
static int header_copy(struct target *target, int fd, unsigned char *buf)
{
	struct disk *disk = &target->disk.disk;
	const struct luks *luks = &target->luks;
	uint64_t size = luks_image_size(luks);
	uint64_t end = luks->version == 1 ? luks->header_size : size;
	int error = 0;

	for (uint64_t off = 0; off < size && error == 0; off += HEADER_CHUNK) {
		size_t len = header_part(off, size);

		memset(buf, 0, len);
		error = disk->read(disk, buf, header_part(off, end), off);
		header_clean(luks, buf, off);
		if (error == 0)
			error = header_write_all(fd, buf, len);
	}
	return error;
}

/* The name is to be there after a power failure as well. */
static int header_sync(int fd, const char *path)
{
	char copy[PATH_MAX];
	int error = 0, dir;

	if (fsync(fd) != 0)
		return -errno;
	snprintf(copy, sizeof(copy), "%s", path);
	dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	if (fsync(dir) != 0 && errno != EINVAL)
		error = -errno;
	close(dir);
	return error;
}

static int header_backup_to(struct target *target, const char *path)
{
	unsigned char *buf = malloc(HEADER_CHUNK);
	int error = -ENOMEM, fd = -1;

	if (buf == NULL)
		goto out_message;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	error = fd < 0 ? -errno : header_copy(target, fd, buf);
	if (fd < 0)
		goto out_message;
	if (error == 0)
		error = header_sync(fd, path);
	close(fd);
	if (error != 0)
		unlink(path);
out_message:
	free(buf);
	if (error == 0)
		return EXIT_DONE;
	msg_error("%s: cannot write the backup: %s", path, strerror(-error));
	return error == -EEXIST ? EXIT_BUSY : EXIT_FAILED;
}

static int header_backup_run(void *opts, int argc, char **argv)
{
	const struct header *header = opts;
	struct target target = { .header = header->header };
	int status =
		target_start(&target, argc, argv, 2, "FILE|DEVICE and BACKUP");

	if (status == EXIT_DONE)
		status = header_backup_to(&target, argv[1]);
	target_close(&target);
	return status;
}

/* A backup has a place for no data. Anything else is to have all of it. */
static int header_check_data(struct target *target)
{
	struct disk *disk = &target->disk.disk;
	const struct luks_segment *segment = &target->luks.segment;
	bool is_backup = target->header == NULL &&
			 disk->size == luks_image_size(&target->luks);
	uint64_t size = target->header != NULL ? target->data_size : disk->size;
	uint64_t least =
		segment->size != 0 ? segment->size : segment->sector_size;

	if (is_backup || (size >= segment->off && size - segment->off >= least))
		return EXIT_DONE;
	printf("%s: its data is cut off: there are %" PRIu64
	       " bytes, and %" PRIu64 " at least are needed\n",
	       target->path, size, segment->off + least);
	return HEADER_ERRORS;
}

/*
 * The size of the data is looked at last: a backup of a header, which has none,
 * can be checked and repaired like the header itself.
 */
static int header_check(struct target *target, bool should_repair)
{
	int status = luks_check(&target->disk.disk, 0, should_repair);

	if (status >= HEADER_ERRORS)
		return status;
	if (luks_read(&target->disk.disk, 0, &target->luks) != EXIT_DONE)
		return HEADER_NOT_CHECKED;
	return status | header_check_data(target);
}

static int header_check_run(void *opts, int argc, char **argv)
{
	const struct header *header = opts;
	struct target target = { .header = header->header };
	enum disk_mode mode = header->should_repair ? DISK_CHANGE : DISK_READ;
	int status = target_begin(argc, 1, "FILE|DEVICE");

	if (status != EXIT_DONE)
		return status;
	target.path = argv[0];
	if (target_open_disks(&target, mode) != EXIT_DONE)
		return HEADER_NOT_CHECKED;
	status = header_check(&target, header->should_repair);
	target_close(&target);
	return status;
}

static int header_erase(struct target *target, bool is_forced)
{
	char warning[256];
	int status = EXIT_DONE;

	snprintf(warning, sizeof(warning),
		 "%.128s: all key slots are going to be destroyed, nobody "
		 "gets at the data any more",
		 target->disk.disk.name);
	if (!is_forced) {
		disk_unlock(&target->disk);
		status = terminal_confirm(warning);
	}
	if (status == EXIT_DONE)
		status = target_reopen(target);
	if (status == EXIT_DONE)
		status = luks_erase(&target->luks, &target->disk.disk);
	return status;
}

static int header_erase_run(void *opts, int argc, char **argv)
{
	const struct header *header = opts;
	struct target target = { .header = header->header };
	int status = target_start(&target, argc, argv, 1, "FILE|DEVICE");

	if (status == EXIT_DONE)
		status = header_erase(&target, header->is_forced);
	target_close(&target);
	return status;
}

const struct applet action_header_backup = {
	.name = "header-backup",
	.alias = "luksHeaderBackup",
	.summary = "copy header and key slots into a new file",
	.operands = "FILE|DEVICE BACKUP",
	.opts = header_backup_opts,
	.opts_size = sizeof(struct header),
	.run = header_backup_run,
};

const struct applet action_check = {
	.name = "check",
	.alias = "repair",
	.summary = "look for damage in a header, and repair it",
	.operands = "FILE|DEVICE",
	.opts = header_check_opts,
	.opts_size = sizeof(struct header),
	.run = header_check_run,
};

const struct applet action_erase = {
	.name = "erase",
	.alias = "luksErase",
	.summary =
		"destroy all key slots, and with them all access to the data",
	.operands = "FILE|DEVICE",
	.opts = header_erase_opts,
	.opts_size = sizeof(struct header),
	.run = header_erase_run,
};
