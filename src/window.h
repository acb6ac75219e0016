/* SPDX-License-Identifier: MIT */
/*
 * window.h - a disk that is a part of its backing, byte by byte: what loop and
 * record share, options included.
 */
#ifndef BDUS_WINDOW_H
#define BDUS_WINDOW_H

#include "store.h"

/**
 * struct window - a device on a backing; constant while it lives
 * @store: the backing
 * @offset: of the device in it, bytes
 * @sizelimit: most that is used, bytes; 0: no limit
 */
struct window {
	struct store store;
	uint64_t offset;
	uint64_t sizelimit;
};

/**
 * WINDOW_OPTS - lines of an option table
 * @structure: that the table describes
 * @prefix: nothing where that is struct window, else the field and a dot
 */
#define WINDOW_OPTS(structure, prefix)                                        \
	OPT_SIZE("offset", 'o', structure, prefix offset, 0, 0, INT64_MAX,    \
		 NULL, "where the disk starts in the backing"),               \
		OPT_SIZE("sizelimit", 0, structure, prefix sizelimit, 0, 512, \
			 INT64_MAX, NULL,                                     \
			 "use no more than this of the backing"),             \
		OPT_BOOL("direct", 0, structure, prefix store.is_direct,      \
			 "bypass the page cache of the backing (O_DIRECT)"),  \
		OPT_BOOL("create", 0, structure, prefix store.is_new,         \
			 "make FILE, sparse; it must not exist"),             \
		OPT_SIZE("size", 's', structure, prefix store.create_size, 0, \
			 512, INT64_MAX, NULL,                                \
			 "size of the file that --create makes")

/**
 * window_open - acquire the backing and fit the device's size to it
 * @window: its options are filled in
 * @dev: as store_acquire(); sizes and limits are filled in
 * @path: of the backing
 *
 * Prints what is wrong.
 *
 * Return: an exit code; on failure nothing is left behind. Then
 * window_serve(), or store_release().
 */
int window_open(struct window *window, struct dev *dev, const char *path);

/**
 * window_serve - let the device be served
 * @window: opened
 * @dev: as store_serve()
 * @path: as before
 *
 * Return: an exit code; on failure it is released.
 */
int window_serve(struct window *window, struct dev *dev, const char *path);

/* Requests. All return 0 or -errno, as those of the store. */

/** window_read - a read, into io->buf. */
int window_read(const struct window *window, const struct io *io);

/** window_write - a write, from io->buf. */
int window_write(const struct window *window, const struct io *io);

/** window_write_durable - a FUA write. */
int window_write_durable(const struct window *window, const struct io *io);

/** window_zero - write zeroes; written out where the backing cannot. */
int window_zero(const struct window *window, const struct io *io);

/** window_discard - discard. */
int window_discard(const struct window *window, const struct io *io);

/** window_secure_erase - secure erase. */
int window_secure_erase(const struct window *window, const struct io *io);

#endif /* BDUS_WINDOW_H */
