/* For people: the state of real servers and services, and the counters. */
#include "director/check/health_private.h"

static const struct backend *find(const struct health *health, size_t service, size_t real)
{
	const struct group *group = &health->layout.groups[service];

	if (service >= health->layout.n_groups || real >= group->service->n_real_servers)
		return NULL;
	return &health->layout.backends[group->first + real];
}

static void fill_target(const struct health *health, const struct target *target,
			struct health_real_status *status)
{
	const struct vote *own = target_vote(target, health->self);

	status->checked = true;
	status->verdict = target->verdict;
	status->since = target->verdict_since;
	status->checking = target->checking;
	status->late = target->late;
	status->vote = own ? own->state : HEALTH_UNKNOWN;
	status->last = target->last;
	status->last_end = target->last_end;
	status->next = target->checking ? target->due : USEC_NEVER;
	status->percent = target->weight;
}

bool health_real_status(const struct health *health, size_t service, size_t real,
			struct health_real_status *ret_status)
{
	const struct backend *backend = find(health, service, real);
	const struct setting *setting;

	if (!backend)
		return false;
	*ret_status = (struct health_real_status){.percent = -1, .next = USEC_NEVER};
	if (backend->target != TARGET_NONE) {
		ret_status->target = backend->target;
		fill_target(health, &health->targets.list[backend->target], ret_status);
	}
	setting = setting_find(&health->settings, backend->key);
	if (setting) {
		ret_status->setting = setting->setting;
		ret_status->setting_weight = setting->weight;
		ret_status->setting_author = setting->author;
		ret_status->setting_since = setting->version;
	}
	ret_status->file_weight = health->layout.groups[service].service->real_servers[real].weight;
	ret_status->weight = backend->weight;
	ret_status->removed = backend->removed;
	ret_status->kept = backend->kept;
	ret_status->slow_start = backend->slow_start;
	return true;
}

bool health_vote(const struct health *health, size_t service, size_t real, unsigned int i,
		 struct health_vote *ret_vote)
{
	const struct backend *backend = find(health, service, real);

	return backend && backend->target != TARGET_NONE &&
	       health_notice_vote(&health->targets.list[backend->target], i, ret_vote);
}

bool health_service_status(const struct health *health, size_t service,
			   struct health_service_status *ret_status)
{
	const struct group *group = &health->layout.groups[service];

	if (service >= health->layout.n_groups)
		return false;
	*ret_status = (struct health_service_status){.total = group->service->n_real_servers,
						     .up = group->up,
						     .down = group->down,
						     .service_down = group->service_down,
						     .panic = group->panic,
						     .sorry = group->sorry,
						     .vip_off = group->vip_off};
	return true;
}

bool health_settled(const struct health *health, struct now now)
{
	for (uint32_t i = 0; i < health->targets.count; i++) {
		const struct target *target = &health->targets.list[i];

		if (target->used && !target->suspended &&
		    (target->verdict == HEALTH_UNKNOWN || target->provisional) &&
		    now.mono < target->added + schedule_bound(target->check))
			return false;
	}
	return true;
}

static const struct counter_row rows[] = {
	COUNTER_ROW(struct health_counts, targets, "targets", COUNTER_NOW,
		    "Different checks of different real servers."),
	COUNTER_ROW(struct health_counts, checking, "checking", COUNTER_NOW,
		    "Targets that this director checks."),
	COUNTER_ROW(struct health_counts, runs, "runs", COUNTER_TOTAL, "Checks begun."),
	COUNTER_ROW(struct health_counts, runs_lost, "runs_lost", COUNTER_TOTAL,
		    "Checks that did not end a second after their timeout, and were given up."),
	COUNTER_ROW(struct health_counts, late, "late", COUNTER_TOTAL,
		    "Times that no check of a target ended for three intervals."),
};
const struct counter_table health_counter_checks = COUNTER_ROWS("health", rows);
static const struct counter_table refused =
	COUNTER_REASONS("health-refused", health_error_name, 1, HEALTH_E_MAX);

bool health_counter(const struct health *health, unsigned int *i, struct counter *ret_counter)
{
	return counter_get(&health_counter_checks, &health->counts, i, ret_counter) ||
	       counter_get(&refused, health->refused, i, ret_counter);
}
