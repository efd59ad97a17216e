/* Slots of one size, named by a 31-bit number that stays the same while the slot is taken. Slots
 * never move; freed slots are reused first. */
#ifndef SYNC_TABLE_SLAB_H
#define SYNC_TABLE_SLAB_H

#include "sync/table/region.h"

struct slab {
	struct region region;
	size_t slot_size;
	uint32_t max;
	uint32_t top;  /* numbers from 1 to top have been taken at least once */
	uint32_t free; /* first of the free list, 0: empty */
	uint32_t count;
};

/* slot_size: at least 4, a multiple of what the slot is to be aligned to. 0 or -ENOMEM. */
int slab_init(struct slab *slab, size_t slot_size, uint32_t max);
void slab_fini(struct slab *slab);

/* A zeroed slot; 0 when there is no memory, or max are taken. */
uint32_t slab_take(struct slab *slab);
/* The slot's first four bytes are used while it is free; the rest is zeroed. */
void slab_give(struct slab *slab, uint32_t number);

static inline void *slab_at(const struct slab *slab, uint32_t number)
{
	return slab->region.base + number * slab->slot_size;
}

#endif
