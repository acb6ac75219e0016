/* SPDX-License-Identifier: MIT */
/*
 * compress/ioctl.h - what can be asked of a volume while it is a disk; its
 * figures are stats.h's.
 */
#ifndef BDUS_COMPRESS_IOCTL_H
#define BDUS_COMPRESS_IOCTL_H

#include "kbdus.h"

/**
 * struct compress_recompress - argument of COMPRESS_RECOMPRESS
 * @level: of zstd, 1 to 22; 0: end
 * @reserved: 0
 */
struct compress_recompress {
	__u32 level;
	__u32 reserved;
};

/**
 * COMPRESS_RECOMPRESS - begin to pack anew what was packed by a lower level
 *
 * Needs the right to write. Errors: EINVAL, EBUSY (it is being done with
 * another level), EROFS, ENOMEM.
 */
#define COMPRESS_RECOMPRESS \
	_IOW(KBDUS_IOC_MAGIC, 0x81, struct compress_recompress)

#endif /* BDUS_COMPRESS_IOCTL_H */
