/* The peers: what is sent to them and what they send. */
#include <errno.h>

#include "proto/arena.h"
#include "proto/seal.h"
#include "proto/sync.pb-c.h"
#include "sync/sync_private.h"

#define HEARTBEAT USEC_PER_SEC
/* New changes wait this long after those before them: at most 250 signatures/s, and more only for
 * peers that fell behind the others. */
#define BATCH_INTERVAL (4 * USEC_PER_MSEC)
/* So many changes make a batch at once. */
#define BATCH_ENOUGH 1024
/* A batch that was made stays good for peers at its start: its ages are as of its time. */
#define MADE_LIFETIME USEC_PER_SEC
#define ACK_INTERVAL (20 * USEC_PER_MSEC)

int sync_open(struct sync *sync, unsigned int number, bool source, const struct certificate *peer,
	      uint64_t peer_epoch, struct now now)
{
	struct stream *stream = &sync->streams[number];

	sync_close(sync, number);
	*stream = (struct stream){
		.open = true,
		.source = source,
		.peer = peer,
		.peer_id = certificate_id(peer),
		.peer_epoch = peer_epoch,
		.heard = now.mono,
		.said = now.mono,
		.mark_time = now.mono,
	};
	if (!source)
		table_cursor_open(sync->table, &stream->cursor, 0);
	return 0;
}

void sync_close(struct sync *sync, unsigned int number)
{
	struct stream *stream = &sync->streams[number];

	if (stream->open && !stream->source)
		table_cursor_close(sync->table, &stream->cursor);
	stream->open = false;
}

/* Where the publisher's journal was left; the place of the one forgotten longest for a new one. */
static struct resume *resume_get(struct sync *sync, uint64_t id)
{
	struct resume *resume = sync->resume, swap;
	unsigned int i = 0;

	while (i < SYNC_STREAMS_MAX - 1 && resume[i].id != id && resume[i].id != 0)
		i++;
	if (resume[i].id != id)
		resume[i] = (struct resume){.id = id};
	swap = resume[i];
	memmove(&resume[1], &resume[0], i * sizeof(*resume));
	resume[0] = swap;
	return &resume[0];
}

/* Publisher */

/* Adds an entry, unless it has expired or is not for others. False: the batch is full. */
static bool collect(struct sync *sync, table_ref ref, struct now now)
{
	struct table_meta meta;
	struct entry entry;
	uint32_t age;

	table_get(sync->table, ref, &entry, &meta);
	age = mono_seconds(now) - meta.refreshed;
	return !table_list_shared(meta.list) || age >= table_lifetime(entry.timeout) ||
	       batch_add(sync->batch, &entry, meta.version, age);
}

static unsigned int collect_snapshot(struct sync *sync, struct stream *stream, struct now now,
				     bool *ret_end)
{
	uint64_t before = stream->walk;
	table_ref ref;

	while ((ref = table_walk(sync->table, &stream->walk)) && collect(sync, ref, now))
		before = stream->walk;
	*ret_end = ref == 0;
	if (ref)
		stream->walk = before;
	return batch_count(sync->batch);
}

/* Whoever is behind goes to where the others stand, and then shares their batches. */
static uint64_t collect_end(const struct sync *sync, const struct stream *stream)
{
	return stream->cursor.position < sync->front ? sync->front : UINT64_MAX;
}

static void collect_journal(struct sync *sync, uint64_t end, struct now now)
{
	struct table_cursor *cursor = &sync->made.cursor;
	table_ref ref;

	while ((ref = table_cursor_peek(sync->table, cursor))) {
		struct table_meta meta;

		table_get(sync->table, ref, NULL, &meta);
		if (meta.position > end) {
			cursor->position = end;
			return;
		}
		if (!collect(sync, ref, now))
			return;
		table_cursor_advance(sync->table, cursor);
	}
}

/* Packs what was collected and signs it: the signature, then the batch. */
static size_t batch_seal(struct sync *sync, const struct batch_head *head, uint8_t *data)
{
	size_t len = batch_pack(sync->batch, head, data + SIGNATURE_SIZE);

	record_sign(sync->identity, SYNC_KIND_BATCH, sync->epoch, head->last, data + SIGNATURE_SIZE,
		    len, data);
	sync->counters.batches_out++;
	return SIGNATURE_SIZE + len;
}

static size_t output_snapshot(struct sync *sync, struct stream *stream, struct now now,
			      uint8_t *data)
{
	struct batch_head head = {
		.first = stream->cursor.position,
		.last = stream->cursor.position,
		.snapshot = true,
	};

	batch_clear(sync->batch);
	stream->entries += collect_snapshot(sync, stream, now, &head.snapshot_end);
	stream->wants_snapshot = !head.snapshot_end;
	return batch_seal(sync, &head, data);
}

/* Makes the batch that starts where the stream stands. */
static void make_batch(struct sync *sync, const struct stream *stream, struct now now)
{
	struct made *made = &sync->made;
	struct batch_head head = {.first = stream->cursor.position};

	table_cursor_copy(&made->cursor, &stream->cursor);
	batch_clear(sync->batch);
	collect_journal(sync, collect_end(sync, stream), now);
	head.last = made->cursor.position;
	made->valid = true;
	made->first = head.first;
	made->last = head.last;
	made->entries = batch_count(sync->batch);
	made->len = batch_seal(sync, &head, made->body);
	made->time = now.mono;
	if (made->last > sync->front) {
		sync->front = made->last;
		sync->front_time = now.mono;
	}
}

static bool made_fits(const struct sync *sync, const struct stream *stream, struct now now)
{
	const struct made *made = &sync->made;

	return made->valid && made->first == stream->cursor.position &&
	       now.mono < made->time + MADE_LIFETIME;
}

static size_t output_journal(struct sync *sync, struct stream *stream, struct now now,
			     uint8_t *data)
{
	const struct made *made = &sync->made;

	if (!made_fits(sync, stream, now))
		make_batch(sync, stream, now);
	table_cursor_copy(&stream->cursor, &made->cursor);
	stream->entries += made->entries;
	memcpy(data, made->body, made->len);
	return made->len;
}

static uint64_t stream_unsent(const struct sync *sync, const struct stream *stream)
{
	uint64_t entries = table_list_count(sync->table, TABLE_JOURNAL);

	return MIN(table_position(sync->table) - stream->cursor.position, entries);
}

/* When the journal's next batch is due: what others have got already, at once. */
static usec_t journal_time(const struct sync *sync, const struct stream *stream)
{
	uint64_t position = stream->cursor.position;

	if (table_position(sync->table) == position)
		return USEC_NEVER;
	if (position < sync->front || table_position(sync->table) - position >= BATCH_ENOUGH)
		return 0;
	return sync->front_time + BATCH_INTERVAL;
}

static size_t output_heartbeat(const struct sync *sync, const struct stream *stream, uint8_t *data)
{
	Lvsmesh__Pb__Heartbeat message = LVSMESH__PB__HEARTBEAT__INIT;

	message.position = table_position(sync->table);
	message.pending = stream_unsent(sync, stream);
	return lvsmesh__pb__heartbeat__pack(&message, data);
}

static usec_t sink_time(const struct sync *sync, const struct stream *stream)
{
	usec_t heartbeat = stream->said + HEARTBEAT;

	if (!stream->subscribed)
		return USEC_NEVER;
	if (stream->wants_snapshot)
		return 0;
	return MIN(journal_time(sync, stream), heartbeat);
}

static size_t sink_output(struct sync *sync, struct stream *stream, struct now now, uint8_t *data,
			  uint8_t *ret_kind)
{
	size_t len;

	*ret_kind = SYNC_KIND_BATCH;
	if (stream->wants_snapshot) {
		len = output_snapshot(sync, stream, now, data);
	} else if (journal_time(sync, stream) <= now.mono) {
		len = output_journal(sync, stream, now, data);
	} else {
		*ret_kind = SYNC_KIND_HEARTBEAT;
		return output_heartbeat(sync, stream, data);
	}
	stream->bytes += len;
	return len;
}

/* Subscriber */

static size_t output_subscribe(struct sync *sync, struct stream *stream, uint8_t *data)
{
	Lvsmesh__Pb__Subscribe message = LVSMESH__PB__SUBSCRIBE__INIT;
	const struct resume *resume = resume_get(sync, stream->peer_id);

	stream->subscribed = true;
	if (resume->epoch == stream->peer_epoch) {
		message.epoch = resume->epoch;
		message.position = resume->position;
		stream->position = resume->position;
		stream->synced = true;
	} else {
		stream->wants_snapshot = true;
	}
	return lvsmesh__pb__subscribe__pack(&message, data);
}

static size_t output_ack(struct stream *stream, uint8_t *data)
{
	Lvsmesh__Pb__Ack message = LVSMESH__PB__ACK__INIT;

	stream->ack_due = false;
	message.epoch = stream->peer_epoch;
	message.position = stream->position;
	return lvsmesh__pb__ack__pack(&message, data);
}

static usec_t source_time(const struct stream *stream)
{
	if (!stream->subscribed)
		return 0;
	return stream->said + (stream->ack_due ? ACK_INTERVAL : HEARTBEAT);
}

static size_t source_output(struct sync *sync, struct stream *stream, uint8_t *data,
			    uint8_t *ret_kind)
{
	if (!stream->subscribed) {
		*ret_kind = SYNC_KIND_SUBSCRIBE;
		return output_subscribe(sync, stream, data);
	}
	*ret_kind = SYNC_KIND_ACK;
	return output_ack(stream, data);
}

/* Both */

usec_t sync_output_time(const struct sync *sync, unsigned int number)
{
	const struct stream *stream = &sync->streams[number];

	if (!stream->open)
		return USEC_NEVER;
	return stream->source ? source_time(stream) : sink_time(sync, stream);
}

int sync_output(struct sync *sync, unsigned int number, struct now now, uint8_t *data,
		uint8_t *ret_kind, size_t *ret_len)
{
	struct stream *stream = &sync->streams[number];

	if (sync_output_time(sync, number) > now.mono)
		return -EAGAIN;
	*ret_len = stream->source ? source_output(sync, stream, data, ret_kind)
				  : sink_output(sync, stream, now, data, ret_kind);
	stream->said = now.mono;
	return 0;
}

bool sync_silent(const struct sync *sync, unsigned int number, struct now now)
{
	const struct stream *stream = &sync->streams[number];

	return stream->open && now.mono > stream->heard + SYNC_SILENCE;
}

static int receive_subscribe(struct sync *sync, struct stream *stream,
			     const Lvsmesh__Pb__Subscribe *message)
{
	if (stream->subscribed)
		return -SYNC_E_KIND;
	if (message->epoch != 0 && message->epoch != sync->epoch)
		return -SYNC_E_ORDER;
	if (message->position > table_position(sync->table) ||
	    (message->epoch == 0 && message->position != 0))
		return -SYNC_E_POSITION;
	stream->subscribed = true;
	stream->wants_snapshot = message->epoch == 0;
	stream->cursor.position =
		stream->wants_snapshot ? table_position(sync->table) : message->position;
	stream->position = stream->mark = stream->cursor.position;
	return 0;
}

static int receive_ack(struct sync *sync, struct stream *stream, const Lvsmesh__Pb__Ack *message,
		       struct now now)
{
	if (!stream->subscribed)
		return -SYNC_E_KIND;
	/* Before its snapshot has ended the subscriber has nothing to acknowledge. */
	if (message->epoch != sync->epoch ||
	    (message->position < stream->position && message->position != 0))
		return -SYNC_E_ORDER;
	if (message->position > stream->cursor.position)
		return -SYNC_E_POSITION;
	if (message->position != 0)
		stream->position = message->position;
	if (stream->position >= stream->mark) {
		stream->mark = table_position(sync->table);
		stream->mark_time = now.mono;
	}
	return 0;
}

static int receive_heartbeat(struct stream *stream, const Lvsmesh__Pb__Heartbeat *message)
{
	if (!stream->subscribed)
		return -SYNC_E_KIND;
	if (message->position < stream->position)
		return -SYNC_E_POSITION;
	stream->pending = message->pending;
	return 0;
}

/* The batch that was read is the next one of this stream. */
static int batch_check(const struct sync *sync, const struct stream *stream,
		       const struct batch_head *head, struct now now)
{
	if (head->snapshot != stream->wants_snapshot || (head->snapshot_end && !head->snapshot))
		return -SYNC_E_ORDER;
	if (head->snapshot ? head->first != head->last
			   : head->first != stream->position || head->last <= head->first)
		return -SYNC_E_ORDER;
	if (hlc_wall(batch_hlc_max(sync->reader)) > now.wall + SYNC_CLOCK_AHEAD)
		return -SYNC_E_CLOCK;
	return 0;
}

/* A journal holds what its director captured; only a snapshot hands on what others did. */
static void batch_merge(struct sync *sync, struct stream *stream, bool snapshot, struct now now)
{
	struct table_version version;
	struct entry entry;
	uint32_t age;

	while (batch_next(sync->reader, &entry, &version, &age)) {
		if (snapshot || version.origin == stream->peer_id)
			sync_merge(sync, &entry, version, age, now);
		else
			sync->refused[SYNC_E_ORIGIN]++;
		stream->entries++;
	}
}

static int receive_batch(struct sync *sync, struct stream *stream, const uint8_t *body, size_t len,
			 struct now now)
{
	struct batch_head head;
	struct resume *resume;
	int r;

	if (!stream->subscribed)
		return -SYNC_E_KIND;
	if (len < SIGNATURE_SIZE ||
	    batch_read(sync->reader, body + SIGNATURE_SIZE, len - SIGNATURE_SIZE, &head) < 0)
		return -SYNC_E_MALFORMED;
	r = batch_check(sync, stream, &head, now);
	if (r < 0)
		return r;
	if (record_verify(stream->peer, SYNC_KIND_BATCH, stream->peer_epoch, head.last,
			  body + SIGNATURE_SIZE, len - SIGNATURE_SIZE, body) < 0)
		return -SYNC_E_SIGNATURE;

	batch_merge(sync, stream, head.snapshot, now);
	sync->counters.batches_in++;
	stream->bytes += len;
	if (head.snapshot && !head.snapshot_end)
		return 0;
	stream->wants_snapshot = false;
	stream->synced = true;
	stream->position = head.last;
	stream->pending = 0;
	stream->ack_due = true;
	resume = resume_get(sync, stream->peer_id);
	resume->epoch = stream->peer_epoch;
	resume->position = head.last;
	return 0;
}

/* Decodes one of the small messages and hands it on. */
static int receive_small(struct sync *sync, struct stream *stream, uint8_t kind,
			 const ProtobufCMessageDescriptor *descriptor, const uint8_t *body,
			 size_t len, struct now now)
{
	_Alignas(16) uint8_t memory[512];
	struct arena arena;
	ProtobufCMessage *message;

	arena_init(&arena, memory, sizeof(memory));
	message = protobuf_c_message_unpack(descriptor, &arena.allocator, len, body);
	if (!message)
		return -SYNC_E_MALFORMED;
	switch (kind) {
	case SYNC_KIND_SUBSCRIBE:
		return receive_subscribe(sync, stream, (Lvsmesh__Pb__Subscribe *)message);
	case SYNC_KIND_ACK:
		return receive_ack(sync, stream, (Lvsmesh__Pb__Ack *)message, now);
	default:
		return receive_heartbeat(stream, (Lvsmesh__Pb__Heartbeat *)message);
	}
}

static int receive(struct sync *sync, struct stream *stream, uint8_t kind, const uint8_t *body,
		   size_t len, struct now now)
{
	const ProtobufCMessageDescriptor *descriptor;

	switch (kind) {
	case SYNC_KIND_SUBSCRIBE:
		descriptor = &lvsmesh__pb__subscribe__descriptor;
		break;
	case SYNC_KIND_ACK:
		descriptor = &lvsmesh__pb__ack__descriptor;
		break;
	case SYNC_KIND_HEARTBEAT:
		descriptor = &lvsmesh__pb__heartbeat__descriptor;
		break;
	case SYNC_KIND_BATCH:
		return stream->source ? receive_batch(sync, stream, body, len, now) : -SYNC_E_KIND;
	default:
		return -SYNC_E_KIND;
	}
	if (stream->source != (kind == SYNC_KIND_HEARTBEAT))
		return -SYNC_E_KIND;
	return receive_small(sync, stream, kind, descriptor, body, len, now);
}

int sync_receive(struct sync *sync, unsigned int number, uint8_t kind, const uint8_t *body,
		 size_t len, struct now now)
{
	struct stream *stream = &sync->streams[number];
	int r = receive(sync, stream, kind, body, len, now);

	if (r < 0)
		sync->refused[-r]++;
	else
		stream->heard = now.mono;
	return r;
}

void sync_stream_status(const struct sync *sync, unsigned int number, struct now now,
			struct sync_stream_status *ret_status)
{
	const struct stream *stream = &sync->streams[number];

	*ret_status = (struct sync_stream_status){
		.synced = stream->synced,
		.position = stream->position,
		.entries = stream->entries,
		.bytes = stream->bytes,
	};
	if (stream->source) {
		ret_status->behind = stream->pending;
		return;
	}
	ret_status->behind = stream_unsent(sync, stream);
	ret_status->synced = stream->subscribed && !stream->wants_snapshot &&
			     ret_status->behind == 0 && stream->position == stream->cursor.position;
	if (stream->position < stream->mark && now.mono > stream->mark_time)
		ret_status->lag = now.mono - stream->mark_time;
}
