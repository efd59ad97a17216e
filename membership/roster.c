/* The roster as bytes: what a director must know of the others after a restart. */
#include <errno.h>
#include <stdlib.h>

#include "membership/parts.h"
#include "proto/arena.h"

#define RECORDS_MAX (2 * MEMBERSHIP_MEMBERS_MAX)

/* The roster as bytes is a State: certificates, and the newest statements where there are some.
 * Those who left are in it by that statement, those who were removed with a Removal of ours behind
 * theirs. */
struct packed {
	Lvsmesh__Pb__State state;
	Lvsmesh__Pb__Record *pointers[RECORDS_MAX];
	Lvsmesh__Pb__Record records[RECORDS_MAX];
};

/* A leaver empties its roster: it comes back as a newcomer, and brings no member back. */
static bool is_kept(const struct membership *m, const struct member *member)
{
	if (m->phase == PHASE_LEAVING || m->phase == PHASE_LEFT)
		return false;
	return member->in_roster || (member->state == STATE_GONE && member->epoch > 0 &&
				     (member->removal || member->phase == PHASE_LEFT));
}

static struct packed *gather(const struct membership *m)
{
	struct packed *packed = malloc(sizeof(*packed));
	size_t count = 0;

	if (!packed)
		return NULL;
	for (unsigned int i = 0; i < m->member_cap; i++) {
		const struct member *member = m->members[i];

		if (!member || !is_kept(m, member))
			continue;
		record_of_member(member, true, &packed->records[count++]);
		if (member->state == STATE_GONE && member->removal)
			tombstone_record(m, member, &packed->records[count++]);
	}
	for (size_t i = 0; i < count; i++)
		packed->pointers[i] = &packed->records[i];
	lvsmesh__pb__state__init(&packed->state);
	packed->state.n_records = count;
	packed->state.records = packed->pointers;
	packed->state.done = true;
	if (m->phase != PHASE_LEAVING && m->phase != PHASE_LEFT)
		packed->state.since = m->since;
	return packed;
}

size_t membership_roster_size(const struct membership *m)
{
	struct packed *packed = gather(m);
	size_t size = packed ? lvsmesh__pb__state__get_packed_size(&packed->state) : 0;

	free(packed);
	return size;
}

size_t membership_roster(const struct membership *m, uint8_t *data, size_t cap)
{
	struct packed *packed = gather(m);
	size_t size = packed ? lvsmesh__pb__state__get_packed_size(&packed->state) : 0;

	if (size > 0 && size <= cap)
		lvsmesh__pb__state__pack(&packed->state, data);
	free(packed);
	return size <= cap ? size : 0;
}

/* A member of the roster has answered in an earlier boot: it is missing until it answers again. */
static void take(struct membership *m, const Lvsmesh__Pb__Record *record)
{
	struct member *member;

	if (record->kind == RECORD_REMOVAL) {
		tombstone_load(m, record);
		return;
	}
	/* Anything else in a roster is damage. */
	if (record->kind != RECORD_STATEMENT && record->epoch > 0) {
		refuse(m, REFUSED_KIND);
		return;
	}
	member = members_get(m, record->certificate.data, record->certificate.len, false);
	if (!member || member->id != record->origin)
		return;
	if (record->epoch > 0)
		record_take(m, NULL, true, record);
	if (members_find(m, record->origin) == member && member->state == STATE_UNPROVEN) {
		member_roster_set(m, member, true);
		members_busy(m, member);
		if (member->phase == PHASE_ABSENT) {
			member_lease(m, member);
			member_state_set(m, member, STATE_AWAY);
		}
	}
}

int roster_load(struct membership *m, const uint8_t *data, size_t len)
{
	size_t memory = 16 * len + 4096;
	uint8_t *at = malloc(memory);
	Lvsmesh__Pb__State *state;
	struct arena arena;
	int r = -EBADMSG;

	if (!at)
		return -ENOMEM;
	arena_init(&arena, at, memory);
	state = lvsmesh__pb__state__unpack(&arena.allocator, len, data);
	if (state && state->done) {
		for (size_t i = 0; i < state->n_records; i++)
			take(m, state->records[i]);
		/* A build that did not state it has known others: then since its first boot,
		 * whose epoch is the clock's. */
		place_load(m, state->since ? state->since : state->n_records > 0 ? m->epoch : 0);
		r = 0;
	}
	free(at);
	return r;
}
