/* SWIM's suspicion: an accusation makes a member suspect; the member refutes the accusation
 * with a newer incarnation, or fails when the time is over. Accusations by other members confirm
 * it, and so shorten the time (Lifeguard). */
#include <assert.h>
#include <stdlib.h>

#include "membership/parts.h"
#include "proto/arena.h"

#define SUSPICION_BODY_MAX 48
#define ALL_WAYS 64         /* so many members look for other ways when one is accused */
#define SUSPICION_LONGEST 4 /* times the shortest */

/* How much of the difference between longest and shortest is saved by c of k confirmations, in
 * hundredths: log(c + 1) / log(k + 1). */
static const unsigned int saved[CONFIRMATIONS + 1][CONFIRMATIONS + 1] = {
	{100, 100, 100, 100},
	{0, 100, 100, 100},
	{0, 63, 100, 100},
	{0, 50, 79, 100},
};

static void set_deadline(struct membership *m, struct member *member)
{
	struct suspicion *suspicion = member->suspicion;
	usec_t shortest = probe_scaled(m, m->profile.suspicion), time = shortest;
	unsigned int confirmed = MIN(suspicion->count - 1, (unsigned int)CONFIRMATIONS);

	assert(suspicion->count >= 1 && suspicion->expected <= CONFIRMATIONS);
	time += (SUSPICION_LONGEST - 1) * shortest * (100 - saved[suspicion->expected][confirmed]) /
		100;
	suspicion->deadline = suspicion->started + time;
}

void suspicion_late(struct membership *m, usec_t late)
{
	for (unsigned int i = 0; i < m->busy_count; i++) {
		struct suspicion *suspicion = m->busy[i]->suspicion;

		if (!suspicion)
			continue;
		postpone(&suspicion->started, late);
		postpone(&suspicion->deadline, late);
	}
}

void suspicion_unscaled(struct membership *m, struct member *member)
{
	set_deadline(m, member);
}

static void add_accuser(struct membership *m, struct member *member, const struct accuser *accuser)
{
	struct suspicion *suspicion = member->suspicion;
	struct membership_notice *notice;

	assert(member_answers(member));
	if (accuser->id == m->identity->id)
		TRACE(&m->trace, "suspect %s", member->name);
	else
		TRACE(&m->trace, "%s suspects %s", members_find(m, accuser->id)->name,
		      member->name);
	if (!suspicion) {
		suspicion = calloc(1, sizeof(*suspicion));
		if (!suspicion)
			return;
		suspicion->started = m->now.mono;
		suspicion->epoch = member->epoch;
		suspicion->incarnation = member->incarnation;
		/* Confirmations may come from members that answer, and ourselves, but for the
		 * subject and the first accuser. */
		suspicion->expected = MIN(m->alive_count - 1, (unsigned int)CONFIRMATIONS);
		member->suspicion = suspicion;
		member_state_set(m, member, STATE_SUSPECT);
	}
	if (suspicion->count == ACCUSERS_MAX) {
		/* Our own accusation lets us act: it takes the place of the last one. */
		if (accuser->id != m->identity->id)
			return;
		suspicion->count--;
	}
	suspicion->accusers[suspicion->count++] = *accuser;
	set_deadline(m, member);
	members_busy(m, member);
	notice = notice_add(m, MEMBERSHIP_SUSPECTED, member);
	notice->accuser = accuser->id;
	notice->evidence = 0;
	for (unsigned int i = 0; i < suspicion->count; i++)
		notice->ids[notice->id_count++] = suspicion->accusers[i].id;
	if (accuser->id == m->identity->id)
		probe_evidence(member, notice);
	broadcast_add(m, ITEM_SUSPICION, member->id, accuser->id);
}

void suspicion_own(struct membership *m, struct member *member)
{
	Lvsmesh__Pb__Suspicion message = LVSMESH__PB__SUSPICION__INIT;
	struct accuser accuser = {.id = m->identity->id, .epoch = m->epoch};
	uint8_t body[SUSPICION_BODY_MAX];
	size_t len;

	if (!member_answers(member) || (member->suspicion && member->suspicion->own))
		return;
	message.subject = member->id;
	message.epoch = member->epoch;
	message.incarnation = member->incarnation;
	len = lvsmesh__pb__suspicion__pack(&message, body);
	accuser.sequence = record_number(m, RECORD_SUSPICION);
	seal_record_sign(m->identity, RECORD_SUSPICION, m->epoch, accuser.sequence, body, len,
			 accuser.signature);
	add_accuser(m, member, &accuser);
	if (member->suspicion)
		member->suspicion->own = true;
}

void suspicion_clear(struct membership *m, struct member *member)
{
	struct membership_notice *notice;
	usec_t started;

	if (!member->suspicion)
		return;
	started = member->suspicion->started;
	free(member->suspicion);
	member->suspicion = NULL;
	probe_unhurried(m, member);
	if (member->state == STATE_SUSPECT) {
		member_state_set(m, member, STATE_ALIVE);
		notice = notice_add(m, MEMBERSHIP_CLEARED, member);
		notice->duration = m->now.mono - started;
		notice->evidence = 0;
	}
}

static bool has_accused(const struct member *member, uint64_t accuser)
{
	const struct suspicion *suspicion = member->suspicion;

	for (unsigned int i = 0; suspicion && i < suspicion->count; i++)
		if (suspicion->accusers[i].id == accuser)
			return true;
	return false;
}

/* Each accusation once, in any order within 64. */
static bool recent_check(const struct recent *recent, uint64_t epoch, uint64_t sequence)
{
	if (epoch != recent->epoch)
		return epoch > recent->epoch;
	if (sequence > recent->highest)
		return true;
	return recent->highest - sequence < 64 &&
	       !(recent->taken >> (recent->highest - sequence) & 1);
}

static void recent_commit(struct recent *recent, uint64_t epoch, uint64_t sequence)
{
	uint64_t ahead;

	if (epoch != recent->epoch)
		*recent = (struct recent){.epoch = epoch};
	if (sequence > recent->highest) {
		ahead = sequence - recent->highest;
		recent->taken = ahead < 64 ? recent->taken << ahead : 0;
		recent->highest = sequence;
	}
	recent->taken |= (uint64_t)1 << (recent->highest - sequence);
}

/* Has our own probe been unanswered for long enough to confirm at once? */
static bool unanswered(const struct membership *m, const struct member *member)
{
	const struct probe *probe = member->probe;

	return probe && probe->stage != PROBE_HELLO && !probe->answered &&
	       !probe_doubts_links(m, member) &&
	       m->now.mono >= probe->started + probe_scaled(m, m->profile.timeout);
}

/* About ALL_WAYS of the members that verify a suspicion try all ways at once; all do if pings to a
 * path are known to fail. */
static bool tries_all_ways(struct membership *m, const struct member *member)
{
	for (unsigned int i = 0; i < member->path_count; i++)
		if (member->paths[i].udp_down)
			return true;
	return chance_below(&m->chance, m->alive_count) < ALL_WAYS;
}

static void verify(struct membership *m, struct member *member)
{
	if (unanswered(m, member)) {
		suspicion_own(m, member);
		return;
	}
	if (member->probe && member->probe->stage != PROBE_HELLO)
		return;
	if (probe_may_verify(m))
		probe_start(m, member, tries_all_ways(m, member));
}

void suspicion_take(struct membership *m, const Lvsmesh__Pb__Record *record)
{
	_Alignas(max_align_t) uint8_t memory[512];
	struct member *origin = members_find(m, record->origin), *member;
	struct accuser accuser = {
		.id = record->origin, .epoch = record->epoch, .sequence = record->sequence};
	Lvsmesh__Pb__Suspicion *message;
	uint64_t epoch, incarnation;
	struct arena arena;

	if (record->origin == m->identity->id)
		return;
	if (!origin || !member_answers(origin)) {
		refuse(m, origin ? REFUSED_ACCUSER : REFUSED_UNKNOWN);
		return;
	}
	if (!recent_check(&origin->accusations, record->epoch, record->sequence))
		return;
	arena_init(&arena, memory, sizeof(memory));
	message = record->body.len > SUSPICION_BODY_MAX
			  ? NULL
			  : lvsmesh__pb__suspicion__unpack(&arena.allocator, record->body.len,
							   record->body.data);
	if (!message) {
		refuse(m, REFUSED_MALFORMED);
		return;
	}
	member = members_find(m, message->subject);
	if (message->subject != m->identity->id && (!member || !member->in_roster)) {
		refuse(m, REFUSED_UNKNOWN);
		return;
	}
	epoch = member ? member->epoch : m->epoch;
	incarnation = member ? member->incarnation : m->incarnation;
	if (message->epoch > epoch ||
	    (message->epoch == epoch && message->incarnation > incarnation)) {
		refuse(m, REFUSED_AHEAD);
		return;
	}
	/* Refuted already, or of no consequence. */
	if (message->epoch < epoch || message->incarnation < incarnation ||
	    (member ? !member_answers(member) : m->refute))
		return;
	/* A repeated accusation is no confirmation. */
	if (member && has_accused(member, accuser.id))
		return;
	if (record_check(m, origin, record) != 0)
		return;
	recent_commit(&origin->accusations, record->epoch, record->sequence);
	if (!member) {
		record_refute(m, record->origin);
		return;
	}
	memcpy(accuser.signature, record->signature.data, SIGNATURE_SIZE);
	add_accuser(m, member, &accuser);
	if (member->suspicion)
		verify(m, member);
}

static void fail(struct membership *m, struct member *member)
{
	struct suspicion *suspicion = member->suspicion;
	struct membership_notice *notice;
	usec_t next = USEC_NEVER;

	member->suspicion = NULL;
	probe_end(m, member);
	if (member->phase == PHASE_LEAVING) {
		member_left(m, member);
		free(suspicion);
		return;
	}
	member_miss(m, member);
	notice = notice_incident_update(m, &member->failed, true, 0, MEMBERSHIP_MEMBER_FAILED,
					MEMBERSHIP_MEMBER_RECOVERED, member, &next);
	for (unsigned int i = 0; notice && i < suspicion->count; i++)
		notice->ids[notice->id_count++] = suspicion->accusers[i].id;
	free(suspicion);
}

void suspicion_timer(struct membership *m, struct member *member, usec_t *next)
{
	struct suspicion *suspicion = member->suspicion;

	if (m->now.mono < suspicion->deadline) {
		sooner(next, suspicion->deadline);
		return;
	}
	/* An accusation by others is no reason to fail a member, only a reason to probe it. */
	if (suspicion->own && !probe_waits(m, member)) {
		fail(m, member);
		return;
	}
	if (!member->probe || member->probe->stage == PROBE_HELLO)
		probe_start(m, member, tries_all_ways(m, member));
	suspicion->deadline = m->now.mono + probe_scaled(m, m->profile.timeout) / 4;
	sooner(next, suspicion->deadline);
}
