#include "director/kernel/paths.h"

#include <errno.h>
#include <stdlib.h>

#include "director/rtnl/route_nl.h"

#define ROOT "/proc/sys"

int paths_renew(struct paths *paths, const struct service_set *services, bool *ret_same)
{
	struct forwarding_paths new;
	struct service_set hidden;
	int r = forwarding_paths_new(services, &new);

	if (r < 0)
		return r;
	r = forwarding_services(&new, &hidden);
	if (r < 0) {
		forwarding_paths_fini(&new);
		return r;
	}
	*ret_same = service_set_same(&paths->hidden, &hidden);
	paths_fini(paths);
	paths->paths = new;
	paths->hidden = hidden;
	return 0;
}

void paths_fini(struct paths *paths)
{
	forwarding_paths_fini(&paths->paths);
	service_set_fini(&paths->hidden);
}

void paths_view_free(struct paths_view *view)
{
	if (!view)
		return;
	forwarding_paths_fini(&view->paths);
	free(view->sources);
	free(view);
}

/* It has room for the routes. */
static struct paths_view *view_new(const struct forwarding_paths *paths)
{
	struct paths_view *view = calloc(1, sizeof(*view));

	if (!view)
		return NULL;
	view->sources = calloc(paths->count, sizeof(*view->sources));
	view->paths.paths = calloc(paths->count, sizeof(*paths->paths));
	if (!view->sources || !view->paths.paths) {
		paths_view_free(view);
		return NULL;
	}
	memcpy(view->paths.paths, paths->paths, paths->count * sizeof(*paths->paths));
	view->paths.count = paths->count;
	return view;
}

/* Replies come with the VIP as source unless nat has changed it. */
static void needs(struct replies_interfaces *interfaces, const struct real_server *real,
		  const char *name)
{
	size_t i = 0;

	if (real->endpoint.ip.family != AF_INET || real->forwarding == FORWARDING_NAT)
		return;
	while (i < interfaces->count && strcmp(interfaces->names[i], name) != 0)
		i++;
	if (i == interfaces->count && i < REPLIES_INTERFACES_MAX)
		memcpy(interfaces->names[interfaces->count++], name, IF_NAMESIZE);
}

static void note_source(struct paths_view *view, const struct ip_addr *source)
{
	if (source->family && !paths_view_is_source(view, source) &&
	    view->n_own < PATHS_SOURCES_MAX)
		view->own[view->n_own++] = *source;
}

static int find_routes(struct paths_view *view, struct replies_interfaces *ret_interfaces)
{
	struct routes *routes;
	int r = routes_open(&routes);

	if (r < 0)
		return r;
	ret_interfaces->count = 0;
	for (size_t i = 0; i < view->paths.count; i++) {
		const struct real_server *real = &view->paths.paths[i].real;
		struct route route;

		if (routes_find(routes, &real->endpoint.ip, &route) < 0)
			continue;
		view->sources[i] = route.source;
		note_source(view, &route.source);
		needs(ret_interfaces, real, route.interface);
	}
	routes_close(routes);
	return 0;
}

int paths_look(struct paths *paths, const char *state, struct paths_view **ret_view,
	       struct replies_changes *ret_changes)
{
	struct replies_interfaces interfaces = {.count = 0};
	struct paths_view *view = NULL;
	int r = 0;

	ret_changes->count = 0;
	if (paths->paths.count) {
		view = view_new(&paths->paths);
		r = view ? find_routes(view, &interfaces) : -ENOMEM;
	}
	if (r == 0)
		r = replies_set(&paths->replies, ROOT, state, &interfaces, ret_changes);
	if (r < 0) {
		paths_view_free(view);
		return r;
	}
	*ret_view = view;
	return 0;
}

void paths_leave(struct paths *paths, const char *state)
{
	replies_restore(&paths->replies, ROOT, state);
}

bool paths_view_find(const struct paths_view *view, const struct service *service,
		     const struct real_server *real, uint32_t *ret_mark, struct ip_addr *ret_source)
{
	const struct forwarding_path *path =
		view ? forwarding_path_find(&view->paths, service, real) : NULL;

	if (!path || !view->sources[path - view->paths.paths].family)
		return false;
	*ret_mark = path->mark;
	*ret_source = view->sources[path - view->paths.paths];
	return true;
}

bool paths_view_is_source(const struct paths_view *view, const struct ip_addr *ip)
{
	for (size_t i = 0; view && i < view->n_own; i++)
		if (ip_addr_compare(&view->own[i], ip) == 0)
			return true;
	return false;
}
