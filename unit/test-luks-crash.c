/* SPDX-License-Identifier: MIT */
/*
 * test-luks-crash - every change of a header survives a power cut.
 *
 * An operation runs on a disk that records; then each state that a cut can
 * leave (crash.h) is read and opened: with the old or with the new passphrase,
 * and with those of all other slots, always to the same volume key. Key
 * derivations are what costs: the outcome for a slot is remembered by what it
 * depends on, which is its entry, its area and the digest.
 */
#include "msg.h"
#include "crash.h"
#include "drivers/encrypt/image.h"
#include "tap.h"
#include "volume.h"

#define WAYS_MAX 8
#define NEW_PASS "the new one"
#define CACHE_SIZE (1U << 16)

/* A passphrase that opens a slot, to that key. */
struct way {
	int slot;
	char pass[24];
	const unsigned char *key;
};

/**
 * struct trial - an operation and what must hold at each moment
 * @name: for people
 * @base: what it works on
 * @run: does it; an exit code
 * @done: what it returns
 * @slot: its operand
 * @pass: the passphrase that it sets
 * @key: where luks_format() puts the new key, or NULL
 * @backup: what image_restore() puts back, or NULL
 * @keep: these open always
 * @either: one of these opens always, if there are any
 * @after: this opens after it, if its passphrase is set
 * @is_new: its slot is not used before; as soon as it is, it opens
 * @gone: this does not open after it, likewise
 * @may_be_refused: there may be no valid header while it runs
 * @is_empty: nothing opens after it
 */
struct trial {
	char name[80];
	const struct volume *base;
	int (*run)(const struct trial *trial, struct disk *disk);
	int done;
	int slot;
	const char *pass;
	unsigned char *key;
	const struct volume *backup;
	struct way keep[WAYS_MAX];
	int n_keep;
	struct way either[2];
	int n_either;
	struct way after;
	bool is_new;
	struct way gone;
	bool may_be_refused;
	bool is_empty;
};

/* Outcomes by fingerprint. */
static struct {
	uint64_t sum;
	enum opened opened;
} cache[CACHE_SIZE];
static size_t n_derived;

static struct way way_of(int slot, const char *pass, const unsigned char *key)
{
	struct way way = { .slot = slot, .key = key };

	snprintf(way.pass, sizeof(way.pass), "%s", pass);
	return way;
}

static uint64_t way_sum(const struct crash *crash, const struct luks *luks,
			const struct way *way)
{
	const struct luks_slot *slot = &luks->slots[way->slot];
	uint64_t sum = crash_sum(slot, sizeof(*slot));

	sum = crash_mix(sum, crash_sum(&luks->digest, sizeof(luks->digest)));
	sum = crash_mix(sum, crash_sum(way->pass, sizeof(way->pass)));
	sum = crash_mix(sum, crash_sum(way->key, VOLUME_KEY_SIZE));
	sum = crash_mix(
		sum, crash_range_sum(crash, slot->area_off, slot->area_size));
	return sum | 1;
}

static enum opened way_try(struct crash *crash, const struct luks *luks,
			   const struct way *way)
{
	uint64_t sum;
	size_t i;

	if (!luks->slots[way->slot].is_used)
		return CLOSED;
	sum = way_sum(crash, luks, way);
	for (i = sum % CACHE_SIZE; cache[i].sum != 0; i = (i + 1) % CACHE_SIZE)
		if (cache[i].sum == sum)
			return cache[i].opened;
	volume_must(++n_derived < CACHE_SIZE / 2, "the cache is full");
	cache[i].sum = sum;
	cache[i].opened = volume_open(luks, &crash->state->disk, way->slot,
				      way->pass, way->key);
	return cache[i].opened;
}

static const char *trial_ways(struct crash *crash, const struct luks *luks)
{
	const struct trial *trial = crash->context;
	enum opened opened;
	int i;

	for (i = 0; i < trial->n_keep; i++) {
		opened = way_try(crash, luks, &trial->keep[i]);
		if (opened != OPENED)
			return "another slot does not open any more";
	}
	/* the new one first: its outcome is known more often */
	if (trial->is_new && luks->slots[trial->after.slot].is_used &&
	    way_try(crash, luks, &trial->after) != OPENED)
		return "a new slot is there that does not open";
	for (i = trial->n_either - 1; i >= 0; i--) {
		opened = way_try(crash, luks, &trial->either[i]);
		if (opened == OPENED_WRONG)
			return "it opens with a wrong key";
		if (opened == OPENED)
			return NULL;
	}
	return trial->n_either > 0 ? "no passphrase opens it" : NULL;
}

static const char *trial_check(struct crash *crash)
{
	const struct trial *trial = crash->context;
	const char *fault = NULL;
	struct luks luks;
	struct disk *disk = &crash->state->disk;

	if (luks_read(disk, disk->size, &luks) == EXIT_DONE)
		fault = trial_ways(crash, &luks);
	else if (!trial->may_be_refused)
		fault = "its header is refused";
	luks_free(&luks);
	return fault;
}

/* The state that is there, no replay. */
static const char *trial_check_now(const struct trial *trial,
				   struct memdisk *mem)
{
	struct crash crash = { .state = mem, .context = trial };
	const char *fault;

	crash.sums = memdisk_must(
		calloc(mem->disk.size / CRASH_SECTOR, sizeof(*crash.sums)));
	fault = trial_check(&crash);
	free(crash.sums);
	return fault;
}

static bool trial_opens(const struct luks *luks, struct memdisk *mem,
			const struct way *way)
{
	return volume_open(luks, &mem->disk, LUKS_ANY_SLOT, way->pass,
			   way->key) == OPENED;
}

/* Nothing but a header was written. */
static bool trial_keeps_data(const struct trial *trial, const struct luks *luks,
			     const struct memdisk *mem)
{
	uint64_t off = luks->segment.off;

	return trial->key != NULL ||
	       memcmp(mem->data + off, trial->base->mem->data + off,
		      mem->disk.size - off) == 0;
}

/* After all of it: opens as it should, and there is nothing to repair. */
static bool trial_is_done(const struct trial *trial, struct memdisk *mem)
{
	struct luks luks;
	bool is_done =
		luks_read(&mem->disk, mem->disk.size, &luks) == EXIT_DONE;

	if (is_done && *trial->after.pass != '\0')
		is_done = trial_opens(&luks, mem, &trial->after);
	if (is_done && *trial->gone.pass != '\0')
		is_done = !trial_opens(&luks, mem, &trial->gone);
	is_done = is_done && trial_keeps_data(trial, &luks, mem);
	luks_free(&luks);
	return is_done &&
	       (trial->is_empty || volume_check(&mem->disk, false) == 0);
}

static bool trial_is_synced(const struct memdisk *mem)
{
	return mem->n_events > 0 && mem->events[mem->n_events - 1].data == NULL;
}

static void trial_replay(struct trial *trial)
{
	struct crash crash = { .check = trial_check, .context = trial };
	struct memdisk *mem = memdisk_copy(trial->base->mem);
	int code = trial->run(trial, &mem->disk);
	const char *fault = trial_check_now(trial, mem);

	ok(code == trial->done && fault == NULL && trial_is_done(trial, mem) &&
		   trial_is_synced(mem),
	   "%s: it is done%s%s", trial->name, fault != NULL ? ", but " : "",
	   fault != NULL ? fault : "");
	crash_replay(&crash, trial->base->mem, mem);
	ok(crash.n_bad == 0 && crash.n_states > 1, "%s: %zu states after a cut",
	   trial->name, crash.n_states);
	if (crash.n_bad > 0)
		printf("# %zu are bad, the first: %s\n", crash.n_bad,
		       crash.first);
	memdisk_free(mem);
}

/* Each write and sync fails once; true: there was one to fail. */
static bool trial_fail_at(struct trial *trial, size_t i, const char **fault)
{
	struct memdisk *mem = memdisk_copy(trial->base->mem);
	bool is_there;
	int code;

	mem->fail_at = i;
	code = trial->run(trial, &mem->disk);
	is_there = mem->n_calls >= i;
	if (is_there && code == trial->done)
		*fault = "an error was not reported";
	else if (is_there)
		*fault = trial_check_now(trial, mem);
	memdisk_free(mem);
	return is_there;
}

static void trial_fail(struct trial *trial)
{
	const char *fault = NULL;
	size_t i = 1;

	while (fault == NULL && trial_fail_at(trial, i, &fault))
		i++;
	ok(fault == NULL && i > 1, "%s: %zu writes and syncs that fail%s%s",
	   trial->name, i - 1, fault != NULL ? ": " : "",
	   fault != NULL ? fault : "");
}

static void trial_all(struct trial *trial)
{
	trial_replay(trial);
	trial_fail(trial);
}

/*** operations ***************************************************************/

static int run_add(const struct trial *trial, struct disk *disk)
{
	return volume_add(disk, trial->slot, trial->pass, trial->base->key);
}

static int run_change(const struct trial *trial, struct disk *disk)
{
	return volume_change(disk, trial->slot, trial->pass, trial->base->key);
}

static int run_remove(const struct trial *trial, struct disk *disk)
{
	return volume_remove(disk, trial->slot);
}

static int run_erase(const struct trial *trial, struct disk *disk)
{
	(void)trial;
	return volume_erase(disk);
}

static int run_repair(const struct trial *trial, struct disk *disk)
{
	(void)trial;
	return volume_check(disk, true);
}

/* The slot says which version it is to be. */
static int run_format(const struct trial *trial, struct disk *disk)
{
	return volume_format(disk, (unsigned int)trial->slot, trial->pass,
			     trial->key);
}

/* The present header may be one that cannot be read. */
static int run_restore(const struct trial *trial, struct disk *disk)
{
	struct memdisk *backup = trial->backup->mem;
	struct luks present, saved;
	int error = -EINVAL;

	if (luks_read(disk, disk->size, &present) != EXIT_DONE)
		memset(&present, 0, sizeof(present));
	if (luks_read(&backup->disk, disk->size, &saved) == EXIT_DONE)
		error = image_restore(disk, &present, &saved, backup->data);
	luks_free(&present);
	luks_free(&saved);
	return error == 0 ? EXIT_DONE : EXIT_FAILED;
}

/*** trials *******************************************************************/

static const int luks1_slots[] = { 0, 1, 2, 3, 4, 5, 6, 7, -1 };
static const int luks2_slots[] = { 0, 5, 6, 7, -1 };
/* LUKS1: at the start; before, on, and after the border between sectors. */
static const int operands[] = { 0, 5, 6, 7, -1 };

static struct trial trial_new(const struct volume *base, const char *what,
			      int (*run)(const struct trial *, struct disk *),
			      int slot)
{
	struct trial trial = {
		.base = base,
		.run = run,
		.slot = slot,
		.pass = NEW_PASS,
	};

	snprintf(trial.name, sizeof(trial.name), "luks%u %s %d", base->version,
		 what, slot);
	return trial;
}

/* Slots of a volume stay, but for those in a mask. */
static void trial_keep(struct trial *trial, unsigned int except)
{
	const int *slots =
		trial->base->version == 1 ? luks1_slots : luks2_slots;

	for (; *slots >= 0; slots++)
		if ((except >> *slots & 1) == 0)
			trial->keep[trial->n_keep++] = way_of(
				*slots, volume_pass(*slots), trial->base->key);
}

static struct volume without(const struct volume *from, int slot)
{
	struct volume volume = volume_copy(from);

	volume_must(volume_remove(&volume.mem->disk, slot) == EXIT_DONE,
		    "cannot remove a slot");
	memdisk_forget(volume.mem);
	return volume;
}

static void try_add(const struct volume *full, int slot)
{
	struct volume base = without(full, slot);
	struct trial trial = trial_new(&base, "add", run_add, slot);

	trial_keep(&trial, 1U << slot);
	trial.after = way_of(slot, NEW_PASS, base.key);
	trial.is_new = true;
	trial_all(&trial);
	volume_free(&base);
}

static void try_remove(const struct volume *base, int slot)
{
	struct trial trial = trial_new(base, "remove", run_remove, slot);

	trial_keep(&trial, 1U << slot);
	trial.gone = way_of(slot, volume_pass(slot), base->key);
	trial_all(&trial);
}

/* With @base->version 1 the new one ends up in slot @to, which is free. */
static void try_change(const struct volume *base, int slot, int to)
{
	struct trial trial = trial_new(base, "change", run_change, slot);

	trial_keep(&trial, 1U << slot | 1U << to);
	trial.either[trial.n_either++] =
		way_of(slot, volume_pass(slot), base->key);
	trial.either[trial.n_either++] = way_of(to, NEW_PASS, base->key);
	trial.gone = trial.either[0];
	trial.after = trial.either[1];
	trial.is_new = to != slot;
	if (to != slot)
		snprintf(trial.name, sizeof(trial.name),
			 "luks1 change %d, which becomes %d", slot, to);
	trial_all(&trial);
}

static void try_changes(const struct volume *full)
{
	struct volume base;

	for (const int *to = operands; *to >= 0; to++) {
		if (full->version == 2) {
			try_change(full, *to, *to);
			continue;
		}
		base = without(full, *to);
		for (const int *slot = operands; *slot >= 0; slot++)
			if (*slot != *to)
				try_change(&base, *slot, *to);
		volume_free(&base);
	}
}

static void try_erase(const struct volume *base)
{
	struct trial trial = trial_new(base, "erase", run_erase, 0);

	trial.gone = way_of(0, volume_pass(0), base->key);
	trial.is_empty = true;
	trial_all(&trial);
}

static void try_format(const struct volume *base, unsigned int version)
{
	unsigned char *key = memdisk_must(secret_alloc(LUKS_KEY_MAX));
	struct trial trial =
		trial_new(base, "format as", run_format, (int)version);

	trial.key = key;
	trial.may_be_refused = true;
	trial.either[trial.n_either++] = way_of(0, volume_pass(0), base->key);
	trial.either[trial.n_either++] = way_of(0, NEW_PASS, key);
	trial.gone = trial.either[0];
	trial.after = trial.either[1];
	trial_all(&trial);
	secret_free(key);
}

/*** repair *******************************************************************/

static void try_repair(const struct volume *base, const char *what, int slot)
{
	struct trial trial = trial_new(base, what, run_repair, slot);

	trial_keep(&trial, 0);
	trial.done = 1;
	trial.may_be_refused = base->version == 1;
	trial_all(&trial);
}

/* A byte of a copy is wrong. */
static void try_repair_copy(const struct volume *full, int index)
{
	struct volume base = volume_copy(full);

	base.mem->data[index * 0x4000 + 0x1010] ^= 1;
	try_repair(&base, "repair copy", index);
	volume_free(&base);
}

/* A copy is as it was before the last change. */
static void try_repair_old(const struct volume *full, int index)
{
	struct volume base = volume_copy(full);
	unsigned char *copy = base.mem->data + index * 0x4000;
	struct disk *disk = &base.mem->disk;

	volume_must(volume_add(disk, 9, NEW_PASS, base.key) == EXIT_DONE,
		    "cannot add a slot");
	memdisk_forget(base.mem);
	memcpy(copy, full->mem->data + index * 0x4000, 0x4000);
	try_repair(&base, "repair old copy", index);
	volume_free(&base);
}

/* The stripes of slot 5 and the place of slot 7: one in each sector. */
static void try_repair_luks1(const struct volume *full)
{
	struct volume base = volume_copy(full);

	base.mem->data[208 + 5 * 48 + 44] ^= 1;
	base.mem->data[208 + 7 * 48 + 40] ^= 1;
	try_repair(&base, "repair", 0);
	volume_free(&base);
}

/*** restoring a backup *******************************************************/

static struct trial restore_new(const struct volume *base,
				const struct volume *backup, const char *what,
				int slot)
{
	struct trial trial = trial_new(base, what, run_restore, slot);

	trial.backup = backup;
	return trial;
}

/* A slot came since the backup: all others open always. */
static void try_restore_added(const struct volume *full, int slot)
{
	struct volume backup = without(full, slot);
	struct trial trial =
		restore_new(full, &backup, "restore, without", slot);

	trial_keep(&trial, 1U << slot);
	trial.gone = way_of(slot, volume_pass(slot), full->key);
	trial_all(&trial);
	volume_free(&backup);
}

/* A slot went since. */
static void try_restore_removed(const struct volume *full, int slot)
{
	struct volume base = without(full, slot);
	struct trial trial = restore_new(&base, full, "restore, with", slot);

	trial_keep(&trial, 1U << slot);
	trial.after = way_of(slot, volume_pass(slot), full->key);
	trial.is_new = true;
	trial_all(&trial);
	volume_free(&base);
}

/* A passphrase was changed since, in @slot, which became @to. */
static void try_restore_changed(const struct volume *full, int slot, int to)
{
	struct volume base = volume_copy(full);
	struct trial trial =
		restore_new(&base, full, "restore, with the old", slot);

	volume_must(volume_change(&base.mem->disk, slot, NEW_PASS, base.key) ==
			    EXIT_DONE,
		    "cannot change a slot");
	memdisk_forget(base.mem);
	trial_keep(&trial, 1U << slot | 1U << to);
	trial.either[trial.n_either++] = way_of(to, NEW_PASS, full->key);
	trial.either[trial.n_either++] =
		way_of(slot, volume_pass(slot), full->key);
	trial.gone = trial.either[0];
	trial.after = trial.either[1];
	trial_all(&trial);
	volume_free(&base);
}

/* A copy is broken, or both. */
static void try_restore_broken(const struct volume *full, unsigned int copies)
{
	struct volume base = volume_copy(full);
	struct trial trial =
		restore_new(&base, full, "restore, broken copies", (int)copies);

	for (unsigned int i = 0; i < full->version; i++)
		if ((copies >> i & 1) != 0)
			base.mem->data[i * 0x4000 + 8] ^= 1;
	trial.may_be_refused = full->version == 1 || copies == 3;
	trial_keep(&trial, 0);
	trial_all(&trial);
	volume_free(&base);
}

static void test_restore(const struct volume *full)
{
	for (const int *slot = operands; *slot >= 0; slot++) {
		try_restore_added(full, *slot);
		try_restore_removed(full, *slot);
	}
	for (unsigned int copies = 1; copies <= 3; copies++)
		if (full->version == 2 || copies == 1)
			try_restore_broken(full, copies);
}

/*** a cut, and then another **************************************************/

static void again(const struct trial *before, const struct volume *base,
		  struct trial *trial, struct crash *sum)
{
	struct crash crash = { .check = trial_check, .context = trial };
	struct memdisk *mem = memdisk_copy(base->mem);

	memcpy(trial->keep, before->keep, sizeof(trial->keep));
	memcpy(trial->either, before->either, sizeof(trial->either));
	trial->n_keep = before->n_keep;
	trial->n_either = before->n_either;
	trial->run(trial, &mem->disk);
	crash_replay(&crash, base->mem, mem);
	sum->n_states += crash.n_states;
	sum->n_bad += crash.n_bad + !trial_is_done(trial, mem);
	if (*sum->first == '\0')
		memcpy(sum->first, crash.first, sizeof(sum->first));
	memdisk_free(mem);
}

/* After each write of a change: repair, and add a slot. */
static void try_again(const struct volume *full, int slot, int to, int add)
{
	struct volume now = volume_copy(full);
	struct trial change = trial_new(full, "change", run_change, slot);
	struct memdisk *log = memdisk_copy(full->mem);
	struct crash sum = { .n_bad = 0 };
	struct trial trial;

	trial_keep(&change, 1U << slot | 1U << to | 1U << add);
	change.either[change.n_either++] =
		way_of(slot, volume_pass(slot), full->key);
	change.either[change.n_either++] = way_of(to, NEW_PASS, full->key);
	volume_must(run_change(&change, &log->disk) == EXIT_DONE,
		    "cannot change a slot");
	for (size_t i = 0; i < log->n_events; i++) {
		if (log->events[i].data == NULL)
			continue;
		trial = trial_new(&now, "add", run_add, add);
		trial.pass = "another new one";
		trial.after = way_of(add, trial.pass, now.key);
		trial.is_new = true;
		again(&change, &now, &trial, &sum);
		trial = trial_new(&now, "repair", run_repair, 0);
		again(&change, &now, &trial, &sum);
		memcpy(now.mem->data + log->events[i].off, log->events[i].data,
		       log->events[i].len);
	}
	ok(sum.n_bad == 0,
	   "luks%u a cut in change %d, then one in add %d or "
	   "repair: %zu states",
	   full->version, slot, add, sum.n_states);
	if (sum.n_bad > 0)
		printf("# %zu are bad, the first: %s\n", sum.n_bad, sum.first);
	memdisk_free(log);
	volume_free(&now);
}

static void test_slots(const struct volume *full)
{
	for (const int *slot = operands; *slot >= 0; slot++) {
		try_add(full, *slot);
		try_remove(full, *slot);
	}
	try_changes(full);
	try_erase(full);
}

static void test_luks1(const struct volume *full)
{
	struct volume base = without(full, 1);
	struct volume less = without(&base, 5);

	test_slots(full);
	try_repair_luks1(full);
	test_restore(full);
	for (const int *to = operands; *to >= 0; to++) {
		struct volume one = without(full, *to);

		for (const int *slot = operands; *slot >= 0; slot++)
			if (*slot != *to)
				try_restore_changed(&one, *slot, *to);
		volume_free(&one);
	}
	try_again(&less, 6, 1, 5);
	volume_free(&base);
	volume_free(&less);
}

static void test_luks2(const struct volume *full)
{
	test_slots(full);
	for (int index = 0; index < 2; index++) {
		try_repair_copy(full, index);
		try_repair_old(full, index);
	}
	test_restore(full);
	try_restore_changed(full, 5, 5);
	try_again(full, 5, 5, 9);
}

int main(void)
{
	struct volume luks1, luks2;

	memdisk_seed_set();
	tap_catch();
	volume_must(secret_init() == 0, "no secret memory");
	luks1 = volume_new(1, luks1_slots);
	luks2 = volume_new(2, luks2_slots);
	test_luks1(&luks1);
	test_luks2(&luks2);
	for (unsigned int version = 1; version <= 2; version++) {
		try_format(&luks1, version);
		try_format(&luks2, version);
	}
	printf("# %zu key derivations\n", n_derived);
	volume_free(&luks1);
	volume_free(&luks2);
	return tap_done();
}
