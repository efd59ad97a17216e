#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/service/plan.h"

/* Service sets as text: "1:rr:a1,b2 2:mh:" are the services on ports 1 and 2, the first with the
 * real servers a, weight 1, and b, weight 2; "b0/3": mh remembers weight 3 of it, "b0/?": any.
 * Plans as text: "+1 ~1 -1" add, edit, delete service 1, "=1" has it scheduled by rr; "+1a ~1a -1a
 * >1a *1a" add, edit, delete, move its real server a, and let mh remember its weight. */
static struct service_set parse(const char *text)
{
	struct service_set set = {0};

	while (*text) {
		struct service service = {.netmask = UINT32_MAX};

		service.key.protocol = IPPROTO_TCP;
		service.key.vip.ip.family = AF_INET;
		service.key.vip.port = (uint16_t)strtoul(text, (char **)&text, 10);
		text++;
		snprintf(service.scheduler, sizeof(service.scheduler), "%.*s",
			 (int)strcspn(text, ":"), text);
		text += strcspn(text, ":") + 1;
		while (*text >= 'a') {
			struct real_server real = {.forwarding = FORWARDING_DIRECT};

			real.endpoint.ip.family = AF_INET;
			real.endpoint.ip.bytes[3] = (uint8_t)*text++;
			real.weight = (uint32_t)strtoul(text, (char **)&text, 10);
			if (strncmp(text, "/?", 2) == 0) {
				real.table_weight = SERVICE_TABLE_UNKNOWN;
				text += 2;
			} else if (*text == '/') {
				real.table_weight = (uint32_t)strtoul(text + 1, (char **)&text, 10);
			}
			assert_non_null(service_add(&service, &real));
			text += *text == ',';
		}
		text += *text == ' ';
		assert_non_null(service_set_add(&set, &service));
		service_fini(&service);
	}
	return set;
}

static void format(const struct plan *plan, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_op *op = &plan->ops[i];

		used += (size_t)snprintf(text + used, size - used, "%s%c%u", i ? " " : "",
					 "+~-=+~->*"[op->kind], op -> service -> key.vip.port);
		if (op->real)
			used += (size_t)snprintf(text + used, size - used, "%c",
						 op->real->endpoint.ip.bytes[3]);
	}
}

static void test_cases(void **state)
{
	static const struct {
		const char *actual, *desired, *owned, *plan;
	} cases[] = {
		{"", "", "", ""},
		{"", "1:rr:a1,b1", "", "+1 +1a +1b"},
		{"1:rr:a1,b1", "1:rr:a1,b1", "1::", ""},
		{"1:rr:b1,a1", "1:rr:a1,b1", "1::", ""},
		{"1:rr:a1,b1", "1:rr:a1,b2", "1::", "~1b"},
		{"1:rr:a1,b1", "1:wrr:a1,b1", "1::", "~1"},
		{"1:rr:a1,b1", "1:rr:b1,c1", "1::", "+1c -1a"},
		{"1:rr:a1,b1", "1:lc:b2,c1", "1::", "~1 ~1b +1c -1a"},
		{"1:rr:a1", "1:rr:", "1::", "-1a"},
		/* Ours, and others'. */
		{"1:rr:a1 2:rr:a1", "2:rr:a1", "1:: 2::", "-1"},
		{"1:rr:a1 2:rr:a1", "2:rr:a1", "2::", ""},
		{"1:rr:a1 2:rr:a1 3:rr:a1", "", "2:: 9::", "-2"},
		{"1:rr:a1 3:rr:a1", "2:rr:b1 3:rr:b1", "1::", "+2 +2b +3b -3a -1"},
		{"2:rr:a1", "1:rr:a1 3:rr:a1", "", "+1 +1a +3 +3a"},
		/* A table of many is made once. */
		{"", "1:mh:a1,b1,c1,d1,e1,f1,g1,h1,i1,j1,k1,l1,m1,n1,o1,p1", "",
		 "+1 =1 +1a +1b +1c +1d +1e +1f +1g +1h +1i +1j +1k +1l +1m +1n +1o +1p ~1"},
		{"", "1:rr:a1,b1,c1,d1,e1,f1,g1,h1,i1,j1,k1,l1,m1,n1,o1,p1", "",
		 "+1 +1a +1b +1c +1d +1e +1f +1g +1h +1i +1j +1k +1l +1m +1n +1o +1p"},
		/* The order of adding matters. */
		{"1:mh:a1,b1,c1", "1:mh:a1,b1,c1", "1::", ""},
		{"1:mh:b1,a1", "1:mh:a1,b1", "1::", ">1b"},
		{"1:mh:a1,c1", "1:mh:a1,b1,c1", "1::", "+1b >1c"},
		{"1:mh:b1,c1", "1:mh:a1,b1,c1", "1::", "+1a >1b >1c"},
		{"1:mh:a1,b1", "1:mh:a1,b1,c1", "1::", "+1c"},
		{"1:mh:a1,b1,c1", "1:mh:a1,c1", "1::", "-1b"},
		{"1:mh:a1,b1,c1", "1:mh:d1,e1", "1::", "+1d +1e -1a -1b -1c"},
		{"1:mh:a1,x1,b1", "1:mh:a1,b2", "1::", "~1b -1x"},
		{"1:sh:b1,a1", "1:sh:a1,b1", "1::", ">1b"},
		{"1:dh:b1,a1", "1:dh:a1,b1", "1::", ">1b"},
		{"1:rr:b1,a1", "1:mh:a1,b1", "1::", "~1 >1b"},
		{"1:mh:b1,a1", "1:rr:a1,b1", "1::", "~1"},
		/* mh remembers the last weight above 0. */
		{"1:mh:a1,b1,c1", "1:mh:a5,b5,c5", "1::", "~1a ~1b ~1c"},
		{"1:mh:a1,b1,c1", "1:mh:a1,b0,c1", "1::", ">1b"},
		{"1:mh:a1,c1,b0", "1:mh:a1,b0,c1", "1::", ""},
		{"1:mh:a1,c1,b0", "1:mh:a1,b7,c1", "1::", "~1b >1c"},
		{"1:mh:a1,c1,b0", "1:mh:a1,b7,c2", "1::", "~1b >1c"},
		{"1:mh:b0,c0", "1:mh:a1,b0,c0", "1::", "+1a"},
		{"1:mh:a1,b0,c1", "1:mh:a1,b0,c1", "1::", ""},
		{"1:mh:a1,b0,c1", "1:mh:a1,b7,c1", "1::", "~1b"},
		{"1:sh:a1,b1,c1", "1:sh:a1,b0,c1", "1::", "~1b"},
		{"1:rr:a1,b0", "1:mh:a1,b0", "1::", "~1 >1b"},
		/* It is to remember it. */
		{"1:mh:a1,b5,c1", "1:mh:a1,b0/5,c1", "1::", "~1b"},
		{"1:mh:a1,b5,c1", "1:mh:a1,b0/6,c1", "1::", "*1b"},
		{"1:mh:a1,b0/5,c1", "1:mh:a1,b0/5,c1", "1::", ""},
		{"1:mh:a1,b0/5,c1", "1:mh:a1,b0/6,c1", "1::", "*1b"},
		{"1:mh:a1,b0/?,c1", "1:mh:a1,b0/5,c1", "1::", "*1b"},
		{"1:mh:a1,b0/?,c1", "1:mh:a1,b0,c1", "1::", ">1b"},
		{"1:mh:a1,b0/5,c1", "1:mh:a1,b0,c1", "1::", ">1b"},
		{"1:mh:a1,b0/5,c1", "1:mh:a1,b5,c1", "1::", "~1b"},
		{"1:mh:a1,c1", "1:mh:a1,b0/5,c1", "1::", "+1b >1c"},
		{"1:mh:b0/5,a1", "1:mh:a1,b0/5", "1::", ">1b"},
		{"1:rr:a1,b0", "1:mh:a1,b0/5", "1::", "~1 *1b"},
		{"1:mh:a1,b0/5", "1:rr:a1,b0", "1::", "~1"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct service_set actual = parse(cases[i].actual);
		struct service_set desired = parse(cases[i].desired);
		struct service_set ours = parse(cases[i].owned);
		struct service_keys owned;
		struct plan plan;
		char text[256];

		assert_int_equal(plan_keys_join(&(struct service_keys){0}, &ours, &owned), 0);
		assert_int_equal(plan_new(&actual, &desired, &owned, &plan), 0);
		format(&plan, text, sizeof(text));
		if (strcmp(text, cases[i].plan) != 0)
			fail_msg("%s -> %s: %s, expected %s", cases[i].actual, cases[i].desired,
				 text, cases[i].plan);
		plan_fini(&plan);
		plan_keys_fini(&owned);
		service_set_fini(&actual);
		service_set_fini(&desired);
		service_set_fini(&ours);
	}
}

/* One service as the kernel keeps it: a list in the order of adding, and the weights mh sees. */
struct kernel {
	char scheduler[SERVICE_SCHEDULER_MAX + 1];
	unsigned int count;
	struct {
		uint8_t name;
		uint32_t weight, last_weight;
	} reals[32];
};

static unsigned int kernel_find(const struct kernel *kernel, uint8_t name)
{
	unsigned int i = 0;

	while (i < kernel->count && kernel->reals[i].name != name)
		i++;
	return i;
}

static void kernel_delete(struct kernel *kernel, uint8_t name)
{
	unsigned int i = kernel_find(kernel, name);

	assert_true(i < kernel->count);
	kernel->count--;
	memmove(&kernel->reals[i], &kernel->reals[i + 1],
		(kernel->count - i) * sizeof(kernel->reals[0]));
}

static void kernel_apply(struct kernel *kernel, const struct plan_op *op)
{
	uint8_t name = op->real ? op->real->endpoint.ip.bytes[3] : 0;
	unsigned int i = kernel_find(kernel, name);

	switch (op->kind) {
	case PLAN_ADD_SERVICE:
	case PLAN_EDIT_SERVICE:
		snprintf(kernel->scheduler, sizeof(kernel->scheduler), "%s",
			 op->service->scheduler);
		break;
	case PLAN_DELETE_REAL:
		kernel_delete(kernel, name);
		break;
	case PLAN_SHARE_REAL:
	case PLAN_EDIT_REAL:
		assert_true(i < kernel->count);
		if (op->kind == PLAN_SHARE_REAL)
			kernel->reals[i].last_weight = op->real->table_weight;
		kernel->reals[i].weight = op->real->weight;
		if (op->real->weight != 0)
			kernel->reals[i].last_weight = op->real->weight;
		break;
	case PLAN_MOVE_REAL:
		kernel_delete(kernel, name);
		assert_int_equal(kernel_find(kernel, name), kernel->count);
		/* fall through */
	case PLAN_ADD_REAL:
		assert_int_equal(kernel_find(kernel, name), kernel->count);
		kernel->reals[kernel->count].name = name;
		kernel->reals[kernel->count].weight = op->real->weight;
		kernel->reals[kernel->count++].last_weight = service_real_share(op->real);
		break;
	default:
		fail_msg("unexpected %s", plan_kind_name(op->kind));
	}
}

static struct service_set kernel_dump(const struct kernel *kernel)
{
	char text[512];
	size_t used = 0;

	if (kernel->scheduler[0] == '\0')
		return (struct service_set){0};
	used = (size_t)snprintf(text, sizeof(text), "1:%s:", kernel->scheduler);
	for (unsigned int i = 0; i < kernel->count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%c%u/%u,",
					 kernel->reals[i].name, kernel->reals[i].weight,
					 kernel->reals[i].last_weight);
	return parse(text);
}

static struct service_set random_set(uint32_t *seed)
{
	static const char *const schedulers[] = {"rr", "mh", "mh", "mh", "sh"};
	char text[256];
	size_t used;

	*seed = *seed * 1103515245 + 12345;
	used = (size_t)snprintf(text, sizeof(text), "1:%s:", schedulers[(*seed >> 16) % 5]);
	for (char name = 'a'; name < 'j'; name++) {
		*seed = *seed * 1103515245 + 12345;
		if ((*seed >> 16) % 3 != 0)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%c%u/%u,", name,
						 (*seed >> 20) % 4, (*seed >> 22) % 3);
	}
	return parse(text);
}

static void apply(struct kernel *kernel, const struct service_set *desired)
{
	struct service_set actual = kernel_dump(kernel);
	bool had = kernel->count > 0 && desired->services[0].n_real_servers > 0;
	struct plan plan;

	assert_int_equal(plan_new(&actual, desired, &(struct service_keys){0}, &plan), 0);
	for (size_t i = 0; i < plan.count; i++) {
		kernel_apply(kernel, &plan.ops[i]);
		assert_true(!had || kernel->count > 0);
	}
	plan_fini(&plan);
	service_set_fini(&actual);

	actual = kernel_dump(kernel);
	assert_int_equal(plan_new(&actual, desired, &(struct service_keys){0}, &plan), 0);
	assert_int_equal(plan.count, 0);
	plan_fini(&plan);
	service_set_fini(&actual);
}

/* The real servers of which mh makes its table, sh of all. */
static void keep_shares(struct kernel *kernel)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < kernel->count; i++)
		if (kernel->reals[i].last_weight || strcmp(kernel->scheduler, "mh") != 0)
			kernel->reals[kept++] = kernel->reals[i];
	kernel->count = kept;
}

/* A director with a history ends like one that has just started. */
static void test_history(void **state)
{
	struct kernel old = {0};
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct service_set desired = random_set(&seed);
		struct kernel fresh = {0}, was;

		apply(&old, &desired);
		apply(&fresh, &desired);
		was = old;
		assert_string_equal(was.scheduler, fresh.scheduler);
		assert_int_equal(was.count, fresh.count);
		keep_shares(&was);
		keep_shares(&fresh);
		assert_int_equal(was.count, fresh.count);
		for (unsigned int i = 0; i < was.count; i++) {
			unsigned int same = service_is_ordered(&desired.services[0])
						    ? i
						    : kernel_find(&fresh, was.reals[i].name);

			assert_int_equal(was.reals[i].name, fresh.reals[same].name);
			assert_int_equal(was.reals[i].weight, fresh.reals[same].weight);
			if (strcmp(was.scheduler, "mh") == 0)
				assert_int_equal(was.reals[i].last_weight,
						 fresh.reals[same].last_weight);
		}
		service_set_fini(&desired);
	}
}

static void test_keys(void **state)
{
	struct service_set one = parse("1:rr: 3:rr:"), two = parse("2:rr: 3:rr: 4:rr:");
	struct service_keys keys, both;
	static const uint16_t ports[] = {1, 2, 3, 4};

	(void)state;
	assert_int_equal(plan_keys_join(&(struct service_keys){0}, &one, &keys), 0);
	assert_int_equal(plan_keys_join(&keys, &two, &both), 0);
	assert_int_equal(both.count, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(both.keys[i].vip.port, ports[i]);
	assert_true(plan_keys_has(&keys, &one.services[1].key));
	assert_false(plan_keys_has(&keys, &two.services[0].key));
	plan_keys_fini(&keys);
	plan_keys_fini(&both);
	service_set_fini(&one);
	service_set_fini(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_history),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
