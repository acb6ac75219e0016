/* SPDX-License-Identifier: MIT */
/*
 * test-luks2 - LUKS2 headers: cryptsetup's are read, ours by cryptsetup; each
 * fault is refused by name; a cut of any write leaves a header.
 *
 * The disk is in memory. What kdf.c and cipher.c know is made up here.
 */
#include <endian.h>
#include <limits.h>
#include <jansson.h>

#include "drivers/encrypt/cipher.h"
#include "drivers/encrypt/layout.h"
#include "drivers/encrypt/luks2.h"
#include "luks2edits.h"
#include "msg.h"
#include "tap.h"

#define DISK_SIZE (32U << 20)
#define SAVED (2U << 20) /* of its start, put back between cases */
#define SIZE 0x4000

static char folder[] = "/tmp/bdus-test-luks2-XXXXXX";
static unsigned char *data;
static unsigned char *saved;
static unsigned long budget = ULONG_MAX; /* bytes until the power fails */
static char order[16]; /* "p", "s": header written, "|": sync */
static char text[8192];

/*** a disk in memory *********************************************************/

static int mem_read(struct disk *disk, void *buf, size_t len, uint64_t off)
{
	if (off > disk->size || disk->size - off < len)
		return -EIO;
	memcpy(buf, data + off, len);
	return 0;
}

/* Writes up to where the power fails; later ones do nothing. */
static int mem_write(struct disk *disk, const void *buf, size_t len,
		     uint64_t off)
{
	size_t n = len < budget ? len : budget;

	if (off > disk->size || disk->size - off < len)
		return -EIO;
	memcpy(data + off, buf, n);
	if (budget != ULONG_MAX)
		budget -= n;
	if (strlen(order) < sizeof(order) - 1)
		strcat(order, off == 0 ? "p" : "s");
	return n == len ? 0 : -EIO;
}

static int mem_sync(struct disk *disk)
{
	(void)disk;
	if (strlen(order) < sizeof(order) - 1)
		strcat(order, "|");
	return 0;
}

static struct disk disk = { .name = "img",
			    .size = DISK_SIZE,
			    .read = mem_read,
			    .write = mem_write,
			    .sync = mem_sync };

/*** helpers ******************************************************************/

static bool __attribute__((format(printf, 1, 2))) run(const char *format, ...)
{
	char command[1024];
	va_list args;
	int n = snprintf(command, sizeof(command), "cd %s && exec >out 2>&1; ",
			 folder);

	va_start(args, format);
	vsnprintf(command + n, sizeof(command) - (size_t)n, format, args);
	va_end(args);
	return system(command) == 0;
}

static FILE *img_open(const char *name, const char *mode)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, mode);
	if (file == NULL) {
		perror(path);
		exit(1);
	}
	return file;
}

static void load(const char *name)
{
	FILE *file = img_open(name, "r");

	memset(data, 0, DISK_SIZE);
	disk.size = fread(data, 1, DISK_SIZE, file);
	fclose(file);
}

static void store(const char *name)
{
	FILE *file = img_open(name, "w");

	if (fwrite(data, 1, disk.size, file) != disk.size)
		perror(name);
	fclose(file);
}

/* A fresh volume by cryptsetup, in memory. */
static bool make(const char *options)
{
	return run("rm -f v; truncate -s 32M v; cryptsetup -q luksFormat "
		   "--type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "
		   "%s v key",
		   options);
}

static const char *caught(void)
{
	return tap_caught(text, sizeof(text));
}

static void discard(struct luks *luks)
{
	json_decref(luks->json);
	luks->json = NULL;
}

/* Exit code; nothing is kept, messages stay caught. */
static int try_read(uint64_t data_size)
{
	struct luks luks;
	int rc = luks2_read(&disk, data_size, &luks);

	discard(&luks);
	return rc;
}

static void reset(void)
{
	memcpy(data, saved, SAVED);
	disk.size = DISK_SIZE;
	budget = ULONG_MAX;
	*order = '\0';
	caught();
}

static struct luks2_binary *binary(int index)
{
	return (struct luks2_binary *)(data + (index == 0 ? 0 : SIZE));
}

/* Checksums after an edit of both copies, or of one. */
static void seal(int index)
{
	unsigned char salt[64];

	memcpy(salt, binary(index)->salt, sizeof(salt));
	luks2_seal((unsigned char *)binary(index), SIZE, index, salt);
}

static void put_text(const char *json)
{
	for (int i = 0; i < 2; i++) {
		char *area = (char *)binary(i) + LUKS2_UNIT;

		memset(area, 0, SIZE - LUKS2_UNIT);
		memcpy(area, json, strnlen(json, SIZE - LUKS2_UNIT));
		seal(i);
	}
}

/* RFC 7396: null removes, objects are gone into, others replace. */
static void merge(json_t *target, json_t *patch)
{
	const char *name;
	json_t *value;

	json_object_foreach(patch, name, value) {
		json_t *old = json_object_get(target, name);

		if (json_is_null(value))
			json_object_del(target, name);
		else if (json_is_object(value) && json_is_object(old))
			merge(old, value);
		else
			json_object_set(target, name, value);
	}
}

static void edit(const char *patch_text)
{
	json_error_t error;
	json_t *json = json_loads((char *)data + LUKS2_UNIT, 0, &error);
	json_t *patch = json_loads(patch_text, 0, &error);
	char *out;

	if (json == NULL || patch == NULL) {
		printf("Bail out! %s: %s\n", patch_text, error.text);
		exit(1);
	}
	merge(json, patch);
	out = json_dumps(json, JSON_COMPACT);
	put_text(out);
	free(out);
	json_decref(patch);
	json_decref(json);
}

static void refused(const char *name, const char *message)
{
	int rc = try_read(DISK_SIZE);

	caught();
	ok(rc == EXIT_FAILED && strstr(text, message) != NULL,
	   "refused: %s: %s", name, message);
	if (rc != EXIT_FAILED || strstr(text, message) == NULL)
		printf("# %d: %s\n", rc, text);
}

/*** what cryptsetup makes ****************************************************/

static void test_one(const char *name, const char *more)
{
	struct luks luks;
	int rc;

	if (!ok(run("%s", more), "cryptsetup: %s", name))
		return;
	load("v");
	rc = luks2_read(&disk, disk.size, &luks);
	ok(rc == EXIT_DONE && *caught() == '\0', "read: %s", name);
	if (*text != '\0')
		printf("# %s\n", text);
	ok(luks.slots[0].is_used && luks.slots[0].is_ours &&
		   luks.slots[0].is_bound && luks.is_primary_ok &&
		   luks.is_secondary_ok && strlen(luks.uuid) == 36,
	   "read: %s: slot 0, both copies, UUID", name);
	discard(&luks);
}

static void test_variety(void)
{
#define FORMAT                                                                \
	"rm -f v; truncate -s 32M v; cryptsetup -q luksFormat v key --pbkdf " \
	"pbkdf2 --pbkdf-force-iterations 1000 "
	test_one("luks2", FORMAT "--type luks2");
	test_one("sectors of 512", FORMAT "--type luks2 --sector-size 512");
	test_one("256 bits", FORMAT "--type luks2 --key-size 256");
	test_one("argon2id", "cryptsetup -q luksFormat --type luks2 "
			     "--pbkdf argon2id --pbkdf-force-iterations 4 "
			     "--pbkdf-memory 32 v key");
	test_one("argon2i", "cryptsetup -q luksFormat --type luks2 "
			    "--pbkdf argon2i --pbkdf-force-iterations 4 "
			    "--pbkdf-memory 32 v key");
	test_one("copies of 64 KiB",
		 FORMAT "--type luks2 --luks2-metadata-size 64k");
	test_one("copies of 4 MiB",
		 FORMAT "--type luks2 --luks2-metadata-size 4m");
	test_one("data at 1 MiB", FORMAT "--type luks2 --offset 2048");
	test_one("once LUKS1", FORMAT "--type luks1 --hash sha1 && "
				      "cryptsetup -q convert --type luks2 v");
	test_one("detached", "truncate -s 1M d && rm -f v && cryptsetup -q "
			     "luksFormat --type luks2 --pbkdf pbkdf2 "
			     "--pbkdf-force-iterations 1000 --header v d key");
	test_one("token, unbound slot, priority",
		 FORMAT "--type luks2 && cryptsetup -q luksAddKey --unbound "
			"--key-size 256 --pbkdf pbkdf2 -S 5 "
			"--pbkdf-force-iterations 1000 --key-file key v key &&"
			" cryptsetup config --priority prefer -S 0 v && "
			"cryptsetup token add --key-description d v");
}

static void test_values(void)
{
	const struct luks_slot *slot;
	struct luks luks;

	ok(make("--label hello --subsystem bdus --uuid "
		"11111111-2222-3333-4444-555555555555"),
	   "cryptsetup: labels");
	load("v");
	memcpy(saved, data, SAVED);
	luks2_read(&disk, disk.size, &luks);
	slot = &luks.slots[0];
	ok(strcmp(luks.label, "hello") == 0 &&
		   strcmp(luks.subsystem, "bdus") == 0 &&
		   strncmp(luks.uuid, "11111111-2222-3", 15) == 0,
	   "label, subsystem, UUID");
	ok(luks.version == 2 && luks.header_size == SIZE &&
		   luks.keyslots_size == 16744448 && luks.key_size == 64 &&
		   luks.n_slots == 32 && luks.seqid > 0,
	   "sizes of the header");
	ok(luks.segment.off == 16U << 20 && luks.segment.size == 0 &&
		   luks.segment.iv_tweak == 0 &&
		   luks.segment.sector_size == 4096 &&
		   strcmp(luks.segment.cipher, "aes-xts-plain64") == 0 &&
		   !luks.segment.may_discard,
	   "segment");
	ok(slot->area_off == 32768 && slot->area_size == 258048 &&
		   slot->stripes == 4000 && slot->key_size == 64 &&
		   slot->cipher_key_size == 64 && slot->priority == 1 &&
		   slot->salt_len == 32 && slot->cost.iterations == 1000 &&
		   strcmp(slot->af_hash, "sha256") == 0 &&
		   strcmp(slot->cipher, "aes-xts-plain64") == 0,
	   "key slot");
	ok(luks.digest.salt_len == 32 && luks.digest.value_len == 32 &&
		   luks.digest.iterations >= 1000 &&
		   strcmp(luks.digest.hash, "sha256") == 0,
	   "digest");
	discard(&luks);
}

static void test_reencryption(void)
{
	ok(make("") && run("cryptsetup -q reencrypt --init-only --resilience "
			   "none --key-file key v"),
	   "cryptsetup: reencrypt --init-only");
	load("v");
	refused("a volume between two keys", "it is being reencrypted");
	ok(run("rm v; truncate -s 48M v; cryptsetup -q reencrypt --encrypt "
	       "--init-only --reduce-device-size 32M --key-file key --pbkdf "
	       "pbkdf2 --pbkdf-force-iterations 1000 v"),
	   "cryptsetup: reencrypt --encrypt --init-only");
	load("v");
	refused("a volume that is being encrypted", "it is being reencrypted");
}

/*** refusals *****************************************************************/

static void test_edits(void)
{
	for (size_t i = 0; i < sizeof(edits) / sizeof(*edits); i++) {
		reset();
		edit(edits[i].patch);
		refused(edits[i].patch, edits[i].message);
	}
}

static void test_texts(void)
{
	char deep[512] = "{\"a\":";
	char full[SIZE + 1];
	size_t len;

	reset();
	put_text("[]");
	refused("no object", "has no JSON object");
	put_text("");
	refused("no text", "has no JSON object");
	put_text("{\"a\":1,\"a\":2}");
	refused("a name twice", "has malformed JSON");
	put_text("{\"a\":\"\xff\"}");
	refused("no UTF-8", "has malformed JSON");
	for (len = strlen(deep); len < 100; len++)
		deep[len] = '[';
	for (; len < 194; len++)
		deep[len] = ']';
	strcpy(deep + len - 1, "}");
	put_text(deep);
	refused("too deep", "has malformed JSON");
	memset(full, ' ', SIZE);
	full[0] = '{';
	full[SIZE] = '\0';
	put_text(full);
	refused("no end", "has JSON without an end");
	reset();
	for (int i = 0; i < 2; i++) {
		((char *)binary(i))[SIZE - 1] = 'x';
		seal(i);
	}
	refused("a tail", "has something after its JSON");
}

static void test_binaries(void)
{
	reset();
	binary(0)->version = htobe16(3);
	binary(1)->version = htobe16(3);
	refused("version 3", "has a version that is not known");
	reset();
	binary(0)->hdr_size = htobe64(0x5000);
	binary(1)->hdr_size = htobe64(0x800000);
	refused("sizes", "primary one has a size out of range, the secondary "
			 "one has a size out of range");
	reset();
	binary(0)->hdr_offset = htobe64(512);
	binary(1)->hdr_offset = 0;
	refused("offsets", "belongs elsewhere by its offset");
	reset();
	binary(0)->csum_alg[3] = '5';
	binary(1)->hdr_size = htobe64(0x8000);
	refused("kinds", "primary one has a checksum of an unknown kind, the "
			 "secondary one is not where its size puts it");
	reset();
	memset(binary(0)->uuid, 'a', sizeof(binary(0)->uuid));
	binary(1)->uuid[3] = '\n';
	refused("UUIDs", "primary one has a UUID that is no text, the "
			 "secondary one has a UUID that is no text");
	reset();
	binary(0)->pad[0] ^= 1;
	data[2 * SIZE - 1] ^= 1;
	refused("both corrupt", "no copy of its LUKS2 header is valid: the "
				"primary one has a wrong checksum, the "
				"secondary one has a wrong checksum");
	ok(strstr(text, "header-restore") != NULL, "hint: header-restore");
	reset();
	memset(data, 0, (size_t)2 * SIZE);
	refused("none", "it has no LUKS2 header");
	for (uint64_t size = 0; size <= 12288; size += 4096) {
		reset();
		disk.size = size;
		refused("a piece", size < 4096 ? "it has no LUKS2 header" :
						 "primary one is cut off");
	}
	reset();
	disk.size = 290000;
	refused("short", "key slot 0: its area ends after the disk");
	reset();
	ok(try_read(DISK_SIZE - 512) == EXIT_FAILED &&
		   strstr(caught(), "no multiple of the sector size, 4096"),
	   "refused: 512 bytes less of data");
	ok(try_read(16U << 20) == EXIT_FAILED, "refused: no data");
	ok(try_read(0) == EXIT_DONE, "unless the data is not looked at");
}

/* A slot that is not known hurts no other. */
static void test_unknown_slot(void)
{
	struct luks luks;

	reset();
	edit("{\"keyslots\":{\"4\":{\"type\":\"new\",\"area\":{\"offset\":"
	     "\"294912\",\"size\":\"4096\"}},\"6\":{\"type\":\"none\"}},"
	     "\"digests\":{\"0\":{\"keyslots\":[\"0\",\"4\"]}}}");
	ok(luks2_read(&disk, DISK_SIZE, &luks) == EXIT_DONE &&
		   strstr(caught(), "key slot 4: its type is not supported: "
				    "new") != NULL,
	   "an unknown slot beside ours is a warning");
	ok(luks.slots[4].is_used && !luks.slots[4].is_ours &&
		   luks.slots[4].area_off == 294912 && luks.slots[6].is_used,
	   "and known as one");
	discard(&luks);
	reset();
	edit(CONFIG("{\"flags\":[\"allow-discards\",\"new\"]}"));
	luks2_read(&disk, DISK_SIZE, &luks);
	ok(luks.segment.may_discard, "flag allow-discards");
	discard(&luks);
}

/*** copies *******************************************************************/

/* One is lost, older, different: what is read, and what check says. */
static void test_copies(void)
{
	struct luks luks;

	reset();
	memset(data, 0, 512);
	ok(luks2_read(&disk, DISK_SIZE, &luks) == EXIT_DONE &&
		   !luks.is_primary_ok && luks.is_secondary_ok &&
		   luks.key_size == 64,
	   "without a primary the secondary is taken");
	ok(strstr(caught(), "warning") != NULL &&
		   strstr(text, "the primary header is not there") != NULL &&
		   strstr(text, "check --repair") != NULL,
	   "with a warning and a hint");
	discard(&luks);
	reset();
	data[SIZE + 5000] ^= 1;
	ok(luks2_read(&disk, DISK_SIZE, &luks) == EXIT_DONE &&
		   luks.is_primary_ok && !luks.is_secondary_ok &&
		   strstr(caught(), "secondary header has a wrong checksum"),
	   "without a secondary the primary");
	discard(&luks);
	reset();
	strcpy(binary(1)->label, "newer");
	binary(1)->seqid = htobe64(be64toh(binary(1)->seqid) + 1);
	seal(1);
	ok(luks2_read(&disk, DISK_SIZE, &luks) == EXIT_DONE &&
		   strcmp(luks.label, "newer") == 0 && !luks.is_primary_ok &&
		   strstr(caught(), "primary header is older than"),
	   "the newer one is taken");
	discard(&luks);
	binary(0)->seqid = htobe64(be64toh(binary(1)->seqid) + 1);
	seal(0);
	ok(luks2_read(&disk, DISK_SIZE, &luks) == EXIT_DONE &&
		   strcmp(luks.label, "hello") == 0 && !luks.is_secondary_ok &&
		   strstr(caught(), "secondary header is older than"),
	   "also where it is the primary");
	discard(&luks);
	binary(0)->seqid = binary(1)->seqid;
	seal(0);
	ok(luks2_read(&disk, DISK_SIZE, &luks) == EXIT_DONE &&
		   strcmp(luks.label, "hello") == 0 && !luks.is_secondary_ok &&
		   strstr(caught(), "secondary header differs"),
	   "of equals the primary");
	discard(&luks);
}

static void test_search(void)
{
	struct luks luks;
	char option[64];
	int rc;

	for (unsigned int size = 16; size <= 4096; size *= 2) {
		snprintf(option, sizeof(option), "--luks2-metadata-size %uk",
			 size);
		make(option);
		load("v");
		memset(data, 0xaa, size * 1024);
		rc = luks2_read(&disk, disk.size, &luks);
		ok(rc == EXIT_DONE && luks.header_size == size * 1024,
		   "a secondary is found at %u KiB", size);
		discard(&luks);
	}
	caught();
}

/* Result of a check, whose lines are for people. */
static int check(bool should_repair)
{
	int kept = dup(1);
	int rc;

	fflush(stdout);
	if (freopen("/dev/null", "w", stdout) == NULL)
		exit(1);
	rc = luks2_check(&disk, DISK_SIZE, should_repair);
	fflush(stdout);
	dup2(kept, 1);
	close(kept);
	return rc;
}

static void test_check(void)
{
	static unsigned char before[2 * SIZE];

	reset();
	memcpy(before, data, sizeof(before));
	ok(check(false) == 0 && check(true) == 0 && *order == '\0',
	   "check: clean, nothing is written");
	data[100] ^= 1;
	ok(check(false) == 4 && *order == '\0', "check: a corrupt primary");
	ok(check(true) == 1 && strcmp(order, "p|") == 0 && check(false) == 0,
	   "check: repaired, the valid copy untouched");
	ok(memcmp(data + SIZE, before + SIZE, SIZE) == 0 &&
		   memcmp(data + LUKS2_UNIT, before + LUKS2_UNIT,
			  SIZE - LUKS2_UNIT) == 0 &&
		   memcmp(binary(0)->salt, before + 104, 64) != 0,
	   "check: the same JSON, a salt of its own");
	reset();
	binary(0)->seqid = htobe64(100);
	seal(0);
	ok(check(true) == 1 && strcmp(order, "s|") == 0 && check(false) == 0,
	   "check: the older one is repaired");
	reset();
	data[100] ^= 1;
	budget = 700;
	ok(check(true) == 8 && try_read(DISK_SIZE) == EXIT_DONE,
	   "check: a repair that fails leaves the other");
	reset();
	data[100] ^= 1;
	data[SIZE + 100] ^= 1;
	ok(check(true) == 4 && *order == '\0', "check: both corrupt");
	memset(data, 0, (size_t)2 * SIZE);
	ok(check(true) == 8, "check: no header");
	reset();
	data[100] ^= 1;
	edit(AREA("{\"offset\":\"16384\"}"));
	data[100] ^= 1;
	ok(check(true) == 4 && *order == '\0',
	   "check: no copy is made of a faulty one");
	reset();
	edit("{\"keyslots\":{\"0\":null},\"digests\":{\"0\":{\"keyslots\":[]}}}");
	data[SIZE + 100] ^= 1;
	disk.size = 2 * SIZE - 1;
	ok(check(true) == 4 && *order == '\0',
	   "check: no copy is made where there is no room");
	disk.size = 2 * SIZE;
	ok(check(true) == 4 && strcmp(order, "s|") == 0,
	   "check: and where there just is, one is made");
	disk.size = DISK_SIZE;
	reset();
	memset(data + 40960, 0, 512);
	ok(check(true) == 4, "check: overwritten key material");
	caught();
}

/*** changes ******************************************************************/

/* cryptsetup is content with both copies: it repairs where it is not. */
static bool is_fine(const char *command)
{
	store("v");
	return run("cp v w && cryptsetup -q %s && cmp v w", command);
}

static void test_write(void)
{
	struct luks luks;
	uint64_t seqid;
	json_t *odd;

	reset();
	edit("{\"odd\":{\"deep\":[1,2.5,null,true,\"\\u00e9/\"]},"
	     "\"config\":{\"odd\":\"x\"},\"keyslots\":{\"0\":{\"odd\":1}},"
	     "\"tokens\":{\"9\":{\"type\":\"odd\",\"keyslots\":[\"0\"],"
	     "\"odd\":2}}}");
	luks2_read(&disk, DISK_SIZE, &luks);
	seqid = luks.seqid;
	strcpy(luks.label, "123456789012345678901234567890123456789012345678");
	luks.slots[0].priority = 2;
	ok(luks2_put_slot(&luks, 0) == EXIT_DONE &&
		   luks2_set_digest(&luks) == EXIT_DONE &&
		   luks2_write(&disk, &luks) == EXIT_DONE &&
		   strcmp(order, "p|s|") == 0 && luks.seqid == seqid + 1,
	   "written: primary, sync, secondary, sync");
	discard(&luks);
	ok(is_fine("luksDump v") &&
		   is_fine("open --test-passphrase --key-file key v"),
	   "cryptsetup reads it and repairs nothing");
	luks2_read(&disk, DISK_SIZE, &luks);
	ok(luks.seqid == seqid + 1 && strlen(luks.label) == 48 &&
		   luks.slots[0].priority == 2 && luks.is_secondary_ok,
	   "read again");
	odd = json_pack("{s:[i,f,n,b,s]}", "deep", 1, 2.5, 1, "\xc3\xa9/");
	ok(json_equal(json_object_get(luks.json, "odd"), odd) &&
		   strstr((char *)data + LUKS2_UNIT, "\"odd\":\"x\"") &&
		   strstr((char *)data + LUKS2_UNIT, "\"odd\":1") &&
		   strstr((char *)data + LUKS2_UNIT, "\"odd\":2"),
	   "what is not known is still there");
	json_decref(odd);
	discard(&luks);
	ok(run("cryptsetup -q luksAddKey --pbkdf pbkdf2 "
	       "--pbkdf-force-iterations 1000 --key-file key v key"),
	   "cryptsetup: luksAddKey");
	load("v");
	ok(luks2_read(&disk, DISK_SIZE, &luks) == EXIT_DONE &&
		   luks.seqid == seqid + 2 && luks.slots[1].is_bound &&
		   json_object_get(luks.json, "odd") != NULL,
	   "read again");
	luks.slots[0].is_used = false;
	ok(luks2_put_slot(&luks, 0) == EXIT_DONE &&
		   luks2_write(&disk, &luks) == EXIT_DONE &&
		   is_fine("open --test-passphrase --key-file key v"),
	   "a slot is removed, the other opens");
	ok(!luks2_has_name(
		   json_object_get(
			   json_object_get(
				   json_object_get(luks.json, "digests"), "0"),
			   "keyslots"),
		   "0") &&
		   try_read(DISK_SIZE) == EXIT_DONE,
	   "nothing refers to it");
	discard(&luks);
	caught();
}

static void test_unbound(void)
{
	struct luks luks;

	make("");
	run("cryptsetup -q luksAddKey --unbound --key-size 256 --pbkdf pbkdf2 "
	    "-S 5 --pbkdf-force-iterations 1000 --key-file key v key");
	load("v");
	luks2_read(&disk, DISK_SIZE, &luks);
	ok(luks.slots[5].is_used && !luks.slots[5].is_bound &&
		   luks.slots[5].key_size == 32 && luks.key_size == 64,
	   "a slot of another key");
	luks.slots[5].is_used = false;
	luks2_put_slot(&luks, 5);
	ok(json_object_size(json_object_get(luks.json, "digests")) == 1,
	   "its digest goes with it");
	ok(luks2_write(&disk, &luks) == EXIT_DONE && is_fine("luksDump v"),
	   "cryptsetup reads that");
	discard(&luks);
}

static void test_place(void)
{
	struct luks_slot place = { .key_size = 64 };
	struct luks luks;
	int rc;
	int n;

	reset();
	luks2_read(&disk, DISK_SIZE, &luks);
	ok(luks2_place(&luks, 0, &place) == EXIT_DONE &&
		   place.area_off == 290816 && place.area_size == 258048,
	   "room beside the slot's own");
	luks.slots[0].is_used = false;
	luks2_put_slot(&luks, 0);
	luks2_place(&luks, 0, &place);
	ok(place.area_off == 32768, "room in place of one that went");
	luks.keyslots_size = (uint64_t)3 * 258048;
	for (n = 0; n < 5; n++) {
		luks.slots[n] = luks.slots[0];
		luks.slots[n].is_used = true;
		rc = luks2_place(&luks, n, &luks.slots[n]);
		if (rc != EXIT_DONE)
			break;
		luks2_put_slot(&luks, n);
	}
	ok(n == 3 && rc == EXIT_BUSY &&
		   strstr(caught(), "no room left for key slot 3") != NULL,
	   "no room left");
	discard(&luks);
}

/* The power fails after each sector of the two writes. */
static void cut_all(const char *name, bool is_secondary_lost)
{
	struct luks luks;
	int n_old = 0;
	int n_new = 0;
	unsigned long at;

	for (at = 0; at <= 2UL * SIZE; at += 512) {
		reset();
		if (is_secondary_lost)
			data[SIZE + 100] ^= 1;
		luks2_read(&disk, DISK_SIZE, &luks);
		strcpy(luks.label, "new");
		json_object_set_new(
			luks.json, "more",
			json_stringn((char *)memset(text, 'x', sizeof(text)),
				     sizeof(text)));
		budget = at;
		luks2_write(&disk, &luks);
		discard(&luks);
		if (luks2_read(&disk, DISK_SIZE, &luks) != EXIT_DONE)
			break;
		n_new += strcmp(luks.label, "new") == 0;
		n_old += strcmp(luks.label, "hello") == 0;
		discard(&luks);
	}
	ok(at > 2UL * SIZE && n_old > 16 && n_new > 32,
	   "cut after each sector: %s (%d old, %d new)", name, n_old, n_new);
	caught();
}

static void test_cuts(void)
{
	struct luks luks;

	cut_all("both copies valid", false);
	cut_all("only the primary", true);
	reset();
	luks2_read(&disk, DISK_SIZE, &luks);
	luks.seqid = UINT64_MAX;
	ok(luks2_write(&disk, &luks) == EXIT_FAILED && *order == '\0' &&
		   strstr(caught(), "seqid") != NULL,
	   "a seqid at its end is refused");
	luks.seqid = 3;
	disk.size = 2 * luks.header_size - 1;
	ok(luks2_write(&disk, &luks) == EXIT_FAILED && *order == '\0' &&
		   strstr(caught(), "no room for the second copy") != NULL,
	   "a disk that ends before the second copy is not written to");
	disk.size = DISK_SIZE;
	json_object_set_new(
		luks.json, "fat",
		json_stringn((char *)memset(text, 'x', sizeof(text)),
			     sizeof(text)));
	json_object_set_new(
		luks.json, "more",
		json_stringn((char *)memset(text, 'x', sizeof(text)),
			     sizeof(text)));
	ok(luks2_write(&disk, &luks) == EXIT_FAILED && *order == '\0' &&
		   strstr(caught(), "its JSON area is full") != NULL,
	   "JSON that is too long is refused");
	discard(&luks);
}

/*** new ones *****************************************************************/

static void fill(struct luks *luks)
{
	struct luks_slot *slot = &luks->slots[0];

	*slot = (struct luks_slot){
		.is_used = true,
		.is_ours = true,
		.is_bound = true,
		.priority = 1,
		.key_size = luks->key_size,
		.stripes = 4000,
		.af_hash = "sha256",
		.cipher = "aes-xts-plain64",
		.cipher_key_size = 64,
		.salt_len = 32,
		.cost = { .kdf = LUKS_ARGON2ID,
			  .iterations = 4,
			  .memory_kib = 32,
			  .lanes = 1 },
	};
	luks->digest = (struct luks_digest){
		.hash = "sha256",
		.iterations = 1000,
		.salt_len = 32,
		.value_len = 32,
	};
}

static bool new_one(uint64_t disk_size, uint64_t data_size,
		    const struct luks_new *new, struct luks *luks)
{
	memset(data, 0, DISK_SIZE);
	*order = '\0';
	disk.size = disk_size;
	if (luks2_new(luks, &disk, data_size, new) != EXIT_DONE)
		return false;
	fill(luks);
	if (luks2_place(luks, 0, &luks->slots[0]) != EXIT_DONE ||
	    luks2_put_slot(luks, 0) != EXIT_DONE ||
	    luks2_set_digest(luks) != EXIT_DONE ||
	    luks2_write(&disk, luks) != EXIT_DONE)
		return false;
	discard(luks);
	return luks2_read(&disk, data_size, luks) == EXIT_DONE;
}

static void test_new(void)
{
	struct luks_new new = { .version = 2,
				.cipher = "aes-xts-plain64",
				.hash = "sha256",
				.key_size = 64,
				.sector_size = 4096,
				.label = "fresh" };
	struct luks luks;

	ok(new_one(DISK_SIZE, DISK_SIZE, &new, &luks) && luks.seqid == 1 &&
		   luks.segment.off == 16U << 20 &&
		   luks.keyslots_size == 16744448 &&
		   luks.slots[0].area_off == 32768 &&
		   luks.slots[0].area_size == 258048 &&
		   strcmp(luks.label, "fresh") == 0 && luks.uuid[14] == '4',
	   "new: laid out as by cryptsetup");
	ok(memcmp(luks.salts[0], luks.salts[1], 64) != 0, "new: two salts");
	discard(&luks);
	ok(is_fine("luksDump v") && is_fine("luksUUID v"),
	   "new: cryptsetup reads it");
	for (unsigned int mib = 16; mib >= 2; mib /= 2) {
		ok(new_one((uint64_t)mib << 20, (uint64_t)mib << 20, &new,
			   &luks) &&
			   luks.segment.off == (uint64_t)mib << 19,
		   "new: %u MiB, the half for the header", mib);
		discard(&luks);
		ok(is_fine("luksDump v"), "new: cryptsetup reads it");
	}
	caught();
	ok(!new_one(1U << 20, 1U << 20, &new, &luks) &&
		   strstr(caught(), "too small for a LUKS2 header") != NULL,
	   "new: 1 MiB is too small");
	ok(!new_one(DISK_SIZE - 512, DISK_SIZE - 512, &new, &luks) &&
		   strstr(caught(), "no multiple of the sector size") != NULL,
	   "new: no multiple of the sector size");
	new.is_detached = true;
	ok(new_one(16U << 20, 4096, &new, &luks) && luks.segment.off == 0 &&
		   luks.keyslots_size == 16744448,
	   "new: detached");
	discard(&luks);
	ok(is_fine("luksDump v"), "new: cryptsetup reads it");
	ok(new_one(1U << 20, 1U << 30, &new, &luks) &&
		   luks.keyslots_size == (1U << 20) - 32768,
	   "new: detached, a small disk");
	discard(&luks);
	ok(!new_one(65536, 1U << 30, &new, &luks), "new: detached, too small");
	new.uuid = "11111111-2222-3333-4444-555555555555";
	ok(new_one(16U << 20, 4096, &new, &luks) &&
		   strcmp(luks.uuid, new.uuid) == 0,
	   "new: UUID");
	discard(&luks);
	new.uuid = "11111111-2222-3333-4444-55555555555";
	ok(luks2_new(&luks, &disk, 4096, &new) == EXIT_USAGE,
	   "new: a UUID that is too short");
	new.uuid = "11111111-2222-3333-4444-5555555555555";
	ok(luks2_new(&luks, &disk, 4096, &new) == EXIT_USAGE,
	   "new: a UUID that is too long");
	new.label = "123456789012345678901234567890123456789012345678";
	ok(luks2_new(&luks, &disk, 4096, &new) == EXIT_USAGE,
	   "new: a label that is too long");
	caught();
}

int main(void)
{
	tap_catch();
	data = calloc(1, DISK_SIZE);
	saved = calloc(1, SAVED);
	if (mkdtemp(folder) == NULL || data == NULL || saved == NULL)
		return 1;
	if (!ok(run("printf secret >key && cryptsetup --version"),
		"cryptsetup is there"))
		return tap_done();
	test_variety();
	test_reencryption();
	test_values();
	test_edits();
	test_texts();
	test_binaries();
	test_unknown_slot();
	test_copies();
	test_check();
	test_place();
	test_write();
	test_unbound();
	test_cuts();
	test_search();
	test_new();
	run("rm -rf %s", folder);
	free(data);
	free(saved);
	return tap_done();
}
