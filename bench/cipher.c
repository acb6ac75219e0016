/* SPDX-License-Identifier: MIT */
/*
 * cipher - the cipher stage of encrypt beside what libcrypto can do: requests
 * in memory, sectors of 4096 bytes, one thread. Run by bench/crypt.
 *
 * The limit is the same libcrypto with a context kept and nothing around it but
 * the change of the IV. Both take turns, round by round; the median counts.
 */
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cipher.h"
#include "secret.h"

#define SECTOR 4096
#define BUFFER (8U << 20) /* what a device has for its requests */
#define ROUNDS 41

static unsigned char key[64];
static unsigned char *buffer;
static struct cipher *cipher;
static EVP_CIPHER_CTX *context;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void limit(size_t off, size_t len, int is_encrypt)
{
	unsigned char iv[16] = { 0 };
	int done;

	(void)is_encrypt; /* the context knows */
	for (size_t end = off + len; off < end; off += SECTOR) {
		uint64_t sector = off / 512;

		memcpy(iv, &sector, sizeof(sector));
		EVP_CipherInit_ex2(context, NULL, NULL, iv, -1, NULL);
		EVP_CipherUpdate(context, buffer + off, &done, buffer + off,
				 SECTOR);
	}
}

static void stage(size_t off, size_t len, int is_encrypt)
{
	int error =
		is_encrypt ?
			cipher_encrypt(cipher, buffer + off, len, off / 512) :
			cipher_decrypt(cipher, buffer + off, len, off / 512);

	if (error != 0)
		abort();
}

/* GB/s of one pass over the buffer. */
static double pass(void (*run)(size_t, size_t, int), size_t request,
		   int is_encrypt)
{
	double start = now();

	for (size_t off = 0; off < BUFFER; off += request)
		run(off, request, is_encrypt);
	return BUFFER / 1e9 / (now() - start);
}

static int compare(const void *one, const void *two)
{
	double a = *(const double *)one, b = *(const double *)two;

	return a < b ? -1 : a > b;
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare);
	return values[ROUNDS / 2];
}

static void measure(size_t request, int is_encrypt)
{
	double limits[ROUNDS], stages[ROUNDS], most, got;
	EVP_CIPHER *evp = EVP_CIPHER_fetch(NULL, "AES-256-XTS", NULL);

	context = EVP_CIPHER_CTX_new();
	EVP_CipherInit_ex2(context, evp, key, key, is_encrypt, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		limits[i] = pass(limit, request, is_encrypt);
		stages[i] = pass(stage, request, is_encrypt);
	}
	most = median(limits);
	got = median(stages);
	printf("%-8s %4zuk requests: limit %5.2f GB/s, stage %5.2f GB/s, "
	       "ratio %.3f\n",
	       is_encrypt ? "encrypt" : "decrypt", request / 1024, most, got,
	       got / most);
	EVP_CIPHER_CTX_free(context);
	EVP_CIPHER_free(evp);
}

int main(void)
{
	if (secret_init() != 0)
		return 1;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (unsigned char)(i * 7 + 1);
	buffer = aligned_alloc(SECTOR, BUFFER);
	cipher = cipher_new("aes-xts-plain64", key, sizeof(key), SECTOR);
	if (buffer == NULL || cipher == NULL)
		return 1;
	memset(buffer, 1, BUFFER);
	for (int is_encrypt = 0; is_encrypt <= 1; is_encrypt++) {
		measure(4096, is_encrypt);
		measure(256 << 10, is_encrypt);
	}
	cipher_free(cipher);
	free(buffer);
	return 0;
}
