#include "director/check/health_private.h"

#include <stdlib.h>

/* Targets, or services, that one call of health_tick() works on. */
#define TURN 1024

static const char *const error_names[HEALTH_E_MAX] = {
	[HEALTH_E_MALFORMED] = "malformed",
	[HEALTH_E_FORMAT] = "format",
	[HEALTH_E_KIND] = "kind",
	[HEALTH_E_ORIGIN] = "origin",
	[HEALTH_E_TARGET] = "target",
	[HEALTH_E_STALE] = "stale",
	[HEALTH_E_FUTURE] = "future",
	[HEALTH_E_FULL] = "full",
	[HEALTH_E_RUN] = "run",
	[HEALTH_E_SETTING] = "setting",
};

const char *health_error_name(int error)
{
	return error > 0 && error < HEALTH_E_MAX ? error_names[error] : "?";
}

int health_refuse(struct health *health, int error)
{
	if (error > 0)
		health->refused[error]++;
	return error;
}

int health_new(const struct health_options *options, struct health **ret_health)
{
	struct health *health = calloc(1, sizeof(*health));

	if (!health)
		return -ENOMEM;
	health->self = options->self;
	crypto_generichash(health->chance.key, sizeof(health->chance.key), options->seed,
			   sizeof(options->seed), NULL, 0);
	health->ticked = health->steady_since = options->now.mono;
	health->epoch = options->epoch;
	health->alive[0] = (struct health_member){options->self, options->epoch, true};
	health->n_alive = 1;
	health->settings.publish = USEC_NEVER;
	*ret_health = health;
	return 0;
}

void health_free(struct health *health)
{
	if (!health)
		return;
	target_fini_all(&health->targets);
	setting_fini(&health->settings);
	free(health->layout.backends);
	free(health->layout.groups);
	key_index_fini(&health->layout.index);
	schedule_fini(&health->wake);
	schedule_fini(&health->step);
	fifo_fini(&health->evaluate);
	fifo_fini(&health->ready);
	fifo_fini(&health->publish);
	fifo_fini(&health->notice);
	fifo_fini(&health->decide);
	fifo_fini(&health->change);
	fifo_fini(&health->service_notice);
	free(health->withdrawn);
	free(health->hints);
	free(health->gone);
	free(health->scratch);
	free(health);
}

void health_members(struct health *health, const struct health_member *members, unsigned int count,
		    struct now now)
{
	struct health_member sorted[DIRECTORS_MAX] = {{health->self, health->epoch, true}};
	unsigned int n = 1;
	bool moved, changed = false;

	for (unsigned int i = 0; i < count && n < DIRECTORS_MAX; i++)
		if (members[i].id != health->self)
			sorted[n++] = members[i];
	qsort(sorted, n, sizeof(*sorted), verdict_member_compare);
	moved = n != health->n_alive;
	for (unsigned int i = 0; i < n; i++) {
		const struct health_member *was = &health->alive[i], *is = &sorted[i];

		moved |= is->id != was->id;
		changed |= is->current != was->current || is->epoch != was->epoch;
		health->alive[i] = sorted[i];
	}
	health->n_alive = n;
	if (moved)
		health->steady_since = now.mono;
	for (uint32_t i = 0; (moved || changed) && i < health->targets.count; i++)
		if (health->targets.list[i].used)
			fifo_add(&health->evaluate, i);
}

int health_fact(struct health *health, const struct fact *fact, struct now now)
{
	int r = HEALTH_E_KIND;

	if (fact->origin == 0)
		r = HEALTH_E_ORIGIN;
	else if (fact->len > FACT_VALUE_MAX)
		r = HEALTH_E_MALFORMED;
	else if (fact->kind == FACT_RESULT)
		r = health_target_fact(health, fact, now);
	else if (fact->kind == FACT_SETTING)
		r = health_setting_fact(health, fact, now);
	return health_refuse(health, r);
}

/* When the state began. An agreement with the verdict that is known takes over its time. */
static usec_t state_since(const struct target *target, bool was_unknown, struct now now)
{
	enum health_verdict known = target->provisional ? HEALTH_UNKNOWN : target->verdict;

	if (was_unknown && known == target->state.state)
		return target->verdict_since;
	if (was_unknown && known == HEALTH_UNKNOWN && target->state.state == HEALTH_UP)
		return 0;
	return now.wall;
}

static int result_weight(const struct check_result *result, int before)
{
	switch (result->state) {
	case CHECK_DRAIN:
		return 0;
	case CHECK_UP:
		return MIN(result->weight, CHECK_WEIGHT_MAX);
	case CHECK_UNCHANGED:
		return result->weight < 0 ? before : MIN(result->weight, CHECK_WEIGHT_MAX);
	case CHECK_DOWN:
	case CHECK_MAINT:
	case CHECK_STATES:
		break;
	}
	return before;
}

/* Our vote, after a result. Without memory for it we have not voted. */
static void vote_result(struct health *health, uint32_t number, const struct check_result *result,
			bool changed, bool was_unknown, struct now now)
{
	struct target *target = &health->targets.list[number];
	struct vote *own = target_vote(target, health->self);
	int weight;

	if (target->state.state == HEALTH_UNKNOWN)
		return;
	if (!own)
		own = target_vote_add(target, health->self);
	if (!own)
		return;
	weight = result_weight(result, own->weight);
	if (target->state.state == HEALTH_DOWN)
		weight = -1;
	if (changed)
		own->since = state_since(target, was_unknown, now);
	if (changed || weight != own->weight)
		fifo_add(&health->evaluate, number);
	own->epoch = health->epoch;
	own->state = target->state.state;
	own->weight = weight;
	if (target->state.against > 0 && !changed)
		return; /* the reason is that of the state */
	own->cause = result->cause;
	target_vote_reason(own, result->reason);
}

/* The next check, counted from the begin of this one. */
static void next_check(struct health *health, struct target *target, struct now now)
{
	bool undecided = fall_rise_undecided(&target->state);
	usec_t wait = schedule_interval(target->check, undecided, &health->chance);

	if (target->first_draw && !undecided) {
		wait = schedule_spread(target->check, &health->chance);
		target->first_draw = false;
	}
	target->due = MAX(target->begun + wait, now.mono);
}

void health_result(struct health *health, uint32_t number, uint32_t run,
		   const struct check_result *result, struct now now)
{
	struct target *target = &health->targets.list[number];
	enum health_verdict before;
	bool changed;

	if (number >= health->targets.count || !target->used || run == 0 || target->run != run) {
		health_refuse(health, HEALTH_E_RUN);
		return;
	}
	before = target->state.state;
	target->run = 0;
	target->last = *result;
	target->last_end = now.mono;
	if (result->state != CHECK_UNCHANGED || result->cause != CHECK_CAUSE_LOCAL) {
		target->last_life = now.mono;
		if (target->late)
			fifo_add(&health->notice, number);
		target->late = false;
	}
	changed = fall_rise_result(&target->state, result->state,
				   target->provisional ? HEALTH_UNKNOWN : target->verdict,
				   target->check);
	if (changed)
		target->down_here_since =
			target->state.state == HEALTH_DOWN ? now.mono : USEC_NEVER;
	vote_result(health, number, result, changed, before == HEALTH_UNKNOWN, now);
	next_check(health, target, now);
	health_target_schedule(health, number);
}

void health_tick(struct health *health, struct now now)
{
	uint32_t number;

	health->ticked = now.mono;
	for (unsigned int i = 0; i < TURN && schedule_take(&health->wake, now.mono, &number); i++)
		health_target_wake(health, number, now);
	for (unsigned int i = 0; i < TURN && fifo_take(&health->evaluate, &number); i++)
		if (health->targets.list[number].used)
			health_target_evaluate(health, number, now);
	/* Verdicts that come together are one change of a service. */
	if (health->evaluate.count)
		return;
	while (schedule_take(&health->step, now.mono, &number))
		fifo_add(&health->decide, number);
	for (unsigned int i = 0; i < TURN && fifo_take(&health->decide, &number); i++)
		health_service_decide(health, number, now);
}

usec_t health_timeout(const struct health *health)
{
	usec_t timeout = MIN(schedule_first(&health->wake), schedule_first(&health->step));

	if (health->evaluate.count || health->decide.count)
		return 0;
	/* Those whose time has come wait to be pulled. */
	if (health->settings.publish > health->ticked)
		timeout = MIN(timeout, health->settings.publish);
	return timeout;
}

bool health_due(struct health *health, struct now now, struct health_run *ret_run)
{
	uint32_t number;

	while (fifo_take(&health->ready, &number)) {
		struct target *target = &health->targets.list[number];
		const struct backend *backend;

		if (!target->used)
			continue;
		if (!target->checking || target->run || target->due > now.mono) {
			health_target_schedule(health, number);
			continue;
		}
		if (++health->runs == 0)
			health->runs = 1;
		health->counts.runs++;
		target->run = health->runs;
		target->begun = now.mono;
		health_target_schedule(health, number);
		backend = &health->layout.backends[target->first];
		*ret_run = (struct health_run){
			.target = number,
			.run = target->run,
			.check = target->check,
			.service = health->layout.groups[backend->service].service,
			.endpoint = target->endpoint,
		};
		ret_run->real =
			&ret_run->service
				 ->real_servers[target->first -
						health->layout.groups[backend->service].first];
		return true;
	}
	return false;
}

bool health_publish(struct health *health, struct now now, struct fact *ret_fact)
{
	return health_target_publish(health, now, ret_fact) ||
	       health_setting_publish(health, now, ret_fact);
}
