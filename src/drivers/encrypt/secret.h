/* SPDX-License-Identifier: MIT */
/*
 * encrypt/secret.h - memory for keys: locked, in no core file, cleansed.
 *
 * All of libcrypto's memory comes from here too, since its contexts hold keys.
 */
#ifndef BDUS_ENCRYPT_SECRET_H
#define BDUS_ENCRYPT_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/**
 * secret_init - make libcrypto use this memory, and this process undumpable
 *
 * To be called before anything of libcrypto's. Can be called again.
 *
 * Return: 0 or -errno.
 */
int secret_init(void);

/**
 * secret_alloc - zeroed bytes, aligned as malloc() does. Thread-safe.
 * @size: bytes; up to 8 MiB they are locked, more (the memory of a key
 *	derivation) is only kept out of core files
 *
 * The child of a fork() has it too, locked as well.
 *
 * Return: them, or NULL.
 */
void *secret_alloc(size_t size);

/** secret_free - cleanse and give back what secret_alloc() gave, or NULL. */
void secret_free(void *secret);

/**
 * secret_is_locked - is all that was to be locked so far locked?
 *
 * A limit (RLIMIT_MEMLOCK) may forbid it; then secrets may get into swap.
 *
 * Return: whether it is.
 */
bool secret_is_locked(void);

/**
 * secret_random - random bytes of the kernel's generator
 * @buf: filled in
 * @len: bytes
 *
 * Early in the boot it waits until there is enough entropy.
 *
 * Return: 0 or -errno.
 */
int secret_random(void *buf, size_t len);

#endif /* BDUS_ENCRYPT_SECRET_H */
