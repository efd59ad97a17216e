/* When each of many numbered things is due: a heap that knows where each number lies, so that a
 * time is changed in place. */
#ifndef DIRECTOR_CHECK_SCHEDULE_H
#define DIRECTOR_CHECK_SCHEDULE_H

#include "director/service/check.h"
#include "proto/chance.h"

struct schedule {
	struct schedule_item {
		usec_t due; /* mono */
		uint32_t number;
	} * heap;
	uint32_t count;
	uint32_t *places; /* of each number in the heap, plus one; 0: it is not due */
	size_t room;      /* numbers below it */
};

/* Room for numbers below `numbers`: 0, or -ENOMEM and nothing changed. */
int schedule_reserve(struct schedule *schedule, size_t numbers);
void schedule_fini(struct schedule *schedule);

/* USEC_NEVER: it is not due any more. */
void schedule_set(struct schedule *schedule, uint32_t number, usec_t due);
/* The earliest; USEC_NEVER: none. */
usec_t schedule_first(const struct schedule *schedule);
/* Takes the next number out that is due; false: none is. */
bool schedule_take(struct schedule *schedule, usec_t now, uint32_t *ret_number);

/* The time between the begins of two checks: the interval, shortened by up to `jitter` percent, so
 * that no two directors and no two targets stay in step, and what `fall` intervals promise holds.
 * fast: undecided. */
usec_t schedule_interval(const struct check *check, bool fast, struct chance *chance);
/* The time until a new target's first check: anywhere within its fast interval. */
usec_t schedule_first_check(const struct check *check, struct chance *chance);
/* The same after the check that decided a new target's state: anywhere within the
 * interval, so that a thousand targets that began together spread over it. */
usec_t schedule_spread(const struct check *check, struct chance *chance);
/* A real server that goes down behind our back is known as down after so long at most. */
usec_t schedule_bound(const struct check *check);

#endif
