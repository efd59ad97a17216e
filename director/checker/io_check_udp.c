/* CHECK_UDP: a datagram, and one that must come back. Silence is not health. */
#include <sys/socket.h>

#include "director/checker/io_checker_private.h"

#define DATAGRAM_MAX 65536

static void answer_ready(struct io_watch *watch, uint32_t events)
{
	struct checker_run *run = container_of(watch, struct checker_run, watch);
	const struct check *check = run->what.check;
	static uint8_t answer[DATAGRAM_MAX];
	ssize_t len = recv(watch->fd, answer, sizeof(answer), 0);

	(void)events;
	if (len < 0 && errno == ECONNREFUSED)
		run_down(run, CHECK_CAUSE_REFUSED, "port unreachable");
	else if (len < 0 && errno != EAGAIN && errno != EINTR)
		run_decide_errno(run, errno);
	if (len < 0)
		return;
	if (!check->expect_len || memmem(answer, (size_t)len, check->expect, check->expect_len))
		run_up(run, "answered as expected");
	else
		run_down(run, CHECK_CAUSE_ANSWER, "the answer does not hold the expected bytes");
}

static void begin(struct checker_run *run)
{
	const struct check *check = run->what.check;

	if (!run_connect(run, SOCK_DGRAM, EPOLLIN, answer_ready))
		return;
	if (send(run->watch.fd, check->send, check->send_len, MSG_NOSIGNAL) < 0)
		run_decide_errno(run, errno);
}

const struct checker_type checker_udp = {sizeof(struct checker_run), begin, NULL};
