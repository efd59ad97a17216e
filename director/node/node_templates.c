/* Which connections a persistence template may control: sync needs that (sync/templates.c), and
 * knows no services. */
#include "director/node/node_private.h"
#include "director/service/kernel_conns.h"

static void mask(uint8_t *address, uint8_t family, uint32_t netmask)
{
	if (family == AF_INET) {
		store_be32(address, load_be32(address) & netmask);
		return;
	}
	for (unsigned int i = 0; i < 16; i++) {
		unsigned int bits = netmask > 8 * i ? MIN(netmask - 8 * i, 8u) : 0;

		address[i] &= (uint8_t)(0xff00u >> bits);
	}
}

/* As ip_vs_sched_persist() makes it (net/netfilter/ipvs/ip_vs_core.c). */
static void template_of(const struct service *service, const struct flow *flow,
			struct flow *ret_template)
{
	struct flow template = *flow;

	template.template = 1;
	template.cport = 0;
	mask(template.caddr, flow->family, service->netmask);
	if (service->key.fwmark) {
		memset(template.vaddr, 0, sizeof(template.vaddr));
		store_be32(template.vaddr, service->key.fwmark);
		template.protocol = IPPROTO_IP;
	}
	if (service->key.fwmark || service->key.vip.port == 0)
		template.vport = 0;
	*ret_template = template;
}

/* False: no room for it now. */
static bool look(struct node *node, const struct entry *entry, const struct sync_info *info,
		 struct now now)
{
	const struct service_set *services = kernel_compare_services(node->kernel.compare);
	const struct service *service;
	struct flow template;

	(void)now;
	if (entry->flow.template) {
		if (!kernel_conns_real(services, entry, &service))
			sync_template_leave(node->sync, &entry->flow);
		return true;
	}
	service = info->in_kernel ? kernel_conns_service(services, entry) : NULL;
	if (!service)
		return true;
	template_of(service, &entry->flow, &template);
	return !sync_template_differs(node->sync, &template) ||
	       sync_detach(node->sync, &entry->flow) == 0;
}

void node_templates_tick(struct node *node, struct now now)
{
	if (!sync_templates_detach(node->sync) ||
	    kernel_compare_services(node->kernel.compare)->count == 0 ||
	    !node_kernel_walk(node, &node->templates_cursor, look, now))
		return;
	node->templates_cursor = 0;
	sync_detached(node->sync);
}
