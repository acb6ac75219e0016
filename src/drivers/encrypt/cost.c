/* SPDX-License-Identifier: MIT */
/*
 * encrypt/cost - the options by which the cost of a key derivation is chosen.
 *
 * No default makes it cheaper to guess a passphrase than cryptsetup's does,
 * unless memory is short, and then there is a warning.
 */
#include "cost.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "meminfo.h"
#include "msg.h"
#include "progress.h"
#include "report.h"

#define COST_MEMORY_KIB (1U << 20)
#define COST_MEMORY_MIN_KIB 32
#define COST_MEMORY_MAX_KIB (4U << 20)
#define COST_LANES_MAX 4
#define COST_PBKDF2_MIN 1000

uint32_t cost_iter_ms(const struct cost_options *options)
{
	return options->iter_ms != 0 ? (uint32_t)options->iter_ms :
				       COST_ITER_MS;
}

static int cost_usage(const char *option, const char *why, const char *hint)
{
	msg_error("--%s: %s", option, why);
	msg_hint("%s", hint);
	return EXIT_USAGE;
}

static int cost_kdf(const char *name, unsigned int version, enum luks_kdf *kdf)
{
	static const enum luks_kdf all[] = { LUKS_ARGON2ID, LUKS_ARGON2I,
					     LUKS_PBKDF2 };
	size_t i = 0;

	*kdf = version == 1 ? LUKS_PBKDF2 : LUKS_ARGON2ID;
	if (name == NULL)
		return EXIT_DONE;
	while (i < 3 && strcmp(name, luks_kdf_name(all[i])) != 0)
		i++;
	if (i == 3) {
		msg_error("--pbkdf: '%s' is not one of its values", name);
		msg_hint("accepted: argon2id, argon2i, pbkdf2");
		return EXIT_USAGE;
	}
	if (version == 1 && all[i] != LUKS_PBKDF2)
		return cost_usage("pbkdf", "LUKS1 knows pbkdf2 only",
				  "LUKS2 has argon2id");
	*kdf = all[i];
	return EXIT_DONE;
}

static uint32_t cost_default_memory(void)
{
	uint64_t quarter = meminfo("MemAvailable") / 1024 / 4;
	char bytes[32], text[16];

	if (quarter == 0 || quarter >= COST_MEMORY_KIB)
		return COST_MEMORY_KIB;
	if (quarter < COST_MEMORY_MIN_KIB)
		quarter = COST_MEMORY_MIN_KIB;
	snprintf(bytes, sizeof(bytes), "%" PRIu64, quarter * 1024);
	report_size(bytes, text);
	msg_warn("the key derivation gets %s of memory at most instead of 1G, "
		 "as little is free; that makes it cheaper to guess "
		 "passphrases",
		 text);
	return (uint32_t)quarter;
}

/* cryptsetup counts KiB: a number without a unit would mean something else. */
static int cost_memory(const char *text, uint32_t *kib)
{
	static const char hint[] = "accepted: 32K to 4G, with a unit "
				   "(cryptsetup's number is in K)";
	char last = text[strlen(text) - 1];
	uint64_t bytes;

	if (opt_parse_size(text, &bytes) != 0)
		return cost_usage("pbkdf-memory", "is not a size", hint);
	if (last >= '0' && last <= '9')
		return cost_usage("pbkdf-memory", "has no unit", hint);
	if (bytes / 1024 < COST_MEMORY_MIN_KIB ||
	    bytes / 1024 > COST_MEMORY_MAX_KIB)
		return cost_usage("pbkdf-memory", "is out of bounds", hint);
	*kib = (uint32_t)(bytes / 1024);
	return EXIT_DONE;
}

static uint32_t cost_default_lanes(void)
{
	cpu_set_t set;
	int n = 1;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	return n < COST_LANES_MAX ? (uint32_t)n : COST_LANES_MAX;
}

static int cost_init_pbkdf2(const struct cost_options *options)
{
	if (options->memory != NULL)
		return cost_usage("pbkdf-memory", "pbkdf2 takes no memory",
				  "argon2id does");
	if (options->lanes != 0)
		return cost_usage("pbkdf-parallel", "pbkdf2 has one thread",
				  "argon2id can have more");
	if (options->iterations != 0 && options->iterations < COST_PBKDF2_MIN)
		return cost_usage("pbkdf-force-iterations",
				  "pbkdf2 takes 1000 at least",
				  "leave it out to have them measured");
	return EXIT_DONE;
}

int cost_init(const struct cost_options *options, unsigned int version,
	      const char *hash, struct luks_cost *cost)
{
	int status;

	memset(cost, 0, sizeof(*cost));
	if (options->iterations != 0 && options->iter_ms != 0)
		return cost_usage("pbkdf-force-iterations",
				  "excludes --iter-time",
				  "one is measured by the other");
	status = cost_kdf(options->kdf, version, &cost->kdf);
	if (status != EXIT_DONE)
		return status;
	snprintf(cost->hash, sizeof(cost->hash), "%s", hash);
	if (cost->kdf == LUKS_PBKDF2)
		return cost_init_pbkdf2(options);
	cost->lanes = options->lanes != 0 ? (uint32_t)options->lanes :
					    cost_default_lanes();
	if (options->memory != NULL)
		return cost_memory(options->memory, &cost->memory_kib);
	cost->memory_kib = cost_default_memory();
	return EXIT_DONE;
}

int cost_measure(const struct cost_options *options, uint32_t key_size,
		 struct luks_cost *cost)
{
	uint32_t iter_ms = cost_iter_ms(options);
	struct progress progress;
	int status;

	if (options->iterations != 0) {
		cost->iterations = (uint32_t)options->iterations;
		return EXIT_DONE;
	}
	progress_start_ms(&progress, "measuring the key derivation",
			  (uint64_t)iter_ms * 2);
	status = luks_benchmark(cost, key_size, iter_ms);
	progress_end(&progress);
	return status;
}
