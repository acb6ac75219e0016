/* SPDX-License-Identifier: MIT */
/*
 * encrypt/passphrase.h - where a passphrase comes from.
 */
#ifndef BDUS_ENCRYPT_PASSPHRASE_H
#define BDUS_ENCRYPT_PASSPHRASE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "opt.h"

/** PASSPHRASE_MAX - bytes of one from a terminal; key files: 8 MiB. */
#define PASSPHRASE_MAX 512
/** PASSPHRASE_FILE_MAX - bytes of one from a file. */
#define PASSPHRASE_FILE_MAX (8U << 20)

/**
 * struct passphrase_source - the options that tell it
 * @file: file, "-" for stdin, or NULL
 * @fd: descriptor; 0: none
 * @offset: bytes to skip
 * @size: most bytes to take; 0: all
 */
struct passphrase_source {
	const char *file;
	uint64_t fd;
	uint64_t offset;
	uint64_t size;
};

/* The lines of an option table for a field of type struct passphrase_source. */
#define PASSPHRASE_OPTS(structure, field)                                    \
	OPT_PATH("key-file", 'd', structure, field.file, 0, "FILE", NULL,    \
		 "read the passphrase from FILE, - for standard input"),     \
		OPT_UINT("key-fd", 0, structure, field.fd, OPT_DESCRIPTOR,   \
			 "N", 3, INT_MAX, NULL,                              \
			 "read the passphrase from descriptor N"),           \
		OPT_SIZE("keyfile-offset", 0, structure, field.offset, 0, 0, \
			 INT64_MAX, NULL, "bytes of the key file to skip"),  \
		OPT_SIZE("keyfile-size", 'l', structure, field.size, 0, 1,   \
			 PASSPHRASE_FILE_MAX, NULL,                          \
			 "bytes of the key file to take, else all")

/**
 * struct passphrase - one, in secret memory
 * @data: not ended by NUL
 * @len: bytes
 */
struct passphrase {
	unsigned char *data;
	size_t len;
};

/**
 * passphrase_get - read a file or descriptor, or ask on the terminal
 * @source: what the options say; with neither file nor fd, or with "-", the
 *	terminal is asked where stdin is one
 * @prompt: what to ask, as "Passphrase of disk.img: "
 * @is_new: ask twice
 * @passphrase: filled in
 *
 * A key file is taken as it is; of a terminal or of stdin without --key-file
 * one line without its end, and no byte more is read. An empty one is refused.
 * Prints what is wrong. The terminal's echo is restored whatever signal comes.
 *
 * Return: an exit code.
 */
int passphrase_get(const struct passphrase_source *source, const char *prompt,
		   bool is_new, struct passphrase *passphrase);

/** passphrase_is_typed - will somebody be asked, who can be asked again? */
bool passphrase_is_typed(const struct passphrase_source *source);

/** passphrase_close - nothing is read from its descriptor any more. */
void passphrase_close(const struct passphrase_source *source);

/** passphrase_free - cleanse it. */
void passphrase_free(struct passphrase *passphrase);

#endif /* BDUS_ENCRYPT_PASSPHRASE_H */
