/* Signed records: makes our own statements, and verifies, judges and stores those of others. */
#include <errno.h>
#include <stdlib.h>

#include "membership/parts.h"
#include "proto/arena.h"

#define AWAY_DIAL                                                                                  \
	(2 * SEC) /* before it is tried by TCP whether one is back that lost its state             \
		   */
#define TWICE_PAUSE (5 * SEC)
/* So many records that one member signed are verified at once, and one more each: a refutation
 * takes longer, and a roster may have as many tombstones. */
#define RECORDS_BURST MEMBERSHIP_MEMBERS_MAX
#define RECORDS_INTERVAL (25 * MSEC)
#define HELLO_SPREAD (2 * MSEC) /* for each member: not all greet a newcomer at once */

struct statement {
	uint64_t boot, config, serial, since;
	struct version_range versions;
	uint32_t lease;
	enum member_phase phase;
	unsigned int endpoint_count;
	struct endpoint endpoints[MEMBERSHIP_ADDRESSES_MAX];
	unsigned int takes;
	unsigned int link_count;
	bool links_reached;
	uint32_t links[LINKS_MAX];
};

static size_t endpoint_store(const struct endpoint *endpoint, uint8_t bytes[18])
{
	size_t size = ip_addr_size(endpoint->ip.family);

	memcpy(bytes, endpoint->ip.bytes, size);
	store_be16(bytes + size, endpoint->port);
	return size + 2;
}

static bool endpoint_load(ProtobufCBinaryData bytes, struct endpoint *endpoint)
{
	size_t size = bytes.len - 2;

	if (bytes.len != 6 && bytes.len != 18)
		return false;
	memset(endpoint, 0, sizeof(*endpoint));
	endpoint->ip.family = size == 4 ? AF_INET : AF_INET6;
	memcpy(endpoint->ip.bytes, bytes.data, size);
	endpoint->port = load_be16(bytes.data + size);
	return endpoint->port != 0;
}

static bool statement_parse(ProtobufCBinaryData body, struct statement *statement)
{
	_Alignas(max_align_t) uint8_t memory[4096];
	Lvsmesh__Pb__Statement *message;
	struct arena arena;

	memset(statement, 0, sizeof(*statement));
	if (body.len > STATEMENT_MAX)
		return false;
	arena_init(&arena, memory, sizeof(memory));
	message = lvsmesh__pb__statement__unpack(&arena.allocator, body.len, body.data);
	if (!message || message->n_endpoints == 0 ||
	    message->n_endpoints > MEMBERSHIP_ADDRESSES_MAX || message->phase >= PHASE_MAX ||
	    message->version_min > message->version_max || message->links.len % LINK_SIZE != 0 ||
	    message->links.len > LINKS_MAX * LINK_SIZE)
		return false;
	for (size_t i = 0; i < message->n_endpoints; i++)
		if (!endpoint_load(message->endpoints[i], &statement->endpoints[i]))
			return false;
	statement->endpoint_count = (unsigned int)message->n_endpoints;
	statement->boot = message->boot;
	statement->config = message->config;
	statement->serial = message->certificate;
	statement->since = message->since;
	statement->versions = (struct version_range){message->version_min, message->version_max};
	statement->phase = (enum member_phase)message->phase;
	statement->lease = MIN(message->lease, 3600u);
	statement->takes = MAX(message->statement_max, (uint32_t)STATEMENT_OLD_MAX);
	statement->link_count = (unsigned int)(message->links.len / LINK_SIZE);
	for (unsigned int i = 0; i < statement->link_count; i++)
		statement->links[i] = load_le32(message->links.data + i * LINK_SIZE);
	statement->links_reached = message->links_reached;
	return true;
}

void record_own_state(struct membership *m)
{
	Lvsmesh__Pb__Statement message = LVSMESH__PB__STATEMENT__INIT;
	ProtobufCBinaryData endpoints[MEMBERSHIP_ADDRESSES_MAX];
	uint8_t bytes[MEMBERSHIP_ADDRESSES_MAX][18], links[LINKS_MAX * LINK_SIZE];

	for (unsigned int i = 0; i < m->address_count; i++)
		endpoints[i] = record_bytes(bytes[i], endpoint_store(&m->addresses[i], bytes[i]));
	message.boot = m->boot;
	message.phase = m->phase;
	message.n_endpoints = m->address_count;
	message.endpoints = endpoints;
	message.version_min = m->versions.min;
	message.version_max = m->versions.max;
	message.config = m->config;
	message.lease = m->phase == PHASE_ABSENT ? m->lease : 0;
	message.certificate = m->identity->certificate.serial;
	message.since = m->since;
	message.statement_max = STATEMENT_MAX;
	links_room(m, lvsmesh__pb__statement__get_packed_size(&message));
	message.links = record_bytes(links, links_store(m, links));
	message.links_reached = m->links.list.reached;
	m->statement_len = (uint16_t)lvsmesh__pb__statement__pack(&message, m->statement);
	m->incarnation++;
	seal_record_sign(m->identity, RECORD_STATEMENT, m->epoch, m->incarnation, m->statement,
			 m->statement_len, m->signature);
	TRACE(&m->trace, "state %s, incarnation %llu", member_phase_name((int)m->phase),
	      (unsigned long long)m->incarnation);
	m->refute = false;
	m->refute_at = m->now.mono + m->profile.timeout / 2;
	broadcast_add(m, ITEM_STATEMENT, m->identity->id, 0);
}

void record_refute(struct membership *m, uint64_t accuser)
{
	struct membership_notice *notice = notice_add(m, MEMBERSHIP_REFUTED, NULL);

	m->refute = true;
	notice->accuser = accuser;
	TRACE(&m->trace, "refute %s", members_find(m, accuser)->name);
}

uint64_t record_number(struct membership *m, enum record_kind kind)
{
	return kind == RECORD_SUSPICION ? ++m->accusations : ++m->others;
}

void record_of_self(const struct membership *m, bool certificate, Lvsmesh__Pb__Record *record)
{
	lvsmesh__pb__record__init(record);
	record->kind = RECORD_STATEMENT;
	record->origin = m->identity->id;
	record->epoch = m->epoch;
	record->sequence = m->incarnation;
	record->body = record_bytes(m->statement, m->statement_len);
	record->signature = record_bytes(m->signature, SIGNATURE_SIZE);
	if (certificate)
		record->certificate =
			record_bytes(m->identity->certificate.bytes, m->identity->certificate.len);
}

void record_of_member(const struct member *member, bool certificate, Lvsmesh__Pb__Record *record)
{
	lvsmesh__pb__record__init(record);
	record->kind = RECORD_STATEMENT;
	record->origin = member->id;
	record->epoch = member->epoch;
	record->sequence = member->incarnation;
	record->body = record_bytes(member->statement, member->statement_len);
	record->signature = record_bytes(member->signature, SIGNATURE_SIZE);
	if (certificate)
		record->certificate = record_bytes(member->certificate, member->certificate_len);
}

size_t record_size(const Lvsmesh__Pb__Record *record)
{
	/* Tags, lengths and numbers at their longest. */
	return 48 + record->body.len + record->signature.len + record->certificate.len;
}

int record_check(struct membership *m, struct member *origin, const Lvsmesh__Pb__Record *record)
{
	struct certificate certificate;

	if (!rate_allows(&origin->records, RECORDS_INTERVAL, RECORDS_BURST, m->now.mono)) {
		refuse(m, REFUSED_THROTTLED);
		return -EAGAIN;
	}
	if (record->signature.len == SIGNATURE_SIZE && record->kind <= UINT8_MAX &&
	    certificate_parse(origin->certificate, origin->certificate_len, &certificate) == 0 &&
	    seal_record_verify(&certificate, (uint8_t)record->kind, record->epoch, record->sequence,
			       record->body.data, record->body.len, record->signature.data) == 0) {
		/* A forged record is not the origin's, so it does not use up the origin's share. */
		rate_take(&origin->records, RECORDS_INTERVAL, RECORDS_BURST, m->now.mono);
		return 0;
	}
	refuse(m, REFUSED_SIGNATURE);
	return -EBADMSG;
}

static bool store_statement(struct membership *m, struct member *member,
			    const Lvsmesh__Pb__Record *record, const struct statement *statement)
{
	uint8_t *bytes = malloc(record->body.len);

	if (!bytes)
		return false;
	memcpy(bytes, record->body.data, record->body.len);
	free(member->statement);
	members_digest_out(m, member);
	member->statement = bytes;
	member->statement_len = (uint16_t)record->body.len;
	memcpy(member->signature, record->signature.data, SIGNATURE_SIZE);
	member->epoch = record->epoch;
	member->incarnation = record->sequence;
	members_digest_in(m, member);
	member->boot = statement->boot;
	member->config = statement->config;
	member->since_stated = statement->since;
	member->versions = statement->versions;
	member->phase = statement->phase;
	member->lease = statement->lease;
	member->takes = (uint16_t)MIN(statement->takes, (unsigned int)STATEMENT_MAX);
	path_set(member, statement->endpoints, statement->endpoint_count);
	links_load(m, member, statement->links, statement->link_count, statement->links_reached);
	if (member->in_roster)
		change_roster(m);
	change_view(m);
	return true;
}

/* Applies a member's newest statement to its state. Only an answer of the member itself decides
 * whether it is alive. */
static void judge(struct membership *m, struct member *member)
{
	members_busy(m, member);
	if (member->phase == PHASE_LEFT) {
		if (member->state != STATE_GONE)
			member_left(m, member);
		return;
	}
	member_unleave(m, member);
	if (member->phase == PHASE_ABSENT) {
		suspicion_clear(m, member);
		member_lease(m, member);
		member_hello_at(member, m->now.mono + AWAY_DIAL);
		if (member->in_roster && member->state != STATE_GONE)
			member_state_set(m, member, STATE_AWAY);
		return;
	}
	if (member->state == STATE_SUSPECT)
		suspicion_clear(m, member);
	if (member->state == STATE_GONE) {
		tombstone_forget(member);
		member_state_set(m, member, STATE_UNPROVEN);
		member_hello_at(member, 0);
	}
	/* It says that it is back, or in another boot: it has to prove it. */
	if (!member_answers(member) || member->proven != member->epoch)
		member_verify_at(member,
				 m->now.mono +
					 chance_below(&m->chance, m->roster_count * HELLO_SPREAD));
}

/* A statement in our own name has come back. */
static void take_own(struct membership *m, const Lvsmesh__Pb__Record *record)
{
	struct statement statement;
	bool same = record->sequence == m->incarnation && record->body.len == m->statement_len &&
		    memcmp(record->body.data, m->statement, m->statement_len) == 0;

	if (record->epoch < m->epoch ||
	    (record->epoch == m->epoch && (same || record->sequence < m->incarnation)))
		return;
	if (!statement_parse(record->body, &statement)) {
		refuse(m, REFUSED_MALFORMED);
		return;
	}
	if (record->signature.len != SIGNATURE_SIZE ||
	    seal_record_verify(&m->identity->certificate, RECORD_STATEMENT, record->epoch,
			       record->sequence, record->body.data, record->body.len,
			       record->signature.data) != 0) {
		refuse(m, REFUSED_SIGNATURE);
		return;
	}
	/* Signed with our key, and not by us. */
	m->twice_at = m->now.mono;
	if (record->epoch > m->epoch_seen ||
	    (record->epoch == m->epoch_seen && record->sequence > m->incarnation_seen)) {
		m->epoch_seen = record->epoch;
		m->incarnation_seen = record->sequence;
		m->moved_at = m->now.mono;
	}
	if (record->epoch == m->epoch) {
		m->incarnation = MAX(m->incarnation, record->sequence);
		m->refute = true;
		/* The other will do the same. */
		m->refute_at = MAX(m->refute_at, m->twice_said);
		m->twice_said = m->now.mono + TWICE_PAUSE;
	} else if (m->now.mono >= m->twice_said) {
		Lvsmesh__Pb__Twice twice = LVSMESH__PB__TWICE__INIT;
		uint8_t body[32], signature[SIGNATURE_SIZE];
		uint64_t number;
		size_t len;

		m->twice_said = m->now.mono + TWICE_PAUSE;
		twice.epoch = record->epoch;
		twice.boot = statement.boot;
		len = lvsmesh__pb__twice__pack(&twice, body);
		number = record_number(m, RECORD_TWICE);
		seal_record_sign(m->identity, RECORD_TWICE, m->epoch, number, body, len, signature);
		broadcast_record(m, ITEM_TWICE, m->identity->id, m->epoch, number, body, len,
				 signature);
	}
}

static struct member *statement_origin(struct membership *m, const Lvsmesh__Pb__Record *record,
				       bool *ret_fresh)
{
	struct member *member = members_find(m, record->origin);

	*ret_fresh = !member || member->epoch == 0;
	if (record->certificate.len == 0)
		return member;
	member = members_get(m, record->certificate.data, record->certificate.len, false);
	return member && member->id == record->origin ? member : NULL;
}

/* Two statements of one number are of two processes. One of them wins everywhere, so that the other
 * process hears of it. */
static bool is_newer(const struct member *member, const Lvsmesh__Pb__Record *record)
{
	if (record->epoch != member->epoch)
		return record->epoch > member->epoch;
	if (record->sequence != member->incarnation)
		return record->sequence > member->incarnation;
	return record->signature.len == SIGNATURE_SIZE &&
	       memcmp(record->signature.data, member->signature, SIGNATURE_SIZE) > 0;
}

static void take_statement(struct membership *m, struct member *from, bool stream,
			   const Lvsmesh__Pb__Record *record)
{
	struct statement statement;
	struct member *member;
	bool fresh;

	if (record->origin == m->identity->id) {
		take_own(m, record);
		return;
	}
	member = members_find(m, record->origin);
	if (member && !is_newer(member, record)) {
		/* The certificate may be newer, if it was renewed. */
		statement_origin(m, record, &fresh);
		return;
	}
	if (!statement_parse(record->body, &statement)) {
		refuse(m, REFUSED_MALFORMED);
		return;
	}
	/* A member that we don't know is not missed. */
	if (!member && statement.phase == PHASE_LEFT)
		return;
	member = statement_origin(m, record, &fresh);
	if (!member) {
		refuse(m, REFUSED_UNKNOWN);
		return;
	}
	if (record_check(m, member, record) != 0)
		return;
	if (version_common(m->versions, statement.versions) == 0) {
		refuse(m, REFUSED_VERSIONS);
		return;
	}
	if (!store_statement(m, member, record, &statement))
		return;
	judge(m, member);
	/* A starting director gets all members at once from a peer that knows them: that is no news
	 * to gossip. */
	if (!stream || member == from || m->now.mono >= m->horizon)
		broadcast_add(m, fresh ? ITEM_NEWCOMER : ITEM_STATEMENT, member->id, 0);
	else if (fresh)
		members_busy(m, member);
}

/* A process with the origin's key has seen another with it. */
static void take_twice(struct membership *m, const Lvsmesh__Pb__Record *record)
{
	_Alignas(max_align_t) uint8_t memory[512];
	struct member *origin = members_find(m, record->origin);
	Lvsmesh__Pb__Twice *twice;
	struct arena arena;

	arena_init(&arena, memory, sizeof(memory));
	twice = lvsmesh__pb__twice__unpack(&arena.allocator, record->body.len, record->body.data);
	if (!twice || record->body.len > 48 || record->signature.len != SIGNATURE_SIZE) {
		refuse(m, REFUSED_MALFORMED);
		return;
	}
	if (record->origin == m->identity->id) {
		if (record->epoch >= m->epoch || twice->epoch != m->epoch || twice->boot != m->boot)
			return;
		if (seal_record_verify(&m->identity->certificate, RECORD_TWICE, record->epoch,
				       record->sequence, record->body.data, record->body.len,
				       record->signature.data) != 0) {
			refuse(m, REFUSED_SIGNATURE);
			return;
		}
		m->twice_at = m->now.mono;
		/* So that the other sees that we live, and are no memory of one that crashed. */
		m->refute = true;
		m->refute_at = MAX(m->refute_at, m->twice_said);
		m->twice_said = m->now.mono + TWICE_PAUSE;
		return;
	}
	if (!origin) {
		refuse(m, REFUSED_UNKNOWN);
		return;
	}
	if (record->epoch < origin->twice_epoch ||
	    (record->epoch == origin->twice_epoch && record->sequence <= origin->twice) ||
	    record_check(m, origin, record) != 0)
		return;
	origin->twice_epoch = record->epoch;
	origin->twice = record->sequence;
	broadcast_record(m, ITEM_TWICE, record->origin, record->epoch, record->sequence,
			 record->body.data, record->body.len, record->signature.data);
}

static void take(struct membership *m, struct member *from, bool stream,
		 const Lvsmesh__Pb__Record *record)
{
	switch (record->kind) {
	case RECORD_STATEMENT:
		take_statement(m, from, stream, record);
		break;
	case RECORD_SUSPICION:
		suspicion_take(m, record);
		break;
	case RECORD_VIEW:
		/* Only its maker's own, on a stream: a view is of its moment. */
		if (stream && record->origin == from->id)
			split_view_take(m, from, record);
		else
			refuse(m, REFUSED_KIND);
		break;
	case RECORD_REMOVAL:
		tombstone_take(m, record);
		break;
	case RECORD_TWICE:
		take_twice(m, record);
		break;
	default:
		refuse(m, REFUSED_KIND);
	}
}

static uint64_t forged(const struct membership *m)
{
	return m->counters[REFUSED_SIGNATURE] + m->counters[REFUSED_CERTIFICATE];
}

bool record_take(struct membership *m, struct member *from, bool stream,
		 const Lvsmesh__Pb__Record *record)
{
	uint64_t before = forged(m);

	take(m, from, stream, record);
	return forged(m) == before;
}
