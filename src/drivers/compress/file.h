/* SPDX-License-Identifier: MIT */
/*
 * compress/file.h - a medium that is a file or block device.
 */
#ifndef BDUS_COMPRESS_FILE_H
#define BDUS_COMPRESS_FILE_H

#include <stdbool.h>

#include "medium.h"
#include "store.h"

/**
 * struct file - what an action works on
 * @medium: what it is to the engine
 * @fd: open, locked
 */
struct file {
	struct medium medium;
	int fd;
};

/**
 * file_open - open a file or block device for an action, for us alone
 * @file: filled in
 * @path: of it
 * @is_read_only: others may read it at the same time
 *
 * Prints what is wrong.
 *
 * Return: an exit code; %EXIT_BUSY: in use.
 */
int file_open(struct file *file, const char *path, bool is_read_only);

/** file_close - give it back. */
void file_close(struct file *file);

/**
 * struct backing - what a driver works on
 * @medium: what it is to the engine
 * @store: the driver's store
 */
struct backing {
	struct medium medium;
	const struct store *store;
};

/** backing_init - of a store that is acquired. */
void backing_init(struct backing *backing, const struct store *store);

#endif /* BDUS_COMPRESS_FILE_H */
