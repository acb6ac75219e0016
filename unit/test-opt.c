/* SPDX-License-Identifier: MIT */
/*
 * test-opt - option parsing: every type with every kind of bad value.
 */
#include <inttypes.h>

#include "msg.h"
#include "opt.h"
#include "tap.h"

#define MAX_WORDS 8

struct values {
	bool is_lazy;
	bool is_quick;
	uint64_t size;
	uint64_t any_size;
	uint64_t count;
	uint64_t any_count;
	const char *text;
	const char *path;
	unsigned int mode;
};

static const char *const modes[] = { "slow", "fast", "faster", NULL };

static const struct opt opts[] = {
	OPT_BOOL("lazy", 'l', struct values, is_lazy, "be lazy"),
	OPT_SIZE("size", 's', struct values, size, 0, 512, INT64_MAX, "1M",
		 "how large"),
	OPT_SIZE("any-size", 0, struct values, any_size, 0, 0, 0, NULL, "any"),
	OPT_UINT("count", 'c', struct values, count, 0, "N", 1, 256, "4",
		 "how many"),
	OPT_UINT("any-count", 0, struct values, any_count, 0, "N", 0, 0, NULL,
		 "any"),
	OPT_STRING("text", 't', struct values, text, 0, "TEXT", NULL, "words"),
	OPT_PATH("path", 'p', struct values, path, 0, "FILE", NULL, "a file"),
	OPT_END
};

static const struct opt more_opts[] = {
	OPT_BOOL("quick", 'q', struct values, is_quick, "be quick"),
	OPT_ENUM("mode", 'm', struct values, mode, 0, "MODE", modes, "fast",
		 "how fast"),
	OPT_END
};

static const struct opt required_opts[] = { OPT_SIZE("size", 's', struct values,
						     size, OPT_REQUIRED, 512, 0,
						     NULL, "how large"),
					    OPT_END };

static char messages[8192];

/* Parses up to MAX_WORDS words, given as one string, split at spaces. */
static int parse(const struct opt *table, struct values *values,
		 const char *line, char *argv[MAX_WORDS + 1])
{
	static char text[256];
	const struct opt_group groups[] = {
		{ .opts = table, .base = values },
		{ .opts = table == opts ? more_opts : NULL, .base = values },
		{ .opts = NULL },
	};
	int argc = 0;
	char *next;

	memset(values, 0, sizeof(*values));
	snprintf(text, sizeof(text), "%s", line);
	for (next = text; argc < MAX_WORDS && next != NULL && *line != '\0';) {
		char *word = strsep(&next, " ");

		/* '' stands for an empty word */
		argv[argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
	}
	argc = opt_parse("bdus test", groups, argc, argv);
	tap_caught(messages, sizeof(messages));
	return argc;
}

static const struct size_case {
	const char *text;
	int error;
	uint64_t value;
} size_cases[] = {
	{ "0", 0, 0 },
	{ "1", 0, 1 },
	{ "010", 0, 10 },
	{ "0x10", 0, 16 },
	{ "0X1f", 0, 31 },
	{ "1K", 0, 1024 },
	{ "1k", 0, 1024 },
	{ "1KiB", 0, 1024 },
	{ "1KB", 0, 1000 },
	{ "1kB", 0, 1000 },
	{ "3M", 0, 3145728 },
	{ "2G", 0, 2147483648 },
	{ "10GB", 0, 10000000000 },
	{ "1T", 0, 1099511627776 },
	{ "1PiB", 0, 1125899906842624 },
	{ "15E", 0, 17293822569102704640U },
	{ "18EB", 0, 18000000000000000000U },
	{ "100s", 0, 51200 },
	{ "0x10s", 0, 8192 },
	{ "18446744073709551615", 0, UINT64_MAX },
	{ "0xffffffffffffffff", 0, UINT64_MAX },
	{ "36028797018963967s", 0, 18446744073709551104U },
	{ "18446744073709551616", -ERANGE, 0 },
	{ "0x10000000000000000", -ERANGE, 0 },
	{ "16E", -ERANGE, 0 },
	{ "19EB", -ERANGE, 0 },
	{ "36028797018963968s", -ERANGE, 0 },
	{ "99999999999999999999999999999999", -ERANGE, 0 },
	{ "", -EINVAL, 0 },
	{ " ", -EINVAL, 0 },
	{ " 1", -EINVAL, 0 },
	{ "1 ", -EINVAL, 0 },
	{ "-1", -EINVAL, 0 },
	{ "+1", -EINVAL, 0 },
	{ "0x", -EINVAL, 0 },
	{ "x10", -EINVAL, 0 },
	{ "1.5G", -EINVAL, 0 },
	{ "1e9", -EINVAL, 0 },
	{ "12x", -EINVAL, 0 },
	{ "1KK", -EINVAL, 0 },
	{ "1Ki", -EINVAL, 0 },
	{ "1kib", -EINVAL, 0 },
	{ "1B", -EINVAL, 0 },
	{ "1S", -EINVAL, 0 },
	{ "K", -EINVAL, 0 },
	{ "99999999999999999999999999999999x", -EINVAL, 0 },
	{ "1\n", -EINVAL, 0 },
	{ "\xff", -EINVAL, 0 },
};

static void test_sizes(void)
{
	for (size_t i = 0; i < sizeof(size_cases) / sizeof(*size_cases); i++) {
		const struct size_case *c = &size_cases[i];
		uint64_t value = 77;
		int error = opt_parse_size(c->text, &value);

		ok(error == c->error && value == (error ? 77 : c->value),
		   "size '%.*s' gives %d, %" PRIu64,
		   (int)strcspn(c->text, "\n"), c->text, error, value);
	}
}

static void test_uints(void)
{
	static const struct size_case cases[] = {
		{ "0", 0, 0 },
		{ "42", 0, 42 },
		{ "0x2a", 0, 42 },
		{ "007", 0, 7 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "1K", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "1s", -EINVAL, 0 },
		{ "0x", -EINVAL, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t value = 77;
		int error = opt_parse_uint(cases[i].text, &value);

		ok(error == cases[i].error &&
			   value == (error ? 77 : cases[i].value),
		   "uint '%s' gives %d, %" PRIu64, cases[i].text, error, value);
	}
}

/* Command lines that are refused, and what the message must say. */
static const struct refused_case {
	const char *line;
	const char *message;
	const char *hint;
} refused_cases[] = {
	{ "--size", "--size: the value is missing", "--size SIZE" },
	{ "-s", "--size: the value is missing", "--size SIZE" },
	{ "--size=", "--size: the value is empty", "--size SIZE" },
	{ "--size ''", "--size: the value is empty", "--size SIZE" },
	{ "--size -5", "--size: '-5' is not a size", "accepted: 512, 64K" },
	{ "-s-5", "--size: '-5' is not a size", "accepted: 512, 64K" },
	{ "--size 12x", "--size: '12x' is not a size", "10GB" },
	{ "--size 511", "--size: '511' is less than the minimum, 512 bytes",
	  "" },
	{ "--size 8E", "--size: '8E' is more than the maximum, ", "" },
	{ "--size 99E", "--size: '99E' is more than the maximum, ", "" },
	{ "--any-size 16E", "--any-size: '16E' is more than the maximum, ",
	  "" },
	{ "--count", "--count: the value is missing", "--count N" },
	{ "-c", "--count: the value is missing", "--count N" },
	{ "--count=", "--count: the value is empty", "--count N" },
	{ "--count -1", "--count: '-1' is not a whole number", "42" },
	{ "--count 1K", "--count: '1K' is not a whole number", "42" },
	{ "--count 0", "--count: '0' is less than the minimum, 1", "" },
	{ "--count 257", "--count: '257' is more than the maximum, 256", "" },
	{ "--count 99999999999999999999", "is more than the maximum, 256", "" },
	{ "--any-count 18446744073709551616",
	  "is more than the maximum, 18446744073709551615", "" },
	{ "--text", "--text: the value is missing", "--text TEXT" },
	{ "--text=", "--text: the value is empty", "--text TEXT" },
	{ "-t ''", "--text: the value is empty", "--text TEXT" },
	{ "--path", "--path: the value is missing", "--path FILE" },
	{ "--path=", "--path: the value is empty", "--path FILE" },
	{ "--mode", "--mode: the value is missing", "--mode MODE" },
	{ "--mode=", "--mode: the value is empty", "--mode MODE" },
	{ "--mode fas", "--mode: 'fas' is not one of its values",
	  "accepted: slow, fast, faster" },
	{ "--mode -1", "--mode: '-1' is not one of its values", "slow" },
	{ "--mode 1", "--mode: '1' is not one of its values", "slow" },
	{ "--lazy=1", "--lazy: takes no value, but has '1'", "" },
	{ "--lazy=", "--lazy: takes no value, but has ''", "" },
	{ "--siez 1M", "unknown option '--siez'", "did you mean --size?" },
	{ "--siz 1M", "unknown option '--siz'", "did you mean --size?" },
	{ "--siez=1M", "unknown option '--siez'", "did you mean --size?" },
	{ "--quikc", "unknown option '--quikc'", "did you mean --quick?" },
	{ "--bogus", "unknown option '--bogus'", "--help" },
	{ "--=1", "unknown option '--'", "--help" },
	{ "-x", "unknown option '-x'", "--help" },
	{ "-lx", "unknown option '-x'", "--help" },
	{ "a --lazy b --bogus", "unknown option '--bogus'", "--help" },
};

static void test_refused(void)
{
	char *argv[MAX_WORDS + 1];
	struct values values;

	for (size_t i = 0; i < sizeof(refused_cases) / sizeof(*refused_cases);
	     i++) {
		const struct refused_case *c = &refused_cases[i];
		int n = parse(opts, &values, c->line, argv);

		if (!ok(n == -1 && strstr(messages, c->message) != NULL &&
				strstr(messages, "bdus test: ") != NULL &&
				strstr(messages, c->hint) != NULL,
			"refused: %s", c->line))
			printf("# %d %s\n", n, messages);
	}
}

static void test_too_long(void)
{
	static char text[5000];
	struct values values = { 0 };
	const struct opt_group groups[] = {
		{ .opts = opts, .base = &values },
		{ .opts = NULL },
	};
	char option[] = "--path";
	char *argv[] = { option, text, NULL };

	memset(text, 'a', sizeof(text) - 1);
	ok(opt_parse("bdus test", groups, 2, argv) == -1, "huge path refused");
	tap_caught(messages, sizeof(messages));
	ok(strstr(messages, "--path: value is longer than") != NULL,
	   "huge path is named");
}

static void test_accepted(void)
{
	char *argv[MAX_WORDS + 1];
	struct values v;

	ok(parse(opts, &v, "", argv) == 0 && v.size == 1048576 &&
		   v.count == 4 && v.mode == 1 && !v.is_lazy && !v.text,
	   "defaults");
	ok(parse(opts, &v, "--size 2M -c 7 a", argv) == 1 &&
		   v.size == 2097152 && v.count == 7 && !strcmp(argv[0], "a"),
	   "values as words of their own");
	ok(parse(opts, &v, "--size=512 -c7 --mode=faster", argv) == 0 &&
		   v.size == 512 && v.count == 7 && v.mode == 2,
	   "values in the same word");
	ok(parse(opts, &v, "-lqs 1G", argv) == 0 && v.is_lazy && v.is_quick &&
		   v.size == 1073741824,
	   "bundled letters, the last with a value");
	ok(parse(opts, &v, "-lqs1G x", argv) == 1 && v.is_lazy &&
		   v.size == 1073741824,
	   "bundled letters, the value too");
	ok(parse(opts, &v, "a -l b --text x c", argv) == 3 &&
		   !strcmp(argv[0], "a") && !strcmp(argv[1], "b") &&
		   !strcmp(argv[2], "c") && !strcmp(v.text, "x"),
	   "operands stand first, in order");
	ok(parse(opts, &v, "-l -- --size -q", argv) == 2 && v.is_lazy &&
		   !v.is_quick && !strcmp(argv[0], "--size") &&
		   !strcmp(argv[1], "-q"),
	   "-- ends the options");
	ok(parse(opts, &v, "- ''", argv) == 2 && !strcmp(argv[0], "-"),
	   "a dash, and nothing, are operands");
	ok(parse(opts, &v, "--text -- --path --", argv) == 0 &&
		   !strcmp(v.text, "--") && !strcmp(v.path, "--"),
	   "a value may look like an option");
	ok(parse(opts, &v, "-s 1M -s 2M", argv) == 0 && v.size == 2097152,
	   "the last one counts");
	ok(parse(opts, &v, "--any-size 0 --any-count 18446744073709551615",
		 argv) == 0 &&
		   v.any_count == UINT64_MAX,
	   "no limits where the table has none");
	ok(messages[0] == '\0', "and no message");
}

static void test_required(void)
{
	char *argv[MAX_WORDS + 1];
	struct values v;

	ok(parse(required_opts, &v, "x", argv) == -1 &&
		   strstr(messages, "--size: is required") != NULL,
	   "a required option is named");
	ok(parse(required_opts, &v, "-s 1M", argv) == 0 && v.size == 1048576,
	   "and accepted");
}

static bool wants_help(const char *a, const char *b, const char *c)
{
	const struct opt_group groups[] = {
		{ .opts = opts },
		{ .opts = more_opts },
		{ .opts = NULL },
	};
	char words[3][32];
	char *argv[] = { words[0], words[1], words[2], NULL };

	snprintf(words[0], sizeof(words[0]), "%s", a);
	snprintf(words[1], sizeof(words[1]), "%s", b);
	snprintf(words[2], sizeof(words[2]), "%s", c);
	return opt_wants_help(groups, 3, argv);
}

static void test_help(void)
{
	const struct opt_group groups[] = {
		{ .title = "Options", .opts = opts },
		{ .title = "More", .opts = more_opts },
		{ .opts = NULL },
	};
	char text[4096] = "";
	FILE *out = fmemopen(text, sizeof(text) - 1, "w");

	opt_print_help(out, groups);
	fclose(out);
	ok(strstr(text, "\nOptions:\n  -l, --lazy ") != NULL, "help: title");
	ok(strstr(text, "how large (default: 1M)\n") != NULL, "help: default");
	ok(strstr(text, "-m, --mode slow|fast|faster  ") != NULL,
	   "help: choices");
	ok(wants_help("a", "--help", "b"), "--help anywhere");
	ok(wants_help("--lazy", "-h", "b"), "-h anywhere");
	ok(!wants_help("--text", "--help", "b"), "--help as a value");
	ok(!wants_help("-lt", "-h", "b"), "-h as a value");
	ok(wants_help("--text=x", "-h", "b"), "-h after a value");
	ok(!wants_help("--", "--help", "b"), "--help after --");
	ok(wants_help("--bogus", "--help", "b"), "--help beats mistakes");
}

int main(void)
{
	tap_catch();
	test_sizes();
	test_uints();
	test_refused();
	test_too_long();
	test_accepted();
	test_required();
	test_help();
	return tap_done();
}
