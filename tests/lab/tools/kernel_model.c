/*
 * kernel_model
 *
 * The simulations' model of IPVS (tests/sim/kernel_model.h) as a program. Reads commands, lines of
 * words, answers each with lines, and ends an answer with a line ".". Times are in us, IPv4 only.
 *
 *	service ADDRESS PORT MARK PERSISTENCE_S	adds a service
 *	real ADDRESS PORT			adds a real server to it
 *	inject TIME MESSAGE			a sync message, in hexadecimal
 *	connect TIME MESSAGE			a connection as the scheduler would make it
 *	list TIME				what there is, and what was reported since
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sync/kernel_wire.h"
#include "tests/sim/kernel_model.h"

static struct kernel_model *kernel;
static struct service_set services;

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void add_service(const char *address, unsigned int port, unsigned int mark,
			unsigned int persistence)
{
	struct service service;

	memset(&service, 0, sizeof(service));
	service.key.vip.ip.family = AF_INET;
	service.netmask = service_netmask_full(AF_INET);
	service.persistence = persistence;
	service.key.fwmark = mark;
	if (!mark) {
		must(inet_pton(AF_INET, address, service.key.vip.ip.bytes) == 1);
		service.key.vip.port = (uint16_t)port;
		service.key.protocol = IPPROTO_TCP;
	}
	must(service_set_add(&services, &service));
}

static void add_real(const char *address, unsigned int port)
{
	struct real_server real;

	memset(&real, 0, sizeof(real));
	real.endpoint.ip.family = AF_INET;
	must(inet_pton(AF_INET, address, real.endpoint.ip.bytes) == 1);
	real.endpoint.port = (uint16_t)port;
	must(services.count > 0 && service_add(&services.services[services.count - 1], &real));
	kernel_model_configure(kernel, &services);
}

static void print_entry(const char *word, const struct entry *entry, usec_t left)
{
	char client[INET_ADDRSTRLEN], vip[INET_ADDRSTRLEN], real[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, entry->flow.caddr, client, sizeof(client));
	inet_ntop(AF_INET, entry->flow.vaddr, vip, sizeof(vip));
	inet_ntop(AF_INET, entry->daddr, real, sizeof(real));
	printf("%s %s %u %s %u %s %u %u %" PRIu64 "\n", word, client, entry->flow.cport, vip,
	       entry->flow.vport, real, entry->dport, entry->state, left / USEC_PER_SEC);
}

static void list(usec_t now)
{
	const struct entry *reported;
	struct service_set counted;

	while ((reported = kernel_model_expire(kernel, now)))
		print_entry("reported", reported, reported->timeout * USEC_PER_SEC);
	for (unsigned int i = 0; i < kernel_model_count(kernel); i++)
		print_entry("entry", kernel_model_at(kernel, i),
			    kernel_model_ends(kernel, i) - now);
	kernel_model_services(kernel, &counted);
	for (size_t i = 0; i < counted.count; i++) {
		const struct service *service = &counted.services[i];

		for (size_t j = 0; j < service->n_real_servers; j++) {
			const struct real_server *server = &service->real_servers[j];
			char real[INET_ADDRSTRLEN];

			inet_ntop(AF_INET, server->endpoint.ip.bytes, real, sizeof(real));
			printf("count %u %s %u %u %u\n", service->key.fwmark, real,
			       server->persistent, server->active, server->inactive);
		}
	}
	service_set_fini(&counted);
}

static void take(usec_t now, const char *hex, bool connect)
{
	static uint8_t message[KERNEL_WIRE_MAX];
	struct kernel_wire_reader reader;
	const struct entry *is;
	struct entry entry;
	size_t len = 0;

	for (unsigned int byte; sscanf(hex + 2 * len, "%2x", &byte) == 1; len++)
		message[len] = (uint8_t)byte;
	must(kernel_wire_read(&reader, message, len, message[1]) == 0);
	while (kernel_wire_next(&reader, &entry) > 0) {
		if (connect)
			kernel_model_connect(kernel, &entry, now, &is);
		else
			kernel_model_inject(kernel, &entry, now);
	}
}

int main(void)
{
	char command[16], word[4096];
	unsigned int port, mark, persistence;
	usec_t now;

	kernel = kernel_model_new();
	while (scanf("%15s", command) == 1) {
		if (strcmp(command, "service") == 0) {
			must(scanf("%4095s %u %u %u", word, &port, &mark, &persistence) == 4);
			add_service(word, port, mark, persistence);
		} else if (strcmp(command, "real") == 0) {
			must(scanf("%4095s %u", word, &port) == 2);
			add_real(word, port);
		} else if (strcmp(command, "list") == 0) {
			must(scanf("%" SCNu64, &now) == 1);
			list(now);
		} else {
			must(scanf("%" SCNu64 " %4095s", &now, word) == 2);
			take(now, word, strcmp(command, "connect") == 0);
		}
		printf(".\n");
		fflush(stdout);
	}
	kernel_model_free(kernel);
	service_set_fini(&services);
	return 0;
}
