#include "director/node/peers.h"

static int peer_number(const struct peers *peers, uint64_t id)
{
	for (unsigned int i = 0; i < peers->count; i++)
		if (peers->peers[i].id == id)
			return (int)i;
	return -1;
}

static struct peer *peer_find(struct peers *peers, uint64_t id)
{
	int i = peer_number(peers, id);

	return i < 0 ? NULL : &peers->peers[i];
}

static struct peer *peer_add(struct peers *peers, const struct endpoint *where)
{
	struct peer *peer = &peers->peers[peers->count++];

	memset(peer, 0, sizeof(*peer));
	peer->where = *where;
	return peer;
}

static void peer_set_name(struct peer *peer, const struct node_stream_status *status)
{
	memcpy(peer->name, status->name, sizeof(peer->name));
	peer->id = status->id;
}

/* A member's stream has its number whether it is there or not. */
static void dialled_add(struct peers *peers, const struct node_stream_status *status)
{
	struct peer *peer;

	if (!status->id)
		return;
	peer = peer_add(peers, &status->remote);
	peer_set_name(peer, status);
	peer->close_reason = status->why;
	peer->in = *status;
}

static void accepted_add(struct peers *peers, const struct node_stream_status *status)
{
	struct peer *peer;

	if (status->phase != NODE_STREAM_READY || !status->for_sync)
		return;
	peer = peer_find(peers, status->id);
	if (!peer)
		peer = peer_add(peers, &status->remote);
	peer_set_name(peer, status);
	peer->out = *status;
}

static const char *peer_state(const struct peer *peer)
{
	bool in = peer->in.phase == NODE_STREAM_READY;
	bool out = peer->out.phase == NODE_STREAM_READY;

	if (in && out)
		return "ready";
	if (in)
		return "sends only";
	if (out)
		return "receives only";
	switch (peer->in.phase) {
	case NODE_STREAM_DIALLING:
		return "dialling";
	case NODE_STREAM_HANDSHAKE:
		return "handshake";
	default:
		return "down";
	}
}

static bool peer_lags(const struct peer *peer)
{
	const struct sync_stream_status *sync = &peer->out.sync;

	return peer->out.phase == NODE_STREAM_READY &&
	       sync->lag > (sync->joining ? PEER_LAG_JOINING : PEER_LAG);
}

/* Fills in how many entries held here are each peer's. */
static void peers_count(const struct sync *sync, struct peers *peers)
{
	uint64_t id, entries;

	for (unsigned int i = 0; sync_origin(sync, i, &id, &entries); i++) {
		struct peer *peer = peer_find(peers, id);

		if (peer)
			peer->entries = entries;
	}
}

static enum member_state member_state_of(const struct node *node, uint64_t id)
{
	struct member_info info;

	return membership_find(node_membership(node), id, &info) ? info.state : STATE_ALIVE;
}

/* Its streams may take seconds longer to find that it does not answer. */
static void judge(const struct node *node, struct peer *peer)
{
	enum member_state state = member_state_of(node, peer->id);

	peer->away = state == STATE_AWAY;
	peer->state = peer->away ? "away" : state == STATE_FAILED ? "failed" : peer_state(peer);
	peer->connected = state != STATE_FAILED && peer->in.phase == NODE_STREAM_READY &&
			  peer->out.phase == NODE_STREAM_READY;
	peer->lags = peer_lags(peer);
}

void peers_collect(const struct node *node, struct now now, struct peers *ret_peers)
{
	struct node_stream_status status;

	ret_peers->count = 0;
	ret_peers->connected = 0;
	ret_peers->lagging = 0;
	ret_peers->away = 0;
	ret_peers->lag = 0;
	for (unsigned int i = 0; i < NODE_STREAMS_MAX; i++) {
		node_stream_status(node, i, now, &status);
		if (i < NODE_SYNC_MAX)
			dialled_add(ret_peers, &status);
		else
			accepted_add(ret_peers, &status);
	}
	peers_count(node_sync(node), ret_peers);
	for (unsigned int i = 0; i < ret_peers->count; i++) {
		struct peer *peer = &ret_peers->peers[i];

		judge(node, peer);
		ret_peers->away += peer->away;
		ret_peers->connected += peer->connected;
		ret_peers->lagging += peer->lags;
		if (peer->out.phase == NODE_STREAM_READY)
			ret_peers->lag = MAX(ret_peers->lag, peer->out.sync.lag);
	}
}

bool peers_gone(const struct node *node, const struct peers *peers, unsigned int *cursor,
		struct peer *ret_peer)
{
	struct member_info info;
	uint64_t id, entries;

	/* The first are we. */
	do {
		++*cursor;
		if (!sync_origin(node_sync(node), *cursor, &id, &entries))
			return false;
	} while (entries == 0 || peer_number(peers, id) >= 0);
	*ret_peer = (struct peer){.id = id, .entries = entries, .state = "gone"};
	if (membership_find(node_membership(node), id, &info))
		memcpy(ret_peer->name, info.name, sizeof(ret_peer->name));
	return true;
}
