#include "director/node.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "proto/session.h"
#include "sync/kernel_wire.h"

#define TICK (100 * USEC_PER_MSEC)
#define DIAL_PATIENCE (3 * USEC_PER_SEC) /* until a stream must be ready */
#define REDIAL_MIN (100 * USEC_PER_MSEC)
#define REDIAL_MAX (2 * USEC_PER_SEC)
/* Our own address stays ours, unless somebody had turned a peer's connection back to us. */
#define REDIAL_SELF (30 * USEC_PER_SEC)
/* A peer that could not be reached for so long is not waited for at start, nor one that is lost
 * again and again before its snapshot was complete. */
#define JOIN_PATIENCE (5 * USEC_PER_SEC)
#define JOIN_PATIENCE_FLAPPING (60 * USEC_PER_SEC)

struct stream {
	enum node_stream_phase phase;
	struct session *session;
	struct endpoint remote;
	struct certificate peer; /* when ready; outlives the session for the status */
	uint64_t id, epoch;
	usec_t since;
	const char *why;
	bool syncing; /* sync knows the stream */
};

/* An endpoint to dial; its stream has the same number. */
struct join {
	struct endpoint endpoint;
	usec_t redial; /* when, while there is no stream */
	usec_t backoff;
	usec_t first; /* when it was dialled first, 0: not yet */
	usec_t lost;  /* when a stream to it was lost, or dialled first */
	bool self;    /* it was ourselves when it answered last */
	bool reached; /* its snapshot was complete once, or it was waited for long enough */
};

/* Reasons of our own, beside the session's and sync's. */
enum stream_why {
	WHY_CLOSED,
	WHY_TIMEOUT,
	WHY_SILENT,
	WHY_DUPLICATE,
	WHY_REPLACED,
	WHY_EVICTED,
	WHY_REMOVED,
	WHY_MEMORY,
	WHY_MAX,
};

static const char *const why_names[WHY_MAX] = {
	[WHY_CLOSED] = "closed",       [WHY_TIMEOUT] = "timeout",   [WHY_SILENT] = "silent",
	[WHY_DUPLICATE] = "duplicate", [WHY_REPLACED] = "replaced", [WHY_EVICTED] = "evicted",
	[WHY_REMOVED] = "removed",     [WHY_MEMORY] = "memory",
};

struct node {
	const struct identity *identity;
	uint64_t epoch;
	uint8_t syncid;
	uint8_t tap_address[4];
	struct sync *sync;
	struct join join[NODE_JOIN_MAX];
	unsigned int join_count;
	struct stream streams[NODE_STREAMS_MAX];
	unsigned int streams_len;  /* numbers from here on were never used */
	struct node_streams close; /* to be told with the next update */
	bool forwarder, ready;
	bool complete;        /* every peer's entries were */
	uint64_t inject_goal; /* so many injected ones make up what had come by then */
	usec_t ready_since, tick;
	uint8_t seed[32];
	uint64_t chance; /* how often the seed was drawn from */
	uint64_t session_refused[SESSION_E_MAX];
	uint64_t capture_refused[KERNEL_WIRE_E_MAX];
	uint64_t stream_closed[WHY_MAX];
};

static void bits_set(struct node_streams *streams, unsigned int i)
{
	streams->bits[i / 64] |= UINT64_C(1) << (i % 64);
}

static void draw(struct node *node, void *data, size_t len)
{
	uint8_t key[randombytes_SEEDBYTES];

	node->chance++;
	crypto_generichash(key, sizeof(key), (const uint8_t *)&node->chance, sizeof(node->chance),
			   node->seed, sizeof(node->seed));
	randombytes_buf_deterministic(data, len, key);
}

static void join_set(struct node *node, const struct endpoint *join, unsigned int count);

int node_new(const struct node_options *options, struct node **ret_node)
{
	struct sync_options sync = {
		.identity = options->identity,
		.epoch = options->epoch,
		.syncid = options->syncid,
		.entries_max = options->entries_max,
	};
	struct node *node;
	int r;

	if (options->join_count > NODE_JOIN_MAX)
		return -EINVAL;
	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	node->identity = options->identity;
	node->epoch = options->epoch;
	node->syncid = options->syncid;
	memcpy(node->tap_address, options->tap_address, sizeof(node->tap_address));
	memcpy(node->seed, options->seed, sizeof(node->seed));
	draw(node, sync.hash_key, sizeof(sync.hash_key));
	r = sync_new(&sync, &node->sync);
	if (r < 0) {
		free(node);
		return r;
	}
	join_set(node, options->join, options->join_count);
	node->streams_len = NODE_JOIN_MAX;
	*ret_node = node;
	return 0;
}

void node_free(struct node *node)
{
	if (!node)
		return;
	for (unsigned int i = 0; i < NODE_STREAMS_MAX; i++)
		session_free(node->streams[i].session);
	sync_free(node->sync);
	free(node);
}

/* Streams */

static bool is_dialled(unsigned int number)
{
	return number < NODE_JOIN_MAX;
}

/* Frees what the stream holds; the number may be used again. */
static void stream_drop(struct node *node, unsigned int number, const char *why, usec_t mono)
{
	struct stream *stream = &node->streams[number];
	bool lost = stream->phase == NODE_STREAM_READY;
	bool lasted = lost && mono >= stream->since + REDIAL_MAX;

	if (stream->syncing)
		sync_close(node->sync, number);
	session_free(stream->session);
	stream->session = NULL;
	stream->syncing = false;
	stream->phase = NODE_STREAM_NONE;
	stream->since = mono;
	stream->why = why;
	if (is_dialled(number)) {
		struct join *join = &node->join[number];
		uint32_t jitter;

		if (lost)
			join->lost = mono;
		if (lasted)
			join->backoff = REDIAL_MIN;
		draw(node, &jitter, sizeof(jitter));
		join->redial = mono + join->backoff + jitter % (join->backoff / 2 + 1);
		join->backoff = MIN(join->backoff * 2, REDIAL_MAX);
	}
}

/* The same, by our own will: whoever drives us has to close the socket. */
static void stream_close(struct node *node, unsigned int number, const char *why, usec_t mono)
{
	stream_drop(node, number, why, mono);
	bits_set(&node->close, number);
}

static void stream_close_why(struct node *node, unsigned int number, enum stream_why why,
			     usec_t mono)
{
	node->stream_closed[why]++;
	stream_close(node, number, why_names[why], mono);
}

unsigned int node_accept(struct node *node)
{
	unsigned int oldest = NODE_STREAMS_MAX;

	for (unsigned int i = NODE_JOIN_MAX; i < NODE_STREAMS_MAX; i++) {
		const struct stream *stream = &node->streams[i];

		if (stream->phase == NODE_STREAM_NONE)
			return i;
		if (stream->phase == NODE_STREAM_HANDSHAKE &&
		    (oldest == NODE_STREAMS_MAX || stream->since < node->streams[oldest].since))
			oldest = i;
	}
	if (oldest < NODE_STREAMS_MAX) {
		node->stream_closed[WHY_EVICTED]++;
		stream_drop(node, oldest, why_names[WHY_EVICTED], node->streams[oldest].since);
	}
	return oldest;
}

static void stream_opened(struct node *node, const struct node_event *event)
{
	struct stream *stream = &node->streams[event->stream];
	struct session_options options = {
		.identity = node->identity,
		.dialer = is_dialled(event->stream),
		.epoch = node->epoch,
	};

	draw(node, options.nonce, sizeof(options.nonce));
	stream->remote = event->remote;
	stream->since = event->now.mono;
	stream->phase = NODE_STREAM_HANDSHAKE;
	node->streams_len = MAX(node->streams_len, event->stream + 1);
	if (session_new(&options, &stream->session) < 0)
		stream_close_why(node, event->stream, WHY_MEMORY, event->now.mono);
}

/* Another ready stream of this direction with the same peer, or NODE_STREAMS_MAX. */
static unsigned int stream_twin(const struct node *node, unsigned int number)
{
	unsigned int end = is_dialled(number) ? NODE_JOIN_MAX : node->streams_len;

	for (unsigned int i = is_dialled(number) ? 0 : NODE_JOIN_MAX; i < end; i++) {
		if (i != number && node->streams[i].phase == NODE_STREAM_READY &&
		    node->streams[i].id == node->streams[number].id)
			return i;
	}
	return NODE_STREAMS_MAX;
}

/* The peer has proved who it is. False: the stream is closed. */
static bool stream_ready(struct node *node, unsigned int number, struct now now)
{
	struct stream *stream = &node->streams[number];
	unsigned int twin;

	stream->peer = *session_peer(stream->session);
	stream->id = certificate_id(&stream->peer);
	stream->epoch = session_peer_epoch(stream->session);
	if (is_dialled(number))
		node->join[number].self = false;
	twin = stream_twin(node, number);
	if (twin < NODE_STREAMS_MAX && is_dialled(number)) {
		/* Another address of the same director: one stream is enough, it may fail later. */
		node->join[number].backoff = REDIAL_MAX;
		node->join[number].reached = true;
		stream_close_why(node, number, WHY_DUPLICATE, now.mono);
		return false;
	}
	/* The peer dialled again: its old stream is dead, whatever our side of it believes. */
	if (twin < NODE_STREAMS_MAX)
		stream_close_why(node, twin, WHY_REPLACED, now.mono);
	stream->phase = NODE_STREAM_READY;
	stream->since = now.mono;
	stream->why = NULL;
	sync_open(node->sync, number, is_dialled(number), &stream->peer, stream->epoch, now);
	stream->syncing = true;
	return true;
}

static void stream_refused(struct node *node, unsigned int number, int error, usec_t mono)
{
	node->session_refused[error]++;
	if (error == SESSION_E_SELF && is_dialled(number)) {
		node->join[number].self = true;
		node->join[number].backoff = REDIAL_SELF;
	}
	stream_close(node, number, session_error_name(error), mono);
}

static void stream_data(struct node *node, const struct node_event *event)
{
	struct stream *stream = &node->streams[event->stream];
	const uint8_t *data = event->data;
	size_t left = event->len;

	while (left > 0 && stream->session) {
		struct session_frame frame;
		size_t used = 0;
		int r = session_feed(stream->session, data, left, event->now.wall, &used, &frame);

		if (r < 0) {
			stream_refused(node, event->stream, -r, event->now.mono);
			return;
		}
		data += used;
		left -= used;
		if (stream->phase == NODE_STREAM_HANDSHAKE && session_ready(stream->session) &&
		    !stream_ready(node, event->stream, event->now))
			return;
		if (r == 0)
			continue;
		r = sync_receive(node->sync, event->stream, frame.kind, frame.body, frame.len,
				 event->now);
		if (r < 0) {
			stream_close(node, event->stream, sync_error_name(-r), event->now.mono);
			return;
		}
	}
}

/* Join endpoints */

static void join_set(struct node *node, const struct endpoint *join, unsigned int count)
{
	node->join_count = count;
	for (unsigned int i = 0; i < count; i++)
		node->join[i] = (struct join){.endpoint = join[i], .backoff = REDIAL_MIN};
}

/* Endpoints that stay keep their number and their stream. */
static void join_change(struct node *node, const struct node_event *event)
{
	bool kept[NODE_JOIN_MAX] = {false};
	unsigned int count = 0;

	for (unsigned int i = 0; i < node->join_count; i++) {
		bool wanted = false;

		for (unsigned int j = 0; j < event->join_count; j++) {
			if (!kept[j] &&
			    endpoint_compare(&node->join[i].endpoint, &event->join[j]) == 0)
				wanted = kept[j] = true;
		}
		if (wanted) {
			count = i + 1;
			continue;
		}
		if (node->streams[i].phase != NODE_STREAM_NONE)
			stream_close_why(node, i, WHY_REMOVED, event->now.mono);
		node->join[i] = (struct join){0};
	}
	for (unsigned int j = 0, i = 0; j < event->join_count; j++) {
		if (kept[j])
			continue;
		while (i < NODE_JOIN_MAX - 1 && node->join[i].endpoint.port != 0)
			i++;
		node->join[i] = (struct join){.endpoint = event->join[j], .backoff = REDIAL_MIN};
		node->streams[i] = (struct stream){0};
		count = MAX(count, i + 1);
	}
	node->join_count = count;
}

/* Notes whether nothing can be learned any more from behind an endpoint, for now. */
static void join_settle(struct node *node, unsigned int i, struct now now)
{
	struct join *join = &node->join[i];
	struct sync_stream_status status;

	if (node->streams[i].phase == NODE_STREAM_READY) {
		sync_stream_status(node->sync, i, now, &status);
		join->reached |= status.synced && status.behind == 0;
	} else {
		join->reached |= join->first && (now.mono > join->lost + JOIN_PATIENCE ||
						 now.mono > join->first + JOIN_PATIENCE_FLAPPING);
	}
}

static bool peers_complete(const struct node *node)
{
	for (unsigned int i = 0; i < node->join_count; i++) {
		const struct join *join = &node->join[i];

		if (join->endpoint.port != 0 && !join->self && !join->reached)
			return false;
	}
	return true;
}

/* Where peers carry traffic there is always an entry on its way to the kernel; what was learned of
 * the time before us is what has to be there. */
static void note_complete(struct node *node)
{
	bool complete = peers_complete(node);
	struct sync_status status;

	if (complete && !node->complete) {
		sync_status(node->sync, &status);
		node->inject_goal =
			status.injected + status.inject_pending + status.inject_unconfirmed;
	}
	node->complete = complete;
}

static const char *not_ready(const struct node *node)
{
	struct sync_status status;

	if (!node->forwarder)
		return "the kernel does not forward yet: services or the probe";
	if (!node->complete)
		return "a peer's entries are not complete";
	sync_status(node->sync, &status);
	if (status.injected < node->inject_goal &&
	    (status.inject_pending || status.inject_unconfirmed))
		return "entries that are not in the kernel yet";
	return NULL;
}

/* Time */

static void tick_stream(struct node *node, unsigned int number, struct now now)
{
	struct stream *stream = &node->streams[number];

	if ((stream->phase == NODE_STREAM_DIALLING || stream->phase == NODE_STREAM_HANDSHAKE) &&
	    now.mono >= stream->since + DIAL_PATIENCE) {
		stream_close_why(node, number, WHY_TIMEOUT, now.mono);
	} else if (stream->syncing && sync_silent(node->sync, number, now)) {
		stream_close_why(node, number, WHY_SILENT, now.mono);
	}
}

static void tick(struct node *node, struct now now)
{
	node->tick = now.mono + TICK;
	for (unsigned int i = 0; i < node->streams_len; i++)
		tick_stream(node, i, now);
	for (unsigned int i = 0; i < node->join_count; i++)
		join_settle(node, i, now);
	note_complete(node);
	sync_tick(node->sync, now);
	if (!node->ready && !not_ready(node)) {
		node->ready = true;
		node->ready_since = now.mono;
	}
}

static void dial(struct node *node, struct now now, struct node_update *update)
{
	for (unsigned int i = 0; i < node->join_count; i++) {
		struct join *join = &node->join[i];
		struct stream *stream = &node->streams[i];

		if (join->endpoint.port == 0 || stream->phase != NODE_STREAM_NONE ||
		    (node->close.bits[0] >> i & 1))
			continue;
		if (join->redial > now.mono) {
			update->timeout = MIN(update->timeout, join->redial);
			continue;
		}
		if (!join->first)
			join->first = join->lost = now.mono;
		stream->phase = NODE_STREAM_DIALLING;
		stream->since = now.mono;
		stream->remote = join->endpoint;
		update->dial |= UINT64_C(1) << i;
	}
}

/* The metronome's own flow says nothing to anybody. */
static bool is_metronome(const struct node *node, const struct entry *entry)
{
	return entry->flow.family == AF_INET &&
	       memcmp(entry->flow.vaddr, node->tap_address, 4) == 0;
}

static void captured(struct node *node, const struct node_event *event)
{
	struct kernel_wire_reader reader;
	struct entry entry;
	int r = kernel_wire_read(&reader, event->data, event->len, node->syncid);

	if (r != 0) {
		node->capture_refused[r]++;
		return;
	}
	while ((r = kernel_wire_next(&reader, &entry)) != 0) {
		if (r < 0)
			node->capture_refused[-r]++;
		else if (!is_metronome(node, &entry))
			sync_capture(node->sync, &entry, event->now);
	}
}

static void want_output(struct node *node, struct now now, struct node_update *update)
{
	for (unsigned int i = 0; i < node->streams_len; i++) {
		const struct stream *stream = &node->streams[i];
		usec_t time;

		if (stream->phase == NODE_STREAM_HANDSHAKE)
			bits_set(&update->output, i);
		if (!stream->syncing)
			continue;
		time = sync_output_time(node->sync, i);
		if (time <= now.mono)
			bits_set(&update->output, i);
		else
			update->timeout = MIN(update->timeout, time);
	}
}

void node_step(struct node *node, const struct node_event *event, struct node_update *ret_update)
{
	struct now now = event->now;

	switch (event->type) {
	case NODE_TICK:
		break;
	case NODE_JOIN:
		join_change(node, event);
		break;
	case NODE_STREAM_OPENED:
		stream_opened(node, event);
		break;
	case NODE_STREAM_DATA:
		stream_data(node, event);
		break;
	case NODE_STREAM_CLOSED:
		if (node->streams[event->stream].phase != NODE_STREAM_NONE) {
			node->stream_closed[WHY_CLOSED]++;
			stream_drop(node, event->stream, why_names[WHY_CLOSED], now.mono);
		}
		break;
	case NODE_CAPTURED:
		captured(node, event);
		break;
	case NODE_ADOPTED:
		if (!is_metronome(node, event->entry))
			sync_adopt(node->sync, event->entry, now);
		break;
	case NODE_INJECTED:
		sync_injected(node->sync);
		break;
	case NODE_INJECT_LOST:
		sync_inject_lost(node->sync);
		break;
	case NODE_FORWARDER:
		node->forwarder = event->ok;
		break;
	}
	if (now.mono >= node->tick)
		tick(node, now);

	*ret_update = (struct node_update){.timeout = node->tick, .close = node->close};
	dial(node, now, ret_update);
	node->close = (struct node_streams){0};
	want_output(node, now, ret_update);
	ret_update->inject = sync_inject_pending(node->sync);
	ret_update->announce = node->ready && node->forwarder;
}

size_t node_output(struct node *node, unsigned int number, struct now now, uint8_t *data,
		   size_t cap)
{
	struct stream *stream = &node->streams[number];
	size_t len;

	if (!stream->session)
		return 0;
	len = session_output(stream->session, data, cap);
	while (stream->syncing && cap - len >= NODE_OUTPUT_MIN) {
		uint8_t *frame = data + len;
		size_t body, sealed;
		uint8_t kind;
		int r;

		if (sync_output(node->sync, number, now, frame + SESSION_HEADER, &kind, &body) < 0)
			break;
		r = session_seal(stream->session, kind, frame + SESSION_HEADER, body, frame,
				 cap - len, &sealed);
		assert(r == 0);
		len += sealed;
	}
	return len;
}

size_t node_inject(struct node *node, struct now now, uint8_t *data, size_t cap)
{
	return sync_inject(node->sync, now, data, cap);
}

/* For people */

void node_status(const struct node *node, struct node_status *ret_status)
{
	*ret_status = (struct node_status){.ready = node->ready, .ready_since = node->ready_since};
	if (!node->ready)
		ret_status->waiting_for = not_ready(node);
	sync_status(node->sync, &ret_status->sync);
}

void node_stream_status(const struct node *node, unsigned int number, struct now now,
			struct node_stream_status *ret_status)
{
	const struct stream *stream = &node->streams[number];

	*ret_status = (struct node_stream_status){
		.phase = stream->phase,
		.dialled = is_dialled(number),
		.self = is_dialled(number) && node->join[number].self,
		.remote = stream->remote,
		.id = stream->id,
		.epoch = stream->epoch,
		.since = stream->since,
		.why = stream->why,
	};
	memcpy(ret_status->name, stream->peer.name, sizeof(ret_status->name));
	if (stream->syncing)
		sync_stream_status(node->sync, number, now, &ret_status->sync);
}

bool node_counter(const struct node *node, unsigned int i, struct node_counter *ret_counter)
{
	/* Errors count from 1, our own reasons from 0. */
	if (i < SESSION_E_MAX - 1) {
		*ret_counter = (struct node_counter){"session", session_error_name((int)i + 1),
						     node->session_refused[i + 1]};
		return true;
	}
	i -= SESSION_E_MAX - 1;
	if (i < SYNC_E_MAX - 1) {
		*ret_counter = (struct node_counter){"sync", sync_error_name((int)i + 1),
						     sync_refused(node->sync, (int)i + 1)};
		return true;
	}
	i -= SYNC_E_MAX - 1;
	if (i < KERNEL_WIRE_E_MAX - 1) {
		*ret_counter = (struct node_counter){"capture", kernel_wire_error_name((int)i + 1),
						     node->capture_refused[i + 1]};
		return true;
	}
	i -= KERNEL_WIRE_E_MAX - 1;
	if (i < WHY_MAX) {
		*ret_counter =
			(struct node_counter){"stream", why_names[i], node->stream_closed[i]};
		return true;
	}
	return false;
}

const struct sync *node_sync(const struct node *node)
{
	return node->sync;
}
