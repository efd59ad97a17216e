#include "director/service/forwarding.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/service/digest.h"

/* Hashes leave room above them, for paths whose hashes are alike. */
#define HASHES (SERVICE_MARK_LAST - SERVICE_MARK_FIRST + 1 - (1u << 18))

static uint32_t hash_of(const struct real_server *real)
{
	uint8_t hash[crypto_generichash_BYTES_MIN];
	struct digest digest;

	digest_begin(&digest, sizeof(hash));
	digest_endpoint(&digest, &real->endpoint);
	digest_number(&digest, real->forwarding);
	digest_number(&digest, real->tunnel);
	digest_number(&digest, real->tunnel_flags);
	digest_number(&digest, real->tunnel_port);
	digest_end(&digest, hash, sizeof(hash));
	return load_le32(hash) % HASHES;
}

static void path_of(const struct service *service, const struct real_server *real,
		    struct forwarding_path *ret_path)
{
	struct forwarding_path path = {.real = {.weight = 1}};

	path.real.endpoint.ip = real->endpoint.ip;
	path.real.forwarding = real->forwarding;
	if (real->forwarding == FORWARDING_TUNNEL) {
		path.real.tunnel = real->tunnel;
		path.real.tunnel_flags = real->tunnel_flags;
		path.real.tunnel_port = real->tunnel_port;
	} else if (real->forwarding == FORWARDING_NAT) {
		path.real.endpoint.port =
			real->endpoint.port ? real->endpoint.port : service->key.vip.port;
	}
	path.hash = hash_of(&path.real);
	*ret_path = path;
}

static int order(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int compare_paths(const void *a, const void *b)
{
	const struct forwarding_path *pa = a, *pb = b;
	const struct real_server *ra = &pa->real, *rb = &pb->real;
	int result = order(pa->hash, pb->hash);

	if (result == 0)
		result = endpoint_compare(&ra->endpoint, &rb->endpoint);
	if (result == 0)
		result = order(ra->forwarding, rb->forwarding);
	if (result == 0)
		result = order(ra->tunnel, rb->tunnel);
	if (result == 0)
		result = order(ra->tunnel_port, rb->tunnel_port);
	return result ? result : order(ra->tunnel_flags, rb->tunnel_flags);
}

static bool is_checked(const struct real_server *real)
{
	return real->check && real->check->via == CHECK_VIA_FORWARDING;
}

static size_t count_checked(const struct service_set *services)
{
	size_t count = 0;

	for (size_t i = 0; i < services->count; i++)
		for (size_t j = 0; j < services->services[i].n_real_servers; j++)
			count += is_checked(&services->services[i].real_servers[j]);
	return count;
}

/* Each once, with its mark. */
static void number(struct forwarding_paths *paths)
{
	uint32_t next = SERVICE_MARK_FIRST;
	size_t kept = 0;

	for (size_t i = 0; i < paths->count; i++) {
		struct forwarding_path *path = &paths->paths[kept];

		if (kept > 0 && compare_paths(&paths->paths[kept - 1], &paths->paths[i]) == 0)
			continue;
		*path = paths->paths[i];
		path->mark = MAX(SERVICE_MARK_FIRST + path->hash, next);
		next = path->mark + 1;
		kept++;
	}
	paths->count = kept;
	/* More than there are marks, which no kernel would hold. */
	while (paths->count && paths->paths[paths->count - 1].mark > SERVICE_MARK_LAST)
		paths->count--;
}

int forwarding_paths_new(const struct service_set *services, struct forwarding_paths *ret_paths)
{
	size_t count = count_checked(services);
	struct forwarding_paths paths = {.paths = calloc(count + 1, sizeof(*paths.paths))};

	if (!paths.paths)
		return -ENOMEM;
	for (size_t i = 0; i < services->count; i++) {
		const struct service *service = &services->services[i];

		for (size_t j = 0; j < service->n_real_servers; j++)
			if (is_checked(&service->real_servers[j]))
				path_of(service, &service->real_servers[j],
					&paths.paths[paths.count++]);
	}
	qsort(paths.paths, paths.count, sizeof(*paths.paths), compare_paths);
	number(&paths);
	*ret_paths = paths;
	return 0;
}

void forwarding_paths_fini(struct forwarding_paths *paths)
{
	free(paths->paths);
	*paths = (struct forwarding_paths){0};
}

const struct forwarding_path *forwarding_path_find(const struct forwarding_paths *paths,
						   const struct service *service,
						   const struct real_server *real)
{
	struct forwarding_path wanted;

	if (paths->count == 0 || !is_checked(real))
		return NULL;
	path_of(service, real, &wanted);
	return bsearch(&wanted, paths->paths, paths->count, sizeof(wanted), compare_paths);
}

int forwarding_services(const struct forwarding_paths *paths, struct service_set *ret_set)
{
	struct service_set set = {0};

	for (size_t i = 0; i < paths->count; i++) {
		struct real_server real = paths->paths[i].real;
		struct service service = {.real_servers = &real, .n_real_servers = 1};

		snprintf(service.scheduler, sizeof(service.scheduler), "rr");
		service.key.fwmark = paths->paths[i].mark;
		service.key.vip.ip.family = real.endpoint.ip.family;
		service.netmask = service_netmask_full(real.endpoint.ip.family);
		if (!service_set_add(&set, &service)) {
			service_set_fini(&set);
			return -ENOMEM;
		}
	}
	service_set_sort(&set);
	*ret_set = set;
	return 0;
}
