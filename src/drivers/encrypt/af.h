/* SPDX-License-Identifier: MIT */
/*
 * encrypt/af.h - the anti-forensic splitter of LUKS: a key is blown up to so
 * many stripes that are all needed, so that of key material that was
 * overwritten no forgotten copy of a few sectors is of use.
 */
#ifndef BDUS_ENCRYPT_AF_H
#define BDUS_ENCRYPT_AF_H

#include <stddef.h>
#include <stdint.h>

/**
 * af_split - make stripes of a key, with random numbers
 * @key: the key
 * @size: of the key, bytes
 * @stripes: how many
 * @hash: "sha1", "sha256", "sha512"
 * @out: @size times @stripes bytes of secret memory
 *
 * Return: 0 or -errno.
 */
int af_split(const unsigned char *key, size_t size, uint32_t stripes,
	     const char *hash, unsigned char *out);

/**
 * af_merge - get the key back
 * @from: the stripes
 * @size: of the key, bytes
 * @stripes: how many
 * @hash: see af_split()
 * @key: @size bytes of secret memory
 *
 * Return: 0 or -errno.
 */
int af_merge(const unsigned char *from, size_t size, uint32_t stripes,
	     const char *hash, unsigned char *key);

#endif /* BDUS_ENCRYPT_AF_H */
