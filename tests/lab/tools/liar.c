/*
 * liar CONFIG: a director with a valid key that lies. It has the daemon's node and sockets and the
 * core of health checking, and no IPVS: every check that is its to run "fails" at once, whatever
 * the truth is, and it publishes that.
 *
 * CONFIG is lvsmeshd's. Writes JSON lines: "ready"; "lie" with the number of results that it has
 * published, after each. Ends with its input.
 */
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/check/health.h"
#include "director/config/config.h"
#include "director/io_clock.h"
#include "director/net/io_node.h"
#include "proto/identity/identity_file.h"
#include "proto/version.h"

#define STEP_MS 20

static struct liar {
	uv_loop_t loop;
	uv_pipe_t input;
	uv_timer_t confirmed, step;
	struct identity identity;
	struct config *config;
	struct io_node *node;
	struct health *health;
	uint64_t epoch;
	unsigned int lies;
	char line[64];
} liar;

static void inject(void *context)
{
	uint8_t data[4096];

	(void)context;
	while (sync_inject(node_sync(io_node_get(liar.node)), clock_now(), data, sizeof(data)) > 0)
		;
}

static void confirmed(uv_timer_t *timer)
{
	(void)timer;
	io_node_injected(liar.node);
}

/* There is no kernel: all is injected at once. */
static void confirm(void *context)
{
	(void)context;
	uv_timer_start(&liar.confirmed, confirmed, 0, 0);
}

static void announce(void *context, bool announced)
{
	(void)context;
	(void)announced;
}

static void notice(void *context, const struct membership_notice *told)
{
	(void)context;
	(void)told;
}

static void nothing(void *context)
{
	(void)context;
}

static void epoch_wanted(void *context, uint64_t epoch)
{
	(void)context;
	(void)epoch;
	exit(1);
}

static void returned(void *context, usec_t wall)
{
	(void)context;
	(void)wall;
}

static void members_take(struct now now)
{
	const struct membership *membership = node_membership(io_node_get(liar.node));
	struct health_member alive[DIRECTORS_MAX];
	unsigned int count = 0, cursor = 0;
	struct member_info info;

	while (count < DIRECTORS_MAX && membership_walk(membership, &cursor, &info))
		if (info.state == STATE_ALIVE)
			alive[count++] = (struct health_member){.id = info.id};
	health_members(liar.health, alive, count, now);
}

static void lie(uv_timer_t *timer)
{
	static const struct check_result down = {.state = CHECK_DOWN,
						 .cause = CHECK_CAUSE_REFUSED,
						 .weight = -1,
						 .took = USEC_PER_MSEC,
						 .reason = "connection refused, says the liar"};
	struct sync *sync = node_sync(io_node_get(liar.node));
	struct now now = clock_now();
	struct health_run run;
	struct fact fact;

	(void)timer;
	members_take(now);
	while (sync_fact_next(sync, now, &fact))
		health_fact(liar.health, &fact, now);
	health_tick(liar.health, now);
	while (health_due(liar.health, now, &run))
		health_result(liar.health, run.target, run.run, &down, now);
	while (health_publish(liar.health, now, &fact)) {
		io_node_send(liar.node, &(struct node_event){.type = NODE_PUBLISH, .fact = &fact});
		printf("{\"event\": \"lie\", \"count\": %u}\n", ++liar.lies);
	}
}

static void input_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle;
	(void)suggested;
	*buf = uv_buf_init(liar.line, sizeof(liar.line));
}

static void input_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
	(void)stream;
	(void)buf;
	if (len < 0)
		exit(0);
}

static bool node_open(void)
{
	const struct config *config = liar.config;
	struct io_node_options options = {
		.loop = &liar.loop,
		.node = {.identity = &liar.identity,
			 .versions = VERSION_RANGE,
			 .epoch = liar.epoch,
			 .join = config->join,
			 .join_count = (unsigned int)config->n_join,
			 .addresses = config->listen,
			 .address_count = (unsigned int)config->n_listen,
			 .profile = membership_default,
			 .entries_max = 100000},
		.listen = config->listen,
		.n_listen = config->n_listen,
		.inject = inject,
		.confirm = confirm,
		.announce = announce,
		.notice = notice,
		.roster = nothing,
		.done = nothing,
		.epoch_wanted = epoch_wanted,
		.returned = returned,
	};
	struct fault fault;

	randombytes_buf(options.node.seed, sizeof(options.node.seed));
	if (io_node_open(&options, &liar.node, &fault) == 0)
		return true;
	fprintf(stderr, "%s\n", fault.text);
	return false;
}

static bool health_open(void)
{
	struct health_options options = {
		.self = liar.identity.id, .epoch = liar.epoch, .now = clock_now()};

	return health_new(&options, &liar.health) == 0 &&
	       health_config(liar.health, &liar.config->services, clock_now()) == 0;
}

static bool config_open(const char *file)
{
	struct config_error error;
	struct fault fault;

	if (config_load(file, &liar.config, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return false;
	}
	if (identity_file_load(liar.config->identity, &liar.identity, &fault) < 0) {
		fprintf(stderr, "%s\n", fault.text);
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	if (argc != 2 || sodium_init() < 0)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	liar.epoch = clock_now().wall;
	uv_loop_init(&liar.loop);
	uv_pipe_init(&liar.loop, &liar.input, 0);
	uv_timer_init(&liar.loop, &liar.confirmed);
	uv_timer_init(&liar.loop, &liar.step);
	if (!config_open(argv[1]) || uv_pipe_open(&liar.input, 0) < 0 || !node_open() ||
	    !health_open())
		return 1;
	uv_read_start((uv_stream_t *)&liar.input, input_alloc, input_read);
	io_node_send(liar.node, &(struct node_event){.type = NODE_ADOPTED_ALL});
	io_node_send(liar.node, &(struct node_event){.type = NODE_FORWARDER, .ok = true});
	uv_timer_start(&liar.step, lie, STEP_MS, STEP_MS);
	printf("{\"event\": \"ready\"}\n");
	return uv_run(&liar.loop, UV_RUN_DEFAULT);
}
