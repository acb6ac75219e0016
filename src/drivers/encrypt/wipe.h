/* SPDX-License-Identifier: MIT */
/*
 * encrypt/wipe.h - make a disk look as if it were full.
 */
#ifndef BDUS_ENCRYPT_WIPE_H
#define BDUS_ENCRYPT_WIPE_H

#include "disk.h"

/**
 * wipe_disk - fill a disk with what ciphertext looks like
 * @disk: all of it is overwritten
 *
 * With zeroes, encrypted by a key that is then forgotten: nobody can tell from
 * the disk which parts of a volume on it were ever used. Shows progress.
 * SIGHUP, SIGINT and SIGTERM make it stop and say so.
 *
 * Return: an exit code.
 */
int wipe_disk(struct disk *disk);

#endif /* BDUS_ENCRYPT_WIPE_H */
