/* Membership and failure detection: SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar,
 * Phillips, Currey 2018) as a state machine without I/O. PROTOCOL.md, "Membership", has the
 * messages and the rules.
 *
 * One event in, one update out; datagrams, dials, frames and notices are pulled. A datagram is
 * believed when its MAC holds and the sender has returned a nonce of ours in its present boot; a
 * record, when its signature holds. No director can make a member failed, alive or gone by saying
 * so: failed is what this director could not reach itself, alive is what answered it, and gone is
 * what the member has signed.
 *
 * It does not open sessions: its driver does (proto/session/session.h), and hands over the
 * frames.
 */
#ifndef MEMBERSHIP_MEMBERSHIP_H
#define MEMBERSHIP_MEMBERSHIP_H

#include "proto/identity/identity.h"
#include "proto/trace.h"
#include "proto/version.h"

struct membership;

#define MEMBERSHIP_MEMBERS_MAX 1024
#define MEMBERSHIP_ADDRESSES_MAX 4 /* of one member */
#define MEMBERSHIP_JOIN_MAX 64
#define MEMBERSHIP_DATAGRAM_MAX 1400
#define MEMBERSHIP_BODY_MAX (64 * 1024) /* of a frame */

/* Streams below MEMBERSHIP_DIALS_MAX are dialled, and numbered here; the others are accepted, and
 * numbered by the driver. */
#define MEMBERSHIP_DIALS_MAX 16
#define MEMBERSHIP_STREAMS_MAX 64

/* Kinds of frames on a stream (struct session_frame); 32 to 47 are membership's. */
enum membership_kind {
	MEMBERSHIP_KIND_DIGEST = 32,
	MEMBERSHIP_KIND_STATE,
	MEMBERSHIP_KIND_MAX = 48,
};

/* How fast. A crash is first reported by someone about interval + 2 * timeout + suspicion after it
 * happened, in the median. */
struct membership_profile {
	usec_t interval;  /* between probes */
	usec_t timeout;   /* of a ping; as long again for the ways around */
	usec_t suspicion; /* the shortest; four times that without a confirmation */
	usec_t redial;    /* between pings to members that are missing */
};

extern const struct membership_profile membership_default, membership_fast;

/* The phase that a director states of itself, in its signed statement. */
enum member_phase {
	PHASE_JOINING,
	PHASE_SYNCING,
	PHASE_READY,
	PHASE_DRAINING,
	PHASE_LEAVING,
	PHASE_LEFT,
	PHASE_ABSENT, /* planned: silent for no longer than its lease */
	PHASE_MAX,
};

/* The state in which this director holds another. */
enum member_state {
	STATE_UNPROVEN, /* heard of; has not answered in this boot of ours */
	STATE_ALIVE,
	STATE_SUSPECT,
	STATE_FAILED,
	STATE_AWAY, /* as it announced (PHASE_ABSENT), within its lease */
	STATE_GONE, /* left or removed; remembered for a while */
	STATE_MAX,
};

const char *member_phase_name(int phase);
const char *member_state_name(int state);

struct membership_options {
	const struct identity *identity; /* borrowed */
	uint64_t epoch;                  /* our boot epoch, durable already */
	uint8_t seed[32];                /* random, other in every boot */
	struct membership_profile profile;
	struct endpoint addresses[MEMBERSHIP_ADDRESSES_MAX]; /* ours, UDP and TCP */
	unsigned int address_count;                          /* at least 1 */
	struct version_range versions;                       /* that we speak */
	uint64_t config;                                     /* digest of our configuration */
	unsigned int directors_max; /* later ones have no place; 0: DIRECTORS_MAX */
	bool witness;               /* a witness address is asked by the driver */
	const uint8_t *roster;      /* as membership_roster() wrote it, or NULL */
	size_t roster_len;
	struct now now;
};

/* 0, -ENOMEM, -EINVAL, or -EBADMSG: a roster that does not decode. Members in it whose certificate
 * is not valid are left out and counted. */
int membership_new(const struct membership_options *options, struct membership **ret_membership);
void membership_free(struct membership *membership);

enum membership_event_type {
	MEMBERSHIP_TICK,          /* time passed; also the first event */
	MEMBERSHIP_JOIN,          /* join, join_count: dialled until a member there is known */
	MEMBERSHIP_DATAGRAM,      /* data, len from remote, on our address local */
	MEMBERSHIP_STREAM_OPENED, /* stream; peer, peer_epoch: the session is ready */
	MEMBERSHIP_STREAM_FRAME,  /* stream; kind, data, len */
	MEMBERSHIP_STREAM_CLOSED, /* stream: gone, or the dial failed: refused, self */
	MEMBERSHIP_META,          /* phase (up to PHASE_DRAINING), config */
	MEMBERSHIP_LEAVE,         /* for good */
	MEMBERSHIP_ABSENCE,       /* for at most lease, as before an upgrade */
	MEMBERSHIP_REMOVE,        /* the operator: member, which must have failed */
	MEMBERSHIP_SYNC,          /* ok: the sync stream with member is alive, or no longer */
	MEMBERSHIP_WITNESS,       /* ok: the witness address answers, or no longer */
};

struct membership_event {
	enum membership_event_type type;
	struct now now;
	usec_t late; /* by how much the driver's loop was late, if it knows better than the timer */
	const struct endpoint *join;
	unsigned int join_count;
	const uint8_t *data;
	size_t len;
	struct endpoint remote;
	unsigned int local;
	bool throttled; /* the sender has used up its share of our work: no more for it than it
			   takes to keep it alive */
	unsigned int stream;
	uint8_t kind;
	const struct certificate *peer; /* verified by the session */
	uint64_t peer_epoch;
	bool refused; /* the host refused the connection */
	bool self;    /* it was ourselves */
	enum member_phase phase;
	uint64_t config;
	usec_t lease;
	uint64_t member; /* its id */
	bool ok;
};

struct membership_update {
	usec_t timeout;        /* mono: send MEMBERSHIP_TICK then */
	uint64_t output;       /* bit i: stream i has frames: membership_frame() */
	uint64_t close;        /* bit i: close stream i, once what was pulled of it is written */
	bool datagrams;        /* membership_datagram() has something */
	bool dials;            /* membership_dial() too */
	bool notices;          /* membership_notice() too */
	bool roster_changed;   /* save membership_roster() */
	bool view_changed;     /* a member's state, addresses or statement */
	bool done;             /* the leave or absence is known: the process may end */
	uint64_t epoch_wanted; /* not 0: our epoch went back in time: start again with this one */
	bool refused;          /* a datagram that was counted, and changed nothing */
	uint64_t sender;       /* the member that made the datagram; 0: unknown */
};

/* A line for each step that is taken because of another member; copied. */
void membership_trace(struct membership *membership, const struct trace *trace);

void membership_step(struct membership *membership, const struct membership_event *event,
		     struct membership_update *ret_update);

/* Whether a datagram of that member, being throttled, would be one too many: then it is counted,
 * and needs no MEMBERSHIP_DATAGRAM. */
bool membership_drops(struct membership *membership, uint64_t member, struct now now);

/* The time when MEMBERSHIP_TICK is due, mono; as in the last update. */
usec_t membership_timeout(const struct membership *membership);

struct membership_target {
	struct endpoint remote;
	unsigned int local; /* which of our addresses to send from, where the driver can choose */
};

/* The next datagram: its length, at most MEMBERSHIP_DATAGRAM_MAX; 0: none. */
size_t membership_datagram(struct membership *membership, uint8_t *data, size_t cap,
			   struct membership_target *ret_target);

struct membership_dialling {
	unsigned int stream;
	struct endpoint remote;
};

/* The next endpoint to dial, by TCP: answer with STREAM_OPENED or STREAM_CLOSED. False: none. */
bool membership_dial(struct membership *membership, struct membership_dialling *ret_dial);

/* The next frame of a stream. 0, or -EAGAIN: none now. data: MEMBERSHIP_BODY_MAX bytes. */
int membership_frame(struct membership *membership, unsigned int stream, uint8_t *data,
		     uint8_t *ret_kind, size_t *ret_len);

/* All members and what must be known of them after a restart. Returns the length; 0: cap is too
 * small (membership_roster_size() says what it takes). */
size_t membership_roster_size(const struct membership *membership);
size_t membership_roster(const struct membership *membership, uint8_t *data, size_t cap);

/* Facts. Those of an incident come in pairs: one opens it, one closes it, both have its id. */
enum membership_notice_type {
	MEMBERSHIP_MEMBER_JOINED,
	MEMBERSHIP_MEMBER_LEFT,
	MEMBERSHIP_MEMBER_FAILED, /* opens */
	MEMBERSHIP_MEMBER_RECOVERED,
	MEMBERSHIP_MEMBER_PARTIAL, /* opens: answers on one way and not on another; of no member:
				      none answers us on it, so that it is our own fault */
	MEMBERSHIP_MEMBER_WHOLE,
	MEMBERSHIP_QUORUM_LOST, /* opens */
	MEMBERSHIP_QUORUM_REGAINED,
	MEMBERSHIP_SPLIT_SUSPECTED, /* opens */
	MEMBERSHIP_SPLIT_CONFIRMED, /* opens, if it was not suspected before */
	MEMBERSHIP_SPLIT_HEALED,
	MEMBERSHIP_DUPLICATE_IDENTITY, /* opens: another process has our identity, or an old state
					* of it */
	MEMBERSHIP_DUPLICATE_IDENTITY_RESOLVED,
	MEMBERSHIP_PARTIAL_PARTITION, /* opens: some reach each other only through others, as both
					 ends state: membership_cut() */
	MEMBERSHIP_PARTITION_ENDED,
	/* For the evidence log: of no incident. */
	MEMBERSHIP_SUSPECTED, /* accuser: the newest; ids: all accusers by now */
	MEMBERSHIP_CLEARED,   /* duration */
	MEMBERSHIP_REFUTED,   /* we were accused, by accuser */
	MEMBERSHIP_PAUSED,    /* this process did not run for duration */
	MEMBERSHIP_NOTICE_MAX,
};

const char *membership_notice_name(int type); /* "member-joined", ... */

/* Evidence about members that were lost. */
enum membership_evidence {
	EVIDENCE_REFUSED = 1,       /* its host refused the connection: it crashed */
	EVIDENCE_RESTARTED = 2,     /* it came back with a higher boot epoch: it crashed */
	EVIDENCE_OTHER_ADDRESS = 4, /* it answers on another of its addresses */
	EVIDENCE_SYNC = 8,          /* its sync stream is alive */
	EVIDENCE_THIRD = 16,        /* another member still sees it */
	EVIDENCE_WITNESS = 32,      /* the witness answers here, and quorum is gone */
	EVIDENCE_MUTUAL = 64,     /* it held us failed while we held it failed, in the same boots */
	EVIDENCE_ONE_SIDED = 128, /* it did not: a one-way cut, or a pause of its own */
	EVIDENCE_UDP = 256,       /* does not answer by UDP */
	EVIDENCE_TCP = 512,       /* does not answer by TCP */
};

#define MEMBERSHIP_NOTICE_IDS 32

struct membership_notice {
	enum membership_notice_type type;
	struct now now;
	uint64_t incident; /* 0: of none */
	uint64_t member;   /* 0: of none */
	char name[CERTIFICATE_NAME_MAX + 1];
	uint64_t accuser;
	unsigned int evidence; /* enum membership_evidence */
	usec_t duration;       /* closing: since it opened; CLEARED, PAUSED */
	/* SUSPECTED by ourselves: pings without an ack, helpers asked, and those who found the
	 * same. */
	unsigned int pings, helpers, nacks;
	unsigned int flaps; /* times that it came and went unreported before this one */
	unsigned int view, roster, lost;
	unsigned int id_count; /* accusers, or members lost, as many as fit */
	uint64_t ids[MEMBERSHIP_NOTICE_IDS];
};

bool membership_notice(struct membership *membership, struct membership_notice *ret_notice);

/* For people and for the director: everything below only reads. */
enum membership_quorum { QUORUM_MAJORITY, QUORUM_HALF, QUORUM_MINORITY };

struct membership_status {
	struct version_range versions;
	uint64_t id, epoch, incarnation;
	enum member_phase phase;
	unsigned int view, roster, away; /* with ourselves */
	enum membership_quorum quorum;
	unsigned int health;     /* 0: good, to 8 */
	uint64_t split_incident; /* 0: none open */
	bool split_confirmed;
	uint64_t cut_incident; /* of a partial partition; 0: none open */
	bool duplicate_identity;
	bool beyond;                /* the cluster is full, and has no place for this director */
	unsigned int directors_max; /* that have one */
	bool witness, witness_ok;   /* it is asked; it answers */
	bool partial;               /* no member answers by UDP, on some address of ours */
	uint64_t datagrams_in, datagrams_out, bytes_in, bytes_out;
	uint64_t pings, pings_lost;
};

struct member_address {
	struct endpoint endpoint;
	bool udp, tcp;               /* reachable, as far as known */
	usec_t udp_heard, tcp_heard; /* mono; 0: never */
	usec_t rtt;                  /* 0: unknown */
};

struct member_info {
	uint64_t id, epoch, incarnation;
	char name[CERTIFICATE_NAME_MAX + 1];
	const uint8_t *certificate; /* as it travels; borrowed until the next step */
	size_t certificate_len;
	enum member_state state;
	usec_t since; /* mono, of the state */
	enum member_phase phase;
	bool partial;
	bool beyond;         /* it has no place in the cluster, which is full */
	bool through_others; /* it answers, and by no way directly */
	unsigned int evidence;
	struct version_range versions;
	uint64_t config;
	unsigned int flaps;
	unsigned int address_count;
	struct member_address addresses[MEMBERSHIP_ADDRESSES_MAX];
};

void membership_status(const struct membership *membership, struct membership_status *ret_status);
/* Walks the others: *cursor starts at 0; false: the end. */
bool membership_walk(const struct membership *membership, unsigned int *cursor,
		     struct member_info *ret_info);
bool membership_find(const struct membership *membership, uint64_t id,
		     struct member_info *ret_info);
/* Walks the join endpoints, but our own, at which no director has answered since our start and no
 * member is known to be: *cursor starts at 0; false: the end. */
bool membership_unanswered(const struct membership *membership, unsigned int *cursor,
			   struct endpoint *ret_endpoint);
/* The pairs of living directors, or of them and ourselves, that do not reach each other directly by
 * any way, as both of each state. All other pairs do, or one of the two states so. */
struct membership_cut {
	unsigned int pairs;   /* 0: there are none */
	unsigned int members; /* that are in one of them */
	/* Groups within which all reach each other, and none reaches one of another group; 0: there
	 * are no such groups, and ids are pairs, one behind the other. */
	unsigned int groups;
	unsigned int id_count; /* as many as fit, those of a group in a row, by name */
	uint64_t ids[MEMBERSHIP_NOTICE_IDS];
	uint16_t group[MEMBERSHIP_NOTICE_IDS];      /* of each */
	uint16_t group_size[MEMBERSHIP_NOTICE_IDS]; /* of each group */
};

void membership_cut(const struct membership *membership, struct membership_cut *ret_cut);
/* Refused and dropped messages, by reason. Counter number i from 0; false: no such. */
struct membership_counter {
	const char *name;
	uint64_t value;
};

bool membership_counter(const struct membership *membership, unsigned int i,
			struct membership_counter *ret_counter);

#endif
