/* SPDX-License-Identifier: MIT */
/*
 * encrypt/luks2slots - the key slots of LUKS2's JSON.
 *
 * A slot whose type, hash or cipher is not known stays as it is and opens
 * nothing; a header with no other is refused. Whatever its type, its area has
 * to lie where areas are, apart from all others.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "cipher.h"
#include "layout.h"
#include "luks2.h"

/* It cannot be used here, which is no fault of the header. */
static void luks2slots_unknown(struct luks2_reader *reader,
			       struct luks_slot *slot, const char *name,
			       const char *value)
{
	slot->is_ours = false;
	if (*reader->unknown != '\0')
		return;
	luks2_fault(reader, "its %s is not supported: %.64s", name, value);
	memcpy(reader->unknown, reader->fault, sizeof(reader->unknown));
	*reader->fault = '\0';
}

static bool luks2slots_area(struct luks2_reader *reader, const json_t *area,
			    struct luks_slot *slot)
{
	const struct luks *luks = reader->luks;
	uint64_t start = 2 * luks->header_size;
	uint64_t end = start + luks->keyslots_size;

	if (!luks2_get_u64(reader, area, "offset", &slot->area_off) ||
	    !luks2_get_u64(reader, area, "size", &slot->area_size))
		return false;
	if (slot->area_off % LUKS2_UNIT != 0 ||
	    slot->area_size % LUKS2_UNIT != 0 || slot->area_size == 0)
		return luks2_fault(reader,
				   "its area is not aligned to 4096 "
				   "bytes: %" PRIu64 ", %" PRIu64,
				   slot->area_off, slot->area_size);
	if (slot->area_off < start || slot->area_off > end ||
	    end - slot->area_off < slot->area_size)
		return luks2_fault(reader,
				   "its area is outside of the key "
				   "slots' room: %" PRIu64 ", %" PRIu64,
				   slot->area_off, slot->area_size);
	if (slot->area_off + slot->area_size > reader->disk_size)
		return luks2_fault(reader,
				   "its area ends after the disk: "
				   "%" PRIu64 ", %" PRIu64,
				   slot->area_off, slot->area_size);
	return true;
}

static bool luks2slots_raw(struct luks2_reader *reader, const json_t *area,
			   struct luks_slot *slot)
{
	uint64_t material = (uint64_t)slot->key_size * slot->stripes;
	char type[32];

	if (!luks2_get_text(reader, area, "type", type, sizeof(type)) ||
	    !luks2_get_text(reader, area, "encryption", slot->cipher,
			    sizeof(slot->cipher)) ||
	    !luks2_get_u32(reader, area, "key_size", &slot->cipher_key_size))
		return false;
	if (strcmp(type, "raw") != 0)
		luks2slots_unknown(reader, slot, "area", type);
	else if (!cipher_is_known(slot->cipher, slot->cipher_key_size))
		luks2slots_unknown(reader, slot, "cipher", slot->cipher);
	if (slot->area_size < material)
		return luks2_fault(reader,
				   "its area is too small: %" PRIu64
				   " bytes for %" PRIu64,
				   slot->area_size, material);
	return true;
}

static bool luks2slots_af(struct luks2_reader *reader, const json_t *af,
			  struct luks_slot *slot)
{
	char type[32];

	if (!luks2_get_text(reader, af, "type", type, sizeof(type)) ||
	    !luks2_get_u32(reader, af, "stripes", &slot->stripes) ||
	    !luks2_get_text(reader, af, "hash", slot->af_hash,
			    sizeof(slot->af_hash)))
		return false;
	if (slot->stripes != LUKS2_STRIPES)
		return luks2_fault(reader, "stripes is %u, not %u",
				   slot->stripes, LUKS2_STRIPES);
	if (strcmp(type, "luks1") != 0)
		luks2slots_unknown(reader, slot, "anti-forensic split", type);
	else if (!kdf_hash_is_known(slot->af_hash, true))
		luks2slots_unknown(reader, slot, "hash", slot->af_hash);
	return true;
}

static bool luks2slots_pbkdf2(struct luks2_reader *reader, const json_t *kdf,
			      struct luks_slot *slot)
{
	struct luks_cost *cost = &slot->cost;

	cost->kdf = LUKS_PBKDF2;
	if (!luks2_get_text(reader, kdf, "hash", cost->hash,
			    sizeof(cost->hash)) ||
	    !luks2_get_u32(reader, kdf, "iterations", &cost->iterations))
		return false;
	if (!kdf_hash_is_known(cost->hash, true))
		luks2slots_unknown(reader, slot, "hash", cost->hash);
	return true;
}

static bool luks2slots_argon2(struct luks2_reader *reader, const json_t *kdf,
			      struct luks_slot *slot, bool is_argon2id)
{
	struct luks_cost *cost = &slot->cost;

	cost->kdf = is_argon2id ? LUKS_ARGON2ID : LUKS_ARGON2I;
	return luks2_get_u32(reader, kdf, "time", &cost->iterations) &&
	       luks2_get_u32(reader, kdf, "memory", &cost->memory_kib) &&
	       luks2_get_u32(reader, kdf, "cpus", &cost->lanes);
}

static bool luks2slots_kdf(struct luks2_reader *reader, const json_t *kdf,
			   struct luks_slot *slot)
{
	char type[32];
	char why[128];
	bool is_read;

	if (!luks2_get_text(reader, kdf, "type", type, sizeof(type)) ||
	    !luks2_get_bytes(reader, kdf, "salt", slot->salt, 8, LUKS_SALT_MAX,
			     &slot->salt_len))
		return false;
	if (strcmp(type, "pbkdf2") == 0) {
		is_read = luks2slots_pbkdf2(reader, kdf, slot);
	} else if (strcmp(type, "argon2i") == 0 ||
		   strcmp(type, "argon2id") == 0) {
		is_read = luks2slots_argon2(reader, kdf, slot, type[7] == 'd');
	} else {
		luks2slots_unknown(reader, slot, "key derivation", type);
		return true;
	}
	if (!is_read)
		return false;
	if (slot->is_ours && !kdf_cost_is_sane(&slot->cost, why, sizeof(why)))
		return luks2_fault(reader, "%s", why);
	return true;
}

/* All bound slots hold the same key. */
static bool luks2slots_key_size(struct luks2_reader *reader,
				const struct luks_slot *slot)
{
	struct luks *luks = reader->luks;

	if (!slot->is_bound)
		return true;
	if (slot->key_size > LUKS_KEY_MAX)
		return luks2_fault(reader, "its key is too large: %u bytes",
				   slot->key_size);
	if (luks->key_size != 0 && luks->key_size != slot->key_size)
		return luks2_fault(reader,
				   "its key has %u bytes, that of "
				   "another slot %u",
				   slot->key_size, luks->key_size);
	luks->key_size = slot->key_size;
	return true;
}

static bool luks2slots_ours(struct luks2_reader *reader, const json_t *object,
			    const json_t *area, struct luks_slot *slot)
{
	const json_t *af;
	const json_t *kdf;

	slot->is_ours = true;
	if (!luks2_get_u32(reader, object, "key_size", &slot->key_size) ||
	    !luks2slots_key_size(reader, slot))
		return false;
	af = luks2_get(reader, object, "af", JSON_OBJECT);
	if (af == NULL || !luks2slots_af(reader, af, slot))
		return false;
	kdf = luks2_get(reader, object, "kdf", JSON_OBJECT);
	if (kdf == NULL || !luks2slots_kdf(reader, kdf, slot))
		return false;
	return luks2slots_raw(reader, area, slot);
}

static bool luks2slots_priority(struct luks2_reader *reader,
				const json_t *object, struct luks_slot *slot)
{
	const json_t *priority = json_object_get(object, "priority");

	slot->priority = 1;
	if (priority == NULL)
		return true;
	if (!json_is_integer(priority) || json_integer_value(priority) < 0 ||
	    json_integer_value(priority) > 2)
		return luks2_fault(reader, "priority is not 0, 1 or 2");
	slot->priority = (int)json_integer_value(priority);
	return true;
}

static bool luks2slots_slot(struct luks2_reader *reader, const json_t *object,
			    struct luks_slot *slot)
{
	const json_t *area = json_object_get(object, "area");
	char type[64];

	slot->is_used = true;
	if (!json_is_object(object))
		return luks2_fault(reader, "it is not an object");
	if (!luks2_get_text(reader, object, "type", type, sizeof(type)) ||
	    !luks2slots_priority(reader, object, slot))
		return false;
	if (strcmp(type, "luks2") == 0 || area != NULL) {
		area = luks2_get(reader, object, "area", JSON_OBJECT);
		if (area == NULL || !luks2slots_area(reader, area, slot))
			return false;
	}
	if (strcmp(type, "luks2") == 0)
		return luks2slots_ours(reader, object, area, slot);
	luks2slots_unknown(reader, slot, "type", type);
	return true;
}

static bool luks2slots_are_apart(struct luks2_reader *reader)
{
	const struct luks_slot *slots = reader->luks->slots;

	for (int i = 0; i < LUKS_SLOTS_MAX; i++)
		for (int j = i + 1; j < LUKS_SLOTS_MAX; j++)
			if (slots[i].area_size != 0 &&
			    slots[j].area_size != 0 &&
			    slots[i].area_off <
				    slots[j].area_off + slots[j].area_size &&
			    slots[j].area_off <
				    slots[i].area_off + slots[i].area_size) {
				luks2_set_what(reader, "key slot %d", j);
				return luks2_fault(reader,
						   "its area overlaps that of "
						   "key slot %d",
						   i);
			}
	return true;
}

/* One that can be used, or none at all (they were erased). */
static bool luks2slots_will_do(struct luks2_reader *reader)
{
	const struct luks_slot *slots = reader->luks->slots;
	int n_bound = 0;

	for (int i = 0; i < LUKS_SLOTS_MAX; i++) {
		if (slots[i].is_bound && slots[i].is_ours)
			return true;
		n_bound += slots[i].is_bound;
	}
	if (n_bound == 0)
		return true;
	memcpy(reader->fault, reader->unknown, sizeof(reader->fault));
	return false;
}

bool luks2_slots_read(struct luks2_reader *reader, struct json_t *keyslots)
{
	const char *name;
	json_t *object;
	uint64_t slot;

	json_object_foreach(keyslots, name, object) {
		luks2_set_what(reader, "key slots");
		if (!luks2_number(name, LUKS_SLOTS_MAX - 1, &slot))
			return luks2_fault(reader,
					   "\"%.32s\" is not one of 0 to %d",
					   name, LUKS_SLOTS_MAX - 1);
		luks2_set_what(reader, "key slot %d", (int)slot);
		if (!luks2slots_slot(reader, object,
				     &reader->luks->slots[slot]))
			return false;
	}
	return luks2slots_are_apart(reader) && luks2slots_will_do(reader);
}
