/* SPDX-License-Identifier: MIT */
/*
 * encrypt/image - the image of a header put in the place of another one.
 *
 * The order of the writes, with a sync after each step:
 *
 * 1. key material of the backup where the present header has no key slot,
 * 2. the header: of LUKS2 one copy after the other, first the one that is
 *    invalid now; of LUKS1 its two sectors, first with the key slots of both
 *    headers, then with those of the backup,
 * 3. all the rest of the backup.
 *
 * What is equal already is not written. Cut short in step 1, the present header
 * opens as before. In step 2 one of the two is valid at any time (if they are
 * of the same layout, which --force may override). Once it is the restored one,
 * it opens by those key slots that the present header does not have, has
 * elsewhere, or has alike: all of them if keys were only added since the
 * backup. A slot whose passphrase was changed in place since then, or that is
 * another volume's, opens by neither passphrase until step 3 is through: old
 * and new key material cannot both be there. The backup remains, so that it can
 * be restored again.
 */
#include "image.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_CHUNK (64U << 10)

/* Of LUKS1: its two sectors; key slot 6 is in both, 7 in the second one. */
#define IMAGE_LUKS1_SIZE 1024
#define IMAGE_LUKS1_SECTOR 512
#define IMAGE_LUKS1_SLOTS 208
#define IMAGE_LUKS1_SLOT_SIZE 48

/* An image on its way to a disk. */
struct image {
	struct disk *disk;
	const struct luks *present;
	const struct luks *saved;
	const unsigned char *bytes;
	unsigned char *buf;
};

static bool image_overlaps(const struct luks_slot *slot, uint64_t off,
			   uint64_t len)
{
	return slot->is_used && slot->area_off < off + len &&
	       off < slot->area_off + slot->area_size;
}

/* Does the present header need what is there? */
static bool image_is_needed(const struct image *image, uint64_t off,
			    uint64_t len)
{
	for (unsigned int i = 0; i < image->present->n_slots; i++)
		if (image_overlaps(&image->present->slots[i], off, len))
			return true;
	return false;
}

/* Writes what is not there yet. */
static int image_range(struct image *image, uint64_t off, uint64_t end)
{
	struct disk *disk = image->disk;
	int error = 0;

	for (; off < end && error == 0; off += IMAGE_CHUNK) {
		size_t len = end - off < IMAGE_CHUNK ? (size_t)(end - off) :
						       IMAGE_CHUNK;

		error = disk->read(disk, image->buf, len, off);
		if (error == 0 &&
		    memcmp(image->buf, image->bytes + off, len) != 0)
			error = disk->write(disk, image->bytes + off, len, off);
	}
	return error;
}

static int image_free_slots(struct image *image)
{
	int error = 0;

	for (unsigned int i = 0; i < image->saved->n_slots && error == 0; i++) {
		const struct luks_slot *slot = &image->saved->slots[i];

		if (slot->is_used &&
		    !image_is_needed(image, slot->area_off, slot->area_size))
			error = image_range(image, slot->area_off,
					    slot->area_off + slot->area_size);
	}
	return error != 0 ? error : image->disk->sync(image->disk);
}

static int image_copy(struct image *image, uint64_t off, uint64_t end)
{
	int error = image->disk->write(image->disk, image->bytes + off,
				       (size_t)(end - off), off);

	return error != 0 ? error : image->disk->sync(image->disk);
}

/* One sector of LUKS1's header after the other, @second first or last. */
static int image_sectors(struct image *image, const unsigned char *bytes,
			 bool is_second_first)
{
	struct disk *disk = image->disk;
	size_t off = is_second_first ? IMAGE_LUKS1_SECTOR : 0;
	int error = 0;

	for (int i = 0; i < 2 && error == 0; i++) {
		error = disk->write(disk, bytes + off, IMAGE_LUKS1_SECTOR, off);
		if (error == 0)
			error = disk->sync(disk);
		off = IMAGE_LUKS1_SECTOR - off;
	}
	return error;
}

/* Are both LUKS1 headers of one volume, with key slots at the same places? */
static bool image_is_alike(const struct luks *one, const struct luks *other)
{
	if (one->version != 1 || one->key_size != other->key_size ||
	    memcmp(one->digest.value, other->digest.value,
		   sizeof(one->digest.value)) != 0)
		return false;
	for (unsigned int i = 0; i < one->n_slots; i++)
		if (one->slots[i].area_off != other->slots[i].area_off)
			return false;
	return true;
}

/*
 * The slots that the present header has not are added to it, and then it is
 * replaced: a slot comes with its second sector first, and goes with it last.
 */
static int image_luks1(struct image *image)
{
	unsigned char both[IMAGE_LUKS1_SIZE];
	int error = 0;

	if (image_is_alike(image->present, image->saved)) {
		error = image->disk->read(image->disk, both, sizeof(both), 0);
		for (unsigned int i = 0; i < image->saved->n_slots; i++) {
			size_t at = IMAGE_LUKS1_SLOTS +
				    (size_t)i * IMAGE_LUKS1_SLOT_SIZE;

			if (!image->present->slots[i].is_used)
				memcpy(both + at, image->bytes + at,
				       IMAGE_LUKS1_SLOT_SIZE);
		}
		if (error == 0)
			error = image_sectors(image, both, true);
	}
	return error == 0 ? image_sectors(image, image->bytes, false) : error;
}

/* At any time one copy is valid, as long as one was at first. */
static int image_header(struct image *image)
{
	uint64_t size = image->saved->header_size;
	bool is_second_first = image->present->version == 2 &&
			       !image->present->is_secondary_ok;
	int error;

	if (image->saved->version == 1)
		return image_luks1(image);
	error = image_copy(image, is_second_first ? size : 0,
			   is_second_first ? 2 * size : size);
	if (error == 0)
		error = image_copy(image, is_second_first ? 0 : size,
				   is_second_first ? size : 2 * size);
	return error;
}

int image_restore(struct disk *disk, const struct luks *present,
		  const struct luks *saved, const unsigned char *bytes)
{
	struct image image = { disk, present, saved, bytes,
			       malloc(IMAGE_CHUNK) };
	int error = image.buf != NULL ? image_free_slots(&image) : -ENOMEM;

	if (error == 0)
		error = image_header(&image);
	if (error == 0)
		error = image_range(&image, 0, luks_image_size(saved));
	if (error == 0)
		error = disk->sync(disk);
	free(image.buf);
	return error;
}
