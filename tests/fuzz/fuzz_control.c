/* A request is refused for a known reason, or it is one that can be answered, and filters. */
#include <stdlib.h>

#include "director/control/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* An entry is either our own or learned: a filter matches at most one of the two. */
static void filter(struct control_filter *filter)
{
	struct service service = {.name = "web", .key = {.protocol = IPPROTO_TCP}};
	const struct service_set services = {&service, 1};
	const struct entry entry = {.flow = {.family = AF_INET, .protocol = IPPROTO_TCP}};
	bool own, learned;

	if (!control_filter_service(filter, &services))
		return;
	own = control_filter_match(filter, &entry, "d1", "1", true);
	learned = control_filter_match(filter, &entry, "d1", "1", false);
	check(filter->own || filter->learned ? !own || !learned : own == learned);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_request request;
	int r = control_request_parse((const char *)data, size, &request);

	if (r < 0) {
		check(-r < CONTROL_E_MAX && *control_error_name(-r) != '?');
		return 0;
	}
	check(r == 0 && request.command < CONTROL_COMMANDS);
	check(request.command == CONTROL_CONNECTIONS || request.filter.any.ip.family == 0);
	check(request.command == CONTROL_EVENTS || !request.follow);
	check(memchr(request.filter.state, '\0', sizeof(request.filter.state)));
	check(memchr(request.filter.origin, '\0', sizeof(request.filter.origin)));
	check(memchr(request.filter.protocol, '\0', sizeof(request.filter.protocol)));
	check(memchr(request.filter.service, '\0', sizeof(request.filter.service)));
	check(memchr(request.service, '\0', sizeof(request.service)));
	check(request.setting < HEALTH_SETTINGS && request.weight <= SERVICE_WEIGHT_MAX);
	check(request.setting == HEALTH_SET_WEIGHT || request.weight == 0);
	check(request.command != CONTROL_SET || request.real.ip.family != 0);
	filter(&request.filter);
	return 0;
}
