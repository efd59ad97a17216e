#include "director/daemon/io_director.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include "director/config/config_policy.h"
#include "director/daemon/io_director_private.h"
#include "director/io_clock.h"
#include "director/io_log.h"
#include "director/kernel/kernel_facts.h"
#include "director/service/inject_method.h"
#include "proto/epoch.h"

static_assert(CONFIG_JOIN_MAX == MEMBERSHIP_JOIN_MAX,
	      "the node takes every list of a configuration");
static_assert(CONFIG_LISTEN_MAX == MEMBERSHIP_ADDRESSES_MAX, "and every address");

#define ROSTER_NAME "roster"
#define ROSTER_MAX (8u << 20)
#define WATCH_MS 100
#define WATCH_PEERS 10 /* each so many times */
/* Injection pauses so long while the kernel's connections are read: enough if there are few. */
#define ADOPT_ALONE (1 * USEC_PER_SEC)

/* The node's wishes */

static void want_inject(void *context)
{
	struct io_director *director = context;

	if (director->tap)
		io_tap_kick(director->tap);
}

static void want_confirm(void *context)
{
	struct io_director *director = context;

	if (director->tap)
		io_tap_hurry(director->tap);
}

static void want_announce(void *context, bool wanted)
{
	struct io_director *director = context;

	io_log_notice(wanted ? "ready to take traffic" : "withdrawing from traffic");
	if (!director->stopping)
		io_announce(director->services, wanted, director->forwarder_ok);
}

static void want_services(void *context)
{
	struct io_director *director = context;

	if (!director->services_wanted)
		director->services_wanted = clock_now().mono;
}

static void services_listed(void *context)
{
	struct io_director *director = context;

	if (director->stopping)
		return;
	io_director_kernel_compare(director);
	io_director_adopt_listed(director);
	io_control_wake(director->control);
}

static void services_programmed(void *context)
{
	struct io_director *director = context;

	if (director->stopping)
		return;
	io_director_reload_programmed(director);
	io_log_notify("READY=1");
}

/* The kernel's table has the connections that were not captured; known entries stay as they are.
 * why: NULL: nothing is amiss. */
static void adopt_again(struct io_director *director, const char *why)
{
	if (why)
		io_log_warning("%s: reading the kernel's connections again", why);
	if (director->adopt || director->adopt_since)
		director->adopt_again = true;
	else if (!director->stopping)
		io_director_adopt(director);
}

static void want_adopt(void *context, bool missed)
{
	struct io_director *director = context;

	director->adopt_wanted = true;
	director->adopt_missed |= missed;
}

/* The tap's reports */

static size_t tap_pull(void *context, uint8_t *payload, size_t cap)
{
	struct io_director *director = context;
	size_t len;

	/* The reading would have to read injected entries as well, and to read on in its list the
	 * kernel counts from the start each time. */
	if (!director->adopted && clock_now().mono < director->started + ADOPT_ALONE)
		return 0;
	len = sync_inject(node_sync(io_node_get(director->node)), clock_now(), payload, cap);
	inject_method_set(&director->config->services, payload, len);
	return len;
}

/* sync.join-timeout has passed: it goes without the entries that have not come. */
static bool join_ended(const struct io_director *director)
{
	usec_t timeout = director->config->sync.join_timeout;

	return timeout && clock_now().mono >= director->started + timeout;
}

/* The forwarder is healthy when the services have been programmed once (later failures concern one
 * of them) and the probe comes back. */
static void forwarder_look(struct io_director *director)
{
	struct io_services_status services;
	struct io_tap_status tap;
	bool ok, injects;

	if (director->stopping || !director->tap)
		return;
	io_services_status(director->services, &services);
	io_tap_status(director->tap, &tap);
	/* Until the first injected entry has been seen in the kernel, the others' connections would
	 * break here; later the kernel has their entries, and newer connections are for the
	 * others. */
	injects = tap.injects || director->forwarder_ok || join_ended(director);
	ok = services.ever && tap.echoes > 0 && !tap.stalled_since && injects;
	if (ok == director->forwarder_ok)
		return;
	director->forwarder_ok = ok;
	director->forwarder_since = clock_now().mono;
	io_log_notice(ok ? "IPVS forwards the probe" : "IPVS does not forward the probe");
	io_node_send(director->node, &(struct node_event){.type = NODE_FORWARDER, .ok = ok});
}

static void tap_changed(void *context)
{
	struct io_director *director = context;
	struct io_tap_status tap;

	forwarder_look(director);
	io_tap_status(director->tap, &tap);
	/* The VIPs may be on although we never put them there: a former process left them. */
	if (tap.stalled_since && director->services && !director->stopping)
		io_announce(director->services, false, false);
}

static void put_back(void *context, const char *what, const char *was, int r)
{
	struct io_director *director = context;

	observer_kernel_changed(&director->observer, director->config->node_name, what, was, r,
				io_alert_log(director->alert), clock_now());
	io_alert_kick(director->alert);
}

static void tap_missed(void *context)
{
	adopt_again(context, "some of the kernel's messages were missed");
}

/* Stopping */

static void node_closed(void *context)
{
	struct io_director *director = context;

	director->node = NULL;
}

/* The node goes after the tap, whose callbacks need it. */
static void tap_closed(void *context)
{
	struct io_director *director = context;

	director->tap = NULL;
	if (director->node)
		io_node_close(director->node, node_closed);
}

static void control_closed(void *context)
{
	struct io_director *director = context;

	director->control = NULL;
}

static void services_closed(void *context)
{
	struct io_director *director = context;

	director->services = NULL;
}

static void alert_closed(void *context)
{
	struct io_director *director = context;

	director->alert = NULL;
}

static void witness_closed(void *context)
{
	struct io_director *director = context;

	director->witness = NULL;
}

void io_director_stop(struct io_director *director)
{
	if (director->stopping)
		return;
	director->stopping = true;
	if (director->node)
		io_director_roster_save(director);
	io_log_notify("STOPPING=1");
	for (size_t i = 0; i < ARRAY_SIZE(director->signals); i++)
		uv_close((uv_handle_t *)&director->signals[i], NULL);
	uv_close((uv_handle_t *)&director->watch, NULL);
	uv_close((uv_handle_t *)&director->leave, NULL);
	uv_close((uv_handle_t *)&director->compare, NULL);
	uv_close((uv_handle_t *)&director->turn, NULL);
	service_list_free(director->compared);
	director->compared = NULL;
	if (director->adopt)
		io_adopt_cancel(director->adopt);
	if (director->control)
		io_control_close(director->control, control_closed, director);
	if (director->witness)
		io_witness_close(director->witness, witness_closed, director);
	if (director->alert)
		io_alert_close(director->alert, alert_closed, director);
	if (director->health)
		io_director_health_close(director);
	if (director->services)
		io_services_close(director->services, services_closed, director);
	if (director->tap)
		io_tap_close(director->tap, tap_closed, director);
	else if (director->node)
		io_node_close(director->node, node_closed);
}

/* Signals, and periodic checks */

static void signalled(uv_signal_t *signal, int number)
{
	struct io_director *director = signal->data;

	if (number != SIGHUP) {
		io_director_absence(director);
		return;
	}
	io_log_notify("RELOADING=1");
	io_director_reload(director);
}

/* Adds the turn that ends: its time without waiting, and this thread's CPU time in it. */
static void turn_ended(uv_prepare_t *turn)
{
	struct io_director *director = turn->data;
	uint64_t now = uv_hrtime(), idle = uv_metrics_idle_time(turn->loop), cpu = clock_cpu_ns();

	if (director->turn_began) {
		turns_add(&director->loop_turns, now / 1000,
			  (now - director->turn_began - (idle - director->turn_idle)) / 1000);
		turns_add(&director->loop_work, now / 1000, (cpu - director->turn_cpu) / 1000);
	}
	director->turn_began = now;
	director->turn_idle = idle;
	director->turn_cpu = cpu;
}

/* Called from the loop: systemd gets no notice from a daemon that hangs, and restarts it. */
static void watchdog_tell(struct io_director *director)
{
	usec_t now = clock_now().mono;

	if (!director->watchdog || now < director->watchdog_told + director->watchdog / 4)
		return;
	director->watchdog_told = now;
	io_log_notify("WATCHDOG=1");
}

static void watched(uv_timer_t *timer)
{
	struct io_director *director = timer->data;

	watchdog_tell(director);
	forwarder_look(director);
	if (!director->adopted)
		want_inject(director);
	io_director_kernel_compare(director);
	if (director->adopt_wanted) {
		adopt_again(director, director->adopt_missed
					      ? "the kernel has connections that it did not report"
					      : NULL);
		director->adopt_wanted = director->adopt_missed = false;
	}
	io_director_watch_forwarder(director);
	io_director_health_members(director);
	if (++director->turns % WATCH_PEERS == 0) {
		io_director_health_save(director);
		io_director_watch(director);
		io_director_roster_save(director);
		io_control_wake(director->control);
	}
}

/* Starting: each part reports its own faults. */

static int control_start(struct io_director *director, struct fault *fault)
{
	const struct control_source source = {
		.context = director,
		.facts = io_director_facts,
		.services = io_director_services,
		.act = io_director_act,
		.reload = io_director_reload_ask,
		.set = io_director_health_set,
	};

	return io_control_open(&director->loop, director->config->control, &source,
			       &director->control, fault);
}

static void alert_told(void *context)
{
	struct io_director *director = context;

	if (!director->stopping)
		io_control_wake(director->control);
}

static int alert_start(struct io_director *director, struct fault *fault)
{
	struct io_alert_options options;
	int r;

	io_alert_options_init(&options);
	options.loop = &director->loop;
	options.director = director->config->node_name;
	options.epoch = director->epoch;
	options.context = director;
	options.told = alert_told;
	r = io_alert_open(&options, &director->alert);
	if (r == 0)
		r = io_alert_config(director->alert, &director->config->alerts);
	return r < 0 ? fault_set(fault, r, "alerts: %s", uv_strerror(r)) : 0;
}

/* The rest works without the witness, so its failure does not prevent the start. */
static void witness_start(struct io_director *director)
{
	const struct io_witness_options options = {
		.loop = &director->loop,
		.address = director->config->witness,
		.interval_ms = IO_WITNESS_INTERVAL_MS,
		.context = director,
		.changed = io_director_witness,
	};
	struct fault fault;

	if (options.address.family && io_witness_open(&options, &director->witness, &fault) < 0)
		io_log_error("%s", fault.text);
}

static int node_open(struct io_director *director, const uint8_t *roster, size_t roster_len,
		     struct fault *fault)
{
	const struct config *config = director->config;
	struct io_node_options options = {
		.loop = &director->loop,
		.node = {.identity = director->identity,
			 .epoch = director->epoch,
			 .before = director->before,
			 .returned = epoch_returned(config->state),
			 .versions = director->versions,
			 .join = config->join,
			 .join_count = (unsigned int)config->n_join,
			 .addresses = config->listen,
			 .address_count = (unsigned int)config->n_listen,
			 .profile = config->fast ? membership_fast : membership_default,
			 .config = config_digest_number(config),
			 .witness = director->witness != NULL,
			 .withdraw = config->withdraw,
			 .wait_alone = config->wait_alone,
			 .leave_grace = IO_ANNOUNCE_GRACE_MS * USEC_PER_MSEC,
			 .join_timeout = config->sync.join_timeout,
			 .roster = roster,
			 .roster_len = roster_len,
			 .entries_max = ENTRIES_MAX},
		.listen = config->listen,
		.n_listen = config->n_listen,
		.context = director,
		.inject = want_inject,
		.confirm = want_confirm,
		.facts = io_director_health_facts,
		.announce = want_announce,
		.services = want_services,
		.adopt = want_adopt,
		.notice = io_director_noticed,
		.roster = io_director_roster_changed,
		.done = io_director_node_done,
		.epoch_wanted = io_director_epoch_wanted,
		.returned = io_director_returned,
	};
	struct io_tap_options tap;

	io_tap_options_init(&tap);
	options.node.syncid = tap.syncid;
	memcpy(options.node.tap_address, config->tap.local.bytes, 4);
	randombytes_buf(options.node.seed, sizeof(options.node.seed));
	return io_node_open(&options, &director->node, fault);
}

/* Without it the members are found again through the join list. A damaged one is given all the
 * same: each record in it is signed. */
static void roster_load(struct io_director *director, uint8_t **ret_data, size_t *ret_len)
{
	struct fault fault;
	int r = state_file_load(director->config->state, ROSTER_NAME, ROSTER_MAX, ret_data, ret_len,
				&fault);

	if (r > 0)
		io_log_error("%s; going on with those members in it whose signatures still hold",
			     fault.text);
	else if (r < 0 && r != -ENOENT)
		io_log_error("%s; going on without the members known before", fault.text);
	if (r < 0)
		*ret_data = NULL;
}

static int node_start(struct io_director *director, struct fault *fault)
{
	uint8_t *roster;
	size_t len = 0;
	int r;

	witness_start(director);
	roster_load(director, &roster, &len);
	r = node_open(director, roster, len, fault);
	if (r == -EBADMSG) {
		io_log_error("%s/" ROSTER_NAME " is damaged; going on without the members "
			     "known before",
			     director->config->state);
		r = node_open(director, NULL, 0, fault);
	}
	free(roster);
	return r;
}

static int policy_start(struct io_director *director, struct fault *fault)
{
	struct policy_options policy;
	int r = config_policy(director->config, &policy);

	if (r < 0)
		fault_set(fault, r, "can't start the node: %s", uv_strerror(r));
	else
		io_node_send(director->node,
			     &(struct node_event){.type = NODE_CONFIG,
						  .config = config_digest_number(director->config),
						  .policy = &policy});
	return r;
}

static int tap_start(struct io_director *director, struct fault *fault)
{
	const struct config_tap *config = &director->config->tap;
	struct io_tap_options options;

	io_tap_options_init(&options);
	options.loop = &director->loop;
	options.interface = config->interface;
	options.net.own = load_be32(config->local.bytes);
	options.net.peer = load_be32(config->remote.bytes);
	options.prefix = config->prefix;
	options.port = director->config->listen[0].port;
	options.state_dir = director->config->state;
	options.callbacks = (struct io_tap_callbacks){
		.captured = io_node_captured,
		.late = io_node_late,
		.captured_all = io_node_captured_all,
		.pull = tap_pull,
		.confirmed = io_node_injected,
		.lost = io_node_inject_lost,
		.missed = tap_missed,
		.changed = tap_changed,
		.put_back = put_back,
	};
	options.node_ctx = director->node;
	options.ctx = director;
	return io_tap_open(&options, &director->tap, fault);
}

static int start(struct io_director *director)
{
	const struct io_services_callbacks services = {.put_back = put_back,
						       .programmed = services_programmed,
						       .listed = services_listed,
						       .ctx = director};
	struct fault fault = {""};
	int r;

	/* first, for it knows whether another daemon runs here */
	r = control_start(director, &fault);
	if (r == 0)
		director->before = epoch_taken(director->config->state);
	if (r == 0)
		r = epoch_next(director->config->state, clock_now().wall, &director->epoch, &fault);
	if (r == 0)
		r = alert_start(director, &fault);
	if (r == 0)
		r = node_start(director, &fault);
	if (r == 0)
		r = tap_start(director, &fault);
	/* last, so that a start that fails has changed nothing that stays */
	if (r == 0)
		r = io_services_open(&director->loop, director->config, &services,
				     &director->services, &fault);
	if (r == 0)
		r = io_director_health_open(director, &fault);
	if (r == 0)
		r = policy_start(director, &fault);
	if (r < 0) {
		io_log_error("%s", fault.text);
		return r;
	}
	io_director_adopt(director);
	return 0;
}

static void handles_start(struct io_director *director)
{
	static const int numbers[] = {SIGHUP, SIGTERM, SIGINT};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		uv_signal_init(&director->loop, &director->signals[i]);
		director->signals[i].data = director;
		uv_signal_start(&director->signals[i], signalled, numbers[i]);
	}
	uv_timer_init(&director->loop, &director->leave);
	director->leave.data = director;
	uv_idle_init(&director->loop, &director->compare);
	director->compare.data = director;
	uv_prepare_init(&director->loop, &director->turn);
	director->turn.data = director;
	uv_prepare_start(&director->turn, turn_ended);
	uv_timer_init(&director->loop, &director->watch);
	director->watch.data = director;
	uv_timer_start(&director->watch, watched, WATCH_MS, WATCH_MS);
}

int io_director_run(const struct io_director_options *options)
{
	struct io_director *director = calloc(1, sizeof(*director));
	struct utsname kernel;
	int r = director ? uv_loop_init(&director->loop) : -ENOMEM;

	if (r < 0) {
		io_log_error("%s", uv_strerror(r));
		free(director);
		config_free(options->config);
		return r;
	}
	signal(SIGPIPE, SIG_IGN);
	uv_loop_configure(&director->loop, UV_METRICS_IDLE_TIME);
	director->config_path = options->config_path;
	director->config = options->config;
	director->identity = options->identity;
	director->versions = options->versions;
	director->started = director->loaded = director->forwarder_since = clock_now().mono;
	director->watchdog = io_log_watchdog();
	config_digest(director->config, director->digest);
	director->ftp_damaged =
		uname(&kernel) == 0 && kernel_facts_damage_ftp(kernel.release, kernel.version);
	io_state_init(&director->roster, &director->loop, director->config->state, ROSTER_NAME);
	handles_start(director);
	r = start(director);
	if (r < 0) {
		director->result = r;
		io_director_stop(director);
	} else {
		io_log_notice("%s: running, epoch %llu, %zu services", director->config->node_name,
			      (unsigned long long)director->epoch,
			      director->config->services.count);
	}
	uv_run(&director->loop, UV_RUN_DEFAULT);
	uv_loop_close(&director->loop);
	config_free(director->config);
	r = director->result;
	free(director);
	return r;
}
