/* Incidents that begin and end. Each target and service remembers what was told of it. */
#include "director/check/health_private.h"

#include <stdlib.h>

bool health_notice_vote(const struct target *target, unsigned int i, struct health_vote *ret_vote)
{
	const struct vote *vote;

	if (i >= target->n_votes)
		return false;
	vote = &target->votes[i];
	*ret_vote = (struct health_vote){.director = vote->origin,
					 .state = vote->state,
					 .view = vote->view,
					 .counted = vote->counted,
					 .since = vote->since,
					 .weight = vote->weight,
					 .cause = vote->cause};
	if (vote->reason)
		memcpy(ret_vote->reason, vote->reason, strlen(vote->reason) + 1);
	return true;
}

static void fill_target(const struct health *health, const struct target *target,
			struct health_notice *notice)
{
	notice->endpoint = target->endpoint;
	notice->services = target->n_refs;
	if (target->first != TARGET_NONE) {
		const struct backend *backend = &health->layout.backends[target->first];

		notice->service = backend->service;
		notice->real = target->first - health->layout.groups[backend->service].first;
	}
	for (unsigned int i = 0; i < target->n_votes && notice->n_votes < HEALTH_VOTES_MAX; i++)
		if (target->votes[i].counted || target->votes[i].origin == health->self)
			health_notice_vote(target, i, &notice->votes[notice->n_votes++]);
}

/* The next difference between what is and what was told. */
static bool next_of_target(struct target *target, struct health_notice *notice)
{
	bool down = target->verdict == HEALTH_DOWN && !target->forced && !target->provisional;

	if (down != (target->told == HEALTH_DOWN)) {
		target->told = down ? HEALTH_DOWN : HEALTH_UP;
		*notice = (struct health_notice){.type = HEALTH_NOTICE_REAL, .active = down};
	} else if (target->unreachable != target->unreachable_told) {
		target->unreachable_told = target->unreachable;
		*notice = (struct health_notice){.type = HEALTH_NOTICE_UNREACHABLE,
						 .active = target->unreachable};
	} else if (target->late != target->late_told) {
		target->late_told = target->late;
		*notice =
			(struct health_notice){.type = HEALTH_NOTICE_LATE, .active = target->late};
	} else {
		return false;
	}
	return true;
}

static bool next_of_service(struct group *group, struct health_notice *notice)
{
	if (group->service_down != group->told_down) {
		group->told_down = group->service_down;
		*notice = (struct health_notice){.type = HEALTH_NOTICE_SERVICE,
						 .active = group->service_down};
	} else if (group->panic != group->told_panic) {
		group->told_panic = group->panic;
		*notice =
			(struct health_notice){.type = HEALTH_NOTICE_PANIC, .active = group->panic};
	} else {
		return false;
	}
	return true;
}

static void fill_service(const struct group *group, struct health_notice *notice)
{
	notice->service_key = group->service->key;
	notice->up = group->up;
	notice->down = group->down;
	notice->total = group->service->n_real_servers;
	notice->vip_off = group->vip_off;
	notice->sorry = group->sorry;
	notice->panic = group->panic;
}

bool health_notice(struct health *health, struct now now, struct health_notice *ret_notice)
{
	uint32_t number;

	if (health->n_gone) {
		*ret_notice = health->gone[--health->n_gone];
		return true;
	}
	while (fifo_first(&health->notice, &number)) {
		struct target *target = &health->targets.list[number];

		if (target->used && next_of_target(target, ret_notice)) {
			ret_notice->target = number;
			ret_notice->late = now.mono - target->last_life;
			fill_target(health, target, ret_notice);
			return true;
		}
		fifo_take(&health->notice, &number);
	}
	while (fifo_first(&health->service_notice, &number)) {
		struct group *group = &health->layout.groups[number];

		if (next_of_service(group, ret_notice)) {
			ret_notice->service = number;
			fill_service(group, ret_notice);
			return true;
		}
		fifo_take(&health->service_notice, &number);
	}
	return false;
}

/* Without memory the incident stays open. */
static void keep(struct health *health, const struct health_notice *notice)
{
	if (health->n_gone == health->gone_room) {
		size_t room = health->gone_room ? 2 * health->gone_room : 16;
		struct health_notice *gone = reallocarray(health->gone, room, sizeof(*gone));

		if (!gone)
			return;
		health->gone = gone;
		health->gone_room = room;
	}
	health->gone[health->n_gone++] = *notice;
}

void health_notice_target_gone(struct health *health, uint32_t number)
{
	struct target *target = &health->targets.list[number];
	struct health_notice notice;

	target->verdict = HEALTH_UNKNOWN;
	target->unreachable = target->late = false;
	while (next_of_target(target, &notice)) {
		notice.gone = true;
		notice.target = number;
		notice.endpoint = target->endpoint;
		keep(health, &notice);
	}
}

void health_notice_service_gone(struct health *health, uint32_t number)
{
	struct group *group = &health->layout.groups[number];
	struct health_notice notice;

	group->service_down = group->panic = false;
	while (next_of_service(group, &notice)) {
		fill_service(group, &notice);
		notice.gone = true;
		keep(health, &notice);
	}
}
