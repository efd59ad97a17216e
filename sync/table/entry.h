/* A flow, and an entry: the flow plus where it goes and in what state, as IPVS holds it
 * (struct ip_vs_conn, linux/ip_vs.h). Plain values without ownership. */
#ifndef SYNC_TABLE_ENTRY_H
#define SYNC_TABLE_ENTRY_H

#include <netinet/in.h>

#include "proto/base.h"

/* IP_VS_CONN_F_* bits that travel in a sync message, under our names so that the cores need no
 * kernel header; kernel_wire.c asserts that they agree with linux/ip_vs.h. */
#define ENTRY_FWD_MASK 0x0007u
#define ENTRY_INACTIVE 0x0100u
#define ENTRY_NO_CPORT 0x0800u
#define ENTRY_TEMPLATE 0x1000u
#define ENTRY_SEQ_MASK 0x0600u   /* has sequence deltas: entry_options.has_seq */
#define ENTRY_ONE_PACKET 0x2000u /* no connection at all: never synchronised */

/* The protocol of a fact (sync/fact.h), which is none of IPVS's. */
#define ENTRY_FACT 255

/* Identifies a connection: entries of the same connection have equal flows. All bytes count: zero
 * the struct first. Addresses are in network order, IPv4 in the first four bytes. A template of a
 * fwmark service has the mark where vaddr's first four bytes are and protocol 0, as the kernel does
 * it. */
struct flow {
	uint8_t caddr[16];
	uint8_t vaddr[16];
	uint16_t cport; /* host order */
	uint16_t vport; /* host order */
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t protocol;
	uint8_t template; /* 1: a persistence template */
	uint8_t zero;
	uint32_t pe_digest; /* 0, or a digest of the persistence-engine data: SIP's call-id */
};

/* Sequence numbers rewritten by an application helper (FTP), struct ip_vs_seq. Host order. */
struct entry_seq {
	uint32_t init_seq;
	uint32_t delta;
	uint32_t previous_delta;
};

static inline bool flow_is_fact(const struct flow *flow)
{
	return flow->protocol == ENTRY_FACT;
}

#define ENTRY_PE_NAME_MAX 15  /* IP_VS_PENAME_MAXLEN - 1 */
#define ENTRY_PE_DATA_MAX 255 /* IP_VS_PEDATA_MAXLEN is 255 */

/* Sequence deltas and persistence-engine data, which few entries have. */
struct entry_options {
	struct entry_seq in, out; /* valid when has_seq */
	bool has_seq;
	uint8_t pe_name_len; /* 0: none */
	uint8_t pe_data_len;
	char pe_name[ENTRY_PE_NAME_MAX + 1]; /* NUL ends it */
	uint8_t pe_data[ENTRY_PE_DATA_MAX];
};

struct entry {
	struct flow flow;
	uint8_t daddr[16];
	uint16_t dport; /* host order */
	uint16_t state; /* IP_VS_TCP_S_*, ... */
	uint32_t flags; /* ENTRY_*, and every other bit the kernel sent, unchanged */
	uint32_t fwmark;
	uint32_t timeout; /* seconds, the whole timeout of the present state */
	/* NULL for most. Borrowed: the giver of the entry states its lifetime. */
	const struct entry_options *options;
};

/* Orders two states of a flow: the newer one holds; of two with one hlc, the one with the higher
 * origin (a director's id). */
struct table_version {
	uint64_t hlc;
	uint64_t origin;
};

/* True if both have the same real server and state: a connection goes on alike with either. */
bool entry_agrees(const struct entry *a, const struct entry *b);

/* A digest of persistence-engine data for struct flow; never 0 for len > 0. */
uint32_t entry_pe_digest(const uint8_t *data, size_t len);

/* The same on every director (PROTOCOL.md, "The key space"). The functions hold no secret: a client
 * that chooses its flows chooses their points too. */

/* The flow's point in the key space, which divides the table into parts. */
uint16_t entry_flow_range(const struct flow *flow);
/* Two tables whose sums of these are equal modulo 2^64 hold the same versions of the same flows. */
uint64_t entry_digest(const struct flow *flow, struct table_version version);

#endif
