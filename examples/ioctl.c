/* SPDX-License-Identifier: MIT */
/*
 * ioctl - a disk in memory that takes commands of its own: driver and client.
 *
 *	cc ioctl.c $(pkg-config --cflags --libs bdus) -o ioctl
 *	./ioctl				makes a device
 *	./ioctl /dev/bdus-0		shows how much was written to it
 *	./ioctl /dev/bdus-0 BYTE	fills it with a byte
 *
 * The commands are built as all of Linux' are, with a letter, a number and a
 * type whose size is known to both sides. They can come twice if the driver
 * dies in between and is restarted, so they do no harm when they do: "fill
 * with", not "fill with one more than".
 */
#include <bdus.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DISK_SIZE (16 << 20)

struct disk_stat {
	uint64_t writes;
	uint64_t bytes;
};

struct disk_fill {
	uint8_t byte;
};

#define DISK_STAT _IOR('D', 1, struct disk_stat)
#define DISK_FILL _IOW('D', 2, struct disk_fill)

struct disk {
	struct disk_stat stat;
	char data[DISK_SIZE];
};

static int disk_read(char *buffer, uint64_t offset, uint32_t size,
		     struct bdus_ctx *ctx)
{
	const struct disk *disk = ctx->private_data;

	memcpy(buffer, disk->data + offset, size);
	return 0;
}

static int disk_write(const char *buffer, uint64_t offset, uint32_t size,
		      struct bdus_ctx *ctx)
{
	struct disk *disk = ctx->private_data;

	memcpy(disk->data + offset, buffer, size);
	disk->stat.writes++;
	disk->stat.bytes += size;
	return 0;
}

/* The argument has the size that the command says, in and out. */
static int disk_ioctl(uint32_t command, void *argument, struct bdus_ctx *ctx)
{
	struct disk *disk = ctx->private_data;
	const struct disk_fill *fill = argument;

	switch (command) {
	case DISK_STAT:
		memcpy(argument, &disk->stat, sizeof(disk->stat));
		return 0;
	case DISK_FILL:
		memset(disk->data, fill->byte, sizeof(disk->data));
		return 0;
	default:
		return ENOTTY;
	}
}

/* One callback at a time, the default: so the numbers need no lock. */
static const struct bdus_ops disk_ops = {
	.read = disk_read,
	.write = disk_write,
	.ioctl = disk_ioctl,
};

static int serve(void)
{
	const struct bdus_attrs attrs = { .size = DISK_SIZE };
	struct disk *disk = calloc(1, sizeof(*disk));
	bool is_done;

	if (disk == NULL) {
		fprintf(stderr, "ioctl: not enough memory\n");
		return 1;
	}
	is_done = bdus_run(&disk_ops, &attrs, disk);
	if (!is_done)
		fprintf(stderr, "ioctl: %s\n", bdus_get_error_message());
	free(disk);
	return is_done ? 0 : 1;
}

/* Writing is needed for an ioctl, whatever it does. */
static int ask(const char *path, const char *byte)
{
	struct disk_stat stat;
	struct disk_fill fill;
	int fd = open(path, O_RDWR);
	int failed;

	if (byte != NULL) {
		fill.byte = (uint8_t)strtoul(byte, NULL, 0);
		failed = ioctl(fd, DISK_FILL, &fill);
	} else {
		failed = ioctl(fd, DISK_STAT, &stat);
	}
	if (failed) {
		fprintf(stderr, "ioctl: %s: %s\n", path, strerror(errno));
		return 1;
	}
	if (byte == NULL)
		printf("%llu writes, %llu bytes\n",
		       (unsigned long long)stat.writes,
		       (unsigned long long)stat.bytes);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 1)
		return serve();
	return ask(argv[1], argc > 2 ? argv[2] : NULL);
}
