/* SPDX-License-Identifier: MIT */
/*
 * encrypt/af - the anti-forensic splitter.
 *
 * All stripes but the last are random. A running value takes in one after the
 * other, by exclusive or, and is diffused each time; the last stripe is what is
 * then missing to the key.
 */
#include "af.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

#include "secret.h"

struct af {
	EVP_MD *md;
	EVP_MD_CTX *context;
	size_t hash_size;
	size_t size;	      /* of the key, bytes */
	unsigned char *value; /* the running one */
};

static int af_open(struct af *af, size_t size, const char *hash)
{
	*af = (struct af){
		.md = EVP_MD_fetch(NULL, hash, NULL),
		.context = EVP_MD_CTX_new(),
		.size = size,
		.value = secret_alloc(size + EVP_MAX_MD_SIZE),
	};
	if (af->md == NULL || af->context == NULL || af->value == NULL)
		return -ENOMEM;
	af->hash_size = (size_t)EVP_MD_get_size(af->md);
	return 0;
}

static void af_close(struct af *af)
{
	EVP_MD_CTX_free(af->context);
	EVP_MD_free(af->md);
	secret_free(af->value);
}

static void af_xor(unsigned char *to, const unsigned char *with, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] ^= with[i];
}

/* One block of the value becomes its hash, cut to the same length. */
static bool af_hash(const struct af *af, uint32_t index, unsigned char *block,
		    size_t size)
{
	const unsigned char number[4] = {
		(unsigned char)(index >> 24),
		(unsigned char)(index >> 16),
		(unsigned char)(index >> 8),
		(unsigned char)index,
	};
	/* a place for a hash whose end is not wanted */
	unsigned char *hash = af->value + af->size;

	if (EVP_DigestInit_ex2(af->context, af->md, NULL) != 1 ||
	    EVP_DigestUpdate(af->context, number, sizeof(number)) != 1 ||
	    EVP_DigestUpdate(af->context, block, size) != 1 ||
	    EVP_DigestFinal_ex(af->context, hash, NULL) != 1)
		return false;
	memcpy(block, hash, size);
	return true;
}

static bool af_take(const struct af *af, const unsigned char *stripe)
{
	size_t len = af->hash_size;
	uint32_t index = 0;

	af_xor(af->value, stripe, af->size);
	for (size_t off = 0; off < af->size; off += len, index++) {
		if (len > af->size - off)
			len = af->size - off;
		if (!af_hash(af, index, af->value + off, len))
			return false;
	}
	return true;
}

/* The running value after all stripes but the last, combined with @last. */
static int af_run(const unsigned char *stripes, size_t size, uint32_t n,
		  const char *hash, const unsigned char *last,
		  unsigned char *out)
{
	struct af af;
	int err = af_open(&af, size, hash);

	for (uint32_t i = 0; err == 0 && i + 1 < n; i++)
		if (!af_take(&af, stripes + i * size))
			err = -EIO;
	if (err == 0) {
		af_xor(af.value, last, size);
		memcpy(out, af.value, size);
	}
	af_close(&af);
	return err;
}

int af_split(const unsigned char *key, size_t size, uint32_t stripes,
	     const char *hash, unsigned char *out)
{
	size_t last = (stripes - 1) * size;
	int err = secret_random(out, last);

	return err != 0 ? err :
			  af_run(out, size, stripes, hash, key, out + last);
}

int af_merge(const unsigned char *from, size_t size, uint32_t stripes,
	     const char *hash, unsigned char *key)
{
	size_t last = (stripes - 1) * size;

	return af_run(from, size, stripes, hash, from + last, key);
}
