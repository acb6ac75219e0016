/* SPDX-License-Identifier: MIT */
/*
 * test-nearest - which names are near enough to be suggested.
 */
#include "nearest.h"
#include "tap.h"

static const struct nearest_case {
	const char *typed;
	const char *name;
	unsigned int distance;
} cases[] = {
	{ "ram", "ram", 0 },
	{ "rma", "ram", 1 },
	{ "rm", "ram", 1 },
	{ "rams", "ram", 1 },
	{ "de", "destroy", 1 },
	{ "destrpy", "destroy", 1 },
	{ "dstrpy", "destroy", 2 },
	{ "list", "destroy", NEAREST_NONE },
	{ "xyz", "ram", NEAREST_NONE },
	{ "r", "ram", NEAREST_NONE },
	{ "", "ram", NEAREST_NONE },
	{ "", "", NEAREST_NONE },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	  "ram", NEAREST_NONE },
	{ "ram", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	  NEAREST_NONE },
	{ "abcdefghijklmnopqrstuvwxyz012345",
	  "abcdefghijklmnopqrstuvwxyz012354", 1 },
};

int main(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		unsigned int n =
			nearest_distance(cases[i].typed, cases[i].name);

		ok(n == cases[i].distance, "'%s' to '%s' is %u", cases[i].typed,
		   cases[i].name, n);
	}
	return tap_done();
}
