/* SPDX-License-Identifier: MIT */
/*
 * encrypt/luks2json - LUKS2's JSON: its text, requirements, segment, digest,
 * tokens; key slots are in luks2slots.c.
 *
 * What is not known is refused where it changes the meaning of the data, else
 * left alone: the tree in memory keeps it. Jansson bounds the depth (see
 * deps/build); the size is that of the JSON area, 4 MiB at most.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "cipher.h"
#include "layout.h"
#include "luks2.h"

struct json_t *luks2_json_parse(const char *area, size_t size,
				const char **fault)
{
	size_t len = strnlen(area, size);
	json_error_t error;
	json_t *json;

	*fault = NULL;
	if (len == size)
		*fault = "has JSON without an end";
	else if (len == 0 || area[0] != '{' || area[len - 1] != '}')
		*fault = "has no JSON object in its JSON area";
	/* each byte from the NUL on is like the one before */
	else if (memcmp(area + len, area + len + 1, size - len - 1) != 0)
		*fault = "has something after its JSON";
	if (*fault != NULL)
		return NULL;
	json = json_loadb(area, len, JSON_REJECT_DUPLICATES, &error);
	if (json == NULL)
		*fault = "has malformed JSON";
	return json;
}

/* Each of them changes what the data is, or how it is to be treated. */
static bool luks2json_refuse(struct luks2_reader *reader, const char *name)
{
	if (strstr(name, "reencrypt") != NULL) {
		reader->hint = "finish it by 'cryptsetup reencrypt "
			       "--resume-only'";
		return luks2_fault(reader, "it is being reencrypted");
	}
	if (strcmp(name, "opal") == 0)
		return luks2_fault(reader, "it is encrypted by the disk "
					   "(opal), which is not supported");
	if (strcmp(name, "inline-hw-tags") == 0)
		return luks2_fault(reader, "it keeps tags in the sectors of "
					   "the disk (inline-hw-tags), which "
					   "is not supported");
	return luks2_fault(reader,
			   "it has a requirement that is not known: "
			   "\"%.64s\"",
			   name);
}

static bool luks2json_requirements(struct luks2_reader *reader,
				   const json_t *config)
{
	const json_t *object = json_object_get(config, "requirements");
	const json_t *list;

	if (object == NULL)
		return true;
	if (!json_is_object(object))
		return luks2_fault(reader, "requirements is not an object");
	if (json_object_get(object, "mandatory") == NULL)
		return true;
	list = luks2_get(reader, object, "mandatory", JSON_ARRAY);
	if (list == NULL || !luks2_names(reader, list, NULL))
		return false;
	if (json_array_size(list) == 0)
		return true;
	luks2_set_what(reader, "%s", "");
	return luks2json_refuse(reader,
				json_string_value(json_array_get(list, 0)));
}

/* A list of names that may be missing. */
static bool luks2json_flags(struct luks2_reader *reader, const json_t *object,
			    const json_t **flags)
{
	*flags = NULL;
	if (json_object_get(object, "flags") == NULL)
		return true;
	*flags = luks2_get(reader, object, "flags", JSON_ARRAY);
	return *flags != NULL && luks2_names(reader, *flags, NULL);
}

static bool luks2json_config(struct luks2_reader *reader, const json_t *config)
{
	struct luks *luks = reader->luks;
	const json_t *flags;
	uint64_t json_size;

	luks2_set_what(reader, "config");
	if (!luks2json_requirements(reader, config) ||
	    !luks2json_flags(reader, config, &flags) ||
	    !luks2_get_u64(reader, config, "json_size", &json_size) ||
	    !luks2_get_u64(reader, config, "keyslots_size",
			   &luks->keyslots_size))
		return false;
	if (json_size != luks->header_size - LUKS2_UNIT)
		return luks2_fault(reader,
				   "json_size is %" PRIu64 ", not %" PRIu64,
				   json_size, luks->header_size - LUKS2_UNIT);
	if (luks->keyslots_size % LUKS2_UNIT != 0 ||
	    luks->keyslots_size > LUKS2_KEYSLOTS_SIZE_MAX)
		return luks2_fault(reader,
				   "keyslots_size is out of range: %" PRIu64,
				   luks->keyslots_size);
	luks->segment.may_discard = luks2_has_name(flags, "allow-discards");
	return true;
}

static bool luks2json_segment_kind(struct luks2_reader *reader,
				   const json_t *segment)
{
	const json_t *flags;
	char type[32];

	if (!luks2_get_text(reader, segment, "type", type, sizeof(type)) ||
	    !luks2json_flags(reader, segment, &flags))
		return false;
	if (json_array_size(flags) != 0)
		return luks2_fault(reader, "a flag is not known: \"%.32s\"",
				   json_string_value(json_array_get(flags, 0)));
	if (strncmp(type, "hw-opal", 7) == 0)
		return luks2json_refuse(reader, "opal");
	if (strcmp(type, "crypt") != 0)
		return luks2_fault(reader, "its type is not known: \"%s\"",
				   type);
	if (json_object_get(segment, "integrity") != NULL)
		return luks2_fault(reader, "it has integrity protection, which "
					   "is not supported");
	return true;
}

static bool luks2json_segment_size(struct luks2_reader *reader,
				   const json_t *object)
{
	struct luks_segment *segment = &reader->luks->segment;
	const char *text = json_string_value(json_object_get(object, "size"));

	segment->size = 0;
	if (text != NULL && strcmp(text, "dynamic") == 0)
		return true;
	if (!luks2_get_u64(reader, object, "size", &segment->size))
		return false;
	if (segment->size == 0 || segment->size % segment->sector_size != 0)
		return luks2_fault(reader,
				   "its size is no multiple of the "
				   "sector size: %" PRIu64,
				   segment->size);
	return true;
}

/* Inside the disk, and after the key slots unless it is detached (offset 0). */
static bool luks2json_segment_fits(struct luks2_reader *reader)
{
	const struct luks *luks = reader->luks;
	const struct luks_segment *segment = &luks->segment;
	uint64_t room;

	if (segment->off != 0 &&
	    segment->off < 2 * luks->header_size + luks->keyslots_size)
		return luks2_fault(reader,
				   "it begins inside the header, at "
				   "%" PRIu64,
				   segment->off);
	if (segment->off + segment->size < segment->off)
		return luks2_fault(reader, "its size is out of range: %" PRIu64,
				   segment->size);
	if (reader->data_size == 0)
		return true;
	if (segment->off >= reader->data_size ||
	    reader->data_size - segment->off < segment->size)
		return luks2_fault(reader,
				   "it ends after the disk, which has "
				   "%" PRIu64 " bytes",
				   reader->data_size);
	room = reader->data_size - segment->off;
	if (segment->size == 0 && room % segment->sector_size != 0)
		return luks2_fault(reader,
				   "%" PRIu64 " bytes are no multiple "
				   "of the sector size, %u",
				   room, segment->sector_size);
	return true;
}

static bool luks2json_segment(struct luks2_reader *reader,
			      const json_t *segments)
{
	struct luks_segment *segment = &reader->luks->segment;
	const json_t *object;

	luks2_set_what(reader, "segments");
	object = luks2_get(reader, segments, "0", JSON_OBJECT);
	if (object == NULL)
		return false;
	if (json_object_size(segments) != 1)
		return luks2_fault(reader,
				   "there are %zu, where one is "
				   "supported",
				   json_object_size(segments));
	luks2_set_what(reader, "segment 0");
	if (!luks2json_segment_kind(reader, object) ||
	    !luks2_get_text(reader, object, "encryption", segment->cipher,
			    sizeof(segment->cipher)) ||
	    !luks2_get_u64(reader, object, "offset", &segment->off) ||
	    !luks2_get_u64(reader, object, "iv_tweak", &segment->iv_tweak) ||
	    !luks2_get_u32(reader, object, "sector_size",
			   &segment->sector_size))
		return false;
	if (segment->sector_size < 512 || segment->sector_size > 4096 ||
	    (segment->sector_size & (segment->sector_size - 1)) != 0)
		return luks2_fault(reader, "sector_size is out of range: %u",
				   segment->sector_size);
	if (segment->off % segment->sector_size != 0)
		return luks2_fault(reader,
				   "its offset is no multiple of the "
				   "sector size: %" PRIu64,
				   segment->off);
	return luks2json_segment_size(reader, object) &&
	       luks2json_segment_fits(reader);
}

static bool luks2json_cipher(struct luks2_reader *reader)
{
	const char *cipher = reader->luks->segment.cipher;
	uint32_t key_size = reader->luks->key_size;

	luks2_set_what(reader, "segment 0");
	if (key_size == 0 ?
		    cipher_is_known(cipher, 64) || cipher_is_known(cipher, 32) :
		    cipher_is_known(cipher, key_size))
		return true;
	if (key_size == 0)
		return luks2_fault(reader, "its cipher is not supported: %s",
				   cipher);
	return luks2_fault(reader,
			   "its cipher is not supported: %s with a key of %u "
			   "bits",
			   cipher, key_size * 8);
}

/* What digests and tokens have in common. */
static bool luks2json_common(struct luks2_reader *reader, const char *part,
			     const char *name, const json_t *object)
{
	const json_t *root = reader->luks->json;
	const json_t *list;
	uint64_t number;
	char type[64];

	luks2_set_what(reader, "%s", part);
	if (!luks2_number(name, INT32_MAX, &number))
		return luks2_fault(reader, "\"%.32s\" is not a number", name);
	luks2_set_what(reader, "%s %" PRIu64, part, number);
	if (!json_is_object(object))
		return luks2_fault(reader, "it is not an object");
	list = luks2_get(reader, object, "keyslots", JSON_ARRAY);
	return list != NULL &&
	       luks2_names(reader, list, json_object_get(root, "keyslots")) &&
	       luks2_get_text(reader, object, "type", type, sizeof(type));
}

static void luks2json_bind(struct luks *luks, const json_t *digest)
{
	const json_t *list = json_object_get(digest, "keyslots");
	uint64_t slot;
	json_t *name;
	size_t i;

	json_array_foreach(list, i, name)
		if (luks2_number(json_string_value(name), LUKS_SLOTS_MAX - 1,
				 &slot))
			luks->slots[slot].is_bound = true;
}

static bool luks2json_digest(struct luks2_reader *reader, const json_t *object)
{
	struct luks_digest *digest = &reader->luks->digest;
	struct luks_cost cost = { .kdf = LUKS_PBKDF2 };
	char type[64];
	char why[128];

	if (digest->value_len != 0)
		return luks2_fault(reader, "it is the second one of segment 0");
	luks2_get_text(reader, object, "type", type, sizeof(type));
	if (strcmp(type, "pbkdf2") != 0)
		return luks2_fault(reader, "its type is not known: \"%s\"",
				   type);
	if (!luks2_get_text(reader, object, "hash", digest->hash,
			    sizeof(digest->hash)) ||
	    !luks2_get_u32(reader, object, "iterations", &digest->iterations) ||
	    !luks2_get_bytes(reader, object, "salt", digest->salt, 8,
			     LUKS_SALT_MAX, &digest->salt_len) ||
	    !luks2_get_bytes(reader, object, "digest", digest->value, 20,
			     sizeof(digest->value), &digest->value_len))
		return false;
	if (!kdf_hash_is_known(digest->hash, true))
		return luks2_fault(reader, "its hash is not supported: %s",
				   digest->hash);
	memcpy(cost.hash, digest->hash, sizeof(cost.hash));
	cost.iterations = digest->iterations;
	if (!kdf_cost_is_sane(&cost, why, sizeof(why)))
		return luks2_fault(reader, "%s", why);
	luks2json_bind(reader->luks, object);
	return true;
}

static bool luks2json_digests(struct luks2_reader *reader, json_t *digests,
			      const json_t *segments)
{
	const json_t *list;
	const char *name;
	json_t *object;

	json_object_foreach(digests, name, object) {
		if (!luks2json_common(reader, "digest", name, object))
			return false;
		list = luks2_get(reader, object, "segments", JSON_ARRAY);
		if (list == NULL || !luks2_names(reader, list, segments))
			return false;
		if (luks2_has_name(list, "0") &&
		    !luks2json_digest(reader, object))
			return false;
	}
	luks2_set_what(reader, "segment 0");
	return reader->luks->digest.value_len != 0 ||
	       luks2_fault(reader, "it has no digest");
}

static bool luks2json_tokens(struct luks2_reader *reader, json_t *tokens)
{
	const char *name;
	json_t *object;

	json_object_foreach(tokens, name, object)
		if (!luks2json_common(reader, "token", name, object))
			return false;
	return true;
}

bool luks2_json_read(struct luks2_reader *reader)
{
	static const char *const names[] = { "config", "segments", "digests",
					     "keyslots", "tokens" };
	const json_t *root = reader->luks->json;
	json_t *parts[5];

	luks2_set_what(reader, "its JSON");
	for (int i = 0; i < 5; i++) {
		parts[i] = luks2_get(reader, root, names[i], JSON_OBJECT);
		if (parts[i] == NULL)
			return false;
	}
	return luks2json_config(reader, parts[0]) &&
	       luks2json_segment(reader, parts[1]) &&
	       luks2json_digests(reader, parts[2], parts[1]) &&
	       luks2_slots_read(reader, parts[3]) && luks2json_cipher(reader) &&
	       luks2json_tokens(reader, parts[4]);
}
