/* One service: the weights of its real servers, and the changes that are pulled. */
#include "director/check/health_private.h"

static struct effective_real input(const struct health *health, const struct real_server *real,
				   const struct backend *backend)
{
	const struct target *target =
		backend->target == TARGET_NONE ? NULL : &health->targets.list[backend->target];

	return (struct effective_real){
		.file_weight = real->weight,
		.checked = target != NULL,
		.verdict = target ? target->verdict : HEALTH_UNKNOWN,
		.percent = target ? target->weight : -1,
		.up_since = target && target->verdict == HEALTH_UP ? target->verdict_since : 0,
		.setting = backend->setting,
		.setting_weight = backend->setting_weight,
	};
}

/* Returns whether it differs from what was pulled. Connections are ended when a vote of this life
 * says that it is down. */
static bool output(const struct health *health, const struct health_policy *policy,
		   const struct effective_real *real, struct backend *backend)
{
	const struct target *target = real->checked ? &health->targets.list[backend->target] : NULL;
	bool out = real->out && !(target && target->provisional);

	if (out != backend->out)
		backend->end = out && policy->end_connections;
	backend->weight = real->weight;
	backend->removed = real->removed;
	backend->out = out;
	backend->kept = real->kept;
	backend->slow_start = real->slow_start;
	return backend->weight != backend->pulled_weight ||
	       backend->removed != backend->pulled_removed || backend->end;
}

void health_service_decide(struct health *health, uint32_t number, struct now now)
{
	struct group *group = &health->layout.groups[number];
	const struct service *service = group->service;
	struct backend *backends = &health->layout.backends[group->first];
	struct effective_service effective = {.policy = &service->health,
					      .has_sorry = service->sorry.endpoint.port != 0,
					      .service_down = group->service_down};
	bool changed = false;
	uint32_t pulled;

	if (fifo_first(&health->change, &pulled) && pulled == number)
		health->change_at = 0;
	for (size_t i = 0; i < service->n_real_servers; i++)
		health->scratch[i] = input(health, &service->real_servers[i], &backends[i]);
	effective_decide(&effective, health->scratch, service->n_real_servers, now.wall);
	for (size_t i = 0; i < service->n_real_servers; i++)
		changed |= output(health, &service->health, &health->scratch[i], &backends[i]);
	health->state_changed |= group->service_down != effective.service_down;
	group->service_down = effective.service_down;
	group->panic = effective.panic;
	group->sorry = effective.sorry;
	group->vip_off = effective.vip_off;
	group->up = effective.up;
	group->down = effective.down;
	if (changed || group->sorry != group->pulled_sorry ||
	    group->vip_off != group->pulled_vip_off)
		fifo_add(&health->change, number);
	fifo_add(&health->service_notice, number);
	schedule_set(&health->step, number,
		     effective.next == USEC_NEVER ? USEC_NEVER
						  : now.mono + (effective.next - now.wall));
}

/* The next real server of the service, from health->change_at on. */
static bool next_real(struct health *health, uint32_t number, struct health_change *ret_change)
{
	struct group *group = &health->layout.groups[number];

	for (; health->change_at < group->service->n_real_servers; health->change_at++) {
		struct backend *backend =
			&health->layout.backends[group->first + health->change_at];

		if (backend->weight == backend->pulled_weight &&
		    backend->removed == backend->pulled_removed && !backend->end)
			continue;
		*ret_change = (struct health_change){.type = HEALTH_CHANGE_REAL,
						     .service = number,
						     .real = health->change_at,
						     .weight = backend->weight,
						     .removed = backend->removed,
						     .end_connections = backend->end};
		backend->pulled_weight = backend->weight;
		backend->pulled_removed = backend->removed;
		backend->end = false;
		return true;
	}
	return false;
}

bool health_change(struct health *health, struct health_change *ret_change)
{
	uint32_t number;

	while (fifo_first(&health->change, &number)) {
		struct group *group = &health->layout.groups[number];

		*ret_change = (struct health_change){.service = number};
		/* A sorry server is there before, and goes after, the real servers without weight.
		 */
		if (group->sorry && !group->pulled_sorry) {
			group->pulled_sorry = true;
			ret_change->type = HEALTH_CHANGE_SORRY;
			ret_change->weight = group->service->sorry.weight;
			ret_change->on = true;
			return true;
		}
		if (next_real(health, number, ret_change))
			return true;
		if (group->sorry != group->pulled_sorry) {
			group->pulled_sorry = group->sorry;
			ret_change->type = HEALTH_CHANGE_SORRY;
			ret_change->removed = true;
			return true;
		}
		if (group->vip_off != group->pulled_vip_off) {
			group->pulled_vip_off = group->vip_off;
			ret_change->type = HEALTH_CHANGE_VIP;
			ret_change->on = !group->vip_off;
			return true;
		}
		fifo_take(&health->change, &number);
		health->change_at = 0;
	}
	return false;
}
