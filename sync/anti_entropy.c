/* Anti-entropy: directors compare two tables by sums over parts of the key space, and request the
 * parts that differ. An entry's version and timeout alone decide whether the sums cover it, so that
 * both directors sum the same entries, whenever they walk their tables. If an entry changes
 * meanwhile, its part is requested in vain: that costs, and does no harm. */
#include <assert.h>

#include "sync/sync_private.h"

#define SUMS_SIZE (RANGES * 8)
#define FACTS_SIZE (FACTS_PARTS * 8)

#define INTERVAL (30 * USEC_PER_SEC) /* on average */
/* Younger entries may still be on their way. */
#define HORIZON (30 * USEC_PER_SEC)
/* An entry that ends sooner after the horizon may have ended at one director only. */
#define REMAINS (90 * USEC_PER_SEC)
/* Slots examined by a tick, as the sweep's. */
#define BUDGET 16384
/* A peer that is further behind is not compared with. */
#define LAG (5 * USEC_PER_SEC)

bool anti_entropy_covers(struct table_version version, const struct entry *entry, uint64_t horizon)
{
	usec_t lifetime = table_lifetime(entry->timeout) * USEC_PER_SEC,
	       since = hlc_since(version.hlc);

	return version.hlc <= horizon && since <= hlc_wall(horizon) &&
	       (sync_entry_endless(entry) || since + lifetime > hlc_wall(horizon) + REMAINS);
}

/* publisher: whose sums they are. */
static void add(struct sums *sums, const struct entry *entry, const struct table_meta *meta,
		uint64_t publisher, bool minus)
{
	uint64_t digest = entry_digest(&entry->flow, meta->version);
	unsigned int part = RANGE_OF(meta->range);
	uint64_t *sum = &sums->connections[part];

	if (fact_is_proved_by(&entry->flow, publisher))
		sum = &sums->facts[part / FACTS_RANGES];
	else if (flow_is_fact(&entry->flow))
		return;
	*sum += minus ? -digest : digest;
}

/* Adds to our sums, or takes from a peer's. True: the walk has ended. */
static bool sum(const struct sync *sync, uint64_t publisher, uint64_t horizon,
		struct sums_walk *walk, struct sums *sums)
{
	for (unsigned int i = 0; i < BUDGET; i++) {
		table_ref ref = table_walk(sync->table, &walk->connections);
		struct table_meta meta;
		struct entry entry;

		if (!ref)
			ref = table_fact_walk(sync->table, &walk->facts);
		if (!ref)
			return true;
		table_get(sync->table, ref, &entry, &meta);
		if (table_list_shared(meta.list) &&
		    anti_entropy_covers(meta.version, &entry, horizon))
			add(sums, &entry, &meta, publisher, publisher != sync->identity->id);
	}
	return false;
}

/* Publishing */

/* The next peer that has all entries older than the horizon. */
static struct sync_stream *next_peer(struct sync *sync, struct now now)
{
	struct anti_entropy_sums *digest = &sync->digest;

	for (unsigned int i = 0; i < SYNC_STREAMS_MAX; i++) {
		struct sync_stream *stream = sync->streams[++digest->peer % SYNC_STREAMS_MAX];
		const struct subscriber *subscriber = stream ? &stream->subscriber : NULL;

		if (stream && !stream->is_subscription && subscriber->begun &&
		    subscriber->acked >= subscriber->end && subscriber_lag(subscriber, now) < LAG)
			return stream;
	}
	return NULL;
}

/* Directors that started together would otherwise send their sums in step, and a peer, which
 * compares with one at a time, would ignore the same ones every time. */
static usec_t interval(const struct sync *sync)
{
	uint64_t random = (sync->journal ^ sync->digest.horizon) * UINT64_C(0x9e3779b97f4a7c15);

	return INTERVAL / 2 + (random >> 32) % INTERVAL;
}

static void publish(struct sync *sync, struct now now)
{
	struct anti_entropy_sums *digest = &sync->digest;

	if (!digest->walking && now.mono >= digest->next && sync->join.complete) {
		digest->walking = true;
		digest->horizon = hlc_version(now.wall - HORIZON);
		digest->next = now.mono + interval(sync);
		digest->walk = (struct sums_walk){0};
		memset(&digest->sums, 0, sizeof(digest->sums));
	}
	if (digest->walking &&
	    sum(sync, sync->identity->id, digest->horizon, &digest->walk, &digest->sums)) {
		struct sync_stream *stream = next_peer(sync, now);

		digest->walking = false;
		digest->ended_horizon = digest->horizon;
		digest->ended = digest->sums;
		if (stream)
			stream->subscriber.digest_due = true;
	}
}

size_t anti_entropy_output(struct sync *sync, struct subscriber *subscriber, uint8_t *data)
{
	Lvsmesh__Pb__Sums message = LVSMESH__PB__SUMS__INIT;
	const struct anti_entropy_sums *digest = &sync->digest;
	uint8_t sums[SUMS_SIZE], facts[FACTS_SIZE];

	subscriber->digest_due = false;
	for (unsigned int i = 0; i < RANGES; i++)
		store_le64(sums + 8 * i, digest->ended.connections[i]);
	for (unsigned int i = 0; i < FACTS_PARTS; i++)
		store_le64(facts + 8 * i, digest->ended.facts[i]);
	message.horizon = digest->ended_horizon;
	message.facts.data = facts;
	message.facts.len = sizeof(facts);
	message.sums.data = sums;
	message.sums.len = sizeof(sums);
	return lvsmesh__pb__sums__pack(&message, data);
}

/* Comparing */

/* True if it is this peer's turn, whatever streams it had since its last one; takes the turn.
 * Without room, the peer whose turn is longest ago is forgotten. */
static bool compare_now(struct sync *sync, uint64_t peer, struct now now)
{
	struct compared *compared = sync->compared;

	for (unsigned int i = 0; i < DIRECTORS_MAX && compared->id != peer; i++)
		if (sync->compared[i].id == peer || sync->compared[i].time < compared->time)
			compared = &sync->compared[i];
	if (compared->id == peer && now.mono < compared->time + INTERVAL / 2)
		return false;
	*compared = (struct compared){peer, now.mono};
	return true;
}

int anti_entropy_receive(struct sync *sync, struct sync_stream *stream,
			 const Lvsmesh__Pb__Sums *message, struct now now)
{
	struct subscription *subscription = &stream->subscription;
	struct anti_entropy_compare *compare = &sync->compare;

	if (!subscription->begun)
		return -SYNC_E_KIND;
	if (message->sums.len != SUMS_SIZE ||
	    (message->facts.len != 0 && message->facts.len != FACTS_SIZE))
		return -SYNC_E_MALFORMED;
	/* However often this peer sends its sums, the others have their turn. */
	if (compare->stream || !sync->join.complete || !subscription_caught_up(subscription) ||
	    !compare_now(sync, stream->peer_id, now))
		return 0;
	compare->stream = stream;
	compare->walk = (struct sums_walk){0};
	compare->horizon = message->horizon;
	compare->facts = message->facts.len != 0;
	for (unsigned int i = 0; i < RANGES; i++)
		compare->sums.connections[i] = load_le64(message->sums.data + 8 * i);
	for (unsigned int i = 0; compare->facts && i < FACTS_PARTS; i++)
		compare->sums.facts[i] = load_le64(message->facts.data + 8 * i);
	return 0;
}

static void note_parts(const struct anti_entropy_compare *compare,
		       struct subscription *subscription)
{
	subscription->differ = subscription->facts_differ = (struct ranges){0};
	for (unsigned int i = 0; i < RANGES; i++) {
		if (compare->sums.connections[i] != 0)
			bits_add(subscription->differ.bits, i);
		if (compare->facts && compare->sums.facts[i / FACTS_RANGES] != 0)
			bits_add(subscription->facts_differ.bits, i);
	}
}

bool anti_entropy_take(struct sync *sync, struct subscription *subscription)
{
	/* From where the last Want ended, so that all parts have their turn. */
	unsigned int parts =
		ask_parts(subscription, &subscription->differ, WANT_PAIRS_MAX, &sync->compare.from);

	subscription->covered = 0;
	sync->counters.parts_differed += parts;
	return parts > 0;
}

/* There are few: one Want for all. */
bool anti_entropy_take_facts(struct subscription *subscription)
{
	unsigned int from = 0;

	subscription->covered = 0;
	return ask_parts(subscription, &subscription->facts_differ, RANGES, &from) > 0;
}

/* Entries that always change differ in vain: we request the rest only while answers repair any. */
void anti_entropy_answered(struct subscription *subscription)
{
	if (subscription->covered == 0)
		subscription->differ = (struct ranges){0};
}

void anti_entropy_dropped(struct sync *sync, const struct sync_stream *stream)
{
	if (sync->compare.stream == stream)
		sync->compare.stream = NULL;
}

void anti_entropy_tick(struct sync *sync, struct now now)
{
	struct anti_entropy_compare *compare = &sync->compare;
	struct subscription *subscription;

	publish(sync, now);
	if (!compare->stream ||
	    !sum(sync, compare->stream->peer_id, compare->horizon, &compare->walk, &compare->sums))
		return;
	assert(compare->stream->is_subscription);
	subscription = &compare->stream->subscription;
	compare->stream = NULL;
	/* If the peer has another Want to answer first, the next comparison has to do. */
	if (subscription->ask != ASK_NOTHING)
		return;
	subscription->horizon = compare->horizon;
	note_parts(compare, subscription);
	sync->counters.tables_compared++;
}
