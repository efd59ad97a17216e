/* Withholds our own flows from the peers, for good or for now: policy.h judges, this file keeps
 * them in the table's lists that are not shared. */
#include "sync/sync_private.h"
#include "sync/table/conn_state.h"

/* One sync_mature() examines at most this many entries. */
#define MATURE_BUDGET 4096
/* How often waiting entries are examined: a batch interval, as they are sent in batches. */
#define WAITING_INTERVAL (4 * USEC_PER_MSEC)

/* A list's part of the table, one in so many; beyond it flows are published sooner, or not held. */
#define YOUNG_SHARE 8
#define WAITING_SHARE 64
#define LOCAL_SHARE 4

static bool is_established(const struct entry *entry)
{
	return conn_state_phase(entry) == CONN_PHASE_ESTABLISHED;
}

static bool is_closing(const struct entry *entry)
{
	return conn_state_phase(entry) == CONN_PHASE_CLOSING;
}

static bool has_room(const struct sync *sync, enum table_list list, uint32_t share)
{
	return table_list_count(sync->table, list) < sync->entries_max / share;
}

static usec_t min_age(const struct sync *sync)
{
	return sync->draining ? 0 : sync->policy.min_age;
}

static enum table_list place_local(const struct sync *sync)
{
	return has_room(sync, TABLE_LOCAL, LOCAL_SHARE) ? TABLE_LOCAL : TABLE_LISTS;
}

/* The flow is old enough. Flows that are not established are admitted one by one. */
static enum table_list place_old(struct sync *sync, const struct entry *entry, struct now now)
{
	if (is_established(entry) ||
	    (!table_list_head(sync->table, TABLE_WAITING) && policy_admit(&sync->policy, now.mono)))
		return TABLE_JOURNAL;
	if (has_room(sync, TABLE_WAITING, WAITING_SHARE))
		return TABLE_WAITING;
	sync->counters.flood_shed++;
	sync->counters.flood_shed_time = now.mono;
	return TABLE_LISTS;
}

static enum table_list place_spared(struct sync *sync)
{
	sync->counters.young_ended++;
	return place_local(sync);
}

static enum table_list place_new(struct sync *sync, const struct entry *entry, bool adopted,
				 struct now now)
{
	/* The kernel reports the flow once it is established; before, it may be part of a flood. */
	if (adopted && conn_state_phase(entry) == CONN_PHASE_OPENING)
		return TABLE_LISTS;
	if (policy_is_off(&sync->policy, entry)) {
		sync->counters.local_total++;
		return place_local(sync);
	}
	if (min_age(sync) > 0 && is_closing(entry))
		return place_spared(sync);
	/* The age of a flow that was found is unknown. */
	if (min_age(sync) > 0 && !adopted && has_room(sync, TABLE_YOUNG, YOUNG_SHARE))
		return TABLE_YOUNG;
	return place_old(sync, entry, now);
}

/* A flow that only we know of has been reported again. */
static enum table_list place_again(struct sync *sync, const struct entry *entry,
				   const struct entry *held, enum table_list list, struct now now)
{
	bool closing = is_closing(entry);

	if (list != TABLE_LOCAL) {
		if (closing && min_age(sync) > 0)
			return place_spared(sync);
		return list == TABLE_WAITING && is_established(entry) ? TABLE_JOURNAL : list;
	}
	if (policy_is_off(&sync->policy, entry))
		return TABLE_LOCAL;
	if (!closing)
		return place_new(sync, entry, false, now);
	/* The kernel reports a state again only of flows that live: closed by one side only. */
	return entry->state == held->state ? place_old(sync, entry, now) : TABLE_LOCAL;
}

/* The common case needs no look into the table. */
static bool is_plain(const struct sync *sync, const struct entry *entry)
{
	const struct policy *policy = &sync->policy;

	return entry->flow.template ||
	       (policy->min_age == 0 && policy->n_services == 0 && sync_unshared(sync) == 0 &&
		(is_established(entry) ||
		 (policy->flood_rate == 0 && conn_state_phase(entry) != CONN_PHASE_OPENING)));
}

enum table_list sync_policy_place(struct sync *sync, const struct entry *entry, bool adopted,
				  struct now now)
{
	struct table_meta meta;
	struct entry held;
	table_ref ref;

	if (is_plain(sync, entry))
		return TABLE_JOURNAL;
	ref = table_find(sync->table, &entry->flow);
	if (!ref)
		return place_new(sync, entry, adopted, now);
	table_get(sync->table, ref, &held, &meta);
	if (adopted || table_list_shared(meta.list))
		return TABLE_JOURNAL;
	return place_again(sync, entry, &held, meta.list, now);
}

void sync_policy(struct sync *sync, const struct policy_options *options)
{
	policy_set(&sync->policy, options);
	sync->review = table_list_count(sync->table, TABLE_LOCAL);
}

void sync_set_draining(struct sync *sync, bool draining)
{
	sync->draining = draining;
}

/* Moves the entry to the list where it belongs by now. */
static void put(struct sync *sync, table_ref ref, enum table_list list, struct now now)
{
	if (list == TABLE_JOURNAL)
		table_publish(sync->table, ref, hlc_stamp(&sync->hlc, now.wall));
	else if (list == TABLE_LISTS)
		table_drop(sync->table, ref);
	else
		table_list_move(sync->table, ref, list);
}

static usec_t young_time(const struct sync *sync)
{
	table_ref ref = table_list_head(sync->table, TABLE_YOUNG);
	struct table_meta meta;

	if (!ref)
		return USEC_NEVER;
	table_get(sync->table, ref, NULL, &meta);
	return meta.position * USEC_PER_MSEC + min_age(sync);
}

static usec_t waiting_time(const struct sync *sync)
{
	if (!table_list_head(sync->table, TABLE_WAITING))
		return USEC_NEVER;
	return sync->draining ? 0 : policy_admit_time(&sync->policy) + WAITING_INTERVAL;
}

usec_t sync_mature_time(const struct sync *sync)
{
	return sync->review > 0 ? 0 : MIN(young_time(sync), waiting_time(sync));
}

static void mature_young(struct sync *sync, table_ref ref, struct now now)
{
	struct entry entry;

	table_get(sync->table, ref, &entry, NULL);
	put(sync, ref,
	    policy_is_off(&sync->policy, &entry) ? place_local(sync) : place_old(sync, &entry, now),
	    now);
}

/* True: it waits no longer. */
static bool mature_waiting(struct sync *sync, table_ref ref, struct now now)
{
	struct entry entry;

	table_get(sync->table, ref, &entry, NULL);
	if (policy_is_off(&sync->policy, &entry)) {
		put(sync, ref, place_local(sync), now);
		return true;
	}
	if (!sync->draining && !policy_admit(&sync->policy, now.mono))
		return false;
	table_publish(sync->table, ref, hlc_stamp(&sync->hlc, now.wall));
	return true;
}

/* Judges a withheld entry again, as the policy has changed. */
static void review(struct sync *sync, table_ref ref, struct now now)
{
	struct entry entry;

	table_get(sync->table, ref, &entry, NULL);
	put(sync, ref,
	    policy_is_off(&sync->policy, &entry) || is_closing(&entry)
		    ? TABLE_LOCAL
		    : place_old(sync, &entry, now),
	    now);
}

void sync_mature(struct sync *sync, struct now now)
{
	unsigned int budget = MATURE_BUDGET;
	table_ref ref;

	while (budget > 0 && (ref = table_list_head(sync->table, TABLE_WAITING)) &&
	       mature_waiting(sync, ref, now))
		budget--;
	for (; budget > 0 && young_time(sync) <= now.mono; budget--)
		mature_young(sync, table_list_head(sync->table, TABLE_YOUNG), now);
	for (; budget > 0 && sync->review > 0; budget--) {
		ref = table_list_head(sync->table, TABLE_LOCAL);
		sync->review = ref ? sync->review - 1 : 0;
		if (ref)
			review(sync, ref, now);
	}
}
