#include "director/peers.h"

static struct peer *peer_find(struct peers *peers, uint64_t id)
{
	for (unsigned int i = 0; i < peers->count; i++)
		if (peers->peers[i].id == id)
			return &peers->peers[i];
	return NULL;
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

/* A director may be joined by several addresses: the stream that is ready stands for it. */
static void dialled_add(struct peers *peers, const struct node_stream_status *status,
			const struct endpoint *where)
{
	struct peer *peer = status->id ? peer_find(peers, status->id) : NULL;

	if (!peer)
		peer = peer_add(peers, where);
	else if (status->phase != NODE_STREAM_READY)
		return;
	peer_set_name(peer, status);
	peer->where = *where;
	peer->why = status->why;
	peer->in = *status;
}

/* The stream that is or was dialled to an endpoint. */
static void dialled_find(const struct node *node, const struct endpoint *where, struct now now,
			 struct node_stream_status *ret_status)
{
	for (unsigned int i = 0; i < NODE_JOIN_MAX; i++) {
		node_stream_status(node, i, now, ret_status);
		if (endpoint_compare(&ret_status->remote, where) == 0)
			return;
	}
	memset(ret_status, 0, sizeof(*ret_status));
}

/* The port that a peer dials from says nothing; its address tells a configured one that we do not
 * reach ourselves. */
static struct peer *accepted_find(struct peers *peers, const struct node_stream_status *status)
{
	struct peer *peer = peer_find(peers, status->id);

	for (unsigned int i = 0; !peer && i < peers->count; i++) {
		struct peer *other = &peers->peers[i];

		if (other->id == 0 && ip_addr_compare(&other->where.ip, &status->remote.ip) == 0)
			peer = other;
	}
	return peer;
}

static void accepted_add(struct peers *peers, const struct node_stream_status *status)
{
	struct peer *peer;

	if (status->phase != NODE_STREAM_READY)
		return;
	peer = accepted_find(peers, status);
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

void peers_collect(const struct node *node, const struct endpoint *join, size_t n_join,
		   struct now now, struct peers *ret_peers)
{
	struct node_stream_status status;

	ret_peers->count = 0;
	ret_peers->alive = 0;
	ret_peers->lag = 0;
	for (unsigned int i = 0; i < n_join && i < NODE_JOIN_MAX; i++) {
		dialled_find(node, &join[i], now, &status);
		if (!status.self)
			dialled_add(ret_peers, &status, &join[i]);
	}
	for (unsigned int i = NODE_JOIN_MAX; i < NODE_STREAMS_MAX; i++) {
		node_stream_status(node, i, now, &status);
		accepted_add(ret_peers, &status);
	}
	for (unsigned int i = 0; i < ret_peers->count; i++) {
		struct peer *peer = &ret_peers->peers[i];

		peer->state = peer_state(peer);
		peer->alive =
			peer->in.phase == NODE_STREAM_READY && peer->out.phase == NODE_STREAM_READY;
		ret_peers->alive += peer->alive;
		if (peer->out.phase == NODE_STREAM_READY)
			ret_peers->lag = MAX(ret_peers->lag, peer->out.sync.lag);
	}
}
