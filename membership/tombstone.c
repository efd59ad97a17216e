/* Members that are gone. A tombstone ends when no director can bring its member back by an old
 * roster:
 *
 * - Everyone of the roster has shown the same sum as ours since, so its roster lacks the member
 * too; once more a minute later in the same boot, so that is on its disk.
 * - A member that left has thrown its own roster away. One that was removed did not, and may return
 * with it: as long as there is such a member, all tombstones stay.
 * - The tombstone of a removed member itself stays until its certificate has expired, unless its
 * name has a newer identity, which has its files.
 * - A member whose certificate has expired is in no roster that is read. */
#include <stdlib.h>

#include "membership/parts.h"
#include "proto/arena.h"

#define TOMBSTONE (3600 * SEC)  /* at least, for those who look at the list */
#define LOOK (60 * SEC)         /* whether one may end */
#define DURABLE (60 * SEC)      /* the disk has it by then */
#define REMOVAL_WAIT (60 * SEC) /* a failure younger than this may be a cut */

bool tombstone_removed(const struct member *member)
{
	return member->state == STATE_GONE && member->phase != PHASE_LEFT;
}

void tombstone_forget(struct member *member)
{
	free(member->removal);
	member->removal = NULL;
}

void tombstone_restarted(struct member *member)
{
	member->agreed = 0;
}

void tombstone_agreed(struct membership *m, struct member *member)
{
	if (member->agreed && m->now.mono < member->agreed + DURABLE)
		return;
	if (member->agreed)
		member->agreed_before = member->agreed;
	member->agreed = m->now.mono;
}

/* Has another identity of the same name, issued later, that is in the roster, or is our own? */
static bool has_successor(const struct membership *m, const struct member *member)
{
	const struct certificate *own = &m->identity->certificate;

	if (own->serial > member->serial && strcmp(own->name, member->name) == 0)
		return true;
	for (unsigned int i = 0; i < m->member_cap; i++) {
		const struct member *other = m->members[i];

		if (other && other->in_roster && other->serial > member->serial &&
		    strcmp(other->name, member->name) == 0)
			return true;
	}
	return false;
}

/* May this one come back, or be there, with a roster in which the member is? */
static bool may_hold(const struct membership *m, const struct member *other,
		     const struct member *member)
{
	if (other->in_roster)
		return other->agreed_before < member->since;
	return tombstone_removed(other) && !has_successor(m, other);
}

static bool may_end(const struct membership *m, const struct member *member)
{
	if (m->now.wall / SEC > member->not_after)
		return true;
	for (unsigned int i = 0; i < m->member_cap; i++)
		if (m->members[i] && may_hold(m, m->members[i], member))
			return false;
	return true;
}

bool tombstone_timer(struct membership *m, struct member *member, usec_t *next)
{
	if (m->now.mono < member->since + TOMBSTONE) {
		sooner(next, member->since + TOMBSTONE);
		return true;
	}
	if (!may_end(m, member)) {
		sooner(next, m->now.mono + LOOK);
		return true;
	}
	change_roster(m);
	members_remove(m, member);
	return false;
}

/* Signs the Removal in our own name, as we answer for it; in a roster too, so that it proves itself
 * there. */
static void sign(struct membership *m, struct member *member)
{
	Lvsmesh__Pb__Removal message = LVSMESH__PB__REMOVAL__INIT;
	struct removal *removal = calloc(1, sizeof(*removal));

	free(member->removal);
	member->removal = removal;
	if (!removal)
		return;
	message.subject = member->id;
	message.epoch = member->epoch;
	message.incarnation = member->incarnation;
	removal->len = (uint8_t)lvsmesh__pb__removal__pack(&message, removal->body);
	removal->epoch = m->epoch;
	removal->sequence = record_number(m, RECORD_REMOVAL);
	seal_record_sign(m->identity, RECORD_REMOVAL, removal->epoch, removal->sequence,
			 removal->body, removal->len, removal->signature);
}

void tombstone_record(const struct membership *m, const struct member *member,
		      Lvsmesh__Pb__Record *record)
{
	const struct removal *removal = member->removal;

	lvsmesh__pb__record__init(record);
	record->kind = RECORD_REMOVAL;
	record->origin = m->identity->id;
	record->epoch = removal->epoch;
	record->sequence = removal->sequence;
	record->body = record_bytes(removal->body, removal->len);
	record->signature = record_bytes(removal->signature, SIGNATURE_SIZE);
}

void tombstone_remove(struct membership *m, struct member *member)
{
	const struct removal *removal;

	member_left(m, member);
	sign(m, member);
	removal = member->removal;
	if (removal)
		broadcast_record(m, ITEM_REMOVAL, m->identity->id, removal->epoch,
				 removal->sequence, removal->body, removal->len,
				 removal->signature);
}

/* Its name belongs to another identity by now: the later certificate proves it. Every director
 * concludes so by itself. */
static void supersede(struct membership *m, struct member *member)
{
	member_left(m, member);
	sign(m, member);
}

static bool is_awaited(const struct member *member)
{
	return member->in_roster && !member_answers(member);
}

void tombstone_name(struct membership *m, struct member *member)
{
	if (is_awaited(member)) {
		if (m->now.mono >= m->horizon && has_successor(m, member))
			supersede(m, member);
		return;
	}
	for (unsigned int i = 0; member_answers(member) && i < m->member_cap; i++) {
		struct member *other = m->members[i];

		if (other && is_awaited(other) && other->serial < member->serial &&
		    strcmp(other->name, member->name) == 0)
			supersede(m, other);
	}
}

/* A failure may be ours alone: a director that has just started holds no member failed yet, and
 * only an answer of the member speaks against its removal. */
static bool may_remove(const struct membership *m, const struct member *member)
{
	if (!member->answered)
		return member->state == STATE_UNPROVEN || member->state == STATE_FAILED;
	return member->state == STATE_FAILED && m->now.mono >= member->failed_at + REMOVAL_WAIT;
}

static Lvsmesh__Pb__Removal *unpack(struct arena *arena, const Lvsmesh__Pb__Record *record)
{
	if (record->body.len > REMOVAL_MAX)
		return NULL;
	return lvsmesh__pb__removal__unpack(&arena->allocator, record->body.len, record->body.data);
}

void tombstone_take(struct membership *m, const Lvsmesh__Pb__Record *record)
{
	_Alignas(max_align_t) uint8_t memory[512];
	struct member *origin = members_find(m, record->origin), *member;
	Lvsmesh__Pb__Removal *removal;
	struct arena arena;

	arena_init(&arena, memory, sizeof(memory));
	removal = unpack(&arena, record);
	if (!removal) {
		refuse(m, REFUSED_MALFORMED);
		return;
	}
	member = members_find(m, removal->subject);
	if (!member || member->state == STATE_GONE || record->origin == m->identity->id)
		return;
	if (!origin || !member_answers(origin)) {
		refuse(m, REFUSED_UNKNOWN);
		return;
	}
	if (!may_remove(m, member) || removal->epoch != member->epoch ||
	    removal->incarnation != member->incarnation) {
		refuse(m, REFUSED_REMOVAL);
		return;
	}
	if (record_check(m, origin, record) != 0)
		return;
	member_left(m, member);
	sign(m, member);
	broadcast_record(m, ITEM_REMOVAL, record->origin, record->epoch, record->sequence,
			 record->body.data, record->body.len, record->signature.data);
}

void tombstone_load(struct membership *m, const Lvsmesh__Pb__Record *record)
{
	_Alignas(max_align_t) uint8_t memory[512];
	Lvsmesh__Pb__Removal *removal;
	struct member *member;
	struct arena arena;

	arena_init(&arena, memory, sizeof(memory));
	removal = unpack(&arena, record);
	member = removal ? members_find(m, removal->subject) : NULL;
	if (!member || removal->epoch != member->epoch ||
	    removal->incarnation != member->incarnation) {
		refuse(m, REFUSED_MALFORMED);
		return;
	}
	if (record->origin != m->identity->id || record->signature.len != SIGNATURE_SIZE ||
	    seal_record_verify(&m->identity->certificate, RECORD_REMOVAL, record->epoch,
			       record->sequence, record->body.data, record->body.len,
			       record->signature.data) != 0) {
		refuse(m, REFUSED_SIGNATURE);
		return;
	}
	member_roster_set(m, member, false);
	member_state_set(m, member, STATE_GONE);
	sign(m, member);
}
