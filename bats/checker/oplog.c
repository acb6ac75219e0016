/* SPDX-License-Identifier: MIT */
/*
 * oplog - what was issued, acknowledged and flushed, in a file mapped shared.
 *
 * The file is a page with the head, then one array after the other. What the
 * process has stored is there even if SIGKILL ends it at the next instruction.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checker.h"

#define LOG_MAGIC 0x676f6c6b63656863ULL
#define LOG_VERSION 1
#define LOG_HEAD_BYTES 4096
#define LOG_ARRAYS 8
/* Keeps lengths far from overflow: 2^40 sectors are 512 TiB. */
#define LOG_MAX_SECTORS (1ULL << 40)

static size_t oplog_bytes(uint64_t n_sectors)
{
	return LOG_HEAD_BYTES + LOG_ARRAYS * sizeof(uint32_t) * n_sectors;
}

static int oplog_map(struct oplog *log, uint64_t n_sectors)
{
	uint32_t **const arrays[LOG_ARRAYS] = {
		&log->issued,	  &log->acked,	    &log->fua,
		&log->zeroed,	  &log->discarded,  &log->initial,
		&log->durable[0], &log->durable[1],
	};
	char *start;

	log->len = oplog_bytes(n_sectors);
	start = mmap(NULL, log->len, PROT_READ | PROT_WRITE, MAP_SHARED,
		     log->fd, 0);
	if (start == MAP_FAILED)
		return -errno;
	log->head = (struct log_head *)start;
	for (size_t i = 0; i < LOG_ARRAYS; i++)
		*arrays[i] =
			(uint32_t *)(start + LOG_HEAD_BYTES) + i * n_sectors;
	pthread_mutex_init(&log->flush, NULL);
	return 0;
}

static int log_open_file(struct oplog *log, const char *path, int flags)
{
	memset(log, 0, sizeof(*log));
	log->fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
	if (log->fd < 0)
		return -errno;
	if (flock(log->fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	close(log->fd);
	return -EWOULDBLOCK;
}

/* Emptied first, so that nothing of an earlier run is left. */
static int oplog_make(struct oplog *log, uint64_t n_sectors, uint64_t seed)
{
	struct log_head head = {
		.magic = LOG_MAGIC,
		.version = LOG_VERSION,
		.seed = seed,
		.n_sectors = n_sectors,
	};
	int error;

	if (n_sectors > LOG_MAX_SECTORS)
		return -EFBIG;
	if (getrandom(&head.device, sizeof(head.device), 0) < 0 ||
	    ftruncate(log->fd, 0) != 0 ||
	    ftruncate(log->fd, (off_t)oplog_bytes(n_sectors)) != 0)
		return -errno;
	error = oplog_map(log, n_sectors);
	if (error == 0)
		*log->head = head;
	return error;
}

int oplog_create(struct oplog *log, const char *path, uint64_t n_sectors,
		 uint64_t seed)
{
	int error = log_open_file(log, path, O_CREAT);

	if (error != 0)
		return error;
	error = oplog_make(log, n_sectors, seed);
	if (error != 0)
		close(log->fd);
	return error;
}

static int log_take_up(struct oplog *log)
{
	struct log_head head;
	struct stat st;

	if (pread(log->fd, &head, sizeof(head), 0) != sizeof(head) ||
	    head.magic != LOG_MAGIC || head.version != LOG_VERSION ||
	    head.durable > 1 || head.n_sectors > LOG_MAX_SECTORS ||
	    fstat(log->fd, &st) != 0 ||
	    (size_t)st.st_size != oplog_bytes(head.n_sectors))
		return -EINVAL;
	if (!head.is_begun)
		return -ENODATA;
	return oplog_map(log, head.n_sectors);
}

int oplog_open(struct oplog *log, const char *path)
{
	int error = log_open_file(log, path, 0);

	if (error != 0)
		return error;
	error = log_take_up(log);
	if (error != 0)
		close(log->fd);
	return error;
}

void oplog_close(struct oplog *log)
{
	pthread_mutex_destroy(&log->flush);
	munmap(log->head, log->len);
	close(log->fd);
}

static void oplog_store(uint32_t *number, uint32_t value)
{
	__atomic_store_n(number, value, __ATOMIC_RELEASE);
}

void oplog_begin(struct oplog *log)
{
	oplog_store(&log->head->is_begun, 1);
}

void oplog_issue(struct oplog *log, const struct op *op)
{
	for (uint64_t i = op->sector; i < op->sector + op->n_sectors; i++) {
		uint32_t sequence = log->issued[i] + 1;

		if (op->kind == OP_ZERO)
			oplog_store(&log->zeroed[i], sequence);
		else if (op->kind == OP_DISCARD)
			oplog_store(&log->discarded[i], sequence);
		oplog_store(&log->issued[i], sequence);
	}
}

void oplog_ack(struct oplog *log, const struct op *op)
{
	for (uint64_t i = op->sector; i < op->sector + op->n_sectors; i++) {
		oplog_store(&log->acked[i], log->issued[i]);
		if (op->kind == OP_FUA_WRITE)
			oplog_store(&log->fua[i], log->issued[i]);
	}
}

/*
 * Flushes do not overlap: with one at a time, two copies are enough, and the
 * one that counts is never written to.
 */
void log_flush_begin(struct oplog *log)
{
	uint32_t *copy;

	pthread_mutex_lock(&log->flush);
	copy = log->durable[!log->head->durable];
	for (uint64_t i = 0; i < log->head->n_sectors; i++)
		copy[i] = __atomic_load_n(&log->acked[i], __ATOMIC_ACQUIRE);
}

void log_flush_end(struct oplog *log, bool is_ok)
{
	if (is_ok)
		oplog_store(&log->head->durable, !log->head->durable);
	pthread_mutex_unlock(&log->flush);
}

uint32_t oplog_least(const struct oplog *log, uint64_t sector, enum after after)
{
	uint32_t flushed = log->durable[log->head->durable][sector];

	if (after == AFTER_CRASH)
		return log->acked[sector];
	return flushed > log->fua[sector] ? flushed : log->fua[sector];
}
