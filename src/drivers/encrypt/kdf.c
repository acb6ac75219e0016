/* SPDX-License-Identifier: MIT */
/*
 * encrypt/kdf - keys from passphrases, by libcrypto, and what they cost.
 */
#include <errno.h>
#include <inttypes.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/thread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "layout.h"
#include "meminfo.h"
#include "msg.h"
#include "secret.h"

#define KDF_PBKDF2_MIN 1000U
#define KDF_MEMORY_MIN 32U /* KiB */
#define KDF_MEMORY_MAX (4U << 20)
#define KDF_LANES_MAX 4U
/* Argon2 wants so much of each lane. */
#define KDF_LANE_MIN 8U

/* Of a benchmark: a shorter measurement says too little. */
#define KDF_BENCH_MIN_MS 250
#define KDF_BENCH_PASSES 4U
#define KDF_BENCH_MEMORY (64U << 10)
#define KDF_BENCH_ROUNDS 8

const char *luks_kdf_name(enum luks_kdf kdf)
{
	static const char *const names[] = {
		[LUKS_PBKDF2] = "pbkdf2",
		[LUKS_ARGON2I] = "argon2i",
		[LUKS_ARGON2ID] = "argon2id",
	};

	return names[kdf];
}

bool kdf_hash_is_known(const char *hash, bool is_old)
{
	return strcmp(hash, "sha256") == 0 || strcmp(hash, "sha512") == 0 ||
	       (is_old && strcmp(hash, "sha1") == 0);
}

static bool kdf_argon2_is_sane(const struct luks_cost *cost, char *why,
			       size_t size)
{
	if (cost->memory_kib > KDF_MEMORY_MAX)
		snprintf(why, size,
			 "asks for %" PRIu32 " MiB of memory, %u is the most",
			 cost->memory_kib >> 10, KDF_MEMORY_MAX >> 10);
	else if (cost->memory_kib < KDF_MEMORY_MIN)
		snprintf(why, size,
			 "asks for %" PRIu32 " KiB of memory, %u is the least",
			 cost->memory_kib, KDF_MEMORY_MIN);
	else if (cost->lanes < 1 || cost->lanes > KDF_LANES_MAX)
		snprintf(why, size,
			 "asks for %" PRIu32 " threads, 1 to %u is possible",
			 cost->lanes, KDF_LANES_MAX);
	else if (cost->iterations < 1)
		snprintf(why, size, "asks for no pass at all");
	else
		return true;
	return false;
}

bool kdf_cost_is_sane(const struct luks_cost *cost, char *why, size_t size)
{
	if (cost->kdf != LUKS_PBKDF2)
		return kdf_argon2_is_sane(cost, why, size);
	if (!kdf_hash_is_known(cost->hash, true))
		snprintf(why, size, "uses the hash %s, which is not supported",
			 cost->hash);
	else if (cost->iterations < KDF_PBKDF2_MIN)
		snprintf(why, size,
			 "asks for %" PRIu32 " iterations, %u is the least",
			 cost->iterations, KDF_PBKDF2_MIN);
	else if (cost->iterations > INT32_MAX)
		snprintf(why, size,
			 "asks for %" PRIu32 " iterations, %d is the most",
			 cost->iterations, INT32_MAX);
	else
		return true;
	return false;
}

/* The limit of the control group, as a container has one. */
static uint64_t kdf_cgroup_kib(void)
{
	FILE *file = fopen("/sys/fs/cgroup/memory.max", "re");
	unsigned long long max;
	bool is_limited;

	if (file == NULL)
		return UINT64_MAX;
	is_limited = fscanf(file, "%llu", &max) == 1;
	fclose(file);
	return is_limited ? max >> 10 : UINT64_MAX;
}

/* The kernel promises more than it has, and kills somebody later. */
static bool kdf_has_memory(uint32_t kib)
{
	uint64_t available = meminfo("MemAvailable");

	if (available == 0)
		return true; /* not to be known */
	return kib < (available + meminfo("SwapFree")) / 1024 &&
	       kib < kdf_cgroup_kib();
}

static bool kdf_run(const char *name, const OSSL_PARAM *params,
		    unsigned char *out, size_t out_len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, NULL);
	EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
	bool is_done;

	is_done = context != NULL &&
		  EVP_KDF_derive(context, out, out_len, params) == 1;
	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
	ERR_clear_error();
	return is_done;
}

static OSSL_PARAM kdf_octets(const char *name, const void *data, size_t len)
{
	/* libcrypto does not write to it */
	return OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)data,
						 len);
}

static int kdf_pbkdf2(const struct luks_cost *cost, OSSL_PARAM *params,
		      unsigned char *out, size_t out_len)
{
	unsigned int iterations = cost->iterations;
	int has_no_minimum = 1;
	char hash[sizeof(cost->hash)];

	memcpy(hash, cost->hash, sizeof(hash));
	params[2] = OSSL_PARAM_construct_uint(OSSL_KDF_PARAM_ITER, &iterations);
	params[3] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
						     hash, 0);
	params[4] =
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_PKCS5, &has_no_minimum);
	params[5] = OSSL_PARAM_construct_end();
	return kdf_run("PBKDF2", params, out, out_len) ? 0 : -EINVAL;
}

/* Where no threads are to be had, one thread works on lane after lane. */
static int kdf_argon2(const struct luks_cost *cost, OSSL_PARAM *params,
		      unsigned char *out, size_t out_len)
{
	const char *name = cost->kdf == LUKS_ARGON2I ? "ARGON2I" : "ARGON2ID";
	uint32_t memory = cost->memory_kib, passes = cost->iterations;
	uint32_t lanes = cost->lanes, threads = lanes;

	if (memory < KDF_LANE_MIN * lanes)
		return -EINVAL;
	if (!kdf_has_memory(memory))
		return -ENOMEM;
	params[2] = OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ITER, &passes);
	params[3] = OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ARGON2_MEMCOST,
						&memory);
	params[4] = OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ARGON2_LANES,
						&lanes);
	params[5] =
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_THREADS, &threads);
	params[6] = OSSL_PARAM_construct_end();
	if (threads > 1 && OSSL_set_max_threads(NULL, threads) == 1 &&
	    kdf_run(name, params, out, out_len))
		return 0;
	threads = 1;
	return kdf_run(name, params, out, out_len) ? 0 : -ENOMEM;
}

int kdf_derive(const struct luks_cost *cost, const void *pass, size_t len,
	       const unsigned char *salt, size_t salt_len, unsigned char *out,
	       size_t out_len)
{
	OSSL_PARAM params[8];

	params[0] =
		kdf_octets(OSSL_KDF_PARAM_PASSWORD, len > 0 ? pass : "", len);
	params[1] = kdf_octets(OSSL_KDF_PARAM_SALT, salt, salt_len);
	return cost->kdf == LUKS_PBKDF2 ?
		       kdf_pbkdf2(cost, params, out, out_len) :
		       kdf_argon2(cost, params, out, out_len);
}

/* PBKDF2 is one thread's work, so that thread's time is the measure. */
static int64_t kdf_clock_us(enum luks_kdf kdf)
{
	struct timespec now;

	clock_gettime(kdf == LUKS_PBKDF2 ? CLOCK_THREAD_CPUTIME_ID :
					   CLOCK_MONOTONIC,
		      &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Return: microseconds that a derivation takes, at least 1, or -errno. */
static int64_t kdf_measure(const struct luks_cost *cost, unsigned char *out,
			   uint32_t key_size)
{
	static const unsigned char salt[32] =
		"a salt for measuring how long it";
	static const char pass[] = "a passphrase";
	int64_t begin = kdf_clock_us(cost->kdf), took;
	int err = kdf_derive(cost, pass, sizeof(pass) - 1, salt, sizeof(salt),
			     out, key_size);

	took = kdf_clock_us(cost->kdf) - begin;
	if (err != 0)
		return err;
	return took > 0 ? took : 1;
}

/* @value * @to / @from, within bounds. */
static uint32_t kdf_scale(uint64_t value, int64_t to, int64_t from,
			  uint32_t least, uint32_t most)
{
	double scaled = (double)value * (double)to / (double)from;

	if (scaled < (double)least)
		return least;
	return scaled > (double)most ? most : (uint32_t)scaled;
}

static int kdf_fit_pbkdf2(struct luks_cost *cost, unsigned char *out,
			  uint32_t key_size, int64_t target_us)
{
	int64_t took;

	cost->iterations = KDF_PBKDF2_MIN;
	for (;;) {
		took = kdf_measure(cost, out, key_size);
		if (took < 0)
			return (int)took;
		if (took >= KDF_BENCH_MIN_MS * 1000 ||
		    cost->iterations > INT32_MAX / 16)
			break;
		cost->iterations = kdf_scale(
			cost->iterations, KDF_BENCH_MIN_MS * 1500, took,
			cost->iterations * 2, cost->iterations * 16);
	}
	cost->iterations = kdf_scale(cost->iterations, target_us, took,
				     KDF_PBKDF2_MIN, INT32_MAX);
	return 0;
}

/* What takes @target_us if the present cost takes @took: memory, then passes.
 */
static void kdf_scale_argon2(struct luks_cost *cost, int64_t target_us,
			     int64_t took, uint32_t max_kib)
{
	uint64_t work = (uint64_t)cost->memory_kib * cost->iterations;
	uint32_t least = KDF_LANE_MIN * cost->lanes;

	if (least < KDF_MEMORY_MIN)
		least = KDF_MEMORY_MIN;
	cost->memory_kib = kdf_scale(work / KDF_BENCH_PASSES, target_us, took,
				     least, max_kib);
	cost->iterations =
		kdf_scale(work, target_us, took * (int64_t)cost->memory_kib,
			  KDF_BENCH_PASSES, INT32_MAX);
}

static int kdf_fit_argon2(struct luks_cost *cost, unsigned char *out,
			  uint32_t key_size, int64_t target_us)
{
	uint32_t max_kib = cost->memory_kib;

	cost->iterations = KDF_BENCH_PASSES;
	if (cost->memory_kib > KDF_BENCH_MEMORY)
		cost->memory_kib = KDF_BENCH_MEMORY;
	for (int i = 0; i < KDF_BENCH_ROUNDS; i++) {
		struct luks_cost before = *cost;
		int64_t took = kdf_measure(cost, out, key_size);

		if (took < 0)
			return (int)took;
		kdf_scale_argon2(cost, target_us, took, max_kib);
		/* good enough, or at a bound */
		if ((took > target_us / 100 * 95 &&
		     took < target_us / 100 * 110) ||
		    (before.memory_kib == cost->memory_kib &&
		     before.iterations == cost->iterations))
			break;
	}
	return 0;
}

static uint32_t kdf_lanes(uint32_t most)
{
	cpu_set_t cpus;
	uint32_t n = 1;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		n = (uint32_t)CPU_COUNT(&cpus);
	if (n > KDF_LANES_MAX)
		n = KDF_LANES_MAX;
	return n < most || most == 0 ? n : most;
}

int luks_benchmark(struct luks_cost *cost, uint32_t key_size, uint32_t iter_ms)
{
	unsigned char *out = secret_alloc(key_size);
	int64_t target_us = (int64_t)iter_ms * 1000;
	int err = -ENOMEM;

	if (out != NULL && cost->kdf == LUKS_PBKDF2) {
		err = kdf_fit_pbkdf2(cost, out, key_size, target_us);
	} else if (out != NULL) {
		cost->lanes = kdf_lanes(cost->lanes);
		err = kdf_fit_argon2(cost, out, key_size, target_us);
	}
	secret_free(out);
	if (err == 0)
		return EXIT_DONE;
	msg_error("cannot measure %s: %s", luks_kdf_name(cost->kdf),
		  strerror(-err));
	return EXIT_FAILED;
}
