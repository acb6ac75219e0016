/* SPDX-License-Identifier: MIT */
/*
 * tree - mutations of JSON that leave it JSON: members go, come, are renamed,
 * change their type or their value, to what LUKS2 knows or to anything.
 */
#include "tree.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#define NODES_MAX 1024
#define STRING_MAX 256

/* A value and where it is: @key of an object, or @index of a list. */
struct node {
	json_t *parent;
	json_t *value;
	const char *key;
	size_t index;
};

struct tree {
	struct node nodes[NODES_MAX];
	size_t n;
	uint64_t seed;
};

static const char *const words[] = {
	"0",
	"1",
	"2",
	"31",
	"32",
	"4",
	"00",
	"-1",
	"4096",
	"12288",
	"16384",
	"32768",
	"131072",
	"258048",
	"1048576",
	"16744448",
	"16777216",
	"134217728",
	"9223372036854775807",
	"18446744073709551615",
	"18446744073709547520",
	"18446744073709551616",
	"dynamic",
	"luks1",
	"luks2",
	"crypt",
	"linear",
	"raw",
	"none",
	"journal",
	"checksum",
	"datashift",
	"reencrypt",
	"pbkdf2",
	"argon2i",
	"argon2id",
	"argon2d",
	"sha1",
	"sha256",
	"sha512",
	"ripemd160",
	"aes-xts-plain64",
	"aes-cbc-essiv:sha256",
	"aes-cbc-plain64",
	"null-cipher",
	"online-reencrypt",
	"offline-reencrypt",
	"online-reencrypt-v2",
	"opal",
	"inline-hw-tags",
	"hw-opal",
	"hw-opal-crypt",
	"allow-discards",
	"no-journal",
	"backup-final",
	"backup-previous",
	"in-reencryption",
	"luks2-keyring",
	"keyslots",
	"tokens",
	"segments",
	"digests",
	"config",
	"type",
	"key_size",
	"af",
	"area",
	"kdf",
	"priority",
	"stripes",
	"hash",
	"offset",
	"size",
	"encryption",
	"iterations",
	"salt",
	"digest",
	"time",
	"memory",
	"cpus",
	"iv_tweak",
	"sector_size",
	"integrity",
	"flags",
	"json_size",
	"keyslots_size",
	"requirements",
	"mandatory",
	"mode",
	"direction",
	"key_description",
	"shift_size",
	"",
	"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=",
	"QUJD",
};

static const json_int_t numbers[] = {
	0,	   -1,	       1,	   2,	       3,	  4,
	5,	   16,	       31,	   32,	       64,	  65,
	128,	   512,	       1000,	   1024,       4000,	  4001,
	4096,	   65536,      999,	   32768,      1 << 20,	  4 << 20,
	INT32_MAX, 2147483648, 4294967295, 4294967296, INT64_MAX, INT64_MIN
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static size_t tree_random(struct tree *tree, size_t n)
{
	tree->seed = tree->seed * UINT64_C(6364136223846793005) + 1442695;
	return (size_t)(tree->seed >> 33) % n;
}

static void tree_collect(struct tree *tree, json_t *parent)
{
	const char *key;
	json_t *value;
	size_t index;

	json_object_foreach(parent, key, value)
		if (tree->n < NODES_MAX)
			tree->nodes[tree->n++] = (struct node){
				.parent = parent, .value = value, .key = key
			};
	json_array_foreach(parent, index, value)
		if (tree->n < NODES_MAX)
			tree->nodes[tree->n++] = (struct node){
				.parent = parent, .value = value, .index = index
			};
	json_object_foreach(parent, key, value)
		tree_collect(tree, value);
	json_array_foreach(parent, index, value)
		tree_collect(tree, value);
}

static json_t *tree_any(struct tree *tree)
{
	switch (tree_random(tree, 10)) {
	case 0:
		return json_object();
	case 1:
		return json_array();
	case 2:
		return json_null();
	case 3:
		return json_real(1.5);
	case 4:
	case 5:
		return json_integer(numbers[tree_random(tree, COUNT(numbers))]);
	case 6:
		return json_deep_copy(
			tree->nodes[tree_random(tree, tree->n)].value);
	default:
		return json_string(words[tree_random(tree, COUNT(words))]);
	}
}

static json_t *tree_string(struct tree *tree, const json_t *old)
{
	char text[STRING_MAX];
	size_t len = json_string_length(old);

	if (len > sizeof(text))
		len = sizeof(text);
	memcpy(text, json_string_value(old), len);
	if (tree_random(tree, 4) != 0 || len == 0)
		len = LLVMFuzzerMutate((uint8_t *)text, len, sizeof(text));
	else
		text[tree_random(tree, len)] =
			(char)('0' + tree_random(tree, 10));
	return json_stringn(text, len);
}

static json_t *tree_number(struct tree *tree, const json_t *old)
{
	json_int_t value = json_integer_value(old);

	switch (tree_random(tree, 4)) {
	case 0:
		return json_integer((json_int_t)((uint64_t)value + 1));
	case 1:
		return json_integer((json_int_t)((uint64_t)value - 1));
	case 2:
		return json_integer(
			value ^
			(json_int_t)(UINT64_C(1) << tree_random(tree, 64)));
	default:
		return json_integer(numbers[tree_random(tree, COUNT(numbers))]);
	}
}

/* A value like the one before. */
static json_t *tree_like(struct tree *tree, const json_t *old)
{
	if (json_is_string(old) && tree_random(tree, 2) == 0)
		return json_string(words[tree_random(tree, COUNT(words))]);
	if (json_is_string(old))
		return tree_string(tree, old);
	if (json_is_integer(old))
		return tree_number(tree, old);
	return tree_any(tree);
}

static void tree_set(const struct node *node, json_t *value)
{
	if (node->key != NULL)
		json_object_set_new(node->parent, node->key, value);
	else
		json_array_set_new(node->parent, node->index, value);
}

static void tree_remove(const struct node *node)
{
	if (node->key != NULL)
		json_object_del(node->parent, node->key);
	else
		json_array_remove(node->parent, node->index);
}

/* The same value, or any other, under another name or at the end of a list. */
static void tree_add(struct tree *tree, const struct node *node)
{
	json_t *value = tree_random(tree, 2) == 0 ?
				json_deep_copy(node->value) :
				tree_any(tree);
	const struct node *other = &tree->nodes[tree_random(tree, tree->n)];
	const char *name = other->key;

	if (name == NULL || tree_random(tree, 2) == 0)
		name = words[tree_random(tree, COUNT(words))];
	if (node->key != NULL)
		json_object_set_new(node->parent, name, value);
	else
		json_array_append_new(node->parent, value);
}

static void tree_change(struct tree *tree)
{
	const struct node *node = &tree->nodes[tree_random(tree, tree->n)];

	switch (tree_random(tree, 8)) {
	case 0:
		tree_remove(node);
		break;
	case 1:
		tree_set(node, tree_any(tree));
		break;
	case 2:
		tree_add(tree, node);
		break;
	case 3:
		tree_add(tree, node);
		tree_remove(node);
		break;
	default:
		tree_set(node, tree_like(tree, node->value));
	}
}

size_t tree_mutate(char *text, size_t size, size_t max_size, unsigned int seed)
{
	struct tree tree = { .n = 0, .seed = seed };
	json_t *root = json_loadb(text, strnlen(text, size), 0, NULL);
	size_t len = 0;

	if (root == NULL)
		return 0;
	tree_collect(&tree, root);
	if (tree.n > 0) {
		tree_change(&tree);
		len = json_dumpb(root, text, max_size, JSON_COMPACT);
	}
	json_decref(root);
	return len <= max_size ? len : 0;
}
