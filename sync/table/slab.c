#include "sync/table/slab.h"

#include <assert.h>

int slab_init(struct slab *slab, size_t slot_size, uint32_t max)
{
	*slab = (struct slab){.slot_size = slot_size, .max = MIN(max, (uint32_t)INT32_MAX)};
	/* Number 0 is none, and its place stays empty. */
	return region_init(&slab->region, (slab->max + (size_t)1) * slot_size);
}

void slab_fini(struct slab *slab)
{
	region_fini(&slab->region);
	*slab = (struct slab){0};
}

uint32_t slab_take(struct slab *slab)
{
	uint32_t number = slab->free;

	if (number) {
		slab->free = load_le32(slab_at(slab, number));
		store_le32(slab_at(slab, number), 0);
	} else {
		number = slab->top + 1;
		if (number > slab->max ||
		    !region_commit(&slab->region, (number + (size_t)1) * slab->slot_size))
			return 0;
		slab->top = number;
	}
	slab->count++;
	assert(slab->count <= slab->top);
	return number;
}

void slab_give(struct slab *slab, uint32_t number)
{
	uint8_t *slot = slab_at(slab, number);

	assert(number > 0 && number <= slab->top && slab->count > 0);
	memset(slot, 0, slab->slot_size);
	store_le32(slot, slab->free);
	slab->free = number;
	slab->count--;
}
