#include "director/curl/io_curl.h"

#include <errno.h>
#include <stdlib.h>

#include "director/io_watch.h"

struct io_curl {
	CURLM *multi;
	struct io_watch_set watches;
	uv_timer_t timer;
	struct watch *dead; /* to be freed after the turn of the watches */
	unsigned int handles;
	void (*done)(void *context);
	void *context;
};

/* One of libcurl's sockets, as long as libcurl watches it. */
struct watch {
	struct io_watch io;
	struct io_curl *curl;
	struct watch *next;
};

static void dead_free(struct io_curl *curl)
{
	struct watch *watch;

	while ((watch = curl->dead)) {
		curl->dead = watch->next;
		free(watch);
	}
}

static void handle_closed(struct io_curl *curl)
{
	if (--curl->handles > 0)
		return;
	dead_free(curl);
	if (curl->done)
		curl->done(curl->context);
	free(curl);
}

static void watches_closed(struct io_watch_set *set)
{
	handle_closed(container_of(set, struct io_curl, watches));
}

static void timer_closed(uv_handle_t *handle)
{
	handle_closed(handle->data);
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

static void ready(struct io_watch *io, uint32_t events)
{
	struct watch *watch = container_of(io, struct watch, io);
	int action = 0, running;

	if (events & (EPOLLERR | EPOLLHUP))
		action = CURL_CSELECT_ERR;
	if (events & EPOLLIN)
		action |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		action |= CURL_CSELECT_OUT;
	curl_multi_socket_action(watch->curl->multi, io->fd, action, &running);
}

static void turned(struct io_watch_set *set)
{
	struct io_curl *curl = container_of(set, struct io_curl, watches);

	dead_free(curl);
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

/* The descriptor is libcurl's to close. */
static void watch_end(struct io_curl *curl, struct watch *watch)
{
	curl_multi_assign(curl->multi, watch->io.fd, NULL);
	io_watch_stop(&curl->watches, &watch->io);
	watch->next = curl->dead;
	curl->dead = watch;
	if (!curl->watches.turning)
		dead_free(curl);
}

static int watch_new(struct io_curl *curl, curl_socket_t fd, uint32_t events)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return -1;
	watch->curl = curl;
	if (io_watch_start(&curl->watches, &watch->io, fd, events, ready) < 0) {
		free(watch);
		return -1;
	}
	curl_multi_assign(curl->multi, fd, watch);
	return 0;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *socket_context)
{
	struct io_curl *curl = context;
	struct watch *watch = socket_context;
	uint32_t events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (watch)
			watch_end(curl, watch);
		return 0;
	}
	if (what != CURL_POLL_OUT)
		events |= EPOLLIN;
	if (what != CURL_POLL_IN)
		events |= EPOLLOUT;
	if (!watch)
		return watch_new(curl, fd, events);
	return io_watch_change(&curl->watches, &watch->io, events) < 0 ? -1 : 0;
}

int io_curl_open(uv_loop_t *loop, struct io_curl **ret_curl)
{
	struct io_curl *curl = calloc(1, sizeof(*curl));
	int r;

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
	r = io_watch_set_open(&curl->watches, loop, turned);
	if (r < 0) {
		curl_multi_cleanup(curl->multi);
		curl_global_cleanup();
		free(curl);
		return r;
	}
	uv_timer_init(loop, &curl->timer);
	curl->timer.data = curl;
	curl->handles = 2;
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
	uv_close((uv_handle_t *)&curl->timer, timer_closed);
	io_watch_set_close(&curl->watches, watches_closed);
}
