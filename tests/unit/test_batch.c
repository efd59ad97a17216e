#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/endpoint.h"
#include "sync/batch.h"

static uint8_t packed[BATCH_MAX];

static struct entry random_entry(struct entry_options *options, bool vary)
{
	struct entry entry = {.timeout = 900, .flags = 3, .state = 1, .dport = 80};
	bool v6 = vary && rand() % 3 == 0;

	entry.flow.family = v6 ? AF_INET6 : AF_INET;
	entry.flow.protocol = IPPROTO_TCP;
	for (size_t i = 0; i < ip_addr_size(entry.flow.family); i++)
		entry.flow.caddr[i] = (uint8_t)rand();
	entry.flow.cport = (uint16_t)rand();
	entry.flow.vaddr[0] = 203;
	entry.flow.vport = 443;
	entry.daddr[3] = (uint8_t)(rand() % 4);
	if (!vary)
		return entry;
	entry.flow.vport = (uint16_t)rand();
	entry.dport = (uint16_t)rand();
	entry.state = (uint16_t)(rand() % 10);
	entry.fwmark = (uint32_t)rand();
	entry.timeout = (uint32_t)rand();
	entry.flow.template = rand() % 4 == 0;
	entry.flags = entry.flow.template ? ENTRY_TEMPLATE : (uint32_t)rand() % 8;
	if (rand() % 8 == 0) {
		*options = (struct entry_options){.has_seq = rand() % 2};
		if (options->has_seq)
			options->out.delta = (uint32_t)rand();
		options->pe_name_len = 3;
		memcpy(options->pe_name, "sip", 3);
		options->pe_data_len = (uint8_t)rand();
		memset(options->pe_data, 'x', options->pe_data_len);
		entry.options = options;
		if (entry.flow.template)
			entry.flow.pe_digest =
				entry_pe_digest(options->pe_data, options->pe_data_len);
	}
	return entry;
}

/* spread: how far apart versions lie. */
static void round_trip(unsigned int count, bool vary, uint64_t spread)
{
	struct batch_head head = {.first = 10, .last = 20, .wanted = vary}, got;
	struct entry *entries = calloc(count, sizeof(*entries));
	struct entry_options *options = calloc(count, sizeof(*options));
	struct table_version *versions = calloc(count, sizeof(*versions)), version;
	bool *seen = calloc(count, sizeof(*seen));
	struct batch_reader *reader;
	struct batch *batch;
	struct entry entry;
	unsigned int n = 0;
	uint32_t age;
	size_t len;

	assert_int_equal(batch_new(&batch), 0);
	assert_int_equal(batch_reader_new(&reader), 0);
	for (unsigned int i = 0; i < count; i++) {
		entries[i] = random_entry(&options[i], vary);
		versions[i].hlc = (1ull << 60) + (uint64_t)rand() % spread;
		versions[i].origin = vary ? (uint64_t)(rand() % 5) : 3;
		assert_true(batch_add(batch, &entries[i], versions[i], i));
	}
	len = batch_pack(batch, &head, packed);
	assert_true(len <= BATCH_MAX);
	assert_int_equal(batch_read(reader, packed, len, &got), 0);
	assert_int_equal(got.first, head.first);
	assert_int_equal(got.last, head.last);
	assert_int_equal(got.wanted, head.wanted);
	assert_int_equal(got.wanted_end, head.wanted_end);
	while (batch_next(reader, &entry, &version, &age)) {
		assert_true(age < count && !seen[age]);
		seen[age] = true;
		assert_int_equal(version.hlc, versions[age].hlc);
		assert_int_equal(version.origin, versions[age].origin);
		assert_int_equal(entry.options != NULL, entries[age].options != NULL);
		if (entry.options)
			assert_memory_equal(entry.options, entries[age].options,
					    offsetof(struct entry_options, pe_data) +
						    ENTRY_PE_DATA_MAX);
		/* Compares up to the padding: a copied struct need not carry it. */
		assert_memory_equal(&entry, &entries[age],
				    offsetof(struct entry, timeout) + sizeof(entry.timeout));
		n++;
	}
	assert_int_equal(n, count);
	batch_free(batch);
	batch_reader_free(reader);
	free(entries);
	free(options);
	free(versions);
	free(seen);
}

static void test_round_trip(void **state)
{
	(void)state;
	srand(3);
	for (unsigned int count = 1; count < 200; count += 1 + count / 4) {
		round_trip(count, true, 1000);
		round_trip(count, true, 1ull << 40);
		round_trip(count, false, 1000);
	}
	/* Two versions, short and long: eight bytes either way. */
	for (int i = 0; i < 50; i++)
		round_trip(2, false, i % 2 ? 2 : 1ull << 40);
}

/* The size of entries of one service, in a full batch. */
static void test_size(void **state)
{
	struct batch_head head = {.last = 1};
	struct table_version version = {1ull << 60, 3};
	struct entry_options options;
	struct batch *batch;
	size_t len;

	(void)state;
	assert_int_equal(batch_new(&batch), 0);
	for (;;) {
		struct entry entry = random_entry(&options, false);

		version.hlc += 1000;
		if (!batch_add(batch, &entry, version, 0))
			break;
	}
	len = batch_pack(batch, &head, packed);
	assert_true(batch_count(batch) > 1000);
	assert_true(len / batch_count(batch) < 18);
	batch_free(batch);
}

static void test_full(void **state)
{
	struct table_version version = {5, 3};
	struct batch_head head = {.last = 1}, got;
	struct entry_options options;
	struct batch_reader *reader;
	struct batch *batch;
	unsigned int rounds = 0;

	(void)state;
	assert_int_equal(batch_new(&batch), 0);
	assert_int_equal(batch_reader_new(&reader), 0);
	/* A full batch of the largest entries is never longer than BATCH_MAX. */
	srand(4);
	while (rounds < 3) {
		struct entry entry = random_entry(&options, true);
		size_t len;

		version.hlc += (uint64_t)rand() << 20;
		version.origin = (uint64_t)rand() % 70;
		if (batch_add(batch, &entry, version, (uint32_t)rand()))
			continue;
		len = batch_pack(batch, &head, packed);
		assert_true(len <= BATCH_MAX);
		assert_int_equal(batch_read(reader, packed, len, &got), 0);
		batch_clear(batch);
		rounds++;
	}
	batch_free(batch);
	batch_reader_free(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
