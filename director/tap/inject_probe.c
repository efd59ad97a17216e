#include "director/tap/inject_probe.h"

#include "sync/table/conn_state.h"

#define DIRECT 3 /* IP_VS_CONN_F_DROUTE */
#define FAILURES 2

/* Client ports, none of which the metronome uses. */
#define PORT_FIRST 1024
#define PORT_LAST 8000

void inject_probe_init(struct inject_probe *probe, usec_t now)
{
	*probe = (struct inject_probe){.next = now, .port = PORT_FIRST};
}

bool inject_probe_due(const struct inject_probe *probe, usec_t now)
{
	return !probe->sent && now >= probe->next;
}

void inject_probe_hurry(struct inject_probe *probe, usec_t now)
{
	probe->next = MIN(probe->next, now);
}

struct entry inject_probe_entry(const struct inject_probe *probe, uint32_t own, uint32_t server,
				uint16_t port)
{
	struct entry entry = {
		.flow = {.cport = probe->port,
			 .vport = port,
			 .family = AF_INET,
			 .protocol = IPPROTO_TCP},
		.dport = port,
		.state = CONN_STATE_TCP_ESTABLISHED,
		.flags = DIRECT,
		.timeout = INJECT_PROBE_LIFETIME,
	};

	store_be32(entry.flow.caddr, server);
	store_be32(entry.flow.vaddr, own);
	store_be32(entry.daddr, server);
	return entry;
}

void inject_probe_sent(struct inject_probe *probe, uint32_t before, usec_t now)
{
	probe->sent = now;
	probe->before = before;
	probe->port = probe->port < PORT_LAST ? probe->port + 1 : PORT_FIRST;
}

enum inject_probe_verdict inject_probe_observe(struct inject_probe *probe, uint32_t count,
					       usec_t now)
{
	if (!probe->sent)
		return INJECT_PROBE_PENDING;
	if (count > probe->before) {
		probe->arrived = probe->sent;
		probe->failed = 0;
		probe->failures = 0;
		probe->sent = 0;
		probe->next = now + INJECT_PROBE_EVERY;
		return INJECT_PROBE_ARRIVED;
	}
	if (now < probe->sent + INJECT_PROBE_PATIENCE)
		return INJECT_PROBE_PENDING;
	if (!probe->failed)
		probe->failed = probe->sent;
	probe->failures++;
	probe->sent = 0;
	probe->next = now + INJECT_PROBE_PATIENCE;
	return INJECT_PROBE_LOST;
}

bool inject_probe_trusted(const struct inject_probe *probe)
{
	return probe->arrived && !probe->failed;
}

usec_t inject_probe_failed_since(const struct inject_probe *probe)
{
	return probe->failures >= FAILURES ? probe->failed : 0;
}
