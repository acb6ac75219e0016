/* SPDX-License-Identifier: MIT */
/*
 * kept - what outlives the driver: the lock on its backing, and some memory.
 */
#include "kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What is before the memory: whose it is. Another version's must be told. */
struct kept_head {
	uint64_t size; /* of what follows, bytes */
	char driver[56];
} __attribute__((aligned(64)));

static int kept_move(int fd, int number)
{
	int error = 0;

	if (fd == number)
		return 0;
	if (dup3(fd, number, O_CLOEXEC) < 0)
		error = -errno;
	close(fd);
	return error;
}

int kept_publish(int fd)
{
	return kept_move(fd, KEPT_FD);
}

/* Return: a descriptor of this process for another's, or -errno. */
static int kept_get(pid_t pid, int number)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int fd;

	if (pidfd < 0)
		return -errno;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	if (fd < 0)
		fd = -errno;
	close(pidfd);
	return fd;
}

int kept_take(pid_t pid)
{
	int fd = kept_get(pid, KEPT_FD);

	return fd < 0 ? fd : kept_publish(fd);
}

static struct kept_head *kept_head(const void *memory)
{
	return (struct kept_head *)(uintptr_t)memory - 1;
}

static void *kept_map(int fd, size_t size, int protection)
{
	struct kept_head *head =
		mmap(NULL, sizeof(*head) + size, protection, MAP_SHARED, fd, 0);

	if (head == MAP_FAILED)
		return NULL;
	madvise(head, sizeof(*head) + size, MADV_DONTDUMP);
	return head + 1;
}

void *kept_memory_make(const char *driver, size_t size)
{
	int fd = (int)syscall(SYS_memfd_create, "bdus-kept",
			      MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *memory = NULL;
	int error = 0;

	if (fd < 0)
		return NULL;
	if (ftruncate(fd, (off_t)(sizeof(struct kept_head) + size)) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ==
		    0)
		memory = kept_map(fd, size, PROT_READ | PROT_WRITE);
	if (memory == NULL) {
		error = errno;
		close(fd);
	} else {
		kept_head(memory)->size = size;
		strncpy(kept_head(memory)->driver, driver,
			sizeof(kept_head(memory)->driver) - 1);
		error = -kept_move(fd, KEPT_MEMORY_FD);
	}
	if (error == 0)
		return memory;
	if (memory != NULL)
		kept_memory_free(memory);
	errno = error;
	return NULL;
}

int kept_memory_lock(const void *memory)
{
	const struct kept_head *head = kept_head(memory);

	return mlock(head, sizeof(*head) + head->size) == 0 ? 0 : -errno;
}

void kept_memory_free(void *memory)
{
	struct kept_head *head = kept_head(memory);

	munmap(head, sizeof(*head) + head->size);
}

/* Whatever has that number there may be anything. */
static bool kept_is_memory(int fd, size_t size)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &st) == 0 &&
	       (size_t)st.st_size == sizeof(struct kept_head) + size;
}

void *kept_memory_take(pid_t pid, const char *driver, size_t size)
{
	int fd = kept_get(pid, KEPT_MEMORY_FD);
	void *memory = NULL;

	if (fd < 0)
		return NULL;
	if (kept_is_memory(fd, size))
		memory = kept_map(fd, size, PROT_READ);
	close(fd);
	if (memory == NULL)
		return NULL;
	if (kept_head(memory)->size == size &&
	    strncmp(kept_head(memory)->driver, driver,
		    sizeof(kept_head(memory)->driver)) == 0)
		return memory;
	munmap(kept_head(memory), sizeof(struct kept_head) + size);
	return NULL;
}
