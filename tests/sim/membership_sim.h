/* Any number of membership cores in one process and in virtual time. The network carries the real
 * sealed datagrams: it delays, loses, repeats, reorders, corrupts and cuts them, one way too;
 * streams are in order and authenticated, as a session makes them. Processes stall, crash, and
 * start again with their state, without it, or with an old one; clocks jump. Everything follows
 * from the seed. */
#ifndef TESTS_SIM_MEMBERSHIP_SIM_H
#define TESTS_SIM_MEMBERSHIP_SIM_H

#include <stdio.h>

#include "membership/membership.h"

struct sim;

struct sim_options {
	uint64_t seed;
	unsigned int count;                /* identities; none is started */
	unsigned int addresses;            /* of each: 1 or 2, on networks of their own; 0: 1 */
	struct membership_profile profile; /* interval 0: the default one */
	bool quick_check; /* invariants of what was stepped only where they cost little */
	bool witness;
	uint64_t newer; /* bit i: i speaks versions 1 and 2, and not only 1 */
};

struct sim *sim_new(const struct sim_options *options);
void sim_free(struct sim *sim);

/* A cluster of the first `up` of the identities, which join through the first, that is whole and
 * has been for `calm`; what was noticed until then is forgotten. The environment's TRACE turns
 * tracing on, its SEED runs it with another seed. */
struct sim *sim_new_whole(struct sim_options options, unsigned int up, usec_t calm);

uint64_t sim_random(struct sim *sim, uint64_t below);
usec_t sim_now(const struct sim *sim);
/* A hash over all events: equal for equal runs. */
uint64_t sim_hash(const struct sim *sim);
/* To standard error: a line for each notice. */
void sim_trace(struct sim *sim, bool on);

enum sim_start { SIM_KEEP, SIM_LOST, SIM_ROLLBACK /* the epoch and roster of the boot before */ };

/* Joins through these members; others are known from its roster. */
void sim_start(struct sim *sim, unsigned int n, enum sim_start how, uint64_t join_bits);
/* host: its host does not even refuse connections. */
void sim_crash(struct sim *sim, unsigned int n, bool host);
void sim_stall(struct sim *sim, unsigned int n, usec_t time);
bool sim_up(const struct sim *sim, unsigned int n);
void sim_clock(struct sim *sim, unsigned int n, int64_t shift);
/* Another process with the identity of n, at another address. Its number is count + n. */
void sim_clone(struct sim *sim, unsigned int n, bool same_epoch);

/* Another certificate, for its next start: the same keys, the name of name_of; its first one has
 * its number + 1 for a serial. */
void sim_certify(struct sim *sim, unsigned int n, unsigned int name_of, uint64_t serial);
/* n starts in the state directory of another, which has none then. */
void sim_inherit(struct sim *sim, unsigned int n, unsigned int from);

/* Each per mille of the packets. */
void sim_loss(struct sim *sim, unsigned int loss, unsigned int repeat, unsigned int corrupt);
enum sim_way { SIM_UDP = 1, SIM_TCP = 2, SIM_BOTH = 3 };
/* Cuts or mends the way from a to b, on a network (0, 1; 2: both). */
void sim_cut(struct sim *sim, unsigned int a, unsigned int b, enum sim_way way, unsigned int net,
	     bool cut);
/* Members with their bit set against the others, both ways. */
void sim_partition(struct sim *sim, uint64_t bits, bool cut);
void sim_heal(struct sim *sim);

void sim_run(struct sim *sim, usec_t time);
/* Until the condition holds, at most for time; false: it never did. Asked after every event. */
bool sim_until(struct sim *sim, bool (*condition)(struct sim *sim, void *arg), void *arg,
	       usec_t time);

struct membership *sim_core(struct sim *sim, unsigned int n);
uint64_t sim_id(const struct sim *sim, unsigned int n);
const struct identity *sim_identity(const struct sim *sim, unsigned int n);
struct endpoint sim_endpoint(unsigned int n, unsigned int net);
/* Any event but a tick, now. */
void sim_event(struct sim *sim, unsigned int n, struct membership_event event);
/* A datagram from anywhere. */
void sim_inject(struct sim *sim, unsigned int to, const uint8_t *data, size_t len);
/* Sees every datagram that is sent; NULL: none does. */
void sim_tap(struct sim *sim,
	     void (*tap)(struct sim *sim, unsigned int from, unsigned int to, const uint8_t *data,
			 size_t len, void *arg),
	     void *arg);

struct sim_notice {
	unsigned int at; /* who said it */
	struct membership_notice notice;
};

/* All so far, in order. */
size_t sim_notices(const struct sim *sim, const struct sim_notice **ret_notices);
/* How many of this type that n said (-1: anyone) about member (-1: anyone), since a time. */
unsigned int sim_count(const struct sim *sim, int n, enum membership_notice_type type, int member,
		       usec_t since);
void sim_forget_notices(struct sim *sim);

/* All that are up and not stalled hold exactly each other for alive. */
bool sim_whole(struct sim *sim, void *unused);
enum member_state sim_state(struct sim *sim, unsigned int at, unsigned int of);
uint64_t sim_counter(struct sim *sim, unsigned int n, const char *name);

struct sim_status {
	uint64_t steps, datagrams, bytes; /* with 28 bytes of IP and UDP each */
	uint64_t streams, stream_bytes;
	unsigned int false_failures; /* of a member that ran and was reachable for 10 s */
};

void sim_status(const struct sim *sim, struct sim_status *ret_status);
/* NULL, or what was broken, when, and the seed. */
const char *sim_broken(const struct sim *sim);

#endif
