/* The peers' streams: opens and closes them, and dispatches their frames. */
#include <stdlib.h>

#include "proto/arena.h"
#include "sync/sync_private.h"

static void stream_heard(const struct sync *sync, struct stream *stream, struct now now)
{
	stream->heard = now.mono;
	stream->heard_hlc = sync->hlc.last;
}

static uint64_t away_since(const struct sync *sync, uint64_t id)
{
	for (unsigned int i = 0; i < FOLLOWED_MAX && sync->away[i].id; i++)
		if (sync->away[i].id == id)
			return sync->away[i].hlc;
	return 0;
}

/* Notes nothing new for a stream that did not come to its journal's end. */
static void away_note(struct sync *sync, const struct stream *stream)
{
	struct away *away = sync->away;
	unsigned int i = 0;

	if (!source_caught_up(&stream->source))
		return;
	while (i < FOLLOWED_MAX - 1 && away[i].id && away[i].id != stream->peer_id)
		i++;
	memmove(&away[1], &away[0], i * sizeof(*away));
	away[0] = (struct away){stream->peer_id, stream->heard_hlc};
}

void sync_stream_free(struct stream *stream)
{
	if (stream->is_source)
		free(stream->source.lost);
	else
		free(stream->sink.answer);
	free(stream);
}

int sync_open(struct sync *sync, unsigned int number, bool source, const struct certificate *peer,
	      uint64_t peer_epoch, struct now now)
{
	struct stream *stream = malloc(sizeof(*stream));

	sync_close(sync, number);
	if (!stream)
		return -ENOMEM;
	*stream = (struct stream){
		.is_source = source,
		.peer = peer,
		.peer_id = certificate_id(peer),
		.peer_epoch = peer_epoch,
		.heard = now.mono,
		.said = now.mono,
	};
	if (source)
		stream->source.since_away = away_since(sync, stream->peer_id);
	else
		stream->sink.mark_time = now.mono;
	sync->streams[number] = stream;
	bits_add(sync->open, number);
	return 0;
}

void sync_close(struct sync *sync, unsigned int number)
{
	struct stream *stream = sync->streams[number];

	if (!stream)
		return;
	sync->streams[number] = NULL;
	bits_remove(sync->open, number);
	if (stream->is_source) {
		away_note(sync, stream);
		ask_dropped(sync, stream);
	} else if (stream->sink.subscribed) {
		gaps_parted(sync, stream);
	}
	sync_stream_free(stream);
}

usec_t sync_output_time(const struct sync *sync, unsigned int number)
{
	const struct stream *stream = sync->streams[number];

	if (!stream)
		return USEC_NEVER;
	return stream->is_source ? source_time(stream) : sink_time(sync, stream);
}

int sync_output(struct sync *sync, unsigned int number, struct now now, uint8_t *data,
		uint8_t *ret_kind, size_t *ret_len)
{
	struct stream *stream = sync->streams[number];

	if (sync_output_time(sync, number) > now.mono)
		return -EAGAIN;
	*ret_len = stream->is_source ? source_output(sync, stream, data, ret_kind)
				     : sink_output(sync, stream, now, data, ret_kind);
	stream->said = now.mono;
	return 0;
}

bool sync_silent(const struct sync *sync, unsigned int number, struct now now)
{
	const struct stream *stream = sync->streams[number];

	return stream && now.mono > stream->heard + SYNC_SILENCE;
}

bool sync_stalled(const struct sync *sync, unsigned int number, struct now now)
{
	const struct stream *stream = sync->streams[number];

	return stream && !stream->is_source && sink_stalled(&stream->sink, now);
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
	[SYNC_KIND_LOST - SYNC_KIND_SUBSCRIBE] = {&lvsmesh__pb__lost__descriptor, true},
};

static int receive_message(struct sync *sync, struct stream *stream, uint8_t kind,
			   const ProtobufCMessage *message, struct now now)
{
	switch (kind) {
	case SYNC_KIND_SUBSCRIBE:
		return sink_subscribe(sync, stream, (const Lvsmesh__Pb__Subscribe *)message);
	case SYNC_KIND_ACK:
		return sink_ack(sync, stream, (const Lvsmesh__Pb__Ack *)message, now);
	case SYNC_KIND_WANT:
		return answer_want(sync, stream, (const Lvsmesh__Pb__Want *)message);
	case SYNC_KIND_LOST:
		return progress_receive(sync, stream, (const Lvsmesh__Pb__Lost *)message);
	case SYNC_KIND_SUMS:
		return digest_receive(sync, stream, (const Lvsmesh__Pb__Sums *)message, now);
	case SYNC_KIND_BEGIN:
		return source_begin(sync, stream, (const Lvsmesh__Pb__Begin *)message);
	default:
		return source_heartbeat(sync, stream, (const Lvsmesh__Pb__Heartbeat *)message);
	}
}

static int receive(struct sync *sync, struct stream *stream, uint8_t kind, const uint8_t *body,
		   size_t len, struct now now)
{
	const struct message *known;
	ProtobufCMessage *message;
	struct arena arena;

	if (kind == SYNC_KIND_BATCH)
		return stream->is_source ? source_batch(sync, stream, body, len, now)
					 : -SYNC_E_KIND;
	if (kind < SYNC_KIND_SUBSCRIBE || kind >= SYNC_KIND_MAX)
		return -SYNC_E_KIND;
	known = &messages[kind - SYNC_KIND_SUBSCRIBE];
	if (known->from_publisher != stream->is_source)
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
	struct stream *stream = sync->streams[number];
	int r = receive(sync, stream, kind, body, len, now);

	if (r < 0)
		sync->refused[-r]++;
	else
		stream_heard(sync, stream, now);
	return r;
}

void sync_stream_status(const struct sync *sync, unsigned int number, struct now now,
			struct sync_stream_status *ret_status)
{
	const struct stream *stream = sync->streams[number];
	const struct sink *sink;

	*ret_status = (struct sync_stream_status){0};
	if (!stream)
		return;
	ret_status->entries = stream->entries;
	ret_status->bytes = stream->bytes;
	if (stream->is_source) {
		ret_status->synced = source_caught_up(&stream->source);
		ret_status->position = stream->source.position;
		ret_status->behind = stream->source.pending;
		return;
	}
	sink = &stream->sink;
	ret_status->position = sink->whole;
	ret_status->behind = sink_unsent(sync, sink);
	ret_status->joining = sink_joining(sink, now);
	ret_status->synced = sink->begun && ret_status->behind == 0 && sink->acked == sink->sent;
	ret_status->lag = sink_lag(sink, now);
}
