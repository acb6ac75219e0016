/* SPDX-License-Identifier: MIT */
/*
 * command - the applets and the drivers as one sorted list.
 */
#include "command.h"

#include <string.h>

#include "msg.h"
#include "nearest.h"
#include "options.h"

#define COMMAND_SUGGESTIONS 3

static const struct opt help_opts[] = { {
						.name = "help",
						.letter = 'h',
						.type = OPT_TYPE_BOOL,
						.help = "print this help",
					},
					OPT_END };

static void command_from_applet(struct command *command,
				const struct applet *applet)
{
	*command = (struct command){ .name = applet->name,
				     .summary = applet->summary,
				     .operands = applet->operands,
				     .opts = applet->opts,
				     .applet = applet };
}

static void command_from_driver(struct command *command,
				const struct driver *driver)
{
	*command = (struct command){ .name = driver->name,
				     .summary = driver->summary,
				     .operands = driver->operands,
				     .opts = driver->opts,
				     .driver = driver };
}

bool command_at(size_t i, struct command *command)
{
	const struct applet *const *applet = applets;
	const struct driver *const *driver = drivers;

	for (;; i--) {
		bool is_applet = *applet != NULL;

		if (*applet != NULL && *driver != NULL)
			is_applet =
				strcmp((*applet)->name, (*driver)->name) < 0;
		if (!is_applet && *driver == NULL)
			return false;
		if (i == 0 && is_applet)
			command_from_applet(command, *applet);
		else if (i == 0)
			command_from_driver(command, *driver);
		if (i == 0)
			return true;
		if (is_applet)
			applet++;
		else
			driver++;
	}
}

bool command_action_at(const struct command *command, size_t i,
		       struct command *action)
{
	const struct driver *driver = command->driver;

	if (driver == NULL || driver->actions == NULL)
		return false;
	for (size_t n = 0; n <= i; n++)
		if (driver->actions[n] == NULL)
			return false;
	command_from_applet(action, driver->actions[i]);
	action->of = driver->name;
	return true;
}

bool command_find_action(const struct command *command, const char *name,
			 struct command *action)
{
	for (size_t i = 0; command_action_at(command, i, action); i++) {
		const char *alias = action->applet->alias;

		if (strcmp(action->name, name) == 0 ||
		    (alias != NULL && strcmp(alias, name) == 0))
			return true;
	}
	return false;
}

void command_skip_open(const struct driver *driver, int *argc, char ***argv)
{
	if (driver->actions == NULL || *argc == 0 ||
	    strcmp((*argv)[0], "open") != 0)
		return;
	--*argc;
	++*argv;
}

bool command_find(const char *name, struct command *command)
{
	const struct applet *applet = applet_find(name);
	const struct driver *driver = driver_find(name);

	if (applet != NULL)
		command_from_applet(command, applet);
	else if (driver != NULL)
		command_from_driver(command, driver);
	return applet != NULL || driver != NULL;
}

void command_groups(const struct command *command,
		    struct opt_group groups[COMMAND_GROUPS])
{
	size_t n = 0;

	if (command->opts != NULL)
		groups[n++] = (struct opt_group){ .title = "Options",
						  .opts = command->opts };
	if (command->driver != NULL)
		groups[n++] = (struct opt_group){ .title = "Common options",
						  .opts = options_table() };
	groups[n] = (struct opt_group){ .title = n == 0 ? "Options" : NULL,
					.opts = help_opts };
	groups[n + 1] = (struct opt_group){ .opts = NULL };
}

int command_unknown(const char *name)
{
	const char *near[COMMAND_SUGGESTIONS];
	unsigned int best = NEAREST_NONE;
	struct command command;
	size_t count = 0;

	for (size_t i = 0; command_at(i, &command); i++) {
		unsigned int n = nearest_distance(name, command.name);

		if (n < best) {
			best = n;
			count = 0;
		}
		if (n == best && n < NEAREST_NONE &&
		    count < COMMAND_SUGGESTIONS)
			near[count++] = command.name;
	}
	msg_error("unknown command '%s'", name);
	if (count == 0)
		msg_hint("'bdus --list' prints all names");
	else
		msg_hint("did you mean %s%s%s%s%s?", near[0],
			 count > 1 ? " or " : "", count > 1 ? near[1] : "",
			 count > 2 ? " or " : "", count > 2 ? near[2] : "");
	return EXIT_NO_APPLET;
}
