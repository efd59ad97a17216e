/* Facts under faults that are drawn from a seed: whole directors publish results and settings while
 * streams are cut, networks swallow everything, daemons and machines crash and start again, disks
 * and clocks go back in time, directors stand still. Once the faults stop, these hold:
 *
 * 1. All directors hold the same settings.
 * 2. Each result that a director published since it started last is held by all in its newest form.
 * 3. A setting that a director published since it started last is held, or a newer one is.
 * 4. What each director was told, and published itself, is what it holds: nothing was told twice in
 * the wrong order, or not at all.
 * 5. No fact that honest directors send is refused, and the connections are as good as without.
 *
 * SEED=n replays one run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/cluster.h"
#include "tests/sim/transcript.h"

#define DIRECTORS 5 /* at most */
#define KEYS 24
#define FLOWS 100
#define STEPS 300
#define PATIENCE 240 /* s, until all are equal */

/* A fact as somebody knows it; hlc 0: not at all. */
struct known {
	uint64_t hlc, origin;
	size_t len;
	uint32_t number; /* its value, another one each time */
};

/* What one director knows: a result of each director for each key, and the settings. */
struct view {
	struct known results[DIRECTORS][KEYS];
	struct known settings[KEYS];
};

struct run {
	struct cluster *cluster;
	uint64_t seed;
	unsigned int count;
	uint32_t number;
	uint64_t life[DIRECTORS];
	unsigned int crashes[DIRECTORS];
	usec_t frozen[DIRECTORS];
	struct view told[DIRECTORS];      /* and published, in the present life */
	struct view published[DIRECTORS]; /* in the present life */
};

static unsigned int draw(struct run *run, unsigned int below)
{
	return cluster_draw(run->cluster, below);
}

static unsigned int director_of(const struct run *run, uint64_t id)
{
	unsigned int d = 0;

	while (d < run->count && cluster_identity(run->cluster, d)->id != id)
		d++;
	assert_true(d < run->count);
	return d;
}

static struct known *place_of(const struct run *run, struct view *view, const struct fact *fact)
{
	assert_true(fact->key[0] < KEYS);
	return fact->kind == FACT_RESULT
		       ? &view->results[director_of(run, fact->origin)][fact->key[0]]
		       : &view->settings[fact->key[0]];
}

static struct known known_of(const struct fact *fact)
{
	assert_true(fact->len == 0 || fact->len >= 4);
	return (struct known){fact->hlc, fact->origin, fact->len,
			      fact->len ? load_le32(fact->value) : 0};
}

/* A daemon that starts has been told nothing. It may start by itself, when its disk has gone back
 * in time. */
static void look_at_life(struct run *run, unsigned int d)
{
	uint64_t life = cluster_epoch(run->cluster, d) | (uint64_t)run->crashes[d] << 32;

	if (life == run->life[d])
		return;
	run->life[d] = life;
	memset(&run->told[d], 0, sizeof(run->told[d]));
	memset(&run->published[d], 0, sizeof(run->published[d]));
}

static void told(void *context, unsigned int d, const struct fact *fact)
{
	struct run *run = context;

	look_at_life(run, d);
	assert_true(fact->kind == FACT_SETTING ||
		    fact->origin != cluster_identity(run->cluster, d)->id);
	*place_of(run, &run->told[d], fact) = known_of(fact);
}

/* The director's own fact of that kind and key, as it holds it. */
static struct fact held_now(struct run *run, unsigned int d, const struct fact *wanted)
{
	struct node *node = cluster_node(run->cluster, d);
	uint64_t self = cluster_identity(run->cluster, d)->id, cursor = 0;
	struct fact fact;

	while (sync_fact_walk(node_sync(node), cluster_now(run->cluster), &cursor, &fact))
		if (fact.kind == wanted->kind && fact.key[0] == wanted->key[0] &&
		    fact.origin == self)
			return fact;
	fail_msg("SEED=%lu: d%u does not hold what it published", (unsigned long)run->seed, d + 1);
	return *wanted;
}

static void publish(struct run *run, unsigned int d)
{
	struct fact fact = {.kind = draw(run, 3) ? FACT_RESULT : FACT_SETTING};

	if (!cluster_up(run->cluster, d) || cluster_now(run->cluster).mono < run->frozen[d])
		return;
	fact.timeout = draw(run, 2) ? 86400 : FACT_FOREVER;
	fact.key[0] = (uint8_t)draw(run, KEYS);
	fact.len = draw(run, 8) ? 4 + draw(run, FACT_VALUE_MAX - 3) : 0;
	store_le32(fact.value, ++run->number);
	cluster_tell(run->cluster, d, (struct node_event){.type = NODE_PUBLISH, .fact = &fact});
	look_at_life(run, d);
	fact = held_now(run, d, &fact);
	*place_of(run, &run->told[d], &fact) = known_of(&fact);
	*place_of(run, &run->published[d], &fact) = known_of(&fact);
}

static void traffic(struct run *run, unsigned int d)
{
	struct entry entry = cluster_entry(draw(run, FLOWS), d, 1, true);

	entry.timeout = 3600;
	cluster_packet(run->cluster, d, &entry);
}

static void crash(struct run *run, unsigned int d)
{
	cluster_crash(run->cluster, d, draw(run, 3) == 0);
	run->crashes[d]++;
	if (draw(run, 8) == 0)
		cluster_rollback(run->cluster, d, 1 + draw(run, 3));
	if (draw(run, 4) == 0)
		cluster_clock(run->cluster, d, -(int64_t)(draw(run, 60) * USEC_PER_SEC));
}

static void fault(struct run *run)
{
	struct cluster *cluster = run->cluster;
	unsigned int d = draw(run, run->count);
	unsigned int e = draw(run, run->count);
	unsigned int which = draw(run, 24);

	switch (which) {
	case 0:
	case 1:
	case 2:
	case 3:
		cluster_fault(cluster, which, d, e);
		break;
	case 4:
		if (cluster_up(cluster, d))
			crash(run, d);
		break;
	case 5:
	case 6:
	case 7:
		if (!cluster_up(cluster, d))
			cluster_start(cluster, d);
		break;
	case 8:
		run->frozen[d] = MAX(run->frozen[d], cluster_now(cluster).mono + 4 * USEC_PER_SEC);
		cluster_freeze(cluster, d, draw(run, 4000) * USEC_PER_MSEC);
		break;
	case 9:
		if (cluster_now(cluster).mono >= run->frozen[d])
			cluster_tell(cluster, d,
				     (struct node_event){.type = NODE_DRAIN, .ok = draw(run, 2)});
		break;
	case 10:
	case 11:
		traffic(run, d);
		break;
	default:
		publish(run, d);
	}
}

static void faults_stop(struct run *run)
{
	cluster_heal(run->cluster);
}

/* Judging */

static char reason[200];

static bool wrong(const struct known *a, const struct known *b, const char *what, unsigned int d,
		  unsigned int key)
{
	snprintf(reason, sizeof(reason), "d%u: %s of key %u is %u of %lx, not %u of %lx", d + 1,
		 what, key, a->number, (unsigned long)a->hlc, b->number, (unsigned long)b->hlc);
	return false;
}

/* False, with the reason. */
static bool same(const struct known *a, const struct known *b, const char *what, unsigned int d,
		 unsigned int key)
{
	return (a->hlc == b->hlc && a->origin == b->origin && a->len == b->len &&
		a->number == b->number) ||
	       wrong(a, b, what, d, key);
}

/* The same, but for a version of its own that it gave a fact without being told. */
static bool as_told(const struct known *a, const struct known *told, uint64_t self,
		    const char *what, unsigned int d, unsigned int key)
{
	struct known known = *told;

	if (a->origin == self && known.origin == self && a->hlc > known.hlc)
		known.hlc = a->hlc;
	return same(a, &known, what, d, key);
}

static void hold(struct run *run, unsigned int d, struct view *ret_view)
{
	struct sync *sync = node_sync(cluster_node(run->cluster, d));
	uint64_t cursor = 0;
	struct fact fact;

	memset(ret_view, 0, sizeof(*ret_view));
	while (sync_fact_walk(sync, cluster_now(run->cluster), &cursor, &fact))
		*place_of(run, ret_view, &fact) = known_of(&fact);
}

/* Rules 1 to 4, of a director that holds this. */
static bool judge(struct run *run, unsigned int d, const struct view *held,
		  const struct view *first)
{
	uint64_t self = cluster_identity(run->cluster, d)->id;

	for (unsigned int key = 0; key < KEYS; key++) {
		const struct known *setting = &held->settings[key];
		const struct known *own = &run->published[d].settings[key];

		if (!same(setting, &first->settings[key], "setting", d, key) ||
		    !as_told(setting, &run->told[d].settings[key], self, "setting, as held,", d,
			     key))
			return false;
		if (own->hlc > setting->hlc)
			return wrong(setting, own, "setting, of its own,", d, key);
		for (unsigned int e = 0; e < run->count; e++) {
			const struct known *result = &held->results[e][key];
			const struct known *published = &run->published[e].results[e][key];

			if (published->hlc && !same(result, published, "result", d, key))
				return false;
			if (d != e && !same(result, &run->told[d].results[e][key],
					    "result, as held,", d, key))
				return false;
		}
	}
	return true;
}

static bool all_good(struct run *run)
{
	struct view first, held;

	for (unsigned int d = 0; d < run->count; d++)
		look_at_life(run, d);
	hold(run, 0, &first);
	for (unsigned int d = 0; d < run->count; d++) {
		hold(run, d, &held);
		if (!judge(run, d, &held, &first))
			return false;
	}
	for (unsigned int d = 0; d < run->count; d++) {
		struct sync_status status = cluster_sync_status(run->cluster, d);

		if (status.facts_malformed || status.facts_handed_on || status.facts_full) {
			snprintf(reason, sizeof(reason), "d%u refused facts", d + 1);
			return false;
		}
	}
	return true;
}

static uint64_t run_faults(uint64_t seed)
{
	struct run *run = calloc(1, sizeof(*run));
	const char *difference = "not looked at";
	uint64_t hash;

	assert_non_null(run);
	run->seed = seed;
	run->count = 2 + (unsigned int)(seed % 4);
	run->cluster = cluster_new(seed, run->count);
	cluster_facts(run->cluster, told, run);
	cluster_run(run->cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < STEPS; i++) {
		fault(run);
		cluster_run(run->cluster, draw(run, 60) * USEC_PER_MSEC);
	}
	faults_stop(run);
	for (unsigned int i = 0; i < PATIENCE && difference; i++) {
		cluster_run(run->cluster, USEC_PER_SEC);
		difference = all_good(run) ? cluster_difference(run->cluster) : reason;
	}
	if (difference)
		fail_msg("SEED=%lu: %s", (unsigned long)seed, difference);
	hash = cluster_hash(run->cluster);
	transcript_add("facts", seed, hash);
	cluster_free(run->cluster);
	free(run);
	return hash;
}

static void run_one(uint64_t seed)
{
	run_faults(seed);
}

static void test_faults(void **state)
{
	(void)state;
	cluster_seeds(16, run_one);
}

/* A seed repeats a run to the last byte. */
static void test_repeats(void **state)
{
	(void)state;
	if (!getenv("SEED"))
		assert_true(run_faults(1) == run_faults(1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_repeats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
