/* One director's own state of one target, from the results of its checks: `fall` bad ones in a row
 * make it down, `rise` good ones up. */
#ifndef DIRECTOR_CHECK_FALL_RISE_H
#define DIRECTOR_CHECK_FALL_RISE_H

#include "director/check/check_result.h"
#include "director/service/check.h"

enum health_verdict {
	HEALTH_UNKNOWN, /* not decided */
	HEALTH_UP,
	HEALTH_DOWN,
};

struct fall_rise {
	enum health_verdict state;
	unsigned int against; /* results in a row that differ from the state */
};

/* A result, and the verdict that is known of others: while the state is unknown, results are
 * counted against that, and one that agrees decides at once; the first one decides if there is
 * none. CHECK_UNCHANGED leaves everything as it was. True: the state has changed. */
bool fall_rise_result(struct fall_rise *state, enum check_state result, enum health_verdict known,
		      const struct check *check);

/* The next check is to follow soon. */
bool fall_rise_undecided(const struct fall_rise *state);

#endif
