/* SPDX-License-Identifier: MIT */
/*
 * encrypt/luks - the operations on headers of both versions.
 *
 * The order of writes is what makes changes crash-proof: new key material goes
 * to a place that nothing refers to, then the header comes to refer to it, and
 * only then is what the header no longer refers to wiped. To remove a slot is
 * to destroy its key material; its entry is of no use after that.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "msg.h"
#include "secret.h"

#define LUKS_STRIPES 4000
#define LUKS_DIGEST_MIN 1000U
#define LUKS_PASSES_MIN 4U
#define LUKS_SALT 32
#define LUKS1_DIGEST 20

/* The second copy of LUKS2 is at one of the powers of two in between. */
#define LUKS_SECONDARY_MIN 0x4000U
#define LUKS_SECONDARY_MAX 0x400000U

/*
 * What a new header wipes at least: all places of a secondary, and key
 * material that lies where cryptsetup puts it. Material of an unusual header
 * that lies further on has lost its salts and is of no use.
 */
#define LUKS_WIPE_MIN ((uint64_t)16 << 20)
#define LUKS_WIPE_CHUNK ((size_t)1 << 20)
/* Up to here there is no key material, but room for foreign signatures. */
#define LUKS_WIPE_ZERO 4096

struct luks_head {
	char magic[6];
	unsigned char version[2];
};

static const char luks_primary[6] = { 'L', 'U', 'K', 'S', '\xba', '\xbe' };
static const char luks_secondary[6] = { 'S', 'K', 'U', 'L', '\xba', '\xbe' };

static int luks_head_at(struct disk *disk, uint64_t off, const char magic[6],
			bool *is_there, unsigned int *version)
{
	struct luks_head head;
	int err;

	*is_there = false;
	if (off + sizeof(head) > disk->size)
		return 0;
	err = disk->read(disk, &head, sizeof(head), off);
	if (err != 0 || memcmp(head.magic, magic, sizeof(head.magic)) != 0)
		return err;
	*is_there = true;
	*version = (unsigned int)head.version[0] << 8 | head.version[1];
	return 0;
}

static bool luks_has_secondary(struct disk *disk)
{
	unsigned int version;
	bool is_there;

	for (uint64_t off = LUKS_SECONDARY_MIN; off <= LUKS_SECONDARY_MAX;
	     off *= 2)
		if (luks_head_at(disk, off, luks_secondary, &is_there,
				 &version) == 0 &&
		    is_there && version == 2)
			return true;
	return false;
}

int luks_version(struct disk *disk)
{
	unsigned int version;
	bool is_there;
	int err = luks_head_at(disk, 0, luks_primary, &is_there, &version);

	if (err == 0 && is_there && (version == 1 || version == 2))
		return (int)version;
	return luks_has_secondary(disk) ? 2 : err;
}

/* There is no header of a known version: say what there is. */
static int luks_none(struct disk *disk, int err)
{
	unsigned int version;
	bool is_there;

	if (err == 0)
		err = luks_head_at(disk, 0, luks_primary, &is_there, &version);
	if (err != 0)
		msg_error("%s: cannot read its header: %s", disk->name,
			  strerror(-err));
	else if (is_there)
		msg_error("%s: is LUKS of the unknown version %u", disk->name,
			  version);
	else
		msg_error("%s: has no LUKS header", disk->name);
	return EXIT_FAILED;
}

int luks_read(struct disk *disk, uint64_t data_size, struct luks *luks)
{
	int version = luks_version(disk);

	memset(luks, 0, sizeof(*luks));
	if (version == 1)
		return luks1_read(disk, data_size, luks);
	if (version == 2)
		return luks2_read(disk, data_size, luks);
	return luks_none(disk, version);
}

int luks_check(struct disk *disk, uint64_t data_size, bool should_repair)
{
	int version = luks_version(disk);

	if (version == 1)
		return luks1_check(disk, data_size, should_repair);
	if (version == 2)
		return luks2_check(disk, data_size, should_repair);
	luks_none(disk, version);
	return 8;
}

void luks_free(struct luks *luks)
{
	if (luks->json != NULL)
		json_decref(luks->json);
	OPENSSL_cleanse(luks, sizeof(*luks));
}

/* What the digest's PBKDF2 makes of a volume key; false: libcrypto fails. */
static bool luks_digest(const struct luks *luks, const unsigned char *key,
			unsigned char *value)
{
	const struct luks_digest *digest = &luks->digest;
	struct luks_cost cost = {
		.kdf = LUKS_PBKDF2,
		.iterations = digest->iterations,
	};

	memcpy(cost.hash, digest->hash, sizeof(cost.hash));
	return kdf_derive(&cost, key, luks->key_size, digest->salt,
			  digest->salt_len, value, digest->value_len) == 0;
}

bool luks_is_key(const struct luks *luks, const unsigned char *key)
{
	const struct luks_digest *digest = &luks->digest;
	unsigned char value[sizeof(digest->value)];
	bool is_key;

	if (digest->value_len == 0 || digest->value_len > sizeof(value))
		return false;
	is_key = luks_digest(luks, key, value) &&
		 CRYPTO_memcmp(value, digest->value, digest->value_len) == 0;
	OPENSSL_cleanse(value, sizeof(value));
	return is_key;
}

static int luks_try(const struct luks *luks, struct disk *disk, unsigned int i,
		    const void *pass, size_t pass_len, unsigned char *key)
{
	int code = slot_open(&luks->slots[i], disk, pass, pass_len, key);

	if (code == EXIT_DONE && !luks_is_key(luks, key))
		code = EXIT_WRONG_KEY;
	if (code != EXIT_DONE)
		OPENSSL_cleanse(key, LUKS_KEY_MAX);
	return code;
}

/* Could it give the volume key? */
static bool luks_can_open(const struct luks *luks, const struct luks_slot *slot)
{
	return slot->is_used && slot->is_ours && slot->is_bound &&
	       slot->key_size == luks->key_size;
}

static int luks_open_named(const struct luks *luks, struct disk *disk, int slot,
			   const void *pass, size_t pass_len,
			   unsigned char *key)
{
	const struct luks_slot *named = NULL;

	if (slot >= 0 && (unsigned int)slot < luks->n_slots)
		named = &luks->slots[slot];
	if (named != NULL && luks_can_open(luks, named))
		return luks_try(luks, disk, (unsigned int)slot, pass, pass_len,
				key);
	if (named == NULL)
		msg_error("%s: there is no key slot %d, the last one is %u",
			  disk->name, slot, luks->n_slots - 1);
	else if (!named->is_used)
		msg_error("%s: key slot %d is not in use", disk->name, slot);
	else if (!named->is_ours)
		msg_error("%s: key slot %d is of a kind that is not supported",
			  disk->name, slot);
	else
		msg_error("%s: key slot %d does not hold the volume's key",
			  disk->name, slot);
	return EXIT_FAILED;
}

/*
 * A slot that cannot be tried, for want of memory as an example, does not keep
 * the others from being tried.
 */
static int luks_open_any(const struct luks *luks, struct disk *disk,
			 const void *pass, size_t pass_len, unsigned char *key,
			 int *found)
{
	int worst = EXIT_WRONG_KEY, tried = 0;

	for (int priority = 2; priority > 0; priority--) {
		for (unsigned int i = 0; i < luks->n_slots; i++) {
			int code;

			if (!luks_can_open(luks, &luks->slots[i]) ||
			    luks->slots[i].priority != priority)
				continue;
			tried++;
			code = luks_try(luks, disk, i, pass, pass_len, key);
			*found = (int)i;
			if (code == EXIT_DONE)
				return code;
			if (code != EXIT_WRONG_KEY)
				worst = code;
		}
	}
	if (tried > 0)
		return worst;
	msg_error("%s: has no key slot that a passphrase could open",
		  disk->name);
	return EXIT_FAILED;
}

int luks_open_key(const struct luks *luks, struct disk *disk, int slot,
		  const void *pass, size_t pass_len, unsigned char *key,
		  int *found)
{
	int code, which = slot;

	if (slot == LUKS_ANY_SLOT)
		code = luks_open_any(luks, disk, pass, pass_len, key, &which);
	else
		code = luks_open_named(luks, disk, slot, pass, pass_len, key);
	if (code == EXIT_DONE && found != NULL)
		*found = which;
	return code;
}

static int luks_bad_cost(const char *why)
{
	msg_error("the key derivation %s", why);
	return EXIT_USAGE;
}

/* New key slots are never cheaper to attack than cryptsetup's cheapest. */
static int luks_check_cost(const struct luks *luks,
			   const struct luks_cost *cost)
{
	char why[160];

	if (luks->version == 1 && cost->kdf != LUKS_PBKDF2)
		return luks_bad_cost("of LUKS1 is pbkdf2, no other");
	if (cost->kdf == LUKS_PBKDF2 &&
	    !kdf_hash_is_known(cost->hash, luks->version == 1))
		return luks_bad_cost("is to use a hash that is not supported");
	if (!kdf_cost_is_sane(cost, why, sizeof(why)))
		return luks_bad_cost(why);
	if (cost->kdf != LUKS_PBKDF2 && cost->iterations < LUKS_PASSES_MIN)
		return luks_bad_cost("asks for less than 4 passes");
	return EXIT_DONE;
}

/* A slot that is to be made: everything but its salt. */
static int luks_prepare(const struct luks *luks, int slot,
			const struct luks_cost *cost, struct luks_slot *to)
{
	*to = (struct luks_slot){
		.is_used = true,
		.is_ours = true,
		.is_bound = true,
		.priority = 1,
		.key_size = luks->key_size,
		.stripes = LUKS_STRIPES,
		.area_off = luks->slots[slot].area_off,
		.area_size = luks->slots[slot].area_size,
		.cipher_key_size = luks->key_size,
		.cost = *cost,
	};
	memcpy(to->af_hash, luks->digest.hash, sizeof(to->af_hash));
	memcpy(to->cipher, luks->segment.cipher, sizeof(to->cipher));
	if (luks->version == 1)
		memcpy(to->cost.hash, luks->digest.hash, sizeof(to->cost.hash));
	if (luks_check_cost(luks, &to->cost) != EXIT_DONE)
		return EXIT_USAGE;
	return luks->version == 2 ? luks2_place(luks, slot, to) : EXIT_DONE;
}

/* Bring the header on the disk in line with one slot. */
static int luks_commit(struct luks *luks, struct disk *disk, int slot)
{
	int code;

	if (luks->version == 1)
		return luks1_write(disk, luks, slot);
	code = luks2_put_slot(luks, slot);
	return code == EXIT_DONE ? luks2_write(disk, luks) : code;
}

/* Key material, sync, header: @to becomes slot @slot. */
static int luks_put(struct luks *luks, struct disk *disk, int slot,
		    const unsigned char *key, struct luks_slot *to,
		    const void *pass, size_t pass_len)
{
	int code = slot_fill(to, disk, key, pass, pass_len);

	if (code != EXIT_DONE)
		return code;
	luks->slots[slot] = *to;
	return luks_commit(luks, disk, slot);
}

static int luks_free_slot(const struct luks *luks)
{
	for (unsigned int i = 0; i < luks->n_slots; i++)
		if (!luks->slots[i].is_used)
			return (int)i;
	return LUKS_ANY_SLOT;
}

static int luks_choose(const struct luks *luks, const struct disk *disk,
		       int *slot)
{
	if (*slot == LUKS_ANY_SLOT)
		*slot = luks_free_slot(luks);
	if (*slot == LUKS_ANY_SLOT) {
		msg_error("%s: all %u key slots are in use", disk->name,
			  luks->n_slots);
		return EXIT_BUSY;
	}
	if (*slot < 0 || (unsigned int)*slot >= luks->n_slots) {
		msg_error("%s: there is no key slot %d, the last one is %u",
			  disk->name, *slot, luks->n_slots - 1);
		return EXIT_USAGE;
	}
	if (!luks->slots[*slot].is_used)
		return EXIT_DONE;
	msg_error("%s: key slot %d is in use", disk->name, *slot);
	return EXIT_BUSY;
}

int luks_add_slot(struct luks *luks, struct disk *disk, int slot,
		  const unsigned char *key, const struct luks_cost *cost,
		  const void *pass, size_t pass_len)
{
	struct luks_slot to;
	int code = luks_choose(luks, disk, &slot);

	if (code == EXIT_DONE)
		code = luks_prepare(luks, slot, cost, &to);
	if (code == EXIT_DONE)
		code = luks_put(luks, disk, slot, key, &to, pass, pass_len);
	return code;
}

static int luks_check_used(const struct luks *luks, const struct disk *disk,
			   int slot)
{
	if (slot >= 0 && (unsigned int)slot < luks->n_slots &&
	    luks->slots[slot].is_used)
		return EXIT_DONE;
	msg_error("%s: key slot %d is not in use", disk->name, slot);
	return EXIT_FAILED;
}

/* The slot keeps its number and gets another area. */
static int luks2_change(struct luks *luks, struct disk *disk, int slot,
			const unsigned char *key, const struct luks_cost *cost,
			const void *pass, size_t pass_len)
{
	struct luks_slot old = luks->slots[slot], to;
	int code = luks_prepare(luks, slot, cost, &to);

	to.priority = old.priority;
	if (code == EXIT_DONE)
		code = luks_put(luks, disk, slot, key, &to, pass, pass_len);
	return code == EXIT_DONE ? slot_wipe(&old, disk) : code;
}

/* Areas are fixed: another slot, then the old one goes. */
static int luks1_change(struct luks *luks, struct disk *disk, int slot,
			const unsigned char *key, const struct luks_cost *cost,
			const void *pass, size_t pass_len)
{
	int other = luks_free_slot(luks), code;

	if (other == LUKS_ANY_SLOT) {
		msg_error("%s: all %u key slots are in use, and a passphrase "
			  "is changed by way of a free one",
			  disk->name, luks->n_slots);
		msg_hint("remove-key makes room");
		return EXIT_BUSY;
	}
	code = luks_add_slot(luks, disk, other, key, cost, pass, pass_len);
	return code == EXIT_DONE ? luks_remove_slot(luks, disk, slot) : code;
}

int luks_change_slot(struct luks *luks, struct disk *disk, int slot,
		     const unsigned char *key, const struct luks_cost *cost,
		     const void *pass, size_t pass_len)
{
	int code = luks_check_used(luks, disk, slot);

	if (code != EXIT_DONE)
		return code;
	if (!luks_can_open(luks, &luks->slots[slot])) {
		msg_error("%s: key slot %d does not hold the volume's key",
			  disk->name, slot);
		return EXIT_FAILED;
	}
	if (luks->version == 1)
		return luks1_change(luks, disk, slot, key, cost, pass,
				    pass_len);
	return luks2_change(luks, disk, slot, key, cost, pass, pass_len);
}

/* What LUKS1 keeps of an unused slot. */
static void luks_clear_slot(const struct luks *luks, struct luks_slot *slot)
{
	struct luks_slot clear = { 0 };

	if (luks->version == 1) {
		clear.is_ours = true;
		clear.key_size = slot->key_size;
		clear.stripes = slot->stripes;
		clear.area_off = slot->area_off;
		clear.area_size = slot->area_size;
	}
	*slot = clear;
}

int luks_remove_slot(struct luks *luks, struct disk *disk, int slot)
{
	int code = luks_check_used(luks, disk, slot);

	if (code == EXIT_DONE)
		code = slot_wipe(&luks->slots[slot], disk);
	if (code != EXIT_DONE)
		return code;
	luks_clear_slot(luks, &luks->slots[slot]);
	return luks_commit(luks, disk, slot);
}

/* All key material first: what is left then opens nothing. */
int luks_erase(struct luks *luks, struct disk *disk)
{
	int code = EXIT_DONE;

	for (unsigned int i = 0; code == EXIT_DONE && i < luks->n_slots; i++)
		if (luks->slots[i].is_used)
			code = slot_wipe(&luks->slots[i], disk);
	for (unsigned int i = 0; code == EXIT_DONE && i < luks->n_slots; i++) {
		if (!luks->slots[i].is_used)
			continue;
		luks_clear_slot(luks, &luks->slots[i]);
		code = luks_commit(luks, disk, (int)i);
	}
	return code;
}

uint64_t luks_image_size(const struct luks *luks)
{
	if (luks->version == 1)
		return (luks->header_size + 4095) & ~(uint64_t)4095;
	return 2 * luks->header_size + luks->keyslots_size;
}

static int luks_write_failed(const struct disk *disk, int err)
{
	msg_error("%s: cannot write its header: %s", disk->name,
		  strerror(-err));
	return EXIT_FAILED;
}

/* Random bytes; where a foreign signature could be, zeroes. */
static int luks_wipe(struct disk *disk, uint64_t size)
{
	unsigned char *noise = malloc(LUKS_WIPE_CHUNK);
	int err = noise != NULL ? 0 : -ENOMEM;
	size_t len;

	for (uint64_t off = 0; err == 0 && off < size; off += len) {
		len = LUKS_WIPE_CHUNK;
		if (len > size - off)
			len = (size_t)(size - off);
		err = secret_random(noise, len);
		if (off == 0)
			memset(noise, 0,
			       len < LUKS_WIPE_ZERO ? len : LUKS_WIPE_ZERO);
		if (err == 0)
			err = disk->write(disk, noise, len, off);
	}
	if (err == 0)
		err = disk->sync(disk);
	free(noise);
	return err == 0 ? EXIT_DONE : luks_write_failed(disk, err);
}

static int luks_wipe_head(struct disk *disk, uint64_t off)
{
	static const unsigned char zeroes[LUKS_WIPE_ZERO];
	uint64_t len = sizeof(zeroes);
	int err;

	if (len > disk->size - off)
		len = disk->size - off;
	err = disk->write(disk, zeroes, len, off);
	return err == 0 ? disk->sync(disk) : err;
}

/*
 * The old header goes first, durably, and only it: what is seen at any moment
 * is a header whose slots open it, or none.
 */
static int luks_wipe_heads(struct disk *disk)
{
	int err = luks_wipe_head(disk, 0);
	unsigned int version;
	bool is_there;

	for (uint64_t off = LUKS_SECONDARY_MIN;
	     err == 0 && off <= LUKS_SECONDARY_MAX; off *= 2) {
		err = luks_head_at(disk, off, luks_secondary, &is_there,
				   &version);
		if (err == 0 && is_there)
			err = luks_wipe_head(disk, off);
	}
	return err == 0 ? EXIT_DONE : luks_write_failed(disk, err);
}

static int luks_wipe_old(struct disk *disk, const struct luks *luks)
{
	uint64_t size = luks_image_size(luks);
	int code = luks_wipe_heads(disk);

	if (size < LUKS_WIPE_MIN)
		size = LUKS_WIPE_MIN;
	if (code == EXIT_DONE)
		code = luks_wipe(disk, size < disk->size ? size : disk->size);
	return code;
}

/* The digest of a new volume key: as slow as iter_ms / 8 allows. */
static int luks_set_digest(struct luks *luks, const struct luks_new *new,
			   const unsigned char *key)
{
	struct luks_digest *digest = &luks->digest;
	struct luks_cost cost = { .kdf = LUKS_PBKDF2 };
	int code = EXIT_DONE;

	*digest = (struct luks_digest){ .salt_len = LUKS_SALT };
	strncpy(digest->hash, new->hash, sizeof(digest->hash) - 1);
	digest->value_len = strcmp(new->hash, "sha512") == 0 ? 64 : 32;
	if (luks->version == 1)
		digest->value_len = LUKS1_DIGEST;
	memcpy(cost.hash, digest->hash, sizeof(cost.hash));
	if (new->iter_ms >= 8)
		code = luks_benchmark(&cost, (uint32_t)digest->value_len,
				      new->iter_ms / 8);
	digest->iterations = cost.iterations;
	if (digest->iterations < LUKS_DIGEST_MIN)
		digest->iterations = LUKS_DIGEST_MIN;
	if (code != EXIT_DONE)
		return code;
	if (secret_random(digest->salt, LUKS_SALT) == 0 &&
	    luks_digest(luks, key, digest->value))
		return EXIT_DONE;
	msg_error("cannot make the digest of a volume key");
	return EXIT_FAILED;
}

static int luks_new_header(struct luks *luks, struct disk *disk,
			   uint64_t data_size, const struct luks_new *new,
			   unsigned char *key)
{
	int code, err;

	if (new->version == 1)
		code = luks1_new(luks, disk, data_size, new);
	else
		code = luks2_new(luks, disk, data_size, new);
	if (code != EXIT_DONE)
		return code;
	err = secret_random(key, luks->key_size);
	if (err != 0) {
		msg_error("cannot get random numbers: %s", strerror(-err));
		return EXIT_FAILED;
	}
	code = luks_set_digest(luks, new, key);
	if (code == EXIT_DONE && luks->version == 2)
		code = luks2_set_digest(luks);
	return code;
}

int luks_format(struct disk *disk, uint64_t data_size,
		const struct luks_new *new, const void *pass, size_t pass_len,
		unsigned char *key)
{
	struct luks luks = { 0 };
	struct luks_slot slot;
	int code = luks_new_header(&luks, disk, data_size, new, key);

	if (code == EXIT_DONE)
		code = luks_prepare(&luks, 0, &new->cost, &slot);
	if (code == EXIT_DONE)
		code = luks_wipe_old(disk, &luks);
	if (code == EXIT_DONE)
		code = luks_put(&luks, disk, 0, key, &slot, pass, pass_len);
	luks_free(&luks);
	return code;
}
