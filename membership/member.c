/* A member's life: its states (unproven, alive, suspect, failed, away, gone), the changes between
 * them, and its timers. */
#include <assert.h>

#include "membership/parts.h"

#define HEARSAY (60 * SEC) /* how long a member that never answered is remembered */
#define HELLO_FIRST (200 * MSEC)
#define HELLO_LAST (10 * SEC)
#define HELLOS_BEFORE_DIAL 3
#define DIAL_FIRST SEC
#define DIAL_DOUBLINGS 4u
#define CUT_TIME (10 * SEC) /* in which a cut is known to all, or to none any more */

const char *member_phase_name(int phase)
{
	static const char *const names[PHASE_MAX] = {
		[PHASE_JOINING] = "joining",   [PHASE_SYNCING] = "syncing", [PHASE_READY] = "ready",
		[PHASE_DRAINING] = "draining", [PHASE_LEAVING] = "leaving", [PHASE_LEFT] = "left",
		[PHASE_ABSENT] = "absent",
	};

	return phase >= 0 && phase < PHASE_MAX ? names[phase] : "unknown";
}

const char *member_state_name(int state)
{
	static const char *const names[STATE_MAX] = {
		[STATE_UNPROVEN] = "unproven", [STATE_ALIVE] = "alive", [STATE_SUSPECT] = "suspect",
		[STATE_FAILED] = "failed",     [STATE_AWAY] = "away",   [STATE_GONE] = "gone",
	};

	return state >= 0 && state < STATE_MAX ? names[state] : "unknown";
}

unsigned int member_log2(unsigned int n)
{
	unsigned int log = 0;

	while (log < 31 && 1u << log < n)
		log++;
	return log;
}

bool member_answers(const struct member *member)
{
	return member->state == STATE_ALIVE || member->state == STATE_SUSPECT;
}

/* Is the member expected to answer, and doesn't? */
static bool is_missing(const struct member *member)
{
	return member->state == STATE_FAILED ||
	       (member->state == STATE_UNPROVEN && member->in_roster);
}

void member_init(const struct membership *m, struct member *member)
{
	member->state = STATE_UNPROVEN;
	member->since = member->heard = m->now.mono;
}

/* A finalizer of MurmurHash3's: every bit of the input reaches every bit of the sum. */
static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 33)) * UINT64_C(0xff51afd7ed558ccd);
	z = (z ^ (z >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
	return z ^ (z >> 33);
}

uint64_t member_digest(const struct member *member)
{
	if (!member->in_roster || member->state == STATE_GONE)
		return 0;
	return mix(mix(mix(mix(member->id) + member->epoch) + member->incarnation) +
		   member->serial);
}

void member_roster_set(struct membership *m, struct member *member, bool in_roster)
{
	if (member->in_roster == in_roster)
		return;
	if (is_missing(member))
		m->missing_count--;
	members_digest_out(m, member);
	member->in_roster = in_roster;
	members_digest_in(m, member);
	if (is_missing(member))
		m->missing_count++;
	m->roster_count += in_roster ? 1u : -1u;
	change_roster(m);
	change_view(m);
}

/* PROTOCOL.md, "States": the states that may follow each, as bits. */
static const unsigned int follows[STATE_MAX] = {
	[STATE_UNPROVEN] =
		1u << STATE_ALIVE | 1u << STATE_FAILED | 1u << STATE_AWAY | 1u << STATE_GONE,
	[STATE_ALIVE] = 1u << STATE_SUSPECT | 1u << STATE_AWAY | 1u << STATE_GONE,
	[STATE_SUSPECT] = 1u << STATE_ALIVE | 1u << STATE_FAILED | 1u << STATE_GONE,
	[STATE_FAILED] = 1u << STATE_ALIVE | 1u << STATE_AWAY | 1u << STATE_GONE,
	[STATE_AWAY] = 1u << STATE_ALIVE | 1u << STATE_FAILED | 1u << STATE_GONE,
	/* Back, or never left: as it was held before. */
	[STATE_GONE] =
		1u << STATE_UNPROVEN | 1u << STATE_ALIVE | 1u << STATE_FAILED | 1u << STATE_AWAY,
};

void member_state_set(struct membership *m, struct member *member, enum member_state state)
{
	if (member->state == state)
		return;
	assert(follows[member->state] >> state & 1);
	TRACE(&m->trace, "%s %s -> %s", member->name, member_state_name((int)member->state),
	      member_state_name((int)state));
	m->alive_count -= member_answers(member);
	m->away_count -= member->state == STATE_AWAY;
	m->missing_count -= is_missing(member);
	members_digest_out(m, member);
	if (member_answers(member) != (state == STATE_ALIVE || state == STATE_SUSPECT)) {
		change_view(m);
		m->view_at = m->now.mono;
		/* The running probe was for the state before. */
		probe_end(m, member);
	}
	member->state = state;
	member->since = m->now.mono;
	members_digest_in(m, member);
	m->missing_count += is_missing(member);
	m->away_count += member->state == STATE_AWAY;
	m->alive_count += member_answers(member);
	if (member_answers(member))
		members_round_add(m, member);
	members_busy(m, member);
}

/* An answer proves no life of a member that has left, or is absent, by its own statement of that
 * epoch. A member can't be probed before it has stated its addresses. */
static bool may_be_alive(const struct member *member, uint64_t epoch)
{
	bool may_answer = member->phase != PHASE_LEFT && member->phase != PHASE_ABSENT;

	return member->path_count > 0 && (epoch > member->epoch || may_answer);
}

static void back(struct membership *m, struct member *member, uint64_t epoch)
{
	bool was_missing = is_missing(member), known = member->in_roster;

	tombstone_forget(member);
	member->hellos = 0;
	path_forget_misses(member);
	member_state_set(m, member, STATE_ALIVE);
	member_roster_set(m, member, true);
	if (!known)
		notice_add(m, MEMBERSHIP_MEMBER_JOINED, member);
	tombstone_name(m, member);
	if (was_missing) {
		split_back(m, member, epoch > member->failed_epoch);
		/* If one is back, the others may be too. */
		probe_redial_soon(m);
	}
}

void member_alive(struct membership *m, struct member *member, uint64_t epoch)
{
	member->heard = m->now.mono;
	members_busy(m, member);
	if (!may_be_alive(member, epoch))
		return;
	member->answered = true;
	if (member->state == STATE_SUSPECT)
		suspicion_clear(m, member);
	else if (member->state != STATE_ALIVE)
		back(m, member, epoch);
	probe_answered(m, member);
}

static void say_hello(struct membership *m, struct member *member, usec_t *next)
{
	usec_t pause = HELLO_FIRST << MIN(member->hellos, 6u);

	if (m->now.mono >= member->hello_at) {
		probe_hello(m, member);
		if (member->hellos > 0)
			probe_hello_indirect(m, member);
		member->hellos = (uint8_t)MIN(member->hellos + 1u, 200u);
		/* The member may not know us: a session shows it our certificate. */
		if (member->hellos >= HELLOS_BEFORE_DIAL && member->path_count > 0)
			pushpull_dial(m, member, &member->paths[0].endpoint, -1);
		member->hello_at = m->now.mono + MIN(pause, HELLO_LAST);
	}
	sooner(next, member->hello_at);
}

/* Marks the member failed, and redials it from now on. */
void member_miss(struct membership *m, struct member *member)
{
	bool answered = member_answers(member);

	split_failed(m, member);
	member->hellos = 0;
	member->hello_at = m->now.mono + chance_below(&m->chance, DIAL_FIRST);
	member_state_set(m, member, STATE_FAILED);
	/* A member that was missing from the start, or overstays its lease, is no sign of a
	 * split. */
	if (answered)
		split_lost(m, member);
}

/* A newer statement of the same epoch takes *left* back, as if it had never been stated: members
 * that got the two in another order never saw it leave. */
void member_unleave(struct membership *m, struct member *member)
{
	if (member->state != STATE_GONE || member->removal || member->left_epoch != member->epoch)
		return;
	member->left_epoch = 0;
	member_state_set(m, member, member->left_state);
	member_roster_set(m, member, true);
	notice_add(m, MEMBERSHIP_MEMBER_JOINED, member);
}

void member_lease(struct membership *m, struct member *member)
{
	member->lease_end = m->now.mono + member->lease * SEC;
}

void member_hello_at(struct member *member, usec_t time)
{
	member->hellos = 0;
	member->hello_at = time;
}

void member_verify_at(struct member *member, usec_t time)
{
	member->verify_at = time;
}

void member_left(struct membership *m, struct member *member)
{
	bool known = member->in_roster;

	suspicion_clear(m, member);
	probe_end(m, member);
	/* A suspicion ends with it. */
	member->left_state = member->state == STATE_SUSPECT ? STATE_ALIVE : member->state;
	member->left_epoch = known ? member->epoch : 0;
	member_state_set(m, member, STATE_GONE);
	member_roster_set(m, member, false);
	if (known)
		notice_add(m, MEMBERSHIP_MEMBER_LEFT, member);
}

/* By TCP, for ever: a member that has our old address, or does not know us, learns it on the
 * stream. Pings go to all that are missing, in turn (probe.c). */
static void redial(struct membership *m, struct member *member, usec_t *next)
{
	usec_t pause = DIAL_FIRST << MIN(member->hellos, DIAL_DOUBLINGS);
	const struct member_path *path;

	if (m->now.mono >= member->hello_at && member->path_count > 0) {
		path = &member->paths[member->hellos % member->path_count];
		member->hellos = (uint8_t)(member->hellos < 200 ? member->hellos + 1 : 100);
		pushpull_dial(m, member, &path->endpoint, -1);
		member->hello_at = m->now.mono + pause + chance_below(&m->chance, pause);
	}
	if (member->path_count > 0)
		sooner(next, member->hello_at);
}

/* Ends states that end by themselves, when it is time; false: the member has been removed. */
static bool state_timer(struct membership *m, struct member *member, usec_t *next)
{
	usec_t end = USEC_NEVER;

	if (!member_answers(member))
		tombstone_name(m, member);
	switch (member->state) {
	case STATE_UNPROVEN:
		end = member->in_roster ? MAX(m->horizon, member->since + HEARSAY / 12)
					: member->since + HEARSAY;
		if (m->now.mono < end)
			say_hello(m, member, next);
		else if (member->in_roster)
			member_miss(m, member);
		break;
	case STATE_FAILED:
		redial(m, member, next);
		break;
	case STATE_AWAY:
		end = member->lease_end;
		if (m->now.mono >= end)
			member_miss(m, member);
		else
			redial(m, member, next);
		break;
	case STATE_GONE:
		return tombstone_timer(m, member, next);
	default:
		break;
	}
	if (m->now.mono < end)
		sooner(next, end);
	else if (member->state == STATE_UNPROVEN) {
		members_remove(m, member);
		return false;
	}
	return true;
}

static void incidents(struct membership *m, struct member *member, usec_t *next)
{
	struct membership_notice *notice;
	unsigned int down = 0;

	notice_incident_update(m, &member->failed, member->state == STATE_FAILED, 0,
			       MEMBERSHIP_MEMBER_FAILED, MEMBERSHIP_MEMBER_RECOVERED, member, next);
	for (unsigned int i = 0; i < member->path_count; i++) {
		if (!(m->own_udp_failures >> i & 1))
			down |= member->paths[i].udp_down ? EVIDENCE_UDP : 0u;
		down |= member->paths[i].tcp_down ? EVIDENCE_TCP : 0u;
	}
	/* If it lists us too, the pair is part of a cut, which has an incident of its own. */
	notice = notice_incident_update(
		m, &member->partial, down && member_answers(member) && !links_mutual(m, member),
		links_down(member) || links_cut_lately(m, CUT_TIME) ? CUT_TIME : 0,
		MEMBERSHIP_MEMBER_PARTIAL, MEMBERSHIP_MEMBER_WHOLE, member, next);
	if (!notice)
		return;
	notice->evidence = down;
	if (down & EVIDENCE_UDP && member->path_count > 1 && member->back_at)
		split_evidence(m, member, EVIDENCE_OTHER_ADDRESS);
}

usec_t member_timers(struct membership *m, struct member *member)
{
	usec_t next = USEC_NEVER;

	assert((member->state == STATE_SUSPECT) == (member->suspicion != NULL));
	if (member->probe)
		probe_timer(m, member, &next);
	if (member->suspicion)
		suspicion_timer(m, member, &next);
	if (!state_timer(m, member, &next))
		return USEC_NEVER;
	if (member->verify_at) {
		if (m->now.mono >= member->verify_at) {
			member->verify_at = 0;
			probe_hello(m, member);
		} else {
			sooner(&next, member->verify_at);
		}
	}
	if (member->probe)
		sooner(&next, MIN(member->probe->next_ping, member->probe->deadline));
	incidents(m, member, &next);
	if (next == USEC_NEVER)
		members_idle(m, member);
	return next;
}

void member_late(struct membership *m, usec_t late)
{
	for (unsigned int i = 0; i < m->busy_count; i++)
		postpone(&m->busy[i]->lease_end, late);
	m->view_at = MIN(m->view_at + late, m->now.mono);
}
