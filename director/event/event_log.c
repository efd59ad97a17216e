#include "director/event/event_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* How long a count of suppressed events waits for an event that reports it. */
#define COUNT_KEPT (3600 * USEC_PER_SEC)

/* The state of one kind and subject. */
struct topic {
	enum event_kind kind; /* an opener, or a single event */
	char subject[EVENT_SUBJECT_MAX];
	bool on;             /* it is so: an incident; or a single event yet to be reported */
	bool open;           /* reported, and to be closed; only when on */
	usec_t quiet_until;  /* mono */
	usec_t since;        /* mono: it is on */
	uint32_t suppressed; /* since the last report */
	/* When open: its last event. When on and not open: the event that is held back. */
	struct event event;
};

/* The last ones, by id. */
struct ring {
	uint64_t last; /* id */
	struct event kept[EVENT_LOG_KEPT];
};

struct event_log {
	char director[EVENT_SUBJECT_MAX];
	uint64_t epoch;
	struct event_log_counts counts;
	struct ring told, evidence;
	unsigned int topics_len; /* from here on none was ever used */
	struct topic topics[EVENT_LOG_SUBJECTS];
};

int event_log_new(const char *director, uint64_t epoch, struct event_log **ret_log)
{
	struct event_log *log = calloc(1, sizeof(*log));

	if (!log)
		return -ENOMEM;
	snprintf(log->director, sizeof(log->director), "%s", director);
	log->epoch = epoch;
	*ret_log = log;
	return 0;
}

void event_log_free(struct event_log *log)
{
	free(log);
}

static const struct topic *topic_find(const struct event_log *log, enum event_kind kind,
				      const char *subject)
{
	for (unsigned int i = 0; i < log->topics_len; i++)
		if (log->topics[i].kind == kind && strcmp(log->topics[i].subject, subject) == 0)
			return &log->topics[i];
	return NULL;
}

static bool is_over(const struct topic *topic, struct now now)
{
	return !topic->on && now.mono >= topic->quiet_until + (topic->suppressed ? COUNT_KEPT : 0);
}

/* Reuses a topic that is over. */
static struct topic *topic_add(struct event_log *log, enum event_kind kind, const char *subject,
			       struct now now)
{
	struct topic *topic = NULL;

	for (unsigned int i = 0; i < log->topics_len && !topic; i++)
		if (is_over(&log->topics[i], now))
			topic = &log->topics[i];
	if (!topic && log->topics_len < EVENT_LOG_SUBJECTS)
		topic = &log->topics[log->topics_len++];
	if (!topic)
		return NULL;
	memset(topic, 0, sizeof(*topic));
	topic->kind = kind;
	snprintf(topic->subject, sizeof(topic->subject), "%s", subject);
	return topic;
}

static struct topic *topic_get(struct event_log *log, enum event_kind kind, const char *subject,
			       struct now now)
{
	struct topic *topic = (struct topic *)topic_find(log, kind, subject);

	return topic ? topic : topic_add(log, kind, subject, now);
}

static void sentence_count(struct event *event)
{
	size_t used = strlen(event->message);
	char text[64];
	int len =
		snprintf(text, sizeof(text), " (%" PRIu32 " more not reported)", event->suppressed);

	if (event->suppressed > 0 && used + (size_t)len < sizeof(event->message))
		memcpy(event->message + used, text, (size_t)len + 1);
}

/* The topic's event is reported. */
static void report(struct event_log *log, struct topic *topic, enum event_role role)
{
	struct event *event = &topic->event;

	event->role = role;
	event->id = ++log->told.last;
	if (role == EVENT_SINGLE || role == EVENT_OPENS)
		event->incident = event->id;
	event->suppressed = topic->suppressed;
	sentence_count(event);
	topic->suppressed = 0;
	log->told.kept[event->id % EVENT_LOG_KEPT] = *event;
	log->counts.reported++;
}

/* An opening, or a single event: reported unless the last one is too near. */
static bool topic_report(struct event_log *log, struct topic *topic, struct now now)
{
	bool opens = event_type(topic->event.kind)->role == EVENT_OPENS ||
		     event_type(topic->event.kind)->role == EVENT_WORSENS;

	if (now.mono < topic->quiet_until)
		return false;
	report(log, topic, opens ? EVENT_OPENS : EVENT_SINGLE);
	topic->on = topic->open = opens;
	topic->quiet_until = now.mono + EVENT_LOG_QUIET;
	return true;
}

static void suppress(struct event_log *log, struct topic *topic)
{
	topic->suppressed++;
	log->counts.suppressed++;
}

static bool raise_single(struct event_log *log, const struct event *event, struct now now)
{
	struct topic *topic = topic_get(log, event->kind, event->subject, now);

	if (!topic) {
		log->counts.untracked++;
		return false;
	}
	if (topic->on)
		suppress(log, topic);
	topic->on = true;
	topic->event = *event;
	topic->event.time = now;
	return topic_report(log, topic, now);
}

static bool raise_opening(struct event_log *log, const struct event *event, struct now now)
{
	const struct event_type *type = event_type(event->kind);
	struct topic *topic = topic_get(log, type->opener, event->subject, now);
	bool worse;

	if (!topic) {
		log->counts.untracked++;
		return false;
	}
	worse = type->role == EVENT_WORSENS && topic->event.kind != event->kind;
	if (topic->open && worse) {
		uint64_t incident = topic->event.incident;

		topic->event = *event;
		topic->event.time = now;
		topic->event.incident = incident;
		report(log, topic, EVENT_WORSENS);
		return true;
	}
	if (topic->on && !worse)
		return false;
	if (!topic->on)
		topic->since = now.mono;
	topic->on = true;
	topic->event = *event;
	topic->event.time = now;
	return topic_report(log, topic, now);
}

static bool raise_closing(struct event_log *log, const struct event *event, struct now now)
{
	const struct event_type *type = event_type(event->kind);
	struct topic *topic = (struct topic *)topic_find(log, type->opener, event->subject);
	bool open = topic && topic->open;

	if (topic && topic->on && !open)
		suppress(log, topic);
	if (open) {
		uint64_t incident = topic->event.incident;

		topic->event = *event;
		topic->event.time = now;
		topic->event.incident = incident;
		topic->event.lasted = now.mono - topic->since;
		report(log, topic, EVENT_CLOSES);
	}
	if (topic)
		topic->on = topic->open = false;
	if (open || type->role == EVENT_CLOSES)
		return open;
	return raise_single(log, event, now);
}

static bool raise_evidence(struct event_log *log, const struct event *event, struct now now)
{
	struct ring *ring = &log->evidence;
	struct event *kept = &ring->kept[++ring->last % EVENT_LOG_KEPT];

	*kept = *event;
	kept->id = ring->last;
	kept->role = EVENT_EVIDENCE;
	kept->time = now;
	log->counts.evidence++;
	return true;
}

bool event_log_raise(struct event_log *log, const struct event *event, struct now now)
{
	switch (event_type(event->kind)->role) {
	case EVENT_OPENS:
	case EVENT_WORSENS:
		return raise_opening(log, event, now);
	case EVENT_CLOSES:
	case EVENT_CONCLUDES:
		return raise_closing(log, event, now);
	case EVENT_EVIDENCE:
		return raise_evidence(log, event, now);
	case EVENT_SINGLE:
		break;
	}
	return raise_single(log, event, now);
}

usec_t event_log_timeout(struct event_log *log, struct now now)
{
	usec_t next = USEC_NEVER;

	for (unsigned int i = 0; i < log->topics_len; i++) {
		struct topic *topic = &log->topics[i];

		if (topic->on && !topic->open && !topic_report(log, topic, now))
			next = MIN(next, topic->quiet_until);
	}
	return next;
}

static uint64_t ring_begin(const struct ring *ring)
{
	return ring->last > EVENT_LOG_KEPT ? ring->last - EVENT_LOG_KEPT : 0;
}

static const struct event *ring_next(const struct ring *ring, uint64_t *cursor, uint64_t *ret_lost)
{
	uint64_t oldest = ring_begin(ring);

	if (*cursor < oldest) {
		*ret_lost += oldest - *cursor;
		*cursor = oldest;
	}
	return *cursor < ring->last ? &ring->kept[++*cursor % EVENT_LOG_KEPT] : NULL;
}

uint64_t event_log_begin(const struct event_log *log)
{
	return ring_begin(&log->told);
}

uint64_t event_log_end(const struct event_log *log)
{
	return log->told.last;
}

const struct event *event_log_next(const struct event_log *log, uint64_t *cursor,
				   uint64_t *ret_lost)
{
	return ring_next(&log->told, cursor, ret_lost);
}

uint64_t event_log_evidence_begin(const struct event_log *log)
{
	return ring_begin(&log->evidence);
}

uint64_t event_log_evidence_end(const struct event_log *log)
{
	return log->evidence.last;
}

const struct event *event_log_evidence(const struct event_log *log, uint64_t *cursor,
				       uint64_t *ret_lost)
{
	return ring_next(&log->evidence, cursor, ret_lost);
}

const struct event *event_log_incident(const struct event_log *log, unsigned int *i)
{
	while (*i < log->topics_len) {
		const struct topic *topic = &log->topics[(*i)++];

		if (topic->open)
			return &topic->event;
	}
	return NULL;
}

const struct event *event_log_find(const struct event_log *log, enum event_kind kind,
				   const char *subject)
{
	const struct topic *topic = topic_find(log, kind, subject);

	return topic && topic->open ? &topic->event : NULL;
}

const char *event_log_director(const struct event_log *log)
{
	return log->director;
}

char *event_log_id(const struct event_log *log, uint64_t id, char text[EVENT_ID_TEXT])
{
	snprintf(text, EVENT_ID_TEXT, "%s-%" PRIu64 "-%" PRIu64, log->director, log->epoch, id);
	return text;
}

void event_log_counts(const struct event_log *log, struct event_log_counts *ret_counts)
{
	*ret_counts = log->counts;
}
