#include "director/check/verdict.h"

#include <sodium.h>
#include <stdlib.h>

static_assert(KEY_SIZE == crypto_shorthash_KEYBYTES, "a target's key is that of its hashes");

struct ranked {
	uint64_t score, id;
};

static struct ranked ranked(const struct verdict_question *q, uint64_t id)
{
	uint8_t bytes[8], hash[crypto_shorthash_BYTES];

	store_le64(bytes, id);
	crypto_shorthash(hash, bytes, sizeof(bytes), q->key);
	return (struct ranked){load_le64(hash), id};
}

static bool is_before(struct ranked a, struct ranked b)
{
	return a.score != b.score ? a.score > b.score : a.id > b.id;
}

int verdict_member_compare(const void *a, const void *b)
{
	const struct health_member *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static bool is_usable(const struct verdict_question *q, const struct vote *vote)
{
	const struct health_member key = {.id = vote->origin}, *member;

	if (vote->state == HEALTH_UNKNOWN || vote->until <= q->now)
		return false;
	member = bsearch(&key, q->alive, q->n_alive, sizeof(*q->alive), verdict_member_compare);
	return member && member->current && member->epoch == vote->epoch;
}

static bool has_voted(const struct verdict_question *q, uint64_t id)
{
	for (unsigned int i = 0; i < q->n_votes; i++)
		if (q->votes[i].origin == id)
			return is_usable(q, &q->votes[i]);
	return false;
}

/* Marks the votes that count, and returns how many do. */
static unsigned int count_votes(const struct verdict_question *q, unsigned int k)
{
	struct ranked voters[DIRECTORS_MAX];
	unsigned int n = 0, counted = 0, before;

	for (unsigned int i = 0; i < q->n_votes; i++) {
		q->votes[i].counted = is_usable(q, &q->votes[i]);
		if (q->votes[i].counted)
			voters[n++] = ranked(q, q->votes[i].origin);
	}
	if (n <= k)
		return n;
	for (unsigned int i = 0, voter = 0; i < q->n_votes; i++) {
		if (!q->votes[i].counted)
			continue;
		before = 0;
		for (unsigned int other = 0; other < n; other++)
			before += is_before(voters[other], voters[voter]);
		q->votes[i].counted = before < k;
		counted += before < k;
		voter++;
	}
	return counted;
}

static bool is_assigned(const struct verdict_question *q, unsigned int k)
{
	struct ranked self = ranked(q, q->self);
	unsigned int before = 0;

	if (k == q->n_alive)
		return true;
	for (unsigned int i = 0; i < q->n_alive; i++)
		if (q->alive[i].id != q->self && is_before(ranked(q, q->alive[i].id), self) &&
		    (!q->overdue || has_voted(q, q->alive[i].id)))
			before++;
	return before < k;
}

static int time_compare(const void *a, const void *b)
{
	const usec_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The votes for one state or view, in the order of time. */
struct tally {
	unsigned int n;
	usec_t times[DIRECTORS_MAX];
};

static void tally_add(struct tally *tally, usec_t time)
{
	tally->times[tally->n++] = time;
}

/* When the needed'th vote came in. */
static usec_t tally_time(struct tally *tally, unsigned int needed)
{
	qsort(tally->times, tally->n, sizeof(*tally->times), time_compare);
	return tally->times[needed - 1];
}

/* For even numbers the higher of the two in the middle. */
static int weight_median(const struct verdict_question *q)
{
	usec_t weights[DIRECTORS_MAX];
	unsigned int n = 0;

	for (unsigned int i = 0; i < q->n_votes; i++)
		if (q->votes[i].counted && q->votes[i].state == HEALTH_UP &&
		    q->votes[i].weight >= 0)
			weights[n++] = (usec_t)q->votes[i].weight;
	qsort(weights, n, sizeof(*weights), time_compare);
	return n ? (int)weights[n / 2] : -1;
}

static void count_states(const struct verdict_question *q, struct verdict_answer *answer)
{
	struct tally up = {0}, down = {0};
	/* A tie is up. */
	unsigned int downs_needed = answer->k / 2 + 1, ups_needed = answer->k - answer->k / 2;

	for (unsigned int i = 0; i < q->n_votes; i++)
		if (q->votes[i].counted)
			tally_add(q->votes[i].state == HEALTH_UP ? &up : &down, q->votes[i].since);
	if (down.n >= downs_needed) {
		answer->verdict = HEALTH_DOWN;
		answer->since = tally_time(&down, downs_needed);
	} else if (up.n >= ups_needed) {
		answer->verdict = HEALTH_UP;
		answer->since = tally_time(&up, ups_needed);
	}
}

static void count_views(const struct verdict_question *q, struct verdict_answer *answer)
{
	struct tally up = {0}, down = {0}, *most;
	unsigned int others = 0, wanted = answer->k - answer->assigned;

	for (unsigned int i = 0; i < q->n_votes; i++) {
		if (!q->votes[i].counted || q->votes[i].view == HEALTH_UNKNOWN)
			continue;
		tally_add(q->votes[i].view == HEALTH_UP ? &up : &down, q->votes[i].view_since);
		others += q->votes[i].origin != q->self;
	}
	if (up.n + down.n == 0)
		return;
	most = down.n > up.n ? &down : &up;
	answer->view = most == &up ? HEALTH_UP : HEALTH_DOWN;
	answer->view_since = tally_time(most, 1);
	answer->view_holds = 2 * (up.n + down.n) > answer->k;
	answer->others_hold = 2 * others > wanted;
}

void verdict_count(const struct verdict_question *q, struct verdict_answer *ret_answer)
{
	struct verdict_answer answer = {0};

	answer.k = q->checkers ? MIN(q->checkers, q->n_alive) : q->n_alive;
	answer.n_counted = count_votes(q, answer.k);
	answer.assigned = is_assigned(q, answer.k);
	for (unsigned int i = 0; i < q->n_votes; i++)
		answer.counted |= q->votes[i].counted && q->votes[i].origin == q->self;
	count_states(q, &answer);
	count_views(q, &answer);
	answer.weight = answer.verdict == HEALTH_UP ? weight_median(q) : -1;
	*ret_answer = answer;
}
