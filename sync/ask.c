/* Asks a peer for entries besides its journal: one Want at a time. */
#include "sync/sync_private.h"

static bool relay_asked(const struct sync *sync, const struct journal *journal)
{
	STREAMS_EACH (i, sync) {
		const struct stream *stream = sync->streams[i];

		if (stream->is_source && stream->source.ask == ASK_RELAY &&
		    stream->source.relay.id == journal->id &&
		    stream->source.relay.journal == journal->journal)
			return true;
	}
	return false;
}

/* The peer has followed an orphaned journal, one that we follow no more, further than we have. */
static bool relay_take(const struct sync *sync, struct source *source)
{
	for (unsigned int i = 0; source->lost && i < source->lost->len; i++) {
		const struct journal *lost = &source->lost->journals[i];
		const struct journal *known = progress_find_followed(sync, lost->id, lost->journal);

		if ((known && known->position >= lost->position) || progress_now(sync, lost) ||
		    relay_asked(sync, lost))
			continue;
		source->relay = *lost;
		source->since = known ? known->hlc : 0;
		return true;
	}
	return false;
}

void ask_next(struct sync *sync, struct stream *stream)
{
	struct source *source = &stream->source;

	if (source->ask != ASK_NOTHING || !source_caught_up(source))
		return;
	if (join_take(sync, stream))
		source->ask = ASK_SHARE;
	else if (sync->join.done && relay_take(sync, source))
		source->ask = ASK_RELAY;
	else if (digest_take(sync, stream))
		source->ask = ASK_DIFFERENCE;
	source->ask_due = source->ask != ASK_NOTHING;
}

void ask_tick(struct sync *sync)
{
	STREAMS_EACH (i, sync) {
		if (sync->streams[i]->is_source)
			ask_next(sync, sync->streams[i]);
	}
}

void ask_ended(struct sync *sync, struct stream *stream)
{
	struct source *source = &stream->source;
	enum ask ask = source->ask;

	source->ask = ASK_NOTHING;
	if (ask == ASK_SHARE) {
		join_share_ended(sync, source->share, true);
	} else if (ask == ASK_DIFFERENCE) {
		digest_answered(source);
	} else if (ask == ASK_RELAY) {
		progress_note(sync, &source->relay);
		sync->lost_changes++;
	}
	ask_next(sync, stream);
}

void ask_dropped(struct sync *sync, struct stream *stream)
{
	if (stream->source.ask == ASK_SHARE)
		join_share_ended(sync, stream->source.share, false);
	digest_dropped(sync, stream);
	if (stream->source.begun)
		sync->lost_changes++;
}

/* If an origin finds no place in the list, the peer sends its entries in vain. */
static size_t skip_list(const struct sync *sync, const struct source *asked,
			uint64_t skip[WANT_SKIP_MAX])
{
	size_t len = 0, max = MIN(asked->skip_max, (unsigned int)WANT_SKIP_MAX);

	STREAMS_EACH (i, sync) {
		const struct stream *stream = sync->streams[i];

		if (len < max && stream->is_source && stream->source.complete &&
		    source_caught_up(&stream->source))
			skip[len++] = stream->peer_id;
	}
	return len;
}

size_t ask_output(struct sync *sync, struct stream *stream, uint8_t *data)
{
	Lvsmesh__Pb__Want message = LVSMESH__PB__WANT__INIT;
	struct source *source = &stream->source;
	uint32_t range[2] = {0, RANGES - 1};
	uint64_t skip[WANT_SKIP_MAX];

	source->ask_due = false;
	message.n_ranges = ARRAY_SIZE(range);
	message.ranges = range;
	if (source->ask == ASK_SHARE) {
		join_share(sync, source->share, range);
		message.n_skip = skip_list(sync, source, skip);
		message.skip = skip;
	} else if (source->ask == ASK_DIFFERENCE) {
		message.n_ranges = source->pairs_len;
		message.ranges = source->pairs;
	} else {
		message.origin = source->relay.id;
		message.since = source->since;
	}
	return lvsmesh__pb__want__pack(&message, data);
}
