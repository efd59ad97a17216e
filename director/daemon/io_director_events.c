/* Watches the forwarder, the tap and the members, and raises the events for what goes wrong or
 * ends. */
#include <inttypes.h>
#include <stdio.h>

#include "director/daemon/io_director_private.h"
#include "director/io_clock.h"
#include "director/io_log.h"

#define SHED_LOG_INTERVAL (60 * USEC_PER_SEC)

void io_director_watch_forwarder(struct io_director *director)
{
	struct io_tap_status tap;

	io_tap_status(director->tap, &tap);
	observer_forwarder(director->config->node_name, tap.stalled_since,
			   io_alert_log(director->alert), clock_now());
	observer_injection(director->config->node_name, director->config->tap.interface,
			   tap.unseen_since, io_alert_log(director->alert), clock_now());
	io_alert_kick(director->alert);
}

static void watch_config(struct io_director *director, struct event_log *log, struct now now)
{
	const struct membership *membership = node_membership(io_node_get(director->node));
	uint64_t own = config_digest_number(director->config);
	unsigned int cursor = 0, count = 0;
	char names[EVENT_TEXT_MAX] = "";
	struct member_info info;
	size_t len = 0;

	while (membership_walk(membership, &cursor, &info)) {
		if (info.state != STATE_ALIVE || info.config == 0 || info.config == own)
			continue;
		if (len < sizeof(names))
			len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s",
						count ? ", " : "", info.name);
		count++;
	}
	observer_config(&director->observer, director->config->node_name, names, count, log, now);
}

static struct observer_named named_of(const char *name, uint64_t id, bool failed)
{
	struct observer_named named = {.id = id, .failed = failed};

	snprintf(named.name, sizeof(named.name), "%s", name);
	return named;
}

static void watch_names(struct io_director *director, struct event_log *log, struct now now)
{
	static struct observer_named named[MEMBERSHIP_MEMBERS_MAX + 1];
	const struct membership *membership = node_membership(io_node_get(director->node));
	unsigned int cursor = 0, count = 0;
	struct member_info info;

	named[count++] = named_of(director->config->node_name, director->identity->id, false);
	while (membership_walk(membership, &cursor, &info))
		if (info.state == STATE_ALIVE || info.state == STATE_SUSPECT ||
		    info.state == STATE_FAILED)
			named[count++] = named_of(info.name, info.id, info.state == STATE_FAILED);
	observer_names(named, count, log, now);
}

/* A member that has never answered may be hearsay; one that is gone needs no place. */
static void watch_members(struct io_director *director, struct event_log *log, struct now now)
{
	const struct node *node = io_node_get(director->node);
	const struct membership *membership = node_membership(node);
	struct membership_status status;
	unsigned int cursor = 0;
	struct member_info info;

	membership_status(membership, &status);
	observer_place(director->config->node_name, true, status.beyond, status.directors_max, log,
		       now);
	while (membership_walk(membership, &cursor, &info)) {
		observer_throttled(info.name, node_throttled_last(node, info.id), log, now);
		if (info.state != STATE_UNPROVEN)
			observer_place(info.name, false, info.beyond, status.directors_max, log,
				       now);
	}
}

static void watch_flood(struct io_director *director, const struct sync_status *sync,
			struct now now)
{
	if (sync->flood_shed == director->shed ||
	    now.mono < director->shed_logged + SHED_LOG_INTERVAL)
		return;
	io_log_warning("flood: %llu more flows that were not established were not replicated "
		       "(limit sync.flood-rate: %u a second)",
		       (unsigned long long)(sync->flood_shed - director->shed),
		       director->config->sync.flood_rate);
	director->shed = sync->flood_shed;
	director->shed_logged = now.mono;
}

/* 0: this kernel has no such setting. */
static uint64_t conn_max(void)
{
	uint64_t most = 0;
	FILE *in = fopen("/proc/sys/net/ipv4/vs/conn_max", "re");

	if (!in)
		return 0;
	if (fscanf(in, "%" SCNu64, &most) != 1)
		most = 0;
	fclose(in);
	return most;
}

void io_director_watch(struct io_director *director)
{
	static struct peers peers;
	const struct node *node = io_node_get(director->node);
	struct event_log *log = io_alert_log(director->alert);
	struct now now = clock_now();
	struct io_services_status services;
	struct node_status status;

	node_status(node, &status);
	io_services_status(director->services, &services);
	observer_services(director->config->node_name, services.error, log, now);
	observer_conn_max(director->config->node_name, status.sync.entries, conn_max(), log, now);
	peers_collect(node, now, &peers);
	observer_drain(&director->observer, director->config->node_name, &status, log, now);
	observer_alone(director->config->node_name, status.alone, now.mono - director->started, log,
		       now);
	watch_config(director, log, now);
	watch_names(director, log, now);
	observer_replication(&peers, log, now);
	watch_members(director, log, now);
	observer_conflicts(&director->observer, director->config->node_name, status.sync.conflicts,
			   log, now);
	observer_identity(&director->observer, &director->identity->certificate, log, now);
	observer_refused(&director->observer, node, log, now);
	watch_flood(director, &status.sync, now);
	io_alert_kick(director->alert);
}
