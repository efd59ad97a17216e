/* The facade: takes an event, runs what is due, and says what is to be done. */
#include "membership/membership.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "membership/parts.h"

#define HORIZON (5 * SEC)          /* after the start: until then no member is missed */
#define LEAVING_TIME (100 * MSEC)  /* between the statements leaving and left */
#define FAREWELL_TIME (300 * MSEC) /* in which the last statement spreads */
#define FAREWELL_DIRECT 64         /* so many hear it from ourselves */
#define TWICE_LASTS (60 * SEC)
#define MEMORY_TIME (30 * SEC)

const struct membership_profile membership_default = {
	.interval = 200 * MSEC,
	.timeout = 150 * MSEC,
	.suspicion = 450 * MSEC,
	.redial = SEC,
};

const struct membership_profile membership_fast = {
	.interval = 100 * MSEC,
	.timeout = 75 * MSEC,
	.suspicion = 225 * MSEC,
	.redial = 500 * MSEC,
};

static bool valid(const struct membership_options *options)
{
	const struct membership_profile *profile = &options->profile;

	return options->epoch > 0 && options->address_count > 0 &&
	       options->address_count <= MEMBERSHIP_ADDRESSES_MAX &&
	       version_range_valid(options->versions) && profile->interval > 0 &&
	       profile->timeout > 0 && profile->suspicion > 0 && profile->redial > 0;
}

int membership_new(const struct membership_options *options, struct membership **ret_membership)
{
	struct membership *m;
	int r;

	if (!valid(options))
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->identity = options->identity;
	m->epoch = options->epoch;
	m->profile = options->profile;
	crypto_generichash(m->chance.key, sizeof(m->chance.key), options->seed,
			   sizeof(options->seed), NULL, 0);
	m->now = options->now;
	m->timeout = m->now.mono;
	m->horizon = m->now.mono + HORIZON;
	m->boot = chance_next(&m->chance);
	memcpy(m->addresses, options->addresses, sizeof(m->addresses));
	m->address_count = options->address_count;
	m->versions = options->versions;
	m->config = options->config;
	m->witness = options->witness;
	probe_init(m);
	pushpull_init(m);
	r = options->roster_len ? roster_load(m, options->roster, options->roster_len) : 0;
	if (r != 0) {
		membership_free(m);
		return r;
	}
	place_init(m, options->directors_max);
	record_own_state(m);
	place_update(m);
	m->roster_changed = false;
	*ret_membership = m;
	return 0;
}

void membership_free(struct membership *m)
{
	if (!m)
		return;
	m->trace.line = NULL;
	members_fini(m);
	probe_fini(m);
	pushpull_fini(m);
	links_fini(m);
	sodium_memzero(m, sizeof(*m));
	free(m);
}

static void meta(struct membership *m, const struct membership_event *event)
{
	bool changed = event->phase != m->phase || event->config != m->config;

	if (m->phase >= PHASE_LEAVING || event->phase > PHASE_DRAINING || !changed)
		return;
	m->phase = event->phase;
	m->config = event->config;
	change_view(m);
	record_own_state(m);
}

static void go(struct membership *m, enum member_phase phase, usec_t lease)
{
	if (m->phase >= PHASE_LEAVING)
		return;
	m->phase = phase;
	m->lease = (uint32_t)(lease / SEC);
	m->leave_at = phase == PHASE_LEAVING ? m->now.mono + LEAVING_TIME : 0;
	m->done_at = m->now.mono + LEAVING_TIME + FAREWELL_TIME;
	/* Empties the roster on the disk: no old member may come back with us. */
	if (phase == PHASE_LEAVING)
		change_roster(m);
	record_own_state(m);
}

static void farewell(struct membership *m)
{
	m->leave_at = 0;
	m->phase = PHASE_LEFT;
	record_own_state(m);
	for (unsigned int i = 0; i < m->order_count && m->alive_count <= FAREWELL_DIRECT; i++)
		datagram_push(
			m, (struct out){.kind = OUT_GOSSIP, .member = m->members[m->order[i]]->id});
}

static void operator_removes(struct membership *m, uint64_t id)
{
	struct member *member = members_find(m, id);

	if (!member || member->state == STATE_GONE)
		refuse(m, REFUSED_UNKNOWN);
	else if (member_answers(member))
		refuse(m, REFUSED_REMOVAL);
	else
		tombstone_remove(m, member);
}

/* False: the event was refused. */
static bool dispatch(struct membership *m, const struct membership_event *event)
{
	switch (event->type) {
	case MEMBERSHIP_TICK:
		break;
	case MEMBERSHIP_JOIN:
		join_endpoints_set(m, event);
		break;
	case MEMBERSHIP_DATAGRAM:
		return datagram_take(m, event);
	case MEMBERSHIP_STREAM_OPENED:
		pushpull_opened(m, event);
		break;
	case MEMBERSHIP_STREAM_FRAME:
		pushpull_frame(m, event);
		break;
	case MEMBERSHIP_STREAM_CLOSED:
		pushpull_closed(m, event);
		break;
	case MEMBERSHIP_META:
		meta(m, event);
		break;
	case MEMBERSHIP_LEAVE:
		go(m, PHASE_LEAVING, 0);
		break;
	case MEMBERSHIP_ABSENCE:
		go(m, PHASE_ABSENT, event->lease);
		break;
	case MEMBERSHIP_REMOVE:
		operator_removes(m, event->member);
		break;
	case MEMBERSHIP_SYNC:
		pushpull_sync(m, event);
		break;
	case MEMBERSHIP_WITNESS:
		m->witness_ok = event->ok;
		break;
	}
	return true;
}

/* Is the statement in our name with a higher epoch only a memory of us? Another process makes new
 * statements when it hears that we exist. */
static uint64_t epoch_wanted(const struct membership *m)
{
	if (m->epoch_seen == 0 || m->epoch_seen < m->epoch)
		return 0;
	if (m->accepted && m->now.mono < m->moved_at + MEMORY_TIME)
		return 0;
	return m->epoch_seen + 1;
}

static void own_timers(struct membership *m, usec_t *next)
{
	if (m->refute && m->now.mono >= m->refute_at)
		record_own_state(m);
	if (m->refute)
		sooner(next, m->refute_at);
	if (m->leave_at && m->now.mono >= m->leave_at)
		farewell(m);
	if (m->leave_at)
		sooner(next, m->leave_at);
	if (m->done_at && m->now.mono >= m->done_at) {
		m->done = true;
		m->done_at = 0;
	}
	if (m->done_at)
		sooner(next, m->done_at);
	/* The other process may have been ourselves, before our state went back in time. */
	if (epoch_wanted(m) && !m->duplicate_identity.open)
		return;
	notice_incident_update(m, &m->duplicate_identity,
			       m->twice_at && m->now.mono < m->twice_at + TWICE_LASTS, 0,
			       MEMBERSHIP_DUPLICATE_IDENTITY,
			       MEMBERSHIP_DUPLICATE_IDENTITY_RESOLVED, NULL, next);
	if (m->duplicate_identity.open)
		sooner(next, MAX(m->twice_at + TWICE_LASTS, m->now.mono + SEC));
}

static usec_t timers(struct membership *m)
{
	usec_t next = USEC_NEVER;

	own_timers(m, &next);
	probe_timers(m, &next);
	datagram_timers(m, &next);
	members_timers(m, &next);
	probe_own_udp_timer(m, &next);
	pushpull_timers(m, &next);
	links_timers(m, &next);
	quorum_timers(m, &next);
	split_timers(m, &next);
	local_health_timers(m, &next);
	broadcast_timers(m, &next);
	return next;
}

static usec_t lateness(const struct membership *m, const struct membership_event *event)
{
	usec_t late = event->late;

	if (m->timeout != USEC_NEVER && m->now.mono > m->timeout)
		late = MAX(late, m->now.mono - m->timeout);
	return late;
}

/* We did not run for a while: no member could answer then, so that time does not count. */
static void was_late(struct membership *m, usec_t late)
{
	local_health_late(m, late);
	member_late(m, late);
	probe_late(m, late);
	suspicion_late(m, late);
	datagram_late(m, late);
	pushpull_late(m, late);
	if (m->now.mono < m->horizon + late)
		m->horizon += late;
}

void membership_step(struct membership *m, const struct membership_event *event,
		     struct membership_update *ret_update)
{
	bool refused;
	usec_t late;

	m->now.mono = MAX(m->now.mono, event->now.mono);
	m->now.wall = event->now.wall;
	late = m->running ? lateness(m, event) : 0;
	m->running = true;
	if (late >= m->profile.timeout / 2)
		was_late(m, late);
	refused = !dispatch(m, event);
	/* A flood of refused datagrams costs no more than the refusals. */
	if (!refused || late || m->now.mono >= m->timeout)
		m->timeout = MAX(timers(m), m->now.mono);
	/* The view is part of the roster, and both of the members that we know. */
	assert(m->alive_count <= m->roster_count && m->roster_count <= m->member_count);
	assert(m->alive_count + m->away_count + m->missing_count <= m->member_count);
	if (m->view_changed || m->roster_changed)
		place_update(m);
	*ret_update = (struct membership_update){
		.timeout = m->timeout,
		.output = m->output_bits,
		.close = pushpull_close_bits(m),
		.datagrams = m->out_count > 0,
		.dials = m->dial_bits != 0,
		.notices = m->notice_count > 0,
		.roster_changed = m->roster_changed,
		.view_changed = m->view_changed,
		.done = m->done,
		.epoch_wanted = epoch_wanted(m),
		.refused = refused,
		.sender = event->type == MEMBERSHIP_DATAGRAM ? m->sender : 0,
	};
	m->roster_changed = m->view_changed = false;
}

void membership_trace(struct membership *m, const struct trace *trace)
{
	m->trace = *trace;
}

usec_t membership_timeout(const struct membership *m)
{
	return m->timeout;
}
