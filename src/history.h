/* SPDX-License-Identifier: MIT */
/*
 * history.h - what a log of bdus record tells, in memory: the operations in
 * the order in which they were issued, and from when on each is durable.
 *
 * Time is counted in entries of the log: an operation with issued == 7 was
 * issued by the entry with that number, so it has been after a cut at 8.
 */
#ifndef BDUS_HISTORY_H
#define BDUS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reclog.h"

#define HISTORY_NEVER UINT64_MAX

/**
 * struct operation - a write, or a flush
 * @off: on the disk, bytes
 * @data_at: where its data is in the log, bytes
 * @issued: entry
 * @answered: entry; HISTORY_NEVER
 * @durable: entry from which on it stays (a flush: @issued); HISTORY_NEVER.
 *	One that @is_lost: from which on it is not there
 * @len: bytes
 * @epoch: flushes that were answered before it was issued
 * @error: that it was answered with
 * @type: enum reclog_type
 * @is_lost: it failed, or was never answered: nobody relies on it
 */
struct operation {
	uint64_t off;
	uint64_t data_at;
	uint64_t issued;
	uint64_t answered;
	uint64_t durable;
	uint32_t len;
	uint32_t epoch;
	int32_t error;
	uint16_t type;
	bool is_lost;
};

/**
 * struct piece - data that was there at the start
 * @off: on the disk, bytes
 * @data_at: where it is in the log, bytes
 * @len: bytes
 */
struct piece {
	uint64_t off;
	uint64_t data_at;
	uint32_t len;
};

/**
 * struct history - a log
 * @path: its name
 * @fd: the file
 * @head: its head
 * @operations: as they were issued; number 1 is the first
 * @n_operations: how many
 * @by_durable: their places, in the order in which they become durable
 * @n_durable: how many do
 * @base: what was there at the start, if has_base
 * @n_base: how many pieces
 * @has_base: it is in the log
 * @has_start: the recording began at all
 * @base_sum: of what was there (reclog_sum())
 * @cuts: times at which a power failure makes a difference, ascending
 * @n_cuts: how many
 * @n_entries: of the log
 * @is_cut_off: it ends within an entry
 */
struct history {
	const char *path;
	int fd;
	struct reclog_head head;
	struct operation *operations;
	size_t n_operations;
	size_t *by_durable;
	size_t n_durable;
	struct piece *base;
	size_t n_base;
	bool has_base;
	bool has_start;
	uint32_t base_sum;
	uint64_t *cuts;
	size_t n_cuts;
	uint64_t n_entries;
	bool is_cut_off;
};

/**
 * history_load - read a log and check all of it
 * @history: filled in
 * @path: not copied
 *
 * Prints what is wrong.
 *
 * Return: an exit code; history_free() only after success.
 */
int history_load(struct history *history, const char *path);

/** history_free - give everything back. */
void history_free(struct history *history);

/** operation_kind - "write", "flush" ... */
const char *operation_kind(const struct operation *operation);

#endif /* BDUS_HISTORY_H */
