/* SPDX-License-Identifier: MIT */
/*
 * encrypt/signature.h - what a disk holds already, told by its magic numbers.
 */
#ifndef BDUS_ENCRYPT_SIGNATURE_H
#define BDUS_ENCRYPT_SIGNATURE_H

#include "disk.h"

/** SIGNATURE_NAME_SIZE - room for a name. */
#define SIGNATURE_NAME_SIZE 32

/**
 * struct signature - one that was found
 * @name: of what it belongs to, as "ext4" or "LVM2 member"
 * @off: where its magic number is, bytes
 * @len: of the magic number, bytes
 */
struct signature {
	char name[SIGNATURE_NAME_SIZE];
	uint64_t off;
	size_t len;
};

/**
 * signature_find - look for file systems, partition tables, volumes, swap...
 * @disk: where
 * @signature: filled in with the first one
 *
 * Return: 1 found, 0 there is none that is known, or -errno.
 */
int signature_find(struct disk *disk, struct signature *signature);

/**
 * signature_erase - overwrite the magic numbers of all that is found
 * @disk: where
 *
 * So that nobody takes the disk for what it was.
 *
 * Return: 0 or -errno.
 */
int signature_erase(struct disk *disk);

/**
 * signature_is_blank - are there only zeroes where things begin?
 * @disk: its first 16 MiB and its last 1 MiB are read
 *
 * Return: 1, 0 or -errno.
 */
int signature_is_blank(struct disk *disk);

#endif /* BDUS_ENCRYPT_SIGNATURE_H */
