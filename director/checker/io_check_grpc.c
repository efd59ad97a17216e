/* CHECK_GRPC: the standard health service, a POST by HTTP/2. */
#include "director/checker/grpc_health.h"
#include "director/checker/io_http_run.h"

#define BODY_MAX 1024 /* a response has 7 bytes */
#define GRPC_NOT_FOUND 5
#define GRPC_UNIMPLEMENTED 12

static void grpc_error_decide(struct http_run *http)
{
	const char *service = http->run.what.check->grpc_service;

	if (http->grpc_status == GRPC_NOT_FOUND)
		run_down(&http->run, CHECK_CAUSE_ANSWER,
			 "the server does not know the service \"%s\"", service ? service : "");
	else if (http->grpc_status == GRPC_UNIMPLEMENTED)
		run_down(&http->run, CHECK_CAUSE_ANSWER,
			 "the server does not implement grpc.health.v1.Health");
	else
		run_down(&http->run, CHECK_CAUSE_ANSWER, "gRPC status %ld, expected 0",
			 http->grpc_status);
}

static void judge(struct http_run *http, long status)
{
	int serving = grpc_health_response(http->body, http->body_len);

	if (status != 200)
		run_down(&http->run, CHECK_CAUSE_ANSWER, "HTTP status %ld, expected 200", status);
	else if (http->enough)
		run_down(&http->run, CHECK_CAUSE_TOO_LONG, "a response of more than %d bytes",
			 BODY_MAX);
	else if (http->grpc_status < 0)
		run_down(&http->run, CHECK_CAUSE_GARBAGE, "not gRPC: no grpc-status");
	else if (http->grpc_status > 0)
		grpc_error_decide(http);
	else if (serving < 0)
		run_down(&http->run, CHECK_CAUSE_GARBAGE,
			 "not a response of grpc.health.v1.Health");
	else if (serving != GRPC_HEALTH_SERVING)
		run_down(&http->run, CHECK_CAUSE_ANSWER, "%s, expected SERVING",
			 grpc_health_status_name(serving));
	else
		run_up(&http->run, "SERVING");
}

static int prepare(struct http_run *http)
{
	const struct check *check = http->run.what.check;
	uint8_t request[GRPC_HEALTH_REQUEST_MAX];
	int len = grpc_health_request(check->grpc_service, request);
	CURL *easy = http->transfer.easy;

	if (len < 0)
		return len;
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
			 check->tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)len);
	if (curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request) != CURLE_OK ||
	    http_header(http, "Content-Type: application/grpc") < 0 ||
	    http_header(http, "TE: trailers") < 0)
		return -ENOMEM;
	return 0;
}

static const struct http_kind kind = {
	.path = GRPC_HEALTH_PATH, .keeps_body = true, .prepare = prepare, .judge = judge};

static void begin(struct checker_run *run)
{
	struct http_run *http = container_of(run, struct http_run, run);

	http->kind = &kind;
	http->body_max = BODY_MAX;
	http_begin(http, run->what.check->tls);
}

const struct checker_type checker_grpc = {sizeof(struct http_run), begin, http_end};
