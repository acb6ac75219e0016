/* SPDX-License-Identifier: MIT */
/*
 * test-checker - the block checker: that each kind of damage is seen as what
 * it is, that nothing else is, and what it finds on drivers' callbacks.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdalign.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "checker.h"
#include "dev.h"
#include "msg.h"
#include "opt.h"
#include "tap.h"

#define DISK_SECTORS 2049U /* no whole number of chunks */
#define DISK_BYTES ((size_t)DISK_SECTORS * SECTOR_BYTES)
#define MAX_WORDS 8

static alignas(8) unsigned char buffer[SECTOR_BYTES];
static char caught[4096];
static char dir[64];
static char log_path[96], disk_path[96];

/* --- sectors ------------------------------------------------------------- */

static struct sector_id make(uint64_t device, uint64_t sector, uint64_t n)
{
	struct sector_id id = {
		.device = device,
		.sector = sector,
		.sequence = n,
		.writer = 1,
	};

	sector_fill(buffer, &id);
	return id;
}

static enum content look(void)
{
	struct sector_id id;

	return sector_read(buffer, &id);
}

static void test_sector_damage(void)
{
	unsigned int n = 0;

	make(1, 2, 3);
	for (unsigned int bit = 0; bit < SECTOR_BYTES * 8; bit++) {
		buffer[bit / 8] ^= (unsigned char)(1U << bit % 8);
		n += look() == CONTENT_TORN;
		buffer[bit / 8] ^= (unsigned char)(1U << bit % 8);
	}
	ok(n == SECTOR_BYTES * 8, "sector: torn by any bit (%u)", n);
	ok(look() == CONTENT_WHOLE, "sector: whole again");
}

/* Two writes of a sector that meet anywhere within it. */
static void test_sector_cuts(void)
{
	unsigned char older[SECTOR_BYTES], newer[SECTOR_BYTES];
	unsigned int n = 0;

	make(1, 2, 3);
	memcpy(older, buffer, sizeof(older));
	make(1, 2, 4);
	memcpy(newer, buffer, sizeof(newer));
	for (unsigned int cut = 32; cut <= SECTOR_BYTES - 8; cut++) {
		memcpy(buffer, newer, cut);
		memcpy(buffer + cut, older + cut, SECTOR_BYTES - cut);
		n += look() == CONTENT_TORN;
		memset(buffer + cut, 0, SECTOR_BYTES - cut);
		n += look() == CONTENT_TORN;
	}
	ok(n == 2 * (SECTOR_BYTES - 39), "sector: torn by any cut (%u)", n);
}

static void test_sector(void)
{
	struct sector_id id, wanted;

	ok(crc32c("123456789", 9) == 0xe3069283, "crc32c");
	wanted = make(1, 2, 3);
	ok(sector_read(buffer, &id) == CONTENT_WHOLE &&
		   memcmp(&id, &wanted, sizeof(id)) == 0,
	   "sector: reads as made");
	test_sector_damage();
	test_sector_cuts();
	memset(buffer, 0, sizeof(buffer));
	ok(look() == CONTENT_ZERO, "sector: zeroes");
	buffer[SECTOR_BYTES - 1] = 1;
	ok(look() == CONTENT_OTHER, "sector: something else");
}

/* --- log and judge ------------------------------------------------------- */

static struct oplog log_;

static void issue(enum op_kind kind, uint64_t sector)
{
	struct op op = { .kind = kind, .sector = sector, .n_sectors = 1 };

	oplog_issue(&log_, &op);
}

static void ack(enum op_kind kind, uint64_t sector)
{
	struct op op = { .kind = kind, .sector = sector, .n_sectors = 1 };

	oplog_ack(&log_, &op);
}

static void done(enum op_kind kind, uint64_t sector)
{
	issue(kind, sector);
	ack(kind, sector);
}

static void flush(bool is_ok)
{
	log_flush_begin(&log_);
	log_flush_end(&log_, is_ok);
}

static enum verdict verdict(uint64_t sector, enum after after)
{
	return judge_sector(&log_, sector, buffer, after);
}

/* The verdicts about sequences 0 (zeroes, as before the run) to 9. */
static void sequences(const char *what, uint64_t sector, enum after after,
		      const char *wanted)
{
	char found[11] = "";

	for (unsigned int n = 0; n < 10; n++) {
		memset(buffer, 0, sizeof(buffer));
		if (n > 0)
			make(log_.head->device, sector, n);
		found[n] = "gltfsm"[verdict(sector, after)];
	}
	ok(strcmp(found, wanted) == 0, "judge: %s: %s", what, found);
}

static void test_judge_bounds(void)
{
	sequences("never written", 0, AFTER_CRASH, "gfffffffff");
	issue(OP_WRITE, 1);
	sequences("issued", 1, AFTER_CRASH, "ggffffffff");
	ack(OP_WRITE, 1);
	sequences("acknowledged", 1, AFTER_CRASH, "lgffffffff");
	sequences("not flushed", 1, AFTER_POWER_LOSS, "ggffffffff");
	flush(true);
	sequences("flushed", 1, AFTER_POWER_LOSS, "lgffffffff");
	done(OP_WRITE, 1);
	done(OP_WRITE, 1);
	issue(OP_WRITE, 1);
	sequences("more of them", 1, AFTER_CRASH, "lssggfffff");
	sequences("more of them", 1, AFTER_POWER_LOSS, "lggggfffff");
	flush(false);
	sequences("a flush failed", 1, AFTER_POWER_LOSS, "lggggfffff");
	log_flush_begin(&log_);
	done(OP_WRITE, 1);
	log_flush_end(&log_, true);
	sequences("during a flush", 1, AFTER_POWER_LOSS, "lssgggffff");
	done(OP_FUA_WRITE, 1);
	sequences("FUA", 1, AFTER_POWER_LOSS, "lsssssgfff");
}

static void test_judge_zeroes(void)
{
	done(OP_WRITE, 2);
	issue(OP_ZERO, 2);
	sequences("zeroing issued", 2, AFTER_CRASH, "gggfffffff");
	ack(OP_ZERO, 2);
	sequences("zeroed", 2, AFTER_CRASH, "gsgfffffff");
	done(OP_WRITE, 2);
	sequences("written again", 2, AFTER_CRASH, "lssgffffff");
	flush(true);
	issue(OP_DISCARD, 2);
	sequences("discard issued", 2, AFTER_CRASH, "gggggfffff");
	ack(OP_DISCARD, 2);
	sequences("discarded", 2, AFTER_POWER_LOSS, "gggggfffff");
	done(OP_FUA_WRITE, 2);
	sequences("after a discard", 2, AFTER_POWER_LOSS, "lssssgffff");
}

static void test_judge_damage(void)
{
	done(OP_WRITE, 3);
	make(log_.head->device, 4, 1);
	ok(verdict(3, AFTER_CRASH) == VERDICT_MISPLACED, "judge: misplaced");
	ok(verdict(0, AFTER_CRASH) == VERDICT_MISPLACED,
	   "judge: misplaced to where nothing was written");
	make(log_.head->device, 3, 1);
	ok(verdict(3, AFTER_CRASH) == VERDICT_GOOD, "judge: good");
	memset(buffer + 256, 0, 256);
	ok(verdict(3, AFTER_CRASH) == VERDICT_TORN, "judge: torn");
	make(log_.head->device + 1, 3, 1);
	ok(verdict(3, AFTER_CRASH) == VERDICT_FOREIGN, "judge: of another run");
	log_.initial[3] = sector_fingerprint(buffer);
	ok(verdict(3, AFTER_CRASH) == VERDICT_LOST, "judge: as before");
	log_.initial[0] = sector_fingerprint(buffer);
	ok(verdict(0, AFTER_CRASH) == VERDICT_GOOD, "judge: left as it was");
	memset(buffer, 'x', sizeof(buffer));
	ok(verdict(3, AFTER_CRASH) == VERDICT_FOREIGN, "judge: other bytes");
}

static void test_judge(void)
{
	memset(buffer, 0, sizeof(buffer));
	ok(oplog_create(&log_, log_path, 8, 42) == 0, "log: made");
	oplog_begin(&log_);
	test_judge_bounds();
	test_judge_zeroes();
	test_judge_damage();
	oplog_close(&log_);
}

static void test_log(void)
{
	struct oplog second;

	ok(oplog_open(&log_, log_path) == 0 && log_.head->seed == 42 &&
		   log_.issued[1] == 6 && log_.acked[1] == 6,
	   "log: is there again");
	ok(oplog_open(&second, log_path) == -EWOULDBLOCK, "log: one user");
	oplog_close(&log_);
	ok(oplog_create(&log_, log_path, 8, 42) == 0, "log: made again");
	oplog_close(&log_);
	ok(oplog_open(&log_, log_path) == -ENODATA,
	   "log: refused when it was not begun");
	ok(truncate(log_path, 5000) == 0 &&
		   oplog_open(&log_, log_path) == -EINVAL,
	   "log: refused when cut");
	ok(truncate(log_path, 0) == 0 && oplog_open(&log_, log_path) == -EINVAL,
	   "log: refused when empty");
}

/* --- workload ------------------------------------------------------------ */

static const struct plan plan_ = {
	.seed = 1,
	.depth = 4,
	.writers = 3,
	.ops = 6000,
	.flush_every = 47, /* so that none is the last operation */
};

/* Do all operations lie in the device, and none at another's sectors? */
static bool is_apart(const struct op *op, uint32_t writer,
		     unsigned char *owners)
{
	if (op->kind == OP_FLUSH)
		return true;
	if (op->n_sectors == 0 || op->n_sectors > OP_MAX_SECTORS ||
	    op->sector + op->n_sectors > DISK_SECTORS)
		return false;
	for (uint64_t i = op->sector; i < op->sector + op->n_sectors; i++) {
		if (owners[i] != 0 && owners[i] != writer + 1)
			return false;
		owners[i] = (unsigned char)(writer + 1);
	}
	return true;
}

static void test_workload_apart(void)
{
	static unsigned char owners[DISK_SECTORS];
	struct workload workloads[3];
	unsigned int n_apart = 0, n_touched = 0;
	struct op op;

	for (uint32_t w = 0; w < 3; w++)
		workload_init(&workloads[w], &plan_, DISK_SECTORS, 1, w);
	for (unsigned int n = 0; n < 3000; n++) {
		workload_next(&workloads[n % 3], &op);
		n_apart += is_apart(&op, n % 3, owners);
	}
	for (unsigned int i = 0; i < DISK_SECTORS; i++)
		n_touched += owners[i] != 0;
	ok(n_apart == 3000, "workload: each writer has its own (%u)", n_apart);
	ok(n_touched > DISK_SECTORS * 9 / 10, "workload: all is used (%u)",
	   n_touched);
}

static void test_workload_seed(void)
{
	struct plan other = plan_;
	struct workload a, b, c;
	struct op op[3] = { 0 };
	unsigned int n_same = 0, n_other = 0;

	other.seed = 2;
	workload_init(&a, &plan_, DISK_SECTORS, 1, 0);
	workload_init(&b, &plan_, DISK_SECTORS, 1, 0);
	workload_init(&c, &other, DISK_SECTORS, 1, 0);
	for (unsigned int n = 0; n < 100; n++) {
		workload_next(&a, &op[0]);
		workload_next(&b, &op[1]);
		workload_next(&c, &op[2]);
		n_same += memcmp(&op[0], &op[1], sizeof(op[0])) == 0;
		n_other += memcmp(&op[0], &op[2], sizeof(op[0])) == 0;
	}
	ok(n_same == 100, "workload: the seed's");
	ok(n_other < 20, "workload: another seed's is another");
	ok(workload_init(&a, &plan_, 2, 1, 0) == -ENOSPC,
	   "workload: too many writers");
}

/* --- a disk with faults -------------------------------------------------- */

enum fault {
	FAULT_NONE,
	FAULT_DROP,
	FAULT_DROP_ALL,
	FAULT_HALF,
	FAULT_SHIFT,
	FAULT_JUNK,
	FAULT_ERROR,
	FAULT_NO_FLUSH
};

/* A volatile cache and what is below it; every 20th write goes wrong
 * (or all). */
struct disk {
	struct target target;
	pthread_mutex_t lock;
	enum fault fault;
	unsigned int n_writes;
	unsigned char *cache;
	unsigned char *durable;
};

static void *disk_lane_open(struct target *target, unsigned int depth)
{
	(void)depth;
	return target;
}

static void disk_lane_close(void *lane)
{
	(void)lane;
}

static int disk_write(struct disk *disk, const struct slot *slot)
{
	size_t len = (size_t)slot->op.n_sectors * SECTOR_BYTES;
	unsigned char *at = disk->cache + slot->op.sector * SECTOR_BYTES;
	bool is_last = slot->op.sector + slot->op.n_sectors == DISK_SECTORS;
	enum fault fault = disk->fault;

	if (fault == FAULT_DROP_ALL)
		return 0;
	if (disk->n_writes++ % 20 != 0)
		fault = FAULT_NONE;
	if (fault == FAULT_ERROR)
		return EIO;
	if (fault == FAULT_DROP)
		return 0;
	if (fault == FAULT_SHIFT && !is_last)
		at += SECTOR_BYTES;
	memcpy(at, slot->data, fault == FAULT_HALF ? len - 256 : len);
	if (fault == FAULT_JUNK)
		memset(at, 0x55, SECTOR_BYTES);
	if (slot->op.kind == OP_FUA_WRITE && disk->fault != FAULT_NO_FLUSH)
		memcpy(disk->durable + (at - disk->cache), at, len);
	return 0;
}

static int disk_do(struct disk *disk, struct slot *slot)
{
	size_t len = (size_t)slot->op.n_sectors * SECTOR_BYTES;
	unsigned char *at = disk->cache + slot->op.sector * SECTOR_BYTES;

	switch (slot->op.kind) {
	case OP_READ:
		memcpy(slot->data, at, len);
		return 0;
	case OP_FLUSH:
		if (disk->fault != FAULT_NO_FLUSH)
			memcpy(disk->durable, disk->cache, DISK_BYTES);
		return 0;
	case OP_ZERO:
		memset(at, 0, len);
		return 0;
	case OP_DISCARD:
		return EOPNOTSUPP;
	default:
		return disk_write(disk, slot);
	}
}

static bool disk_start(void *lane, struct slot *slot)
{
	struct disk *disk = lane;

	pthread_mutex_lock(&disk->lock);
	slot->error = disk_do(disk, slot);
	pthread_mutex_unlock(&disk->lock);
	return true;
}

static void disk_init(struct disk *disk, enum fault fault)
{
	*disk = (struct disk){
		.target = { .name = "disk",
			    .n_sectors = DISK_SECTORS,
			    .block_sectors = 1,
			    .lane_open = disk_lane_open,
			    .lane_close = disk_lane_close,
			    .start = disk_start },
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.fault = fault,
		.cache = calloc(1, DISK_BYTES),
		.durable = calloc(1, DISK_BYTES),
	};
}

static void disk_free(struct disk *disk)
{
	free(disk->cache);
	free(disk->durable);
}

/* Runs a workload; true when that was possible at all. */
static bool check_run(struct target *target, struct tally *tally)
{
	memset(tally, 0, sizeof(*tally));
	tally->name = target->name;
	return oplog_create(&log_, log_path, target->n_sectors, 1) == 0 &&
	       run_workload(target, &log_, &plan_, tally) == 0;
}

static bool check_judge(struct target *target, enum after after,
			struct tally *tally)
{
	memset(tally, 0, sizeof(*tally));
	tally->name = target->name;
	return run_judge(target, &log_, after, tally) == 0;
}

static void test_fault(const char *what, enum fault fault, enum verdict seen,
		       enum verdict also)
{
	struct tally during, after;
	struct disk disk;

	disk_init(&disk, fault);
	ok(check_run(&disk.target, &during) &&
		   check_judge(&disk.target, AFTER_CRASH, &after),
	   "%s: runs", what);
	ok(!tally_is_clean(&during) && !tally_is_clean(&after),
	   "%s: seen during the run and after it", what);
	ok(after.n[seen] > 0, "%s: in its class", what);
	for (int i = VERDICT_GOOD + 1; i < VERDICT_COUNT; i++)
		if (i != (int)seen && i != (int)also && after.n[i] != 0 &&
		    fault != FAULT_SHIFT)
			ok(false, "%s: in class %d", what, i);
	tap_caught(caught, sizeof(caught));
	ok(strstr(caught, "disk: sector ") != NULL, "%s: told", what);
	oplog_close(&log_);
	disk_free(&disk);
}

static void test_disk_good(void)
{
	struct tally tally;
	struct disk disk;

	disk_init(&disk, FAULT_NONE);
	ok(check_run(&disk.target, &tally) && tally_is_clean(&tally) &&
		   tally.n_ops == 6000 && tally.n[VERDICT_GOOD] > 1000,
	   "a good disk: is good");
	ok(check_judge(&disk.target, AFTER_CRASH, &tally) &&
		   tally_is_clean(&tally) &&
		   tally.n[VERDICT_GOOD] == DISK_SECTORS,
	   "a good disk: all of it");
	memcpy(disk.cache, disk.durable, DISK_BYTES);
	ok(check_judge(&disk.target, AFTER_POWER_LOSS, &tally) &&
		   tally_is_clean(&tally),
	   "a good disk: after power loss");
	ok(check_judge(&disk.target, AFTER_CRASH, &tally) &&
		   !tally_is_clean(&tally),
	   "a good disk: lost something that it may lose then only");
	oplog_close(&log_);
	disk_free(&disk);
}

/* Threads race, yet each sector sees the same from run to run. */
static void test_disk_again(void)
{
	static uint32_t issued[DISK_SECTORS];
	struct tally tally;
	struct disk disk;

	disk_init(&disk, FAULT_NONE);
	ok(check_run(&disk.target, &tally), "again: runs");
	memcpy(issued, log_.issued, sizeof(issued));
	oplog_close(&log_);
	ok(check_run(&disk.target, &tally), "again: runs again");
	ok(memcmp(issued, log_.issued, sizeof(issued)) == 0,
	   "again: the same sequences");
	ok(tally_is_clean(&tally), "again: on what another run left");
	oplog_close(&log_);
	disk_free(&disk);
}

static void test_disk_no_flush(void)
{
	struct tally tally;
	struct disk disk;

	disk_init(&disk, FAULT_NO_FLUSH);
	ok(check_run(&disk.target, &tally) && tally_is_clean(&tally),
	   "flush does nothing: not seen while power is on");
	memcpy(disk.cache, disk.durable, DISK_BYTES);
	ok(check_judge(&disk.target, AFTER_POWER_LOSS, &tally) &&
		   tally.n[VERDICT_LOST] > 0,
	   "flush does nothing: seen after power loss");
	oplog_close(&log_);
	disk_free(&disk);
}

static void test_disk_error(void)
{
	struct tally tally;
	struct disk disk;

	tap_caught(caught, sizeof(caught));
	disk_init(&disk, FAULT_ERROR);
	ok(check_run(&disk.target, &tally) && tally.client_errors > 50,
	   "errors: counted");
	tally.client_errors = 0;
	ok(tally_is_clean(&tally), "errors: nothing else is wrong");
	ok(check_judge(&disk.target, AFTER_CRASH, &tally) &&
		   tally_is_clean(&tally),
	   "errors: afterwards neither");
	oplog_close(&log_);
	disk_free(&disk);
	tap_caught(caught, sizeof(caught));
	ok(strstr(caught, "Input/output error") != NULL, "errors: told");
}

/* --- drivers' callbacks -------------------------------------------------- */

extern const struct driver driver_ram, driver_loop;

/* Opens a driver with the words of a command line, NULL at the end. */
static int open_words(struct dev *dev, const struct driver *driver,
		      const char *const *words)
{
	static char text[MAX_WORDS][96];
	static char *argv[MAX_WORDS];
	struct opt_group groups[] = { { .opts = driver->opts },
				      { .opts = NULL } };
	int argc = 0;

	memset(dev, 0, sizeof(*dev));
	dev->driver = driver;
	dev->control = -1;
	dev->kept_memory = calloc(1, driver->kept_size + 1);
	dev->priv = groups[0].base = calloc(1, driver->priv_size);
	for (; words[argc] != NULL; argc++) {
		snprintf(text[argc], sizeof(text[argc]), "%s", words[argc]);
		argv[argc] = text[argc];
	}
	dev->operands = argv;
	if (opt_parse("test", groups, argc, argv) != driver->n_operands)
		return EXIT_USAGE;
	return dev_open(dev);
}

#define OPEN(dev, driver, ...) \
	open_words(dev, &driver, (const char *const[]){ __VA_ARGS__, NULL })

static void close_dev(struct dev *dev, const char *what)
{
	ok(dev_close(dev) == EXIT_DONE, "%s: closes", what);
	free(dev->priv);
	free(dev->kept_memory);
}

static void check_driver(struct dev *dev, const char *what)
{
	struct callbacks callbacks;
	struct tally tally;

	callbacks_init(&callbacks, dev, what);
	ok(check_run(&callbacks.target, &tally) && tally_is_clean(&tally) &&
		   tally.n[VERDICT_GOOD] > 1000,
	   "%s: good during the run", what);
	ok(check_judge(&callbacks.target, AFTER_CRASH, &tally) &&
		   tally_is_clean(&tally),
	   "%s: good after it", what);
}

static void test_ram(const char *what, const char *option)
{
	struct dev dev;

	ok(OPEN(&dev, driver_ram, "--size", "1050112", option) == EXIT_DONE,
	   "%s: opens", what);
	check_driver(&dev, what);
	close_dev(&dev, what);
	oplog_close(&log_);
}

static int make_file(void)
{
	int fd = open(disk_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, 1 << 20) != 0)
		perror(disk_path);
	return fd;
}

static void reopened(struct tally *tally)
{
	struct callbacks callbacks;
	struct dev dev;

	ok(OPEN(&dev, driver_loop, disk_path) == EXIT_DONE, "loop: reopens");
	callbacks_init(&callbacks, &dev, "loop");
	ok(check_judge(&callbacks.target, AFTER_CRASH, tally), "loop: judged");
	close_dev(&dev, "loop, reopened");
}

/* A sector that must be written data now, and not zeroed or discarded. */
static uint64_t some_data(void)
{
	uint64_t i = 0;

	while (log_.acked[i] == 0 || log_.zeroed[i] == log_.acked[i] ||
	       log_.discarded[i] == log_.acked[i])
		i++;
	return i;
}

static void test_loop(const char *what, const char *option)
{
	struct tally tally;
	struct dev dev;
	int fd = make_file();

	if (OPEN(&dev, driver_loop, disk_path, option) != EXIT_DONE) {
		ok(option != NULL, "%s # SKIP not on this file system", what);
		free(dev.priv);
		free(dev.kept_memory);
		close(fd);
		return;
	}
	check_driver(&dev, what);
	close_dev(&dev, what);
	reopened(&tally);
	ok(tally_is_clean(&tally), "%s: good when opened again", what);
	memset(buffer, 0, sizeof(buffer));
	ok(pwrite(fd, buffer, sizeof(buffer),
		  (off_t)some_data() * SECTOR_BYTES) == sizeof(buffer),
	   "%s: damaged", what);
	reopened(&tally);
	ok(tally.n[VERDICT_LOST] == 1 && tally.n[VERDICT_TORN] == 0,
	   "%s: the damage is seen", what);
	oplog_close(&log_);
	close(fd);
}

/* --- a run that is killed ------------------------------------------------ */

static void run_forever(void)
{
	struct plan plan = plan_;
	struct tally tally = { .name = disk_path };
	struct device device;

	plan.ops = 0;
	if (device_open(&device, disk_path, false) == 0 &&
	    oplog_create(&log_, log_path, device.target.n_sectors, 1) == 0)
		run_workload(&device.target, &log_, &plan, &tally);
	_exit(1);
}

static void wait_for_begin(void)
{
	struct log_head head = { .is_begun = 0 };

	for (int n = 0; n < 5000 && !head.is_begun; n++) {
		int fd = open(log_path, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || pread(fd, &head, sizeof(head), 0) < 0)
			head.is_begun = 0;
		if (fd >= 0)
			close(fd);
		usleep(1000);
	}
}

/* 1 when what was there after SIGKILL was right, and something was. */
static int run_killed(useconds_t us)
{
	struct device device;
	struct tally tally;
	int is_right = 0, status;
	pid_t pid;

	unlink(log_path);
	pid = fork();
	if (pid == 0)
		run_forever();
	wait_for_begin();
	usleep(us);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (device_open(&device, disk_path, true) != 0 ||
	    oplog_open(&log_, log_path) != 0)
		return 0;
	is_right = WIFSIGNALED(status) &&
		   check_judge(&device.target, AFTER_CRASH, &tally) &&
		   tally_is_clean(&tally) && tally.n[VERDICT_GOOD] > 0;
	oplog_close(&log_);
	device_close(&device);
	return is_right;
}

static void test_killed(void)
{
	int n = 0;

	close(make_file());
	for (useconds_t us = 0; us < 100000; us += 10000)
		n += run_killed(us);
	ok(n == 10, "a run that is killed leaves a log that is right (%d)", n);
}

static bool make_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%.40s/bdus-test-XXXXXX",
		 tmp != NULL ? tmp : "/tmp");
	snprintf(log_path, sizeof(log_path), "%s/log",
		 mkdtemp(dir) != NULL ? dir : "/nonexistent");
	snprintf(disk_path, sizeof(disk_path), "%s/disk", dir);
	return access(dir, W_OK) == 0;
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	tap_catch();
	if (!make_dir()) {
		perror(dir);
		return 1;
	}
	test_sector();
	test_judge();
	test_log();
	test_workload_apart();
	test_workload_seed();
	test_disk_good();
	test_fault("writes dropped", FAULT_DROP_ALL, VERDICT_LOST,
		   VERDICT_LOST);
	test_fault("a write dropped", FAULT_DROP, VERDICT_STALE, VERDICT_LOST);
	test_fault("half a sector", FAULT_HALF, VERDICT_TORN, VERDICT_TORN);
	test_fault("a write elsewhere", FAULT_SHIFT, VERDICT_MISPLACED,
		   VERDICT_STALE);
	test_fault("other bytes", FAULT_JUNK, VERDICT_FOREIGN, VERDICT_FOREIGN);
	test_disk_again();
	test_disk_no_flush();
	test_disk_error();
	test_ram("ram", NULL);
	test_ram("ram --lazy", "--lazy");
	test_loop("loop", NULL);
	test_loop("loop --direct", "--direct");
	test_killed();
	unlink(disk_path);
	unlink(log_path);
	rmdir(dir);
	return tap_done();
}
