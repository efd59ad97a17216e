/* CHECK_TCP: a connection, then perhaps bytes to send and bytes to expect. */
#include <stdlib.h>
#include <sys/socket.h>

#include "director/checker/io_checker_private.h"

#define ANSWER_MAX (16 * 1024) /* bytes in which the expected ones are searched */

struct tcp_run {
	struct checker_run run;
	size_t sent, received;
	uint8_t *answer; /* ANSWER_MAX bytes; NULL until some come */
};

static void answer_judge(struct tcp_run *tcp)
{
	const struct check *check = tcp->run.what.check;

	if (memmem(tcp->answer, tcp->received, check->expect, check->expect_len))
		run_up(&tcp->run, "answered as expected");
	else if (tcp->received == ANSWER_MAX)
		run_down(&tcp->run, CHECK_CAUSE_TOO_LONG,
			 "the first %d bytes of the answer do not hold the expected ones",
			 ANSWER_MAX);
}

static void answer_read(struct tcp_run *tcp)
{
	ssize_t len;

	if (!tcp->answer && !(tcp->answer = malloc(ANSWER_MAX))) {
		run_decide_errno(&tcp->run, ENOMEM);
		return;
	}
	len = recv(tcp->run.watch.fd, tcp->answer + tcp->received, ANSWER_MAX - tcp->received, 0);
	if (len < 0 && errno != EAGAIN && errno != EINTR) {
		run_decide_errno(&tcp->run, errno);
	} else if (len == 0) {
		if (tcp->received)
			run_down(&tcp->run, CHECK_CAUSE_ANSWER,
				 "the answer does not hold the expected bytes");
		else
			run_down(&tcp->run, CHECK_CAUSE_BROKEN_OFF, "closed without an answer");
	} else if (len > 0) {
		tcp->received += (size_t)len;
		answer_judge(tcp);
	}
}

static void answer_ready(struct io_watch *watch, uint32_t events)
{
	(void)events;
	answer_read(container_of(watch, struct tcp_run, run.watch));
}

static void send_ready(struct io_watch *watch, uint32_t events)
{
	struct tcp_run *tcp = container_of(watch, struct tcp_run, run.watch);
	const struct check *check = tcp->run.what.check;
	ssize_t len;

	(void)events;
	if (tcp->sent < check->send_len) {
		len = send(watch->fd, check->send + tcp->sent, check->send_len - tcp->sent,
			   MSG_NOSIGNAL);
		if (len < 0 && errno != EAGAIN && errno != EINTR)
			run_decide_errno(&tcp->run, errno);
		if (len <= 0)
			return;
		tcp->sent += (size_t)len;
		if (tcp->sent < check->send_len)
			return;
	}
	if (!check->expect_len) {
		run_up(&tcp->run, "connected, and took the bytes");
		return;
	}
	watch->ready = answer_ready;
	tcp->run.awaited = "expected answer";
	io_watch_change(&tcp->run.checker->watches, watch, EPOLLIN);
}

static void connected(struct io_watch *watch, uint32_t events)
{
	struct tcp_run *tcp = container_of(watch, struct tcp_run, run.watch);
	const struct check *check = tcp->run.what.check;
	int error = events & (EPOLLERR | EPOLLHUP) ? run_socket_error(&tcp->run) : 0;

	/* ECONNRESET: after the handshake, else it were ECONNREFUSED. A check for the handshake
	 * alone does not depend on whether the reset comes before we look. */
	if (error == ECONNRESET && !check->send_len && !check->expect_len)
		error = 0;
	if (error) {
		run_decide_errno(&tcp->run, error);
	} else if (!check->send_len && !check->expect_len) {
		run_up(&tcp->run, "connected");
	} else {
		tcp->run.awaited = "answer";
		watch->ready = send_ready;
		send_ready(watch, events);
	}
}

static void begin(struct checker_run *run)
{
	run->awaited = "connection";
	run_connect(run, SOCK_STREAM, 0, EPOLLOUT, connected);
}

static void end(struct checker_run *run)
{
	free(container_of(run, struct tcp_run, run)->answer);
}

const struct checker_type checker_tcp = {sizeof(struct tcp_run), begin, end};
