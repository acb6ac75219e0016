/* SPDX-License-Identifier: MIT */
/*
 * ranges - a list of blocks.
 */
#include <errno.h>
#include <stdlib.h>

#include "ranges.h"

int ranges_add(struct ranges *ranges, uint64_t lba, uint64_t n)
{
	struct range *last = NULL;

	ranges->n_blocks += n;
	if (ranges->n > 0)
		last = &ranges->list[ranges->n - 1];
	if (last != NULL && last->lba + last->n == lba) {
		last->n += n;
		return 0;
	}
	if (ranges->list == NULL || ranges->n == ranges->room) {
		size_t room = ranges->room * 2 + 16;
		struct range *list =
			realloc(ranges->list, room * sizeof(*list));

		if (list == NULL)
			return -ENOMEM;
		ranges->list = list;
		ranges->room = room;
	}
	ranges->list[ranges->n++] = (struct range){ lba, n };
	return 0;
}

void ranges_free(struct ranges *ranges)
{
	free(ranges->list);
	*ranges = (struct ranges){ 0 };
}
