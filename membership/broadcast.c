/* SWIM's gossip: the queue of news that pings and acks carry along (piggyback), newest first, each
 * so often that all members get it. */
#include <assert.h>

#include "membership/parts.h"

#define FANOUT 3
#define SPACING (5 * MSEC) /* between rounds that news start */
#define ROUND_DIVISOR 4    /* of the interval: between the other rounds */

/* How often each director repeats an item of gossip, until all have very likely heard it. */
static unsigned int repeats(const struct membership *m)
{
	unsigned int all = 4 + 2 * member_log2(m->alive_count + 1);

	/* Some members may hear it only from us. */
	return m->links.any ? MAX(all, 2 * m->links.direct) : all;
}

/* The members that one round of gossip goes to; while there are links down, none gets it twice. */
static unsigned int fanout(const struct membership *m)
{
	return m->links.any ? MIN(m->links.direct, (unsigned int)FANOUT) : FANOUT;
}

static bool is_own(const struct membership *m, const struct item *item)
{
	return item->kind == ITEM_STATEMENT && item->member == m->identity->id;
}

/* The order of two items: our own refutation first, then the one sent least often, then the
 * newest. */
static bool before(const struct membership *m, const struct item *a, const struct item *b)
{
	if (is_own(m, a) != is_own(m, b))
		return is_own(m, a);
	if (a->sent != b->sent)
		return a->sent < b->sent;
	return a->number > b->number;
}

static struct item *place(struct membership *m, enum item_kind kind, uint64_t member,
			  uint64_t accuser)
{
	struct item *last = m->items;

	for (unsigned int i = 0; i < m->item_count; i++)
		if (m->items[i].kind == kind && m->items[i].member == member &&
		    m->items[i].accuser == accuser)
			return &m->items[i];
	if (m->item_count < ITEMS_MAX)
		return &m->items[m->item_count++];
	for (unsigned int i = 1; i < ITEMS_MAX; i++)
		if (before(m, last, &m->items[i]))
			last = &m->items[i];
	refuse(m, DROPPED_ITEM);
	return last;
}

static struct item *add(struct membership *m, enum item_kind kind, uint64_t member,
			uint64_t accuser)
{
	struct item *item = place(m, kind, member, accuser);

	*item = (struct item){
		.kind = kind, .member = member, .accuser = accuser, .number = ++m->item_number};
	m->urgent = true;
	return item;
}

void broadcast_add(struct membership *m, enum item_kind kind, uint64_t member, uint64_t accuser)
{
	add(m, kind, member, accuser);
}

void broadcast_record(struct membership *m, enum item_kind kind, uint64_t origin, uint64_t epoch,
		      uint64_t sequence, const uint8_t *body, size_t len,
		      const uint8_t signature[SIGNATURE_SIZE])
{
	struct item *item = add(m, kind, origin, kind == ITEM_REMOVAL ? sequence : 0);

	item->epoch = epoch;
	item->sequence = sequence;
	item->len = (uint16_t)MIN(len, sizeof(item->body));
	memcpy(item->body, body, item->len);
	memcpy(item->signature, signature, SIGNATURE_SIZE);
}

/* scratch: for the body of the accusation. False: there is no such accusation any more. */
static bool suspicion_record(const struct membership *m, const struct item *item, uint8_t *scratch,
			     Lvsmesh__Pb__Record *record)
{
	Lvsmesh__Pb__Suspicion message = LVSMESH__PB__SUSPICION__INIT;
	const struct member *member = members_find(m, item->member);
	const struct suspicion *suspicion = member ? member->suspicion : NULL;
	const struct accuser *accuser = NULL;

	for (unsigned int i = 0; suspicion && i < suspicion->count; i++)
		if (suspicion->accusers[i].id == item->accuser)
			accuser = &suspicion->accusers[i];
	if (!accuser)
		return false;
	message.subject = member->id;
	message.epoch = suspicion->epoch;
	message.incarnation = suspicion->incarnation;
	lvsmesh__pb__record__init(record);
	record->kind = RECORD_SUSPICION;
	record->origin = accuser->id;
	record->epoch = accuser->epoch;
	record->sequence = accuser->sequence;
	record->body = record_bytes(scratch, lvsmesh__pb__suspicion__pack(&message, scratch));
	record->signature = record_bytes(accuser->signature, SIGNATURE_SIZE);
	return true;
}

void broadcast_item_record(const struct item *item, Lvsmesh__Pb__Record *record)
{
	lvsmesh__pb__record__init(record);
	record->kind = item->kind == ITEM_TWICE ? RECORD_TWICE : RECORD_REMOVAL;
	record->origin = item->member;
	record->epoch = item->epoch;
	record->sequence = item->sequence;
	record->body = record_bytes(item->body, item->len);
	record->signature = record_bytes(item->signature, SIGNATURE_SIZE);
}

static bool item_record(const struct membership *m, const struct item *item, uint8_t *scratch,
			Lvsmesh__Pb__Record *record)
{
	const struct member *member = members_find(m, item->member);

	switch (item->kind) {
	case ITEM_STATEMENT:
	case ITEM_NEWCOMER:
		if (item->member == m->identity->id)
			record_of_self(m, false, record);
		else if (member && member->epoch)
			record_of_member(member, item->kind == ITEM_NEWCOMER, record);
		else
			return false;
		return true;
	case ITEM_SUSPICION:
		return suspicion_record(m, item, scratch, record);
	default:
		broadcast_item_record(item, record);
		return true;
	}
}

static void drop(struct membership *m, unsigned int i)
{
	assert(i < m->item_count && m->item_count <= ITEMS_MAX);
	m->items[i] = m->items[--m->item_count];
}

unsigned int broadcast_fill(struct membership *m, size_t room, struct broadcast_records *ret)
{
	unsigned int count = 0, best, limit = repeats(m);
	bool taken[ITEMS_MAX] = {0};

	while (count < BROADCAST_RECORDS) {
		best = ITEMS_MAX;
		for (unsigned int i = 0; i < m->item_count; i++)
			if (!taken[i] &&
			    (best == ITEMS_MAX || before(m, &m->items[i], &m->items[best])))
				best = i;
		if (best == ITEMS_MAX)
			break;
		taken[best] = true;
		if (!item_record(m, &m->items[best], ret->scratch[count], &ret->records[count])) {
			m->items[best].sent = limit;
			continue;
		}
		/* A smaller one that fits would have to be looked for, and this one is first next
		 * time. */
		if (record_size(&ret->records[count]) > room)
			break;
		room -= record_size(&ret->records[count]);
		m->items[best].sent++;
		count++;
	}
	return count;
}

void broadcast_timers(struct membership *m, usec_t *next)
{
	usec_t round = m->profile.interval / ROUND_DIVISOR;
	unsigned int limit = repeats(m);
	struct member *to;

	for (unsigned int i = m->item_count; i-- > 0;)
		if (m->items[i].sent >= limit)
			drop(m, i);
	if (m->item_count == 0 || m->alive_count == 0) {
		m->urgent = false;
		return;
	}
	if (m->urgent)
		m->gossip_at = MIN(m->gossip_at, m->gossip_last + SPACING);
	m->urgent = false;
	if (m->now.mono >= m->gossip_at) {
		for (unsigned int i = 0; i < fanout(m); i++) {
			to = links_pick(m);
			if (to && to->believes == to->proven)
				datagram_push(m,
					      (struct out){.kind = OUT_GOSSIP, .member = to->id});
		}
		m->gossip_last = m->now.mono;
		m->gossip_at = m->now.mono + round;
	}
	sooner(next, m->gossip_at);
}
