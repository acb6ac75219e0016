/* SPDX-License-Identifier: GPL-2.0 */
/*
 * compat.h - everything that differs between the kernels kbdus builds on
 * (6.1, 6.12, newest), by feature test where there is one.
 */
#ifndef KBDUS_COMPAT_H
#define KBDUS_COMPAT_H

#include <linux/blkdev.h>
#include <linux/version.h>

/* 6.5: blk_mode_t instead of fmode_t, and open() and release() get the disk */
#ifdef BLK_OPEN_READ
#define KBDUS_DISK_OPEN(name) int name(struct gendisk *disk, blk_mode_t mode)
#define KBDUS_DISK_OF_OPEN disk
typedef blk_mode_t kbdus_mode_t;
#else
#define KBDUS_DISK_OPEN(name) int name(struct block_device *bdev, fmode_t mode)
#define KBDUS_DISK_OF_OPEN (bdev->bd_disk)
typedef fmode_t kbdus_mode_t;
#define BLK_OPEN_WRITE FMODE_WRITE
#endif

/* 6.9: a block device is opened as a file; before 6.5, by mode and holder */
static inline void kbdus_open_and_close(dev_t devt)
{
#ifdef BLK_OPEN_RESTRICT_WRITES
	struct file *file =
		bdev_file_open_by_dev(devt, BLK_OPEN_READ, NULL, NULL);

	if (!IS_ERR(file))
		bdev_fput(file);
#else
	struct block_device *bdev = blkdev_get_by_dev(devt, FMODE_READ, NULL);

	if (!IS_ERR(bdev))
		blkdev_put(bdev, FMODE_READ);
#endif
}

/**
 * struct kbdus_limits - a disk's limits, independent of the kernel
 * @logical_block_size: bytes
 * @physical_block_size: bytes
 * @max_io: largest read or write, bytes
 * @max_write_zeroes: bytes, 0: not supported
 * @max_discard: likewise
 * @max_secure_erase: likewise
 * @discard_granularity: bytes
 * @write_cache: flush requests make sense
 * @rotational: seeks cost time
 */
struct kbdus_limits {
	unsigned int logical_block_size;
	unsigned int physical_block_size;
	unsigned int max_io;
	unsigned int max_write_zeroes;
	unsigned int max_discard;
	unsigned int max_secure_erase;
	unsigned int discard_granularity;
	bool write_cache;
	bool rotational;
};

/* 6.9: limits are given at allocation; 6.11: so are the features */
#ifdef BLK_FEAT_WRITE_CACHE
static inline struct gendisk *kbdus_alloc_disk(const struct kbdus_limits *l)
{
	struct queue_limits lim = {
		.features = BLK_FEAT_IO_STAT | BLK_FEAT_NOWAIT,
		.logical_block_size = l->logical_block_size,
		.physical_block_size = l->physical_block_size,
		.max_hw_sectors = l->max_io >> SECTOR_SHIFT,
		.max_segments = USHRT_MAX,
		.max_segment_size = UINT_MAX,
		.max_write_zeroes_sectors = l->max_write_zeroes >> SECTOR_SHIFT,
		.max_hw_discard_sectors = l->max_discard >> SECTOR_SHIFT,
		.max_secure_erase_sectors = l->max_secure_erase >> SECTOR_SHIFT,
		.discard_granularity = l->discard_granularity,
	};

	if (l->write_cache)
		lim.features |= BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA;
	if (l->rotational)
		lim.features |= BLK_FEAT_ROTATIONAL;
	return blk_alloc_disk(&lim, NUMA_NO_NODE);
}
#else
static inline struct gendisk *kbdus_alloc_disk(const struct kbdus_limits *l)
{
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);
	struct request_queue *q;

	if (!disk)
		return ERR_PTR(-ENOMEM);
	q = disk->queue;
	blk_queue_logical_block_size(q, l->logical_block_size);
	blk_queue_physical_block_size(q, l->physical_block_size);
	blk_queue_max_hw_sectors(q, l->max_io >> SECTOR_SHIFT);
	blk_queue_max_segments(q, USHRT_MAX);
	blk_queue_max_segment_size(q, UINT_MAX);
	blk_queue_max_write_zeroes_sectors(q,
					   l->max_write_zeroes >> SECTOR_SHIFT);
	blk_queue_max_discard_sectors(q, l->max_discard >> SECTOR_SHIFT);
	blk_queue_max_secure_erase_sectors(q,
					   l->max_secure_erase >> SECTOR_SHIFT);
	q->limits.discard_granularity = l->discard_granularity;
	blk_queue_write_cache(q, l->write_cache, l->write_cache);
	blk_queue_flag_set(QUEUE_FLAG_IO_STAT, q);
	blk_queue_flag_set(QUEUE_FLAG_NOWAIT, q);
	if (!l->rotational)
		blk_queue_flag_set(QUEUE_FLAG_NONROT, q);
	return disk;
}
#endif

/*
 * Arrays on the stack of the data path that are written before they are read
 * must not be cleared on every call (INIT_STACK_ALL_ZERO).
 */
#ifndef __uninitialized
#define __uninitialized __attribute__((__uninitialized__))
#endif

#endif /* KBDUS_COMPAT_H */
