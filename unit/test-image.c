/* SPDX-License-Identifier: MIT */
/*
 * test-image - a header is restored and the power fails: after each write, and
 * within it at the boundaries of sectors, the volume opens by the passphrases
 * that image.c promises.
 */
#include <stdint.h>

#include "drivers/encrypt/image.h"
#include "drivers/encrypt/luks.h"
#include "drivers/encrypt/secret.h"
#include "msg.h"
#include "tap.h"

#define SIZE (4U << 20)
#define SECTOR 512
#define WRITES_MAX 256

/* A disk in memory, which loses its power after @budget bytes. */
static unsigned char data[SIZE], before[SIZE], saved[SIZE];
static size_t budget;
static size_t writes[WRITES_MAX];
static size_t n_writes;
static unsigned char *key;
static char messages[4096];

static int memory_read(struct disk *disk, void *buf, size_t len, uint64_t off)
{
	if (off > disk->size || len > disk->size - off)
		return -EIO;
	memcpy(buf, data + off, len);
	return 0;
}

static int memory_write(struct disk *disk, const void *buf, size_t len,
			uint64_t off)
{
	size_t part = len < budget ? len : budget;

	if (off > disk->size || len > disk->size - off)
		return -EIO;
	if (n_writes < WRITES_MAX)
		writes[n_writes++] = len;
	memcpy(data + off, buf, part);
	budget -= part;
	return part == len ? 0 : -EIO;
}

static int memory_sync(struct disk *disk)
{
	(void)disk;
	return budget > 0 ? 0 : -EIO;
}

static struct disk disk = {
	.name = "disk",
	.size = SIZE,
	.read = memory_read,
	.write = memory_write,
	.sync = memory_sync,
};

static const struct luks_cost cost = {
	.kdf = LUKS_PBKDF2,
	.hash = "sha256",
	.iterations = 1000,
};

static bool opens(const char *pass)
{
	struct luks luks;
	bool does = luks_read(&disk, 0, &luks) == EXIT_DONE &&
		    luks_open_key(&luks, &disk, LUKS_ANY_SLOT, pass,
				  strlen(pass), key, NULL) == EXIT_DONE;

	luks_free(&luks);
	tap_caught(messages, sizeof(messages));
	return does;
}

static void format(unsigned int version, const char *pass)
{
	const struct luks_new new = {
		.version = version,
		.cipher = "aes-xts-plain64",
		.hash = "sha256",
		.key_size = 64,
		.sector_size = SECTOR,
		.cost = cost,
	};

	budget = SIZE_MAX;
	memset(data, 0, sizeof(data));
	if (luks_format(&disk, SIZE, &new, pass, strlen(pass), key) !=
	    EXIT_DONE)
		ok(false, "format: %s", tap_caught(messages, sizeof(messages)));
}

/* Changes or adds a key slot of a volume that "first" opens. */
static void set_key(int slot, const char *pass)
{
	struct luks luks;
	int code;

	luks_read(&disk, 0, &luks);
	luks_open_key(&luks, &disk, LUKS_ANY_SLOT, "first", 5, key, NULL);
	if (luks.slots[slot].is_used)
		code = luks_change_slot(&luks, &disk, slot, key, &cost, pass,
					strlen(pass));
	else
		code = luks_add_slot(&luks, &disk, slot, key, &cost, pass,
				     strlen(pass));
	if (code != EXIT_DONE)
		ok(false, "set %s: %s", pass,
		   tap_caught(messages, sizeof(messages)));
	luks_free(&luks);
}

static void remove_key(int slot)
{
	struct luks luks;

	luks_read(&disk, 0, &luks);
	luks_remove_slot(&luks, &disk, slot);
	luks_free(&luks);
}

/* The backup that is restored later. */
static void save(void)
{
	memcpy(saved, data, sizeof(saved));
}

/* Restores; the power fails after @bytes. */
static void restore(size_t bytes)
{
	struct luks present, backup;

	memcpy(data, saved, sizeof(data));
	luks_read(&disk, 0, &backup);
	memcpy(data, before, sizeof(data));
	if (luks_version(&disk) <= 0 ||
	    luks_read(&disk, 0, &present) != EXIT_DONE)
		memset(&present, 0, sizeof(present));
	n_writes = 0;
	budget = bytes;
	image_restore(&disk, &present, &backup, saved);
	budget = SIZE_MAX;
	luks_free(&present);
	luks_free(&backup);
}

/* What has to open the volume after a cut: one passphrase, or either. */
static bool check_cut(size_t bytes, const char *pass, const char *or_pass)
{
	restore(bytes);
	if (opens(pass) || (or_pass != NULL && opens(or_pass)))
		return true;
	printf("# after %zu bytes nothing opens it\n", bytes);
	return false;
}

/*
 * Cuts the restore of what was saved over what there is now: in headers after
 * each sector, in key material after some.
 */
static void cut_all(const char *name, const char *pass, const char *or_pass)
{
	size_t sizes[WRITES_MAX], count, start = 0, n_cuts = 0;
	bool is_good = true;

	memcpy(before, data, sizeof(before));
	restore(SIZE_MAX);
	count = n_writes;
	memcpy(sizes, writes, sizeof(sizes));
	for (size_t i = 0; i < count; i++) {
		size_t step = sizes[i] > 16384 ? sizes[i] / 2 : SECTOR;

		for (size_t at = 0; at < sizes[i]; at += step, n_cuts++)
			is_good &= check_cut(start + at, pass, or_pass);
		start += sizes[i];
	}
	restore(SIZE_MAX);
	ok(is_good && memcmp(data, saved, 1U << 20) == 0 && n_cuts > 0,
	   "%s: %zu cuts in %zu writes", name, n_cuts, count);
}

static void test_version(unsigned int version)
{
	format(version, "first");
	save();
	set_key(1, "second");
	cut_all("a key was added since", "first", NULL);

	format(version, "first");
	set_key(1, "second");
	save();
	remove_key(1);
	cut_all("a key was removed since", "first", NULL);
	ok(opens("second"), "it opens again");

	format(version, "first");
	set_key(1, "second");
	save();
	remove_key(1);
	set_key(1, "third");
	cut_all("a key is another one in the same place", "first", NULL);
	ok(opens("second") && !opens("third"), "it is the old one again");

	format(version, "first");
	save();
	set_key(0, "changed");
	cut_all("the only key was changed since", "first", "changed");
	ok(opens("first") && !opens("changed"), "it is the old one again");
}

static void test_copies(void)
{
	format(2, "first");
	save();
	set_key(1, "second");
	data[16384 + 5000] ^= 1;
	cut_all("the second copy is damaged", "first", NULL);

	format(2, "first");
	save();
	set_key(1, "second");
	data[5000] ^= 1;
	cut_all("the first copy is damaged", "first", NULL);
}

static void test_nothing(unsigned int version)
{
	format(version, "first");
	save();
	memset(data, 0, 1U << 20);
	memcpy(before, data, sizeof(before));
	restore(SIZE_MAX);
	ok(opens("first") && memcmp(data, saved, 1U << 20) == 0,
	   "no header was there");
}

int main(void)
{
	tap_catch();
	secret_init();
	key = secret_alloc(LUKS_KEY_MAX);
	test_version(1);
	test_version(2);
	test_copies();
	test_nothing(1);
	test_nothing(2);
	secret_free(key);
	return tap_done();
}
