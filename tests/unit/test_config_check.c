/* Checks of real servers, and what follows from their verdicts, as the configuration says it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/config/config.h"
#include "director/config/config_digest.h"

#define HEAD                                                                                       \
	"node: {name: d1}\ncluster: {listen: ['192.0.2.11:7946']}\nservices:\n- name: web\n"       \
	"  address: 203.0.113.10:443\n"
#define REALS                                                                                      \
	"  real-servers:\n  - {address: 10.1.0.21:443}\n  - {address: 10.1.0.22:443}\n"            \
	"  - {address: 10.1.0.23:443}\n"

static struct config *parse(const char *text)
{
	struct config_error error;
	struct config *config = NULL;

	if (config_parse(text, strlen(text), "x", &config, &error) < 0)
		fail_msg("%s", error.text);
	return config;
}

/* The check of the first real server of a service with these keys. */
static const struct check *parse_check(const char *keys, struct config **ret_config)
{
	char text[1024];

	snprintf(text, sizeof(text), HEAD "  check: {%s}\n" REALS, keys);
	*ret_config = parse(text);
	return (*ret_config)->services.services[0].real_servers[0].check;
}

static void test_defaults(void **state)
{
	struct config *config;
	const struct check *check = parse_check("type: tcp", &config);

	(void)state;
	assert_int_equal(check->type, CHECK_TCP);
	assert_int_equal(check->via, CHECK_VIA_ADDRESS);
	assert_int_equal(check->address.family, 0);
	assert_int_equal(check->source.family, 0);
	assert_int_equal(check->port, 0);
	assert_int_equal(check->interval, USEC_PER_SEC);
	assert_int_equal(check->fast_interval, USEC_PER_SEC / 2);
	assert_int_equal(check->timeout, USEC_PER_SEC / 2);
	assert_int_equal(check->fall, 3);
	assert_int_equal(check->rise, 2);
	assert_int_equal(check->jitter, 10);
	assert_int_equal(check->mark, 0);
	assert_null(check->send);
	assert_null(check->expect);
	/* A silent real server is found out within 3 s. */
	assert_int_equal(check_detection(check), 2500 * USEC_PER_MSEC);
	config_free(config);

	/* Shorter intervals shorten the other defaults. */
	check = parse_check("type: ping, interval: 200ms, jitter: 0%, fall: 1", &config);
	assert_int_equal(check->fast_interval, 200 * USEC_PER_MSEC);
	assert_int_equal(check->timeout, 200 * USEC_PER_MSEC);
	assert_int_equal(check_detection(check), 400 * USEC_PER_MSEC);
	config_free(config);

	config = parse(HEAD REALS);
	assert_null(config->services.services[0].real_servers[0].check);
	assert_int_equal(config->checks.count, 0);
	assert_true(
		health_policy_same(&config->services.services[0].health, &health_policy_default));
	config_free(config);
}

static void test_common_keys(void **state)
{
	struct config *config;
	const struct check *check = parse_check(
		"type: tcp, address: 127.0.0.1, port: 8080, interval: 3s, fast-interval: 1s, "
		"timeout: 2s, fall: 5, rise: 4, jitter: 50%, source: 192.0.2.11, mark: 4294967295, "
		"send: \"QUIT\\r\\n\", expect-hex: 0d0aFF00",
		&config);
	static const uint8_t expected[] = {0x0d, 0x0a, 0xff, 0x00};
	char text[ENDPOINT_TEXT];

	(void)state;
	assert_string_equal(ip_addr_format(&check->address, text), "127.0.0.1");
	assert_string_equal(ip_addr_format(&check->source, text), "192.0.2.11");
	assert_int_equal(check->port, 8080);
	assert_int_equal(check->interval, 3 * USEC_PER_SEC);
	assert_int_equal(check->fast_interval, USEC_PER_SEC);
	assert_int_equal(check->timeout, 2 * USEC_PER_SEC);
	assert_int_equal(check->fall, 5);
	assert_int_equal(check->rise, 4);
	assert_int_equal(check->jitter, 50);
	assert_int_equal(check->mark, UINT32_MAX);
	assert_int_equal(check->send_len, 6);
	assert_memory_equal(check->send, "QUIT\r\n", 6);
	assert_int_equal(check->expect_len, sizeof(expected));
	assert_memory_equal(check->expect, expected, sizeof(expected));
	/* Each repetition takes the timeout, which is longer than the longest fast-interval. */
	assert_int_equal(check_detection(check), (3000 + 4 * 2000 + 2000) * USEC_PER_MSEC);
	config_free(config);
}

static void test_http(void **state)
{
	struct config *config;
	const struct check *check = parse_check("type: http", &config);

	(void)state;
	assert_string_equal(check->method, "GET");
	assert_string_equal(check->path, "/");
	assert_null(check->host);
	assert_null(check->headers);
	assert_int_equal(check->n_statuses, 1);
	assert_int_equal(check->statuses[0].first, 200);
	assert_int_equal(check->statuses[0].last, 299);
	assert_null(check->body);
	assert_int_equal(check->body_max, 65536);
	assert_int_equal(check->redirects_max, 0);
	assert_false(check->http2);
	config_free(config);

	check = parse_check("type: https, method: POST, path: '/a?b=c', host: 'www:8443', headers: "
			    "['A: b', 'C:'], status: [200, 300-399], body: 'all ok', body-max: 7, "
			    "redirects: 2, http2: true, ca: /etc/ca.pem, sni: w.example",
			    &config);
	assert_string_equal(check->method, "POST");
	assert_string_equal(check->path, "/a?b=c");
	assert_string_equal(check->host, "www:8443");
	assert_string_equal(check->headers[0], "A: b");
	assert_string_equal(check->headers[1], "C:");
	assert_null(check->headers[2]);
	assert_int_equal(check->n_statuses, 2);
	assert_int_equal(check->statuses[0].last, 200);
	assert_int_equal(check->statuses[1].first, 300);
	assert_string_equal(check->body, "all ok");
	assert_int_equal(check->body_max, 7);
	assert_int_equal(check->redirects_max, 2);
	assert_true(check->http2);
	assert_true(check->verify);
	assert_string_equal(check->ca, "/etc/ca.pem");
	assert_string_equal(check->sni, "w.example");
	config_free(config);

	check = parse_check("type: https, verify: false", &config);
	assert_false(check->verify);
	config_free(config);
}

static void test_other_types(void **state)
{
	struct config *config;
	const struct check *check = parse_check("type: grpc, service: a.b, host: h", &config);

	(void)state;
	assert_string_equal(check->grpc_service, "a.b");
	assert_true(check->http2);
	assert_false(check->tls);
	assert_in_range(check->body_max, 1, SIZE_MAX);
	config_free(config);

	check = parse_check("type: grpc, tls: true, ca: /etc/ca.pem, sni: a.example", &config);
	assert_true(check->tls);
	assert_true(check->verify);
	assert_string_equal(check->ca, "/etc/ca.pem");
	assert_string_equal(check->sni, "a.example");
	config_free(config);

	check = parse_check("type: dns, name: _a.b-c.example., query-type: AAAA, rcode: nxdomain",
			    &config);
	assert_string_equal(check->name, "_a.b-c.example.");
	assert_int_equal(check->qtype, 28);
	assert_int_equal(check->rcode, 3);
	config_free(config);
	check = parse_check("type: dns, name: .", &config);
	assert_int_equal(check->qtype, 1);
	assert_int_equal(check->rcode, 0);
	config_free(config);

	check = parse_check("type: udp, payload: ''", &config);
	assert_non_null(check->send);
	assert_int_equal(check->send_len, 0);
	config_free(config);
	check = parse_check("type: udp, payload-hex: 00ff, expect: pong", &config);
	assert_memory_equal(check->send, "\0\xff", 2);
	assert_memory_equal(check->expect, "pong", 4);
	config_free(config);

	check = parse_check("type: exec, command: [/bin/check, '', a b], port: 5", &config);
	assert_string_equal(check->command[0], "/bin/check");
	assert_string_equal(check->command[1], "");
	assert_string_equal(check->command[2], "a b");
	assert_null(check->command[3]);
	config_free(config);

	check = parse_check("type: agent, port: 8081, send: x, via: forwarding", &config);
	assert_int_equal(check->via, CHECK_VIA_FORWARDING);
	assert_int_equal(check->port, 8081);
	config_free(config);
}

/* A fwmark has no VIP of its own, so the check names one; and nat has to go by the address. */
static void test_forwarding(void **state)
{
	struct config *config =
		parse("node: {name: d1}\ncluster: {listen: ['192.0.2.11:7946']}\nservices:\n"
		      "- name: a\n  fwmark: 7\n"
		      "  check: {type: tcp, via: forwarding, address: 203.0.113.9, port: 80}\n"
		      "  real-servers:\n  - {address: 10.1.0.21}\n"
		      "- name: b\n  address: 203.0.113.10:443\n"
		      "  check: {type: tcp, via: forwarding}\n  real-servers:\n"
		      "  - {address: 10.1.0.21:443}\n"
		      "  - {address: 10.1.0.22:443, forwarding: nat, check: {via: address}}\n");
	const struct service *services = config->services.services;

	(void)state;
	assert_int_equal(services[0].real_servers[0].check->via, CHECK_VIA_FORWARDING);
	assert_int_equal(services[0].real_servers[1].check->via, CHECK_VIA_ADDRESS);
	assert_int_equal(services[1].real_servers[0].check->address.family, AF_INET);
	config_free(config);
}

/* A real server's own keys come before its service's; keys that its type does not have are not
 * inherited, and of a text and its hexadecimal form its own is taken. */
static void test_inheritance(void **state)
{
	struct config *config =
		parse(HEAD "  check: {type: https, path: /healthz, interval: 4s, ca: /etc/ca.pem, "
			   "sni: www.example}\n"
			   "  real-servers:\n"
			   "  - {address: 10.1.0.21:443}\n"
			   "  - {address: 10.1.0.22:443, check: {path: /other}}\n"
			   "  - {address: 10.1.0.23:443, check: {type: tcp, send: a}}\n"
			   "  - {address: 10.1.0.24:443, check: off}\n"
			   "  - {address: 10.1.0.25:443, check: {verify: false}}\n"
			   "  - {address: 10.1.0.26:443, check: {}}\n"
			   "- name: text\n  address: 203.0.113.10:80\n"
			   "  check: {type: tcp, send: abc, expect-hex: 00}\n"
			   "  real-servers:\n"
			   "  - {address: 10.1.0.21:80, check: {send-hex: 0d, expect: x}}\n");
	const struct real_server *text = config->services.services[0].real_servers;
	const struct real_server *real = config->services.services[1].real_servers;

	(void)state;
	assert_string_equal(real[0].check->path, "/healthz");
	assert_string_equal(real[1].check->path, "/other");
	assert_int_equal(real[1].check->type, CHECK_HTTPS);
	assert_int_equal(real[1].check->interval, 4 * USEC_PER_SEC);
	assert_string_equal(real[1].check->sni, "www.example");
	assert_int_equal(real[2].check->type, CHECK_TCP);
	assert_int_equal(real[2].check->interval, 4 * USEC_PER_SEC);
	assert_null(real[2].check->path);
	assert_null(real[2].check->sni);
	assert_null(real[3].check);
	assert_false(real[4].check->verify);
	assert_null(real[4].check->ca);
	assert_ptr_equal(real[5].check, real[0].check);
	assert_int_equal(text[0].check->send_len, 1);
	assert_memory_equal(text[0].check->send, "\r", 1);
	assert_memory_equal(text[0].check->expect, "x", 1);
	config_free(config);

	/* Switched off for the service, or not there: a real server has its own. */
	config = parse(HEAD "  check: off\n  real-servers:\n  - {address: 10.1.0.21:443}\n"
			    "  - {address: 10.1.0.22:443, check: {type: ping}}\n");
	assert_null(config->services.services[0].real_servers[0].check);
	assert_int_equal(config->services.services[0].real_servers[1].check->type, CHECK_PING);
	config_free(config);
}

/* The source is no part of the digest, and yet a difference. */
static void test_sources(void **state)
{
	struct config *config =
		parse(HEAD "  check: {type: tcp}\n  real-servers:\n"
			   "  - {address: 10.1.0.21:443, check: {source: 10.1.0.1}}\n"
			   "  - {address: 10.1.0.22:443, check: {source: 10.1.0.2}}\n"
			   "  - {address: 10.1.0.23:443, check: {source: 10.1.0.1}}\n");
	const struct real_server *real = config->services.services[0].real_servers;

	(void)state;
	assert_int_equal(config->checks.count, 3);
	assert_int_equal(real[0].check->source.bytes[3], 1);
	assert_int_equal(real[1].check->source.bytes[3], 2);
	assert_ptr_equal(real[2].check, real[0].check);
	config_free(config);
}

/* Alike checks are one, whoever has them. */
static void test_shared(void **state)
{
	size_t cap = 1u << 20, len;
	char *text = malloc(cap);
	struct config *config;

	(void)state;
	len = (size_t)snprintf(text, cap,
			       "node: {name: d1}\ncluster: {listen: ['192.0.2.11:7946']}\n"
			       "services:\n");
	for (unsigned int i = 0; i < 50; i++) {
		len += (size_t)snprintf(text + len, cap - len,
					"- name: s%u\n  address: 203.0.113.%u:80\n"
					"  check: {type: http, path: /healthz}\n  real-servers:\n",
					i, i + 1);
		for (unsigned int j = 0; j < 100; j++)
			len += (size_t)snprintf(text + len, cap - len,
						"  - {address: 10.1.%u.%u:80, check: {port: %u}}\n",
						i, j + 1, 8000 + j);
	}
	config = parse(text);
	/* One for each port, and the one that no real server uses unchanged. */
	assert_int_equal(config->checks.count, 101);
	for (size_t i = 0; i < 50; i++) {
		const struct service *service = &config->services.services[i];

		for (size_t j = 0; j < 100; j++) {
			assert_int_equal(service->real_servers[j].check->port, 8000 + j);
			assert_ptr_equal(service->real_servers[j].check,
					 config->services.services[0].real_servers[j].check);
		}
	}
	config_free(config);
	free(text);
}

static void test_policies(void **state)
{
	struct config *config =
		parse(HEAD REALS "  scheduler: mh\n  checkers: all\n  on-down: remove\n"
				 "  connections-of-down: end\n  panic-threshold: 70%\n"
				 "  when-all-down: refuse\n  slow-start: 30s\n  quorum: 2\n"
				 "  quorum-hysteresis: 1\n  forwarding: tunnel\n"
				 "  tunnel: {type: gre}\n"
				 "  sorry-server: {address: 10.1.0.99:8443, forwarding: nat}\n");
	const struct service *service = &config->services.services[0];
	static const char *const others[] = {
		"",
		"  checkers: 5\n",
		"  panic-threshold: off\n",
		"  slow-start: 0s\n",
		"  sorry-server: {address: 10.1.0.99:443}\n",
		"  forwarding: tunnel\n  sorry-server: {address: 10.1.0.99:443}\n",
	};
	char text[ENDPOINT_TEXT];

	(void)state;
	assert_int_equal(service->health.checkers, 0);
	assert_int_equal(service->health.on_down, HEALTH_REMOVE);
	assert_true(service->health.end_connections);
	assert_int_equal(service->health.panic_threshold, 70);
	assert_int_equal(service->health.all_down, HEALTH_FAIL_CLOSED);
	assert_int_equal(service->health.slow_start, 30 * USEC_PER_SEC);
	assert_int_equal(service->health.quorum, 2);
	assert_int_equal(service->health.quorum_hysteresis, 1);
	assert_string_equal(endpoint_format(&service->sorry.endpoint, text), "10.1.0.99:8443");
	assert_int_equal(service->sorry.forwarding, FORWARDING_NAT);
	assert_int_equal(service->real_servers[0].tunnel, TUNNEL_GRE);
	config_free(config);

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		char lines[512];

		snprintf(lines, sizeof(lines), HEAD REALS "%s", others[i]);
		config = parse(lines);
		service = &config->services.services[0];
		assert_int_equal(service->health.checkers, i == 1 ? 5 : 3);
		assert_int_equal(service->health.panic_threshold, i == 2 ? 100 : 50);
		assert_int_equal(service->sorry.forwarding, i == 5   ? FORWARDING_TUNNEL
							    : i == 4 ? FORWARDING_DIRECT
								     : 0);
		config_free(config);
	}
}

/* Each key is part of the check's digest and of the configuration's: directors that differ in one
 * are told. */
static void test_digest(void **state)
{
	static const char *const cases[] = {
		"  check: {type: tcp}\n",
		"  check: {type: agent, port: 1}\n",
		"  check: {type: ping}\n",
		"  check: {type: tcp, via: forwarding}\n",
		"  check: {type: tcp, address: 10.1.0.1}\n",
		"  check: {type: tcp, port: 80}\n",
		"  check: {type: tcp, interval: 2s}\n",
		"  check: {type: tcp, fast-interval: 1s}\n",
		"  check: {type: tcp, timeout: 1s}\n",
		"  check: {type: tcp, fall: 2}\n",
		"  check: {type: tcp, rise: 3}\n",
		"  check: {type: tcp, jitter: 0%}\n",
		"  check: {type: tcp, mark: 1}\n",
		"  check: {type: tcp, send: a}\n",
		"  check: {type: tcp, send: b}\n",
		"  check: {type: tcp, expect: a}\n",
		"  check: {type: udp, payload: ''}\n",
		"  check: {type: http}\n",
		"  check: {type: http, method: HEAD}\n",
		"  check: {type: http, path: /a}\n",
		"  check: {type: http, host: a}\n",
		"  check: {type: http, headers: ['a:', 'b:']}\n",
		"  check: {type: http, headers: ['a:b:']}\n",
		"  check: {type: http, status: [200]}\n",
		"  check: {type: http, body: a}\n",
		"  check: {type: http, body-max: 5}\n",
		"  check: {type: http, redirects: 1}\n",
		"  check: {type: http, http2: true}\n",
		"  check: {type: https, host: a}\n",
		"  check: {type: https, host: a, verify: false}\n",
		"  check: {type: https, host: a, ca: /a}\n",
		"  check: {type: https, host: a, sni: a}\n",
		"  check: {type: grpc}\n",
		"  check: {type: grpc, service: a}\n",
		"  check: {type: grpc, tls: true, verify: false}\n",
		"  check: {type: dns, name: a}\n",
		"  check: {type: dns, name: b}\n",
		"  check: {type: dns, name: a, query-type: NS}\n",
		"  check: {type: dns, name: a, rcode: refused}\n",
		"  check: {type: exec, command: [/a, b]}\n",
		"  check: {type: exec, command: [/a, c]}\n",
		"",
		"  checkers: 2\n",
		"  on-down: remove\n",
		"  connections-of-down: end\n",
		"  panic-threshold: 51%\n",
		"  when-all-down: refuse\n",
		"  slow-start: 1s\n",
		"  quorum: 1\n",
		"  quorum: 1\n  quorum-hysteresis: 1\n",
		"  sorry-server: {address: 10.1.0.99:443}\n",
		"  sorry-server: {address: 10.1.0.99:443, forwarding: nat}\n",
	};
	uint64_t digests[ARRAY_SIZE(cases)];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config *config;
		char text[512];

		snprintf(text, sizeof(text), HEAD REALS "%s", cases[i]);
		config = parse(text);
		digests[i] = config_digest_number(config);
		assert_int_equal(config->checks.count, strstr(cases[i], "check:") ? 1 : 0);
		config_free(config);
		for (size_t j = 0; j < i; j++)
			if (digests[i] == digests[j])
				fail_msg("%s and %s have one digest", cases[i], cases[j]);
	}
}

/* Texts that say the same as another one. */
static void test_digest_alike(void **state)
{
	static const char *const cases[][2] = {
		{"  check: off\n", ""},
		{"  checkers: 3\n", ""},
		{"  check: {type: tcp, interval: 1000ms}\n",
		 "  check: {type: tcp, timeout: 500ms}\n"},
		{"  check: {type: tcp, send-hex: 61}\n", "  check: {type: tcp, send: a}\n"},
		/* Each director has its own. */
		{"  check: {type: tcp, source: 10.1.0.1}\n", "  check: {type: tcp}\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t digests[2];

		for (size_t j = 0; j < 2; j++) {
			struct config *config;
			char text[512];

			snprintf(text, sizeof(text), HEAD REALS "%s", cases[i][j]);
			config = parse(text);
			digests[j] = config_digest_number(config);
			config_free(config);
		}
		assert_int_equal(digests[0], digests[1]);
	}
}

/* Keys of a service of two real servers, and its warnings' beginnings; NULL: none. */
static const struct {
	const char *keys, *warning;
} warned[] = {
	{"scheduler: sh, scheduler-flags: [sh-fallback], real-servers: [{W1 200}, {W2 57}]",
	 "the scheduler sh has 256 buckets, and each real server takes as many as its weight, so "
	 "with weights of 257 in sum"},
	{"scheduler: sh, scheduler-flags: [sh-fallback], real-servers: [{W1 200}, {W2 56}]", NULL},
	{"scheduler: sh, real-servers: [{W1 1}, {W2 1}]", NULL},
	{"scheduler: sh, check: {type: tcp}, real-servers: [{W1 1}, {W2 1}]",
	 "without sh-fallback the scheduler sh refuses"},
	{"scheduler: sh, real-servers: [{W1 1}, {W2 0}]",
	 "without sh-fallback the scheduler sh refuses"},
	{"scheduler: sh, scheduler-flags: [sh-fallback], check: {type: tcp}, slow-start: 5s, "
	 "real-servers: [{W1 1}, {W2 1}]",
	 "with the scheduler sh each step of slow-start moves"},
	{"scheduler: mh, check: {type: tcp}, slow-start: 5s, real-servers: [{W1 1}, {W2 1}]",
	 "with the scheduler mh each step of slow-start moves"},
	{"scheduler: mh, check: {type: tcp}, real-servers: [{W1 1000}, {W2 1}]", NULL},
	{"scheduler: wlc, check: {type: tcp}, slow-start: 5s, real-servers: [{W1 1}, {W2 9}]",
	 NULL},
	{"scheduler: rr, real-servers: [{W1 100}, {W2 1}]",
	 "the scheduler rr ignores weights, so the real servers of weight 1 and 100 get the same "
	 "share; write scheduler: wrr"},
	{"scheduler: lc, real-servers: [{W1 2}, {W2 1}]",
	 "the scheduler lc ignores weights, so the real servers of weight 1 and 2 get the same "
	 "share; write scheduler: wlc"},
	{"scheduler: dh, real-servers: [{W1 2}, {W2 1}]",
	 "the scheduler dh ignores weights, so the real servers of weight 1 and 2 get the same "
	 "share; write scheduler: mh"},
	{"scheduler: rr, real-servers: [{W1 5}, {W2 5}]", NULL},
	{"scheduler: rr, real-servers: [{W1 5}, {W2 0}]", NULL},
	{"scheduler: lc, check: {type: agent, port: 1}, real-servers: [{W1 5}, {W2 5}]",
	 "the scheduler lc ignores weights, so an agent's percentage does nothing"},
	{"scheduler: fo, real-servers: [{W1 2}, {W2 1}]", NULL},
	{"scheduler: fo, real-servers: [{W1 2}, {W2 2}]",
	 "the scheduler fo sends everything to one real server, that of the highest weight, and 2 "
	 "have weight 2"},
	{"scheduler: fo, check: {type: agent, port: 1}, real-servers: [{W1 2}, {W2 1}]",
	 "the scheduler fo takes weights as ranks"},
	{"slow-start: 1s, real-servers: [{W1 1}, {W2 1}]", "slow-start does nothing while no"},
	{"panic-threshold: off, check: off, real-servers: [{W1 1}, {W2 1}]",
	 "panic-threshold does nothing while no"},
	{"connections-of-down: end, real-servers: [{W1 1}]", "connections-of-down does nothing"},
	{"check: {type: tcp, address: 10.1.0.9}, real-servers: [{W1 1}, {W2 1}]",
	 "with an address in the service's check all its real servers have one verdict"},
	{"check: {type: tcp, address: 10.1.0.9}, real-servers: [{W1 1}]", NULL},
	{"quorum: 1, when-all-down: refuse, real-servers: [{W1 1}]", NULL},
};

static void test_warnings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(warned); i++) {
		char text[1024], expected[512];
		const char *from = warned[i].keys;
		struct config *config;
		size_t len;

		len = (size_t)snprintf(text, sizeof(text),
				       "node: {name: d1}\ncluster: {listen: ['192.0.2.11:7946']}\n"
				       "services:\n- {name: web, address: '203.0.113.10:443', ");
		for (; *from; from++) {
			if (from[0] == 'W' && from > warned[i].keys && from[-1] == '{')
				len += (size_t)snprintf(
					text + len, sizeof(text) - len,
					"address: '10.1.0.%c:443', weight:", *++from);
			else
				text[len++] = *from;
		}
		snprintf(text + len, sizeof(text) - len, "}\n");
		config = parse(text);
		assert_int_equal(config->warnings.count, warned[i].warning ? 1 : 0);
		if (warned[i].warning) {
			snprintf(expected, sizeof(expected), "x:4: service web: %s",
				 warned[i].warning);
			assert_memory_equal(config->warnings.texts[0], expected, strlen(expected));
			assert_non_null(strstr(config->warnings.texts[0], "write "));
		}
		config_free(config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),     cmocka_unit_test(test_common_keys),
		cmocka_unit_test(test_http),         cmocka_unit_test(test_other_types),
		cmocka_unit_test(test_forwarding),   cmocka_unit_test(test_inheritance),
		cmocka_unit_test(test_shared),       cmocka_unit_test(test_sources),
		cmocka_unit_test(test_policies),     cmocka_unit_test(test_digest),
		cmocka_unit_test(test_digest_alike), cmocka_unit_test(test_warnings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
