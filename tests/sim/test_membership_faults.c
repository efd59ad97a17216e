/* Random faults from a seed, with the invariants of the simulator checked after every step; and
 * once the faults have ended, all members know each other again. SEED and SEEDS choose which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/membership_sim.h"
#include "tests/sim/transcript.h"

#define S USEC_PER_SEC

static uint64_t number(const char *name, uint64_t usual)
{
	return getenv(name) ? strtoull(getenv(name), NULL, 10) : usual;
}

static void crash_or_start(struct sim *sim, unsigned int n)
{
	static const enum sim_start hows[] = {SIM_KEEP, SIM_KEEP, SIM_LOST, SIM_ROLLBACK};

	if (sim_core(sim, n))
		sim_crash(sim, n, sim_random(sim, 2));
	else
		sim_start(sim, n, hows[sim_random(sim, ARRAY_SIZE(hows))], 3);
}

static void cut(struct sim *sim, unsigned int n, unsigned int count)
{
	unsigned int other = (unsigned int)sim_random(sim, count);
	enum sim_way way = (enum sim_way)(1 + sim_random(sim, 3));

	if (other != n)
		sim_cut(sim, n, other, way, 2, true);
	if (other != n && sim_random(sim, 2))
		sim_cut(sim, other, n, way, 2, true);
}

static void leave(struct sim *sim, unsigned int n)
{
	struct membership_event event = {
		.type = sim_random(sim, 2) ? MEMBERSHIP_LEAVE : MEMBERSHIP_ABSENCE,
		.lease = 20 * S,
	};

	if (!sim_up(sim, n))
		return;
	sim_event(sim, n, event);
	sim_run(sim, S / 2);
	sim_crash(sim, n, sim_random(sim, 2));
}

static void loss(struct sim *sim)
{
	unsigned int lost = (unsigned int)sim_random(sim, 200);
	unsigned int repeated = (unsigned int)sim_random(sim, 50);
	unsigned int corrupt = (unsigned int)sim_random(sim, 50);

	sim_loss(sim, lost, repeated, corrupt);
}

static void fault(struct sim *sim, unsigned int count)
{
	unsigned int n = (unsigned int)sim_random(sim, count);

	switch (sim_random(sim, 9)) {
	case 0:
	case 1:
		crash_or_start(sim, n);
		break;
	case 2:
		if (sim_up(sim, n))
			sim_stall(sim, n, sim_random(sim, 12 * S));
		break;
	case 3:
		cut(sim, n, count);
		break;
	case 4:
		sim_heal(sim);
		break;
	case 5:
		sim_partition(sim, sim_random(sim, UINT64_C(1) << count), true);
		break;
	case 6:
		loss(sim);
		break;
	case 7:
		leave(sim, n);
		break;
	default:
		sim_clock(sim, n, (int64_t)sim_random(sim, 86400 * S) - 43200 * (int64_t)S);
	}
}

static void run_one(uint64_t seed)
{
	struct sim_options options = {.seed = seed, .count = 2 + (unsigned int)(seed % 7)};
	struct sim *sim = sim_new(&options);
	struct sim_status status;

	sim_trace(sim, getenv("TRACE") != NULL);
	for (unsigned int i = 0; i < options.count; i++)
		sim_start(sim, i, SIM_KEEP, i ? 1 : 2);
	sim_run(sim, 3 * S);
	for (unsigned int i = 0; i < 30 && !sim_broken(sim); i++) {
		fault(sim, options.count);
		sim_run(sim, sim_random(sim, 6 * S));
	}
	sim_heal(sim);
	sim_loss(sim, 0, 0, 0);
	for (unsigned int i = 0; i < options.count; i++) {
		sim_clock(sim, i, 0);
		sim_start(sim, i, SIM_KEEP, 3);
	}
	sim_run(sim, 15 * S);
	if (!sim_broken(sim) && !sim_until(sim, sim_whole, NULL, 60 * S))
		fail_msg("seed %llu: not whole after a minute of peace", (unsigned long long)seed);
	sim_status(sim, &status);
	if (sim_broken(sim))
		fail_msg("%s", sim_broken(sim));
	if (status.false_failures)
		fail_msg("seed %llu: %u false failures", (unsigned long long)seed,
			 status.false_failures);
	transcript_add("membership", seed, sim_hash(sim));
	sim_free(sim);
}

static void test_random_faults(void **state)
{
	uint64_t first = number("SEED", 1), count = number("SEEDS", getenv("SEED") ? 1 : 60);

	(void)state;
	for (uint64_t seed = first; seed < first + count; seed++)
		run_one(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
