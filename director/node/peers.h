/* The peers for people: one for each director, put together from the node's streams, and those
 * former peers whose entries are held here. Memory only. */
#ifndef DIRECTOR_NODE_PEERS_H
#define DIRECTOR_NODE_PEERS_H

#include "director/node/node.h"

/* A peer that has acknowledged nothing of ours for longer lags: younger entries are lost if this
 * director dies. A peer that still gets the entries of before its join has longer. */
#define PEER_LAG (1 * USEC_PER_SEC)
#define PEER_LAG_JOINING (60 * USEC_PER_SEC)

struct peer {
	char name[64];            /* empty: has not said yet */
	uint64_t id;              /* 0: has not said yet */
	struct endpoint where;    /* the address we dial; of a peer that only dials us, its own */
	bool connected;           /* both streams are ready */
	bool lags;                /* longer than that */
	bool away;                /* its absence was announced: its streams are not missed */
	uint64_t entries;         /* that are held here and have it as origin */
	const char *state;        /* "ready", "receives only", "sends only", "handshake", ... */
	const char *close_reason; /* why its last stream was closed, or NULL */
	/* The streams from it to us, and from us to it; valid only if phase is
	 * NODE_STREAM_READY. */
	struct node_stream_status in, out;
};

#define PEERS_MAX NODE_STREAMS_MAX

struct peers {
	struct peer peers[PEERS_MAX];
	unsigned int count, connected, lagging, away;
	usec_t lag; /* the worst of those that are ready */
};

void peers_collect(const struct node *node, struct now now, struct peers *ret_peers);

/* Walks the directors that are gone and have entries here: *cursor starts at 0; false: the end.
 * Their name is empty if it is not known any more; state is "gone". */
bool peers_gone(const struct node *node, const struct peers *peers, unsigned int *cursor,
		struct peer *ret_peer);

#endif
