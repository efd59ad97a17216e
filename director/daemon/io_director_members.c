/* Does what the node asks for about the members: notices, the roster's file, a drain, a stop, a
 * start with a higher epoch. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "director/daemon/io_director_private.h"
#include "director/event/notices.h"
#include "director/io_clock.h"
#include "director/io_log.h"
#include "proto/epoch.h"

/* The announcement gets so long to reach the others; those it does not reach detect the stop
 * themselves. */
#define ABSENCE_MS 1000

/* The node's reports */

void io_director_noticed(void *context, const struct membership_notice *notice)
{
	struct io_director *director = context;
	const struct membership *membership = node_membership(io_node_get(director->node));
	struct node_status status;
	struct event event;

	node_status(io_node_get(director->node), &status);
	if (notice->type == MEMBERSHIP_MEMBER_FAILED)
		director->changed = status.sync.concurrent_updates;
	notices_event(membership, director->config->node_name, notice,
		      status.sync.concurrent_updates - director->changed, &event);
	event_log_raise(io_alert_log(director->alert), &event, notice->now);
	io_alert_kick(director->alert);
	if (director->health && !director->stopping)
		io_director_health_members(director);
}

/* The roster changes often when many come and go: it is written now and then, and again after a
 * failure. */
void io_director_roster_changed(void *context)
{
	struct io_director *director = context;

	director->roster_changed = true;
}

void io_director_roster_save(struct io_director *director)
{
	const struct node *node = io_node_get(director->node);
	size_t size = node_roster_size(node);
	uint8_t *data;

	if (!director->roster_changed && !io_state_failure(&director->roster))
		return;
	director->roster_changed = false;
	data = malloc(size);
	if (data)
		size = node_roster(node, data, size);
	io_state_save(&director->roster, data, size);
}

static void left(uv_timer_t *timer)
{
	io_director_stop(timer->data);
}

void io_director_node_done(void *context)
{
	struct io_director *director = context;

	/* Stays until the grace ends, for a router that does not know of the withdrawal yet. */
	if (!director->stopping)
		uv_timer_start(&director->leave, left, io_announce_grace(director->services), 0);
}

static void tell_clock(struct io_director *director)
{
	const char *name = director->config->node_name;
	struct event event;

	event_init(&event, EVENT_CLOCK_SET_BACK, name,
		   "The clock of %s was set back by more than an hour: lvsmeshd restarts, because "
		   "the other directors refuse the entries that it stamped before. No connection "
		   "breaks.",
		   name);
	event_log_raise(io_alert_log(director->alert), &event, clock_now());
	io_alert_kick(director->alert);
}

void io_director_epoch_wanted(void *context, uint64_t epoch)
{
	struct io_director *director = context;
	struct fault fault;
	struct node_status status;

	if (director->stopping)
		return;
	node_status(io_node_get(director->node), &status);
	if (status.sync.stamped > clock_now().wall + SYNC_CLOCK_AHEAD)
		tell_clock(director);
	else
		io_log_error("others know this director from epoch %" PRIu64 ", it runs in %" PRIu64
			     ": its state was lost or rolled back; lvsmeshd "
			     "restarts in epoch %" PRIu64,
			     epoch - 1, director->epoch, epoch);
	director->result = -ESTALE;
	if (epoch_raise(director->config->state, epoch, &fault) < 0)
		io_log_error("%s", fault.text);
	uv_timer_start(&director->leave, left, 0, 0);
}

void io_director_returned(void *context, usec_t wall)
{
	struct io_director *director = context;
	int r = epoch_set_returned(director->config->state, wall);

	if (r < 0)
		io_log_error("%s/returned: %s: this director may forget, after two starts, that a "
			     "connection ended",
			     director->config->state, strerror(-r));
}

void io_director_witness(void *context, bool ok)
{
	struct io_director *director = context;
	char text[ENDPOINT_TEXT];
	struct event event;

	if (director->stopping || !director->node)
		return;
	event_init(&event, EVENT_WITNESS, director->config->node_name, "The witness %s %s.",
		   ip_addr_format(&director->config->witness, text),
		   ok ? "answers" : "does not answer");
	event_number(&event, "answers", ok);
	io_alert_raise(director->alert, &event);
	io_node_send(director->node, &(struct node_event){.type = NODE_WITNESS, .ok = ok});
}

/* Requests of the operator */

void io_director_absence(struct io_director *director)
{
	bool again = director->stop_asked;

	director->stop_asked = director->leaving = true;
	io_log_notice("stopping; the kernel keeps forwarding");
	if (again || !director->node) {
		io_director_stop(director);
		return;
	}
	uv_timer_start(&director->leave, left, ABSENCE_MS, 0);
	io_node_send(director->node, &(struct node_event){.type = NODE_ABSENCE,
							  .lease = director->config->absence});
}

static int refuse(struct io_director *director, const char **ret_error, const char *format,
		  const char *name)
{
	snprintf(director->act_error, sizeof(director->act_error), format, name);
	*ret_error = director->act_error;
	return -EINVAL;
}

/* Finds a member by its id or name: if several had the name in turn, the failed one. */
static bool member_find(const struct membership *membership, const char *name,
			struct member_info *ret_info)
{
	char id[STATUS_ID_TEXT];
	struct member_info info;
	unsigned int cursor = 0;
	bool found = false;

	while (membership_walk(membership, &cursor, &info)) {
		if (strcmp(status_id(info.id, id), name) != 0 && strcmp(info.name, name) != 0)
			continue;
		if (!found || info.state == STATE_FAILED)
			*ret_info = info;
		found = true;
	}
	return found;
}

static int remove_member(struct io_director *director, const char *name, const char **ret_error)
{
	struct member_info info;

	if (!member_find(node_membership(io_node_get(director->node)), name, &info) ||
	    info.state == STATE_GONE)
		return refuse(director, ret_error, "unknown member %s; see `lvsmesh members`",
			      name);
	if (info.state != STATE_FAILED && info.state != STATE_UNPROVEN)
		return refuse(director, ret_error,
			      "%s has not failed: run `lvsmesh leave` on it instead", name);
	io_log_notice("removing %s for good, as asked", info.name);
	io_node_send(director->node, &(struct node_event){.type = NODE_REMOVE, .member = info.id});
	return 0;
}

int io_director_act(void *context, const struct control_request *request, const char **ret_error)
{
	struct io_director *director = context;

	if (request->command == CONTROL_REMOVE)
		return remove_member(director, request->member, ret_error);
	if (director->leaving || director->stopping)
		return refuse(director, ret_error, "%s is about to stop",
			      director->config->node_name);
	if (request->command == CONTROL_LEAVE) {
		director->leaving = true;
		io_log_notice("leaving the cluster, as asked");
		io_node_send(director->node, &(struct node_event){.type = NODE_LEAVE});
	} else {
		io_node_send(director->node,
			     &(struct node_event){.type = NODE_DRAIN,
						  .ok = request->command == CONTROL_DRAIN});
		io_director_watch(director);
	}
	return 0;
}
