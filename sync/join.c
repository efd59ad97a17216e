/* The start. The peers' own journals do not bring entries of directors that are gone: we ask the
 * peers that are complete for these, each for a share of the key space at a time. */
#include <assert.h>

#include "sync/sync_private.h"

/* After this long without a donor there is nothing to be had. */
#define ALONE (5 * USEC_PER_SEC)

static bool is_donor(const struct sync_stream *stream)
{
	return stream->is_subscription && stream->subscription.complete &&
	       subscription_caught_up(&stream->subscription);
}

/* The number of entries on their way to the kernel. */
static uint64_t on_the_way(const struct sync *sync)
{
	return (uint64_t)table_list_count(sync->table, TABLE_INJECT) +
	       table_list_count(sync->table, TABLE_REPLACE) +
	       table_list_count(sync->table, TABLE_UNCONFIRMED);
}

/* While peers carry traffic there is always an entry on its way to the kernel; only entries learned
 * of the time before us have to be there. */
void join_look(struct sync *sync)
{
	struct sync_join *join = &sync->join;

	if (join->complete || !join->done ||
	    (sync->counters.injected < join->goal && on_the_way(sync) > 0))
		return;
	join->complete = true;
	subscriber_heartbeat_now(sync);
}

static void join_done(struct sync *sync)
{
	struct sync_join *join = &sync->join;

	assert(!join->done && join->shares_done <= join->shares);
	join->active = false;
	join->done = true;
	join->goal = sync->counters.injected + on_the_way(sync);
	for (unsigned int i = 0; join->shares_done == join->shares && i < join->seen_len; i++) {
		join->seen[i].streamed = join->seen[i].position;
		join->seen[i].lacks = true;
		progress_note(sync, &join->seen[i]);
	}
	sync->orphans_changes++;
	join_look(sync);
}

static const struct journal *find_orphan(const struct orphans *orphans,
					 const struct journal *journal)
{
	for (unsigned int i = 0; orphans && i < orphans->len; i++) {
		if (orphans->journals[i].id == journal->id &&
		    orphans->journals[i].journal == journal->journal)
			return &orphans->journals[i];
	}
	return NULL;
}

/* Keeps the journals that are gone and that the donor knows too: the shares hold no more of each
 * than the least that a donor had. */
static void see_donor(struct sync *sync, const struct subscription *donor)
{
	struct sync_join *join = &sync->join;
	unsigned int len = 0;

	if (!join->seen_any && donor->orphans) {
		join->seen_len = donor->orphans->len;
		memcpy(join->seen, donor->orphans->journals, join->seen_len * sizeof(*join->seen));
	}
	join->seen_any = true;
	for (unsigned int i = 0; i < join->seen_len; i++) {
		struct journal journal = join->seen[i];
		const struct journal *had = find_orphan(donor->orphans, &journal);

		if (!had || progress_now(sync, &journal))
			continue;
		journal.position = MIN(journal.position, had->position);
		journal.hlc = MIN(journal.hlc, had->hlc);
		join->seen[len++] = journal;
	}
	join->seen_len = len;
}

/* All that are complete now, each once: a share leaves their own entries out, which come from
 * themselves, so of their earlier journals we shall have no more than they. */
static void see_donors(struct sync *sync)
{
	STREAMS_EACH (i, sync) {
		struct sync_stream *stream = sync->streams[i];

		if (is_donor(stream) && !stream->subscription.donor) {
			stream->subscription.donor = true;
			see_donor(sync, &stream->subscription);
		}
	}
}

void sync_join(struct sync *sync, struct now now)
{
	struct sync_join *join = &sync->join;
	unsigned int donors = 0, shares;

	if (join->active || join->done)
		return;
	STREAMS_EACH (i, sync)
		donors += is_donor(sync->streams[i]);
	if (donors == 0) {
		join_done(sync);
		return;
	}
	join->active = true;
	join->alone = now.mono;
	shares = donors > 1 ? MIN(donors * SHARES_A_DONOR, SHARES_MAX) : 1;
	join->share = (RANGES + shares - 1) / shares;
	join->shares = (RANGES + join->share - 1) / join->share;
	memset(&join->left, 0xff, sizeof(join->left));
	ask_all(sync);
}

void sync_join_end(struct sync *sync)
{
	struct sync_join *join = &sync->join;

	if (join->complete)
		return;
	if (!join->done)
		join_done(sync);
	join->ended = join->complete = true;
	subscriber_heartbeat_now(sync);
}

bool join_take(struct sync *sync, struct sync_stream *stream)
{
	struct sync_join *join = &sync->join;
	unsigned int at = 0;

	if (!join->active || !is_donor(stream))
		return false;
	if (ask_parts(&stream->subscription, &join->left, join->share, &at) == 0)
		return false;
	see_donors(sync);
	return true;
}

void join_share_ended(struct sync *sync, const struct subscription *subscription, bool answered)
{
	struct sync_join *join = &sync->join;

	if (!join->active)
		return;
	if (!answered) {
		BITS_EACH (part, subscription->wanted.bits, RANGES)
			bits_add(join->left.bits, part);
		return;
	}
	if (++join->shares_done == join->shares)
		join_done(sync);
}

void join_tick(struct sync *sync, struct now now)
{
	struct sync_join *join = &sync->join;
	bool alone = true;

	join_look(sync);
	if (!join->active)
		return;
	STREAMS_EACH (i, sync) {
		if (is_donor(sync->streams[i]))
			alone = false;
	}
	if (!alone)
		join->alone = now.mono;
	else if (now.mono >= join->alone + ALONE)
		join_done(sync);
}
