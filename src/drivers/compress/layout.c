/* SPDX-License-Identifier: MIT */
/*
 * layout - making a volume, and finding its superblock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rooms.h"

#define SEGMENT_DEFAULT (8U << 20)
#define SEGMENTS_WANTED 64U
#define RESERVE_MIN 8U

/*
 * What of a segment holds records for sure: not its head, nor the end, where
 * the largest record and a batch's end no longer fit, nor the heads and ends of
 * batches. Where as much as this, or less, is copied by the cleaner, there is
 * room behind it for more: so the live data of a segment that is full is more
 * than this, and a segment with less can be gained from.
 */
uint64_t layout_payload(const struct super *super)
{
	uint64_t batches = (super->segment_size / BATCH_MAX + 1) *
			   (BLOCK_SIZE + UNIT_SIZE);

	/* of those that are not as long as they could be */
	if (batches < super->segment_size / 128)
		batches = super->segment_size / 128;
	return super->segment_size - 2 * BLOCK_SIZE - log_record_room(super) -
	       batches;
}

uint64_t layout_usable(const struct super *super)
{
	return (super->n_segments - super->n_reserve) * layout_payload(super);
}

/* A block that cannot be packed, with its record's header. */
uint64_t layout_fits(const struct super *super)
{
	return layout_usable(super) / (BLOCK_SIZE + UNIT_SIZE) * BLOCK_SIZE;
}

bool layout_is_overcommitted(const struct super *super)
{
	return super->size > layout_fits(super);
}

static uint64_t layout_align(uint64_t off)
{
	return (off + LAYOUT_START - 1) / LAYOUT_START * LAYOUT_START;
}

void layout_reserve(struct super *super)
{
	super->n_reserve = super->n_segments / 10;
	if (super->n_reserve < RESERVE_MIN)
		super->n_reserve = RESERVE_MIN;
}

/* Place all for that many segments. Return: whether it fits the medium. */
static bool layout_place(struct super *super, uint64_t size)
{
	uint64_t map, end;

	layout_reserve(super);
	super->size = size != 0 ? size : layout_fits(super);
	map = map_pages(super->size, super->n_segments) * BLOCK_SIZE;
	super->map_off[0] = LAYOUT_START;
	super->map_off[1] = layout_align(super->map_off[0] + map);
	super->segments_off = layout_align(super->map_off[1] + map);
	end = segment_off(super, super->n_segments) + BLOCK_SIZE;
	return end <= super->medium_size;
}

static uint32_t layout_segment_size(uint64_t medium_size)
{
	uint32_t size = SEGMENT_DEFAULT;

	while (size > SEGMENT_SIZE_MIN && medium_size / size < SEGMENTS_WANTED)
		size /= 2;
	return size;
}

static uint32_t layout_record_blocks(uint32_t segment_size)
{
	uint32_t n = 8;

	while (n * BLOCK_SIZE > segment_size / 8)
		n /= 2;
	return n;
}

static const char *layout_make(struct super *super,
			       const struct format_options *options)
{
	uint64_t n;

	if (super->medium_size > MEDIUM_SIZE_MAX)
		return "is larger than 64 TiB";
	if (options->size > LOGICAL_SIZE_MAX || options->size % BLOCK_SIZE != 0)
		return "the size of the disk has to be a multiple of 4096";
	n = super->medium_size / super->segment_size;
	super->n_segments = n > INT32_MAX ? INT32_MAX : (uint32_t)n;
	while (super->n_segments > 2 * RESERVE_MIN &&
	       !layout_place(super, options->size))
		super->n_segments--;
	if (super->n_segments <= 2 * RESERVE_MIN)
		return "is too small";
	if (options->size > layout_fits(super) && !options->may_overcommit)
		return "is too small for a disk of that size";
	return NULL;
}

/* Nothing is to be taken for a volume until all of it is there. */
static int layout_wipe(struct medium *medium, const struct super *super)
{
	unsigned char *zeroes = calloc(1, BLOCK_SIZE);
	uint64_t offs[] = { SUPER_OFF(0), SUPER_OFF(1),
			    super->medium_size - BLOCK_SIZE };
	int error = zeroes == NULL ? -ENOMEM : 0;

	for (int i = 0; error == 0 && i < 3; i++)
		error = medium->write(medium, zeroes, BLOCK_SIZE, offs[i]);
	free(zeroes);
	return error != 0 ? error : medium->sync(medium);
}

static void layout_fill_in(struct super *super,
			   const struct format_options *options)
{
	memcpy(super->magic, FORMAT_MAGIC, sizeof(super->magic));
	super->version = FORMAT_VERSION;
	super->generation = 1;
	memcpy(super->uuid, options->uuid, sizeof(super->uuid));
	super->nonce = options->nonce;
	super->level = options->level;
	super->flags = SUPER_CLEAN;
	super->position = (struct position){
		.session = 1, .batch = 1, .sequence = 1, .segment = 0, .next = 1
	};
	if (options->label != NULL)
		strncpy(super->label, options->label, sizeof(super->label) - 1);
}

int engine_format(struct medium *medium, const struct format_options *options,
		  struct super *super, const char **reason)
{
	uint64_t medium_size = medium->size & ~(uint64_t)(BLOCK_SIZE - 1);
	int error;

	memset(super, 0, sizeof(*super));
	super->medium_size = medium_size;
	super->segment_size = options->segment_size != 0 ?
				      options->segment_size :
				      layout_segment_size(medium_size);
	super->record_blocks =
		options->record_blocks != 0 ?
			options->record_blocks :
			layout_record_blocks(super->segment_size);
	*reason = layout_make(super, options);
	if (*reason != NULL)
		return -EINVAL;
	layout_fill_in(super, options);
	super_seal(super);
	error = super_check(super, medium->size, reason);
	if (error != 0)
		return -EINVAL;
	error = layout_wipe(medium, super);
	if (error == 0)
		error = checkpoint_write_last(medium, super);
	if (error == 0)
		error = checkpoint_write_super(medium, super);
	return error;
}

int layout_read(struct medium *medium, uint64_t off, struct super *super,
		const char **reason)
{
	int error;

	*reason = "cannot be read";
	if (off > medium->size || medium->size - off < sizeof(*super)) {
		*reason = "is too small";
		return -ENOENT;
	}
	error = medium->read(medium, super, sizeof(*super), off);
	return error != 0 ? error : super_check(super, medium->size, reason);
}

int engine_read_super(struct medium *medium, struct super *super,
		      bool *is_whole, const char **reason)
{
	struct super supers[2];
	const char *reasons[2] = { NULL, NULL };
	int errors[2], best = 0;

	for (int i = 0; i < 2; i++)
		errors[i] = layout_read(medium, SUPER_OFF(i), &supers[i],
					&reasons[i]);
	*is_whole = errors[0] == 0 && errors[1] == 0 &&
		    memcmp(&supers[0], &supers[1], sizeof(supers[0])) == 0;
	/* no superblock is less than a bad one */
	if (errors[0] != 0 && (errors[1] == 0 || errors[0] == -ENOENT))
		best = 1;
	if (errors[0] == 0 && errors[1] == 0 &&
	    supers[1].generation > supers[0].generation)
		best = 1;
	*super = supers[best];
	*reason = reasons[best];
	return errors[best];
}
