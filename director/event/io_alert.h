/* Collects and sends out a director's events, on libuv: it owns the event log, reports events that
 * were held back when they are due, prints every event on the log of the daemon, and hands it to
 * the operator's program and URL. Neither holds up the loop, however slow or broken. */
#ifndef DIRECTOR_EVENT_IO_ALERT_H
#define DIRECTOR_EVENT_IO_ALERT_H

#include "director/config/config.h"
#include "director/event/io_exec.h"
#include "director/event/io_webhook.h"
#include "director/node/node.h"

struct io_alert;

struct io_alert_options {
	uv_loop_t *loop;
	const char *director; /* its name, copied */
	uint64_t epoch;       /* its boot epoch */
	void *context;
	/* There are new events in the log; called from io_alert_kick() and from the loop. */
	void (*told)(void *context);
	uint64_t exec_timeout_ms;
	uint64_t webhook_timeout_ms, webhook_retry_ms, webhook_retry_max_ms;
	unsigned int webhook_attempts;
	uint64_t grace_ms; /* waiting events may still go out after io_alert_close() */
};

/* Fills in the defaults: the times. */
void io_alert_options_init(struct io_alert_options *options);

/* 0, or a negative errno. */
int io_alert_open(const struct io_alert_options *options, struct io_alert **ret_alert);

/* Also while it runs. 0 or -ENOMEM: some of the former settings stay. */
int io_alert_config(struct io_alert *alert, const struct config_alerts *config);

/* Raise events in it, then call io_alert_kick(): it is cheap when there is nothing new.
 * io_alert_raise() does both. */
struct event_log *io_alert_log(struct io_alert *alert);
void io_alert_kick(struct io_alert *alert);
void io_alert_raise(struct io_alert *alert, const struct event *event);

#define IO_ALERT_COUNTERS 3
extern const struct counter_table io_alert_counters[IO_ALERT_COUNTERS];
/* Counter number *i of these, as counter_get(). */
bool io_alert_counter(const struct io_alert *alert, unsigned int *i, struct counter *ret_counter);

/* Waits a moment for events that are to go out, then breaks off; done is called once when nothing
 * is left, and alert is freed. Nothing may be raised any more. */
void io_alert_close(struct io_alert *alert, void (*done)(void *context), void *context);

#endif
