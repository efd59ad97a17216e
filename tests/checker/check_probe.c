/* Runs checks by director/checker for test_checker.py. It reads one JSON object a line, each a
 * check, and begins it at once, "repeat" times with as many targets; {"cancel": TARGET} cancels. It
 * writes a line for each result, and at the end of its input, when nothing is under way, the
 * counters and the longest turn of its loop. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "director/checker/io_checker.h"
#include "director/io_clock.h"
#include "director/turns.h"

#define LINE_MAX_READ 65536
#define SLEEP 10000 /* us */

/* A program of this test's runs for a few seconds: its checks live until the end. */
static struct parsed {
	struct check check;
	struct parsed *next;
} * all;

struct probe {
	uv_loop_t loop;
	struct io_checker *checker;
	uv_poll_t input;
	uv_prepare_t prepare;
	uv_check_t check;
	usec_t woke;
	struct turns turns;
	FILE *lines;
	unsigned int under_way;
	uv_thread_t sleeper;
	usec_t stalled; /* sum; while `ended` is false or a check is under way */
	_Atomic bool over;
	bool ended;
};

/* How long this machine keeps a thread waiting that has nothing to do but to wake up: a test that
 * judges times leaves so much out. */
static void sleep_and_measure(void *context)
{
	struct probe *probe = context;

	while (!probe->over) {
		usec_t began = uv_hrtime() / 1000, took;

		usleep(SLEEP);
		took = uv_hrtime() / 1000 - began;
		probe->stalled += took - MIN(took, (usec_t)2 * SLEEP);
	}
}

static void probe_end(struct probe *probe)
{
	struct io_checker_counts counts;
	struct turns_status turns;
	struct counter counter;
	json_t *object;

	if (!probe->ended || probe->under_way)
		return;
	object = json_object();
	io_checker_counts(probe->checker, &counts);
	for (unsigned int i = 0, number;
	     number = i, counter_get(&io_checker_counters, &counts, &number, &counter); i++)
		json_object_set_new(object, counter.name, json_integer((json_int_t)counter.value));
	probe->over = true;
	uv_thread_join(&probe->sleeper);
	json_object_set_new(object, "stalled_us", json_integer((json_int_t)probe->stalled));
	turns_status(&probe->turns, uv_hrtime() / 1000, &turns);
	json_object_set_new(object, "longest_turn_us", json_integer((json_int_t)turns.longest));
	json_dumpf(object, stdout, JSON_COMPACT);
	puts("");
	json_decref(object);
	io_checker_close(probe->checker, NULL, NULL);
	uv_close((uv_handle_t *)&probe->prepare, NULL);
	uv_close((uv_handle_t *)&probe->check, NULL);
}

static void result(void *context, uint32_t target, uint32_t run, const struct check_result *result)
{
	static const char *const states[] = {"unchanged", "up", "down", "drain", "maint"};
	struct probe *probe = context;
	json_t *object = json_pack("{s:i, s:i, s:s, s:i, s:i, s:s, s:I}", "target", (int)target,
				   "run", (int)run, "state", states[result->state], "cause",
				   (int)result->cause, "weight", result->weight, "reason",
				   result->reason, "took_us", (json_int_t)result->took);

	if (!object || json_dumpf(object, stdout, JSON_COMPACT) < 0)
		abort();
	puts("");
	fflush(stdout);
	json_decref(object);
	probe->under_way--;
	probe_end(probe);
}

static char *text(json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? strdup(value) : NULL;
}

static long number(json_t *object, const char *key, long otherwise)
{
	json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? (long)json_integer_value(value) : otherwise;
}

static char **list(json_t *object, const char *key)
{
	json_t *array = json_object_get(object, key), *value;
	char **strings = array ? calloc(json_array_size(array) + 1, sizeof(char *)) : NULL;
	size_t i;

	json_array_foreach(array, i, value) strings[i] = strdup(json_string_value(value));
	return strings;
}

static void address(json_t *object, const char *key, struct ip_addr *ret_ip)
{
	const char *value = json_string_value(json_object_get(object, key));

	if (value && ip_addr_parse(value, ret_ip) < 0)
		abort();
}

static void statuses(json_t *object, struct check *check)
{
	json_t *array = json_object_get(object, "statuses"), *range;
	size_t i;

	json_array_foreach(array, i, range) check->statuses[check->n_statuses++] =
		(struct check_range){(uint16_t)json_integer_value(json_array_get(range, 0)),
				     (uint16_t)json_integer_value(json_array_get(range, 1))};
}

static struct check *check_make(json_t *object)
{
	static const char *const types[CHECK_TYPES] = {"tcp", "http", "https", "grpc", "dns",
						       "udp", "ping", "exec",  "agent"};
	const char *type = json_string_value(json_object_get(object, "type"));
	struct parsed *parsed = calloc(1, sizeof(*parsed));
	struct check *check = &parsed->check;

	parsed->next = all;
	all = parsed;

	while (strcmp(types[check->type], type) != 0)
		check->type++;
	check->timeout = (usec_t)number(object, "timeout_ms", 1000) * USEC_PER_MSEC;
	address(object, "source", &check->source);
	check->send = (uint8_t *)text(object, "send");
	check->send_len = check->send ? strlen((char *)check->send) : 0;
	check->expect = (uint8_t *)text(object, "expect");
	check->expect_len = check->expect ? strlen((char *)check->expect) : 0;
	check->method = text(object, "method");
	check->path = text(object, "path");
	check->host = text(object, "host");
	check->headers = list(object, "headers");
	statuses(object, check);
	check->body = text(object, "body");
	check->body_max = (size_t)number(object, "body_max", 65536);
	check->redirects_max = (unsigned int)number(object, "redirects_max", 0);
	check->verify = number(object, "verify", 1);
	check->ca = text(object, "ca");
	check->sni = text(object, "sni");
	check->http2 = number(object, "http2", 0);
	check->tls = number(object, "tls", 0);
	check->grpc_service = text(object, "grpc_service");
	check->name = text(object, "name");
	check->qtype = (uint16_t)number(object, "qtype", 1);
	check->rcode = (uint8_t)number(object, "rcode", 0);
	check->command = list(object, "command");
	return check;
}

static void line_do(struct probe *probe, const char *line)
{
	json_t *object = json_loads(line, 0, NULL);
	json_t *cancel = json_object_get(object, "cancel");
	struct io_checker_run run = {.service = "web", .real = "192.0.2.1:80"};

	if (cancel) {
		io_checker_cancel(probe->checker, (uint32_t)json_integer_value(cancel));
		probe->under_way--;
		json_decref(object);
		return;
	}
	run.target = (uint32_t)number(object, "target", 0);
	run.run = (uint32_t)number(object, "run", 1);
	run.check = check_make(object);
	run.mark = (uint32_t)number(object, "mark", 0);
	address(object, "address", &run.endpoint.ip);
	address(object, "vip", &run.vip.ip);
	run.endpoint.port = (uint16_t)number(object, "port", 0);
	run.vip.port = (uint16_t)number(object, "vip_port", 0);
	for (long i = number(object, "repeat", 1); i > 0; i--, run.target++, probe->under_way++)
		if (io_checker_begin(probe->checker, &run) < 0)
			abort();
	json_decref(object);
}

static void readable(uv_poll_t *poll, int status, int events)
{
	struct probe *probe = poll->data;
	static char line[LINE_MAX_READ];

	(void)status;
	(void)events;
	/* one a turn, so that the loop's turns are the checker's */
	if (fgets(line, sizeof(line), probe->lines)) {
		line_do(probe, line);
		return;
	}
	uv_close((uv_handle_t *)poll, NULL);
	probe->ended = true;
	probe_end(probe);
}

static void woken(uv_check_t *check)
{
	((struct probe *)check->data)->woke = uv_hrtime() / 1000;
}

static void turned(uv_prepare_t *prepare)
{
	struct probe *probe = prepare->data;
	usec_t now = uv_hrtime() / 1000;

	if (probe->woke)
		turns_add(&probe->turns, now, now - probe->woke);
}

int main(void)
{
	static struct probe probe;
	struct io_checker_options options = {.result = result, .context = &probe};
	const char *programs = getenv("PROGRAMS"), *runs = getenv("RUNS");

	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&probe.loop);
	options.loop = &probe.loop;
	options.programs_max = programs ? (unsigned int)atoi(programs) : 0;
	options.runs_max = runs ? (unsigned int)atoi(runs) : 0;
	if (io_checker_open(&options, &probe.checker) < 0)
		return 1;
	/* as libuv's buffer would hide from it what stdio has read, there is none */
	probe.lines = stdin;
	setvbuf(stdin, NULL, _IONBF, 0);
	uv_poll_init(&probe.loop, &probe.input, STDIN_FILENO);
	uv_prepare_init(&probe.loop, &probe.prepare);
	uv_check_init(&probe.loop, &probe.check);
	probe.input.data = probe.prepare.data = probe.check.data = &probe;
	uv_poll_start(&probe.input, UV_READABLE, readable);
	uv_prepare_start(&probe.prepare, turned);
	uv_check_start(&probe.check, woken);
	uv_thread_create(&probe.sleeper, sleep_and_measure, &probe);
	uv_run(&probe.loop, UV_RUN_DEFAULT);
	return uv_loop_close(&probe.loop) == 0 ? 0 : 1;
}
