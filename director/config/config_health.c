#include "director/config/config_health.h"

#include <errno.h>
#include <stdlib.h>

#include "director/config/config_service.h"

#define CHECKERS_MAX 255
#define SLOW_START_MAX (3600 * USEC_PER_SEC)

struct health_reader {
	const struct outline *outline;
	outline_node_t node; /* the service */
	struct outline_fault *fault;
};

/* Refuses the value of a key, or the service if it has no such key. */
#define refuse(reader, key, ...)                                                                   \
	outline_refuse((reader)->outline, (reader)->fault, place(reader, key), __VA_ARGS__)

static outline_node_t place(const struct health_reader *reader, const char *key)
{
	outline_node_t node = outline_child(reader->outline, reader->node, key);

	return node ? node : reader->node;
}

static int read_checkers(const struct health_reader *reader, const char *text,
			 unsigned int *ret_checkers)
{
	size_t digits = text ? strspn(text, "0123456789") : 0;
	unsigned long number;

	if (!text)
		return 0;
	number = strtoul(text, NULL, 10);
	if (strcmp(text, "all") == 0)
		*ret_checkers = 0;
	else if (digits > 0 && text[digits] == '\0' && number >= 1 && number <= CHECKERS_MAX)
		*ret_checkers = (unsigned int)number;
	else
		return refuse(reader, "checkers",
			      "checkers is \"%s\"; write the number of directors that check each "
			      "real server, 1 to %u, or all",
			      text, CHECKERS_MAX);
	return 0;
}

static int read_panic(const struct health_reader *reader, const char *text,
		      unsigned int *ret_percent)
{
	unsigned int percent = 100;

	if (!text)
		return 0;
	if (strcmp(text, "off") != 0 &&
	    (config_service_percent(text, &percent) < 0 || percent < 1 || percent > 99))
		return refuse(reader, "panic-threshold",
			      "panic-threshold \"%s\" is not a percentage from 1%% to 99%%; write "
			      "one like 50%%, or off",
			      text);
	*ret_percent = percent;
	return 0;
}

/* Some schedulers have no use for a weight that grows. */
static int read_slow_start(const struct health_reader *reader, const char *text,
			   struct service *service)
{
	static const char *const without[] = {"rr", "lc", "dh", "fo", "ovf"};
	usec_t duration;

	if (!text)
		return 0;
	if (config_service_duration(text, &duration) < 0 || duration > SLOW_START_MAX)
		return refuse(reader, "slow-start",
			      "slow-start \"%s\" is not a valid duration up to 1h; write one like "
			      "30s",
			      text);
	for (size_t i = 0; duration > 0 && i < ARRAY_SIZE(without); i++)
		if (strcmp(service->scheduler, without[i]) == 0)
			return refuse(
				reader, "slow-start",
				"the scheduler %s gives a real server no share by its weight, "
				"so slow-start can't work; leave it out, or write scheduler: "
				"wlc",
				without[i]);
	service->health.slow_start = duration;
	return 0;
}

static int read_quorum(const struct health_reader *reader, const struct raw_service *raw,
		       struct service *service)
{
	size_t most = service->n_real_servers;

	service->health.quorum = raw->quorum ? *raw->quorum : 0;
	service->health.quorum_hysteresis = raw->quorum_hysteresis ? *raw->quorum_hysteresis : 0;
	if (service->health.quorum > most)
		return refuse(
			reader, "quorum",
			"quorum %u is more than the service's real servers, so it could never "
			"be up; write at most %zu",
			service->health.quorum, most);
	if (service->health.quorum == 0 && service->health.quorum_hysteresis > 0)
		return refuse(reader, "quorum-hysteresis",
			      "quorum-hysteresis does nothing without a quorum; write quorum: 1 as "
			      "well");
	if (service->health.quorum_hysteresis > most - service->health.quorum)
		return refuse(reader, "quorum-hysteresis",
			      "quorum and quorum-hysteresis are together more than the service's "
			      "real servers, so it could never come up again; write at most %zu",
			      most - service->health.quorum);
	return 0;
}

static int read_sorry(const struct health_reader *reader, const struct raw_service *raw,
		      struct service *service)
{
	const struct raw_sorry *from = raw->sorry;
	struct real_server sorry = {.forwarding = FORWARDING_DIRECT, .weight = 1};

	if (!from)
		return 0;
	if (config_service_address(from->address, &sorry.endpoint) < 0)
		return refuse(reader, "sorry-server",
			      "\"%s\" is not an address with a port; write one like 10.1.0.99:443 "
			      "or \"[2001:db8::99]:443\"",
			      from->address);
	config_service_forwarding(raw, from->forwarding, from->tunnel, &sorry);
	for (size_t i = 0; i < service->n_real_servers; i++)
		if (endpoint_compare(&service->real_servers[i].endpoint, &sorry.endpoint) == 0)
			return refuse(reader, "sorry-server",
				      "the sorry server %s is a real server of the service too; "
				      "write another one",
				      from->address);
	service->sorry = sorry;
	return 0;
}

int config_health_read(const struct raw_service *raw, const struct outline *outline,
		       outline_node_t node, struct service *service,
		       struct outline_fault *ret_fault)
{
	struct health_reader reader = {.outline = outline, .node = node, .fault = ret_fault};
	struct health_policy *health = &service->health;
	int r;

	*health = health_policy_default;
	if (raw->on_down)
		health->on_down = (enum health_on_down) * raw->on_down;
	if (raw->connections_of_down)
		health->end_connections = *raw->connections_of_down == RAW_CONNECTIONS_END;
	if (raw->when_all_down)
		health->all_down = (enum health_all_down) * raw->when_all_down;
	r = read_checkers(&reader, raw->checkers, &health->checkers);
	if (r == 0)
		r = read_panic(&reader, raw->panic_threshold, &health->panic_threshold);
	if (r == 0)
		r = read_slow_start(&reader, raw->slow_start, service);
	if (r == 0)
		r = read_quorum(&reader, raw, service);
	if (r == 0)
		r = read_sorry(&reader, raw, service);
	return r;
}
