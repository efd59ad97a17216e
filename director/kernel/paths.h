/* The forwarding paths of real servers in this kernel (director/service/forwarding.h): their hidden
 * services, the routes to them, and the settings without which replies are dropped (replies.h).
 * Everything but the view belongs to one thread at a time, and may wait for the kernel. */
#ifndef DIRECTOR_KERNEL_PATHS_H
#define DIRECTOR_KERNEL_PATHS_H

#include "director/kernel/replies.h"
#include "director/service/forwarding.h"

#define PATHS_SOURCES_MAX 64

/* The paths as they were looked at: for the loop. */
struct paths_view {
	struct forwarding_paths paths;
	struct ip_addr *sources;               /* of each; family 0: it has no route now */
	struct ip_addr own[PATHS_SOURCES_MAX]; /* the first different ones */
	size_t n_own;
};

/* All zero: there are none. */
struct paths {
	struct forwarding_paths paths;
	struct service_set hidden; /* sorted */
	struct replies replies;
};

/* Those of another configuration. ret_same: their hidden services are the same. 0, or -ENOMEM: they
 * stay as they were. */
int paths_renew(struct paths *paths, const struct service_set *services, bool *ret_same);
void paths_fini(struct paths *paths);

/* Finds their routes, and sets what replies need. ret_changes as of replies_set(). 0 and a view,
 * for paths_view_free(), NULL: there are no paths; or a negative errno. */
int paths_look(struct paths *paths, const char *state, struct paths_view **ret_view,
	       struct replies_changes *ret_changes);
/* Puts former settings back; services stay. */
void paths_leave(struct paths *paths, const char *state);

void paths_view_free(struct paths_view *view);
/* The mark and the address of its own to which the socket of a check is to be bound. False: not
 * checked so, or there is no route. view: NULL: none. */
bool paths_view_find(const struct paths_view *view, const struct service *service,
		     const struct real_server *real, uint32_t *ret_mark,
		     struct ip_addr *ret_source);
/* Whether checks come from that address. */
bool paths_view_is_source(const struct paths_view *view, const struct ip_addr *ip);

#endif
