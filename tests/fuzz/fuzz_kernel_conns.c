#include <assert.h>

#include "director/service/kernel_conns.h"
#include "sync/table/conn_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte says in what pieces the rest is read. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct kernel_conns_reader reader;
	struct entry entry;
	int r;

	if (size == 0)
		return 0;
	size_t piece = data[0] + 1u;
	kernel_conns_init(&reader);
	for (size_t at = 1; at < size; at += piece) {
		kernel_conns_feed(&reader, (const char *)data + at, MIN(piece, size - at));
		while ((r = kernel_conns_next(&reader, &entry)) != 0) {
			assert(r == 1 || (r < 0 && r > -KERNEL_CONNS_E_MAX));
			if (r < 0)
				continue;
			assert(*conn_state_name(&entry) != '?');
			assert(*conn_state_protocol_name(&entry) != '?');
			assert(!entry.options || entry.options->pe_data_len > 0);
		}
	}
	return 0;
}
