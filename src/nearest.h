/* SPDX-License-Identifier: MIT */
/*
 * nearest.h - "did you mean": how far two names are apart.
 */
#ifndef BDUS_NEAREST_H
#define BDUS_NEAREST_H

#include <stdbool.h>

/** NEAREST_NONE - distance of names that are not alike at all. */
#define NEAREST_NONE 100U

/**
 * nearest_distance - edit distance of two names
 * @typed: what was typed
 * @name: what exists
 *
 * Insertions, deletions, replacements and swaps of neighbours count 1. A
 * beginning of @name (at least two letters) is at distance 1.
 *
 * Return: the distance, or %NEAREST_NONE when it is more than a third of the
 * longer name, so that it would be a guess.
 */
unsigned int nearest_distance(const char *typed, const char *name);

#endif /* BDUS_NEAREST_H */
