/* SPDX-License-Identifier: MIT */
/*
 * test-drivers - the drivers' callbacks, run without a kernel: what they
 * store against a model, edges, and what they refuse.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <openssl/crypto.h>

#include "callbacks.h"
#include "drivers/encrypt/secret.h"

#define SIZE_TEXT "1050112" /* 1 MiB, 3 blocks: the last page is not whole */
#define SIZE 1050112U

extern const struct driver driver_ram, driver_zero, driver_loop, driver_encrypt;

/* --- ram and zero -------------------------------------------------------- */

static bool has_ops(const struct dev *dev, unsigned int wanted)
{
	return dev->attrs.ops == wanted;
}

/* Zero [512, 512 + len) within written data, and look at both edges. */
static void check_edges(struct dev *dev, const char *what, uint32_t len)
{
	unsigned char *data = malloc(len + 1024);

	fill(data, len + 1024);
	memcpy(buffer, data, len + 1024);
	run(dev, KBDUS_OP_WRITE, 0, len + 1024, buffer);
	run(dev, KBDUS_OP_DISCARD, 512, len, buffer);
	memset(data + 512, 0, len);
	ok(reads_as(dev, 0, len + 1024, data), "%s: discard of %u at 512", what,
	   len);
	free(data);
}

static bool is_resident(struct dev *dev, uint64_t off)
{
	struct request request = {
		.io = { .off = off, .len = 4096, .dev = dev },
	};
	unsigned char state = 0;

	serve(dev, KBDUS_OP_READ, &request.io);
	return mincore(request.addr, 4096, &state) == 0 && (state & 1);
}

static void check_ram(struct dev *dev, const char *what)
{
	static const uint32_t lengths[] = {
		512, 3584, 4096, 7680, 8192, 65536
	};

	ok(dev->attrs.size == SIZE, "%s: size", what);
	ok(reads_as(dev, 0, MAX_IO, NULL), "%s: is zero at first", what);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		check_edges(dev, what, lengths[i]);
	run_zeroes(dev, 0, SIZE - 512, false);
	run_zeroes(dev, SIZE - 512, 512, true);
	check_model(dev, what);
	check_threads(dev, what);
}

static void test_ram(void)
{
	struct dev dev;

	ok(OPEN(&dev, driver_ram, 0, "--size", SIZE_TEXT) == EXIT_DONE,
	   "ram: opens");
	ok(is_resident(&dev, 4096), "ram: has its memory");
	ok(has_ops(&dev, 1U << KBDUS_OP_READ | 1U << KBDUS_OP_WRITE |
				 1U << KBDUS_OP_WRITE_ZEROES |
				 1U << KBDUS_OP_DISCARD),
	   "ram: operations");
	check_ram(&dev, "ram");
	run(&dev, KBDUS_OP_DISCARD, 0, 65536, buffer);
	ok(is_resident(&dev, 4096), "ram: discard keeps memory");
	close_dev(&dev, "ram");
}

static void test_ram_lazy(void)
{
	struct dev dev;

	ok(OPEN(&dev, driver_ram, 0, "--lazy", "--size", SIZE_TEXT) ==
		   EXIT_DONE,
	   "ram --lazy: opens");
	ok(!is_resident(&dev, 4096), "ram --lazy: takes no memory");
	check_ram(&dev, "ram --lazy");
	memset(buffer, 1, 65536);
	run(&dev, KBDUS_OP_WRITE, 0, 65536, buffer);
	ok(is_resident(&dev, 4096), "ram --lazy: a write takes memory");
	run(&dev, KBDUS_OP_DISCARD, 0, 65536, buffer);
	ok(!is_resident(&dev, 4096), "ram --lazy: discard gives it back");
	run(&dev, KBDUS_OP_WRITE, 0, 65536, buffer);
	run_zeroes(&dev, 0, 65536, false);
	ok(is_resident(&dev, 4096), "ram --lazy: zeroes without unmap keep it");
	run_zeroes(&dev, 0, 65536, true);
	ok(!is_resident(&dev, 4096), "ram --lazy: zeroes with unmap do not");
	close_dev(&dev, "ram --lazy");
}

static void test_ram_locked(void)
{
	struct dev dev;

	if (mlockall(MCL_FUTURE | MCL_ONFAULT) != 0) {
		ok(true, "ram --lazy, locked # SKIP may not lock memory");
		return;
	}
	OPEN(&dev, driver_ram, 0, "--lazy", "--size", SIZE_TEXT);
	ok(!is_resident(&dev, 0), "ram --lazy, locked: takes no memory");
	run(&dev, KBDUS_OP_WRITE, 0, 4096, buffer);
	run(&dev, KBDUS_OP_DISCARD, 0, 4096, buffer);
	ok(!is_resident(&dev, 0), "ram --lazy, locked: discard gives it back");
	close_dev(&dev, "ram --lazy, locked");
	munlockall();
}

static void test_ram_refusals(void)
{
	struct dev dev;

	ok(OPEN(&dev, driver_ram, 0, "--size", "1023T") == EXIT_FAILED,
	   "ram: more than there is");
	ok(strstr(tap_caught(caught, sizeof(caught)), "available") != NULL,
	   "ram: says how much there is");
	ok(OPEN(&dev, driver_ram, 0, "--size", "1000") == EXIT_USAGE,
	   "ram: a size of no whole block");
	tap_caught(caught, sizeof(caught));
}

static void test_zero(void)
{
	struct dev dev;

	ok(OPEN(&dev, driver_zero, 0, "--size", "1T") == EXIT_DONE,
	   "zero: opens");
	fill(buffer, 4096);
	ok(run(&dev, KBDUS_OP_WRITE, 0, 4096, buffer) == 0, "zero: writes");
	ok(reads_as(&dev, 0, 4096, NULL), "zero: reads zeroes");
	close_dev(&dev, "zero");
	OPEN(&dev, driver_zero, KBDUS_DEVICE_READ_ONLY, "--size", "1T");
	ok(has_ops(&dev, 1U << KBDUS_OP_READ), "zero -r: only reads");
	close_dev(&dev, "zero -r");
}

/* --- loop ---------------------------------------------------------------- */

static off_t file_size(void)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : -1;
}

static void test_loop_data(const char *what, const char *option)
{
	struct dev dev;
	int code;

	make_file(SIZE / 4096 * 4096);
	code = OPEN(&dev, driver_loop, 0, path, option);
	if (code != EXIT_DONE) {
		ok(option != NULL, "%s # SKIP not on this file system: %s",
		   what, tap_caught(caught, sizeof(caught)));
		return;
	}
	check_model(&dev, what);
	check_threads(&dev, what);
	ok(run(&dev, KBDUS_OP_READ, 0, 4096, buffer) == 0 &&
		   strcmp(dev.attrs.backing, path) == 0,
	   "%s: backing is told", what);
	ok(!(dev.attrs.ops & 1U << KBDUS_OP_SECURE_ERASE),
	   "%s: no secure erase", what);
	close_dev(&dev, what);
}

/* The bytes around the device must stay as they are. */
static void test_loop_window(void)
{
	unsigned char guard[1536], now[1536];
	struct dev dev;
	int fd;

	make_file(SIZE);
	memset(guard, 0xa5, sizeof(guard));
	fd = open(path, O_RDWR | O_CLOEXEC);
	ok(pwrite(fd, guard, 1536, 0) == 1536 &&
		   pwrite(fd, guard, 1536, 1536 + 300032) == 1536,
	   "loop, window: guards");
	ok(OPEN(&dev, driver_loop, 0, "--offset", "1536", "--sizelimit",
		"300050", path) == EXIT_DONE,
	   "loop, window: opens");
	ok(dev.attrs.size == 300032, "loop, window: size");
	tap_caught(caught, sizeof(caught));
	ok(strstr(caught, "last 18 bytes") != NULL, "loop, window: warns");
	check_model(&dev, "loop, window");
	close_dev(&dev, "loop, window");
	ok(pread(fd, now, 1536, 0) == 1536 && memcmp(now, guard, 1536) == 0,
	   "loop, window: nothing before it is touched");
	ok(pread(fd, now, 1536, 1536 + 300032) == 1536 &&
		   memcmp(now, guard, 1536) == 0,
	   "loop, window: nothing behind it is touched");
	close(fd);
}

static void test_loop_shrunk(void)
{
	struct dev dev;

	make_file(1 << 20);
	OPEN(&dev, driver_loop, 0, path);
	ok(truncate(path, 6144) == 0, "loop, cut: cuts");
	ok(run(&dev, KBDUS_OP_READ, 0, 4096, buffer) == 0, "loop, cut: before");
	ok(run(&dev, KBDUS_OP_READ, 4096, 4096, buffer) == EIO,
	   "loop, cut: read across the end");
	ok(run(&dev, KBDUS_OP_READ, 8192, 4096, buffer) == EIO,
	   "loop, cut: read behind it");
	ok(run(&dev, KBDUS_OP_WRITE, 4096, 4096, buffer) == EIO,
	   "loop, cut: write across the end");
	ok(run(&dev, KBDUS_OP_FUA_WRITE, 8192, 4096, buffer) == EIO,
	   "loop, cut: write behind it");
	ok(run_zeroes(&dev, 8192, 4096, true) == EIO, "loop, cut: zeroes");
	ok(run(&dev, KBDUS_OP_DISCARD, 8192, 4096, buffer) == EIO,
	   "loop, cut: discard");
	ok(file_size() == 6144, "loop, cut: did not grow");
	close_dev(&dev, "loop, cut");
}

static void test_loop_lock(void)
{
	struct dev first, second;
	char wanted[32];
	int status, fds[2];
	pid_t pid;

	make_file(1 << 20);
	if (pipe(fds) != 0 || (pid = fork()) == 0) {
		ok(OPEN(&first, driver_loop, 0, path) == EXIT_DONE,
		   "loop, lock: taken");
		fflush(stdout);
		_exit(write(fds[1], "", 1) == 1 && pause() ? 1 : 0);
	}
	tap_count++;
	ok(read(fds[0], wanted, 1) == 1, "loop, lock: the other has it");
	ok(OPEN(&second, driver_loop, 0, path) == EXIT_BUSY,
	   "loop, lock: refused");
	snprintf(wanted, sizeof(wanted), "(pid %d)", (int)pid);
	tap_caught(caught, sizeof(caught));
	ok(strstr(caught, wanted) != NULL, "loop, lock: names %s", wanted);
	ok(OPEN(&second, driver_loop, KBDUS_DEVICE_READ_ONLY, path) ==
		   EXIT_BUSY,
	   "loop, lock: refused to a reader");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	tap_caught(caught, sizeof(caught));
}

static void test_loop_readers(void)
{
	struct dev first, second, third;

	ok(OPEN(&first, driver_loop, KBDUS_DEVICE_READ_ONLY, path) ==
			   EXIT_DONE &&
		   OPEN(&second, driver_loop, KBDUS_DEVICE_READ_ONLY, path) ==
			   EXIT_DONE,
	   "loop -r: two readers");
	ok(has_ops(&first, 1U << KBDUS_OP_READ), "loop -r: only reads");
	ok(OPEN(&third, driver_loop, 0, path) == EXIT_BUSY,
	   "loop -r: no writer beside them");
	close_dev(&first, "loop -r");
	close_dev(&second, "loop -r");
	tap_caught(caught, sizeof(caught));
}

static void test_loop_create(void)
{
	struct dev dev;

	unlink(path);
	ok(OPEN(&dev, driver_loop, 0, "--create", "--size", "1M", path) ==
		   EXIT_DONE,
	   "loop --create: makes it");
	ok(file_size() == 1 << 20, "loop --create: of that size");
	close_dev(&dev, "loop --create");
	ok(OPEN(&dev, driver_loop, 0, "--create", "--size", "1M", path) ==
		   EXIT_BUSY,
	   "loop --create: refuses to replace it");
	ok(OPEN(&dev, driver_loop, 0, "--create", path) == EXIT_USAGE,
	   "loop --create: wants --size");
	ok(OPEN(&dev, driver_loop, 0, "--size", "1M", path) == EXIT_USAGE,
	   "loop --size: wants --create");
	unlink(path);
	ok(OPEN(&dev, driver_loop, 0, "--create", "--size", "1M", "--offset",
		"2M", path) == EXIT_FAILED,
	   "loop --create: fails later");
	ok(file_size() == -1, "loop --create: and leaves nothing");
	tap_caught(caught, sizeof(caught));
}

static void refuses(const char *operand, const char *reason)
{
	struct dev dev;

	ok(OPEN(&dev, driver_loop, 0, operand) != EXIT_DONE, "loop: refuses %s",
	   operand);
	tap_caught(caught, sizeof(caught));
	ok(strstr(caught, reason) != NULL, "loop: since it %s", reason);
}

static void test_loop_refusals(void)
{
	struct dev dev;

	refuses(dir, "is a directory");
	refuses("/dev/null", "is a character device");
	refuses("/nonexistent/x", "cannot open");
	make_file(0);
	refuses(path, "is empty");
	make_file(100);
	refuses(path, "is smaller than one block");
	make_file(4096);
	ok(OPEN(&dev, driver_loop, 0, "--offset", "4096", path) == EXIT_FAILED,
	   "loop: refuses an offset at the end");
	unlink(path);
	mkfifo(path, 0600);
	refuses(path, "is a named pipe");
	unlink(path);
}

/* --- encrypt -----------------------------------------------------------------
 */

/* How often libcrypto took memory. */
static int n_allocations;
static CRYPTO_malloc_fn real_malloc;
static CRYPTO_realloc_fn real_realloc;
static CRYPTO_free_fn real_free;

static void *count_malloc(size_t size, const char *file, int line)
{
	n_allocations++;
	return real_malloc(size, file, line);
}

static void *count_realloc(void *p, size_t size, const char *file, int line)
{
	n_allocations++;
	return real_realloc(p, size, file, line);
}

static void count_allocations(void)
{
	secret_init();
	CRYPTO_get_mem_functions(&real_malloc, &real_realloc, &real_free);
	ok(CRYPTO_set_mem_functions(count_malloc, count_realloc, real_free) ==
		   1,
	   "encrypt: allocations are counted");
}

static void make_key(char *key_path, size_t size)
{
	FILE *file;

	snprintf(key_path, size, "%s.key", path);
	file = fopen(key_path, "we");
	for (int i = 0; file != NULL && i < 64; i++)
		fputc('0' + i, file);
	if (file == NULL || fclose(file) != 0)
		perror(key_path);
}

/* The data path takes no memory: neither of libcrypto's nor of libc's. */
static void check_no_allocation(struct dev *dev, const char *what)
{
	int before;

	run(dev, KBDUS_OP_WRITE, 0, MAX_IO, buffer);
	before = n_allocations;
	for (int i = 0; i < 100; i++) {
		run(dev, KBDUS_OP_WRITE, 4096, 65536, buffer);
		run(dev, KBDUS_OP_READ, 0, MAX_IO, buffer);
		run_zeroes(dev, 8192, 65536, true);
	}
	ok(before > 0 && n_allocations == before,
	   "%s: 300 requests take no memory (%d)", what,
	   n_allocations - before);
}

/* What is below is not what is above, nor the same for the same. */
static void check_ciphertext(struct dev *dev, const char *what)
{
	static unsigned char below[16384];
	int fd = open(path, O_RDONLY | O_CLOEXEC), same = 0;

	run_zeroes(dev, 0, sizeof(below), true);
	ok(pread(fd, below, sizeof(below), 0) == sizeof(below),
	   "%s: can be read below", what);
	for (size_t i = 0; i < sizeof(below); i++)
		same += below[i] == 0;
	ok(same < 256, "%s: zeroes are no zeroes below (%d)", what, same);
	ok(memcmp(below, below + 4096, 4096) != 0, "%s: sectors differ below",
	   what);
	close(fd);
}

static void test_encrypt_data(const char *what, const char *cipher,
			      const char *key_size, const char *sector_size)
{
	char key[128];
	struct dev dev;
	int code;

	make_file(SIZE / 4096 * 4096);
	make_key(key, sizeof(key));
	code = OPEN(&dev, driver_encrypt, 0, path, "--type=plain", "--key-file",
		    key, "--cipher", cipher, "--key-size", key_size,
		    "--sector-size", sector_size);
	ok(code == EXIT_DONE, "%s: opens", what);
	if (code != EXIT_DONE)
		return;
	ok(!(dev.attrs.ops & 1U << KBDUS_OP_DISCARD),
	   "%s: no discard unless allowed", what);
	run_zeroes(&dev, 0, SIZE / 4096 * 4096, false);
	check_model(&dev, what);
	check_threads(&dev, what);
	check_no_allocation(&dev, what);
	check_ciphertext(&dev, what);
	close_dev(&dev, what);
	unlink(key);
}

static void encrypt_refuses(const char *message, const char *const *words)
{
	struct dev dev;
	int code = open_words(&dev, &driver_encrypt, 0, words);
	const char *text = tap_caught(caught, sizeof(caught));

	ok(code == EXIT_USAGE && strstr(text, message) != NULL,
	   "encrypt: refuses: %s", message);
	if (code == EXIT_DONE)
		close_dev(&dev, message);
}

#define REFUSES(message, ...)    \
	encrypt_refuses(message, \
			(const char *const[]){ path, __VA_ARGS__, NULL })

static void test_encrypt_refusals(void)
{
	make_file(SIZE / 4096 * 4096);
	REFUSES("needs --cipher and --key-size", "--type=plain");
	REFUSES("a LUKS volume tells it", "--cipher=aes-xts-plain64");
	REFUSES("a LUKS volume tells it", "--skip=1M");
	REFUSES("a plain volume has none", "--type=plain", "--key-slot=1");
	REFUSES("'512' is not understood", "--type=plain", "--key-size=512",
		"--cipher=aes-xts-plain64");
	REFUSES("is not known", "--type=plain", "--key-size=192bit",
		"--cipher=aes-xts-plain64");
	REFUSES("is not known", "--type=plain", "--key-size=512bit",
		"--cipher=aes-ecb");
	REFUSES("needs --hash", "--type=plain", "--key-size=512bit",
		"--cipher=aes-xts-plain64");
	REFUSES("'8' is not understood", "--type=plain", "--key-size=512bit",
		"--cipher=aes-xts-plain64", "--hash=sha256", "--offset=8");
	REFUSES("no multiple of 512", "--type=plain", "--key-size=512bit",
		"--cipher=aes-xts-plain64", "--hash=sha256", "--skip=1KB");
}

int main(void)
{
	if (!drivers_begin())
		return 1;
	test_ram();
	test_ram_lazy();
	test_ram_locked();
	test_ram_refusals();
	test_zero();
	test_loop_data("loop", NULL);
	test_loop_data("loop --direct", "--direct");
	test_loop_window();
	test_loop_shrunk();
	test_loop_lock();
	test_loop_readers();
	test_loop_create();
	test_loop_refusals();
	count_allocations();
	test_encrypt_data("encrypt", "aes-xts-plain64", "512bit", "4096");
	test_encrypt_data("encrypt 128", "aes-xts-plain64", "256bit", "512");
	test_encrypt_data("encrypt essiv", "aes-cbc-essiv:sha256", "32B",
			  "512");
	test_encrypt_refusals();
	return drivers_done();
}
