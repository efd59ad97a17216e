/* The peers' streams: opens and closes them, and dispatches their frames. */
#include <assert.h>
#include <stdlib.h>

#include "proto/arena.h"
#include "sync/sync_private.h"

static void stream_heard(const struct sync *sync, struct sync_stream *stream, struct now now)
{
	stream->heard_at = now.mono;
	stream->heard_hlc = sync->hlc.last;
}

static uint64_t away_since(const struct sync *sync, uint64_t id)
{
	for (unsigned int i = 0; i < PROGRESS_MAX && sync->away[i].id; i++)
		if (sync->away[i].id == id)
			return sync->away[i].hlc;
	return 0;
}

/* Notes nothing new for a stream that did not come to its journal's end. */
static void away_note(struct sync *sync, const struct sync_stream *stream)
{
	struct away *away = sync->away;
	unsigned int i = 0;

	if (!subscription_caught_up(&stream->subscription))
		return;
	while (i < PROGRESS_MAX - 1 && away[i].id && away[i].id != stream->peer_id)
		i++;
	memmove(&away[1], &away[0], i * sizeof(*away));
	away[0] = (struct away){stream->peer_id, stream->heard_hlc};
}

void sync_stream_free(struct sync_stream *stream)
{
	if (stream->is_subscription)
		free(stream->subscription.orphans);
	else
		free(stream->subscriber.answer);
	free(stream);
}

int sync_open(struct sync *sync, unsigned int number, bool subscription,
	      const struct certificate *peer, uint64_t peer_epoch, struct now now)
{
	struct sync_stream *stream = malloc(sizeof(*stream));

	assert(number < SYNC_STREAMS_MAX);
	sync_close(sync, number);
	if (!stream)
		return -ENOMEM;
	*stream = (struct sync_stream){
		.is_subscription = subscription,
		.peer = peer,
		.peer_id = certificate_id(peer),
		.peer_epoch = peer_epoch,
		.heard_at = now.mono,
		.sent_at = now.mono,
	};
	if (subscription)
		stream->subscription.since_away = away_since(sync, stream->peer_id);
	else
		stream->subscriber.mark_time = now.mono;
	sync->streams[number] = stream;
	bits_add(sync->open, number);
	return 0;
}

void sync_close(struct sync *sync, unsigned int number)
{
	struct sync_stream *stream = sync->streams[number];

	if (!stream)
		return;
	sync->streams[number] = NULL;
	bits_remove(sync->open, number);
	if (stream->is_subscription) {
		away_note(sync, stream);
		ask_dropped(sync, stream);
	} else if (stream->subscriber.subscribed) {
		superseded_parted(sync, stream);
	}
	sync_stream_free(stream);
}

usec_t sync_output_time(const struct sync *sync, unsigned int number)
{
	const struct sync_stream *stream = sync->streams[number];

	if (!stream)
		return USEC_NEVER;
	return stream->is_subscription ? subscription_time(stream) : subscriber_time(sync, stream);
}

int sync_output(struct sync *sync, unsigned int number, struct now now, uint8_t *data,
		uint8_t *ret_kind, size_t *ret_len)
{
	struct sync_stream *stream = sync->streams[number];

	if (sync_output_time(sync, number) > now.mono)
		return -EAGAIN;
	*ret_len = stream->is_subscription ? subscription_output(sync, stream, data, ret_kind)
					   : subscriber_output(sync, stream, now, data, ret_kind);
	stream->sent_at = now.mono;
	return 0;
}

bool sync_silent(const struct sync *sync, unsigned int number, struct now now)
{
	const struct sync_stream *stream = sync->streams[number];

	return stream && now.mono > stream->heard_at + SYNC_SILENCE;
}

bool sync_stalled(const struct sync *sync, unsigned int number, struct now now)
{
	const struct sync_stream *stream = sync->streams[number];

	return stream && !stream->is_subscription && subscriber_stalled(&stream->subscriber, now);
}

/* The small messages, by kind from SYNC_KIND_SUBSCRIBE. */
static const struct message {
	const ProtobufCMessageDescriptor *descriptor;
	bool from_publisher;
} messages[SYNC_KIND_MAX - SYNC_KIND_SUBSCRIBE] = {
	[SYNC_KIND_SUBSCRIBE - SYNC_KIND_SUBSCRIBE] = {&lvsmesh__pb__subscribe__descriptor, false},
	[SYNC_KIND_HEARTBEAT - SYNC_KIND_SUBSCRIBE] = {&lvsmesh__pb__heartbeat__descriptor, true},
	[SYNC_KIND_ACK - SYNC_KIND_SUBSCRIBE] = {&lvsmesh__pb__ack__descriptor, false},
	[SYNC_KIND_BEGIN - SYNC_KIND_SUBSCRIBE] = {&lvsmesh__pb__begin__descriptor, true},
	[SYNC_KIND_WANT - SYNC_KIND_SUBSCRIBE] = {&lvsmesh__pb__want__descriptor, false},
	[SYNC_KIND_SUMS - SYNC_KIND_SUBSCRIBE] = {&lvsmesh__pb__sums__descriptor, true},
	[SYNC_KIND_ORPHANS - SYNC_KIND_SUBSCRIBE] = {&lvsmesh__pb__orphans__descriptor, true},
};

static int receive_message(struct sync *sync, struct sync_stream *stream, uint8_t kind,
			   const ProtobufCMessage *message, struct now now)
{
	switch (kind) {
	case SYNC_KIND_SUBSCRIBE:
		return subscriber_subscribe(sync, stream, (const Lvsmesh__Pb__Subscribe *)message);
	case SYNC_KIND_ACK:
		return subscriber_ack(sync, stream, (const Lvsmesh__Pb__Ack *)message, now);
	case SYNC_KIND_WANT:
		return answer_want(sync, stream, (const Lvsmesh__Pb__Want *)message);
	case SYNC_KIND_ORPHANS:
		return progress_receive(stream, (const Lvsmesh__Pb__Orphans *)message);
	case SYNC_KIND_SUMS:
		return anti_entropy_receive(sync, stream, (const Lvsmesh__Pb__Sums *)message, now);
	case SYNC_KIND_BEGIN:
		return subscription_begin(sync, stream, (const Lvsmesh__Pb__Begin *)message);
	default:
		return subscription_heartbeat(stream, (const Lvsmesh__Pb__Heartbeat *)message);
	}
}

static int receive(struct sync *sync, struct sync_stream *stream, uint8_t kind, const uint8_t *body,
		   size_t len, struct now now)
{
	const struct message *known;
	ProtobufCMessage *message;
	struct arena arena;

	if (kind == SYNC_KIND_BATCH)
		return stream->is_subscription ? subscription_batch(sync, stream, body, len, now)
					       : -SYNC_E_KIND;
	if (kind < SYNC_KIND_SUBSCRIBE || kind >= SYNC_KIND_MAX)
		return -SYNC_E_KIND;
	known = &messages[kind - SYNC_KIND_SUBSCRIBE];
	if (known->from_publisher != stream->is_subscription)
		return -SYNC_E_KIND;
	arena_init(&arena, sync->memory, sizeof(sync->memory));
	message = protobuf_c_message_unpack(known->descriptor, &arena.allocator, len, body);
	if (!message)
		return -SYNC_E_MALFORMED;
	return receive_message(sync, stream, kind, message, now);
}

int sync_receive(struct sync *sync, unsigned int number, uint8_t kind, const uint8_t *body,
		 size_t len, struct now now)
{
	struct sync_stream *stream = sync->streams[number];
	int r;

	assert(stream);
	r = receive(sync, stream, kind, body, len, now);
	assert(r <= 0 && r > -SYNC_E_MAX);
	if (r < 0)
		sync->refused[-r]++;
	else
		stream_heard(sync, stream, now);
	if (r == 0 && stream->is_subscription)
		ask_next(sync, stream);
	return r;
}

void sync_stream_status(const struct sync *sync, unsigned int number, struct now now,
			struct sync_stream_status *ret_status)
{
	const struct sync_stream *stream = sync->streams[number];
	const struct subscriber *subscriber;

	*ret_status = (struct sync_stream_status){0};
	if (!stream)
		return;
	ret_status->entries = stream->entries;
	ret_status->bytes = stream->bytes;
	if (stream->is_subscription) {
		ret_status->synced = subscription_caught_up(&stream->subscription);
		ret_status->facts = ask_has_facts(sync, stream);
		ret_status->returned = ask_has_all(sync, &stream->subscription);
		ret_status->position = stream->subscription.position;
		ret_status->behind = stream->subscription.pending;
		return;
	}
	subscriber = &stream->subscriber;
	ret_status->position = subscriber->whole;
	ret_status->behind = subscriber_unsent(sync, subscriber);
	ret_status->joining = subscriber_joining(subscriber, now);
	ret_status->synced = subscriber->begun && ret_status->behind == 0 &&
			     subscriber->acked == subscriber->sent;
	ret_status->lag = subscriber_lag(subscriber, now);
}
