/* The set of all members: found by identity, in rounds for the probes, and busy while something of
 * them is due. */
#include <assert.h>
#include <stdlib.h>

#include "membership/parts.h"

/* Identities are hashes already. */
static struct member_bucket *bucket_of(const struct membership *m, uint64_t id)
{
	unsigned int mask = m->bucket_count - 1;
	unsigned int at = (unsigned int)id & mask;

	while (m->buckets[at].member && m->buckets[at].id != id)
		at = (at + 1) & mask;
	return &m->buckets[at];
}

static void bucket_add(struct membership *m, struct member *member)
{
	*bucket_of(m, member->id) = (struct member_bucket){.id = member->id, .member = member};
}

static void rehash(struct membership *m)
{
	memset(m->buckets, 0, m->bucket_count * sizeof(*m->buckets));
	for (unsigned int i = 0; i < m->member_cap; i++)
		if (m->members[i])
			bucket_add(m, m->members[i]);
}

void members_fini(struct membership *m)
{
	for (unsigned int i = 0; i < m->member_cap; i++)
		if (m->members[i])
			members_remove(m, m->members[i]);
	free(m->members);
	free(m->buckets);
	free(m->busy);
	free(m->busy_due);
	free(m->order);
}

struct member *members_find(const struct membership *m, uint64_t id)
{
	return m->bucket_count ? bucket_of(m, id)->member : NULL;
}

struct member *members_find_half(const struct membership *m, uint32_t half)
{
	unsigned int mask = m->bucket_count - 1;

	for (unsigned int at = half & mask; m->bucket_count && m->buckets[at].member;
	     at = (at + 1) & mask)
		if ((uint32_t)m->buckets[at].id == half)
			return m->buckets[at].member;
	return NULL;
}

static bool resize(void *array, size_t count, size_t size)
{
	void **at = array;
	void *p = realloc(*at, count * size);

	if (!p)
		return false;
	*at = p;
	return true;
}

static bool grow(struct membership *m)
{
	unsigned int cap = m->member_cap ? 2 * m->member_cap : 16;

	if (!resize(&m->members, cap, sizeof(*m->members)) ||
	    !resize(&m->busy, cap, sizeof(*m->busy)) ||
	    !resize(&m->busy_due, cap, sizeof(*m->busy_due)) ||
	    !resize(&m->order, cap, sizeof(*m->order)) ||
	    !resize(&m->buckets, 4 * (size_t)cap, sizeof(*m->buckets)))
		return false;
	memset(m->members + m->member_cap, 0, (cap - m->member_cap) * sizeof(*m->members));
	m->member_cap = cap;
	m->bucket_count = 4 * cap;
	rehash(m);
	return true;
}

/* Room for one more: the longest gone makes place. */
static bool make_room(struct membership *m)
{
	struct member *oldest = NULL;

	if (m->member_count < m->member_cap)
		return true;
	if (m->member_cap < MEMBERSHIP_MEMBERS_MAX)
		return grow(m);
	for (unsigned int i = 0; i < m->member_cap; i++)
		if (m->members[i]->state == STATE_GONE &&
		    (!oldest || m->members[i]->since < oldest->since))
			oldest = m->members[i];
	if (oldest)
		members_remove(m, oldest);
	return oldest != NULL;
}

static struct member *add(struct membership *m, uint64_t id)
{
	struct member *member;
	unsigned int i = 0;

	if (!make_room(m))
		return NULL;
	member = calloc(1, sizeof(*member));
	if (!member)
		return NULL;
	assert(m->member_count < m->member_cap);
	while (m->members[i])
		i++;
	member->id = id;
	member->index = i;
	member_init(m, member);
	datagram_member_init(m, member);
	m->members[i] = member;
	m->member_count++;
	bucket_add(m, member);
	return member;
}

void members_idle(struct membership *m, struct member *member)
{
	struct member *last = m->busy[m->busy_count - 1];

	assert(m->busy[member->busy - 1] == member);
	m->busy[member->busy - 1] = last;
	m->busy_due[member->busy - 1] = m->busy_due[m->busy_count - 1];
	last->busy = member->busy;
	member->busy = 0;
	m->busy_count--;
}

void members_busy(struct membership *m, struct member *member)
{
	if (!member->busy) {
		assert(m->busy_count < m->member_cap);
		m->busy[m->busy_count++] = member;
		member->busy = m->busy_count;
	}
	m->busy_due[member->busy - 1] = 0;
}

static void round_drop(struct membership *m, unsigned int at)
{
	assert(at < m->order_count && m->members[m->order[at]]->ordered);
	m->members[m->order[at]]->ordered = false;
	m->order[at] = m->order[--m->order_count];
}

void members_remove(struct membership *m, struct member *member)
{
	assert(m->members[member->index] == member);
	probe_end(m, member);
	suspicion_clear(m, member);
	members_digest_out(m, member);
	member_roster_set(m, member, false);
	member_state_set(m, member, STATE_GONE);
	for (unsigned int i = 0; i < m->order_count; i++)
		if (m->order[i] == member->index) {
			round_drop(m, i);
			break;
		}
	if (member->busy)
		members_idle(m, member);
	m->members[member->index] = NULL;
	m->member_count--;
	change_view(m);
	rehash(m);
	sodium_memzero(&member->key, sizeof(member->key));
	free(member->certificate);
	free(member->statement);
	free(member->links);
	free(member->removal);
	free(member);
}

static bool set_certificate(struct member *member, const struct certificate *certificate)
{
	uint8_t *bytes = malloc(certificate->len);

	if (!bytes)
		return false;
	memcpy(bytes, certificate->bytes, certificate->len);
	free(member->certificate);
	member->certificate = bytes;
	member->certificate_len = (uint16_t)certificate->len;
	member->serial = certificate->serial;
	member->not_after = certificate->not_after;
	memcpy(member->name, certificate->name, sizeof(member->name));
	member->keyed = false;
	return true;
}

bool members_key(struct membership *m, struct member *member)
{
	struct certificate certificate;

	if (!member->keyed)
		member->keyed = certificate_parse(member->certificate, member->certificate_len,
						  &certificate) == 0 &&
				seal_packet_key_init(m->identity, &certificate, &member->key) == 0;
	return member->keyed;
}

void members_digest_out(struct membership *m, const struct member *member)
{
	m->digest -= member_digest(member);
}

void members_digest_in(struct membership *m, const struct member *member)
{
	m->digest += member_digest(member);
}

struct member *members_get(struct membership *m, const uint8_t *bytes, size_t len, bool verified)
{
	struct certificate certificate;
	struct member *member;
	uint64_t id;
	int r;

	if (certificate_parse(bytes, len, &certificate) != 0) {
		refuse(m, REFUSED_CERTIFICATE);
		return NULL;
	}
	id = certificate_id(&certificate);
	if (id == m->identity->id)
		return NULL;
	member = members_find(m, id);
	if (member && certificate.serial <= member->serial)
		return member;
	r = verified ? 0 : certificate_verify(&certificate, m->identity->cluster_key, m->now.wall);
	if (r != 0) {
		refuse(m, r == CERTIFICATE_E_EARLY || r == CERTIFICATE_E_EXPIRED
				  ? REFUSED_EXPIRED
				  : REFUSED_CERTIFICATE);
		return member;
	}
	if (!member) {
		TRACE(&m->trace, "hears of %s", certificate.name);
		member = add(m, id);
	}
	if (!member) {
		refuse(m, REFUSED_FULL);
		return NULL;
	}
	members_digest_out(m, member);
	if (!set_certificate(member, &certificate) && !member->certificate) {
		members_remove(m, member);
		return NULL;
	}
	members_digest_in(m, member);
	if (member->in_roster)
		change_roster(m);
	/* Renewed: gossip brings it to members that have the old one. */
	if (member->epoch)
		broadcast_add(m, ITEM_NEWCOMER, member->id, 0);
	return member;
}

/* Puts the member among those that are still to be probed in this round. */
void members_round_add(struct membership *m, struct member *member)
{
	unsigned int at;
	uint32_t other;

	if (member->ordered)
		return;
	member->ordered = true;
	m->order_at = MIN(m->order_at, m->order_count);
	at = m->order_at + (unsigned int)chance_below(&m->chance, m->order_count - m->order_at + 1);
	other = at < m->order_count ? m->order[at] : member->index;
	m->order[at] = member->index;
	if (at < m->order_count)
		m->order[m->order_count] = other;
	m->order_count++;
}

void members_timers(struct membership *m, usec_t *next)
{
	struct member *member;
	usec_t due;

	for (unsigned int i = 0; i < m->busy_count;) {
		due = m->busy_due[i];
		if (m->now.mono >= due) {
			member = m->busy[i];
			due = member_timers(m, member);
			/* A member that is no longer busy gives its place to the last. */
			if (i == m->busy_count || m->busy[i] != member)
				continue;
			m->busy_due[i] = due;
		}
		sooner(next, due);
		i++;
	}
}

static void round_shuffle(struct membership *m)
{
	unsigned int j;
	uint32_t swap;

	for (unsigned int i = m->order_count - 1; i > 0; i--) {
		j = (unsigned int)chance_below(&m->chance, i + 1);
		swap = m->order[i];
		m->order[i] = m->order[j];
		m->order[j] = swap;
	}
}

struct member *members_next(struct membership *m)
{
	struct member *member;

	assert(m->order_count > 0);
	if (m->order_at >= m->order_count) {
		m->order_at = 0;
		round_shuffle(m);
	}
	member = m->members[m->order[m->order_at]];
	if (!member_answers(member)) {
		round_drop(m, m->order_at);
		return NULL;
	}
	m->order_at++;
	return member;
}

struct member *members_random(struct membership *m)
{
	struct member *member;
	unsigned int at;

	while (m->order_count > 0) {
		at = (unsigned int)chance_below(&m->chance, m->order_count);
		member = m->members[m->order[at]];
		if (member_answers(member))
			return member;
		round_drop(m, at);
	}
	return NULL;
}
