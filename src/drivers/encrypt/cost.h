/* SPDX-License-Identifier: MIT */
/*
 * encrypt/cost.h - the options by which the cost of a key derivation is chosen.
 */
#ifndef BDUS_ENCRYPT_COST_H
#define BDUS_ENCRYPT_COST_H

#include <stdint.h>

#include "luks.h"
#include "opt.h"

/** COST_ITER_MS - default of --iter-time. */
#define COST_ITER_MS 2000

/**
 * struct cost_options - what was asked for; 0 or NULL: nothing
 * @kdf: name of the key derivation
 * @memory: size with a unit
 * @lanes: threads
 * @iter_ms: milliseconds
 * @iterations: PBKDF2's iterations or Argon2's passes, instead of measuring
 */
struct cost_options {
	const char *kdf;
	const char *memory;
	uint64_t lanes;
	uint64_t iter_ms;
	uint64_t iterations;
};

/* The lines of an option table for a field of type struct cost_options. */
#define COST_OPTS(structure, field)                                           \
	OPT_STRING("pbkdf", 0, structure, field.kdf, 0, "NAME", NULL,         \
		   "key derivation: argon2id (default), argon2i, pbkdf2 "     \
		   "(LUKS1: the default)"),                                   \
		OPT_STRING("pbkdf-memory", 0, structure, field.memory, 0,     \
			   "SIZE", NULL,                                      \
			   "most memory for Argon2 (default: 1G, or a "       \
			   "quarter of what is free)"),                       \
		OPT_UINT("pbkdf-parallel", 0, structure, field.lanes, 0, "N", \
			 1, 4, NULL,                                          \
			 "most threads for Argon2 (default: CPUs, up to 4)"), \
		OPT_UINT("iter-time", 'i', structure, field.iter_ms, 0, "MS", \
			 1, 3600000, NULL,                                    \
			 "time that the key derivation is to take, "          \
			 "milliseconds (default: 2000)"),                     \
		OPT_UINT("pbkdf-force-iterations", 0, structure,              \
			 field.iterations, 0, "N", 4, UINT32_MAX, NULL,       \
			 "do not measure, take N iterations")

/**
 * cost_init - check the options, find the bounds
 * @options: what was asked for
 * @version: of LUKS; 1 knows PBKDF2 only
 * @hash: for PBKDF2
 * @cost: filled in, but for the iterations
 *
 * Warns when there is less memory than the default. Prints what is wrong.
 *
 * Return: an exit code.
 */
int cost_init(const struct cost_options *options, unsigned int version,
	      const char *hash, struct luks_cost *cost);

/**
 * cost_measure - choose iterations, and memory within its bound
 * @options: what was asked for
 * @key_size: of what is derived, bytes
 * @cost: from cost_init(); completed
 *
 * Takes a while, with progress.
 *
 * Return: an exit code.
 */
int cost_measure(const struct cost_options *options, uint32_t key_size,
		 struct luks_cost *cost);

/** cost_iter_ms - the time that was asked for, or the default. */
uint32_t cost_iter_ms(const struct cost_options *options);

#endif /* BDUS_ENCRYPT_COST_H */
