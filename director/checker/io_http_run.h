/* A request by libcurl to the server that is checked, for CHECK_HTTP, CHECK_HTTPS and CHECK_GRPC.
 */
#ifndef DIRECTOR_CHECKER_IO_HTTP_RUN_H
#define DIRECTOR_CHECKER_IO_HTTP_RUN_H

#include "director/checker/io_checker_private.h"
#include "director/curl/io_curl.h"

#define HTTP_HEADERS_MAX 65536 /* bytes of all headers of all answers, redirects' included */

struct http_run {
	struct checker_run run;
	struct io_curl *curl; /* where the transfer is under way */
	struct io_curl_transfer transfer;
	struct curl_slist *headers, *connect_to;
	const struct http_kind *kind;
	uint8_t *body; /* its first body_len bytes; NULL: none is kept */
	size_t body_len, body_max, body_seen, searched, headers_len;
	long grpc_status;   /* -1: none */
	int socket_error;   /* a socket that could not be made: a positive errno */
	bool enough;        /* broken off because it is decided */
	bool headers_flood; /* broken off because of HTTP_HEADERS_MAX */
	bool connected;     /* TLS included */
	bool matched;       /* the body holds the text */
	char error[CURL_ERROR_SIZE];
};

/* How the kinds of requests differ. */
struct http_kind {
	const char *path; /* NULL: the check's */
	bool keeps_body;  /* and does not search it */
	/* Sets what is its own. 0, or a negative errno: the run is decided. */
	int (*prepare)(struct http_run *http);
	/* Decides, when libcurl has the whole answer or the rest of it does not matter. */
	void (*judge)(struct http_run *http, long status);
};

/* Begins the transfer. kind and body_max are set; the run ends by the kind's judge(), or by an
 * error that all kinds share. */
void http_begin(struct http_run *http, bool tls);
void http_end(struct checker_run *run);
bool http_status_expected(const struct check *check, long status);
/* Adds a header. 0, or -ENOMEM. */
int http_header(struct http_run *http, const char *line);

#endif
