/* SPDX-License-Identifier: MIT */
/*
 * encrypt/secret - memory for keys.
 *
 * Small blocks are cut from arenas, in sizes of powers of two, and go to a list
 * of free ones of their size when they are given back; large ones are a mapping
 * each. All mappings are in one list, since a child has to lock them anew. What
 * is free is zero: fresh from the kernel, or cleansed.
 *
 * One mutex for all of it. Under AddressSanitizer what is not allocated is
 * poisoned, so that it finds what it finds with malloc().
 */
#include "secret.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(addr, size) ((void)(addr), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(addr, size) ((void)(addr), (void)(size))
#endif

#define SECRET_PAGE 4096U
#define SECRET_ARENA (256U << 10)
/* Blocks with their heads: 32 bytes to 64 KiB. */
#define SECRET_MIN_SHIFT 5
#define SECRET_CLASSES 12
#define SECRET_LOCK_MAX ((size_t)8 << 20)

/* Before each block. */
struct secret_block {
	size_t size;		   /* bytes asked for */
	struct secret_block *next; /* free ones */
};

/* At the start of each mapping; its size keeps what follows aligned. */
struct secret_map {
	struct secret_map *next;
	struct secret_map *prev;
	size_t size; /* of the mapping, bytes */
	size_t used; /* of an arena, bytes */
};

static struct {
	pthread_mutex_t mutex;
	struct secret_map *maps;
	struct secret_map *arena; /* blocks are cut from this one */
	struct secret_block *free[SECRET_CLASSES];
	bool is_not_locked;
	bool is_set_up;
} secrets = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* The size class of a block; %SECRET_CLASSES: a mapping of its own. */
static unsigned int secret_class(size_t size)
{
	unsigned int class = 0;

	while (class < SECRET_CLASSES &&
	       size > ((size_t)1 << (class + SECRET_MIN_SHIFT)) -
			       sizeof(struct secret_block))
		class ++;
	return class;
}

static void secret_lock_map(const struct secret_map *map)
{
	if (map->size <= SECRET_LOCK_MAX && mlock(map, map->size) != 0)
		secrets.is_not_locked = true;
}

/*
 * mlockall() covers mappings to come as well: a gigabyte for a key derivation
 * is let off before it can be touched.
 */
static void *secret_pages(size_t size)
{
	void *pages =
		mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return NULL;
	if (size > SECRET_LOCK_MAX)
		munlock(pages, size);
	if (mprotect(pages, size, PROT_READ | PROT_WRITE) == 0 &&
	    madvise(pages, size, MADV_DONTDUMP) == 0)
		return pages;
	munmap(pages, size);
	return NULL;
}

static struct secret_map *secret_map_new(size_t size)
{
	struct secret_map *map = secret_pages(size);

	if (map == NULL)
		return NULL;
	map->size = size;
	map->used = sizeof(*map);
	secret_lock_map(map);
	map->next = secrets.maps;
	if (map->next != NULL)
		map->next->prev = map;
	secrets.maps = map;
	return map;
}

static void secret_map_free(struct secret_map *map)
{
	if (map->next != NULL)
		map->next->prev = map->prev;
	if (map->prev != NULL)
		map->prev->next = map->next;
	else
		secrets.maps = map->next;
	munmap(map, map->size);
}

static struct secret_block *secret_large_new(size_t size)
{
	size_t room = sizeof(struct secret_map) + sizeof(struct secret_block);
	struct secret_map *map;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + room + SECRET_PAGE - 1) & ~((size_t)SECRET_PAGE - 1);
	map = secret_map_new(size);
	return map != NULL ? (struct secret_block *)(map + 1) : NULL;
}

/* What is left of the arena before is forgotten, at most 64 KiB of it. */
static struct secret_block *secret_cut(unsigned int class)
{
	size_t size = (size_t)1 << (class + SECRET_MIN_SHIFT);
	struct secret_map *map = secrets.arena;
	struct secret_block *block;

	if (map == NULL || map->size - map->used < size) {
		map = secret_map_new(SECRET_ARENA);
		if (map == NULL)
			return NULL;
		ASAN_POISON_MEMORY_REGION(map + 1, map->size - sizeof(*map));
		secrets.arena = map;
	}
	block = (struct secret_block *)((unsigned char *)map + map->used);
	map->used += size;
	ASAN_UNPOISON_MEMORY_REGION(block, sizeof(*block));
	return block;
}

static struct secret_block *secret_take(size_t size)
{
	unsigned int class = secret_class(size);
	struct secret_block *block;

	if (class == SECRET_CLASSES)
		return secret_large_new(size);
	block = secrets.free[class];
	if (block == NULL)
		return secret_cut(class);
	secrets.free[class] = block->next;
	return block;
}

void *secret_alloc(size_t size)
{
	struct secret_block *block;

	pthread_mutex_lock(&secrets.mutex);
	block = secret_take(size);
	if (block != NULL) {
		block->size = size;
		block->next = NULL;
		ASAN_UNPOISON_MEMORY_REGION(block + 1, size);
	}
	pthread_mutex_unlock(&secrets.mutex);
	return block != NULL ? block + 1 : NULL;
}

void secret_free(void *secret)
{
	struct secret_block *block = secret;
	unsigned int class;

	if (secret == NULL)
		return;
	block--;
	OPENSSL_cleanse(secret, block->size);
	class = secret_class(block->size);
	pthread_mutex_lock(&secrets.mutex);
	if (class == SECRET_CLASSES) {
		secret_map_free((struct secret_map *)block - 1);
	} else {
		ASAN_POISON_MEMORY_REGION(secret, block->size);
		block->next = secrets.free[class];
		secrets.free[class] = block;
	}
	pthread_mutex_unlock(&secrets.mutex);
}

bool secret_is_locked(void)
{
	bool is_locked;

	pthread_mutex_lock(&secrets.mutex);
	is_locked = !secrets.is_not_locked;
	pthread_mutex_unlock(&secrets.mutex);
	return is_locked;
}

int secret_random(void *buf, size_t len)
{
	unsigned char *to = buf;

	while (len > 0) {
		ssize_t n = getrandom(to, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		to += n;
		len -= (size_t)n;
	}
	return 0;
}

static void *secret_crypto_alloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return secret_alloc(size);
}

static void secret_crypto_free(void *secret, const char *file, int line)
{
	(void)file;
	(void)line;
	secret_free(secret);
}

static void *secret_crypto_realloc(void *secret, size_t size, const char *file,
				   int line)
{
	const struct secret_block *block = secret;
	void *copy = secret_crypto_alloc(size, file, line);

	if (secret == NULL || copy == NULL)
		return copy;
	block--;
	memcpy(copy, secret, block->size < size ? block->size : size);
	secret_crypto_free(secret, file, line);
	return copy;
}

static void secret_before_fork(void)
{
	pthread_mutex_lock(&secrets.mutex);
}

static void secret_in_parent(void)
{
	pthread_mutex_unlock(&secrets.mutex);
}

/* Locks are not inherited. */
static void secret_in_child(void)
{
	for (struct secret_map *map = secrets.maps; map != NULL;
	     map = map->next)
		secret_lock_map(map);
	pthread_mutex_unlock(&secrets.mutex);
}

int secret_init(void)
{
	int err;

	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		return -errno;
	if (secrets.is_set_up)
		return 0;
	if (CRYPTO_set_mem_functions(secret_crypto_alloc, secret_crypto_realloc,
				     secret_crypto_free) != 1)
		return -EBUSY;
	err = pthread_atfork(secret_before_fork, secret_in_parent,
			     secret_in_child);
	secrets.is_set_up = err == 0;
	return -err;
}
