/* Quorum: whether this director sees more than half of the roster. */
#include "membership/parts.h"

#define SETTLE SEC

enum membership_quorum quorum_of(const struct membership *m)
{
	unsigned int view = m->alive_count + 1;
	unsigned int roster = m->roster_count + 1 - m->away_count;

	if (2 * view > roster)
		return QUORUM_MAJORITY;
	return 2 * view == roster ? QUORUM_HALF : QUORUM_MINORITY;
}

void quorum_timers(struct membership *m, usec_t *next)
{
	if (m->now.mono < m->horizon) {
		sooner(next, m->horizon);
		return;
	}
	notice_incident_update(m, &m->quorum, quorum_of(m) != QUORUM_MAJORITY, SETTLE,
			       MEMBERSHIP_QUORUM_LOST, MEMBERSHIP_QUORUM_REGAINED, NULL, next);
}
