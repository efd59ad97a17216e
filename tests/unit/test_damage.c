/* Every file that a director keeps, with each of its bits flipped and cut at each length: no loader
 * takes a value for true that was not written, and none crashes. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "director/kernel/owned.h"
#include "director/kernel/vs_sysctl.h"
#include "membership/membership.h"
#include "proto/epoch.h"
#include "proto/identity/identity_file.h"
#include "proto/state_file.h"
#include "tests/identity_fixture.h"
#include "tests/scratch.h"

#define SIZE 8192

static struct scratch scratch;
static uint8_t whole[SIZE], data[SIZE];
static size_t len;

/* Was the file refused, or read as what it was? */
typedef bool judge(void);

static void put(const char *name, size_t length)
{
	scratch_write(&scratch, name, data, length);
	chmod(scratch_path(&scratch, name), 0600);
}

static void damage(const char *name, judge *harmless)
{
	len = scratch_read(&scratch, name, whole, sizeof(whole));
	assert_in_range(len, 1, SIZE - 1);
	assert_true(harmless());
	for (size_t bit = 0; bit < 8 * len; bit++) {
		memcpy(data, whole, len);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		put(name, len);
		if (!harmless())
			fail_msg("%s: bit %zu flipped is taken", name, bit);
	}
	memcpy(data, whole, len);
	for (size_t cut = 0; cut < len; cut++) {
		put(name, cut);
		if (!harmless())
			fail_msg("%s: %zu of %zu bytes are taken", name, cut, len);
	}
}

static bool state_file_harmless(void)
{
	struct fault fault;
	uint8_t *text = NULL;
	size_t length = 0;
	bool same;
	int r = state_file_load(scratch.dir, "some", SIZE, &text, &length, &fault);

	same = length == 5 && memcmp(text, "hello", 6) == 0;
	free(text);
	return r == STATE_FILE_E_DAMAGED || (r == 0 && same);
}

static void test_state_file(void **state)
{
	struct fault fault;
	uint8_t *text;
	size_t length;

	(void)state;
	assert_int_equal(state_file_load(scratch.dir, "none", SIZE, &text, &length, &fault),
			 -ENOENT);
	assert_int_equal(state_file_save(scratch.dir, "some", 0600, "hello", 5, &fault), 0);
	assert_int_equal(state_file_load(scratch.dir, "some", SIZE, &text, &length, &fault), 0);
	free(text);
	damage("some", state_file_harmless);
}

static bool epoch_harmless(void)
{
	struct fault fault;
	uint64_t epoch = 0;
	int r = epoch_next(scratch.dir, 0, &epoch, &fault);

	return r == -EBADMSG || (r == 0 && epoch == 1800000002);
}

static void test_epoch(void **state)
{
	struct fault fault;
	uint64_t epoch;

	(void)state;
	assert_int_equal(epoch_next(scratch.dir, (usec_t)1800000000 * USEC_PER_SEC, &epoch, &fault),
			 0);
	damage("epoch", epoch_harmless);
	/* As an older program wrote it. */
	scratch_write(&scratch, "epoch", "1800000001\n", 11);
	assert_true(epoch_harmless());
	assert_int_equal(epoch_next(scratch.dir, 0, &epoch, &fault), 0);
	assert_int_equal(epoch, 1800000003);
}

static struct service_key key = {
	.protocol = IPPROTO_TCP,
	.vip = {.ip = {.family = AF_INET, .bytes = {192, 0, 2, 1}}, .port = 80},
};

static bool owned_harmless(void)
{
	struct service_keys keys = {0};
	int r = owned_load(scratch.dir, &keys);
	bool same = keys.count == 1 && service_key_compare(&keys.keys[0], &key) == 0;

	plan_keys_fini(&keys);
	return r == -EBADMSG || (r == 0 && same);
}

static void test_owned(void **state)
{
	struct service_keys keys = {.keys = &key, .count = 1};

	(void)state;
	assert_int_equal(owned_save(scratch.dir, &keys), 0);
	damage("services", owned_harmless);
}

static const struct vs_sysctl settings[] = {{.name = "sloppy_tcp", .value = "1"},
					    {.name = "sync_threshold", .value = "0 0"}};

static int set_settings(bool *ret_restored)
{
	static const char values[] = "sys/net/ipv4/vs/sync_threshold";
	char root[PATH_MAX], save[PATH_MAX], text[16] = "";
	const struct vs_sysctl_paths paths = {root, "net/ipv4/vs", save};
	const char *failed;
	int r;

	strcpy(root, scratch_path(&scratch, "sys"));
	strcpy(save, scratch_path(&scratch, "saved"));
	scratch_write(&scratch, values, "0\t0\n", 4);
	r = vs_sysctl_set(&paths, settings, ARRAY_SIZE(settings), &failed);
	assert_int_equal(vs_sysctl_restore(&paths, settings, ARRAY_SIZE(settings)), 0);
	scratch_read(&scratch, values, text, sizeof(text) - 1);
	*ret_restored = strcmp(text, "3 50") == 0;
	return r;
}

static bool sysctl_harmless(void)
{
	bool restored;
	int r = set_settings(&restored);

	return r == VS_SYSCTL_E_DAMAGED ? !restored : r == 0 && restored;
}

static void test_sysctl(void **state)
{
	static const char *const dirs[] = {"sys",          "sys/net",
					   "sys/net/ipv4", "sys/net/ipv4/vs",
					   "sys/kernel",   "sys/kernel/random"};
	static const char text[] = "boot-1\nsloppy_tcp 0\nsync_threshold 3 50\n";
	struct fault fault;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		assert_int_equal(mkdir(scratch_path(&scratch, dirs[i]), 0700), 0);
	scratch_write(&scratch, "sys/kernel/random/boot_id", "boot-1\n", 7);
	scratch_write(&scratch, "sys/net/ipv4/vs/sloppy_tcp", "1\n", 2);
	assert_int_equal(state_file_save(scratch.dir, "saved", 0600, text, strlen(text), &fault),
			 0);
	damage("saved", sysctl_harmless);
}

/* X25519 ignores five bits of its secret: the public half tells whether two are the same. */
static bool same_keys(const struct identity *a, const struct identity *b)
{
	uint8_t box_a[BOX_KEY_SIZE], box_b[BOX_KEY_SIZE];

	crypto_scalarmult_base(box_a, a->box_secret);
	crypto_scalarmult_base(box_b, b->box_secret);
	return memcmp(box_a, box_b, sizeof(box_a)) == 0 &&
	       memcmp(a->sign_secret, b->sign_secret, sizeof(a->sign_secret)) == 0 &&
	       memcmp(a->cluster_key, b->cluster_key, sizeof(a->cluster_key)) == 0;
}

static bool identity_harmless(void)
{
	static struct identity want, got;
	struct fault fault;
	int r = identity_file_load(scratch.dir, &got, &fault);

	fixture_identity(1, 1, &want);
	return r == -EBADMSG ||
	       (r == 0 && same_keys(&want, &got) && want.certificate.len == got.certificate.len &&
		memcmp(want.certificate.bytes, got.certificate.bytes, want.certificate.len) == 0);
}

static void test_identity(void **state)
{
	static const char *const names[] = {"key", "certificate", "cluster.pub"};
	static struct identity identity;
	struct fault fault;

	(void)state;
	fixture_identity(1, 1, &identity);
	assert_int_equal(identity_file_save(scratch.dir, &identity, &fault), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		damage(names[i], identity_harmless);
		put(names[i], len);
	}
}

static struct identity us, peer;

static struct membership *start(const struct identity *identity, const uint8_t *roster,
				size_t length)
{
	struct membership_options options = {
		.identity = identity,
		.epoch = 7,
		.profile = membership_default,
		.addresses = {{.ip = {.family = AF_INET, .bytes = {10, 0, 0, 1}}, .port = 7946}},
		.address_count = 1,
		.versions = VERSION_RANGE,
		.roster = roster,
		.roster_len = length,
		.now = {.mono = USEC_PER_SEC, .wall = FIXTURE_WALL},
	};
	struct membership *m = NULL;

	membership_new(&options, &m);
	return m;
}

/* The core alone, without the file's sum: every member of the roster was in it before, with the
 * statements that it has signed. */
static bool core_harmless(const uint8_t *roster, size_t length)
{
	struct membership *m = start(&us, roster, length);
	struct member_info info;
	unsigned int cursor = 0;
	bool ok = true;

	while (m && membership_walk(m, &cursor, &info))
		ok &= info.id == peer.id && (info.epoch == 0 || info.epoch == 7);
	membership_free(m);
	return ok;
}

static bool roster_harmless(void)
{
	struct fault fault;
	uint8_t *roster = NULL;
	size_t length = 0;
	int r = state_file_load(scratch.dir, "roster", SIZE, &roster, &length, &fault);
	bool ok = r >= 0 && core_harmless(roster, length);

	free(roster);
	return ok && (r > 0 || length == len - STATE_FILE_SUM);
}

/* A stream of the other's, as far as our State. */
static void exchange(struct membership *m, const struct identity *other, uint8_t *frame,
		     size_t *ret_len)
{
	struct membership_event event = {.type = MEMBERSHIP_STREAM_OPENED,
					 .stream = 20,
					 .peer = &other->certificate,
					 .peer_epoch = 7,
					 .kind = MEMBERSHIP_KIND_DIGEST,
					 .data = frame,
					 .now = {2 * USEC_PER_SEC, FIXTURE_WALL}};
	static struct membership_update update;
	uint8_t kind;

	membership_step(m, &event, &update);
	event.type = MEMBERSHIP_STREAM_FRAME;
	membership_step(m, &event, &update);
	assert_int_equal(membership_frame(m, 20, frame, &kind, ret_len), 0);
	assert_int_equal(kind, MEMBERSHIP_KIND_STATE);
}

static void test_roster(void **state)
{
	static uint8_t frame[MEMBERSHIP_BODY_MAX], roster[SIZE];
	static struct membership_update update;
	struct membership_event event = {.type = MEMBERSHIP_STREAM_FRAME,
					 .stream = 20,
					 .kind = MEMBERSHIP_KIND_STATE,
					 .data = frame,
					 .now = {3 * USEC_PER_SEC, FIXTURE_WALL}};
	struct fault fault;
	struct membership *them, *m;
	size_t length;

	(void)state;
	fixture_identity(1, 1, &us);
	fixture_identity(1, 2, &peer);
	them = start(&peer, NULL, 0);
	m = start(&us, NULL, 0);
	exchange(m, &peer, frame, &length);
	exchange(them, &us, frame, &event.len);
	membership_step(m, &event, &update);
	length = membership_roster(m, roster, sizeof(roster));
	assert_in_range(length, 200, SIZE);
	membership_free(m);
	membership_free(them);
	assert_true(core_harmless(roster, length));
	for (size_t bit = 0; bit < 8 * length; bit++) {
		roster[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(core_harmless(roster, length));
		roster[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t cut = 0; cut < length; cut++)
		assert_true(core_harmless(roster, cut));
	assert_int_equal(state_file_save(scratch.dir, "roster", 0600, roster, length, &fault), 0);
	damage("roster", roster_harmless);
}

static int set_up(void **state)
{
	(void)state;
	scratch_init(&scratch);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	scratch_fini(&scratch);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_state_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_epoch, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_owned, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sysctl, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_identity, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_roster, set_up, tear_down),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
