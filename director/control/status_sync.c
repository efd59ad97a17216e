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
	if (peers->alive < peers->count - peers->away)
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

json_t *status_entries(const struct sync_status *sync)
{
	const struct {
		const char *name;
		uint64_t value;
	} values[] = {
		{"total", sync->entries},
		{"own", sync->entries_own},
		{"position", sync->position},
		{"inject_pending", sync->inject_pending},
		{"inject_unconfirmed", sync->inject_unconfirmed},
		{"captured", sync->captured},
		{"adopted", sync->adopted},
		{"learned", sync->learned},
		{"stale", sync->stale},
		{"expired", sync->expired},
		{"injected", sync->injected},
		{"inject_retries", sync->inject_retries},
		{"reinjected", sync->reinjected},
		{"repaired_from_peers", sync->repaired_from_peers},
		{"orphans_learned", sync->orphans_learned},
		{"tables_compared", sync->tables_compared},
		{"join_shares", sync->join_shares},
		{"join_shares_done", sync->join_shares_done},
		{"join_entries", sync->join_entries},
		{"parts_differed", sync->parts_differed},
		{"concurrent_updates", sync->concurrent_updates},
		{"conflicts", sync->conflicts},
		{"refused_full", sync->refused_full},
		{"refused_entry", sync->refused_entry},
		{"batches_received", sync->batches_received},
		{"batches_sent", sync->batches_sent},
		{"young", sync->young},
		{"flood_waiting", sync->flood_waiting},
		{"local", sync->local},
		{"local_total", sync->local_total},
		{"young_ended", sync->young_ended},
		{"flood_shed", sync->flood_shed},
		{"templates_differ", sync->templates_differ},
		{"templates_replaced", sync->templates_replaced},
		{"templates_ignored", sync->templates_ignored},
	};
	json_t *object = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		json_object_set_new(object, values[i].name, json_integer(number(values[i].value)));
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
		"connected", peer->alive, "state", peer->state, "for_s",
		stream->since ? json_integer(since(stream->since, now)) : json_null(),
		"close_reason", peer->why, "epoch",
		stream->epoch ? json_integer(number(stream->epoch)) : json_null(),
		"protocol_version", stream->version ? json_integer(stream->version) : json_null(),
		"own_entries", number(peer->entries), "receive", receive_make(&peer->in), "send",
		send_make(&peer->out));
}
