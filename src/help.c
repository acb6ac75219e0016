/* SPDX-License-Identifier: MIT */
/*
 * help - everything bdus prints about itself: usage, lists, versions.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <zstd.h>

#include "command.h"
#include "options.h"

void help_usage(FILE *out, bool is_short)
{
	struct command command;

	fputs("Usage: bdus NAME [OPTION...] [OPERAND...]\n"
	      "       bdus help NAME\n"
	      "       bdus --list | --list-full | --list-options\n"
	      "       bdus --install [-s] DIR\n"
	      "       bdus --completion bash\n"
	      "       bdus --version\n",
	      out);
	if (is_short) {
		fputs("\n'bdus --help' tells what NAME can be.\n", out);
		return;
	}
	fputs("\nBlock devices in user space. Drivers, which make a device:\n",
	      out);
	for (size_t i = 0; command_at(i, &command); i++)
		if (command.driver != NULL)
			fprintf(out, "  %-12s  %s\n", command.name,
				command.summary);
	fputs("\nTools:\n", out);
	for (size_t i = 0; command_at(i, &command); i++)
		if (command.applet != NULL)
			fprintf(out, "  %-12s  %s\n", command.name,
				command.summary);
	fputs("\nA link called bdus-NAME, or NAME, to this program runs NAME.\n",
	      out);
}

static void help_actions(const struct command *command)
{
	struct command action;

	for (size_t i = 0; command_action_at(command, i, &action); i++) {
		if (i == 0)
			printf("\nActions, as 'bdus %s ACTION ...':\n",
			       command->name);
		printf("  %-14s  %s\n", action.name, action.summary);
	}
}

void help_command(const struct command *command)
{
	const char *page = command->of != NULL ? command->of : command->name;
	struct opt_group groups[COMMAND_GROUPS];

	command_groups(command, groups);
	printf("Usage: bdus %s%s%s [OPTION...]%s%s\n\n%s: %s\n",
	       command->of != NULL ? command->of : "",
	       command->of != NULL ? " " : "", command->name,
	       *command->operands != '\0' ? " " : "", command->operands,
	       command->name, command->summary);
	opt_print_help(stdout, groups);
	help_actions(command);
	printf("\nMore in the manual page bdus-%s(8).\n", page);
}

void help_list(bool is_full)
{
	struct command command;

	for (size_t i = 0; command_at(i, &command); i++)
		if (is_full)
			printf("%-12s  %s\n", command.name, command.summary);
		else
			puts(command.name);
}

static void list_opts(const char *name, const struct opt *opt)
{
	for (; opt != NULL && opt->type != OPT_TYPE_END; opt++)
		printf("%s %s %c %s %s\n", name, opt->name,
		       opt->letter != 0 ? opt->letter : '-',
		       opt_type_name(opt->type),
		       opt->flags & OPT_REQUIRED ? "required" : "-");
}

static void list_action_opts(const struct command *command)
{
	struct command action;
	char name[64];

	for (size_t i = 0; command_action_at(command, i, &action); i++) {
		snprintf(name, sizeof(name), "%s/%s", command->name,
			 action.name);
		list_opts(name, action.opts);
	}
}

void help_list_options(void)
{
	struct command command;

	list_opts("common", options_table());
	for (size_t i = 0; command_at(i, &command); i++) {
		list_opts(command.name, command.opts);
		list_action_opts(&command);
	}
}

/* First line of a small file, or NULL. */
static const char *read_line(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = read(fd, text, size - 1);
	close(fd);
	if (n < 0)
		return NULL;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static void print_module(void)
{
	char release[64];
	char abi[64];
	bool is_loaded = access("/sys/module/kbdus", F_OK) == 0;

	if (!is_loaded) {
		puts("kbdus (loaded module): module not loaded");
		return;
	}
	if (!read_line("/sys/module/kbdus/version", release, sizeof(release)))
		strcpy(release, "unknown");
	if (!read_line("/sys/module/kbdus/parameters/abi", abi, sizeof(abi)))
		strcpy(abi, "unknown");
	printf("kbdus (loaded module): %s, ABI %s\n", release, abi);
}

void help_version(void)
{
	printf("bdus %s\n", BDUS_VERSION);
	printf("zstd %s\n", ZSTD_versionString());
	printf("jansson %s\n", jansson_version_str());
	printf("%s\n", OpenSSL_version(OPENSSL_VERSION));
	printf("kbdus ABI of this program: %u\n", (unsigned int)KBDUS_ABI);
	print_module();
}
