/* SPDX-License-Identifier: MIT */
/*
 * encrypt/luks2.h - what the rooms of LUKS2 share: the binary header's
 * layout, the two copies, and the strict reader of the JSON.
 */
#ifndef BDUS_ENCRYPT_LUKS2_H
#define BDUS_ENCRYPT_LUKS2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "disk.h"
#include "luks.h"

/** LUKS2_SIZE_MIN - smallest copy, bytes; others: powers of two. */
#define LUKS2_SIZE_MIN 0x4000
/** LUKS2_SIZE_MAX - largest copy, bytes. */
#define LUKS2_SIZE_MAX 0x400000
/** LUKS2_UNIT - alignment of areas, bytes. */
#define LUKS2_UNIT 4096
/** LUKS2_KEYSLOTS_SIZE_MAX - most room for key material, bytes. */
#define LUKS2_KEYSLOTS_SIZE_MAX (128U << 20)
/** LUKS2_STRIPES - of the anti-forensic split; all that anybody uses. */
#define LUKS2_STRIPES 4000

/**
 * struct luks2_binary - first 4096 bytes of a copy, big-endian
 * @magic: "LUKS\xba\xbe" or, of the secondary, "SKUL\xba\xbe"
 * @version: 2
 * @hdr_size: with the JSON area, bytes
 * @seqid: one more with each change
 * @label: ended by NUL where it is shorter
 * @csum_alg: "sha256"
 * @salt: differs in the two copies
 * @uuid: text
 * @subsystem: ended by NUL where it is shorter
 * @hdr_offset: where this copy is, bytes
 * @pad: zeroes
 * @csum: of the header, with zeroes here, and the JSON area
 * @pad_to_4096: zeroes
 */
struct luks2_binary {
	char magic[6];
	uint16_t version;
	uint64_t hdr_size;
	uint64_t seqid;
	char label[48];
	char csum_alg[32];
	unsigned char salt[64];
	char uuid[40];
	char subsystem[48];
	uint64_t hdr_offset;
	unsigned char pad[184];
	unsigned char csum[64];
	unsigned char pad_to_4096[3584];
};

/**
 * struct luks2_copy - one of the two on the disk
 * @name: "primary" or "secondary"
 * @fault: what is wrong with it, to follow its name; NULL: nothing is
 * @has_magic: it begins like one
 * @off: where it is, bytes
 * @size: bytes
 * @seqid: of its binary header
 * @image: @size bytes, or NULL
 * @json: its JSON, or NULL
 */
struct luks2_copy {
	const char *name;
	const char *fault;
	bool has_magic;
	uint64_t off;
	uint64_t size;
	uint64_t seqid;
	unsigned char *image;
	struct json_t *json;
};

/**
 * struct luks2_pair - both copies
 * @copies: primary and secondary
 * @best: the one that counts; NULL: none is valid
 */
struct luks2_pair {
	struct luks2_copy copies[2];
	struct luks2_copy *best;
};

/**
 * struct luks2_reader - what it takes to read the JSON of a header
 * @luks: json, header_size set; all that the JSON says is filled in
 * @disk_size: of the disk with the header, bytes
 * @data_size: of the disk with the data, bytes; 0: not to be checked
 * @what: part that is being read, as "key slot 3"
 * @unknown: why a slot cannot be used here, of the first such one, or ""
 * @fault: what is wrong, or ""
 * @hint: what to do about it, or NULL
 */
struct luks2_reader {
	struct luks *luks;
	uint64_t disk_size;
	uint64_t data_size;
	char what[32];
	char unknown[160];
	char fault[160];
	const char *hint;
};

/** luks2_load - read both copies, choose one; to be freed */
void luks2_load(struct disk *disk, struct luks2_pair *pair);

/** luks2_pair_free - give back what luks2_load() took */
void luks2_pair_free(struct luks2_pair *pair);

/**
 * luks2_seal - make an image that copy of a header: magic, offset, salt,
 * checksum
 * @image: binary header and JSON area
 * @size: bytes
 * @index: 0 primary, 1 secondary
 * @salt: 64 bytes
 *
 * Return: 0 or -errno.
 */
int luks2_seal(unsigned char *image, size_t size, int index,
	       const unsigned char *salt);

/**
 * luks2_take - bring a copy into struct luks
 * @disk: for its size
 * @pair: from luks2_load(), with a best one, whose JSON is moved
 * @reader: luks set; what is wrong is in it
 *
 * Return: is it valid?
 */
bool luks2_take(struct disk *disk, struct luks2_pair *pair,
		struct luks2_reader *reader);

/**
 * luks2_json_parse - the JSON text of a copy
 * @area: its JSON area
 * @size: bytes
 * @fault: what is wrong with it
 *
 * Return: it, to be freed, or NULL.
 */
struct json_t *luks2_json_parse(const char *area, size_t size,
				const char **fault);

/** luks2_json_read - check all of the JSON and fill in reader->luks */
bool luks2_json_read(struct luks2_reader *reader);

/** luks2_slots_read - the part of luks2_json_read() for key slots */
bool luks2_slots_read(struct luks2_reader *reader, struct json_t *keyslots);

/** luks2_fault - note what is wrong, after reader->what; false */
bool luks2_fault(struct luks2_reader *reader, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** luks2_set_what - which part is being read; printf-like */
void luks2_set_what(struct luks2_reader *reader, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * luks2_number - a whole number in decimal, as 64-bit ones and names are
 * @text: digits, no more, no needless zeroes
 * @max: largest
 * @value: filled in
 *
 * Return: whether it is one.
 */
bool luks2_number(const char *text, uint64_t max, uint64_t *value);

/**
 * luks2_get - a member that must be there
 * @reader: for what is wrong
 * @object: that has it
 * @name: of the member
 * @type: of jansson's
 *
 * Return: it, borrowed, or NULL.
 */
struct json_t *luks2_get(struct luks2_reader *reader,
			 const struct json_t *object, const char *name,
			 int type);

/** luks2_get_text - likewise, a string of less than @size bytes */
bool luks2_get_text(struct luks2_reader *reader, const struct json_t *object,
		    const char *name, char *text, size_t size);

/** luks2_get_u32 - likewise, a number from 1 on */
bool luks2_get_u32(struct luks2_reader *reader, const struct json_t *object,
		   const char *name, uint32_t *value);

/** luks2_get_u64 - likewise, a number in a string */
bool luks2_get_u64(struct luks2_reader *reader, const struct json_t *object,
		   const char *name, uint64_t *value);

/** luks2_get_bytes - likewise, @min to @max bytes in base64 */
bool luks2_get_bytes(struct luks2_reader *reader, const struct json_t *object,
		     const char *name, unsigned char *bytes, size_t min,
		     size_t max, size_t *len);

/** luks2_names - is a list of strings there, each the name of a member of
 * @objects (NULL: of anything)? */
bool luks2_names(struct luks2_reader *reader, const struct json_t *list,
		 const struct json_t *objects);

/** luks2_has_name - is it in a list of strings? */
bool luks2_has_name(const struct json_t *list, const char *name);

#endif /* BDUS_ENCRYPT_LUKS2_H */
