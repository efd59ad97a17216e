/* A service with real servers that are checked, for the tests of director/check. */
#ifndef TESTS_HEALTH_FIXTURE_H
#define TESTS_HEALTH_FIXTURE_H

#include <stdlib.h>

#include "director/service/service.h"

static inline struct check health_fixture_check(void)
{
	struct check check = {.type = CHECK_TCP,
			      .interval = USEC_PER_SEC,
			      .fast_interval = 500 * USEC_PER_MSEC,
			      .timeout = 500 * USEC_PER_MSEC,
			      .fall = 3,
			      .rise = 2,
			      .jitter = 10};

	check_digest_make(&check);
	return check;
}

/* 203.0.113.N:80, and 10.0.0.I:80 of weight 100 for I from 1 to n, all checked so. */
static inline void health_fixture_add(struct service_set *set, uint8_t vip, uint8_t n,
				      const struct check *check)
{
	struct service *service, empty = {.key.protocol = 6, .health = health_policy_default};
	struct real_server real = {.weight = 100, .check = check};

	assert(endpoint_parse("203.0.113.0:80", &empty.key.vip) == 0);
	empty.key.vip.ip.bytes[3] = vip;
	service = service_set_add(set, &empty);
	assert(service);
	assert(endpoint_parse("10.0.0.0:80", &real.endpoint) == 0);
	for (uint8_t i = 1; i <= n; i++) {
		real.endpoint.ip.bytes[3] = i;
		assert(service_add(service, &real));
	}
}

#endif
