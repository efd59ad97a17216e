/* SWIM's indirect probe: the members (helpers) that a ping-req asks to ping another one for us. */
#include "membership/parts.h"

#define HELPER_CANDIDATES 8

bool helper_direct(const struct member *member)
{
	for (unsigned int i = 0; i < member->path_count; i++)
		if (member->paths[i].misses == 0)
			return true;
	return false;
}

bool helper_indirect(const struct member *member)
{
	for (unsigned int i = 0; i < member->path_count; i++)
		if (!member->paths[i].udp_down)
			return false;
	return member->path_count > 0;
}

/* A subject that does not answer is in no graph: then any helper will do that has not denied the
 * link. */
static bool is_way(const struct membership *m, const struct member *subject,
		   const struct member *helper)
{
	if (!member_answers(subject))
		return m->links.any && !links_denied(helper, subject->id) &&
		       !links_denied(subject, helper->id);
	for (unsigned int i = 0; i < subject->way_count; i++)
		if (subject->ways[i] == helper->id)
			return true;
	return false;
}

/* How likely a helper is to reach the subject: it is on the way, as others say; it has done so
 * before; it has helped with another; or it is at least within our own reach. */
static unsigned int promise(const struct membership *m, const struct member *subject,
			    const struct member *helper)
{
	unsigned int promise = 1;

	if (!helper_direct(helper))
		return 0;
	if (helper->id == subject->helper)
		promise = 3;
	else if (helper->id == m->helper)
		promise = 2;
	return is_way(m, subject, helper) ? 3 + promise : promise;
}

static bool is_better(const struct membership *m, const struct member *subject,
		      const struct member *one, const struct member *other)
{
	unsigned int a = promise(m, subject, one), b = promise(m, subject, other);

	return a != b ? a > b : one->heard > other->heard;
}

static struct member *candidate(struct membership *m, const struct member *subject, unsigned int i)
{
	if (i < subject->way_count)
		return members_find(m, subject->ways[i]);
	i -= subject->way_count;
	if (i < 2)
		return members_find(m, i ? m->helper : subject->helper);
	return links_pick(m);
}

void helper_choose(struct membership *m, const struct member *subject,
		   struct member *helpers[HELPERS], unsigned int *ret_count)
{
	unsigned int count = 0, candidates = subject->way_count + 2 + HELPER_CANDIDATES;

	for (unsigned int i = 0; i < candidates; i++) {
		struct member *member = candidate(m, subject, i);
		unsigned int at = 0;

		if (!member || member == subject || member->state != STATE_ALIVE ||
		    helper_indirect(member) || links_down(member))
			continue;
		while (at < count && helpers[at] != member)
			at++;
		if (at < count)
			continue;
		while (at > 0 && is_better(m, subject, member, helpers[at - 1]))
			at--;
		if (at == HELPERS)
			continue;
		count = MIN(count + 1, (unsigned int)HELPERS);
		memmove(&helpers[at + 1], &helpers[at], (count - 1 - at) * sizeof(*helpers));
		helpers[at] = member;
	}
	*ret_count = count;
}
