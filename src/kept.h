/* SPDX-License-Identifier: MIT */
/*
 * kept.h - what outlives the driver: the lock on its backing, and some memory.
 *
 * Both are descriptors with the same number in every driver, so that whoever
 * comes next, or the supervisor, finds them in the process that has them.
 * Nobody can take the lock in between. The memory may hold a key: it is locked
 * in each process that has it, and only who may trace a driver, which is
 * undumpable then, gets at it.
 */
#ifndef BDUS_KEPT_H
#define BDUS_KEPT_H

#include <stddef.h>
#include <sys/types.h>

/** KEPT_FD - number of the lock's descriptor. */
#define KEPT_FD 200
/** KEPT_MEMORY_FD - number of the memory's descriptor. */
#define KEPT_MEMORY_FD 201
/** KEPT_MIN_FILES - limit of open files with room for it, and to take it by. */
#define KEPT_MIN_FILES (KEPT_MEMORY_FD + 2)

/**
 * kept_publish - make a descriptor the kept one
 * @fd: to be moved there; closed in any case
 *
 * Return: 0 or -errno.
 */
int kept_publish(int fd);

/**
 * kept_take - get the one of another process, for this one to have too
 * @pid: of the driver that is replaced or supervised
 *
 * Needs the right to trace that process (CAP_SYS_PTRACE, or its parent).
 *
 * Return: 0, -EBADF (it has none), or another -errno.
 */
int kept_take(pid_t pid);

/**
 * kept_memory_make - make the memory, shared with all processes forked from now
 * @driver: name of the driver, which tells what is in it
 * @size: bytes
 *
 * Zeroes, in no core dump.
 *
 * Return: it, or NULL with errno.
 */
void *kept_memory_make(const char *driver, size_t size);

/** kept_memory_lock - keep it from being swapped out. Return: 0 or -errno. */
int kept_memory_lock(const void *memory);

/** kept_memory_free - give it back: this process's part of it. */
void kept_memory_free(void *memory);

/**
 * kept_memory_take - look at the memory of another process
 * @pid: of the driver that is replaced
 * @driver: name that it must have been made with
 * @size: bytes that it must have
 *
 * Return: it, read-only, for kept_memory_free(); or NULL.
 */
void *kept_memory_take(pid_t pid, const char *driver, size_t size);

#endif /* BDUS_KEPT_H */
