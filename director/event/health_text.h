/* The texts of the health checks' events. health_notices.c raises them. */
#ifndef DIRECTOR_EVENT_HEALTH_TEXT_H
#define DIRECTOR_EVENT_HEALTH_TEXT_H

#include "director/event/health_notices.h"

/* The subject of a notice's incident: the endpoint that is checked, or the service; of a notice
 * about what is gone "". Returns text, of EVENT_SUBJECT_MAX bytes. */
char *health_text_subject(const struct health_notice *notice,
			  const struct health_notices_context *context, char *text);

/* The event of one notice, that opens or closes its incident. */
void health_text_event(const struct health_notice *notice, const char *subject,
		       const struct health_notices_context *context, struct event *ret_event);

/* An incident that is one of a group of `total`, and goes on. */
void health_text_left(enum health_notice_type type, const char *subject, unsigned int total,
		      struct event *ret_event);

/* A group of `total` incidents, of which `left` go on: opens, if left is total, or closes. names:
 * the first ones' subjects; first: the event that the first would have had, NULL when it closes. */
void health_text_group(enum health_notice_type type, const char *subject, unsigned int total,
		       unsigned int left, const char *names, const struct event *first,
		       struct event *ret_event);

#endif
