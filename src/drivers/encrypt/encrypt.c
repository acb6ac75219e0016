/* SPDX-License-Identifier: MIT */
/*
 * encrypt - a LUKS volume, or a plain one, as a disk in the clear.
 *
 * Data is encrypted and decrypted in place in the request's buffer, by a
 * cipher of each worker's own. The volume key is in the ciphers, and for the
 * next driver in the kept memory if that is wanted; no passphrase ever is in
 * this process (volume.h).
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"
#include "cipher.h"
#include "msg.h"
#include "secret.h"
#include "store.h"
#include "volume.h"

/* As for loop: one request must end well before a driver counts as stuck. */
#define ENCRYPT_MAX_DISCARD (1U << 30)
#define ENCRYPT_MAX_ZERO (16U << 20)
#define ENCRYPT_SECTOR 512

/* What the next driver may know. */
struct encrypt_kept {
	struct store_kept store;
	bool has_key; /* and all the rest of the volume */
	struct volume volume;
};

/* A device on a volume; constant while it lives, but for what the ciphers do.
 */
struct encrypt {
	struct store store;
	struct volume_options volume;
	bool may_discard;
	bool keeps_key;
	struct luks_segment segment;
	struct cipher **ciphers; /* one per worker */
	unsigned int n_ciphers;
};

static const char *const encrypt_types[] = { "luks", "luks1", "luks2", "plain",
					     NULL };

static const struct opt encrypt_opts[] = {
	OPT_ENUM("type", 0, struct encrypt, volume.type, 0, "TYPE",
		 encrypt_types, "luks", "kind of volume"),
	PASSPHRASE_OPTS(struct encrypt, volume.passphrase),
	OPT_STRING("key-slot", 'S', struct encrypt, volume.slot, 0, "N", NULL,
		   "try this key slot only"),
	OPT_PATH("header", 0, struct encrypt, volume.header, 0, "FILE", NULL,
		 "the header is in FILE, the data alone in the volume"),
	OPT_BOOL("allow-discards", 0, struct encrypt, may_discard,
		 "pass discards on, which shows what is unused"),
	OPT_BOOL("keep-key", 0, struct encrypt, keeps_key,
		 "let the driver that replaces this one have the volume key"),
	OPT_BOOL("direct", 0, struct encrypt, store.is_direct,
		 "bypass the page cache of the backing (O_DIRECT)"),
	OPT_STRING("cipher", 'c', struct encrypt, volume.cipher, 0, "CIPHER",
		   NULL, "of a plain volume, as aes-xts-plain64"),
	OPT_STRING("key-size", 's', struct encrypt, volume.key_size, 0, "SIZE",
		   NULL, "of a plain volume, as 512bit or 64B"),
	OPT_STRING("hash", 0, struct encrypt, volume.hash, 0, "HASH", NULL,
		   "of a plain volume's passphrase, as sha256"),
	OPT_SIZE("sector-size", 0, struct encrypt, volume.sector_size, 0, 512,
		 4096, NULL, "of a plain volume, else 512"),
	OPT_STRING("offset", 'o', struct encrypt, volume.offset, 0, "SIZE",
		   NULL, "where a plain volume starts, as 2048s or 1M"),
	OPT_STRING("skip", 'p', struct encrypt, volume.skip, 0, "SIZE", NULL,
		   "where the IVs of a plain volume start, as 2048s or 1M"),
	OPT_END
};

/* --- options -------------------------------------------------------------- */

static const char *encrypt_plain_option(const struct volume_options *options)
{
	if (options->cipher != NULL)
		return "cipher";
	if (options->key_size != NULL)
		return "key-size";
	if (options->hash != NULL)
		return "hash";
	if (options->sector_size != 0)
		return "sector-size";
	if (options->offset != NULL)
		return "offset";
	return options->skip != NULL ? "skip" : NULL;
}

static int encrypt_check_options(const struct encrypt *encrypt)
{
	const struct volume_options *options = &encrypt->volume;
	bool is_plain = options->type == VOLUME_PLAIN;
	const char *name = encrypt_plain_option(options);

	if (!is_plain && name != NULL) {
		msg_error("--%s: the header of a LUKS volume tells it", name);
		msg_hint("it is for --type plain");
		return EXIT_USAGE;
	}
	if (is_plain && (options->header != NULL || options->slot != NULL)) {
		msg_error("--%s: a plain volume has none",
			  options->header != NULL ? "header" : "key-slot");
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

/* --- open ----------------------------------------------------------------- */

static int encrypt_fit_blocks(struct encrypt *encrypt, const char *path,
			      uint32_t wanted, struct kbdus_attributes *attrs)
{
	uint32_t least = encrypt->segment.sector_size;

	if (encrypt->store.is_direct && encrypt->store.block > least)
		least = encrypt->store.block;
	attrs->logical_block_size = wanted != 0 ? wanted : least;
	if (attrs->logical_block_size < least) {
		msg_error("%s: needs a --block-size of %" PRIu32 " or more",
			  path, least);
		return EXIT_USAGE;
	}
	if (attrs->physical_block_size < attrs->logical_block_size)
		attrs->physical_block_size = attrs->logical_block_size;
	if (!encrypt->store.is_direct ||
	    encrypt->segment.off % encrypt->store.block == 0)
		return EXIT_DONE;
	msg_error("%s: its data begins at %" PRIu64
		  ", --direct needs a multiple of %" PRIu32,
		  path, encrypt->segment.off, encrypt->store.block);
	return EXIT_FAILED;
}

static int encrypt_fit_size(struct encrypt *encrypt, const char *path,
			    struct kbdus_attributes *attrs)
{
	const struct luks_segment *segment = &encrypt->segment;
	uint64_t size = encrypt->store.size;

	if (segment->off >= size || segment->size > size - segment->off) {
		msg_error("%s: has %" PRIu64
			  " bytes, the data would %s %" PRIu64,
			  path, size,
			  segment->off >= size ? "begin at" : "end at",
			  segment->off + segment->size);
		return EXIT_FAILED;
	}
	attrs->size = segment->size != 0 ? segment->size : size - segment->off;
	if (attrs->size % attrs->logical_block_size == 0)
		return EXIT_DONE;
	msg_error("%s: %" PRIu64 " bytes of data are no multiple of its %s of "
		  "%" PRIu32,
		  path, (uint64_t)attrs->size,
		  attrs->logical_block_size == segment->sector_size ?
			  "sector size" :
			  "block size",
		  attrs->logical_block_size);
	return EXIT_FAILED;
}

static void encrypt_fit_ops(struct encrypt *encrypt,
			    struct kbdus_attributes *attrs)
{
	attrs->max_discard = ENCRYPT_MAX_DISCARD;
	attrs->max_write_zeroes = ENCRYPT_MAX_ZERO;
	if (!encrypt->may_discard && !encrypt->segment.may_discard)
		attrs->ops &= ~(1U << KBDUS_OP_DISCARD);
}

static int encrypt_make_ciphers(struct encrypt *encrypt, struct dev *dev,
				const struct volume *volume)
{
	unsigned int n = dev_workers(dev);

	encrypt->ciphers = secret_alloc(n * sizeof(struct cipher *));
	while (encrypt->ciphers != NULL && encrypt->n_ciphers < n) {
		struct cipher *cipher = cipher_new(
			volume->segment.cipher, volume->key, volume->key_size,
			volume->segment.sector_size);

		if (cipher == NULL)
			break;
		encrypt->ciphers[encrypt->n_ciphers++] = cipher;
	}
	if (encrypt->n_ciphers == n)
		return EXIT_DONE;
	msg_error("cannot set up %s: %s", volume->segment.cipher,
		  strerror(errno));
	return EXIT_FAILED;
}

static void encrypt_free_ciphers(struct encrypt *encrypt)
{
	while (encrypt->n_ciphers > 0)
		cipher_free(encrypt->ciphers[--encrypt->n_ciphers]);
	secret_free(encrypt->ciphers);
	encrypt->ciphers = NULL;
}

static int encrypt_get_volume(struct encrypt *encrypt, struct dev *dev,
			      const char *path)
{
	const struct encrypt_kept *before = dev_kept_before(dev);
	struct encrypt_kept *kept = dev_kept_memory(dev);
	int code;

	/* the supervisor's: what was served shall be served on */
	if (dev_is_restart(dev) && kept->has_key)
		return EXIT_DONE;
	code = volume_open(
		&encrypt->volume, path, encrypt->store.fd, encrypt->store.size,
		before != NULL && before->has_key ? &before->volume : NULL,
		&kept->volume);
	if (!dev_is_restart(dev))
		passphrase_close(&encrypt->volume.passphrase);
	return code;
}

/* By now all that a cipher has of the key is where it is going to be. */
static void encrypt_warn_unlocked(const char *path)
{
	if (secret_is_locked())
		return;
	msg_warn("%s: its key cannot be locked in memory, and may get into "
		 "swap",
		 path);
	msg_hint("raise the limit of locked memory (ulimit -l), or run this "
		 "with CAP_IPC_LOCK, as root has it");
}

/* The ciphers have the key: from here on it is only for the next driver. */
static int encrypt_keep_key(const struct encrypt *encrypt, struct dev *dev)
{
	struct encrypt_kept *kept = dev_kept_memory(dev);
	int error;

	if (!encrypt->keeps_key &&
	    !(dev_attrs(dev)->flags & KBDUS_DEVICE_SUPERVISED)) {
		OPENSSL_cleanse(kept->volume.key, sizeof(kept->volume.key));
		return EXIT_DONE;
	}
	error = dev_kept_lock(dev);
	if (error == 0) {
		kept->has_key = true;
		return EXIT_DONE;
	}
	msg_error("cannot lock the volume key in memory: %s", strerror(-error));
	msg_hint("without --keep-key and --supervise it is not kept");
	return EXIT_FAILED;
}

static int encrypt_set_up(struct encrypt *encrypt, struct dev *dev,
			  const char *path, uint32_t wanted_block)
{
	struct kbdus_attributes *attrs = dev_attrs(dev);
	struct encrypt_kept *kept = dev_kept_memory(dev);
	int code = encrypt_get_volume(encrypt, dev, path);

	if (code != EXIT_DONE)
		return code;
	encrypt->segment = kept->volume.segment;
	code = encrypt_make_ciphers(encrypt, dev, &kept->volume);
	if (code == EXIT_DONE)
		code = encrypt_keep_key(encrypt, dev);
	if (code == EXIT_DONE)
		encrypt_warn_unlocked(path);
	if (code == EXIT_DONE)
		code = encrypt_fit_blocks(encrypt, path, wanted_block, attrs);
	if (code == EXIT_DONE)
		code = encrypt_fit_size(encrypt, path, attrs);
	if (code != EXIT_DONE)
		return code;
	encrypt_fit_ops(encrypt, attrs);
	return store_serve(&encrypt->store, dev, path, encrypt->segment.off);
}

static int encrypt_open(struct dev *dev)
{
	struct encrypt *encrypt = dev_priv(dev);
	struct encrypt_kept *kept = dev_kept_memory(dev);
	const char *path = dev_operand(dev, 0);
	uint32_t wanted_block = dev_attrs(dev)->logical_block_size;
	int code = encrypt_check_options(encrypt), error;

	if (code != EXIT_DONE)
		return code;
	error = secret_init();
	if (error != 0) {
		msg_error("cannot keep keys safe in memory: %s",
			  strerror(-error));
		return EXIT_FAILED;
	}
	code = store_acquire(&encrypt->store, dev, path);
	if (code != EXIT_DONE)
		return code;
	code = encrypt_set_up(encrypt, dev, path, wanted_block);
	if (code == EXIT_DONE)
		return EXIT_DONE;
	if (!dev_is_restart(dev))
		OPENSSL_cleanse(&kept->volume, sizeof(kept->volume));
	encrypt_free_ciphers(encrypt);
	store_release(&encrypt->store, dev, path);
	return code;
}

static int encrypt_close(struct dev *dev)
{
	struct encrypt *encrypt = dev_priv(dev);

	encrypt_free_ciphers(encrypt);
	return store_close(&encrypt->store, dev_operand(dev, 0));
}

/* --- data ----------------------------------------------------------------- */

static struct encrypt *encrypt_of(const struct io *io)
{
	return dev_priv(io->dev);
}

static uint64_t encrypt_sector(const struct encrypt *encrypt, uint64_t off)
{
	return encrypt->segment.iv_tweak + off / ENCRYPT_SECTOR;
}

static void encrypt_read(struct io *io)
{
	struct encrypt *encrypt = encrypt_of(io);
	int error = store_read(&encrypt->store, io->buf, io->len,
			       encrypt->segment.off + io->off);

	if (error == 0)
		error = cipher_decrypt(encrypt->ciphers[io_worker(io)], io->buf,
				       io->len,
				       encrypt_sector(encrypt, io->off));
	io_done(io, error);
}

/* The request's buffer is ours: the client's pages are left as they are. */
static int encrypt_buffer(const struct io *io, uint64_t off, uint32_t len)
{
	struct encrypt *encrypt = encrypt_of(io);

	return cipher_encrypt(encrypt->ciphers[io_worker(io)], io->buf, len,
			      encrypt_sector(encrypt, off));
}

static void encrypt_write(struct io *io)
{
	struct encrypt *encrypt = encrypt_of(io);
	int error = encrypt_buffer(io, io->off, io->len);

	if (error == 0)
		error = store_write(&encrypt->store, io->buf, io->len,
				    encrypt->segment.off + io->off);
	io_done(io, error);
}

static void encrypt_fua_write(struct io *io)
{
	struct encrypt *encrypt = encrypt_of(io);
	int error = encrypt_buffer(io, io->off, io->len);

	if (error == 0)
		error = store_write_durable(&encrypt->store, io->buf, io->len,
					    encrypt->segment.off + io->off);
	io_done(io, error);
}

static void encrypt_flush(struct io *io)
{
	io_done(io, store_sync(&encrypt_of(io)->store));
}

/* Zeroes are data like any other: below, nobody is to see where they are. */
static void encrypt_write_zeroes(struct io *io)
{
	struct encrypt *encrypt = encrypt_of(io);
	uint32_t max = dev_attrs(io->dev)->max_io;
	int error = 0;

	for (uint32_t done = 0, part; error == 0 && done < io->len;
	     done += part) {
		part = io->len - done < max ? io->len - done : max;
		memset(io->buf, 0, part);
		error = encrypt_buffer(io, io->off + done, part);
		if (error == 0)
			error = store_write(&encrypt->store, io->buf, part,
					    encrypt->segment.off + io->off +
						    done);
	}
	io_done(io, error);
}

static void encrypt_discard(struct io *io)
{
	struct encrypt *encrypt = encrypt_of(io);

	io_done(io, store_discard(&encrypt->store, io->len,
				  encrypt->segment.off + io->off));
}

static const struct applet *const encrypt_actions[] = {
	&action_format,
	&action_info,
	&action_add_key,
	&action_change_key,
	&action_remove_key,
	&action_test_key,
	&action_header_backup,
	&action_header_restore,
	&action_check,
	&action_erase,
	NULL,
};

DRIVER(encrypt) = {
	.name = "encrypt",
	.summary = "a LUKS volume as a disk in the clear",
	.operands = "FILE|DEVICE",
	.n_operands = 1,
	.opts = encrypt_opts,
	.actions = encrypt_actions,
	.priv_size = sizeof(struct encrypt),
	.kept_size = sizeof(struct encrypt_kept),
	.open = encrypt_open,
	.close = encrypt_close,
	.read = encrypt_read,
	.write = encrypt_write,
	.fua_write = encrypt_fua_write,
	.flush = encrypt_flush,
	.write_zeroes = encrypt_write_zeroes,
	.discard = encrypt_discard,
};
