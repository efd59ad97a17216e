/* A request is refused for a known reason, or it is one that can be answered. */
#include <stdlib.h>

#include "director/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_request request;
	int r = control_request_parse((const char *)data, size, &request);

	if (r < 0) {
		check(-r < CONTROL_E_MAX && *control_error_name(-r) != '?');
		return 0;
	}
	check(r == 0 && request.command <= CONTROL_REMOVE);
	check(request.command == CONTROL_CONNECTIONS || request.filter.any.ip.family == 0);
	check(request.command == CONTROL_EVENTS || !request.follow);
	check(memchr(request.filter.state, '\0', sizeof(request.filter.state)));
	check(memchr(request.filter.origin, '\0', sizeof(request.filter.origin)));
	check(memchr(request.filter.protocol, '\0', sizeof(request.filter.protocol)));
	check(memchr(request.filter.service, '\0', sizeof(request.filter.service)));
	return 0;
}
