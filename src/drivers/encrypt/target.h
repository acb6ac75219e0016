/* SPDX-License-Identifier: MIT */
/*
 * encrypt/target.h - what the actions have in common: their operand with its
 * header, key slots, and passphrases that open them.
 */
#ifndef BDUS_ENCRYPT_TARGET_H
#define BDUS_ENCRYPT_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "disk.h"
#include "luks.h"
#include "opt.h"
#include "passphrase.h"

/**
 * struct target - a header that an action is about
 * @path: operand of the action
 * @header: file that has the header, or NULL: @path has it
 * @disk: that has it, open
 * @data_size: of a detached header, the size of @path in bytes; else 0
 * @luks: what it says
 * @is_open: there is something to be closed
 */
struct target {
	const char *path;
	const char *header;
	struct disk_file disk;
	uint64_t data_size;
	struct luks luks;
	bool is_open;
};

/* The line of an option table for the file of a detached header. */
#define HEADER_OPT(structure, field)                             \
	OPT_PATH("header", 0, structure, field, 0, "FILE", NULL, \
		 "the header is in FILE, detached from the data")

/**
 * target_begin - what every action does first
 * @argc: operands there are
 * @count: operands there must be
 * @names: synopsis of them, for the hint
 *
 * Secrets are kept in from then on: memory, core files, modes of new files.
 *
 * Return: an exit code.
 */
int target_begin(int argc, int count, const char *names);

/**
 * target_open_disks - open the operand, or the detached header, as it is
 * @target: path and header are set; to be closed
 * @mode: what is going to happen to the header
 *
 * Return: an exit code.
 */
int target_open_disks(struct target *target, enum disk_mode mode);

/** target_open - likewise, and read the header. */
int target_open(struct target *target, enum disk_mode mode);

/**
 * target_start - begin an action that reads the header of its first operand
 * @target: header is set; to be closed, whatever is returned
 * @argc: as for target_begin()
 * @argv: the operands
 * @count: as for target_begin()
 * @names: as for target_begin()
 *
 * Return: an exit code.
 */
int target_start(struct target *target, int argc, char **argv, int count,
		 const char *names);

/** target_close - give everything back; can be called again, or for nothing. */
void target_close(struct target *target);

/**
 * target_reopen - open the header once more, to change it
 * @target: open for %DISK_READ; in the time that questions and key derivations
 *	take, others shall have it
 *
 * Return: an exit code; %EXIT_BUSY: it has been changed meanwhile. The target
 * is closed where that is not %EXIT_DONE.
 */
int target_reopen(struct target *target);

/** target_check_used - is that key slot there? Return: an exit code. */
int target_check_used(const struct target *target, int slot);

/** target_keys - how many key slots give the volume's key. */
unsigned int target_keys(const struct target *target);

/**
 * target_get_key - get the volume key by a passphrase
 * @target: open
 * @source: of the passphrase; somebody who is asked may try three times
 * @prompt: what to ask
 * @slot: to be tried, or %LUKS_ANY_SLOT
 * @except: slot that does not count, or -1
 * @key: filled in, %LUKS_KEY_MAX bytes of secret memory
 * @found: the slot that was opened
 *
 * Return: an exit code; %EXIT_WRONG_KEY with a message.
 */
int target_get_key(struct target *target,
		   const struct passphrase_source *source, const char *prompt,
		   int slot, int except, unsigned char *key, int *found);

#endif /* BDUS_ENCRYPT_TARGET_H */
