#include "director/checker/deadlines.h"

#include <stdlib.h>

#define ALLOCATED_MIN 64

static void put(struct deadlines *deadlines, size_t place, struct deadline *deadline)
{
	deadlines->heap[place] = deadline;
	deadline->place = place;
}

/* Moves it from its place to the one that its time gives it. */
static void sift(struct deadlines *deadlines, struct deadline *deadline)
{
	struct deadline **heap = deadlines->heap;
	size_t place = deadline->place, child;

	for (; place > 1 && heap[place / 2]->at > deadline->at; place /= 2)
		put(deadlines, place, heap[place / 2]);
	while ((child = place * 2) <= deadlines->count) {
		if (child < deadlines->count && heap[child + 1]->at < heap[child]->at)
			child++;
		if (heap[child]->at >= deadline->at)
			break;
		put(deadlines, place, heap[child]);
		place = child;
	}
	put(deadlines, place, deadline);
}

static int grow(struct deadlines *deadlines)
{
	size_t allocated = MAX(deadlines->allocated * 2, (size_t)ALLOCATED_MIN);
	struct deadline **heap = realloc(deadlines->heap, allocated * sizeof(struct deadline *));

	if (!heap)
		return -ENOMEM;
	deadlines->heap = heap;
	deadlines->allocated = allocated;
	return 0;
}

void deadlines_fini(struct deadlines *deadlines)
{
	free(deadlines->heap);
	*deadlines = (struct deadlines){0};
}

int deadlines_set(struct deadlines *deadlines, struct deadline *deadline, usec_t at)
{
	if (!deadline->place) {
		if (deadlines->count + 1 >= deadlines->allocated && grow(deadlines) < 0)
			return -ENOMEM;
		put(deadlines, ++deadlines->count, deadline);
	}
	deadline->at = at;
	sift(deadlines, deadline);
	return 0;
}

void deadlines_remove(struct deadlines *deadlines, struct deadline *deadline)
{
	struct deadline *last;
	size_t place = deadline->place;

	if (!place)
		return;
	deadline->place = 0;
	last = deadlines->heap[deadlines->count--];
	if (last == deadline)
		return;
	put(deadlines, place, last);
	sift(deadlines, last);
}

struct deadline *deadlines_first(const struct deadlines *deadlines)
{
	return deadlines->count ? deadlines->heap[1] : NULL;
}
