/* Services that IPVS takes, and that do otherwise than an operator expects. Warnings, since each
 * may be meant so. Only config.c includes this. */
#ifndef DIRECTOR_CONFIG_CONFIG_WARNING_H
#define DIRECTOR_CONFIG_CONFIG_WARNING_H

#include "director/config/config.h"
#include "director/config/outline.h"

/* Fills in the configuration's warnings. Its services are in the order of the text, as the items of
 * `services`. name: what the warnings call the text. 0, or -ENOMEM. */
int config_warning_collect(const struct outline *outline, outline_node_t services, const char *name,
			   struct config *config);

#endif
