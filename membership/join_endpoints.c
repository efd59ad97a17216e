/* The addresses of cluster.join: each is dialled until a member that is known to answer is there.
 */
#include <assert.h>

#include "membership/parts.h"

#define JOIN_FIRST SEC
#define JOIN_LAST (30 * SEC)

void join_endpoints_set(struct membership *m, const struct membership_event *event)
{
	struct join_endpoint old[MEMBERSHIP_JOIN_MAX];
	unsigned int old_count = m->join_count;

	memcpy(old, m->joins, sizeof(old));
	m->join_count = MIN(event->join_count, (unsigned int)MEMBERSHIP_JOIN_MAX);
	for (unsigned int i = 0; i < m->join_count; i++) {
		m->joins[i] = (struct join_endpoint){.endpoint = event->join[i]};
		for (unsigned int j = 0; j < old_count; j++)
			if (endpoint_compare(&old[j].endpoint, &event->join[i]) == 0)
				m->joins[i] = old[j];
	}
	/* Their indexes are others now. */
	pushpull_forget_joins(m);
}

void join_endpoints_answered(struct membership *m, int index)
{
	assert(index >= 0 && (unsigned int)index < m->join_count);
	m->joins[index].tries = 0;
	m->joins[index].answered = true;
}

void join_endpoints_failed(struct membership *m, int index, bool self)
{
	struct join_endpoint *join = &m->joins[index];

	assert(index >= 0 && (unsigned int)index < m->join_count);
	join->tries = self ? 8 : MIN(join->tries + 1, 8u);
	join->at = m->now.mono + MIN(JOIN_FIRST << join->tries, JOIN_LAST);
}

static bool is_own(const struct membership *m, const struct endpoint *endpoint)
{
	for (unsigned int i = 0; i < m->address_count; i++)
		if (endpoint_compare(&m->addresses[i], endpoint) == 0)
			return true;
	return false;
}

static bool is_known(const struct membership *m, const struct endpoint *endpoint)
{
	if (is_own(m, endpoint))
		return true;
	for (unsigned int i = 0; i < m->order_count; i++)
		if (member_answers(m->members[m->order[i]]) &&
		    path_find(m->members[m->order[i]], endpoint))
			return true;
	return false;
}

/* A member that failed, or is away, is reported as itself. */
static bool is_members(const struct membership *m, const struct endpoint *endpoint)
{
	for (unsigned int i = 0; i < m->member_cap; i++)
		if (m->members[i] && path_find(m->members[i], endpoint))
			return true;
	return false;
}

bool membership_unanswered(const struct membership *m, unsigned int *cursor,
			   struct endpoint *ret_endpoint)
{
	while (*cursor < m->join_count) {
		const struct join_endpoint *join = &m->joins[(*cursor)++];

		if (join->answered || is_own(m, &join->endpoint) || is_members(m, &join->endpoint))
			continue;
		*ret_endpoint = join->endpoint;
		return true;
	}
	return false;
}

void join_endpoints_timers(struct membership *m, usec_t *next)
{
	for (unsigned int i = 0; i < m->join_count; i++) {
		struct join_endpoint *join = &m->joins[i];

		if (m->now.mono >= join->at) {
			join->at = m->now.mono + JOIN_LAST;
			if (!is_known(m, &join->endpoint))
				pushpull_dial(m, NULL, &join->endpoint, (int)i);
		}
		sooner(next, join->at);
	}
}
