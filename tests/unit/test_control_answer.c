#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/control/control_answer.h"
#include "director/control/status_private.h"
#include "sync/kernel_wire.h"
#include "tests/identity_fixture.h"

#define ENTRIES 5000

static const char yaml[] = "node: {name: d1}\n"
			   "cluster: {listen: ['192.0.2.1:7946'], join: ['192.0.2.2:7946']}\n"
			   "services:\n"
			   "  - name: web\n"
			   "    address: 203.0.113.10:80\n"
			   "    scheduler: rr\n"
			   "    real-servers: [{address: '10.1.0.21:80'}]\n"
			   "  - name: dns\n"
			   "    address: 203.0.113.10:53\n"
			   "    protocol: udp\n"
			   "    scheduler: rr\n"
			   "    real-servers: [{address: '10.1.0.21:53'}]\n";

static const struct now start = {.mono = 1000 * USEC_PER_SEC, .wall = FIXTURE_WALL};

struct world {
	struct identity identity;
	struct config *config;
	struct node *node;
	struct event_log *events;
	struct status_facts facts;
	const char *reload_error, *services_error;
	unsigned int reloads;
	unsigned int waits; /* so often the answer is not there yet */
};

static bool counter(void *context, unsigned int i, struct counter *ret_counter)
{
	struct world *world = context;

	return node_counter(world->node, i, ret_counter);
}

static void facts_get(void *context, struct status_facts *ret_facts)
{
	struct world *world = context;

	*ret_facts = world->facts;
}

/* The kernel has the first service of the configuration, and a foreign one. */
static int services_get(void *context, usec_t since, struct service_list **ret_list,
			const char **ret_error)
{
	struct world *world = context;
	struct service_list *list;
	struct service foreign = {
		.scheduler = "wlc",
		.key = {.vip = {.ip = {.family = AF_INET, .bytes = {192, 0, 2, 9}}, .port = 25},
			.protocol = IPPROTO_TCP}};

	assert_int_equal(since, start.mono);
	if (world->waits > 0) {
		world->waits--;
		return -EAGAIN;
	}
	if (world->services_error) {
		*ret_error = world->services_error;
		return -EPERM;
	}
	list = calloc(1, sizeof(*list));
	service_set_add(&list->set, &foreign);
	service_set_add(&list->set, &world->config->services.services[0]);
	service_set_sort(&list->set);
	*ret_list = list;
	return 0;
}

static int act(void *context, const struct control_request *request, const char **ret_error)
{
	(void)context;
	if (request->command == CONTROL_REMOVE && strcmp(request->member, "d2") != 0) {
		*ret_error = "there is no such member";
		return -EINVAL;
	}
	return 0;
}

static int reload(void *context, uint64_t *ticket, const char **ret_error)
{
	struct world *world = context;

	if (*ticket == 0) {
		world->reloads++;
		*ticket = world->reloads;
	}
	if (world->waits > 0) {
		world->waits--;
		return -EAGAIN;
	}
	*ret_error = world->reload_error;
	return world->reload_error ? -EINVAL : 0;
}

static void entries_add(struct world *world)
{
	struct node_update update;

	for (uint32_t i = 0; i < ENTRIES; i++) {
		struct entry entry = {
			.flow = {.vaddr = {203, 0, 113, 10},
				 .vport = 80,
				 .cport = 4711,
				 .family = AF_INET,
				 .protocol = IPPROTO_TCP},
			.daddr = {10, 1, 0, 21},
			.dport = 80,
			.state = i == 7 ? 6 : 1,
			.timeout = 900,
		};

		store_be32(entry.flow.caddr, 0x0a000000 + i);
		node_step(world->node,
			  &(struct node_event){.type = NODE_ADOPTED, .now = start, .entry = &entry},
			  &update);
	}
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct config_error error;
	struct node_options options = {.identity = &world->identity,
				       .epoch = 9,
				       .versions = VERSION_RANGE,
				       .entries_max = 10000};

	fixture_identity(1, 1, &world->identity);
	if (config_parse(yaml, strlen(yaml), "test", &world->config, &error) < 0)
		fail_msg("%s", error.text);
	options.addresses = world->config->listen;
	options.address_count = 1;
	options.profile = membership_default;
	options.now = start;
	options.join = world->config->join;
	options.join_count = (unsigned int)world->config->n_join;
	assert_int_equal(node_new(&options, &world->node), 0);
	entries_add(world);
	assert_int_equal(event_log_new("d1", 9, &world->events), 0);
	world->facts = (struct status_facts){
		.node = world->node,
		.identity = &world->identity,
		.config = world->config,
		.epoch = 9,
		.started = start.mono - 90 * USEC_PER_SEC,
		.forwarder_ok = true,
		.programmed = true,
		.guarded = true,
		.config_path = "/etc/lvsmesh/lvsmesh.yaml",
		.config_digest = "abc",
		.events = world->events,
		.counter = counter,
		.context = world,
	};
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	event_log_free(world->events);
	node_free(world->node);
	config_free(world->config);
	free(world);
	return 0;
}

struct lines {
	json_t *head, *items, *end;
	unsigned int pieces;
};

/* Asks, reads in pieces of cap bytes, and takes the lines apart. */
static void ask(struct world *world, const char *text, size_t cap, struct lines *ret_lines)
{
	const struct control_source source = {world, facts_get, services_get, act, reload, NULL};
	struct control_answer *answer;
	struct control_request request;
	char *all = calloc(1, 4 << 20);
	size_t len = 0;
	enum control_progress progress = CONTROL_MORE;

	*ret_lines = (struct lines){.items = json_array()};
	assert_int_equal(control_request_parse(text, strlen(text), &request), 0);
	assert_int_equal(control_answer_new(&source, &request, start, &answer), 0);
	while (progress != CONTROL_END) {
		size_t n = control_answer_read(answer, start, all + len, cap, &progress);

		assert_in_range(n, 0, cap);
		len += n;
		ret_lines->pieces++;
	}
	control_answer_free(answer);
	assert_int_equal(all[len - 1], '\n');
	for (char *line = strtok(all, "\n"); line; line = strtok(NULL, "\n")) {
		json_t *object = json_loads(line, 0, NULL);

		assert_non_null(object);
		assert_null(ret_lines->end);
		if (!ret_lines->head)
			ret_lines->head = object;
		else if (json_object_get(object, "end"))
			ret_lines->end = object;
		else
			json_array_append_new(ret_lines->items, object);
	}
	free(all);
}

static void lines_fini(struct lines *lines)
{
	json_decref(lines->head);
	json_decref(lines->items);
	json_decref(lines->end);
}

static void check_ok(const struct lines *lines, size_t count)
{
	assert_true(json_is_true(json_object_get(lines->head, "ok")));
	assert_int_equal(json_array_size(lines->items), count);
	assert_int_equal(json_integer_value(json_object_get(lines->end, "count")), count);
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static void test_connections(void **state)
{
	struct world *world = *state;
	struct lines lines;

	ask(world, "{\"command\": \"connections\"}", 1000, &lines);
	check_ok(&lines, ENTRIES);
	lines_fini(&lines);

	ask(world, "{\"command\": \"connections\", \"filter\": \"10.0.0.7\"}", 65536, &lines);
	check_ok(&lines, 1);
	const json_t *item = json_array_get(lines.items, 0);
	assert_string_equal(text_of(item, "client"), "10.0.0.7:4711");
	assert_string_equal(text_of(item, "vip"), "203.0.113.10:80");
	assert_string_equal(text_of(item, "real"), "10.1.0.21:80");
	assert_string_equal(text_of(item, "protocol"), "TCP");
	assert_string_equal(text_of(item, "state"), "CLOSE");
	/* a long search without a hit does not hold up the loop */
	assert_in_range(lines.pieces, 2, 10);
	lines_fini(&lines);

	ask(world, "{\"command\": \"connections\", \"filter\": \"origin=d1 state=close\"}", 65536,
	    &lines);
	check_ok(&lines, 1);
	lines_fini(&lines);

	ask(world, "{\"command\": \"connections\", \"filter\": \"service=web own\"}", 65536,
	    &lines);
	check_ok(&lines, ENTRIES);
	lines_fini(&lines);
	ask(world, "{\"command\": \"connections\", \"filter\": \"service=dns\"}", 65536, &lines);
	check_ok(&lines, 0);
	lines_fini(&lines);
	ask(world, "{\"command\": \"connections\", \"filter\": \"learned\"}", 65536, &lines);
	check_ok(&lines, 0);
	lines_fini(&lines);
	ask(world, "{\"command\": \"connections\", \"filter\": \"service=mail\"}", 65536, &lines);
	assert_true(json_is_false(json_object_get(lines.head, "ok")));
	assert_string_equal(text_of(lines.head, "error"), "filter");
	assert_string_equal(text_of(lines.head, "message"),
			    "the configuration has no service of that name");
	lines_fini(&lines);
}

static bool has_problem(const json_t *status, const char *words)
{
	json_t *problem;
	size_t i;

	json_array_foreach(json_object_get(status, "problems"), i,
			   problem) if (strstr(json_string_value(problem), words)) return true;
	return false;
}

/* The kernel reports a connection. */
static void capture(struct world *world, struct now now)
{
	struct entry entry = {
		.flow = {.vaddr = {203, 0, 113, 10}, .family = AF_INET, .protocol = IPPROTO_TCP},
		.timeout = 900,
	};
	struct kernel_wire_writer writer;
	struct node_update update;
	uint8_t message[256];

	kernel_wire_write(&writer, message, sizeof(message), 0);
	assert_int_equal(kernel_wire_add(&writer, &entry), 0);
	node_capture(world->node, now, message, kernel_wire_finish(&writer));
	node_step(world->node, &(struct node_event){.type = NODE_TICK, .now = now}, &update);
}

static void test_status(void **state)
{
	struct world *world = *state;
	struct lines lines;
	const json_t *status;
	json_int_t held = 0, captured = -1;
	struct now ahead = start;

	ask(world, "{\"command\": \"status\"}", 100, &lines);
	check_ok(&lines, 1);
	status = json_array_get(lines.items, 0);
	assert_string_equal(text_of(status, "name"), "d1");
	assert_int_equal(strlen(text_of(status, "id")), 16);
	assert_int_equal(json_integer_value(json_object_get(status, "uptime_s")), 90);
	assert_int_equal(json_unpack((json_t *)status, "{s:{s:I}, s:{s:{s:I}}}", "entries", "total",
				     &held, "counters", "capture", "header", &captured),
			 0);
	assert_int_equal(held, ENTRIES);
	assert_int_equal(captured, 0);
	assert_string_equal(text_of(status, "replication"), "starting");
	assert_true(json_is_false(json_object_get(json_object_get(status, "entries"), "complete")));
	assert_true(has_problem(status, "Not ready"));
	assert_true(has_problem(status, "expires in"));
	assert_false(has_problem(status, "stalled"));
	assert_false(has_problem(status, "conn_tab_bits"));
	assert_false(has_problem(status, "Any user"));
	assert_false(has_problem(status, "clock"));
	lines_fini(&lines);

	world->facts.stalled_since = start.mono - USEC_PER_SEC;
	world->facts.programmed = false;
	world->facts.program_error = "no permission";
	world->facts.reload_error = "lvsmesh.yaml:3: no";
	world->facts.table_size = 256;
	world->facts.table_small = true;
	world->facts.guarded = false;
	ahead.wall += 2 * 3600 * USEC_PER_SEC;
	capture(world, ahead);
	ask(world, "{\"command\": \"status\"}", 65536, &lines);
	status = json_array_get(lines.items, 0);
	assert_true(has_problem(status, "stalled"));
	assert_true(has_problem(status, "no permission"));
	assert_true(has_problem(status, "lvsmesh.yaml:3: no"));
	assert_true(has_problem(status, "conn_tab_bits"));
	assert_true(has_problem(status, "Any user"));
	assert_true(has_problem(status, "clock was set back"));
	lines_fini(&lines);
}

/* Messages are cut where their buffers end and quote files as they are; paths are any bytes. */
static void test_text_from_outside(void **state)
{
	static const char cut[] = "lvsmesh.yaml:3: \"caf\xc3";
	struct world *world = *state;
	struct lines lines;
	const json_t *status;

	world->reload_error = cut;
	ask(world, "{\"command\": \"reload\"}", 65536, &lines);
	assert_string_equal(text_of(lines.head, "message"), "lvsmesh.yaml:3: \"caf?");
	lines_fini(&lines);
	world->reload_error = NULL;

	world->facts.reload_error = cut;
	world->facts.config_path = "/etc/\xe9t\xe9.yaml";
	world->facts.programmed = false;
	world->facts.program_error = "\xff";
	world->facts.vip_error = "\xed\xa0\x80\n";
	world->facts.adopt_error = "\xf0\x9f\x98";
	ask(world, "{\"command\": \"status\"}", 65536, &lines);
	check_ok(&lines, 1);
	status = json_array_get(lines.items, 0);
	assert_true(has_problem(status, "stays: lvsmesh.yaml:3: \"caf?"));
	assert_true(has_problem(status, "not programmed: ?."));
	assert_true(has_problem(status, "VIPs can't be configured: ????."));
	assert_true(has_problem(status, "read at start: ???."));
	assert_string_equal(text_of(json_object_get(status, "config"), "path"), "/etc/?t?.yaml");
	lines_fini(&lines);

	ask(world, "{\"command\": \"reload\"}", 65536, &lines);
	check_ok(&lines, 1);
	lines_fini(&lines);

	world->services_error = cut;
	ask(world, "{\"command\": \"services\"}", 65536, &lines);
	assert_string_equal(text_of(lines.head, "message"), "lvsmesh.yaml:3: \"caf?");
	lines_fini(&lines);
}

static const struct endpoint elsewhere = {.ip = {.family = AF_INET, .bytes = {192, 0, 2, 2}},
					  .port = 7946};

static json_t *peer_json(void)
{
	const struct peer peer = {.name = "d2",
				  .id = 2,
				  .where = elsewhere,
				  .state = "sends only",
				  .entries = 5,
				  .in = {.phase = NODE_STREAM_READY}};

	return status_peer(&peer, start);
}

static json_t *member_json(void)
{
	const struct member_info info = {
		.name = "d2",
		.id = 2,
		.state = STATE_FAILED,
		.phase = PHASE_READY,
		.since = start.mono - 3 * USEC_PER_SEC,
		.evidence = EVIDENCE_REFUSED | EVIDENCE_TCP,
		.versions = {1, 2},
		.config = 0xab,
		.address_count = 1,
		.addresses = {{.endpoint = elsewhere, .udp = true, .rtt = 150}},
	};

	return status_member(&info, start);
}

static void test_peers(void **state)
{
	struct world *world = *state;
	struct lines lines;
	json_t *peer = peer_json();

	/* no peer has been found yet */
	ask(world, "{\"command\": \"peers\"}", 65536, &lines);
	check_ok(&lines, 0);
	lines_fini(&lines);

	assert_string_equal(text_of(peer, "address"), "192.0.2.2:7946");
	assert_true(json_is_false(json_object_get(peer, "connected")));
	assert_true(json_is_object(json_object_get(peer, "receive")));
	assert_true(json_is_null(json_object_get(peer, "send")));
	assert_int_equal(json_integer_value(json_object_get(peer, "own_entries")), 5);
	assert_true(json_is_null(json_object_get(peer, "epoch")));
	json_decref(peer);

	/* A peer that is gone, of which not much is known. */
	peer = status_peer(&(struct peer){.id = 3, .state = "gone", .entries = 7}, start);
	assert_true(json_is_null(json_object_get(peer, "name")));
	assert_string_equal(text_of(peer, "id"), "0000000000000003");
	assert_string_equal(text_of(peer, "state"), "gone");
	assert_true(json_is_null(json_object_get(peer, "address")));
	assert_true(json_is_null(json_object_get(peer, "for_s")));
	assert_int_equal(json_integer_value(json_object_get(peer, "own_entries")), 7);
	json_decref(peer);
}

/* The status names the first reason against it. */
static void test_replication(void **state)
{
	static const struct {
		const char *word;
		bool ready, off, silent, blocked;
		unsigned int of, alive, lagging;
		uint64_t entries;
	} cases[] = {
		{.word = "starting", .off = true, .silent = true},
		{.word = "starting", .of = 2, .alive = 2},
		{.word = "off", .ready = true, .off = true, .of = 2, .alive = 1},
		{.word = "alone", .ready = true, .silent = true},
		{.word = "stalled", .ready = true, .silent = true, .of = 2, .alive = 1},
		{.word = "stalled", .ready = true, .blocked = true, .of = 2, .alive = 2},
		{.word = "full", .ready = true, .of = 2, .alive = 1, .entries = 100},
		{.word = "incomplete", .ready = true, .of = 2, .alive = 1, .lagging = 1},
		{.word = "incomplete", .ready = true, .of = 1},
		{.word = "lagging", .ready = true, .of = 2, .alive = 2, .lagging = 1},
		{.word = "works", .ready = true, .of = 2, .alive = 2, .entries = 99},
	};
	struct world *world = *state;
	static struct peers peers;

	world->facts.entries_max = 100;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct node_status node = {.ready = cases[i].ready,
					   .sync.entries = cases[i].entries};
		enum replication replication;

		peers.count = cases[i].of;
		peers.connected = cases[i].alive;
		peers.lagging = cases[i].lagging;
		world->facts.silent_since = cases[i].silent;
		world->facts.blocked_since = cases[i].blocked;
		for (size_t s = 0; s < world->config->services.count; s++)
			world->config->services.services[s].sync_off = cases[i].off;
		replication = status_replication(&world->facts, &node, &peers);
		if (strcmp(status_replication_name(replication), cases[i].word) != 0)
			fail_msg("case %zu: %s", i, status_replication_name(replication));
	}
	/* One service is enough. */
	world->config->services.services[0].sync_off = true;
	assert_int_equal(status_replication(&world->facts, &(struct node_status){.ready = true},
					    &(struct peers){.count = 1, .connected = 1}),
			 REPLICATION_WORKS);
}

/* Each number under its own name, and none is left out. */
static void test_entries(void **state)
{
	const struct sync_status sync = {
		.entries = 1,
		.entries_own = 2,
		.position = 3,
		.inject_pending = 4,
		.inject_unconfirmed = 5,
		.captured = 6,
		.adopted = 7,
		.learned = 8,
		.stale = 9,
		.expired = 10,
		.injected = 11,
		.inject_retries = 12,
		.reinjected = 13,
		.ended = 36,
		.repaired_from_peers = 14,
		.orphans_learned = 15,
		.tables_compared = 16,
		.parts_differed = 17,
		.concurrent_updates = 18,
		.conflicts = 19,
		.refused_full = 20,
		.refused_entry = 21,
		.batches_received = 22,
		.batches_sent = 23,
		.young = 24,
		.flood_waiting = 25,
		.local = 26,
		.local_total = 27,
		.young_ended = 28,
		.flood_shed = 29,
		.join_shares = 30,
		.join_shares_done = 31,
		.join_entries = 32,
		.templates_differ = 33,
		.templates_replaced = 34,
		.templates_ignored = 35,
		.joined = true,
		.complete = true,
	};
	json_t *want = json_pack(
		"{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i,"
		" s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, "
		"s:i,"
		" s:i, s:i, s:i, s:b, s:b, s:b}",
		"total", 1, "own", 2, "position", 3, "inject_pending", 4, "inject_unconfirmed", 5,
		"captured", 6, "adopted", 7, "learned", 8, "stale", 9, "expired", 10, "injected",
		11, "inject_retries", 12, "reinjected", 13, "ended", 36, "repaired_from_peers", 14,
		"orphans_learned", 15, "tables_compared", 16, "parts_differed", 17,
		"concurrent_updates", 18, "conflicts", 19, "refused_full", 20, "refused_entry", 21,
		"batches_received", 22, "batches_sent", 23, "young", 24, "flood_waiting", 25,
		"local", 26, "local_total", 27, "young_ended", 28, "flood_shed", 29, "join_shares",
		30, "join_shares_done", 31, "join_entries", 32, "templates_differ", 33,
		"templates_replaced", 34, "templates_ignored", 35, "joined", 1, "complete", 1,
		"join_timed_out", 0);
	json_t *entries = status_entries(&sync);

	(void)state;
	assert_non_null(want);
	assert_true(json_equal(entries, want));
	json_decref(entries);
	json_decref(want);
}

static void test_services(void **state)
{
	struct world *world = *state;
	struct lines lines;
	const json_t *item;

	ask(world, "{\"command\": \"services\"}", 65536, &lines);
	check_ok(&lines, 3);
	for (size_t i = 0; i < 2; i++) {
		item = json_array_get(lines.items, i);
		assert_true(json_is_false(json_object_get(item, "foreign")));
		assert_int_equal(json_is_true(json_object_get(item, "programmed")), i == 0);
		assert_int_equal(json_array_size(json_object_get(item, "real_servers")), 1);
	}
	item = json_array_get(lines.items, 2);
	assert_true(json_is_true(json_object_get(item, "foreign")));
	assert_string_equal(text_of(item, "address"), "192.0.2.9:25");
	lines_fini(&lines);

	world->services_error = "no permission";
	ask(world, "{\"command\": \"services\"}", 65536, &lines);
	assert_true(json_is_false(json_object_get(lines.head, "ok")));
	assert_string_equal(text_of(lines.head, "message"), "no permission");
	assert_null(lines.end);
	lines_fini(&lines);
}

static void test_reload(void **state)
{
	struct world *world = *state;
	struct lines lines;

	ask(world, "{\"command\": \"reload\"}", 65536, &lines);
	check_ok(&lines, 1);
	assert_string_equal(text_of(json_array_get(lines.items, 0), "digest"), "abc");
	lines_fini(&lines);

	world->reload_error = "lvsmesh.yaml:3: no";
	ask(world, "{\"command\": \"reload\"}", 65536, &lines);
	assert_true(json_is_false(json_object_get(lines.head, "ok")));
	assert_string_equal(text_of(lines.head, "error"), "config");
	assert_string_equal(text_of(lines.head, "message"), "lvsmesh.yaml:3: no");
	lines_fini(&lines);
	assert_int_equal(world->reloads, 2);
}

/* An answer not there yet is awaited, with empty lines in between; a reload is begun once. */
static void test_awaited(void **state)
{
	static const char *const commands[] = {"reload", "services"};
	struct world *world = *state;
	const struct control_source source = {world, facts_get, services_get, act, reload, NULL};

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		enum control_progress progress;
		struct control_answer *answer;
		struct control_request request;
		struct now now = start;
		char text[4096];

		snprintf(text, sizeof(text), "{\"command\": \"%s\"}", commands[i]);
		assert_int_equal(control_request_parse(text, strlen(text), &request), 0);
		world->waits = 3;
		assert_int_equal(control_answer_new(&source, &request, now, &answer), 0);
		assert_int_equal(control_answer_read(answer, now, text, sizeof(text), &progress),
				 0);
		assert_int_equal(progress, CONTROL_WAIT);
		now.mono += 2 * USEC_PER_SEC;
		assert_int_equal(control_answer_read(answer, now, text, sizeof(text), &progress),
				 1);
		assert_int_equal(progress, CONTROL_WAIT);
		assert_int_equal(text[0], '\n');
		assert_true(control_answer_read(answer, now, text, sizeof(text), &progress) > 1);
		assert_memory_equal(text, "{\"ok\"", 5);
		control_answer_free(answer);
	}
	assert_int_equal(world->reloads, 1);
	/* an answer that its client did not wait for leaves no memory behind */
	world->waits = 3;
	const struct control_request request = {.command = CONTROL_SERVICES};
	struct control_answer *answer;

	assert_int_equal(control_answer_new(&source, &request, start, &answer), 0);
	control_answer_free(answer);
}

static void test_members(void **state)
{
	struct world *world = *state;
	struct lines lines;
	const json_t *self, *address;

	ask(world, "{\"command\": \"members\"}", 100, &lines);
	check_ok(&lines, 1);
	self = json_array_get(lines.items, 0);
	assert_string_equal(text_of(self, "name"), "d1");
	assert_true(json_is_true(json_object_get(self, "self")));
	assert_string_equal(text_of(self, "state"), "alive");
	address = json_array_get(json_object_get(self, "addresses"), 0);
	assert_string_equal(text_of(address, "address"), "192.0.2.1:7946");
	assert_true(json_is_null(json_object_get(address, "rtt_us")));
	lines_fini(&lines);
}

static void test_member(void **state)
{
	json_t *member = member_json(), *evidence = json_object_get(member, "evidence");
	const json_t *address = json_array_get(json_object_get(member, "addresses"), 0);

	(void)state;
	assert_string_equal(text_of(member, "state"), "failed");
	assert_string_equal(text_of(member, "phase"), "ready");
	assert_string_equal(text_of(member, "config_digest"), "00000000000000ab");
	assert_int_equal(json_integer_value(json_object_get(member, "for_s")), 3);
	assert_int_equal(json_array_size(evidence), 2);
	assert_string_equal(json_string_value(json_array_get(evidence, 1)), "no-tcp");
	assert_true(json_is_true(json_object_get(address, "udp")));
	assert_true(json_is_false(json_object_get(address, "tcp")));
	assert_int_equal(json_integer_value(json_object_get(address, "rtt_us")), 150);
	json_decref(member);
}

static void test_acts(void **state)
{
	static const char *const commands[] = {"drain", "undrain", "leave"};
	struct world *world = *state;
	struct lines lines;
	char request[128];

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		snprintf(request, sizeof(request), "{\"command\": \"%s\"}", commands[i]);
		ask(world, request, 65536, &lines);
		check_ok(&lines, 1);
		assert_true(
			json_is_false(json_object_get(json_array_get(lines.items, 0), "drained")));
		lines_fini(&lines);
	}
	ask(world, "{\"command\": \"remove\", \"member\": \"d2\"}", 65536, &lines);
	check_ok(&lines, 1);
	assert_string_equal(text_of(json_array_get(lines.items, 0), "member"), "d2");
	lines_fini(&lines);
	ask(world, "{\"command\": \"remove\", \"member\": \"d9\"}", 65536, &lines);
	assert_true(json_is_false(json_object_get(lines.head, "ok")));
	assert_string_equal(text_of(lines.head, "error"), "refused");
	lines_fini(&lines);
	assert_int_equal(world->reloads, 0);
}

static char *manual_read(void)
{
	char path[4096], *text = calloc(1, 1 << 16);
	FILE *file;

	snprintf(path, sizeof(path), "%s/lvsmesh.1", getenv("MANUAL"));
	file = fopen(path, "r");
	assert_non_null(file);
	fread(text, 1, (1 << 16) - 1, file);
	fclose(file);
	return text;
}

static void check_documented(const char *manual, json_t *value)
{
	const char *key;
	json_t *inner;
	size_t i;

	json_array_foreach(value, i, inner) check_documented(manual, inner);
	json_object_foreach(value, key, inner)
	{
		const char *at = strstr(manual, key);

		/* a key of its own, not part of a longer one */
		while (at && (strchr("_abcdefghijklmnopqrstuvwxyz", at[strlen(key)]) ||
			      strchr("_abcdefghijklmnopqrstuvwxyz", at[-1])))
			at = strstr(at + 1, key);
		if (!at)
			fail_msg("lvsmesh.1 does not say what %s is", key);
		/* the reasons are a list that grows */
		if (strcmp(key, "counters") != 0)
			check_documented(manual, inner);
	}
}

static void event_add(struct world *world, enum event_kind kind, const char *subject)
{
	struct event event;

	event_init(&event, kind, subject, "It happened to %s.", subject);
	event_number(&event, "left_s", 7);
	event_text(&event, "member", "\"x\"");
	event_log_raise(world->events, &event, start);
}

static void test_documented(void **state)
{
	static const char *const commands[] = {"status", "services", "reload",
					       "events", "members",  "drain"};
	char *manual = manual_read();
	struct world *world = *state;
	json_t *others = json_pack("[o, o]", peer_json(), member_json());
	struct lines lines;
	char request[128];

	check_documented(manual, others);
	json_decref(others);
	event_add(world, EVENT_MEMBER_FAILED, "d2");
	event_add(world, EVENT_MEMBER_RECOVERED, "d2");
	event_add(world, EVENT_FORWARDER_STALLED, "d1");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		snprintf(request, sizeof(request), "{\"command\": \"%s\"}", commands[i]);
		ask(world, request, 65536, &lines);
		assert_true(json_array_size(lines.items) > 0);
		check_documented(manual, lines.items);
		lines_fini(&lines);
	}
	ask(world, "{\"command\": \"connections\", \"filter\": \"10.0.0.7\"}", 65536, &lines);
	check_documented(manual, lines.items);
	lines_fini(&lines);
	free(manual);
}

/* Events with the evidence, each in its time. */
static void test_evidence(void **state)
{
	static const char *const expected[] = {"suspected", "member-failed", "refuted"};
	struct world *world = *state;
	struct event event;
	struct lines lines;

	event_add(world, EVENT_SUSPECTED, "d2");
	event_add(world, EVENT_MEMBER_FAILED, "d2");
	event_init(&event, EVENT_REFUTED, "d1", "It was accused.");
	event_log_raise(world->events, &event, (struct now){.mono = start.mono + 1});
	ask(world, "{\"command\": \"events\"}", 100, &lines);
	check_ok(&lines, 1);
	lines_fini(&lines);
	ask(world, "{\"command\": \"events\", \"evidence\": true}", 100, &lines);
	check_ok(&lines, 3);
	for (size_t i = 0; i < 3; i++) {
		const json_t *item = json_array_get(lines.items, i);

		assert_string_equal(text_of(item, "event"), expected[i]);
		assert_int_equal(json_is_null(json_object_get(item, "incident")), i != 1);
		assert_string_equal(text_of(item, "role"), i == 1 ? "opens" : "evidence");
	}
	lines_fini(&lines);
}

static void test_events(void **state)
{
	struct world *world = *state;
	struct lines lines;
	const json_t *item;
	const char *text;
	json_int_t number;

	ask(world, "{\"command\": \"events\"}", 100, &lines);
	check_ok(&lines, 0);
	lines_fini(&lines);

	event_add(world, EVENT_MEMBER_FAILED, "d2");
	event_add(world, EVENT_MEMBER_RECOVERED, "d2");
	ask(world, "{\"command\": \"events\", \"follow\": false}", 100, &lines);
	check_ok(&lines, 2);
	item = json_array_get(lines.items, 0);
	assert_string_equal(text_of(item, "event"), "member-failed");
	assert_string_equal(text_of(item, "director"), "d1");
	assert_string_equal(text_of(item, "severity"), "error");
	assert_string_equal(text_of(item, "subject"), "d2");
	assert_string_equal(text_of(item, "message"), "It happened to d2.");
	assert_string_equal(text_of(item, "role"), "opens");
	assert_string_equal(text_of(item, "id"), "d1-9-1");
	assert_string_equal(text_of(item, "incident"), "d1-9-1");
	assert_string_equal(text_of(item, "time"), "2027-01-15T08:00:00.000Z");
	assert_null(json_object_get(item, "lasted_s"));
	assert_int_equal(json_unpack((json_t *)item, "{s:{s:I, s:s}}", "fields", "left_s", &number,
				     "member", &text),
			 0);
	assert_int_equal(number, 7);
	assert_string_equal(text, "\"x\"");
	item = json_array_get(lines.items, 1);
	assert_string_equal(text_of(item, "role"), "closes");
	assert_string_equal(text_of(item, "id"), "d1-9-2");
	assert_string_equal(text_of(item, "incident"), "d1-9-1");
	assert_int_equal(json_integer_value(json_object_get(item, "lasted_s")), 0);
	lines_fini(&lines);
}

/* The next line, NULL when there is none before the next event. */
static json_t *line_get(struct control_answer *answer)
{
	char text[4096];
	enum control_progress progress;
	size_t len = 0;

	do {
		assert_in_range(len, 0, sizeof(text) - 1);
		len += control_answer_read(answer, start, text + len, 1, &progress);
		assert_int_not_equal(progress, CONTROL_END);
		if (progress == CONTROL_WAIT && len == 0)
			return NULL;
	} while (len == 0 || text[len - 1] != '\n');
	return json_loadb(text, len, 0, NULL);
}

static void test_follow(void **state)
{
	struct world *world = *state;
	const struct control_source source = {world, facts_get, services_get, act, reload, NULL};
	const struct control_request request = {.command = CONTROL_EVENTS, .follow = true};
	struct control_answer *answer;
	json_t *line;

	event_add(world, EVENT_MEMBER_JOINED, "d2");
	assert_int_equal(control_answer_new(&source, &request, start, &answer), 0);
	line = line_get(answer);
	assert_true(json_is_true(json_object_get(line, "ok")));
	json_decref(line);
	line = line_get(answer);
	assert_string_equal(text_of(line, "subject"), "d2");
	json_decref(line);
	assert_null(line_get(answer));
	event_add(world, EVENT_MEMBER_JOINED, "d3");
	line = line_get(answer);
	assert_string_equal(text_of(line, "subject"), "d3");
	json_decref(line);
	assert_null(line_get(answer));

	/* one that is overtaken learns what it missed */
	for (unsigned int i = 0; i < EVENT_LOG_KEPT + 5; i++) {
		char name[16];

		snprintf(name, sizeof(name), "x%u", i);
		event_add(world, EVENT_MEMBER_JOINED, name);
	}
	line = line_get(answer);
	assert_int_equal(json_integer_value(json_object_get(line, "missed")), 5);
	json_decref(line);
	for (unsigned int i = 0; i < EVENT_LOG_KEPT; i++) {
		line = line_get(answer);
		assert_non_null(json_object_get(line, "event"));
		json_decref(line);
	}
	assert_null(line_get(answer));
	control_answer_free(answer);
}

static void test_incidents(void **state)
{
	struct world *world = *state;
	struct lines lines;
	const json_t *status;

	world->facts.stalled_since = start.mono - USEC_PER_SEC;
	event_add(world, EVENT_MEMBER_FAILED, "d2");
	event_add(world, EVENT_DRAINING, "d1");
	event_add(world, EVENT_FORWARDER_STALLED, "d1");
	ask(world, "{\"command\": \"status\"}", 65536, &lines);
	status = json_array_get(lines.items, 0);
	assert_int_equal(json_array_size(json_object_get(status, "incidents")), 3);
	assert_true(has_problem(status, "It happened to d2. Since 2027-01-15T08:00:00.000Z"));
	assert_true(has_problem(status, "forwarder-stalled"));
	assert_false(has_problem(status, "draining"));
	assert_false(has_problem(status, "has not forwarded")); /* said once */
	lines_fini(&lines);

	event_add(world, EVENT_MEMBER_RECOVERED, "d2");
	ask(world, "{\"command\": \"status\"}", 65536, &lines);
	status = json_array_get(lines.items, 0);
	assert_int_equal(json_array_size(json_object_get(status, "incidents")), 2);
	assert_false(has_problem(status, "d2"));
	lines_fini(&lines);
}

static void test_refuse(void **state)
{
	char line[512];

	(void)state;
	for (int i = 1; i < CONTROL_E_MAX; i++) {
		size_t len = control_answer_refuse(i, line, sizeof(line));
		json_t *object = json_loadb(line, len, 0, NULL);

		assert_string_equal(text_of(object, "error"), control_error_name(i));
		assert_int_equal(line[len - 1], '\n');
		json_decref(object);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_connections, setup, teardown),
		cmocka_unit_test_setup_teardown(test_status, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text_from_outside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replication, setup, teardown),
		cmocka_unit_test(test_entries),
		cmocka_unit_test_setup_teardown(test_services, setup, teardown),
		cmocka_unit_test_setup_teardown(test_awaited, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_members, setup, teardown),
		cmocka_unit_test(test_member),
		cmocka_unit_test_setup_teardown(test_acts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_documented, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_evidence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_follow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_incidents, setup, teardown),
		cmocka_unit_test(test_refuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
