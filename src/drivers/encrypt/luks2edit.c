/* SPDX-License-Identifier: MIT */
/*
 * encrypt/luks2edit - struct luks into LUKS2's JSON.
 *
 * Only what changes is touched; members that are not known stay.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "layout.h"
#include "luks2.h"
#include "msg.h"
#include "secret.h"
#include "uuid.h"

#define MIB (1024U * 1024)
/* Of a new header: cryptsetup's. */
#define HEADER_SIZE LUKS2_SIZE_MIN
#define DATA_OFF (16 * MIB)
/* The least that leaves room for a second key slot, which changes need. */
#define DATA_OFF_MIN (1 * MIB)
/* Of the binary header; its last byte is NUL, as cryptsetup wants it. */
#define LABEL_SIZE 48

static int luks2edit_no_memory(void)
{
	msg_error("not enough memory");
	return EXIT_FAILED;
}

static json_t *luks2edit_u64(uint64_t value)
{
	return json_sprintf("%" PRIu64, value);
}

static json_t *luks2edit_bytes(const unsigned char *bytes, size_t len)
{
	unsigned char text[(64 + 2) / 3 * 4 + 1];

	if (len > 64)
		return NULL;
	EVP_EncodeBlock(text, bytes, (int)len);
	return json_string((char *)text);
}

/*** a new header *************************************************************/

/* Where the data begins and how much room key material has; 0: none. */
static uint64_t luks2edit_lay_out(const struct disk *disk, uint64_t data_size,
				  const struct luks_new *new,
				  uint64_t *keyslots_size)
{
	uint64_t start = UINT64_C(2) * HEADER_SIZE;
	uint64_t end = DATA_OFF;

	if (new->is_detached) {
		if (end > disk->size)
			end = disk->size - disk->size % LUKS2_UNIT;
	} else if (data_size < end + LUKS2_UNIT) {
		while (end > DATA_OFF_MIN && 2 * end > data_size)
			end /= 2;
		if (data_size < end + LUKS2_UNIT)
			end = 0;
	}
	*keyslots_size = end > start ? end - start : 0;
	return new->is_detached ? 0 : end;
}

static int luks2edit_check_size(const struct disk *disk, uint64_t data_size,
				const struct luks_new *new, uint64_t off,
				uint64_t keyslots_size)
{
	uint64_t material = (uint64_t) new->key_size *LUKS2_STRIPES;

	if (keyslots_size < material + LUKS2_UNIT) {
		msg_error("%s: it is too small for a LUKS2 header, with "
			  "%" PRIu64 " bytes",
			  disk->name, disk->size);
		return EXIT_FAILED;
	}
	if (data_size - off < new->sector_size ||
	    (data_size - off) % new->sector_size != 0) {
		msg_error("%s: %" PRIu64 " bytes of data are no multiple of "
			  "the sector size, %u",
			  disk->name, data_size - off, new->sector_size);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static json_t *luks2edit_root(const struct luks *luks)
{
	const struct luks_segment *segment = &luks->segment;

	return json_pack(
		"{s:{}, s:{}, s:{s:{s:s, s:o, s:s, s:o, s:s, s:i}}, "
		"s:{}, s:{s:o, s:o}}",
		"keyslots", "tokens", "segments", "0", "type", "crypt",
		"offset", luks2edit_u64(segment->off), "size", "dynamic",
		"iv_tweak", luks2edit_u64(segment->iv_tweak), "encryption",
		segment->cipher, "sector_size", (int)segment->sector_size,
		"digests", "config", "json_size",
		luks2edit_u64(luks->header_size - LUKS2_UNIT), "keyslots_size",
		luks2edit_u64(luks->keyslots_size));
}

static int luks2edit_random(struct luks *luks)
{
	int error = secret_random(luks->salts, sizeof(luks->salts));

	if (error == 0 && *luks->uuid == '\0')
		error = uuid_make(luks->uuid);
	if (error == 0)
		return EXIT_DONE;
	msg_error("cannot get random numbers: %s", strerror(-error));
	return EXIT_FAILED;
}

/* What the binary header can hold; a UUID looks like one. */
static int luks2edit_check_names(const struct luks_new *new)
{
	if (new->label != NULL && strlen(new->label) >= LABEL_SIZE) {
		msg_error("the label has more than %d bytes", LABEL_SIZE - 1);
		return EXIT_USAGE;
	}
	if (new->uuid == NULL || uuid_is_valid(new->uuid))
		return EXIT_DONE;
	msg_error("\"%s\" is not a UUID like %s", new->uuid,
		  "01234567-89ab-cdef-0123-456789abcdef");
	return EXIT_USAGE;
}

int luks2_new(struct luks *luks, struct disk *disk, uint64_t data_size,
	      const struct luks_new *new)
{
	struct luks_segment *segment = &luks->segment;
	int rc;

	memset(luks, 0, sizeof(*luks));
	rc = luks2edit_check_names(new);
	if (rc != EXIT_DONE)
		return rc;
	luks->version = 2;
	luks->n_slots = LUKS_SLOTS_MAX;
	luks->header_size = HEADER_SIZE;
	luks->key_size = new->key_size;
	snprintf(luks->uuid, sizeof(luks->uuid), "%s",
		 new->uuid != NULL ? new->uuid : "");
	snprintf(luks->label, sizeof(luks->label), "%s",
		 new->label != NULL ? new->label : "");
	snprintf(segment->cipher, sizeof(segment->cipher), "%s", new->cipher);
	segment->sector_size = new->sector_size;
	segment->off =
		luks2edit_lay_out(disk, data_size, new, &luks->keyslots_size);
	rc = luks2edit_check_size(disk, data_size, new, segment->off,
				  luks->keyslots_size);
	if (rc == EXIT_DONE)
		rc = luks2edit_random(luks);
	if (rc != EXIT_DONE)
		return rc;
	luks->json = luks2edit_root(luks);
	return luks->json != NULL ? EXIT_DONE : luks2edit_no_memory();
}

/*** key slots ****************************************************************/

/* The end of an area of the JSON that reaches into this room, or 0. */
static uint64_t luks2edit_obstacle(const struct luks *luks, uint64_t off,
				   uint64_t size)
{
	const char *name;
	json_t *object;
	json_t *area;
	uint64_t start;
	uint64_t len;

	json_object_foreach(json_object_get(luks->json, "keyslots"), name,
			    object) {
		struct luks2_reader reader = { .luks = NULL };

		area = json_object_get(object, "area");
		if (area == NULL ||
		    !luks2_get_u64(&reader, area, "offset", &start) ||
		    !luks2_get_u64(&reader, area, "size", &len))
			continue;
		if (start < off + size && off < start + len)
			return start + len;
	}
	return 0;
}

int luks2_place(const struct luks *luks, int slot, struct luks_slot *place)
{
	uint64_t key_size =
		place->key_size != 0 ? place->key_size : luks->key_size;
	uint64_t stripes = place->stripes != 0 ? place->stripes : LUKS2_STRIPES;
	uint64_t size =
		(key_size * stripes + LUKS2_UNIT - 1) / LUKS2_UNIT * LUKS2_UNIT;
	uint64_t off = 2 * luks->header_size;
	uint64_t end = off + luks->keyslots_size;
	uint64_t next;

	while ((next = luks2edit_obstacle(luks, off, size)) != 0)
		off = next;
	if (off > end || end - off < size) {
		msg_error("the header has no room left for key slot %d", slot);
		return EXIT_BUSY;
	}
	place->area_off = off;
	place->area_size = size;
	return EXIT_DONE;
}

static json_t *luks2edit_kdf(const struct luks_slot *slot)
{
	const struct luks_cost *cost = &slot->cost;
	json_t *salt = luks2edit_bytes(slot->salt, slot->salt_len);

	if (cost->kdf == LUKS_PBKDF2)
		return json_pack("{s:s, s:s, s:i, s:o}", "type", "pbkdf2",
				 "hash", cost->hash, "iterations",
				 (int)cost->iterations, "salt", salt);
	return json_pack("{s:s, s:i, s:i, s:i, s:o}", "type",
			 cost->kdf == LUKS_ARGON2I ? "argon2i" : "argon2id",
			 "time", (int)cost->iterations, "memory",
			 (int)cost->memory_kib, "cpus", (int)cost->lanes,
			 "salt", salt);
}

static json_t *luks2edit_slot(const struct luks_slot *slot)
{
	return json_pack("{s:s, s:i, s:{s:s, s:i, s:s}, "
			 "s:{s:s, s:o, s:o, s:s, s:i}, s:o}",
			 "type", "luks2", "key_size", (int)slot->key_size, "af",
			 "type", "luks1", "stripes", (int)slot->stripes, "hash",
			 slot->af_hash, "area", "type", "raw", "offset",
			 luks2edit_u64(slot->area_off), "size",
			 luks2edit_u64(slot->area_size), "encryption",
			 slot->cipher, "key_size", (int)slot->cipher_key_size,
			 "kdf", luks2edit_kdf(slot));
}

/* The digest of the segment, borrowed, or NULL. */
static json_t *luks2edit_digest(const struct luks *luks)
{
	json_t *digests = json_object_get(luks->json, "digests");
	const char *name;
	json_t *digest;

	json_object_foreach(digests, name, digest)
		if (luks2_has_name(json_object_get(digest, "segments"), "0"))
			return digest;
	return NULL;
}

static void luks2edit_forget(json_t *object, const char *slot)
{
	json_t *list = json_object_get(object, "keyslots");
	const char *name;

	for (size_t i = json_array_size(list); i-- > 0;) {
		name = json_string_value(json_array_get(list, i));
		if (name != NULL && strcmp(name, slot) == 0)
			json_array_remove(list, i);
	}
}

/* A digest that is of nothing any more goes. */
static void luks2edit_remove(struct luks *luks, const char *slot)
{
	json_t *digests = json_object_get(luks->json, "digests");
	const char *name;
	json_t *object;
	void *next;

	json_object_del(json_object_get(luks->json, "keyslots"), slot);
	json_object_foreach(json_object_get(luks->json, "tokens"), name,
			    object) {
		luks2edit_forget(object, slot);
	}
	json_object_foreach_safe(digests, next, name, object) {
		luks2edit_forget(object, slot);
		if (json_array_size(json_object_get(object, "keyslots")) == 0 &&
		    json_array_size(json_object_get(object, "segments")) == 0)
			json_object_del(digests, name);
	}
}

static int luks2edit_bind(const struct luks *luks, int slot)
{
	json_t *digest = luks2edit_digest(luks);
	json_t *list = json_object_get(digest, "keyslots");
	char name[16];

	snprintf(name, sizeof(name), "%d", slot);
	if (digest == NULL || luks2_has_name(list, name))
		return 0; /* luks2_set_digest() makes the list of a new one */
	return json_array_append_new(list, json_string(name));
}

static int luks2edit_set_priority(json_t *object, int priority)
{
	if (priority != 1)
		return json_object_set_new(object, "priority",
					   json_integer(priority));
	json_object_del(object, "priority");
	return 0;
}

int luks2_put_slot(struct luks *luks, int slot)
{
	json_t *keyslots = json_object_get(luks->json, "keyslots");
	const struct luks_slot *from = &luks->slots[slot];
	char name[16];
	json_t *object;
	json_t *old;
	int rc;

	snprintf(name, sizeof(name), "%d", slot);
	if (!from->is_used) {
		luks2edit_remove(luks, name);
		return EXIT_DONE;
	}
	object = luks2edit_slot(from);
	if (object == NULL)
		return luks2edit_no_memory();
	old = json_object_get(keyslots, name);
	rc = old != NULL ? json_object_update_missing(object, old) : 0;
	if (rc == 0)
		rc = luks2edit_set_priority(object, from->priority);
	if (rc == 0)
		rc = json_object_set(keyslots, name, object);
	if (rc == 0 && from->is_bound)
		rc = luks2edit_bind(luks, slot);
	json_decref(object);
	return rc == 0 ? EXIT_DONE : luks2edit_no_memory();
}

/*** the digest ***************************************************************/

static json_t *luks2edit_new_digest(const struct luks *luks)
{
	json_t *digests = json_object_get(luks->json, "digests");
	json_t *digest = json_pack("{s:s, s:[], s:[s]}", "type", "pbkdf2",
				   "keyslots", "segments", "0");
	char name[16];

	for (int i = 0; i < LUKS_SLOTS_MAX + 1; i++) {
		snprintf(name, sizeof(name), "%d", i);
		if (json_object_get(digests, name) == NULL)
			break;
	}
	if (json_object_set_new(digests, name, digest) != 0)
		return NULL;
	return digest;
}

int luks2_set_digest(struct luks *luks)
{
	const struct luks_digest *from = &luks->digest;
	json_t *digest = luks2edit_digest(luks);
	json_t *values;
	int rc;

	if (digest == NULL)
		digest = luks2edit_new_digest(luks);
	values =
		json_pack("{s:s, s:i, s:o, s:o}", "hash", from->hash,
			  "iterations", (int)from->iterations, "salt",
			  luks2edit_bytes(from->salt, from->salt_len), "digest",
			  luks2edit_bytes(from->value, from->value_len));
	rc = values != NULL ? json_object_update(digest, values) : -1;
	json_decref(values);
	for (int i = 0; i < LUKS_SLOTS_MAX && rc == 0; i++)
		if (luks->slots[i].is_used && luks->slots[i].is_bound)
			rc = luks2edit_bind(luks, i);
	return rc == 0 ? EXIT_DONE : luks2edit_no_memory();
}
