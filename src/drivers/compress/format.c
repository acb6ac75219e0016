/* SPDX-License-Identifier: MIT */
/*
 * format - checksums of the structures, and what they may contain.
 */
#include <errno.h>
#include <string.h>

#include "crc.h"
#include "format.h"

/* The checksum of a structure whose own is at @at, taken as 0. */
static uint32_t crc_without(const void *data, size_t len, size_t at)
{
	const unsigned char *bytes = data;
	uint32_t none = 0, crc = crc_update(0, bytes, at);

	crc = crc_update(crc, &none, sizeof(none));
	at += sizeof(none);
	return crc_update(crc, bytes + at, len - at);
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static bool is_power(uint64_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

void super_seal(struct super *super)
{
	super->crc =
		crc_without(super, sizeof(*super), offsetof(struct super, crc));
}

uint64_t map_pages(uint64_t size, uint32_t n_segments)
{
	struct super super = { .size = size, .n_segments = n_segments };
	uint64_t n = n_leaves(&super) + n_segment_pages(&super), sum = n;

	while (n > 1) {
		n = (n + PAGE_ENTRIES - 1) / PAGE_ENTRIES;
		sum += n;
	}
	return sum;
}

static const char *super_sizes_wrong(const struct super *super)
{
	if (super->size == 0 || super->size % BLOCK_SIZE != 0 ||
	    super->size > LOGICAL_SIZE_MAX)
		return "its size is impossible";
	if (!is_power(super->segment_size) ||
	    super->segment_size < SEGMENT_SIZE_MIN ||
	    super->segment_size > SEGMENT_SIZE_MAX)
		return "its segment size is impossible";
	if (!is_power(super->record_blocks) ||
	    super->record_blocks > RECORD_BLOCKS_MAX ||
	    super->record_blocks * BLOCK_SIZE > super->segment_size / 8)
		return "its record size is impossible";
	if (super->medium_size < LAYOUT_START ||
	    super->medium_size > MEDIUM_SIZE_MAX ||
	    super->medium_size % BLOCK_SIZE != 0)
		return "the size of its medium is impossible";
	if (super->n_segments < 4 || super->n_segments > INT32_MAX ||
	    super->n_reserve >= super->n_segments)
		return "its number of segments is impossible";
	return NULL;
}

/* An area between the superblocks? */
static bool super_has_room(const struct super *super, uint64_t off,
			   uint64_t len)
{
	uint64_t end = super->medium_size - BLOCK_SIZE;

	return off % BLOCK_SIZE == 0 && off >= 2 * BLOCK_SIZE && off <= end &&
	       len <= end - off;
}

static bool is_apart(uint64_t off, uint64_t len, uint64_t other,
		     uint64_t other_len)
{
	return off + len <= other || other + other_len <= off;
}

static const char *super_areas_wrong(const struct super *super)
{
	uint64_t map = map_pages(super->size, super->n_segments) * BLOCK_SIZE;
	uint64_t log = (uint64_t)super->n_segments * super->segment_size;

	if (!super_has_room(super, super->map_off[0], map) ||
	    !super_has_room(super, super->map_off[1], map) ||
	    !super_has_room(super, super->segments_off, log))
		return "an area is not on its medium";
	if (!is_apart(super->map_off[0], map, super->map_off[1], map) ||
	    !is_apart(super->map_off[0], map, super->segments_off, log) ||
	    !is_apart(super->map_off[1], map, super->segments_off, log))
		return "two areas overlap";
	return NULL;
}

static const char *super_state_wrong(const struct super *super)
{
	const struct position *position = &super->position;

	if (position->segment >= super->n_segments ||
	    position->next >= super->n_segments ||
	    position->off > super->segment_size ||
	    position->batch > NUMBER_MAX || position->sequence > NUMBER_MAX ||
	    position->off % BLOCK_SIZE != 0)
		return "its place in the log is impossible";
	if (super->level < 0 || super->level > LEVEL_MAX)
		return "its level is impossible";
	if (super->root.flags & ~(PAGE_PRESENT | PAGE_SLOT))
		return "the root of its map is impossible";
	if (super->label[sizeof(super->label) - 1] != '\0')
		return "its label has no end";
	if (super->flags & ~SUPER_FLAGS_KNOWN)
		return "it has unknown flags";
	if (!is_zero(super->zero, sizeof(super->zero)))
		return "it has unknown fields";
	return NULL;
}

int super_check(const struct super *super, uint64_t medium_size,
		const char **reason)
{
	*reason = "is no compressed volume";
	if (memcmp(super->magic, FORMAT_MAGIC, sizeof(super->magic)) != 0)
		return -ENOENT;
	*reason = "the superblock's checksum is wrong";
	if (super->crc !=
	    crc_without(super, sizeof(*super), offsetof(struct super, crc)))
		return -EBADMSG;
	*reason = "has an unknown version or feature";
	if (super->version != FORMAT_VERSION || super->incompat != 0)
		return -ENOTSUP;
	*reason = super_sizes_wrong(super);
	if (*reason == NULL)
		*reason = super_areas_wrong(super);
	if (*reason == NULL)
		*reason = super_state_wrong(super);
	if (*reason != NULL)
		return -EBADMSG;
	*reason = "is longer than what it is on";
	return super->medium_size <= medium_size ? 0 : -ENOTSUP;
}

uint32_t page_seal(struct page *page, const struct super *super,
		   uint64_t number)
{
	page->magic = PAGE_MAGIC;
	page->nonce = super->nonce;
	page->number = number;
	page->generation = super->generation;
	page->crc =
		crc_without(page, sizeof(*page), offsetof(struct page, crc));
	return page->crc;
}

bool page_is_valid(const struct page *page, const struct super *super,
		   uint64_t number, uint32_t crc)
{
	return page->magic == PAGE_MAGIC && page->nonce == super->nonce &&
	       page->number == number && page->crc == crc &&
	       page->crc == crc_without(page, sizeof(*page),
					offsetof(struct page, crc));
}

void segment_head_seal(struct segment_head *head, const struct super *super)
{
	head->magic = SEGMENT_MAGIC;
	head->nonce = super->nonce;
	head->crc = crc_without(head, sizeof(*head),
				offsetof(struct segment_head, crc));
}

bool segment_head_is_valid(const struct segment_head *head,
			   const struct super *super, uint32_t segment)
{
	return head->magic == SEGMENT_MAGIC && head->nonce == super->nonce &&
	       head->segment == segment && head->next < super->n_segments &&
	       head->batch < NUMBER_MAX && head->sequence < NUMBER_MAX &&
	       head->crc == crc_without(head, sizeof(*head),
					offsetof(struct segment_head, crc));
}

static uint32_t batch_crc(const struct batch_head *head)
{
	uint32_t crc = crc_without(head, sizeof(*head),
				   offsetof(struct batch_head, crc));
	const struct record *record = record_first(head);

	for (uint32_t i = 0; i < head->n_records; i++) {
		crc = crc_update(crc, &record->crc, sizeof(record->crc));
		record = record_next(record);
	}
	return crc;
}

void batch_seal(struct batch_head *head, const struct super *super)
{
	head->magic = BATCH_MAGIC;
	head->nonce = super->nonce;
	head->crc = batch_crc(head);
}

/* All records are in the batch and whole, perhaps but for their payloads? */
static bool batch_records_valid(const struct batch_head *head,
				const struct super *super, bool has_payloads)
{
	const struct record *record = record_first(head);
	uint32_t left = head->len - (uint32_t)sizeof(*head);

	for (uint32_t i = 0; i < head->n_records; i++) {
		if (left < sizeof(*record) || !record_is_valid(record, super) ||
		    record_size(record) > left)
			return false;
		if (has_payloads &&
		    record->data_crc != crc_update(0, record + 1, record->len))
			return false;
		left -= record_size(record);
		record = record_next(record);
	}
	return true;
}

static bool batch_check(const struct batch_head *head,
			const struct super *super, uint32_t room,
			bool has_payloads)
{
	return head->magic == BATCH_MAGIC && head->nonce == super->nonce &&
	       head->len >= BLOCK_SIZE && head->len % BLOCK_SIZE == 0 &&
	       head->len <= room && head->len <= BATCH_MAX &&
	       head->n_records <= BATCH_RECORDS_MAX &&
	       head->batch < NUMBER_MAX &&
	       head->sequence <= NUMBER_MAX - head->n_records &&
	       batch_records_valid(head, super, has_payloads) &&
	       head->crc == batch_crc(head);
}

bool batch_is_valid(const struct batch_head *head, const struct super *super,
		    uint32_t room)
{
	return batch_check(head, super, room, true);
}

bool batch_is_listed(const struct batch_head *head, const struct super *super,
		     uint32_t room)
{
	return batch_check(head, super, room, false);
}

static uint32_t record_crc(const struct record *record,
			   const struct super *super)
{
	uint32_t crc = crc_update(0, &super->nonce, sizeof(super->nonce));

	return crc_update(crc, &record->data_crc,
			  sizeof(*record) - offsetof(struct record, data_crc));
}

void record_seal(struct record *record, const struct super *super)
{
	record->crc = record_crc(record, super);
}

static bool record_makes_sense(const struct record *record)
{
	bool has_data =
		record->type == RECORD_DATA || record->type == RECORD_MOVE;
	uint32_t max = has_data ? record->n_blocks * BLOCK_SIZE : 0;

	if (record->type < RECORD_DATA || record->type > RECORD_CHECKPOINT ||
	    record->algorithm > ALGORITHM_ZSTD ||
	    record->n_blocks > PAGE_ENTRIES ||
	    (record->n_blocks == 0 && record->type != RECORD_CHECKPOINT))
		return false;
	if (has_data &&
	    (record->n_blocks > RECORD_BLOCKS_MAX || record->len == 0))
		return false;
	if (has_data && record->algorithm == ALGORITHM_RAW)
		return record->len == max;
	return record->len <= max;
}

bool record_is_valid(const struct record *record, const struct super *super)
{
	uint64_t n_blocks = super->size / BLOCK_SIZE;

	if (record->crc != record_crc(record, super) ||
	    !record_makes_sense(record))
		return false;
	return record->lba < n_blocks &&
	       record->n_blocks <= n_blocks - record->lba &&
	       record->lba % PAGE_ENTRIES + record->n_blocks <= PAGE_ENTRIES;
}
