/* The messages that a peer may send, and the errors for all others. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "proto/session/seal.h"
#include "proto/sync.pb-c.h"
#include "sync/batch.h"
#include "sync/kernel_wire.h"
#include "sync/sync.h"
#include "sync/table/hlc.h"
#include "tests/identity_fixture.h"

#define SUBSCRIPTION 3
#define SUBSCRIBER 4
#define FIRST_ORPHAN 1000 /* of the directors that are gone */
#define LOST_TOLD 150
#define PEER_EPOCH 500
#define PEER_JOURNAL 5000
#define EPOCH 100
#define JOURNAL 1000

static struct identity us, peer;
static const struct now start = {.mono = 50 * USEC_PER_SEC, .wall = FIXTURE_WALL};
static uint8_t body[SYNC_BODY_MAX];

static struct now at(usec_t mono)
{
	return (struct now){.mono = mono, .wall = FIXTURE_WALL};
}

static struct entry make_entry(unsigned int i)
{
	struct entry entry = {.state = 1, .timeout = 900, .dport = 80, .flags = 3};

	entry.flow.family = AF_INET;
	entry.flow.protocol = IPPROTO_TCP;
	entry.flow.caddr[0] = 10;
	entry.flow.cport = (uint16_t)i;
	return entry;
}

static struct sync *make_sync(void)
{
	struct sync_options options = {
		.identity = &us, .epoch = EPOCH, .journal = JOURNAL, .entries_max = 1000};
	struct sync *sync;

	assert_int_equal(sync_new(&options, &sync), 0);
	return sync;
}

static int begin(struct sync *sync, uint64_t journal, uint64_t from, uint64_t end)
{
	Lvsmesh__Pb__Begin message = LVSMESH__PB__BEGIN__INIT;
	size_t len;

	message.journal = journal;
	message.start = from;
	message.end = end;
	len = lvsmesh__pb__begin__pack(&message, body);
	return sync_receive(sync, SUBSCRIPTION, SYNC_KIND_BEGIN, body, len, start);
}

/* The frame that a subscription sends now. */
static int subscription_says(struct sync *sync, size_t *ret_len)
{
	uint8_t kind;

	assert_int_equal(sync_output(sync, SUBSCRIPTION, start, body, &kind, ret_len), 0);
	return kind;
}

static int heartbeat(struct sync *sync, uint64_t position, bool complete)
{
	Lvsmesh__Pb__Heartbeat message = LVSMESH__PB__HEARTBEAT__INIT;
	size_t len;

	message.position = position;
	message.complete = complete;
	len = lvsmesh__pb__heartbeat__pack(&message, body);
	return sync_receive(sync, SUBSCRIPTION, SYNC_KIND_HEARTBEAT, body, len, start);
}

/* A subscription that has subscribed to a journal of 10. */
static struct sync *make_subscription(void)
{
	struct sync *sync = make_sync();
	size_t len;

	sync_open(sync, SUBSCRIPTION, true, &peer.certificate, PEER_EPOCH, start);
	assert_int_equal(subscription_says(sync, &len), SYNC_KIND_SUBSCRIBE);
	assert_int_equal(begin(sync, PEER_JOURNAL, 0, 10), 0);
	assert_int_equal(heartbeat(sync, 10, false), 0);
	return sync;
}

/* A subscription whose peer has no journal, but the whole table, which it was asked for. */
static struct sync *make_asking(void)
{
	struct sync *sync = make_sync();
	size_t len;

	sync_open(sync, SUBSCRIPTION, true, &peer.certificate, PEER_EPOCH, start);
	assert_int_equal(subscription_says(sync, &len), SYNC_KIND_SUBSCRIBE);
	assert_int_equal(begin(sync, PEER_JOURNAL, 0, 0), 0);
	assert_int_equal(heartbeat(sync, 0, true), 0);
	sync_join(sync, start);
	assert_int_equal(subscription_says(sync, &len), SYNC_KIND_WANT);
	return sync;
}

struct forged {
	struct batch_head head;
	struct entry entry;
	struct table_version version;
	uint32_t age;
	uint64_t epoch;
	const struct identity *signer;
};

/* A batch as the peer would send it, of one entry. */
static struct forged good_batch(bool wanted)
{
	return (struct forged){
		.head = {.first = 0,
			 .last = wanted ? 0 : 10,
			 .wanted = wanted,
			 .wanted_end = wanted},
		.entry = make_entry(1),
		.version = {(FIXTURE_WALL / 1000) << 16, certificate_id(&peer.certificate)},
		.epoch = PEER_EPOCH,
		.signer = &peer,
	};
}

static int receive_at(struct sync *sync, const struct forged *forged, struct now now)
{
	struct batch *batch;
	size_t len;

	assert_int_equal(batch_new(&batch), 0);
	assert_true(batch_add(batch, &forged->entry, forged->version, forged->age));
	len = batch_pack(batch, &forged->head, body + SIGNATURE_SIZE);
	batch_free(batch);
	seal_record_sign(forged->signer, SYNC_KIND_BATCH, forged->epoch, forged->head.last,
			 body + SIGNATURE_SIZE, len, body);
	return sync_receive(sync, SUBSCRIPTION, SYNC_KIND_BATCH, body, len + SIGNATURE_SIZE, now);
}

static int receive(struct sync *sync, const struct forged *forged)
{
	return receive_at(sync, forged, start);
}

/* A journal's batch of one entry, up to position; the result of sync_output() then. */
static int receive_next(struct sync *sync, uint64_t position, usec_t mono)
{
	struct forged forged = good_batch(false);
	size_t len;
	uint8_t kind;
	int r;

	forged.head.first = position - 1;
	forged.head.last = position;
	assert_int_equal(receive_at(sync, &forged, at(mono)), 0);
	r = sync_output(sync, SUBSCRIPTION, at(mono), body, &kind, &len);
	assert_true(r < 0 || kind == SYNC_KIND_ACK);
	return r;
}

static uint64_t entries(const struct sync *sync)
{
	struct sync_status status;

	sync_status(sync, &status);
	return status.entries;
}

/* The batch is refused as a whole, counted under its name, and no entry is held. */
static void assert_refused(struct forged forged, int error)
{
	struct sync *sync = forged.head.wanted ? make_asking() : make_subscription();

	assert_int_equal(receive(sync, &forged), -error);
	assert_int_equal(sync_refused(sync, error), 1);
	assert_int_equal(entries(sync), 0);
	sync_free(sync);
}

static void test_batches(void **state)
{
	struct forged forged = good_batch(false);
	struct sync *sync = make_subscription();
	struct sync_stream_status status;

	(void)state;
	sync_stream_status(sync, SUBSCRIPTION, start, &status);
	assert_false(status.synced);
	assert_int_equal(receive(sync, &forged), 0);
	assert_int_equal(entries(sync), 1);
	sync_stream_status(sync, SUBSCRIPTION, start, &status);
	assert_int_equal(status.position, 10);
	assert_true(status.synced);
	/* The journal goes on from there, and only from there. */
	assert_int_equal(receive(sync, &forged), -SYNC_E_ORDER);
	forged.head.first = 12;
	forged.head.last = 13;
	assert_int_equal(receive(sync, &forged), -SYNC_E_ORDER);
	forged.head.first = 10;
	assert_int_equal(receive(sync, &forged), 0);
	/* An answer that we did not ask for. */
	forged = good_batch(true);
	assert_int_equal(receive(sync, &forged), -SYNC_E_ORDER);
	sync_free(sync);
}

/* An ack goes with a batch, and of several only with one of them; after the last it is not long in
 * coming. */
static void test_acks(void **state)
{
	struct sync *sync = make_subscription();
	usec_t mono = start.mono + USEC_PER_SEC;

	(void)state;
	assert_int_equal(receive_next(sync, 1, mono), 0);
	for (uint64_t i = 1; i < 10; i++) {
		mono += 10 * USEC_PER_MSEC;
		assert_int_equal(receive_next(sync, 1 + i, mono), -EAGAIN);
	}
	mono += 10 * USEC_PER_MSEC;
	assert_int_equal(receive_next(sync, 11, mono), 0);
	mono += 10 * USEC_PER_MSEC;
	assert_int_equal(receive_next(sync, 12, mono), -EAGAIN);
	assert_in_range(sync_output_time(sync, SUBSCRIPTION), mono + USEC_PER_MSEC,
			mono + 200 * USEC_PER_MSEC);
	sync_free(sync);
}

/* A peer that becomes complete has a journal that is longer than when the stream began. */
static void test_completes(void **state)
{
	struct forged forged = good_batch(false);
	struct sync *sync = make_subscription();
	struct sync_stream_status status;

	(void)state;
	assert_int_equal(receive(sync, &forged), 0);
	assert_int_equal(heartbeat(sync, 9, true), -SYNC_E_POSITION);
	assert_int_equal(heartbeat(sync, 12, true), 0);
	sync_stream_status(sync, SUBSCRIPTION, start, &status);
	assert_false(status.synced);
	forged.head.first = 10;
	forged.head.last = 12;
	assert_int_equal(receive(sync, &forged), 0);
	sync_stream_status(sync, SUBSCRIPTION, start, &status);
	assert_true(status.synced);
	/* The journal goes on: a subscriber is synced without its new end. */
	assert_int_equal(heartbeat(sync, 20, true), 0);
	sync_stream_status(sync, SUBSCRIPTION, start, &status);
	assert_true(status.synced);
	sync_free(sync);
}

/* The start, with one peer: it is asked for all at once. */
static void test_shares(void **state)
{
	struct forged forged = good_batch(true);
	struct sync *sync = make_asking();
	struct sync_status status;

	(void)state;
	forged.head.wanted_end = false;
	assert_int_equal(receive(sync, &forged), 0);
	forged.entry = make_entry(2);
	forged.head.wanted_end = true;
	sync_status(sync, &status);
	assert_false(status.joined);
	assert_int_equal(status.join_shares, 1);
	assert_int_equal(receive(sync, &forged), 0);
	sync_status(sync, &status);
	assert_true(status.joined);
	assert_int_equal(status.join_entries, 2);
	/* Not before it was asked for. */
	assert_int_equal(receive(sync, &forged), -SYNC_E_ORDER);
	/* It is complete when the kernel has them, and no later. */
	assert_false(status.complete);
	assert_false(sync_inject_awaited(sync));
	assert_true(sync_inject(sync, start, body, sizeof(body)) > 0);
	assert_true(sync_inject_awaited(sync));
	sync_tick(sync, start);
	sync_status(sync, &status);
	assert_false(status.complete);
	sync_injected(sync);
	sync_status(sync, &status);
	assert_true(status.complete);
	assert_false(sync_inject_awaited(sync));
	sync_free(sync);
}

/* An unfinished share is requested again; without a donor left the start ends. */
static void test_shares_lost(void **state)
{
	struct sync *sync = make_asking();
	struct now now = start;
	struct sync_status status;
	size_t len;

	(void)state;
	sync_close(sync, SUBSCRIPTION);
	sync_tick(sync, now);
	now.mono += 4 * USEC_PER_SEC;
	sync_tick(sync, now);
	sync_open(sync, SUBSCRIPTION, true, &peer.certificate, PEER_EPOCH, start);
	assert_int_equal(subscription_says(sync, &len), SYNC_KIND_SUBSCRIBE);
	assert_int_equal(begin(sync, PEER_JOURNAL, 0, 0), 0);
	assert_int_equal(heartbeat(sync, 0, true), 0);
	assert_int_equal(subscription_says(sync, &len), SYNC_KIND_WANT);
	now.mono += 4 * USEC_PER_SEC;
	sync_tick(sync, now);
	sync_close(sync, SUBSCRIPTION);
	now.mono += 4 * USEC_PER_SEC;
	sync_tick(sync, now);
	sync_status(sync, &status);
	assert_false(status.joined);
	now.mono += USEC_PER_SEC;
	sync_tick(sync, now);
	sync_status(sync, &status);
	assert_true(status.joined);
	assert_int_equal(status.join_shares_done, 0);
	sync_free(sync);
}

static void orphan(struct sync *sync, uint64_t id, uint64_t position, uint64_t hlc)
{
	Lvsmesh__Pb__Orphans message = LVSMESH__PB__ORPHANS__INIT;
	uint64_t journal = 77;
	size_t len;

	message.n_ids = message.n_journals = message.n_positions = message.n_hlcs = 1;
	message.ids = &id;
	message.journals = &journal;
	message.positions = &position;
	message.hlcs = &hlc;
	len = lvsmesh__pb__orphans__pack(&message, body);
	assert_int_equal(sync_receive(sync, SUBSCRIPTION, SYNC_KIND_ORPHANS, body, len, start), 0);
}

static void assert_orphans_asked(struct sync *sync, uint64_t origin, uint64_t since)
{
	Lvsmesh__Pb__Want *want;
	size_t len;

	assert_int_equal(subscription_says(sync, &len), SYNC_KIND_WANT);
	want = lvsmesh__pb__want__unpack(NULL, len, body);
	assert_true(want->origin == origin && want->since == since);
	assert_int_equal(want->n_skip, 0);
	lvsmesh__pb__want__free_unpacked(want, NULL);
}

/* We ask a peer that had followed a dead director's journal further than we for the rest, once. */
static void test_orphans(void **state)
{
	struct forged forged = good_batch(true);
	struct sync *sync = make_subscription();
	struct sync_status status;
	uint8_t kind;
	size_t len;

	(void)state;
	forged.version.origin = 1234;
	forged.entry = make_entry(2);
	sync_join(sync, start);
	orphan(sync, 1234, 5, 50);
	/* Not before its own journal has come. */
	assert_int_equal(sync_output(sync, SUBSCRIPTION, start, body, &kind, &len), -EAGAIN);
	struct forged journal = good_batch(false);

	assert_int_equal(receive(sync, &journal), 0);
	assert_orphans_asked(sync, 1234, 0);
	assert_int_equal(receive(sync, &forged), 0);
	sync_status(sync, &status);
	assert_int_equal(status.orphans_learned, 1);
	assert_int_equal(sync_output(sync, SUBSCRIPTION, start, body, &kind, &len), -EAGAIN);
	/* We ask for more of the journal, not for less or as much. */
	orphan(sync, 1234, 5, 50);
	assert_int_equal(sync_output(sync, SUBSCRIPTION, start, body, &kind, &len), -EAGAIN);
	orphan(sync, 1234, 7, 60);
	assert_orphans_asked(sync, 1234, 50);
	sync_free(sync);
}

static int sums_at(struct sync *sync, unsigned int stream, uint8_t *data, size_t data_len,
		   struct now now)
{
	Lvsmesh__Pb__Sums message = LVSMESH__PB__SUMS__INIT;
	size_t len;

	message.horizon = FIXTURE_WALL / 1000 << 16;
	message.sums.data = data;
	message.sums.len = data_len;
	len = lvsmesh__pb__sums__pack(&message, body);
	return sync_receive(sync, stream, SYNC_KIND_SUMS, body, len, now);
}

/* The next time that the peer may be compared with, each time. */
static int sums(struct sync *sync, uint8_t *data, size_t data_len, unsigned int round)
{
	struct now now = start;

	now.mono += round * 15 * USEC_PER_SEC;
	return sums_at(sync, SUBSCRIPTION, data, data_len, now);
}

/* A missing entry is counted, unless it may have been on its way still, or have ended. */
static void test_repaired_from_peers(void **state)
{
	static const struct {
		uint64_t above;
		uint32_t timeout;
		unsigned int repaired;
	} cases[] = {{1, 900, 0}, {0, 900, 1}, {0, 60, 1}, {0, 61, 2}};
	static uint8_t data[4096 * 8] = {1};
	struct forged forged = good_batch(true);
	struct sync *sync = make_sync();
	struct sync_status status;
	size_t len;

	(void)state;
	sync_join(sync, start);
	sync_tick(sync, start);
	sync_open(sync, SUBSCRIPTION, true, &peer.certificate, PEER_EPOCH, start);
	assert_int_equal(subscription_says(sync, &len), SYNC_KIND_SUBSCRIBE);
	assert_int_equal(begin(sync, PEER_JOURNAL, 0, 0), 0);
	assert_int_equal(heartbeat(sync, 0, true), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(sums(sync, data, sizeof(data), i), 0);
		sync_tick(sync, start);
		assert_int_equal(subscription_says(sync, &len), SYNC_KIND_WANT);
		forged.entry = make_entry(10 + i);
		forged.entry.timeout = cases[i].timeout;
		forged.version.hlc = (FIXTURE_WALL / 1000 << 16) + cases[i].above;
		assert_int_equal(receive(sync, &forged), 0);
		sync_status(sync, &status);
		assert_int_equal(status.repaired_from_peers, cases[i].repaired);
		assert_int_equal(status.learned, i + 1);
	}
	sync_free(sync);
}

/* We ask a peer whose sums are lies for 64 parts each time, never for the same before all had their
 * turn; its answers repair no entry. */
static void test_lying_sums(void **state)
{
	static uint8_t data[4096 * 8 + 1];
	struct forged forged = good_batch(true);
	struct sync *sync = make_sync();
	struct sync_status status;
	uint8_t kind;
	size_t len;

	(void)state;
	sync_join(sync, start);
	sync_tick(sync, start);
	assert_int_equal(sync_capture(sync, &forged.entry, start), 0);
	sync_open(sync, SUBSCRIPTION, true, &peer.certificate, PEER_EPOCH, start);
	assert_int_equal(subscription_says(sync, &len), SYNC_KIND_SUBSCRIBE);
	assert_int_equal(sums(sync, data, 4096 * 8, 0), -SYNC_E_KIND);
	assert_int_equal(begin(sync, PEER_JOURNAL, 0, 0), 0);
	assert_int_equal(heartbeat(sync, 0, true), 0);
	assert_int_equal(sums(sync, data, 4096 * 8 - 1, 0), -SYNC_E_MALFORMED);
	assert_int_equal(sums(sync, data, 4096 * 8 + 1, 0), -SYNC_E_MALFORMED);
	memset(data, 0x55, sizeof(data));
	for (uint32_t round = 0; round < 65; round++) {
		Lvsmesh__Pb__Want *want;

		assert_int_equal(sums(sync, data, 4096 * 8, round), 0);
		assert_int_equal(sums(sync, data, 4096 * 8, round), 0);
		assert_int_equal(sync_output(sync, SUBSCRIPTION, start, body, &kind, &len),
				 -EAGAIN);
		sync_tick(sync, start);
		assert_int_equal(subscription_says(sync, &len), SYNC_KIND_WANT);
		want = lvsmesh__pb__want__unpack(NULL, len, body);
		assert_int_equal(want->n_ranges, 2);
		assert_int_equal(want->ranges[0], round * 64 % 4096);
		assert_int_equal(want->ranges[1], round * 64 % 4096 + 63);
		lvsmesh__pb__want__free_unpacked(want, NULL);
		assert_int_equal(receive(sync, &forged), 0);
	}
	sync_status(sync, &status);
	assert_int_equal(status.tables_compared, 65);
	assert_int_equal(status.parts_differed, 65 * 64);
	assert_int_equal(status.repaired_from_peers, 0);
	sync_free(sync);
}

/* A subscription with an empty journal, but a table to compare with. */
static void open_comparable(struct sync *sync, unsigned int stream, const struct identity *who)
{
	Lvsmesh__Pb__Heartbeat told = LVSMESH__PB__HEARTBEAT__INIT;
	Lvsmesh__Pb__Begin message = LVSMESH__PB__BEGIN__INIT;
	uint8_t kind;
	size_t len;

	sync_open(sync, stream, true, &who->certificate, PEER_EPOCH, start);
	assert_int_equal(sync_output(sync, stream, start, body, &kind, &len), 0);
	message.journal = stream;
	len = lvsmesh__pb__begin__pack(&message, body);
	assert_int_equal(sync_receive(sync, stream, SYNC_KIND_BEGIN, body, len, start), 0);
	len = lvsmesh__pb__heartbeat__pack(&told, body);
	assert_int_equal(sync_receive(sync, stream, SYNC_KIND_HEARTBEAT, body, len, start), 0);
}

static bool is_asked(struct sync *sync, unsigned int stream)
{
	uint8_t kind;
	size_t len;

	return sync_output(sync, stream, start, body, &kind, &len) == 0 && kind == SYNC_KIND_WANT;
}

/* A peer that does not answer our Want, or sends endless sums, keeps us from no other
 * comparison. */
static void test_silent_sums(void **state)
{
	static uint8_t data[4096 * 8] = {1};
	struct sync *sync = make_sync();
	struct now later = start;
	struct identity other;

	(void)state;
	fixture_identity(1, 3, &other);
	sync_join(sync, start);
	sync_tick(sync, start);
	open_comparable(sync, SUBSCRIPTION, &peer);
	open_comparable(sync, SUBSCRIPTION + 2, &other);
	assert_int_equal(sums_at(sync, SUBSCRIPTION, data, sizeof(data), start), 0);
	assert_int_equal(sums_at(sync, SUBSCRIPTION + 2, data, sizeof(data), start), 0);
	sync_tick(sync, start);
	assert_true(is_asked(sync, SUBSCRIPTION));
	assert_false(is_asked(sync, SUBSCRIPTION + 2));
	/* The first peer's sums are not taken so soon again; the other's, which had no place,
	 * are. */
	assert_int_equal(sums_at(sync, SUBSCRIPTION, data, sizeof(data), start), 0);
	assert_int_equal(sums_at(sync, SUBSCRIPTION + 2, data, sizeof(data), start), 0);
	sync_tick(sync, start);
	assert_true(is_asked(sync, SUBSCRIPTION + 2));
	/* A peer gets no new Want before its answer, and that holds up no other either. */
	later.mono += 15 * USEC_PER_SEC;
	assert_int_equal(sums_at(sync, SUBSCRIPTION, data, sizeof(data), later), 0);
	sync_tick(sync, later);
	assert_false(is_asked(sync, SUBSCRIPTION));
	sync_close(sync, SUBSCRIPTION + 2);
	open_comparable(sync, SUBSCRIPTION + 2, &other);
	assert_int_equal(sums_at(sync, SUBSCRIPTION + 2, data, sizeof(data), later), 0);
	sync_tick(sync, later);
	assert_true(is_asked(sync, SUBSCRIPTION + 2));
	sync_free(sync);
}

/* However often a peer's stream is opened anew, its sums are taken every 15 s. */
static void test_sums_of_new_streams(void **state)
{
	static uint8_t data[4096 * 8] = {1};
	struct sync *sync = make_sync();
	struct now later = start;

	(void)state;
	later.mono += 15 * USEC_PER_SEC;
	sync_join(sync, start);
	sync_tick(sync, start);
	for (unsigned int round = 0; round < 5; round++) {
		open_comparable(sync, SUBSCRIPTION, &peer);
		assert_int_equal(
			sums_at(sync, SUBSCRIPTION, data, sizeof(data), round < 4 ? start : later),
			0);
		sync_tick(sync, start);
		assert_int_equal(is_asked(sync, SUBSCRIPTION), round == 0 || round == 4);
	}
	sync_free(sync);
}

/* A stream begins where it was left, or at the start. */
static void test_begin(void **state)
{
	static const struct {
		uint64_t journal, start, end;
		int error;
	} bad[] = {
		{0, 0, 10, SYNC_E_POSITION},
		{PEER_JOURNAL, 5, 10, SYNC_E_POSITION},
		{PEER_JOURNAL, 11, 11, SYNC_E_POSITION},
		{PEER_JOURNAL, 10, 9, SYNC_E_POSITION},
		{PEER_JOURNAL + 1, 10, 11, SYNC_E_POSITION},
	};
	struct forged forged = good_batch(false);
	struct sync *sync = make_subscription();
	struct sync_stream_status status;
	Lvsmesh__Pb__Subscribe *said;
	size_t len;

	(void)state;
	assert_int_equal(begin(sync, PEER_JOURNAL, 0, 10), -SYNC_E_KIND);
	assert_int_equal(receive(sync, &forged), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		sync_open(sync, SUBSCRIPTION, true, &peer.certificate, PEER_EPOCH, start);
		assert_int_equal(begin(sync, PEER_JOURNAL, 0, 10), -SYNC_E_KIND);
		assert_int_equal(subscription_says(sync, &len), SYNC_KIND_SUBSCRIBE);
		said = lvsmesh__pb__subscribe__unpack(NULL, len, body);
		assert_true(said->journal == PEER_JOURNAL && said->position == 10);
		lvsmesh__pb__subscribe__free_unpacked(said, NULL);
		assert_int_equal(receive(sync, &forged), -SYNC_E_KIND);
		assert_int_equal(begin(sync, bad[i].journal, bad[i].start, bad[i].end),
				 -bad[i].error);
	}
	assert_int_equal(begin(sync, PEER_JOURNAL, 10, 10), 0);
	/* Whether that peer has more than its journal is not known yet. */
	sync_stream_status(sync, SUBSCRIPTION, start, &status);
	assert_false(status.synced);
	assert_int_equal(heartbeat(sync, 10, false), 0);
	sync_stream_status(sync, SUBSCRIPTION, start, &status);
	assert_true(status.synced);
	/* A peer that does not know the position any more sends all. */
	sync_open(sync, SUBSCRIPTION, true, &peer.certificate, PEER_EPOCH, start);
	assert_int_equal(subscription_says(sync, &len), SYNC_KIND_SUBSCRIBE);
	assert_int_equal(begin(sync, PEER_JOURNAL + 1, 0, 3), 0);
	forged.head.last = 3;
	assert_int_equal(receive(sync, &forged), 0);
	sync_free(sync);
}

static void test_refused_batches(void **state)
{
	struct forged forged = good_batch(false);

	(void)state;
	forged.head.first = 1;
	assert_refused(forged, SYNC_E_ORDER);
	forged.head.first = forged.head.last = 0;
	assert_refused(forged, SYNC_E_ORDER);
	forged = good_batch(false);
	forged.head.wanted_end = true;
	assert_refused(forged, SYNC_E_ORDER);
	forged = good_batch(true);
	forged.head.last = 1;
	assert_refused(forged, SYNC_E_ORDER);
	forged = good_batch(true);
	forged.signer = &us;
	assert_refused(forged, SYNC_E_SIGNATURE);
	forged = good_batch(true);
	forged.epoch = PEER_EPOCH - 1;
	assert_refused(forged, SYNC_E_SIGNATURE);
	forged = good_batch(true);
	forged.version.hlc += (3700ull * 1000) << 16;
	assert_refused(forged, SYNC_E_CLOCK);
}

/* Single entries are left out, and the batch goes on. */
static void assert_left_out(struct forged forged, int error)
{
	struct sync *sync = forged.head.wanted ? make_asking() : make_subscription();

	assert_int_equal(receive(sync, &forged), 0);
	assert_int_equal(entries(sync), 0);
	if (error)
		assert_int_equal(sync_refused(sync, error), 1);
	sync_free(sync);
}

static void test_left_out(void **state)
{
	struct forged forged = good_batch(true);

	(void)state;
	forged.entry.state = 200;
	assert_left_out(forged, SYNC_E_ENTRY);
	forged = good_batch(true);
	forged.entry.flow.protocol = IPPROTO_ICMP;
	assert_left_out(forged, SYNC_E_ENTRY);
	/* Too old to be worth anything. */
	forged = good_batch(true);
	forged.age = 1000;
	assert_left_out(forged, 0);
	forged.entry.timeout = UINT32_MAX;
	forged.age = UINT32_MAX;
	assert_left_out(forged, 0);
}

static void test_every_bit(void **state)
{
	struct forged forged = good_batch(true);
	struct sync *sync = make_asking();
	static uint8_t good[4096];
	struct batch *batch;
	size_t len;

	(void)state;
	assert_int_equal(batch_new(&batch), 0);
	assert_true(batch_add(batch, &forged.entry, forged.version, 0));
	len = batch_pack(batch, &forged.head, good + SIGNATURE_SIZE) + SIGNATURE_SIZE;
	batch_free(batch);
	seal_record_sign(&peer, SYNC_KIND_BATCH, PEER_EPOCH, 0, good + SIGNATURE_SIZE,
			 len - SIGNATURE_SIZE, good);
	for (size_t bit = 0; bit < len * 8; bit++) {
		memcpy(body, good, len);
		body[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(sync_receive(sync, SUBSCRIPTION, SYNC_KIND_BATCH, body, len, start) <
			    0);
	}
	for (size_t cut = 0; cut < len; cut++)
		assert_true(sync_receive(sync, SUBSCRIPTION, SYNC_KIND_BATCH, good, cut, start) <
			    0);
	assert_int_equal(entries(sync), 0);
	assert_int_equal(sync_receive(sync, SUBSCRIPTION, SYNC_KIND_BATCH, good, len, start), 0);
	assert_int_equal(entries(sync), 1);
	sync_free(sync);
}

static size_t pack_subscribe(uint64_t journal, uint64_t position)
{
	Lvsmesh__Pb__Subscribe message = LVSMESH__PB__SUBSCRIBE__INIT;

	message.journal = journal;
	message.position = position;
	return lvsmesh__pb__subscribe__pack(&message, body);
}

static int subscribe_to(struct sync *sync, unsigned int stream, uint64_t journal, uint64_t position,
			struct now now)
{
	size_t len = pack_subscribe(journal, position);

	return sync_receive(sync, stream, SYNC_KIND_SUBSCRIBE, body, len, now);
}

static int subscribe(struct sync *sync, uint64_t journal, uint64_t position)
{
	return subscribe_to(sync, SUBSCRIBER, journal, position, start);
}

static int ack(struct sync *sync, uint64_t position)
{
	Lvsmesh__Pb__Ack message = LVSMESH__PB__ACK__INIT;
	size_t len;

	message.position = position;
	len = lvsmesh__pb__ack__pack(&message, body);
	return sync_receive(sync, SUBSCRIBER, SYNC_KIND_ACK, body, len, start);
}

static int want_without(struct sync *sync, uint32_t *ranges, size_t n_ranges, uint64_t *skip,
			size_t n_skip)
{
	Lvsmesh__Pb__Want message = LVSMESH__PB__WANT__INIT;
	size_t len;

	message.n_ranges = n_ranges;
	message.ranges = ranges;
	message.n_skip = n_skip;
	message.skip = skip;
	len = lvsmesh__pb__want__pack(&message, body);
	return sync_receive(sync, SUBSCRIBER, SYNC_KIND_WANT, body, len, start);
}

static int want(struct sync *sync, uint32_t *ranges, size_t n_ranges, size_t n_skip)
{
	uint64_t skip[DIRECTORS_MAX + 1] = {1};

	return want_without(sync, ranges, n_ranges, skip, n_skip);
}

/* The next frame of the kind; what comes before it is passed over. */
static int subscriber_next(struct sync *sync, unsigned int stream, uint8_t kind, struct now now,
			   size_t *ret_len)
{
	uint8_t got = 0;

	while (sync_output(sync, stream, now, body, &got, ret_len) == 0) {
		if (got == kind)
			return 0;
	}
	return -EAGAIN;
}

static int subscriber_output(struct sync *sync, unsigned int stream, struct now now,
			     size_t *ret_len)
{
	return subscriber_next(sync, stream, SYNC_KIND_BATCH, now, ret_len);
}

/* A subscriber whose peer takes this many journals in an Orphans; 0: not stated. */
static void subscribe_as(struct sync *sync, unsigned int stream, uint32_t journals)
{
	Lvsmesh__Pb__Subscribe message = LVSMESH__PB__SUBSCRIBE__INIT;
	size_t len;

	message.journals = journals;
	sync_open(sync, stream, false, &peer.certificate, PEER_EPOCH, start);
	len = lvsmesh__pb__subscribe__pack(&message, body);
	assert_int_equal(sync_receive(sync, stream, SYNC_KIND_SUBSCRIBE, body, len, start), 0);
}

/* How many journals the next Orphans has by then, none of which was sent before; 0: no Orphans. */
static unsigned int told_lost(struct sync *sync, unsigned int stream, usec_t after,
			      bool told[LOST_TOLD])
{
	struct now now = {start.mono + after, start.wall + after};
	Lvsmesh__Pb__Orphans *message;
	unsigned int count;
	size_t len;

	if (subscriber_next(sync, stream, SYNC_KIND_ORPHANS, now, &len) < 0)
		return 0;
	message = lvsmesh__pb__orphans__unpack(NULL, len, body);
	count = (unsigned int)message->n_ids;
	for (unsigned int i = 0; i < count; i++) {
		assert_in_range(message->ids[i], FIRST_ORPHAN, FIRST_ORPHAN + LOST_TOLD - 1);
		assert_false(told[message->ids[i] - FIRST_ORPHAN]);
		told[message->ids[i] - FIRST_ORPHAN] = true;
	}
	lvsmesh__pb__orphans__free_unpacked(message, NULL);
	return count;
}

/* More journals than a peer takes are sent in turn; as many as it takes, at once. */
static void test_lost_of_an_older_build(void **state)
{
	static const struct {
		uint32_t says;
		unsigned int told[3];
	} cases[] = {
		{0, {64, 64, 22}}, {100, {100, 50, 100}}, {256, {150, 0, 0}}, {1000, {150, 0, 0}}};
	const usec_t turn = 10 * USEC_PER_SEC;
	struct forged forged = good_batch(true), journal = good_batch(false);
	struct sync *sync = make_subscription();
	size_t len;

	(void)state;
	sync_join(sync, start);
	assert_int_equal(receive(sync, &journal), 0);
	for (uint64_t i = 0; i < LOST_TOLD; i++) {
		orphan(sync, FIRST_ORPHAN + i, 5, 50);
		assert_int_equal(subscription_says(sync, &len), SYNC_KIND_WANT);
		assert_int_equal(receive(sync, &forged), 0);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		bool told[LOST_TOLD] = {0};

		subscribe_as(sync, SUBSCRIBER + i, cases[i].says);
		for (unsigned int n = 0; n < 3; n++) {
			/* All of them were sent: the next Orphans starts with the first again. */
			if (i == 1 && n == 2)
				memset(told, 0, sizeof(told));
			assert_int_equal(told_lost(sync, SUBSCRIBER + i, n * turn, told),
					 cases[i].told[n]);
			assert_int_equal(told_lost(sync, SUBSCRIBER + i, (n + 1) * turn - 1, told),
					 0);
		}
	}
	sync_free(sync);
}

/* A Want leaves out no more origins than its peer takes; entries sent in vain do no harm. */
static void test_want_from_an_older_build(void **state)
{
	enum { SOURCES = 100 };
	static const uint32_t says[] = {0, 10, 256, 1000};
	static const size_t skipped[] = {64, 10, SOURCES, SOURCES};
	static struct identity identities[SOURCES];
	struct sync *sync = make_sync();
	size_t len;

	(void)state;
	for (unsigned int i = 0; i < SOURCES; i++) {
		Lvsmesh__Pb__Heartbeat told = LVSMESH__PB__HEARTBEAT__INIT;
		Lvsmesh__Pb__Begin message = LVSMESH__PB__BEGIN__INIT;
		uint8_t kind;

		fixture_identity(1, (uint8_t)(10 + i), &identities[i]);
		sync_open(sync, i, true, &identities[i].certificate, PEER_EPOCH, start);
		assert_int_equal(sync_output(sync, i, start, body, &kind, &len), 0);
		message.journal = i + 1;
		message.origins = i < ARRAY_SIZE(says) ? says[i] : 256;
		len = lvsmesh__pb__begin__pack(&message, body);
		assert_int_equal(sync_receive(sync, i, SYNC_KIND_BEGIN, body, len, start), 0);
		told.complete = true;
		len = lvsmesh__pb__heartbeat__pack(&told, body);
		assert_int_equal(sync_receive(sync, i, SYNC_KIND_HEARTBEAT, body, len, start), 0);
	}
	sync_join(sync, start);
	for (unsigned int i = 0; i < ARRAY_SIZE(says); i++) {
		Lvsmesh__Pb__Want *message;
		uint8_t kind;

		assert_int_equal(sync_output(sync, i, start, body, &kind, &len), 0);
		assert_int_equal(kind, SYNC_KIND_WANT);
		message = lvsmesh__pb__want__unpack(NULL, len, body);
		assert_int_equal(message->n_skip, skipped[i]);
		lvsmesh__pb__want__free_unpacked(message, NULL);
	}
	sync_free(sync);
}

static void test_sink(void **state)
{
	static const struct {
		uint64_t journal, position, begins;
	} asked[] = {
		{JOURNAL, 3, 0}, /* from the future */
		{JOURNAL + 1, 1, 0}, {0, 0, 0}, {JOURNAL, 2, 2}, {JOURNAL, 1, 1},
	};
	struct sync *sync = make_sync();
	Lvsmesh__Pb__Begin *said;
	uint8_t kind;
	size_t len;

	(void)state;
	for (unsigned int i = 1; i <= 2; i++) {
		struct entry entry = make_entry(i);

		assert_int_equal(sync_capture(sync, &entry, start), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		sync_open(sync, SUBSCRIBER, false, &peer.certificate, PEER_EPOCH, start);
		/* The publisher sends no frame before the Subscribe. */
		assert_int_equal(sync_output(sync, SUBSCRIBER, start, body, &kind, &len), -EAGAIN);
		assert_int_equal(ack(sync, 0), -SYNC_E_KIND);
		assert_int_equal(subscribe(sync, asked[i].journal, asked[i].position), 0);
		assert_int_equal(ack(sync, 0), -SYNC_E_KIND);
		assert_int_equal(sync_output(sync, SUBSCRIBER, start, body, &kind, &len), 0);
		assert_int_equal(kind, SYNC_KIND_BEGIN);
		said = lvsmesh__pb__begin__unpack(NULL, len, body);
		assert_true(said->journal == JOURNAL && said->end == 2);
		assert_true(said->start == asked[i].begins);
		lvsmesh__pb__begin__free_unpacked(said, NULL);
	}
	assert_int_equal(sync_refused(sync, SYNC_E_POSITION), 1);
	assert_int_equal(subscribe(sync, JOURNAL, 1), -SYNC_E_KIND);
	assert_int_equal(ack(sync, 2), -SYNC_E_POSITION); /* not sent yet */
	assert_int_equal(subscriber_output(sync, SUBSCRIBER, start, &len), 0);
	assert_int_equal(ack(sync, 2), 0);
	assert_int_equal(ack(sync, 1), -SYNC_E_ORDER);
	/* The other direction's kinds, unknown kinds, and what does not decode. */
	assert_int_equal(sync_receive(sync, SUBSCRIBER, SYNC_KIND_BATCH, body, len, start),
			 -SYNC_E_KIND);
	assert_int_equal(sync_receive(sync, SUBSCRIBER, SYNC_KIND_HEARTBEAT, body, 0, start),
			 -SYNC_E_KIND);
	assert_int_equal(sync_receive(sync, SUBSCRIBER, SYNC_KIND_BEGIN, body, 0, start),
			 -SYNC_E_KIND);
	assert_int_equal(sync_receive(sync, SUBSCRIBER, SYNC_KIND_MAX, body, 0, start),
			 -SYNC_E_KIND);
	assert_int_equal(sync_receive(sync, SUBSCRIBER, 0, body, 0, start), -SYNC_E_KIND);
	memset(body, 0xff, 64);
	assert_int_equal(sync_receive(sync, SUBSCRIBER, SYNC_KIND_ACK, body, 64, start),
			 -SYNC_E_MALFORMED);
	sync_free(sync);
}

/* A subscriber that talks and acknowledges nothing is stalled, in time, whatever else it sends. */
static void test_stalled(void **state)
{
	struct sync *sync = make_sync();
	struct entry entry = make_entry(1);
	struct sync_stream_status status;
	struct now now = start;
	size_t len;

	(void)state;
	sync_open(sync, SUBSCRIBER, false, &peer.certificate, PEER_EPOCH, now);
	assert_int_equal(subscribe(sync, 0, 0), 0);
	assert_int_equal(subscriber_output(sync, SUBSCRIBER, now, &len), -EAGAIN);
	/* No change waits to be acknowledged. */
	now.mono += 2 * SYNC_STALL;
	sync_tick(sync, now);
	assert_false(sync_stalled(sync, SUBSCRIBER, now));
	assert_int_equal(sync_capture(sync, &entry, now), 0);
	sync_tick(sync, now);
	now.mono += SYNC_STALL - 1;
	assert_false(sync_stalled(sync, SUBSCRIBER, now));
	now.mono++;
	sync_tick(sync, now);
	assert_true(sync_stalled(sync, SUBSCRIBER, now));
	sync_stream_status(sync, SUBSCRIBER, now, &status);
	assert_int_equal(status.lag, SYNC_STALL);
	assert_int_equal(status.behind, 1);
	/* An ack of the change that was there all the time is enough. */
	assert_int_equal(subscriber_output(sync, SUBSCRIBER, now, &len), 0);
	assert_int_equal(ack(sync, 1), 0);
	assert_false(sync_stalled(sync, SUBSCRIBER, now));
	sync_free(sync);
}

/* The Wants that a peer may send, and when. */
static void test_want(void **state)
{
	struct sync *sync = make_sync();
	uint32_t ranges[130] = {0, 4095};
	uint8_t kind;
	size_t len;

	(void)state;
	sync_open(sync, SUBSCRIBER, false, &peer.certificate, PEER_EPOCH, start);
	assert_int_equal(want(sync, ranges, 2, 0), -SYNC_E_KIND);
	assert_int_equal(subscribe(sync, JOURNAL, 0), 0);
	assert_int_equal(sync_output(sync, SUBSCRIBER, start, body, &kind, &len), 0);
	assert_int_equal(want(sync, ranges, 0, 0), -SYNC_E_MALFORMED);
	assert_int_equal(want(sync, ranges, 1, 0), -SYNC_E_MALFORMED);
	assert_int_equal(want(sync, ranges, 130, 0), -SYNC_E_MALFORMED);
	assert_int_equal(want(sync, ranges, 2, DIRECTORS_MAX + 1), -SYNC_E_MALFORMED);
	ranges[1] = 4096;
	assert_int_equal(want(sync, ranges, 2, 0), -SYNC_E_MALFORMED);
	ranges[0] = 4095;
	ranges[1] = 0;
	assert_int_equal(want(sync, ranges, 2, 0), -SYNC_E_MALFORMED);
	assert_int_equal(want(sync, ranges, 128, DIRECTORS_MAX), -SYNC_E_MALFORMED);
	ranges[1] = 4095;
	assert_int_equal(want(sync, ranges, 128, DIRECTORS_MAX), 0);
	assert_int_equal(want(sync, ranges, 128, DIRECTORS_MAX), -SYNC_E_ORDER);
	sync_free(sync);
}

/* Batches until the answer has ended; *ret_entries in all of them. */
static unsigned int answered(struct sync *sync, struct now *now, unsigned int *ret_entries)
{
	struct table_version version;
	struct batch_reader *reader;
	struct batch_head head = {0};
	struct entry entry;
	unsigned int batches = 0;
	uint32_t age;
	size_t len;

	*ret_entries = 0;
	assert_int_equal(batch_reader_new(&reader), 0);
	for (; !head.wanted_end; batches++) {
		now->mono++;
		assert_int_equal(subscriber_output(sync, SUBSCRIBER, *now, &len), 0);
		assert_int_equal(
			batch_read(reader, body + SIGNATURE_SIZE, len - SIGNATURE_SIZE, &head), 0);
		while (head.wanted && batch_next(reader, &entry, &version, &age))
			++*ret_entries;
	}
	batch_reader_free(reader);
	return batches;
}

/* A Want that no entry can match does not walk the table. */
static void test_want_nothing(void **state)
{
	struct sync_options options = {
		.identity = &us, .epoch = EPOCH, .journal = JOURNAL, .entries_max = 20000};
	uint32_t ranges[2] = {0, 4095};
	struct now now = start;
	unsigned int count;
	struct sync *sync;
	size_t len;

	(void)state;
	assert_int_equal(sync_new(&options, &sync), 0);
	for (unsigned int i = 0; i < 20000; i++) {
		struct entry entry = make_entry(i);

		assert_int_equal(sync_capture(sync, &entry, now), 0);
	}
	sync_open(sync, SUBSCRIBER, false, &peer.certificate, PEER_EPOCH, now);
	assert_int_equal(subscribe(sync, JOURNAL, 20000), 0);
	assert_int_equal(subscriber_next(sync, SUBSCRIBER, SYNC_KIND_BEGIN, now, &len), 0);
	assert_int_equal(want_without(sync, ranges, 2, &us.id, 1), 0);
	assert_int_equal(answered(sync, &now, &count), 1);
	assert_int_equal(count, 0);
	assert_int_equal(want_without(sync, ranges, 2, &peer.id, 1), 0);
	assert_true(answered(sync, &now, &count) > 1);
	assert_int_equal(count, 20000);
	sync_free(sync);
}

/* The message for the kernel has what is left of the timeout. */
static void test_inject(void **state)
{
	struct forged forged = good_batch(true);
	struct sync *sync = make_asking();
	struct kernel_wire_reader reader;
	struct sync_status status;
	struct entry entry;
	size_t len;

	(void)state;
	forged.age = 100;
	assert_int_equal(receive(sync, &forged), 0);
	assert_true(sync_inject_pending(sync));
	len = sync_inject(sync, start, body, sizeof(body));
	assert_int_equal(kernel_wire_read(&reader, body, len, 0), 0);
	assert_int_equal(kernel_wire_next(&reader, &entry), 1);
	/* The kernel reports a living flow again within a minute. */
	assert_int_equal(entry.timeout, 900 + 60 - 100);
	assert_int_equal(kernel_wire_next(&reader, &entry), 0);
	assert_false(sync_inject_pending(sync));
	/* Orphans: once more; then confirmed. */
	sync_inject_lost(sync);
	assert_true(sync_inject_pending(sync));
	assert_int_equal(sync_inject(sync, start, body, sizeof(body)), len);
	sync_injected(sync);
	sync_inject_lost(sync);
	assert_false(sync_inject_pending(sync));
	sync_status(sync, &status);
	assert_int_equal(status.injected, 1);
	assert_int_equal(status.inject_retries, 1);
	sync_free(sync);
}

/* The message for the kernel that is next: its entries, of one flow. */
static unsigned int injected(struct sync *sync, struct entry list[2])
{
	static uint8_t message[1024];
	struct kernel_wire_reader reader;
	unsigned int n = 0;
	size_t len = sync_inject(sync, start, message, sizeof(message));

	assert_true(len > 0);
	assert_int_equal(kernel_wire_read(&reader, message, len, 0), 0);
	while (kernel_wire_next(&reader, &list[n]) > 0)
		assert_true(++n <= 2);
	return n;
}

/* The kernel ignores the end of a connection that it holds with another real server. */
static void test_end_elsewhere(void **state)
{
	struct forged forged = good_batch(false);
	struct sync *sync = make_subscription();
	struct entry list[3];

	(void)state;
	assert_int_equal(receive(sync, &forged), 0);
	assert_int_equal(injected(sync, list), 1);
	sync_injected(sync);
	/* Its end, with the real server that the kernel has. */
	forged.head.first = 10;
	forged.head.last = 11;
	forged.version.hlc++;
	forged.entry.state = 4;
	forged.entry.flags |= ENTRY_INACTIVE;
	assert_int_equal(receive(sync, &forged), 0);
	assert_int_equal(injected(sync, list), 1);
	assert_true(list[0].flags & ENTRY_INACTIVE);
	sync_injected(sync);
	/* Its end, with another real server: each time a message that it lives comes first. */
	forged.head.first = 11;
	forged.head.last = 12;
	forged.version.hlc++;
	forged.entry.daddr[0]++;
	assert_int_equal(receive(sync, &forged), 0);
	for (unsigned int i = 0; i < 2; i++) {
		struct sync_status status;

		sync_status(sync, &status);
		assert_int_equal(status.inject_pending, 1);
		assert_int_equal(injected(sync, list), 2);
		assert_true(entry_agrees(&list[0], &forged.entry));
		assert_true(entry_agrees(&list[1], &forged.entry));
		assert_false(list[0].flags & ENTRY_INACTIVE);
		assert_true(list[1].flags & ENTRY_INACTIVE);
		sync_inject_lost(sync);
	}
	/* It lives elsewhere again, and has ended before it is known whether the kernel took that.
	 */
	for (unsigned int i = 0; i < 2; i++) {
		forged.head.first++;
		forged.head.last++;
		forged.version.hlc++;
		forged.entry.daddr[0] = 77;
		forged.entry.flags = i ? 3 | ENTRY_INACTIVE : 3;
		assert_int_equal(receive(sync, &forged), 0);
		assert_int_equal(injected(sync, list), i + 1);
	}
	sync_free(sync);
}

/* A pending injection does not override what the local kernel has carried since. */
static void test_stale_inject(void **state)
{
	struct forged forged = good_batch(true);
	struct sync *sync = make_asking();

	(void)state;
	assert_int_equal(receive(sync, &forged), 0);
	assert_int_equal(sync_capture(sync, &forged.entry, start), 0);
	assert_int_equal(sync_inject(sync, start, body, sizeof(body)), 0);
	sync_free(sync);
}

/* The entry that the table holds for a flow. */
static struct entry held(const struct sync *sync, const struct entry *entry,
			 struct sync_info *ret_info)
{
	struct entry found;
	uint64_t cursor = 0;

	while (sync_walk(sync, &cursor, &found, ret_info))
		if (memcmp(&found.flow, &entry->flow, sizeof(found.flow)) == 0)
			return found;
	fail_msg("not held");
	return found;
}

/* A peer returns an entry that we stamped before a restart, with a clock that was ten minutes
 * ahead: our kernel's reports since are newer, whatever their stamps, and whichever of the two came
 * first. */
static void test_earlier_life(void **state)
{
	struct forged forged = good_batch(true);
	struct entry ended = forged.entry;
	struct sync_info info;
	struct sync *sync;

	(void)state;
	ended.state = 4;
	forged.version.origin = certificate_id(&us.certificate);
	forged.version.hlc += (600ull * 1000) << 16;
	for (int order = 0; order < 6; order++) {
		sync = make_asking();
		if (order % 3 == 0)
			sync_capture(sync, &ended, start);
		if (order % 3 == 1)
			sync_adopt(sync, &ended, start);
		/* Once more by a daemon that slept. */
		if (order >= 3)
			sync_set_capture_floor(sync, start.wall);
		assert_int_equal(receive(sync, &forged), 0);
		if (order % 3 == 2)
			sync_adopt(sync, &ended, start);
		assert_int_equal(held(sync, &ended, &info).state, 4);
		assert_true(info.own);
		assert_true(info.hlc > forged.version.hlc);
		assert_false(sync_inject_pending(sync));
		sync_free(sync);
	}
	/* If the kernel agrees there is nothing to inject. */
	for (int order = 0; order < 2; order++) {
		sync = make_asking();
		if (order == 0)
			sync_adopt(sync, &forged.entry, start);
		assert_int_equal(receive(sync, &forged), 0);
		if (order == 1)
			sync_adopt(sync, &forged.entry, start);
		held(sync, &forged.entry, &info);
		assert_true(info.hlc == forged.version.hlc);
		assert_false(sync_inject_pending(sync));
		sync_free(sync);
	}
	/* While connections are read, ours are assumed to be in the kernel; those found win. */
	for (int order = 0; order < 2; order++) {
		sync = make_asking();
		sync_adopting(sync, order == 0);
		assert_int_equal(receive(sync, &forged), 0);
		held(sync, &forged.entry, &info);
		assert_int_equal(info.in_kernel, order == 0);
		assert_int_equal(sync_inject_pending(sync), order == 1);
		sync_adopt(sync, &ended, start);
		assert_int_equal(held(sync, &ended, &info).state, 4);
		assert_true(info.own);
		sync_free(sync);
	}
	/* An entry that we stamped before this host's boot wins over its kernel. */
	forged.version.hlc = ((start.wall - start.mono) / USEC_PER_MSEC - 1) << 16;
	for (int order = 0; order < 2; order++) {
		sync = make_asking();
		sync_adopting(sync, true);
		if (order == 0)
			sync_adopt(sync, &ended, start);
		assert_int_equal(receive(sync, &forged), 0);
		if (order == 1)
			sync_adopt(sync, &ended, start);
		assert_int_equal(held(sync, &ended, &info).state, 1);
		assert_true(sync_inject_pending(sync));
		sync_free(sync);
	}
	/* Another director's entry is newer than a found one, and than an older one of ours. */
	forged.version.origin = certificate_id(&peer.certificate);
	sync = make_asking();
	sync_adopting(sync, true);
	assert_int_equal(receive(sync, &forged), 0);
	sync_adopt(sync, &ended, start);
	assert_int_equal(held(sync, &ended, &info).state, 1);
	assert_true(sync_inject_pending(sync));
	sync_free(sync);
}

/* A lost entry is injected again, once for each sync_reinject(), and keeps its place. */
static void test_repair(void **state)
{
	struct forged forged = good_batch(true);
	struct sync *sync = make_asking();
	struct sync_status status;
	struct sync_info info;
	struct entry own = forged.entry, other = forged.entry;
	uint8_t data[4096];
	unsigned int n = 0;

	(void)state;
	own.flow.cport = 7;
	other.flow.cport = 8;
	assert_int_equal(sync_capture(sync, &own, start), 0);
	assert_int_equal(receive(sync, &forged), 0);
	while (sync_inject(sync, start, data, sizeof(data)) > 0)
		continue;
	sync_injected(sync);
	assert_false(sync_inject_pending(sync));

	assert_int_equal(sync_reinject(sync, &own.flow), 0);
	assert_int_equal(sync_reinject(sync, &forged.entry.flow), 0);
	assert_int_equal(sync_reinject(sync, &other.flow), 0); /* not held */
	assert_true(sync_inject_pending(sync));
	/* Room for one entry a message. */
	while (sync_inject(sync, start, data, 60) > 0)
		n++;
	assert_int_equal(n, 2);
	assert_false(sync_inject_pending(sync));
	held(sync, &own, &info);
	assert_true(info.own);
	sync_status(sync, &status);
	assert_int_equal(status.reinjected, 2);
	for (n = 0; sync_reinject(sync, &own.flow) == 0; n++)
		assert_in_range(n, 0, 100000);
	assert_true(n > 0);
	sync_free(sync);
}

/* A journal of many batches leaves no entry out and sends none twice. */
static void test_from_start(void **state)
{
	struct sync_options options = {.identity = &peer,
				       .epoch = PEER_EPOCH,
				       .journal = PEER_JOURNAL,
				       .entries_max = 20000};
	struct sync *publisher, *subscriber;
	struct sync_stream_status stream;
	struct sync_status status;
	struct now later = start;
	uint8_t kind;
	size_t len;

	(void)state;
	assert_int_equal(sync_new(&options, &publisher), 0);
	options.identity = &us;
	assert_int_equal(sync_new(&options, &subscriber), 0);
	for (unsigned int i = 0; i < 20000; i++) {
		struct entry entry = make_entry(i);

		assert_int_equal(sync_capture(publisher, &entry, start), 0);
	}
	sync_open(publisher, SUBSCRIBER, false, &us.certificate, EPOCH, start);
	assert_int_equal(subscribe_to(publisher, SUBSCRIBER, 0, 0, start), 0);
	sync_open(subscriber, SUBSCRIPTION, true, &peer.certificate, PEER_EPOCH, start);
	assert_int_equal(subscription_says(subscriber, &len), SYNC_KIND_SUBSCRIBE);
	for (unsigned int i = 0; i < 500; i++) {
		later.mono += USEC_PER_MSEC;
		while (sync_output(publisher, SUBSCRIBER, later, body, &kind, &len) == 0)
			assert_int_equal(
				sync_receive(subscriber, SUBSCRIPTION, kind, body, len, later), 0);
	}
	assert_int_equal(entries(subscriber), 20000);
	sync_status(subscriber, &status);
	assert_int_equal(status.stale, 0);
	assert_int_equal(status.learned, 20000);
	sync_stream_status(subscriber, SUBSCRIPTION, later, &stream);
	assert_true(stream.synced);
	sync_free(publisher);
	sync_free(subscriber);
}

/* A report of the kernel while the daemon was stalled is older than an entry that a peer has
 * published since, whichever of the two comes first, and newer than the one that we had. */
static void test_late(void **state)
{
	usec_t asleep = start.wall + USEC_PER_SEC;
	struct now woke = {.mono = start.mono + 9 * USEC_PER_SEC,
			   .wall = start.wall + 9 * USEC_PER_SEC};
	struct entry first = make_entry(1), second = make_entry(2);
	struct sync *sync = make_subscription();
	struct forged forged = good_batch(false);
	struct sync_status status;

	(void)state;
	forged.version.hlc = hlc_version(asleep + USEC_PER_SEC);
	forged.head.last = 5;
	assert_int_equal(sync_capture(sync, &second, start), 0);
	assert_int_equal(receive(sync, &forged), 0);
	sync_set_capture_floor(sync, asleep);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(sync_capture(sync, &first, woke), 0);
		assert_int_equal(sync_capture(sync, &second, woke), 0);
	}
	sync_status(sync, &status);
	assert_int_equal(status.stale, 2);
	assert_int_equal(status.captured, 3);
	assert_int_equal(status.entries_own, 1);

	forged.entry = second;
	forged.head.first = 5;
	forged.head.last = 10;
	assert_int_equal(receive(sync, &forged), 0);
	sync_status(sync, &status);
	assert_int_equal(status.stale, 2);
	assert_int_equal(status.entries_own, 0);
	/* The kernel's reports of now are newer. */
	sync_set_capture_floor(sync, 0);
	assert_int_equal(sync_capture(sync, &first, woke), 0);
	sync_status(sync, &status);
	assert_int_equal(status.entries_own, 1);
	sync_free(sync);
}

/* Two peers at the same place get the same signed bytes; one that comes much later gets new ones,
 * with the ages that the entries have then. */
static void test_signed_once(void **state)
{
	struct sync *sync = make_sync(), *late;
	struct entry entry = make_entry(1);
	struct kernel_wire_reader reader;
	struct sync_status status;
	struct now now = start;
	size_t len;

	(void)state;
	for (unsigned int stream = SUBSCRIBER; stream < SUBSCRIBER + 3; stream++)
		sync_open(sync, stream, false, &peer.certificate, PEER_EPOCH, start);
	assert_int_equal(sync_capture(sync, &entry, start), 0);
	for (unsigned int stream = SUBSCRIBER; stream < SUBSCRIBER + 3; stream++) {
		assert_int_equal(subscribe_to(sync, stream, JOURNAL, 0, start), 0);
	}
	assert_int_equal(subscriber_output(sync, SUBSCRIBER, now, &len), 0);
	assert_int_equal(subscriber_output(sync, SUBSCRIBER + 1, now, &len), 0);
	sync_status(sync, &status);
	assert_int_equal(status.batches_sent, 1);

	now.mono += 100 * USEC_PER_SEC;
	assert_int_equal(subscriber_output(sync, SUBSCRIBER + 2, now, &len), 0);
	sync_free(sync);

	/* The subscriber is the peer: what it injects has 100 s less. */
	struct sync_options options = {.identity = &peer, .epoch = PEER_EPOCH, .entries_max = 10};
	uint8_t subscribe[64], kind;
	size_t subscribe_len;

	assert_int_equal(sync_new(&options, &late), 0);
	sync_open(late, SUBSCRIPTION, true, &us.certificate, EPOCH, now);
	assert_int_equal(sync_output(late, SUBSCRIPTION, now, subscribe, &kind, &subscribe_len), 0);
	uint8_t *batch = malloc(len);

	memcpy(batch, body, len);
	assert_int_equal(begin(late, JOURNAL, 0, 1), 0);
	assert_int_equal(sync_receive(late, SUBSCRIPTION, SYNC_KIND_BATCH, batch, len, now), 0);
	free(batch);
	len = sync_inject(late, now, body, sizeof(body));
	assert_int_equal(kernel_wire_read(&reader, body, len, 0), 0);
	assert_int_equal(kernel_wire_next(&reader, &entry), 1);
	assert_int_equal(entry.timeout, 900 + 60 - 100);
	sync_free(late);
}

/* The journal's newest change is gone before the peer has got it: expired, or a peer carries the
 * flow now. A subscriber that stands before it gets an empty batch, which it accepts. */
static void test_journal_gap(void **state)
{
	struct sync_options options = {
		.identity = &peer, .epoch = PEER_EPOCH, .journal = PEER_JOURNAL, .entries_max = 10};
	struct sync *publisher, *subscriber = make_subscription();
	struct forged forged = good_batch(false);
	struct entry brief = make_entry(2);
	struct sync_stream_status status;
	struct now later = start;
	size_t len;

	(void)state;
	assert_int_equal(sync_new(&options, &publisher), 0);
	brief.timeout = 1;
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(sync_capture(publisher, &forged.entry, start), 0);
	assert_int_equal(receive(subscriber, &forged), 0);
	assert_int_equal(sync_capture(publisher, &brief, start), 0);
	later.mono += 20 * USEC_PER_SEC;
	sync_tick(publisher, later);
	assert_int_equal(entries(publisher), 1);

	sync_open(publisher, SUBSCRIBER, false, &us.certificate, EPOCH, later);
	assert_int_equal(subscribe_to(publisher, SUBSCRIBER, PEER_JOURNAL, 10, later), 0);
	assert_int_equal(subscriber_output(publisher, SUBSCRIBER, later, &len), 0);
	assert_int_equal(sync_receive(subscriber, SUBSCRIPTION, SYNC_KIND_BATCH, body, len, later),
			 0);
	sync_stream_status(subscriber, SUBSCRIPTION, later, &status);
	assert_int_equal(status.position, 11);
	sync_stream_status(publisher, SUBSCRIBER, later, &status);
	assert_int_equal(status.behind, 0);
	sync_free(publisher);
	sync_free(subscriber);
}

/* An entry that changed again while a batch was on its way comes behind it: before that the peer's
 * acknowledgements do not count. */
static void test_changed_again(void **state)
{
	struct sync_options options = {
		.identity = &us, .epoch = EPOCH, .journal = JOURNAL, .entries_max = 20000};
	struct sync_stream_status status;
	struct entry entry = make_entry(10000);
	struct batch_reader *reader;
	struct batch_head head;
	struct now now = start;
	struct sync *sync;
	size_t len;

	(void)state;
	assert_int_equal(sync_new(&options, &sync), 0);
	assert_int_equal(batch_reader_new(&reader), 0);
	for (unsigned int i = 1; i <= 10000; i++) {
		struct entry other = make_entry(i);

		assert_int_equal(sync_capture(sync, &other, start), 0);
	}
	sync_open(sync, SUBSCRIBER, false, &peer.certificate, PEER_EPOCH, start);
	assert_int_equal(subscribe(sync, 0, 0), 0);
	for (head.last = 0; head.last != 10001; now.mono += 10 * USEC_PER_MSEC) {
		assert_int_equal(subscriber_output(sync, SUBSCRIBER, now, &len), 0);
		assert_int_equal(
			batch_read(reader, body + SIGNATURE_SIZE, len - SIGNATURE_SIZE, &head), 0);
		/* The entry changes again: acknowledging the first batches does not cover it. */
		if (head.first == 0)
			assert_int_equal(sync_capture(sync, &entry, start), 0);
		assert_int_equal(ack(sync, head.last), 0);
		sync_stream_status(sync, SUBSCRIBER, now, &status);
		assert_int_equal(status.position, head.last == 10001 ? 10001 : 0);
	}
	batch_reader_free(reader);
	sync_free(sync);
}

/* At each start, entries found in the kernel have another version, whatever the epoch is. */
static void test_found_versions(void **state)
{
	uint64_t before = 0;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		struct sync_options options = {.identity = &us,
					       .epoch = EPOCH,
					       .started = start.wall + i * USEC_PER_SEC,
					       .entries_max = 10};
		struct entry entry = make_entry(1);
		struct sync_info info;
		struct sync *sync;
		uint64_t cursor = 0;

		assert_int_equal(sync_new(&options, &sync), 0);
		assert_int_equal(sync_adopt(sync, &entry, start), 0);
		assert_true(sync_walk(sync, &cursor, &entry, &info));
		assert_true(info.hlc > before && info.hlc < HLC_TIMES);
		before = info.hlc;
		sync_free(sync);
	}
}

/* A journal also publishes entries that replaced its director's own. The highest version noted for
 * the journal leaves them out: others ask for all above it. */
static void test_told_for_others(void **state)
{
	struct sync *sync = make_subscription();
	struct forged forged = good_batch(false);
	Lvsmesh__Pb__Orphans *orphans;
	size_t len;

	(void)state;
	assert_int_equal(heartbeat(sync, 10, true), 0);
	forged.head.last = 5;
	assert_int_equal(receive(sync, &forged), 0);
	forged.head = (struct batch_head){.first = 5, .last = 10};
	forged.entry = make_entry(2);
	forged.version = (struct table_version){forged.version.hlc + 1000, 1234};
	assert_int_equal(receive(sync, &forged), 0);
	assert_int_equal(entries(sync), 2);
	sync_close(sync, SUBSCRIPTION);
	sync_open(sync, SUBSCRIBER, false, &peer.certificate, PEER_EPOCH, start);
	assert_int_equal(subscribe(sync, 0, 0), 0);
	assert_int_equal(subscriber_next(sync, SUBSCRIBER, SYNC_KIND_ORPHANS, start, &len), 0);
	orphans = lvsmesh__pb__orphans__unpack(NULL, len, body);
	assert_int_equal(orphans->n_ids, 1);
	assert_int_equal(orphans->positions[0], 10);
	assert_true(orphans->hlcs[0] == forged.version.hlc - 1000);
	lvsmesh__pb__orphans__free_unpacked(orphans, NULL);
	sync_free(sync);
}

/* One millisecond: an entry is captured, and peers whose sockets are free take what they can. */
static void let_flow(struct sync *sync, unsigned int ms, bool both, struct now *now)
{
	for (unsigned int i = 0; i < ms; i++) {
		struct entry entry = make_entry(i % 500);
		size_t len;

		now->mono += USEC_PER_MSEC;
		assert_int_equal(sync_capture(sync, &entry, *now), 0);
		for (unsigned int stream = SUBSCRIBER;
		     stream < (both ? SUBSCRIBER + 2 : SUBSCRIBER + 1); stream++)
			while (subscriber_output(sync, stream, *now, &len) == 0)
				;
	}
}

/* A peer whose socket was full for a while is level with the others at once, and from then on gets
 * the same batches, each signed once. */
static void test_falls_behind(void **state)
{
	struct sync *sync = make_sync();
	struct sync_stream_status stream;
	struct sync_status before, after;
	struct now now = start;

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		sync_open(sync, SUBSCRIBER + i, false, &peer.certificate, PEER_EPOCH, now);
		assert_int_equal(subscribe_to(sync, SUBSCRIBER + i, 0, 0, now), 0);
	}
	let_flow(sync, 20, true, &now);
	let_flow(sync, 50, false, &now);
	let_flow(sync, 8, true, &now);
	sync_stream_status(sync, SUBSCRIBER + 1, now, &stream);
	assert_true(stream.behind <= 5);
	sync_status(sync, &before);
	let_flow(sync, 400, true, &now);
	sync_stream_status(sync, SUBSCRIBER + 1, now, &stream);
	assert_true(stream.behind <= 5);
	sync_status(sync, &after);
	assert_in_range(after.batches_sent - before.batches_sent, 90, 101);
	sync_free(sync);
}

static void test_expiry(void **state)
{
	struct sync *sync = make_sync();
	struct entry entry = make_entry(1);
	struct now now = start;

	(void)state;
	assert_int_equal(sync_capture(sync, &entry, start), 0);
	now.mono += (900 + 60) * USEC_PER_SEC;
	sync_tick(sync, now);
	assert_int_equal(entries(sync), 1);
	now.mono += 2 * USEC_PER_SEC;
	sync_tick(sync, now);
	assert_int_equal(entries(sync), 0);
	sync_free(sync);
}

/* A journal whose end never comes, and whose positions jump: we never count it as caught up, send
 * no Want because of it, and follow its positions. */
static void test_lying_journal(void **state)
{
	struct forged forged = good_batch(false);
	struct sync *sync = make_sync();
	struct sync_stream_status status;
	uint8_t kind;
	size_t len;

	(void)state;
	sync_open(sync, SUBSCRIPTION, true, &peer.certificate, PEER_EPOCH, start);
	assert_int_equal(subscription_says(sync, &len), SYNC_KIND_SUBSCRIBE);
	assert_int_equal(begin(sync, PEER_JOURNAL, 0, UINT64_MAX), 0);
	for (uint64_t position = 1; position < UINT64_MAX / 4; position *= 4) {
		forged.head.last = position;
		assert_int_equal(heartbeat(sync, position, true), 0);
		assert_int_equal(receive(sync, &forged), 0);
		/* Positions that the subscriber has passed already. */
		assert_int_equal(heartbeat(sync, position - 1, true), -SYNC_E_POSITION);
		assert_int_equal(receive(sync, &forged), -SYNC_E_ORDER);
		sync_join(sync, start);
		sync_tick(sync, start);
		assert_int_equal(sync_output(sync, SUBSCRIPTION, start, body, &kind, &len),
				 -EAGAIN);
		sync_stream_status(sync, SUBSCRIPTION, start, &status);
		assert_int_equal(status.position, position);
		assert_false(status.synced);
		forged.head.first = position;
	}
	assert_int_equal(entries(sync), 1);
	sync_free(sync);
}

/* Answers the Want that is due with an entry that all have. False: there is none. */
static bool answer(struct sync *sync, const struct forged *forged)
{
	uint8_t kind;
	size_t len;

	if (sync_output(sync, SUBSCRIPTION, start, body, &kind, &len) < 0)
		return false;
	assert_int_equal(kind, SYNC_KIND_WANT);
	assert_int_equal(receive(sync, forged), 0);
	return true;
}

/* A peer that is complete, or not, or complete again, changes nothing: we ask once. */
static void test_lying_complete(void **state)
{
	struct forged forged = good_batch(true);
	struct sync *sync = make_sync();
	unsigned int wants = 0;
	size_t len;

	(void)state;
	sync_open(sync, SUBSCRIPTION, true, &peer.certificate, PEER_EPOCH, start);
	assert_int_equal(subscription_says(sync, &len), SYNC_KIND_SUBSCRIBE);
	assert_int_equal(begin(sync, PEER_JOURNAL, 0, 0), 0);
	assert_int_equal(heartbeat(sync, 0, true), 0);
	sync_join(sync, start);
	for (unsigned int i = 0; i < 100; i++) {
		assert_int_equal(heartbeat(sync, 0, i % 2), 0);
		sync_tick(sync, start);
		wants += answer(sync, &forged);
	}
	assert_int_equal(wants, 1);
	assert_int_equal(entries(sync), 1);
	sync_free(sync);
}

/* A peer that claims to have followed more of the dead each time costs one question at a time, and
 * none before the last is answered. */
static void test_lying_lost(void **state)
{
	struct forged forged = good_batch(true), journal = good_batch(false);
	struct sync *sync = make_subscription();
	unsigned int wants = 0;

	(void)state;
	sync_join(sync, start);
	assert_int_equal(receive(sync, &journal), 0);
	forged.head.first = forged.head.last = 10;
	for (uint64_t i = 1; i <= 1000; i++) {
		orphan(sync, 5000 + i % 300, i, i);
		sync_tick(sync, start);
		if (i % 10 == 0)
			wants += answer(sync, &forged);
	}
	assert_int_equal(wants, 100);
	/* All of them were asked for without an end, and the peer is followed all the same. */
	assert_true(answer(sync, &forged));
	assert_false(answer(sync, &forged));
	journal.head.first = 10;
	journal.head.last = 11;
	assert_int_equal(receive(sync, &journal), 0);
	assert_int_equal(entries(sync), 1);
	sync_free(sync);
}

/* A subscriber that wants everything, again and again, gets a piece a turn, behind the journal. */
static void test_greedy(void **state)
{
	struct sync *sync = make_sync();
	uint32_t ranges[2] = {0, 4095};
	struct now now = start;
	struct batch_head head;
	struct batch_reader *reader;
	uint8_t kind;
	size_t len;

	(void)state;
	assert_int_equal(batch_reader_new(&reader), 0);
	sync_open(sync, SUBSCRIBER, false, &peer.certificate, PEER_EPOCH, now);
	assert_int_equal(subscribe(sync, JOURNAL, 0), 0);
	assert_int_equal(subscriber_output(sync, SUBSCRIBER, now, &len), -EAGAIN);
	for (unsigned int i = 1; i <= 50; i++) {
		struct entry entry = make_entry(i);

		assert_int_equal(want(sync, ranges, 2, 0), 0);
		assert_int_equal(want(sync, ranges, 2, 0), -SYNC_E_ORDER);
		assert_int_equal(sync_capture(sync, &entry, now), 0);
		now.mono += 10 * USEC_PER_MSEC;
		for (unsigned int wanted = 0; wanted < 2; wanted++) {
			assert_int_equal(sync_output(sync, SUBSCRIBER, now, body, &kind, &len), 0);
			assert_int_equal(kind, SYNC_KIND_BATCH);
			assert_int_equal(batch_read(reader, body + SIGNATURE_SIZE,
						    len - SIGNATURE_SIZE, &head),
					 0);
			assert_int_equal(head.wanted, wanted);
			assert_int_equal(head.last, i);
		}
		assert_true(head.wanted_end);
		assert_int_equal(sync_output(sync, SUBSCRIBER, now, body, &kind, &len), -EAGAIN);
	}
	batch_reader_free(reader);
	sync_free(sync);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_acks),
		cmocka_unit_test(test_begin),
		cmocka_unit_test(test_stalled),
		cmocka_unit_test(test_want),
		cmocka_unit_test(test_want_nothing),
		cmocka_unit_test(test_completes),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_shares_lost),
		cmocka_unit_test(test_orphans),
		cmocka_unit_test(test_repaired_from_peers),
		cmocka_unit_test(test_silent_sums),
		cmocka_unit_test(test_sums_of_new_streams),
		cmocka_unit_test(test_lying_sums),
		cmocka_unit_test(test_lying_journal),
		cmocka_unit_test(test_lying_complete),
		cmocka_unit_test(test_lying_lost),
		cmocka_unit_test(test_greedy),
		cmocka_unit_test(test_refused_batches),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_lost_of_an_older_build),
		cmocka_unit_test(test_want_from_an_older_build),
		cmocka_unit_test(test_sink),
		cmocka_unit_test(test_inject),
		cmocka_unit_test(test_end_elsewhere),
		cmocka_unit_test(test_stale_inject),
		cmocka_unit_test(test_from_start),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_signed_once),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_changed_again),
		cmocka_unit_test(test_found_versions),
		cmocka_unit_test(test_told_for_others),
		cmocka_unit_test(test_journal_gap),
		cmocka_unit_test(test_falls_behind),
		cmocka_unit_test(test_earlier_life),
		cmocka_unit_test(test_repair),
	};

	if (sodium_init() < 0)
		return 1;
	fixture_identity(1, 1, &us);
	fixture_identity(1, 2, &peer);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
