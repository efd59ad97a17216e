#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "director/kernel/owned.h"
#include "proto/state_file.h"

static const char *const texts[] = {
	"tcp 192.0.2.1:0",         "tcp 192.0.2.1:10", "udp 192.0.2.1:10",
	"sctp [2001:db8::1]:5060", "fwmark 7",         "fwmark 7 IPv6",
};

static void fill(struct service_keys *keys)
{
	keys->keys = calloc(ARRAY_SIZE(texts), sizeof(*keys->keys));
	keys->count = ARRAY_SIZE(texts);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(owned_parse_key(texts[i], &keys->keys[i]), 0);
}

static void write_file(const char *directory, const char *text)
{
	struct fault fault;

	assert_int_equal(state_file_save(directory, "services", 0644, text, strlen(text), &fault),
			 0);
}

static void test_keys(void **state)
{
	static const char *const bad[] = {
		"",
		"tcp",
		"tcp ",
		"icmp 192.0.2.1:1",
		"t 192.0.2.1:1",
		"tcp 192.0.2.1",
		"tcp 192.0.2.1:01",
		"tcp 192.0.2.1:00",
		"fwmark 0",
		"fwmark 7 IPv6 ",
		"fwmark -1",
		"fwmark 4294967296",
		"tcp 0",
		"tcp [::1:0",
	};
	struct service_keys keys;
	struct service_key key;
	char text[SERVICE_TEXT];

	(void)state;
	fill(&keys);
	for (size_t i = 0; i < keys.count; i++)
		assert_string_equal(service_key_format(&keys.keys[i], text), texts[i]);
	plan_keys_fini(&keys);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (owned_parse_key(bad[i], &key) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
}

static void test_file(void **state)
{
	char top[] = "/tmp/owned.XXXXXX", directory[64], path[96];
	struct service_keys keys, again = {0};

	(void)state;
	assert_non_null(mkdtemp(top));
	snprintf(directory, sizeof(directory), "%s/a/b", top);
	assert_int_equal(owned_load(directory, &again), 0);
	assert_int_equal(again.count, 0);

	fill(&keys);
	assert_int_equal(owned_save(directory, &keys), 0);
	assert_int_equal(owned_load(directory, &again), 0);
	assert_int_equal(again.count, keys.count);
	for (size_t i = 0; i < keys.count; i++)
		assert_int_equal(service_key_compare(&keys.keys[i], &again.keys[i]), 0);
	plan_keys_fini(&keys);
	plan_keys_fini(&again);

	write_file(directory, "lvsmesh services of boot 00000000-0000-0000-0000-000000000000\n"
			      "tcp 192.0.2.1:10\n");
	assert_int_equal(owned_load(directory, &again), 0);
	assert_int_equal(again.count, 0);
	plan_keys_fini(&again);
	write_file(directory, "tcp 192.0.2.1:10\n");
	assert_int_equal(owned_load(directory, &again), -EBADMSG);
	write_file(directory, "");
	assert_int_equal(owned_load(directory, &again), -EBADMSG);

	snprintf(path, sizeof(path), "%s/services", directory);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
	snprintf(path, sizeof(path), "%s/a", top);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(top), 0);
}

static void test_damaged(void **state)
{
	char directory[] = "/tmp/owned.XXXXXX", path[96], text[512];
	struct service_keys keys = {0}, again = {0};
	size_t length;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/services", directory);
	assert_int_equal(owned_save(directory, &keys), 0);
	file = fopen(path, "r");
	length = fread(text, 1, 256, file) - STATE_FILE_SUM;
	fclose(file);
	static const char *const tails[] = {
		"tcp 192.0.2.1:10",
		"tcp 192.0.2.1:10\ntcp 192.0.2.1:10\n",
		"x\n",
		"\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		snprintf(text + length, sizeof(text) - length, "%s", tails[i]);
		write_file(directory, text);
		assert_int_equal(owned_load(directory, &again), -EBADMSG);
	}
	unlink(path);
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
