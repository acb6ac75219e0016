/* SPDX-License-Identifier: MIT */
/*
 * backing.h - may a file or block device be taken, and who else uses it, also
 * without the kernel keeping us from it.
 */
#ifndef BDUS_BACKING_H
#define BDUS_BACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/**
 * backing_check_type - is it a regular file or a block device?
 * @path: for the message
 * @mode: of the file
 *
 * To be asked before it is opened too, since opening some things has an effect.
 *
 * Return: %EXIT_DONE, or %EXIT_FAILED with a message.
 */
int backing_check_type(const char *path, mode_t mode);

/** backing_in_use - print that, and by whom. Return: %EXIT_BUSY. */
int backing_in_use(const char *path, const char *user);

/**
 * backing_open_failed - print why open() failed, as errno says; errno stays
 * @path: what was opened
 * @st: of it
 *
 * Return: %EXIT_BUSY with its user named for a block device that is held for
 * somebody (EBUSY), else %EXIT_FAILED.
 */
int backing_open_failed(const char *path, const struct stat *st);

/**
 * backing_kernel_user - does the kernel use a file as a disk or for swap?
 * @st: of the file or block device
 * @text: where to write the user, as "/dev/loop0" or "swap"
 * @size: room in @text
 *
 * Neither of them takes a lock that others would meet, and loop devices do not
 * even hold a block device for themselves (O_EXCL).
 *
 * Return: whether it does; @text is written only then.
 */
bool backing_kernel_user(const struct stat *st, char *text, size_t size);

/**
 * backing_locker - find the process that holds a lock on a file
 * @st: of the file
 * @text: where to write it, as "bdus (pid 12)"; "another process" when it is
 *	not to be seen from here
 * @size: room in @text
 *
 * The kernel does not tell the owner of an open file description's lock, so
 * this looks through /proc.
 */
void backing_locker(const struct stat *st, char *text, size_t size);

#endif /* BDUS_BACKING_H */
