/* Membership's notices as events. Some are only evidence, to find out afterwards who suspected
 * whom, when, on what. Memory only. */
#ifndef DIRECTOR_EVENT_NOTICES_H
#define DIRECTOR_EVENT_NOTICES_H

#include "director/event/event.h"
#include "membership/membership.h"

/* Fills in the event; director: our name. changed: for the end of a split, how many of our
 * connections, changed on both sides, gave way. */
void notices_event(const struct membership *membership, const char *director,
		   const struct membership_notice *notice, uint64_t changed,
		   struct event *ret_event);

/* "d2, d3 | d4": those on one side of a bar don't reach those on the other; or pairs, "d1-d3,
 * d2-d4"; " ..." if not all have room. */
void notices_cut(const struct membership *membership, const char *director,
		 const struct membership_cut *cut, char *text, size_t size);

/* "connection-refused", ...: the name of bit i; NULL: there are no more. */
const char *notices_evidence_name(unsigned int i);

#endif
