/* CHECK_TCP: a connection, then perhaps bytes to send and bytes to expect. CHECK_AGENT: the same,
 * and the answer is an agent's line. */
#include <stdlib.h>
#include <sys/socket.h>

#include "director/checker/agent_line.h"
#include "director/checker/io_checker_private.h"

#define ANSWER_MAX (16 * 1024) /* bytes in which the expected ones are searched */
#define LINE_MAX_READ 1024     /* of an agent */

struct tcp_run {
	struct checker_run run;
	/* Judges the bytes received so far; ended: no more will come. Decides, or waits for more.
	 */
	void (*judge)(struct tcp_run *tcp, bool ended);
	size_t answer_max;
	size_t sent, received;
	uint8_t *answer; /* answer_max bytes; NULL until some come */
};

static void expected_judge(struct tcp_run *tcp, bool ended)
{
	const struct check *check = tcp->run.what.check;

	if (memmem(tcp->answer, tcp->received, check->expect, check->expect_len))
		run_up(&tcp->run, "answered as expected");
	else if (ended)
		run_down(&tcp->run, CHECK_CAUSE_ANSWER,
			 "the answer does not hold the expected bytes");
	else if (tcp->received == ANSWER_MAX)
		run_down(&tcp->run, CHECK_CAUSE_TOO_LONG,
			 "the first %d bytes of the answer do not hold the expected ones",
			 ANSWER_MAX);
}

/* Quotes the line, at most as much of it as a reason holds. */
static void line_judge(struct tcp_run *tcp, bool ended)
{
	struct check_result *result = &tcp->run.result;
	const char *line = (const char *)tcp->answer, *end = memchr(line, '\n', tcp->received);
	size_t len = end ? (size_t)(end - line) : tcp->received;
	int quoted;

	if (!end && !ended && tcp->received == LINE_MAX_READ)
		run_decide(&tcp->run, CHECK_UNCHANGED, CHECK_CAUSE_TOO_LONG,
			   "the agent's line is longer than %d bytes", LINE_MAX_READ);
	if (!end && !ended)
		return;
	while (len > 0 && line[len - 1] == '\r')
		len--;
	quoted = (int)MIN(len, (size_t)CHECK_REASON_MAX);
	if (agent_line_parse(line, len, result) < 0)
		run_decide(&tcp->run, CHECK_UNCHANGED, CHECK_CAUSE_GARBAGE,
			   "the agent's line is not understood: \"%.*s\"", quoted, line);
	else
		run_decide(&tcp->run, result->state,
			   result->state == CHECK_DOWN ? CHECK_CAUSE_ANSWER : CHECK_CAUSE_OK,
			   "the agent says \"%.*s\"", quoted, line);
}

static void answer_read(struct tcp_run *tcp)
{
	ssize_t len;

	if (!tcp->answer && !(tcp->answer = malloc(tcp->answer_max))) {
		run_decide_errno(&tcp->run, ENOMEM);
		return;
	}
	len = recv(tcp->run.watch.fd, tcp->answer + tcp->received, tcp->answer_max - tcp->received,
		   0);
	if (len < 0 && errno != EAGAIN && errno != EINTR)
		run_decide_errno(&tcp->run, errno);
	else if (len == 0 && !tcp->received)
		run_down(&tcp->run, CHECK_CAUSE_BROKEN_OFF, "closed without an answer");
	else if (len >= 0) {
		tcp->received += (size_t)len;
		tcp->judge(tcp, len == 0);
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
	if (!tcp->judge) {
		run_up(&tcp->run, "connected, and took the bytes");
		return;
	}
	watch->ready = answer_ready;
	tcp->run.awaited = tcp->judge == line_judge ? "whole line" : "expected answer";
	io_watch_change(&tcp->run.checker->watches, watch, EPOLLIN);
}

static void connected(struct io_watch *watch, uint32_t events)
{
	struct tcp_run *tcp = container_of(watch, struct tcp_run, run.watch);
	const struct check *check = tcp->run.what.check;
	int error = events & (EPOLLERR | EPOLLHUP) ? run_socket_error(&tcp->run) : 0;

	/* ECONNRESET: after the handshake, else it were ECONNREFUSED. A check for the handshake
	 * alone does not depend on whether the reset comes before we look. */
	if (error == ECONNRESET && !check->send_len && !tcp->judge)
		error = 0;
	if (error) {
		run_decide_errno(&tcp->run, error);
	} else if (!check->send_len && !tcp->judge) {
		run_up(&tcp->run, "connected");
	} else {
		tcp->run.awaited = "answer";
		watch->ready = send_ready;
		send_ready(watch, events);
	}
}

static void begin(struct checker_run *run)
{
	struct tcp_run *tcp = container_of(run, struct tcp_run, run);

	if (run->what.check->expect_len)
		tcp->judge = expected_judge;
	tcp->answer_max = ANSWER_MAX;
	run->awaited = "connection";
	run_connect(run, SOCK_STREAM, EPOLLOUT, connected);
}

static void agent_begin(struct checker_run *run)
{
	struct tcp_run *tcp = container_of(run, struct tcp_run, run);

	tcp->judge = line_judge;
	tcp->answer_max = LINE_MAX_READ;
	run->awaited = "connection";
	run_connect(run, SOCK_STREAM, EPOLLOUT, connected);
}

static void end(struct checker_run *run)
{
	free(container_of(run, struct tcp_run, run)->answer);
}

const struct checker_type checker_tcp = {sizeof(struct tcp_run), begin, end};
const struct checker_type checker_agent = {sizeof(struct tcp_run), agent_begin, end};
