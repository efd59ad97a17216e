#include "director/curl/io_curl.h"

#include <errno.h>
#include <stdlib.h>

struct io_curl {
	uv_loop_t *loop;
	CURLM *multi;
	uv_timer_t timer;
	size_t handles; /* the timer, and one a socket */
	void (*done)(void *context);
	void *context;
};

/* One of libcurl's sockets, as long as libcurl watches it. */
struct watch {
	uv_poll_t poll;
	curl_socket_t fd;
	struct io_curl *curl;
};

static void handle_freed(struct io_curl *curl)
{
	if (--curl->handles > 0)
		return;
	if (curl->done)
		curl->done(curl->context);
	free(curl);
}

static void watch_freed(uv_handle_t *handle)
{
	struct watch *watch = handle->data;
	struct io_curl *curl = watch->curl;

	free(watch);
	handle_freed(curl);
}

static void timer_freed(uv_handle_t *handle)
{
	handle_freed(handle->data);
}

static void finished_take(struct io_curl *curl)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(curl->multi, &left))) {
		struct io_curl_transfer *transfer = NULL;
		CURLcode result = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
		curl_multi_remove_handle(curl->multi, message->easy_handle);
		transfer->done(transfer, result);
	}
}

static void readable(uv_poll_t *poll, int status, int events)
{
	struct watch *watch = poll->data;
	struct io_curl *curl = watch->curl;
	int action = 0, running;

	if (status < 0)
		action = CURL_CSELECT_ERR;
	if (events & UV_READABLE)
		action |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		action |= CURL_CSELECT_OUT;
	/* the watch may be gone after this */
	curl_multi_socket_action(curl->multi, watch->fd, action, &running);
	finished_take(curl);
}

static void expired(uv_timer_t *timer)
{
	struct io_curl *curl = timer->data;
	int running;

	curl_multi_socket_action(curl->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	finished_take(curl);
}

static int want_timeout(CURLM *multi, long ms, void *context)
{
	struct io_curl *curl = context;

	(void)multi;
	/* not at once: this is called from within libcurl, which may not be called back */
	if (ms < 0)
		uv_timer_stop(&curl->timer);
	else
		uv_timer_start(&curl->timer, expired, (uint64_t)ms, 0);
	return 0;
}

static struct watch *watch_new(struct io_curl *curl, curl_socket_t fd)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (!watch || uv_poll_init_socket(curl->loop, &watch->poll, fd) < 0) {
		free(watch);
		return NULL;
	}
	watch->poll.data = watch;
	watch->fd = fd;
	watch->curl = curl;
	curl->handles++;
	curl_multi_assign(curl->multi, fd, watch);
	return watch;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *socket_context)
{
	struct io_curl *curl = context;
	struct watch *watch = socket_context;
	int events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (watch) {
			curl_multi_assign(curl->multi, fd, NULL);
			uv_close((uv_handle_t *)&watch->poll, watch_freed);
		}
		return 0;
	}
	if (!watch && !(watch = watch_new(curl, fd)))
		return -1;
	if (what != CURL_POLL_OUT)
		events |= UV_READABLE;
	if (what != CURL_POLL_IN)
		events |= UV_WRITABLE;
	return uv_poll_start(&watch->poll, events, readable) < 0 ? -1 : 0;
}

int io_curl_open(uv_loop_t *loop, struct io_curl **ret_curl)
{
	struct io_curl *curl = calloc(1, sizeof(*curl));

	if (!curl)
		return -ENOMEM;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(curl);
		return -ENOMEM;
	}
	curl->multi = curl_multi_init();
	if (!curl->multi) {
		curl_global_cleanup();
		free(curl);
		return -ENOMEM;
	}
	curl->loop = loop;
	uv_timer_init(loop, &curl->timer);
	curl->timer.data = curl;
	curl->handles = 1;
	curl_multi_setopt(curl->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(curl->multi, CURLMOPT_SOCKETDATA, curl);
	curl_multi_setopt(curl->multi, CURLMOPT_TIMERFUNCTION, want_timeout);
	curl_multi_setopt(curl->multi, CURLMOPT_TIMERDATA, curl);
	*ret_curl = curl;
	return 0;
}

int io_curl_start(struct io_curl *curl, struct io_curl_transfer *transfer)
{
	curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
	return curl_multi_add_handle(curl->multi, transfer->easy) == CURLM_OK ? 0 : -ENOMEM;
}

void io_curl_cancel(struct io_curl *curl, struct io_curl_transfer *transfer)
{
	curl_multi_remove_handle(curl->multi, transfer->easy);
}

void io_curl_close(struct io_curl *curl, void (*done)(void *context), void *context)
{
	curl->done = done;
	curl->context = context;
	/* closes the connections that are kept, and so the watches of their sockets */
	curl_multi_cleanup(curl->multi);
	curl_global_cleanup();
	uv_close((uv_handle_t *)&curl->timer, timer_freed);
}
