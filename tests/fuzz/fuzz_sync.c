/* Frames from an authenticated peer, on a subscription and on a subscriber: the first byte is the
 * kind, the second chooses the stream; a batch is signed here, so that what is behind the signature
 * is reached. Then everything is read back: sent to another peer, and to the kernel. */
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#include "proto/session/seal.h"
#include "sync/fact.h"
#include "sync/sync.h"
#include "tests/identity_fixture.h"

#define SUBSCRIPTION 0
#define SUBSCRIBER 1

static struct identity us, peer;
static uint8_t body[SYNC_BODY_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drain(struct sync *sync, struct now now)
{
	uint64_t cursor = 0;
	struct fact fact;
	uint8_t kind;
	size_t len;

	for (int i = 0; i < 8 && sync_output(sync, SUBSCRIBER, now, body, &kind, &len) == 0; i++)
		assert(len <= SYNC_BODY_MAX);
	while (sync_inject(sync, now, body, sizeof(body)) > 0)
		;
	sync_injected(sync);
	while (sync_fact_next(sync, now, &fact))
		assert(fact.len <= FACT_VALUE_MAX &&
		       (fact.kind == FACT_SETTING || fact.origin != us.id));
	while (sync_fact_walk(sync, now, &cursor, &fact))
		assert(fact.len <= FACT_VALUE_MAX);
}

/* Two streams in the state in which the kind is expected: before what opens them, or after, when
 * the peer is complete and was asked for a share. */
static void open_streams(struct sync *sync, uint8_t kind, struct now now)
{
	/* journal 600, from 0 to 0, with facts; complete; takes facts */
	static const uint8_t begin[] = {0x09, 0x58, 0x02, 0, 0, 0, 0, 0, 0, 0x28, 1},
			     complete[] = {0x18, 1}, subscribe[] = {0x20, 1};
	struct fact fact = {.kind = FACT_SETTING, .timeout = 900, .len = 1};
	struct entry entry = {.flow = {.family = AF_INET, .protocol = IPPROTO_TCP, .cport = 5},
			      .state = 1,
			      .timeout = 900};
	uint8_t made;
	size_t len;

	sync_capture(sync, &entry, now);
	sync_publish(sync, &fact, now);
	fact.kind = FACT_RESULT;
	sync_publish(sync, &fact, now);
	if (kind == SYNC_KIND_SUMS || kind == SYNC_KIND_ORPHANS)
		sync_join(sync, now);
	sync_tick(sync, now);
	sync_open(sync, SUBSCRIPTION, true, &peer.certificate, 500, now);
	sync_output(sync, SUBSCRIPTION, now, body, &made, &len);
	if (kind != SYNC_KIND_BEGIN) {
		sync_receive(sync, SUBSCRIPTION, SYNC_KIND_BEGIN, begin, sizeof(begin), now);
		sync_receive(sync, SUBSCRIPTION, SYNC_KIND_HEARTBEAT, complete, sizeof(complete),
			     now);
		sync_join(sync, now);
		assert(made == SYNC_KIND_SUBSCRIBE);
		sync_output(sync, SUBSCRIPTION, now, body, &made, &len);
	}
	sync_open(sync, SUBSCRIBER, false, &peer.certificate, 500, now);
	if (kind != SYNC_KIND_SUBSCRIBE)
		sync_receive(sync, SUBSCRIBER, SYNC_KIND_SUBSCRIBE, subscribe, sizeof(subscribe),
			     now);
	drain(sync, now);
}

/* The last position in a batch, field 2: what its signature is over. Field 1 is left out if it is
 * 0. */
static uint64_t last_of(const uint8_t *data, size_t len)
{
	if (len >= 9 && data[0] == 0x11)
		return load_le64(data + 1);
	return len >= 18 && data[0] == 0x09 && data[9] == 0x11 ? load_le64(data + 10) : 0;
}

/* Sums are longer than an input should be: a horizon, and the bytes behind it over and over. */
static size_t make_sums(const uint8_t *data, size_t size)
{
	const size_t len = 4096 * 8;

	body[0] = 0x09;
	memcpy(body + 1, data, 8);
	memcpy(body + 9, (uint8_t[]){0x12, 0x80, 0x80, 0x02}, 4);
	for (size_t i = 0; i < len; i++)
		body[13 + i] = size > 8 ? data[8 + i % (size - 8)] : 0;
	return 13 + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sync_options options = {
		.identity = &us, .epoch = 100, .journal = 700, .entries_max = 5000};
	struct now now = {.mono = 50 * USEC_PER_SEC, .wall = FIXTURE_WALL};
	struct sync *sync;
	uint8_t made;
	size_t len;

	if (size < 2 || size > 64 * 1024)
		return 0;
	if (us.id == 0) {
		if (sodium_init() < 0)
			abort();
		fixture_identity(1, 1, &us);
		fixture_identity(1, 2, &peer);
	}
	if (sync_new(&options, &sync) < 0)
		abort();
	open_streams(sync, data[0], now);
	if (data[0] == SYNC_KIND_BATCH) {
		memcpy(body + SIGNATURE_SIZE, data + 2, size - 2);
		seal_record_sign(&peer, SYNC_KIND_BATCH, 500, last_of(data + 2, size - 2),
				 body + SIGNATURE_SIZE, size - 2, body);
		sync_receive(sync, SUBSCRIPTION, data[0], body, size - 2 + SIGNATURE_SIZE, now);
	} else if (data[0] == SYNC_KIND_SUMS && data[1] == 2 && size >= 10) {
		len = make_sums(data + 2, size - 2);
		sync_receive(sync, SUBSCRIPTION, data[0], body, len, now);
	} else {
		sync_receive(sync, data[1] % 2, data[0], data + 2, size - 2, now);
	}
	sync_tick(sync, now);
	sync_output(sync, SUBSCRIPTION, now, body, &made, &len);
	drain(sync, now);
	now.mono += 100 * USEC_PER_SEC;
	sync_tick(sync, now);
	now.mono += USEC_PER_SEC;
	drain(sync, now);
	sync_free(sync);
	return 0;
}
