#include "director/service/service.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

/* Room for one more than count elements of the given size. The capacity is never stored: it is the
 * next power of two, so that growing costs nothing on average. */
static void *grow(void *array, size_t count, size_t size)
{
	if (count != 0 && (count & (count - 1)) != 0)
		return array;
	return reallocarray(array, count ? 2 * count : 1, size);
}

struct real_server *service_add(struct service *service, const struct real_server *real)
{
	struct real_server *grown;

	grown = grow(service->real_servers, service->n_real_servers, sizeof(*grown));
	if (!grown)
		return NULL;
	service->real_servers = grown;
	grown[service->n_real_servers] = *real;
	return &grown[service->n_real_servers++];
}

struct service *service_set_add(struct service_set *set, const struct service *service)
{
	struct service copy = *service;
	struct service *grown;

	copy.real_servers = NULL;
	copy.n_real_servers = 0;
	for (size_t i = 0; i < service->n_real_servers; i++)
		if (!service_add(&copy, &service->real_servers[i]))
			goto fail;
	grown = grow(set->services, set->count, sizeof(*grown));
	if (!grown)
		goto fail;
	set->services = grown;
	grown[set->count] = copy;
	return &grown[set->count++];

fail:
	service_fini(&copy);
	return NULL;
}

void service_fini(struct service *service)
{
	free(service->real_servers);
	service->real_servers = NULL;
	service->n_real_servers = 0;
}

void service_set_fini(struct service_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		service_fini(&set->services[i]);
	free(set->services);
	*set = (struct service_set){0};
}

struct service_list *service_list_ref(struct service_list *list)
{
	list->refs++;
	return list;
}

void service_list_free(struct service_list *list)
{
	if (!list || list->refs-- > 0)
		return;
	service_set_fini(&list->set);
	free(list);
}

int service_key_compare(const struct service_key *a, const struct service_key *b)
{
	int order;

	if (a->fwmark != b->fwmark)
		return a->fwmark < b->fwmark ? -1 : 1;
	order = endpoint_compare(&a->vip, &b->vip);
	if (order != 0)
		return order;
	return (a->protocol > b->protocol) - (a->protocol < b->protocol);
}

int service_real_compare(const struct real_server *a, const struct real_server *b)
{
	return endpoint_compare(&a->endpoint, &b->endpoint);
}

static int compare_services(const void *a, const void *b)
{
	const struct service *sa = a, *sb = b;

	return service_key_compare(&sa->key, &sb->key);
}

static int compare_reals(const void *a, const void *b)
{
	return service_real_compare(a, b);
}

void service_set_sort(struct service_set *set)
{
	if (set->count == 0)
		return;
	qsort(set->services, set->count, sizeof(*set->services), compare_services);
	for (size_t i = 0; i < set->count; i++) {
		struct service *service = &set->services[i];

		if (service->n_real_servers > 0)
			qsort(service->real_servers, service->n_real_servers,
			      sizeof(*service->real_servers), compare_reals);
	}
}

int service_set_join(const struct service_set *a, const struct service_set *b,
		     struct service_set *ret_set)
{
	struct service_set set = {.services =
					  calloc(a->count + b->count + 1, sizeof(*a->services))};
	size_t i = 0, j = 0;

	if (!set.services)
		return -ENOMEM;
	while (i < a->count || j < b->count) {
		bool first = j == b->count ||
			     (i < a->count &&
			      service_key_compare(&a->services[i].key, &b->services[j].key) < 0);

		set.services[set.count++] = first ? a->services[i++] : b->services[j++];
	}
	*ret_set = set;
	return 0;
}

struct service *service_set_find(const struct service_set *set, const struct service_key *key)
{
	struct service wanted = {.key = *key};

	if (set->count == 0)
		return NULL;
	return bsearch(&wanted, set->services, set->count, sizeof(wanted), compare_services);
}

struct real_server *service_real_find(const struct service *service, const struct real_server *real)
{
	for (size_t i = 0; service && i < service->n_real_servers; i++)
		if (service_real_compare(&service->real_servers[i], real) == 0)
			return &service->real_servers[i];
	return NULL;
}

bool service_same(const struct service *a, const struct service *b)
{
	return strcmp(a->scheduler, b->scheduler) == 0 && strcmp(a->engine, b->engine) == 0 &&
	       a->flags == b->flags && a->persistence == b->persistence && a->netmask == b->netmask;
}

bool service_real_same(const struct real_server *a, const struct real_server *b)
{
	return a->weight == b->weight && a->forwarding == b->forwarding &&
	       a->upper_threshold == b->upper_threshold &&
	       a->lower_threshold == b->lower_threshold && a->tunnel == b->tunnel &&
	       a->tunnel_port == b->tunnel_port && a->tunnel_flags == b->tunnel_flags;
}

static bool reals_same(const struct service *a, const struct service *b)
{
	bool same = a->n_real_servers == b->n_real_servers;

	for (size_t i = 0; same && i < a->n_real_servers; i++) {
		const struct real_server *ra = &a->real_servers[i], *rb = &b->real_servers[i];

		same = service_real_compare(ra, rb) == 0 && service_real_same(ra, rb) &&
		       ra->table_weight == rb->table_weight;
	}
	return same;
}

bool service_set_same(const struct service_set *a, const struct service_set *b)
{
	bool same = a->count == b->count;

	for (size_t i = 0; same && i < a->count; i++) {
		const struct service *sa = &a->services[i], *sb = &b->services[i];

		same = service_key_compare(&sa->key, &sb->key) == 0 && service_same(sa, sb) &&
		       reals_same(sa, sb);
	}
	return same;
}

bool service_is_mh(const struct service *service)
{
	return strcmp(service->scheduler, "mh") == 0;
}

bool service_is_ordered(const struct service *service)
{
	return service_is_mh(service) || strcmp(service->scheduler, "sh") == 0 ||
	       strcmp(service->scheduler, "dh") == 0;
}

uint32_t service_real_share(const struct real_server *real)
{
	return real->weight ? real->weight : real->table_weight;
}

uint32_t service_netmask_full(uint8_t family)
{
	return family == AF_INET6 ? 128 : UINT32_MAX;
}

size_t service_set_vips(const struct service_set *set, struct ip_addr *ret_vips, size_t max)
{
	const struct ip_addr *last = NULL;
	size_t count = 0;

	for (size_t i = 0; i < set->count; i++) {
		const struct service_key *key = &set->services[i].key;

		if (key->fwmark != 0 || (last && ip_addr_compare(last, &key->vip.ip) == 0))
			continue;
		last = &key->vip.ip;
		if (count < max)
			ret_vips[count] = *last;
		count++;
	}
	return count;
}

const char *service_protocol_name(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_SCTP:
		return "sctp";
	default:
		return "?";
	}
}

const char *service_forwarding_name(uint8_t forwarding)
{
	static const char *const names[] = {"nat", "local", "tunnel", "direct", "bypass"};

	return forwarding < ARRAY_SIZE(names) ? names[forwarding] : "?";
}

const char *service_tunnel_name(uint8_t tunnel)
{
	static const char *const names[] = {"ipip", "gue", "gre"};

	return tunnel < ARRAY_SIZE(names) ? names[tunnel] : "?";
}

char *service_key_format(const struct service_key *key, char *text)
{
	char vip[ENDPOINT_TEXT];

	if (key->fwmark != 0)
		snprintf(text, SERVICE_TEXT, "fwmark %u%s", key->fwmark,
			 key->vip.ip.family == AF_INET6 ? " IPv6" : "");
	else
		snprintf(text, SERVICE_TEXT, "%s %s", service_protocol_name(key->protocol),
			 endpoint_format(&key->vip, vip));
	return text;
}
