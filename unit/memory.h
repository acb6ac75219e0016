/* SPDX-License-Identifier: MIT */
/*
 * memory.h - a medium in memory, for tests of compressed volumes: it can fail,
 * for good, once or at a place, have a cache that loses what is written, and
 * record what is written and synced.
 */
#ifndef BDUS_MEMORY_H
#define BDUS_MEMORY_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/compress/medium.h"
#include "drivers/compress/ranges.h"

/* A write, or a sync (len 0) that covers all operations before @covers. */
struct memory_op {
	uint64_t off;
	uint32_t len;
	uint32_t covers;
	unsigned char *data;
};

struct memory {
	struct medium medium;
	pthread_mutex_t lock;
	unsigned char *bytes;
	bool is_recording;
	struct memory_op *ops;
	uint32_t n_ops;
	uint32_t room;
	uint64_t n_punched;
	int fail_after; /* operations; then all fail; -1: never */
	int fail_with;
	bool fails_once;
	struct range bad;    /* bytes that cannot be read */
	unsigned char *disk; /* NULL, or what is there: @bytes is a cache */
	bool is_losing; /* what is written gets no further than the cache */
	bool has_lost;	/* the next sync is going to tell */
};

static inline bool memory_fails(struct memory *memory)
{
	bool does_fail;

	pthread_mutex_lock(&memory->lock);
	does_fail = memory->fail_after == 0;
	if (memory->fail_after > 0 || (does_fail && memory->fails_once))
		memory->fail_after--;
	pthread_mutex_unlock(&memory->lock);
	return does_fail;
}

static inline void memory_record(struct memory *memory, const void *data,
				 uint32_t len, uint64_t off, uint32_t covers)
{
	struct memory_op *op;

	if (!memory->is_recording)
		return;
	if (memory->n_ops == memory->room) {
		memory->room = memory->room * 2 + 64;
		memory->ops = realloc(memory->ops,
				      memory->room * sizeof(*memory->ops));
	}
	op = &memory->ops[memory->n_ops++];
	*op = (struct memory_op){ .off = off, .len = len, .covers = covers };
	if (len > 0) {
		op->data = malloc(len);
		memcpy(op->data, data, len);
	}
}

static inline int memory_read(struct medium *medium, void *buf, size_t len,
			      uint64_t off)
{
	struct memory *memory = (struct memory *)medium;

	if (off > medium->size || len > medium->size - off)
		return -EIO;
	if (off < memory->bad.lba + memory->bad.n &&
	    memory->bad.lba < off + len)
		return -EIO;
	pthread_mutex_lock(&memory->lock);
	memcpy(buf, memory->bytes + off, len);
	pthread_mutex_unlock(&memory->lock);
	return 0;
}

static inline int memory_write(struct medium *medium, const void *buf,
			       size_t len, uint64_t off)
{
	struct memory *memory = (struct memory *)medium;

	if (memory_fails(memory))
		return -memory->fail_with;
	if (off > medium->size || len > medium->size - off)
		return -EIO;
	pthread_mutex_lock(&memory->lock);
	memcpy(memory->bytes + off, buf, len);
	if (memory->is_losing)
		memory->has_lost = true;
	else if (memory->disk != NULL)
		memcpy(memory->disk + off, buf, len);
	memory_record(memory, buf, (uint32_t)len, off, 0);
	pthread_mutex_unlock(&memory->lock);
	return 0;
}

static inline int memory_sync(struct medium *medium)
{
	struct memory *memory = (struct memory *)medium;
	bool has_lost;

	if (memory_fails(memory))
		return -memory->fail_with;
	pthread_mutex_lock(&memory->lock);
	/* as a kernel does: it is told once, and kept in the cache */
	has_lost = memory->has_lost;
	memory->has_lost = false;
	if (!has_lost)
		memory_record(memory, NULL, 0, 0, memory->n_ops);
	pthread_mutex_unlock(&memory->lock);
	return has_lost ? -EIO : 0;
}

static inline void memory_drop_cache(struct medium *medium)
{
	struct memory *memory = (struct memory *)medium;

	pthread_mutex_lock(&memory->lock);
	memcpy(memory->bytes, memory->disk, medium->size);
	pthread_mutex_unlock(&memory->lock);
}

/* From now on there is a cache. */
static inline void memory_add_cache(struct memory *memory)
{
	memory->disk = malloc(memory->medium.size);
	memcpy(memory->disk, memory->bytes, memory->medium.size);
	memory->medium.forget = memory_drop_cache;
}

/* What was punched may be read as anything: here it is junk. */
static inline int memory_punch(struct medium *medium, uint64_t off,
			       uint64_t len)
{
	struct memory *memory = (struct memory *)medium;

	pthread_mutex_lock(&memory->lock);
	memset(memory->bytes + off, 0xdb, len);
	if (memory->disk != NULL)
		memset(memory->disk + off, 0xdb, len);
	memory->n_punched += len;
	memory_record(memory, memory->bytes + off, (uint32_t)len, off, 0);
	pthread_mutex_unlock(&memory->lock);
	return 0;
}

static inline void memory_open(struct memory *memory, uint64_t size)
{
	*memory = (struct memory){
		.medium = { .size = size,
			    .read = memory_read,
			    .write = memory_write,
			    .sync = memory_sync,
			    .punch = memory_punch },
		.bytes = calloc(1, size),
		.fail_after = -1,
		.fail_with = EIO,
	};
	pthread_mutex_init(&memory->lock, NULL);
}

static inline void memory_forget(struct memory *memory)
{
	for (uint32_t i = 0; i < memory->n_ops; i++)
		free(memory->ops[i].data);
	free(memory->ops);
	memory->ops = NULL;
	memory->n_ops = memory->room = 0;
}

static inline void memory_close(struct memory *memory)
{
	memory_forget(memory);
	free(memory->bytes);
	free(memory->disk);
	pthread_mutex_destroy(&memory->lock);
}

#endif /* BDUS_MEMORY_H */
