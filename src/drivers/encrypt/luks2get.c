/* SPDX-License-Identifier: MIT */
/*
 * encrypt/luks2get - values of LUKS2's JSON, taken strictly.
 *
 * 64-bit numbers are decimal strings there, and bytes are in base64. Strings
 * of a header reach messages only through luks2_fault(), which lets no
 * control characters pass.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "luks2.h"

/* Of what is decoded at most, with room for the padding. */
#define BYTES_MAX 66
#define BASE64_MAX (BYTES_MAX / 3 * 4)

bool luks2_fault(struct luks2_reader *reader, const char *format, ...)
{
	char *text = reader->fault;
	size_t size = sizeof(reader->fault);
	int n = 0;
	va_list args;

	if (*reader->what != '\0')
		n = snprintf(text, size, "%s: ", reader->what);
	va_start(args, format);
	vsnprintf(text + n, size - (size_t)n, format, args);
	va_end(args);
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
	return false;
}

void luks2_set_what(struct luks2_reader *reader, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reader->what, sizeof(reader->what), format, args);
	va_end(args);
}

bool luks2_number(const char *text, uint64_t max, uint64_t *value)
{
	uint64_t number = 0;

	if (*text == '\0' || (*text == '0' && text[1] != '\0'))
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9' ||
		    __builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, *text - '0', &number))
			return false;
	}
	*value = number;
	return number <= max;
}

static const char *luks2get_type(int type)
{
	switch (type) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	default:
		return "a number";
	}
}

struct json_t *luks2_get(struct luks2_reader *reader,
			 const struct json_t *object, const char *name,
			 int type)
{
	json_t *value = json_object_get(object, name);

	if (value == NULL)
		luks2_fault(reader, "%s is missing", name);
	else if ((int)json_typeof(value) != type)
		luks2_fault(reader, "%s is not %s", name, luks2get_type(type));
	else
		return value;
	return NULL;
}

bool luks2_get_text(struct luks2_reader *reader, const struct json_t *object,
		    const char *name, char *text, size_t size)
{
	json_t *value = luks2_get(reader, object, name, JSON_STRING);

	if (value == NULL)
		return false;
	if (json_string_length(value) >= size)
		return luks2_fault(reader, "%s is too long", name);
	memcpy(text, json_string_value(value), json_string_length(value) + 1);
	return true;
}

bool luks2_get_u32(struct luks2_reader *reader, const struct json_t *object,
		   const char *name, uint32_t *value)
{
	json_t *number = luks2_get(reader, object, name, JSON_INTEGER);

	if (number == NULL)
		return false;
	if (json_integer_value(number) < 1 ||
	    json_integer_value(number) > INT32_MAX)
		return luks2_fault(reader, "%s is out of range: %lld", name,
				   (long long)json_integer_value(number));
	*value = (uint32_t)json_integer_value(number);
	return true;
}

bool luks2_get_u64(struct luks2_reader *reader, const struct json_t *object,
		   const char *name, uint64_t *value)
{
	json_t *text = luks2_get(reader, object, name, JSON_STRING);

	if (text == NULL)
		return false;
	if (!luks2_number(json_string_value(text), UINT64_MAX, value))
		return luks2_fault(reader, "%s is not a number: \"%.32s\"",
				   name, json_string_value(text));
	return true;
}

/* Exactly what an encoder makes: @len of bytes, or -1. */
static int luks2get_decode(const char *text, size_t text_len,
			   unsigned char *bytes)
{
	unsigned char again[BASE64_MAX + 1];
	int len;

	if (text_len == 0 || text_len > BASE64_MAX || text_len % 4 != 0)
		return -1;
	len = EVP_DecodeBlock(bytes, (const unsigned char *)text,
			      (int)text_len);
	if (len < 0)
		return -1;
	for (size_t i = 1; i <= 2 && text[text_len - i] == '='; i++)
		len--;
	if (EVP_EncodeBlock(again, bytes, len) != (int)text_len ||
	    memcmp(again, text, text_len) != 0)
		return -1;
	return len;
}

bool luks2_get_bytes(struct luks2_reader *reader, const struct json_t *object,
		     const char *name, unsigned char *bytes, size_t min,
		     size_t max, size_t *len)
{
	json_t *value = luks2_get(reader, object, name, JSON_STRING);
	unsigned char decoded[BYTES_MAX];
	int n;

	if (value == NULL)
		return false;
	n = luks2get_decode(json_string_value(value), json_string_length(value),
			    decoded);
	if (n < 0 || (size_t)n < min || (size_t)n > max)
		return luks2_fault(reader,
				   "%s is not %zu to %zu bytes in base64", name,
				   min, max);
	memcpy(bytes, decoded, (size_t)n);
	*len = (size_t)n;
	return true;
}

bool luks2_names(struct luks2_reader *reader, const struct json_t *list,
		 const struct json_t *objects)
{
	const char *name;
	json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry) {
		name = json_string_value(entry);
		if (name == NULL)
			return luks2_fault(
				reader, "a list of names has something else");
		if (objects != NULL && json_object_get(objects, name) == NULL)
			return luks2_fault(reader, "\"%.32s\" does not exist",
					   name);
	}
	return true;
}

bool luks2_has_name(const struct json_t *list, const char *name)
{
	const char *text;
	json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry) {
		text = json_string_value(entry);
		if (text != NULL && strcmp(text, name) == 0)
			return true;
	}
	return false;
}
