/* One whole director as a state machine without I/O: sessions with the peers, sync, readiness. The
 * daemon drives it with libuv, a simulator may drive any number of them. It says what it wants in
 * struct node_update; bytes are pulled from it when whoever drives it can take them, so that a slow
 * peer or a full kernel queue holds back the node and not memory. */
#ifndef DIRECTOR_NODE_H
#define DIRECTOR_NODE_H

#include "proto/endpoint.h"
#include "proto/identity.h"
#include "sync/sync.h"

struct node;

/* Streams are numbered by whoever drives the node: 0 to NODE_JOIN_MAX - 1 is the stream that was
 * dialled to the join endpoint of that number, the others are accepted ones. */
#define NODE_JOIN_MAX 64
#define NODE_STREAMS_MAX 128

struct node_options {
	const struct identity *identity; /* borrowed */
	uint64_t epoch;                  /* our boot epoch */
	uint8_t seed[32];                /* random: nonces, hash keys, jitter */
	const struct endpoint *join;     /* copied; join_count <= NODE_JOIN_MAX */
	unsigned int join_count;
	uint8_t syncid;         /* of the kernel's threads */
	uint8_t tap_address[4]; /* flows to this VIP are the metronome's: not replicated */
	uint32_t entries_max;   /* more are refused and counted */
};

enum node_event_type {
	NODE_TICK,          /* time passed; also the first event */
	NODE_JOIN,          /* a new list of join endpoints: join, join_count */
	NODE_STREAM_OPENED, /* stream; dialled or accepted by its number; remote */
	NODE_STREAM_DATA,   /* stream; data, len */
	NODE_STREAM_CLOSED, /* stream: gone, or the dial failed */
	NODE_CAPTURED,      /* data, len: one sync message of the kernel's master thread */
	NODE_ADOPTED,       /* entry: found in the kernel at start */
	NODE_INJECTED,      /* all that was pulled by node_inject() is in the kernel */
	NODE_INJECT_LOST,   /* some of it is not: it has to be pulled again */
	NODE_FORWARDER, /* ok: services are programmed and the probe comes back (or no longer) */
};

struct node_event {
	enum node_event_type type;
	struct now now;
	unsigned int stream;
	struct endpoint remote;
	const uint8_t *data;
	size_t len;
	const struct entry *entry;
	const struct endpoint *join;
	unsigned int join_count;
	bool ok;
};

struct node_streams {
	uint64_t bits[NODE_STREAMS_MAX / 64];
};

/* What is to be done now. Streams are to be asked for output even when this was said before. */
struct node_update {
	usec_t timeout;             /* mono: send NODE_TICK then, USEC_NEVER: no need */
	uint64_t dial;              /* bit i: dial join endpoint i */
	struct node_streams output; /* call node_output() as soon as the socket can take bytes */
	struct node_streams close;  /* close at once; no NODE_STREAM_CLOSED is wanted for these */
	bool inject;                /* node_inject() has something */
	bool announce;              /* take traffic: it was ready once, and the forwarder is well */
};

/* 0, -ENOMEM or -EINVAL. */
int node_new(const struct node_options *options, struct node **ret_node);
void node_free(struct node *node);

/* The only thing that changes a node besides the two pulls below. */
void node_step(struct node *node, const struct node_event *event, struct node_update *ret_update);

/* A free number for an accepted stream. When all are taken, the number of the oldest stream that
 * has not authenticated: close its socket first (without an event). NODE_STREAMS_MAX: none. */
unsigned int node_accept(struct node *node);

/* Bytes for the socket: at most cap (at least NODE_OUTPUT_MIN), 0: nothing now. */
#define NODE_OUTPUT_MIN (SYNC_BODY_MAX + 64)
size_t node_output(struct node *node, unsigned int stream, struct now now, uint8_t *data,
		   size_t cap);

/* The payload of the next sync message for the kernel's backup thread; 0: nothing now. */
size_t node_inject(struct node *node, struct now now, uint8_t *data, size_t cap);

/* For people: everything below only reads. */
struct node_counter {
	const char *group; /* "session", "sync", "capture": refused; "stream": closed */
	const char *name;  /* the reason */
	uint64_t value;
};

enum node_stream_phase {
	NODE_STREAM_NONE,
	NODE_STREAM_DIALLING,
	NODE_STREAM_HANDSHAKE,
	NODE_STREAM_READY,
};

struct node_stream_status {
	enum node_stream_phase phase;
	bool dialled; /* we receive its entries on it; else it receives ours */
	bool self;    /* a join endpoint that is ourselves: seldom dialled again */
	struct endpoint remote;
	char name[64];                  /* the peer's; empty before it was ever ready */
	uint64_t id;                    /* the director's id, when ready */
	uint64_t epoch;                 /* its boot epoch */
	usec_t since;                   /* mono, of the phase */
	const char *why;                /* the reason it was closed last, or NULL */
	struct sync_stream_status sync; /* when ready */
};

struct node_status {
	bool ready;
	usec_t ready_since;      /* mono */
	const char *waiting_for; /* what keeps it from being ready, a sentence; NULL when ready */
	struct sync_status sync;
};

void node_status(const struct node *node, struct node_status *ret_status);
void node_stream_status(const struct node *node, unsigned int stream, struct now now,
			struct node_stream_status *ret_status);
/* Counter number i from 0; false: no such. All exist from the start, with value 0. */
bool node_counter(const struct node *node, unsigned int i, struct node_counter *ret_counter);
/* The entries, for listing: sync_walk(). */
const struct sync *node_sync(const struct node *node);

#endif
