#include <errno.h>
#include <stdio.h>

#include "director/config_policy.h"
#include "director/io_clock.h"
#include "director/io_director_private.h"
#include "director/io_log.h"

static bool listen_same(const struct config *a, const struct config *b)
{
	bool same = a->n_listen == b->n_listen;

	for (size_t i = 0; same && i < a->n_listen; i++)
		same = endpoint_compare(&a->listen[i], &b->listen[i]) == 0;
	return same;
}

/* The key whose value a running daemon can't change, NULL: none of them changed. */
static const char *changed(const struct config *a, const struct config *b)
{
	if (strcmp(a->node_name, b->node_name) != 0)
		return "node.name";
	if (strcmp(a->identity, b->identity) != 0)
		return "node.identity";
	if (strcmp(a->state, b->state) != 0)
		return "node.state";
	if (!listen_same(a, b))
		return "cluster.listen";
	if (a->withdraw != b->withdraw)
		return "cluster.on-minority";
	if (a->wait_alone != b->wait_alone)
		return "cluster.on-alone";
	if (a->fast != b->fast)
		return "cluster.profile";
	if (ip_addr_compare(&a->witness, &b->witness) != 0)
		return "cluster.witness";
	if (a->sync.join_timeout != b->sync.join_timeout)
		return "sync.join-timeout";
	if (strcmp(a->control, b->control) != 0)
		return "control";
	if (strcmp(a->tap.interface, b->tap.interface) != 0 ||
	    ip_addr_compare(&a->tap.local, &b->tap.local) != 0 || a->tap.prefix != b->tap.prefix)
		return "wire-tap";
	return NULL;
}

static int refuse(struct io_director *director, const char *text)
{
	director->reloads_refused++;
	snprintf(director->reload_error, sizeof(director->reload_error), "%s", text);
	io_log_error("reload refused, the running configuration stays: %s", text);
	return -EINVAL;
}

int director_reload(struct io_director *director)
{
	struct config *config, *old = director->config;
	struct policy_options policy;
	struct config_error error;
	const char *key;

	if (config_load(director->config_path, &config, &error) < 0)
		return refuse(director, error.text);
	key = changed(old, config);
	if (key) {
		char text[ERROR_MAX];

		snprintf(text, sizeof(text),
			 "%s: %s can't change while lvsmeshd runs; restart it, no connection "
			 "notices",
			 director->config_path, key);
		config_free(config);
		return refuse(director, text);
	}
	if (config_policy(config, &policy) < 0) {
		config_free(config);
		return refuse(director, "out of memory");
	}
	director->config = config;
	director->reload_error[0] = '\0';
	director->reloads++;
	director->loaded = clock_now().mono;
	config_digest(config, director->digest);
	io_services_config(director->services, config);
	io_node_config(director->node, config_digest_number(config), &policy);
	io_node_join(director->node, config->join, (unsigned int)config->n_join);
	if (io_alert_config(director->alert, &config->alerts) < 0)
		io_log_error("alerts: out of memory: they go where they went before");
	config_free(old);
	io_log_notice("reloaded %s: %zu services", director->config_path, config->services.count);
	return 0;
}
