/* The peers as a person thinks of them: a director each, put together from the node's streams.
 * Memory only. */
#ifndef DIRECTOR_PEERS_H
#define DIRECTOR_PEERS_H

#include "director/node.h"

struct peer {
	char name[64];         /* empty: has not said yet */
	uint64_t id;           /* 0: has not said yet */
	struct endpoint where; /* where we dial it; of a peer that only dials us, its address */
	bool alive;            /* both streams are ready */
	const char *state;     /* "ready", "receives only", "sends only", "handshake", ... */
	const char *why;       /* why its stream was closed last, or NULL */
	/* From it to us, and from us to it; phase is NODE_STREAM_READY or they say nothing. */
	struct node_stream_status in, out;
};

#define PEERS_MAX NODE_STREAMS_MAX

struct peers {
	struct peer peers[PEERS_MAX];
	unsigned int count, alive;
	usec_t lag; /* the worst of those that are ready */
};

void peers_collect(const struct node *node, struct now now, struct peers *ret_peers);

#endif
