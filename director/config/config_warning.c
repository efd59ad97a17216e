#include "director/config/config_warning.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SH_BUCKETS 256 /* IP_VS_SH_TAB_SIZE of kernels as they are shipped */

struct warner {
	const struct outline *outline;
	outline_node_t node; /* the service */
	const char *name;
	struct config *config;
	const struct service *service;
	bool no_memory;
};

/* At the value of a key, or at the service if it has no such key. */
__attribute__((format(printf, 3, 4))) static void warn(struct warner *warner, const char *key,
						       const char *form, ...)
{
	struct config_warnings *warnings = &warner->config->warnings;
	outline_node_t node = outline_child(warner->outline, warner->node, key);
	struct config_error text;
	va_list args;
	int len;

	warnings->count++;
	if (warnings->count > CONFIG_WARNINGS_MAX)
		return;
	len = snprintf(text.text, sizeof(text.text), "%.96s:%u: service %s: ", warner->name,
		       outline_line(warner->outline, node ? node : warner->node),
		       warner->service->name);
	va_start(args, form);
	vsnprintf(text.text + len, sizeof(text.text) - (size_t)len, form, args);
	va_end(args);
	warnings->texts[warnings->count - 1] = strdup(text.text);
	if (!warnings->texts[warnings->count - 1])
		warner->no_memory = true;
}

static bool has_scheduler(const struct warner *warner, const char *name)
{
	return strcmp(warner->service->scheduler, name) == 0;
}

/* Properties of a service's real servers. */
struct traits {
	uint32_t heaviest, lightest; /* weights, 0 apart */
	unsigned int at_heaviest;    /* real servers with that weight */
	uint64_t weights;
	bool drained;               /* some weight is 0 */
	bool checked, agent, weigh; /* some are checked, by an agent; weights differ */
};

static struct traits traits_get(const struct service *service)
{
	struct traits traits = {.lightest = UINT32_MAX};

	for (size_t i = 0; i < service->n_real_servers; i++) {
		const struct real_server *real = &service->real_servers[i];

		traits.checked = traits.checked || real->check;
		traits.agent = traits.agent || (real->check && real->check->type == CHECK_AGENT);
		traits.weights += real->weight;
		if (real->weight == 0) {
			traits.drained = true;
			continue;
		}
		if (real->weight > traits.heaviest)
			traits.at_heaviest = 0;
		traits.heaviest = MAX(traits.heaviest, real->weight);
		traits.lightest = MIN(traits.lightest, real->weight);
		if (real->weight == traits.heaviest)
			traits.at_heaviest++;
	}
	traits.weigh = traits.heaviest > 0 && traits.heaviest != traits.lightest;
	return traits;
}

/* sh gives each real server as many neighbouring buckets of its table as its weight says, and the
 * table keeps the bucket of a real server whose weight becomes 0. */
static void warn_sh(struct warner *warner, const struct traits *traits)
{
	const struct service *service = warner->service;

	if (traits->weights > SH_BUCKETS)
		warn(warner, "scheduler",
		     "the scheduler sh has %u buckets, and each real server takes as many as its "
		     "weight, so with weights of %ju in sum some get no client at all; write "
		     "smaller weights, or scheduler: mh",
		     SH_BUCKETS, (uintmax_t)traits->weights);
	if (!(service->flags & SERVICE_FLAG_1) && (traits->checked || traits->drained))
		warn(warner, "scheduler",
		     "without sh-fallback the scheduler sh refuses the clients of a real server of "
		     "weight 0; write scheduler-flags: [sh-fallback]");
	if (service->health.slow_start > 0)
		warn(warner, "slow-start",
		     "with the scheduler sh each step of slow-start moves clients of other real "
		     "servers as well; leave it out, or write scheduler: wlc");
}

static void warn_mh(struct warner *warner)
{
	if (warner->service->health.slow_start > 0)
		warn(warner, "slow-start",
		     "with the scheduler mh each step of slow-start moves some new connections of "
		     "clients of other real servers as well; leave it out, or write scheduler: "
		     "wlc");
}

/* The kernel's rr, lc and dh look only whether a weight is 0. */
static void warn_weightless(struct warner *warner, const struct traits *traits, const char *better)
{
	const char *scheduler = warner->service->scheduler;

	if (traits->weigh)
		warn(warner, "scheduler",
		     "the scheduler %s ignores weights, so the real servers of weight %u and %u "
		     "get the same share; write scheduler: %s, or one weight for all",
		     scheduler, traits->lightest, traits->heaviest, better);
	if (traits->agent)
		warn(warner, "scheduler",
		     "the scheduler %s ignores weights, so an agent's percentage does nothing; "
		     "write scheduler: %s",
		     scheduler, better);
}

/* fo takes the available real server of the highest weight. */
static void warn_fo(struct warner *warner, const struct traits *traits)
{
	if (traits->at_heaviest > 1)
		warn(warner, "scheduler",
		     "the scheduler fo sends everything to one real server, that of the highest "
		     "weight, and %u have weight %u; write a different weight, its rank, for "
		     "each, or scheduler: wlc",
		     traits->at_heaviest, traits->heaviest);
	if (traits->agent)
		warn(warner, "scheduler",
		     "the scheduler fo takes weights as ranks, so an agent's percentage may move "
		     "everything to another real server; write scheduler: wlc");
}

/* Keys that do nothing while no real server is checked. */
static void warn_unchecked(struct warner *warner, const struct traits *traits)
{
	static const char *const keys[] = {"checkers", "on-down", "connections-of-down",
					   "panic-threshold", "slow-start"};

	for (size_t i = 0; !traits->checked && i < ARRAY_SIZE(keys); i++)
		if (outline_child(warner->outline, warner->node, keys[i]))
			warn(warner, keys[i],
			     "%s does nothing while no real server is checked; write check: and "
			     "its keys",
			     keys[i]);
}

static void warn_one_address(struct warner *warner)
{
	outline_node_t check = outline_child(warner->outline, warner->node, "check");
	const struct service *service = warner->service;

	if (!outline_child(warner->outline, check, "address") || service->n_real_servers < 2 ||
	    !service->real_servers[0].check ||
	    service->real_servers[0].check->via != CHECK_VIA_ADDRESS)
		return;
	warn(warner, "check",
	     "with an address in the service's check all its real servers have one verdict; write "
	     "check: {address: ...} in each real server");
}

static void warn_service(struct warner *warner)
{
	struct traits traits = traits_get(warner->service);

	if (has_scheduler(warner, "sh"))
		warn_sh(warner, &traits);
	else if (has_scheduler(warner, "mh"))
		warn_mh(warner);
	else if (has_scheduler(warner, "rr"))
		warn_weightless(warner, &traits, "wrr");
	else if (has_scheduler(warner, "lc"))
		warn_weightless(warner, &traits, "wlc");
	else if (has_scheduler(warner, "dh"))
		warn_weightless(warner, &traits, "mh");
	else if (has_scheduler(warner, "fo"))
		warn_fo(warner, &traits);
	warn_unchecked(warner, &traits);
	warn_one_address(warner);
}

int config_warning_collect(const struct outline *outline, outline_node_t services, const char *name,
			   struct config *config)
{
	struct warner warner = {.outline = outline, .name = name, .config = config};

	for (size_t i = 0; i < config->services.count; i++) {
		warner.node = outline_item(outline, services, i);
		warner.service = &config->services.services[i];
		warn_service(&warner);
	}
	return warner.no_memory ? -ENOMEM : 0;
}
