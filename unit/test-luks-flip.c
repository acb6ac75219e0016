/* SPDX-License-Identifier: MIT */
/*
 * test-luks-flip - every single bit of a valid header, flipped; random pairs
 * of bits, 2000 of each version or as many as PAIRS says; and disks that end
 * early.
 *
 * What is refused is refused with a message; what is accepted opens with the
 * right passphrase to the same key, or does not open, and never with another
 * passphrase. Key derivations run where a slot or the digest differs from all
 * that were seen before; the few flips that make one take minutes are counted.
 */
#include <endian.h>
#include <openssl/evp.h>

#include "msg.h"
#include "crash.h"
#include "drivers/encrypt/luks2.h"
#include "tap.h"
#include "volume.h"

#define LUKS1_HEADER 592
#define SEEN_SIZE (1U << 18)
#define WRONG_PASS "some other passphrase"
/* Cost of a derivation that is worth the wait: iterations, or KiB. */
#define COST_MAX (1U << 17)

/**
 * struct flips - flips of one kind
 * @volume: unharmed
 * @mem: the one with a flipped bit
 * @is_same: the header has to be read as if nothing were
 * @original: fingerprint of the unharmed header's meaning
 * @n: flips
 * @n_read: headers that were accepted
 * @n_opened: derivations that gave the key
 * @n_closed: derivations that did not
 * @n_slow: derivations not tried
 * @n_bad: failures
 * @first: the first failure
 */
struct flips {
	const struct volume *volume;
	struct memdisk *mem;
	bool is_same;
	uint64_t original;
	size_t n, n_read, n_opened, n_closed, n_slow, n_bad;
	char first[128];
};

static uint64_t seen[SEEN_SIZE];

/* Not seen before? */
static bool is_new(uint64_t sum)
{
	size_t i = sum % SEEN_SIZE;

	for (; seen[i] != 0; i = (i + 1) % SEEN_SIZE)
		if (seen[i] == sum)
			return false;
	seen[i] = sum;
	return true;
}

/* All that a header says, of its two copies no matter which. */
static uint64_t luks_sum(const struct luks *luks)
{
	struct luks copy = *luks;

	copy.json = NULL;
	copy.is_primary_ok = true;
	copy.is_secondary_ok = true;
	memset(copy.salts, 0, sizeof(copy.salts));
	return crash_sum(&copy, sizeof(copy)) | 1;
}

static void flips_fail(struct flips *flips, size_t off, int bit,
		       const char *fault)
{
	if (flips->n_bad++ == 0)
		snprintf(flips->first, sizeof(flips->first),
			 "byte %zu, bit %d: %s", off, bit, fault);
}

static bool is_slow(const struct luks *luks, const struct luks_slot *slot)
{
	const struct luks_cost *cost = &slot->cost;
	uint64_t work = cost->iterations;

	if (cost->kdf != LUKS_PBKDF2)
		work *= cost->memory_kib;
	return work > COST_MAX || luks->digest.iterations > COST_MAX;
}

static const char *flips_open(struct flips *flips, const struct luks *luks,
			      int slot)
{
	struct disk *disk = &flips->mem->disk;
	const unsigned char *key = flips->volume->key;
	enum opened opened =
		volume_open(luks, disk, slot, volume_pass(slot), key);

	if (opened == OPENED_WRONG)
		return "it opens to another key";
	if (opened == OPENED)
		flips->n_opened++;
	else
		flips->n_closed++;
	if (volume_open(luks, disk, slot, WRONG_PASS, key) != CLOSED)
		return "it opens with a wrong passphrase";
	return NULL;
}

static const char *flips_slots(struct flips *flips, const struct luks *luks)
{
	const struct luks_slot *slot = luks->slots;
	const char *fault = NULL;
	uint64_t digest = crash_sum(&luks->digest, sizeof(luks->digest));

	digest = crash_mix(digest, luks->key_size);
	for (int i = 0; i < LUKS_SLOTS_MAX && fault == NULL; i++, slot++) {
		if (!slot->is_used ||
		    !is_new(crash_mix(digest, crash_sum(slot, sizeof(*slot))) |
			    1))
			continue;
		if (is_slow(luks, slot))
			flips->n_slow++;
		else
			fault = flips_open(flips, luks, i);
	}
	return fault;
}

static const char *flips_read(struct flips *flips)
{
	struct disk *disk = &flips->mem->disk;
	const char *fault = NULL;
	char text[4096];
	struct luks luks;
	int code = luks_read(disk, disk->size, &luks);

	tap_caught(text, sizeof(text));
	flips->n++;
	if (code != EXIT_DONE && *text == '\0')
		fault = "it is refused without a message";
	else if (code != EXIT_DONE && flips->is_same)
		fault = "it is refused";
	else if (code == EXIT_DONE && flips->is_same &&
		 luks_sum(&luks) != flips->original)
		fault = "it means something else now";
	else if (code == EXIT_DONE)
		fault = flips_slots(flips, &luks);
	flips->n_read += code == EXIT_DONE;
	luks_free(&luks);
	return fault;
}

/* LUKS2: a copy's checksum is right. */
static void reseal(unsigned char *copy)
{
	struct luks2_binary *binary = (struct luks2_binary *)copy;

	memset(binary->csum, 0, sizeof(binary->csum));
	volume_must(EVP_Digest(copy, LUKS2_SIZE_MIN, binary->csum, NULL,
			       EVP_sha256(), NULL) == 1,
		    "no checksum");
}

/* The bits of @len bytes, @copy is to get a right checksum, or NULL. */
static void flip(struct flips *flips, size_t off, size_t len,
		 unsigned char *copy)
{
	unsigned char *data = flips->mem->data;
	const char *fault;

	for (size_t i = off; i < off + len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			data[i] ^= 1 << bit;
			if (copy != NULL)
				reseal(copy);
			fault = flips_read(flips);
			if (fault != NULL)
				flips_fail(flips, i, bit, fault);
			data[i] ^= 1 << bit;
		}
	}
	if (copy != NULL)
		reseal(copy);
}

static struct flips flips_new(const struct volume *volume)
{
	struct flips flips = {
		.volume = volume,
		.mem = memdisk_copy(volume->mem),
	};
	struct luks luks;

	volume_must(luks_read(&flips.mem->disk, VOLUME_SIZE, &luks) ==
			    EXIT_DONE,
		    "the volume is not valid");
	flips.original = luks_sum(&luks);
	luks_free(&luks);
	return flips;
}

static void flips_report(struct flips *flips, const char *name)
{
	ok(flips->n_bad == 0 && flips->n_read > 0,
	   "%s: %zu times: %zu headers refused, %zu accepted; %zu slots or "
	   "digests open, %zu do not, %zu would take too long",
	   name, flips->n, flips->n - flips->n_read, flips->n_read,
	   flips->n_opened, flips->n_closed, flips->n_slow);
	if (flips->n_bad > 0)
		printf("# %zu are bad, the first: %s\n", flips->n_bad,
		       flips->first);
	memdisk_free(flips->mem);
}

/* A random bit of the header; of the checksum, which is made anew, none. */
static void flip_any(unsigned char *data, size_t size, bool is_sealed)
{
	size_t csum = offsetof(struct luks2_binary, csum), at;

	do
		at = memdisk_random() % size;
	while (is_sealed && at >= csum && at < csum + 64);
	data[at] ^= 1 << memdisk_random() % 8;
}

/* Pairs of bits of what is at the disk's start; LUKS2: the only copy. */
static void flip_pairs(const struct volume *volume, size_t size,
		       const char *name)
{
	const char *pairs = getenv("PAIRS");
	size_t n = pairs != NULL ? strtoull(pairs, NULL, 0) : 2000;
	struct flips flips = flips_new(volume);
	unsigned char *data = flips.mem->data;
	bool is_sealed = volume->version == 2;
	const char *fault;

	if (is_sealed)
		memset(data + LUKS2_SIZE_MIN, 0, LUKS2_SIZE_MIN);
	for (size_t i = 0; i < n; i++) {
		flip_any(data, size, is_sealed);
		flip_any(data, size, is_sealed);
		if (is_sealed)
			reseal(data);
		fault = flips_read(&flips);
		if (fault != NULL)
			flips_fail(&flips, i, 0, fault);
		memcpy(data, volume->mem->data, size);
	}
	flips_report(&flips, name);
}

/* Cut off at each sector: read once there is data, else refused. */
static void cut_off(const struct volume *volume)
{
	struct flips flips = flips_new(volume);
	struct disk *disk = &flips.mem->disk;
	uint64_t data = volume->version == 1 ? 2U << 20 : 1U << 20;
	const char *fault;
	size_t n_read;

	for (uint64_t size = 0; size < VOLUME_SIZE; size += 512) {
		disk->size = size;
		n_read = flips.n_read;
		fault = flips_read(&flips);
		if (fault == NULL && (flips.n_read > n_read) != (size > data))
			fault = "there is no data, or it is refused";
		if (fault != NULL)
			flips_fail(&flips, size, 0, fault);
	}
	flips_report(&flips,
		     volume->version == 1 ? "luks1 cut off" : "luks2 cut off");
}

static void test_luks1(void)
{
	static const int slots[] = { 0, -1 };
	struct volume volume = volume_new(1, slots);
	struct flips flips = flips_new(&volume);

	flip(&flips, 0, LUKS1_HEADER, NULL);
	flips_report(&flips, "luks1 header");
	flip_pairs(&volume, LUKS1_HEADER, "luks1 pairs");
	cut_off(&volume);
	volume_free(&volume);
}

/* Binary header and JSON, with a few bytes after it. */
static size_t used_size(const struct volume *volume)
{
	const char *json = (const char *)volume->mem->data + LUKS2_UNIT;

	return LUKS2_UNIT + strlen(json) + 8;
}

static void test_copy(const struct volume *volume, int index)
{
	size_t off = index * LUKS2_SIZE_MIN;
	size_t end = off + used_size(volume);
	size_t csum = off + offsetof(struct luks2_binary, csum);
	struct flips flips = flips_new(volume);
	unsigned char *copy;

	flips.is_same = true;
	flip(&flips, off, end - off, NULL);
	flips_report(&flips, index == 0 ? "luks2 primary" : "luks2 secondary");
	flips = flips_new(volume);
	copy = flips.mem->data + off;
	memset(flips.mem->data + LUKS2_SIZE_MIN - off, 0, LUKS2_SIZE_MIN);
	flip(&flips, off, csum - off, copy);
	flip(&flips, csum + 64, end - csum - 64, copy);
	flips_report(&flips,
		     index == 0 ?
			     "luks2 primary alone, with a right checksum" :
			     "luks2 secondary alone, with a right checksum");
}

static void test_luks2(void)
{
	/* argon2id and pbkdf2 */
	static const int slots[] = { 0, 2, -1 };
	struct volume volume = volume_new(2, slots);

	for (int index = 0; index < 2; index++)
		test_copy(&volume, index);
	flip_pairs(&volume, used_size(&volume), "luks2 pairs");
	cut_off(&volume);
	volume_free(&volume);
}

int main(void)
{
	memdisk_seed_set();
	tap_catch();
	volume_must(secret_init() == 0, "no secret memory");
	test_luks1();
	test_luks2();
	return tap_done();
}
