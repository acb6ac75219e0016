/* SPDX-License-Identifier: MIT */
/*
 * encrypt/volume - opening a volume: its header, its key.
 */
#include "volume.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "msg.h"
#include "secret.h"
#include "units.h"

/* How often somebody who types a passphrase may try. */
#define VOLUME_TRIES 3

/* A volume on its way from a path to its key. */
struct opening {
	const struct volume_options *options;
	const char *path;
	int slot;
	struct volume *volume;
	struct disk_file file;
	struct luks luks;
};

/* --- what is to be known but the key -------------------------------------- */

static int volume_check_type(const struct opening *opening)
{
	unsigned int wanted = opening->options->type;
	unsigned int version = opening->luks.version;

	if (wanted == VOLUME_LUKS || wanted == version)
		return EXIT_DONE;
	msg_error("%s: is LUKS%u, not LUKS%u (--type)", opening->file.disk.name,
		  version, wanted);
	return EXIT_FAILED;
}

/* Else the disk would show, and be written over, its own header. */
static int volume_check_place(const struct opening *opening)
{
	const char *name = opening->file.disk.name;
	const struct luks *luks = &opening->luks;
	uint64_t end =
		luks->version == 1 ? luks->header_size : luks_image_size(luks);

	if (opening->options->header != NULL || luks->segment.off >= end)
		return EXIT_DONE;
	if (luks->segment.off != 0) {
		msg_error("%s: its data overlaps its header", name);
		return EXIT_FAILED;
	}
	msg_error("%s: is the header of data that is elsewhere", name);
	msg_hint("give the data as FILE or DEVICE, and this with --header");
	return EXIT_FAILED;
}

static int volume_set_id(const struct luks *luks, struct volume *volume)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool is_done = context != NULL &&
		       EVP_DigestInit_ex2(context, EVP_sha256(), NULL) == 1 &&
		       EVP_DigestUpdate(context, luks->uuid,
					sizeof(luks->uuid)) == 1 &&
		       EVP_DigestUpdate(context, luks->digest.value,
					luks->digest.value_len) == 1 &&
		       EVP_DigestUpdate(context, &luks->segment,
					sizeof(luks->segment)) == 1 &&
		       EVP_DigestFinal_ex(context, volume->id, NULL) == 1;

	EVP_MD_CTX_free(context);
	return is_done ? EXIT_DONE : EXIT_FAILED;
}

/* The backing is open with flags of its own: this is its page cache. */
static int volume_open_header(struct opening *opening, int fd)
{
	const char *header = opening->options->header;
	char path[64];
	int code;

	if (header != NULL)
		return disk_open(&opening->file, header, DISK_READ);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	code = disk_open(&opening->file, path, DISK_READ);
	opening->file.disk.name = opening->path;
	return code;
}

/* Return: an exit code; if it is EXIT_DONE, luks and file are to be closed. */
static int volume_read_header(struct opening *opening, int fd, uint64_t size)
{
	struct volume *volume = opening->volume;
	int code = volume_open_header(opening, fd);

	if (code != EXIT_DONE)
		return code;
	code = luks_read(&opening->file.disk, size, &opening->luks);
	disk_unlock(&opening->file);
	if (code != EXIT_DONE)
		goto out_close;
	code = volume_check_type(opening);
	if (code == EXIT_DONE)
		code = volume_check_place(opening);
	if (code == EXIT_DONE)
		code = units_slot(&opening->luks, opening->options->slot,
				  &opening->slot);
	if (code != EXIT_DONE)
		goto out_free;
	volume->segment = opening->luks.segment;
	volume->key_size = opening->luks.key_size;
	code = volume_set_id(&opening->luks, volume);
	if (code == EXIT_DONE)
		return EXIT_DONE;
out_free:
	luks_free(&opening->luks);
out_close:
	disk_close(&opening->file);
	return code;
}

/* --- the key -------------------------------------------------------------- */

static int volume_try(struct opening *opening,
		      const struct passphrase *passphrase)
{
	struct volume *volume = opening->volume;
	int code;

	if (opening->options->type == VOLUME_PLAIN)
		return plain_open_key(opening->options, opening->path,
				      passphrase, volume);
	code = luks_open_key(&opening->luks, &opening->file.disk, opening->slot,
			     passphrase->data, passphrase->len, volume->key,
			     NULL);
	if (code != EXIT_WRONG_KEY)
		return code;
	msg_error("%s: wrong passphrase or key file", opening->path);
	return code;
}

static int volume_ask_once(struct opening *opening)
{
	struct passphrase passphrase;
	char prompt[512];
	int code;

	snprintf(prompt, sizeof(prompt), "Passphrase of %s: ", opening->path);
	code = passphrase_get(&opening->options->passphrase, prompt, false,
			      &passphrase);
	if (code != EXIT_DONE)
		return code;
	code = volume_try(opening, &passphrase);
	passphrase_free(&passphrase);
	return code;
}

/* All of the life of a passphrase, in a process of its own. */
static int volume_ask(struct opening *opening)
{
	int tries = passphrase_is_typed(&opening->options->passphrase) ?
			    VOLUME_TRIES :
			    1;
	int code;

	do
		code = volume_ask_once(opening);
	while (code == EXIT_WRONG_KEY && --tries > 0);
	return code;
}

static int volume_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			return EXIT_FAILED;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	msg_error("the process that unlocks was killed by signal %d (%s)",
		  WTERMSIG(status), strsignal(WTERMSIG(status)));
	return EXIT_FAILED;
}

static int volume_unlock(struct opening *opening)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0) {
		msg_error("cannot start a process: %s", strerror(errno));
		return EXIT_FAILED;
	}
	if (pid > 0)
		return volume_wait(pid);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	_exit(getppid() == parent ? volume_ask(opening) : EXIT_FAILED);
}

static int volume_get_key(struct opening *opening, const struct volume *known)
{
	struct volume *volume = opening->volume;

	if (known == NULL ||
	    CRYPTO_memcmp(known->id, volume->id, sizeof(volume->id)) != 0)
		return volume_unlock(opening);
	/* which a header whose key slots are gone does not tell */
	volume->key_size = known->key_size;
	memcpy(volume->key, known->key, sizeof(volume->key));
	return EXIT_DONE;
}

/* --- both ----------------------------------------------------------------- */

/* Nothing in it tells a plain volume from others: it is where it is. */
static int volume_bind_id(struct volume *volume, int fd)
{
	struct {
		unsigned char id[VOLUME_ID];
		uint64_t dev, ino, rdev;
	} place = { .dev = 0 };
	struct stat st;
	size_t len;

	if (fstat(fd, &st) != 0)
		return EXIT_FAILED;
	memcpy(place.id, volume->id, sizeof(place.id));
	if (S_ISBLK(st.st_mode)) {
		place.rdev = st.st_rdev;
	} else {
		place.dev = st.st_dev;
		place.ino = st.st_ino;
	}
	return EVP_Q_digest(NULL, "SHA256", NULL, &place, sizeof(place),
			    volume->id, &len) == 1 ?
		       EXIT_DONE :
		       EXIT_FAILED;
}

static int volume_open_plain(struct opening *opening, int fd,
			     const struct volume *known)
{
	int code = plain_describe(opening->options, opening->volume);

	if (code != EXIT_DONE)
		return code;
	code = volume_bind_id(opening->volume, fd);
	if (code == EXIT_DONE)
		return volume_get_key(opening, known);
	msg_error("%s: cannot tell it from others", opening->path);
	return code;
}

int volume_open(const struct volume_options *options, const char *path, int fd,
		uint64_t size, const struct volume *known,
		struct volume *volume)
{
	struct opening opening = { .options = options,
				   .path = path,
				   .volume = volume };
	int code;

	memset(volume, 0, sizeof(*volume));
	if (options->type == VOLUME_PLAIN)
		return volume_open_plain(&opening, fd, known);
	code = volume_read_header(&opening, fd, size);
	if (code != EXIT_DONE)
		return code;
	code = volume_get_key(&opening, known);
	luks_free(&opening.luks);
	disk_close(&opening.file);
	return code;
}
