/* SPDX-License-Identifier: MIT */
/*
 * test-record - recording a disk and replaying it: the log against what was
 * done, the states against all that are legal, counted out in another way, and
 * logs that are cut off, damaged, full, or continued.
 *
 * RECORD_SEED=N where to begin: a failure names its seed.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdalign.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "content.h"
#include "outage.h"
#include "dev.h"
#include "history.h"
#include "kept.h"
#include "msg.h"
#include "opt.h"
#include "rebuild.h"
#include "reclog.h"
#include "tap.h"
#include "trial.h"

#define SECTOR OUTAGE_SECTOR
#define DISK_BYTES (256U << 10)
#define MAX_IO (64U << 10)

extern const struct driver driver_record;

static alignas(4096) unsigned char buffer[MAX_IO];
static char dir[64], disk_path[96], log_path[96], image_path[96];
static char caught[4096];

/* --- the runtime's side -----------------------------------------------------
 */

static int last_error;

void io_done(struct io *io, int error)
{
	(void)io;
	last_error = error < 0 ? -error : error;
}

void io_done_addr(struct io *io, void *addr)
{
	memcpy(io->buf, addr, io->len);
	io_done(io, 0);
}

void io_defer(const struct io *io)
{
	(void)io;
}

void io_done_zero(struct io *io)
{
	memset(io->buf, 0, io->len);
	io_done(io, 0);
}

unsigned int io_worker(const struct io *io)
{
	(void)io;
	return 0;
}

/* The same kept memory for a driver and the one that follows it. */
static int open_record(struct dev *dev, void *kept, bool is_restart,
		       const char *const *words)
{
	static char text[16384], *argv[8];
	static size_t used;
	struct opt_group groups[] = { { .opts = driver_record.opts },
				      { .opts = NULL } };
	int argc = 0, code = EXIT_USAGE;

	memset(dev, 0, sizeof(*dev));
	dev->driver = &driver_record;
	dev->control = -1;
	dev->n_workers = 1;
	dev->kept_memory = kept;
	dev->priv = groups[0].base = calloc(1, driver_record.priv_size);
	for (; words[argc] != NULL; argc++) {
		argv[argc] = text + used;
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s",
					 words[argc]) +
			1;
	}
	dev->operands = argv;
	dev->is_restart = is_restart;
	if (opt_parse("test", groups, argc, argv) == 1)
		code = driver_record.open(dev);
	if (code != EXIT_DONE)
		free(dev->priv);
	return code;
}

#define OPEN(dev, kept, ...)          \
	open_record(dev, kept, false, \
		    (const char *const[]){ __VA_ARGS__, NULL })

static int close_record(struct dev *dev)
{
	int code = driver_record.close(dev);

	if (dev->does_keep)
		close(dev_kept(dev));
	free(dev->priv);
	return code;
}

static int run(struct dev *dev, void (*callback)(struct io *io), uint64_t off,
	       uint32_t len)
{
	struct io io = { .off = off, .len = len, .buf = buffer, .dev = dev };

	last_error = -1;
	callback(&io);
	return last_error;
}

/* --- files ------------------------------------------------------------------
 */

static void *kept_new(void)
{
	return kept_memory_make("record", driver_record.kept_size);
}

static void fill(void *to, size_t len, uint64_t *random)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t word = content_random(random);

		memcpy((char *)to + i, &word, 8);
	}
}

static void make_disk(bool is_empty)
{
	int fd = open(disk_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint64_t random = 7;

	fill(buffer, sizeof(buffer), &random);
	if (fd < 0 || ftruncate(fd, DISK_BYTES) != 0 ||
	    (!is_empty && pwrite(fd, buffer, 5000, 12288) != 5000))
		perror(disk_path);
	close(fd);
	unlink(log_path);
}

static bool file_is(const char *path, const unsigned char *wanted, size_t len)
{
	unsigned char *found = malloc(len);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool is_same = fd >= 0 && pread(fd, found, len, 0) == (ssize_t)len &&
		       memcmp(found, wanted, len) == 0;

	close(fd);
	free(found);
	return is_same;
}

/* --- what was done, and the log ---------------------------------------------
 */

struct snapshot {
	unsigned char *bytes;
	size_t n_operations;
};

static int do_step(struct dev *dev, unsigned char *model, uint64_t *random)
{
	uint32_t n = 1 + (uint32_t)(content_random(random) % 64);
	uint32_t first =
		(uint32_t)(content_random(random) % (DISK_BYTES / SECTOR - n));
	uint32_t off = first * SECTOR, len = n * SECTOR;

	fill(buffer, len, random);
	switch (content_random(random) % 8) {
	case 0:
		return run(dev, driver_record.flush, 0, 0);
	case 1:
		memset(model + off, 0, len);
		return run(dev, driver_record.write_zeroes, off, len);
	case 2:
		memset(model + off, 0, len);
		return run(dev, driver_record.discard, off, len);
	case 3:
		memcpy(model + off, buffer, len);
		return run(dev, driver_record.fua_write, off, len);
	default:
		memcpy(model + off, buffer, len);
		return run(dev, driver_record.write, off, len);
	}
}

/* The image after each operation is what the disk was then. */
static void check_snapshots(struct history *history,
			    const struct snapshot *snapshots, size_t n)
{
	struct rebuild rebuild;
	size_t good = 0;

	if (!ok(rebuild_open(&rebuild, history, NULL) == EXIT_DONE,
		"record: a base is made"))
		return;
	for (size_t i = 0; i < n; i++) {
		size_t count = snapshots[i].n_operations;
		struct outage outage = {
			.cut = count == 0 ?
				       0 :
				       history->operations[count - 1].issued + 1
		};

		good += rebuild_state(&rebuild, &outage) == 0 &&
			file_is(rebuild.path, snapshots[i].bytes, DISK_BYTES);
	}
	ok(good == n, "record: %zu of %zu images are what the disk was", good,
	   n);
	rebuild_close(&rebuild);
}

static void test_record(void)
{
	enum { N = 60, EACH = 5 };
	struct snapshot snapshots[N + 1];
	unsigned char *model = malloc(DISK_BYTES);
	uint64_t random = 11;
	struct history history;
	struct dev dev;
	size_t good = 0, n = 0;
	int fd;

	make_disk(false);
	fd = open(disk_path, O_RDONLY | O_CLOEXEC);
	ok(pread(fd, model, DISK_BYTES, 0) == DISK_BYTES, "record: a disk");
	close(fd);
	ok(OPEN(&dev, kept_new(), disk_path) == EXIT_DONE, "record: opens");
	for (int i = 0; i <= N; i++) {
		snapshots[i] = (struct snapshot){ malloc(DISK_BYTES), n };
		memcpy(snapshots[i].bytes, model, DISK_BYTES);
		for (int j = 0; j < EACH && i < N; j++, n++)
			good += do_step(&dev, model, &random) == 0;
	}
	ok(good == N * EACH, "record: %zu requests", good);
	ok(run(&dev, driver_record.read, 0, MAX_IO) == 0 &&
		   memcmp(buffer, model, MAX_IO) == 0,
	   "record: reads what was written");
	ok(close_record(&dev) == EXIT_DONE, "record: closes");
	ok(file_is(disk_path, model, DISK_BYTES), "record: is on the disk");
	if (ok(history_load(&history, log_path) == EXIT_DONE,
	       "record: the log can be read")) {
		ok(history.n_operations == n, "record: has %zu operations", n);
		check_snapshots(&history, snapshots, N + 1);
		history_free(&history);
	}
	for (int i = 0; i <= N; i++)
		free(snapshots[i].bytes);
	free(model);
}

/* --- logs made by hand ------------------------------------------------------
 */

#define SMALL_SECTORS 6U
#define SMALL_OPERATIONS 7U

/* A log without a driver: a disk of a few sectors. */
static void small_open(struct reclog *log)
{
	struct reclog_entry start = { .type = RECLOG_START,
				      .flags = RECLOG_HAS_BASE };
	int fd = open(log_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (reclog_create(log, fd, SMALL_SECTORS * SECTOR, SECTOR) != 0 ||
	    reclog_put(log, &start, NULL) != 0)
		perror(log_path);
}

static uint64_t small_issue(struct reclog *log, enum reclog_type type,
			    uint32_t first, uint32_t n, unsigned char value)
{
	struct reclog_entry entry = { .type = (uint16_t)type,
				      .off = (uint64_t)first * SECTOR,
				      .len = n * SECTOR };
	bool has_data = type == RECLOG_WRITE || type == RECLOG_FUA_WRITE;

	memset(buffer, value, (size_t)n * SECTOR);
	if (reclog_put(log, &entry, has_data ? buffer : NULL) != 0)
		perror(log_path);
	return entry.operation;
}

static void small_answer(struct reclog *log, uint64_t operation, int error)
{
	struct reclog_entry entry = { .type = RECLOG_DONE,
				      .operation = operation,
				      .error = error };

	if (reclog_put(log, &entry, NULL) != 0)
		perror(log_path);
}

/* What each sector holds: the number of the operation, or 0. */
struct small {
	unsigned char sectors[SMALL_SECTORS];
};

/* Another account of the same operations, to count out what is legal. */
struct event {
	bool is_answer;
	unsigned int operation;
};

struct account {
	struct {
		enum reclog_type type;
		uint32_t first, n;
		bool does_fail;
	} operations[SMALL_OPERATIONS];
	unsigned int n_operations;
	struct event events[2 * SMALL_OPERATIONS];
	unsigned int n_events;
};

static void account_make(struct account *account, uint64_t *random)
{
	static const enum reclog_type types[] = {
		RECLOG_WRITE, RECLOG_WRITE,	   RECLOG_WRITE,
		RECLOG_FLUSH, RECLOG_FLUSH,	   RECLOG_FUA_WRITE,
		RECLOG_WRITE, RECLOG_WRITE_ZEROES,
	};
	unsigned int open[SMALL_OPERATIONS], n_open = 0;

	*account = (struct account){ 0 };
	while (account->n_operations < SMALL_OPERATIONS || n_open > 0) {
		if (account->n_operations < SMALL_OPERATIONS &&
		    (n_open == 0 || content_random(random) % 2)) {
			unsigned int i = account->n_operations++;
			uint32_t first = (uint32_t)(content_random(random) %
						    SMALL_SECTORS);

			account->operations[i].type =
				types[content_random(random) % 8];
			account->operations[i].first = first;
			account->operations[i].n =
				1 + (uint32_t)(content_random(random) %
					       (SMALL_SECTORS - first));
			account->operations[i].does_fail =
				content_random(random) % 12 == 0;
			open[n_open++] = i;
			account->events[account->n_events++] =
				(struct event){ false, i };
			continue;
		}
		if (n_open > 0) {
			unsigned int which =
				(unsigned int)(content_random(random) % n_open);

			account->events[account->n_events++] =
				(struct event){ true, open[which] };
			open[which] = open[--n_open];
		}
	}
}

static void account_log(const struct account *account)
{
	struct reclog log;

	small_open(&log);
	for (unsigned int i = 0; i < account->n_events; i++) {
		const struct event *event = &account->events[i];
		unsigned int at = event->operation;
		bool is_flush = account->operations[at].type == RECLOG_FLUSH;

		if (event->is_answer)
			small_answer(&log, at + 1,
				     account->operations[at].does_fail ? EIO :
									 0);
		else
			small_issue(&log, account->operations[at].type,
				    is_flush ? 0 :
					       account->operations[at].first,
				    is_flush ? 0 : account->operations[at].n,
				    (unsigned char)(at + 1));
	}
	reclog_close(&log);
}

/*
 * After the first @n events: must an operation be there (1), not (-1), or who
 * knows (0)? One that failed is taken as not there once it would be durable.
 */
static int account_fate(const struct account *account, unsigned int n,
			unsigned int operation)
{
	bool is_answered = false, is_flushing[SMALL_OPERATIONS] = { false };

	for (unsigned int i = 0; i < n; i++) {
		const struct event *event = &account->events[i];
		unsigned int at = event->operation;

		if (at == operation && event->is_answer) {
			is_answered = true;
			if (account->operations[at].type == RECLOG_FUA_WRITE &&
			    !account->operations[at].does_fail)
				return 1;
		}
		if (account->operations[at].type != RECLOG_FLUSH)
			continue;
		if (!event->is_answer)
			is_flushing[at] = is_answered;
		else if (is_flushing[at] && !account->operations[at].does_fail)
			return account->operations[operation].does_fail ? -1 :
									  1;
	}
	return 0;
}

struct legal {
	unsigned int open[SMALL_OPERATIONS];
	unsigned int n_open;
	int fate[SMALL_OPERATIONS];
	unsigned int n_issued;
};

static void legal_find(const struct account *account, unsigned int n,
		       struct legal *legal)
{
	*legal = (struct legal){ 0 };
	for (unsigned int i = 0; i < n; i++)
		legal->n_issued += !account->events[i].is_answer;
	for (unsigned int i = 0; i < legal->n_issued; i++) {
		if (account->operations[i].type == RECLOG_FLUSH) {
			legal->fate[i] = -1;
			continue;
		}
		legal->fate[i] = account_fate(account, n, i);
		if (legal->fate[i] == 0)
			legal->open[legal->n_open++] = i;
	}
}

/* The disk with those open operations whose bits are set. */
static struct small legal_disk(const struct account *account,
			       const struct legal *legal, unsigned int bits)
{
	struct small disk = { { 0 } };
	unsigned int open = 0;

	for (unsigned int i = 0; i < legal->n_issued; i++) {
		bool is_there = legal->fate[i] > 0;

		if (legal->fate[i] == 0)
			is_there = bits & 1U << open++;
		for (uint32_t j = 0; is_there && j < account->operations[i].n;
		     j++)
			disk.sectors[account->operations[i].first + j] =
				account->operations[i].type ==
						RECLOG_WRITE_ZEROES ?
					0 :
					(unsigned char)(i + 1);
	}
	return disk;
}

/* Could a sector alone be so? For states in which writes are torn. */
static bool legal_sector(const struct account *account,
			 const struct legal *legal, uint32_t sector,
			 unsigned char value)
{
	for (unsigned int bits = 0; bits < 1U << legal->n_open; bits++)
		if (legal_disk(account, legal, bits).sectors[sector] == value)
			return true;
	return false;
}

static bool image_read(const char *path, struct small *disk)
{
	unsigned char bytes[SMALL_SECTORS * SECTOR];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool is_whole = pread(fd, bytes, sizeof(bytes), 0) == sizeof(bytes);

	close(fd);
	for (uint32_t i = 0; i < SMALL_SECTORS; i++) {
		disk->sectors[i] = bytes[i * SECTOR];
		for (uint32_t j = 1; j < SECTOR; j++)
			is_whole = is_whole &&
				   bytes[i * SECTOR + j] == disk->sectors[i];
	}
	return is_whole;
}

/* Entries of the log before the first event: the start. */
#define BEFORE_EVENTS 1U

struct counts {
	uint64_t n_states;
	uint64_t n_reached;
	uint64_t n_legal;
};

static bool state_is_legal(const struct account *account,
			   const struct outage *outage, const char *path,
			   bool *reached)
{
	unsigned int n = outage->cut == 0 ?
				 0 :
				 (unsigned int)outage->cut - BEFORE_EVENTS;
	bool is_torn =
		outage->kind == OUTAGE_TORN || outage->kind == OUTAGE_SECTORS;
	struct legal legal;
	struct small disk;

	legal_find(account, n, &legal);
	if (!image_read(path, &disk))
		return false;
	for (unsigned int bits = 0; bits < 1U << legal.n_open; bits++) {
		struct small one = legal_disk(account, &legal, bits);

		if (memcmp(&one, &disk, sizeof(disk)) != 0)
			continue;
		reached[n << SMALL_OPERATIONS | bits] = true;
		return true;
	}
	for (uint32_t i = 0; is_torn && i < SMALL_SECTORS; i++)
		is_torn = legal_sector(account, &legal, i, disk.sectors[i]);
	return is_torn;
}

/* Two subsets may make the same disk: it counts as reached by any of them. */
static void count_reached(const struct account *account, const bool *reached,
			  const struct history *history, struct counts *counts)
{
	for (size_t c = 0; c < history->n_cuts; c++) {
		unsigned int n =
			history->cuts[c] == 0 ?
				0 :
				(unsigned int)history->cuts[c] - BEFORE_EVENTS;
		struct legal legal;

		legal_find(account, n, &legal);
		for (unsigned int bits = 0; bits < 1U << legal.n_open; bits++) {
			struct small one = legal_disk(account, &legal, bits);
			unsigned int first = 0;
			struct small other;

			do
				other = legal_disk(account, &legal, first);
			while (memcmp(&one, &other, sizeof(one)) != 0 &&
			       ++first);
			if (first != bits)
				continue;
			counts->n_legal++;
			counts->n_reached +=
				reached[n << SMALL_OPERATIONS | bits];
		}
	}
}

static bool account_try(const struct account *account, uint64_t seed,
			struct counts *counts)
{
	bool *reached =
		calloc((2 * SMALL_OPERATIONS + 1) << SMALL_OPERATIONS, 1);
	struct history history;
	struct rebuild rebuild;
	struct outage *outages = NULL;
	bool is_good = true;
	size_t n = 0;

	account_log(account);
	if (history_load(&history, log_path) != EXIT_DONE)
		return false;
	if (rebuild_open(&rebuild, &history, NULL) != EXIT_DONE)
		return false;
	outages = outage_plan(&history, 400, 0, seed % 4 == 0, seed, &n);
	for (size_t i = 0; is_good && i < n; i++) {
		char name[OUTAGE_NAME];

		is_good = rebuild_state(&rebuild, &outages[i]) == 0 &&
			  state_is_legal(account, &outages[i], rebuild.path,
					 reached);
		outage_name(&outages[i], name);
		if (!is_good)
			printf("# seed %llu: %s is not legal\n",
			       (unsigned long long)seed, name);
	}
	counts->n_states += n;
	count_reached(account, reached, &history, counts);
	free(outages);
	free(reached);
	rebuild_close(&rebuild);
	history_free(&history);
	return is_good;
}

static void test_states(void)
{
	const char *text = getenv("RECORD_SEED");
	uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 1;
	struct counts counts = { 0 };
	bool is_good = true;
	int i;

	for (i = 0; is_good && i < 60; i++, seed++) {
		struct account account;
		uint64_t random = seed;

		account_make(&account, &random);
		is_good = account_try(&account, seed, &counts);
	}
	ok(is_good, "states: all of %llu are legal, in %d logs",
	   (unsigned long long)counts.n_states, i);
	ok(counts.n_reached * 5 >= counts.n_legal * 3,
	   "states: %llu of %llu that are legal were made",
	   (unsigned long long)counts.n_reached,
	   (unsigned long long)counts.n_legal);
}

/* Each name is read back, makes the same image, and others are refused. */
static void test_names(void)
{
	static const char *const bad[] = { "",	     "7",	    "7:",
					   "7:no",   "x:all",	    "7:all:1",
					   "-1:all", "7:subset:zz", "7:all " };
	struct outage outage, again;
	char name[OUTAGE_NAME];
	bool is_good = true;

	for (unsigned int kind = 0; kind < OUTAGE_KINDS; kind++) {
		outage = (struct outage){ .cut = 1234,
					  .kind = (enum outage_kind)kind,
					  .random = kind < 2 ? 0 : 0xabcdef };
		outage_name(&outage, name);
		is_good = is_good && outage_parse(name, &again) == 0 &&
			  memcmp(&outage, &again, sizeof(outage)) == 0;
	}
	ok(is_good, "names: are read back");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_good = is_good && outage_parse(bad[i], &again) != 0;
	ok(is_good, "names: others are refused");
}

/* --- damaged logs -----------------------------------------------------------
 */

static size_t read_log(unsigned char *bytes, size_t room)
{
	int fd = open(log_path, O_RDONLY | O_CLOEXEC);
	ssize_t n = pread(fd, bytes, room, 0);

	close(fd);
	return n > 0 ? (size_t)n : 0;
}

static void write_log(const unsigned char *bytes, size_t n)
{
	int fd = open(log_path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (pwrite(fd, bytes, n, 0) != (ssize_t)n)
		perror(log_path);
	close(fd);
}

static void test_damage(void)
{
	static unsigned char bytes[16384], copy[16384];
	/* where entries end: the start, a write of two sectors, its answer ...
	 */
	static const size_t ends[] = { 192, 1280, 1344, 1408, 1472, 1536, 0 };
	size_t n, n_flipped = 0, n_cut = 0, at = 0;
	struct history history;
	struct reclog log;

	small_open(&log);
	small_answer(&log, small_issue(&log, RECLOG_WRITE, 0, 2, 1), 0);
	small_answer(&log, small_issue(&log, RECLOG_FLUSH, 0, 0, 0), 0);
	small_issue(&log, RECLOG_DISCARD, 1, 3, 0);
	reclog_close(&log);
	n = read_log(bytes, sizeof(bytes));
	for (size_t bit = 0; bit < n * 8; bit++) {
		memcpy(copy, bytes, n);
		copy[bit / 8] ^= (unsigned char)(1U << bit % 8);
		write_log(copy, n);
		if (history_load(&history, log_path) == EXIT_DONE)
			history_free(&history);
		else
			n_flipped++;
	}
	ok(n_flipped == n * 8, "damage: each of %zu bits is seen (%zu)", n * 8,
	   n_flipped);
	tap_caught(caught, sizeof(caught));
	for (size_t len = ends[0]; len <= n; len++) {
		bool is_end = len == ends[at + 1];

		write_log(bytes, len);
		if (history_load(&history, log_path) != EXIT_DONE)
			break;
		at += is_end;
		n_cut += history.n_entries == at + 1 &&
			 history.is_cut_off == (len != ends[at]);
		history_free(&history);
	}
	ok(n_cut == n - ends[0] + 1 && at == 5,
	   "damage: what is before the cut is used, at each of %zu bytes",
	   n_cut);
	tap_caught(caught, sizeof(caught));
}

/* --- a driver's life --------------------------------------------------------
 */

static void test_refusals(void)
{
	void *kept = kept_new();
	struct dev dev;

	make_disk(true);
	ok(OPEN(&dev, kept, disk_path) == EXIT_DONE &&
		   close_record(&dev) == EXIT_DONE,
	   "refusals: the first log");
	ok(OPEN(&dev, kept_new(), disk_path) == EXIT_BUSY,
	   "refusals: no second one over it");
	tap_caught(caught, sizeof(caught));
	ok(strstr(caught, "--append") != NULL, "refusals: says what to do");
	ok(OPEN(&dev, kept_new(), "--record-log", disk_path, "--force",
		disk_path) != EXIT_DONE,
	   "refusals: the disk is no log");
	ok(OPEN(&dev, kept_new(), "--record-log", disk_path, "--append",
		disk_path) != EXIT_DONE,
	   "refusals: nor can it be continued as one");
	ok(OPEN(&dev, kept_new(), "--append", "--force", disk_path) ==
		   EXIT_USAGE,
	   "refusals: two ways at once");
	ok(OPEN(&dev, kept_new(), "--append", "--sizelimit", "4096",
		disk_path) == EXIT_FAILED,
	   "refusals: the log of a larger disk");
	tap_caught(caught, sizeof(caught));
	ok(strstr(caught, "262144 bytes, not 4096") != NULL,
	   "refusals: says both sizes");
	ok(OPEN(&dev, kept_new(), "--force", disk_path) == EXIT_DONE &&
		   close_record(&dev) == EXIT_DONE,
	   "refusals: --force");
}

/* A full log: the request fails and is not done; the log stays whole. */
static void test_full_log(void)
{
	struct rlimit before, limit;
	struct history history;
	unsigned char zeroes[4096] = { 0 };
	struct dev dev;
	int error = 0;
	size_t n = 0;

	make_disk(true);
	ok(OPEN(&dev, kept_new(), disk_path) == EXIT_DONE, "full: opens");
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = DISK_BYTES + 8192;
	setrlimit(RLIMIT_FSIZE, &limit);
	memset(buffer, 1, sizeof(buffer));
	for (; error == 0; n += error == 0)
		error = run(&dev, driver_record.write, n % 16 * 4096, 4096);
	ok(error == EFBIG, "full: the client is told: %s", strerror(error));
	ok(run(&dev, driver_record.write, 128 << 10, 4096) == EFBIG,
	   "full: again");
	setrlimit(RLIMIT_FSIZE, &before);
	ok(run(&dev, driver_record.read, 128 << 10, 4096) == 0 &&
		   memcmp(buffer, zeroes, 4096) == 0,
	   "full: what is not in the log is not on the disk");
	ok(run(&dev, driver_record.flush, 0, 0) == 0, "full: then it goes on");
	close_record(&dev);
	ok(history_load(&history, log_path) == EXIT_DONE &&
		   history.n_operations >= n + 1 && !history.is_cut_off,
	   "full: the log is whole, with %zu operations", history.n_operations);
	history_free(&history);
}

/* Its driver is killed with an operation in flight, in mid-entry. */
static void test_restart(void)
{
	unsigned char half[32] = { 0x42, 0x52, 0x45, 0x43 };
	void *kept = kept_new();
	struct history history;
	struct dev dev, next;
	struct stat st;
	int fd;

	make_disk(true);
	OPEN(&dev, kept, disk_path);
	run(&dev, driver_record.write, 0, 4096);
	run(&dev, driver_record.flush, 0, 0);
	run(&dev, driver_record.write, 4096, 4096);
	fd = open(log_path, O_RDWR | O_CLOEXEC);
	/* without the last answer, and with half an entry */
	ok(fstat(fd, &st) == 0 && ftruncate(fd, st.st_size - 64) == 0 &&
		   pwrite(fd, half, 32, st.st_size - 64) == 32,
	   "restart: half an entry is left");
	close(fd);
	close_record(&dev);
	ok(open_record(&next, kept, true,
		       (const char *const[]){ disk_path, NULL }) == EXIT_DONE,
	   "restart: goes on");
	run(&next, driver_record.write, 4096, 4096);
	run(&next, driver_record.flush, 0, 0);
	close_record(&next);
	ok(history_load(&history, log_path) == EXIT_DONE &&
		   history.n_operations == 5,
	   "restart: one log of 5 operations");
	ok(history.operations[2].is_lost && !history.operations[0].is_lost &&
		   !history.operations[3].is_lost &&
		   history.operations[3].durable != HISTORY_NEVER,
	   "restart: what was in flight was never answered");
	ok(history.operations[0].durable <= 6, "restart: what was flushed is");
	history_free(&history);
	ok(OPEN(&dev, kept_new(), "--append", disk_path) == EXIT_DONE &&
		   run(&dev, driver_record.write, 0, 512) == 0 &&
		   close_record(&dev) == EXIT_DONE &&
		   history_load(&history, log_path) == EXIT_DONE &&
		   history.n_operations == 6,
	   "restart: --append");
	history_free(&history);
	kept_memory_free(kept);
}

static void test_base(void)
{
	struct rebuild rebuild;
	struct history history;
	struct dev dev;
	char command[256];

	make_disk(false);
	snprintf(command, sizeof(command), "cp %s %s", disk_path, image_path);
	ok(system(command) == 0 &&
		   OPEN(&dev, kept_new(), "--no-base", disk_path) == EXIT_DONE,
	   "base: left out");
	run(&dev, driver_record.write, 0, 4096);
	close_record(&dev);
	ok(history_load(&history, log_path) == EXIT_DONE, "base: loads");
	ok(rebuild_open(&rebuild, &history, NULL) == EXIT_USAGE,
	   "base: is asked for");
	ok(rebuild_open(&rebuild, &history, disk_path) == EXIT_FAILED,
	   "base: another one is seen");
	ok(rebuild_open(&rebuild, &history, image_path) == EXIT_DONE,
	   "base: the right one will do");
	ok(rebuild_state(&rebuild, &(struct outage){ .cut = 2 }) == 0 &&
		   rebuild_save(&rebuild, image_path, false) == EXIT_BUSY &&
		   rebuild_save(&rebuild, image_path, true) == EXIT_DONE,
	   "base: an image is made");
	snprintf(command, sizeof(command), "cmp -s %s %s", disk_path,
		 image_path);
	ok(system(command) == 0, "base: and is the disk");
	rebuild_close(&rebuild);
	history_free(&history);
	tap_caught(caught, sizeof(caught));
	unlink(image_path);
}

/* --- trials -----------------------------------------------------------------
 */

/* What trial_run() returns; its report is not for TAP. */
static int trial(const struct history *history, const char *command,
		 const char *keep)
{
	struct trial what = {
		.command = command, .accept = "0", .keep = keep, .seed = 1
	};
	int out = dup(STDOUT_FILENO), null, code;
	struct rebuild rebuild;
	struct outage *outages;

	fflush(stdout);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	dup2(null, STDOUT_FILENO);
	outages = outage_plan(history, 0, 0, true, 1, &what.n_outages);
	what.outages = outages;
	code = rebuild_open(&rebuild, history, NULL);
	if (code == EXIT_DONE) {
		code = trial_run(&what, &rebuild);
		rebuild_close(&rebuild);
	}
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	close(null);
	close(out);
	free(outages);
	return code;
}

/* A record of two sectors, and a mark that it is there. */
static void write_marked(struct history *history, bool does_flush)
{
	struct reclog log;

	small_open(&log);
	for (unsigned char i = 0; i < 3; i++) {
		small_answer(&log,
			     small_issue(&log, RECLOG_WRITE, i * 2U % 4, 2,
					 (unsigned char)('a' + i)),
			     0);
		if (does_flush)
			small_answer(&log,
				     small_issue(&log, RECLOG_FLUSH, 0, 0, 0),
				     0);
		small_answer(&log,
			     small_issue(&log, RECLOG_FUA_WRITE, 5, 1,
					 (unsigned char)('a' + i)),
			     0);
	}
	reclog_close(&log);
	if (history_load(history, log_path) != EXIT_DONE)
		abort();
}

static void test_trials(void)
{
	/* where the mark says a, sectors 0 and 1 hold a, and so on */
	static const char command[] =
		"f=%; at() { dd if=$f bs=512 skip=$1 count=1 status=none | "
		"tr -d '\\0' | cut -c1; }; case $(at 5) in "
		"a) [ \"$(at 0)$(at 1)\" = aa ];; "
		"b) [ \"$(at 2)$(at 3)\" = bb ];; "
		"c) [ \"$(at 0)$(at 1)\" = cc ];; esac";
	char keep[96], path[256];
	struct history history;

	snprintf(keep, sizeof(keep), "%s/keep", dir);
	write_marked(&history, true);
	ok(trial(&history, "test $(stat -c %%s %) = 3072", NULL) == EXIT_DONE,
	   "trials: the command gets an image");
	ok(trial(&history, "cmp -s /dev/null", NULL) == EXIT_FAILED,
	   "trials: all fail");
	ok(trial(&history, "/nonexistent/fsck", NULL) == EXIT_USAGE,
	   "trials: there is no such command");
	ok(trial(&history, "printf x >>%; rm %; echo x >%", NULL) == EXIT_DONE,
	   "trials: the command may do anything to it");
	tap_caught(caught, sizeof(caught));
	ok(trial(&history, command, NULL) == EXIT_DONE,
	   "trials: who flushes before marking is right");
	history_free(&history);
	write_marked(&history, false);
	ok(trial(&history, command, keep) == EXIT_FAILED,
	   "trials: who does not is caught");
	history_free(&history);
	snprintf(path, sizeof(path), "ls %s/*.img %s/*.out >/dev/null", keep,
		 keep);
	ok(system(path) == 0, "trials: the first is kept");
	snprintf(path, sizeof(path), "rm -r %s", keep);
	ok(system(path) == 0, "trials: and gone");
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");

	setvbuf(stdout, NULL, _IOLBF, 0);
	tap_catch();
	snprintf(dir, sizeof(dir), "%.40s/bdus-test-XXXXXX",
		 tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL) {
		perror(dir);
		return 1;
	}
	snprintf(disk_path, sizeof(disk_path), "%s/disk", dir);
	snprintf(log_path, sizeof(log_path), "%s/disk.log", dir);
	snprintf(image_path, sizeof(image_path), "%s/image", dir);
	setenv("TMPDIR", dir, 1);
	test_record();
	test_states();
	test_names();
	test_damage();
	test_refusals();
	test_full_log();
	test_restart();
	test_base();
	test_trials();
	unlink(disk_path);
	unlink(log_path);
	ok(rmdir(dir) == 0, "nothing is left behind");
	return tap_done();
}
