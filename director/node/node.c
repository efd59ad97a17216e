#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "director/node/node_private.h"
#include "director/service/service.h"

#define TICK (100 * USEC_PER_MSEC)
/* A tick may come so early if the node runs anyway: waking up for it alone costs more. */
#define TICK_EARLY (20 * USEC_PER_MSEC)
/* How long a forwarder that stalled again must be well before it is trusted, doubled each time;
 * after the calm that is forgotten. */
#define FORWARDER_HOLD_MIN (2 * USEC_PER_SEC)
#define FORWARDER_HOLD_MAX (60 * USEC_PER_SEC)
#define FORWARDER_CALM (60 * USEC_PER_SEC)
/* Readiness waits at most so long for the reading of the kernel's own connections. That kernel
 * carries them anyway; only the others lack some of them until they are read. */
#define ADOPT_PATIENCE (5 * USEC_PER_SEC)

void node_draw(struct node *node, void *data, size_t len)
{
	uint8_t key[randombytes_SEEDBYTES];

	node->chance++;
	crypto_generichash(key, sizeof(key), (const uint8_t *)&node->chance, sizeof(node->chance),
			   node->seed, sizeof(node->seed));
	randombytes_buf_deterministic(data, len, key);
}

int node_new(const struct node_options *options, struct node **ret_node)
{
	struct sync_options sync = {
		.identity = options->identity,
		.epoch = options->epoch,
		.started = options->now.wall,
		.before = options->before,
		.returned = options->returned,
		.syncid = options->syncid,
		.entries_max = options->entries_max,
	};
	struct node *node = calloc(1, sizeof(*node));
	uint8_t admission_key[16];
	int r;

	if (!node)
		return -ENOMEM;
	node->identity = options->identity;
	node->epoch = options->epoch;
	node->versions = options->versions;
	node->syncid = options->syncid;
	memcpy(node->tap_address, options->tap_address, sizeof(node->tap_address));
	memcpy(node->seed, options->seed, sizeof(node->seed));
	node->withdraw = options->withdraw;
	node->join_by =
		options->join_timeout ? options->now.mono + options->join_timeout : USEC_NEVER;
	node->config = options->config;
	node->started = options->now.mono;
	node_draw(node, sync.hash_key, sizeof(sync.hash_key));
	node_draw(node, &sync.journal, sizeof(sync.journal));
	node_draw(node, admission_key, sizeof(admission_key));
	r = peer_cache_new(&node->peers);
	if (r == 0)
		r = admission_new(admission_key, &node->admission);
	if (r == 0)
		r = account_new(&node->accounts);
	if (r == 0)
		r = sync_new(&sync, &node->sync);
	if (r == 0) {
		node->adopting = true;
		sync_adopting(node->sync, true);
		r = node_kernel_new(node);
	}
	if (r == 0)
		r = node_members_new(node, options);
	if (r < 0) {
		node_free(node);
		return r;
	}
	*ret_node = node;
	return 0;
}

void node_free(struct node *node)
{
	if (!node)
		return;
	BITS_EACH (i, node->used.bits, NODE_STREAMS_MAX)
		session_free(node->streams[i].session);
	sync_free(node->sync);
	node_kernel_free(node);
	free(node->end.list);
	membership_free(node->membership);
	admission_free(node->admission);
	account_free(node->accounts);
	peer_cache_free(node->peers);
	free(node);
}

/* Readiness */

static bool peers_complete(const struct node *node)
{
	for (unsigned int i = 0; i < node->links_len; i++) {
		if (node->links[i].member && !node->links[i].reached)
			return false;
	}
	return !node->searching;
}

static void follow_peers(struct node *node, struct now now)
{
	bool late = now.mono >= node->join_by && !node->ready;

	node->followed = late || peers_complete(node);
	if (late && node->met)
		sync_join_end(node->sync);
	else if (node->followed)
		sync_join(node->sync, now);
}

static const char *not_ready_reason(const struct node *node)
{
	struct sync_status status;

	if (node->beyond)
		return "a place in the cluster, which is full";
	if (!node->forwarder)
		return "the kernel (services, forwarding probe, or injection probe)";
	if (!node->followed && node->searching)
		return "another director to answer";
	if (!node->followed)
		return "the entries of a peer";
	sync_status(node->sync, &status);
	if (!status.joined)
		return "entries of directors that are gone, which peers have";
	if (!status.complete)
		return "the kernel to take all entries";
	if (!node->read)
		return "lvsmeshd to read the connections of its kernel";
	return NULL;
}

/* Checked at each event, as it may be the awaited one. */
static void ready_update(struct node *node, struct now now)
{
	if (node->ready)
		return;
	node_members_mark_reached(node, now);
	follow_peers(node, now);
	node->read = !node->adopting || now.mono >= node->started + ADOPT_PATIENCE;
	if (not_ready_reason(node))
		return;
	TRACE(&node->trace, "ready");
	node->ready = true;
	node->ready_since = now.mono;
}

/* Time */

/* Peers refuse entries that are stamped so far ahead of their clocks, and all that follow in our
 * journal. A new boot has a new journal, with versions of now; the kernel has the entries. */
static bool clock_set_back(const struct node *node, struct now now)
{
	struct sync_status status;

	sync_status(node->sync, &status);
	return status.stamped > now.wall + SYNC_CLOCK_AHEAD;
}

static void membership_tick(struct node *node, struct now now, usec_t late)
{
	node_members_step(node, &(struct membership_event){
					.type = MEMBERSHIP_TICK, .now = now, .late = late});
	node_members_follow(node, now);
}

static void tick(struct node *node, struct now now)
{
	if (clock_set_back(node, now))
		node->membership_update.epoch_wanted =
			MAX(node->membership_update.epoch_wanted, node->epoch + 1);
	node->tick = now.mono + TICK;
	BITS_EACH (i, node->used.bits, NODE_STREAMS_MAX)
		node_stream_tick(node, i, now);
	node_members_tick(node, now);
	sync_tick(node->sync, now);
	node_kernel_tick(node, now);
	node_templates_tick(node, now);
	node_end_tick(node, now);
	node_members_follow(node, now);
}

/* The metronome's own flow is not replicated, nor are checks (director/service/forwarding.h). */
static bool is_own(const struct node *node, const struct entry *entry)
{
	return service_mark_is_ours(entry->fwmark) ||
	       (entry->flow.family == AF_INET &&
		memcmp(entry->flow.vaddr, node->tap_address, 4) == 0);
}

static void capture_collected(struct node *node, struct now now)
{
	sync_capture_group(node->sync, node->captured, node->captured_len, now);
	node->captured_len = 0;
}

void node_capture(struct node *node, struct now now, const uint8_t *data, size_t len)
{
	struct kernel_wire_reader reader;
	int r = kernel_wire_read(&reader, data, len, node->syncid);

	if (r != 0) {
		node->capture_refused[r]++;
		return;
	}
	while ((r = kernel_wire_next(&reader, &node->captured[node->captured_len])) != 0) {
		const struct entry *entry = &node->captured[node->captured_len];

		if (r < 0)
			node->capture_refused[-r]++;
		if (r < 0 || is_own(node, entry))
			continue;
		/* The reader keeps options until its next entry. */
		if (++node->captured_len == SYNC_CAPTURE_MAX || entry->options)
			capture_collected(node, now);
	}
}

void node_late(struct node *node, struct now now, usec_t since)
{
	capture_collected(node, now);
	sync_set_capture_floor(node->sync, since ? now.wall - (now.mono - since) : 0);
}

static void want_output(struct node *node, struct now now, struct node_update *update)
{
	BITS_EACH (i, node->used.bits, NODE_STREAMS_MAX) {
		const struct node_stream *stream = &node->streams[i];
		usec_t time = 0;

		if (stream->use == STREAM_UNKNOWN &&
		    (!stream->session || !session_pending(stream->session)))
			continue;
		if (stream->use == STREAM_SYNC)
			time = sync_output_time(node->sync, i);
		if (stream->phase == NODE_STREAM_READY)
			time = MAX(time, account_over(node->accounts, stream->id, now.mono));
		if (time <= now.mono)
			bits_add(update->output.bits, i);
		else
			update->timeout = MIN(update->timeout, time);
	}
}

static usec_t forwarder_trusted(const struct node *node)
{
	return node->recovered + node->hold;
}

/* Each VIP that comes or goes moves flows between directors. A forwarder that stalls again soon
 * after it recovered is trusted later each time. */
static void forwarder_changed(struct node *node, const struct node_event *event)
{
	usec_t now = event->now.mono;

	if (event->ok == node->forwarder)
		return;
	node->forwarder = event->ok;
	if (event->ok)
		node->recovered = now;
	else if (node->recovered && now < forwarder_trusted(node) + FORWARDER_CALM)
		node->hold = MIN(MAX(2 * node->hold, FORWARDER_HOLD_MIN), FORWARDER_HOLD_MAX);
	else
		node->hold = 0;
}

static bool may_announce(const struct node *node, struct now now)
{
	struct membership_status status;

	if (node->beyond || !node->forwarder || node->draining ||
	    now.mono < forwarder_trusted(node))
		return false;
	if (!node->withdraw)
		return true;
	membership_status(node->membership, &status);
	return status.quorum != QUORUM_MINORITY;
}

static void handle(struct node *node, const struct node_event *event)
{
	switch (event->type) {
	case NODE_STREAM_OPENED:
		node_stream_opened(node, event);
		break;
	case NODE_STREAM_DATA:
		node_stream_data(node, event);
		break;
	case NODE_STREAM_CLOSED:
		node_stream_closed(node, event);
		break;
	case NODE_ADOPTED:
		if (!is_own(node, event->entry))
			sync_adopt(node->sync, event->entry, event->now);
		break;
	case NODE_ADOPTED_ALL:
		node->adopting = false;
		sync_adopting(node->sync, false);
		break;
	case NODE_PUBLISH:
		sync_publish(node->sync, event->fact, event->now);
		break;
	case NODE_END:
		node_end_event(node, event);
		break;
	case NODE_SERVICES:
		node_kernel_services(node, event);
		break;
	case NODE_INJECTED:
		sync_injected(node->sync);
		break;
	case NODE_INJECT_LOST:
		sync_inject_lost(node->sync);
		break;
	case NODE_FORWARDER:
		forwarder_changed(node, event);
		break;
	case NODE_CONFIG:
		if (event->policy)
			sync_policy(node->sync, event->policy);
		node_members_event(node, event);
		break;
	default:
		if (!node_drain_event(node, event))
			node_members_event(node, event);
	}
}

static bool in_handshake(const struct node *node, unsigned int number)
{
	enum node_stream_phase phase = node->streams[number].phase;

	return !is_dialled(number) && (phase == NODE_STREAM_NONE || phase == NODE_STREAM_HANDSHAKE);
}

/* The event concerns only an accepted stream whose peer has not authenticated itself. */
static bool is_stranger(const struct node *node, const struct node_event *event)
{
	return (event->type == NODE_STREAM_OPENED || event->type == NODE_STREAM_DATA ||
		event->type == NODE_STREAM_CLOSED) &&
	       in_handshake(node, event->stream);
}

/* Fills in an update after a step that changed only streams in handshake. */
static void update_unchanged(struct node *node, const struct node_event *event, bool stranger,
			     struct node_update *ret_update)
{
	const struct session *session = node->streams[event->stream].session;

	*ret_update = (struct node_update){.timeout = node->last_update.timeout,
					   .close = node->close,
					   .announce = node->last_update.announce,
					   .refuse = node->last_update.refuse,
					   .done = node->last_update.done};
	node->close = (struct node_streams){0};
	if (stranger && session && session_pending(session))
		bits_add(ret_update->output.bits, event->stream);
}

void node_trace(struct node *node, const struct trace *trace)
{
	node->trace = *trace;
	membership_trace(node->membership, trace);
}

void node_step(struct node *node, const struct node_event *event, struct node_update *ret_update)
{
	bool stranger = is_stranger(node, event);
	struct now now = event->now;

	capture_collected(node, now);
	if (event->late)
		membership_tick(node, now, event->late);
	node->membership_update.refused = false;
	handle(node, event);
	node_members_follow(node, now);
	/* A flood of refused messages, or of strangers, costs no more than the refusals. */
	stranger = stranger && in_handshake(node, event->stream);
	if ((node->membership_update.refused || stranger) && !event->late &&
	    now.mono < node->last_update.timeout) {
		update_unchanged(node, event, stranger, ret_update);
		return;
	}
	if (now.mono >= membership_timeout(node->membership))
		membership_tick(node, now, 0);
	if (now.mono + TICK_EARLY >= node->tick)
		tick(node, now);
	if (now.mono >= sync_mature_time(node->sync))
		sync_mature(node->sync, now);
	ready_update(node, now);

	*ret_update = (struct node_update){
		.timeout = MIN(node->tick, membership_timeout(node->membership)),
	};
	node_members_dial(node, now, ret_update);
	ret_update->close = node->close;
	node->close = (struct node_streams){0};
	ret_update->timeout = MIN(ret_update->timeout, sync_mature_time(node->sync));
	want_output(node, now, ret_update);
	if (account_any_over(node->accounts, now.mono))
		ret_update->timeout =
			MIN(ret_update->timeout, account_any_over(node->accounts, now.mono));
	ret_update->inject = sync_inject_pending(node->sync);
	ret_update->facts = sync_fact_pending(node->sync);
	ret_update->confirm = sync_inject_awaited(node->sync);
	ret_update->services = node->kernel.step == KERNEL_ASK;
	ret_update->missed = node->kernel.want_adopt;
	ret_update->adopt = sync_templates_look(node->sync) || ret_update->missed;
	node->kernel.want_adopt = false;
	ret_update->announce = node->ready && may_announce(node, now);
	if (ret_update->announce != node->last_update.announce)
		TRACE(&node->trace, "%s", ret_update->announce ? "announce" : "withdraw");
	ret_update->refuse =
		(node->ready || node->draining || node->beyond) && !may_announce(node, now);
	ret_update->datagrams = node->membership_update.datagrams;
	ret_update->notices = node->membership_update.notices;
	ret_update->roster = node->membership_update.roster_changed;
	ret_update->done = node->membership_update.done;
	ret_update->epoch_wanted = node->membership_update.epoch_wanted;
	ret_update->returned = node->returned;
	node->membership_update = (struct membership_update){.done = node->membership_update.done};
	node->last_update = *ret_update;
}

uint64_t node_sender(const struct node *node)
{
	return node->sender;
}

uint64_t node_stream_director(const struct node *node, unsigned int number)
{
	const struct node_stream *stream = &node->streams[number];

	return stream->phase == NODE_STREAM_READY ? stream->id : 0;
}

void node_charge(struct node *node, uint64_t director, usec_t cpu, struct now now)
{
	bool over = account_over(node->accounts, director, now.mono) != 0;

	account_charge(node->accounts, director, cpu, now.mono);
	node->throttled += !over && account_over(node->accounts, director, now.mono) != 0;
}

bool node_throttled(const struct node *node, uint64_t director, struct now now)
{
	return account_over(node->accounts, director, now.mono) != 0;
}

usec_t node_throttled_last(const struct node *node, uint64_t member)
{
	return account_over_last(node->accounts, member);
}

/* For people */

void node_status(const struct node *node, struct node_status *ret_status)
{
	*ret_status = (struct node_status){
		.ready = node->ready,
		.ready_since = node->ready_since,
		.draining = node->draining,
		.beyond = node->beyond,
		.drained = node->drained,
		.alone = node_members_alone(node),
		.forwarder_trusted = forwarder_trusted(node),
	};
	if (!node->ready)
		ret_status->waiting_for = not_ready_reason(node);
	sync_status(node->sync, &ret_status->sync);
}

struct sync *node_sync(const struct node *node)
{
	return node->sync;
}
