/* SPDX-License-Identifier: MIT */
/*
 * luks2 - fuzzes the header of LUKS2.
 *
 * An input is a struct input and JSON. Both copies are made of it, with
 * checksums that are right unless a flag says otherwise: so mutations get
 * beyond them. Half of the mutations are of the JSON's tree.
 */
#include <endian.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/encrypt/layout.h"
#include "drivers/encrypt/luks2.h"
#include "fuzz.h"
#include "msg.h"
#include "tree.h"

/* Largest copy that is made; larger ones only claim to be there. */
#define COPY_MAX 0x10000

/* Flags. With none all is well. */
enum {
	BAD_PRIMARY = 1, /* its checksum */
	BAD_SECONDARY = 2,
	NO_PRIMARY = 4,
	NO_SECONDARY = 8,
	OTHER_JSON = 16, /* a byte of the secondary's differs */
	RAW = 32,	 /* the binary header is as in the input */
	WITH_DATA_SIZE = 64,
};

/**
 * struct input - what is before the JSON
 * @flags: see there
 * @size: of a copy, 16 KiB and two powers more
 * @disk: choice for fuzz_size()
 * @data: likewise
 * @seqids: of both copies
 * @at: byte of the secondary's JSON that differs, times 64; a slot
 * @with: what it is exclusive-ored with; a choice of what is changed
 * @binary: start of the binary header: all up to the padding
 */
struct input {
	uint8_t flags, size, disk, data, seqids[2], at, with;
	uint8_t binary[264];
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_setup();
	return 0;
}

/*** the disk *****************************************************************/

static unsigned char image[2 * COPY_MAX];

static void seal(unsigned char *copy, size_t size)
{
	struct luks2_binary *binary = (struct luks2_binary *)copy;

	memset(binary->csum, 0, sizeof(binary->csum));
	if (EVP_Digest(copy, size, binary->csum, NULL, EVP_sha256(), NULL) != 1)
		abort();
}

static void make_copy(const struct input *input, size_t size, int index,
		      const uint8_t *json, size_t len)
{
	static const char *const magics[2] = { "LUKS\xba\xbe", "SKUL\xba\xbe" };
	unsigned char *copy = image + index * size;
	struct luks2_binary *binary = (struct luks2_binary *)copy;

	memset(copy, 0, size);
	if (input->flags & (NO_PRIMARY << index))
		return;
	memcpy(copy, input->binary, sizeof(input->binary));
	if (!(input->flags & RAW)) {
		memcpy(binary->magic, magics[index], sizeof(binary->magic));
		binary->version = htobe16(2);
		binary->hdr_size = htobe64(size);
		binary->seqid = htobe64(1 + (uint64_t)input->seqids[index]);
		memcpy(binary->csum_alg, "sha256", 7);
		binary->hdr_offset = htobe64(index * size);
	}
	if (len > size - LUKS2_UNIT)
		len = size - LUKS2_UNIT;
	memcpy(copy + LUKS2_UNIT, json, len);
	if (index == 1 && (input->flags & OTHER_JSON) != 0 && len > 0)
		copy[LUKS2_UNIT + input->at * 64U % len] ^= input->with;
	if (!(input->flags & (BAD_PRIMARY << index)))
		seal(copy, size);
}

/*** what is done with a header that was accepted *****************************/

static unsigned char written[2 * COPY_MAX];

/* Changed or not, what is written is read again as it was. */
static void write_and_read(struct luks *luks, uint64_t size, uint64_t data_size)
{
	struct fuzz_disk fuzz;
	struct luks again;

	fuzz_disk_init(&fuzz, written, sizeof(written), size, true);
	/* JSON may be longer than it was, and seqid at its end */
	if (luks2_write(&fuzz.disk, luks) != EXIT_DONE)
		return;
	fuzz_must(luks_read(&fuzz.disk, data_size, &again) == EXIT_DONE,
		  "a header that was written is refused");
	fuzz_must(again.seqid == luks->seqid, "a seqid");
	fuzz_must(again.is_primary_ok && again.is_secondary_ok,
		  "a copy that was written is not valid");
	fuzz_same(luks, &again);
	luks_free(&again);
}

static bool is_left(const struct luks *luks, int except)
{
	bool is_any_bound = false;

	for (int i = 0; i < LUKS_SLOTS_MAX; i++) {
		if (i == except || !luks->slots[i].is_bound)
			continue;
		if (luks->slots[i].is_ours)
			return true;
		is_any_bound = true;
	}
	return !is_any_bound;
}

static void remove_slot(struct luks *luks, int slot, uint64_t size,
			uint64_t data_size)
{
	bool is_key_left = false;

	/* with no slot left of a kind that is known it would be refused */
	if (!luks->slots[slot].is_used || !is_left(luks, slot))
		return;
	memset(&luks->slots[slot], 0, sizeof(luks->slots[slot]));
	fuzz_must(luks2_put_slot(luks, slot) == EXIT_DONE,
		  "a slot cannot be removed");
	for (int i = 0; i < LUKS_SLOTS_MAX; i++)
		is_key_left |=
			luks->slots[i].is_bound && luks->slots[i].key_size != 0;
	if (!is_key_left)
		luks->key_size = 0;
	write_and_read(luks, size, data_size);
}

static void add_slot(struct luks *luks, int slot, uint64_t size,
		     uint64_t data_size)
{
	struct luks_slot new;

	/* with its padding, which is compared */
	memset(&new, 0, sizeof(new));
	new.is_used = new.is_ours = new.is_bound = true;
	new.priority = 1;
	new.key_size = new.cipher_key_size = luks->key_size;
	new.stripes = LUKS2_STRIPES;
	new.cost.kdf = LUKS_ARGON2ID;
	new.cost.iterations = 4;
	new.cost.memory_kib = 32;
	new.cost.lanes = 1;
	new.salt_len = 32;
	memcpy(new.af_hash, "sha256", 7);
	memcpy(new.cipher, luks->segment.cipher, sizeof(new.cipher));
	if (luks->key_size == 0 || luks->slots[slot].is_used ||
	    luks2_place(luks, slot, &new) != EXIT_DONE ||
	    new.area_off + new.area_size > size)
		return;
	memcpy(&luks->slots[slot], &new, sizeof(new));
	fuzz_must(luks2_put_slot(luks, slot) == EXIT_DONE,
		  "a slot cannot be added");
	write_and_read(luks, size, data_size);
}

static void walk(struct luks *luks, struct disk *disk, uint64_t data_size,
		 const struct input *input)
{
	int slot = input->at % LUKS_SLOTS_MAX;

	fuzz_header(luks, disk, data_size);
	if (luks->version != 2 || 2 * luks->header_size > sizeof(written))
		return;
	switch (input->with % 3) {
	case 0:
		write_and_read(luks, disk->size, data_size);
		break;
	case 1:
		add_slot(luks, slot, disk->size, data_size);
		break;
	default:
		remove_slot(luks, slot, disk->size, data_size);
	}
}

/* What was repaired is well. */
static void repair(size_t len, uint64_t size, uint64_t data_size)
{
	struct fuzz_disk fuzz;
	int code;

	fuzz_disk_init(&fuzz, image, len, size, true);
	code = luks_check(&fuzz.disk, data_size, true);
	if (code == 1)
		fuzz_must(luks_check(&fuzz.disk, data_size, false) == 0,
			  "what was repaired is not well");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct input *input = (const struct input *)data;
	size_t copy_size = LUKS2_SIZE_MIN;
	uint64_t disk_size, data_size;
	struct fuzz_disk fuzz;
	struct luks luks;

	if (size <= sizeof(*input))
		return -1;
	if (input->size < 2)
		copy_size <<= 1 + input->size;
	if (input->size == 3)
		copy_size <<= 1;
	disk_size = fuzz_size(input->disk);
	data_size = input->flags & WITH_DATA_SIZE ? fuzz_size(input->data) : 0;
	for (int i = 0; i < 2; i++)
		make_copy(input, copy_size, i, data + sizeof(*input),
			  size - sizeof(*input));
	fuzz_disk_init(&fuzz, image, 2 * copy_size, disk_size, false);
	if (luks_read(&fuzz.disk, data_size, &luks) == EXIT_DONE)
		walk(&luks, &fuzz.disk, data_size, input);
	if (!luks.is_primary_ok || !luks.is_secondary_ok)
		repair(2 * copy_size, disk_size, data_size);
	luks_free(&luks);
	return 0;
}

/* Of the head, of the JSON as bytes, or of its tree. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	size_t head = sizeof(struct input), len;

	if (size <= head || max_size <= head || seed % 8 == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	if (seed % 8 == 1) {
		len = LLVMFuzzerMutate(data, head, head);
		memset(data + len, 0, head - len);
		return size;
	}
	if (seed % 8 > 2) {
		len = tree_mutate((char *)data + head, size - head,
				  max_size - head, seed / 8);
		if (len != 0)
			return head + len;
	}
	return head +
	       LLVMFuzzerMutate(data + head, size - head, max_size - head);
}
