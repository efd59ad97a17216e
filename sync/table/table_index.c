/* The table by flow: linear hashing over cache lines, each with tags that tell most of its slots
 * apart, so that finding a flow touches one line and the slot, and growing touches no slot at
 * all. */
#include <assert.h>
#include <errno.h>
#include <sodium.h>

#include "sync/table/table_private.h"

/* Lines at the start, 2^LEVEL_MIN, and how many slots one has on average. */
#define LEVEL_MIN 12
#define LINES_MIN (1u << LEVEL_MIN)
#define LINE_FILL 6u

static_assert(offsetof(struct flow, pe_digest) % 8 == 0, "compared by the 8 bytes");
static_assert(sizeof(struct index_line) == 64, "a line of the cache");
static_assert(FETCHED == 1 << (64 - 57), "fetched_place()");

int table_index_init(struct table *table)
{
	uint32_t slots = table->entries_max + table->facts_max;
	size_t max = (size_t)slots / LINE_FILL + LINES_MIN + 1;

	if (slab_init(&table->spill, sizeof(struct index_line), slots) < 0 ||
	    region_init(&table->line_region, max * sizeof(struct index_line)) < 0 ||
	    !region_commit(&table->line_region, LINES_MIN * sizeof(struct index_line)))
		return -ENOMEM;
	table->lines = (struct index_line *)table->line_region.base;
	table->lines_len = LINES_MIN;
	memset(table->fetched, 0xff, sizeof(table->fetched)); /* no flow is like that */
	return 0;
}

void table_index_fini(struct table *table)
{
	region_fini(&table->line_region);
	slab_fini(&table->spill);
}

/* Hashes the shortest key that tells flows apart: SipHash's time grows with every 8 bytes. */
static uint32_t flow_hash(const struct table *table, const struct flow *flow)
{
	size_t size = flow->family == AF_INET6 ? 16 : 4;
	uint8_t hash[crypto_shorthash_BYTES], key[2 * 16 + 8];

	if (flow->family == AF_INET6) {
		memcpy(key, flow->caddr, 16);
		memcpy(key + 16, flow->vaddr, 16);
	} else {
		memcpy(key, flow->caddr, 4);
		memcpy(key + 4, flow->vaddr, 4);
	}
	store_le32(key + size, load_le32(key + size) ^ flow->pe_digest);
	store_le16(key + 2 * size, flow->cport);
	store_le16(key + 2 * size + 2, flow->vport);
	key[2 * size + 4] = flow->protocol;
	key[2 * size + 5] = flow->template;
	store_le16(key + 2 * size + 6, 0);
	crypto_shorthash(hash, key, 2 * size + 8, table->hash_key);
	return load_le32(hash);
}

static size_t fetched_place(const struct flow *flow)
{
	uint64_t sum = load_le64(flow->caddr) + load_le64(flow->caddr + 8) + flow->cport;

	return (size_t)((sum * 0x9e3779b97f4a7c15u) >> 57);
}

static bool flow_same(const struct flow *a, const struct flow *b)
{
	uint64_t differ = a->pe_digest ^ b->pe_digest;

	for (size_t i = 0; i < offsetof(struct flow, pe_digest); i += 8)
		differ |= load_le64((const uint8_t *)a + i) ^ load_le64((const uint8_t *)b + i);
	return differ == 0;
}

uint32_t table_index_hash(const struct table *table, const struct flow *flow)
{
	const struct fetched *fetched = &table->fetched[fetched_place(flow)];

	return flow_same(&fetched->flow, flow) ? fetched->hash : flow_hash(table, flow);
}

/* The bits that decide between a line and the one that was split from it are in here: 2^28 lines
 * are more than there can be. */
static uint16_t hash_tag(uint32_t hash)
{
	return (uint16_t)(hash >> LEVEL_MIN);
}

static struct index_line *hash_line(const struct table *table, uint32_t hash)
{
	uint32_t top = 1u << (31 - __builtin_clz(table->lines_len));
	uint32_t number = hash & (top * 2 - 1);

	return &table->lines[number < table->lines_len ? number : hash & (top - 1)];
}

static struct index_line *line_next(const struct table *table, const struct index_line *line)
{
	return line->next ? slab_at(&table->spill, line->next) : NULL;
}

static unsigned int line_count(const struct index_line *line)
{
	unsigned int n = 0;

	while (n < LINE_SLOTS && line->refs[n])
		n++;
	return n;
}

/* Only templates are told apart by it. */
static uint32_t slot_pe_digest(const struct table *table, const struct slot *slot,
			       const struct binding_key *binding)
{
	const struct entry_options *options = slot_options(table, slot);

	return options && binding->template
		       ? entry_pe_digest(options->pe_data, options->pe_data_len)
		       : 0;
}

void table_index_flow(const struct table *table, table_ref ref, struct flow *ret_flow)
{
	const struct slot *slot = slot_at(table, ref);
	const struct binding_key *binding = slot_binding_key(table, slot);

	memset(ret_flow, 0, sizeof(*ret_flow));
	if (ref >> REF_SHIFT)
		memcpy(ret_flow->caddr, slot->caddr, 16);
	else
		memcpy(ret_flow->caddr, slot->caddr, 4);
	memcpy(ret_flow->vaddr, binding->vaddr, 16);
	ret_flow->cport = slot->cport;
	ret_flow->vport = binding->vport;
	ret_flow->family = binding->family;
	ret_flow->protocol = binding->protocol;
	ret_flow->template = binding->template;
	ret_flow->pe_digest = slot_pe_digest(table, slot, binding);
}

/* Inlined, which a memcmp() is not. */
static inline bool address_same(const uint8_t *a, const uint8_t *b)
{
	return load_le64(a) == load_le64(b) && load_le64(a + 8) == load_le64(b + 8);
}

static bool slot_is(const struct table *table, table_ref ref, const struct flow *flow)
{
	const struct slot *slot = slot_at(table, ref);
	const struct binding_key *binding;

	if (slot->cport != flow->cport || load_le32(slot->caddr) != load_le32(flow->caddr))
		return false;
	binding = slot_binding_key(table, slot);
	return binding->family == flow->family && binding->vport == flow->vport &&
	       binding->protocol == flow->protocol && binding->template == flow->template &&
	       (!(ref >> REF_SHIFT) || address_same(slot->caddr, flow->caddr)) &&
	       address_same(binding->vaddr, flow->vaddr) &&
	       slot_pe_digest(table, slot, binding) == flow->pe_digest;
}

/* A bit for each of a line's slots that has the tag. Without branches: no branch predictor could
 * foresee which one it is. */
static inline unsigned int line_match(const struct index_line *line, uint16_t tag)
{
	unsigned int mask = 0;

	for (unsigned int i = 0; i < LINE_SLOTS; i++)
		mask |= (unsigned int)(line->tags[i] == tag) << i;
	return mask;
}

table_ref table_index_find(const struct table *table, const struct flow *flow, uint32_t hash)
{
	uint16_t tag = hash_tag(hash);

	for (const struct index_line *line = hash_line(table, hash); line;
	     line = line_next(table, line)) {
		for (unsigned int mask = line_match(line, tag); mask; mask &= mask - 1) {
			table_ref ref = line->refs[__builtin_ctz(mask)];

			if (ref && slot_is(table, ref, flow))
				return ref;
		}
	}
	return 0;
}

/* Appends to the line, behind its slots. False: no memory. */
static bool line_put(struct table *table, struct index_line *line, uint16_t tag, table_ref ref)
{
	unsigned int n;

	while (line->next)
		line = line_next(table, line);
	n = line_count(line);
	if (n == LINE_SLOTS) {
		line->next = slab_take(&table->spill);
		if (!line->next)
			return false;
		line = line_next(table, line);
		n = 0;
	}
	line->tags[n] = tag;
	line->refs[n] = ref;
	return true;
}

bool table_index_add(struct table *table, table_ref ref, uint32_t hash)
{
	return line_put(table, hash_line(table, hash), hash_tag(hash), ref);
}

/* Takes the last slot out of a line and those behind it. */
static void line_pop(struct table *table, struct index_line *line, uint16_t *ret_tag,
		     table_ref *ret_ref)
{
	uint32_t *link = NULL;
	unsigned int n;

	while (line->next) {
		link = &line->next;
		line = line_next(table, line);
	}
	n = line_count(line) - 1;
	*ret_tag = line->tags[n];
	*ret_ref = line->refs[n];
	line->refs[n] = 0;
	if (n == 0 && link) {
		slab_give(&table->spill, *link);
		*link = 0;
	}
}

void table_index_remove(struct table *table, table_ref ref)
{
	struct index_line *first, *line;
	struct flow flow;
	table_ref last;
	uint16_t tag;
	unsigned int i;

	table_index_flow(table, ref, &flow);
	first = line = hash_line(table, table_index_hash(table, &flow));
	for (;;) {
		for (i = 0; i < LINE_SLOTS && line->refs[i] != ref; i++)
			;
		if (i < LINE_SLOTS)
			break;
		line = line_next(table, line);
		assert(line);
	}
	line_pop(table, first, &tag, &last);
	if (last != ref) {
		line->tags[i] = tag;
		line->refs[i] = last;
	}
}

/* Half of a line's slots go to the new last line. The split needs no memory besides that: the lines
 * behind the old one are given back first. */
static bool split_line(struct table *table)
{
	uint32_t level = 31u - (uint32_t)__builtin_clz(table->lines_len);
	struct index_line *old = &table->lines[table->lines_len - (1u << level)], *new, all;

	if (!region_commit(&table->line_region,
			   ((size_t)table->lines_len + 1) * sizeof(struct index_line)))
		return false;
	new = &table->lines[table->lines_len++];
	all = *old;
	*old = *new = (struct index_line){0};
	for (;;) {
		uint32_t next = all.next;

		for (unsigned int i = 0; i < LINE_SLOTS && all.refs[i]; i++) {
			bool moves = all.tags[i] >> (level - LEVEL_MIN) & 1;
			bool put = line_put(table, moves ? new : old, all.tags[i], all.refs[i]);

			assert(put);
		}
		if (!next)
			return true;
		all = *(struct index_line *)slab_at(&table->spill, next);
		slab_give(&table->spill, next);
	}
}

void table_index_grow(struct table *table)
{
	while (table->lines_len < (table_count(table) + table_facts(table)) / LINE_FILL &&
	       split_line(table))
		;
}

void table_fetch(struct table *table, const struct entry *entries, unsigned int count)
{
	const struct index_line *lines[TABLE_FETCH_MAX];
	uint16_t tags[TABLE_FETCH_MAX];

	assert(count <= TABLE_FETCH_MAX);
	for (unsigned int i = 0; i < count; i++) {
		const struct flow *flow = &entries[i].flow;
		struct fetched *fetched = &table->fetched[fetched_place(flow)];

		fetched->hash = flow_hash(table, flow);
		fetched->flow = *flow;
		tags[i] = hash_tag(fetched->hash);
		lines[i] = hash_line(table, fetched->hash);
		__builtin_prefetch(lines[i], 1);
	}
	for (unsigned int i = 0; i < count; i++) {
		unsigned int mask = line_match(lines[i], tags[i]);

		/* One flow in 2^16 also matches another slot's tag. */
		if (mask)
			slot_fetch(table, lines[i]->refs[__builtin_ctz(mask)]);
	}
}
