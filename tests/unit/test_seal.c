#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "proto/session/seal.h"
#include "tests/identity_fixture.h"

static struct identity d1, d2, d3;
static const uint8_t body[] = "what d1 has to say";

static int set_up(void **state)
{
	(void)state;
	fixture_identity(1, 1, &d1);
	fixture_identity(1, 2, &d2);
	fixture_identity(1, 3, &d3);
	return 0;
}

static void test_record(void **state)
{
	const struct certificate *origin = &d1.certificate;
	uint8_t signature[SIGNATURE_SIZE];
	struct certificate foreign = *origin;

	(void)state;
	seal_record_sign(&d1, 17, 5, 9, body, sizeof(body), signature);
	assert_int_equal(seal_record_verify(origin, 17, 5, 9, body, sizeof(body), signature), 0);
	assert_int_equal(seal_record_verify(origin, 18, 5, 9, body, sizeof(body), signature),
			 -EBADMSG);
	assert_int_equal(seal_record_verify(origin, 17, 6, 9, body, sizeof(body), signature),
			 -EBADMSG);
	assert_int_equal(seal_record_verify(origin, 17, 5, 8, body, sizeof(body), signature),
			 -EBADMSG);
	assert_int_equal(seal_record_verify(origin, 17, 5, 9, body, sizeof(body) - 1, signature),
			 -EBADMSG);
	assert_int_equal(
		seal_record_verify(&d2.certificate, 17, 5, 9, body, sizeof(body), signature),
		-EBADMSG);
	foreign.cluster[0] ^= 1;
	assert_int_equal(seal_record_verify(&foreign, 17, 5, 9, body, sizeof(body), signature),
			 -EBADMSG);

	seal_record_sign(&d1, 17, 5, 9, body, 0, signature);
	assert_int_equal(seal_record_verify(origin, 17, 5, 9, body, 0, signature), 0);
}

static void test_record_changed(void **state)
{
	uint8_t signature[SIGNATURE_SIZE], copy[sizeof(body)];

	(void)state;
	seal_record_sign(&d1, 17, 5, 9, body, sizeof(body), signature);
	for (size_t bit = 0; bit < SIGNATURE_SIZE * 8; bit++) {
		signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(seal_record_verify(&d1.certificate, 17, 5, 9, body, sizeof(body),
						    signature),
				 -EBADMSG);
		signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t i = 0; i < sizeof(body); i++) {
		memcpy(copy, body, sizeof(body));
		copy[i] ^= 0x80;
		assert_int_equal(seal_record_verify(&d1.certificate, 17, 5, 9, copy, sizeof(copy),
						    signature),
				 -EBADMSG);
	}
}

static size_t make_packet(const struct packet_key *key, uint8_t *data, size_t cap)
{
	struct packet packet = {
		.version = VERSION_WIRE,
		.kind = 3,
		.sender = d1.id,
		.epoch = 5,
		.sequence = 9,
		.body = body,
		.len = sizeof(body),
	};
	size_t len;

	assert_int_equal(seal_packet_pack(key, d1.certificate.cluster, &packet, data, cap, &len),
			 0);
	return len;
}

static void test_packet(void **state)
{
	struct packet_key k12, k21, k13, k31;
	uint8_t data[256];
	struct packet packet;
	size_t len;

	(void)state;
	assert_int_equal(seal_packet_key_init(&d1, &d2.certificate, &k12), 0);
	assert_int_equal(seal_packet_key_init(&d2, &d1.certificate, &k21), 0);
	assert_int_equal(seal_packet_key_init(&d1, &d3.certificate, &k13), 0);
	assert_int_equal(seal_packet_key_init(&d3, &d1.certificate, &k31), 0);
	assert_memory_equal(k12.send, k21.receive, sizeof(k12.send));
	assert_memory_equal(k12.receive, k21.send, sizeof(k12.send));

	len = make_packet(&k12, data, sizeof(data));
	assert_int_equal(len, sizeof(body) + PACKET_OVERHEAD);
	assert_int_equal(
		seal_packet_parse(d2.certificate.cluster, VERSION_RANGE, data, len, &packet), 0);
	assert_int_equal(packet.kind, 3);
	assert_int_equal(packet.sender, d1.id);
	assert_int_equal(packet.epoch, 5);
	assert_int_equal(packet.sequence, 9);
	assert_int_equal(packet.len, sizeof(body));
	assert_memory_equal(packet.body, body, sizeof(body));
	assert_int_equal(seal_packet_verify(&k21, data, len), 0);
	/* Neither another peer's key, nor the other direction's. */
	assert_int_equal(seal_packet_verify(&k31, data, len), PACKET_E_MAC);
	assert_int_equal(seal_packet_verify(&k12, data, len), PACKET_E_MAC);
}

static void test_packet_changed(void **state)
{
	struct packet_key k12, k21;
	struct packet packet;
	uint8_t data[256];
	size_t len;

	(void)state;
	assert_int_equal(seal_packet_key_init(&d1, &d2.certificate, &k12), 0);
	assert_int_equal(seal_packet_key_init(&d2, &d1.certificate, &k21), 0);
	len = make_packet(&k12, data, sizeof(data));
	for (size_t bit = 0; bit < len * 8; bit++) {
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(seal_packet_verify(&k21, data, len), PACKET_E_MAC);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t n = 0; n < len; n++) {
		if (n < PACKET_OVERHEAD)
			assert_int_equal(seal_packet_parse(d2.certificate.cluster, VERSION_RANGE,
							   data, n, &packet),
					 PACKET_E_SIZE);
		assert_int_equal(seal_packet_verify(&k21, data, n), PACKET_E_MAC);
	}
	data[0]++;
	assert_int_equal(
		seal_packet_parse(d2.certificate.cluster, VERSION_RANGE, data, len, &packet),
		PACKET_E_VERSION);
	data[0]--;
	data[2]++;
	assert_int_equal(
		seal_packet_parse(d2.certificate.cluster, VERSION_RANGE, data, len, &packet),
		PACKET_E_CLUSTER);
	assert_int_equal(seal_packet_parse(d2.certificate.cluster, VERSION_RANGE, data,
					   PACKET_MAX + 1, &packet),
			 PACKET_E_SIZE);
}

static void test_packet_limits(void **state)
{
	static uint8_t data[PACKET_MAX + 1];
	struct packet packet = {.body = data + PACKET_HEADER, .len = PACKET_MAX - PACKET_OVERHEAD};
	struct packet_key key = {0};
	size_t len;

	(void)state;
	assert_int_equal(
		seal_packet_pack(&key, d1.certificate.cluster, &packet, data, PACKET_MAX, &len), 0);
	assert_int_equal(len, PACKET_MAX);
	assert_int_equal(
		seal_packet_pack(&key, d1.certificate.cluster, &packet, data, PACKET_MAX - 1, &len),
		-ENOSPC);
	packet.len++;
	assert_int_equal(
		seal_packet_pack(&key, d1.certificate.cluster, &packet, data, sizeof(data), &len),
		-EMSGSIZE);
	packet.len = 0;
	packet.body = NULL;
	assert_int_equal(seal_packet_pack(&key, d1.certificate.cluster, &packet, data,
					  PACKET_OVERHEAD, &len),
			 0);
	assert_int_equal(seal_packet_verify(&key, data, len), 0);
}

static void test_weak_key(void **state)
{
	struct certificate weak = d2.certificate;
	struct packet_key key;

	(void)state;
	memset(weak.box_key, 0, sizeof(weak.box_key));
	assert_int_equal(seal_packet_key_init(&d1, &weak, &key), -EBADMSG);
}

static void test_error_names(void **state)
{
	(void)state;
	for (int i = 1; i < PACKET_E_MAX; i++)
		assert_string_not_equal(seal_packet_error_name(i), "unknown");
	assert_string_equal(seal_packet_error_name(0), "unknown");
	assert_string_equal(seal_packet_error_name(PACKET_E_MAX), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record),        cmocka_unit_test(test_record_changed),
		cmocka_unit_test(test_packet),        cmocka_unit_test(test_packet_changed),
		cmocka_unit_test(test_packet_limits), cmocka_unit_test(test_weak_key),
		cmocka_unit_test(test_error_names),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, set_up, NULL);
}
