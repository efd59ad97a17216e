/* Asks a publisher for entries besides its journal: one Want at a time. */
#include <assert.h>

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
static bool orphan_lacks(const struct sync *sync, const struct journal *orphan)
{
	const struct journal *known = progress_find(sync, orphan->id, orphan->journal);

	return (!known || known->position < orphan->position) && !progress_now(sync, orphan);
}

static bool orphan_take(const struct sync *sync, struct subscription *subscription)
{
	for (unsigned int i = 0; subscription->orphans && i < subscription->orphans->len; i++) {
		const struct journal *orphan = &subscription->orphans->journals[i];
		const struct journal *known = progress_find(sync, orphan->id, orphan->journal);

		if (!orphan_lacks(sync, orphan) || orphan_asked(sync, orphan))
			continue;
		subscription->orphan = *orphan;
		subscription->since = known ? known->hlc : 0;
		memset(&subscription->wanted, 0xff, sizeof(subscription->wanted));
		return true;
	}
	return false;
}

/* We have a part of its journal from others, without its results. */
static bool facts_lack(const struct sync *sync, const struct sync_stream *stream)
{
	const struct journal *known =
		progress_find(sync, stream->peer_id, stream->subscription.journal);

	return stream->subscription.facts && known && known->lacks;
}

static bool facts_take(const struct sync *sync, struct sync_stream *stream)
{
	if (!facts_lack(sync, stream))
		return false;
	stream->subscription.horizon = 0;
	memset(&stream->subscription.wanted, 0xff, sizeof(stream->subscription.wanted));
	return true;
}

bool ask_has_facts(const struct sync *sync, const struct sync_stream *stream)
{
	return subscription_caught_up(&stream->subscription) && !facts_lack(sync, stream);
}

bool ask_has_all(const struct sync *sync, const struct subscription *subscription)
{
	bool all =
		sync->join.done && subscription->complete && subscription_caught_up(subscription);

	for (unsigned int i = 0; all && subscription->orphans && i < subscription->orphans->len;
	     i++)
		all = !orphan_lacks(sync, &subscription->orphans->journals[i]);
	return all;
}

unsigned int ask_parts(struct subscription *subscription, struct ranges *left, unsigned int most,
		       unsigned int *at)
{
	unsigned int n = 0;

	subscription->wanted = (struct ranges){0};
	while (n < most) {
		unsigned int part = bits_next(left->bits, RANGES, *at);

		if (part == RANGES)
			part = bits_next(left->bits, RANGES, 0);
		if (part == RANGES)
			break;
		bits_remove(left->bits, part);
		bits_add(subscription->wanted.bits, part);
		*at = part + 1;
		n++;
	}
	return n;
}

void ask_next(struct sync *sync, struct sync_stream *stream)
{
	struct subscription *subscription = &stream->subscription;

	assert(stream->is_subscription);
	if (subscription->ask != ASK_NOTHING || !subscription_caught_up(subscription))
		return;
	if (join_take(sync, stream))
		subscription->ask = ASK_SHARE;
	else if (facts_take(sync, stream))
		subscription->ask = ASK_FACTS;
	else if (sync->join.done && orphan_take(sync, subscription))
		subscription->ask = ASK_ORPHANS;
	else if (anti_entropy_take(sync, subscription))
		subscription->ask = ASK_DIFFERENCE;
	else if (anti_entropy_take_facts(subscription))
		subscription->ask = ASK_FACTS;
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

	assert(ask != ASK_NOTHING && !subscription->ask_due);
	subscription->ask = ASK_NOTHING;
	if (ask == ASK_SHARE) {
		join_share_ended(sync, subscription, true);
	} else if (ask == ASK_DIFFERENCE) {
		anti_entropy_answered(subscription);
	} else if (ask == ASK_ORPHANS) {
		progress_note(sync, &subscription->orphan);
		sync->orphans_changes++;
	} else if (ask == ASK_FACTS && subscription->horizon == 0) {
		progress_lacks_nothing(sync, stream->peer_id, subscription->journal);
	}
}

void ask_dropped(struct sync *sync, struct sync_stream *stream)
{
	if (stream->subscription.ask == ASK_SHARE)
		join_share_ended(sync, &stream->subscription, false);
	anti_entropy_dropped(sync, stream);
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

/* Returns the length: two numbers for each run of parts. */
static size_t pack_parts(const struct ranges *wanted, uint32_t pairs[2 * WANT_PAIRS_MAX])
{
	size_t n = 0;

	BITS_EACH (part, wanted->bits, RANGES) {
		if (n == 0 || part != pairs[n - 1] + 1) {
			assert(n < 2 * (size_t)WANT_PAIRS_MAX);
			pairs[n] = part;
			n += 2;
		}
		pairs[n - 1] = part;
	}
	return n;
}

size_t ask_output(struct sync *sync, struct sync_stream *stream, uint8_t *data)
{
	Lvsmesh__Pb__Want message = LVSMESH__PB__WANT__INIT;
	struct subscription *subscription = &stream->subscription;
	uint32_t pairs[2 * WANT_PAIRS_MAX];
	uint64_t skip[WANT_SKIP_MAX];

	assert(subscription->ask != ASK_NOTHING && subscription->ask_due);
	subscription->ask_due = false;
	message.n_ranges = pack_parts(&subscription->wanted, pairs);
	message.ranges = pairs;
	if (subscription->ask == ASK_SHARE) {
		message.n_skip = skip_list(sync, subscription, skip);
		message.skip = skip;
	} else if (subscription->ask == ASK_ORPHANS) {
		message.origin = subscription->orphan.id;
		message.since = subscription->since;
	}
	message.facts = subscription->ask == ASK_FACTS;
	return lvsmesh__pb__want__pack(&message, data);
}
