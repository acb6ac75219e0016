/* SPDX-License-Identifier: MIT */
/*
 * encrypt/luks1 - the header of LUKS1: 592 bytes in two sectors, big-endian.
 *
 * Written a sector at a time, and only where it says something else than
 * before, so that a cut leaves the old or the new sector. What this project has
 * no use for, up to the end of the second sector, stays as it is.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cipher.h"
#include "layout.h"
#include "msg.h"
#include "uuid.h"

#define LUKS1_SECTOR 512U
#define LUKS1_SIZE 592
#define LUKS1_IMAGE (2 * LUKS1_SECTOR)
#define LUKS1_SLOTS 8
#define LUKS1_STRIPES 4000U
#define LUKS1_SALT 32
#define LUKS1_DIGEST 20
#define LUKS1_ITERATIONS_MIN 1000U
/* Areas and data begin at multiples of these, in sectors. */
#define LUKS1_AREA_ALIGN 8U
#define LUKS1_DATA_ALIGN 2048U

/* Where the fields are. */
#define LUKS1_VERSION 6
#define LUKS1_CIPHER 8
#define LUKS1_MODE 40
#define LUKS1_HASH 72
#define LUKS1_NAME_LEN 32
#define LUKS1_PAYLOAD 104
#define LUKS1_KEY_BYTES 108
#define LUKS1_DIGEST_AT 112
#define LUKS1_DIGEST_SALT 132
#define LUKS1_DIGEST_ITERATIONS 164
#define LUKS1_UUID 168
#define LUKS1_UUID_LEN 40
#define LUKS1_SLOT_AT 208
#define LUKS1_SLOT_LEN 48
/* In a slot. */
#define LUKS1_SLOT_ITERATIONS 4
#define LUKS1_SLOT_SALT 8
#define LUKS1_SLOT_AREA 40
#define LUKS1_SLOT_STRIPES 44

#define LUKS1_USED 0x00ac71f3U
#define LUKS1_UNUSED 0x0000deadU

static const unsigned char luks1_magic[LUKS1_CIPHER] = { 'L',  'U',  'K', 'S',
							 0xba, 0xbe, 0,	  1 };

/*
 * Reading: what is wrong is told as an error, the first one only; checking:
 * all of it is told on stdout.
 */
struct luks1_report {
	const struct disk *disk;
	bool is_check;
	bool is_quiet;
	unsigned int count;
};

static uint32_t luks1_get(const unsigned char *from)
{
	return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 |
	       (uint32_t)from[2] << 8 | from[3];
}

static void luks1_put(unsigned char *to, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		to[i] = (unsigned char)(value >> (24 - 8 * i));
}

static void __attribute__((format(printf, 2, 3)))
luks1_bad(struct luks1_report *report, const char *format, ...)
{
	char text[256];
	va_list args;

	report->count++;
	if (report->is_quiet || (!report->is_check && report->count > 1))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (report->is_check)
		printf("%s: %s\n", report->disk->name, text);
	else
		msg_error("%s: %s", report->disk->name, text);
}

/* Text of the header: printable, ended by NUL. */
static bool luks1_text(struct luks1_report *report, const char *what,
		       const unsigned char *from, size_t len, char *to)
{
	size_t i = 0;

	while (i < len && from[i] > ' ' && from[i] < 0x7f)
		i++;
	memcpy(to, from, i < len ? i : len - 1);
	to[i < len ? i : len - 1] = '\0';
	if (i < len && from[i] == '\0')
		return true;
	luks1_bad(report, "LUKS1 header: its %s is no text", what);
	return false;
}

static uint32_t luks1_area_sectors(uint32_t key_size)
{
	return (key_size * LUKS1_STRIPES + LUKS1_SECTOR - 1) / LUKS1_SECTOR;
}

static void luks1_read_cipher(struct luks1_report *report,
			      const unsigned char *image, struct luks *luks)
{
	char cipher[LUKS1_NAME_LEN], mode[LUKS1_NAME_LEN];
	bool is_cipher = luks1_text(report, "cipher", image + LUKS1_CIPHER,
				    LUKS1_NAME_LEN, cipher);
	bool is_mode = luks1_text(report, "cipher mode", image + LUKS1_MODE,
				  LUKS1_NAME_LEN, mode);

	luks->key_size = luks1_get(image + LUKS1_KEY_BYTES);
	if (!is_cipher || !is_mode)
		return;
	snprintf(luks->segment.cipher, sizeof(luks->segment.cipher), "%s-%s",
		 cipher, mode);
	if (!cipher_is_known(luks->segment.cipher, luks->key_size))
		luks1_bad(report,
			  "its cipher is not supported: %s with a key of "
			  "%" PRIu64 " bits",
			  luks->segment.cipher, (uint64_t)luks->key_size * 8);
}

/* Old programs wrote SHA256 as well. */
static void luks1_read_hash(struct luks1_report *report,
			    const unsigned char *image, struct luks *luks)
{
	char hash[LUKS1_NAME_LEN];

	if (!luks1_text(report, "hash", image + LUKS1_HASH, LUKS1_NAME_LEN,
			hash))
		return;
	for (char *c = hash; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	if (kdf_hash_is_known(hash, true))
		snprintf(luks->digest.hash, sizeof(luks->digest.hash), "%.15s",
			 hash);
	else
		luks1_bad(report, "its hash is not supported: %s", hash);
}

static void luks1_read_digest(struct luks1_report *report,
			      const unsigned char *image, struct luks *luks)
{
	struct luks_digest *digest = &luks->digest;

	luks1_read_hash(report, image, luks);
	digest->iterations = luks1_get(image + LUKS1_DIGEST_ITERATIONS);
	digest->salt_len = LUKS1_SALT;
	memcpy(digest->salt, image + LUKS1_DIGEST_SALT, LUKS1_SALT);
	digest->value_len = LUKS1_DIGEST;
	memcpy(digest->value, image + LUKS1_DIGEST_AT, LUKS1_DIGEST);
	if (digest->iterations < LUKS1_ITERATIONS_MIN ||
	    digest->iterations > INT32_MAX)
		luks1_bad(report,
			  "LUKS1 header: its digest asks for %" PRIu32
			  " iterations",
			  digest->iterations);
}

static const unsigned char *luks1_slot(const unsigned char *image,
				       unsigned int i)
{
	return image + LUKS1_SLOT_AT + i * LUKS1_SLOT_LEN;
}

/* A used slot's own fields; an unused one is only a place. */
static void luks1_read_used(struct luks1_report *report,
			    const unsigned char *from, const struct luks *luks,
			    unsigned int i, struct luks_slot *slot)
{
	char why[160];

	slot->is_used = true;
	slot->is_bound = true;
	slot->priority = 1;
	slot->cipher_key_size = luks->key_size;
	memcpy(slot->cipher, luks->segment.cipher, sizeof(slot->cipher));
	memcpy(slot->af_hash, luks->digest.hash, sizeof(slot->af_hash));
	slot->cost.kdf = LUKS_PBKDF2;
	memcpy(slot->cost.hash, luks->digest.hash, sizeof(slot->cost.hash));
	slot->cost.iterations = luks1_get(from + LUKS1_SLOT_ITERATIONS);
	slot->salt_len = LUKS1_SALT;
	memcpy(slot->salt, from + LUKS1_SLOT_SALT, LUKS1_SALT);
	/* with an unknown hash that was told already */
	if (*luks->digest.hash != '\0' &&
	    !kdf_cost_is_sane(&slot->cost, why, sizeof(why)))
		luks1_bad(report, "key slot %u: %s", i, why);
}

static void luks1_read_slot(struct luks1_report *report,
			    const unsigned char *image, struct luks *luks,
			    unsigned int i)
{
	const unsigned char *from = luks1_slot(image, i);
	struct luks_slot *slot = &luks->slots[i];
	uint32_t state = luks1_get(from);

	slot->is_ours = true;
	slot->key_size = luks->key_size;
	slot->stripes = luks1_get(from + LUKS1_SLOT_STRIPES);
	slot->area_off =
		(uint64_t)luks1_get(from + LUKS1_SLOT_AREA) * LUKS1_SECTOR;
	slot->area_size =
		(uint64_t)luks1_area_sectors(luks->key_size) * LUKS1_SECTOR;
	if (slot->stripes != LUKS1_STRIPES)
		luks1_bad(report,
			  "key slot %u: has %" PRIu32 " stripes, not %u", i,
			  slot->stripes, LUKS1_STRIPES);
	if (state == LUKS1_USED)
		luks1_read_used(report, from, luks, i, slot);
	else if (state != LUKS1_UNUSED)
		luks1_bad(report, "key slot %u: is neither used nor unused", i);
}

static void luks1_check_area(struct luks1_report *report,
			     const struct luks *luks, unsigned int i)
{
	const struct luks_slot *slot = &luks->slots[i];
	uint64_t end = slot->area_off + slot->area_size;

	if (slot->area_off < LUKS1_IMAGE)
		luks1_bad(report, "key slot %u: its area overlaps the header",
			  i);
	if (luks->segment.off != 0 && end > luks->segment.off)
		luks1_bad(report, "key slot %u: its area overlaps the data", i);
	if (end > report->disk->size)
		luks1_bad(report,
			  "key slot %u: its area ends at byte %" PRIu64
			  ", after the disk",
			  i, end);
	for (unsigned int j = 0; j < i; j++) {
		uint64_t other = luks->slots[j].area_off;

		if (slot->area_off < other + slot->area_size && other < end)
			luks1_bad(report, "key slots %u and %u overlap", j, i);
	}
}

static void luks1_read_data(struct luks1_report *report,
			    const unsigned char *image, uint64_t data_size,
			    struct luks *luks)
{
	luks->segment.off =
		(uint64_t)luks1_get(image + LUKS1_PAYLOAD) * LUKS1_SECTOR;
	luks->segment.sector_size = LUKS1_SECTOR;
	if (data_size != 0 && luks->segment.off >= data_size)
		luks1_bad(report,
			  "its data is to begin at byte %" PRIu64
			  ", after the disk",
			  luks->segment.off);
}

/* All of an image with a magic; reports what is wrong. */
static void luks1_examine(struct luks1_report *report,
			  const unsigned char *image, uint64_t data_size,
			  struct luks *luks)
{
	*luks = (struct luks){
		.version = 1,
		.n_slots = LUKS1_SLOTS,
		.is_primary_ok = true,
		.is_secondary_ok = true,
	};
	luks1_text(report, "UUID", image + LUKS1_UUID, LUKS1_UUID_LEN,
		   luks->uuid);
	luks1_read_cipher(report, image, luks);
	luks1_read_digest(report, image, luks);
	luks1_read_data(report, image, data_size, luks);
	/* with that many bytes areas would make no sense */
	if (luks->key_size == 0 || luks->key_size > LUKS_KEY_MAX)
		return;
	for (unsigned int i = 0; i < LUKS1_SLOTS; i++) {
		const struct luks_slot *slot = &luks->slots[i];

		luks1_read_slot(report, image, luks, i);
		luks1_check_area(report, luks, i);
		if (slot->area_off + slot->area_size > luks->header_size)
			luks->header_size = slot->area_off + slot->area_size;
	}
}

/* Return: an exit code; says what is wrong. */
static int luks1_load(struct disk *disk, unsigned char *image)
{
	int err;

	if (disk->size < LUKS1_IMAGE) {
		msg_error("%s: is too small for a LUKS1 header", disk->name);
		return EXIT_FAILED;
	}
	err = disk->read(disk, image, LUKS1_IMAGE, 0);
	if (err != 0)
		msg_error("%s: cannot read its header: %s", disk->name,
			  strerror(-err));
	else if (memcmp(image, luks1_magic, sizeof(luks1_magic)) != 0)
		msg_error("%s: has no LUKS1 header", disk->name);
	else
		return EXIT_DONE;
	return EXIT_FAILED;
}

int luks1_read(struct disk *disk, uint64_t data_size, struct luks *luks)
{
	struct luks1_report report = { .disk = disk };
	unsigned char image[LUKS1_IMAGE];
	int code = luks1_load(disk, image);

	if (code == EXIT_DONE)
		luks1_examine(&report, image, data_size, luks);
	return report.count == 0 ? code : EXIT_FAILED;
}

static int luks1_refuse(const struct disk *disk, const char *what)
{
	msg_error("%s: LUKS1 %s", disk->name, what);
	return EXIT_USAGE;
}

static int luks1_check_new(const struct disk *disk, const struct luks_new *new)
{
	if (new->sector_size != LUKS1_SECTOR)
		return luks1_refuse(disk, "has sectors of 512 bytes only");
	if (!kdf_hash_is_known(new->hash, true))
		return luks1_refuse(disk, "does not have this hash here");
	if (!cipher_is_known(new->cipher, new->key_size) ||
	    strchr(new->cipher, '-') == NULL)
		return luks1_refuse(disk, "does not have this cipher here");
	if (new->label != NULL &&*new->label != '\0')
		return luks1_refuse(disk, "has no label");
	if (new->uuid != NULL && strlen(new->uuid) >= LUKS1_UUID_LEN)
		return luks1_refuse(disk, "has no room for this UUID");
	return EXIT_DONE;
}

/* Sectors from the disk's start: area after area, then the data. */
static void luks1_place(struct luks *luks, bool is_detached)
{
	uint32_t sectors = luks1_area_sectors(luks->key_size);
	uint32_t at = LUKS1_AREA_ALIGN;

	for (int i = 0; i < LUKS1_SLOTS; i++) {
		struct luks_slot *slot = &luks->slots[i];

		slot->is_ours = true;
		slot->key_size = luks->key_size;
		slot->stripes = LUKS1_STRIPES;
		slot->area_off = (uint64_t)at * LUKS1_SECTOR;
		slot->area_size = (uint64_t)sectors * LUKS1_SECTOR;
		luks->header_size = slot->area_off + slot->area_size;
		at += (sectors + LUKS1_AREA_ALIGN - 1) / LUKS1_AREA_ALIGN *
		      LUKS1_AREA_ALIGN;
	}
	at = (at + LUKS1_DATA_ALIGN - 1) / LUKS1_DATA_ALIGN * LUKS1_DATA_ALIGN;
	luks->segment.off = is_detached ? 0 : (uint64_t)at * LUKS1_SECTOR;
}

static int luks1_check_room(const struct luks *luks, const struct disk *disk,
			    uint64_t data_size)
{
	uint64_t least = luks->segment.off + LUKS1_SECTOR;

	if (disk->size < luks_image_size(luks)) {
		msg_error("%s: is too small: a LUKS1 header needs %" PRIu64
			  " bytes",
			  disk->name, luks_image_size(luks));
		return EXIT_FAILED;
	}
	if (data_size >= least)
		return EXIT_DONE;
	msg_error("%s: is too small: LUKS1 needs at least %" PRIu64 " bytes",
		  disk->name, least);
	return EXIT_FAILED;
}

int luks1_new(struct luks *luks, struct disk *disk, uint64_t data_size,
	      const struct luks_new *new)
{
	int code = luks1_check_new(disk, new), err = 0;

	if (code != EXIT_DONE)
		return code;
	*luks = (struct luks){
		.version = 1,
		.key_size = new->key_size,
		.n_slots = LUKS1_SLOTS,
		.segment.sector_size = LUKS1_SECTOR,
		.is_primary_ok = true,
		.is_secondary_ok = true,
	};
	snprintf(luks->segment.cipher, sizeof(luks->segment.cipher), "%s",
		 new->cipher);
	if (new->uuid != NULL)
		snprintf(luks->uuid, sizeof(luks->uuid), "%s", new->uuid);
	else
		err = uuid_make(luks->uuid);
	if (err != 0) {
		msg_error("cannot get random numbers: %s", strerror(-err));
		return EXIT_FAILED;
	}
	luks1_place(luks, new->is_detached);
	return luks1_check_room(luks, disk, data_size);
}

static void luks1_put_slot(unsigned char *image, const struct luks *luks,
			   unsigned int i)
{
	unsigned char *to = image + LUKS1_SLOT_AT + i * LUKS1_SLOT_LEN;
	const struct luks_slot *slot = &luks->slots[i];

	memset(to, 0, LUKS1_SLOT_LEN);
	luks1_put(to, slot->is_used ? LUKS1_USED : LUKS1_UNUSED);
	luks1_put(to + LUKS1_SLOT_AREA,
		  (uint32_t)(slot->area_off / LUKS1_SECTOR));
	luks1_put(to + LUKS1_SLOT_STRIPES, slot->stripes);
	if (!slot->is_used)
		return;
	luks1_put(to + LUKS1_SLOT_ITERATIONS, slot->cost.iterations);
	memcpy(to + LUKS1_SLOT_SALT, slot->salt, LUKS1_SALT);
}

static void luks1_put_all(unsigned char *image, const struct luks *luks)
{
	const char *cipher = luks->segment.cipher;
	const char *mode = strchr(cipher, '-');

	memset(image, 0, LUKS1_IMAGE);
	memcpy(image, luks1_magic, sizeof(luks1_magic));
	memcpy(image + LUKS1_CIPHER, cipher, (size_t)(mode - cipher));
	memcpy(image + LUKS1_MODE, mode + 1,
	       strnlen(mode + 1, LUKS1_NAME_LEN - 1));
	memcpy(image + LUKS1_HASH, luks->digest.hash,
	       strlen(luks->digest.hash));
	luks1_put(image + LUKS1_PAYLOAD,
		  (uint32_t)(luks->segment.off / LUKS1_SECTOR));
	luks1_put(image + LUKS1_KEY_BYTES, luks->key_size);
	memcpy(image + LUKS1_DIGEST_AT, luks->digest.value, LUKS1_DIGEST);
	memcpy(image + LUKS1_DIGEST_SALT, luks->digest.salt, LUKS1_SALT);
	luks1_put(image + LUKS1_DIGEST_ITERATIONS, luks->digest.iterations);
	memcpy(image + LUKS1_UUID, luks->uuid, strlen(luks->uuid));
	for (unsigned int i = 0; i < LUKS1_SLOTS; i++)
		luks1_put_slot(image, luks, i);
}

/* One of the two sectors, if it changes. */
static int luks1_write_sector(struct disk *disk, const unsigned char *old,
			      const unsigned char *image, unsigned int sector)
{
	size_t off = (size_t)sector * LUKS1_SECTOR;
	int err;

	if (memcmp(old + off, image + off, LUKS1_SECTOR) == 0)
		return 0;
	err = disk->write(disk, image + off, LUKS1_SECTOR, off);
	return err == 0 ? disk->sync(disk) : err;
}

static int luks1_write_both(struct disk *disk, const unsigned char *old,
			    const unsigned char *image, unsigned int first)
{
	int err = luks1_write_sector(disk, old, image, first);

	if (err == 0)
		err = luks1_write_sector(disk, old, image, 1 - first);
	if (err == 0)
		return EXIT_DONE;
	msg_error("%s: cannot write its header: %s", disk->name,
		  strerror(-err));
	return EXIT_FAILED;
}

/* Is the header that is on the disk the one that this was read from? */
static bool luks1_is_same(const unsigned char *image, const struct luks *luks)
{
	return memcmp(image, luks1_magic, sizeof(luks1_magic)) == 0 &&
	       memcmp(image + LUKS1_DIGEST_AT, luks->digest.value,
		      LUKS1_DIGEST) == 0;
}

int luks1_write(struct disk *disk, const struct luks *luks, int slot)
{
	unsigned char old[LUKS1_IMAGE], image[LUKS1_IMAGE];
	int err = disk->read(disk, old, sizeof(old), 0);

	if (err != 0) {
		msg_error("%s: cannot read its header: %s", disk->name,
			  strerror(-err));
		return EXIT_FAILED;
	}
	memcpy(image, old, sizeof(image));
	if (luks1_is_same(old, luks))
		luks1_put_slot(image, luks, (unsigned int)slot);
	else
		luks1_put_all(image, luks);
	return luks1_write_both(disk, old, image, luks->slots[slot].is_used);
}

/* Where the area of a slot is in all headers but very old ones, sectors. */
static uint32_t luks1_usual_area(uint32_t key_size, unsigned int i)
{
	uint32_t stride =
		(luks1_area_sectors(key_size) + LUKS1_AREA_ALIGN - 1) /
		LUKS1_AREA_ALIGN * LUKS1_AREA_ALIGN;

	return LUKS1_AREA_ALIGN + i * stride;
}

/* Do all the other slots lie where they usually do? */
static bool luks1_is_usual(const unsigned char *image, uint32_t key_size,
			   unsigned int except)
{
	for (unsigned int i = 0; i < LUKS1_SLOTS; i++)
		if (i != except &&
		    luks1_get(luks1_slot(image, i) + LUKS1_SLOT_AREA) !=
			    luks1_usual_area(key_size, i))
			return false;
	return true;
}

static bool luks1_is_blank(const unsigned char *slot)
{
	for (int i = LUKS1_SLOT_ITERATIONS; i < LUKS1_SLOT_AREA; i++)
		if (slot[i] != 0)
			return false;
	return true;
}

/*
 * What can be meant in one way only: there are no other stripes; the place
 * among seven others that are where they should be; a slot without iterations
 * and salt was not used.
 */
static void luks1_mend(unsigned char *image)
{
	uint32_t key_size = luks1_get(image + LUKS1_KEY_BYTES);

	for (unsigned int i = 0; i < LUKS1_SLOTS; i++) {
		unsigned char *slot =
			image + LUKS1_SLOT_AT + i * LUKS1_SLOT_LEN;
		uint32_t state = luks1_get(slot);

		luks1_put(slot + LUKS1_SLOT_STRIPES, LUKS1_STRIPES);
		if (luks1_is_usual(image, key_size, i))
			luks1_put(slot + LUKS1_SLOT_AREA,
				  luks1_usual_area(key_size, i));
		if (state != LUKS1_USED && state != LUKS1_UNUSED &&
		    luks1_is_blank(slot))
			luks1_put(slot, LUKS1_UNUSED);
	}
}

/* All of what was found is repaired, or nothing. */
static int luks1_repair(struct disk *disk, const unsigned char *old,
			uint64_t data_size)
{
	struct luks1_report report = { .disk = disk, .is_quiet = true };
	unsigned char image[LUKS1_IMAGE];
	struct luks luks;

	memcpy(image, old, sizeof(image));
	luks1_mend(image);
	luks1_examine(&report, image, data_size, &luks);
	if (report.count > 0) {
		printf("%s: cannot be repaired: it is not clear what was "
		       "there\n",
		       disk->name);
		return 4;
	}
	if (luks1_write_both(disk, old, image, 1) != EXIT_DONE)
		return 8;
	printf("%s: repaired\n", disk->name);
	return 1;
}

int luks1_check(struct disk *disk, uint64_t data_size, bool should_repair)
{
	struct luks1_report report = { .disk = disk, .is_check = true };
	unsigned char image[LUKS1_IMAGE];
	struct luks luks;

	if (luks1_load(disk, image) != EXIT_DONE)
		return 8;
	luks1_examine(&report, image, data_size, &luks);
	if (report.count == 0)
		return 0;
	return should_repair ? luks1_repair(disk, image, data_size) : 4;
}
