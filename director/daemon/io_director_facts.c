#include <stdio.h>

#include "director/daemon/io_director_private.h"
#include "director/io_clock.h"

/* Counters come in rows: each row serves its own numbers, and subtracts its length for the next
 * row. */

static bool row_counter(const struct node_counter *row, unsigned int count, unsigned int *i,
			struct node_counter *ret_counter)
{
	if (*i >= count) {
		*i -= count;
		return false;
	}
	*ret_counter = row[*i];
	return true;
}

static bool tap_counter(const struct io_director *director, unsigned int *i,
			struct node_counter *ret_counter)
{
	struct io_tap_status tap;

	io_tap_status(director->tap, &tap);
	const struct node_counter row[] = {
		{"tap", "captured_messages", tap.captured_messages},
		{"tap", "captured_entries", tap.captured_entries},
		{"tap", "own_messages", tap.own_messages},
		{"tap", "foreign_packets", tap.foreign_packets},
		{"tap", "capture_drops", tap.capture_drops},
		{"tap", "injected_messages", tap.injected_messages},
		{"tap", "injected_entries", tap.injected_entries},
		{"tap", "inject_drops", tap.inject_drops},
		{"tap", "inject_retries", tap.inject_retries},
		{"tap", "write_errors", tap.write_errors},
		{"tap", "beats", tap.beats},
		{"tap", "echoes", tap.echoes},
		{"tap", "thread_restarts", tap.thread_restarts},
	};
	return row_counter(row, ARRAY_SIZE(row), i, ret_counter);
}

static bool packet_counter(const struct io_director *director, unsigned int *i,
			   struct node_counter *ret_counter)
{
	struct node_counter row[TAP_E_MAX - 1];
	struct io_tap_status tap;

	io_tap_status(director->tap, &tap);
	for (int e = 1; e < TAP_E_MAX; e++)
		row[e - 1] =
			(struct node_counter){"packet", tap_packet_error_name(e), tap.refused[e]};
	return row_counter(row, ARRAY_SIZE(row), i, ret_counter);
}

static bool datagram_counter(const struct io_director *director, unsigned int *i,
			     struct node_counter *ret_counter)
{
	struct io_datagrams_counts counts;

	io_node_datagrams(director->node, &counts);
	const struct node_counter row[] = {
		{"datagram", "received", counts.received},
		{"datagram", "sent", counts.sent},
		{"datagram", "receive_errors", counts.receive_errors},
		{"datagram", "send_errors", counts.send_errors},
		{"datagram", "send_drops", counts.send_drops},
	};
	return row_counter(row, ARRAY_SIZE(row), i, ret_counter);
}

static bool adopt_counter(const struct io_director *director, unsigned int *i,
			  struct node_counter *ret_counter)
{
	struct node_counter row[KERNEL_CONNS_E_MAX - 1];

	for (int e = 1; e < KERNEL_CONNS_E_MAX; e++)
		row[e - 1] = (struct node_counter){"adopt", kernel_conns_error_name(e),
						   director->adopt_refused[e]};
	return row_counter(row, ARRAY_SIZE(row), i, ret_counter);
}

static bool control_counter(const struct io_director *director, unsigned int *i,
			    struct node_counter *ret_counter)
{
	struct node_counter row[CONTROL_E_MAX - 1];

	for (int e = 1; e < CONTROL_E_MAX; e++)
		row[e - 1] = (struct node_counter){"control", control_error_name(e),
						   io_control_refused(director->control, e)};
	return row_counter(row, ARRAY_SIZE(row), i, ret_counter);
}

static bool alert_counter(const struct io_director *director, unsigned int *i,
			  struct node_counter *ret_counter)
{
	unsigned int count = 0;

	if (io_alert_counter(director->alert, *i, ret_counter))
		return true;
	while (io_alert_counter(director->alert, count, ret_counter))
		count++;
	*i -= count;
	return false;
}

static bool counter(void *context, unsigned int i, struct node_counter *ret_counter)
{
	const struct io_director *director = context;

	return tap_counter(director, &i, ret_counter) ||
	       packet_counter(director, &i, ret_counter) ||
	       datagram_counter(director, &i, ret_counter) ||
	       adopt_counter(director, &i, ret_counter) ||
	       control_counter(director, &i, ret_counter) ||
	       alert_counter(director, &i, ret_counter) ||
	       node_counter(io_node_get(director->node), i, ret_counter);
}

void io_director_facts(void *context, struct status_facts *ret_facts)
{
	struct io_director *director = context;
	struct io_services_status services;
	struct turns_status turns, work;
	struct io_tap_status tap;

	turns_status(&director->loop_turns, clock_now().mono, &turns);
	turns_status(&director->loop_work, clock_now().mono, &work);
	io_services_status(director->services, &services);
	io_tap_status(director->tap, &tap);
	*ret_facts = (struct status_facts){
		.node = io_node_get(director->node),
		.identity = director->identity,
		.config = director->config,
		.epoch = director->epoch,
		.started = director->started,
		.announcing = services.announcing,
		.vip_error = services.vip_error,
		.roster_error = io_roster_failure(&director->roster),
		.forwarder_ok = director->forwarder_ok,
		.forwarder_since = director->forwarder_since,
		.stalled_since = tap.stalled_since,
		.silent_since = tap.silent_since,
		.blocked_since = tap.blocked_since,
		.unseen_since = tap.unseen_since,
		.programmed = services.programmed,
		.programmed_at = services.tried,
		.program_error = services.error,
		.adopted = director->adopted,
		.adopt_error = *director->adopt_error ? director->adopt_error : NULL,
		.config_path = director->config_path,
		.config_digest = director->digest,
		.loaded = director->loaded,
		.reloads = director->reloads,
		.reloads_refused = director->reloads_refused,
		.reload_error = *director->reload_error ? director->reload_error : NULL,
		.events = io_alert_log(director->alert),
		.observer = &director->observer,
		.table_size = tap.table_size,
		.table_small = tap.table_small,
		.guarded = tap.guarded,
		.entries_max = ENTRIES_MAX,
		.turn_longest = turns.longest,
		.turn_lately = turns.longest_lately,
		.turn_p999 = turns.p999_lately,
		.work_longest = work.longest,
		.work_lately = work.longest_lately,
		.work_p999 = work.p999_lately,
		.ftp_damaged = director->ftp_damaged,
		.counter = counter,
		.context = director,
	};
}

int io_director_services(void *context, usec_t since, struct service_list **ret_list,
			 const char **ret_error)
{
	struct io_director *director = context;

	return io_services_list(director->services, since, ret_list, ret_error);
}
