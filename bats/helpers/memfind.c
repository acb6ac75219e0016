/* SPDX-License-Identifier: MIT */
/*
 * memfind NEEDLES PID|FILE... - look for byte strings in all memory that a
 * process can read, or in a file. NEEDLES is a file with a name and the bytes
 * in hex on each line, as "kek 0123abcd". Prints "NAME in PID|FILE at WHERE"
 * for the first place of each. Exit status: 0 found, 1 not found, 2 failed.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEEDLES_MAX 32
#define NEEDLE_SIZE 512 /* bytes, most */
#define CHUNK (1U << 20)
#define PAGE 4096

struct needle {
	char name[64];
	unsigned char bytes[NEEDLE_SIZE];
	size_t len;
	bool is_found;
};

static struct needle needles[NEEDLES_MAX];
static size_t n_needles;
static bool was_found;

static void fail(const char *what)
{
	fprintf(stderr, "memfind: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void needle_parse(struct needle *needle, const char *hex)
{
	unsigned int byte;

	while (sscanf(hex, "%2x", &byte) == 1 && needle->len < NEEDLE_SIZE) {
		needle->bytes[needle->len++] = (unsigned char)byte;
		hex += 2;
	}
	if (needle->len < 8 || isxdigit((unsigned char)*hex)) {
		errno = EINVAL;
		fail(needle->name);
	}
}

static void needles_read(const char *path)
{
	FILE *file = fopen(path, "r");
	char hex[2 * NEEDLE_SIZE + 2];

	if (file == NULL)
		fail(path);
	while (n_needles < NEEDLES_MAX &&
	       fscanf(file, "%63s %1025s", needles[n_needles].name, hex) == 2)
		needle_parse(&needles[n_needles++], hex);
	if (n_needles == 0 || !feof(file)) {
		errno = EINVAL;
		fail(path);
	}
	fclose(file);
}

static void find_all(const char *place, uint64_t at, const unsigned char *buf,
		     size_t len)
{
	for (size_t i = 0; i < n_needles; i++) {
		struct needle *needle = &needles[i];
		const unsigned char *hit =
			needle->is_found ?
				NULL :
				memmem(buf, len, needle->bytes, needle->len);

		if (hit == NULL)
			continue;
		needle->is_found = was_found = true;
		printf("%s in %s at %" PRIx64 "\n", needle->name, place,
		       at + (uint64_t)(hit - buf));
	}
}

static bool is_zero(const unsigned char *buf, size_t len)
{
	return buf[0] == 0 && memcmp(buf, buf + 1, len - 1) == 0;
}

/* Most pages are zero: only what is near others is looked at. */
static void find(const char *place, uint64_t at, const unsigned char *buf,
		 size_t len)
{
	for (size_t i = 0, n; i < len; i += n) {
		size_t from = i < NEEDLE_SIZE ? 0 : i - NEEDLE_SIZE, to;

		n = len - i < PAGE ? len - i : PAGE;
		to = len - i - n < NEEDLE_SIZE ? len : i + n + NEEDLE_SIZE;
		if (!is_zero(buf + i, n))
			find_all(place, at + from, buf + from, to - from);
	}
}

/* Chunks overlap by what a needle may have. Pages that cannot be read are
 * passed over. Return: bytes that were read. */
static uint64_t find_range(int fd, const char *place, uint64_t at, uint64_t end)
{
	static unsigned char buf[NEEDLE_SIZE + CHUNK];
	size_t before = 0;
	uint64_t total = 0;

	while (at < end) {
		size_t want = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
		ssize_t n = pread(fd, buf + before, want, (off_t)at);

		if (n <= 0) {
			before = 0;
			at = (at / PAGE + 1) * PAGE;
			continue;
		}
		find(place, at - before, buf, before + (size_t)n);
		at += (uint64_t)n;
		total += (uint64_t)n;
		n += (ssize_t)before;
		before = n < NEEDLE_SIZE ? (size_t)n : NEEDLE_SIZE;
		memmove(buf, buf + n - before, before);
	}
	return total;
}

static void find_process(const char *pid)
{
	char path[64], line[512], mode[8];
	uint64_t start, end, total = 0;
	FILE *maps;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/mem", pid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		fail(path);
	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	maps = fopen(path, "r");
	if (maps == NULL)
		fail(path);
	while (fgets(line, sizeof(line), maps) != NULL)
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &start, &end,
			   mode) == 3 &&
		    mode[0] == 'r' && start <= INT64_MAX)
			total += find_range(fd, pid, start, end);
	fclose(maps);
	close(fd);
	if (total == 0) {
		errno = ENODATA;
		fail(path);
	}
}

static void find_file(const char *path)
{
	int fd = open(path, O_RDONLY);
	off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

	if (end < 0)
		fail(path);
	find_range(fd, path, 0, (uint64_t)end);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: memfind NEEDLES PID|FILE...\n");
		return 2;
	}
	needles_read(argv[1]);
	for (int i = 2; i < argc; i++) {
		for (size_t j = 0; j < n_needles; j++)
			needles[j].is_found = false;
		if (argv[i][strspn(argv[i], "0123456789")] == '\0')
			find_process(argv[i]);
		else
			find_file(argv[i]);
	}
	return was_found ? 0 : 1;
}
