/* Ends the connections of real servers that are down: sync_end() does it for each, this file finds
 * them. Every director ends those that it carried last itself; of a director that is gone, the
 * living one with the lowest id. */
#include <errno.h>
#include <stdlib.h>

#include "director/node/node_private.h"
#include "director/service/kernel_conns.h"

/* More real servers at once are left to their clients. */
#define REALS_MAX 65536
/* The kernel's reports of before the end are up to 2 s late, and bring connections back. */
#define WALKS 2
/* A service that has just been configured is known after a few seconds, or is none. */
#define TRIES_MAX 15
#define WALK_PAUSE (2 * USEC_PER_SEC)

static int compare(const void *a, const void *b)
{
	const struct ending_real *ra = a, *rb = b;
	int order = service_key_compare(&ra->service, &rb->service);

	return order ? order : endpoint_compare(&ra->real, &rb->real);
}

static struct ending_real *find(const struct node *node, const struct service *service,
				const struct real_server *real)
{
	const struct ending_real wanted = {.service = service->key, .real = real->endpoint};

	if (node->end.count == 0)
		return NULL;
	return bsearch(&wanted, node->end.list, node->end.count, sizeof(wanted), compare);
}

/* The number of the first that is not before it. */
static size_t place(const struct node_end *end, const struct ending_real *wanted)
{
	size_t low = 0, high = end->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&end->list[middle], wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void add(struct node *node, const struct ending_real *real)
{
	struct node_end *end = &node->end;
	struct ending_real *grown = end->list;
	size_t at = place(end, real);

	if (end->count == REALS_MAX)
		return;
	/* Grows when the count is 0 or a power of two. */
	if ((end->count & (end->count - 1)) == 0)
		grown = reallocarray(grown, end->count ? 2 * end->count : 1, sizeof(*grown));
	if (!grown)
		return;
	end->list = grown;
	memmove(&grown[at + 1], &grown[at], (end->count++ - at) * sizeof(*grown));
	grown[at] = *real;
}

void node_end_event(struct node *node, const struct node_event *event)
{
	struct node_end *end = &node->end;
	const struct ending_real real = {.service = *event->service, .real = *event->real};
	size_t at = place(end, &real);

	if (at < end->count && compare(&end->list[at], &real) == 0) {
		end->count--;
		memmove(&end->list[at], &end->list[at + 1], (end->count - at) * sizeof(real));
	}
	if (!event->ok)
		return;
	add(node, &real);
	end->next = 0;
	/* A walk that is under way is not its first one. */
	end->cursor = 0;
}

/* Another real server of the service, which may have the connection: it closes it. */
static const struct real_server *other(const struct node *node, const struct service *service,
				       const struct flow *flow)
{
	size_t n = service->n_real_servers, first = entry_flow_range(flow) % n;

	for (size_t i = 0; i < n; i++) {
		const struct real_server *real = &service->real_servers[(first + i) % n];

		if (real->weight > 0 && real->endpoint.ip.family == flow->family &&
		    !find(node, service, real))
			return real;
	}
	return NULL;
}

static bool is_alive(const struct node *node, uint64_t id)
{
	for (unsigned int i = 0; i < node->links_len; i++)
		if (node->links[i].member == id)
			return node->links[i].alive;
	return false;
}

static bool is_first(const struct node *node)
{
	for (unsigned int i = 0; i < node->links_len; i++)
		if (node->links[i].alive && node->links[i].member < node->identity->id)
			return false;
	return true;
}

/* False: no room for it now. */
static bool look(struct node *node, const struct entry *entry, const struct sync_info *info,
		 struct now now)
{
	const struct service_set *services = kernel_compare_services(node->kernel.compare);
	const struct real_server *real, *to;
	const struct service *service;
	uint16_t port;

	if (entry->flow.template ||
	    !(info->own || (!is_alive(node, info->origin) && is_first(node))))
		return true;
	real = kernel_conns_real(services, entry, &service);
	if (!real || !find(node, service, real))
		return true;
	to = other(node, service, &entry->flow);
	/* Nobody is left who would close it: it stays where it is, and ends soon without packets.
	 */
	if (!to)
		to = real;
	port = to->endpoint.port ? to->endpoint.port : entry->flow.vport;
	return sync_end(node->sync, &entry->flow, to->endpoint.ip.bytes, port, now) == 0;
}

static void walked(struct node *node, usec_t now)
{
	const struct service_set *services = kernel_compare_services(node->kernel.compare);
	struct node_end *end = &node->end;
	size_t kept = 0;

	for (size_t i = 0; i < end->count; i++) {
		struct ending_real *real = &end->list[i];

		real->walks += service_set_find(services, &real->service) != NULL;
		if (real->walks < WALKS && ++real->tries < TRIES_MAX)
			end->list[kept++] = *real;
	}
	end->count = kept;
	end->next = now + WALK_PAUSE;
	end->cursor = 0;
}

void node_end_tick(struct node *node, struct now now)
{
	struct node_end *end = &node->end;

	if (end->count == 0 || now.mono < end->next ||
	    kernel_compare_services(node->kernel.compare)->count == 0)
		return;
	if (node_kernel_walk(node, &end->cursor, look, now))
		walked(node, now.mono);
}
