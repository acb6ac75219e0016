/* SPDX-License-Identifier: MIT */
/*
 * luks1 - fuzzes the header of LUKS1: 592 bytes after one that chooses the
 * sizes of disk and data.
 */
#include <string.h>

#include "drivers/encrypt/layout.h"
#include "fuzz.h"
#include "msg.h"

#define HEADER 592
#define IMAGE 1024

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_setup();
	return 0;
}

/* Each slot is written as it is; that must change nothing. */
static void write_back(const struct luks *luks, const unsigned char *image,
		       uint64_t size, uint64_t data_size)
{
	unsigned char copy[IMAGE];
	struct fuzz_disk fuzz;
	struct luks again;

	memcpy(copy, image, sizeof(copy));
	fuzz_disk_init(&fuzz, copy, sizeof(copy), size, true);
	for (int i = 0; i < (int)luks->n_slots; i++)
		fuzz_must(luks1_write(&fuzz.disk, luks, i) == EXIT_DONE,
			  "a header cannot be written");
	fuzz_must(luks_read(&fuzz.disk, data_size, &again) == EXIT_DONE,
		  "a header that was written is refused");
	fuzz_same(luks, &again);
	luks_free(&again);
}

/* What was repaired is well. */
static void repair(const unsigned char *image, uint64_t size,
		   uint64_t data_size)
{
	unsigned char copy[IMAGE];
	struct fuzz_disk fuzz;
	int code;

	memcpy(copy, image, sizeof(copy));
	fuzz_disk_init(&fuzz, copy, sizeof(copy), size, true);
	code = luks_check(&fuzz.disk, data_size, true);
	if (code == 1)
		fuzz_must(luks_check(&fuzz.disk, data_size, false) == 0,
			  "what was repaired is not well");
	else
		fuzz_must(memcmp(copy, image, sizeof(copy)) == 0,
			  "it was changed, but not repaired");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char image[IMAGE] = { 0 };
	uint64_t disk_size, data_size;
	struct fuzz_disk fuzz;
	struct luks luks;
	int code;

	if (size < 2 || size > 1 + HEADER)
		return -1;
	disk_size = fuzz_size(data[0] & 15);
	data_size = data[0] & 16 ? fuzz_size(data[0] >> 5) : 0;
	memcpy(image, data + 1, size - 1);
	fuzz_disk_init(&fuzz, image, sizeof(image), disk_size, false);
	code = luks_read(&fuzz.disk, data_size, &luks);
	if (code == EXIT_DONE) {
		fuzz_header(&luks, &fuzz.disk, data_size);
		if (luks.version == 1)
			write_back(&luks, image, disk_size, data_size);
	}
	luks_free(&luks);
	repair(image, disk_size, data_size);
	return 0;
}
