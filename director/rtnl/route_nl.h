/* How this host's packets go to an address: by which interface, with which source. */
#ifndef DIRECTOR_RTNL_ROUTE_NL_H
#define DIRECTOR_RTNL_ROUTE_NL_H

#include <net/if.h>

#include "proto/endpoint.h"

struct routes;

struct route {
	char interface[IF_NAMESIZE];
	struct ip_addr source; /* family 0: the kernel names none */
};

/* Opens a socket. 0 or a negative errno. */
int routes_open(struct routes **ret_routes);
void routes_close(struct routes *routes);
/* 0; -ENETUNREACH: there is none; or another negative errno. */
int routes_find(struct routes *routes, const struct ip_addr *to, struct route *ret_route);

#endif
