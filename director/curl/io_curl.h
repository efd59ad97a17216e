/* libcurl's multi interface on libuv: transfers that never hold up the loop. */
#ifndef DIRECTOR_CURL_IO_CURL_H
#define DIRECTOR_CURL_IO_CURL_H

#include <curl/curl.h>
#include <uv.h>

struct io_curl;

/* 0, or a negative errno. */
int io_curl_open(uv_loop_t *loop, struct io_curl **ret_curl);

/* One request and its result; the easy handle and this belong to the caller. */
struct io_curl_transfer {
	CURL *easy; /* its CURLOPT_PRIVATE is ours */
	/* Called from the loop, never from within io_curl_start(); the transfer may be started
	 * again. */
	void (*done)(struct io_curl_transfer *transfer, CURLcode result);
};

/* 0, or a negative errno: done() is not called. */
int io_curl_start(struct io_curl *curl, struct io_curl_transfer *transfer);
/* Breaks it off: done() is not called. */
void io_curl_cancel(struct io_curl *curl, struct io_curl_transfer *transfer);

/* No transfer may be under way. done is called once when nothing is left, and curl is freed. */
void io_curl_close(struct io_curl *curl, void (*done)(void *context), void *context);

#endif
