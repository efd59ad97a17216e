/* Posts each event of a log to the operator's URL, on libuv: one at a time, in their order, as
 * JSON. An answer of 2xx is success; 408, 425, 429, 5xx and no answer are tried again, later and
 * later; anything else is a refusal, after which the next event has its turn. Redirects are not
 * followed, certificates are verified.
 *
 * There is no queue but a cursor in the log: the log bounds the events that wait, and events that
 * it no longer keeps are counted as lost. */
#ifndef DIRECTOR_EVENT_IO_WEBHOOK_H
#define DIRECTOR_EVENT_IO_WEBHOOK_H

#include <uv.h>

#include "director/event/event_log.h"

struct io_webhook;

struct io_webhook_options {
	uv_loop_t *loop;
	const struct event_log *log; /* borrowed */
	uint64_t timeout_ms;         /* of a whole request */
	uint64_t retry_ms;           /* before the second attempt; doubled for each further one */
	uint64_t retry_max_ms;
	unsigned int attempts; /* then an event is given up */
};

/* 0, or a negative errno. */
int io_webhook_open(const struct io_webhook_options *options, struct io_webhook **ret_webhook);

/* url: copied, NULL: none. One that is on from now gets the events from now on; another URL gets
 * the events that the last one did not take. 0, or -ENOMEM: the former setting stays. */
int io_webhook_config(struct io_webhook *webhook, const char *url);

/* The log has something new. */
void io_webhook_kick(struct io_webhook *webhook);

/* Nothing is under way and nothing waits. */
bool io_webhook_idle(const struct io_webhook *webhook);

struct io_webhook_counts {
	uint64_t done;
	uint64_t retried;  /* attempts behind the first of an event */
	uint64_t refused;  /* by an answer that says so */
	uint64_t given_up; /* after the last attempt */
	uint64_t lost;     /* events that the log no longer keeps */
};

void io_webhook_counts(const struct io_webhook *webhook, struct io_webhook_counts *ret_counts);

/* Breaks off a transfer under way; done is called once when nothing is left, and webhook is
 * freed. */
void io_webhook_close(struct io_webhook *webhook, void (*done)(void *context), void *context);

#endif
