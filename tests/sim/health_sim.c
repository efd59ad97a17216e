#include "tests/sim/health_sim.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/health_fixture.h"

#define MS USEC_PER_MSEC
#define SEC USEC_PER_SEC
#define WALL0 (1700000000 * SEC)

uint64_t health_sim_random(struct health_sim *sim, uint64_t n)
{
	uint64_t z = sim->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % n;
}

struct now health_sim_now(const struct health_sim *sim, unsigned int director)
{
	return (struct now){sim->now,
			    (usec_t)((int64_t)(WALL0 + sim->now) + sim->directors[director].skew)};
}

bool health_sim_linked(const struct health_sim *sim, unsigned int a, unsigned int b)
{
	return sim->directors[a].health && sim->directors[b].health &&
	       !sim->directors[a].links[b].cut;
}

void health_sim_init(struct health_sim *sim, uint64_t seed, unsigned int directors,
		     unsigned int reals, const struct health_policy *policy)
{
	*sim = (struct health_sim){.seed = seed, .random = seed, .now = 10 * SEC, .n_reals = reals};
	sim->check = health_fixture_check();
	sim->n_services = 1 + (unsigned int)health_sim_random(sim, HEALTH_SIM_SERVICES);
	for (unsigned int i = 0; i < sim->n_services; i++) {
		health_fixture_add(&sim->set, (uint8_t)(i + 1), (uint8_t)reals, &sim->check);
		sim->set.services[i].health = *policy;
	}
	sim->n_directors = directors;
	for (unsigned int i = 0; i < directors; i++)
		sim->directors[i].id = health_sim_random(sim, UINT32_MAX) + 1;
	for (unsigned int i = 0; i < reals; i++)
		sim->reals[i] = (struct health_sim_real){.up = true, .serving = sim->now};
}

void health_sim_fini(struct health_sim *sim)
{
	for (unsigned int i = 0; i < sim->n_directors; i++) {
		health_free(sim->directors[i].health);
		free(sim->directors[i].log);
		free(sim->directors[i].state);
	}
	service_set_fini(&sim->set);
}

/* Links of the director to all others: membership will follow. */
static void links_change(struct health_sim *sim, unsigned int director)
{
	sim->disturbed = sim->now;
	for (unsigned int i = 0; i < sim->n_directors; i++) {
		struct health_sim_link *to = &sim->directors[director].links[i],
				       *from = &sim->directors[i].links[director];

		if (!health_sim_linked(sim, director, i))
			to->current = from->current = false;
		to->learns = sim->now + 50 * MS;
		from->learns = sim->now + 50 * MS;
		to->learns += health_sim_random(sim, to->alive ? 2900 : 950) * MS;
		from->learns += health_sim_random(sim, from->alive ? 2900 : 950) * MS;
	}
}

void health_sim_start(struct health_sim *sim, unsigned int number)
{
	struct health_sim_director *director = &sim->directors[number];
	struct health_options options = {.self = director->id,
					 .epoch = ++director->epoch,
					 .now = health_sim_now(sim, number)};

	store_le64(options.seed, sim->seed * 31 + number + sim->now);
	if (health_new(&options, &director->health) < 0)
		abort();
	if (director->state &&
	    health_unpack(director->health, director->state, director->state_len, options.now) < 0)
		abort();
	if (health_config(director->health, &sim->set, options.now) < 0)
		abort();
	director->started = sim->now;
	for (unsigned int s = 0; s < sim->n_services; s++)
		for (unsigned int r = 0; r < sim->n_reals; r++)
			director->weights[s][r] = 100;
	memset(director->vip_off, 0, sizeof(director->vip_off));
	memset(director->incident, 0, sizeof(director->incident));
	for (unsigned int i = 0; i < sim->n_directors; i++)
		director->links[i] = (struct health_sim_link){.cut = director->links[i].cut};
	links_change(sim, number);
}

void health_sim_kill(struct health_sim *sim, unsigned int number)
{
	struct health_sim_director *director = &sim->directors[number];

	health_free(director->health);
	director->health = NULL;
	director->n_log = 0;
	director->n_runs = 0;
	director->stuck = false;
	for (unsigned int i = 0; i < sim->n_directors; i++)
		sim->directors[i].links[number].position = 0;
	links_change(sim, number);
}

void health_sim_cut(struct health_sim *sim, unsigned int a, unsigned int b, bool cut)
{
	if (a == b || sim->directors[a].links[b].cut == cut)
		return;
	sim->directors[a].links[b].cut = sim->directors[b].links[a].cut = cut;
	links_change(sim, a);
	links_change(sim, b);
}

static bool is_serving(const struct health_sim *sim, unsigned int real)
{
	bool serving = sim->reals[real].up;

	for (unsigned int i = 0; i < sim->n_directors; i++)
		if (!sim->directors[i].lie && sim->directors[i].unreachable[real])
			serving = false;
	return serving;
}

static void reals_change(struct health_sim *sim, unsigned int real)
{
	if (!is_serving(sim, real))
		sim->reals[real].serving = USEC_NEVER;
	else if (sim->reals[real].serving == USEC_NEVER)
		sim->reals[real].serving = sim->now;
}

void health_sim_real(struct health_sim *sim, unsigned int number, bool up, bool hangs)
{
	struct health_sim_real *real = &sim->reals[number];

	real->hangs = hangs;
	if (real->up != up)
		real->since = sim->now;
	real->up = up;
	reals_change(sim, number);
}

void health_sim_reach(struct health_sim *sim, unsigned int director, unsigned int real, bool yes)
{
	if (sim->directors[director].unreachable[real] != yes)
		return;
	sim->directors[director].unreachable[real] = !yes;
	sim->disturbed = sim->now;
	reals_change(sim, real);
}

void health_sim_set(struct health_sim *sim, unsigned int director, unsigned int real,
		    enum health_setting setting, uint32_t weight)
{
	struct health *health = sim->directors[director].health;

	for (size_t service = 0; health && service < sim->n_services; service++)
		if (health_set(health, service, real, setting, weight,
			       health_sim_now(sim, director)) != 0)
			abort();
}

/* The newest of a key alone stays in a journal, in its new place. */
static void journal(struct health_sim *sim, struct health_sim_director *director,
		    const struct fact *fact)
{
	for (size_t i = 0; i < director->n_log; i++)
		if (director->log[i].fact.kind == fact->kind &&
		    memcmp(director->log[i].fact.key, fact->key, FACT_KEY) == 0)
			director->log[i].gone = true;
	if (director->n_log == director->room) {
		director->room = director->room ? 2 * director->room : 64;
		director->log = reallocarray(director->log, director->room, sizeof(*director->log));
		assert(director->log);
	}
	director->log[director->n_log++] = (struct health_sim_fact){.fact = *fact, .at = sim->now};
}

static void lie(const struct health_sim_director *director, struct fact *fact)
{
	struct vote vote;
	char reason[CHECK_REASON_MAX];

	if (!director->lie || fact->kind != FACT_RESULT || fact->len == 0)
		return;
	if (value_unpack_vote(fact->value, fact->len, &vote, reason) != 0)
		abort();
	vote.state = vote.view = director->lie == HEALTH_SIM_ALL_UP ? HEALTH_UP : HEALTH_DOWN;
	vote.reason = reason;
	fact->len = value_pack_vote(&vote, fact->value, sizeof(fact->value));
}

static void publish(struct health_sim *sim, unsigned int number, struct fact *fact)
{
	struct health_sim_director *director = &sim->directors[number];

	director->hlc = MAX(director->hlc + 1, health_sim_now(sim, number).wall / 1000 << 16);
	fact->origin = director->id;
	fact->hlc = director->hlc;
	lie(director, fact);
	journal(sim, director, fact);
}

/* A setting that is new here is handed on, in our own journal. */
static void deliver(struct health_sim *sim, unsigned int number, const struct fact *fact)
{
	struct health_sim_director *director = &sim->directors[number];
	bool held = false;

	director->hlc = MAX(director->hlc, fact->hlc);

	for (size_t i = 0; i < director->n_log; i++)
		held |= !director->log[i].gone && director->log[i].fact.kind == fact->kind &&
			memcmp(director->log[i].fact.key, fact->key, FACT_KEY) == 0 &&
			director->log[i].fact.hlc >= fact->hlc;
	if (fact->kind == FACT_SETTING && held)
		return;
	if (fact->kind == FACT_SETTING)
		journal(sim, director, fact);
	health_fact(director->health, fact, health_sim_now(sim, number));
}

static void follow(struct health_sim *sim, unsigned int to, unsigned int from)
{
	struct health_sim_director *publisher = &sim->directors[from];
	struct health_sim_link *link = &sim->directors[to].links[from];

	if (!health_sim_linked(sim, to, from) || sim->now < link->stalled ||
	    sim->now < sim->disturbed + 20 * MS)
		return;
	for (; link->position < publisher->n_log; link->position++) {
		const struct health_sim_fact *fact = &publisher->log[link->position];

		if (fact->at + link->delay > sim->now)
			return;
		link->delay = health_sim_random(sim, 50) * MS;
		if (!fact->gone)
			deliver(sim, to, &fact->fact);
		if (health_sim_random(sim, 200) == 0)
			link->stalled = sim->now + health_sim_random(sim, 800) * MS;
		if (sim->now < link->stalled)
			break;
	}
	/* All that there was when the stream began, at the latest. */
	if (link->position == publisher->n_log)
		link->current = true;
}

static void membership(struct health_sim *sim, unsigned int number)
{
	struct health_sim_director *director = &sim->directors[number];
	struct health_member members[HEALTH_SIM_DIRECTORS];
	unsigned int n = 0;

	for (unsigned int i = 0; i < sim->n_directors; i++) {
		struct health_sim_link *link = &director->links[i];

		if (link->learns && sim->now >= link->learns) {
			link->learns = 0;
			link->alive = health_sim_linked(sim, number, i);
			link->epoch = sim->directors[i].epoch;
		}
		if (link->alive && i != number)
			members[n++] = (struct health_member){sim->directors[i].id, link->epoch,
							      link->current};
	}
	health_members(director->health, members, n, health_sim_now(sim, number));
}

static struct check_result result(struct health_sim *sim,
				  const struct health_sim_director *director, unsigned int number,
				  usec_t *ret_took)
{
	const struct health_sim_real *real = &sim->reals[number];
	bool up = real->up && !director->unreachable[number];
	bool hangs = director->unreachable[number] || (!real->up && real->hangs);
	struct check_result result = {.state = up ? CHECK_UP : CHECK_DOWN,
				      .cause = up ? CHECK_CAUSE_OK : CHECK_CAUSE_REFUSED,
				      .weight = -1};

	*ret_took = (1 + health_sim_random(sim, 20)) * MS;
	if (hangs) {
		*ret_took = sim->check.timeout;
		result.cause = CHECK_CAUSE_TIMEOUT;
	}
	if (director->lie) {
		result.state = director->lie == HEALTH_SIM_ALL_UP ? CHECK_UP : CHECK_DOWN;
		*ret_took = MS;
	}
	snprintf(result.reason, sizeof(result.reason), "answer of real server %u", number);
	return result;
}

static void check(struct health_sim *sim, unsigned int number)
{
	struct health_sim_director *director = &sim->directors[number];
	struct now now = health_sim_now(sim, number);
	struct health_run due;

	for (unsigned int i = director->n_runs; i-- > 0;) {
		struct health_sim_run *run = &director->runs[i];

		if (run->end > sim->now)
			continue;
		health_result(director->health, run->target, run->run, &run->result, now);
		*run = director->runs[--director->n_runs];
	}
	while (health_due(director->health, now, &due)) {
		struct health_sim_run run = {.target = due.target, .run = due.run};
		usec_t took;

		if (director->stuck)
			continue;
		run.result = result(sim, director, due.endpoint.ip.bytes[3] - 1u, &took);
		run.end = sim->now + took;
		assert(director->n_runs < ARRAY_SIZE(director->runs));
		director->runs[director->n_runs++] = run;
	}
}

static void change(struct health_sim *sim, unsigned int number, const struct health_change *change)
{
	struct health_sim_director *director = &sim->directors[number];
	uint32_t *weight = &director->weights[change->service][change->real], before = *weight;

	sim->changes++;
	switch (change->type) {
	case HEALTH_CHANGE_REAL:
		*weight = change->removed ? 0 : change->weight;
		if (before && !*weight)
			health_sim_judge_out(sim, number, (unsigned int)change->service,
					     (unsigned int)change->real);
		break;
	case HEALTH_CHANGE_VIP:
		director->vip_off[change->service] = !change->on;
		break;
	case HEALTH_CHANGE_SORRY:
		break;
	}
}

static void notice(struct health_sim *sim, unsigned int number, const struct health_notice *notice)
{
	bool *incident;

	if (notice->type != HEALTH_NOTICE_REAL)
		return;
	sim->verdicts++;
	incident = &sim->directors[number].incident[notice->endpoint.ip.bytes[3] - 1];
	if (*incident == notice->active)
		snprintf(sim->trouble, sizeof(sim->trouble), "d%u tells an incident twice", number);
	*incident = notice->active;
}

static void step(struct health_sim *sim, unsigned int number)
{
	struct health_sim_director *director = &sim->directors[number];
	struct now now = health_sim_now(sim, number);
	struct health_change one_change;
	struct health_notice one_notice;
	struct fact fact;

	membership(sim, number);
	for (unsigned int i = 0; i < sim->n_directors; i++)
		if (i != number)
			follow(sim, number, i);
	check(sim, number);
	while (health_timeout(director->health) <= sim->now)
		health_tick(director->health, now);
	check(sim, number);
	while (health_publish(director->health, now, &fact))
		publish(sim, number, &fact);
	while (health_change(director->health, &one_change))
		change(sim, number, &one_change);
	while (health_notice(director->health, now, &one_notice))
		notice(sim, number, &one_notice);
	if (health_state_changed(director->health)) {
		free(director->state);
		if (health_pack(director->health, &director->state, &director->state_len) < 0)
			abort();
	}
}

static void flap(struct health_sim *sim, unsigned int number)
{
	struct health_sim_real *real = &sim->reals[number];

	if (!real->flap || sim->now < real->next_flap)
		return;
	real->next_flap = sim->now + 1 + health_sim_random(sim, 2 * real->flap);
	health_sim_real(sim, number, !real->up, real->hangs);
}

void health_sim_run(struct health_sim *sim, usec_t duration)
{
	for (usec_t end = sim->now + duration; sim->now < end && !*sim->trouble;) {
		sim->now += HEALTH_SIM_STEP;
		for (unsigned int i = 0; i < sim->n_reals; i++)
			flap(sim, i);
		for (unsigned int i = 0; i < sim->n_directors; i++)
			if (sim->directors[i].health)
				step(sim, i);
		health_sim_judge(sim);
	}
}

bool health_sim_is_settled(const struct health_sim *sim)
{
	for (unsigned int a = 0; a < sim->n_directors; a++) {
		for (unsigned int b = 0; b < sim->n_directors; b++) {
			const struct health_sim_director *publisher = &sim->directors[b];
			const struct health_sim_link *link = &sim->directors[a].links[b];
			bool linked = health_sim_linked(sim, a, b);

			if (a == b || !sim->directors[a].health)
				continue;
			if (link->alive != linked || (linked && !link->current))
				return false;
			if (linked && link->position < publisher->n_log &&
			    publisher->log[link->position].at + 100 * MS < sim->now)
				return false;
		}
	}
	return true;
}
