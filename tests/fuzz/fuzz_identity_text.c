/* The text files of an identity and of the boot epoch; the first byte says which. A text that
 * parses is written and parses to the same again. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/epoch.h"
#include "proto/identity/armor.h"
#include "proto/identity/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void armor(const char *label, const char *text, size_t len)
{
	uint8_t bytes[CERTIFICATE_MAX], again[CERTIFICATE_MAX];
	char written[ARMOR_TEXT_MAX];
	size_t bytes_len, written_len, again_len;

	if (armor_parse(label, text, len, bytes, sizeof(bytes), &bytes_len) != 0)
		return;
	if (armor_format(label, bytes, bytes_len, written, sizeof(written), &written_len) != 0 ||
	    armor_parse(label, written, written_len, again, sizeof(again), &again_len) != 0 ||
	    again_len != bytes_len || memcmp(again, bytes, bytes_len) != 0)
		abort();
}

static void epoch(const char *text, size_t len)
{
	char written[32];
	uint64_t number;
	int n;

	if (epoch_parse(text, len, &number) != 0)
		return;
	n = snprintf(written, sizeof(written), "%llu\n", (unsigned long long)number);
	if ((size_t)n != len || memcmp(written, text, len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const labels[] = {ARMOR_CLUSTER_KEY, ARMOR_CLUSTER_PUBLIC,
					     ARMOR_NODE_KEY, ARMOR_CERTIFICATE};

	if (size == 0)
		return 0;
	if (data[0] < ARRAY_SIZE(labels))
		armor(labels[data[0]], (const char *)data + 1, size - 1);
	else
		epoch((const char *)data + 1, size - 1);
	return 0;
}
