/*
 * director NUMBER ADDRESS PEER DIRECTORY KERNEL-CPU [PROBE-MS]: one director for ./beside.py, on
 * real sockets and a real TUN, without IPVS: it has the daemon's node, streams, datagrams and tap,
 * and ./kernel.c as its kernel, which gets the standard input (see kernel.h).
 *
 * PROBE-MS is the interval of its pings to its peer, in place of 200 ms.
 *
 * Writes JSON lines: "up"; "ready" when it holds what its peer had and its kernel has all of it;
 * "joined" when it meets the first; on SIGUSR1 "status". Ends on SIGTERM.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/io_clock.h"
#include "director/net/io_node.h"
#include "director/tap/io_tap.h"
#include "tests/beside/tap_setup.h"
#include "tests/identity_fixture.h"

#define PORT 4848
#define SYNCID 117
#define ENTRIES_MAX 12000000
#define PROBES_MAX 100000
#define INSIDER "d4" /* that misbehaves, and may well fail */

struct director {
	uv_loop_t loop;
	uv_signal_t term, ask;
	uv_check_t turn;
	struct identity identity;
	struct endpoint listen, peer;
	struct io_node *node;
	struct io_tap *tap;
	uint32_t rtt; /* smoothed, as membership has it */
	uint32_t *probes;
	size_t probe_count;
	unsigned int failed; /* members, or splits, by its notices */
};

static usec_t now_us(void)
{
	return clock_now().mono;
}

static void inject(void *context)
{
	struct director *director = context;

	if (director->tap)
		io_tap_kick(director->tap);
}

static void confirm(void *context)
{
	struct director *director = context;

	if (director->tap)
		io_tap_hurry(director->tap);
}

static void announce(void *context, bool announced)
{
	(void)context;
	if (announced)
		printf("{\"event\": \"ready\", \"at_us\": %llu}\n", (unsigned long long)now_us());
}

static void notice(void *context, const struct membership_notice *told)
{
	struct director *director = context;

	director->failed +=
		(told->type == MEMBERSHIP_MEMBER_FAILED && strcmp(told->name, INSIDER) != 0) ||
		told->type == MEMBERSHIP_SPLIT_SUSPECTED;
	if (told->type == MEMBERSHIP_MEMBER_JOINED)
		printf("{\"event\": \"joined\", \"at_us\": %llu}\n", (unsigned long long)now_us());
}

static void nothing(void *context)
{
	(void)context;
}

static void epoch_wanted(void *context, uint64_t epoch)
{
	(void)context;
	(void)epoch;
}

static void returned(void *context, usec_t wall)
{
	(void)context;
	(void)wall;
}

static size_t pull(void *context, uint8_t *payload, size_t cap)
{
	struct director *director = context;

	return sync_inject(node_sync(io_node_get(director->node)), clock_now(), payload, cap);
}

/* Each answer moves the mean by an eighth of what it differs. */
static void look_at_probes(uv_check_t *turn)
{
	struct director *director = container_of(turn, struct director, turn);
	struct member_info info;
	unsigned int cursor = 0;
	uint32_t rtt;

	if (!membership_walk(node_membership(io_node_get(director->node)), &cursor, &info))
		return;
	rtt = (uint32_t)info.addresses[0].rtt;
	if (rtt == director->rtt)
		return;
	if (director->rtt && director->probe_count < PROBES_MAX && 8 * rtt > 7 * director->rtt)
		director->probes[director->probe_count++] = 8 * rtt - 7 * director->rtt;
	director->rtt = rtt;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double probe_ms(const struct director *director, unsigned int percent)
{
	size_t n = director->probe_count;

	return n ? director->probes[(n * percent + 99) / 100 - 1] / 1e3 : 0;
}

/* How often some other director used up its share of our work. */
static uint64_t throttled(const struct director *director)
{
	struct counter counter;

	for (unsigned int i = 0; node_counter(io_node_get(director->node), i, &counter); i++)
		if (strcmp(counter.group, "account") == 0)
			return counter.value;
	return 0;
}

static void say_status(uv_signal_t *ask, int number)
{
	struct director *director = container_of(ask, struct director, ask);
	struct node_status status;

	(void)number;
	node_status(io_node_get(director->node), &status);
	qsort(director->probes, director->probe_count, sizeof(*director->probes), compare);
	printf("{\"event\": \"status\", \"entries\": %llu, \"captured\": %llu, \"learned\": %llu, "
	       "\"injected\": %llu, \"inject_retries\": %llu, \"batches_out\": %llu, "
	       "\"batches_in\": %llu, \"probes\": %zu, \"probe_p50_ms\": %.3f, \"probe_p99_ms\": "
	       "%.3f, \"probe_max_ms\": %.3f, \"failed\": %u, \"throttled\": %llu}\n",
	       (unsigned long long)status.sync.entries, (unsigned long long)status.sync.captured,
	       (unsigned long long)status.sync.learned, (unsigned long long)status.sync.injected,
	       (unsigned long long)status.sync.inject_retries,
	       (unsigned long long)status.sync.batches_sent,
	       (unsigned long long)status.sync.batches_received, director->probe_count,
	       probe_ms(director, 50), probe_ms(director, 99), probe_ms(director, 100),
	       director->failed, (unsigned long long)throttled(director));
	director->probe_count = 0;
}

static void tap_closed(void *context)
{
	struct director *director = context;

	uv_stop(&director->loop);
}

static void terminate(uv_signal_t *term, int number)
{
	struct director *director = container_of(term, struct director, term);

	(void)number;
	io_tap_close(director->tap, tap_closed, director);
}

static int open_node(struct director *director, uint8_t number, unsigned int probe_ms,
		     struct fault *fault)
{
	struct io_node_options options = {
		.loop = &director->loop,
		.node = {.identity = &director->identity,
			 .epoch = clock_now().wall,
			 .seed = {number},
			 .join = &director->peer,
			 .join_count = 1,
			 .addresses = &director->listen,
			 .address_count = 1,
			 .profile = membership_default,
			 .versions = VERSION_RANGE,
			 .syncid = SYNCID,
			 .entries_max = ENTRIES_MAX},
		.listen = &director->listen,
		.n_listen = 1,
		.context = director,
		.inject = inject,
		.confirm = confirm,
		.announce = announce,
		.notice = notice,
		.roster = nothing,
		.done = nothing,
		.epoch_wanted = epoch_wanted,
		.returned = returned,
	};

	if (probe_ms)
		options.node.profile.interval = probe_ms * USEC_PER_MSEC;
	return io_node_open(&options, &director->node, fault);
}

static int open_tap(struct director *director, struct fault *fault)
{
	struct io_tap_options options;

	io_tap_options_init(&options);
	options.loop = &director->loop;
	options.syncid = SYNCID;
	options.port = PORT;
	options.node_ctx = director->node;
	options.ctx = director;
	options.callbacks = (struct io_tap_callbacks){
		.captured = io_node_captured,
		.late = io_node_late,
		.captured_all = io_node_captured_all,
		.pull = pull,
		.confirmed = io_node_injected,
		.lost = io_node_inject_lost,
		.missed = nothing,
		.changed = nothing,
	};
	return io_tap_open(&options, &director->tap, fault);
}

static bool endpoint_read(const char *text, struct endpoint *ret_endpoint)
{
	char full[ENDPOINT_TEXT];

	snprintf(full, sizeof(full), "%s:%d", text, PORT);
	return endpoint_parse(full, ret_endpoint) == 0;
}

int main(int argc, char **argv)
{
	static struct director director;
	struct fault fault = {""};
	uint8_t number = (uint8_t)(argc > 1 ? atoi(argv[1]) : 0);

	if (argc < 6 || number == 0 || number > 9 || !endpoint_read(argv[2], &director.listen) ||
	    !endpoint_read(argv[3], &director.peer)) {
		fprintf(stderr, "director NUMBER ADDRESS PEER DIRECTORY KERNEL-CPU [PROBE-MS]\n");
		return 2;
	}
	snprintf(beside.stats, sizeof(beside.stats), "%s/stats%u", argv[4], number);
	snprintf(beside.times, sizeof(beside.times), "%s/times", argv[4]);
	beside.kernel_cpu = atoi(argv[5]);
	signal(SIGPIPE, SIG_IGN); /* as lvsmeshd does: a peer may be gone */
	setvbuf(stdout, NULL, _IOLBF, 0);
	director.probes = calloc(PROBES_MAX, sizeof(*director.probes));
	fixture_now(number, &director.identity);
	uv_loop_init(&director.loop);
	uv_signal_init(&director.loop, &director.term);
	uv_signal_init(&director.loop, &director.ask);
	uv_check_init(&director.loop, &director.turn);

	if (open_node(&director, number, argc > 6 ? (unsigned int)atoi(argv[6]) : 0, &fault) < 0 ||
	    open_tap(&director, &fault) < 0) {
		fprintf(stderr, "%s\n", fault.text);
		return 1;
	}
	uv_signal_start(&director.term, terminate, SIGTERM);
	uv_signal_start(&director.ask, say_status, SIGUSR1);
	if (argc > 6)
		uv_check_start(&director.turn, look_at_probes);
	printf("{\"event\": \"up\", \"at_us\": %llu}\n", (unsigned long long)now_us());
	io_node_send(director.node, &(struct node_event){.type = NODE_ADOPTED_ALL});
	io_node_send(director.node, &(struct node_event){.type = NODE_FORWARDER, .ok = true});
	uv_run(&director.loop, UV_RUN_DEFAULT);
	return 0;
}
