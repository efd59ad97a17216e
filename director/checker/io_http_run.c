#include "director/checker/io_http_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

bool http_status_expected(const struct check *check, long status)
{
	for (unsigned int i = 0; i < check->n_statuses; i++)
		if (status >= check->statuses[i].first && status <= check->statuses[i].last)
			return true;
	return false;
}

/* Searches the text in what is new of the body. */
static bool body_matches(struct http_run *http)
{
	const char *text = http->run.what.check->body;
	size_t len = strlen(text), from = http->searched;

	http->searched = http->body_len >= len ? http->body_len - len + 1 : 0;
	return memmem(http->body + from, http->body_len - from, text, len);
}

/* Whether the rest of the body does not matter. */
static bool body_enough(struct http_run *http)
{
	const struct check *check = http->run.what.check;
	long status = 0;

	curl_easy_getinfo(http->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
	if (!http->kind->keeps_body && !http_status_expected(check, status))
		return true;
	if (check->body && !http->kind->keeps_body)
		http->matched = body_matches(http);
	return http->matched || http->body_seen > http->body_max;
}

/* libcurl's callback for the body; another length than it gave breaks the transfer off. */
static size_t body_take(char *data, size_t size, size_t count, void *context)
{
	struct http_run *http = context;
	size_t len = size * count, kept = MIN(len, http->body_max - http->body_len);

	if (http->body && kept) {
		memcpy(http->body + http->body_len, data, kept);
		http->body_len += kept;
	}
	http->body_seen += len;
	http->run.awaited = "end of the answer";
	http->enough = body_enough(http);
	return http->enough ? 0 : len;
}

static size_t header_take(char *data, size_t size, size_t count, void *context)
{
	static const char grpc[] = "grpc-status:";
	struct http_run *http = context;
	size_t len = size * count;
	char value[8] = "";

	http->run.awaited = "end of the answer";
	http->headers_len += len;
	http->headers_flood = http->headers_len > HTTP_HEADERS_MAX;
	if (len > sizeof(grpc) - 1 && strncasecmp(data, grpc, sizeof(grpc) - 1) == 0) {
		memcpy(value, data + sizeof(grpc) - 1,
		       MIN(len - (sizeof(grpc) - 1), sizeof(value) - 1));
		http->grpc_status = strtol(value, NULL, 10);
	}
	return http->headers_flood ? 0 : len;
}

/* libcurl calls it with the connection made, TLS included, before the request. */
static int connected(void *context, char *remote, char *local, int remote_port, int local_port)
{
	struct http_run *http = context;

	(void)remote;
	(void)local;
	(void)remote_port;
	(void)local_port;
	http->connected = true;
	http->run.awaited = "answer";
	return CURL_PREREQFUNC_OK;
}

static curl_socket_t socket_make(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_run *http = context;
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
			address->protocol);
	int r = fd < 0 ? -errno
		       : run_socket_set(&http->run, fd, (uint8_t)address->family,
					address->socktype);

	(void)purpose;
	if (r == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	http->socket_error = -r;
	return CURL_SOCKET_BAD;
}

static void tls_error_decide(struct http_run *http)
{
	static const char *const prefixes[] = {"SSL certificate problem: ", "SSL: "};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		size_t len = strlen(prefixes[i]);

		if (strncmp(http->error, prefixes[i], len) != 0)
			continue;
		run_down(&http->run, CHECK_CAUSE_TLS, "the certificate is refused: %s",
			 http->error + len);
		return;
	}
	run_down(&http->run, CHECK_CAUSE_TLS, "TLS: %s", http->error);
}

static void connect_error_decide(struct http_run *http)
{
	long error = 0;

	curl_easy_getinfo(http->transfer.easy, CURLINFO_OS_ERRNO, &error);
	if (http->socket_error)
		error = http->socket_error;
	if (error)
		run_decide_errno(&http->run, (int)error);
	else
		run_down(&http->run, CHECK_CAUSE_UNREACHABLE, "%s", http->error);
}

static void error_decide(struct http_run *http, CURLcode result)
{
	struct checker_run *run = &http->run;

	/* libcurl calls a line of headers that is too long for it a lack of memory, too */
	if (result == CURLE_OUT_OF_MEMORY && http->connected) {
		run_down(run, CHECK_CAUSE_TOO_LONG, "a header that is too long");
		return;
	}
	if (!*http->error)
		snprintf(http->error, sizeof(http->error), "%s", curl_easy_strerror(result));
	switch (result) {
	case CURLE_COULDNT_CONNECT:
		connect_error_decide(http);
		break;
	case CURLE_OPERATION_TIMEDOUT:
		run_decide_errno(run, ETIMEDOUT);
		break;
	case CURLE_TOO_MANY_REDIRECTS:
		run_down(run, CHECK_CAUSE_ANSWER, "more than %u redirects",
			 run->what.check->redirects_max);
		break;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_ISSUER_ERROR:
		tls_error_decide(http);
		break;
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_PARTIAL_FILE:
		run_down(run, CHECK_CAUSE_BROKEN_OFF, "closed or reset before the %s",
			 run->awaited);
		break;
	case CURLE_OUT_OF_MEMORY:
	case CURLE_FAILED_INIT:
	case CURLE_URL_MALFORMAT:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ENGINE_INITFAILED:
	case CURLE_BAD_FUNCTION_ARGUMENT:
		run_local(run, "not checked: %s", http->error);
		break;
	default:
		run_down(run, CHECK_CAUSE_GARBAGE, "not understood: %s", http->error);
	}
}

static void transferred(struct io_curl_transfer *transfer, CURLcode result)
{
	struct http_run *http = container_of(transfer, struct http_run, transfer);
	struct io_checker *checker = http->run.checker;
	long status = 0;

	http->curl = NULL;
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	if (http->headers_flood)
		run_down(&http->run, CHECK_CAUSE_TOO_LONG, "headers of more than %d bytes",
			 HTTP_HEADERS_MAX);
	else if (result == CURLE_OK || http->enough)
		http->kind->judge(http, status);
	else
		error_decide(http, result);
	checker_arm(checker);
}

int http_header(struct http_run *http, const char *line)
{
	struct curl_slist *headers = curl_slist_append(http->headers, line);

	if (!headers)
		return -ENOMEM;
	http->headers = headers;
	return 0;
}

static int headers_set(struct http_run *http)
{
	const struct check *check = http->run.what.check;
	char host[300];
	int r = 0;

	if (check->host) {
		snprintf(host, sizeof(host), "Host: %s", check->host);
		r = http_header(http, host);
	}
	for (char **line = check->headers; line && *line && r == 0; line++)
		r = http_header(http, *line);
	return r;
}

/* The name in the URL is the one that TLS sends and verifies; the address is the server's, whatever
 * name a redirect has. */
static int address_set(struct http_run *http, bool tls, const char *path)
{
	const struct check *check = http->run.what.check;
	const struct endpoint *endpoint = &http->run.what.endpoint;
	const char *name = check->sni ? check->sni : check->host;
	char text[IP_ADDR_TEXT], ip[IP_ADDR_TEXT + 2], to[IP_ADDR_TEXT + 8], url[4096];
	int n;

	ip_addr_format(&endpoint->ip, text);
	snprintf(ip, sizeof(ip), endpoint->ip.family == AF_INET6 ? "[%s]" : "%s", text);
	snprintf(to, sizeof(to), "::%s:", ip);
	http->connect_to = curl_slist_append(NULL, to);
	if (!http->connect_to)
		return -ENOMEM;
	curl_easy_setopt(http->transfer.easy, CURLOPT_CONNECT_TO, http->connect_to);
	/* a port in the Host header is not the one to go to */
	n = snprintf(url, sizeof(url), "%s://%.*s:%u%s", tls ? "https" : "http",
		     name && *name != '[' ? (int)strcspn(name, ":") : 300, name ? name : ip,
		     endpoint->port, path ? path : "/");
	if ((size_t)n >= sizeof(url))
		return -ENAMETOOLONG;
	return curl_easy_setopt(http->transfer.easy, CURLOPT_URL, url) == CURLE_OK ? 0 : -ENOMEM;
}

static void tls_set(const struct check *check, CURL *easy)
{
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, check->verify ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, check->verify ? 2L : 0L);
	/* a resumed session shows no certificate, so a new one would not be seen */
	curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	if (check->ca)
		curl_easy_setopt(easy, CURLOPT_CAINFO, check->ca);
	/* libcurl keeps the certificates it has read, 25 ms of work, only when they come from a
	 * file and not from a directory besides */
	if (check->ca || curl_version_info(CURLVERSION_NOW)->cainfo)
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	/* a file of the operator's may change */
	if (check->ca)
		curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 60L);
}

static void easy_set(struct http_run *http, CURL *easy)
{
	const struct check *check = http->run.what.check;

	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->error);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* none of the environment's either */
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	/* the checker's own deadline comes before */
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(check->timeout / USEC_PER_MSEC) + 1000);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "lvsmesh/" LVSMESH_VERSION);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, check->redirects_max ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)check->redirects_max);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, header_take);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, http);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_take);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, http);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, connected);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, http);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, socket_make);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, http);
}

/* libcurl keeps one set of certificates, the last that it has read: the system's, 25 ms of work,
 * and the operator's are not to drive each other out. */
static struct io_curl *curl_get(struct io_checker *checker, bool own_ca)
{
	struct io_curl **curl = own_ca ? &checker->curl_own_ca : &checker->curl;

	if (!*curl && io_curl_open(checker->options.loop, curl) < 0)
		return NULL;
	return *curl;
}

void http_begin(struct http_run *http, bool tls)
{
	struct checker_run *run = &http->run;
	const struct check *check = run->what.check;
	struct io_curl *curl = curl_get(run->checker, tls && check->ca);
	CURL *easy = http->transfer.easy = curl_easy_init();
	int r = easy && curl ? 0 : -ENOMEM;

	run->awaited = tls ? "connection by TLS" : "connection";
	http->transfer.done = transferred;
	http->grpc_status = -1;
	if (r == 0) {
		easy_set(http, easy);
		if (tls)
			tls_set(check, easy);
		r = headers_set(http);
	}
	if (r == 0 && (check->body || http->kind->keeps_body)) {
		http->body = malloc(MAX(http->body_max, (size_t)1));
		r = http->body ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = http->kind->prepare(http);
	if (r == 0) {
		curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
		r = address_set(http, tls, http->kind->path ? http->kind->path : check->path);
	}
	if (r == 0)
		r = io_curl_start(curl, &http->transfer);
	if (r == 0)
		http->curl = curl;
	else
		run_decide_errno(run, -r);
}

void http_end(struct checker_run *run)
{
	struct http_run *http = container_of(run, struct http_run, run);

	if (http->curl)
		io_curl_cancel(http->curl, &http->transfer);
	curl_easy_cleanup(http->transfer.easy);
	curl_slist_free_all(http->headers);
	curl_slist_free_all(http->connect_to);
	free(http->body);
}

static void closed(void *context)
{
	checker_closed(context);
}

unsigned int checker_http_close(struct io_checker *checker)
{
	unsigned int count = 0;

	if (checker->curl) {
		io_curl_close(checker->curl, closed, checker);
		count++;
	}
	if (checker->curl_own_ca) {
		io_curl_close(checker->curl_own_ca, closed, checker);
		count++;
	}
	return count;
}
