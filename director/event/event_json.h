/* An event for a machine: lvsmesh.1, "Events", documents the fields. Memory only. */
#ifndef DIRECTOR_EVENT_EVENT_JSON_H
#define DIRECTOR_EVENT_EVENT_JSON_H

#include <jansson.h>

#include "director/event/event_log.h"

/* A new object, NULL: no memory. event: one of the log's. */
json_t *event_json(const struct event_log *log, const struct event *event);

#endif
