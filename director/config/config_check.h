/* The part of the configuration that says how real servers are checked: the key `check` of a
 * service, and of a real server, which inherits the service's keys that it does not have itself.
 * Only config_service.c includes this. */
#ifndef DIRECTOR_CONFIG_CONFIG_CHECK_H
#define DIRECTOR_CONFIG_CONFIG_CHECK_H

#include "director/config/check_pool.h"
#include "director/config/outline.h"
#include "director/service/service.h"

/* node: the service's mapping, whose real servers are in the order of the text. Sets the check of
 * each. 0; -EINVAL and why; -ENOMEM. */
int config_check_read(const struct outline *outline, outline_node_t node, struct service *service,
		      struct check_pool *pool, struct outline_fault *ret_fault);

#endif
