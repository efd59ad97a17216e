/* Shared by the files that make the status, and by no others. */
#ifndef DIRECTOR_CONTROL_STATUS_PRIVATE_H
#define DIRECTOR_CONTROL_STATUS_PRIVATE_H

#include "director/control/status.h"

static inline json_int_t number(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : (json_int_t)value;
}

/* Whole seconds. */
static inline json_int_t since(usec_t then, struct now now)
{
	return then < now.mono ? number((now.mono - then) / USEC_PER_SEC) : 0;
}

/* status_sync.c: the table's part of `status`. */
json_t *status_entries(const struct sync_status *sync);

/* status_health.c: the real servers of all services, null without checks. */
json_t *status_health(const struct status_facts *facts);

#endif
