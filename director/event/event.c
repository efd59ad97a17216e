#include "director/event/event.h"

#include <stdarg.h>
#include <stdio.h>

#include "director/text.h"

#define SINGLE(_kind) EVENT_SINGLE, _kind
#define OPENS(_kind) EVENT_OPENS, _kind
#define WORSENS(_kind) EVENT_WORSENS, _kind
#define CLOSES(_kind) EVENT_CLOSES, _kind
#define CONCLUDES(_kind) EVENT_CONCLUDES, _kind
#define EVIDENCE(_kind) EVENT_EVIDENCE, _kind

static const struct event_type types[EVENT_KINDS] = {
	[EVENT_MEMBER_JOINED] = {"member-joined", EVENT_NOTICE, SINGLE(EVENT_MEMBER_JOINED)},
	[EVENT_MEMBER_LEFT] = {"member-left", EVENT_NOTICE, CONCLUDES(EVENT_MEMBER_FAILED)},
	[EVENT_MEMBER_FAILED] = {"member-failed", EVENT_ERROR, OPENS(EVENT_MEMBER_FAILED)},
	[EVENT_MEMBER_RECOVERED] = {"member-recovered", EVENT_NOTICE, CLOSES(EVENT_MEMBER_FAILED)},
	[EVENT_MEMBER_PARTLY_REACHABLE] = {"member-partly-reachable", EVENT_WARNING,
					   OPENS(EVENT_MEMBER_PARTLY_REACHABLE)},
	[EVENT_MEMBER_REACHABLE] = {"member-reachable", EVENT_NOTICE,
				    CLOSES(EVENT_MEMBER_PARTLY_REACHABLE)},
	[EVENT_QUORUM_LOST] = {"quorum-lost", EVENT_ERROR, OPENS(EVENT_QUORUM_LOST)},
	[EVENT_QUORUM_REGAINED] = {"quorum-regained", EVENT_NOTICE, CLOSES(EVENT_QUORUM_LOST)},
	[EVENT_PEERS_NOT_FOUND] = {"peers-not-found", EVENT_ERROR, OPENS(EVENT_PEERS_NOT_FOUND)},
	[EVENT_PEERS_FOUND] = {"peers-found", EVENT_NOTICE, CLOSES(EVENT_PEERS_NOT_FOUND)},
	[EVENT_CLUSTER_FULL] = {"cluster-full", EVENT_ERROR, OPENS(EVENT_CLUSTER_FULL)},
	[EVENT_CLUSTER_HAS_ROOM] = {"cluster-has-room", EVENT_NOTICE, CLOSES(EVENT_CLUSTER_FULL)},
	[EVENT_SPLIT_BRAIN_SUSPECTED] = {"split-brain-suspected", EVENT_ERROR,
					 OPENS(EVENT_SPLIT_BRAIN_SUSPECTED)},
	[EVENT_SPLIT_BRAIN_CONFIRMED] = {"split-brain-confirmed", EVENT_ERROR,
					 WORSENS(EVENT_SPLIT_BRAIN_SUSPECTED)},
	[EVENT_SPLIT_BRAIN_HEALED] = {"split-brain-healed", EVENT_NOTICE,
				      CLOSES(EVENT_SPLIT_BRAIN_SUSPECTED)},
	[EVENT_PARTIAL_PARTITION] = {"partial-partition", EVENT_ERROR,
				     OPENS(EVENT_PARTIAL_PARTITION)},
	[EVENT_PARTITION_ENDED] = {"partition-ended", EVENT_NOTICE,
				   CLOSES(EVENT_PARTIAL_PARTITION)},
	[EVENT_CONFIG_DIVERGENCE] = {"config-divergence", EVENT_WARNING,
				     OPENS(EVENT_CONFIG_DIVERGENCE)},
	[EVENT_CONFIG_CONVERGED] = {"config-converged", EVENT_NOTICE,
				    CLOSES(EVENT_CONFIG_DIVERGENCE)},
	[EVENT_REAL_SERVER_DOWN] = {"real-server-down", EVENT_WARNING,
				    OPENS(EVENT_REAL_SERVER_DOWN)},
	[EVENT_REAL_SERVER_UP] = {"real-server-up", EVENT_NOTICE, CLOSES(EVENT_REAL_SERVER_DOWN)},
	[EVENT_REAL_SERVER_UNREACHABLE_HERE] = {"real-server-unreachable-here", EVENT_WARNING,
						OPENS(EVENT_REAL_SERVER_UNREACHABLE_HERE)},
	[EVENT_REAL_SERVER_REACHABLE_HERE] = {"real-server-reachable-here", EVENT_NOTICE,
					      CLOSES(EVENT_REAL_SERVER_UNREACHABLE_HERE)},
	[EVENT_REAL_SERVER_SET] = {"real-server-set", EVENT_NOTICE, SINGLE(EVENT_REAL_SERVER_SET)},
	[EVENT_SERVICE_DOWN] = {"service-down", EVENT_ERROR, OPENS(EVENT_SERVICE_DOWN)},
	[EVENT_SERVICE_UP] = {"service-up", EVENT_NOTICE, CLOSES(EVENT_SERVICE_DOWN)},
	[EVENT_PANIC] = {"panic", EVENT_ERROR, OPENS(EVENT_PANIC)},
	[EVENT_PANIC_ENDED] = {"panic-ended", EVENT_NOTICE, CLOSES(EVENT_PANIC)},
	[EVENT_CHECK_LATE] = {"check-late", EVENT_WARNING, OPENS(EVENT_CHECK_LATE)},
	[EVENT_CHECK_ON_TIME] = {"check-on-time", EVENT_NOTICE, CLOSES(EVENT_CHECK_LATE)},
	[EVENT_KERNEL_CHANGED] = {"kernel-changed", EVENT_WARNING, SINGLE(EVENT_KERNEL_CHANGED)},
	[EVENT_KERNEL_TABLE_FULL] = {"kernel-table-full", EVENT_ERROR,
				     OPENS(EVENT_KERNEL_TABLE_FULL)},
	[EVENT_KERNEL_TABLE_HAS_ROOM] = {"kernel-table-has-room", EVENT_NOTICE,
					 CLOSES(EVENT_KERNEL_TABLE_FULL)},
	[EVENT_SERVICE_REFUSED] = {"service-refused", EVENT_ERROR, OPENS(EVENT_SERVICE_REFUSED)},
	[EVENT_SERVICE_ACCEPTED] = {"service-accepted", EVENT_NOTICE,
				    CLOSES(EVENT_SERVICE_REFUSED)},
	[EVENT_FORWARDER_STALLED] = {"forwarder-stalled", EVENT_ERROR,
				     OPENS(EVENT_FORWARDER_STALLED)},
	[EVENT_FORWARDER_RECOVERED] = {"forwarder-recovered", EVENT_NOTICE,
				       CLOSES(EVENT_FORWARDER_STALLED)},
	[EVENT_INJECTION_FAILING] = {"injection-failing", EVENT_ERROR,
				     OPENS(EVENT_INJECTION_FAILING)},
	[EVENT_INJECTION_RECOVERED] = {"injection-recovered", EVENT_NOTICE,
				       CLOSES(EVENT_INJECTION_FAILING)},
	[EVENT_REPLICATION_LAGGING] = {"replication-lagging", EVENT_WARNING,
				       OPENS(EVENT_REPLICATION_LAGGING)},
	[EVENT_REPLICATION_CAUGHT_UP] = {"replication-caught-up", EVENT_NOTICE,
					 CLOSES(EVENT_REPLICATION_LAGGING)},
	[EVENT_CONNECTION_CONFLICT] = {"connection-conflict", EVENT_WARNING,
				       SINGLE(EVENT_CONNECTION_CONFLICT)},
	[EVENT_CLOCK_SET_BACK] = {"clock-set-back", EVENT_WARNING, SINGLE(EVENT_CLOCK_SET_BACK)},
	[EVENT_DRAINING] = {"draining", EVENT_NOTICE, OPENS(EVENT_DRAINING)},
	[EVENT_DRAINED] = {"drained", EVENT_NOTICE, CLOSES(EVENT_DRAINING)},
	[EVENT_UNDRAINED] = {"undrained", EVENT_NOTICE, CONCLUDES(EVENT_DRAINING)},
	[EVENT_MEMBER_THROTTLED] = {"member-throttled", EVENT_WARNING,
				    OPENS(EVENT_MEMBER_THROTTLED)},
	[EVENT_MEMBER_UNTHROTTLED] = {"member-unthrottled", EVENT_NOTICE,
				      CLOSES(EVENT_MEMBER_THROTTLED)},
	[EVENT_DUPLICATE_IDENTITY] = {"duplicate-identity", EVENT_ERROR,
				      OPENS(EVENT_DUPLICATE_IDENTITY)},
	[EVENT_DUPLICATE_IDENTITY_RESOLVED] = {"duplicate-identity-resolved", EVENT_NOTICE,
					       CLOSES(EVENT_DUPLICATE_IDENTITY)},
	[EVENT_DUPLICATE_NAME] = {"duplicate-name", EVENT_WARNING, OPENS(EVENT_DUPLICATE_NAME)},
	[EVENT_DUPLICATE_NAME_RESOLVED] = {"duplicate-name-resolved", EVENT_NOTICE,
					   CLOSES(EVENT_DUPLICATE_NAME)},
	[EVENT_IDENTITY_EXPIRING] = {"identity-expiring", EVENT_WARNING,
				     SINGLE(EVENT_IDENTITY_EXPIRING)},
	[EVENT_MESSAGE_REFUSED] = {"message-refused", EVENT_WARNING, SINGLE(EVENT_MESSAGE_REFUSED)},
	[EVENT_SUSPECTED] = {"suspected", EVENT_INFO, EVIDENCE(EVENT_SUSPECTED)},
	[EVENT_CLEARED] = {"cleared", EVENT_INFO, EVIDENCE(EVENT_CLEARED)},
	[EVENT_REFUTED] = {"refuted", EVENT_INFO, EVIDENCE(EVENT_REFUTED)},
	[EVENT_PAUSED] = {"paused", EVENT_INFO, EVIDENCE(EVENT_PAUSED)},
	[EVENT_WITNESS] = {"witness", EVENT_INFO, EVIDENCE(EVENT_WITNESS)},
};

const struct event_type *event_type(enum event_kind kind)
{
	return &types[kind];
}

bool event_kind_find(const char *name, enum event_kind *ret_kind)
{
	for (unsigned int i = 0; i < EVENT_KINDS; i++) {
		if (strcmp(types[i].name, name) == 0) {
			*ret_kind = (enum event_kind)i;
			return true;
		}
	}
	return false;
}

const char *event_severity_name(enum event_severity severity)
{
	return severity == EVENT_ERROR     ? "error"
	       : severity == EVENT_WARNING ? "warning"
	       : severity == EVENT_NOTICE  ? "notice"
					   : "info";
}

const char *event_role_name(enum event_role role)
{
	static const char *const names[] = {
		[EVENT_SINGLE] = "single",    [EVENT_OPENS] = "opens",
		[EVENT_WORSENS] = "worsens",  [EVENT_CLOSES] = "closes",
		[EVENT_CONCLUDES] = "closes", [EVENT_EVIDENCE] = "evidence",
	};

	return names[role];
}

void event_init(struct event *event, enum event_kind kind, const char *subject, const char *format,
		...)
{
	char message[2 * EVENT_MESSAGE_MAX];
	va_list args;

	memset(event, 0, sizeof(*event));
	event->kind = kind;
	text_copy(event->subject, sizeof(event->subject), subject);
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	text_copy(event->message, sizeof(event->message), message);
}

static struct event_field *field_add(struct event *event, const char *name)
{
	for (unsigned int i = 0; i < EVENT_FIELDS_MAX; i++) {
		if (!event->fields[i].name) {
			event->fields[i].name = name;
			return &event->fields[i];
		}
	}
	return NULL;
}

void event_text(struct event *event, const char *name, const char *text)
{
	struct event_field *field = field_add(event, name);

	if (field)
		text_copy(field->text, sizeof(field->text), text);
}

void event_number(struct event *event, const char *name, int64_t number)
{
	struct event_field *field = field_add(event, name);

	if (field) {
		field->is_number = true;
		field->number = number;
	}
}

/* Days since 1970 to a date, by years that begin in March: a leap day is then the last. 400 years
 * have 146097 days. */
static void date_of(uint64_t days, unsigned int *ret_year, unsigned int *ret_month,
		    unsigned int *ret_day)
{
	uint64_t since = days + 719468, era = since / 146097, day = since % 146097;
	uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365, month;

	day -= 365 * year + year / 4 - year / 100;
	month = (5 * day + 2) / 153;
	*ret_day = (unsigned int)(day - (153 * month + 2) / 5 + 1);
	*ret_month = (unsigned int)(month < 10 ? month + 3 : month - 9);
	*ret_year = (unsigned int)(year + era * 400 + (month >= 10));
}

char *event_time_format(usec_t wall, char text[EVENT_TIME_TEXT])
{
	uint64_t msec = MIN(wall / USEC_PER_MSEC, 253402300799999); /* the year 9999 */
	uint64_t second = msec / 1000;
	unsigned int year, month, day;

	date_of(second / 86400, &year, &month, &day);
	snprintf(text, EVENT_TIME_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year, month, day,
		 (unsigned int)(second / 3600 % 24), (unsigned int)(second / 60 % 60),
		 (unsigned int)(second % 60), (unsigned int)(msec % 1000));
	return text;
}
