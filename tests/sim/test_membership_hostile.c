/* Attacks with no key, with a stranger's, with a member's that was stolen, and with every packet
 * that was ever sent. No attack may evict, resurrect, mislead or stop a healthy member, and all are
 * counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/membership.pb-c.h"
#include "proto/session/seal.h"
#include "tests/identity_fixture.h"
#include "tests/sim/membership_sim.h"

#define S USEC_PER_SEC
#define MS USEC_PER_MSEC
#define THIEF 2 /* whose keys the attacker has */
#define SUBJECT 1
#define COUNT 5

enum { PING = 1, ACK, GOSSIP, RELAY, DELIVER, NACK };
enum { STATEMENT = 32, SUSPICION, VIEW, REMOVAL, TWICE };

static struct sim *cluster(uint64_t seed, unsigned int count)
{
	return sim_new_whole((struct sim_options){.seed = seed, .count = count}, count, 6 * S);
}

/* No member was thrown out, and none has a notice, but of the one whose key was stolen: when the
 * thief runs ahead with the sequence of its packets, that member's own packets look old. */
static void unharmed(struct sim *sim)
{
	const struct sim_notice *notices;
	size_t count = sim_notices(sim, &notices);

	if (sim_broken(sim))
		fail_msg("%s", sim_broken(sim));
	assert_true(sim_whole(sim, NULL));
	for (size_t i = 0; i < count; i++)
		if (notices[i].notice.type < MEMBERSHIP_SUSPECTED && notices[i].at != THIEF &&
		    notices[i].notice.member != sim_id(sim, THIEF))
			fail_msg("d%u says %s %s", notices[i].at + 1,
				 membership_notice_name((int)notices[i].notice.type),
				 notices[i].notice.name);
	sim_free(sim);
}

static uint64_t total(struct sim *sim, unsigned int n)
{
	struct membership_counter counter;
	uint64_t sum = 0;

	for (unsigned int i = 0; membership_counter(sim_core(sim, n), i, &counter); i++)
		sum += counter.value;
	return sum;
}

struct stolen {
	uint64_t epoch, sequence, records;
};

/* Beyond what its owner has used, so that it is new. */
static struct stolen steal(struct sim *sim)
{
	struct membership_status status;

	membership_status(sim_core(sim, THIEF), &status);
	return (struct stolen){.epoch = status.epoch, .sequence = 100000, .records = 1000};
}

static size_t seal_as(struct sim *sim, unsigned int who, struct stolen *stolen, unsigned int to,
		      uint8_t kind, const Lvsmesh__Pb__Datagram *body, uint8_t data[4096])
{
	const struct identity *identity = sim_identity(sim, who);
	uint8_t bytes[2048];
	struct packet packet = {.version = VERSION_WIRE,
				.kind = kind,
				.sender = identity->id,
				.epoch = stolen->epoch,
				.sequence = ++stolen->sequence,
				.body = bytes};
	struct packet_key key;
	size_t len;

	packet.len = lvsmesh__pb__datagram__pack(body, bytes);
	assert_int_equal(seal_packet_key_init(identity, &sim_identity(sim, to)->certificate, &key),
			 0);
	assert_int_equal(
		seal_packet_pack(&key, identity->certificate.cluster, &packet, data, 4096, &len),
		0);
	return len;
}

static void send_as_thief(struct sim *sim, struct stolen *stolen, unsigned int to, uint8_t kind,
			  const Lvsmesh__Pb__Datagram *body)
{
	uint8_t data[4096];
	size_t len = seal_as(sim, THIEF, stolen, to, kind, body, data);

	sim_inject(sim, to, data, len);
}

static void gossip_as_thief(struct sim *sim, struct stolen *stolen, unsigned int to,
			    Lvsmesh__Pb__Record *record)
{
	Lvsmesh__Pb__Datagram body = LVSMESH__PB__DATAGRAM__INIT;

	body.n_records = 1;
	body.records = &record;
	send_as_thief(sim, stolen, to, GOSSIP, &body);
}

static ProtobufCBinaryData bytes_of(void *data, size_t len)
{
	return (ProtobufCBinaryData){.len = len, .data = data};
}

/* Signed with the stolen key, whatever it claims. */
static void say_to(struct sim *sim, struct stolen *stolen, unsigned int to, uint8_t kind,
		   uint64_t origin, uint64_t epoch, uint64_t sequence, uint8_t *body, size_t len)
{
	Lvsmesh__Pb__Record record = LVSMESH__PB__RECORD__INIT;
	uint8_t signature[SIGNATURE_SIZE];

	seal_record_sign(sim_identity(sim, THIEF), kind, epoch, sequence, body, len, signature);
	record.kind = kind;
	record.origin = origin;
	record.epoch = epoch;
	record.sequence = sequence;
	record.body = bytes_of(body, len);
	record.signature = bytes_of(signature, sizeof(signature));
	gossip_as_thief(sim, stolen, to, &record);
}

static void say_as_thief(struct sim *sim, struct stolen *stolen, uint8_t kind, uint64_t origin,
			 uint64_t epoch, uint64_t sequence, uint8_t *body, size_t len)
{
	for (unsigned int i = 0; i < COUNT; i++)
		if (i != THIEF)
			say_to(sim, stolen, i, kind, origin, epoch, sequence, body, len);
}

static size_t statement(uint8_t *body, enum member_phase phase, unsigned int at)
{
	Lvsmesh__Pb__Statement message = LVSMESH__PB__STATEMENT__INIT;
	struct endpoint endpoint = sim_endpoint(at, 0);
	uint8_t bytes[6];
	ProtobufCBinaryData data = bytes_of(bytes, sizeof(bytes));

	memcpy(bytes, endpoint.ip.bytes, 4);
	store_be16(bytes + 4, endpoint.port);
	message.phase = phase;
	message.n_endpoints = 1;
	message.endpoints = &data;
	message.version_min = message.version_max = 1;
	message.lease = 3600;
	return lvsmesh__pb__statement__pack(&message, body);
}

static void test_forged_words_of_others(void **state)
{
	struct sim *sim = cluster(1, COUNT);
	struct stolen stolen = steal(sim);
	struct member_info info;
	uint8_t body[256];
	uint64_t before;

	(void)state;
	assert_true(membership_find(sim_core(sim, 0), sim_id(sim, SUBJECT), &info));
	before = sim_counter(sim, 0, "signature");
	/* Forged: the subject's leave, its absence, another address, another boot. */
	for (unsigned int i = 0; i < 3; i++) {
		say_as_thief(sim, &stolen, STATEMENT, info.id, info.epoch, info.incarnation + 1 + i,
			     body, statement(body, PHASE_LEFT, SUBJECT));
		say_as_thief(sim, &stolen, STATEMENT, info.id, info.epoch + 1, 1, body,
			     statement(body, PHASE_ABSENT, SUBJECT));
		say_as_thief(sim, &stolen, STATEMENT, info.id, UINT64_MAX, UINT64_MAX, body,
			     statement(body, PHASE_READY, THIEF));
		sim_run(sim, S);
	}
	assert_int_equal(sim_counter(sim, 0, "signature") - before, 9);
	assert_true(membership_find(sim_core(sim, 0), sim_id(sim, SUBJECT), &info));
	assert_int_equal(info.phase, PHASE_JOINING);
	sim_run(sim, 10 * S);
	unharmed(sim);
}

static void accuse(struct sim *sim, struct stolen *stolen, uint64_t subject, uint64_t epoch,
		   uint64_t incarnation)
{
	Lvsmesh__Pb__Suspicion message = LVSMESH__PB__SUSPICION__INIT;
	uint8_t body[64];

	message.subject = subject;
	message.epoch = epoch;
	message.incarnation = incarnation;
	say_as_thief(sim, stolen, SUSPICION, sim_id(sim, THIEF), stolen->epoch, ++stolen->records,
		     body, lvsmesh__pb__suspicion__pack(&message, body));
}

static void test_accusations(void **state)
{
	struct sim *sim = cluster(2, COUNT);
	struct stolen stolen = steal(sim);
	struct member_info info;

	(void)state;
	for (unsigned int i = 0; i < 100; i++) {
		assert_true(membership_find(sim_core(sim, 0), sim_id(sim, SUBJECT), &info));
		accuse(sim, &stolen, info.id, info.epoch, info.incarnation);
		accuse(sim, &stolen, info.id, info.epoch, UINT64_MAX);
		accuse(sim, &stolen, info.id, UINT64_MAX, UINT64_MAX);
		accuse(sim, &stolen, 12345, 1, 1);
		sim_run(sim, 50 * MS);
	}
	assert_true(sim_counter(sim, 0, "ahead") >= 100);
	assert_true(sim_counter(sim, SUBJECT, "ahead") >= 100);
	assert_true(sim_counter(sim, 0, "unknown") >= 100);
	sim_run(sim, 10 * S);
	unharmed(sim);
}

/* The same accuser again and again is one accuser: the failure is called no sooner. */
static void test_repeated_accusations(void **state)
{
	struct sim *sim = cluster(13, COUNT);
	struct stolen stolen = steal(sim);
	const struct sim_notice *notices;
	struct member_info info;
	usec_t start;
	size_t count;

	(void)state;
	assert_true(membership_find(sim_core(sim, 0), sim_id(sim, SUBJECT), &info));
	sim_crash(sim, SUBJECT, true);
	sim_run(sim, MS);
	start = sim_now(sim);
	for (unsigned int i = 0; i < 4; i++)
		accuse(sim, &stolen, info.id, info.epoch, info.incarnation);
	sim_run(sim, 10 * S);
	count = sim_notices(sim, &notices);
	for (size_t i = 0; i < count; i++) {
		const struct membership_notice *notice = &notices[i].notice;

		for (unsigned int j = 0; j < notice->id_count; j++)
			for (unsigned int k = 0; k < j; k++)
				assert_true(notice->ids[j] != notice->ids[k]);
	}
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, SUBJECT, start), COUNT - 1);
	sim_free(sim);
}

/* Left, and something newer of the same epoch: the end does not depend on which is heard first. */
static void test_any_order_of_leaving(void **state)
{
	static const enum member_phase phases[] = {PHASE_READY, PHASE_ABSENT};

	(void)state;
	for (unsigned int p = 0; p < ARRAY_SIZE(phases); p++) {
		struct sim *sim = cluster(14 + p, COUNT);
		struct stolen stolen = steal(sim);
		struct membership_status status[2];
		struct member_info info;
		uint8_t body[2][256];
		size_t len[2];

		assert_true(membership_find(sim_core(sim, 0), sim_id(sim, THIEF), &info));
		sim_crash(sim, THIEF, true);
		len[0] = statement(body[0], PHASE_LEFT, THIEF);
		len[1] = statement(body[1], phases[p], THIEF);
		for (unsigned int to = 0; to < COUNT; to++)
			for (unsigned int i = 0; to != THIEF && i < 2; i++) {
				unsigned int word = (i + to) % 2;

				say_to(sim, &stolen, to, STATEMENT, info.id, info.epoch,
				       info.incarnation + 1 + word, body[word], len[word]);
			}
		sim_run(sim, 120 * S);
		assert_int_equal(sim_state(sim, 0, THIEF), sim_state(sim, 1, THIEF));
		for (unsigned int i = 0; i < 2; i++)
			membership_status(sim_core(sim, i), &status[i]);
		assert_int_equal(status[0].roster, COUNT);
		assert_int_equal(status[1].roster, COUNT);
		sim_free(sim);
	}
}

/* Silent after *leaving*, and then something newer of the same epoch: it comes back as a member
 * that answers, though it was suspect when it was held gone, and is found to be dead. */
static void test_a_statement_after_leaving(void **state)
{
	struct sim *sim = cluster(16, COUNT);
	struct stolen stolen = steal(sim);
	struct member_info info;
	uint8_t body[256];

	(void)state;
	assert_true(membership_find(sim_core(sim, 0), sim_id(sim, THIEF), &info));
	sim_crash(sim, THIEF, true);
	say_as_thief(sim, &stolen, STATEMENT, info.id, info.epoch, info.incarnation + 1, body,
		     statement(body, PHASE_LEAVING, THIEF));
	sim_run(sim, 4 * S);
	assert_int_equal(sim_state(sim, 0, THIEF), STATE_GONE);
	say_as_thief(sim, &stolen, STATEMENT, info.id, info.epoch, info.incarnation + 2, body,
		     statement(body, PHASE_READY, THIEF));
	sim_run(sim, MS);
	assert_int_equal(sim_state(sim, 0, THIEF), STATE_ALIVE);
	sim_run(sim, 10 * S);
	assert_int_equal(sim_state(sim, 0, THIEF), STATE_FAILED);
	sim_free(sim);
}

/* Left, and then a statement of a newer boot: it is heard of again, and has to answer. */
static void test_a_boot_after_leaving(void **state)
{
	struct sim *sim = cluster(17, COUNT);
	struct stolen stolen = steal(sim);
	struct member_info info;
	uint8_t body[256];

	(void)state;
	assert_true(membership_find(sim_core(sim, 0), sim_id(sim, THIEF), &info));
	sim_crash(sim, THIEF, true);
	say_as_thief(sim, &stolen, STATEMENT, info.id, info.epoch, info.incarnation + 1, body,
		     statement(body, PHASE_LEFT, THIEF));
	sim_run(sim, MS);
	assert_int_equal(sim_state(sim, 0, THIEF), STATE_GONE);
	say_as_thief(sim, &stolen, STATEMENT, info.id, info.epoch + 1, 1, body,
		     statement(body, PHASE_READY, THIEF));
	sim_run(sim, MS);
	assert_int_equal(sim_state(sim, 0, THIEF), STATE_UNPROVEN);
	sim_free(sim);
}

/* An accusation that only its subject hears: no ping says so, and it is refuted all the same. */
static void test_refutes_what_it_hears(void **state)
{
	struct sim *sim = cluster(18, COUNT);
	struct stolen stolen = steal(sim);
	Lvsmesh__Pb__Suspicion message = LVSMESH__PB__SUSPICION__INIT;
	struct membership_status before, after;
	uint8_t body[64];

	(void)state;
	membership_status(sim_core(sim, SUBJECT), &before);
	message.subject = before.id;
	message.epoch = before.epoch;
	message.incarnation = before.incarnation;
	say_to(sim, &stolen, SUBJECT, SUSPICION, sim_id(sim, THIEF), stolen.epoch, 500, body,
	       lvsmesh__pb__suspicion__pack(&message, body));
	sim_run(sim, S);
	membership_status(sim_core(sim, SUBJECT), &after);
	assert_int_equal(after.incarnation, before.incarnation + 1);
	assert_int_equal(sim_count(sim, SUBJECT, MEMBERSHIP_REFUTED, -1, 0), 1);
	unharmed(sim);
}

/* Steps the core of d1, which sends nothing meanwhile, so much later than now. */
static void step_later(struct sim *sim, unsigned int who, struct stolen *stolen, uint8_t kind,
		       const Lvsmesh__Pb__Datagram *body, usec_t later)
{
	usec_t now = sim_now(sim) + later;
	uint8_t data[4096];
	struct membership_event event = {.type = MEMBERSHIP_DATAGRAM,
					 .now = {now, FIXTURE_WALL + now},
					 .data = data,
					 .len = seal_as(sim, who, stolen, 0, kind, body, data),
					 .remote = sim_endpoint(who, 0)};
	struct membership_update update;

	membership_step(sim_core(sim, 0), &event, &update);
}

static void step_first(struct sim *sim, unsigned int who, struct stolen *stolen, uint8_t kind,
		       const Lvsmesh__Pb__Datagram *body)
{
	step_later(sim, who, stolen, kind, body, 0);
}

static void drain(struct membership *m)
{
	uint8_t data[MEMBERSHIP_DATAGRAM_MAX];
	struct membership_target target;

	while (membership_datagram(m, data, sizeof(data), &target) > 0)
		;
}

/* Into the core of d1, as from a sender that has used up its share of work. */
static void step_throttled(struct sim *sim, struct stolen *stolen, uint8_t kind,
			   const Lvsmesh__Pb__Datagram *body)
{
	uint8_t data[4096];
	struct membership_event event = {.type = MEMBERSHIP_DATAGRAM,
					 .now = {sim_now(sim), FIXTURE_WALL + sim_now(sim)},
					 .data = data,
					 .len = seal_as(sim, THIEF, stolen, 0, kind, body, data),
					 .throttled = true,
					 .remote = sim_endpoint(THIEF, 0)};
	struct membership_update update;

	membership_step(sim_core(sim, 0), &event, &update);
	assert_int_equal(update.sender, sim_id(sim, THIEF));
}

static uint64_t incarnation(struct sim *sim, unsigned int at, unsigned int of)
{
	struct member_info info;

	assert_true(membership_find(sim_core(sim, at), sim_id(sim, of), &info));
	return info.incarnation;
}

/* A statement of THIEF's, signed by it whosever it is said to be, into the core of d1. */
static void state_first(struct sim *sim, struct stolen *stolen, unsigned int of, uint64_t sequence,
			usec_t later)
{
	Lvsmesh__Pb__Datagram gossip = LVSMESH__PB__DATAGRAM__INIT;
	Lvsmesh__Pb__Record record = LVSMESH__PB__RECORD__INIT, *records = &record;
	uint8_t body[256], signature[SIGNATURE_SIZE];
	size_t len = statement(body, PHASE_READY, THIEF);

	seal_record_sign(sim_identity(sim, THIEF), STATEMENT, stolen->epoch, sequence, body, len,
			 signature);
	record.kind = STATEMENT;
	record.origin = sim_id(sim, of);
	record.epoch = stolen->epoch;
	record.sequence = sequence;
	record.body = bytes_of(body, len);
	record.signature = bytes_of(signature, sizeof(signature));
	gossip.records = &records;
	gossip.n_records = 1;
	step_later(sim, THIEF, stolen, GOSSIP, &gossip, later);
}

static void test_more_records_than_a_member_may_sign(void **state)
{
	enum { AT_ONCE = 1024, FLOOD = 3000 };
	struct sim *sim = cluster(19, COUNT);
	struct stolen stolen = steal(sim);
	uint64_t first = incarnation(sim, 0, THIEF) + 1;

	(void)state;
	/* Records forged in a member's name use up nothing of its share. */
	for (unsigned int i = 0; i < FLOOD; i++)
		state_first(sim, &stolen, SUBJECT, (uint64_t)UINT32_MAX + i, 0);
	assert_int_equal(sim_counter(sim, 0, "signature"), FLOOD);
	assert_int_equal(sim_counter(sim, 0, "throttled"), 0);
	for (unsigned int i = 0; i < FLOOD; i++)
		state_first(sim, &stolen, THIEF, first + i, 0);
	assert_in_range(incarnation(sim, 0, THIEF), first + AT_ONCE - 10, first + AT_ONCE);
	assert_in_range(sim_counter(sim, 0, "throttled"), FLOOD - AT_ONCE, FLOOD - AT_ONCE + 10);
	/* Soon it is heard again. */
	state_first(sim, &stolen, THIEF, first + FLOOD, 50 * MS);
	assert_int_equal(incarnation(sim, 0, THIEF), first + FLOOD);
	sim_free(sim);
}

/* A datagram is read no further than to a record that its sender has not verified. */
static void test_a_forged_record_ends_its_datagram(void **state)
{
	struct sim *sim = cluster(20, COUNT);
	struct stolen stolen = steal(sim);
	Lvsmesh__Pb__Datagram gossip = LVSMESH__PB__DATAGRAM__INIT;
	Lvsmesh__Pb__Record record = LVSMESH__PB__RECORD__INIT, *records[8];
	uint8_t body[256], signature[SIGNATURE_SIZE] = {1};

	(void)state;
	record.kind = STATEMENT;
	record.origin = sim_id(sim, SUBJECT);
	record.epoch = stolen.epoch + 1;
	record.sequence = 1;
	record.body = bytes_of(body, statement(body, PHASE_READY, SUBJECT));
	record.signature = bytes_of(signature, sizeof(signature));
	for (unsigned int i = 0; i < ARRAY_SIZE(records); i++)
		records[i] = &record;
	gossip.records = records;
	gossip.n_records = ARRAY_SIZE(records);
	send_as_thief(sim, &stolen, 0, GOSSIP, &gossip);
	sim_run(sim, 50 * MS);
	assert_int_equal(sim_counter(sim, 0, "signature"), 1);
	unharmed(sim);
}

/* The helper would be charged for them. */
static void test_records_in_a_relayed_packet(void **state)
{
	struct sim *sim = cluster(21, COUNT);
	struct stolen stolen[2] = {steal(sim), {.sequence = 200000}};
	Lvsmesh__Pb__Datagram ping = LVSMESH__PB__DATAGRAM__INIT, deliver = ping;
	Lvsmesh__Pb__Record record = LVSMESH__PB__RECORD__INIT, *records = &record;
	uint8_t body[256], signature[SIGNATURE_SIZE], inner[4096];
	uint64_t before = incarnation(sim, 0, THIEF), kinds = sim_counter(sim, 0, "kind");
	struct membership_status status;

	(void)state;
	membership_status(sim_core(sim, SUBJECT), &status);
	stolen[1].epoch = status.epoch;
	record.kind = STATEMENT;
	record.origin = sim_id(sim, THIEF);
	record.epoch = stolen[0].epoch;
	record.sequence = before + 1;
	record.body = bytes_of(body, statement(body, PHASE_READY, THIEF));
	seal_record_sign(sim_identity(sim, THIEF), STATEMENT, record.epoch, record.sequence, body,
			 record.body.len, signature);
	record.signature = bytes_of(signature, sizeof(signature));
	ping.nonce = 1;
	ping.records = &records;
	ping.n_records = 1;
	deliver.peer = sim_id(sim, THIEF);
	deliver.packet = bytes_of(inner, seal_as(sim, THIEF, &stolen[0], 0, PING, &ping, inner));
	step_first(sim, SUBJECT, &stolen[1], DELIVER, &deliver);
	assert_int_equal(incarnation(sim, 0, THIEF), before);
	assert_int_equal(sim_counter(sim, 0, "kind") - kinds, 1);
	unharmed(sim);
}

/* A throttled member's pings are answered, as many as a well-behaved one sends, and its records are
 * left. */
static void test_throttled(void **state)
{
	enum { AT_ONCE = 32, PINGS = 100 };
	struct sim *sim = cluster(22, COUNT);
	struct stolen stolen = steal(sim);
	Lvsmesh__Pb__Datagram ping = LVSMESH__PB__DATAGRAM__INIT;
	Lvsmesh__Pb__Record record = LVSMESH__PB__RECORD__INIT, *records = &record;
	struct now now = {sim_now(sim), FIXTURE_WALL + sim_now(sim)};
	struct membership_status before, after;

	(void)state;
	membership_status(sim_core(sim, 0), &before);
	ping.nonce = 1;
	for (unsigned int i = 0; i < PINGS; i++) {
		assert_int_equal(membership_drops(sim_core(sim, 0), sim_id(sim, THIEF), now),
				 i >= AT_ONCE);
		step_throttled(sim, &stolen, PING, &ping);
	}
	assert_false(membership_drops(sim_core(sim, 0), sim_id(sim, SUBJECT), now));
	assert_int_equal(sim_counter(sim, 0, "throttled"), 2 * (PINGS - AT_ONCE));
	drain(sim_core(sim, 0));
	membership_status(sim_core(sim, 0), &after);
	assert_in_range(after.datagrams_out - before.datagrams_out, AT_ONCE, AT_ONCE + 10);
	sim_run(sim, S);
	ping.records = &records;
	ping.n_records = 1;
	record.origin = sim_id(sim, THIEF);
	step_throttled(sim, &stolen, PING, &ping);
	assert_int_equal(sim_counter(sim, 0, "throttled"), 2 * (PINGS - AT_ONCE) + 1);
	unharmed(sim);
}

/* A relay that does not fit into the output takes no place among the relays. */
static void test_relays_beyond_the_output(void **state)
{
	struct sim *sim = cluster(16, COUNT);
	struct stolen stolen[2] = {steal(sim), {.sequence = 200000}};
	Lvsmesh__Pb__Datagram ping = LVSMESH__PB__DATAGRAM__INIT, relay = ping;
	struct membership_status status;
	uint8_t inner[100] = {0};

	(void)state;
	membership_status(sim_core(sim, SUBJECT), &status);
	stolen[1].epoch = status.epoch;
	ping.nonce = 1;
	relay.packet = bytes_of(inner, sizeof(inner));
	for (unsigned int round = 0; round < 3; round++) {
		relay.peer = sim_id(sim, SUBJECT);
		for (unsigned int i = 0; i < 30; i++)
			step_first(sim, THIEF, &stolen[0], RELAY, &relay);
		drain(sim_core(sim, 0));
		for (unsigned int i = 0; i < 512; i++)
			step_first(sim, THIEF, &stolen[0], PING, &ping);
		relay.peer = sim_id(sim, THIEF);
		for (unsigned int i = 0; i < 30; i++)
			step_first(sim, SUBJECT, &stolen[1], RELAY, &relay);
		drain(sim_core(sim, 0));
		sim_run(sim, S);
	}
	assert_true(sim_counter(sim, 0, "dropped-datagrams") > 0);
	assert_int_equal(sim_counter(sim, 0, "relay"), 0);
	sim_free(sim);
}

/* A member that no datagram reaches cannot refute. It lives all the same, as streams show. */
static void test_accused_and_partly_reachable(void **state)
{
	struct sim *sim = cluster(12, 16);
	struct stolen stolen = steal(sim);
	struct member_info info;

	(void)state;
	for (unsigned int i = 0; i < 16; i++) {
		sim_cut(sim, i, SUBJECT, SIM_UDP, 2, true);
		sim_cut(sim, SUBJECT, i, SIM_UDP, 2, true);
	}
	sim_run(sim, 20 * S);
	for (unsigned int i = 0; i < 40; i++) {
		assert_true(membership_find(sim_core(sim, 0), sim_id(sim, SUBJECT), &info));
		accuse(sim, &stolen, info.id, info.epoch, info.incarnation);
		sim_run(sim, 250 * MS);
	}
	sim_run(sim, 5 * S);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, SUBJECT, 0), 0);
	sim_free(sim);
}

/* An accusation that `accuser` signed, into the core of d1. */
static void accuse_first(struct sim *sim, unsigned int accuser, const struct member_info *subject)
{
	Lvsmesh__Pb__Datagram gossip = LVSMESH__PB__DATAGRAM__INIT;
	Lvsmesh__Pb__Record record = LVSMESH__PB__RECORD__INIT, *records = &record;
	Lvsmesh__Pb__Suspicion message = LVSMESH__PB__SUSPICION__INIT;
	struct stolen stolen = {.sequence = 100000};
	uint8_t body[64], signature[SIGNATURE_SIZE];
	struct membership_status status;
	size_t len;

	membership_status(sim_core(sim, accuser), &status);
	stolen.epoch = status.epoch;
	message.subject = subject->id;
	message.epoch = subject->epoch;
	message.incarnation = subject->incarnation;
	len = lvsmesh__pb__suspicion__pack(&message, body);
	record.kind = SUSPICION;
	record.origin = sim_id(sim, accuser);
	record.epoch = status.epoch;
	record.sequence = 1000;
	record.body = bytes_of(body, len);
	seal_record_sign(sim_identity(sim, accuser), SUSPICION, status.epoch, record.sequence, body,
			 len, signature);
	record.signature = bytes_of(signature, sizeof(signature));
	gossip.records = &records;
	gossip.n_records = 1;
	step_first(sim, accuser, &stolen, GOSSIP, &gossip);
}

/* All others accuse a member that answers by TCP only, and now not even so. However many they are,
 * a director fails a member only once its own probe has failed. */
static void test_accused_by_all_others(void **state)
{
	struct sim *sim = cluster(23, COUNT);
	const struct sim_notice *notices;
	bool accused = false, failed = false;
	struct member_info info;
	size_t count;

	(void)state;
	for (unsigned int i = 0; i < COUNT; i++) {
		sim_cut(sim, i, SUBJECT, SIM_UDP, 2, true);
		sim_cut(sim, SUBJECT, i, SIM_UDP, 2, true);
	}
	sim_run(sim, 20 * S);
	sim_forget_notices(sim);
	assert_true(membership_find(sim_core(sim, 0), sim_id(sim, SUBJECT), &info));
	sim_partition(sim, 1 << SUBJECT, true);
	for (unsigned int i = SUBJECT + 1; i < COUNT; i++)
		accuse_first(sim, i, &info);
	sim_run(sim, 5 * S);
	count = sim_notices(sim, &notices);
	for (size_t i = 0; i < count; i++) {
		const struct membership_notice *notice = &notices[i].notice;

		if (notices[i].at != 0 || notice->member != info.id)
			continue;
		accused |=
			notice->type == MEMBERSHIP_SUSPECTED && notice->accuser == sim_id(sim, 0);
		failed |= notice->type == MEMBERSHIP_MEMBER_FAILED;
		assert_true(accused || !failed);
	}
	assert_true(failed);
	assert_true(sim_count(sim, 0, MEMBERSHIP_SUSPECTED, SUBJECT, 0) >= COUNT - 1);
	sim_free(sim);
}

/* An accusation is a reason to probe its subject at once, and not only when that member has its
 * turn.
 */
static void test_an_accusation_is_checked(void **state)
{
	(void)state;
	for (uint64_t seed = 30; seed < 36; seed++) {
		struct sim *sim = cluster(seed, COUNT);
		const struct sim_notice *notices;
		struct member_info info;
		bool accused = false;
		size_t count;

		assert_true(membership_find(sim_core(sim, 0), sim_id(sim, SUBJECT), &info));
		sim_crash(sim, SUBJECT, true);
		accuse_first(sim, THIEF, &info);
		sim_run(sim, 250 * MS);
		count = sim_notices(sim, &notices);
		for (size_t i = 0; i < count; i++)
			accused |= notices[i].at == 0 &&
				   notices[i].notice.type == MEMBERSHIP_SUSPECTED &&
				   notices[i].notice.accuser == sim_id(sim, 0);
		assert_true(accused);
		sim_free(sim);
	}
}

static bool is_failed(struct sim *sim, void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < COUNT; i++)
		if (i != THIEF && sim_state(sim, i, THIEF) != STATE_FAILED)
			return false;
	return true;
}

/* The accuser's packets are still believed, in its last boot. */
static void test_an_accuser_that_does_not_answer(void **state)
{
	struct sim *sim = cluster(13, COUNT);
	struct stolen stolen = steal(sim);
	struct member_info info;
	uint64_t before;

	(void)state;
	sim_crash(sim, THIEF, true);
	assert_true(sim_until(sim, is_failed, NULL, 10 * S));
	sim_forget_notices(sim);
	before = sim_counter(sim, 0, "accuser");
	assert_true(membership_find(sim_core(sim, 0), sim_id(sim, SUBJECT), &info));
	accuse(sim, &stolen, info.id, info.epoch, info.incarnation);
	sim_run(sim, 2 * S);
	assert_int_equal(sim_counter(sim, 0, "accuser") - before, 1);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_SUSPECTED, SUBJECT, 0), 0);
	sim_free(sim);
}

static void test_an_accusation_told_again(void **state)
{
	struct sim *sim = cluster(18, COUNT);
	struct stolen stolen = steal(sim);
	const struct sim_notice *notices;
	struct member_info info;
	unsigned int suspected = 0;
	size_t count;

	(void)state;
	assert_true(membership_find(sim_core(sim, 0), sim_id(sim, SUBJECT), &info));
	for (unsigned int i = 0; i < 5; i++) {
		stolen.records = 1000;
		accuse(sim, &stolen, info.id, info.epoch, info.incarnation);
	}
	sim_run(sim, S);
	count = sim_notices(sim, &notices);
	for (size_t i = 0; i < count; i++)
		suspected += notices[i].at == 0 && notices[i].notice.type == MEMBERSHIP_SUSPECTED &&
			     notices[i].notice.accuser == sim_id(sim, THIEF);
	assert_int_equal(suspected, 1);
	unharmed(sim);
}

/* An accusation of what has been refuted. */
static void test_old_accusations(void **state)
{
	struct sim *sim = cluster(14, COUNT);
	struct stolen stolen = steal(sim);
	struct member_info info;

	(void)state;
	assert_true(membership_find(sim_core(sim, 0), sim_id(sim, SUBJECT), &info));
	accuse(sim, &stolen, info.id, info.epoch, info.incarnation - 1);
	sim_run(sim, S);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_SUSPECTED, SUBJECT, 0), 0);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_REFUTED, -1, 0), 0);
	unharmed(sim);
}

/* The sender is in a boot in which it has returned no nonce of ours. */
static void test_an_unproven_sender(void **state)
{
	struct sim *sim = cluster(15, COUNT);
	struct stolen stolen = steal(sim);
	Lvsmesh__Pb__Datagram body = LVSMESH__PB__DATAGRAM__INIT;
	Lvsmesh__Pb__Record record = LVSMESH__PB__RECORD__INIT, *records = &record;
	uint8_t bytes[64] = {0};
	uint64_t before = sim_counter(sim, 0, "unproven");

	(void)state;
	stolen.epoch++;
	body.peer = sim_id(sim, SUBJECT);
	body.packet = bytes_of(bytes, sizeof(bytes));
	send_as_thief(sim, &stolen, 0, RELAY, &body);
	sim_run(sim, MS);
	assert_int_equal(sim_counter(sim, 0, "unproven") - before, 1);
	lvsmesh__pb__datagram__init(&body);
	record.kind = STATEMENT;
	body.n_records = 1;
	body.records = &records;
	send_as_thief(sim, &stolen, 0, GOSSIP, &body);
	sim_run(sim, MS);
	assert_int_equal(sim_counter(sim, 0, "unproven") - before, 2);
	sim_free(sim);
}

/* A member that is accused by a ping alone refutes it. */
static void test_an_accusing_ping(void **state)
{
	struct sim *sim = cluster(16, COUNT);
	struct stolen stolen = steal(sim);
	Lvsmesh__Pb__Datagram body = LVSMESH__PB__DATAGRAM__INIT;
	struct membership_status before, after;

	(void)state;
	membership_status(sim_core(sim, SUBJECT), &before);
	body.nonce = 7;
	body.accused = before.incarnation;
	send_as_thief(sim, &stolen, SUBJECT, PING, &body);
	/* Before it is known that the true one, whose packets look old now, is out of reach. */
	sim_run(sim, S / 2);
	membership_status(sim_core(sim, SUBJECT), &after);
	assert_int_equal(after.incarnation, before.incarnation + 1);
	sim_free(sim);
}

/* A packet with a sequence far ahead and a wrong MAC: the true ones that follow are not stale. */
static void test_a_forged_packet_moves_no_window(void **state)
{
	struct sim *sim = cluster(17, COUNT);
	uint8_t data[64] = {VERSION_WIRE, GOSSIP};
	const struct identity *subject = sim_identity(sim, SUBJECT);
	struct membership_status status;
	uint64_t before = sim_counter(sim, 0, "mac"), stale = sim_counter(sim, 0, "stale");

	(void)state;
	membership_status(sim_core(sim, SUBJECT), &status);
	memcpy(data + 2, subject->certificate.cluster, 4);
	store_le64(data + 6, subject->id);
	store_le64(data + 14, status.epoch);
	store_le64(data + 22, 1000000);
	sim_inject(sim, 0, data, sizeof(data));
	sim_run(sim, MS);
	assert_int_equal(sim_counter(sim, 0, "mac") - before, 1);
	sim_run(sim, 3 * S);
	assert_int_equal(sim_counter(sim, 0, "stale"), stale);
	unharmed(sim);
}

/* An unknown member states that it has left: it is not missed, and gets no place. */
static void test_the_last_word_of_a_stranger(void **state)
{
	struct sim *sim = cluster(19, COUNT);
	struct stolen stolen = steal(sim);
	Lvsmesh__Pb__Record record = LVSMESH__PB__RECORD__INIT;
	uint8_t body[256], signature[SIGNATURE_SIZE];
	static struct identity stranger;
	struct member_info info;

	(void)state;
	fixture_identity(1, 200, &stranger);
	record.kind = STATEMENT;
	record.origin = stranger.id;
	record.epoch = record.sequence = 5;
	record.body = bytes_of(body, statement(body, PHASE_LEFT, SUBJECT));
	seal_record_sign(&stranger, STATEMENT, 5, 5, body, record.body.len, signature);
	record.signature = bytes_of(signature, sizeof(signature));
	record.certificate = bytes_of(stranger.certificate.bytes, stranger.certificate.len);
	gossip_as_thief(sim, &stolen, 0, &record);
	sim_run(sim, MS);
	assert_false(membership_find(sim_core(sim, 0), stranger.id, &info));
	unharmed(sim);
}

static void test_removal_of_the_living(void **state)
{
	struct sim *sim = cluster(3, COUNT);
	struct stolen stolen = steal(sim);
	Lvsmesh__Pb__Removal message = LVSMESH__PB__REMOVAL__INIT;
	struct member_info info;
	uint8_t body[64];

	(void)state;
	assert_true(membership_find(sim_core(sim, 0), sim_id(sim, SUBJECT), &info));
	message.subject = info.id;
	message.epoch = info.epoch;
	message.incarnation = info.incarnation;
	say_as_thief(sim, &stolen, REMOVAL, sim_id(sim, THIEF), stolen.epoch, ++stolen.records,
		     body, lvsmesh__pb__removal__pack(&message, body));
	sim_run(sim, 5 * S);
	assert_int_equal(sim_counter(sim, 0, "removal"), 1);
	unharmed(sim);
}

/* Two things that a thief can't do for others: say that they are alive, and keep them so. */
static void test_forged_acks(void **state)
{
	struct sim *sim = cluster(4, COUNT);
	struct stolen stolen = steal(sim);
	Lvsmesh__Pb__Datagram body = LVSMESH__PB__DATAGRAM__INIT;
	const struct identity *thief = sim_identity(sim, THIEF);
	struct packet_key key;
	struct packet packet = {.version = VERSION_WIRE, .kind = ACK, .epoch = 3000, .sequence = 1};
	uint8_t bytes[256], data[512];
	size_t len;

	(void)state;
	sim_crash(sim, SUBJECT, true);
	for (unsigned int i = 0; i < 300; i++) {
		/* Through itself, and in the name of the dead. */
		body.nonce = i;
		packet.sender = i % 2 ? thief->id : sim_id(sim, SUBJECT);
		packet.body = bytes;
		packet.len = lvsmesh__pb__datagram__pack(&body, bytes);
		packet.sequence++;
		assert_int_equal(
			seal_packet_key_init(thief, &sim_identity(sim, 0)->certificate, &key), 0);
		assert_int_equal(seal_packet_pack(&key, thief->certificate.cluster, &packet, data,
						  sizeof(data), &len),
				 0);
		sim_inject(sim, 0, data, len);
		send_as_thief(sim, &stolen, 0, NACK, &body);
		sim_run(sim, 10 * MS);
	}
	assert_int_equal(sim_state(sim, 0, SUBJECT), STATE_FAILED);
	assert_true(sim_counter(sim, 0, "mac") + sim_counter(sim, 0, "nonce") >= 150);
	sim_run(sim, 70 * S);
	assert_int_equal(sim_state(sim, 0, SUBJECT), STATE_FAILED);
	assert_true(sim_whole(sim, NULL));
	sim_free(sim);
}

struct recording {
	unsigned int count;
	unsigned int to[4096], from[4096];
	size_t len[4096];
	uint8_t data[4096][MEMBERSHIP_DATAGRAM_MAX];
};

static void record(struct sim *sim, unsigned int from, unsigned int to, const uint8_t *data,
		   size_t len, void *arg)
{
	struct recording *recording = arg;

	(void)sim;
	if (recording->count == ARRAY_SIZE(recording->len))
		return;
	recording->to[recording->count] = to;
	recording->from[recording->count] = from;
	recording->len[recording->count] = len;
	memcpy(recording->data[recording->count++], data, len);
}

static void replay(struct sim *sim, const struct recording *recording, int only_to)
{
	for (unsigned int i = 0; i < recording->count; i++) {
		if (only_to >= 0 && recording->to[i] != (unsigned int)only_to)
			continue;
		sim_inject(sim, recording->to[i], recording->data[i], recording->len[i]);
		sim_run(sim, 200);
	}
}

static void test_replayed_history(void **state)
{
	struct recording *recording = calloc(1, sizeof(*recording));
	struct sim *sim = cluster(5, COUNT), *other;
	uint64_t before;

	(void)state;
	assert_non_null(recording);
	sim_tap(sim, record, recording);
	sim_run(sim, 20 * S);
	sim_tap(sim, NULL, NULL);
	assert_true(recording->count > 500);
	replay(sim, recording, -1);
	sim_run(sim, 5 * S);

	/* A member leaves and crashes; its replayed packets do not bring it back. */
	sim_event(sim, SUBJECT, (struct membership_event){.type = MEMBERSHIP_LEAVE});
	sim_run(sim, S);
	sim_crash(sim, SUBJECT, true);
	sim_run(sim, 5 * S);
	replay(sim, recording, -1);
	sim_run(sim, 5 * S);
	assert_int_equal(sim_state(sim, 0, SUBJECT), STATE_GONE);

	/* The same to a member that starts anew without its state, and knows the others' boots by
	 * now. */
	sim_crash(sim, 0, false);
	sim_start(sim, 0, SIM_LOST, 8);
	sim_run(sim, 2 * S);
	before = sim_counter(sim, 0, "stale") + sim_counter(sim, 0, "replayed");
	for (unsigned int i = 0; i < recording->count; i++)
		before += recording->to[i] == 0 && recording->from[i] != SUBJECT;
	replay(sim, recording, 0);
	assert_true(sim_counter(sim, 0, "stale") + sim_counter(sim, 0, "replayed") >= before);
	/* And to one that does not know them yet. */
	sim_crash(sim, 0, false);
	sim_start(sim, 0, SIM_LOST, 8);
	replay(sim, recording, 0);
	sim_run(sim, 5 * S);
	assert_true(sim_state(sim, 0, SUBJECT) == STATE_GONE ||
		    sim_state(sim, 0, SUBJECT) == STATE_MAX);
	assert_true(sim_whole(sim, NULL));
	assert_null(sim_broken(sim));
	sim_free(sim);

	/* The same hosts in another run of the same cluster: other boots' numbers are the same. */
	other = cluster(6, COUNT);
	replay(other, recording, -1);
	sim_run(other, 10 * S);
	assert_true(sim_whole(other, NULL));
	assert_int_equal(sim_count(other, -1, MEMBERSHIP_MEMBER_FAILED, -1, 0), 0);
	sim_free(other);
	free(recording);
}

static void test_every_flip_and_truncation(void **state)
{
	struct recording *recording = calloc(1, sizeof(*recording));
	struct sim *sim = cluster(7, COUNT);
	uint8_t data[MEMBERSHIP_DATAGRAM_MAX];
	unsigned int kinds = 0;
	uint64_t before;

	(void)state;
	assert_non_null(recording);
	sim_tap(sim, record, recording);
	/* So that there is every kind. */
	sim_cut(sim, 3, 4, SIM_UDP, 2, true);
	sim_run(sim, 5 * S);
	sim_heal(sim);
	sim_crash(sim, 3, true);
	sim_run(sim, 5 * S);
	sim_start(sim, 3, SIM_KEEP, 0);
	sim_run(sim, 10 * S);
	sim_tap(sim, NULL, NULL);
	sim_forget_notices(sim);
	for (unsigned int i = 0; i < recording->count; i++) {
		if (kinds >> recording->data[i][1] & 1)
			continue;
		kinds |= 1u << recording->data[i][1];
		before = total(sim, recording->to[i]);
		for (size_t len = 0; len < recording->len[i]; len++)
			sim_inject(sim, recording->to[i], recording->data[i], len);
		for (size_t bit = 0; bit < 8 * recording->len[i]; bit++) {
			memcpy(data, recording->data[i], recording->len[i]);
			data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			sim_inject(sim, recording->to[i], data, recording->len[i]);
		}
		sim_run(sim, 100 * MS);
		/* Not one was taken, not one went uncounted. */
		assert_true(total(sim, recording->to[i]) - before >= 9 * recording->len[i]);
	}
	assert_true((kinds & 0x7e) == 0x7e);
	sim_run(sim, 5 * S);
	free(recording);
	unharmed(sim);
}

/* Sealed as it must be, and nonsense inside. */
static void test_lengths_at_their_extremes(void **state)
{
	struct sim *sim = cluster(8, COUNT);
	struct stolen stolen = steal(sim);
	const struct identity *thief = sim_identity(sim, THIEF);
	struct packet_key key;
	uint8_t bytes[8192], data[8300];
	size_t len;

	(void)state;
	assert_int_equal(seal_packet_key_init(thief, &sim_identity(sim, 0)->certificate, &key), 0);
	for (unsigned int i = 0; i < 4000; i++) {
		struct packet packet = {.version = VERSION_WIRE,
					.kind = (uint8_t)(i % 9),
					.sender = thief->id,
					.epoch = stolen.epoch,
					.sequence = ++stolen.sequence,
					.body = bytes};

		packet.len = i % 40 == 0 ? sizeof(bytes) : sim_random(sim, 1350);
		for (size_t j = 0; j < packet.len; j++)
			bytes[j] = (uint8_t)sim_random(sim, 256);
		if (i % 3 == 0)
			memset(bytes, 0x32, packet.len); /* records without end */
		if (i % 3 == 1) {
			bytes[0] = 0x32;
			memset(bytes + 1, 0xff, MIN(packet.len, (size_t)9));
		}
		assert_int_equal(seal_packet_pack(&key, thief->certificate.cluster, &packet, data,
						  sizeof(data), &len),
				 0);
		sim_inject(sim, 0, data, len);
		sim_run(sim, MS);
	}
	assert_true(sim_counter(sim, 0, "malformed") > 1000);
	assert_true(sim_counter(sim, 0, "size") >= 100);
	sim_run(sim, 10 * S);
	unharmed(sim);
}

static void test_strangers(void **state)
{
	struct sim *sim = cluster(9, COUNT);
	struct identity stranger, self;
	struct packet packet = {.version = VERSION_WIRE, .kind = PING, .epoch = 1, .body = NULL};
	struct packet_key key;
	uint8_t data[256];
	size_t len;

	(void)state;
	/* A stranger of another cluster, though it knows our certificates. */
	fixture_identity(9, 1, &stranger);
	self = *sim_identity(sim, 0);
	assert_int_equal(seal_packet_key_init(&stranger, &self.certificate, &key), 0);
	packet.sender = stranger.id;
	for (unsigned int i = 0; i < 10000; i++) {
		packet.sequence = i;
		assert_int_equal(seal_packet_pack(&key,
						  i % 2 ? self.certificate.cluster
							: stranger.certificate.cluster,
						  &packet, data, sizeof(data), &len),
				 0);
		sim_inject(sim, 0, data, len);
	}
	sim_run(sim, S);
	assert_int_equal(sim_counter(sim, 0, "unknown-sender"), 5000);
	assert_int_equal(sim_counter(sim, 0, "cluster"), 5000);
	sim_run(sim, 5 * S);
	unharmed(sim);
}

/* A single director with a stolen key states all the time that it holds all others failed. */
static void test_views_of_a_liar(void **state)
{
	struct sim *sim = cluster(10, COUNT);
	struct stolen stolen = steal(sim);
	uint8_t body[24 * COUNT] = {0};

	(void)state;
	for (unsigned int i = 0; i < COUNT; i++) {
		store_le64(body + 24 * i, sim_id(sim, i));
		store_le64(body + 24 * i + 8, stolen.epoch);
		store_le32(body + 24 * i + 16, 1000);
		store_le32(body + 24 * i + 20, 1000);
	}
	for (unsigned int i = 0; i < 10; i++) {
		say_as_thief(sim, &stolen, VIEW, sim_id(sim, THIEF), stolen.epoch, 100 + i, body,
			     sizeof(body));
		sim_run(sim, S);
	}
	assert_int_equal(sim_counter(sim, 0, "kind"), 10);
	unharmed(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_more_records_than_a_member_may_sign),
		cmocka_unit_test(test_a_forged_record_ends_its_datagram),
		cmocka_unit_test(test_records_in_a_relayed_packet),
		cmocka_unit_test(test_throttled),
		cmocka_unit_test(test_forged_words_of_others),
		cmocka_unit_test(test_accusations),
		cmocka_unit_test(test_repeated_accusations),
		cmocka_unit_test(test_any_order_of_leaving),
		cmocka_unit_test(test_a_statement_after_leaving),
		cmocka_unit_test(test_a_boot_after_leaving),
		cmocka_unit_test(test_refutes_what_it_hears),
		cmocka_unit_test(test_relays_beyond_the_output),
		cmocka_unit_test(test_accused_and_partly_reachable),
		cmocka_unit_test(test_accused_by_all_others),
		cmocka_unit_test(test_an_accusation_is_checked),
		cmocka_unit_test(test_an_accuser_that_does_not_answer),
		cmocka_unit_test(test_an_accusation_told_again),
		cmocka_unit_test(test_old_accusations),
		cmocka_unit_test(test_an_unproven_sender),
		cmocka_unit_test(test_an_accusing_ping),
		cmocka_unit_test(test_a_forged_packet_moves_no_window),
		cmocka_unit_test(test_the_last_word_of_a_stranger),
		cmocka_unit_test(test_removal_of_the_living),
		cmocka_unit_test(test_forged_acks),
		cmocka_unit_test(test_replayed_history),
		cmocka_unit_test(test_every_flip_and_truncation),
		cmocka_unit_test(test_lengths_at_their_extremes),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_views_of_a_liar),
	};

	cmocka_set_test_filter(getenv("TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
