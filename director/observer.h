/* Turns what a director sees of itself and its peers into events. A core: it is told the facts as
 * often as they are looked at, and remembers what it has said.
 *
 * That a peer joined, failed or recovered is judged by its streams alone. */
#ifndef DIRECTOR_OBSERVER_H
#define DIRECTOR_OBSERVER_H

#include "director/event_log.h"
#include "director/peers.h"

/* A peer that has acknowledged nothing for so long is behind, and has caught up when it is below
 * the second. It is not judged by entries: a burst that is on its way is no fault, and one that is
 * stuck gets old. A peer that still gets its first snapshot has longer. */
#define OBSERVER_LAG (5 * USEC_PER_SEC)
#define OBSERVER_LAG_OVER (1 * USEC_PER_SEC)
#define OBSERVER_LAG_SNAPSHOT (60 * USEC_PER_SEC)

#define OBSERVER_COUNTERS 64

struct observer {
	struct peers peers;        /* as they were last */
	uint64_t known[PEERS_MAX]; /* ids of those that were ever connected */
	unsigned int n_known;
	unsigned int notices; /* of the identity's end, given */
	uint64_t refused[OBSERVER_COUNTERS];
};

/* All zero is a new one. */

void observe_peers(struct observer *observer, const struct peers *peers, struct event_log *log,
		   struct now now);
void observe_replication(const struct peers *peers, struct event_log *log, struct now now);
/* stalled_since: mono; 0: IPVS forwards. */
void observe_forwarder(const char *director, usec_t stalled_since, struct event_log *log,
		       struct now now);
/* Once each 30, 7 and 1 day before the certificate ends, and when it has ended. */
void observe_identity(struct observer *observer, const struct certificate *certificate,
		      struct event_log *log, struct now now);
/* Messages of peers and strangers that were turned away, by what the node counts. */
void observe_refused(struct observer *observer, const struct node *node, struct event_log *log,
		     struct now now);

#endif
