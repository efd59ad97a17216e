/* The parts of `status` and `peers` that say whether replication works, what the table holds, and
 * how each peer keeps up. */
#include "director/control/status_private.h"

static bool nothing_replicated(const struct service_set *services)
{
	for (size_t i = 0; i < services->count; i++)
		if (!services->services[i].sync_off)
			return false;
	return services->count > 0;
}

enum replication status_replication(const struct status_facts *facts,
				    const struct node_status *node, const struct peers *peers)
{
	if (!node->ready)
		return REPLICATION_STARTING;
	if (nothing_replicated(&facts->config->services))
		return REPLICATION_OFF;
	if (peers->count == peers->away)
		return REPLICATION_ALONE;
	if (facts->silent_since || facts->blocked_since || facts->unseen_since)
		return REPLICATION_STALLED;
	if (facts->entries_max && node->sync.entries >= facts->entries_max)
		return REPLICATION_FULL;
	if (peers->connected < peers->count - peers->away)
		return REPLICATION_INCOMPLETE;
	return peers->lagging ? REPLICATION_LAGGING : REPLICATION_WORKS;
}

const char *status_replication_name(enum replication replication)
{
	static const char *const names[] = {
		[REPLICATION_STARTING] = "starting", [REPLICATION_OFF] = "off",
		[REPLICATION_ALONE] = "alone",       [REPLICATION_STALLED] = "stalled",
		[REPLICATION_FULL] = "full",         [REPLICATION_INCOMPLETE] = "incomplete",
		[REPLICATION_LAGGING] = "lagging",   [REPLICATION_WORKS] = "works",
	};

	return names[replication];
}

static const struct counter_row entries_rows[] = {
	COUNTER_ROW(struct sync_status, entries, "total", COUNTER_NOW,
		    "Connections that it knows."),
	COUNTER_ROW(struct sync_status, entries_own, "own", COUNTER_NOW,
		    "Those of them that this kernel last carried."),
	COUNTER_ROW(struct sync_status, position, "position", COUNTER_TOTAL,
		    "The journal's position: how many changes this director has recorded."),
	COUNTER_ROW(struct sync_status, inject_pending, "inject_pending", COUNTER_NOW,
		    "Waiting to be injected into the kernel."),
	COUNTER_ROW(struct sync_status, inject_unconfirmed, "inject_unconfirmed", COUNTER_NOW,
		    "Injected, and not yet known to be in the kernel."),
	COUNTER_ROW(struct sync_status, captured, "captured", COUNTER_TOTAL,
		    "Reported by the kernel."),
	COUNTER_ROW(struct sync_status, adopted, "adopted", COUNTER_TOTAL,
		    "Found in the kernel at the start, or when its connections were read again."),
	COUNTER_ROW(struct sync_status, learned, "learned", COUNTER_TOTAL, "Learned from peers."),
	COUNTER_ROW(struct sync_status, stale, "stale", COUNTER_TOTAL,
		    "Refused, since as new a version was known."),
	COUNTER_ROW(struct sync_status, expired, "expired", COUNTER_TOTAL,
		    "Left out, or dropped, since their time had passed."),
	COUNTER_ROW(struct sync_status, injected, "injected", COUNTER_TOTAL,
		    "Confirmed to be in the kernel."),
	COUNTER_ROW(struct sync_status, inject_retries, "inject_retries", COUNTER_TOTAL,
		    "Injected again since the kernel dropped them."),
	COUNTER_ROW(struct sync_status, reinjected, "reinjected", COUNTER_TOTAL,
		    "Injected again since the kernel had lost them."),
	COUNTER_ROW(struct sync_status, ended, "ended", COUNTER_TOTAL,
		    "Ended here since their real server was down."),
	COUNTER_ROW(struct sync_status, repaired_from_peers, "repaired_from_peers", COUNTER_TOTAL,
		    "Learned since a comparison with a peer found them missing; 0 unless something "
		    "went wrong."),
	COUNTER_ROW(struct sync_status, orphans_learned, "orphans_learned", COUNTER_TOTAL,
		    "Learned of directors that died, from others that knew more."),
	COUNTER_ROW(struct sync_status, tables_compared, "tables_compared", COUNTER_TOTAL,
		    "Comparisons with the tables of peers."),
	COUNTER_ROW(struct sync_status, join_shares, "join_shares", COUNTER_NOW,
		    "Parts of the table asked of peers at the start."),
	COUNTER_ROW(struct sync_status, join_shares_done, "join_shares_done", COUNTER_NOW,
		    "Those of them that have come."),
	COUNTER_ROW(struct sync_status, join_entries, "join_entries", COUNTER_TOTAL,
		    "Connections that came in them."),
	COUNTER_ROW(struct sync_status, parts_differed, "parts_differed", COUNTER_TOTAL,
		    "Parts of peers' tables that differed when they were compared."),
	COUNTER_ROW(struct sync_status, concurrent_updates, "concurrent_updates", COUNTER_TOTAL,
		    "Connections of this director that another one changed too, later, while they "
		    "were out of touch."),
	COUNTER_ROW(struct sync_status, conflicts, "conflicts", COUNTER_TOTAL,
		    "Connections of this director that a later change by another one gave another "
		    "real server."),
	COUNTER_ROW(struct sync_status, refused_full, "refused_full", COUNTER_TOTAL,
		    "Refused, since the table was full."),
	COUNTER_ROW(struct sync_status, refused_entry, "refused_entry", COUNTER_TOTAL,
		    "Refused, since no kernel would take them."),
	COUNTER_ROW(struct sync_status, batches_received, "batches_received", COUNTER_TOTAL,
		    "Batches from peers."),
	COUNTER_ROW(struct sync_status, batches_sent, "batches_sent", COUNTER_TOTAL,
		    "Batches to peers."),
	COUNTER_ROW(struct sync_status, young, "young", COUNTER_NOW,
		    "Own ones, not replicated yet: younger than the minimal age."),
	COUNTER_ROW(struct sync_status, flood_waiting, "flood_waiting", COUNTER_NOW,
		    "Own ones, not replicated yet: too many of their kind in a flood."),
	COUNTER_ROW(
		struct sync_status, local, "local", COUNTER_NOW,
		"Own ones that are not replicated: of services with sync: off, or ended young."),
	COUNTER_ROW(struct sync_status, local_total, "local_total", COUNTER_TOTAL,
		    "Flows of services with sync: off."),
	COUNTER_ROW(struct sync_status, young_ended, "young_ended", COUNTER_TOTAL,
		    "Not replicated, since they ended young."),
	COUNTER_ROW(struct sync_status, flood_shed, "flood_shed", COUNTER_TOTAL,
		    "Too many in a flood; not listed either."),
	COUNTER_ROW(struct sync_status, templates_differ, "templates_differ", COUNTER_NOW,
		    "Persistence templates that are in the kernel with another real server, or "
		    "were not yet seen to have been replaced there."),
	COUNTER_ROW(struct sync_status, templates_replaced, "templates_replaced", COUNTER_TOTAL,
		    "Persistence templates that the kernel was made to replace."),
	COUNTER_ROW(struct sync_status, templates_ignored, "templates_ignored", COUNTER_TOTAL,
		    "Reports of persistence templates that were to end."),
};

const struct counter_table status_entries_counters = COUNTER_ROWS("entries", entries_rows);

json_t *status_entries(const struct sync_status *sync)
{
	json_t *object = json_object();
	struct counter counter;

	for (unsigned int i = 0; counter_get(&status_entries_counters, sync, &i, &counter); i++)
		json_object_set_new(object, counter.name, json_integer(number(counter.value)));
	json_object_set_new(object, "joined", json_boolean(sync->joined));
	json_object_set_new(object, "complete", json_boolean(sync->complete));
	json_object_set_new(object, "join_timed_out", json_boolean(sync->join_timed_out));
	return object;
}

static json_t *receive_make(const struct node_stream_status *stream)
{
	if (stream->phase != NODE_STREAM_READY)
		return json_null();
	return json_pack("{s:b, s:I, s:I, s:I, s:I}", "synced", stream->sync.synced, "position",
			 number(stream->sync.position), "behind", number(stream->sync.behind),
			 "entries", number(stream->sync.entries), "bytes",
			 number(stream->sync.bytes));
}

static json_t *send_make(const struct node_stream_status *stream)
{
	json_t *object = receive_make(stream);

	if (json_is_object(object))
		json_object_set_new(object, "lag_ms",
				    json_integer(number(stream->sync.lag / USEC_PER_MSEC)));
	return object;
}

json_t *status_peer(const struct peer *peer, struct now now)
{
	const struct node_stream_status *stream =
		peer->out.phase == NODE_STREAM_READY ? &peer->out : &peer->in;
	char where[ENDPOINT_TEXT], id[STATUS_ID_TEXT];

	return json_pack(
		"{s:s?, s:s?, s:s?, s:b, s:s, s:o, s:s?, s:o, s:o, s:I, s:o, s:o}", "name",
		*peer->name ? peer->name : NULL, "id", peer->id ? status_id(peer->id, id) : NULL,
		"address", peer->where.ip.family ? endpoint_format(&peer->where, where) : NULL,
		"connected", peer->connected, "state", peer->state, "for_s",
		stream->since ? json_integer(since(stream->since, now)) : json_null(),
		"close_reason", peer->close_reason, "epoch",
		stream->epoch ? json_integer(number(stream->epoch)) : json_null(),
		"protocol_version", stream->version ? json_integer(stream->version) : json_null(),
		"own_entries", number(peer->entries), "receive", receive_make(&peer->in), "send",
		send_make(&peer->out));
}
