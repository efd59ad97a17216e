#include "tests/sim/kernel_model.h"

#include <assert.h>
#include <stdlib.h>

#define REFRESH 60u /* s, net.ipv4.vs.sync_refresh_period */
#define TCP_SYN_RECV 3

struct held {
	struct entry entry;
	usec_t expires, reported;
};

struct kernel_model {
	struct service_set services; /* of all that was ever put */
	unsigned int count;
	struct held held[KERNEL_MODEL_MAX];
};

struct kernel_model *kernel_model_new(void)
{
	struct kernel_model *kernel = calloc(1, sizeof(*kernel));

	if (!kernel)
		abort();
	return kernel;
}

void kernel_model_free(struct kernel_model *kernel)
{
	service_set_fini(&kernel->services);
	free(kernel);
}

void kernel_model_flush(struct kernel_model *kernel)
{
	kernel->count = 0;
}

static struct held *held_find(const struct kernel_model *kernel, const struct flow *flow)
{
	for (unsigned int i = 0; i < kernel->count; i++) {
		if (memcmp(&kernel->held[i].entry.flow, flow, sizeof(*flow)) == 0)
			return (struct held *)&kernel->held[i];
	}
	return NULL;
}

static struct service *service_get(struct service_set *services, const struct flow *flow)
{
	struct service service;

	memset(&service, 0, sizeof(service));
	service.key.vip.ip.family = flow->family;
	memcpy(service.key.vip.ip.bytes, flow->vaddr, sizeof(flow->vaddr));
	service.key.vip.port = flow->vport;
	service.key.protocol = flow->protocol;
	for (size_t i = 0; i < services->count; i++) {
		if (service_key_compare(&services->services[i].key, &service.key) == 0)
			return &services->services[i];
	}
	return service_set_add(services, &service);
}

static struct real_server *real_get(struct service *service, const struct entry *entry)
{
	struct real_server real;

	memset(&real, 0, sizeof(real));
	real.endpoint.ip.family = entry->flow.family;
	memcpy(real.endpoint.ip.bytes, entry->daddr, sizeof(entry->daddr));
	real.endpoint.port = entry->dport;
	for (size_t i = 0; i < service->n_real_servers; i++) {
		if (real_server_compare(&service->real_servers[i], &real) == 0)
			return &service->real_servers[i];
	}
	return service_add(service, &real);
}

static struct real_server *configured(struct kernel_model *kernel, const struct entry *entry)
{
	struct service *service = service_get(&kernel->services, &entry->flow);
	struct real_server *real = service ? real_get(service, entry) : NULL;

	if (!real)
		abort();
	return real;
}

static struct held *held_put(struct kernel_model *kernel, const struct entry *entry, usec_t now)
{
	struct held *held = held_find(kernel, &entry->flow);

	if (!held) {
		assert(kernel->count < KERNEL_MODEL_MAX);
		held = &kernel->held[kernel->count++];
		*held = (struct held){0};
	}
	configured(kernel, entry);
	held->entry = *entry;
	held->entry.options = NULL;
	held->expires = now + entry->timeout * USEC_PER_SEC;
	return held;
}

bool kernel_model_carry(struct kernel_model *kernel, const struct entry *entry, usec_t now)
{
	struct held *held = held_find(kernel, &entry->flow);
	uint16_t was = held ? held->entry.state : 0;
	usec_t period = MIN(REFRESH, MAX(entry->timeout / 2, 10u)) * USEC_PER_SEC;

	held = held_put(kernel, entry, now);
	if (entry->state == TCP_SYN_RECV ||
	    (was == entry->state && held->reported && now < held->reported + period))
		return false;
	held->reported = now;
	return true;
}

void kernel_model_inject(struct kernel_model *kernel, const struct entry *entry, usec_t now)
{
	const struct held *held = held_find(kernel, &entry->flow);

	/* The end of a connection that went elsewhere meanwhile. */
	if (held && entry->flags & ENTRY_INACTIVE &&
	    (held->entry.dport != entry->dport ||
	     memcmp(held->entry.daddr, entry->daddr, sizeof(entry->daddr)) != 0))
		return;
	held_put(kernel, entry, now);
}

void kernel_model_lose(struct kernel_model *kernel, unsigned int i)
{
	kernel->held[i] = kernel->held[--kernel->count];
}

void kernel_model_expire(struct kernel_model *kernel, usec_t now)
{
	for (unsigned int i = 0; i < kernel->count;) {
		if (kernel->held[i].expires <= now)
			kernel_model_lose(kernel, i);
		else
			i++;
	}
}

unsigned int kernel_model_count(const struct kernel_model *kernel)
{
	return kernel->count;
}

const struct entry *kernel_model_at(const struct kernel_model *kernel, unsigned int i)
{
	return &kernel->held[i].entry;
}

const struct entry *kernel_model_find(const struct kernel_model *kernel, const struct flow *flow)
{
	const struct held *held = held_find(kernel, flow);

	return held ? &held->entry : NULL;
}

void kernel_model_services(struct kernel_model *kernel, struct service_set *ret_services)
{
	struct service_set copy = {0};

	for (size_t i = 0; i < kernel->services.count; i++) {
		struct service *service = &kernel->services.services[i];

		for (size_t j = 0; j < service->n_real_servers; j++)
			service->real_servers[j].active = service->real_servers[j].inactive = 0;
	}
	for (unsigned int i = 0; i < kernel->count; i++) {
		const struct entry *entry = &kernel->held[i].entry;
		struct real_server *real = configured(kernel, entry);

		if (entry->flags & ENTRY_INACTIVE)
			real->inactive++;
		else
			real->active++;
	}
	for (size_t i = 0; i < kernel->services.count; i++) {
		if (!service_set_add(&copy, &kernel->services.services[i]))
			abort();
	}
	service_set_sort(&copy);
	*ret_services = copy;
}
