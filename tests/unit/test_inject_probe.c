#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "director/tap/inject_probe.h"
#include "sync/kernel_wire.h"

#define S USEC_PER_SEC
#define START (100 * S)

static void test_arrives(void **state)
{
	struct inject_probe probe;
	struct entry entry;
	uint16_t port;

	(void)state;
	inject_probe_init(&probe, START);
	assert_true(inject_probe_due(&probe, START));
	assert_false(inject_probe_trusted(&probe));
	entry = inject_probe_entry(&probe, 0xa9fe7501, 0xa9fe7502, 8848);
	assert_true(kernel_wire_valid(&entry));
	port = entry.flow.cport;
	inject_probe_sent(&probe, 1, START);
	assert_false(inject_probe_due(&probe, START));
	assert_int_equal(inject_probe_observe(&probe, 1, START + 1), INJECT_PROBE_PENDING);
	assert_int_equal(inject_probe_observe(&probe, 2, START + 2), INJECT_PROBE_ARRIVED);
	assert_true(inject_probe_trusted(&probe));
	assert_int_equal(inject_probe_observe(&probe, 2, START + 3), INJECT_PROBE_PENDING);
	assert_false(inject_probe_due(&probe, START + INJECT_PROBE_EVERY));
	assert_true(inject_probe_due(&probe, START + INJECT_PROBE_EVERY + 2));
	/* The next is another connection: the one before may not have ended. */
	entry = inject_probe_entry(&probe, 0xa9fe7501, 0xa9fe7502, 8848);
	assert_int_not_equal(entry.flow.cport, port);
	inject_probe_hurry(&probe, START + 3);
	assert_true(inject_probe_due(&probe, START + 3));
}

/* One may be late on a busy host; two are a fault, which began with the first. */
static void test_lost(void **state)
{
	struct inject_probe probe;
	usec_t now = START;

	(void)state;
	inject_probe_init(&probe, now);
	inject_probe_sent(&probe, 0, now);
	assert_int_equal(inject_probe_observe(&probe, 1, now), INJECT_PROBE_ARRIVED);
	now += INJECT_PROBE_EVERY;
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(inject_probe_due(&probe, now));
		inject_probe_sent(&probe, 1, now);
		/* The one before has ended meanwhile. */
		assert_int_equal(inject_probe_observe(&probe, 0, now + S - 1),
				 INJECT_PROBE_PENDING);
		assert_int_equal(inject_probe_observe(&probe, 0, now + S), INJECT_PROBE_LOST);
		assert_false(inject_probe_trusted(&probe));
		assert_int_equal(inject_probe_failed_since(&probe),
				 i ? START + INJECT_PROBE_EVERY : 0);
		now += 2 * S;
	}
	inject_probe_sent(&probe, 0, now);
	assert_int_equal(inject_probe_observe(&probe, 1, now + 1), INJECT_PROBE_ARRIVED);
	assert_true(inject_probe_trusted(&probe));
	assert_int_equal(inject_probe_failed_since(&probe), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arrives),
		cmocka_unit_test(test_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
