/* Deadlines in order, by the thousand: a binary heap of what others own. Memory only. */
#ifndef DIRECTOR_CHECKER_DEADLINES_H
#define DIRECTOR_CHECKER_DEADLINES_H

#include "proto/base.h"

/* Part of the thing that has a deadline. All zero: in no heap. */
struct deadline {
	usec_t at;                                  /* mono */
	size_t place;                               /* in the heap, from 1 on; 0: in none */
	void (*expired)(struct deadline *deadline); /* the owner's; nothing here calls it */
};

/* All zero at first. */
struct deadlines {
	struct deadline **heap; /* from place 1 on */
	size_t count, allocated;
};

void deadlines_fini(struct deadlines *deadlines);

/* Adds it, or moves it to another time. 0, or -ENOMEM: only if it was in no heap. */
int deadlines_set(struct deadlines *deadlines, struct deadline *deadline, usec_t at);
/* One that is in no heap is left alone. */
void deadlines_remove(struct deadlines *deadlines, struct deadline *deadline);
/* The earliest; NULL: none. */
struct deadline *deadlines_first(const struct deadlines *deadlines);

#endif
