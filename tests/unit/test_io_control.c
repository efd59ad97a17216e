/* The control socket as a client sees it, well-behaved or not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "director/control/io_control.h"
#include "tests/identity_fixture.h"
#include "tests/scratch.h"

static const char yaml[] = "node: {name: d1}\n"
			   "cluster: {listen: ['192.0.2.1:7946']}\n";

struct world {
	uv_loop_t loop;
	struct scratch scratch;
	struct io_control *control;
	struct identity identity;
	struct config *config;
	struct node *node;
	struct event_log *events;
	unsigned int acted;
};

static bool counter(void *context, unsigned int i, struct counter *ret_counter)
{
	struct world *world = context;

	return node_counter(world->node, i, ret_counter);
}

static void facts_get(void *context, struct status_facts *ret_facts)
{
	struct world *world = context;

	*ret_facts = (struct status_facts){
		.node = world->node,
		.identity = &world->identity,
		.config = world->config,
		.events = world->events,
		.counter = counter,
		.context = world,
	};
}

static int services_get(void *context, usec_t since, struct service_list **ret_list,
			const char **ret_error)
{
	(void)context;
	(void)since;
	(void)ret_list;
	(void)ret_error;
	return 0;
}

static int act(void *context, const struct control_request *request, const char **ret_error)
{
	struct world *world = context;

	(void)request;
	world->acted++;
	*ret_error = "no";
	return -EINVAL;
}

static int reload(void *context, uint64_t *ticket, const char **ret_error)
{
	struct world *world = context;

	*ticket = 1;
	world->acted++;
	*ret_error = "no";
	return -EINVAL;
}

static struct control_source source_of(struct world *world)
{
	return (struct control_source){world, facts_get, services_get, act, reload, NULL};
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct node_options options = {.identity = &world->identity,
				       .epoch = 1,
				       .versions = VERSION_RANGE,
				       .entries_max = 2000};
	struct config_error error;
	struct control_source source = source_of(world);
	struct fault fault;

	fixture_identity(1, 1, &world->identity);
	assert_int_equal(config_parse(yaml, strlen(yaml), "test", &world->config, &error), 0);
	options.addresses = world->config->listen;
	options.address_count = 1;
	options.profile = membership_default;
	assert_int_equal(node_new(&options, &world->node), 0);
	assert_int_equal(event_log_new("d1", 1, &world->events), 0);
	scratch_init(&world->scratch);
	uv_loop_init(&world->loop);
	assert_int_equal(io_control_open(&world->loop, scratch_path(&world->scratch, "run/sock"),
					 &source, &world->control, &fault),
			 0);
	*state = world;
	return 0;
}

static void closed(void *context)
{
	struct world *world = context;

	world->control = NULL;
}

static int teardown(void **state)
{
	struct world *world = *state;

	io_control_close(world->control, closed, world);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_null(world->control);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	scratch_fini(&world->scratch);
	node_free(world->node);
	event_log_free(world->events);
	config_free(world->config);
	free(world);
	return 0;
}

static int dial(struct world *world)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, scratch_path(&world->scratch, "run/sock"));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Reads to the end, the loop runs meanwhile. */
static void answer_read(struct world *world, int fd, char *answer, size_t cap)
{
	size_t len = 0;
	ssize_t got;

	do {
		uv_run(&world->loop, UV_RUN_NOWAIT);
		got = read(fd, answer + len, cap - 1 - len);
		len += got > 0 ? (size_t)got : 0;
	} while (got > 0 || (got < 0 && errno == EAGAIN));
	answer[len] = '\0';
	close(fd);
}

static void ask(struct world *world, const char *request, size_t len, char *answer, size_t cap)
{
	int fd = dial(world);

	assert_int_equal(write(fd, request, len), len);
	answer_read(world, fd, answer, cap);
}

static void test_answers(void **state)
{
	struct world *world = *state;
	static char answer[65536];
	struct stat st;

	stat(scratch_path(&world->scratch, "run/sock"), &st);
	assert_int_equal(st.st_mode & 0777, 0600);
	ask(world, "{\"command\": \"status\"}\n", 22, answer, sizeof(answer));
	assert_non_null(strstr(answer, "\"name\":\"d1\""));
	assert_non_null(strstr(answer, "\"end\":true"));
	ask(world, "{\"command\": \"reload\"}\n", 22, answer, sizeof(answer));
	assert_non_null(strstr(answer, "\"ok\":false"));
}

/* A request may come byte by byte. */
static void test_pieces(void **state)
{
	static const char request[] = "{\"command\": \"peers\"}\n";
	struct world *world = *state;
	char answer[1024];
	int fd = dial(world);

	for (size_t i = 0; i < strlen(request); i++) {
		assert_int_equal(write(fd, request + i, 1), 1);
		uv_run(&world->loop, UV_RUN_NOWAIT);
	}
	answer_read(world, fd, answer, sizeof(answer));
	assert_non_null(strstr(answer, "\"count\":0"));
}

/* However fast the client reads, the event loop has a turn between two pieces. */
static void test_turns(void **state)
{
	static const char request[] = "{\"command\": \"connections\"}\n";
	struct world *world = *state;
	static char piece[1 << 20];
	struct node_update update;
	size_t total = 0;
	int fd;

	for (uint16_t i = 0; i < 2000; i++) {
		struct entry entry = {.flow = {.vaddr = {203, 0, 113, 10},
					       .cport = i,
					       .family = AF_INET,
					       .protocol = IPPROTO_TCP},
				      .state = 1,
				      .timeout = 900};

		node_step(world->node, &(struct node_event){.type = NODE_ADOPTED, .entry = &entry},
			  &update);
	}
	fd = dial(world);
	assert_int_equal(write(fd, request, strlen(request)), strlen(request));
	for (ssize_t got = -1; got != 0;) {
		uv_run(&world->loop, UV_RUN_NOWAIT);
		got = read(fd, piece, sizeof(piece));
		assert_true(got >= 0 || errno == EAGAIN);
		assert_true(got <= IO_CONTROL_PIECE);
		total += got > 0 ? (size_t)got : 0;
	}
	assert_in_range(total, 20 * IO_CONTROL_PIECE, 40 * IO_CONTROL_PIECE);
	close(fd);
}

static void test_refused(void **state)
{
	struct world *world = *state;
	static char garbage[CONTROL_REQUEST_MAX + 100];
	char answer[1024];

	memset(garbage, 'x', sizeof(garbage));
	ask(world, garbage, sizeof(garbage), answer, sizeof(answer));
	assert_non_null(strstr(answer, "\"overlong\""));
	assert_int_equal(io_control_refused(world->control)[CONTROL_E_OVERLONG], 1);
	ask(world, "\xff\n", 2, answer, sizeof(answer));
	assert_int_equal(io_control_refused(world->control)[CONTROL_E_JSON], 1);
	ask(world, "{\"command\": \"x\"}\n", 17, answer, sizeof(answer));
	assert_int_equal(io_control_refused(world->control)[CONTROL_E_COMMAND], 1);
}

static const char peers[] = "{\"command\": \"peers\"}\n";

/* Idle clients lock no other client out: the oldest of them is evicted, whether it asks nothing or
 * does not read. */
static void test_idle(void **state)
{
	struct world *world = *state;
	int fds[4 * IO_CONTROL_CLIENTS];
	char answer[65536];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = dial(world);
		if (i % IO_CONTROL_ACCEPTS == 0)
			uv_run(&world->loop, UV_RUN_NOWAIT);
	}
	for (unsigned int i = 0; i < 10; i++)
		ask(world, peers, strlen(peers), answer, sizeof(answer));
	assert_non_null(strstr(answer, "\"end\":true"));
	assert_true(io_control_refused(world->control)[CONTROL_E_EVICTED] >=
		    ARRAY_SIZE(fds) - IO_CONTROL_CLIENTS);
	assert_int_equal(io_control_refused(world->control)[CONTROL_E_BUSY], 0);
	/* the evicted client gets the reason */
	assert_true(read(fds[0], answer, sizeof(answer)) > 0);
	assert_non_null(strstr(answer, "\"evicted\""));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* Many connections at once are taken over several turns, so that waiting requests are read. */
static void test_flood(void **state)
{
	struct world *world = *state;
	int fds[2 * IO_CONTROL_CLIENTS];
	uint64_t evicted;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = dial(world);
		for (size_t turns = i < IO_CONTROL_CLIENTS ? 4 : 0; turns > 0; turns--)
			uv_run(&world->loop, UV_RUN_NOWAIT);
	}
	for (unsigned int turn = 1; turn <= IO_CONTROL_CLIENTS / IO_CONTROL_ACCEPTS; turn++) {
		uv_run(&world->loop, UV_RUN_NOWAIT);
		evicted = io_control_refused(world->control)[CONTROL_E_EVICTED];
		assert_in_range(evicted, 1, (turn + 1) * IO_CONTROL_ACCEPTS);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* A client that has gone gets no command executed; one that has only finished writing does. */
static void test_gone(void **state)
{
	static const char reload[] = "{\"command\": \"reload\"}\n";
	struct world *world = *state;
	int fd = dial(world);
	char answer[1024];

	assert_int_equal(write(fd, reload, strlen(reload)), strlen(reload));
	close(fd);
	for (unsigned int i = 0; i < 4; i++)
		uv_run(&world->loop, UV_RUN_NOWAIT);
	assert_int_equal(world->acted, 0);
	assert_int_equal(io_control_refused(world->control)[CONTROL_E_GONE], 1);
	fd = dial(world);
	assert_int_equal(write(fd, reload, strlen(reload)), strlen(reload));
	shutdown(fd, SHUT_WR);
	answer_read(world, fd, answer, sizeof(answer));
	assert_int_equal(world->acted, 1);
}

static void event_add(struct world *world, unsigned int number)
{
	struct event event;
	char subject[16];

	snprintf(subject, sizeof(subject), "d%u", number);
	event_init(&event, EVENT_MEMBER_JOINED, subject, "Member %s has joined.", subject);
	/* each in a minute of its own: no event is held back */
	event_log_raise(world->events, &event, (struct now){.mono = number * EVENT_LOG_QUIET});
}

static int follow(struct world *world)
{
	static const char request[] = "{\"command\": \"events\", \"follow\": true}\n";
	int fd = dial(world);

	assert_int_equal(write(fd, request, strlen(request)), strlen(request));
	uv_run(&world->loop, UV_RUN_NOWAIT);
	uv_run(&world->loop, UV_RUN_NOWAIT);
	return fd;
}

/* Reads what has come; the connection stays open. */
static size_t peek(struct world *world, int fd, char *text, size_t cap)
{
	ssize_t len;

	uv_run(&world->loop, UV_RUN_NOWAIT);
	len = read(fd, text, cap - 1);
	text[len > 0 ? len : 0] = '\0';
	return len > 0 ? (size_t)len : 0;
}

static void test_follow(void **state)
{
	struct world *world = *state;
	int fds[IO_CONTROL_FOLLOWERS];
	char text[65536];

	event_add(world, 2);
	for (size_t i = 0; i < IO_CONTROL_FOLLOWERS; i++)
		fds[i] = follow(world);
	peek(world, fds[0], text, sizeof(text));
	assert_non_null(strstr(text, "\"d2\""));
	assert_null(strstr(text, "\"end\""));
	assert_int_equal(peek(world, fds[0], text, sizeof(text)), 0);
	event_add(world, 3);
	io_control_wake(world->control);
	assert_true(peek(world, fds[0], text, sizeof(text)) > 0);
	assert_null(strstr(text, "\"d2\""));
	assert_non_null(strstr(text, "\"d3\""));

	/* there is a limit, others are answered all the same, and one that goes makes room */
	answer_read(world, follow(world), text, sizeof(text));
	assert_non_null(strstr(text, "\"busy\""));
	ask(world, "{\"command\": \"events\"}\n", 22, text, sizeof(text));
	assert_non_null(strstr(text, "\"end\":true"));
	close(fds[0]);
	uv_run(&world->loop, UV_RUN_NOWAIT);
	fds[0] = follow(world);
	peek(world, fds[0], text, sizeof(text));
	assert_non_null(strstr(text, "\"d3\""));
	for (size_t i = 0; i < IO_CONTROL_FOLLOWERS; i++)
		close(fds[i]);
}

/* A follower that does not read holds no memory, and learns that it missed events. */
static void test_deaf_follower(void **state)
{
	struct world *world = *state;
	char text[65536];
	int fd = follow(world);
	bool missed = false, last = false;

	for (unsigned int i = 0; i < 20 * EVENT_LOG_KEPT; i++) {
		event_add(world, i);
		io_control_wake(world->control);
		uv_run(&world->loop, UV_RUN_NOWAIT);
	}
	snprintf(text, sizeof(text), "\"d%u\"", 20 * EVENT_LOG_KEPT - 1);
	for (unsigned int i = 0; i < 1000 && !last; i++) {
		static char piece[1 << 20];

		if (peek(world, fd, piece, sizeof(piece)) == 0)
			continue;
		missed = missed || strstr(piece, "\"missed\"");
		last = strstr(piece, text) != NULL;
	}
	assert_true(missed);
	assert_true(last);
	close(fd);
}

static void test_second_daemon(void **state)
{
	struct world *world = *state;
	struct control_source source = source_of(world);
	char path[PATH_MAX];
	struct fault fault;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct io_control *second;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(path, scratch_path(&world->scratch, "run/sock"));
	assert_int_equal(io_control_open(&world->loop, path, &source, &second, &fault),
			 -EADDRINUSE);
	assert_non_null(strstr(fault.text, "another lvsmeshd"));

	/* the socket that a killed daemon left is taken over */
	strcpy(address.sun_path, scratch_path(&world->scratch, "left"));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(io_control_open(&world->loop, address.sun_path, &source, &second, &fault),
			 0);
	io_control_close(second, closed, world);

	/* but a file is not */
	scratch_write(&world->scratch, "file", "x", 1);
	assert_int_equal(io_control_open(&world->loop, scratch_path(&world->scratch, "file"),
					 &source, &second, &fault),
			 -EEXIST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_follow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deaf_follower, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_daemon, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
