/* Turns the configuration's keys `sync:` and `services[].sync` into a policy (sync/policy.h). */
#ifndef DIRECTOR_CONFIG_CONFIG_POLICY_H
#define DIRECTOR_CONFIG_CONFIG_POLICY_H

#include "director/config/config.h"
#include "sync/policy.h"

/* ret_policy->services comes from malloc() and is the caller's. 0, or -ENOMEM. */
int config_policy(const struct config *config, struct policy_options *ret_policy);

#endif
