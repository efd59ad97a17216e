/* One target: the verdict that follows from its votes, whether we check it, what we publish. */
#include "director/check/health_private.h"

#include <stdlib.h>

#define HEARSAY_AFTER USEC_PER_SEC
#define TIMEOUT_MAX 86400 /* s: no result is believed for longer */
#define WITHDRAWN_MAX 65536

static struct target *target_of(struct health *health, uint32_t number)
{
	return &health->targets.list[number];
}

/* Directors that are assigned and have not voted are passed over from then on. */
static usec_t overdue_at(const struct health *health, const struct target *target)
{
	return MAX(health->steady_since, target->added) + schedule_bound(target->check) +
	       target->check->interval;
}

static bool has_verdict(const struct target *target)
{
	return target->verdict != HEALTH_UNKNOWN && !target->provisional;
}

/* Members are learned of one by one: a director that starts believes none before. */
static usec_t hearsay_at(const struct health *health)
{
	return health->steady_since + HEARSAY_AFTER;
}

static usec_t late_at(const struct target *target)
{
	return target->last_life + LATE_INTERVALS * target->check->interval +
	       target->check->timeout;
}

static usec_t unreachable_at(const struct target *target)
{
	return target->down_here_since == USEC_NEVER || target->verdict != HEALTH_UP
		       ? USEC_NEVER
		       : target->down_here_since + schedule_bound(target->check);
}

void health_target_schedule(struct health *health, uint32_t number)
{
	const struct target *target = target_of(health, number);
	/* A check or a fact that waits to be pulled is not waited for. */
	usec_t wake = fifo_has(&health->publish, number) ? USEC_NEVER : target->refresh;

	if (!target->overdue)
		wake = MIN(wake, overdue_at(health, target));
	if (!has_verdict(target) && health->ticked < hearsay_at(health))
		wake = MIN(wake, hearsay_at(health));
	for (unsigned int i = 0; i < target->n_votes; i++)
		wake = MIN(wake, target->votes[i].until);
	if (!target->unreachable)
		wake = MIN(wake, unreachable_at(target));
	if (target->checking) {
		if (target->run)
			wake = MIN(wake, target->begun + target->check->timeout + RUN_GRACE);
		else if (!fifo_has(&health->ready, number))
			wake = MIN(wake, target->due);
		if (!target->late)
			wake = MIN(wake, late_at(target));
	}
	schedule_set(&health->wake, number, wake);
}

static void set_checking(struct health *health, struct target *target, bool checking,
			 struct now now)
{
	if (checking == target->checking)
		return;
	target->checking = checking;
	target->run = 0;
	target->state = (struct fall_rise){0};
	target->late = false;
	target->down_here_since = USEC_NEVER;
	target_vote_remove(target, health->self);
	if (!checking) {
		health->counts.checking--;
		return;
	}
	health->counts.checking++;
	target->first_draw = true;
	target->last_life = now.mono;
	target->due = now.mono + schedule_first_check(target->check, &health->chance);
}

static void tell_services(struct health *health, const struct target *target)
{
	for (uint32_t i = target->first; i != TARGET_NONE; i = health->layout.backends[i].next)
		fifo_add(&health->decide, health->layout.backends[i].service);
}

/* While the verdict stays the same, further votes only show that it came about earlier. */
static void take_verdict(struct health *health, uint32_t number, enum health_verdict verdict,
			 usec_t since)
{
	struct target *target = target_of(health, number);
	bool changed = verdict != target->verdict;

	if (target->provisional)
		tell_services(health, target);
	target->provisional = target->forced = false;
	if (!changed && since >= target->verdict_since)
		return;
	target->verdict = verdict;
	target->verdict_since = since;
	health->state_changed |= changed;
	tell_services(health, target);
}

/* It comes back as one that was down: up after `rise` checks, with slow start. */
static void force_down(struct health *health, uint32_t number, struct now now)
{
	struct target *target = target_of(health, number);

	if (target->forced)
		return;
	target->forced = true;
	target->provisional = false;
	target->verdict = HEALTH_DOWN;
	target->verdict_since = now.wall;
	tell_services(health, target);
}

/* A director that has just been assigned waits for its own vote. */
static void follow(struct health *health, uint32_t number, const struct verdict_answer *answer,
		   struct now now)
{
	struct target *target = target_of(health, number);
	bool starts = !has_verdict(target);
	usec_t since = answer->since;

	if (answer->verdict) {
		if (starts && answer->view == answer->verdict)
			since = MIN(since, answer->view_since);
		take_verdict(health, number, answer->verdict, since);
	} else if (answer->view &&
		   (answer->view_holds || (!answer->counted && answer->others_hold &&
					   (starts || !answer->assigned || target->overdue))) &&
		   (!starts || now.mono >= hearsay_at(health))) {
		take_verdict(health, number, answer->view, answer->view_since);
	}
	if (answer->weight != target->weight && answer->verdict == HEALTH_UP) {
		target->weight = answer->weight;
		tell_services(health, target);
	}
}

static void look_unreachable(struct target *target, struct now now)
{
	target->unreachable = now.mono >= unreachable_at(target);
}

static void show_view(struct health *health, struct target *target)
{
	struct vote *own = target_vote(target, health->self);

	if (!own)
		return;
	own->view = target->provisional ? HEALTH_UNKNOWN : target->verdict;
	own->view_since = target->verdict_since;
}

void health_target_evaluate(struct health *health, uint32_t number, struct now now)
{
	struct target *target = target_of(health, number);
	struct verdict_answer answer;

	target->overdue = now.mono >= overdue_at(health, target);
	show_view(health, target);
	verdict_count(&(struct verdict_question){target->key, health->self, health->alive,
						 health->n_alive, target->checkers, target->votes,
						 target->n_votes, target->overdue, now.mono},
		      &answer);
	if (target->suspended)
		force_down(health, number, now);
	else
		follow(health, number, &answer, now);
	set_checking(health, target,
		     !target->suspended &&
			     (answer.assigned || (answer.counted && target->checking)),
		     now);
	show_view(health, target);
	look_unreachable(target, now);
	fifo_add(&health->publish, number);
	fifo_add(&health->notice, number);
	health_target_schedule(health, number);
}

void health_target_suspend(struct health *health, uint32_t number, struct now now)
{
	struct target *target = target_of(health, number);
	bool suspended = target->n_refs > 0;

	for (uint32_t i = target->first; i != TARGET_NONE; i = health->layout.backends[i].next)
		suspended &= health->layout.backends[i].setting == HEALTH_SET_MAINTENANCE;
	if (suspended == target->suspended)
		return;
	target->suspended = suspended;
	target->added = now.mono;
	fifo_add(&health->evaluate, number);
}

static bool drop_expired(struct health *health, struct target *target, usec_t mono)
{
	unsigned int n = target->n_votes;

	for (unsigned int i = n; i-- > 0;)
		if (target->votes[i].until <= mono && target->votes[i].origin != health->self)
			target_vote_remove(target, target->votes[i].origin);
	return target->n_votes != n;
}

/* Our own state is worth nothing any more: another director is to check in our place. */
static void become_late(struct health *health, struct target *target)
{
	target->late = true;
	target->state = (struct fall_rise){0};
	target->down_here_since = USEC_NEVER;
	target_vote_remove(target, health->self);
	health->counts.late++;
}

void health_target_wake(struct health *health, uint32_t number, struct now now)
{
	struct target *target = target_of(health, number);
	bool expired = drop_expired(health, target, now.mono);

	if (target->checking && target->run &&
	    now.mono >= target->begun + target->check->timeout + RUN_GRACE) {
		target->run = 0;
		target->due = now.mono;
		health->counts.runs_lost++;
	}
	if (target->checking && !target->run && now.mono >= target->due)
		fifo_add(&health->ready, number);
	if (target->checking && !target->late && now.mono >= late_at(target))
		become_late(health, target);
	else if (!expired && has_verdict(target) &&
		 target->overdue == (now.mono >= overdue_at(health, target)) &&
		 now.mono < target->refresh && now.mono < unreachable_at(target)) {
		/* A check is due, and nothing else: the usual case. */
		health_target_schedule(health, number);
		return;
	}
	health_target_evaluate(health, number, now);
}

/* Our vote is not as it was published. */
static bool is_news(const struct target *target, const struct vote *own, struct now now)
{
	const struct vote *published = &target->published;

	if (!own)
		return published->state != HEALTH_UNKNOWN;
	return own->state != published->state || own->view != published->view ||
	       own->weight != published->weight || now.mono >= target->refresh;
}

/* NULL: our result is ended. */
static void vote_fact(const struct vote *vote, const uint8_t *key, uint64_t self,
		      struct fact *ret_fact)
{
	*ret_fact = (struct fact){.kind = FACT_RESULT, .origin = self, .timeout = RESULT_TIMEOUT};
	memcpy(ret_fact->key, key, KEY_SIZE);
	if (vote)
		ret_fact->len = value_pack_vote(vote, ret_fact->value, sizeof(ret_fact->value));
}

bool health_target_publish(struct health *health, struct now now, struct fact *ret_fact)
{
	uint32_t number;

	if (health->n_withdrawn) {
		vote_fact(NULL, health->withdrawn[--health->n_withdrawn], health->self, ret_fact);
		return true;
	}
	while (fifo_take(&health->publish, &number)) {
		struct target *target = target_of(health, number);
		const struct vote *own;

		if (!target->used)
			continue;
		own = target_vote(target, health->self);
		if (!is_news(target, own, now)) {
			health_target_schedule(health, number);
			continue;
		}
		target->published = own ? *own : (struct vote){.weight = -1};
		target->published.reason = NULL;
		target->refresh = USEC_NEVER;
		if (own)
			target->refresh = now.mono + RESULT_REFRESH -
					  chance_below(&health->chance, RESULT_REFRESH / 4);
		vote_fact(own, target->key, health->self, ret_fact);
		health_target_schedule(health, number);
		return true;
	}
	return false;
}

void health_target_withdraw(struct health *health, const uint8_t *key)
{
	size_t room = health->withdrawn_room;

	if (health->n_withdrawn == WITHDRAWN_MAX)
		return;
	if (health->n_withdrawn == room) {
		void *more;

		room = room ? 2 * room : 16;
		more = reallocarray(health->withdrawn, room, sizeof(*health->withdrawn));
		if (!more)
			return; /* it expires */
		health->withdrawn = more;
		health->withdrawn_room = room;
	}
	memcpy(health->withdrawn[health->n_withdrawn++], key, KEY_SIZE);
}

/* A result that was ended is held too, or an older one could come back. */
static int unpack(const struct fact *fact, struct vote *ret_vote, char *reason)
{
	int r;

	*ret_vote = (struct vote){.origin = fact->origin, .hlc = fact->hlc, .weight = -1};
	*reason = 0;
	if (fact->len == 0)
		return 0;
	r = value_unpack_vote(fact->value, fact->len, ret_vote, reason);
	return r == VALUE_E_FORMAT ? HEALTH_E_FORMAT : r ? HEALTH_E_MALFORMED : 0;
}

int health_target_fact(struct health *health, const struct fact *fact, struct now now)
{
	uint32_t number = target_find(&health->targets, fact->key);
	struct vote vote, *held;
	char reason[CHECK_REASON_MAX];
	int r = unpack(fact, &vote, reason);

	if (r)
		return r;
	if (fact->origin == health->self)
		return 0;
	if (number == TARGET_NONE)
		return HEALTH_E_TARGET;
	held = target_vote(target_of(health, number), fact->origin);
	/* The last one that comes holds: its director may have started with its clock set back. */
	if (held && held->hlc == fact->hlc)
		return 0;
	if (!held)
		held = target_vote_add(target_of(health, number), fact->origin);
	if (!held)
		return HEALTH_E_FULL;
	r = (int)MIN(fact->timeout, TIMEOUT_MAX);
	vote.until = now.mono + (r > (int)fact->age ? (usec_t)r - fact->age : 0) * USEC_PER_SEC;
	vote.reason = held->reason;
	*held = vote;
	target_vote_reason(held, reason);
	fifo_add(&health->evaluate, number);
	return 0;
}
