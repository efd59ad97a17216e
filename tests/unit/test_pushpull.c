/* The largest exchange there can be: every frame keeps to its limit, and no member is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "membership/membership.h"
#include "proto/membership.pb-c.h"
#include "proto/session/seal.h"
#include "tests/identity_fixture.h"

#define COUNT 1000 /* members, with the longest statements */
#define STREAM 20
#define ENTRY 32

static struct identity us, peer;
static struct membership_update update;
static struct now now = {.mono = USEC_PER_SEC, .wall = FIXTURE_WALL};

struct large {
	struct identity identity;
	uint8_t body[200], signature[SIGNATURE_SIZE];
	Lvsmesh__Pb__Record record;
};

static void make_identity(unsigned int i, struct identity *ret_identity)
{
	struct ip_addr addresses[CERTIFICATE_ADDRESSES_MAX];
	uint8_t seed[KEYGEN_NODE_SEED] = {0};
	char name[CERTIFICATE_NAME_MAX + 1];
	struct keygen_options options = {
		.name = name,
		.addresses = addresses,
		.address_count = CERTIFICATE_ADDRESSES_MAX,
		.not_before = FIXTURE_SECONDS - FIXTURE_VALID,
		.not_after = FIXTURE_SECONDS + FIXTURE_VALID,
		.serial = UINT64_MAX / 2,
	};
	struct cluster_key key;

	for (int a = 0; a < CERTIFICATE_ADDRESSES_MAX; a++) {
		addresses[a] = (struct ip_addr){.family = AF_INET6};
		memset(addresses[a].bytes, 0x20 + a, 16);
	}
	memset(name, 'x', sizeof(name));
	name[CERTIFICATE_NAME_MAX] = '\0';
	name[0] = (char)('a' + i / 100);
	name[1] = (char)('0' + i / 10 % 10);
	name[2] = (char)('0' + i % 10);
	store_le32(seed, i + 10);
	store_le32(seed + KEYGEN_NODE_SEED / 2, i + 10);
	fixture_cluster(1, &key);
	assert_int_equal(identity_keygen_node(&key, &options, seed, ret_identity), 0);
}

static void make_large(unsigned int i, struct large *large)
{
	Lvsmesh__Pb__Statement statement = LVSMESH__PB__STATEMENT__INIT;
	ProtobufCBinaryData endpoints[MEMBERSHIP_ADDRESSES_MAX];
	uint8_t bytes[MEMBERSHIP_ADDRESSES_MAX][18];
	Lvsmesh__Pb__Record *record = &large->record;

	make_identity(i, &large->identity);
	for (int e = 0; e < MEMBERSHIP_ADDRESSES_MAX; e++) {
		memset(bytes[e], 0x20 + e, sizeof(bytes[e]));
		endpoints[e] = (ProtobufCBinaryData){sizeof(bytes[e]), bytes[e]};
	}
	statement.boot = statement.config = statement.certificate = UINT64_MAX;
	statement.n_endpoints = MEMBERSHIP_ADDRESSES_MAX;
	statement.endpoints = endpoints;
	statement.version_min = statement.version_max = 1;
	lvsmesh__pb__record__init(record);
	record->kind = 32;
	record->origin = large->identity.id;
	record->epoch = 5;
	record->sequence = UINT32_MAX;
	record->body.data = large->body;
	record->body.len = lvsmesh__pb__statement__pack(&statement, large->body);
	seal_record_sign(&large->identity, 32, record->epoch, record->sequence, large->body,
			 record->body.len, large->signature);
	record->signature = (ProtobufCBinaryData){SIGNATURE_SIZE, large->signature};
	record->certificate = (ProtobufCBinaryData){large->identity.certificate.len,
						    large->identity.certificate.bytes};
}

static void step(struct membership *m, struct membership_event event)
{
	event.now = now;
	membership_step(m, &event, &update);
}

/* A director that has just started, with all of them in its roster, and failed by now. */
static struct membership *start(struct large *large)
{
	Lvsmesh__Pb__State state = LVSMESH__PB__STATE__INIT;
	Lvsmesh__Pb__Record *records[COUNT];
	struct membership_options options = {
		.identity = &us,
		.epoch = 7,
		.profile = membership_default,
		.addresses = {{.ip = {.family = AF_INET, .bytes = {10, 0, 0, 1}}, .port = 7946}},
		.address_count = 1,
		.versions = VERSION_RANGE,
		.now = now,
	};
	uint8_t datagram[MEMBERSHIP_DATAGRAM_MAX];
	struct membership_target target;
	struct membership_dialling dial;
	struct member_info info;
	unsigned int cursor = 0, failed = 0;
	struct membership *m;
	uint8_t *roster;

	for (unsigned int i = 0; i < COUNT; i++)
		records[i] = &large[i].record;
	state.records = records;
	state.n_records = COUNT;
	state.done = true;
	options.roster_len = lvsmesh__pb__state__get_packed_size(&state);
	roster = malloc(options.roster_len);
	assert_non_null(roster);
	lvsmesh__pb__state__pack(&state, roster);
	options.roster = roster;
	assert_int_equal(membership_new(&options, &m), 0);
	free(roster);
	for (int i = 0; i < 800; i++) {
		now.mono += 10 * USEC_PER_MSEC;
		step(m, (struct membership_event){.type = MEMBERSHIP_TICK});
		while (membership_datagram(m, datagram, sizeof(datagram), &target))
			;
		while (membership_dial(m, &dial))
			;
	}
	while (membership_walk(m, &cursor, &info))
		failed += info.state == STATE_FAILED;
	assert_int_equal(failed, COUNT);
	return m;
}

/* The peer has no statement of the first `lacked`, and newer ones of all others. */
static void exchange(struct membership *m, const struct large *large, unsigned int lacked)
{
	static uint8_t entries[COUNT * ENTRY], data[COUNT * ENTRY + 16],
		frame[2 * MEMBERSHIP_BODY_MAX];
	Lvsmesh__Pb__Digest digest = LVSMESH__PB__DIGEST__INIT;
	size_t len, certificates = 0, wants = 0, views = 0;
	Lvsmesh__Pb__State *said;
	bool done = false;
	uint8_t kind;

	for (unsigned int i = lacked; i < COUNT; i++) {
		uint8_t *entry = entries + (i - lacked) * ENTRY;

		store_le64(entry, large[i].identity.id);
		store_le64(entry + 8, 6);
		store_le64(entry + 24, UINT64_MAX / 2);
	}
	digest.entries = (ProtobufCBinaryData){(COUNT - lacked) * ENTRY, entries};
	step(m, (struct membership_event){.type = MEMBERSHIP_STREAM_OPENED,
					  .stream = STREAM,
					  .peer = &peer.certificate,
					  .peer_epoch = 7});
	step(m, (struct membership_event){.type = MEMBERSHIP_STREAM_FRAME,
					  .stream = STREAM,
					  .kind = MEMBERSHIP_KIND_DIGEST,
					  .data = data,
					  .len = lvsmesh__pb__digest__pack(&digest, data)});
	while (membership_frame(m, STREAM, frame, &kind, &len) == 0) {
		assert_false(done);
		if (len > MEMBERSHIP_BODY_MAX)
			fail_msg("%u lacked: a frame of %zu bytes", lacked, len);
		said = lvsmesh__pb__state__unpack(NULL, len, frame);
		assert_non_null(said);
		for (size_t i = 0; i < said->n_records; i++) {
			certificates += said->records[i]->certificate.len > 0;
			views += said->records[i]->kind == 34 &&
				 said->records[i]->body.len == COUNT * 24;
		}
		wants += said->n_want;
		done = said->done;
		lvsmesh__pb__state__free_unpacked(said, NULL);
	}
	assert_true(done);
	assert_int_equal(certificates, lacked);
	assert_int_equal(views, 1);
	assert_int_equal(wants, COUNT - lacked);
	step(m, (struct membership_event){.type = MEMBERSHIP_STREAM_CLOSED, .stream = STREAM});
}

static void test_largest_state(void **state)
{
	struct large *large = calloc(COUNT, sizeof(*large));
	struct membership *m;

	(void)state;
	for (unsigned int i = 0; i < COUNT; i++)
		make_large(i, &large[i]);
	m = start(large);
	for (unsigned int lacked = 0; lacked < 150; lacked++)
		exchange(m, large, lacked);
	membership_free(m);
	free(large);
}

static uint64_t counted(const struct membership *m, const char *name)
{
	struct membership_counter counter;

	for (unsigned int i = 0; membership_counter(m, i, &counter); i++)
		if (strcmp(counter.name, name) == 0)
			return counter.value;
	return 0;
}

/* A State of this many records, all signed with another key; it ends the stream. */
static void forged_state(struct membership *m, struct large *large, unsigned int count)
{
	static uint8_t data[MEMBERSHIP_BODY_MAX], frame[MEMBERSHIP_BODY_MAX];
	Lvsmesh__Pb__Digest digest = LVSMESH__PB__DIGEST__INIT;
	Lvsmesh__Pb__State forged = LVSMESH__PB__STATE__INIT;
	Lvsmesh__Pb__Record record = large->record, *records[COUNT];
	size_t len;
	uint8_t kind;

	record.certificate = (ProtobufCBinaryData){0};
	record.sequence++;
	for (unsigned int i = 0; i < count; i++)
		records[i] = &record;
	forged.records = records;
	forged.n_records = count;
	step(m, (struct membership_event){.type = MEMBERSHIP_STREAM_OPENED,
					  .stream = STREAM,
					  .peer = &peer.certificate,
					  .peer_epoch = 7});
	step(m, (struct membership_event){.type = MEMBERSHIP_STREAM_FRAME,
					  .stream = STREAM,
					  .kind = MEMBERSHIP_KIND_DIGEST,
					  .data = data,
					  .len = lvsmesh__pb__digest__pack(&digest, data)});
	while (membership_frame(m, STREAM, frame, &kind, &len) == 0)
		;
	step(m, (struct membership_event){.type = MEMBERSHIP_STREAM_FRAME,
					  .stream = STREAM,
					  .kind = MEMBERSHIP_KIND_STATE,
					  .data = data,
					  .len = lvsmesh__pb__state__pack(&forged, data)});
	assert_int_equal(update.close, (uint64_t)1 << STREAM);
}

/* If a peer has not verified what it passes on, one record is verified; if there are more than fit
 * into a State, none is. */
static void test_forged_states(void **state)
{
	struct large *large = calloc(COUNT, sizeof(*large));
	struct membership *m;

	(void)state;
	for (unsigned int i = 0; i < COUNT; i++)
		make_large(i, &large[i]);
	m = start(large);
	forged_state(m, large, 64);
	assert_int_equal(counted(m, "signature"), 1);
	forged_state(m, large, 65);
	assert_int_equal(counted(m, "signature"), 1);
	membership_free(m);
	free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_largest_state),
		cmocka_unit_test(test_forged_states),
	};

	if (sodium_init() < 0)
		return 1;
	fixture_identity(1, 1, &us);
	fixture_identity(1, 2, &peer);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
