/* A director's status as JSON (lvsmesh.1 documents the fields), and its problems in sentences.
 * Memory only: the caller fills in struct status_facts. */
#ifndef DIRECTOR_CONTROL_STATUS_H
#define DIRECTOR_CONTROL_STATUS_H

#include <jansson.h>

#include "director/check/health.h"
#include "director/config/config.h"
#include "director/event/event_log.h"
#include "director/event/observer.h"
#include "director/node/peers.h"

/* The shell's facts besides the node's. Strings are borrowed, NULL: none. Times are mono. */
struct status_facts {
	const struct node *node;
	const struct identity *identity;
	struct config *config; /* the running one */
	uint64_t epoch;
	usec_t started;

	bool announcing; /* the VIPs are on */
	const char *vip_error;
	const char *roster_error; /* why the roster is not saved */
	bool forwarder_ok;        /* services programmed, and the probe comes back */
	usec_t forwarder_since;   /* so it is */
	usec_t stalled_since;     /* IPVS does not forward the probe; 0: it does */
	usec_t silent_since;      /* the kernel reports no connections; 0: it does */
	usec_t blocked_since;     /* the kernel takes no connections; 0: it does */
	usec_t unseen_since;      /* it takes them, but its table lacks them; 0: not so */

	bool programmed; /* the last attempt succeeded */
	usec_t programmed_at;
	uint64_t program_messages; /* to the kernel, that changed services or real servers */
	const char *program_error;

	bool adopted; /* the kernel's connections at start have all been read */
	const char *adopt_error;

	const char *config_path;
	const char *config_digest;
	usec_t loaded;
	uint64_t reloads, reloads_refused;
	const char *reload_error; /* of the last one, when it was refused */

	const struct health *health; /* of the running configuration; NULL: there is none */

	const struct event_log *events;
	const struct observer *observer; /* NULL: nothing was observed */

	uint32_t table_size; /* buckets of the kernel's connection table */
	bool table_small;
	bool guarded; /* the tap, from the other users of this host */
	uint32_t entries_max;
	usec_t iteration_max, iteration_recent,
		iteration_recent_p999;               /* of the event loop: turns.h */
	usec_t cpu_max, cpu_recent, cpu_recent_p999; /* their CPU time */
	bool ftp_damaged;                            /* by this kernel: kernel_facts.h */

	/* Counter number i from 0, of every group; false: no such. */
	bool (*counter)(void *context, unsigned int i, struct counter *ret_counter);
	void *context;
};

/* A new object, NULL: no memory. Its problems are sentences: of incidents that are open, and of all
 * other faults. */
json_t *status_make(const struct status_facts *facts, struct now now);

/* Whether replication works, or the first reason why not. */
enum replication {
	REPLICATION_STARTING,   /* not ready yet */
	REPLICATION_OFF,        /* no service is replicated: sync is off for all */
	REPLICATION_ALONE,      /* there is no other director, or all others are away */
	REPLICATION_STALLED,    /* the kernel reports no connections, or takes none */
	REPLICATION_FULL,       /* the table has no room for new ones */
	REPLICATION_INCOMPLETE, /* some peer is not connected both ways */
	REPLICATION_LAGGING,    /* some peer is behind, see PEER_LAG */
	REPLICATION_WORKS,
};

enum replication status_replication(const struct status_facts *facts,
				    const struct node_status *node, const struct peers *peers);
const char *status_replication_name(enum replication replication); /* "starting", "off", ... */

extern const struct counter_table status_entries_counters; /* of struct sync_status */

/* One peer, as `peers` lists it; NULL: no memory. */
json_t *status_peer(const struct peer *peer, struct now now);

/* Ourselves, and another member, as `members` lists them; membership's part of `status`; NULL: no
 * memory. */
json_t *status_self(const struct status_facts *facts, struct now now);
json_t *status_member(const struct member_info *info, struct now now);
json_t *status_membership(const struct membership *membership, const char *director);

/* A director's id as text: 16 hexadecimal digits and NUL. Returns text. */
#define STATUS_ID_TEXT 17
char *status_id(uint64_t id, char *text);

#endif
