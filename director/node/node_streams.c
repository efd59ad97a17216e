/* Streams of a node: handshake, frames to sync or membership, output, and the reasons for which
 * streams close. */

#include "director/node/node_private.h"

#define PATIENCE (3 * USEC_PER_SEC) /* until a stream must be ready */
#define LASTED (2 * USEC_PER_SEC)   /* a stream that did was no failed attempt */
#define SOURCE_HANDSHAKES 4         /* at once, from a source that is no known director's */
#define DIRECTOR_STREAMS 8          /* of one, accepted and not for sync, at once */

static const char *const why_names[WHY_MAX] = {
	[WHY_CLOSED] = "closed",       [WHY_TIMEOUT] = "handshake-timeout",
	[WHY_SILENT] = "peer-timeout", [WHY_MISTAKEN] = "wrong-peer",
	[WHY_REPLACED] = "replaced",   [WHY_EVICTED] = "evicted",
	[WHY_REMOVED] = "removed",     [WHY_FINISHED] = "finished",
	[WHY_KIND] = "kind",           [WHY_MEMORY] = "memory",
	[WHY_STALLED] = "stalled",     [WHY_SHARE] = "rate-limited",
	[WHY_FULL] = "full",
};

const char *node_close_reason_name(int why)
{
	return why_names[why];
}

/* Frees the stream's resources, and notifies its user; the number may be used again. self: the
 * other end was this director itself. */
static void stream_drop(struct node *node, unsigned int number, const char *why, bool self,
			const struct node_event *event)
{
	struct node_stream *stream = &node->streams[number];
	struct node_stream was = *stream;
	struct now now = event->now;

	node_enter(node, NODE_IN_DROP);
	if (was.phase == NODE_STREAM_READY && was.use == STREAM_SYNC)
		sync_close(node->sync, number);
	session_free(was.session);
	*stream = (struct node_stream){.since = now.mono, .why = why};
	bits_remove(node->used.bits, number);
	if (is_link(number)) {
		bool ready = was.phase == NODE_STREAM_READY;

		node_link_lost(node, number, ready, ready && now.mono >= was.since + LASTED, now);
	} else if (is_dialled(number) || was.use == STREAM_MEMBERSHIP) {
		unsigned int member = is_dialled(number) ? number - NODE_SYNC_MAX : was.member;

		node->member_streams[member] = NODE_STREAMS_MAX;
		node_members_step(node, &(struct membership_event){
						.type = MEMBERSHIP_STREAM_CLOSED,
						.now = now,
						.stream = member,
						.refused = event->refused,
						.self = self,
					});
	}
	node_leave(node, NODE_IN_DROP);
}

static void stream_close(struct node *node, unsigned int number, const char *why, bool self,
			 struct now now)
{
	bits_add(node->close.bits, number);
	stream_drop(node, number, why, self, &(struct node_event){.now = now});
}

void node_stream_close(struct node *node, unsigned int number, enum close_reason why,
		       struct now now)
{
	node->stream_closed[why]++;
	stream_close(node, number, why_names[why], false, now);
}

/* Streams in handshake, as the next connection finds them. */
struct handshakes {
	unsigned int same_source, strangers;
	unsigned int oldest; /* stranger; NODE_STREAMS_MAX: none */
	unsigned int unused; /* number; NODE_STREAMS_MAX: none */
};

static struct handshakes handshakes_count(const struct node *node, const struct ip_addr *source)
{
	struct handshakes handshakes = {.oldest = NODE_STREAMS_MAX, .unused = NODE_STREAMS_MAX};

	for (unsigned int i = NODE_STREAMS_MAX; i-- > NODE_DIALLED_MAX;) {
		const struct node_stream *stream = &node->streams[i];

		if (stream->phase == NODE_STREAM_NONE)
			handshakes.unused = i;
		if (stream->phase != NODE_STREAM_HANDSHAKE)
			continue;
		handshakes.same_source += admission_same_source(&stream->remote.ip, source);
		if (!stream->stranger)
			continue;
		handshakes.strangers++;
		if (handshakes.oldest == NODE_STREAMS_MAX ||
		    stream->since < node->streams[handshakes.oldest].since)
			handshakes.oldest = i;
	}
	return handshakes;
}

static unsigned int refuse(struct node *node, enum close_reason why)
{
	node->stream_closed[why]++;
	return NODE_STREAMS_MAX;
}

unsigned int node_accept(struct node *node, const struct endpoint *remote, bool strangers,
			 struct now now)
{
	unsigned int directors;
	struct handshakes handshakes;

	if (node->admission_stale)
		node_members_addresses(node);
	directors = admission_directors(node->admission, &remote->ip);
	if (!directors && !strangers)
		return refuse(node, WHY_EVICTED);
	if (!admission_take(node->admission, &remote->ip, directors, now.mono))
		return refuse(node, WHY_SHARE);
	handshakes = handshakes_count(node, &remote->ip);
	if (handshakes.same_source >= (directors ? NODE_HANDSHAKES_MIN / 2 : SOURCE_HANDSHAKES))
		return refuse(node, WHY_SHARE);
	if (handshakes.unused < NODE_STREAMS_MAX &&
	    (directors || handshakes.strangers < NODE_STRANGERS_MAX))
		return handshakes.unused;
	if (handshakes.oldest == NODE_STREAMS_MAX)
		return refuse(node, WHY_EVICTED);
	node->stream_closed[WHY_EVICTED]++;
	stream_drop(node, handshakes.oldest, why_names[WHY_EVICTED], false,
		    &(struct node_event){.now = now});
	return handshakes.oldest;
}

bool node_stranger(const struct node *node, unsigned int number)
{
	const struct node_stream *stream = &node->streams[number];

	return stream->phase == NODE_STREAM_HANDSHAKE && stream->stranger;
}

/* Resets the number's former stream, all but its close reason. */
static struct node_stream *stream_begin(struct node *node, unsigned int number,
					enum node_stream_phase phase, const struct endpoint *remote,
					struct now now)
{
	struct node_stream *stream = &node->streams[number];

	session_free(stream->session);
	*stream = (struct node_stream){
		.phase = phase,
		.remote = *remote,
		.since = now.mono,
		.why = stream->why,
	};
	bits_add(node->used.bits, number);
	return stream;
}

void node_stream_dial(struct node *node, unsigned int number, const struct endpoint *remote,
		      struct node_update *update, struct now now)
{
	/* Closes the number's former stream, which membership gave up and which may be a whole
	 * session by now. */
	if (bits_have(node->used.bits, number))
		bits_add(node->close.bits, number);
	if (!is_link(number))
		node->member_streams[number - NODE_SYNC_MAX] = NODE_STREAMS_MAX;
	stream_begin(node, number, NODE_STREAM_DIALLING, remote, now);
	bits_add(update->dial.bits, number);
}

void node_stream_opened(struct node *node, const struct node_event *event)
{
	struct node_stream *stream = stream_begin(node, event->stream, NODE_STREAM_HANDSHAKE,
						  &event->remote, event->now);
	struct session_options options = {
		.identity = node->identity,
		.cache = node->peers,
		.dialer = is_dialled(event->stream),
		.epoch = node->epoch,
		.versions = node->versions,
	};

	stream->stranger = !is_dialled(event->stream) &&
			   !admission_directors(node->admission, &event->remote.ip);
	node_draw(node, options.nonce, sizeof(options.nonce));
	if (session_new(&options, &stream->session) < 0)
		node_stream_close(node, event->stream, WHY_MEMORY, event->now);
}

/* The stream belongs to sync. A peer that dials again has lost its old stream, even if our side
 * still holds it open. */
static void use_sync(struct node *node, unsigned int number, struct now now)
{
	struct node_stream *stream = &node->streams[number];

	if (node_members_beyond(node, stream->id)) {
		node_stream_close(node, number, WHY_FULL, now);
		return;
	}
	BITS_EACH (i, node->used.bits, NODE_STREAMS_MAX) {
		const struct node_stream *other = &node->streams[i];

		if (is_dialled(number) || is_dialled(i))
			continue;
		if (i != number && other->phase == NODE_STREAM_READY && other->use == STREAM_SYNC &&
		    other->id == stream->id)
			node_stream_close(node, i, WHY_REPLACED, now);
	}
	if (sync_open(node->sync, number, is_dialled(number), &stream->peer, stream->epoch, now) <
	    0) {
		node_stream_close(node, number, WHY_MEMORY, now);
		return;
	}
	stream->use = STREAM_SYNC;
	TRACE(&node->trace, "%s %s", is_dialled(number) ? "subscribe to" : "publish to",
	      stream->peer.name);
	if (is_link(number))
		node_link_ready(node, number, now);
}

/* The stream belongs to membership, under that number of its own. */
static void use_membership(struct node *node, unsigned int number, unsigned int member,
			   struct now now)
{
	struct node_stream *stream = &node->streams[number];

	stream->use = STREAM_MEMBERSHIP;
	stream->member = member;
	node->member_streams[member] = number;
	node_members_step(node, &(struct membership_event){
					.type = MEMBERSHIP_STREAM_OPENED,
					.now = now,
					.stream = member,
					.remote = stream->remote,
					.peer = &stream->peer,
					.peer_epoch = stream->epoch,
				});
}

/* Bounds one director's streams, so that others find places: beyond its share the oldest that it
 * doesn't use for sync is closed, and the rate at which it opens them is limited. */
static bool director_admit(struct node *node, unsigned int number, struct now now)
{
	const struct node_stream *stream = &node->streams[number];
	unsigned int others = 0, oldest = NODE_STREAMS_MAX;

	if (!admission_take_director(node->admission, stream->id, now.mono)) {
		node_stream_close(node, number, WHY_SHARE, now);
		return false;
	}
	BITS_EACH (i, node->used.bits, NODE_STREAMS_MAX) {
		const struct node_stream *other = &node->streams[i];

		if (i == number || is_dialled(i) || other->phase != NODE_STREAM_READY ||
		    other->use == STREAM_SYNC || other->id != stream->id)
			continue;
		if (others++ == 0 || other->since < node->streams[oldest].since)
			oldest = i;
	}
	if (others >= DIRECTOR_STREAMS)
		node_stream_close(node, oldest, WHY_SHARE, now);
	return true;
}

/* The peer has authenticated itself. */
static void stream_ready(struct node *node, unsigned int number, struct now now)
{
	struct node_stream *stream = &node->streams[number];

	stream->peer = *session_peer(stream->session);
	stream->id = certificate_id(&stream->peer);
	stream->epoch = session_peer_epoch(stream->session);
	stream->phase = NODE_STREAM_READY;
	stream->since = now.mono;
	stream->why = NULL;
	if (!is_dialled(number) && !director_admit(node, number, now))
		return;
	if (!is_link(number) && is_dialled(number)) {
		use_membership(node, number, number - NODE_SYNC_MAX, now);
	} else if (is_link(number) && stream->id != node->links[number].member) {
		node_stream_close(node, number, WHY_MISTAKEN, now);
	} else if (is_link(number)) {
		use_sync(node, number, now);
	}
}

/* The first frame of an accepted stream tells its use. */
static void stream_choose(struct node *node, unsigned int number, uint8_t kind, struct now now)
{
	unsigned int member = MEMBERSHIP_DIALS_MAX;

	if (kind < MEMBERSHIP_KIND_DIGEST) {
		use_sync(node, number, now);
		return;
	}
	while (member < MEMBERSHIP_STREAMS_MAX && node->member_streams[member] != NODE_STREAMS_MAX)
		member++;
	if (kind >= MEMBERSHIP_KIND_MAX)
		node_stream_close(node, number, WHY_KIND, now);
	else if (member == MEMBERSHIP_STREAMS_MAX)
		node_stream_close(node, number, WHY_EVICTED, now);
	else
		use_membership(node, number, member, now);
}

static void stream_frame(struct node *node, unsigned int number, const struct session_frame *frame,
			 struct now now)
{
	struct node_stream *stream = &node->streams[number];
	int r;

	if (stream->use == STREAM_UNKNOWN)
		stream_choose(node, number, frame->kind, now);
	switch (stream->use) {
	case STREAM_SYNC:
		r = sync_receive(node->sync, number, frame->kind, frame->body, frame->len, now);
		if (r < 0)
			stream_close(node, number, sync_error_name(-r), false, now);
		break;
	case STREAM_MEMBERSHIP:
		node_members_step(node, &(struct membership_event){
						.type = MEMBERSHIP_STREAM_FRAME,
						.now = now,
						.stream = stream->member,
						.kind = frame->kind,
						.data = frame->body,
						.len = frame->len,
					});
		break;
	case STREAM_UNKNOWN:
		break;
	}
}

void node_stream_data(struct node *node, const struct node_event *event)
{
	struct node_stream *stream = &node->streams[event->stream];
	const uint8_t *data = event->data;
	size_t left = event->len;

	while (left > 0 && stream->session) {
		struct session_frame frame;
		size_t used = 0;
		int r = session_feed(stream->session, data, left, event->now.wall, &used, &frame);

		if (r < 0) {
			node->session_refused[-r]++;
			stream_close(node, event->stream, session_error_name(-r),
				     r == -SESSION_E_SELF, event->now);
			return;
		}
		data += used;
		left -= used;
		if (stream->phase == NODE_STREAM_HANDSHAKE && session_ready(stream->session))
			stream_ready(node, event->stream, event->now);
		if (r == 1 && stream->session)
			stream_frame(node, event->stream, &frame, event->now);
	}
}

void node_stream_closed(struct node *node, const struct node_event *event)
{
	if (node->streams[event->stream].phase == NODE_STREAM_NONE)
		return;
	node->stream_closed[WHY_CLOSED]++;
	stream_drop(node, event->stream, why_names[WHY_CLOSED], false, event);
}

void node_stream_tick(struct node *node, unsigned int number, struct now now)
{
	struct node_stream *stream = &node->streams[number];
	bool waits = stream->phase == NODE_STREAM_DIALLING ||
		     stream->phase == NODE_STREAM_HANDSHAKE ||
		     (stream->phase == NODE_STREAM_READY && stream->use == STREAM_UNKNOWN);

	if (waits && now.mono >= stream->since + PATIENCE)
		node_stream_close(node, number, WHY_TIMEOUT, now);
	else if (stream->use == STREAM_SYNC && sync_silent(node->sync, number, now))
		node_stream_close(node, number, WHY_SILENT, now);
	else if (stream->use == STREAM_SYNC && sync_stalled(node->sync, number, now))
		node_stream_close(node, number, WHY_STALLED, now);
}

/* The next frame's body to data + SESSION_HEADER. False: there is none now. */
static bool next_body(struct node *node, unsigned int number, struct now now, uint8_t *data,
		      uint8_t *ret_kind, size_t *ret_len)
{
	const struct node_stream *stream = &node->streams[number];

	switch (stream->use) {
	case STREAM_SYNC:
		return sync_output(node->sync, number, now, data + SESSION_HEADER, ret_kind,
				   ret_len) == 0;
	case STREAM_MEMBERSHIP:
		return membership_frame(node->membership, stream->member, data + SESSION_HEADER,
					ret_kind, ret_len) == 0;
	default:
		return false;
	}
}

size_t node_output(struct node *node, unsigned int number, struct now now, uint8_t *data,
		   size_t cap)
{
	struct node_stream *stream = &node->streams[number];
	size_t len, body, sealed;
	uint8_t kind;

	if (!stream->session || node_throttled(node, node_stream_director(node, number), now))
		return 0;
	len = session_output(stream->session, data, cap);
	while (stream->phase == NODE_STREAM_READY && cap - len >= NODE_OUTPUT_MIN &&
	       next_body(node, number, now, data + len, &kind, &body)) {
		int r = session_seal(stream->session, kind, data + len + SESSION_HEADER, body,
				     data + len, cap - len, &sealed);

		assert(r == 0);
		len += sealed;
	}
	/* All its output is written by now: the driver asks again when the socket has taken it. */
	if (len == 0 && stream->closing)
		node_stream_close(node, number, WHY_FINISHED, now);
	node_members_follow(node, now);
	return len;
}

void node_stream_status(const struct node *node, unsigned int number, struct now now,
			struct node_stream_status *ret_status)
{
	const struct node_stream *stream = &node->streams[number];
	const struct node_link *link = is_link(number) ? &node->links[number] : NULL;

	*ret_status = (struct node_stream_status){
		.phase = stream->phase,
		.dialled = is_dialled(number),
		.remote = stream->remote,
		.id = link ? link->member : stream->id,
		.epoch = stream->epoch,
		.since = stream->since,
		.why = stream->why,
	};
	memcpy(ret_status->name, link ? link->name : stream->peer.name, sizeof(ret_status->name));
	if (link && link->member && stream->phase == NODE_STREAM_NONE)
		ret_status->remote = link->endpoint;
	ret_status->for_sync = stream->use == STREAM_SYNC || link;
	if (stream->phase == NODE_STREAM_READY)
		ret_status->version = session_version(stream->session);
	if (stream->use == STREAM_SYNC)
		sync_stream_status(node->sync, number, now, &ret_status->sync);
}
