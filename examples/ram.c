/* SPDX-License-Identifier: MIT */
/*
 * ram - a disk held in memory, in 64 MiB; the smallest useful driver.
 *
 *	cc ram.c $(pkg-config --cflags --libs bdus) -o ram
 *	./ram
 *
 * Prints the path of the device and goes to the background. The device goes
 * with "bdus destroy", and what was in it with it.
 */
#define BDUS_REQUIRE_VERSION_MAJOR 0
#define BDUS_REQUIRE_VERSION_MINOR 1
#define BDUS_REQUIRE_VERSION_PATCH 0

#include <bdus.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int ram_read(char *buffer, uint64_t offset, uint32_t size,
		    struct bdus_ctx *ctx)
{
	const char *disk = ctx->private_data;

	memcpy(buffer, disk + offset, size);
	return 0;
}

static int ram_write(const char *buffer, uint64_t offset, uint32_t size,
		     struct bdus_ctx *ctx)
{
	char *disk = ctx->private_data;

	memcpy(disk + offset, buffer, size);
	return 0;
}

static const struct bdus_ops ram_ops = {
	.read = ram_read,
	.write = ram_write,
};

static const struct bdus_attrs ram_attrs = {
	.size = 64 << 20,
	.logical_block_size = 512,
};

int main(void)
{
	char *disk = calloc(1, ram_attrs.size);
	bool is_done;

	if (disk == NULL) {
		fprintf(stderr, "ram: not enough memory\n");
		return 1;
	}
	is_done = bdus_run(&ram_ops, &ram_attrs, disk);
	if (!is_done)
		fprintf(stderr, "ram: %s\n", bdus_get_error_message());
	free(disk);
	return is_done ? 0 : 1;
}
