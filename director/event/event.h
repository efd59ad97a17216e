/* Events for operators: one list for the alerts, `lvsmesh events` and the log. Here are their names
 * and which belong together, and an event as a plain value; event_log.h decides which are reported.
 * Memory only. */
#ifndef DIRECTOR_EVENT_EVENT_H
#define DIRECTOR_EVENT_EVENT_H

#include "proto/base.h"

/* Membership's, the kernel's and the health checks' events, in one list. */
enum event_kind {
	EVENT_MEMBER_JOINED,
	EVENT_MEMBER_LEFT,
	EVENT_MEMBER_FAILED,
	EVENT_MEMBER_RECOVERED,
	EVENT_MEMBER_PARTLY_REACHABLE,
	EVENT_MEMBER_REACHABLE,
	EVENT_QUORUM_LOST,
	EVENT_QUORUM_REGAINED,
	EVENT_PEERS_NOT_FOUND,
	EVENT_PEERS_FOUND,
	EVENT_CLUSTER_FULL,
	EVENT_CLUSTER_HAS_ROOM,
	EVENT_SPLIT_BRAIN_SUSPECTED,
	EVENT_SPLIT_BRAIN_CONFIRMED,
	EVENT_SPLIT_BRAIN_HEALED,
	EVENT_PARTIAL_PARTITION,
	EVENT_PARTITION_ENDED,
	EVENT_CONFIG_DIVERGENCE,
	EVENT_CONFIG_CONVERGED,
	EVENT_REAL_SERVER_DOWN,
	EVENT_REAL_SERVER_UP,
	EVENT_REAL_SERVER_UNREACHABLE_HERE,
	EVENT_REAL_SERVER_REACHABLE_HERE,
	EVENT_REAL_SERVER_SET,
	EVENT_SERVICE_DOWN,
	EVENT_SERVICE_UP,
	EVENT_PANIC,
	EVENT_PANIC_ENDED,
	EVENT_CHECK_LATE,
	EVENT_CHECK_ON_TIME,
	EVENT_KERNEL_CHANGED,
	EVENT_KERNEL_TABLE_FULL,
	EVENT_KERNEL_TABLE_HAS_ROOM,
	EVENT_SERVICE_REFUSED,
	EVENT_SERVICE_ACCEPTED,
	EVENT_FORWARDER_STALLED,
	EVENT_FORWARDER_RECOVERED,
	EVENT_INJECTION_FAILING,
	EVENT_INJECTION_RECOVERED,
	EVENT_REPLICATION_LAGGING,
	EVENT_REPLICATION_CAUGHT_UP,
	EVENT_CONNECTION_CONFLICT,
	EVENT_CLOCK_SET_BACK,
	EVENT_DRAINING,
	EVENT_DRAINED,
	EVENT_UNDRAINED,
	EVENT_MEMBER_THROTTLED,
	EVENT_MEMBER_UNTHROTTLED,
	EVENT_DUPLICATE_IDENTITY,
	EVENT_DUPLICATE_IDENTITY_RESOLVED,
	EVENT_DUPLICATE_NAME,
	EVENT_DUPLICATE_NAME_RESOLVED,
	EVENT_IDENTITY_EXPIRING,
	EVENT_MESSAGE_REFUSED,
	/* Evidence: the reasons for membership's view. */
	EVENT_SUSPECTED,
	EVENT_CLEARED,
	EVENT_REFUTED,
	EVENT_PAUSED,
	EVENT_WITNESS,
	EVENT_KINDS,
};

/* syslog's numbers. */
enum event_severity {
	EVENT_ERROR = 3,
	EVENT_WARNING = 4,
	EVENT_NOTICE = 5,
	EVENT_INFO = 6,
};

enum event_role {
	EVENT_SINGLE,    /* stands alone */
	EVENT_OPENS,     /* begins an incident, which lasts until a kind that closes it */
	EVENT_WORSENS,   /* an open incident, once; begins one when there is none */
	EVENT_CLOSES,    /* ends an incident; nothing when there is none */
	EVENT_CONCLUDES, /* ends an incident; stands alone when there is none */
	EVENT_EVIDENCE,  /* is no alert, only shown on request */
};

struct event_type {
	const char *name; /* "member-failed" */
	enum event_severity severity;
	enum event_role role;
	enum event_kind opener; /* whose incident it is; its own kind for EVENT_SINGLE */
};

const struct event_type *event_type(enum event_kind kind);
/* false: no event has that name. */
bool event_kind_find(const char *name, enum event_kind *ret_kind);
const char *
event_severity_name(enum event_severity severity); /* "error", "warning", "notice", "info" */
const char *event_role_name(enum event_role role); /* "single", "opens", "worsens", "closes",
						    "evidence" */

#define EVENT_SUBJECT_MAX 64
#define EVENT_MESSAGE_MAX 256
#define EVENT_FIELDS_MAX 12
#define EVENT_TEXT_MAX 192

struct event_field {
	const char *name; /* a literal; NULL behind the last one */
	bool is_number;
	int64_t number;
	char text[EVENT_TEXT_MAX];
};

struct event {
	enum event_kind kind;
	char subject[EVENT_SUBJECT_MAX]; /* its subject: a member's name, ...; may be empty */
	char message[EVENT_MESSAGE_MAX];
	struct event_field fields[EVENT_FIELDS_MAX];

	/* The rest is the event log's. */
	enum event_role role; /* what it became: of an EVENT_WORSENS without incident EVENT_OPENS,
			       * of an EVENT_CONCLUDES EVENT_SINGLE or EVENT_CLOSES */
	struct now time;      /* when it was raised */
	uint64_t id;          /* from 1, without gaps, of this boot epoch */
	uint64_t incident;    /* the id of the event that opened it; of a single one its own */
	usec_t lasted;        /* the incident, when this one closes it */
	uint32_t suppressed;  /* of its kind and subject, not reported before it */
};

/* Longer texts are cut, between two characters of UTF-8; bytes that are not UTF-8 are replaced by
 * '?': they may be untrusted. */
__attribute__((format(printf, 4, 5))) void event_init(struct event *event, enum event_kind kind,
						      const char *subject, const char *format, ...);

/* name: a literal. A field beyond EVENT_FIELDS_MAX is left out. */
void event_text(struct event *event, const char *name, const char *text);
void event_number(struct event *event, const char *name, int64_t number);

/* UTC as RFC 3339 has it, with milliseconds: "2025-11-23T06:53:31.123Z". Returns text. */
#define EVENT_TIME_TEXT 48
char *event_time_format(usec_t wall, char text[EVENT_TIME_TEXT]);

#endif
