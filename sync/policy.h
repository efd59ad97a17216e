/* Decides which of our own connections are replicated, and when: services that are not replicated,
 * the age from which a flow is, and a rate limit for flows that are not established. It judges;
 * sync_policy.c carries that out. It has no clock and knows no table.
 *
 * A flow is established (TCP, SCTP) if its client has answered from its address. UDP flows never
 * are: anyone can forge them, as fast as a wire takes packets. The kernel itself reports no
 * half-open TCP or SCTP (ip_vs_sync_conn_needed(), net/netfilter/ipvs/ip_vs_sync.c), but it does
 * report what was closed or reset before it was established. */
#ifndef SYNC_POLICY_H
#define SYNC_POLICY_H

#include "sync/table/entry.h"

/* A service. Besides a fwmark, only family counts; port 0: every port. All bytes count. */
struct policy_service {
	uint8_t address[16]; /* as in struct flow */
	uint32_t fwmark;
	uint16_t port; /* host order */
	uint8_t protocol;
	uint8_t family;
	bool off; /* not replicated */
	uint8_t zero[3];
};

struct policy_options {
	usec_t min_age;                  /* flows that end sooner are not replicated */
	uint32_t flood_rate;             /* flows a second, not established; 0: any number */
	struct policy_service *services; /* in any order, each once; from malloc() */
	size_t n_services;
};

struct policy {
	usec_t min_age;
	uint32_t flood_rate;
	struct policy_service *services; /* sorted; none when none is off */
	size_t n_services;
	/* A token bucket in millionths of a flow, filled up to `filled`, mono. */
	uint64_t tokens;
	usec_t filled;
};

/* A policy that is all zero replicates everything. options->services becomes the policy's. */
void policy_set(struct policy *policy, const struct policy_options *options);
void policy_fini(struct policy *policy);

/* True if flows of the entry's service are not replicated. Finds the service as the kernel does: by
 * mark, then by address and port, then by address alone. A flow of no service is replicated. */
bool policy_is_off(const struct policy *policy, const struct entry *entry);

/* Takes a token for a flow that is not established: true if it may be replicated now. now: mono. */
bool policy_admit(struct policy *policy, usec_t now);
/* When the next flow may be replicated; mono. */
usec_t policy_admit_time(const struct policy *policy);

#endif
