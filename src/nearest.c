/* SPDX-License-Identifier: MIT */
/*
 * nearest - edit distance for "did you mean".
 */
#include "nearest.h"

#include <string.h>

/* Longer names are nobody's typing mistake; bounds the table. */
#define NEAREST_MAX 32

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int least = a < b ? a : b;

	return least < c ? least : c;
}

/* One cell of the optimal-string-alignment table. */
static unsigned int cell(unsigned int d[][NEAREST_MAX + 1], const char *a,
			 const char *b, size_t i, size_t j)
{
	unsigned int cost = a[i - 1] != b[j - 1];
	unsigned int least =
		min3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + cost);

	if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
	    d[i - 2][j - 2] + 1 < least)
		least = d[i - 2][j - 2] + 1;
	return least;
}

static unsigned int alignment(const char *a, size_t n, const char *b, size_t m)
{
	unsigned int d[NEAREST_MAX + 1][NEAREST_MAX + 1];

	for (size_t i = 0; i <= n; i++)
		d[i][0] = (unsigned int)i;
	for (size_t j = 0; j <= m; j++)
		d[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= n; i++)
		for (size_t j = 1; j <= m; j++)
			d[i][j] = cell(d, a, b, i, j);
	return d[n][m];
}

unsigned int nearest_distance(const char *typed, const char *name)
{
	size_t n = strlen(typed);
	size_t m = strlen(name);
	size_t longer = n > m ? n : m;
	unsigned int distance;

	if (n >= 2 && strncmp(typed, name, n) == 0)
		return n == m ? 0 : 1;
	if (longer > NEAREST_MAX || longer == 0)
		return NEAREST_NONE;
	distance = alignment(typed, n, name, m);
	return distance <= (longer + 2) / 3 ? distance : NEAREST_NONE;
}
