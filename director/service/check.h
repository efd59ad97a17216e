/* How a real server is checked, and what follows from the verdict on it, as the configuration says
 * it. Plain values; the configuration owns them, and a service or a real server borrows them: they
 * live as long as their struct config (config_ref()). Real servers whose checks are alike share
 * one. */
#ifndef DIRECTOR_SERVICE_CHECK_H
#define DIRECTOR_SERVICE_CHECK_H

#include "proto/endpoint.h"

enum check_type {
	CHECK_TCP,   /* connect; then send and expect, if they are set */
	CHECK_HTTP,  /* a request, by libcurl */
	CHECK_HTTPS, /* the same over TLS */
	CHECK_GRPC,  /* grpc.health.v1.Health/Check */
	CHECK_DNS,   /* a query by UDP, by TCP when the answer is cut */
	CHECK_UDP,   /* a payload, and a reply that is required; ICMP unreachable is down */
	CHECK_PING,  /* an ICMP or ICMPv6 echo, by a datagram socket */
	CHECK_EXEC,  /* a program: exit status 0 up, 1 down, other: as it was, and told */
	CHECK_AGENT, /* a line of TCP, as HAProxy's agent-check */
	CHECK_TYPES,
};

enum check_via {
	CHECK_VIA_ADDRESS,    /* the real server's own address */
	CHECK_VIA_FORWARDING, /* VIP:port, through the real server's forwarding method */
};

struct check_range {
	uint16_t first, last;
};

#define CHECK_STATUSES_MAX 16
#define CHECK_TEXT_MAX 4096 /* bytes of send, expect, body match */
#define CHECK_DIGEST_SIZE 16

struct check {
	/* A hash of all other fields but the source, which is each director's own: alike on all
	 * directors, checks that differ have different ones. */
	uint8_t digest[CHECK_DIGEST_SIZE];
	enum check_type type;
	enum check_via via;
	struct ip_addr address;  /* family 0: the real server's */
	uint16_t port;           /* 0: the real server's, or the service's where that is 0 */
	usec_t interval;         /* from one check's begin to the next one's */
	usec_t fast_interval;    /* while undecided: between the first result that differs from the
				    present state and fall or rise of them; at most interval */
	usec_t timeout;          /* of the whole check, names and TLS included; at most interval */
	unsigned int fall, rise; /* results in a row */
	unsigned int jitter;     /* %: each interval is shortened by up to so much */
	struct ip_addr source;   /* family 0: the kernel chooses */
	uint32_t mark;           /* SO_MARK; 0: none */
	/* tcp, udp (a payload of no bytes is possible), agent (no expect); NULL: none. expect is
	 * found in the answer anywhere */
	uint8_t *send, *expect;
	size_t send_len, expect_len;
	/* http, https, grpc */
	char *method, *path;
	char *host;     /* Host header; NULL: the address */
	char **headers; /* "Name: value"; NULL behind the last; NULL: none */
	struct check_range statuses[CHECK_STATUSES_MAX];
	unsigned int n_statuses;
	char *body;      /* to be found in the body; NULL: any body */
	size_t body_max; /* bytes that are read of it, at most */
	unsigned int redirects_max;
	bool verify;        /* the certificate, its name included */
	char *ca;           /* a file of certificates; NULL: the system's */
	char *sni;          /* NULL: host */
	bool http2;         /* by prior knowledge without TLS, by ALPN with it */
	bool tls;           /* grpc: over TLS */
	char *grpc_service; /* NULL: the server as a whole */
	/* dns */
	char *name;
	uint16_t qtype; /* 1 A, 28 AAAA, ... */
	uint8_t rcode;  /* that is up */
	/* exec: the program and its arguments; NULL behind the last */
	char **command;
};

enum health_on_down {
	HEALTH_WEIGHT_ZERO, /* its connections go on, if they can */
	HEALTH_REMOVE,
};

enum health_all_down {
	HEALTH_FAIL_OPEN, /* all are kept, as if they were up */
	HEALTH_FAIL_CLOSED,
};

void check_free(struct check *check);

/* Fills in the digest. */
void check_digest_make(struct check *check);

/* Within this time after a real server dies, its checker has decided: every check up to then hangs
 * until its timeout, and jitter shortens no interval. */
usec_t check_detection(const struct check *check);

/* "tcp", "http"...; "address" or "forwarding"; "?" for any other number. */
const char *check_type_name(enum check_type type);
const char *check_via_name(enum check_via via);

/* A service's policies. */
struct health_policy {
	unsigned int checkers; /* directors that check each real server; 0: all */
	enum health_on_down on_down;
	bool end_connections; /* of a real server that goes down, at once */
	unsigned int
		panic_threshold; /* %: when more are down, but not all, all are kept; 100: never */
	enum health_all_down all_down;
	usec_t slow_start; /* 0: none: a real server that comes up has its weight at once */
	/* Real servers that are up: below the quorum the service is down, 0: never; it is up again
	 * at quorum + quorum_hysteresis. */
	unsigned int quorum, quorum_hysteresis;
};

/* A service's whose configuration says nothing. */
extern const struct health_policy health_policy_default;

bool health_policy_same(const struct health_policy *a, const struct health_policy *b);

#endif
