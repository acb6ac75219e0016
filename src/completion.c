/* SPDX-License-Identifier: MIT */
/*
 * completion - a completion script for bash, made from the option tables.
 */
#include <stdio.h>
#include <string.h>

#include "command.h"

static const char completion_head[] =
	"# bash completion of bdus, printed by: bdus --completion bash\n"
	"\n"
	"_bdus_words() { mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$2\"); }\n"
	"\n"
	"_bdus_files() {\n"
	"\tcompopt -o filenames 2>/dev/null\n"
	"\tmapfile -t COMPREPLY < <(compgen -f -- \"$1\")\n"
	"}\n"
	"\n"
	"_bdus_devices() {\n"
	"\tlocal dir words=\n"
	"\tfor dir in /sys/block/bdus-*/; do\n"
	"\t\t[[ -d $dir ]] || continue\n"
	"\t\tdir=${dir%/}\n"
	"\t\twords+=\" /dev/${dir##*/}\"\n"
	"\tdone\n"
	"\t_bdus_words \"$words\" \"$1\"\n"
	"}\n"
	"\n";

/* What precedes DRIVER is completed here; from then on it is as DRIVER's own */
static const char completion_rerun[] =
	"# rerun DEV DRIVER ARGUMENT...: sets name to DRIVER once it is there\n"
	"_bdus_rerun() {\n"
	"\tlocal word n=0\n"
	"\tfor word in \"${COMP_WORDS[@]:$1:COMP_CWORD-$1}\"; do\n"
	"\t\t[[ $word == -* ]] && continue\n"
	"\t\t((++n == 2)) && name=$word && return 1\n"
	"\tdone\n"
	"\t((n == 1)) || return 1\n"
	"\t_bdus_words \"$_bdus_drivers\" \"$cur\"\n"
	"}\n"
	"\n";

/* An action of a driver is known as DRIVER/ACTION from then on. */
static const char completion_action[] =
	"# DRIVER ACTION ...: offers actions, or puts the one given into name\n"
	"_bdus_action() {\n"
	"\tlocal word actions\n"
	"\tactions=$(_bdus_actions \"$name\")\n"
	"\t[[ $actions ]] || return 1\n"
	"\tif ((COMP_CWORD == $1)) && [[ $cur != -* && $cur != */* ]]; then\n"
	"\t\t_bdus_files \"$cur\"\n"
	"\t\tmapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY"
	" < <(compgen -W \"$actions\" -- \"$cur\")\n"
	"\t\treturn\n"
	"\tfi\n"
	"\tfor word in $actions; do\n"
	"\t\t[[ ${COMP_WORDS[$1]} != \"$word\" || $word == open ]] ||"
	" name+=/$word\n"
	"\tdone\n"
	"\treturn 1\n"
	"}\n"
	"\n";

static const char completion_body[] =
	"_bdus() {\n"
	"\tlocal name=${COMP_WORDS[0]##*/} cur=${COMP_WORDS[COMP_CWORD]}\n"
	"\tlocal prev=${COMP_WORDS[COMP_CWORD-1]} first=1\n"
	"\tCOMPREPLY=()\n"
	"\tif [[ $name == bdus-* ]]; then\n"
	"\t\tname=${name#bdus-}\n"
	"\telif ((COMP_CWORD == 1)); then\n"
	"\t\t_bdus_words \"$_bdus_names help --list --list-full"
	" --list-options --install --completion --version --help\" \"$cur\"\n"
	"\t\treturn\n"
	"\telse\n"
	"\t\tname=${COMP_WORDS[1]} first=2\n"
	"\tfi\n"
	"\t[[ $name == rerun ]] && _bdus_rerun \"$first\" && return\n"
	"\t_bdus_action \"$first\" && return\n"
	"\t_bdus_value \"$name\" \"$prev\" \"$cur\" && return\n"
	"\tif [[ $cur == -* ]]; then\n"
	"\t\t_bdus_words \"$(_bdus_options \"$name\")\" \"$cur\"\n"
	"\telse\n"
	"\t\t_bdus_operand \"$name\" \"$cur\"\n"
	"\tfi\n"
	"}\n"
	"\n";

static void print_names(void)
{
	struct command command;

	fputs("_bdus_names='", stdout);
	for (size_t i = 0; command_at(i, &command); i++)
		printf("%s%s", i > 0 ? " " : "", command.name);
	fputs("'\n_bdus_drivers='", stdout);
	for (size_t i = 0; drivers[i] != NULL; i++)
		printf("%s%s", i > 0 ? " " : "", drivers[i]->name);
	fputs("'\n\n", stdout);
}

/* Calls print for each command, and each action as DRIVER/ACTION. */
static void for_each_command(void (*print)(const char *,
					   const struct command *))
{
	struct command command, action;
	char name[64];

	for (size_t i = 0; command_at(i, &command); i++) {
		print(command.name, &command);
		for (size_t n = 0; command_action_at(&command, n, &action);
		     n++) {
			snprintf(name, sizeof(name), "%s/%s", command.name,
				 action.name);
			print(name, &action);
		}
	}
}

static void print_command_options(const char *name,
				  const struct command *command)
{
	struct opt_group groups[COMMAND_GROUPS];

	command_groups(command, groups);
	printf("\t%s) echo '", name);
	for (size_t g = 0; groups[g].opts != NULL; g++) {
		const struct opt *opt = groups[g].opts;

		for (; opt->type != OPT_TYPE_END; opt++)
			printf(" --%s", opt->name);
	}
	puts("' ;;");
}

/* The long options of each command. */
static void print_options(void)
{
	puts("_bdus_options() {\n\tcase $1 in");
	for_each_command(print_command_options);
	puts("\t--install) echo ' -s' ;;\n\tesac\n}\n");
}

static void print_actions(void)
{
	struct command command, action;

	puts("_bdus_actions() {\n\tcase $1 in");
	for (size_t i = 0; command_at(i, &command); i++) {
		if (!command_action_at(&command, 0, &action))
			continue;
		printf("\t%s) echo 'open", command.name);
		for (size_t n = 0; command_action_at(&command, n, &action); n++)
			printf(" %s", action.name);
		puts("' ;;");
	}
	puts("\t*) ;;\n\tesac\n}\n");
}

/* A case that completes the value of one option. */
static void print_value(const char *name, const struct opt *opt)
{
	if (opt->type == OPT_TYPE_BOOL)
		return;
	printf("\t%s,--%s", name, opt->name);
	if (opt->letter != 0)
		printf("|%s,-%c", name, opt->letter);
	fputs(") ", stdout);
	if (opt->type == OPT_TYPE_PATH)
		fputs("_bdus_files \"$3\" ", stdout);
	if (opt->type == OPT_TYPE_ENUM) {
		fputs("_bdus_words '", stdout);
		for (size_t i = 0; opt->choices[i] != NULL; i++)
			printf(" %s", opt->choices[i]);
		fputs("' \"$3\" ", stdout);
	}
	puts(";;");
}

static void print_command_values(const char *name,
				 const struct command *command)
{
	struct opt_group groups[COMMAND_GROUPS];

	command_groups(command, groups);
	for (size_t g = 0; groups[g].opts != NULL; g++) {
		const struct opt *opt = groups[g].opts;

		for (; opt->type != OPT_TYPE_END; opt++)
			print_value(name, opt);
	}
}

/* _bdus_value NAME PREVIOUS CURRENT: false when no value is expected. */
static void print_values(void)
{
	puts("_bdus_value() {\n\tcase $1,$2 in");
	for_each_command(print_command_values);
	puts("\thelp,*) _bdus_words \"$_bdus_names\" \"$3\" ;;\n"
	     "\t--completion,*) _bdus_words bash \"$3\" ;;\n"
	     "\t*) return 1 ;;\n\tesac\n\treturn 0\n}\n");
}

static void print_command_operand(const char *name,
				  const struct command *command)
{
	if (strstr(command->operands, "FILE") != NULL)
		printf("\t%s) _bdus_files \"$2\" ;;\n", name);
	else if (strstr(command->operands, "DEV") != NULL)
		printf("\t%s) _bdus_devices \"$2\" ;;\n", name);
}

static void print_operands(void)
{
	puts("_bdus_operand() {\n\tcase $1 in");
	for_each_command(print_command_operand);
	puts("\t--install) _bdus_files \"$2\" ;;\n\tesac\n}\n");
}

void completion_bash(void)
{
	struct command command;

	fputs(completion_head, stdout);
	print_names();
	print_options();
	print_values();
	print_operands();
	fputs(completion_rerun, stdout);
	print_actions();
	fputs(completion_action, stdout);
	fputs(completion_body, stdout);
	fputs("complete -F _bdus bdus", stdout);
	for (size_t i = 0; command_at(i, &command); i++)
		printf(" bdus-%s", command.name);
	putchar('\n');
}
