/* Shared by the files of the simulator of membership: hosts and time (membership_sim.c), the
 * network (membership_sim_net.c), invariants and notices (membership_sim_judge.c). */
#ifndef TESTS_SIM_MEMBERSHIP_SIM_PRIVATE_H
#define TESTS_SIM_MEMBERSHIP_SIM_PRIVATE_H

#include <assert.h>
#include <stdlib.h>

#include "tests/sim/membership_sim.h"

#define NETS 2
#define START (1000 * USEC_PER_SEC) /* mono at the start */
#define PORT 7946

struct host {
	struct identity identity;
	struct membership *core;
	uint64_t epoch, old_epoch, highest_epoch;
	bool host_down, rolled_back; /* rolled_back: has used an epoch twice */
	bool lost;                   /* started without its roster */
	int64_t clock;
	usec_t stalled_until, quiet_since; /* quiet: up and running without a stall since */
	unsigned int backlog;
	uint64_t generation; /* of its timer */
	usec_t timer;
	uint8_t *roster, *old_roster;
	size_t roster_len, old_roster_len;
	struct link *links[MEMBERSHIP_STREAMS_MAX];
	struct endpoint join[MEMBERSHIP_JOIN_MAX];
	unsigned int join_count, clone_of; /* clone_of: number + 1 of whose identity it has */
};

/* One stream. a dialled. */
struct link {
	unsigned int a, b, na, nb, net;
	bool open, closed_a, closed_b; /* closed: that end is gone */
	usec_t last_a, last_b;         /* when the last frame towards that end arrives */
	struct link *next;             /* of all that ever were */
};

enum type { TIMER, DATAGRAM, OPENED, REFUSED, FRAME, CLOSED };

struct event {
	usec_t time;
	uint64_t order;
	enum type type;
	unsigned int to, from, local;
	uint64_t generation;
	struct link *link;
	uint8_t kind;
	uint8_t *data;
	size_t len;
};

struct sim {
	uint64_t seed, drawn, order, hash;
	usec_t time;
	struct sim_options options;
	unsigned int count;
	struct host *hosts; /* 2 * count: clones behind */
	uint8_t *cuts;      /* [from][to]: way bits, two for each net */
	usec_t *mended;     /* [from][to]: when a cut last changed */
	unsigned int loss, repeat, corrupt;
	struct event *heap;
	size_t heap_len, heap_cap;
	struct sim_notice *notices;
	size_t notice_count, notice_cap;
	struct sim_status status;
	void (*tap)(struct sim *, unsigned int, unsigned int, const uint8_t *, size_t, void *);
	void *tap_arg;
	struct link *links;
	bool trace;
	char broken[256];
};

/* Net. The event's data is the sim's. */
void sim_push(struct sim *sim, struct event event);
struct event sim_pop(struct sim *sim);
void sim_transmit(struct sim *sim, unsigned int from, const struct membership_target *target,
		  const uint8_t *data, size_t len);
void sim_dial(struct sim *sim, unsigned int from, const struct membership_dialling *dialling);
void sim_send_frames(struct sim *sim, unsigned int n, unsigned int stream);
void sim_end(struct sim *sim, unsigned int n, unsigned int stream);

/* Judge. */
void sim_hash_in(struct sim *sim, uint64_t value);
void sim_note(struct sim *sim, unsigned int n, const struct membership_notice *notice);
void sim_check(struct sim *sim, unsigned int n);

#endif
