/* CHECK_HTTP and CHECK_HTTPS: is the status among those expected, and does the body hold the text.
 */
#include <stdio.h>

#include "director/checker/io_http_run.h"

#define RANGES_TEXT 64

static void ranges_format(const struct check *check, char text[RANGES_TEXT])
{
	size_t len = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < check->n_statuses && len < RANGES_TEXT - 1; i++) {
		const struct check_range *range = &check->statuses[i];
		int n = range->first == range->last
				? snprintf(text + len, RANGES_TEXT - len, "%s%u", i ? ", " : "",
					   range->first)
				: snprintf(text + len, RANGES_TEXT - len, "%s%u-%u", i ? ", " : "",
					   range->first, range->last);

		len += (size_t)n;
	}
}

static void judge(struct http_run *http, long status)
{
	const struct check *check = http->run.what.check;
	char ranges[RANGES_TEXT];

	if (!http_status_expected(check, status)) {
		ranges_format(check, ranges);
		run_down(&http->run, CHECK_CAUSE_ANSWER, "HTTP status %ld, expected %s", status,
			 ranges);
	} else if (!check->body || http->matched) {
		run_up(&http->run, "HTTP status %ld%s", status,
		       check->body ? ", and the body holds the text" : "");
	} else if (http->enough) {
		run_down(&http->run, CHECK_CAUSE_TOO_LONG,
			 "HTTP status %ld, but the first %zu bytes of the body do not hold the "
			 "text",
			 status, http->body_max);
	} else {
		run_down(&http->run, CHECK_CAUSE_ANSWER,
			 "HTTP status %ld, but the body does not hold the text", status);
	}
}

static int prepare(struct http_run *http)
{
	const struct check *check = http->run.what.check;
	const char *method = check->method ? check->method : "GET";
	CURL *easy = http->transfer.easy;
	long version = CURL_HTTP_VERSION_1_1;

	if (check->http2)
		version = check->type == CHECK_HTTPS ? CURL_HTTP_VERSION_2TLS
						     : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version);
	if (strcmp(method, "HEAD") == 0)
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	else if (strcmp(method, "GET") != 0 &&
		 curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method) != CURLE_OK)
		return -ENOMEM;
	return 0;
}

static const struct http_kind kind = {.prepare = prepare, .judge = judge};

static void begin(struct checker_run *run)
{
	struct http_run *http = container_of(run, struct http_run, run);

	http->kind = &kind;
	http->body_max = run->what.check->body_max;
	http_begin(http, run->what.check->type == CHECK_HTTPS);
}

const struct checker_type checker_http = {sizeof(struct http_run), begin, http_end};
