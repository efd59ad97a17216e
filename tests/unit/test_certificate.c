#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "tests/identity_fixture.h"

static struct cluster_key cluster;
static struct identity d1;

static int set_up(void **state)
{
	(void)state;
	fixture_cluster(1, &cluster);
	fixture_identity(1, 1, &d1);
	return 0;
}

static void test_round_trip(void **state)
{
	const struct certificate *made = &d1.certificate;
	struct certificate certificate;
	uint8_t id[CLUSTER_ID_SIZE];

	(void)state;
	assert_int_equal(certificate_parse(made->bytes, made->len, &certificate), 0);
	assert_memory_equal(&certificate, made, sizeof(certificate));
	assert_string_equal(certificate.name, "d1");
	assert_int_equal(certificate.address_count, 1);
	assert_int_equal(certificate.addresses[0].bytes[3], 1);
	assert_int_equal(certificate.serial, 1);
	certificate_cluster_id(cluster.public_key, id);
	assert_memory_equal(certificate.cluster, id, sizeof(id));
	assert_int_equal(certificate_verify(&certificate, cluster.public_key, FIXTURE_WALL), 0);
	assert_int_equal(certificate_id(&certificate), d1.id);
}

static void test_largest(void **state)
{
	char name[CERTIFICATE_NAME_MAX + 1] = {0};
	struct ip_addr addresses[CERTIFICATE_ADDRESSES_MAX];
	struct keygen_options options = {
		.name = name,
		.addresses = addresses,
		.address_count = CERTIFICATE_ADDRESSES_MAX,
		.not_before = USEC_NEVER / USEC_PER_SEC - 2,
		.not_after = USEC_NEVER / USEC_PER_SEC - 1,
		.serial = UINT64_MAX,
	};
	uint8_t seed[KEYGEN_NODE_SEED] = {1};
	struct identity identity;

	(void)state;
	memset(name, 'z', CERTIFICATE_NAME_MAX);
	for (size_t i = 0; i < CERTIFICATE_ADDRESSES_MAX; i++)
		addresses[i] = (struct ip_addr){.family = AF_INET6, .bytes = {0x20, (uint8_t)i}};
	assert_int_equal(identity_keygen_node(&cluster, &options, seed, &identity), 0);
	assert_memory_equal(identity.certificate.addresses, addresses, sizeof(addresses));
	assert_string_equal(identity.certificate.name, name);

	options.address_count++;
	assert_int_equal(identity_keygen_node(&cluster, &options, seed, &identity),
			 CERTIFICATE_E_MALFORMED);
	options.address_count--;
	options.not_after = options.not_before;
	assert_int_equal(identity_keygen_node(&cluster, &options, seed, &identity),
			 CERTIFICATE_E_MALFORMED);
	options.not_after = UINT64_MAX;
	assert_int_equal(identity_keygen_node(&cluster, &options, seed, &identity),
			 CERTIFICATE_E_MALFORMED);
}

static void test_names(void **state)
{
	static const char *const good[] = {"d1", "a", "lvs-1.example.net", "0"};
	static const char *const bad[] = {"",    ".",   "..",  "-a",         "a-",  "D1",
					  "a/b", "a b", "a_b", "d1\xc3\xa4", "a\n", ".hidden"};
	char longest[CERTIFICATE_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(certificate_name_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(certificate_name_valid(bad[i], strlen(bad[i])));
	assert_false(certificate_name_valid("a\0b", 3));
	memset(longest, 'a', sizeof(longest));
	assert_true(certificate_name_valid(longest, CERTIFICATE_NAME_MAX));
	assert_false(certificate_name_valid(longest, CERTIFICATE_NAME_MAX + 1));
}

static void test_verify(void **state)
{
	const struct certificate *certificate = &d1.certificate;
	usec_t first = certificate->not_before * USEC_PER_SEC;
	usec_t last = certificate->not_after * USEC_PER_SEC + USEC_PER_SEC - 1;
	struct cluster_key other;
	struct certificate forged;

	(void)state;
	fixture_cluster(2, &other);
	assert_int_equal(certificate_verify(certificate, cluster.public_key, first), 0);
	assert_int_equal(certificate_verify(certificate, cluster.public_key, last), 0);
	assert_int_equal(certificate_verify(certificate, cluster.public_key, first - 1),
			 CERTIFICATE_E_EARLY);
	assert_int_equal(certificate_verify(certificate, cluster.public_key, last + 1),
			 CERTIFICATE_E_EXPIRED);
	assert_int_equal(certificate_verify(certificate, other.public_key, FIXTURE_WALL),
			 CERTIFICATE_E_CLUSTER);
	/* Another cluster's key, with our cluster's id. */
	assert_int_equal(certificate_issue(certificate, other.secret, &forged), 0);
	assert_int_equal(certificate_verify(&forged, cluster.public_key, FIXTURE_WALL),
			 CERTIFICATE_E_SIGNATURE);
}

/* The cluster key's signature over the same bytes for another purpose is no certificate. */
static void test_domain(void **state)
{
	struct certificate certificate = d1.certificate, parsed;
	size_t body = certificate.len - SIGNATURE_SIZE;

	(void)state;
	crypto_sign_detached(certificate.bytes + body, NULL, certificate.bytes, body,
			     cluster.secret);
	assert_int_equal(certificate_parse(certificate.bytes, certificate.len, &parsed), 0);
	assert_int_equal(certificate_verify(&parsed, cluster.public_key, FIXTURE_WALL),
			 CERTIFICATE_E_SIGNATURE);
}

static void test_every_change_refused(void **state)
{
	const struct certificate *made = &d1.certificate;
	uint8_t bytes[CERTIFICATE_MAX];
	struct certificate certificate;

	(void)state;
	for (size_t i = 0; i < made->len * 8; i++) {
		memcpy(bytes, made->bytes, made->len);
		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		if (certificate_parse(bytes, made->len, &certificate) == 0)
			assert_int_not_equal(
				certificate_verify(&certificate, cluster.public_key, FIXTURE_WALL),
				0);
	}
	for (size_t len = 0; len < made->len; len++)
		if (certificate_parse(made->bytes, len, &certificate) == 0)
			assert_int_not_equal(
				certificate_verify(&certificate, cluster.public_key, FIXTURE_WALL),
				0);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(certificate_parse(bytes, sizeof(bytes), &certificate),
			 CERTIFICATE_E_MALFORMED);
	assert_int_equal(certificate_parse(bytes, CERTIFICATE_MAX + 1, &certificate),
			 CERTIFICATE_E_MALFORMED);
}

/* Counts that lie: as many empty addresses as fit. */
static void test_flood_of_addresses(void **state)
{
	struct certificate certificate = {.serial = 77};
	uint8_t bytes[CERTIFICATE_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i += 2) {
		bytes[i] = 0x2a;
		bytes[i + 1] = 0;
	}
	assert_int_equal(certificate_parse(bytes, sizeof(bytes), &certificate),
			 CERTIFICATE_E_MALFORMED);
	assert_int_equal(certificate.serial, 77);
}

static void test_identity_parts(void **state)
{
	struct identity identity = {.id = 7}, d2, foreign;

	(void)state;
	fixture_identity(1, 2, &d2);
	fixture_identity(2, 1, &foreign);
	assert_int_equal(identity_init(d1.seed, &d2.certificate, d1.cluster_key, &identity),
			 CERTIFICATE_E_KEY);
	assert_int_equal(identity_init(d1.seed, &foreign.certificate, d1.cluster_key, &identity),
			 CERTIFICATE_E_CLUSTER);
	assert_int_equal(identity.id, 7);
	assert_int_equal(identity_init(d1.seed, &d1.certificate, d1.cluster_key, &identity), 0);
	assert_memory_equal(&identity, &d1, sizeof(identity));
	assert_int_not_equal(d1.id, d2.id);
}

static void test_error_texts(void **state)
{
	(void)state;
	for (int i = 1; i < CERTIFICATE_E_MAX; i++)
		assert_string_not_equal(certificate_error_text(i), "is damaged");
	assert_string_equal(certificate_error_text(0), "is damaged");
	assert_string_equal(certificate_error_text(CERTIFICATE_E_MAX), "is damaged");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_domain),
		cmocka_unit_test(test_every_change_refused),
		cmocka_unit_test(test_flood_of_addresses),
		cmocka_unit_test(test_identity_parts),
		cmocka_unit_test(test_error_texts),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, set_up, NULL);
}
