/* SPDX-License-Identifier: MIT */
/*
 * encrypt/format - the action that makes a volume.
 *
 * The header is written last: whatever fails or is interrupted before that
 * leaves nothing that looks like a volume.
 */
#include "actions.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cipher.h"
#include "cost.h"
#include "msg.h"
#include "progress.h"
#include "report.h"
#include "secret.h"
#include "signature.h"
#include "target.h"
#include "terminal.h"
#include "units.h"
#include "uuid.h"
#include "wipe.h"

/* Room for a header with its key slots: of a new file, and at least. */
#define FORMAT_LUKS1_SIZE (2U << 20)
#define FORMAT_LUKS2_SIZE (16U << 20)
#define FORMAT_LUKS2_LEAST (1U << 20)
#define FORMAT_LUKS2_DATA_LEAST 4096

#define FORMAT_SECTOR 512
#define FORMAT_SECTOR_MAX 4096
#define FORMAT_LABEL_MAX 47

struct format {
	unsigned int type;
	const char *cipher;
	const char *key_size;
	unsigned int hash;
	uint64_t sector_size;
	const char *label;
	const char *uuid;
	const char *header;
	bool should_wipe;
	bool is_forced;
	struct cost_options cost;
	struct passphrase_source source;
};

/* A volume in the making. The header has a disk of its own, or none. */
struct making {
	const struct format *format;
	const char *path;
	struct luks_new new;
	char uuid[UUID_SIZE];
	struct disk_file data;
	struct disk_file header;
	bool has_header;
	bool is_header_made;
	struct passphrase pass;
};

static const char *const format_types[] = { "luks2", "luks1", NULL };
static const char *const format_hashes[] = { "sha256", "sha512", NULL };

static const struct opt format_opts[] = {
	OPT_ENUM("type", 0, struct format, type, 0, "TYPE", format_types,
		 "luks2", "what kind of volume"),
	OPT_STRING("cipher", 'c', struct format, cipher, 0, "CIPHER",
		   "aes-xts-plain64", "cipher of the data"),
	OPT_STRING("key-size", 's', struct format, key_size, 0, "SIZE", NULL,
		   "volume key, as 512bit or 64B (default: 512bit, or 256bit "
		   "without xts)"),
	OPT_ENUM("hash", 0, struct format, hash, 0, "HASH", format_hashes,
		 "sha256", "hash of the header and of pbkdf2"),
	OPT_SIZE("sector-size", 0, struct format, sector_size, 0, FORMAT_SECTOR,
		 FORMAT_SECTOR_MAX, NULL,
		 "unit of encryption (default: 4096 where it fits; LUKS1: "
		 "512)"),
	COST_OPTS(struct format, cost),
	OPT_STRING("label", 0, struct format, label, 0, "LABEL", NULL,
		   "label, up to 47 bytes (LUKS2)"),
	OPT_STRING("uuid", 0, struct format, uuid, 0, "UUID", NULL,
		   "the UUID, else a random one"),
	PASSPHRASE_OPTS(struct format, source),
	HEADER_OPT(struct format, header),
	OPT_BOOL("wipe", 0, struct format, should_wipe,
		 "overwrite everything first, so that nobody sees what is "
		 "used"),
	OPT_BOOL("force", 0, struct format, is_forced,
		 "do not ask, even if there is a file system"),
	OPT_END
};

/* What the options alone tell: usage errors come before anything else. */
static int format_check_uuid(struct making *making, const char *text)
{
	if (!uuid_is_valid(text)) {
		msg_error("--uuid: '%s' is not a UUID", text);
		msg_hint("accepted: %s, in hexadecimal", UUID_FORM);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < UUID_SIZE; i++)
		making->uuid[i] = (char)tolower((unsigned char)text[i]);
	making->new.uuid = making->uuid;
	return EXIT_DONE;
}

static int format_check_label(const struct making *making, const char *label)
{
	if (making->new.version == 1) {
		msg_error("--label: LUKS1 has no labels");
		return EXIT_USAGE;
	}
	for (const char *c = label; *c != '\0'; c++)
		if (iscntrl((unsigned char)*c)) {
			msg_error("--label: has a control character");
			return EXIT_USAGE;
		}
	if (strlen(label) <= FORMAT_LABEL_MAX)
		return EXIT_DONE;
	msg_error("--label: is longer than %d bytes", FORMAT_LABEL_MAX);
	return EXIT_USAGE;
}

static int format_check_cipher(struct making *making)
{
	const struct format *format = making->format;
	struct luks_new *new = &making->new;
	char accepted[CIPHER_LIST_SIZE];
	int status = EXIT_DONE;

	new->key_size = strstr(format->cipher, "-xts-") != NULL ? 64 : 32;
	if (format->key_size != NULL)
		status = units_key_size("key-size", format->key_size,
					&new->key_size);
	if (status != EXIT_DONE || cipher_is_known(new->cipher, new->key_size))
		return status;
	msg_error("--cipher: there is no %s with a key of %u bits", new->cipher,
		  new->key_size * 8);
	cipher_list(accepted, sizeof(accepted));
	msg_hint("accepted: %s", accepted);
	return EXIT_USAGE;
}

static int format_check_sector_size(const struct making *making)
{
	uint64_t size = making->format->sector_size;

	if ((size & (size - 1)) != 0) {
		msg_error("--sector-size: %" PRIu64 " is no power of two",
			  size);
		msg_hint("accepted: 512, 1024, 2048, 4096");
		return EXIT_USAGE;
	}
	if (making->new.version == 2 || size == 0 || size == FORMAT_SECTOR)
		return EXIT_DONE;
	msg_error("--sector-size: LUKS1 has sectors of 512 bytes");
	return EXIT_USAGE;
}

static int format_describe(struct making *making)
{
	const struct format *format = making->format;
	struct luks_new *new = &making->new;
	int status;

	new->version = format->type == 0 ? 2 : 1;
	new->cipher = format->cipher;
	new->hash = format_hashes[format->hash];
	new->is_detached = format->header != NULL;
	new->label = format->label;
	/* what is not measured is not for the digest either, as in cryptsetup
	 */
	if (format->cost.iterations == 0)
		new->iter_ms = cost_iter_ms(&format->cost);
	status = format_check_cipher(making);
	if (status == EXIT_DONE)
		status = format_check_sector_size(making);
	if (status == EXIT_DONE && format->label != NULL)
		status = format_check_label(making, format->label);
	if (status == EXIT_DONE && format->uuid != NULL)
		status = format_check_uuid(making, format->uuid);
	if (status == EXIT_DONE)
		status = cost_init(&format->cost, new->version, new->hash,
				   &new->cost);
	return status;
}

/*
 * Bytes before the data at least. In LUKS1 eight key slots, each of 4000
 * stripes in units of 4096 bytes, and all in units of 1 MiB; LUKS2's take more
 * where there is room.
 */
static uint64_t format_header_least(const struct making *making)
{
	uint64_t pages = ((uint64_t)making->new.key_size * 4000 + 4095) / 4096;

	if (making->new.version == 2)
		return FORMAT_LUKS2_LEAST;
	return (((8 * pages + 1) * 4096) + (1U << 20) - 1) >> 20 << 20;
}

static bool format_is_same_file(const char *a, const char *b)
{
	struct stat first, second;

	return stat(a, &first) == 0 && stat(b, &second) == 0 &&
	       first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

/* A file for the header is made last, when nothing can be refused any more. */
static int format_open_header(struct making *making)
{
	const char *header = making->format->header;
	int status;

	if (header == NULL || access(header, F_OK) != 0)
		return EXIT_DONE;
	if (format_is_same_file(header, making->path)) {
		msg_error("--header: %s is the data itself", header);
		return EXIT_USAGE;
	}
	status = disk_open(&making->header, header, DISK_REPLACE);
	making->has_header = status == EXIT_DONE;
	return status;
}

static int format_make_header(struct making *making)
{
	const char *header = making->format->header;
	int status, fd, error = 0;

	if (header == NULL || making->has_header)
		return EXIT_DONE;
	fd = open(header, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		msg_error("%s: cannot create: %s", header, strerror(errno));
		return errno == EEXIST ? EXIT_BUSY : EXIT_FAILED;
	}
	making->is_header_made = true;
	if (ftruncate(fd, making->new.version == 1 ? FORMAT_LUKS1_SIZE :
						     FORMAT_LUKS2_SIZE) != 0)
		error = errno;
	close(fd);
	if (error != 0) {
		msg_error("%s: cannot create: %s", header, strerror(error));
		return EXIT_FAILED;
	}
	status = disk_open(&making->header, header, DISK_REPLACE);
	making->has_header = status == EXIT_DONE;
	return status;
}

/* The disk that gets the header. */
static struct disk *format_disk(struct making *making)
{
	return making->format->header != NULL ? &making->header.disk :
						&making->data.disk;
}

static void format_close(struct making *making, bool is_done)
{
	passphrase_free(&making->pass);
	if (making->has_header)
		disk_close(&making->header);
	if (making->is_header_made && !is_done)
		unlink(making->format->header);
	disk_close(&making->data);
}

/* Unit that is best for the disk, and divides it. */
static uint32_t format_choose_sector_size(const struct making *making)
{
	unsigned int size = FORMAT_SECTOR_MAX;

	if (making->new.version == 1)
		return FORMAT_SECTOR;
	/* no block device: EINVAL or ENOTTY */
	if (ioctl(making->data.fd, BLKPBSZGET, &size) != 0 ||
	    size > FORMAT_SECTOR_MAX)
		size = FORMAT_SECTOR_MAX;
	while (size > FORMAT_SECTOR && making->data.disk.size % size != 0)
		size /= 2;
	return size;
}

static int format_too_small(const char *name, uint64_t size, uint64_t least)
{
	char bytes[32], text[16], unit[16];

	snprintf(bytes, sizeof(bytes), "%" PRIu64, size);
	report_size(bytes, text);
	snprintf(bytes, sizeof(bytes), "%" PRIu64, least);
	report_size(bytes, unit);
	msg_error("%s: is too small: has %s, needs %s (%" PRIu64
		  " bytes) at least",
		  name, text, unit, least);
	return EXIT_FAILED;
}

static int format_check_size(struct making *making)
{
	const struct disk *data = &making->data.disk;
	struct luks_new *new = &making->new;
	uint64_t header_size = format_header_least(making);
	uint64_t least;

	new->sector_size = (uint32_t)making->format->sector_size;
	if (new->sector_size == 0)
		new->sector_size = format_choose_sector_size(making);
	least = new->is_detached  ? new->sector_size :
		new->version == 1 ? header_size + new->sector_size :
				    header_size + FORMAT_LUKS2_DATA_LEAST;
	if (data->size < least)
		return format_too_small(data->name, data->size, least);
	if (data->size % new->sector_size != 0) {
		msg_error("%s: size %" PRIu64 " is no multiple of %u",
			  data->name, data->size, new->sector_size);
		return EXIT_FAILED;
	}
	if (making->has_header && making->header.disk.size < header_size)
		return format_too_small(making->header.disk.name,
					making->header.disk.size, header_size);
	return EXIT_DONE;
}

static int format_cannot_read(const struct disk *disk, int error)
{
	msg_error("%s: cannot read: %s", disk->name, strerror(-error));
	return EXIT_FAILED;
}

/*
 * With nobody to ask, only what looks empty is overwritten without --force:
 * a script that has the wrong name destroys nothing.
 */
static int format_ask_for(struct disk *disk)
{
	struct signature signature;
	char warning[256];
	int n = signature_find(disk, &signature);

	if (n < 0)
		return format_cannot_read(disk, n);
	if (n > 0) {
		msg_error("%s: there is something on it: %s", disk->name,
			  signature.name);
		msg_hint("--force destroys it");
		return EXIT_BUSY;
	}
	n = terminal_is_there() ? 0 : signature_is_blank(disk);
	if (n < 0)
		return format_cannot_read(disk, n);
	if (n > 0)
		return EXIT_DONE;
	snprintf(warning, sizeof(warning),
		 "%.128s: all data on it is going to be destroyed", disk->name);
	return terminal_confirm(warning);
}

static int format_ask(struct making *making)
{
	int status;

	if (making->format->is_forced)
		return EXIT_DONE;
	status = format_ask_for(&making->data.disk);
	if (status == EXIT_DONE && making->has_header)
		status = format_ask_for(&making->header.disk);
	return status;
}

static int format_get_passphrase(struct making *making)
{
	const struct format *format = making->format;
	char prompt[160];
	int status;

	snprintf(prompt, sizeof(prompt),
		 "New passphrase of %.64s: ", making->path);
	status = passphrase_get(&format->source, prompt, true, &making->pass);
	if (status != EXIT_DONE)
		return status;
	return cost_measure(&format->cost, making->new.key_size,
			    &making->new.cost);
}

/* What was there is not to be taken for something that still is. */
static int format_clear(struct making *making)
{
	struct disk *data = &making->data.disk;
	int error = signature_erase(data);

	if (error == 0 && making->has_header)
		error = signature_erase(&making->header.disk);
	if (error != 0) {
		msg_error("%s: cannot erase what is on it: %s", data->name,
			  strerror(-error));
		return EXIT_FAILED;
	}
	return making->format->should_wipe ? wipe_disk(data) : EXIT_DONE;
}

static int format_write(struct making *making)
{
	const struct luks_new *new = &making->new;
	unsigned char *key = secret_alloc(LUKS_KEY_MAX);
	struct progress progress;
	int status;

	if (key == NULL) {
		msg_error("no memory for a key");
		return EXIT_FAILED;
	}
	progress_start_ms(&progress, "making the header",
			  (uint64_t) new->iter_ms + new->iter_ms / 4);
	status = luks_format(format_disk(making), making->data.disk.size, new,
			     making->pass.data, making->pass.len, key);
	progress_end(&progress);
	secret_free(key);
	return status;
}

static int format_make(struct making *making)
{
	int status = format_open_header(making);

	if (status == EXIT_DONE)
		status = format_check_size(making);
	if (status == EXIT_DONE)
		status = format_ask(making);
	if (status == EXIT_DONE)
		status = format_get_passphrase(making);
	if (status == EXIT_DONE)
		status = format_clear(making);
	if (status == EXIT_DONE)
		status = format_make_header(making);
	if (status == EXIT_DONE)
		status = format_write(making);
	return status;
}

static int format_run(void *opts, int argc, char **argv)
{
	struct making making = { .format = opts };
	int status = target_begin(argc, 1, "FILE|DEVICE");

	if (status == EXIT_DONE)
		status = format_describe(&making);
	if (status != EXIT_DONE)
		return status;
	making.path = argv[0];
	status = disk_open(&making.data, making.path, DISK_REPLACE);
	if (status != EXIT_DONE)
		return status;
	status = format_make(&making);
	format_close(&making, status == EXIT_DONE);
	return status;
}

const struct applet action_format = {
	.name = "format",
	.alias = "luksFormat",
	.summary = "make a volume, in place of what is there",
	.operands = "FILE|DEVICE",
	.opts = format_opts,
	.opts_size = sizeof(struct format),
	.run = format_run,
};
