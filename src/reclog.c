/* SPDX-License-Identifier: MIT */
/*
 * reclog - the log of a recorded disk.
 */
#include "reclog.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "crc.h"

_Static_assert(sizeof(struct reclog_head) == 128, "128 bytes");
_Static_assert(sizeof(struct reclog_entry) == 64, "64 bytes");

static uint32_t head_crc(const struct reclog_head *head)
{
	struct reclog_head copy = *head;

	copy.crc = 0;
	return crc_update(0, &copy, sizeof(copy));
}

static uint32_t entry_crc(const struct reclog_head *head,
			  const struct reclog_entry *entry)
{
	struct reclog_entry copy = *entry;

	copy.crc = 0;
	return crc_update(crc_update(0, head->id, sizeof(head->id)), &copy,
			  sizeof(copy));
}

uint32_t reclog_sum(uint32_t sum, uint64_t off, const void *block, size_t len)
{
	const unsigned char *bytes = block;

	if (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0)
		return sum;
	return crc_update(crc_update(sum, &off, sizeof(off)), block, len);
}

/* --- reading ----------------------------------------------------------------
 */

/* Return: bytes that were read, fewer only where the file ends; or -errno. */
static ssize_t reclog_pread(int fd, void *buf, size_t len, uint64_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done,
				  (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int reclog_read_head(int fd, struct reclog_head *head, const char **reason)
{
	static const char signature[16] = RECLOG_SIGNATURE;
	ssize_t n = reclog_pread(fd, head, sizeof(*head), 0);

	if (n < 0)
		return (int)n;
	*reason = NULL;
	if (n != sizeof(*head) ||
	    memcmp(head->signature, signature, sizeof(signature)) != 0)
		*reason = "is no log of bdus record";
	else if (head->version != RECLOG_VERSION)
		*reason = "is a log of another version";
	else if (head->crc != head_crc(head))
		*reason = "its head is damaged";
	else if (head->size == 0 || head->size > INT64_MAX ||
		 head->block < 512 || head->block & (head->block - 1) ||
		 head->size % head->block != 0)
		*reason = "its head makes no sense";
	else if (head->flags != 0)
		*reason = "needs a newer bdus";
	return *reason == NULL ? 0 : -EINVAL;
}

/* Could what an entry says be? */
static bool entry_is_sane(const struct reclog_head *head,
			  const struct reclog_entry *entry)
{
	if (entry->off > head->size || entry->len > head->size - entry->off ||
	    (entry->data_len != 0 && entry->data_len != entry->len) ||
	    entry->data_len > RECLOG_DATA_MAX)
		return false;
	switch (entry->type) {
	case RECLOG_BASE:
	case RECLOG_WRITE:
	case RECLOG_FUA_WRITE:
		return entry->len > 0 && entry->data_len == entry->len;
	default:
		return entry->type < RECLOG_TYPES && entry->data_len == 0;
	}
}

int reclog_read_entry(int fd, const struct reclog_head *head, uint64_t off,
		      uint64_t number, struct reclog_entry *entry)
{
	ssize_t n = reclog_pread(fd, entry, sizeof(*entry), off);
	struct stat st;

	if (n < 0)
		return (int)n;
	if (n < (ssize_t)sizeof(*entry))
		return 0;
	if (entry->magic != RECLOG_MAGIC ||
	    entry->crc != entry_crc(head, entry) || entry->number != number ||
	    !entry_is_sane(head, entry))
		return -EINVAL;
	if (fstat(fd, &st) != 0)
		return -errno;
	return off + sizeof(*entry) + entry->data_len <= (uint64_t)st.st_size;
}

int reclog_check_data(int fd, uint64_t off, const struct reclog_entry *entry)
{
	unsigned char part[64 << 10];
	uint32_t left = entry->data_len, crc = 0;

	while (left > 0) {
		uint32_t len = left < sizeof(part) ? left : sizeof(part);
		ssize_t n = reclog_pread(fd, part, len, off);

		if (n < 0)
			return (int)n;
		if (n != (ssize_t)len)
			return -EINVAL;
		crc = crc_update(crc, part, len);
		off += len;
		left -= len;
	}
	return crc == entry->data_crc ? 0 : -EINVAL;
}

/* --- writing ----------------------------------------------------------------
 */

/* All of it or nothing: what was begun is cut off again. */
static int reclog_write(int fd, const void *first, size_t first_len,
			const void *second, size_t second_len, uint64_t off)
{
	size_t done = 0;

	while (done < first_len + second_len) {
		size_t skip = done < first_len ? done : first_len;
		size_t skip_second = done - skip;
		struct iovec iov[2] = {
			{ (char *)(uintptr_t)first + skip, first_len - skip },
			{ (char *)(uintptr_t)second + skip_second,
			  second_len - skip_second },
		};
		ssize_t n = pwritev(fd, iov, 2, (off_t)(off + done));

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			return n == 0 ? -EIO : -errno;
	}
	return 0;
}

int reclog_create(struct reclog *log, int fd, uint64_t size, uint32_t block)
{
	struct reclog_head *head = &log->head;
	int error;

	*log = (struct reclog){ .fd = -1,
				.is_begun = true,
				.end = sizeof(*head),
				.head = { .signature = RECLOG_SIGNATURE,
					  .version = RECLOG_VERSION,
					  .size = size,
					  .block = block,
					  .began = (uint64_t)time(NULL) } };
	if (getrandom(head->id, sizeof(head->id), 0) != sizeof(head->id))
		return errno != 0 ? -errno : -EIO;
	head->crc = head_crc(head);
	error = reclog_write(fd, head, sizeof(*head), NULL, 0, 0);
	if (error != 0)
		return error;
	log->fd = fd;
	pthread_mutex_init(&log->lock, NULL);
	return 0;
}

int reclog_continue(struct reclog *log, int fd, const char **reason)
{
	int error;

	*log = (struct reclog){ .fd = -1 };
	error = reclog_read_head(fd, &log->head, reason);
	if (error != 0)
		return error;
	log->fd = fd;
	pthread_mutex_init(&log->lock, NULL);
	return 0;
}

int reclog_close(struct reclog *log)
{
	int error = fdatasync(log->fd) == 0 ? 0 : -errno;

	if (close(log->fd) != 0 && error == 0)
		error = -errno;
	log->fd = -1;
	pthread_mutex_destroy(&log->lock);
	return error;
}

static int reclog_append(struct reclog *log, struct reclog_entry *entry,
			 const void *data)
{
	struct timespec now;
	int error;

	clock_gettime(CLOCK_MONOTONIC, &now);
	entry->magic = RECLOG_MAGIC;
	entry->number = log->n_entries;
	entry->data_len = data != NULL ? entry->len : 0;
	entry->ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	entry->zero = 0;
	if (reclog_is_operation(entry))
		entry->operation = log->n_operations + 1;
	entry->crc = entry_crc(&log->head, entry);
	error = reclog_write(log->fd, entry, sizeof(*entry), data,
			     entry->data_len, log->end);
	if (error != 0)
		return ftruncate(log->fd, (off_t)log->end) == 0 ? error : -EIO;
	log->end += sizeof(*entry) + entry->data_len;
	log->n_entries++;
	log->n_operations += reclog_is_operation(entry);
	return 0;
}

/* Who was killed may have left a part of an entry, but nothing else. */
static int reclog_find_end(struct reclog *log)
{
	uint64_t off = sizeof(log->head);
	struct reclog_entry entry;
	int found;

	while ((found = reclog_read_entry(log->fd, &log->head, off,
					  log->n_entries, &entry)) > 0) {
		off += sizeof(entry) + entry.data_len;
		log->n_operations += reclog_is_operation(&entry);
		log->n_entries++;
	}
	log->end = off;
	if (found < 0)
		return found == -EINVAL ? -EIO : found;
	return ftruncate(log->fd, (off_t)off) == 0 ? 0 : -errno;
}

static int reclog_begin_locked(struct reclog *log)
{
	struct reclog_entry session = { .type = RECLOG_SESSION };
	int error;

	if (log->is_begun)
		return 0;
	log->n_entries = 0;
	log->n_operations = 0;
	error = reclog_find_end(log);
	if (error == 0)
		error = reclog_append(log, &session, NULL);
	log->is_begun = error == 0;
	return error;
}

int reclog_begin(struct reclog *log)
{
	int error;

	pthread_mutex_lock(&log->lock);
	error = reclog_begin_locked(log);
	pthread_mutex_unlock(&log->lock);
	return error;
}

int reclog_put(struct reclog *log, struct reclog_entry *entry, const void *data)
{
	int error;

	entry->data_crc = data != NULL ? crc_update(0, data, entry->len) : 0;
	pthread_mutex_lock(&log->lock);
	error = reclog_begin_locked(log);
	if (error == 0)
		error = reclog_append(log, entry, data);
	pthread_mutex_unlock(&log->lock);
	return error;
}
