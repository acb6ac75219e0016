/* SPDX-License-Identifier: MIT */
/*
 * test-drivers-compress - the callbacks of compress, run without a kernel:
 * what they store, and how one driver hands a volume over to the next.
 */
#include "callbacks.h"
#include "drivers/compress/engine.h"
#include "drivers/compress/file.h"

extern const struct driver driver_compress;

/* --- compress ------------------------------------------------------------ */

static void make_volume(off_t size)
{
	struct format_options options = { .level = 1, .nonce = 1 };
	const char *reason = NULL;
	struct super super;
	struct file file;

	make_file(size);
	ok(file_open(&file, path, false) == EXIT_DONE &&
		   engine_format(&file.medium, &options, &super, &reason) == 0,
	   "compress: formats");
	file_close(&file);
}

static void test_compress(void)
{
	struct dev dev;

	make_file(1 << 20);
	ok(OPEN(&dev, driver_compress, 0, path) == EXIT_FAILED,
	   "compress: refuses what is no volume");
	tap_caught(caught, sizeof(caught));
	ok(strstr(caught, "is no compressed volume") != NULL &&
		   strstr(caught, "bdus compress format") != NULL,
	   "compress: says what it lacks");
	make_volume(16 << 20);
	ok(OPEN(&dev, driver_compress, 0, path) == EXIT_DONE,
	   "compress: opens");
	check_model(&dev, "compress");
	check_threads(&dev, "compress");
	close_dev(&dev, "compress");
	ok(OPEN(&dev, driver_compress, KBDUS_DEVICE_READ_ONLY, path) ==
			   EXIT_DONE &&
		   run(&dev, KBDUS_OP_READ, 4096, 4096, buffer) == 0 &&
		   buffer[0] == 1,
	   "compress -r: opens again");
	close_dev(&dev, "compress -r");
	unlink(path);
}

/* --- compress, handed over --------------------------------------------------
 */

static unsigned char *volume_read(size_t size)
{
	unsigned char *bytes = malloc(size);
	int fd = open(path, O_RDONLY);

	if (pread(fd, bytes, size, 0) != (ssize_t)size)
		abort();
	close(fd);
	return bytes;
}

static bool volume_is(const unsigned char *bytes, size_t size)
{
	unsigned char *now = volume_read(size);
	bool is_same = memcmp(bytes, now, size) == 0;

	free(now);
	return is_same;
}

static void volume_write(const unsigned char *bytes, size_t size, off_t off)
{
	int fd = open(path, O_WRONLY);

	if (pwrite(fd, bytes, size, off) != (ssize_t)size)
		abort();
	close(fd);
}

static int run_handover(struct dev *dev)
{
	struct request request = { .io = { .is_handover = true, .dev = dev } };

	dev->serve[KBDUS_OP_FLUSH](&request.io);
	return request.n_answers == 1 ? request.error : -1;
}

static int open_candidate(struct dev *dev, const struct dev *old)
{
	return open_words_over(dev, old, &driver_compress, 0,
			       (const char *const[]){ path, NULL });
}

static void close_candidate(struct dev *dev, const char *what)
{
	close_dev(dev, what);
	close(dev->control);
}

/* As the kernel has it: the old driver is at rest, and told that it is not the
 * device's any more. */
static void test_compress_handover(void)
{
	static unsigned char model[MAX_IO];
	const size_t size = 16 << 20;
	unsigned char *before;
	struct dev old, new;

	make_volume((off_t)size);
	ok(OPEN(&old, driver_compress, 0, path) == EXIT_DONE &&
		   dev_is_ours(&old),
	   "hand-over: opens");
	ok(open_candidate(&new, &old) == EXIT_DONE && !dev_is_ours(&new),
	   "hand-over: a candidate");
	fill(model, MAX_IO);
	ok(run(&old, KBDUS_OP_WRITE, 8192, MAX_IO, model) == 0 &&
		   run_handover(&old) == 0,
	   "hand-over: at rest");
	before = volume_read(size);
	ok(dev_start_driver(&new) == EXIT_DONE &&
		   reads_as(&new, 8192, MAX_IO, model),
	   "hand-over: the candidate has what was written");
	old.was_replaced = true;
	new.has_taken_over = true;
	close_dev(&old, "hand-over: the old driver");
	ok(volume_is(before, size), "hand-over: neither has written anything");
	fill(model, MAX_IO);
	ok(run(&new, KBDUS_OP_WRITE, 8192, MAX_IO, model) == 0 &&
		   reads_as(&new, 8192, MAX_IO, model) &&
		   !volume_is(before, size),
	   "hand-over: the new driver writes");
	close_candidate(&new, "hand-over: the new driver");
	ok(OPEN(&old, driver_compress, 0, path) == EXIT_DONE &&
		   reads_as(&old, 8192, MAX_IO, model),
	   "hand-over: it is there when it is opened again");
	close_dev(&old, "hand-over");
	free(before);
	unlink(path);
}

static void test_compress_refusal(void)
{
	static unsigned char model[MAX_IO], zeroes[1 << 20];
	const size_t size = 16 << 20;
	unsigned char *before;
	struct dev old, new;

	make_volume((off_t)size);
	fill(model, MAX_IO);
	ok(OPEN(&old, driver_compress, 0, path) == EXIT_DONE &&
		   open_candidate(&new, &old) == EXIT_DONE &&
		   run(&old, KBDUS_OP_WRITE, 0, MAX_IO, model) == 0 &&
		   run_handover(&old) == 0,
	   "failing start: at rest");
	before = volume_read(size);
	volume_write(zeroes, sizeof(zeroes), 8192);
	ok(dev_start_driver(&new) == EXIT_FAILED, "failing start: fails");
	tap_caught(caught, sizeof(caught));
	ok(strstr(caught, "its map is damaged") != NULL &&
		   strstr(caught, "bdus compress check") != NULL,
	   "failing start: says why");
	close_candidate(&new, "failing start: the candidate");
	volume_write(before + 8192, sizeof(zeroes), 8192);
	ok(volume_is(before, size), "failing start: has written nothing");
	fill(model, MAX_IO);
	ok(run(&old, KBDUS_OP_WRITE, 0, MAX_IO, model) == 0 &&
		   reads_as(&old, 0, MAX_IO, model),
	   "failing start: the old driver goes on");
	close_dev(&old, "failing start");
	ok(OPEN(&old, driver_compress, 0, path) == EXIT_DONE &&
		   reads_as(&old, 0, MAX_IO, model),
	   "failing start: it is there when it is opened again");
	close_dev(&old, "failing start");
	free(before);
	unlink(path);
}

int main(void)
{
	if (!drivers_begin())
		return 1;
	test_compress();
	test_compress_handover();
	test_compress_refusal();
	return drivers_done();
}
