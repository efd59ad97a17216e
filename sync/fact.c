/* Facts as entries of the table and the journal: packs, judges and merges them. */
#include "sync/fact.h"

#include <errno.h>

#include "sync/sync_private.h"

static_assert(FACT_VALUE_MAX <= ENTRY_PE_DATA_MAX, "the value is where that data is");
static_assert(FACT_OF_ONE_MAX == TABLE_FACTS_OF_ONE_MAX, "fact.h states the table's limit");
static_assert(FACT_TIMEOUT_MAX == TABLE_TIMEOUT_MAX - 1, "the longest of the table: for ever");

/* Entries */

/* The flow: a result is one per key and origin, a setting one per key. */
static void fact_flow(const struct fact *fact, struct flow *ret_flow)
{
	memset(ret_flow, 0, sizeof(*ret_flow));
	ret_flow->family = AF_INET6;
	ret_flow->protocol = ENTRY_FACT;
	ret_flow->vport = (uint16_t)fact->kind;
	memcpy(ret_flow->caddr, fact->key, FACT_KEY);
	if (fact->kind == FACT_RESULT)
		store_le64(ret_flow->vaddr, fact->origin);
}

/* options: where ret_entry's are to be. */
static void fact_pack(const struct fact *fact, struct entry_options *options,
		      struct entry *ret_entry)
{
	memset(ret_entry, 0, sizeof(*ret_entry));
	memset(options, 0, sizeof(*options));
	fact_flow(fact, &ret_entry->flow);
	ret_entry->timeout = MIN(fact->timeout, TABLE_TIMEOUT_MAX);
	options->pe_data_len = (uint8_t)fact->len;
	memcpy(options->pe_data, fact->value, fact->len);
	ret_entry->options = options;
}

/* Without the age. False: the entry is none that fact_pack() makes. */
static bool fact_unpack(const struct entry *entry, struct table_version version,
			struct fact *ret_fact)
{
	const struct entry_options *options = entry->options;
	struct fact fact = {
		.kind = entry->flow.vport,
		.origin = version.origin,
		.hlc = version.hlc,
		.timeout = entry->timeout >= TABLE_TIMEOUT_MAX ? FACT_FOREVER : entry->timeout,
	};
	struct entry_options packed_options;
	struct entry packed;

	if ((fact.kind != FACT_RESULT && fact.kind != FACT_SETTING) || version.hlc < HLC_TIMES ||
	    version.origin == 0 || !options || options->has_seq || options->pe_name_len ||
	    options->pe_data_len > FACT_VALUE_MAX)
		return false;
	memcpy(fact.key, entry->flow.caddr, FACT_KEY);
	fact.len = options->pe_data_len;
	memcpy(fact.value, options->pe_data, fact.len);
	fact_pack(&fact, &packed_options, &packed);
	if (memcmp(&packed.flow, &entry->flow, sizeof(packed.flow)) != 0 || entry->flags ||
	    entry->fwmark || entry->dport || entry->state ||
	    memcmp(packed.daddr, entry->daddr, sizeof(packed.daddr)) != 0)
		return false;
	*ret_fact = fact;
	return true;
}

bool fact_is_proved_by(const struct flow *flow, uint64_t director)
{
	return flow_is_fact(flow) &&
	       (flow->vport == FACT_SETTING || load_le64(flow->vaddr) == director);
}

bool fact_is_result(const struct flow *flow)
{
	return flow_is_fact(flow) && flow->vport == FACT_RESULT;
}

/* Publishing */

static int capture(struct sync *sync, const struct entry *entry, uint32_t refreshed, struct now now)
{
	uint64_t hlc = hlc_stamp(&sync->hlc, now.wall);

	if (table_capture(sync->table, entry, hlc, refreshed) == TABLE_FULL) {
		sync->counters.facts_full++;
		return -ENOSPC;
	}
	return 0;
}

int sync_publish(struct sync *sync, const struct fact *fact, struct now now)
{
	struct fact ours = *fact;
	struct entry_options options;
	struct entry entry;
	int r;

	if ((fact->kind != FACT_RESULT && fact->kind != FACT_SETTING) || fact->len > FACT_VALUE_MAX)
		return -EINVAL;
	ours.origin = sync->identity->id;
	fact_pack(&ours, &options, &entry);
	r = capture(sync, &entry, mono_seconds(now), now);
	sync->counters.facts_published += r == 0;
	return r;
}

/* Learning */

/* A peer has a setting of ours in a version above that which we published in this life: of an
 * earlier life whose clock was ahead, or forged. Ours is the newest, and gets a version above it.
 */
static bool outdo_returned(struct sync *sync, const struct entry *entry,
			   struct table_version version, struct now now)
{
	table_ref ref = table_find(sync->table, &entry->flow);
	struct table_meta meta;
	struct entry held;

	if (!ref)
		return false;
	table_get(sync->table, ref, &held, &meta);
	if (meta.list != TABLE_JOURNAL || meta.returned)
		return false;
	if (meta.version.hlc < version.hlc)
		capture(sync, &held, meta.refreshed, now);
	return true;
}

/* Results of a director are in the order in which it sends them, whatever their versions: it may
 * have started since, with its clock set back. */
static void make_way(struct sync *sync, const struct entry *entry, struct table_version version)
{
	table_ref ref = table_find(sync->table, &entry->flow);
	struct table_meta meta;

	if (!ref)
		return;
	table_get(sync->table, ref, NULL, &meta);
	if (meta.version.hlc > version.hlc)
		table_drop(sync->table, ref);
}

bool fact_merge(struct sync *sync, const struct entry *entry, struct table_version version,
		uint32_t age, uint64_t peer, struct now now)
{
	struct table_displaced displaced;
	struct fact fact;

	if (!fact_unpack(entry, version, &fact)) {
		sync->counters.facts_malformed++;
		return false;
	}
	hlc_observe(&sync->hlc, version.hlc);
	if (!fact_is_proved_by(&entry->flow, peer)) {
		sync->counters.facts_handed_on++;
		return false;
	}
	if (!sync_entry_lives(entry, age)) {
		sync->counters.expired++;
		return false;
	}
	if (version.origin == sync->identity->id && outdo_returned(sync, entry, version, now)) {
		sync->counters.facts_returned++;
		return false;
	}
	if (fact.kind == FACT_RESULT)
		make_way(sync, entry, version);
	switch (table_merge(sync->table, entry, version, mono_seconds(now) - MIN(age, SECONDS_BASE),
			    &displaced)) {
	case TABLE_CHANGED:
		if (displaced.hlc)
			superseded_note(sync, &entry->flow, displaced.position, now);
		/* fall through */
	case TABLE_NEW:
		sync->counters.facts_learned++;
		return true;
	case TABLE_SAME:
	case TABLE_STALE:
		sync->counters.facts_stale++;
		break;
	case TABLE_FULL:
		sync->counters.facts_full++;
		break;
	}
	return false;
}

/* Reading */

/* False: it is believed no longer. */
static bool fact_get(const struct sync *sync, table_ref ref, struct now now, struct fact *ret_fact)
{
	struct table_meta meta;
	struct entry entry;
	uint32_t seconds = mono_seconds(now);
	bool good;

	table_get(sync->table, ref, &entry, &meta);
	good = fact_unpack(&entry, meta.version, ret_fact);
	assert(good);
	ret_fact->age = seconds - MIN(meta.refreshed, seconds);
	return ret_fact->age < ret_fact->timeout;
}

bool sync_fact_next(struct sync *sync, struct now now, struct fact *ret_fact)
{
	table_ref ref;

	while ((ref = table_fact_news(sync->table))) {
		table_fact_told(sync->table, ref);
		if (fact_get(sync, ref, now, ret_fact))
			return true;
	}
	return false;
}

bool sync_fact_pending(const struct sync *sync)
{
	return table_fact_news(sync->table) != 0;
}

bool sync_fact_walk(const struct sync *sync, struct now now, uint64_t *cursor,
		    struct fact *ret_fact)
{
	table_ref ref;

	while ((ref = table_fact_walk(sync->table, cursor))) {
		if (fact_get(sync, ref, now, ret_fact))
			return true;
	}
	return false;
}
