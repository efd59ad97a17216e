/* Health checking by several directors under random faults, from a seed: what the simulator
 * promises holds after every step. SEED and SEEDS choose which: SEED=n repeats one. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/health_sim.h"

#define MS USEC_PER_MSEC
#define SEC USEC_PER_SEC

static uint64_t number(const char *name, uint64_t usual)
{
	return getenv(name) ? strtoull(getenv(name), NULL, 10) : usual;
}

static unsigned int any(struct health_sim *sim, unsigned int n)
{
	return (unsigned int)health_sim_random(sim, n);
}

/* Director i is in the first half if bit i is set. */
static void cut_in_half(struct health_sim *sim, unsigned int half)
{
	for (unsigned int a = 0; a < sim->n_directors; a++)
		for (unsigned int b = 0; b < a; b++)
			health_sim_cut(sim, a, b, (half >> a & 1) != (half >> b & 1));
}

static void restart(struct health_sim *sim, unsigned int director)
{
	struct health_sim_director *d = &sim->directors[director];
	unsigned int running = 0;

	for (unsigned int i = 0; i < sim->n_directors; i++)
		running += sim->directors[i].health != NULL;
	if (!d->health) {
		health_sim_start(sim, director);
	} else if (running > 1) {
		health_sim_kill(sim, director);
		if (health_sim_random(sim, 4) == 0) { /* its disk is lost */
			free(d->state);
			d->state = NULL;
			d->state_len = 0;
		}
	}
}

/* One at a time: its vote is missing, and the others have to do. */
static void stick(struct health_sim *sim, unsigned int director)
{
	bool stuck = sim->directors[director].stuck;

	for (unsigned int i = 0; i < sim->n_directors; i++) {
		if (sim->directors[i].lie)
			return;
		sim->directors[i].stuck = false;
	}
	sim->directors[director].stuck = !stuck && sim->directors[director].health;
	sim->disturbed = sim->now;
}

static void set(struct health_sim *sim, unsigned int director, unsigned int real)
{
	enum health_setting setting = (enum health_setting)any(sim, HEALTH_SETTINGS);

	if (!sim->directors[director].lie)
		health_sim_set(sim, director, real, setting, 1 + any(sim, 200));
}

static void fault(struct health_sim *sim)
{
	unsigned int director = any(sim, sim->n_directors);
	unsigned int real = any(sim, sim->n_reals);
	unsigned int what = any(sim, 12);

	if (getenv("TRACE"))
		print_message("[%6.2f] fault %u: d%u, real server %u\n",
			      (double)sim->now / (double)SEC, what, director, real);
	switch (what) {
	case 0:
		restart(sim, director);
		break;
	case 1:
		cut_in_half(sim, any(sim, 1u << sim->n_directors));
		break;
	case 2:
		cut_in_half(sim, 0);
		break;
	case 3:
		if (!sim->directors[director].lie)
			health_sim_reach(sim, director, real,
					 sim->directors[director].unreachable[real]);
		break;
	case 4:
		for (unsigned int r = 0; r < sim->n_reals && !sim->directors[director].lie; r++)
			health_sim_reach(sim, director, r,
					 sim->directors[director].unreachable[real]);
		break;
	case 5:
		stick(sim, director);
		break;
	case 6:
		sim->reals[real].flap = sim->reals[real].flap ? 0 : (200 + any(sim, 3000)) * MS;
		break;
	case 7:
		set(sim, director, real);
		break;
	default:
		health_sim_real(sim, real, !sim->reals[real].up, any(sim, 2));
		break;
	}
}

static struct health_policy draw_policy(struct health_sim *sim, bool liar)
{
	struct health_policy policy = health_policy_default;

	policy.checkers = 3 * any(sim, 2);
	if (!liar && any(sim, 4) == 0)
		policy.checkers = 1 + any(sim, 2);
	policy.panic_threshold = any(sim, 2) ? 50 : 100;
	policy.on_down = any(sim, 2) ? HEALTH_REMOVE : HEALTH_WEIGHT_ZERO;
	policy.all_down = any(sim, 2) ? HEALTH_FAIL_OPEN : HEALTH_FAIL_CLOSED;
	policy.slow_start = any(sim, 2) * 5 * SEC;
	policy.quorum = any(sim, 4);
	return policy;
}

static void setup(struct health_sim *sim, uint64_t seed)
{
	struct health_sim chance = {.random = seed ^ 0x5eed};
	unsigned int directors = 3 + any(&chance, 5);
	unsigned int reals = 2 + any(&chance, HEALTH_SIM_REALS - 1);
	bool liar = any(&chance, 3) == 0;
	struct health_policy policy = draw_policy(&chance, liar);

	health_sim_init(sim, seed, directors, reals, &policy);
	if (getenv("TRACE"))
		print_message("checkers %u, panic %u%%\n", policy.checkers, policy.panic_threshold);
	if (liar)
		sim->directors[any(sim, directors)].lie =
			any(sim, 2) ? HEALTH_SIM_ALL_DOWN : HEALTH_SIM_ALL_UP;
	for (unsigned int i = 0; i < directors; i++)
		if (any(sim, 2))
			sim->directors[i].skew = (int64_t)any(sim, 4000) * 1000 - 2000000;
	for (unsigned int i = 0; i < directors; i++)
		health_sim_start(sim, i);
	for (unsigned int i = 0; getenv("TRACE") && i < directors; i++)
		print_message("d%u %" PRIx64 " lie %u skew %" PRId64 "\n", i, sim->directors[i].id,
			      sim->directors[i].lie, sim->directors[i].skew);
}

static void end_faults(struct health_sim *sim)
{
	cut_in_half(sim, 0);
	for (unsigned int d = 0; d < sim->n_directors; d++) {
		sim->directors[d].stuck = false;
		if (!sim->directors[d].health)
			health_sim_start(sim, d);
		for (unsigned int r = 0; r < sim->n_reals; r++)
			health_sim_reach(sim, d, r, true);
	}
	for (unsigned int r = 0; r < sim->n_reals; r++)
		sim->reals[r].flap = 0;
}

static void run_seed(uint64_t seed)
{
	static struct health_sim sim;
	unsigned int faults;

	setup(&sim, seed);
	health_sim_run(&sim, 5 * SEC);
	faults = 5 + any(&sim, 20);
	for (unsigned int i = 0; i < faults && !*sim.trouble; i++) {
		fault(&sim);
		health_sim_run(&sim, any(&sim, 4000) * MS);
	}
	end_faults(&sim);
	health_sim_run(&sim, 20 * SEC);
	if (!*sim.trouble)
		health_sim_judge_end(&sim);
	if (*sim.trouble)
		fail_msg("SEED=%" PRIu64 " %s", seed, sim.trouble);
	health_sim_fini(&sim);
}

static void test_faults(void **state)
{
	uint64_t first = number("SEED", 1), seeds = number("SEEDS", getenv("SEED") ? 1 : 300);

	(void)state;
	print_message("seeds %" PRIu64 " to %" PRIu64 "\n", first, first + seeds - 1);
	for (uint64_t seed = first; seed < first + seeds; seed++)
		run_seed(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
