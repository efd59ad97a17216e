/* The part of the configuration that describes the cluster. Only config.c includes this. */
#ifndef DIRECTOR_CONFIG_CONFIG_CLUSTER_H
#define DIRECTOR_CONFIG_CONFIG_CLUSTER_H

#include "director/config/config.h"
#include "director/config/config_schema.h"
#include "director/config/outline.h"

/* node: the mapping of the key `cluster`. Memory that it leaves behind on an error is freed with
 * the configuration. 0; -EINVAL and why; -ENOMEM. */
int config_cluster_read(const struct raw_cluster *raw, const struct outline *outline,
			outline_node_t node, struct config *config,
			struct outline_fault *ret_fault);

#endif
