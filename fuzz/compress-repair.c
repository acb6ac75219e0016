/* SPDX-License-Identifier: MIT */
/*
 * compress-repair - fuzzes the repair of compressed volumes. What could be
 * opened before reads as before after it; what was repaired is clean, and
 * can be used.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/compress/check.h"
#include "drivers/compress/repair.h"
#include "volume.h"

#define SAMPLES 24

/* What some blocks were. */
struct sample {
	uint64_t lba;
	int error;
	unsigned char block[BLOCK_SIZE];
};

static struct sample samples[SAMPLES];
static unsigned int n_samples;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	volume_setup();
	return 0;
}

static int open_volume(struct engine *engine, struct volume *volume,
		       bool is_read_only)
{
	struct engine_options options = { .n_workers = 1,
					  .map_cache = 1,
					  .is_read_only = is_read_only,
					  .is_manual = true };

	return engine_open(engine, &volume->medium, &options);
}

static void sample(struct volume *volume)
{
	uint64_t n_blocks;
	struct engine engine;

	n_samples = 0;
	if (open_volume(&engine, volume, true) != 0)
		return;
	n_blocks = engine.super.size / BLOCK_SIZE;
	for (uint64_t lba = 0; lba < n_blocks && n_samples < SAMPLES;
	     lba += 1 + n_blocks / SAMPLES % 7) {
		struct sample *one = &samples[n_samples++];

		one->lba = lba;
		one->error = engine_read(&engine, 0, one->block, BLOCK_SIZE,
					 lba * BLOCK_SIZE);
	}
	engine_close(&engine);
}

static void compare(struct volume *volume)
{
	unsigned char block[BLOCK_SIZE];
	struct engine engine;

	volume_must(open_volume(&engine, volume, true) == 0,
		    "what was repaired cannot be opened");
	for (unsigned int i = 0; i < n_samples; i++) {
		int error = engine_read(&engine, 0, block, BLOCK_SIZE,
					samples[i].lba * BLOCK_SIZE);

		if (samples[i].error == 0)
			volume_must(error == 0 &&
					    memcmp(block, samples[i].block,
						   BLOCK_SIZE) == 0,
				    "a block that could be read is another");
	}
	engine_close(&engine);
}

static int find_out(struct volume *volume, struct repair *repair,
		    struct check *check, bool accept_stale)
{
	struct repair_options options = { .accept_stale = accept_stale,
					  .map_cache = 1 };
	int error = repair_prepare(repair, &volume->medium, &options);

	*check = (struct check){ 0 };
	if (error != 0)
		return error;
	error = check_volume(&repair->engine, true, check);
	if (error != 0)
		repair_free(repair);
	return error;
}

static void must_be_clean(struct volume *volume)
{
	struct repair repair;
	struct check check;

	volume_must(find_out(volume, &repair, &check, false) == 0,
		    "what was repaired cannot be checked");
	volume_must(!repair_is_needed(&repair), "it needs another repair");
	volume_must(check.n_pages_lost == 0, "it still has pages lost");
	volume_must(check.n_records_lost == 0, "it still has records lost");
	volume_must(check.n_segments_wrong == 0, "segments are counted wrong");
	volume_must(check.n_free_used == 0, "free segments are used");
	volume_must(check.n_overlaps == 0, "records overlap");
	volume_must(check_is_clean(&check), "what was repaired is not clean");
	ranges_free(&check.lost);
	repair_free(&repair);
}

static bool repair_it(struct volume *volume, bool accept_stale)
{
	struct repair repair;
	struct check check;
	bool is_done = false;
	int error;

	if (find_out(volume, &repair, &check, accept_stale) != 0)
		return false;
	/* it looks further for what follows in the log than opening does */
	if (repair.n_batches_lost > 0 || repair.n_heads_lost > 0)
		n_samples = 0;
	error = repair_lose(&repair, &check.lost);
	if (error == 0 && check.n_overlaps == 0 && repair_is_needed(&repair)) {
		volume_must(repair_commit(&repair) == 0, "cannot be written");
		is_done = true;
	}
	ranges_free(&check.lost);
	repair_free(&repair);
	return is_done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct volume volume;
	bool accept_stale = size > 0 && data[0] & 64;
	struct engine engine;

	volume_begin(&volume, data, size);
	if (size > 0 && data[0] & 32)
		sample(&volume);
	else
		n_samples = 0;
	if (!repair_it(&volume, accept_stale))
		return 0;
	must_be_clean(&volume);
	compare(&volume);
	if (!accept_stale || open_volume(&engine, &volume, false) != 0)
		return 0;
	volume_use(&engine);
	engine_close(&engine);
	return 0;
}
