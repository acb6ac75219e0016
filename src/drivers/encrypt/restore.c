/* SPDX-License-Identifier: MIT */
/*
 * encrypt/restore - the action that puts a backup of a header back.
 */
#include "actions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "msg.h"
#include "signature.h"
#include "target.h"
#include "terminal.h"

struct restore {
	const char *header;
	bool is_forced;
};

static const struct opt restore_opts[] = {
	HEADER_OPT(struct restore, header),
	OPT_BOOL("force", 0, struct restore, is_forced,
		 "do not ask, even if the backup is of another volume"),
	OPT_END
};

/* A restore on its way. Without a valid header, present.version is 0. */
struct restoring {
	struct disk *disk;
	uint64_t data_size;
	struct luks present;
	struct disk_file backup;
	struct luks saved;
	uint64_t size;
	unsigned char *image;
};

static int restore_differs(const struct restoring *restoring, const char *what)
{
	msg_error("%s: the backup is of another volume: its %s differs",
		  restoring->disk->name, what);
	msg_hint("--force restores it all the same");
	return EXIT_FAILED;
}

static int restore_compare(const struct restoring *restoring)
{
	const struct luks *saved = &restoring->saved;
	const struct luks *present = &restoring->present;

	if (saved->version != present->version)
		return restore_differs(restoring, "version");
	if (strcmp(saved->uuid, present->uuid) != 0)
		return restore_differs(restoring, "UUID");
	if (saved->segment.off != present->segment.off)
		return restore_differs(restoring, "data offset");
	if (saved->segment.sector_size != present->segment.sector_size)
		return restore_differs(restoring, "sector size");
	/* without key slots LUKS2 does not tell the size of the key */
	if (saved->key_size != present->key_size && present->key_size != 0)
		return restore_differs(restoring, "key size");
	if (strcmp(saved->segment.cipher, present->segment.cipher) != 0)
		return restore_differs(restoring, "cipher");
	if (saved->header_size != present->header_size)
		return restore_differs(restoring, "header size");
	return EXIT_DONE;
}

/* What is there that is no LUKS header? */
static int restore_check_foreign(const struct restoring *restoring)
{
	struct signature signature;
	int n = signature_find(restoring->disk, &signature);

	if (n < 0) {
		msg_error("%s: cannot read: %s", restoring->disk->name,
			  strerror(-n));
		return EXIT_FAILED;
	}
	if (n == 0 || strncmp(signature.name, "LUKS", 4) == 0)
		return EXIT_DONE;
	msg_error("%s: there is something on it: %s", restoring->disk->name,
		  signature.name);
	msg_hint("--force destroys it");
	return EXIT_BUSY;
}

/*
 * A header that cannot be read is what backups are for: what is wrong with it
 * has been told then.
 */
static void restore_read_present(struct restoring *restoring)
{
	if (luks_version(restoring->disk) <= 0 ||
	    luks_read(restoring->disk, 0, &restoring->present) == EXIT_DONE)
		return;
	msg_warn("%s: the header that is there cannot be compared with the "
		 "backup",
		 restoring->disk->name);
	memset(&restoring->present, 0, sizeof(restoring->present));
}

static int restore_check(struct restoring *restoring, bool is_forced)
{
	int status = EXIT_DONE;

	restore_read_present(restoring);
	if (restoring->size > restoring->disk->size) {
		msg_error("%s: is too small for the backup",
			  restoring->disk->name);
		return EXIT_FAILED;
	}
	if (is_forced)
		return EXIT_DONE;
	if (restoring->present.version != 0)
		status = restore_compare(restoring);
	else
		status = restore_check_foreign(restoring);
	return status;
}

static int restore_ask(const struct restoring *restoring)
{
	char warning[300];

	snprintf(warning, sizeof(warning),
		 "%.128s: the header and all key slots are going to be "
		 "replaced; passphrases set since the backup open no more, "
		 "those removed since then open again",
		 restoring->disk->name);
	return terminal_confirm(warning);
}

/* Both copies must be good, or the restored volume hangs by one only. */
static int restore_read_backup(struct restoring *restoring)
{
	struct disk *backup = &restoring->backup.disk;
	int status = luks_read(backup, restoring->data_size, &restoring->saved);
	int error;

	if (status != EXIT_DONE)
		return status;
	if (!restoring->saved.is_primary_ok ||
	    !restoring->saved.is_secondary_ok) {
		msg_error("%s: one copy of the header is damaged",
			  backup->name);
		msg_hint("'bdus encrypt check --repair %s' brings it in line",
			 backup->name);
		return EXIT_FAILED;
	}
	restoring->size = luks_image_size(&restoring->saved);
	restoring->image = malloc(restoring->size);
	error = restoring->image == NULL ?
			-ENOMEM :
			backup->read(backup, restoring->image, restoring->size,
				     0);
	if (error == 0)
		return EXIT_DONE;
	msg_error("%s: cannot read: %s", backup->name, strerror(-error));
	return EXIT_FAILED;
}

static int restore_write(struct restoring *restoring)
{
	struct disk *disk = restoring->disk;
	int error = image_restore(disk, &restoring->present, &restoring->saved,
				  restoring->image);

	if (error == 0)
		return EXIT_DONE;
	msg_error("%s: cannot write: %s", disk->name, strerror(-error));
	msg_hint("it may be restored in part only; restore it again");
	return EXIT_FAILED;
}

static int restore_from(struct restoring *restoring, const char *path,
			bool is_forced)
{
	int status = disk_open(&restoring->backup, path, DISK_READ);

	if (status != EXIT_DONE)
		return status;
	status = restore_read_backup(restoring);
	if (status == EXIT_DONE)
		status = restore_check(restoring, is_forced);
	if (status == EXIT_DONE && !is_forced)
		status = restore_ask(restoring);
	if (status == EXIT_DONE)
		status = restore_write(restoring);
	luks_free(&restoring->present);
	luks_free(&restoring->saved);
	free(restoring->image);
	disk_close(&restoring->backup);
	return status;
}

static int restore_run(void *opts, int argc, char **argv)
{
	const struct restore *restore = opts;
	struct target target = { .header = restore->header };
	struct restoring restoring = { .image = NULL };
	int status = target_begin(argc, 2, "FILE|DEVICE and BACKUP");

	if (status != EXIT_DONE)
		return status;
	target.path = argv[0];
	status = target_open_disks(&target, DISK_REPLACE);
	if (status != EXIT_DONE)
		return status;
	restoring.disk = &target.disk.disk;
	restoring.data_size = target.header != NULL ? target.data_size :
						      target.disk.disk.size;
	status = restore_from(&restoring, argv[1], restore->is_forced);
	target_close(&target);
	return status;
}

const struct applet action_header_restore = {
	.name = "header-restore",
	.alias = "luksHeaderRestore",
	.summary = "put a backup of header and key slots back",
	.operands = "FILE|DEVICE BACKUP",
	.opts = restore_opts,
	.opts_size = sizeof(struct restore),
	.run = restore_run,
};
