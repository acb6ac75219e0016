/* SPDX-License-Identifier: MIT */
/*
 * encrypt/target - what the actions have in common.
 *
 * The lock is held while a header is read and while it is changed, not while
 * somebody thinks about a passphrase.
 */
#include "target.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "msg.h"
#include "secret.h"

#define TARGET_TRIES 3

int target_begin(int argc, int count, const char *names)
{
	int error;

	umask(077);
	error = secret_init();
	if (error != 0) {
		msg_error("cannot keep keys safe in memory: %s",
			  strerror(-error));
		return EXIT_FAILED;
	}
	if (argc == count)
		return EXIT_DONE;
	msg_error("%s operands", argc < count ? "too few" : "too many");
	msg_hint("it takes %s", names);
	return EXIT_USAGE;
}

/*
 * A detached header goes with a disk that must be there, and must not be in use
 * if the header is to be replaced.
 */
static int target_measure(struct target *target, enum disk_mode mode)
{
	struct disk_file data;
	int status = disk_open(&data, target->path,
			       mode == DISK_REPLACE ? mode : DISK_READ);

	if (status != EXIT_DONE)
		return status;
	target->data_size = data.disk.size;
	disk_close(&data);
	return EXIT_DONE;
}

int target_open_disks(struct target *target, enum disk_mode mode)
{
	const char *path = target->path;
	int status = EXIT_DONE;

	memset(&target->luks, 0, sizeof(target->luks));
	target->data_size = 0;
	target->is_open = false;
	if (target->header != NULL) {
		path = target->header;
		status = target_measure(target, mode);
	}
	if (status == EXIT_DONE)
		status = disk_open(&target->disk, path, mode);
	target->is_open = status == EXIT_DONE;
	return status;
}

int target_open(struct target *target, enum disk_mode mode)
{
	int status = target_open_disks(target, mode);

	if (status != EXIT_DONE)
		return status;
	status =
		luks_read(&target->disk.disk, target->data_size, &target->luks);
	if (status != EXIT_DONE)
		target_close(target);
	return status;
}

int target_start(struct target *target, int argc, char **argv, int count,
		 const char *names)
{
	int status = target_begin(argc, count, names);

	if (status != EXIT_DONE)
		return status;
	target->path = argv[0];
	return target_open(target, DISK_READ);
}

void target_close(struct target *target)
{
	if (!target->is_open)
		return;
	luks_free(&target->luks);
	disk_close(&target->disk);
	target->is_open = false;
}

/* A change of any kind shows in these. */
static bool target_is_same(const struct luks *a, const struct luks *b)
{
	if (strcmp(a->uuid, b->uuid) != 0 || a->seqid != b->seqid)
		return false;
	for (unsigned int i = 0; i < LUKS_SLOTS_MAX; i++)
		if (a->slots[i].is_used != b->slots[i].is_used ||
		    memcmp(a->slots[i].salt, b->slots[i].salt,
			   sizeof(a->slots[i].salt)) != 0)
			return false;
	return true;
}

int target_reopen(struct target *target)
{
	struct luks before = target->luks;
	int status;

	disk_close(&target->disk);
	status = target_open(target, DISK_CHANGE);
	if (status == EXIT_DONE && !target_is_same(&before, &target->luks)) {
		msg_error("%s: the header has been changed meanwhile",
			  target->disk.disk.name);
		target_close(target);
		status = EXIT_BUSY;
	}
	luks_free(&before);
	return status;
}

int target_check_used(const struct target *target, int slot)
{
	if (slot == LUKS_ANY_SLOT || target->luks.slots[slot].is_used)
		return EXIT_DONE;
	msg_error("%s: key slot %d is not used", target->disk.disk.name, slot);
	return EXIT_FAILED;
}

/* Does it hold the volume's key? */
static bool target_has_key(const struct target *target, unsigned int slot)
{
	const struct luks_slot *s = &target->luks.slots[slot];

	return s->is_used && s->is_ours && s->is_bound;
}

unsigned int target_keys(const struct target *target)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < target->luks.n_slots; i++)
		n += target_has_key(target, i);
	return n;
}

/* All but one. A slot that is ignored otherwise counts here. */
static int target_try_others(struct target *target, int except,
			     const struct passphrase *pass, unsigned char *key,
			     int *found)
{
	int status = EXIT_WRONG_KEY;

	for (unsigned int i = 0;
	     i < target->luks.n_slots && status == EXIT_WRONG_KEY; i++)
		if ((int)i != except && target_has_key(target, i))
			status = luks_open_key(
				&target->luks, &target->disk.disk, (int)i,
				pass->data, pass->len, key, found);
	return status;
}

static int target_try(struct target *target, int slot, int except,
		      const struct passphrase *pass, unsigned char *key,
		      int *found)
{
	const char *name = target->disk.disk.name;
	int status;

	if (except >= 0)
		status = target_try_others(target, except, pass, key, found);
	else
		status = luks_open_key(&target->luks, &target->disk.disk, slot,
				       pass->data, pass->len, key, found);
	if (status != EXIT_WRONG_KEY)
		return status;
	if (except >= 0)
		msg_error("%s: no other key slot is opened by this passphrase",
			  name);
	else if (slot >= 0)
		msg_error("%s: key slot %d is not opened by this passphrase",
			  name, slot);
	else
		msg_error("%s: no key slot is opened by this passphrase", name);
	return status;
}

int target_get_key(struct target *target,
		   const struct passphrase_source *source, const char *prompt,
		   int slot, int except, unsigned char *key, int *found)
{
	int left = passphrase_is_typed(source) ? TARGET_TRIES : 1;
	struct passphrase pass;
	int status;

	do {
		status = passphrase_get(source, prompt, false, &pass);
		if (status != EXIT_DONE)
			return status;
		status = target_try(target, slot, except, &pass, key, found);
		passphrase_free(&pass);
	} while (status == EXIT_WRONG_KEY && --left > 0);
	return status;
}
