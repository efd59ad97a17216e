/* Slots of one size, named by a 31-bit number that stays the same while the slot is taken. Grows by
 * chunks, so that slots never move; a freed slot is taken again first. */
#ifndef SYNC_SLAB_H
#define SYNC_SLAB_H

#include "proto/base.h"

struct slab {
	uint8_t **chunks;
	size_t slot_size;
	uint32_t chunks_len, chunks_cap;
	uint32_t top;  /* numbers from 1 to top have been taken at least once */
	uint32_t free; /* first of the free list, 0: empty */
	uint32_t count;
};

/* slot_size: at least 4; slots are aligned to 8. */
void slab_init(struct slab *slab, size_t slot_size);
void slab_fini(struct slab *slab);

/* A zeroed slot; 0 when there is no memory. */
uint32_t slab_take(struct slab *slab);
/* The slot's first four bytes are used while it is free; the rest is zeroed. */
void slab_give(struct slab *slab, uint32_t number);

#define SLAB_CHUNK 1024u

static inline void *slab_at(const struct slab *slab, uint32_t number)
{
	return slab->chunks[number / SLAB_CHUNK] + (number % SLAB_CHUNK) * slab->slot_size;
}

#endif
