#include "director/config/config_service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/config/config_check.h"
#include "director/config/config_health.h"

struct service_reader {
	const struct outline *outline;
	outline_node_t services; /* the list */
	outline_node_t node;     /* the service being read */
	struct check_pool *pool;
	struct outline_fault *fault;
};

/* The value of a service's key, or the service when it has no such key. */
static outline_node_t child(const struct service_reader *reader, outline_node_t node,
			    const char *key)
{
	outline_node_t value = outline_child(reader->outline, node, key);

	return value ? value : node;
}

int config_service_address(const char *text, struct endpoint *ret_endpoint)
{
	struct endpoint endpoint = {0};
	char host[ENDPOINT_TEXT];
	size_t length = strlen(text);

	if (endpoint_parse(text, ret_endpoint) == 0)
		return 0;
	if (length >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, length + 1);
	if (text[0] == '[' && length > 4 && strcmp(text + length - 3, "]:0") == 0) {
		host[length - 3] = '\0';
		memmove(host, host + 1, length - 3);
		if (!strchr(host, ':'))
			return -EINVAL;
	} else if (length > 2 && strcmp(text + length - 2, ":0") == 0 &&
		   strchr(text, ':') == text + length - 2) {
		host[length - 2] = '\0';
	}
	if (ip_addr_parse(host, &endpoint.ip) < 0)
		return -EINVAL;
	*ret_endpoint = endpoint;
	return 0;
}

int config_service_duration(const char *text, usec_t *ret_duration)
{
	static const struct {
		const char *name;
		usec_t unit;
	} units[] = {{"ms", USEC_PER_MSEC},
		     {"s", USEC_PER_SEC},
		     {"m", 60 * USEC_PER_SEC},
		     {"h", 3600 * USEC_PER_SEC}};
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 9)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(text + digits, units[i].name) != 0)
			continue;
		*ret_duration = strtoull(text, NULL, 10) * units[i].unit;
		return 0;
	}
	return -EINVAL;
}

int config_service_seconds(const char *text, uint32_t *ret_seconds)
{
	usec_t duration;

	if (config_service_duration(text, &duration) < 0 || duration % USEC_PER_SEC != 0)
		return -EINVAL;
	*ret_seconds = (uint32_t)MIN(duration / USEC_PER_SEC, UINT32_MAX);
	return 0;
}

int config_service_percent(const char *text, unsigned int *ret_percent)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 3 || strcmp(text + digits, "%") != 0)
		return -EINVAL;
	*ret_percent = (unsigned int)strtoul(text, NULL, 10);
	return 0;
}

/* "255.255.255.0" (IPv4), or a prefix length: see struct service. */
static int parse_netmask(const char *text, uint8_t family, uint32_t *ret_netmask)
{
	size_t digits = strspn(text, "0123456789");
	uint32_t bits = family == AF_INET6 ? 128 : 32;
	struct in_addr mask;
	unsigned long prefix;

	if (family == AF_INET && text[digits] == '.' && inet_pton(AF_INET, text, &mask) == 1) {
		*ret_netmask = ntohl(mask.s_addr);
		return 0;
	}
	if (digits == 0 || digits > 3 || text[digits] != '\0')
		return -EINVAL;
	prefix = strtoul(text, NULL, 10);
	if (prefix < 1 || prefix > bits)
		return -EINVAL;
	*ret_netmask = family == AF_INET6 ? (uint32_t)prefix : UINT32_MAX << (32 - prefix);
	return 0;
}

/* A fwmark service has the family of its real servers, if nothing else is said: one that is emptied
 * must not become another. */
static int read_fwmark(const struct service_reader *reader, const struct raw_service *raw,
		       struct service *service)
{
	struct endpoint first;

	if (raw->address)
		return outline_refuse(
			reader->outline, reader->fault, child(reader, reader->node, "fwmark"),
			"a service has an address or a fwmark; write only one of them");
	if (*raw->fwmark == 0)
		return outline_refuse(reader->outline, reader->fault,
				      child(reader, reader->node, "fwmark"),
				      "fwmark 0 is not a valid mark; write 1 or more");
	if (raw->protocol)
		return outline_refuse(
			reader->outline, reader->fault, child(reader, reader->node, "protocol"),
			"a fwmark stands for every protocol; leave protocol out, or write "
			"address: and a port");
	service->key.fwmark = *raw->fwmark;
	service->key.vip.ip.family = AF_INET;
	if (raw->family)
		service->key.vip.ip.family = *raw->family == RAW_FAMILY_IPV6 ? AF_INET6 : AF_INET;
	else if (raw->n_reals == 0)
		return outline_refuse(reader->outline, reader->fault,
				      child(reader, reader->node, "fwmark"),
				      "the family of service %s is unknown without a real server; "
				      "write family: ipv4 or family: ipv6",
				      service->name);
	else if (config_service_address(raw->reals[0].address, &first) == 0)
		service->key.vip.ip.family = first.ip.family;
	return 0;
}

static int read_key(const struct service_reader *reader, const struct raw_service *raw,
		    struct service *service)
{
	outline_node_t node = child(reader, reader->node, "address");
	struct endpoint *vip = &service->key.vip;
	size_t length;

	if (raw->fwmark)
		return read_fwmark(reader, raw, service);
	if (raw->family)
		return outline_refuse(reader->outline, reader->fault,
				      child(reader, reader->node, "family"),
				      "a service has the family of its address; leave family out");
	if (!raw->address)
		return outline_refuse(
			reader->outline, reader->fault, node,
			"service %s has no address; write address: and its VIP with a port, "
			"or fwmark: and a number",
			raw->name);
	if (config_service_address(raw->address, vip) < 0)
		return outline_refuse(
			reader->outline, reader->fault, node,
			"\"%s\" is not an address with a port; write one like 203.0.113.10:443 "
			"or \"[2001:db8::10]:443\"",
			raw->address);
	/* Every port has to be asked for: a forgotten port must not take all ports. */
	length = strlen(raw->address);
	if (vip->port == 0 && (length < 2 || strcmp(raw->address + length - 2, ":0") != 0 ||
			       (vip->ip.family == AF_INET6 && raw->address[0] != '[')))
		return outline_refuse(reader->outline, reader->fault, node,
				      "address %s has no port; write one like 203.0.113.10:443 or "
				      "\"[2001:db8::10]:443\" (port 0: every port)",
				      raw->address);
	service->key.protocol = raw->protocol ? (uint8_t)*raw->protocol : IPPROTO_TCP;
	return 0;
}

static int read_scheduler(const struct service_reader *reader, const struct raw_service *raw,
			  struct service *service)
{
	const char *name = raw->scheduler ? config_schema_scheduler(*raw->scheduler) : "wlc";
	uint32_t mh = raw->scheduler_flags & (RAW_MH_FALLBACK | RAW_MH_PORT);
	uint32_t sh = raw->scheduler_flags & (RAW_SH_FALLBACK | RAW_SH_PORT);
	uint32_t bits = raw->scheduler_flags & 0xf;

	snprintf(service->scheduler, sizeof(service->scheduler), "%s", name);
	if ((mh != 0 && strcmp(name, "mh") != 0) || (sh != 0 && strcmp(name, "sh") != 0))
		return outline_refuse(
			reader->outline, reader->fault,
			child(reader, reader->node, "scheduler-flags"),
			"the scheduler %s has no flag of %s; write scheduler: %s, or leave "
			"the flag out",
			name, mh ? "mh" : "sh", mh ? "mh" : "sh");
	bits |= mh >> 4 | sh >> 8;
	/* The kernel's three flags are neighbours. */
	service->flags = bits * SERVICE_FLAG_1 | (raw->one_packet ? SERVICE_ONE_PACKET : 0);
	return 0;
}

static int read_persistence(const struct service_reader *reader, const struct raw_service *raw,
			    struct service *service)
{
	uint8_t family = service->key.vip.ip.family;

	if (raw->persistence &&
	    (config_service_seconds(raw->persistence, &service->persistence) < 0 ||
	     service->persistence == 0))
		return outline_refuse(reader->outline, reader->fault,
				      child(reader, reader->node, "persistence"),
				      "persistence \"%s\" is not a valid duration of whole "
				      "seconds; write one like "
				      "300s, 5m or 1h",
				      raw->persistence);
	service->netmask = service_netmask_full(family);
	if (raw->netmask && parse_netmask(raw->netmask, family, &service->netmask) < 0)
		return outline_refuse(reader->outline, reader->fault,
				      child(reader, reader->node, "persistence-netmask"),
				      "\"%s\" is not a valid netmask; write %s", raw->netmask,
				      family == AF_INET6
					      ? "a prefix length, 1 to 128"
					      : "one like 255.255.255.0, or its prefix length");
	if (raw->engine)
		snprintf(service->engine, sizeof(service->engine), "sip");
	return 0;
}

void config_service_forwarding(const struct raw_service *raw, const uint32_t *forwarding,
			       const struct raw_tunnel *tunnel, struct real_server *real)
{
	if (forwarding)
		real->forwarding = (uint8_t)*forwarding;
	else if (raw->forwarding)
		real->forwarding = (uint8_t)*raw->forwarding;
	/* Only a real server that is reached by a tunnel inherits the service's tunnel. */
	if (!tunnel && real->forwarding == FORWARDING_TUNNEL)
		tunnel = raw->tunnel;
	if (tunnel) {
		real->tunnel = (uint8_t)tunnel->type;
		real->tunnel_port = tunnel->port;
		real->tunnel_flags = (uint8_t)tunnel->checksum;
	}
}

static int read_real(const struct service_reader *reader, const struct raw_service *raw,
		     size_t index, struct service *service)
{
	const struct raw_real *from = &raw->reals[index];
	struct real_server real = {.forwarding = FORWARDING_DIRECT, .weight = 1};

	if (config_service_address(from->address, &real.endpoint) < 0) {
		outline_node_t list = child(reader, reader->node, "real-servers");
		outline_node_t item = outline_item(reader->outline, list, index);

		return outline_refuse(
			reader->outline, reader->fault, child(reader, item, "address"),
			"\"%s\" is not an address with a port; write one like 10.1.0.21:443 or "
			"\"[2001:db8::21]:443\"",
			from->address);
	}
	if (from->weight)
		real.weight = *from->weight;
	config_service_forwarding(raw, from->forwarding, from->tunnel, &real);
	real.upper_threshold = from->upper_threshold;
	real.lower_threshold = from->lower_threshold;
	return service_add(service, &real) ? 0 : -ENOMEM;
}

/* Refuses a tunnel of the service that no real server uses. */
static int check_tunnel(const struct service_reader *reader, const struct raw_service *raw,
			const struct service *service)
{
	if (!raw->tunnel || (raw->forwarding && *raw->forwarding == FORWARDING_TUNNEL))
		return 0;
	for (size_t i = 0; i < service->n_real_servers; i++)
		if (service->real_servers[i].forwarding == FORWARDING_TUNNEL)
			return 0;
	if (service->sorry.forwarding == FORWARDING_TUNNEL)
		return 0;
	return outline_refuse(
		reader->outline, reader->fault, child(reader, reader->node, "tunnel"),
		"the tunnel's settings do nothing without a tunnel; write forwarding: tunnel");
}

static int check_valid(const struct service_reader *reader, const struct service *service)
{
	outline_node_t list = outline_child(reader->outline, reader->node, "real-servers");
	outline_node_t node = reader->node;
	struct service_fault why;

	if (service_validate(service, &why) == 0)
		return 0;
	/* A real server inherits missing keys from its service. */
	if (why.real != SERVICE_FAULT_OWN) {
		outline_node_t item =
			why.real == SERVICE_FAULT_SORRY
				? outline_child(reader->outline, node, "sorry-server")
				: outline_item(reader->outline, list, (size_t)why.real);

		if (outline_child(reader->outline, item, why.key) ||
		    !outline_child(reader->outline, node, why.key))
			node = item;
	}
	return outline_refuse(reader->outline, reader->fault, child(reader, node, why.key), "%s",
			      why.text);
}

static int check_repeats(const struct service_reader *reader, const struct service *service,
			 const struct service_set *before)
{
	outline_node_t list = outline_child(reader->outline, reader->node, "real-servers");
	char text[SERVICE_TEXT];

	for (size_t i = 0; i < before->count; i++) {
		const struct service *other = &before->services[i];
		unsigned int line = outline_line(
			reader->outline, outline_item(reader->outline, reader->services, i));

		if (strcmp(other->name, service->name) == 0)
			return outline_refuse(
				reader->outline, reader->fault, child(reader, reader->node, "name"),
				"service %s is already on line %u; write another name",
				service->name, line);
		if (service_key_compare(&other->key, &service->key) == 0)
			return outline_refuse(
				reader->outline, reader->fault,
				child(reader, reader->node,
				      service->key.fwmark ? "fwmark" : "address"),
				"%s is already service %s on line %u; write each service once",
				service_key_format(&service->key, text), other->name, line);
	}
	for (size_t i = 0; i < service->n_real_servers; i++)
		for (size_t j = 0; j < i; j++)
			if (service_real_compare(&service->real_servers[i],
						 &service->real_servers[j]) == 0)
				return outline_refuse(
					reader->outline, reader->fault,
					outline_item(reader->outline, list, i),
					"real server %s is already on line %u; write it once",
					endpoint_format(&service->real_servers[i].endpoint, text),
					outline_line(reader->outline,
						     outline_item(reader->outline, list, j)));
	return 0;
}

static int read_service(const struct service_reader *reader, const struct raw_service *raw,
			struct service_set *set)
{
	struct service service = {0};
	int r;

	snprintf(service.name, sizeof(service.name), "%s", raw->name);
	service.sync_off = raw->sync && *raw->sync == RAW_SYNC_OFF;
	r = read_key(reader, raw, &service);
	if (r == 0)
		r = read_scheduler(reader, raw, &service);
	if (r == 0)
		r = read_persistence(reader, raw, &service);
	for (size_t i = 0; r == 0 && i < raw->n_reals; i++)
		r = read_real(reader, raw, i, &service);
	if (r == 0)
		r = config_health_read(raw, reader->outline, reader->node, &service, reader->fault);
	if (r == 0)
		r = check_tunnel(reader, raw, &service);
	if (r == 0)
		r = check_valid(reader, &service);
	if (r == 0)
		r = check_repeats(reader, &service, set);
	if (r == 0)
		r = config_check_read(reader->outline, reader->node, &service, reader->pool,
				      reader->fault);
	if (r == 0 && !service_set_add(set, &service))
		r = -ENOMEM;
	service_fini(&service);
	return r;
}

int config_service_read(const struct raw_config *raw, const struct outline *outline,
			outline_node_t services, struct service_set *set, struct check_pool *pool,
			struct outline_fault *ret_fault)
{
	struct service_reader reader = {
		.outline = outline, .services = services, .pool = pool, .fault = ret_fault};
	int r = 0;

	for (size_t i = 0; r == 0 && i < raw->n_services; i++) {
		reader.node = outline_item(outline, services, i);
		r = read_service(&reader, &raw->services[i], set);
	}
	return r;
}
