/* A certificate from a stranger. Only the one that the cluster key signed verifies. */
#include "tests/identity_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cluster_key cluster;
	static struct identity d1;
	struct certificate certificate, again;

	if (d1.certificate.len == 0) {
		fixture_cluster(1, &cluster);
		fixture_identity(1, 1, &d1);
	}
	if (certificate_parse(data, size, &certificate) != 0)
		return 0;
	if (!certificate_name_valid(certificate.name, strlen(certificate.name)) ||
	    certificate.address_count > CERTIFICATE_ADDRESSES_MAX ||
	    certificate.not_before >= certificate.not_after)
		abort();
	if (certificate_verify(&certificate, cluster.public_key, FIXTURE_WALL) == 0 &&
	    (size != d1.certificate.len || memcmp(data, d1.certificate.bytes, size) != 0))
		abort();
	/* Every certificate that parses can be written. */
	if (certificate_issue(&certificate, cluster.secret, &again) != 0 ||
	    again.serial != certificate.serial || strcmp(again.name, certificate.name) != 0)
		abort();
	return 0;
}
