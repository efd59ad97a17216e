#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "director/kernel/kernel_facts.h"
#include "proto/base.h"

static void test_ftp(void **state)
{
	static const struct {
		const char *release, *version;
		bool damaged;
	} kernels[] = {
		{"6.1.0-50-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-01)", true},
		{"6.1.0-56-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-01)", false},
		{"6.12.107+deb12-amd64", "#1 SMP Debian 6.12.107-1~bpo12+1 (2026-09-01)", true},
		{"6.12.111+deb12-amd64", "#1 SMP Debian 6.12.111-1~bpo12+1 (2026-10-01)", false},
		{"6.1.176", "#1 Mon Nov 23", true},
		{"5.15.0-100-generic", "#110-Ubuntu SMP", true},
		{"6.8.0-31-generic", "#31-Ubuntu SMP", true},
		{"6.18.1", "#1", false},
		{"7.1.0", "#1", false},
		{"nonsense", "#1", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kernels); i++)
		assert_int_equal(kernel_facts_damage_ftp(kernels[i].release, kernels[i].version),
				 kernels[i].damaged);
}

static void test_table(void **state)
{
	(void)state;
	assert_int_equal(kernel_facts_table_size(4096, "12\n"), 4096);
	assert_int_equal(kernel_facts_table_size(256, "20\n"), 1 << 20); /* it grows */
	assert_int_equal(kernel_facts_table_size(256, NULL), 256);
	assert_int_equal(kernel_facts_table_size(256, ""), 256);
	assert_int_equal(kernel_facts_table_size(256, "99\n"), 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ftp),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
