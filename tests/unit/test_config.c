#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/config/config.h"
#include "director/config/config_digest.h"
#include "director/config/config_policy.h"
#include "tests/scratch.h"

#define NODE "node: {name: d1}\n"
#define HEAD NODE "cluster: {listen: ['192.0.2.11:7946']}\n"
/* One service, from line 4 on. */
#define SERVICE HEAD "services:\n- name: web\n"
#define WEB SERVICE "  address: 203.0.113.10:443\n"
#define REALS WEB "  real-servers:\n"

static struct config *parse(const char *text)
{
	struct config_error error;
	struct config *config = NULL;

	if (config_parse(text, strlen(text), "x", &config, &error) < 0)
		fail_msg("%s", error.text);
	return config;
}

static void assert_ip(const struct ip_addr *ip, const char *expected)
{
	char text[ENDPOINT_TEXT];

	assert_string_equal(ip_addr_format(ip, text), expected);
}

static void assert_key(const struct service *service, const char *expected)
{
	char text[SERVICE_TEXT];

	assert_string_equal(service_key_format(&service->key, text), expected);
}

static void test_defaults(void **state)
{
	struct config *config = parse(REALS "  - address: 10.1.0.21:443\n");
	const struct service *web = &config->services.services[0];

	(void)state;
	assert_string_equal(config->node_name, "d1");
	assert_string_equal(config->identity, "/etc/lvsmesh/identity");
	assert_string_equal(config->state, "/var/lib/lvsmesh");
	assert_string_equal(config->control, "/run/lvsmesh/lvsmesh.sock");
	assert_string_equal(config->vip_interface, "lvsmesh-vip");
	assert_string_equal(config->tap.interface, "lvsmesh-tap");
	assert_ip(&config->tap.local, "169.254.117.1");
	assert_ip(&config->tap.remote, "169.254.117.2");
	assert_int_equal(config->tap.prefix, 30);
	assert_int_equal(config->n_listen, 1);
	assert_int_equal(config->n_join, 0);
	assert_false(config->withdraw);
	assert_false(config->wait_alone);
	assert_false(config->fast);
	assert_int_equal(config->witness.family, 0);
	assert_int_equal(config->absence, 300 * USEC_PER_SEC);
	assert_int_equal(config->services.count, 1);
	assert_key(web, "tcp 203.0.113.10:443");
	assert_string_equal(web->scheduler, "wlc");
	assert_int_equal(web->flags, 0);
	assert_int_equal(web->persistence, 0);
	assert_int_equal(web->netmask, UINT32_MAX);
	assert_int_equal(web->n_real_servers, 1);
	assert_int_equal(web->real_servers[0].weight, 1);
	assert_int_equal(web->real_servers[0].forwarding, FORWARDING_DIRECT);
	config_free(config);
}

static void test_example(void **state)
{
	struct ip_addr vips[8];
	struct config_error error;
	struct config *config;
	const struct service *s;

	(void)state;
	if (config_load(getenv("EXAMPLE"), &config, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(config->n_join, 2);
	s = config->services.services;
	assert_int_equal(config->services.count, 6);

	assert_key(&s[0], "tcp 203.0.113.10:80");
	assert_int_equal(s[0].persistence, 300);
	assert_int_equal(s[0].netmask, 0xffffff00);
	assert_int_equal(s[0].real_servers[0].forwarding, FORWARDING_NAT);
	assert_int_equal(s[0].real_servers[0].endpoint.port, 8080);
	assert_int_equal(s[0].real_servers[2].forwarding, FORWARDING_DIRECT);
	assert_int_equal(s[0].real_servers[0].check->port, 8081);
	assert_int_equal(s[0].real_servers[1].check->port, 0);
	assert_int_equal(s[0].health.slow_start, 30 * USEC_PER_SEC);

	assert_key(&s[1], "tcp 203.0.113.10:443");
	assert_string_equal(s[1].scheduler, "mh");
	assert_int_equal(s[1].flags, SERVICE_FLAG_1 | SERVICE_FLAG_2);
	assert_int_equal(s[1].n_real_servers, 3);
	assert_int_equal(s[1].real_servers[2].upper_threshold, 20000);
	assert_int_equal(s[1].real_servers[0].check->type, CHECK_HTTPS);
	assert_int_equal(s[1].sorry.endpoint.port, 443);
	assert_int_equal(s[1].health.quorum, 1);

	assert_key(&s[2], "udp 203.0.113.53:53");
	assert_int_equal(s[2].flags, SERVICE_ONE_PACKET);
	assert_string_equal(s[2].real_servers[1].check->name, "www.example.com");

	assert_key(&s[3], "udp 203.0.113.60:5060");
	assert_string_equal(s[3].engine, "sip");

	assert_key(&s[4], "tcp [2001:db8:113::10]:443");
	assert_int_equal(s[4].netmask, 128);
	assert_int_equal(s[4].real_servers[1].tunnel, TUNNEL_GUE);
	assert_int_equal(s[4].real_servers[1].tunnel_port, 6080);
	assert_int_equal(s[4].real_servers[1].tunnel_flags, TUNNEL_CSUM);

	assert_key(&s[5], "fwmark 7");
	assert_int_equal(s[5].flags, SERVICE_FLAG_2);
	assert_int_equal(s[5].real_servers[0].endpoint.port, 0);

	assert_int_equal(service_set_vips(&config->services, vips, 8), 4);
	assert_ip(&vips[0], "203.0.113.10");
	assert_ip(&vips[3], "2001:db8:113::10");
	config_free(config);
}

static void test_cluster(void **state)
{
	struct config *config = parse(NODE "cluster:\n"
					   "  listen: ['192.0.2.11:7946', '[2001:db8::11]:7946']\n"
					   "  on-minority: withdraw\n"
					   "  on-alone: wait\n"
					   "  witness: 2001:db8::1\n"
					   "  profile: fast\n"
					   "  absence: 90s\n");

	(void)state;
	assert_int_equal(config->n_listen, 2);
	assert_true(config->withdraw);
	assert_true(config->wait_alone);
	assert_true(config->fast);
	assert_ip(&config->witness, "2001:db8::1");
	assert_int_equal(config->absence, 90 * USEC_PER_SEC);
	config_free(config);
}

static void test_canonical_order(void **state)
{
	struct config *config = parse(HEAD "services:\n"
					   "- {name: b, fwmark: 9, family: ipv4}\n"
					   "- {name: c, address: '[2001:db8::1]:80'}\n"
					   "- {name: d, address: 203.0.113.2:80, protocol: udp}\n"
					   "- {name: e, address: 203.0.113.2:80, real-servers: ["
					   "{address: 10.0.0.10:80}, {address: 10.0.0.9:80}]}\n"
					   "- {name: f, address: 203.0.113.1:81}\n");
	static const char *const names = "fedcb";

	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(config->services.services[i].name[0], names[i]);
	assert_ip(&config->services.services[1].real_servers[0].endpoint.ip, "10.0.0.9");
	for (size_t i = 0; i < 5; i++)
		assert_ptr_equal(
			service_set_find(&config->services, &config->services.services[i].key),
			&config->services.services[i]);
	config_free(config);
}

static void test_taken(void **state)
{
	static const struct {
		const char *lines;
		uint32_t persistence, netmask, flags;
	} cases[] = {
		{"persistence: 90s", 90, UINT32_MAX, 0},
		{"persistence: 5m", 300, UINT32_MAX, 0},
		{"persistence: 2h", 7200, UINT32_MAX, 0},
		{"persistence: 3000ms", 3, UINT32_MAX, 0},
		{"persistence: 744h", 2678400, UINT32_MAX, 0},
		{"persistence: 1s\n  persistence-netmask: 24", 1, 0xffffff00, 0},
		{"persistence: 1s\n  persistence-netmask: 255.0.255.0", 1, 0xff00ff00, 0},
		{"scheduler: sh\n  scheduler-flags: [sh-fallback]", 0, UINT32_MAX, SERVICE_FLAG_1},
		{"scheduler: mh\n  scheduler-flags: [mh-port, flag-3]", 0, UINT32_MAX,
		 SERVICE_FLAG_2 | SERVICE_FLAG_3},
		{"scheduler: twos\n  scheduler-flags: [flag-1]", 0, UINT32_MAX, SERVICE_FLAG_1},
		{"protocol: udp\n  one-packet: true", 0, UINT32_MAX, SERVICE_ONE_PACKET},
		{"protocol: sctp\n  real-servers: []", 0, UINT32_MAX, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[512];
		struct config *config;

		snprintf(text, sizeof(text), WEB "  %s\n", cases[i].lines);
		config = parse(text);
		assert_int_equal(config->services.services[0].persistence, cases[i].persistence);
		assert_int_equal(config->services.services[0].netmask, cases[i].netmask);
		assert_int_equal(config->services.services[0].flags, cases[i].flags);
		config_free(config);
	}
}

/* Directors that are real servers too, where what they get does not look like a client's. */
static void test_directors_that_serve(void **state)
{
	static const char *const cases[] = {
		"cluster: {listen: ['192.0.2.11:7946'], join: ['192.0.2.12:7946']}\nservices:\n"
		"- {name: a, address: '203.0.113.10:80', forwarding: nat, real-servers: [{address: "
		"'192.0.2.12:80'}]}\n",
		"cluster: {listen: ['192.0.2.11:7946'], join: ['192.0.2.12:7946']}\nservices:\n"
		"- {name: a, fwmark: 7, real-servers: [{address: 192.0.2.12}]}\n",
		"cluster: {listen: ['192.0.2.11:7946']}\nservices:\n"
		"- {name: a, address: '203.0.113.10:80', real-servers: [{address: "
		"'192.0.2.11:80'}]}\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[512];

		snprintf(text, sizeof(text), NODE "%s", cases[i]);
		config_free(parse(text));
	}
}

static void test_every_port(void **state)
{
	struct config *config = parse(
		HEAD "services:\n"
		     "- {name: a, address: '203.0.113.1:0', persistence: 1m,\n"
		     "   real-servers: [{address: 10.0.0.1}, {address: '10.0.0.2:0'}]}\n"
		     "- {name: b, address: '[2001:db8::1]:0', persistence: 1m,\n"
		     "   real-servers: [{address: '2001:db8::2'}, {address: '[2001:db8::3]:0'}]}\n"
		     "- {name: c, fwmark: 4294967295, real-servers: [{address: '2001:db8::2'}]}\n"
		     "- {name: d, fwmark: 8, family: ipv6}\n");

	(void)state;
	assert_key(&config->services.services[0], "tcp 203.0.113.1:0");
	assert_key(&config->services.services[1], "tcp [2001:db8::1]:0");
	assert_key(&config->services.services[2], "fwmark 8 IPv6");
	assert_key(&config->services.services[3], "fwmark 4294967295 IPv6");
	assert_ip(&config->services.services[1].real_servers[1].endpoint.ip, "2001:db8::3");
	config_free(config);
}

static void test_alerts(void **state)
{
	struct config *config = parse(HEAD "alerts:\n"
					   "  exec: [/etc/alert, '', a b]\n"
					   "  webhook: https://u:p@[2001:db8::1]:8443/hook?x=1\n");

	(void)state;
	assert_string_equal(config->alerts.exec[0], "/etc/alert");
	assert_string_equal(config->alerts.exec[1], "");
	assert_string_equal(config->alerts.exec[2], "a b");
	assert_null(config->alerts.exec[3]);
	assert_string_equal(config->alerts.webhook, "https://u:p@[2001:db8::1]:8443/hook?x=1");
	config_free(config);

	config = parse(HEAD "alerts: {}\n");
	assert_null(config->alerts.exec);
	assert_null(config->alerts.webhook);
	config_free(config);
}

static void test_sync(void **state)
{
	struct config *config = parse(HEAD "services:\n"
					   "- {name: a, address: 203.0.113.1:80}\n"
					   "- {name: b, address: 203.0.113.1:81, sync: on}\n"
					   "- {name: c, address: 203.0.113.1:82, sync: off}\n");
	uint64_t digest = config_digest_number(config);
	struct policy_options policy;

	(void)state;
	assert_int_equal(config->sync.min_age, 0);
	assert_int_equal(config->sync.flood_rate, 10000);
	assert_int_equal(config->sync.join_timeout, 120 * USEC_PER_SEC);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(config->services.services[i].sync_off, i == 2);
	config_free(config);

	/* The digest changes with c's sync; an explicit default leaves it as it is. */
	config = parse(HEAD "services:\n"
			    "- {name: a, address: 203.0.113.1:80, sync: on}\n"
			    "- {name: b, address: 203.0.113.1:81}\n"
			    "- {name: c, address: 203.0.113.1:82}\n");
	assert_int_not_equal(config_digest_number(config), digest);
	config_free(config);

	config = parse(HEAD "sync: {min-age: 1500ms, flood-rate: 0}\n"
			    "services:\n"
			    "- {name: a, address: '[2001:db8::1]:80', protocol: udp, sync: off}\n"
			    "- {name: b, fwmark: 7, family: ipv4}\n");
	assert_int_equal(config_policy(config, &policy), 0);
	assert_int_equal(policy.min_age, 1500 * USEC_PER_MSEC);
	assert_int_equal(policy.flood_rate, 0);
	assert_int_equal(policy.n_services, 2);
	assert_true(policy.services[0].off);
	assert_int_equal(policy.services[0].family, AF_INET6);
	assert_int_equal(policy.services[0].protocol, IPPROTO_UDP);
	assert_int_equal(policy.services[0].port, 80);
	assert_int_equal(policy.services[0].address[15], 1);
	assert_false(policy.services[1].off);
	assert_int_equal(policy.services[1].fwmark, 7);
	free(policy.services);
	config_free(config);

	config = parse(HEAD "sync: {min-age: 1h}\n");
	assert_int_equal(config->sync.min_age, 3600 * USEC_PER_SEC);
	config_free(config);
}

struct bad {
	const char *text, *message;
};

static const struct bad bad[] = {
#include "bad_configs.inc"
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct config_error error = {0};
		struct config *config = NULL;
		unsigned int line = 0;

		assert_int_equal(
			config_parse(bad[i].text, strlen(bad[i].text), "x", &config, &error),
			-EINVAL);
		assert_null(config);
		assert_string_equal(error.text, bad[i].message);
		sscanf(error.text, "x:%u:", &line);
		assert_int_equal(error.line, line);
	}
}

static void test_bytes(void **state)
{
	static char big[CONFIG_TEXT_MAX + 1];
	struct config_error error;
	struct config *config;

	(void)state;
	memset(big, ' ', sizeof(big));
	assert_int_equal(config_parse(big, sizeof(big), "x", &config, &error), -EINVAL);
	assert_string_equal(error.text,
			    "x: the file is longer than 33554432 bytes; write a shorter "
			    "one");
	assert_int_equal(config_parse("a: \xff\xfe", 5, "x", &config, &error), -EINVAL);
	assert_string_equal(error.text, "x: byte 3 is not UTF-8 text (invalid leading UTF-8 "
					"octet); write plain text in UTF-8");
	assert_int_equal(config_load("/nonexistent", &config, &error), -ENOENT);
	assert_string_equal(error.text, "/nonexistent: cannot be read: No such file or directory; "
					"write the path of a configuration");
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* A file that has not changed is not read again. */
static void test_reload(void **state)
{
	static const char text[] = "node: {name: d1}\ncluster: {listen: ['192.0.2.1:7946']}\n";
	static const char other[] = "node: {name: d1}\ncluster: {listen: ['192.0.2.1:7947']}\n";
	struct config *config, *again = NULL;
	struct config_error error;
	struct scratch scratch;
	char path[PATH_MAX];

	(void)state;
	scratch_init(&scratch);
	strcpy(path, scratch_path(&scratch, "lvsmesh.yaml"));
	write_file(path, text);
	assert_int_equal(config_load(path, &config, &error), 0);
	assert_int_equal(config_reload(path, config, &again, &error), 1);
	assert_null(again);
	write_file(path, other);
	assert_int_equal(config_reload(path, config, &again, &error), 0);
	assert_int_equal(again->listen[0].port, 7947);
	write_file(path, "node: 1\n");
	assert_int_equal(config_reload(path, config, &again, &error), -EINVAL);
	config_free(config);
	config_free(again);
	scratch_fini(&scratch);
}

/* As long as keepalived's users write them, and within both limits. */
static void test_large(void **state)
{
	size_t cap = CONFIG_TEXT_MAX, len;
	struct config_error error;
	struct config *config;
	char *text = malloc(cap);

	(void)state;
	len = (size_t)snprintf(text, cap, HEAD "services:\n");
	for (unsigned int i = 0; i < 2284; i++) {
		len += (size_t)snprintf(text + len, cap - len,
					"- name: s%u\n  address: 203.0.%u.%u:80\n  real-servers:\n",
					i, i / 250, i % 250 + 1);
		for (unsigned int j = 0; j < 16; j++)
			len += (size_t)snprintf(text + len, cap - len,
						"    - {address: 10.1.%u.%u:80, weight: 100}\n",
						i / 250, j + 1);
	}
	assert_in_range(len, 1500000, cap);
	if (config_parse(text, len, "x", &config, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(config->services.count, 2284);
	config_free(config);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cluster),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_directors_that_serve),
		cmocka_unit_test(test_every_port),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_canonical_order),
		cmocka_unit_test(test_alerts),
		cmocka_unit_test(test_sync),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
