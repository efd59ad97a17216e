#include "director/event/health_text.h"

#include <inttypes.h>
#include <stdio.h>

#include "director/text.h"

/* The kinds of a type of notice, and the words for one and several. */
static const struct {
	enum event_kind opens, closes;
	const char *left;   /* one of a group goes on */
	const char *opened; /* a number of them begin */
	const char *closed; /* and have ended */
} types[HEALTH_NOTICES] = {
	[HEALTH_NOTICE_REAL] = {EVENT_REAL_SERVER_DOWN, EVENT_REAL_SERVER_UP,
				"Real server %s is still down", "real servers are down",
				"real servers that went down together are up again"},
	[HEALTH_NOTICE_UNREACHABLE] = {EVENT_REAL_SERVER_UNREACHABLE_HERE,
				       EVENT_REAL_SERVER_REACHABLE_HERE,
				       "This director still can't reach real server %s",
				       "real servers can't be reached from this director, and are "
				       "up for the others",
				       "real servers can be reached from this director again"},
	[HEALTH_NOTICE_LATE] = {EVENT_CHECK_LATE, EVENT_CHECK_ON_TIME,
				"The checks of %s are still late",
				"real servers are checked late by this director",
				"real servers are checked in time again"},
	[HEALTH_NOTICE_SERVICE] = {EVENT_SERVICE_DOWN, EVENT_SERVICE_UP, "Service %s is still down",
				   "services are down",
				   "services that went down together are up again"},
	[HEALTH_NOTICE_PANIC] = {EVENT_PANIC, EVENT_PANIC_ENDED, "Service %s is still in panic",
				 "services have too many real servers down, and keep all",
				 "services follow their checks again"},
};

static bool is_of_target(enum health_notice_type type)
{
	return type == HEALTH_NOTICE_REAL || type == HEALTH_NOTICE_UNREACHABLE ||
	       type == HEALTH_NOTICE_LATE;
}

static const struct service *service_of(const struct health_notice *notice,
					const struct health_notices_context *context)
{
	if (notice->gone || notice->service >= context->services->count)
		return NULL;
	return &context->services->services[notice->service];
}

char *health_text_subject(const struct health_notice *notice,
			  const struct health_notices_context *context, char *text)
{
	const struct service *service = service_of(notice, context);

	text[0] = '\0';
	if (is_of_target(notice->type) && service && notice->real < service->n_real_servers)
		endpoint_format_bare(&service->real_servers[notice->real].endpoint, text);
	else if (is_of_target(notice->type))
		endpoint_format_bare(&notice->endpoint, text);
	else if (service)
		snprintf(text, EVENT_SUBJECT_MAX, "%s", service->name);
	return text;
}

/* " of web", " of web and 2 other services" */
static void add_services(struct text *text, const struct health_notice *notice,
			 const struct health_notices_context *context)
{
	const struct service *service = service_of(notice, context);

	if (!service)
		return;
	text_add(text, " of %s", service->name);
	if (notice->services > 1)
		text_add(text, " and %u other service%s", notice->services - 1,
			 notice->services > 2 ? "s" : "");
}

static const char *director_name(const struct health_notices_context *context, uint64_t id,
				 char hex[17])
{
	const char *name = context->name(context->context, id);

	if (name && *name)
		return name;
	snprintf(hex, 17, "%016" PRIx64, id);
	return hex;
}

static const char *state_name(enum health_verdict state)
{
	return state == HEALTH_UP ? "up" : state == HEALTH_DOWN ? "down" : "undecided";
}

/* "d1: no answer within 500 ms; d2: ...": those that say so, or else all. */
static void add_votes(struct text *text, const struct health_notice *notice,
		      const struct health_notices_context *context, enum health_verdict state)
{
	const char *separator = ": ";

	for (unsigned int i = 0; i < notice->n_votes; i++) {
		const struct health_vote *vote = &notice->votes[i];
		char hex[17];

		if (vote->state != state)
			continue;
		text_add(text, "%s%s: %s", separator, director_name(context, vote->director, hex),
			 vote->reason[0] ? vote->reason : state_name(vote->state));
		separator = "; ";
	}
}

/* Each checker's state and reason, for machines. */
static void add_fields(struct event *event, const struct health_notice *notice,
		       const struct health_notices_context *context)
{
	static const char *const names[HEALTH_VOTES_MAX] = {
		"checker_1", "checker_2", "checker_3", "checker_4",
		"checker_5", "checker_6", "checker_7", "checker_8",
	};
	const struct service *service = service_of(notice, context);

	event_text(event, "address", event->subject);
	event_text(event, "service", service ? service->name : "");
	event_number(event, "services", notice->services);
	for (unsigned int i = 0; i < notice->n_votes; i++) {
		const struct health_vote *vote = &notice->votes[i];
		char text[2 * EVENT_TEXT_MAX], hex[17];

		snprintf(text, sizeof(text), "%s %s%s%s",
			 director_name(context, vote->director, hex), state_name(vote->state),
			 vote->reason[0] ? ": " : "", vote->reason);
		event_text(event, names[i], text);
	}
}

static void real_text(const struct health_notice *notice, const char *subject,
		      const struct health_notices_context *context, struct text *text)
{
	text_add(text, "Real server %s", subject);
	add_services(text, notice, context);
	if (notice->gone) {
		text_add(text, " was taken out of the configuration");
	} else if (notice->active) {
		text_add(text, " is down");
		add_votes(text, notice, context, HEALTH_DOWN);
	} else {
		text_add(text, " is up again");
		add_votes(text, notice, context, HEALTH_UP);
	}
}

static void unreachable_text(const struct health_notice *notice, const char *subject,
			     const struct health_notices_context *context, struct text *text)
{
	if (notice->gone) {
		text_add(text, "Real server %s was taken out of the configuration", subject);
		return;
	}
	text_add(text, "%s %s real server %s", context->director,
		 notice->active ? "can't reach" : "no longer differs from the others about",
		 subject);
	add_services(text, notice, context);
	if (!notice->active)
		return;
	text_add(text, ", which is up for the other directors, and still sends traffic there");
	add_votes(text, notice, context, HEALTH_DOWN);
}

static void late_text(const struct health_notice *notice, const char *subject,
		      const struct health_notices_context *context, struct text *text)
{
	text_add(text, "The checks of real server %s", subject);
	add_services(text, notice, context);
	if (notice->active)
		text_add(text,
			 " are late on %s: none has ended for %" PRIu64 " ms; look at the load of "
			 "this director",
			 context->director, notice->late / USEC_PER_MSEC);
	else
		text_add(text, " %s", notice->gone ? "have ended" : "are in time again");
}

static void service_text(const struct health_notice *notice, const char *subject,
			 const struct health_notices_context *context, struct text *text)
{
	const struct service *service = service_of(notice, context);

	if (!service || !notice->active) {
		text_add(text, "Service %s %s: %zu of its %zu real servers are up", subject,
			 notice->gone ? "is no longer watched" : "is up again", notice->up,
			 notice->total);
		return;
	}
	text_add(text, "Service %s is down: %zu of its %zu real servers are up", subject,
		 notice->up, notice->total);
	if (notice->up > 0)
		text_add(text, ", and its quorum is %u", service->health.quorum);
	if (notice->vip_off)
		text_add(text, "; its VIP is withdrawn");
	else if (notice->sorry)
		text_add(text, "; its sorry server answers");
	else if (notice->up == 0 && service->health.all_down == HEALTH_FAIL_OPEN)
		text_add(text, "; all are kept as if they were up");
	else if (notice->up == 0)
		text_add(text, "; clients are refused");
}

static void panic_text(const struct health_notice *notice, const char *subject,
		       const struct health_notices_context *context, struct text *text)
{
	const struct service *service = service_of(notice, context);

	if (!service || !notice->active)
		text_add(text, "Service %s %s", subject,
			 notice->gone
				 ? "is no longer watched"
				 : "follows its checks again: few enough real servers are down");
	else
		text_add(text,
			 "Service %s: %zu of its %zu real servers are down at once, more than %u "
			 "%%: "
			 "all are kept, as the checks may be at fault",
			 subject, notice->down, notice->total, service->health.panic_threshold);
}

void health_text_event(const struct health_notice *notice, const char *subject,
		       const struct health_notices_context *context, struct event *ret_event)
{
	static void (*const texts[HEALTH_NOTICES])(const struct health_notice *, const char *,
						   const struct health_notices_context *,
						   struct text *) = {
		[HEALTH_NOTICE_REAL] = real_text,   [HEALTH_NOTICE_UNREACHABLE] = unreachable_text,
		[HEALTH_NOTICE_LATE] = late_text,   [HEALTH_NOTICE_SERVICE] = service_text,
		[HEALTH_NOTICE_PANIC] = panic_text,
	};
	char message[4 * EVENT_MESSAGE_MAX];
	struct text text = {message, sizeof(message), 0};

	texts[notice->type](notice, subject, context, &text);
	event_init(ret_event,
		   notice->active ? types[notice->type].opens : types[notice->type].closes, subject,
		   "%s.", message);
	if (is_of_target(notice->type)) {
		add_fields(ret_event, notice, context);
		return;
	}
	event_text(ret_event, "service", subject);
	event_number(ret_event, "up", (int64_t)notice->up);
	event_number(ret_event, "down", (int64_t)notice->down);
	event_number(ret_event, "total", (int64_t)notice->total);
}

void health_text_left(enum health_notice_type type, const char *subject, unsigned int total,
		      struct event *ret_event)
{
	char message[EVENT_MESSAGE_MAX];
	struct text text = {message, sizeof(message), 0};
	const char *form = types[type].left, *place = strstr(form, "%s");

	text_add(&text, "%.*s%s%s", (int)(place - form), form, subject, place + 2);
	event_init(ret_event, types[type].opens, subject, "%s (one of %u).", message, total);
	event_text(ret_event, is_of_target(type) ? "address" : "service", subject);
	event_number(ret_event, "count", 1);
}

void health_text_group(enum health_notice_type type, const char *subject, unsigned int total,
		       unsigned int left, const char *names, const struct event *first,
		       struct event *ret_event)
{
	if (left == total)
		event_init(ret_event, types[type].opens, subject,
			   "%u %s at once: %s. `lvsmesh services` lists them. The first: %s", total,
			   types[type].opened, names, first->message);
	else if (left > 0)
		event_init(ret_event, types[type].closes, subject,
			   "%u of the %u %s; each of the others is an incident of its own now.",
			   total - left, total, types[type].closed);
	else
		event_init(ret_event, types[type].closes, subject, "All %u %s.", total,
			   types[type].closed);
	event_number(ret_event, "count", total);
	event_number(ret_event, "left", left);
	if (first)
		event_text(ret_event, "first", first->message);
}

void health_notices_setting(const char *director, const struct service *service,
			    const struct real_server *real, enum health_setting setting,
			    uint32_t weight, struct event *ret_event)
{
	char subject[EVENT_SUBJECT_MAX], weighs[32] = "";

	endpoint_format_bare(&real->endpoint, subject);
	if (setting == HEALTH_SET_WEIGHT)
		snprintf(weighs, sizeof(weighs), " %u", weight);
	event_init(ret_event, EVENT_REAL_SERVER_SET, subject,
		   "The operator of %s set real server %s of %s to %s%s, on all directors.",
		   director, subject, service->name, health_setting_name(setting), weighs);
	event_text(ret_event, "address", subject);
	event_text(ret_event, "service", service->name);
	event_text(ret_event, "setting", health_setting_name(setting));
	if (setting == HEALTH_SET_WEIGHT)
		event_number(ret_event, "weight", weight);
}
