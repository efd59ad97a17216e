#include "director/event/io_alert.h"

#include <errno.h>
#include <stdlib.h>

#include "director/io_clock.h"
#include "director/io_log.h"

#define CLOSE_LOOK_MS 20

struct io_alert {
	struct io_alert_options options;
	struct event_log *log;
	struct io_exec *exec; /* NULL while it is not open; so is the next */
	struct io_webhook *webhook;
	uv_timer_t timer;                   /* a held-back event is due; when closing: look again */
	uint64_t printed, printed_evidence; /* cursors */

	uint64_t close_until; /* uv_now(); 0: not closing */
	unsigned int handles; /* exec, webhook, timer */
	void (*done)(void *context);
	void *context;
};

void io_alert_options_init(struct io_alert_options *options)
{
	*options = (struct io_alert_options){
		.exec_timeout_ms = 10000,
		.webhook_timeout_ms = 10000,
		.webhook_retry_ms = 1000,
		.webhook_retry_max_ms = 60000,
		.webhook_attempts = 10,
		.grace_ms = 2000,
	};
}

static void print(const struct event_log *log, const struct event *event)
{
	const struct event_type *type = event_type(event->kind);
	char incident[EVENT_ID_TEXT];

	if (event->role == EVENT_EVIDENCE) {
		io_log_info("%s: %s", type->name, event->message);
		return;
	}
	io_log_line((enum io_log_priority)type->severity, "%s: %s [%s %s]", type->name,
		    event->message, event_role_name(event->role),
		    event_log_id(log, event->incident, incident));
}

static void due(uv_timer_t *timer)
{
	io_alert_kick(timer->data);
}

static void timer_set(struct io_alert *alert)
{
	struct now now = clock_now();
	usec_t next = event_log_timeout(alert->log, now);
	uint64_t ms = next > now.mono ? (next - now.mono + USEC_PER_MSEC - 1) / USEC_PER_MSEC : 0;

	if (alert->close_until)
		return;
	if (next == USEC_NEVER)
		uv_timer_stop(&alert->timer);
	else
		uv_timer_start(&alert->timer, due, ms, 0);
}

void io_alert_kick(struct io_alert *alert)
{
	const struct event *event;
	uint64_t lost = 0;

	timer_set(alert);
	if (alert->printed == event_log_end(alert->log) &&
	    alert->printed_evidence == event_log_evidence_end(alert->log))
		return;
	while ((event = event_log_evidence(alert->log, &alert->printed_evidence, &lost)))
		print(alert->log, event);
	while ((event = event_log_next(alert->log, &alert->printed, &lost)))
		print(alert->log, event);
	io_exec_kick(alert->exec);
	io_webhook_kick(alert->webhook);
	if (alert->options.told)
		alert->options.told(alert->options.context);
}

struct event_log *io_alert_log(struct io_alert *alert)
{
	return alert->log;
}

void io_alert_raise(struct io_alert *alert, const struct event *event)
{
	event_log_raise(alert->log, event, clock_now());
	io_alert_kick(alert);
}

static int parts_open(struct io_alert *alert)
{
	const struct io_alert_options *options = &alert->options;
	const struct io_webhook_options webhook = {
		.loop = options->loop,
		.log = alert->log,
		.timeout_ms = options->webhook_timeout_ms,
		.retry_ms = options->webhook_retry_ms,
		.retry_max_ms = options->webhook_retry_max_ms,
		.attempts = options->webhook_attempts,
	};
	int r = io_exec_open(options->loop, alert->log, options->exec_timeout_ms, &alert->exec);

	if (r < 0)
		return r;
	alert->handles++;
	r = io_webhook_open(&webhook, &alert->webhook);
	alert->handles += r == 0;
	return r;
}

int io_alert_open(const struct io_alert_options *options, struct io_alert **ret_alert)
{
	struct io_alert *alert = calloc(1, sizeof(*alert));
	int r = alert ? event_log_new(options->director, options->epoch, &alert->log) : -ENOMEM;

	if (r < 0) {
		free(alert);
		return r;
	}
	alert->options = *options;
	uv_timer_init(options->loop, &alert->timer);
	alert->timer.data = alert;
	alert->handles = 1;
	r = parts_open(alert);
	if (r < 0) {
		alert->options.grace_ms = 0;
		io_alert_close(alert, NULL, NULL);
		return r;
	}
	*ret_alert = alert;
	return 0;
}

int io_alert_config(struct io_alert *alert, const struct config_alerts *config)
{
	int r = io_exec_config(alert->exec, config->exec);

	return r < 0 ? r : io_webhook_config(alert->webhook, config->webhook);
}

static const struct counter_row event_rows[] = {
	COUNTER_ROW(struct event_log_counts, reported, "reported", COUNTER_TOTAL, "Events."),
	COUNTER_ROW(struct event_log_counts, evidence, "evidence", COUNTER_TOTAL,
		    "Lines of evidence."),
	COUNTER_ROW(struct event_log_counts, suppressed, "suppressed", COUNTER_TOTAL,
		    "Events held back, and over or merged when they were due."),
	COUNTER_ROW(struct event_log_counts, untracked, "untracked", COUNTER_TOTAL,
		    "Events left out: more subjects than are kept."),
};

static const struct counter_row exec_rows[] = {
	COUNTER_ROW(struct io_exec_counts, done, "done", COUNTER_TOTAL,
		    "Runs of the program that exited with 0."),
	COUNTER_ROW(struct io_exec_counts, failed, "failed", COUNTER_TOTAL,
		    "Runs that did not start, or ended otherwise."),
	COUNTER_ROW(struct io_exec_counts, timed_out, "timed_out", COUNTER_TOTAL,
		    "Runs that lvsmeshd ended because they took too long."),
	COUNTER_ROW(struct io_exec_counts, lost, "lost", COUNTER_TOTAL,
		    "Events that were overwritten before the program got them."),
};

static const struct counter_row webhook_rows[] = {
	COUNTER_ROW(struct io_webhook_counts, done, "done", COUNTER_TOTAL,
		    "Events that the URL took."),
	COUNTER_ROW(struct io_webhook_counts, retried, "retried", COUNTER_TOTAL,
		    "Attempts after the first one of an event."),
	COUNTER_ROW(struct io_webhook_counts, refused, "refused", COUNTER_TOTAL,
		    "Events that the URL refused by its answer."),
	COUNTER_ROW(struct io_webhook_counts, given_up, "given_up", COUNTER_TOTAL,
		    "Events given up after the last attempt."),
	COUNTER_ROW(struct io_webhook_counts, lost, "lost", COUNTER_TOTAL,
		    "Events that were overwritten before they were sent."),
};

const struct counter_table io_alert_counters[IO_ALERT_COUNTERS] = {
	COUNTER_ROWS("event", event_rows),
	COUNTER_ROWS("alert-exec", exec_rows),
	COUNTER_ROWS("alert-webhook", webhook_rows),
};

bool io_alert_counter(const struct io_alert *alert, unsigned int *i, struct counter *ret_counter)
{
	struct event_log_counts events;
	struct io_exec_counts exec;
	struct io_webhook_counts webhook;

	event_log_counts(alert->log, &events);
	io_exec_counts(alert->exec, &exec);
	io_webhook_counts(alert->webhook, &webhook);
	return counter_get(&io_alert_counters[0], &events, i, ret_counter) ||
	       counter_get(&io_alert_counters[1], &exec, i, ret_counter) ||
	       counter_get(&io_alert_counters[2], &webhook, i, ret_counter);
}

static void part_closed(void *context)
{
	struct io_alert *alert = context;

	if (--alert->handles > 0)
		return;
	if (alert->done)
		alert->done(alert->context);
	event_log_free(alert->log);
	free(alert);
}

static void timer_closed(uv_handle_t *handle)
{
	part_closed(handle->data);
}

static void close_look(uv_timer_t *timer)
{
	struct io_alert *alert = timer->data;
	bool idle = (!alert->exec || io_exec_idle(alert->exec)) &&
		    (!alert->webhook || io_webhook_idle(alert->webhook));

	if (!idle && uv_now(timer->loop) < alert->close_until)
		return;
	if (alert->exec)
		io_exec_close(alert->exec, part_closed, alert);
	if (alert->webhook)
		io_webhook_close(alert->webhook, part_closed, alert);
	uv_close((uv_handle_t *)timer, timer_closed);
}

void io_alert_close(struct io_alert *alert, void (*done)(void *context), void *context)
{
	alert->done = done;
	alert->context = context;
	alert->close_until = uv_now(alert->options.loop) + alert->options.grace_ms;
	uv_timer_start(&alert->timer, close_look, 0, CLOSE_LOOK_MS);
}
