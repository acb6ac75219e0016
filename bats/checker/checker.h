/* SPDX-License-Identifier: MIT */
/*
 * checker.h - the block checker: did a disk keep what it acknowledged?
 *
 * Every sector that is written says what it is: which device, which sector,
 * and which write of that sector. A log elsewhere knows which of
 * these sequences were issued, acknowledged and flushed. Whatever a sector
 * holds later is judged against it, be it after a crash of the driver (the
 * sequence lies in [last acknowledged, last issued]) or after power was lost
 * ([acknowledged before the last acknowledged flush, last issued]).
 *
 *	sector.c    the format of a sector
 *	oplog.c     the log
 *	judge.c     what was found against the log
 *	workload.c  from a seed to operations
 *	run.c       operations on a target, by several writers; reading it back
 *	device.c    a target: a block device or file
 *	callbacks.c a target: a driver's callbacks, without a kernel
 *	blockcheck.c  the program
 */
#ifndef BDUS_CHECKER_H
#define BDUS_CHECKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECTOR_BYTES 512U
/** OP_MAX_SECTORS - longest operation of a workload: 64 KiB. */
#define OP_MAX_SECTORS 128U
/** SWEEP_SECTORS - length of the reads that read a whole device. */
#define SWEEP_SECTORS 512U
/** EPOCH_OPS - operations of a writer before sectors change their owners. */
#define EPOCH_OPS 256U

/* --- sector.c ------------------------------------------------------------ */

/**
 * struct sector_id - what a sector says of itself
 * @magic: SECTOR_MAGIC
 * @device: number of the run that wrote it, from its log
 * @sector: where it belongs
 * @sequence: 1 for the first write, zeroing or discard of this sector, 2 for
 *	the next
 * @writer: who wrote it
 * @crc32c: of the fields before
 */
struct sector_id {
	uint64_t magic;
	uint64_t device;
	uint64_t sector;
	uint64_t sequence;
	uint32_t writer;
	uint32_t crc32c;
};

/**
 * enum content - what a sector looks like, whatever belongs there
 * @CONTENT_WHOLE: of the format, every byte of it as it was made
 * @CONTENT_TORN: some of it is of the format
 * @CONTENT_ZERO: zeroes
 * @CONTENT_OTHER: anything else
 */
enum content { CONTENT_WHOLE, CONTENT_TORN, CONTENT_ZERO, CONTENT_OTHER };

/** crc32c - checksum of iSCSI, ext4 and others: "123456789" is 0xe3069283. */
uint32_t crc32c(const void *data, size_t len);

/**
 * sector_fill - make a sector
 * @data: where to, SECTOR_BYTES, aligned to 8
 * @id: magic and crc32c are filled in
 */
void sector_fill(void *data, struct sector_id *id);

/**
 * sector_read - look at a sector
 * @data: SECTOR_BYTES, aligned to 8
 * @id: what it says; valid for CONTENT_WHOLE, a hint for CONTENT_TORN
 *
 * Return: what it looks like.
 */
enum content sector_read(const void *data, struct sector_id *id);

/** sector_fingerprint - 32 bits to know any content again by. */
uint32_t sector_fingerprint(const void *data);

/* --- workload.c ---------------------------------------------------------- */

enum op_kind { OP_READ, OP_WRITE, OP_FUA_WRITE, OP_FLUSH, OP_ZERO, OP_DISCARD };

/** struct op - an operation on a range of sectors; a flush has none */
struct op {
	enum op_kind kind;
	uint64_t sector;
	uint32_t n_sectors;
};

/**
 * struct plan - a workload as it was asked for
 * @seed: all operations follow from it and the numbers below
 * @depth: operations in flight, of each writer
 * @writers: threads
 * @ops: operations of all writers together; 0: no limit
 * @seconds: time after which no more are started; 0: no limit
 * @flush_every: operations of a writer from flush to flush; 0: no flush
 * @data_only: neither zeroing nor discard
 */
struct plan {
	uint64_t seed;
	uint64_t depth;
	uint64_t writers;
	uint64_t ops;
	uint64_t seconds;
	uint64_t flush_every;
	bool data_only;
};

/**
 * struct workload - the operations of one writer
 *
 * The device is cut into chunks, each of which is one writer's at a time, so
 * that no two writers are at the same sector; from epoch to epoch they change
 * hands. Thus the sequence of each sector is the seed's, not the scheduler's.
 */
struct workload {
	const struct plan *plan;
	uint64_t n_sectors;
	uint64_t n_chunks;
	uint32_t chunk_sectors;
	uint32_t block_sectors;
	uint32_t writer;
	uint64_t epoch;
	uint64_t n_ops;
	uint64_t random;
};

/**
 * workload_init - start the operations of a writer
 * @workload: to be filled in
 * @plan: stays with it
 * @n_sectors: of the device, a multiple of @block_sectors
 * @block_sectors: alignment of operations
 * @writer: number of the writer
 *
 * Return: 0, or -ENOSPC: the device is too small for so many writers.
 */
int workload_init(struct workload *workload, const struct plan *plan,
		  uint64_t n_sectors, uint32_t block_sectors, uint32_t writer);

/** workload_next - the next operation of this writer. */
void workload_next(struct workload *workload, struct op *op);

/** workload_turn - the next epoch begins; for all writers at once. */
void workload_turn(struct workload *workload);

/** op_name - "read" and so on, for messages. */
const char *op_name(enum op_kind kind);

/* --- oplog.c ------------------------------------------------------------- */

/** enum after - what happened before the device is judged */
enum after { AFTER_CRASH, AFTER_POWER_LOSS };

/**
 * struct log_head - the start of the log's file
 * @magic: LOG_MAGIC
 * @version: LOG_VERSION
 * @durable: which of the two copies of acknowledged sequences counts
 * @device: what the sectors of this run carry; no two runs share it
 * @seed: of the run
 * @n_sectors: that the log is about
 * @is_begun: what was there before the run is recorded, and may be overwritten
 */
struct log_head {
	uint64_t magic;
	uint32_t version;
	uint32_t durable;
	uint64_t device;
	uint64_t seed;
	uint64_t n_sectors;
	uint32_t is_begun;
};

/**
 * struct oplog - what was issued, acknowledged and flushed
 * @head: the mapped file
 * @len: its length
 * @fd: the file, locked
 * @issued: by sector, the last sequence that was issued
 * @acked: likewise, acknowledged
 * @fua: likewise, acknowledged as durable by itself
 * @zeroed: likewise, issued as a zeroing
 * @discarded: likewise, issued as a discard
 * @initial: by sector, the fingerprint of what was there before the run
 * @durable: two copies of @acked, of the start of a flush
 * @flush: held from the start to the end of a flush
 *
 * A shared mapping of a file, so that it outlives its process in any case.
 * Numbers of a sector are changed by the one writer that has it in flight;
 * issued before the operation is submitted, acked after it has ended.
 */
struct oplog {
	struct log_head *head;
	size_t len;
	int fd;
	uint32_t *issued;
	uint32_t *acked;
	uint32_t *fua;
	uint32_t *zeroed;
	uint32_t *discarded;
	uint32_t *initial;
	uint32_t *durable[2];
	pthread_mutex_t flush;
};

/**
 * oplog_create - start a log
 * @log: to be filled in
 * @path: of the file; what it held is gone
 * @n_sectors: of the device
 * @seed: to be kept
 *
 * Return: 0 or -errno (-EWOULDBLOCK: another process has it).
 */
int oplog_create(struct oplog *log, const char *path, uint64_t n_sectors,
		 uint64_t seed);

/** oplog_begin - what was there before is recorded: log->initial is filled in.
 */
void oplog_begin(struct oplog *log);

/**
 * oplog_open - take up a log
 * @log: to be filled in
 * @path: of the file
 *
 * Return: 0, -EINVAL (it is none), -ENODATA (killed before it had begun), or
 * another -errno.
 */
int oplog_open(struct oplog *log, const char *path);

/** oplog_close - give a log back. */
void oplog_close(struct oplog *log);

/** oplog_issue - an operation that changes sectors is about to be submitted. */
void oplog_issue(struct oplog *log, const struct op *op);

/** oplog_ack - an operation that changes sectors was acknowledged. */
void oplog_ack(struct oplog *log, const struct op *op);

/** log_flush_begin - a flush is about to be submitted; waits for another. */
void log_flush_begin(struct oplog *log);

/** log_flush_end - that flush has ended; what it covered counts if it is ok. */
void log_flush_end(struct oplog *log, bool is_ok);

/** oplog_least - the oldest sequence that a sector may have. */
uint32_t oplog_least(const struct oplog *log, uint64_t sector,
		     enum after after);

/* --- judge.c ------------------------------------------------------------- */

/**
 * enum verdict - what became of a sector
 * @VERDICT_GOOD: it holds what it may hold
 * @VERDICT_LOST: what was acknowledged is gone: zeroes, or as before the run
 * @VERDICT_TORN: not all of it is of one write
 * @VERDICT_FOREIGN: nothing that was ever issued
 * @VERDICT_STALE: an older write than the oldest that it may hold
 * @VERDICT_MISPLACED: a write of another sector
 */
enum verdict {
	VERDICT_GOOD,
	VERDICT_LOST,
	VERDICT_TORN,
	VERDICT_FOREIGN,
	VERDICT_STALE,
	VERDICT_MISPLACED,
	VERDICT_COUNT
};

/**
 * struct tally - what was counted
 * @name: of the device, for messages
 * @n: sectors by verdict
 * @n_ops: operations that ended
 * @run_ms: time that they took
 * @client_errors: operations that failed
 * @n_told: sectors that were bad enough to be printed; the first few are
 */
struct tally {
	const char *name;
	uint64_t n[VERDICT_COUNT];
	uint64_t n_ops;
	uint64_t run_ms;
	uint64_t client_errors;
	unsigned int n_told;
};

/** judge_sector - a verdict about one sector (@data aligned to 8). */
enum verdict judge_sector(const struct oplog *log, uint64_t sector,
			  const void *data, enum after after);

/** judge - judge and count a range; the first few bad sectors are printed. */
void judge(const struct oplog *log, const struct op *range, const void *data,
	   enum after after, struct tally *tally);

/** tally_error - count an operation that failed with a (positive) errno. */
void tally_error(struct tally *tally, const struct op *op, int error);

/** tally_add - add the counts of @from. */
void tally_add(struct tally *tally, const struct tally *from);

/** tally_is_clean - nothing bad, no error? */
bool tally_is_clean(const struct tally *tally);

/** tally_print - the summary line on stdout. */
void tally_print(const struct tally *tally, const struct oplog *log);

/* --- run.c --------------------------------------------------------------- */

/**
 * struct slot - an operation in flight
 * @op: the operation
 * @data: its data, aligned to 4096
 * @error: once it has ended: 0 or a positive errno
 * @index: below the depth of the lane
 * @is_busy: in flight
 */
struct slot {
	struct op op;
	void *data;
	int error;
	unsigned int index;
	bool is_busy;
};

/**
 * struct target - what operations are done on
 * @name: for messages
 * @n_sectors: its size, a multiple of @block_sectors
 * @block_sectors: alignment of operations
 * @lane_open: a way to it for one thread, of @depth slots; NULL and errno
 * @lane_close: no slot is in flight
 * @start: start an operation. Return: whether it has ended already; flush,
 *	zeroing and discard always have
 * @wait: wait for one of those that had not. Return: the slot
 */
struct target {
	const char *name;
	uint64_t n_sectors;
	uint32_t block_sectors;
	void *(*lane_open)(struct target *target, unsigned int depth);
	void (*lane_close)(void *lane);
	bool (*start)(void *lane, struct slot *slot);
	struct slot *(*wait)(void *lane);
};

/** run_stop - ends a run early, from a signal handler too. */
void run_stop(void);

/**
 * run_workload - do it, judging what is read on the way
 * @target: to be written to
 * @log: new; what @target holds before is recorded first
 * @plan: what to do
 * @tally: to be added to
 *
 * Return: 0, or -errno when it could not start.
 */
int run_workload(struct target *target, struct oplog *log,
		 const struct plan *plan, struct tally *tally);

/**
 * run_judge - read back and judge all sectors that the log is about
 *
 * Return: 0, or -errno when it could not start.
 */
int run_judge(struct target *target, const struct oplog *log, enum after after,
	      struct tally *tally);

/* --- device.c ------------------------------------------------------------ */

/**
 * struct device - a block device or file as a target
 * @target: the target; first, since targets are cast to it
 * @fd: it, past the page cache where that is possible
 * @is_file: a regular file, else a block device
 */
struct device {
	struct target target;
	int fd;
	bool is_file;
};

/**
 * device_open - open it
 * @device: to be filled in
 * @path: stays with it
 * @is_read_only: to be judged only; else nobody else may have a device open
 *
 * Return: 0 or -errno.
 */
int device_open(struct device *device, const char *path, bool is_read_only);

/** device_close - give it back. */
void device_close(struct device *device);

/* --- callbacks.c --------------------------------------------------------- */

struct dev;

/**
 * struct callbacks - a driver's callbacks as a target
 * @target: the target
 * @dev: an opened device (dev_open())
 */
struct callbacks {
	struct target target;
	struct dev *dev;
};

/** callbacks_init - make it. */
void callbacks_init(struct callbacks *callbacks, struct dev *dev,
		    const char *name);

#endif /* BDUS_CHECKER_H */
