/* The policy decides which flows are replicated, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "proto/session/seal.h"
#include "proto/sync.pb-c.h"
#include "sync/batch.h"
#include "sync/sync.h"
#include "tests/identity_fixture.h"

#define SUBSCRIPTION 3
#define MAX_ENTRIES 6400 /* of them 100 may wait, 800 be young, 1600 stay here */

enum { ESTABLISHED = 1, SYN_RECV = 3, FIN_WAIT = 4, TIME_WAIT = 5, CLOSE = 6 };

static struct identity us, peer;

static struct now at(usec_t mono)
{
	return (struct now){.mono = mono, .wall = FIXTURE_WALL + mono};
}

static struct entry make_entry(unsigned int i, uint8_t protocol, uint16_t state)
{
	struct entry entry = {.state = state, .timeout = 900, .dport = 80, .flags = 3};

	entry.flow.family = AF_INET;
	entry.flow.protocol = protocol;
	entry.flow.caddr[0] = 10;
	entry.flow.caddr[1] = (uint8_t)(i >> 16);
	entry.flow.cport = (uint16_t)i;
	entry.flow.vaddr[0] = 192;
	entry.flow.vport = 80;
	return entry;
}

static struct sync *make_sync(usec_t min_age, uint32_t flood_rate)
{
	struct sync_options options = {.identity = &us, .epoch = 100, .entries_max = MAX_ENTRIES};
	struct sync *sync;

	assert_int_equal(sync_new(&options, &sync), 0);
	sync_policy(sync, &(struct policy_options){.min_age = min_age, .flood_rate = flood_rate});
	return sync;
}

static struct sync_status status_of(const struct sync *sync)
{
	struct sync_status status;

	sync_status(sync, &status);
	return status;
}

static void capture(struct sync *sync, unsigned int i, uint8_t protocol, uint16_t state, usec_t now)
{
	struct entry entry = make_entry(i, protocol, state);

	assert_int_equal(sync_capture(sync, &entry, at(now)), 0);
}

static void tcp(struct sync *sync, unsigned int i, uint16_t state, usec_t now)
{
	capture(sync, i, IPPROTO_TCP, state, now);
}

/* position: how many entries are in the journal, as long as none of them changes there. */
static void assert_counts(const struct sync *sync, uint64_t position, uint64_t young,
			  uint64_t waiting, uint64_t local)
{
	struct sync_status status = status_of(sync);

	assert_int_equal(status.position, position);
	assert_int_equal(status.young, young);
	assert_int_equal(status.flood_waiting, waiting);
	assert_int_equal(status.local, local);
}

static struct policy_service service(uint8_t last, uint16_t port, uint32_t fwmark, bool off)
{
	return (struct policy_service){
		.address = {fwmark ? 0 : 192, 0, 0, last},
		.port = port,
		.protocol = fwmark ? 0 : IPPROTO_TCP,
		.family = AF_INET,
		.fwmark = fwmark,
		.off = off,
	};
}

static bool is_off(const struct policy *policy, uint8_t last, uint16_t port, uint32_t fwmark)
{
	struct entry entry = make_entry(1, IPPROTO_TCP, ESTABLISHED);

	entry.flow.vaddr[3] = last;
	entry.flow.vport = port;
	entry.fwmark = fwmark;
	return policy_is_off(policy, &entry);
}

static void test_services(void **state)
{
	const struct policy_service services[] = {
		service(1, 80, 0, false), service(1, 0, 0, true), service(2, 80, 0, true),
		service(2, 0, 0, false),  service(0, 0, 7, true), service(0, 0, 8, false),
	};
	struct policy_options options = {.n_services = ARRAY_SIZE(services)};
	struct policy policy = {0};
	struct entry other;

	(void)state;
	options.services = malloc(sizeof(services));
	memcpy(options.services, services, sizeof(services));
	policy_set(&policy, &options);
	assert_false(is_off(&policy, 1, 80, 0));
	assert_true(is_off(&policy, 1, 81, 0));
	assert_true(is_off(&policy, 2, 80, 0));
	assert_false(is_off(&policy, 2, 81, 0));
	assert_false(is_off(&policy, 3, 80, 0));
	assert_true(is_off(&policy, 1, 80, 7));
	assert_false(is_off(&policy, 2, 80, 8));
	assert_true(is_off(&policy, 2, 80, 9));
	other = make_entry(1, IPPROTO_UDP, 0);
	other.flow.vaddr[3] = 2;
	assert_false(policy_is_off(&policy, &other));
	other = make_entry(1, IPPROTO_TCP, 0);
	other.flow.vaddr[3] = 2;
	other.flow.family = AF_INET6;
	assert_false(policy_is_off(&policy, &other));
	policy_fini(&policy);
}

/* Over any second it lets through its rate, and a tenth of it at once. */
static void test_admit(void **state)
{
	struct policy policy = {.flood_rate = 1000};
	unsigned int admitted = 0;
	usec_t now = 5 * USEC_PER_SEC;

	(void)state;
	while (policy_admit(&policy, now))
		admitted++;
	assert_int_equal(admitted, 100);
	assert_int_equal(policy_admit_time(&policy), now + USEC_PER_MSEC);
	assert_false(policy_admit(&policy, now + 999));
	assert_true(policy_admit(&policy, now + 1000));
	for (usec_t t = 1000; t <= USEC_PER_SEC; t += 100)
		admitted += policy_admit(&policy, now + t);
	assert_in_range(admitted, 1098, 1101);
	/* A clock that does not go on gives no token, and a low rate admits at least one flow. */
	assert_false(policy_admit(&policy, now));
	policy = (struct policy){.flood_rate = 1};
	assert_true(policy_admit(&policy, now));
	assert_false(policy_admit(&policy, now + 999999));
	assert_true(policy_admit(&policy, now + 1000000));
	policy.flood_rate = 0;
	for (int i = 0; i < 1000; i++)
		assert_true(policy_admit(&policy, now));
}

/* Each flow comes to the journal when it has its age and not a millisecond later, in order, and in
 * its newest state. */
static void test_min_age(void **state)
{
	struct sync *sync = make_sync(2 * USEC_PER_SEC, 0);

	(void)state;
	assert_int_equal(sync_mature_time(sync), USEC_NEVER);
	for (unsigned int i = 0; i < 3; i++)
		tcp(sync, i, ESTABLISHED, USEC_PER_SEC + i * 10 * USEC_PER_MSEC);
	/* An update does not make it younger. */
	tcp(sync, 0, ESTABLISHED, 2 * USEC_PER_SEC);
	assert_counts(sync, 0, 3, 0, 0);
	assert_int_equal(sync_mature_time(sync), 3 * USEC_PER_SEC);
	sync_mature(sync, at(3 * USEC_PER_SEC - 1));
	assert_counts(sync, 0, 3, 0, 0);
	sync_mature(sync, at(3 * USEC_PER_SEC));
	assert_counts(sync, 1, 2, 0, 0);
	assert_int_equal(sync_mature_time(sync), 3010 * USEC_PER_MSEC);
	sync_mature(sync, at(4 * USEC_PER_SEC));
	assert_counts(sync, 3, 0, 0, 0);
	/* Flows that peers know are published at once, and templates. */
	tcp(sync, 1, FIN_WAIT, 4 * USEC_PER_SEC);
	assert_counts(sync, 4, 0, 0, 0);
	struct entry template = make_entry(9, IPPROTO_TCP, 0);

	template.flow.template = 1;
	template.flags |= ENTRY_TEMPLATE;
	sync_capture(sync, &template, at(4 * USEC_PER_SEC));
	assert_counts(sync, 5, 0, 0, 0);
	/* Those found in the kernel are old. The half open are not held: the kernel reports them
	 * when they are established, and a flood of them would fill the table. */
	struct entry found = make_entry(10, IPPROTO_TCP, ESTABLISHED);

	sync_adopt(sync, &found, at(4 * USEC_PER_SEC));
	assert_counts(sync, 6, 0, 0, 0);
	found = make_entry(11, IPPROTO_TCP, SYN_RECV);
	sync_adopt(sync, &found, at(4 * USEC_PER_SEC));
	assert_counts(sync, 6, 0, 0, 0);
	tcp(sync, 11, ESTABLISHED, 5 * USEC_PER_SEC);
	assert_counts(sync, 6, 1, 0, 0);
	sync_free(sync);
}

static void test_spared(void **state)
{
	struct sync *sync = make_sync(2 * USEC_PER_SEC, 0);

	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		tcp(sync, i, ESTABLISHED, USEC_PER_SEC);
	tcp(sync, 0, FIN_WAIT, 2 * USEC_PER_SEC);
	tcp(sync, 1, FIN_WAIT, 2 * USEC_PER_SEC);
	tcp(sync, 7, CLOSE, 2 * USEC_PER_SEC);
	assert_int_equal(status_of(sync).young_ended, 3);
	sync_mature(sync, at(10 * USEC_PER_SEC));
	assert_counts(sync, 1, 0, 0, 3);
	/* A flow that is closing is not published; but one that goes on in its state lives. */
	tcp(sync, 0, TIME_WAIT, 11 * USEC_PER_SEC);
	assert_counts(sync, 1, 0, 0, 3);
	tcp(sync, 1, FIN_WAIT, 62 * USEC_PER_SEC);
	assert_counts(sync, 2, 0, 0, 2);
	/* A new connection with the addresses of an old one is young again. */
	tcp(sync, 0, ESTABLISHED, 63 * USEC_PER_SEC);
	assert_counts(sync, 2, 1, 0, 1);
	assert_int_equal(sync_mature_time(sync), 65 * USEC_PER_SEC);
	assert_int_equal(status_of(sync).young_ended, 3);
	assert_int_equal(status_of(sync).entries_own, 4);
	sync_free(sync);
}

/* A new min-age applies to waiting flows too, and a draining director waits no longer. */
static void test_reload(void **state)
{
	struct sync *sync = make_sync(50 * USEC_PER_SEC, 0);

	(void)state;
	tcp(sync, 1, ESTABLISHED, USEC_PER_SEC);
	tcp(sync, 2, ESTABLISHED, 2 * USEC_PER_SEC);
	sync_policy(sync, &(struct policy_options){.min_age = 10 * USEC_PER_SEC});
	assert_int_equal(sync_mature_time(sync), 11 * USEC_PER_SEC);
	sync_mature(sync, at(11 * USEC_PER_SEC));
	assert_counts(sync, 1, 1, 0, 0);
	sync_set_draining(sync, true);
	assert_int_equal(sync_mature_time(sync), 2 * USEC_PER_SEC);
	sync_mature(sync, at(11 * USEC_PER_SEC));
	assert_counts(sync, 2, 0, 0, 0);
	tcp(sync, 3, ESTABLISHED, 11 * USEC_PER_SEC);
	assert_counts(sync, 3, 0, 0, 0);
	sync_set_draining(sync, false);
	tcp(sync, 4, ESTABLISHED, 11 * USEC_PER_SEC);
	assert_counts(sync, 3, 1, 0, 0);
	sync_free(sync);
}

static struct policy_options off_options(bool off)
{
	struct policy_options options = {.services = calloc(1, sizeof(struct policy_service)),
					 .n_services = 1};

	options.services[0] = service(0, 80, 0, off);
	return options;
}

static void test_off(void **state)
{
	struct policy_options off = off_options(true), on = off_options(false);
	struct sync *sync = make_sync(0, 0);
	struct entry template = make_entry(9, IPPROTO_TCP, 0), other, held;
	struct sync_info info;
	uint64_t cursor = 0;

	(void)state;
	tcp(sync, 1, ESTABLISHED, USEC_PER_SEC);
	sync_policy(sync, &off);
	tcp(sync, 2, ESTABLISHED, USEC_PER_SEC);
	tcp(sync, 3, ESTABLISHED, USEC_PER_SEC);
	tcp(sync, 3, FIN_WAIT, USEC_PER_SEC);
	assert_counts(sync, 1, 0, 0, 2);
	assert_int_equal(status_of(sync).local_total, 2);
	/* Peers know of the first flow: its changes are published. Templates always are. */
	tcp(sync, 1, FIN_WAIT, USEC_PER_SEC);
	template.flow.template = 1;
	template.flags |= ENTRY_TEMPLATE;
	sync_capture(sync, &template, at(USEC_PER_SEC));
	other = make_entry(5, IPPROTO_TCP, ESTABLISHED);
	other.flow.vport = 81;
	sync_capture(sync, &other, at(USEC_PER_SEC));
	assert_counts(sync, 4, 0, 0, 2);
	/* Found in the kernel at start, the same. */
	other = make_entry(6, IPPROTO_TCP, ESTABLISHED);
	sync_adopt(sync, &other, at(USEC_PER_SEC));
	sync_adopt(sync, &other, at(USEC_PER_SEC));
	assert_counts(sync, 4, 0, 0, 3);
	assert_int_equal(status_of(sync).local_total, 3);
	for (unsigned int i = 0; sync_walk(sync, &cursor, &held, &info); i++) {
		assert_true(info.own);
		assert_true(info.in_kernel);
		assert_int_equal(info.shared, held.flow.cport == 1 || held.flow.vport == 81 ||
						      held.flow.template);
	}
	/* Switched on again, those that live go to the peers. */
	sync_policy(sync, &on);
	assert_int_equal(sync_mature_time(sync), 0);
	sync_mature(sync, at(USEC_PER_SEC));
	assert_counts(sync, 6, 0, 0, 1);
	assert_int_equal(sync_mature_time(sync), USEC_NEVER);
	sync_free(sync);
}

/* However many flows come that are not established, the rate limit replicates some a second, some
 * wait, and the rest is not even held; established flows go by. */
static void test_flood(void **state)
{
	struct sync *sync = make_sync(0, 1000);
	struct sync_status status;
	usec_t now = USEC_PER_SEC;
	unsigned int i = 0;

	(void)state;
	for (unsigned int ms = 0; ms < 2000; ms++, now += USEC_PER_MSEC) {
		for (unsigned int n = 0; n < 50; n++)
			capture(sync, i++, IPPROTO_UDP, 0, now);
		if (ms % 100 == 0)
			tcp(sync, i++, ESTABLISHED, now);
		if (sync_mature_time(sync) <= now)
			sync_mature(sync, at(now));
		assert_true(status_of(sync).flood_waiting <= 100);
	}
	status = status_of(sync);
	assert_in_range(status.position, 20 + 2000, 20 + 2110);
	assert_int_equal(status.flood_waiting, 100);
	assert_int_equal(status.flood_shed, 100000 + 20 - status.position - 100);
	assert_int_equal(status.entries, status.position + 100);
	assert_int_equal(status.flood_shed_time, now - USEC_PER_MSEC);
	/* The flood ends: waiting flows come in order; one established sooner does not wait. */
	while (status_of(sync).flood_waiting > 0) {
		now = MAX(now, sync_mature_time(sync));
		sync_mature(sync, at(now));
	}
	assert_in_range(now, 3 * USEC_PER_SEC, 3200 * USEC_PER_MSEC);
	assert_int_equal(status_of(sync).position, status.position + 100);
	while (status_of(sync).flood_waiting == 0)
		tcp(sync, i++, SYN_RECV, now);
	status = status_of(sync);
	tcp(sync, i - 1, ESTABLISHED, now);
	assert_counts(sync, status.position + 1, 0, 0, 0);
	assert_int_equal(status.flood_shed, status_of(sync).flood_shed);
	/* No flow overtakes those that wait, though there would be room by now. */
	while (status_of(sync).flood_waiting == 0)
		tcp(sync, i++, SYN_RECV, now);
	tcp(sync, i++, SYN_RECV, now + 100 * USEC_PER_MSEC);
	assert_int_equal(status_of(sync).flood_waiting, 2);
	sync_free(sync);
}

/* Room for the young ends too: established flows are replicated at once then, others are shed. */
static void test_bounds(void **state)
{
	struct sync *sync = make_sync(USEC_PER_SEC, 1);
	struct policy_options off = off_options(true);
	unsigned int i = 0;

	(void)state;
	while (i < 800)
		tcp(sync, i++, SYN_RECV, USEC_PER_SEC);
	assert_counts(sync, 0, 800, 0, 0);
	tcp(sync, i++, ESTABLISHED, USEC_PER_SEC);
	assert_counts(sync, 1, 800, 0, 0);
	for (unsigned int n = 0; n < 102; n++)
		tcp(sync, i++, SYN_RECV, USEC_PER_SEC);
	assert_counts(sync, 2, 800, 100, 0);
	assert_int_equal(status_of(sync).flood_shed, 1);
	/* All young flows come of age at once, and are turned away as others. */
	sync_mature(sync, at(2 * USEC_PER_SEC));
	assert_counts(sync, 3, 0, 100, 0);
	assert_int_equal(status_of(sync).entries, 103);
	/* And those that are not replicated never fill the table. */
	sync_policy(sync, &off);
	for (unsigned int n = 0; n < 3 * MAX_ENTRIES; n++)
		tcp(sync, i++, ESTABLISHED, 3 * USEC_PER_SEC);
	assert_int_equal(status_of(sync).local, 1600);
	assert_int_equal(status_of(sync).local_total, 3 * MAX_ENTRIES);
	assert_int_equal(status_of(sync).refused_full, 0);
	sync_free(sync);
}

static uint8_t body[SYNC_BODY_MAX];

static void subscription_says(struct sync *sync, uint8_t kind)
{
	uint8_t its;
	size_t len;

	assert_int_equal(sync_output(sync, SUBSCRIPTION, at(USEC_PER_SEC), body, &its, &len), 0);
	assert_int_equal(its, kind);
}

static void subscription_hears(struct sync *sync, uint8_t kind, size_t len)
{
	assert_int_equal(sync_receive(sync, SUBSCRIPTION, kind, body, len, at(USEC_PER_SEC)), 0);
}

/* A peer's entry, its whole answer to a Want. */
static void hear(struct sync *sync, const struct entry *entry, struct table_version version)
{
	struct batch_head head = {.wanted = true, .wanted_end = true};
	Lvsmesh__Pb__Begin begin = LVSMESH__PB__BEGIN__INIT;
	Lvsmesh__Pb__Heartbeat heartbeat = LVSMESH__PB__HEARTBEAT__INIT;
	struct batch *batch;
	size_t len;

	sync_open(sync, SUBSCRIPTION, true, &peer.certificate, 500, at(USEC_PER_SEC));
	subscription_says(sync, SYNC_KIND_SUBSCRIBE);
	begin.journal = 5;
	subscription_hears(sync, SYNC_KIND_BEGIN, lvsmesh__pb__begin__pack(&begin, body));
	heartbeat.complete = true;
	subscription_hears(sync, SYNC_KIND_HEARTBEAT,
			   lvsmesh__pb__heartbeat__pack(&heartbeat, body));
	sync_join(sync, at(USEC_PER_SEC));
	subscription_says(sync, SYNC_KIND_WANT);
	assert_int_equal(batch_new(&batch), 0);
	assert_true(batch_add(batch, entry, version, 0));
	len = batch_pack(batch, &head, body + SIGNATURE_SIZE);
	batch_free(batch);
	seal_record_sign(&peer, SYNC_KIND_BATCH, 500, 0, body + SIGNATURE_SIZE, len, body);
	subscription_hears(sync, SYNC_KIND_BATCH, len + SIGNATURE_SIZE);
	sync_close(sync, SUBSCRIPTION);
}

/* A flow that a peer knows of is not withheld, whichever version wins. */
static void test_known(void **state)
{
	struct table_version version = {((FIXTURE_WALL + USEC_PER_SEC) / 1000) << 16, 0};
	struct sync *sync;
	struct entry entry;

	(void)state;
	for (int older = 0; older < 2; older++) {
		sync = make_sync(10 * USEC_PER_SEC, 0);
		version.origin = certificate_id(&peer.certificate);
		version.hlc += older ? (uint64_t)-1 << 20 : (uint64_t)1 << 20;
		tcp(sync, 1, ESTABLISHED, USEC_PER_SEC);
		tcp(sync, 2, ESTABLISHED, USEC_PER_SEC);
		entry = make_entry(1, IPPROTO_TCP, ESTABLISHED);
		hear(sync, &entry, version);
		assert_counts(sync, older ? 1 : 0, 1, 0, 0);
		assert_int_equal(sync_inject_pending(sync), !older);
		/* Learned from a peer, carried here: it is published at once. */
		tcp(sync, 1, FIN_WAIT, 2 * USEC_PER_SEC);
		assert_counts(sync, older ? 2 : 1, 1, 0, 0);
		sync_free(sync);
	}
	/* Found in the kernel, and a peer has it from an earlier life of ours, in another state. */
	struct policy_options off = off_options(true);

	sync = make_sync(0, 0);
	sync_policy(sync, &off);
	entry = make_entry(1, IPPROTO_TCP, FIN_WAIT);
	sync_adopt(sync, &entry, at(USEC_PER_SEC));
	entry.state = ESTABLISHED;
	version.origin = us.id;
	hear(sync, &entry, version);
	assert_counts(sync, 1, 0, 0, 0);
	assert_false(sync_inject_pending(sync));
	sync_free(sync);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_services), cmocka_unit_test(test_admit),
		cmocka_unit_test(test_min_age),  cmocka_unit_test(test_spared),
		cmocka_unit_test(test_reload),   cmocka_unit_test(test_off),
		cmocka_unit_test(test_flood),    cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_known),
	};

	if (sodium_init() < 0)
		return 1;
	fixture_identity(1, 1, &us);
	fixture_identity(1, 2, &peer);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
