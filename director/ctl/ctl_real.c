/* The commands that concern single real servers: their arguments, `lvsmesh set`, and the waiting of
 * `lvsmesh drain REAL`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "director/control/control.h"
#include "director/ctl/ctl.h"
#include "director/text.h"
#include "proto/endpoint.h"

/* Another director may accept a connection until it knows that the real server is drained, and that
 * connection is known here some milliseconds later: so many looks in a row have to find none. */
#define LOOKS 3
static const struct timespec turn = {.tv_nsec = 700 * 1000 * 1000};

static bool is_address(const char *text)
{
	struct endpoint endpoint;

	return endpoint_parse(text, &endpoint) == 0 || ip_addr_parse(text, &endpoint.ip) == 0;
}

/* Takes SETTING, or "weight" N, off the end of the arguments; returns how many are left, -1: there
 * is none, which is printed. */
static int setting_take(int count, char **arguments, json_t *request)
{
	const char *last = count > 0 ? arguments[count - 1] : "";
	enum health_setting setting;
	char *end;

	if (count >= 2 && strcmp(arguments[count - 2], "weight") == 0) {
		json_int_t weight = strtoll(last, &end, 10);

		if (*end != '\0' || end == last || weight < 0 || weight > SERVICE_WEIGHT_MAX) {
			ctl_error("'%s' is not a weight; write 0 to %d", last, SERVICE_WEIGHT_MAX);
			return -1;
		}
		json_object_set_new(request, "setting", json_string("weight"));
		json_object_set_new(request, "weight", json_integer(weight));
		return count - 2;
	}
	if (!health_setting_find(last, &setting) || setting == HEALTH_SET_WEIGHT) {
		ctl_error("'%s' is not a setting; write weight N, drain, maintenance, up or reset",
			  last);
		return -1;
	}
	json_object_set_new(request, "setting", text_json(last));
	return count - 1;
}

int ctl_real_arguments(const struct control_command_spec *spec, int count, char **arguments,
		       json_t *request)
{
	if (spec->fields & CONTROL_SETTING)
		count = setting_take(count, arguments, request);
	if (count < 0)
		return CTL_USAGE;
	if (count > 2 || (count == 0 && spec->required & CONTROL_REAL)) {
		ctl_error("%s takes a real server and its setting; see `lvsmesh %s --help`",
			  spec->name, spec->name);
		return CTL_USAGE;
	}
	if (count > 0 && is_address(arguments[count - 1]))
		json_object_set_new(request, "real", text_json(arguments[--count]));
	if (count > 0 && spec->fields & CONTROL_SERVICE)
		json_object_set_new(request, "service", text_json(arguments[--count]));
	if (count == 0 && (!(spec->required & CONTROL_REAL) || json_object_get(request, "real")))
		return CTL_DONE;
	ctl_error("'%s' is not a real server's address, like 10.1.0.21:443 or 10.1.0.21; see "
		  "`lvsmesh %s --help`",
		  arguments[count], spec->name);
	return CTL_USAGE;
}

int ctl_set(const struct ctl_options *options, json_t *request)
{
	struct ctl_client *client;
	json_t *item;
	int r = ctl_client_open(options->control, request, &client);

	if (r != CTL_DONE)
		return r;
	if (options->json) {
		r = ctl_client_print(client, options->command);
	} else {
		while ((r = ctl_client_next(client, &item)) == 1) {
			const json_t *weight = json_object_get(item, "weight");

			printf("%s %s: %s", ctl_text(item, "service"), ctl_text(item, "address"),
			       ctl_text(item, "setting"));
			if (json_is_integer(weight))
				printf(" %" JSON_INTEGER_FORMAT, json_integer_value(weight));
			printf("\n");
			json_decref(item);
		}
		r = r < 0 ? CTL_REFUSED : CTL_DONE;
	}
	fflush(stdout);
	ctl_client_close(client);
	return r;
}

/* Adds a service's connections in this kernel, which has those of all directors. False: a real
 * server is not drained any more. */
static bool count_service(const json_t *service, json_int_t *left)
{
	const json_t *real;
	size_t i;

	json_array_foreach(json_object_get(service, "real_servers"), i, real)
	{
		const json_t *setting = json_object_get(real, "operator");

		/* One that is not of our configuration has no such field. */
		if (setting && strcmp(ctl_text(setting, "setting"), "drain") != 0)
			return false;
		*left += json_integer_value(json_object_get(real, "active")) +
			 json_integer_value(json_object_get(real, "inactive")) +
			 json_integer_value(json_object_get(real, "persistent"));
	}
	return true;
}

static int count_kernel(const struct ctl_options *options, const char *real, json_int_t *left)
{
	struct ctl_client *client;
	bool drained = true;
	json_t *item;
	int r = ctl_client_open(options->control,
				json_pack("{s:s, s:s}", "command", "services", "real", real),
				&client);

	if (r != CTL_DONE)
		return -1;
	while ((r = ctl_client_next(client, &item)) == 1) {
		drained = drained && count_service(item, left);
		json_decref(item);
	}
	ctl_client_close(client);
	if (!drained)
		ctl_error("%s gets new connections again: it was set otherwise meanwhile", real);
	return drained ? r : -1;
}

/* Entries that some director knows, and that are not in this kernel. */
static int count_entries(const struct ctl_options *options, const char *real, json_int_t *left)
{
	char filter[128 + sizeof("real=")];
	struct ctl_client *client;
	json_t *item;
	int r;

	snprintf(filter, sizeof(filter), "real=%s", real);
	r = ctl_client_open(options->control,
			    json_pack("{s:s, s:s}", "command", "connections", "filter", filter),
			    &client);
	if (r != CTL_DONE)
		return -1;
	while ((r = ctl_client_next(client, &item)) == 1) {
		++*left;
		json_decref(item);
	}
	ctl_client_close(client);
	return r;
}

int ctl_real_wait(const struct ctl_options *options, const char *real)
{
	json_int_t before = -1;
	unsigned int looks = 0;

	while (looks < LOOKS) {
		json_int_t left = 0;
		int r = count_kernel(options, real, &left);

		/* A walk over all entries is dearer: it is made last. */
		if (r == 0 && left == 0)
			r = count_entries(options, real, &left);
		if (r < 0)
			return CTL_REFUSED;
		if (!options->json && left != before && left > 0)
			printf("%" JSON_INTEGER_FORMAT " connection%s left.\n", left,
			       left == 1 ? "" : "s");
		fflush(stdout);
		before = left;
		looks = left == 0 ? looks + 1 : 0;
		if (looks < LOOKS)
			nanosleep(&turn, NULL);
	}
	if (!options->json)
		printf("Drained.\n");
	return CTL_DONE;
}
