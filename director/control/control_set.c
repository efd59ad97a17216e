/* The commands that set real servers on all directors: one item for each real server. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/control/control_answer_private.h"

/* All real servers that the request means; 0 or -ENOMEM. */
static int matches_find(struct control_answer *answer)
{
	const struct service_set *services = &answer->config->services;
	size_t room = 0;

	for (size_t i = 0; i < services->count; i++) {
		const struct service *service = &services->services[i];

		if (!control_request_has_service(&answer->request, service))
			continue;
		for (size_t j = 0; j < service->n_real_servers; j++) {
			if (!control_request_has_real(&answer->request, &service->real_servers[j]))
				continue;
			if (answer->n_matches == room) {
				struct control_match *more;

				room = room ? 2 * room : 16;
				more = reallocarray(answer->matches, room, sizeof(*more));
				if (!more)
					return -ENOMEM;
				answer->matches = more;
			}
			answer->matches[answer->n_matches++] = (struct control_match){i, j};
		}
	}
	return 0;
}

static enum health_setting setting_of(const struct control_answer *answer)
{
	return answer->request.command == CONTROL_DRAIN ? HEALTH_SET_DRAIN
							: answer->request.setting;
}

/* Returns the refusal of a real server that is not there. */
static const char *unknown_text(struct control_answer *answer)
{
	const struct endpoint *real = &answer->request.real;
	const char *service = answer->request.service;
	char text[ENDPOINT_TEXT];

	snprintf(answer->refusal, sizeof(answer->refusal),
		 "%s%s of the configuration has a real server %s; see `lvsmesh services`",
		 service[0] ? "no service " : "no service", service,
		 endpoint_format_bare(real, text));
	return answer->refusal;
}

int control_set_begin(struct control_answer *answer, struct now now, struct refusal *ret_refusal)
{
	const struct control_source *source = answer->source;
	struct status_facts facts;
	int r = 0;

	(void)now;
	source->facts(source->context, &facts);
	answer->config = config_ref(facts.config);
	r = matches_find(answer);
	if (r < 0)
		return r;
	ret_refusal->error = "refused";
	if (answer->n_matches == 0) {
		ret_refusal->message = unknown_text(answer);
		return -EINVAL;
	}
	if (!source->set) {
		ret_refusal->message = "this director does not check real servers";
		return -EINVAL;
	}
	for (size_t i = 0; r == 0 && i < answer->n_matches; i++)
		r = source->set(source->context, answer->matches[i].service,
				answer->matches[i].real, setting_of(answer), answer->request.weight,
				&ret_refusal->message);
	return r;
}

json_t *control_set_next(struct control_answer *answer, struct now now, struct piece *piece)
{
	const struct control_match *match = &answer->matches[answer->next];
	enum health_setting setting = setting_of(answer);
	const struct service *service;
	char text[ENDPOINT_TEXT];
	json_t *item;

	(void)now;
	(void)piece;
	if (answer->next == answer->n_matches)
		return NULL;
	answer->next++;
	service = &answer->config->services.services[match->service];
	item = json_pack("{s:s, s:s, s:s}", "service", service->name, "address",
			 endpoint_format(&service->real_servers[match->real].endpoint, text),
			 "setting", health_setting_name(setting));
	json_object_set_new(item, "weight",
			    setting == HEALTH_SET_WEIGHT
				    ? json_integer((json_int_t)answer->request.weight)
				    : json_null());
	return item;
}
