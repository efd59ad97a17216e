/* Drives health checking: the core in director/check gets the configuration, the members, the facts
 * and the results of checks; its checks go to director/checker, its facts to the node, its weights
 * to io_services, its notices to the events. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/checker/io_checker.h"
#include "director/daemon/io_director_private.h"
#include "director/event/health_notices.h"
#include "director/io_clock.h"
#include "director/io_log.h"
#include "proto/state_file.h"

#define STATE_NAME "health"
#define STATE_MAX (32u << 20) /* bytes */
/* A turn of the loop begins, or publishes, at most so many; the rest comes in the next one. */
#define TURN 256
#define BEGIN 64 /* checks, which cost more */
#define EDITS_MAX 4096
/* A daemon that is killed starts again with what it knew so long before. */
#define SAVE_INTERVAL (100 * USEC_PER_MSEC)
/* 100,000 real servers that are down take long to write: a twentieth of the time at most. */
#define SAVE_REST 20
#define MEMBERS_INTERVAL (100 * USEC_PER_MSEC)

/* A check that is under way: what it borrows lives until its end. */
struct run {
	struct config *config;
	char real[ENDPOINT_TEXT];
};

struct io_director_health {
	struct io_director *director;
	struct health *core;
	struct config *config; /* the core borrows its services */
	struct io_checker *checker;
	struct health_notices *notices;
	usec_t notices_at; /* mono: some event is due then */
	usec_t save_at;    /* mono: not before */
	usec_t members_at; /* mono: whose streams are whole is looked at then */
	uv_timer_t timer;
	struct run **runs; /* by target; NULL: none */
	size_t runs_room;
	struct wanted_edit edits[EDITS_MAX];
	size_t n_edits;
	bool closing;
	char name[CERTIFICATE_NAME_MAX + 1]; /* name_of() */
};

static void step(uv_timer_t *timer);

static void kick(struct io_director_health *health)
{
	if (!health->closing)
		uv_timer_start(&health->timer, step, 0, 0);
}

/* Runs */

static void run_end(struct io_director_health *health, uint32_t target)
{
	struct run *run = target < health->runs_room ? health->runs[target] : NULL;

	if (!run)
		return;
	health->runs[target] = NULL;
	config_free(run->config);
	free(run);
}

static struct run *run_add(struct io_director_health *health, uint32_t target)
{
	if (target >= health->runs_room) {
		size_t room = MAX(2 * health->runs_room, (size_t)target + 64);
		struct run **runs = reallocarray(health->runs, room, sizeof(*runs));

		if (!runs)
			return NULL;
		memset(runs + health->runs_room, 0, (room - health->runs_room) * sizeof(*runs));
		health->runs = runs;
		health->runs_room = room;
	}
	/* An earlier target had the number, and a reload ended it. */
	if (health->runs[target]) {
		io_checker_cancel(health->checker, target);
		run_end(health, target);
	}
	health->runs[target] = calloc(1, sizeof(**health->runs));
	return health->runs[target];
}

/* False: it can't be checked now, through its forwarding path. */
static bool run_path(const struct io_director_health *health, const struct health_run *due,
		     struct io_checker_run *check)
{
	size_t service = (size_t)(due->service - health->config->services.services);
	size_t real = (size_t)(due->real - due->service->real_servers);

	return due->check->via != CHECK_VIA_FORWARDING ||
	       io_services_path(health->director->services, service, real, &check->mark,
				&check->source);
}

static void run_pathless(struct io_director_health *health, const struct health_run *due)
{
	static const struct check_result result = {
		.state = CHECK_UNCHANGED,
		.cause = CHECK_CAUSE_LOCAL,
		.weight = -1,
		.reason =
			"not checked: this director has no route to it, or the kernel no path yet",
	};

	health_result(health->core, due->target, due->run, &result, clock_now());
	kick(health);
}

/* Without memory the core gives the run up by itself, and says so. */
static void run_begin(struct io_director_health *health, const struct health_run *due)
{
	struct run *run;
	struct io_checker_run check = {
		.target = due->target,
		.run = due->run,
		.check = due->check,
		.endpoint = due->endpoint,
		.vip = due->service->key.vip,
		.service = due->service->name,
	};

	if (!run_path(health, due, &check)) {
		run_pathless(health, due);
		return;
	}
	run = run_add(health, due->target);
	if (!run)
		return;
	run->config = config_ref(health->config);
	check.real = endpoint_format(&due->real->endpoint, run->real);
	if (io_checker_begin(health->checker, &check) < 0)
		run_end(health, due->target);
}

static void checked(void *context, uint32_t target, uint32_t run, const struct check_result *result)
{
	struct io_director_health *health = context;

	run_end(health, target);
	health_result(health->core, target, run, result, clock_now());
	kick(health);
}

/* What the core asks for */

static void edits_send(struct io_director_health *health)
{
	if (health->n_edits &&
	    io_services_edit(health->director->services, health->edits, health->n_edits) < 0)
		io_log_error("health checks: out of memory: weights in the kernel are late");
	health->n_edits = 0;
}

/* Connections of a real server that is up again, or kept, are no longer ended. */
static void end_connections(struct io_director_health *health, const struct health_change *change)
{
	const struct service *service = &health->config->services.services[change->service];

	if (service->health.end_connections)
		io_node_send(health->director->node,
			     &(struct node_event){
				     .type = NODE_END,
				     .ok = change->end_connections,
				     .service = &service->key,
				     .real = &service->real_servers[change->real].endpoint,
			     });
}

static void change(struct io_director_health *health, const struct health_change *change)
{
	/* Without memory for a reload, the core's numbers are those of the former configuration. */
	if (health->config != health->director->config)
		return;
	if (change->type == HEALTH_CHANGE_VIP) {
		(void)io_services_vip(health->director->services, change->service, change->on);
		return;
	}
	if (change->type == HEALTH_CHANGE_REAL)
		end_connections(health, change);
	if (health->n_edits == EDITS_MAX)
		edits_send(health);
	health->edits[health->n_edits++] = (struct wanted_edit){
		.service = change->service,
		.real = change->real,
		.sorry = change->type == HEALTH_CHANGE_SORRY,
		.removed = change->removed,
		.weight = change->weight,
	};
}

static void facts_pull(struct io_director_health *health, struct now now)
{
	struct sync *sync = node_sync(io_node_get(health->director->node));
	struct fact fact;

	for (unsigned int i = 0; i < TURN && sync_fact_next(sync, now, &fact); i++)
		(void)health_fact(health->core, &fact, now); /* counted there */
	if (sync_fact_pending(sync))
		kick(health);
}

static void publish(struct io_director_health *health, struct now now)
{
	struct fact fact;
	unsigned int i = 0;

	for (; i < TURN && health_publish(health->core, now, &fact); i++)
		io_node_send(health->director->node,
			     &(struct node_event){.type = NODE_PUBLISH, .fact = &fact});
	if (i == TURN)
		kick(health);
}

static void begin_due(struct io_director_health *health, struct now now)
{
	struct health_run due;
	unsigned int i = 0;

	for (; i < BEGIN && health_due(health->core, now, &due); i++)
		run_begin(health, &due);
	if (i == BEGIN)
		kick(health);
}

/* The name of a director that may be gone: its id. */
static const char *name_of(void *context, uint64_t id)
{
	struct io_director *director = context;
	struct member_info info;

	if (id == director->identity->id)
		return director->config->node_name;
	if (!membership_find(node_membership(io_node_get(director->node)), id, &info))
		return NULL;
	snprintf(director->health->name, sizeof(director->health->name), "%s", info.name);
	return director->health->name;
}

static void tell(struct io_director_health *health, struct now now)
{
	struct io_director *director = health->director;
	const struct health_notices_context context = {
		.director = director->config->node_name,
		.services = &health->config->services,
		.name = name_of,
		.context = director,
	};
	struct event_log *log = io_alert_log(director->alert);
	struct health_notice notice;

	while (health_notice(health->core, now, &notice))
		health_notices_take(health->notices, &notice, &context, log, now);
	health->notices_at = health_notices_tick(health->notices, log, now);
	io_alert_kick(director->alert);
}

/* Changes of weights before all else: the kernel is what this is for. */
static void pull(struct io_director_health *health)
{
	struct now now = clock_now();
	struct health_change next;

	while (health_change(health->core, &next))
		change(health, &next);
	edits_send(health);
	publish(health, now);
	begin_due(health, now);
	tell(health, now);
}

/* Returns when to look again. */
static usec_t save(struct io_director_health *health, struct now now)
{
	usec_t began;

	if (!health_state_changed(health->core))
		return USEC_NEVER;
	if (now.mono < health->save_at)
		return health->save_at;
	began = clock_now().mono;
	io_director_health_save(health->director);
	health->save_at = now.mono + MAX(SAVE_INTERVAL, SAVE_REST * (clock_now().mono - began));
	return USEC_NEVER;
}

/* A member's results are here up to now while its journal comes. */
static void members_follow(const struct node *node, struct health_member *members, size_t count,
			   struct now now)
{
	for (unsigned int i = 0; i < NODE_SYNC_MAX; i++) {
		struct node_stream_status stream;
		struct health_member key, *member;

		node_stream_status(node, i, now, &stream);
		if (stream.phase != NODE_STREAM_READY || !stream.sync.facts)
			continue;
		key.id = stream.id;
		member = bsearch(&key, members, count, sizeof(*members), verdict_member_compare);
		if (!member)
			continue;
		member->current = true;
		member->epoch = stream.epoch;
	}
}

/* Directors that are alive, those suspected too. */
static void members_update(struct io_director_health *health, struct now now)
{
	const struct node *node = io_node_get(health->director->node);
	struct health_member members[DIRECTORS_MAX];
	struct member_info info;
	unsigned int cursor = 0, count = 0;

	while (count < DIRECTORS_MAX && membership_walk(node_membership(node), &cursor, &info))
		if (info.state == STATE_ALIVE || info.state == STATE_SUSPECT)
			members[count++] = (struct health_member){.id = info.id};
	qsort(members, count, sizeof(*members), verdict_member_compare);
	members_follow(node, members, count, now);
	health_members(health->core, members, count, now);
	health->members_at = now.mono + MEMBERS_INTERVAL;
}

static void step(uv_timer_t *timer)
{
	struct io_director_health *health = container_of(timer, struct io_director_health, timer);
	struct now now = clock_now();
	usec_t next;

	facts_pull(health, now);
	if (now.mono >= health->members_at)
		members_update(health, now);
	health_tick(health->core, now);
	pull(health);
	if (uv_is_active((uv_handle_t *)timer))
		return;
	next = MIN(MIN(health_timeout(health->core), health->notices_at), save(health, now));
	next = MIN(next, health->members_at);
	if (next != USEC_NEVER)
		uv_timer_start(
			timer, step,
			next > now.mono ? (next - now.mono + USEC_PER_MSEC - 1) / USEC_PER_MSEC : 0,
			0);
}

void io_director_health_facts(void *context)
{
	struct io_director *director = context;

	if (director->health)
		kick(director->health);
}

void io_director_health_members(struct io_director *director)
{
	members_update(director->health, clock_now());
	kick(director->health);
}

/* A setting has to last: without the file it comes back from the other directors only. */
void io_director_health_save(struct io_director *director)
{
	struct io_director_health *health = director->health;
	size_t len = 0;
	char *text;

	if (!health_state_changed(health->core) && !io_state_failure(&director->health_state))
		return;
	if (health_pack(health->core, &text, &len) < 0)
		text = NULL;
	io_state_save(&director->health_state, (uint8_t *)text, len);
}

static void state_load(struct io_director_health *health)
{
	struct fault fault;
	uint8_t *text;
	size_t len;
	int r = state_file_load(health->director->config->state, STATE_NAME, STATE_MAX, &text, &len,
				&fault);

	if (r != 0 && r != -ENOENT)
		io_log_error("%s; going on without it: what operators set comes back from the "
			     "other directors",
			     fault.text);
	if (r == 0 && health_unpack(health->core, (const char *)text, len, clock_now()) < 0)
		io_log_error("can't read the state of the health checks: %s", strerror(ENOMEM));
	if (r >= 0)
		free(text);
}

bool io_director_health_counter(const struct io_director *director, unsigned int *i,
				struct counter *ret_counter)
{
	struct io_checker_counts checker;

	if (!director->health)
		return false;
	io_checker_counts(director->health->checker, &checker);
	return counter_get(&io_checker_counters, &checker, i, ret_counter) ||
	       health_counter(director->health->core, i, ret_counter);
}

/* The operator */

const struct health *io_director_health_core(const struct io_director *director)
{
	const struct io_director_health *health = director->health;

	/* A configuration that the core had no memory for has other numbers. */
	return health && !health->closing && health->config == director->config ? health->core
										: NULL;
}

int io_director_health_set(void *context, size_t service, size_t real, enum health_setting setting,
			   uint32_t weight, const char **ret_error)
{
	struct io_director *director = context;
	struct io_director_health *health = director->health;
	const struct service *of;
	struct event event;
	int r;

	if (!io_director_health_core(director)) {
		*ret_error =
			"this director is about to stop, or lacks memory for its health checks";
		return -EINVAL;
	}
	r = health_set(health->core, service, real, setting, weight, clock_now());
	if (r != 0) {
		*ret_error =
			r == HEALTH_E_FULL ? "too many real servers are set: reset some of them"
			: r == HEALTH_E_FUTURE
				? "the setting that is held was made when a clock was more than "
				  "an hour ahead: wait until then, or stop all lvsmeshd and "
				  "remove the file health in their state directories"
			: r < 0 ? strerror(-r)
				: "no such real server, or no such setting";
		return -EINVAL;
	}
	of = &health->config->services.services[service];
	health_notices_setting(director->config->node_name, of, &of->real_servers[real], setting,
			       weight, &event);
	io_alert_raise(director->alert, &event);
	kick(health);
	return 0;
}

/* Start, reload, stop */

/* The core keeps no facts about what was not configured, so it gets all of them again. */
static void facts_again(struct io_director_health *health, struct now now)
{
	struct sync *sync = node_sync(io_node_get(health->director->node));
	uint64_t cursor = 0;
	struct fact fact;

	while (sync_fact_walk(sync, now, &cursor, &fact))
		(void)health_fact(health->core, &fact, now);
}

int io_director_health_config(struct io_director *director)
{
	struct io_director_health *health = director->health;
	struct now now = clock_now();
	int r = health_config(health->core, &director->config->services, now);

	if (r < 0)
		return r;
	config_free(health->config);
	health->config = config_ref(director->config);
	facts_again(health, now);
	do {
		health_tick(health->core, now);
	} while (health_timeout(health->core) == 0);
	pull(health);
	kick(health);
	return 0;
}

int io_director_health_open(struct io_director *director, struct fault *fault)
{
	struct health_options options = {
		.self = director->identity->id, .epoch = director->epoch, .now = clock_now()};
	struct io_director_health *health = calloc(1, sizeof(*health));
	struct io_checker_options checker = {
		.loop = &director->loop, .result = checked, .context = health};
	int r;

	randombytes_buf(options.seed, sizeof(options.seed));
	r = health ? health_new(&options, &health->core) : -ENOMEM;
	if (r == 0)
		r = health_notices_new(&health->notices);
	if (r == 0)
		r = io_checker_open(&checker, &health->checker);
	if (r < 0) {
		fault_set(fault, r, "health checks: %s", uv_strerror(r));
		if (health) {
			health_notices_free(health->notices);
			health_free(health->core);
		}
		free(health);
		return r;
	}
	health->director = director;
	director->health = health;
	uv_timer_init(&director->loop, &health->timer);
	io_state_init(&director->health_state, &director->loop, director->config->state,
		      STATE_NAME);
	state_load(health);
	r = io_director_health_config(director);
	return r < 0 ? fault_set(fault, r, "health checks: %s", uv_strerror(r)) : 0;
}

static void timer_closed(uv_handle_t *timer)
{
	struct io_director_health *health =
		container_of((uv_timer_t *)timer, struct io_director_health, timer);

	for (size_t i = 0; i < health->runs_room; i++)
		run_end(health, (uint32_t)i);
	health->director->health = NULL;
	health_notices_free(health->notices);
	health_free(health->core);
	config_free(health->config);
	free(health->runs);
	free(health);
}

static void checker_closed(void *context)
{
	struct io_director_health *health = context;

	uv_close((uv_handle_t *)&health->timer, timer_closed);
}

void io_director_health_close(struct io_director *director)
{
	struct io_director_health *health = director->health;

	io_director_health_save(director);
	health->closing = true;
	uv_timer_stop(&health->timer);
	io_checker_close(health->checker, checker_closed, health);
}
