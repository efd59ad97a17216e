/* A member with a valid key that makes as much work as it can, in every way that it has: the
 * director that it attacks spends no more on it than its share, answers others in time, and
 * declares no member failed. The attacker (tests/lab/tools/insider.c) and another member are
 * processes. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "director/io_clock.h"
#include "director/net/io_node.h"
#include "director/node/account.h"
#include "tests/identity_fixture.h"
#include "tests/loopback.h"

#define ENTRIES 200000
#define PROBE (5 * USEC_PER_MSEC)
#define STORM (1500 * USEC_PER_MSEC)
#define DEADLINE_MS 100000
#define SHARE_MAX 25                  /* % of a core */
#define TURN_MAX (10 * USEC_PER_MSEC) /* 99 % */
#define SAMPLES_MAX 100000

struct process {
	pid_t pid;
	int in, out;
};

struct world {
	uv_loop_t loop;
	uv_timer_t deadline, tick;
	struct identity identity, insider;
	struct endpoint own, others[2];
	struct io_node *node;
	struct process member, attacker;
	uint64_t probed; /* the honest member */
	usec_t rtt;      /* smoothed, as membership has it */
	usec_t probes[SAMPLES_MAX], turns[SAMPLES_MAX];
	unsigned int probe_count, turn_count, failed;
	bool closed;
};

static void too_late(uv_timer_t *timer)
{
	(void)timer;
	fprintf(stderr, "not within %d ms\n", DEADLINE_MS);
	_exit(1); /* a jump out of the loop would leave it in pieces */
}

static void tick(uv_timer_t *timer)
{
	(void)timer;
}

static void start(struct process *process, char *const *command)
{
	int in[2], out[2];

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	process->pid = fork();
	if (process->pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		close(in[1]);
		close(out[0]);
		execv(command[0], command);
		_exit(1);
	}
	close(in[0]);
	close(out[1]);
	process->in = in[1];
	process->out = out[0];
}

/* It ends with its input. */
static void end(struct process *process)
{
	int status;

	close(process->in);
	close(process->out);
	assert_int_equal(waitpid(process->pid, &status, 0), process->pid);
}

static void nothing(void *context)
{
	(void)context;
}

static void inject(void *context)
{
	struct world *world = context;
	uint8_t data[4096];

	while (sync_inject(node_sync(io_node_get(world->node)), clock_now(), data, sizeof(data)) >
	       0)
		;
}

static void announce(void *context, bool announced)
{
	(void)context;
	(void)announced;
}

/* The attacker itself may fail: its acks are lost among what it sends. */
static void notice(void *context, const struct membership_notice *told)
{
	struct world *world = context;

	world->failed +=
		(told->type == MEMBERSHIP_MEMBER_FAILED && told->member != world->insider.id) ||
		told->type == MEMBERSHIP_SPLIT_SUSPECTED;
}

static void epoch_wanted(void *context, uint64_t epoch)
{
	(void)context;
	fail_msg("epoch %llu is wanted", (unsigned long long)epoch);
}

static void returned(void *context, usec_t wall)
{
	(void)context;
	(void)wall;
}

static void closed(void *context)
{
	struct world *world = context;

	world->closed = true;
}

static void node_start(struct world *world)
{
	struct io_node_options options = {
		.loop = &world->loop,
		.node = {.identity = &world->identity,
			 .epoch = clock_now().wall,
			 .versions = VERSION_RANGE,
			 .seed = {1},
			 .addresses = &world->own,
			 .address_count = 1,
			 .profile = membership_default,
			 .entries_max = 2 * ENTRIES},
		.listen = &world->own,
		.n_listen = 1,
		.context = world,
		.inject = inject,
		.confirm = nothing,
		.announce = announce,
		.notice = notice,
		.roster = nothing,
		.done = nothing,
		.epoch_wanted = epoch_wanted,
		.returned = returned,
	};
	struct fault fault;

	options.node.profile.interval = PROBE;
	assert_int_equal(io_node_open(&options, &world->node, &fault), 0);
}

/* So many that the table takes a while to walk. */
static void fill(struct world *world)
{
	struct entry entry = {
		.flow = {.vaddr = {203, 0, 113, 10},
			 .vport = 80,
			 .cport = 4711,
			 .family = AF_INET,
			 .protocol = IPPROTO_TCP},
		.daddr = {10, 1, 0, 21},
		.dport = 80,
		.state = 1,
		.flags = 3,
		.timeout = 900,
	};

	for (uint32_t i = 0; i < ENTRIES; i++) {
		store_be32(entry.flow.caddr, 0x0a000000 + i);
		io_node_send(world->node,
			     &(struct node_event){.type = NODE_ADOPTED, .entry = &entry});
	}
	io_node_send(world->node, &(struct node_event){.type = NODE_ADOPTED_ALL});
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	char texts[3][ENDPOINT_TEXT];

	signal(SIGPIPE, SIG_IGN); /* as lvsmeshd does */
	uv_loop_init(&world->loop);
	uv_timer_init(&world->loop, &world->deadline);
	uv_timer_start(&world->deadline, too_late, DEADLINE_MS, 0);
	uv_timer_init(&world->loop, &world->tick);
	uv_timer_start(&world->tick, tick, 1, 1);
	fixture_now(1, &world->identity);
	fixture_now(3, &world->insider);
	world->own = endpoint_free();
	for (unsigned int i = 0; i < 2; i++) {
		world->others[i] = world->own;
		world->others[i].ip.bytes[3] = (uint8_t)(2 + i);
	}
	node_start(world);
	fill(world);
	endpoint_format(&world->own, texts[0]);
	endpoint_format(&world->others[0], texts[1]);
	endpoint_format(&world->others[1], texts[2]);
	start(&world->member,
	      (char *[]){getenv("MEMBER"), "2", "default", texts[1], texts[0], NULL});
	start(&world->attacker, (char *[]){getenv("INSIDER"), "3", texts[2], "1", texts[0], NULL});
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	end(&world->attacker);
	end(&world->member);
	io_node_close(world->node, closed);
	while (!world->closed)
		uv_run(&world->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&world->deadline, NULL);
	uv_close((uv_handle_t *)&world->tick, NULL);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	free(world);
	return 0;
}

/* Each answer moves the mean by an eighth of what it differs. */
static void probe_note(struct world *world)
{
	struct member_info info;

	if (!membership_find(node_membership(io_node_get(world->node)), world->probed, &info) ||
	    info.addresses[0].rtt == world->rtt)
		return;
	if (world->rtt && world->probe_count < SAMPLES_MAX &&
	    8 * info.addresses[0].rtt > 7 * world->rtt)
		world->probes[world->probe_count++] = 8 * info.addresses[0].rtt - 7 * world->rtt;
	world->rtt = info.addresses[0].rtt;
}

static int compare(const void *a, const void *b)
{
	usec_t x = *(const usec_t *)a, y = *(const usec_t *)b;

	return (x > y) - (x < y);
}

/* That 99 % do not exceed. */
static usec_t percentile(usec_t *samples, unsigned int count)
{
	qsort(samples, count, sizeof(*samples), compare);
	return count ? samples[(count * 99 + 99) / 100 - 1] : 0;
}

static bool stream_with(const struct world *world, uint64_t id, bool dialled)
{
	struct node_stream_status status;

	for (unsigned int i = 0; i < NODE_STREAMS_MAX; i++) {
		node_stream_status(io_node_get(world->node), i, clock_now(), &status);
		if (status.phase == NODE_STREAM_READY && status.for_sync &&
		    status.dialled == dialled && status.id == id)
			return true;
	}
	return false;
}

/* The attacker's account is empty. */
static void spend(struct world *world)
{
	struct node *node = (struct node *)(uintptr_t)io_node_get(world->node);

	node_charge(node, world->insider.id, ACCOUNT_BURST, clock_now());
}

static void run_for(struct world *world, usec_t time)
{
	usec_t until = clock_now().mono + time;

	while (clock_now().mono < until) {
		usec_t cpu = clock_cpu();

		uv_run(&world->loop, UV_RUN_ONCE);
		if (world->turn_count < SAMPLES_MAX)
			world->turns[world->turn_count++] = clock_cpu() - cpu;
		probe_note(world);
	}
}

/* By the wall clock other work of this machine delays probes too, so we judge the processor's time:
 * that of the director in all, and of each turn of its loop, for which alone a probe has to
 * wait. */
static void storm(struct world *world, const char *name)
{
	usec_t cpu, began, share, turn, probe;
	char line[64];

	assert_true(write(world->attacker.in, line,
			  (size_t)snprintf(line, sizeof(line), "%s\n", name)) > 0);
	run_for(world, STORM / 5);
	spend(world);
	world->probe_count = world->turn_count = 0;
	cpu = clock_cpu();
	began = clock_now().mono;
	run_for(world, STORM);
	share = 100 * (clock_cpu() - cpu) / (clock_now().mono - began);
	turn = percentile(world->turns, world->turn_count);
	probe = percentile(world->probes, world->probe_count);
	print_message("%-20s %2llu %% of a core, 99 %% of %5u turns within %4.1f ms, of %3u probes "
		      "%5.1f ms\n",
		      name, (unsigned long long)share, world->turn_count, (double)turn / 1e3,
		      world->probe_count, (double)probe / 1e3);
	assert_in_range(share, 0, SHARE_MAX);
	assert_in_range(turn, 0, TURN_MAX);
	assert_int_equal(world->failed, 0);
}

static void test_storms(void **state)
{
	static const char *const names[] = {
		"quiet",         "wants",
		"subscribes",    "sums",
		"orphans",       "batches",
		"statements",    "forged-batches",
		"forged-gossip", "accusations",
		"pings",         "forged-statements",
		"gossip",        "forged-certificates",
	};
	struct world *world = *state;
	struct identity member;

	fixture_now(2, &member);
	world->probed = member.id;
	while (!stream_with(world, member.id, true) || !stream_with(world, member.id, false) ||
	       !stream_with(world, world->insider.id, true))
		uv_run(&world->loop, UV_RUN_ONCE);
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		storm(world, names[i]);
	assert_int_not_equal(node_throttled_last(io_node_get(world->node), world->insider.id), 0);
	assert_int_equal(node_throttled_last(io_node_get(world->node), member.id), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_storms, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
