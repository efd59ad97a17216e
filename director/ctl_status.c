#include <stdio.h>
#include <string.h>

#include "director/ctl.h"
#include "director/observer.h"

static json_int_t number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

/* "42 s", "3 min", "5 h 12 min", "8 d 3 h". */
static const char *age_of(const json_t *object, const char *key, char text[64])
{
	json_int_t s = number_of(object, key);

	if (s < 60)
		snprintf(text, 64, "%lld s", s);
	else if (s < 3600)
		snprintf(text, 64, "%lld min", s / 60);
	else if (s < 86400)
		snprintf(text, 64, "%lld h %lld min", s / 3600, s % 3600 / 60);
	else
		snprintf(text, 64, "%lld d %lld h", s / 86400, s % 86400 / 3600);
	return text;
}

static void self_print(const json_t *status)
{
	const json_t *forwarder = json_object_get(status, "forwarder");
	char age[64];

	printf("%s  (id %s, cluster %.8s, lvsmesh %s, up %s)\n\n", text_of(status, "name"),
	       text_of(status, "id"), text_of(status, "cluster"), text_of(status, "version"),
	       age_of(status, "uptime_s", age));
	printf("  traffic        %s\n", is_true(status, "drained")      ? "drained"
					: is_true(status, "draining")   ? "draining"
					: !is_true(status, "ready")     ? "not ready"
					: is_true(status, "announcing") ? "ready, VIPs are on"
									: "ready, VIPs are not on");
	printf("  forwarder      %s for %s\n", is_true(forwarder, "ok") ? "works" : "STALLED",
	       age_of(forwarder, "for_s", age));
}

/* Whether replication works: what the daemon says, for a person. */
static const char *replication_of(const json_t *status)
{
	static const struct {
		const char *word, *text;
	} texts[] = {
		{"starting", "still starting"},
		{"off", "off for all services"},
		{"alone", "nobody to replicate to"},
		{"stalled", "STALLED"},
		{"full", "TABLE IS FULL"},
		{"incomplete", "INCOMPLETE"},
		{"lagging", "LAGS"},
	};
	const char *word = text_of(status, "replication");

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(texts[i].word, word) == 0)
			return texts[i].text;
	return word;
}

/* What has gone wrong since the start, as far as anything has. */
static void repairs_print(const json_t *status)
{
	static const struct {
		const char *name, *text;
	} texts[] = {
		{"repaired", "were missing here"},
		{"repaired_kernel", "were missing in the kernel"},
		{"injected_again", "injected again"},
		{"conflicts", "in conflict"},
		{"both_changed", "changed on both sides of a cut"},
		{"refused_full", "refused for want of room"},
		{"shed", "shed in floods"},
	};
	const json_t *entries = json_object_get(status, "entries");
	const char *separator = "; ";

	printf("  tables         compared with those of peers: %lld",
	       number_of(entries, "compared"));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_int_t value = number_of(entries, texts[i].name);

		if (value == 0)
			continue;
		printf("%s%lld %s", separator, value, texts[i].text);
		separator = ", ";
	}
	printf("%s\n", *separator == ';' ? ", nothing amiss" : "");
}

static void drops_print(const json_t *status)
{
	const json_t *tap = json_object_get(json_object_get(status, "counters"), "tap");
	json_int_t capture = number_of(tap, "capture_drops");
	json_int_t inject = number_of(tap, "inject_drops");

	if (capture + inject > 0)
		printf("                 dropped by the kernel: %lld packets on their way here, "
		       "%lld messages on their way into it\n",
		       capture, inject);
}

static void cluster_print(const json_t *status)
{
	const json_t *membership = json_object_get(status, "membership");
	const json_t *peers = json_object_get(status, "peers");
	const json_t *entries = json_object_get(status, "entries");
	const json_t *services = json_object_get(status, "services");
	const json_t *config = json_object_get(status, "config");
	json_int_t alone = number_of(entries, "young") + number_of(entries, "waiting") +
			   number_of(entries, "local");
	char age[64];

	printf("  members        %lld of %lld alive, %s%s%s; health %lld (0: good)\n",
	       number_of(membership, "view"), number_of(membership, "roster"),
	       text_of(membership, "quorum"),
	       json_is_string(json_object_get(membership, "split")) ? ", SPLIT " : "",
	       json_is_string(json_object_get(membership, "split")) ? text_of(membership, "split")
								    : "",
	       number_of(membership, "health"));
	printf("  replication    %s: %lld of %lld peers connected, the slowest %lld ms behind\n",
	       replication_of(status), number_of(peers, "alive"), number_of(peers, "of"),
	       number_of(peers, "worst_lag_ms"));
	repairs_print(status);
	drops_print(status);
	printf("  connections    %lld known, %lld of them carried here; %lld on their way into the "
	       "kernel\n",
	       number_of(entries, "held"), number_of(entries, "own"),
	       number_of(entries, "inject_pending") + number_of(entries, "inject_unconfirmed"));
	if (alone > 0)
		printf("                 %lld of those carried here are not replicated (%lld not "
		       "yet)\n",
		       alone, number_of(entries, "young") + number_of(entries, "waiting"));
	printf("  services       %lld, %s %s ago", number_of(services, "configured"),
	       is_true(services, "programmed") ? "checked" : "NOT PROGRAMMED, tried",
	       age_of(services, "checked_s", age));
	printf("\n  configuration  %s (%.8s), read %s ago\n", text_of(config, "path"),
	       text_of(config, "digest"), age_of(config, "loaded_s", age));
}

/* Counters that say something was turned away, where that happened. */
static bool is_refusal(const char *group, const char *name)
{
	return strcmp(group, "session") == 0 || strcmp(group, "control") == 0 ||
	       strncmp(name, "refused", 7) == 0 ||
	       observer_refusal(group, name) == OBSERVER_ALARMING;
}

static void refused_print(const json_t *status)
{
	const char *group, *name, *separator = "\n  refused        ";
	json_t *counters, *value;

	json_object_foreach(json_object_get(status, "counters"), group, counters)
	{
		json_object_foreach(counters, name, value)
		{
			if (json_integer_value(value) == 0 || !is_refusal(group, name))
				continue;
			printf("%s%s/%s %lld", separator, group, name, json_integer_value(value));
			separator = ", ";
		}
	}
	if (*separator == ',')
		printf("\n");
}

static void problems_print(const json_t *status)
{
	const json_t *problems = json_object_get(status, "problems");
	json_t *problem;
	size_t i;

	if (json_array_size(problems) == 0) {
		printf("\nAll is well.\n");
		return;
	}
	printf("\nWhat is wrong:\n");
	json_array_foreach(problems, i, problem) printf("  - %s\n", json_string_value(problem));
}

int ctl_status(const struct ctl_options *options, int count, char **arguments)
{
	struct ctl_client *client;
	json_t *status;
	int r = ctl_client_open(options->control, json_pack("{s:s}", "command", "status"), &client);

	(void)count;
	(void)arguments;
	if (r != CTL_DONE)
		return r;
	if (ctl_client_next(client, &status) != 1) {
		ctl_client_close(client);
		return CTL_REFUSED;
	}
	if (options->json) {
		json_dumpf(status, stdout, JSON_INDENT(2));
		printf("\n");
	} else {
		self_print(status);
		cluster_print(status);
		refused_print(status);
		problems_print(status);
	}
	r = json_array_size(json_object_get(status, "problems")) ? CTL_REFUSED : CTL_DONE;
	json_decref(status);
	ctl_client_close(client);
	return r;
}
