/* The peers as a person thinks of them: a director each, put together from the node's streams, and
 * what is held here of directors that are no peers any more. Memory only. */
#ifndef DIRECTOR_PEERS_H
#define DIRECTOR_PEERS_H

#include "director/node/node.h"

/* A peer that has acknowledged nothing of ours for longer is behind: what is younger is lost if
 * this director dies. One that still gets what there was when it came has longer. */
#define PEER_LAG (1 * USEC_PER_SEC)
#define PEER_LAG_JOINING (60 * USEC_PER_SEC)

struct peer {
	char name[64];         /* empty: has not said yet */
	uint64_t id;           /* 0: has not said yet */
	struct endpoint where; /* where we dial it; of a peer that only dials us, its address */
	bool alive;            /* both streams are ready */
	bool lags;             /* longer than that */
	bool away;             /* its absence was announced: its streams are not missed */
	uint64_t entries;      /* that are held here and have it as origin */
	const char *state;     /* "ready", "receives only", "sends only", "handshake", ... */
	const char *why;       /* why its stream was closed last, or NULL */
	/* From it to us, and from us to it; phase is NODE_STREAM_READY or they say nothing. */
	struct node_stream_status in, out;
};

#define PEERS_MAX NODE_STREAMS_MAX

struct peers {
	struct peer peers[PEERS_MAX];
	unsigned int count, alive, lagging, away;
	usec_t lag; /* the worst of those that are ready */
};

void peers_collect(const struct node *node, struct now now, struct peers *ret_peers);

/* Walks the directors that are gone and have entries here: *cursor starts at 0; false: the end.
 * Their name is empty when it is forgotten; state is "gone". */
bool peers_gone(const struct node *node, const struct peers *peers, unsigned int *cursor,
		struct peer *ret_peer);

#endif
