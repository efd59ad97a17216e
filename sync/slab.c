#include "sync/slab.h"

#include <stdlib.h>

void slab_init(struct slab *slab, size_t slot_size)
{
	*slab = (struct slab){.slot_size = (slot_size + 7) & ~(size_t)7};
}

void slab_fini(struct slab *slab)
{
	for (uint32_t i = 0; i < slab->chunks_len; i++)
		free(slab->chunks[i]);
	free(slab->chunks);
	*slab = (struct slab){0};
}

static bool slab_grow(struct slab *slab)
{
	uint8_t *chunk;

	if (slab->chunks_len == slab->chunks_cap) {
		uint32_t cap = slab->chunks_cap ? slab->chunks_cap * 2 : 16;
		uint8_t **chunks = realloc(slab->chunks, cap * sizeof(*chunks));

		if (!chunks)
			return false;
		slab->chunks = chunks;
		slab->chunks_cap = cap;
	}
	chunk = calloc(SLAB_CHUNK, slab->slot_size);
	if (!chunk)
		return false;
	slab->chunks[slab->chunks_len++] = chunk;
	return true;
}

uint32_t slab_take(struct slab *slab)
{
	uint32_t number = slab->free;

	if (number) {
		slab->free = load_le32(slab_at(slab, number));
		memset(slab_at(slab, number), 0, sizeof(uint32_t));
	} else {
		number = slab->top + 1;
		if (number > INT32_MAX ||
		    (number / SLAB_CHUNK >= slab->chunks_len && !slab_grow(slab)))
			return 0;
		slab->top = number;
	}
	slab->count++;
	return number;
}

void slab_give(struct slab *slab, uint32_t number)
{
	uint8_t *slot = slab_at(slab, number);

	memset(slot, 0, slab->slot_size);
	store_le32(slot, slab->free);
	slab->free = number;
	slab->count--;
}
