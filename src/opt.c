/* SPDX-License-Identifier: MIT */
/*
 * opt - parsing of command lines against typed option tables, and their help.
 */
#include "opt.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "msg.h"
#include "nearest.h"

#define OPT_HINT_SIZE \
	"accepted: 512, 64K, 1G (1024s), 10GB (1000s), 100s (sectors of 512)"
#define OPT_HINT_UINT "accepted: a whole number, such as 42 or 0x2a"

/* A command line on its way through the parser. */
struct parser {
	const struct opt_group *groups;
	int argc;
	char **argv;
	int next;     /* word to be looked at next */
	int operands; /* how many were moved to the front */
	uint64_t
		seen; /* bit n: option n of all the tables together was given */
};

/* An option of the tables, found by name. */
struct match {
	const struct opt *opt;
	void *base;
	unsigned int number; /* counted over all tables */
};

static const struct unit {
	char letter;
	uint64_t binary;
	uint64_t decimal;
} units[] = {
	{ 'K', 1ULL << 10, 1000ULL },
	{ 'M', 1ULL << 20, 1000000ULL },
	{ 'G', 1ULL << 30, 1000000000ULL },
	{ 'T', 1ULL << 40, 1000000000000ULL },
	{ 'P', 1ULL << 50, 1000000000000000ULL },
	{ 'E', 1ULL << 60, 1000000000000000000ULL },
};

#define N_UNITS (sizeof(units) / sizeof(units[0]))

/* Value of a digit in @base, or -1. */
static int digit_value(char c, unsigned int base)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (base == 16 && c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (base == 16 && c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Reads the digits at @text; *@end is what follows. On overflow too. */
static int number_read(const char *text, uint64_t *value, const char **end)
{
	bool is_hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	unsigned int base = is_hex ? 16 : 10;
	const char *first = is_hex ? text + 2 : text;
	int error = 0;
	int digit;

	*value = 0;
	for (*end = first; (digit = digit_value(**end, base)) >= 0; (*end)++)
		if (__builtin_mul_overflow(*value, base, value) ||
		    __builtin_add_overflow(*value, (unsigned int)digit, value))
			error = -ERANGE;
	return *end == first ? -EINVAL : error;
}

/* Bytes that a unit stands for, 0 for junk. */
static uint64_t unit_find(const char *text)
{
	char letter = text[0];

	if (letter == '\0')
		return 1;
	if (strcmp(text, "s") == 0)
		return 512;
	if (letter >= 'a' && letter <= 'z')
		letter = (char)(letter - 'a' + 'A');
	for (size_t i = 0; i < N_UNITS; i++) {
		if (units[i].letter != letter)
			continue;
		if (text[1] == '\0' || strcmp(text + 1, "iB") == 0)
			return units[i].binary;
		if (strcmp(text + 1, "B") == 0)
			return units[i].decimal;
	}
	return 0;
}

int opt_parse_size(const char *text, uint64_t *value)
{
	const char *end;
	uint64_t number;
	int error = number_read(text, &number, &end);
	uint64_t unit = error == -EINVAL ? 0 : unit_find(end);

	if (unit == 0)
		return -EINVAL;
	if (error != 0 || __builtin_mul_overflow(number, unit, &number))
		return -ERANGE;
	*value = number;
	return 0;
}

int opt_parse_uint(const char *text, uint64_t *value)
{
	const char *end;
	uint64_t number;
	int error = number_read(text, &number, &end);

	if (error == -EINVAL || *end != '\0')
		return -EINVAL;
	if (error != 0)
		return error;
	*value = number;
	return 0;
}

const char *opt_type_name(enum opt_type type)
{
	static const char *const names[] = {
		[OPT_TYPE_END] = "end",	      [OPT_TYPE_BOOL] = "bool",
		[OPT_TYPE_SIZE] = "size",     [OPT_TYPE_UINT] = "uint",
		[OPT_TYPE_STRING] = "string", [OPT_TYPE_PATH] = "path",
		[OPT_TYPE_ENUM] = "enum",
	};

	return names[type];
}

/* Writes a number as people would type it: 1G for a size, else digits. */
static const char *value_format(const struct opt *opt, uint64_t value,
				char text[32])
{
	const char *bytes = opt->type == OPT_TYPE_SIZE ? " bytes" : "";

	for (size_t i = N_UNITS; opt->type == OPT_TYPE_SIZE && i-- > 0;) {
		if (value == 0 || value % units[i].binary != 0)
			continue;
		snprintf(text, 32, "%" PRIu64 "%c", value / units[i].binary,
			 units[i].letter);
		return text;
	}
	snprintf(text, 32, "%" PRIu64 "%s", value, bytes);
	return text;
}

static uint64_t opt_max(const struct opt *opt)
{
	return opt->max != 0 ? opt->max : UINT64_MAX;
}

static int value_out_of_range(const struct opt *opt, const char *text,
			      uint64_t limit, const char *relation)
{
	char shown[32];

	msg_error("--%s: '%s' is %s %s", opt->name, text, relation,
		  value_format(opt, limit, shown));
	return -1;
}

static int value_number(const struct opt *opt, const char *text, uint64_t *out)
{
	bool is_size = opt->type == OPT_TYPE_SIZE;
	uint64_t value = 0;
	int error = is_size ? opt_parse_size(text, &value) :
			      opt_parse_uint(text, &value);

	if (error == -EINVAL) {
		msg_error("--%s: '%s' is not a %s", opt->name, text,
			  is_size ? "size" : "whole number");
		msg_hint("%s", is_size ? OPT_HINT_SIZE : OPT_HINT_UINT);
		return -1;
	}
	if (error == -ERANGE || value > opt_max(opt))
		return value_out_of_range(opt, text, opt_max(opt),
					  "more than the maximum,");
	if (value < opt->min)
		return value_out_of_range(opt, text, opt->min,
					  "less than the minimum,");
	*out = value;
	return 0;
}

/* Writes "a, b, c" for messages, or with another @separator. */
static void choices_format(const struct opt *opt, const char *separator,
			   char *text, size_t size)
{
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; opt->choices[i] != NULL && n < size; i++)
		n += (size_t)snprintf(text + n, size - n, "%s%s",
				      i > 0 ? separator : "", opt->choices[i]);
}

static int value_choice(const struct opt *opt, const char *text,
			unsigned int *out)
{
	char accepted[256];

	for (unsigned int i = 0; opt->choices[i] != NULL; i++) {
		if (strcmp(opt->choices[i], text) != 0)
			continue;
		*out = i;
		return 0;
	}
	choices_format(opt, ", ", accepted, sizeof(accepted));
	msg_error("--%s: '%s' is not one of its values", opt->name, text);
	msg_hint("accepted: %s", accepted);
	return -1;
}

static int value_text(const struct opt *opt, const char *text, const char **out)
{
	if (strlen(text) >= PATH_MAX) {
		msg_error("--%s: value is longer than %d bytes", opt->name,
			  PATH_MAX - 1);
		return -1;
	}
	*out = text;
	return 0;
}

/* Checks a value and stores it. */
static int value_store(const struct opt *opt, void *base, const char *text)
{
	void *field = (char *)base + opt->offset;

	if (opt->type != OPT_TYPE_BOOL && *text == '\0') {
		msg_error("--%s: the value is empty", opt->name);
		msg_hint("give it as --%s %s", opt->name, opt->arg);
		return -1;
	}
	switch (opt->type) {
	case OPT_TYPE_SIZE:
	case OPT_TYPE_UINT:
		return value_number(opt, text, field);
	case OPT_TYPE_ENUM:
		return value_choice(opt, text, field);
	case OPT_TYPE_STRING:
	case OPT_TYPE_PATH:
		return value_text(opt, text, field);
	default:
		*(bool *)field = true;
		return 0;
	}
}

/* Is @opt called by the long name @name of @length bytes, or by @letter? */
static bool opt_is(const struct opt *opt, const char *name, size_t length,
		   char letter)
{
	if (name == NULL)
		return opt->letter != 0 && opt->letter == letter;
	return strlen(opt->name) == length &&
	       memcmp(opt->name, name, length) == 0;
}

static bool match_find(const struct opt_group *groups, const char *name,
		       size_t length, char letter, struct match *match)
{
	match->number = 0;
	for (; groups->opts != NULL; groups++) {
		match->base = groups->base;
		match->opt = groups->opts;
		for (; match->opt->type != OPT_TYPE_END; match->opt++) {
			if (opt_is(match->opt, name, length, letter))
				return true;
			match->number++;
		}
	}
	return false;
}

static const char *name_nearest(const struct opt_group *groups,
				const char *typed)
{
	unsigned int best = NEAREST_NONE;
	const char *name = NULL;

	for (; groups->opts != NULL; groups++) {
		const struct opt *opt = groups->opts;

		for (; opt->type != OPT_TYPE_END; opt++) {
			unsigned int n = nearest_distance(typed, opt->name);

			if (n < best) {
				best = n;
				name = opt->name;
			}
		}
	}
	return name;
}

static int unknown_long(const struct parser *parser, const char *name,
			size_t length)
{
	char typed[64];
	const char *near;

	snprintf(typed, sizeof(typed), "%.*s", (int)length, name);
	near = name_nearest(parser->groups, typed);
	msg_error("unknown option '--%s'", typed);
	if (near != NULL)
		msg_hint("did you mean --%s?", near);
	else
		msg_hint("--help lists the options");
	return -1;
}

/* The value that follows an option: the rest of its word, or the next word. */
static int value_take(struct parser *parser, const struct match *match,
		      const char *rest)
{
	if (rest == NULL && parser->next >= parser->argc) {
		msg_error("--%s: the value is missing", match->opt->name);
		msg_hint("give it as --%s %s", match->opt->name,
			 match->opt->arg);
		return -1;
	}
	if (rest == NULL)
		rest = parser->argv[parser->next++];
	parser->seen |= 1ULL << match->number;
	return value_store(match->opt, match->base, rest);
}

static int flag_take(struct parser *parser, const struct match *match)
{
	parser->seen |= 1ULL << match->number;
	return value_store(match->opt, match->base, "");
}

static int parse_long(struct parser *parser, const char *name)
{
	size_t length = strcspn(name, "=");
	const char *rest = name[length] == '=' ? name + length + 1 : NULL;
	struct match match;

	if (!match_find(parser->groups, name, length, 0, &match))
		return unknown_long(parser, name, length);
	if (match.opt->type != OPT_TYPE_BOOL)
		return value_take(parser, &match, rest);
	if (rest == NULL)
		return flag_take(parser, &match);
	msg_error("--%s: takes no value, but has '%s'", match.opt->name, rest);
	return -1;
}

static int parse_letters(struct parser *parser, const char *letters)
{
	struct match match;

	for (; *letters != '\0'; letters++) {
		if (!match_find(parser->groups, NULL, 0, *letters, &match)) {
			msg_error("unknown option '-%c'", *letters);
			msg_hint("--help lists the options");
			return -1;
		}
		if (match.opt->type != OPT_TYPE_BOOL)
			return value_take(parser, &match,
					  letters[1] != '\0' ? letters + 1 :
							       NULL);
		if (flag_take(parser, &match) != 0)
			return -1;
	}
	return 0;
}

static bool is_option(const char *word)
{
	return word[0] == '-' && word[1] != '\0';
}

static int parse_words(struct parser *parser)
{
	bool is_ended = false;

	while (parser->next < parser->argc) {
		char *word = parser->argv[parser->next++];
		int error = 0;

		if (is_ended || !is_option(word))
			parser->argv[parser->operands++] = word;
		else if (strcmp(word, "--") == 0)
			is_ended = true;
		else if (word[1] == '-')
			error = parse_long(parser, word + 2);
		else
			error = parse_letters(parser, word + 1);
		if (error != 0)
			return -1;
	}
	return 0;
}

static int set_defaults(const struct opt_group *group)
{
	for (const struct opt *opt = group->opts; opt->type != OPT_TYPE_END;
	     opt++)
		if (opt->def != NULL &&
		    value_store(opt, group->base, opt->def) != 0)
			return -1;
	return 0;
}

static int check_required(const struct parser *parser)
{
	const struct opt_group *group = parser->groups;
	unsigned int number = 0;

	for (; group->opts != NULL; group++) {
		const struct opt *opt = group->opts;

		for (; opt->type != OPT_TYPE_END; opt++, number++) {
			if (!(opt->flags & OPT_REQUIRED) ||
			    (parser->seen & (1ULL << number)))
				continue;
			msg_error("--%s: is required", opt->name);
			msg_hint("give it as --%s %s (%s)", opt->name, opt->arg,
				 opt->help);
			return -1;
		}
	}
	return 0;
}

int opt_parse(const char *who, const struct opt_group *groups, int argc,
	      char **argv)
{
	struct parser parser = { .groups = groups, .argc = argc, .argv = argv };

	msg_set_who(who);
	for (const struct opt_group *g = groups; g->opts != NULL; g++)
		if (set_defaults(g) != 0)
			return -1;
	if (parse_words(&parser) != 0 || check_required(&parser) != 0)
		return -1;
	return parser.operands;
}

/* Does the option in @word take the next word as its value? */
static bool takes_next(const struct opt_group *groups, const char *word)
{
	struct match match;

	if (word[1] == '-')
		return strchr(word, '=') == NULL &&
		       match_find(groups, word + 2, strlen(word + 2), 0,
				  &match) &&
		       match.opt->type != OPT_TYPE_BOOL;
	for (word++; *word != '\0'; word++) {
		if (!match_find(groups, NULL, 0, *word, &match))
			return false;
		if (match.opt->type != OPT_TYPE_BOOL)
			return word[1] == '\0';
	}
	return false;
}

bool opt_wants_help(const struct opt_group *groups, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		if (!is_option(argv[i]))
			continue;
		if (strcmp(argv[i], "--") == 0)
			return false;
		if (strcmp(argv[i], "--help") == 0 ||
		    strcmp(argv[i], "-h") == 0)
			return true;
		if (takes_next(groups, argv[i]))
			i++;
	}
	return false;
}

/* "-s, --size SIZE"; returns its length. */
static int synopsis_format(const struct opt *opt, char *text, size_t size)
{
	char value[256] = "";
	char letter[8] = "    ";

	if (opt->letter != 0)
		snprintf(letter, sizeof(letter), "-%c, ", opt->letter);
	if (opt->type == OPT_TYPE_ENUM)
		choices_format(opt, "|", value, sizeof(value));
	else if (opt->arg != NULL)
		snprintf(value, sizeof(value), "%s", opt->arg);
	return snprintf(text, size, "%s--%s%s%s", letter, opt->name,
			*value != '\0' ? " " : "", value);
}

static void print_opt(FILE *out, const struct opt *opt, int width)
{
	char synopsis[320];

	synopsis_format(opt, synopsis, sizeof(synopsis));
	fprintf(out, "  %-*s  %s", width, synopsis, opt->help);
	if (opt->flags & OPT_REQUIRED)
		fputs(" (required)", out);
	if (opt->def != NULL)
		fprintf(out, " (default: %s)", opt->def);
	fputc('\n', out);
}

/* Width of the widest synopsis, so that the help texts stand aligned. */
static int synopsis_width(const struct opt_group *groups)
{
	char text[320];
	int width = 0;

	for (; groups->opts != NULL; groups++) {
		const struct opt *opt = groups->opts;

		for (; opt->type != OPT_TYPE_END; opt++) {
			int n = synopsis_format(opt, text, sizeof(text));

			width = n > width ? n : width;
		}
	}
	return width < 30 ? width : 30;
}

void opt_print_help(FILE *out, const struct opt_group *groups)
{
	int width = synopsis_width(groups);

	for (; groups->opts != NULL; groups++) {
		const struct opt *opt = groups->opts;

		if (opt->type == OPT_TYPE_END)
			continue;
		if (groups->title != NULL)
			fprintf(out, "\n%s:\n", groups->title);
		for (; opt->type != OPT_TYPE_END; opt++)
			print_opt(out, opt, width);
	}
}
