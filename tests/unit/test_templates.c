/* Persistence templates that the kernel holds with another real server, step by step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/kernel_wire.h"
#include "sync/sync_private.h"
#include "tests/identity_fixture.h"

#define OURS 1
#define THEIRS 2
#define TIMEOUT 300
#define TICK (100 * USEC_PER_MSEC)
#define ROUND_GATHERS 4 /* ticks */
#define ROUND_ENDS 12
#define ENTRIES_MAX 64

struct world {
	struct identity identity;
	struct sync *sync;
	struct now now;
	uint64_t version;
	/* The last message. */
	struct entry injected[ENTRIES_MAX];
	unsigned int injected_len;
};

static struct entry make(unsigned int client, unsigned int port, unsigned int server)
{
	struct entry entry;

	memset(&entry, 0, sizeof(entry));
	entry.flow.family = AF_INET;
	entry.flow.protocol = IPPROTO_TCP;
	entry.flow.caddr[0] = 10;
	entry.flow.caddr[3] = (uint8_t)client;
	entry.flow.cport = (uint16_t)port;
	entry.flow.template = port == 0;
	entry.flow.vport = entry.dport = 80;
	entry.daddr[0] = (uint8_t)server;
	entry.state = 1;
	entry.timeout = TIMEOUT;
	entry.flags = port ? 0 : ENTRY_TEMPLATE;
	return entry;
}

/* The next message to the kernel, of so many entries at most. */
static void inject(struct world *world, unsigned int max)
{
	uint8_t message[KERNEL_WIRE_HEADER + ENTRIES_MAX * KERNEL_WIRE_V4];
	size_t len = sync_inject(world->sync, world->now, message,
				 KERNEL_WIRE_HEADER + max * KERNEL_WIRE_V4);
	struct kernel_wire_reader reader;

	world->injected_len = 0;
	if (len == 0)
		return;
	assert_int_equal(kernel_wire_read(&reader, message, len, 0), 0);
	while (kernel_wire_next(&reader, &world->injected[world->injected_len]) == 1)
		world->injected_len++;
}

static struct sync_status status_of(const struct world *world)
{
	struct sync_status status;

	sync_status(world->sync, &status);
	return status;
}

static void ticks(struct world *world, unsigned int n)
{
	while (n-- > 0) {
		world->now.mono += TICK;
		world->now.wall += TICK;
		sync_tick(world->sync, world->now);
	}
}

static void told(struct world *world, const struct entry *entry)
{
	struct table_version version = {world->version += 1ull << 20, 99};
	struct table_displaced displaced;

	hlc_observe(&world->sync->hlc, version.hlc);
	assert_int_equal(table_merge(world->sync->table, entry, version, mono_seconds(world->now),
				     &displaced),
			 TABLE_CHANGED);
}

/* Our kernel gave the client a real server, and then a peer publishes another one. */
static void differ(struct world *world, unsigned int client)
{
	struct entry ours = make(client, 0, OURS), theirs = make(client, 0, THEIRS);

	sync_capture(world->sync, &ours, world->now);
	told(world, &theirs);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct sync_options options = {.identity = &world->identity, .entries_max = 1000};

	fixture_identity(1, 1, &world->identity);
	world->now = (struct now){.mono = 50 * USEC_PER_SEC, .wall = FIXTURE_WALL};
	assert_int_equal(sync_new(&options, &world->sync), 0);
	world->version = hlc_version(FIXTURE_WALL + 1000 * USEC_PER_SEC);
	sync_adopting(world->sync, false);
	ticks(world, 1);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	sync_free(world->sync);
	free(world);
	return 0;
}

/* Ticks to where the round needs the connections, and ends that step. */
static void detach(struct world *world, unsigned int gather)
{
	ticks(world, gather);
	assert_true(sync_templates_detach(world->sync));
	sync_detached(world->sync);
}

/* Goes on to where the other template has been injected, and the kernel's list is to be read. */
static void install(struct world *world)
{
	inject(world, ENTRIES_MAX);
	sync_injected(world->sync);
	ticks(world, ROUND_ENDS);
	inject(world, ENTRIES_MAX);
	assert_false(sync_templates_look(world->sync));
	sync_injected(world->sync);
	assert_true(sync_templates_look(world->sync));
	assert_false(sync_templates_look(world->sync));
}

static void found(struct world *world, unsigned int client, unsigned int server)
{
	struct entry entry = make(client, 0, server);

	sync_adopt(world->sync, &entry, world->now);
}

static void read_all(struct world *world)
{
	sync_adopting(world->sync, false);
	ticks(world, 1);
}

static void test_round(void **state)
{
	struct world *world = *state;
	struct entry lives = make(1, 5000, OURS), ended = make(1, 5001, OURS);
	struct flow template = make(1, 0, 0).flow;

	ended.flags = ENTRY_INACTIVE;
	ended.state = 4;
	sync_capture(world->sync, &lives, world->now);
	sync_capture(world->sync, &ended, world->now);
	assert_false(sync_template_differs(world->sync, &template));
	differ(world, 1);
	assert_true(sync_template_differs(world->sync, &template));
	assert_int_equal(status_of(world).templates_differ, 1);
	ticks(world, ROUND_GATHERS);
	assert_true(sync_templates_detach(world->sync));
	inject(world, ENTRIES_MAX);
	assert_int_equal(world->injected_len, 0);
	assert_int_equal(sync_detach(world->sync, &lives.flow), 0);
	assert_int_equal(sync_detach(world->sync, &ended.flow), 0);
	sync_detached(world->sync);
	assert_true(sync_inject_pending(world->sync));

	/* The last one first, and each whole: elsewhere, here, and that it has ended. */
	inject(world, 4);
	assert_int_equal(world->injected_len, 3);
	for (unsigned int i = 0; i < 3; i++) {
		const struct entry *entry = &world->injected[i];

		assert_int_equal(entry->flow.cport, 5001);
		assert_int_equal(entry->daddr[0], OURS);
		assert_int_equal(entry->state, 4);
		assert_int_equal(entry->dport == 80, i > 0);
		assert_int_equal(entry->flags & ENTRY_INACTIVE, i == 2 ? ENTRY_INACTIVE : 0);
		/* If packets have to be rewritten, none goes to another port meanwhile. */
		assert_int_equal(entry->flags & ENTRY_FWD_MASK, i == 0 ? 3 : 0);
	}
	inject(world, ENTRIES_MAX);
	assert_int_equal(world->injected_len, 3);
	assert_int_equal(world->injected[0].flow.cport, 5000);
	assert_int_equal(world->injected[1].dport, 80);
	assert_true(world->injected[2].flow.template);
	assert_int_equal(world->injected[2].timeout, 1);
	assert_false(sync_inject_pending(world->sync));

	/* It ends a second after the kernel took the message, not after we wrote it. */
	ticks(world, ROUND_ENDS);
	assert_false(sync_inject_pending(world->sync));
	sync_injected(world->sync);
	ticks(world, ROUND_ENDS - 2);
	assert_false(sync_inject_pending(world->sync));
	ticks(world, 2);
	inject(world, ENTRIES_MAX);
	assert_int_equal(world->injected_len, 1);
	assert_int_equal(world->injected[0].daddr[0], THEIRS);
	assert_in_range(world->injected[0].timeout, TIMEOUT, TIMEOUT + TABLE_REFRESH);
	assert_false(sync_templates_look(world->sync));
	sync_injected(world->sync);
	assert_true(sync_templates_look(world->sync));

	/* It counts when it was seen. */
	assert_int_equal(status_of(world).templates_differ, 1);
	found(world, 1, THEIRS);
	assert_int_equal(status_of(world).templates_differ, 0);
	assert_int_equal(status_of(world).templates_replaced, 1);
	read_all(world);
	ticks(world, 100);
	assert_false(sync_templates_detach(world->sync));
}

/* Reports of the template that has to go are never news. No report is, once its end was written. */
static void test_reports(void **state)
{
	struct world *world = *state;
	struct entry ours = make(1, 0, OURS), theirs = make(1, 0, THEIRS);
	uint64_t captured;

	differ(world, 1);
	captured = status_of(world).captured;
	sync_capture(world->sync, &ours, world->now);
	detach(world, ROUND_GATHERS);
	inject(world, ENTRIES_MAX);
	ours.timeout = theirs.timeout = 60;
	sync_capture(world->sync, &ours, world->now);
	sync_capture(world->sync, &theirs, world->now);
	sync_injected(world->sync);
	ticks(world, ROUND_ENDS);
	inject(world, ENTRIES_MAX);
	assert_int_equal(world->injected_len, 1);
	sync_injected(world->sync);
	sync_capture(world->sync, &ours, world->now);
	assert_int_equal(status_of(world).captured, captured);
	assert_int_equal(status_of(world).templates_ignored, 4);
	assert_int_equal(status_of(world).templates_differ, 1);
	/* The kernel has it. */
	theirs.timeout = TIMEOUT;
	sync_capture(world->sync, &theirs, world->now);
	assert_int_equal(status_of(world).captured, captured + 1);
	assert_int_equal(status_of(world).templates_differ, 0);
	assert_int_equal(status_of(world).templates_replaced, 1);
}

/* A template that was not seen is tried again, later each time, and reported as late. One that
 * comes meanwhile does not wait for it. */
static void test_again(void **state)
{
	struct world *world = *state;
	static const unsigned int pauses[] = {10, 20, 40, 80, 160, 320, 320};

	differ(world, 1);
	detach(world, ROUND_GATHERS);
	assert_int_equal(status_of(world).templates_late, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(pauses); i++) {
		install(world);
		if (i % 2)
			found(world, 1, OURS);
		read_all(world);
		assert_int_equal(status_of(world).templates_differ, 1);
		assert_int_equal(status_of(world).templates_late, 1);
		told(world, &(struct entry){.flow = make(1, 0, 0).flow,
					    .daddr = {THEIRS},
					    .dport = 80,
					    .timeout = TIMEOUT,
					    .flags = ENTRY_TEMPLATE});
		ticks(world, pauses[i] - 1);
		assert_false(sync_templates_detach(world->sync));
		detach(world, 1);
	}
	install(world);
	read_all(world);
	differ(world, 2);
	detach(world, ROUND_GATHERS);
	install(world);
	assert_int_equal(status_of(world).templates_differ, 2);
	found(world, 1, THEIRS);
	found(world, 2, THEIRS);
	read_all(world);
	assert_int_equal(status_of(world).templates_late, 0);
	assert_int_equal(status_of(world).templates_replaced, 2);
}

/* A round that takes long, and one of whose messages some were lost. */
static void test_hindered(void **state)
{
	struct world *world = *state;

	differ(world, 1);
	detach(world, ROUND_GATHERS);
	inject(world, ENTRIES_MAX);
	assert_int_equal(world->injected_len, 1);
	sync_inject_lost(world->sync);
	detach(world, 1);
	install(world);
	ticks(world, 80);
	assert_int_equal(status_of(world).templates_late, 0);
	ticks(world, 30);
	assert_int_equal(status_of(world).templates_late, 1);
	found(world, 1, THEIRS);
	read_all(world);
	assert_int_equal(status_of(world).templates_late, 0);
}

/* The kernel turns out to hold the template with another real server than we assumed. */
static void test_found(void **state)
{
	struct world *world = *state;
	struct entry entry = make(1, 0, THEIRS);
	table_ref ref;

	differ(world, 1);
	detach(world, ROUND_GATHERS);
	install(world);
	found(world, 1, THEIRS);
	read_all(world);
	found(world, 1, OURS);
	assert_int_equal(status_of(world).templates_differ, 1);
	/* One of a service that the kernel does not have. */
	sync_template_leave(world->sync, &entry.flow);
	assert_int_equal(status_of(world).templates_differ, 0);
	sync_template_leave(world->sync, &entry.flow);
	/* A persistence engine's template: we can't tell its connections. */
	ref = table_find(world->sync->table, &entry.flow);
	entry = make(1, 0, OURS);
	entry.flow.pe_digest = 5;
	templates_found(world->sync, ref, &entry);
	assert_int_equal(status_of(world).templates_differ, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hindered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_found, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
