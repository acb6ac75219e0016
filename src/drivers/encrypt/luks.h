/* SPDX-License-Identifier: MIT */
/*
 * encrypt/luks.h - LUKS1 and LUKS2 headers: what they say, and their changes.
 *
 * Every field is checked when a header is read; what is not known is refused
 * by name. Functions print what is wrong (with disk->name) and return exit
 * codes. Changes are crash-proof at each write: key material first, then the
 * header that refers to it, with a sync in between and after.
 */
#ifndef BDUS_ENCRYPT_LUKS_H
#define BDUS_ENCRYPT_LUKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "disk.h"

/** LUKS_KEY_MAX - largest volume key, bytes. */
#define LUKS_KEY_MAX 64
/** LUKS_SLOTS_MAX - key slots: 8 in LUKS1, 32 in LUKS2. */
#define LUKS_SLOTS_MAX 32
/** LUKS_SALT_MAX - bytes of a salt that are taken. */
#define LUKS_SALT_MAX 64
/** LUKS_ANY_SLOT - whichever fits. */
#define LUKS_ANY_SLOT (-1)

/** enum luks_kdf - how a passphrase becomes the key of a key slot */
enum luks_kdf { LUKS_PBKDF2, LUKS_ARGON2I, LUKS_ARGON2ID };

/**
 * struct luks_cost - a key derivation and what it costs
 * @kdf: which
 * @hash: of PBKDF2: "sha1", "sha256", "sha512"
 * @iterations: of PBKDF2; passes of Argon2
 * @memory_kib: of Argon2
 * @lanes: of Argon2
 */
struct luks_cost {
	enum luks_kdf kdf;
	char hash[16];
	uint32_t iterations;
	uint32_t memory_kib;
	uint32_t lanes;
};

/**
 * struct luks_slot - a key slot
 * @is_used: it exists
 * @is_ours: of a type that can be opened here; else it is kept as it is
 * @is_bound: it holds the volume's key (LUKS2: the digest of the segment)
 * @priority: 0 ignored unless named, 1 normal, 2 first
 * @key_size: of the volume key, bytes
 * @stripes: of the anti-forensic split: 4000
 * @af_hash: its hash
 * @area_off: of the key material, from the header's start, bytes
 * @area_size: bytes
 * @cipher: of the area, as "aes-xts-plain64"
 * @cipher_key_size: of the area, bytes
 * @cost: of the key derivation
 * @salt: of the key derivation
 * @salt_len: bytes
 */
struct luks_slot {
	bool is_used;
	bool is_ours;
	bool is_bound;
	int priority;
	uint32_t key_size;
	uint32_t stripes;
	char af_hash[16];
	uint64_t area_off;
	uint64_t area_size;
	char cipher[64];
	uint32_t cipher_key_size;
	struct luks_cost cost;
	unsigned char salt[LUKS_SALT_MAX];
	size_t salt_len;
};

/**
 * struct luks_digest - by which a volume key is known to be right
 * @hash: of its PBKDF2
 * @iterations: of its PBKDF2
 * @salt: of its PBKDF2
 * @salt_len: bytes
 * @value: its result
 * @value_len: bytes; 20 in LUKS1
 */
struct luks_digest {
	char hash[16];
	uint32_t iterations;
	unsigned char salt[LUKS_SALT_MAX];
	size_t salt_len;
	unsigned char value[64];
	size_t value_len;
};

/**
 * struct luks_segment - where the data is and how it is encrypted
 * @off: on the data disk, bytes
 * @size: bytes; 0: up to the disk's end
 * @iv_tweak: added to the number of each 512-byte sector
 * @sector_size: bytes
 * @cipher: as "aes-xts-plain64"
 * @may_discard: the header says so (config flag allow-discards)
 */
struct luks_segment {
	uint64_t off;
	uint64_t size;
	uint64_t iv_tweak;
	uint32_t sector_size;
	char cipher[64];
	bool may_discard;
};

struct json_t;

/**
 * struct luks - a header in memory
 * @version: 1 or 2
 * @uuid: as text
 * @label: LUKS2, or ""
 * @subsystem: LUKS2, or ""
 * @header_size: LUKS1: up to the end of the last key slot's area; LUKS2: of
 *	one copy with its JSON area, bytes
 * @keyslots_size: LUKS2: room for key material after both copies, bytes
 * @seqid: LUKS2
 * @key_size: of the volume key, bytes
 * @n_slots: how many there can be
 * @segment: the data
 * @digest: of the volume key
 * @slots: the key slots
 * @is_primary_ok: LUKS2: the first copy is valid and as new (LUKS1: true)
 * @is_secondary_ok: LUKS2: the second copy is valid and as new (LUKS1: true)
 * @json: LUKS2: all of it, unknown objects too; the others are read from it
 * @salts: LUKS2: of the two binary headers
 */
struct luks {
	unsigned int version;
	char uuid[40];
	char label[49];
	char subsystem[49];
	uint64_t header_size;
	uint64_t keyslots_size;
	uint64_t seqid;
	uint32_t key_size;
	unsigned int n_slots;
	struct luks_segment segment;
	struct luks_digest digest;
	struct luks_slot slots[LUKS_SLOTS_MAX];
	bool is_primary_ok;
	bool is_secondary_ok;
	struct json_t *json;
	unsigned char salts[2][64];
};

/**
 * struct luks_new - what luks_format() is to make
 * @version: 1 or 2
 * @cipher: "aes-xts-plain64"
 * @hash: of the digest and the anti-forensic split, "sha256" or "sha512"
 * @key_size: of the volume key, bytes
 * @sector_size: of the data, bytes; LUKS1: 512
 * @is_detached: the data is on another disk, from its start
 * @label: LUKS2, or NULL
 * @uuid: as text, or NULL: a random one
 * @cost: of the first key slot
 * @iter_ms: time that the digest's PBKDF2 is to take is bounded by this / 8
 */
struct luks_new {
	unsigned int version;
	const char *cipher;
	const char *hash;
	uint32_t key_size;
	uint32_t sector_size;
	bool is_detached;
	const char *label;
	const char *uuid;
	struct luks_cost cost;
	uint32_t iter_ms;
};

/** luks_version - 1 or 2: a disk begins with such a header (or LUKS2 has its
 * second copy where it is looked for); 0: it does not; or -errno. Prints
 * nothing. */
int luks_version(struct disk *disk);

/**
 * luks_read - read a header and check all of it
 * @disk: that has the header
 * @data_size: of the disk with the data, bytes; 0: not to be checked
 * @luks: filled in; to be freed
 *
 * Refuses, each with a message that names it: no LUKS header; both copies
 * corrupt; unknown version, requirement, segment, cipher, hash; reencryption;
 * integrity; opal; areas that overlap or lie outside; a disk that is too
 * small. One corrupt copy is a warning with a hint at "check --repair".
 *
 * Return: an exit code.
 */
int luks_read(struct disk *disk, uint64_t data_size, struct luks *luks);

/** luks_free - give back what a header took in memory. */
void luks_free(struct luks *luks);

/**
 * luks_open_key - get the volume key with a passphrase
 * @luks: from luks_read()
 * @disk: that has it
 * @slot: key slot, or %LUKS_ANY_SLOT: all that are not to be ignored, by
 *	priority
 * @pass: passphrase
 * @pass_len: bytes
 * @key: %LUKS_KEY_MAX bytes of secret memory
 * @found: the slot that it was, or NULL
 *
 * Prints only what is wrong with the header, the disk, or memory.
 *
 * Return: an exit code; %EXIT_WRONG_KEY: no slot is opened by it.
 */
int luks_open_key(const struct luks *luks, struct disk *disk, int slot,
		  const void *pass, size_t pass_len, unsigned char *key,
		  int *found);

/** luks_is_key - is this the volume key? By the digest, in constant time. */
bool luks_is_key(const struct luks *luks, const unsigned char *key);

/**
 * luks_format - make a header with one key slot, in place of what is there
 * @disk: to have it
 * @data_size: of the disk with the data, bytes
 * @new: what to make
 * @pass: passphrase of slot 0
 * @pass_len: bytes
 * @key: random volume key that was made, %LUKS_KEY_MAX bytes of secret memory
 *
 * Other headers and the old key material in that area are overwritten first,
 * up to 16 MiB from the disk's start also where the new header is smaller.
 *
 * Return: an exit code.
 */
int luks_format(struct disk *disk, uint64_t data_size,
		const struct luks_new *new, const void *pass, size_t pass_len,
		unsigned char *key);

/**
 * luks_add_slot - a further passphrase
 * @luks: from luks_read(); changed
 * @disk: that has it
 * @slot: which, or %LUKS_ANY_SLOT: the first that is free
 * @key: volume key
 * @cost: of its key derivation; LUKS1: has to be PBKDF2, and its hash is that
 *of luks->digest whatever this says
 * @pass: the new passphrase
 * @pass_len: bytes
 *
 * Return: an exit code; %EXIT_BUSY: the slot is used, or none is free.
 * After a failure @luks is not to be used any more.
 */
int luks_add_slot(struct luks *luks, struct disk *disk, int slot,
		  const unsigned char *key, const struct luks_cost *cost,
		  const void *pass, size_t pass_len);

/**
 * luks_change_slot - replace a passphrase; likewise
 * @luks: from luks_read(); changed
 * @disk: that has it
 * @slot: which
 * @key: volume key
 * @cost: see luks_add_slot()
 * @pass: the new passphrase
 * @pass_len: bytes
 *
 * The slot keeps its number (LUKS2), or gets another (LUKS1, which is refused
 * with all eight in use: in place it could not be crash-proof).
 *
 * Return: an exit code; %EXIT_BUSY: all are in use.
 */
int luks_change_slot(struct luks *luks, struct disk *disk, int slot,
		     const unsigned char *key, const struct luks_cost *cost,
		     const void *pass, size_t pass_len);

/**
 * luks_remove_slot - destroy a key slot: its key material, then its entry
 * @luks: from luks_read(); changed
 * @disk: that has it
 * @slot: which
 *
 * The last one, too: it is for the caller to ask.
 *
 * Return: an exit code.
 */
int luks_remove_slot(struct luks *luks, struct disk *disk, int slot);

/** luks_erase - destroy all key slots. Return: an exit code. */
int luks_erase(struct luks *luks, struct disk *disk);

/**
 * luks_image_size - how much from the start of a disk a backup has to hold
 * @luks: from luks_read()
 *
 * Header, its second copy, all key material.
 * As cryptsetup's luksHeaderBackup. That of LUKS1 is a multiple of 4096, though
 * the last area may end before; there cryptsetup writes zeroes to the rest, and
 * from 1024 to 4096 where the first area begins there.
 *
 * Return: bytes.
 */
uint64_t luks_image_size(const struct luks *luks);

/**
 * luks_check - say of both copies, areas, digests and slots what is wrong
 * @disk: that has the header
 * @data_size: as for luks_read()
 * @should_repair: bring the copy that is invalid, or older, in line with the
 *	other one
 *
 * Prints a line for each finding to stdout.
 *
 * Return: as fsck(8): 0 clean, 1 repaired, 4 errors left, 8 could not check.
 */
int luks_check(struct disk *disk, uint64_t data_size, bool should_repair);

/** luks_kdf_name - "pbkdf2", "argon2i" or "argon2id". */
const char *luks_kdf_name(enum luks_kdf kdf);

/**
 * luks_benchmark - choose the cost of a key derivation by measuring
 * @cost: kdf, hash; memory_kib and lanes are bounds, iterations 0; filled in
 * @key_size: of what it derives, bytes
 * @iter_ms: time it is to take, milliseconds
 *
 * As cryptsetup does: PBKDF2 at least 1000 iterations; Argon2 at least 4
 * passes, memory from 32 KiB, taken before passes; no more lanes than CPUs.
 * Return: an exit code.
 */
int luks_benchmark(struct luks_cost *cost, uint32_t key_size, uint32_t iter_ms);

#endif /* BDUS_ENCRYPT_LUKS_H */
