/* Reads the kernel's list of connections, at the start and when some were missed, and gives the
 * node the entries that are not known yet. */
#include <errno.h>
#include <stdio.h>

#include "director/daemon/io_director_private.h"
#include "director/io_clock.h"
#include "director/io_log.h"

#define CONNECTIONS_PATH "/proc/net/ip_vs_conn"
/* A reading at start has no rest: others wait for it. A later one takes at most a tenth of a
 * processor, however large a flood has made the kernel's table. */
#define REST 9
/* The same for a reading that follows another at once: it completes that one. */
#define REST_AGAIN 1
/* The kernel counts its list's entries: when one ends between two reads, the list skips another
 * that comes later. Each reading skips others, so they are repeated until one finds nothing new; at
 * most so often in a row, since connections that are being opened are always new. */
#define READINGS_MAX 5

/* Connections that the kernel has kept */

/* Not to be replicated: the probe's own connection, and those of checks. */
static bool is_ours(const struct io_director *director, const struct flow *flow)
{
	struct ip_addr client = {.family = flow->family};

	memcpy(client.bytes, flow->caddr, sizeof(client.bytes));
	return (flow->family == AF_INET &&
		memcmp(flow->vaddr, director->config->tap.local.bytes, 4) == 0) ||
	       io_services_is_path_source(director->services, &client);
}

static void adopt_entry(void *context, const struct entry *found)
{
	struct io_director *director = context;
	struct entry entry = *found;
	int r;

	if (is_ours(director, &entry.flow))
		return;
	r = kernel_conns_complete(&director->adopt_services->set, &entry);
	if (r < 0)
		director->adopt_refused[-r]++;
	else
		io_node_send(director->node,
			     &(struct node_event){.type = NODE_ADOPTED, .entry = &entry});
}

static void adopt_refused(void *context, int error)
{
	struct io_director *director = context;

	director->adopt_refused[error]++;
}

/* Whether the reading that ended found unknown connections; logs how many. */
static bool found_some(struct io_director *director)
{
	struct node_status status;
	uint64_t found;

	node_status(io_node_get(director->node), &status);
	found = status.sync.adopted - director->adopt_found;
	director->adopt_found = status.sync.adopted;
	if (found)
		io_log_info("%llu connections found in the kernel", (unsigned long long)found);
	return found > 0;
}

static void adopt_done(void *context, int error)
{
	struct io_director *director = context;
	bool wanted = director->adopt_again;

	director->adopt = NULL;
	director->adopt_again = false;
	service_list_free(director->adopt_services);
	director->adopt_services = NULL;
	if (director->stopping)
		return;
	director->adopt_error[0] = '\0';
	if (error < 0) {
		snprintf(director->adopt_error, sizeof(director->adopt_error), "%s: %s",
			 CONNECTIONS_PATH, uv_strerror(error));
		io_log_error("%s", director->adopt_error);
	}
	director->adopted = true;
	io_node_send(director->node, &(struct node_event){.type = NODE_ADOPTED_ALL});
	director->adopt_readings = wanted ? 0 : director->adopt_readings + 1;
	if ((found_some(director) && director->adopt_readings < READINGS_MAX) || wanted)
		io_director_adopt(director);
	else
		director->adopt_readings = 0;
}

void io_director_adopt(struct io_director *director)
{
	director->adopt_since = clock_now().mono;
	io_director_adopt_listed(director);
}

void io_director_adopt_listed(struct io_director *director)
{
	const struct io_adopt_options options = {
		.loop = &director->loop,
		.path = CONNECTIONS_PATH,
		.rest = !director->adopted         ? 0
			: director->adopt_readings ? REST_AGAIN
						   : REST,
		.context = director,
		.entry = adopt_entry,
		.refused = adopt_refused,
		.done = adopt_done,
	};
	const char *error;
	int r;

	if (!director->adopt_since)
		return;
	r = io_services_list(director->services, director->adopt_since, &director->adopt_services,
			     &error);
	if (r == -EAGAIN)
		return;
	director->adopt_since = 0;
	if (r < 0)
		io_log_error("%s", error);
	else
		r = io_adopt_start(&options, &director->adopt);
	if (r < 0)
		adopt_done(director, r);
}
