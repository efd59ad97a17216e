#include "director/observer.h"

#include <inttypes.h>
#include <stdio.h>

void observe_drain(struct observer *observer, const char *director,
		   const struct node_status *status, struct event_log *log, struct now now)
{
	struct event event;

	if (status->draining && !observer->draining) {
		event_init(&event, EVENT_DRAINING, director, "%s gives up its traffic.", director);
		event_raise(log, &event, now);
	}
	if (status->draining && status->drained && !observer->drained) {
		event_init(&event, EVENT_DRAINED, director,
			   "%s is drained: the others have all its connections.", director);
		event_raise(log, &event, now);
	}
	if (!status->draining && observer->draining) {
		event_init(&event, EVENT_UNDRAINED, director, "%s takes traffic again.", director);
		event_raise(log, &event, now);
	}
	observer->draining = status->draining;
	observer->drained = status->draining && status->drained;
}

void observe_config(struct observer *observer, const char *director, const char *names,
		    unsigned int count, struct event_log *log, struct now now)
{
	struct event event;

	if (count == 0) {
		observer->differs_since = 0;
		event_init(&event, EVENT_CONFIG_CONVERGED, director,
			   "All members that are alive have the services of %s.", director);
		event_raise(log, &event, now);
		return;
	}
	if (observer->differs_since == 0)
		observer->differs_since = now.mono;
	if (now.mono - observer->differs_since < OBSERVER_DIVERGENCE)
		return;
	event_init(&event, EVENT_CONFIG_DIVERGENCE, director,
		   "%s and %s have different services: clients may reach other real servers when "
		   "they move.",
		   director, names);
	event_text(&event, "members", names);
	event_number(&event, "count", count);
	event_raise(log, &event, now);
}

void observe_replication(const struct peers *peers, struct event_log *log, struct now now)
{
	for (unsigned int i = 0; i < peers->count; i++) {
		const struct peer *peer = &peers->peers[i];
		const struct sync_stream_status *sync = &peer->out.sync;
		usec_t limit = sync->position > 0 ? OBSERVER_LAG : OBSERVER_LAG_SNAPSHOT;
		struct event event;

		if (peer->out.phase != NODE_STREAM_READY)
			continue;
		if (sync->lag > limit)
			event_init(&event, EVENT_REPLICATION_LAGGING, peer->name,
				   "Member %s is %" PRIu64 " s behind with our connections: those "
				   "younger than that are lost if this director dies.",
				   peer->name, sync->lag / USEC_PER_SEC);
		else if (sync->lag < OBSERVER_LAG_OVER)
			event_init(&event, EVENT_REPLICATION_CAUGHT_UP, peer->name,
				   "Member %s has all our connections again.", peer->name);
		else
			continue;
		event_text(&event, "member", peer->name);
		event_number(&event, "lag_ms", (int64_t)(sync->lag / USEC_PER_MSEC));
		event_number(&event, "entries", (int64_t)sync->behind);
		event_number(&event, "position", (int64_t)sync->position);
		event_raise(log, &event, now);
	}
}

void observe_forwarder(const char *director, usec_t stalled_since, struct event_log *log,
		       struct now now)
{
	struct event event;

	if (stalled_since) {
		event_init(&event, EVENT_FORWARDER_STALLED, director,
			   "The forwarder of %s is stalled: IPVS does not forward the probe.",
			   director);
		event_number(&event, "stalled_ms",
			     stalled_since < now.mono
				     ? (int64_t)((now.mono - stalled_since) / USEC_PER_MSEC)
				     : 0);
	} else {
		event_init(&event, EVENT_FORWARDER_RECOVERED, director,
			   "The forwarder of %s works again.", director);
	}
	event_raise(log, &event, now);
}

void observe_identity(struct observer *observer, const struct certificate *certificate,
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
				   "The certificate of %s has expired: peers refuse it; make a new "
				   "one with `lvsmesh keygen node %s`.",
				   name, name);
		else
			event_init(&event, EVENT_IDENTITY_EXPIRING, name,
				   "The certificate of %s expires in less than %" PRIu64 " days: "
				   "make a new one with `lvsmesh keygen node %s`.",
				   name, left / 86400 + 1, name);
		event_number(&event, "left_s", (int64_t)left);
		event_raise(log, &event, now);
	}
	observer->notices = notices;
}

/* Of membership's, what no network and no restart brings about. */
static bool is_named(const char *name)
{
	static const char *const names[] = {"cluster", "malformed", "certificate", "signature",
					    "no-common-version"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* What a healthy cluster counts too: a director that dials itself, and our own lack of memory. */
static bool is_refusal(const struct node_counter *counter)
{
	if (strcmp(counter->group, "session") == 0)
		return strcmp(counter->name, "self") != 0 && strcmp(counter->name, "memory") != 0;
	if (strcmp(counter->group, "membership") == 0)
		return is_named(counter->name);
	return strcmp(counter->group, "sync") == 0;
}

void observe_refused(struct observer *observer, const struct node *node, struct event_log *log,
		     struct now now)
{
	struct node_counter counter;

	for (unsigned int i = 0; i < OBSERVER_COUNTERS && node_counter(node, i, &counter); i++) {
		char subject[EVENT_SUBJECT_MAX];
		struct event event;

		if (!is_refusal(&counter) || counter.value <= observer->refused[i])
			continue;
		observer->refused[i] = counter.value;
		snprintf(subject, sizeof(subject), "%s/%s", counter.group, counter.name);
		event_init(&event, EVENT_MESSAGE_REFUSED, subject,
			   "Messages were refused for the reason %s, %" PRIu64 " since the start.",
			   subject, counter.value);
		event_text(&event, "group", counter.group);
		event_text(&event, "reason", counter.name);
		event_number(&event, "total", (int64_t)counter.value);
		event_raise(log, &event, now);
	}
}
