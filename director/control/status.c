#include "director/control/status_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "director/event/event_json.h"
#include "director/text.h"

/* Entries in one bucket of the kernel's table before every packet pays for the walk. */
#define CHAIN_MAX 8
/* A flood is reported for so long after its last flow. */
#define SHED_NOTICE (60 * USEC_PER_SEC)
#define EXPIRY_NOTICE (14 * 24 * 3600 * USEC_PER_SEC)

char *status_id(uint64_t id, char *text)
{
	snprintf(text, STATUS_ID_TEXT, "%016" PRIx64, id);
	return text;
}

__attribute__((format(printf, 2, 3))) static void problem(json_t *problems, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_array_append_new(problems, text_json(text));
}

/* Open incidents, which no other problem repeats. That a director drains is no problem. */
static void problems_of_incidents(json_t *problems, const struct event_log *events)
{
	const struct event *event;

	for (unsigned int i = 0; (event = event_log_incident(events, &i));) {
		char time[EVENT_TIME_TEXT];

		if (event_type(event->kind)->severity < EVENT_NOTICE)
			problem(problems, "%s Since %s (%s).", event->message,
				event_time_format(event->time.wall, time),
				event_type(event->kind)->name);
	}
}

/* Addresses of cluster.join that are no director's, in one sentence. */
static void problem_of_join(json_t *problems, const struct membership *membership)
{
	char names[512], text[ENDPOINT_TEXT];
	unsigned int cursor = 0;
	struct endpoint endpoint;
	size_t len = 0;

	while (len + ENDPOINT_TEXT + 2 < sizeof(names) &&
	       membership_unanswered(membership, &cursor, &endpoint))
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", len ? ", " : "",
					endpoint_format(&endpoint, text));
	if (len)
		problem(problems,
			"No director has answered at %s since this one started: correct "
			"cluster.join, or start that director.",
			names);
}

/* Failed members are incidents; members away within their lease are as planned. */
static void problems_of_members(json_t *problems, const struct status_facts *facts)
{
	const struct membership *membership = node_membership(facts->node);
	struct membership_status status;
	struct member_info info;
	unsigned int cursor = 0;

	while (membership_walk(membership, &cursor, &info)) {
		if (info.state == STATE_UNPROVEN)
			problem(problems, "Member %s has not answered since this director started.",
				info.name);
		else if (info.state == STATE_FAILED &&
			 !event_log_find(facts->events, EVENT_MEMBER_FAILED, info.name))
			problem(problems, "Member %s has failed.", info.name);
	}
	problem_of_join(problems, membership);
	membership_status(membership, &status);
	if (status.quorum == QUORUM_MINORITY && facts->config->withdraw)
		problem(problems, "This director takes no traffic: it is in a minority.");
}

static bool is_alive(const struct node *node, uint64_t id)
{
	struct member_info info;

	return id == 0 || !membership_find(node_membership(node), id, &info) ||
	       info.state == STATE_ALIVE;
}

static void problems_of_peers(json_t *problems, const struct status_facts *facts,
			      const struct peers *peers)
{
	const struct event_log *events = facts->events;

	for (unsigned int i = 0; i < peers->count; i++) {
		const struct peer *peer = &peers->peers[i];
		char where[ENDPOINT_TEXT];

		endpoint_format(&peer->where, where);
		if (peer->away || !is_alive(facts->node, peer->id) ||
		    event_log_find(events, EVENT_MEMBER_FAILED, peer->name) ||
		    event_log_find(events, EVENT_REPLICATION_LAGGING, peer->name))
			continue;
		if (!peer->connected)
			problem(problems, "Peer %s%s%s is not connected both ways (%s)%s%s.",
				peer->name, *peer->name ? " at " : "", where, peer->state,
				peer->close_reason ? ": " : "",
				peer->close_reason ? peer->close_reason : "");
		else if (peer->lags)
			problem(problems,
				"Peer %s is %" PRIu64 " ms behind: connections younger than that "
				"are lost if this director dies.",
				peer->name, peer->out.sync.lag / USEC_PER_MSEC);
	}
}

static void problems_of_tap(json_t *problems, const struct status_facts *facts, struct now now)
{
	const char *name = facts->identity->certificate.name;

	if (facts->stalled_since && !event_log_find(facts->events, EVENT_FORWARDER_STALLED, name))
		problem(problems,
			"The forwarder is stalled: IPVS has not forwarded the probe for %lld s.",
			(long long)since(facts->stalled_since, now));
	if (facts->silent_since)
		problem(problems, "The kernel's master sync thread has sent nothing for %lld s.",
			(long long)since(facts->silent_since, now));
	if (facts->blocked_since)
		problem(problems, "The kernel's backup sync thread has taken nothing for %lld s.",
			(long long)since(facts->blocked_since, now));
}

static bool is_ftp_by_nat(const struct service *service)
{
	bool nat = false;

	for (size_t i = 0; i < service->n_real_servers; i++)
		nat |= service->real_servers[i].forwarding == FORWARDING_NAT;
	return nat && service->key.protocol == IPPROTO_TCP && service->key.vip.port == 21;
}

static void problems_of_ftp(json_t *problems, const struct status_facts *facts)
{
	const struct service_set *services = &facts->config->services;

	for (size_t i = 0; facts->ftp_damaged && i < services->count; i++)
		if (is_ftp_by_nat(&services->services[i]))
			problem(problems,
				"This kernel damages FTP connections of service %s, behind nat, "
				"while a sync thread runs: install one that does not (Debian's "
				"6.1.190, 6.12.111 or later), or use another forwarding method.",
				services->services[i].name);
}

static void problems_of_changes(json_t *problems, const struct status_facts *facts, struct now now)
{
	const struct observer_change *change;
	unsigned int i = 0;

	while (facts->observer && (change = observer_contested(facts->observer, &i, now))) {
		if (change->error < 0)
			problem(problems, "%s %s and can't be put back: %s.", change->what,
				change->was, strerror(-change->error));
		else
			problem(problems,
				"Another program changes %s repeatedly (%u times, the last time it "
				"%s), and lvsmeshd puts it back each time: find that program and "
				"stop it.",
				change->what, change->count, change->was);
	}
}

static void problems_of_kernel(json_t *problems, const struct status_facts *facts,
			       const struct node_status *node, struct now now)
{
	if (!facts->programmed && !event_log_find(facts->events, EVENT_SERVICE_REFUSED,
						  facts->identity->certificate.name))
		problem(problems, "The services are not programmed: %s.",
			facts->program_error ? facts->program_error : "not tried yet");
	if (facts->vip_error)
		problem(problems, "The VIPs can't be configured: %s.", facts->vip_error);
	if (facts->adopt_error)
		problem(problems, "The kernel's connections could not be read at start: %s.",
			facts->adopt_error);
	if (!facts->adopted && facts->announcing)
		problem(problems, "lvsmeshd is still reading the connections that the kernel had "
				  "when it started: those that only this director carries would "
				  "be lost if it died now.");
	if (!facts->guarded)
		problem(problems, "Any user of this host can put connections into the kernel "
				  "through the wire tap: `modprobe -a sch_ingress cls_u32 "
				  "act_gact` and restart lvsmeshd.");
	if (facts->table_small && node->sync.entries / CHAIN_MAX > facts->table_size)
		problem(problems,
			"IPVS has only %u buckets for %" PRIu64 " connections: set "
			"conn_tab_bits=20 in /etc/modprobe.d/lvsmesh.conf and load ip_vs again.",
			facts->table_size, node->sync.entries);
	if (node->sync.flood_shed_time && node->sync.flood_shed_time + SHED_NOTICE > now.mono)
		problem(problems,
			"Flood: %" PRIu64 " flows that were not established exceeded the limit of "
			"%u a second (sync.flood-rate) and were not replicated.",
			node->sync.flood_shed, facts->config->sync.flood_rate);
	if (node->sync.templates_late > 0)
		problem(problems,
			"%" PRIu64 " persistence templates in this kernel have another real server "
			"than on the other directors, or are being replaced: new connections of "
			"these clients may go to either. The kernel replaces a template once its "
			"client has opened no connection through this director for a second.",
			node->sync.templates_late);
	if (facts->entries_max && node->sync.entries >= facts->entries_max)
		problem(problems,
			"The table of connections is full (%" PRIu64 " entries): new ones are not "
			"replicated.",
			node->sync.entries);
}

static void problems_of_self(json_t *problems, const struct status_facts *facts,
			     const struct node_status *node, struct now now)
{
	const struct certificate *certificate = &facts->identity->certificate;
	usec_t not_after = certificate->not_after < USEC_NEVER / USEC_PER_SEC
				   ? certificate->not_after * USEC_PER_SEC
				   : USEC_NEVER;

	if (!node->ready && !node->draining)
		problem(problems, "Not ready to take traffic: waiting for %s.",
			node->waiting_for ? node->waiting_for : "the start to end");
	if (node->sync.join_timed_out)
		problem(problems,
			"This director started without all entries of its peers, which did not "
			"arrive within sync.join-timeout. The missing entries will arrive later.");
	if (facts->forwarder_ok && node->forwarder_trusted > now.mono)
		problem(problems,
			"IPVS stalled repeatedly; VIPs stay down until it has been healthy for "
			"another %" PRIu64 " s.",
			(node->forwarder_trusted - now.mono) / USEC_PER_SEC + 1);
	if (node->sync.stamped > now.wall + SYNC_CLOCK_AHEAD)
		problem(problems,
			"The clock was set back by more than an hour, so peers refuse the entries "
			"of this director: lvsmeshd restarts.");
	if (facts->roster_error)
		problem(problems,
			"The list of members can't be saved (%s): after a restart lvsmeshd would "
			"not know members that have joined since.",
			facts->roster_error);
	if (facts->reload_error)
		problem(problems,
			"The last reload was refused and the running configuration "
			"stays: %s",
			facts->reload_error);
	if (not_after < now.wall)
		problem(problems,
			"The certificate has expired: peers refuse it; renew it with "
			"`lvsmesh keygen node %s --renew`.",
			certificate->name);
	else if (not_after - now.wall < EXPIRY_NOTICE)
		problem(problems,
			"The certificate expires in %lld days: renew it with `lvsmesh keygen "
			"node %s --renew`.",
			(long long)((not_after - now.wall) / USEC_PER_SEC / 86400),
			certificate->name);
}

static json_t *problems_make(const struct status_facts *facts, const struct node_status *node,
			     const struct peers *peers, struct now now)
{
	json_t *problems = json_array();

	problems_of_incidents(problems, facts->events);
	problems_of_self(problems, facts, node, now);
	problems_of_tap(problems, facts, now);
	problems_of_kernel(problems, facts, node, now);
	problems_of_changes(problems, facts, now);
	problems_of_ftp(problems, facts);
	problems_of_members(problems, facts);
	problems_of_peers(problems, facts, peers);
	if (node->ready && !node->alone && peers->away > 0 && peers->away == peers->count)
		problem(problems, "All other directors are away, as they announced: if this one "
				  "dies now, its connections are lost.");
	return problems;
}

static json_t *incidents_make(const struct event_log *events)
{
	json_t *incidents = json_array();
	const struct event *event;

	for (unsigned int i = 0; (event = event_log_incident(events, &i));)
		json_array_append_new(incidents, event_json(events, event));
	return incidents;
}

static json_t *counters_make(const struct status_facts *facts)
{
	json_t *groups = json_object();
	struct counter counter;

	for (unsigned int i = 0; facts->counter(facts->context, i, &counter); i++) {
		json_t *group = json_object_get(groups, counter.group);

		if (!group) {
			group = json_object();
			json_object_set_new(groups, counter.group, group);
		}
		json_object_set_new(group, counter.name, json_integer(number(counter.value)));
	}
	return groups;
}

static json_t *config_make(const struct status_facts *facts, struct now now)
{
	return json_pack("{s:o, s:s?, s:I, s:I, s:I, s:o}", "path", text_json(facts->config_path),
			 "digest", facts->config_digest, "loaded_ago_s", since(facts->loaded, now),
			 "reloads", number(facts->reloads), "reloads_refused",
			 number(facts->reloads_refused), "last_error",
			 text_json(facts->reload_error));
}

static void text_of_cluster(const struct identity *identity, char *text)
{
	for (size_t i = 0; i < CLUSTER_ID_SIZE; i++)
		sprintf(text + 2 * i, "%02x", identity->certificate.cluster[i]);
}

json_t *status_make(const struct status_facts *facts, struct now now)
{
	static struct peers peers;
	char id[STATUS_ID_TEXT], cluster[2 * CLUSTER_ID_SIZE + 1];
	struct node_status node;

	node_status(facts->node, &node);
	peers_collect(facts->node, now, &peers);
	text_of_cluster(facts->identity, cluster);
	return json_pack(
		"{s:s, s:s, s:s, s:I, s:s, s:I, s:b, s:s?, s:b,"
		" s:{s:b, s:I},"
		" s:s, s:{s:i, s:i, s:i, s:I},"
		" s:{s:I, s:b, s:I, s:I, s:o}, s:o,"
		" s:o, s:b, s:b, s:o, s:o, s:b, s:{s:I, s:I, s:I, s:I, s:I, s:I}, s:o, s:o, s:o}",
		"name", facts->identity->certificate.name, "id", status_id(facts->identity->id, id),
		"cluster", cluster, "epoch", number(facts->epoch), "version", LVSMESH_VERSION,
		"uptime_s", since(facts->started, now), "ready", node.ready, "waiting_for",
		node.waiting_for, "announcing", facts->announcing, "forwarder", "ok",
		facts->forwarder_ok, "for_s", since(facts->forwarder_since, now), "replication",
		status_replication_name(status_replication(facts, &node, &peers)), "peers",
		"connected", (int)peers.connected, "expected", (int)(peers.count - peers.away),
		"away", (int)peers.away, "worst_lag_ms", number(peers.lag / USEC_PER_MSEC),
		"services", "configured", number(facts->config->services.count), "programmed",
		facts->programmed, "checked_ago_s", since(facts->programmed_at, now), "messages",
		number(facts->program_messages), "error", text_json(facts->program_error), "health",
		status_health(facts), "membership",
		status_membership(node_membership(facts->node), facts->identity->certificate.name),
		"draining", node.draining, "drained", node.drained, "entries",
		status_entries(&node.sync), "config", config_make(facts, now), "adoption_done",
		facts->adopted, "loop", "iteration_max_us", number(facts->iteration_max),
		"iteration_recent_us", number(facts->iteration_recent), "iteration_recent_p999_us",
		number(facts->iteration_recent_p999), "cpu_max_us", number(facts->cpu_max),
		"cpu_recent_us", number(facts->cpu_recent), "cpu_recent_p999_us",
		number(facts->cpu_recent_p999), "counters", counters_make(facts), "incidents",
		incidents_make(facts->events), "problems",
		problems_make(facts, &node, &peers, now));
}
