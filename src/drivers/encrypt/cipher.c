/* SPDX-License-Identifier: MIT */
/*
 * encrypt/cipher - sectors to ciphertext and back.
 *
 * A context of libcrypto for each direction keeps the expanded key; a sector
 * costs one change of its IV and one call. The IV is the number of the sector
 * in units of 512 bytes, also where sectors are larger (dm-crypt's way without
 * iv_large_sectors): as it is (plain64), or encrypted (essiv).
 */
#include "cipher.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "secret.h"

#define CIPHER_IV 16
#define CIPHER_IV_UNIT 512

/* What LUKS calls it, what libcrypto does. */
struct cipher_kind {
	const char *name;
	const char *algorithm;
	uint32_t key_size;
	bool is_essiv;
};

static const struct cipher_kind cipher_kinds[] = {
	{ "aes-xts-plain64", "AES-256-XTS", 64, false },
	{ "aes-xts-plain64", "AES-128-XTS", 32, false },
	{ "aes-cbc-essiv:sha256", "AES-256-CBC", 32, true },
	{ "aes-cbc-essiv:sha256", "AES-128-CBC", 16, true },
	{ NULL, NULL, 0, false },
};

struct cipher {
	EVP_CIPHER_CTX *encrypt;
	EVP_CIPHER_CTX *decrypt;
	EVP_CIPHER_CTX *essiv; /* NULL: the IV is the number itself */
	uint32_t sector_size;
};

static const struct cipher_kind *cipher_find(const char *name,
					     uint32_t key_size)
{
	const struct cipher_kind *kind = cipher_kinds;

	while (kind->name != NULL &&
	       (kind->key_size != key_size || strcmp(kind->name, name) != 0))
		kind++;
	return kind->name != NULL ? kind : NULL;
}

bool cipher_is_known(const char *name, uint32_t key_size)
{
	return cipher_find(name, key_size) != NULL;
}

void cipher_list(char *text, size_t size)
{
	const struct cipher_kind *kind = cipher_kinds;

	*text = '\0';
	for (; kind->name != NULL; kind++) {
		bool is_first = kind == cipher_kinds;
		bool is_same =
			!is_first && strcmp(kind->name, kind[-1].name) == 0;
		size_t n = strlen(text);

		snprintf(text + n, size - n, "%s%s%s%" PRIu32 "bit",
			 is_first ? "" :
			 is_same  ? " or " :
				    ", ",
			 is_same ? "" : kind->name, is_same ? "" : " with ",
			 kind->key_size * 8);
	}
}

/* Return: a context with its key, or NULL. */
static EVP_CIPHER_CTX *cipher_context(const char *algorithm,
				      const unsigned char *key, int is_encrypt)
{
	static const unsigned char iv[CIPHER_IV];
	EVP_CIPHER *evp = EVP_CIPHER_fetch(NULL, algorithm, NULL);
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

	if (evp == NULL || context == NULL ||
	    EVP_CipherInit_ex2(context, evp, key, iv, is_encrypt, NULL) != 1 ||
	    EVP_CIPHER_CTX_set_padding(context, 0) != 1) {
		EVP_CIPHER_CTX_free(context);
		context = NULL;
	}
	/* the context has a reference of its own */
	EVP_CIPHER_free(evp);
	return context;
}

static EVP_CIPHER_CTX *cipher_essiv(const unsigned char *key, uint32_t key_size)
{
	EVP_CIPHER_CTX *context = NULL;
	unsigned char *salt = secret_alloc(EVP_MAX_MD_SIZE);
	size_t len;

	if (salt != NULL &&
	    EVP_Q_digest(NULL, "SHA256", NULL, key, key_size, salt, &len) == 1)
		context = cipher_context("AES-256-ECB", salt, 1);
	secret_free(salt);
	return context;
}

struct cipher *cipher_new(const char *name, const unsigned char *key,
			  uint32_t key_size, uint32_t sector_size)
{
	const struct cipher_kind *kind = cipher_find(name, key_size);
	struct cipher *cipher;

	if (kind == NULL) {
		errno = EINVAL;
		return NULL;
	}
	cipher = secret_alloc(sizeof(*cipher));
	if (cipher == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	cipher->sector_size = sector_size;
	cipher->encrypt = cipher_context(kind->algorithm, key, 1);
	cipher->decrypt = cipher_context(kind->algorithm, key, 0);
	if (kind->is_essiv)
		cipher->essiv = cipher_essiv(key, key_size);
	if (cipher->encrypt != NULL && cipher->decrypt != NULL &&
	    (cipher->essiv != NULL || !kind->is_essiv))
		return cipher;
	cipher_free(cipher);
	errno = ENOMEM;
	return NULL;
}

void cipher_free(struct cipher *cipher)
{
	if (cipher == NULL)
		return;
	EVP_CIPHER_CTX_free(cipher->encrypt);
	EVP_CIPHER_CTX_free(cipher->decrypt);
	EVP_CIPHER_CTX_free(cipher->essiv);
	secret_free(cipher);
}

static bool cipher_set_iv(const struct cipher *cipher, EVP_CIPHER_CTX *context,
			  uint64_t sector)
{
	unsigned char iv[CIPHER_IV] = { 0 };
	uint64_t number = htole64(sector);
	int len;

	memcpy(iv, &number, sizeof(number));
	if (cipher->essiv != NULL &&
	    EVP_CipherUpdate(cipher->essiv, iv, &len, iv, CIPHER_IV) != 1)
		return false;
	return EVP_CipherInit_ex2(context, NULL, NULL, iv, -1, NULL) == 1;
}

static int cipher_run(const struct cipher *cipher, EVP_CIPHER_CTX *context,
		      unsigned char *buf, size_t len, uint64_t sector)
{
	int size = (int)cipher->sector_size, done;

	for (size_t off = 0; off < len; off += cipher->sector_size) {
		if (!cipher_set_iv(cipher, context, sector) ||
		    EVP_CipherUpdate(context, buf + off, &done, buf + off,
				     size) != 1 ||
		    done != size)
			return -EIO;
		sector += cipher->sector_size / CIPHER_IV_UNIT;
	}
	return 0;
}

int cipher_encrypt(struct cipher *cipher, void *buf, size_t len,
		   uint64_t sector)
{
	return cipher_run(cipher, cipher->encrypt, buf, len, sector);
}

int cipher_decrypt(struct cipher *cipher, void *buf, size_t len,
		   uint64_t sector)
{
	return cipher_run(cipher, cipher->decrypt, buf, len, sector);
}
