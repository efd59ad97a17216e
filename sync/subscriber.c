/* A peer that receives our journal. */
#include <assert.h>

#include "sync/sync_private.h"

#include "proto/session/seal.h"

#define HEARTBEAT USEC_PER_SEC
/* New changes wait this long after those before them: at most 250 signatures/s, and more only for
 * peers that fell behind the others. */
#define BATCH_INTERVAL (4 * USEC_PER_MSEC)
/* This many changes make a batch at once. */
#define BATCH_ENOUGH 1024
/* A batch that was made stays good for peers at its start: its ages are as of its time. */
#define MADE_LIFETIME USEC_PER_SEC

void subscriber_heartbeat_now(struct sync *sync)
{
	STREAMS_EACH (i, sync) {
		if (!sync->streams[i]->is_subscription)
			sync->streams[i]->subscriber.heartbeat_due = true;
	}
}

/* Batches */

void sync_batch_begin(struct sync *sync, bool facts)
{
	batch_clear(sync->batch);
	sync->batch_facts = facts;
	sync->batch_any_facts = false;
}

bool sync_batch_collect(struct sync *sync, table_ref ref, struct now now)
{
	struct table_meta meta;
	struct entry entry;
	uint32_t age;

	table_get(sync->table, ref, &entry, &meta);
	age = mono_seconds(now) - meta.refreshed;
	sync->batch_any_facts |= flow_is_fact(&entry.flow);
	if (flow_is_fact(&entry.flow) && !sync->batch_facts)
		return true;
	return !table_list_shared(meta.list) || !sync_entry_lives(&entry, age) ||
	       batch_add(sync->batch, &entry, meta.version, age);
}

size_t sync_batch_seal(struct sync *sync, const struct batch_head *head, uint8_t *data)
{
	size_t len = batch_pack(sync->batch, head, data + SIGNATURE_SIZE);

	seal_record_sign(sync->identity, SYNC_KIND_BATCH, sync->epoch, head->last,
			 data + SIGNATURE_SIZE, len, data);
	sync->counters.batches_sent++;
	return SIGNATURE_SIZE + len;
}

/* A subscriber that is behind catches up with the others, and then shares their batches. */
static uint64_t collect_end(const struct sync *sync, const struct subscriber *subscriber)
{
	return subscriber->sent < sync->front ? sync->front : UINT64_MAX;
}

/* Collects superseded flows up to that position. False: not all fit; *from is how far it came. */
static bool collect_superseded(struct sync *sync, struct superseded_reader *superseded,
			       uint64_t end, uint64_t *from, struct now now)
{
	while (superseded->position <= end && superseded->position != UINT64_MAX) {
		uint64_t position = superseded->position;
		table_ref ref = superseded_read_next(sync, superseded);

		if (ref && !sync_batch_collect(sync, ref, now))
			return false;
		*from = position;
	}
	return true;
}

/* Collects the journal up to the position given, or as much as there is room for. Returns the
 * position up to which all is in. */
static uint64_t collect_journal(struct sync *sync, uint64_t from, uint64_t end, struct now now)
{
	struct table_reader reader;
	struct superseded_reader superseded;
	table_ref ref;

	table_read(sync->table, from, &reader);
	superseded_read(sync, from, &superseded);
	while ((ref = table_read_next(sync->table, &reader))) {
		uint64_t position = table_ref_position(sync->table, ref);

		if (superseded.position < position &&
		    !collect_superseded(sync, &superseded, MIN(position, end), &from, now))
			return from;
		if (position > end)
			return end;
		if (!sync_batch_collect(sync, ref, now))
			return from;
		from = position;
	}
	if (!collect_superseded(sync, &superseded, end, &from, now))
		return from;
	if (superseded.position != UINT64_MAX)
		return end;
	/* The last changes may have left the journal, and the subscriber misses none of them. */
	return table_position(sync->table);
}

/* Makes the batch that starts where the stream stands. */
static void make_batch(struct sync *sync, const struct subscriber *subscriber, struct now now)
{
	struct made *made = &sync->made;
	struct batch_head head = {.first = subscriber->sent};

	sync_batch_begin(sync, subscriber->facts);
	head.last = collect_journal(sync, head.first, collect_end(sync, subscriber), now);
	assert(head.last >= head.first && head.last <= table_position(sync->table));
	made->valid = true;
	made->whole = head.last == table_position(sync->table);
	made->facts = sync->batch_facts;
	made->any_facts = sync->batch_any_facts;
	made->first = head.first;
	made->last = head.last;
	made->entries = batch_count(sync->batch);
	made->len = sync_batch_seal(sync, &head, made->body);
	made->time = now.mono;
	if (made->last > sync->front) {
		sync->front = made->last;
		sync->front_time = now.mono;
	}
}

static bool made_fits(const struct sync *sync, const struct subscriber *subscriber, struct now now)
{
	const struct made *made = &sync->made;

	return made->valid && made->first == subscriber->sent &&
	       (!made->any_facts || made->facts == subscriber->facts) &&
	       now.mono < made->time + MADE_LIFETIME;
}

/* Notes the position of a batch; without room it replaces the one noted last. */
static void whole_sent(struct subscriber *subscriber, uint64_t position)
{
	assert(subscriber->wholes_len == 0 ||
	       position >= subscriber->wholes[subscriber->wholes_len - 1]);
	if (subscriber->wholes_len == SUBSCRIBER_WHOLE_MAX)
		subscriber->wholes_len--;
	subscriber->wholes[subscriber->wholes_len++] = position;
}

static void whole_acked(struct subscriber *subscriber)
{
	unsigned int n = 0;

	while (n < subscriber->wholes_len && subscriber->wholes[n] <= subscriber->acked)
		subscriber->whole = subscriber->wholes[n++];
	subscriber->wholes_len -= n;
	memmove(subscriber->wholes, subscriber->wholes + n,
		subscriber->wholes_len * sizeof(*subscriber->wholes));
}

static size_t output_journal(struct sync *sync, struct sync_stream *stream, struct now now,
			     uint8_t *data)
{
	const struct made *made = &sync->made;
	struct subscriber *subscriber = &stream->subscriber;

	if (!made_fits(sync, subscriber, now))
		make_batch(sync, subscriber, now);
	subscriber->sent = made->last;
	if (made->whole)
		whole_sent(subscriber, made->last);
	stream->entries += made->entries;
	memcpy(data, made->body, made->len);
	return made->len;
}

uint64_t subscriber_unsent(const struct sync *sync, const struct subscriber *subscriber)
{
	uint64_t entries = table_list_count(sync->table, TABLE_JOURNAL);

	return MIN(table_position(sync->table) - subscriber->sent, entries);
}

/* When the journal's next batch is due: at once, if other subscribers have got it already. */
static usec_t journal_time(const struct sync *sync, const struct subscriber *subscriber)
{
	uint64_t position = subscriber->sent;

	if (table_position(sync->table) == position)
		return USEC_NEVER;
	if (position < sync->front || table_position(sync->table) - position >= BATCH_ENOUGH)
		return 0;
	return sync->front_time + BATCH_INTERVAL;
}

static size_t output_begin(const struct sync *sync, struct subscriber *subscriber, uint8_t *data)
{
	Lvsmesh__Pb__Begin message = LVSMESH__PB__BEGIN__INIT;

	subscriber->begun = true;
	message.journal = sync->journal;
	message.start = subscriber->acked;
	message.end = subscriber->end;
	message.origins = WANT_SKIP_MAX;
	message.facts = true;
	return lvsmesh__pb__begin__pack(&message, data);
}

static size_t output_heartbeat(const struct sync *sync, struct subscriber *subscriber,
			       uint8_t *data)
{
	Lvsmesh__Pb__Heartbeat message = LVSMESH__PB__HEARTBEAT__INIT;

	subscriber->heartbeat_due = false;
	message.position = table_position(sync->table);
	message.pending = subscriber_unsent(sync, subscriber);
	message.complete = sync->join.complete;
	return lvsmesh__pb__heartbeat__pack(&message, data);
}

usec_t subscriber_time(const struct sync *sync, const struct sync_stream *stream)
{
	const struct subscriber *subscriber = &stream->subscriber;

	if (!subscriber->subscribed)
		return USEC_NEVER;
	if (!subscriber->begun || subscriber->heartbeat_due || subscriber->digest_due)
		return 0;
	return MIN(MIN(journal_time(sync, subscriber), answer_time(subscriber)),
		   MIN(progress_time(sync, subscriber), stream->sent_at + HEARTBEAT));
}

size_t subscriber_output(struct sync *sync, struct sync_stream *stream, struct now now,
			 uint8_t *data, uint8_t *ret_kind)
{
	struct subscriber *subscriber = &stream->subscriber;
	size_t len;

	if (!subscriber->begun) {
		*ret_kind = SYNC_KIND_BEGIN;
		return output_begin(sync, subscriber, data);
	}
	if (progress_time(sync, subscriber) <= now.mono) {
		*ret_kind = SYNC_KIND_ORPHANS;
		return progress_output(sync, subscriber, now, data);
	}
	if (!subscriber->heartbeat_due && subscriber->digest_due &&
	    journal_time(sync, subscriber) > now.mono) {
		*ret_kind = SYNC_KIND_SUMS;
		return anti_entropy_output(sync, subscriber, data);
	}
	*ret_kind = SYNC_KIND_BATCH;
	if (!subscriber->heartbeat_due && journal_time(sync, subscriber) <= now.mono) {
		len = output_journal(sync, stream, now, data);
	} else if (!subscriber->heartbeat_due && answer_time(subscriber) <= now.mono) {
		len = answer_output(sync, stream, now, data);
	} else {
		*ret_kind = SYNC_KIND_HEARTBEAT;
		return output_heartbeat(sync, subscriber, data);
	}
	stream->bytes += len;
	return len;
}

usec_t subscriber_lag(const struct subscriber *subscriber, struct now now)
{
	return subscriber->whole < subscriber->mark && now.mono > subscriber->mark_time
		       ? now.mono - subscriber->mark_time
		       : 0;
}

/* How long it has acknowledged nothing, though there was something. */
static usec_t stands_still(const struct subscriber *subscriber, struct now now)
{
	usec_t since = MAX(subscriber->mark_time, subscriber->moved);

	return subscriber->whole < subscriber->mark && now.mono > since ? now.mono - since : 0;
}

bool subscriber_joining(const struct subscriber *subscriber, struct now now)
{
	return subscriber->acked < subscriber->end && stands_still(subscriber, now) < SYNC_SILENCE;
}

bool subscriber_stalled(const struct subscriber *subscriber, struct now now)
{
	return stands_still(subscriber, now) >= SYNC_STALL;
}

/* A subscriber that has acknowledged all up to its mark gets a new one: the tail, now. */
static void mark(const struct sync *sync, struct subscriber *subscriber, struct now now)
{
	if (subscriber->whole < subscriber->mark)
		return;
	subscriber->mark = table_position(sync->table);
	subscriber->mark_time = now.mono;
}

void subscriber_tick(struct sync *sync, struct now now)
{
	STREAMS_EACH (i, sync) {
		struct sync_stream *stream = sync->streams[i];

		if (!stream->is_subscription && stream->subscriber.subscribed)
			mark(sync, &stream->subscriber, now);
	}
}

/* The peer's messages */

int subscriber_subscribe(struct sync *sync, struct sync_stream *stream,
			 const Lvsmesh__Pb__Subscribe *message)
{
	struct subscriber *subscriber = &stream->subscriber;

	if (subscriber->subscribed)
		return -SYNC_E_KIND;
	subscriber->subscribed = true;
	subscriber->heartbeat_due = true;
	subscriber->facts = message->facts;
	subscriber->orphans_max = message->journals ? message->journals : ORIGINS_UNSAID;
	subscriber->end = table_position(sync->table);
	if (message->journal == sync->journal && message->position <= subscriber->end)
		subscriber->sent = message->position;
	else if (message->journal == sync->journal)
		sync->refused[SYNC_E_POSITION]++;
	subscriber->acked = subscriber->mark = subscriber->sent;
	sync->superseded.all = MIN(sync->superseded.all, subscriber->acked);
	subscriber->whole = subscriber->sent == subscriber->end ? subscriber->sent : 0;
	return 0;
}

int subscriber_ack(struct sync *sync, struct sync_stream *stream, const Lvsmesh__Pb__Ack *message,
		   struct now now)
{
	struct subscriber *subscriber = &stream->subscriber;

	if (!subscriber->begun)
		return -SYNC_E_KIND;
	if (message->position < subscriber->acked)
		return -SYNC_E_ORDER;
	if (message->position > subscriber->sent)
		return -SYNC_E_POSITION;
	if (message->position > subscriber->acked)
		subscriber->moved = now.mono;
	subscriber->acked = message->position;
	whole_acked(subscriber);
	assert(subscriber->whole <= subscriber->acked && subscriber->acked <= subscriber->sent);
	mark(sync, subscriber, now);
	return 0;
}
