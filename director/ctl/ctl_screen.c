#include "director/ctl/ctl_screen.h"

#include <stdio.h>
#include <string.h>

#include "director/event/observer.h"

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

static void self_print(FILE *out, const json_t *status)
{
	const json_t *forwarder = json_object_get(status, "forwarder");
	char age[64];

	fprintf(out, "%s  (id %s, cluster %.8s, lvsmesh %s, up %s)\n\n", text_of(status, "name"),
		text_of(status, "id"), text_of(status, "cluster"), text_of(status, "version"),
		age_of(status, "uptime_s", age));
	fprintf(out, "  traffic        %s\n",
		is_true(status, "drained")      ? "drained"
		: is_true(status, "draining")   ? "draining"
		: !is_true(status, "ready")     ? "not ready"
		: is_true(status, "announcing") ? "ready, VIPs are up"
						: "ready, VIPs are down");
	fprintf(out, "  forwarder      %s for %s\n", is_true(forwarder, "ok") ? "works" : "STALLED",
		age_of(forwarder, "for_s", age));
}

/* Whether replication works: the daemon's verdict, for a person. */
static const char *replication_of(const json_t *status)
{
	static const struct {
		const char *word, *text;
	} texts[] = {
		{"starting", "still starting"},
		{"off", "off for all services"},
		{"alone", "no peer to replicate to"},
		{"stalled", "STALLED"},
		{"full", "TABLE IS FULL"},
		{"incomplete", "INCOMPLETE"},
		{"lagging", "LAGGING"},
	};
	const char *word = text_of(status, "replication");

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(texts[i].word, word) == 0)
			return texts[i].text;
	return word;
}

static void replication_print(FILE *out, const json_t *status)
{
	const json_t *peers = json_object_get(status, "peers");
	json_int_t away = number_of(peers, "away"), expected = number_of(peers, "expected");

	fprintf(out, "  replication    %s", replication_of(status));
	if (expected > 0)
		fprintf(out, ": %lld of %lld peers connected, the slowest %lld ms behind",
			number_of(peers, "connected"), expected, number_of(peers, "worst_lag_ms"));
	if (away > 0)
		fprintf(out, "%s%lld away as announced", expected > 0 ? "; " : ": ", away);
	fprintf(out, "\n");
}

/* Counts of faults since the start, if there were any. */
static void repairs_print(FILE *out, const json_t *status)
{
	static const struct {
		const char *name, *text;
	} texts[] = {
		{"repaired_from_peers", "repaired from peers"},
		{"reinjected", "reinjected"},
		{"inject_retries", "inject retries"},
		{"conflicts", "conflicts"},
		{"concurrent_updates", "concurrent updates"},
		{"refused_full", "refused: table full"},
		{"flood_shed", "shed in floods"},
		{"templates_differ", "persistence templates differ"},
	};
	const json_t *entries = json_object_get(status, "entries");
	const char *separator = "; ";

	fprintf(out, "  tables         compared with those of peers: %lld",
		number_of(entries, "tables_compared"));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_int_t value = number_of(entries, texts[i].name);

		if (value == 0)
			continue;
		fprintf(out, "%s%lld %s", separator, value, texts[i].text);
		separator = ", ";
	}
	fprintf(out, "%s\n", *separator == ';' ? ", no faults" : "");
}

static void drops_print(FILE *out, const json_t *status)
{
	const json_t *tap = json_object_get(json_object_get(status, "counters"), "tap");
	json_int_t capture = number_of(tap, "capture_drops");
	json_int_t inject = number_of(tap, "inject_drops");

	if (capture + inject > 0)
		fprintf(out,
			"                 dropped by the kernel: %lld packets to be captured, "
			"%lld messages to be injected\n",
			capture, inject);
}

/* Real servers, by the checks and the operator. */
static void health_print(FILE *out, const json_t *status)
{
	static const struct {
		const char *name, *text;
	} words[] = {
		{"services_down", "services DOWN"},
		{"panic", "in PANIC: all are kept"},
		{"sorry_server", "with the sorry server"},
		{"vip_withdrawn", "with the VIP withdrawn"},
	};
	const json_t *health = json_object_get(status, "health");

	if (!json_is_object(health) || number_of(health, "total") == 0)
		return;
	fprintf(out, "\n  real servers   %lld of %lld up, %lld down", number_of(health, "up"),
		number_of(health, "total"), number_of(health, "down"));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (number_of(health, words[i].name) > 0)
			fprintf(out, ", %lld %s", number_of(health, words[i].name), words[i].text);
}

static void cluster_print(FILE *out, const json_t *status)
{
	const json_t *membership = json_object_get(status, "membership");
	const json_t *entries = json_object_get(status, "entries");
	const json_t *services = json_object_get(status, "services");
	const json_t *config = json_object_get(status, "config");
	json_int_t alone = number_of(entries, "young") + number_of(entries, "flood_waiting") +
			   number_of(entries, "local");
	char age[64];

	fprintf(out, "  members        %lld of %lld alive, ",
		number_of(membership, "members_alive"), number_of(membership, "members_total"));
	if (number_of(membership, "away") > 0)
		fprintf(out, "%lld away as announced, ", number_of(membership, "away"));
	fprintf(out, "%s", text_of(membership, "quorum"));
	if (json_is_string(json_object_get(membership, "split")))
		fprintf(out, ", SPLIT %s", text_of(membership, "split"));
	if (json_is_object(json_object_get(membership, "partition")))
		fprintf(out, ", PARTIAL PARTITION (%s)",
			text_of(json_object_get(membership, "partition"), "cut"));
	fprintf(out, "; health score %lld (0: good)\n", number_of(membership, "health_score"));
	replication_print(out, status);
	repairs_print(out, status);
	drops_print(out, status);
	fprintf(out,
		"  connections    %lld known, %lld of them carried here; "
		"%lld not yet in the kernel\n",
		number_of(entries, "total"), number_of(entries, "own"),
		number_of(entries, "inject_pending") + number_of(entries, "inject_unconfirmed"));
	if (alone > 0)
		fprintf(out,
			"                 %lld of those carried here are not replicated (%lld not "
			"yet)\n",
			alone, number_of(entries, "young") + number_of(entries, "flood_waiting"));
	fprintf(out, "  services       %lld, %s %s ago", number_of(services, "configured"),
		is_true(services, "programmed") ? "checked" : "NOT PROGRAMMED, tried",
		age_of(services, "checked_ago_s", age));
	health_print(out, status);
	fprintf(out, "\n  configuration  %s (%.8s), read %s ago\n", text_of(config, "path"),
		text_of(config, "digest"), age_of(config, "loaded_ago_s", age));
}

/* Counters of messages that were refused. Real servers that refuse a connection are no such. */
static bool is_refusal(const char *group, const char *name)
{
	return strcmp(group, "session") == 0 || strcmp(group, "control") == 0 ||
	       strcmp(group, "health-refused") == 0 ||
	       (strncmp(name, "refused", 7) == 0 && strcmp(group, "check") != 0) ||
	       observer_refusal(group, name) == OBSERVER_ALARMING;
}

static void refused_print(FILE *out, const json_t *status)
{
	const char *group, *name, *separator = "\n  refused        ";
	json_t *counters, *value;

	json_object_foreach(json_object_get(status, "counters"), group, counters)
	{
		json_object_foreach(counters, name, value)
		{
			if (json_integer_value(value) == 0 || !is_refusal(group, name))
				continue;
			fprintf(out, "%s%s/%s %lld", separator, group, name,
				json_integer_value(value));
			separator = ", ";
		}
	}
	if (*separator == ',')
		fprintf(out, "\n");
}

static void problems_print(FILE *out, const json_t *status)
{
	const json_t *problems = json_object_get(status, "problems");
	json_t *problem;
	size_t i;

	if (json_array_size(problems) == 0) {
		fprintf(out, "\nAll is well.\n");
		return;
	}
	fprintf(out, "\nProblems:\n");
	json_array_foreach(problems, i, problem)
		fprintf(out, "  - %s\n", json_string_value(problem));
}

void ctl_screen_print(FILE *out, const json_t *status)
{
	self_print(out, status);
	cluster_print(out, status);
	refused_print(out, status);
	problems_print(out, status);
}
