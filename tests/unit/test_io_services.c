/* The order of the requests to the kernel, and that the event loop waits for none of them: against
 * a kernel that takes as long as a test wants. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "director/io_clock.h"
#include "director/kernel/io_services_private.h"
#include "director/node/kernel_compare.h"
#include "tests/scratch.h"

/* The kernel */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct service_set kernel;
static char calls[4096]; /* the kernel's calls, in order */
static unsigned int dumps;
static bool hold;    /* apply waits for the test */
static bool refused; /* an operation of the plan that is applied */
static sem_t held, go_on;
static pthread_t loop_thread;

static void called(const char *what)
{
	/* not an assertion of cmocka's: those are for its own thread */
	if (pthread_equal(pthread_self(), loop_thread))
		abort();
	pthread_mutex_lock(&lock);
	snprintf(calls + strlen(calls), sizeof(calls) - strlen(calls), "%s ", what);
	pthread_mutex_unlock(&lock);
}

static bool was_called(const char *what)
{
	bool found;

	pthread_mutex_lock(&lock);
	found = strstr(calls, what) != NULL;
	pthread_mutex_unlock(&lock);
	return found;
}

int ipvs_open(struct ipvs **ret_ipvs, struct ipvs_error *ret_error)
{
	*ret_error = (struct ipvs_error){0};
	*ret_ipvs = malloc(1);
	return 0;
}

void ipvs_close(struct ipvs *ipvs)
{
	free(ipvs);
}

int ipvs_get_info(struct ipvs *ipvs, struct ipvs_info *ret_info, struct ipvs_error *ret_error)
{
	(void)ipvs;
	(void)ret_error;
	*ret_info = (struct ipvs_info){0};
	return 0;
}

int ipvs_dump(struct ipvs *ipvs, struct service_set *ret_set, struct ipvs_error *ret_error)
{
	struct service_set copy = {0};

	(void)ipvs;
	(void)ret_error;
	if (pthread_equal(pthread_self(), loop_thread))
		abort();
	pthread_mutex_lock(&lock);
	dumps++;
	for (size_t i = 0; i < kernel.count; i++)
		service_set_add(&copy, &kernel.services[i]);
	pthread_mutex_unlock(&lock);
	*ret_set = copy;
	return 0;
}

static void kernel_remove(const struct service_key *key)
{
	struct service *found;

	service_set_sort(&kernel);
	found = service_set_find(&kernel, key);
	service_fini(found);
	*found = kernel.services[--kernel.count];
}

static void kernel_real(const struct plan_op *op)
{
	struct service *service = service_set_find(&kernel, &op->service->key);
	size_t i = 0;

	while (i < service->n_real_servers &&
	       service_real_compare(&service->real_servers[i], op->real) != 0)
		i++;
	if (op->kind == PLAN_ADD_REAL) {
		service_add(service, op->real);
		return;
	}
	if (i == service->n_real_servers)
		refused = true;
	else if (op->kind == PLAN_EDIT_REAL)
		service->real_servers[i].weight = op->real->weight;
	else
		service->real_servers[i] = service->real_servers[--service->n_real_servers];
}

static uint64_t sent;

uint64_t ipvs_sent(const struct ipvs *ipvs)
{
	(void)ipvs;
	return sent;
}

int ipvs_apply(struct ipvs *ipvs, const struct plan *plan, struct ipvs_error *ret_error)
{
	bool wait;
	int r;

	(void)ipvs;
	*ret_error = (struct ipvs_error){0};
	if (plan->count > 0)
		called("apply");
	sent += plan->count;
	pthread_mutex_lock(&lock);
	wait = hold;
	pthread_mutex_unlock(&lock);
	if (wait) {
		sem_post(&held);
		sem_wait(&go_on);
	}
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_op *op = &plan->ops[i];

		if (op->kind == PLAN_ADD_SERVICE) {
			struct service empty = *op->service;

			empty.n_real_servers = 0;
			service_set_add(&kernel, &empty);
			service_set_sort(&kernel);
		} else if (op->kind == PLAN_DELETE_SERVICE) {
			kernel_remove(&op->service->key);
		} else if (op->real) {
			kernel_real(op);
		}
	}
	service_set_sort(&kernel);
	r = refused ? -ENOENT : 0;
	ret_error->failed = refused;
	refused = false;
	pthread_mutex_unlock(&lock);
	return r;
}

int vip_apply(const char *interface, struct vip_list wanted, struct vip_list ours, bool keep_local,
	      struct vip_changes *ret_changes, struct fault *ret_error)
{
	char what[64];

	(void)interface;
	(void)keep_local;
	(void)ret_error;
	snprintf(what, sizeof(what), "vips+%zu-%zu", wanted.count, ours.count);
	called(what);
	*ret_changes = (struct vip_changes){0};
	return 0;
}

int vip_release(struct vip_list vips, struct fault *ret_error)
{
	(void)vips;
	(void)ret_error;
	called("release");
	return 0;
}

/* The director */

struct world {
	uv_loop_t loop;
	struct scratch scratch;
	struct io_services *services;
	unsigned int programmed, listed, put_back, done;
};

static void put_back(void *ctx, const char *what, const char *was, int r)
{
	struct world *world = ctx;

	(void)what;
	(void)was;
	(void)r;
	world->put_back++;
}

static void programmed(void *ctx)
{
	struct world *world = ctx;

	assert_int_equal(world->done, 0);
	world->programmed++;
}

static void listed(void *ctx)
{
	struct world *world = ctx;

	assert_int_equal(world->done, 0);
	world->listed++;
}

static void done(void *context)
{
	struct world *world = context;

	world->done++;
}

/* A configuration with `count` services, at the addresses from `first` on. */
static struct config *config_of(const struct world *world, unsigned int first, unsigned int count)
{
	struct config_error error;
	struct config *config;
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fprintf(out, "node: {name: d1, state: %s}\ncluster: {listen: ['192.0.2.1:7946']}\n%s",
		world->scratch.dir, count ? "services:\n" : "");
	for (unsigned int i = 0; i < count; i++)
		fprintf(out,
			"- {name: s%u, address: '203.0.113.%u:80', scheduler: rr, real-servers: "
			"[{address: '10.0.0.1:80'}]}\n",
			i, first + i);
	fclose(out);
	if (config_parse(text, len, "x", &config, &error) < 0)
		fail_msg("%s", error.text);
	free(text);
	return config;
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	loop_thread = pthread_self();
	hold = false;
	calls[0] = '\0';
	sem_init(&held, 0, 0);
	sem_init(&go_on, 0, 0);
	uv_loop_init(&world->loop);
	scratch_init(&world->scratch);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	assert_int_equal(uv_loop_close(&world->loop), 0);
	scratch_fini(&world->scratch);
	service_set_fini(&kernel);
	free(world);
	return 0;
}

static void open_with(struct world *world, struct config *config)
{
	const struct io_services_callbacks callbacks = {put_back, programmed, listed, world};
	struct fault fault;

	assert_int_equal(
		io_services_open(&world->loop, config, &callbacks, &world->services, &fault), 0);
	config_free(config);
}

static void config_with(struct world *world, struct config *config)
{
	io_services_config(world->services, config);
	config_free(config);
}

static void run_until(struct world *world, const unsigned int *count, unsigned int wanted)
{
	while (*count < wanted)
		uv_run(&world->loop, UV_RUN_ONCE);
	assert_int_equal(*count, wanted);
}

static void close_all(struct world *world)
{
	io_services_close(world->services, done, world);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(world->done, 1);
}

/* An apply has begun, and waits; the loop runs. */
static void run_until_held(struct world *world)
{
	while (sem_trywait(&held) < 0)
		uv_run(&world->loop, UV_RUN_NOWAIT);
}

static void set_hold(bool value)
{
	pthread_mutex_lock(&lock);
	hold = value;
	pthread_mutex_unlock(&lock);
}

static void assert_calls(const char *expected)
{
	pthread_mutex_lock(&lock);
	assert_string_equal(calls, expected);
	calls[0] = '\0';
	pthread_mutex_unlock(&lock);
}

/* VIPs that leave go first, then come the services, and then the VIPs that are new. */
static void test_order(void **state)
{
	struct world *world = *state;
	struct io_services_status status;

	open_with(world, config_of(world, 1, 3));
	io_announce(world->services, true, true);
	run_until(world, &world->programmed, 1);
	while (!was_called("vips+3-0"))
		uv_run(&world->loop, UV_RUN_ONCE);
	io_services_status(world->services, &status);
	assert_true(status.programmed && status.ever && status.announcing);
	assert_int_equal(kernel.count, 3);
	assert_calls("release apply vips+3-0 ");
	config_with(world, config_of(world, 3, 2));
	run_until(world, &world->programmed, 2);
	close_all(world);
	assert_int_equal(kernel.count, 2);
	assert_int_equal(world->put_back, 0);
	assert_calls("vips+0-2 apply vips+2-0 ");
}

/* Configurations that come while one is programmed: only the newest one is programmed then. */
static void test_reload_while_applying(void **state)
{
	struct world *world = *state;

	set_hold(true);
	open_with(world, config_of(world, 1, 1));
	run_until_held(world);
	config_with(world, config_of(world, 11, 2));
	config_with(world, config_of(world, 21, 3));
	for (unsigned int i = 0; i < 100; i++)
		uv_run(&world->loop, UV_RUN_NOWAIT);
	assert_int_equal(world->programmed, 0);
	set_hold(false);
	sem_post(&go_on);
	run_until(world, &world->programmed, 1);
	assert_int_equal(kernel.count, 3);
	assert_int_equal(kernel.services[0].key.vip.ip.bytes[3], 21);
	assert_int_equal(world->put_back, 0);
	close_all(world);
}

/* Traffic is given up at once. */
static void test_withdraw_while_applying(void **state)
{
	struct world *world = *state;

	set_hold(true);
	open_with(world, config_of(world, 1, 1));
	run_until_held(world);
	assert_calls("apply ");
	io_announce(world->services, false, false);
	while (!was_called("release"))
		uv_run(&world->loop, UV_RUN_ONCE);
	assert_calls("vips+0-1 release ");
	assert_int_equal(world->programmed, 0);
	set_hold(false);
	sem_post(&go_on);
	run_until(world, &world->programmed, 1);
	close_all(world);
}

static void test_close_while_applying(void **state)
{
	struct world *world = *state;

	set_hold(true);
	open_with(world, config_of(world, 1, 1));
	run_until_held(world);
	config_with(world, config_of(world, 11, 2));
	io_services_close(world->services, done, world);
	for (unsigned int i = 0; i < 100; i++)
		uv_run(&world->loop, UV_RUN_NOWAIT);
	assert_int_equal(world->done, 0);
	sem_post(&go_on);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(world->done, 1);
	assert_int_equal(world->programmed, 0);
	/* the programming that was under way has ended, and no other began */
	assert_int_equal(kernel.count, 1);
}

/* The list is read after the programming that is under way, and all callers that asked before the
 * reading began share it. */
static void test_list(void **state)
{
	struct world *world = *state;
	struct service_list *list = NULL, *other = NULL;
	usec_t now = clock_now().mono;
	const char *error;

	set_hold(true);
	open_with(world, config_of(world, 1, 2));
	run_until_held(world);
	assert_int_equal(io_services_list(world->services, now, &list, &error), -EAGAIN);
	assert_int_equal(io_services_list(world->services, now, &list, &error), -EAGAIN);
	set_hold(false);
	sem_post(&go_on);
	run_until(world, &world->listed, 1);
	assert_int_equal(io_services_list(world->services, now, &list, &error), 0);
	assert_int_equal(list->set.count, 2);
	assert_int_equal(io_services_list(world->services, now, &other, &error), 0);
	assert_ptr_equal(list, other);
	service_list_free(other);
	assert_int_equal(io_services_list(world->services, clock_now().mono + 1, &other, &error),
			 -EAGAIN);
	close_all(world);
	/* the list outlives its maker */
	assert_int_equal(list->set.count, 2);
	service_list_free(list);
}

static uint32_t kernel_weight(size_t service, size_t real)
{
	uint32_t weight;

	pthread_mutex_lock(&lock);
	weight = real < kernel.services[service].n_real_servers
			 ? kernel.services[service].real_servers[real].weight
			 : UINT32_MAX;
	pthread_mutex_unlock(&lock);
	return weight;
}

static void run_until_edits(struct world *world, uint64_t wanted)
{
	struct io_services_status status;

	for (;;) {
		io_services_status(world->services, &status);
		if (status.edits >= wanted)
			break;
		uv_run(&world->loop, UV_RUN_ONCE);
	}
	assert_int_equal(status.edits, wanted);
}

static void edit(struct world *world, size_t service, uint32_t weight, bool removed)
{
	const struct wanted_edit edit = {.service = service, .weight = weight, .removed = removed};

	assert_int_equal(io_services_edit(world->services, &edit, 1), 0);
}

static unsigned int count_dumps(void)
{
	unsigned int count;

	pthread_mutex_lock(&lock);
	count = dumps;
	pthread_mutex_unlock(&lock);
	return count;
}

/* A message for each weight, and no list; what is so already costs nothing. */
static void test_edit(void **state)
{
	struct world *world = *state;
	struct io_services_status status;
	unsigned int listed;
	uint64_t messages;

	open_with(world, config_of(world, 1, 3));
	run_until(world, &world->programmed, 1);
	io_services_status(world->services, &status);
	messages = status.messages;
	assert_int_equal(messages, 6);
	listed = count_dumps();
	edit(world, 0, 0, false);
	edit(world, 2, 5, false);
	run_until_edits(world, 2);
	assert_int_equal(kernel_weight(0, 0), 0);
	assert_int_equal(kernel_weight(1, 0), 1);
	assert_int_equal(kernel_weight(2, 0), 5);
	edit(world, 1, 1, false);
	edit(world, 0, 0, true);
	edit(world, 0, 7, false);
	edit(world, 3, 7, false);
	run_until_edits(world, 6);
	assert_int_equal(kernel_weight(0, 0), 7);
	edit(world, 2, 0, true);
	run_until_edits(world, 7);
	assert_int_equal(kernel_weight(2, 0), UINT32_MAX);
	io_services_status(world->services, &status);
	assert_int_equal(status.messages - messages, 4);
	assert_int_equal(count_dumps(), listed);
	assert_int_equal(world->put_back, 0);
	close_all(world);
}

/* Edits that come with a configuration never leave the kernel at the file's weights, and the next
 * configuration forgets them. */
static void test_edit_with_configuration(void **state)
{
	struct world *world = *state;

	open_with(world, config_of(world, 1, 2));
	edit(world, 1, 9, false);
	run_until(world, &world->programmed, 1);
	assert_int_equal(kernel_weight(1, 0), 9);
	config_with(world, config_of(world, 1, 2));
	edit(world, 1, 9, false);
	run_until(world, &world->programmed, 2);
	assert_calls("apply ");
	config_with(world, config_of(world, 1, 2));
	run_until(world, &world->programmed, 3);
	assert_int_equal(kernel_weight(1, 0), 1);
	assert_int_equal(world->put_back, 0);
	close_all(world);
}

/* A configuration that is the same to the kernel is taken without a look at it, which comes later.
 */
static void test_reload_of_the_same(void **state)
{
	struct world *world = *state;
	unsigned int looks;

	open_with(world, config_of(world, 1, 2));
	run_until(world, &world->programmed, 1);
	looks = count_dumps();
	set_hold(true);
	config_with(world, config_of(world, 1, 2));
	run_until(world, &world->programmed, 2);
	assert_calls("apply ");
	set_hold(false);
	while (count_dumps() == looks)
		uv_run(&world->loop, UV_RUN_ONCE);
	/* An edit makes it another one. */
	config_with(world, config_of(world, 1, 2));
	edit(world, 1, 4, false);
	run_until(world, &world->programmed, 3);
	assert_int_equal(kernel_weight(1, 0), 4);
	config_with(world, config_of(world, 1, 2));
	run_until(world, &world->programmed, 4);
	assert_int_equal(kernel_weight(1, 0), 1);
	assert_int_equal(world->put_back, 0);
	close_all(world);
}

/* An edit finds that another process was there: it is told, and put back. */
static void test_edit_after_foreign_change(void **state)
{
	struct world *world = *state;

	open_with(world, config_of(world, 1, 2));
	run_until(world, &world->programmed, 1);
	pthread_mutex_lock(&lock);
	kernel.services[0].n_real_servers = 0;
	pthread_mutex_unlock(&lock);
	edit(world, 0, 3, false);
	run_until(world, &world->programmed, 2);
	assert_int_equal(world->put_back, 1);
	assert_int_equal(kernel_weight(0, 0), 3);
	close_all(world);
}

/* The VIP of one service goes alone, is not taken for a foreign change, and comes back. */
static void test_vip_of_one(void **state)
{
	struct world *world = *state;

	open_with(world, config_of(world, 1, 3));
	io_announce(world->services, true, true);
	while (!was_called("vips+3-0"))
		uv_run(&world->loop, UV_RUN_ONCE);
	assert_int_equal(io_services_vip(world->services, 1, false), 0);
	while (!was_called("vips+2-1"))
		uv_run(&world->loop, UV_RUN_ONCE);
	assert_int_equal(io_services_vip(world->services, 1, true), 0);
	assert_calls("release apply vips+3-0 vips+2-1 ");
	while (!was_called("vips+3-0"))
		uv_run(&world->loop, UV_RUN_ONCE);
	assert_calls("vips+3-0 ");
	assert_int_equal(world->put_back, 0);
	close_all(world);
	assert_calls("vips+3-0 release ");
}

/* The processor time that a turn of the event loop may take: a millisecond, without sanitizers and
 * in a cache that is warm. The measured work takes 10 to 400 times as long if it is done on the
 * loop. */
#define TURN_MAX (5 * USEC_PER_MSEC)
#define SERVICES 1000
#define REALS 100

static usec_t turn_began, turn_longest;

static void turn_ended(uv_prepare_t *prepare)
{
	usec_t now = clock_cpu();

	(void)prepare;
	turn_longest = MAX(turn_longest, now - turn_began);
	turn_began = now;
}

static struct config *config_large(const struct world *world, uint32_t weight)
{
	struct config *config = config_of(world, 1, 0);

	for (uint32_t i = 0; i < SERVICES; i++) {
		struct service service = {.key = {.protocol = IPPROTO_TCP}, .scheduler = "rr"};
		struct service *added;

		service.key.vip.ip.family = AF_INET;
		store_be32(service.key.vip.ip.bytes, 0xcb000000u + i);
		service.key.vip.port = 80;
		added = service_set_add(&config->services, &service);
		for (uint32_t j = 0; j < REALS; j++) {
			struct real_server real = {.weight = weight};

			real.endpoint.ip.family = AF_INET;
			store_be32(real.endpoint.ip.bytes, 0x0a000000u + i * REALS + j);
			real.endpoint.port = 80;
			service_add(added, &real);
		}
	}
	return config;
}

static void test_turns(void **state)
{
	struct world *world = *state;
	struct service_list *list;
	uv_prepare_t prepare;
	const char *error;
	usec_t now;

	uv_prepare_init(&world->loop, &prepare);
	uv_prepare_start(&prepare, turn_ended);
	turn_longest = 0;
	open_with(world, config_large(world, 100));
	io_announce(world->services, true, true);
	turn_began = clock_cpu();
	run_until(world, &world->programmed, 1);
	for (unsigned int i = 1; i <= 4; i++) {
		/* every second one changes nothing */
		struct config *config = config_large(world, 100 + i / 2);

		turn_began = clock_cpu();
		config_with(world, config);
		run_until(world, &world->programmed, i + 1);
		now = clock_now().mono;
		assert_int_equal(io_services_list(world->services, now, &list, &error), -EAGAIN);
		run_until(world, &world->listed, i);
		assert_int_equal(io_services_list(world->services, now, &list, &error), 0);
		assert_int_equal(list->set.count, SERVICES);
		service_list_free(list);
	}
	uv_close((uv_handle_t *)&prepare, NULL);
	turn_began = clock_cpu();
	close_all(world);
	turn_longest = MAX(turn_longest, clock_cpu() - turn_began);
	print_message("the longest turn took %llu us of a processor\n",
		      (unsigned long long)turn_longest);
	assert_in_range(turn_longest, 0, TURN_MAX);
}

/* The same for what the node does with the list, in the pieces that it is given. */
static void test_turns_of_compare(void **state)
{
	struct config *config = config_large(*state, 1);
	struct kernel_compare *compare = kernel_compare_new();
	struct kernel_compare_verdict verdict;
	usec_t longest = 0;

	for (unsigned int round = 0; round < 3; round++) {
		for (size_t i = 0; i < SERVICES; i += 5) {
			const struct service_set some = {config->services.services + i, 5};
			usec_t began = clock_cpu();

			assert_int_equal(kernel_compare_add(compare, &some), 0);
			if (i + 5 == SERVICES)
				kernel_compare_judge(compare, false, &verdict);
			longest = MAX(longest, clock_cpu() - began);
		}
	}
	print_message("the longest piece took %llu us of a processor\n",
		      (unsigned long long)longest);
	assert_in_range(longest, 0, TURN_MAX);
	kernel_compare_free(compare);
	config_free(config);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload_while_applying, setup, teardown),
		cmocka_unit_test_setup_teardown(test_withdraw_while_applying, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_while_applying, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edit_with_configuration, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edit_after_foreign_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload_of_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vip_of_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_turns_of_compare, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
