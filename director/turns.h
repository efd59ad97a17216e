/* How long the turns of an event loop take: the longest, and the tail of the last
 * TURNS_WINDOW to 2 * TURNS_WINDOW. Memory only. */
#ifndef DIRECTOR_TURNS_H
#define DIRECTOR_TURNS_H

#include "proto/base.h"

#define TURNS_WINDOW (10 * USEC_PER_SEC)
#define TURNS_BUCKETS 96 /* four an octave, from 1 us on */

struct turns_window {
	usec_t began; /* mono */
	usec_t longest;
	uint64_t count;
	uint32_t buckets[TURNS_BUCKETS];
};

/* All zero at first. */
struct turns {
	usec_t longest;                 /* ever */
	struct turns_window windows[2]; /* now, and the one before */
};

/* A turn that ended at `now` (mono) took so long, without the time that it waited. */
void turns_add(struct turns *turns, usec_t now, usec_t took);

struct turns_status {
	usec_t longest, longest_lately;
	usec_t p999_lately; /* at most a fifth too high */
};

void turns_status(const struct turns *turns, usec_t now, struct turns_status *ret_status);

#endif
