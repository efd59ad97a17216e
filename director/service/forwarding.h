/* The ways on which real servers get a service's packets: an address, and how packets go there. A
 * check with CHECK_VIA_FORWARDING goes the same way: its socket has the path's mark (SO_MARK), and
 * the kernel has a hidden service of that mark with one real server, so that a packet to VIP:port
 * goes to this one, tunnelled or directly, as any client's.
 *
 * The mark is a hash of the path, so that it stays as it is from one configuration to the next. (Of
 * two paths with one hash, the second has the next mark: it may change when the other goes.) Marks
 * are a matter of one director: others do not see them. Memory only. */
#ifndef DIRECTOR_SERVICE_FORWARDING_H
#define DIRECTOR_SERVICE_FORWARDING_H

#include "director/service/service.h"

struct forwarding_path {
	/* Port 0, but for nat: with the others it is the one that the check connects to. Weight 1.
	 */
	struct real_server real;
	uint32_t hash;
	uint32_t mark; /* SERVICE_MARK_FIRST to SERVICE_MARK_LAST */
};

struct forwarding_paths {
	struct forwarding_path *paths; /* by hash */
	size_t count;
};

/* Those of all real servers that are checked through them. 0, or -ENOMEM. */
int forwarding_paths_new(const struct service_set *services, struct forwarding_paths *ret_paths);
void forwarding_paths_fini(struct forwarding_paths *paths);

/* NULL: it is not checked through its path. */
const struct forwarding_path *forwarding_path_find(const struct forwarding_paths *paths,
						   const struct service *service,
						   const struct real_server *real);

/* The hidden services, sorted; to be ended with service_set_fini(). 0, or -ENOMEM. */
int forwarding_services(const struct forwarding_paths *paths, struct service_set *ret_set);

#endif
