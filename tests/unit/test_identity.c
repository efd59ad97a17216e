#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "proto/identity/armor.h"
#include "proto/identity/identity_file.h"
#include "tests/identity_fixture.h"
#include "tests/scratch.h"

static struct cluster_key cluster;
static struct identity d1;

static int set_up(void **state)
{
	static struct scratch scratch;

	fixture_cluster(1, &cluster);
	fixture_identity(1, 1, &d1);
	scratch_init(&scratch);
	*state = &scratch;
	return 0;
}

static int tear_down(void **state)
{
	scratch_fini(*state);
	return 0;
}

static void test_armor(void **state)
{
	uint8_t bytes[CERTIFICATE_MAX], back[CERTIFICATE_MAX];
	char text[ARMOR_TEXT_MAX];
	size_t text_len, len;

	(void)state;
	memset(bytes, 0xa5, sizeof(bytes));
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		assert_int_equal(armor_format("TEST", bytes, n, text, sizeof(text), &text_len), 0);
		assert_int_equal(strlen(text), text_len);
		assert_int_equal(armor_parse("TEST", text, text_len, back, sizeof(back), &len), 0);
		assert_int_equal(len, n);
		assert_memory_equal(back, bytes, n);
	}
	/* The smallest buffer that will do, and one byte less. */
	assert_int_equal(armor_format("TEST", bytes, sizeof(bytes), text, text_len + 1, &len), 0);
	assert_int_equal(armor_format("TEST", bytes, sizeof(bytes), text, text_len, &len), -ENOSPC);
	assert_int_equal(armor_format("TEST", bytes, 8192, text, sizeof(text), &len), -ENOSPC);
}

struct armor_row {
	const char *text;
	int result;
};

#define B "-----BEGIN LVSMESH TEST-----\n"
#define E "-----END LVSMESH TEST-----\n"

static void test_armor_refused(void **state)
{
	static const struct armor_row rows[] = {
		{B "AAAA\n" E, 0},
		{" \n" B "  AA\r\nAA\r\n" E "\r\n\t ", 0},
		{"", ARMOR_E_BEGIN},
		{"AAAA\n", ARMOR_E_BEGIN},
		{"text\n" B "AAAA\n" E, ARMOR_E_BEGIN},
		{"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ARMOR_E_BEGIN},
		{"-----BEGIN LVSMESH TESTS-----\nAAAA\n" E, ARMOR_E_LABEL},
		{"-----BEGIN LVSMESH NODE KEY-----\nAAAA\n" E, ARMOR_E_LABEL},
		{B "AAAA\n", ARMOR_E_END},
		{B "AAAA\n-----END LVSMESH TEST", ARMOR_E_END},
		{B "AAAA\n-----END LVSMESH NODE KEY-----\n", ARMOR_E_END},
		{B "AA*A\n" E, ARMOR_E_BASE64},
		{B "AAA\n" E, ARMOR_E_BASE64},
		{B "AAAA\n" E "more\n", ARMOR_E_TRAILING},
		{B "AAAA\n" E B "AAAA\n" E, ARMOR_E_TRAILING},
		{B "AAAAAAAA\n" E, ARMOR_E_SIZE},
	};
	uint8_t bytes[3];
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(armor_parse("TEST", rows[i].text, strlen(rows[i].text), bytes,
					     sizeof(bytes), &len),
				 rows[i].result);
		assert_string_not_equal(armor_error_text(rows[i].result),
					rows[i].result ? "is damaged" : "");
	}
	assert_int_equal(armor_parse("TEST", B, ARMOR_TEXT_MAX + 1, bytes, sizeof(bytes), &len),
			 ARMOR_E_SIZE);
	assert_string_equal(armor_error_text(0), "is damaged");
	assert_string_equal(armor_error_text(ARMOR_E_MAX), "is damaged");
}

static unsigned int mode_of(struct scratch *scratch, const char *name)
{
	struct stat st;

	assert_int_equal(stat(scratch_path(scratch, name), &st), 0);
	return st.st_mode & 07777;
}

static void test_files(void **state)
{
	struct scratch *scratch = *state;
	char dir[PATH_MAX];
	struct fault fault;
	struct cluster_key cluster_back;
	struct identity back;
	mode_t mask = umask(0);

	strcpy(dir, scratch_path(scratch, "made"));
	assert_int_equal(identity_file_save_cluster(dir, &cluster, &fault), 0);
	assert_int_equal(identity_file_save(dir, &d1, &fault), 0);
	umask(mask);
	assert_int_equal(mode_of(scratch, "made"), 0700);
	assert_int_equal(mode_of(scratch, "made/cluster.key"), 0600);
	assert_int_equal(mode_of(scratch, "made/key"), 0600);
	assert_int_equal(mode_of(scratch, "made/cluster.pub"), 0644);
	assert_int_equal(mode_of(scratch, "made/certificate"), 0644);

	assert_int_equal(identity_file_load_cluster(dir, &cluster_back, &fault), 0);
	assert_memory_equal(&cluster_back, &cluster, sizeof(cluster));
	assert_int_equal(identity_file_load(dir, &back, &fault), 0);
	assert_memory_equal(&back, &d1, sizeof(back));
}

static void test_keys_are_not_replaced(void **state)
{
	struct scratch *scratch = *state;
	struct fault fault;
	struct cluster_key other, back;
	struct identity d2, identity;

	fixture_cluster(2, &other);
	fixture_identity(1, 2, &d2);
	assert_int_equal(identity_file_save_cluster(scratch->dir, &cluster, &fault), 0);
	assert_int_equal(identity_file_save_cluster(scratch->dir, &other, &fault), -EEXIST);
	assert_non_null(strstr(fault.text, scratch_path(scratch, "cluster.key")));
	assert_non_null(strstr(fault.text, "move it away"));
	assert_int_equal(identity_file_load_cluster(scratch->dir, &back, &fault), 0);
	assert_memory_equal(&back, &cluster, sizeof(back));

	assert_int_equal(identity_file_save(scratch->dir, &d1, &fault), 0);
	assert_int_equal(identity_file_save(scratch->dir, &d2, &fault), -EEXIST);
	assert_int_equal(identity_file_load(scratch->dir, &identity, &fault), 0);
	assert_memory_equal(&identity, &d1, sizeof(identity));
	assert_int_not_equal(access(scratch_path(scratch, "key.new"), F_OK), 0);
}

static void test_open_secret(void **state)
{
	static const mode_t modes[] = {0640, 0604, 0620, 0602, 0644, 0666};
	struct scratch *scratch = *state;
	char remedy[PATH_MAX + 16];
	struct fault fault;
	struct identity back;

	assert_int_equal(identity_file_save(scratch->dir, &d1, &fault), 0);
	snprintf(remedy, sizeof(remedy), "chmod 600 %s", scratch_path(scratch, "key"));
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		assert_int_equal(chmod(scratch_path(scratch, "key"), modes[i]), 0);
		assert_int_equal(identity_file_load(scratch->dir, &back, &fault), -EACCES);
		assert_non_null(strstr(fault.text, remedy));
	}
	assert_int_equal(chmod(scratch_path(scratch, "key"), 0400), 0);
	assert_int_equal(identity_file_load(scratch->dir, &back, &fault), 0);
}

static void test_missing(void **state)
{
	static const char *const names[] = {"key", "certificate", "cluster.pub"};
	struct scratch *scratch = *state;
	char message[64];
	struct fault fault;
	struct cluster_key key;
	struct identity back;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(identity_file_save(scratch->dir, &d1, &fault), 0);
		unlink(scratch_path(scratch, names[i]));
		assert_int_equal(identity_file_load(scratch->dir, &back, &fault), -ENOENT);
		snprintf(message, sizeof(message), "%s is missing: ", names[i]);
		assert_non_null(strstr(fault.text, message));
		unlink(scratch_path(scratch, "key"));
	}
	assert_int_equal(identity_file_load_cluster(scratch->dir, &key, &fault), -ENOENT);
	assert_non_null(strstr(fault.text, "keygen cluster"));
}

/* Every file, cut anywhere or with any character changed: refused, and by its name. Only white
 * space may be lost. */
static void test_damaged(void **state)
{
	static const char *const names[] = {"key", "certificate", "cluster.pub"};
	struct scratch *scratch = *state;
	char text[ARMOR_TEXT_MAX], was;
	struct fault fault;
	struct identity back;

	assert_int_equal(identity_file_save(scratch->dir, &d1, &fault), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t len = scratch_read(scratch, names[i], text, sizeof(text));

		assert_int_equal(chmod(scratch_path(scratch, names[i]), 0600), 0);
		for (size_t n = 0; n < len - 1; n++) {
			scratch_write(scratch, names[i], text, n);
			assert_int_equal(identity_file_load(scratch->dir, &back, &fault), -EBADMSG);
			assert_non_null(strstr(fault.text, scratch_path(scratch, names[i])));
		}
		for (size_t n = 0; n < len; n++) {
			was = text[n];
			if (was == '\n')
				continue;
			text[n] = was == 'A' ? 'B' : 'A';
			scratch_write(scratch, names[i], text, len);
			assert_int_equal(identity_file_load(scratch->dir, &back, &fault), -EBADMSG);
			text[n] = was;
		}
		scratch_write(scratch, names[i], text, len);
		assert_int_equal(identity_file_load(scratch->dir, &back, &fault), 0);
	}
}

static void test_mixed_up(void **state)
{
	struct scratch *scratch = *state;
	char text[ARMOR_TEXT_MAX], big[ARMOR_TEXT_MAX + 1] = {0};
	struct fault fault;
	struct identity d2, back;
	struct cluster_key other, key;
	size_t len;

	fixture_identity(1, 2, &d2);
	fixture_cluster(2, &other);
	assert_int_equal(identity_file_save(scratch->dir, &d1, &fault), 0);

	armor_format(ARMOR_CERTIFICATE, d2.certificate.bytes, d2.certificate.len, text,
		     sizeof(text), &len);
	scratch_write(scratch, "certificate", text, len);
	assert_int_equal(identity_file_load(scratch->dir, &back, &fault), -EBADMSG);
	assert_non_null(strstr(fault.text, "certificate is of another key"));

	armor_format(ARMOR_CERTIFICATE, d2.seed, sizeof(d2.seed), text, sizeof(text), &len);
	scratch_write(scratch, "certificate", text, len);
	assert_int_equal(identity_file_load(scratch->dir, &back, &fault), -EBADMSG);
	assert_non_null(strstr(fault.text, "is not a certificate"));

	scratch_write(scratch, "certificate", big, sizeof(big));
	assert_int_equal(identity_file_load(scratch->dir, &back, &fault), -EFBIG);

	armor_format(ARMOR_NODE_KEY, d1.seed, sizeof(d1.seed) - 1, text, sizeof(text), &len);
	scratch_write(scratch, "key", text, len);
	assert_int_equal(identity_file_load(scratch->dir, &back, &fault), -EBADMSG);
	assert_non_null(strstr(fault.text, "too short"));

	assert_int_equal(identity_file_save_cluster(scratch->dir, &cluster, &fault), 0);
	armor_format(ARMOR_CLUSTER_PUBLIC, other.public_key, SIGN_PUBLIC_SIZE, text, sizeof(text),
		     &len);
	scratch_write(scratch, "cluster.pub", text, len);
	assert_int_equal(identity_file_load_cluster(scratch->dir, &key, &fault), -EBADMSG);
	assert_non_null(strstr(fault.text, "does not belong to cluster.pub"));
}

static void test_renewed(void **state)
{
	struct keygen_options options = {
		.name = "d1",
		.not_before = FIXTURE_SECONDS,
		.not_after = FIXTURE_SECONDS + 100 * FIXTURE_VALID,
	};
	struct ip_addr address = {.family = AF_INET, .bytes = {192, 0, 2, 99}};
	struct certificate certificate;
	struct cluster_key other;
	struct identity again;

	(void)state;
	assert_int_equal(identity_keygen_renew(&cluster, &options, &d1.certificate, &certificate),
			 0);
	assert_int_equal(certificate_id(&certificate), d1.id);
	assert_int_equal(certificate.serial, d1.certificate.serial + 1);
	assert_int_equal(certificate.not_after, options.not_after);
	assert_int_equal(certificate.address_count, d1.certificate.address_count);
	assert_int_equal(identity_init(d1.seed, &certificate, cluster.public_key, &again), 0);
	options.serial = 1000;
	options.addresses = &address;
	options.address_count = 1;
	assert_int_equal(identity_keygen_renew(&cluster, &options, &d1.certificate, &certificate),
			 0);
	assert_int_equal(certificate.serial, 1000);
	assert_memory_equal(&certificate.addresses[0], &address, sizeof(address));
	options.name = "d2";
	assert_int_equal(identity_keygen_renew(&cluster, &options, &d1.certificate, &certificate),
			 CERTIFICATE_E_MALFORMED);
	fixture_cluster(2, &other);
	options.name = "d1";
	assert_int_equal(identity_keygen_renew(&other, &options, &d1.certificate, &certificate),
			 CERTIFICATE_E_CLUSTER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_armor),
		cmocka_unit_test(test_armor_refused),
		cmocka_unit_test_setup_teardown(test_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_keys_are_not_replaced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_open_secret, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_missing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_mixed_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_renewed, set_up, tear_down),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
