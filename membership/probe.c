/* SWIM's failure detector: pings in random rounds; without an ack, indirect probes (ping-req to
 * helpers), and dials over TCP, until the member is suspected. */
#include <assert.h>
#include <stdlib.h>

#include "membership/parts.h"

/* The low bits of a nonce say which ping of a probe it was. */
#define PATH_BITS 2
#define ATTEMPT_BITS 6
#define NONCE_MASK (~(uint64_t)((1 << (PATH_BITS + ATTEMPT_BITS)) - 1))

#define PATH_MISSES 10 /* in a row: a path is down and not just lossy */
#define WATCH_TIME (2 * SEC)
#define TCP_LATELY SEC
#define HELLO_PAUSE (20 * MSEC)
#define REDIAL_HOT (10 * MSEC)
#define INDIRECT_INTERVALS 3 /* a hop, between probes of members that are cut off from us */
#define SWEEP_PAUSE (5 * SEC)
#define SWEEP_ACKS (600 * MSEC) /* we know by then which members are out of our reach */
#define SWEEP_TIME (4 * SEC)    /* all have heard who reaches whom */

/* How long nothing may come from any member while one is there: the worse our local health, the
 * less often we probe. */
static usec_t silence_time(const struct membership *m)
{
	return (3 + m->health) * m->profile.interval + 2 * m->profile.timeout;
}

/* While all members are silent, times are not widened: an accusation of ours reaches no member
 * then, so none is harmed by it. */
usec_t probe_scaled(const struct membership *m, usec_t time)
{
	return m->silent ? time : time * (1 + m->health);
}

/* Is it no surprise that it does not answer by itself? */
static bool expects_no_ack(const struct membership *m, const struct member *member)
{
	return helper_indirect(member) || (m->links.any && links_down(member));
}

static struct probe *probe_new(struct membership *m, struct member *member)
{
	struct probe *probe = m->free_probes;

	assert(!member->probe);
	if (probe)
		m->free_probes = probe->next;
	else
		probe = malloc(sizeof(*probe));
	if (!probe)
		return NULL;
	memset(probe, 0, sizeof(*probe));
	probe->nonce = chance_next(&m->chance) & NONCE_MASK;
	probe->started = m->now.mono;
	member->probe = probe;
	members_busy(m, member);
	return probe;
}

void probe_init(struct membership *m)
{
	m->heard = m->now.mono;
	m->hot_until = m->horizon;
	m->probe_at = m->now.mono + chance_below(&m->chance, m->profile.interval);
}

void probe_fini(struct membership *m)
{
	struct probe *probe;

	while ((probe = m->free_probes)) {
		m->free_probes = probe->next;
		free(probe);
	}
}

void probe_heard(struct membership *m)
{
	m->heard = m->now.mono;
}

void probe_late(struct membership *m, usec_t late)
{
	for (unsigned int i = 0; i < m->busy_count; i++) {
		struct probe *probe = m->busy[i]->probe;

		if (!probe)
			continue;
		postpone(&probe->started, late);
		postpone(&probe->next_ping, late);
		postpone(&probe->deadline, late);
	}
	m->heard = MIN(m->heard + late, m->now.mono);
}

void probe_redial_soon(struct membership *m)
{
	m->hot_until = m->now.mono + SEC;
	m->redial_at = MIN(m->redial_at, m->now.mono);
}

bool probe_may_verify(struct membership *m)
{
	if (m->verify_budget == 0)
		return false;
	m->verify_budget--;
	return true;
}

void probe_end(struct membership *m, struct member *member)
{
	struct probe *probe = member->probe;

	if (!probe)
		return;
	member->probe = NULL;
	probe->next = m->free_probes;
	m->free_probes = probe;
}

static void send_pings(struct membership *m, struct member *member)
{
	struct probe *probe = member->probe;

	probe->attempt = (uint8_t)((probe->attempt + 1) % (1 << ATTEMPT_BITS));
	probe->pinged = m->now.mono;
	probe->next_ping = m->now.mono + probe_scaled(m, m->profile.timeout) / 2;
	for (unsigned int i = 0; i < member->path_count; i++) {
		if (probe->paths >> i & 1)
			continue;
		m->pings++;
		datagram_push(m, (struct out){.kind = OUT_PING,
					      .member = member->id,
					      .nonce = probe->nonce | i |
						       (uint64_t)probe->attempt << PATH_BITS,
					      .remote = member->paths[i].endpoint,
					      .local = (uint16_t)i});
	}
	/* One ping is enough to see that the member is within reach again. */
	if (helper_indirect(member) && probe->stage == PROBE_DIRECT)
		probe->next_ping = USEC_NEVER;
}

void probe_hello(struct membership *m, struct member *member)
{
	struct probe *probe = member->probe;

	if (member->path_count == 0 || (probe && probe->stage != PROBE_HELLO) ||
	    (probe && m->now.mono < probe->pinged + HELLO_PAUSE))
		return;
	if (!probe)
		probe = probe_new(m, member);
	if (!probe)
		return;
	probe->stage = PROBE_HELLO;
	probe->deadline = m->now.mono + 2 * m->profile.timeout;
	send_pings(m, member);
	probe->next_ping = USEC_NEVER;
}

/* Has no other member answered on this path either? An ack of a ping that was in flight then does
 * not count. A member that was not pinged since then might ack. */
static bool nobody_acks(const struct membership *m, unsigned int path, usec_t since)
{
	if (m->alive_count <= 1 || m->acked[path] > since + m->profile.timeout)
		return false;
	for (unsigned int i = 0; i < m->order_count; i++) {
		const struct member *member = m->members[m->order[i]];

		if (member_answers(member) && path < member->path_count &&
		    member->paths[path].misses == 0)
			return false;
	}
	return true;
}

/* A member acks on this path again: if others still don't, the fault is theirs. */
static void own_udp_works(struct membership *m, unsigned int path)
{
	m->own_udp_failures &= ~(1u << path);
	for (unsigned int i = 0; i < m->member_cap; i++) {
		struct member *member = m->members[i];

		if (!member || path >= member->path_count || !member->paths[path].udp_down)
			continue;
		path_udp_set(&member->paths[path], false);
		change_view(m);
		members_busy(m, member);
	}
}

/* How many members answer, by whatever way, and don't ack our own pings. fresh: only those of which
 * it is not known yet that they can't. */
static unsigned int count_missing(const struct membership *m, bool fresh)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < m->order_count; i++) {
		const struct member *member = m->members[m->order[i]];

		count += member_answers(member) && !helper_direct(member) &&
			 !(fresh && helper_indirect(member));
	}
	return count;
}

/* Nearly all are missing: even if some died, our own links are in doubt. */
static bool most_are_missing(const struct membership *m)
{
	return 3 * count_missing(m, false) > 2 * m->alive_count;
}

/* Pings all members, so that we soon know which of them are out of our reach. */
static void sweep(struct membership *m)
{
	if (m->now.mono < m->sweep_at || m->silent)
		return;
	m->sweep_at = m->now.mono + SWEEP_PAUSE;
	m->swept_at = m->now.mono;
	for (unsigned int i = 0; i < m->order_count; i++) {
		struct member *member = m->members[m->order[i]];

		if (member_answers(member) && !links_down(member))
			probe_start(m, member, false);
	}
}

/* Pings that were not answered until the next ones are due. True: some path is still in doubt. */
static bool count_misses(struct membership *m, struct member *member)
{
	struct probe *probe = member->probe;
	bool doubt = false;

	for (unsigned int i = 0; i < member->path_count; i++) {
		struct member_path *path = &member->paths[i];

		if (probe->paths >> i & 1)
			continue;
		m->pings_lost++;
		path_udp_missed(path, probe->pinged);
		/* its earlier answers are no sign that another way is open now */
		if (probe->answered && member->heard > path->missing &&
		    path->misses >= PATH_MISSES && !path->udp_down) {
			path_udp_set(path, true);
			change_view(m);
			if (nobody_acks(m, i, path->missing))
				m->own_udp_failures |= 1u << i;
		}
		doubt |= !path->udp_down;
	}
	if (count_missing(m, true) > 1)
		sweep(m);
	return doubt;
}

/* If pings to a member are known to fail, a stream takes their place, and counts for a while. */
static bool heard_by_tcp(const struct membership *m, const struct member *member)
{
	for (unsigned int i = 0; i < member->path_count; i++) {
		const struct member_path *path = &member->paths[i];

		if (path->udp_down && path->tcp_heard &&
		    path->tcp_heard + TCP_LATELY >= m->now.mono)
			return true;
	}
	return false;
}

/* narrow: only the one of the last time is asked. */
static void ask_helpers(struct membership *m, struct member *member, bool narrow)
{
	struct member *helpers[HELPERS];
	struct probe *probe = member->probe;
	unsigned int count;

	helper_choose(m, member, helpers, &count);
	assert(count <= HELPERS);
	probe->narrow = narrow && count > 0 && helpers[0]->id == member->helper;
	if (probe->narrow)
		count = 1;
	probe->helpers = (uint8_t)count;
	probe->nacks = 0;
	for (unsigned int i = 0; i < count; i++) {
		TRACE(&m->trace, "ping-req %s through %s", member->name, helpers[i]->name);
		probe->helper[i] = helpers[i]->id;
		datagram_push(m, (struct out){.kind = OUT_PING_REQ,
					      .member = member->id,
					      .via = helpers[i]->id,
					      .nonce = probe->nonce});
	}
}

static void probe_indirectly(struct membership *m, struct member *member)
{
	struct probe *probe = member->probe;

	if (heard_by_tcp(m, member)) {
		probe_answered(m, member);
		return;
	}
	probe->stage = PROBE_INDIRECT;
	probe->deadline = m->now.mono + probe_scaled(m, m->profile.timeout);
	/* If each probe of this member takes a helper, the last helper will do. */
	ask_helpers(m, member, helper_indirect(member) && !probe->narrow);
	if (links_cut(member))
		return;
	probe->dialled = true;
	for (unsigned int i = 0; i < member->path_count; i++)
		pushpull_dial(m, member, &member->paths[i].endpoint, -1);
}

void probe_start(struct membership *m, struct member *member, bool deep)
{
	struct probe *probe = member->probe;

	if (probe && probe->stage != PROBE_HELLO) {
		probe->deep |= deep;
		return;
	}
	probe_end(m, member);
	probe = probe_new(m, member);
	if (!probe)
		return;
	probe->deep = deep;
	/* The redial tries, apart from this, whether the member is within reach again. */
	if (deep && links_cut(member)) {
		probe->next_ping = USEC_NEVER;
		probe_indirectly(m, member);
		return;
	}
	probe->stage = PROBE_DIRECT;
	probe->deadline = m->now.mono + probe_scaled(m, m->profile.timeout);
	send_pings(m, member);
}

bool probe_doubts_links(const struct membership *m, const struct member *member)
{
	if (expects_no_ack(m, member))
		return true;
	return m->now.mono < m->swept_at + SWEEP_ACKS && most_are_missing(m);
}

bool probe_waits(const struct membership *m, const struct member *member)
{
	if (m->silent || !m->swept_at)
		return false;
	if (m->now.mono < m->swept_at + probe_scaled(m, m->profile.timeout) * 2 / 3)
		return true;
	if (!most_are_missing(m))
		return false;
	if (!m->links.any)
		return m->now.mono < m->swept_at + SWEEP_ACKS;
	return member->hops > 0 && m->now.mono < m->swept_at + SWEEP_TIME;
}

/* Not all that promises something was tried. If none of the helpers acks or nacks, the fault may be
 * our own. */
static bool is_early(struct membership *m, const struct member *member)
{
	const struct probe *probe = member->probe;

	if (probe->helpers > 1 && probe->nacks == 0)
		sweep(m);
	return probe->narrow || probe_waits(m, member);
}

/* No way has answered in time. */
static void accuse(struct membership *m, struct member *member)
{
	struct probe *probe = member->probe;

	/* Helpers that live would have nacked. */
	if (probe->stage == PROBE_INDIRECT && probe->nacks < probe->helpers)
		local_health_add(m, 1);
	probe->stage = PROBE_WATCH;
	probe->deadline = USEC_NEVER;
	if (links_cut(member))
		probe->next_ping = m->now.mono + probe_scaled(m, m->profile.timeout);
	suspicion_own(m, member);
}

static void direct_over(struct membership *m, struct member *member)
{
	struct probe *probe = member->probe;
	usec_t timeout = probe_scaled(m, m->profile.timeout);
	bool doubt = probe_doubts_links(m, member);

	if (probe->deep || (member->suspicion && doubt)) {
		probe->deep = true;
		if (member->suspicion && !doubt)
			suspicion_own(m, member);
		probe_indirectly(m, member);
	} else if (member->suspicion) {
		accuse(m, member);
	} else if (m->now.mono < probe->started + 5 * timeout / 2) {
		/* A helper's: an accusation may be on its way; or a sweep's, which takes some. */
		probe->deadline = probe->started + 5 * timeout / 2;
	} else {
		probe_end(m, member);
	}
}

void probe_timer(struct membership *m, struct member *member, usec_t *next)
{
	struct probe *probe = member->probe;

	if (m->now.mono >= probe->next_ping && links_cut(member)) {
		ask_helpers(m, member, false);
		probe->next_ping = m->now.mono + probe_scaled(m, m->profile.timeout);
	} else if (m->now.mono >= probe->next_ping) {
		if (!count_misses(m, member) && probe->stage == PROBE_WATCH && probe->answered) {
			probe_end(m, member);
			return;
		}
		send_pings(m, member);
	}
	if (m->now.mono >= probe->deadline) {
		if (probe->stage == PROBE_DIRECT)
			direct_over(m, member);
		else if (probe->stage == PROBE_INDIRECT && is_early(m, member))
			probe_indirectly(m, member);
		else if (probe->stage == PROBE_INDIRECT)
			accuse(m, member);
		else
			probe_end(m, member);
	}
	if (member->probe)
		sooner(next, MIN(member->probe->next_ping, member->probe->deadline));
}

void probe_answered(struct membership *m, struct member *member)
{
	struct probe *probe = member->probe;
	unsigned int all = (1u << member->path_count) - 1;

	if (!probe)
		return;
	if (!probe->answered && probe->stage == PROBE_DIRECT)
		local_health_add(m, -1);
	probe->answered = true;
	if ((probe->paths & all) == all || probe->stage == PROBE_HELLO || helper_indirect(member)) {
		probe_end(m, member);
		return;
	}
	if (probe->stage != PROBE_WATCH || probe->deadline == USEC_NEVER) {
		probe->stage = PROBE_WATCH;
		probe->deadline = m->now.mono + WATCH_TIME;
	}
}

void probe_unhurried(struct membership *m, struct member *member)
{
	if (member->probe && member->probe->deadline == USEC_NEVER)
		member->probe->deadline = m->now.mono + WATCH_TIME;
}

/* The member acks our pings on this path again. */
static void up_again(struct membership *m, struct member *member, struct member_path *path)
{
	change_view(m);
	path_udp_set(path, false);
	if (!path->tcp_down)
		return;
	/* The cut of pings and streams has ended for pings; a dial finds out whether it has for
	 * streams. */
	path_tcp_retry(path);
	pushpull_dial(m, member, &path->endpoint, -1);
	probe_redial_soon(m);
}

bool probe_ack(struct membership *m, struct member *member, uint64_t nonce, uint64_t epoch,
	       const struct member *via)
{
	struct probe *probe = member->probe;
	unsigned int i = nonce & ((1 << PATH_BITS) - 1);
	struct member_path *path = &member->paths[i];
	usec_t rtt = 0;

	if (!probe || (nonce & NONCE_MASK) != probe->nonce || i >= member->path_count)
		return false;
	if (via) {
		member->helper = m->helper = via->id;
	} else {
		if (nonce == (probe->nonce | i | (uint64_t)probe->attempt << PATH_BITS))
			rtt = MAX(m->now.mono - probe->pinged, (usec_t)1);
		path_udp_acked(path, m->now.mono, rtt);
		m->acked[i] = m->now.mono;
		if (m->own_udp_failures >> i & 1)
			own_udp_works(m, i);
		if (path->udp_down)
			up_again(m, member, path);
		probe->paths |= (uint8_t)(1u << i);
		pushpull_doubt(m, member);
	}
	m->accepted = true;
	if (via && member->state == STATE_FAILED)
		split_evidence(m, member, EVIDENCE_THIRD);
	member_alive(m, member, epoch);
	return true;
}

void probe_nack(struct membership *m, struct member *helper, uint64_t subject)
{
	struct member *member = members_find(m, subject);
	struct probe *probe = member ? member->probe : NULL;

	for (unsigned int i = 0; probe && i < probe->helpers; i++)
		if (probe->helper[i] == helper->id) {
			probe->helper[i] = 0;
			probe->nacks++;
		}
}

void probe_evidence(const struct member *member, struct membership_notice *notice)
{
	const struct probe *probe = member->probe;

	if (!probe)
		return;
	notice->pings = probe->attempt;
	notice->evidence |= EVIDENCE_UDP;
	notice->helpers = probe->helpers;
	notice->nacks = probe->nacks;
	if (member->refused_at >= probe->started)
		notice->evidence |= EVIDENCE_REFUSED;
	else if (probe->dialled)
		notice->evidence |= EVIDENCE_TCP;
}

static bool is_free(const struct member *member)
{
	return !member->probe || member->probe->stage == PROBE_HELLO;
}

/* The next in the round; each round has an order of its own. */
static struct member *next_target(struct membership *m)
{
	struct member *member;

	for (unsigned int tries = 0; m->order_count > 0 && tries <= m->order_count; tries++) {
		member = members_next(m);
		if (member && !links_cut(member) && is_free(member))
			return member;
	}
	return NULL;
}

/* The member behind a cut link that we have not heard for the longest. */
static struct member *next_indirect(struct membership *m)
{
	struct member *oldest = NULL;

	for (unsigned int i = 0; i < m->order_count; i++) {
		struct member *member = m->members[m->order[i]];

		if (member_answers(member) && links_cut(member) && is_free(member) &&
		    (!oldest || member->heard < oldest->heard))
			oldest = member;
	}
	return oldest;
}

/* Others probe directly the members that are cut off from us: we do so rarely, the more rarely the
 * more hops it takes. */
static struct member *next_member(struct membership *m)
{
	struct member *member = NULL;

	if (m->links.cut > 0 && m->now.mono >= m->indirect_at)
		member = next_indirect(m);
	if (!member)
		return next_target(m);
	m->indirect_at = m->now.mono + INDIRECT_INTERVALS * MAX(member->hops, 2u) *
					       probe_scaled(m, m->profile.interval);
	return member;
}

void probe_hello_indirect(struct membership *m, struct member *member)
{
	struct probe *probe = member->probe;
	struct member *helpers[HELPERS];
	unsigned int count;

	if (!probe || probe->stage != PROBE_HELLO || probe->pinged != m->now.mono)
		return;
	helper_choose(m, member, helpers, &count);
	if (count > 0)
		datagram_push(m, (struct out){.kind = OUT_PING_REQ,
					      .member = member->id,
					      .via = helpers[0]->id,
					      .nonce = probe->nonce});
}

/* Pings it directly, and through a helper that may still reach it; others reach one that is only
 * cut off from us. */
static void redial(struct membership *m, struct member *member)
{
	probe_hello(m, member);
	if (!member_answers(member))
		probe_hello_indirect(m, member);
	else if (m->now.mono >= m->hot_until)
		pushpull_dial(m, member, &member->paths[0].endpoint, -1);
}

static void redial_next(struct membership *m)
{
	for (unsigned int i = 0; i < m->member_cap; i++) {
		struct member *member;

		m->missing_at = (m->missing_at + 1) % m->member_cap;
		member = m->members[m->missing_at];
		if (member && (member->state == STATE_FAILED || member->state == STATE_AWAY ||
			       (member->state == STATE_UNPROVEN && member->in_roster) ||
			       (member_answers(member) && links_cut(member)))) {
			redial(m, member);
			return;
		}
	}
}

/* We are alone, or all others are: the members that we would probe in turn we probe at once. */
static void ask_all(struct membership *m)
{
	for (unsigned int i = 0; i < m->order_count; i++) {
		struct member *member = m->members[m->order[i]];

		if (!member_answers(member))
			continue;
		if (member->suspicion)
			suspicion_unscaled(m, member);
		probe_start(m, member, true);
		if (member->probe && member->probe->stage != PROBE_WATCH)
			member->probe->deadline =
				MIN(member->probe->deadline, m->now.mono + m->profile.timeout);
		members_busy(m, member);
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

/* If few can ack, and none has lately, we ping one of them besides: we must know whether it is our
 * own fault that others don't. */
static void ask_one_near(struct membership *m)
{
	struct member *member;
	usec_t acked = 0;

	for (unsigned int i = 0; i < m->address_count; i++)
		acked = MAX(acked, m->acked[i]);
	if (!m->links.any || m->now.mono < acked + 2 * m->profile.interval)
		return;
	member = links_pick(m);
	if (member && is_free(member))
		probe_start(m, member, true);
}

void probe_own_udp_timer(struct membership *m, usec_t *next)
{
	struct membership_notice *notice;

	if (m->alive_count == 0)
		m->own_udp_failures = 0;
	notice = notice_incident_update(m, &m->own_udp, m->own_udp_failures != 0, 0,
					MEMBERSHIP_MEMBER_PARTIAL, MEMBERSHIP_MEMBER_WHOLE, NULL,
					next);
	if (notice)
		notice->evidence = EVIDENCE_UDP;
}

void probe_timers(struct membership *m, usec_t *next)
{
	struct member *member;

	silence(m, next);
	if (m->now.mono >= m->probe_at) {
		m->probe_at = m->now.mono + probe_scaled(m, m->profile.interval);
		m->verify_budget = 8 + m->member_count / 16;
		member = next_member(m);
		if (member)
			probe_start(m, member, true);
		ask_one_near(m);
	}
	sooner(next, m->probe_at);
	if (m->missing_count + m->away_count + m->links.cut == 0)
		return;
	if (m->now.mono >= m->redial_at) {
		redial_next(m);
		m->redial_at =
			m->now.mono + (m->now.mono < m->hot_until ? REDIAL_HOT : m->profile.redial);
	}
	sooner(next, m->redial_at);
}
