/* Answers a peer's Want: a walk over the table, a bounded piece of it each time. */
#include <assert.h>
#include <stdlib.h>

#include "sync/sync_private.h"

/* Slots examined for one batch. */
#define WALK_BUDGET 8192u

static int ranges_read(const Lvsmesh__Pb__Want *message, struct ranges *ret_ranges)
{
	if (message->n_ranges == 0 || message->n_ranges % 2 != 0 ||
	    message->n_ranges > 2 * WANT_PAIRS_MAX)
		return -SYNC_E_MALFORMED;
	*ret_ranges = (struct ranges){0};
	for (size_t i = 0; i < message->n_ranges; i += 2) {
		uint32_t first = message->ranges[i], last = message->ranges[i + 1];

		if (first > last || last >= RANGES)
			return -SYNC_E_MALFORMED;
		for (uint32_t range = first; range <= last; range++)
			bits_add(ret_ranges->bits, range);
	}
	return 0;
}

static int origin_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool origin_wanted(const struct answer *answer, uint64_t origin)
{
	if (answer->origin && answer->origin != origin)
		return false;
	return !bsearch(&origin, answer->skip, answer->skip_len, sizeof(origin), origin_compare);
}

/* While all directors are alive, one that starts has all entries from those that carry them. */
static bool holds_any(const struct sync *sync, const struct answer *answer)
{
	struct table_origin origin;

	for (unsigned int i = 0; table_origin(sync->table, i, &origin); i++) {
		if ((origin.entries > 0 || origin.facts > 0) && origin_wanted(answer, origin.id))
			return true;
	}
	return false;
}

int answer_want(const struct sync *sync, struct sync_stream *stream,
		const Lvsmesh__Pb__Want *message)
{
	struct answer *answer;
	struct ranges ranges;
	int r;

	if (!stream->subscriber.begun)
		return -SYNC_E_KIND;
	if (stream->subscriber.answer)
		return -SYNC_E_ORDER;
	r = ranges_read(message, &ranges);
	if (r < 0)
		return r;
	if (message->n_skip > WANT_SKIP_MAX)
		return -SYNC_E_MALFORMED;
	answer = malloc(sizeof(*answer));
	if (!answer)
		return -SYNC_E_MEMORY;
	stream->subscriber.answer = answer;
	*answer = (struct answer){
		.ranges = ranges,
		.skip_len = (unsigned int)message->n_skip,
		.origin = message->origin,
		.since = message->since,
		.facts = message->facts,
	};
	for (size_t i = 0; i < message->n_skip; i++)
		answer->skip[i] = message->skip[i];
	qsort(answer->skip, answer->skip_len, sizeof(*answer->skip), origin_compare);
	answer->nothing = !holds_any(sync, answer);
	return 0;
}

/* One piece at a time, however fast the peer takes them: there is other work. */
usec_t answer_time(const struct subscriber *subscriber)
{
	return subscriber->answer ? subscriber->answer_time + 1 : USEC_NEVER;
}

static bool wanted(const struct sync *sync, const struct answer *answer, const struct flow *flow,
		   const struct table_meta *meta)
{
	uint64_t hlc = meta->version.hlc;

	/* Others' results are for them to send; ours are in our journal. */
	if (fact_is_result(flow) &&
	    (!answer->facts || !fact_is_proved_by(flow, sync->identity->id)))
		return false;
	return (hlc < HLC_TIMES || hlc > answer->since) &&
	       bits_have(answer->ranges.bits, RANGE_OF(meta->range)) &&
	       origin_wanted(answer, meta->version.origin);
}

/* Connections, then facts. 0: the walk has ended. */
static table_ref walk_next(const struct sync *sync, struct answer *answer)
{
	table_ref ref = answer->facts ? 0 : table_walk(sync->table, &answer->walk);

	return ref ? ref : table_fact_walk(sync->table, &answer->walk_facts);
}

/* Returns whether the walk has ended. */
static bool collect(struct sync *sync, struct answer *answer, struct now now)
{
	for (unsigned int i = 0; i < WALK_BUDGET && !answer->nothing; i++) {
		uint64_t walk = answer->walk, facts = answer->walk_facts;
		table_ref ref = walk_next(sync, answer);
		struct table_meta meta;
		struct entry entry;

		if (!ref)
			return true;
		table_get(sync->table, ref, &entry, &meta);
		if (wanted(sync, answer, &entry.flow, &meta) &&
		    !sync_batch_collect(sync, ref, now)) {
			answer->walk = walk;
			answer->walk_facts = facts;
			return false;
		}
	}
	return answer->nothing;
}

size_t answer_output(struct sync *sync, struct sync_stream *stream, struct now now, uint8_t *data)
{
	struct subscriber *subscriber = &stream->subscriber;
	struct batch_head head = {
		.first = stream->subscriber.sent,
		.last = stream->subscriber.sent,
		.wanted = true,
	};

	assert(subscriber->answer);
	sync_batch_begin(sync, subscriber->facts);
	head.wanted_end = collect(sync, subscriber->answer, now);
	if (head.wanted_end) {
		free(subscriber->answer);
		subscriber->answer = NULL;
	}
	subscriber->answer_time = now.mono;
	stream->entries += batch_count(sync->batch);
	return sync_batch_seal(sync, &head, data);
}
