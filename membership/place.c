/* The directors that have a place, if there are more than may be. All order them alike: by the time
 * since which each states to be one, then by identity. A director keeps its place, however often it
 * restarts or fails, until it has left or was removed. */
#include <stdlib.h>

#include "membership/parts.h"

/* A stated time further ahead of our clock is a wrong clock's: no newcomer has to follow it. */
#define AHEAD_MAX (86400 * SEC)

static int place_compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->since != y->since)
		return x->since < y->since ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* Also one that has not answered us yet, or all would not count alike. */
static bool has_claim(const struct member *member)
{
	return member && member->epoch && member->state != STATE_GONE;
}

static struct place last_place(const struct membership *m)
{
	struct place places[MEMBERSHIP_MEMBERS_MAX + 1];
	unsigned int count = 0;

	places[count++] = (struct place){m->since, m->identity->id};
	for (unsigned int i = 0; i < m->member_cap; i++)
		if (has_claim(m->members[i]))
			places[count++] =
				(struct place){m->members[i]->since_stated, m->members[i]->id};
	if (count <= m->directors_max)
		return (struct place){UINT64_MAX, UINT64_MAX};
	qsort(places, count, sizeof(*places), place_compare);
	return places[m->directors_max - 1];
}

void place_load(struct membership *m, uint64_t since)
{
	m->since = since;
}

void place_init(struct membership *m, unsigned int directors_max)
{
	m->directors_max = directors_max ? directors_max : DIRECTORS_MAX;
	m->newcomer = m->since == 0;
	if (m->newcomer)
		m->since = m->now.wall / SEC;
}

void place_update(struct membership *m)
{
	struct place last = {UINT64_MAX, UINT64_MAX};

	if (m->member_count + 1 > m->directors_max)
		last = last_place(m);
	if (place_compare(&last, &m->last_place) != 0)
		change_view(m);
	m->last_place = last;
}

bool place_beyond(const struct membership *m, const struct member *member)
{
	const struct place place = {member ? member->since_stated : m->since,
				    member ? member->id : m->identity->id};

	return (!member || has_claim(member)) && place_compare(&place, &m->last_place) > 0;
}

void place_settle(struct membership *m)
{
	uint64_t limit = (m->now.wall + AHEAD_MAX) / SEC, highest = 0;

	if (!m->newcomer)
		return;
	m->newcomer = false;
	change_roster(m);
	for (unsigned int i = 0; i < m->member_cap; i++)
		if (has_claim(m->members[i]) && m->members[i]->since_stated <= limit)
			highest = MAX(highest, m->members[i]->since_stated);
	if (highest <= m->since)
		return;
	/* Our clock is slow: a newcomer does not take the place of a director that is there. */
	m->since = highest + 1;
	change_view(m);
	record_own_state(m);
}
