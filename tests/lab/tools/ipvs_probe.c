/* IPVS and VIPs as lvsmeshd programs them, without the rest of it.
 *
 *	ipvs_probe apply CONFIG		reconciles services and VIPs, prints what it took
 *	ipvs_probe edit CONFIG EDIT...	reconciles, then makes the edits one after another without a
 *					look at the kernel, and prints what each took; an EDIT is
 *					SERVICE:REAL:WEIGHT in numbers, SERVICE:sorry:WEIGHT, or
 *					with "off" as weight
 *	ipvs_probe start CONFIG EDIT...	the same with all edits at once, as at a start
 *	ipvs_probe check CONFIG		exits with 1 and the difference if the kernel has not what
 *					the configuration says
 *	ipvs_probe list			services with their counters
 *	ipvs_probe info			version and size of the connection table
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/config/config.h"
#include "director/kernel/owned.h"
#include "director/kernel/reconcile.h"
#include "director/rtnl/vip_nl.h"

static int fail(const char *text)
{
	printf("%s\n", text);
	return 1;
}

/* The addresses of keys that are in order, each once. */
static struct vip_list vips_of(const struct service_keys *keys)
{
	struct ip_addr *vips = calloc(keys->count + 1, sizeof(*vips));
	struct vip_list list = {.vips = vips};

	if (!vips)
		abort();
	for (size_t i = 0; i < keys->count; i++)
		if (keys->keys[i].fwmark == 0)
			vips[list.count++] = keys->keys[i].vip.ip;
	return list;
}

static int apply_vips(const struct config *config, const struct service_keys *owned)
{
	struct vip_list ours = vips_of(owned), wanted = {0};
	struct ip_addr *vips = calloc(config->services.count + 1, sizeof(*vips));
	struct vip_changes changes;
	struct fault error;
	int r;

	if (!vips)
		abort();
	wanted.vips = vips;
	wanted.count = service_set_vips(&config->services, vips, config->services.count);
	r = vip_apply(config->vip_interface, wanted, ours, false, &changes, &error);
	if (r < 0)
		printf("%s\n", error.text);
	else
		printf("vips %u added %u removed%s\n", changes.added, changes.removed,
		       changes.made ? " interface made" : "");
	free(vips);
	free((void *)ours.vips);
	return r < 0;
}

static int apply(struct ipvs *ipvs, const struct config *config)
{
	struct service_keys before, owned, ours;
	struct reconcile_result result;
	struct held held = {0};
	int r = 0;

	/* Services that were ours before have VIPs that may have to go. */
	if (owned_load(config->state, &before) < 0)
		before = (struct service_keys){0};
	r = reconcile_services(ipvs, &config->services, &held, config->state, &owned, &result);
	held_fini(&held);
	if (r < 0)
		printf("%s\n", result.error.text);
	printf("operations %u failed %u ours %zu%s\n", result.operations, result.error.failed,
	       owned.count, result.forgot ? " forgot" : "");
	if (plan_keys_join(&before, &config->services, &ours) < 0)
		abort();
	if (apply_vips(config, &ours) != 0)
		r = -1;
	plan_keys_fini(&before);
	plan_keys_fini(&owned);
	plan_keys_fini(&ours);
	return r < 0;
}

static struct wanted_edit edit_parse(const char *text)
{
	struct wanted_edit edit = {.service = (size_t)atoi(text)};
	const char *real = strchr(text, ':'), *weight = real ? strchr(real + 1, ':') : NULL;

	if (!weight)
		abort();
	edit.sorry = strncmp(real, ":sorry:", 7) == 0;
	edit.real = edit.sorry ? 0 : (size_t)atoi(real + 1);
	edit.removed = strcmp(weight, ":off") == 0;
	edit.weight = (uint32_t)atoi(weight + 1);
	return edit;
}

static int edit(struct ipvs *ipvs, const struct config *config, char **texts, int count, bool start)
{
	struct reconcile_result result;
	struct held held = {0};
	struct wanted wanted;
	struct service_keys owned;
	int r;

	if (wanted_init(&wanted, &config->services) < 0)
		abort();
	for (int i = 0; start && i < count; i++) {
		struct wanted_edit parsed = edit_parse(texts[i]);

		wanted_edit(&wanted, &parsed);
	}
	r = reconcile_services(ipvs, &wanted.set, &held, config->state, &owned, &result);
	plan_keys_fini(&owned);
	for (int i = 0; !start && r == 0 && i < count; i++) {
		struct wanted_edit parsed = edit_parse(texts[i]);

		r = reconcile_edits(ipvs, &wanted, &held, &parsed, 1, &result);
		printf("messages %llu\n", (unsigned long long)result.messages);
	}
	if (r < 0)
		printf("%s\n", result.error.text);
	if (r == 0 && reconcile_differs(ipvs, &wanted.set, &held, config->state)) {
		printf("the kernel is not as wanted\n");
		r = 1;
	}
	wanted_fini(&wanted);
	held_fini(&held);
	return r != 0;
}

static int check_service(const struct service *wanted, const struct service *is)
{
	char key[SERVICE_TEXT], text[ENDPOINT_TEXT];

	service_key_format(&wanted->key, key);
	if (!is || !service_same(wanted, is) || wanted->n_real_servers != is->n_real_servers) {
		printf("%s is %s\n", key, is ? "different" : "missing");
		return 1;
	}
	for (size_t i = 0, next = 0; i < wanted->n_real_servers; i++) {
		const struct real_server *real = &wanted->real_servers[i];
		bool anywhere = !service_is_ordered(wanted) ||
				(service_is_mh(wanted) && service_real_share(real) == 0);
		size_t at = 0;

		while (at < is->n_real_servers &&
		       service_real_compare(real, &is->real_servers[at]) != 0)
			at++;
		if (at == is->n_real_servers || !service_real_same(real, &is->real_servers[at]) ||
		    (!anywhere && at < next)) {
			printf("%s has another real server for %s\n", key,
			       endpoint_format(&real->endpoint, text));
			return 1;
		}
		next = anywhere ? next : at + 1;
	}
	return 0;
}

static int check(struct ipvs *ipvs, const struct config *config)
{
	struct ipvs_error error;
	struct service_set set;
	int different = 0;

	if (ipvs_dump(ipvs, &set, &error) < 0)
		return fail(error.text);
	for (size_t i = 0; i < config->services.count; i++)
		different |=
			check_service(&config->services.services[i],
				      service_set_find(&set, &config->services.services[i].key));
	service_set_fini(&set);
	return different;
}

static int list(struct ipvs *ipvs)
{
	char key[SERVICE_TEXT], address[ENDPOINT_TEXT];
	struct ipvs_error error;
	struct service_set set;

	if (ipvs_dump(ipvs, &set, &error) < 0)
		return fail(error.text);
	for (size_t i = 0; i < set.count; i++) {
		const struct service *s = &set.services[i];

		printf("%s %s connections %" PRIu64 " packets %" PRIu64 " bytes %" PRIu64 "\n",
		       service_key_format(&s->key, key), s->scheduler, s->counters.connections,
		       s->counters.in_packets, s->counters.in_bytes);
		for (size_t j = 0; j < s->n_real_servers; j++) {
			const struct real_server *r = &s->real_servers[j];

			printf("  %s %s weight %u active %u inactive %u connections %" PRIu64 "\n",
			       endpoint_format(&r->endpoint, address),
			       service_forwarding_name(r->forwarding), r->weight, r->active,
			       r->inactive, r->counters.connections);
		}
	}
	service_set_fini(&set);
	return 0;
}

static int show_info(struct ipvs *ipvs)
{
	struct ipvs_error error;
	struct ipvs_info info;

	if (ipvs_get_info(ipvs, &info, &error) < 0)
		return fail(error.text);
	printf("version %u.%u.%u connection table %u\n", info.version >> 16,
	       info.version >> 8 & 0xff, info.version & 0xff, info.conn_tab_size);
	return 0;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";
	struct config_error config_error;
	struct config *config = NULL;
	struct ipvs_error error;
	struct ipvs *ipvs;
	int r = 2;

	if (argc >= 3 && config_load(argv[2], &config, &config_error) < 0)
		return fail(config_error.text);
	if (ipvs_open(&ipvs, &error) < 0) {
		config_free(config);
		return fail(error.text);
	}
	if (config && strcmp(command, "apply") == 0)
		r = apply(ipvs, config);
	else if (config && (strcmp(command, "edit") == 0 || strcmp(command, "start") == 0))
		r = edit(ipvs, config, argv + 3, argc - 3, strcmp(command, "start") == 0);
	else if (config && strcmp(command, "check") == 0)
		r = check(ipvs, config);
	else if (strcmp(command, "list") == 0)
		r = list(ipvs);
	else if (strcmp(command, "info") == 0)
		r = show_info(ipvs);
	ipvs_close(ipvs);
	config_free(config);
	return r;
}
