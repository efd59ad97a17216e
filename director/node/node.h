/* One whole director as a state machine without I/O: membership, sessions, sync, readiness. The
 * daemon drives it with libuv, a simulator may drive any number of them. Its requests are in struct
 * node_update; the driver pulls bytes from it when it can take them: a slow peer or a full kernel
 * queue exerts backpressure on the node instead of filling memory. */
#ifndef DIRECTOR_NODE_NODE_H
#define DIRECTOR_NODE_NODE_H

#include "director/counter.h"
#include "director/service/service.h"
#include "membership/membership.h"
#include "proto/bits.h"
#include "proto/endpoint.h"
#include "proto/identity/identity.h"
#include "sync/fact.h"
#include "sync/sync.h"

struct node;

/* Streams are numbered by their use. The node numbers the streams that it dials; the driver numbers
 * accepted streams, as node_accept() says. A number costs nothing until a stream has it. */
#define NODE_SYNC_MAX (DIRECTORS_MAX - 1) /* from 0: to members, for their entries */
#define NODE_DIALLED_MAX (NODE_SYNC_MAX + MEMBERSHIP_DIALS_MAX) /* then membership's own */
/* Places for streams in handshake: of directors, by their addresses, and of strangers. */
#define NODE_HANDSHAKES_MIN 64
#define NODE_STRANGERS_MAX 128
#define NODE_STREAMS_MAX (3 * DIRECTORS_MAX) /* the rest is accepted */

struct node_options {
	const struct identity *identity;  /* borrowed */
	uint64_t epoch;                   /* our boot epoch */
	struct version_range versions;    /* that we speak */
	uint8_t seed[32];                 /* random: nonces, hash keys, jitter */
	const struct endpoint *join;      /* addresses of possible members; copied */
	unsigned int join_count;          /* at most MEMBERSHIP_JOIN_MAX */
	const struct endpoint *addresses; /* ours, TCP and UDP; copied */
	unsigned int address_count;       /* 1 to MEMBERSHIP_ADDRESSES_MAX */
	struct membership_profile profile;
	uint64_t config;            /* digest of our configuration */
	bool witness;               /* NODE_WITNESS comes */
	bool withdraw;              /* take no traffic while in a minority */
	unsigned int directors_max; /* as membership takes it */
	bool wait_alone;     /* take none before another director has answered, or join_timeout */
	usec_t leave_grace;  /* a director that leaves stays so long without traffic: it still
				carries and replicates late packets */
	usec_t join_timeout; /* take traffic without the entries that are missing then; 0: never */
	const uint8_t *roster; /* as node_roster() wrote it in an earlier boot, or NULL */
	size_t roster_len;
	struct now now;
	usec_t before;          /* wall: the daemon's start before this one; 0: not known */
	usec_t returned;        /* the last one that an update had in an earlier start, or 0 */
	uint8_t syncid;         /* of the kernel's threads */
	uint8_t tap_address[4]; /* flows to this VIP are the metronome's: not replicated */
	uint32_t entries_max;   /* more are refused and counted */
};

enum node_event_type {
	NODE_TICK,          /* time passed; also the first event */
	NODE_JOIN,          /* a new list of join endpoints: join, join_count */
	NODE_DATAGRAM,      /* data, len from remote, on our address number local */
	NODE_STREAM_OPENED, /* stream; dialled or accepted by its number; remote */
	NODE_STREAM_DATA,   /* stream; data, len */
	NODE_STREAM_CLOSED, /* stream: gone, or the dial failed; refused */
	NODE_ADOPTED,       /* entry: found in the kernel at start */
	NODE_ADOPTED_ALL,   /* no more of these */
	NODE_SERVICES,      /* services: the kernel's of now, sorted, with counters; or NULL */
	NODE_INJECTED,      /* all that was pulled by sync_inject() is in the kernel */
	NODE_INJECT_LOST,   /* some of it is not: it has to be pulled again */
	NODE_PUBLISH,       /* fact: as sync_publish(); one that is refused is counted */
	NODE_FORWARDER, /* ok: services are programmed and the probe comes back (or no longer) */
	NODE_END, /* ok: end the connections of this real server, which is down: service, real; else
		     it is not down any more */
	NODE_CONFIG,  /* config: the digest of a new configuration; policy */
	NODE_DRAIN,   /* ok: hand over all traffic and stay; else take traffic again */
	NODE_LEAVE,   /* drain and leave the roster; then the update says done */
	NODE_ABSENCE, /* about to stop, for lease at most; then the update says done */
	NODE_REMOVE,  /* the operator: member, which has failed, is gone for good */
	NODE_WITNESS, /* ok: the witness address answers, or no longer */
};

struct node_event {
	enum node_event_type type;
	struct now now;
	usec_t late; /* the time that this turn of the driver's loop has taken, and was not given
			before, if it is long: acknowledgements wait unread, so it counts as our own
			lateness */
	unsigned int stream;
	struct endpoint remote;
	const uint8_t *data;
	size_t len;
	const struct entry *entry;
	const struct fact *fact;
	const struct service_key *service;
	const struct endpoint *real;
	const struct service_set *services;
	bool more; /* services: not all of them, the rest comes with the next such events */
	const struct endpoint *join;
	unsigned int join_count;
	unsigned int local;
	bool refused; /* the host answered that no process listens */
	uint64_t config;
	const struct policy_options *policy; /* as sync_policy() takes it; NULL: as before */
	usec_t lease;
	uint64_t member;
	bool ok;
};

struct node_streams {
	uint64_t bits[BITS_WORDS(NODE_STREAMS_MAX)];
};

/* Actions for the driver now. Streams are to be asked for output even when this was said before. */
struct node_update {
	usec_t timeout;             /* mono: send NODE_TICK then, USEC_NEVER: no need */
	struct node_streams dial;   /* dial; node_stream_status() has the address */
	struct node_streams output; /* call node_output() as soon as the socket can take bytes */
	struct node_streams close;  /* close at once; no NODE_STREAM_CLOSED is wanted for these */
	bool inject;                /* sync_inject() has something */
	bool confirm;               /* all was pulled, and to be ready it waits for NODE_INJECTED */
	bool facts;                 /* sync_fact_next() has something */
	bool datagrams;             /* node_datagram() too */
	bool notices;               /* node_notice() too */
	bool services;              /* ask the kernel for its services: NODE_SERVICES */
	bool adopt;                 /* read the kernel's connections again, NODE_ADOPTED */
	bool missed;                /* adopt, for some were not captured */
	bool roster;                /* save node_roster() */
	bool done;                  /* after NODE_LEAVE, NODE_ABSENCE: the process may end */
	uint64_t epoch_wanted; /* not 0: our epoch or our clock went back in time; start again with
				  this epoch at least */
	usec_t returned; /* UTC, not 0: members have returned all that we stamped until then; keep
			    it for the next start */
	bool announce;   /* take traffic: it was ready once, and the forwarder is well */
	bool refuse;     /* take none; neither of the two: that is not known yet */
};

/* 0, -ENOMEM or -EINVAL. */
int node_new(const struct node_options *options, struct node **ret_node);
void node_free(struct node *node);

/* Sets where the lines of membership, and of this director's own steps, go; copied. */
void node_trace(struct node *node, const struct trace *trace);

/* The only thing that changes a node besides node_capture(), node_output(), node_datagram() and
 * node_notice(). */
void node_step(struct node *node, const struct node_event *event, struct node_update *ret_update);

/* One sync message of the kernel's master thread. There may be many at once, so this only collects
 * its entries: a step has to follow, whose update has the result. */
void node_capture(struct node *node, struct now now, const uint8_t *data, size_t len);

/* Until called with 0, captured messages may have been sent at any time after `since` (mono): we
 * weren't reading. */
void node_late(struct node *node, struct now now, usec_t since);

/* The number for a stream accepted from there. A socket that still has the number is to be closed
 * first (without an event): when strangers have all their places, their oldest stream is evicted.
 * NODE_STREAMS_MAX: refused, the source has had its share, or it is a stranger and strangers are
 * not wanted now. */
unsigned int node_accept(struct node *node, const struct endpoint *remote, bool strangers,
			 struct now now);
/* The stream is in handshake, and comes from an address that is not known as a director's. */
bool node_stranger(const struct node *node, unsigned int stream);

/* Bytes for the socket: at most cap (at least NODE_OUTPUT_MIN), 0: nothing now. */
#define NODE_OUTPUT_MIN (SYNC_BODY_MAX + 64)
size_t node_output(struct node *node, unsigned int stream, struct now now, uint8_t *data,
		   size_t cap);

/* The member that made the last NODE_DATAGRAM, 0: no known one; and the director at the other end
 * of a stream that is ready, 0: it is not. */
uint64_t node_sender(const struct node *node);
uint64_t node_stream_director(const struct node *node, unsigned int stream);
/* The datagram claims to be of a director that has used up its share of work, and of which no more
 * are taken for now: it is counted, and no NODE_DATAGRAM is wanted for it. */
bool node_drops(struct node *node, const uint8_t *data, size_t len, struct now now);
#define NODE_SENDER_AT 6 /* the 8 bytes of a datagram by which it claims that */
/* So much CPU time was spent on behalf of that director (director/node/account.h). */
void node_charge(struct node *node, uint64_t director, usec_t cpu, struct now now);
/* The director has used up its share of work: leave its streams unread, and ask again in the next
 * turn. */
bool node_throttled(const struct node *node, uint64_t director, struct now now);

/* The next datagram: its length, at most MEMBERSHIP_DATAGRAM_MAX; 0: none. */
size_t node_datagram(struct node *node, uint8_t *data, size_t cap,
		     struct membership_target *ret_target);

/* The next fact about members. */
bool node_notice(struct node *node, struct membership_notice *ret_notice);

/* The roster that membership needs after a restart: see membership_roster(). */
size_t node_roster_size(const struct node *node);
size_t node_roster(const struct node *node, uint8_t *data, size_t cap);

/* For people: everything below only reads. */
enum node_stream_phase {
	NODE_STREAM_NONE,
	NODE_STREAM_DIALLING,
	NODE_STREAM_HANDSHAKE,
	NODE_STREAM_READY,
};

struct node_stream_status {
	enum node_stream_phase phase;
	bool dialled;  /* by us: on one for sync we receive its entries, else it receives ours */
	bool for_sync; /* else membership's, or not known yet */
	struct endpoint remote;
	char name[64];                  /* the peer's; of an accepted one, when ready */
	uint64_t id;                    /* the director's id; likewise; 0: the number is not used */
	uint64_t epoch;                 /* its boot epoch */
	uint32_t version;               /* that is spoken on it; 0: not ready */
	usec_t since;                   /* mono, of the phase */
	const char *why;                /* the reason it was closed last, or NULL */
	struct sync_stream_status sync; /* when ready */
};

struct node_status {
	bool ready;
	usec_t ready_since;      /* mono */
	const char *waiting_for; /* why it is not ready, a sentence; NULL when ready */
	bool beyond; /* the cluster is full: this director has no place and takes no part */
	bool alone;  /* there should be other directors, and none has answered since the start */
	bool draining;
	bool drained; /* and every member that is alive has acknowledged all our entries */
	usec_t forwarder_trusted; /* mono: VIPs stay off until then, even if it is well */
	struct sync_status sync;
};

void node_status(const struct node *node, struct node_status *ret_status);
void node_stream_status(const struct node *node, unsigned int stream, struct now now,
			struct node_stream_status *ret_status);
/* Counter number i from 0; false: no such. All exist from the start, with value 0. The groups are
 * "session", "sync" and "capture": refused; "stream": closed; "account"; "facts"; "membership":
 * refused. */
bool node_counter(const struct node *node, unsigned int i, struct counter *ret_counter);
extern const struct counter_table node_counter_account, node_counter_facts; /* for lvsmesh(1) */
/* When that member used up its share of our work last, mono; 0: never. */
usec_t node_throttled_last(const struct node *node, uint64_t member);
/* The entries: sync_walk() lists them; sync_inject() is pulled for the kernel's backup thread, and
 * sync_fact_next() for what the facts are about. A node alone changes it otherwise. */
struct sync *node_sync(const struct node *node);
/* The members, for listing: membership_walk() and its kin. */
const struct membership *node_membership(const struct node *node);

#endif
