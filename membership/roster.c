#include <errno.h>
#include <stdlib.h>

#include "membership/membership_private.h"
#include "proto/arena.h"

/* The roster as bytes is a State: certificates, and the newest statements where there are some. */
struct packed {
	Lvsmesh__Pb__State state;
	Lvsmesh__Pb__Record *pointers[MEMBERSHIP_MEMBERS_MAX];
	Lvsmesh__Pb__Record records[MEMBERSHIP_MEMBERS_MAX];
};

static struct packed *gather(const struct membership *m)
{
	struct packed *packed = malloc(sizeof(*packed));
	size_t count = 0;

	if (!packed)
		return NULL;
	for (unsigned int i = 0; i < m->member_cap; i++) {
		if (!m->members[i] || !m->members[i]->in_roster)
			continue;
		packed->pointers[count] = &packed->records[count];
		record_of_member(m->members[i], true, &packed->records[count++]);
	}
	lvsmesh__pb__state__init(&packed->state);
	packed->state.n_records = count;
	packed->state.records = packed->pointers;
	packed->state.done = true;
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

/* It has answered once, and was known then: a member that is missing until it answers again. */
static void take(struct membership *m, const Lvsmesh__Pb__Record *record)
{
	struct member *member;

	/* Anything else in a roster is damage. */
	if (record->kind != RECORD_STATEMENT && record->epoch > 0) {
		refuse(m, REFUSED_KIND);
		return;
	}
	member = member_get(m, record->certificate.data, record->certificate.len, false);
	if (!member || member->id != record->origin)
		return;
	if (record->epoch > 0)
		record_take(m, NULL, true, record);
	if (member_find(m, record->origin) == member && member->state == MEMBER_UNPROVEN) {
		member_roster_set(m, member, true);
		member_busy(m, member);
		if (member->phase == MEMBER_ABSENT) {
			member->lease_end = m->now.mono + member->lease * SEC;
			member_state_set(m, member, MEMBER_AWAY);
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
		r = 0;
	}
	free(at);
	return r;
}
