#include "tests/sim/kernel_model.h"

#include <assert.h>
#include <stdlib.h>

#include "director/service/kernel_conns.h"

#define REFRESH 60u /* s, net.ipv4.vs.sync_refresh_period */
#define TCP_SYN_RECV 3
/* s: of a template that controls connections, and of one that is injected without. */
#define LATER 60u
#define OF_ITS_OWN 180u

struct held {
	struct entry entry;
	struct flow control; /* the template; family 0: none */
	usec_t expires, reported;
};

struct kernel_model {
	struct service_set services;
	bool configured; /* else of all that was ever put */
	unsigned int count;
	usec_t soonest; /* no entry expires before */
	struct held held[KERNEL_MODEL_MAX];
};

struct kernel_model *kernel_model_new(void)
{
	struct kernel_model *kernel = calloc(1, sizeof(*kernel));

	if (!kernel)
		abort();
	kernel->soonest = USEC_NEVER;
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

/* Services */

void kernel_model_configure(struct kernel_model *kernel, const struct service_set *services)
{
	service_set_fini(&kernel->services);
	kernel->configured = true;
	for (size_t i = 0; i < services->count; i++) {
		if (!service_set_add(&kernel->services, &services->services[i]))
			abort();
	}
	service_set_sort(&kernel->services);
}

static uint32_t mark_of(const struct entry *entry)
{
	return entry->flow.template && entry->flow.protocol == 0 ? load_be32(entry->flow.vaddr)
								 : entry->fwmark;
}

static struct service *service_get(struct service_set *services, const struct entry *entry)
{
	const struct flow *flow = &entry->flow;
	struct service service;

	memset(&service, 0, sizeof(service));
	service.netmask = service_netmask_full(flow->family);
	service.key.vip.ip.family = flow->family;
	service.key.fwmark = mark_of(entry);
	if (!service.key.fwmark) {
		memcpy(service.key.vip.ip.bytes, flow->vaddr, sizeof(flow->vaddr));
		service.key.vip.port = flow->vport;
		service.key.protocol = flow->protocol;
	}
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
	real.weight = 1;
	for (size_t i = 0; i < service->n_real_servers; i++) {
		if (service_real_compare(&service->real_servers[i], &real) == 0)
			return &service->real_servers[i];
	}
	return service_add(service, &real);
}

/* NULL: it is unbound. */
static struct real_server *bound(struct kernel_model *kernel, const struct entry *entry)
{
	const struct service *of;
	struct service *service;
	struct real_server *real;

	/* The message's mark must be the service's. */
	if (kernel->configured && mark_of(entry) != entry->fwmark)
		return NULL;
	if (kernel->configured)
		return (struct real_server *)kernel_conns_real(&kernel->services, entry, &of);
	service = service_get(&kernel->services, entry);
	real = service ? real_get(service, entry) : NULL;
	if (!real)
		abort();
	return real;
}

/* Entries */

static bool is_elsewhere(const struct entry *a, const struct entry *b)
{
	return a->dport != b->dport || memcmp(a->daddr, b->daddr, sizeof(a->daddr)) != 0;
}

/* ip_vs_protocol_timeout: tcp_timeouts, udp_timeouts. */
static uint32_t timeout_of(const struct entry *entry)
{
	static const uint32_t tcp[] = {2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120};

	if (entry->timeout)
		return entry->timeout;
	if (entry->flow.template)
		return OF_ITS_OWN;
	if (entry->flow.protocol == IPPROTO_TCP && entry->state < ARRAY_SIZE(tcp))
		return tcp[entry->state];
	return entry->flow.protocol == IPPROTO_UDP ? 300 : OF_ITS_OWN;
}

static void timer_start(struct kernel_model *kernel, struct held *held, usec_t now)
{
	held->expires = now + held->entry.timeout * USEC_PER_SEC;
	kernel->soonest = MIN(kernel->soonest, held->expires);
}

static struct held *held_put(struct kernel_model *kernel, const struct entry *entry, usec_t now)
{
	struct held *held = held_find(kernel, &entry->flow);

	if (!held) {
		assert(kernel->count < KERNEL_MODEL_MAX);
		held = &kernel->held[kernel->count++];
		*held = (struct held){0};
	}
	bound(kernel, entry);
	held->entry = *entry;
	held->entry.options = NULL;
	held->entry.timeout = timeout_of(entry);
	timer_start(kernel, held, now);
	return held;
}

static bool report_due(struct held *held, usec_t now)
{
	usec_t period = MIN(REFRESH, MAX(held->entry.timeout / 2, 10u)) * USEC_PER_SEC;

	if (held->reported && now < held->reported + period)
		return false;
	held->reported = now;
	return true;
}

bool kernel_model_carry(struct kernel_model *kernel, const struct entry *entry, usec_t now)
{
	struct held *held = held_find(kernel, &entry->flow);
	uint16_t was = held ? held->entry.state : 0;

	held = held_put(kernel, entry, now);
	if (entry->state == TCP_SYN_RECV)
		return false;
	if (was != entry->state)
		held->reported = 0;
	return report_due(held, now);
}

/* Persistence */

static void template_of(const struct service *service, const struct entry *entry,
			struct entry *ret_template)
{
	struct flow *flow = &ret_template->flow;

	*ret_template = *entry;
	ret_template->flags = (entry->flags & ENTRY_FWD_MASK) | ENTRY_TEMPLATE;
	ret_template->state = 0;
	ret_template->timeout = service->persistence;
	flow->template = 1;
	flow->cport = 0;
	if (flow->family == AF_INET)
		store_be32(flow->caddr, load_be32(flow->caddr) & service->netmask);
	for (unsigned int bit = service->netmask; flow->family == AF_INET6 && bit < 128; bit++)
		flow->caddr[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	if (service->key.fwmark) {
		memset(flow->vaddr, 0, sizeof(flow->vaddr));
		store_be32(flow->vaddr, service->key.fwmark);
		flow->protocol = 0;
		flow->vport = ret_template->dport = 0;
	}
}

/* A template that can't be used is given up. */
static struct held *template_get(struct kernel_model *kernel, const struct entry *template,
				 usec_t now)
{
	struct held *held = held_find(kernel, &template->flow);

	if (held && !bound(kernel, &held->entry)) {
		kernel_model_lose(kernel, (unsigned int)(held - kernel->held));
		held = NULL;
	}
	if (!held)
		held = held_put(kernel, template, now);
	timer_start(kernel, held, now);
	return held;
}

bool kernel_model_connect(struct kernel_model *kernel, const struct entry *entry, usec_t now,
			  const struct entry **ret_entry)
{
	const struct service *service = kernel_conns_service(&kernel->services, entry);
	struct entry is = *entry, template;
	bool reported;

	if (!service || !service->persistence) {
		reported = kernel_model_carry(kernel, entry, now);
		*ret_entry = kernel_model_find(kernel, &entry->flow);
		return reported;
	}
	template_of(service, entry, &template);
	template = template_get(kernel, &template, now)->entry;
	memcpy(is.daddr, template.daddr, sizeof(is.daddr));
	if (template.dport)
		is.dport = template.dport;
	reported = kernel_model_carry(kernel, &is, now);
	held_find(kernel, &is.flow)->control = template.flow;
	*ret_entry = kernel_model_find(kernel, &is.flow);
	return reported;
}

const struct entry *kernel_model_control(struct kernel_model *kernel, const struct flow *flow,
					 usec_t now)
{
	struct held *held = held_find(kernel, flow);

	held = held && held->control.family ? held_find(kernel, &held->control) : NULL;
	return held && report_due(held, now) ? &held->entry : NULL;
}

static bool controls(const struct kernel_model *kernel, const struct held *template)
{
	for (unsigned int i = 0; template->entry.flow.template && i < kernel->count; i++) {
		if (memcmp(&kernel->held[i].control, &template->entry.flow, sizeof(struct flow)) ==
		    0)
			return true;
	}
	return false;
}

/* Injection */

static void template_inject(struct kernel_model *kernel, const struct entry *entry, usec_t now)
{
	struct held *held = held_find(kernel, &entry->flow);

	if (!held) {
		held_put(kernel, entry, now);
		return;
	}
	held->entry.state = entry->state;
	held->entry.timeout = timeout_of(entry);
	timer_start(kernel, held, now);
}

void kernel_model_inject(struct kernel_model *kernel, const struct entry *entry, usec_t now)
{
	struct held *held = held_find(kernel, &entry->flow);

	if (entry->flow.template) {
		template_inject(kernel, entry, now);
		return;
	}
	if (held && is_elsewhere(&held->entry, entry)) {
		/* The end of a connection that went elsewhere meanwhile. */
		if (entry->flags & ENTRY_INACTIVE)
			return;
		held->control = (struct flow){0};
	}
	held_put(kernel, entry, now);
}

/* Time */

void kernel_model_lose(struct kernel_model *kernel, unsigned int i)
{
	struct flow flow = kernel->held[i].entry.flow;

	kernel->held[i] = kernel->held[--kernel->count];
	for (i = 0; flow.template && i < kernel->count; i++) {
		if (memcmp(&kernel->held[i].control, &flow, sizeof(flow)) == 0)
			kernel->held[i].control = (struct flow){0};
	}
}

const struct entry *kernel_model_expire(struct kernel_model *kernel, usec_t now)
{
	usec_t soonest = USEC_NEVER;

	if (now < kernel->soonest)
		return NULL;
	for (unsigned int i = 0; i < kernel->count;) {
		struct held *held = &kernel->held[i];

		if (held->expires <= now && controls(kernel, held)) {
			held->entry.timeout = LATER;
			timer_start(kernel, held, now);
			held->reported = now;
			return &held->entry;
		}
		if (held->expires <= now) {
			kernel_model_lose(kernel, i);
			continue;
		}
		soonest = MIN(soonest, held->expires);
		i++;
	}
	kernel->soonest = soonest;
	return NULL;
}

unsigned int kernel_model_count(const struct kernel_model *kernel)
{
	return kernel->count;
}

const struct entry *kernel_model_at(const struct kernel_model *kernel, unsigned int i)
{
	return &kernel->held[i].entry;
}

usec_t kernel_model_ends(const struct kernel_model *kernel, unsigned int i)
{
	return kernel->held[i].expires;
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

		for (size_t j = 0; j < service->n_real_servers; j++) {
			struct real_server *real = &service->real_servers[j];

			real->active = real->inactive = real->persistent = 0;
		}
	}
	for (unsigned int i = 0; i < kernel->count; i++) {
		const struct entry *entry = &kernel->held[i].entry;
		struct real_server *real = bound(kernel, entry);

		if (!real)
			continue;
		real->persistent += entry->flow.template;
		real->inactive += !entry->flow.template && entry->flags & ENTRY_INACTIVE;
		real->active += !entry->flow.template && !(entry->flags & ENTRY_INACTIVE);
	}
	for (size_t i = 0; i < kernel->services.count; i++) {
		if (!service_set_add(&copy, &kernel->services.services[i]))
			abort();
	}
	service_set_sort(&copy);
	*ret_services = copy;
}
