/* SPDX-License-Identifier: MIT */
/*
 * header - what is done with a LUKS header that was accepted.
 */
#include "fuzz.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/encrypt/cipher.h"
#include "drivers/encrypt/layout.h"
#include "msg.h"

void fuzz_must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "fuzz: %s\n", what);
	abort();
}

static int fuzz_read(struct disk *disk, void *buf, size_t len, uint64_t off)
{
	const struct fuzz_disk *fuzz = (struct fuzz_disk *)disk;
	size_t there = 0;

	if (off > disk->size || len > disk->size - off)
		return -EIO;
	if (off < fuzz->len) {
		there = fuzz->len - (size_t)off;
		if (there > len)
			there = len;
		memcpy(buf, fuzz->data + off, there);
	}
	memset((unsigned char *)buf + there, 0, len - there);
	return 0;
}

static int fuzz_write(struct disk *disk, const void *buf, size_t len,
		      uint64_t off)
{
	const struct fuzz_disk *fuzz = (struct fuzz_disk *)disk;

	fuzz_must(off <= disk->size && len <= disk->size - off,
		  "a write after the end of the disk");
	if (off >= fuzz->len)
		return 0;
	if (len > fuzz->len - off)
		len = fuzz->len - (size_t)off;
	memcpy(fuzz->data + off, buf, len);
	return 0;
}

static int fuzz_sync(struct disk *disk)
{
	(void)disk;
	return 0;
}

void fuzz_disk_init(struct fuzz_disk *fuzz, unsigned char *data, size_t len,
		    uint64_t size, bool is_written)
{
	*fuzz = (struct fuzz_disk){
		.disk = { .name = "disk", .size = size, .read = fuzz_read },
		.data = data,
		.len = len < size ? len : (size_t)size,
	};
	/* without them a write is a crash */
	if (!is_written)
		return;
	fuzz->disk.write = fuzz_write;
	fuzz->disk.sync = fuzz_sync;
}

void fuzz_setup(void)
{
	if (freopen("/dev/null", "w", stdout) == NULL)
		abort();
	json_object_seed(1);
}

uint64_t fuzz_size(unsigned char choice)
{
	static const uint64_t sizes[] = {
		UINT64_C(32) << 20,
		UINT64_C(16) << 20,
		(UINT64_C(16) << 20) + 4096,
		UINT64_C(1) << 20,
		UINT64_C(1) << 40,
		32768,
		20000,
		592,
		512,
		UINT64_MAX - 511,
	};

	return sizes[choice % (sizeof(sizes) / sizeof(*sizes))];
}

static void fuzz_slot(const struct luks *luks, const struct luks_slot *slot,
		      const struct disk *disk)
{
	char why[256];

	fuzz_must(slot->priority >= 0 && slot->priority <= 2, "priority");
	if (slot->area_size != 0)
		fuzz_must(slot->area_off <= disk->size &&
				  slot->area_size <=
					  disk->size - slot->area_off &&
				  slot->area_off + slot->area_size <=
					  luks_image_size(luks),
			  "an area outside of the disk or of a backup");
	if (!slot->is_ours)
		return;
	fuzz_must(slot->stripes == 4000 && slot->key_size != 0 &&
			  slot->area_size >=
				  (uint64_t)slot->stripes * slot->key_size,
		  "an area that is too small");
	fuzz_must(cipher_is_known(slot->cipher, slot->cipher_key_size),
		  "the cipher of an area");
	fuzz_must(slot->salt_len <= sizeof(slot->salt), "a salt");
	fuzz_must(kdf_cost_is_sane(&slot->cost, why, sizeof(why)),
		  "the cost of a key derivation");
	fuzz_must(kdf_hash_is_known(slot->af_hash, true), "a hash");
	if (slot->is_bound)
		fuzz_must(slot->key_size == luks->key_size, "a key's size");
}

static void fuzz_areas(const struct luks *luks)
{
	const struct luks_slot *slots = luks->slots;

	for (unsigned int i = 0; i < luks->n_slots; i++)
		for (unsigned int j = 0; j < i; j++)
			fuzz_must(slots[i].area_size == 0 ||
					  slots[j].area_size == 0 ||
					  slots[i].area_off >=
						  slots[j].area_off +
							  slots[j].area_size ||
					  slots[j].area_off >=
						  slots[i].area_off +
							  slots[i].area_size,
				  "areas that overlap");
}

static void fuzz_segment(const struct luks *luks, uint64_t data_size)
{
	const struct luks_segment *segment = &luks->segment;
	uint32_t size = segment->sector_size;

	fuzz_must(size >= 512 && size <= 4096 && (size & (size - 1)) == 0,
		  "a sector size");
	fuzz_must(segment->off % 512 == 0 && segment->size % size == 0,
		  "a segment's size");
	if (luks->key_size != 0)
		fuzz_must(luks->key_size <= LUKS_KEY_MAX &&
				  cipher_is_known(segment->cipher,
						  luks->key_size),
			  "the segment's cipher");
	if (data_size != 0)
		fuzz_must(segment->off < data_size &&
				  segment->size <= data_size - segment->off,
			  "a segment outside of the disk");
	if (segment->off != 0)
		for (unsigned int i = 0; i < luks->n_slots; i++)
			fuzz_must(luks->slots[i].area_off +
						  luks->slots[i].area_size <=
					  segment->off,
				  "a segment that overlaps an area");
}

void fuzz_header(const struct luks *luks, struct disk *disk, uint64_t data_size)
{
	const struct luks_digest *digest = &luks->digest;
	int code;

	fuzz_must(luks->n_slots <= LUKS_SLOTS_MAX && luks->version >= 1 &&
			  luks->version <= 2,
		  "a version");
	fuzz_must(
		strnlen(luks->uuid, sizeof(luks->uuid)) < sizeof(luks->uuid) &&
			luks->label[48] == '\0' && luks->subsystem[48] == '\0',
		"a text without an end");
	fuzz_must(digest->value_len != 0 &&
			  digest->value_len <= sizeof(digest->value) &&
			  digest->salt_len <= sizeof(digest->salt) &&
			  digest->iterations != 0 &&
			  kdf_hash_is_known(digest->hash, true),
		  "a digest");
	for (unsigned int i = 0; i < luks->n_slots; i++)
		if (luks->slots[i].is_used)
			fuzz_slot(luks, &luks->slots[i], disk);
	fuzz_areas(luks);
	fuzz_segment(luks, data_size);
	code = luks_check(disk, data_size, false);
	fuzz_must(code == 0 || code == 4, "a check that cannot check");
}

void fuzz_same(const struct luks *one, const struct luks *other)
{
	struct luks a = *one, b = *other;

	fuzz_must(one->version == 1 || json_equal(one->json, other->json),
		  "JSON that is not what was written");
	a.json = b.json = NULL;
	a.seqid = b.seqid = 0;
	a.is_primary_ok = b.is_primary_ok = true;
	a.is_secondary_ok = b.is_secondary_ok = true;
	memcpy(b.salts, a.salts, sizeof(b.salts));
	fuzz_must(memcmp(&a, &b, sizeof(a)) == 0,
		  "a header that is not what was written");
}
