/* The part of the configuration that says what follows from the verdict on a service's real
 * servers: its policies, and its sorry server. Only config_service.c includes this. */
#ifndef DIRECTOR_CONFIG_CONFIG_HEALTH_H
#define DIRECTOR_CONFIG_CONFIG_HEALTH_H

#include "director/config/config_schema.h"
#include "director/config/outline.h"
#include "director/service/service.h"

/* node: the service's mapping. Its real servers have been read. 0, or -EINVAL and
 * why. */
int config_health_read(const struct raw_service *raw, const struct outline *outline,
		       outline_node_t node, struct service *service,
		       struct outline_fault *ret_fault);

#endif
