/* SPDX-License-Identifier: MIT */
/*
 * report.h - rows of named, typed values, printed as a table for people or as
 * JSON for programs.
 */
#ifndef BDUS_REPORT_H
#define BDUS_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/**
 * enum report_kind - what the values of a column are
 * @REPORT_TEXT: any bytes
 * @REPORT_NUMBER: decimal digits
 * @REPORT_BOOL: 0 or 1
 * @REPORT_SIZE: bytes, decimal digits
 * @REPORT_MS: milliseconds, decimal digits
 * @REPORT_DECIMAL: decimal digits, perhaps a point and further ones
 */
enum report_kind {
	REPORT_TEXT,
	REPORT_NUMBER,
	REPORT_BOOL,
	REPORT_SIZE,
	REPORT_MS,
	REPORT_DECIMAL
};

/**
 * struct report_column - a column
 * @name: snake_case; the key in JSON, in upper case the heading of the table
 * @kind: what its values are
 */
struct report_column {
	const char *name;
	enum report_kind kind;
};

/**
 * struct report - what is to be printed
 * @columns: the columns
 * @n_columns: their number
 * @cells: @n_rows times @n_columns strings, row by row; NULL or "" for none,
 *	as is what does not fit the column's kind
 * @n_rows: number of rows
 */
struct report {
	const struct report_column *columns;
	size_t n_columns;
	char **cells;
	size_t n_rows;
};

/**
 * report_table - print aligned columns
 * @out: where to
 * @report: what
 * @has_headings: print a first line with the names
 * @is_bytes: sizes in bytes instead of 1.5G
 *
 * Numbers stand to the right; "-" stands for no value; control characters and
 * invalid UTF-8 are shown as "?".
 */
void report_table(FILE *out, const struct report *report, bool has_headings,
		  bool is_bytes);

/**
 * report_json - print {"schema": 1, "KEY": [{...}, ...]}
 * @out: where to
 * @report: what
 * @key: name of the array
 * @schema: version of what the keys mean
 *
 * Numbers are raw, no value is null, bytes that are not UTF-8 become U+FFFD.
 */
void report_json(FILE *out, const struct report *report, const char *key,
		 int schema);

/**
 * report_json_members - print "NAME": VALUE, ..., the inside of an object
 * @out: where to
 * @report: what
 * @row: of which row
 */
void report_json_members(FILE *out, const struct report *report, size_t row);

/** report_text - print a text, with "?" for what a terminal must not get. */
void report_text(FILE *out, const char *text);

/**
 * report_choose - read the value of --output, names separated by commas
 * @columns: all columns
 * @n_columns: their number
 * @names: what was typed; no name may be there twice
 * @places: where to store the places of the columns; room for @n_columns
 * @count: where to store how many there are
 *
 * Prints what is wrong, with the nearest name.
 *
 * Return: 0 or -EINVAL.
 */
int report_choose(const struct report_column *columns, size_t n_columns,
		  const char *names, size_t *places, size_t *count);

/** report_size - write bytes as people read them, "1.5G" (at most 15 bytes). */
void report_size(const char *bytes, char text[16]);

/**
 * report_ms - write a time as people read it: "250ms", "12.3s", "5m12s", "3h5m"
 * @ms: milliseconds
 * @text: where to
 */
void report_ms(uint64_t ms, char text[24]);

#endif /* BDUS_REPORT_H */
