/* The listings: `lvsmesh members`, `peers`, `services` and `connections`, as tables or as JSON. */
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "director/ctl/ctl.h"

/* Rows are laid out so many at a time: a million connections need little memory. */
#define ROWS 512

struct column {
	const char *name;
	double width; /* a hint */
	int flags;
};

static struct libscols_table *table_new(const struct column *columns, size_t count)
{
	struct libscols_table *table = scols_new_table();

	for (size_t i = 0; table && i < count; i++)
		if (!scols_table_new_column(table, columns[i].name, columns[i].width,
					    columns[i].flags))
			abort();
	if (!table)
		abort();
	return table;
}

/* texts: one for each column. */
static void row_add(struct libscols_table *table, const char *const *texts, size_t count)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);

	for (size_t i = 0; i < count; i++)
		if (!line || scols_line_set_data(line, i, texts[i] ? texts[i] : "-") < 0)
			abort();
}

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

struct number {
	char text[24];
};

/* "-" if the object is null or has no such field. */
static const char *number_of(const json_t *object, const char *key, struct number *number)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value))
		return "-";
	snprintf(number->text, sizeof(number->text), "%" JSON_INTEGER_FORMAT,
		 json_integer_value(value));
	return number->text;
}

/* Asks, and prints as JSON or calls row() for every item. */
static int list(const struct ctl_options *options, json_t *request, const struct column *columns,
		size_t n_columns, void (*row)(struct libscols_table *table, const json_t *item))
{
	struct libscols_table *table;
	struct ctl_client *client;
	size_t rows = 0;
	json_t *item;
	int r = ctl_client_open(options->control, request, &client);

	if (r != CTL_DONE)
		return r;
	if (options->json) {
		r = ctl_client_print(client, options->command);
		ctl_client_close(client);
		return r;
	}
	table = table_new(columns, n_columns);
	while ((r = ctl_client_next(client, &item)) == 1) {
		row(table, item);
		json_decref(item);
		if (++rows % ROWS == 0) {
			scols_print_table(table);
			scols_table_remove_lines(table);
			scols_table_enable_noheadings(table, 1);
		}
	}
	scols_print_table(table);
	scols_unref_table(table);
	ctl_client_close(client);
	return r < 0 ? CTL_REFUSED : CTL_DONE;
}

static const struct column member_columns[] = {
	{"NAME", 0, 0},
	{"STATE", 0, 0},
	{"PHASE", 0, 0},
	{"FOR", 0, SCOLS_FL_RIGHT},
	{"ADDRESS", 0, 0},
	{"UDP", 0, 0},
	{"TCP", 0, 0},
	{"RTT", 0, SCOLS_FL_RIGHT},
	{"HEALTH", 0, SCOLS_FL_RIGHT},
	{"CONFIG", 0, 0},
	{"VERSIONS", 0, 0},
	{"EPOCH", 0, SCOLS_FL_RIGHT},
	{"EVIDENCE", 0, 0},
};

static const char *yes_no(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key)) ? "yes" : "NO";
}

static void evidence_join(const json_t *item, char *text, size_t size)
{
	const json_t *names = json_object_get(item, "evidence");
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < json_array_size(names) && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "",
					 json_string_value(json_array_get(names, i)));
}

/* The protocol's versions: "1" or "1-2". */
static void versions_join(const json_t *item, char *text, size_t size)
{
	const json_t *versions = json_object_get(item, "protocol_versions");
	json_int_t min = json_integer_value(json_array_get(versions, 0));
	json_int_t max = json_integer_value(json_array_get(versions, 1));

	if (min == max)
		snprintf(text, size, "%lld", min);
	else
		snprintf(text, size, "%lld-%lld", min, max);
}

/* A line for each address: the first has the member's own columns. */
static void member_row(struct libscols_table *table, const json_t *item)
{
	const json_t *addresses = json_object_get(item, "addresses");
	bool self = json_is_true(json_object_get(item, "self"));
	struct number seconds, rtt, health, epoch;
	char age[32], delay[32], evidence[128], versions[32];
	size_t count = json_array_size(addresses);

	snprintf(age, sizeof(age), "%s s", number_of(item, "for_s", &seconds));
	evidence_join(item, evidence, sizeof(evidence));
	versions_join(item, versions, sizeof(versions));
	for (size_t i = 0; i < (count ? count : 1); i++) {
		const json_t *address = json_array_get(addresses, i);
		const char *texts[] = {
			i ? "" : text_of(item, "name"),
			i ? "" : text_of(item, "state"),
			i ? "" : text_of(item, "phase"),
			i ? "" : age,
			text_of(address, "address"),
			self ? "" : yes_no(address, "udp"),
			self ? "" : yes_no(address, "tcp"),
			delay,
			i ? "" : number_of(item, "health_score", &health),
			i ? "" : text_of(item, "config_digest"),
			i ? "" : versions,
			i ? "" : number_of(item, "epoch", &epoch),
			i ? "" : evidence,
		};

		snprintf(delay, sizeof(delay),
			 json_is_integer(json_object_get(address, "rtt_us")) ? "%s us" : "%s",
			 number_of(address, "rtt_us", &rtt));
		row_add(table, texts, sizeof(texts) / sizeof(texts[0]));
	}
}

int ctl_members(const struct ctl_options *options, json_t *request)
{
	return list(options, request, member_columns,
		    sizeof(member_columns) / sizeof(member_columns[0]), member_row);
}

static const struct column peer_columns[] = {
	{"PEER", 0, 0},
	{"ADDRESS", 0, 0},
	{"STATE", 0, 0},
	{"FOR", 0, SCOLS_FL_RIGHT},
	{"POSITION", 0, SCOLS_FL_RIGHT},
	{"RECEIVED", 0, SCOLS_FL_RIGHT},
	{"BEHIND", 0, SCOLS_FL_RIGHT},
	{"SENT", 0, SCOLS_FL_RIGHT},
	{"UNSENT", 0, SCOLS_FL_RIGHT},
	{"LAG", 0, SCOLS_FL_RIGHT},
	{"OWN", 0, SCOLS_FL_RIGHT},
	{"REASON", 0, 0},
};

static void peer_row(struct libscols_table *table, const json_t *item)
{
	const json_t *receive = json_object_get(item, "receive");
	const json_t *send = json_object_get(item, "send");
	const char *name = text_of(item, "name");
	struct number seconds, position, received, behind, sent, unsent, lag, own;
	char age[32], delay[32];
	const char *texts[] = {
		name ? name : text_of(item, "id"),
		text_of(item, "address"),
		text_of(item, "state"),
		age,
		number_of(receive, "position", &position),
		number_of(receive, "entries", &received),
		number_of(receive, "behind", &behind),
		number_of(send, "entries", &sent),
		number_of(send, "behind", &unsent),
		delay,
		number_of(item, "own_entries", &own),
		json_is_true(json_object_get(item, "connected")) ? ""
								 : text_of(item, "close_reason"),
	};

	snprintf(age, sizeof(age), json_is_integer(json_object_get(item, "for_s")) ? "%s s" : "%s",
		 number_of(item, "for_s", &seconds));
	snprintf(delay, sizeof(delay), json_is_object(send) ? "%s ms" : "%s",
		 number_of(send, "lag_ms", &lag));
	row_add(table, texts, sizeof(texts) / sizeof(texts[0]));
}

int ctl_peers(const struct ctl_options *options, json_t *request)
{
	return list(options, request, peer_columns, sizeof(peer_columns) / sizeof(peer_columns[0]),
		    peer_row);
}

static const struct column service_columns[] = {
	{"SERVICE", 0, 0},
	{"NAME", 0, 0},
	{"SCHEDULER", 0, 0},
	{"FORWARDING", 0, 0},
	{"WEIGHT", 0, SCOLS_FL_RIGHT},
	{"FILE", 0, SCOLS_FL_RIGHT},
	{"CHECKS", 0, 0},
	{"OPERATOR", 0, 0},
	{"ACTIVE", 0, SCOLS_FL_RIGHT},
	{"INACTIVE", 0, SCOLS_FL_RIGHT},
	{"CONNECTIONS", 0, SCOLS_FL_RIGHT},
};

static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

/* "2 of 3 up", "0 of 3 up, DOWN, sorry server": what the checks say of a service. */
static void service_checks(const json_t *item, char *text, size_t size)
{
	const json_t *health = json_object_get(item, "health");
	struct number up, total;

	text[0] = '\0';
	if (!json_is_object(health))
		return;
	snprintf(text, size, "%s of %s up%s%s%s%s", number_of(health, "up", &up),
		 number_of(health, "total", &total),
		 is_true(health, "service_down") ? ", DOWN" : "",
		 is_true(health, "panic") ? ", PANIC: all are kept" : "",
		 is_true(health, "sorry_server") ? ", sorry server" : "",
		 is_true(health, "vip_withdrawn") ? ", VIP withdrawn" : "");
}

static bool is_maintained(const json_t *real)
{
	const char *setting = text_of(json_object_get(real, "operator"), "setting");

	return setting && strcmp(setting, "maintenance") == 0;
}

/* "up 3/3", "DOWN 2/3: connection refused": the verdict, how many of the checkers share it, and the
 * reason of the first of these when it is down. */
static void real_checks(const json_t *real, char *text, size_t size)
{
	const json_t *checkers = json_object_get(real, "checkers"), *vote;
	const char *verdict = text_of(real, "verdict"), *reason = "";
	bool down = verdict && strcmp(verdict, "down") == 0;
	size_t i, counted = 0, same = 0;

	if (!verdict) {
		snprintf(text, size, "%s", is_true(real, "sorry_server") ? "sorry server" : "-");
		return;
	}
	json_array_foreach(checkers, i, vote)
	{
		const char *result = text_of(vote, "result");

		if (!is_true(vote, "counted"))
			continue;
		counted++;
		if (!result || strcmp(result, verdict) != 0)
			continue;
		if (same++ == 0 && down && text_of(vote, "reason"))
			reason = text_of(vote, "reason");
	}
	if (counted == 0 && is_maintained(real)) {
		snprintf(text, size, "not checked");
		return;
	}
	snprintf(text, size, "%s %zu/%zu%s%s%s%s%s", down ? "DOWN" : verdict, same, counted,
		 is_true(real, "kept") ? ", kept" : "", is_true(real, "removed") ? ", removed" : "",
		 is_true(real, "slow_start") ? ", slow start" : "", *reason ? ": " : "", reason);
}

/* "drain (d1)", "weight 5 (d2)" */
static void real_operator(const json_t *real, char *text, size_t size)
{
	const json_t *said = json_object_get(real, "operator");
	const json_t *weight = json_object_get(said, "weight");
	char number[24] = "";

	if (json_is_integer(weight))
		snprintf(number, sizeof(number), " %" JSON_INTEGER_FORMAT,
			 json_integer_value(weight));
	if (json_is_object(said))
		snprintf(text, size, "%s%s (%s)", text_of(said, "setting"), number,
			 text_of(said, "director"));
	else
		snprintf(text, size, "-");
}

static void real_row(struct libscols_table *table, const json_t *real)
{
	struct number weight, file, active, inactive, connections;
	char address[96], checks[256], setting[96];
	const char *texts[] = {
		address,
		"",
		"",
		text_of(real, "forwarding"),
		number_of(real, "weight", &weight),
		number_of(real, "file_weight", &file),
		checks,
		setting,
		number_of(real, "active", &active),
		number_of(real, "inactive", &inactive),
		number_of(real, "connections", &connections),
	};

	snprintf(address, sizeof(address), "  -> %s", text_of(real, "address"));
	real_checks(real, checks, sizeof(checks));
	real_operator(real, setting, sizeof(setting));
	row_add(table, texts, sizeof(texts) / sizeof(texts[0]));
}

static void service_row(struct libscols_table *table, const json_t *item)
{
	struct number connections;
	char checks[128];
	const char *service[] = {
		text_of(item, "service"),
		is_true(item, "foreign") ? "(foreign)" : text_of(item, "name"),
		text_of(item, "scheduler"),
		is_true(item, "programmed") ? "" : "NOT PROGRAMMED",
		"",
		"",
		checks,
		"",
		"",
		"",
		number_of(item, "connections", &connections),
	};
	json_t *real;
	size_t i;

	service_checks(item, checks, sizeof(checks));
	row_add(table, service, sizeof(service) / sizeof(service[0]));
	json_array_foreach(json_object_get(item, "real_servers"), i, real) real_row(table, real);
}

int ctl_services(const struct ctl_options *options, json_t *request)
{
	return list(options, request, service_columns,
		    sizeof(service_columns) / sizeof(service_columns[0]), service_row);
}

static const struct column connection_columns[] = {
	{"PROTO", 5, 0},
	{"CLIENT", 21, 0},
	{"VIP", 21, 0},
	{"REAL", 21, 0},
	{"STATE", 11, 0},
	{"ORIGIN", 8, 0},
	{"EXPIRES", 7, SCOLS_FL_RIGHT},
	{"KERNEL", 6, 0},
};

static void connection_row(struct libscols_table *table, const json_t *item)
{
	bool own = json_is_true(json_object_get(item, "own"));
	bool in_kernel = json_is_true(json_object_get(item, "in_kernel"));
	bool shared = json_is_true(json_object_get(item, "replicated"));
	struct number expires;
	const char *texts[] = {
		text_of(item, "protocol"),
		text_of(item, "client"),
		text_of(item, "vip"),
		text_of(item, "real"),
		text_of(item, "state"),
		text_of(item, "origin"),
		number_of(item, "expires_s", &expires),
		own         ? (shared ? "own" : "unreplicated")
		: in_kernel ? "copy"
			    : "not yet",
	};

	row_add(table, texts, sizeof(texts) / sizeof(texts[0]));
}

int ctl_connections(const struct ctl_options *options, json_t *request)
{
	return list(options, request, connection_columns,
		    sizeof(connection_columns) / sizeof(connection_columns[0]), connection_row);
}
