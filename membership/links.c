/* Partial partitions: statements list the members that their directors do not reach. This file
 * finds the shortest ways around the cuts, and names the cut for the event `partial-partition`. */
#include <assert.h>
#include <stdlib.h>

#include "membership/parts.h"

#define LINK_MISSES 4 /* pings in a row without an ack */
#define LOOKS 2       /* in an interval */
#define TELL_PAUSE SEC
#define FIELDS_SIZE 16   /* of the list in a statement, and what the other numbers may grow by */
#define SETTLE (4 * SEC) /* the cut must be the same for so long before it is reported */

bool links_down(const struct member *member)
{
	for (unsigned int i = 0; i < member->path_count; i++) {
		const struct member_path *path = &member->paths[i];

		if (path->misses < LINK_MISSES && !path->udp_down)
			return false;
		if (!path->tcp_down && path->tcp_heard && path->tcp_heard >= path->missing)
			return false;
	}
	return member->path_count > 0;
}

bool links_cut(const struct member *member)
{
	for (unsigned int i = 0; i < member->path_count; i++)
		if (!member->paths[i].udp_down || !member->paths[i].tcp_down)
			return false;
	return member->path_count > 0;
}

void links_fini(struct membership *m)
{
	free(m->links.matrix);
}

void links_room(struct membership *m, size_t others)
{
	m->links.others_len = (unsigned int)others;
}

size_t links_store(const struct membership *m, uint8_t bytes[LINKS_MAX * LINK_SIZE])
{
	const struct link_list *list = &m->links.list;

	for (unsigned int i = 0; i < list->count; i++)
		store_le32(bytes + i * LINK_SIZE, list->ids[i]);
	return list->count * LINK_SIZE;
}

/* Whether a list says that its director does not reach a member. */
static bool denies(const uint32_t *ids, unsigned int count, bool reached, uint64_t id)
{
	bool listed = false;

	for (unsigned int i = 0; i < count; i++)
		listed |= ids[i] == (uint32_t)id;
	return listed != reached;
}

bool links_denied(const struct member *member, uint64_t id)
{
	return denies(member->links, member->link_count, member->links_reached, id);
}

void links_load(struct membership *m, struct member *member, const uint32_t *links,
		unsigned int count, bool reached)
{
	free(member->links);
	member->links = count ? malloc(count * sizeof(*links)) : NULL;
	member->link_count = member->links ? (uint16_t)count : 0;
	member->links_reached = reached && member->link_count > 0;
	if (member->links)
		memcpy(member->links, links, count * sizeof(*links));
	/* Most likely it is out of our reach, too. */
	if (member_answers(member) && !links_down(member) && links_denied(member, m->identity->id))
		probe_start(m, member, true);
}

struct member *links_pick(struct membership *m)
{
	if (!m->links.any)
		return members_random(m);
	for (unsigned int i = 0; i < m->order_count; i++) {
		struct member *member;

		m->links.turn = (m->links.turn + 1) % m->order_count;
		member = m->members[m->order[m->links.turn]];
		if (member_answers(member) && !links_down(member))
			return member;
	}
	return NULL;
}

struct member *links_way(const struct membership *m, const struct member *member, uint64_t previous,
			 uint64_t origin)
{
	for (unsigned int i = 0; i < member->way_count; i++)
		if (member->ways[i] != previous && member->ways[i] != origin)
			return members_find(m, member->ways[i]);
	return NULL;
}

/* The members that answer, and ourselves in the last place (NULL). */
struct graph {
	unsigned int count;
	struct member *of[MEMBERSHIP_MEMBERS_MAX + 1];
	uint16_t place[MEMBERSHIP_MEMBERS_MAX]; /* by the member's index, 1 based; 0: it is not
						   there */
	uint8_t *matrix;
	size_t row;
};

static bool lists(const struct graph *graph, unsigned int a, unsigned int b)
{
	return graph->matrix[a * graph->row + b / 8] >> b % 8 & 1;
}

static void set(const struct graph *graph, unsigned int a, unsigned int b, bool listed)
{
	uint8_t *byte = &graph->matrix[a * graph->row + b / 8], bit = (uint8_t)(1 << b % 8);

	assert(a < graph->count && b < graph->count);
	*byte = (uint8_t)(listed ? *byte | bit : *byte & ~bit);
}

static void fill_row(const struct membership *m, const struct graph *graph, unsigned int at,
		     const uint32_t *links, unsigned int count, bool reached)
{
	unsigned int self = graph->count - 1;

	if (reached)
		memset(graph->matrix + at * graph->row, 0xff, graph->row);
	for (unsigned int i = 0; i < count; i++) {
		const struct member *member = members_find_half(m, links[i]);

		if (member && graph->place[member->index])
			set(graph, at, graph->place[member->index] - 1u, !reached);
		else if (links[i] == (uint32_t)m->identity->id)
			set(graph, at, self, !reached);
	}
	set(graph, at, at, false);
}

/* False: no memory. */
static bool graph_make(struct membership *m, struct graph *graph)
{
	size_t size;
	void *matrix;

	memset(graph->place, 0, sizeof(graph->place));
	graph->count = 0;
	for (unsigned int i = 0; i < m->member_cap; i++)
		if (m->members[i] && member_answers(m->members[i])) {
			graph->of[graph->count++] = m->members[i];
			graph->place[i] = (uint16_t)graph->count;
		}
	graph->of[graph->count++] = NULL;
	graph->row = (graph->count + 7) / 8;
	size = graph->count * graph->row;
	if (size > m->links.matrix_size) {
		matrix = realloc(m->links.matrix, size);
		if (!matrix)
			return false;
		m->links.matrix = matrix;
		m->links.matrix_size = size;
	}
	graph->matrix = m->links.matrix;
	memset(graph->matrix, 0, size);
	for (unsigned int i = 0; i + 1 < graph->count; i++)
		if (graph->of[i]->link_count)
			fill_row(m, graph, i, graph->of[i]->links, graph->of[i]->link_count,
				 graph->of[i]->links_reached);
	fill_row(m, graph, graph->count - 1, m->links.list.ids, m->links.list.count,
		 m->links.list.reached);
	return true;
}

/* Do they reach each other, as far as either has said? Our own links we know. */
static bool is_edge(const struct graph *graph, unsigned int a, unsigned int b)
{
	return !lists(graph, a, b) && !lists(graph, b, a);
}

static void add_ways(struct member *to, const struct member *from)
{
	for (unsigned int i = 0; i < from->way_count && to->way_count < HELPERS; i++) {
		unsigned int j = 0;

		while (j < to->way_count && to->ways[j] != from->ways[i])
			j++;
		if (j == to->way_count)
			to->ways[to->way_count++] = from->ways[i];
	}
}

/* The shortest ways to all, in breadth. */
static void find_ways(const struct graph *graph)
{
	uint16_t queue[MEMBERSHIP_MEMBERS_MAX];
	unsigned int end = 0;

	for (unsigned int i = 0; i + 1 < graph->count; i++) {
		struct member *member = graph->of[i];

		member->hops = member->way_count = 0;
		if (links_down(member))
			continue;
		member->hops = member->way_count = 1;
		member->ways[0] = member->id;
		queue[end++] = (uint16_t)i;
	}
	for (unsigned int at = 0; at < end; at++) {
		const struct member *from = graph->of[queue[at]];

		for (unsigned int i = 0; i + 1 < graph->count; i++) {
			struct member *to = graph->of[i];

			if ((to->hops && to->hops <= from->hops) || !is_edge(graph, queue[at], i))
				continue;
			if (!to->hops) {
				to->hops = from->hops + 1;
				queue[end++] = (uint16_t)i;
			}
			add_ways(to, from);
		}
	}
}

static bool is_pair(const struct graph *graph, unsigned int a, unsigned int b)
{
	return lists(graph, a, b) && lists(graph, b, a);
}

static uint64_t id_at(const struct membership *m, const struct graph *graph, unsigned int at)
{
	return graph->of[at] ? graph->of[at]->id : m->identity->id;
}

/* A director that is in some pair. */
struct end {
	const char *name;
	unsigned int at; /* in the graph */
	unsigned int group;
};

static int end_compare(const void *a, const void *b)
{
	const struct end *x = a, *y = b;
	size_t m = strlen(x->name), n = strlen(y->name);

	/* d2 before d10 */
	return m != n ? (m < n ? -1 : 1) : strcmp(x->name, y->name);
}

static unsigned int find_ends(const struct membership *m, const struct graph *graph,
			      struct end *ends)
{
	unsigned int count = 0;

	for (unsigned int a = 0; a < graph->count; a++)
		for (unsigned int b = 0; b < graph->count; b++)
			if (is_pair(graph, a, b)) {
				ends[count++] = (struct end){
					.name = graph->of[a] ? graph->of[a]->name
							     : m->identity->certificate.name,
					.at = a};
				break;
			}
	qsort(ends, count, sizeof(*ends), end_compare);
	return count;
}

/* The number of groups within which all reach each other; 0: the cut has no such groups. */
static unsigned int find_groups(const struct graph *graph, struct end *ends, unsigned int count)
{
	unsigned int groups = 0;

	for (unsigned int i = 0; i < count; i++) {
		if (ends[i].group)
			continue;
		ends[i].group = ++groups;
		for (unsigned int j = i + 1; j < count; j++)
			if (!ends[j].group && !is_pair(graph, ends[i].at, ends[j].at))
				ends[j].group = groups;
	}
	for (unsigned int i = 0; i < count; i++)
		for (unsigned int j = 0; j < i; j++)
			if ((ends[i].group == ends[j].group) ==
			    is_pair(graph, ends[i].at, ends[j].at))
				return 0;
	return groups;
}

static void name_groups(const struct membership *m, const struct graph *graph,
			const struct end *ends, unsigned int count, struct membership_cut *cut)
{
	unsigned int share = MAX(MEMBERSHIP_NOTICE_IDS / cut->groups, 1u);

	for (unsigned int g = 1; g <= cut->groups && g <= MEMBERSHIP_NOTICE_IDS; g++)
		for (unsigned int i = 0; i < count; i++)
			if (ends[i].group == g && cut->group_size[g - 1]++ < share) {
				cut->ids[cut->id_count] = id_at(m, graph, ends[i].at);
				cut->group[cut->id_count++] = (uint16_t)(g - 1);
			}
}

static void name_pairs(const struct membership *m, const struct graph *graph,
		       const struct end *ends, unsigned int count, struct membership_cut *cut)
{
	for (unsigned int i = 0; i < count; i++)
		for (unsigned int j = i + 1; j < count; j++)
			if (is_pair(graph, ends[i].at, ends[j].at) &&
			    cut->id_count + 2 <= MEMBERSHIP_NOTICE_IDS) {
				cut->ids[cut->id_count++] = id_at(m, graph, ends[i].at);
				cut->ids[cut->id_count++] = id_at(m, graph, ends[j].at);
			}
}

static void name_cut(const struct membership *m, const struct graph *graph,
		     struct membership_cut *cut)
{
	struct end ends[MEMBERSHIP_MEMBERS_MAX + 1];

	cut->members = find_ends(m, graph, ends);
	cut->groups = find_groups(graph, ends, cut->members);
	if (cut->groups)
		name_groups(m, graph, ends, cut->members, cut);
	else
		name_pairs(m, graph, ends, cut->members, cut);
}

static void find_pairs(struct membership *m, const struct graph *graph)
{
	struct links *links = &m->links;
	unsigned int pairs = 0;
	uint64_t hash = 0;

	for (unsigned int a = 0; a < graph->count; a++)
		for (unsigned int b = 0; b < a; b++)
			if (is_pair(graph, a, b)) {
				pairs++;
				hash += id_at(m, graph, a) * id_at(m, graph, b);
			}
	if (hash == links->hash)
		return;
	links->changed_at = m->now.mono;
	links->hash = hash;
	links->pairs = (struct membership_cut){.pairs = pairs};
	if (pairs)
		name_cut(m, graph, &links->pairs);
}

/* The last way to a member is gone: that is a reason to look. */
static void ways_lost(struct membership *m, const struct graph *graph, const uint8_t *had)
{
	for (unsigned int i = 0; i + 1 < graph->count; i++)
		if (had[i] && !graph->of[i]->hops && graph->of[i]->state == STATE_ALIVE)
			probe_start(m, graph->of[i], true);
}

static void judge(struct membership *m)
{
	uint8_t had[MEMBERSHIP_MEMBERS_MAX];
	struct graph graph;

	if (!graph_make(m, &graph))
		return;
	for (unsigned int i = 0; i + 1 < graph.count; i++)
		had[i] = graph.of[i]->hops > 1;
	find_ways(&graph);
	ways_lost(m, &graph, had);
	find_pairs(m, &graph);
}

static void forget_ways(struct membership *m)
{
	for (unsigned int i = 0; i < m->member_cap; i++)
		if (m->members[i])
			m->members[i]->hops = m->members[i]->way_count = 0;
	if (m->links.hash)
		m->links.changed_at = m->now.mono;
	m->links.pairs.pairs = 0;
	m->links.hash = 0;
}

static int half_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The most links in a statement that all members read, older programs too. */
static unsigned int list_max(const struct membership *m)
{
	unsigned int takes = STATEMENT_MAX, others = m->links.others_len + FIELDS_SIZE;

	for (unsigned int i = 0; i < m->member_cap; i++) {
		const struct member *member = m->members[i];

		if (member && member->in_roster && member->state != STATE_GONE)
			takes = MIN(takes, MAX(member->takes, (unsigned int)STATEMENT_OLD_MAX));
	}
	return takes > others ? MIN((takes - others) / LINK_SIZE, (unsigned int)LINKS_MAX) : 0;
}

/* False: they were too many, and some are left out. */
static bool fill_list(const struct membership *m, struct link_list *list, bool reached)
{
	unsigned int max = list_max(m);

	list->count = 0;
	list->reached = reached;
	for (unsigned int i = 0; i < m->member_cap; i++) {
		const struct member *member = m->members[i];

		if (!member || !member->in_roster || member->state == STATE_GONE ||
		    member->state == STATE_AWAY ||
		    (links_down(member) || !member_answers(member)) == reached)
			continue;
		if (list->count == max)
			return false;
		list->ids[list->count++] = (uint32_t)member->id;
	}
	return true;
}

/* The list has the members that we don't reach, or the others if these are fewer. A member that is
 * left out counts as reached. */
static void make_list(const struct membership *m, struct link_list *list, bool reached)
{
	if (!reached || !fill_list(m, list, true))
		fill_list(m, list, false);
	qsort(list->ids, list->count, sizeof(*list->ids), half_compare);
}

/* A crashed member must not be listed: we have a list only if one of those out of our reach is
 * known to live, or several are out of reach at once. */
static void look(struct membership *m)
{
	struct links *links = &m->links;
	struct link_list list = {0};
	unsigned int down = 0, proved = 0;

	links->cut = links->direct = 0;
	links->any = false;
	for (unsigned int i = 0; i < m->order_count; i++) {
		const struct member *member = m->members[m->order[i]];
		bool udp_down = true;

		if (!member_answers(member))
			continue;
		links->any |= member->link_count > 0;
		if (!links_down(member)) {
			links->direct++;
			continue;
		}
		down++;
		links->cut += links_cut(member);
		for (unsigned int j = 0; j < member->path_count; j++)
			udp_down &= member->paths[j].udp_down;
		proved += udp_down;
	}
	if (proved > 0 || down > 1)
		make_list(m, &list, links->direct < down);
	if ((list.count != links->list.count || list.reached != links->list.reached ||
	     memcmp(list.ids, links->list.ids, list.count * sizeof(*list.ids)) != 0) &&
	    m->now.mono >= links->told_at + TELL_PAUSE && m->phase < PHASE_LEAVING) {
		links->list = list;
		links->told_at = m->now.mono;
		record_own_state(m);
	}
	links->any |= links->list.count > 0 || down > 1;
}

bool links_mutual(const struct membership *m, const struct member *member)
{
	const struct link_list *list = &m->links.list;

	return denies(list->ids, list->count, list->reached, member->id) &&
	       links_denied(member, m->identity->id);
}

bool links_cut_lately(const struct membership *m, usec_t time)
{
	return m->links.pairs.pairs > 0 ||
	       (m->links.changed_at && m->now.mono < m->links.changed_at + time);
}

void membership_cut(const struct membership *m, struct membership_cut *ret_cut)
{
	*ret_cut = m->links.pairs;
}

void links_timers(struct membership *m, usec_t *next)
{
	struct links *links = &m->links;
	usec_t settled;

	if (m->now.mono >= links->look_at) {
		links->look_at = m->now.mono + m->profile.interval / LOOKS;
		look(m);
		if (links->any)
			judge(m);
		else
			forget_ways(m);
	}
	/* Else it is time enough when something else happens. */
	if (links->any)
		sooner(next, links->look_at);
	settled = links->changed_at + SETTLE;
	if (m->now.mono < settled)
		sooner(next, settled);
	else
		notice_incident_update(m, &links->incident, links->pairs.pairs > 0, 0,
				       MEMBERSHIP_PARTIAL_PARTITION, MEMBERSHIP_PARTITION_ENDED,
				       NULL, next);
}
