/* Some pairs reach each other only through a third, and it stays so: the views stand still all the
 * same, and cost little. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/membership_sim.h"

#define S USEC_PER_SEC
#define SETTLED (15 * S)
#define WATCHED (60 * S)

struct shape {
	const char *name;
	/* Do a and b, which is greater, reach each other? */
	bool (*reach)(unsigned int a, unsigned int b, unsigned int n);
	unsigned int largest, cost; /* members that are tried; times the idle gossip */
};

/* Two halves, and the first, which both reach. */
static bool bridge(unsigned int a, unsigned int b, unsigned int n)
{
	return a == 0 || (a <= n / 2) == (b <= n / 2);
}

static bool star(unsigned int a, unsigned int b, unsigned int n)
{
	(void)b;
	(void)n;
	return a == 0;
}

/* One pair alone. */
static bool pair(unsigned int a, unsigned int b, unsigned int n)
{
	(void)n;
	return a != 1 || b != 2;
}

static const struct shape shapes[] = {
	{"pair", pair, 32, 2},
	{"bridge", bridge, 32, 4},
	{"star", star, 5, 4},
};

static struct sim *cluster(uint64_t seed, unsigned int count)
{
	return sim_new_whole(
		(struct sim_options){.seed = seed, .count = count, .quick_check = true}, count,
		12 * S);
}

/* Bytes a second and member. */
static uint64_t gossip(struct sim *sim, unsigned int count, usec_t time)
{
	struct sim_status before, after;

	sim_status(sim, &before);
	sim_run(sim, time);
	sim_status(sim, &after);
	return (after.bytes - before.bytes) * S / time / count;
}

static void settles(const struct shape *shape, unsigned int n)
{
	struct sim *sim = cluster(1, n);
	uint64_t idle = gossip(sim, n, 10 * S), cut;
	usec_t since;

	for (unsigned int b = 1; b < n; b++)
		for (unsigned int a = 0; a < b; a++)
			if (!shape->reach(a, b, n)) {
				sim_cut(sim, a, b, SIM_BOTH, 2, true);
				sim_cut(sim, b, a, SIM_BOTH, 2, true);
			}
	sim_run(sim, SETTLED);
	since = sim_now(sim);
	cut = gossip(sim, n, WATCHED);
	if (cut > shape->cost * idle)
		fail_msg("%s of %u: %llu B/s a member, idle %llu", shape->name, n,
			 (unsigned long long)cut, (unsigned long long)idle);
	for (int type = 0; type < MEMBERSHIP_SUSPECTED; type++)
		if (type != MEMBERSHIP_MEMBER_PARTIAL && type != MEMBERSHIP_MEMBER_WHOLE &&
		    sim_count(sim, -1, (enum membership_notice_type)type, -1, since) > 0)
			fail_msg("%s of %u: %s after it has settled", shape->name, n,
				 membership_notice_name(type));
	assert_true(sim_whole(sim, NULL));
	sim_heal(sim);
	sim_run(sim, 30 * S);
	assert_true(sim_whole(sim, NULL));
	sim_free(sim);
}

static void test_settles(void **state)
{
	static const unsigned int counts[] = {5, 8, 16, 32};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(shapes); i++)
		for (unsigned int c = 0; c < ARRAY_SIZE(counts) && counts[c] <= shapes[i].largest;
		     c++)
			settles(&shapes[i], counts[c]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
