/* Notices of the health checks (director/check/health.h) as events. A core: it gets the time, and
 * raises events in the log.
 *
 * A notice waits HEALTH_NOTICES_HOLD for others of its type. Up to HEALTH_NOTICES_SINGLE of them
 * are an event each, whose subject is the real server or the service. More are one event that
 * counts them: 100 real servers behind a dead switch are one incident. It ends when all have ended,
 * or when so few are left that each gets an event of its own. */
#ifndef DIRECTOR_EVENT_HEALTH_NOTICES_H
#define DIRECTOR_EVENT_HEALTH_NOTICES_H

#include "director/check/health.h"
#include "director/event/event_log.h"

#define HEALTH_NOTICES_HOLD (300 * USEC_PER_MSEC)
#define HEALTH_NOTICES_SINGLE 5
#define HEALTH_NOTICES_GROUPS 32 /* events that count, open at once; more join the last */

struct health_notices;

/* 0 or -ENOMEM. */
int health_notices_new(struct health_notices **ret_notices);
void health_notices_free(struct health_notices *notices);

struct health_notices_context {
	const char *director;               /* our name */
	const struct service_set *services; /* by the numbers in the notices */
	/* The name of a director, our own too; NULL: it is not known. */
	const char *(*name)(void *context, uint64_t id);
	void *context;
};

/* Takes a notice; events of several come by health_notices_tick(). Without memory it is dropped. */
void health_notices_take(struct health_notices *notices, const struct health_notice *notice,
			 const struct health_notices_context *context, struct event_log *log,
			 struct now now);
/* Raises the events that are due. Returns when to call again (mono); USEC_NEVER: nothing waits. */
usec_t health_notices_tick(struct health_notices *notices, struct event_log *log, struct now now);

/* The event of an operator's setting that was given on this director: "drain"... weight is of
 * HEALTH_SET_WEIGHT. */
void health_notices_setting(const char *director, const struct service *service,
			    const struct real_server *real, enum health_setting setting,
			    uint32_t weight, struct event *ret_event);

#endif
