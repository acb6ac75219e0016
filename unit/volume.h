/* SPDX-License-Identifier: MIT */
/*
 * volume.h - LUKS volumes in memory, with the cheapest key derivations, and
 * what passphrases open of them.
 */
#ifndef BDUS_VOLUME_TEST_H
#define BDUS_VOLUME_TEST_H

#include "drivers/encrypt/luks.h"
#include "drivers/encrypt/secret.h"
#include "memdisk.h"
#include "msg.h"
#include "tap.h"

#define VOLUME_SIZE (((size_t)2 << 20) + ((size_t)256 << 10))
#define VOLUME_KEY_SIZE 32

/**
 * struct volume - a volume
 * @mem: the disk, with header and data
 * @version: 1 or 2
 * @key: its key, secret memory
 */
struct volume {
	struct memdisk *mem;
	unsigned int version;
	unsigned char *key;
};

/* Whatever a test cannot go on without. */
static inline void volume_must(bool is_done, const char *what)
{
	char text[4096];

	if (is_done)
		return;
	printf("Bail out! %s\n", what);
	puts(tap_caught(text, sizeof(text)));
	exit(1);
}

/* The passphrase of a slot. */
static inline const char *volume_pass(int slot)
{
	static char text[32];

	snprintf(text, sizeof(text), "passphrase %d", slot);
	return text;
}

/* LUKS2 has all kinds, depending on the slot. */
static inline struct luks_cost volume_cost(unsigned int version, int slot)
{
	struct luks_cost cost = {
		.kdf = LUKS_PBKDF2,
		.hash = "sha256",
		.iterations = 1000,
	};

	if (version == 1 || slot % 3 == 2)
		return cost;
	return (struct luks_cost){
		.kdf = slot % 3 == 0 ? LUKS_ARGON2ID : LUKS_ARGON2I,
		.iterations = 4,
		.memory_kib = 32,
		.lanes = 1,
	};
}

static inline int volume_format(struct disk *disk, unsigned int version,
				const char *pass, unsigned char *key)
{
	struct luks_new new = {
		.version = version,
		.cipher = "aes-xts-plain64",
		.hash = "sha256",
		.key_size = VOLUME_KEY_SIZE,
		.sector_size = 512,
		.label = version == 2 ? "label" : NULL,
		.cost = volume_cost(version, 0),
	};

	return luks_format(disk, disk->size, &new, pass, strlen(pass), key);
}

static inline int volume_add(struct disk *disk, int slot, const char *pass,
			     const unsigned char *key)
{
	struct luks luks;
	struct luks_cost cost;
	int code = luks_read(disk, disk->size, &luks);

	cost = volume_cost(luks.version, slot);
	if (code == EXIT_DONE)
		code = luks_add_slot(&luks, disk, slot, key, &cost, pass,
				     strlen(pass));
	luks_free(&luks);
	return code;
}

static inline int volume_change(struct disk *disk, int slot, const char *pass,
				const unsigned char *key)
{
	struct luks luks;
	struct luks_cost cost;
	int code = luks_read(disk, disk->size, &luks);

	cost = volume_cost(luks.version, slot + 1);
	if (code == EXIT_DONE)
		code = luks_change_slot(&luks, disk, slot, key, &cost, pass,
					strlen(pass));
	luks_free(&luks);
	return code;
}

static inline int volume_remove(struct disk *disk, int slot)
{
	struct luks luks;
	int code = luks_read(disk, disk->size, &luks);

	if (code == EXIT_DONE)
		code = luks_remove_slot(&luks, disk, slot);
	luks_free(&luks);
	return code;
}

static inline int volume_erase(struct disk *disk)
{
	struct luks luks;
	int code = luks_read(disk, disk->size, &luks);

	if (code == EXIT_DONE)
		code = luks_erase(&luks, disk);
	luks_free(&luks);
	return code;
}

static inline int volume_check(struct disk *disk, bool should_repair)
{
	int saved = memdisk_hush();
	int code = luks_check(disk, disk->size, should_repair);

	memdisk_unhush(saved);
	return code;
}

/* A volume with the slots of @slots, which ends with -1, 0 among them. */
static inline struct volume volume_new(unsigned int version, const int *slots)
{
	struct volume volume = {
		.mem = memdisk_new(NULL, VOLUME_SIZE),
		.version = version,
		.key = memdisk_must(secret_alloc(LUKS_KEY_MAX)),
	};
	struct disk *disk = &volume.mem->disk;
	int code = volume_format(disk, version, volume_pass(0), volume.key);

	for (; *slots >= 0 && code == EXIT_DONE; slots++)
		if (*slots > 0)
			code = volume_add(disk, *slots, volume_pass(*slots),
					  volume.key);
	volume_must(code == EXIT_DONE, "cannot make a volume");
	memdisk_forget(volume.mem);
	return volume;
}

static inline struct volume volume_copy(const struct volume *from)
{
	struct volume volume = {
		.mem = memdisk_copy(from->mem),
		.version = from->version,
		.key = memdisk_must(secret_alloc(LUKS_KEY_MAX)),
	};

	memcpy(volume.key, from->key, LUKS_KEY_MAX);
	return volume;
}

static inline void volume_free(struct volume *volume)
{
	memdisk_free(volume->mem);
	secret_free(volume->key);
}

/* enum opened - what came of an attempt to open a volume. */
enum opened { CLOSED, OPENED, OPENED_WRONG };

static inline enum opened volume_open(const struct luks *luks,
				      struct disk *disk, int slot,
				      const char *pass,
				      const unsigned char *key)
{
	unsigned char *got = memdisk_must(secret_alloc(LUKS_KEY_MAX));
	int code =
		luks_open_key(luks, disk, slot, pass, strlen(pass), got, NULL);
	bool is_same = memcmp(got, key, VOLUME_KEY_SIZE) == 0;

	secret_free(got);
	if (code != EXIT_DONE)
		return CLOSED;
	return is_same ? OPENED : OPENED_WRONG;
}

#endif /* BDUS_VOLUME_TEST_H */
