/* SPDX-License-Identifier: MIT */
/*
 * encrypt/uuid.h - UUIDs as text.
 */
#ifndef BDUS_ENCRYPT_UUID_H
#define BDUS_ENCRYPT_UUID_H

#include <stdbool.h>

/** UUID_FORM - what one looks like, x being a hexadecimal digit. */
#define UUID_FORM "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
/** UUID_SIZE - bytes of one, with its NUL. */
#define UUID_SIZE sizeof(UUID_FORM)

/** uuid_is_valid - is it of that form? Return: whether it is. */
bool uuid_is_valid(const char *text);

/**
 * uuid_make - make a random one, of version 4
 * @text: filled in, %UUID_SIZE bytes
 *
 * Return: 0 or -errno.
 */
int uuid_make(char *text);

#endif /* BDUS_ENCRYPT_UUID_H */
