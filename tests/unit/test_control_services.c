/* `lvsmesh services` about the health of real servers, and the commands that set them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/control/control_answer.h"
#include "tests/identity_fixture.h"

#define BIG 700 /* real servers of one service */

static const struct now start = {.mono = 1000 * USEC_PER_SEC, .wall = FIXTURE_WALL};

struct set_call {
	size_t service, real;
	enum health_setting setting;
	uint32_t weight;
};

static bool counter(void *context, unsigned int i, struct counter *ret_counter)
{
	(void)context;
	(void)i;
	(void)ret_counter;
	return false;
}

struct world {
	struct identity identity;
	struct config *config, *other;
	struct node *node;
	struct event_log *events;
	struct health *health;
	struct status_facts facts;
	struct set_call calls[2000];
	size_t n_calls, fails_at; /* the call that is refused; 0: none */
	bool reloads;             /* the configuration changes in the middle of the answer */
};

static void facts_get(void *context, struct status_facts *ret_facts)
{
	struct world *world = context;

	*ret_facts = world->facts;
	if (world->reloads)
		world->facts.config = world->other;
}

/* The kernel has the real servers of every service but the last of each, and web's sorry server. */
static int services_get(void *context, usec_t since, struct service_list **ret_list,
			const char **ret_error)
{
	struct world *world = context;
	struct service_list *list = calloc(1, sizeof(*list));

	(void)since;
	(void)ret_error;
	for (size_t i = 0; i < world->config->services.count; i++) {
		struct service *service =
			service_set_add(&list->set, &world->config->services.services[i]);

		service->real_servers[0].active = 5;
		service->real_servers[0].weight = 77;
		service->n_real_servers--;
		if (service->sorry.endpoint.ip.family)
			service_add(service, &service->sorry);
	}
	service_set_sort(&list->set);
	*ret_list = list;
	return 0;
}

static int act(void *context, const struct control_request *request, const char **ret_error)
{
	(void)context;
	(void)request;
	(void)ret_error;
	fail(); /* drain of a real server is no drain of the director */
	return 0;
}

static int set(void *context, size_t service, size_t real, enum health_setting setting,
	       uint32_t weight, const char **ret_error)
{
	struct world *world = context;

	world->calls[world->n_calls++] = (struct set_call){service, real, setting, weight};
	if (world->n_calls != world->fails_at)
		return 0;
	*ret_error = "too many settings";
	return -EINVAL;
}

static struct config *parse(const char *services)
{
	size_t cap = 1 << 17;
	char *text = malloc(cap);
	struct config_error error;
	struct config *config;
	size_t len;

	len = (size_t)snprintf(text, cap,
			       "node: {name: d1}\ncluster: {listen: ['192.0.2.1:7946']}\n"
			       "services:\n%s- name: big\n  address: 203.0.113.20:80\n"
			       "  real-servers:\n",
			       services);
	for (unsigned int i = 0; i < BIG; i++)
		len += (size_t)snprintf(text + len, cap - len,
					"  - {address: '10.2.%u.%u:80', check: {type: ping}}\n",
					i / 250, i % 250 + 1);
	if (config_parse(text, len, "test", &config, &error) < 0)
		fail_msg("%s", error.text);
	free(text);
	return config;
}

static const char yaml[] =
	"- name: web\n"
	"  address: 203.0.113.10:80\n"
	"  check: {type: tcp}\n"
	"  checkers: all\n"
	"  sorry-server: {address: '10.1.0.99:80'}\n"
	"  real-servers:\n"
	"  - {address: '10.1.0.21:80', weight: 100}\n"
	"  - {address: '10.1.0.22:80'}\n"
	"  - {address: '10.1.0.23:80', check: off}\n"
	"- name: dns\n"
	"  address: 203.0.113.10:53\n"
	"  protocol: udp\n"
	"  real-servers: [{address: '10.1.0.21:53'}, {address: '10.1.0.22:53'}]\n";

/* A director that checks alone: 10.1.0.22:80 refuses connections. */
static void health_run(struct world *world)
{
	const struct health_options options = {.self = world->identity.id, .now = start};
	const usec_t ends = start.mono + 30 * USEC_PER_SEC;
	struct health_change change;
	struct health_run run;
	struct now now = start;
	struct fact fact;

	assert_int_equal(health_new(&options, &world->health), 0);
	assert_int_equal(health_config(world->health, &world->config->services, now), 0);
	health_members(world->health, NULL, 0, now);
	while (now.mono < ends) {
		health_tick(world->health, now);
		while (health_due(world->health, now, &run)) {
			bool down = run.endpoint.ip.bytes[1] == 1 && run.endpoint.ip.bytes[3] == 22;
			struct check_result result = {
				.state = down ? CHECK_DOWN : CHECK_UP, .weight = -1, .took = 250};

			snprintf(result.reason, sizeof(result.reason),
				 down ? "connection refused" : "accepted");
			health_result(world->health, run.target, run.run, &result, now);
		}
		while (health_publish(world->health, now, &fact))
			;
		while (health_change(world->health, &change))
			;
		now.mono += 100 * USEC_PER_MSEC;
		now.wall += 100 * USEC_PER_MSEC;
	}
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct node_options options = {.identity = &world->identity,
				       .epoch = 9,
				       .versions = VERSION_RANGE,
				       .entries_max = 1000};

	fixture_identity(1, 1, &world->identity);
	world->config = parse(yaml);
	world->other = parse("");
	options.addresses = world->config->listen;
	options.address_count = 1;
	options.profile = membership_default;
	options.now = start;
	assert_int_equal(node_new(&options, &world->node), 0);
	assert_int_equal(event_log_new("d1", 9, &world->events), 0);
	health_run(world);
	world->facts = (struct status_facts){.node = world->node,
					     .identity = &world->identity,
					     .config = world->config,
					     .health = world->health,
					     .events = world->events,
					     .counter = counter};
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	health_free(world->health);
	event_log_free(world->events);
	node_free(world->node);
	config_free(world->config);
	config_free(world->other);
	free(world);
	return 0;
}

/* The answer's lines; source->set is there or not. */
static json_t *ask_source(const struct control_source *source, const char *text, size_t cap)
{
	enum control_progress progress = CONTROL_MORE;
	struct control_answer *answer;
	struct control_request request;
	json_t *lines = json_array();
	char *all = calloc(1, 1 << 20);
	size_t len = 0;

	assert_int_equal(control_request_parse(text, strlen(text), &request), 0);
	assert_int_equal(control_answer_new(source, &request, start, &answer), 0);
	while (progress != CONTROL_END)
		len += control_answer_read(answer, start, all + len, cap, &progress);
	control_answer_free(answer);
	for (char *line = strtok(all, "\n"); line; line = strtok(NULL, "\n")) {
		json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

		assert_non_null(object);
		json_array_append_new(lines, object);
	}
	free(all);
	return lines;
}

static json_t *ask(struct world *world, const char *text)
{
	const struct control_source source = {world, facts_get, services_get, act, NULL, set};

	return ask_source(&source, text, 1000);
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static json_int_t number_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? json_integer_value(value) : -1;
}

static const json_t *real_of(const json_t *service, const char *address)
{
	const json_t *real;
	size_t i;

	json_array_foreach(json_object_get(service, "real_servers"), i, real)
	{
		if (strcmp(text_of(real, "address"), address) == 0)
			return real;
	}
	fail_msg("no real server %s", address);
	return NULL;
}

static const json_t *service_of(const json_t *lines, const char *name)
{
	const json_t *service;
	size_t i;

	json_array_foreach(lines, i, service)
	{
		if (strcmp(text_of(service, "name"), name) == 0)
			return service;
	}
	fail_msg("no service %s", name);
	return NULL;
}

static void test_health(void **state)
{
	struct world *world = *state;
	struct health_change change;
	json_t *lines;
	const json_t *web, *real, *vote, *check;

	assert_int_equal(health_set(world->health, 1, 0, HEALTH_SET_WEIGHT, 7, start), 0);
	health_tick(world->health, start);
	while (health_change(world->health, &change))
		;
	lines = ask(world, "{\"command\": \"services\"}");
	web = service_of(lines, "web");
	assert_int_equal(number_of(json_object_get(web, "health"), "up"), 2);
	assert_int_equal(number_of(json_object_get(web, "health"), "down"), 1);
	assert_int_equal(number_of(json_object_get(web, "health"), "total"), 3);
	assert_true(json_is_null(json_object_get(json_object_get(web, "health"), "checkers")));
	assert_int_equal(json_array_size(json_object_get(web, "real_servers")), 4);

	real = real_of(web, "10.1.0.21:80");
	assert_string_equal(text_of(real, "verdict"), "up");
	assert_int_equal(number_of(real, "weight"), 77); /* the kernel's */
	assert_int_equal(number_of(real, "active"), 5);
	assert_int_equal(number_of(real, "file_weight"), 100);
	assert_int_equal(number_of(real, "effective_weight"), 7);
	assert_string_equal(text_of(json_object_get(real, "operator"), "setting"), "weight");
	assert_int_equal(number_of(json_object_get(real, "operator"), "weight"), 7);
	assert_string_equal(text_of(json_object_get(real, "operator"), "director"), "d1");
	assert_memory_equal(text_of(json_object_get(real, "operator"), "since"), "2027-01-15", 10);

	real = real_of(web, "10.1.0.22:80");
	assert_string_equal(text_of(real, "verdict"), "down");
	assert_int_equal(number_of(real, "effective_weight"), 0);
	assert_true(json_is_null(json_object_get(real, "operator")));
	assert_int_equal(json_array_size(json_object_get(real, "checkers")), 1);
	vote = json_array_get(json_object_get(real, "checkers"), 0);
	assert_string_equal(text_of(vote, "director"), "d1");
	assert_string_equal(text_of(vote, "result"), "down");
	assert_string_equal(text_of(vote, "reason"), "connection refused");
	assert_true(json_is_true(json_object_get(vote, "counted")));
	check = json_object_get(real, "check");
	assert_string_equal(text_of(check, "type"), "tcp");
	assert_string_equal(text_of(check, "result"), "down");
	assert_string_equal(text_of(check, "reason"), "connection refused");
	assert_int_equal(number_of(check, "took_us"), 250);
	assert_int_equal(number_of(check, "detection_ms"), 2500);
	assert_true(json_is_true(json_object_get(check, "here")));

	real = real_of(web, "10.1.0.23:80");
	assert_true(json_is_null(json_object_get(real, "verdict")));
	assert_true(json_is_null(json_object_get(real, "check")));
	assert_true(json_is_false(json_object_get(real, "in_kernel")));
	assert_int_equal(number_of(real, "weight"), 1);
	real = real_of(web, "10.1.0.99:80");
	assert_true(json_is_true(json_object_get(real, "sorry_server")));
	assert_null(json_object_get(real, "verdict"));
	json_decref(lines);

	lines = ask(world, "{\"command\": \"status\"}");
	check = json_object_get(json_array_get(lines, 1), "health");
	assert_int_equal(number_of(check, "total"), 5 + BIG);
	assert_int_equal(number_of(check, "down"), 1);
	assert_int_equal(number_of(check, "up"), 4 + BIG);
	assert_int_equal(number_of(check, "services_down"), 0);
	json_decref(lines);
}

/* A service of 700 real servers is one line, made in parts, whatever their size. */
static void test_parts(void **state)
{
	static const size_t caps[] = {1, 97, 1000, 65536};
	struct world *world = *state;
	const struct control_source source = {world, facts_get, services_get, act, NULL, set};
	json_t *first = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		json_t *lines = ask_source(&source, "{\"command\": \"services\"}", caps[i]);

		assert_int_equal(json_array_size(lines), 5);
		assert_int_equal(number_of(json_array_get(lines, 4), "count"), 3);
		assert_int_equal(
			json_array_size(json_object_get(service_of(lines, "big"), "real_servers")),
			BIG);
		if (first)
			assert_true(json_equal(first, lines));
		else
			first = json_incref(lines);
		json_decref(lines);
	}
	json_decref(first);
}

static void test_filter(void **state)
{
	struct world *world = *state;
	json_t *lines = ask(world, "{\"command\": \"services\", \"service\": \"dns\"}");

	assert_int_equal(json_array_size(lines), 3);
	assert_int_equal(json_array_size(json_object_get(service_of(lines, "dns"), "real_servers")),
			 2);
	json_decref(lines);
	lines = ask(world, "{\"command\": \"services\", \"real\": \"10.1.0.22\"}");
	assert_int_equal(json_array_size(lines), 4);
	assert_int_equal(json_array_size(json_object_get(service_of(lines, "web"), "real_servers")),
			 1);
	assert_string_equal(text_of(real_of(service_of(lines, "web"), "10.1.0.22:80"), "verdict"),
			    "down");
	json_decref(lines);
	lines = ask(world, "{\"command\": \"services\", \"real\": \"10.1.0.99:80\"}");
	assert_int_equal(json_array_size(lines), 3);
	real_of(service_of(lines, "web"), "10.1.0.99:80");
	json_decref(lines);
	lines = ask(world, "{\"command\": \"services\", \"real\": \"10.9.9.9\"}");
	assert_int_equal(json_array_size(lines), 2);
	json_decref(lines);
	lines = ask(world, "{\"command\": \"services\", \"service\": \"none\"}");
	assert_string_equal(text_of(json_array_get(lines, 0), "error"), "service");
	json_decref(lines);
}

/* Numbers of another configuration are not looked up in this one; without checks nothing is said of
 * health. */
static void test_no_health(void **state)
{
	struct world *world = *state;
	json_t *lines;

	world->reloads = true;
	lines = ask(world, "{\"command\": \"services\"}");
	assert_int_equal(json_array_size(lines), 5);
	assert_null(json_object_get(real_of(service_of(lines, "web"), "10.1.0.22:80"), "verdict"));
	json_decref(lines);
	world->reloads = false;
	world->facts.config = world->config;
	world->facts.health = NULL;
	lines = ask(world, "{\"command\": \"services\"}");
	assert_true(json_is_null(json_object_get(service_of(lines, "web"), "health")));
	assert_null(json_object_get(real_of(service_of(lines, "web"), "10.1.0.22:80"), "verdict"));
	json_decref(lines);
}

static void expect_call(const struct world *world, size_t i, const char *service,
			const char *address, enum health_setting setting, uint32_t weight)
{
	const struct set_call *call = &world->calls[i];
	const struct service *of = &world->config->services.services[call->service];
	char text[ENDPOINT_TEXT];

	assert_string_equal(of->name, service);
	assert_string_equal(endpoint_format(&of->real_servers[call->real].endpoint, text), address);
	assert_int_equal(call->setting, setting);
	assert_int_equal(call->weight, weight);
}

static void test_set(void **state)
{
	struct world *world = *state;
	json_t *lines = ask(world, "{\"command\": \"set\", \"real\": \"10.1.0.21:80\", "
				   "\"setting\": \"weight\", \"weight\": 50}");

	assert_int_equal(world->n_calls, 1);
	expect_call(world, 0, "web", "10.1.0.21:80", HEALTH_SET_WEIGHT, 50);
	assert_int_equal(json_array_size(lines), 3);
	assert_string_equal(text_of(json_array_get(lines, 1), "service"), "web");
	assert_string_equal(text_of(json_array_get(lines, 1), "address"), "10.1.0.21:80");
	assert_string_equal(text_of(json_array_get(lines, 1), "setting"), "weight");
	assert_int_equal(number_of(json_array_get(lines, 1), "weight"), 50);
	json_decref(lines);

	/* A bare address is a host: all its real servers, in all services. */
	world->n_calls = 0;
	lines = ask(world, "{\"command\": \"drain\", \"real\": \"10.1.0.22\"}");
	assert_int_equal(world->n_calls, 2);
	expect_call(world, 0, "dns", "10.1.0.22:53", HEALTH_SET_DRAIN, 0);
	expect_call(world, 1, "web", "10.1.0.22:80", HEALTH_SET_DRAIN, 0);
	assert_int_equal(json_array_size(lines), 4);
	assert_true(json_is_null(json_object_get(json_array_get(lines, 1), "weight")));
	json_decref(lines);

	world->n_calls = 0;
	lines = ask(world, "{\"command\": \"set\", \"service\": \"dns\", \"real\": \"10.1.0.22\", "
			   "\"setting\": \"reset\"}");
	assert_int_equal(world->n_calls, 1);
	expect_call(world, 0, "dns", "10.1.0.22:53", HEALTH_SET_RESET, 0);
	json_decref(lines);
}

static void expect_refused(json_t *lines, const char *message)
{
	assert_int_equal(json_array_size(lines), 1);
	assert_string_equal(text_of(json_array_get(lines, 0), "error"), "refused");
	assert_string_equal(text_of(json_array_get(lines, 0), "message"), message);
	json_decref(lines);
}

static void test_set_refused(void **state)
{
	struct world *world = *state;
	const struct control_source none = {world, facts_get, services_get, act, NULL, NULL};

	expect_refused(ask(world, "{\"command\": \"drain\", \"real\": \"10.1.0.21:81\"}"),
		       "no service of the configuration has a real server 10.1.0.21:81; see "
		       "`lvsmesh services`");
	expect_refused(ask(world, "{\"command\": \"set\", \"service\": \"dns\", \"real\": "
				  "\"10.1.0.23\", \"setting\": \"up\"}"),
		       "no service dns of the configuration has a real server 10.1.0.23; see "
		       "`lvsmesh services`");
	assert_int_equal(world->n_calls, 0);
	world->fails_at = 1;
	expect_refused(ask(world, "{\"command\": \"drain\", \"real\": \"10.1.0.22\"}"),
		       "too many settings");
	assert_int_equal(world->n_calls, 1);
	expect_refused(ask_source(&none, "{\"command\": \"drain\", \"real\": \"10.1.0.22\"}", 1000),
		       "this director does not check real servers");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_health, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_filter, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_health, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
