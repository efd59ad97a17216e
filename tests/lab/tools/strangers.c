/*
 * strangers ADDRESS PORT RATE SECONDS SOURCES NUMBER: opens so many TCP connections a second to a
 * director, from so many addresses of 198.18.0.0/15, which the namespace has to have (AnyIP). Each
 * in turn is silent, sends a byte every 20 ms, garbage, or the recorded Hello of director NUMBER of
 * the fixture; and each is held for 2 s, or until 8,192 are.
 *
 * Writes JSON lines: "begun", and at the end, after SECONDS or on SIGTERM, "done" with how many
 * were opened, and how many of them got an answer.
 */
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "proto/session/session.h"
#include "tests/identity_fixture.h"

#define TICK USEC_PER_MSEC
#define HELD (2 * USEC_PER_SEC)
#define DRIP (20 * USEC_PER_MSEC)
#define OPEN_MAX 8192

enum kind { SILENT, DRIPS, GARBAGE, REPLAYS, KINDS };

struct connection {
	int fd;
	enum kind kind;
	usec_t since, next;
	bool said;
};

struct strangers {
	struct connection ring[OPEN_MAX];
	size_t first, count;
	struct sockaddr_storage target;
	socklen_t target_len;
	unsigned int sources, tried, opened, answered;
	uint8_t hello[2048], garbage[1024];
	size_t hello_len;
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

static usec_t now_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (usec_t)time.tv_sec * USEC_PER_SEC + (usec_t)time.tv_nsec / 1000;
}

static void hello_record(struct strangers *strangers, uint8_t number)
{
	static struct identity identity;
	struct session_options options = {
		.identity = &identity, .dialer = true, .epoch = 1, .versions = VERSION_RANGE};
	struct session *session;

	fixture_now(number, &identity);
	if (session_new(&options, &session) < 0)
		abort();
	strangers->hello_len = session_output(session, strangers->hello, sizeof(strangers->hello));
	session_free(session);
	for (size_t i = 0; i < sizeof(strangers->garbage); i++)
		strangers->garbage[i] = (uint8_t)rand();
}

static void close_first(struct strangers *strangers)
{
	struct connection *connection = &strangers->ring[strangers->first % OPEN_MAX];
	uint8_t data[2048];

	strangers->answered += recv(connection->fd, data, sizeof(data), MSG_DONTWAIT) > 0;
	close(connection->fd);
	strangers->first++;
	strangers->count--;
}

static void open_one(struct strangers *strangers, usec_t now)
{
	unsigned int i = strangers->tried++;
	uint32_t source = (198u << 24 | 18u << 16) + 1 + i % strangers->sources;
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htobe32(source)};
	struct connection connection = {
		.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
		.kind = (enum kind)((i / strangers->sources + i) % KINDS),
		.since = now,
	};

	if (connection.fd < 0 || bind(connection.fd, (struct sockaddr *)&own, sizeof(own)) < 0 ||
	    (connect(connection.fd, (struct sockaddr *)&strangers->target, strangers->target_len) <
		     0 &&
	     errno != EINPROGRESS)) {
		close(connection.fd);
		return;
	}
	strangers->opened++;
	if (strangers->count == OPEN_MAX)
		close_first(strangers);
	strangers->ring[(strangers->first + strangers->count++) % OPEN_MAX] = connection;
}

static void speak(struct strangers *strangers, struct connection *connection, usec_t now)
{
	const uint8_t *data = connection->kind == GARBAGE ? strangers->garbage : strangers->hello;
	size_t len = connection->kind == GARBAGE   ? sizeof(strangers->garbage)
		     : connection->kind == REPLAYS ? strangers->hello_len
						   : 1;

	if (connection->kind == SILENT || now < connection->next ||
	    (connection->said && connection->kind != DRIPS))
		return;
	if (send(connection->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		connection->said = true;
	connection->next = now + (connection->kind == DRIPS ? DRIP : TICK);
}

int main(int argc, char **argv)
{
	const struct rlimit files = {OPEN_MAX + 100, OPEN_MAX + 100};
	static struct strangers strangers;
	char text[ENDPOINT_TEXT];
	struct endpoint target;
	usec_t begin, end;
	uint64_t rate;

	if (argc != 7)
		return 2;
	snprintf(text, sizeof(text), "%s:%s", argv[1], argv[2]);
	if (endpoint_parse(text, &target) < 0)
		return 2;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
		perror("setrlimit");
		return 1;
	}
	strangers.target_len = endpoint_to_sockaddr(&target, &strangers.target);
	rate = strtoull(argv[3], NULL, 10);
	strangers.sources = (unsigned int)atoi(argv[5]);
	hello_record(&strangers, (uint8_t)atoi(argv[6]));
	signal(SIGTERM, stop);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("{\"event\": \"begun\"}\n");
	begin = now_us();
	end = begin + strtoull(argv[4], NULL, 10) * USEC_PER_SEC;
	for (usec_t now = begin; now < end && !stopped; now = now_us()) {
		while (strangers.tried < (now - begin) * rate / USEC_PER_SEC)
			open_one(&strangers, now);
		while (strangers.count > 0 &&
		       strangers.ring[strangers.first % OPEN_MAX].since + HELD <= now)
			close_first(&strangers);
		for (size_t i = 0; i < strangers.count; i++)
			speak(&strangers, &strangers.ring[(strangers.first + i) % OPEN_MAX], now);
		usleep(TICK);
	}
	printf("{\"event\": \"done\", \"opened\": %u, \"answered\": %u}\n", strangers.opened,
	       strangers.answered);
	return 0;
}
