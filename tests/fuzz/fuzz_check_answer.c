/* What servers that are checked send: an agent's line, a DNS message, gRPC's frames; by the first
 * byte. */
#include <stdlib.h>

#include "director/checker/agent_line.h"
#include "director/checker/dns_message.h"
#include "director/checker/grpc_health.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void agent(const uint8_t *data, size_t size)
{
	struct check_result result = {.weight = -2};
	int r = agent_line_parse((const char *)data, size, &result);

	if (r == 0 && (result.state == CHECK_UNCHANGED || result.state >= CHECK_STATES ||
		       result.weight < -1 || result.weight > CHECK_WEIGHT_MAX))
		abort();
	if (r != 0 && result.weight != -2)
		abort();
}

static void dns(const uint8_t *data, size_t size)
{
	uint8_t query[DNS_QUERY_MAX];
	int len = dns_message_query("www.example.org", 1, 0x6161, query), r;

	if (len < 0)
		abort();
	r = dns_message_answer(query, (size_t)len, data, size);
	if (r < DNS_ANSWER_CUT || r > 15)
		abort();
}

static void grpc(const uint8_t *data, size_t size)
{
	int status = grpc_health_response(data, size);

	if (status < 0 && status != -EINVAL)
		abort();
	if (!*grpc_health_status_name(status))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 'a')
		agent(data + 1, size - 1);
	else if (data[0] == 'd')
		dns(data + 1, size - 1);
	else if (data[0] == 'g')
		grpc(data + 1, size - 1);
	return 0;
}
