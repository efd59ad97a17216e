/* Shared by the files of membership/ only. Each function is in the file of its prefix.
 *
 * A member is *busy* while something of it is due at a time: a probe, a suspicion, a lease. Only
 * busy members are looked at, when that time comes, or after they changed. */
#ifndef MEMBERSHIP_MEMBERSHIP_PRIVATE_H
#define MEMBERSHIP_MEMBERSHIP_PRIVATE_H

#include "membership/chance.h"
#include "membership/membership.h"
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

/* Opened and closed once each, and never oftener than a minute (notice.c). */
struct incident {
	uint64_t id;
	usec_t opened, closed, changed; /* mono; changed: when wanted last did */
	uint16_t flaps;
	bool open, wanted;
};

struct path {
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

struct accuser {
	uint64_t id, epoch, sequence;
	uint8_t signature[SIGNATURE_SIZE];
};

struct suspicion {
	usec_t started, deadline;
	uint64_t epoch, incarnation; /* of the statement that is quoted */
	unsigned int expected;       /* confirmations */
	unsigned int count;
	bool own; /* we are one of them */
	struct accuser accusers[ACCUSERS_MAX];
};

/* The accusations of one sender that were taken. */
struct recent {
	uint64_t epoch, highest, taken;
};

#define REMOVAL_MAX 48   /* bytes of its body */
#define REMOVAL_SIZE 160 /* of the whole record, at most */

/* A member's removal from the roster, signed in our own name, as we pass it on. */
struct removal {
	uint64_t epoch, sequence;
	uint8_t len, body[REMOVAL_MAX], signature[SIGNATURE_SIZE];
};

struct member {
	uint64_t id;
	unsigned int index; /* in membership.members */
	unsigned int busy;  /* place in membership.busy, 1 based; 0: not there */
	enum member_state state;
	usec_t since;
	char name[CERTIFICATE_NAME_MAX + 1];
	bool in_roster; /* it has answered once, in this or an earlier boot of ours */
	bool answered;  /* in this one */
	bool ordered;   /* is in membership.order */
	/* The state in which it was held when it left, and its epoch then; 0: it was not in the
	 * roster. */
	enum member_state left_state;
	uint64_t left_epoch;

	/* Certificate, as it travels. */
	uint8_t *certificate;
	uint16_t certificate_len;
	uint64_t serial, not_after;
	bool keyed;
	struct packet_key key;

	/* Its newest statement, verified. epoch 0: none. */
	uint64_t epoch, incarnation;
	uint8_t signature[SIGNATURE_SIZE];
	uint8_t *statement;
	uint16_t statement_len;
	uint64_t boot, config, position;
	struct version_range versions;
	enum member_phase phase;
	uint32_t lease;        /* seconds */
	uint64_t since_stated; /* seconds of UTC */

	/* Packets. proven: the epoch in which it has returned a nonce; 0: none. */
	uint64_t proven, sequence;
	uint64_t twice_epoch, twice; /* of its last record of that kind */
	struct replay_window window;
	struct recent accusations;
	struct rate records;   /* of its records that are verified */
	struct rate datagrams; /* of its datagrams that are taken while it is throttled */

	uint64_t helper; /* through whom it answered last; 0: it never had to */
	/* Low halves of the ids that its statement lists; links_reached: those it reaches. */
	uint32_t *links;
	uint16_t link_count;
	uint16_t takes; /* bytes of a statement; 0: it has stated nothing yet */
	bool links_reached;
	/* The ways to it, where links are known to be down: as many hops, and where they begin. */
	unsigned int hops; /* 0: there is none */
	unsigned int way_count;
	uint64_t ways[HELPERS];
	usec_t heard;      /* its last proof of life */
	uint64_t believes; /* the boot of its in which it had a nonce back from us */
	usec_t lease_end, hello_at, verify_at, refused_at;
	uint8_t hellos;
	bool dial_wanted; /* by the hellos: it may not know us */
	uint8_t mismatches;
	struct probe *probe;
	struct suspicion *suspicion;

	/* Its last failure, for the comparison of views. */
	uint64_t failed_epoch, failed_incarnation;
	usec_t failed_at, back_at;
	bool lost; /* it was alive before */
	unsigned int evidence;
	bool sync_alive;

	struct removal *removal; /* it was removed; else NULL */
	/* The last times that it showed the same sum as ours in this boot of its, and before that;
	 * mono, or 0. */
	usec_t agreed, agreed_before;

	struct incident failed, partial;
	unsigned int path_count;
	struct path paths[MEMBERSHIP_ADDRESSES_MAX];
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

/* A datagram that is to be made when it is pulled. */
struct out {
	enum out_kind kind;
	uint64_t member, via;
	uint64_t nonce;
	struct endpoint remote;
	uint16_t local, slot;
	uint8_t version; /* an ack: its ping's; else 0 */
};

/* Something that we pass on for a member, and wait whether it is answered: from its origin to its
 * end, both of which sealed it, from the director that gave it to us to the next one. */
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

/* Gossip: a reference to the record to send, or for rare kinds the record itself. */
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

struct stream {
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

struct join {
	struct endpoint endpoint;
	usec_t at; /* dial then */
	unsigned int tries;
	bool answered; /* a director did, since our start */
};

/* Members that were lost together; split.c. */
struct split {
	struct incident incident;
	bool confirmed;
	usec_t lost_at, lost_last; /* the first and the last of them; 0: none */
	usec_t look_at, whole_at;  /* whole_at: since when too few are missing; 0: they are not */
	unsigned int comparisons;  /* streams opened to compare views */
};

/* A director's rank among all: place.c. */
struct place {
	uint64_t since, id;
};

/* The members that a director does not reach, or with reached all that it does; the lower halves of
 * their ids, in ascending order. */
struct link_list {
	uint32_t ids[LINKS_MAX];
	unsigned int count;
	bool reached;
};

/* Which pairs of directors do not reach each other directly, as both say; links.c. */
struct links {
	usec_t look_at, told_at, changed_at;
	unsigned int turn; /* in membership.order */
	uint8_t *matrix;   /* of bits: a row has the members that one lists, of those that answer */
	size_t matrix_size;
	usec_t swept_at, sweep_at;   /* pings to all: the last, and when there may be others */
	struct link_list list;       /* our own, as our statement has it */
	unsigned int others_len;     /* bytes of our statement without it */
	bool any;                    /* a member's statement lists any, or ours */
	unsigned int cut;            /* members that answer, and not directly */
	unsigned int direct;         /* members that do */
	uint64_t hash;               /* of the pairs */
	struct membership_cut pairs; /* made anew when the hash changes */
	struct incident incident;
};

struct bucket {
	uint64_t id;
	struct member *member; /* NULL: free */
};

struct membership {
	const struct identity *identity;
	uint64_t epoch;
	struct membership_profile profile;
	struct chance chance;
	struct now now;
	usec_t timeout, started;
	usec_t horizon; /* until when members of the roster are awaited after the start */

	/* Ourselves. */
	uint64_t incarnation, boot;
	enum member_phase phase;
	struct endpoint addresses[MEMBERSHIP_ADDRESSES_MAX];
	unsigned int address_count;
	struct version_range versions;
	uint32_t lease;
	uint64_t config, position;
	uint64_t since; /* when we became a director, seconds of UTC */
	bool newcomer;  /* no member has sent us its roster yet */
	unsigned int directors_max;
	struct place last_place; /* those behind it have none */
	uint8_t statement[STATEMENT_MAX], signature[SIGNATURE_SIZE];
	uint16_t statement_len;
	bool refute;
	usec_t refute_at;
	uint64_t accusation;                   /* sequence of our last one */
	uint64_t others;                       /* sequence of our last record of another kind */
	bool accepted;                         /* a member has answered us in this boot */
	uint64_t epoch_seen, incarnation_seen; /* of the newest statement in our name, not ours */
	usec_t moved_at;                       /* when that was first seen */
	struct incident twice;
	usec_t twice_at, twice_said;
	usec_t leave_at, done_at;
	bool done, running;

	/* The others. */
	struct member **members; /* by index; NULL: free */
	unsigned int member_count, member_cap;
	struct bucket *buckets; /* by id, open addressing */
	unsigned int bucket_count;
	struct member **busy;
	usec_t *busy_due; /* of each: when to look at it */
	unsigned int busy_count;
	uint32_t *order; /* round robin of probes: indexes */
	unsigned int order_count, order_at;
	unsigned int missing_at; /* round robin of redials: index */
	unsigned int alive_count, roster_count, away_count, missing_count;
	uint64_t digest;
	uint64_t packets; /* sent: where a new member's sequence starts */
	uint64_t sender;  /* of the datagram that is being taken, or 0 */

	struct probe *free_probes;
	usec_t heard;    /* anything genuine, from any member */
	bool silent;     /* and nothing since for so long that we may be alone */
	uint64_t helper; /* the one that passed an ack on to us last */
	unsigned int health;
	usec_t healthier_at;
	usec_t indirect_at; /* when one that is cut off from us is probed next */
	usec_t probe_at, redial_at, hot_until, gossip_at, gossip_last, sync_at, purge_at;
	usec_t sync_interval, routine_at, tcp_at;
	unsigned int verify_budget;

	struct item items[ITEMS_MAX];
	unsigned int item_count;
	uint64_t item_number;
	bool urgent;

	struct out out[OUT_MAX];
	unsigned int out_at, out_count;
	struct relay relays[RELAYS_MAX];
	struct stream streams[MEMBERSHIP_STREAMS_MAX];
	usec_t relays_at, streams_at; /* no deadline of theirs is earlier */
	uint64_t dial_bits, output_bits, close_bits;
	struct join joins[MEMBERSHIP_JOIN_MAX];
	unsigned int join_count;

	/* By number of the path: the last direct ack of any member; own_udp_failures: bits of paths
	 * on which no member acks. */
	usec_t acked[MEMBERSHIP_ADDRESSES_MAX];
	unsigned int own_udp_failures;
	struct incident partial;

	struct links links;
	bool witness, witness_ok;
	struct incident quorum;
	struct split split;
	uint64_t incidents;
	usec_t view_at; /* when the view changed last */
	bool view_changed, roster_changed;

	struct membership_notice notices[NOTICES_MAX];
	struct membership_notice notice_spare; /* where one goes that finds no place */
	unsigned int notice_at, notice_count;
	uint64_t counters[REFUSAL_MAX];
	struct membership_status traffic; /* only the counters */
};

static inline void refuse(struct membership *m, enum refusal reason)
{
	m->counters[reason]++;
}

/* member.c */
struct member *member_find(const struct membership *m, uint64_t id);
/* The certificate's, made when missing. NULL: full, or refused; counted. verified: no need to. */
struct member *member_get(struct membership *m, const uint8_t *bytes, size_t len, bool verified);
void member_remove(struct membership *m, struct member *member);
void member_state_set(struct membership *m, struct member *member, enum member_state state);
void member_roster_set(struct membership *m, struct member *member, bool in_roster);
bool member_key(struct membership *m, struct member *member);
/* The member has proved in this moment that it runs, in this epoch; its packets are believed in the
 * epoch `proven`. */
void member_alive(struct membership *m, struct member *member, uint64_t epoch);
/* The member has failed. */
void member_miss(struct membership *m, struct member *member);
/* The member left by its own statement, or was removed. */
void member_left(struct membership *m, struct member *member);
/* The member is looked at in this step: to be called whenever something of it becomes due
 * sooner. */
void member_busy(struct membership *m, struct member *member);
usec_t member_timers(struct membership *m, struct member *member);
uint64_t member_digest(const struct member *member);
bool member_answers(const struct member *member); /* alive or suspect */
struct member *member_random(struct membership *m);
/* The id's low half. */
struct member *member_find_half(const struct membership *m, uint32_t half);
unsigned int member_log2(unsigned int n); /* rounded up */

/* record.c */
void record_own_state(struct membership *m); /* raises the incarnation and signs */
/* from: the member that handed it over, by datagram or on a stream. False: no peer that verifies
 * what it relays would have relayed it. */
bool record_take(struct membership *m, struct member *from, bool stream,
		 const Lvsmesh__Pb__Record *record);
/* Checks a record that another signed, of a kind without a rule of its own. 0; or counted:
 * -EBADMSG, -EAGAIN: it has signed too many lately. */
int record_check(struct membership *m, struct member *origin, const Lvsmesh__Pb__Record *record);
void record_of_member(const struct member *member, bool certificate, Lvsmesh__Pb__Record *record);
void record_of_self(const struct membership *m, bool certificate, Lvsmesh__Pb__Record *record);
size_t record_size(const Lvsmesh__Pb__Record *record);
static inline ProtobufCBinaryData record_bytes(const void *data, size_t len)
{
	/* protobuf-c has no const; packing only reads. */
	return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
}

/* tombstone.c: members that are gone: they left, or were removed. */
/* Takes a member off the roster in our own name, and gossips that. */
void tombstone_remove(struct membership *m, struct member *member);
/* A removal by another director, or by us in an earlier boot. */
void tombstone_take(struct membership *m, const Lvsmesh__Pb__Record *record);
void tombstone_load(struct membership *m, const Lvsmesh__Pb__Record *record);
/* The Removal of a member that has one: borrowed until something changes. */
void tombstone_record(const struct membership *m, const struct member *member,
		      Lvsmesh__Pb__Record *record);
/* The member answers, or does so no longer: of two identities of one name the one issued later is
 * the member, unless both answer. */
void tombstone_name(struct membership *m, struct member *member);
/* The member has shown the same sum as ours: its roster is ours. */
void tombstone_agreed(struct membership *m, struct member *member);
bool tombstone_removed(const struct member *member);
/* False: the tombstone has ended, and the member is freed. */
bool tombstone_timer(struct membership *m, struct member *member, usec_t *next);

/* datagram.c */
bool datagram_take(struct membership *m, const struct membership_event *event);
/* False: the datagram is dropped, and counted. */
bool datagram_push(struct membership *m, struct out out);
void datagram_timers(struct membership *m, usec_t *next);

/* probe.c */
void probe_timers(struct membership *m, usec_t *next);
void probe_start(struct membership *m, struct member *member, bool deep);
void probe_hello(struct membership *m, struct member *member);
/* Sends the ping of this moment's probe_hello() through a helper that may reach it. */
void probe_hello_indirect(struct membership *m, struct member *member);
void probe_end(struct membership *m, struct member *member);
void probe_timer(struct membership *m, struct member *member, usec_t *next);
/* via: the helper that passed the ack on, or NULL. False: no probe waits for this nonce. */
bool probe_ack(struct membership *m, struct member *member, uint64_t nonce, uint64_t epoch,
	       const struct member *via);
/* The member is no longer suspected: its probe ends some time. */
void probe_unhurried(struct membership *m, struct member *member);
void probe_nack(struct membership *m, struct member *helper, uint64_t subject);
/* May a member's silence be that of links, and not its own? Yes if its links are known to be down,
 * or nearly no member acks our pings. When a second one does not ack, all are pinged at once. */
bool probe_doubts_links(const struct membership *m, const struct member *member);
/* May a way to the member turn up while the lists of links spread? */
bool probe_waits(const struct membership *m, const struct member *member);
/* The member lives: its probe has yet to find out which ways lead to it. */
void probe_answered(struct membership *m, struct member *member);
/* Writes into the notice what was tried before we suspected the member. */
void probe_evidence(const struct member *member, struct membership_notice *notice);
usec_t probe_scaled(const struct membership *m, usec_t time);

/* suspicion.c */
void suspicion_own(struct membership *m, struct member *member);
void suspicion_take(struct membership *m, const Lvsmesh__Pb__Record *record);
void suspicion_clear(struct membership *m, struct member *member);
void suspicion_timer(struct membership *m, struct member *member, usec_t *next);
/* The suspicion lasts as long as probe_scaled() gives now. */
void suspicion_unscaled(struct membership *m, struct member *member);

/* helper.c */
/* Did it answer the last ping on some address itself? */
bool helper_direct(const struct member *member);
/* Is it known that no address of the member acks our pings? Others may reach it. */
bool helper_indirect(const struct member *member);
/* Those on the way; that reached it before; then those heard from last, which are the likeliest to
 * answer. */
void helper_choose(struct membership *m, const struct member *subject,
		   struct member *helpers[HELPERS], unsigned int *ret_count);

/* links.c: the links between members, without helpers. */
/* None of the member's addresses acks our pings, or takes a stream. */
bool links_down(const struct member *member);
/* The link is known to be down, not only likely: the member proves by other ways that it lives. */
bool links_cut(const struct member *member);
/* The member states that it doesn't reach the other. */
bool links_denied(const struct member *member, uint64_t id);
/* Both ends state so. */
bool links_mutual(const struct membership *m, const struct member *member);
/* A member at random; while a cut is known only those that answer and whose links are not down, in
 * turn. NULL: none. */
struct member *links_pick(struct membership *m);
/* Our own list, for a statement. Returns its length in bytes. */
size_t links_store(const struct membership *m, uint8_t bytes[LINKS_MAX * LINK_SIZE]);
/* A member's list, from its newest statement. */
void links_load(struct membership *m, struct member *member, const uint32_t *links,
		unsigned int count, bool reached);
/* The next hop for a packet to a member whose link is down: a director that neither sent the packet
 * to us nor began it. NULL: there is no way. */
struct member *links_way(const struct membership *m, const struct member *member, uint64_t previous,
			 uint64_t origin);
/* True while there is a cut, or if the known cut changed or ended within this time. */
bool links_cut_lately(const struct membership *m, usec_t time);
void links_timers(struct membership *m, usec_t *next);

/* local_health.c */
void local_health_add(struct membership *m, int points);
void local_health_late(struct membership *m, usec_t late);
void local_health_timers(struct membership *m, usec_t *next);

/* broadcast.c */
void broadcast_add(struct membership *m, enum item_kind kind, uint64_t member, uint64_t accuser);
struct item *broadcast_record(struct membership *m, enum item_kind kind, uint64_t origin,
			      uint64_t epoch, uint64_t sequence, const uint8_t *body, size_t len,
			      const uint8_t signature[SIGNATURE_SIZE]);
void broadcast_item_record(const struct item *item, Lvsmesh__Pb__Record *record);
#define BROADCAST_RECORDS 12
struct broadcast_records {
	Lvsmesh__Pb__Record records[BROADCAST_RECORDS];
	uint8_t scratch[BROADCAST_RECORDS][48]; /* bodies that are made for this */
};
/* The next records to gossip, as many as fit. Returns how many; borrowed until something
 * changes. */
unsigned int broadcast_fill(struct membership *m, size_t room, struct broadcast_records *ret);
void broadcast_timers(struct membership *m, usec_t *next);

/* join_endpoints.c: the result of dialling the endpoint with that index: a director answered there,
 * or none did, or it was ourselves. */
void join_endpoints_set(struct membership *m, const struct membership_event *event);
void join_endpoints_answered(struct membership *m, int index);
void join_endpoints_failed(struct membership *m, int index, bool self);
void join_endpoints_timers(struct membership *m, usec_t *next);

/* pushpull.c */
bool pushpull_dial(struct membership *m, struct member *member, const struct endpoint *remote,
		   int join);
/* The member's path to that address, NULL: none. */
struct path *pushpull_path_find(struct member *member, const struct endpoint *endpoint);
void pushpull_opened(struct membership *m, const struct membership_event *event);
void pushpull_frame(struct membership *m, const struct membership_event *event);
void pushpull_closed(struct membership *m, const struct membership_event *event);
void pushpull_timers(struct membership *m, usec_t *next);
/* A dial failed, and the member answers a ping now: it is TCP that does not work. */
void pushpull_doubt(struct membership *m, struct member *member);
void pushpull_mismatch(struct membership *m, struct member *member, bool differs);

/* place.c */
/* The roster has changed, or its members' statements. */
void place_update(struct membership *m);
/* member: NULL: ourselves. */
bool place_beyond(const struct membership *m, const struct member *member);
/* A peer has sent us all that it knows. */
void place_settle(struct membership *m);

/* roster.c */
int roster_load(struct membership *m, const uint8_t *data, size_t len);

/* quorum.c, split.c */
enum membership_quorum quorum_of(const struct membership *m);
void quorum_timers(struct membership *m, usec_t *next);
void split_lost(struct membership *m, struct member *member);
void split_evidence(struct membership *m, struct member *member, unsigned int evidence);
/* It answers again. */
void split_back(struct membership *m, struct member *member, bool restarted);
void split_view_take(struct membership *m, struct member *member,
		     const Lvsmesh__Pb__Record *record);
/* Our view record. body: 24 * MEMBERSHIP_MEMBERS_MAX bytes. */
void split_view_make(struct membership *m, uint8_t *body, Lvsmesh__Pb__Record *record,
		     uint8_t signature[SIGNATURE_SIZE]);
void split_timers(struct membership *m, usec_t *next);

/* notice.c */
struct membership_notice *notice_add(struct membership *m, enum membership_notice_type type,
				     const struct member *member);
/* Updates an incident: wanted says whether it is true now. It opens and closes with notices of
 * these types, as damping lets it; settle: how long it must be true before. Returns the notice, for
 * more to be written into it, or NULL; *next: when to ask again. */
struct membership_notice *notice_incident_update(struct membership *m, struct incident *incident,
						 bool wanted, usec_t settle,
						 enum membership_notice_type opening,
						 enum membership_notice_type closing,
						 const struct member *member, usec_t *next);

static inline void sooner(usec_t *next, usec_t time)
{
	if (time < *next)
		*next = time;
}

#endif
