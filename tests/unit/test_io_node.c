/* Two directors' nodes on one loop, with real sockets on the loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "director/io_clock.h"
#include "director/net/io_node.h"
#include "proto/session/session.h"
#include "proto/sync.pb-c.h"
#include "sync/kernel_wire.h"
#include "tests/identity_fixture.h"
#include "tests/loopback.h"

#define SYNCID 1
#define DEADLINE_MS 20000

struct side {
	struct identity identity;
	struct io_node *node;
	struct endpoint listen;
	uint64_t epoch;
	unsigned int injected, awaited;
	unsigned int joined, failed, left;
	unsigned int facts;   /* pulled */
	struct fact fact;     /* the last */
	unsigned int refused; /* calls that withdraw traffic */
	bool announced, closed, done, roster;
};

struct world {
	uv_loop_t loop;
	uv_timer_t deadline;
	struct side a, b;
};

static void inject(void *context)
{
	struct side *side = context;
	uint8_t data[4096];

	while (sync_inject(node_sync(io_node_get(side->node)), clock_now(), data, sizeof(data)) > 0)
		side->injected++;
}

static void facts(void *context)
{
	struct side *side = context;
	struct sync *sync = node_sync(io_node_get(side->node));

	while (sync_fact_next(sync, clock_now(), &side->fact))
		side->facts++;
}

static void confirm(void *context)
{
	struct side *side = context;

	side->awaited++;
}

static void announce(void *context, bool announced)
{
	struct side *side = context;

	side->announced = announced;
	side->refused += !announced;
}

static void notice(void *context, const struct membership_notice *told)
{
	struct side *side = context;

	side->joined += told->type == MEMBERSHIP_MEMBER_JOINED;
	side->failed += told->type == MEMBERSHIP_MEMBER_FAILED;
	side->left += told->type == MEMBERSHIP_MEMBER_LEFT;
}

static void roster(void *context)
{
	struct side *side = context;

	side->roster = true;
}

static void done(void *context)
{
	struct side *side = context;

	side->done = true;
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

static int side_open(struct world *world, struct side *side, uint8_t number,
		     const struct endpoint *join, struct fault *fault)
{
	struct io_node_options options = {
		.loop = &world->loop,
		.node = {.identity = &side->identity,
			 .epoch = ++side->epoch,
			 .versions = VERSION_RANGE,
			 .seed = {number},
			 .join = join,
			 .join_count = 1,
			 .addresses = &side->listen,
			 .address_count = 1,
			 .profile = membership_fast,
			 .syncid = SYNCID,
			 .entries_max = 1000},
		.listen = &side->listen,
		.n_listen = 1,
		.context = side,
		.inject = inject,
		.facts = facts,
		.confirm = confirm,
		.announce = announce,
		.notice = notice,
		.roster = roster,
		.done = done,
		.epoch_wanted = epoch_wanted,
		.returned = returned,
	};

	return io_node_open(&options, &side->node, fault);
}

static void too_late(uv_timer_t *timer)
{
	(void)timer;
	fprintf(stderr, "not within %d ms\n", DEADLINE_MS);
	_exit(1); /* a jump out of the loop would leave it in pieces */
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	uv_loop_init(&world->loop);
	uv_timer_init(&world->loop, &world->deadline);
	uv_timer_start(&world->deadline, too_late, DEADLINE_MS, 0);
	fixture_now(1, &world->a.identity);
	fixture_now(2, &world->b.identity);
	world->a.listen = endpoint_free();
	do
		world->b.listen = endpoint_free();
	while (world->b.listen.port == world->a.listen.port);
	*state = world;
	return 0;
}

static void closed(void *context)
{
	struct side *side = context;

	side->closed = true;
}

static void side_close(struct side *side)
{
	if (side->node)
		io_node_close(side->node, closed);
	side->node = NULL;
}

static int teardown(void **state)
{
	struct world *world = *state;

	/* Open still where a test has failed. */
	side_close(&world->a);
	side_close(&world->b);
	uv_close((uv_handle_t *)&world->deadline, NULL);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	free(world);
	return 0;
}

static bool connected(const struct side *side)
{
	struct node_stream_status status;
	struct now now = {.mono = uv_hrtime() / 1000};
	bool in = false, out = false;

	for (unsigned int i = 0; i < NODE_STREAMS_MAX; i++) {
		node_stream_status(io_node_get(side->node), i, now, &status);
		if (status.phase == NODE_STREAM_READY && status.for_sync)
			*(status.dialled ? &in : &out) = true;
	}
	return in && out;
}

static void capture(struct side *side, uint32_t client)
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
	struct kernel_wire_writer writer;
	uint8_t data[128];

	store_be32(entry.flow.caddr, client);
	kernel_wire_write(&writer, data, sizeof(data), SYNCID);
	assert_int_equal(kernel_wire_add(&writer, &entry), 0);
	io_node_captured(side->node, data, kernel_wire_finish(&writer));
}

static void test_replicates(void **state)
{
	struct world *world = *state;
	struct fault fault;
	unsigned int injected;

	assert_int_equal(side_open(world, &world->a, 1, &world->b.listen, &fault), 0);
	capture(&world->a, 0x0a000001);
	io_node_captured_all(world->a.node);
	assert_int_equal(side_open(world, &world->b, 2, &world->a.listen, &fault), 0);
	while (!connected(&world->a) || !connected(&world->b))
		uv_run(&world->loop, UV_RUN_ONCE);
	/* a new director waits until the entries from before its start are in its kernel */
	while (world->b.awaited == 0)
		uv_run(&world->loop, UV_RUN_ONCE);
	injected = world->b.injected;
	assert_int_not_equal(injected, 0);
	io_node_injected(world->b.node);
	capture(&world->a, 0x0a000002);
	io_node_captured_all(world->a.node);
	while (world->b.injected == injected)
		uv_run(&world->loop, UV_RUN_ONCE);
	io_node_injected(world->b.node);
	assert_int_equal(world->a.injected, 0);
	io_node_send(world->b.node, &(struct node_event){.type = NODE_ADOPTED_ALL});

	/* to take traffic, the forwarder has to be well; until then what is there stays */
	assert_false(world->b.announced);
	assert_int_equal(world->b.refused, 0);
	io_node_send(world->b.node, &(struct node_event){.type = NODE_FORWARDER, .ok = true});
	while (!world->b.announced)
		uv_run(&world->loop, UV_RUN_ONCE);
	io_node_send(world->b.node, &(struct node_event){.type = NODE_FORWARDER, .ok = false});
	assert_false(world->b.announced);
	assert_int_equal(world->b.refused, 1);
	/* except for a draining director: it withdraws what a process before it has announced */
	io_node_send(world->a.node, &(struct node_event){.type = NODE_DRAIN, .ok = true});
	assert_int_equal(world->a.refused, 1);

	/* the other one goes: its streams end, ours are dialled again */
	side_close(&world->b);
	while (!world->b.closed || connected(&world->a))
		uv_run(&world->loop, UV_RUN_ONCE);
	assert_int_equal(side_open(world, &world->b, 2, &world->a.listen, &fault), 0);
	while (!connected(&world->a) || !connected(&world->b))
		uv_run(&world->loop, UV_RUN_ONCE);
	side_close(&world->a);
	side_close(&world->b);
}

/* The driver is told of facts, and publishes them, while nothing else goes on. */
static void test_facts(void **state)
{
	struct world *world = *state;
	struct fact fact = {.kind = FACT_RESULT, .timeout = 300, .len = 1};
	struct fault fault;

	assert_int_equal(side_open(world, &world->a, 1, &world->b.listen, &fault), 0);
	assert_int_equal(side_open(world, &world->b, 2, &world->a.listen, &fault), 0);
	while (!connected(&world->a) || !connected(&world->b))
		uv_run(&world->loop, UV_RUN_ONCE);
	for (unsigned int i = 0; i < 20; i++) {
		struct side *from = i % 2 ? &world->a : &world->b,
			    *to = i % 2 ? &world->b : &world->a;
		unsigned int had = to->facts;

		fact.key[0] = fact.value[0] = (uint8_t)i;
		io_node_send(from->node, &(struct node_event){.type = NODE_PUBLISH, .fact = &fact});
		while (to->facts == had)
			uv_run(&world->loop, UV_RUN_ONCE);
		assert_int_equal(to->facts, had + 1);
		assert_int_equal(to->fact.value[0], i);
		assert_true(to->fact.origin == from->identity.id);
	}
	side_close(&world->a);
	side_close(&world->b);
}

/* A long turn of the event loop is our own lateness, even if events of streams pass on the time all
 * the while: the acks to our pings are not read. */
static void test_long_turn(void **state)
{
	struct world *world = *state;
	struct membership_status status;
	struct fault fault;

	assert_int_equal(side_open(world, &world->a, 1, &world->b.listen, &fault), 0);
	assert_int_equal(side_open(world, &world->b, 2, &world->a.listen, &fault), 0);
	while (!connected(&world->a) || !connected(&world->b))
		uv_run(&world->loop, UV_RUN_ONCE);
	/* On a busy machine it has been late already. */
	do {
		uv_run(&world->loop, UV_RUN_ONCE);
		membership_status(node_membership(io_node_get(world->a.node)), &status);
	} while (status.health > 0);
	for (unsigned int ms = 0; ms < 400; ms += 10) {
		uv_sleep(10);
		io_node_captured_all(world->a.node);
	}
	membership_status(node_membership(io_node_get(world->a.node)), &status);
	assert_in_range(status.health, 2, 8);
	assert_int_equal(world->a.failed, 0);
	side_close(&world->a);
	side_close(&world->b);
}

/* A client with a certificate, on a blocking socket. */
struct guest {
	struct identity identity;
	struct session *session;
	int fd;
	uint8_t data[4096];
};

static void guest_write(struct guest *guest, size_t len)
{
	assert_int_equal(write(guest->fd, guest->data, len), len);
}

/* Dials, and authenticates itself. */
static void guest_open(struct world *world, struct guest *guest, const struct side *side)
{
	struct session_options options = {.identity = &guest->identity,
					  .dialer = true,
					  .epoch = 1,
					  .versions = VERSION_RANGE};
	struct sockaddr_storage address;
	socklen_t size = endpoint_to_sockaddr(&side->listen, &address);
	struct session_frame frame;
	const int small = 4096;

	fixture_now(3, &guest->identity);
	assert_int_equal(session_new(&options, &guest->session), 0);
	guest->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(setsockopt(guest->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_int_equal(connect(guest->fd, (struct sockaddr *)&address, size), 0);
	while (!session_ready(guest->session)) {
		size_t used = 0,
		       len = session_output(guest->session, guest->data, sizeof(guest->data));
		ssize_t got;

		if (len > 0)
			guest_write(guest, len);
		uv_run(&world->loop, UV_RUN_NOWAIT);
		got = recv(guest->fd, guest->data, sizeof(guest->data), MSG_DONTWAIT);
		for (size_t at = 0; got > 0 && at < (size_t)got; at += used)
			assert_int_equal(
				session_feed(guest->session, guest->data + at, (size_t)got - at,
					     (usec_t)time(NULL) * USEC_PER_SEC, &used, &frame),
				0);
	}
	guest_write(guest, session_output(guest->session, guest->data, sizeof(guest->data)));
}

/* To everything there is. */
static void guest_subscribe(struct guest *guest)
{
	Lvsmesh__Pb__Subscribe message = LVSMESH__PB__SUBSCRIBE__INIT;
	uint8_t body[64];
	size_t len = lvsmesh__pb__subscribe__pack(&message, body);

	assert_int_equal(session_seal(guest->session, SYNC_KIND_SUBSCRIBE, body, len, guest->data,
				      sizeof(guest->data), &len),
			 0);
	guest_write(guest, len);
}

/* The stream on which a side gives its entries to the one of this name. */
static bool sink_of(const struct side *side, const char *name,
		    struct sync_stream_status *ret_status)
{
	struct node_stream_status status;
	struct now now = {.mono = uv_hrtime() / 1000};

	for (unsigned int i = NODE_DIALLED_MAX; i < NODE_STREAMS_MAX; i++) {
		node_stream_status(io_node_get(side->node), i, now, &status);
		if (status.phase != NODE_STREAM_READY || !status.for_sync ||
		    strcmp(status.name, name) != 0)
			continue;
		*ret_status = status.sync;
		return true;
	}
	return false;
}

/* A subscriber that does not read gets what the sockets' buffers hold, and delays no other peer. */
static void test_deaf(void **state)
{
	enum { FLOWS = 1000, ROUNDS = 400 };
	struct sync_stream_status reads, deaf;
	struct world *world = *state;
	struct guest guest;
	struct fault fault;

	assert_int_equal(side_open(world, &world->a, 1, &world->b.listen, &fault), 0);
	assert_int_equal(side_open(world, &world->b, 2, &world->a.listen, &fault), 0);
	while (!connected(&world->a) || !connected(&world->b))
		uv_run(&world->loop, UV_RUN_ONCE);
	guest_open(world, &guest, &world->a);
	guest_subscribe(&guest);
	while (!sink_of(&world->a, "d3", &deaf))
		uv_run(&world->loop, UV_RUN_ONCE);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t i = 0; i < FLOWS; i++)
			capture(&world->a, 0x0a000000 + i);
		io_node_captured_all(world->a.node);
		while (!sink_of(&world->a, "d2", &reads) || reads.behind > 0)
			uv_run(&world->loop, UV_RUN_ONCE);
	}
	assert_true(sink_of(&world->a, "d3", &deaf));
	assert_int_equal(deaf.position, 0);
	/* It is yet to be sent as many entries as there are, however often they changed. */
	assert_in_range(deaf.behind, 1, FLOWS);
	assert_true(deaf.bytes < 1024 * 1024);
	assert_true(reads.bytes > 2 * 1024 * 1024);
	close(guest.fd);
	session_free(guest.session);
	side_close(&world->a);
	side_close(&world->b);
}

static struct member_info other_of(const struct side *side)
{
	struct member_info info = {0};
	unsigned int cursor = 0;

	membership_walk(node_membership(io_node_get(side->node)), &cursor, &info);
	return info;
}

static bool datagrams_pass(const struct side *side)
{
	struct io_datagrams_counts counts;

	io_node_datagrams(side->node, &counts);
	assert_int_equal(counts.receive_errors, 0);
	return counts.received > 0 && counts.sent > 0 && other_of(side).addresses[0].rtt > 0;
}

static void test_membership(void **state)
{
	struct world *world = *state;
	struct fault fault;

	assert_int_equal(side_open(world, &world->a, 1, &world->b.listen, &fault), 0);
	assert_int_equal(side_open(world, &world->b, 2, &world->a.listen, &fault), 0);
	while (!datagrams_pass(&world->a) || !datagrams_pass(&world->b) || !world->a.roster)
		uv_run(&world->loop, UV_RUN_ONCE);
	assert_int_equal(world->a.joined, 1);
	assert_int_equal(other_of(&world->a).state, STATE_ALIVE);

	/* an announced stop is no failure; an unannounced one is */
	io_node_send(world->b.node,
		     &(struct node_event){.type = NODE_ABSENCE, .lease = 60 * USEC_PER_SEC});
	while (!world->b.done || other_of(&world->a).state != STATE_AWAY)
		uv_run(&world->loop, UV_RUN_ONCE);
	side_close(&world->b);
	while (!world->b.closed)
		uv_run(&world->loop, UV_RUN_ONCE);
	assert_int_equal(side_open(world, &world->b, 2, &world->a.listen, &fault), 0);
	while (other_of(&world->a).state != STATE_ALIVE)
		uv_run(&world->loop, UV_RUN_ONCE);
	assert_int_equal(world->a.failed, 0);
	side_close(&world->b);
	while (world->a.failed == 0)
		uv_run(&world->loop, UV_RUN_ONCE);
	assert_int_equal(side_open(world, &world->b, 2, &world->a.listen, &fault), 0);
	world->b.done = false;
	while (other_of(&world->a).state != STATE_ALIVE)
		uv_run(&world->loop, UV_RUN_ONCE);
	io_node_send(world->b.node, &(struct node_event){.type = NODE_LEAVE});
	while (!world->b.done || world->a.left == 0)
		uv_run(&world->loop, UV_RUN_ONCE);
	assert_int_equal(world->a.failed, 1);
	side_close(&world->a);
	side_close(&world->b);
}

static void test_listen_refused(void **state)
{
	struct world *world = *state;
	struct fault fault;

	assert_int_equal(side_open(world, &world->a, 1, &world->b.listen, &fault), 0);
	world->b.listen = world->a.listen;
	assert_int_equal(side_open(world, &world->b, 2, &world->a.listen, &fault), UV_EADDRINUSE);
	assert_non_null(strstr(fault.text, "another program listens there"));
	world->b.listen.ip.bytes[0] = 192;
	assert_int_equal(side_open(world, &world->b, 2, &world->a.listen, &fault),
			 UV_EADDRNOTAVAIL);
	assert_non_null(strstr(fault.text, "cluster.listen"));
	side_close(&world->a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_replicates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deaf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_facts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_membership, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listen_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
