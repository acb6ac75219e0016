/* SPDX-License-Identifier: MIT */
/*
 * test-report - tables and JSON, with hostile strings.
 */
#include "report.h"
#include "tap.h"

static const struct report_column columns[] = {
	{ "name", REPORT_TEXT },
	{ "size", REPORT_SIZE },
	{ "ro", REPORT_BOOL },
	{ "count", REPORT_NUMBER },
};

/* One row with @name and fixed numbers, as JSON. */
static const char *json_of(char *name, char *size, char *text, size_t room)
{
	char no[] = "0";
	char count[] = "18446744073709551615";
	char *cells[] = { name, size, no, count };
	const struct report report = { columns, 4, cells, 1 };
	FILE *out = fmemopen(text, room, "w");

	report_json(out, &report, "things", 3);
	fclose(out);
	return text;
}

static const struct json_case {
	const char *raw;
	const char *json;
} json_cases[] = {
	{ "plain", "\"plain\"" },
	{ "a \"b\" \\c/", "\"a \\\"b\\\" \\\\c/\"" },
	{ "tab\tnew\nbell\a", "\"tab\\u0009new\\u000abell\\u0007\"" },
	{ "\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"" },
	{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
	  "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
	{ "\xff", "\"\xef\xbf\xbd\"" },
	{ "a\xc3", "\"a\xef\xbf\xbd\"" },
	{ "\xc3(", "\"\xef\xbf\xbd(\"" },
	{ "\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "\xf4\x90\x80\x80",
	  "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "", "null" },
};

static void test_json(void)
{
	char text[512];
	char expected[512];
	char raw[64];
	char size[] = "1024";
	char bad[] = "12x";

	for (size_t i = 0; i < sizeof(json_cases) / sizeof(*json_cases); i++) {
		snprintf(raw, sizeof(raw), "%s", json_cases[i].raw);
		snprintf(expected, sizeof(expected),
			 "{\n  \"schema\": 3,\n  \"things\": [\n    {\"name\": "
			 "%s, \"size\": 1024, \"ro\": false, \"count\": "
			 "18446744073709551615}\n  ]\n}\n",
			 json_cases[i].json);
		ok(strcmp(json_of(raw, size, text, sizeof(text)), expected) ==
			   0,
		   "json string %zu", i);
	}
	ok(strstr(json_of(raw, bad, text, sizeof(text)), "\"size\": null"),
	   "what is no number is null");
	ok(strstr(json_of(raw, NULL, text, sizeof(text)), "\"size\": null"),
	   "what is missing is null");
}

static void test_empty(void)
{
	const struct report report = { columns, 4, NULL, 0 };
	char text[256];
	FILE *out = fmemopen(text, sizeof(text), "w");

	report_json(out, &report, "things", 1);
	fclose(out);
	ok(!strcmp(text, "{\n  \"schema\": 1,\n  \"things\": []\n}\n"),
	   "empty json");
	out = fmemopen(text, sizeof(text), "w");
	report_table(out, &report, true, false);
	fclose(out);
	ok(!strcmp(text, "NAME  SIZE  RO  COUNT\n"), "empty table");
}

static void test_table(void)
{
	char a[] = "\xc3\xa4\x1b[1m\xff", b[] = "long name", one[] = "1",
	     gib[] = "1610612736", small[] = "512";
	char *cells[] = { a, gib, one, one, b, small, NULL, NULL };
	const struct report report = { columns, 4, cells, 2 };
	char text[256];
	FILE *out = fmemopen(text, sizeof(text), "w");

	report_table(out, &report, true, false);
	fclose(out);
	ok(!strcmp(text, "NAME       SIZE  RO   COUNT\n"
			 "\xc3\xa4?[1m?     1.5G  yes      1\n"
			 "long name   512  -        -\n"),
	   "table");
	out = fmemopen(text, sizeof(text), "w");
	report_table(out, &report, false, true);
	fclose(out);
	ok(!strcmp(text, "\xc3\xa4?[1m?     1610612736  yes  1\n"
			 "long name         512  -    -\n"),
	   "table without headings, in bytes");
}

static void test_sizes(void)
{
	static const char *const cases[][2] = {
		{ "0", "0" },
		{ "1023", "1023" },
		{ "1024", "1K" },
		{ "1536", "1.5K" },
		{ "1048575", "1023.9K" },
		{ "1073741824", "1G" },
		{ "18446744073709551615", "15.9E" },
	};
	char text[16];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		report_size(cases[i][0], text);
		ok(!strcmp(text, cases[i][1]), "size %s is %s", cases[i][0],
		   text);
	}
}

static void test_ms(void)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {
		{ 0, "0ms" },
		{ 999, "999ms" },
		{ 1000, "1s" },
		{ 1099, "1s" },
		{ 1250, "1.2s" },
		{ 59999, "59.9s" },
		{ 60000, "1m0s" },
		{ 312345, "5m12s" },
		{ 11100000, "3h5m" },
		{ 90000000, "1d1h" },
		{ UINT64_MAX, "213503982334d14h" },
	};
	char text[24];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		report_ms(cases[i].ms, text);
		ok(strcmp(text, cases[i].text) == 0, "%llu ms: %s",
		   (unsigned long long)cases[i].ms, text);
	}
}

int main(void)
{
	test_json();
	test_empty();
	test_table();
	test_sizes();
	test_ms();
	return tap_done();
}
