/* Changes of the table, of connections and facts, beside a model that does the same the slow way:
 * four bytes each, what happens, to which flow, with what, how new. Afterwards the two are equal,
 * in every reader's eyes too, and the table holds no entry, binding or options besides. */
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#include "sync/table/table_private.h"

#define CONNECTIONS 48 /* the other flows are facts */
#define FLOWS 64
#define ENTRIES_MAX 40
#define FACTS_MAX 12
#define BINDINGS_MAX 24
#define SELF 7
#define ORIGINS 9 /* of merged ones: 5 to 8 */
#define READERS 2

struct known {
	bool held, adopted, returned;
	struct entry entry;
	struct table_version version;
	uint64_t position; /* or mark */
	enum table_list list;
	uint32_t refreshed;
	unsigned int news; /* of a fact: in this order; 0: it is none */
};

struct world {
	struct table *table;
	uint64_t read[READERS]; /* up to there */
	struct known known[FLOWS];
	uint64_t hlc, position;
	uint32_t now;
	unsigned int news;
};

static const struct entry_options options[2] = {
	{.has_seq = true, .in = {1, 2, 3}, .out = {4, 5, 6}},
	{.pe_name_len = 3, .pe_name = "sip", .pe_data_len = 4, .pe_data = "call"},
};

static const struct entry_options values[2] = {
	{.pe_data_len = 4, .pe_data = "down"},
	{.pe_name_len = 0},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct entry make_fact(unsigned int key, uint8_t what)
{
	struct entry entry = {.timeout = what % 3 ? 20u + what % 3u : TABLE_TIMEOUT_MAX};

	entry.flow.family = AF_INET6;
	entry.flow.protocol = ENTRY_FACT;
	entry.flow.caddr[15] = (uint8_t)key;
	entry.flow.vport = (uint16_t)(1 + key % 2);
	entry.options = &values[what / 4 % 2];
	return entry;
}

/* Three in a row share what the index looks at first, and one of them differs by options alone. */
static struct entry make_entry(unsigned int flow, uint8_t what)
{
	struct entry entry = {.timeout = 20 + what % 3, .state = what / 8 % 4, .dport = 80};
	unsigned int client = flow / 3;

	if (flow >= CONNECTIONS)
		return make_fact(flow, what);
	entry.flow.family = client % 2 ? AF_INET : AF_INET6;
	entry.flow.protocol = IPPROTO_TCP;
	entry.flow.caddr[3] = (uint8_t)client;
	entry.flow.cport = 1000;
	entry.flow.vport = 443;
	entry.flow.template = flow % 3 != 0;
	entry.flags = entry.flow.template ? ENTRY_TEMPLATE : what & 0x40 ? ENTRY_INACTIVE : 0;
	entry.daddr[0] = what % 4;
	if (flow % 3 == 2) {
		entry.options = &options[1];
		entry.flow.pe_digest = entry_pe_digest(options[1].pe_data, options[1].pe_data_len);
	} else if (flow % 3 == 0 && what & 0x80) {
		entry.options = &options[0];
	}
	return entry;
}

static unsigned int held(const struct world *world, bool facts)
{
	unsigned int count = 0;

	for (int i = facts ? CONNECTIONS : 0; i < (facts ? FLOWS : CONNECTIONS); i++)
		count += world->known[i].held;
	return count;
}

static bool has_position(enum table_list list)
{
	return list == TABLE_JOURNAL || list == TABLE_YOUNG;
}

static void check_entry(const struct known *known, const struct entry *entry,
			const struct table_meta *meta)
{
	assert(memcmp(&entry->flow, &known->entry.flow, sizeof(entry->flow)) == 0);
	assert(entry_agrees(entry, &known->entry) && entry->flags == known->entry.flags);
	assert(entry->timeout == known->entry.timeout);
	assert(!entry->options == !known->entry.options);
	assert(!entry->options ||
	       memcmp(entry->options, known->entry.options, sizeof(*entry->options)) == 0);
	assert(meta->version.hlc == known->version.hlc);
	assert(meta->version.origin == known->version.origin);
	assert(meta->list == known->list && meta->adopted == known->adopted);
	assert(meta->refreshed == known->refreshed);
	assert(meta->returned == known->returned);
	assert(meta->position == known->position || !has_position(known->list));
	assert(meta->range == entry_flow_range(&entry->flow));
}

static void check_bindings(const struct world *world)
{
	struct binding_key keys[FLOWS];
	unsigned int count = 0, with_options = 0;

	for (int i = 0; i < FLOWS; i++) {
		unsigned int at = 0;

		if (!world->known[i].held)
			continue;
		table_binding_key(&world->known[i].entry, &keys[count]);
		while (!binding_key_same(&keys[at], &keys[count]))
			at++;
		count += at == count;
		with_options += i < CONNECTIONS && world->known[i].entry.options;
	}
	assert(world->table->bindings.count == count);
	assert(world->table->options.count == with_options);
}

static void check(const struct world *world)
{
	unsigned int lists[2][TABLE_LISTS] = {0}, origins[2][ORIGINS] = {0}, seen[2] = {0};
	uint64_t walk[2] = {0};
	struct table_origin origin;

	for (int i = 0; i < FLOWS; i++) {
		const struct known *known = &world->known[i];
		struct entry entry = make_entry((unsigned int)i, 0);
		table_ref ref = table_find(world->table, &entry.flow);
		struct table_meta meta;

		assert((ref != 0) == known->held);
		if (!ref)
			continue;
		table_get(world->table, ref, &entry, &meta);
		check_entry(known, &entry, &meta);
		lists[i >= CONNECTIONS][known->list]++;
		origins[i >= CONNECTIONS][known->version.origin]++;
	}
	for (unsigned int i = 0; table_origin(world->table, i, &origin); i++) {
		assert(origin.entries == origins[0][origin.id]);
		assert(origin.facts == origins[1][origin.id]);
		origins[0][origin.id] = origins[1][origin.id] = 0;
	}
	for (unsigned int i = 0; i < ORIGINS; i++)
		assert(origins[0][i] + origins[1][i] == 0);
	for (enum table_list list = 0; list < TABLE_LISTS; list++) {
		assert(table_list_count(world->table, list) == lists[0][list] + lists[1][list]);
		assert(table_list_facts(world->table, list) == lists[1][list]);
	}
	while (table_walk(world->table, &walk[0]))
		seen[0]++;
	while (table_fact_walk(world->table, &walk[1]))
		seen[1]++;
	assert(seen[0] == held(world, false) && seen[0] == table_count(world->table));
	assert(seen[1] == held(world, true) && seen[1] == table_facts(world->table));
	assert(table_position(world->table) == world->position);
	check_bindings(world);
}

static bool is_elsewhere(const struct known *known, const struct entry *entry)
{
	return memcmp(known->entry.daddr, entry->daddr, sizeof(entry->daddr)) != 0;
}

static void apply(struct world *world, unsigned int flow, const struct entry *entry,
		  struct table_version version, enum table_list list, enum table_result result,
		  bool merged)
{
	struct known *known = &world->known[flow];
	bool fact = flow >= CONNECTIONS;
	unsigned int news = known->news;

	if (result == TABLE_FULL) {
		/* Full of entries, or of bindings. */
		assert(held(world, fact) == (fact ? FACTS_MAX : ENTRIES_MAX) ||
		       world->table->bindings.count == BINDINGS_MAX);
		return;
	}
	if (merged && known->held) {
		bool newer = version.hlc != known->version.hlc
				     ? version.hlc > known->version.hlc
				     : version.origin > known->version.origin;
		bool same = version.hlc == known->version.hlc &&
			    version.origin == known->version.origin;

		assert(result == (newer ? TABLE_CHANGED : same ? TABLE_SAME : TABLE_STALE));
		if (!newer)
			return;
		if (entry->flow.template && !entry->flow.pe_digest) {
			if (is_elsewhere(known, entry) && known->list != TABLE_INJECT)
				list = TABLE_EVICT;
			else if (table_list_differs(known->list))
				list = known->list;
		} else if (known->list == TABLE_REPLACE || known->list == TABLE_UNCONFIRMED ||
			   is_elsewhere(known, entry)) {
			list = TABLE_REPLACE;
		}
		if (known->adopted && entry_agrees(entry, &known->entry))
			list = version.origin == SELF ? TABLE_JOURNAL : TABLE_IDLE;
	} else {
		assert(result == (known->held ? TABLE_CHANGED : TABLE_NEW));
	}
	if (fact && merged)
		list = version.origin == SELF ? TABLE_JOURNAL : TABLE_IDLE;
	if (!fact || !merged)
		news = 0;
	else if (!news)
		news = ++world->news;
	*known = (struct known){
		.held = true,
		.returned = merged && version.origin == SELF,
		.entry = *entry,
		.version = version,
		.list = list,
		.refreshed = world->now,
		.news = news,
		.position = list == TABLE_JOURNAL ? ++world->position : 0,
	};
}

static void adopt(struct world *world, unsigned int flow, const struct entry *entry, uint8_t where)
{
	enum table_list list = where % 4 ? TABLE_YOUNG + where % 4 - 1 : TABLE_JOURNAL;
	enum table_result result = table_adopt(world->table, entry, world->now, list);

	if (world->known[flow].held) {
		assert(result == TABLE_STALE);
		return;
	}
	apply(world, flow, entry, (struct table_version){0, SELF}, list, result, false);
	world->known[flow].adopted = world->known[flow].held;
}

static void withhold(struct world *world, unsigned int flow, const struct entry *entry,
		     uint8_t where)
{
	enum table_list list = TABLE_YOUNG + where % 3;
	struct known *known = &world->known[flow];
	struct table_version version = {++world->hlc, SELF};
	enum table_result result;
	uint64_t mark = where;

	if (known->held && table_list_shared(known->list))
		return;
	if (known->held && known->list == list)
		mark = known->position;
	result = table_withhold(world->table, entry, version.hlc, world->now, list, where);
	apply(world, flow, entry, version, list, result, false);
	if (result != TABLE_FULL)
		known->position = mark;
}

/* Told to the others, or forgotten. */
static void release(struct world *world, unsigned int flow, bool drop)
{
	struct known *known = &world->known[flow];
	table_ref ref;

	if (!known->held)
		return;
	ref = table_find(world->table, &known->entry.flow);
	if (drop && known->list != TABLE_JOURNAL) {
		table_drop(world->table, ref);
		*known = (struct known){0};
	} else if (!drop && !table_list_shared(known->list)) {
		table_publish(world->table, ref, ++world->hlc);
		known->version.hlc = known->adopted ? known->version.hlc : world->hlc;
		known->list = TABLE_JOURNAL;
		known->position = ++world->position;
	}
}

/* Prefetches flows that are then forgotten, or wrong ones: it only gets slower. */
static void fetch(struct world *world, unsigned int flow, uint8_t what)
{
	struct entry entries[6];

	for (unsigned int i = 0; i < 6; i++)
		entries[i] = make_entry((flow + i) % FLOWS, (uint8_t)(what + i));
	table_fetch(world->table, entries, 6);
}

/* A reader is given the lowest position that lies behind its own. */
static void read_journal(struct world *world, uint64_t *position, unsigned int count)
{
	struct table_reader reader;

	table_read(world->table, *position, &reader);
	while (count-- > 0) {
		table_ref ref = table_read_next(world->table, &reader);
		const struct known *next = NULL;
		struct table_meta meta;
		struct entry entry;

		for (int i = 0; i < FLOWS; i++) {
			const struct known *known = &world->known[i];

			if (known->held && known->list == TABLE_JOURNAL &&
			    known->position > *position &&
			    (!next || known->position < next->position))
				next = known;
		}
		assert((ref != 0) == (next != NULL));
		if (!ref)
			return;
		table_get(world->table, ref, &entry, &meta);
		check_entry(next, &entry, &meta);
		*position = next->position;
	}
}

/* The oldest of the news is told. */
static void tell(struct world *world)
{
	table_ref ref = table_fact_news(world->table);
	struct known *first = NULL;
	struct table_meta meta;
	struct entry entry;

	for (int i = CONNECTIONS; i < FLOWS; i++) {
		struct known *known = &world->known[i];

		if (known->held && known->news && (!first || known->news < first->news))
			first = known;
	}
	assert((ref != 0) == (first != NULL));
	if (!ref)
		return;
	table_get(world->table, ref, &entry, &meta);
	check_entry(first, &entry, &meta);
	table_fact_told(world->table, ref);
	first->news = 0;
}

static void relist(struct world *world, enum table_list from, enum table_list to)
{
	for (int i = 0; i < FLOWS; i++) {
		if (world->known[i].held && world->known[i].list == from)
			world->known[i].list = to;
	}
}

static void inject(struct world *world)
{
	table_ref replace = table_list_head(world->table, TABLE_REPLACE);
	table_ref ref = replace ? replace : table_list_head(world->table, TABLE_INJECT);
	struct entry entry;

	if (!ref)
		return;
	table_get(world->table, ref, &entry, NULL);
	table_list_move(world->table, ref, TABLE_UNCONFIRMED);
	for (unsigned int i = 0; i < FLOWS; i++) {
		struct entry other = make_entry(i, 0);

		if (memcmp(&other.flow, &entry.flow, sizeof(other.flow)) == 0)
			world->known[i].list = TABLE_UNCONFIRMED;
	}
}

static void sweep(struct world *world, uint32_t seconds)
{
	world->now += 4 + seconds; /* within less it looks at no entry again */
	table_sweep(world->table, world->now, 1000);
	for (int i = 0; i < FLOWS; i++) {
		struct known *known = &world->known[i];

		if (i >= CONNECTIONS && known->entry.timeout == TABLE_TIMEOUT_MAX)
			continue;
		if (known->held &&
		    known->refreshed + table_lifetime(known->entry.timeout) < world->now)
			*known = (struct known){0};
	}
}

static void step(struct world *world, const uint8_t op[4])
{
	unsigned int flow = op[1] % FLOWS;
	struct entry entry = make_entry(flow, op[2]);
	struct table_version version = {world->hlc - MIN(world->hlc, op[3] / 4), op[3] % 4 + 5};
	uint64_t *read = &world->read[op[3] % READERS];
	struct table_displaced displaced;

	/* The kernel holds no facts, and the policy withholds none. */
	if (flow >= CONNECTIONS && (op[0] % 15 == 5 || op[0] % 15 == 12)) {
		tell(world);
		return;
	}
	switch (op[0] % 15) {
	case 0:
	case 1:
		version = (struct table_version){++world->hlc, SELF};
		apply(world, flow, &entry, version, TABLE_JOURNAL,
		      table_capture(world->table, &entry, version.hlc, world->now), false);
		break;
	case 2:
	case 3:
		apply(world, flow, &entry, version, TABLE_INJECT,
		      table_merge(world->table, &entry, version, world->now, &displaced), true);
		break;
	case 4:
		fetch(world, flow, op[2]);
		break;
	case 5:
		adopt(world, flow, &entry, op[3]);
		break;
	case 6:
		inject(world);
		break;
	case 7:
		table_list_splice(world->table, TABLE_UNCONFIRMED, TABLE_IDLE);
		relist(world, TABLE_UNCONFIRMED, TABLE_IDLE);
		break;
	case 8:
		table_list_splice(world->table, TABLE_UNCONFIRMED, TABLE_REPLACE);
		relist(world, TABLE_UNCONFIRMED, TABLE_REPLACE);
		break;
	case 9:
		sweep(world, op[2] % 32);
		break;
	case 10:
		*read = world->position * op[2] / 255;
		break;
	case 11:
		read_journal(world, read, op[2]);
		break;
	case 12:
		withhold(world, flow, &entry, op[3]);
		break;
	case 13:
	case 14:
		release(world, flow, op[0] % 15 == 13);
		break;
	}
	world->hlc++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct table_options table_options = {.self = SELF,
					      .entries_max = ENTRIES_MAX,
					      .facts_max = FACTS_MAX,
					      .bindings_max = BINDINGS_MAX};
	struct world world = {.hlc = 1000, .now = 1000};

	if (size > 4096)
		return 0;
	if (sodium_init() < 0 || table_new(&table_options, &world.table) < 0)
		abort();
	for (size_t at = 0; at + 4 <= size; at += 4) {
		step(&world, data + at);
		if (at % 64 == 0)
			check(&world);
	}
	check(&world);
	for (int i = 0; i < READERS; i++)
		read_journal(&world, &world.read[i], UINT32_MAX);
	while (table_fact_news(world.table))
		tell(&world);
	table_free(world.table);
	return 0;
}
