/* SPDX-License-Identifier: MIT */
/*
 * kept.h - a descriptor that outlives the driver: the lock on its backing.
 *
 * It has the same number in every driver, so that whoever comes next, or the
 * supervisor, finds it in the process that has it. Nobody can take the lock in
 * between.
 */
#ifndef BDUS_KEPT_H
#define BDUS_KEPT_H

#include <sys/types.h>

/** KEPT_FD - its number. */
#define KEPT_FD 200
/** KEPT_MIN_FILES - limit of open files with room for it, and to take it by. */
#define KEPT_MIN_FILES (KEPT_FD + 2)

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

#endif /* BDUS_KEPT_H */
