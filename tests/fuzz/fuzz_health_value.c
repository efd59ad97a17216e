#include "director/check/value.h"
#include "sync/fact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A value that is taken is written again as it was. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char reason[CHECK_REASON_MAX];
	uint8_t again[FACT_VALUE_MAX];
	struct vote vote = {0};
	struct setting setting = {0};

	if (value_unpack_vote(data, size, &vote, reason) == 0) {
		vote.reason = reason;
		assert(value_pack_vote(&vote, again, sizeof(again)) == size);
		assert(memcmp(again, data, size) == 0);
	}
	if (value_unpack_setting(data, size, &setting) == 0) {
		assert(value_pack_setting(&setting, again) == size);
		assert(memcmp(again, data, size) == 0);
	}
	return 0;
}
