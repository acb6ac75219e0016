/* SPDX-License-Identifier: MIT */
/*
 * encrypt/signature - what a disk holds already, told by its magic numbers.
 *
 * Offsets and values are those that the formats' own documents give. What can
 * be told by one string at one place stands in a table; the rest are functions,
 * called after it.
 */
#include "signature.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANK_FRONT (16U << 20)
#define BLANK_BACK (1U << 20)
#define BLANK_CHUNK (64U << 10)

/* More magic numbers than this nothing has that is found by them. */
#define SIGNATURE_ERASE_MAX 4096

/* A negative offset counts from the end of the disk. */
struct magic {
	const char *name;
	int64_t off;
	const char *magic;
	size_t len;
};

#define MAGIC(name, off, text)                     \
	{                                          \
		name, off, text, sizeof(text) - 1, \
	}

#define KIB 1024LL

#define LUKS2_SECOND(off) MAGIC("LUKS2", off, "SKUL\xba\xbe")

/* The last ten bytes of the first page. */
#define SWAP(page)                                               \
	MAGIC("swap space", (page)-10, "SWAPSPACE2"),            \
		MAGIC("swap space", (page)-10, "SWAP-SPACE"),    \
		MAGIC("hibernation image", (page)-10, "S1SUSP"), \
		MAGIC("hibernation image", (page)-10, "S2SUSP"), \
		MAGIC("hibernation image", (page)-10, "ULSUSP"), \
		MAGIC("hibernation image", (page)-10, "LINHIB")

static const struct magic signature_table[] = {
	MAGIC("LUKS1", 0, "LUKS\xba\xbe\0\1"),
	MAGIC("LUKS2", 0, "LUKS\xba\xbe\0\2"),
	LUKS2_SECOND(16 * KIB),
	LUKS2_SECOND(32 * KIB),
	LUKS2_SECOND(64 * KIB),
	LUKS2_SECOND(128 * KIB),
	LUKS2_SECOND(256 * KIB),
	LUKS2_SECOND(512 * KIB),
	LUKS2_SECOND(1024 * KIB),
	LUKS2_SECOND(2048 * KIB),
	LUKS2_SECOND(4096 * KIB),
	MAGIC("BitLocker", 3, "-FVE-FS-"),
	MAGIC("dm-integrity", 0, "integrt"),
	MAGIC("dm-verity", 0, "verity\0\0"),
	MAGIC("dm-snapshot", 0, "SnAp"),
	MAGIC("VDO", 0, "dmvdo001"),
	MAGIC("LVM2 member", 0, "LABELONE"),
	MAGIC("LVM2 member", 512, "LABELONE"),
	MAGIC("LVM2 member", 1024, "LABELONE"),
	MAGIC("LVM2 member", 1536, "LABELONE"),
	MAGIC("bcache", 4120,
	      "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"),
	MAGIC("bcachefs", 4120,
	      "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"),
	MAGIC("Linux RAID member", 0, "\xfc\x4e\x2b\xa9\1\0\0\0"),
	MAGIC("Linux RAID member", 4096, "\xfc\x4e\x2b\xa9\1\0\0\0"),
	MAGIC("Stratis", 516, "!Stra0tis\x86\xff\2^\x41rh"),
	MAGIC("Ceph", 0, "bluestore block device"),
	MAGIC("xfs", 0, "XFSB"),
	MAGIC("btrfs", 64 * KIB + 64, "_BHRfS_M"),
	MAGIC("f2fs", 1024, "\x10\x20\xf5\xf2"),
	MAGIC("erofs", 1024, "\xe2\xe1\xf5\xe0"),
	MAGIC("squashfs", 0, "hsqs"),
	MAGIC("squashfs", 0, "sqsh"),
	MAGIC("cramfs", 0, "\x45\x3d\xcd\x28"),
	MAGIC("jfs", 32 * KIB, "JFS1"),
	MAGIC("reiserfs", 64 * KIB + 52, "ReIsEr"),
	MAGIC("gfs2", 64 * KIB, "\x01\x16\x19\x70"),
	MAGIC("ocfs2", 4096, "OCFSV2"),
	MAGIC("hfs+", 1024, "H+\0\4"),
	MAGIC("hfsx", 1024, "HX\0\5"),
	MAGIC("apfs", 32, "NXSB"),
	MAGIC("ufs", 64 * KIB + 1372, "\x19\x01\x54\x19"),
	MAGIC("ufs", 8 * KIB + 1372, "\x19\x01\x54\x19"),
	MAGIC("iso9660", 32 * KIB + 1, "CD001"),
	MAGIC("udf", 32 * KIB + 1, "BEA01"),
	MAGIC("udf", 34 * KIB + 1, "NSR0"),
	MAGIC("ntfs", 3, "NTFS    "),
	MAGIC("exfat", 3, "EXFAT   "),
	MAGIC("fat", 54, "FAT12   "),
	MAGIC("fat", 54, "FAT16   "),
	MAGIC("fat", 82, "FAT32   "),
	SWAP(4096),
	SWAP(8192),
	SWAP(16384),
	SWAP(65536),
	MAGIC("qcow2 image", 0, "QFI\xfb"),
	MAGIC("VMDK image", 0, "KDMV"),
	MAGIC("VHDX image", 0, "vhdxfile"),
	MAGIC("GPT partition table", 512, "EFI PART"),
	MAGIC("GPT partition table", 4096, "EFI PART"),
	MAGIC("GPT partition table", -512, "EFI PART"),
	MAGIC("GPT partition table", -4096, "EFI PART"),
};

#define SIGNATURE_ROWS (sizeof(signature_table) / sizeof(signature_table[0]))

static uint32_t signature_le32(const unsigned char *bytes)
{
	return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

static int signature_found(struct signature *signature, const char *name,
			   uint64_t off, size_t len)
{
	snprintf(signature->name, sizeof(signature->name), "%s", name);
	signature->off = off;
	signature->len = len;
	return 1;
}

/* Are there @len bytes at @off? They are read then. */
static int signature_read(struct disk *disk, void *buf, size_t len,
			  uint64_t off)
{
	int error;

	if (off > disk->size || len > disk->size - off)
		return 0;
	error = disk->read(disk, buf, len, off);
	return error != 0 ? error : 1;
}

static int signature_find_row(struct disk *disk, const struct magic *row,
			      struct signature *signature)
{
	uint64_t off = row->off >= 0 ? (uint64_t)row->off :
				       disk->size + (uint64_t)row->off;
	unsigned char bytes[32];
	int n = signature_read(disk, bytes, row->len, off);

	if (n <= 0)
		return n;
	if (memcmp(bytes, row->magic, row->len) != 0)
		return 0;
	return signature_found(signature, row->name, off, row->len);
}

/* Two bytes are little: block size and revision must make sense as well. */
static int signature_find_ext(struct disk *disk, struct signature *signature)
{
	unsigned char super[128];
	int n = signature_read(disk, super, sizeof(super), 1024);
	uint32_t incompat, compat;

	if (n <= 0)
		return n;
	if (super[56] != 0x53 || super[57] != 0xef ||
	    signature_le32(super + 24) > 6 || signature_le32(super + 76) > 1)
		return 0;
	compat = signature_le32(super + 92);
	incompat = signature_le32(super + 96);
	/* extents, 64bit, flex_bg; a journal */
	return signature_found(signature,
			       incompat & 0x2c0 ? "ext4" :
			       compat & 4	? "ext3" :
						  "ext2",
			       1024 + 56, 2);
}

/* Old versions of md have their superblock near the end. */
static int signature_find_md(struct disk *disk, struct signature *signature)
{
	static const unsigned char magic[] = { 0xfc, 0x4e, 0x2b, 0xa9 };
	uint64_t places[2] = { 0 };
	unsigned char bytes[4];
	int n;

	if (disk->size >= 65536 * 2)
		places[0] = (disk->size & ~65535ULL) - 65536;
	if (disk->size >= 8192 * 2)
		places[1] = ((disk->size / 512 - 16) & ~7ULL) * 512;
	for (int i = 0; i < 2; i++) {
		n = places[i] == 0 ? 0 :
				     signature_read(disk, bytes, sizeof(bytes),
						    places[i]);
		if (n < 0)
			return n;
		if (n > 0 && memcmp(bytes, magic, sizeof(magic)) == 0)
			return signature_found(signature, "Linux RAID member",
					       places[i], sizeof(magic));
	}
	return 0;
}

/* In one of the four labels: any uberblock, of either byte order. */
static int signature_find_zfs_label(struct disk *disk, uint64_t label,
				    struct signature *signature)
{
	static const unsigned char little[8] = { 0x0c, 0xb1, 0xba };
	static const unsigned char big[8] = { 0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c };
	unsigned char bytes[8];

	for (uint64_t off = label + 128 * KIB; off < label + 256 * KIB;
	     off += KIB) {
		int n = signature_read(disk, bytes, sizeof(bytes), off);

		if (n <= 0)
			return n;
		if (memcmp(bytes, little, 8) == 0 || memcmp(bytes, big, 8) == 0)
			return signature_found(signature, "zfs member", off, 8);
	}
	return 0;
}

static int signature_find_zfs(struct disk *disk, struct signature *signature)
{
	uint64_t end = disk->size & ~(uint64_t)(256 * KIB - 1);
	int n = 0;

	if (end < 1024 * KIB)
		return 0;
	for (int i = 0; i < 4 && n == 0; i++) {
		static const int64_t labels[] = { 0, 256 * KIB, -512 * KIB,
						  -256 * KIB };
		int64_t off = labels[i];

		n = signature_find_zfs_label(
			disk, off >= 0 ? (uint64_t)off : end + (uint64_t)off,
			signature);
	}
	return n;
}

/* Boot code ends like that, too: one entry at least must be a partition. */
static int signature_find_mbr(struct disk *disk, struct signature *signature)
{
	unsigned char sector[512];
	int n = signature_read(disk, sector, sizeof(sector), 0);
	int n_parts = 0;

	if (n <= 0)
		return n;
	if (sector[510] != 0x55 || sector[511] != 0xaa)
		return 0;
	for (int i = 0; i < 4; i++) {
		const unsigned char *part = sector + 446 + (ptrdiff_t)i * 16;

		if ((part[0] & 0x7f) != 0)
			return 0;
		if (part[4] != 0 && signature_le32(part + 12) != 0)
			n_parts++;
	}
	if (n_parts == 0)
		return 0;
	return signature_found(signature, "MBR partition table", 510, 2);
}

int signature_find(struct disk *disk, struct signature *signature)
{
	static int (*const finders[])(struct disk *, struct signature *) = {
		signature_find_ext,
		signature_find_md,
		signature_find_zfs,
		signature_find_mbr,
	};
	int n = 0;

	for (size_t i = 0; i < SIGNATURE_ROWS && n == 0; i++)
		n = signature_find_row(disk, &signature_table[i], signature);
	for (size_t i = 0; i < sizeof(finders) / sizeof(*finders) && n == 0;
	     i++)
		n = finders[i](disk, signature);
	return n;
}

int signature_erase(struct disk *disk)
{
	static const unsigned char zeroes[32];
	struct signature signature;
	int n = 0, error = 0;

	for (int i = 0; i < SIGNATURE_ERASE_MAX && error == 0; i++) {
		n = signature_find(disk, &signature);
		if (n <= 0)
			break;
		error = disk->write(disk, zeroes, signature.len, signature.off);
	}
	if (n < 0)
		return n;
	return error != 0 ? error : disk->sync(disk);
}

static int signature_is_zero(struct disk *disk, unsigned char *buf,
			     uint64_t from, uint64_t to)
{
	for (uint64_t off = from; off < to; off += BLANK_CHUNK) {
		size_t len = to - off < BLANK_CHUNK ? (size_t)(to - off) :
						      BLANK_CHUNK;
		int error = disk->read(disk, buf, len, off);

		if (error != 0)
			return error;
		/* each byte equals the one before it */
		if (buf[0] != 0 || memcmp(buf, buf + 1, len - 1) != 0)
			return 0;
	}
	return 1;
}

int signature_is_blank(struct disk *disk)
{
	uint64_t front = disk->size < BLANK_FRONT ? disk->size : BLANK_FRONT;
	uint64_t back = disk->size < BLANK_BACK ? 0 : disk->size - BLANK_BACK;
	unsigned char *buf = malloc(BLANK_CHUNK);
	int n;

	if (buf == NULL)
		return -ENOMEM;
	n = signature_is_zero(disk, buf, 0, front);
	if (n == 1)
		n = signature_is_zero(disk, buf, back, disk->size);
	free(buf);
	return n;
}
