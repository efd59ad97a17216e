#include "director/config/config_check.h"

#include <stdlib.h>

#include "director/config/config_check_private.h"
#include "director/config/config_service.h"

/* Detection within 3 s, even of a real server that is silent: check_detection(). A handshake may
 * lose two packets in a row before fall counts. */
#define INTERVAL_DEFAULT USEC_PER_SEC
#define FAST_INTERVAL_DEFAULT (500 * USEC_PER_MSEC)
#define TIMEOUT_DEFAULT (500 * USEC_PER_MSEC)
#define FALL_DEFAULT 3
#define RISE_DEFAULT 2
#define JITTER_DEFAULT 10
#define INTERVAL_MIN (100 * USEC_PER_MSEC)
#define INTERVAL_MAX (3600 * USEC_PER_SEC)
#define TIMEOUT_MIN (10 * USEC_PER_MSEC)
#define RESULTS_MAX 100
#define JITTER_MAX 50

#define BIT(type) (1u << (type))
#define ALL (BIT(CHECK_TYPES) - 1)
#define WEB (BIT(CHECK_HTTP) | BIT(CHECK_HTTPS))
#define SOCKET (ALL & ~(BIT(CHECK_PING) | BIT(CHECK_EXEC)))

/* The types of check that have each key of config_check_schema. */
static const struct {
	const char *name;
	unsigned int types;
} keys[] = {
	{"type", ALL},
	{"via", ALL},
	{"address", ALL},
	{"port", ALL & ~BIT(CHECK_PING)},
	{"interval", ALL},
	{"fast-interval", ALL},
	{"timeout", ALL},
	{"fall", ALL},
	{"rise", ALL},
	{"jitter", ALL},
	{"source", ALL & ~BIT(CHECK_EXEC)},
	{"mark", ALL & ~BIT(CHECK_EXEC)},
	{"send", BIT(CHECK_TCP) | BIT(CHECK_AGENT)},
	{"send-hex", BIT(CHECK_TCP) | BIT(CHECK_AGENT)},
	{"payload", BIT(CHECK_UDP)},
	{"payload-hex", BIT(CHECK_UDP)},
	{"expect", BIT(CHECK_TCP) | BIT(CHECK_UDP)},
	{"expect-hex", BIT(CHECK_TCP) | BIT(CHECK_UDP)},
	{"method", WEB},
	{"path", WEB},
	{"host", WEB | BIT(CHECK_GRPC)},
	{"headers", WEB},
	{"status", WEB},
	{"body", WEB},
	{"body-max", WEB},
	{"redirects", WEB},
	{"http2", WEB},
	{"tls", BIT(CHECK_GRPC)},
	{"verify", BIT(CHECK_HTTPS) | BIT(CHECK_GRPC)},
	{"ca", BIT(CHECK_HTTPS) | BIT(CHECK_GRPC)},
	{"sni", BIT(CHECK_HTTPS) | BIT(CHECK_GRPC)},
	{"service", BIT(CHECK_GRPC)},
	{"name", BIT(CHECK_DNS)},
	{"query-type", BIT(CHECK_DNS)},
	{"rcode", BIT(CHECK_DNS)},
	{"command", BIT(CHECK_EXEC)},
};

static bool applies(const struct check_reader *reader, size_t key)
{
	return keys[key].types & BIT(reader->check->type);
}

outline_node_t config_check_find(const struct check_reader *reader, const char *key)
{
	outline_node_t node = outline_child(reader->outline, reader->own, key);
	size_t i = 0;

	while (strcmp(keys[i].name, key) != 0)
		i++;
	if (!applies(reader, i))
		return 0;
	return node ? node : outline_child(reader->outline, reader->inherited, key);
}

bool config_check_owns(const struct check_reader *reader, const char *key)
{
	return outline_child(reader->outline, reader->own, key) != 0;
}

const char *config_check_text(const struct check_reader *reader, const char *key)
{
	return outline_text(reader->outline, config_check_find(reader, key));
}

outline_node_t config_check_place(const struct check_reader *reader, const char *key)
{
	outline_node_t node = config_check_find(reader, key);

	return node ? node : reader->own;
}

int config_check_copy(const struct check_reader *reader, const char *key, char **ret_text)
{
	const char *text = config_check_text(reader, key);

	if (!text)
		return 0;
	*ret_text = strdup(text);
	return *ret_text ? 0 : -ENOMEM;
}

int config_check_number(const struct check_reader *reader, const char *key, uint32_t min,
			uint32_t max, uint32_t *ret_number)
{
	const char *text = config_check_text(reader, key);
	unsigned long number = text ? strtoul(text, NULL, 10) : min;

	if (number < min || number > max)
		return config_check_refuse(reader, key, "%s is %s; write %u to %u", key, text, min,
					   max);
	if (text)
		*ret_number = (uint32_t)number;
	return 0;
}

static int read_type(const struct check_reader *reader)
{
	outline_node_t node = outline_child(reader->outline, reader->own, "type");

	if (!node)
		node = outline_child(reader->outline, reader->inherited, "type");
	if (!node)
		return outline_refuse(reader->outline, reader->fault, reader->own,
				      "the check has no type; write one like type: tcp");
	reader->check->type =
		(enum check_type)config_check_word("type", outline_text(reader->outline, node));
	return 0;
}

/* Refuses the mapping's own keys that its type does not have; inherited ones are left out. */
static int check_keys(const struct check_reader *reader)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		outline_node_t node = outline_child(reader->outline, reader->own, keys[i].name);

		if (node && !applies(reader, i))
			return outline_refuse(reader->outline, reader->fault, node,
					      "a check of type %s has no %s; leave it out",
					      check_type_name(reader->check->type), keys[i].name);
	}
	return 0;
}

static int read_duration(const struct check_reader *reader, const char *key, usec_t min,
			 const char *range, usec_t *ret_duration)
{
	const char *text = config_check_text(reader, key);
	usec_t duration;

	if (!text)
		return 0;
	if (config_service_duration(text, &duration) < 0)
		return config_check_refuse(
			reader, key,
			"%s \"%s\" is not a valid duration; write one like 500ms or 2s", key, text);
	if (duration < min || duration > INTERVAL_MAX)
		return config_check_refuse(reader, key, "%s is %s; write %s", key, text, range);
	*ret_duration = duration;
	return 0;
}

/* Each at most interval: only so a dead real server is detected within fall * interval + timeout.
 * A default adapts itself to a shorter interval, a value that is written does not. */
static int read_timing(const struct check_reader *reader)
{
	const char *blame = config_check_owns(reader, "timeout") ? "timeout" : "interval";
	struct check *check = reader->check;
	int r;

	check->interval = INTERVAL_DEFAULT;
	r = read_duration(reader, "interval", INTERVAL_MIN, "100ms to 1h", &check->interval);
	check->fast_interval = MIN(FAST_INTERVAL_DEFAULT, check->interval);
	check->timeout = MIN(TIMEOUT_DEFAULT, check->interval);
	if (r == 0)
		r = read_duration(reader, "fast-interval", INTERVAL_MIN, "100ms to 1h",
				  &check->fast_interval);
	if (r == 0)
		r = read_duration(reader, "timeout", TIMEOUT_MIN, "10ms to 1h", &check->timeout);
	if (r == 0 && check->fast_interval > check->interval)
		r = config_check_refuse(
			reader,
			config_check_owns(reader, "interval") ? "interval" : "fast-interval",
			"fast-interval %s is longer than interval (%ju ms); write a shorter one",
			config_check_text(reader, "fast-interval"),
			(uintmax_t)(check->interval / USEC_PER_MSEC));
	if (r == 0 && check->timeout > check->interval)
		r = config_check_refuse(
			reader, blame,
			"timeout %s is longer than interval (%ju ms), so a dead real server would "
			"be noticed late; write a shorter one, or interval: %s",
			config_check_text(reader, "timeout"),
			(uintmax_t)(check->interval / USEC_PER_MSEC),
			config_check_text(reader, "timeout"));
	return r;
}

static int read_counts(const struct check_reader *reader)
{
	struct check *check = reader->check;
	const char *jitter = config_check_text(reader, "jitter");
	int r;

	check->fall = FALL_DEFAULT;
	check->rise = RISE_DEFAULT;
	check->jitter = JITTER_DEFAULT;
	r = config_check_number(reader, "fall", 1, RESULTS_MAX, &check->fall);
	if (r == 0)
		r = config_check_number(reader, "rise", 1, RESULTS_MAX, &check->rise);
	if (r == 0 && jitter &&
	    (config_service_percent(jitter, &check->jitter) < 0 || check->jitter > JITTER_MAX))
		r = config_check_refuse(reader, "jitter",
					"jitter \"%s\" is not a percentage up to 50; write one "
					"like 10%%",
					jitter);
	return r;
}

static int read_address(const struct check_reader *reader, const char *key, struct ip_addr *ret_ip)
{
	const char *text = config_check_text(reader, key);
	struct ip_addr ip;

	if (!text)
		return 0;
	if (ip_addr_parse(text, &ip) < 0)
		return config_check_refuse(reader, key,
					   "%s \"%s\" is not a valid address; write one without a "
					   "port, like 10.1.0.21",
					   key, text);
	if (!ip_addr_is_loopback(&ip) && ip_addr_unusable(&ip))
		return config_check_refuse(reader, key,
					   "%s cannot be the %s of a check: it is %s; write a "
					   "unicast address",
					   text, key, ip_addr_unusable(&ip));
	*ret_ip = ip;
	return 0;
}

static int read_target(const struct check_reader *reader)
{
	const char *via = config_check_text(reader, "via");
	struct check *check = reader->check;
	uint32_t port = 0;
	int r;

	if (via)
		check->via = (enum check_via)config_check_word("via", via);
	r = read_address(reader, "address", &check->address);
	if (r == 0)
		r = read_address(reader, "source", &check->source);
	if (r == 0)
		r = config_check_number(reader, "port", 1, UINT16_MAX, &port);
	if (r == 0)
		r = config_check_number(reader, "mark", 1, UINT32_MAX, &check->mark);
	check->port = (uint16_t)port;
	if (r == 0 && service_mark_is_ours(check->mark))
		return config_check_refuse(reader, "mark",
					   "marks from 0x%x to 0x%x are lvsmesh's own, for checks "
					   "through the forwarding path; use another mark",
					   SERVICE_MARK_FIRST, SERVICE_MARK_LAST);
	if (r < 0 || check->via == CHECK_VIA_ADDRESS)
		return r;
	if (!(SOCKET & BIT(check->type)))
		return config_check_refuse(reader, "via",
					   "a check of type %s can't go through the forwarding "
					   "path; write via: address",
					   check_type_name(check->type));
	if (check->mark != 0)
		return config_check_refuse(reader, "mark",
					   "a check through the forwarding path has a mark of its "
					   "own; leave mark out, or write via: address");
	return 0;
}

static int read_check(const struct check_reader *reader)
{
	int r = outline_check_at(reader->outline, reader->own, &config_check_schema, "check",
				 reader->fault);

	if (r == 0)
		r = read_type(reader);
	if (r == 0)
		r = check_keys(reader);
	if (r == 0)
		r = read_timing(reader);
	if (r == 0)
		r = read_counts(reader);
	if (r == 0)
		r = read_target(reader);
	if (r == 0)
		r = config_check_type_read(reader);
	return r;
}

/* Whether the check can reach this real server of this service. */
static int check_fits(const struct check_reader *reader, const struct service *service,
		      const struct real_server *real)
{
	const struct check *check = real->check;
	const struct ip_addr *target = &real->endpoint.ip;
	bool through = check->via == CHECK_VIA_FORWARDING;
	char text[ENDPOINT_TEXT];

	if (through && real->forwarding == FORWARDING_NAT)
		return config_check_refuse(
			reader, "via",
			"%s is reached by nat and never sees the VIP; write check: "
			"{via: address} for it",
			endpoint_format(&real->endpoint, text));
	if (through && service->key.fwmark != 0 && check->address.family == 0)
		return config_check_refuse(reader, "via",
					   "a fwmark has no VIP that could be checked through the "
					   "forwarding path; write address: and a VIP as well");
	if (through && service->key.fwmark == 0 && check->address.family != 0)
		return config_check_refuse(reader, "address",
					   "a check through the forwarding path goes to the VIP; "
					   "leave address out, or write via: address");
	if (check->address.family != 0)
		target = &check->address;
	if (through && target->family != service->key.vip.ip.family)
		return config_check_refuse(reader, "address",
					   "%s is not of the service's family; write an IPv%d "
					   "address",
					   ip_addr_format(target, text),
					   target->family == AF_INET6 ? 4 : 6);
	if (check->source.family != 0 && check->source.family != target->family)
		return config_check_refuse(reader, "source",
					   "source is IPv%d and can't reach %s; write an IPv%d "
					   "address",
					   target->family == AF_INET6 ? 4 : 6,
					   ip_addr_format(target, text),
					   target->family == AF_INET6 ? 6 : 4);
	if ((SOCKET & BIT(check->type)) && check->port == 0 && real->endpoint.port == 0)
		return config_check_refuse(reader, "port",
					   "service %s has no port, so its check needs one; write "
					   "one like port: 80",
					   service->name);
	return 0;
}

/* A check that is written down. Leaves NULL for `off`. */
static int read_written(struct check_reader *reader, struct check_pool *pool,
			const struct check **ret_check)
{
	const char *word = outline_text(reader->outline, reader->own);
	int r;

	*ret_check = NULL;
	if (word && strcmp(word, "off") == 0)
		return 0;
	reader->check = calloc(1, sizeof(*reader->check));
	if (!reader->check)
		return -ENOMEM;
	r = read_check(reader);
	if (r < 0) {
		check_free(reader->check);
		reader->check = NULL;
		return r;
	}
	check_digest_make(reader->check);
	*ret_check = check_pool_add(pool, reader->check);
	reader->check = (struct check *)*ret_check; /* for its type alone, from now on */
	return *ret_check ? 0 : -ENOMEM;
}

int config_check_read(const struct outline *outline, outline_node_t node, struct service *service,
		      struct check_pool *pool, struct outline_fault *ret_fault)
{
	outline_node_t list = outline_child(outline, node, "real-servers");
	struct check_reader shared = {.outline = outline,
				      .fault = ret_fault,
				      .own = outline_child(outline, node, "check")};
	const struct check *check = NULL;
	int r = shared.own ? read_written(&shared, pool, &check) : 0;

	for (size_t i = 0; r == 0 && i < service->n_real_servers; i++) {
		struct real_server *real = &service->real_servers[i];
		struct check_reader reader = shared;

		real->check = check;
		reader.own = outline_child(outline, outline_item(outline, list, i), "check");
		if (reader.own) {
			reader.inherited = check ? shared.own : 0;
			r = read_written(&reader, pool, &real->check);
		} else {
			reader.own = shared.own;
		}
		if (r == 0 && real->check)
			r = check_fits(&reader, service, real);
	}
	return r;
}
