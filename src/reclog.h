/* SPDX-License-Identifier: MIT */
/*
 * reclog.h - the log of a recorded disk: what was written to it, when that was
 * issued, and when it was answered. bdus-format(5), RECORD.
 *
 * A head, and entries of 64 bytes each, some with data behind them. Entries
 * are in the order of time: an operation's first one was written before
 * anything was done, its second one after all was done and before anybody was
 * told. A log is only appended to. All numbers are little-endian.
 *
 * A log's lock is held while an entry is written.
 */
#ifndef BDUS_RECLOG_H
#define BDUS_RECLOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECLOG_SIGNATURE "BDUS-RECORD"
#define RECLOG_VERSION 1U
#define RECLOG_MAGIC 0x43455242U /* "BREC" */
#define RECLOG_DATA_MAX (16U << 20)

/**
 * enum reclog_type - what an entry tells
 * @RECLOG_BASE: data that was there before: off, len
 * @RECLOG_START: all before was: operation is the sum of what was there,
 *	flags says whether it is in the log
 * @RECLOG_SESSION: another driver goes on; what was not answered never is
 * @RECLOG_DONE: an operation was answered: error
 * @RECLOG_WRITE: an operation is issued, with data, as those below
 * @RECLOG_FUA_WRITE: with data; it is durable when it was answered
 * @RECLOG_WRITE_ZEROES: no data
 * @RECLOG_DISCARD: no data; read afterwards: anything, here zeroes
 * @RECLOG_SECURE_ERASE: likewise
 * @RECLOG_FLUSH: no data; what was answered before it was issued is durable
 *	when it was answered
 * @RECLOG_TYPES: those from there on are unknown
 */
enum reclog_type {
	RECLOG_BASE = 1,
	RECLOG_START = 2,
	RECLOG_SESSION = 3,
	RECLOG_DONE = 4,
	RECLOG_WRITE = 16,
	RECLOG_FUA_WRITE = 17,
	RECLOG_WRITE_ZEROES = 18,
	RECLOG_DISCARD = 19,
	RECLOG_SECURE_ERASE = 20,
	RECLOG_FLUSH = 21,
	RECLOG_TYPES
};

/** RECLOG_HAS_BASE - of RECLOG_START: what is not zeroes is in the log. */
#define RECLOG_HAS_BASE 1U

/**
 * struct reclog_head - the first 128 bytes
 * @signature: RECLOG_SIGNATURE and NULs
 * @version: RECLOG_VERSION
 * @crc: of these 128 bytes, with 0 here
 * @id: random; in the checksums of all entries
 * @size: of the disk, bytes
 * @block: its logical block, bytes
 * @flags: 0
 * @began: seconds since 1970
 * @zero: 0
 */
struct reclog_head {
	char signature[16];
	uint32_t version;
	uint32_t crc;
	uint8_t id[16];
	uint64_t size;
	uint32_t block;
	uint32_t flags;
	uint64_t began;
	uint8_t zero[64];
};

/**
 * struct reclog_entry - 64 bytes
 * @magic: RECLOG_MAGIC
 * @crc: of the log's id and then of these 64 bytes, with 0 here
 * @data_crc: of the data
 * @type: enum reclog_type
 * @flags: see there
 * @number: of entries before it
 * @operation: 1 is the first one; of the entry that issues it and of the
 *	one that tells of its end
 * @off: on the disk, bytes
 * @len: on the disk, bytes
 * @data_len: bytes that follow: 0 or @len
 * @error: 0 or an errno
 * @zero: 0
 * @ns: of a clock that never goes back, while one driver serves
 */
struct reclog_entry {
	uint32_t magic;
	uint32_t crc;
	uint32_t data_crc;
	uint16_t type;
	uint16_t flags;
	uint64_t number;
	uint64_t operation;
	uint64_t off;
	uint32_t len;
	uint32_t data_len;
	int32_t error;
	uint32_t zero;
	uint64_t ns;
};

/**
 * struct reclog - a log that is written
 * @fd: the file
 * @lock: of the rest
 * @head: as it is in the file
 * @is_begun: @end and what is below are known
 * @end: where the next entry goes, bytes
 * @n_entries: so many there are
 * @n_operations: so many were issued
 */
struct reclog {
	int fd;
	pthread_mutex_t lock;
	struct reclog_head head;
	bool is_begun;
	uint64_t end;
	uint64_t n_entries;
	uint64_t n_operations;
};

/**
 * reclog_create - begin an empty log
 * @log: filled in
 * @fd: an empty file, reading and writing; the log's only on success
 * @size: of the disk
 * @block: its logical block
 *
 * Return: 0 or -errno.
 */
int reclog_create(struct reclog *log, int fd, uint64_t size, uint32_t block);

/**
 * reclog_continue - go on with a log
 * @log: filled in
 * @fd: the file, reading and writing; the log's only on success
 * @reason: what is wrong with it
 *
 * Another process may still write to it: its end is looked for when the first
 * entry is written.
 *
 * Return: 0, -EINVAL (@reason), or another -errno.
 */
int reclog_continue(struct reclog *log, int fd, const char **reason);

/**
 * reclog_begin - look for the end of a log that goes on, now
 * @log: continued; nobody else writes to it
 *
 * Return: 0, -EIO (it is damaged), or another -errno.
 */
int reclog_begin(struct reclog *log);

/** reclog_close - sync and close. Return: 0 or -errno: not all is there. */
int reclog_close(struct reclog *log);

/**
 * reclog_put - write an entry
 * @log: the log
 * @entry: type, flags, off, len, error and, but where an operation is issued,
 *	operation are filled in; that one is told then
 * @data: @len bytes, or NULL
 *
 * Return: 0, or -errno: then the log is as it was.
 */
int reclog_put(struct reclog *log, struct reclog_entry *entry,
	       const void *data);

/**
 * reclog_read_head - read and check the head
 * @fd: the file
 * @head: filled in
 * @reason: what is wrong
 *
 * Return: 0, -EINVAL (@reason), or another -errno.
 */
int reclog_read_head(int fd, struct reclog_head *head, const char **reason);

/**
 * reclog_read_entry - read and check the entry at a place
 * @fd: the file
 * @head: its head
 * @off: where the entry is, bytes
 * @number: which one it has to be
 * @entry: filled in; its data is not looked at
 *
 * Return: 1, 0 (the file ends there, or within it), -EINVAL (there is something
 * else), or another -errno.
 */
int reclog_read_entry(int fd, const struct reclog_head *head, uint64_t off,
		      uint64_t number, struct reclog_entry *entry);

/**
 * reclog_check_data - read the data of an entry and compare its checksum
 * @fd: the file
 * @off: where the data is
 * @entry: that it belongs to
 *
 * Return: 0, -EINVAL (it is not the same), or another -errno.
 */
int reclog_check_data(int fd, uint64_t off, const struct reclog_entry *entry);

/** reclog_is_operation - does an entry issue an operation? */
static inline bool reclog_is_operation(const struct reclog_entry *entry)
{
	return entry->type >= RECLOG_WRITE && entry->type < RECLOG_TYPES;
}

/**
 * reclog_sum - the sum of a disk's content, one block of 4096 bytes after the
 * other
 * @sum: of what is before, at first 0
 * @off: of the block, bytes
 * @block: the block
 * @len: 4096, or less at the end of the disk
 *
 * Blocks of zeroes count for nothing, so that holes need not be read.
 *
 * Return: the sum.
 */
uint32_t reclog_sum(uint32_t sum, uint64_t off, const void *block, size_t len);

#endif /* BDUS_RECLOG_H */
