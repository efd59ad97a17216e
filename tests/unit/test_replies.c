/* Settings for replies whose source is a VIP, in a tree of files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "director/kernel/replies.h"
#include "tests/scratch.h"

struct tree {
	struct scratch scratch;
	char root[128]; /* below the scratch */
	struct replies replies;
	struct replies_changes changes;
};

static void file_path(const struct tree *tree, const char *name, char *path)
{
	snprintf(path, PATH_MAX, "%s/%s", tree->root, name);
}

static void put(const struct tree *tree, const char *name, const char *value)
{
	char path[PATH_MAX];
	FILE *file;

	file_path(tree, name, path);
	for (char *slash = path + strlen(tree->root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "%s\n", value);
	fclose(file);
}

static void assert_value(const struct tree *tree, const char *name, int expected)
{
	char path[PATH_MAX];
	FILE *file;
	int value;

	file_path(tree, name, path);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%d", &value), 1);
	fclose(file);
	if (value != expected)
		fail_msg("%s is %d, expected %d", name, value, expected);
}

#define CONF "net/ipv4/conf/"

static int setup(void **state)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	scratch_init(&tree->scratch);
	strcpy(tree->root, scratch_path(&tree->scratch, "sys"));
	mkdir(tree->root, 0755);
	put(tree, "kernel/random/boot_id", "boot");
	put(tree, CONF "all/rp_filter", "0");
	put(tree, CONF "eth0/rp_filter", "1");
	put(tree, CONF "eth0/accept_local", "0");
	put(tree, CONF "vlan.7/rp_filter", "0");
	put(tree, CONF "vlan.7/accept_local", "0");
	*state = tree;
	return 0;
}

static int teardown(void **state)
{
	struct tree *tree = *state;

	scratch_fini(&tree->scratch);
	free(tree);
	return 0;
}

static void set(struct tree *tree, const char *first, const char *second)
{
	struct replies_interfaces interfaces = {.count = 0};

	if (first)
		snprintf(interfaces.names[interfaces.count++], IF_NAMESIZE, "%s", first);
	if (second)
		snprintf(interfaces.names[interfaces.count++], IF_NAMESIZE, "%s", second);
	assert_int_equal(replies_set(&tree->replies, tree->root, tree->scratch.dir, &interfaces,
				     &tree->changes),
			 0);
}

static void test_set(void **state)
{
	struct tree *tree = *state;

	set(tree, "eth0", "vlan.7");
	assert_value(tree, CONF "eth0/accept_local", 1);
	assert_value(tree, CONF "eth0/rp_filter", 2);
	assert_value(tree, CONF "vlan.7/accept_local", 1);
	/* One that does not filter is left alone. */
	assert_value(tree, CONF "vlan.7/rp_filter", 0);
	assert_int_equal(tree->changes.count, 0);
	/* A foreign change is put back, and told. */
	put(tree, CONF "vlan.7/accept_local", "0");
	set(tree, "vlan.7", "eth0");
	assert_int_equal(tree->changes.count, 1);
	assert_string_equal(tree->changes.changes[0].what, "net.ipv4.conf.vlan.7.accept_local");
	assert_string_equal(tree->changes.changes[0].was, "was set to 0");
	assert_value(tree, CONF "vlan.7/accept_local", 1);
	/* An interface that is not needed any more gets its values back. */
	set(tree, "vlan.7", NULL);
	assert_value(tree, CONF "eth0/accept_local", 0);
	assert_value(tree, CONF "eth0/rp_filter", 1);
	assert_value(tree, CONF "vlan.7/accept_local", 1);
	set(tree, NULL, NULL);
	assert_value(tree, CONF "vlan.7/accept_local", 0);
	assert_value(tree, CONF "all/rp_filter", 0);
}

/* After a crash with another configuration, what is not needed any more is put back. */
static void test_after_a_crash_elsewhere(void **state)
{
	struct tree *tree = *state;

	set(tree, "eth0", "vlan.7");
	tree->replies = (struct replies){.count = 0};
	set(tree, "vlan.7", NULL);
	assert_value(tree, CONF "eth0/accept_local", 0);
	assert_value(tree, CONF "eth0/rp_filter", 1);
	assert_value(tree, CONF "vlan.7/accept_local", 1);
	tree->replies = (struct replies){.count = 0};
	set(tree, NULL, NULL);
	assert_value(tree, CONF "vlan.7/accept_local", 0);
}

/* After a crash our own values are not taken for the operator's. */
static void test_after_a_crash(void **state)
{
	struct tree *tree = *state;

	put(tree, CONF "all/rp_filter", "1");
	put(tree, CONF "vlan.7/rp_filter", "0");
	set(tree, "vlan.7", NULL);
	assert_value(tree, CONF "vlan.7/rp_filter", 2);
	tree->replies = (struct replies){.count = 0};
	set(tree, "vlan.7", NULL);
	assert_int_equal(tree->changes.count, 0);
	assert_int_equal(replies_restore(&tree->replies, tree->root, tree->scratch.dir), 0);
	assert_value(tree, CONF "vlan.7/rp_filter", 0);
	assert_value(tree, CONF "vlan.7/accept_local", 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_set, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after_a_crash, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after_a_crash_elsewhere, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
