/* Reloads the configuration: takes a new one whole, or refuses it and keeps the running one. */
#include <errno.h>
#include <stdio.h>

#include "director/config/config_policy.h"
#include "director/daemon/io_director_private.h"
#include "director/io_clock.h"
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

void io_director_log_warnings(const struct config *config)
{
	const struct config_warnings *warnings = &config->warnings;

	for (size_t i = 0; i < MIN(warnings->count, CONFIG_WARNINGS_MAX); i++)
		io_log_warning("%s", warnings->texts[i]);
	if (warnings->count > CONFIG_WARNINGS_MAX)
		io_log_warning("%zu more warnings about the configuration",
			       warnings->count - CONFIG_WARNINGS_MAX);
}

/* One reload at a time, from the file to the kernel. */

static void begin(struct io_director *director);

static void end(struct io_director *director, int result)
{
	director->reload_ended = director->reload_begun;
	director->reload_taken = false;
	director->reload_result = result;
	io_log_notify("READY=1");
	io_control_wake(director->control);
	begin(director);
}

static void refuse(struct io_director *director, const char *text)
{
	director->reloads_refused++;
	snprintf(director->reload_error, sizeof(director->reload_error), "%s", text);
	io_log_error("reload refused, the running configuration stays: %s", text);
	end(director, -EINVAL);
}

static void take(struct io_director *director, struct config *config,
		 const struct policy_options *policy)
{
	struct config *old = director->config;

	director->config = config;
	director->reload_taken = true;
	director->reload_error[0] = '\0';
	director->reloads++;
	director->loaded = clock_now().mono;
	config_digest(config, director->digest);
	io_services_config(director->services, config);
	if (io_director_health_config(director) < 0)
		io_log_error("health checks: out of memory: they go on as before the reload");
	io_node_send(director->node, &(struct node_event){.type = NODE_CONFIG,
							  .config = config_digest_number(config),
							  .policy = policy});
	io_node_send(director->node,
		     &(struct node_event){.type = NODE_JOIN,
					  .join = config->join,
					  .join_count = (unsigned int)config->n_join});
	if (io_alert_config(director->alert, &config->alerts) < 0)
		io_log_error("alerts: out of memory: the former settings stay in use");
	config_free(old);
	io_log_notice("reloaded %s: %zu services", director->config_path, config->services.count);
	io_director_log_warnings(config);
}

static void read_done(uv_work_t *work, int status)
{
	struct io_director *director = container_of(work, struct io_director, reload);
	/* The text alone is the same: all that a reload does is done. */
	struct config *config =
		director->reload_same ? config_ref(director->config) : director->reload_config;
	struct policy_options policy;
	char text[FAULT_TEXT];
	const char *key;

	(void)status; /* nothing cancels it */
	director->reload_config = NULL;
	if (director->stopping) {
		config_free(config);
		return;
	}
	if (!config) {
		refuse(director, director->reload_why.text);
		return;
	}
	key = changed(director->config, config);
	if (!key && config_policy(config, &policy) == 0) {
		take(director, config, &policy);
		return;
	}
	if (key)
		snprintf(text, sizeof(text),
			 "%s: %s can't change while lvsmeshd runs; restart it, no connection "
			 "breaks",
			 director->config_path, key);
	else
		snprintf(text, sizeof(text), "out of memory");
	config_free(config);
	refuse(director, text);
}

static void read_run(uv_work_t *work)
{
	struct io_director *director = container_of(work, struct io_director, reload);

	int r = config_reload(director->config_path, director->config, &director->reload_config,
			      &director->reload_why);

	director->reload_same = r > 0;
	if (r != 0)
		director->reload_config = NULL;
}

static void begin(struct io_director *director)
{
	if (director->reload_begun > director->reload_ended ||
	    director->reload_asked == director->reload_begun)
		return;
	director->reload_begun = director->reload_asked;
	uv_queue_work(&director->loop, &director->reload, read_run, read_done);
}

uint64_t io_director_reload(struct io_director *director)
{
	director->reload_asked++;
	begin(director);
	return director->reload_asked;
}

void io_director_reload_programmed(struct io_director *director)
{
	/* Not while the file is still being read. */
	if (director->reload_begun > director->reload_ended && director->reload_taken)
		end(director, 0);
}

int io_director_reload_ask(void *context, uint64_t *ticket, const char **ret_error)
{
	struct io_director *director = context;

	if (*ticket == 0)
		*ticket = io_director_reload(director);
	if (director->reload_ended < *ticket)
		return -EAGAIN;
	*ret_error = director->reload_error;
	return director->reload_result;
}
