#include "director/event/observer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void observer_drain(struct observer *observer, const char *director,
		    const struct node_status *status, struct event_log *log, struct now now)
{
	struct event event;

	if (status->draining && !observer->draining) {
		event_init(&event, EVENT_DRAINING, director,
			   "%s is draining: its traffic moves to the other directors.", director);
		event_log_raise(log, &event, now);
	}
	if (status->draining && status->drained && !observer->drained) {
		event_init(&event, EVENT_DRAINED, director,
			   "%s is drained: the other directors have all its connections.",
			   director);
		event_log_raise(log, &event, now);
	}
	if (!status->draining && observer->draining) {
		event_init(&event, EVENT_UNDRAINED, director, "%s takes traffic again.", director);
		event_log_raise(log, &event, now);
	}
	observer->draining = status->draining;
	observer->drained = status->draining && status->drained;
}

void observer_alone(const char *director, bool alone, usec_t uptime, struct event_log *log,
		    struct now now)
{
	struct event event;

	if (!alone)
		event_init(&event, EVENT_PEERS_FOUND, director, "Another director has answered %s.",
			   director);
	else if (uptime < OBSERVER_ALONE)
		return;
	else
		event_init(
			&event, EVENT_PEERS_NOT_FOUND, director,
			"No other director has answered since %s started, so its connections are "
			"not replicated: check cluster.join and the network.",
			director);
	event_log_raise(log, &event, now);
}

/* That of the same thing, else the oldest. */
static struct observer_change *change_find(struct observer *observer, const char *what)
{
	struct observer_change *oldest = &observer->changes[0];

	for (unsigned int i = 0; i < OBSERVER_CHANGES; i++) {
		struct observer_change *change = &observer->changes[i];

		if (change->last && strcmp(change->what, what) == 0)
			return change;
		if (change->last < oldest->last)
			oldest = change;
	}
	*oldest = (struct observer_change){0};
	snprintf(oldest->what, sizeof(oldest->what), "%s", what);
	return oldest;
}

void observer_kernel_changed(struct observer *observer, const char *director, const char *what,
			     const char *was, int r, struct event_log *log, struct now now)
{
	struct observer_change *change = change_find(observer, what);
	struct event event;

	if (change->last && now.mono - change->last > OBSERVER_CONTEST)
		change->count = 0;
	change->count++;
	change->error = r;
	change->last = now.mono;
	snprintf(change->was, sizeof(change->was), "%s", was);
	if (r < 0)
		event_init(
			&event, EVENT_KERNEL_CHANGED, what,
			"%s of %s %s: another program or a person changed it, and lvsmeshd can't "
			"put it back: %s.",
			what, director, was, strerror(-r));
	else
		event_init(&event, EVENT_KERNEL_CHANGED, what,
			   "%s of %s %s: another program or a person changed it, and lvsmeshd has "
			   "put it back.",
			   what, director, was);
	event_text(&event, "what", what);
	event_text(&event, "was", was);
	event_text(&event, "done", r < 0 ? "failed" : "put back");
	event_log_raise(log, &event, now);
}

const struct observer_change *observer_contested(const struct observer *observer, unsigned int *i,
						 struct now now)
{
	while (*i < OBSERVER_CHANGES) {
		const struct observer_change *change = &observer->changes[(*i)++];

		if (change->last && now.mono - change->last <= OBSERVER_CONTEST &&
		    (change->error < 0 || change->count >= OBSERVER_CONTESTED))
			return change;
	}
	return NULL;
}

void observer_config(struct observer *observer, const char *director, const char *names,
		     unsigned int count, struct event_log *log, struct now now)
{
	struct event event;

	if (count == 0) {
		observer->differs_since = 0;
		event_init(&event, EVENT_CONFIG_CONVERGED, director,
			   "All live members have the same services as %s.", director);
		event_log_raise(log, &event, now);
		return;
	}
	if (observer->differs_since == 0)
		observer->differs_since = now.mono;
	if (now.mono - observer->differs_since < OBSERVER_DIVERGENCE)
		return;
	event_init(&event, EVENT_CONFIG_DIVERGENCE, director,
		   "%s and %s have different services: a client that moves to another director may "
		   "reach a different real server. Compare their configurations.",
		   director, names);
	event_text(&event, "members", names);
	event_number(&event, "count", count);
	event_log_raise(log, &event, now);
}

void observer_replication(const struct peers *peers, struct event_log *log, struct now now)
{
	for (unsigned int i = 0; i < peers->count; i++) {
		const struct peer *peer = &peers->peers[i];
		const struct sync_stream_status *sync = &peer->out.sync;
		usec_t limit = sync->joining ? PEER_LAG_JOINING : OBSERVER_LAG;
		struct event event;

		if (peer->out.phase != NODE_STREAM_READY)
			continue;
		if (sync->lag > limit)
			event_init(&event, EVENT_REPLICATION_LAGGING, peer->name,
				   "Member %s is %" PRIu64 " s behind: connections younger than "
				   "that are lost if this director dies.",
				   peer->name, sync->lag / USEC_PER_SEC);
		else if (sync->lag < PEER_LAG && !sync->joining)
			event_init(&event, EVENT_REPLICATION_CAUGHT_UP, peer->name,
				   "Member %s has caught up with the connections of this director.",
				   peer->name);
		else
			continue;
		event_text(&event, "member", peer->name);
		event_number(&event, "lag_ms", (int64_t)(sync->lag / USEC_PER_MSEC));
		event_number(&event, "entries", (int64_t)sync->behind);
		event_number(&event, "position", (int64_t)sync->position);
		event_log_raise(log, &event, now);
	}
}

void observer_conflicts(struct observer *observer, const char *director, uint64_t conflicts,
			struct event_log *log, struct now now)
{
	uint64_t count = conflicts - observer->conflicts;
	struct event event;

	if (count == 0 ||
	    (observer->conflicts && now.mono < observer->conflicts_at + OBSERVER_CONFLICTS))
		return;
	event_init(&event, EVENT_CONNECTION_CONFLICT, director,
		   "Another director gave %" PRIu64 " connection%s of %s a different real server: "
		   "the later choice holds, and the client may see a reset.",
		   count, count == 1 ? "" : "s", director);
	event_number(&event, "count", (int64_t)count);
	event_number(&event, "total", (int64_t)conflicts);
	event_log_raise(log, &event, now);
	observer->conflicts = conflicts;
	observer->conflicts_at = now.mono;
}

void observer_throttled(const char *member, usec_t last, struct event_log *log, struct now now)
{
	struct event event;

	if (last == 0)
		return;
	if (now.mono < last + OBSERVER_THROTTLED)
		event_init(
			&event, EVENT_MEMBER_THROTTLED, member,
			"Member %s is rate limited: it uses more than its share of this director's "
			"CPU time. Look at the daemon on %s; if its key was stolen, give it a new "
			"one.",
			member, member);
	else
		event_init(
			&event, EVENT_MEMBER_UNTHROTTLED, member,
			"Member %s uses no more than its share of this director's CPU time again.",
			member);
	event_text(&event, "member", member);
	event_log_raise(log, &event, now);
}

void observer_place(const char *director, bool self, bool beyond, unsigned int directors,
		    struct event_log *log, struct now now)
{
	struct event event;

	/* Asked of each member once a second. */
	if (!beyond && !event_log_find(log, EVENT_CLUSTER_FULL, director))
		return;
	if (!beyond)
		event_init(&event, EVENT_CLUSTER_HAS_ROOM, director,
			   "%s has a place in the cluster, or is gone.", director);
	else if (self)
		event_init(&event, EVENT_CLUSTER_FULL, director,
			   "The cluster is full (%u directors): %s takes no traffic until another "
			   "director leaves or is removed.",
			   directors, director);
	else
		event_init(&event, EVENT_CLUSTER_FULL, director,
			   "The cluster is full (%u directors): %s takes no traffic and gets no "
			   "connections. Stop it, or remove another director.",
			   directors, director);
	event_text(&event, "member", director);
	event_number(&event, "directors", directors);
	event_log_raise(log, &event, now);
}

void observer_forwarder(const char *director, usec_t stalled_since, struct event_log *log,
			struct now now)
{
	struct event event;

	if (stalled_since) {
		event_init(&event, EVENT_FORWARDER_STALLED, director,
			   "The forwarder of %s has stalled: IPVS does not forward the probe.",
			   director);
		event_number(&event, "stalled_ms",
			     stalled_since < now.mono
				     ? (int64_t)((now.mono - stalled_since) / USEC_PER_MSEC)
				     : 0);
	} else {
		event_init(&event, EVENT_FORWARDER_RECOVERED, director,
			   "The forwarder of %s works again.", director);
	}
	event_log_raise(log, &event, now);
}

void observer_injection(const char *director, const char *interface, usec_t unseen_since,
			struct event_log *log, struct now now)
{
	struct event event;

	if (unseen_since)
		event_init(
			&event, EVENT_INJECTION_FAILING, director,
			"Connections of the other directors don't arrive in the kernel of %s: a "
			"packet filter may drop UDP on %s (iptables -S INPUT, nft list ruleset).",
			director, interface);
	else
		event_init(&event, EVENT_INJECTION_RECOVERED, director,
			   "The kernel of %s takes injected connections again.", director);
	event_log_raise(log, &event, now);
}

void observer_conn_max(const char *director, uint64_t entries, uint64_t most, struct event_log *log,
		       struct now now)
{
	struct event event;

	if (most && entries > most)
		event_init(&event, EVENT_KERNEL_TABLE_FULL, director,
			   "The kernel of %s holds at most %" PRIu64 " connections, and %" PRIu64
			   " are known: the rest would break on this director. Raise "
			   "net.ipv4.vs.conn_max.",
			   director, most, entries);
	else
		event_init(&event, EVENT_KERNEL_TABLE_HAS_ROOM, director,
			   "The kernel of %s has room for all connections.", director);
	event_number(&event, "entries", (int64_t)entries);
	event_number(&event, "conn_max", (int64_t)most);
	event_log_raise(log, &event, now);
}

void observer_services(const char *director, const char *error, struct event_log *log,
		       struct now now)
{
	struct event event;

	if (error)
		event_init(&event, EVENT_SERVICE_REFUSED, director,
			   "The kernel of %s does not have all services: %s.", director, error);
	else
		event_init(&event, EVENT_SERVICE_ACCEPTED, director,
			   "The kernel of %s has all services.", director);
	event_log_raise(log, &event, now);
}

void observer_identity(struct observer *observer, const struct certificate *certificate,
		       struct event_log *log, struct now now)
{
	static const usec_t days[] = {30, 7, 1, 0};
	uint64_t wall = now.wall / USEC_PER_SEC, end = certificate->not_after;
	uint64_t left = end > wall ? end - wall : 0;
	unsigned int notices = 0;
	struct event event;

	while (notices < ARRAY_SIZE(days) && left <= days[notices] * 86400)
		notices++;
	if (notices > observer->notices) {
		const char *name = certificate->name;

		if (left == 0)
			event_init(&event, EVENT_IDENTITY_EXPIRING, name,
				   "The certificate of %s has expired: peers refuse it; renew it "
				   "with `lvsmesh keygen node %s --renew`.",
				   name, name);
		else
			event_init(&event, EVENT_IDENTITY_EXPIRING, name,
				   "The certificate of %s expires in less than %" PRIu64 " day%s: "
				   "renew it with `lvsmesh keygen node %s --renew`.",
				   name, left / 86400 + 1, left < 86400 ? "" : "s", name);
		event_number(&event, "left_s", (int64_t)left);
		event_log_raise(log, &event, now);
	}
	observer->notices = notices;
}

/* By name, those that answer first. */
static int named_compare(const void *a, const void *b)
{
	const struct observer_named *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : (int)x->failed - (int)y->failed;
}

static void duplicate_name(const struct observer_named *first, const struct observer_named *second,
			   struct event_log *log, struct now now)
{
	const char *name = first->name;
	struct event event;
	char text[24];

	if (second->failed)
		event_init(&event, EVENT_DUPLICATE_NAME, name,
			   "Two directors are named %s: %016" PRIx64 ", and %016" PRIx64
			   ", which has failed: if %s was installed anew, `lvsmesh remove "
			   "%016" PRIx64 "` makes the cluster forget the old one.",
			   name, first->id, second->id, name, second->id);
	else
		event_init(&event, EVENT_DUPLICATE_NAME, name,
			   "Two live directors are named %s, %016" PRIx64 " and %016" PRIx64
			   ": make an identity with another name for one of them with `lvsmesh "
			   "keygen node`.",
			   name, first->id, second->id);
	event_text(&event, "member", name);
	snprintf(text, sizeof(text), "%016" PRIx64, first->id);
	event_text(&event, "id", text);
	snprintf(text, sizeof(text), "%016" PRIx64, second->id);
	event_text(&event, "other", text);
	event_log_raise(log, &event, now);
}

static bool is_duplicate(const struct observer_named *named, unsigned int count, const char *name)
{
	for (unsigned int i = 0; i + 1 < count; i++)
		if (strcmp(named[i].name, name) == 0)
			return strcmp(named[i + 1].name, name) == 0;
	return false;
}

void observer_names(struct observer_named *named, unsigned int count, struct event_log *log,
		    struct now now)
{
	const struct event *incident;

	qsort(named, count, sizeof(*named), named_compare);
	for (unsigned int i = 0; i + 1 < count; i++)
		if (strcmp(named[i].name, named[i + 1].name) == 0)
			duplicate_name(&named[i], &named[i + 1], log, now);
	for (unsigned int i = 0; (incident = event_log_incident(log, &i));) {
		struct event event;

		if (incident->kind != EVENT_DUPLICATE_NAME ||
		    is_duplicate(named, count, incident->subject))
			continue;
		event_init(&event, EVENT_DUPLICATE_NAME_RESOLVED, incident->subject,
			   "Only one director is named %s.", incident->subject);
		event_log_raise(log, &event, now);
	}
}

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* Counters that grow in a healthy cluster: directors that dial themselves, and our own lack of
 * memory. */
enum observer_refusal observer_refusal(const char *group, const char *name)
{
	static const char *const own[] = {"self", "memory"};
	/* Datagrams that come late, twice, or before their sender is known; gossip about a director
	 * that has just come or gone. */
	static const char *const ordinary[] = {"version", "stale",    "replayed", "unknown-sender",
					       "nonce",   "unproven", "unknown",  "ahead",
					       "accuser", "removal",  "relay",    "rollback"};

	static const char *const facts[] = {"malformed", "handed_on", "full"};

	if (strcmp(group, "sync") == 0)
		return OBSERVER_ALARMING;
	if (strcmp(group, "facts") == 0)
		return is_one_of(name, facts, ARRAY_SIZE(facts)) ? OBSERVER_ALARMING
								 : OBSERVER_NO_REFUSAL;
	if (strcmp(group, "session") == 0)
		return is_one_of(name, own, ARRAY_SIZE(own)) ? OBSERVER_NO_REFUSAL
							     : OBSERVER_ALARMING;
	if (strcmp(group, "membership") != 0 || strncmp(name, "dropped-", 8) == 0 ||
	    strcmp(name, "throttled") == 0)
		return OBSERVER_NO_REFUSAL;
	return is_one_of(name, ordinary, ARRAY_SIZE(ordinary)) ? OBSERVER_ORDINARY
							       : OBSERVER_ALARMING;
}

static const char *refusal_hint(const char *reason)
{
	static const struct {
		const char *reason, *hint;
	} hints[] = {
		{"version", ": the sender is more than one protocol version away"},
		{"no-common-version", ": the sender is more than one protocol version away"},
		{"cluster", ": the sender is in another cluster"},
		{"certificate", ": this cluster's key has not signed the certificate"},
		{"expired", ": a certificate has expired, or a clock is wrong"},
		{"mac", ": forged or damaged"},
		{"replayed", ": replayed"},
		{"stale", ": replayed"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(hints); i++)
		if (strcmp(hints[i].reason, reason) == 0)
			return hints[i].hint;
	return "";
}

static void refused(const struct counter *counter, struct event_log *log, struct now now)
{
	char subject[EVENT_SUBJECT_MAX];
	struct event event;

	snprintf(subject, sizeof(subject), "%s/%s", counter->group, counter->name);
	event_init(&event, EVENT_MESSAGE_REFUSED, subject,
		   "This director refused messages (%s, %" PRIu64 " since it started)%s.", subject,
		   counter->value, refusal_hint(counter->name));
	event_text(&event, "group", counter->group);
	event_text(&event, "reason", counter->name);
	event_number(&event, "total", (int64_t)counter->value);
	event_log_raise(log, &event, now);
}

void observer_refused(struct observer *observer, const struct node *node, struct event_log *log,
		      struct now now)
{
	bool minute = now.mono >= observer->minute_at + 60 * USEC_PER_SEC;
	struct counter counter;

	if (minute)
		observer->minute_at = now.mono;
	for (unsigned int i = 0; i < OBSERVER_COUNTERS && node_counter(node, i, &counter); i++) {
		enum observer_refusal refusal = observer_refusal(counter.group, counter.name);
		uint64_t last = observer->refused[i];

		if (minute)
			observer->minute[i] = last;
		observer->refused[i] = counter.value;
		if (refusal == OBSERVER_NO_REFUSAL || counter.value <= last ||
		    (refusal == OBSERVER_ORDINARY &&
		     counter.value - observer->minute[i] < OBSERVER_FLOOD))
			continue;
		refused(&counter, log, now);
	}
}
