/* SPDX-License-Identifier: MIT */
/*
 * report - rows of typed values as a table or as JSON.
 */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "msg.h"
#include "nearest.h"

#define UTF8_REPLACEMENT "\xef\xbf\xbd"

/*
 * Length of the valid UTF-8 sequence at @text, 0 when there is none: too short,
 * too long for its value, a surrogate, or above U+10FFFF.
 */
static size_t utf8_length(const char *text, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)text;
	size_t n = s[0] < 0x80	       ? 1 :
		   (s[0] >> 5) == 0x06 ? 2 :
		   (s[0] >> 4) == 0x0e ? 3 :
		   (s[0] >> 3) == 0x1e ? 4 :
					 0;

	*code = n < 2 ? s[0] : s[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (s[i] & 0x3f);
	}
	if (n == 0 || *code < least[n] || *code > 0x10ffff ||
	    (*code >= 0xd800 && *code <= 0xdfff))
		return 0;
	return n;
}

static bool is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

static bool is_number(const char *cell)
{
	return cell != NULL && *cell != '\0' &&
	       cell[strspn(cell, "0123456789")] == '\0';
}

static bool is_decimal(const char *cell)
{
	size_t n = cell != NULL ? strspn(cell, "0123456789") : 0;

	if (n == 0)
		return false;
	return cell[n] == '\0' || (cell[n] == '.' && is_number(cell + n + 1));
}

/* Does the cell hold what its column promises? */
static bool has_value(const struct report_column *column, const char *cell)
{
	if (column->kind == REPORT_TEXT)
		return cell != NULL && *cell != '\0';
	if (column->kind == REPORT_DECIMAL)
		return is_decimal(cell);
	return is_number(cell);
}

static bool is_right(const struct report_column *column)
{
	return column->kind != REPORT_TEXT && column->kind != REPORT_BOOL;
}

void report_size(const char *bytes, char text[16])
{
	static const char units[] = "KMGTPE";
	uint64_t value = strtoull(bytes, NULL, 10);
	uint64_t whole = value;
	unsigned int tenth = 0;
	size_t unit = 0;

	while (whole >= 1024 && unit < sizeof(units) - 1) {
		tenth = (unsigned int)((whole % 1024) * 10 / 1024);
		whole /= 1024;
		unit++;
	}
	snprintf(text, 16, "%u", (unsigned int)whole);
	if (tenth > 0)
		snprintf(text + strlen(text), 4, ".%u", tenth % 10);
	if (unit > 0)
		snprintf(text + strlen(text), 2, "%c", units[unit - 1]);
}

void report_ms(uint64_t ms, char text[24])
{
	static const struct {
		unsigned int ms;
		char unit[2];
	} units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" } };

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		bool is_last = i + 1 == sizeof(units) / sizeof(*units);
		unsigned int part = is_last ? 1000 : units[i + 1].ms;
		uint64_t rest = ms % units[i].ms / part;

		if (ms < units[i].ms)
			continue;
		snprintf(text, 24, "%" PRIu64 "%s%" PRIu64 "%s",
			 ms / units[i].ms, units[i].unit, rest,
			 is_last ? "s" : units[i + 1].unit);
		return;
	}
	if (ms < 1000)
		snprintf(text, 24, "%ums", (unsigned int)ms);
	else if (ms % 1000 < 100)
		snprintf(text, 24, "%us", (unsigned int)(ms / 1000));
	else
		snprintf(text, 24, "%u.%us", (unsigned int)(ms / 1000),
			 (unsigned int)(ms % 1000 / 100));
}

/* What a table shows for a cell; @text is for those that are made up. */
static const char *shown(const struct report_column *column, const char *cell,
			 bool is_bytes, char text[24])
{
	if (!has_value(column, cell))
		return "-";
	if (column->kind == REPORT_BOOL)
		return strcmp(cell, "0") == 0 ? "no" : "yes";
	if (column->kind == REPORT_MS)
		report_ms(strtoull(cell, NULL, 10), text);
	else if (column->kind == REPORT_SIZE && !is_bytes)
		report_size(cell, text);
	else
		return cell;
	return text;
}

/* Prints @text without control characters, or, with no @out, counts only. */
static size_t put_text(FILE *out, const char *text)
{
	size_t width = 0;
	uint32_t code;

	for (; *text != '\0'; width++) {
		size_t n = utf8_length(text, &code);

		if (out != NULL && (n == 0 || is_control(code)))
			fputc('?', out);
		else if (out != NULL)
			fwrite(text, 1, n, out);
		text += n > 0 ? n : 1;
	}
	return width;
}

void report_text(FILE *out, const char *text)
{
	put_text(out, text);
}

static void put_spaces(FILE *out, size_t n)
{
	while (n-- > 0)
		fputc(' ', out);
}

static size_t column_width(const struct report *report, size_t i,
			   bool has_headings, bool is_bytes)
{
	const struct report_column *column = &report->columns[i];
	size_t widest = has_headings ? strlen(column->name) : 0;
	char text[24];

	for (size_t row = 0; row < report->n_rows; row++) {
		const char *cell = report->cells[row * report->n_columns + i];
		size_t n = put_text(NULL, shown(column, cell, is_bytes, text));

		widest = n > widest ? n : widest;
	}
	return widest;
}

/* One cell, padded; nothing follows the last one of a line. */
static void put_cell(FILE *out, const struct report *report, size_t i,
		     size_t width, const char *text)
{
	size_t space = width - put_text(NULL, text);
	bool is_last = i + 1 == report->n_columns;

	if (is_right(&report->columns[i]))
		put_spaces(out, space);
	put_text(out, text);
	if (!is_right(&report->columns[i]) && !is_last)
		put_spaces(out, space);
	fputs(is_last ? "\n" : "  ", out);
}

static void put_heading(FILE *out, const struct report *report, size_t i,
			size_t width)
{
	char heading[64];
	size_t n = 0;

	for (const char *c = report->columns[i].name;
	     *c != '\0' && n < sizeof(heading) - 1; c++)
		heading[n++] = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
	heading[n] = '\0';
	put_cell(out, report, i, width, heading);
}

void report_table(FILE *out, const struct report *report, bool has_headings,
		  bool is_bytes)
{
	size_t *widths = calloc(report->n_columns, sizeof(*widths));
	char **cell = report->cells;
	char text[24];

	if (widths == NULL)
		return;
	for (size_t i = 0; i < report->n_columns; i++)
		widths[i] = column_width(report, i, has_headings, is_bytes);
	for (size_t i = 0; has_headings && i < report->n_columns; i++)
		put_heading(out, report, i, widths[i]);
	for (size_t row = 0; row < report->n_rows; row++)
		for (size_t i = 0; i < report->n_columns; i++, cell++)
			put_cell(out, report, i, widths[i],
				 shown(&report->columns[i], *cell, is_bytes,
				       text));
	free(widths);
}

static void json_string(FILE *out, const char *text)
{
	uint32_t code;

	fputc('"', out);
	while (*text != '\0') {
		size_t n = utf8_length(text, &code);

		if (n == 0)
			fputs(UTF8_REPLACEMENT, out);
		else if (code == '"' || code == '\\')
			fprintf(out, "\\%c", (char)code);
		else if (is_control(code))
			fprintf(out, "\\u%04x", (unsigned int)code);
		else
			fwrite(text, 1, n, out);
		text += n > 0 ? n : 1;
	}
	fputc('"', out);
}

static void json_value(FILE *out, const struct report_column *column,
		       const char *cell)
{
	if (!has_value(column, cell))
		fputs("null", out);
	else if (column->kind == REPORT_TEXT)
		json_string(out, cell);
	else if (column->kind == REPORT_BOOL)
		fputs(strcmp(cell, "0") == 0 ? "false" : "true", out);
	else
		fputs(cell, out);
}

void report_json_members(FILE *out, const struct report *report, size_t row)
{
	char **cells = report->cells + row * report->n_columns;

	for (size_t i = 0; i < report->n_columns; i++) {
		fprintf(out, "%s\"%s\": ", i > 0 ? ", " : "",
			report->columns[i].name);
		json_value(out, &report->columns[i], cells[i]);
	}
}

void report_json(FILE *out, const struct report *report, const char *key,
		 int schema)
{
	fprintf(out, "{\n  \"schema\": %d,\n  \"%s\": [", schema, key);
	for (size_t row = 0; row < report->n_rows; row++) {
		fputs(row > 0 ? ",\n    {" : "\n    {", out);
		report_json_members(out, report, row);
		fputs("}", out);
	}
	fprintf(out, "%s]\n}\n", report->n_rows > 0 ? "\n  " : "");
}

static int choose_unknown(const struct report_column *columns, size_t n_columns,
			  const char *name)
{
	unsigned int best = NEAREST_NONE;
	const char *near = NULL;

	for (size_t i = 0; i < n_columns; i++) {
		unsigned int n = nearest_distance(name, columns[i].name);

		near = n < best ? columns[i].name : near;
		best = n < best ? n : best;
	}
	msg_error("--output: '%s' is not a column", name);
	if (near != NULL)
		msg_hint("did you mean %s?", near);
	else
		msg_hint("accepted: names such as %s, separated by commas; "
			 "the manual page has them all",
			 columns[0].name);
	return -EINVAL;
}

static int choose_one(const struct report_column *columns, size_t n_columns,
		      const char *name, size_t *places, size_t *count)
{
	size_t place = 0;

	while (place < n_columns && strcmp(columns[place].name, name) != 0)
		place++;
	if (place == n_columns)
		return choose_unknown(columns, n_columns, name);
	for (size_t i = 0; i < *count; i++) {
		if (places[i] != place)
			continue;
		msg_error("--output: '%s' is there twice", name);
		return -EINVAL;
	}
	places[(*count)++] = place;
	return 0;
}

int report_choose(const struct report_column *columns, size_t n_columns,
		  const char *names, size_t *places, size_t *count)
{
	char name[64];
	int error;

	*count = 0;
	do {
		size_t n = strcspn(names, ",");

		snprintf(name, sizeof(name), "%.*s", (int)n, names);
		error = choose_one(columns, n_columns, name, places, count);
		names = names[n] == ',' ? names + n + 1 : NULL;
	} while (error == 0 && names != NULL);
	return error;
}
