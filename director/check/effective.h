/* The weights that follow for one service: from the file's weights, the verdicts, what agents and
 * the operator say, and the service's policies. A pure function: all directors that know the same
 * come to the same weights.
 *
 * 1. A real server's weight is the file's, times the agent's percentage, at least 1 if both are
 *    above 0; the operator's weight stands in place of both. One that has this weight above 0 is a
 *    *candidate*: it would take traffic if it is up.
 * 2. It is *down* by the verdict on it, unless the operator says up. No check, or no verdict yet:
 * up.
 * 3. The service is down when fewer candidates than its quorum are up (or none, without a quorum),
 *    and up again with `quorum_hysteresis` more. A service that is down gives all traffic to its
 *    sorry server; without one, and with a quorum, its VIP leaves the interface.
 * 4. All that are down are *kept*, as if they were up: when none is up and all_down is fail-open,
 * or when more than panic_threshold percent of the candidates that are checked are down. Never when
 *    the sorry server takes the traffic.
 * 5. One that comes up after having been down grows from 1 to its weight within slow_start, evenly,
 *    in steps of a second from the moment of the verdict. */
#ifndef DIRECTOR_CHECK_EFFECTIVE_H
#define DIRECTOR_CHECK_EFFECTIVE_H

#include "director/check/value.h"
#include "director/service/check.h"

struct effective_real {
	uint32_t file_weight;
	bool checked;
	enum health_verdict verdict;
	int percent;     /* the agents'; -1: they say nothing */
	usec_t up_since; /* wall; 0: it has never been down, or is */
	enum health_setting setting;
	uint32_t setting_weight;
	/* Results. */
	uint32_t weight;
	bool removed;    /* it is not to be in the kernel */
	bool out;        /* it would take traffic if it was not down */
	bool kept;       /* down, and has its weight all the same */
	bool slow_start; /* its weight is still growing */
};

struct effective_service {
	const struct health_policy *policy;
	bool has_sorry;
	bool service_down; /* as it was; then as it is */
	/* Results. */
	size_t up, down; /* candidates */
	bool panic;      /* all are kept */
	bool sorry;      /* the sorry server takes all traffic */
	bool vip_off;
	usec_t next; /* wall: the next step of a slow start; USEC_NEVER: none */
};

void effective_decide(struct effective_service *service, struct effective_real *reals, size_t count,
		      usec_t wall);

#endif
