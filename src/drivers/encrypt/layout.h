/* SPDX-License-Identifier: MIT */
/*
 * encrypt/layout.h - what luks.c asks of luks1*.c, luks2*.c, slot.c and kdf.c.
 *
 * As in luks.h, functions print what is wrong and return exit codes where
 * nothing else is said.
 */
#ifndef BDUS_ENCRYPT_LAYOUT_H
#define BDUS_ENCRYPT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "disk.h"
#include "luks.h"

/** luks1_read - luks_read() of version 1 */
int luks1_read(struct disk *disk, uint64_t data_size, struct luks *luks);

/**
 * luks1_new - lay out a new header; nothing is written
 * @luks: filled in, no slot used; to be freed
 * @disk: to have it
 * @data_size: of the disk with the data, bytes
 * @new: what to make
 *
 * Return: an exit code.
 */
int luks1_new(struct luks *luks, struct disk *disk, uint64_t data_size,
	      const struct luks_new *new);

/**
 * luks1_write - write a header of which one slot has changed
 * @disk: to have it
 * @luks: what to write
 * @slot: the one that has changed
 *
 * A slot that is used now: its second sector, sync, the first, sync; else the
 * reverse. A cut in between leaves the slot unused.
 *
 * Return: an exit code.
 */
int luks1_write(struct disk *disk, const struct luks *luks, int slot);

/** luks1_check - luks_check() of version 1 */
int luks1_check(struct disk *disk, uint64_t data_size, bool should_repair);

/** luks2_read - luks_read() of version 2 */
int luks2_read(struct disk *disk, uint64_t data_size, struct luks *luks);

/**
 * luks2_new - lay out a new header; nothing is written
 * @luks: filled in, with its JSON, no slot used, no digest, seqid 0; to be
 *	freed
 * @disk: to have it
 * @data_size: of the disk with the data, bytes
 * @new: what to make
 *
 * As cryptsetup's: the data at 16 MiB, the room before it for key slots; both
 * less where the disk is small.
 *
 * Return: an exit code.
 */
int luks2_new(struct luks *luks, struct disk *disk, uint64_t data_size,
	      const struct luks_new *new);

/**
 * luks2_place - find room for key material
 * @luks: header
 * @slot: number of the slot that it is for
 * @place: key_size and stripes (0: the volume's, 4000) are read, area_off and
 *	area_size filled in
 *
 * The room overlaps no area of the JSON, the slot's own present one included.
 *
 * Return: an exit code; %EXIT_BUSY: there is none.
 */
int luks2_place(const struct luks *luks, int slot, struct luks_slot *place);

/**
 * luks2_put_slot - bring the JSON in line with luks->slots[slot]
 * @luks: header
 * @slot: which; unused: it goes, and so do digests' and tokens' mention of it
 *
 * Return: an exit code.
 */
int luks2_put_slot(struct luks *luks, int slot);

/** luks2_set_digest - likewise, with luks->digest and the slots bound to it */
int luks2_set_digest(struct luks *luks);

/**
 * luks2_write - write both copies, each followed by a sync
 * @disk: to have them
 * @luks: what to write; seqid becomes one more
 *
 * The primary first, unless it is the only valid one: at each moment one
 * valid copy is on the disk.
 *
 * Return: an exit code.
 */
int luks2_write(struct disk *disk, struct luks *luks);

/** luks2_check - luks_check() of version 2 */
int luks2_check(struct disk *disk, uint64_t data_size, bool should_repair);

/**
 * slot_open - the volume key that a passphrase gives
 * @slot: key slot
 * @disk: that has its area
 * @pass: passphrase
 * @len: bytes
 * @key: a candidate, slot->key_size bytes of secret memory
 *
 * Return: an exit code.
 */
int slot_open(const struct luks_slot *slot, struct disk *disk, const void *pass,
	      size_t len, unsigned char *key);

/**
 * slot_fill - write the key material of a slot and sync
 * @slot: key slot; its salt is made
 * @disk: that has its area
 * @key: volume key
 * @pass: passphrase
 * @len: bytes
 *
 * Return: an exit code.
 */
int slot_fill(struct luks_slot *slot, struct disk *disk,
	      const unsigned char *key, const void *pass, size_t len);

/** slot_wipe - random bytes over the area of a slot, and sync */
int slot_wipe(const struct luks_slot *slot, struct disk *disk);

/**
 * kdf_hash_is_known - can PBKDF2 and the anti-forensic split use it?
 * @hash: "sha256", "sha512"
 * @is_old: "sha1", too, as LUKS1 headers have it
 *
 * Return: whether they can.
 */
bool kdf_hash_is_known(const char *hash, bool is_old);

/**
 * kdf_derive - a key from a passphrase
 * @cost: how
 * @pass: passphrase
 * @len: bytes
 * @salt: salt
 * @salt_len: bytes
 * @out: the key, secret memory
 * @out_len: bytes
 *
 * Prints nothing.
 *
 * Return: 0; -ENOMEM: the memory that it needs is not there;
 * -EINVAL: libcrypto refuses it.
 */
int kdf_derive(const struct luks_cost *cost, const void *pass, size_t len,
	       const unsigned char *salt, size_t salt_len, unsigned char *out,
	       size_t out_len);

/**
 * kdf_cost_is_sane - would opening be possible, in bounded time and memory?
 * @cost: from a header
 * @why: what is wrong with it, to follow "key slot 0: "
 * @size: bytes of @why
 *
 * Return: whether it would.
 */
bool kdf_cost_is_sane(const struct luks_cost *cost, char *why, size_t size);

#endif /* BDUS_ENCRYPT_LAYOUT_H */
