/* What membership notices, in words: as events for those that are told, and as lines of the
 * evidence log for those who ask afterwards who suspected whom, when, on what. Memory only. */
#ifndef DIRECTOR_NOTICES_H
#define DIRECTOR_NOTICES_H

#include "director/event.h"
#include "membership/membership.h"

/* Fills in the event; director: our name. false: it is none, but a line of the log. */
bool notice_event(const struct membership *membership, const char *director,
		  const struct membership_notice *notice, struct event *ret_event);

#define NOTICE_LINE_MAX 512
/* Returns line. */
char *notice_line(const struct membership *membership, const char *director,
		  const struct membership_notice *notice, char line[NOTICE_LINE_MAX]);

/* "refused, witness": bit number i's name, NULL: there are no more. */
const char *notice_evidence_name(unsigned int i);

#endif
