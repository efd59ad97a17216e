#include "director/observer.h"

#include <inttypes.h>
#include <stdio.h>

#include "director/status.h"

static const struct peer *peer_of(const struct peers *peers, const struct peer *like)
{
	for (unsigned int i = 0; i < peers->count; i++) {
		const struct peer *peer = &peers->peers[i];

		if (like->id ? peer->id == like->id
			     : endpoint_compare(&peer->where, &like->where) == 0)
			return peer;
	}
	return NULL;
}

static bool is_known(const struct observer *observer, uint64_t id)
{
	for (unsigned int i = 0; i < observer->n_known; i++)
		if (observer->known[i] == id)
			return true;
	return observer->n_known == PEERS_MAX;
}

static void member_raise(struct event_log *log, enum event_kind kind, const struct peer *peer,
			 const char *what, struct now now)
{
	char where[ENDPOINT_TEXT], id[STATUS_ID_TEXT];
	const char *why = peer->alive ? NULL : peer->why;
	struct event event;

	event_init(&event, kind, peer->name, "Member %s %s%s%s%s.", peer->name, what,
		   why ? " (" : "", why ? why : "", why ? ")" : "");
	event_text(&event, "member", peer->name);
	event_text(&event, "id", status_id(peer->id, id));
	event_text(&event, "address", endpoint_format(&peer->where, where));
	event_text(&event, "state", peer->state);
	if (why)
		event_text(&event, "why", why);
	event_raise(log, &event, now);
}

static void member_appeared(struct observer *observer, const struct peer *peer,
			    struct event_log *log, struct now now)
{
	if (is_known(observer, peer->id)) {
		member_raise(log, EVENT_MEMBER_RECOVERED, peer, "is connected again", now);
		return;
	}
	observer->known[observer->n_known++] = peer->id;
	member_raise(log, EVENT_MEMBER_JOINED, peer, "has joined", now);
}

void observe_peers(struct observer *observer, const struct peers *peers, struct event_log *log,
		   struct now now)
{
	for (unsigned int i = 0; i < peers->count; i++) {
		const struct peer *peer = &peers->peers[i], *was = peer_of(&observer->peers, peer);

		if (peer->alive && (!was || !was->alive))
			member_appeared(observer, peer, log, now);
		else if (!peer->alive && was && was->alive)
			member_raise(log, EVENT_MEMBER_FAILED, peer,
				     "is not connected both ways any more", now);
	}
	for (unsigned int i = 0; i < observer->peers.count; i++) {
		struct peer *was = &observer->peers.peers[i];

		if (was->alive && !peer_of(peers, was))
			member_raise(log, EVENT_MEMBER_FAILED, was, "is gone", now);
	}
	observer->peers = *peers;
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

/* What a healthy cluster counts too: a director that dials itself, and our own lack of memory. */
static bool is_refusal(const struct node_counter *counter)
{
	if (strcmp(counter->group, "session") == 0)
		return strcmp(counter->name, "self") != 0 && strcmp(counter->name, "memory") != 0;
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
