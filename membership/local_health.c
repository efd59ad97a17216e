/* Lifeguard's local health multiplier: a director that misses nacks, or whose loop is late, trusts
 * its own judgement less: intervals, timeouts and suspicions grow (health + 1) fold. */
#include "membership/membership_private.h"

#define HEALTHIER_EVERY SEC

/* How likely it is that a silence is our own fault. */
void local_health_add(struct membership *m, int points)
{
	int health = (int)m->health + points;

	m->health = (unsigned int)MAX(0, MIN(health, HEALTH_MAX));
	if (points > 0)
		m->healthier_at = m->now.mono + HEALTHIER_EVERY;
}

static void shift(usec_t *time, usec_t late)
{
	if (*time != 0 && *time != USEC_NEVER)
		*time += late;
}

/* We did not run for a while: no member could answer then, so that time does not count. */
void local_health_late(struct membership *m, usec_t late)
{
	struct membership_notice *notice;

	local_health_add(m, 1 + (int)MIN(late / m->profile.interval, (usec_t)HEALTH_MAX));
	for (unsigned int i = 0; i < m->busy_count; i++) {
		struct member *member = m->busy[i];

		if (member->probe) {
			shift(&member->probe->started, late);
			shift(&member->probe->next_ping, late);
			shift(&member->probe->deadline, late);
		}
		if (member->suspicion) {
			shift(&member->suspicion->started, late);
			shift(&member->suspicion->deadline, late);
		}
		shift(&member->lease_end, late);
	}
	for (unsigned int i = 0; i < RELAYS_MAX; i++)
		if (m->relays[i].used)
			shift(&m->relays[i].deadline, late);
	for (unsigned int i = 0; i < MEMBERSHIP_STREAMS_MAX; i++)
		shift(&m->streams[i].deadline, late);
	m->horizon = MAX(m->horizon, m->now.mono < m->horizon + late ? m->horizon + late : 0);
	m->view_at = MIN(m->view_at + late, m->now.mono);
	m->heard = MIN(m->heard + late, m->now.mono);
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
