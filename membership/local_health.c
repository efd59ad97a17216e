/* Lifeguard's local health multiplier: a director that misses nacks, or whose loop is late, trusts
 * its own judgement less: intervals, timeouts and suspicions grow (health + 1) fold. */
#include "membership/parts.h"

#define HEALTHIER_EVERY SEC

/* How likely it is that a silence is our own fault. */
void local_health_add(struct membership *m, int points)
{
	int health = (int)m->health + points;

	m->health = (unsigned int)MAX(0, MIN(health, HEALTH_MAX));
	if (points > 0)
		m->healthier_at = m->now.mono + HEALTHIER_EVERY;
}

void local_health_late(struct membership *m, usec_t late)
{
	struct membership_notice *notice;

	local_health_add(m, 1 + (int)MIN(late / m->profile.interval, (usec_t)HEALTH_MAX));
	if (late >= SEC) {
		notice = notice_add(m, MEMBERSHIP_PAUSED, NULL);
		notice->duration = late;
	}
}

/* If there is no member to probe, only time improves our local health. */
void local_health_timers(struct membership *m, usec_t *next)
{
	if (m->health == 0)
		return;
	if (m->now.mono >= m->healthier_at) {
		m->healthier_at = m->now.mono + HEALTHIER_EVERY;
		local_health_add(m, -1);
	}
	if (m->health > 0)
		sooner(next, m->healthier_at);
}
