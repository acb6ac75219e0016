/* SPDX-License-Identifier: MIT */
/*
 * encrypt/keys - the actions that add, change, remove and test passphrases.
 *
 * All questions are asked, and all costs measured, before the header is locked
 * for the change. From a pipe the old passphrase is read before the new one.
 */
#include "actions.h"

#include <stdio.h>
#include <string.h>

#include "cost.h"
#include "msg.h"
#include "progress.h"
#include "secret.h"
#include "terminal.h"
#include "target.h"
#include "units.h"

#define KEYS_OPERANDS "FILE|DEVICE"

struct keys {
	const char *header;
	const char *slot;
	struct passphrase_source source;
	struct passphrase_source new;
	struct cost_options cost;
	bool is_forced;
};

/* An action on its way. */
struct change {
	struct target target;
	struct luks_cost cost;
	struct passphrase new;
	unsigned char *key;
	int slot;
};

#define KEYS_SLOT_OPT(text) \
	OPT_STRING("key-slot", 'S', struct keys, slot, 0, "N", NULL, text)

#define KEYS_NEW_OPTS                                                         \
	OPT_PATH("new-key-file", 0, struct keys, new.file, 0, "FILE", NULL,   \
		 "read the new passphrase from FILE, - for what follows the " \
		 "old one on standard input"),                                \
		OPT_UINT("new-key-fd", 0, struct keys, new.fd, 0, "N", 3,     \
			 INT_MAX, NULL,                                       \
			 "read the new passphrase from descriptor N")

static const struct opt keys_add_opts[] = {
	PASSPHRASE_OPTS(struct keys, source),
	KEYS_NEW_OPTS,
	KEYS_SLOT_OPT("key slot of the new passphrase, else the first free"),
	COST_OPTS(struct keys, cost),
	HEADER_OPT(struct keys, header),
	OPT_END
};

static const struct opt keys_change_opts[] = {
	PASSPHRASE_OPTS(struct keys, source),
	KEYS_NEW_OPTS,
	KEYS_SLOT_OPT("key slot to change, else the one that is opened"),
	COST_OPTS(struct keys, cost),
	HEADER_OPT(struct keys, header),
	OPT_END
};

static const struct opt keys_remove_opts[] = {
	PASSPHRASE_OPTS(struct keys, source),
	KEYS_SLOT_OPT("key slot to remove; the passphrase is another one's"),
	HEADER_OPT(struct keys, header),
	OPT_BOOL("force", 0, struct keys, is_forced,
		 "also the last one; with --key-slot, ask for no passphrase"),
	OPT_END
};

static const struct opt keys_test_opts[] = {
	PASSPHRASE_OPTS(struct keys, source),
	KEYS_SLOT_OPT("key slot to test, else all"),
	HEADER_OPT(struct keys, header), OPT_END
};

static bool keys_is_stdin(const struct passphrase_source *source)
{
	return source->fd == 0 &&
	       (source->file == NULL || strcmp(source->file, "-") == 0);
}

/* What is read to its end leaves nothing for the new passphrase. */
static int keys_check_sources(const struct keys *keys)
{
	const struct passphrase_source *old = &keys->source;
	const struct passphrase_source *new = &keys->new;
	bool is_shared = keys_is_stdin(old) && keys_is_stdin(new) &&
			 old->file != NULL && !terminal_is_there();

	if (new->file != NULL &&new->fd != 0) {
		msg_error("--new-key-file and --new-key-fd exclude each other");
		return EXIT_USAGE;
	}
	if (old->fd != 0 && old->fd == new->fd)
		is_shared = true;
	if (!is_shared || old->size != 0)
		return EXIT_DONE;
	msg_error("both passphrases come from the same place, and nothing "
		  "tells where the old one ends");
	msg_hint("give its length as --keyfile-size, or leave --key-file out: "
		 "then it is the first line of standard input");
	return EXIT_USAGE;
}

static int keys_open(struct change *change, const struct keys *keys, int argc,
		     char **argv)
{
	int status;

	change->target.header = keys->header;
	status = target_start(&change->target, argc, argv, 1, KEYS_OPERANDS);
	if (status == EXIT_DONE)
		status = units_slot(&change->target.luks, keys->slot,
				    &change->slot);
	if (status != EXIT_DONE)
		return status;
	change->key = secret_alloc(LUKS_KEY_MAX);
	if (change->key != NULL)
		return EXIT_DONE;
	msg_error("no memory for a key");
	return EXIT_FAILED;
}

static void keys_close(struct change *change)
{
	passphrase_free(&change->new);
	secret_free(change->key);
	target_close(&change->target);
}

/* The volume key by the passphrase of @slot, or of any but @except. */
static int keys_get_key(struct change *change, const struct keys *keys,
			int slot, int except, int *found)
{
	char prompt[160];

	if (except >= 0)
		snprintf(prompt, sizeof(prompt),
			 "Passphrase of another key slot of %.64s: ",
			 change->target.path);
	else
		snprintf(prompt, sizeof(prompt),
			 "Passphrase of %.64s: ", change->target.path);
	disk_unlock(&change->target.disk);
	return target_get_key(&change->target, &keys->source, prompt, slot,
			      except, change->key, found);
}

static int keys_get_new(struct change *change, const struct keys *keys)
{
	char prompt[160];
	int status;

	snprintf(prompt, sizeof(prompt),
		 "New passphrase of %.64s: ", change->target.path);
	status = passphrase_get(&keys->new, prompt, true, &change->new);
	if (status != EXIT_DONE)
		return status;
	return cost_measure(&keys->cost, change->target.luks.key_size,
			    &change->cost);
}

static int keys_put(struct change *change, const struct keys *keys, int slot,
		    int (*put)(struct luks *luks, struct disk *disk, int slot,
			       const unsigned char *key,
			       const struct luks_cost *cost, const void *pass,
			       size_t pass_len))
{
	struct progress progress;
	int status;

	progress_start_ms(&progress, "making the key slot",
			  cost_iter_ms(&keys->cost));
	status = put(&change->target.luks, &change->target.disk.disk, slot,
		     change->key, &change->cost, change->new.data,
		     change->new.len);
	progress_end(&progress);
	return status;
}

static int keys_check_free(const struct change *change)
{
	const struct luks *luks = &change->target.luks;
	const char *name = change->target.disk.disk.name;
	unsigned int i = 0;

	while (i < luks->n_slots && luks->slots[i].is_used)
		i++;
	if (i == luks->n_slots) {
		msg_error("%s: all %u key slots are used", name, luks->n_slots);
		return EXIT_BUSY;
	}
	if (change->slot == LUKS_ANY_SLOT || !luks->slots[change->slot].is_used)
		return EXIT_DONE;
	msg_error("%s: key slot %d is used", name, change->slot);
	msg_hint("change-key replaces its passphrase");
	return EXIT_BUSY;
}

static int keys_init_cost(struct change *change, const struct keys *keys)
{
	const struct luks *luks = &change->target.luks;

	return cost_init(&keys->cost, luks->version, luks->digest.hash,
			 &change->cost);
}

static int keys_add(struct change *change, const struct keys *keys)
{
	int found, status = keys_check_free(change);

	if (status == EXIT_DONE)
		status = keys_init_cost(change, keys);
	if (status == EXIT_DONE)
		status = keys_get_key(change, keys, LUKS_ANY_SLOT, -1, &found);
	if (status == EXIT_DONE)
		status = keys_get_new(change, keys);
	if (status == EXIT_DONE)
		status = target_reopen(&change->target);
	if (status == EXIT_DONE)
		status = keys_put(change, keys, change->slot, luks_add_slot);
	return status;
}

static int keys_change(struct change *change, const struct keys *keys)
{
	int found, status = target_check_used(&change->target, change->slot);

	if (status == EXIT_DONE)
		status = keys_init_cost(change, keys);
	if (status == EXIT_DONE)
		status = keys_get_key(change, keys, change->slot, -1, &found);
	if (status == EXIT_DONE)
		status = keys_get_new(change, keys);
	if (status == EXIT_DONE)
		status = target_reopen(&change->target);
	if (status == EXIT_DONE)
		status = keys_put(change, keys, found, luks_change_slot);
	return status;
}

static int keys_check_last(const struct change *change, const struct keys *keys)
{
	const struct luks *luks = &change->target.luks;
	int slot = change->slot;

	if (keys->is_forced || target_keys(&change->target) > 1 ||
	    (slot >= 0 && !luks->slots[slot].is_bound))
		return EXIT_DONE;
	msg_error("%s: this is the last key slot, without it nobody gets at "
		  "the data",
		  change->target.disk.disk.name);
	msg_hint("--force removes it; erase is for all of them");
	return EXIT_FAILED;
}

static int keys_remove(struct change *change, const struct keys *keys)
{
	int found = change->slot, slot = change->slot;
	int status = target_check_used(&change->target, slot);

	if (status == EXIT_DONE)
		status = keys_check_last(change, keys);
	if (status == EXIT_DONE && (slot < 0 || !keys->is_forced))
		status =
			keys_get_key(change, keys, LUKS_ANY_SLOT, slot, &found);
	if (slot >= 0)
		found = slot;
	if (status == EXIT_DONE)
		status = target_reopen(&change->target);
	if (status == EXIT_DONE)
		status = luks_remove_slot(&change->target.luks,
					  &change->target.disk.disk, found);
	return status;
}

static int keys_test(struct change *change, const struct keys *keys)
{
	int found, status = target_check_used(&change->target, change->slot);

	if (status == EXIT_DONE)
		status = keys_get_key(change, keys, change->slot, -1, &found);
	if (status == EXIT_DONE)
		printf("%d\n", found);
	return status;
}

static int keys_run(const struct keys *keys, int argc, char **argv,
		    int (*act)(struct change *change, const struct keys *keys))
{
	struct change change = { .slot = LUKS_ANY_SLOT };
	int status = keys_open(&change, keys, argc, argv);

	if (status == EXIT_DONE)
		status = act(&change, keys);
	keys_close(&change);
	return status;
}

static int keys_add_run(void *opts, int argc, char **argv)
{
	int status = keys_check_sources(opts);

	return status != EXIT_DONE ? status :
				     keys_run(opts, argc, argv, keys_add);
}

static int keys_change_run(void *opts, int argc, char **argv)
{
	int status = keys_check_sources(opts);

	return status != EXIT_DONE ? status :
				     keys_run(opts, argc, argv, keys_change);
}

static int keys_remove_run(void *opts, int argc, char **argv)
{
	return keys_run(opts, argc, argv, keys_remove);
}

static int keys_test_run(void *opts, int argc, char **argv)
{
	return keys_run(opts, argc, argv, keys_test);
}

const struct applet action_add_key = {
	.name = "add-key",
	.alias = "luksAddKey",
	.summary = "give a volume a further passphrase",
	.operands = KEYS_OPERANDS,
	.opts = keys_add_opts,
	.opts_size = sizeof(struct keys),
	.run = keys_add_run,
};

const struct applet action_change_key = {
	.name = "change-key",
	.alias = "luksChangeKey",
	.summary = "replace a passphrase by another",
	.operands = KEYS_OPERANDS,
	.opts = keys_change_opts,
	.opts_size = sizeof(struct keys),
	.run = keys_change_run,
};

const struct applet action_remove_key = {
	.name = "remove-key",
	.alias = "luksKillSlot",
	.summary = "destroy a key slot, so that its passphrase opens no more",
	.operands = KEYS_OPERANDS,
	.opts = keys_remove_opts,
	.opts_size = sizeof(struct keys),
	.run = keys_remove_run,
};

const struct applet action_test_key = {
	.name = "test-key",
	.summary = "tell which key slot a passphrase opens",
	.operands = KEYS_OPERANDS,
	.opts = keys_test_opts,
	.opts_size = sizeof(struct keys),
	.run = keys_test_run,
};
