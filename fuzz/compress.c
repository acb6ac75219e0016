/* SPDX-License-Identifier: MIT */
/*
 * compress - fuzzes compressed volumes: opened read-only they are read and
 * checked, opened to be written they are used, ended, and opened again.
 */
#include "drivers/compress/check.h"
#include "volume.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	volume_setup();
	return 0;
}

static void look(struct volume *volume)
{
	struct engine_options options = { .n_workers = 1,
					  .map_cache = 1,
					  .is_read_only = true };
	struct engine engine;
	struct check check = { 0 };

	/* without it a write is a crash */
	volume->medium.write = NULL;
	if (engine_open(&engine, &volume->medium, &options) != 0)
		return;
	volume_read(&engine);
	check_volume(&engine, true, &check);
	ranges_free(&check.lost);
	engine_close(&engine);
}

static void use(struct volume *volume)
{
	struct engine_options options = { .n_workers = 1,
					  .map_cache = 1,
					  .checkpoint_bytes = 64 << 10,
					  .is_manual = true };
	struct engine engine;

	for (int i = 0; i < 2; i++) {
		if (engine_open(&engine, &volume->medium, &options) != 0)
			return;
		volume_use(&engine);
		volume_read(&engine);
		engine_close(&engine);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct volume volume;

	volume_begin(&volume, data, size);
	if (size > 0 && data[0] & 64)
		use(&volume);
	else
		look(&volume);
	return 0;
}
