#include "director/key_index.h"

#include <stdlib.h>

static const uint8_t *key_of(const void *first, size_t stride, uint32_t number)
{
	return (const uint8_t *)first + number * stride;
}

static size_t home(const struct key_index *index, const uint8_t *key)
{
	return load_le64(key) & (index->size - 1);
}

static size_t next(const struct key_index *index, size_t cell)
{
	return (cell + 1) & (index->size - 1);
}

static size_t cell_find(const struct key_index *index, const void *first, size_t stride,
			const uint8_t *key)
{
	size_t cell = home(index, key);

	while (index->cells[cell] != KEY_INDEX_NONE &&
	       memcmp(key_of(first, stride, index->cells[cell]), key, KEY_SIZE) != 0)
		cell = next(index, cell);
	return cell;
}

int key_index_reserve(struct key_index *index, size_t count, const void *first, size_t stride)
{
	struct key_index larger = {.size = 16};

	while (larger.size < 2 * count)
		larger.size *= 2;
	if (larger.size <= index->size)
		return 0;
	larger.cells = malloc(larger.size * sizeof(*larger.cells));
	if (!larger.cells)
		return -ENOMEM;
	memset(larger.cells, 0xff, larger.size * sizeof(*larger.cells));
	for (size_t i = 0; i < index->size; i++)
		if (index->cells[i] != KEY_INDEX_NONE)
			key_index_add(&larger, key_of(first, stride, index->cells[i]),
				      index->cells[i]);
	free(index->cells);
	*index = larger;
	return 0;
}

void key_index_fini(struct key_index *index)
{
	free(index->cells);
	*index = (struct key_index){0};
}

uint32_t key_index_find(const struct key_index *index, const void *first, size_t stride,
			const uint8_t *key)
{
	return index->size ? index->cells[cell_find(index, first, stride, key)] : KEY_INDEX_NONE;
}

void key_index_add(struct key_index *index, const uint8_t *key, uint32_t number)
{
	size_t cell = home(index, key);

	assert(2 * (index->count + 1) <= index->size);
	while (index->cells[cell] != KEY_INDEX_NONE)
		cell = next(index, cell);
	index->cells[cell] = number;
	index->count++;
}

/* The keys behind the gap that a search would no longer reach move into it. */
void key_index_remove(struct key_index *index, const void *first, size_t stride, uint32_t number)
{
	size_t gap = cell_find(index, first, stride, key_of(first, stride, number));

	assert(index->cells[gap] == number);
	for (size_t cell = next(index, gap); index->cells[cell] != KEY_INDEX_NONE;
	     cell = next(index, cell)) {
		size_t from = home(index, key_of(first, stride, index->cells[cell]));

		if (((cell - from) & (index->size - 1)) < ((cell - gap) & (index->size - 1)))
			continue;
		index->cells[gap] = index->cells[cell];
		gap = cell;
	}
	index->cells[gap] = KEY_INDEX_NONE;
	index->count--;
}
