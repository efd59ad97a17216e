#include "director/config/check_pool.h"

#include <stdlib.h>

static bool same(const struct check *a, const struct check *b)
{
	return memcmp(a->digest, b->digest, CHECK_DIGEST_SIZE) == 0 &&
	       ip_addr_compare(&a->source, &b->source) == 0;
}

/* Finds the check's slot, or the free slot where it belongs; at least half of the slots are
 * free. */
static struct check **find(struct check **slots, size_t capacity, const struct check *check)
{
	size_t i = load_le32(check->digest);

	while (slots[i & (capacity - 1)] && !same(slots[i & (capacity - 1)], check))
		i++;
	return &slots[i & (capacity - 1)];
}

static bool grow(struct check_pool *pool)
{
	size_t capacity = pool->capacity ? 2 * pool->capacity : 16;
	struct check **slots = calloc(capacity, sizeof(struct check *));

	if (!slots)
		return false;
	for (size_t i = 0; i < pool->capacity; i++)
		if (pool->slots[i])
			*find(slots, capacity, pool->slots[i]) = pool->slots[i];
	free(pool->slots);
	pool->slots = slots;
	pool->capacity = capacity;
	return true;
}

const struct check *check_pool_add(struct check_pool *pool, struct check *check)
{
	struct check **slot;

	if (2 * (pool->count + 1) > pool->capacity && !grow(pool)) {
		check_free(check);
		return NULL;
	}
	slot = find(pool->slots, pool->capacity, check);
	if (*slot) {
		check_free(check);
	} else {
		*slot = check;
		pool->count++;
	}
	return *slot;
}

void check_pool_fini(struct check_pool *pool)
{
	for (size_t i = 0; i < pool->capacity; i++)
		check_free(pool->slots[i]);
	free(pool->slots);
	*pool = (struct check_pool){0};
}
