/* The state of membership/, and who writes it: each struct names its file, and only that file
 * writes it. The others read it, and have it changed by that file's functions (parts.h). tests/lint
 * sees to it.
 *
 * A member is *busy* while something of it is due at a time: a probe, a suspicion, a lease. Only
 * busy members are looked at, when that time comes, or after they changed. */
#ifndef MEMBERSHIP_STATE_H
#define MEMBERSHIP_STATE_H

#include "membership/membership.h"
#include "proto/chance.h"
#include "proto/membership.pb-c.h"
#include "proto/rate.h"
#include "proto/session/replay.h"
#include "proto/session/seal.h"

#define HEALTH_MAX 8
#define HELPERS 3
#define ACCUSERS_MAX 8
#define CONFIRMATIONS 3
#define ITEMS_MAX 128
#define OUT_MAX 512
#define RELAYS_MAX 64
#define RELAY_PACKET_MAX 256
#define NOTICES_MAX 64
#define LINKS_MAX 128         /* members that one statement lists */
#define LINK_SIZE 4           /* bytes of each */
#define STATEMENT_MAX 680     /* bytes of its body */
#define STATEMENT_OLD_MAX 160 /* that is read by members that state no size */
#define HOPS_MAX 32           /* directors that pass on one relayed packet */
#define DATAGRAM_BODY_MAX (MEMBERSHIP_DATAGRAM_MAX - PACKET_OVERHEAD)
#define MSEC USEC_PER_MSEC
#define SEC USEC_PER_SEC

/* The kinds of sealed packets (struct packet). */
enum packet_kind {
	PACKET_PING = 1,
	PACKET_ACK,
	PACKET_GOSSIP,
	PACKET_RELAY,   /* please pass it on */
	PACKET_DELIVER, /* passed on */
	PACKET_NACK,    /* passed on, and nothing came back */
	PACKET_KIND_MAX,
};

enum record_kind {
	RECORD_STATEMENT = 32,
	RECORD_SUSPICION,
	RECORD_VIEW,
	RECORD_REMOVAL,
	RECORD_TWICE,
};

/* Why something was not taken; counted. PACKET_E_* and REPLAY_E_* have their own names. */
enum refusal {
	REFUSED_SIZE,
	REFUSED_VERSION,
	REFUSED_CLUSTER,
	REFUSED_MAC,
	REFUSED_STALE,
	REFUSED_REPEATED,
	REFUSED_STRANGER,  /* a sender whose certificate we don't have */
	REFUSED_EXPIRED,   /* a certificate that is not valid now */
	REFUSED_KIND,      /* a kind of packet, frame or record that does not come here */
	REFUSED_MALFORMED, /* does not decode, or breaks a limit */
	REFUSED_UNPROVEN,  /* contents of a sender that has not returned a nonce in this boot */
	REFUSED_NONCE,     /* an ack that no probe waits for */
	REFUSED_CERTIFICATE,
	REFUSED_SIGNATURE,
	REFUSED_UNKNOWN,   /* a record of or about a member whose certificate we don't have */
	REFUSED_AHEAD,     /* an accusation that quotes no statement of its subject */
	REFUSED_ACCUSER,   /* an accuser that is not alive here, or one too many */
	REFUSED_REMOVAL,   /* of a member that has not failed here */
	REFUSED_VERSIONS,  /* a member that speaks none of our versions */
	REFUSED_FULL,      /* one member more than fits */
	REFUSED_RELAY,     /* more to pass on than fits */
	REFUSED_ROLLBACK,  /* a session in an earlier boot than the member is known to have had */
	REFUSED_THROTTLED, /* more than a member's share: of datagrams, or of records to verify */
	DROPPED_OUTPUT,    /* datagrams not made: too many at once */
	DROPPED_ITEM,      /* gossip forgotten early: anti-entropy repairs it */
	DROPPED_NOTICE,
	REFUSAL_MAX,
};

/* notice.c: opened and closed once each, and never oftener than a minute. */
struct incident {
	uint64_t id;
	usec_t opened, closed, changed; /* mono; changed: when wanted last did */
	uint16_t flaps;
	bool open, wanted;
};

/* path.c */
struct member_path {
	struct endpoint endpoint;
	usec_t udp_heard, tcp_heard;
	usec_t missing; /* when the first of the misses was sent */
	uint32_t rtt;
	uint8_t misses; /* pings in a row without an answer */
	uint8_t tcp_misses;
	bool tcp_doubt; /* a dial failed: an ack will show whether the member runs at all */
	bool udp_down, tcp_down;
};

enum probe_stage {
	PROBE_DIRECT = 1, /* pinging */
	PROBE_INDIRECT,   /* asking helpers, and TCP */
	PROBE_WATCH,      /* the member is judged, and its paths not yet */
	PROBE_HELLO,      /* a ping to a member that is not expected to answer */
};

/* probe.c */
struct probe {
	struct probe *next; /* free list */
	enum probe_stage stage;
	uint64_t nonce; /* the low 8 bits: path and attempt */
	usec_t started, pinged, next_ping, deadline;
	uint8_t attempt;
	bool deep;     /* goes on to PROBE_INDIRECT */
	bool answered; /* by any way */
	bool dialled;  /* by TCP, too */
	bool narrow;   /* only the helper that reached it before is asked */
	uint8_t paths; /* bit i: path i has answered */
	uint8_t helpers, nacks;
	uint64_t helper[HELPERS];
};

/* suspicion.c */
struct accuser {
	uint64_t id, epoch, sequence;
	uint8_t signature[SIGNATURE_SIZE];
};

/* suspicion.c */
struct suspicion {
	usec_t started, deadline;
	uint64_t epoch, incarnation; /* of the statement that is quoted */
	unsigned int expected;       /* confirmations */
	unsigned int count;
	bool own; /* we are one of them */
	struct accuser accusers[ACCUSERS_MAX];
};

/* suspicion.c: the accusations of one sender that were taken. */
struct recent {
	uint64_t epoch, highest, taken;
};

#define REMOVAL_MAX 48   /* bytes of its body */
#define REMOVAL_SIZE 160 /* of the whole record, at most */

/* tombstone.c: a member's removal from the roster, signed in our own name, as we pass it on. */
struct removal {
	uint64_t epoch, sequence;
	uint8_t len, body[REMOVAL_MAX], signature[SIGNATURE_SIZE];
};

enum out_kind {
	OUT_PING,
	OUT_ACK,
	OUT_GOSSIP,
	OUT_PING_REQ, /* a ping to member, through via */
	OUT_RELAY_ACK,
	OUT_FORWARD, /* a relayed packet, in relays[slot] */
	OUT_NACK,
};

/* datagram.c: one that is to be made when it is pulled. */
struct out {
	enum out_kind kind;
	uint64_t member, via;
	uint64_t nonce;
	struct endpoint remote;
	uint16_t local, slot;
	uint8_t version; /* an ack: its ping's; else 0 */
};

/* datagram.c: something that we pass on for a member, and wait whether it is answered: from its
 * origin to its end, both of which sealed it, from the director that gave it to us to the next one.
 */
struct relay {
	bool used;
	bool queued; /* an OUT_FORWARD refers to it */
	uint64_t origin, to;
	uint64_t previous, next;
	unsigned int hops; /* of directors that may still pass it on */
	usec_t deadline;
	uint16_t len;
	uint8_t packet[RELAY_PACKET_MAX];
};

enum item_kind { ITEM_STATEMENT, ITEM_NEWCOMER, ITEM_SUSPICION, ITEM_TWICE, ITEM_REMOVAL };

/* broadcast.c: a reference to the record to send, or for rare kinds the record itself. */
struct item {
	enum item_kind kind;
	uint64_t member, accuser;
	uint64_t number; /* order of arrival */
	unsigned int sent;
	uint64_t epoch, sequence;
	uint16_t len;
	uint8_t body[48];
	uint8_t signature[SIGNATURE_SIZE];
};

enum stream_phase {
	STREAM_NONE,
	STREAM_DIALLING,
	STREAM_SEND_DIGEST, /* dialler */
	STREAM_WAIT_STATE,
	STREAM_WAIT_DIGEST, /* acceptor */
	STREAM_SEND_STATE,  /* both */
	STREAM_WAIT_DONE,   /* acceptor: the other's state; dialler: that it closes */
};

/* pushpull.c */
struct pushpull_stream {
	enum stream_phase phase;
	bool dialled;
	uint64_t member; /* 0: not known yet: a join endpoint */
	uint64_t epoch;  /* the peer's, by the session */
	struct endpoint remote;
	int join; /* index, or -1 */
	usec_t deadline;
	uint64_t *want; /* ids that are sent; NULL: by the digest */
	unsigned int want_count;
	uint8_t *digest; /* the peer's entries, sorted */
	uint8_t *gone;   /* ids: which of them it holds gone; sorted */
	unsigned int digest_count, gone_count;
	unsigned int cursor; /* of members */
	bool told;           /* ourselves and our view have been sent */
	bool rollback;       /* the peer is in an earlier boot than it is known to have had */
	bool done;           /* the peer has sent all */
};

/* join_endpoints.c */
struct join_endpoint {
	struct endpoint endpoint;
	usec_t at; /* dial then */
	unsigned int tries;
	bool answered; /* a director did, since our start */
};

/* split.c: members that were lost together. */
struct split {
	struct incident incident;
	bool confirmed;
	usec_t lost_at, lost_last; /* the first and the last of them; 0: none */
	usec_t look_at, whole_at;  /* whole_at: since when too few are missing; 0: they are not */
	unsigned int comparisons;  /* streams opened to compare views */
};

/* place.c: a director's rank among all. */
struct place {
	uint64_t since, id;
};

/* links.c: the members that a director does not reach, or with reached all that it does; the lower
 * halves of their ids, in ascending order. */
struct link_list {
	uint32_t ids[LINKS_MAX];
	unsigned int count;
	bool reached;
};

/* links.c: which pairs of directors do not reach each other directly, as both say. */
struct links {
	usec_t look_at, told_at, changed_at;
	unsigned int turn; /* in membership.order */
	uint8_t *matrix;   /* of bits: a row has the members that one lists, of those that answer */
	size_t matrix_size;
	struct link_list list;       /* our own, as our statement has it */
	unsigned int others_len;     /* bytes of our statement without it */
	bool any;                    /* a member's statement lists any, or ours */
	unsigned int cut;            /* members that answer, and not directly */
	unsigned int direct;         /* members that do */
	uint64_t hash;               /* of the pairs */
	struct membership_cut pairs; /* made anew when the hash changes */
	struct incident incident;
};

/* members.c */
struct member_bucket {
	uint64_t id;
	struct member *member; /* NULL: free */
};

struct member {
	/* members.c */
	struct {
		uint64_t id;
		unsigned int index; /* in membership.members */
		unsigned int busy;  /* place in membership.busy, 1 based; 0: not there */
		bool ordered;       /* is in membership.order */
		char name[CERTIFICATE_NAME_MAX + 1];
		uint8_t *certificate; /* as it travels */
		uint16_t certificate_len;
		uint64_t serial, not_after;
		bool keyed;
		struct packet_key key;
	};

	/* member.c */
	struct {
		enum member_state state;
		usec_t since;
		usec_t heard;   /* its last proof of life */
		bool in_roster; /* it has answered once, in this or an earlier boot of ours */
		bool answered;  /* in this one */
		usec_t lease_end, hello_at, verify_at;
		uint8_t hellos;
		/* The state in which it was held when it left, and its epoch then; 0: it was not in
		 * the roster. */
		enum member_state left_state;
		uint64_t left_epoch;
	};

	/* record.c: its newest statement, verified. epoch 0: none. */
	struct {
		uint64_t epoch, incarnation;
		uint8_t signature[SIGNATURE_SIZE];
		uint8_t *statement;
		uint16_t statement_len;
		uint64_t boot, config;
		struct version_range versions;
		enum member_phase phase;
		uint32_t lease;        /* seconds */
		uint64_t since_stated; /* seconds of UTC */
		uint16_t takes;        /* bytes of a statement; 0: it has stated nothing yet */
		uint64_t twice_epoch, twice; /* of its last record of that kind */
		struct rate records;         /* of its records that are verified */
	};

	/* path.c */
	struct {
		unsigned int path_count;
		struct member_path paths[MEMBERSHIP_ADDRESSES_MAX];
	};

	/* datagram.c: its packets. proven: the epoch in which it has returned a nonce; 0: none.
	 * believes: the boot of its in which it had a nonce back from us. */
	struct {
		uint64_t proven, sequence, believes;
		struct replay_window window;
		struct rate datagrams; /* that are taken while it is throttled */
	};

	/* probe.c */
	struct {
		struct probe *probe; /* NULL: none runs */
		uint64_t helper;     /* through whom it answered last; 0: it never had to */
	};

	/* suspicion.c */
	struct {
		struct suspicion *suspicion; /* NULL: not suspected */
		struct recent accusations;
	};

	/* links.c. links: low halves of the ids that its statement lists; links_reached: those it
	 * reaches. */
	struct {
		uint32_t *links;
		uint16_t link_count;
		bool links_reached;
		/* The ways to it, where links are known to be down: as many hops, and where they
		 * begin. */
		unsigned int hops; /* 0: there is none */
		unsigned int way_count;
		uint64_t ways[HELPERS];
	};

	/* pushpull.c */
	struct {
		uint8_t mismatches;
		usec_t refused_at; /* its host refused a connection */
		bool sync_alive;
	};

	/* split.c: its last failure, for the comparison of views. */
	struct {
		uint64_t failed_epoch;
		usec_t failed_at, back_at;
		bool lost; /* it was alive before */
		unsigned int evidence;
	};

	/* tombstone.c. agreed: the last times that it showed the same sum as ours in this boot of
	 * its, and before that; mono, or 0. */
	struct {
		struct removal *removal; /* it was removed; else NULL */
		usec_t agreed, agreed_before;
	};

	/* notice.c */
	struct {
		struct incident failed, partial;
	};
};

struct membership {
	/* membership.c. now, chance: read and drawn everywhere. */
	struct {
		const struct identity *identity;
		uint64_t epoch, boot;
		struct membership_profile profile;
		struct chance chance;
		struct trace trace;
		struct now now;
		usec_t timeout;
		usec_t horizon; /* until when members of the roster are awaited after the start */
		bool running;
		struct endpoint addresses[MEMBERSHIP_ADDRESSES_MAX];
		unsigned int address_count;
		struct version_range versions;
		enum member_phase phase;
		uint32_t lease;
		uint64_t config;
		usec_t leave_at, done_at;
		bool done, witness, witness_ok;
		bool view_changed, roster_changed; /* membership_view_changed(), ... */
		uint64_t counters[REFUSAL_MAX];    /* refuse() */
	};

	/* record.c: what we state of ourselves, and others in our name. */
	struct {
		uint64_t incarnation;
		uint8_t statement[STATEMENT_MAX], signature[SIGNATURE_SIZE];
		uint16_t statement_len;
		bool refute;
		usec_t refute_at;
		uint64_t accusations; /* sequence of our last one */
		uint64_t others;      /* sequence of our last record of another kind */
		uint64_t epoch_seen,
			incarnation_seen; /* of the newest statement in our name, not ours */
		usec_t moved_at;          /* when that was first seen */
		usec_t twice_at, twice_said;
	};

	/* members.c: the others. */
	struct {
		struct member **members; /* by index; NULL: free */
		unsigned int member_count, member_cap;
		struct member_bucket *buckets; /* by id, open addressing */
		unsigned int bucket_count;
		struct member **busy;
		usec_t *busy_due; /* of each: when to look at it */
		unsigned int busy_count;
		uint32_t *order; /* round robin of probes: indexes */
		unsigned int order_count, order_at;
		uint64_t digest;
	};

	/* member.c: how many of them are in which state. */
	struct {
		unsigned int alive_count, roster_count, away_count, missing_count;
		usec_t view_at; /* when the view changed last */
	};

	/* probe.c. acked, by number of the path: the last direct ack of any member.
	 * own_udp_failures: bits of paths on which no member acks. */
	struct {
		struct probe *free_probes;
		usec_t heard;    /* anything genuine, from any member */
		bool silent;     /* and nothing since for so long that we may be alone */
		bool accepted;   /* a member has answered us in this boot */
		uint64_t helper; /* the one that passed an ack on to us last */
		usec_t acked[MEMBERSHIP_ADDRESSES_MAX];
		unsigned int own_udp_failures;
		usec_t probe_at, redial_at, hot_until;
		usec_t indirect_at; /* when one that is cut off from us is probed next */
		usec_t swept_at,
			sweep_at;        /* pings to all: the last, and when there may be others */
		unsigned int missing_at; /* round robin of redials: index */
		unsigned int verify_budget;
		uint64_t pings, pings_lost;
	};

	/* local_health.c */
	struct {
		unsigned int health;
		usec_t healthier_at;
	};

	/* broadcast.c */
	struct {
		struct item items[ITEMS_MAX];
		unsigned int item_count;
		uint64_t item_number;
		bool urgent;
		usec_t gossip_at, gossip_last;
	};

	/* datagram.c */
	struct {
		struct out out[OUT_MAX];
		unsigned int out_at, out_count;
		struct relay relays[RELAYS_MAX];
		usec_t relays_at; /* no deadline of theirs is earlier */
		uint64_t packets; /* sent: where a new member's sequence starts */
		uint64_t sender;  /* of the last datagram that was taken, or 0 */
		uint64_t datagrams_in, datagrams_out, bytes_in, bytes_out;
	};

	/* pushpull.c */
	struct {
		struct pushpull_stream streams[MEMBERSHIP_STREAMS_MAX];
		usec_t streams_at; /* no deadline of theirs is earlier */
		uint64_t dial_bits, output_bits, close_bits;
		usec_t sync_at, sync_interval, routine_at, tcp_at;
	};

	/* join_endpoints.c */
	struct {
		struct join_endpoint joins[MEMBERSHIP_JOIN_MAX];
		unsigned int join_count;
	};

	/* place.c */
	struct {
		uint64_t since; /* when we became a director, seconds of UTC */
		bool newcomer;  /* no member has sent us its roster yet */
		unsigned int directors_max;
		struct place last_place; /* those behind it have none */
	};

	/* links.c */
	struct links links;

	/* split.c */
	struct split split;

	/* notice.c: incidents, and the queue of notices. */
	struct {
		struct incident duplicate_identity, own_udp, quorum;
		uint64_t incidents;
		struct membership_notice notices[NOTICES_MAX];
		struct membership_notice notice_spare; /* where one goes that finds no place */
		unsigned int notice_at, notice_count;
	};
};

#endif
