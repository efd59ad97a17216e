#include "director/event/io_webhook.h"

#include <errno.h>
#include <stdlib.h>

#include "director/curl/io_curl.h"
#include "director/event/event_json.h"
#include "director/io_log.h"

#define CONNECT_SHARE 2 /* of the whole time, for the connection */
#define ANSWER_MAX (64 * 1024)

struct io_webhook {
	struct io_webhook_options options;
	uint64_t cursor;
	char *url;

	struct io_curl *curl;
	struct curl_slist *headers;
	struct io_curl_transfer transfer;
	size_t answered; /* bytes of its body */

	char *body; /* the event that is being sent, freed with free() */
	unsigned int tried;
	bool under_way; /* an attempt; else, with a body, retry is running */
	uv_timer_t retry;

	bool failing; /* as it was logged */
	struct io_webhook_counts counts;
	bool closing;
	unsigned int handles; /* curl and retry */
	void (*done)(void *context);
	void *context;
};

enum verdict {
	TAKEN,
	REFUSED,
	AGAIN,
};

static enum verdict verdict_of(CURLcode result, long status)
{
	/* an answer too long to be read is an answer all the same */
	if (result != CURLE_OK && result != CURLE_WRITE_ERROR)
		return AGAIN;
	if (status >= 200 && status < 300)
		return TAKEN;
	if (status == 408 || status == 425 || status == 429 || status >= 500 || status < 200)
		return AGAIN;
	return REFUSED;
}

static void failure_log(struct io_webhook *webhook, CURLcode result, long status)
{
	if (webhook->failing)
		return;
	webhook->failing = true;
	if (result == CURLE_OK)
		io_log_warning("the webhook refuses events: HTTP status %ld", status);
	else
		io_log_warning("the webhook fails: %s", curl_easy_strerror(result));
}

static void next(struct io_webhook *webhook);

static void event_end(struct io_webhook *webhook)
{
	free(webhook->body);
	webhook->body = NULL;
	next(webhook);
}

static void attempt(struct io_webhook *webhook);

static void retry_due(uv_timer_t *timer)
{
	attempt(timer->data);
}

static void attempt_failed(struct io_webhook *webhook)
{
	unsigned int doublings = MIN(webhook->tried - 1, 20);
	uint64_t wait = webhook->options.retry_ms << doublings;

	if (!webhook->url) {
		event_end(webhook);
	} else if (webhook->tried >= webhook->options.attempts) {
		webhook->counts.given_up++;
		io_log_warning("the webhook failed %u times for one event, which is given up",
			       webhook->tried);
		event_end(webhook);
	} else {
		uv_timer_start(&webhook->retry, retry_due, MIN(wait, webhook->options.retry_max_ms),
			       0);
	}
}

static void attempt_done(struct io_curl_transfer *transfer, CURLcode result)
{
	struct io_webhook *webhook = container_of(transfer, struct io_webhook, transfer);
	long status = 0;

	webhook->under_way = false;
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	switch (verdict_of(result, status)) {
	case TAKEN:
		webhook->counts.done++;
		if (webhook->failing)
			io_log_notice("the webhook has recovered");
		webhook->failing = false;
		event_end(webhook);
		break;
	case REFUSED:
		webhook->counts.refused++;
		failure_log(webhook, result, status);
		event_end(webhook);
		break;
	case AGAIN:
		failure_log(webhook, result, status);
		attempt_failed(webhook);
		break;
	}
}

static size_t answer_skip(char *data, size_t size, size_t count, void *context)
{
	struct io_webhook *webhook = context;

	(void)data;
	webhook->answered += size * count;
	return webhook->answered <= ANSWER_MAX ? size * count : 0;
}

static void attempt(struct io_webhook *webhook)
{
	CURL *easy = webhook->transfer.easy;

	webhook->tried++;
	webhook->counts.retried += webhook->tried > 1;
	webhook->answered = 0;
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, webhook->body);
	if (curl_easy_setopt(easy, CURLOPT_URL, webhook->url) != CURLE_OK ||
	    io_curl_start(webhook->curl, &webhook->transfer) < 0)
		attempt_failed(webhook);
	else
		webhook->under_way = true;
}

static void next(struct io_webhook *webhook)
{
	const struct event *event;
	json_t *object;

	if (!webhook->url || webhook->body || webhook->closing)
		return;
	event = event_log_next(webhook->options.log, &webhook->cursor, &webhook->counts.lost);
	if (!event)
		return;
	object = event_json(webhook->options.log, event);
	webhook->body = object ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	if (!webhook->body) {
		webhook->counts.lost++;
		return;
	}
	webhook->tried = 0;
	/* by the timer: neither this nor libcurl may be called back from within */
	uv_timer_start(&webhook->retry, retry_due, 0, 0);
}

static int easy_make(struct io_webhook *webhook)
{
	CURL *easy = curl_easy_init();
	long timeout = (long)webhook->options.timeout_ms;

	webhook->transfer.easy = easy;
	webhook->transfer.done = attempt_done;
	webhook->headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (!easy || !webhook->headers)
		return -ENOMEM;
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, webhook->headers);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "lvsmesh/" LVSMESH_VERSION);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout / CONNECT_SHARE);
	/* or a timeout would wait for the thread that looks up the name */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	/* libcurl keeps the certificates it has read, 25 ms of work, only when they come from a
	 * file and not from a directory besides */
	if (curl_version_info(CURLVERSION_NOW)->cainfo)
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, answer_skip);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, webhook);
	return 0;
}

static void webhook_free(struct io_webhook *webhook)
{
	free(webhook->url);
	free(webhook->body);
	free(webhook);
}

int io_webhook_open(const struct io_webhook_options *options, struct io_webhook **ret_webhook)
{
	struct io_webhook *webhook = calloc(1, sizeof(*webhook));
	int r;

	if (!webhook)
		return -ENOMEM;
	webhook->options = *options;
	r = io_curl_open(options->loop, &webhook->curl);
	if (r < 0) {
		free(webhook);
		return r;
	}
	uv_timer_init(options->loop, &webhook->retry);
	webhook->retry.data = webhook;
	webhook->handles = 2;
	r = easy_make(webhook);
	if (r < 0) {
		io_webhook_close(webhook, NULL, NULL);
		return r;
	}
	*ret_webhook = webhook;
	return 0;
}

int io_webhook_config(struct io_webhook *webhook, const char *url)
{
	char *copy = url ? strdup(url) : NULL;

	if (url && !copy)
		return -ENOMEM;
	if (!webhook->url)
		webhook->cursor = event_log_end(webhook->options.log);
	free(webhook->url);
	webhook->url = copy;
	webhook->failing = false;
	if (!webhook->body || webhook->under_way)
		return 0;
	if (copy) {
		uv_timer_start(&webhook->retry, retry_due, 0, 0);
	} else {
		uv_timer_stop(&webhook->retry);
		event_end(webhook);
	}
	return 0;
}

void io_webhook_kick(struct io_webhook *webhook)
{
	next(webhook);
}

bool io_webhook_idle(const struct io_webhook *webhook)
{
	return !webhook->body &&
	       (!webhook->url || webhook->cursor == event_log_end(webhook->options.log));
}

void io_webhook_counts(const struct io_webhook *webhook, struct io_webhook_counts *ret_counts)
{
	*ret_counts = webhook->counts;
}

static void handle_closed(struct io_webhook *webhook)
{
	if (--webhook->handles > 0)
		return;
	if (webhook->done)
		webhook->done(webhook->context);
	webhook_free(webhook);
}

static void curl_closed(void *context)
{
	handle_closed(context);
}

static void retry_closed(uv_handle_t *handle)
{
	handle_closed(handle->data);
}

void io_webhook_close(struct io_webhook *webhook, void (*done)(void *context), void *context)
{
	webhook->closing = true;
	webhook->done = done;
	webhook->context = context;
	if (webhook->under_way)
		io_curl_cancel(webhook->curl, &webhook->transfer);
	curl_easy_cleanup(webhook->transfer.easy);
	curl_slist_free_all(webhook->headers);
	io_curl_close(webhook->curl, curl_closed, webhook);
	uv_close((uv_handle_t *)&webhook->retry, retry_closed);
}
