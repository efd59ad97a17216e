/* Collects the facts that `status` and the listings are made from. */
#include "director/daemon/io_director_private.h"
#include "director/io_clock.h"

static bool counter(void *context, unsigned int i, struct counter *ret_counter)
{
	static const struct counter_table adopt =
		COUNTER_REASONS("adopt", kernel_conns_error_name, 1, KERNEL_CONNS_E_MAX);
	static const struct counter_table control =
		COUNTER_REASONS("control", control_error_name, 1, CONTROL_E_MAX);
	const struct io_director *director = context;
	struct io_datagrams_counts datagrams;
	struct io_tap_status tap;

	io_tap_status(director->tap, &tap);
	io_node_datagrams(director->node, &datagrams);
	return counter_get(&io_tap_counters, &tap, &i, ret_counter) ||
	       counter_get(&io_tap_packet_counters, tap.refused, &i, ret_counter) ||
	       counter_get(&io_datagrams_counters, &datagrams, &i, ret_counter) ||
	       counter_get(&adopt, director->adopt_refused, &i, ret_counter) ||
	       counter_get(&control, io_control_refused(director->control), &i, ret_counter) ||
	       io_alert_counter(director->alert, &i, ret_counter) ||
	       io_director_health_counter(director, &i, ret_counter) ||
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
		.roster_error = io_state_failure(&director->roster),
		.forwarder_ok = director->forwarder_ok,
		.forwarder_since = director->forwarder_since,
		.stalled_since = tap.stalled_since,
		.silent_since = tap.silent_since,
		.blocked_since = tap.blocked_since,
		.unseen_since = tap.unseen_since,
		.programmed = services.programmed,
		.programmed_at = services.tried,
		.program_messages = services.messages,
		.program_error = services.error,
		.adopted = director->adopted,
		.adopt_error = *director->adopt_error ? director->adopt_error : NULL,
		.health = io_director_health_core(director),
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
		.iteration_max = turns.longest,
		.iteration_recent = turns.longest_lately,
		.iteration_recent_p999 = turns.p999_lately,
		.cpu_max = work.longest,
		.cpu_recent = work.longest_lately,
		.cpu_recent_p999 = work.p999_lately,
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
