/* SPDX-License-Identifier: MIT */
/*
 * rebuild.h - a recorded disk as an image, in one state after the other.
 *
 * Two sparse files in a temporary folder: one has what is settled, the other is
 * what people look at. From a state to the next one only what differs is
 * written, unless somebody has changed the image meanwhile.
 */
#ifndef BDUS_REBUILD_H
#define BDUS_REBUILD_H

#include "outage.h"

/**
 * struct rebuild - images
 * @history: the log
 * @dir: temporary folder
 * @path: of the image
 * @settled: the file without what is not settled; it has no name
 * @image: the image
 * @view: at the cut of @settled
 * @outage: the state that the image is in
 * @is_made: it is in any
 * @buf: for copying
 */
struct rebuild {
	const struct history *history;
	char dir[256];
	char path[280];
	int settled;
	int image;
	struct view view;
	struct outage outage;
	bool is_made;
	void *buf;
};

/**
 * rebuild_open - begin with what was there before the recording
 * @rebuild: filled in
 * @history: stays
 * @base: image of it, or NULL: it is in the log
 *
 * The folder is in $TMPDIR or /tmp. Prints what is wrong.
 *
 * Return: an exit code; rebuild_close() only after success.
 */
int rebuild_open(struct rebuild *rebuild, const struct history *history,
		 const char *base);

/** rebuild_close - remove the images. */
void rebuild_close(struct rebuild *rebuild);

/**
 * rebuild_state - make the image of a state
 * @rebuild: opened
 * @outage: the state; its cut is not before that of the last one
 *
 * Return: 0 or -errno.
 */
int rebuild_state(struct rebuild *rebuild, const struct outage *outage);

/**
 * rebuild_save - copy the image, sparse
 * @rebuild: made
 * @path: to be made
 * @is_forced: it may exist
 *
 * Prints what is wrong.
 *
 * Return: an exit code.
 */
int rebuild_save(struct rebuild *rebuild, const char *path, bool is_forced);

#endif /* BDUS_REBUILD_H */
