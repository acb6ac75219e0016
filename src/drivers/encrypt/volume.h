/* SPDX-License-Identifier: MIT */
/*
 * encrypt/volume.h - an opened volume: where its data is, and its key.
 */
#ifndef BDUS_ENCRYPT_VOLUME_H
#define BDUS_ENCRYPT_VOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "luks.h"
#include "passphrase.h"

/** VOLUME_ID - bytes by which a volume is known again. */
#define VOLUME_ID 32

/**
 * struct volume - what has to be known to serve it; has no pointers
 * @segment: its data
 * @key_size: bytes
 * @id: SHA-256 of what tells it from others: the header's uuid and digest, or
 *	the parameters of a plain one and its file or device
 * @key: volume key
 */
struct volume {
	struct luks_segment segment;
	uint32_t key_size;
	unsigned char id[VOLUME_ID];
	unsigned char key[LUKS_KEY_MAX];
};

/**
 * struct volume_options - how to find and open it, as the command line says
 * @type: enum volume_type
 * @header: file with a detached header, or NULL
 * @passphrase: where it comes from
 * @slot: key slot, as typed, or NULL
 * @cipher: of a plain volume, or NULL
 * @hash: of a plain volume's passphrase, or NULL
 * @key_size: of a plain volume, as typed, or NULL
 * @offset: of a plain volume, as typed, or NULL
 * @skip: of a plain volume, as typed, or NULL
 * @sector_size: of a plain volume, bytes; 0: not given
 */
struct volume_options {
	unsigned int type;
	const char *header;
	struct passphrase_source passphrase;
	const char *slot;
	const char *cipher;
	const char *hash;
	const char *key_size;
	const char *offset;
	const char *skip;
	uint64_t sector_size;
};

/** enum volume_type - by the order of the choices of --type */
enum volume_type { VOLUME_LUKS, VOLUME_LUKS1, VOLUME_LUKS2, VOLUME_PLAIN };

/**
 * volume_open - read the header and get the key
 * @options: what the command line says
 * @path: of the backing, for messages and prompts
 * @fd: the backing; the header is read from it unless it is detached
 * @size: of the backing, bytes
 * @known: a volume whose key is taken where it is the same one, or NULL
 * @volume: filled in; in memory that is shared with processes forked from now
 *
 * The passphrase is asked for, and the key derived from it, in a process of
 * its own that ends with that: nothing of them ever is in this one. Prints
 * what is wrong.
 *
 * Return: an exit code; %EXIT_WRONG_KEY.
 */
int volume_open(const struct volume_options *options, const char *path, int fd,
		uint64_t size, const struct volume *known,
		struct volume *volume);

/**
 * plain_describe - check the options of a plain volume and fill it in
 * @options: what the command line says
 * @volume: all but the key is filled in
 *
 * Return: an exit code.
 */
int plain_describe(const struct volume_options *options, struct volume *volume);

/**
 * plain_open_key - get the key of a plain volume
 * @options: what the command line says
 * @path: for messages
 * @passphrase: or the key itself, where it was read from a key file
 * @volume: its key is filled in
 *
 * Return: an exit code.
 */
int plain_open_key(const struct volume_options *options, const char *path,
		   const struct passphrase *passphrase, struct volume *volume);

#endif /* BDUS_ENCRYPT_VOLUME_H */
