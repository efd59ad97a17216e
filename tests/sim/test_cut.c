/* A stream that is cut behind every single byte of what two directors say to each other, from the
 * handshake over a join and changes to a repair: the next one makes good whatever the first left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "proto/session/session.h"
#include "sync/sync_private.h"
#include "tests/identity_fixture.h"

enum { ESTABLISHED = 1, FIN_WAIT = 4 };

#define STEP (100 * USEC_PER_MSEC)
#define OWN 12     /* entries that the publisher captured */
#define LEARNED 11 /* that it learned of a director that is gone */
#define CHANGED 5
#define PIPE (2 * SYNC_BODY_MAX)
/* While the stream waits for the sums, and within them (one large frame that has no effect before
 * its end), it is cut behind one byte in so many. */
#define COARSE 509

/* One end of a stream. */
struct end {
	struct sync *sync;
	struct session *session;
	unsigned int number;
	bool source;
	bool open; /* the peer has proved who it is */
};

struct wire {
	bool up;
	struct end ends[2]; /* the subscriber, the publisher */
};

struct run {
	struct now now;
	struct sync *publisher, *subscriber;
	struct wire wire;
	size_t said;       /* bytes, in all streams */
	size_t cut;        /* behind so many of them */
	size_t dull[2];    /* where it waits for sums, and where these end */
	unsigned int cuts; /* that were made */
	uint64_t drawn;
};

static struct identity identities[4]; /* 0: the subscriber, 1: the publisher, 2: gone */

static struct entry make_entry(unsigned int i, uint16_t state)
{
	struct entry entry = {.state = state, .timeout = 900, .dport = 80, .flags = 3};

	entry.flow.family = i % 3 ? AF_INET : AF_INET6;
	entry.flow.protocol = IPPROTO_TCP;
	entry.flow.caddr[0] = 10;
	entry.flow.cport = (uint16_t)(1000 + i);
	entry.flow.vport = 80;
	entry.daddr[0] = (uint8_t)(1 + i % 2);
	return entry;
}

static struct sync *make_sync(unsigned int who)
{
	struct sync_options options = {.identity = &identities[who],
				       .epoch = 100 + who,
				       .journal = 1000 + who,
				       .entries_max = 1000};
	struct sync *sync;

	assert_int_equal(sync_new(&options, &sync), 0);
	return sync;
}

static void capture(struct run *run, struct sync *sync, unsigned int i, uint16_t state)
{
	struct entry entry = make_entry(i, state);

	assert_int_equal(sync_capture(sync, &entry, run->now), 0);
}

static void stream_open(struct run *run, struct sync *from, struct sync *to)
{
	struct wire *wire = &run->wire;

	wire->up = true;
	for (unsigned int i = 0; i < 2; i++) {
		struct sync *sync = i ? from : to;
		struct session_options options = {
			.identity = sync->identity,
			.dialer = i == 0,
			.epoch = sync->epoch,
			.versions = VERSION_RANGE,
		};

		store_le64(options.nonce, ++run->drawn);
		wire->ends[i] = (struct end){.sync = sync, .number = i, .source = i == 0};
		assert_int_equal(session_new(&options, &wire->ends[i].session), 0);
	}
}

static void stream_close(struct run *run)
{
	struct wire *wire = &run->wire;

	for (unsigned int i = 0; wire->up && i < 2; i++) {
		if (wire->ends[i].open)
			sync_close(wire->ends[i].sync, wire->ends[i].number);
		session_free(wire->ends[i].session);
	}
	wire->up = false;
}

static void end_take(struct run *run, struct end *end, const uint8_t *data, size_t len)
{
	while (len > 0) {
		struct session_frame frame;
		size_t used = 0;
		int r = session_feed(end->session, data, len, run->now.wall, &used, &frame);

		assert_true(r >= 0);
		if (!end->open && session_ready(end->session)) {
			end->open = true;
			sync_open(end->sync, end->number, end->source, session_peer(end->session),
				  session_peer_epoch(end->session), run->now);
		}
		if (r == 1)
			assert_int_equal(sync_receive(end->sync, end->number, frame.kind,
						      frame.body, frame.len, run->now),
					 0);
		data += used;
		len -= used;
	}
}

/* Writes one frame, or a piece of the handshake. */
static size_t end_say(struct run *run, struct end *end, uint8_t *data)
{
	size_t len = session_output(end->session, data, PIPE);
	uint8_t kind;

	if (len > 0 || !end->open ||
	    sync_output(end->sync, end->number, run->now, data + SESSION_HEADER, &kind, &len) < 0)
		return len;
	assert_int_equal(
		session_seal(end->session, kind, data + SESSION_HEADER, len, data, PIPE, &len), 0);
	if (kind == SYNC_KIND_SUMS && !run->dull[1])
		run->dull[1] = run->said + len;
	return len;
}

/* Exchanges all that both have to send now, unless the stream is cut. */
static void talk(struct run *run)
{
	static uint8_t data[PIPE];
	bool more = true;

	while (more && run->wire.up) {
		more = false;
		for (unsigned int i = 0; i < 2 && run->wire.up; i++) {
			size_t len = end_say(run, &run->wire.ends[i], data);
			bool cut = run->said < run->cut && run->said + len >= run->cut;

			more |= len > 0;
			run->said += len;
			end_take(run, &run->wire.ends[!i], data,
				 cut ? len - (run->said - run->cut) : len);
			if (cut)
				stream_close(run);
		}
	}
}

static void step(struct run *run, struct sync *from, struct sync *to)
{
	uint8_t message[2048];

	if (!run->wire.up) {
		run->cuts++;
		stream_open(run, from, to);
	}
	talk(run);
	for (unsigned int i = 0; i < 2; i++) {
		struct sync *sync = i ? from : to;

		while (sync_inject(sync, run->now, message, sizeof(message)) > 0)
			;
		sync_injected(sync);
		sync_tick(sync, run->now);
	}
	run->now.mono += STEP;
	run->now.wall += STEP;
}

static bool caught_up(struct run *run)
{
	struct sync_stream_status status;

	if (!run->wire.up || !run->wire.ends[0].open)
		return false;
	sync_stream_status(run->subscriber, 0, run->now, &status);
	return status.synced && status.behind == 0;
}

static bool is_complete(const struct sync *sync)
{
	struct sync_status status;

	sync_status(sync, &status);
	return status.complete;
}

/* The publisher learns entries of a director that is gone, and captures some itself. */
static void prepare(struct run *run)
{
	struct sync *gone = make_sync(2);

	for (unsigned int i = 0; i < LEARNED; i++)
		capture(run, gone, i, ESTABLISHED);
	stream_open(run, gone, run->publisher);
	for (unsigned int i = 0; i < 20; i++)
		step(run, gone, run->publisher);
	stream_close(run);
	sync_free(gone);
	sync_join(run->publisher, run->now);
	sync_tick(run->publisher, run->now);
	assert_true(is_complete(run->publisher));
	for (unsigned int i = LEARNED; i < LEARNED + OWN; i++)
		capture(run, run->publisher, i, ESTABLISHED);
	run->said = 0;
}

static void forget(struct sync *sync, unsigned int i)
{
	struct entry entry = make_entry(i, ESTABLISHED);
	table_ref ref = table_find(sync->table, &entry.flow);

	assert_true(ref != 0);
	table_drop(sync->table, ref);
}

/* Steps until the condition holds. */
#define UNTIL(run, condition)                                                                      \
	for (unsigned int steps_ = 0; !(condition); steps_++) {                                    \
		assert_true(steps_ < 3000);                                                        \
		step(run, (run)->publisher, (run)->subscriber);                                    \
	}

static void assert_equal_tables(struct run *run)
{
	struct sync_info info;
	struct entry entry;
	uint64_t cursor = 0;
	unsigned int n = 0;

	while (sync_walk(run->publisher, &cursor, &entry, &info)) {
		table_ref ref = table_find(run->subscriber->table, &entry.flow);
		struct table_meta meta;
		struct entry there;

		assert_true(ref != 0);
		table_get(run->subscriber->table, ref, &there, &meta);
		assert_true(entry_agrees(&entry, &there));
		assert_true(meta.version.hlc == info.hlc && meta.version.origin == info.origin);
		n++;
	}
	assert_int_equal(n, OWN + LEARNED);
	assert_int_equal(table_count(run->subscriber->table), n);
}

static void assert_counters(const struct run *run)
{
	struct sync_status at, of;

	sync_status(run->subscriber, &at);
	sync_status(run->publisher, &of);
	for (int error = 1; error < SYNC_E_MAX; error++) {
		assert_int_equal(sync_refused(run->publisher, error), 0);
		assert_int_equal(sync_refused(run->subscriber, error), 0);
	}
	/* Each once, the changes, and the one that was forgotten. */
	assert_int_equal(at.learned, OWN + LEARNED + CHANGED + 1);
	assert_int_equal(at.repaired_from_peers, 1);
	assert_int_equal(at.orphans_learned, 0);
	assert_int_equal(of.learned, LEARNED);
	assert_int_equal(
		at.concurrent_updates + at.conflicts + of.concurrent_updates + of.conflicts, 0);
	/* Entries that were merged and not acknowledged come again, once a cut. */
	assert_true(at.stale <= run->cuts * (OWN + LEARNED));
}

/* Returns how many bytes were sent. */
static size_t session_cut_at(size_t cut, size_t ret_dull[2])
{
	struct run run = {.now = {.mono = 50 * USEC_PER_SEC, .wall = FIXTURE_WALL}};
	struct sync_status status;

	run.publisher = make_sync(1);
	run.subscriber = make_sync(0);
	prepare(&run);
	run.cut = cut;
	stream_open(&run, run.publisher, run.subscriber);
	UNTIL(&run, caught_up(&run));
	sync_join(run.subscriber, run.now);
	UNTIL(&run, is_complete(run.subscriber));
	for (unsigned int i = LEARNED; i < LEARNED + CHANGED; i++)
		capture(&run, run.publisher, i, FIN_WAIT);
	UNTIL(&run, caught_up(&run) && run.wire.ends[0].sync->streams[0]->subscription.position ==
					       OWN + CHANGED);
	assert_equal_tables(&run);
	forget(run.subscriber, 2);
	run.dull[0] = run.said;
	do {
		step(&run, run.publisher, run.subscriber);
		sync_status(run.subscriber, &status);
	} while (status.repaired_from_peers == 0 && status.tables_compared < 20);
	assert_equal_tables(&run);
	assert_counters(&run);
	if (cut == 0)
		assert_int_equal(run.cuts, 0);
	else
		assert_true(run.cuts <= 1);
	memcpy(ret_dull, run.dull, sizeof(run.dull));
	stream_close(&run);
	sync_free(run.publisher);
	sync_free(run.subscriber);
	return run.said;
}

static void test_cut_everywhere(void **state)
{
	size_t dull[2], ignored[2], all = session_cut_at(0, dull);

	(void)state;
	assert_true(dull[0] > 1000 && dull[1] > dull[0] && all > dull[1]);
	for (size_t cut = 1; cut <= all; cut++) {
		if (cut <= dull[0] || cut + 32 > dull[1] || cut % COARSE == 0)
			session_cut_at(cut, ignored);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_everywhere),
	};

	if (sodium_init() < 0)
		return 1;
	for (uint8_t i = 0; i < ARRAY_SIZE(identities); i++)
		fixture_identity(1, (uint8_t)(i + 1), &identities[i]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
