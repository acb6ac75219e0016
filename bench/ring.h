/* SPDX-License-Identifier: MIT */
/*
 * ring.h - an io_uring by its system calls, as much of it as is needed here.
 *
 * One thread uses a ring. Submission and completion entries are of the size
 * that the set-up flags say (IORING_SETUP_SQE128).
 */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What a good program asks for: no interrupts, completions when it waits. */
#define RING_FAST (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)

struct ring {
	int fd, enter_fd; /* the second one may be a registered index */
	unsigned int sqe_size, enter_flags;
	unsigned int *sq_tail, *sq_mask, *cq_head, *cq_tail, *cq_mask;
	unsigned int tail, submitted; /* ours; the kernel's lag behind */
	unsigned char *sqes;
	struct io_uring_cqe *cqes;
};

static inline void *ring_map(int fd, size_t len, uint64_t off)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, fd, (off_t)off);
}

/* Entry i is always in place i: the indirection array is set up once. */
static inline void ring_fill_array(unsigned int *array, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		array[i] = i;
}

static inline int ring_map_all(struct ring *ring,
			       const struct io_uring_params *p)
{
	size_t sq_len = p->sq_off.array + p->sq_entries * sizeof(unsigned int);
	size_t cq_len =
		p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	unsigned char *rings;

	rings = ring_map(ring->fd, sq_len > cq_len ? sq_len : cq_len,
			 IORING_OFF_SQ_RING);
	ring->sqes = ring_map(ring->fd, (size_t)p->sq_entries * ring->sqe_size,
			      IORING_OFF_SQES);
	if (rings == MAP_FAILED || ring->sqes == MAP_FAILED)
		return -1;
	ring->sq_tail = (unsigned int *)(rings + p->sq_off.tail);
	ring->sq_mask = (unsigned int *)(rings + p->sq_off.ring_mask);
	ring->cq_head = (unsigned int *)(rings + p->cq_off.head);
	ring->cq_tail = (unsigned int *)(rings + p->cq_off.tail);
	ring->cq_mask = (unsigned int *)(rings + p->cq_off.ring_mask);
	ring->cqes = (struct io_uring_cqe *)(rings + p->cq_off.cqes);
	ring_fill_array((unsigned int *)(rings + p->sq_off.array),
			p->sq_entries);
	return 0;
}

static inline int ring_register(struct ring *ring, unsigned int op,
				const void *arg, unsigned int n)
{
	return (int)syscall(SYS_io_uring_register, ring->fd, op, arg, n);
}

/*
 * The calling thread must be the one that uses it. Registers the ring's own
 * descriptor, which saves a look-up per system call. Return: 0, or -1 with
 * errno set.
 */
static inline int ring_open(struct ring *ring, unsigned int entries,
			    unsigned int flags)
{
	struct io_uring_params params = { .flags = flags };
	struct io_uring_rsrc_update update = { .offset = -1U };

	memset(ring, 0, sizeof(*ring));
	ring->fd = (int)syscall(SYS_io_uring_setup, entries, &params);
	if (ring->fd < 0)
		return -1;
	ring->sqe_size = flags & IORING_SETUP_SQE128 ? 128 : 64;
	if (ring_map_all(ring, &params) != 0)
		return -1;
	update.data = (uint64_t)ring->fd;
	ring->enter_fd = ring->fd;
	ring->enter_flags = IORING_ENTER_GETEVENTS;
	if (ring_register(ring, IORING_REGISTER_RING_FDS, &update, 1) == 1) {
		ring->enter_fd = (int)update.offset;
		ring->enter_flags |= IORING_ENTER_REGISTERED_RING;
	}
	return 0;
}

/* The next entry, to be filled in; there must be room for it. */
static inline struct io_uring_sqe *ring_sqe(struct ring *ring)
{
	unsigned int index = ring->tail++ & *ring->sq_mask;

	return (struct io_uring_sqe *)(ring->sqes +
				       (size_t)index * ring->sqe_size);
}

/* Submit what was filled in and wait for some. Return: as the system call. */
static inline int ring_enter(struct ring *ring, unsigned int min_complete)
{
	int n;

	__atomic_store_n(ring->sq_tail, ring->tail, __ATOMIC_RELEASE);
	n = (int)syscall(SYS_io_uring_enter, ring->enter_fd,
			 ring->tail - ring->submitted, min_complete,
			 ring->enter_flags, NULL, 0);
	if (n > 0)
		ring->submitted += (unsigned int)n;
	return n;
}

/* Return: user_data (below 2^31) of the next completion, or -1: none. */
static inline int ring_reap(struct ring *ring, int *res)
{
	unsigned int head = *ring->cq_head;
	const struct io_uring_cqe *cqe = &ring->cqes[head & *ring->cq_mask];
	int data;

	if (head == __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE))
		return -1;
	*res = cqe->res;
	data = (int)cqe->user_data;
	__atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
	return data;
}

#endif /* BENCH_RING_H */
