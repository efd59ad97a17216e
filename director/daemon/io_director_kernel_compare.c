/* Reads the kernel's counters of the services, which the node compares with its table
 * (director/node/kernel_compare.h). */
#include <errno.h>

#include "director/daemon/io_director_private.h"
#include "director/io_clock.h"

/* Real servers that the node gets in one turn of the loop; it gets each service whole. */
#define REALS_TURN 500

/* The kernel's services, which the node compares with its table, in pieces. */

static void tell(uv_idle_t *idle)
{
	struct io_director *director = idle->data;
	const struct service_set *all = &director->compared->set;
	struct service_set some = {0};
	size_t reals = 0;

	if (director->compared_next < all->count)
		some.services = &all->services[director->compared_next];
	while (director->compared_next < all->count && reals < REALS_TURN) {
		reals += some.services[some.count++].n_real_servers;
		director->compared_next++;
	}
	if (director->compared_next == all->count)
		uv_idle_stop(idle);
	io_node_send(director->node,
		     &(struct node_event){.type = NODE_SERVICES,
					  .services = &some,
					  .more = director->compared_next < all->count});
	if (director->compared_next < all->count)
		return;
	service_list_free(director->compared);
	director->compared = NULL;
	director->services_wanted = 0;
}

void io_director_kernel_compare(struct io_director *director)
{
	const char *error;
	int r;

	if (!director->services_wanted || director->compared)
		return;
	r = io_services_list(director->services, director->services_wanted, &director->compared,
			     &error);
	if (r == 0) {
		director->compared_next = 0;
		uv_idle_start(&director->compare, tell);
	} else if (r != -EAGAIN) {
		director->services_wanted = 0;
		io_node_send(director->node, &(struct node_event){.type = NODE_SERVICES});
	}
}
