/* SPDX-License-Identifier: MIT */
/*
 * applet.h - what an applet is: one tool of the binary (bdus NAME), one file
 * in src/applets/. Drivers become applets by themselves (see driver.h).
 */
#ifndef BDUS_APPLET_H
#define BDUS_APPLET_H

#include <stdbool.h>

#include "opt.h"

/**
 * struct applet - a tool, or an action of a driver (driver.h)
 * @name: the file's name
 * @alias: what users of another program call it, or NULL; of actions only
 * @summary: one line for --list-full and help, lower case, no full stop
 * @operands: synopsis of what follows the options, e.g. "DEV|ID...", or ""
 * @opts: its options, or NULL
 * @takes_command: its options end at the first operand, since what follows is
 *	another command; they are all switches
 * @opts_size: size of the structure that @opts fills
 * @run: does the work; @opts is that structure, filled; returns the exit code
 */
struct applet {
	const char *name;
	const char *alias;
	const char *summary;
	const char *operands;
	const struct opt *opts;
	size_t opts_size;
	bool takes_command;
	int (*run)(void *opts, int argc, char **argv);
};

/** APPLET - define the applet of this file: APPLET(list) = { ... }; */
#define APPLET(id) const struct applet applet_##id

/** applets - all tools, sorted by name, ended by NULL (tables.c). */
extern const struct applet *const applets[];

/** applet_find - the tool of that name, or NULL. */
const struct applet *applet_find(const char *name);

#endif /* BDUS_APPLET_H */
