/* SPDX-License-Identifier: MIT */
/*
 * rebuild - a recorded disk as an image, in one state after the other.
 */
#include "rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "msg.h"

#define REBUILD_CHUNK (1U << 20)
#define REBUILD_BLOCK 4096U

/* --- bytes ------------------------------------------------------------------
 */

static int read_all(int fd, void *buf, size_t len, uint64_t off)
{
	while (len > 0) {
		ssize_t n = pread(fd, buf, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		buf = (char *)buf + n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_all(int fd, const void *buf, size_t len, uint64_t off)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, buf, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		buf = (const char *)buf + n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_zeroes(struct rebuild *rebuild, int fd, uint64_t off,
			uint64_t len)
{
	int error = 0;

	memset(rebuild->buf, 0, REBUILD_CHUNK);
	for (uint64_t at = 0; error == 0 && at < len; at += REBUILD_CHUNK)
		error = write_all(fd, rebuild->buf,
				  len - at < REBUILD_CHUNK ? len - at :
							     REBUILD_CHUNK,
				  off + at);
	return error;
}

/* A hole only where it is worth it: file systems wait for the disk first. */
static int zero_range(struct rebuild *rebuild, int fd, uint64_t off,
		      uint64_t len)
{
	if (len <= REBUILD_CHUNK)
		return write_zeroes(rebuild, fd, off, len);
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)off, (off_t)len) == 0)
		return 0;
	return errno == EOPNOTSUPP ? write_zeroes(rebuild, fd, off, len) :
				     -errno;
}

static int copy_range(struct rebuild *rebuild, int from, uint64_t from_off,
		      int to, uint64_t to_off, uint64_t len)
{
	int error = 0;

	for (uint64_t at = 0; error == 0 && at < len; at += REBUILD_CHUNK) {
		size_t n = len - at < REBUILD_CHUNK ? (size_t)(len - at) :
						      REBUILD_CHUNK;

		error = read_all(from, rebuild->buf, n, from_off + at);
		if (error == 0)
			error = write_all(to, rebuild->buf, n, to_off + at);
	}
	return error;
}

/* The next range that is no hole. Return: whether there is one. */
static bool next_data(int fd, uint64_t size, uint64_t *off, uint64_t *end)
{
	off_t data = lseek(fd, (off_t)*off, SEEK_DATA), hole;

	if (*off >= size || (data < 0 && errno == ENXIO))
		return false;
	/* devices, and file systems that do not know */
	if (data < 0)
		data = (off_t)*off;
	hole = lseek(fd, data, SEEK_HOLE);
	*off = (uint64_t)data;
	*end = hole <= data || (uint64_t)hole > size ? size : (uint64_t)hole;
	return *off < size;
}

/* All of a file into one that is empty. */
static int copy_sparse(struct rebuild *rebuild, int from, int to, uint64_t size)
{
	uint64_t off = 0, end;
	int error = ftruncate(to, (off_t)size) == 0 ? 0 : -errno;

	for (; error == 0 && next_data(from, size, &off, &end); off = end)
		error = copy_range(rebuild, from, off, to, off, end - off);
	return error;
}

/* --- beginning --------------------------------------------------------------
 */

static int rebuild_failed(const char *path, const char *what, int error)
{
	msg_error("%s: %s: %s", path, what, strerror(error));
	return EXIT_FAILED;
}

static int rebuild_make_dir(struct rebuild *rebuild)
{
	const char *tmp = getenv("TMPDIR");

	if (tmp == NULL || tmp[0] == '\0')
		tmp = "/tmp";
	if ((size_t)snprintf(rebuild->dir, sizeof(rebuild->dir),
			     "%s/bdus-replay-XXXXXX",
			     tmp) >= sizeof(rebuild->dir))
		return rebuild_failed(tmp, "cannot be used", ENAMETOOLONG);
	if (mkdtemp(rebuild->dir) == NULL)
		return rebuild_failed(tmp, "cannot make a folder", errno);
	snprintf(rebuild->path, sizeof(rebuild->path), "%s/image",
		 rebuild->dir);
	return EXIT_DONE;
}

static int rebuild_make_files(struct rebuild *rebuild)
{
	off_t size = (off_t)rebuild->history->head.size;
	char path[300];

	snprintf(path, sizeof(path), "%s/settled", rebuild->dir);
	rebuild->settled =
		open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (rebuild->settled >= 0)
		unlink(path);
	rebuild->image = open(rebuild->path,
			      O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (rebuild->settled < 0 || rebuild->image < 0 ||
	    ftruncate(rebuild->settled, size) != 0 ||
	    ftruncate(rebuild->image, size) != 0)
		return rebuild_failed(rebuild->dir, "cannot make an image",
				      errno);
	return EXIT_DONE;
}

static int rebuild_copy_base(struct rebuild *rebuild, const char *path)
{
	uint64_t size = rebuild->history->head.size, has = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC), error;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		error = errno;
		if (fd >= 0)
			close(fd);
		return rebuild_failed(path, "cannot open", error);
	}
	has = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, &has) != 0)
		has = 0;
	if (has < size) {
		close(fd);
		msg_error("%s: has %" PRIu64 " bytes, the disk has %" PRIu64,
			  path, has, size);
		return EXIT_FAILED;
	}
	error = copy_sparse(rebuild, fd, rebuild->settled, size);
	close(fd);
	return error == 0 ? EXIT_DONE :
			    rebuild_failed(path, "cannot copy", -error);
}

static int rebuild_sum(struct rebuild *rebuild, uint32_t *sum)
{
	uint64_t size = rebuild->history->head.size, off = 0, end;
	int error = 0;

	*sum = 0;
	while (error == 0 && next_data(rebuild->settled, size, &off, &end)) {
		/* whole blocks, wherever the data begins and ends */
		off -= off % REBUILD_BLOCK;
		for (; error == 0 && off < end; off += REBUILD_BLOCK) {
			size_t len = size - off < REBUILD_BLOCK ?
					     (size_t)(size - off) :
					     REBUILD_BLOCK;

			error = read_all(rebuild->settled, rebuild->buf, len,
					 off);
			if (error == 0)
				*sum = reclog_sum(*sum, off, rebuild->buf, len);
		}
	}
	return error;
}

static int rebuild_log_base(struct rebuild *rebuild)
{
	const struct history *history = rebuild->history;
	int error = 0;

	for (size_t i = 0; error == 0 && i < history->n_base; i++) {
		const struct piece *piece = &history->base[i];

		error = copy_range(rebuild, history->fd, piece->data_at,
				   rebuild->settled, piece->off, piece->len);
	}
	return error == 0 ?
		       EXIT_DONE :
		       rebuild_failed(history->path, "cannot copy", -error);
}

static int rebuild_make_base(struct rebuild *rebuild, const char *base)
{
	const struct history *history = rebuild->history;
	int code, error;
	uint32_t sum;

	if (base == NULL && !history->has_base && history->base_sum != 0) {
		msg_error("%s: does not hold what was on the disk at first",
			  history->path);
		msg_hint("--base IMAGE: the disk as it was then");
		return EXIT_USAGE;
	}
	code = base != NULL ? rebuild_copy_base(rebuild, base) :
			      rebuild_log_base(rebuild);
	if (code != EXIT_DONE)
		return code;
	error = rebuild_sum(rebuild, &sum);
	if (error == 0)
		error = copy_sparse(rebuild, rebuild->settled, rebuild->image,
				    history->head.size);
	if (error != 0)
		return rebuild_failed(rebuild->dir, "cannot copy", -error);
	if (sum == history->base_sum)
		return EXIT_DONE;
	msg_error("%s: is not what was on the disk when the recording began",
		  base != NULL ? base : history->path);
	return EXIT_FAILED;
}

int rebuild_open(struct rebuild *rebuild, const struct history *history,
		 const char *base)
{
	int code;

	*rebuild = (struct rebuild){ .history = history,
				     .settled = -1,
				     .image = -1,
				     .buf = malloc(REBUILD_CHUNK) };
	if (rebuild->buf == NULL)
		return rebuild_failed(history->path, "cannot replay", ENOMEM);
	code = rebuild_make_dir(rebuild);
	if (code != EXIT_DONE) {
		free(rebuild->buf);
		return code;
	}
	code = rebuild_make_files(rebuild);
	if (code == EXIT_DONE)
		code = rebuild_make_base(rebuild, base);
	if (code != EXIT_DONE)
		rebuild_close(rebuild);
	return code;
}

void rebuild_close(struct rebuild *rebuild)
{
	if (rebuild->settled >= 0)
		close(rebuild->settled);
	if (rebuild->image >= 0)
		close(rebuild->image);
	unlink(rebuild->path);
	rmdir(rebuild->dir);
	free(rebuild->buf);
}

/* --- states -----------------------------------------------------------------
 */

static int put(struct rebuild *rebuild, int fd, const struct operation *one,
	       uint32_t from, uint32_t len)
{
	if (one->type == RECLOG_WRITE || one->type == RECLOG_FUA_WRITE)
		return copy_range(rebuild, rebuild->history->fd,
				  one->data_at + from, fd, one->off + from,
				  len);
	return zero_range(rebuild, fd, one->off + from, len);
}

static int apply_part(void *context, const struct operation *one, uint32_t from,
		      uint32_t len)
{
	struct rebuild *rebuild = context;

	return put(rebuild, rebuild->image, one, from, len);
}

/* As it is without what is not settled. */
static int revert_part(void *context, const struct operation *one,
		       uint32_t from, uint32_t len)
{
	struct rebuild *rebuild = context;
	uint64_t off = one->off + from, end = off + len, stop;
	int error;

	if (len <= REBUILD_CHUNK)
		return copy_range(rebuild, rebuild->settled, off,
				  rebuild->image, off, len);
	error = zero_range(rebuild, rebuild->image, off, len);
	for (; error == 0 && next_data(rebuild->settled, end, &off, &stop);
	     off = stop)
		error = copy_range(rebuild, rebuild->settled, off,
				   rebuild->image, off, stop - off);
	return error;
}

/* The image's time is set back when it is made: it tells of any change. */
static bool image_is_touched(const struct rebuild *rebuild)
{
	struct stat st;

	return fstat(rebuild->image, &st) != 0 || st.st_mtim.tv_sec != 1 ||
	       (uint64_t)st.st_size != rebuild->history->head.size;
}

/* Somebody may have put another file in its place. */
static int image_renew(struct rebuild *rebuild)
{
	int fd = open(rebuild->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
		      0600);

	if (fd < 0)
		return -errno;
	close(rebuild->image);
	rebuild->image = fd;
	return copy_sparse(rebuild, rebuild->settled, fd,
			   rebuild->history->head.size);
}

static bool image_is_named(const struct rebuild *rebuild)
{
	struct stat st, named;

	return fstat(rebuild->image, &st) == 0 &&
	       stat(rebuild->path, &named) == 0 && st.st_ino == named.st_ino;
}

static int rebuild_revert(struct rebuild *rebuild)
{
	if (!rebuild->is_made)
		return 0;
	if (image_is_touched(rebuild) || !image_is_named(rebuild))
		return image_renew(rebuild);
	return outage_parts(&rebuild->outage, rebuild->history, &rebuild->view,
			    revert_part, NULL, rebuild);
}

/* What is settled between two cuts is so in both files. */
static int rebuild_advance(struct rebuild *rebuild, uint64_t cut)
{
	const struct history *history = rebuild->history;
	size_t i = rebuild->view.first;
	int error = 0;

	view_advance(&rebuild->view, history, cut);
	for (; error == 0 && i < rebuild->view.first; i++) {
		const struct operation *one = &history->operations[i];

		if (one->type == RECLOG_FLUSH || one->is_lost)
			continue;
		error = put(rebuild, rebuild->settled, one, 0, one->len);
		if (error == 0)
			error = put(rebuild, rebuild->image, one, 0, one->len);
	}
	return error;
}

int rebuild_state(struct rebuild *rebuild, const struct outage *outage)
{
	const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	int error = rebuild_revert(rebuild);

	rebuild->is_made = false;
	if (error == 0)
		error = rebuild_advance(rebuild, outage->cut);
	if (error == 0)
		error = outage_parts(outage, rebuild->history, &rebuild->view,
				     apply_part, NULL, rebuild);
	if (error == 0 && futimens(rebuild->image, times) != 0)
		error = -errno;
	rebuild->outage = *outage;
	rebuild->is_made = error == 0;
	return error;
}

int rebuild_save(struct rebuild *rebuild, const char *path, bool is_forced)
{
	int flags =
		O_WRONLY | O_CREAT | O_CLOEXEC | (is_forced ? O_TRUNC : O_EXCL);
	int fd = open(path, flags, 0600), error = errno;

	if (fd < 0) {
		rebuild_failed(path, "cannot create", error);
		if (error == EEXIST)
			msg_hint("--force writes over it");
		return error == EEXIST ? EXIT_BUSY : EXIT_FAILED;
	}
	error = copy_sparse(rebuild, rebuild->image, fd,
			    rebuild->history->head.size);
	if (close(fd) != 0 && error == 0)
		error = -errno;
	return error == 0 ? EXIT_DONE :
			    rebuild_failed(path, "cannot write", -error);
}
