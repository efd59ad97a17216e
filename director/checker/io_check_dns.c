/* CHECK_DNS: a query by UDP, and again by TCP when the answer is cut. The server that is checked is
 * asked itself; no resolver of this host takes part. */
#include <sys/random.h>
#include <sys/socket.h>

#include "director/checker/dns_message.h"
#include "director/checker/io_checker_private.h"

#define READS 16 /* datagrams of one turn: forged ones are passed over */
#define ANSWER_MAX 4096
#define PREFIX 2 /* by TCP, a message comes after its length */

struct dns_run {
	struct checker_run run;
	size_t query_len, sent, received;
	uint8_t query[PREFIX + DNS_QUERY_MAX]; /* as TCP has it */
	uint8_t answer[PREFIX + ANSWER_MAX];
};

static void rcode_judge(struct dns_run *dns, int rcode)
{
	int wanted = dns->run.what.check->rcode;

	if (rcode == wanted)
		run_up(&dns->run, "answered %s", dns_message_rcode(rcode));
	else
		run_down(&dns->run, CHECK_CAUSE_ANSWER, "%s, expected %s", dns_message_rcode(rcode),
			 dns_message_rcode(wanted));
}

static void tcp_error(struct dns_run *dns, ssize_t len)
{
	if (len == 0)
		run_down(&dns->run, CHECK_CAUSE_BROKEN_OFF, "TCP: closed before the answer");
	else if (errno != EAGAIN && errno != EINTR)
		run_decide_errno(&dns->run, errno);
}

/* The answer is as long as its header says, or as much of it as tells the rcode. */
static void tcp_read(struct io_watch *watch, uint32_t events)
{
	struct dns_run *dns = container_of(watch, struct dns_run, run.watch);
	ssize_t len = recv(watch->fd, dns->answer + dns->received,
			   sizeof(dns->answer) - dns->received, 0);
	size_t whole;
	int rcode;

	(void)events;
	if (len <= 0) {
		tcp_error(dns, len);
		return;
	}
	dns->received += (size_t)len;
	if (dns->received < PREFIX)
		return;
	whole = PREFIX + MIN((size_t)load_be16(dns->answer), (size_t)ANSWER_MAX);
	if (dns->received < whole)
		return;
	rcode = dns_message_answer(dns->query + PREFIX, dns->query_len, dns->answer + PREFIX,
				   whole - PREFIX);
	if (rcode < 0)
		run_down(&dns->run, CHECK_CAUSE_GARBAGE, "TCP: no answer to the query");
	else
		rcode_judge(dns, rcode);
}

static void tcp_write(struct io_watch *watch, uint32_t events)
{
	struct dns_run *dns = container_of(watch, struct dns_run, run.watch);
	size_t left = PREFIX + dns->query_len - dns->sent;
	ssize_t len = send(watch->fd, dns->query + dns->sent, left, MSG_NOSIGNAL);

	(void)events;
	if (len <= 0) {
		tcp_error(dns, -1);
		return;
	}
	dns->sent += (size_t)len;
	if ((size_t)len < left)
		return;
	watch->ready = tcp_read;
	io_watch_change(&dns->run.checker->watches, watch, EPOLLIN);
}

static void tcp_begin(struct dns_run *dns)
{
	dns->run.awaited = "answer by TCP";
	io_watch_close(&dns->run.checker->watches, &dns->run.watch);
	store_be16(dns->query, (uint16_t)dns->query_len);
	run_connect(&dns->run, SOCK_STREAM, EPOLLOUT, tcp_write);
}

static void datagram_ready(struct io_watch *watch, uint32_t events)
{
	struct dns_run *dns = container_of(watch, struct dns_run, run.watch);
	ssize_t len;
	int rcode;

	(void)events;
	for (unsigned int i = 0; i < READS; i++) {
		len = recv(watch->fd, dns->answer, sizeof(dns->answer), 0);
		if (len < 0 && errno == ECONNREFUSED)
			run_down(&dns->run, CHECK_CAUSE_REFUSED, "port unreachable");
		else if (len < 0 && errno != EAGAIN && errno != EINTR)
			run_decide_errno(&dns->run, errno);
		if (len < 0)
			return;
		rcode = dns_message_answer(dns->query + PREFIX, dns->query_len, dns->answer,
					   (size_t)len);
		if (rcode == DNS_ANSWER_OTHER)
			continue;
		if (rcode == DNS_ANSWER_CUT)
			tcp_begin(dns);
		else
			rcode_judge(dns, rcode);
		return;
	}
}

static void begin(struct checker_run *run)
{
	struct dns_run *dns = container_of(run, struct dns_run, run);
	const struct check *check = run->what.check;
	uint16_t id;
	int len;

	if (getrandom(&id, sizeof(id), 0) < 0) {
		run_decide_errno(run, errno);
		return;
	}
	len = dns_message_query(check->name, check->qtype, id, dns->query + PREFIX);
	if (len < 0) {
		run_local(run, "not checked: \"%.60s\" is not a name of DNS", check->name);
		return;
	}
	dns->query_len = (size_t)len;
	if (!run_connect(run, SOCK_DGRAM, EPOLLIN, datagram_ready))
		return;
	if (send(run->watch.fd, dns->query + PREFIX, dns->query_len, MSG_NOSIGNAL) < 0)
		run_decide_errno(run, errno);
}

const struct checker_type checker_dns = {sizeof(struct dns_run), begin, NULL};
