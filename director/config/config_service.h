/* The part of the configuration that describes services. Only config.c includes this. */
#ifndef DIRECTOR_CONFIG_CONFIG_SERVICE_H
#define DIRECTOR_CONFIG_CONFIG_SERVICE_H

#include "director/config/check_pool.h"
#include "director/config/config_schema.h"
#include "director/config/outline.h"
#include "director/service/service.h"

/* Fills an empty set, and the pool with its checks, from the raw services, whose mappings are the
 * items of the node `services`; memory that it leaves behind on an error is freed with both. 0;
 * -EINVAL and why; -ENOMEM. */
int config_service_read(const struct raw_config *raw, const struct outline *outline,
			outline_node_t services, struct service_set *set, struct check_pool *pool,
			struct outline_fault *ret_fault);

/* Sets a real server's forwarding method and tunnel, NULL: the service's. */
void config_service_forwarding(const struct raw_service *raw, const uint32_t *forwarding,
			       const struct raw_tunnel *tunnel, struct real_server *real);

/* "192.0.2.1:80", "[2001:db8::1]:80"; a port of 0 or none at all is port 0. 0, or -EINVAL. */
int config_service_address(const char *text, struct endpoint *ret_endpoint);

/* A whole number of s, m, h or ms. 0, or -EINVAL: no unit, or, for seconds, no whole ones. */
int config_service_duration(const char *text, usec_t *ret_duration);
int config_service_seconds(const char *text, uint32_t *ret_seconds);

/* "50%": a whole number up to 999. 0, or -EINVAL. */
int config_service_percent(const char *text, unsigned int *ret_percent);

#endif
