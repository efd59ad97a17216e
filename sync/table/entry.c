#include "sync/table/entry.h"

#include <sodium.h>

bool entry_agrees(const struct entry *a, const struct entry *b)
{
	return a->state == b->state && a->dport == b->dport &&
	       memcmp(a->daddr, b->daddr, sizeof(a->daddr)) == 0;
}

uint32_t entry_pe_digest(const uint8_t *data, size_t len)
{
	static const uint8_t key[crypto_shorthash_KEYBYTES] = "lvsmesh-pe-data";
	uint8_t hash[crypto_shorthash_BYTES];

	if (len == 0)
		return 0;
	crypto_shorthash(hash, data, len, key);
	return load_le32(hash) | 1;
}

/* The finalizer of MurmurHash3: every bit of the sum reaches every bit. */
static uint64_t mix(uint64_t sum)
{
	sum ^= sum >> 33;
	sum *= 0xff51afd7ed558ccdu;
	sum ^= sum >> 33;
	sum *= 0xc4ceb9fe1a85ec53u;
	return sum ^ sum >> 33;
}

static uint64_t flow_mix(const struct flow *flow)
{
	uint64_t rest = flow->cport | (uint64_t)flow->vport << 16 |
			(uint64_t)(flow->family == AF_INET6 ? 6 : 4) << 32 |
			(uint64_t)flow->protocol << 40 | (uint64_t)flow->template << 48;

	return mix(load_le64(flow->caddr) * 0x9e3779b97f4a7c15u +
		   load_le64(flow->caddr + 8) * 0xbf58476d1ce4e5b9u +
		   load_le64(flow->vaddr) * 0x94d049bb133111ebu +
		   load_le64(flow->vaddr + 8) * 0xd6e8feb86659fd93u + rest * 0xa0761d6478bd642fu +
		   flow->pe_digest * 0xe7037ed1a0b428dbu);
}

uint16_t entry_flow_range(const struct flow *flow)
{
	return (uint16_t)(flow_mix(flow) >> 48);
}

uint64_t entry_digest(const struct flow *flow, struct table_version version)
{
	return mix(flow_mix(flow) + version.hlc * 0x8ebc6af09c88c6e3u +
		   version.origin * 0x589965cc75374cc3u);
}
