/* The sums of a director's table: those of one moment, whole, whenever the peer takes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sodium.h>

#include "proto/sync.pb-c.h"
#include "sync/sync.h"
#include "tests/identity_fixture.h"

#define SUBSCRIBER 4
#define FLOWS 40000 /* a walk over them takes some ticks */
#define PARTS 4096

static struct identity us, peer;
static uint8_t body[SYNC_BODY_MAX];

static struct now at(usec_t seconds)
{
	return (struct now){.mono = seconds * USEC_PER_SEC,
			    .wall = FIXTURE_WALL + seconds * USEC_PER_SEC};
}

/* Takes all that there is for the peer. True: sums were in it. */
static bool take(struct sync *sync, usec_t seconds, uint64_t *ret_horizon, uint64_t sums[PARTS])
{
	bool had = false;
	uint8_t kind;
	size_t len;

	while (sync_output(sync, SUBSCRIBER, at(seconds), body, &kind, &len) == 0) {
		Lvsmesh__Pb__Sums *message;

		if (kind != SYNC_KIND_SUMS)
			continue;
		message = lvsmesh__pb__sums__unpack(NULL, len, body);
		assert_non_null(message);
		assert_int_equal(message->sums.len, 8 * PARTS);
		memcpy(sums, message->sums.data, 8 * PARTS);
		*ret_horizon = message->horizon;
		lvsmesh__pb__sums__free_unpacked(message, NULL);
		had = true;
	}
	return had;
}

static struct sync *make_sync(void)
{
	struct sync_options options = {
		.identity = &us, .epoch = 100, .journal = 1000, .entries_max = FLOWS};
	struct entry entry = {.state = 1, .timeout = 900, .dport = 80, .flags = 3};
	struct sync *sync;

	assert_int_equal(sync_new(&options, &sync), 0);
	entry.flow.family = AF_INET;
	entry.flow.protocol = IPPROTO_TCP;
	for (unsigned int i = 0; i < FLOWS; i++) {
		entry.flow.caddr[1] = (uint8_t)(i >> 8);
		entry.flow.caddr[2] = (uint8_t)i;
		assert_int_equal(sync_capture(sync, &entry, at(100)), 0);
	}
	sync_join(sync, at(100));
	return sync;
}

/* A peer that has acknowledged all. */
static void subscribe(struct sync *sync)
{
	Lvsmesh__Pb__Subscribe hello = LVSMESH__PB__SUBSCRIBE__INIT;
	Lvsmesh__Pb__Ack ack = LVSMESH__PB__ACK__INIT;
	static uint64_t sums[PARTS];
	struct sync_status status;
	uint8_t small[64];
	uint64_t horizon;

	assert_int_equal(sync_open(sync, SUBSCRIBER, false, &peer.certificate, 500, at(100)), 0);
	assert_int_equal(sync_receive(sync, SUBSCRIBER, SYNC_KIND_SUBSCRIBE, small,
				      lvsmesh__pb__subscribe__pack(&hello, small), at(100)),
			 0);
	for (unsigned int i = 0; i < 2; i++)
		assert_false(take(sync, 100 + i, &horizon, sums));
	sync_status(sync, &status);
	ack.position = status.position;
	assert_int_equal(sync_receive(sync, SUBSCRIBER, SYNC_KIND_ACK, small,
				      lvsmesh__pb__ack__pack(&ack, small), at(102)),
			 0);
}

/* The next comparison has begun when the peer's socket takes the sums of the one before. */
static void test_whole(void **state)
{
	static uint64_t first[PARTS], second[PARTS];
	struct sync *sync = make_sync();
	uint64_t horizon, later;

	(void)state;
	subscribe(sync);
	for (unsigned int i = 0; i < 4; i++)
		sync_tick(sync, at(140 + i));
	assert_true(take(sync, 144, &horizon, first));
	for (unsigned int i = 0; i < 4; i++)
		sync_tick(sync, at(190 + i));
	sync_tick(sync, at(250));
	assert_true(take(sync, 250, &later, second));
	assert_true(later > horizon);
	assert_memory_equal(first, second, sizeof(first));
	sync_free(sync);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
	};

	if (sodium_init() < 0)
		return 1;
	fixture_identity(1, 1, &us);
	fixture_identity(1, 2, &peer);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
