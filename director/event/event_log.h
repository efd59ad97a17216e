/* Decides which events are reported, and keeps the last of them. A core: the caller that raises an
 * event gives the time.
 *
 * Raising states a condition, and may be repeated at every look: an incident that is open is not
 * opened again, one that is not open is not closed. Rate limit: at most one opening (or single
 * event) a minute of one kind and subject is reported; a sooner one waits for the minute to end,
 * and is then reported if it is still so, with the number of those suppressed. A closing is
 * reported at once; closing an incident that was held back reports nothing.
 *
 * Evidence is kept apart, in order of arrival, for requests.
 *
 * Everything is bounded: the last EVENT_LOG_KEPT events are kept, as many of evidence, and
 * EVENT_LOG_SUBJECTS pairs of kind and subject. Incidents do not outlive the process. */
#ifndef DIRECTOR_EVENT_EVENT_LOG_H
#define DIRECTOR_EVENT_EVENT_LOG_H

#include "director/event/event.h"

#define EVENT_LOG_KEPT 256
#define EVENT_LOG_SUBJECTS 1024
#define EVENT_LOG_QUIET (60 * USEC_PER_SEC)

struct event_log;

/* director: its name, copied; epoch: its boot epoch. 0 or -ENOMEM. */
int event_log_new(const char *director, uint64_t epoch, struct event_log **ret_log);
void event_log_free(struct event_log *log);

/* event: as event_init() and so on made it. Returns whether it was reported now. */
bool event_log_raise(struct event_log *log, const struct event *event, struct now now);

/* Reports events that were held back and are due; returns when to call again (mono), USEC_NEVER:
 * nothing is held back. */
usec_t event_log_timeout(struct event_log *log, struct now now);

/* The first event behind *cursor, which is moved to it; 0 is before all. NULL: no more. *ret_lost
 * is raised by those that are no longer kept. The event is good until the next is raised. */
const struct event *event_log_next(const struct event_log *log, uint64_t *cursor,
				   uint64_t *ret_lost);
/* The cursors before the first that is kept and behind the last one. */
uint64_t event_log_begin(const struct event_log *log);
uint64_t event_log_end(const struct event_log *log);

/* The same of evidence, whose ids are its own. */
const struct event *event_log_evidence(const struct event_log *log, uint64_t *cursor,
				       uint64_t *ret_lost);
uint64_t event_log_evidence_begin(const struct event_log *log);
uint64_t event_log_evidence_end(const struct event_log *log);

/* The incidents that are open, one a call, as their last event says; *i starts at 0. NULL: no more.
 */
const struct event *event_log_incident(const struct event_log *log, unsigned int *i);
/* The one of this kind (an opener) and subject, NULL: it is not open. */
const struct event *event_log_find(const struct event_log *log, enum event_kind kind,
				   const char *subject);

const char *event_log_director(const struct event_log *log);
/* An event's public id, unique among all directors and boots: "d1-1763880811-7". Returns text. */
#define EVENT_ID_TEXT 112
char *event_log_id(const struct event_log *log, uint64_t id, char text[EVENT_ID_TEXT]);

struct event_log_counts {
	uint64_t reported, evidence;
	uint64_t suppressed; /* held back, and not so any more or merged when it was due */
	uint64_t untracked;  /* left out: more subjects than are kept */
};

void event_log_counts(const struct event_log *log, struct event_log_counts *ret_counts);

#endif
