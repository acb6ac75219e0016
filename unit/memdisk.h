/* SPDX-License-Identifier: MIT */
/*
 * memdisk.h - a struct disk in memory that keeps a record of its writes and
 * syncs, and can fail one of them; and random numbers that are the same in
 * each run with the same seed.
 */
#ifndef BDUS_MEMDISK_H
#define BDUS_MEMDISK_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "drivers/encrypt/disk.h"

/* A write, or, without data, a sync. */
struct memdisk_event {
	uint64_t off;
	size_t len;
	unsigned char *data;
};

/**
 * struct memdisk - a disk in memory
 * @disk: what it is to others
 * @data: its bytes
 * @events: what was done to it, in order
 * @n_events: how many
 * @room: how many there is room for
 * @fail_at: the write or sync, counted from 1, that fails; 0: none
 * @n_calls: writes and syncs so far
 */
struct memdisk {
	struct disk disk;
	unsigned char *data;
	struct memdisk_event *events;
	size_t n_events;
	size_t room;
	size_t fail_at;
	size_t n_calls;
};

static inline void *memdisk_must(void *memory)
{
	if (memory == NULL) {
		perror("malloc");
		exit(1);
	}
	return memory;
}

static inline int memdisk_read(struct disk *disk, void *buf, size_t len,
			       uint64_t off)
{
	struct memdisk *mem = (struct memdisk *)disk;

	if (off > disk->size || len > disk->size - off)
		return -EIO;
	memcpy(buf, mem->data + off, len);
	return 0;
}

static inline void memdisk_note(struct memdisk *mem, const void *buf,
				size_t len, uint64_t off)
{
	struct memdisk_event event = { .off = off, .len = len };

	if (buf != NULL) {
		event.data = memdisk_must(malloc(len));
		memcpy(event.data, buf, len);
	}
	if (mem->n_events == mem->room) {
		mem->room = mem->room * 2 + 16;
		mem->events = memdisk_must(
			realloc(mem->events, mem->room * sizeof(*mem->events)));
	}
	mem->events[mem->n_events++] = event;
}

/* Of a write that fails half has been done. */
static inline int memdisk_write(struct disk *disk, const void *buf, size_t len,
				uint64_t off)
{
	struct memdisk *mem = (struct memdisk *)disk;
	bool is_failing = ++mem->n_calls == mem->fail_at;

	if (off > disk->size || len > disk->size - off)
		return -EIO;
	if (is_failing)
		len = len / 1024 * 512;
	memcpy(mem->data + off, buf, len);
	memdisk_note(mem, buf, len, off);
	return is_failing ? -EIO : 0;
}

static inline int memdisk_sync(struct disk *disk)
{
	struct memdisk *mem = (struct memdisk *)disk;

	if (++mem->n_calls == mem->fail_at)
		return -EIO;
	memdisk_note(mem, NULL, 0, 0);
	return 0;
}

/* A disk with a copy of @data, or of zeroes. */
static inline struct memdisk *memdisk_new(const void *data, size_t size)
{
	struct memdisk *mem = memdisk_must(calloc(1, sizeof(*mem)));

	mem->disk = (struct disk){
		.name = "disk",
		.size = size,
		.read = memdisk_read,
		.write = memdisk_write,
		.sync = memdisk_sync,
	};
	mem->data = memdisk_must(calloc(1, size));
	if (data != NULL)
		memcpy(mem->data, data, size);
	return mem;
}

/* What it did so far counts as long done. */
static inline void memdisk_forget(struct memdisk *mem)
{
	for (size_t i = 0; i < mem->n_events; i++)
		free(mem->events[i].data);
	mem->n_events = 0;
	mem->n_calls = 0;
}

static inline struct memdisk *memdisk_copy(const struct memdisk *mem)
{
	return memdisk_new(mem->data, mem->disk.size);
}

static inline void memdisk_free(struct memdisk *mem)
{
	memdisk_forget(mem);
	free(mem->events);
	free(mem->data);
	free(mem);
}

/*** random numbers ***********************************************************/

static uint64_t memdisk_seed;

/* From SEED, else 1; printed, since a failure is found again by it. */
static inline void memdisk_seed_set(void)
{
	const char *text = getenv("SEED");

	memdisk_seed = text != NULL ? strtoull(text, NULL, 0) : 1;
	printf("# SEED=%llu\n", (unsigned long long)memdisk_seed);
}

/* splitmix64 */
static inline uint64_t memdisk_random(void)
{
	uint64_t z = memdisk_seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* In place of the C library's: all that the code under test asks. */
ssize_t getrandom(void *buf, size_t len, unsigned int flags)
{
	unsigned char *to = buf;

	(void)flags;
	for (size_t i = 0; i < len; i += 8) {
		uint64_t value = memdisk_random();

		memcpy(to + i, &value, len - i < 8 ? len - i : 8);
	}
	return (ssize_t)len;
}

int getentropy(void *buf, size_t len)
{
	return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -1;
}

/*** output of the code under test ********************************************/

/* Its stdout goes nowhere until memdisk_unhush() gets what this returns. */
static inline int memdisk_hush(void)
{
	int saved = dup(STDOUT_FILENO);
	int null = open("/dev/null", O_WRONLY);

	fflush(stdout);
	if (saved < 0 || null < 0 || dup2(null, STDOUT_FILENO) < 0) {
		perror("/dev/null");
		exit(1);
	}
	close(null);
	return saved;
}

static inline void memdisk_unhush(int saved)
{
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
}

#endif /* BDUS_MEMDISK_H */
