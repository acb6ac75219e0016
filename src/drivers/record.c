/* SPDX-License-Identifier: MIT */
/*
 * record - a file or block device as a disk, with a log of all that is written
 * to it, for bdus replay.
 *
 * An operation is logged before it is done, and once more before it is
 * answered: what the log does not hold, no client was told of. What cannot be
 * logged is not done.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backing.h"
#include "msg.h"
#include "progress.h"
#include "reclog.h"
#include "window.h"

#define RECORD_CHUNK (1U << 20)
#define RECORD_BLOCK 4096U

/* What the next driver must know to go on with the log. */
struct record_kept {
	struct store_kept store; /* first */
	uint8_t id[16];
	char path[PATH_MAX];
};

/* A device and its log; constant while it lives, but for the log. */
struct record {
	struct window window;
	const char *log_path;
	bool is_forced;
	bool is_continued;
	bool has_no_base;
	bool is_log_new;
	struct reclog log;
};

static const struct opt record_opts[] = {
	OPT_PATH("record-log", 'w', struct record, log_path, 0, "LOG", NULL,
		 "the log; else FILE.log"),
	OPT_BOOL("append", 0, struct record, is_continued,
		 "go on with a log of this disk"),
	OPT_BOOL("force", 0, struct record, is_forced,
		 "throw away what LOG holds"),
	OPT_BOOL("no-base", 0, struct record, has_no_base,
		 "leave what is on the disk already out of the log"),
	WINDOW_OPTS(struct record, window.),
	OPT_END
};

/* --- the log ----------------------------------------------------------------
 */

static int record_failed(const char *path, const char *what, int error)
{
	msg_error("%s: %s: %s", path, what, strerror(error));
	return EXIT_FAILED;
}

static int record_check_options(const struct record *record, struct dev *dev)
{
	if (dev_attrs(dev)->flags & KBDUS_DEVICE_READ_ONLY)
		msg_error("--read-only: there would be nothing to record");
	else if (record->is_continued && record->is_forced)
		msg_error("--append and --force exclude each other");
	else if (record->is_continued && record->has_no_base)
		msg_error("--append and --no-base exclude each other");
	else
		return EXIT_DONE;
	return EXIT_USAGE;
}

/* The log's name; of a restart it is told already. */
static int record_name_log(const struct record *record, const struct dev *dev)
{
	struct record_kept *kept = dev_kept_memory(dev);
	const char *path = dev_operand(dev, 0);
	int n;

	if (dev_is_restart(dev) && kept->path[0] != '\0')
		return EXIT_DONE;
	if (record->log_path == NULL && !record->window.store.is_file) {
		msg_error("%s: is a device, which needs --record-log", path);
		return EXIT_USAGE;
	}
	if (record->log_path != NULL)
		n = snprintf(kept->path, PATH_MAX, "%s", record->log_path);
	else
		n = snprintf(kept->path, PATH_MAX, "%s.log", path);
	return n < PATH_MAX ? EXIT_DONE :
			      record_failed(path, "its log", ENAMETOOLONG);
}

static int record_open_failed(const char *path)
{
	int error = errno;

	record_failed(path, "cannot open", error);
	if (error != EEXIST)
		return EXIT_FAILED;
	msg_hint("--append goes on with it, --force throws it away");
	return EXIT_BUSY;
}

static int record_lock_log(const char *path, int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char user[128];
	struct stat st;

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return EXIT_DONE;
	if ((errno != EAGAIN && errno != EACCES) || fstat(fd, &st) != 0)
		return record_failed(path, "cannot lock", errno);
	backing_locker(&st, user, sizeof(user));
	msg_error("%s: is in use: %s", path, user);
	return EXIT_BUSY;
}

/* The same file, for the next driver, whatever the current directory is. */
static int record_keep_log(const struct record *record, struct dev *dev)
{
	struct record_kept *kept = dev_kept_memory(dev);
	char *whole = realpath(kept->path, NULL);

	if (whole == NULL)
		return record_failed(kept->path, "cannot resolve", errno);
	snprintf(kept->path, PATH_MAX, "%s", whole);
	memcpy(kept->id, record->log.head.id, sizeof(kept->id));
	free(whole);
	return EXIT_DONE;
}

/* A log is of one disk: a restart's own, else of the same size at least. */
static int record_check_log(const struct record *record, struct dev *dev)
{
	const struct record_kept *kept = dev_kept_memory(dev);
	const struct reclog_head *head = &record->log.head;

	if (dev_is_restart(dev) &&
	    memcmp(head->id, kept->id, sizeof(kept->id)) != 0)
		msg_error("%s: is not the log any more", kept->path);
	else if (head->size != dev_attrs(dev)->size)
		msg_error("%s: is the log of a disk of %llu bytes, not %llu",
			  kept->path, (unsigned long long)head->size,
			  (unsigned long long)dev_attrs(dev)->size);
	else
		return EXIT_DONE;
	return EXIT_FAILED;
}

/*
 * The driver that is replaced may still write to the log: it has the lock, and
 * the end is known only when it is gone.
 */
static int record_continue_log(struct record *record, struct dev *dev, int fd)
{
	const struct record_kept *kept = dev_kept_memory(dev);
	const char *reason = NULL;
	bool is_alone = !dev_is_rerun(dev) || dev_is_restart(dev);
	int code = EXIT_DONE, error;

	if (is_alone)
		code = record_lock_log(kept->path, fd);
	if (code != EXIT_DONE)
		return code;
	error = reclog_continue(&record->log, fd, &reason);
	if (reason != NULL) {
		msg_error("%s: %s", kept->path, reason);
		return EXIT_FAILED;
	}
	if (error == 0 && is_alone)
		error = reclog_begin(&record->log);
	if (error != 0)
		return record_failed(kept->path, "cannot be continued", -error);
	return record_check_log(record, dev);
}

static int record_create_log(struct record *record, struct dev *dev, int fd)
{
	const struct record_kept *kept = dev_kept_memory(dev);
	int code = record_lock_log(kept->path, fd), error;

	if (code != EXIT_DONE)
		return code;
	if (ftruncate(fd, 0) != 0)
		return record_failed(kept->path, "cannot be emptied", errno);
	error = reclog_create(&record->log, fd, dev_attrs(dev)->size,
			      dev_attrs(dev)->logical_block_size);
	return error == 0 ? EXIT_DONE :
			    record_failed(kept->path, "cannot write", -error);
}

static int record_open_log(struct record *record, struct dev *dev)
{
	const struct record_kept *kept = dev_kept_memory(dev);
	bool does_go_on = record->is_continued || dev_is_restart(dev);
	int flags = O_RDWR | O_CLOEXEC, fd, code;

	if (!does_go_on && dev_is_rerun(dev)) {
		msg_error("a log begins with its disk; this one is in use");
		msg_hint("--append goes on with the log of a disk that was "
			 "recorded before");
		return EXIT_USAGE;
	}
	if (!does_go_on)
		flags |= O_CREAT | (record->is_forced ? 0 : O_EXCL);
	fd = open(kept->path, flags, 0600);
	if (fd < 0)
		return record_open_failed(kept->path);
	record->is_log_new = flags & O_EXCL;
	code = does_go_on ? record_continue_log(record, dev, fd) :
			    record_create_log(record, dev, fd);
	if (code != EXIT_DONE && record->log.fd < 0)
		close(fd);
	return code;
}

/* --- what is there at first -------------------------------------------------
 */

/* Log the blocks of a chunk that are not zero, and sum them up. */
static int record_base_chunk(struct record *record, const unsigned char *chunk,
			     uint64_t off, uint32_t len, uint32_t *sum)
{
	uint32_t i = 0, n;
	int error = 0;

	while (error == 0 && i < len) {
		uint32_t run = 0;

		for (; i + run < len; run += n) {
			uint32_t before = *sum;

			n = len - i - run;
			n = n < RECORD_BLOCK ? n : RECORD_BLOCK;
			*sum = reclog_sum(before, off + i + run,
					  chunk + i + run, n);
			if (*sum == before)
				break;
		}
		if (run > 0 && !record->has_no_base) {
			struct reclog_entry entry = { .type = RECLOG_BASE,
						      .off = off + i,
						      .len = run };

			error = reclog_put(&record->log, &entry, chunk + i);
		}
		i += run > 0 ? run : RECORD_BLOCK;
	}
	return error;
}

/* Where there may be something but a hole, from @off on. */
static uint64_t record_seek_data(const struct record *record, uint64_t off)
{
	const struct window *window = &record->window;
	off_t at;

	if (!window->store.is_file)
		return off;
	at = lseek(window->store.fd, (off_t)(window->offset + off), SEEK_DATA);
	if (at < 0 && errno == ENXIO)
		return UINT64_MAX;
	if (at < 0 || (uint64_t)at < window->offset + off)
		return off;
	off = (uint64_t)at - window->offset;
	return off - off % RECORD_CHUNK;
}

static int record_base_all(struct record *record, uint64_t size, void *chunk,
			   uint32_t *sum)
{
	const struct window *window = &record->window;
	struct progress progress;
	uint64_t off = 0, at;
	int error = 0;

	progress_start(&progress, "reading", size);
	for (; error == 0 && off < size; off += RECORD_CHUNK) {
		uint32_t len = RECORD_CHUNK;

		at = record_seek_data(record, off);
		off = at > off ? at : off;
		if (off >= size)
			break;
		if (len > size - off)
			len = (uint32_t)(size - off);
		error = store_read(&window->store, chunk, len,
				   window->offset + off);
		if (error == 0)
			error = record_base_chunk(record, chunk, off, len, sum);
		progress_set(&progress, off);
	}
	progress_end(&progress);
	return error;
}

static int record_base(struct record *record, const struct dev *dev,
		       uint64_t size)
{
	const struct record_kept *kept = dev_kept_memory(dev);
	struct reclog_entry start = { .type = RECLOG_START };
	void *chunk = aligned_alloc(RECORD_BLOCK, RECORD_CHUNK);
	uint32_t sum = 0;
	int error;

	if (chunk == NULL)
		return record_failed(kept->path, "cannot begin", ENOMEM);
	error = record_base_all(record, size, chunk, &sum);
	free(chunk);
	start.operation = sum;
	start.flags = record->has_no_base ? 0 : RECLOG_HAS_BASE;
	if (error == 0)
		error = reclog_put(&record->log, &start, NULL);
	return error == 0 ? EXIT_DONE :
			    record_failed(kept->path, "cannot begin", -error);
}

/* --- life -------------------------------------------------------------------
 */

static void record_drop_log(struct record *record, const struct dev *dev)
{
	const struct record_kept *kept = dev_kept_memory(dev);

	if (record->log.fd >= 0)
		reclog_close(&record->log);
	if (record->is_log_new)
		unlink(kept->path);
}

static int record_open(struct dev *dev)
{
	const char *path = dev_operand(dev, 0);
	struct record *record = dev_priv(dev);
	int code = record_check_options(record, dev);

	if (code == EXIT_DONE)
		code = window_open(&record->window, dev, path);
	if (code != EXIT_DONE)
		return code;
	record->log.fd = -1;
	code = record_name_log(record, dev);
	if (code == EXIT_DONE)
		code = record_open_log(record, dev);
	if (code == EXIT_DONE && !record->is_continued && !dev_is_restart(dev))
		code = record_base(record, dev, dev_attrs(dev)->size);
	if (code == EXIT_DONE)
		code = record_keep_log(record, dev);
	if (code != EXIT_DONE)
		store_release(&record->window.store, dev, path);
	if (code == EXIT_DONE)
		code = window_serve(&record->window, dev, path);
	if (code != EXIT_DONE)
		record_drop_log(record, dev);
	return code;
}

static int record_close(struct dev *dev)
{
	const struct record_kept *kept = dev_kept_memory(dev);
	struct record *record = dev_priv(dev);
	int code = store_close(&record->window.store, dev_operand(dev, 0));
	int error = reclog_close(&record->log);

	if (error == 0)
		return code;
	return record_failed(kept->path, "cannot sync", -error);
}

/* --- requests ---------------------------------------------------------------
 */

static int record_sync(const struct window *window, const struct io *io)
{
	(void)io;
	return store_sync(&window->store);
}

/* An error of the log is the client's, who then knows of no success. */
static void record_run(struct io *io, enum reclog_type type, const void *data,
		       int (*run)(const struct window *window,
				  const struct io *io))
{
	struct record *record = dev_priv(io->dev);
	struct reclog_entry entry = { .type = (uint16_t)type };
	struct reclog_entry done = { .type = RECLOG_DONE };
	int error, log_error;

	if (type != RECLOG_FLUSH) {
		entry.off = io->off;
		entry.len = io->len;
	}
	error = reclog_put(&record->log, &entry, data);
	if (error == 0) {
		error = run(&record->window, io);
		done.operation = entry.operation;
		done.error = -error;
		log_error = reclog_put(&record->log, &done, NULL);
		error = error != 0 ? error : log_error;
	}
	io_done(io, error);
}

static void record_read(struct io *io)
{
	const struct record *record = dev_priv(io->dev);

	io_done(io, window_read(&record->window, io));
}

static void record_write(struct io *io)
{
	record_run(io, RECLOG_WRITE, io->buf, window_write);
}

static void record_fua_write(struct io *io)
{
	record_run(io, RECLOG_FUA_WRITE, io->buf, window_write_durable);
}

static void record_flush(struct io *io)
{
	record_run(io, RECLOG_FLUSH, NULL, record_sync);
}

static void record_write_zeroes(struct io *io)
{
	record_run(io, RECLOG_WRITE_ZEROES, NULL, window_zero);
}

static void record_discard(struct io *io)
{
	record_run(io, RECLOG_DISCARD, NULL, window_discard);
}

static void record_secure_erase(struct io *io)
{
	record_run(io, RECLOG_SECURE_ERASE, NULL, window_secure_erase);
}

DRIVER(record) = {
	.name = "record",
	.summary = "a disk with a log of all that is written to it",
	.operands = "FILE|DEVICE",
	.n_operands = 1,
	.opts = record_opts,
	.priv_size = sizeof(struct record),
	.kept_size = sizeof(struct record_kept),
	.open = record_open,
	.close = record_close,
	.read = record_read,
	.write = record_write,
	.fua_write = record_fua_write,
	.flush = record_flush,
	.write_zeroes = record_write_zeroes,
	.discard = record_discard,
	.secure_erase = record_secure_erase,
};
