/* SPDX-License-Identifier: MIT */
/*
 * encrypt/units.h - numbers whose unit must be said.
 *
 * cryptsetup counts key sizes in bits and offsets in sectors, others do not: a
 * bare number is refused.
 */
#ifndef BDUS_ENCRYPT_UNITS_H
#define BDUS_ENCRYPT_UNITS_H

#include <stdint.h>

#include "luks.h"

/**
 * units_key_size - read a key size, as "512bit" or "64B"
 * @option: name of the option, for the message
 * @text: what was typed
 * @key_size: filled in, bytes
 *
 * Return: %EXIT_DONE, or %EXIT_USAGE with a message.
 */
int units_key_size(const char *option, const char *text, uint32_t *key_size);

/**
 * units_offset - read an offset, as "2048s" or "1M"
 * @option: name of the option, for the message
 * @text: what was typed; NULL: 0
 * @off: filled in, bytes, a multiple of 512
 *
 * Return: %EXIT_DONE, or %EXIT_USAGE with a message.
 */
int units_offset(const char *option, const char *text, uint64_t *off);

/**
 * units_slot - read the number of a key slot
 * @luks: header that has them
 * @text: what was typed; NULL: %LUKS_ANY_SLOT
 * @slot: filled in
 *
 * Return: %EXIT_DONE, or %EXIT_USAGE with a message.
 */
int units_slot(const struct luks *luks, const char *text, int *slot);

#endif /* BDUS_ENCRYPT_UNITS_H */
