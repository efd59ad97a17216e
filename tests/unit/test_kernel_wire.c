#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/kernel_wire.h"

#define SYNCID 7
#define SEQ_FLAGS 0x0600u

static struct entry sample(uint8_t family, uint8_t protocol, uint16_t state, uint32_t flags)
{
	struct entry entry = {
		.flow = {.family = family,
			 .protocol = protocol,
			 .cport = 40000,
			 .vport = 443,
			 .template = (flags & ENTRY_TEMPLATE) != 0},
		.dport = 8443,
		.state = state,
		.flags = flags,
		.fwmark = 0x01020304,
		.timeout = 900,
	};

	for (size_t i = 0; i < (family == AF_INET6 ? 16 : 4); i++) {
		entry.flow.caddr[i] = (uint8_t)(i + 1);
		entry.flow.vaddr[i] = (uint8_t)(i + 101);
		entry.daddr[i] = (uint8_t)(i + 201);
	}
	return entry;
}

static struct entry_options sample_options(bool seq, uint8_t data_len, const char *name)
{
	struct entry_options options = {.has_seq = seq, .pe_data_len = data_len};

	if (seq) {
		options.in = (struct entry_seq){0x11223344, 5, (uint32_t)-6};
		options.out = (struct entry_seq){0xfffffffe, (uint32_t)-7, 8};
	}
	for (size_t i = 0; i < data_len; i++)
		options.pe_data[i] = (uint8_t)(i * 3 + 1);
	options.pe_name_len = (uint8_t)strlen(name);
	memcpy(options.pe_name, name, options.pe_name_len);
	return options;
}

static size_t encode(uint8_t *data, size_t cap, const struct entry *entries, size_t n)
{
	struct kernel_wire_writer writer;

	kernel_wire_write(&writer, data, cap, SYNCID);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(kernel_wire_add(&writer, &entries[i]), 0);
	return kernel_wire_finish(&writer);
}

static void assert_same(const struct entry *a, const struct entry *b)
{
	struct entry x = *a, y = *b;

	x.options = y.options = NULL;
	x.flow.pe_digest = y.flow.pe_digest = 0;
	/* Compares without the padding: a copied struct need not carry it. */
	assert_memory_equal(&x, &y, offsetof(struct entry, timeout) + sizeof(x.timeout));
	assert_int_equal(a->options != NULL, b->options != NULL);
	if (a->options)
		assert_memory_equal(a->options, b->options,
				    offsetof(struct entry_options, pe_data) + ENTRY_PE_DATA_MAX);
}

static void round_trip(const struct entry *entries, size_t n)
{
	struct kernel_wire_reader reader;
	static uint8_t data[KERNEL_WIRE_MAX];
	struct entry entry;
	size_t len = encode(data, sizeof(data), entries, n);

	assert_int_equal(kernel_wire_read(&reader, data, len, SYNCID), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(kernel_wire_next(&reader, &entry), 1);
		assert_same(&entry, &entries[i]);
	}
	assert_int_equal(kernel_wire_next(&reader, &entry), 0);
	assert_int_equal(kernel_wire_next(&reader, &entry), 0);
}

static const struct {
	uint8_t protocol;
	uint16_t states;
	uint32_t flags;
} kinds[] = {
	{IPPROTO_TCP, 11, 0},
	{IPPROTO_UDP, 1, 0},
	{IPPROTO_SCTP, 14, 0},
	{IPPROTO_IP, 2, ENTRY_TEMPLATE},
	{IPPROTO_TCP, 2, ENTRY_TEMPLATE},
	{IPPROTO_UDP, 2, ENTRY_TEMPLATE},
	{IPPROTO_SCTP, 2, ENTRY_TEMPLATE},
};

static void test_every_state_and_flag(void **state)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};

	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(families); f++)
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			struct entry e;

			for (uint16_t s = 0; s < kinds[k].states; s++) {
				e = sample(families[f], kinds[k].protocol, s, kinds[k].flags | 3);
				round_trip(&e, 1);
			}
			for (int bit = 0; bit < 32; bit++) {
				uint32_t flag = (uint32_t)1 << bit;

				if (flag == ENTRY_TEMPLATE ||
				    flag & (ENTRY_ONE_PACKET | ENTRY_SEQ_MASK) ||
				    (flag == ENTRY_NO_CPORT && kinds[k].flags & ENTRY_TEMPLATE))
					continue;
				e = sample(families[f], kinds[k].protocol, 0,
					   kinds[k].flags | flag);
				round_trip(&e, 1);
			}
		}
}

static void test_state_refused(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct entry last = sample(AF_INET, kinds[k].protocol,
					   (uint16_t)(kinds[k].states - 1), kinds[k].flags);
		struct entry next = last;
		struct kernel_wire_reader reader;
		uint8_t data[256];
		size_t len = encode(data, sizeof(data), (struct entry[]){last, last}, 2);
		struct kernel_wire_writer writer;

		next.state++;
		kernel_wire_write(&writer, data + 128, 128, SYNCID);
		assert_int_equal(kernel_wire_add(&writer, &next), -EINVAL);
		assert_int_equal(kernel_wire_finish(&writer), 0);

		/* The bad entry alone is left out. */
		store_be16(data + KERNEL_WIRE_HEADER + 8, next.state);
		assert_int_equal(kernel_wire_read(&reader, data, len, SYNCID), 0);
		assert_int_equal(kernel_wire_next(&reader, &next), -KERNEL_WIRE_E_STATE);
		assert_int_equal(kernel_wire_next(&reader, &next), 1);
		assert_same(&next, &last);
		assert_int_equal(kernel_wire_next(&reader, &next), 0);
	}
}

static void test_options(void **state)
{
	static const struct {
		bool seq;
		uint8_t data_len;
		const char *name;
	} cases[] = {
		{true, 0, ""},       {true, 1, "sip"},
		{false, 254, "sip"}, {false, 255, "abcdefghijklmno"},
		{true, 3, "x"},      {false, 0, "sip"},
		{true, 255, "sip"},
	};
	struct entry_options options[ARRAY_SIZE(cases)];
	struct entry entries[2 * ARRAY_SIZE(cases) + 1];
	size_t n = 0;

	(void)state;
	/* Odd lengths, so that padding is needed, with plain entries between them. */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		options[i] = sample_options(cases[i].seq, cases[i].data_len, cases[i].name);
		entries[n] = sample(i % 2 ? AF_INET6 : AF_INET, IPPROTO_UDP, 0, ENTRY_TEMPLATE);
		entries[n++].options = &options[i];
		entries[n] = sample(AF_INET, IPPROTO_TCP, 1, 0);
		n++;
	}
	for (size_t i = 1; i <= n; i++)
		round_trip(entries, i);
}

static void test_digest_only_of_templates(void **state)
{
	struct entry_options options = sample_options(false, 20, "sip");
	struct kernel_wire_reader reader;
	struct entry entries[2], entry;
	uint8_t data[512];
	size_t len;

	(void)state;
	entries[0] = sample(AF_INET, IPPROTO_UDP, 1, ENTRY_TEMPLATE);
	entries[1] = sample(AF_INET, IPPROTO_UDP, 0, 0);
	entries[0].options = entries[1].options = &options;
	len = encode(data, sizeof(data), entries, 2);
	assert_int_equal(kernel_wire_read(&reader, data, len, SYNCID), 0);
	assert_int_equal(kernel_wire_next(&reader, &entry), 1);
	assert_int_equal(entry.flow.pe_digest, entry_pe_digest(options.pe_data, 20));
	assert_int_equal(kernel_wire_next(&reader, &entry), 1);
	assert_int_equal(entry.flow.pe_digest, 0);
}

/* We write the kernel's format, byte for byte. */
static void test_bytes(void **state)
{
	static const uint8_t want[] = {
		0,    SYNCID, 0,    44,   1,   1,    0,   0, /* header */
		0,    6,      0,    36,   0,   0,    1,   3,
		0,    4,      0x9c, 0x40, 1,   0xbb, /* to vport */
		0x20, 0xfb,   1,    2,    3,   4,    0,   0,
		3,    0x84,   1,    2,    3,   4, /* to caddr */
		101,  102,    103,  104,  201, 202,  203, 204,
	};
	struct entry entry = sample(AF_INET, IPPROTO_TCP, 4, ENTRY_INACTIVE | 3);
	uint8_t data[sizeof(want)];

	(void)state;
	assert_int_equal(encode(data, sizeof(data), &entry, 1), sizeof(want));
	assert_memory_equal(data, want, sizeof(want));
}

static void test_message_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		int error;
	} cases[] = {
		{0, 1, KERNEL_WIRE_E_HEADER},  {1, 8, KERNEL_WIRE_E_SYNCID},
		{1, 0, KERNEL_WIRE_E_SYNCID},  {2, 1, KERNEL_WIRE_E_HEADER},
		{3, 43, KERNEL_WIRE_E_HEADER}, {4, 0, KERNEL_WIRE_E_COUNT},
		{5, 0, KERNEL_WIRE_E_VERSION}, {5, 2, KERNEL_WIRE_E_VERSION},
		{6, 1, KERNEL_WIRE_E_HEADER},  {7, 1, KERNEL_WIRE_E_HEADER},
	};
	struct entry entry = sample(AF_INET, IPPROTO_TCP, 1, 0);
	struct kernel_wire_reader reader;
	uint8_t good[64], data[64];
	size_t len = encode(good, sizeof(good), &entry, 1);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memcpy(data, good, len);
		data[cases[i].at] = cases[i].value;
		assert_int_equal(kernel_wire_read(&reader, data, len, SYNCID), cases[i].error);
		assert_int_equal(kernel_wire_next(&reader, &entry), 0);
	}
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(kernel_wire_read(&reader, good, cut, SYNCID),
				 KERNEL_WIRE_E_HEADER);
}

/* Entries that corrupt some kernels are taken from none, and given to none. */
static void test_flags_refused(void **state)
{
	static const uint32_t refused[] = {0x2000, 0x1000 | 0x0800, 0x0200, 0x0400, 0x0600};
	struct kernel_wire_writer writer;
	struct kernel_wire_reader reader;
	uint8_t data[256];
	struct entry entry;
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		entry = sample(AF_INET, IPPROTO_TCP, 1, 0);
		len = encode(data, sizeof(data), &entry, 1);
		store_be32(data + 8 + 4, refused[i]);
		assert_int_equal(kernel_wire_read(&reader, data, len, SYNCID), 0);
		assert_int_equal(kernel_wire_next(&reader, &entry), -KERNEL_WIRE_E_FLAGS);
		assert_int_equal(kernel_wire_next(&reader, &entry), 0);

		entry = sample(AF_INET, IPPROTO_TCP, 1, refused[i]);
		entry.flow.template = (refused[i] & 0x1000) != 0;
		kernel_wire_write(&writer, data, sizeof(data), SYNCID);
		assert_int_equal(kernel_wire_add(&writer, &entry), -EINVAL);
	}
}

/* Edits one byte of a message of two entries with options, the first at 8, the second at 44 + 28.
 */
static void test_entry_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		int first, second; /* results of the first two calls */
	} cases[] = {
		{4, 1, 1, -KERNEL_WIRE_E_COUNT},     /* bytes left over */
		{8, 1, -KERNEL_WIRE_E_ENTRY, 0},     /* IPv6, but too short */
		{8, 2, -KERNEL_WIRE_E_ENTRY, 0},     /* no such type */
		{9, 50, -KERNEL_WIRE_E_PROTOCOL, 1}, /* ESP */
		{9, 0, -KERNEL_WIRE_E_PROTOCOL, 1},
		{10, 0x10, -KERNEL_WIRE_E_ENTRY, 0}, /* version of the entry */
		{11, 35, -KERNEL_WIRE_E_ENTRY, 0},
		{10, 1, -KERNEL_WIRE_E_ENTRY, 0}, /* longer than the message */
		{11, 37, -KERNEL_WIRE_E_OPTION, -KERNEL_WIRE_E_ENTRY},
		{44, 2, -KERNEL_WIRE_E_FLAGS, 1},    /* sequence bytes as engine data */
		{44, 4, -KERNEL_WIRE_E_OPTION, 1},   /* unknown, mandatory */
		{44, 0x44, -KERNEL_WIRE_E_FLAGS, 1}, /* unknown, optional: no sequence option */
		{44, 0x41, 1, 1},                    /* known, marked optional */
		{44, 3, -KERNEL_WIRE_E_OPTION, 1},   /* a name of 24 bytes */
		{45, 0, -KERNEL_WIRE_E_OPTION, 1},
		{45, 23, -KERNEL_WIRE_E_OPTION, 1},
		{45, 25, -KERNEL_WIRE_E_OPTION, 1},
	};
	struct entry_options options = sample_options(true, 0, "");
	struct entry entries[2], entry;
	struct kernel_wire_reader reader;
	uint8_t good[256], data[256];
	size_t len;

	(void)state;
	entries[0] = entries[1] = sample(AF_INET, IPPROTO_TCP, 1, SEQ_FLAGS);
	entries[0].options = entries[1].options = &options;
	len = encode(good, sizeof(good), entries, 2);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memcpy(data, good, len);
		data[cases[i].at] = cases[i].value;
		assert_int_equal(kernel_wire_read(&reader, data, len, SYNCID), 0);
		assert_int_equal(kernel_wire_next(&reader, &entry), cases[i].first);
		assert_int_equal(kernel_wire_next(&reader, &entry), cases[i].second);
	}
}

static void test_repeated_option_refused(void **state)
{
	struct entry_options options = sample_options(false, 4, "sip");
	struct entry entry = sample(AF_INET, IPPROTO_UDP, 0, ENTRY_TEMPLATE);
	struct kernel_wire_reader reader;
	uint8_t data[256];
	size_t len;

	(void)state;
	entry.options = &options;
	len = encode(data, sizeof(data), &entry, 1);
	assert_int_equal(data[len - 5], 3);
	data[len - 5] = 2;
	assert_int_equal(kernel_wire_read(&reader, data, len, SYNCID), 0);
	assert_int_equal(kernel_wire_next(&reader, &entry), -KERNEL_WIRE_E_OPTION);
}

static void test_count_lies(void **state)
{
	struct entry entry = sample(AF_INET6, IPPROTO_TCP, 1, 0);
	struct kernel_wire_reader reader;
	uint8_t data[256];
	size_t len = encode(data, sizeof(data), &entry, 1);

	(void)state;
	data[4] = 2;
	assert_int_equal(kernel_wire_read(&reader, data, len, SYNCID), 0);
	assert_int_equal(kernel_wire_next(&reader, &entry), 1);
	assert_int_equal(kernel_wire_next(&reader, &entry), -KERNEL_WIRE_E_COUNT);
	assert_int_equal(kernel_wire_next(&reader, &entry), 0);
}

static void test_full(void **state)
{
	struct entry_options options = sample_options(true, 255, "abcdefghijklmno");
	struct entry v4 = sample(AF_INET, IPPROTO_TCP, 1, 0),
		     v6 = sample(AF_INET6, IPPROTO_TCP, 1, 0);
	static uint8_t data[1 << 17];
	struct kernel_wire_writer writer;
	size_t len;

	(void)state;
	kernel_wire_write(&writer, data, sizeof(data), SYNCID);
	for (int i = 0; i < 255; i++)
		assert_int_equal(kernel_wire_add(&writer, &v6), 0);
	assert_int_equal(kernel_wire_add(&writer, &v4), -ENOSPC);
	assert_int_equal(kernel_wire_finish(&writer), 8 + 255 * 72);

	kernel_wire_write(&writer, data, 8 + 2 * 36 + 35, SYNCID);
	assert_int_equal(kernel_wire_add(&writer, &v4), 0);
	assert_int_equal(kernel_wire_add(&writer, &v6), -ENOSPC);
	assert_int_equal(kernel_wire_add(&writer, &v4), 0);
	assert_int_equal(kernel_wire_add(&writer, &v4), -ENOSPC);
	assert_int_equal(kernel_wire_finish(&writer), 8 + 2 * 36);

	v6.options = &options;
	kernel_wire_write(&writer, data, sizeof(data), SYNCID);
	while (kernel_wire_add(&writer, &v6) == 0)
		;
	len = kernel_wire_finish(&writer);
	assert_true(len <= KERNEL_WIRE_MAX && len > KERNEL_WIRE_MAX - 400);
}

static void test_writer_refuses(void **state)
{
	struct entry_options nameless = sample_options(false, 4, "");
	struct entry entries[] = {
		sample(0, IPPROTO_TCP, 1, 0),
		sample(AF_INET, IPPROTO_ICMP, 0, 0),
		sample(AF_INET, IPPROTO_IP, 0, 0),
		sample(AF_INET, IPPROTO_TCP, 1, 0),
		sample(AF_INET, IPPROTO_TCP, 1, ENTRY_TEMPLATE),
	};
	struct kernel_wire_writer writer;
	uint8_t data[256];

	(void)state;
	entries[3].options = &nameless;
	entries[4].flow.template = 0;
	kernel_wire_write(&writer, data, sizeof(data), SYNCID);
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		assert_int_equal(kernel_wire_add(&writer, &entries[i]), -EINVAL);
	assert_int_equal(kernel_wire_finish(&writer), 0);
}

static void test_error_names(void **state)
{
	(void)state;
	for (int e = 1; e < KERNEL_WIRE_E_MAX; e++)
		assert_string_not_equal(kernel_wire_error_name(e), "unknown");
	assert_string_equal(kernel_wire_error_name(0), "unknown");
	assert_string_equal(kernel_wire_error_name(KERNEL_WIRE_E_MAX), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_state_and_flag),
		cmocka_unit_test(test_state_refused),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_digest_only_of_templates),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_message_refused),
		cmocka_unit_test(test_entry_refused),
		cmocka_unit_test(test_flags_refused),
		cmocka_unit_test(test_repeated_option_refused),
		cmocka_unit_test(test_count_lies),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_writer_refuses),
		cmocka_unit_test(test_error_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
