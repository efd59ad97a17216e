#include "proto/arena.h"

#include <stdalign.h>

static void *arena_alloc(void *cookie, size_t size)
{
	struct arena *arena = cookie;
	size_t align = alignof(max_align_t);
	uint8_t *p = arena->at;

	if (size > (size_t)(arena->end - p))
		return NULL;
	size = (size + align - 1) / align * align;
	arena->at += MIN(size, (size_t)(arena->end - p));
	return p;
}

static void arena_release(void *cookie, void *p)
{
	(void)cookie;
	(void)p;
}

void arena_init(struct arena *arena, void *data, size_t cap)
{
	arena->allocator.alloc = arena_alloc;
	arena->allocator.free = arena_release;
	arena->allocator.allocator_data = arena;
	arena->at = data;
	arena->end = arena->at + cap;
}
