/* Entries that left our journal because a peer published a newer version, before all subscribers
 * had acknowledged ours: our journal publishes the newer version too, or a subscriber that has
 * acknowledged the journal would have neither. */
#include <assert.h>

#include "sync/sync_private.h"

/* How long we wait for a peer that is away, or that has yet to come when we start. */
#define AWAY (60 * USEC_PER_SEC)

static const struct gap *gap_at(const struct gaps *gaps, unsigned int i)
{
	assert(i < gaps->len);
	return &gaps->ring[(gaps->first + i) % GAPS_MAX];
}

/* The position up to which all subscribers have acknowledged the journal. */
static uint64_t acknowledged_by_all(const struct sync *sync, usec_t now)
{
	uint64_t least = now < sync->gaps.born + AWAY ? 0 : UINT64_MAX;

	STREAMS_EACH (i, sync) {
		const struct sync_stream *stream = sync->streams[i];

		if (!stream->is_subscription && stream->subscriber.subscribed)
			least = MIN(least, stream->subscriber.acked);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(sync->gaps.parted); i++) {
		const struct parted *parted = &sync->gaps.parted[i];

		if (parted->id && now < parted->heard + AWAY)
			least = MIN(least, parted->acked);
	}
	return least;
}

void gaps_tick(struct sync *sync, struct now now)
{
	struct gaps *gaps = &sync->gaps;
	uint64_t all;

	if (!gaps->born)
		gaps->born = now.mono;
	if (gaps->len == 0)
		return;
	all = acknowledged_by_all(sync, now.mono);
	while (gaps->len > 0 && gap_at(gaps, 0)->position <= all) {
		gaps->first++;
		gaps->len--;
	}
}

void gaps_note(struct sync *sync, const struct flow *flow, uint64_t position, struct now now)
{
	struct gaps *gaps = &sync->gaps;

	if (position <= gaps->all)
		return;
	gaps->all = acknowledged_by_all(sync, now.mono);
	if (position <= gaps->all)
		return;
	/* What is forgotten comes by anti-entropy. */
	if (gaps->len == GAPS_MAX) {
		gaps->first++;
		gaps->len--;
	}
	gaps->ring[(gaps->first + gaps->len++) % GAPS_MAX] =
		(struct gap){*flow, table_pass(sync->table)};
}

void gaps_read(const struct sync *sync, uint64_t position, struct gap_reader *ret_reader)
{
	unsigned int low = 0, high = sync->gaps.len;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (gap_at(&sync->gaps, middle)->position > position)
			high = middle;
		else
			low = middle + 1;
	}
	ret_reader->at = low;
	ret_reader->position =
		low < sync->gaps.len ? gap_at(&sync->gaps, low)->position : UINT64_MAX;
}

table_ref gaps_read_next(const struct sync *sync, struct gap_reader *reader)
{
	const struct gap *gap = gap_at(&sync->gaps, reader->at);
	table_ref ref = table_find(sync->table, &gap->flow);
	struct table_meta meta;

	reader->at++;
	reader->position = reader->at < sync->gaps.len ? gap_at(&sync->gaps, reader->at)->position
						       : UINT64_MAX;
	if (!ref)
		return 0;
	table_get(sync->table, ref, NULL, &meta);
	return meta.list == TABLE_JOURNAL ? 0 : ref;
}

void gaps_parted(struct sync *sync, const struct sync_stream *stream)
{
	struct parted *parted = sync->gaps.parted, *place = &parted[0];

	for (unsigned int i = 0; i < DIRECTORS_MAX && place->id != stream->peer_id; i++)
		if (parted[i].id == stream->peer_id || parted[i].heard < place->heard)
			place = &parted[i];
	*place = (struct parted){stream->peer_id, stream->subscriber.acked, stream->heard_at};
}
