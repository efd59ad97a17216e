/* A rate limit: a token bucket, kept as the time at which it will be full again. A zeroed one is
 * full. It holds `burst` tokens, and gets one each `interval`. Times are mono. Header only. */
#ifndef PROTO_RATE_H
#define PROTO_RATE_H

#include "proto/base.h"

struct rate {
	usec_t full_at; /* each token taken moves it one interval on */
};

/* Whether a token is left. */
static inline bool rate_allows(const struct rate *rate, usec_t interval, unsigned int burst,
			       usec_t now)
{
	return MAX(rate->full_at, now) + interval <= now + burst * interval;
}

/* Takes a token; false: none is left. */
static inline bool rate_take(struct rate *rate, usec_t interval, unsigned int burst, usec_t now)
{
	if (!rate_allows(rate, interval, burst, now))
		return false;
	rate->full_at = MAX(rate->full_at, now) + interval;
	return true;
}

#endif
