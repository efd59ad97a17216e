#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "director/tap/tap_packet.h"
#include "sync/kernel_wire.h"

static const struct tap_net net = {
	.own = 0xa9fe7501,
	.peer = 0xa9fe7502,
	.group = 0xe0000051,
	.port = 8848,
	.beat_port = 9,
	.master_port = 8848,
};

/* As the kernel checks them: the sum over everything is all ones. */
static uint16_t internet_sum(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static size_t sync_packet(uint8_t *packet, size_t payload_len)
{
	tap_packet_sync_header(&net, packet, payload_len);
	for (size_t i = 0; i < payload_len; i++)
		packet[TAP_SYNC_HEADER + i] = (uint8_t)i;
	return TAP_SYNC_HEADER + payload_len;
}

/* As the master thread sends it: from our own address. */
static size_t master_packet(uint8_t *packet, size_t payload_len)
{
	size_t len = sync_packet(packet, payload_len);

	store_be32(packet + 12, net.own);
	return len;
}

static void test_beats(void **state)
{
	static const uint8_t flags[] = {0x02, 0x10, 0x11};

	(void)state;
	for (uint32_t beat = 0; beat < 70000; beat += beat < 12 ? 1 : 997) {
		uint8_t packet[TAP_BEAT_SIZE];
		struct tap_packet parsed;

		tap_packet_beat(&net, packet, beat);
		assert_int_equal(internet_sum(packet, 20, 0), 0xffff);
		assert_int_equal(internet_sum(packet + 12, 28, IPPROTO_TCP + 20), 0xffff);
		assert_int_equal(packet[33], flags[beat % 3]);
		/* IPVS forwards it with only the TTL changed. */
		packet[8]--;
		assert_int_equal(tap_packet_parse(&net, packet, sizeof(packet), &parsed), 0);
		assert_int_equal(parsed.kind, TAP_ECHO);
		assert_int_equal(parsed.beat, beat);
	}
}

static void test_sync(void **state)
{
	static uint8_t packet[TAP_SYNC_HEADER + 20000];
	static const size_t lens[] = {0, 1, 44, 9188, 20000};
	struct tap_packet parsed;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		size_t len = sync_packet(packet, lens[i]);

		assert_int_equal(internet_sum(packet, 20, 0), 0xffff);
		assert_int_equal(load_be16(packet + 2), len);
		/* We do not capture a packet that we inject. */
		assert_int_equal(tap_packet_parse(&net, packet, len, &parsed), 0);
		assert_int_equal(parsed.kind, TAP_FOREIGN);
		len = master_packet(packet, lens[i]);
		assert_int_equal(tap_packet_parse(&net, packet, len, &parsed), 0);
		assert_int_equal(parsed.kind, TAP_SYNC);
		assert_int_equal(parsed.payload_len, lens[i]);
		assert_ptr_equal(parsed.payload, packet + TAP_SYNC_HEADER);
	}
}

static void test_foreign(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} edits[] = {
		{0, 0x60},  /* IPv6 */
		{9, 2},     /* IGMP */
		{15, 9},    /* from another */
		{19, 0x52}, /* to another group */
		{22, 1},    /* to another port */
	};
	uint8_t packet[100];
	struct tap_packet parsed;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
		size_t len = master_packet(packet, 44);

		packet[edits[i].at] = edits[i].value;
		parsed.kind = TAP_SYNC;
		assert_int_equal(tap_packet_parse(&net, packet, len, &parsed), 0);
		assert_int_equal(parsed.kind, TAP_FOREIGN);
	}
	tap_packet_beat(&net, packet, 3);
	packet[23] = 10;
	assert_int_equal(tap_packet_parse(&net, packet, TAP_BEAT_SIZE, &parsed), 0);
	assert_int_equal(parsed.kind, TAP_FOREIGN);
}

static void test_refused(void **state)
{
	uint8_t packet[100];
	struct tap_packet parsed;
	size_t len = master_packet(packet, 44);

	(void)state;
	assert_int_equal(tap_packet_parse(&net, packet, 0, &parsed), TAP_E_SHORT);
	assert_int_equal(tap_packet_parse(&net, packet, 19, &parsed), TAP_E_SHORT);
	assert_int_equal(tap_packet_parse(&net, packet, len - 1, &parsed), TAP_E_LENGTH);
	assert_int_equal(tap_packet_parse(&net, packet, len + 1, &parsed), TAP_E_LENGTH);
	packet[0] = 0x44;
	assert_int_equal(tap_packet_parse(&net, packet, len, &parsed), TAP_E_LENGTH);
	packet[0] = 0x45;
	packet[6] = 0x20;
	assert_int_equal(tap_packet_parse(&net, packet, len, &parsed), TAP_E_FRAGMENT);
	packet[6] = 0;
	packet[25]--;
	assert_int_equal(tap_packet_parse(&net, packet, len, &parsed), TAP_E_LENGTH);

	packet[25]++;
	packet[21]++;
	assert_int_equal(tap_packet_parse(&net, packet, len, &parsed), TAP_E_STRANGER);

	len = master_packet(packet, 0) - 1;
	store_be16(packet + 2, (uint16_t)len);
	assert_int_equal(tap_packet_parse(&net, packet, len, &parsed), TAP_E_SHORT);
	tap_packet_beat(&net, packet, 0);
	store_be16(packet + 2, TAP_BEAT_SIZE - 1);
	assert_int_equal(tap_packet_parse(&net, packet, TAP_BEAT_SIZE - 1, &parsed), TAP_E_SHORT);
}

/* Options in front of the addresses' ports. */
static void test_ip_options(void **state)
{
	uint8_t packet[100];
	struct tap_packet parsed;
	size_t len = master_packet(packet, 44);

	(void)state;
	memmove(packet + 24, packet + 20, len - 20);
	memset(packet + 20, 0, 4);
	packet[0] = 0x46;
	store_be16(packet + 2, (uint16_t)(len + 4));
	assert_int_equal(tap_packet_parse(&net, packet, len + 4, &parsed), 0);
	assert_int_equal(parsed.kind, TAP_SYNC);
	assert_int_equal(parsed.payload_len, 44);
}

static void test_own_entry(void **state)
{
	struct entry entry = {
		.flow = {.family = AF_INET, .protocol = IPPROTO_TCP, .cport = 1, .vport = 9},
		.state = 1,
	};
	struct kernel_wire_writer writer;
	uint8_t payload[128];
	size_t len;

	(void)state;
	store_be32(entry.flow.vaddr, net.own);
	for (int other = 0; other < 2; other++) {
		kernel_wire_write(&writer, payload, sizeof(payload), 1);
		entry.flow.vport = other ? 80 : 9;
		assert_int_equal(kernel_wire_add(&writer, &entry), 0);
		len = kernel_wire_finish(&writer);
		assert_int_equal(tap_packet_is_own(&net, payload, len), !other);
		assert_false(tap_packet_is_own(&net, payload, len - 1));
	}
}

static void test_error_names(void **state)
{
	(void)state;
	for (int e = 1; e < TAP_E_MAX; e++)
		assert_string_not_equal(tap_packet_error_name(e), "unknown");
	assert_string_equal(tap_packet_error_name(0), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_beats),       cmocka_unit_test(test_sync),
		cmocka_unit_test(test_foreign),     cmocka_unit_test(test_refused),
		cmocka_unit_test(test_ip_options),  cmocka_unit_test(test_own_entry),
		cmocka_unit_test(test_error_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
