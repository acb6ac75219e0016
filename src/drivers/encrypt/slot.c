/* SPDX-License-Identifier: MIT */
/*
 * encrypt/slot - the key material of a key slot.
 *
 * passphrase, KDF -> key of the area; the area, decrypted -> stripes, merged ->
 * volume key. The area is encrypted in sectors of 512 bytes that are counted
 * from its own start.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "af.h"
#include "cipher.h"
#include "layout.h"
#include "msg.h"
#include "secret.h"

#define SLOT_SECTOR 512U
#define SLOT_SALT 32
#define SLOT_WIPE_CHUNK ((size_t)64 << 10)

/* Bytes of key material: the stripes, in whole sectors. */
static size_t slot_size(const struct luks_slot *slot)
{
	size_t size = (size_t)slot->key_size * slot->stripes;

	return (size + SLOT_SECTOR - 1) / SLOT_SECTOR * SLOT_SECTOR;
}

static int slot_failed(const struct disk *disk, const char *what, int err)
{
	msg_error("%s: cannot %s a key slot: %s", disk->name, what,
		  strerror(-err));
	return EXIT_FAILED;
}

/* Whoever read the header has checked it; this is against slips of ours. */
static bool slot_is_sane(const struct luks_slot *slot)
{
	return slot->key_size > 0 && slot->key_size <= LUKS_KEY_MAX &&
	       slot->cipher_key_size <= LUKS_KEY_MAX && slot->stripes > 0 &&
	       slot->stripes <= UINT16_MAX &&
	       slot->area_size >= slot_size(slot);
}

static int slot_kdf_failed(const struct luks_slot *slot,
			   const struct disk *disk, int err)
{
	if (err == -ENOMEM)
		msg_error("%s: a key slot needs %" PRIu32
			  " MiB of memory for its key derivation",
			  disk->name, (slot->cost.memory_kib + 1023) >> 10);
	else
		msg_error("%s: the key derivation of a key slot, %s, fails",
			  disk->name, luks_kdf_name(slot->cost.kdf));
	return EXIT_FAILED;
}

/* The cipher of the area; NULL: *@code says why. */
static struct cipher *slot_cipher(const struct luks_slot *slot,
				  const struct disk *disk, const void *pass,
				  size_t len, int *code)
{
	struct cipher *cipher = NULL;
	unsigned char *kek;
	int err = -ENOMEM;

	kek = secret_alloc(LUKS_KEY_MAX);
	if (kek != NULL)
		err = kdf_derive(&slot->cost, pass, len, slot->salt,
				 slot->salt_len, kek, slot->cipher_key_size);
	if (err != 0) {
		*code = slot_kdf_failed(slot, disk, err);
		goto out_free;
	}
	cipher = cipher_new(slot->cipher, kek, slot->cipher_key_size,
			    SLOT_SECTOR);
	if (cipher == NULL)
		*code = slot_failed(disk, "use the cipher of", -errno);
out_free:
	secret_free(kek);
	return cipher;
}

int slot_open(const struct luks_slot *slot, struct disk *disk, const void *pass,
	      size_t len, unsigned char *key)
{
	size_t size = slot_size(slot);
	int code = EXIT_DONE, err = -EINVAL;
	struct cipher *cipher = NULL;
	unsigned char *stripes;

	if (!slot_is_sane(slot))
		return slot_failed(disk, "open", err);
	stripes = secret_alloc(size);
	err = stripes != NULL ?
		      disk->read(disk, stripes, size, slot->area_off) :
		      -ENOMEM;
	if (err != 0) {
		code = slot_failed(disk, "read", err);
		goto out_free;
	}
	cipher = slot_cipher(slot, disk, pass, len, &code);
	if (cipher == NULL)
		goto out_free;
	err = cipher_decrypt(cipher, stripes, size, 0);
	if (err == 0)
		err = af_merge(stripes, slot->key_size, slot->stripes,
			       slot->af_hash, key);
	if (err != 0)
		code = slot_failed(disk, "decrypt", err);
out_free:
	cipher_free(cipher);
	secret_free(stripes);
	return code;
}

static int slot_encrypt(const struct luks_slot *slot, struct cipher *cipher,
			const unsigned char *key, unsigned char *stripes)
{
	int err = af_split(key, slot->key_size, slot->stripes, slot->af_hash,
			   stripes);

	if (err == 0)
		err = cipher_encrypt(cipher, stripes, slot_size(slot), 0);
	return err;
}

int slot_fill(struct luks_slot *slot, struct disk *disk,
	      const unsigned char *key, const void *pass, size_t len)
{
	size_t size = slot_size(slot);
	int code = EXIT_DONE, err = -EINVAL;
	struct cipher *cipher = NULL;
	unsigned char *stripes = NULL;

	if (slot_is_sane(slot)) {
		slot->salt_len = SLOT_SALT;
		err = secret_random(slot->salt, SLOT_SALT);
	}
	if (err != 0)
		return slot_failed(disk, "make", err);
	cipher = slot_cipher(slot, disk, pass, len, &code);
	if (cipher == NULL)
		return code;
	stripes = secret_alloc(size);
	err = stripes != NULL ? slot_encrypt(slot, cipher, key, stripes) :
				-ENOMEM;
	if (err == 0)
		err = disk->write(disk, stripes, size, slot->area_off);
	if (err == 0)
		err = disk->sync(disk);
	if (err != 0)
		code = slot_failed(disk, "write", err);
	secret_free(stripes);
	cipher_free(cipher);
	return code;
}

int slot_wipe(const struct luks_slot *slot, struct disk *disk)
{
	unsigned char *noise = malloc(SLOT_WIPE_CHUNK);
	uint64_t off = slot->area_off, left = slot->area_size;
	int err = noise != NULL ? 0 : -ENOMEM;

	while (err == 0 && left > 0) {
		size_t len =
			left < SLOT_WIPE_CHUNK ? (size_t)left : SLOT_WIPE_CHUNK;

		err = secret_random(noise, len);
		if (err == 0)
			err = disk->write(disk, noise, len, off);
		off += len;
		left -= len;
	}
	if (err == 0)
		err = disk->sync(disk);
	free(noise);
	return err == 0 ? EXIT_DONE : slot_failed(disk, "wipe", err);
}
