/* The start. The peers' own journals do not bring entries of directors that are gone: we ask the
 * peers that are complete for these, each for a share of the key space at a time. */
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

	join->active = false;
	join->done = true;
	join->goal = sync->counters.injected + on_the_way(sync);
	for (unsigned int i = 0; join->shares_done == join->shares && i < join->seen_len; i++) {
		join->seen[i].streamed = join->seen[i].position;
		progress_note(sync, &join->seen[i]);
	}
	sync->orphans_changes++;
	join_look(sync);
}

/* Keeps the lower position and version of the two; false: one does not know the journal. */
static bool least(struct journal *journal, const struct orphans *orphans)
{
	const struct journal *had = progress_find_orphan(orphans, journal->id, journal->journal);

	if (!had)
		return false;
	journal->position = MIN(journal->position, had->position);
	journal->hlc = MIN(journal->hlc, had->hlc);
	return true;
}

/* The donor with that id: its entries are left out of the shares, as they come from itself. */
static const struct subscription *find_skipped(const struct sync *sync, uint64_t id)
{
	STREAMS_EACH (i, sync) {
		if (is_donor(sync->streams[i]) && sync->streams[i]->peer_id == id)
			return &sync->streams[i]->subscription;
	}
	return NULL;
}

/* The peer's shares will hold what it has of journals that are gone. We shall have the least of
 * what all donors had. */
static void see_donor(struct sync *sync, struct subscription *subscription)
{
	struct sync_join *join = &sync->join;
	unsigned int len = 0;

	if (subscription->donor)
		return;
	subscription->donor = true;
	if (!join->seen_any && subscription->orphans) {
		join->seen_len = subscription->orphans->len;
		memcpy(join->seen, subscription->orphans->journals,
		       join->seen_len * sizeof(*join->seen));
	}
	join->seen_any = true;
	for (unsigned int i = 0; i < join->seen_len; i++) {
		struct journal journal = join->seen[i];
		const struct subscription *skipped = find_skipped(sync, journal.id);

		if (least(&journal, subscription->orphans) && !progress_now(sync, &journal) &&
		    (!skipped || least(&journal, skipped->orphans)))
			join->seen[len++] = journal;
	}
	join->seen_len = len;
}

void sync_join(struct sync *sync, struct now now)
{
	struct sync_join *join = &sync->join;
	unsigned int donors = 0;

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
	join->shares = donors > 1 ? MIN(donors * SHARES_A_DONOR, SHARES_MAX) : 1;
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

	if (!join->active || !is_donor(stream))
		return false;
	for (unsigned int i = 0; i < join->shares; i++) {
		if (join->share[i] != SHARE_FREE)
			continue;
		see_donor(sync, &stream->subscription);
		join->share[i] = SHARE_TAKEN;
		stream->subscription.share = i;
		return true;
	}
	return false;
}

void join_share(const struct sync *sync, unsigned int share, uint32_t ret_range[2])
{
	ret_range[0] = share * RANGES / sync->join.shares;
	ret_range[1] = (share + 1) * RANGES / sync->join.shares - 1;
}

void join_share_ended(struct sync *sync, unsigned int share, bool answered)
{
	struct sync_join *join = &sync->join;

	if (!join->active)
		return;
	join->share[share] = answered ? SHARE_DONE : SHARE_FREE;
	join->shares_done += answered;
	if (join->shares_done == join->shares)
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
