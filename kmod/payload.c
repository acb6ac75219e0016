// SPDX-License-Identifier: GPL-2.0
/*
 * payload.c - copies between the pages of bios (or the argument of an ioctl)
 * and the driver's memory.
 *
 * Copies run with page faults off, since a fault can sleep for ever (swap on
 * a dead disk, FUSE, userfaultfd) while the request is pinned. They use the
 * raw primitives: the pages may be a client's slab objects, which hardened
 * usercopy would refuse although it is I/O like any other.
 */
#include <linux/bio.h>
#include <linux/highmem.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "internal.h"

static void __user *user(unsigned long addr)
{
	return (void __user *)addr;
}

int kbdus_payload_to_user(struct kbdus_req *req, unsigned long addr)
{
	struct bvec_iter iter;
	struct bio_vec bv;
	unsigned long left = 0;

	if (!access_ok(user(addr), req->total))
		return -EFAULT;
	pagefault_disable();
	if (req->ioctl)
		left = raw_copy_to_user(user(addr), req->ioctl->data, req->len);
	for (; req && req->bio && !left; req = req->merged) {
		bio_for_each_segment(bv, req->bio, iter) {
			void *from = bvec_kmap_local(&bv);

			left = raw_copy_to_user(user(addr), from, bv.bv_len);
			kunmap_local(from);
			if (left)
				break;
			addr += bv.bv_len;
		}
	}
	pagefault_enable();
	return left ? -EAGAIN : 0;
}

int kbdus_payload_from_user(struct kbdus_req *req, unsigned long addr)
{
	struct bvec_iter iter;
	struct bio_vec bv;
	unsigned long left = 0;

	if (!access_ok(user(addr), req->total))
		return -EFAULT;
	pagefault_disable();
	if (req->ioctl)
		left = raw_copy_from_user(req->ioctl->data, user(addr),
					  req->len);
	for (; req && req->bio && !left; req = req->merged) {
		bio_for_each_segment(bv, req->bio, iter) {
			void *to = bvec_kmap_local(&bv);

			left = raw_copy_from_user(to, user(addr), bv.bv_len);
			kunmap_local(to);
			flush_dcache_page(bv.bv_page);
			if (left)
				break;
			addr += bv.bv_len;
		}
	}
	pagefault_enable();
	return left ? -EAGAIN : 0;
}

void kbdus_payload_zero(struct kbdus_req *req)
{
	for (; req; req = req->merged)
		zero_fill_bio(req->bio);
}

int kbdus_payload_fault_in(unsigned long addr, size_t len, bool is_write)
{
	size_t left;

	if (fatal_signal_pending(current))
		return -EINTR;
	if (is_write)
		left = fault_in_safe_writeable(user(addr), len);
	else
		left = fault_in_readable(user(addr), len);
	if (!left)
		return 0;
	return fatal_signal_pending(current) ? -EINTR : -EFAULT;
}
