#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "director/kernel/vs_sysctl.h"
#include "proto/state_file.h"
#include "tests/scratch.h"

#define VS "sys/net/ipv4/vs/"
#define BOOT "sys/kernel/random/boot_id"

static const struct vs_sysctl settings[] = {
	{.name = "sloppy_tcp", .value = "1"},
	{.name = "sync_threshold", .value = "0 0"},
	{.name = "sync_ports", .value = "1"},
};

struct fixture {
	struct scratch scratch;
	char root[PATH_MAX], save[PATH_MAX];
	struct vs_sysctl_paths paths;
};

static void put(struct fixture *fixture, const char *name, const char *text)
{
	scratch_write(&fixture->scratch, name, text, strlen(text));
}

static void put_saved(struct fixture *fixture, const char *text)
{
	struct fault fault;

	assert_int_equal(
		state_file_save(fixture->scratch.dir, "saved", 0644, text, strlen(text), &fault),
		0);
}

static void assert_is(struct fixture *fixture, const char *name, const char *want)
{
	char text[128];

	text[scratch_read(&fixture->scratch, name, text, sizeof(text) - 1)] = '\0';
	assert_string_equal(text, want);
}

static int setup(void **state)
{
	static const char *const dirs[] = {"sys",          "sys/net",
					   "sys/net/ipv4", "sys/net/ipv4/vs",
					   "sys/kernel",   "sys/kernel/random"};
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	scratch_init(&fixture->scratch);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (mkdir(scratch_path(&fixture->scratch, dirs[i]), 0700) < 0)
			abort();
	strcpy(fixture->root, scratch_path(&fixture->scratch, "sys"));
	strcpy(fixture->save, scratch_path(&fixture->scratch, "saved"));
	fixture->paths = (struct vs_sysctl_paths){fixture->root, "net/ipv4/vs", fixture->save};
	put(fixture, BOOT, "boot-1\n");
	put(fixture, VS "sloppy_tcp", "0\n");
	put(fixture, VS "sync_threshold", "3\t50\n");
	put(fixture, VS "sync_ports", "1\n");
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	scratch_fini(&fixture->scratch);
	free(fixture);
	return 0;
}

static int set(struct fixture *fixture)
{
	const char *failed;

	return vs_sysctl_set(&fixture->paths, settings, ARRAY_SIZE(settings), &failed);
}

static int restore(struct fixture *fixture)
{
	return vs_sysctl_restore(&fixture->paths, settings, ARRAY_SIZE(settings));
}

static void assert_ours(struct fixture *fixture)
{
	assert_is(fixture, VS "sloppy_tcp", "1");
	assert_is(fixture, VS "sync_threshold", "0 0");
}

static void assert_theirs(struct fixture *fixture)
{
	assert_is(fixture, VS "sloppy_tcp", "0");
	assert_is(fixture, VS "sync_threshold", "3 50");
	assert_int_equal(access(fixture->save, F_OK), -1);
}

static void test_set_and_restore(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(set(fixture), 0);
	assert_ours(fixture);
	assert_is(fixture, "saved",
		  "boot-1\nsloppy_tcp 0\nsync_threshold 3 50\nsum a7fac6ce95d774b4\n");
	assert_int_equal(restore(fixture), 0);
	assert_theirs(fixture);
}

/* Killed, and started again: what is there now is our own. */
static void test_after_a_crash(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(set(fixture), 0);
	assert_int_equal(set(fixture), 0);
	assert_int_equal(restore(fixture), 0);
	assert_theirs(fixture);
}

/* The file has outlived the kernel that it speaks of. */
static void test_after_a_reboot(void **state)
{
	struct fixture *fixture = *state;

	put_saved(fixture, "boot-0\nsloppy_tcp 7\nsync_threshold 9 9\n");
	assert_int_equal(set(fixture), 0);
	assert_int_equal(restore(fixture), 0);
	assert_theirs(fixture);
}

static void test_what_others_set_stays(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(set(fixture), 0);
	put(fixture, VS "sync_threshold", "5\t5\n");
	assert_int_equal(restore(fixture), 0);
	assert_is(fixture, VS "sloppy_tcp", "0");
	assert_is(fixture, VS "sync_threshold", "5\t5\n");
}

static void test_missing_setting(void **state)
{
	struct fixture *fixture = *state;
	const char *failed = NULL;

	unlink(scratch_path(&fixture->scratch, VS "sync_threshold"));
	assert_int_equal(vs_sysctl_set(&fixture->paths, settings, ARRAY_SIZE(settings), &failed),
			 -ENOENT);
	assert_string_equal(failed, "sync_threshold");
	/* No setting was changed before all were read. */
	assert_is(fixture, VS "sloppy_tcp", "0\n");
	assert_int_equal(restore(fixture), 0);
}

static void test_no_state_directory(void **state)
{
	struct fixture *fixture = *state;
	const char *failed = "x";

	fixture->paths.save = "/proc/nonexistent/saved";
	assert_int_equal(vs_sysctl_set(&fixture->paths, settings, ARRAY_SIZE(settings), &failed),
			 -ENOENT);
	assert_null(failed);
	assert_is(fixture, VS "sloppy_tcp", "0\n");
}

static void test_garbage_in_the_file(void **state)
{
	struct fixture *fixture = *state;

	put_saved(fixture, "boot-1\nsloppy_tcp 2\nnonsense\n");
	assert_int_equal(set(fixture), VS_SYSCTL_E_DAMAGED);
	assert_ours(fixture);
	/* All were set before they were saved again: only those that differed are put back. */
	assert_int_equal(restore(fixture), 0);
	assert_theirs(fixture);
}

struct change {
	char name[32], was[VS_SYSCTL_VALUE];
	int r;
	unsigned int count;
};

static void changed(void *ctx, const struct vs_sysctl *setting, const char *was, int r)
{
	struct change *change = ctx;

	strcpy(change->name, setting->name);
	strcpy(change->was, was);
	change->r = r;
	change->count++;
}

static void test_keep(void **state)
{
	struct fixture *fixture = *state;
	struct change change = {.count = 0};

	assert_int_equal(set(fixture), 0);
	vs_sysctl_keep(&fixture->paths, settings, ARRAY_SIZE(settings), changed, &change);
	assert_int_equal(change.count, 0);
	put(fixture, VS "sync_threshold", "3\t50\n");
	vs_sysctl_keep(&fixture->paths, settings, ARRAY_SIZE(settings), changed, &change);
	assert_int_equal(change.count, 1);
	assert_int_equal(change.r, 0);
	assert_string_equal(change.name, "sync_threshold");
	assert_string_equal(change.was, "3 50");
	assert_is(fixture, VS "sync_threshold", "0 0");
	vs_sysctl_keep(&fixture->paths, settings, ARRAY_SIZE(settings), changed, &change);
	assert_int_equal(change.count, 1);
}

/* As in a user namespace from 6.11 on. */
static void test_read_only(void **state)
{
	struct fixture *fixture = *state;
	struct vs_sysctl wish[] = {{.name = "sync_sock_size", .value = "1", .optional = true},
				   {.name = "sloppy_tcp", .value = "1"}};
	struct change change = {.count = 0};
	const char *failed;

	assert_int_equal(symlink("/proc/sys/kernel/ostype",
				 scratch_path(&fixture->scratch, VS "sync_sock_size")),
			 0);
	assert_int_equal(vs_sysctl_set(&fixture->paths, wish, 2, &failed), 0);
	assert_is(fixture, VS "sloppy_tcp", "1");
	vs_sysctl_keep(&fixture->paths, wish, 2, changed, &change);
	assert_int_equal(change.count, 0);
	wish[0].optional = false;
	assert_int_equal(vs_sysctl_set(&fixture->paths, wish, 2, &failed), -EACCES);
	assert_string_equal(failed, "sync_sock_size");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_set_and_restore, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after_a_crash, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after_a_reboot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_others_set_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing_setting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_state_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage_in_the_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
