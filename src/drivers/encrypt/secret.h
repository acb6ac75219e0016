/* SPDX-License-Identifier: MIT */
/*
 * encrypt/secret.h - memory for keys: locked, in no core file, cleansed.
 *
 * All of libcrypto's memory comes from here too, since its contexts hold keys.
 */
#ifndef BDUS_ENCRYPT_SECRET_H
#define BDUS_ENCRYPT_SECRET_H

#include <stddef.h>

/**
 * secret_init - make libcrypto use this memory, and this process undumpable
 *
 * To be called before anything of libcrypto's. Can be called again.
 *
 * Return: 0 or -errno.
 */
int secret_init(void);

/** secret_alloc - @size zeroed bytes, or NULL. Thread-safe. */
void *secret_alloc(size_t size);

/** secret_free - cleanse and give back what secret_alloc() gave, or NULL. */
void secret_free(void *secret);

#endif /* BDUS_ENCRYPT_SECRET_H */
