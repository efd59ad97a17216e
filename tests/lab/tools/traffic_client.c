/*
 * traffic client --to ADDRESS:PORT [options]
 *
 * Writes JSON lines: {"event": "open", "source", "port", "at"} for each finished handshake (`at` in
 * us of CLOCK_REALTIME, read when epoll reported it), "failed" for a handshake that did not finish,
 * "broken" with `why` (reset, closed, silent, wrong, or an error's text) for an established
 * connection that broke, "streamed" for a whole stream received, and at the end "summary".
 * Commands, lines on standard input: `report` prints the counters, `check` sends a message on every
 * connection now and answers with a "checked" report when all have answered or broken, `stop` (or
 * SIGTERM) ends. An end of the input is ignored.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "traffic.h"

#define SOURCES_MAX 64u
#define CONNECTING_MAX 256u /* when no rate is given: more overflow the server's backlog */

enum conn_state { UNUSED, CONNECTING, IDLE, ECHOING, STREAMING, OVER };

struct conn {
	int fd;
	enum conn_state state;
	bool streams;
	int64_t since; /* us: when the connection was begun, or last made progress */
	uint64_t value;
	uint64_t received;
	struct request echo;
	struct sockaddr_storage local;
};

struct options {
	struct sockaddr_storage to;
	socklen_t to_len;
	struct sockaddr_storage sources[SOURCES_MAX];
	socklen_t source_len;
	unsigned int source_count;
	unsigned int count;
	unsigned int rate;    /* connections a second; 0: as fast as they are answered */
	int64_t interval;     /* us between two messages on a connection; 0: none but for `check` */
	int64_t deadline;     /* us */
	unsigned int streams; /* of the connections, how many stream instead */
	uint64_t stream_bytes; /* one stream */
	unsigned int stream_rate;
};

struct counters {
	unsigned int begun, connecting, opened, failed, broken, waiting;
	uint64_t echoes, streamed_bytes;
	int64_t slowest_echo; /* us, since the last report */
};

struct client {
	struct options options;
	struct counters n;
	struct conn *conns;
	int epoll_fd;
	int64_t started;
	uint64_t turns; /* how many turns were given to connections */
	bool checking;
	char command[64];
	size_t command_len;
};

static volatile sig_atomic_t stopping;

static int64_t clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

static void on_term(int number)
{
	(void)number;
	stopping = 1;
}

static void event_print(const struct conn *c, const char *event, const char *why)
{
	char source[64];

	address_format(&c->local, source, sizeof(source));
	printf("{\"event\": \"%s\", \"source\": \"%s\", \"port\": %u, \"at\": %lld", event, source,
	       address_port(&c->local), (long long)clock_us(CLOCK_REALTIME));
	printf(why ? ", \"why\": \"%s\"}\n" : "}\n", why);
}

static void report_print(struct client *cl, const char *event)
{
	const struct counters *n = &cl->n;

	printf("{\"event\": \"%s\", \"at\": %lld, \"opened\": %u, \"open\": %u, \"broken\": %u, "
	       "\"failed\": %u, \"connecting\": %u, \"echoes\": %llu, \"streamed_bytes\": %llu, "
	       "\"slowest_echo_us\": %lld}\n",
	       event, (long long)clock_us(CLOCK_REALTIME), n->opened, n->opened - n->broken,
	       n->broken, n->failed, n->connecting, (unsigned long long)n->echoes,
	       (unsigned long long)n->streamed_bytes, (long long)n->slowest_echo);
	cl->n.slowest_echo = 0;
}

static void state_set(struct client *cl, struct conn *c, enum conn_state state)
{
	cl->n.waiting -= c->state == ECHOING;
	cl->n.connecting -= c->state == CONNECTING;
	c->state = state;
	cl->n.waiting += c->state == ECHOING;
	cl->n.connecting += c->state == CONNECTING;
}

static void conn_end(struct client *cl, struct conn *c, const char *why)
{
	bool established = c->state != CONNECTING;

	event_print(c, established ? "broken" : "failed", why);
	cl->n.broken += established;
	cl->n.failed += !established;
	state_set(cl, c, OVER);
	close(c->fd);
}

static void conn_fail(struct client *cl, struct conn *c, int error)
{
	if (error == ECONNRESET || error == EPIPE)
		conn_end(cl, c, "reset");
	else
		conn_end(cl, c, error == ECONNREFUSED ? "refused" : strerror(error));
}

static void conn_begin(struct client *cl, struct conn *c)
{
	const struct options *o = &cl->options;
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
	const struct sockaddr_storage *source;
	socklen_t len = sizeof(c->local);
	int on = 1;

	c->streams = cl->n.begun < o->streams;
	c->since = now_us();
	c->fd = socket(o->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	state_set(cl, c, CONNECTING);
	if (o->source_count) {
		source = &o->sources[cl->n.begun % o->source_count];
		setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		if (bind(c->fd, (const struct sockaddr *)source, o->source_len))
			return conn_fail(cl, c, errno);
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(c->fd, (const struct sockaddr *)&o->to, o->to_len) && errno != EINPROGRESS)
		return conn_fail(cl, c, errno);
	getsockname(c->fd, (struct sockaddr *)&c->local, &len);
	if (epoll_ctl(cl->epoll_fd, EPOLL_CTL_ADD, c->fd, &event))
		conn_fail(cl, c, errno);
}

static void conn_request(struct client *cl, struct conn *c)
{
	struct request r = {.kind = c->streams ? REQUEST_STREAM : REQUEST_ECHO};

	r.rate = cl->options.stream_rate;
	r.value = c->streams ? cl->options.stream_bytes : ++c->value;
	c->echo = r;
	c->received = 0;
	c->since = now_us();
	if (send(c->fd, &r, sizeof(r), MSG_NOSIGNAL) != (ssize_t)sizeof(r))
		return conn_fail(cl, c, errno);
	state_set(cl, c, c->streams ? STREAMING : ECHOING);
}

static void conn_established(struct client *cl, struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error)
		return conn_fail(cl, c, error);
	state_set(cl, c, IDLE);
	cl->n.opened++;
	event_print(c, "open", NULL);
}

static void echo_received(struct client *cl, struct conn *c, const unsigned char *data, size_t len)
{
	const unsigned char *want = (const unsigned char *)&c->echo + c->received;
	int64_t took;

	if (c->received + len > REQUEST_LEN || memcmp(data, want, len))
		return conn_end(cl, c, "wrong");
	c->received += len;
	if (c->received < REQUEST_LEN)
		return;
	took = now_us() - c->since;
	if (took > cl->n.slowest_echo)
		cl->n.slowest_echo = took;
	cl->n.echoes++;
	state_set(cl, c, IDLE);
}

static void stream_received(struct client *cl, struct conn *c, const unsigned char *data,
			    size_t len)
{
	if (memcmp(data, pattern() + c->received % PATTERN_PERIOD, len))
		return conn_end(cl, c, "wrong");
	c->received += len;
	c->since = now_us();
	cl->n.streamed_bytes += len;
	if (c->received < cl->options.stream_bytes)
		return;
	if (c->received > cl->options.stream_bytes)
		return conn_end(cl, c, "wrong");
	event_print(c, "streamed", NULL);
	state_set(cl, c, IDLE);
}

static void conn_ready(struct client *cl, struct conn *c, uint32_t events)
{
	static unsigned char data[65536];
	ssize_t n = sizeof(data);

	if (c->state == CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		conn_established(cl, c);
	while (events & ~(uint32_t)EPOLLOUT && c->state > CONNECTING && c->state < OVER &&
	       n == (ssize_t)sizeof(data)) {
		n = read(c->fd, data, sizeof(data));
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			conn_fail(cl, c, errno);
		else if (n == 0)
			conn_end(cl, c, "closed");
		else if (c->state == STREAMING)
			stream_received(cl, c, data, (size_t)n);
		else
			echo_received(cl, c, data, (size_t)n);
	}
}

/* A connection's turn comes once in an interval, at its own point of it. */
static void conn_turn(struct client *cl, struct conn *c, int64_t now)
{
	if (c->state == IDLE && (cl->options.interval || c->streams))
		conn_request(cl, c);
	else if (c->state != UNUSED && c->state != IDLE && c->state != OVER &&
		 now - c->since > cl->options.deadline)
		conn_end(cl, c, "silent");
}

static void turns_give(struct client *cl, int64_t now)
{
	int64_t period = cl->options.interval ? cl->options.interval : 100000;
	uint64_t count = cl->options.count;
	uint64_t due = (uint64_t)(now - cl->started) * count / (uint64_t)period;

	/* After a stall of more than a period, one turn each is enough. */
	if (due - cl->turns > count)
		cl->turns = due - count;
	for (; cl->turns < due; cl->turns++)
		conn_turn(cl, &cl->conns[cl->turns % count], now);
}

static void conns_begin(struct client *cl, int64_t now)
{
	const struct options *o = &cl->options;
	uint64_t due = o->count;

	if (o->rate)
		due = (uint64_t)(now - cl->started) * o->rate / 1000000;
	while (cl->n.begun < o->count && cl->n.begun < due &&
	       (o->rate || cl->n.connecting < CONNECTING_MAX)) {
		conn_begin(cl, &cl->conns[cl->n.begun]);
		cl->n.begun++;
	}
}

static void check_begin(struct client *cl)
{
	unsigned int i;

	cl->checking = true;
	for (i = 0; i < cl->n.begun; i++)
		if (cl->conns[i].state == IDLE)
			conn_request(cl, &cl->conns[i]);
}

static void command_run(struct client *cl, const char *command)
{
	if (!strcmp(command, "report"))
		report_print(cl, "report");
	else if (!strcmp(command, "check"))
		check_begin(cl);
	else if (!strcmp(command, "stop"))
		stopping = 1;
	else
		fprintf(stderr, "traffic client: %s: unknown command\n", command);
}

static void commands_read(struct client *cl)
{
	char *line = cl->command, *end;
	ssize_t n = read(0, line + cl->command_len, sizeof(cl->command) - 1 - cl->command_len);

	if (n <= 0) {
		epoll_ctl(cl->epoll_fd, EPOLL_CTL_DEL, 0, NULL);
		return;
	}
	cl->command_len += (size_t)n;
	line[cl->command_len] = '\0';
	while ((end = strchr(line, '\n'))) {
		*end = '\0';
		command_run(cl, line);
		line = end + 1;
	}
	cl->command_len = strlen(line);
	memmove(cl->command, line, cl->command_len + 1);
	if (cl->command_len == sizeof(cl->command) - 1)
		cl->command_len = 0;
}

/* How long epoll may wait, in ms: until the next turn or the next connection to begin. */
static int wait_ms(const struct client *cl)
{
	const struct options *o = &cl->options;
	int64_t period = o->interval ? o->interval : 100000;
	int64_t us = period / o->count;

	if (o->rate && cl->n.begun < o->count && 1000000 / o->rate < us)
		us = 1000000 / o->rate;
	return us < 1000 ? 1 : us > 100000 ? 100 : (int)(us / 1000);
}

static void client_run(struct client *cl)
{
	struct epoll_event events[256], commands = {.events = EPOLLIN, .data.ptr = NULL};
	int64_t now;
	int i, n;

	/* Input that epoll can't watch (a file, /dev/null) has no commands. */
	epoll_ctl(cl->epoll_fd, EPOLL_CTL_ADD, 0, &commands);
	cl->started = now_us();
	while (!stopping) {
		now = now_us();
		conns_begin(cl, now);
		turns_give(cl, now);
		fflush(stdout);
		n = epoll_wait(cl->epoll_fd, events, 256, wait_ms(cl));
		for (i = 0; i < n; i++) {
			if (events[i].data.ptr)
				conn_ready(cl, events[i].data.ptr, events[i].events);
			else
				commands_read(cl);
		}
		if (cl->checking && !cl->n.waiting) {
			cl->checking = false;
			report_print(cl, "checked");
		}
	}
	report_print(cl, "summary");
}

static const char usage[] =
	"usage: traffic client --to ADDRESS:PORT [--count N] [--rate PER_SECOND] [--source "
	"ADDRESS]...\n"
	"       [--interval MS] [--deadline MS]\n"
	"       [--streams N --stream-bytes BYTES [--stream-rate BYTES_PER_SECOND]]\n";

static bool option_read(struct options *o, int option, const char *value)
{
	switch (option) {
	case 't':
		return address_parse(value, &o->to, &o->to_len);
	case 's':
		return o->source_count < SOURCES_MAX &&
		       address_parse(value, &o->sources[o->source_count++], &o->source_len);
	case 'n':
		o->count = (unsigned int)strtoul(value, NULL, 10);
		return o->count > 0;
	case 'r':
		o->rate = (unsigned int)strtoul(value, NULL, 10);
		return true;
	case 'i':
		o->interval = strtoll(value, NULL, 10) * 1000;
		return true;
	case 'd':
		o->deadline = strtoll(value, NULL, 10) * 1000;
		return o->deadline > 0;
	case 'S':
		o->streams = (unsigned int)strtoul(value, NULL, 10);
		return true;
	case 'b':
		o->stream_bytes = strtoull(value, NULL, 10);
		return o->stream_bytes > 0;
	case 'R':
		o->stream_rate = (unsigned int)strtoul(value, NULL, 10);
		return true;
	default:
		return false;
	}
}

static bool options_read(struct options *o, int argc, char **argv)
{
	static const struct option names[] = {
		{"to", required_argument, NULL, 't'},
		{"count", required_argument, NULL, 'n'},
		{"rate", required_argument, NULL, 'r'},
		{"source", required_argument, NULL, 's'},
		{"interval", required_argument, NULL, 'i'},
		{"deadline", required_argument, NULL, 'd'},
		{"streams", required_argument, NULL, 'S'},
		{"stream-bytes", required_argument, NULL, 'b'},
		{"stream-rate", required_argument, NULL, 'R'},
		{NULL, 0, NULL, 0},
	};
	int option;

	*o = (struct options){.count = 1, .deadline = 5000000, .stream_bytes = 10000000};
	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1)
		if (!option_read(o, option, optarg))
			return false;
	return optind == argc && o->to_len && o->streams <= o->count;
}

int client_main(int argc, char **argv)
{
	struct sigaction term = {.sa_handler = on_term};
	struct rlimit files = {1048576, 1048576};
	struct client cl = {0};

	if (!options_read(&cl.options, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	sigaction(SIGTERM, &term, NULL);
	sigaction(SIGINT, &term, NULL);
	setrlimit(RLIMIT_NOFILE, &files);
	cl.conns = calloc(cl.options.count, sizeof(*cl.conns));
	cl.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!cl.conns || cl.epoll_fd < 0) {
		perror("traffic client");
		return 1;
	}
	client_run(&cl);
	free(cl.conns);
	return 0;
}
