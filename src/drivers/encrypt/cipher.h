/* SPDX-License-Identifier: MIT */
/*
 * encrypt/cipher.h - sectors to ciphertext and back.
 */
#ifndef BDUS_ENCRYPT_CIPHER_H
#define BDUS_ENCRYPT_CIPHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cipher;

/**
 * cipher_is_known - can it be had?
 * @name: as in LUKS headers: "aes-xts-plain64", "aes-cbc-essiv:sha256"
 * @key_size: bytes
 *
 * Return: whether it can.
 */
bool cipher_is_known(const char *name, uint32_t key_size);

/** CIPHER_LIST_SIZE - room for cipher_list(). */
#define CIPHER_LIST_SIZE 160

/**
 * cipher_list - all that can be had, for a hint
 * @text: filled in, as "aes-xts-plain64 with 512bit or 256bit, ..."
 * @size: room in @text
 */
void cipher_list(char *text, size_t size);

/**
 * cipher_new - a cipher with its key; for one thread at a time
 * @name: see cipher_is_known()
 * @key: the volume key (or that of a key slot's area); not kept
 * @key_size: bytes
 * @sector_size: unit that gets an IV, bytes, a multiple of 512
 *
 * Return: it, in secret memory, or NULL with errno EINVAL (not known) or
 * ENOMEM.
 */
struct cipher *cipher_new(const char *name, const unsigned char *key,
			  uint32_t key_size, uint32_t sector_size);

/** cipher_free - cleanse and give back; NULL is fine. */
void cipher_free(struct cipher *cipher);

/**
 * cipher_encrypt - encrypt whole sectors in place; allocates nothing
 * @cipher: of this thread
 * @buf: the sectors
 * @len: bytes, a multiple of the sector size
 * @sector: number of the first one for its IV, in units of 512 bytes
 *
 * Return: 0 or -EIO; then @buf is not to be used.
 */
int cipher_encrypt(struct cipher *cipher, void *buf, size_t len,
		   uint64_t sector);

/** cipher_decrypt - likewise, the reverse. */
int cipher_decrypt(struct cipher *cipher, void *buf, size_t len,
		   uint64_t sector);

#endif /* BDUS_ENCRYPT_CIPHER_H */
