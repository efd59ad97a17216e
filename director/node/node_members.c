/* Drives membership, and opens and closes the streams that follow its view of the members. */
#include <errno.h>

#include "director/node/node_private.h"
#include "proto/session/seal.h"

#define REDIAL_MIN (100 * USEC_PER_MSEC)
#define REDIAL_MAX (2 * USEC_PER_SEC)
/* A starting director does not wait for a member that could not be reached for so long, nor for one
 * that is lost again and again before its entries were complete; nor for others when none is found,
 * unless cluster.on-alone asks for it. */
#define PATIENCE (5 * USEC_PER_SEC)
#define PATIENCE_FLAPPING (60 * USEC_PER_SEC)

static void join_keep(struct node *node, const struct endpoint *join, unsigned int count)
{
	for (unsigned int i = 0; i < MEMBERSHIP_JOIN_MAX; i++)
		node->join[i] = i < count ? join[i].ip : (struct ip_addr){0};
	node->admission_stale = true;
}

int node_members_new(struct node *node, const struct node_options *options)
{
	struct membership_options membership = {
		.identity = options->identity,
		.epoch = options->epoch,
		.profile = options->profile,
		.address_count = options->address_count,
		.versions = options->versions,
		.config = options->config,
		.witness = options->witness,
		.directors_max = options->directors_max,
		.roster = options->roster,
		.roster_len = options->roster_len,
		.now = options->now,
	};
	int r;

	if (options->join_count > MEMBERSHIP_JOIN_MAX || options->address_count == 0 ||
	    options->address_count > MEMBERSHIP_ADDRESSES_MAX)
		return -EINVAL;
	memcpy(membership.addresses, options->addresses,
	       options->address_count * sizeof(*options->addresses));
	node_draw(node, membership.seed, sizeof(membership.seed));
	r = membership_new(&membership, &node->membership);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < MEMBERSHIP_STREAMS_MAX; i++)
		node->member_streams[i] = NODE_STREAMS_MAX;
	for (unsigned int i = 0; i < options->address_count; i++)
		node->own[i] = options->addresses[i].ip;
	join_keep(node, options->join, options->join_count);
	node_members_step(node, &(struct membership_event){
					.type = MEMBERSHIP_JOIN,
					.now = options->now,
					.join = options->join,
					.join_count = options->join_count,
				});
	node_members_follow(node, options->now);
	node->wait_alone = options->wait_alone;
	node->leave_grace = options->leave_grace;
	node->searching = node_members_alone(node);
	return 0;
}

static void member_addresses(struct node *node, const struct member_info *info)
{
	struct certificate certificate;

	for (unsigned int i = 0; i < info->address_count; i++)
		admission_directors_add(node->admission, &info->addresses[i].endpoint.ip);
	if (certificate_parse(info->certificate, info->certificate_len, &certificate) != 0)
		return;
	for (size_t i = 0; i < certificate.address_count; i++)
		admission_directors_add(node->admission, &certificate.addresses[i]);
}

void node_members_addresses(struct node *node)
{
	struct member_info info;
	unsigned int cursor = 0;

	node->admission_stale = false;
	admission_directors_clear(node->admission);
	for (unsigned int i = 0; i < MEMBERSHIP_ADDRESSES_MAX; i++)
		admission_directors_add(node->admission, &node->own[i]);
	for (unsigned int i = 0; i < MEMBERSHIP_JOIN_MAX; i++)
		admission_directors_add(node->admission, &node->join[i]);
	while (membership_walk(node->membership, &cursor, &info)) {
		if (info.state != STATE_GONE)
			member_addresses(node, &info);
	}
	admission_directors_end(node->admission);
}

bool node_members_alone(const struct node *node)
{
	struct membership_status status;
	struct endpoint endpoint;
	unsigned int cursor = 0;

	membership_status(node->membership, &status);
	return !node->met &&
	       (status.roster > 1 || membership_unanswered(node->membership, &cursor, &endpoint));
}

/* Links */

/* There is a link for each member that has a place. */
static struct node_link *link_find(struct node *node, uint64_t member)
{
	struct node_link *unused = NULL;

	for (unsigned int i = 0; i < node->links_len; i++) {
		if (node->links[i].member == member)
			return &node->links[i];
		if (!node->links[i].member && !unused)
			unused = &node->links[i];
	}
	if (!unused && node->links_len < NODE_SYNC_MAX)
		unused = &node->links[node->links_len++];
	return unused;
}

/* The address to dial a member at: one that answers by TCP, as far as is known. */
static struct endpoint member_endpoint(const struct member_info *info)
{
	for (unsigned int i = 0; i < info->address_count; i++) {
		if (info->addresses[i].tcp)
			return info->addresses[i].endpoint;
	}
	return info->addresses[0].endpoint;
}

static void link_update(struct node *node, const struct member_info *info, struct now now)
{
	struct node_link *link = link_find(node, info->id);

	if (!link || info->address_count == 0)
		return;
	if (!link->member) {
		*link = (struct node_link){.member = info->id, .backoff = REDIAL_MIN};
		link->first = link->lost = now.mono;
		memcpy(link->name, info->name, sizeof(link->name));
	}
	link->alive = info->state == STATE_ALIVE || info->state == STATE_SUSPECT;
	link->endpoint = member_endpoint(info);
	/* Dials that failed while it was down do not count for its new boot. */
	if (link->alive && info->epoch > link->epoch) {
		link->epoch = info->epoch;
		link->redial = 0;
		link->backoff = REDIAL_MIN;
	}
	if (link->alive) {
		node->met = true;
		node->searching = false;
	}
}

/* The others go on without this director: it starts again when it gets a place. */
static void place_update(struct node *node)
{
	struct membership_status status;

	membership_status(node->membership, &status);
	node->beyond = status.beyond;
	if (node->beyond)
		node->ready = node->followed = false;
}

static bool is_linked(const struct node *node, const struct member_info *info)
{
	return info->state != STATE_GONE && !info->beyond && !node->beyond;
}

/* Closes the streams on which members without a place receive from us. */
static void subscribers_update(struct node *node, struct now now)
{
	BITS_EACH (i, node->used.bits, NODE_STREAMS_MAX) {
		const struct node_stream *stream = &node->streams[i];

		if (!is_dialled(i) && stream->phase == NODE_STREAM_READY &&
		    stream->use == STREAM_SYNC && node_members_beyond(node, stream->id))
			node_stream_close(node, i, WHY_FULL, now);
	}
}

bool node_members_beyond(const struct node *node, uint64_t id)
{
	struct member_info info;

	return node->beyond || (membership_find(node->membership, id, &info) && info.beyond);
}

/* Streams open with members that are alive and have a place. They end when the member is gone for
 * good; a stream of a failed member may go on until it too gets no answer. */
static void links_update(struct node *node, struct now now)
{
	struct member_info info;
	unsigned int cursor = 0;

	node_enter(node, NODE_IN_LINKS);
	place_update(node);
	for (unsigned int i = 0; i < node->links_len; i++) {
		struct node_link *link = &node->links[i];

		if (!link->member || (membership_find(node->membership, link->member, &info) &&
				      is_linked(node, &info)))
			continue;
		if (node->streams[i].phase != NODE_STREAM_NONE)
			node_stream_close(node, i, WHY_REMOVED, now);
		*link = (struct node_link){0};
		node->streams[i] = (struct node_stream){0};
	}
	while (membership_walk(node->membership, &cursor, &info)) {
		if (is_linked(node, &info))
			link_update(node, &info, now);
	}
	subscribers_update(node, now);
	node_leave(node, NODE_IN_LINKS);
}

void node_members_follow(struct node *node, struct now now)
{
	while (node->view_changed) {
		node->view_changed = false;
		links_update(node, now);
	}
}

static void report_sync(struct node *node, unsigned int number, bool ok, struct now now)
{
	node_members_step(node, &(struct membership_event){
					.type = MEMBERSHIP_SYNC,
					.now = now,
					.member = node->links[number].member,
					.ok = ok,
				});
}

void node_link_ready(struct node *node, unsigned int number, struct now now)
{
	report_sync(node, number, true, now);
}

void node_link_lost(struct node *node, unsigned int number, bool was_ready, bool lasted,
		    struct now now)
{
	struct node_link *link = &node->links[number];
	uint32_t jitter;

	if (!link->member)
		return;
	if (was_ready) {
		link->lost = now.mono;
		report_sync(node, number, false, now);
	}
	if (lasted)
		link->backoff = REDIAL_MIN;
	node_draw(node, &jitter, sizeof(jitter));
	link->redial = now.mono + link->backoff + jitter % (link->backoff / 2 + 1);
	link->backoff = MIN(link->backoff * 2, REDIAL_MAX);
}

/* Notes whether the member has no more entries for us, for now. */
static void link_mark_reached(struct node *node, unsigned int i, struct now now)
{
	struct node_link *link = &node->links[i];
	struct sync_stream_status status;

	if (node->streams[i].phase == NODE_STREAM_READY) {
		sync_stream_status(node->sync, i, now, &status);
		link->reached |= status.synced && status.behind == 0;
		link->returned |= status.returned && status.behind == 0;
	} else {
		link->reached |= now.mono > link->lost + PATIENCE ||
				 now.mono > link->first + PATIENCE_FLAPPING;
	}
}

void node_members_dial(struct node *node, struct now now, struct node_update *update)
{
	struct membership_dialling dialling;

	while (membership_dial(node->membership, &dialling)) {
		unsigned int number = NODE_SYNC_MAX + dialling.stream;

		node_stream_dial(node, number, &dialling.remote, update, now);
	}
	for (unsigned int i = 0; i < node->links_len; i++) {
		struct node_link *link = &node->links[i];

		if (!link->alive || node->streams[i].phase != NODE_STREAM_NONE ||
		    bits_have(node->close.bits, i))
			continue;
		if (link->redial > now.mono) {
			update->timeout = MIN(update->timeout, link->redial);
			continue;
		}
		node_stream_dial(node, i, &link->endpoint, update, now);
	}
}

/* Membership */

static void close_streams(struct node *node, uint64_t close)
{
	for (; close; close &= close - 1) {
		unsigned int number = node->member_streams[__builtin_ctzll(close)];

		if (number < NODE_STREAMS_MAX)
			node->streams[number].closing = true;
	}
}

void node_members_step(struct node *node, struct membership_event *event)
{
	struct membership_update update, *all = &node->membership_update;

	node_enter(node, NODE_IN_MEMBERSHIP);
	membership_step(node->membership, event, &update);
	all->output |= update.output;
	all->datagrams |= update.datagrams;
	all->notices |= update.notices;
	all->roster_changed |= update.roster_changed;
	all->done |= update.done;
	all->refused = update.refused;
	all->sender = update.sender;
	if (update.epoch_wanted)
		all->epoch_wanted = update.epoch_wanted;
	close_streams(node, update.close);
	node->admission_stale |= update.view_changed;
	node->view_changed |= update.view_changed;
	node_leave(node, NODE_IN_MEMBERSHIP);
}

static enum member_phase phase_now(const struct node *node)
{
	if (node->draining)
		return PHASE_DRAINING;
	if (node->ready)
		return PHASE_READY;
	return node->searching ? PHASE_JOINING : PHASE_SYNCING;
}

static void report_phase(struct node *node, struct now now)
{
	if (node->stop == STOP_ANNOUNCED || node->phase == phase_now(node))
		return;
	node->phase = phase_now(node);
	node_members_step(node, &(struct membership_event){
					.type = MEMBERSHIP_META,
					.now = now,
					.phase = node->phase,
					.config = node->config,
				});
}

void node_members_mark_reached(struct node *node, struct now now)
{
	for (unsigned int i = 0; i < node->links_len; i++) {
		if (node->links[i].member)
			link_mark_reached(node, i, now);
	}
}

/* Every member that we know of, reachable or not, has returned what we stamped in earlier lives,
 * and it is in the kernel. */
static void returned_update(struct node *node, struct now now)
{
	struct sync_status status;
	struct endpoint endpoint;
	unsigned int cursor = 0;

	node_members_mark_reached(node, now);
	for (unsigned int i = 0; i < node->links_len; i++) {
		if (node->links[i].member && !node->links[i].returned)
			return;
	}
	sync_status(node->sync, &status);
	if (node->met && node->read && status.joined && status.complete &&
	    !membership_unanswered(node->membership, &cursor, &endpoint))
		node->returned = status.stamped + USEC_PER_MSEC; /* versions count milliseconds */
}

void node_members_tick(struct node *node, struct now now)
{
	node->searching = node_members_alone(node) &&
			  (node->wait_alone || now.mono <= node->started + PATIENCE);
	if (!node->returned)
		returned_update(node, now);
	report_phase(node, now);
	node_drain_tick(node, now);
}

/* Events from the operator, the driver and the network. */

static void config_changed(struct node *node, const struct node_event *event)
{
	node->config = event->config;
	node->phase = PHASE_MAX; /* say all of it again */
	report_phase(node, event->now);
}

/* The sender that the datagram claims, unverified as yet, if it is throttled. 0: it is not. */
static uint64_t sender_throttled(const struct node *node, const uint8_t *data, size_t len,
				 struct now now)
{
	struct packet packet;

	if (!account_any_over(node->accounts, now.mono) ||
	    seal_packet_parse(node->identity->certificate.cluster, node->versions, data, len,
			      &packet) != 0 ||
	    !account_over(node->accounts, packet.sender, now.mono))
		return 0;
	return packet.sender;
}

static_assert(NODE_SENDER_AT == PACKET_SENDER_AT, "as packets have it");

bool node_drops(struct node *node, const uint8_t *data, size_t len, struct now now)
{
	uint64_t sender = sender_throttled(node, data, len, now);

	return sender && membership_drops(node->membership, sender, now);
}

bool node_members_event(struct node *node, const struct node_event *event)
{
	struct membership_event to = {.now = event->now};

	switch (event->type) {
	case NODE_CONFIG:
		config_changed(node, event);
		return true;
	case NODE_JOIN:
		join_keep(node, event->join, event->join_count);
		to.type = MEMBERSHIP_JOIN;
		to.join = event->join;
		to.join_count = event->join_count;
		break;
	case NODE_DATAGRAM:
		to.type = MEMBERSHIP_DATAGRAM;
		to.throttled = sender_throttled(node, event->data, event->len, event->now) != 0;
		to.data = event->data;
		to.len = event->len;
		to.remote = event->remote;
		to.local = event->local;
		break;
	case NODE_REMOVE:
		to.type = MEMBERSHIP_REMOVE;
		to.member = event->member;
		break;
	case NODE_WITNESS:
		to.type = MEMBERSHIP_WITNESS;
		to.ok = event->ok;
		break;
	default:
		return false;
	}
	node_members_step(node, &to);
	if (event->type == NODE_DATAGRAM)
		node->sender = node->membership_update.sender;
	return true;
}

size_t node_datagram(struct node *node, uint8_t *data, size_t cap,
		     struct membership_target *ret_target)
{
	return membership_datagram(node->membership, data, cap, ret_target);
}

bool node_notice(struct node *node, struct membership_notice *ret_notice)
{
	return membership_notice(node->membership, ret_notice);
}

size_t node_roster_size(const struct node *node)
{
	return membership_roster_size(node->membership);
}

size_t node_roster(const struct node *node, uint8_t *data, size_t cap)
{
	return membership_roster(node->membership, data, cap);
}

const struct membership *node_membership(const struct node *node)
{
	return node->membership;
}
