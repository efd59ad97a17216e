/* An entry read from a sync message can be written again, and reads as the same. */
#include <errno.h>
#include <stdlib.h>

#include "sync/kernel_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_again(const uint8_t *data, size_t len, const struct entry *want)
{
	struct kernel_wire_reader reader;
	struct entry got;
	struct entry a = *want, b;

	check(kernel_wire_read(&reader, data, len, 1) == 0);
	check(kernel_wire_next(&reader, &got) == 1);
	b = got;
	a.options = b.options = NULL;
	check(memcmp(&a, &b, sizeof(a)) == 0);
	if (want->options && got.options)
		check(memcmp(want->options, got.options, sizeof(*got.options)) == 0);
	check(kernel_wire_next(&reader, &got) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kernel_wire_reader reader;
	struct entry entry;
	uint8_t out[512];
	int r;

	if (kernel_wire_read(&reader, data, size, size > 1 ? data[1] : 0) != 0)
		return 0;
	while ((r = kernel_wire_next(&reader, &entry)) != 0) {
		struct kernel_wire_writer writer;
		const struct entry_options *options = entry.options;

		if (r < 0) {
			check(-r < KERNEL_WIRE_E_MAX);
			continue;
		}
		kernel_wire_write(&writer, out, sizeof(out), 1);
		r = kernel_wire_add(&writer, &entry);
		if (r == 0)
			check_again(out, kernel_wire_finish(&writer), &entry);
		else
			check(r == -EINVAL && options->pe_data_len && !options->pe_name_len);
	}
	return 0;
}
