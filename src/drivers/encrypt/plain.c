/* SPDX-License-Identifier: MIT */
/*
 * encrypt/plain - volumes without a header: all there is to know is told.
 *
 * cryptsetup has changed its defaults, and a wrong one shows as garbage only:
 * so cipher and key size, and the hash of a passphrase, must be given. A key
 * file is the key itself.
 */
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "cipher.h"
#include "msg.h"
#include "secret.h"
#include "units.h"
#include "volume.h"

static const char *const plain_hashes[] = { "ripemd160", "sha256", "sha512",
					    NULL };

static bool plain_has_key_file(const struct volume_options *options)
{
	return options->passphrase.file != NULL || options->passphrase.fd != 0;
}

static int plain_check_hash(const struct volume_options *options)
{
	if (plain_has_key_file(options))
		return EXIT_DONE;
	if (options->hash == NULL) {
		msg_error("--type plain: needs --hash for a passphrase");
		msg_hint("cryptsetup took ripemd160 before version 2.7, and "
			 "sha256 since");
		return EXIT_USAGE;
	}
	for (int i = 0; plain_hashes[i] != NULL; i++)
		if (strcmp(plain_hashes[i], options->hash) == 0)
			return EXIT_DONE;
	msg_error("--hash: '%s' is not known", options->hash);
	msg_hint("accepted: ripemd160, sha256, sha512");
	return EXIT_USAGE;
}

static int plain_check_cipher(const struct volume_options *options,
			      struct volume *volume)
{
	char accepted[CIPHER_LIST_SIZE];
	int code;

	if (options->cipher == NULL || options->key_size == NULL) {
		msg_error("--type plain: needs --cipher and --key-size");
		msg_hint("cryptsetup took aes-cbc-essiv:sha256 with 256bit "
			 "before version 2.7, and aes-xts-plain64 with 256bit "
			 "since");
		return EXIT_USAGE;
	}
	code = units_key_size("key-size", options->key_size, &volume->key_size);
	if (code != EXIT_DONE)
		return code;
	if (!cipher_is_known(options->cipher, volume->key_size)) {
		msg_error("--cipher: %s with a key of %" PRIu32
			  " bits is not known",
			  options->cipher, volume->key_size * 8);
		cipher_list(accepted, sizeof(accepted));
		msg_hint("accepted: %s", accepted);
		return EXIT_USAGE;
	}
	snprintf(volume->segment.cipher, sizeof(volume->segment.cipher), "%s",
		 options->cipher);
	return EXIT_DONE;
}

static int plain_check_sector(const struct volume_options *options,
			      struct volume *volume)
{
	uint64_t size = options->sector_size != 0 ? options->sector_size : 512;

	volume->segment.sector_size = (uint32_t)size;
	if ((size & (size - 1)) == 0)
		return EXIT_DONE;
	msg_error("--sector-size: must be 512, 1024, 2048 or 4096");
	return EXIT_USAGE;
}

static int plain_set_id(const struct volume_options *options,
			struct volume *volume)
{
	char text[256];
	size_t len;

	snprintf(text, sizeof(text),
		 "plain %s %" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu64 " %s",
		 volume->segment.cipher, volume->key_size,
		 volume->segment.sector_size, volume->segment.off,
		 volume->segment.iv_tweak,
		 options->hash != NULL ? options->hash : "");
	return EVP_Q_digest(NULL, "SHA256", NULL, text, strlen(text),
			    volume->id, &len) == 1 ?
		       EXIT_DONE :
		       EXIT_FAILED;
}

int plain_describe(const struct volume_options *options, struct volume *volume)
{
	uint64_t skip;
	int code = plain_check_cipher(options, volume);

	if (code == EXIT_DONE)
		code = plain_check_hash(options);
	if (code == EXIT_DONE)
		code = plain_check_sector(options, volume);
	if (code == EXIT_DONE)
		code = units_offset("offset", options->offset,
				    &volume->segment.off);
	if (code == EXIT_DONE)
		code = units_offset("skip", options->skip, &skip);
	if (code != EXIT_DONE)
		return code;
	volume->segment.iv_tweak = skip / 512;
	return plain_set_id(options, volume);
}

/*
 * One round of what cryptsetup makes of a passphrase: the hash of as many "A"
 * as there were rounds before, and the passphrase.
 */
static bool plain_hash_round(const char *hash, size_t n,
			     const struct passphrase *passphrase,
			     unsigned char *value, unsigned int *len)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_MD *md = EVP_MD_fetch(NULL, hash, NULL);
	bool is_done = context != NULL && md != NULL &&
		       EVP_DigestInit_ex2(context, md, NULL) == 1;

	while (is_done && n-- > 0)
		is_done = EVP_DigestUpdate(context, "A", 1) == 1;
	is_done = is_done &&
		  EVP_DigestUpdate(context, passphrase->data,
				   passphrase->len) == 1 &&
		  EVP_DigestFinal_ex(context, value, len) == 1;
	EVP_MD_free(md);
	EVP_MD_CTX_free(context);
	return is_done;
}

static int plain_hash(const char *hash, const struct passphrase *passphrase,
		      struct volume *volume)
{
	unsigned char *value = secret_alloc(EVP_MAX_MD_SIZE);
	unsigned int len = 0;
	bool is_done = value != NULL;

	for (size_t n = 0, at = 0; is_done && at < volume->key_size; n++) {
		is_done = plain_hash_round(hash, n, passphrase, value, &len);
		if (len > volume->key_size - at)
			len = (unsigned int)(volume->key_size - at);
		if (is_done)
			memcpy(volume->key + at, value, len);
		at += len;
	}
	secret_free(value);
	if (is_done)
		return EXIT_DONE;
	msg_error("cannot hash the passphrase with %s", hash);
	return EXIT_FAILED;
}

int plain_open_key(const struct volume_options *options, const char *path,
		   const struct passphrase *passphrase, struct volume *volume)
{
	if (!plain_has_key_file(options))
		return plain_hash(options->hash, passphrase, volume);
	if (passphrase->len < volume->key_size) {
		msg_error("%s: the key file has %zu bytes, the key %" PRIu32,
			  path, passphrase->len, volume->key_size);
		return EXIT_FAILED;
	}
	memcpy(volume->key, passphrase->data, volume->key_size);
	return EXIT_DONE;
}
