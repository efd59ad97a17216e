/* The facade: captures, adopts, merges and injects entries, and what is due by time. */
#include "sync/sync.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sync/fact.h"
#include "sync/kernel_wire.h"
#include "sync/sync_private.h"
#include "sync/table/conn_state.h"

/* Slots examined by one sync_tick(): at ten a second, a million entries every minute. */
#define SWEEP_BUDGET 16384

static_assert(SYNC_CAPTURE_MAX <= TABLE_FETCH_MAX, "one group of the table");

int sync_new(const struct sync_options *options, struct sync **ret_sync)
{
	struct table_options table = {
		.self = options->identity->id,
		.adopted = hlc_found(options->started),
		.entries_max = options->entries_max,
		.facts_max = FACT_MAX,
		.bindings_max = TABLE_BINDINGS_MAX,
	};
	struct sync *sync = calloc(1, sizeof(*sync));

	if (!sync)
		return -ENOMEM;
	sync->identity = options->identity;
	sync->epoch = options->epoch;
	sync->before = options->before;
	sync->returned = options->returned;
	sync->journal = options->journal ? options->journal : 1;
	sync->syncid = options->syncid;
	sync->entries_max = options->entries_max;
	memcpy(table.hash_key, options->hash_key, sizeof(table.hash_key));
	sync->made.body = malloc(SYNC_BODY_MAX);
	if (!sync->made.body || table_new(&table, &sync->table) < 0 ||
	    batch_new(&sync->batch) < 0 || batch_reader_new(&sync->reader) < 0) {
		sync_free(sync);
		return -ENOMEM;
	}
	*ret_sync = sync;
	return 0;
}

void sync_free(struct sync *sync)
{
	if (!sync)
		return;
	STREAMS_EACH (i, sync)
		sync_stream_free(sync->streams[i]);
	table_free(sync->table);
	batch_free(sync->batch);
	batch_reader_free(sync->reader);
	policy_fini(&sync->policy);
	free(sync->made.body);
	free(sync);
}

/* The mark of an entry that is not shared: when it came, in milliseconds. */
static uint64_t mono_mark(struct now now)
{
	return (now.mono + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
}

void sync_set_capture_floor(struct sync *sync, usec_t wall)
{
	sync->capture_floor = wall;
}

/* 0: a peer has a newer one. */
static uint64_t floor_version(struct sync *sync, const struct entry *entry)
{
	uint64_t version = hlc_version(sync->capture_floor);
	table_ref ref = table_find(sync->table, &entry->flow);
	struct table_meta meta;

	if (ref) {
		table_get(sync->table, ref, NULL, &meta);
		if (meta.version.hlc >= version && meta.version.origin != sync->identity->id)
			return 0;
		version = MAX(version, meta.version.hlc + 1);
	}
	hlc_observe(&sync->hlc, version);
	return version;
}

/* hlc 0: a peer has a newer one. */
static int capture_as(struct sync *sync, const struct entry *entry, enum table_list list,
		      uint64_t hlc, struct now now)
{
	enum table_result result;

	if (hlc == 0) {
		sync->counters.stale++;
		return 0;
	}
	result = list == TABLE_JOURNAL ? table_capture(sync->table, entry, hlc, mono_seconds(now))
				       : table_withhold(sync->table, entry, hlc, mono_seconds(now),
							list, mono_mark(now));
	if (result == TABLE_FULL) {
		sync->counters.refused_full++;
		return -ENOSPC;
	}
	sync->counters.captured++;
	return 0;
}

static int capture(struct sync *sync, const struct entry *entry, enum table_list list,
		   struct now now)
{
	uint64_t hlc =
		sync->capture_floor ? floor_version(sync, entry) : hlc_stamp(&sync->hlc, now.wall);

	return capture_as(sync, entry, list, hlc, now);
}

int sync_capture(struct sync *sync, const struct entry *entry, struct now now)
{
	enum table_list list = sync_policy_place(sync, entry, false, now);
	table_ref ref;

	if (entry->flow.template && templates_ignore(sync, entry))
		return 0;
	if (list != TABLE_LISTS)
		return capture(sync, entry, list, now);
	sync->counters.captured++;
	ref = table_find(sync->table, &entry->flow);
	if (ref)
		table_drop(sync->table, ref);
	return 0;
}

void sync_capture_group(struct sync *sync, const struct entry *entries, unsigned int count,
			struct now now)
{
	table_fetch(sync->table, entries, count);
	for (unsigned int i = 0; i < count; i++)
		sync_capture(sync, &entries[i], now);
}

/* Our kernel reported it in this life. */
static bool is_own(const struct table_meta *meta)
{
	return (meta->list == TABLE_JOURNAL && !meta->returned) || !table_list_shared(meta->list);
}

/* True if this kernel, which does not outlive its boot, had the flow when we stamped it. */
static bool kernel_had(const struct sync *sync, struct table_version version, struct now now)
{
	return version.origin == sync->identity->id &&
	       hlc_since(version.hlc) + now.mono >= now.wall;
}

/* True if the kernel had the flow then, and has something newer since: not if a life of ours came
 * between that did not get the entry, for a peer that had an older one may have set the kernel
 * back. */
static bool kernel_knew(const struct sync *sync, const struct entry *kernel,
			const struct entry *stamped, struct table_version version, struct now now)
{
	if (!kernel_had(sync, version, now) || entry_agrees(kernel, stamped))
		return false;
	return hlc_before(version.hlc, sync->returned) || !hlc_before(version.hlc, sync->before);
}

/* Newer than the version published in our earlier life, and not than others' captures since. */
static void capture_found(struct sync *sync, const struct entry *entry, uint64_t stamped,
			  struct now now)
{
	hlc_observe(&sync->hlc, stamped + 1);
	capture_as(sync, entry, TABLE_JOURNAL, stamped + 1, now);
}

/* Before we read this connection from the kernel, a peer returned the entry that we ourselves had
 * stamped in an earlier life: the kernel is right, as in kernel_went_on(). */
static void adopt_after_merge(struct sync *sync, const struct entry *entry, struct now now)
{
	table_ref ref = table_find(sync->table, &entry->flow);
	struct table_meta meta;
	struct entry stamped;

	table_get(sync->table, ref, &stamped, &meta);
	if (is_own(&meta))
		return;
	if (kernel_knew(sync, entry, &stamped, meta.version, now))
		capture_found(sync, entry, meta.version.hlc, now);
	else if (kernel_had(sync, meta.version, now) && entry_agrees(entry, &stamped) &&
		 meta.list != TABLE_JOURNAL && !table_list_differs(meta.list))
		table_mark_injected(sync->table, ref);
	else
		templates_found(sync, ref, entry);
}

int sync_adopt(struct sync *sync, const struct entry *entry, struct now now)
{
	enum table_list list = sync_policy_place(sync, entry, true, now);

	if (list == TABLE_LISTS)
		return 0;
	switch (table_adopt(sync->table, entry, mono_seconds(now), list)) {
	case TABLE_FULL:
		sync->counters.refused_full++;
		return -ENOSPC;
	case TABLE_NEW:
		sync->counters.adopted++;
		return 0;
	default:
		adopt_after_merge(sync, entry, now);
		return 0;
	}
}

void sync_adopting(struct sync *sync, bool adopting)
{
	sync->adopting = adopting;
	if (!adopting)
		templates_looked(sync);
}

/* A peer returns an entry that we stamped in an earlier life, and the kernel has gone on since: the
 * kernel is right, and needs a version above the peer's. An entry captured in this life may have a
 * lower one only because the clock was set back in between. */
static bool kernel_went_on(const struct sync *sync, const struct entry *entry,
			   struct table_version version, struct now now, struct entry *ret_held)
{
	struct table_meta meta;
	table_ref ref;

	if (version.origin != sync->identity->id)
		return false;
	ref = table_find(sync->table, &entry->flow);
	if (!ref)
		return false;
	table_get(sync->table, ref, ret_held, &meta);
	if (meta.version.hlc >= version.hlc)
		return false;
	if (meta.adopted)
		return kernel_knew(sync, ret_held, entry, version, now);
	return is_own(&meta);
}

/* Peers know of the flow, so we publish every change of it. */
static void publish(struct sync *sync, const struct flow *flow, struct now now)
{
	struct table_meta meta;
	table_ref ref;

	if (sync_unshared(sync) == 0)
		return;
	ref = table_find(sync->table, flow);
	table_get(sync->table, ref, NULL, &meta);
	if (!table_list_shared(meta.list))
		table_publish(sync->table, ref, hlc_stamp(&sync->hlc, now.wall));
}

/* A peer's entry took the place of one that our kernel had reported. since: the highest version
 * known when that peer was heard last before it was away, 0: it was not. */
static void count_displaced(struct sync *sync, const struct entry *entry,
			    struct table_version version, struct table_displaced displaced,
			    uint64_t since)
{
	struct entry ours = *entry;
	bool both;

	if (!displaced.hlc || version.origin == sync->identity->id)
		return;
	ours.state = displaced.state;
	both = since && displaced.hlc > since && version.hlc > since;
	sync->counters.concurrent_updates += both;
	if (displaced.elsewhere && conn_state_phase(entry) != CONN_PHASE_CLOSING &&
	    conn_state_phase(&ours) != CONN_PHASE_CLOSING &&
	    (both || hlc_wall(version.hlc - displaced.hlc) <= TABLE_REFRESH * USEC_PER_SEC))
		sync->counters.conflicts++;
}

/* Merges one entry of a peer. True: it was news. */
static bool merge(struct sync *sync, const struct entry *entry, struct table_version version,
		  uint32_t age, uint64_t since, struct now now)
{
	struct table_displaced displaced;
	struct entry held;

	if (!kernel_wire_valid(entry)) {
		sync->refused[SYNC_E_ENTRY]++;
		return false;
	}
	hlc_observe(&sync->hlc, version.hlc);
	if (!sync_entry_lives(entry, age)) {
		sync->counters.expired++;
		return false;
	}
	if (kernel_went_on(sync, entry, version, now, &held)) {
		capture_found(sync, &held, version.hlc, now);
		return false;
	}
	switch (table_merge(sync->table, entry, version, mono_seconds(now) - age, &displaced)) {
	case TABLE_NEW:
		if (sync->adopting && kernel_had(sync, version, now))
			table_mark_injected(sync->table, table_find(sync->table, &entry->flow));
		sync->counters.learned++;
		return true;
	case TABLE_CHANGED:
		count_displaced(sync, entry, version, displaced, since);
		if (displaced.hlc)
			superseded_note(sync, &entry->flow, displaced.position, now);
		sync->counters.learned++;
		return true;
	case TABLE_SAME:
	case TABLE_STALE:
		publish(sync, &entry->flow, now);
		sync->counters.stale++;
		break;
	case TABLE_FULL:
		sync->counters.refused_full++;
		break;
	}
	return false;
}

/* The next entries of the batch that are to be merged; *read counts all. The reader keeps options
 * until its next entry, so that one with some is the last. */
static unsigned int read_group(struct sync *sync, struct entry *entries,
			       struct table_version *versions, uint32_t *ages, unsigned int *read)
{
	unsigned int n = 0;

	while (n < TABLE_FETCH_MAX &&
	       batch_next(sync->reader, &entries[n], &versions[n], &ages[n])) {
		++*read;
		if (entries[n++].options)
			break;
	}
	return n;
}

void sync_merge_batch(struct sync *sync, const struct sync_stream *stream, bool wanted,
		      struct now now, struct merged *ret_merged)
{
	const struct subscription *subscription = &stream->subscription;
	/* Only for entries that the peer captured while it was away. */
	uint64_t since =
		wanted || subscription_caught_up(subscription) ? 0 : subscription->since_away;
	struct table_version versions[TABLE_FETCH_MAX];
	struct entry entries[TABLE_FETCH_MAX];
	uint32_t ages[TABLE_FETCH_MAX];
	struct merged merged = {0};
	unsigned int n;
	bool news;

	while ((n = read_group(sync, entries, versions, ages, &merged.read)) > 0) {
		table_fetch(sync->table, entries, n);
		for (unsigned int i = 0; i < n; i++) {
			if (versions[i].origin == stream->peer_id)
				merged.hlc = MAX(merged.hlc, versions[i].hlc);
			news = flow_is_fact(&entries[i].flow)
				       ? fact_merge(sync, &entries[i], versions[i], ages[i],
						    stream->peer_id, now)
				       : merge(sync, &entries[i], versions[i], ages[i], since, now);
			if (!news)
				continue;
			merged.news++;
			merged.covered += anti_entropy_covers(versions[i], &entries[i],
							      subscription->horizon);
		}
	}
	*ret_merged = merged;
}

void sync_tick(struct sync *sync, struct now now)
{
	sync->counters.expired += table_sweep(sync->table, mono_seconds(now), SWEEP_BUDGET);
	subscriber_tick(sync, now);
	superseded_tick(sync, now);
	join_tick(sync, now);
	anti_entropy_tick(sync, now);
	templates_tick(sync, now);
	ask_all(sync);
}

/* Injection */

/* The timeout that is left, so that the entry ends here when it ends at its origin. 0: it has. */
static uint32_t inject_timeout(const struct entry *entry, uint32_t refreshed, uint32_t now)
{
	uint32_t lifetime = table_lifetime(entry->timeout);
	uint32_t age = now > refreshed ? now - refreshed : 0;

	return lifetime > age ? lifetime - age : 0;
}

bool sync_inject_entry(const struct sync *sync, table_ref ref, struct now now,
		       struct entry *ret_entry, struct table_meta *ret_meta)
{
	table_get(sync->table, ref, ret_entry, ret_meta);
	ret_entry->timeout = inject_timeout(ret_entry, ret_meta->refreshed, mono_seconds(now));
	return ret_entry->timeout > 0;
}

/* Adds an entry with the timeout that is left; -ENOENT: none is; -ENOSPC: the message is full. The
 * kernel ignores the end of a connection that it holds with another real server: then the message
 * reports the connection alive first. */
static int inject_add(struct sync *sync, table_ref ref, struct now now,
		      struct kernel_wire_writer *writer)
{
	struct table_meta meta;
	struct entry entry;

	if (!sync_inject_entry(sync, ref, now, &entry, &meta))
		return -ENOENT;
	if (meta.list == TABLE_REPLACE && entry.flags & ENTRY_INACTIVE) {
		struct entry lives = entry;

		lives.flags &= ~ENTRY_INACTIVE;
		if (kernel_wire_add(writer, &lives) < 0)
			return -ENOSPC;
	}
	return kernel_wire_add(writer, &entry);
}

static bool inject_reinjected(struct sync *sync, struct now now, struct kernel_wire_writer *writer)
{
	while (sync->reinject_len > 0) {
		table_ref ref = table_find(sync->table, &sync->reinject[sync->reinject_len - 1]);
		int r = ref ? inject_add(sync, ref, now, writer) : -ENOENT;

		if (r == -ENOSPC)
			return false;
		sync->counters.reinjected += r == 0;
		sync->reinject_len--;
	}
	return true;
}

static table_ref inject_head(const struct sync *sync)
{
	table_ref ref = table_list_head(sync->table, TABLE_REPLACE);

	return ref ? ref : table_list_head(sync->table, TABLE_INJECT);
}

size_t sync_inject(struct sync *sync, struct now now, uint8_t *data, size_t cap)
{
	struct kernel_wire_writer writer;
	table_ref ref;
	int r = 0;

	kernel_wire_write(&writer, data, cap, sync->syncid);
	while (r != -ENOSPC && (ref = inject_head(sync))) {
		r = inject_add(sync, ref, now, &writer);
		if (r != -ENOSPC)
			table_list_move(sync->table, ref,
					r == -ENOENT ? TABLE_IDLE : TABLE_UNCONFIRMED);
	}
	if (r != -ENOSPC && ending_inject(sync, &writer) && inject_reinjected(sync, now, &writer))
		templates_inject(sync, now, &writer);
	return kernel_wire_finish(&writer);
}

bool sync_inject_pending(const struct sync *sync)
{
	return inject_head(sync) || ending_pending(sync) || sync->reinject_len > 0 ||
	       templates_pending(sync);
}

int sync_reinject(struct sync *sync, const struct flow *flow)
{
	if (sync->reinject_len == REINJECT_MAX)
		return -EAGAIN;
	sync->reinject[sync->reinject_len++] = *flow;
	return 0;
}

void sync_injected(struct sync *sync)
{
	table_ref ref;

	sync->counters.injected += table_list_count(sync->table, TABLE_UNCONFIRMED);
	while ((ref = table_list_head(sync->table, TABLE_UNCONFIRMED)))
		table_mark_injected(sync->table, ref);
	ending_injected(sync);
	templates_injected(sync);
	join_look(sync);
}

bool sync_inject_awaited(const struct sync *sync)
{
	return sync->join.done && !sync->join.complete && !sync_inject_pending(sync);
}

void sync_inject_lost(struct sync *sync)
{
	sync->counters.inject_retries += table_list_count(sync->table, TABLE_UNCONFIRMED);
	table_list_splice(sync->table, TABLE_UNCONFIRMED, TABLE_REPLACE);
	ending_lost(sync);
	templates_lost(sync);
}

/* For people */

void sync_status(const struct sync *sync, struct sync_status *ret_status)
{
	*ret_status = sync->counters;
	ret_status->entries = table_count(sync->table);
	ret_status->entries_own = table_list_count(sync->table, TABLE_JOURNAL) -
				  table_list_facts(sync->table, TABLE_JOURNAL) +
				  sync_unshared(sync);
	ret_status->facts = table_facts(sync->table);
	ret_status->position = table_position(sync->table);
	ret_status->stamped = hlc_wall(sync->hlc.last);
	ret_status->inject_pending = table_list_count(sync->table, TABLE_INJECT) +
				     table_list_count(sync->table, TABLE_REPLACE);
	ret_status->inject_unconfirmed = table_list_count(sync->table, TABLE_UNCONFIRMED);
	ret_status->young = table_list_count(sync->table, TABLE_YOUNG);
	ret_status->flood_waiting = table_list_count(sync->table, TABLE_WAITING);
	ret_status->local = table_list_count(sync->table, TABLE_LOCAL);
	templates_status(sync, ret_status);
	ret_status->refused_entry = sync->refused[SYNC_E_ENTRY];
	ret_status->joined = sync->join.done;
	ret_status->complete = sync->join.complete;
	ret_status->join_timed_out = sync->join.ended;
	ret_status->join_shares = sync->join.shares;
	ret_status->join_shares_done = sync->join.shares_done;
	ret_status->join_entries = sync->join.entries;
}

bool sync_walk(const struct sync *sync, uint64_t *cursor, struct entry *ret_entry,
	       struct sync_info *ret_info)
{
	table_ref ref = table_walk(sync->table, cursor);
	struct table_meta meta;
	bool own;

	if (!ref)
		return false;
	table_get(sync->table, ref, ret_entry, &meta);
	own = meta.list == TABLE_JOURNAL || !table_list_shared(meta.list);
	*ret_info = (struct sync_info){
		.origin = meta.version.origin,
		.hlc = meta.version.hlc,
		.expires = ((usec_t)meta.refreshed + table_lifetime(ret_entry->timeout) -
			    SECONDS_BASE) *
			   USEC_PER_SEC,
		.own = own,
		.in_kernel = own || meta.list == TABLE_IDLE,
		.shared = table_list_shared(meta.list),
	};
	return true;
}

bool sync_origin(const struct sync *sync, unsigned int i, uint64_t *ret_id, uint64_t *ret_entries)
{
	struct table_origin origin;

	if (!table_origin(sync->table, i, &origin))
		return false;
	*ret_id = origin.id;
	*ret_entries = origin.entries;
	return true;
}

uint64_t sync_refused(const struct sync *sync, int error)
{
	assert(error >= 0 && error < SYNC_E_MAX);
	return sync->refused[error];
}

const char *sync_error_name(int error)
{
	static const char *const names[SYNC_E_MAX] = {
		[SYNC_E_KIND] = "kind",           [SYNC_E_MALFORMED] = "malformed",
		[SYNC_E_SIGNATURE] = "signature", [SYNC_E_ORDER] = "order",
		[SYNC_E_POSITION] = "position",   [SYNC_E_CLOCK] = "clock-ahead",
		[SYNC_E_ENTRY] = "entry",         [SYNC_E_MEMORY] = "memory",
	};

	return error > 0 && error < SYNC_E_MAX ? names[error] : "unknown";
}
