/* Superseded flows: a peer's newer version replaced our entry before all subscribers had
 * acknowledged it. Our journal publishes the newer version in its place. Otherwise a subscriber
 * that has acknowledged our whole journal could lack both versions. */
#include <assert.h>

#include "sync/sync_private.h"

/* How long we wait for a peer that is away, or that has yet to come when we start. */
#define AWAY (60 * USEC_PER_SEC)

static const struct superseded_flow *superseded_at(const struct superseded *superseded,
						   unsigned int i)
{
	assert(i < superseded->len);
	return &superseded->ring[(superseded->first + i) % SUPERSEDED_MAX];
}

/* The position up to which all subscribers have acknowledged the journal. */
static uint64_t acknowledged_by_all(const struct sync *sync, usec_t now)
{
	uint64_t least = now < sync->superseded.born + AWAY ? 0 : UINT64_MAX;

	STREAMS_EACH (i, sync) {
		const struct sync_stream *stream = sync->streams[i];

		if (!stream->is_subscription && stream->subscriber.subscribed)
			least = MIN(least, stream->subscriber.acked);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(sync->superseded.parted); i++) {
		const struct parted *parted = &sync->superseded.parted[i];

		if (parted->id && now < parted->heard + AWAY)
			least = MIN(least, parted->acked);
	}
	return least;
}

void superseded_tick(struct sync *sync, struct now now)
{
	struct superseded *superseded = &sync->superseded;
	uint64_t all;

	if (!superseded->born)
		superseded->born = now.mono;
	if (superseded->len == 0)
		return;
	all = acknowledged_by_all(sync, now.mono);
	while (superseded->len > 0 && superseded_at(superseded, 0)->position <= all) {
		superseded->first++;
		superseded->len--;
	}
}

void superseded_note(struct sync *sync, const struct flow *flow, uint64_t position, struct now now)
{
	struct superseded *superseded = &sync->superseded;

	if (position <= superseded->all)
		return;
	superseded->all = acknowledged_by_all(sync, now.mono);
	if (position <= superseded->all)
		return;
	/* What is forgotten comes by anti-entropy. */
	if (superseded->len == SUPERSEDED_MAX) {
		superseded->first++;
		superseded->len--;
	}
	superseded->ring[(superseded->first + superseded->len++) % SUPERSEDED_MAX] =
		(struct superseded_flow){*flow, table_pass(sync->table)};
}

void superseded_read(const struct sync *sync, uint64_t position,
		     struct superseded_reader *ret_reader)
{
	unsigned int low = 0, high = sync->superseded.len;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (superseded_at(&sync->superseded, middle)->position > position)
			high = middle;
		else
			low = middle + 1;
	}
	ret_reader->at = low;
	ret_reader->position = low < sync->superseded.len
				       ? superseded_at(&sync->superseded, low)->position
				       : UINT64_MAX;
}

table_ref superseded_read_next(const struct sync *sync, struct superseded_reader *reader)
{
	const struct superseded_flow *gap = superseded_at(&sync->superseded, reader->at);
	table_ref ref = table_find(sync->table, &gap->flow);
	struct table_meta meta;

	reader->at++;
	reader->position = reader->at < sync->superseded.len
				   ? superseded_at(&sync->superseded, reader->at)->position
				   : UINT64_MAX;
	if (!ref)
		return 0;
	table_get(sync->table, ref, NULL, &meta);
	return meta.list == TABLE_JOURNAL ? 0 : ref;
}

void superseded_parted(struct sync *sync, const struct sync_stream *stream)
{
	struct parted *parted = sync->superseded.parted, *place = &parted[0];

	for (unsigned int i = 0; i < DIRECTORS_MAX && place->id != stream->peer_id; i++)
		if (parted[i].id == stream->peer_id || parted[i].heard < place->heard)
			place = &parted[i];
	*place = (struct parted){stream->peer_id, stream->subscriber.acked, stream->heard_at};
}
