/* Draining: whether the other directors have all our connections, and the two ways to stop that are
 * announced: to leave for good, after draining, and to be away for a while. */
#include "director/node/node_private.h"

/* A director that leaves waits so long for the others to acknowledge its entries. */
#define LEAVE_PATIENCE (10 * USEC_PER_SEC)

/* Whether every member that is alive has acknowledged all that we captured. */
static bool all_acknowledged(const struct node *node, struct now now)
{
	struct sync_status sync;

	sync_status(node->sync, &sync);
	if (sync.young > 0)
		return false;
	for (unsigned int i = 0; i < node->links_len; i++) {
		bool acknowledged = false;

		if (!node->links[i].alive)
			continue;
		BITS_EACH (n, node->used.bits, NODE_STREAMS_MAX) {
			struct sync_stream_status status;

			if (is_dialled(n) || node->streams[n].use != STREAM_SYNC ||
			    node->streams[n].id != node->links[i].member)
				continue;
			sync_stream_status(node->sync, n, now, &status);
			acknowledged |= status.synced;
		}
		if (!acknowledged)
			return false;
	}
	return true;
}

void node_drain_tick(struct node *node, struct now now)
{
	bool drained;

	sync_set_draining(node->sync, node->draining);
	drained = node->draining && !node->adopting && all_acknowledged(node, now);
	if (drained && !node->drained)
		TRACE(&node->trace, "drained");
	node->drained = drained;
	if (node->stop == STOP_DRAINING && now.mono >= node->stop_from &&
	    (node->drained || now.mono >= node->stop_by)) {
		node->stop = STOP_ANNOUNCED;
		node_members_step(node,
				  &(struct membership_event){.type = MEMBERSHIP_LEAVE, .now = now});
	}
}

static void leave(struct node *node, struct now now)
{
	if (node->stop != STOP_NOT)
		return;
	node->draining = true;
	node->stop = STOP_DRAINING;
	node->stop_from = now.mono + (node->last_update.announce ? node->leave_grace : 0);
	node->stop_by = node->stop_from + LEAVE_PATIENCE;
}

/* A director that is to stop while it drains in order to leave still leaves, at once. */
static void absence(struct node *node, const struct node_event *event)
{
	bool leaves = node->stop == STOP_DRAINING;

	node->stop = STOP_ANNOUNCED;
	node_members_step(node, &(struct membership_event){
					.type = leaves ? MEMBERSHIP_LEAVE : MEMBERSHIP_ABSENCE,
					.now = event->now,
					.lease = event->lease,
				});
}

bool node_drain_event(struct node *node, const struct node_event *event)
{
	switch (event->type) {
	case NODE_DRAIN:
		node->draining = event->ok || node->stop != STOP_NOT;
		node->drained = false;
		TRACE(&node->trace, "%s", node->draining ? "drain" : "undrain");
		return true;
	case NODE_LEAVE:
		leave(node, event->now);
		return true;
	case NODE_ABSENCE:
		absence(node, event);
		return true;
	default:
		return false;
	}
}
