/* SPDX-License-Identifier: MIT */
/*
 * test-luks - key derivation, key slots and LUKS1, against known values and
 * against cryptsetup, which works on regular files without the kernel's help.
 */
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "drivers/encrypt/af.h"
#include "drivers/encrypt/disk.h"
#include "drivers/encrypt/layout.h"
#include "drivers/encrypt/luks.h"
#include "msg.h"
#include "drivers/encrypt/secret.h"
#include "tap.h"

#define DISK_SIZE (24 << 20)

static char folder[] = "/tmp/bdus-test-luks-XXXXXX";
static char image[64];
static char messages[4096];
static unsigned char *key;
static bool has_cryptsetup;

/* Runs a command in the folder; returns its exit status. */
static int __attribute__((format(printf, 1, 2))) run(const char *format, ...)
{
	char command[1024];
	va_list args;
	int status, n;

	n = snprintf(command, sizeof(command), "cd %s && ", folder);
	va_start(args, format);
	vsnprintf(command + n, sizeof(command) - (size_t)n, format, args);
	va_end(args);
	status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void unhex(const char *text, unsigned char *to)
{
	for (; *text != '\0'; text += 2) {
		unsigned int byte = 0;

		sscanf(text, "%2x", &byte);
		*to++ = (unsigned char)byte;
	}
}

static bool is_hex(const unsigned char *bytes, const char *text)
{
	unsigned char wanted[128];

	unhex(text, wanted);
	return memcmp(bytes, wanted, strlen(text) / 2) == 0;
}

static bool caught(const char *part)
{
	tap_caught(messages, sizeof(messages));
	if (strstr(messages, part) != NULL)
		return true;
	printf("# wanted: %s\n# got: %s\n", part, messages);
	return false;
}

/*
 * RFC 6070 and RFC 7914, and those that the reference implementation of Argon2
 * is tested with.
 */
static const struct kdf_case {
	struct luks_cost cost;
	const char *pass;
	const char *salt;
	const char *key;
} kdf_cases[] = {
	{ { LUKS_PBKDF2, "sha1", 1, 0, 0 },
	  "password",
	  "salt",
	  "0c60c80f961f0e71f3a9b524af6012062fe037a6" },
	{ { LUKS_PBKDF2, "sha1", 4096, 0, 0 },
	  "passwordPASSWORDpassword",
	  "saltSALTsaltSALTsaltSALTsaltSALTsalt",
	  "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038" },
	{ { LUKS_PBKDF2, "sha256", 1, 0, 0 },
	  "passwd",
	  "salt",
	  "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
	  "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783" },
	{ { LUKS_PBKDF2, "sha512", 4096, 0, 0 },
	  "passwordPASSWORDpassword",
	  "saltSALTsaltSALTsaltSALTsaltSALTsalt",
	  "8c0511f4c6e597c6ac6315d8f0362e225f3c501495ba23b868c005174dc4ee71" },
	{ { LUKS_ARGON2ID, "", 2, 65536, 1 },
	  "password",
	  "somesalt",
	  "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7" },
	{ { LUKS_ARGON2ID, "", 2, 256, 1 },
	  "password",
	  "somesalt",
	  "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe" },
	{ { LUKS_ARGON2ID, "", 2, 256, 2 },
	  "password",
	  "somesalt",
	  "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037" },
	{ { LUKS_ARGON2I, "", 2, 65536, 1 },
	  "password",
	  "somesalt",
	  "c1628832147d9720c5bd1cfd61367078729f6dfb6f8fea9ff98158e0d7816ed0" },
};

static void test_kdf(void)
{
	for (size_t i = 0; i < sizeof(kdf_cases) / sizeof(*kdf_cases); i++) {
		const struct kdf_case *c = &kdf_cases[i];
		int err = kdf_derive(&c->cost, c->pass, strlen(c->pass),
				     (const unsigned char *)c->salt,
				     strlen(c->salt), key, strlen(c->key) / 2);

		ok(err == 0 && is_hex(key, c->key), "kdf: %s %s, %u passes",
		   luks_kdf_name(c->cost.kdf), c->cost.hash,
		   c->cost.iterations);
	}
}

static const struct bound_case {
	struct luks_cost cost;
	const char *why; /* NULL: it is fine */
} bound_cases[] = {
	{ { LUKS_PBKDF2, "sha256", 1000, 0, 0 }, NULL },
	{ { LUKS_PBKDF2, "sha256", 999, 0, 0 }, "999 iterations" },
	{ { LUKS_PBKDF2, "sha256", UINT32_MAX, 0, 0 },
	  "4294967295 iterations" },
	{ { LUKS_PBKDF2, "md5", 1000, 0, 0 }, "hash md5" },
	{ { LUKS_ARGON2ID, "", 1, 32, 1 }, NULL },
	{ { LUKS_ARGON2ID, "", 4, 4 << 20, 4 }, NULL },
	{ { LUKS_ARGON2ID, "", 4, (4 << 20) + 1, 4 }, "4096 MiB of memory" },
	{ { LUKS_ARGON2ID, "", 4, 31, 1 }, "31 KiB of memory" },
	{ { LUKS_ARGON2I, "", 4, 1024, 5 }, "5 threads" },
	{ { LUKS_ARGON2I, "", 4, 1024, 0 }, "0 threads" },
	{ { LUKS_ARGON2I, "", 0, 1024, 1 }, "no pass" },
};

static void test_bounds(void)
{
	for (size_t i = 0; i < sizeof(bound_cases) / sizeof(*bound_cases);
	     i++) {
		const struct bound_case *c = &bound_cases[i];
		char why[160] = "";
		bool is_sane = kdf_cost_is_sane(&c->cost, why, sizeof(why));

		ok(is_sane == (c->why == NULL) &&
			   (is_sane || strstr(why, c->why) != NULL),
		   "kdf: bounds: %s", is_sane ? "fine" : why);
	}
}

static void test_benchmark(void)
{
	struct luks_cost cost = { LUKS_PBKDF2, "sha256", 0, 0, 0 };

	ok(luks_benchmark(&cost, 64, 1) == EXIT_DONE && cost.iterations >= 1000,
	   "benchmark: pbkdf2 of a millisecond: %u", cost.iterations);
	cost = (struct luks_cost){ LUKS_ARGON2ID, "", 0, 1 << 20, 4 };
	ok(luks_benchmark(&cost, 64, 1) == EXIT_DONE && cost.iterations == 4 &&
		   cost.memory_kib >= 32 && cost.lanes >= 1,
	   "benchmark: argon2id of a millisecond: %u passes, %u KiB, %u lanes",
	   cost.iterations, cost.memory_kib, cost.lanes);
	cost = (struct luks_cost){ LUKS_ARGON2ID, "", 0, 1024, 1 };
	ok(luks_benchmark(&cost, 64, 100) == EXIT_DONE && cost.iterations > 4 &&
		   cost.memory_kib == 1024,
	   "benchmark: passes where memory is bounded: %u", cost.iterations);
}

/* From an implementation of its own: stripe bytes 3, 10, 17 ... */
static const struct af_case {
	const char *hash;
	size_t size;
	const char *key;
} af_cases[] = {
	{ "sha1", 32,
	  "a5532c0400e4b7b032f80fff337b07e03b980f0108f94db7717cc3f8da762462" },
	{ "sha256", 64,
	  "e72aca1772995d328a6387344f0a2362705a9de640d3368591006ef4ee1fc946"
	  "88d27ec3fe65e0da93a1af8d227fdbff40317901f4c2f1413962e85918144dab" },
	{ "sha512", 64,
	  "8b2735b8eb0958cefb154eac9624eaeca198d03e21c5f7211f9fc7ddba46be95"
	  "906758830ce24f8726f7d0024e10bdfbbeaa1a2b4722defbe7b09cad2f414239" },
};

static void test_af(void)
{
	unsigned char stripes[640], secret[64];

	for (size_t i = 0; i < sizeof(af_cases) / sizeof(*af_cases); i++) {
		const struct af_case *c = &af_cases[i];

		for (size_t j = 0; j < sizeof(stripes); j++)
			stripes[j] = (unsigned char)(7 * j + 3);
		ok(af_merge(stripes, c->size, 10, c->hash, key) == 0 &&
			   is_hex(key, c->key),
		   "af: %s, a known key", c->hash);
		memset(secret, 0x5a, sizeof(secret));
		ok(af_split(secret, c->size, 10, c->hash, stripes) == 0 &&
			   af_merge(stripes, c->size, 10, c->hash, key) == 0 &&
			   memcmp(key, secret, c->size) == 0,
		   "af: %s, there and back", c->hash);
	}
}

static bool is_zero(const unsigned char *bytes, size_t size)
{
	while (size > 0 && *bytes == 0) {
		bytes++;
		size--;
	}
	return size == 0;
}

static void test_secret_sizes(void)
{
	static const size_t sizes[] = { 1,     16,    17,     100,
					65520, 65521, 300000, 32 << 20 };
	bool is_fine = true;

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			unsigned char *a = secret_alloc(sizes[i]);
			unsigned char *b = secret_alloc(sizes[i]);

			is_fine = is_fine && a != NULL && b != NULL &&
				  ((uintptr_t)a | (uintptr_t)b) % 16 == 0 &&
				  is_zero(a, sizes[i]) && is_zero(b, sizes[i]);
			memset(a, 0xff, sizes[i]);
			memset(b, 0xff, sizes[i]);
			secret_free(a);
			secret_free(b);
		}
	}
	ok(is_fine, "secret: zeroed, aligned, of all sizes");
	secret_free(NULL);
	ok(secret_alloc(SIZE_MAX) == NULL && secret_alloc(SIZE_MAX / 4) == NULL,
	   "secret: too much");
}

static unsigned long vm_locked_kib(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[256];

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		sscanf(line, "VmLck: %lu", &kib);
	if (file != NULL)
		fclose(file);
	return kib;
}

static void test_secret_fork(void)
{
	unsigned char *secret = secret_alloc(300000);
	unsigned long before = vm_locked_kib();
	int status = -1;
	pid_t pid;

	secret[299999] = 7;
	pid = fork();
	if (pid == 0)
		_exit(secret[299999] == 7 && secret_alloc(20) != NULL &&
				      vm_locked_kib() >= before ?
			      0 :
			      1);
	waitpid(pid, &status, 0);
	/* AddressSanitizer makes mlock() do nothing */
	ok(status == 0, "secret: locked in the child of a fork() too, %lu KiB",
	   before);
	secret_free(secret);
}

static void make_image(uint64_t size)
{
	int fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)size) != 0) {
		perror(image);
		exit(1);
	}
	close(fd);
}

static void test_disk_refusals(void)
{
	struct disk_file file;
	char path[128];

	ok(disk_open(&file, folder, DISK_READ) == EXIT_FAILED &&
		   caught("is a directory"),
	   "disk: a directory");
	ok(disk_open(&file, "/dev/null", DISK_READ) == EXIT_FAILED &&
		   caught("is a character device"),
	   "disk: /dev/null");
	snprintf(path, sizeof(path), "%s/pipe", folder);
	mkfifo(path, 0600);
	ok(disk_open(&file, path, DISK_READ) == EXIT_FAILED &&
		   caught("is a named pipe"),
	   "disk: a named pipe");
	ok(disk_open(&file, "/nowhere/at/all", DISK_READ) == EXIT_FAILED &&
		   caught("No such file"),
	   "disk: nothing");
}

static void test_disk_bytes(void)
{
	struct disk_file file;
	char buf[4] = "abc";

	make_image(4096);
	ok(disk_open(&file, image, DISK_CHANGE) == EXIT_DONE &&
		   file.disk.size == 4096 &&
		   file.disk.write(&file.disk, buf, 4, 4092) == 0 &&
		   file.disk.write(&file.disk, buf, 4, 4093) == -EIO &&
		   file.disk.write(&file.disk, buf, 4, UINT64_MAX) == -EIO &&
		   file.disk.sync(&file.disk) == 0,
	   "disk: written within its size only");
	disk_close(&file);
	memset(buf, 0, sizeof(buf));
	ok(disk_open(&file, image, DISK_READ) == EXIT_DONE &&
		   file.disk.write == NULL &&
		   file.disk.read(&file.disk, buf, 4, 4092) == 0 &&
		   strcmp(buf, "abc") == 0 &&
		   file.disk.read(&file.disk, buf, 4, 4093) == -EIO,
	   "disk: read");
	disk_close(&file);
}

/* Another process locks the image as cryptsetup would, for a while. */
static pid_t lock_for(int operation, useconds_t duration_us)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready) != 0)
		exit(1);
	pid = fork();
	if (pid == 0) {
		int fd = open(image, O_RDWR | O_CLOEXEC);

		if (flock(fd, operation) != 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		usleep(duration_us);
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		exit(1);
	close(ready[0]);
	return pid;
}

static void test_disk_locks(void)
{
	struct disk_file file, other;
	pid_t pid;

	make_image(4096);
	pid = lock_for(LOCK_EX, 300000);
	ok(disk_open(&file, image, DISK_READ) == EXIT_DONE &&
		   caught("waiting for the lock"),
	   "disk: a lock is waited for");
	waitpid(pid, NULL, 0);
	ok(disk_open(&other, image, DISK_READ) == EXIT_DONE && caught(""),
	   "disk: readers do not wait for one another");
	disk_close(&other);
	disk_unlock(&file);
	ok(disk_open(&other, image, DISK_REPLACE) == EXIT_DONE,
	   "disk: unlocked");
	disk_close(&file);
	ok(disk_open(&file, image, DISK_REPLACE) == EXIT_BUSY &&
		   caught("is in use"),
	   "disk: what somebody is replacing");
	disk_close(&other);
}

static void test_disk_busy(void)
{
	struct disk_file file;
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	int fd = open(image, O_RDONLY | O_CLOEXEC);

	fcntl(fd, F_OFD_SETLK, &lock);
	ok(disk_open(&file, image, DISK_REPLACE) == EXIT_BUSY &&
		   caught("is in use"),
	   "disk: what a driver has open is not replaced");
	ok(disk_open(&file, image, DISK_CHANGE) == EXIT_DONE,
	   "disk: its header is changed");
	disk_close(&file);
	ok(disk_open_fd(&file, image, fd) == EXIT_DONE &&
		   file.disk.size == 4096 && file.fd != fd,
	   "disk: one that is open");
	disk_close(&file);
	close(fd);
}

/* Reads the header of the image and opens it; returns an exit code. */
static int open_with(const char *pass, int slot, int *found)
{
	struct disk_file file;
	struct luks luks;
	int code = disk_open(&file, image, DISK_READ);

	if (code != EXIT_DONE)
		return code;
	code = luks_read(&file.disk, file.disk.size, &luks);
	if (code == EXIT_DONE)
		code = luks_open_key(&luks, &file.disk, slot, pass,
				     strlen(pass), key, found);
	luks_free(&luks);
	disk_close(&file);
	return code;
}

static bool key_is_cryptsetups(void)
{
	unsigned char theirs[64] = { 0 };
	struct disk_file file;
	struct luks luks;
	bool is_same = false;
	char path[128];
	FILE *dumped;
	size_t n;

	snprintf(path, sizeof(path), "%s/key", folder);
	unlink(path);
	if (run("cryptsetup luksDump -q --dump-volume-key --volume-key-file "
		"key --key-file one disk >/dev/null") != 0)
		return false;
	dumped = fopen(path, "re");
	if (dumped == NULL)
		return false;
	n = fread(theirs, 1, sizeof(theirs), dumped);
	fclose(dumped);
	if (disk_open(&file, image, DISK_READ) != EXIT_DONE)
		return false;
	if (luks_read(&file.disk, 0, &luks) == EXIT_DONE)
		is_same = luks.key_size == n && memcmp(theirs, key, n) == 0 &&
			  luks_is_key(&luks, theirs);
	theirs[0] ^= 1;
	is_same = is_same && !luks_is_key(&luks, theirs);
	luks_free(&luks);
	disk_close(&file);
	return is_same;
}

static const struct theirs_case {
	const char *options;
} theirs_cases[] = {
	{ "--hash sha1" },
	{ "--hash sha256" },
	{ "--hash sha512" },
	{ "--hash sha1 --key-size 256" },
	{ "--hash sha256 --cipher aes-cbc-essiv:sha256 --key-size 256" },
	{ "--hash sha512 --cipher aes-cbc-essiv:sha256 --key-size 128" },
	{ "--hash SHA256" },
	{ "--key-slot 6" },
	{ "--key-slot 7 --offset 8192" },
};

static void test_theirs(void)
{
	for (size_t i = 0; i < sizeof(theirs_cases) / sizeof(*theirs_cases);
	     i++) {
		const char *options = theirs_cases[i].options;

		make_image(DISK_SIZE);
		ok(run("cryptsetup luksFormat -q --type luks1 "
		       "--pbkdf-force-iterations 1000 %s disk one",
		       options) == 0,
		   "cryptsetup makes LUKS1 %s", options);
		ok(open_with("first", LUKS_ANY_SLOT, NULL) == EXIT_DONE &&
			   key_is_cryptsetups() && caught(""),
		   "and it is opened");
		ok(open_with("other", LUKS_ANY_SLOT, NULL) == EXIT_WRONG_KEY &&
			   is_zero(key, LUKS_KEY_MAX),
		   "not with a wrong passphrase");
	}
}

static const struct ours_case {
	const char *hash;
	const char *cipher;
	uint32_t key_size;
} ours_cases[] = {
	{ "sha1", "aes-xts-plain64", 64 },
	{ "sha256", "aes-xts-plain64", 64 },
	{ "sha512", "aes-xts-plain64", 32 },
	{ "sha256", "aes-cbc-essiv:sha256", 32 },
};

static struct luks_new new_header(const struct ours_case *c)
{
	return (struct luks_new){
		.version = 1,
		.cipher = c->cipher,
		.hash = c->hash,
		.key_size = c->key_size,
		.sector_size = 512,
		.cost = { .kdf = LUKS_PBKDF2, .iterations = 1000 },
	};
}

static int format(const struct luks_new *new)
{
	struct disk_file file;
	int code = disk_open(&file, image, DISK_REPLACE);

	if (code == EXIT_DONE)
		code = luks_format(&file.disk, file.disk.size, new, "first", 5,
				   key);
	disk_close(&file);
	return code;
}

static void test_ours(void)
{
	for (size_t i = 0; i < sizeof(ours_cases) / sizeof(*ours_cases); i++) {
		const struct ours_case *c = &ours_cases[i];
		struct luks_new new = new_header(c);

		make_image(DISK_SIZE);
		memcpy(new.cost.hash, "sha256", 7);
		ok(format(&new) == EXIT_DONE && caught(""),
		   "LUKS1 is made: %s %s %u", c->cipher, c->hash, c->key_size);
		ok(run("cryptsetup isLuks --type luks1 disk && cryptsetup open "
		       "--test-passphrase --key-file one disk") == 0 &&
			   key_is_cryptsetups(),
		   "and cryptsetup opens it");
		ok(run("cryptsetup open --test-passphrase --key-file two disk "
		       "2>/dev/null") == 2,
		   "not with a wrong passphrase");
		ok(open_with("first", 0, NULL) == EXIT_DONE, "nor do we fail");
	}
}

/* What is not possible is refused before anything is written. */
static void test_format_refusals(void)
{
	const struct ours_case c = { "sha256", "aes-xts-plain64", 64 };
	struct luks_new new = new_header(&c);

	make_image(2 << 20);
	ok(format(&new) == EXIT_FAILED && caught("is too small"),
	   "format: too small a disk");
	make_image(DISK_SIZE);
	new.sector_size = 4096;
	ok(format(&new) == EXIT_USAGE && caught("sectors of 512"),
	   "format: LUKS1 has no large sectors");
	new = new_header(&c);
	new.cost.kdf = LUKS_ARGON2ID;
	ok(format(&new) == EXIT_USAGE && caught("is pbkdf2"),
	   "format: LUKS1 has no Argon2");
	new = new_header(&c);
	new.cost.iterations = 999;
	ok(format(&new) == EXIT_USAGE && caught("999 iterations"),
	   "format: too few iterations");
	new = new_header(&c);
	new.cipher = "aes-ecb";
	ok(format(&new) == EXIT_USAGE && caught("cipher"),
	   "format: unknown cipher");
	new = new_header(&c);
	new.hash = "md5";
	ok(format(&new) == EXIT_USAGE && caught("hash"),
	   "format: unknown hash");
	ok(open_with("first", 0, NULL) == EXIT_FAILED &&
		   caught("has no LUKS header"),
	   "format: nothing was written");
}

/* Nothing of an older header is left, nor of its key material. */
static void test_format_wipes(void)
{
	const struct ours_case c = { "sha256", "aes-xts-plain64", 64 };
	struct luks_new new = new_header(&c);

	make_image(DISK_SIZE);
	run("cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 "
	    "--pbkdf-force-iterations 1000 --luks2-metadata-size 4m disk one; "
	    "dd if=disk of=old bs=4k skip=2048 count=10 status=none");
	ok(format(&new) == EXIT_DONE &&
		   run("dd if=disk of=new bs=4k skip=2048 count=10 "
		       "status=none; cmp -s old new") != 0,
	   "format: old key material is overwritten");
	ok(run("! LC_ALL=C grep -qP 'SKUL\\xba\\xbe' disk") == 0,
	   "format: no old second copy is left");
}

typedef int change_fn(struct luks *luks, struct disk *disk, int slot,
		      const struct luks_cost *cost, const char *pass);

static int add(struct luks *luks, struct disk *disk, int slot,
	       const struct luks_cost *cost, const char *pass)
{
	return luks_add_slot(luks, disk, slot, key, cost, pass, strlen(pass));
}

static int change(struct luks *luks, struct disk *disk, int slot,
		  const struct luks_cost *cost, const char *pass)
{
	return luks_change_slot(luks, disk, slot, key, cost, pass,
				strlen(pass));
}

static int drop(struct luks *luks, struct disk *disk, int slot,
		const struct luks_cost *cost, const char *pass)
{
	(void)cost;
	(void)pass;
	return luks_remove_slot(luks, disk, slot);
}

static int erase(struct luks *luks, struct disk *disk, int slot,
		 const struct luks_cost *cost, const char *pass)
{
	(void)slot;
	(void)cost;
	(void)pass;
	return luks_erase(luks, disk);
}

/* Opens with the passphrase @old and changes something. */
static int with(const char *old, change_fn *fn, int slot, const char *pass)
{
	const struct luks_cost cost = { LUKS_PBKDF2, "sha256", 1000, 0, 0 };
	struct disk_file file;
	struct luks luks;
	int code = disk_open(&file, image, DISK_CHANGE);

	if (code != EXIT_DONE)
		return code;
	code = luks_read(&file.disk, file.disk.size, &luks);
	if (code == EXIT_DONE)
		code = luks_open_key(&luks, &file.disk, LUKS_ANY_SLOT, old,
				     strlen(old), key, NULL);
	if (code == EXIT_DONE)
		code = fn(&luks, &file.disk, slot, &cost, pass);
	luks_free(&luks);
	disk_close(&file);
	return code;
}

static bool opens(const char *pass, int slot)
{
	int found = -1;

	return open_with(pass, LUKS_ANY_SLOT, &found) == EXIT_DONE &&
	       found == slot;
}

static void test_slots(void)
{
	make_image(DISK_SIZE);
	run("cryptsetup luksFormat -q --type luks1 "
	    "--pbkdf-force-iterations 1000 disk one");
	ok(with("first", add, LUKS_ANY_SLOT, "second") == EXIT_DONE &&
		   opens("second", 1) && opens("first", 0),
	   "add: the first free slot");
	ok(run("cryptsetup luksAddKey -q --pbkdf-force-iterations 1000 "
	       "--key-file two disk three") == 0 &&
		   opens("third", 2),
	   "add: cryptsetup adds to it");
	ok(with("third", add, 1, "fourth") == EXIT_BUSY &&
		   caught("key slot 1 is in use"),
	   "add: a slot that is used");
	ok(with("third", add, 8, "fourth") == EXIT_USAGE &&
		   caught("no key slot 8"),
	   "add: a slot that there is not");
	ok(with("third", drop, 1, NULL) == EXIT_DONE &&
		   open_with("second", LUKS_ANY_SLOT, NULL) == EXIT_WRONG_KEY &&
		   run("cryptsetup open --test-passphrase --key-file two disk "
		       "2>/dev/null") == 2,
	   "remove: the passphrase opens no more");
	ok(with("third", drop, 1, NULL) == EXIT_FAILED &&
		   caught("key slot 1 is not in use"),
	   "remove: a slot that is not used");
	ok(run("cryptsetup luksKillSlot -q --key-file one disk 2") == 0 &&
		   open_with("third", LUKS_ANY_SLOT, NULL) == EXIT_WRONG_KEY &&
		   opens("first", 0),
	   "remove: cryptsetup removes one");
}

static void test_change(void)
{
	ok(with("first", change, 0, "second") == EXIT_DONE &&
		   open_with("first", LUKS_ANY_SLOT, NULL) == EXIT_WRONG_KEY &&
		   opens("second", 1),
	   "change: by way of a free slot");
	ok(run("cryptsetup luksChangeKey -q --pbkdf-force-iterations 1000 "
	       "--key-file two disk three") == 0 &&
		   open_with("third", LUKS_ANY_SLOT, NULL) == EXIT_DONE,
	   "change: cryptsetup does so too");
	for (int i = 0; i < 8; i++) {
		if (with("third", add, i, "third") == EXIT_DONE)
			continue;
		tap_caught(messages, sizeof(messages));
	}
	ok(with("third", change, 6, "second") == EXIT_BUSY &&
		   caught("all 8 key slots are in use"),
	   "change: refused with all slots in use");
	ok(with("third", add, LUKS_ANY_SLOT, "second") == EXIT_BUSY &&
		   caught("all 8 key slots are in use"),
	   "add: refused with all slots in use");
	ok(with("third", drop, 6, NULL) == EXIT_DONE &&
		   with("third", change, 7, "second") == EXIT_DONE &&
		   opens("second", 6),
	   "change: into the slot that is in both sectors");
	ok(run("cryptsetup open --test-passphrase --key-slot 6 --key-file two "
	       "disk") == 0,
	   "change: cryptsetup opens that");
}

static void test_named_slots(void)
{
	ok(open_with("second", 5, NULL) == EXIT_WRONG_KEY && caught(""),
	   "open: not with another slot's passphrase");
	ok(open_with("second", 7, NULL) == EXIT_FAILED &&
		   caught("key slot 7 is not in use"),
	   "open: a slot that is not used");
	ok(open_with("second", 99, NULL) == EXIT_FAILED &&
		   caught("no key slot 99"),
	   "open: a slot that there is not");
}

static void test_image_size(void)
{
	struct disk_file file;
	struct luks luks;
	struct stat st;
	char path[128];

	snprintf(path, sizeof(path), "%s/backup", folder);
	run("rm -f backup; cryptsetup luksHeaderBackup disk "
	    "--header-backup-file backup");
	if (disk_open(&file, image, DISK_READ) != EXIT_DONE)
		return;
	ok(luks_read(&file.disk, 0, &luks) == EXIT_DONE &&
		   stat(path, &st) == 0 &&
		   (uint64_t)st.st_size == luks_image_size(&luks),
	   "image: as large as cryptsetup's");
	luks_free(&luks);
	disk_close(&file);
}

static void test_erase(void)
{
	ok(with("second", erase, 0, NULL) == EXIT_DONE &&
		   open_with("second", LUKS_ANY_SLOT, NULL) == EXIT_FAILED &&
		   caught("has no key slot"),
	   "erase: nothing opens it");
	ok(run("cryptsetup luksDump disk | grep -c DISABLED | grep -qx 8") == 0,
	   "erase: cryptsetup sees eight unused slots");
}

/* Slots 0 and 6 are used, the others are not. */
static const struct field_case {
	unsigned int off;
	const char *bytes;   /* in hexadecimal */
	const char *message; /* of luks_read() */
	int repaired;	     /* of luks_check() */
} field_cases[] = {
	{ 0, "4d", "has no LUKS header", 8 },
	{ 6, "0003", "unknown version 3", 8 },
	{ 8, "616573ff", "cipher is no text", 4 },
	{ 8, "666f6f00", "not supported: foo-xts-plain64", 4 },
	{ 8, "00", "not supported: -xts-plain64", 4 },
	{ 40, "65636200", "not supported: aes-ecb", 4 },
	{ 72, "6d643500", "hash is not supported: md5", 4 },
	{ 72, "00", "hash is not supported: ", 4 },
	{ 104, "00000fc3", "overlaps the data", 4 },
	{ 104, "7fffffff", "after the disk", 4 },
	{ 108, "00000000", "key of 0 bits", 4 },
	{ 108, "0000003f", "key of 504 bits", 4 },
	{ 108, "ffffffff", "key of 34359738360 bits", 4 },
	{ 164, "00000000", "digest asks for 0 iterations", 4 },
	{ 164, "ffffffff", "digest asks for 4294967295", 4 },
	{ 168, "07", "UUID is no text", 4 },
	{ 208, "00ac71f2", "key slot 0: is neither", 4 },
	{ 212, "000003e7", "key slot 0: asks for 999 iterations", 4 },
	{ 248, "00000001", "key slot 0: its area overlaps the header", 1 },
	{ 248, "00000010", "key slots 0 and 1 overlap", 1 },
	{ 248, "000fffff", "key slot 0: its area overlaps the data", 1 },
	{ 252, "00000fa1", "key slot 0: has 4001 stripes", 1 },
	{ 256, "0000dead", NULL, 0 },
	{ 256, "0000deae", "key slot 1: is neither", 1 },
	{ 256, "0000deae00000001", "key slot 1: is neither", 4 },
	{ 296, "00000000", "key slot 1: its area overlaps the header", 1 },
	{ 300, "00000000", "key slot 1: has 0 stripes", 1 },
	{ 496, "00ac71f4", "key slot 6: is neither", 4 },
	{ 536, "00000000", "key slot 6: its area overlaps the header", 1 },
	{ 540, "ffffffff", "key slot 6: has 4294967295 stripes", 1 },
	{ 588, "00000fa1", "key slot 7: has 4001 stripes", 1 },
};

static bool patch(const struct field_case *c)
{
	int fd = open(image, O_RDWR | O_CLOEXEC);
	unsigned char bytes[16];
	bool is_done;

	unhex(c->bytes, bytes);
	is_done = fd >= 0 &&
		  pwrite(fd, bytes, strlen(c->bytes) / 2, (off_t)c->off) > 0;
	close(fd);
	return is_done;
}

static int check(bool should_repair)
{
	struct disk_file file;
	int code = disk_open(&file, image, DISK_CHANGE);

	if (code == EXIT_DONE)
		code = luks_check(&file.disk, file.disk.size, should_repair);
	disk_close(&file);
	fflush(stdout);
	return code;
}

/* What luks_check() says goes to stdout: made a comment of the TAP. */
static int quiet_check(bool should_repair)
{
	int out = dup(STDOUT_FILENO), code;

	fflush(stdout);
	if (freopen("/dev/null", "w", stdout) == NULL)
		exit(1);
	code = check(should_repair);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	close(out);
	return code;
}

static void test_fields(void)
{
	make_image(DISK_SIZE);
	run("cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations "
	    "1000 disk one && cryptsetup luksAddKey -q --key-slot 6 "
	    "--pbkdf-force-iterations 1000 --key-file one disk two && "
	    "cp disk good");
	for (size_t i = 0; i < sizeof(field_cases) / sizeof(*field_cases);
	     i++) {
		const struct field_case *c = &field_cases[i];
		int found = c->message == NULL ? 0 : c->repaired == 8 ? 8 : 4;

		run("cp good disk");
		patch(c);
		ok(open_with("first", 0, NULL) == (c->message != NULL ?
							   EXIT_FAILED :
							   EXIT_DONE) &&
			   caught(c->message != NULL ? c->message : ""),
		   "field at %u: %s", c->off, c->bytes);
		ok(quiet_check(false) == found &&
			   quiet_check(true) == c->repaired &&
			   (c->repaired > 1 || run("cmp disk good") == 0),
		   "check and repair: %d", c->repaired);
		tap_caught(messages, sizeof(messages));
	}
	run("cp good disk; truncate -s 1m disk");
	ok(open_with("first", 0, NULL) == EXIT_FAILED &&
		   caught("after the disk"),
	   "a disk that was cut");
	run("truncate -s 600 disk");
	ok(open_with("first", 0, NULL) == EXIT_FAILED && caught("too small"),
	   "a header that was cut");
	run("truncate -s 3 disk");
	ok(open_with("first", 0, NULL) == EXIT_FAILED &&
		   caught("has no LUKS header"),
	   "nothing to speak of");
}

static void write_passphrase(const char *name, const char *pass)
{
	run("printf %%s %s >%s", pass, name);
}

static void test_with_cryptsetup(void)
{
	has_cryptsetup = run("cryptsetup --version >/dev/null 2>&1") == 0;
	if (!has_cryptsetup) {
		ok(true, "# SKIP no cryptsetup");
		return;
	}
	write_passphrase("one", "first");
	write_passphrase("two", "second");
	write_passphrase("three", "third");
	test_theirs();
	test_ours();
	test_format_wipes();
	test_slots();
	test_change();
	test_named_slots();
	test_image_size();
	test_erase();
	test_fields();
}

int main(void)
{
	if (secret_init() != 0 || mkdtemp(folder) == NULL) {
		perror("secret_init or mkdtemp");
		return 1;
	}
	snprintf(image, sizeof(image), "%s/disk", folder);
	key = secret_alloc(LUKS_KEY_MAX);
	tap_catch();
	test_kdf();
	test_bounds();
	test_benchmark();
	test_af();
	test_secret_sizes();
	test_secret_fork();
	test_disk_refusals();
	test_disk_bytes();
	test_disk_locks();
	test_disk_busy();
	test_format_refusals();
	test_with_cryptsetup();
	secret_free(key);
	run("rm -rf %s", folder);
	return tap_done();
}
