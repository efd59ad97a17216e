#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/service/held.h"
#include "director/service/wanted.h"

#define REALS 6
#define TURNS 20000

static struct real_server real_of(uint8_t name, uint32_t weight)
{
	struct real_server real = {.weight = weight};

	real.endpoint.ip.family = AF_INET;
	real.endpoint.ip.bytes[3] = name;
	real.endpoint.port = 80;
	return real;
}

/* Services with the real servers 2, 4, 6, 8, 10, 12, weights of 1 to 6, and the sorry server 7. */
static struct service_set file_of(const char *const *schedulers, size_t count, uint32_t flags)
{
	struct service_set set = {0};

	for (size_t i = 0; i < count; i++) {
		struct service service = {.flags = flags};
		struct service *added;

		service.key.vip.ip.family = AF_INET;
		service.key.vip.port = (uint16_t)(i + 1);
		snprintf(service.scheduler, sizeof(service.scheduler), "%s", schedulers[i]);
		service.sorry = real_of(7, 0);
		added = service_set_add(&set, &service);
		for (uint8_t j = 1; j <= REALS; j++) {
			struct real_server real = real_of((uint8_t)(2 * j), j);

			service_add(added, &real);
		}
	}
	return set;
}

/* "2:1 4:2/5": weight, and the weight that mh is to remember. */
static void assert_reals(const struct service *service, const char *expected)
{
	char text[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < service->n_real_servers; i++) {
		const struct real_server *real = &service->real_servers[i];

		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u:%u", i ? " " : "",
					 real->endpoint.ip.bytes[3], real->weight);
		if (real->table_weight)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "/%u",
						 real->table_weight);
	}
	assert_string_equal(text, expected);
}

static void test_edits(void **state)
{
	static const char *const schedulers[] = {"rr", "mh"};
	struct service_set file = file_of(schedulers, 2, SERVICE_MH_FALLBACK);
	struct wanted wanted;

	(void)state;
	assert_int_equal(wanted_init(&wanted, &file), 0);
	assert_reals(&wanted.set.services[0], "2:1 4:2 6:3 8:4 10:5 12:6");
	assert_ptr_equal(wanted.set.services[0].real_servers, file.services[0].real_servers);
	wanted_edit(&wanted, &(struct wanted_edit){.service = 0, .real = 1, .weight = 0});
	wanted_edit(&wanted, &(struct wanted_edit){.service = 0, .real = 5, .removed = true});
	assert_reals(&wanted.set.services[0], "2:1 4:0 6:3 8:4 10:5");
	wanted_edit(&wanted, &(struct wanted_edit){.service = 0, .sorry = true, .weight = 9});
	assert_reals(&wanted.set.services[0], "2:1 4:0 6:3 7:9 8:4 10:5");
	wanted_edit(&wanted, &(struct wanted_edit){.service = 0, .sorry = true, .removed = true});
	wanted_edit(&wanted, &(struct wanted_edit){.service = 0, .real = 1, .weight = 2});
	wanted_edit(&wanted, &(struct wanted_edit){.service = 0, .real = 5, .weight = 7});
	assert_reals(&wanted.set.services[0], "2:1 4:2 6:3 8:4 10:5 12:7");
	/* mh with fallback keeps the share of the file's weight, */
	wanted_edit(&wanted, &(struct wanted_edit){.service = 1, .real = 2, .weight = 0});
	assert_reals(&wanted.set.services[1], "2:1 4:2 6:0/3 8:4 10:5 12:6");
	/* and numbers that are out of range change nothing. */
	wanted_edit(&wanted, &(struct wanted_edit){.service = 2, .real = 0, .weight = 5});
	wanted_edit(&wanted, &(struct wanted_edit){.service = 1, .real = 6, .weight = 5});
	assert_reals(&wanted.set.services[1], "2:1 4:2 6:0/3 8:4 10:5 12:6");
	wanted_fini(&wanted);
	/* a sorry server that is also a real server is one already */
	file.services[0].sorry = file.services[0].real_servers[3];
	assert_int_equal(wanted_init(&wanted, &file), 0);
	wanted_edit(&wanted, &(struct wanted_edit){.service = 0, .sorry = true, .weight = 9});
	assert_reals(&wanted.set.services[0], "2:1 4:2 6:3 8:4 10:5 12:6");
	wanted_fini(&wanted);
	service_set_fini(&file);
}

/* A kernel: a list in the order of adding, with the weights that mh remembers, which a list of it
 * does not tell. */
static void kernel_op(struct service *service, const struct plan_op *op)
{
	size_t i = 0;

	while (op->real && i < service->n_real_servers &&
	       service_real_compare(&service->real_servers[i], op->real) != 0)
		i++;
	if (op->kind == PLAN_ADD_REAL || op->kind == PLAN_MOVE_REAL) {
		assert_true((i < service->n_real_servers) == (op->kind == PLAN_MOVE_REAL));
		for (; i + 1 < service->n_real_servers; i++)
			service->real_servers[i] = service->real_servers[i + 1];
		service->n_real_servers -= op->kind == PLAN_MOVE_REAL;
		service_add(service, op->real)->table_weight = service_real_share(op->real);
		return;
	}
	assert_true(i < service->n_real_servers);
	if (op->kind == PLAN_DELETE_REAL) {
		for (; i + 1 < service->n_real_servers; i++)
			service->real_servers[i] = service->real_servers[i + 1];
		service->n_real_servers--;
		return;
	}
	if (op->kind == PLAN_SHARE_REAL || op->real->weight)
		service->real_servers[i].table_weight = service_real_share(op->real);
	service->real_servers[i].weight = op->real->weight;
}

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16;
}

/* Those that mh makes its table of, in order. */
static void describe(const struct service *service, char *text, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < service->n_real_servers; i++) {
		const struct real_server *real = &service->real_servers[i];

		if (service_real_share(real) || !service_is_mh(service))
			used += (size_t)snprintf(text + used, size - used, "%u:%u/%u ",
						 real->endpoint.ip.bytes[3], real->weight,
						 service_is_mh(service) ? service_real_share(real)
									: 0);
	}
}

static struct service_set listed(const struct service *kernel)
{
	struct service_set set = {0};
	struct service *copy = service_set_add(&set, kernel);

	for (size_t i = 0; i < copy->n_real_servers; i++)
		copy->real_servers[i].table_weight = 0;
	return set;
}

/* A director that made edit after edit without a list, and lists of the kernel now and then, ends
 * as one that has just started: the same order, the same shares. */
static void history_of(const char *scheduler, uint32_t flags, uint32_t seed)
{
	struct service_set file = file_of(&scheduler, 1, flags);
	struct service kernel = file.services[0], fresh;
	struct held held = {0};
	struct wanted wanted;
	struct plan plan = {0};

	kernel.real_servers = NULL;
	kernel.n_real_servers = 0;
	assert_int_equal(wanted_init(&wanted, &file), 0);
	for (int turn = 0; turn < TURNS; turn++) {
		struct service_set actual = {0}, before = {0};
		uint32_t weight = next(&seed) % 4;
		const struct wanted_edit edit = {
			.real = next(&seed) % REALS,
			.sorry = next(&seed) % 7 == 0,
			.removed = weight == 3,
			.weight = weight,
		};
		char is[256] = "", right[256] = "";

		plan = (struct plan){0};
		if (held_find(&held, &kernel.key) && next(&seed) % 3) {
			service_set_add(&before, held_find(&held, &kernel.key));
			wanted_edit(&wanted, &edit);
			assert_int_equal(plan_add_service(&before.services[0],
							  &wanted.set.services[0], &plan),
					 0);
			for (size_t i = 0; i < plan.count; i++)
				kernel_op(&kernel, &plan.ops[i]);
			held_apply(&held, &plan);
		} else {
			wanted_edit(&wanted, &edit);
			actual = listed(&kernel);
			held_recall(&held, &actual);
			assert_int_equal(
				plan_new(&actual, &wanted.set, &(struct service_keys){0}, &plan),
				0);
			for (size_t i = 0; i < plan.count; i++)
				kernel_op(&kernel, &plan.ops[i]);
			held_take(&held, &actual, &wanted.set, &plan);
		}
		plan_fini(&plan);
		service_set_fini(&before);
		service_set_fini(&actual);
		/* A look finds nothing. */
		actual = listed(&kernel);
		held_recall(&held, &actual);
		assert_int_equal(plan_new(&actual, &wanted.set, &(struct service_keys){0}, &plan),
				 0);
		assert_int_equal(plan.count, 0);
		plan_fini(&plan);
		service_set_fini(&actual);
		fresh = wanted.set.services[0];
		describe(&kernel, is, sizeof(is));
		describe(&fresh, right, sizeof(right));
		assert_string_equal(is, right);
	}
	wanted_fini(&wanted);
	held_fini(&held);
	service_fini(&kernel);
	service_set_fini(&file);
}

static void test_history(void **state)
{
	(void)state;
	history_of("mh", 0, 1);
	history_of("mh", SERVICE_MH_FALLBACK, 2);
	history_of("sh", 0, 3);
	history_of("dh", 0, 4);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_history),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
