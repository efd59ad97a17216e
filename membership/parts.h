/* Functions that the files of membership/ call of each other, by file; their state is in state.h.
 */
#ifndef MEMBERSHIP_PARTS_H
#define MEMBERSHIP_PARTS_H

#include "membership/state.h"

static inline void refuse(struct membership *m, enum refusal reason)
{
	m->counters[reason]++;
}

/* members.c: the set of all. */
void members_fini(struct membership *m);
struct member *members_find(const struct membership *m, uint64_t id); /* NULL: none */
/* By the id's low half. */
struct member *members_find_half(const struct membership *m, uint32_t half);
/* The certificate's, made when missing. NULL: full, or refused; counted. verified: no need to. */
struct member *members_get(struct membership *m, const uint8_t *bytes, size_t len, bool verified);
void members_remove(struct membership *m, struct member *member);
/* Makes the key for its packets, once. False: that is not possible. */
bool members_key(struct membership *m, struct member *member);
/* Around a change of what the digest sums. */
void members_digest_out(struct membership *m, const struct member *member);
void members_digest_in(struct membership *m, const struct member *member);
/* The member is looked at in this step: to be called whenever something of it becomes due
 * sooner. */
void members_busy(struct membership *m, struct member *member);
void members_idle(struct membership *m, struct member *member);
void members_timers(struct membership *m, usec_t *next);
/* It answers: it gets a place among those that are still to be probed in this round. */
void members_round_add(struct membership *m, struct member *member);
/* The next in the round of probes; each round has an order of its own. NULL: one that does not
 * answer was taken out of the round. There must be one in it. */
struct member *members_next(struct membership *m);
struct member *members_random(struct membership *m); /* that answers; NULL: none does */

/* member.c: one of them. */
void member_init(const struct membership *m, struct member *member);
void member_state_set(struct membership *m, struct member *member, enum member_state state);
void member_roster_set(struct membership *m, struct member *member, bool in_roster);
/* The member has proved in this moment that it runs, in this epoch; its packets are believed in the
 * epoch `proven`. */
void member_alive(struct membership *m, struct member *member, uint64_t epoch);
/* The member has failed. */
void member_miss(struct membership *m, struct member *member);
/* The member left by its own statement, or was removed. */
void member_left(struct membership *m, struct member *member);
void member_unleave(struct membership *m, struct member *member);
/* Its lease begins. */
void member_lease(struct membership *m, struct member *member);
/* The first hello of others, then. */
void member_hello_at(struct member *member, usec_t time);
/* It has to prove then that it is back. */
void member_verify_at(struct member *member, usec_t time);
void member_late(struct membership *m, usec_t late);
/* Does what is due of it. Returns when it is to be looked at again. */
usec_t member_timers(struct membership *m, struct member *member);
uint64_t member_digest(const struct member *member);
bool member_answers(const struct member *member); /* alive or suspect */
unsigned int member_log2(unsigned int n);         /* rounded up */

/* path.c: the ways to a member. */
struct member_path *path_find(struct member *member,
			      const struct endpoint *endpoint); /* NULL: none */
/* Keeps the state of addresses that it had before. */
void path_set(struct member *member, const struct endpoint *endpoints, unsigned int count);
/* It is back: its misses so far say nothing. */
void path_forget_misses(struct member *member);
/* A ping, or the first of several in a row that were missed, was sent then. */
void path_udp_missed(struct member_path *path, usec_t pinged);
void path_udp_acked(struct member_path *path, usec_t now, usec_t rtt); /* rtt 0: unknown */
void path_udp_set(struct member_path *path, bool down);
void path_tcp_reached(struct member_path *path, usec_t now);
void path_tcp_retry(struct member_path *path);
void path_tcp_down(struct member_path *path);
/* A dial failed: an ack will show whether the member runs at all. */
void path_tcp_doubt(struct member_path *path);
/* It runs, so the failed dial counts. True: TCP is down from now on. */
bool path_tcp_missed(struct member_path *path);

/* record.c */
void record_own_state(struct membership *m); /* raises the incarnation and signs */
/* We were accused: our next statement, which is due soon, refutes that. */
void record_refute(struct membership *m, uint64_t accuser);
/* The sequence of the next record of this kind that we sign, but for statements. */
uint64_t record_number(struct membership *m, enum record_kind kind);
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
/* It is back. */
void tombstone_forget(struct member *member);
/* It runs in another boot, and has yet to show its sum. */
void tombstone_restarted(struct member *member);
bool tombstone_removed(const struct member *member);
/* False: the tombstone has ended, and the member is freed. */
bool tombstone_timer(struct membership *m, struct member *member, usec_t *next);

/* datagram.c */
bool datagram_take(struct membership *m, const struct membership_event *event);
/* False: the datagram is dropped, and counted. */
bool datagram_push(struct membership *m, struct out out);
void datagram_member_init(const struct membership *m, struct member *member);
void datagram_late(struct membership *m, usec_t late);
void datagram_timers(struct membership *m, usec_t *next);

/* probe.c */
void probe_init(struct membership *m);
void probe_fini(struct membership *m);
void probe_late(struct membership *m, usec_t late);
/* Something genuine came, from any member. */
void probe_heard(struct membership *m);
/* Members that are missing are tried again at once, and often for a while. */
void probe_redial_soon(struct membership *m);
/* Takes one of the probes that accusations by others may start in this interval. False: there is
 * none left. */
bool probe_may_verify(struct membership *m);
/* After the members, which find out. */
void probe_own_udp_timer(struct membership *m, usec_t *next);
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
void suspicion_late(struct membership *m, usec_t late);
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
void links_fini(struct membership *m);
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
/* Our statement has so many bytes without its list. */
void links_room(struct membership *m, size_t others);
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
void broadcast_record(struct membership *m, enum item_kind kind, uint64_t origin, uint64_t epoch,
		      uint64_t sequence, const uint8_t *body, size_t len,
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
void pushpull_init(struct membership *m);
void pushpull_fini(struct membership *m);
void pushpull_late(struct membership *m, usec_t late);
/* The streams to close, once. */
uint64_t pushpull_close_bits(struct membership *m);
/* The join endpoints have other indexes now. */
void pushpull_forget_joins(struct membership *m);
void pushpull_sync(struct membership *m, const struct membership_event *event);
bool pushpull_dial(struct membership *m, struct member *member, const struct endpoint *remote,
		   int join);
void pushpull_opened(struct membership *m, const struct membership_event *event);
void pushpull_frame(struct membership *m, const struct membership_event *event);
void pushpull_closed(struct membership *m, const struct membership_event *event);
void pushpull_timers(struct membership *m, usec_t *next);
/* A dial failed, and the member answers a ping now: it is TCP that does not work. */
void pushpull_doubt(struct membership *m, struct member *member);
void pushpull_mismatch(struct membership *m, struct member *member, bool differs);

/* place.c */
/* since: of the roster, 0: there was none. */
void place_load(struct membership *m, uint64_t since);
void place_init(struct membership *m, unsigned int directors_max); /* after place_load() */
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
/* The member is about to be held failed. */
void split_failed(struct membership *m, struct member *member);
/* It has failed, and had answered. */
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

/* The driver will be told so after this step. */
static inline void change_view(struct membership *m)
{
	m->view_changed = true;
}

static inline void change_roster(struct membership *m)
{
	m->roster_changed = true;
}

/* A deadline, by the time in which we did not run. */
static inline void postpone(usec_t *deadline, usec_t late)
{
	if (*deadline != 0 && *deadline != USEC_NEVER)
		*deadline += late;
}

static inline void sooner(usec_t *next, usec_t time)
{
	if (time < *next)
		*next = time;
}

#endif
