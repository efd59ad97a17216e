#include "director/service/check.h"

#include <stdlib.h>

#include "director/service/digest.h"

const struct health_policy health_policy_default = {
	.checkers = 3,
	.on_down = HEALTH_WEIGHT_ZERO,
	.panic_threshold = 50,
	.all_down = HEALTH_FAIL_OPEN,
};

static void list_free(char **list)
{
	for (char **text = list; text && *text; text++)
		free(*text);
	free(list);
}

void check_free(struct check *check)
{
	if (!check)
		return;
	free(check->send);
	free(check->expect);
	free(check->method);
	free(check->path);
	free(check->host);
	list_free(check->headers);
	free(check->body);
	free(check->ca);
	free(check->sni);
	free(check->grpc_service);
	free(check->name);
	list_free(check->command);
	free(check);
}

static void digest_list(struct digest *digest, char *const *list)
{
	for (char *const *text = list; text && *text; text++)
		digest_text(digest, *text);
	digest_text(digest, NULL);
}

static void digest_data(struct digest *digest, const uint8_t *data, size_t len)
{
	digest_number(digest, data ? len : UINT64_MAX);
	if (data)
		digest_bytes(digest, data, len);
}

static void digest_http(struct digest *digest, const struct check *check)
{
	digest_text(digest, check->method);
	digest_text(digest, check->path);
	digest_text(digest, check->host);
	digest_list(digest, check->headers);
	digest_number(digest, check->n_statuses);
	for (unsigned int i = 0; i < check->n_statuses; i++) {
		digest_number(digest, check->statuses[i].first);
		digest_number(digest, check->statuses[i].last);
	}
	digest_text(digest, check->body);
	digest_number(digest, check->body_max);
	digest_number(digest, check->redirects_max);
	digest_number(digest, check->verify);
	digest_text(digest, check->ca);
	digest_text(digest, check->sni);
	digest_number(digest, check->http2);
	digest_number(digest, check->tls);
	digest_text(digest, check->grpc_service);
}

void check_digest_make(struct check *check)
{
	struct digest digest;

	digest_begin(&digest, sizeof(check->digest));
	digest_number(&digest, check->type);
	digest_number(&digest, check->via);
	digest_address(&digest, &check->address);
	digest_number(&digest, check->port);
	digest_number(&digest, check->interval);
	digest_number(&digest, check->fast_interval);
	digest_number(&digest, check->timeout);
	digest_number(&digest, check->fall);
	digest_number(&digest, check->rise);
	digest_number(&digest, check->jitter);
	digest_number(&digest, check->mark);
	digest_data(&digest, check->send, check->send_len);
	digest_data(&digest, check->expect, check->expect_len);
	digest_http(&digest, check);
	digest_text(&digest, check->name);
	digest_number(&digest, check->qtype);
	digest_number(&digest, check->rcode);
	digest_list(&digest, check->command);
	digest_end(&digest, check->digest, sizeof(check->digest));
}

usec_t check_detection(const struct check *check)
{
	/* A check begins when the last one has ended. */
	usec_t step = MAX(check->fast_interval, check->timeout);

	return check->interval + (check->fall - 1) * step + check->timeout;
}

const char *check_type_name(enum check_type type)
{
	static const char *const names[CHECK_TYPES] = {
		[CHECK_TCP] = "tcp",   [CHECK_HTTP] = "http", [CHECK_HTTPS] = "https",
		[CHECK_GRPC] = "grpc", [CHECK_DNS] = "dns",   [CHECK_UDP] = "udp",
		[CHECK_PING] = "ping", [CHECK_EXEC] = "exec", [CHECK_AGENT] = "agent",
	};

	return type < CHECK_TYPES ? names[type] : "?";
}

const char *check_via_name(enum check_via via)
{
	return via == CHECK_VIA_ADDRESS      ? "address"
	       : via == CHECK_VIA_FORWARDING ? "forwarding"
					     : "?";
}

bool health_policy_same(const struct health_policy *a, const struct health_policy *b)
{
	return a->checkers == b->checkers && a->on_down == b->on_down &&
	       a->end_connections == b->end_connections &&
	       a->panic_threshold == b->panic_threshold && a->all_down == b->all_down &&
	       a->slow_start == b->slow_start && a->quorum == b->quorum &&
	       a->quorum_hysteresis == b->quorum_hysteresis;
}
