#include <stdlib.h>

#include "membership/membership_private.h"

/* The low bits of a nonce say which ping of a check it was. */
#define PATH_BITS 2
#define ATTEMPT_BITS 6
#define NONCE_MASK (~(uint64_t)((1 << (PATH_BITS + ATTEMPT_BITS)) - 1))

#define PATH_MISSES 10 /* in a row: a path is down and not just lossy */
#define WATCH_TIME (2 * SEC)
#define TCP_LATELY SEC
#define HELPER_CANDIDATES 8
#define HELLO_PAUSE (20 * MSEC)
#define REDIAL_HOT (10 * MSEC)

/* How long nothing comes from anybody while somebody is there: the worse our health, the less often
 * we and they ask. */
static usec_t silence_time(const struct membership *m)
{
	return (3 + m->health) * m->profile.interval + 2 * m->profile.timeout;
}

/* An accusation of ours reaches nobody then, and there is nothing to spare the others of. */
usec_t probe_scaled(const struct membership *m, usec_t time)
{
	return m->silent ? time : time * (1 + m->health);
}

/* Is it known that no address of the member acks our pings? Others may reach it. */
static bool is_indirect(const struct member *member)
{
	for (unsigned int i = 0; i < member->path_count; i++)
		if (!member->paths[i].udp_down)
			return false;
	return member->path_count > 0;
}

static struct check *check_new(struct membership *m, struct member *member)
{
	struct check *check = m->free_checks;

	if (check)
		m->free_checks = check->next;
	else
		check = malloc(sizeof(*check));
	if (!check)
		return NULL;
	memset(check, 0, sizeof(*check));
	check->nonce = chance_next(&m->chance) & NONCE_MASK;
	check->started = m->now.mono;
	member->check = check;
	member_busy(m, member);
	return check;
}

void probe_end(struct membership *m, struct member *member)
{
	struct check *check = member->check;

	if (!check)
		return;
	member->check = NULL;
	check->next = m->free_checks;
	m->free_checks = check;
}

static void send_pings(struct membership *m, struct member *member)
{
	struct check *check = member->check;

	check->attempt = (uint8_t)((check->attempt + 1) % (1 << ATTEMPT_BITS));
	check->pinged = m->now.mono;
	check->next_ping = m->now.mono + probe_scaled(m, m->profile.timeout) / 2;
	for (unsigned int i = 0; i < member->path_count; i++) {
		if (check->paths >> i & 1)
			continue;
		m->traffic.pings++;
		datagram_push(m, (struct out){.kind = OUT_PING,
					      .member = member->id,
					      .nonce = check->nonce | i |
						       (uint64_t)check->attempt << PATH_BITS,
					      .remote = member->paths[i].endpoint,
					      .local = (uint16_t)i});
	}
	/* One is enough to see that it is within reach again. */
	if (is_indirect(member) && check->stage == CHECK_DIRECT)
		check->next_ping = USEC_NEVER;
}

void probe_start(struct membership *m, struct member *member, bool deep)
{
	struct check *check = member->check;

	if (check && check->stage != CHECK_HELLO) {
		check->deep |= deep;
		return;
	}
	probe_end(m, member);
	check = check_new(m, member);
	if (!check)
		return;
	check->stage = CHECK_DIRECT;
	check->deep = deep;
	check->deadline = m->now.mono + probe_scaled(m, m->profile.timeout);
	send_pings(m, member);
}

void probe_hello(struct membership *m, struct member *member)
{
	struct check *check = member->check;

	if (member->path_count == 0 || (check && check->stage != CHECK_HELLO) ||
	    (check && m->now.mono < check->pinged + HELLO_PAUSE))
		return;
	if (!check)
		check = check_new(m, member);
	if (!check)
		return;
	check->stage = CHECK_HELLO;
	check->deadline = m->now.mono + 2 * m->profile.timeout;
	send_pings(m, member);
	check->next_ping = USEC_NEVER;
}

/* Has nobody else answered on this path either? What one ping on its way has brought does not
 * count. */
static bool nobody_acks(const struct membership *m, unsigned int path, usec_t since)
{
	return m->alive_count > 1 && m->acked[path] <= since + m->profile.timeout;
}

/* Somebody does again: what is wrong with the others, if anything, is their own. */
static void undeafen(struct membership *m, unsigned int path)
{
	m->deaf &= ~(1u << path);
	for (unsigned int i = 0; i < m->member_cap; i++) {
		struct member *member = m->members[i];

		if (!member || path >= member->path_count || !member->paths[path].udp_down)
			continue;
		member->paths[path].udp_down = false;
		member->paths[path].misses = 0;
		m->view_changed = true;
		member_busy(m, member);
	}
}

/* Pings that were not answered until the next ones are due. True: some path is still in doubt. */
static bool count_misses(struct membership *m, struct member *member)
{
	struct check *check = member->check;
	bool doubt = false;

	for (unsigned int i = 0; i < member->path_count; i++) {
		struct path *path = &member->paths[i];

		if (check->paths >> i & 1)
			continue;
		m->traffic.pings_lost++;
		if (path->misses == 0)
			path->missing = check->pinged;
		path->misses = (uint8_t)MIN(path->misses + 1, UINT8_MAX);
		/* what it answered before is no sign that another way is open now */
		if (check->answered && member->heard > path->missing &&
		    path->misses >= PATH_MISSES && !path->udp_down) {
			path->udp_down = true;
			m->view_changed = true;
			if (nobody_acks(m, i, path->missing))
				m->deaf |= 1u << i;
		}
		doubt |= !path->udp_down;
	}
	return doubt;
}

/* Did it answer the last ping on some address itself? */
static bool is_direct(const struct member *member)
{
	for (unsigned int i = 0; i < member->path_count; i++)
		if (member->paths[i].misses == 0)
			return true;
	return false;
}

/* How likely a helper is to reach the subject: it has done so before; it has helped with another;
 * or it is at least within our own reach. */
static unsigned int promise(const struct membership *m, const struct member *subject,
			    const struct member *helper)
{
	if (!is_direct(helper))
		return 0;
	if (helper->id == subject->helper)
		return 3;
	return helper->id == m->helper ? 2 : 1;
}

static bool is_better(const struct membership *m, const struct member *subject,
		      const struct member *one, const struct member *other)
{
	unsigned int a = promise(m, subject, one), b = promise(m, subject, other);

	return a != b ? a > b : one->heard > other->heard;
}

/* Those that reached it before; then those heard from last, which are the likeliest to answer. */
static void choose_helpers(struct membership *m, const struct member *subject,
			   struct member *helpers[HELPERS], unsigned int *ret_count)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < HELPER_CANDIDATES + 2; i++) {
		struct member *member = i == 0   ? member_find(m, subject->helper)
					: i == 1 ? member_find(m, m->helper)
						 : member_random(m);
		unsigned int at = 0;

		if (!member || member == subject || member->state != MEMBER_ALIVE ||
		    is_indirect(member))
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

/* Where pings are known to fail, streams take their place, and one lasts for a while. */
static bool heard_by_tcp(const struct membership *m, const struct member *member)
{
	for (unsigned int i = 0; i < member->path_count; i++) {
		const struct path *path = &member->paths[i];

		if (path->udp_down && path->tcp_heard &&
		    path->tcp_heard + TCP_LATELY >= m->now.mono)
			return true;
	}
	return false;
}

static void go_around(struct membership *m, struct member *member)
{
	struct member *helpers[HELPERS];
	struct check *check = member->check;
	unsigned int count;

	if (heard_by_tcp(m, member)) {
		probe_answered(m, member);
		return;
	}
	check->stage = CHECK_AROUND;
	check->deadline = m->now.mono + probe_scaled(m, m->profile.timeout);
	choose_helpers(m, member, helpers, &count);
	/* Where it takes a helper each time, the one of the last time will do. */
	check->narrow = is_indirect(member) && !check->narrow && count > 0 &&
			helpers[0]->id == member->helper;
	if (check->narrow)
		count = 1;
	check->helpers = (uint8_t)count;
	check->nacks = 0;
	for (unsigned int i = 0; i < count; i++) {
		check->helper[i] = helpers[i]->id;
		datagram_push(m, (struct out){.kind = OUT_RELAY_PING,
					      .member = member->id,
					      .via = helpers[i]->id,
					      .nonce = check->nonce});
	}
	check->dialled = true;
	for (unsigned int i = 0; i < member->path_count; i++)
		pushpull_dial(m, member, &member->paths[i].endpoint, -1);
}

/* No way has answered in time. */
static void accuse(struct membership *m, struct member *member)
{
	struct check *check = member->check;

	/* Helpers that live would have said so. */
	if (check->stage == CHECK_AROUND && check->nacks < check->helpers)
		health_add(m, 1);
	check->stage = CHECK_WATCH;
	check->deadline = USEC_NEVER;
	suspicion_own(m, member);
}

static void direct_over(struct membership *m, struct member *member)
{
	struct check *check = member->check;
	usec_t timeout = probe_scaled(m, m->profile.timeout);

	if (check->deep) {
		if (member->suspicion)
			suspicion_own(m, member);
		go_around(m, member);
	} else if (member->suspicion) {
		accuse(m, member);
	} else if (m->now.mono < check->started + 2 * timeout) {
		/* A helper's: an accusation may be on its way. */
		check->deadline = check->started + 2 * timeout;
	} else {
		probe_end(m, member);
	}
}

void probe_timer(struct membership *m, struct member *member, usec_t *next)
{
	struct check *check = member->check;

	if (m->now.mono >= check->next_ping) {
		if (!count_misses(m, member) && check->stage == CHECK_WATCH && check->answered) {
			probe_end(m, member);
			return;
		}
		send_pings(m, member);
	}
	if (m->now.mono >= check->deadline) {
		if (check->stage == CHECK_DIRECT)
			direct_over(m, member);
		else if (check->stage == CHECK_AROUND && check->narrow)
			go_around(m, member);
		else if (check->stage == CHECK_AROUND)
			accuse(m, member);
		else
			probe_end(m, member);
	}
	if (member->check)
		sooner(next, MIN(member->check->next_ping, member->check->deadline));
}

void probe_answered(struct membership *m, struct member *member)
{
	struct check *check = member->check;
	unsigned int all = (1u << member->path_count) - 1;

	if (!check)
		return;
	if (!check->answered && check->stage == CHECK_DIRECT)
		health_add(m, -1);
	check->answered = true;
	if ((check->paths & all) == all || check->stage == CHECK_HELLO || is_indirect(member)) {
		probe_end(m, member);
		return;
	}
	if (check->stage != CHECK_WATCH || check->deadline == USEC_NEVER) {
		check->stage = CHECK_WATCH;
		check->deadline = m->now.mono + WATCH_TIME;
	}
}

void probe_unhurried(struct membership *m, struct member *member)
{
	if (member->check && member->check->deadline == USEC_NEVER)
		member->check->deadline = m->now.mono + WATCH_TIME;
}

bool probe_ack(struct membership *m, struct member *member, uint64_t nonce, uint64_t epoch,
	       const struct member *via)
{
	struct check *check = member->check;
	unsigned int i = nonce & ((1 << PATH_BITS) - 1);
	struct path *path = &member->paths[i];
	uint32_t rtt;

	if (!check || (nonce & NONCE_MASK) != check->nonce || i >= member->path_count)
		return false;
	if (via) {
		member->helper = m->helper = via->id;
	} else {
		if (nonce == (check->nonce | i | (uint64_t)check->attempt << PATH_BITS)) {
			rtt = (uint32_t)MIN(m->now.mono - check->pinged, 60 * SEC);
			path->rtt = path->rtt ? (7 * path->rtt + rtt) / 8 : MAX(rtt, 1u);
		}
		path->udp_heard = m->acked[i] = m->now.mono;
		path->misses = 0;
		if (m->deaf >> i & 1)
			undeafen(m, i);
		m->view_changed |= path->udp_down;
		path->udp_down = false;
		check->paths |= (uint8_t)(1u << i);
		pushpull_doubt(m, member);
	}
	m->accepted = true;
	if (via && member->state == MEMBER_FAILED)
		split_evidence(m, member, EVIDENCE_THIRD);
	member_alive(m, member, epoch);
	return true;
}

void probe_nack(struct membership *m, struct member *helper, uint64_t subject)
{
	struct member *member = member_find(m, subject);
	struct check *check = member ? member->check : NULL;

	for (unsigned int i = 0; check && i < check->helpers; i++)
		if (check->helper[i] == helper->id) {
			check->helper[i] = 0;
			check->nacks++;
		}
}

void probe_evidence(const struct member *member, struct membership_notice *notice)
{
	const struct check *check = member->check;

	if (!check)
		return;
	notice->pings = check->attempt;
	notice->evidence |= EVIDENCE_UDP;
	notice->helpers = check->helpers;
	notice->nacks = check->nacks;
	if (member->refused_at >= check->started)
		notice->evidence |= EVIDENCE_REFUSED;
	else if (check->dialled)
		notice->evidence |= EVIDENCE_TCP;
}

/* The next in the round; each round has an order of its own. */
static struct member *next_target(struct membership *m)
{
	struct member *member;
	unsigned int j;
	uint32_t swap;

	for (unsigned int tries = 0; m->order_count > 0 && tries <= m->order_count; tries++) {
		if (m->order_at >= m->order_count) {
			m->order_at = 0;
			for (unsigned int i = m->order_count - 1; i > 0; i--) {
				j = (unsigned int)chance_below(&m->chance, i + 1);
				swap = m->order[i];
				m->order[i] = m->order[j];
				m->order[j] = swap;
			}
		}
		member = m->members[m->order[m->order_at]];
		if (!member_answers(member)) {
			member->ordered = false;
			m->order[m->order_at] = m->order[--m->order_count];
			continue;
		}
		m->order_at++;
		if (!member->check || member->check->stage == CHECK_HELLO)
			return member;
	}
	return NULL;
}

/* Straight, and through one who may still see it. */
static void redial(struct membership *m, struct member *member)
{
	struct member *helpers[HELPERS];
	unsigned int count;

	choose_helpers(m, member, helpers, &count);
	probe_hello(m, member);
	if (member->check && member->check->pinged == m->now.mono && count > 0)
		datagram_push(m, (struct out){.kind = OUT_RELAY_PING,
					      .member = member->id,
					      .via = helpers[0]->id,
					      .nonce = member->check->nonce});
}

static void redial_next(struct membership *m)
{
	for (unsigned int i = 0; i < m->member_cap; i++) {
		struct member *member;

		m->missing_at = (m->missing_at + 1) % m->member_cap;
		member = m->members[m->missing_at];
		if (member && (member->state == MEMBER_FAILED || member->state == MEMBER_AWAY ||
			       (member->state == MEMBER_UNPROVEN && member->in_roster))) {
			redial(m, member);
			return;
		}
	}
}

/* We are alone, or all others are: whom we would ask in turn we ask at once. */
static void ask_all(struct membership *m)
{
	for (unsigned int i = 0; i < m->order_count; i++) {
		struct member *member = m->members[m->order[i]];

		if (!member_answers(member))
			continue;
		if (member->suspicion)
			suspicion_unscaled(m, member);
		probe_start(m, member, true);
		if (member->check && member->check->stage != CHECK_WATCH)
			member->check->deadline =
				MIN(member->check->deadline, m->now.mono + m->profile.timeout);
		member_busy(m, member);
	}
}

static void silence(struct membership *m, usec_t *next)
{
	usec_t at = m->heard + silence_time(m);
	bool silent = m->alive_count > 0 && m->now.mono >= at;

	if (silent && !m->silent) {
		m->silent = true;
		ask_all(m);
	}
	m->silent = silent;
	if (m->alive_count > 0 && !silent)
		sooner(next, at);
}

void probe_timers(struct membership *m, usec_t *next)
{
	struct member *member;

	silence(m, next);
	if (m->now.mono >= m->probe_at) {
		m->probe_at = m->now.mono + probe_scaled(m, m->profile.interval);
		m->verify_budget = 8 + m->member_count / 16;
		member = next_target(m);
		if (member)
			probe_start(m, member, true);
	}
	sooner(next, m->probe_at);
	if (m->missing_count + m->away_count == 0)
		return;
	if (m->now.mono >= m->redial_at) {
		redial_next(m);
		m->redial_at =
			m->now.mono + (m->now.mono < m->hot_until ? REDIAL_HOT : m->profile.redial);
	}
	sooner(next, m->redial_at);
}
