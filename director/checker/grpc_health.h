/* The two messages of grpc.health.v1.Health/Check, with gRPC's frame. Memory only. */
#ifndef DIRECTOR_CHECKER_GRPC_HEALTH_H
#define DIRECTOR_CHECKER_GRPC_HEALTH_H

#include "proto/base.h"

#define GRPC_HEALTH_PATH "/grpc.health.v1.Health/Check"
#define GRPC_HEALTH_SERVICE_MAX 255 /* bytes of a service's name */
#define GRPC_HEALTH_REQUEST_MAX (5 + 3 + GRPC_HEALTH_SERVICE_MAX)

/* service: NULL or empty: the server as a whole. The request's length; or -EINVAL: the name is too
 * long. */
int grpc_health_request(const char *service, uint8_t request[GRPC_HEALTH_REQUEST_MAX]);

/* The status of a response, as its enum has it: 0 UNKNOWN, 1 SERVING, 2 NOT_SERVING, 3
 * SERVICE_UNKNOWN, or a number that is newer. -EINVAL: not one whole uncompressed response. */
int grpc_health_response(const uint8_t *data, size_t len);

#define GRPC_HEALTH_SERVING 1

/* "NOT_SERVING"; never NULL. */
const char *grpc_health_status_name(int status);

#endif
