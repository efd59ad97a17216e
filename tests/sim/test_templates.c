/* Persistence templates that two directors' kernels hold with different real servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/cluster.h"

#define ESTABLISHED 1
#define CLIENTS 8
#define SERVERS 4
#define PERSISTENCE 300
#define MARK 7
#define VIP 200

/* Clients connect to a service of each kind in turn: a VIP, a mark, a VIP for which four addresses
 * are one client, and one of IPv6, for which eight are. */
enum kind { PLAIN, MARKED, MASKED, SIX, KINDS };

static const uint16_t ports[KINDS] = {80, 8080, 81, 80};

static struct endpoint address(enum kind kind, unsigned int number, uint16_t port)
{
	struct endpoint endpoint;

	memset(&endpoint, 0, sizeof(endpoint));
	endpoint.ip.family = kind == SIX ? AF_INET6 : AF_INET;
	endpoint.ip.bytes[0] = 10;
	endpoint.ip.bytes[kind == SIX ? 15 : 3] = (uint8_t)number;
	endpoint.port = port;
	return endpoint;
}

static void configure(struct cluster *cluster)
{
	struct service_set services = {0};

	for (enum kind kind = 0; kind < KINDS; kind++) {
		struct service service, *added;

		memset(&service, 0, sizeof(service));
		service.persistence = PERSISTENCE;
		service.key.vip = address(kind, VIP, ports[kind]);
		service.key.protocol = IPPROTO_TCP;
		service.netmask = kind == MASKED ? 0xfffffffc
				  : kind == SIX  ? 125
						 : service_netmask_full(AF_INET);
		if (kind == MARKED) {
			memset(&service.key, 0, sizeof(service.key));
			service.key.vip.ip.family = AF_INET;
			service.key.fwmark = MARK;
		}
		added = service_set_add(&services, &service);
		assert_non_null(added);
		for (unsigned int j = 1; j <= SERVERS; j++) {
			struct real_server real;

			memset(&real, 0, sizeof(real));
			real.forwarding = 3;
			real.endpoint = address(kind, j, kind == MARKED ? 0 : ports[kind]);
			assert_non_null(service_add(added, &real));
		}
	}
	service_set_sort(&services);
	cluster_configure(cluster, &services);
	service_set_fini(&services);
}

/* A connection of a client. */
static struct entry connection(unsigned int client, unsigned int port, unsigned int server)
{
	enum kind kind = client % KINDS;
	struct entry entry;

	memset(&entry, 0, sizeof(entry));
	entry.flow.family = kind == SIX ? AF_INET6 : AF_INET;
	entry.flow.protocol = IPPROTO_TCP;
	memcpy(entry.flow.caddr, address(kind, 8 * client + 3, 0).ip.bytes, 16);
	entry.flow.cport = (uint16_t)port;
	memcpy(entry.flow.vaddr, address(kind, VIP, 0).ip.bytes, 16);
	entry.flow.vport = ports[kind];
	entry.fwmark = kind == MARKED ? MARK : 0;
	memcpy(entry.daddr, address(kind, server, 0).ip.bytes, 16);
	entry.dport = entry.flow.vport;
	entry.state = ESTABLISHED;
	entry.timeout = 900;
	entry.flags = 3;
	return entry;
}

static struct flow template_of(unsigned int client)
{
	struct flow flow = connection(client, 0, 0).flow;

	flow.template = 1;
	if (client % KINDS == MARKED) {
		memset(flow.vaddr, 0, sizeof(flow.vaddr));
		store_be32(flow.vaddr, MARK);
		flow.protocol = 0;
		flow.vport = 0;
	} else if (client % KINDS != PLAIN) {
		flow.caddr[client % KINDS == SIX ? 15 : 3] = (uint8_t)(8 * client);
	}
	return flow;
}

static unsigned int server_of(const struct entry *entry)
{
	return entry->daddr[entry->flow.family == AF_INET6 ? 15 : 3];
}

/* The real server of the client's template in that kernel; 0: there is none. */
static unsigned int template_at(struct cluster *cluster, unsigned int d, unsigned int client)
{
	struct flow flow = template_of(client);
	struct entry entry;

	return cluster_kernel(cluster, d, &flow, &entry) ? server_of(&entry) : 0;
}

static unsigned int differing(struct cluster *cluster, unsigned int clients)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < clients; i++)
		n += template_at(cluster, 0, i) != template_at(cluster, 1, i);
	return n;
}

static unsigned int wrong_server(unsigned int client, unsigned int d)
{
	return (client + d) % SERVERS + 1;
}

/* Cut in two, each gives each client another real server, d1 first; then it is whole again. */
static struct cluster *split(uint64_t seed, unsigned int clients)
{
	struct cluster *cluster = cluster_new(seed, 2);

	configure(cluster);
	cluster_run(cluster, 10 * USEC_PER_SEC);
	cluster_cut(cluster, 0, 1, true);
	cluster_run(cluster, 10 * USEC_PER_SEC);
	for (unsigned int d = 0; d < 2; d++) {
		for (unsigned int i = 0; i < clients; i++) {
			for (unsigned int port = 1; port <= 3; port++) {
				struct entry entry =
					connection(i, 100 * d + port, wrong_server(i, d));

				entry = cluster_connect(cluster, d, &entry);
				assert_int_equal(server_of(&entry), wrong_server(i, d));
			}
		}
		cluster_run(cluster, USEC_PER_SEC);
	}
	assert_int_equal(differing(cluster, clients), clients);
	cluster_cut(cluster, 0, 1, false);
	return cluster;
}

/* Packets of the connections that d began, through d1, whose kernel has them, where they have
 * always gone. */
static void use(struct cluster *cluster, unsigned int d)
{
	for (unsigned int i = 0; i < CLIENTS; i++) {
		for (unsigned int port = 1; port <= 3; port++) {
			struct entry entry = connection(i, 100 * d + port, wrong_server(i, d)), is;

			assert_true(cluster_kernel(cluster, 0, &entry.flow, &is));
			assert_memory_equal(is.daddr, entry.daddr, sizeof(is.daddr));
			assert_int_equal(is.dport, entry.dport);
			cluster_packet(cluster, 0, &entry);
		}
	}
}

static void assert_same(struct cluster *cluster)
{
	const char *difference = cluster_difference(cluster);

	if (difference)
		fail_msg("%s", difference);
}

/* Runs until the two are in sync again, and the first knows of every template that differs. */
static void heal(struct cluster *cluster)
{
	unsigned int tenths = 0;

	while (cluster_sync_status(cluster, 0).templates_differ < CLIENTS) {
		assert_true(tenths++ < 600);
		cluster_run(cluster, 100 * USEC_PER_MSEC);
	}
}

/* The older templates are replaced in the kernel, though all their connections are used. */
static void run_split(uint64_t seed)
{
	struct cluster *cluster = split(seed, CLIENTS);
	struct sync_status status;

	heal(cluster);
	/* Templates, and three connections of each director for each. */
	for (unsigned int i = 0; cluster_kernel_count(cluster, 0) < 7 * CLIENTS; i++) {
		assert_true(i < 100);
		cluster_run(cluster, USEC_PER_MSEC);
	}
	for (unsigned int i = 0; i < 50; i++) {
		status = cluster_sync_status(cluster, 0);
		/* It never says that fewer differ than do. */
		assert_true(status.templates_differ >= differing(cluster, CLIENTS));
		use(cluster, 0);
		use(cluster, 1);
		cluster_run(cluster, 100 * USEC_PER_MSEC);
	}
	assert_int_equal(differing(cluster, CLIENTS), 0);
	for (unsigned int i = 0; i < CLIENTS; i++)
		assert_int_equal(template_at(cluster, 0, i), wrong_server(i, 1));
	status = cluster_sync_status(cluster, 0);
	assert_int_equal(status.templates_differ, 0);
	assert_int_equal(status.templates_late, 0);
	assert_int_equal(status.templates_replaced, CLIENTS);
	assert_int_equal(cluster_sync_status(cluster, 1).templates_replaced, 0);
	cluster_run(cluster, 10 * USEC_PER_SEC);
	assert_same(cluster);
	for (unsigned int d = 0; d < 2; d++) {
		for (unsigned int i = 0; i < CLIENTS; i++) {
			struct entry entry = connection(i, 200 + d, wrong_server(i, 2));

			entry = cluster_connect(cluster, d, &entry);
			assert_int_equal(server_of(&entry), wrong_server(i, 1));
		}
	}
	cluster_free(cluster);
}

static void test_split(void **state)
{
	(void)state;
	cluster_seeds(20, run_split);
}

/* A client that opens connections all the time keeps its template until it pauses. The operator
 * learns that it differs, and the other director never gets it. */
static void test_no_pause(void **state)
{
	struct cluster *cluster = split(1, CLIENTS);

	(void)state;
	heal(cluster);
	for (unsigned int i = 0; i < 200; i++) {
		struct entry entry = connection(0, 1000 + i, 1);

		entry = cluster_connect(cluster, 0, &entry);
		assert_int_equal(server_of(&entry), wrong_server(0, 0));
		cluster_run(cluster, 100 * USEC_PER_MSEC);
	}
	assert_int_equal(differing(cluster, CLIENTS), 1);
	assert_int_equal(template_at(cluster, 1, 0), wrong_server(0, 1));
	assert_int_equal(cluster_sync_status(cluster, 0).templates_late, 1);
	assert_true(cluster_sync_status(cluster, 0).templates_ignored > 0);
	assert_int_equal(cluster_sync_status(cluster, 1).templates_differ, 0);
	cluster_run(cluster, 60 * USEC_PER_SEC);
	assert_int_equal(differing(cluster, CLIENTS), 0);
	assert_int_equal(cluster_sync_status(cluster, 0).templates_late, 0);
	assert_same(cluster);
	cluster_free(cluster);
}

/* Messages to the kernel are lost, or it takes them late. */
static void run_lossy(uint64_t seed)
{
	struct cluster *cluster = split(seed, CLIENTS);

	cluster_lossy(cluster, 3);
	cluster_slow(cluster, seed % 2 ? 30 * USEC_PER_MSEC : 0);
	heal(cluster);
	for (unsigned int i = 0; differing(cluster, CLIENTS) > 0; i++) {
		assert_true(i < 600);
		assert_true(cluster_sync_status(cluster, 0).templates_differ > 0);
		use(cluster, 0);
		cluster_run(cluster, 100 * USEC_PER_MSEC);
	}
	cluster_free(cluster);
}

static void test_lossy(void **state)
{
	(void)state;
	cluster_seeds(20, run_lossy);
}

/* A director starts in a kernel that lives on, and gets its peers' newer templates before or after
 * it has read its own. */
static void run_start(uint64_t seed)
{
	struct cluster *cluster = split(seed, CLIENTS);

	cluster_cut(cluster, 0, 1, true);
	cluster_crash(cluster, 0, false);
	if (seed % 2)
		cluster_unread(cluster, 0);
	cluster_start(cluster, 0);
	cluster_cut(cluster, 0, 1, false);
	cluster_run(cluster, USEC_PER_SEC);
	if (seed % 2)
		cluster_read(cluster, 0);
	cluster_run(cluster, 15 * USEC_PER_SEC);
	assert_int_equal(differing(cluster, CLIENTS), 0);
	for (unsigned int i = 0; i < CLIENTS; i++)
		assert_int_equal(template_at(cluster, 0, i), wrong_server(i, 1));
	assert_int_equal(cluster_sync_status(cluster, 0).templates_differ, 0);
	cluster_free(cluster);
}

static void test_start(void **state)
{
	(void)state;
	cluster_seeds(20, run_start);
}

/* Both give a client a real server at the same moment, as a browser's first connections want it. */
static void run_burst(uint64_t seed)
{
	struct cluster *cluster = cluster_new(seed, 2);

	configure(cluster);
	cluster_run(cluster, 10 * USEC_PER_SEC);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		for (unsigned int port = 1; port <= 6; port++) {
			struct entry entry = connection(i, port, wrong_server(i, port));

			cluster_connect(cluster, port % 2, &entry);
		}
	}
	cluster_run(cluster, 10 * USEC_PER_SEC);
	assert_int_equal(differing(cluster, CLIENTS), 0);
	assert_same(cluster);
	cluster_free(cluster);
}

static void test_burst(void **state)
{
	(void)state;
	cluster_seeds(20, run_burst);
}

/* A template of a real server that this kernel does not have would be given up with the client's
 * next connection: the one that the kernel has stays. */
static void test_of_no_real_server(void **state)
{
	struct cluster *cluster = cluster_new(1, 2);
	struct entry entry = connection(PLAIN, 1, 1), template;

	(void)state;
	configure(cluster);
	cluster_run(cluster, 10 * USEC_PER_SEC);
	cluster_connect(cluster, 0, &entry);
	cluster_run(cluster, USEC_PER_SEC);
	template = connection(PLAIN, 0, SERVERS + 1);
	template.flow = template_of(PLAIN);
	template.flags |= ENTRY_TEMPLATE;
	cluster_carry(cluster, 1, &template);
	cluster_run(cluster, 10 * USEC_PER_SEC);
	assert_int_equal(template_at(cluster, 0, PLAIN), 1);
	assert_int_equal(cluster_sync_status(cluster, 0).templates_differ, 0);
	cluster_free(cluster);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split), cmocka_unit_test(test_no_pause),
		cmocka_unit_test(test_lossy), cmocka_unit_test(test_start),
		cmocka_unit_test(test_burst), cmocka_unit_test(test_of_no_real_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
