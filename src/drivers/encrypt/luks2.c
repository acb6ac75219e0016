/* SPDX-License-Identifier: MIT */
/*
 * encrypt/luks2 - LUKS2's two copies of a header: found, chosen, written.
 *
 * A copy is valid when its binary header is sane, its checksum right and its
 * JSON well-formed. Of two valid ones that with the higher seqid counts, of
 * equals the primary. Without a primary the secondary is looked for wherever
 * one can be, since its place is its size. What a copy means is found out in
 * luks2json.c.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "layout.h"
#include "luks2.h"
#include "msg.h"

_Static_assert(sizeof(struct luks2_binary) == LUKS2_UNIT, "4096 bytes");
_Static_assert(offsetof(struct luks2_binary, csum) == 448, "as specified");

static const char luks2_magics[2][6] = {
	{ 'L', 'U', 'K', 'S', '\xba', '\xbe' },
	{ 'S', 'K', 'U', 'L', '\xba', '\xbe' },
};

/* SHA-256 of an image with zeroes in place of the checksum. */
static int luks2_sum(unsigned char *image, size_t size, unsigned char *sum)
{
	struct luks2_binary *binary = (struct luks2_binary *)image;
	unsigned char kept[sizeof(binary->csum)];
	int rc;

	memcpy(kept, binary->csum, sizeof(kept));
	memset(binary->csum, 0, sizeof(binary->csum));
	rc = EVP_Digest(image, size, sum, NULL, EVP_sha256(), NULL);
	memcpy(binary->csum, kept, sizeof(kept));
	return rc == 1 ? 0 : -ENOMEM;
}

int luks2_seal(unsigned char *image, size_t size, int index,
	       const unsigned char *salt)
{
	struct luks2_binary *binary = (struct luks2_binary *)image;
	unsigned char sum[EVP_MAX_MD_SIZE];
	int rc;

	memcpy(binary->magic, luks2_magics[index], sizeof(binary->magic));
	memcpy(binary->salt, salt, sizeof(binary->salt));
	binary->hdr_offset = htobe64(index == 0 ? 0 : size);
	rc = luks2_sum(image, size, sum);
	memset(binary->csum, 0, sizeof(binary->csum));
	memcpy(binary->csum, sum, 32);
	return rc;
}

/* What is wrong with a binary header at @off, or NULL. */
static const char *luks2_binary_fault(const struct luks2_binary *binary,
				      uint64_t off)
{
	uint64_t size = be64toh(binary->hdr_size);

	if (be16toh(binary->version) != 2)
		return "has a version that is not known";
	if (size < LUKS2_SIZE_MIN || size > LUKS2_SIZE_MAX ||
	    (size & (size - 1)) != 0)
		return "has a size out of range";
	if (be64toh(binary->hdr_offset) != off)
		return "belongs elsewhere by its offset";
	if (off != 0 && off != size)
		return "is not where its size puts it";
	if (strncmp(binary->csum_alg, "sha256", sizeof(binary->csum_alg)) != 0)
		return "has a checksum of an unknown kind";
	for (size_t i = 0; i < sizeof(binary->uuid); i++) {
		if (binary->uuid[i] == '\0')
			return NULL;
		if (binary->uuid[i] <= ' ' || binary->uuid[i] > '~')
			break;
	}
	return "has a UUID that is no text";
}

static const char *luks2_copy_load(struct disk *disk, struct luks2_copy *copy,
				   int index)
{
	struct luks2_binary binary;
	unsigned char sum[EVP_MAX_MD_SIZE];
	const char *fault;

	if (disk->size < copy->off || disk->size - copy->off < sizeof(binary))
		return "is cut off";
	if (disk->read(disk, &binary, sizeof(binary), copy->off) != 0)
		return "cannot be read";
	if (memcmp(binary.magic, luks2_magics[index], 6) != 0)
		return "is not there";
	copy->has_magic = true;
	fault = luks2_binary_fault(&binary, copy->off);
	if (fault != NULL)
		return fault;
	copy->size = be64toh(binary.hdr_size);
	copy->seqid = be64toh(binary.seqid);
	if (disk->size - copy->off < copy->size)
		return "is cut off";
	copy->image = malloc(copy->size);
	if (copy->image == NULL)
		return "needs more memory than there is";
	memcpy(copy->image, &binary, sizeof(binary));
	if (disk->read(disk, copy->image + sizeof(binary),
		       copy->size - sizeof(binary),
		       copy->off + sizeof(binary)) != 0)
		return "cannot be read";
	if (luks2_sum(copy->image, copy->size, sum) != 0 ||
	    memcmp(sum, binary.csum, 32) != 0)
		return "has a wrong checksum";
	copy->json = luks2_json_parse((char *)copy->image + sizeof(binary),
				      copy->size - sizeof(binary), &fault);
	return fault;
}

static void luks2_copy_free(struct luks2_copy *copy)
{
	free(copy->image);
	json_decref(copy->json);
	copy->image = NULL;
	copy->json = NULL;
}

static void luks2_copy_read(struct disk *disk, struct luks2_copy *copy,
			    int index, uint64_t off)
{
	*copy = (struct luks2_copy){
		.name = index == 0 ? "primary" : "secondary",
		.off = off,
	};
	copy->fault = luks2_copy_load(disk, copy, index);
	if (copy->fault != NULL)
		luks2_copy_free(copy);
}

/* The one that is valid, else the first that looks like one. */
static void luks2_search(struct disk *disk, struct luks2_copy *copy)
{
	uint64_t first = 0;
	uint64_t off;

	for (off = LUKS2_SIZE_MIN; off <= LUKS2_SIZE_MAX; off *= 2) {
		luks2_copy_read(disk, copy, 1, off);
		if (copy->fault == NULL)
			return;
		if (copy->has_magic && first == 0)
			first = off;
	}
	luks2_copy_read(disk, copy, 1, first != 0 ? first : LUKS2_SIZE_MIN);
}

/* Same text and same labels? Salts and checksums differ by their nature. */
static bool luks2_is_same(const struct luks2_copy *a,
			  const struct luks2_copy *b)
{
	const struct luks2_binary *one = (const void *)a->image;
	const struct luks2_binary *other = (const void *)b->image;

	return a->size == b->size &&
	       memcmp(a->image + LUKS2_UNIT, b->image + LUKS2_UNIT,
		      a->size - LUKS2_UNIT) == 0 &&
	       memcmp(one->label, other->label, sizeof(one->label)) == 0 &&
	       memcmp(one->uuid, other->uuid, sizeof(one->uuid)) == 0 &&
	       memcmp(one->subsystem, other->subsystem,
		      sizeof(one->subsystem)) == 0;
}

void luks2_load(struct disk *disk, struct luks2_pair *pair)
{
	struct luks2_copy *primary = &pair->copies[0];
	struct luks2_copy *secondary = &pair->copies[1];

	pair->best = NULL;
	luks2_copy_read(disk, primary, 0, 0);
	if (primary->fault == NULL)
		luks2_copy_read(disk, secondary, 1, primary->size);
	else
		luks2_search(disk, secondary);
	if (primary->fault != NULL && secondary->fault != NULL)
		return;
	if (primary->fault != NULL) {
		pair->best = secondary;
	} else if (secondary->fault != NULL ||
		   primary->seqid >= secondary->seqid) {
		pair->best = primary;
		if (secondary->fault == NULL &&
		    primary->seqid > secondary->seqid)
			secondary->fault = "is older than the primary one";
		else if (secondary->fault == NULL &&
			 !luks2_is_same(primary, secondary))
			secondary->fault = "differs from the primary one";
	} else {
		pair->best = secondary;
		primary->fault = "is older than the secondary one";
	}
}

void luks2_pair_free(struct luks2_pair *pair)
{
	luks2_copy_free(&pair->copies[0]);
	luks2_copy_free(&pair->copies[1]);
}

bool luks2_take(struct disk *disk, struct luks2_pair *pair,
		struct luks2_reader *reader)
{
	struct luks2_copy *best = pair->best;
	const struct luks2_binary *binary = (const void *)best->image;
	struct luks *luks = reader->luks;

	reader->disk_size = disk->size;
	luks->version = 2;
	luks->n_slots = LUKS_SLOTS_MAX;
	luks->header_size = best->size;
	luks->seqid = best->seqid;
	memcpy(luks->uuid, binary->uuid, sizeof(luks->uuid));
	memcpy(luks->label, binary->label, sizeof(binary->label));
	memcpy(luks->subsystem, binary->subsystem, sizeof(binary->subsystem));
	luks->is_primary_ok = pair->copies[0].fault == NULL;
	luks->is_secondary_ok = pair->copies[1].fault == NULL;
	luks->json = best->json;
	best->json = NULL;
	for (int i = 0; i < 2; i++) {
		binary = (const void *)pair->copies[i].image;
		if (binary != NULL)
			memcpy(luks->salts[i], binary->salt, 64);
		else if (getentropy(luks->salts[i], 64) != 0)
			return luks2_fault(reader, "no random numbers");
	}
	return luks2_json_read(reader);
}

/* No copy is valid. */
static int luks2_say_none(struct disk *disk, const struct luks2_pair *pair)
{
	const struct luks2_copy *copies = pair->copies;

	if (!copies[0].has_magic && !copies[1].has_magic) {
		msg_error("%s: it has no LUKS2 header", disk->name);
		return EXIT_FAILED;
	}
	msg_error("%s: no copy of its LUKS2 header is valid: the primary one "
		  "%s, the secondary one %s",
		  disk->name, copies[0].fault, copies[1].fault);
	msg_hint("restore it by 'bdus encrypt header-restore', if you have a "
		 "backup");
	return EXIT_FAILED;
}

static void luks2_warn(struct disk *disk, const struct luks2_pair *pair,
		       const struct luks2_reader *reader)
{
	for (int i = 0; i < 2; i++) {
		if (pair->copies[i].fault == NULL)
			continue;
		msg_warn("%s: the %s header %s", disk->name,
			 pair->copies[i].name, pair->copies[i].fault);
		msg_hint("bring it in line with the other copy by 'bdus "
			 "encrypt check --repair'");
	}
	if (*reader->unknown != '\0')
		msg_warn("%s: %s", disk->name, reader->unknown);
}

int luks2_read(struct disk *disk, uint64_t data_size, struct luks *luks)
{
	struct luks2_reader reader = { .luks = luks, .data_size = data_size };
	struct luks2_pair pair;
	int rc = EXIT_DONE;

	memset(luks, 0, sizeof(*luks));
	luks2_load(disk, &pair);
	if (pair.best == NULL) {
		rc = luks2_say_none(disk, &pair);
	} else if (luks2_take(disk, &pair, &reader)) {
		luks2_warn(disk, &pair, &reader);
	} else {
		rc = EXIT_FAILED;
		msg_error("%s: %s", disk->name, reader.fault);
		if (reader.hint != NULL)
			msg_hint("%s", reader.hint);
		json_decref(luks->json);
		luks->json = NULL;
	}
	luks2_pair_free(&pair);
	return rc;
}

/* Both copies' common image; luks2_seal() makes it one of them. */
static unsigned char *luks2_image(const struct luks *luks)
{
	size_t room = luks->header_size - LUKS2_UNIT;
	struct luks2_binary *binary;
	unsigned char *image;
	size_t len;

	image = calloc(1, luks->header_size);
	if (image == NULL)
		return NULL;
	len = json_dumpb(luks->json, (char *)image + LUKS2_UNIT, room,
			 JSON_COMPACT);
	if (len == 0 || len >= room) {
		free(image);
		errno = len == 0 ? ENOMEM : ENOSPC;
		return NULL;
	}
	binary = (struct luks2_binary *)image;
	binary->version = htobe16(2);
	binary->hdr_size = htobe64(luks->header_size);
	binary->seqid = htobe64(luks->seqid + 1);
	memcpy(binary->label, luks->label, sizeof(binary->label));
	memcpy(binary->csum_alg, "sha256", 6);
	memcpy(binary->uuid, luks->uuid, sizeof(binary->uuid));
	memcpy(binary->subsystem, luks->subsystem, sizeof(binary->subsystem));
	return image;
}

static int luks2_write_copy(struct disk *disk, struct luks *luks,
			    unsigned char *image, int index)
{
	uint64_t off = index == 0 ? 0 : luks->header_size;
	int rc;

	rc = luks2_seal(image, luks->header_size, index, luks->salts[index]);
	if (rc == 0)
		rc = disk->write(disk, image, luks->header_size, off);
	if (rc == 0)
		rc = disk->sync(disk);
	if (rc != 0)
		msg_error("%s: cannot write the %s header: %s", disk->name,
			  index == 0 ? "primary" : "secondary", strerror(-rc));
	return rc;
}

/* Return: a copy, to be freed, or NULL: it cannot be written. */
static unsigned char *luks2_writable(const struct disk *disk,
				     const struct luks *luks)
{
	unsigned char *image;

	if (luks->seqid == UINT64_MAX) {
		msg_error("%s: its header has been changed too often: the "
			  "seqid is at its end",
			  disk->name);
		return NULL;
	}
	if (disk->size < 2 * luks->header_size) {
		msg_error("%s: is cut off: there is no room for the second "
			  "copy of its header",
			  disk->name);
		return NULL;
	}
	image = luks2_image(luks);
	if (image == NULL)
		msg_error("%s: cannot write the header: %s", disk->name,
			  errno == ENOSPC ? "its JSON area is full" :
					    strerror(errno));
	return image;
}

int luks2_write(struct disk *disk, struct luks *luks)
{
	bool *are_ok[2] = { &luks->is_primary_ok, &luks->is_secondary_ok };
	int first = luks->is_primary_ok && !luks->is_secondary_ok ? 1 : 0;
	unsigned char *image = luks2_writable(disk, luks);
	int rc = 0;

	if (image == NULL)
		return EXIT_FAILED;
	for (int i = 0; i < 2 && rc == 0; i++) {
		*are_ok[i ^ first] = false;
		rc = luks2_write_copy(disk, luks, image, i ^ first);
		if (rc != 0)
			break;
		luks->seqid += i == 0;
		*are_ok[i ^ first] = true;
	}
	free(image);
	return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}
