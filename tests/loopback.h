/* Addresses on which a test's own sockets may listen. To be included after cmocka.h. */
#ifndef TESTS_LOOPBACK_H
#define TESTS_LOOPBACK_H

#include <unistd.h>

#include "proto/endpoint.h"

/* An address of the loopback with a TCP port that is free now. Each process has another address,
 * or the next one that runs beside it could take the port before it is used. */
static inline struct endpoint endpoint_free(void)
{
	unsigned int process = (unsigned int)getpid();
	struct endpoint endpoint = {.ip = {.family = AF_INET,
					   .bytes = {127, (uint8_t)(1 + process / 65536 % 64),
						     (uint8_t)(process / 256), (uint8_t)process}}};
	struct sockaddr_storage address;
	socklen_t len = endpoint_to_sockaddr(&endpoint, &address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&address, &endpoint), 0);
	close(fd);
	return endpoint;
}

#endif
