/* The sockets of checks: how they are made, and what their errors mean. */
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "director/checker/io_checker_private.h"

static const struct ip_addr *source_of(const struct checker_run *run)
{
	return run->what.source.family ? &run->what.source : &run->what.check->source;
}

/* The address of the source may be missing here, or its ports may be used up. */
static void source_decide(struct checker_run *run, int error)
{
	char text[IP_ADDR_TEXT];
	const struct ip_addr *source = source_of(run);

	if (source->family)
		run_local(run, "not checked: the source address %s: %s",
			  ip_addr_format(source, text), strerror(error));
	else
		run_local(run, "not checked: there is no source address or port for it");
}

void run_decide_errno(struct checker_run *run, int error)
{
	switch (error) {
	case ECONNREFUSED:
		run_down(run, CHECK_CAUSE_REFUSED, "connection refused");
		break;
	case EHOSTUNREACH:
		run_down(run, CHECK_CAUSE_UNREACHABLE, "host unreachable");
		break;
	case ENETUNREACH:
		run_down(run, CHECK_CAUSE_UNREACHABLE, "network unreachable");
		break;
	case ENETDOWN:
	case EHOSTDOWN:
		run_down(run, CHECK_CAUSE_UNREACHABLE, "network or host down");
		break;
	case ECONNRESET:
	case EPIPE:
		run_down(run, CHECK_CAUSE_BROKEN_OFF, "reset before the %s", run->awaited);
		break;
	case ETIMEDOUT:
		run_down(run, CHECK_CAUSE_TIMEOUT, "no %s", run->awaited);
		break;
	case EPROTO:
	case ENOPROTOOPT:
		run_down(run, CHECK_CAUSE_REFUSED, "ICMP: protocol unreachable");
		break;
	case EADDRNOTAVAIL:
		source_decide(run, error);
		break;
	case EMFILE:
	case ENFILE:
		run_local(run, "not checked: no descriptor is left: raise LimitNOFILE");
		break;
	case EPERM:
	case EACCES:
		run_local(
			run,
			"not checked: a local packet filter or a missing privilege forbids it: %s",
			strerror(error));
		break;
	default:
		run_local(run, "not checked: %s", strerror(error));
	}
}

static int mark_set(const struct checker_run *run, int fd)
{
	uint32_t mark = run->what.mark ? run->what.mark : run->what.check->mark;

	return mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ? -errno : 0;
}

static int source_set(const struct checker_run *run, int fd)
{
	const struct endpoint source = {.ip = *source_of(run)};
	struct sockaddr_storage address;
	socklen_t len;
	const int on = 1;

	if (!source.ip.family)
		return 0;
	/* the port is chosen by connect(), for that target alone: so a source has 28,000 ports a
	 * target, not 28,000 for all of them */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	len = endpoint_to_sockaddr(&source, &address);
	return bind(fd, (struct sockaddr *)&address, len) < 0 ? -errno : 0;
}

int run_socket_set(const struct checker_run *run, int fd, uint8_t family, int type)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	const int on = 1;
	int r = mark_set(run, fd);

	if (r == 0)
		r = source_set(run, fd);
	if (r < 0)
		return r;
	if (type == SOCK_STREAM)
		return setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0 ? -errno
											: 0;
	/* ICMP errors of every kind are told at once */
	r = family == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on))
			       : setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	return r < 0 ? -errno : 0;
}

bool run_connect_socket(struct checker_run *run, int fd, int type, uint32_t events,
			void (*ready)(struct io_watch *watch, uint32_t events))
{
	struct sockaddr_storage address;
	socklen_t len = endpoint_to_sockaddr(&run->what.endpoint, &address);
	int r = run_socket_set(run, fd, run->what.endpoint.ip.family, type);

	if (r == 0 && connect(fd, (struct sockaddr *)&address, len) < 0 && errno != EINPROGRESS)
		r = -errno;
	if (r == 0)
		r = io_watch_start(&run->checker->watches, &run->watch, fd, events, ready);
	if (r == 0)
		return true;
	close(fd);
	run_decide_errno(run, -r);
	return false;
}

bool run_connect(struct checker_run *run, int type, uint32_t events,
		 void (*ready)(struct io_watch *watch, uint32_t events))
{
	int fd = socket(run->what.endpoint.ip.family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		return run_connect_socket(run, fd, type, events, ready);
	run_decide_errno(run, errno);
	return false;
}

int run_socket_error(const struct checker_run *run)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(run->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return errno;
	return error;
}
