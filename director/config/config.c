#include "director/config/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "director/config/config_cluster.h"
#include "director/config/config_digest.h"
#include "director/config/config_service.h"
#include "director/config/config_warning.h"
#include "proto/identity/certificate.h"

#define IDENTITY_DEFAULT "/etc/lvsmesh/identity"
#define STATE_DEFAULT "/var/lib/lvsmesh"
#define CONTROL_DEFAULT "/run/lvsmesh/lvsmesh.sock"
#define VIP_INTERFACE_DEFAULT "lvsmesh-vip"
#define TAP_INTERFACE_DEFAULT "lvsmesh-tap"
#define TAP_SUBNET_DEFAULT "169.254.117.0/30"
#define FLOOD_RATE_DEFAULT 10000
#define JOIN_TIMEOUT_DEFAULT (120 * USEC_PER_SEC)
#define MIN_AGE_MAX (3600 * USEC_PER_SEC)

struct config_reader {
	const struct outline *outline;
	const char *name; /* of the text */
	struct outline_fault *fault;
};

/* The value at root.section.key, or the nearest that is there. */
static outline_node_t at(const struct config_reader *reader, const char *section, const char *key)
{
	outline_node_t root = outline_root(reader->outline);
	outline_node_t node = section ? outline_child(reader->outline, root, section) : root;
	outline_node_t value = key ? outline_child(reader->outline, node, key) : 0;

	return value ? value : node;
}

static int read_path(const struct config_reader *reader, const char *section, const char *key,
		     const char *value, char **ret_path)
{
	if (value[0] != '/')
		return outline_refuse(reader->outline, reader->fault, at(reader, section, key),
				      "%s \"%.64s\" is not an absolute path; write /%.64s", key,
				      value, value);
	*ret_path = strdup(value);
	return *ret_path ? 0 : -ENOMEM;
}

static int read_node(const struct config_reader *reader, const struct raw_node *raw,
		     struct config *config)
{
	int r;

	/* The identity's; keygen makes no other. */
	if (!certificate_name_valid(raw->name, strlen(raw->name)))
		return outline_refuse(
			reader->outline, reader->fault, at(reader, "node", "name"),
			"name \"%s\" is not a valid director's name; write lower-case letters, "
			"digits, and - or . between them",
			raw->name);
	snprintf(config->node_name, sizeof(config->node_name), "%s", raw->name);
	r = read_path(reader, "node", "identity", raw->identity ? raw->identity : IDENTITY_DEFAULT,
		      &config->identity);
	if (r < 0)
		return r;
	return read_path(reader, "node", "state", raw->state ? raw->state : STATE_DEFAULT,
			 &config->state);
}

/* Accepts names that the kernel takes (dev_valid_name), and does not put a number in ("tap%d"). */
static int read_interface(const struct config_reader *reader, outline_node_t node, const char *name,
			  char *ret_name)
{
	bool valid = strcmp(name, ".") != 0 && strcmp(name, "..") != 0;

	for (const char *c = name; *c; c++)
		if (*c == '/' || *c == ':' || *c == '%' || isspace((unsigned char)*c))
			valid = false;
	if (!valid)
		return outline_refuse(
			reader->outline, reader->fault, node,
			"\"%s\" is not a valid interface name; write one like lvsmesh0", name);
	snprintf(ret_name, IFNAMSIZ, "%s", name);
	return 0;
}

static int read_subnet(const struct config_reader *reader, const char *subnet,
		       struct config_tap *tap)
{
	size_t length = strcspn(subnet, "/");
	char network[ENDPOINT_TEXT];

	snprintf(network, sizeof(network), "%.*s", (int)length, subnet);
	if (strcmp(subnet + length, "/30") != 0 || ip_addr_parse(network, &tap->local) < 0 ||
	    tap->local.family != AF_INET || (tap->local.bytes[3] & 3) != 0 ||
	    ip_addr_unusable(&tap->local))
		return outline_refuse(reader->outline, reader->fault,
				      at(reader, "wire-tap", "subnet"),
				      "subnet \"%s\" is not an IPv4 network of 4 unicast "
				      "addresses; write one like "
				      "%s",
				      subnet, TAP_SUBNET_DEFAULT);
	tap->prefix = 30;
	tap->remote = tap->local;
	tap->local.bytes[3] |= 1;
	tap->remote.bytes[3] |= 2;
	return 0;
}

static int read_interfaces(const struct config_reader *reader, const struct raw_config *raw,
			   struct config *config)
{
	const char *vip = raw->vip_interface ? raw->vip_interface : VIP_INTERFACE_DEFAULT;
	const char *tap = TAP_INTERFACE_DEFAULT, *subnet = TAP_SUBNET_DEFAULT;
	int r;

	if (raw->tap && raw->tap->interface)
		tap = raw->tap->interface;
	if (raw->tap && raw->tap->subnet)
		subnet = raw->tap->subnet;
	r = read_interface(reader, at(reader, NULL, "vip-interface"), vip, config->vip_interface);
	if (r == 0)
		r = read_interface(reader, at(reader, "wire-tap", "interface"), tap,
				   config->tap.interface);
	if (r < 0)
		return r;
	if (strcmp(vip, tap) == 0)
		return outline_refuse(
			reader->outline, reader->fault, at(reader, NULL, "vip-interface"),
			"vip-interface and the wire-tap are both \"%s\"; write two names", vip);
	return read_subnet(reader, subnet, &config->tap);
}

static int read_sync(const struct config_reader *reader, const struct raw_sync *raw,
		     struct config_sync *sync)
{
	sync->flood_rate = raw && raw->flood_rate ? *raw->flood_rate : FLOOD_RATE_DEFAULT;
	sync->join_timeout = JOIN_TIMEOUT_DEFAULT;
	if (raw && raw->join_timeout &&
	    config_service_duration(raw->join_timeout, &sync->join_timeout) < 0)
		return outline_refuse(reader->outline, reader->fault,
				      at(reader, "sync", "join-timeout"),
				      "join-timeout \"%s\" is not a valid duration; write one like "
				      "120s, or 0s to wait for ever",
				      raw->join_timeout);
	if (!raw || !raw->min_age)
		return 0;
	if (config_service_duration(raw->min_age, &sync->min_age) < 0)
		return outline_refuse(
			reader->outline, reader->fault, at(reader, "sync", "min-age"),
			"min-age \"%s\" is not a valid duration; write one like 0s, 500ms or 5s",
			raw->min_age);
	if (sync->min_age > MIN_AGE_MAX)
		return outline_refuse(
			reader->outline, reader->fault, at(reader, "sync", "min-age"),
			"min-age is longer than an hour; write 1h or less, or sync: off for the "
			"services that are not to be replicated");
	return 0;
}

static int read_control(const struct config_reader *reader, const struct raw_config *raw,
			struct config *config)
{
	const char *control = raw->control ? raw->control : CONTROL_DEFAULT;

	if (control[0] != '/')
		return outline_refuse(reader->outline, reader->fault, at(reader, NULL, "control"),
				      "control \"%s\" is not an absolute path; write %s", control,
				      CONTROL_DEFAULT);
	snprintf(config->control, sizeof(config->control), "%s", control);
	return 0;
}

static int read_exec(const struct config_reader *reader, const struct raw_alerts *raw,
		     struct config_alerts *alerts)
{
	if (raw->exec[0][0] != '/')
		return outline_refuse(reader->outline, reader->fault, at(reader, "alerts", "exec"),
				      "exec begins with \"%.64s\", which is not an absolute path; "
				      "write [/%.64s, ...]",
				      raw->exec[0], raw->exec[0]);
	alerts->exec = calloc(raw->n_exec + 1, sizeof(*alerts->exec));
	for (uint32_t i = 0; alerts->exec && i < raw->n_exec; i++) {
		alerts->exec[i] = strdup(raw->exec[i]);
		if (!alerts->exec[i])
			return -ENOMEM;
	}
	return alerts->exec ? 0 : -ENOMEM;
}

/* Messages do not repeat the URL: it may have a password in it. */
static int read_webhook(const struct config_reader *reader, const char *url,
			struct config_alerts *alerts)
{
	size_t scheme = strncmp(url, "https://", 8) == 0  ? 8
			: strncmp(url, "http://", 7) == 0 ? 7
							  : 0;
	bool valid = scheme > 0 && url[scheme] != '/' && url[scheme] != '\0';

	for (const char *c = url; *c; c++)
		valid = valid && isascii(*c) && isgraph(*c);
	if (!valid)
		return outline_refuse(reader->outline, reader->fault,
				      at(reader, "alerts", "webhook"),
				      "webhook is not an HTTP URL; write one like "
				      "https://alerts.example/hook");
	alerts->webhook = strdup(url);
	return alerts->webhook ? 0 : -ENOMEM;
}

static int read_alerts(const struct config_reader *reader, const struct raw_alerts *raw,
		       struct config_alerts *alerts)
{
	int r = 0;

	if (raw && raw->n_exec > 0)
		r = read_exec(reader, raw, alerts);
	if (r == 0 && raw && raw->webhook)
		r = read_webhook(reader, raw->webhook, alerts);
	return r;
}

static bool is_director(const struct config *config, const struct ip_addr *ip)
{
	for (size_t i = 0; i < config->n_join; i++)
		if (ip_addr_compare(&config->join[i].ip, ip) == 0)
			return true;
	for (size_t i = 0; i < config->n_listen; i++)
		if (ip_addr_compare(&config->listen[i].ip, ip) == 0)
			return true;
	return false;
}

/* A director schedules again what another one forwards to it for a VIP that both have, and packets
 * go around. Masquerading changes their address, and a mark may distinguish them. */
static int check_directors(const struct config_reader *reader, const struct config *config)
{
	outline_node_t services = at(reader, "services", NULL);

	for (size_t i = 0; config->n_join > 0 && i < config->services.count; i++) {
		const struct service *service = &config->services.services[i];
		outline_node_t node = outline_item(reader->outline, services, i);

		for (size_t j = 0; service->key.fwmark == 0 && j < service->n_real_servers; j++) {
			const struct real_server *real = &service->real_servers[j];
			char text[ENDPOINT_TEXT];

			if (real->forwarding == FORWARDING_NAT ||
			    !is_director(config, &real->endpoint.ip))
				continue;
			node = outline_child(reader->outline, node, "real-servers");
			return outline_refuse(
				reader->outline, reader->fault,
				outline_item(reader->outline, node, j),
				"real server %s is a director of this cluster, which would "
				"schedule again what is forwarded to it; write forwarding: nat, or "
				"give the service a fwmark that packets of directors don't get",
				endpoint_format(&real->endpoint, text));
		}
	}
	return 0;
}

static int read_config(const struct config_reader *reader, const struct raw_config *raw,
		       struct config *config)
{
	int r = read_node(reader, &raw->node, config);

	if (r == 0)
		r = config_cluster_read(&raw->cluster, reader->outline, at(reader, "cluster", NULL),
					config, reader->fault);
	if (r == 0)
		r = read_sync(reader, raw->sync, &config->sync);
	if (r == 0)
		r = read_interfaces(reader, raw, config);
	if (r == 0)
		r = read_control(reader, raw, config);
	if (r == 0)
		r = read_alerts(reader, raw->alerts, &config->alerts);
	if (r == 0)
		r = config_service_read(raw, reader->outline, at(reader, "services", NULL),
					&config->services, &config->checks, reader->fault);
	if (r == 0)
		r = check_directors(reader, config);
	if (r == 0)
		r = config_warning_collect(reader->outline, at(reader, "services", NULL),
					   reader->name, config);
	service_set_sort(&config->services);
	return r;
}

/* libcyaml's own messages, should it ever refuse a text that the outline accepted: the first is the
 * cause. */
static void log_cyaml(cyaml_log_t level, void *context, const char *form, va_list args)
{
	struct outline_fault *why = context;

	if (level == CYAML_LOG_ERROR && why->text[0] == '\0')
		vsnprintf(why->text, sizeof(why->text), form, args);
}

static int parse(const char *text, size_t len, const char *name, struct config *config,
		 struct outline_fault *ret_fault)
{
	const cyaml_config_t cyaml = {
		.log_fn = log_cyaml,
		.log_ctx = ret_fault,
		.log_level = CYAML_LOG_ERROR,
		.mem_fn = cyaml_mem,
		.flags = CYAML_CFG_NO_ALIAS,
	};
	struct raw_config *raw = NULL;
	struct config_reader reader = {.name = name, .fault = ret_fault};
	struct outline *outline = NULL;
	cyaml_err_t error;
	int r;

	r = outline_new(text, len, &outline, ret_fault);
	if (r < 0)
		return r;
	r = outline_check(outline, &config_schema, "the configuration", ret_fault);
	if (r < 0)
		goto out;
	error = cyaml_load_data((const uint8_t *)text, len, &cyaml, &config_schema,
				(cyaml_data_t **)&raw, NULL);
	if (error != CYAML_OK) {
		r = error == CYAML_ERR_OOM ? -ENOMEM : -EINVAL;
		goto out;
	}
	reader.outline = outline;
	r = read_config(&reader, raw, config);
	cyaml_free(&cyaml, &config_schema, raw, 0);
out:
	outline_free(outline);
	return r;
}

int config_parse(const char *text, size_t len, const char *name, struct config **ret_config,
		 struct config_error *ret_error)
{
	struct config *config = calloc(1, sizeof(*config));
	struct outline_fault why = {0};
	int r = -ENOMEM;

	if (config && len > CONFIG_TEXT_MAX) {
		r = -EINVAL;
		snprintf(why.text, sizeof(why.text),
			 "the file is longer than %u bytes; write a shorter one", CONFIG_TEXT_MAX);
	} else if (config) {
		r = parse(text, len, name, config, &why);
	}
	if (r == 0) {
		config_digest_make(config);
		*ret_config = config;
		return 0;
	}
	config_free(config);
	if (r == -ENOMEM)
		why = (struct outline_fault){.text = "out of memory"};
	ret_error->line = why.line;
	if (why.line > 0)
		snprintf(ret_error->text, sizeof(ret_error->text), "%.96s:%u: %s", name, why.line,
			 why.text);
	else
		snprintf(ret_error->text, sizeof(ret_error->text), "%.96s: %s", name, why.text);
	return r;
}

/* Reads at most one byte beyond the limit, so that too long a file is noticed. *ret_text is to be
 * freed, also after an error. */
static int read_file(int fd, char **ret_text, size_t *ret_len)
{
	size_t len = 0, cap = 0;
	char *text = NULL;

	*ret_text = NULL;
	while (len <= CONFIG_TEXT_MAX) {
		ssize_t n;

		if (len == cap) {
			cap = MIN(cap ? 2 * cap : 65536, (size_t)CONFIG_TEXT_MAX + 1);
			text = realloc(*ret_text, cap);
			if (!text)
				return -ENOMEM;
			*ret_text = text;
		}
		n = read(fd, text + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

static int text_of(const char *path, char **ret_text, size_t *ret_len,
		   struct config_error *ret_error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : read_file(fd, ret_text, ret_len);

	if (fd >= 0)
		close(fd);
	if (r < 0) {
		ret_error->line = 0;
		snprintf(ret_error->text, sizeof(ret_error->text),
			 "%.96s: cannot be read: %s; write the path of a configuration", path,
			 strerror(-r));
	}
	return r;
}

int config_reload(const char *path, const struct config *running, struct config **ret_config,
		  struct config_error *ret_error)
{
	uint8_t hash[CONFIG_TEXT_SIZE];
	char *text = NULL;
	size_t len = 0;
	int r = text_of(path, &text, &len, ret_error);

	if (r < 0)
		return r;
	crypto_generichash(hash, sizeof(hash), (const uint8_t *)text, len, NULL, 0);
	if (running && memcmp(hash, running->text, sizeof(hash)) == 0)
		r = 1;
	else
		r = config_parse(text, len, path, ret_config, ret_error);
	if (r == 0)
		memcpy((*ret_config)->text, hash, sizeof(hash));
	free(text);
	return r;
}

int config_load(const char *path, struct config **ret_config, struct config_error *ret_error)
{
	return config_reload(path, NULL, ret_config, ret_error);
}

struct config *config_ref(struct config *config)
{
	config->refs++;
	return config;
}

void config_free(struct config *config)
{
	if (!config || config->refs-- > 0)
		return;
	free(config->identity);
	free(config->state);
	free(config->listen);
	free(config->join);
	for (char **argument = config->alerts.exec; argument && *argument; argument++)
		free(*argument);
	free(config->alerts.exec);
	free(config->alerts.webhook);
	for (size_t i = 0; i < CONFIG_WARNINGS_MAX; i++)
		free(config->warnings.texts[i]);
	service_set_fini(&config->services);
	check_pool_fini(&config->checks);
	free(config);
}
