/* The services, ours first, in the order of the configuration; then the foreign ones. A line is
 * made in parts, since a service may have a thousand real servers, each with several checkers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/control/control_answer_private.h"
#include "director/control/status_private.h"
#include "director/text.h"

/* Real servers in one part of a line. */
#define REALS_PART 8

static bool service_is_known(const struct control_answer *answer)
{
	const struct service_set *services = &answer->config->services;

	if (!answer->request.service[0])
		return true;
	for (size_t i = 0; i < services->count; i++)
		if (control_request_has_service(&answer->request, &services->services[i]))
			return true;
	return false;
}

int control_services_begin(struct control_answer *answer, struct now now,
			   struct refusal *ret_refusal)
{
	struct status_facts facts;
	int r = answer->source->services(answer->source->context, answer->asked, &answer->actual,
					 &ret_refusal->message);

	ret_refusal->error = "kernel";
	if (r < 0)
		return r;
	answer->source->facts(answer->source->context, &facts);
	answer->config = config_ref(facts.config);
	if (!service_is_known(answer)) {
		ret_refusal->error = control_error_name(CONTROL_E_SERVICE);
		ret_refusal->message = "the configuration has no service of that name";
		return -EINVAL;
	}
	peers_collect(facts.node, now, &answer->peers);
	return 0;
}

/* NULL: 1970 */
static json_t *time_json(usec_t wall)
{
	char text[EVENT_TIME_TEXT];

	return wall ? json_string(event_time_format(wall, text)) : json_null();
}

static json_t *director_json(const struct control_answer *answer, const struct status_facts *facts,
			     uint64_t id)
{
	struct member_info info;
	const char *name = control_answer_director(answer, facts, id, &info);
	char text[STATUS_ID_TEXT];

	return json_string(*name ? name : status_id(id, text));
}

/* Percentages of agents: null without one. */
static json_t *percent_json(int percent)
{
	return percent < 0 ? json_null() : json_integer(percent);
}

/* One real server of a service of ours, for its JSON. */
struct subject {
	const struct control_answer *answer;
	const struct status_facts *facts;
	size_t service, number; /* in the configuration */
	const struct real_server *ours;
	struct health_real_status status;
};

static json_t *checkers_make(const struct subject *subject)
{
	json_t *checkers = json_array();
	struct health_vote vote;

	for (unsigned int i = 0;
	     health_vote(subject->facts->health, subject->service, subject->number, i, &vote); i++)
		json_array_append_new(
			checkers,
			json_pack("{s:o, s:s, s:b, s:o, s:o, s:o}", "director",
				  director_json(subject->answer, subject->facts, vote.director),
				  "result", health_verdict_name(vote.state), "counted",
				  vote.counted, "since", time_json(vote.since), "percent",
				  percent_json(vote.weight), "reason", text_json(vote.reason)));
	return checkers;
}

static usec_t until(usec_t then, struct now now)
{
	return then > now.mono ? then - now.mono : 0;
}

/* This director's own checks of it. */
static json_t *check_make(const struct subject *subject, struct now now)
{
	const struct health_real_status *status = &subject->status;
	const struct check *check = subject->ours->check;
	json_t *object;

	if (!status->checked || !check)
		return json_null();
	object = json_pack("{s:s, s:s, s:b, s:b, s:s, s:I}", "type", check_type_name(check->type),
			   "via", check_via_name(check->via), "here", status->checking, "late",
			   status->late, "result", health_verdict_name(status->vote),
			   "detection_ms", number(check_detection(check) / USEC_PER_MSEC));
	json_object_set_new(object, "reason",
			    status->last.reason[0] ? text_json(status->last.reason) : json_null());
	json_object_set_new(object, "took_us",
			    status->last_end ? json_integer(number(status->last.took))
					     : json_null());
	json_object_set_new(
		object, "ended_ago_ms",
		status->last_end
			? json_integer(number((now.mono - MIN(status->last_end, now.mono)) /
					      USEC_PER_MSEC))
			: json_null());
	json_object_set_new(
		object, "next_in_ms",
		status->next == USEC_NEVER
			? json_null()
			: json_integer(number(until(status->next, now) / USEC_PER_MSEC)));
	return object;
}

static json_t *operator_make(const struct subject *subject)
{
	const struct health_real_status *status = &subject->status;

	if (status->setting == HEALTH_SET_RESET)
		return json_null();
	return json_pack(
		"{s:s, s:o, s:o, s:o}", "setting", health_setting_name(status->setting), "weight",
		status->setting == HEALTH_SET_WEIGHT
			? json_integer((json_int_t)status->setting_weight)
			: json_null(),
		"director", director_json(subject->answer, subject->facts, status->setting_author),
		"since", time_json(status->setting_since));
}

/* Adds the file's, the checks' and the operator's word. */
static void health_add(json_t *object, const struct subject *subject, struct now now)
{
	const struct health_real_status *status = &subject->status;

	json_object_set_new(object, "file_weight", json_integer((json_int_t)status->file_weight));
	json_object_set_new(object, "effective_weight", json_integer((json_int_t)status->weight));
	json_object_set_new(object, "removed", json_boolean(status->removed));
	json_object_set_new(object, "kept", json_boolean(status->kept));
	json_object_set_new(object, "slow_start", json_boolean(status->slow_start));
	json_object_set_new(object, "verdict",
			    status->checked ? json_string(health_verdict_name(status->verdict))
					    : json_null());
	json_object_set_new(object, "since", time_json(status->since));
	json_object_set_new(object, "percent", percent_json(status->percent));
	json_object_set_new(object, "check", check_make(subject, now));
	json_object_set_new(object, "checkers", checkers_make(subject));
	json_object_set_new(object, "operator", operator_make(subject));
}

/* theirs: the kernel's, NULL: it has none. */
static json_t *real_make(const struct real_server *real, const struct real_server *theirs,
			 uint32_t weight)
{
	static const struct real_server none;
	const struct real_server *counts = theirs ? theirs : &none;
	char text[ENDPOINT_TEXT];

	return json_pack("{s:s, s:s, s:I, s:b, s:I, s:I, s:I, s:I}", "address",
			 endpoint_format(&real->endpoint, text), "forwarding",
			 service_forwarding_name(real->forwarding), "weight",
			 (json_int_t)(theirs ? theirs->weight : weight), "in_kernel",
			 theirs != NULL, "active", (json_int_t)counts->active, "inactive",
			 (json_int_t)counts->inactive, "persistent", (json_int_t)counts->persistent,
			 "connections", (json_int_t)counts->counters.connections);
}

static bool is_sorry(const struct service *ours, const struct real_server *real)
{
	return ours && ours->sorry.endpoint.ip.family != 0 &&
	       service_real_compare(&ours->sorry, real) == 0;
}

/* The service of a line: ours, the kernel's, or both. */
struct pair {
	const struct service *ours, *theirs;
	size_t number; /* of ours */
};

/* After the real servers of ours come those that only the kernel has: our sorry server, or another
 * program's. */
static json_t *real_next(struct control_answer *answer, const struct status_facts *facts,
			 const struct pair *pair, struct now now)
{
	size_t n_ours = pair->ours ? pair->ours->n_real_servers : 0;
	size_t n_theirs = pair->theirs ? pair->theirs->n_real_servers : 0;
	/* A reload that came meanwhile numbers them anew. */
	bool healthy = facts->health && facts->config == answer->config;

	while (answer->real < n_ours + n_theirs) {
		size_t i = answer->real++;
		const struct real_server *real = i < n_ours
							 ? &pair->ours->real_servers[i]
							 : &pair->theirs->real_servers[i - n_ours];
		struct subject subject = {answer, facts, pair->number, i, real, {0}};
		json_t *item;

		if (!control_request_has_real(&answer->request, real) ||
		    (i >= n_ours && service_real_find(pair->ours, real)))
			continue;
		if (i >= n_ours) {
			item = real_make(real, real, 0);
			json_object_set_new(item, "sorry_server",
					    json_boolean(is_sorry(pair->ours, real)));
			return item;
		}
		healthy = healthy &&
			  health_real_status(facts->health, pair->number, i, &subject.status);
		item = real_make(real, service_real_find(pair->theirs, real),
				 healthy ? subject.status.weight : real->weight);
		json_object_set_new(item, "sorry_server", json_false());
		if (healthy)
			health_add(item, &subject, now);
		return item;
	}
	return NULL;
}

static json_t *service_health(const struct status_facts *facts, const struct pair *pair)
{
	struct health_service_status status;

	if (!facts->health || !pair->ours ||
	    !health_service_status(facts->health, pair->number, &status))
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:b, s:b, s:b, s:b, s:o}", "up", number(status.up),
			 "down", number(status.down), "total", number(status.total), "service_down",
			 status.service_down, "panic", status.panic, "sorry_server", status.sorry,
			 "vip_withdrawn", status.vip_off, "checkers",
			 pair->ours->health.checkers
				 ? json_integer((json_int_t)pair->ours->health.checkers)
				 : json_null());
}

/* All of a service's line but its real servers, whose list is the last field. */
static json_t *service_make(const struct control_answer *answer, const struct status_facts *facts,
			    const struct pair *pair)
{
	const struct service *service = pair->theirs ? pair->theirs : pair->ours;
	const char *name = pair->ours ? pair->ours->name : NULL;
	char key[SERVICE_TEXT], text[ENDPOINT_TEXT];

	return json_pack(
		"{s:s?, s:s, s:s?, s:s?, s:I, s:s, s:I, s:b, s:b, s:I, s:o, s:[]}", "name", name,
		"service", service_key_format(&service->key, key), "address",
		service->key.fwmark ? NULL : endpoint_format(&service->key.vip, text), "protocol",
		service->key.fwmark ? NULL : service_protocol_name(service->key.protocol), "fwmark",
		(json_int_t)service->key.fwmark, "scheduler", service->scheduler, "persistence_s",
		(json_int_t)service->persistence, "foreign", name == NULL, "programmed",
		pair->theirs != NULL, "connections", (json_int_t)service->counters.connections,
		"health",
		facts->config == answer->config ? service_health(facts, pair) : json_null(),
		"real_servers");
}

static bool pair_has_real(const struct control_request *request, const struct service *service)
{
	for (size_t i = 0; service && i < service->n_real_servers; i++)
		if (control_request_has_real(request, &service->real_servers[i]))
			return true;
	return false;
}

/* The service of number answer->next, ours and then foreign ones; false: the request does not mean
 * it. */
static bool pair_get(const struct control_answer *answer, struct pair *ret_pair)
{
	const struct service_set *configured = &answer->config->services;
	const struct service_set *actual = &answer->actual->set;
	const struct control_request *request = &answer->request;
	struct pair pair = {.number = answer->next};

	if (answer->next < configured->count) {
		pair.ours = &configured->services[answer->next];
		pair.theirs = service_set_find(actual, &pair.ours->key);
	} else {
		pair.theirs = &actual->services[answer->next - configured->count];
		if (service_set_find(configured, &pair.theirs->key))
			return false;
	}
	*ret_pair = pair;
	return control_request_has_service(request, pair.ours ? pair.ours : pair.theirs) &&
	       (request->real.ip.family == 0 || pair_has_real(request, pair.ours) ||
		pair_has_real(request, pair.theirs));
}

/* The beginning of a line, without the end of the list and of the object. */
static char *line_begin(struct control_answer *answer, const struct status_facts *facts,
			const struct pair *pair)
{
	json_t *object = service_make(answer, facts, pair);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	if (text)
		text[strlen(text) - 2] = '\0';
	answer->real = 0;
	answer->open = true;
	answer->filled = false;
	return text;
}

/* The next real servers of the line, or its end. NULL: no memory. */
static char *line_continue(struct control_answer *answer, const struct status_facts *facts,
			   const struct pair *pair, struct now now)
{
	json_t *reals = json_array(), *real = NULL;
	char *text, *part;

	while (json_array_size(reals) < REALS_PART &&
	       (real = real_next(answer, facts, pair, now)) != NULL)
		json_array_append_new(reals, real);
	if (json_array_size(reals) == 0) {
		json_decref(reals);
		answer->open = false;
		answer->next++;
		return strdup("]}\n");
	}
	text = json_dumps(reals, JSON_COMPACT);
	json_decref(reals);
	if (!text)
		return NULL;
	/* The brackets of "[{...},{...}]" go, and a comma comes before the rest. */
	text[strlen(text) - 1] = '\0';
	text[0] = ',';
	part = answer->filled ? text : strdup(text + 1);
	if (part != text)
		free(text);
	answer->filled = true;
	return part;
}

json_t *control_services_next(struct control_answer *answer, struct now now, struct piece *piece)
{
	size_t count = answer->config->services.count + answer->actual->set.count;
	struct status_facts facts;
	struct pair pair;

	answer->source->facts(answer->source->context, &facts);
	if (answer->open) {
		pair_get(answer, &pair);
		piece->text = line_continue(answer, &facts, &pair, now);
	} else {
		while (answer->next < count && !pair_get(answer, &pair))
			answer->next++;
		if (answer->next == count)
			return NULL;
		answer->count++;
		piece->text = line_begin(answer, &facts, &pair);
	}
	piece->end = !piece->text; /* without memory it ends unfinished, which the client sees */
	return NULL;
}
