/* SPDX-License-Identifier: MIT */
/*
 * opt.h - typed option tables: the one place where an option is described.
 *
 * A table feeds parsing, defaults, --help, error texts, shell completion and
 * the test that holds the man pages against it.
 */
#ifndef BDUS_OPT_H
#define BDUS_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/**
 * enum opt_type - what a value is and which C type it is stored as
 * @OPT_TYPE_END: end of a table
 * @OPT_TYPE_BOOL: takes no value; stored as bool
 * @OPT_TYPE_SIZE: size with unit (K, KiB, KB, s ...); stored as uint64_t, bytes
 * @OPT_TYPE_UINT: whole number, decimal or 0x; stored as uint64_t
 * @OPT_TYPE_STRING: not empty; stored as const char *
 * @OPT_TYPE_PATH: name of a file; as a string, completed as a file name
 * @OPT_TYPE_ENUM: one of @choices; stored as unsigned int, its index
 */
enum opt_type {
	OPT_TYPE_END,
	OPT_TYPE_BOOL,
	OPT_TYPE_SIZE,
	OPT_TYPE_UINT,
	OPT_TYPE_STRING,
	OPT_TYPE_PATH,
	OPT_TYPE_ENUM
};

/** OPT_REQUIRED - leaving the option out is a usage error. */
#define OPT_REQUIRED (1U << 0)
/**
 * OPT_DESCRIPTOR - the number is a descriptor that the caller has opened for
 * this, 0: none. Of a driver, the runtime checks it, and closes it in processes
 * that have no use for it.
 */
#define OPT_DESCRIPTOR (1U << 1)

/**
 * struct opt - one option
 * @name: long name without the dashes
 * @letter: short name, or 0
 * @type: what its value is
 * @flags: OPT_REQUIRED, OPT_DESCRIPTOR
 * @offset: of the field in the structure that the table describes
 * @min: smallest value (size, uint)
 * @max: largest value (size, uint); 0: no limit
 * @arg: name of the value in help texts, NULL for a bool
 * @choices: NULL-terminated names (enum)
 * @def: the default as it is typed, parsed like any value; NULL: the field
 *	keeps what the zeroed structure has (0, false, NULL)
 * @help: one line, lower case, no full stop
 */
struct opt {
	const char *name;
	char letter;
	enum opt_type type;
	unsigned int flags;
	size_t offset;
	uint64_t min, max;
	const char *arg;
	const char *const *choices;
	const char *def;
	const char *help;
};

/*
 * OPT_FIELD - offset of a field, which must have the C type given: a table
 * that would store into a field of another type does not compile.
 */
#define OPT_FIELD(structure, field, ctype)                                     \
	(offsetof(structure, field) +                                          \
	 0 * sizeof(char[__builtin_types_compatible_p(                         \
				 __typeof__(((structure *)0)->field), ctype) ? \
				 1 :                                           \
				 -1]))

/*
 * The lines of a table. @letter, @def: 0 and NULL for none. Example:
 *
 *	OPT_SIZE("size", 's', struct ram, size, OPT_REQUIRED, 512, INT64_MAX,
 *		 NULL, "size of the disk"),
 *	OPT_BOOL("lazy", 0, struct ram, is_lazy, "take memory only when used"),
 *	OPT_END
 */
#define OPT_BOOL(long_name, let, structure, field, text)                   \
	{                                                                  \
		.name = long_name, .letter = let, .type = OPT_TYPE_BOOL,   \
		.offset = OPT_FIELD(structure, field, bool), .help = text, \
	}
#define OPT_SIZE(long_name, let, structure, field, flag, least, most, dflt,    \
		 text)                                                         \
	{                                                                      \
		.name = long_name, .letter = let, .type = OPT_TYPE_SIZE,       \
		.flags = flag,                                                 \
		.offset = OPT_FIELD(structure, field, uint64_t), .min = least, \
		.max = most, .arg = "SIZE", .def = dflt, .help = text,         \
	}
#define OPT_UINT(long_name, let, structure, field, flag, value, least, most,   \
		 dflt, text)                                                   \
	{                                                                      \
		.name = long_name, .letter = let, .type = OPT_TYPE_UINT,       \
		.flags = flag,                                                 \
		.offset = OPT_FIELD(structure, field, uint64_t), .min = least, \
		.max = most, .arg = value, .def = dflt, .help = text,          \
	}
#define OPT_TEXT_(kind, long_name, let, structure, field, flag, value, dflt,   \
		  text)                                                        \
	{                                                                      \
		.name = long_name, .letter = let, .type = kind, .flags = flag, \
		.offset = OPT_FIELD(structure, field, const char *),           \
		.arg = value, .def = dflt, .help = text,                       \
	}
#define OPT_STRING(long_name, let, structure, field, flag, value, dflt, text) \
	OPT_TEXT_(OPT_TYPE_STRING, long_name, let, structure, field, flag,    \
		  value, dflt, text)
#define OPT_PATH(long_name, let, structure, field, flag, value, dflt, text) \
	OPT_TEXT_(OPT_TYPE_PATH, long_name, let, structure, field, flag,    \
		  value, dflt, text)
#define OPT_ENUM(long_name, let, structure, field, flag, value, names, dflt, \
		 text)                                                       \
	{                                                                    \
		.name = long_name, .letter = let, .type = OPT_TYPE_ENUM,     \
		.flags = flag,                                               \
		.offset = OPT_FIELD(structure, field, unsigned int),         \
		.arg = value, .choices = names, .def = dflt, .help = text,   \
	}
#define OPT_END                       \
	{                             \
		.type = OPT_TYPE_END, \
	}

/**
 * struct opt_group - a table together with what it fills in
 * @title: heading in --help, NULL for the applet's own options
 * @opts: the table, ended by OPT_TYPE_END
 * @base: the structure that the offsets refer to
 */
struct opt_group {
	const char *title;
	const struct opt *opts;
	void *base;
};

/**
 * opt_parse - parse a command line against several tables
 * @who: "bdus ram", for messages
 * @groups: tables, ended by one with opts == NULL
 * @argc: number of words in @argv, without the applet's name
 * @argv: the words; reordered so that operands stand first
 *
 * Long options may be given as --name VALUE or --name=VALUE, short ones as
 * -sVALUE or -s VALUE and bundled; "--" ends the options. Prints what is wrong,
 * naming the option and the accepted forms.
 *
 * Return: number of operands, now argv[0] and up; or -1 for a usage error.
 */
int opt_parse(const char *who, const struct opt_group *groups, int argc,
	      char **argv);

/**
 * opt_wants_help - does the command line hold --help or -h as an option?
 * @groups: tables, ended by one with opts == NULL; they tell what is a value
 * @argc: number of words in @argv
 * @argv: the words, without the applet's name; not changed
 *
 * Return: whether it does.
 */
bool opt_wants_help(const struct opt_group *groups, int argc, char **argv);

/**
 * opt_print_help - print the options of some tables, aligned, for --help
 * @out: where to
 * @groups: tables, ended by one with opts == NULL; the bases are not used
 */
void opt_print_help(FILE *out, const struct opt_group *groups);

/** opt_type_name - "bool", "size", "uint", "string", "path" or "enum". */
const char *opt_type_name(enum opt_type type);

/**
 * opt_parse_size - read a size
 * @text: digits (decimal or 0x), then nothing, K M G T P E, KiB.. (1024),
 *	KB.. (1000), or s (512-byte sectors)
 * @value: where to store the bytes
 *
 * Return: 0, -EINVAL (junk, empty, negative) or -ERANGE (does not fit).
 */
int opt_parse_size(const char *text, uint64_t *value);

/**
 * opt_parse_uint - read a whole number, decimal or 0x; never octal
 * @text: the digits
 * @value: where to store the number
 *
 * Return: 0, -EINVAL or -ERANGE.
 */
int opt_parse_uint(const char *text, uint64_t *value);

#endif /* BDUS_OPT_H */
