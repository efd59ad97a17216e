#include "sync/policy.h"

#include <stdlib.h>

/* The part of a second's flows that may come at once. */
#define BURST_DIVISOR 10

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, offsetof(struct policy_service, off));
}

void policy_set(struct policy *policy, const struct policy_options *options)
{
	bool any = false;

	free(policy->services);
	policy->services = options->services;
	policy->n_services = options->n_services;
	policy->min_age = options->min_age;
	policy->flood_rate = options->flood_rate;
	for (size_t i = 0; i < policy->n_services; i++)
		any = any || policy->services[i].off;
	if (any)
		qsort(policy->services, policy->n_services, sizeof(*policy->services), compare);
	else
		policy->n_services = 0;
}

void policy_fini(struct policy *policy)
{
	free(policy->services);
	*policy = (struct policy){0};
}

static const struct policy_service *find(const struct policy *policy,
					 const struct policy_service *key)
{
	return bsearch(key, policy->services, policy->n_services, sizeof(*key), compare);
}

bool policy_is_off(const struct policy *policy, const struct entry *entry)
{
	const struct policy_service *service = NULL;
	struct policy_service key = {.fwmark = entry->fwmark, .family = entry->flow.family};

	if (policy->n_services == 0)
		return false;
	if (entry->fwmark)
		service = find(policy, &key);
	key.fwmark = 0;
	key.protocol = entry->flow.protocol;
	key.port = entry->flow.vport;
	memcpy(key.address, entry->flow.vaddr, sizeof(key.address));
	if (!service)
		service = find(policy, &key);
	key.port = 0;
	if (!service)
		service = find(policy, &key);
	return service && service->off;
}

bool policy_admit(struct policy *policy, usec_t now)
{
	uint64_t full = MAX(policy->flood_rate * USEC_PER_SEC / BURST_DIVISOR, USEC_PER_SEC);

	if (policy->flood_rate == 0)
		return true;
	if (now >= policy->filled + USEC_PER_SEC || policy->filled == 0)
		policy->tokens = full;
	else if (now > policy->filled)
		policy->tokens =
			MIN(full, policy->tokens + (now - policy->filled) * policy->flood_rate);
	policy->filled = MAX(now, policy->filled);
	if (policy->tokens < USEC_PER_SEC)
		return false;
	policy->tokens -= USEC_PER_SEC;
	return true;
}

usec_t policy_admit_time(const struct policy *policy)
{
	if (policy->flood_rate == 0 || policy->tokens >= USEC_PER_SEC)
		return policy->filled;
	return policy->filled +
	       (USEC_PER_SEC - policy->tokens + policy->flood_rate - 1) / policy->flood_rate;
}
