#include "director/io_clock.h"
#include "director/io_director_private.h"

void director_watch_forwarder(struct io_director *director)
{
	struct io_tap_status tap;

	io_tap_status(director->tap, &tap);
	observe_forwarder(director->config->node_name, tap.stalled_since,
			  io_alert_log(director->alert), clock_now());
	io_alert_kick(director->alert);
}

void director_watch(struct io_director *director)
{
	static struct peers peers;
	const struct node *node = io_node_get(director->node);
	struct event_log *log = io_alert_log(director->alert);
	struct now now = clock_now();

	peers_collect(node, director->config->join, director->config->n_join, now, &peers);
	observe_peers(&director->observer, &peers, log, now);
	observe_replication(&peers, log, now);
	observe_identity(&director->observer, &director->identity->certificate, log, now);
	observe_refused(&director->observer, node, log, now);
	io_alert_kick(director->alert);
}
