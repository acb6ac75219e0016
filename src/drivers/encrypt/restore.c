/* SPDX-License-Identifier: MIT */
/*
 * encrypt/restore - the action that puts a backup of a header back.
 *
 * The order of the writes, with a sync after each step:
 *
 * 1. key material of the backup where the present header has no key slot,
 * 2. the header, one copy after the other, first the one that is invalid now,
 * 3. all the rest of the backup.
 *
 * What is equal already is not written. Cut short in step 1, the present header
 * opens as before. In step 2 one of the two is valid at any time (if they are
 * of the same layout, which --force may override). Once it is the restored one,
 * it opens by those key slots that the present header does not have, has
 * elsewhere, or has alike: all of them if keys were only added since the
 * backup. A slot whose passphrase was changed in place since then, or that is
 * another volume's, opens by neither passphrase until step 3 is through: old
 * and new key material cannot both be there. The backup remains, so that it can
 * be restored again.
 */
#include "actions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "msg.h"
#include "signature.h"
#include "target.h"
#include "terminal.h"

#define RESTORE_CHUNK (64U << 10)

/* Of LUKS1: its two sectors, the second of which has the last key slots. */
#define RESTORE_LUKS1_SIZE 1024

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
	unsigned char *buf;
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
	if (saved->key_size != present->key_size)
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
	restoring->buf = malloc(RESTORE_CHUNK);
	error = restoring->image == NULL || restoring->buf == NULL ?
			-ENOMEM :
			backup->read(backup, restoring->image, restoring->size,
				     0);
	if (error == 0)
		return EXIT_DONE;
	msg_error("%s: cannot read: %s", backup->name, strerror(-error));
	return EXIT_FAILED;
}

static bool restore_overlaps(const struct luks_slot *slot, uint64_t off,
			     uint64_t len)
{
	return slot->is_used && slot->area_off < off + len &&
	       off < slot->area_off + slot->area_size;
}

/* Does the present header need what is there? */
static bool restore_is_needed(const struct restoring *restoring, uint64_t off,
			      uint64_t len)
{
	for (unsigned int i = 0; i < restoring->present.n_slots; i++)
		if (restore_overlaps(&restoring->present.slots[i], off, len))
			return true;
	return false;
}

/* Writes what is not there yet. */
static int restore_range(struct restoring *restoring, uint64_t off,
			 uint64_t end)
{
	struct disk *disk = restoring->disk;
	int error = 0;

	for (; off < end && error == 0; off += RESTORE_CHUNK) {
		size_t len = end - off < RESTORE_CHUNK ? (size_t)(end - off) :
							 RESTORE_CHUNK;

		error = disk->read(disk, restoring->buf, len, off);
		if (error == 0 &&
		    memcmp(restoring->buf, restoring->image + off, len) != 0)
			error = disk->write(disk, restoring->image + off, len,
					    off);
	}
	return error;
}

static int restore_free_slots(struct restoring *restoring)
{
	int error = 0;

	for (unsigned int i = 0; i < restoring->saved.n_slots && error == 0;
	     i++) {
		const struct luks_slot *slot = &restoring->saved.slots[i];

		if (slot->is_used &&
		    !restore_is_needed(restoring, slot->area_off,
				       slot->area_size))
			error = restore_range(restoring, slot->area_off,
					      slot->area_off + slot->area_size);
	}
	return error != 0 ? error : restoring->disk->sync(restoring->disk);
}

static int restore_copy(struct restoring *restoring, uint64_t off, uint64_t end)
{
	int error =
		restoring->disk->write(restoring->disk, restoring->image + off,
				       (size_t)(end - off), off);

	return error != 0 ? error : restoring->disk->sync(restoring->disk);
}

/* At any time one copy is valid, as long as one was at first. */
static int restore_header(struct restoring *restoring)
{
	uint64_t size = restoring->saved.header_size;
	bool is_second_first = restoring->present.version == 2 &&
			       !restoring->present.is_secondary_ok;
	int error;

	if (restoring->saved.version == 1)
		return restore_copy(restoring, 0, RESTORE_LUKS1_SIZE);
	error = restore_copy(restoring, is_second_first ? size : 0,
			     is_second_first ? 2 * size : size);
	if (error == 0)
		error = restore_copy(restoring, is_second_first ? 0 : size,
				     is_second_first ? size : 2 * size);
	return error;
}

static int restore_write(struct restoring *restoring)
{
	struct disk *disk = restoring->disk;
	int error = restore_free_slots(restoring);

	if (error == 0)
		error = restore_header(restoring);
	if (error == 0)
		error = restore_range(restoring, 0, restoring->size);
	if (error == 0)
		error = disk->sync(disk);
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
	free(restoring->buf);
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
