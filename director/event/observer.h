/* Turns what a director sees of itself and its peers into events. A core: it gets the facts at
 * every look, and remembers its reports. Membership's notices are events already: see notices.h. */
#ifndef DIRECTOR_EVENT_OBSERVER_H
#define DIRECTOR_EVENT_OBSERVER_H

#include "director/event/event_log.h"
#include "director/node/peers.h"

/* A peer that has acknowledged nothing for so long (PEER_LAG_JOINING while it still gets the
 * entries of before its join) is reported, and has caught up below PEER_LAG. Lag is
 * a time and no number of entries: a burst in flight is no fault, and one that is stuck ages. */
#define OBSERVER_LAG (5 * USEC_PER_SEC)

/* A director that has met no other for so long after its start is reported: directors that start
 * together find each other sooner. */
#define OBSERVER_ALONE (10 * USEC_PER_SEC)

/* A part of our kernel state is contested when others change it so often, each time within so long
 * of the last; so many parts are remembered. */
#define OBSERVER_CONTESTED 3
#define OBSERVER_CONTEST (60 * USEC_PER_SEC)
#define OBSERVER_CHANGES 16

#define OBSERVER_CONFLICTS (60 * USEC_PER_SEC)

/* A member that has not been throttled for so long is no longer reported as such. */
#define OBSERVER_THROTTLED (60 * USEC_PER_SEC)

/* How long services may differ: a change takes some seconds to reach all directors. */
#define OBSERVER_DIVERGENCE (30 * USEC_PER_SEC)

#define OBSERVER_COUNTERS 128

/* Refused messages a minute, below which reasons that a network or a restart causes too raise no
 * event. */
#define OBSERVER_FLOOD 3000

/* One of several directors that share a name. */
struct observer_named {
	char name[CERTIFICATE_NAME_MAX + 1];
	uint64_t id;
	bool failed;
};

/* A foreign change in the kernel, and how often it came without a pause. */
struct observer_change {
	char what[64];
	char was[64];
	int error; /* negative errno: it could not be put back */
	unsigned int count;
	usec_t last; /* mono; 0: unused */
};

struct observer {
	unsigned int notices; /* of the identity's end, given */
	bool draining, drained;
	usec_t differs_since; /* mono: some member has other services; 0: none */
	uint64_t refused[OBSERVER_COUNTERS];
	uint64_t minute[OBSERVER_COUNTERS]; /* as it began */
	usec_t minute_at;                   /* mono */
	uint64_t conflicts;                 /* reported */
	usec_t conflicts_at;                /* mono */
	struct observer_change changes[OBSERVER_CHANGES];
};

/* All zero is a new one. */

void observer_drain(struct observer *observer, const char *director,
		    const struct node_status *status, struct event_log *log, struct now now);
/* alone: node_status's; uptime: since the start. */
void observer_alone(const char *director, bool alone, usec_t uptime, struct event_log *log,
		    struct now now);
/* Another process changed our `what` in the kernel: it was `was`, and was put back, or putting it
 * back failed with r (negative errno). */
void observer_kernel_changed(struct observer *observer, const char *director, const char *what,
			     const char *was, int r, struct event_log *log, struct now now);
/* Changes that recur, or can't be put back, one a call; *i starts at 0. NULL: no more. */
const struct observer_change *observer_contested(const struct observer *observer, unsigned int *i,
						 struct now now);
/* Members that are alive and have other services than ours: their names, and how many. */
void observer_config(struct observer *observer, const char *director, const char *names,
		     unsigned int count, struct event_log *log, struct now now);
void observer_replication(const struct peers *peers, struct event_log *log, struct now now);
/* last: when that member used up its share of this director's work last, mono; 0: never. */
void observer_throttled(const char *member, usec_t last, struct event_log *log, struct now now);
/* beyond: whether that director, ourselves or another, has no place among so many, with which the
 * cluster is full. */
void observer_place(const char *director, bool self, bool beyond, unsigned int directors,
		    struct event_log *log, struct now now);
/* stalled_since: mono; 0: IPVS forwards. */
void observer_forwarder(const char *director, usec_t stalled_since, struct event_log *log,
			struct now now);
/* unseen_since: mono; 0: injected entries arrive in the kernel's table. interface: the wire
 * tap's. */
void observer_injection(const char *director, const char *interface, usec_t unseen_since,
			struct event_log *log, struct now now);
/* entries: known here, all of which are to be in the kernel. most: as many as the kernel takes
 * (net.ipv4.vs.conn_max, from 7.2 on: beyond it the kernel silently makes none); 0: any. */
void observer_conn_max(const char *director, uint64_t entries, uint64_t most, struct event_log *log,
		       struct now now);
/* error: the services that the kernel refused, NULL: none. */
void observer_services(const char *director, const char *error, struct event_log *log,
		       struct now now);
/* Once each 30, 7 and 1 day before the certificate ends, and when it has ended. */
void observer_identity(struct observer *observer, const struct certificate *certificate,
		       struct event_log *log, struct now now);
/* Directors of different keys and the same name: one was installed anew, or named by mistake.
 * named: all there are, sorted when this returns. */
void observer_names(struct observer_named *named, unsigned int count, struct event_log *log,
		    struct now now);
/* conflicts: sync_status's. At once, and then once a minute while they go on. */
void observer_conflicts(struct observer *observer, const char *director, uint64_t conflicts,
			struct event_log *log, struct now now);
/* The severity of what a counter of the node counts. */
enum observer_refusal {
	OBSERVER_NO_REFUSAL,
	OBSERVER_ORDINARY, /* caused by a network or a restart, too */
	OBSERVER_ALARMING,
};

enum observer_refusal observer_refusal(const char *group, const char *name);

/* Refused messages of peers and strangers, by the node's counters. */
void observer_refused(struct observer *observer, const struct node *node, struct event_log *log,
		      struct now now);

#endif
