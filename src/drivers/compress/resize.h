/* SPDX-License-Identifier: MIT */
/*
 * compress/resize.h - making a volume larger.
 *
 * The map gets a new place at the end of the medium, and a new numbering of its
 * pages; a superblock that names it makes that true. Until then nothing that
 * the old one refers to is written over.
 */
#ifndef BDUS_COMPRESS_RESIZE_H
#define BDUS_COMPRESS_RESIZE_H

#include "engine.h"

/**
 * struct resize_options - how
 * @size: of the disk, bytes; 0: what fits for sure, but not less than now
 * @may_overcommit: @size may be more than that
 * @progress: told how many of how many pages are done; or NULL
 * @arg: for it
 */
struct resize_options {
	uint64_t size;
	bool may_overcommit;
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
};

/**
 * resize_volume - make a volume larger
 * @medium: may have grown
 * @options: see there
 * @super: filled in: the superblock from now on
 * @reason: what is wrong
 *
 * Return: 0 (done, or there was nothing to do), -EINVAL (@reason: it cannot be
 * so), or another -errno (likewise): it is as it was, or done.
 */
int resize_volume(struct medium *medium, const struct resize_options *options,
		  struct super *super, const char **reason);

#endif /* BDUS_COMPRESS_RESIZE_H */
