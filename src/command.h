/* SPDX-License-Identifier: MIT */
/*
 * command.h - what can follow "bdus" on the command line: the applets and the
 * drivers as one sorted list; and what is printed about them.
 */
#ifndef BDUS_COMMAND_H
#define BDUS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "applet.h"
#include "driver.h"

/**
 * struct command - an applet, a driver, or an action of a driver
 * @name: what it is called by
 * @of: name of the driver whose action it is, or NULL
 * @summary: one line
 * @operands: synopsis of its operands, or ""
 * @opts: its own options, or NULL
 * @applet: the applet, or NULL
 * @driver: the driver, or NULL
 */
struct command {
	const char *name;
	const char *of;
	const char *summary;
	const char *operands;
	const struct opt *opts;
	const struct applet *applet;
	const struct driver *driver;
};

/** COMMAND_GROUPS - room for the groups of a command, ended. */
#define COMMAND_GROUPS 4

/** command_at - the command at place @i of the sorted list; false: past it. */
bool command_at(size_t i, struct command *command);

/** command_find - the command called @name; false: there is none. */
bool command_find(const char *name, struct command *command);

/**
 * command_action_at - the action at place @i of a driver's list
 * @command: the driver; others have none
 * @i: counts from 0
 * @action: filled in
 *
 * Return: false: past the last one.
 */
bool command_action_at(const struct command *command, size_t i,
		       struct command *action);

/** command_find_action - the action called @name, or by its alias; false: it
 * has none of that name. */
bool command_find_action(const struct command *command, const char *name,
			 struct command *action);

/**
 * command_skip_open - skip the word "open" where a driver has actions
 * @driver: the driver
 * @argc: words that follow its name; changed
 * @argv: them; changed
 */
void command_skip_open(const struct driver *driver, int *argc, char ***argv);

/**
 * command_groups - the option tables of a command, without bases
 * @command: the command
 * @groups: filled and ended: its own, those common to drivers, --help
 */
void command_groups(const struct command *command,
		    struct opt_group groups[COMMAND_GROUPS]);

/**
 * command_unknown - say that there is no such command, with the nearest names
 * @name: what was typed
 *
 * Return: %EXIT_NO_APPLET.
 */
int command_unknown(const char *name);

/** help_usage - print how bdus is used, in short or with all commands. */
void help_usage(FILE *out, bool is_short);

/** help_command - print the help of one command to stdout. */
void help_command(const struct command *command);

/** help_list - print all names, one a line, with @is_full their summaries. */
void help_list(bool is_full);

/**
 * help_list_options - print all options to stdout, one a line: command,
 * long name, letter or "-", type, "required" or "-"; those that all drivers
 * have in common once, with "common" as the command; those of an action with
 * DRIVER/ACTION as the command.
 */
void help_list_options(void);

/** help_version - print the versions of bdus, its libraries, and kbdus. */
void help_version(void);

/** completion_bash - print a completion script for bash to stdout. */
void completion_bash(void);

/**
 * install_links - make links bdus-NAME to this program for all commands
 * @dir: existing directory to put them in
 * @is_symbolic: symbolic links instead of hard ones
 *
 * A link that is there already is left as it is; another file of that name is
 * an error. Prints what is wrong.
 *
 * Return: 0 or the exit code.
 */
int install_links(const char *dir, bool is_symbolic);

#endif /* BDUS_COMMAND_H */
