/* Places, if there are more directors than may be: every director's answer is the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "membership/membership.h"
#include "proto/membership.pb-c.h"
#include "proto/session/seal.h"
#include "tests/identity_fixture.h"

#define COUNT (DIRECTORS_MAX + 5)
#define STREAM MEMBERSHIP_DIALS_MAX
#define EPOCH 7

struct director {
	struct identity identity;
	uint64_t since;
	uint8_t body[160], signature[SIGNATURE_SIZE];
	Lvsmesh__Pb__Record record;
};

static struct director directors[COUNT];

static void director_make(unsigned int i, uint64_t since)
{
	struct director *director = &directors[i];
	struct ip_addr address = {.family = AF_INET,
				  .bytes = {10, 0, (uint8_t)(i >> 8), (uint8_t)i}};
	uint8_t seed[KEYGEN_NODE_SEED] = {0},
		endpoint[6] = {10, 0, (uint8_t)(i >> 8), (uint8_t)i, 1};
	char name[16];
	struct keygen_options options = {
		.name = name,
		.addresses = &address,
		.address_count = 1,
		.not_before = FIXTURE_SECONDS - FIXTURE_VALID,
		.not_after = FIXTURE_SECONDS + FIXTURE_VALID,
		.serial = i,
	};
	ProtobufCBinaryData endpoints = {sizeof(endpoint), endpoint};
	Lvsmesh__Pb__Statement statement = LVSMESH__PB__STATEMENT__INIT;
	Lvsmesh__Pb__Record *record = &director->record;
	struct cluster_key key;

	snprintf(name, sizeof(name), "d%u", i);
	store_le32(seed, i + 1);
	store_le32(seed + KEYGEN_NODE_SEED / 2, i + 1);
	fixture_cluster(1, &key);
	assert_int_equal(identity_keygen_node(&key, &options, seed, &director->identity), 0);
	director->since = since;
	statement.since = since;
	statement.n_endpoints = 1;
	statement.endpoints = &endpoints;
	statement.version_min = statement.version_max = 1;
	lvsmesh__pb__record__init(record);
	record->kind = 32;
	record->origin = director->identity.id;
	record->epoch = EPOCH;
	record->sequence = 1;
	record->body.data = director->body;
	record->body.len = lvsmesh__pb__statement__pack(&statement, director->body);
	seal_record_sign(&director->identity, 32, EPOCH, 1, director->body, record->body.len,
			 director->signature);
	record->signature = (ProtobufCBinaryData){SIGNATURE_SIZE, director->signature};
	record->certificate = (ProtobufCBinaryData){director->identity.certificate.len,
						    director->identity.certificate.bytes};
}

/* Starts a director; its roster has the first `count`, but itself. since: 0: not stated. */
static struct membership *director_start(unsigned int own, unsigned int count, uint64_t since,
					 usec_t wall)
{
	struct membership_options options = {
		.identity = &directors[own].identity,
		.epoch = EPOCH,
		.profile = membership_default,
		.addresses = {{.ip = {.family = AF_INET, .bytes = {10, 1, 0, 1}}, .port = 7946}},
		.address_count = 1,
		.versions = VERSION_RANGE,
		.now = {.mono = USEC_PER_SEC, .wall = wall},
	};
	Lvsmesh__Pb__State roster = LVSMESH__PB__STATE__INIT;
	static Lvsmesh__Pb__Record *records[COUNT];
	static uint8_t bytes[COUNT * 600];
	struct membership *m;

	for (unsigned int i = 0; i < count; i++)
		if (i != own)
			records[roster.n_records++] = &directors[i].record;
	roster.records = records;
	roster.done = true;
	roster.since = since;
	assert_true(lvsmesh__pb__state__get_packed_size(&roster) <= sizeof(bytes));
	if (count > 0) {
		options.roster = bytes;
		options.roster_len = lvsmesh__pb__state__pack(&roster, bytes);
	}
	assert_int_equal(membership_new(&options, &m), 0);
	return m;
}

/* Its time as the roster file has it. */
static uint64_t since_of(struct membership *m)
{
	static uint8_t bytes[COUNT * 600];
	size_t len = membership_roster(m, bytes, sizeof(bytes));
	Lvsmesh__Pb__State *roster = lvsmesh__pb__state__unpack(NULL, len, bytes);
	uint64_t since;

	assert_non_null(roster);
	since = roster->since;
	lvsmesh__pb__state__free_unpacked(roster, NULL);
	return since;
}

static bool comes_before(unsigned int a, unsigned int b)
{
	if (directors[a].since != directors[b].since)
		return directors[a].since < directors[b].since;
	return directors[a].identity.id < directors[b].identity.id;
}

static bool is_beyond(unsigned int i, unsigned int count)
{
	unsigned int before = 0;

	for (unsigned int j = 0; j < count; j++)
		before += j != i && comes_before(j, i);
	return before >= DIRECTORS_MAX;
}

/* Each director computes that the last by time and identity have no place. */
static void check_places(unsigned int count)
{
	for (unsigned int own = 0; own < count; own += 13) {
		struct membership *m =
			director_start(own, count, directors[own].since, FIXTURE_WALL);
		unsigned int cursor = 0, beyond = 0;
		struct membership_status status;
		struct member_info info;

		membership_status(m, &status);
		assert_int_equal(status.directors_max, DIRECTORS_MAX);
		assert_int_equal(status.beyond, is_beyond(own, count));
		beyond += status.beyond;
		while (membership_walk(m, &cursor, &info)) {
			for (unsigned int i = 0; i < count; i++)
				if (directors[i].identity.id == info.id)
					assert_int_equal(info.beyond, is_beyond(i, count));
			beyond += info.beyond;
		}
		assert_int_equal(beyond, count > DIRECTORS_MAX ? count - DIRECTORS_MAX : 0);
		membership_free(m);
	}
}

static void test_places(void **state)
{
	(void)state;
	/* Some came together, and some are of a build that states no time: those first. */
	for (unsigned int i = 0; i < COUNT; i++)
		director_make(i, i % 50 == 0 ? 0 : FIXTURE_SECONDS - 1000 + i * 7 % 100);
	check_places(DIRECTORS_MAX - 1);
	check_places(DIRECTORS_MAX);
	check_places(DIRECTORS_MAX + 1);
	check_places(COUNT);
}

static void step(struct membership *m, struct membership_event event, usec_t wall)
{
	struct membership_update update;

	event.stream = STREAM;
	event.now = (struct now){.mono = 2 * USEC_PER_SEC, .wall = wall};
	membership_step(m, &event, &update);
}

/* Another director dials it, and sends its own statement. */
static void exchange(struct membership *m, unsigned int other, usec_t wall)
{
	Lvsmesh__Pb__Digest digest = LVSMESH__PB__DIGEST__INIT;
	Lvsmesh__Pb__State said = LVSMESH__PB__STATE__INIT;
	Lvsmesh__Pb__Record *record = &directors[other].record;
	uint8_t data[1024], frame[MEMBERSHIP_BODY_MAX];
	uint8_t kind;
	size_t len;

	said.records = &record;
	said.n_records = 1;
	said.done = true;
	step(m,
	     (struct membership_event){.type = MEMBERSHIP_STREAM_OPENED,
				       .peer = &directors[other].identity.certificate,
				       .peer_epoch = EPOCH},
	     wall);
	len = lvsmesh__pb__digest__pack(&digest, data);
	step(m,
	     (struct membership_event){.type = MEMBERSHIP_STREAM_FRAME,
				       .kind = MEMBERSHIP_KIND_DIGEST,
				       .data = data,
				       .len = len},
	     wall);
	while (membership_frame(m, STREAM, frame, &kind, &len) == 0)
		;
	len = lvsmesh__pb__state__pack(&said, data);
	step(m,
	     (struct membership_event){.type = MEMBERSHIP_STREAM_FRAME,
				       .kind = MEMBERSHIP_KIND_STATE,
				       .data = data,
				       .len = len},
	     wall);
}

/* A newcomer with a slow clock comes behind those that are there; a time far ahead does not count,
 * and a director that has known others before keeps its own. */
static void test_newcomers(void **state)
{
	const uint64_t now = FIXTURE_SECONDS, day = 86400;
	const struct {
		uint64_t theirs, roster, clock, since;
	} cases[] = {
		{now - 10, 0, now, now},
		{now - 10, 0, now - 1000, now - 9},
		{now + day / 2, 0, now, now + day / 2 + 1},
		{now + 2 * day, 0, now, now},
		{0, 0, now, now},
		{now - 10, now - 500, now, now - 500},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		usec_t wall = cases[i].clock * USEC_PER_SEC;
		struct membership *m;

		director_make(0, now);
		director_make(1, cases[i].theirs);
		m = director_start(0, cases[i].roster ? 1 : 0, cases[i].roster, wall);
		assert_int_equal(since_of(m), cases[i].roster ? cases[i].roster : cases[i].clock);
		exchange(m, 1, wall);
		assert_int_equal(since_of(m), cases[i].since);
		membership_free(m);
	}
}

/* The roster of a build that states no time: since the epoch of its boot, which is near its first.
 */
static void test_upgraded(void **state)
{
	struct membership *m;

	(void)state;
	director_make(0, 0);
	director_make(1, FIXTURE_SECONDS);
	m = director_start(0, 2, 0, FIXTURE_WALL);
	assert_int_equal(since_of(m), EPOCH);
	exchange(m, 1, FIXTURE_WALL);
	assert_int_equal(since_of(m), EPOCH);
	membership_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_newcomers),
		cmocka_unit_test(test_upgraded),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
