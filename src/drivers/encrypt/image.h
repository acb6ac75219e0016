/* SPDX-License-Identifier: MIT */
/*
 * encrypt/image.h - the image of a header put in the place of another one.
 */
#ifndef BDUS_ENCRYPT_IMAGE_H
#define BDUS_ENCRYPT_IMAGE_H

#include "disk.h"
#include "luks.h"

/**
 * image_restore - write the image of a header, in the safest order there is
 * @disk: to have it
 * @present: the header that is there, or one of version 0: none is valid
 * @saved: what the image says, both copies of it valid
 * @bytes: the image, luks_image_size(@saved) bytes
 *
 * What a cut leaves is told in image.c. Prints nothing.
 *
 * Return: 0 or -errno.
 */
int image_restore(struct disk *disk, const struct luks *present,
		  const struct luks *saved, const unsigned char *bytes);

#endif /* BDUS_ENCRYPT_IMAGE_H */
