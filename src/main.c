/* SPDX-License-Identifier: MIT */
/*
 * bdus - block devices in user space: one program, many commands.
 *
 * Dispatch only: the name it is called by, or the first word, picks an applet
 * or a driver.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "msg.h"
#include "runtime.h"

static int usage_error(void)
{
	help_usage(stderr, true);
	return EXIT_USAGE;
}

/* How many words there are before the first operand. */
static int leading_options(int argc, char **argv)
{
	int n = 0;

	while (n < argc && argv[n][0] == '-')
		n++;
	return n;
}

static int run_applet(const char *who, const struct applet *applet, int argc,
		      char **argv)
{
	static const struct opt no_opts[] = { OPT_END };
	int status = EXIT_USAGE, n, left;
	void *opts = calloc(1, applet->opts_size + 1);
	const struct opt_group groups[] = {
		{ .opts = applet->opts != NULL ? applet->opts : no_opts,
		  .base = opts },
		{ .opts = NULL },
	};

	if (opts == NULL) {
		msg_error("%s", strerror(ENOMEM));
		return EXIT_FAILED;
	}
	n = applet->takes_command ? leading_options(argc, argv) : argc;
	left = opt_parse(who, groups, n, argv);
	if (left >= 0 && applet->takes_command)
		status = applet->run(opts, argc - n, argv + n);
	else if (left >= 0)
		status = applet->run(opts, left, argv);
	msg_set_who("bdus");
	free(opts);
	return status;
}

static int run_found(const struct command *command, int argc, char **argv)
{
	struct opt_group groups[COMMAND_GROUPS];
	char who[64];
	int n = argc;

	command_groups(command, groups);
	if (command->driver == NULL && command->applet->takes_command)
		n = leading_options(argc, argv);
	if (opt_wants_help(groups, n, argv)) {
		help_command(command);
		return EXIT_DONE;
	}
	if (command->driver != NULL)
		return runtime_main(command->driver, argc, argv);
	snprintf(who, sizeof(who), "bdus %s%s%s",
		 command->of != NULL ? command->of : "",
		 command->of != NULL ? " " : "", command->name);
	return run_applet(who, command->applet, argc, argv);
}

static int run_command(const char *name, int argc, char **argv)
{
	struct command command, action;

	if (!command_find(name, &command))
		return command_unknown(name);
	if (argc > 0 && command_find_action(&command, argv[0], &action))
		return run_found(&action, argc - 1, argv + 1);
	if (command.driver != NULL)
		command_skip_open(command.driver, &argc, &argv);
	return run_found(&command, argc, argv);
}

static int run_help(int argc, char **argv)
{
	struct command command, action;

	if (argc == 0) {
		help_usage(stdout, false);
		return EXIT_DONE;
	}
	for (int i = 0; i < argc; i++) {
		if (!command_find(argv[i], &command))
			return command_unknown(argv[i]);
		if (i + 1 < argc &&
		    command_find_action(&command, argv[i + 1], &action)) {
			command = action;
			i++;
		}
		help_command(&command);
	}
	return EXIT_DONE;
}

static int run_install(int argc, char **argv)
{
	bool is_symbolic = false;

	if (argc > 0 && strcmp(argv[0], "-s") == 0) {
		is_symbolic = true;
		argv++;
		argc--;
	}
	if (argc != 1 || *argv[0] == '\0' || *argv[0] == '-') {
		msg_error("--install: needs a directory");
		msg_hint("give it as --install [-s] DIR");
		return EXIT_USAGE;
	}
	return install_links(argv[0], is_symbolic);
}

static int run_completion(int argc, char **argv)
{
	if (argc != 1 || strcmp(argv[0], "bash") != 0) {
		msg_error("--completion: needs the name of a shell");
		msg_hint("accepted: bash");
		return EXIT_USAGE;
	}
	completion_bash();
	return EXIT_DONE;
}

/* bdus's own options that print something and take no argument. */
static int run_print(const char *option, int argc)
{
	bool is_help =
		strcmp(option, "--help") == 0 || strcmp(option, "-h") == 0;

	if (argc != 0) {
		msg_error("%s: takes no argument", option);
		return EXIT_USAGE;
	}
	if (is_help)
		help_usage(stdout, false);
	else if (strcmp(option, "--list") == 0)
		help_list(false);
	else if (strcmp(option, "--list-full") == 0)
		help_list(true);
	else if (strcmp(option, "--list-options") == 0)
		help_list_options();
	else if (strcmp(option, "--version") == 0)
		help_version();
	else {
		msg_error("unknown option '%s'", option);
		msg_hint("'bdus --help' tells how it is used");
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

/* bdus WORD ...: @argv[0] is the word. */
static int run_word(int argc, char **argv)
{
	if (argc == 0)
		return usage_error();
	if (strcmp(argv[0], "help") == 0)
		return run_help(argc - 1, argv + 1);
	if (strcmp(argv[0], "--install") == 0)
		return run_install(argc - 1, argv + 1);
	if (strcmp(argv[0], "--completion") == 0)
		return run_completion(argc - 1, argv + 1);
	if (*argv[0] == '-')
		return run_print(argv[0], argc - 1);
	return run_command(argv[0], argc - 1, argv + 1);
}

static int dispatch(int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash != NULL ? slash + 1 : argv[0];
	struct command command;

	if (argc == 0)
		return usage_error();
	if (strncmp(name, "bdus-", 5) == 0)
		return run_command(name + 5, argc - 1, argv + 1);
	if (command_find(name, &command))
		return run_command(name, argc - 1, argv + 1);
	return run_word(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	int status = dispatch(argc, argv);

	if (fflush(stdout) != 0 || ferror(stdout)) {
		msg_error("standard output: cannot write: %s", strerror(errno));
		if (status == EXIT_DONE)
			status = EXIT_FAILED;
	}
	return status;
}
