#include "director/event/event_json.h"

static json_t *fields_make(const struct event *event)
{
	json_t *fields = json_object();

	for (unsigned int i = 0; i < EVENT_FIELDS_MAX && event->fields[i].name; i++) {
		const struct event_field *field = &event->fields[i];

		json_object_set_new(fields, field->name,
				    field->is_number ? json_integer(field->number)
						     : json_string(field->text));
	}
	return fields;
}

json_t *event_json(const struct event_log *log, const struct event *event)
{
	const struct event_type *type = event_type(event->kind);
	char time[EVENT_TIME_TEXT], id[EVENT_ID_TEXT], incident[EVENT_ID_TEXT];
	bool told = event->role != EVENT_EVIDENCE;
	json_t *object =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s?, s:s?, s:s, s:I, s:o}", "time",
			  event_time_format(event->time.wall, time), "director",
			  event_log_director(log), "event", type->name, "severity",
			  event_severity_name(type->severity), "subject", event->subject, "message",
			  event->message, "id", told ? event_log_id(log, event->id, id) : NULL,
			  "incident", told ? event_log_id(log, event->incident, incident) : NULL,
			  "role", event_role_name(event->role), "suppressed",
			  (json_int_t)event->suppressed, "fields", fields_make(event));

	if (object && event->role == EVENT_CLOSES)
		json_object_set_new(object, "lasted_s",
				    json_integer((json_int_t)(event->lasted / USEC_PER_SEC)));
	return object;
}
