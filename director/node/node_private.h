/* Shared by the files of the node: node.c (events, time, kernel), node_streams.c (sessions),
 * node_members.c (membership, and the dials that it asks for), node_drain.c (the handing over of
 * all connections, and announced stops), node_kernel.c (the table compared with the kernel's
 * counts) and node_templates.c (persistence templates that the kernel holds otherwise). */
#ifndef DIRECTOR_NODE_NODE_PRIVATE_H
#define DIRECTOR_NODE_NODE_PRIVATE_H

#include <assert.h>

#include "director/node/account.h"
#include "director/node/admission.h"
#include "director/node/kernel_compare.h"
#include "director/node/node.h"
#include "proto/session/session.h"
#include "sync/kernel_wire.h"

static_assert(SYNC_STREAMS_MAX >= NODE_STREAMS_MAX, "sync has our numbers");
static_assert(NODE_STREAMS_MAX >= NODE_DIALLED_MAX + NODE_SYNC_MAX + MEMBERSHIP_STREAMS_MAX -
					  MEMBERSHIP_DIALS_MAX + NODE_HANDSHAKES_MIN +
					  NODE_STRANGERS_MAX,
	      "every member's streams have a number, and those in their handshake");

/* A stream's use. An accepted one says it with its first frame. */
enum node_stream_use {
	STREAM_UNKNOWN,
	STREAM_SYNC,
	STREAM_MEMBERSHIP,
};

struct node_stream {
	enum node_stream_phase phase;
	enum node_stream_use use; /* when ready */
	unsigned int member;      /* membership's number for it */
	bool stranger; /* in handshake, from a source that is not known as a director's */
	bool closing;  /* when membership's last output is written */
	struct session *session;
	struct endpoint remote;
	struct certificate peer; /* when ready; outlives the session for the status */
	uint64_t id, epoch;
	usec_t since;
	const char *why;
};

/* A member whose entries we want; the stream to it has the same number. */
struct node_link {
	uint64_t member; /* its id; 0: not used */
	char name[CERTIFICATE_NAME_MAX + 1];
	struct endpoint endpoint;
	bool alive;     /* as membership says: it is dialled */
	uint64_t epoch; /* its boot, likewise */
	usec_t redial, backoff;
	usec_t first;  /* when it was heard of */
	usec_t lost;   /* when a stream to it was lost, or it was heard of */
	bool returned; /* it has returned, once, what we published in earlier lives */
	bool reached;  /* its entries were complete once, or it was waited for long enough */
};

/* Reasons of our own, beside the session's and sync's. */
enum close_reason {
	WHY_CLOSED,
	WHY_TIMEOUT,
	WHY_SILENT,
	WHY_STALLED,
	WHY_MISTAKEN,
	WHY_REPLACED,
	WHY_EVICTED,
	WHY_SHARE,
	WHY_REMOVED,
	WHY_FINISHED,
	WHY_FULL,
	WHY_KIND,
	WHY_MEMORY,
	WHY_MAX,
};

/* Parts of the node that call each other: node_enter(). */
enum node_part {
	NODE_IN_DROP = 1,       /* a stream is given up */
	NODE_IN_MEMBERSHIP = 2, /* a step of membership */
	NODE_IN_LINKS = 4,      /* streams follow the members */
};

/* Why a node stops, step by step. */
enum node_stop {
	STOP_NOT,
	STOP_DRAINING,  /* to leave: until all is acknowledged, or the patience ends */
	STOP_ANNOUNCED, /* membership knows, and announces it to the others */
};

/* The step of the comparison of the kernel's entries with ours. */
enum kernel_step {
	KERNEL_WAIT,
	KERNEL_COUNT,
	KERNEL_ASK, /* for the kernel's counts */
	KERNEL_REPAIR,
};

struct node_kernel {
	struct kernel_compare *compare;
	enum kernel_step step;
	bool asked;      /* the kernel's counts for the next comparison are known */
	uint64_t cursor; /* of the walk */
	usec_t next;     /* count */
	usec_t began;    /* the last */
	bool failed;     /* to judge some of the services */
	uint64_t reals;  /* of them */
	bool want_adopt;
};

/* A real server whose connections end. */
struct ending_real {
	struct service_key service;
	struct endpoint real;
	unsigned int walks; /* that have ended since, and knew the service */
	unsigned int tries; /* that have ended since */
};

struct node_end {
	struct ending_real *list; /* sorted */
	size_t count;
	uint64_t cursor; /* of the walk */
	usec_t next;     /* mono */
};

struct node {
	const struct identity *identity;
	struct trace trace;
	uint64_t epoch;
	struct version_range versions;
	uint8_t syncid;
	uint8_t tap_address[4];
	struct peer_cache *peers;
	struct accounts *accounts;
	uint64_t sender;    /* of the last datagram; 0: not known */
	uint64_t throttled; /* times that an account was used up */
	struct admission *admission;
	bool admission_stale;                         /* directors may have come, or moved */
	struct ip_addr own[MEMBERSHIP_ADDRESSES_MAX]; /* family 0: none */
	struct ip_addr join[MEMBERSHIP_JOIN_MAX];
	struct sync *sync;
	/* By node_capture(), for the next step. */
	struct entry captured[SYNC_CAPTURE_MAX];
	unsigned int captured_len;
	struct membership *membership;
	struct node_link links[NODE_SYNC_MAX];
	unsigned int links_len; /* links from here on were never used */
	struct node_stream streams[NODE_STREAMS_MAX];
	struct node_streams used; /* streams whose phase is not NODE_STREAM_NONE */
	/* Our number for each of membership's streams; NODE_STREAMS_MAX: none. */
	unsigned int member_streams[MEMBERSHIP_STREAMS_MAX];
	struct membership_update membership_update; /* membership's updates since our last one */
	struct node_streams close;                  /* for the next update */
	struct node_update last_update;             /* the last update */
	bool view_changed;   /* membership's, and the links do not follow it yet */
	unsigned int inside; /* enum node_part, of those on the stack */
	bool forwarder, ready, withdraw;
	bool beyond;      /* membership says that there is no place for us */
	usec_t recovered; /* mono: when the forwarder was well again */
	usec_t hold;      /* how long it has to be since then, to be trusted */
	bool adopting;    /* the kernel's connections at start are still being read */
	bool read;        /* or it was waited for that long enough */
	bool draining, drained;
	enum node_stop stop;
	usec_t leave_grace;
	usec_t stop_from, stop_by; /* mono: to leave not before, and at the latest */
	bool met;                  /* another director has answered since the start */
	bool searching;            /* none has yet, and one is waited for */
	bool wait_alone;
	usec_t join_by; /* mono: goes without the entries that are missing then */
	bool followed;  /* every member's own entries were complete */
	struct node_kernel kernel;
	uint64_t templates_cursor; /* of the walk */
	struct node_end end;
	usec_t returned; /* UTC, as the updates say */
	usec_t started, ready_since, tick;
	enum member_phase phase; /* as last given to membership */
	uint64_t config;
	uint8_t seed[32];
	uint64_t chance; /* how often the seed was drawn from */
	uint64_t session_refused[SESSION_E_MAX];
	uint64_t capture_refused[KERNEL_WIRE_E_MAX];
	uint64_t stream_closed[WHY_MAX];
};

/* A stream that closes is a step of membership, a step may change the view, and a changed view
 * closes streams. None of these parts may be entered from within itself. */
static inline void node_enter(struct node *node, enum node_part part)
{
	assert(!(node->inside & part));
	node->inside |= part;
}

static inline void node_leave(struct node *node, enum node_part part)
{
	node->inside &= ~(unsigned int)part;
}

static inline bool is_dialled(unsigned int number)
{
	return number < NODE_DIALLED_MAX;
}

static inline bool is_link(unsigned int number)
{
	return number < NODE_SYNC_MAX;
}

/* node.c: chance. */
void node_draw(struct node *node, void *data, size_t len);

/* node_streams.c */
const char *node_close_reason_name(int why);
void node_stream_dial(struct node *node, unsigned int number, const struct endpoint *remote,
		      struct node_update *update, struct now now);
void node_stream_opened(struct node *node, const struct node_event *event);
void node_stream_data(struct node *node, const struct node_event *event);
void node_stream_closed(struct node *node, const struct node_event *event);
/* Closes of our own accord: the driver has to close the socket. */
void node_stream_close(struct node *node, unsigned int number, enum close_reason why,
		       struct now now);
void node_stream_tick(struct node *node, unsigned int number, struct now now);

/* node_drain.c */
/* An event that is about draining or stopping; false: it is not. */
bool node_drain_event(struct node *node, const struct node_event *event);
void node_drain_tick(struct node *node, struct now now);

/* node_members.c */
int node_members_new(struct node *node, const struct node_options *options);
/* Steps membership and notes its update. It closes no streams: closing one is a step of membership
 * itself, and neither may happen within the other. node_members_follow() does that later. */
void node_members_step(struct node *node, struct membership_event *event);
/* Opens and closes streams as the view of the members has changed since the last call. */
void node_members_follow(struct node *node, struct now now);
/* Dials to links that are due; lowers update->timeout to the next. */
void node_members_dial(struct node *node, struct now now, struct node_update *update);
/* Handle a link's stream that is ready, or gone. */
void node_link_ready(struct node *node, unsigned int number, struct now now);
void node_link_lost(struct node *node, unsigned int number, bool was_ready, bool lasted,
		    struct now now);
/* An event that is membership's business; false: it is not. */
bool node_members_event(struct node *node, const struct node_event *event);
/* Updates the links and our phase, and drains on. */
void node_members_tick(struct node *node, struct now now);
/* There should be other directors, and none has answered since the start. */
bool node_members_alone(const struct node *node);
/* There is no place for that director, or for us. */
bool node_members_beyond(const struct node *node, uint64_t id);
/* The known addresses of directors, for admission. */
void node_members_addresses(struct node *node);
/* Which members are waited for no longer. */
void node_members_mark_reached(struct node *node, struct now now);

/* node_kernel.c */
/* Looks at an entry; false: there is no room for it now, and it comes again. */
typedef bool (*node_kernel_look)(struct node *node, const struct entry *entry,
				 const struct sync_info *info, struct now now);
/* Looks at the table's entries from *cursor on, a millisecond's work. True: at the end. */
bool node_kernel_walk(struct node *node, uint64_t *cursor, node_kernel_look each, struct now now);
int node_kernel_new(struct node *node);
void node_kernel_free(struct node *node);
void node_kernel_tick(struct node *node, struct now now);
void node_kernel_services(struct node *node, const struct node_event *event);

/* node_end.c */
void node_end_event(struct node *node, const struct node_event *event);
void node_end_tick(struct node *node, struct now now);

/* node_templates.c */
void node_templates_tick(struct node *node, struct now now);

#endif
