/* Asks a publisher for entries besides its journal: one Want at a time. */
#include "sync/sync_private.h"

static bool orphan_asked(const struct sync *sync, const struct journal *journal)
{
	STREAMS_EACH (i, sync) {
		const struct sync_stream *stream = sync->streams[i];

		if (stream->is_subscription && stream->subscription.ask == ASK_ORPHANS &&
		    stream->subscription.orphan.id == journal->id &&
		    stream->subscription.orphan.journal == journal->journal)
			return true;
	}
	return false;
}

/* The peer has followed an orphaned journal, one that we follow no more, further than we have. */
static bool orphan_take(const struct sync *sync, struct subscription *subscription)
{
	for (unsigned int i = 0; subscription->orphans && i < subscription->orphans->len; i++) {
		const struct journal *orphan = &subscription->orphans->journals[i];
		const struct journal *known = progress_find(sync, orphan->id, orphan->journal);

		if ((known && known->position >= orphan->position) || progress_now(sync, orphan) ||
		    orphan_asked(sync, orphan))
			continue;
		subscription->orphan = *orphan;
		subscription->since = known ? known->hlc : 0;
		return true;
	}
	return false;
}

void ask_next(struct sync *sync, struct sync_stream *stream)
{
	struct subscription *subscription = &stream->subscription;

	if (subscription->ask != ASK_NOTHING || !subscription_caught_up(subscription))
		return;
	if (join_take(sync, stream))
		subscription->ask = ASK_SHARE;
	else if (sync->join.done && orphan_take(sync, subscription))
		subscription->ask = ASK_ORPHANS;
	else if (digest_take(sync, subscription))
		subscription->ask = ASK_DIFFERENCE;
	subscription->ask_due = subscription->ask != ASK_NOTHING;
}

void ask_all(struct sync *sync)
{
	STREAMS_EACH (i, sync) {
		if (sync->streams[i]->is_subscription)
			ask_next(sync, sync->streams[i]);
	}
}

void ask_ended(struct sync *sync, struct sync_stream *stream)
{
	struct subscription *subscription = &stream->subscription;
	enum ask ask = subscription->ask;

	subscription->ask = ASK_NOTHING;
	if (ask == ASK_SHARE) {
		join_share_ended(sync, subscription->share, true);
	} else if (ask == ASK_DIFFERENCE) {
		digest_answered(subscription);
	} else if (ask == ASK_ORPHANS) {
		progress_note(sync, &subscription->orphan);
		sync->orphans_changes++;
	}
}

void ask_dropped(struct sync *sync, struct sync_stream *stream)
{
	if (stream->subscription.ask == ASK_SHARE)
		join_share_ended(sync, stream->subscription.share, false);
	digest_dropped(sync, stream);
	if (stream->subscription.begun)
		sync->orphans_changes++;
}

/* If an origin finds no place in the list, the peer sends its entries in vain. */
static size_t skip_list(const struct sync *sync, const struct subscription *asked,
			uint64_t skip[WANT_SKIP_MAX])
{
	size_t len = 0, max = MIN(asked->skip_max, (unsigned int)WANT_SKIP_MAX);

	STREAMS_EACH (i, sync) {
		const struct sync_stream *stream = sync->streams[i];

		if (len < max && stream->is_subscription && stream->subscription.complete &&
		    subscription_caught_up(&stream->subscription))
			skip[len++] = stream->peer_id;
	}
	return len;
}

size_t ask_output(struct sync *sync, struct sync_stream *stream, uint8_t *data)
{
	Lvsmesh__Pb__Want message = LVSMESH__PB__WANT__INIT;
	struct subscription *subscription = &stream->subscription;
	uint32_t range[2] = {0, RANGES - 1};
	uint64_t skip[WANT_SKIP_MAX];

	subscription->ask_due = false;
	message.n_ranges = ARRAY_SIZE(range);
	message.ranges = range;
	if (subscription->ask == ASK_SHARE) {
		join_share(sync, subscription->share, range);
		message.n_skip = skip_list(sync, subscription, skip);
		message.skip = skip;
	} else if (subscription->ask == ASK_DIFFERENCE) {
		message.n_ranges = subscription->pairs_len;
		message.ranges = subscription->pairs;
	} else {
		message.origin = subscription->orphan.id;
		message.since = subscription->since;
	}
	return lvsmesh__pb__want__pack(&message, data);
}
