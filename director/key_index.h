/* Finds things in an array by a key that is a hash already: open addressing, linear probing. The
 * array is the caller's: `first` is the key of its element 0, `stride` the distance to the next. */
#ifndef DIRECTOR_KEY_INDEX_H
#define DIRECTOR_KEY_INDEX_H

#include "proto/base.h"

#define KEY_SIZE 16
#define KEY_INDEX_NONE UINT32_MAX

struct key_index {
	uint32_t *cells; /* numbers of elements, KEY_INDEX_NONE: free */
	size_t size;     /* a power of two, or 0 */
	size_t count;
};

/* Room for count keys in all: 0, or -ENOMEM and nothing changed. */
int key_index_reserve(struct key_index *index, size_t count, const void *first, size_t stride);
void key_index_fini(struct key_index *index);

/* The number of the element with that key; KEY_INDEX_NONE: none. */
uint32_t key_index_find(const struct key_index *index, const void *first, size_t stride,
			const uint8_t *key);
/* The key is not there, and there is room. */
void key_index_add(struct key_index *index, const uint8_t *key, uint32_t number);
/* The key is there. */
void key_index_remove(struct key_index *index, const void *first, size_t stride, uint32_t number);

#endif
