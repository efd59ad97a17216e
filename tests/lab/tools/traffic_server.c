#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "traffic.h"

/* One request is read and answered before the next one is read. */
struct conn {
	int fd;
	bool listens;
	bool writing; /* what epoll waits for */
	unsigned char request[REQUEST_LEN];
	size_t request_len;
	const unsigned char *answer; /* NULL: the pattern */
	uint64_t answer_len;
	uint64_t answer_done;
};

static int epoll_fd;

static bool watch(struct conn *c, int op, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = c};

	return !epoll_ctl(epoll_fd, op, c->fd, &event);
}

static bool listen_on(uint16_t port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct conn *c = calloc(1, sizeof(*c));
	int on = 1;

	if (!c)
		return false;
	c->listens = true;
	c->fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(c->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return c->fd >= 0 && !bind(c->fd, (struct sockaddr *)&any, sizeof(any)) &&
	       !listen(c->fd, 65535) && watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void conn_accept(const struct conn *listener)
{
	struct conn *c;
	int fd;

	while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		c = calloc(1, sizeof(*c));
		if (!c)
			abort();
		c->fd = fd;
		watch(c, EPOLL_CTL_ADD, EPOLLIN);
	}
}

/* False: the connection is over. */
static bool request_begin(struct conn *c)
{
	struct request r;
	unsigned int rate;

	memcpy(&r, c->request, sizeof(r));
	c->answer_done = 0;
	switch (r.kind) {
	case REQUEST_ECHO:
		c->answer = c->request;
		c->answer_len = REQUEST_LEN;
		return true;
	case REQUEST_STREAM:
		rate = r.rate ? r.rate : ~0u;
		c->answer = NULL;
		c->answer_len = r.value;
		return !setsockopt(c->fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
	default:
		return false;
	}
}

/* 1: go on, 0: wait until the socket is ready, -1: over. */
static int answer_write(struct conn *c)
{
	const unsigned char *from = c->answer ? c->answer + c->answer_done
					      : pattern() + c->answer_done % PATTERN_PERIOD;
	uint64_t left = c->answer_len - c->answer_done;
	size_t n =
		left < PATTERN_LEN - PATTERN_PERIOD ? (size_t)left : PATTERN_LEN - PATTERN_PERIOD;
	ssize_t written = send(c->fd, from, n, MSG_NOSIGNAL);

	if (written < 0)
		return errno == EAGAIN ? 0 : -1;
	c->answer_done += (uint64_t)written;
	return 1;
}

static int request_read(struct conn *c)
{
	ssize_t n = read(c->fd, c->request + c->request_len, REQUEST_LEN - c->request_len);

	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	if (n == 0)
		return -1;
	c->request_len += (size_t)n;
	if (c->request_len < REQUEST_LEN)
		return 1;
	c->request_len = 0;
	return request_begin(c) ? 1 : -1;
}

static void conn_ready(struct conn *c)
{
	bool writing;
	int go_on = 1;

	while (go_on == 1) {
		writing = c->answer_done < c->answer_len;
		go_on = writing ? answer_write(c) : request_read(c);
		if (go_on == 0 && writing != c->writing) {
			c->writing = writing;
			watch(c, EPOLL_CTL_MOD, writing ? EPOLLOUT : EPOLLIN);
		}
	}
	if (go_on < 0) {
		close(c->fd);
		free(c);
	}
}

int server_main(int argc, char **argv)
{
	struct rlimit files = {1048576, 1048576};
	struct epoll_event events[256];
	struct conn *c;
	int i, n;

	setrlimit(RLIMIT_NOFILE, &files);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (i = 1; i < argc; i++) {
		if (!listen_on((uint16_t)atoi(argv[i]))) {
			fprintf(stderr, "traffic server: port %s: %s\n", argv[i], strerror(errno));
			return 1;
		}
	}
	puts("{\"event\": \"ready\"}");
	fflush(stdout);

	for (;;) {
		n = epoll_wait(epoll_fd, events, 256, -1);
		for (i = 0; i < n; i++) {
			c = events[i].data.ptr;
			if (c->listens)
				conn_accept(c);
			else
				conn_ready(c);
		}
	}
}
