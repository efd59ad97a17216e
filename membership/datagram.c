/* Datagrams: checks a packet that came and hands its parts to the other files; packs what is to be
 * sent, with the gossip that fits. Relays pings for others. */
#include <assert.h>

#include "membership/parts.h"
#include "proto/arena.h"

/* So many datagrams of a member that is throttled are taken at once, and one more each: as many
 * pings, acks and helpers' datagrams as a member with manners sends. */
#define THROTTLED_BURST 32
#define THROTTLED_INTERVAL (10 * MSEC)

void datagram_member_init(const struct membership *m, struct member *member)
{
	/* Above whatever an earlier entry of the same peer has used. */
	member->sequence = m->packets;
}

void datagram_late(struct membership *m, usec_t late)
{
	for (unsigned int i = 0; i < RELAYS_MAX; i++)
		if (m->relays[i].used)
			postpone(&m->relays[i].deadline, late);
}

bool datagram_push(struct membership *m, struct out out)
{
	if (m->out_count == OUT_MAX) {
		refuse(m, DROPPED_OUTPUT);
		return false;
	}
	m->out[(m->out_at + m->out_count++) % OUT_MAX] = out;
	return true;
}

static enum refusal packet_refusal(int error)
{
	switch (error) {
	case PACKET_E_SIZE:
		return REFUSED_SIZE;
	case PACKET_E_VERSION:
		return REFUSED_VERSION;
	case PACKET_E_CLUSTER:
		return REFUSED_CLUSTER;
	default:
		return REFUSED_MAC;
	}
}

/* Returns the sender of a packet that is genuine and new, or NULL: counted. The cheapest checks
 * come first. */
static struct member *open_packet(struct membership *m, const uint8_t *data, size_t len,
				  struct packet *packet)
{
	struct member *member;
	int r;

	r = seal_packet_parse(m->identity->certificate.cluster, m->versions, data, len, packet);
	if (r == 0 && len > MEMBERSHIP_DATAGRAM_MAX)
		r = PACKET_E_SIZE;
	if (r != 0) {
		refuse(m, packet_refusal(r));
		return NULL;
	}
	member = members_find(m, packet->sender);
	if (!member) {
		refuse(m, REFUSED_STRANGER);
		return NULL;
	}
	r = replay_window_check(&member->window, packet->epoch, packet->sequence);
	if (r != 0 || packet->epoch < MAX(member->proven, member->epoch)) {
		refuse(m, r == REPLAY_E_REPEATED ? REFUSED_REPEATED : REFUSED_STALE);
		return NULL;
	}
	if (m->now.wall / SEC > member->not_after) {
		refuse(m, REFUSED_EXPIRED);
		return NULL;
	}
	if (!members_key(m, member) || seal_packet_verify(&member->key, data, len) != 0) {
		refuse(m, REFUSED_MAC);
		return NULL;
	}
	replay_window_commit(&member->window, packet->epoch, packet->sequence);
	probe_heard(m);
	m->sender = member->id;
	return member;
}

static void take_ping(struct membership *m, struct member *member, const struct packet *packet,
		      bool believed, const Lvsmesh__Pb__Datagram *body,
		      const struct membership_event *event, struct member *via)
{
	datagram_push(m, (struct out){.kind = via ? OUT_RELAY_ACK : OUT_ACK,
				      .member = member->id,
				      .via = via ? via->id : 0,
				      .nonce = body->nonce,
				      .remote = event->remote,
				      .local = (uint16_t)event->local,
				      .version = packet->version});
	member->believes = packet->epoch;
	/* Its packets reach us, so ours may reach it again. */
	if (!believed || !member_answers(member) || (!via && links_cut(member)))
		probe_hello(m, member);
	if (!believed)
		return;
	if (body->accused > m->incarnation) {
		refuse(m, REFUSED_AHEAD);
	} else if (body->accused == m->incarnation && !m->refute) {
		record_refute(m, member->id);
	}
}

/* The answer that relayed packets wait for goes back the way that each of them came. */
static bool relay_answer(struct membership *m, uint64_t by, uint64_t origin, uint64_t to,
			 const Lvsmesh__Pb__Datagram *body)
{
	bool answers = false;

	for (unsigned int i = 0; i < RELAYS_MAX; i++) {
		struct relay *relay = &m->relays[i];

		if (!relay->used || relay->queued || relay->deadline == USEC_NEVER ||
		    relay->origin != to || relay->to != origin || relay->next != by)
			continue;
		answers = true;
		relay->used = datagram_push(m, (struct out){.kind = OUT_FORWARD,
							    .member = relay->previous,
							    .slot = (uint16_t)i});
		relay->queued = relay->used;
		relay->origin = origin;
		relay->to = to;
		relay->next = relay->previous;
		relay->deadline = USEC_NEVER;
		relay->len = (uint16_t)body->packet.len;
		memcpy(relay->packet, body->packet.data, body->packet.len);
	}
	return answers;
}

/* The one before a packet's end, or its end, where that is not known to be out of our own reach. */
static struct member *relay_next(const struct membership *m, const struct member *from,
				 struct member *to, uint64_t origin, unsigned int hops)
{
	struct member *way = NULL;

	if (hops > 0 && links_down(to))
		way = links_way(m, to, from->id, origin);
	return way ? way : to;
}

static void take_relay(struct membership *m, struct member *member,
		       const Lvsmesh__Pb__Datagram *body)
{
	struct member *to = members_find(m, body->peer), *next;
	unsigned int hops = MIN(body->hops, (unsigned int)HOPS_MAX);
	struct relay *relay = m->relays;
	uint64_t origin;

	if (body->packet.len > RELAY_PACKET_MAX || body->packet.len < PACKET_OVERHEAD) {
		refuse(m, REFUSED_RELAY);
		return;
	}
	/* Only the packet's receiver can verify it. */
	origin = packet_claimed_sender(body->packet.data);
	if (packet_claimed_kind(body->packet.data) == PACKET_ACK &&
	    relay_answer(m, member->id, origin, body->peer, body))
		return;
	if (!to || to->path_count == 0) {
		refuse(m, REFUSED_UNKNOWN);
		return;
	}
	while (relay < m->relays + RELAYS_MAX && (relay->used || relay->queued))
		relay++;
	if (relay == m->relays + RELAYS_MAX) {
		refuse(m, REFUSED_RELAY);
		return;
	}
	next = relay_next(m, member, to, origin, hops);
	if (!datagram_push(m, (struct out){.kind = OUT_FORWARD,
					   .member = next->id,
					   .slot = (uint16_t)(relay - m->relays)}))
		return;
	*relay = (struct relay){
		.used = true,
		.queued = true,
		.origin = origin,
		.to = to->id,
		.previous = member->id,
		.next = next->id,
		.hops = hops > 0 ? hops - 1 : 0,
		.deadline = m->now.mono + m->profile.timeout * 3 / 4,
		.len = (uint16_t)body->packet.len,
	};
	memcpy(relay->packet, body->packet.data, body->packet.len);
	sooner(&m->relays_at, relay->deadline);
	/* A helper also probes for itself. */
	if (next == to && member_answers(to) && !links_down(to))
		probe_start(m, to, false);
}

/* A packet that another member passed on has none: that one would be charged for them. */
static void take_records(struct membership *m, struct member *member, bool believed,
			 const Lvsmesh__Pb__Datagram *body, const struct membership_event *event,
			 const struct member *via)
{
	if (!body->n_records)
		return;
	if (!believed) {
		refuse(m, REFUSED_UNPROVEN);
		return;
	}
	if (via) {
		refuse(m, REFUSED_KIND);
		return;
	}
	if (event->throttled) {
		refuse(m, REFUSED_THROTTLED);
		return;
	}
	for (size_t i = 0; i < body->n_records && i < BROADCAST_RECORDS; i++)
		if (!record_take(m, member, false, body->records[i]))
			return;
}

static uint64_t own_digest(const struct membership *m)
{
	struct member self = {.id = m->identity->id,
			      .in_roster = true,
			      .epoch = m->epoch,
			      .incarnation = m->incarnation,
			      .serial = m->identity->certificate.serial};

	return m->digest + member_digest(&self);
}

/* A replay window that was made by unproven packets has let old ones through; from here on it takes
 * only packets behind this one. */
static void prove(struct member *member, uint64_t epoch)
{
	member->proven = epoch;
	tombstone_restarted(member);
	replay_window_close(&member->window);
}

static bool take(struct membership *m, const uint8_t *data, size_t len,
		 const struct membership_event *event, struct member *via);

static void take_body(struct membership *m, struct member *member, const struct packet *packet,
		      const Lvsmesh__Pb__Datagram *body, const struct membership_event *event,
		      struct member *via)
{
	uint64_t proven = member->proven;
	bool believed = packet->epoch == proven;

	switch (packet->kind) {
	case PACKET_PING:
		take_ping(m, member, packet, believed, body, event, via);
		break;
	case PACKET_ACK:
		if (!probe_ack(m, member, body->nonce, packet->epoch, via)) {
			refuse(m, REFUSED_NONCE);
			break;
		}
		if (!believed)
			prove(member, packet->epoch);
		believed = true;
		break;
	case PACKET_GOSSIP:
		break;
	case PACKET_RELAY:
	case PACKET_DELIVER:
	case PACKET_NACK:
		if (!believed || via)
			refuse(m, via ? REFUSED_KIND : REFUSED_UNPROVEN);
		else if (packet->kind == PACKET_RELAY)
			take_relay(m, member, body);
		else if (packet->kind == PACKET_DELIVER)
			take(m, body->packet.data, body->packet.len, event, member);
		else
			probe_nack(m, member, body->peer);
		return;
	default:
		refuse(m, REFUSED_KIND);
		return;
	}
	take_records(m, member, believed, body, event, via);
	if (believed && packet->kind != PACKET_GOSSIP && body->digest)
		pushpull_mismatch(m, member, body->digest != own_digest(m));
}

bool membership_drops(struct membership *m, uint64_t id, struct now now)
{
	const struct member *member = members_find(m, id);

	if (!member ||
	    rate_allows(&member->datagrams, THROTTLED_INTERVAL, THROTTLED_BURST, now.mono))
		return false;
	refuse(m, REFUSED_THROTTLED);
	return true;
}

/* A datagram that came by itself, or through via. False: it is not genuine, or not new. */
static bool take(struct membership *m, const uint8_t *data, size_t len,
		 const struct membership_event *event, struct member *via)
{
	_Alignas(max_align_t) uint8_t memory[16 * 1024];
	Lvsmesh__Pb__Datagram *body;
	struct member *member;
	struct packet packet;
	struct arena arena;

	member = open_packet(m, data, len, &packet);
	if (!member)
		return false;
	if (event->throttled &&
	    !rate_take(&member->datagrams, THROTTLED_INTERVAL, THROTTLED_BURST, m->now.mono)) {
		refuse(m, REFUSED_THROTTLED);
		return false;
	}
	arena_init(&arena, memory, sizeof(memory));
	body = lvsmesh__pb__datagram__unpack(&arena.allocator, packet.len, packet.body);
	if (body)
		take_body(m, member, &packet, body, event, via);
	else
		refuse(m, REFUSED_MALFORMED);
	return true;
}

bool datagram_take(struct membership *m, const struct membership_event *event)
{
	m->sender = 0;
	m->datagrams_in++;
	m->bytes_in += event->len;
	return take(m, event->data, event->len, event, NULL);
}

/* The highest version that a member reads, if its statement is of the boot in which it answers;
 * else the lowest: it may have come back as an older program. */
static uint8_t version_for(const struct membership *m, const struct member *member)
{
	uint32_t version = version_common(m->versions, member->versions);
	bool hello = member->probe && member->probe->stage == PROBE_HELLO;

	if (version && member_answers(member) && !hello && member->proven == member->epoch)
		return (uint8_t)version;
	return (uint8_t)MIN(MAX(m->versions.min, member->versions.min), m->versions.max);
}

/* version: 0, or that of the packet that is answered: it may be older than the member's last
 * statement. */
static size_t seal(struct membership *m, struct member *to, enum packet_kind kind, uint8_t version,
		   const Lvsmesh__Pb__Datagram *body, uint8_t *data, size_t cap)
{
	uint8_t bytes[MEMBERSHIP_DATAGRAM_MAX];
	struct packet packet = {.version = version ? version : version_for(m, to),
				.kind = (uint8_t)kind,
				.sender = m->identity->id,
				.epoch = m->epoch,
				.body = bytes};
	size_t len;

	if (!members_key(m, to) || lvsmesh__pb__datagram__get_packed_size(body) > DATAGRAM_BODY_MAX)
		return 0;
	packet.len = lvsmesh__pb__datagram__pack(body, bytes);
	packet.sequence = ++to->sequence;
	m->packets = MAX(m->packets, to->sequence);
	if (seal_packet_pack(&to->key, m->identity->certificate.cluster, &packet, data, cap,
			     &len) != 0)
		return 0;
	return len;
}

/* At which incarnation we suspect it, or hold it failed. */
static uint64_t accused(const struct member *member)
{
	if (member->suspicion)
		return member->suspicion->incarnation;
	if (member->state == STATE_FAILED && member->failed_epoch == member->epoch)
		return member->incarnation;
	return 0;
}

static void fill(struct membership *m, const struct out *out, struct member *member,
		 Lvsmesh__Pb__Datagram *body, struct broadcast_records *said,
		 Lvsmesh__Pb__Record **pointers)
{
	body->nonce = out->nonce;
	if (out->kind == OUT_PING || out->kind == OUT_PING_REQ)
		body->accused = accused(member);
	if (out->kind == OUT_PING_REQ || out->kind == OUT_RELAY_ACK)
		return;
	if (out->kind != OUT_GOSSIP)
		body->digest = own_digest(m);
	if (member->believes != member->proven)
		return;
	body->n_records = broadcast_fill(m, DATAGRAM_BODY_MAX - 64, said);
	for (size_t i = 0; i < body->n_records; i++)
		pointers[i] = &said->records[i];
	body->records = pointers;
}

/* A datagram that another member shall pass on to this one. */
static size_t wrap(struct membership *m, struct member *via, struct member *member,
		   enum packet_kind kind, uint8_t version, const Lvsmesh__Pb__Datagram *body,
		   uint8_t *data, size_t cap)
{
	Lvsmesh__Pb__Datagram outer = LVSMESH__PB__DATAGRAM__INIT;
	uint8_t inner[RELAY_PACKET_MAX];
	size_t len = seal(m, member, kind, version, body, inner, sizeof(inner));

	outer.peer = member->id;
	outer.packet = record_bytes(inner, len);
	/* An answer goes back the way that its ping came. */
	outer.hops = kind == PACKET_PING ? HOPS_MAX : 0;
	return len ? seal(m, via, PACKET_RELAY, 0, &outer, data, cap) : 0;
}

static size_t pass(struct membership *m, const struct out *out, struct member *member,
		   uint8_t *data, size_t cap)
{
	struct relay *relay = &m->relays[out->slot];
	bool arrives = relay->next == relay->to;
	Lvsmesh__Pb__Datagram body = LVSMESH__PB__DATAGRAM__INIT;
	size_t len;

	assert(out->slot < RELAYS_MAX && relay->queued);
	relay->queued = false;
	/* The relay timed out before its packet was pulled. */
	if (!relay->used)
		return 0;
	body.peer = arrives ? relay->origin : relay->to;
	body.hops = arrives ? 0 : relay->hops;
	body.packet = record_bytes(relay->packet, relay->len);
	len = seal(m, member, arrives ? PACKET_DELIVER : PACKET_RELAY, 0, &body, data, cap);
	relay->used = relay->deadline != USEC_NEVER;
	return len;
}

static size_t build(struct membership *m, const struct out *out, struct member *member,
		    uint8_t *data, size_t cap)
{
	static const enum packet_kind kinds[] = {
		[OUT_PING] = PACKET_PING,
		[OUT_ACK] = PACKET_ACK,
		[OUT_GOSSIP] = PACKET_GOSSIP,
	};
	Lvsmesh__Pb__Datagram body = LVSMESH__PB__DATAGRAM__INIT;
	Lvsmesh__Pb__Record *pointers[BROADCAST_RECORDS];
	struct broadcast_records said;
	struct member *via = members_find(m, out->via);

	switch (out->kind) {
	case OUT_FORWARD:
		return pass(m, out, member, data, cap);
	case OUT_NACK:
		body.peer = out->via;
		return seal(m, member, PACKET_NACK, 0, &body, data, cap);
	case OUT_PING_REQ:
	case OUT_RELAY_ACK:
		fill(m, out, member, &body, &said, pointers);
		return via ? wrap(m, via, member,
				  out->kind == OUT_PING_REQ ? PACKET_PING : PACKET_ACK,
				  out->version, &body, data, cap)
			   : 0;
	default:
		fill(m, out, member, &body, &said, pointers);
		return seal(m, member, kinds[out->kind], out->version, &body, data, cap);
	}
}

/* The path for datagrams to a member: the one heard from last. */
static const struct member_path *best_path(const struct member *member)
{
	const struct member_path *best = &member->paths[0];

	for (unsigned int i = 1; i < member->path_count; i++)
		if (member->paths[i].udp_heard > best->udp_heard)
			best = &member->paths[i];
	return best;
}

static uint16_t local_for(const struct membership *m, const struct endpoint *remote,
			  unsigned int path)
{
	unsigned int local = MIN(path, m->address_count - 1);

	for (unsigned int i = 0; i < m->address_count; i++)
		if (m->addresses[local].ip.family != remote->ip.family)
			local = (local + 1) % m->address_count;
	return (uint16_t)local;
}

size_t membership_datagram(struct membership *m, uint8_t *data, size_t cap,
			   struct membership_target *ret_target)
{
	struct member *member, *to;
	struct out out;
	size_t len;

	while (m->out_count > 0) {
		out = m->out[m->out_at];
		m->out_at = (m->out_at + 1) % OUT_MAX;
		m->out_count--;
		member = members_find(m, out.member);
		to = out.kind == OUT_PING_REQ || out.kind == OUT_RELAY_ACK
			     ? members_find(m, out.via)
			     : member;
		if (!member || !to || (out.remote.port == 0 && to->path_count == 0)) {
			if (out.kind == OUT_FORWARD)
				m->relays[out.slot].used = m->relays[out.slot].queued = false;
			continue;
		}
		if (out.remote.port == 0 || to != member) {
			out.remote = best_path(to)->endpoint;
			out.local = local_for(m, &out.remote,
					      (unsigned int)(best_path(to) - to->paths));
		} else if (out.kind == OUT_PING) {
			out.local = local_for(m, &out.remote, out.local);
		}
		len = build(m, &out, member, data, cap);
		if (len == 0)
			continue;
		*ret_target = (struct membership_target){.remote = out.remote, .local = out.local};
		m->datagrams_out++;
		m->bytes_out += len;
		return len;
	}
	return 0;
}

void datagram_timers(struct membership *m, usec_t *next)
{
	if (m->now.mono < m->relays_at) {
		sooner(next, m->relays_at);
		return;
	}
	m->relays_at = USEC_NEVER;
	for (unsigned int i = 0; i < RELAYS_MAX; i++) {
		struct relay *relay = &m->relays[i];

		if (!relay->used || relay->deadline == USEC_NEVER)
			continue;
		if (m->now.mono < relay->deadline) {
			sooner(&m->relays_at, relay->deadline);
			continue;
		}
		relay->used = false;
		/* Only the first helper on the way nacks to the prober. */
		if (relay->previous == relay->origin)
			datagram_push(m, (struct out){.kind = OUT_NACK,
						      .member = relay->origin,
						      .via = relay->to});
	}
	sooner(next, m->relays_at);
}
