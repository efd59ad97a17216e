/* A new configuration: its targets, and what stays of the old one. */
#include "director/check/health_private.h"

#include <stdlib.h>

static bool same_source(const struct check *a, const struct check *b)
{
	return ip_addr_compare(&a->source, &b->source) == 0;
}

/* Finds or adds it. A target that no real server of this configuration has yet gets its check, for
 * same_source(): sources of the former one are of no matter, or the variant would be another than
 * on a director that has just started. */
static int find_target(struct health *health, const struct service *service,
		       const struct real_server *real, uint32_t *ret_number)
{
	uint8_t key[KEY_SIZE];
	struct target *target;
	int r;

	for (unsigned int variant = 0;; variant++) {
		target_key(service, real, variant, key);
		*ret_number = target_find(&health->targets, key);
		if (*ret_number == TARGET_NONE)
			break;
		target = &health->targets.list[*ret_number];
		if (!target->check)
			target->check = real->check;
		if (same_source(target->check, real->check))
			return 0;
	}
	r = target_add(&health->targets, key, ret_number);
	if (r < 0)
		return r;
	target = &health->targets.list[*ret_number];
	target->check = real->check;
	target_endpoint(service, real, &target->endpoint);
	return 0;
}

static void layout_fini(struct layout *layout)
{
	free(layout->backends);
	free(layout->groups);
	key_index_fini(&layout->index);
}

static int build_group(struct health *health, struct layout *layout, size_t number)
{
	struct group *group = &layout->groups[number];

	for (size_t i = 0; i < group->service->n_real_servers; i++) {
		const struct real_server *real = &group->service->real_servers[i];
		uint32_t at = (uint32_t)(group->first + i);
		struct backend *backend = &layout->backends[at];
		int r;

		*backend = (struct backend){.service = (uint32_t)number,
					    .target = TARGET_NONE,
					    .next = TARGET_NONE,
					    .weight = real->weight,
					    .pulled_weight = real->weight};
		target_setting_key(group->service, real, backend->key);
		if (key_index_find(&layout->index, layout->backends, sizeof(*backend),
				   backend->key) == KEY_INDEX_NONE)
			key_index_add(&layout->index, backend->key, at);
		r = real->check ? find_target(health, group->service, real, &backend->target) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int build(struct health *health, const struct service_set *services,
		 struct layout *ret_layout)
{
	struct layout layout = {.n_groups = services->count};
	int r = 0;

	for (size_t i = 0; i < services->count; i++)
		layout.n_backends += services->services[i].n_real_servers;
	for (uint32_t i = 0; i < health->targets.count; i++)
		health->targets.list[i].check = NULL; /* link_targets() sets it */
	layout.groups = calloc(layout.n_groups + 1, sizeof(*layout.groups));
	layout.backends = calloc(layout.n_backends + 1, sizeof(*layout.backends));
	if (!layout.groups || !layout.backends ||
	    key_index_reserve(&layout.index, layout.n_backends, layout.backends,
			      sizeof(*layout.backends)) < 0)
		r = -ENOMEM;
	for (size_t i = 0, first = 0; r == 0 && i < services->count; i++) {
		layout.groups[i].service = &services->services[i];
		layout.groups[i].first = first;
		first += services->services[i].n_real_servers;
		r = build_group(health, &layout, i);
	}
	if (r < 0)
		layout_fini(&layout);
	else
		*ret_layout = layout;
	return r;
}

static int reserve(struct health *health, const struct service_set *services)
{
	size_t targets = health->targets.count, count = services->count, most = 0;
	struct effective_real *scratch;

	for (size_t i = 0; i < count; i++)
		most = MAX(most, services->services[i].n_real_servers);
	if (schedule_reserve(&health->wake, targets) < 0 ||
	    schedule_reserve(&health->step, count) < 0 ||
	    fifo_reserve(&health->evaluate, targets) < 0 ||
	    fifo_reserve(&health->ready, targets) < 0 ||
	    fifo_reserve(&health->publish, targets) < 0 ||
	    fifo_reserve(&health->notice, targets) < 0 ||
	    fifo_reserve(&health->decide, count) < 0 || fifo_reserve(&health->change, count) < 0 ||
	    fifo_reserve(&health->service_notice, count) < 0)
		return -ENOMEM;
	scratch = reallocarray(health->scratch, most + 1, sizeof(*scratch));
	if (!scratch)
		return -ENOMEM;
	health->scratch = scratch;
	return 0;
}

/* A new target begins with the verdict of the real server's old one. */
static void inherit_target(struct health *health, const struct backend *old,
			   const struct backend *new)
{
	struct target *from, *to;

	if (old->target == TARGET_NONE || new->target == TARGET_NONE || old->target == new->target)
		return;
	from = &health->targets.list[old->target];
	to = &health->targets.list[new->target];
	if (to->n_refs > 0 || to->verdict != HEALTH_UNKNOWN)
		return;
	to->verdict = from->verdict;
	to->verdict_since = from->verdict_since;
	to->provisional = from->provisional;
	to->weight = from->weight;
}

static void inherit_group(struct health *health, const struct group *old, const struct group *new,
			  struct layout *layout)
{
	size_t o = 0, n = 0;

	while (o < old->service->n_real_servers && n < new->service->n_real_servers) {
		int order = service_real_compare(&old->service->real_servers[o],
						 &new->service->real_servers[n]);
		const struct backend *from = &health->layout.backends[old->first + o];
		struct backend *to = &layout->backends[new->first + n];

		if (order == 0) {
			to->out = from->out;
			to->end = from->end;
			inherit_target(health, from, to);
		}
		o += order <= 0;
		n += order >= 0;
	}
}

static void inherit_same(struct health *health, const struct group *old, struct group *new,
			 struct layout *layout)
{
	new->service_down = old->service_down;
	new->told_down = old->told_down;
	new->told_panic = old->told_panic;
	inherit_group(health, old, new, layout);
}

static void inherit_new(struct health *health, struct group *new)
{
	uint8_t key[KEY_SIZE];

	target_service_key(new->service, key);
	new->service_down = health_state_was_down(health, key);
}

static void inherit(struct health *health, struct layout *layout)
{
	size_t o = 0, n = 0;

	while (o < health->layout.n_groups || n < layout->n_groups) {
		int order = o == health->layout.n_groups ? 1 : n == layout->n_groups ? -1 : 0;

		if (order == 0)
			order = service_key_compare(&health->layout.groups[o].service->key,
						    &layout->groups[n].service->key);
		if (order < 0)
			health_notice_service_gone(health, (uint32_t)o);
		else if (order > 0)
			inherit_new(health, &layout->groups[n]);
		else
			inherit_same(health, &health->layout.groups[o], &layout->groups[n], layout);
		o += order <= 0;
		n += order >= 0;
	}
}

/* The real servers of each target, in the order of the configuration: the first one stands for
 * all. */
static void link_targets(struct health *health)
{
	for (uint32_t i = 0; i < health->targets.count; i++) {
		if (!health->targets.list[i].used)
			continue;
		health->targets.list[i].first = TARGET_NONE;
		health->targets.list[i].n_refs = 0;
	}
	for (size_t i = health->layout.n_backends; i-- > 0;) {
		struct backend *backend = &health->layout.backends[i];
		const struct service *service = health->layout.groups[backend->service].service;
		struct target *target;
		unsigned int checkers = service->health.checkers;

		if (backend->target == TARGET_NONE)
			continue;
		target = &health->targets.list[backend->target];
		target->check =
			service->real_servers[i - health->layout.groups[backend->service].first]
				.check;
		if (target->n_refs++ == 0 || checkers == 0)
			target->checkers = checkers;
		else if (target->checkers > 0)
			target->checkers = MAX(target->checkers, checkers);
		backend->next = target->first;
		target->first = (uint32_t)i;
	}
}

static void drop_unused(struct health *health)
{
	for (uint32_t i = 0; i < health->targets.count; i++) {
		struct target *target = &health->targets.list[i];

		if (!target->used || target->n_refs > 0)
			continue;
		health_notice_target_gone(health, i);
		if (target->published.state)
			health_target_withdraw(health, target->key);
		health->counts.checking -= target->checking;
		schedule_set(&health->wake, i, USEC_NEVER);
		target_remove(&health->targets, i);
	}
}

static void begin_targets(struct health *health, struct now now)
{
	for (uint32_t i = 0; i < health->targets.count; i++) {
		struct target *target = &health->targets.list[i];

		if (!target->used)
			continue;
		fifo_add(&health->evaluate, i);
		if (target->added)
			continue;
		target->added = MAX(now.mono, 1);
		if (target->verdict == HEALTH_UNKNOWN &&
		    health_state_was_down(health, target->key)) {
			target->verdict = HEALTH_DOWN;
			target->provisional = true;
		}
	}
}

/* Without memory: the targets that build() has added go again. */
static int give_up(struct health *health)
{
	link_targets(health);
	for (uint32_t i = 0; i < health->targets.count; i++)
		if (health->targets.list[i].used && health->targets.list[i].n_refs == 0)
			target_remove(&health->targets, i);
	return -ENOMEM;
}

int health_config(struct health *health, const struct service_set *services, struct now now)
{
	struct layout layout;
	uint32_t number;

	if (build(health, services, &layout) < 0)
		return give_up(health);
	if (reserve(health, services) < 0) {
		layout_fini(&layout);
		return give_up(health);
	}
	inherit(health, &layout);
	for (size_t i = 0; i < health->layout.n_groups; i++)
		schedule_set(&health->step, (uint32_t)i, USEC_NEVER);
	fifo_clear(&health->decide);
	fifo_clear(&health->change);
	fifo_clear(&health->service_notice);
	health->change_at = 0;
	layout_fini(&health->layout);
	health->layout = layout;
	link_targets(health);
	drop_unused(health);
	begin_targets(health, now);
	health_setting_link(health, now);
	while (fifo_take(&health->evaluate, &number))
		health_target_evaluate(health, number, now);
	for (size_t i = 0; i < layout.n_groups; i++)
		health_service_decide(health, (uint32_t)i, now);
	fifo_clear(&health->decide);
	/* They are for the start alone: what is added later is not as it was then. */
	health->n_hints = 0;
	health->counts.targets = health->targets.n_used;
	return 0;
}
